//! What a fit learns from: the loss of each step, and what a task keeps between steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};

use super::feed::{Batch, Feed};
use super::trainer::{TrainConfig, TrainError};
use crate::field::backend::{self, FieldBackend, FieldOp};

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
    fn tensor(&self, values: &[f32], columns: usize) -> Tensor<Autodiff<B>, 2> {
        let data = TensorData::new(values.to_vec(), [values.len() / columns.max(1), columns]);
        Tensor::from_data(data, &self.grid.device())
    }

    /// The pointwise loss of a batch and the regularisers at its points.
    fn points(&self, batch: &Batch) -> Tensor<Autodiff<B>, 1> {
        let spec = self.op.spec();
        let data =
            [self.tensor(&batch.x, spec.dim), self.tensor(&batch.target, spec.outputs), self.tensor(&batch.weight, 1)];
        let loss = backend::loss(self.op, self.grid.clone(), self.net.clone(), data, self.config.loss);
        self.regularised(loss, &batch.x)
    }

    /// `loss` plus the regularisers of the method (DESIGN §2) at a share of the points `x` (`[point][dim]`):
    /// `λ_pde E‖∇S − F(x, S)‖² + λ_smooth E‖∇S‖² + λ_eikonal E(‖∇f‖ − 1)²`.
    pub fn regularised(&self, loss: Tensor<Autodiff<B>, 1>, x: &[f32]) -> Tensor<Autodiff<B>, 1> {
        let dim = self.op.spec().dim;
        let n = x.len() / dim;
        if !self.config.regularises() || n == 0 {
            return loss;
        }
        let few = ((n as f64 * self.config.regularised).ceil() as usize).clamp(1, n);
        // Spread over the batch, whose points are sorted in space; the offset moves from step to step.
        let stride = n / few;
        let offset = self.step as usize % stride;
        let picks = (0..few).map(|i| (i * stride + offset) * dim);
        let x: Vec<f32> = picks.flat_map(|i| &x[i..i + dim]).copied().collect();
        loss + self.regularisers(self.tensor(&x, dim))
    }

    fn regularisers(&self, x: Tensor<Autodiff<B>, 2>) -> Tensor<Autodiff<B>, 1> {
        let c = self.config;
        let columns = self.op.spec().full_columns();
        let points = x.dims()[0];
        let full = backend::forward_full(self.op, self.grid.clone(), self.net.clone(), x);
        let part = |from: usize, to: usize| full.clone().slice([0..points, from..to]);
        let slope = part(columns.spectrum_gradient, columns.transport);
        let square = |t: Tensor<Autodiff<B>, 2>| (t.clone() * t).sum_dim(1).mean();
        let mut sum = Tensor::zeros([1], &self.grid.device());
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
