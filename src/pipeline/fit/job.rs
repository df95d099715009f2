//! The part that all fits share: resume, train, save what there is however it ends, and read it back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nstr_backend::backend::FieldOp;
use nstr_field::model::{Checkpoint, Domain, Model, Precision};
use nstr_fit::trainer::ObserverError;
use nstr_fit::{Observer, Progress, TaskState, TrainError, TrainState, Work, run_on};
use nstr_spec::FieldSpec;
use nstr_spec::init;
use serde_json::{Value, json};

use super::FitObserver;
use crate::error::{Context, Error};
use crate::fingerprint::input_fingerprint;
use crate::options::FitOptions;
use crate::record::FitRecord;

/// File that a fit in progress is kept in.
pub fn checkpoint_path(output: &Path) -> PathBuf {
    output.with_extension("checkpoint.safetensors")
}

/// When a model is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SaveReason {
    /// While training goes on: for a checkpoint or a snapshot, often.
    Checkpoint,
    /// After the last step, once.
    Finished,
}

/// Completes a model of a task's own from the state that it is made of; more thoroughly where it is [`SaveReason::Finished`].
pub(super) type Complete<'a> = &'a dyn Fn(&mut Model, &TrainState, SaveReason);

/// One fit: what is trained, from where, and what is kept.
pub(super) struct Job<'a> {
    pub options: &'a FitOptions,
    pub input: &'a Path,
    /// Name of the task in the file.
    pub task: &'static str,
    pub record: FitRecord,
    pub domain: Domain,
    pub state: TrainState,
    pub resumed: bool,
    pub start: Instant,
}

impl<'a> Job<'a> {
    /// The job from its record: a fresh state in `domain`, or the checkpoint's, whose record then holds (but for a budget
    /// that is asked for).
    pub fn begin(
        (options, input, start): (&'a FitOptions, &'a Path, Instant),
        task: &'static str,
        mut record: FitRecord,
        domain: impl FnOnce() -> Result<Domain, Error>,
        observer: &mut dyn FitObserver,
    ) -> Result<Self, Error> {
        record.fit.field.init.seed = record.seed;
        record.input = Some(input_fingerprint(input).map_err(Error::io(input))?);
        let path = options.output.as_deref().map(checkpoint_path);
        if let Some(path) = path.filter(|_| options.resume) {
            if path.exists() {
                let (record, domain, state) = resume(&path, record, options, input)?;
                return Ok(Self { options, input, task, record, domain, state, resumed: true, start });
            }
            observer.message(&format!("  no checkpoint at {}: starting afresh", path.display()));
        }
        let domain = domain()?;
        let spec = record.fit.field.spec();
        let (grid, mut net) = init::parameters(&spec, &record.fit.field.init);
        record.transport_from.clone_from(&options.transport_from);
        if let Some(other) = &options.transport_from {
            take_transport(&spec, &mut net, other)?;
        }
        let state = TrainState::new(grid, net);
        Ok(Self { options, input, task, record, domain, state, resumed: false, start })
    }

    /// The line before training begins.
    pub fn announce(&self, preset: &str, op: &FieldOp, observer: &mut dyn FitObserver) {
        let resumed = if self.resumed { format!(", resumed at step {}", self.state.step) } else { String::new() };
        observer.message(&format!(
            "  {preset}: {} parameters, {} on {}{resumed}; prepared in {:.2} s",
            op.spec().parameters(),
            self.record.budget,
            self.options.device,
            self.start.elapsed().as_secs_f64(),
        ));
    }

