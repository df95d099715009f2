//! Sensitivity of a field's output to each parameter, and the quantisation steps that follow from it.
//!
//! The sensitivity of a parameter θ is the mean of `(∂c/∂θ)²` over the outputs c that count: the channels of a capture's pixels,
//! distances at a surface, samples of a signal. An independent error of variance v in θ adds `sensitivity · v` to the mean of
//! squared errors. It is measured by back-propagation of random signs r (Hutchinson 1990): `g = Σ r ∂c/∂θ` has the mean square
//! `Σ (∂c/∂θ)²`.
//!
//! Of all steps with the same error, those cost the fewest bits whose `step² · sensitivity` is the same everywhere (reverse
//! water-filling, Shannon 1959): the *noise* that [`StepPlan::steps`] takes. Steps of entries of the grid differ by powers of
//! two, where that saves more than telling them costs.

use nstr_field::model::Model;
use nstr_field::model::compact::{LevelSteps, QuantizationSteps, stored_entries};
use nstr_kernel::{FusedField, GradientSlices, Outputs, PointLoss, RayBatch, RayLoss};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Target colour that is far beyond any colour: the L1 loss then has the slope 1, or −1 for its negative.
const FAR: f32 = 1e3;
/// Share of a level's mean sensitivity that every entry has at least: few outputs were looked at, and others will be seen.
const FLOOR: f64 = 1.0 / 256.0;
/// Octaves by which an entry's step may be smaller, and larger, than that of the mean sensitivity.
const OCTAVES: [i32; 2] = [2, 5];
/// Tables of shifts are worth their bits where they save this much more.
const WORTH: f64 = 1.1;
/// Largest step of a network's tensor, in root mean squares of its values: coarser ones break networks that were not trained for
/// it, beyond what the sensitivity tells.
const COARSEST_TENSOR: f64 = 1.0 / 32.0;
/// Step of tensors that the output does not depend on, in the same unit.
const UNUSED_TENSOR: f64 = 1.0 / 64.0;
/// Most steps that the largest value of a level or tensor has.
const MOST_STEPS: f64 = (1 << 22) as f64;

/// Mean squares of the output's derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// Of each entry of the grid, the mean over its features.
    pub entries: Vec<f64>,
    /// Of each parameter of the networks.
    pub net: Vec<f64>,
}

/// Sums up the sensitivity of one model over batches.
pub struct SensitivityEstimator<'a> {
    model: &'a Model,
    fused: FusedField,
    sums: Sensitivity,
    batches: u32,
    d_grid: Vec<f32>,
    d_net: Vec<f32>,
    rng: Pcg64,
}

impl<'a> SensitivityEstimator<'a> {
    /// An estimator without batches.
    pub fn new(model: &'a Model, seed: u64) -> Self {
        let (grid, net) = (model.grid.len(), model.net.len());
        let entries = grid / model.spec.latent.features.max(1);
        Self {
            model,
            fused: FusedField::new(&model.spec),
            sums: Sensitivity { entries: vec![0.0; entries], net: vec![0.0; net] },
            batches: 0,
            d_grid: vec![0.0; grid],
            d_net: vec![0.0; net],
            rng: Pcg64::seed_from_u64(seed),
        }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.model
    }

    /// A random sign.
    fn sign(&mut self) -> f32 {
        if self.rng.random() { 1.0 } else { -1.0 }
    }

    /// Adds the colours of rays, each channel of each alike. The targets are overwritten.
    ///
    /// # Panics
    /// If the model is no radiance field.
    pub fn add_rays(&mut self, rays: &mut RayBatch, min_transmittance: f32) {
        let count = rays.target.len();
        if count == 0 {
            return;
        }
        (0..count).for_each(|i| rays.target[i] = self.sign() * FAR);
        let Self { fused, model, d_grid, d_net, .. } = self;
        let density = fused.density_law();
        let loss = RayLoss { min_transmittance, density, ..RayLoss::of(PointLoss::L1) };
        fused.ray_loss_backward(&model.grid, &model.net, rays.slices(), loss, d_grid, d_net);
        // The loss is a mean: its gradient is the sum of the signed derivatives over their number.
        self.collect(count as f64);
    }

