//! Fits of fields to pictures and sounds.

use std::path::Path;
use std::sync::Arc;

use nstr_fit::TrainingData;
use nstr_fit::signal::SignalSampler;
use nstr_signal::Signal;
use nstr_space::SceneMap;

use super::job::{FitJob, FitRequest};
use super::{FitObserver, Fitted};
use crate::compact::SignalGauge;
use crate::error::Error;
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
    let request = FitRequest::new(input.as_ref(), options)?;
    let input = request.input;
    let (signal, notes) = Signal::read_noted(input)?;
    let (usual, kind) = match signal {
        Signal::Image(_) => ("image", "a picture"),
        Signal::Audio(_) => ("audio", "a sound"),
    };
    if matches!(signal, Signal::Audio(_)) && signal.data().iter().all(|v| *v == 0.0) {
        let reason = "is silent (all samples are 0): there is nothing to learn; choose a stretch with sound";
        return Err(Error::file(input, reason));
    }
    let dim = signal.dim();
    let (config, budget) = options.config(usual, |config| config.for_signal(&signal))?;
    if options.preset.as_deref().unwrap_or(usual).starts_with(usual) {
        let wanted = [("dim", config.field.dim, dim), ("outputs", config.field.outputs, signal.channels())];
        if let Some((key, value, wanted)) = wanted.into_iter().find(|(_, value, wanted)| value != wanted) {
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
    let job = FitJob::begin(request, usual, usual, record, || Ok(SceneMap::default()), observer)?;
    observer.message(&format!("{}: {}", input.display(), signal.describe()));
    notes.iter().for_each(|note| observer.message(&format!("  note: {note}")));
    job.announce(observer);
    let (batch, seed) = (job.record.fit.train.batch, job.record.seed);
    let sampler = SignalSampler::new(&signal, transform, &sampling, batch, seed).ok_or_else(|| {
        Error::file(input, "signal.share, signal.block and signal.reduce leave nothing to learn from")
    })?;
    let model = job.train(TrainingData::Signal(Arc::new(sampler)), &|_, _, _| (), observer)?;
    let trained = job.code(model, observer, |model| {
        SignalGauge::of_signal(job.name(), &SignalModel::open(job.name(), model.clone())?, &signal)
    })?;
    job.finish(trained, observer, |model, _| {
        let opened = SignalModel::open(job.name(), model.clone())?;
        Ok(Some(Scores::Signal(opened.evaluate(&opened.reconstruct(), &signal)?)))
    })
}
