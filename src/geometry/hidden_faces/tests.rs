//! Unions of boxes against a count of cells, of balls against formulas; what must not be touched.

use std::f64::consts::{PI, TAU};

use glam::{DQuat, DVec3};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::query::QueryOptions;
use crate::sample::SurfaceSampler;
use crate::sign::SignMethod;
use crate::{DistanceQuery, HiddenFaces, TriMesh, testing};

fn query(mesh: &TriMesh) -> DistanceQuery {
    let options = QueryOptions { method: SignMethod::Winding, ..QueryOptions::default() };
    DistanceQuery::new(mesh, &options).unwrap()
}

fn hidden(mesh: &TriMesh) -> HiddenFaces {
    *query(mesh).hidden_faces()
}

fn distances(q: &DistanceQuery, points: &[DVec3]) -> Vec<f64> {
    let mut out = vec![0.0f32; points.len()];
    q.signed_distances(points, &mut out);
    out.into_iter().map(f64::from).collect()
}

fn distance(q: &DistanceQuery, p: DVec3) -> f64 {
    distances(q, &[p])[0]
}

fn flipped(mut mesh: TriMesh) -> TriMesh {
    mesh.faces.iter_mut().for_each(|f| f.swap(1, 2));
    mesh
}

fn rotation(rng: &mut Pcg64) -> DQuat {
    let mut turn = || rng.random_range(0.0..TAU);
    DQuat::from_euler(glam::EulerRot::XYZ, turn(), turn(), turn())
}

/// Turned, and rounded as by a file of single precision.
fn turned(mesh: &TriMesh, by: DQuat, rounded: bool) -> TriMesh {
    let mut mesh = mesh.clone();
    for p in &mut mesh.positions {
        *p = by * *p;
        if rounded {
            *p = p.as_vec3().as_dvec3();
        }
    }
    mesh
}

/// Ball of `n` × 2`n` quadrilaterals in latitude and longitude, with a fan at each pole.
fn ball(center: DVec3, radius: f64, n: u32) -> TriMesh {
    let mut mesh = TriMesh::default();
    let point = |i: u32, j: u32| {
        let (a, b) = (f64::from(i) / f64::from(n) * PI, f64::from(j) / f64::from(n) * PI);
        center + radius * DVec3::new(a.sin() * b.cos(), a.sin() * b.sin(), a.cos())
    };
    mesh.positions.extend([point(0, 0), point(n, 0)]);
    (1..n).for_each(|i| mesh.positions.extend((0..2 * n).map(|j| point(i, j))));
    let at = |i: u32, j: u32| {
        if i == 0 {
            0
        } else if i == n {
            1
        } else {
            2 + (i - 1) * 2 * n + j % (2 * n)
        }
    };
    for (i, j) in (0..n).flat_map(|i| (0..2 * n).map(move |j| (i, j))) {
        let [a, b, c, d] = [at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)];
        mesh.faces.extend([[a, b, c], [a, c, d]].into_iter().filter(|f| f[0] != f[1] && f[1] != f[2] && f[2] != f[0]));
    }
    mesh
}

/// A box of whole numbers, in units of cells.
type Cells = [[usize; 3]; 2];

fn cuboid(&[lo, hi]: &Cells) -> TriMesh {
    let at = |p: [usize; 3]| DVec3::from(p.map(|x| x as f64));
    testing::cuboid(at(lo), at(hi))
}

/// Number of cells in the union of boxes among `N`³, and of the squares around it.
fn count_cells(boxes: &[Cells]) -> (f64, f64) {
    const N: usize = 12;
    let full = |p: [usize; 3]| boxes.iter().any(|b| (0..3).all(|k| b[0][k] < p[k] && p[k] <= b[1][k]));
    let (mut volume, mut area) = (0, 0);
    // Cells are numbered from 1, so that there is an empty one before the first.
    for p in (1..N).flat_map(|x| (1..N).flat_map(move |y| (1..N).map(move |z| [x, y, z]))) {
        if !full(p) {
            continue;
        }
        volume += 1;
        for k in 0..3 {
            let mut q = p;
            q[k] -= 1;
            area += usize::from(!full(q));
            q[k] += 2;
            area += usize::from(!full(q));
        }
    }
    (volume as f64, area as f64)
}

