//! The one training loop, on any backend: batches in, parameters out.
//!
//! Each step minimises the task's pointwise loss over a batch plus, on a share of its points, the regularisers of the
//! method: `λ_pde E‖∇S − F(x, S)‖² + λ_smooth E‖∇S‖² + λ_eikonal E(‖∇f‖ − 1)²` (DESIGN §2), with Adam.

use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::feed::{Batch, BatchSource, Feed, FeedConfig};
use super::schedule::{Budget, Schedule};
use crate::field::backend::{self, FieldBackend, FieldOp};
use crate::field::device::DeviceError;
use crate::kernel::PointLoss;
use crate::kernel::adam::AdamHyper;

/// Settings of a training run; `--set train.key=value` reaches each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Points of a batch.
    pub batch: usize,
    /// Pointwise loss.
    pub loss: PointLoss,
    /// Learning rate of the basis and the networks.
    pub net_lr: f64,
    /// Learning rate of the latent grid.
    pub grid_lr: f64,
    /// Adam's decay of the first moment.
    pub beta1: f64,
    /// Adam's decay of the second moment.
    pub beta2: f64,
    /// Adam's ε.
    pub eps: f64,
    /// Decoupled weight decay of the networks.
    pub weight_decay: f64,
    /// Whether ω and b are trained (the networks always are).
    pub train_basis: bool,
    /// Warm-up and decay of the learning rate.
    pub schedule: Schedule,
    /// How batches are reused.
    pub feed: FeedConfig,
    /// Weight of the transport residual, in unit-cube coordinates.
    pub lambda_pde: f64,
    /// Weight of the spectrum's smoothness.
    pub lambda_smooth: f64,
    /// Weight of the eikonal term (signed distances only).
    pub lambda_eikonal: f64,
    /// Share of each batch on which the regularisers are evaluated, 0 to 1.
    pub regularised: f64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            batch: 16384,
            loss: PointLoss::L1,
            net_lr: 5e-3,
            grid_lr: 1e-2,
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-15,
            weight_decay: 0.0,
            train_basis: true,
            schedule: Schedule::default(),
            feed: FeedConfig::default(),
            lambda_pde: 0.0,
            lambda_smooth: 0.0,
            lambda_eikonal: 0.0,
            regularised: 1.0 / 16.0,
        }
    }
}

impl TrainConfig {
    /// Whether any regulariser is on.
    pub fn regularises(&self) -> bool {
        self.regularised > 0.0 && (self.lambda_pde > 0.0 || self.lambda_smooth > 0.0 || self.lambda_eikonal > 0.0)
    }
}

/// Everything that a run needs to go on exactly where it stopped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainState {
    /// Steps done.
    pub step: u64,
    /// Training time spent.
    pub elapsed: Duration,
    /// Latent grid.
    pub grid: Vec<f32>,
    /// Basis and networks.
    pub net: Vec<f32>,
    /// Adam's moments of the grid.
    pub grid_moments: [Vec<f32>; 2],
    /// Adam's moments of the networks.
    pub net_moments: [Vec<f32>; 2],
}

impl TrainState {
    /// The state before the first step.
    pub fn new(grid: Vec<f32>, net: Vec<f32>) -> Self {
        let zeros = |n: usize| [vec![0.0; n], vec![0.0; n]];
        Self { grid_moments: zeros(grid.len()), net_moments: zeros(net.len()), grid, net, ..Self::default() }
    }

    fn finite(&self) -> bool {
        self.grid.iter().chain(&self.net).all(|p| p.is_finite())
    }
}

/// Why a run stopped before its end.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The loss left the finite numbers or exploded.
    #[error(
        "training diverged at step {step} (loss {loss}, learning rate {net_lr:.2e} for the networks, {grid_lr:.2e} for \
         the grid); the model of step {good} is kept. Lower --set train.net_lr / train.grid_lr, or lengthen \
         train.schedule.warmup"
    )]
    Diverged {
        /// Step at which it was seen.
        step: u64,
        /// The loss there.
        loss: f64,
        /// Learning rate of the networks there.
        net_lr: f64,
        /// Learning rate of the grid there.
        grid_lr: f64,
        /// Step of the last good state.
        good: u64,
        /// The last good state.
        state: Box<TrainState>,
    },
    /// The thread that draws batches ended early.
    #[error("drawing batch for step {0} failed: the sampler stopped (its message is above)")]
    Sampler(u64),
    /// The chosen device is not there.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// What the observer returned.
    #[error(transparent)]
    Observer(#[from] anyhow::Error),
}

/// What is known at a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Share of the budget spent.
    pub share: f64,
    /// Loss of a recent batch, regularisers included, smoothed.
    pub loss: f64,
    /// Learning rate of the networks.
    pub net_lr: f64,
    /// Training time so far.
    pub elapsed: Duration,
}

