//! The part that all fits share: resume, train, save what there is however it ends, and measure it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nstr_backend::backend::FieldOp;
use nstr_field::model::compact::CompactFile;
use nstr_field::model::{Model, ModelError, ModelErrorKind, Precision, is_compact_name};
use nstr_files::{Target, decimals};
use nstr_fit::{
    Observer, ObserverError, Progress, RoundingState, RunReport, SizeTarget, StageObserver, TrainError, TrainState,
    TrainingData, train,
};
use nstr_space::{Cube, SceneMap};

use super::checkpoint::{self, checkpoint_path, is_finished};
use super::replaced::Replacement;
use super::transport::copy_transport;
use super::{FitObserver, Fitted};
use crate::compact::{
    Gauge, RoundedModel, compact_trained, compact_with, least_bytes, section_bytes, trained_steps,
    without_untrained_transport,
};
use crate::error::{Context, Error};
use crate::evaluate::Scores;
use crate::fingerprint::input_fingerprint;
use crate::options::FitOptions;
use crate::record::FitRecord;

/// A fit that was asked for.
#[derive(Clone, Copy)]
pub(super) struct FitRequest<'a> {
    pub input: &'a Path,
    pub options: &'a FitOptions,
    /// When it was asked for.
    start: Instant,
}

impl<'a> FitRequest<'a> {
    /// Starts the clock, and checks that the device is there, and that the output can have the wanted size, before anything is read.
    pub fn new(input: &'a Path, options: &'a FitOptions) -> Result<Self, Error> {
        // What is not there has no kind that the preset could fail to suit.
        std::fs::metadata(input).map_err(|e| Error::file(input, format!("cannot read: {e}")))?;
        options.device.check().map_err(TrainError::from)?;
        options.compact.check()?;
        let rate = options.compact.max_bytes.map(|_| "--max-size").or(options.compact.loss.map(|_| "--loss"));
        if let Some(rate) = rate.filter(|_| compact_output(options).is_none()) {
            return Err(Error::option(format!("{rate} is for compact models: name the output with -o NAME.nstr")));
        }
        Ok(Self { input, options, start: Instant::now() })
    }
}

/// Occasion on which a model is made of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SaveReason {
    /// A checkpoint or a snapshot while training goes on; often.
    Checkpoint,
    /// The end of training; once.
    Finished,
}

/// Adds to a model what its task knows beside the parameters; more thoroughly where it is [`SaveReason::Finished`].
pub(super) type CompleteModel<'a> = &'a dyn Fn(&mut Model, &TrainState, SaveReason);

/// A fit that is ready to train.
pub(super) struct FitJob<'a> {
    request: FitRequest<'a>,
    /// Name of the task in the model's file.
    task: &'static str,
    /// Name of the preset.
    preset: String,
    pub record: FitRecord,
    /// Map from the world to the field's unit cube.
    pub map: SceneMap,
    pub op: Arc<FieldOp>,
    pub state: TrainState,
    pub resumed: bool,
    /// Report of the training, once it has ended.
    report: RefCell<Option<RunReport>>,
    /// What was rounded in training, once it has ended.
    rounded: RefCell<Option<Rounded>>,
}

/// Parameters of a finished fit that rounded them, as they were before that, and their steps.
struct Rounded {
    steps: RoundingState,
    grid: Vec<f32>,
    net: Vec<f32>,
}

