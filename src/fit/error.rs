//! Errors that end a training run.

use nstr_backend::device::DeviceError;
use thiserror::Error;

use crate::state::TrainState;

/// Failure of an observer, which ends the run.
pub type ObserverError = Box<dyn std::error::Error + Send + Sync>;

/// Failure of a training run.
#[derive(Debug, Error)]
#[non_exhaustive]
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
    /// The device has no kernels for what camera refinement, exposure and the robust loss need.
    #[error(
        "camera refinement, exposure and the robust loss need --device cpu: no other device gives gradients and colours of \
         rays"
    )]
    RayOutputs,
    /// The chosen device is not there.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The observer's error.
    #[error("{0}")]
    Observer(#[source] ObserverError),
}
