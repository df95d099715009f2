//! The one training loop, on any backend and for every [`Task`]: losses in, parameters out, by Adam.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::feed::FeedConfig;
use crate::schedule::{Budget, Schedule};
use crate::task::{Place, Task, TaskState};
use nstr_backend::backend;
use nstr_backend::backend::{FieldBackend, FieldOp};
use nstr_backend::device::DeviceError;
use nstr_kernel::PointLoss;
use nstr_kernel::adam::AdamHyper;

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
    /// Whether F is trained; without, it stays what it began as, perhaps another fit's.
    #[serde(default = "yes")]
    pub train_transport: bool,
    /// Warm-up and decay of the learning rate.
    pub schedule: Schedule,
    /// How batches are reused.
    pub feed: FeedConfig,
    /// Weight of the transport residual, in unit-cube coordinates.
    pub lambda_pde: f64,
    /// Weight of the spectrum's smoothness.
    pub lambda_smooth: f64,
    /// Weight of the transport along segments, `‖S(x + δ) − S(x) − F(x, S)·δ‖² / |δ|²`: the residual of finite steps instead
    /// of the derivative's.
    #[serde(default)]
    pub lambda_segment: f64,
    /// Standard deviation of δ along each axis, in unit-cube coordinates.
    #[serde(default = "usual_segment")]
    pub segment: f64,
    /// Weight of S as F carries it from coarse anchors, `‖S(x) − S(a) − ∫F(p, S) dp‖² / |x − a|²`, S on the way being what F
    /// has made of it.
    #[serde(default)]
    pub lambda_anchor: f64,
    /// Anchors are the corners of a lattice of so many cells along each axis.
    #[serde(default = "usual_anchors")]
    pub anchors: usize,
    /// Power of the budget's rest that the weights of the spectrum's terms fall with: 0 keeps them, 1 takes them to 0 along
    /// a line.
    #[serde(default)]
    pub anneal: f64,
    /// Weight of the eikonal term (signed distances only).
    pub lambda_eikonal: f64,
    /// Share of each batch on which the regularisers are evaluated, 0 to 1.
    pub regularised: f64,
    /// Decay of the moving average of the parameters that becomes the model, 0 (none) to below 1.
    pub average: f64,
}

fn usual_segment() -> f64 {
    0.02
}

fn usual_anchors() -> usize {
    16
}

fn yes() -> bool {
    true
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
            train_transport: true,
            schedule: Schedule::default(),
            feed: FeedConfig::default(),
            lambda_pde: 0.0,
            lambda_smooth: 0.0,
            lambda_segment: 0.0,
            segment: usual_segment(),
            lambda_anchor: 0.0,
            anchors: usual_anchors(),
            anneal: 0.0,
            lambda_eikonal: 0.0,
            regularised: 1.0 / 16.0,
            average: 0.0,
        }
    }
}

impl TrainConfig {
    /// Whether any regulariser is on.
    pub fn regularises(&self) -> bool {
        let spectrum = [self.lambda_pde, self.lambda_smooth, self.lambda_segment, self.lambda_anchor];
        self.regularised > 0.0 && (self.lambda_eikonal > 0.0 || spectrum.iter().any(|w| *w > 0.0))
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
    /// Moving averages of grid and networks; `None` where none are kept.
    pub averages: Option<[Vec<f32>; 2]>,
    /// What the task itself keeps.
    pub task: TaskState,
}

impl TrainState {
    /// The parameters that make the model, grid and networks: their averages where there are any.
    pub fn result(&self) -> (&[f32], &[f32]) {
        match &self.averages {
            Some([grid, net]) => (grid, net),
            None => (&self.grid, &self.net),
        }
    }

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
    #[error("{0}")]
    Observer(#[source] ObserverError),
}

/// Failure of an observer, which ends the run.
pub type ObserverError = Box<dyn std::error::Error + Send + Sync>;

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
    /// A figure of the task's own and its name, where it has one: the held-out PSNR of a radiance field.
    pub figure: Option<(&'static str, f64)>,
}

/// Watches a run and may stop it.
pub trait Observer {
    /// Called every few steps; `false` stops the run cleanly.
    fn progress(&mut self, progress: &Progress) -> bool;
    /// Time that the run stood still in [`Self::progress`] because the observer held it; no budget is charged for it.
    fn idle(&self) -> Duration {
        Duration::ZERO
    }
    /// How often [`Self::checkpoint`] is called; `None`: never.
    fn checkpoint_every(&self) -> Option<Duration> {
        None
    }
    /// Takes a good state to save.
    fn checkpoint(&mut self, _state: &TrainState) -> Result<(), ObserverError> {
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
    average: Option<Tensor<B, 1>>,
}

impl<B: FieldBackend> Parameters<B> {
    fn new(value: &[f32], moments: &[Vec<f32>; 2], average: Option<&[f32]>, device: &Device<B>) -> Self {
        let tensor = |v: &[f32]| Tensor::from_data(TensorData::new(v.to_vec(), [v.len()]), device);
        let average = average.map(tensor);
        Self { value: tensor(value), moments: [tensor(&moments[0]), tensor(&moments[1])], average }
    }

