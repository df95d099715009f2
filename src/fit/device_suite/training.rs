//! Training through Vulkan and CUDA follows training on the CPU.

use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use nstr_backend::backend::{FieldBackend, FieldOp};
use nstr_backend::device::Device;
use nstr_backend::device_testing::{apart, on_devices, present};
use nstr_spec::FieldSpec;
use nstr_spec::config::preset;
use nstr_spec::init;
use rand::RngExt;
use rand_pcg::Pcg64;

use crate::{Batch, BatchSource, Budget, Regularizers, Schedule, TrainConfig, TrainState, Trainer, train};

const STEPS: u64 = 48;
const POINTS: usize = 1024;

/// Distances to a sphere of radius 0.3 in the middle of the cube.
struct Sphere;

impl BatchSource for Sphere {
    fn batch(&self, index: u64) -> Batch {
        let mut rng = Pcg64::new(7, u128::from(index));
        let x: Vec<f32> = (0..3 * POINTS).map(|_| rng.random()).collect();
        let distance = |p: &[f32]| p.iter().map(|c| (c - 0.5) * (c - 0.5)).sum::<f32>().sqrt() - 0.3;
        let target: Vec<f32> = x.chunks(3).map(distance).collect();
        let weight = target.iter().map(|d| 1.0 / (1.0 + d.abs() / 0.1)).collect();
        Batch { x, target, weight, ..Batch::default() }
    }
}

/// The pointwise loss, and the regularisers that run the full forward pass and its derivative.
fn config() -> TrainConfig {
    TrainConfig {
        batch: POINTS,
        schedule: Schedule { warmup: 10, hold: 1.0, floor: 0.1, ..Schedule::default() },
        regularizers: Regularizers { lambda_pde: 1e-3, lambda_eikonal: 1e-2, fraction: 0.25, ..Regularizers::NONE },
        ..TrainConfig::default()
    }
}

fn field() -> (FieldSpec, TrainState) {
    let keys = ["latent.resolution=6", "latent.features=8", "basis=8", "spectrum.width=16", "decoder.width=16"];
    let config = preset("sdf-tiny").unwrap().set(&keys).unwrap();
    let (grid, net) = init::parameters(&config.spec(), &config.init);
    (config.spec(), TrainState::new(grid, net))
}

/// Loss before each step, and the end.
fn train_steps<B>(name: &str) -> (Vec<f64>, TrainState)
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    let (spec, state) = field();
    let clock = Instant::now();
    let mut trainer = Trainer::<B>::new(FieldOp::new(spec), config(), &state, Default::default());
    let schedule = config().schedule;
    let losses: Vec<f64> = (0..STEPS)
        .map(|t| {
            trainer.step(&mut &Sphere.batch(t), schedule.lr_scale(t, t as f64 / STEPS as f64), true).unwrap().unwrap()
        })
        .collect();
    println!(
        "{name}: loss {:.5} to {:.5} in {:.1} s",
        losses[0],
        losses[STEPS as usize - 1],
        clock.elapsed().as_secs_f64()
    );
    (losses, trainer.state(clock.elapsed()).unwrap())
}

/// The same losses and the same end, to rounding.
fn follows_the_cpu<B>(device: Device)
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    if !present(device) {
        return;
    }
    let (cpu, cpu_end) = train_steps::<burn_flex::Flex>("cpu");
    let (gpu, gpu_end) = train_steps::<B>(device.name());
    let off: Vec<f64> = cpu.iter().zip(&gpu).map(|(a, b)| (a - b).abs() / a.abs()).collect();
    for (t, ((a, b), d)) in cpu.iter().zip(&gpu).zip(&off).enumerate() {
        println!("step {t:2}: cpu {a:.6} {device} {b:.6} apart {d:.1e}");
    }
    // The same numbers go in; from then on Adam, which divides by the gradient's size, amplifies rounding (measured on
    // llvmpipe: at most 1e-6 over the first 25 steps, 5.3e-4 over all; end states 4.1e-4). Burn's CUDA backend multiplies
    // matrices in TF32.
    let [first, any, end] = if device == Device::Cuda { [5e-3, 0.2, 0.2] } else { [1e-5, 5e-3, 5e-3] };
    assert!(off[0] < first, "first step: {:e}", off[0]);
    for (t, d) in off.iter().enumerate() {
        assert!(*d < any, "step {t}: {d:e}");
    }
    for losses in [&cpu, &gpu] {
        assert!(losses[STEPS as usize - 1] < 0.4 * losses[0], "{losses:?}");
    }
    assert_eq!((cpu_end.step, gpu_end.step), (STEPS, STEPS));
    let moved = [(&gpu_end.grid, &cpu_end.grid), (&gpu_end.net, &cpu_end.net)].map(|(a, b)| apart(a, b));
    println!("end states apart: grid {:.1e}, net {:.1e}", moved[0], moved[1]);
    assert!(moved.iter().all(|d| *d < end), "{moved:?}");
}

fn stops_and_goes_on(device: Device) {
    if !present(device) {
        return;
    }
    let (spec, first) = field();
    let op = FieldOp::new(spec);
    let config = TrainConfig { train_basis: false, ..config() };
    let run = |state: &TrainState, steps: u64| {
        train(device, op.clone(), config.clone(), state, Arc::new(Sphere), Budget::Steps(steps), &mut ())
    };
    let half = run(&first, 4).unwrap();
    let end = run(&half, 8).unwrap();
    assert!(end.step == 8 && end.elapsed > half.elapsed && half.elapsed > Duration::ZERO);
    let basis = op.spec().net_layout().spectrum[0].weight;
    assert_eq!(end.net[..basis], first.net[..basis]);
    assert_ne!(end.net[basis..], first.net[basis..]);
    assert!(end.grid.iter().chain(&end.net).all(|v| v.is_finite()));
}

on_devices! {
    follows => follows_the_cpu::<B>(DEVICE);
    goes_on => stops_and_goes_on(DEVICE);
}
