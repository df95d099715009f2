//! Values that a forward pass leaves of a tile's points, from which the adjoint is computed.

use crate::basis::Phases;
use crate::gemm::PAD;
use crate::mlp::{Activations, TILE};
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
        copy(&mut self.trunk, to, &from.trunk, row);
        copy(&mut self.factors, to, &from.factors, row);
        copy(&mut self.spectrum, to, &from.spectrum, row);
        self.phases.copy_row(to, &from.phases, row);
        self.spectrum_acts.copy_row(to, &from.spectrum_acts, row);
        self.decoder_acts.copy_row(to, &from.decoder_acts, row);
    }
}

/// Copies one of [`TILE`] rows of padded columns.
#[inline(always)]
pub(super) fn copy(to: &mut [f32], at: usize, from: &[f32], row: usize) {
    let columns = from.len() / TILE;
    let (to, from) = (&mut to[at * columns..(at + 1) * columns], &from[row * columns..(row + 1) * columns]);
    // Whole vectors: calls of `memcpy` cost more than they move.
    to.as_chunks_mut::<PAD>().0.iter_mut().zip(from.as_chunks::<PAD>().0).for_each(|(to, from)| *to = *from);
}
