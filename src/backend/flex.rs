//! The fused CPU kernels behind [`FieldBackend`] for Burn's Flex backend.
//!
//! Flex keeps tensors in host memory, so the kernels read and write its storage as slices without copies. Under
//! `Autodiff` each forward registers one step whose backward is the kernels' own; it keeps the inputs (shared, not
//! copied) and recomputes the activations tile by tile.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape, TensorMetadata};
use burn_flex::{Flex, FlexTensor};
use nstr_kernel::adam::{self, AdamHyper};
use nstr_kernel::ema;
use nstr_kernel::rounding::{self, Lattice};
use nstr_kernel::{
    BatchLoss, FusedField, GradientSlices, Lines, Outputs, PointRegularizer, RayBatch, RayLoss, RayOutputs, Targets,
};
use nstr_spec::FieldSpec;

use crate::backend::{
    FieldBackend, FieldOp, LatticeTensors, LineData, LossData, Moments, RayStep, Step, plain_adam_step, plain_ema_step,
    plain_field_loss, plain_field_regularizer, plain_field_transported, plain_ray_step, plain_rounding_step, primitive,
    tensor,
};
use crate::gradient_pool::GradientPool;
use crate::reference;

/// The tensors of one evaluation, contiguous.
#[derive(Clone, Debug)]
struct Inputs {
    grid: FlexTensor,
    net: FlexTensor,
    x: FlexTensor,
}

impl Inputs {
    fn new(spec: &FieldSpec, grid: &FlexTensor, net: &FlexTensor, x: &FlexTensor) -> Self {
        let inputs = Inputs { grid: grid.to_contiguous(), net: net.to_contiguous(), x: x.to_contiguous() };
        let lengths = [inputs.grid.layout().num_elements(), inputs.net.layout().num_elements()];
        assert_eq!(lengths, [spec.grid_len(), spec.net_len()], "lengths of grid and net against the field's spec");
        assert_eq!(inputs.x.shape()[1], spec.dim, "coordinates of each point against the field's dimensions");
        inputs
    }
    fn points(&self) -> usize {
        self.x.shape()[0]
    }
    /// Zero gradients of grid and networks.
    fn zeros(&self, pool: &GradientPool) -> [FlexTensor; 2] {
        [&self.grid, &self.net].map(|t| pool.zeros(t.shape()))
    }
    fn slices(&self) -> (&[f32], &[f32], &[f32]) {
        (self.grid.storage(), self.net.storage(), self.x.storage())
    }
    fn forward(&self, fused: &FusedField, spec: &FieldSpec) -> FlexTensor {
        let (grid, net, x) = self.slices();
        filled([self.points(), spec.outputs], |out| fused.forward(grid, net, x, out))
    }
    fn forward_full(&self, fused: &FusedField, spec: &FieldSpec) -> FlexTensor {
        let (grid, net, x) = self.slices();
        filled([self.points(), spec.full_columns().len], |out| fused.forward_full(grid, net, x, out))
    }
}

/// A new tensor, zero before `fill` writes it.
fn filled(shape: impl Into<Shape>, fill: impl FnOnce(&mut [f32])) -> FlexTensor {
    let mut tensor = FlexTensor::zeros(shape.into(), DType::F32);
    fill(tensor.storage_mut());
    tensor
}

/// The kernels, if the field asks for them and every tensor is f32 (they know no other type).
fn kernels<'a>(op: &'a FieldOp, tensors: [&FlexTensor; 3]) -> Option<&'a FusedField> {
    op.fused().filter(|_| tensors.iter().all(|t| t.dtype() == DType::F32))
}

impl FieldBackend for Flex {
    fn field_forward(op: &Arc<FieldOp>, grid: FlexTensor, net: FlexTensor, x: FlexTensor) -> FlexTensor {
        match kernels(op, [&grid, &net, &x]) {
            Some(fused) => Inputs::new(op.spec(), &grid, &net, &x).forward(fused, op.spec()),
            None => primitive(reference::forward::<Flex>(op.spec(), tensor(grid), tensor(net), tensor(x))),
        }
    }

