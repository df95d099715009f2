//! [`FieldBackend`]: the operations that training needs of a Burn backend beyond its own.
//!
//! The trait extends a backend with the field's forward pass (differentiable under `Autodiff`) and the
//! optimiser's step. Every method has a default in plain tensors, so a backend joins with an empty `impl`; one with
//! fused kernels overrides the methods and, for its `Autodiff`, registers their backward (Flex: [`crate::flex`]).
//! Callers use the functions on tensors: [`forward`], [`forward_full`], [`adam_step`], [`ema_step`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};
use nstr_kernel::adam::AdamHyper;
use nstr_kernel::{
    BatchLoss, EIKONAL_EPSILON, FusedField, GradientPrecision, LEAST_PAIR_DISTANCE_SQUARED, PointLoss,
    PointRegularizer, RayBatch, RayLoss, RayOutputs, RayResults, RayStats, TransportSteps,
};
use nstr_spec::FieldSpec;

use crate::device_rays::{MarchSettings, RayMarcher};
use crate::gradient_pool::GradientPool;
use crate::reference;

/// A field ready to be evaluated: its shape, and its kernels where they are asked for. Made once, shared through [`Arc`].
pub struct FieldOp {
    spec: FieldSpec,
    fused: Option<FusedField>,
    fallbacks: Mutex<BTreeMap<&'static str, String>>,
    /// Memory of gradients on the CPU.
    gradient_pool: GradientPool,
    /// Kernels of other devices, by the device's name.
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    on_devices: Mutex<BTreeMap<String, DeviceKernels>>,
}

/// Kernels of a device, of a type that its backend knows.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
type DeviceKernels = Arc<dyn std::any::Any + Send + Sync>;

impl FieldOp {
    /// Evaluates with fused kernels on backends that have them.
    pub fn new(spec: FieldSpec) -> Arc<Self> {
        Self::with_precision(spec, GradientPrecision::Single)
    }
    /// [`Self::new`] with gradients on the CPU of another precision.
    pub fn with_precision(spec: FieldSpec, precision: GradientPrecision) -> Arc<Self> {
        let fused = Some(FusedField::with_precision(&spec, precision));
        Self::with(spec, fused)
    }
    /// Evaluates in plain tensors on every backend: the baseline of benches and the oracle of tests.
    pub fn plain(spec: FieldSpec) -> Arc<Self> {
        Self::with(spec, None)
    }
    fn with(spec: FieldSpec, fused: Option<FusedField>) -> Arc<Self> {
        Arc::new(FieldOp {
            spec,
            fused,
            fallbacks: Mutex::default(),
            gradient_pool: GradientPool::default(),
            #[cfg(any(feature = "cuda", feature = "wgpu"))]
            on_devices: Default::default(),
        })
    }
    /// The field's shape.
    pub fn spec(&self) -> &FieldSpec {
        &self.spec
    }
    /// The kernels, or `None` where plain tensors are asked for.
    pub fn fused(&self) -> Option<&FusedField> {
        self.fused.as_ref()
    }
    pub(crate) fn gradient_pool(&self) -> &GradientPool {
        &self.gradient_pool
    }
    /// The kernels of a device, made by `plan` when they are first asked for.
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    pub(crate) fn on_device(&self, device: String, plan: impl FnOnce() -> DeviceKernels) -> DeviceKernels {
        locked(&self.on_devices).entry(device).or_insert_with(plan).clone()
    }
    /// Notes that a part of the work is not done by the device's kernels, how it is done instead, and why; the first note of
    /// a part stays.
    pub fn note_fallback(&self, part: &'static str, how: impl FnOnce() -> String) {
        locked(&self.fallbacks).entry(part).or_insert_with(how);
    }
    /// Parts of the work so far that were not done by the device's kernels: each with how it was done instead, and why.
    pub fn fallbacks(&self) -> Vec<(&'static str, String)> {
        locked(&self.fallbacks).iter().map(|(part, how)| (*part, how.clone())).collect()
    }
}

/// A lock's content, whatever has panicked while it was held.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for FieldOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldOp").field("spec", &self.spec).field("fused", &self.fused.is_some()).finish()
    }
}

