//! Volume compositing of rays in plain tensors, for backends without kernels; the kernels' ray step is compared with it.
//! Max (1995), eq. 3, the distortion term of Barron et al. (2022), eq. 15, and factors of the samples' gradients as Philip &
//! Deschaintre (2023) have them; comparison of depths as [`DepthLoss`](nstr_kernel::DepthLoss) says.

use std::sync::Arc;

use burn::tensor::{Bool, Int, Tensor, TensorData};
use nstr_kernel::direction_encoding::encode;
use nstr_kernel::{Density, RayBatch, RayLoss};
use nstr_spec::MAX_RAW_DENSITY;

use crate::backend;
use crate::backend::{FieldBackend, FieldOp, pointwise};
use crate::reference;

/// Mean loss `[1]` of the rays, differentiable in `grid` and `net`. The spec must have a colour head.
pub fn ray_loss<B: FieldBackend>(
    op: &Arc<FieldOp>,
    grid: Tensor<B, 1>,
    net: Tensor<B, 1>,
    rays: &RayBatch,
    loss: RayLoss,
) -> Tensor<B, 1> {
    if rays.t.is_empty() {
        // Nothing depends on the field, but the gradient must exist.
        let (background, target) = (host(&rays.background, 3, &grid), host(&rays.target, 3, &grid));
        let error = background - target;
        let total = mean_loss(error.clone(), rays, loss) + (grid.sum() + net.sum()) * 0.0;
        return match loss.depth.filter(|_| !rays.depth.is_empty()) {
            // All light passes.
            Some(depth) => {
                let passed = error.clone().mean_dim(1) * 0.0 + f64::from(depth.distance(1.0));
                total + mean_depth_cost(passed, error, rays) * f64::from(depth.weight)
            }
            None => total,
        };
    }
    let at = positions(op, rays, &grid);
    ray_loss_at(op, grid, net, rays, loss, at)
}

/// A matrix of `columns` columns where `like` is.
fn host<B: FieldBackend>(values: &[f32], columns: usize, like: &Tensor<B, 1>) -> Tensor<B, 2> {
    let data = TensorData::new(values.to_vec(), [values.len() / columns, columns]);
    Tensor::from_data(data, (&like.device(), like.dtype()))
}

/// Positions `[sample, 3]` and encoded directions `[sample, width]` of the rays' samples, where `like` is.
pub fn positions<B: FieldBackend>(op: &FieldOp, rays: &RayBatch, like: &Tensor<B, 1>) -> [Tensor<B, 2>; 2] {
    let width = op.spec().color_head.map_or(1, |head| head.encoding.width());
    [host(&rays.x, 3, like), host(&encoded(op, rays), width, like)]
}

/// [`ray_loss`] with the samples at the given [`positions`], differentiable in these too. There must be a sample.
pub fn ray_loss_at<B: FieldBackend>(
    op: &Arc<FieldOp>,
    grid: Tensor<B, 1>,
    net: Tensor<B, 1>,
    rays: &RayBatch,
    loss: RayLoss,
    [x, code]: [Tensor<B, 2>; 2],
) -> Tensor<B, 1> {
    let count = rays.first.len().saturating_sub(1);
    let place = grid.clone();
    let host = |values: &[f32], columns: usize| host(values, columns, &place);
    let (target, background) = (host(&rays.target, 3), host(&rays.background, 3));
    let longest = rays.first.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0) as usize;
    let (index, mask) = rows(&rays.first, longest);
    let mask = host(&mask, longest);
    let index = Tensor::<B, 1, Int>::from_ints(TensorData::from(index.as_slice()), &grid.device());
    let spread = |column: Tensor<B, 2>| column.reshape([-1]).select(0, index.clone()).reshape([count, longest]);

    let values = backend::forward(op, grid.clone(), net.clone(), x);
    let colour = reference::head(op.spec(), net, values.clone(), code);
    let sigma = density(values.narrow(1, 0, 1), loss.density);
    let [sigma, colour] = [sigma, colour].map(|of_samples| {
        if rays.gradient_scale.is_empty() {
            of_samples
        } else {
            scale_gradient(of_samples, host(&rays.gradient_scale, 1))
        }
    });
    let optical_depth = spread(sigma * host(&rays.dt, 1)) * mask.clone();
    // Column j of the product sums what lies before sample j.
    let before = host(&strictly_upper(longest), longest);
    let transmittance = optical_depth.clone().matmul(before.clone()).neg().exp();
    let weight = transmittance * (optical_depth.clone().neg().exp().neg() + 1.0);
    let end = optical_depth.sum_dim(1).neg().exp();
    let channel = |c: usize| (weight.clone() * spread(colour.clone().narrow(1, c, 1))).sum_dim(1);
    let colour = Tensor::cat((0..3).map(channel).collect(), 1) + end.clone() * background;
    let error = colour - target;
    let mut total = mean_loss(error.clone(), rays, loss);
    let t = spread(host(&rays.t, 1));
    if let (Some(depth), false) = (loss.depth, rays.depth.is_empty()) {
        let known: Vec<f32> = rays.depth.iter().map(|d| if d.is_finite() { *d } else { 0.0 }).collect();
        let tolerance = f64::from(depth.tolerance);
        let distance = |e: Tensor<B, 2>| ((e.clone() * e) + tolerance * tolerance).sqrt() - tolerance;
        let away = distance(t.clone() - host(&known, 1)) * mask;
        let passed = end * f64::from(depth.distance(1.0));
        let of_ray = (weight.clone() * away).sum_dim(1) + passed;
        total = total + mean_depth_cost(of_ray, error, rays) * f64::from(depth.weight);
    }
    if loss.distortion > 0.0 {
        let dt = spread(host(&rays.dt, 1));
        let moment = (weight.clone() * t.clone()).matmul(before.clone());
        let pairs = weight.clone() * (t * weight.clone().matmul(before) - moment) * 2.0;
        let own = weight.clone() * weight * dt * (1.0 / 3.0);
        total = total + (pairs + own).sum_dim(1).mean() * f64::from(loss.distortion);
    }
    total
}

