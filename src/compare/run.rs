//! Runs of a comparison: fit, evaluation, record.

use std::path::{Path, PathBuf};

use nstr_capture::is_capture;
use nstr_fit::{Curve, FitConfig, Progress, TrainError, TrainingLog};
use nstr_pipeline::fingerprint::input_fingerprint;
use nstr_pipeline::fit::checkpoint_path;
use nstr_pipeline::{Error, EvalOptions, Field, FitObserver, FitOptions, evaluate};
use serde_json::{Map, Value, json};

use crate::options::{apply_eval, apply_fit};
use crate::recipe::{Input, Method, Recipe, RecipeError, Run, Shape};
use crate::record::{Record, Status, difference, fingerprint};

/// Runs of a recipe, with what they share.
pub struct Runs<'a> {
    recipe: &'a Recipe,
    /// `[method][input]`.
    shapes: &'a [Vec<Shape>],
    folder: &'a Path,
    keep_models: bool,
    /// Of each input's content.
    hashes: Vec<String>,
}

impl<'a> Runs<'a> {
    /// Checks everything that can be checked before hours are spent.
    ///
    /// # Errors
    /// Inputs that cannot be read, presets of another kind than the input, unusable options.
    pub fn new(
        recipe: &'a Recipe,
        shapes: &'a [Vec<Shape>],
        folder: &'a Path,
        keep_models: bool,
    ) -> Result<Self, RecipeError> {
        let mut hashes = Vec::new();
        for input in &recipe.inputs {
            let at = |reason: String| recipe.error(format!("inputs, `{}`", input.name), reason);
            if input.path.is_dir() && !is_of_capture(input) {
                return Err(at(format!("{} is a folder, but no capture; name its files", input.path.display())));
            }
            hashes.push(input_fingerprint(&input.path).map_err(|e| at(format!("{}: {e}", input.path.display())))?);
        }
        for (method, row) in recipe.methods.iter().zip(shapes) {
            for (input, shape) in recipe.inputs.iter().zip(row) {
                check_kind(recipe, method, input, &shape.config)?;
            }
        }
        let work = Self { recipe, shapes, folder, keep_models, hashes };
        for run in recipe.runs() {
            work.fit_options(run)?;
            work.eval_options(run)?;
        }
        Ok(work)
    }

    /// Options of a run's fit.
    fn fit_options(&self, run: Run) -> Result<FitOptions, RecipeError> {
        let (method, input) = (&self.recipe.methods[run.method], &self.recipe.inputs[run.input]);
        let mut options = FitOptions::preset(&method.preset).seed(run.seed).output(self.model(run));
        options.budget = Some(method.budget);
        options.overrides.clone_from(&self.shape(run).overrides);
        options.checkpoint_every = std::time::Duration::MAX;
        options.evaluate = false;
        let texts = [method.fit.as_slice(), &input.fit].concat();
        apply_fit(&mut options, &texts).map_err(|e| self.refused(run, "fit", e))?;
        Ok(options)
    }

    /// Options of a run's evaluation.
    fn eval_options(&self, run: Run) -> Result<EvalOptions, RecipeError> {
        let (method, input) = (&self.recipe.methods[run.method], &self.recipe.inputs[run.input]);
        let mut options = EvalOptions::default();
        let texts = [method.eval.as_slice(), &input.eval].concat();
        apply_eval(&mut options, &texts).map_err(|e| self.refused(run, "eval", e))?;
        Ok(options)
    }

    fn refused(&self, run: Run, field: &str, reason: String) -> RecipeError {
        let (method, input) = (&self.recipe.methods[run.method].name, &self.recipe.inputs[run.input].name);
        self.recipe.error(format!("{field} of method `{method}` on `{input}`"), reason)
    }

    fn shape(&self, run: Run) -> &Shape {
        &self.shapes[run.method][run.input]
    }