/// Watches a run and may stop it.
pub trait Observer {
    /// Called every few steps; `false` stops the run cleanly.
    fn progress(&mut self, progress: &Progress) -> bool;
    /// How often [`Self::checkpoint`] is called; `None`: never.
    fn checkpoint_every(&self) -> Option<Duration> {
        None
    }
    /// Takes a good state to save.
    fn checkpoint(&mut self, _state: &TrainState) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Steps between looks at the loss: reading it back stalls a GPU.
const LOOK: u64 = 16;
/// Steps between snapshots of a good state.
const SNAPSHOT: u64 = 512;
/// A smoothed loss this many times the best one is divergence.
const EXPLODED: f64 = 100.0;

struct Parameters<B: FieldBackend> {
    value: Tensor<B, 1>,
    moments: [Tensor<B, 1>; 2],
}

impl<B: FieldBackend> Parameters<B> {
    fn new(value: &[f32], moments: &[Vec<f32>; 2], device: &Device<B>) -> Self {
        let tensor = |v: &[f32]| Tensor::from_data(TensorData::new(v.to_vec(), [v.len()]), device);
        Self { value: tensor(value), moments: [tensor(&moments[0]), tensor(&moments[1])] }
    }

    fn update(self, grads: Tensor<B, 1>, hyper: &AdamHyper) -> Self {
        let (value, moments) = backend::adam_step(self.value, grads, self.moments, hyper);
        Self { value, moments }
    }

    fn read(&self) -> (Vec<f32>, [Vec<f32>; 2]) {
        (to_vec(&self.value), [to_vec(&self.moments[0]), to_vec(&self.moments[1])])
    }
}

fn to_vec<B: FieldBackend>(tensor: &Tensor<B, 1>) -> Vec<f32> {
    tensor.to_data().iter::<f32>().collect()
}

/// A field in training on backend `B`.
pub struct Trainer<B: FieldBackend> {
    op: Arc<FieldOp>,
    config: TrainConfig,
    grid: Option<Parameters<B>>,
    net: Option<Parameters<B>>,
    /// ω and b at the front of `net`, where they are not trained.
    frozen: Option<Tensor<B, 1>>,
    step: u64,
    device: Device<B>,
}

impl<B> Trainer<B>
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    /// Starts or goes on from `state`, whose buffers must have the lengths of the field's spec.
    pub fn new(op: Arc<FieldOp>, config: TrainConfig, state: &TrainState, device: Device<B>) -> Self {
        let frozen = (!config.train_basis).then(|| {
            let basis = op.spec().net_layout().basis;
            let values = state.net[..basis.bias + basis.outputs].to_vec();
            Tensor::from_data(TensorData::new(values.clone(), [values.len()]), &device)
        });
        Self {
            grid: Some(Parameters::new(&state.grid, &state.grid_moments, &device)),
            net: Some(Parameters::new(&state.net, &state.net_moments, &device)),
            op,
            config,
            frozen,
            step: state.step,
            device,
        }
    }

    /// The state after the last step.
    pub fn state(&self, elapsed: Duration) -> TrainState {
        let read = |p: &Option<Parameters<B>>| p.as_ref().map(Parameters::read).unwrap_or_default();
        let ((grid, grid_moments), (net, net_moments)) = (read(&self.grid), read(&self.net));
        TrainState { step: self.step, elapsed, grid, net, grid_moments, net_moments }
    }

    /// One step on `batch` with the learning rates times `factor`; the loss if `look`.
    pub fn step(&mut self, batch: &Batch, factor: f64, look: bool) -> Option<f64> {
        let (Some(grid), Some(net)) = (self.grid.take(), self.net.take()) else { return None };
        let spec = self.op.spec();
        let n = batch.x.len() / spec.dim;
        let tensor = |v: &[f32], columns: usize| {
            let data = TensorData::new(v.to_vec(), [v.len() / columns.max(1), columns]);
            Tensor::<Autodiff<B>, 2>::from_inner(Tensor::from_data(data, &self.device))
        };
        let grid_leaf = Tensor::<Autodiff<B>, 1>::from_inner(grid.value.clone()).require_grad();
        let net_leaf = Tensor::<Autodiff<B>, 1>::from_inner(net.value.clone()).require_grad();
        let data = [tensor(&batch.x, spec.dim), tensor(&batch.target, spec.outputs), tensor(&batch.weight, 1)];
        let mut loss = backend::loss(&self.op, grid_leaf.clone(), net_leaf.clone(), data, self.config.loss);
        if self.config.regularises() && n > 0 {
            let few = ((n as f64 * self.config.regularised).ceil() as usize).clamp(1, n);
            // Spread over the batch, whose points are sorted in space; the offset moves from step to step.
            let stride = n / few;
            let offset = self.step as usize % stride;
            let picks = (0..few).map(|i| (i * stride + offset) * spec.dim);
            let x: Vec<f32> = picks.flat_map(|i| &batch.x[i..i + spec.dim]).copied().collect();
            loss = loss + self.regularisers(grid_leaf.clone(), net_leaf.clone(), tensor(&x, spec.dim));
        }
        let value = look.then(|| loss.clone().inner().into_data().iter::<f64>().next().unwrap_or(f64::NAN));
        let mut grads = loss.backward();
        let d_grid = grid_leaf.grad_remove(&mut grads);
        let d_net = net_leaf.grad_remove(&mut grads);
        // The leaves share the parameters' storage: with them gone the optimiser updates in place.
        drop((grads, grid_leaf, net_leaf));
        let c = &self.config;
        let hyper = |lr: f64, decay: f64| {
            let [lr, beta1, beta2, eps, decay] = [lr * factor, c.beta1, c.beta2, c.eps, decay].map(|v| v as f32);
            AdamHyper::at(lr, beta1, beta2, eps, decay, self.step + 1)
        };
        self.grid = Some(match d_grid {
            Some(d) => grid.update(d, &hyper(c.grid_lr, 0.0)),
            None => grid,
        });
        self.net = Some(match d_net {
            Some(d) => net.update(d, &hyper(c.net_lr, c.weight_decay)),
            None => net,
        });
        // Written back rather than left without a gradient: the decay of the weights would still move it.
        if let (Some(net), Some(frozen)) = (&mut self.net, &self.frozen) {
            let len = frozen.dims()[0];
            #[expect(clippy::single_range_in_vec_init, reason = "one range for the tensor's one axis")]
            let rows = [0..len];
            net.value = net.value.clone().slice_assign(rows, frozen.clone());
        }
        self.step += 1;
        value
    }