/// A Burn backend that can evaluate and train fields.
///
/// Shapes: `grid` `[grid_len]`, `net` `[net_len]`, `x` `[N, dim]`. The methods take and return tensor primitives, as
/// Burn's own operations do; use the functions of this module from code that holds tensors.
pub trait FieldBackend: Backend {
    /// Values `[N, outputs]`, differentiable in `grid`, `net` and `x`.
    fn field_forward(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        x: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        primitive(reference::forward::<Self>(op.spec(), tensor(grid), tensor(net), tensor(x)))
    }

    /// `[value | ∇f | S | ∇S | F]` `[N, full_columns().len]`, differentiable in `grid` and `net`.
    fn field_forward_full(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        x: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        primitive(reference::forward_full::<Self>(op.spec(), tensor(grid), tensor(net), tensor(x)))
    }

    /// Mean over points and outputs of `weight · loss(value − target)`, and over pairs of points as [`BatchLoss`] tells, `[1]`,
    /// differentiable in `grid` and `net`: the training step's hot path, which fused backends run in one pass. `target` is `[N, outputs]`, `weight` `[N, 1]`.
    fn field_loss(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        data: LossData<Self>,
        loss: BatchLoss,
    ) -> FloatTensor<Self> {
        plain_field_loss::<Self>(op, grid, net, data, loss)
    }

    /// Mean of the regularisers over points `x`, `[1]`, differentiable in `grid` and `net`; fused backends run it in one pass.
    fn field_regularizer(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weights: PointRegularizer,
    ) -> FloatTensor<Self> {
        plain_field_regularizer::<Self>(op, grid, net, x, weights)
    }

    /// Mean over lines of `‖scale (S(end) − S carried there from the start)‖²`, `[1]`, differentiable in `grid` and `net`.
    /// The spec must have a transport network.
    fn field_transported(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        lines: LineData<Self>,
    ) -> FloatTensor<Self> {
        plain_field_transported::<Self>(op, grid, net, lines)
    }

    /// Mean loss of rays marched through a radiance field, `[1]`, differentiable in `grid` and `net`, the step's statistics,
    /// and what `outputs` asks for of each ray; `None` where it asks for anything and the backend has no kernels for that,
    /// as those of GPUs and plain tensors. The training step's hot path for captures. The spec must have a colour head.
    fn ray_step(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        rays: &RayBatch,
        loss: RayLoss,
        outputs: RayOutputs,
    ) -> RayStep<Self> {
        plain_ray_step::<Self>(op, grid, net, rays, loss, outputs)
    }

    /// Prepares steps over rays that the device marches itself, for parameters on the device and of the type of `grid`.
    ///
    /// # Errors
    /// The reason why there are none: samples are then found on the CPU, for [`Self::ray_step`].
    fn ray_marcher(
        _op: &Arc<FieldOp>,
        _grid: &FloatTensor<Self>,
        _settings: MarchSettings,
    ) -> Result<Box<dyn RayMarcher<Self>>, String> {
        Err("the backend has no kernels for it".into())
    }

    /// One optimiser step on a flat buffer (see [`AdamHyper`]); `m` and `v` are the moments. Called on a backend
    /// without autodiff.
    fn adam_step(
        params: FloatTensor<Self>,
        grads: FloatTensor<Self>,
        moments: Moments<Self>,
        hyper: &AdamHyper,
    ) -> Step<Self> {
        plain_adam_step::<Self>(params, grads, moments, hyper)
    }

    /// Moves a moving average of parameters towards their values by `1 − decay`; both are flat buffers. Called on a
    /// backend without autodiff.
    fn ema_step(average: FloatTensor<Self>, values: FloatTensor<Self>, decay: f64) -> FloatTensor<Self> {
        plain_ema_step::<Self>(average, values, decay)
    }

    /// Pulls the parameters of a flat buffer towards 0 and rounds them, see [`nstr_kernel::rounding`]: after a step of Adam
    /// that left the second moment `v`. `rounded` is a buffer to reuse. Returns the parameters and their rounded values. Called on a
    /// backend without autodiff.
    fn rounding_step(
        params: FloatTensor<Self>,
        v: FloatTensor<Self>,
        lattice: LatticeTensors<Self>,
        hyper: &AdamHyper,
        _rounded: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2] {
        plain_rounding_step::<Self>(params, v, lattice, hyper)
    }
}

