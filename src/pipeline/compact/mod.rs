//! Compact model files: parameters quantised so that a wanted loss, or a wanted size, is reached, and coded.
//!
//! How much the output depends on each parameter is measured at the data where there are some, else at points and views of the
//! model's own (`gauge`); from that follow the steps of all parameters but for one factor ([`StepPlan`]), which is searched for
//! (`search`): the loss is measured with the decoded parameters, the size is that of the file.

mod gauge;
mod search;
#[cfg(test)]
mod tests;
mod trained;

use std::path::Path;

use nstr_field::model::Model;
use nstr_field::model::compact::{CompactFile, QuantizedModel};
use nstr_fit::StageObserver;
use nstr_fit::sensitivity::{SensitivityEstimator, StepPlan};
use nstr_space::DistanceField as _;

pub(crate) use gauge::{Gauge, RadianceGauge, SdfGauge, SignalGauge};
pub(crate) use trained::{RoundedModel, compact_trained, section_bytes, trained_steps};

use crate::error::{Context, Error};
use crate::evaluate::check_reference;
use crate::field::{Field, FieldKind, sdf_field};
use crate::mesh_input::MeshInput;
use crate::record::FitRecord;
use search::{Found, noise_for_loss, noise_for_size};

/// Loss in dB where neither a loss nor a size is asked for.
pub const DEFAULT_LOSS: f64 = 0.1;
/// Loss in dB that a size has to spare before the file is made no larger.
const LEAST_LOSS: f64 = 0.002;
/// Bytes that the header may grow by after a size was searched for: numbers that are measured on the coded model.
const HEADER_SLACK: u64 = 96;
/// Name of the loss among a model's metrics.
const LOSS_METRIC: &str = "coding_loss_db";

/// Rate of a compact file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CompactOptions {
    /// Loss in dB that is allowed: of the PSNR of pictures and views, of the SNR of sounds, and of the mean distance error of
    /// surfaces, whose logarithm counts twenty times (0.1 dB are 1.2 % more). [`DEFAULT_LOSS`] where nothing is asked for.
    pub loss: Option<f64>,
    /// Bytes that the file may have; with a loss too, the size comes first.
    pub max_bytes: Option<u64>,
}

impl CompactOptions {
    /// Checks ranges, before anything is read.
    ///
    /// # Errors
    /// A loss that is not above 0 and at most 40 dB.
    pub fn check(&self) -> Result<(), Error> {
        match self.loss {
            Some(loss) if !(loss > 0.0 && loss <= 40.0) => {
                Err(Error::Option(format!("--loss {loss}: must be above 0 and at most 40 dB")))
            }
            _ => Ok(()),
        }
    }
}

/// A model that was coded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Compacted {
    /// The file.
    pub file: CompactFile,
    /// The model as a reader of the file gets it.
    pub model: Model,
    /// Loss in dB against the model that was coded, as measured or predicted; may be below 0, where the measurement is on data.
    pub loss: f64,
    /// Description of the loss: what it is of, and what it was measured on.
    pub measured_on: String,
}

/// Ratio of mean squared errors that `db` stands for, less 1: the share of the model's own error that quantisation adds.
fn excess(db: f64) -> f64 {
    10_f64.powf(db / 10.0) - 1.0
}

/// Loss in dB of adding independent errors with this share of the model's own mean squared error.
fn decibels(added: f64) -> f64 {
    10.0 * (1.0 + added).log10()
}

/// The model without its transport network, where that was never trained: nothing depends on it then.
pub fn without_untrained_transport(model: &Model) -> Model {
    let mut model = model.clone();
    let is_untrained = FitRecord::of(&model).is_ok_and(|record| {
        let train = &record.fit.train;
        !train.regularizers.trains_transport() && record.transport_from.is_none()
    });
    if is_untrained && model.spec.transports() {
        model.net.drain(model.spec.net_layout().transport_range());
        model.spec.transport = nstr_spec::MlpSpec::ABSENT;
    }
    model
}