    fn field_forward_full(op: &Arc<FieldOp>, grid: FlexTensor, net: FlexTensor, x: FlexTensor) -> FlexTensor {
        match kernels(op, [&grid, &net, &x]) {
            Some(fused) => Inputs::new(op.spec(), &grid, &net, &x).forward_full(fused, op.spec()),
            None => primitive(reference::forward_full::<Flex>(op.spec(), tensor(grid), tensor(net), tensor(x))),
        }
    }

    fn adam_step(params: FlexTensor, grads: FlexTensor, moments: Moments<Self>, hyper: &AdamHyper) -> Step<Self> {
        let [m, v] = moments;
        if [&params, &grads, &m, &v].iter().any(|t| t.dtype() != DType::F32) {
            return plain_adam_step::<Flex>(params, grads, [m, v], hyper);
        }
        // `into_contiguous` drops the original, so that `storage_mut` copies only what somebody else still holds.
        let [mut params, grads, mut m, mut v] = [params, grads, m, v].map(into_contiguous);
        adam::step(params.storage_mut(), grads.storage(), m.storage_mut(), v.storage_mut(), hyper);
        (params, [m, v])
    }

    fn ema_step(average: FlexTensor, values: FlexTensor, decay: f64) -> FlexTensor {
        if [&average, &values].iter().any(|t| t.dtype() != DType::F32) {
            return plain_ema_step::<Flex>(average, values, decay);
        }
        let [mut average, values] = [average, values].map(into_contiguous);
        ema::step(average.storage_mut(), values.storage(), decay);
        average
    }

    fn rounding_step(
        params: FlexTensor,
        v: FlexTensor,
        lattice: LatticeTensors<Self>,
        hyper: &AdamHyper,
        rounded: FlexTensor,
    ) -> [FlexTensor; 2] {
        let all = [&params, &v, &rounded, &lattice.steps, &lattice.offsets, &lattice.pulls];
        if all.iter().any(|t| t.dtype() != DType::F32) {
            return plain_rounding_step::<Flex>(params, v, lattice, hyper);
        }
        let LatticeTensors { features, steps, offsets, pulls } = lattice;
        let [mut params, v, mut rounded] = [params, v, rounded].map(into_contiguous);
        let [steps, offsets, pulls] = [steps, offsets, pulls].map(into_contiguous);
        let lattice = Lattice { features, steps: steps.storage(), offsets: offsets.storage(), pulls: pulls.storage() };
        rounding::pull_and_round(params.storage_mut(), v.storage(), lattice, hyper, rounded.storage_mut());
        [params, rounded]
    }
}