    /// Adds the values at points `x` (`[point][dim]`), each output alike; `weight` multiplies the derivatives at each point.
    pub fn add_points(&mut self, x: &[f32], weight: &[f32]) {
        let outputs = self.model.spec.outputs;
        let count = weight.len() * outputs;
        if count == 0 {
            return;
        }
        let d_out: Vec<f32> = (0..count).map(|i| self.sign() * weight[i / outputs]).collect();
        let Self { fused, model, d_grid, d_net, .. } = self;
        let to = GradientSlices { d_grid, d_net, d_x: None };
        fused.backward(Outputs::Value, &model.grid, &model.net, x, &d_out, to);
        self.collect(1.0 / count as f64);
    }

    /// Adds the squares of a batch's gradients times `factor`, and clears them.
    fn collect(&mut self, factor: f64) {
        let features = self.model.spec.latent.features.max(1);
        let square = |d: &mut f32| f64::from(std::mem::take(d)).powi(2) * factor;
        for (sum, d) in self.sums.entries.iter_mut().zip(self.d_grid.chunks_exact_mut(features)) {
            *sum += d.iter_mut().map(square).sum::<f64>() / features as f64;
        }
        self.sums.net.iter_mut().zip(&mut self.d_net).for_each(|(sum, d)| *sum += square(d));
        self.batches += 1;
    }

    /// The means over all batches.
    pub fn finish(self) -> Sensitivity {
        let Sensitivity { mut entries, mut net } = self.sums;
        let scale = 1.0 / f64::from(self.batches.max(1));
        entries.iter_mut().chain(&mut net).for_each(|v| *v *= scale);
        Sensitivity { entries, net }
    }
}

/// Quantisation steps of a model but for one factor of all.
#[derive(Clone, Debug)]
pub struct StepPlan {
    levels: Vec<LevelPlan>,
    tensors: Vec<TensorPlan>,
    values: usize,
}

#[derive(Clone, Debug)]
struct LevelPlan {
    /// Mean sensitivity of the stored entries.
    mean: f64,
    /// Shift of each entry; empty where they are not worth telling.
    shifts: Vec<u8>,
    /// Largest magnitude.
    largest: f64,
}

#[derive(Clone, Debug)]
struct TensorPlan {
    mean: f64,
    rms: f64,
    largest: f64,
}

fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |most: f64, v| most.max(f64::from(v.abs())))
}

impl StepPlan {
    /// A plan for `model` of this sensitivity.
    pub fn new(model: &Model, sensitivity: &Sensitivity) -> Self {
        let spec = &model.spec;
        let (features, offsets) = (spec.latent.features, spec.latent.offsets(spec.dim));
        let stored = stored_entries(model);
        let level = |(l, read): (usize, &Vec<bool>)| {
            let entries = &sensitivity.entries[offsets[l]..offsets[l + 1]];
            let values = &model.grid[offsets[l] * features..offsets[l + 1] * features];
            LevelPlan::new(entries, read, features, largest(values))
        };
        let tensor = |slot: &nstr_spec::TensorSlot| {
            let values = &model.net[slot.range()];
            let squares: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
            TensorPlan {
                mean: sensitivity.net[slot.range()].iter().sum::<f64>() / slot.len().max(1) as f64,
                rms: (squares / slot.len().max(1) as f64).sqrt(),
                largest: largest(values),
            }
        };
        let of_grid = stored.iter().flatten().filter(|read| **read).count() * features;
        Self {
            levels: stored.iter().enumerate().map(level).collect(),
            tensors: spec.net_tensors().iter().map(tensor).collect(),
            values: of_grid + model.net.len(),
        }
    }

    /// The mean of squared errors that steps of this noise would add if every value were much larger than its step: each value
    /// adds a twelfth of the noise.
    pub fn error(&self, noise: f64) -> f64 {
        noise / 12.0 * self.values as f64
    }

    /// The noise of steps that would add this mean of squared errors.
    pub fn noise(&self, error: f64) -> f64 {
        12.0 * error / self.values.max(1) as f64
    }