/// Codes the model that was read from `path`; with `reference`, the mesh, capture, picture or sound that it was fitted to, the
/// loss is measured on that, else against the model itself.
///
/// # Errors
/// References of another kind, or that cannot be read; models of a kind that is not known; sizes that are too small.
pub fn compact(
    path: &Path,
    model: &Model,
    reference: Option<&Path>,
    options: &CompactOptions,
) -> Result<Compacted, Error> {
    compact_observed(path, model, reference, options, &mut |_, _| ())
}

/// As [`compact`]; `stage` is told of the search.
///
/// # Errors
/// Those of [`compact`].
pub fn compact_observed(
    path: &Path,
    model: &Model,
    reference: Option<&Path>,
    options: &CompactOptions,
    stage: &mut StageObserver<'_>,
) -> Result<Compacted, Error> {
    options.check()?;
    let model = without_untrained_transport(model);
    let field = Field::open(path, model.clone())?;
    let Some(reference) = reference else {
        return match &field {
            Field::Sdf(field) => compact_with(&model, &SdfGauge::of_model(field)?, options, stage),
            Field::Radiance(field) => compact_with(&model, &RadianceGauge::of_model(field)?, options, stage),
            Field::Signal(field) => compact_with(&model, &SignalGauge::of_model(path, field)?, options, stage),
        };
    };
    check_reference(path, &field, reference)?;
    let both = || format!("{} against {}", path.display(), reference.display());
    match &field {
        Field::Sdf(field) => {
            let sign = FitRecord::of(&model).ok().and_then(|record| record.sign).unwrap_or_default();
            let mesh = MeshInput::read(reference, &sign)?;
            compact_with(&model, &SdfGauge::of_mesh(field, &mesh).context(both)?, options, stage)
        }
        Field::Radiance(field) => {
            let gauge = RadianceGauge::of_capture(path, field, reference).context(both)?;
            compact_with(&model, &gauge, options, stage)
        }
        Field::Signal(field) => {
            let original = nstr_signal::Signal::read(reference)?;
            let gauge = SignalGauge::of_signal(path, field, &original).context(both)?;
            compact_with(&model, &gauge, options, stage)
        }
    }
}

/// Bytes that a compact file of a model of this shape cannot do without, about: a header, and six bits for each parameter of
/// the networks.
pub(crate) fn least_bytes(spec: &nstr_spec::FieldSpec) -> u64 {
    let layout = spec.net_layout();
    let transport = layout.transport_range();
    600 + (layout.len - transport.len()) as u64 * 6 / 8
}

/// Codes a model whose loss `gauge` tells.
pub(crate) fn compact_with(
    model: &Model,
    gauge: &dyn Gauge,
    options: &CompactOptions,
    stage: &mut StageObserver<'_>,
) -> Result<Compacted, Error> {
    stage("sensitivity", None);
    let mut estimator = SensitivityEstimator::new(model, 0xc0dec);
    gauge.observe(&mut estimator)?;
    let plan = StepPlan::new(model, &estimator.finish());
    let mut search = Search { model, gauge, plan, error: gauge.error(), least: None };
    let wanted = options.loss.or(options.max_bytes.is_none().then_some(DEFAULT_LOSS));
    let mut found = match wanted {
        Some(loss) => {
            let mut tries = 0;
            noise_for_loss(search.start(loss), loss, |noise| {
                tries += 1;
                stage(&format!("loss, try {tries}"), None);
                search.loss(noise)
            })?
        }
        None => Found { noise: search.start(DEFAULT_LOSS), value: f64::NAN },
    };
    if let Some(most) = options.max_bytes {
        // At most as fine as the loss asks for.
        let least = if wanted.is_some() { found.noise } else { search.start(LEAST_LOSS) };
        let room = most.saturating_sub(HEADER_SLACK);
        let mut tries = 0;
        let fits = noise_for_size(found.noise, least, room, |noise| {
            tries += 1;
            stage(&format!("size, try {tries}"), None);
            search.bytes(noise)
        })?;
        let Some(fits) = fits else {
            let least = search.least.map_or(0, |bytes| bytes + HEADER_SLACK);
            let reason = format!(
                "--max-size {most}: too small for this model, which takes {least} bytes at least; fit a smaller one"
            );
            return Err(Error::Option(reason));
        };
        if fits.noise != found.noise || found.value.is_nan() {
            found = Found { noise: fits.noise, value: search.loss(fits.noise)? };
        }
    }
    within(search.finish(found)?, options)
}

