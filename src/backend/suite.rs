//! One suite for every way to evaluate a field: values, input gradients, parameter gradients, over every axis of
//! configuration.
//!
//! The judge of values and derivatives along the coordinates is the scalar evaluator ([`PointEvaluator`]) in f64, which shares no
//! code with the others; gradients are those of the plain tensors in f64. Both are checked against central differences of the
//! scalar evaluator and against an independent implementation (`tests/oracle/field_oracle.py`). Each [`Evaluator`] is then
//! compared with the judge on the same numbers (all inputs are f32 values), parameter tensor by parameter tensor. Where a ReLU or
//! a cell border lies within rounding of a point, two right answers differ; with the fixed seeds here and h = 1e-6 no point is
//! that close, so tolerances need no outliers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "for tests only: a panic is how they fail")]

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor, TensorData};
use burn_flex::Flex;
use nstr_field::jet::{Jet, Order};
use nstr_field::{PointEval, PointEvaluator};
use nstr_kernel::{FusedField, GradientPrecision, GradientSlices, Outputs, PointRegularizer, TransportSteps};
use nstr_spec::*;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

use crate::backend;
use crate::backend::{FieldBackend, FieldOp};

/// Parameters and points of one comparison.
#[derive(Clone)]
pub struct Case {
    pub spec: FieldSpec,
    pub grid: Vec<f64>,
    pub net: Vec<f64>,
    pub x: Vec<f64>,
}

/// Gradients of `Σ weight·output`.
pub struct Grads {
    pub grid: Vec<f64>,
    pub net: Vec<f64>,
    /// Empty where the full output is differentiated.
    pub x: Vec<f64>,
}

/// A way to evaluate a field.
pub trait Evaluator {
    fn forward(&self, case: &Case) -> Vec<f64>;
    fn forward_full(&self, case: &Case) -> Vec<f64>;
    fn grads(&self, case: &Case, weight: &[f64]) -> Grads;
    fn grads_full(&self, case: &Case, weight: &[f64]) -> Grads;
}

/// Burn tensors on a backend, in f32 or f64, with or without the kernels.
pub struct On<B> {
    dtype: DType,
    fused: bool,
    backend: PhantomData<B>,
}

/// Plain tensors in f64.
pub const PLAIN_F64: On<Flex> = On::new(DType::F64, false);
pub const REFERENCE: On<Flex> = On::new(DType::F32, false);
pub const FUSED: On<Flex> = On::new(DType::F32, true);

impl<B> On<B> {
    pub const fn new(dtype: DType, fused: bool) -> Self {
        Self { dtype, fused, backend: PhantomData }
    }
}

impl<B: Backend> On<B> {
    pub fn op(&self, case: &Case) -> Arc<FieldOp> {
        if self.fused { FieldOp::new(case.spec.clone()) } else { FieldOp::plain(case.spec.clone()) }
    }
    pub fn tensor<const D: usize>(&self, values: &[f64], shape: [usize; D]) -> Tensor<Autodiff<B>, D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), (&Default::default(), self.dtype))
    }
    pub fn inputs(&self, case: &Case) -> Inputs<Autodiff<B>> {
        let n = case.x.len() / case.spec.dim;
        let one = |v: &Vec<f64>| self.tensor(v, [v.len()]).require_grad();
        (one(&case.grid), one(&case.net), self.tensor(&case.x, [n, case.spec.dim]).require_grad())
    }
}

/// Grid, net and points.
pub type Inputs<B> = (Tensor<B, 1>, Tensor<B, 1>, Tensor<B, 2>);

pub fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().to_vec().unwrap()
}

/// A tensor's gradient; 0 where nothing depends on it, as on the grid of a field without levels.
pub fn gradient<B: AutodiffBackend, const D: usize>(of: &Tensor<B, D>, grads: &B::Gradients) -> Vec<f64> {
    of.grad(grads).map_or_else(|| vec![0.0; of.dims().iter().product()], values)
}