    /// The noise of steps that are this share of a level's largest value, on a geometric mean over the levels; of all parameters where
    /// there are no levels.
    pub fn noise_of(&self, share: f64) -> f64 {
        let levels = self.levels.iter().map(|level| (level.mean, level.largest));
        let known = |(mean, largest): &(f64, f64)| *mean > 0.0 && *largest > 0.0;
        let mut all: Vec<(f64, f64)> = levels.filter(known).collect();
        if all.is_empty() {
            all = self.tensors.iter().map(|tensor| (tensor.mean, tensor.largest)).filter(known).collect();
        }
        let log = |(mean, largest): &(f64, f64)| (mean * (share * largest).powi(2)).ln();
        let noise = (all.iter().map(log).sum::<f64>() / all.len().max(1) as f64).exp();
        if all.is_empty() { f64::MIN_POSITIVE } else { noise.max(f64::MIN_POSITIVE) }
    }

    /// Steps whose square times the sensitivity is `noise` (above 0), as far as the plan allows.
    pub fn steps(&self, noise: f64) -> QuantizationSteps {
        QuantizationSteps {
            levels: self.levels.iter().map(|level| level.steps(noise)).collect(),
            tensors: self.tensors.iter().map(|tensor| tensor.step(noise)).collect(),
        }
    }
}

/// A step in 32 bits, with the largest value between a third of one and [`MOST_STEPS`] of them; 1 where all values are 0.
fn bounded(step: f64, largest: f64) -> f32 {
    if largest == 0.0 {
        return 1.0;
    }
    // NaN and infinity come from a sensitivity of 0.
    let step = if step.is_finite() { step } else { f64::MAX };
    (step.clamp(largest / MOST_STEPS, 3.0 * largest) as f32).max(f32::MIN_POSITIVE)
}

impl LevelPlan {
    fn new(entries: &[f64], read: &[bool], features: usize, largest: f64) -> Self {
        let stored = || entries.iter().zip(read).filter(|(_, read)| **read).map(|(s, _)| *s);
        let count = stored().count();
        let mean = stored().sum::<f64>() / count.max(1) as f64;
        if mean <= 0.0 || !mean.is_finite() {
            return Self { mean: 0.0, shifts: Vec::new(), largest };
        }
        // Half the binary logarithm of the sensitivity, against that of the mean: octaves of the step.
        let octaves = |s: f64| (-0.5 * (s / mean + FLOOR).log2()).round() as i32;
        let shift = |s: f64| (octaves(s).clamp(-OCTAVES[0], OCTAVES[1]) + OCTAVES[0]) as u8;
        let mut counts = [0_usize; (OCTAVES[0] + OCTAVES[1] + 1) as usize];
        // Of shifts against one step with the same error: the octaves that the shifts gain, and those that one step would.
        let (mut gained, mut error) = (0.0, 0.0);
        for s in stored() {
            let octave = f64::from(shift(s)) - f64::from(OCTAVES[0]);
            counts[usize::from(shift(s))] += 1;
            (gained, error) = (gained + octave, error + s / mean * (2.0 * octave).exp2());
        }
        let total = count as f64;
        let saved = features as f64 * (gained - total * 0.5 * (error / total).log2());
        let told: f64 = counts.iter().filter(|n| **n > 0).map(|n| *n as f64 * (total / *n as f64).log2()).sum();
        let shifts = if saved > WORTH * told { entries.iter().map(|s| shift(*s)).collect() } else { Vec::new() };
        Self { mean, shifts, largest }
    }

    fn steps(&self, noise: f64) -> LevelSteps {
        let step = (noise / self.mean).sqrt();
        match self.shifts.as_slice() {
            [] => LevelSteps { step: bounded(step, self.largest), shifts: Vec::new() },
            shifts => {
                let smallest = step * f64::from(-OCTAVES[0]).exp2();
                LevelSteps { step: bounded(smallest, self.largest), shifts: shifts.to_vec() }
            }
        }
    }
}