impl<'a> FitJob<'a> {
    /// The job from its record: a fresh state in the cube of `map`, or the checkpoint's, whose record then holds but for a budget that
    /// is asked for. `usual` is the preset where none is named. A line tells of the model that the fit will replace, if that is another.
    pub fn begin(
        request: FitRequest<'a>,
        task: &'static str,
        usual: &str,
        mut record: FitRecord,
        map: impl FnOnce() -> Result<SceneMap, Error>,
        observer: &mut dyn FitObserver,
    ) -> Result<Self, Error> {
        let FitRequest { input, options, .. } = request;
        record.fit.field.init.seed = record.seed;
        let least = least_bytes(&record.fit.field.spec());
        if let Some(most) = options.compact.max_bytes.filter(|most| *most < least) {
            let reason =
                format!("--max-size {most}: the networks alone take about {least} bytes; choose a smaller preset");
            return Err(Error::Option(reason));
        }
        record.input = Some(input_fingerprint(input).map_err(Error::io(input))?);
        let preset = options.preset.as_deref().unwrap_or(usual);
        let ready = |record: FitRecord, map, state, resumed, observer: &mut dyn FitObserver| {
            let precision = record.fit.train.gradient_precision();
            let op = FieldOp::with_precision(record.fit.field.spec(), precision);
            let (fingerprint, parameters) = (record.input.as_deref(), op.spec().parameters());
            let replacement = Replacement { input, fingerprint, preset, parameters };
            if let Some(note) = options.output.as_deref().and_then(|output| replacement.note(output)) {
                observer.message(&note);
            }
            Self {
                request,
                task,
                preset: preset.into(),
                record,
                map,
                op,
                state,
                resumed,
                report: RefCell::default(),
                rounded: RefCell::default(),
            }
        };
        if let Some(path) = checkpoint_of(options).filter(|_| options.resume) {
            if path.exists() {
                let (record, map, state) = checkpoint::resume(&path, &record, &request)?;
                return Ok(ready(record, map, state, true, observer));
            }
            observer.message(&format!("  no checkpoint at {}: starting afresh", path.display()));
        }
        let map = map()?;
        let spec = record.fit.field.spec();
        let (grid, mut net) = record.fit.initial_parameters(&spec, &map);
        record.transport_from.clone_from(&options.transport_from);
        if let Some(other) = &options.transport_from {
            copy_transport(&spec, &mut net, other)?;
        }
        Ok(ready(record, map, TrainState::new(grid, net), false, observer))
    }

    /// Sends the line about what is trained.
    pub fn announce(&self, observer: &mut dyn FitObserver) {
        let (options, preset) = (self.request.options, &self.preset);
        let resumed = if self.resumed { format!(", resumed at step {}", self.state.step) } else { String::new() };
        observer.message(&format!(
            "  {preset}: {} parameters, {} on {}{resumed}; prepared in {:.2} s",
            self.op.spec().parameters(),
            self.record.budget,
            options.device,
            self.request.start.elapsed().as_secs_f64(),
        ));
    }

    /// Trains, writes the model however training ends, and returns it as it was written. A finished model whose file is a compact one
    /// is left to [`Self::code`], with its checkpoint.
    ///
    /// # Errors
    /// Fits that diverged, were stopped, or could not be written; what was learned is written first.
    pub fn train(
        &self,
        data: impl Into<TrainingData>,
        complete: CompleteModel<'_>,
        observer: &mut dyn FitObserver,
    ) -> Result<Model, Error> {
        let FitRequest { input, options, start } = self.request;
        let prepared = start.elapsed();
        let (mut config, budget) = (self.record.fit.train.clone(), self.record.budget);
        config.size = self.size_target()?;
        let mut saver =
            Saver { job: self, complete, observer: &mut *observer, saved: Instant::now(), has_warned: false };
        let (state, failure) =
            match train(options.device, self.op.clone(), config, &self.state, data, budget, &mut saver) {
                Ok(state) => (state, None),
                Err(TrainError::Diverged { state, .. }) if state.step == 0 => {
                    let reason = "training diverged at once; lower train.net_lr and train.grid_lr";
                    return Err(Error::file(input, reason));
                }
                Err(TrainError::Diverged { step, loss, net_lr, grid_lr, good, state }) => {
                    let kept = (*state).clone();
                    (kept, Some(TrainError::Diverged { step, loss, net_lr, grid_lr, good, state }))
                }
                Err(error) => return Err(error).at(input),
            };
        let stopped = failure.is_none() && budget.progress(state.step, state.elapsed) < 1.0;
        let checkpoint = checkpoint_of(options);
        let is_compact = compact_output(options).is_some();
        let saved =
            if stopped || (is_compact && failure.is_none()) { self.save_checkpoint(&state, complete) } else { Ok(()) };
        let mut model = self.model(&state);
        if is_compact && let Some(steps) = state.rounding.clone() {
            let (grid, net) = state.inference_params();
            self.rounded.replace(Some(Rounded { steps, grid: grid.to_vec(), net: net.to_vec() }));
        }
        // A fit that is killed while it is measured has not finished.
        let finished = failure.is_none() && !stopped && !options.evaluate;
        let metrics = [
            ("finished", f64::from(u8::from(finished))),
            ("fit_seconds", state.elapsed.as_secs_f64() + prepared.as_secs_f64()),
            ("train_seconds", state.elapsed.as_secs_f64()),
            ("steps", state.step as f64),
        ];
        model.metrics.extend(metrics.map(|(name, v)| (name.to_string(), v)));
        complete(&mut model, &state, SaveReason::Finished);
        // Parameters of a run that diverged may be too large for f16.
        let is_exact = failure.is_some() || is_compact;
        let precision = if is_exact { Precision::F32 } else { precision(&model, options.precision) };
        if precision != options.precision && !is_exact {
            observer.warning("  warning: the parameters are too large for f16; the model is written in f32");
        }
        let Some(output) = &options.output else {
            return match failure {
                Some(failure) => Err(failure).at(input),
                None if stopped => Err(Error::Stopped(state.step)),
                None => Ok(model.rounded(precision)?),
            };
        };
        if let Some(failure) = failure {
            let kept = beside_finished(output);
            keep(&model, &kept, precision)?;
            return Err(failure)
                .context(|| format!("{} (the last good model is in {})", input.display(), kept.display()));
        }
        if stopped {
            let checkpoint = match saved {
                Ok(()) => checkpoint,
                // Nothing else would keep what was learned.
                Err(error) if is_finished(output) => {
                    let kept = beside_finished(output);
                    keep(&model, &kept, precision)?;
                    return Err(error).context(|| format!("interrupted (the model so far is in {})", kept.display()));
                }
                Err(error) => {
                    observer.warning(&format!("  warning: no checkpoint could be written: {error}"));
                    None
                }
            };
            // A finished model is worth more than a fit that has begun, which has its checkpoint.
            let replaced = is_compact || !is_finished(output);
            let kept = if is_compact { beside_finished(output) } else { output.clone() };
            if replaced {
                keep(&model, &kept, precision)?;
            }
            return Err(Error::Interrupted { step: state.step, model: kept, replaced, checkpoint });
        }
        if is_compact {
            if let Err(error) = saved {
                observer.warning(&format!("  warning: no checkpoint could be written: {error}"));
            }
            return Ok(model);
        }
        // What can be written only once is written with its metrics.
        if !is_file(output) {
            return Ok(model.rounded(precision)?);
        }
        keep(&model, output, precision)?;
        // Metrics are taken on the rounded numbers of the file.
        Ok(Model::load(output)?)
    }

