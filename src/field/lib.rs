//! Trained fields: the model file, evaluation of distance, radiance and signal fields, and a scalar evaluator with second
//! derivatives.

pub mod jet;
pub mod model;
pub mod probe;
pub mod radiance;
pub mod sdf;
pub mod signal;
