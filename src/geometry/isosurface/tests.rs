//! Watertight, manifold, right genus, and the sparse path equal to the dense one.

use std::collections::HashMap;

use glam::{DVec3, Vec3};
use proptest::prelude::*;

use crate::isosurface::*;

fn lattice(n: usize) -> Lattice {
    Lattice::covering(DVec3::splat(-1.0), DVec3::ONE, n)
}

fn values(l: &Lattice, f: impl Fn(DVec3) -> f64) -> Vec<f32> {
    let [nx, ny, _] = l.dims;
    (0..l.len()).map(|i| f(l.point([i % nx, i / nx % ny, i / (nx * ny)])) as f32).collect()
}

/// Panics unless the mesh is closed, oriented, and every edge and vertex is a manifold's; returns V − E + F.
fn euler(mesh: &TriMesh) -> i64 {
    let mut next: HashMap<(u32, u32), u32> = HashMap::new();
    let mut around = vec![0; mesh.positions.len()];
    for f in &mesh.faces {
        assert!(f[0] != f[1] && f[1] != f[2] && f[2] != f[0]);
        for k in 0..3 {
            assert!(
                next.insert((f[k], f[(k + 1) % 3]), f[(k + 2) % 3]).is_none(),
                "an edge is used twice in one direction"
            );
            around[f[k] as usize] += 1;
        }
    }
    assert!(next.keys().all(|&(a, b)| next.contains_key(&(b, a))), "an edge is open");
    let mut start = vec![None; mesh.positions.len()];
    next.keys().for_each(|&(a, b)| start[a as usize] = Some(b));
    for (v, first) in start.iter().enumerate() {
        let first = first.expect("a vertex is unused");
        let (mut at, mut steps) = (first, 0);
        loop {
            at = next[&(v as u32, at)];
            steps += 1;
            if at == first {
                break;
            }
        }
        assert_eq!(steps, around[v], "a vertex joins two sheets");
    }
    mesh.positions.len() as i64 - next.len() as i64 / 2 + mesh.faces.len() as i64
}

fn volume(mesh: &TriMesh) -> f64 {
    (0..mesh.faces.len()).map(|f| mesh.triangle(f)).map(|[a, b, c]| a.dot(b.cross(c)) / 6.0).sum()
}

#[test]
fn a_sphere_is_a_sphere() {
    let l = lattice(70);
    let mesh = dense(&l, &values(&l, |p| p.length() - 0.7)).unwrap();
    assert_eq!(euler(&mesh), 2);
    let want = 4.0 / 3.0 * std::f64::consts::PI * 0.343;
    assert!((volume(&mesh) - want).abs() < 2e-3 * want, "{}", volume(&mesh));
    assert!(mesh.positions.iter().all(|p| (p.length() - 0.7).abs() < 1e-3));
}

#[test]
fn a_torus_has_a_hole() {
    let l = lattice(50);
    let mesh = dense(&l, &values(&l, |p| ((p.x.hypot(p.y) - 0.6).hypot(p.z)) - 0.25)).unwrap();
    assert_eq!(euler(&mesh), 0);
    assert!(volume(&mesh) > 0.0);
}

#[test]
fn zeros_on_lattice_points_keep_vertices_apart() {
    let l = lattice(8);
    let mesh = dense(&l, &values(&l, |p| p.abs().element_sum() - 0.75)).unwrap();
    assert_eq!(euler(&mesh), 2);
    let mut seen = std::collections::HashSet::new();
    assert!(mesh.positions.iter().all(|p| seen.insert(p.to_array().map(f64::to_bits))));
}

