//! Trained fields: the model file, evaluation of distance, radiance and signal fields, a scalar evaluator with second
//! derivatives, and proven bounds over boxes.

pub mod bounds;
#[cfg(test)]
mod golden_tests;
pub mod jet;
pub mod model;
pub mod point_evaluator;
pub mod radiance;
pub mod sdf;
pub mod signal;

pub use bounds::{BoundsError, BoxEvaluator, Interval, Rounding};
pub use model::compact::{CompactFile, QuantizationSteps, QuantizedModel};
pub use model::{Checkpoint, Model, ModelError, ModelErrorKind, Precision};
pub use point_evaluator::{PointEval, PointEvaluator};
pub use radiance::NeuralRadiance;
pub use sdf::NeuralSdf;
pub use signal::NeuralSignal;

// Renderers call fields from many threads.
const _: fn() = || {
    fn check<T: Send + Sync>() {}
    check::<NeuralSdf>();
    check::<NeuralRadiance>();
    check::<NeuralSignal>();
};