impl<B> Evaluator for On<B>
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    fn forward(&self, case: &Case) -> Vec<f64> {
        let (grid, net, x) = self.inputs(case);
        // Without autodiff, so that this path is covered too.
        values(backend::forward(&self.op(case), grid.inner(), net.inner(), x.inner()))
    }
    fn forward_full(&self, case: &Case) -> Vec<f64> {
        let (grid, net, x) = self.inputs(case);
        values(backend::forward_full(&self.op(case), grid.inner(), net.inner(), x.inner()))
    }
    fn grads(&self, case: &Case, weight: &[f64]) -> Grads {
        let (grid, net, x) = self.inputs(case);
        let out = backend::forward(&self.op(case), grid.clone(), net.clone(), x.clone());
        let weight = self.tensor(weight, out.dims());
        let grads = (out * weight).sum().backward();
        let [grid, net] = [grid, net].map(|t| gradient(&t, &grads));
        Grads { grid, net, x: gradient(&x, &grads) }
    }
    fn grads_full(&self, case: &Case, weight: &[f64]) -> Grads {
        let (grid, net, x) = self.inputs(case);
        let out = backend::forward_full(&self.op(case), grid.clone(), net.clone(), x.detach());
        let weight = self.tensor(weight, out.dims());
        let grads = (out * weight).sum().backward();
        let [grid, net] = [grid, net].map(|t| gradient(&t, &grads));
        Grads { grid, net, x: Vec::new() }
    }
}

impl<B> On<B>
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    /// Gradients of `Σ weight·value` in the parameters alone, as training asks for them.
    pub fn parameter_grads(&self, case: &Case, weight: &[f64]) -> Grads {
        let (grid, net, x) = self.inputs(case);
        let out = backend::forward(&self.op(case), grid.clone(), net.clone(), x.detach());
        let weight = self.tensor(weight, out.dims());
        let grads = (out * weight).sum().backward();
        let [grid, net] = [grid, net].map(|t| gradient(&t, &grads));
        Grads { grid, net, x: Vec::new() }
    }

    /// Mean of the regularisers and its gradients in the parameters.
    pub fn regularizer(&self, case: &Case, weights: PointRegularizer) -> (f64, Grads) {
        self.loss_grads(case, |op, grid, net, x| backend::regularizer(op, grid, net, x, weights))
    }

    /// Mean residual of the spectrum carried along lines between the case's points, and its gradients in the parameters.
    pub fn transported(&self, case: &Case, steps: TransportSteps) -> (f64, Grads) {
        let (lines, dim) = (case.points() / 2, case.spec.dim);
        let scale: Vec<f64> = (0..lines).map(|i| 0.5 + (i % 7) as f64).collect();
        self.loss_grads(case, |op, grid, net, x| {
            let ends = x.slice([0..2 * lines, 0..dim]).reshape([lines, 2 * dim]);
            backend::transported(op, grid, net, [ends, self.tensor(&scale, [lines, 1])], steps)
        })
    }

    /// A loss and its gradients in the parameters.
    fn loss_grads(
        &self,
        case: &Case,
        loss: impl Fn(
            &Arc<FieldOp>,
            Tensor<Autodiff<B>, 1>,
            Tensor<Autodiff<B>, 1>,
            Tensor<Autodiff<B>, 2>,
        ) -> Tensor<Autodiff<B>, 1>,
    ) -> (f64, Grads) {
        let (grid, net, x) = self.inputs(case);
        let value = loss(&self.op(case), grid.clone(), net.clone(), x.detach());
        // Twice the value, so that a gradient that ignores what follows is found.
        let grads = (value.clone() * 2.0).backward();
        let [grid, net] = [grid, net].map(|t| gradient(&t, &grads).iter().map(|g| 0.5 * g).collect());
        (values(value.inner())[0], Grads { grid, net, x: Vec::new() })
    }
}

