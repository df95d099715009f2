//! Regularisers that the outputs of single points decide, with their adjoint.

use nstr_spec::FullColumns;

use crate::tile::Outputs;

/// Weights of the loss terms that need no data and look at one point at a time:
/// `transport ‖∇S − F‖² + smoothness ‖∇S‖² + eikonal (‖∇f‖ − 1)²`, with S the spectrum, F the transport network's prediction of
/// ∇S, and f the field.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct PointRegularizer {
    /// Weight of the transport residual; must be 0 for a field without a transport network.
    pub transport: f32,
    /// Weight of the spectrum's smoothness.
    pub smoothness: f32,
    /// Weight of the eikonal term, for signed distances (Gropp et al. 2020).
    pub eikonal: f32,
}

/// Added below the root of the squared norm of ∇f, whose slope at 0 would not be finite.
pub const EIKONAL_EPSILON: f32 = 1e-12;

impl PointRegularizer {
    /// `true` if every weight is 0.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Outputs that the terms look at.
    pub(crate) fn outputs(&self) -> Outputs {
        let needs_spectrum = self.transport != 0.0 || self.smoothness != 0.0;
        if needs_spectrum { Outputs::Full } else { Outputs::Gradient }
    }

    /// Sum of the terms at a point with outputs `row`, of the columns [`Self::outputs`]; writes `scale` times their adjoint into
    /// `d_row`.
    pub(crate) fn evaluate(&self, columns: &FullColumns, row: &[f32], scale: f32, d_row: &mut [f32]) -> f32 {
        d_row.fill(0.0);
        let mut sum = 0.0;
        if self.transport != 0.0 {
            let width = columns.len - columns.transport;
            assert_eq!(width, columns.transport - columns.spectrum_gradient, "the field has a transport network");
            for i in 0..width {
                let (slope, carried) = (columns.spectrum_gradient + i, columns.transport + i);
                let residual = row[slope] - row[carried];
                sum += self.transport * residual * residual;
                let d = 2.0 * self.transport * scale * residual;
                d_row[slope] += d;
                d_row[carried] -= d;
            }
        }
        if self.smoothness != 0.0 {
            for i in columns.spectrum_gradient..columns.transport {
                sum += self.smoothness * row[i] * row[i];
                d_row[i] += 2.0 * self.smoothness * scale * row[i];
            }
        }
        if self.eikonal != 0.0 {
            let gradient = columns.gradient..columns.spectrum;
            let norm = (row[gradient.clone()].iter().map(|g| g * g).sum::<f32>() + EIKONAL_EPSILON).sqrt();
            sum += self.eikonal * (norm - 1.0) * (norm - 1.0);
            let d = 2.0 * self.eikonal * scale * (norm - 1.0) / norm;
            for i in gradient {
                d_row[i] += d * row[i];
            }
        }
        sum
    }
}
