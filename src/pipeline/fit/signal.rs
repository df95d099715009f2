//! Fits of fields to pictures and sounds.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use nstr_backend::backend::FieldOp;
use nstr_field::model::{Domain, Model};
use nstr_fit::Work;
use nstr_fit::signal::SignalSource;
use nstr_signal::Signal;

use super::job::Job;
use super::{FitObserver, Fitted};
use crate::error::{Context, Error};
use crate::evaluate::Scores;
use crate::field::SignalModel;
use crate::options::FitOptions;
use crate::record::FitRecord;

/// Fits a field to the picture or sound in `input`, and writes the model where `options` name a file.
///
/// # Errors
/// Unreadable or silent files, options that do not fit, a device that is not there, training that diverges or is stopped by
/// the observer, files that cannot be written.
pub fn fit_signal(
    input: impl AsRef<Path>,
    options: &FitOptions,
    observer: &mut dyn FitObserver,
) -> Result<Fitted, Error> {
    let (input, start) = (input.as_ref(), Instant::now());
    let signal = Signal::read(input)?;
    let (usual, kind) = match signal {
        Signal::Picture(_) => ("image", "a picture"),
        Signal::Sound(_) => ("audio", "a sound"),
    };
    options.device.check().map_err(nstr_fit::TrainError::from)?;
    if matches!(signal, Signal::Sound(_)) && signal.data().iter().all(|v| *v == 0.0) {
        let reason = "is silent (all samples are 0): there is nothing to learn; choose a stretch with sound";
        return Err(Error::file(input, reason));
    }
    let dim = signal.dim();
    let (config, budget) = options.config(usual, |config| config.for_signal(&signal))?;
    let preset = options.preset.as_deref().unwrap_or(usual);
    if preset.starts_with(usual) {
        let wanted = [("dim", config.field.dim, dim), ("outputs", config.field.outputs, signal.channels())];
        for (key, value, wanted) in wanted.into_iter().filter(|(_, value, wanted)| value != wanted) {
            let (name, shape) = (input.display(), signal.describe());
            return Err(Error::option(format!("{key} = {value}: must be {wanted} for {name}, {kind} of {shape}")));
        }
    }
    let Some(sampling) = config.signal.clone().filter(|_| config.field.dim == dim) else {
        let reason =
            format!("{kind} needs one of the presets {usual}-tiny, {usual}, {usual}-fine or a baseline {usual}-…");
        return Err(Error::file(input, reason));
    };
    let info = signal.info(sampling.encoding);
    let transform = info.transform();
    let record = FitRecord { signal: Some(info), ..FitRecord::new(config, budget, options.seed) };
    let job = Job::begin((options, input, start), usual, record, || Ok(Domain::default()), observer)?;
    observer.message(&format!("{}: {}", input.display(), signal.describe()));
    let op = FieldOp::new(job.record.fit.field.spec());
    job.announce(preset, &op, observer);
    let (batch, seed) = (job.record.fit.train.batch, job.record.seed);
    let source = SignalSource::new(&signal, transform, &sampling, batch, seed).ok_or_else(|| {
        Error::file(input, "signal.share, signal.block and signal.reduce leave nothing to learn from")
    })?;
    let mut model = job.train(op, Work::Signal(Arc::new(source)), &|_, _, _| (), observer)?;
    let scores = if options.evaluate { Some(measure(&job, &mut model, &signal)?) } else { None };
    Ok(Fitted { file_bytes: job.file_bytes()?, model, scores, mesh: None })
}

/// The measurement at the end of a fit, stored with the model.
fn measure(job: &Job<'_>, model: &mut Model, signal: &Signal) -> Result<Scores, Error> {
    let opened = SignalModel::open(job.name(), model.clone())?;
    let scores = Scores::Signal(opened.evaluate(&opened.reconstruct(), signal).at(job.name())?);
    for (name, value) in scores.to_map() {
        model.metrics.extend(value.as_f64().map(|v| (name, v)));
    }
    job.save(model)?;
    Ok(scores)
}