/// The scalar evaluator; gradients by [`PLAIN_F64`].
pub struct Judge;

pub const JUDGE: Judge = Judge;

impl Judge {
    fn rows(case: &Case, order: Order, row: impl Fn(&PointEval) -> Vec<f64> + Sync) -> Vec<f64> {
        let evaluator = PointEvaluator::new(&case.spec, &case.grid, &case.net);
        evaluator.eval_many(&case.x, order, |_, at| row(at)).concat()
    }
}

impl Evaluator for Judge {
    fn forward(&self, case: &Case) -> Vec<f64> {
        Self::rows(case, Order::Value, |at| at.value.values().to_vec())
    }
    fn forward_full(&self, case: &Case) -> Vec<f64> {
        let gradients = |jet: &Jet| -> Vec<f64> {
            (0..jet.width()).flat_map(|c| jet.gradient(c)[..case.spec.dim].to_vec()).collect()
        };
        Self::rows(case, Order::First, |at| {
            let mut row = at.value.values().to_vec();
            row.extend(gradients(&at.value));
            row.extend(at.spectrum.values());
            row.extend(gradients(&at.spectrum));
            row.extend(at.transport.iter().flat_map(|t| t.values()));
            row
        })
    }
    fn grads(&self, case: &Case, weight: &[f64]) -> Grads {
        PLAIN_F64.grads(case, weight)
    }
    fn grads_full(&self, case: &Case, weight: &[f64]) -> Grads {
        PLAIN_F64.grads_full(case, weight)
    }
}

/// The kernels called directly on slices, with gradients of some precision.
pub struct Kernels(pub GradientPrecision);

impl Kernels {
    fn fused(&self, spec: &FieldSpec) -> FusedField {
        FusedField::with_precision(spec, self.0)
    }
}

pub fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}
pub fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

impl Evaluator for Kernels {
    fn forward(&self, case: &Case) -> Vec<f64> {
        let mut out = vec![f32::NAN; case.points() * case.spec.outputs];
        self.fused(&case.spec).forward(&narrow(&case.grid), &narrow(&case.net), &narrow(&case.x), &mut out);
        widen(&out)
    }
    fn forward_full(&self, case: &Case) -> Vec<f64> {
        let mut out = vec![f32::NAN; case.points() * case.spec.full_columns().len];
        self.fused(&case.spec).forward_full(&narrow(&case.grid), &narrow(&case.net), &narrow(&case.x), &mut out);
        widen(&out)
    }
    fn grads(&self, case: &Case, weight: &[f64]) -> Grads {
        let (mut grid, mut net) = (vec![0.0; case.grid.len()], vec![0.0; case.net.len()]);
        let mut x = vec![0.0; case.x.len()];
        let [g, p, at] = &[&case.grid, &case.net, &case.x].map(|v| narrow(v));
        let fused = self.fused(&case.spec);
        // Parameter gradients are accumulated: a second pass, without d_x, must double them.
        for d_x in [Some(x.as_mut_slice()), None] {
            let to = GradientSlices { d_grid: &mut grid, d_net: &mut net, d_x };
            fused.backward(Outputs::Value, g, p, at, &narrow(weight), to);
        }
        Grads { grid: halves(&grid), net: halves(&net), x: widen(&x) }
    }
    fn grads_full(&self, case: &Case, weight: &[f64]) -> Grads {
        let (mut grid, mut net) = (vec![0.0; case.grid.len()], vec![0.0; case.net.len()]);
        let [g, p, at] = &[&case.grid, &case.net, &case.x].map(|v| narrow(v));
        for _ in 0..2 {
            let to = GradientSlices { d_grid: &mut grid, d_net: &mut net, d_x: None };
            self.fused(&case.spec).backward(Outputs::Full, g, p, at, &narrow(weight), to);
        }
        Grads { grid: halves(&grid), net: halves(&net), x: Vec::new() }
    }
}

