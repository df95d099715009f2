//! Tests of enclosures and Lipschitz constants on fields of every shape: by random and by sought points, in both precisions.

use nstr_kernel::{FusedField, Outputs};
use nstr_spec::{Activation::*, Axes, FieldSpec, Interpolation, LatentSpec, LevelSpec, MlpSpec, Modulation};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::*;
use crate::jet::Order;
use crate::point_evaluator::PointEvaluator;

/// A small field of every kind of part.
pub(super) fn base() -> FieldSpec {
    FieldSpec {
        dim: 3,
        outputs: 1,
        latent: LatentSpec {
            levels: vec![LevelSpec::new(4, None)],
            features: 3,
            interpolation: Interpolation::Linear,
            product: 1,
        },
        basis: 5,
        modulation: Modulation::Product,
        basis_omega_0: 1,
        input_coords: false,
        spectrum: MlpSpec::new(1, 7, Relu),
        spectrum_input: false,
        decoder: MlpSpec::new(2, 9, Relu),
        skip_latent: true,
        transport: MlpSpec::new(1, 6, Relu),
        color_head: None,
    }
}

fn over(axes: &[u8]) -> Vec<LevelSpec> {
    axes.iter().map(|axes| LevelSpec { axes: Axes(*axes), ..LevelSpec::new(5, None) }).collect()
}

fn hashed() -> Vec<LevelSpec> {
    [(2, None), (8, Some(64)), (31, Some(128))].map(|(cells, table)| LevelSpec::new(cells, table)).to_vec()
}

/// Fields that differ from the small one in each axis of the configuration.
pub(super) fn variants() -> Vec<(&'static str, FieldSpec)> {
    type Change = fn(&mut FieldSpec);
    let changes: Vec<(&str, Change)> = vec![
        ("base", |_| ()),
        ("one dimension", |s| s.dim = 1),
        ("two dimensions, three outputs", |s| (s.dim, s.outputs) = (2, 3)),
        ("pyramid", |s| s.latent.levels = [2, 4, 7].map(|cells| LevelSpec::new(cells, None)).to_vec()),
        ("hash", |s| s.latent.levels = hashed()),
        ("hash, channels, smoothstep", |s| {
            (s.latent.levels, s.latent.features) = (hashed(), 1);
            (s.modulation, s.latent.interpolation) = (Modulation::Channels(2), Interpolation::Smoothstep);
        }),
        ("a level with too many cells", |s| s.latent.levels = vec![LevelSpec::new(900, Some(256))]),
        ("one cell, smoothstep", |s| {
            (s.latent.levels[0].resolution, s.latent.interpolation) = (1, Interpolation::Smoothstep);
        }),
        ("smoothstep", |s| s.latent.interpolation = Interpolation::Smoothstep),
        ("sum", |s| s.modulation = Modulation::Sum),
        ("sum without skip", |s| (s.modulation, s.skip_latent) = (Modulation::Sum, false)),
        ("channels", |s| s.modulation = Modulation::Channels(3)),
        ("no sinusoids", |s| s.modulation = Modulation::None),
        ("plain sinusoids", |s| s.modulation = Modulation::Plain),
        ("plain sinusoids, x into g, no skip", |s| {
            (s.modulation, s.skip_latent, s.input_coords) = (Modulation::Plain, false, true);
        }),
        ("siren", |s| {
            (s.latent.levels, s.modulation, s.skip_latent) = (Vec::new(), Modulation::Plain, false);
            (s.basis_omega_0, s.decoder) = (30, MlpSpec { omega_0: 20, ..MlpSpec::new(2, 13, Sine) });
        }),
        ("relu of x", |s| {
            (s.latent.levels, s.modulation, s.skip_latent) = (Vec::new(), Modulation::None, false);
            (s.input_coords, s.transport) = (true, MlpSpec::ABSENT);
        }),
        ("no grid, x into H and g", |s| {
            (s.latent.levels, s.spectrum_input, s.input_coords) = (Vec::new(), true, true);
        }),
        ("x into H and g", |s| (s.spectrum_input, s.input_coords) = (true, true)),
        ("gains", |s| (s.spectrum.omega_0, s.decoder.omega_0, s.basis_omega_0) = (3, 5, 4)),
        ("planes", |s| s.latent.levels = over(&[0b011, 0b101, 0b110])),
        ("planes times lines, smoothstep", |s| {
            (s.latent.levels, s.latent.product) = (over(&[0b011, 0b100, 0b101, 0b010, 0b110, 0b001]), 2);
            s.latent.interpolation = Interpolation::Smoothstep;
        }),
        ("lines of three axes", |s| (s.latent.levels, s.latent.product) = (over(&[1, 2, 4]), 3)),
        ("a hashed plane beside a volume", |s| {
            s.latent.levels = [over(&[0b110]), vec![LevelSpec::new(3, None), LevelSpec::new(9, Some(64))]].concat();
            s.latent.levels[0] = LevelSpec { hashmap_size: Some(16), ..s.latent.levels[0] };
        }),
        ("linear networks", |s| (s.spectrum.layers, s.decoder.layers) = (0, 0)),
        ("deep", |s| (s.spectrum.layers, s.decoder.layers) = (3, 4)),
        ("silu", |s| (s.spectrum.activation, s.decoder.activation) = (Silu, Silu)),
        ("sine", |s| (s.spectrum.activation, s.decoder.activation) = (Sine, Sine)),
        ("mixed, x into H, smoothstep, channels", |s| {
            (s.spectrum.activation, s.decoder.activation) = (Silu, Sine);
            (s.spectrum_input, s.modulation) = (true, Modulation::Channels(4));
            (s.latent.interpolation, s.dim) = (Interpolation::Smoothstep, 2);
        }),
        ("the sdf preset's widths", |s| {
            (s.latent.levels, s.latent.features, s.basis) = (hashed(), 16, 16);
            (s.spectrum.width, s.decoder.width, s.transport) = (64, 64, MlpSpec::ABSENT);
        }),
    ];
    let make = |(name, change): (&'static str, Change)| {
        let mut spec = base();
        change(&mut spec);
        (name, spec)
    };
    changes.into_iter().map(make).collect()
}

