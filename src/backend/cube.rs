//! The fused GPU kernels ([`nstr_gpu`]) behind [`FieldBackend`] for Burn's CubeCL backends: CUDA, Vulkan, Metal, ROCm.
//!
//! Kernels read and write the tensors' own buffers. Under `Autodiff` each forward registers one step whose backward is
//! the adjoint kernel; it keeps the inputs (shared, not copied). What has no kernel runs in plain tensors: outputs with
//! derivatives, adjoints of coordinates, limits of rays' errors, types other than f32, and fields too large for the device's
//! workgroup memory; the field's operations note each ([`FieldOp::fallbacks`]).

use std::any::Any;
use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape, TensorMetadata};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::{empty_device_contiguous_dtype, zeros_client};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use nstr_gpu::ray_step::{self, DeviceRays};
use nstr_gpu::rays::LossKind;
use nstr_gpu::run::{self, FieldKernels, Parameters, Points, Tuning};
use nstr_kernel::adam::AdamHyper;
use nstr_kernel::{Density, PointLoss, RayBatch, RayLoss, RayOutputs, RayStats};

use crate::backend::{
    FieldBackend, FieldOp, Moments, RayStep, Step, no_results, plain_adam_step, plain_ema_step, plain_ray_step,
    primitive, tensor,
};
use crate::cube_rays::Marcher;
use crate::device_rays::{MarchSettings, RayMarcher};
use crate::reference;

/// The part of the work that all kernels of a field do.
const FIELD: &str = "values of the field and their gradients";

/// The kernels of `op` on the tensors' device, planned once; `None` where plain tensors do the work.
pub(crate) fn kernels<R: CubeRuntime>(op: &FieldOp, tensors: &[&CubeTensor<R>]) -> Option<Arc<FieldKernels<R>>> {
    op.fused()?;
    if tensors.iter().any(|t| t.dtype != DType::F32) {
        op.note_fallback(FIELD, || "plain tensors (kernels are for f32)".into());
        return None;
    }
    let of = tensors.first()?;
    let planned = op.on_device(format!("{:?}", of.device), || {
        let client = of.client.clone();
        let tuning = Tuning::of(&client);
        let kernels = FieldKernels::new(client, op.spec(), tuning).inspect_err(|e| {
            log::warn!("no fused kernels: {e}");
            op.note_fallback(FIELD, || format!("plain tensors ({e})"));
        });
        Arc::new(kernels.ok().map(Arc::new)) as Arc<dyn Any + Send + Sync>
    });
    planned.downcast_ref::<Option<Arc<FieldKernels<R>>>>()?.clone()
}

/// The tensors of one evaluation, contiguous.
#[derive(Clone, Debug)]
struct Inputs<R: CubeRuntime> {
    grid: CubeTensor<R>,
    net: CubeTensor<R>,
    x: CubeTensor<R>,
}

impl<R: CubeRuntime> Inputs<R> {
    fn new(op: &FieldOp, grid: CubeTensor<R>, net: CubeTensor<R>, x: CubeTensor<R>) -> Self {
        let inputs = Inputs { grid: into_contiguous(grid), net: into_contiguous(net), x: into_contiguous(x) };
        let lengths = [&inputs.grid, &inputs.net].map(|t| t.shape().num_elements());
        assert_eq!(
            lengths,
            [op.spec().grid_len(), op.spec().net_len()],
            "lengths of grid and net against the field's spec"
        );
        assert_eq!(inputs.x.shape()[1], op.spec().dim, "coordinates of each point against the field's dimensions");
        inputs
    }
    fn points(&self) -> usize {
        self.x.shape()[0]
    }
    fn parameters(&self, kernels: &FieldKernels<R>) -> Parameters {
        Parameters { grid: self.grid.handle.clone(), packed: kernels.pack(&self.net.handle) }
    }
    fn forward(&self, kernels: &FieldKernels<R>, at: &Parameters, outputs: usize) -> CubeTensor<R> {
        let out = empty(&self.x, [self.points(), outputs]);
        kernels.values_into(at, &self.x.handle, self.points(), &out.handle);
        out
    }
}

