//! Fused kernels against plain tensors, on the same device in the same run.

use std::sync::Arc;
use std::time::Instant;

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use nstr_backend::backend::{FieldBackend, FieldOp, ray_loss};
use nstr_backend::device::Device;
use nstr_backend::device_testing::{on_devices, present};
use nstr_backend::rays_suite::{LOSS, rays};
use nstr_spec::config::preset;
use nstr_spec::init;

/// Steps that are timed, after one that compiles.
const STEPS: usize = 3;

/// Seconds of a step over rays with its gradients: the median.
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
    let mut times: Vec<f64> = (0..=STEPS)
        .map(|_| {
            let (grid, net) = (leaf(grid), leaf(net));
            let started = Instant::now();
            let grads = ray_loss(op, grid.clone(), net.clone(), &rays, LOSS).0.backward();
            // Reading waits for the device.
            let read = [&grid, &net].map(|t| t.grad(&grads).unwrap().into_data());
            assert!(read.iter().all(|data| data.iter::<f32>().all(f32::is_finite)));
            started.elapsed().as_secs_f64()
        })
        .skip(1)
        .collect();
    times.sort_by(f64::total_cmp);
    times[STEPS / 2]
}

fn ratio<B>(device: Device)
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    if !present(device) {
        return;
    }
    let config = preset("radiance").unwrap();
    let (grid, net) = init::parameters(&config.spec(), &config.init);
    let fused = seconds::<B>(&FieldOp::new(config.spec()), &grid, &net);
    let plain = seconds::<B>(&FieldOp::plain(config.spec()), &grid, &net);
    println!(
        "{device}: a step of rays in {fused:.3} s fused, {plain:.3} s in plain tensors: {:.1} times",
        plain / fused
    );
    assert!(plain >= 3.0 * fused, "only {:.1} times as fast", plain / fused);
}

on_devices! {
    fused_steps_are_faster_than_plain_ones => ratio::<B>(DEVICE);
}