/// Random parameters under which every part takes part.
pub(super) fn parameters(spec: &FieldSpec, rng: &mut Pcg64) -> (Vec<f32>, Vec<f32>) {
    let grid = (0..spec.grid_len()).map(|_| rng.random_range(-1.0..1.0)).collect();
    let layout = spec.net_layout();
    let mut net = vec![0.0; spec.net_len()];
    let layers = [&layout.spectrum[..], &layout.decoder, &layout.transport].concat();
    for (l, slot) in [layout.basis].iter().chain(&layers).enumerate() {
        let scale = if l == 0 { 10.0 } else { (4.0 / slot.inputs.max(1) as f32).sqrt() } / slot.gain as f32;
        net[slot.weight..slot.bias].iter_mut().for_each(|w| *w = rng.random_range(-scale..scale));
        net[slot.bias..][..slot.outputs].iter_mut().for_each(|b| *b = rng.random_range(-0.5..0.5));
    }
    (grid, net)
}

/// Corners of a box of `edge`, as `f32` has them; a few reach out of the cube, some lie along cell borders.
pub(super) fn random_box(dim: usize, edge: f64, rng: &mut Pcg64) -> (Vec<f64>, Vec<f64>) {
    let aligned = rng.random_bool(0.3);
    let low = (0..dim).map(|_| {
        let low: f64 = rng.random_range(-0.3 * edge..1.0 - 0.7 * edge);
        f64::from(if aligned { (low / edge).round() * edge } else { low } as f32)
    });
    let low: Vec<f64> = low.collect();
    let high = low.iter().map(|low| f64::from((low + edge * rng.random_range(0.2..1.0)) as f32)).collect();
    (low, high)
}