    fn path(&self, run: Run) -> PathBuf {
        Record::path(self.folder, self.recipe, run)
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
            "config": self.shape(run).config,
            "budget": method.budget,
            "seed": run.seed,
            "fit": [&method.fit, &input.fit],
            "eval": [&method.eval, &input.eval],
            "input": self.hashes[run.input],
            "version": env!("CARGO_PKG_VERSION"),
            "threads": rayon::current_num_threads(),
            "simd": std::env::var("NSTR_SIMD").ok(),
        }))
    }

    /// The record of a run; the fingerprint's keys that differ where there is another, nothing where there is none.
    pub fn found(&self, run: Run) -> Result<Record, Vec<String>> {
        let record = Record::load(&self.path(run)).ok_or_else(Vec::new)?;
        let keys = difference(&record.fingerprint, &self.fingerprint(run));
        if keys.is_empty() { Ok(record) } else { Err(keys) }
    }

    /// Fits, measures and records, with `observer` beside; `None` where the observer stopped the fit.
    ///
    /// # Errors
    /// Records that cannot be written; a fit that fails is a record of its own.
    pub fn run(&self, run: Run, observer: &mut dyn FitObserver) -> Result<Option<Record>, Error> {
        let (path, model) = (self.path(run), self.model(run));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
        }
        let mut logged = Logged { log: TrainingLog::default(), inner: observer };
        let outcome = self.measured(run, &mut logged);
        let curve = logged.log.into_curve();
        // A run that is cut short has left a checkpoint; none of it is of use without its curve.
        let _ = std::fs::remove_file(checkpoint_path(&model));
        if !self.keep_models || outcome.is_err() {
            let _ = std::fs::remove_file(&model);
        }
        if matches!(outcome, Err(Error::Interrupted { .. })) {
            return Ok(None);
        }
        let record = self.record(run, outcome, curve);
        record.save(&path).map_err(Error::io(&path))?;
        Ok(Some(record))
    }

    fn measured(&self, run: Run, observer: &mut dyn FitObserver) -> Result<Map<String, Value>, Error> {
        let options = |e: RecipeError| Error::Option(e.to_string());
        let input = &self.recipe.inputs[run.input].path;
        nstr_pipeline::fit(input, &self.fit_options(run).map_err(options)?, observer)?;
        let path = self.model(run);
        let field = Field::load(&path)?;
        let scores = evaluate::evaluate(&path, &field, input, &self.eval_options(run).map_err(options)?)?;
        let bytes = std::fs::metadata(&path).map_err(Error::io(&path))?.len();
        Ok(evaluate::metrics(field.model(), Some(&scores), Some(bytes)))
    }

    fn record(&self, run: Run, outcome: Result<Map<String, Value>, Error>, curve: Curve) -> Record {
        let (status, message, figures) = match outcome {
            Ok(figures) => (Status::Finished, String::new(), figures),
            Err(error) => (Status::Failed, reason(&error), Map::new()),
        };
        Record {
            method: self.recipe.methods[run.method].name.clone(),
            input: self.recipe.inputs[run.input].name.clone(),
            seed: run.seed,
            status,
            message,
            figures,
            curve,
            fingerprint: self.fingerprint(run),
        }
    }
}

/// Observer that keeps a curve and passes progress on.
struct Logged<'a> {
    log: TrainingLog,
    inner: &'a mut dyn FitObserver,
}

impl FitObserver for Logged<'_> {
    fn progress(&mut self, progress: &Progress) -> bool {
        self.log.record(progress);
        self.inner.progress(progress)
    }
}

/// Refuses a preset for another kind of input.
fn check_kind(recipe: &Recipe, method: &Method, input: &Input, config: &FitConfig) -> Result<(), RecipeError> {
    let wanted = match &input.signal {
        Some(signal) if signal.dim() == 2 => "a picture",
        Some(_) => "a sound",
        None if is_of_capture(input) => "a capture",
        None => "a mesh",
    };
    let is = match (&config.signal, &config.rays) {
        (Some(_), _) if config.field.dim == 2 => "a picture",
        (Some(_), _) => "a sound",
        (_, Some(_)) => "a capture",
        _ => "a mesh",
    };
    match is == wanted {
        true => Ok(()),
        false => {
            let reason = format!("{} is for {is}, and `{}` is {wanted}", method.preset, input.name);
            Err(recipe.error(format!("method `{}`, preset", method.name), reason))
        }
    }
}

fn is_of_capture(input: &Input) -> bool {
    is_capture(&input.path) || has(&input.fit, "--capture-format")
}

/// Why a run failed, without the advice and the file names of `nstr fit`.
fn reason(error: &Error) -> String {
    match error {
        Error::Train(TrainError::Diverged { step, loss, net_lr, grid_lr, .. }) => format!(
            "training diverged at step {step} (loss {loss}, learning rate {net_lr:.2e} for the networks, {grid_lr:.2e} for \
             the grid)"
        ),
        Error::Context { source, .. } if matches!(**source, Error::Train(_)) => reason(source),
        _ => error.to_string(),
    }
}

fn has(options: &[String], name: &str) -> bool {
    options.iter().any(|o| o.split('=').next() == Some(name))
}
