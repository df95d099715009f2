//! What the theory of the method claims, measured: F's Lipschitz constant in S, the stability of S integrated along paths
//! with F, and how perturbations of high frequency decay.
//!
//! Along a segment `x(t) = x₀ + t·u` the transport network says `dS/dt = F(x(t), S)·u`. If F is Lipschitz in S with
//! constant L, a start off by δ is off by at most `‖δ‖ e^{L t}` later (Grönwall).

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use serde::Serialize;

use crate::linear::spectral_norm;
use crate::stats::{mean, median, quantile};
use nstr_field::jet::{Jet, Order, norm};
use nstr_field::probe::Probe;
use nstr_spec::Activation;

/// F's Lipschitz constant in S, in the Euclidean norm of S and the Frobenius norm of F.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lipschitz {
    /// Product of the layers' spectral norms and the activations' steepest slopes: no less than the constant.
    pub upper: f64,
    /// Largest spectral norm of ∂F/∂S at sampled points: no more than it.
    pub sampled: f64,
    /// Their median.
    pub typical: f64,
}

/// Bounds F's Lipschitz constant, the lower ones at `x` (`[point][dim]`) with the field's own S there. `None` without F.
pub fn lipschitz(probe: &Probe<'_>, x: &[f64]) -> Option<Lipschitz> {
    if !probe.has_transport() {
        return None;
    }
    let dim = probe.spec().dim;
    let mut upper = 1.0;
    for (l, slot) in probe.layout().transport.iter().enumerate() {
        let weights = &probe.net()[slot.weight..][..slot.inputs * slot.outputs];
        // The rows of x do not count.
        let weights = if l == 0 { &weights[dim * slot.outputs..] } else { weights };
        upper *= spectral_norm(weights, slot.outputs) * f64::from(slot.gain);
        if slot.activated {
            upper *= steepest(probe.spec().transport.activation);
        }
    }
    let mut norms: Vec<f64> = x
        .par_chunks_exact(dim)
        .map(|x| {
            let at = probe.at(x, Order::Value);
            let jet = probe.flow_jet(x, at.spectrum.values());
            let rows: Vec<f64> = (0..at.spectrum.width()).flat_map(|k| jet.along(k).to_vec()).collect();
            spectral_norm(&rows, jet.width())
        })
        .collect();
    norms.sort_by(f64::total_cmp);
    Some(Lipschitz { upper, sampled: norms.last().copied().unwrap_or(f64::NAN), typical: quantile(&norms, 0.5) })
}

/// Largest slope of an activation.
fn steepest(activation: Activation) -> f64 {
    match activation {
        Activation::Relu | Activation::Sine => 1.0,
        // Of a σ(a), at a = 2.3994.
        Activation::Silu => 1.099_839_320_6,
    }
}

/// Steps of the integration along a segment.
pub const STEPS: usize = 64;

/// S integrated along segments, against S itself and against a start that is off. One entry a position along the segments.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stability {
    /// Length travelled, in field coordinates.
    pub t: Vec<f64>,
    /// Median and 95th percentile over segments of `‖ΔS(t)‖/‖δ‖` for starts off by δ, a random direction of 1 % of ‖S‖.
    pub growth: [Vec<f64>; 2],
    /// Median of `‖∫F − S(x(t))‖ / ‖S(x(t))‖`: what is lost by transporting S with F.
    pub transported: Vec<f64>,
    /// The same of S kept as it was at the start: what a transport law must beat.
    pub kept: Vec<f64>,
}

/// Integrates S along `count` random segments of `length` in the cube, by Runge and Kutta's method in [`STEPS`] steps.
/// `None` without F.
pub fn stability(probe: &Probe<'_>, count: usize, length: f64, seed: u64) -> Option<Stability> {
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
        transported: all(1, 0.5),
        kept: all(2, 0.5),
    })
}

/// A straight path `x₀ + t·u`, `t` from 0 to `length`.
struct Segment {
    start: Vec<f64>,
    direction: Vec<f64>,
    length: f64,
}

impl Segment {
    fn at(&self, t: f64) -> Vec<f64> {
        self.start.iter().zip(&self.direction).map(|(x, u)| x + t * u).collect()
    }

    /// `F(x(t), S)·u`.
    fn rate(&self, probe: &Probe<'_>, t: f64, s: &[f64]) -> Vec<f64> {
        let flow = probe.flow(&self.at(t), s);
        flow.chunks_exact(self.direction.len())
            .map(|f| f.iter().zip(&self.direction).map(|(f, u)| f * u).sum())
            .collect()
    }