    /// Codes a finished model, and writes it, where its file is a compact one; `gauge` measures what it loses.
    ///
    /// # Errors
    /// Sizes that are too small, files that cannot be written; the model is then kept beside the output.
    pub fn code<G: Gauge>(
        &self,
        model: Model,
        observer: &mut dyn FitObserver,
        gauge: impl FnOnce(&Model) -> Result<G, Error>,
    ) -> Result<TrainedModel, Error> {
        let FitRequest { input, options, .. } = self.request;
        let Some(output) = compact_output(options) else { return Ok(TrainedModel { model, file: None }) };
        let start = Instant::now();
        let model = without_untrained_transport(&model);
        let mut rate = options.compact;
        rate.max_bytes = rate.max_bytes.map(|most| most.saturating_sub(SCORE_BYTES));
        let rounded = self.rounded.take();
        let was_rounded = rounded.is_some();
        let mut stage = |name: &str, fraction| observer.stage(name, fraction);
        let code = || match rounded {
            Some(Rounded { steps, grid, net }) => {
                let (spec, config) = (self.op.spec().clone(), model.config.clone());
                let exact = without_untrained_transport(&Model { spec, grid, net, config, ..model.clone() });
                let steps = trained_steps(&steps, self.op.spec(), &exact);
                let trained = RoundedModel { rounded: &model, exact: &exact, steps };
                compact_trained(&trained, &gauge(&exact)?, &rate, &mut stage)
            }
            None => compact_with(&model, &gauge(&model)?, &rate, &mut stage),
        };
        let coded = match code() {
            Ok(coded) => coded,
            Err(error) => {
                let kept = beside_finished(output);
                keep(&model, &kept, Precision::F32)?;
                return Err(error).context(|| format!("{} (the model is in {})", input.display(), kept.display()));
            }
        };
        let before = if was_rounded { "its own parameters before their rounding" } else { "the model before" };
        let trained = if was_rounded { "trained for the size, " } else { "" };
        observer.message(&format!(
            "  coded in {:.1} s: {:.1} kB, {trained}{} dB below {before} ({})",
            start.elapsed().as_secs_f64(),
            coded.file.len() as f64 / 1e3,
            decimals(coded.loss, 3),
            coded.measured_on,
        ));
        if is_file(output) {
            keep_with(output, &|path| coded.file.save(path))?;
        }
        Ok(TrainedModel { model: coded.model, file: Some(coded.file) })
    }

