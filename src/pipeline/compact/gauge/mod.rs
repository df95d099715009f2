//! Measurements of a model that is coded: the sensitivity of its output, and the loss of its parameters' rounding.
//!
//! One file a kind of field. Each measures on data, where there are some, or on the model itself: then the loss is predicted from the
//! change of the output and the score that the model was saved with, as if both errors were independent.

mod radiance;
mod sdf;
mod signal;

use nstr_field::model::Model;
use nstr_fit::sensitivity::SensitivityEstimator;

pub(crate) use radiance::RadianceGauge;
pub(crate) use sdf::SdfGauge;
pub(crate) use signal::SignalGauge;

use crate::error::Error;

/// Measurement of one model and of coded versions of it.
pub(crate) trait Gauge {
    /// Adds batches of the outputs that matter.
    ///
    /// # Errors
    /// Models that cannot be evaluated.
    fn observe(&self, estimator: &mut SensitivityEstimator<'_>) -> Result<(), Error>;

    /// Mean of the squared errors of the model itself, in the units of the outputs that are observed; about.
    fn error(&self) -> f64;

    /// Loss of a coded version in dB.
    ///
    /// # Errors
    /// Models that cannot be evaluated.
    fn loss(&self, coded: &Model) -> Result<f64, Error>;

    /// What the loss is of and measured on, for messages: `PSNR of 25 views`.
    fn describe(&self) -> String;
}

/// A score that a model was saved with.
fn stored_score(model: &Model, name: &str) -> Option<f64> {
    model.metrics.get(name).copied().filter(|score| score.is_finite() && *score > 0.0)
}
