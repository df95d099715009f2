//! Claims of the method's theory, measured: F's Lipschitz constant in S, the stability of S integrated along paths with F, and
//! the decay of perturbations of high frequency.
//!
//! Along a segment `x(t) = x₀ + t·u` the transport network says `dS/dt = F(x(t), S)·u`. If F is Lipschitz in S with
//! constant L, a start off by δ is off by at most `‖δ‖ e^{L t}` later (Grönwall).

use nalgebra::{DMatrix, DMatrixView, DVector};
use nstr_field::jet::{Jet, Order, norm};
use nstr_field::point_evaluator::PointEvaluator;
use nstr_spec::Activation;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use serde::Serialize;

use crate::linear::spectral_norm;
use crate::stats::{mean, median, quantile};

/// Bounds of F's Lipschitz constant in S, in the Euclidean norm of S and the Frobenius norm of F.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LipschitzBounds {
    /// Product of the layers' spectral norms and the activations' steepest slopes: no less than the constant.
    pub upper: f64,
    /// Largest spectral norm of ∂F/∂S at sampled points: no more than it.
    pub sampled: f64,
    /// Their median.
    pub typical: f64,
}

/// Bounds F's Lipschitz constant, the lower ones at `x` (`[point][dim]`) with the field's own S there. `None` without F.
pub fn lipschitz(probe: &PointEvaluator<'_>, x: &[f64]) -> Option<LipschitzBounds> {
    if !probe.has_transport() {
        return None;
    }
    let dim = probe.spec().dim;
    let mut upper = 1.0;
    for (l, slot) in probe.layout().transport.iter().enumerate() {
        let weights = &probe.net()[slot.weight..][..slot.inputs * slot.outputs];
        // The rows of x do not count.
        let weights = if l == 0 { &weights[dim * slot.outputs..] } else { weights };
        let matrix = DMatrixView::from_slice(weights, slot.outputs, weights.len() / slot.outputs.max(1));
        upper *= spectral_norm(&matrix.into_owned()) * f64::from(slot.gain);
        if slot.activated {
            upper *= max_slope(probe.spec().transport.activation);
        }
    }
    let mut norms: Vec<f64> = x
        .par_chunks_exact(dim)
        .map(|x| {
            let at = probe.at(x, Order::Value);
            let jet = probe.flow_jet(x, at.spectrum.values());
            let columns: Vec<f64> = (0..at.spectrum.width()).flat_map(|k| jet.partial(k).to_vec()).collect();
            spectral_norm(&DMatrix::from_vec(jet.width(), at.spectrum.width(), columns))
        })
        .collect();
    norms.sort_by(f64::total_cmp);
    Some(LipschitzBounds { upper, sampled: norms.last().copied().unwrap_or(f64::NAN), typical: quantile(&norms, 0.5) })
}

/// Largest slope of an activation.
fn max_slope(activation: Activation) -> f64 {
    match activation {
        Activation::Relu | Activation::Sine => 1.0,
        // Of a σ(a), at a = 2.3994.
        Activation::Silu => 1.099_839_320_6,
    }
}

/// Steps of the integration along a segment.
pub const STEPS: usize = 64;

/// S integrated along segments, against S itself and against a perturbed start. One entry a position along the segments.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stability {
    /// Length travelled, in field coordinates.
    pub t: Vec<f64>,
    /// Median and 95th percentile over segments of `‖ΔS(t)‖/‖δ‖` for starts off by δ, a random direction of 1 % of ‖S‖.
    pub growth: [Vec<f64>; 2],
    /// Median of `‖∫F − S(x(t))‖ / ‖S(x(t))‖`: the error of S advected with F.
    #[serde(rename = "transported")]
    pub advected: Vec<f64>,
    /// The same of S held constant from the start: what a transport law must beat.
    #[serde(rename = "kept")]
    pub constant: Vec<f64>,
}

