//! Rounding in training: a fit for a size learns with the parameters that its compact file will hold.
//!
//! From a share of the budget on, the field is evaluated at rounded parameters, and what their gradients move are the parameters
//! themselves (straight-through estimation, Bengio, Léonard & Courville 2013). The steps are those of a compact file: reverse water-filling
//! over sensitivities ([`StepPlan`]), with Adam's second moments in their place, since only ratios count. The one factor of all steps is
//! set a few times by coding the model as it is, so that the file keeps its size. Between, each step pulls the grid's
//! values towards 0 by what their bits are worth ([`nstr_kernel::rounding`]). Towards the end the steps stay, and the parameters settle.
//!
//! What a bit is worth: a step s adds `h s² / 24` to the loss, h its curvature, and a bit halves s. Of a mean loss ℓ over n outputs h
//! is about `v n / 2ℓ`, v the mean square of the gradient: exactly for squares, 1.3 times that for magnitudes of normal errors. Where
//! `s² v` is the *noise* everywhere, the loss falls by `2 ln 2 · noise · n / 48 ℓ` a bit.

mod stored;

use nstr_codec::level::{SHIFTS, entry_step};
use nstr_codec::quantize::{COST_WORTH, nearest};
use nstr_field::model::Model;
use nstr_field::model::compact::{QuantizationSteps, QuantizedModel, stored_entries};
use nstr_kernel::rounding::{Lattice, round};
use nstr_space::{Occupancy, SceneMap};
use nstr_spec::config::ConfigError;
use nstr_spec::{FieldSpec, MlpSpec};
use serde::{Deserialize, Serialize};

use crate::check::{check, check_fractions, check_not_negative};
use crate::sensitivity::{Sensitivity, StepPlan};

/// Loss that a bit is worth, in `noise · n / ℓ`.
const BIT: f64 = std::f64::consts::LN_2 / 24.0;
/// Largest rate of a magnitude, in bits a step: that of levels which are 0 all over.
const STEEPEST: f64 = 12.0;
/// Largest share of a step by which rounding prefers the integer towards 0.
const WIDEST: f64 = 0.35;
/// Share of the size that is aimed at, and that counts as reached; while steps still change, and when they are set for good.
const BANDS: [[f64; 2]; 2] = [[0.975, 1.0], [0.985, 0.996]];
/// Codings of the first and the last setting of the steps, and of those between, at most.
const TRIES: [usize; 2] = [14, 4];

/// Settings of rounding in training, where a size is given; `--set train.rounding.key=value` reaches each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoundingConfig {
    /// Share of the budget after which parameters are rounded; 1 rounds only what has been trained.
    pub start: f64,
    /// Share of the budget after which the steps stay as they are.
    pub freeze: f64,
    /// Times that the steps are set in between.
    pub updates: u64,
    /// Weight of the size in the loss: 1 is what theory tells, 0 has steps only.
    pub rate: f64,
}

impl Default for RoundingConfig {
    fn default() -> Self {
        Self { start: 0.85, freeze: 0.95, updates: 12, rate: 1.0 }
    }
}

impl RoundingConfig {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_fractions(&[("train.rounding.start", self.start), ("train.rounding.freeze", self.freeze)])?;
        let ordered = self.start >= 1.0 || self.freeze > self.start;
        check("train.rounding.freeze", self.freeze, ordered, "must be above train.rounding.start")?;
        let updates = self.updates as f64;
        check("train.rounding.updates", updates, (1..=1000).contains(&self.updates), "must be 1 to 1000")?;
        check_not_negative(&[("train.rounding.rate", self.rate)])
    }

    /// Number of the latest setting of the steps that is due at `progress`, from 1; 0 before the first.
    fn due(&self, progress: f64) -> u64 {
        if self.start >= 1.0 || progress < self.start {
            return 0;
        }
        let along = ((progress - self.start) / (self.freeze - self.start)).min(1.0);
        1 + (along * self.updates as f64) as u64
    }

    /// Number of the last setting.
    fn last(&self) -> u64 {
        1 + self.updates
    }
}