/// A new tensor without defined values on the device of another.
fn empty<R: CubeRuntime>(on: &CubeTensor<R>, shape: impl Into<Shape>) -> CubeTensor<R> {
    empty_device_contiguous_dtype(on.client.clone(), on.device.clone(), shape.into(), DType::F32)
}

pub(crate) fn zeros_like<R: CubeRuntime>(of: &CubeTensor<R>) -> CubeTensor<R> {
    zeros_client(of.client.clone(), of.device.clone(), of.shape(), DType::F32)
}

/// A tensor that may be overwritten: itself where nothing else holds its buffer, else a copy.
fn owned<R: CubeRuntime>(tensor: CubeTensor<R>) -> CubeTensor<R> {
    let tensor = into_contiguous(tensor);
    if tensor.can_mut() { tensor } else { into_contiguous(tensor.copy()) }
}

impl<R, F, I, BT> FieldBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
    Self: burn::tensor::backend::Backend<FloatTensorPrimitive = CubeTensor<R>>,
{
    fn field_forward(op: &Arc<FieldOp>, grid: CubeTensor<R>, net: CubeTensor<R>, x: CubeTensor<R>) -> CubeTensor<R> {
        match kernels(op, &[&grid, &net, &x]) {
            Some(kernels) => {
                let inputs = Inputs::new(op, grid, net, x);
                inputs.forward(&kernels, &inputs.parameters(&kernels), op.spec().outputs)
            }
            None => primitive(reference::forward::<Self>(op.spec(), tensor(grid), tensor(net), tensor(x))),
        }
    }

    fn field_forward_full(
        op: &Arc<FieldOp>,
        grid: CubeTensor<R>,
        net: CubeTensor<R>,
        x: CubeTensor<R>,
    ) -> CubeTensor<R> {
        note_derivatives(op);
        primitive(reference::forward_full::<Self>(op.spec(), tensor(grid), tensor(net), tensor(x)))
    }

    fn adam_step(params: CubeTensor<R>, grads: CubeTensor<R>, moments: Moments<Self>, hyper: &AdamHyper) -> Step<Self> {
        let [m, v] = moments;
        if [&params, &grads, &m, &v].iter().any(|t| t.dtype != DType::F32) {
            return plain_adam_step::<Self>(params, grads, [m, v], hyper);
        }
        let [params, m, v] = [params, m, v].map(owned);
        let grads = into_contiguous(grads);
        let hyper = run::AdamHyper {
            lr: hyper.lr,
            beta1: hyper.beta1,
            beta2: hyper.beta2,
            eps: hyper.eps,
            weight_decay: hyper.weight_decay,
            bias1: hyper.bias1,
            bias2: hyper.bias2,
        };
        let n = params.shape().num_elements();
        let both = [m.handle.clone(), v.handle.clone()];
        run::adam(&params.client, &params.handle, &grads.handle, &both, n, &hyper);
        (params, [m, v])
    }

    fn ema_step(average: CubeTensor<R>, values: CubeTensor<R>, decay: f64) -> CubeTensor<R> {
        if [&average, &values].iter().any(|t| t.dtype != DType::F32) {
            return plain_ema_step::<Self>(average, values, decay);
        }
        let (average, values) = (owned(average), into_contiguous(values));
        let n = average.shape().num_elements();
        run::ema(&average.client, &average.handle, &values.handle, n, decay);
        average
    }
}

fn note_derivatives(op: &FieldOp) {
    op.note_fallback("outputs with derivatives (regularisers)", || "plain tensors (no kernels yet)".into());
}

/// Backward of the values.
#[derive(Debug)]
struct ValueStep;

/// Inputs of the step, and the kernels that took them with the parameters as they were packed for them.
#[derive(Clone)]
struct ValueState<R: CubeRuntime> {
    inputs: Inputs<R>,
    at: Parameters,
    kernels: Arc<FieldKernels<R>>,
}

impl<R: CubeRuntime> std::fmt::Debug for ValueState<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ValueState").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

