//! Checkpoints of fits: the state of training beside the model so far.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nstr_field::model::{Checkpoint, Model};
use nstr_files::excerpt;
use nstr_fit::{TaskState, TrainState};
use nstr_space::SceneMap;
use serde_json::{Value, json};

use super::job::{FitRequest, checkpoint_of};
use crate::error::Error;
use crate::options::FitOptions;
use crate::record::FitRecord;

/// Names of the moving averages among a checkpoint's arrays.
const EMA_ARRAYS: [&str; 2] = ["average.grid", "average.net"];

/// Most steps of a run: as many as f64 counts one by one.
const MAX_STEPS: u64 = 1 << 53;
/// Longest training time in seconds: 30 years.
const MAX_SECONDS: f64 = 1e9;

/// File that a fit in progress is kept in.
pub fn checkpoint_path(output: &Path) -> PathBuf {
    output.with_extension("checkpoint.safetensors")
}

/// `true` if a fit ran to its end and left a model at `output`.
pub fn is_finished(output: &Path) -> bool {
    output.is_file() && Model::load(output).is_ok_and(|model| model.metrics.get("finished") == Some(&1.0))
}

/// Writes `state` beside the model that it makes.
pub(super) fn save(path: &Path, mut model: Model, state: &TrainState) -> Result<(), Error> {
    // Training goes on from the parameters themselves, not from their average.
    (model.grid, model.net) = (state.grid.clone(), state.net.clone());
    let mut arrays = state.task.arrays.clone();
    for (name, values) in EMA_ARRAYS.iter().zip(state.ema.iter().flatten()) {
        arrays.insert(name.to_string(), values.clone());
    }
    let progress = json!({ "step": state.step, "elapsed": state.elapsed.as_secs_f64(), "task": state.task.numbers });
    let (grid_moments, net_moments) = (state.grid_moments.clone(), state.net_moments.clone());
    Ok(Checkpoint { model, grid_moments, net_moments, state: progress, arrays }.save(path)?)
}

/// Length of the grid in the checkpoint that `options` ask to go on from without a preset, if there is one that can be read.
pub(super) fn grid_len_to_resume(options: &FitOptions) -> Option<usize> {
    let path = checkpoint_of(options).filter(|_| options.resume && options.preset.is_none())?;
    Checkpoint::load(path).ok().map(|checkpoint| checkpoint.model.grid.len())
}

/// Record, map and state of the checkpoint at `path`, where it was made with the settings and the input of `wanted`.
///
/// The checkpoint's budget holds where none was asked for.
pub(super) fn resume(
    path: &Path,
    wanted: &FitRecord,
    request: &FitRequest<'_>,
) -> Result<(FitRecord, SceneMap, TrainState), Error> {
    let checkpoint = Checkpoint::load(path)?;
    let saved = FitRecord::of(&checkpoint.model).map_err(|e| {
        Error::file(path, format!("its record of the fit cannot be read ({e}); fit afresh without --resume"))
    })?;
    if let Some(difference) = wanted.difference(&saved) {
        let reason = format!(
            "made with other settings (preset, --set, --seed, sign or capture options): {difference}; give the same, or fit \
             afresh without --resume"
        );
        return Err(Error::file(path, reason));
    }
    // Older checkpoints don't know their input.
    if saved.input.is_some() && saved.input != wanted.input {
        let before = checkpoint.model.provenance.get("input").map_or("another input", String::as_str);
        let reason = format!(
            "made from {before} as it was then, not from {} as it is; fit afresh without --resume",
            request.input.display()
        );
        return Err(Error::file(path, reason));
    }
    let budget = if request.options.budget.is_some() { wanted.budget } else { saved.budget };
    let map = checkpoint.model.map;
    let state = train_state(checkpoint).map_err(|reason| {
        Error::file(path, format!("{reason}; take another copy of it, or fit afresh without --resume"))
    })?;
    Ok((FitRecord { budget, ..saved }, map, state))
}

/// The state of training in a checkpoint, or what is wrong with it.
fn train_state(mut checkpoint: Checkpoint) -> Result<TrainState, String> {
    let (step, elapsed, numbers) = progress(&checkpoint.state)?;
    let (grid, net) = (checkpoint.model.grid, checkpoint.model.net);
    let ema = match EMA_ARRAYS.map(|name| checkpoint.arrays.remove(name)) {
        [None, None] => None,
        [Some(a), Some(b)] if (a.len(), b.len()) == (grid.len(), net.len()) => Some([a, b]),
        _ => return Err("its moving averages do not fit its parameters".into()),
    };
    let second = [&checkpoint.grid_moments[1], &checkpoint.net_moments[1]];
    for (part, moments) in ["grid", "net"].into_iter().zip(second) {
        if let Some(v) = moments.iter().find(|v| **v < 0.0) {
            return Err(format!("tensor `adam.{part}.v` holds {v}: a mean of squares is not negative"));
        }
    }
    Ok(TrainState {
        step,
        elapsed,
        grid,
        net,
        grid_moments: checkpoint.grid_moments,
        net_moments: checkpoint.net_moments,
        ema,
        task: TaskState { numbers, arrays: checkpoint.arrays },
    })
}

