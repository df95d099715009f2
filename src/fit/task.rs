//! What a fit learns from: the loss of each step, and what a task keeps between steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use rand_pcg::Pcg64;

use super::feed::{Batch, Feed};
use super::signal::normal;
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
        self.regularised(loss, if batch.unwatched.is_empty() { &batch.x } else { &batch.unwatched })
    }

    /// `loss` plus the regularisers of the method (DESIGN §2) at a share of the points `x` (`[point][dim]`):
    /// `λ_pde E‖∇S − F(x, S)‖² + λ_smooth E‖∇S‖² + λ_segment E‖S(x + δ) − S(x) − F(x, S)·δ‖²/|δ|² + λ_eikonal E(‖∇f‖ − 1)²`.
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
        loss + self.regularisers(&x)
    }

    fn regularisers(&self, x: &[f32]) -> Tensor<Autodiff<B>, 1> {
        let c = self.config;
        let columns = self.op.spec().full_columns();
        let full = self.full(x);
        let part = |from: usize, to: usize| columns_of(&full, from, to);
        let slope = part(columns.spectrum_gradient, columns.transport);
        let flow = part(columns.transport, columns.len);
        let fade = (1.0 - self.share).max(0.0).powf(c.anneal);
        let mut sum = Tensor::zeros([1], &self.grid.device());
        if c.lambda_pde > 0.0 {
            sum = sum + mean_square(slope.clone() - flow.clone()) * (c.lambda_pde * fade);
        }
        if c.lambda_smooth > 0.0 {
            sum = sum + mean_square(slope) * (c.lambda_smooth * fade);
        }
        if c.lambda_segment > 0.0 {
            sum = sum
                + self.segments(x, part(columns.spectrum, columns.spectrum_gradient), flow) * (c.lambda_segment * fade);
        }
        if c.lambda_eikonal > 0.0 {
            let g = part(columns.gradient, columns.spectrum);
            let norm = ((g.clone() * g).sum_dim(1) + 1e-12).sqrt() - 1.0;
            sum = sum + (norm.clone() * norm).mean() * c.lambda_eikonal;
        }
        sum
    }

    fn full(&self, x: &[f32]) -> Tensor<Autodiff<B>, 2> {
        backend::forward_full(self.op, self.grid.clone(), self.net.clone(), self.tensor(x, self.op.spec().dim))
    }

    /// `E‖S(x + δ) − S(x) − F·δ‖²/|δ|²` over random δ, the same for the same step; segments end at the cube's faces.
    fn segments(
        &self,
        x: &[f32],
        spectrum: Tensor<Autodiff<B>, 2>,
        flow: Tensor<Autodiff<B>, 2>,
    ) -> Tensor<Autodiff<B>, 1> {
        let (dim, points) = (self.op.spec().dim, spectrum.dims()[0]);
        let sigma = self.config.segment;
        let end = segment_ends(x, sigma, self.step);
        let delta: Vec<f32> = end.iter().zip(x).map(|(e, x)| e - x).collect();
        // One over |δ|; a segment of no length says nothing.
        let scale = |d: &[f32]| d.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-3 * sigma as f32 + 1e-9).recip();
        let scale: Vec<f32> = delta.chunks_exact(dim).map(scale).collect();
        let columns = self.op.spec().full_columns();
        let there = columns_of(&self.full(&end), columns.spectrum, columns.spectrum_gradient);
        let width = spectrum.dims()[1];
        let along = self.tensor(&delta, dim).reshape([points, 1, dim]);
        let carried = (flow.reshape([points, width, dim]) * along).sum_dim(2).reshape([points, width]);
        mean_square((there - spectrum - carried) * self.tensor(&scale, 1))
    }
}

/// Ends of the segments from `x` at a step.
pub(super) fn segment_ends(x: &[f32], sigma: f64, step: u64) -> Vec<f32> {
    let mut rng = Pcg64::new(0x5e6_3e47, u128::from(step));
    x.iter().map(|v| (f64::from(*v) + sigma * normal(&mut rng)).clamp(0.0, 1.0) as f32).collect()
}

fn columns_of<B: AutodiffBackend>(full: &Tensor<B, 2>, from: usize, to: usize) -> Tensor<B, 2> {
    full.clone().slice([0..full.dims()[0], from..to])
}

/// Mean over rows of the squared norm.
fn mean_square<B: AutodiffBackend>(t: Tensor<B, 2>) -> Tensor<B, 1> {
    (t.clone() * t).sum_dim(1).mean()
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
