//! Regularisers as terms of the loss: transport, smoothness, eikonal. They hold everywhere, with data or without.

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use nstr_backend::backend;
use nstr_backend::backend::FieldBackend;
use nstr_kernel::{PointRegularizer, TransportSteps};
use rand_pcg::Pcg64;

use crate::gaussian::normal;
use crate::task::StepContext;

/// Steps of the midpoint rule in which F carries S from an anchor.
pub(crate) const ANCHOR_STEPS: usize = 4;

impl<B: FieldBackend> StepContext<'_, B>
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    /// `loss` plus the regularisers at a fraction of the points `x` (`[point][dim]`):
    /// `λ_pde E‖∇S − F(x, S)‖² + λ_smooth E‖∇S‖² + λ_segment E‖S(x + δ) − S(x) − F(x, S)·δ‖²/|δ|²
    /// + λ_anchor E‖S(x) − S(a) − ∫F‖²/|x − a|² + λ_eikonal E(‖∇f‖ − 1)²`, the integral along the line from x's anchor a.
    pub fn with_regularizers(&self, loss: Tensor<Autodiff<B>, 1>, x: &[f32]) -> Tensor<Autodiff<B>, 1> {
        let dim = self.op.spec().dim;
        let points = x.len() / dim;
        if !self.config.regularizers.is_any() || points == 0 {
            return loss;
        }
        let picked = ((points as f64 * self.config.regularizers.fraction).ceil() as usize).clamp(1, points);
        // Spread over the batch, whose points are sorted in space; the offset moves from step to step.
        let stride = points / picked;
        let offset = self.step as usize % stride;
        let starts = (0..picked).map(|i| (i * stride + offset) * dim);
        let x: Vec<f32> = starts.flat_map(|i| &x[i..i + dim]).copied().collect();
        loss + self.regularizers(&x)
    }

    fn regularizers(&self, x: &[f32]) -> Tensor<Autodiff<B>, 1> {
        let c = &self.config.regularizers;
        let decay = (1.0 - self.progress).max(0.0).powf(c.decay);
        let weights = PointRegularizer {
            transport: (c.lambda_pde * decay) as f32,
            smoothness: (c.lambda_smooth * decay) as f32,
            eikonal: c.lambda_eikonal as f32,
        };
        let mut sum = Tensor::zeros([1], &self.grid.device());
        if !weights.is_none() {
            let x = self.tensor(x, self.op.spec().dim);
            sum = sum + backend::regularizer(self.op, self.grid.clone(), self.net.clone(), x, weights);
        }
        if c.lambda_segment > 0.0 {
            let ends = segment_ends(x, c.segment_sigma, self.step);
            let least = 1e-3 * c.segment_sigma as f32;
            sum = sum + self.transport_residual([x, &ends], least, TransportSteps::Euler) * (c.lambda_segment * decay);
        }
        if c.lambda_anchor > 0.0 {
            let cells = c.anchors.max(1);
            let (anchors, steps) = (nearest_anchors(x, cells), TransportSteps::Midpoint(ANCHOR_STEPS));
            let least = 1e-3 / cells as f32;
            sum = sum + self.transport_residual([&anchors, x], least, steps) * (c.lambda_anchor * decay);
        }
        sum
    }

    /// `E‖S(b) − S carried there from a‖²/|b − a|²` over lines from `a` to `b`; lines shorter than `least` count as that long.
    fn transport_residual(&self, [a, b]: [&[f32]; 2], least: f32, steps: TransportSteps) -> Tensor<Autodiff<B>, 1> {
        let dim = self.op.spec().dim;
        let delta: Vec<f32> = b.iter().zip(a).map(|(b, a)| b - a).collect();
        let scale = self.tensor(&reciprocals(&delta, dim, least), 1);
        let ends: Vec<f32> =
            a.chunks_exact(dim).zip(b.chunks_exact(dim)).flat_map(|(a, b)| [a, b]).flatten().copied().collect();
        let ends = self.tensor(&ends, 2 * dim);
        backend::transported(self.op, self.grid.clone(), self.net.clone(), [ends, scale], steps)
    }
}

/// One over the length of each row, rows shorter than `least` counted as that long.
fn reciprocals(rows: &[f32], dim: usize, least: f32) -> Vec<f32> {
    let length = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>().sqrt();
    rows.chunks_exact(dim).map(|row| length(row).max(least + 1e-9).recip()).collect()
}

/// For each point the nearest corner of a lattice of `cells` along each axis.
fn nearest_anchors(x: &[f32], cells: usize) -> Vec<f32> {
    let cells = cells as f32;
    x.iter().map(|v| (v * cells).round() / cells).collect()
}

/// Ends of the segments from `x` at a step.
pub(crate) fn segment_ends(x: &[f32], sigma: f64, step: u64) -> Vec<f32> {
    let mut rng = Pcg64::new(0x5e6_3e47, u128::from(step));
    x.iter().map(|v| (f64::from(*v) + sigma * normal(&mut rng)).clamp(0.0, 1.0) as f32).collect()
}
