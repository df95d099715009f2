//! Initial parameters: the same for the same seed (to the rounding of the platform's `ln` and `cos`).

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::{Activation, FieldSpec, LayerSlot, MlpSpec};

/// Distribution of the basis frequencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum FrequencyInit {
    /// Every component normal with standard deviation `omega_scale`.
    #[default]
    Normal,
    /// Magnitudes evenly spaced from `omega_scale / K` to `omega_scale`, directions uniform on the sphere (in one
    /// dimension a harmonic series).
    Linear,
    /// Pairs of the same normal frequencies with phases 0 and π/2, sines and cosines: random Fourier features (Tancik et
    /// al. 2020, eq. 5, whose σ is `omega_scale` / 2π).
    Fourier,
    /// The first layer of a SIREN on coordinates in ±1 (Sitzmann et al. 2020, §3.2): weights uniform in ±1/dim, biases in
    /// ±1/√dim; `omega_scale` is not used.
    Siren,
}

/// Distribution of the initial parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InitConfig {
    /// Seed of the generator.
    pub seed: u64,
    /// Latent features are uniform in ± this. Small (1e-2 or less), so that S starts near a constant.
    pub grid_scale: f32,
    /// Distribution of the basis frequencies.
    pub omega: FrequencyInit,
    /// Scale of the frequencies in radians per unit of field coordinates: 5–20 for distances, 100–200 for images.
    pub omega_scale: f32,
    /// Bias of H's last layer: the constant near which S starts.
    pub spectrum_bias: f32,
}

impl Default for InitConfig {
    fn default() -> Self {
        InitConfig { seed: 0, grid_scale: 1e-2, omega: FrequencyInit::Normal, omega_scale: 20.0, spectrum_bias: 1.0 }
    }
}

/// Factor of the last layer of H, beside its Glorot bound: S starts near its bias, not at it, so that its
/// weights have gradients from the first step.
const SPECTRUM_GAIN: f32 = 0.1;
/// First-layer bound of sine networks is `1/inputs`, hidden ones `√(6/inputs)/gain` (SIREN, Sitzmann et al. 2020, §3.2).
/// Where the basis carries the frequencies ω₀ is 1; with another one every layer is a hidden one, the basis being the
/// first, and biases and the last layer start as in the authors' program.
const SINE_BOUND: f32 = 6.0;

/// Draws `(grid, net)` for the field: features uniform in ±`grid_scale`; ω and phases by their law (phases uniform in `[0, 2π)`);
/// He-uniform weights before ReLU and SiLU, Glorot-uniform ones for linear outputs; biases zero except H's last and those of a
/// decoder of coordinates alone, whose first layer's planes of zeros are spread over the cube.
pub fn parameters(spec: &FieldSpec, init: &InitConfig) -> (Vec<f32>, Vec<f32>) {
    let mut draw = Draw(Pcg64::seed_from_u64(init.seed));
    let grid = (0..spec.grid_len()).map(|_| draw.symmetric(init.grid_scale)).collect();
    let layout = spec.net_layout();
    let mut net = vec![0.0; layout.len];
    basis(spec, init, &mut draw, &mut net);
    mlp(&layout.spectrum, &spec.spectrum, SPECTRUM_GAIN, init.spectrum_bias, &mut draw, &mut net);
    mlp(&layout.decoder, &spec.decoder, 1.0, 0.0, &mut draw, &mut net);
    if spec.input_coords && spec.decoder_inputs() == spec.dim {
        spread_kinks(&layout.decoder, &mut draw, &mut net);
    }
    mlp(&layout.transport, &spec.transport, 1.0, 0.0, &mut draw, &mut net);
    if let Some(head) = &spec.color_head {
        mlp(&layout.head, &head.mlp, 1.0, 0.0, &mut draw, &mut net);
    }
    (grid, net)
}

fn basis(spec: &FieldSpec, init: &InitConfig, draw: &mut Draw, net: &mut [f32]) {
    let (dim, count) = (spec.dim, spec.basis_width());
    let phases = dim * count..dim * count + count;
    if init.omega == FrequencyInit::Siren {
        let dim_f = dim as f32;
        for k in 0..count {
            let weights: Vec<f32> = (0..dim).map(|_| draw.symmetric(1.0 / dim_f)).collect();
            // On [0, 1] instead of ±1: w·(2x − 1) + b.
            net[phases.start + k] = draw.symmetric(dim_f.sqrt().recip()) - weights.iter().sum::<f32>();
            weights.iter().enumerate().for_each(|(j, w)| net[j * count + k] = 2.0 * w);
        }
        return;
    }
    for k in 0..count {
        let direction: Vec<f32> = (0..dim).map(|_| draw.normal()).collect();
        if init.omega == FrequencyInit::Fourier && k % 2 == 1 {
            (0..dim).for_each(|j| net[j * count + k] = net[j * count + k - 1]);
            net[phases.start + k] = std::f32::consts::FRAC_PI_2;
            continue;
        }
        let factor = match init.omega {
            FrequencyInit::Normal | FrequencyInit::Fourier | FrequencyInit::Siren => init.omega_scale,
            FrequencyInit::Linear => {
                let norm = direction.iter().map(|c| c * c).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
                init.omega_scale * (k + 1) as f32 / count as f32 / norm
            }
        };
        for (j, c) in direction.iter().enumerate() {
            net[j * count + k] = c * factor;
        }
    }
    if init.omega != FrequencyInit::Fourier {
        net[phases].iter_mut().for_each(|phase| *phase = draw.unit() * std::f32::consts::TAU);
    }
}