    /// S at every step, from `s`; `forced(t)` is added to the S that F sees.
    fn integrate(&self, probe: &Probe<'_>, s: &[f64], steps: usize, forced: impl Fn(f64) -> Vec<f64>) -> Vec<Vec<f64>> {
        let h = self.length / steps as f64;
        let plus = |s: &[f64], k: &[f64], by: f64| -> Vec<f64> { s.iter().zip(k).map(|(s, k)| s + by * k).collect() };
        let rate = |t: f64, s: &[f64]| self.rate(probe, t, &plus(s, &forced(t), 1.0));
        let mut path = vec![s.to_vec()];
        for step in 0..steps {
            let (t, s) = (h * step as f64, &path[step]);
            let a = rate(t, s);
            let b = rate(t + 0.5 * h, &plus(s, &a, 0.5 * h));
            let c = rate(t + 0.5 * h, &plus(s, &b, 0.5 * h));
            let d = rate(t + h, &plus(s, &c, h));
            let next = (0..s.len()).map(|k| s[k] + h / 6.0 * (a[k] + 2.0 * b[k] + 2.0 * c[k] + d[k])).collect();
            path.push(next);
        }
        path
    }
}

/// Segments of `length` within the unit cube.
fn segments(dim: usize, count: usize, length: f64, seed: u64) -> Vec<Segment> {
    let mut rng = Pcg64::seed_from_u64(seed ^ 0x5e6);
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        let start: Vec<f64> = (0..dim).map(|_| rng.random()).collect();
        let direction = direction(&mut rng, dim);
        let inside = start.iter().zip(&direction).all(|(x, u)| (0.0..=1.0).contains(&(x + length * u)));
        if inside {
            found.push(Segment { start, direction, length });
        }
    }
    found
}

/// A unit vector, all directions alike.
fn direction(rng: &mut Pcg64, dim: usize) -> Vec<f64> {
    loop {
        let v: Vec<f64> = (0..dim).map(|_| rng.random_range(-1.0..1.0)).collect();
        let length = norm(&v);
        // Points of a ball; in many dimensions those of a cube will do.
        if length > 1e-3 && (length <= 1.0 || dim > 4) {
            return v.iter().map(|c| c / length).collect();
        }
    }
}

fn difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

/// Growth of a perturbation, loss by transport, loss by keeping S, at every step.
fn stability_along(probe: &Probe<'_>, segment: &Segment, seed: u64) -> [Vec<f64>; 3] {
    let still = |s: &[f64]| vec![0.0; s.len()];
    let at = |t: f64| probe.at(&segment.at(t), Order::Value).spectrum.values().to_vec();
    let s = at(0.0);
    let size = 0.01 * norm(&s).max(1e-12);
    let delta = direction(&mut Pcg64::seed_from_u64(seed ^ 0xde17a), s.len());
    let off: Vec<f64> = s.iter().zip(&delta).map(|(s, d)| s + size * d).collect();
    let path = segment.integrate(probe, &s, STEPS, |_| still(&s));
    let moved = segment.integrate(probe, &off, STEPS, |_| still(&s));
    let mut out = [Vec::new(), Vec::new(), Vec::new()];
    for step in 0..=STEPS {
        let true_s = at(segment.length * step as f64 / STEPS as f64);
        let scale = 1.0 / norm(&true_s).max(1e-12);
        out[0].push(difference(&path[step], &moved[step]) / size);
        out[1].push(difference(&path[step], &true_s) * scale);
        out[2].push(difference(&s, &true_s) * scale);
    }
    out
}

/// How a sinusoidal perturbation of S comes through, by its frequency.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Decay {
    /// Radians per unit of field coordinates.
    pub frequency: Vec<f64>,
    /// Root mean square deviation of the S integrated with F, per root mean square of the perturbation of F's input.
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
/// Whole periods in a segment.
const PERIODS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// Perturbs S along `count` segments of `length` by `ε a sin(νt)`, a a random unit vector, ε 1 % of ‖S‖: what F sees while S
/// is integrated, and what the decoder sees. The decoder acts point by point, so its response knows ν only through its
/// bends; the integral of any F falls as 1/ν. Without F the transport's part is empty; S must not be.
pub fn decay(probe: &Probe<'_>, count: usize, length: f64, seed: u64) -> Decay {
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
    Decay { frequency, transport, decoder, transport_slope, decoder_slope }
}

