//! What every fit does around its training: resume, train, save what there is however it ends, and read it back.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nstr::field::backend::FieldOp;
use nstr::field::init;
use nstr::field::model::{Checkpoint, Domain, Model, Precision};
use nstr::fit::{Observer, TaskState, TrainError, TrainState, Work, run_on};
use nstr::kernel::spec::FieldSpec;
use serde_json::{Value, json};

use super::{FitArgs, Recipe};
use crate::cli::content::hash;
use crate::cli::output::check_file;
use crate::cli::watch::{Watch, interrupted};

/// Where a fit in progress is kept.
pub fn checkpoint_path(output: &Path) -> PathBuf {
    output.with_extension("checkpoint.safetensors")
}

/// Refuses a device that is not there, and outputs that could not be written at the end: the model, figures, and a picture
/// or a sound of these `endings`.
pub fn check_outputs(args: &FitArgs, output: &Path, endings: &[&str]) -> anyhow::Result<()> {
    args.device.check()?;
    check_file(output, "a model's name", &["safetensors"])?;
    if let Some(file) = &args.json {
        check_file(file, "the figures' name", &[])?;
    }
    match &args.render {
        Some(file) => check_file(file, "the name of what --render writes", endings),
        None => Ok(()),
    }
}

/// Puts another model's F into `net`.
fn take_transport(spec: &FieldSpec, net: &mut [f32], from: &Path) -> anyhow::Result<()> {
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
        bail!(
            "{}: its transport network does not fit: {}, here {}; give both fits the same preset, basis and transport options",
            from.display(),
            text(&other.spec),
            text(spec)
        );
    }
    net[ours.transport_range()].copy_from_slice(&other.net[theirs.transport_range()]);
    Ok(())
}

/// Completes a model of a task's own from the state that it is made of; more thoroughly where it is the [`Moment::End`].
type Complete<'a> = &'a dyn Fn(&mut Model, &TrainState, Moment) -> anyhow::Result<()>;

/// When a model is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// While training goes on: for a checkpoint or a window, often.
    Between,
    /// After the last step, once.
    End,
}

/// One fit: what is trained, from where, and what is kept.
pub struct Job<'a> {
    pub args: &'a FitArgs,
    pub input: &'a Path,
    pub output: &'a Path,
    /// Name of the task in the file.
    pub task: &'static str,
    pub recipe: Recipe,
    pub domain: Domain,
    pub state: TrainState,
    pub resumed: bool,
    pub quiet: bool,
    pub start: Instant,
    pub stop: Arc<AtomicBool>,
}

impl<'a> Job<'a> {
    /// The job from its recipe: a fresh state in `domain`, or the checkpoint's, whose recipe then holds (but for a budget
    /// that is asked for).
    pub fn begin(
        args: &'a FitArgs,
        input: &'a Path,
        output: &'a Path,
        task: &'static str,
        mut recipe: Recipe,
        domain: impl FnOnce(&Recipe) -> anyhow::Result<Domain>,
        (quiet, start): (bool, Instant),
    ) -> anyhow::Result<Self> {
        let stop = interrupted()?;
        recipe.fit.field.init.seed = recipe.seed;
        recipe.input = Some(hash(input).with_context(|| input.display().to_string())?);
        let path = checkpoint_path(output);
        if args.resume && path.exists() {
            let found = Checkpoint::load(&path)?;
            let kept: Recipe = serde_json::from_value(found.model.config.clone()).with_context(|| {
                format!("{}: its recipe cannot be read; fit afresh without --resume", path.display())
            })?;
            let settings = |r: &Recipe| (r.fit.clone(), r.seed, r.sign.clone(), r.capture.clone(), r.signal.clone());
            if settings(&recipe) != settings(&kept) {
                bail!(
                    "{}: made with other settings (preset, --set, --seed, sign or capture options); give the same, or fit \
                     afresh without --resume",
                    path.display()
                );
            }
            let budget = if args.steps.is_some() || args.time.is_some() { recipe.budget } else { kept.budget };
            // Older checkpoints don't know their input.
            if kept.input.is_some() && kept.input != recipe.input {
                let before = found.model.provenance.get("input").map_or("another input", String::as_str);
                bail!(
                    "{}: made from {before} as it was then, not from {} as it is; fit afresh without --resume",
                    path.display(),
                    input.display()
                );
            }
            let domain = found.model.domain.clone();
            let (recipe, state) = (Recipe { budget, ..kept }, state_of(found));
            return Ok(Self { args, input, output, task, recipe, domain, state, resumed: true, quiet, start, stop });
        }
        if args.resume {
            eprintln!("  no checkpoint at {}: starting afresh", path.display());
        }
        let domain = domain(&recipe)?;
        let (grid, mut net) = init::parameters(&recipe.fit.field.spec(), &recipe.fit.field.init);
        recipe.transport_from.clone_from(&args.transport_from);
        if let Some(other) = &args.transport_from {
            take_transport(&recipe.fit.field.spec(), &mut net, other)?;
        }
        let state = TrainState::new(grid, net);
        Ok(Self { args, input, output, task, recipe, domain, state, resumed: false, quiet, start, stop })
    }