impl TensorPlan {
    fn step(&self, noise: f64) -> f32 {
        let step = match self.mean > 0.0 {
            true => (noise / self.mean).sqrt().min(COARSEST_TENSOR * self.rms),
            false => UNUSED_TENSOR * self.rms,
        };
        bounded(step, self.largest)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use nstr_field::QuantizedModel;
    use nstr_space::{Occupancy, SceneMap};
    use nstr_spec::init;
    use nstr_spec::preset::preset;

    use super::*;

    /// An untrained model of a preset with features that matter.
    fn model(name: &str, changes: &[&str]) -> Model {
        let config = preset(name).unwrap().set(changes).unwrap();
        let spec = config.spec();
        let (mut grid, mut net) = init::parameters(&spec, &config.init);
        // Some initial values are 0, on which nothing would depend.
        let mut rng = Pcg64::seed_from_u64(5);
        grid.iter_mut().for_each(|v| *v = rng.random_range(-1.0..1.0));
        net.iter_mut().for_each(|v| *v = rng.random_range(-0.5..0.5));
        Model {
            map: SceneMap::default(),
            units: String::new(),
            grid,
            net,
            config: serde_json::Value::Null,
            provenance: BTreeMap::new(),
            metrics: BTreeMap::new(),
            occupancy: spec.color_head.is_some().then(|| Occupancy::full(16)),
            spec,
        }
    }

    fn points(count: usize, dim: usize) -> Vec<f32> {
        let mut rng = Pcg64::seed_from_u64(1);
        (0..count * dim).map(|_| rng.random()).collect()
    }

    fn values(model: &Model, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len() / model.spec.dim * model.spec.outputs];
        FusedField::new(&model.spec).forward(&model.grid, &model.net, x, &mut out);
        out
    }

    fn mean_square(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / a.len() as f64
    }

    const SMALL_IMAGE: [&str; 4] =
        ["latent.base_resolution=4", "latent.resolution=16", "latent.levels=2", "latent.hashmap_size=1024"];

    #[test]
    fn errors_of_single_parameters_are_those_that_sensitivity_tells() {
        let model = model("image-tiny", &SMALL_IMAGE);
        let x = points(4096, 2);
        let mut estimator = SensitivityEstimator::new(&model, 3);
        // Many signs of the same points: what is left is the variance of the estimate.
        (0..200).for_each(|_| estimator.add_points(&x, &vec![1.0; 4096]));
        let sensitivity = estimator.finish();
        let before = values(&model, &x);
        let small = 1e-3;
        // A dense entry, one of the finer level, and parameters of the decoder.
        for entry in [7, 30, 200] {
            let features = model.spec.latent.features;
            let each = (0..features).map(|f| {
                let mut other = model.clone();
                other.grid[entry * features + f] += small;
                mean_square(&values(&other, &x), &before) / f64::from(small).powi(2)
            });
            let measured = each.sum::<f64>() / features as f64;
            let told = sensitivity.entries[entry];
            assert!((told / measured - 1.0).abs() < 0.3, "entry {entry}: {told} told, {measured} measured");
        }
        let slot = model.spec.net_tensors().into_iter().find(|slot| slot.name == "decoder.0.weight").unwrap();
        let range = slot.range();
        let told: f64 = sensitivity.net[range.clone()][..20].iter().sum();
        let measured: f64 = (range.start..range.start + 20)
            .map(|i| {
                let mut other = model.clone();
                other.net[i] += small;
                mean_square(&values(&other, &x), &before) / f64::from(small).powi(2)
            })
            .sum();
        assert!((told / measured - 1.0).abs() < 0.3, "decoder: {told} told, {measured} measured");
    }

    #[test]
    fn the_error_of_a_quantised_field_is_the_one_that_was_planned() {
        let model = model("image-tiny", &SMALL_IMAGE);
        let x = points(8192, 2);
        let mut estimator = SensitivityEstimator::new(&model, 3);
        (0..64).for_each(|i| {
            let part = &x[(i % 8) * 2048..][..2048];
            estimator.add_points(part, &vec![1.0; 1024]);
        });
        let plan = StepPlan::new(&model, &estimator.finish());
        let before = values(&model, &x);
        for error in [1e-7, 1e-6] {
            let noise = plan.noise(error);
            assert!((plan.error(noise) / error - 1.0).abs() < 1e-9);
            let quantized = QuantizedModel::new(&model, &plan.steps(noise)).unwrap();
            let (grid, net) = quantized.parameters().unwrap();
            let measured = mean_square(&values(&Model { grid, net, ..model.clone() }, &x), &before);
            // Entries have steps of whole octaves, some values are smaller than their step, and errors are not independent.
            assert!((0.4..2.0).contains(&(measured / error)), "{measured} for {error}");
        }
    }

