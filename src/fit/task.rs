//! What a fit learns from: the loss of each step, and what a task keeps between steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};

use crate::feed::{Batch, Feed};
use crate::trainer::{TrainConfig, TrainError};
use nstr_backend::backend;
use nstr_backend::backend::{FieldBackend, FieldOp};

/// What a task keeps in a checkpoint, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskState {
    /// Single numbers.
    pub numbers: BTreeMap<String, f64>,
    /// Arrays.
    pub arrays: BTreeMap<String, Vec<f32>>,
}

/// A field in training at one step.
pub struct Place<'a, B: FieldBackend>
where
    Autodiff<B>: AutodiffBackend<InnerBackend = B>,
{
    /// The field.
    pub op: &'a Arc<FieldOp>,
    /// Settings of the run.
    pub config: &'a TrainConfig,
    /// Steps done before this one.
    pub step: u64,
    /// Share of the budget spent, 0 to 1.
    pub share: f64,
    /// The parameters, tracked.
    pub grid: &'a Tensor<Autodiff<B>, 1>,
    /// Likewise.
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
    fn loss(&mut self, place: &Place<'_, B>) -> Result<Tensor<Autodiff<B>, 1>, TrainError>;
    /// Called after each of the optimiser's steps, of which `step` are done, with the new parameters.
    fn stepped(&mut self, _step: u64, _grid: &Tensor<B, 1>, _net: &Tensor<B, 1>) {}
    /// A figure of the task's own for the progress line, and its name.
    fn figure(&mut self, _elapsed: Duration) -> Option<(&'static str, f64)> {
        None
    }
    /// What it needs to go on exactly where it stopped.
    fn state(&self) -> TaskState {
        TaskState::default()
    }
}

impl<B: FieldBackend> Place<'_, B>
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    pub(super) fn tensor(&self, values: &[f32], columns: usize) -> Tensor<Autodiff<B>, 2> {
        let data = TensorData::new(values.to_vec(), [values.len() / columns.max(1), columns]);
        Tensor::from_data(data, &self.grid.device())
    }

    /// The pointwise loss of a batch and the regularisers at its points.
    fn points(&self, batch: &Batch) -> Tensor<Autodiff<B>, 1> {
        let spec = self.op.spec();
        let data =
            [self.tensor(&batch.x, spec.dim), self.tensor(&batch.target, spec.outputs), self.tensor(&batch.weight, 1)];
        let loss = backend::loss(self.op, self.grid.clone(), self.net.clone(), data, self.config.loss);
        self.regularised(loss, if batch.unwatched.is_empty() { &batch.x } else { &batch.unwatched })
    }
}

/// Learns the values of a feed's points.
impl<B: FieldBackend> Task<B> for Feed
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    fn loss(&mut self, place: &Place<'_, B>) -> Result<Tensor<Autodiff<B>, 1>, TrainError> {
        let batch = self.batch(place.step).ok_or(TrainError::Sampler(place.step))?;
        Ok(place.points(&batch))
    }
}

/// Learns one batch, again and again.
impl<B: FieldBackend> Task<B> for &Batch
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    fn loss(&mut self, place: &Place<'_, B>) -> Result<Tensor<Autodiff<B>, 1>, TrainError> {
        Ok(place.points(self))
    }
}