pub fn halves(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v) * 0.5).collect()
}

impl Case {
    pub fn points(&self) -> usize {
        self.x.len() / self.spec.dim
    }
    /// Random parameters and `n` points in `[-0.05, 1.05]^d`, all of them f32 values.
    pub fn random(spec: &FieldSpec, n: usize, seed: u64) -> Self {
        let mut draw = Draw(Pcg64::seed_from_u64(seed));
        let grid = draw.vector(spec.grid_len(), -1.0, 1.0);
        let mut net = vec![0.0; spec.net_len()];
        let layout = spec.net_layout();
        let mut layers = vec![layout.basis];
        layers.extend(layout.spectrum.iter().chain(&layout.decoder).chain(&layout.transport).chain(&layout.head));
        for (l, slot) in layers.iter().enumerate() {
            let scale = if l == 0 { 10.0 } else { (4.0 / slot.inputs.max(1) as f64).sqrt() } / f64::from(slot.gain);
            let weights = draw.vector(slot.inputs * slot.outputs, -scale, scale);
            net[slot.weight..slot.weight + weights.len()].copy_from_slice(&weights);
            net[slot.bias..slot.bias + slot.outputs].copy_from_slice(&draw.vector(slot.outputs, -0.5, 0.5));
        }
        let x = draw.vector(n * spec.dim, -0.05, 1.05);
        Case { spec: spec.clone(), grid, net, x }
    }
    /// Random weights of the outputs.
    pub fn weights(&self, columns: usize, seed: u64) -> Vec<f64> {
        Draw(Pcg64::seed_from_u64(seed)).vector(self.points() * columns, -1.0, 1.0)
    }
}

pub struct Draw(pub Pcg64);

impl Draw {
    pub fn vector(&mut self, n: usize, low: f64, high: f64) -> Vec<f64> {
        let unit = |bits: u64| (bits >> 11) as f64 / (1u64 << 53) as f64;
        (0..n).map(|_| f64::from((low + (high - low) * unit(self.0.next_u64())) as f32)).collect()
    }
}

