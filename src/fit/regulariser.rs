//! The terms of the loss that hold everywhere, whatever is known there: transport, smoothness, eikonal (DESIGN §2).

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use rand_pcg::Pcg64;

use crate::gaussian::normal;
use crate::task::Place;
use nstr_backend::backend;
use nstr_backend::backend::FieldBackend;
use nstr_backend::reference;

/// Steps in which F carries S from an anchor.
pub(super) const CARRIED: usize = 4;

impl<B: FieldBackend> Place<'_, B>
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    /// `loss` plus the regularisers of the method (DESIGN §2) at a share of the points `x` (`[point][dim]`):
    /// `λ_pde E‖∇S − F(x, S)‖² + λ_smooth E‖∇S‖² + λ_segment E‖S(x + δ) − S(x) − F(x, S)·δ‖²/|δ|²
    /// + λ_anchor E‖S(x) − S(a) − ∫F‖²/|x − a|² + λ_eikonal E(‖∇f‖ − 1)²`, the integral along the line from x's anchor a.
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
        if c.lambda_anchor > 0.0 {
            sum = sum + self.carried(x, part(columns.spectrum, columns.spectrum_gradient)) * (c.lambda_anchor * fade);
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
        let scale = reciprocals(&delta, dim, 1e-3 * sigma as f32);
        let columns = self.op.spec().full_columns();
        let there = columns_of(&self.full(&end), columns.spectrum, columns.spectrum_gradient);
        let width = spectrum.dims()[1];
        let along = self.tensor(&delta, dim).reshape([points, 1, dim]);
        let carried = (flow.reshape([points, width, dim]) * along).sum_dim(2).reshape([points, width]);
        mean_square((there - spectrum - carried) * self.tensor(&scale, 1))
    }

    /// `E‖S(x) − S(a) − ∫F(p, S) dp‖²/|x − a|²`: S carried by F along the line from the nearest of the coarse anchors, by the
    /// midpoint rule, S between being what F has made of it.
    fn carried(&self, x: &[f32], spectrum: Tensor<Autodiff<B>, 2>) -> Tensor<Autodiff<B>, 1> {
        let spec = self.op.spec();
        let [points, width] = spectrum.dims();
        let (dim, cells) = (spec.dim, self.config.anchors.max(1));
        let from = anchors(x, cells);
        let delta: Vec<f32> = x.iter().zip(&from).map(|(x, a)| x - a).collect();
        let scale = reciprocals(&delta, dim, 1e-3 / cells as f32);
        let along = self.tensor(&delta, dim).reshape([points, 1, dim]);
        let step = |at: f32, s: &Tensor<Autodiff<B>, 2>| {
            let place: Vec<f32> = from.iter().zip(&delta).map(|(a, d)| a + at * d).collect();
            let flow = reference::transport(spec, self.net.clone(), self.tensor(&place, dim), s.clone());
            (flow.reshape([points, width, dim]) * along.clone()).sum_dim(2).reshape([points, width])
        };
        let columns = spec.full_columns();
        let mut s = columns_of(&self.full(&from), columns.spectrum, columns.spectrum_gradient);
        let h = 1.0 / CARRIED as f32;
        for i in 0..CARRIED {
            let at = i as f32 * h;
            let middle = s.clone() + step(at, &s) * (0.5 * h);
            s = s + step(at + 0.5 * h, &middle) * h;
        }
        mean_square((spectrum - s) * self.tensor(&scale, 1))
    }
}

/// One over the length of each row; rows of no length say nothing.
fn reciprocals(rows: &[f32], dim: usize, least: f32) -> Vec<f32> {
    let length = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>().sqrt();
    rows.chunks_exact(dim).map(|row| length(row).max(least + 1e-9).recip()).collect()
}

/// The nearest corners of a lattice of `cells` along each axis.
pub(super) fn anchors(x: &[f32], cells: usize) -> Vec<f32> {
    let cells = cells as f32;
    x.iter().map(|v| (v * cells).round() / cells).collect()
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
