//! Fit of a picture or a sound, with its PSNR (sounds: SNR) on some training samples along the way.

use std::sync::Arc;
use std::time::Duration;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use nstr_backend::backend::{FieldBackend, FieldOp};
use nstr_backend::read_back;
use nstr_kernel::FusedField;

use crate::batch_loader::{Batch, BatchLoader, LoaderConfig};
use crate::error::TrainError;
use crate::signal::sampler::SignalSampler;
use crate::task::{READBACK_INTERVAL, StepContext, Task};

/// Samples that the metric of the progress line is taken on.
const METRIC_SAMPLES: usize = 1 << 13;
/// Time between its measurements.
const METRIC_INTERVAL: Duration = Duration::from_millis(500);

/// A signal learned from its samples.
pub struct SignalTask {
    loader: BatchLoader,
    fused: FusedField,
    /// Samples that the metric is taken on.
    samples: Batch,
    /// Power of the signal that the error is compared with: 1 for pictures, else the mean square of the samples.
    power: f64,
    name: &'static str,
    /// Parameters to measure next.
    pending: Option<(Vec<f32>, Vec<f32>)>,
    metric: Option<f64>,
    /// Training time at the last measurement.
    last: Duration,
}

impl SignalTask {
    /// Learns the samples of `sampler` from step `step` on.
    pub fn start(op: &FieldOp, sampler: Arc<SignalSampler>, config: LoaderConfig, step: u64) -> Self {
        let samples = sampler.draw(u64::MAX, METRIC_SAMPLES);
        let square = samples.target.iter().map(|v| f64::from(v * v)).sum::<f64>() / samples.target.len().max(1) as f64;
        let picture = sampler.is_picture();
        Self {
            loader: BatchLoader::start(sampler, config, step),
            fused: FusedField::new(op.spec()),
            samples,
            power: if picture { 1.0 } else { square },
            name: if picture { "PSNR" } else { "SNR" },
            pending: None,
            metric: None,
            last: Duration::ZERO,
        }
    }

    fn measure(&self, grid: &[f32], net: &[f32]) -> f64 {
        let mut out = vec![0.0; self.samples.target.len()];
        self.fused.forward(grid, net, &self.samples.x, &mut out);
        let square = |(a, b): (&f32, &f32)| f64::from((a - b) * (a - b));
        let mse = out.iter().zip(&self.samples.target).map(square).sum::<f64>() / out.len().max(1) as f64;
        10.0 * (self.power / mse.max(1e-20)).log10()
    }
}

impl<B: FieldBackend> Task<B> for SignalTask
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    fn loss(&mut self, context: &StepContext<'_, B>) -> Result<Tensor<Autodiff<B>, 1>, TrainError> {
        Task::<B>::loss(&mut self.loader, context)
    }

    fn after_step(&mut self, step: u64, grid: &Tensor<B, 1>, net: &Tensor<B, 1>) -> Result<(), TrainError> {
        if step.is_multiple_of(READBACK_INTERVAL) {
            self.pending = Some((read_back::tensor(grid)?, read_back::tensor(net)?));
        }
        Ok(())
    }

    fn validation_metric(&mut self, elapsed: Duration) -> Option<(&'static str, f64)> {
        if (self.metric.is_none() || elapsed >= self.last + METRIC_INTERVAL)
            && let Some((grid, net)) = self.pending.take()
        {
            self.metric = Some(self.measure(&grid, &net));
            self.last = elapsed;
        }
        self.metric.map(|value| (self.name, value))
    }
}
