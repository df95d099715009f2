//! Tasks: the loss of each step of a training run.

use std::sync::Arc;
use std::time::Duration;

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use nstr_backend::backend;
use nstr_backend::backend::{FieldBackend, FieldOp};
use nstr_kernel::BatchLoss;
use nstr_space::Occupancy;

use crate::batch_loader::{Batch, BatchLoader};
use crate::error::TrainError;
use crate::state::TaskState;
use crate::train_config::TrainConfig;

/// Steps between readbacks from the device, which stall a GPU.
pub(crate) const READBACK_INTERVAL: u64 = 16;

/// A field in training at one step.
pub struct StepContext<'a, B: FieldBackend>
where
    Autodiff<B>: AutodiffBackend<InnerBackend = B>,
{
    /// The field.
    pub op: &'a Arc<FieldOp>,
    /// Settings of the run.
    pub config: &'a TrainConfig,
    /// Steps done before this one.
    pub step: u64,
    /// Fraction of the budget spent, 0 to 1.
    pub progress: f64,
    /// Latent grid, tracked for gradients.
    pub grid: &'a Tensor<Autodiff<B>, 1>,
    /// Basis and networks, tracked for gradients.
    pub net: &'a Tensor<Autodiff<B>, 1>,
}

/// A task on backend `B`.
pub trait Task<B: FieldBackend>
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    /// The loss `[1]` of a step, differentiable in the parameters.
    ///
    /// # Errors
    /// Whatever ends the run, for example [`TrainError::Sampler`].
    fn loss(&mut self, context: &StepContext<'_, B>) -> Result<Tensor<Autodiff<B>, 1>, TrainError>;

    /// Called after each of the optimiser's steps, of which `step` are done, with the new parameters.
    ///
    /// # Errors
    /// [`TrainError::Device`] where a device fails.
    fn after_step(&mut self, _step: u64, _grid: &Tensor<B, 1>, _net: &Tensor<B, 1>) -> Result<(), TrainError> {
        Ok(())
    }

    /// Mean loss of recent steps where the task keeps one, in place of the last step's own, which must be read from the
    /// device.
    fn recent_loss(&self) -> Option<f64> {
        None
    }

    /// Takes in what a device still has to tell of the steps so far; called before the state is asked for.
    ///
    /// # Errors
    /// [`TrainError::Device`] where a device fails.
    fn catch_up(&mut self) -> Result<(), TrainError> {
        Ok(())
    }

    /// The cells that may hold matter, of a radiance field.
    fn occupied(&self) -> Option<&Occupancy> {
        None
    }

    /// Outputs that a step's loss is the mean of, where they are not those of the points of a batch.
    fn outputs(&self) -> Option<usize> {
        None
    }

    /// Name and value of the task's own metric for the progress line.
    fn validation_metric(&mut self, _elapsed: Duration) -> Option<(&'static str, f64)> {
        None
    }

    /// State that the task needs to go on exactly where it stopped.
    fn state(&self) -> TaskState {
        TaskState::default()
    }
}

impl<B: FieldBackend> StepContext<'_, B>
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    pub(crate) fn tensor(&self, values: &[f32], columns: usize) -> Tensor<Autodiff<B>, 2> {
        let data = TensorData::new(values.to_vec(), [values.len() / columns.max(1), columns]);
        Tensor::from_data(data, &self.grid.device())
    }

    /// The pointwise loss of a batch and the regularisers at its points.
    fn batch_loss(&self, batch: &Batch) -> Tensor<Autodiff<B>, 1> {
        let spec = self.op.spec();
        let data =
            [self.tensor(&batch.x, spec.dim), self.tensor(&batch.target, spec.outputs), self.tensor(&batch.weight, 1)];
        let slope = if batch.is_paired { self.config.lambda_slope as f32 } else { 0.0 };
        let loss = BatchLoss { point: self.config.loss, slope };
        let loss = backend::loss(self.op, self.grid.clone(), self.net.clone(), data, loss);
        let points = if batch.regularizer_points.is_empty() { &batch.x } else { &batch.regularizer_points };
        self.with_regularizers(loss, points)
    }
}

/// Learns the values of a loader's points.
impl<B: FieldBackend> Task<B> for BatchLoader
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    fn loss(&mut self, context: &StepContext<'_, B>) -> Result<Tensor<Autodiff<B>, 1>, TrainError> {
        let batch = self.batch(context.step).ok_or(TrainError::Sampler(context.step))?;
        Ok(context.batch_loss(&batch))
    }
}

/// Learns one batch, again and again.
impl<B: FieldBackend> Task<B> for &Batch
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    fn loss(&mut self, context: &StepContext<'_, B>) -> Result<Tensor<Autodiff<B>, 1>, TrainError> {
        Ok(context.batch_loss(self))
    }
}