/// Points of a box: corners, random ones, and those that steps along the gradient of one output lead to.
pub(super) fn points(
    field: &PointEvaluator,
    low: &[f64],
    high: &[f64],
    output: usize,
    rng: &mut Pcg64,
) -> Vec<Vec<f64>> {
    let dim = low.len();
    let corner = |i: usize| (0..dim).map(|j| if i >> j & 1 == 1 { high[j] } else { low[j] }).collect();
    let mut found: Vec<Vec<f64>> = (0..1 << dim).map(corner).collect();
    for _ in 0..12 {
        found.push((0..dim).map(|j| low[j] + (high[j] - low[j]) * rng.random_range(0.0..=1.0)).collect());
    }
    for start in 0..6 {
        let sign = if start % 2 == 0 { 1.0 } else { -1.0 };
        let mut x: Vec<f64> = found[(1 << dim) + start].clone();
        for step in 0..12 {
            let gradient = field.at(&x, Order::First).value.gradient(output);
            let rate = 0.5f64.powi(step / 2);
            for j in 0..dim {
                let reach = (high[j] - low[j]) * rate;
                x[j] = (x[j] + sign * reach * gradient[j].signum()).clamp(low[j], high[j]);
            }
            found.push(x.clone());
        }
    }
    found
}

/// Boxes of each size.
const BOXES: usize = 6;

#[test]
fn values_lie_in_their_enclosures() {
    let mut rng = Pcg64::seed_from_u64(11);
    for (name, spec) in variants() {
        let (grid, net) = parameters(&spec, &mut rng);
        let judge = PointEvaluator::new(&spec, &grid, &net);
        let fused = FusedField::new(&spec);
        let packed = fused.pack(&net);
        let [double, single] =
            [Rounding::Double, Rounding::Single].map(|r| BoxEvaluator::new(&spec, &grid, &net, r).unwrap());
        for size in 1..=10 {
            for _ in 0..BOXES {
                let (low, high) = random_box(spec.dim, 0.5f64.powi(size), &mut rng);
                let (exact, rounded) = (double.enclose(&low, &high), single.enclose(&low, &high));
                assert_eq!((exact.len(), rounded.len()), (spec.outputs, spec.outputs));
                let output = rng.random_range(0..spec.outputs);
                let points = points(&judge, &low, &high, output, &mut rng);
                for x in &points {
                    let eval = judge.at(x, Order::Value);
                    for (range, value) in exact.iter().zip(eval.value.values()) {
                        assert!(range.contains(*value), "{name} {low:?} {high:?} {x:?}: {value} not in {range:?}");
                        assert!(range.low.is_finite() && range.high.is_finite(), "{name}");
                    }
                }
                // Rounded points stay within corners that are numbers in f32.
                let points: Vec<f32> = points.iter().flatten().map(|x| *x as f32).collect();
                let mut values = vec![0.0; points.len() / spec.dim * spec.outputs];
                fused.evaluate(&packed, &grid, &points, Outputs::Value, &mut values);
                for (i, row) in values.chunks_exact(spec.outputs).enumerate() {
                    for (range, value) in rounded.iter().zip(row) {
                        let x = &points[i * spec.dim..][..spec.dim];
                        let value = f64::from(*value);
                        assert!(range.contains(value), "{name} {low:?} {high:?} {x:?}: {value} not in {range:?}");
                    }
                }
                for (exact, rounded) in exact.iter().zip(&rounded) {
                    let more = rounded.width() - exact.width();
                    assert!(more >= 0.0, "{name}: {exact:?} {rounded:?}");
                }
            }
        }
    }
}

