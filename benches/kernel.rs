//! Rates of the fused kernels on the `sdf` preset, beside the rate at which the machine multiplies matrices.
//!
//! Before criterion's own table a summary is printed: every case and the matrix product (the `matrixmultiply` crate, 1024³
//! f32, all threads) are timed in turn, round after round, so that all of them see the same machine; each case's rate is then given
//! as a share of the product's. A case's arithmetic is that of its matrix products and the phases `x·ω` (two operations for
//! each multiply-add, backward passes counted as two more products each); its time is that of the whole step, grid lookups,
//! sines, activations and weight layout included. Points come in Morton order, as the sampler delivers them, and shuffled.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nstr::kernel::{FusedField, GradientSlices, Outputs, PointLoss, Targets};
use nstr::spec::config::preset;
use nstr::spec::{FieldSpec, LayerSlot};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;

const POINTS: usize = 16384;
const ROUNDS: usize = 100;
const SIZE: usize = 1024;

/// Parameters, points and buffers of one run.
struct Run {
    fused: FusedField,
    grid: Vec<f32>,
    net: Vec<f32>,
    target: Vec<f32>,
    out: Vec<f32>,
    full: Vec<f32>,
    d_full: Vec<f32>,
    d_grid: Vec<f32>,
    d_net: Vec<f32>,
}

/// Case of the benchmark.
#[derive(Clone, Copy)]
enum Case {
    Forward,
    LossBackward,
    ForwardFull,
    BackwardFull,
}

impl Case {
    const ALL: [Self; 4] = [Self::Forward, Self::LossBackward, Self::ForwardFull, Self::BackwardFull];

    fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::LossBackward => "loss+backward",
            Self::ForwardFull => "full forward",
            Self::BackwardFull => "full backward",
        }
    }

    /// Operations for one point. Full outputs pass the trunk once for the value and once for each coordinate, and the
    /// transport network once; a backward pass recomputes its forward pass and costs two more.
    fn flops(self, spec: &FieldSpec) -> f64 {
        let layout = spec.net_layout();
        let products = |layers: &[LayerSlot]| layers.iter().map(|l| (l.inputs * l.outputs) as f64).sum::<f64>();
        let trunk = products(&layout.spectrum) + products(&layout.decoder) + (spec.dim * spec.basis) as f64;
        let full = trunk * (1 + spec.dim) as f64 + products(&layout.transport);
        2.0 * match self {
            Self::Forward => trunk,
            Self::LossBackward => 3.0 * trunk,
            Self::ForwardFull => full,
            Self::BackwardFull => 3.0 * full,
        }
    }

    fn run(self, on: &mut Run, x: &[f32]) {
        let Run { fused, grid, net, target, out, full, d_full, d_grid, d_net } = on;
        match self {
            Self::Forward => fused.forward(grid, net, x, out),
            Self::LossBackward => {
                let data = Targets { x, target, weight: None };
                black_box(fused.loss_backward(grid, net, data, PointLoss::L1, d_grid, d_net));
            }
            Self::ForwardFull => fused.forward_full(grid, net, x, full),
            Self::BackwardFull => {
                fused.backward(Outputs::Full, grid, net, x, d_full, GradientSlices { d_grid, d_net, d_x: None });
            }
        }
    }
}

/// Position of a point on the Morton curve through a lattice of 32³ cells.
fn morton(p: &[f32; 3]) -> u64 {
    let cell = p.map(|c| (c * 32.0) as u64);
    (0..5).rev().flat_map(|bit| cell.map(|c| c >> bit & 1)).fold(0, |key, bit| key << 1 | bit)
}