    fn update(self, grads: Tensor<B, 1>, hyper: &AdamHyper) -> Self {
        let (value, moments) = backend::adam_step(self.value, grads, self.moments, hyper);
        Self { value, moments, ..self }
    }

    /// Moves the average towards the value by `1 − decay`.
    fn follow(&mut self, decay: f64) {
        if let Some(average) = self.average.take() {
            self.average = Some(average * decay + self.value.clone() * (1.0 - decay));
        }
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
    /// Parts of `net` that are not trained, and what they are.
    frozen: Vec<(Range<usize>, Tensor<B, 1>)>,
    step: u64,
    /// Share of the budget spent.
    share: f64,
}

impl<B> Trainer<B>
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    /// Starts or goes on from `state`, whose buffers must have the lengths of the field's spec.
    pub fn new(op: Arc<FieldOp>, config: TrainConfig, state: &TrainState, device: Device<B>) -> Self {
        let layout = op.spec().net_layout();
        let parts = [(config.train_basis, layout.basis_range()), (config.train_transport, layout.transport_range())];
        let still = parts.into_iter().filter(|(trained, range)| !trained && !range.is_empty());
        let frozen = still
            .map(|(_, range)| {
                let values = TensorData::new(state.net[range.clone()].to_vec(), [range.len()]);
                (range, Tensor::from_data(values, &device))
            })
            .collect();
        // An average that is new begins at the parameters as they are.
        let average = |i: usize, value: &'_ [f32]| -> Option<Vec<f32>> {
            (config.average > 0.0).then(|| state.averages.as_ref().map_or(value.to_vec(), |a| a[i].clone()))
        };
        let (grid_average, net_average) = (average(0, &state.grid), average(1, &state.net));
        Self {
            grid: Some(Parameters::new(&state.grid, &state.grid_moments, grid_average.as_deref(), &device)),
            net: Some(Parameters::new(&state.net, &state.net_moments, net_average.as_deref(), &device)),
            op,
            config,
            frozen,
            step: state.step,
            share: 0.0,
        }
    }

    /// The state after the last step, without the task's.
    pub fn state(&self, elapsed: Duration) -> TrainState {
        let read = |p: &Option<Parameters<B>>| p.as_ref().map(Parameters::read).unwrap_or_default();
        let ((grid, grid_moments), (net, net_moments)) = (read(&self.grid), read(&self.net));
        let average = |p: &Option<Parameters<B>>| p.as_ref().and_then(|p| p.average.as_ref()).map(to_vec);
        let averages = average(&self.grid).zip(average(&self.net)).map(|(grid, net)| [grid, net]);
        TrainState {
            step: self.step,
            elapsed,
            grid,
            net,
            grid_moments,
            net_moments,
            averages,
            task: TaskState::default(),
        }
    }

