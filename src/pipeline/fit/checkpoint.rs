//! Checkpoints of fits: the state of training beside the model so far.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nstr_field::model::{Checkpoint, Model};
use nstr_fit::{TaskState, TrainState};
use nstr_space::Cube;
use serde_json::{Value, json};

use super::job::FitRequest;
use crate::error::Error;
use crate::record::FitRecord;

/// Names of the moving averages among a checkpoint's arrays.
const EMA_ARRAYS: [&str; 2] = ["average.grid", "average.net"];

/// File that a fit in progress is kept in.
pub fn checkpoint_path(output: &Path) -> PathBuf {
    output.with_extension("checkpoint.safetensors")
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

/// Record, cube and state of the checkpoint at `path`, where it was made with the settings and the input of `wanted`.
///
/// The checkpoint's budget holds where none was asked for.
pub(super) fn resume(
    path: &Path,
    wanted: &FitRecord,
    request: &FitRequest<'_>,
) -> Result<(FitRecord, Cube, TrainState), Error> {
    let checkpoint = Checkpoint::load(path)?;
    let saved = FitRecord::of(&checkpoint.model)
        .map_err(|_| Error::file(path, "its record of the fit cannot be read; fit afresh without --resume"))?;
    if !wanted.has_settings_of(&saved) {
        let reason = "made with other settings (preset, --set, --seed, sign or capture options); give the same, or fit afresh \
                      without --resume";
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
    let cube = checkpoint.model.cube;
    Ok((FitRecord { budget, ..saved }, cube, train_state(checkpoint)))
}

fn train_state(mut checkpoint: Checkpoint) -> TrainState {
    let number = |key: &str| checkpoint.state.get(key).and_then(Value::as_f64).unwrap_or(0.0);
    let (step, elapsed) = (number("step") as u64, Duration::from_secs_f64(number("elapsed").max(0.0)));
    let numbers = checkpoint.state.get("task").cloned().and_then(|v| serde_json::from_value(v).ok());
    let ema = match EMA_ARRAYS.map(|name| checkpoint.arrays.remove(name)) {
        [Some(grid), Some(net)] => Some([grid, net]),
        _ => None,
    };
    TrainState {
        step,
        elapsed,
        grid: checkpoint.model.grid,
        net: checkpoint.model.net,
        grid_moments: checkpoint.grid_moments,
        net_moments: checkpoint.net_moments,
        ema,
        task: TaskState { numbers: numbers.unwrap_or_default(), arrays: checkpoint.arrays },
    }
}