/// The model, if its file has the size that was asked for.
fn within(compacted: Compacted, options: &CompactOptions) -> Result<Compacted, Error> {
    match options.max_bytes {
        Some(most) if compacted.file.len() as u64 > most => {
            let bytes = compacted.file.len();
            Err(Error::Option(format!(
                "--max-size {most}: the header alone makes it {bytes} bytes; allow a little more"
            )))
        }
        _ => Ok(compacted),
    }
}

/// Tries of one model with different noise.
struct Search<'a> {
    model: &'a Model,
    gauge: &'a dyn Gauge,
    plan: StepPlan,
    /// Mean squared error of the model itself.
    error: f64,
    /// Bytes of the smallest file so far.
    least: Option<u64>,
}

impl Search<'_> {
    /// Noise of a loss, if quantisation adds the errors that the plan tells to the model's own.
    fn start(&self, loss: f64) -> f64 {
        // A model without error has a picture that is equal to the last bit of an 8-bit file.
        self.plan.noise(self.error.max(1e-12) * excess(loss)).max(f64::MIN_POSITIVE)
    }

    fn quantized(&self, noise: f64) -> Result<QuantizedModel, Error> {
        QuantizedModel::new(self.model, &self.plan.steps(noise)).map_err(in_memory)
    }

    fn decoded(&self, quantized: &QuantizedModel) -> Result<Model, Error> {
        let (grid, net) = quantized.parameters().map_err(in_memory)?;
        Ok(Model { grid, net, ..self.model.clone() })
    }

    fn loss(&self, noise: f64) -> Result<f64, Error> {
        self.gauge.loss(&self.decoded(&self.quantized(noise)?)?)
    }

    fn bytes(&mut self, noise: f64) -> Result<u64, Error> {
        let bytes = self.quantized(noise)?.encode(self.model).map_err(in_memory)?.len() as u64;
        self.least = Some(self.least.map_or(bytes, |least| least.min(bytes)));
        Ok(bytes)
    }

    fn finish(self, found: Found<f64>) -> Result<Compacted, Error> {
        finished(self.model, self.gauge, &self.quantized(found.noise)?, found.value)
    }
}

/// The file of a quantised model whose loss was measured, and the model as a reader gets it.
fn finished(model: &Model, gauge: &dyn Gauge, quantized: &QuantizedModel, loss: f64) -> Result<Compacted, Error> {
    let (grid, net) = quantized.parameters().map_err(in_memory)?;
    let mut model = Model { grid, net, ..model.clone() };
    if FieldKind::of(&model) == Some(FieldKind::Sdf) {
        // Steps change slopes; tracing relies on the bound.
        model.metrics.remove("lipschitz");
        let lipschitz = f64::from(sdf_field(&model).lipschitz());
        model.metrics.insert("lipschitz".into(), (lipschitz * 1e3).ceil() / 1e3);
    }
    model.metrics.insert(LOSS_METRIC.into(), (loss * 1e4).round() / 1e4);
    let file = quantized.encode(&model).map_err(in_memory)?;
    Ok(Compacted { file, model, loss, measured_on: gauge.describe() })
}

/// The error of a model in memory.
fn in_memory(kind: nstr_field::ModelErrorKind) -> Error {
    nstr_field::ModelError { path: "model".into(), kind }.into()
}
