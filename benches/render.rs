//! Benchmarks of sphere tracing on an analytic scene (time of a frame, evaluations a pixel) and of rays through an occupancy
//! grid on one core (rays and samples a second).

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use glam::{DVec3, Vec3};
use nstr::camera::{Camera, Orbit};
use nstr::render::cpu::DistanceGrid;
use nstr::render::{RenderSettings, Shading, SphereTracer, TracerSettings};
use nstr::space::analytic::{AnalyticSdf, still_life};
use nstr::space::{Cube, Occupancy, RaySampling, SceneMap, VolumePath};

fn view() -> Camera {
    let bounds = (DVec3::splat(0.1), DVec3::splat(0.9));
    Orbit { size: (800, 800), ..Orbit::default() }.cameras(bounds).expect("a valid orbit")[0]
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("render");
    group.sample_size(10);
    let camera = view();
    let plain = RenderSettings::default();
    let studio = RenderSettings { shading: Shading::studio(), ..plain };
    for lipschitz in [1.0, 1.5, 3.0] {
        let source = AnalyticSdf::new(lipschitz, |p: Vec3| still_life(p));
        for cells in [0, 64, 128] {
            let settings = TracerSettings { grid_cells: cells, ..TracerSettings::default() };
            let tracer = SphereTracer::new(&source, Cube::default(), settings).expect("valid settings");
            let stats = tracer.render(&camera, &plain).expect("a frame").stats;
            println!(
                "lipschitz {lipschitz}, grid {cells} ({} evaluations): {:.3} evaluations + {:.3} gradients a pixel, {:.1} % hit",
                tracer.grid().map_or(0, |g| g.evals),
                stats.evals_per_ray(),
                stats.gradient_evals as f64 / stats.rays as f64,
                100.0 * stats.hits as f64 / stats.rays as f64
            );
            group.bench_function(format!("800x800/L{lipschitz}/grid{cells}"), |b| {
                b.iter(|| tracer.render(&camera, &plain))
            });
        }
    }
    let source = AnalyticSdf::new(1.0, still_life);
    let tracer = SphereTracer::new(&source, Cube::default(), TracerSettings::default()).expect("valid settings");
    let stats = tracer.render(&camera, &studio).expect("a frame").stats;
    println!("studio: {:.3} secondary evaluations a hit", stats.secondary_evals as f64 / stats.hits as f64);
    group.bench_function("800x800/studio", |b| b.iter(|| tracer.render(&camera, &studio)));
    group.bench_function("grid128", |b| b.iter(|| DistanceGrid::build(&source, 128, 1.0)));
    group.finish();
}

/// Rays of the view, in field coordinates.
fn rays() -> Vec<VolumePath> {
    let camera = view().resized(256, 256);
    let pixels = (0..256 * 256).map(|i| ((i % 256) as f64 + 0.5, (i / 256) as f64 + 0.5));
    pixels.map(|(x, y)| SceneMap::default().path(&camera.ray(x, y), 0.0, f64::INFINITY)).collect()
}

fn occupancies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("occupancy");
    group.sample_size(20);
    let rays = rays();
    let n = 128;
    let shape = |i: usize| {
        let at = Vec3::new((i % n) as f32, (i / n % n) as f32, (i / (n * n)) as f32);
        still_life((at + 0.5) / n as f32) < 1.0 / n as f32
    };
    // A few cells in opposite corners: the box around them holds the whole cube.
    let corners = Occupancy::from_bits(n, |i| [0, n * n * n - 1].contains(&i));
    for (name, occupancy) in
        [("corners", corners), ("scene", Occupancy::from_bits(n, shape)), ("full", Occupancy::full(n))]
    {
        for cone in [0.0, 1.0 / 256.0] {
            let steps = RaySampling { step: 3f32.sqrt() / 1024.0, cone, jitter: 0.5 };
            let run = || {
                let mut samples = 0u64;
                for ray in &rays {
                    occupancy.march(ray, &steps, |s| {
                        samples += (s.dt > 0.0) as u64;
                        true
                    });
                }
                samples
            };
            println!("{name}, cone {cone}: {:.1} samples a ray", run() as f64 / rays.len() as f64);
            let per_ray = name != "full";
            group.throughput(Throughput::Elements(if per_ray { rays.len() as u64 } else { run() }));
            group.bench_function(format!("{name}/cone{cone:.4}"), |b| b.iter(run));
        }
    }
    group.bench_function("from_bits", |b| b.iter(|| Occupancy::from_bits(n, |i| i % 3 == 0)));
    group.finish();
}

criterion_group!(benches, frames, occupancies);
criterion_main!(benches);