/// A small field and one variation of it for every axis of configuration; odd widths reach the kernels' remainders.
pub fn variants() -> Vec<(String, FieldSpec)> {
    let level = LevelSpec::new;
    let mlp = MlpSpec::new;
    use Activation::*;
    let base = FieldSpec {
        dim: 3,
        outputs: 1,
        latent: LatentSpec {
            levels: vec![level(4, None)],
            features: 3,
            interpolation: Interpolation::Linear,
            product: 1,
        },
        basis: 5,
        modulation: Modulation::Product,
        basis_omega_0: 1,
        input_coords: false,
        spectrum: mlp(1, 7, Relu),
        spectrum_input: false,
        decoder: mlp(2, 9, Relu),
        skip_latent: true,
        transport: mlp(2, 6, Relu),
        color_head: None,
    };
    type Change = fn(&mut FieldSpec);
    let changes: Vec<(&str, Change)> = vec![
        ("base", |_| ()),
        ("one dimension", |s| s.dim = 1),
        ("two dimensions", |s| s.dim = 2),
        ("three outputs", |s| s.outputs = 3),
        ("pyramid", |s| s.latent.levels = [2, 4, 7].map(|cells| LevelSpec::new(cells, None)).to_vec()),
        ("hash", |s| s.latent.levels = hashed()),
        ("hash, two dimensions", |s| (s.dim, s.latent.levels) = (2, hashed())),
        ("hash, one feature, channels, smoothstep", |s| {
            (s.latent.levels, s.latent.features) = (hashed(), 1);
            (s.modulation, s.latent.interpolation) = (Modulation::Channels(2), Interpolation::Smoothstep);
        }),
        ("hash, two features", |s| (s.latent.levels, s.latent.features) = (hashed(), 2)),
        ("one cell", |s| s.latent.levels[0].resolution = 1),
        ("smoothstep", |s| s.latent.interpolation = Interpolation::Smoothstep),
        ("channels", |s| s.modulation = Modulation::Channels(3)),
        ("sum", |s| s.modulation = Modulation::Sum),
        ("sum without skip", |s| (s.modulation, s.skip_latent) = (Modulation::Sum, false)),
        ("no skip", |s| s.skip_latent = false),
        ("no sinusoids", |s| s.modulation = Modulation::None),
        ("plain sinusoids", |s| s.modulation = Modulation::Plain),
        ("plain sinusoids without skip", |s| (s.modulation, s.skip_latent) = (Modulation::Plain, false)),
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
        ("x into g", |s| s.input_coords = true),
        ("x into H and g, one dimension", |s| (s.spectrum_input, s.input_coords, s.dim) = (true, true, 1)),
        ("x into H and g, no skip", |s| (s.spectrum_input, s.input_coords, s.skip_latent) = (true, true, false)),
        ("no transport", |s| s.transport = MlpSpec::ABSENT),
        ("gains", |s| (s.spectrum.omega_0, s.decoder.omega_0, s.transport.omega_0, s.basis_omega_0) = (3, 5, 2, 4)),
        ("planes", |s| s.latent.levels = over(&[0b011, 0b101, 0b110])),
        ("planes, no sinusoids, smoothstep", |s| {
            (s.latent.levels, s.modulation) = (over(&[0b011, 0b101, 0b110]), Modulation::None);
            s.latent.interpolation = Interpolation::Smoothstep;
        }),
        ("planes times lines", |s| {
            (s.latent.levels, s.latent.product) = (over(&[0b011, 0b100, 0b101, 0b010, 0b110, 0b001]), 2);
        }),
        ("planes times lines of 16, no sinusoids", |s| {
            (s.latent.levels, s.latent.product) = (over(&[0b011, 0b100, 0b101, 0b010, 0b110, 0b001]), 2);
            (s.modulation, s.latent.features) = (Modulation::None, 16);
        }),
        ("lines of three axes", |s| (s.latent.levels, s.latent.product) = (over(&[1, 2, 4]), 3)),
        ("lines of two axes", |s| {
            (s.latent.levels, s.latent.product, s.dim) = (over(&[1, 2]), 2, 2);
            s.modulation = Modulation::None;
        }),
        ("a hashed plane beside a volume", |s| {
            s.latent.levels = [over(&[0b110]), vec![LevelSpec::new(3, None), LevelSpec::new(9, Some(64))]].concat();
            s.latent.levels[0] = LevelSpec { hashmap_size: Some(16), ..s.latent.levels[0] };
        }),
        ("no sinusoids, hash, x into H", |s| {
            (s.modulation, s.latent.levels, s.spectrum_input) = (Modulation::None, hashed(), true);
        }),
        ("x into H", |s| s.spectrum_input = true),
        ("linear networks", |s| (s.spectrum.layers, s.decoder.layers, s.transport.layers) = (0, 0, 0)),
        ("deep", |s| (s.spectrum.layers, s.decoder.layers, s.transport.layers) = (3, 4, 1)),
        ("one unit", |s| (s.spectrum.width, s.decoder.width, s.transport.width, s.basis) = (1, 1, 1, 1)),
        ("silu", |s| (s.spectrum.activation, s.decoder.activation, s.transport.activation) = (Silu, Silu, Silu)),
        ("sine", |s| (s.spectrum.activation, s.decoder.activation, s.transport.activation) = (Sine, Sine, Sine)),
        ("mixed", |s| (s.spectrum.activation, s.decoder.activation, s.transport.activation) = (Sine, Silu, Relu)),
        ("mixed, x into H, smoothstep, channels", |s| {
            (s.spectrum.activation, s.decoder.activation) = (Silu, Sine);
            (s.spectrum_input, s.modulation) = (true, Modulation::Channels(4));
            (s.latent.interpolation, s.dim) = (Interpolation::Smoothstep, 2);
        }),
        ("the sdf preset's widths", |s| {
            (s.latent.levels[0].resolution, s.latent.features, s.basis) = (6, 32, 16);
            (s.spectrum.width, s.decoder.width, s.transport.width) = (64, 64, 64);
        }),
    ];
    fn over(axes: &[u8]) -> Vec<LevelSpec> {
        axes.iter().map(|axes| LevelSpec { axes: Axes(*axes), ..LevelSpec::new(5, None) }).collect()
    }
    fn hashed() -> Vec<LevelSpec> {
        [(2, None), (8, Some(64)), (31, Some(128))].map(|(cells, table)| LevelSpec::new(cells, table)).to_vec()
    }
    let make = |(name, change): (&str, Change)| {
        let mut spec = base.clone();
        change(&mut spec);
        (name.to_string(), spec)
    };
    changes.into_iter().map(make).collect()
}