/// Registers the gradient of each tracked parent.
fn register<B: FieldBackend, const N: usize>(
    grads: &mut Gradients,
    parents: [Option<NodeId>; N],
    values: [FloatTensor<B>; N],
) {
    for (id, value) in parents.into_iter().zip(values) {
        if let Some(id) = id {
            grads.register::<B>(id, value);
        }
    }
}

impl<R, F, I, BT> Backward<CubeBackend<R, F, I, BT>, 2> for ValueStep
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
    CubeBackend<R, F, I, BT>: FieldBackend<FloatTensorPrimitive = CubeTensor<R>>,
{
    type State = ValueState<R>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_out = into_contiguous(grads.consume::<CubeBackend<R, F, I, BT>>(&ops.node));
        let ValueState { inputs, at, kernels } = ops.state;
        let (d_grid, d_net) = (zeros_like(&inputs.grid), zeros_like(&inputs.net));
        let n = inputs.points();
        let count = kernels.count(n);
        let to = run::Gradients { grid: d_grid.handle.clone(), net: d_net.handle.clone() };
        let points = Points { x: &inputs.x.handle, len: n, list: None, count: &count, limit: n };
        kernels.adjoint(&at, &points, &d_out.handle, &to);
        register::<CubeBackend<R, F, I, BT>, 2>(grads, ops.parents.map(|node| node.map(|n| n.id)), [d_grid, d_net]);
    }
}

/// Backward of a loss whose gradient came with its value: the state is the gradient.
#[derive(Debug)]
pub(crate) struct LossStep;

impl<R, F, I, BT> Backward<CubeBackend<R, F, I, BT>, 2> for LossStep
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
    CubeBackend<R, F, I, BT>: FieldBackend<FloatTensorPrimitive = CubeTensor<R>>,
{
    type State = [CubeTensor<R>; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<CubeBackend<R, F, I, BT>>(&ops.node);
        // On the device: reading the factor, which is nearly always 1, would wait for everything before.
        let scaled = ops.state.map(|grad| {
            let factor = tensor::<CubeBackend<R, F, I, BT>, 1>(upstream.clone());
            primitive(tensor::<CubeBackend<R, F, I, BT>, 1>(grad) * factor)
        });
        register::<CubeBackend<R, F, I, BT>, 2>(grads, ops.parents.map(|node| node.map(|n| n.id)), scaled);
    }
}

