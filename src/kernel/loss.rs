//! Pointwise losses of a value against its target, with their slopes.

use serde::{Deserialize, Serialize};

/// A loss of the error `e = value − target`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum PointLoss {
    /// `|e|`.
    #[default]
    L1,
    /// `e²`.
    L2,
    /// `e²/2δ` up to `|e| = δ`, `|e| − δ/2` beyond (Huber 1964, scaled to slope 1).
    Huber(f32),
}

/// Loss of a batch of values: of each value, and of the slope between the two points of a pair.
///
/// The second is Sobolev training (Czarnecki et al. 2017) by finite differences: points `2i` and `2i + 1` of a batch lie close
/// together, and with `e` their errors and `r` their distance it is the mean over pairs of `weight · ((e₀ − e₁) / r)²`. It
/// teaches gradients without evaluating any.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct BatchLoss {
    /// Loss of each value.
    pub point: PointLoss,
    /// Weight of the slopes between the points of pairs; 0 where points are no pairs.
    pub slope: f32,
}

impl From<PointLoss> for BatchLoss {
    fn from(point: PointLoss) -> Self {
        Self { point, slope: 0.0 }
    }
}

/// Squared distances between the points of pairs are at least this, so that points at one place do no harm.
pub const LEAST_PAIR_DISTANCE_SQUARED: f32 = 1e-12;

impl PointLoss {
    /// Loss and slope at error `e`; the slope of `|e|` at 0 is 0.
    #[inline(always)]
    pub fn evaluate(self, e: f32) -> (f32, f32) {
        match self {
            Self::L1 => (e.abs(), if e == 0.0 { 0.0 } else { e.signum() }),
            Self::L2 => (e * e, 2.0 * e),
            Self::Huber(delta) => {
                if e.abs() <= delta {
                    (0.5 * e * e / delta, e / delta)
                } else {
                    (e.abs() - 0.5 * delta, e.signum())
                }
            }
        }
    }
}