/// [`nstr_kernel::rounding::Lattice`] on a device: a number `[entries]` for each entry of a buffer `[entries · features]`.
#[derive(Clone, Debug)]
pub struct LatticeTensors<B: Backend> {
    /// Values an entry.
    pub features: usize,
    /// Step of each entry.
    pub steps: FloatTensor<B>,
    /// Offset of the rounding of each entry.
    pub offsets: FloatTensor<B>,
    /// Weight of the magnitude of each entry's values in the loss.
    pub pulls: FloatTensor<B>,
}

/// Points and target values of [`FieldBackend::field_loss`].
#[derive(Clone, Debug)]
pub struct LossData<B: Backend> {
    /// Coordinates `[N, dim]`.
    pub x: FloatTensor<B>,
    /// Target values `[N, outputs]`.
    pub target: FloatTensor<B>,
    /// Weight of each point `[N, 1]`.
    pub weight: FloatTensor<B>,
}

/// Lines along which [`FieldBackend::field_transported`] carries the spectrum.
#[derive(Clone, Debug)]
pub struct LineData<B: Backend> {
    /// Start and end of each line, `[N, 2 dim]`.
    pub ends: FloatTensor<B>,
    /// Factor of each line's residual `[N, 1]`, usually one over its length.
    pub scale: FloatTensor<B>,
    /// Way in which the transport network carries the spectrum.
    pub steps: TransportSteps,
}

/// [`FieldBackend::field_loss`] in plain tensors.
pub fn plain_field_loss<B: FieldBackend>(
    op: &Arc<FieldOp>,
    grid: FloatTensor<B>,
    net: FloatTensor<B>,
    data: LossData<B>,
    loss: BatchLoss,
) -> FloatTensor<B> {
    let (x, weight) = (tensor::<B, 2>(data.x), tensor::<B, 2>(data.weight));
    let value = tensor::<B, 2>(B::field_forward(op, grid, net, primitive(x.clone())));
    let error = value - tensor(data.target);
    let mean = (pointwise(error.clone(), loss.point) * weight.clone()).mean();
    let is_paired = loss.slope > 0.0 && x.dims()[0] > 1;
    primitive(if is_paired { mean + slope_loss(x, error, weight) * loss.slope } else { mean })
}

/// Mean over pairs of points of `weight · ((e₀ − e₁) / r)²`; a last point without a partner has no part in it.
fn slope_loss<B: Backend>(x: Tensor<B, 2>, error: Tensor<B, 2>, weight: Tensor<B, 2>) -> Tensor<B, 1> {
    let pairs = x.dims()[0] / 2;
    // Rows 2i and 2i + 1 side by side.
    let both = |t: Tensor<B, 2>| {
        let columns = t.dims()[1];
        let t = t.slice([0..2 * pairs, 0..columns]).reshape([pairs, 2, columns]);
        [0, 1].map(|i| t.clone().slice([0..pairs, i..i + 1, 0..columns]).reshape([pairs, columns]))
    };
    let ([x0, x1], [e0, e1], [w0, w1]) = (both(x), both(error), both(weight));
    let (apart, difference) = (x0 - x1, e0 - e1);
    let squared = (apart.clone() * apart).sum_dim(1).clamp_min(LEAST_PAIR_DISTANCE_SQUARED);
    (difference.clone() * difference * (w0 + w1) * 0.5 / squared).mean()
}