/// Step, training time and the task's numbers of a checkpoint's `state`, or what is wrong with them.
fn progress(state: &Value) -> Result<(u64, Duration, BTreeMap<String, f64>), String> {
    let value = |key: &str| state.get(key).ok_or_else(|| format!("its state lacks `{key}`"));
    let wrong = |key: &str, found: &Value, expected: String| {
        Err(format!("its state's `{key}` is {}: must be {expected}", excerpt(&found.to_string())))
    };
    let (step, elapsed, task) = (value("step")?, value("elapsed")?, value("task")?);
    let Some(steps) = step.as_u64().filter(|n| *n <= MAX_STEPS) else {
        return wrong("step", step, format!("a whole number up to {MAX_STEPS}"));
    };
    let seconds = elapsed.as_f64().filter(|s| (0.0..=MAX_SECONDS).contains(s));
    let Some(time) = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()) else {
        return wrong("elapsed", elapsed, format!("seconds, 0 to {MAX_SECONDS:.0}"));
    };
    let Some(entries) = task.as_object() else { return wrong("task", task, "numbers by name".into()) };
    let mut numbers = BTreeMap::new();
    for (name, found) in entries {
        let Some(number) = found.as_f64() else {
            return wrong(&format!("task.{}", excerpt(name)), found, "a number".into());
        };
        numbers.insert(name.clone(), number);
    }
    Ok((steps, time, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_as_it_was_written() {
        // Every training time below 48 days comes back to the nanosecond.
        for (i, seconds) in [0_u64, 1, 59, 3_600, 86_400, 2_000_000, 4_194_303].into_iter().enumerate() {
            for nanos in [0, 1, 2, 3, 333_333_333, 500_000_001, 999_999_998, 999_999_999] {
                let (step, elapsed) = (MAX_STEPS - i as u64, Duration::new(seconds, nanos));
                let task = BTreeMap::from([("floor".to_string(), f64::from(0.1f32)), ("rays".to_string(), 513.0)]);
                let text = json!({ "step": step, "elapsed": elapsed.as_secs_f64(), "task": task }).to_string();
                let read = progress(&serde_json::from_str(&text).unwrap()).unwrap();
                assert_eq!(read, (step, elapsed, task), "{text}");
            }
        }
    }

    #[test]
    fn nothing_counts_as_zero_that_is_not_zero() {
        let long = format!(r#"{{"step": "{}", "elapsed": 1, "task": {{}}}}"#, "9".repeat(100_000));
        for (text, part) in [
            (r#"{"step": 5, "elapsed": 1e300, "task": {}}"#, ": must be seconds, 0 to 1000000000"),
            (r#"{"step": 5, "elapsed": -1.0, "task": {}}"#, "`elapsed` is -1.0"),
            (r#"{"step": 5, "elapsed": null, "task": {}}"#, "`elapsed` is null"),
            (r#"{"step": 5, "elapsed": "1", "task": {}}"#, "`elapsed` is \"1\""),
            (r#"{"step": 5, "task": {}}"#, "lacks `elapsed`"),
            (r#"{"elapsed": 1, "task": {}}"#, "lacks `step`"),
            (r#"{"step": 5, "elapsed": 1}"#, "lacks `task`"),
            (
                r#"{"step": -5, "elapsed": 1, "task": {}}"#,
                "`step` is -5: must be a whole number up to 9007199254740992",
            ),
            (r#"{"step": 5.5, "elapsed": 1, "task": {}}"#, "`step` is 5.5"),
            (r#"{"step": 9007199254740993, "elapsed": 1, "task": {}}"#, "`step` is 9007199254740993"),
            (r#"{"step": 18446744073709551616, "elapsed": 1, "task": {}}"#, "`step` is 1.8446744073709552e"),
            (r#"{"step": [5], "elapsed": 1, "task": {}}"#, "`step` is [5]"),
            (r#"{"step": 5, "elapsed": 1, "task": 7}"#, "`task` is 7: must be numbers by name"),
            (r#"{"step": 5, "elapsed": 1, "task": {"rays": "many"}}"#, "`task.rays` is \"many\": must be a number"),
            (r#"{"step": 5, "elapsed": 1, "task": {"rays": null}}"#, "`task.rays` is null"),
            ("7", "lacks `step`"),
            (long.as_str(), "`step` is \"9999"),
        ] {
            let reason = progress(&serde_json::from_str(text).unwrap()).unwrap_err();
            assert!(reason.contains(part) && reason.len() < 300, "{text:.90}: {reason:.300}");
        }
    }
}