#[test]
fn nothing_comes_of_nothing_and_bad_input_is_named() {
    let l = lattice(5);
    assert!(dense(&l, &values(&l, |_| 1.0)).unwrap().faces.is_empty());
    assert!(dense(&l, &values(&l, |_| f64::NAN)).unwrap().faces.is_empty());
    assert_eq!(dense(&l, &[0.0; 3]), Err(IsoError::Values { got: 3, want: 216 }));
    assert!(dense(&Lattice { dims: [1, 5, 5], ..l }, &[0.0; 25]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn noise_is_closed_and_manifold(seed in any::<u64>(), nx in 3usize..80, ny in 3usize..12, nz in 3usize..12, share in 0.1f64..0.9) {
        let l = Lattice { dims: [nx, ny, nz], origin: DVec3::ZERO, spacing: DVec3::ONE };
        let mut state = seed | 1;
        let v: Vec<f32> = (0..l.len()).map(|i| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = [i % nx, i / nx % ny, i / (nx * ny)];
            let border = (0..3).any(|k| at[k] == 0 || at[k] + 1 == l.dims[k]);
            let u = (state >> 40) as f64 / (1u64 << 24) as f64;
            if border { 1.0 } else { (u - share) as f32 }
        }).collect();
        let mesh = dense(&l, &v).unwrap();
        if !mesh.faces.is_empty() {
            prop_assert_eq!(euler(&mesh) % 2, 0);
            prop_assert!(volume(&mesh) > 0.0);
        }
    }
}

fn sparse_equals_dense(resolution: usize, f: impl Fn(Vec3) -> f32 + Sync, lipschitz: f32) -> SparseSurface {
    let (lo, hi) = (DVec3::new(-1.0, -1.0, -0.9), DVec3::new(1.0, 0.93, 1.0));
    let options = SparseOptions { resolution, lo, hi, lipschitz, safety: 1.05, refine: 0 };
    let got = sparse(&options, |p, out| p.iter().zip(out).for_each(|(p, o)| *o = f(*p))).unwrap();
    let l = Lattice::covering(lo, hi, resolution);
    let [nx, ny, _] = l.dims;
    let all: Vec<f32> = (0..l.len()).map(|i| f(l.point([i % nx, i / nx % ny, i / (nx * ny)]).as_vec3())).collect();
    assert_eq!(got.mesh, dense(&l, &all).unwrap());
    assert_eq!(got.lattice_points, l.len());
    got
}

#[test]
fn sparse_gives_the_dense_mesh_for_less() {
    let sphere = sparse_equals_dense(128, |p| p.length() - 0.61, 1.0);
    assert!(sphere.evaluations * 5 < sphere.lattice_points, "{} of {}", sphere.evaluations, sphere.lattice_points);
    sparse_equals_dense(67, |p| (p.x * 9.0).sin() * (p.y * 9.0).cos() + (p.z * 8.0).sin() * 0.5, 14.0);
    sparse_equals_dense(31, |p| (p.truncate().length() - 0.5).hypot(p.z) - 0.07, 1.0);
}

#[test]
fn half_a_billion_points_cost_a_small_share() {
    let options = SparseOptions {
        resolution: 512,
        lo: DVec3::splat(-1.0),
        hi: DVec3::ONE,
        lipschitz: 1.0,
        safety: 1.1,
        refine: 0,
    };
    let got = sparse(&options, |p, out| p.iter().zip(out).for_each(|(p, o)| *o = p.length() - 0.5)).unwrap();
    println!("512³ sphere: {} of {} points", got.evaluations, got.lattice_points);
    assert!(got.evaluations * 12 < got.lattice_points);
}

/// Range of the distance from `centre` over a box.
fn distances(centre: Vec3, lo: DVec3, hi: DVec3) -> [f64; 2] {
    let centre = centre.as_dvec3();
    let far = (lo - centre).abs().max((hi - centre).abs());
    [(centre.clamp(lo, hi) - centre).length(), far.length()]
}

#[test]
fn enclosed_misses_nothing_where_a_slope_bound_does() {
    // A ball, and a small one around which the slope is far above 1.
    let small = Vec3::new(0.71, 0.72, 0.7);
    let f = |p: Vec3| (p.length() - 0.6).min(40.0 * ((p - small).length() - 0.06));
    let eval = |p: &[Vec3], out: &mut [f32]| p.iter().zip(out).for_each(|(p, o)| *o = f(*p));
    let boxes = |parts: usize, known: bool| -> Vec<SignedBox> {
        let edge = 2.0 / parts as f64;
        let part = |i: usize| {
            let lo =
                DVec3::from_array([i % parts, i / parts % parts, i / parts / parts].map(|v| v as f64 * edge - 1.0));
            let hi = lo + edge;
            let (a, b) = (distances(Vec3::ZERO, lo, hi), distances(small, lo, hi));
            // Rounding of f in f32.
            let [low, high] = [0, 1].map(|i| (a[i] - 0.6).min(40.0 * (b[i] - 0.06)) + [-1e-5, 1e-5][i]);
            let sign = i8::from(known && low > 0.0) - i8::from(known && high < 0.0);
            SignedBox { lo, hi, sign }
        };
        (0..parts.pow(3)).map(part).collect()
    };
    for n in [20, 47, 64, 128] {
        let l = lattice(n);
        let dense_mesh = dense(&l, &values(&l, |p| f64::from(f(p.as_vec3())))).unwrap();
        let options = EnclosedOptions { resolution: n, lo: DVec3::splat(-1.0), hi: DVec3::ONE, refine: 0 };
        let unknown = enclosed(&options, &boxes(3, false), eval).unwrap();
        assert_eq!(unknown.surface.mesh, dense_mesh);
        assert_eq!((unknown.cells, unknown.visited), (n.pow(3), n.pow(3)));
        // Boxes larger and smaller than cells, aligned to them and not.
        for parts in [8, 32, 50, 64] {
            let got = enclosed(&options, &boxes(parts, true), eval).unwrap();
            assert_eq!(got.surface.mesh, dense_mesh, "{n} {parts}");
            assert_eq!(got.crossed, unknown.crossed, "{n} {parts}");
            if parts == 64 && n >= 64 {
                assert!(got.visited < n.pow(3) / 8 && got.surface.evaluations < unknown.surface.evaluations / 2);
            }
        }
        if n == 64 {
            assert_eq!(euler(&dense_mesh), 4);
            let (lo, hi) = (options.lo, options.hi);
            let sampled = SparseOptions { resolution: n, lo, hi, lipschitz: 1.0, safety: 1.1, refine: 0 };
            assert_ne!(sparse(&sampled, eval).unwrap().mesh, dense_mesh);
        }
    }
    let options = EnclosedOptions { resolution: 9, lo: DVec3::splat(-1.0), hi: DVec3::ONE, refine: 0 };
    for bad in [EnclosedOptions { resolution: 0, ..options }, EnclosedOptions { hi: DVec3::splat(-2.0), ..options }] {
        assert!(enclosed(&bad, &[], eval).is_err());
    }
}

#[test]
fn refinement_reaches_the_true_zero() {
    let f = |p: Vec3| p.length_squared() * p.length() - 0.343;
    let run = |refine| {
        let options = SparseOptions {
            resolution: 24,
            lo: DVec3::splat(-1.0),
            hi: DVec3::ONE,
            lipschitz: 10.0,
            safety: 1.0,
            refine,
        };
        let mesh = sparse(&options, |p, out| p.iter().zip(out).for_each(|(p, o)| *o = f(*p))).unwrap().mesh;
        mesh.positions.iter().map(|p| (p.length() - 0.7).abs()).fold(0.0, f64::max)
    };
    assert!(run(3) < 1e-2 * run(0), "{} {}", run(3), run(0));
}

#[test]
fn masked_equals_dense_where_the_mask_holds_the_surface() {
    let f = |p: Vec3| (p.length() - 0.6).min((p - Vec3::splat(0.55)).length() - 0.2);
    let eval = |p: &[Vec3], out: &mut [f32]| p.iter().zip(out).for_each(|(p, o)| *o = f(*p));
    for n in [20, 47] {
        let l = lattice(n);
        let dense_mesh = dense(&l, &values(&l, |p| f64::from(f(p.as_vec3())))).unwrap();
        let options = MaskedOptions { resolution: n, lo: DVec3::splat(-1.0), hi: DVec3::ONE, outside: 1.0, refine: 0 };
        let all = masked(&options, |_, _| true, eval).unwrap();
        assert_eq!(all.mesh, dense_mesh);
        let ball = |lo: DVec3, hi: DVec3| lo.max(DVec3::ZERO).min(hi).length() < 1.2;
        let some = masked(&options, ball, eval).unwrap();
        assert_eq!(some.mesh, dense_mesh);
        assert!(some.evaluations < all.evaluations);
    }
    // Half a ball closes where the mask ends.
    let options = MaskedOptions { resolution: 40, lo: DVec3::splat(-1.0), hi: DVec3::ONE, outside: 1.0, refine: 2 };
    let half = masked(
        &options,
        |lo, _| lo.x < 0.0,
        |p, out| p.iter().zip(out).for_each(|(p, o)| *o = if p.x < 0.0 { p.length() - 0.6 } else { 1.0 }),
    );
    let half = half.unwrap().mesh;
    assert_eq!(euler(&half), 2);
    assert!(half.positions.iter().all(|p| p.x < 0.05));
    for bad in [
        MaskedOptions { resolution: 0, ..options },
        MaskedOptions { outside: 0.0, ..options },
        MaskedOptions { hi: DVec3::splat(-1.0), ..options },
    ] {
        assert!(masked(&bad, |_, _| true, |_, _| ()).is_err());
    }
}