/// Integrates S along `count` random segments of `length` in the cube, by the classical Runge-Kutta method in [`STEPS`] steps.
/// `None` without F.
pub fn stability(probe: &PointEvaluator<'_>, count: usize, length: f64, seed: u64) -> Option<Stability> {
    if !probe.has_transport() {
        return None;
    }
    let runs: Vec<[Vec<f64>; 3]> = segments(probe.spec().dim, count, length, seed)
        .into_par_iter()
        .enumerate()
        .map(|(i, segment)| stability_along(probe, &segment, seed ^ i as u64))
        .collect();
    let over = |which: usize, step: usize| -> Vec<f64> {
        let mut values: Vec<f64> = runs.iter().map(|r| r[which][step]).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let all = |which: usize, q: f64| (0..=STEPS).map(|s| quantile(&over(which, s), q)).collect::<Vec<f64>>();
    Some(Stability {
        t: (0..=STEPS).map(|s| length * s as f64 / STEPS as f64).collect(),
        growth: [all(0, 0.5), all(0, 0.95)],
        advected: all(1, 0.5),
        constant: all(2, 0.5),
    })
}

/// A straight path `x₀ + t·u`, `t` from 0 to `length`.
struct Segment {
    start: DVector<f64>,
    direction: DVector<f64>,
    length: f64,
}

impl Segment {
    fn at(&self, t: f64) -> DVector<f64> {
        &self.start + t * &self.direction
    }

    /// `F(x(t), S)·u`.
    fn rate(&self, probe: &PointEvaluator<'_>, t: f64, s: &DVector<f64>) -> DVector<f64> {
        let flow = probe.flow(self.at(t).as_slice(), s.as_slice());
        // `[k][dim]` is a matrix with a column a component of S.
        DMatrixView::from_slice(&flow, self.direction.len(), s.len()).tr_mul(&self.direction)
    }

    /// S at every step, from `s`, by the classical Runge-Kutta method; `forced(t)` is added to the S that F sees.
    fn integrate(
        &self,
        probe: &PointEvaluator<'_>,
        s: &DVector<f64>,
        steps: usize,
        forced: impl Fn(f64) -> DVector<f64>,
    ) -> Vec<DVector<f64>> {
        let h = self.length / steps as f64;
        let rate = |t: f64, s: DVector<f64>| self.rate(probe, t, &(s + forced(t)));
        let mut path = vec![s.clone()];
        for step in 0..steps {
            let (t, s) = (h * step as f64, &path[step]);
            let a = rate(t, s.clone());
            let b = rate(t + 0.5 * h, s + 0.5 * h * &a);
            let c = rate(t + 0.5 * h, s + 0.5 * h * &b);
            let d = rate(t + h, s + h * &c);
            let next = s + h / 6.0 * (a + 2.0 * b + 2.0 * c + d);
            path.push(next);
        }
        path
    }

    /// S of the field itself at `t`.
    fn spectrum(&self, probe: &PointEvaluator<'_>, t: f64) -> DVector<f64> {
        DVector::from_column_slice(probe.at(self.at(t).as_slice(), Order::Value).spectrum.values())
    }
}

/// Segments of `length` within the unit cube.
fn segments(dim: usize, count: usize, length: f64, seed: u64) -> Vec<Segment> {
    let mut rng = Pcg64::seed_from_u64(seed ^ 0x5e6);
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        let start = DVector::from_fn(dim, |_, _| rng.random());
        let direction = direction(&mut rng, dim);
        let segment = Segment { start, direction, length };
        if segment.at(length).iter().all(|x| (0.0..=1.0).contains(x)) {
            found.push(segment);
        }
    }
    found
}

/// A unit vector, all directions alike.
fn direction(rng: &mut Pcg64, dim: usize) -> DVector<f64> {
    loop {
        let v = DVector::from_fn(dim, |_, _| rng.random_range(-1.0..1.0));
        let length = v.norm();
        // Points of a ball; in many dimensions those of a cube will do.
        if length > 1e-3 && (length <= 1.0 || dim > 4) {
            return v / length;
        }
    }
}

/// Size of perturbations over ‖S‖.
const PERTURBATION: f64 = 0.01;
/// Least norm of S that is divided by.
const MIN_NORM: f64 = 1e-12;

/// Growth of a perturbation, error of S advected with F, error of S held constant, at every step.
fn stability_along(probe: &PointEvaluator<'_>, segment: &Segment, seed: u64) -> [Vec<f64>; 3] {
    let s = segment.spectrum(probe, 0.0);
    let unforced = |_: f64| DVector::zeros(s.len());
    let size = PERTURBATION * s.norm().max(MIN_NORM);
    let perturbed = &s + size * direction(&mut Pcg64::seed_from_u64(seed ^ 0xde17a), s.len());
    let path = segment.integrate(probe, &s, STEPS, unforced);
    let moved = segment.integrate(probe, &perturbed, STEPS, unforced);
    let mut out = [Vec::new(), Vec::new(), Vec::new()];
    for step in 0..=STEPS {
        let exact = segment.spectrum(probe, segment.length * step as f64 / STEPS as f64);
        let scale = 1.0 / exact.norm().max(MIN_NORM);
        out[0].push((&path[step] - &moved[step]).norm() / size);
        out[1].push((&path[step] - &exact).norm() * scale);
        out[2].push((&s - &exact).norm() * scale);
    }
    out
}

