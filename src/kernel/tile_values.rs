//! Values that a forward pass leaves of a tile's points, from which the adjoint is computed.

use crate::basis::Phases;
use crate::mlp::{Activations, TILE, copy_row};
use crate::tile::Outputs;

/// Values of each layer for the points of a tile; rows are padded to whole vectors.
#[derive(Clone, Debug)]
pub(super) struct TileValues {
    pub kind: Outputs,
    /// Blocks of [`TILE`] rows: 1, or 1 + dim with derivatives.
    pub planes: usize,
    /// Coordinates, `[point][dim]`.
    pub x: Vec<f32>,
    /// Modulated basis, latent features and x, `[row][m | z | x]`.
    pub trunk: Vec<f32>,
    /// The levels' own features where levels are multiplied.
    pub factors: Vec<f32>,
    /// Spectrum and x, `[row][S | x]`.
    pub spectrum: Vec<f32>,
    pub phases: Phases,
    /// Outputs of the decoder.
    pub value: Vec<f32>,
    /// Outputs of the transport network.
    pub flow: Vec<f32>,
    pub spectrum_acts: Activations,
    pub decoder_acts: Activations,
    pub transport_acts: Activations,
}

impl TileValues {
    /// Makes row `to` what row `row` of `from` is, for the adjoint of values: outputs and what only other kinds have stay as
    /// they are. Both tiles have one plan and one plane.
    #[inline(always)]
    pub fn copy_row(&mut self, to: usize, from: &Self, row: usize) {
        debug_assert!(self.planes == 1 && from.planes == 1);
        let dim = self.x.len() / TILE;
        self.x[to * dim..(to + 1) * dim].copy_from_slice(&from.x[row * dim..(row + 1) * dim]);
        copy_row(&mut self.trunk, to, &from.trunk, row);
        copy_row(&mut self.factors, to, &from.factors, row);
        copy_row(&mut self.spectrum, to, &from.spectrum, row);
        self.phases.copy_row(to, &from.phases, row);
        self.spectrum_acts.copy_row(to, &from.spectrum_acts, row);
        self.decoder_acts.copy_row(to, &from.decoder_acts, row);
    }
}