fn into_contiguous(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

/// Backward of the values.
#[derive(Debug)]
struct ValueStep;
/// Backward of the full output.
#[derive(Debug)]
struct FullStep;

type State = (Arc<FieldOp>, Inputs);

/// Registers the gradient of each tracked parent.
fn register<const N: usize>(grads: &mut Gradients, parents: [Option<NodeId>; N], values: [Option<FlexTensor>; N]) {
    for (id, value) in parents.into_iter().zip(values) {
        if let (Some(id), Some(value)) = (id, value) {
            grads.register::<Flex>(id, value);
        }
    }
}

impl Backward<Flex, 3> for ValueStep {
    type State = State;

    fn backward(self, ops: Ops<State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_out = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (op, inputs) = ops.state;
        let parents = ops.parents.map(|node| node.map(|n| n.id));
        #[expect(clippy::expect_used, reason = "an invariant of the registration")]
        let fused = op.fused().expect("the step is registered only where the field has kernels");
        let [mut d_grid, mut d_net] = inputs.zeros(op.gradient_pool());
        let mut d_x = parents[2].map(|_| FlexTensor::zeros(inputs.x.shape(), DType::F32));
        let (grid, net, x) = inputs.slices();
        let to = GradientSlices {
            d_grid: d_grid.storage_mut(),
            d_net: d_net.storage_mut(),
            d_x: d_x.as_mut().map(|t| t.storage_mut::<f32>()),
        };
        fused.backward(Outputs::Value, grid, net, x, d_out.storage(), to);
        register(grads, parents, [Some(d_grid), Some(d_net), d_x]);
    }
}

impl Backward<Flex, 2> for FullStep {
    type State = State;

    fn backward(self, ops: Ops<State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_out = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (op, inputs) = ops.state;
        #[expect(clippy::expect_used, reason = "an invariant of the registration")]
        let fused = op.fused().expect("the step is registered only where the field has kernels");
        let [mut d_grid, mut d_net] = inputs.zeros(op.gradient_pool());
        let (grid, net, x) = inputs.slices();
        let to = GradientSlices { d_grid: d_grid.storage_mut(), d_net: d_net.storage_mut(), d_x: None };
        fused.backward(Outputs::Full, grid, net, x, d_out.storage(), to);
        register(grads, ops.parents.map(|node| node.map(|n| n.id)), [Some(d_grid), Some(d_net)]);
    }
}

impl<C: CheckpointStrategy> FieldBackend for Autodiff<Flex, C> {
    fn field_forward(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        x: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let Some(fused) = kernels(op, [&grid.primitive, &net.primitive, &x.primitive]) else {
            return primitive(reference::forward::<Self>(op.spec(), tensor(grid), tensor(net), tensor(x)));
        };
        let inputs = Inputs::new(op.spec(), &grid.primitive, &net.primitive, &x.primitive);
        let output = inputs.forward(fused, op.spec());
        let nodes = [grid.node.clone(), net.node.clone(), x.node.clone()];
        match ValueStep.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((op.clone(), inputs), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn field_forward_full(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        x: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let Some(fused) = kernels(op, [&grid.primitive, &net.primitive, &x.primitive]) else {
            return primitive(reference::forward_full::<Self>(op.spec(), tensor(grid), tensor(net), tensor(x)));
        };
        let inputs = Inputs::new(op.spec(), &grid.primitive, &net.primitive, &x.primitive);
        let output = inputs.forward_full(fused, op.spec());
        match FullStep.prepare::<C>([grid.node.clone(), net.node.clone()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((op.clone(), inputs), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn field_loss(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        data: LossData<Self>,
        loss: BatchLoss,
    ) -> FloatTensor<Self> {
        let tensors = [&grid.primitive, &net.primitive, &data.x.primitive];
        let Some(fused) = kernels(op, tensors).filter(|_| data.target.primitive.dtype() == DType::F32) else {
            return plain_field_loss::<Self>(op, grid, net, data, loss);
        };
        let inputs = Inputs::new(op.spec(), &grid.primitive, &net.primitive, &data.x.primitive);
        let (target, weight) = (data.target.primitive.to_contiguous(), data.weight.primitive.to_contiguous());
        // The gradient comes with the loss in one pass; backward only scales it.
        let [mut d_grid, mut d_net] = inputs.zeros(op.gradient_pool());
        let (grid_slice, net_slice, x) = inputs.slices();
        let data = Targets { x, target: target.storage(), weight: Some(weight.storage()) };
        let (grid_sums, net_sums) = (d_grid.storage_mut(), d_net.storage_mut());
        let value = fused.loss_backward(grid_slice, net_slice, data, loss, grid_sums, net_sums);
        loss_tensor::<C>(op, &grid, &net, value, [d_grid, d_net])
    }

    fn field_regularizer(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weights: PointRegularizer,
    ) -> FloatTensor<Self> {
        let Some(fused) = kernels(op, [&grid.primitive, &net.primitive, &x.primitive]) else {
            return plain_field_regularizer::<Self>(op, grid, net, x, weights);
        };
        let inputs = Inputs::new(op.spec(), &grid.primitive, &net.primitive, &x.primitive);
        let [mut d_grid, mut d_net] = inputs.zeros(op.gradient_pool());
        let (grid_slice, net_slice, x) = inputs.slices();
        let (grid_sums, net_sums) = (d_grid.storage_mut(), d_net.storage_mut());
        let value = fused.regularizer_backward(grid_slice, net_slice, x, weights, grid_sums, net_sums);
        loss_tensor::<C>(op, &grid, &net, value, [d_grid, d_net])
    }

    fn field_transported(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        lines: LineData<Self>,
    ) -> FloatTensor<Self> {
        let Some(fused) = kernels(op, [&grid.primitive, &net.primitive, &lines.ends.primitive]) else {
            return plain_field_transported::<Self>(op, grid, net, lines);
        };
        let [grid_in, net_in] = [&grid.primitive, &net.primitive].map(|t| t.to_contiguous());
        let [ends, scale] = [&lines.ends.primitive, &lines.scale.primitive].map(|t| t.to_contiguous());
        let [mut d_grid, mut d_net] = [&grid_in, &net_in].map(|t| op.gradient_pool().zeros(t.shape()));
        let lines = Lines { ends: ends.storage(), scale: scale.storage(), steps: lines.steps };
        let (grid_sums, net_sums) = (d_grid.storage_mut(), d_net.storage_mut());
        let value = fused.transported_backward(grid_in.storage(), net_in.storage(), lines, grid_sums, net_sums);
        loss_tensor::<C>(op, &grid, &net, value, [d_grid, d_net])
    }

    fn ray_step(
        op: &Arc<FieldOp>,
        grid: FloatTensor<Self>,
        net: FloatTensor<Self>,
        rays: &RayBatch,
        loss: RayLoss,
        outputs: RayOutputs,
    ) -> RayStep<Self> {
        let both = [&grid.primitive, &net.primitive];
        let Some(fused) = op.fused().filter(|_| both.iter().all(|t| t.dtype() == DType::F32)) else {
            return plain_ray_step::<Self>(op, grid, net, rays, loss, outputs);
        };
        let [grid_in, net_in] = both.map(|t| t.to_contiguous());
        let [mut d_grid, mut d_net] = both.map(|t| op.gradient_pool().unset(t.shape()));
        let to = GradientSlices { d_grid: d_grid.storage_mut(), d_net: d_net.storage_mut(), d_x: None };
        let (stats, results) = fused.ray_step(grid_in.storage(), net_in.storage(), rays.slices(), loss, outputs, to);
        (loss_tensor::<C>(op, &grid, &net, stats.loss, [d_grid, d_net]), stats, Some(results))
    }
}

/// A loss `[1]` of grid and net, with the gradients in them that came with it.
fn loss_tensor<C: CheckpointStrategy>(
    op: &FieldOp,
    grid: &FloatTensor<Autodiff<Flex, C>>,
    net: &FloatTensor<Autodiff<Flex, C>>,
    value: f64,
    gradients: [FlexTensor; 2],
) -> FloatTensor<Autodiff<Flex, C>> {
    op.gradient_pool().keep(&gradients);
    let output = filled([1], |out| out[0] = value as f32);
    match LossStep.prepare::<C>([grid.node.clone(), net.node.clone()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(gradients, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

/// Backward of a loss whose gradient came with its value: the state is the gradient.
#[derive(Debug)]
struct LossStep;

impl Backward<Flex, 2> for LossStep {
    type State = [FlexTensor; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<Flex>(&ops.node).to_contiguous();
        let scale = upstream.storage::<f32>()[0];
        let scaled = |grad| if scale == 1.0 { grad } else { primitive(tensor::<Flex, 1>(grad) * scale) };
        register(grads, ops.parents.map(|node| node.map(|n| n.id)), ops.state.map(|grad| Some(scaled(grad))));
    }
}