/// Response of transport and decoder per unit of perturbation, both root mean squares along the segment.
fn decay_along(probe: &Probe<'_>, segment: &Segment, periods: f64, seed: u64) -> [f64; 2] {
    let at = |t: f64| probe.at(&segment.at(t), Order::Value);
    let s = at(0.0).spectrum.values().to_vec();
    let size = 0.01 * norm(&s).max(1e-12);
    let along = direction(&mut Pcg64::seed_from_u64(seed ^ 0xa), s.len());
    let rate = std::f64::consts::TAU * periods / segment.length;
    let forced = |t: f64| -> Vec<f64> { along.iter().map(|a| size * (rate * t).sin() * a).collect() };
    let rms = |v: &[f64]| mean(&v.iter().map(|v| v * v).collect::<Vec<_>>()).sqrt();
    // The perturbation's own root mean square over whole periods.
    let input = size / std::f64::consts::SQRT_2;
    let mut transport = f64::NAN;
    if probe.has_transport() {
        let path = segment.integrate(probe, &s, FINE, |_| vec![0.0; s.len()]);
        let moved = segment.integrate(probe, &s, FINE, forced);
        transport = rms(&path.iter().zip(&moved).map(|(a, b)| difference(a, b)).collect::<Vec<_>>()) / input;
    }
    let deviation = |i: usize| {
        let t = segment.length * i as f64 / FINE as f64;
        let here = at(t);
        let fixed = |v: &[f64]| Jet::constant(v, 0, Order::Value);
        let off: Vec<f64> = here.spectrum.values().iter().zip(forced(t)).map(|(s, d)| s + d).collect();
        let value = probe.decode(&fixed(&segment.at(t)), &fixed(here.latent.values()), &fixed(&off));
        difference(value.values(), here.value.values())
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
    use crate::nulls::untrained;
    use nstr_spec::config::preset;
    use nstr_spec::init::InitSpec;
    use nstr_spec::FieldSpec;

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
        let probe = Probe::new(&spec, &grid, &net);
        let l = lipschitz(&probe, &[0.1, 0.2, 0.3, 0.7, 0.5, 0.9]).unwrap();
        for v in [l.upper, l.sampled, l.typical] {
            assert!((v - 1.5).abs() < 1e-9, "{l:?}");
        }
        let s = stability(&probe, 20, 0.3, 0).unwrap();
        for (i, t) in s.t.iter().enumerate() {
            // Growth is e^{rate·u_x·t}, u_x within ±1.
            assert!(s.growth[1][i] <= (1.5 * t).exp() + 1e-9 && s.growth[0][i] >= (-1.5 * t).exp() - 1e-9);
        }
        assert!(s.kept.iter().all(|v| *v < 1e-12) && s.transported[STEPS] > 0.01);
        let segment = Segment { start: vec![0.0; 3], direction: vec![1.0, 0.0, 0.0], length: 1.0 };
        let path = segment.integrate(&probe, &[2.0; 16], STEPS, |_| vec![0.0; 16]);
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
        let probe = Probe::new(&spec, &grid, &net);
        let d = decay(&probe, 8, 0.3, 1);
        assert!((d.transport_slope + 1.0).abs() < 0.05, "{d:?}");
        assert!(d.decoder_slope.abs() < 0.05 && d.decoder[0] > 0.0, "{d:?}");
        let none = Decay { transport: Vec::new(), ..d };
        assert!(slope(&none.frequency, &none.transport).is_nan());
    }

    #[test]
    fn bounds_hold_for_any_field() {
        for (activation, layers) in [("relu", 2), ("silu", 1), ("sine", 3), ("relu", 0)] {
            let text = [format!("transport.activation={activation}"), format!("transport.layers={layers}")];
            let spec = preset("sdf-tiny").unwrap().set(&text).unwrap().spec();
            let field = untrained(&spec, &InitSpec { grid_scale: 2.0, ..InitSpec::default() });
            let mut rng = Pcg64::seed_from_u64(5);
            let x: Vec<f64> = (0..90).map(|_| rng.random()).collect();
            let l = lipschitz(&field.probe(), &x).unwrap();
            assert!(l.sampled <= l.upper * (1.0 + 1e-9) && l.typical <= l.sampled, "{activation}: {l:?}");
        }
    }
}