/// Distance to the nearest square around the union of boxes.
fn surface_distance(boxes: &[Cells], p: DVec3) -> f64 {
    let inside = |q: DVec3| boxes.iter().any(|b| (0..3).all(|k| (b[0][k] as f64) < q[k] && q[k] < b[1][k] as f64));
    let mut best = f64::INFINITY;
    for b in boxes {
        for cell in (b[0][0]..b[1][0])
            .flat_map(|x| (b[0][1]..b[1][1]).flat_map(move |y| (b[0][2]..b[1][2]).map(move |z| [x, y, z])))
        {
            let lo = DVec3::from(cell.map(|x| x as f64));
            for (k, side) in (0..3).flat_map(|k| [(k, 0.0), (k, 1.0)]) {
                let (mut a, mut b) = (lo, lo + 1.0);
                (a[k], b[k]) = (lo[k] + side, lo[k] + side);
                let mut beyond = (a + b) * 0.5;
                beyond[k] += side - 0.5;
                if !inside(beyond) {
                    best = best.min(p.distance(p.clamp(a, b)));
                }
            }
        }
    }
    if inside(p) { -best } else { best }
}

/// Checks area, volume and distances of a union of boxes, as it is and turned, exact and rounded.
fn check_boxes(boxes: &[Cells], rng: &mut Pcg64) {
    let mesh = testing::join(&boxes.iter().map(cuboid).collect::<Vec<_>>());
    let (volume, area) = count_cells(boxes);
    let mut points: Vec<DVec3> = (0..40)
        .map(|_| DVec3::new(rng.random_range(-1.0..9.0), rng.random_range(-1.0..9.0), rng.random_range(-1.0..9.0)))
        .collect();
    points.extend((0..9).map(|i| DVec3::splat(f64::from(i) + 0.37)));
    let want: Vec<f64> = points.iter().map(|&p| surface_distance(boxes, p)).collect();
    for (by, rounded) in [(DQuat::IDENTITY, false), (rotation(rng), false), (rotation(rng), true)] {
        let mesh = turned(&mesh, by, rounded);
        let q = query(&mesh);
        let surface = q.surface().map_or(&mesh, AsRef::as_ref);
        let report = crate::MeshReport::new(surface);
        let at: Vec<DVec3> = points.iter().map(|&p| by * p).collect();
        assert!(
            (report.area - area).abs() < 1e-3 && (report.signed_volume - volume).abs() < 1e-3,
            "{boxes:?} {by} {rounded}: {area} {volume} {report:?}"
        );
        for ((d, want), p) in distances(&q, &at).iter().zip(&want).zip(&points) {
            assert!((d - want).abs() < 2e-5, "{boxes:?} {by} {rounded} {p}: {d} {want}");
        }
    }
}

#[test]
fn two_cubes_are_their_union() {
    let boxes = [[[0; 3], [2; 3]], [[1; 3], [3; 3]]];
    check_boxes(&boxes, &mut Pcg64::seed_from_u64(1));
    let mesh = testing::join(&boxes.map(|b| cuboid(&b)));
    let q = query(&mesh);
    let found = *q.hidden_faces();
    assert!(found.inside == 0 && found.cut >= 6 && found.cut <= 12 && found.repeated == 0, "{found:?}");
    // 15 of 16 cells, and 12 sides of 2 × 2 without a square each on 6.
    assert!((found.volume - 15.0).abs() < 1e-9 && (found.area - 42.0).abs() < 1e-9, "{found:?}");
    assert!(found.note().unwrap().contains("partly inside it"));
    // The corner of each cube lies deep in the other.
    for corner in [DVec3::splat(1.0), DVec3::splat(2.0)] {
        assert!((distance(&q, corner) + 1.0).abs() < 1e-6);
        assert!((q.closest(corner).unwrap().distance - 1.0).abs() < 1e-9);
    }
    // A closest point on a piece is one of the whole face.
    let points = testing::points(500, 2, 4.0);
    for (p, c) in points.iter().zip(q.closest_batch(&points)) {
        let c = c.unwrap();
        let [a, b, d] = mesh.triangle(c.face as usize);
        let [u, v, w] = c.barycentric;
        assert!((a * u + b * v + d * w - c.point).length() < 1e-9 && (c.point.distance(*p) - c.distance).abs() < 1e-9);
        assert_eq!(q.closest(*p), Some(c));
    }
    // Samples keep off what is inside.
    let samples = SurfaceSampler::new(q.surface().unwrap().clone()).unwrap().sample(5000, 3);
    let within =
        |p: DVec3, lo: f64| p.cmpgt(DVec3::splat(lo + 1e-5)).all() && p.cmplt(DVec3::splat(lo + 2.0 - 1e-5)).all();
    assert!(samples.iter().all(|s| !within(s.position, 0.0) && !within(s.position, 1.0)));
}

