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
