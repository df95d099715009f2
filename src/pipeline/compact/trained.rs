//! Coding of a model whose parameters were rounded in training: with the steps that it was trained with.

use nstr_field::model::Model;
use nstr_field::model::compact::{CompactFile, LevelSteps, QuantizationSteps, QuantizedModel, compact_header_len};
use nstr_fit::{RoundingState, StageObserver};

use super::search::{Found, noise_for_size};
use super::{CompactOptions, Compacted, Gauge, HEADER_SLACK, compact_with, finished, in_memory, within};
use crate::error::Error;

/// Share of the allowed size below which steps of another choice may do better than those of the training.
const FILLED: f64 = 0.9;

/// A model that was rounded in training.
pub(crate) struct RoundedModel<'a> {
    /// As it was trained, at multiples of its steps.
    pub rounded: &'a Model,
    /// The parameters before rounding.
    pub exact: &'a Model,
    /// Steps of its levels and tensors.
    pub steps: QuantizationSteps,
}

/// Bytes that all sections of a compact file but its header may have, so that the file keeps `most` bytes with the header of `model`, with
/// `slack` bytes kept free.
pub(crate) fn section_bytes(model: &Model, most: u64, slack: u64) -> Result<u64, Error> {
    let header = compact_header_len(model).map_err(in_memory)? as u64;
    Ok(most.saturating_sub(header + HEADER_SLACK + slack))
}

/// The steps of `state` for a model of its fit, whose transport network may have been left out.
pub(crate) fn trained_steps(state: &RoundingState, spec: &nstr_spec::FieldSpec, model: &Model) -> QuantizationSteps {
    match spec.transports() && !model.spec.transports() {
        true => nstr_fit::rounding::without_transport(spec, &state.steps),
        false => state.steps.clone(),
    }
}

/// Codes a model with the steps of its training; coarser ones where the file would be too large.
///
/// # Errors
/// As [`compact_with`].
pub(crate) fn compact_trained(
    trained: &RoundedModel<'_>,
    gauge: &dyn Gauge,
    options: &CompactOptions,
    stage: &mut StageObserver<'_>,
) -> Result<Compacted, Error> {
    stage("coding", None);
    let room = options.max_bytes.unwrap_or(u64::MAX).saturating_sub(HEADER_SLACK);
    let file = |q: &QuantizedModel| -> Result<CompactFile, Error> { q.encode(trained.exact).map_err(in_memory) };
    let quantized = QuantizedModel::new(trained.rounded, &trained.steps).map_err(in_memory)?;
    let bytes = file(&quantized)?.len() as u64;
    let quantized = if bytes <= room {
        quantized
    } else {
        let coarser = |noise: f64| {
            QuantizedModel::new(trained.exact, &scaled(&trained.steps, noise.sqrt() as f32)).map_err(in_memory)
        };
        // A noise of 1 is that of the steps themselves.
        let found = noise_for_size(1.0, 1.0, room, |noise| Ok::<u64, Error>(file(&coarser(noise)?)?.len() as u64))?;
        let Some(Found { noise, .. }) = found else {
            // Its error names the least size.
            return compact_with(trained.exact, gauge, options, stage);
        };
        coarser(noise)?
    };
    let (grid, net) = quantized.parameters().map_err(in_memory)?;
    let loss = gauge.loss(&Model { grid, net, ..trained.exact.clone() })?;
    let compacted = finished(trained.exact, gauge, &quantized, loss)?;
    if (compacted.file.len() as f64) < FILLED * room as f64
        && let Ok(other) = compact_with(trained.exact, gauge, options, stage)
        && other.loss < compacted.loss
    {
        return Ok(other);
    }
    within(compacted, options)
}

/// Steps that are `factor` times as large.
fn scaled(steps: &QuantizationSteps, factor: f32) -> QuantizationSteps {
    let level = |level: &LevelSteps| LevelSteps { step: level.step * factor, shifts: level.shifts.clone() };
    QuantizationSteps {
        levels: steps.levels.iter().map(level).collect(),
        tensors: steps.tensors.iter().map(|step| step * factor).collect(),
    }
}