#[test]
fn differences_are_within_the_lipschitz_constants() {
    let mut rng = Pcg64::seed_from_u64(21);
    for (name, spec) in variants() {
        let (grid, net) = parameters(&spec, &mut rng);
        let judge = PointEvaluator::new(&spec, &grid, &net);
        let bounds = BoxEvaluator::new(&spec, &grid, &net, Rounding::Double).unwrap();
        let mut known = 0;
        for size in 1..=10 {
            for _ in 0..BOXES {
                let (low, high) = random_box(spec.dim, 0.5f64.powi(size), &mut rng);
                let lipschitz = bounds.lipschitz(&low, &high);
                known += usize::from(lipschitz.is_finite());
                let points = points(&judge, &low, &high, 0, &mut rng);
                let values: Vec<f64> = points.iter().map(|x| judge.at(x, Order::Value).value.values()[0]).collect();
                for i in 1..points.len() {
                    let squares: f64 = points[i].iter().zip(&points[i - 1]).map(|(a, b)| (a - b).powi(2)).sum();
                    let (rise, most) = ((values[i] - values[i - 1]).abs(), lipschitz * squares.sqrt());
                    assert!(
                        rise <= most + 1e-12 * (1.0 + values[i].abs()) || squares == 0.0,
                        "{name} {low:?} {high:?}: {rise} {most}"
                    );
                }
                for x in &points {
                    let gradient = judge.at(x, Order::First).value.gradient(0);
                    let slope = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
                    // On a kink the judge takes one side, perhaps the one without.
                    let inside = (0..spec.dim).all(|j| x[j] > low[j] && x[j] < high[j]);
                    assert!(
                        !inside || slope <= lipschitz * (1.0 + 1e-9),
                        "{name} {low:?} {high:?}: {slope} {lipschitz}"
                    );
                }
            }
        }
        // Slivers of a flat smoothstep are given up.
        assert!(known >= 9 * BOXES, "{name}: {known} of {}", 10 * BOXES);
    }
}

/// The enclosure of a part sticks out of that of its whole by no more than this fraction of its width. It may stick out: the
/// lines of rectifiers are chosen for each box by itself.
const STICKS_OUT: f64 = 0.25;

#[test]
fn enclosures_of_parts_are_closer() {
    let mut rng = Pcg64::seed_from_u64(22);
    for (name, spec) in variants() {
        let (grid, net) = parameters(&spec, &mut rng);
        let bounds = BoxEvaluator::new(&spec, &grid, &net, Rounding::Double).unwrap();
        let (mut ratios, mut boxes) = (0.0, 0.0);
        for size in 4..=10 {
            for _ in 0..BOXES {
                let (low, high) = random_box(spec.dim, 0.5f64.powi(size), &mut rng);
                let corner = rng.random_range(0..1usize << spec.dim);
                let middle: Vec<f64> = low.iter().zip(&high).map(|(a, b)| 0.5 * (a + b)).collect();
                let pick = |lower: &[f64], upper: &[f64]| -> Vec<f64> {
                    (0..spec.dim).map(|j| if corner >> j & 1 == 1 { upper[j] } else { lower[j] }).collect()
                };
                let whole = bounds.enclose(&low, &high);
                let part = bounds.enclose(&pick(&low, &middle), &pick(&middle, &high));
                for (whole, part) in whole.iter().zip(&part) {
                    let out = (whole.low - part.low).max(part.high - whole.high) / whole.width();
                    assert!(out < STICKS_OUT, "{name} {low:?} {high:?}: {part:?} in {whole:?}");
                    ratios += part.width() / whole.width();
                    boxes += 1.0;
                }
            }
        }
        // Half as wide where the field is smooth; a field that is random over single boxes gains less.
        assert!(ratios < 0.75 * boxes || name == "a level with too many cells", "{name}: {}", ratios / boxes);
    }
}

/// Spread of a field's values on a lattice over a box, sides included.
fn spread(field: &PointEvaluator, low: &[f64], edge: f64) -> f64 {
    let n = 7usize;
    let values = (0..n.pow(3)).map(|i| {
        let at = [i % n, i / n % n, i / (n * n)];
        let x = [0, 1, 2].map(|j| low[j] + edge * at[j] as f64 / (n - 1) as f64);
        field.at(&x, Order::Value).value.values()[0]
    });
    let [a, b] = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], v| [a.min(v), b.max(v)]);
    b - a
}