    /// Prints a line unless quiet.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// The line before training begins.
    pub fn announce(&self, preset: &str, op: &FieldOp) {
        let resumed = if self.resumed { format!(", resumed at step {}", self.state.step) } else { String::new() };
        self.say(&format!(
            "  {preset}: {} parameters, {} on {}{resumed}; prepared in {:.2} s",
            op.spec().parameters(),
            self.recipe.budget,
            self.args.device,
            self.start.elapsed().as_secs_f64(),
        ));
    }

    /// Trains, writes the model whatever happens, and returns it as it was written; an error unless it is finished.
    pub fn train(&self, op: Arc<FieldOp>, work: Work, complete: Complete<'_>) -> anyhow::Result<Model> {
        let (args, output, budget) = (self.args, self.output, self.recipe.budget);
        let prepared = self.start.elapsed();
        let checkpoint = checkpoint_path(output);
        let save = |state: &TrainState| self.checkpoint(state, complete).map(|()| checkpoint.clone());
        // A run that is recorded says nothing, but shows how far it is where that leaves no trace.
        let silent = self.quiet && (args.recording.is_none() || !std::io::stderr().is_terminal());
        let mut watch = Watch::new(silent, Some(args.checkpoint_every), self.stop.clone(), save)?;
        let train = self.recipe.fit.train.clone();
        let look = |state: &TrainState| {
            let mut model = self.model(state);
            complete(&mut model, state, Moment::Between)?;
            Ok(model)
        };
        let trained = args.live.watch(&mut watch, output, &look, |observer| {
            let run = |observer: &mut dyn Observer| run_on(args.device, op, train, &self.state, work, budget, observer);
            match &args.recording {
                Some(recording) => run(&mut recording.observe(observer)),
                None => run(observer),
            }
        });
        watch.finish();
        drop(watch);
        let (state, failure) = match trained {
            Ok(state) => (state, None),
            Err(TrainError::Diverged { state, .. }) if state.step == 0 => {
                bail!("{}: training diverged at once; lower train.net_lr and train.grid_lr", self.input.display())
            }
            Err(TrainError::Diverged { step, loss, net_lr, grid_lr, good, state }) => {
                let kept = (*state).clone();
                (kept, Some(TrainError::Diverged { step, loss, net_lr, grid_lr, good, state }))
            }
            Err(error) => return Err(error).with_context(|| self.input.display().to_string()),
        };
        let unfinished = budget.progress(state.step, state.elapsed) < 1.0;
        if unfinished && failure.is_none() {
            save(&state)?;
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
        complete(&mut model, &state, Moment::End)?;
        // Parameters of a run that diverged may be too large for f16.
        model.save(output, if failure.is_some() { Precision::F32 } else { args.precision })?;
        if let Some(failure) = failure {
            return Err(failure)
                .with_context(|| format!("{} (the last good model is in {})", self.input.display(), output.display()));
        }
        if unfinished {
            bail!(
                "interrupted at step {}: the model so far is in {}, and --resume goes on from {}",
                state.step,
                output.display(),
                checkpoint.display()
            );
        }
        // The checkpoint has served its purpose; one that never was is fine too.
        let _ = std::fs::remove_file(&checkpoint);
        // What is measured is what was written: reload the rounded numbers.
        Ok(Model::load(output)?)
    }

    fn model(&self, state: &TrainState) -> Model {
        let (grid, net) = state.result();
        Model {
            spec: self.recipe.fit.field.spec(),
            domain: self.domain.clone(),
            grid: grid.to_vec(),
            net: net.to_vec(),
            config: serde_json::to_value(&self.recipe).unwrap_or_default(),
            provenance: BTreeMap::from([
                ("input".into(), self.input.file_name().unwrap_or_default().to_string_lossy().into_owned()),
                ("program".into(), format!("nstr {}", env!("CARGO_PKG_VERSION"))),
                ("task".into(), self.task.into()),
            ]),
            metrics: BTreeMap::new(),
            occupancy: None,
        }
    }

    fn checkpoint(&self, state: &TrainState, complete: Complete<'_>) -> anyhow::Result<()> {
        let mut model = self.model(state);
        complete(&mut model, state, Moment::Between)?;
        // What goes on is the parameters themselves, not their average.
        (model.grid, model.net) = (state.grid.clone(), state.net.clone());
        let mut arrays = state.task.arrays.clone();
        for (name, values) in AVERAGES.iter().zip(state.averages.iter().flatten()) {
            arrays.insert(name.to_string(), values.clone());
        }
        let progress =
            json!({ "step": state.step, "elapsed": state.elapsed.as_secs_f64(), "task": state.task.numbers });
        let (grid_moments, net_moments) = (state.grid_moments.clone(), state.net_moments.clone());
        Checkpoint { model, grid_moments, net_moments, state: progress, arrays }.save(checkpoint_path(self.output))?;
        Ok(())
    }
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
