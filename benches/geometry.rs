//! Rates of the geometry: hierarchy build, distance + sign, isosurface. Uses armadillo from `NSTR_DATA` where set, else a
//! generated mesh of as many faces.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use glam::DVec3;
use nstr::geometry::bvh::Bvh;
use nstr::geometry::isosurface::{Lattice, SparseOptions, dense, sparse};
use nstr::geometry::{DistanceQuery, QueryOptions, TriMesh, read_mesh};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

fn armadillo() -> Option<TriMesh> {
    let path = std::path::PathBuf::from(std::env::var_os("NSTR_DATA")?).join("mesh/armadillo.obj");
    read_mesh(&path).ok().map(|file| file.mesh)
}

fn gyroid(lattice: &Lattice) -> Vec<f32> {
    let [nx, ny, _] = lattice.dims;
    let one = |i: usize| {
        let p = lattice.point([i % nx, i / nx % ny, i / (nx * ny)]) * 12.0;
        let g = p.x.sin() * p.y.cos() + p.y.sin() * p.z.cos() + p.z.sin() * p.x.cos();
        (g / 12.0).max(p.length() / 12.0 - 0.95) as f32
    };
    (0..lattice.len()).map(one).collect()
}

fn mesh() -> (&'static str, TriMesh) {
    if let Some(mesh) = armadillo() {
        return ("armadillo", mesh);
    }
    let lattice = Lattice::covering(DVec3::splat(-1.0), DVec3::ONE, 64);
    ("gyroid", dense(&lattice, &gyroid(&lattice)).unwrap_or_default())
}

fn queries(c: &mut Criterion) {
    let (name, mesh) = mesh();
    let start = Instant::now();
    let query = DistanceQuery::new(&mesh, &QueryOptions::default()).expect("the mesh has faces");
    println!(
        "{name}: {} faces, prepared in {:.3} s; {}",
        mesh.faces.len(),
        start.elapsed().as_secs_f64(),
        query.sign().explanation()
    );
    let (lo, hi) = mesh.bounds().expect("the mesh has faces");
    let mut rng = Pcg64::seed_from_u64(1);
    let mut uniform = || rng.random_range(-0.6..0.6);
    let points: Vec<DVec3> =
        (0..500_000).map(|_| (lo + hi) * 0.5 + DVec3::new(uniform(), uniform(), uniform()) * (hi - lo)).collect();
    let mut out = vec![0.0; points.len()];
    let mut group = c.benchmark_group(format!("query/{name}"));
    group.sample_size(10).throughput(Throughput::Elements(points.len() as u64));
    group.bench_function("distance+sign, all threads", |b| {
        b.iter(|| query.signed_distances(&points, black_box(&mut out)))
    });
    group.bench_function("distance+sign, one thread", |b| {
        b.iter(|| query.signed_distances_serial(&points, None, black_box(&mut out)));
    });
    group.bench_function("inside", |b| b.iter(|| query.inside(black_box(&points))));
    group.finish();
    let mut group = c.benchmark_group(format!("build/{name}"));
    group.sample_size(10);
    group.bench_function("bvh", |b| b.iter(|| Bvh::new(black_box(&mesh))));
    group.bench_function("distance query", |b| {
        b.iter(|| DistanceQuery::new(black_box(&mesh), &QueryOptions::default()))
    });
    group.finish();
}

fn isosurfaces(c: &mut Criterion) {
    let lattice = Lattice { dims: [256; 3], origin: DVec3::splat(-1.0), spacing: DVec3::splat(2.0 / 255.0) };
    let [nx, ny, _] = lattice.dims;
    let sphere: Vec<f32> = (0..lattice.len())
        .map(|i| (lattice.point([i % nx, i / nx % ny, i / (nx * ny)]).length() - 0.8) as f32)
        .collect();
    let gyroid = gyroid(&lattice);
    let mut group = c.benchmark_group("isosurface");
    group.sample_size(10);
    group.bench_function("256³ sphere", |b| b.iter(|| dense(&lattice, black_box(&sphere))));
    group.bench_function("256³ gyroid", |b| b.iter(|| dense(&lattice, black_box(&gyroid))));
    let options = SparseOptions {
        resolution: 512,
        lo: DVec3::splat(-1.0),
        hi: DVec3::ONE,
        lipschitz: 1.0,
        safety: 1.1,
        refine: 0,
    };
    group.bench_function("512³ sphere, sparse", |b| {
        b.iter(|| sparse(&options, |p, out| p.iter().zip(out).for_each(|(p, o)| *o = p.length() - 0.8)));
    });
    group.finish();
}

criterion_group!(benches, queries, isosurfaces);
criterion_main!(benches);