/// Fails where `a` and `b` differ by more than `tolerance` of the largest magnitude in `b` (at least 1e-4).
pub fn assert_close(what: &str, a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what}: length");
    let scale = b.iter().fold(1e-4f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        let error = (a - b).abs() / scale;
        assert!(error <= tolerance, "{what}[{i}]: {a} against {b}, {error:.1e} of {scale:.3}");
    }
}

/// A flat buffer of parameters, whose gradient is judged part by part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Buffer {
    /// By level.
    Grid,
    /// By tensor.
    Net,
}

impl Buffer {
    /// Name and range of each part that holds anything.
    pub fn parts(self, spec: &FieldSpec) -> Vec<(String, Range<usize>)> {
        let parts: Vec<_> = match self {
            Self::Net => spec.net_tensors().into_iter().map(|slot| (slot.name.clone(), slot.range())).collect(),
            Self::Grid => {
                let (offsets, features) = (spec.latent.offsets(spec.dim), spec.latent.features);
                let range = |l: usize| offsets[l] * features..offsets[l + 1] * features;
                (0..spec.latent.levels.len()).map(|l| (format!("latent.{l}"), range(l))).collect()
            }
        };
        parts.into_iter().filter(|(_, range)| !range.is_empty()).collect()
    }
}

/// [`assert_close`] for each part of a gradient by itself: a part whose gradient is small is judged by its own largest element.
pub fn assert_parts_close(what: &str, spec: &FieldSpec, buffer: Buffer, a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what}: length");
    for (name, range) in buffer.parts(spec) {
        assert_close(&format!("{what}, {name}"), &a[range.clone()], &b[range], tolerance);
    }
}

/// `Σ weight·output` of the judge.
pub fn weighted(case: &Case, weight: &[f64], full: bool) -> f64 {
    let out = if full { JUDGE.forward_full(case) } else { JUDGE.forward(case) };
    out.iter().zip(weight).map(|(o, w)| o * w).sum()
}

const H: f64 = 1e-6;

/// Central difference along every `step`-th element that `at` reaches into.
pub fn differences(case: &Case, step: usize, at: fn(&mut Case) -> &mut Vec<f64>, f: impl Fn(&Case) -> f64) -> Vec<f64> {
    let mut moved = case.clone();
    let count = at(&mut moved).len();
    let one = |i: usize| {
        let mut shifted = |by: f64| {
            let before = at(&mut moved)[i];
            at(&mut moved)[i] = before + by;
            let value = f(&moved);
            at(&mut moved)[i] = before;
            value
        };
        (shifted(H) - shifted(-H)) / (2.0 * H)
    };
    (0..count).step_by(step).map(one).collect()
}

/// `values` with every `step`-th replaced by the next of `samples`.
pub fn with_samples(values: &[f64], step: usize, samples: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.iter_mut().step_by(step).zip(samples).for_each(|(value, sample)| *value = *sample);
    values
}