    /// Measures a finished model where that is asked for, stores the metrics with it, and removes the checkpoint. `evaluate`
    /// may have nothing to measure against.
    pub fn finish(
        &self,
        trained: TrainedModel,
        observer: &mut dyn FitObserver,
        evaluate: impl FnOnce(&Model, &mut StageObserver<'_>) -> Result<Option<Scores>, Error>,
    ) -> Result<Fitted, Error> {
        let FitRequest { options, .. } = self.request;
        let TrainedModel { mut model, mut file } = trained;
        let scores = match options.evaluate {
            true => evaluate(&model, &mut |name, fraction| observer.stage(name, fraction)),
            false => Ok(None),
        };
        model.metrics.insert("finished".into(), 1.0);
        if let Ok(Some(scores)) = &scores {
            scores.store_in(&mut model);
        }
        if let Some(file) = &mut file {
            set_header(file, &model, options.compact.max_bytes)?;
        }
        let save = |output: &Path| match &file {
            Some(file) => file.save(output),
            None => model.save(output, precision(&model, options.precision)),
        };
        let mut is_stored = true;
        match options.output.as_deref() {
            Some(output) if !is_file(output) => keep_with(output, &save)?,
            // The model is there already, without them.
            Some(output) if options.evaluate || file.is_some() => {
                if let Err(error) = save(output) {
                    is_stored = false;
                    observer.warning(&format!("  warning: the metrics are not stored in the model: {error}"));
                }
            }
            _ => {}
        }
        // Only now has the checkpoint served its purpose: a run that is killed while it measures goes on from there.
        if let Some(checkpoint) = checkpoint_of(options).filter(|_| is_stored && !options.keep_checkpoint) {
            // There may have been none.
            let _ = std::fs::remove_file(checkpoint);
        }
        let scores = scores.context(|| match &options.output {
            Some(output) => format!("{} was written, but cannot be measured", output.display()),
            None => format!("the model of {} cannot be measured", self.request.input.display()),
        })?;
        let size = |path: &Path| std::fs::metadata(path).map(|m| m.len()).map_err(Error::io(path));
        let file_bytes = options.output.as_deref().filter(|output| is_file(output)).map(size).transpose()?;
        Ok(Fitted { model, scores, file_bytes, mesh: None, report: self.report.take() })
    }

    /// Cube of the world that the field is defined on.
    pub fn cube(&self) -> Cube {
        self.map.cube()
    }

    /// Name of the model in messages.
    pub fn name(&self) -> &Path {
        self.request.options.output.as_deref().unwrap_or(self.request.input)
    }

    /// Size that parameters are rounded for in training; none where there is none, or a loss is asked for, too.
    fn size_target(&self) -> Result<Option<SizeTarget>, Error> {
        let rate = self.request.options.compact;
        let Some(most) = rate.max_bytes.filter(|_| rate.loss.is_none()) else { return Ok(None) };
        let has_transport =
            self.record.fit.train.regularizers.trains_transport() || self.record.transport_from.is_some();
        let bytes = section_bytes(&self.model(&self.state), most, SCORE_BYTES)?;
        Ok(Some(SizeTarget { bytes, has_transport }))
    }

    fn model(&self, state: &TrainState) -> Model {
        let (grid, net) = state.inference_params();
        let (spec, mut grid, mut net) = (self.record.fit.field.spec(), grid.to_vec(), net.to_vec());
        if let Some(rounding) = &state.rounding {
            rounding.round(&spec, &mut grid, &mut net);
        }
        Model {
            spec,
            map: self.map,
            units: String::new(),
            grid,
            net,
            config: serde_json::to_value(&self.record).unwrap_or_default(),
            provenance: BTreeMap::from([
                ("input".into(), self.request.input.file_name().unwrap_or_default().to_string_lossy().into_owned()),
                ("preset".into(), self.preset.clone()),
                ("program".into(), format!("nstr {}", env!("CARGO_PKG_VERSION"))),
                ("task".into(), self.task.into()),
            ]),
            metrics: BTreeMap::new(),
            occupancy: None,
        }
    }

    fn unfinished_model(&self, state: &TrainState, complete: CompleteModel<'_>) -> Model {
        let mut model = self.model(state);
        complete(&mut model, state, SaveReason::Checkpoint);
        model
    }

    fn save_checkpoint(&self, state: &TrainState, complete: CompleteModel<'_>) -> Result<(), Error> {
        let Some(path) = checkpoint_of(self.request.options) else { return Ok(()) };
        checkpoint::save(&path, self.unfinished_model(state, complete), state)
    }
}

/// File of the checkpoints of a fit; none where it writes no file, or into a device or a pipe.
pub(super) fn checkpoint_of(options: &FitOptions) -> Option<PathBuf> {
    options.output.as_deref().filter(|output| is_file(output)).map(checkpoint_path)
}

/// `true` if a model that is written to `output` can be read back.
fn is_file(output: &Path) -> bool {
    // Where it can't be resolved, writing says why.
    !matches!(nstr_files::resolve(output), Ok(Target::Stream(_) | Target::Stdout | Target::Stderr))
}

/// The precision that is asked for, or f32 where that cannot hold the parameters.
fn precision(model: &Model, asked: Precision) -> Precision {
    let holds = |e: ModelError| !matches!(e.kind, ModelErrorKind::Tensor { .. });
    if model.rounded(asked).map_or_else(holds, |_| true) { asked } else { Precision::F32 }
}

/// A model that was trained, as it was written.
pub(super) struct TrainedModel {
    model: Model,
    /// Its file, where that is a compact one.
    file: Option<CompactFile>,
}

/// The output, where it is a compact file.
fn compact_output(options: &FitOptions) -> Option<&Path> {
    options.output.as_deref().filter(|output| is_compact_name(output))
}

/// Bytes of a compact file that are kept free for the scores in its header.
const SCORE_BYTES: u64 = 512;
/// Metrics that stay in the header of a compact file whatever its size.
const KEPT_METRICS: [&str; 4] = ["finished", "fit_seconds", "steps", "lipschitz"];

/// Takes the header of `model`; without its scores, should they make the file larger than `most` bytes.
fn set_header(file: &mut CompactFile, model: &Model, most: Option<u64>) -> Result<(), Error> {
    let wrong = |kind| Error::from(ModelError { path: "model".into(), kind });
    file.set_header(model).map_err(wrong)?;
    if most.is_some_and(|most| file.len() as u64 > most) {
        let mut bare = model.clone();
        bare.metrics.retain(|name, _| KEPT_METRICS.contains(&name.as_str()));
        file.set_header(&bare).map_err(wrong)?;
    }
    Ok(())
}

/// `output`, or a name beside it where a finished model has that, or where it is for a compact file.
fn beside_finished(output: &Path) -> PathBuf {
    if is_compact_name(output) || is_finished(output) {
        output.with_extension("unfinished.safetensors")
    } else {
        output.to_path_buf()
    }
}

/// Writes a model to `output`, or to the folder for temporary files where that fails: the error then tells where it is.
fn keep(model: &Model, output: &Path, precision: Precision) -> Result<(), Error> {
    keep_with(output, &|path| model.save(path, precision))
}

/// [`keep`], of what `save` writes.
fn keep_with(output: &Path, save: &dyn Fn(&Path) -> Result<(), ModelError>) -> Result<(), Error> {
    let Err(error) = save(output) else { return Ok(()) };
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let rescued = std::env::temp_dir().join(format!("nstr-{}-{name}", std::process::id()));
    if save(&rescued).is_err() {
        return Err(error.into());
    }
    Err(error).context(|| format!("the model is in {} instead", rescued.display()))
}

/// Passes a run's reports on to the fit's observer, and saves checkpoints.
struct Saver<'a> {
    job: &'a FitJob<'a>,
    complete: CompleteModel<'a>,
    observer: &'a mut dyn FitObserver,
    saved: Instant,
    /// Whether the failure of a checkpoint was reported.
    has_warned: bool,
}

