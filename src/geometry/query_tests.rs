//! Distance and sign together: solids, soups, and the libigl reference.

use std::io::Cursor;
use std::path::Path;

use glam::DVec3;
use nstr_files::testing::data_dir;

use crate::query::QueryOptions;
use crate::sign::{OrientationVerdict, SignMethod};
use crate::winding::{DEFAULT_BETA, Winding};
use crate::{DistanceQuery, TriMesh, testing};

fn query(mesh: &TriMesh, method: SignMethod, resolution: usize) -> DistanceQuery {
    DistanceQuery::new(mesh, &QueryOptions { method, resolution, ..QueryOptions::default() }).unwrap()
}

fn distances(q: &DistanceQuery, points: &[DVec3]) -> Vec<f32> {
    let mut out = vec![0.0; points.len()];
    q.signed_distances(points, &mut out);
    out
}

/// Exact signed distance of the box.
fn cuboid_distance(p: DVec3, lo: DVec3, hi: DVec3) -> f64 {
    let q = (p - (lo + hi) * 0.5).abs() - (hi - lo) * 0.5;
    q.max(DVec3::ZERO).length() + q.max_element().min(0.0)
}

#[test]
fn extreme_sizes_have_distances_in_another_unit() {
    let points = testing::points(300, 5, 1.5);
    let (lo, hi) = (DVec3::splat(-0.5), DVec3::splat(0.5));
    for size in [1.0, 1e39, 1e-39, 1e140, 1e-140] {
        let mesh = testing::cuboid(lo * size, hi * size);
        for method in [SignMethod::Winding, SignMethod::Visibility] {
            let q = query(&mesh, method, 32);
            assert!(size != 1.0 || q.unit() == 1.0);
            let scaled: Vec<DVec3> = points.iter().map(|p| *p * size).collect();
            for (p, d) in points.iter().zip(distances(&q, &scaled)) {
                let got = f64::from(d) * (q.unit() / size);
                assert!((got - cuboid_distance(*p, lo, hi)).abs() < 2e-6, "{size:e} {method} {p} {got}");
            }
        }
    }
}

#[test]
fn every_method_finds_the_box() {
    let (lo, hi) = (DVec3::new(-0.5, -0.7, -0.3), DVec3::new(0.6, 0.4, 0.5));
    let single = testing::cuboid(lo, hi);
    let soup = testing::doubled(single.clone());
    let mut points = testing::points(4000, 5, 1.0);
    points.extend(testing::points(2000, 6, 1.0).iter().map(|p| p.clamp(lo, hi) + (*p * 1e-4)));
    for (mesh, method) in [
        (&single, SignMethod::Auto),
        (&single, SignMethod::Winding),
        (&single, SignMethod::Parity),
        (&single, SignMethod::Visibility),
        (&soup, SignMethod::Auto),
        (&soup, SignMethod::Visibility),
    ] {
        let q = query(mesh, method, 64);
        let inside = q.inside(&points);
        for ((p, d), inside) in points.iter().zip(distances(&q, &points)).zip(inside) {
            let want = cuboid_distance(*p, lo, hi);
            assert!((d as f64 - want).abs() < 2e-6, "{method} {p} {d} {want}");
            assert!(inside == (want < 0.0) || want.abs() < 2e-6);
        }
    }
    assert_eq!(query(&single, SignMethod::Auto, 64).sign().method(), SignMethod::Winding);
    assert_eq!(query(&soup, SignMethod::Winding, 64).inside(&[DVec3::ZERO]), [false]);
    let q = query(&single, SignMethod::Unsigned, 64);
    let half = 0.0025 * single.diagonal();
    for (p, d) in points.iter().zip(distances(&q, &points)) {
        assert!((d as f64 - (cuboid_distance(*p, lo, hi).abs() - half)).abs() < 2e-6);
    }
}