#[test]
fn enclosures_of_smooth_fields_tighten_to_second_order() {
    let mut rng = Pcg64::seed_from_u64(3);
    for activation in [Silu, Sine] {
        for interpolation in [Interpolation::Linear, Interpolation::Smoothstep] {
            let mut spec = base();
            (spec.spectrum.activation, spec.decoder.activation) = (activation, activation);
            spec.latent.interpolation = interpolation;
            let (grid, net) = parameters(&spec, &mut rng);
            let field = PointEvaluator::new(&spec, &grid, &net);
            let bounds = BoxEvaluator::new(&spec, &grid, &net, Rounding::Double).unwrap();
            // Inside one cell of the four.
            let low = [0.3, 0.55, 0.8];
            let excess = |edge: f64| {
                let high = low.map(|x| x + edge);
                bounds.enclose(&low, &high)[0].width() - spread(&field, &low, edge)
            };
            let mut edge = 1.0 / 64.0;
            while edge > 1e-4 {
                let (whole, half) = (excess(edge), excess(0.5 * edge));
                // A quarter, and terms of third order.
                assert!(half < 0.32 * whole, "{activation:?} {interpolation:?} {edge}: {whole} {half}");
                edge *= 0.5;
            }
            let range = bounds.enclose(&low, &low.map(|x| x + 1e-4))[0];
            assert!(range.width() < 1.1 * spread(&field, &low, 1e-4), "{activation:?} {interpolation:?}");
        }
    }
}

#[test]
fn points_are_enclosed_to_rounding() {
    let mut rng = Pcg64::seed_from_u64(4);
    for (name, spec) in variants() {
        let (grid, net) = parameters(&spec, &mut rng);
        let bounds = BoxEvaluator::new(&spec, &grid, &net, Rounding::Double).unwrap();
        let x: Vec<f64> = (0..spec.dim).map(|_| rng.random_range(0.0..1.0)).collect();
        for range in bounds.enclose(&x, &x) {
            // Ten digits: networks multiply the rounding of their inputs.
            assert!(range.width() < 1e-10 * (1.0 + range.high.abs()), "{name} {range:?}");
        }
    }
}

#[test]
fn parameters_that_are_not_finite_are_refused() {
    let spec = base();
    let (grid, net) = parameters(&spec, &mut Pcg64::seed_from_u64(5));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let (mut g, mut n) = (grid.clone(), net.clone());
        (g[7], n[9]) = (bad, bad);
        let error = |g: &[f32], n: &[f32]| BoxEvaluator::new(&spec, g, n, Rounding::Double).unwrap_err();
        assert_eq!(error(&g, &net), BoundsError::NotFinite { part: "grid", index: 7 });
        assert_eq!(error(&grid, &n), BoundsError::NotFinite { part: "net", index: 9 });
        assert!(matches!(error(&grid, &net[1..]), BoundsError::Lengths { .. }));
    }
}

#[test]
fn sums_that_overflow_and_boxes_that_are_none_are_not_bounded() {
    let mut spec = base();
    let mut rng = Pcg64::seed_from_u64(6);
    for activation in [Relu, Silu, Sine] {
        (spec.spectrum.activation, spec.decoder.activation) = (activation, activation);
        let (grid, net) = parameters(&spec, &mut rng);
        let huge: Vec<f32> = net.iter().map(|w| w * 1e30).collect();
        let bounds = BoxEvaluator::new(&spec, &grid, &huge, Rounding::Single).unwrap();
        assert_eq!(bounds.enclose(&[0.2; 3], &[0.3; 3]), [Interval::WHOLE], "{activation:?}");
        assert!(!bounds.keeps_sign(&[0.2; 3], &[0.3; 3], true) && !bounds.keeps_sign(&[0.2; 3], &[0.3; 3], false));
        assert_eq!(bounds.lipschitz(&[0.2; 3], &[0.3; 3]), f64::INFINITY);

        let bounds = BoxEvaluator::new(&spec, &grid, &net, Rounding::Single).unwrap();
        let inf = f64::INFINITY;
        for (low, high) in
            [([0.5; 3], [0.4; 3]), ([f64::NAN; 3], [0.4; 3]), ([0.0; 3], [inf; 3]), ([-inf; 3], [inf; 3])]
        {
            assert_eq!(bounds.enclose(&low, &high), [Interval::WHOLE]);
            assert!(!bounds.keeps_sign(&low, &high, true) && bounds.lipschitz(&low, &high) == f64::INFINITY);
        }
        assert_eq!(bounds.enclose(&[0.1; 2], &[0.2; 2]), [Interval::WHOLE]);
        assert_eq!(bounds.enclose(&[], &[]), [Interval::WHOLE]);
    }
}