impl Saver<'_> {
    fn is_due(&self) -> bool {
        let options = self.job.request.options;
        self.saved.elapsed() >= options.checkpoint_every && checkpoint_of(options).is_some()
    }
}

impl Observer for Saver<'_> {
    fn report(&mut self, report: &RunReport) {
        self.job.report.replace(Some(report.clone()));
    }

    fn progress(&mut self, progress: &Progress) -> bool {
        self.observer.progress(progress)
    }

    fn idle(&self) -> Duration {
        self.observer.idle()
    }

    fn checkpoint_every(&self) -> Option<Duration> {
        (self.is_due() || self.observer.wants_snapshot()).then_some(Duration::ZERO)
    }

    fn checkpoint(&mut self, state: &TrainState) -> Result<(), ObserverError> {
        if self.is_due() {
            // The fit is worth more than its checkpoints: the disk may have room again for the next one.
            if let Err(error) = self.job.save_checkpoint(state, self.complete)
                && !std::mem::replace(&mut self.has_warned, true)
            {
                self.observer.warning(&format!("  warning: no checkpoint could be written, the fit goes on: {error}"));
            }
            self.saved = Instant::now();
        }
        if self.observer.wants_snapshot() {
            self.observer.snapshot(self.job.unfinished_model(state, self.complete));
        }
        Ok(())
    }
}