#[test]
fn auto_says_what_it_was_told() {
    let mesh = testing::cuboid(DVec3::ZERO, DVec3::ONE);
    let orientation = Some(OrientationVerdict { trusted: false, reason: "half of the faces are turned".into() });
    let q =
        DistanceQuery::new(&mesh, &QueryOptions { orientation, resolution: 32, ..QueryOptions::default() }).unwrap();
    assert_eq!(q.sign().method(), SignMethod::Visibility);
    assert!(q.sign().explanation().contains("half of the faces are turned"), "{}", q.sign().explanation());
    assert_eq!("Winding".parse(), Ok(SignMethod::Winding));
    assert!("insideout".parse::<SignMethod>().unwrap_err().to_string().contains("visibility"));
    assert!(DistanceQuery::new(&TriMesh::default(), &QueryOptions::default()).is_err());
    assert!(DistanceQuery::new(&mesh, &QueryOptions { thickness: f64::NAN, ..QueryOptions::default() }).is_err());
}

#[test]
fn a_sheet_becomes_a_plate_of_the_stated_thickness() {
    let mut sheet = testing::cuboid(DVec3::new(-1.0, -1.0, 0.0), DVec3::new(1.0, 1.0, 1.0));
    sheet.faces.retain(|f| f.iter().all(|&v| v < 4));
    let half = 0.0025 * sheet.diagonal();
    for mesh in [sheet.clone(), testing::doubled(sheet)] {
        let q = query(&mesh, SignMethod::Auto, 64);
        let points = testing::points(3000, 3, 0.9);
        for (p, d) in points.iter().zip(distances(&q, &points)) {
            assert!((d as f64 - (p.z.abs() - half)).abs() < 2e-6, "{p} {d}");
        }
    }
}

#[test]
fn nested_boxes_are_one_solid() {
    let (lo, hi) = (DVec3::splat(-0.8), DVec3::splat(0.8));
    let mesh = testing::doubled(testing::join(&[testing::cuboid(lo, hi), testing::cuboid(lo * 0.5, hi * 0.5)]));
    let q = query(&mesh, SignMethod::Auto, 64);
    let points = testing::points(4000, 4, 1.0);
    for (p, d) in points.iter().zip(distances(&q, &points)) {
        assert!((d as f64 - cuboid_distance(*p, lo, hi)).abs() < 2e-6, "{p} {d}");
    }
}

#[test]
fn a_chair_of_boxes_is_their_union() {
    // Legs thinner than a cell at this resolution, a seat that they run into, a back.
    let mut parts = vec![
        (DVec3::new(-0.5, -0.5, 0.0), DVec3::new(0.5, 0.5, 0.12)),
        (DVec3::new(-0.5, 0.4, 0.1), DVec3::new(0.5, 0.5, 0.9)),
    ];
    for (x, y) in [(-0.45, -0.45), (0.43, -0.45), (-0.45, 0.43), (0.43, 0.43)] {
        parts.push((DVec3::new(x, y, -0.8), DVec3::new(x + 0.021, y + 0.021, 0.06)));
    }
    let boxes: Vec<TriMesh> = parts.iter().map(|&(lo, hi)| testing::cuboid(lo, hi)).collect();
    let q = query(&testing::doubled(testing::join(&boxes)), SignMethod::Auto, 64);
    let mut points = testing::points(20_000, 9, 1.0);
    points.extend(testing::points(4000, 10, 1.0).iter().map(|p| DVec3::new(-0.44, -0.44, -0.4) + *p * 0.03));
    let wrong = points
        .iter()
        .zip(distances(&q, &points))
        .filter(|(p, d)| {
            let want = parts.iter().map(|&(lo, hi)| cuboid_distance(**p, lo, hi)).fold(f64::INFINITY, f64::min);
            want.abs() > 1e-5 && (*d < 0.0) != (want < 0.0)
        })
        .count();
    assert!(wrong * 1000 <= points.len(), "{wrong} of {} ({})", points.len(), q.sign().explanation());
}

#[test]
fn serial_with_bounds_equals_parallel() {
    let mesh = testing::torus(0.6, 0.25, 120, 60);
    let q = query(&mesh, SignMethod::Auto, 64);
    let points = testing::points(5000, 1, 1.2);
    let all = distances(&q, &points);
    let upper: Vec<f32> = all.iter().map(|d| d.abs()).collect();
    let mut serial = vec![0.0; points.len()];
    q.signed_distances_serial(&points, Some(&upper), &mut serial);
    assert!(all.iter().zip(&serial).all(|(a, b)| (a - b).abs() < 1e-6));
    for (p, d) in points.iter().zip(all) {
        let want = (p.x.hypot(p.y) - 0.6).hypot(p.z) - 0.25;
        assert!((d as f64 - want).abs() < 2e-3);
    }
    let mut out = [0.0; 2];
    q.signed_distances(&[DVec3::NAN, DVec3::splat(1e300)], &mut out);
    assert!(out[0].is_nan());
}