/// The same values; their gradient is multiplied by `factor`.
fn scale_gradient<B: FieldBackend>(values: Tensor<B, 2>, factor: Tensor<B, 2>) -> Tensor<B, 2> {
    let fixed = values.clone().detach();
    // The difference is 0, and differentiable.
    (values - fixed.clone()) * factor + fixed
}

/// Mean over all rays of what it costs to carry their light to its depth, `[ray, 1]`: 0 for rays of unknown depth, and for rays whose
/// `error` is beyond its limit.
fn mean_depth_cost<B: FieldBackend>(of_ray: Tensor<B, 2>, error: Tensor<B, 2>, rays: &RayBatch) -> Tensor<B, 1> {
    let is_known: Vec<f32> = rays.depth.iter().map(|d| if d.is_finite() { 1.0 } else { 0.0 }).collect();
    let data = TensorData::new(is_known, [rays.depth.len(), 1]);
    let of_ray = of_ray * Tensor::from_data(data, (&error.device(), error.dtype()));
    match is_beyond(error, rays) {
        Some(beyond) => of_ray.mask_fill(beyond, 0.0).mean(),
        None => of_ray.mean(),
    }
}

/// Mean over rays and channels of the errors' losses `[ray, 3]`, 0 for rays beyond their limit of the error.
fn mean_loss<B: FieldBackend>(error: Tensor<B, 2>, rays: &RayBatch, loss: RayLoss) -> Tensor<B, 1> {
    let each = pointwise(error.clone(), loss.loss);
    match is_beyond(error, rays) {
        Some(beyond) => each.mean_dim(1).mask_fill(beyond, 0.0).mean(),
        None => each.mean(),
    }
}

/// Densities of raw values `[sample, 1]`.
fn density<B: FieldBackend>(raw: Tensor<B, 2>, law: Density) -> Tensor<B, 2> {
    match law {
        Density::Exponential => raw.clamp_max(f64::from(MAX_RAW_DENSITY)).exp(),
        Density::SignedDistance { sharpness } => {
            let k = f64::from(sharpness);
            let tail = (raw.clone().abs() * -k).exp() * 0.5;
            let inside = tail.clone().neg() + 1.0;
            let is_inside = raw.lower_equal_elem(0.0);
            tail.mask_where(is_inside, inside) * k
        }
    }
}

/// `true` for rays `[ray, 1]` whose errors `[ray, 3]` are beyond their limit; `None` where no ray has one.
fn is_beyond<B: FieldBackend>(error: Tensor<B, 2>, rays: &RayBatch) -> Option<Tensor<B, 2, Bool>> {
    if rays.error_limit.is_empty() {
        return None;
    }
    let squares: Vec<f32> = rays.error_limit.iter().map(|limit| limit * limit).collect();
    let data = TensorData::new(squares, [rays.error_limit.len(), 1]);
    let limit = Tensor::<B, 2>::from_data(data, (&error.device(), error.dtype()));
    Some((error.clone() * error).mean_dim(1).greater(limit))
}

/// Pads rays to `longest` samples: gather indices, and a mask that is 1 where there is a sample.
fn rows(first: &[u32], longest: usize) -> (Vec<i32>, Vec<f32>) {
    let place = |w: &[u32]| {
        let (start, end) = (w[0], w[1]);
        (0..longest as u32).map(move |i| if start + i < end { ((start + i) as i32, 1.0) } else { (0, 0.0) })
    };
    first.windows(2).flat_map(place).unzip()
}

fn strictly_upper(n: usize) -> Vec<f32> {
    (0..n * n).map(|i| if i / n < i % n { 1.0 } else { 0.0 }).collect()
}

/// Encoded direction of every sample.
fn encoded(op: &FieldOp, rays: &RayBatch) -> Vec<f32> {
    let Some(head) = op.spec().color_head else { return Vec::new() };
    let width = head.encoding.width();
    let mut out = vec![0.0; rays.t.len() * width];
    for (w, d) in rays.first.windows(2).zip(rays.direction.as_chunks::<3>().0) {
        for row in out[w[0] as usize * width..w[1] as usize * width].chunks_exact_mut(width) {
            encode(head.encoding, *d, row);
        }
    }
    out
}
