//! Requirements on scene maps: they invert, and the pieces of a path lie where the map takes the points of its ray.

use glam::{DMat3, DVec2, DVec3, Vec3};
use rand::RngExt;
use rand_pcg::Pcg64;

use crate::cube::Cube;
use crate::occupancy::{Occupancy, RaySample, RaySampling, VolumeRay};
use crate::ray::Ray;
use crate::scene_map::{Frustum, SceneMap};
use crate::volume_path::{MAX_PIECES, PathPiece, VolumePath};

const CUBE: Cube = Cube { origin: DVec3::new(-3.0, 1.0, 4.0), size: 2.5 };

fn frustum() -> Frustum {
    Frustum {
        eye: DVec3::new(1.0, -2.0, 0.5),
        axes: DMat3::from_rotation_y(0.7) * DMat3::from_rotation_x(-0.4),
        low: DVec2::new(-0.8, -0.5),
        high: DVec2::new(0.6, 0.7),
        near: 1.7,
    }
}

fn maps() -> [SceneMap; 3] {
    [SceneMap::Box(CUBE), SceneMap::Open(CUBE), SceneMap::Forward(frustum())]
}

fn number(rng: &mut Pcg64, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

fn vector(rng: &mut Pcg64) -> DVec3 {
    DVec3::new(number(rng, -1.0, 1.0), number(rng, -1.0, 1.0), number(rng, -1.0, 1.0))
}

/// Points near to the map's cube and up to a thousand of its edges away.
fn point(rng: &mut Pcg64, map: &SceneMap) -> DVec3 {
    let far = 10f64.powf(number(rng, -1.0, 3.0));
    map.cube().centre() + vector(rng) * map.cube().size * far
}

fn ray(origin: DVec3, direction: DVec3) -> Ray {
    Ray { origin, direction: direction.normalize(), cosine: 1.0 }
}

fn inside(unit: DVec3) -> bool {
    unit.cmpge(DVec3::splat(1e-6)).all() && unit.cmple(DVec3::splat(1.0 - 1e-6)).all()
}

/// `true` about the borders between the outer regions, where rounding tells to which a point belongs.
fn is_on_border(map: &SceneMap, world: DVec3) -> bool {
    let SceneMap::Open(cube) = map else { return false };
    let v = ((world - cube.centre()) / (0.5 * cube.size)).abs();
    let n = v.max_element();
    let largest = [v.x, v.y, v.z].iter().filter(|c| n - **c < 1e-6 * n).count();
    n > 1.0 && largest > 1
}

/// Holds a path against the map of points along its ray, forwards and backwards.
fn check(map: &SceneMap, ray: &Ray) -> usize {
    let path = map.path(ray, 0.0, f64::INFINITY);
    assert!(path.pieces().len() <= MAX_PIECES);
    for pair in path.pieces().windows(2) {
        let (end, start) = (pair[0].ray.far, pair[1].ray.near);
        assert_eq!(end, start, "arc lengths go on");
        assert!(start > pair[0].ray.near);
        // From one outer region to the next the contraction jumps, in and out of the inner cube it does not.
        let ends = [pair[0].ray.at(end), pair[1].ray.at(start)];
        let is_inner = |p: &PathPiece| p.growth == 0.0 && (p.rate - 1.0).abs() < 1e-12;
        if pair.iter().any(is_inner) {
            assert!((ends[0] - ends[1]).length() < 1e-5, "{map:?} {ray:?}: {ends:?}");
        }
        for p in ends {
            assert!(p.cmpge(Vec3::splat(-1e-5)).all() && p.cmple(Vec3::splat(1.0 + 1e-5)).all());
        }
    }
    let mut met = 0;
    let mut before = (0.0, f32::NEG_INFINITY);
    for k in 0..120 {
        let t = map.length_scale() * 1e-3 * 1.14f64.powi(k);
        let wanted = map.to_unit(ray.origin + ray.direction * t);
        if !inside(wanted) || is_on_border(map, ray.origin + ray.direction * t) {
            continue;
        }
        met += 1;
        let s = path.arc(t);
        let found = path.position(s);
        assert!((found.as_dvec3() - wanted).length() < 1e-5, "{map:?} {ray:?} at {t}: {found} {wanted}");
        assert!(path.pieces().iter().any(|p| p.ray.near <= s && s <= p.ray.far), "{map:?} {ray:?} at {t}");
        let piece = path.pieces().iter().find(|p| p.ray.near <= s && s <= p.ray.far).unwrap();
        assert!(
            (piece.ray.at(s).as_dvec3() - wanted).length() < 1e-5 && (piece.ray.direction.length() - 1.0).abs() < 1e-6
        );
        assert!(s >= before.1, "arc lengths grow");
        before = (t, s);
        // In f32 the arc length tells distances apart by the map's stretch there.
        let (a, b) = (path.distance(s - 2e-6), path.distance(s + 2e-6));
        assert!(a <= t * (1.0 + 1e-9) && t <= b * (1.0 + 1e-9), "{map:?} {ray:?}: {t} in {a} to {b}");
        assert!((path.arc(path.distance(s)) - s).abs() <= 1e-6 * s.abs().max(1.0));
        // Unit speed: arc lengths are lengths.
        let ahead = path.position(s + 1e-3);
        let same = path.pieces().iter().any(|p| p.ray.near <= s && s + 1e-3 <= p.ray.far);
        if same && s > 0.0 {
            assert!(((ahead - found).length() - 1e-3).abs() < 1e-5 + 1e-6 * s, "{map:?}");
        }
    }
    met
}

#[test]
fn maps_invert() {
    let mut rng = Pcg64::new(0x5ce_e001, 1);
    for map in maps() {
        assert!(map.is_valid());
        let mut met = 0;
        for _ in 0..4000 {
            let world = point(&mut rng, &map);
            let unit = map.to_unit(world);
            if !inside(unit) {
                continue;
            }
            met += 1;
            let back = map.to_world(unit).unwrap();
            let far = (world - map.cube().centre()).length();
            assert!((back - world).length() < 1e-12 * (1.0 + far * far), "{map:?}: {world} {back}");
        }
        assert!(met > 30, "{}: {met}", map.name());
    }
}

#[test]
fn what_nothing_maps_to_has_no_place() {
    let open = SceneMap::Open(CUBE);
    for unit in [DVec3::new(0.1, 0.1, 0.5), DVec3::new(0.5, 0.9, 0.8), DVec3::new(1.0, 0.5, 0.5), DVec3::splat(-0.1)] {
        assert_eq!(open.to_world(unit), None, "{unit}");
    }
    assert_eq!(open.to_world(DVec3::NAN), None);
    let far = open.to_world(DVec3::new(1.0 - 1e-9, 0.5, 0.5)).unwrap();
    assert!(far.x > 1e8);
    assert_eq!(open.to_unit(CUBE.centre()), DVec3::splat(0.5));
    // The inner cube fills the middle half; a point at twice the distance lies half-way on.
    let corner = open.to_unit(CUBE.bounds().1);
    assert!((corner - 0.75).length() < 1e-15);
    let double = open.to_unit(CUBE.centre() + DVec3::X * CUBE.size);
    assert!((double - DVec3::new(0.875, 0.5, 0.5)).length() < 1e-15);
    let forward = SceneMap::Forward(frustum());
    assert_eq!(forward.to_world(DVec3::new(0.5, 0.5, 1.0)), None);
    assert!(forward.to_unit(frustum().eye - frustum().axes.z_axis).is_nan());
    let axis = forward.to_unit(frustum().eye + frustum().axes.z_axis * 3.4);
    assert!((axis - DVec3::new(0.8 / 1.4, 0.5 / 1.2, 0.5)).length() < 1e-14, "{axis}");
}

#[test]
fn paths_lie_where_the_map_takes_the_ray() {
    let mut rng = Pcg64::new(0x5ce_e002, 1);
    for map in maps() {
        let mut met = 0;
        for i in 0..3000 {
            let (cube, some) = (map.cube(), vector(&mut rng));
            let origin = match (i % 3, &map) {
                (0, _) => cube.centre() + some * cube.size * 0.4,
                (1, SceneMap::Forward(f)) => f.eye + some * f.near * 0.5,
                (1, _) => cube.centre() + some.normalize() * cube.size * number(&mut rng, 1.0, 30.0),
                _ => cube.centre() + some * cube.size * 1.5,
            };
            let direction = match i % 2 {
                0 => cube.centre() + vector(&mut rng) * cube.size * 0.5 - origin,
                _ => vector(&mut rng),
            };
            met += check(&map, &ray(origin, direction));
        }
        assert!(met > 20_000, "{}: {met}", map.name());
    }
}

#[test]
fn axes_edges_corners_and_boundaries() {
    let open = SceneMap::Open(Cube { origin: DVec3::splat(-1.0), size: 2.0 });
    let values = [-2.0, -1.0, 0.0, 1.0, 2.0];
    let directions = (0..27).map(|i| DVec3::new((i % 3) as f64, (i / 3 % 3) as f64, (i / 9) as f64) - 1.0);
    let directions: Vec<DVec3> = directions.filter(|d| *d != DVec3::ZERO).collect();
    for i in 0..125 {
        let origin = DVec3::new(values[i % 5], values[i / 5 % 5], values[i / 25]);
        for d in &directions {
            // Along borders there is nothing to compare but the ends.
            let met = check(&open, &ray(origin, *d));
            let is_straight = d.abs().element_sum() == 1.0;
            let starts_inside = origin.abs().max_element() < 1.0;
            assert!(met > 10 || !(is_straight && starts_inside), "{origin} {d}: {met}");
        }
    }
    // A frustum of 90° whose eye is the origin.
    let frustum = Frustum {
        eye: DVec3::ZERO,
        axes: DMat3::IDENTITY,
        low: DVec2::splat(-1.0),
        high: DVec2::splat(1.0),
        near: 1.0,
    };
    let forward = SceneMap::Forward(frustum);
    assert!(check(&forward, &ray(DVec3::ZERO, DVec3::Z)) > 10);
    for d in &directions {
        check(&forward, &ray(DVec3::new(0.0, 0.0, 2.0), *d));
        check(&forward, &ray(DVec3::ZERO, *d));
        check(&forward, &ray(DVec3::new(1.0, 1.0, 1.0), *d));
    }
}

#[test]
fn rays_that_never_enter_have_no_piece() {
    let forward = SceneMap::Forward(frustum());
    let (eye, axes) = (frustum().eye, frustum().axes);
    for (origin, direction) in
        [(eye, -axes.z_axis), (eye, axes.x_axis), (eye + axes.x_axis * 50.0, axes.z_axis + axes.x_axis)]
    {
        let path = forward.path(&ray(origin, direction), 0.0, f64::INFINITY);
        assert!(path.pieces().is_empty());
        let steps = RaySampling { step: 0.01, cone: 0.0, jitter: 0.5 };
        Occupancy::full(16).march(&path, &steps, |s| panic!("{s:?}"));
    }
    for map in maps() {
        let bad = [ray(DVec3::NAN, DVec3::X), Ray { direction: DVec3::NAN, ..ray(CUBE.centre(), DVec3::X) }];
        for ray in bad {
            let path = map.path(&ray, 0.0, f64::INFINITY);
            let steps = RaySampling { step: 0.01, cone: 0.0, jitter: 0.5 };
            Occupancy::full(16).march(&path, &steps, |s| panic!("{s:?}"));
        }
    }
}

#[test]
fn infinity_has_a_finite_arc_length() {
    let mut rng = Pcg64::new(0x5ce_e003, 1);
    let open = SceneMap::Open(CUBE);
    for _ in 0..500 {
        let path = open.path(&ray(point(&mut rng, &open), vector(&mut rng)), 0.0, f64::INFINITY);
        let end = path.pieces().last().unwrap().ray;
        assert!(end.far.is_finite() && path.arc(f64::INFINITY) == end.far);
        let at = end.at(end.far);
        let face = at.min(1.0 - at).min_element();
        assert!(face.abs() < 1e-5, "on a face of the cube: {at}");
        assert!(path.distance(end.far + 1e-5) == f64::INFINITY);
    }
    let forward = SceneMap::Forward(frustum());
    let path = forward.path(&ray(frustum().eye, frustum().axes.z_axis), 0.0, f64::INFINITY);
    let end = path.pieces()[0].ray;
    assert!((end.at(end.far).z - 1.0).abs() < 1e-6 && path.arc(f64::INFINITY) == end.far);
    let box_path = SceneMap::Box(CUBE).path(&ray(CUBE.centre(), DVec3::X), 0.0, f64::INFINITY);
    assert_eq!(box_path.arc(f64::INFINITY), f32::INFINITY);
}

#[test]
fn near_and_far_cut() {
    let mut rng = Pcg64::new(0x5ce_e004, 1);
    let steps = RaySampling { step: 0.004, cone: 1.0 / 256.0, jitter: 0.3 };
    let full = Occupancy::full(32);
    let samples = |path: &VolumePath| {
        let mut all = Vec::new();
        full.march(path, &steps, |s| {
            all.push(s);
            true
        });
        all
    };
    for map in maps() {
        for _ in 0..200 {
            let direction = match &map {
                SceneMap::Forward(f) => f.axes.z_axis + vector(&mut rng) * 0.2,
                _ => vector(&mut rng),
            };
            let origin = match &map {
                SceneMap::Forward(f) => f.eye,
                _ => map.cube().centre() + vector(&mut rng) * 2.0,
            };
            let ray = ray(origin, direction);
            let (near, far) = (map.length_scale() * 0.3, map.length_scale() * number(&mut rng, 0.5, 20.0));
            let (whole, cut) = (map.path(&ray, 0.0, f64::INFINITY), map.path(&ray, near, far));
            let all = samples(&whole);
            assert!(all.windows(2).all(|w| w[0].t < w[1].t));
            let (a, b) = (whole.arc(near), whole.arc(far));
            let wanted: Vec<RaySample> = all.into_iter().filter(|s| s.t >= a && s.t <= b).collect();
            assert_eq!(samples(&cut), wanted);
            for s in wanted.iter().filter(|s| s.t > a + 1e-4 && s.t < b - 1e-4) {
                let t = whole.distance(s.t);
                assert!(t > near && t < far);
                let unit = map.to_unit(ray.origin + ray.direction * t);
                assert!((unit - s.position.as_dvec3()).length() < 1e-5, "{unit} {}", s.position);
            }
        }
    }
}

#[test]
fn strata_go_on_over_the_pieces() {
    let mut rng = Pcg64::new(0x5ce_e005, 1);
    let open = SceneMap::Open(CUBE);
    let full = Occupancy::full(16);
    let mut bent = 0;
    for i in 0..400 {
        let path = open.path(&ray(CUBE.centre() + vector(&mut rng), vector(&mut rng)), 0.0, f64::INFINITY);
        bent += usize::from(path.pieces().len() > 2);
        let jitter = number(&mut rng, 0.0, 1.0) as f32;
        let steps = RaySampling { step: 1.0 / 300.0, cone: if i % 2 == 0 { 0.0 } else { 1.0 / 256.0 }, jitter };
        let (mut total, mut last, mut jumps) = (0.0, Vec3::NAN, 0);
        full.march(&path, &steps, |s| {
            total += s.dt;
            // No sample is missing or there twice where pieces meet.
            let step = (s.position - last).length();
            let is_jump = step > 1.02 * s.dt.max(steps.step) + 1e-5;
            jumps += usize::from(!last.is_nan() && is_jump);
            last = s.position;
            true
        });
        let length = path.pieces().last().unwrap().ray.far;
        assert!((total - length).abs() < 0.02, "{total} {length}");
        // The inner cube is left once, and from there on only outer regions follow.
        assert!(jumps + 2 <= path.pieces().len().max(2), "{jumps} of {}", path.pieces().len());
    }
    assert!(bent > 100, "{bent}");
}

#[test]
fn boxes_give_the_same_samples_as_straight_rays() {
    let mut rng = Pcg64::new(0x5ce_e006, 1);
    let map = SceneMap::Box(CUBE);
    let occupancy = Occupancy::from_bits(32, |i| i % 7 == 0 || i % 1000 < 300);
    for _ in 0..300 {
        let origin = CUBE.centre() + vector(&mut rng) * 6.0;
        let ray = ray(origin, CUBE.centre() + vector(&mut rng) - origin);
        let path = map.path(&ray, 0.4, 9.0);
        let straight = VolumeRay {
            origin: ((ray.origin - CUBE.origin) / CUBE.size).as_vec3(),
            direction: ray.direction.as_vec3(),
            near: (0.4 / CUBE.size) as f32,
            far: (9.0 / CUBE.size) as f32,
        };
        assert_eq!((path.pieces().len(), path.pieces()[0].ray), (1, straight));
        let steps = RaySampling { step: 0.003, cone: 1.0 / 256.0, jitter: 0.5 };
        occupancy.march(&path, &steps, |s| {
            assert_eq!(s.position, straight.at(s.t));
            assert_eq!(path.distance(s.t), f64::from(s.t) * CUBE.size);
            assert_eq!(path.scaled_arc(f64::from(s.t)), s.t);
            true
        });
    }
}

#[test]
fn gradients_and_volumes_by_differences() {
    let mut rng = Pcg64::new(0x5ce_e007, 1);
    for map in maps() {
        let mut met = 0;
        while met < 200 {
            let unit = vector(&mut rng) * 0.48 + 0.5;
            let Some(world) = map.to_world(unit) else { continue };
            let step = 1e-6 * map.length_scale_at(unit);
            let column = |e: DVec3| (map.to_unit(world + e * step) - map.to_unit(world - e * step)) / (2.0 * step);
            let jacobian = DMat3::from_cols(column(DVec3::X), column(DVec3::Y), column(DVec3::Z));
            // Differences across a border of regions mean nothing.
            let c = (4.0 * unit - 2.0).abs();
            let is_near = |a: f64, b: f64| (a - b).abs() < 1e-3;
            if [c.x, c.y, c.z].iter().any(|v| is_near(*v, 1.0)) {
                continue;
            }
            met += 1;
            let g = vector(&mut rng);
            let (wanted, found) = (jacobian.transpose() * g, map.gradient_to_world(unit, g));
            assert!((wanted - found).length() < 1e-5 * wanted.length(), "{map:?} {unit}: {wanted} {found}");
            let scale = jacobian.determinant().abs().cbrt().recip();
            assert!((scale / map.length_scale_at(unit) - 1.0).abs() < 1e-5);
            assert!(jacobian.determinant() > 0.0, "no mirror image");
        }
    }
}

#[test]
fn hostile_frustums_are_invalid() {
    let good = frustum();
    for bad in [
        Frustum { eye: DVec3::NAN, ..good },
        Frustum { axes: DMat3::ZERO, ..good },
        Frustum { axes: -good.axes, ..good },
        Frustum { axes: good.axes * 1.1, ..good },
        Frustum { low: good.high, ..good },
        Frustum { high: DVec2::INFINITY, ..good },
        Frustum { high: DVec2::splat(1e308), low: DVec2::splat(-1e308), ..good },
        Frustum { near: 0.0, ..good },
        Frustum { near: -1.0, ..good },
        Frustum { near: f64::NAN, ..good },
        Frustum { near: 1e-320, ..good },
    ] {
        assert!(!SceneMap::Forward(bad).is_valid(), "{bad:?}");
    }
    assert!(!SceneMap::Open(Cube { size: 0.0, ..CUBE }).is_valid());
}