fn column(bytes: &[u8], name: &str) -> Vec<f64> {
    let mut npz = npyz::npz::NpzArchive::new(Cursor::new(bytes)).unwrap();
    npz.by_name(name).unwrap().unwrap().into_vec().unwrap()
}

fn against_reference(data: &Path, file: &str) {
    let key = file.split_once('/').unwrap().1.replace('/', "_");
    let bytes = std::fs::read(data.join("oracle").join(key.rsplit_once('.').unwrap().0.to_string() + ".npz")).unwrap();
    let points: Vec<DVec3> = column(&bytes, "points").chunks(3).map(DVec3::from_slice).collect();
    let (distance, winding) = (column(&bytes, "distance"), column(&bytes, "winding"));
    let mesh = testing::load(&data.join(file));
    let diagonal = mesh.diagonal();
    let q = DistanceQuery::new(&mesh, &QueryOptions { resolution: 64, ..QueryOptions::default() }).unwrap();
    let mut worst = [0.0f64; 2];
    for (c, want) in q.closest_batch(&points).iter().zip(&distance) {
        worst[0] = worst[0].max((c.unwrap().distance - want).abs() / diagonal);
    }
    let got = Winding::new(q.bvh(), DEFAULT_BETA).evaluate(q.bvh(), &points);
    for ((w, want), d) in got.iter().zip(&winding).zip(&distance) {
        if *d > 1e-4 * diagonal {
            worst[1] = worst[1].max((*w as f64 - want).abs());
        }
    }
    println!("{file}: distance {:.1e} of the diagonal, winding {:.1e}", worst[0], worst[1]);
    assert!(worst[0] <= 1e-5 && worst[1] <= 1e-3);
    if q.sign().method() == SignMethod::Winding {
        let inside = q.inside(&points);
        for ((inside, w), d) in inside.iter().zip(&winding).zip(&distance) {
            assert!(*inside == (*w > 0.5) || *d < 1e-6 * diagonal, "{file}: {w} {d}");
        }
    }
}

#[test]
fn distance_and_winding_agree_with_libigl() {
    let Some(data) = data_dir("") else { return };
    for file in [
        "mesh/armadillo.obj",
        "mesh/bunny.off",
        "mesh/spot.obj",
        "mesh/fandisk.obj",
        "mesh/fertility.off",
        "mesh/horse_quad.obj",
        "mesh_bad/shapenet_chair.obj",
        "mesh_bad/shapenet_airplane/model_normalized.obj",
        "mesh_bad/teapot.obj",
        "mesh_bad/bunny_holes.obj",
    ] {
        against_reference(&data, file);
    }
}

#[test]
fn shapenet_soups_have_a_stable_inside() {
    let Some(data) = data_dir("") else { return };
    for file in ["mesh_bad/shapenet_chair.obj", "mesh_bad/shapenet_airplane/model_normalized.obj"] {
        let mesh = testing::load(&data.join(file));
        let (lo, hi) = mesh.bounds().unwrap();
        let points: Vec<DVec3> =
            testing::points(60_000, 2, 1.0).iter().map(|p| (lo + hi) * 0.5 + *p * (hi - lo) * 0.5).collect();
        let share: Vec<f64> = [128, 256]
            .map(|resolution| {
                let q = query(&mesh, SignMethod::Auto, resolution);
                println!("{file}: {}", q.sign().explanation());
                q.inside(&points).iter().filter(|&&i| i).count() as f64 / points.len() as f64
            })
            .to_vec();
        println!("{file}: inside {share:?} of the box");
        assert!(share.iter().all(|&s| s > 0.005 && s < 0.7));
        assert!((share[0] - share[1]).abs() < 0.25 * share[1], "{share:?}");
    }
}