/// Size that a fit is to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeTarget {
    /// Bytes of all sections of the compact file but its header.
    pub bytes: u64,
    /// `true` if the file holds the transport network.
    pub has_transport: bool,
}

/// Steps of a fit in training, and the rate of its values.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundingState {
    /// Steps of the compact file.
    pub steps: QuantizationSteps,
    /// Settings of the steps so far.
    pub updates: u64,
    /// Factor of all steps, see [`StepPlan::steps`].
    pub noise: f32,
    /// Of each level and shift, the rate of a magnitude in bits a step.
    pub rates: Vec<[f32; SHIFTS]>,
    /// Loss that a bit is worth.
    pub bit: f32,
}

/// Lattice of a buffer: one number an entry in each part.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LatticeBuffers {
    pub features: usize,
    pub steps: Vec<f32>,
    pub offsets: Vec<f32>,
    pub pulls: Vec<f32>,
}

impl LatticeBuffers {
    fn slices(&self) -> Lattice<'_> {
        Lattice { features: self.features, steps: &self.steps, offsets: &self.offsets, pulls: &self.pulls }
    }
}

/// Offset of the rounding of values with this rate: where the codec's own choice changes from one integer to the next.
fn offset(rate: f32) -> f32 {
    (0.5 - (0.5 * COST_WORTH * f64::from(rate)).min(WIDEST)) as f32
}

impl RoundingState {
    /// Lattice of the grid of a field.
    pub(crate) fn grid_lattice(&self, spec: &FieldSpec) -> LatticeBuffers {
        let mut all = LatticeBuffers { features: spec.latent.features.max(1), ..LatticeBuffers::default() };
        for ((level, steps), rates) in spec.latent.levels.iter().zip(&self.steps.levels).zip(&self.rates) {
            for e in 0..level.entries(spec.dim) {
                let shift = steps.shifts.get(e).copied().unwrap_or(0);
                let (step, rate) = (entry_step(steps.step, shift), rates[usize::from(shift)]);
                all.steps.push(step);
                all.offsets.push(offset(rate));
                all.pulls.push(self.bit * rate / step);
            }
        }
        all
    }

    /// Lattice of the networks, which nothing pulls.
    pub(crate) fn net_lattice(&self, spec: &FieldSpec) -> LatticeBuffers {
        let mut steps = vec![1.0; spec.net_len()];
        for (slot, step) in spec.net_tensors().iter().zip(&self.steps.tensors) {
            steps[slot.range()].fill(*step);
        }
        let (offsets, pulls) = (vec![0.5; steps.len()], vec![0.0; steps.len()]);
        LatticeBuffers { features: 1, steps, offsets, pulls }
    }

    /// Rounds the parameters of a field as they are in its file.
    pub fn round(&self, spec: &FieldSpec, grid: &mut [f32], net: &mut [f32]) {
        round(grid, self.grid_lattice(spec).slices());
        round(net, self.net_lattice(spec).slices());
    }

    /// `true` where the state is one of a field of this shape, with values that training leaves.
    pub(crate) fn fits(&self, spec: &FieldSpec) -> bool {
        let positive = |v: &f32| v.is_finite() && *v > 0.0;
        let of_level = |(level, steps): (&nstr_spec::LevelSpec, &nstr_field::model::compact::LevelSteps)| {
            let count = steps.shifts.len();
            positive(&steps.step)
                && (count == 0 || count == level.entries(spec.dim))
                && steps.shifts.iter().all(|s| usize::from(*s) < SHIFTS)
        };
        let levels = &spec.latent.levels;
        self.steps.levels.len() == levels.len()
            && self.rates.len() == levels.len()
            && self.steps.tensors.len() == spec.net_tensors().len()
            && levels.iter().zip(&self.steps.levels).all(of_level)
            && self.steps.tensors.iter().all(positive)
            && self.rates.iter().flatten().all(|rate| (0.0..=STEEPEST as f32).contains(rate))
            && positive(&self.noise)
            && self.bit.is_finite()
            && self.bit >= 0.0
    }
}