/// Fills one network; `gain` and `bias` are the last layer's.
fn mlp(layers: &[LayerSlot], spec: &MlpSpec, gain: f32, bias: f32, draw: &mut Draw, net: &mut [f32]) {
    for (l, slot) in layers.iter().enumerate() {
        let (inputs, outputs) = (slot.inputs as f32, slot.outputs as f32);
        let siren = spec.activation == Activation::Sine && spec.omega_0 > 1;
        let bound = match (slot.activated, spec.activation) {
            _ if siren => (SINE_BOUND / inputs).sqrt() / spec.omega_0 as f32,
            (false, _) => gain * (6.0 / (inputs + outputs)).sqrt(),
            (true, Activation::Sine) if l == 0 => 1.0 / inputs,
            (true, Activation::Sine) => (SINE_BOUND / inputs).sqrt(),
            (true, Activation::Relu | Activation::Silu) => (6.0 / inputs).sqrt(),
        };
        for weight in &mut net[slot.weight..slot.weight + slot.inputs * slot.outputs] {
            *weight = draw.symmetric(bound);
        }
        if siren {
            let bound = inputs.sqrt().recip();
            net[slot.bias..slot.bias + slot.outputs].iter_mut().for_each(|b| *b = draw.symmetric(bound));
        } else if !slot.activated {
            net[slot.bias..slot.bias + slot.outputs].fill(bias);
        }
    }
}

/// The first layer of a network that sees nothing but coordinates: as for coordinates in ±1, and every unit's plane of zeros goes
/// through a point of the unit cube. With biases of zero all planes would meet in one corner.
fn spread_kinks(layers: &[LayerSlot], draw: &mut Draw, net: &mut [f32]) {
    let Some(first) = layers.first().filter(|slot| slot.activated) else { return };
    for unit in 0..first.outputs {
        let mut bias = 0.0;
        for axis in 0..first.inputs {
            let weight = &mut net[first.weight + axis * first.outputs + unit];
            *weight *= 2.0;
            bias -= *weight * draw.unit();
        }
        net[first.bias + unit] = bias;
    }
}

/// Floats from the generator, by fixed arithmetic.
struct Draw(Pcg64);

impl Draw {
    /// Uniform in `[0, 1)`, 24 bits.
    fn unit(&mut self) -> f32 {
        (self.0.next_u64() >> 40) as f32 / (1u64 << 24) as f32
    }
    /// Uniform in `±bound`.
    fn symmetric(&mut self, bound: f32) -> f32 {
        (2.0 * self.unit() - 1.0) * bound
    }
    /// Standard normal by Box–Muller, in f64 for the tails.
    fn normal(&mut self) -> f32 {
        let u = ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let v = (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn same_seed_same_parameters() {
        let spec = config::preset("sdf-tiny").unwrap().spec();
        let init = InitConfig::default();
        assert_eq!(parameters(&spec, &init), parameters(&spec, &init));
        assert_ne!(parameters(&spec, &init).0, parameters(&spec, &InitConfig { seed: 1, ..init }).0);
    }

    #[test]
    fn laws_and_bounds_hold() {
        let mut spec = config::preset("sdf-tiny").unwrap().spec();
        spec.basis = 4000;
        let (grid, net) = parameters(&spec, &InitConfig::default());
        assert!(grid.iter().all(|g| g.abs() <= 1e-2) && grid.iter().any(|g| g.abs() > 5e-3));
        let omega = &net[..spec.dim * spec.basis];
        let deviation = (omega.iter().map(|w| w * w).sum::<f32>() / omega.len() as f32).sqrt();
        assert!((deviation - 20.0).abs() < 0.5, "standard deviation {deviation}");
        let layout = spec.net_layout();
        let phases = &net[layout.basis.bias..layout.basis.bias + spec.basis];
        assert!(phases.iter().all(|p| (0.0..std::f32::consts::TAU).contains(p)));
        let last = layout.spectrum.last().unwrap();
        assert!(net[last.bias..last.bias + last.outputs].iter().all(|b| *b == 1.0));

        spec.basis = 10;
        let init = InitConfig { omega: FrequencyInit::Linear, ..InitConfig::default() };
        let (_, net) = parameters(&spec, &init);
        for k in 0..10 {
            let norm = (0..3).map(|j| net[j * 10 + k].powi(2)).sum::<f32>().sqrt();
            assert!((norm - 2.0 * (k + 1) as f32).abs() < 1e-3, "|ω_{k}| = {norm}");
        }
    }

    #[test]
    fn a_decoder_of_coordinates_alone_has_its_kinks_in_the_cube() {
        let spec = config::preset("sdf-relu").unwrap().spec();
        let (_, net) = parameters(&spec, &InitConfig::default());
        let first = &spec.net_layout().decoder[0];
        let mut through_origin = 0;
        for unit in 0..first.outputs {
            let bias = net[first.bias + unit];
            let corner = |wanted: fn(f32) -> bool| {
                let weights = (0..3).map(|axis| net[first.weight + axis * first.outputs + unit]);
                bias + weights.filter(|w| wanted(*w)).sum::<f32>()
            };
            let (least, most) = (corner(|w| w < 0.0), corner(|w| w > 0.0));
            assert!(least <= 0.0 && most >= 0.0, "unit {unit} is {least} to {most} over the cube");
            through_origin += usize::from(bias == 0.0);
        }
        assert!(through_origin < first.outputs / 10);
    }
}
