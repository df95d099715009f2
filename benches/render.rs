//! Sphere tracing of an analytic scene: time of a frame, and evaluations a pixel.

use criterion::{Criterion, criterion_group, criterion_main};
use glam::{DVec3, Vec3};
use nstr::render::analytic::{Analytic, still_life};
use nstr::render::cpu::{DistanceGrid, Shading};
use nstr::render::{Camera, Orbit, RenderSettings, SphereTracer, TracerSettings, UnitCube};

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
        let source = Analytic::new(lipschitz, |p: Vec3| still_life(p));
        for cells in [0, 64, 128] {
            let settings = TracerSettings { grid_cells: cells, ..TracerSettings::default() };
            let tracer = SphereTracer::new(&source, UnitCube::default(), settings).expect("valid settings");
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
    let source = Analytic::new(1.0, still_life);
    let tracer = SphereTracer::new(&source, UnitCube::default(), TracerSettings::default()).expect("valid settings");
    let stats = tracer.render(&camera, &studio).expect("a frame").stats;
    println!("studio: {:.3} secondary evaluations a hit", stats.secondary_evals as f64 / stats.hits as f64);
    group.bench_function("800x800/studio", |b| b.iter(|| tracer.render(&camera, &studio)));
    group.bench_function("grid128", |b| b.iter(|| DistanceGrid::build(&source, 128, 1.0)));
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
