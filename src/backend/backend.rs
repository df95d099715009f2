//! [`FieldBackend`]: the operations that training needs of a Burn backend beyond its own.
//!
//! The trait extends a backend with the field's forward pass (differentiable under `Autodiff`) and the
//! optimiser's step. Every method has a default in plain tensors, so a backend joins with an empty `impl`; one with
//! fused kernels overrides the methods and, for its `Autodiff`, registers their backward (Flex: [`crate::flex`]).
//! Callers use the functions on tensors: [`forward`], [`forward_full`], [`adam_step`], [`ema_step`].

use std::fmt;
use std::sync::Arc;

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};
use nstr_kernel::adam::AdamHyper;
use nstr_kernel::{
    BatchLoss, FusedField, LEAST_PAIR_DISTANCE_SQUARED, PointLoss, RayBatch, RayLoss, RayOutputs, RayResults, RayStats,
};
use nstr_spec::FieldSpec;

use crate::reference;

/// A field ready to be evaluated: its shape, and its kernels where they are asked for. Made once, shared through [`Arc`].
pub struct FieldOp {
    spec: FieldSpec,
    fused: Option<FusedField>,
    /// Kernels of other devices, by the device's name.
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    on_devices: std::sync::Mutex<std::collections::BTreeMap<String, DeviceKernels>>,
}

/// Kernels of a device, of a type that its backend knows.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
type DeviceKernels = Arc<dyn std::any::Any + Send + Sync>;

impl FieldOp {
    /// Evaluates with fused kernels on backends that have them.
    pub fn new(spec: FieldSpec) -> Arc<Self> {
        let fused = Some(FusedField::new(&spec));
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
    /// The kernels of a device, made by `plan` when they are first asked for.
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    pub(crate) fn on_device(&self, device: String, plan: impl FnOnce() -> DeviceKernels) -> DeviceKernels {
        let mut devices = self.on_devices.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        devices.entry(device).or_insert_with(plan).clone()
    }
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
    let pairs = x.dims()[0] / 2;
    primitive(if loss.slope > 0.0 && pairs > 0 { mean + slope_loss(x, error, weight) * loss.slope } else { mean })
}

/// Mean over pairs of points of `weight · ((e₀ − e₁) / r)²`.
/// A last point without a partner has no part in it.
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