    /// One step on `task` with the learning rates times `factor`; the loss if `look`.
    ///
    /// # Errors
    /// The task's.
    pub fn step(&mut self, task: &mut dyn Task<B>, factor: f64, look: bool) -> Result<Option<f64>, TrainError> {
        let (Some(grid), Some(net)) = (self.grid.take(), self.net.take()) else { return Ok(None) };
        let leaf = |p: &Parameters<B>| Tensor::<Autodiff<B>, 1>::from_inner(p.value.clone()).require_grad();
        let (grid_leaf, net_leaf) = (leaf(&grid), leaf(&net));
        let place = Place {
            op: &self.op,
            config: &self.config,
            step: self.step,
            share: self.share,
            grid: &grid_leaf,
            net: &net_leaf,
        };
        let loss = task.loss(&place)?;
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
        let mut grid = match d_grid {
            Some(d) => grid.update(d, &hyper(c.grid_lr, 0.0)),
            None => grid,
        };
        let mut net = match d_net {
            Some(d) => net.update(d, &hyper(c.net_lr, c.weight_decay)),
            None => net,
        };
        // Written back rather than left without a gradient: the decay of the weights would still move it.
        for (range, values) in &self.frozen {
            net.value = net.value.clone().slice_assign([range.clone()], values.clone());
        }
        // A young average must not keep the initial parameters for long.
        let decay = c.average.min((self.step + 1) as f64 / (self.step + 10) as f64);
        grid.follow(decay);
        net.follow(decay);
        self.step += 1;
        task.stepped(self.step, &grid.value, &net.value);
        (self.grid, self.net) = (Some(grid), Some(net));
        Ok(value)
    }

    /// Trains on `task` until the budget is spent or the observer stops; returns the final state.
    ///
    /// # Errors
    /// Divergence, and the task's and the observer's errors.
    pub fn run(
        mut self,
        task: &mut dyn Task<B>,
        budget: Budget,
        before: Duration,
        observer: &mut dyn Observer,
    ) -> Result<TrainState, TrainError> {
        let start = Instant::now();
        let spent = |observer: &dyn Observer| before + start.elapsed().saturating_sub(observer.idle());
        let whole =
            |trainer: &Self, task: &dyn Task<B>, elapsed| TrainState { task: task.state(), ..trainer.state(elapsed) };
        let mut good = whole(&self, task, before);
        let (mut smooth, mut best) = (None, f64::INFINITY);
        let mut saved = Instant::now();
        loop {
            let elapsed = spent(observer);
            let share = budget.progress(self.step, elapsed);
            if share >= 1.0 {
                break;
            }
            self.share = share;
            let factor = self.config.schedule.factor(self.step, share);
            let look = self.step.is_multiple_of(LOOK);
            let Some(loss) = self.step(task, factor, look)? else { continue };
            let mean = smooth.map_or(loss, |s: f64| 0.8 * s + 0.2 * loss);
            smooth = Some(mean);
            best = best.min(mean);
            if !loss.is_finite() || (mean > EXPLODED * best && self.step > self.config.schedule.warmup) {
                return Err(self.diverged(loss, factor, good));
            }
            let (net_lr, step) = (self.config.net_lr * factor, self.step);
            let figure = task.figure(elapsed);
            let go_on = observer.progress(&Progress { step, share, loss: mean, net_lr, elapsed, figure });
            let due = observer.checkpoint_every().is_some_and(|every| saved.elapsed() >= every);
            if due || self.step % SNAPSHOT == 1 {
                let state = whole(&self, task, spent(observer));
                if !state.finite() {
                    return Err(self.diverged(loss, factor, good));
                }
                if due {
                    observer.checkpoint(&state).map_err(TrainError::Observer)?;
                    saved = Instant::now();
                }
                good = state;
            }
            if !go_on {
                break;
            }
        }
        let state = whole(&self, task, spent(observer));
        if state.finite() { Ok(state) } else { Err(self.diverged(f64::NAN, 1.0, good)) }
    }

    fn diverged(&self, loss: f64, factor: f64, good: TrainState) -> TrainError {
        let (net_lr, grid_lr) = (self.config.net_lr * factor, self.config.grid_lr * factor);
        TrainError::Diverged { step: self.step, loss, net_lr, grid_lr, good: good.step, state: Box::new(good) }
    }
}
