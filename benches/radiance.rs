//! Rates of the ray step and of colours on the `radiance` preset.
//!
//! Before criterion's own table a summary is printed: million samples a second through the whole ray step (forward,
//! compositing, loss and adjoint), through the colours alone, and the step's share of the machine's matrix product (the
//! `matrixmultiply` crate, 1024³ f32, all threads) in matrix arithmetic, timed in turn, round after round.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nstr::kernel::{FusedField, PointLoss, RayBatch, RayLoss};
use nstr::spec::config::preset;
use nstr::spec::init;
use nstr::spec::{FieldSpec, LayerSlot};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;

const RAYS: usize = 3000;
const SAMPLES: usize = 11;
const ROUNDS: usize = 40;
const SIZE: usize = 1024;

/// Rays through a shell, as a scene leaves them once its empty space is known.
fn rays(rng: &mut Pcg64) -> RayBatch {
    let mut rays = RayBatch { first: vec![0], ..RayBatch::default() };
    for _ in 0..RAYS {
        let origin: [f32; 3] = std::array::from_fn(|_| rng.random_range(0.2..0.8));
        let d: [f32; 3] = std::array::from_fn(|_| rng.random_range(-1.0f32..1.0));
        let length = d.iter().map(|c| c * c).sum::<f32>().sqrt().max(1e-3);
        let d = d.map(|c| c / length);
        for i in 0..SAMPLES {
            let t = i as f32 / 300.0;
            rays.x.extend(origin.iter().zip(d).map(|(o, d)| o + d * t));
            rays.t.push(t);
            rays.dt.push(1.0 / 300.0);
        }
        rays.first.push(rays.t.len() as u32);
        rays.direction.extend(d);
        for _ in 0..3 {
            rays.target.push(rng.random());
            rays.background.push(rng.random());
        }
    }
    rays
}

/// Operations of a sample's matrix products: forward and two more for the adjoint.
fn flops(spec: &FieldSpec) -> f64 {
    let layout = spec.net_layout();
    let products = |layers: &[LayerSlot]| layers.iter().map(|l| (l.inputs * l.outputs) as f64).sum::<f64>();
    let parts = products(&layout.spectrum) + products(&layout.decoder) + products(&layout.head);
    6.0 * (parts + (spec.dim * spec.basis) as f64)
}

/// One 1024³ product on all threads.
fn product(a: &[f32], b: &[f32], c: &mut [f32]) {
    let rows = SIZE.div_ceil(rayon::current_num_threads());
    c.par_chunks_mut(rows * SIZE).zip(a.par_chunks(rows * SIZE)).for_each(|(c, a)| {
        let (m, n) = (c.len() / SIZE, SIZE as isize);
        // SAFETY: the slices hold m × SIZE, SIZE × SIZE and m × SIZE elements.
        unsafe {
            matrixmultiply::sgemm(m, SIZE, SIZE, 1.0, a.as_ptr(), n, 1, b.as_ptr(), n, 1, 0.0, c.as_mut_ptr(), n, 1);
        }
    });
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn bench(c: &mut Criterion) {
    let config = preset("radiance").unwrap();
    let spec = config.spec();
    let fused = FusedField::new(&spec);
    let (grid, net) = init::parameters(&spec, &config.init);
    let mut rng = Pcg64::seed_from_u64(1);
    let rays = rays(&mut rng);
    let samples = rays.t.len();
    let (mut d_grid, mut d_net) = (vec![0.0; grid.len()], vec![0.0; net.len()]);
    let loss = RayLoss { min_transmittance: 1e-3, ..RayLoss::of(PointLoss::Huber(0.1)) };
    let weights = fused.pack(&net);
    let directions: Vec<f32> = rays.x.chunks(3).flat_map(|_| [0.0, 0.6, 0.8]).collect();
    let mut out = vec![0.0; samples * 4];
    let mut step = || black_box(fused.ray_loss_backward(&grid, &net, rays.slices(), loss, &mut d_grid, &mut d_net));
    let mut colours = || {
        let points = rays.x.par_chunks(3 * 1024).zip(directions.par_chunks(3 * 1024));
        points.zip(out.par_chunks_mut(4 * 1024)).for_each(|((x, d), out)| fused.radiance(&weights, &grid, x, d, out));
    };
    let (a, b) = (vec![0.5f32; SIZE * SIZE], vec![0.25f32; SIZE * SIZE]);
    let mut result = vec![0.0f32; SIZE * SIZE];
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let mut time = |i: usize, run: &mut dyn FnMut()| {
            let start = Instant::now();
            run();
            times[i].push(start.elapsed());
        };
        time(0, &mut || {
            step();
        });
        time(1, &mut colours);
        time(2, &mut || product(&a, &b, &mut result));
    }
    let [step_time, colour_time, product_time] = times.map(median);
    let peak = 2.0 * (SIZE as f64).powi(3) / product_time;
    println!("matrix product          {:7.1} GFLOP/s", peak / 1e9);
    println!(
        "ray step                {:7.2} M samples/s, {:.0} % of the product's rate",
        samples as f64 / step_time / 1e6,
        100.0 * flops(&spec) * samples as f64 / step_time / peak
    );
    println!("colours                 {:7.2} M samples/s", samples as f64 / colour_time / 1e6);
    let mut group = c.benchmark_group("radiance");
    group.throughput(Throughput::Elements(samples as u64));
    group.bench_function("ray step", |b| b.iter(&mut step));
    group.bench_function("colours", |b| b.iter(&mut colours));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