/// Response to a sinusoidal perturbation of S, by its frequency.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PerturbationDecay {
    /// Radians per unit of field coordinates.
    pub frequency: Vec<f64>,
    /// Root mean square deviation of the S integrated with F, per root mean square of the perturbation of the S that F sees.
    pub transport: Vec<f64>,
    /// Root mean square deviation of f, likewise, where the decoder's input S is perturbed.
    pub decoder: Vec<f64>,
    /// Slope of log(transport) over log(frequency) in the upper half of the frequencies.
    pub transport_slope: f64,
    /// The same of the decoder.
    pub decoder_slope: f64,
}

/// Steps along a segment for the highest frequency.
const FINE: usize = 512;
/// Periods in a segment.
const PERIODS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// Perturbs S along `count` segments of `length` by `ε a sin(νt)`, a a random unit vector, ε 1 % of ‖S‖: what F sees while S
/// is integrated, and what the decoder sees. The decoder acts point by point, so its response knows ν only through its
/// bends; the integral of any F falls as 1/ν. Without F the transport's part is empty; the field must have an S.
pub fn decay(probe: &PointEvaluator<'_>, count: usize, length: f64, seed: u64) -> PerturbationDecay {
    let segments = segments(probe.spec().dim, count, length, seed ^ 0xdeca);
    let runs: Vec<Vec<[f64; 2]>> = segments
        .par_iter()
        .enumerate()
        .map(|(i, segment)| PERIODS.iter().map(|n| decay_along(probe, segment, *n, seed ^ i as u64)).collect())
        .collect();
    let frequency: Vec<f64> = PERIODS.iter().map(|n| std::f64::consts::TAU * n / length).collect();
    let of = |which: usize| -> Vec<f64> {
        (0..PERIODS.len()).map(|f| median(&runs.iter().map(|r| r[f][which]).collect::<Vec<_>>())).collect()
    };
    let transport = if probe.has_transport() { of(0) } else { Vec::new() };
    let decoder = of(1);
    let (transport_slope, decoder_slope) = (slope(&frequency, &transport), slope(&frequency, &decoder));
    PerturbationDecay { frequency, transport, decoder, transport_slope, decoder_slope }
}

/// Response of transport and decoder per unit of perturbation, both root mean squares along the segment.
fn decay_along(probe: &PointEvaluator<'_>, segment: &Segment, periods: f64, seed: u64) -> [f64; 2] {
    let s = segment.spectrum(probe, 0.0);
    let size = PERTURBATION * s.norm().max(MIN_NORM);
    let along = direction(&mut Pcg64::seed_from_u64(seed ^ 0xa), s.len());
    let rate = std::f64::consts::TAU * periods / segment.length;
    let forced = |t: f64| size * (rate * t).sin() * &along;
    let rms = |v: &[f64]| mean(&v.iter().map(|v| v * v).collect::<Vec<_>>()).sqrt();
    // The perturbation's own root mean square over whole periods.
    let input = size / std::f64::consts::SQRT_2;
    let mut transport = f64::NAN;
    if probe.has_transport() {
        let path = segment.integrate(probe, &s, FINE, |_| DVector::zeros(s.len()));
        let moved = segment.integrate(probe, &s, FINE, forced);
        transport = rms(&path.iter().zip(&moved).map(|(a, b)| (a - b).norm()).collect::<Vec<_>>()) / input;
    }
    let deviation = |i: usize| {
        let t = segment.length * i as f64 / FINE as f64;
        let x = segment.at(t);
        let here = probe.at(x.as_slice(), Order::Value);
        let fixed = |v: &[f64]| Jet::constant(v, 0, Order::Value);
        let off = DVector::from_column_slice(here.spectrum.values()) + forced(t);
        let value = probe.decode(&fixed(x.as_slice()), &fixed(here.latent.values()), &fixed(off.as_slice()));
        norm(&value.values().iter().zip(here.value.values()).map(|(a, b)| a - b).collect::<Vec<_>>())
    };
    [transport, rms(&(0..FINE).map(deviation).collect::<Vec<_>>()) / input]
}

