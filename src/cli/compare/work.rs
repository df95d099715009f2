//! One run of a comparison: fit, evaluation, record.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::Context;
use nstr::capture::is_capture;
use nstr::compare::recipe::{Run, Shape};
use nstr::compare::record::{difference, fingerprint};
use nstr::compare::{Input, Method, Recipe, RecipeError, Record, Status};
use nstr::fit::{Curve, FitConfig, Recording, TrainError};
use serde_json::{Map, Value, json};

use super::lines;
use crate::cli::content::hash;
use crate::cli::fit::checkpoint_path;
use crate::cli::watch::interrupted;
use crate::cli::{eval, fit};

/// Everything that runs share.
pub struct Work<'a> {
    recipe: &'a Recipe,
    /// `[method][input]`.
    shapes: &'a [Vec<Shape>],
    folder: &'a Path,
    keep_models: bool,
    /// Of each input's content.
    hashes: Vec<String>,
}

impl<'a> Work<'a> {
    /// Checks everything that can be checked before hours are spent.
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
            hashes.push(hash(&input.path).map_err(|e| at(format!("{}: {e}", input.path.display())))?);
        }
        for (method, row) in recipe.methods.iter().zip(shapes) {
            for (input, shape) in recipe.inputs.iter().zip(row) {
                check_kind(recipe, method, input, &shape.config)?;
            }
        }
        let work = Self { recipe, shapes, folder, keep_models, hashes };
        for run in recipe.runs() {
            let model = work.model(run);
            lines::fit(recipe, run, work.shape(run), &model)?;
            lines::eval(recipe, run, &model)?;
        }
        Ok(work)
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

    /// Fits, measures and records; `None` where Ctrl-C ended the fit.
    pub fn run(&self, run: Run) -> anyhow::Result<Option<Record>> {
        let (path, model) = (self.path(run), self.model(run));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
        }
        let recording = Recording::default();
        let outcome = self.measured(run, &model, &recording);
        // A run that is cut short has left a checkpoint; none of it is of use without its curve.
        let _ = std::fs::remove_file(checkpoint_path(&model));
        if !self.keep_models || outcome.is_err() {
            let _ = std::fs::remove_file(&model);
        }
        if outcome.is_err() && interrupted()?.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let record = self.record(run, outcome, recording.curve());
        record.save(&path).with_context(|| path.display().to_string())?;
        Ok(Some(record))
    }

    fn measured(&self, run: Run, model: &Path, recording: &Recording) -> anyhow::Result<Map<String, Value>> {
        let mut args = lines::fit(self.recipe, run, self.shape(run), model)?;
        args.no_eval = true;
        args.recording = Some(recording.clone());
        args.checkpoint_every = std::time::Duration::MAX;
        fit::run(&args)?;
        eval::measure(&lines::eval(self.recipe, run, model)?)
    }

    fn record(&self, run: Run, outcome: anyhow::Result<Map<String, Value>>, curve: Curve) -> Record {
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
fn reason(error: &anyhow::Error) -> String {
    match error.downcast_ref() {
        Some(TrainError::Diverged { step, loss, net_lr, grid_lr, .. }) => format!(
            "training diverged at step {step} (loss {loss}, learning rate {net_lr:.2e} for the networks, {grid_lr:.2e} for \
             the grid)"
        ),
        _ => crate::cli::explain(error),
    }
}

fn has(options: &[String], name: &str) -> bool {
    options.iter().any(|o| o.split('=').next() == Some(name))
}