#[test]
fn faces_in_one_plane_and_touching_boxes_come_out_right() {
    let mut rng = Pcg64::seed_from_u64(2);
    for boxes in [
        // Floors and a wall in one plane.
        [[[0, 0, 0], [4, 4, 4]], [[2, 1, 0], [6, 3, 2]]],
        // Side by side, and a smaller one against a wall.
        [[[0, 0, 0], [2, 2, 2]], [[2, 0, 0], [4, 2, 2]]],
        [[[0, 0, 0], [5, 5, 5]], [[5, 1, 2], [7, 3, 4]]],
        // One in a corner of the other, on three of its sides; the same box twice; a bar through a box.
        [[[0, 0, 0], [5, 5, 5]], [[0, 0, 0], [2, 3, 4]]],
        [[[0, 0, 0], [5, 5, 5]], [[0, 0, 0], [5, 5, 5]]],
        [[[1, 1, 0], [4, 4, 4]], [[0, 2, 1], [6, 3, 2]]],
        // Along an edge, and at a corner.
        [[[0, 0, 0], [2, 2, 2]], [[2, 2, 0], [4, 4, 2]]],
        [[[0, 0, 0], [2, 2, 2]], [[2, 2, 2], [4, 4, 4]]],
    ] {
        check_boxes(&boxes, &mut rng);
    }
    let pair = |b: Cells| hidden(&testing::join(&[cuboid(&[[0; 3], [2; 3]]), cuboid(&b)]));
    let side = pair([[2, 0, 0], [4, 2, 2]]);
    assert_eq!((side.inside, side.cut, side.repeated), (4, 0, 0));
    let twice = pair([[0; 3], [2; 3]]);
    assert_eq!((twice.inside, twice.cut, twice.repeated), (0, 0, 12));
    assert_eq!(pair([[2, 2, 0], [4, 4, 2]]), HiddenFaces::default());
}

#[test]
fn piles_of_boxes_are_what_their_cells_are() {
    let mut rng = Pcg64::seed_from_u64(3);
    for n in [3, 3, 4, 5, 6, 8, 10, 12] {
        let boxes: Vec<Cells> = (0..n)
            .map(|_| {
                let lo = [0; 3].map(|_| rng.random_range(0..6usize));
                [lo, lo.map(|x| x + rng.random_range(1..4usize).min(8 - x))]
            })
            .collect();
        check_boxes(&boxes, &mut rng);
    }
}

