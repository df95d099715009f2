//! Regularisers as terms of the loss: transport, smoothness, eikonal. They hold everywhere, with data or without.

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use nstr_backend::backend;
use nstr_backend::backend::FieldBackend;
use nstr_backend::reference;
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
        let columns = self.op.spec().full_columns();
        let full = self.full(x);
        let part = |from: usize, to: usize| columns_of(&full, from, to);
        let spectrum = || part(columns.spectrum, columns.spectrum_gradient);
        let spectrum_gradient = part(columns.spectrum_gradient, columns.transport);
        let transport = part(columns.transport, columns.len);
        let decay = (1.0 - self.progress).max(0.0).powf(c.decay);
        let mut sum = Tensor::zeros([1], &self.grid.device());
        if c.lambda_pde > 0.0 {
            sum = sum + mean_square(spectrum_gradient.clone() - transport.clone()) * (c.lambda_pde * decay);
        }
        if c.lambda_smooth > 0.0 {
            sum = sum + mean_square(spectrum_gradient) * (c.lambda_smooth * decay);
        }
        if c.lambda_segment > 0.0 {
            sum = sum + self.segment_residual(x, spectrum(), transport) * (c.lambda_segment * decay);
        }
        if c.lambda_anchor > 0.0 {
            sum = sum + self.anchor_residual(x, spectrum()) * (c.lambda_anchor * decay);
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
    fn segment_residual(
        &self,
        x: &[f32],
        spectrum: Tensor<Autodiff<B>, 2>,
        transport: Tensor<Autodiff<B>, 2>,
    ) -> Tensor<Autodiff<B>, 1> {
        let (dim, points) = (self.op.spec().dim, spectrum.dims()[0]);
        let sigma = self.config.regularizers.segment_sigma;
        let end = segment_ends(x, sigma, self.step);
        let delta: Vec<f32> = end.iter().zip(x).map(|(e, x)| e - x).collect();
        let scale = reciprocals(&delta, dim, 1e-3 * sigma as f32);
        let columns = self.op.spec().full_columns();
        let spectrum_at_end = columns_of(&self.full(&end), columns.spectrum, columns.spectrum_gradient);
        let width = spectrum.dims()[1];
        let along = self.tensor(&delta, dim).reshape([points, 1, dim]);
        let carried = (transport.reshape([points, width, dim]) * along).sum_dim(2).reshape([points, width]);
        mean_square((spectrum_at_end - spectrum - carried) * self.tensor(&scale, 1))
    }

    /// `E‖S(x) − S(a) − ∫F(p, S) dp‖²/|x − a|²`: S carried by F along the line from the nearest anchor, by the midpoint rule,
    /// with S in between as F has carried it there.
    fn anchor_residual(&self, x: &[f32], spectrum: Tensor<Autodiff<B>, 2>) -> Tensor<Autodiff<B>, 1> {
        let spec = self.op.spec();
        let [points, width] = spectrum.dims();
        let (dim, cells) = (spec.dim, self.config.regularizers.anchors.max(1));
        let from = nearest_anchors(x, cells);
        let delta: Vec<f32> = x.iter().zip(&from).map(|(x, a)| x - a).collect();
        let scale = reciprocals(&delta, dim, 1e-3 / cells as f32);
        let along = self.tensor(&delta, dim).reshape([points, 1, dim]);
        let step = |at: f32, s: &Tensor<Autodiff<B>, 2>| {
            let p: Vec<f32> = from.iter().zip(&delta).map(|(a, d)| a + at * d).collect();
            let transport = reference::transport(spec, self.net.clone(), self.tensor(&p, dim), s.clone());
            (transport.reshape([points, width, dim]) * along.clone()).sum_dim(2).reshape([points, width])
        };
        let columns = spec.full_columns();
        let mut s = columns_of(&self.full(&from), columns.spectrum, columns.spectrum_gradient);
        let h = 1.0 / ANCHOR_STEPS as f32;
        for i in 0..ANCHOR_STEPS {
            let at = i as f32 * h;
            let midpoint = s.clone() + step(at, &s) * (0.5 * h);
            s = s + step(at + 0.5 * h, &midpoint) * h;
        }
        mean_square((spectrum - s) * self.tensor(&scale, 1))
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

fn columns_of<B: AutodiffBackend>(full: &Tensor<B, 2>, from: usize, to: usize) -> Tensor<B, 2> {
    full.clone().slice([0..full.dims()[0], from..to])
}

/// Mean over rows of the squared norm.
fn mean_square<B: AutodiffBackend>(t: Tensor<B, 2>) -> Tensor<B, 1> {
    (t.clone() * t).sum_dim(1).mean()
}