impl<R, F, I, BT, C> FieldBackend for Autodiff<CubeBackend<R, F, I, BT>, C>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
    C: CheckpointStrategy,
    CubeBackend<R, F, I, BT>: FieldBackend<FloatTensorPrimitive = CubeTensor<R>>,
{
    fn field_forward(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        x: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let found = kernels(op, &[&grid.primitive, &net.primitive, &x.primitive]);
        if !x.node.requirement.is_none() {
            op.note_fallback("gradients in coordinates", || "plain tensors (no kernels yet)".into());
        }
        let Some(kernels) = found.filter(|_| x.node.requirement.is_none()) else {
            return primitive(reference::forward::<Self>(op.spec(), tensor(grid), tensor(net), tensor(x)));
        };
        let inputs = Inputs::new(op, grid.primitive, net.primitive, x.primitive);
        let at = inputs.parameters(&kernels);
        let output = inputs.forward(&kernels, &at, op.spec().outputs);
        match ValueStep.prepare::<C>([grid.node, net.node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(ValueState { inputs, at, kernels }, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn field_forward_full(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        x: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        note_derivatives(op);
        primitive(reference::forward_full::<Self>(op.spec(), tensor(grid), tensor(net), tensor(x)))
    }

    fn ray_marcher(
        op: &Arc<FieldOp>,
        grid: &FloatTensor<Self>,
        settings: MarchSettings,
    ) -> Result<Box<dyn RayMarcher<Self>>, String> {
        let kernels = kernels(op, &[&grid.primitive]).ok_or("the field has no fused kernels there")?;
        if op.spec().color_head.is_none() {
            return Err("the field has no colours".into());
        }
        Ok(Box::new(Marcher::new(kernels, settings)))
    }

    fn ray_step(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        rays: &RayBatch,
        loss: RayLoss,
        outputs: RayOutputs,
    ) -> RayStep<Self> {
        let found = kernels(op, &[&grid.primitive, &net.primitive]);
        let samples = rays.t.len();
        if !rays.error_limit.is_empty() {
            op.note_fallback("limits of rays' errors (robust loss)", || "plain tensors (no kernels yet)".into());
        }
        let has_depths = loss.depth.is_some() && !rays.depth.is_empty();
        if has_depths {
            op.note_fallback("depths of rays", || "plain tensors (no kernels yet)".into());
        }
        let Some(kernels) = found.filter(|_| samples > 0 && rays.error_limit.is_empty() && !has_depths) else {
            return plain_ray_step::<Self>(op, grid, net, rays, loss, outputs);
        };
        let [grid_in, net_in] = [grid.primitive, net.primitive].map(into_contiguous);
        let (d_grid, d_net) = (zeros_like(&grid_in), zeros_like(&net_in));
        let at = Parameters { grid: grid_in.handle.clone(), packed: kernels.pack(&net_in.handle) };
        let count = rays.slices().rays();
        let buffers = kernels.ray_buffers(count, samples);
        let to = run::Gradients { grid: d_grid.handle.clone(), net: d_net.handle.clone() };
        kernels.ray_step(&at, &upload(&kernels, rays), comparison(loss), &buffers, &to);
        let client = grid_in.client.clone();
        let losses =
            CubeTensor::new_contiguous(client, grid_in.device.clone(), [count].into(), buffers.losses, DType::F32);
        let value = primitive(tensor::<CubeBackend<R, F, I, BT>, 1>(losses).sum());
        let value = match LossStep.prepare::<C>([grid.node, net.node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish([d_grid, d_net], value),
            OpsKind::UnTracked(prep) => prep.finish(value),
        };
        // How many samples counted stays on the device: reading it would wait for everything before.
        (value, RayStats { loss: 0.0, evaluated: samples, used: samples }, no_results(outputs))
    }
}

fn upload<R: CubeRuntime>(kernels: &FieldKernels<R>, rays: &RayBatch) -> DeviceRays {
    let spans: Vec<u32> = rays.first.windows(2).flat_map(|w| [w[0], w[1] - w[0], 0, 0]).collect();
    let lengths: Vec<f32> = rays.t.iter().zip(&rays.dt).flat_map(|(t, dt)| [*t, *dt]).collect();
    let parts = [&rays.direction, &rays.target, &rays.background].map(|part| part.as_chunks::<3>().0);
    let records: Vec<f32> = (0..parts[0].len()).flat_map(|r| parts.map(|part| part[r])).flatten().collect();
    DeviceRays {
        rays: rays.slices().rays(),
        samples: rays.t.len(),
        x: kernels.upload(&rays.x),
        lengths: kernels.upload(&lengths),
        spans: kernels.upload_words(&spans),
        records: kernels.upload(&records),
        gradient_scale: (!rays.gradient_scale.is_empty()).then(|| kernels.upload(&rays.gradient_scale)),
        counters: None,
    }
}

/// Sharpness as the kernels have it: 0 for an exponential density.
pub(crate) fn sharpness(density: Density) -> f32 {
    match density {
        Density::Exponential => 0.0,
        Density::SignedDistance { sharpness } => sharpness,
    }
}

pub(crate) fn comparison(loss: RayLoss) -> ray_step::RayLoss {
    let (kind, delta) = match loss.loss {
        PointLoss::L1 => (LossKind::L1, 1.0),
        PointLoss::L2 => (LossKind::L2, 1.0),
        PointLoss::Huber(delta) => (LossKind::Huber, delta),
    };
    ray_step::RayLoss {
        kind,
        delta,
        min_transmittance: loss.min_transmittance,
        distortion: loss.distortion,
        sharpness: sharpness(loss.density),
    }
}