#[test]
fn three_balls_are_their_union() {
    let balls = [(DVec3::ZERO, 1.0), (DVec3::new(0.9, 0.2, 0.1), 0.8), (DVec3::new(0.3, 1.0, -0.2), 0.7)];
    let mesh = testing::join(&balls.map(|(c, r)| ball(c, r, 48)));
    let q = query(&mesh);
    let found = q.hidden_faces();
    assert!(found.inside > 1000 && found.cut > 100 && !found.unresolved, "{found:?}");
    let points = testing::points(4000, 4, 2.0);
    let mut seen = 0;
    for (p, d) in points.iter().zip(distances(&q, &points)) {
        let outside = balls.iter().map(|(c, r)| p.distance(*c) - r).fold(f64::INFINITY, f64::min);
        if outside > 0.01 {
            assert!((d - outside).abs() < 2e-3, "{p} {d} {outside}");
            seen += 1;
        } else if outside < -0.01 {
            // In the union at least as deep as in any of the balls.
            assert!(d < outside + 2e-3, "{p} {d} {outside}");
        }
    }
    assert!(seen > 1000);
    let samples = SurfaceSampler::new(q.surface().unwrap().clone()).unwrap().sample(20_000, 5);
    for s in &samples {
        let d = balls.iter().map(|(c, r)| s.position.distance(*c) - r).fold(f64::INFINITY, f64::min);
        assert!(d.abs() < 2e-3, "{d}");
    }
    // Volume by counting points of a lattice.
    let n = 100;
    let at = |i: usize| -1.1 + 3.1 * (i as f64 + 0.5) / n as f64;
    let lattice = (0..n * n * n).map(|i| DVec3::new(at(i % n), at(i / n % n), at(i / n / n)));
    let inside = lattice.filter(|p| balls.iter().any(|(c, r)| p.distance(*c) < *r)).count();
    let volume = inside as f64 * (3.1 / n as f64).powi(3);
    assert!((found.volume - volume).abs() < 0.005 * volume, "{} {volume}", found.volume);
}

#[test]
fn one_surface_that_runs_through_itself_is_the_union_of_its_turns() {
    // A tube that goes around twice: in the half plane at an angle t two discs around 2 ± 0.3 cos(t / 2).
    let (n, m, major, sway, minor) = (150u32, 48u32, 2.0, 0.3, 0.5);
    let mut mesh = TriMesh::default();
    for (i, j) in (0..n).flat_map(|i| (0..m).map(move |j| (i, j))) {
        let (u, v) = (f64::from(i) / f64::from(n) * 2.0 * TAU, f64::from(j) / f64::from(m) * TAU);
        let r = major + sway * (u / 2.0).cos() + minor * v.cos();
        mesh.positions.push(DVec3::new(r * u.cos(), r * u.sin(), minor * v.sin()));
        let at = |i: u32, j: u32| (i % n) * m + j % m;
        let [a, b, c, d] = [at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)];
        mesh.faces.extend([[a, b, c], [a, c, d]]);
    }
    let q = query(&mesh);
    let found = q.hidden_faces();
    let discs = |t: f64| [1.0, -1.0].map(|side| major + side * sway * (t / 2.0).cos());
    // The union of the discs is symmetrical about the middle circle, so its volume is area times way (Pappus).
    let area = |t: f64| {
        let half = (discs(t)[0] - major).abs();
        let lens = 2.0 * minor * minor * (half / minor).acos() - 2.0 * half * (minor * minor - half * half).sqrt();
        TAU * minor * minor - lens
    };
    let volume = (0..1000).map(|k| area((f64::from(k) + 0.5) / 1000.0 * TAU)).sum::<f64>() * TAU / 1000.0 * major;
    assert!((found.volume - volume).abs() < 0.01 * volume, "{found:?} {volume}");
    assert!(found.inside > 1000 && found.cut > 100, "{found:?}");
    // Samples lie on neither disc's inside.
    for s in SurfaceSampler::new(q.surface().unwrap().clone()).unwrap().sample(5000, 6) {
        let p = s.position;
        let t = p.y.atan2(p.x);
        let depth = discs(t).map(|r| minor - (p.x.hypot(p.y) - r).hypot(p.z));
        assert!(depth.iter().all(|&d| d < 0.01), "{p} {depth:?}");
    }
}

#[test]
fn a_box_in_a_box_is_hidden_and_a_cavity_is_not() {
    let (outer, inner) = (cuboid(&[[0; 3], [6; 3]]), cuboid(&[[2; 3], [4; 3]]));
    let both = testing::join(&[outer.clone(), inner.clone()]);
    let found = hidden(&both);
    assert_eq!((found.inside, found.cut, found.repeated), (12, 0, 0));
    assert_eq!(query(&both).surface().unwrap().faces, outer.faces);
    assert!((distance(&query(&both), DVec3::splat(3.0)) + 3.0).abs() < 1e-6);
    // Inside out as a whole the same.
    assert_eq!(hidden(&flipped(both)).inside, 12);
    let hollow = testing::join(&[outer.clone(), flipped(inner.clone())]);
    assert_eq!(hidden(&hollow), HiddenFaces::default());
    assert!((distance(&query(&hollow), DVec3::splat(3.0)) - 1.0).abs() < 1e-6);
    // A plug that fills the cavity leaves nothing of it; a box in the cavity stays.
    let plugged = testing::join(&[hollow.clone(), inner]);
    let found = hidden(&plugged);
    assert_eq!((found.inside, found.cut, found.area), (24, 0, 216.0));
    let small = testing::cuboid(DVec3::splat(2.5), DVec3::splat(3.5));
    assert_eq!(hidden(&testing::join(&[hollow, small])), HiddenFaces::default());
}