/// Slope of log y over log x in the upper half; NaN where there is none.
fn slope(x: &[f64], y: &[f64]) -> f64 {
    let first = x.len() / 2;
    if y.len() != x.len() || y[first..].iter().any(|v| v.is_nan() || *v <= 0.0) {
        return f64::NAN;
    }
    let log = |v: &[f64]| -> Vec<f64> { v[first..].iter().map(|v| v.ln()).collect() };
    let (x, y) = (log(x), log(y));
    let (cx, cy) = (mean(&x), mean(&y));
    let (cross, square) =
        x.iter().zip(&y).fold((0.0, 0.0), |(c, s), (x, y)| (c + (x - cx) * (y - cy), s + (x - cx) * (x - cx)));
    cross / square
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null_models::FieldParameters;
    use nstr_spec::FieldSpec;
    use nstr_spec::config::preset;
    use nstr_spec::init::InitConfig;

    /// A field whose F is linear in S: `F(x, S)_kj = rate·S_k` for j = 0, else 0, and whose S is constant.
    fn growing(rate: f32) -> (FieldSpec, Vec<f32>, Vec<f32>) {
        let mut spec = preset("sdf-tiny").unwrap().spec();
        (spec.transport.layers, spec.spectrum.layers) = (0, 0);
        let grid = vec![0.0; spec.grid_len()];
        let mut net = vec![0.0; spec.net_len()];
        let layout = spec.net_layout();
        let (h, f) = (layout.spectrum[0], layout.transport[0]);
        net[h.bias..h.bias + h.outputs].fill(2.0);
        for k in 0..spec.spectrum_width() {
            net[f.weight + (spec.dim + k) * f.outputs + k * spec.dim] = rate;
        }
        (spec, grid, net)
    }

    #[test]
    fn a_linear_flow_has_its_rate_as_constant_and_grows_as_gronwall_says() {
        let (spec, grid, net) = growing(1.5);
        let probe = PointEvaluator::new(&spec, &grid, &net);
        let l = lipschitz(&probe, &[0.1, 0.2, 0.3, 0.7, 0.5, 0.9]).unwrap();
        for v in [l.upper, l.sampled, l.typical] {
            assert!((v - 1.5).abs() < 1e-9, "{l:?}");
        }
        let s = stability(&probe, 20, 0.3, 0).unwrap();
        for (i, t) in s.t.iter().enumerate() {
            // Growth is e^{rate·u_x·t}, u_x within ±1.
            assert!(s.growth[1][i] <= (1.5 * t).exp() + 1e-9 && s.growth[0][i] >= (-1.5 * t).exp() - 1e-9);
        }
        assert!(s.constant.iter().all(|v| *v < 1e-12) && s.advected[STEPS] > 0.01);
        let (start, direction) = (DVector::zeros(3), DVector::from_column_slice(&[1.0, 0.0, 0.0]));
        let segment = Segment { start, direction, length: 1.0 };
        let path = segment.integrate(&probe, &DVector::repeat(16, 2.0), STEPS, |_| DVector::zeros(16));
        assert!((path[STEPS][3] - 2.0 * 1.5f64.exp()).abs() < 1e-7, "{:?}", path[STEPS]);
    }

    #[test]
    fn integrals_fall_with_the_frequency_and_pointwise_responses_do_not() {
        let (spec, grid, mut net) = growing(0.7);
        // A decoder that passes the first modulated value on.
        let layout = spec.net_layout();
        for (l, slot) in layout.decoder.iter().enumerate() {
            net[slot.weight] = if l == 0 { 1.0 } else { 2.0 };
            net[slot.bias] = if slot.activated { 10.0 } else { 0.0 };
        }
        net[layout.basis.bias] = 1.0;
        let probe = PointEvaluator::new(&spec, &grid, &net);
        let d = decay(&probe, 8, 0.3, 1);
        assert!((d.transport_slope + 1.0).abs() < 0.05, "{d:?}");
        assert!(d.decoder_slope.abs() < 0.05 && d.decoder[0] > 0.0, "{d:?}");
        let none = PerturbationDecay { transport: Vec::new(), ..d };
        assert!(slope(&none.frequency, &none.transport).is_nan());
    }

    #[test]
    fn bounds_hold_for_any_field() {
        for (activation, layers) in [("relu", 2), ("silu", 1), ("sine", 3), ("relu", 0)] {
            let text = [format!("transport.activation={activation}"), format!("transport.layers={layers}")];
            let spec = preset("sdf-tiny").unwrap().set(&text).unwrap().spec();
            let field = FieldParameters::random(&spec, &InitConfig { grid_scale: 2.0, ..InitConfig::default() });
            let mut rng = Pcg64::seed_from_u64(5);
            let x: Vec<f64> = (0..90).map(|_| rng.random()).collect();
            let l = lipschitz(&field.probe(), &x).unwrap();
            assert!(l.sampled <= l.upper * (1.0 + 1e-9) && l.typical <= l.sampled, "{activation}: {l:?}");
        }
    }
}
