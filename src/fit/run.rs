//! The training loop on a device chosen at run time.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn_flex::Flex;

use super::feed::BatchSource;
use super::schedule::Budget;
use super::trainer::{Observer, TrainConfig, TrainError, TrainState, Trainer};
use crate::field::backend::{FieldBackend, FieldOp};
use crate::field::device::{Device, DeviceError};

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
    source: Arc<dyn BatchSource>,
    budget: Budget,
    observer: &mut dyn Observer,
) -> Result<TrainState, TrainError> {
    device.check()?;
    let job = Job { op, config, state, source, budget, observer };
    match device {
        Device::Cpu => job.on::<Flex>(),
        #[cfg(feature = "cuda")]
        Device::Cuda => job.on::<burn_cuda::Cuda>(),
        #[cfg(feature = "wgpu")]
        Device::Wgpu => job.on::<burn_wgpu::Vulkan>(),
        #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
        absent => Err(DeviceError::not_built(absent).into()),
    }
}

struct Job<'a> {
    op: Arc<FieldOp>,
    config: TrainConfig,
    state: &'a TrainState,
    source: Arc<dyn BatchSource>,
    budget: Budget,
    observer: &'a mut dyn Observer,
}

impl Job<'_> {
    fn on<B>(self) -> Result<TrainState, TrainError>
    where
        B: FieldBackend,
        Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
    {
        let trainer = Trainer::<B>::new(self.op, self.config, self.state, Default::default());
        trainer.run(self.source, self.budget, self.state.elapsed, self.observer)
    }
}