/// [`FieldBackend::field_regularizer`] in plain tensors.
pub fn plain_field_regularizer<B: FieldBackend>(
    op: &Arc<FieldOp>,
    grid: FloatTensor<B>,
    net: FloatTensor<B>,
    x: FloatTensor<B>,
    weights: PointRegularizer,
) -> FloatTensor<B> {
    let columns = op.spec().full_columns();
    let full = tensor::<B, 2>(B::field_forward_full(op, grid, net, x));
    let part = |from: usize, to: usize| full.clone().slice([0..full.dims()[0], from..to]);
    let slopes = || part(columns.spectrum_gradient, columns.transport);
    let mut terms = Vec::new();
    if weights.transport > 0.0 {
        terms.push(mean_square(slopes() - part(columns.transport, columns.len)) * weights.transport);
    }
    // A field without grid and sinusoids has no S.
    if weights.smoothness > 0.0 && columns.spectrum_gradient < columns.transport {
        terms.push(mean_square(slopes()) * weights.smoothness);
    }
    if weights.eikonal > 0.0 {
        let gradient = part(columns.gradient, columns.spectrum);
        let norm = ((gradient.clone() * gradient).sum_dim(1) + EIKONAL_EPSILON).sqrt();
        terms.push(mean_square(norm - 1.0) * weights.eikonal);
    }
    let sum = terms.into_iter().reduce(|sum, term| sum + term);
    primitive(sum.unwrap_or_else(|| Tensor::zeros([1], &full.device())))
}

/// [`FieldBackend::field_transported`] in plain tensors.
pub fn plain_field_transported<B: FieldBackend>(
    op: &Arc<FieldOp>,
    grid: FloatTensor<B>,
    net: FloatTensor<B>,
    lines: LineData<B>,
) -> FloatTensor<B> {
    let (spec, ends) = (op.spec(), tensor::<B, 2>(lines.ends));
    let (dim, columns, count) = (spec.dim, spec.full_columns(), ends.dims()[0]);
    let width = spec.spectrum_width();
    let [from, to] = [0, dim].map(|at| ends.clone().slice([0..count, at..at + dim]));
    let spectrum = |x: &Tensor<B, 2>| {
        let full = tensor::<B, 2>(B::field_forward_full(op, grid.clone(), net.clone(), primitive(x.clone())));
        full.slice([0..count, columns.spectrum..columns.spectrum_gradient])
    };
    let delta = to.clone() - from.clone();
    let along = delta.clone().reshape([count, 1, dim]);
    let slope = |at: f32, s: &Tensor<B, 2>| {
        let x = from.clone() + delta.clone() * at;
        let transport = reference::transport(spec, tensor(net.clone()), x, s.clone());
        (transport.reshape([count, width, dim]) * along.clone()).sum_dim(2).reshape([count, width])
    };
    let mut s = spectrum(&from);
    match lines.steps {
        TransportSteps::Euler => s = s.clone() + slope(0.0, &s),
        TransportSteps::Midpoint(steps) => {
            let h = 1.0 / steps as f32;
            for i in 0..steps {
                let at = i as f32 * h;
                let middle = s.clone() + slope(at, &s) * (0.5 * h);
                s = s + slope(at + 0.5 * h, &middle) * h;
            }
        }
    }
    primitive(mean_square((spectrum(&to) - s) * tensor(lines.scale)))
}

/// Mean over rows of the squared norm.
fn mean_square<B: Backend>(t: Tensor<B, 2>) -> Tensor<B, 1> {
    (t.clone() * t).sum_dim(1).mean()
}

/// Loss, statistics and results of [`FieldBackend::ray_step`].
pub type RayStep<B> = (FloatTensor<B>, RayStats, Option<RayResults>);

/// [`FieldBackend::ray_step`] in plain tensors. Rays are laid out as rows of equally many samples, and none ends before
/// its last sample: `min_transmittance` is not used.
pub fn plain_ray_step<B: FieldBackend>(
    op: &Arc<FieldOp>,
    grid: FloatTensor<B>,
    net: FloatTensor<B>,
    rays: &RayBatch,
    loss: RayLoss,
    outputs: RayOutputs,
) -> RayStep<B> {
    let samples = rays.t.len();
    let stats = RayStats { loss: 0.0, evaluated: samples, used: samples };
    let value = primitive(crate::compositing::ray_loss::<B>(op, tensor(grid), tensor(net), rays, loss));
    (value, stats, no_results(outputs))
}

/// Results of a step without kernels for `outputs`: enough where it asks for nothing.
pub(super) fn no_results(outputs: RayOutputs) -> Option<RayResults> {
    outputs.is_empty().then(RayResults::default)
}

