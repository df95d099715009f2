//! A training step of rays with the kernels against Burn's plain tensors, on the same device in the same run.

use std::sync::Arc;
use std::time::Instant;

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use nstr_backend::backend::{FieldBackend, FieldOp, ray_loss};
use nstr_backend::rays_suite::{LOSS, rays};
use nstr_spec::config::preset;
use nstr_spec::init;
use serde_json::{Value, json};

/// Steps that are timed, after one that compiles.
const STEPS: usize = 5;

/// Seconds of a step over rays with its gradients.
fn seconds<B>(op: &Arc<FieldOp>, grid: &[f32], net: &[f32]) -> f64
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    let rays = rays(256, 64, 5);
    let leaf = |values: &[f32]| {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        Tensor::<Autodiff<B>, 1>::from_data(data, &Default::default()).require_grad()
    };
    let (grid, net) = (leaf(grid), leaf(net));
    let started = Instant::now();
    let grads = ray_loss(op, grid.clone(), net.clone(), &rays, LOSS).0.backward();
    // Reading waits for the device.
    let read = [&grid, &net].map(|t| t.grad(&grads).expect("both are tracked").into_data());
    assert!(read.iter().all(|data| data.iter::<f32>().all(f32::is_finite)));
    started.elapsed().as_secs_f64()
}

/// Times both, alternately, and prints the ratio of their medians.
pub fn compare<B>(device: &str) -> Value
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    let config = preset("radiance").expect("a preset");
    let (grid, net) = init::parameters(&config.spec(), &config.init);
    let ops = [FieldOp::new(config.spec()), FieldOp::plain(config.spec())];
    ops.iter().for_each(|op| {
        seconds::<B>(op, &grid, &net);
    });
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..STEPS {
        for (op, times) in ops.iter().zip(&mut times) {
            times.push(seconds::<B>(op, &grid, &net));
        }
    }
    let [fused, plain] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[STEPS / 2]
    });
    let ratio = plain / fused;
    println!("{device}: a training step of rays in {fused:.4} s with the kernels, {plain:.4} s in plain tensors:");
    println!("{device}: fused_over_plain {ratio:.2}");
    json!({ "device": device, "fused_seconds": fused, "plain_seconds": plain, "fused_over_plain": ratio })
}
