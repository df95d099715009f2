//! The one training loop, on any backend and for every [`Task`]: losses in, parameters out, by Adam.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Device, Tensor, TensorData};
use nstr_backend::backend::{FieldBackend, FieldOp};
use nstr_backend::read_back;
use nstr_kernel::adam::AdamHyper;

use crate::error::TrainError;
use crate::observer::{Observer, Progress};
use crate::parameters::Parameters;
use crate::rounding::{Measured, RoundingState, SizeControl};
use crate::schedule::Budget;
use crate::state::TrainState;
use crate::task::{READBACK_INTERVAL, StepContext, Task};
use crate::train_config::TrainConfig;

/// Steps between snapshots of a good state.
const SNAPSHOT_INTERVAL: u64 = 512;
/// Steps after which the moving average is no longer updated by each: an update reads and writes half as much memory as an Adam
/// step, and of an average over twenty steps each fourth tells enough.
const SEASONED: u64 = 64;
/// Steps between updates from then on.
const AVERAGED: u64 = 4;
/// A smoothed loss this many times the best one is divergence.
const DIVERGENCE_RATIO: f64 = 100.0;

/// A field in training on backend `B`.
pub struct Trainer<B: FieldBackend> {
    op: Arc<FieldOp>,
    config: TrainConfig,
    /// Absent only while a step is under way.
    grid: Option<Parameters<B>>,
    net: Option<Parameters<B>>,
    /// Ranges of `net` that are not trained, and their values.
    frozen: Vec<(Range<usize>, Tensor<B, 1>)>,
    step: u64,
    /// Fraction of the budget spent.
    progress: f64,
    /// Steps that parameters are rounded to, and what sets them, where the fit is one for a size.
    rounding: Option<RoundingState>,
    size: Option<SizeControl>,
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
        let untrained = parts.into_iter().filter(|(trained, range)| !trained && !range.is_empty());
        let frozen = untrained
            .map(|(_, range)| {
                let values = TensorData::new(state.net[range.clone()].to_vec(), [range.len()]);
                (range, Tensor::from_data(values, &device))
            })
            .collect();
        // A new average begins at the parameters as they are.
        let ema = |i: usize, value: &'_ [f32]| -> Option<Vec<f32>> {
            (config.ema_decay > 0.0).then(|| state.ema.as_ref().map_or(value.to_vec(), |a| a[i].clone()))
        };
        let (grid_ema, net_ema) = (ema(0, &state.grid), ema(1, &state.net));
        let mut grid = Parameters::new(&state.grid, &state.grid_moments, grid_ema.as_deref(), &device);
        let mut net = Parameters::new(&state.net, &state.net_moments, net_ema.as_deref(), &device);
        // Without a size a fit goes on unrounded.
        let rounding = state.rounding.clone().filter(|_| config.size.is_some());
        if let Some(rounding) = &rounding {
            grid.set_lattice(rounding.grid_lattice(op.spec()));
            net.set_lattice(rounding.net_lattice(op.spec()));
        }
        Self {
            grid: Some(grid),
            net: Some(net),
            size: config.size.map(|target| SizeControl::new(&config.rounding, target)),
            rounding,
            op,
            config,
            frozen,
            step: state.step,
            progress: 0.0,
        }
    }

    /// The state after the last step, without the task's.
    ///
    /// # Errors
    /// [`TrainError::Device`] where the device fails.
    pub fn state(&self, elapsed: Duration) -> Result<TrainState, TrainError> {
        let rounding = self.rounding.clone();
        let mut state = TrainState { step: self.step, elapsed, rounding, ..TrainState::default() };
        // Absent only where a step failed, after which nobody asks.
        let (Some(grid), Some(net)) = (&self.grid, &self.net) else { return Ok(state) };
        (state.grid, state.grid_moments) = grid.read()?;
        (state.net, state.net_moments) = net.read()?;
        state.ema = grid.read_ema()?.zip(net.read_ema()?).map(|(grid, net)| [grid, net]);
        Ok(state)
    }

    /// The state after the last step with the task's, which may first have to hear from its device.
    fn full_state(&self, task: &mut dyn Task<B>, elapsed: Duration) -> Result<TrainState, TrainError> {
        task.catch_up()?;
        Ok(TrainState { task: task.state(), ..self.state(elapsed)? })
    }

    /// One step on `task` with the learning rates times `lr_scale`; if `read_loss` the loss, or the task's mean of recent ones.
    ///
    /// # Errors
    /// The task's, and [`TrainError::Device`] where the device fails.
    pub fn step(&mut self, task: &mut dyn Task<B>, lr_scale: f64, read_loss: bool) -> Result<Option<f64>, TrainError> {
        let (Some(grid), Some(net)) = (self.grid.take(), self.net.take()) else { return Ok(None) };
        let leaf = |p: &Parameters<B>| Tensor::<Autodiff<B>, 1>::from_inner(p.evaluated().clone()).require_grad();
        let (grid_leaf, net_leaf) = (leaf(&grid), leaf(&net));
        let context = StepContext {
            op: &self.op,
            config: &self.config,
            step: self.step,
            progress: self.progress,
            grid: &grid_leaf,
            net: &net_leaf,
        };
        let loss = task.loss(&context)?;
        let own = || -> Result<f64, TrainError> {
            let read = read_back::tensor(&loss.clone().inner())?;
            Ok(read.first().map_or(f64::NAN, |loss| f64::from(*loss)))
        };
        let value = if read_loss { Some(task.recent_loss().map_or_else(own, Ok)?) } else { None };
        let mut grads = loss.backward();
        let d_grid = grid_leaf.grad_remove(&mut grads);
        let d_net = net_leaf.grad_remove(&mut grads);
        // The leaves share the parameters' storage: with them gone the optimiser updates in place.
        drop((grads, grid_leaf, net_leaf));
        let c = &self.config;
        let hyper = |lr: f64, decay: f64| {
            let [lr, beta1, beta2, eps, decay] = [lr * lr_scale, c.beta1, c.beta2, c.eps, decay].map(|v| v as f32);
            AdamHyper::at(lr, beta1, beta2, eps, decay, self.step + 1)
        };
        let mut grid = match d_grid {
            Some(d) => grid.update(d, &hyper(c.grid_lr, c.grid_weight_decay)),
            None => grid,
        }
        .round(&hyper(c.grid_lr, 0.0));
        let mut net = match d_net {
            Some(d) => net.update(d, &hyper(c.net_lr, c.weight_decay)),
            None => net,
        };
        // Written back rather than left without a gradient: the decay of the weights would still move it.
        for (range, values) in &self.frozen {
            net.value = net.value.clone().slice_assign([range.clone()], values.clone());
        }
        let mut net = net.round(&hyper(c.net_lr, 0.0));
        self.step += 1;
        let between = if self.step < SEASONED { 1 } else { AVERAGED };
        if self.step.is_multiple_of(between) {
            // A young average must not keep the initial parameters for long.
            let decay = c.ema_decay.min(self.step as f64 / (self.step + 9) as f64).powi(between as i32);
            grid.update_ema(decay);
            net.update_ema(decay);
        }
        let done = task.after_step(self.step, grid.evaluated(), net.evaluated());
        (self.grid, self.net) = (Some(grid), Some(net));
        done.map(|()| value)
    }

    /// Trains on `task` until the budget is spent or the observer stops; `before` is the training time of earlier runs.
    ///
    /// # Errors
    /// Divergence, the task's and the observer's errors, and [`TrainError::Device`] where the device fails.
    pub fn run(
        mut self,
        task: &mut dyn Task<B>,
        budget: Budget,
        before: Duration,
        observer: &mut dyn Observer,
    ) -> Result<TrainState, TrainError> {
        let start = Instant::now();
        let spent = |observer: &dyn Observer| before + start.elapsed().saturating_sub(observer.idle());
        let mut good = self.full_state(task, before)?;
        let (mut smooth, mut best) = (None, f64::INFINITY);
        let mut saved = Instant::now();
        loop {
            let elapsed = spent(observer);
            let fraction = budget.progress(self.step, elapsed);
            if fraction >= 1.0 {
                break;
            }
            self.progress = fraction;
            let lr_scale = self.config.schedule.lr_scale(self.step, fraction);
            // Reading the loss back stalls a GPU, so most steps do without.
            let sets_steps = self.sets_steps();
            let read_loss = sets_steps || self.step.is_multiple_of(READBACK_INTERVAL);
            let Some(loss) = self.step(task, lr_scale, read_loss)? else { continue };
            if sets_steps {
                self.set_steps(task, loss)?;
            }
            let mean = smooth.map_or(loss, |s: f64| 0.8 * s + 0.2 * loss);
            smooth = Some(mean);
            best = best.min(mean);
            if !loss.is_finite() || (mean > DIVERGENCE_RATIO * best && self.step > self.config.schedule.warmup) {
                return Err(self.diverged(loss, lr_scale, good));
            }
            let go_on = observer.progress(&Progress {
                step: self.step,
                fraction,
                loss: mean,
                net_lr: self.config.net_lr * lr_scale,
                elapsed,
                validation_metric: task.validation_metric(elapsed),
            });
            let due = observer.checkpoint_every().is_some_and(|every| saved.elapsed() >= every);
            if due || self.step % SNAPSHOT_INTERVAL == 1 {
                let state = self.full_state(task, spent(observer))?;
                if !state.is_finite() {
                    return Err(self.diverged(loss, lr_scale, good));
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
        let state = self.full_state(task, spent(observer))?;
        if state.is_finite() { Ok(state) } else { Err(self.diverged(f64::NAN, 1.0, good)) }
    }

    /// `true` if the steps of rounding are to be set after the next step.
    fn sets_steps(&self) -> bool {
        let updates = self.rounding.as_ref().map_or(0, |rounding| rounding.updates);
        self.size.as_ref().is_some_and(|size| size.is_due(self.progress, updates))
    }

    /// Sets the steps that parameters are rounded to.
    fn set_steps(&mut self, task: &mut dyn Task<B>, loss: f64) -> Result<(), TrainError> {
        let (Some(size), Some(grid), Some(net)) = (&self.size, &mut self.grid, &mut self.net) else { return Ok(()) };
        task.catch_up()?;
        let spec = self.op.spec();
        let (grid_values, [_, grid_squares]) = grid.read()?;
        let (net_values, [_, net_squares]) = net.read()?;
        let measured = Measured {
            grid: grid_values,
            net: net_values,
            squares: [grid_squares, net_squares],
            occupancy: task.occupied().cloned(),
            outputs: task.outputs().unwrap_or(self.config.batch * spec.outputs) as f64,
            loss,
        };
        // Of values that are not finite the loss tells.
        if let Some(rounding) = size.update(spec, self.progress, self.rounding.as_ref(), measured) {
            grid.set_lattice(rounding.grid_lattice(spec));
            net.set_lattice(rounding.net_lattice(spec));
            self.rounding = Some(rounding);
        }
        Ok(())
    }

    fn diverged(&self, loss: f64, lr_scale: f64, good: TrainState) -> TrainError {
        let (net_lr, grid_lr) = (self.config.net_lr * lr_scale, self.config.grid_lr * lr_scale);
        TrainError::Diverged { step: self.step, loss, net_lr, grid_lr, good: good.step, state: Box::new(good) }
    }
}