/// Each error's loss.
pub(super) fn pointwise<B: Backend>(error: Tensor<B, 2>, loss: PointLoss) -> Tensor<B, 2> {
    match loss {
        PointLoss::L1 => error.abs(),
        PointLoss::L2 => error.clone() * error,
        PointLoss::Huber(delta) => {
            let size = error.abs();
            let small = size.clone().clamp_max(delta);
            // e²/2δ up to δ; beyond, δ/2 and the rest at slope 1.
            small.clone() * small * (0.5 / delta) + (size - delta).clamp_min(0.0)
        }
    }
}

/// First and second moment of the gradient, shaped like the parameters.
pub type Moments<B> = [FloatTensor<B>; 2];
/// Updated parameters and moments.
pub type Step<B> = (FloatTensor<B>, Moments<B>);

/// The optimiser step in plain tensors: Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019).
pub fn plain_adam_step<B: Backend>(
    params: FloatTensor<B>,
    grads: FloatTensor<B>,
    moments: Moments<B>,
    hyper: &AdamHyper,
) -> Step<B> {
    let (p, g) = (tensor::<B, 1>(params), tensor::<B, 1>(grads));
    let [m, v] = moments.map(tensor::<B, 1>);
    let m = m * hyper.beta1 + g.clone() * (1.0 - hyper.beta1);
    let v = v * hyper.beta2 + g.clone() * g * (1.0 - hyper.beta2);
    let direction = (m.clone() / hyper.bias1) / ((v.clone() / hyper.bias2).sqrt() + hyper.eps);
    let p = p.clone() - (direction + p * hyper.weight_decay) * hyper.lr;
    (primitive(p), [primitive(m), primitive(v)])
}

/// The moving average's step in plain tensors.
pub fn plain_ema_step<B: Backend>(average: FloatTensor<B>, values: FloatTensor<B>, decay: f64) -> FloatTensor<B> {
    primitive(tensor::<B, 1>(average) * decay + tensor::<B, 1>(values) * (1.0 - decay))
}

/// Pull and rounding in plain tensors.
pub fn plain_rounding_step<B: Backend>(
    params: FloatTensor<B>,
    v: FloatTensor<B>,
    lattice: LatticeTensors<B>,
    hyper: &AdamHyper,
) -> [FloatTensor<B>; 2] {
    let LatticeTensors { features, steps, offsets, pulls } = lattice;
    let (params, v) = (tensor::<B, 1>(params), tensor::<B, 1>(v));
    let (values, entries) = (params.dims()[0], params.dims()[0] / features.max(1));
    let by_entry = |t: Tensor<B, 1>| t.reshape([entries, features]);
    let [steps, offsets, pulls] = [steps, offsets, pulls].map(|t| tensor::<B, 1>(t).reshape([entries, 1]));
    let (params, v) = (by_entry(params), by_entry(v));
    let shrink = (pulls / ((v / hyper.bias2).sqrt() + hyper.eps)).clamp_max(1.0) * hyper.lr;
    let sign = params.clone().sign();
    let params = (params.abs() - shrink).clamp_min(0.0) * sign.clone();
    let rounded = (params.clone().abs() / steps.clone() + offsets).floor() * steps * sign;
    [params, rounded].map(|t| primitive(t.reshape([values])))
}

/// A tensor from its primitive.
pub fn tensor<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// A tensor's primitive.
pub fn primitive<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// [`FieldBackend::field_forward`] on tensors.
pub fn forward<B: FieldBackend>(
    op: &Arc<FieldOp>,
    grid: Tensor<B, 1>,
    net: Tensor<B, 1>,
    x: Tensor<B, 2>,
) -> Tensor<B, 2> {
    tensor(B::field_forward(op, primitive(grid), primitive(net), primitive(x)))
}

/// [`FieldBackend::field_forward_full`] on tensors.
pub fn forward_full<B: FieldBackend>(
    op: &Arc<FieldOp>,
    grid: Tensor<B, 1>,
    net: Tensor<B, 1>,
    x: Tensor<B, 2>,
) -> Tensor<B, 2> {
    tensor(B::field_forward_full(op, primitive(grid), primitive(net), primitive(x)))
}