    /// `λ_pde E‖∇S − F‖² + λ_smooth E‖∇S‖² + λ_eikonal E(‖∇f‖ − 1)²` over the points `x`.
    fn regularisers(
        &self,
        grid: Tensor<Autodiff<B>, 1>,
        net: Tensor<Autodiff<B>, 1>,
        x: Tensor<Autodiff<B>, 2>,
    ) -> Tensor<Autodiff<B>, 1> {
        let c = &self.config;
        let columns = self.op.spec().full_columns();
        let points = x.dims()[0];
        let full = backend::forward_full(&self.op, grid, net, x);
        let part = |from: usize, to: usize| full.clone().slice([0..points, from..to]);
        let slope = part(columns.spectrum_gradient, columns.transport);
        let square = |t: Tensor<Autodiff<B>, 2>| (t.clone() * t).sum_dim(1).mean();
        let mut sum = Tensor::from_inner(Tensor::zeros([1], &self.device));
        if c.lambda_pde > 0.0 {
            sum = sum + square(slope.clone() - part(columns.transport, columns.len)) * c.lambda_pde;
        }
        if c.lambda_smooth > 0.0 {
            sum = sum + square(slope) * c.lambda_smooth;
        }
        if c.lambda_eikonal > 0.0 {
            let g = part(columns.gradient, columns.spectrum);
            let norm = ((g.clone() * g).sum_dim(1) + 1e-12).sqrt() - 1.0;
            sum = sum + (norm.clone() * norm).mean() * c.lambda_eikonal;
        }
        sum
    }

    /// Trains until the budget is spent or the observer stops; returns the final state.
    pub fn run(
        mut self,
        source: Arc<dyn BatchSource>,
        budget: Budget,
        before: Duration,
        observer: &mut dyn Observer,
    ) -> Result<TrainState, TrainError> {
        let mut feed = Feed::start(source, self.config.feed, self.step);
        let start = Instant::now();
        let mut good = self.state(before);
        let (mut smooth, mut best) = (None, f64::INFINITY);
        let mut saved = Instant::now();
        loop {
            let elapsed = before + start.elapsed();
            let share = budget.progress(self.step, elapsed);
            if share >= 1.0 {
                break;
            }
            let batch = feed.batch(self.step).ok_or(TrainError::Sampler(self.step))?;
            let factor = self.config.schedule.factor(self.step, share);
            let look = self.step.is_multiple_of(LOOK);
            let Some(loss) = self.step(&batch, factor, look) else { continue };
            let mean = smooth.map_or(loss, |s: f64| 0.8 * s + 0.2 * loss);
            smooth = Some(mean);
            best = best.min(mean);
            if !loss.is_finite() || (mean > EXPLODED * best && self.step > self.config.schedule.warmup) {
                return Err(self.diverged(loss, factor, good));
            }
            let (net_lr, step) = (self.config.net_lr * factor, self.step);
            let go_on = observer.progress(&Progress { step, share, loss: mean, net_lr, elapsed });
            let due = observer.checkpoint_every().is_some_and(|every| saved.elapsed() >= every);
            if due || self.step % SNAPSHOT == 1 {
                let state = self.state(before + start.elapsed());
                if !state.finite() {
                    return Err(self.diverged(loss, factor, good));
                }
                if due {
                    observer.checkpoint(&state)?;
                    saved = Instant::now();
                }
                good = state;
            }
            if !go_on {
                break;
            }
        }
        let state = self.state(before + start.elapsed());
        if state.finite() { Ok(state) } else { Err(self.diverged(f64::NAN, 1.0, good)) }
    }

    fn diverged(&self, loss: f64, factor: f64, good: TrainState) -> TrainError {
        let (net_lr, grid_lr) = (self.config.net_lr * factor, self.config.grid_lr * factor);
        TrainError::Diverged { step: self.step, loss, net_lr, grid_lr, good: good.step, state: Box::new(good) }
    }
}