#[test]
fn the_judge_agrees_with_finite_differences_in_its_parameters_and_inputs() {
    for (name, spec) in variants() {
        let case = Case::random(&spec, 5, 11);
        let step = spec.parameters().div_ceil(120);
        for full in [false, true] {
            let columns = if full { spec.full_columns().len } else { spec.outputs };
            let weight = case.weights(columns, 12);
            let grads = if full { JUDGE.grads_full(&case, &weight) } else { JUDGE.grads(&case, &weight) };
            let f = |c: &Case| weighted(c, &weight, full);
            let grid = differences(&case, step, |c| &mut c.grid, f);
            let what = format!("{name}, full {full}");
            let grid = with_samples(&grads.grid, step, &grid);
            assert_parts_close(&format!("{what}: d_grid"), &spec, Buffer::Grid, &grads.grid, &grid, 3e-7);
            let net = differences(&case, step, |c| &mut c.net, f);
            let net = with_samples(&grads.net, step, &net);
            assert_parts_close(&format!("{what}: d_net"), &spec, Buffer::Net, &grads.net, &net, 3e-7);
            if !full {
                let x = differences(&case, 1, |c| &mut c.x, f);
                assert_close(&format!("{name}: d_x"), &grads.x, &x, 1e-6);
            }
        }
    }
}

#[test]
fn plain_tensors_agree_with_the_judge() {
    for (name, spec) in variants() {
        let case = Case::random(&spec, 20, 71);
        assert_close(&name, &PLAIN_F64.forward(&case), &JUDGE.forward(&case), 1e-12);
        assert_close(&name, &PLAIN_F64.forward_full(&case), &JUDGE.forward_full(&case), 1e-12);
    }
}

#[test]
fn the_judges_tangents_agree_with_finite_differences() {
    for (name, spec) in variants() {
        let case = Case::random(&spec, 6, 21);
        let (columns, dim) = (spec.full_columns(), spec.dim);
        let full = JUDGE.forward_full(&case);
        let rows: Vec<_> = full.chunks(columns.len).collect();
        for j in 0..dim {
            let moved = |by: f64| {
                let x = case.x.iter().enumerate().map(|(i, x)| if i % dim == j { x + by } else { *x }).collect();
                JUDGE.forward_full(&Case { x, ..case.clone() })
            };
            let (up, down) = (moved(H), moved(-H));
            let slope = |row: usize, column: usize| {
                (up[row * columns.len + column] - down[row * columns.len + column]) / (2.0 * H)
            };
            for (value, tangent, count) in [
                (columns.value, columns.gradient, spec.outputs),
                (columns.spectrum, columns.spectrum_gradient, spec.spectrum_width()),
            ] {
                let pairs = (0..case.points()).flat_map(|row| (0..count).map(move |c| (row, c)));
                let (got, want): (Vec<_>, Vec<_>) =
                    pairs.map(|(row, c)| (rows[row][tangent + c * dim + j], slope(row, value + c))).unzip();
                assert_close(&format!("{name}, axis {j}, column {value}"), &got, &want, 1e-6);
            }
        }
    }
}