    /// Trains, writes the model whatever happens, and returns it as it was written.
    ///
    /// # Errors
    /// Fits that diverged, were stopped, or could not be written; what was learned is written first.
    pub fn train(
        &self,
        op: Arc<FieldOp>,
        work: Work,
        complete: Complete<'_>,
        observer: &mut dyn FitObserver,
    ) -> Result<Model, Error> {
        let (options, budget) = (self.options, self.record.budget);
        let prepared = self.start.elapsed();
        let config = self.record.fit.train.clone();
        let mut watch = Watch { job: self, complete, observer, saved: Instant::now() };
        let trained = run_on(options.device, op, config, &self.state, work, budget, &mut watch);
        let (state, failure) = match trained {
            Ok(state) => (state, None),
            Err(TrainError::Diverged { state, .. }) if state.step == 0 => {
                let reason = "training diverged at once; lower train.net_lr and train.grid_lr";
                return Err(Error::file(self.input, reason));
            }
            Err(TrainError::Diverged { step, loss, net_lr, grid_lr, good, state }) => {
                let kept = (*state).clone();
                (kept, Some(TrainError::Diverged { step, loss, net_lr, grid_lr, good, state }))
            }
            Err(error) => return Err(error).at(self.input),
        };
        let unfinished = budget.progress(state.step, state.elapsed) < 1.0;
        if unfinished && failure.is_none() {
            self.checkpoint(&state, complete)?;
        }
        let finished = !unfinished && failure.is_none();
        let mut model = self.model(&state);
        let metrics = [
            ("finished", f64::from(u8::from(finished))),
            ("fit_seconds", state.elapsed.as_secs_f64() + prepared.as_secs_f64()),
            ("train_seconds", state.elapsed.as_secs_f64()),
            ("steps", state.step as f64),
        ];
        model.metrics.extend(metrics.map(|(name, v)| (name.to_string(), v)));
        complete(&mut model, &state, SaveReason::Finished);
        // Parameters of a run that diverged may be too large for f16.
        let precision = if failure.is_some() { Precision::F32 } else { options.precision };
        let Some(output) = &options.output else {
            return match failure {
                Some(failure) => Err(failure).at(self.input),
                None if unfinished => Err(Error::Stopped(state.step)),
                None => Ok(model.rounded(precision)?),
            };
        };
        model.save(output, precision)?;
        if let Some(failure) = failure {
            let kept = || format!("{} (the last good model is in {})", self.input.display(), output.display());
            return Err(failure).context(kept);
        }
        let checkpoint = checkpoint_path(output);
        if unfinished {
            return Err(Error::Interrupted { step: state.step, model: output.clone(), checkpoint });
        }
        // The checkpoint has served its purpose; one that never was is fine too.
        let _ = std::fs::remove_file(&checkpoint);
        // What is measured is what was written: reload the rounded numbers.
        Ok(Model::load(output)?)
    }

    /// Writes the finished model again, with its metrics; its size in bytes where it has a file.
    pub fn save(&self, model: &Model) -> Result<(), Error> {
        match &self.options.output {
            Some(output) => Ok(model.save(output, self.options.precision)?),
            None => Ok(()),
        }
    }

    /// Size of the model's file in bytes, where one was written.
    pub fn file_bytes(&self) -> Result<Option<u64>, Error> {
        let size = |path: &PathBuf| std::fs::metadata(path).map(|m| m.len()).map_err(Error::io(path));
        self.options.output.as_ref().map(size).transpose()
    }

    /// Name of the model in messages.
    pub fn name(&self) -> &Path {
        self.options.output.as_deref().unwrap_or(self.input)
    }

    fn model(&self, state: &TrainState) -> Model {
        let (grid, net) = state.result();
        Model {
            spec: self.record.fit.field.spec(),
            domain: self.domain.clone(),
            grid: grid.to_vec(),
            net: net.to_vec(),
            config: serde_json::to_value(&self.record).unwrap_or_default(),
            provenance: BTreeMap::from([
                ("input".into(), self.input.file_name().unwrap_or_default().to_string_lossy().into_owned()),
                ("program".into(), format!("nstr {}", env!("CARGO_PKG_VERSION"))),
                ("task".into(), self.task.into()),
            ]),
            metrics: BTreeMap::new(),
            occupancy: None,
        }
    }

    fn checkpoint(&self, state: &TrainState, complete: Complete<'_>) -> Result<(), Error> {
        let Some(output) = &self.options.output else { return Ok(()) };
        let mut model = self.model(state);
        complete(&mut model, state, SaveReason::Checkpoint);
        // What goes on is the parameters themselves, not their average.
        (model.grid, model.net) = (state.grid.clone(), state.net.clone());
        let mut arrays = state.task.arrays.clone();
        for (name, values) in AVERAGES.iter().zip(state.averages.iter().flatten()) {
            arrays.insert(name.to_string(), values.clone());
        }
        let progress =
            json!({ "step": state.step, "elapsed": state.elapsed.as_secs_f64(), "task": state.task.numbers });
        let (grid_moments, net_moments) = (state.grid_moments.clone(), state.net_moments.clone());
        Ok(Checkpoint { model, grid_moments, net_moments, state: progress, arrays }.save(checkpoint_path(output))?)
    }
}