    #[test]
    fn rays_and_points_measure_colours_alike() {
        // Rays that end in their one opaque sample have the colour there: three outputs a ray.
        let model = model("radiance-tiny", &["latent.base_resolution=2", "latent.resolution=4", "latent.levels=2"]);
        let x = points(64, 3);
        let direction = vec![[0.0, 0.6, 0.8]; 64].concat();
        let mut rays = RayBatch {
            first: (0..=64).collect(),
            x: x.clone(),
            t: vec![0.5; 64],
            dt: vec![1e9; 64],
            direction: direction.clone(),
            target: vec![0.0; 192],
            background: vec![0.0; 192],
            ..RayBatch::default()
        };
        let mut estimator = SensitivityEstimator::new(&model, 3);
        (0..400).for_each(|_| estimator.add_rays(&mut rays, 1e-3));
        let sensitivity = estimator.finish();
        let colours = |model: &Model| {
            let fused = FusedField::new(&model.spec);
            let mut out = vec![0.0; 64 * 4];
            fused.radiance(&fused.pack(&model.net), &model.grid, &x, &direction, &mut out);
            out.as_chunks::<4>().0.iter().flat_map(|c| [c[0], c[1], c[2]]).collect::<Vec<f32>>()
        };
        let (before, small, features) = (colours(&model), 1e-2, model.spec.latent.features);
        for entry in [0, 13, 89] {
            let each = (0..features).map(|f| {
                let mut other = model.clone();
                other.grid[entry * features + f] += small;
                mean_square(&colours(&other), &before) / f64::from(small).powi(2)
            });
            let measured = each.sum::<f64>() / features as f64;
            let told = sensitivity.entries[entry];
            assert!((told / measured - 1.0).abs() < 0.35, "entry {entry}: {told} told, {measured} measured");
        }
        let mut estimator = SensitivityEstimator::new(&model, 3);
        estimator.add_rays(&mut RayBatch { first: vec![0], ..RayBatch::default() }, 1e-3);
        assert!(estimator.finish().entries.iter().all(|s| *s == 0.0), "nothing from no rays");
    }

    #[test]
    fn shifts_follow_the_sensitivity_where_they_pay() {
        let read = vec![true; 4000];
        // A quarter of the entries is ten thousand times as sensitive as the rest.
        let spread: Vec<f64> = (0..4000).map(|i| if i % 4 == 0 { 1.0 } else { 1e-4 }).collect();
        let plan = LevelPlan::new(&spread, &read, 8, 1.0);
        // Against the mean of 0.250075: an octave below, and with the floor of 1/256 four above.
        assert_eq!((plan.shifts[0], plan.shifts[1]), (1, 6));
        let step = f64::from(plan.steps(1e-6).step);
        assert!((step * 4.0 - (1e-6_f64 / 0.250075).sqrt()).abs() < 1e-6 * step, "{step}");
        // An octave for half of the entries saves 0.16 bits a feature, and costs a bit an entry.
        let halves: Vec<f64> = (0..4000).map(|i| if i % 2 == 0 { 1.0 } else { 0.25 }).collect();
        assert!(LevelPlan::new(&halves, &read, 1, 1.0).shifts.is_empty());
        assert_eq!(LevelPlan::new(&halves, &read, 8, 1.0).shifts[..2], [2, 3]);
        assert!(LevelPlan::new(&vec![2.0; 4000], &read, 8, 1.0).shifts.is_empty(), "all alike");
        // Without any sensitivity one step is larger than all values.
        let none = LevelPlan::new(&vec![0.0; 4000], &read, 8, 0.5).steps(1e-6);
        assert_eq!((none.step, none.shifts.len()), (1.5, 0));
        assert_eq!(bounded(1e-30, 1.0), (1.0 / MOST_STEPS) as f32);
        assert_eq!(bounded(f64::NAN, 0.0), 1.0);
    }

    #[test]
    fn networks_keep_the_bits_that_they_need() {
        let tensor = |mean: f64| TensorPlan { mean, rms: 0.5, largest: 2.0 };
        assert_eq!(tensor(4.0).step(4e-8), 1e-4);
        assert_eq!(tensor(4.0).step(1e9), 0.5 / 32.0);
        assert_eq!(tensor(0.0).step(1e-9), 0.5 / 64.0);
    }
}
