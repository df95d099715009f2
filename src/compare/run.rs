//! Runs of a comparison: fit, evaluation, record.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nstr_capture::is_capture;
use nstr_fit::{FitConfig, Progress, TrainError, TrainingCurve, TrainingLog};
use nstr_pipeline::fingerprint::input_fingerprint;
use nstr_pipeline::fit::checkpoint_path;
use nstr_pipeline::{Error, EvalOptions, Field, FitObserver, FitOptions, evaluate};
use serde_json::{Map, Value, json};

use crate::options::{apply_eval, apply_fit};
use crate::recipe::{Method, Recipe, RecipeError, RecipeInput, Run};
use crate::record::{RunRecord, RunStatus, difference, fingerprint};
use crate::resolved_method::ResolvedMethod;

/// Options of a method's runs on an input, but for seed and output.
struct RunOptions {
    fit: FitOptions,
    eval: EvalOptions,
}

/// Runs of a recipe, with what they share.
pub struct Runs<'a> {
    recipe: &'a Recipe,
    /// `[method][input]`.
    resolved: &'a [Vec<ResolvedMethod>],
    /// `[method][input]`.
    options: Vec<Vec<RunOptions>>,
    folder: &'a Path,
    keep_models: bool,
    /// Fingerprint of each input's content.
    inputs: Vec<String>,
}

impl<'a> Runs<'a> {
    /// Checks everything that can be checked before the first run; `resolved` as [`crate::resolve_methods`] gives it.
    ///
    /// # Errors
    /// Inputs that cannot be read, presets of another kind than the input, unusable options.
    pub fn new(
        recipe: &'a Recipe,
        resolved: &'a [Vec<ResolvedMethod>],
        folder: &'a Path,
        keep_models: bool,
    ) -> Result<Self, RecipeError> {
        let mut inputs = Vec::new();
        for input in &recipe.inputs {
            let at = |reason: String| recipe.error(format!("inputs, `{}`", input.name), reason);
            let path = input.path.display();
            if input.path.is_dir() && !is_of_capture(input) {
                return Err(at(format!("{path} is a folder, but not a capture; name its files")));
            }
            inputs.push(input_fingerprint(&input.path).map_err(|e| at(format!("{path}: {e}")))?);
        }
        for (method, row) in recipe.methods.iter().zip(resolved) {
            for (input, one) in recipe.inputs.iter().zip(row) {
                check_kind(recipe, method, input, &one.config)?;
            }
        }
        let rows = recipe.methods.iter().zip(resolved).map(|(method, row)| {
            recipe.inputs.iter().zip(row).map(|(input, one)| run_options(recipe, method, input, one)).collect()
        });
        let options = rows.collect::<Result<_, _>>()?;
        Ok(Self { recipe, resolved, options, folder, keep_models, inputs })
    }

    fn path(&self, run: Run) -> PathBuf {
        RunRecord::path(self.folder, self.recipe, run)
    }

    fn model(&self, run: Run) -> PathBuf {
        // Names may hold dots, so the ending is added, not replaced.
        let path = self.path(run);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!("{stem}.safetensors"))
    }

    /// Everything that a run's result depends on.
    fn fingerprint(&self, run: Run) -> Value {
        let (method, input) = (&self.recipe.methods[run.method], &self.recipe.inputs[run.input]);
        fingerprint(json!({
            "config": self.resolved[run.method][run.input].config,
            "budget": method.budget,
            "seed": run.seed,
            "fit": [&method.overrides.fit, &input.overrides.fit],
            "eval": [&method.overrides.eval, &input.overrides.eval],
            "input": self.inputs[run.input],
            "version": env!("CARGO_PKG_VERSION"),
            "threads": rayon::current_num_threads(),
            "simd": std::env::var("NSTR_SIMD").ok(),
        }))
    }

    /// The record of a run that was done before.
    ///
    /// # Errors
    /// The keys in which the record's fingerprint differs from the run's; none where there is no record.
    pub fn find(&self, run: Run) -> Result<RunRecord, Vec<String>> {
        let record = RunRecord::load(&self.path(run)).ok_or_else(Vec::new)?;
        let keys = difference(&record.fingerprint, &self.fingerprint(run));
        if keys.is_empty() { Ok(record) } else { Err(keys) }
    }

    /// Fits, measures and records, watched by `observer`; `None` where the observer stopped the fit.
    ///
    /// # Errors
    /// Records that cannot be written; a fit that fails is a record of its own.
    pub fn run(&self, run: Run, observer: &mut dyn FitObserver) -> Result<Option<RunRecord>, Error> {
        let (path, model) = (self.path(run), self.model(run));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
        }
        let mut logging = LoggingObserver { log: TrainingLog::default(), inner: observer };
        let outcome = self.fit_and_evaluate(run, &mut logging);
        let curve = logging.log.into_curve();
        // A run that is cut short has left a checkpoint; none of it is of use without its curve.
        let _ = std::fs::remove_file(checkpoint_path(&model));
        let _ = std::fs::remove_file(model.with_extension("unfinished.safetensors"));
        // The model of an earlier run, which still has its record, stays with it.
        let is_earlier = matches!(outcome, Err(Error::Interrupted { replaced: false, .. }));
        if !self.keep_models || (outcome.is_err() && !is_earlier) {
            let _ = std::fs::remove_file(&model);
        }
        if matches!(outcome, Err(Error::Interrupted { .. })) {
            return Ok(None);
        }
        let record = self.record(run, outcome, curve);
        record.save(&path).map_err(Error::io(&path))?;
        Ok(Some(record))
    }

    fn fit_and_evaluate(&self, run: Run, observer: &mut dyn FitObserver) -> Result<Map<String, Value>, Error> {
        let options = &self.options[run.method][run.input];
        let (input, path) = (&self.recipe.inputs[run.input].path, self.model(run));
        nstr_pipeline::fit(input, &options.fit.clone().seed(run.seed).output(&path), observer)?;
        let field = Field::load(&path)?;
        let mut stage = |name: &str, fraction| observer.stage(name, fraction);
        let scores = evaluate::evaluate_observed(&path, &field, input, &options.eval, &mut stage)?;
        let bytes = std::fs::metadata(&path).map_err(Error::io(&path))?.len();
        Ok(evaluate::metrics(field.model(), Some(&scores), Some(bytes)))
    }

    fn record(&self, run: Run, outcome: Result<Map<String, Value>, Error>, curve: TrainingCurve) -> RunRecord {
        let (status, message, metrics) = match outcome {
            Ok(metrics) => (RunStatus::Finished, String::new(), metrics),
            Err(error) => (RunStatus::Failed, failure_reason(&error), Map::new()),
        };
        RunRecord {
            method: self.recipe.methods[run.method].name.clone(),
            input: self.recipe.inputs[run.input].name.clone(),
            seed: run.seed,
            status,
            message,
            metrics,
            curve,
            fingerprint: self.fingerprint(run),
        }
    }
}