#[test]
fn what_is_no_union_is_not_touched() {
    let (a, b) = (cuboid(&[[0; 3], [4; 3]]), cuboid(&[[1; 3], [5; 3]]));
    let both = testing::join(&[a.clone(), b.clone()]);
    let mut open = both.clone();
    open.faces.pop();
    for mesh in
        [&a, &testing::torus(0.6, 0.25, 60, 40), &ball(DVec3::ZERO, 1.0, 30), &open, &testing::soup(500, 1, 0.3)]
    {
        let q = query(mesh);
        assert!(q.surface().is_none() && *q.hidden_faces() == HiddenFaces::default());
    }
    // Apart, however near.
    let near = testing::cuboid(DVec3::new(4.001, 0.0, 0.0), DVec3::new(6.0, 2.0, 2.0));
    assert!(query(&testing::join(&[a.clone(), near])).surface().is_none());
    // By another sign faces have their old roles.
    for method in [SignMethod::Visibility, SignMethod::Parity, SignMethod::Unsigned] {
        let options = QueryOptions { method, resolution: 32, ..QueryOptions::default() };
        assert!(DistanceQuery::new(&both, &options).unwrap().surface().is_none(), "{method}");
    }
    assert!(DistanceQuery::new(&testing::doubled(both), &QueryOptions::default()).unwrap().surface().is_none());
    // Overlapping parts of opposite orientation cancel where they overlap: both are surface there.
    let opposite = testing::join(&[a, flipped(b)]);
    assert!(query(&opposite).surface().is_none());
}

#[test]
fn many_copies_and_many_crossings_end() {
    let many = testing::join(&vec![testing::cuboid(DVec3::ZERO, DVec3::ONE); 2000]);
    let found = hidden(&many);
    assert!((found.inside, found.cut) == (0, 0) && found.repeated > 0 && !found.unresolved, "{found:?}");
    assert!((found.area - 6.0).abs() < 1e-9);
    // A comb of thin plates through a board: a face that a hundred others cross.
    let mut parts = vec![testing::cuboid(DVec3::new(0.0, 0.0, 0.0), DVec3::new(10.0, 10.0, 1.0))];
    for i in 0..100 {
        let x = 0.01 + f64::from(i) / 11.0;
        parts.push(testing::cuboid(DVec3::new(x, 1.0, -1.0), DVec3::new(x + 0.01, 9.0, 2.0)));
    }
    let found = hidden(&testing::join(&parts));
    // The board without what stands on it, and of each plate a cap and four walls on both of its sides.
    let area = (240.0 - 200.0 * 0.08) + 200.0 * (0.08 + 2.0 * (8.0 + 0.01));
    assert!((found.area - area).abs() < 1e-2, "{found:?} {area}");
}

#[test]
#[ignore = "a measurement: cargo test --release -p nstr-geometry --lib hidden -- --ignored --nocapture"]
fn cost_on_clean_meshes() {
    for (n, m) in [(187, 94), (1000, 500)] {
        let mesh = testing::torus(0.6, 0.25, n, m);
        let bvh = crate::bvh::Bvh::new(&mesh);
        let winding = crate::winding::Winding::new(&bvh, crate::winding::DEFAULT_BETA);
        let start = std::time::Instant::now();
        let topology = crate::topology::Topology::new(&bvh);
        let shared = start.elapsed();
        let (outer, _) = super::outer_surface(&mesh, &bvh, &winding, &topology);
        println!("{} faces: edges {shared:?}, hidden faces {:?}", mesh.faces.len(), start.elapsed() - shared);
        assert!(outer.is_none());
    }
}