/// What a setting of the steps goes by.
pub(crate) struct Measured {
    pub grid: Vec<f32>,
    pub net: Vec<f32>,
    /// Adam's second moments of both.
    pub squares: [Vec<f32>; 2],
    /// Occupied cells, of radiance fields.
    pub occupancy: Option<Occupancy>,
    /// Outputs that a step's loss is the mean of.
    pub outputs: f64,
    /// The loss.
    pub loss: f64,
}

/// Sets the steps of a fit, a few times, so that its file has a size.
#[derive(Clone, Debug)]
pub(crate) struct SizeControl {
    config: RoundingConfig,
    target: SizeTarget,
}

impl SizeControl {
    pub fn new(config: &RoundingConfig, target: SizeTarget) -> Self {
        Self { config: config.clone(), target }
    }

    /// `true` if steps are to be set at `progress`, after `updates` settings.
    pub fn is_due(&self, progress: f64, updates: u64) -> bool {
        self.config.due(progress) > updates
    }

    /// The steps at `progress`; `None` where values are not finite.
    pub fn update(
        &self,
        spec: &FieldSpec,
        progress: f64,
        before: Option<&RoundingState>,
        measured: Measured,
    ) -> Option<RoundingState> {
        let updates = self.config.due(progress);
        let is_last = updates >= self.config.last();
        let Measured { grid, net, squares: [of_grid, of_net], occupancy, outputs, loss } = measured;
        let features = spec.latent.features.max(1);
        let mean = |v: &[f32]| v.iter().map(|v| f64::from(*v)).sum::<f64>() / features as f64;
        let sensitivity = Sensitivity {
            entries: of_grid.chunks_exact(features).map(mean).collect(),
            net: of_net.iter().map(|v| f64::from(*v)).collect(),
        };
        let model = bare_model(spec, grid, net, occupancy);
        let plan = StepPlan::new(&model, &sensitivity);
        let at = |noise: f64| {
            let steps = plan.steps(noise);
            let rates = rates(&model, &steps);
            let bit = self.config.rate * BIT * noise * outputs / loss.max(1e-12);
            let bit = if bit.is_finite() { bit as f32 } else { 0.0 };
            RoundingState { steps, updates, noise: noise as f32, rates, bit }
        };
        let bytes = |noise: f64| self.target.bytes_of(&model, &at(noise));
        let finest = plan.noise_of(1.0 / 2048.0);
        let start = before.map_or_else(|| plan.noise_of(1.0 / 16.0), |before| f64::from(before.noise));
        let tries = TRIES[usize::from(before.is_some() && !is_last)];
        let noise = search(start.max(finest), finest, self.target.bytes, BANDS[usize::from(is_last)], tries, bytes)?;
        Some(at(noise))
    }
}

impl SizeTarget {
    /// Bytes of the sections of `model` as it is rounded; `None` where it has values that are not finite.
    fn bytes_of(&self, model: &Model, rounding: &RoundingState) -> Option<u64> {
        let (mut model, spec) = (model.clone(), &model.spec);
        rounding.round(spec, &mut model.grid, &mut model.net);
        let mut steps = rounding.steps.clone();
        if !self.has_transport && spec.transports() {
            steps = without_transport(spec, &steps);
            model.net.drain(spec.net_layout().transport_range());
            model.spec.transport = MlpSpec::ABSENT;
        }
        let file = QuantizedModel::new(&model, &steps).ok()?.encode(&model).ok()?;
        Some((file.len() - file.header_len()) as u64)
    }
}

/// Steps of a field's tensors but those of its transport network.
pub fn without_transport(spec: &FieldSpec, steps: &QuantizationSteps) -> QuantizationSteps {
    let range = spec.net_layout().transport_range();
    let kept =
        spec.net_tensors().into_iter().zip(&steps.tensors).filter(|(slot, _)| !range.contains(&slot.range().start));
    QuantizationSteps { levels: steps.levels.clone(), tensors: kept.map(|(_, step)| *step).collect() }
}