fn run_options(
    recipe: &Recipe,
    method: &Method,
    input: &RecipeInput,
    resolved: &ResolvedMethod,
) -> Result<RunOptions, RecipeError> {
    let refused = |field: &str, reason: String| {
        recipe.error(format!("{field} of method `{}` on `{}`", method.name, input.name), reason)
    };
    let all = method.overrides.then(&input.overrides);
    let mut fit = FitOptions::preset(&method.preset).without_evaluation();
    fit.budget = Some(method.budget);
    fit.overrides.clone_from(&resolved.overrides);
    fit.checkpoint_every = Duration::MAX;
    apply_fit(&mut fit, &all.fit).map_err(|e| refused("fit", e))?;
    let mut eval = EvalOptions::default();
    apply_eval(&mut eval, &all.eval).map_err(|e| refused("eval", e))?;
    Ok(RunOptions { fit, eval })
}

/// Observer that logs loss and validation metric, and passes progress on.
struct LoggingObserver<'a> {
    log: TrainingLog,
    inner: &'a mut dyn FitObserver,
}

impl FitObserver for LoggingObserver<'_> {
    fn warning(&mut self, text: &str) {
        self.inner.warning(text);
    }

    fn trial(&mut self, fraction: f64) -> bool {
        self.inner.trial(fraction)
    }

    fn progress(&mut self, progress: &Progress) -> bool {
        self.log.record(progress);
        self.inner.progress(progress)
    }

    fn stage(&mut self, name: &str, fraction: Option<f64>) {
        self.inner.stage(name, fraction);
    }
}

/// Refuses a preset for another kind of input.
fn check_kind(recipe: &Recipe, method: &Method, input: &RecipeInput, config: &FitConfig) -> Result<(), RecipeError> {
    let found = match &input.signal {
        Some(signal) if signal.dim() == 2 => "a picture",
        Some(_) => "a sound",
        None if is_of_capture(input) => "a capture",
        None => "a mesh",
    };
    let expected = match (&config.signal, &config.rays) {
        (Some(_), _) if config.field.dim == 2 => "a picture",
        (Some(_), _) => "a sound",
        (_, Some(_)) => "a capture",
        _ => "a mesh",
    };
    if expected == found {
        return Ok(());
    }
    let reason = format!("{} is for {expected}, and `{}` is {found}", method.preset, input.name);
    Err(recipe.error(format!("method `{}`, preset", method.name), reason))
}

fn is_of_capture(input: &RecipeInput) -> bool {
    let mut options = FitOptions::default();
    is_capture(&input.path)
        || (apply_fit(&mut options, &input.overrides.fit).is_ok() && options.capture.format.is_some())
}

/// Reason why a run failed, without the advice and the file names of `nstr fit`.
fn failure_reason(error: &Error) -> String {
    match error {
        Error::Train(TrainError::Diverged { step, loss, net_lr, grid_lr, .. }) => format!(
            "training diverged at step {step} (loss {loss}, learning rate {net_lr:.2e} for the networks, {grid_lr:.2e} for \
             the grid)"
        ),
        Error::Context { source, .. } if matches!(**source, Error::Train(_)) => failure_reason(source),
        _ => error.to_string(),
    }
}
