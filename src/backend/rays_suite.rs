//! The ray step of radiance fields: plain tensors in f64 against finite differences, and the fused step against them.

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use nstr_kernel::{DepthLoss, PointLoss, RayBatch, RayLoss, RayStats};
use nstr_spec::{Activation, ColorHeadSpec, DensityLaw, DirectionEncoding, FieldSpec, MlpSpec};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;

use crate::backend;
use crate::backend::FieldBackend;
use crate::suite::{Case, Draw, On, gradient, narrow, values, variants};

/// Every variant of the field in three dimensions, as a radiance field, with a change of the colour head each.
pub fn radiance_variants() -> Vec<(String, FieldSpec)> {
    let mlp = MlpSpec::new;
    use Activation::*;
    let heads = [
        (DirectionEncoding::Sh(4), mlp(1, 9, Relu), 8),
        (DirectionEncoding::Sh(2), mlp(2, 7, Silu), 3),
        (DirectionEncoding::Frequency(3), mlp(0, 5, Relu), 1),
        (DirectionEncoding::Frequency(0), mlp(1, 17, Sine), 17),
    ];
    let fields = variants().into_iter().filter(|(_, spec)| spec.dim == 3);
    fields
        .enumerate()
        .map(|(i, (name, mut spec))| {
            let (encoding, mlp, outputs) = heads[i % heads.len()];
            let density = [DensityLaw::Exponential, DensityLaw::SignedDistance(6)][i / 2 % 2];
            (spec.outputs, spec.color_head) = (outputs, Some(ColorHeadSpec { encoding, mlp, density }));
            (format!("{name}, {encoding:?}, {density:?}"), spec)
        })
        .collect()
}

/// Rays of 0 to `most` samples at random places.
pub fn rays(count: usize, most: u32, seed: u64) -> RayBatch {
    let mut draw = Draw(Pcg64::seed_from_u64(seed));
    let mut first = vec![0];
    for n in draw.vector(count, 0.0, f64::from(most) + 0.999) {
        first.push(first[first.len() - 1] + n as u32);
    }
    let samples = first[count] as usize;
    let mut vector = |n: usize, low: f64, high: f64| narrow(&draw.vector(n, low, high));
    let dt = vector(samples, 0.05, 0.2);
    let mut t = vec![0.0; samples];
    for w in first.windows(2) {
        let mut at = 0.3;
        for s in w[0] as usize..w[1] as usize {
            at += dt[s];
            t[s] = at;
        }
    }
    let direction = vector(3 * count, -1.0, 1.0);
    let unit = direction.as_chunks::<3>().0.iter().flat_map(|d| {
        let length = d.iter().map(|c| c * c).sum::<f32>().sqrt().max(1e-3);
        d.map(|c| c / length)
    });
    RayBatch {
        x: vector(3 * samples, 0.02, 0.98),
        direction: unit.collect(),
        target: vector(3 * count, 0.0, 1.0),
        background: vector(3 * count, 0.0, 1.0),
        first,
        t,
        dt,
        ..RayBatch::default()
    }
}

/// The rays with a factor of each sample's gradient, 0 to 1.
pub fn with_gradient_scale(rays: &RayBatch, seed: u64) -> RayBatch {
    let mut draw = Draw(Pcg64::seed_from_u64(seed));
    RayBatch { gradient_scale: narrow(&draw.vector(rays.t.len(), 0.0, 1.0)), ..rays.clone() }
}

/// The rays with a depth each but for one in four, and a comparison with them.
pub fn with_depths(rays: &RayBatch, seed: u64) -> (RayBatch, DepthLoss) {
    let mut draw = Draw(Pcg64::seed_from_u64(seed));
    let mut depth = narrow(&draw.vector(rays.first.len() - 1, 0.0, 2.0));
    depth.iter_mut().step_by(4).for_each(|d| *d = f32::NAN);
    (RayBatch { depth, ..rays.clone() }, DepthLoss { weight: 0.3, tolerance: 0.1 })
}

/// Loss and gradients with respect to grid and net, scaled by 3 so that the gradient from above is used.
pub fn step<B>(on: &On<B>, case: &Case, rays: &RayBatch, loss: RayLoss) -> (f64, Vec<f64>, Vec<f64>, RayStats)
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    let leaf = |v: &Vec<f64>| on.tensor(v, [v.len()]).require_grad();
    let (grid, net) = (leaf(&case.grid), leaf(&case.net));
    let (value, stats) = backend::ray_loss(&on.op(case), grid.clone(), net.clone(), rays, loss);
    let grads = (value.clone() * 3.0).backward();
    (values(value.inner())[0], gradient(&grid, &grads), gradient(&net, &grads), stats)
}

pub const LOSS: RayLoss = RayLoss { distortion: 0.05, ..RayLoss::of(PointLoss::L2) };