/// A model of nothing but parameters and occupied cells.
fn bare_model(spec: &FieldSpec, grid: Vec<f32>, net: Vec<f32>, occupancy: Option<Occupancy>) -> Model {
    Model {
        spec: spec.clone(),
        map: SceneMap::default(),
        units: String::new(),
        grid,
        net,
        config: Default::default(),
        provenance: Default::default(),
        metrics: Default::default(),
        occupancy,
    }
}

/// Rate of magnitudes of each level and shift, in bits a step: that of a two-sided geometric distribution of the same mean magnitude.
fn rates(model: &Model, steps: &QuantizationSteps) -> Vec<[f32; SHIFTS]> {
    let (features, offsets) = (model.spec.latent.features, model.spec.latent.offsets(model.spec.dim));
    let stored = stored_entries(model);
    let of_level = |(l, read): (usize, &Vec<bool>)| {
        let steps = &steps.levels[l];
        let mut sums = [(0_u64, 0_u64); SHIFTS];
        let values = &model.grid[offsets[l] * features..offsets[l + 1] * features];
        for (e, values) in values.chunks_exact(features).enumerate().filter(|(e, _)| read[*e]) {
            let shift = steps.shifts.get(e).copied().unwrap_or(0);
            let step = entry_step(steps.step, shift);
            let (sum, count) = &mut sums[usize::from(shift)];
            *sum += values.iter().map(|v| u64::from(nearest(*v, step).unsigned_abs())).sum::<u64>();
            *count += features as u64;
        }
        sums.map(|(sum, count)| geometric_rate(sum as f64 / count.max(1) as f64) as f32)
    };
    stored.iter().enumerate().map(of_level).collect()
}

/// Bits that a magnitude of one more takes, where magnitudes have this mean: `−log₂ θ` of `P(q) ∝ θ^|q|`.
fn geometric_rate(mean: f64) -> f64 {
    // mean = 2θ / (1 − θ²).
    let theta = mean / (1.0 + (1.0 + mean * mean).sqrt());
    (-theta.log2()).clamp(0.0, STEEPEST)
}

/// A noise whose size, as `bytes` tells, is in the band of `target`, as far as `tries` codings find one: of those too small for the
/// band the largest file. At most as fine as `finest`. `None` where `bytes` fails.
fn search(
    start: f64,
    finest: f64,
    target: u64,
    band: [f64; 2],
    tries: usize,
    bytes: impl Fn(f64) -> Option<u64>,
) -> Option<f64> {
    let (low, high) = (band[0] * target as f64, band[1] * target as f64);
    let middle = 0.5 * (low + high);
    let (mut noise, mut best): (f64, Option<(f64, f64)>) = (start, None);
    // Noise and size of the smallest file that is too large, and of the largest that is small enough.
    let mut large: Option<(f64, f64)> = None;
    let mut small: Option<(f64, f64)> = None;
    for _ in 0..tries {
        let found = bytes(noise)? as f64;
        if best.is_none_or(|(_, size)| (size - middle).abs() > (found - middle).abs()) {
            best = Some((noise, found));
        }
        if (low..=high).contains(&found) {
            return Some(noise);
        }
        if found > high {
            large = Some((noise, found)).filter(|l| large.is_none_or(|before| l.0 > before.0)).or(large);
        } else if noise <= finest {
            return Some(noise);
        } else {
            small = Some((noise, found)).filter(|s| small.is_none_or(|before| s.0 < before.0)).or(small);
        }
        noise = match (large, small) {
            (Some((a, more)), Some((b, less))) if a < b => {
                let share = ((more - middle) / (more - less).max(1.0)).clamp(0.05, 0.95);
                a * (b / a).powf(share)
            }
            _ => {
                let ratio = (found / middle).powi(4);
                let factor = if found > high { ratio.clamp(1.5, 256.0) } else { ratio.clamp(1.0 / 256.0, 1.0 / 1.5) };
                (noise * factor).max(finest)
            }
        };
        if !noise.is_finite() {
            break;
        }
    }
    small.or(best).map(|(noise, _)| noise)
}

#[cfg(test)]
mod tests;
