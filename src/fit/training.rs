//! Training on a device chosen at run time.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn_flex::Flex;
use nstr_backend::backend::{FieldBackend, FieldOp};
use nstr_backend::device::Device;
use nstr_backend::read_back;

use crate::batch_loader::{BatchLoader, BatchSource};
use crate::error::TrainError;
use crate::observer::Observer;
use crate::radiance::{DeviceRadianceTask, RadianceTask};
use crate::run_report::RunReport;
use crate::schedule::Budget;
use crate::signal::{SignalSampler, SignalTask};
use crate::state::TrainState;
use crate::task::Task;
use crate::train_config::TrainConfig;
use crate::trainer::Trainer;

/// Data that a run learns.
#[non_exhaustive]
pub enum TrainingData {
    /// Values at points.
    Points(Arc<dyn BatchSource>),
    /// Colours of rays.
    Rays(Box<RadianceTask>),
    /// A picture or a sound.
    Signal(Arc<SignalSampler>),
}

impl<S: BatchSource> From<Arc<S>> for TrainingData {
    fn from(source: Arc<S>) -> Self {
        Self::Points(source)
    }
}

/// Trains from `state` on `device` until the budget is spent (steps and time of `state` count) or the observer stops;
/// returns the final state.
///
/// Runs on the CPU are the same bit for bit when repeated or resumed; a GPU's agree to rounding.
///
/// # Errors
/// [`TrainError::Device`] before anything else if the device is not there; else those of [`Trainer::run`].
pub fn train(
    device: Device,
    op: Arc<FieldOp>,
    config: TrainConfig,
    state: &TrainState,
    data: impl Into<TrainingData>,
    budget: Budget,
    observer: &mut dyn Observer,
) -> Result<TrainState, TrainError> {
    device.check()?;
    let run = Run { device, op, config, state, data: data.into(), budget, observer };
    match device {
        Device::Cpu => run.on::<Flex>(),
        #[cfg(feature = "cuda")]
        Device::Cuda => run.on::<burn_cuda::Cuda>(),
        #[cfg(feature = "wgpu")]
        Device::Wgpu => run.on::<burn_wgpu::Wgpu>(),
        #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
        absent => Err(nstr_backend::device::DeviceError::not_built(absent).into()),
    }
}

/// The arguments of [`train`], whose device becomes a type.
struct Run<'a> {
    device: Device,
    op: Arc<FieldOp>,
    config: TrainConfig,
    state: &'a TrainState,
    data: TrainingData,
    budget: Budget,
    observer: &'a mut dyn Observer,
}

impl Run<'_> {
    fn on<B>(self) -> Result<TrainState, TrainError>
    where
        B: FieldBackend,
        Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
    {
        let (loader, step) = (self.config.loader, self.state.step);
        let mut task: Box<dyn Task<B>> = match self.data {
            TrainingData::Points(source) => Box::new(BatchLoader::start(source, loader, step)),
            TrainingData::Rays(task) if self.device == Device::Cpu => task,
            TrainingData::Rays(task) => Box::new(DeviceRadianceTask::new(*task)),
            TrainingData::Signal(sampler) => Box::new(SignalTask::start(&self.op, sampler, loader, step)),
        };
        let reads = read_back::count();
        let trainer = Trainer::<B>::new(self.op.clone(), self.config, self.state, Default::default());
        let end = trainer.run(task.as_mut(), self.budget, self.state.elapsed, self.observer)?;
        let number = |name: &str| end.task.numbers.get(name).map(|n| *n as u64);
        let fallbacks = self.op.fallbacks().into_iter().map(|(part, how)| (part.to_string(), how));
        self.observer.report(&RunReport {
            device: self.device,
            steps: end.step - step,
            seconds: end.elapsed.saturating_sub(self.state.elapsed).as_secs_f64(),
            samples: number("evaluated"),
            rays_left_out: number("left_out").unwrap_or(0),
            fallbacks: fallbacks.collect(),
            read_backs: read_back::count() - reads,
        });
        Ok(end)
    }
}