#[test]
fn the_judge_agrees_with_the_independent_oracle() {
    let bytes = include_bytes!("../../tests/oracle/field_oracle.safetensors");
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).unwrap();
    let specs: std::collections::BTreeMap<_, _> = header.metadata().clone().unwrap().into_iter().collect();
    assert_eq!(specs.len(), 5);
    for (name, json) in specs {
        let spec: FieldSpec = serde_json::from_str(&json).unwrap();
        let read = |part: &str| -> Vec<f64> {
            let data = file.tensor(&format!("{name}.{part}")).unwrap().data().to_vec();
            data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
        };
        let case = Case { grid: read("grid"), net: read("net"), x: read("x"), spec };
        assert_close(&format!("{name}: values"), &JUDGE.forward(&case), &read("value"), 1e-12);
        assert_close(&format!("{name}: full"), &JUDGE.forward_full(&case), &read("full"), 1e-12);
        let grads = JUDGE.grads(&case, &read("weight"));
        assert_close(&format!("{name}: d_x"), &grads.x, &read("d_x"), 1e-12);
        let full = JUDGE.grads_full(&case, &read("weight_full"));
        for (part, buffer, got) in [
            ("d_grid", Buffer::Grid, grads.grid),
            ("d_net", Buffer::Net, grads.net),
            ("d_grid_full", Buffer::Grid, full.grid),
            ("d_net_full", Buffer::Net, full.net),
        ] {
            assert_parts_close(&format!("{name}: {part}"), &case.spec, buffer, &got, &read(part), 1e-12);
        }
    }
}

/// Points where the grid's rule matters: corners, borders of cells, outside.
pub fn special_points(dim: usize) -> Vec<f64> {
    let coordinates = [0.0, 1.0, 0.25, 0.5, 0.75, -0.5, 1.75, 0.125, 1e-7, 0.9999999];
    let count = coordinates.len();
    (0..40)
        .flat_map(|i| (0..dim).map(move |j| coordinates[(i * (j + 1) + 3 * j) % count]))
        .map(|x| f64::from(x as f32))
        .collect()
}

/// Kind of a comparison, which decides its bound.
#[derive(Clone, Copy, PartialEq)]
pub enum Quantity {
    Values,
    /// All columns of the full output.
    Full,
    Gradients,
}

impl Quantity {
    /// Largest error of f32 on a CPU, relative to the largest magnitude.
    pub fn bound(self) -> f64 {
        if self == Quantity::Gradients { 1e-4 } else { 1e-5 }
    }

    /// Largest error where gradients are made of products in bfloat16, whose factors have errors of 2⁻⁹ at most: some of
    /// the largest gradient's tensor for each of a field's networks in succession.
    pub fn bound_of_mixed(self) -> f64 {
        if self == Quantity::Gradients { 2e-2 } else { self.bound() }
    }
}

/// Values, tangents and all gradients of an evaluator and of the judge, handed to `check` part by part.
pub fn compare(evaluator: &impl Evaluator, name: &str, case: &Case, check: impl Fn(&str, &[f64], &[f64], Quantity)) {
    let n = case.points();
    let check =
        |what: &str, got: &[f64], want: &[f64], part| check(&format!("{name}, {n} points: {what}"), got, want, part);
    check("values", &evaluator.forward(case), &JUDGE.forward(case), Quantity::Values);
    check("full", &evaluator.forward_full(case), &JUDGE.forward_full(case), Quantity::Full);
    let weight = case.weights(case.spec.outputs, 31);
    let (got, want) = (evaluator.grads(case, &weight), JUDGE.grads(case, &weight));
    let by_parts = |what: &str, got: &Grads, want: &Grads| {
        for (buffer, got, want) in [(Buffer::Grid, &got.grid, &want.grid), (Buffer::Net, &got.net, &want.net)] {
            assert_eq!(got.len(), want.len(), "{name}: {what}, length");
            for (part, range) in buffer.parts(&case.spec) {
                check(&format!("{what}, {part}"), &got[range.clone()], &want[range], Quantity::Gradients);
            }
        }
    };
    by_parts("gradient of the values", &got, &want);
    check("d_x", &got.x, &want.x, Quantity::Gradients);
    let weight = case.weights(case.spec.full_columns().len, 32);
    let (got, want) = (evaluator.grads_full(case, &weight), JUDGE.grads_full(case, &weight));
    by_parts("gradient of the full output", &got, &want);
}

pub fn assert_quantity(what: &str, got: &[f64], want: &[f64], quantity: Quantity) {
    assert_close(what, got, want, quantity.bound());
}