/// The matrix product that rates are compared with: operations and a call.
fn product() -> (f64, impl FnMut()) {
    let (a, b, mut c) = (vec![1.0f32; SIZE * SIZE], vec![1.0f32; SIZE * SIZE], vec![0.0f32; SIZE * SIZE]);
    let call = move || {
        // Each thread multiplies its share of the rows.
        let share = SIZE.div_ceil(rayon::current_num_threads());
        let row = SIZE as isize;
        c.par_chunks_mut(share * SIZE).zip(a.par_chunks(share * SIZE)).for_each(|(c, a)| {
            let rows = c.len() / SIZE;
            // SAFETY: `a` and `c` hold the same number of rows of SIZE elements, `b` SIZE rows; `c` overlaps neither.
            unsafe {
                let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
                matrixmultiply::sgemm(rows, SIZE, SIZE, 1.0, a, row, 1, b, row, 1, 0.0, c, row, 1);
            }
        });
    };
    (2.0 * (SIZE * SIZE * SIZE) as f64, call)
}

fn seconds(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

/// Times the product and every case in turn and prints the shares.
fn summary(run: &mut Run, orders: &[(&str, Vec<f32>); 2]) {
    let spec = run.fused.spec().clone();
    let (flops, mut call) = product();
    let mut product_times = Vec::new();
    let mut times: [[Vec<f64>; 2]; Case::ALL.len()] = std::array::from_fn(|_| [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        product_times.push(seconds(&mut call));
        for (case, times) in Case::ALL.iter().zip(&mut times) {
            for ((_, x), times) in orders.iter().zip(times) {
                times.push(seconds(|| case.run(run, x)));
            }
        }
    }
    let best_and_median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        (times[0], times[times.len() / 2])
    };
    let (best, median) = best_and_median(&mut product_times);
    let rate = flops / best;
    println!(
        "gemm {SIZE}³ f32, {} threads: best of {ROUNDS} {:.1} GFLOP/s (100 %), median {:.1}",
        rayon::current_num_threads(),
        rate / 1e9,
        flops / median / 1e9
    );
    println!("{POINTS} points of `sdf`: best of {ROUNDS} (share of the product's best), median (share of its median)");
    for (case, times) in Case::ALL.iter().zip(&mut times) {
        for ((order, _), times) in orders.iter().zip(times) {
            let work = case.flops(&spec) * POINTS as f64;
            let (fast, middle) = best_and_median(times);
            println!(
                "{:>13}, {order:<6}: {:6.1} GFLOP/s ({:3.0} %), {:6.1} ({:3.0} %); {:6.2} Mpoint/s",
                case.name(),
                work / fast / 1e9,
                100.0 * work / fast / rate,
                work / middle / 1e9,
                100.0 * work / middle / (flops / median),
                POINTS as f64 / fast / 1e6
            );
        }
    }
}

fn kernels(c: &mut Criterion) {
    let config = preset("sdf").expect("the preset exists");
    let spec = config.spec();
    let mut rng = Pcg64::seed_from_u64(1);
    let mut random =
        |n: usize, low: f32, high: f32| -> Vec<f32> { (0..n).map(|_| rng.random_range(low..high)).collect() };
    let fused = FusedField::new(&spec);
    let width = spec.full_columns().len;
    let (grid, net) = (random(spec.grid_len(), -0.5, 0.5), random(spec.net_len(), -0.15, 0.15));
    let x = random(POINTS * spec.dim, 0.0, 1.0);
    let mut sorted = x.as_chunks::<3>().0.to_vec();
    sorted.sort_by_key(morton);
    let orders = [("morton", sorted.concat()), ("random", x)];
    let mut run = Run {
        target: random(POINTS, -1.0, 1.0),
        out: vec![0.0; POINTS],
        full: vec![0.0; POINTS * width],
        d_full: random(POINTS * width, -1.0, 1.0),
        d_grid: vec![0.0; grid.len()],
        d_net: vec![0.0; net.len()],
        fused,
        grid,
        net,
    };
    summary(&mut run, &orders);

    let mut group = c.benchmark_group("kernel");
    group.throughput(Throughput::Elements(POINTS as u64));
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    for case in Case::ALL {
        for (order, x) in &orders {
            group.bench_function(format!("{}/{order}", case.name()), |b| b.iter(|| case.run(&mut run, x)));
        }
    }
    group.finish();
    let mut group = c.benchmark_group("gemm");
    let (flops, mut call) = product();
    group.throughput(Throughput::Elements(flops as u64));
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    group.bench_function(format!("{SIZE}³ f32"), |b| b.iter(&mut call));
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
