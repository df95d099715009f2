//! Transforms between the values of a signal and those that its field learns.

use serde::{Deserialize, Serialize};

/// Kind of the transform between a signal's values and those of its field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueTransformKind {
    /// `log` for scene-linear images, else `plain`.
    #[default]
    Auto,
    /// As they are, sounds divided by their peak.
    Plain,
    /// `asinh(v/s)`, near `v/s` for small and `ln(2v/s)` for large values: errors count relative to the value, for images
    /// of high dynamic range. `s` is the mean magnitude, and the largest value becomes 1.
    Log,
}

/// Transform of a signal's values to those of the field, and back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueTransform {
    /// Values are logarithmic.
    pub log: bool,
    /// Divisor that is applied first.
    pub divisor: f32,
    /// Factor that is applied last.
    pub factor: f32,
}

impl ValueTransform {
    /// Plain values, divided by `peak`.
    pub fn plain(peak: f32) -> Self {
        Self { log: false, divisor: if peak > 0.0 { peak } else { 1.0 }, factor: 1.0 }
    }

    /// Logarithmic values, for `data`.
    pub fn log(data: &[f32]) -> Self {
        let mean = data.iter().map(|v| f64::from(v.abs())).sum::<f64>() / data.len().max(1) as f64;
        let divisor = if mean > 0.0 { mean as f32 } else { 1.0 };
        let peak = data.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let most = (peak / divisor).asinh();
        Self { log: true, divisor, factor: if most > 0.0 { 1.0 / most } else { 1.0 } }
    }

    /// The field's value for a signal's.
    pub fn encode(&self, v: f32) -> f32 {
        let v = v / self.divisor;
        self.factor * if self.log { v.asinh() } else { v }
    }

    /// The signal's value for a field's.
    pub fn decode(&self, y: f32) -> f32 {
        let y = y / self.factor;
        self.divisor * if self.log { y.sinh() } else { y }
    }
}