/// Passes a run on to the fit's observer, and saves checkpoints.
struct Watch<'a> {
    job: &'a Job<'a>,
    complete: Complete<'a>,
    observer: &'a mut dyn FitObserver,
    saved: Instant,
}

impl Watch<'_> {
    fn is_due(&self) -> bool {
        self.job.options.output.is_some() && self.saved.elapsed() >= self.job.options.checkpoint_every
    }
}

impl Observer for Watch<'_> {
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
            self.job.checkpoint(state, self.complete)?;
            self.saved = Instant::now();
        }
        if self.observer.wants_snapshot() {
            let mut model = self.job.model(state);
            (self.complete)(&mut model, state, SaveReason::Checkpoint);
            self.observer.snapshot(model);
        }
        Ok(())
    }
}

/// Record, domain and state of the checkpoint at `path`, where it fits what is asked for.
fn resume(
    path: &Path,
    asked: FitRecord,
    options: &FitOptions,
    input: &Path,
) -> Result<(FitRecord, Domain, TrainState), Error> {
    let found = Checkpoint::load(path)?;
    let kept = FitRecord::of(&found.model)
        .map_err(|_| Error::file(path, "its record of the fit cannot be read; fit afresh without --resume"))?;
    let settings = |r: &FitRecord| (r.fit.clone(), r.seed, r.sign.clone(), r.capture.clone(), r.signal.clone());
    if settings(&asked) != settings(&kept) {
        let reason = "made with other settings (preset, --set, --seed, sign or capture options); give the same, or fit afresh \
                      without --resume";
        return Err(Error::file(path, reason));
    }
    let budget = if options.budget.is_some() { asked.budget } else { kept.budget };
    // Older checkpoints don't know their input.
    if kept.input.is_some() && kept.input != asked.input {
        let before = found.model.provenance.get("input").map_or("another input", String::as_str);
        let reason = format!(
            "made from {before} as it was then, not from {} as it is; fit afresh without --resume",
            input.display()
        );
        return Err(Error::file(path, reason));
    }
    let domain = found.model.domain.clone();
    Ok((FitRecord { budget, ..kept }, domain, state_of(found)))
}

/// Puts another model's transport network into `net`.
fn take_transport(spec: &FieldSpec, net: &mut [f32], from: &Path) -> Result<(), Error> {
    let other = Model::load(from)?;
    let (ours, theirs) = (spec.net_layout(), other.spec.net_layout());
    let shape = |spec: &FieldSpec| (spec.dim, spec.spectrum_width(), spec.transport);
    if !spec.transports() || !other.spec.transports() || shape(spec) != shape(&other.spec) {
        let text = |spec: &FieldSpec| match spec.transports() {
            true => format!(
                "{} coordinates, S of {}, hidden layers {} × {}",
                spec.dim,
                spec.spectrum_width(),
                spec.transport.layers,
                spec.transport.width
            ),
            false => "none".into(),
        };
        let reason = format!(
            "its transport network does not fit: {}, here {}; give both fits the same preset, basis and transport options",
            text(&other.spec),
            text(spec)
        );
        return Err(Error::file(from, reason));
    }
    net[ours.transport_range()].copy_from_slice(&other.net[theirs.transport_range()]);
    Ok(())
}

/// Names of the averages among a checkpoint's arrays.
const AVERAGES: [&str; 2] = ["average.grid", "average.net"];

/// The state that a checkpoint holds.
fn state_of(mut found: Checkpoint) -> TrainState {
    let number = |key: &str| found.state.get(key).and_then(Value::as_f64).unwrap_or(0.0);
    let numbers = found.state.get("task").cloned().and_then(|v| serde_json::from_value(v).ok()).unwrap_or_default();
    let averages = AVERAGES.map(|name| found.arrays.remove(name));
    let averages = if let [Some(grid), Some(net)] = averages { Some([grid, net]) } else { None };
    TrainState {
        step: number("step") as u64,
        elapsed: Duration::from_secs_f64(number("elapsed").max(0.0)),
        grid: found.model.grid,
        net: found.model.net,
        grid_moments: found.grid_moments,
        net_moments: found.net_moments,
        averages,
        task: TaskState { numbers, arrays: found.arrays },
    }
}
