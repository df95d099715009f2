//! The training loop on a device chosen at run time.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn_flex::Flex;

use crate::feed::{BatchSource, Feed};
use crate::radiance::RadianceTask;
use crate::schedule::Budget;
use crate::signal::{SignalSource, SignalTask};
use crate::task::Task;
use crate::trainer::{Observer, TrainConfig, TrainError, TrainState, Trainer};
use nstr_backend::backend::{FieldBackend, FieldOp};
use nstr_backend::device::Device;

/// What a run learns.
pub enum Work {
    /// Values at points.
    Points(Arc<dyn BatchSource>),
    /// Colours of rays.
    Rays(Box<RadianceTask>),
    /// A picture or a sound.
    Signal(Arc<SignalSource>),
}

impl<S: BatchSource> From<Arc<S>> for Work {
    fn from(source: Arc<S>) -> Self {
        Self::Points(source)
    }
}

/// Trains from `state` on `device` until the budget is spent (steps and time of `state` count) or the observer stops;
/// returns the final state.
///
/// The processor's runs are the same bit for bit when repeated or resumed; a GPU's agree to rounding.
///
/// # Errors
/// [`TrainError::Device`] before anything else if the device is not there; else those of [`Trainer::run`].
pub fn run_on(
    device: Device,
    op: Arc<FieldOp>,
    config: TrainConfig,
    state: &TrainState,
    work: impl Into<Work>,
    budget: Budget,
    observer: &mut dyn Observer,
) -> Result<TrainState, TrainError> {
    device.check()?;
    let job = Job { op, config, state, work: work.into(), budget, observer };
    match device {
        Device::Cpu => job.on::<Flex>(),
        #[cfg(feature = "cuda")]
        Device::Cuda => job.on::<burn_cuda::Cuda>(),
        #[cfg(feature = "wgpu")]
        Device::Wgpu => job.on::<burn_wgpu::Vulkan>(),
        #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
        absent => Err(nstr_backend::device::DeviceError::not_built(absent).into()),
    }
}

struct Job<'a> {
    op: Arc<FieldOp>,
    config: TrainConfig,
    state: &'a TrainState,
    work: Work,
    budget: Budget,
    observer: &'a mut dyn Observer,
}

impl Job<'_> {
    fn on<B>(self) -> Result<TrainState, TrainError>
    where
        B: FieldBackend,
        Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
    {
        let mut task: Box<dyn Task<B>> = match self.work {
            Work::Points(source) => Box::new(Feed::start(source, self.config.feed, self.state.step)),
            Work::Rays(task) => task,
            Work::Signal(source) => Box::new(SignalTask::start(&self.op, source, self.config.feed, self.state.step)),
        };
        let trainer = Trainer::<B>::new(self.op, self.config, self.state, Default::default());
        trainer.run(task.as_mut(), self.budget, self.state.elapsed, self.observer)
    }
}