/// [`FieldBackend::field_loss`] on tensors.
pub fn loss<B: FieldBackend>(
    op: &Arc<FieldOp>,
    grid: Tensor<B, 1>,
    net: Tensor<B, 1>,
    [x, target, weight]: [Tensor<B, 2>; 3],
    loss: BatchLoss,
) -> Tensor<B, 1> {
    let data = LossData { x: primitive(x), target: primitive(target), weight: primitive(weight) };
    tensor(B::field_loss(op, primitive(grid), primitive(net), data, loss))
}

/// [`FieldBackend::field_regularizer`] on tensors.
pub fn regularizer<B: FieldBackend>(
    op: &Arc<FieldOp>,
    grid: Tensor<B, 1>,
    net: Tensor<B, 1>,
    x: Tensor<B, 2>,
    weights: PointRegularizer,
) -> Tensor<B, 1> {
    tensor(B::field_regularizer(op, primitive(grid), primitive(net), primitive(x), weights))
}

/// [`FieldBackend::field_transported`] on tensors: `ends` `[N, 2 dim]`, `scale` `[N, 1]`.
pub fn transported<B: FieldBackend>(
    op: &Arc<FieldOp>,
    grid: Tensor<B, 1>,
    net: Tensor<B, 1>,
    [ends, scale]: [Tensor<B, 2>; 2],
    steps: TransportSteps,
) -> Tensor<B, 1> {
    let lines = LineData { ends: primitive(ends), scale: primitive(scale), steps };
    tensor(B::field_transported(op, primitive(grid), primitive(net), lines))
}

/// [`ray_step`] that asks for nothing of each ray.
pub fn ray_loss<B: FieldBackend>(
    op: &Arc<FieldOp>,
    grid: Tensor<B, 1>,
    net: Tensor<B, 1>,
    rays: &RayBatch,
    loss: RayLoss,
) -> (Tensor<B, 1>, RayStats) {
    let (value, stats, _) = ray_step(op, grid, net, rays, loss, RayOutputs::default());
    (value, stats)
}

/// [`FieldBackend::ray_step`] on tensors.
pub fn ray_step<B: FieldBackend>(
    op: &Arc<FieldOp>,
    grid: Tensor<B, 1>,
    net: Tensor<B, 1>,
    rays: &RayBatch,
    loss: RayLoss,
    outputs: RayOutputs,
) -> (Tensor<B, 1>, RayStats, Option<RayResults>) {
    let (value, stats, results) = B::ray_step(op, primitive(grid), primitive(net), rays, loss, outputs);
    (tensor(value), stats, results)
}

/// [`FieldBackend::adam_step`] on tensors: updated parameters and moments `[m, v]`. The inputs' storage is reused where
/// nothing else holds it.
pub fn adam_step<B: FieldBackend>(
    params: Tensor<B, 1>,
    grads: Tensor<B, 1>,
    moments: [Tensor<B, 1>; 2],
    hyper: &AdamHyper,
) -> (Tensor<B, 1>, [Tensor<B, 1>; 2]) {
    let (params, moments) = B::adam_step(primitive(params), primitive(grads), moments.map(primitive), hyper);
    (tensor(params), moments.map(tensor))
}

/// [`FieldBackend::ema_step`] on tensors. The average's storage is reused where nothing else holds it.
pub fn ema_step<B: FieldBackend>(average: Tensor<B, 1>, values: Tensor<B, 1>, decay: f64) -> Tensor<B, 1> {
    tensor(B::ema_step(primitive(average), primitive(values), decay))
}

/// [`FieldBackend::rounding_step`] on tensors. Storage is reused where nothing else holds it.
pub fn rounding_step<B: FieldBackend>(
    params: Tensor<B, 1>,
    v: Tensor<B, 1>,
    lattice: LatticeTensors<B>,
    hyper: &AdamHyper,
    rounded: Tensor<B, 1>,
) -> [Tensor<B, 1>; 2] {
    B::rounding_step(primitive(params), primitive(v), lattice, hyper, primitive(rounded)).map(tensor)
}
