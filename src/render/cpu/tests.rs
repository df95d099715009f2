//! Requirements on a sphere tracer: exact hits, no holes, no overshoot, the same bits on any number of threads.

use glam::{DVec3, Vec3};
use nstr_camera::Camera;
use nstr_camera::orbit::Orbit;
use nstr_image::colour::{Background, linear_from_srgb};
use nstr_image::testing::check_snapshot;
use nstr_space::analytic::{AnalyticSdf, cuboid, sphere, still_life, torus};
use nstr_space::{Cube, DistanceField, Ray};
use proptest::prelude::*;

use crate::cpu::{SphereTracer, TracerSettings};
use crate::section::{self, Section, SectionView};
use crate::{Filter, Frame, Layer, LayerSet, RenderSettings, Shading};

fn layers() -> RenderSettings {
    RenderSettings { layers: LayerSet::all(), ..RenderSettings::default() }
}

fn camera(eye: DVec3, size: (u32, u32), fov: f64) -> Camera {
    let pose = Camera::look_at(eye, DVec3::splat(0.5), DVec3::Y).unwrap();
    Camera::with_fov_y(size.0, size.1, fov, pose).unwrap()
}

fn frame(source: &dyn DistanceField, camera: &Camera) -> Frame {
    SphereTracer::new(source, Cube::default(), TracerSettings::default()).unwrap().render(camera, &layers()).unwrap()
}

#[test]
fn a_sphere_lies_where_it_should_in_world_units() {
    let source = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
    let cube = Cube { origin: DVec3::new(-3.0, 5.0, 1.0), size: 4.0 };
    let (centre, radius) = (cube.to_world(DVec3::splat(0.5)), 1.2);
    let pose = Camera::look_at(centre + DVec3::new(3.0, 4.0, 6.0), centre, DVec3::Y).unwrap();
    let camera = Camera::with_fov_y(160, 120, 30.0, pose).unwrap();
    let tracer = SphereTracer::new(&source, cube, TracerSettings::default()).unwrap();
    let frame = tracer.render(&camera, &layers()).unwrap();
    let mut hits = 0;
    for i in 0..frame.depth_ray.len() {
        let ray = camera.ray((i % 160) as f64 + 0.5, (i / 160) as f64 + 0.5);
        let oc = ray.origin - centre;
        let b = oc.dot(ray.direction);
        let disc = b * b - (oc.length_squared() - radius * radius);
        if disc > 0.02 {
            let t = -b - disc.sqrt();
            hits += 1;
            assert!((frame.depth_ray[i] as f64 - t).abs() < 2e-5 * 4.0, "{} {t}", frame.depth_ray[i]);
            assert!((frame.depth_z[i] as f64 - t * ray.cosine).abs() < 1e-4);
            let at = ray.origin + ray.direction * t;
            assert!(Vec3::from_array(frame.position[i]).as_dvec3().distance(at) < 1e-3);
            assert!(Vec3::from_array(frame.normal[i]).as_dvec3().dot((at - centre) / radius) > 0.9999);
            let unit = cube.to_unit(at);
            assert!((frame.spectrum[i * 2] as f64 - unit.x).abs() < 1e-3);
            assert!((frame.grad_s[i] as f64 - (1.0 + 4.0 * unit.y * unit.y).sqrt()).abs() < 1e-2);
            assert!((frame.residual[i] as f64 - unit.z).abs() < 1e-3);
        } else if disc < -0.02 {
            assert_eq!(frame.depth_ray[i], f32::INFINITY);
            assert_eq!((frame.normal[i], frame.alpha[i], frame.curvature[i]), ([0.0; 3], 0.0, 0.0));
        }
    }
    assert!(hits > 2000 && frame.stats.invalid == 0 && frame.stats.exhausted == 0);
    let (lo, hi) = tracer.bounds();
    assert!((lo - (centre - radius)).abs().max_element() < 0.1 && (hi - (centre + radius)).abs().max_element() < 0.1);
}

/// A sphere with its exact gradient, scaled: the error of [`AnalyticSdf`]'s, 3e-4, would be one of 0.15 in H.
struct Ball {
    radius: f32,
    slope: f32,
}

impl DistanceField for Ball {
    fn distance(&self, points: &[Vec3], distance: &mut [f32]) {
        points.iter().zip(distance).for_each(|(p, d)| *d = self.slope * sphere(*p, Vec3::splat(0.5), self.radius));
    }
    fn distance_gradient(&self, points: &[Vec3], distance: &mut [f32], gradient: &mut [Vec3]) {
        self.distance(points, distance);
        points.iter().zip(gradient).for_each(|(p, g)| *g = (*p - 0.5).normalize() * self.slope);
    }
    fn lipschitz(&self) -> f32 {
        self.slope.abs()
    }
}

#[test]
fn curvature_is_the_spheres_in_world_units_from_both_sides() {
    let cube = Cube { origin: DVec3::new(-3.0, 5.0, 1.0), size: 4.0 };
    let centre = cube.to_world(DVec3::splat(0.5));
    for (slope, sign) in [(1.0, 1.0), (-2.0, -1.0)] {
        let source = Ball { radius: 0.3, slope };
        let tracer = SphereTracer::new(&source, cube, TracerSettings::default()).unwrap();
        // From outside, and from the middle of the ball.
        for back in [8.0, 0.0] {
            let pose = Camera::look_at(centre + DVec3::Z * back, centre - DVec3::Z, DVec3::Y).unwrap();
            let camera = Camera::with_fov_y(31, 31, 15.0, pose).unwrap();
            let layers = LayerSet::of(&[Layer::Curvature, Layer::Residual]);
            let frame = tracer.render(&camera, &RenderSettings { layers, ..RenderSettings::default() }).unwrap();
            assert!(frame.residual.is_empty(), "the field has no spectrum");
            let h = frame.curvature[15 * 31 + 15];
            // A scene of matter around a hollow is seen cut at the cube's face, where level sets are larger.
            let radius = if slope < 0.0 && back > 0.0 { 2.0 } else { 1.2 };
            assert!((h * sign * radius - 1.0).abs() < 5e-3, "{h} for slope {slope} from {back}");
            assert!(frame.stats.gradient_evals >= 6);
        }
    }
}

/// Rays through the plate (slightly shrunk, so that its rim is left out), and how many of them miss it.
fn holes(half: Vec3, eye: DVec3, lipschitz: f32, size: u32) -> (usize, usize) {
    let source = AnalyticSdf::new(lipschitz, move |p| cuboid(p, Vec3::splat(0.5), half));
    let camera = camera(eye, (size, size), 40.0);
    let frame = frame(&source, &camera);
    let (mut seen, mut missed) = (0, 0);
    let shrunk = half.as_dvec3() * 0.999;
    for i in 0..(size * size) as usize {
        let ray = camera.ray((i as u32 % size) as f64 + 0.5, (i as u32 / size) as f64 + 0.5);
        let origin = (ray.origin - 0.5 + shrunk) / (shrunk * 2.0);
        let Some((t, _, _)) = nstr_space::ray_box(origin, ray.direction / (shrunk * 2.0)) else { continue };
        seen += 1;
        // On the real plate to the resolution of the march, and no deeper than on the shrunk one.
        let depth = frame.depth_ray[i] as f64;
        let on = depth.is_finite()
            && cuboid((ray.origin + ray.direction * depth).as_vec3(), Vec3::splat(0.5), half).abs() < 3e-4;
        missed += !(on && depth < t + 1e-3) as usize;
    }
    (seen, missed)
}

#[test]
fn a_thin_plate_has_no_holes_at_any_angle() {
    let plate = Vec3::new(0.35, 0.001, 0.35);
    for eye in [
        DVec3::new(0.5, 2.0, 0.5001),
        DVec3::new(1.5, 1.2, 1.4),
        DVec3::new(2.0, 0.52, 0.9),
        DVec3::new(2.0, 0.505, 0.6),
    ] {
        for lipschitz in [1.0, 1.7] {
            let (seen, missed) = holes(plate, eye, lipschitz, 200);
            assert!(seen > 100 && missed == 0, "{eye}: {missed} of {seen}");
        }
    }
    let (seen, missed) = holes(Vec3::new(0.2, 0.3, 0.1), DVec3::new(1.6, 1.1, 1.9), 1.0, 200);
    assert!(seen > 1000 && missed == 0, "{missed} of {seen}");
}

/// The first crossing by small steps, or `None`.
fn brute_force(scene: &dyn Fn(Vec3) -> f32, ray: &nstr_space::Ray) -> Option<f64> {
    let (mut t, exit, _) = nstr_space::ray_box(ray.origin, ray.direction)?;
    while t < exit {
        let f = scene((ray.origin + ray.direction * t).as_vec3());
        if f < 0.0 {
            return Some(t);
        }
        t += (0.2 * f as f64).max(5e-5);
    }
    None
}

fn agrees(scene: impl Fn(Vec3) -> f32 + Sync, lipschitz: f32, eye: DVec3, grid_cells: usize) -> Result<(), String> {
    let source = AnalyticSdf::new(lipschitz, &scene);
    let camera = camera(eye, (24, 24), 45.0);
    let settings = TracerSettings { grid_cells, ..TracerSettings::default() };
    let frame = SphereTracer::new(&source, Cube::default(), settings)
        .and_then(|t| t.render(&camera, &layers()))
        .map_err(|e| e.to_string())?;
    let mut touched = 0;
    for i in 0..24 * 24usize {
        let ray = camera.ray((i % 24) as f64 + 0.5, (i / 24) as f64 + 0.5);
        let truth = brute_force(&scene, &ray);
        let got = frame.depth_ray[i] as f64;
        let same = match truth {
            Some(t) => (got - t).abs() < 1e-3,
            None => got.is_infinite(),
        };
        // A ray that touches within the tracer's resolution may end there, or pass where it would cut that little off.
        let touches = got.is_finite() && scene((ray.origin + ray.direction * got).as_vec3()).abs() < 3e-4 * lipschitz;
        let early = touches && truth.is_none_or(|t| got < t);
        let grazes = early || truth.is_some_and(|t| got > t && grazing(&scene, &ray, t));
        touched += early as usize * !same as usize;
        if !same && !grazes {
            return Err(format!("pixel {i}: traced {got}, truth {truth:?}"));
        }
    }
    match touched {
        0..=6 => Ok(()),
        many => Err(format!("{many} of 576 rays end beside the surface")),
    }
}

/// `true` where the ray leaves the solid again within the tracer's gap.
fn grazing(scene: &dyn Fn(Vec3) -> f32, ray: &nstr_space::Ray, t: f64) -> bool {
    (0..40).all(|k| scene((ray.origin + ray.direction * (t + 4e-4 * k as f64 / 40.0)).as_vec3()) > -1e-4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn traced_depth_equals_small_steps(
        spheres in prop::collection::vec((prop::array::uniform3(0.2f32..0.8), 0.01f32..0.2), 1..5),
        boxes in prop::collection::vec((prop::array::uniform3(0.2f32..0.8), prop::array::uniform3(0.003f32..0.2)), 0..4),
        angles in (0.0f64..6.2, -1.3f64..1.3),
        wobble in 0.0f32..0.03,
        grid in prop::sample::select(vec![0usize, 32, 128]),
    ) {
        let frequency = 25.0;
        let scene = |p: Vec3| {
            let a = spheres.iter().map(|(c, r)| sphere(p, Vec3::from_array(*c), *r));
            let b = boxes.iter().map(|(c, h)| cuboid(p, Vec3::from_array(*c), Vec3::from_array(*h)));
            let w = (p.x * frequency).sin() * (p.y * frequency).sin() * (p.z * frequency).sin();
            a.chain(b).fold(1.0, f32::min) + w * wobble
        };
        let (azimuth, elevation) = angles;
        let around = DVec3::new(azimuth.cos() * elevation.cos(), elevation.sin(), azimuth.sin() * elevation.cos());
        let result = agrees(scene, 1.0 + wobble * frequency, DVec3::splat(0.5) + around * 1.8, grid);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}

#[test]
fn rough_and_scaled_fields_are_traced_within_their_bound() {
    let noisy = |p: Vec3| {
        let n = (p.x * 190.0).sin() * (p.y * 170.0).cos() + (p.z * 210.0 + p.x * 90.0).sin();
        torus(p, Vec3::splat(0.5), 0.25, 0.09) + 0.002 * n
    };
    agrees(noisy, 2.0, DVec3::new(1.2, 1.4, 1.8), 128).unwrap();
    agrees(|p| 3.0 * sphere(p, Vec3::splat(0.5), 0.3), 3.0, DVec3::new(1.2, 1.4, 1.8), 128).unwrap();
    // A slack bound costs steps, not hits; a field that rises slowly is found as well.
    agrees(|p| 0.3 * sphere(p, Vec3::splat(0.5), 0.3), 1.0, DVec3::new(1.2, 1.4, 1.8), 64).unwrap();
}

#[test]
fn threads_and_tiles_do_not_change_a_bit() {
    let source = AnalyticSdf::new(1.0, still_life);
    let camera = camera(DVec3::new(1.5, 1.2, 2.0), (150, 110), 35.0);
    let settings = RenderSettings { samples: 3, shading: Shading::studio(), ..layers() };
    let render = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let tracer = SphereTracer::new(&source, Cube::default(), TracerSettings::default()).unwrap();
            let mut frame = tracer.render(&camera, &settings).unwrap();
            frame.stats.seconds = 0.0;
            frame
        })
    };
    let one = render(1);
    assert_eq!(one, render(3));
    assert!(one.stats.secondary_evals > 0 && one.stats.rays == 150 * 110 * 4);
}

#[test]
fn the_picture_is_neither_mirrored_nor_upside_down() {
    let source = AnalyticSdf::new(1.0, |p| {
        sphere(p, Vec3::new(0.8, 0.5, 0.5), 0.1).min(cuboid(p, Vec3::new(0.5, 0.8, 0.5), Vec3::splat(0.05)))
    });
    let frame = frame(&source, &camera(DVec3::new(0.5, 0.5, 3.0), (60, 60), 30.0));
    let hit = |x: usize, y: usize| frame.depth_ray[y * 60 + x].is_finite();
    assert!((31..60).any(|x| hit(x, 30)) && !(0..29).any(|x| hit(x, 30)), "+x is on the right");
    assert!((0..29).any(|y| hit(30, y)) && !(31..60).any(|y| hit(30, y)), "+y is on top");
}

#[test]
fn a_camera_inside_sees_the_walls_and_a_cut_solid_its_section() {
    let shell = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
    let pose = Camera::look_at(DVec3::splat(0.5), DVec3::new(1.0, 0.5, 0.5), DVec3::Y).unwrap();
    let inside = Camera::with_fov_y(16, 16, 60.0, pose).unwrap();
    let seen = frame(&shell, &inside);
    assert!(seen.depth_ray.iter().all(|d| (d - 0.3).abs() < 1e-4));
    let solid = AnalyticSdf::new(1.0, |p: Vec3| p.y - 0.5);
    let seen = frame(&solid, &camera(DVec3::new(0.5, 0.4, 3.0), (20, 20), 15.0));
    let i = 15 * 20 + 10;
    assert!(seen.depth_z[i] > 1.9 && seen.depth_z[i] < 2.1, "{}", seen.depth_z[i]);
    assert!((Vec3::from_array(seen.normal[i]) - Vec3::Z).length() < 1e-6);
}

fn sections(normal: DVec3, offset: f64, show: SectionView) -> RenderSettings {
    let normal = normal.normalize();
    RenderSettings { section: Some(Section { normal, offset, show }), ..layers() }
}

/// First hit of a ray on a ball of which the part above the plane is cut away, from the closed form, and whether at the
/// cut face. A ray that grazes has none.
fn cut_ball(ray: &Ray, centre: DVec3, radius: f64, section: &Section) -> Option<(f64, bool)> {
    let oc = ray.origin - centre;
    let b = oc.dot(ray.direction);
    let disc = b * b - (oc.length_squared() - radius * radius);
    let (near, far) = (-b - disc.max(0.0).sqrt(), -b + disc.max(0.0).sqrt());
    let (height, rise) = (section.normal.dot(ray.origin) - section.offset, section.normal.dot(ray.direction));
    let t = -height / rise;
    let (from, to) = match (height > 0.0, rise < 0.0) {
        (true, true) => (t, f64::INFINITY),
        (true, false) => return None,
        (false, true) => (0.0, f64::INFINITY),
        (false, false) => (0.0, t),
    };
    (disc > 0.0 && near.max(from) < far.min(to)).then_some((near.max(from), from > near))
}

#[test]
fn a_cut_ball_shows_its_cut_face_from_every_side() {
    let source = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
    let cube = Cube { origin: DVec3::new(-1.0, 0.0, 2.0), size: 2.0 };
    let (centre, radius) = (cube.to_world(DVec3::splat(0.5)), 0.6);
    let tracer = SphereTracer::new(&source, cube, TracerSettings::default()).unwrap();
    let (mut faces, mut rounds) = (0, 0);
    for (normal, above) in [(DVec3::new(0.3, 1.0, 0.2), 0.1), (DVec3::new(-1.0, 0.2, 0.4), -0.25)] {
        let offset = normal.normalize().dot(centre) + above;
        let settings = sections(normal, offset, SectionView::Cut);
        let section = settings.section.unwrap();
        for eye in [DVec3::new(1.5, 2.5, 2.0), DVec3::new(-2.0, -1.0, 2.0), DVec3::new(-1.0, 0.6, 0.3)] {
            let pose = Camera::look_at(centre + eye, centre, DVec3::Y).unwrap();
            let camera = Camera::with_fov_y(80, 60, 40.0, pose).unwrap();
            let frame = tracer.render(&camera, &settings).unwrap();
            let (mut wrong, mut hits) = (0, 0);
            for i in 0..80 * 60 {
                let ray = camera.ray((i % 80) as f64 + 0.5, (i / 80) as f64 + 0.5);
                let truth = cut_ball(&ray, centre, radius, &section);
                let got = f64::from(frame.depth_ray[i]);
                let Some((t, flat)) = truth.filter(|(t, _)| (got - t).abs() < 1e-3) else {
                    wrong += (truth.is_some() || got.is_finite()) as usize;
                    continue;
                };
                hits += 1;
                let normal = Vec3::from(frame.normal[i]).as_dvec3();
                let want = if flat { section.normal } else { (ray.origin + ray.direction * t - centre) / radius };
                // Near the rim the two may be told apart only by the march's resolution.
                wrong += (normal.dot(want) < 0.999) as usize;
                if flat { faces += 1 } else { rounds += 1 }
            }
            assert!(wrong * 200 <= hits && hits > 100, "{wrong} of {hits} from {eye}");
            assert_eq!((frame.stats.invalid, frame.stats.exhausted), (0, 0));
        }
    }
    assert!(faces > 500 && rounds > 500, "{faces} {rounds}");
}

#[test]
fn what_is_cut_away_casts_no_shadow() {
    // The upper half of a box is cut away: the cut face lies in full light.
    let source = AnalyticSdf::new(1.0, |p| cuboid(p, Vec3::splat(0.5), Vec3::splat(0.3)));
    let tracer = SphereTracer::new(&source, Cube::default(), TracerSettings::default()).unwrap();
    let camera = camera(DVec3::new(0.5, 3.0, 0.501), (20, 20), 10.0);
    let plain = sections(DVec3::Y, 0.5, SectionView::Cut);
    let shaded = RenderSettings { shading: Shading::studio(), ..plain };
    let (plain, shaded) = (tracer.render(&camera, &plain).unwrap(), tracer.render(&camera, &shaded).unwrap());
    assert!(shaded.stats.secondary_evals == 0 && (plain.depth_z[210] - 2.5).abs() < 1e-5);
    assert!(plain.colour[210].iter().zip(shaded.colour[210]).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn a_shown_plane_has_the_fields_colours_within_the_cube() {
    let source = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::new(0.5, 0.3, 0.5), 0.2));
    let settings = sections(DVec3::Z, 0.6, SectionView::Field);
    let tracer = SphereTracer::new(&source, Cube::default(), TracerSettings::default()).unwrap();
    for z in [3.0, -2.0] {
        let camera = camera(DVec3::new(0.5, 0.5, z), (61, 61), 30.0);
        let frame = tracer.render(&camera, &settings).unwrap();
        let (mut shown, mut solid) = (0, 0);
        for i in 0..61 * 61 {
            let ray = camera.ray((i % 61) as f64 + 0.5, (i / 61) as f64 + 0.5);
            let at = ray.origin + ray.direction * ((0.6 - z) / ray.direction.z);
            let within = at.x.min(at.y) > 0.0 && at.x.max(at.y) < 1.0;
            let depth = f64::from(frame.depth_ray[i]);
            if !within {
                assert!(depth.is_infinite() || z < 0.0 && depth < at.distance(ray.origin));
            } else if depth < at.distance(ray.origin) - 1e-4 {
                // The ball's own surface, seen from behind.
                assert!(z < 0.0 && source_at(&source, ray.origin + ray.direction * depth).abs() < 1e-3);
                solid += 1;
            } else {
                assert!((depth - at.distance(ray.origin)).abs() < 1e-5 && frame.alpha[i] == 1.0);
                assert!((Vec3::from(frame.normal[i]) - Vec3::Z * z.signum() as f32).length() < 1e-5);
                let p = at.as_vec3();
                let f = source_at(&source, at);
                let slope = (p.truncate() - Vec3::new(0.5, 0.3, 0.5).truncate()).length() / (f + 0.2);
                let want = section::distance_colour(f, slope).map(linear_from_srgb);
                let got = frame.colour[i];
                shown += (0..3).all(|c| (got[c] - want[c]).abs() < 0.02) as usize;
            }
        }
        assert!(shown > 600 && (solid > 100) == (z < 0.0), "{shown} {solid} from {z}");
        assert!(z < 0.0 || frame.stats.evals == 0, "nothing is marched before a plane that comes first");
    }
}

fn source_at(source: &dyn DistanceField, p: DVec3) -> f32 {
    let mut value = [0.0];
    source.distance(&[p.as_vec3()], &mut value);
    value[0]
}

#[test]
fn alpha_is_coverage_and_backgrounds_show() {
    let source = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
    let camera = camera(DVec3::new(0.5, 0.5, 3.0), (64, 64), 20.0);
    let tracer = SphereTracer::new(&source, Cube::default(), TracerSettings::default()).unwrap();
    for filter in [Filter::Box, Filter::Tent] {
        let settings = RenderSettings { samples: 16, filter, background: Background::Transparent, ..layers() };
        let frame = tracer.render(&camera, &settings).unwrap();
        let area: f64 = frame.alpha.iter().map(|a| *a as f64).sum();
        let radius = camera.focal.x * (0.3f64 / 2.5).asin().tan();
        assert!((area / (std::f64::consts::PI * radius * radius) - 1.0).abs() < 0.01, "{area}");
        assert_eq!(frame.colour[0], [0.0; 4]);
        let edge = frame.alpha.iter().filter(|a| **a > 0.0 && **a < 1.0).count();
        assert!(edge > 60, "{edge}");
    }
    let settings = RenderSettings { background: "#204080".parse().unwrap(), ..RenderSettings::default() };
    assert_eq!(tracer.render(&camera, &settings).unwrap().to_srgb().pixel(0, 0), [0x20, 0x40, 0x80, 255]);
}

#[test]
fn bad_fields_and_settings_are_errors_not_panics() {
    let nan = AnalyticSdf::new(1.0, |p: Vec3| if p.x > 0.5 { f32::NAN } else { p.y - 0.5 });
    let camera = camera(DVec3::new(1.5, 1.2, 2.0), (32, 32), 35.0);
    let frame = frame(&nan, &camera);
    assert!(frame.stats.invalid > 0 && frame.stats.hits > 0);
    assert!(frame.colour.iter().flatten().all(|v| v.is_finite()));
    for lipschitz in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let source = AnalyticSdf::new(lipschitz, |p: Vec3| p.y);
        assert!(SphereTracer::new(&source, Cube::default(), TracerSettings::default()).is_err());
    }
    let source = AnalyticSdf::new(1.0, |p: Vec3| p.y);
    let flat = Cube { origin: DVec3::ZERO, size: 0.0 };
    assert!(SphereTracer::new(&source, flat, TracerSettings::default()).is_err());
    let wrong = TracerSettings { tile: 1, ..TracerSettings::default() };
    assert!(SphereTracer::new(&source, Cube::default(), wrong).is_err());
    let tracer = SphereTracer::new(&source, Cube::default(), TracerSettings::default()).unwrap();
    assert!(tracer.render(&camera, &RenderSettings { samples: 0, ..layers() }).is_err());
    let long = Section { normal: DVec3::new(0.0, 2.0, 0.0), offset: 0.0, show: SectionView::Cut };
    let message = tracer.render(&camera, &RenderSettings { section: Some(long), ..layers() }).unwrap_err();
    assert!(message.to_string().contains("section"), "{message}");
}

#[test]
fn few_evaluations_a_pixel() {
    for lipschitz in [1.0, 1.5] {
        let source = AnalyticSdf::new(lipschitz, still_life);
        let camera = Orbit { size: (400, 400), ..Orbit::default() }
            .cameras((Vec3::splat(0.1).as_dvec3(), Vec3::splat(0.9).as_dvec3()))
            .unwrap()[0];
        let stats = frame(&source, &camera).stats;
        println!(
            "lipschitz {lipschitz}: {:.2} evaluations a pixel, {} hits of {}",
            stats.evals_per_ray(),
            stats.hits,
            stats.rays
        );
        assert!(stats.evals_per_ray() < 4.0, "{stats:?}");
    }
}

#[test]
fn snapshot_of_the_still_life() {
    let source = AnalyticSdf::new(1.0, still_life);
    let camera = Orbit { size: (128, 128), elevation: 28.0, ..Orbit::default() }
        .cameras((Vec3::splat(0.12).as_dvec3(), Vec3::splat(0.88).as_dvec3()))
        .unwrap()[0];
    let tracer = SphereTracer::new(&source, Cube::default(), TracerSettings::default()).unwrap();
    let settings = RenderSettings { samples: 4, shading: Shading::studio(), ..RenderSettings::default() };
    let image = tracer.render(&camera, &settings).unwrap().to_srgb();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/snapshots/still_life.png");
    check_snapshot(&path, &image, 6, 0.005).unwrap();
}

#[test]
fn masked_pixels_are_those_of_the_whole_frame() {
    let source = AnalyticSdf::new(1.0, still_life);
    let camera = camera(DVec3::new(1.5, 1.2, 2.0), (90, 70), 35.0);
    let tracer = SphereTracer::new(&source, Cube::default(), TracerSettings::default()).unwrap();
    let mask: Vec<bool> = (0..90 * 70).map(|i| i % 7 == 0 && i % 90 < 64).collect();
    for samples in [1, 4] {
        let settings = RenderSettings { samples, background: Background::Transparent, ..layers() };
        let whole = tracer.render(&camera, &settings).unwrap();
        let masked = tracer.render_pixels(&camera, &settings, Some(&mask)).unwrap();
        let hits = (0..mask.len()).filter(|i| mask[*i] && whole.depth_ray[*i].is_finite()).count();
        assert!(hits > 50, "{hits}");
        for (i, wanted) in mask.iter().enumerate() {
            let colour = if *wanted { whole.colour[i] } else { [0.0; 4] };
            let depth = if *wanted { whole.depth_ray[i] } else { f32::INFINITY };
            assert_eq!((masked.colour[i], masked.depth_ray[i]), (colour, depth), "{i}");
        }
        assert!(masked.stats.rays < whole.stats.rays / 5);
    }
    let error = tracer.render_pixels(&camera, &layers(), Some(&mask[1..])).unwrap_err().to_string();
    assert!(error.contains("mask") && error.contains("6300"), "{error}");
}

#[test]
fn a_translucent_plane_shows_what_is_behind_it() {
    let source = AnalyticSdf::new(1.0, |p: Vec3| p.distance(Vec3::splat(0.5)) - 0.25);
    let tracer = SphereTracer::new(&source, Cube::default(), TracerSettings::default()).unwrap();
    // The camera looks along −z at a plane in front of the ball's middle, from the side that is cut away and from the other.
    for (eye, normal, offset) in [(3.0, DVec3::Z, 0.9), (3.0, DVec3::NEG_Z, -0.1), (-2.0, DVec3::Z, 0.9)] {
        let pose = Camera::look_at(DVec3::new(0.5, 0.5, eye), DVec3::splat(0.5), DVec3::Y).unwrap();
        let camera = Camera::with_fov_y(33, 33, 20.0, pose).unwrap();
        let section = Some(Section { normal, offset, show: SectionView::Field });
        let settings = |section, section_opacity| RenderSettings {
            section,
            section_opacity,
            background: Background::Transparent,
            ..RenderSettings::default()
        };
        let middle = |section, opacity| {
            let frame = tracer.render(&camera, &settings(section, opacity)).unwrap();
            [frame.colour[16 * 33 + 16], frame.colour[16 * 33 + 1]]
        };
        let cut = section.map(|s| Section { show: SectionView::Cut, ..s });
        let ([plain, _], [opaque, beside], [half, half_beside]) =
            (middle(cut, 1.0), middle(section, 1.0), middle(section, 0.5));
        let is_first = (eye > 0.0) == (normal.z > 0.0);
        for c in 0..4 {
            let expected = if is_first { 0.5 * (plain[c] + opaque[c]) } else { opaque[c] };
            assert!((half[c] - expected).abs() < 1e-4, "{eye} {normal}: {half:?} {plain:?} {opaque:?}");
            assert!((half_beside[c] - 0.5 * beside[c]).abs() < 1e-4, "{half_beside:?} {beside:?}");
        }
        assert!(is_first || plain == opaque, "the plane is behind the ball");
    }
    let wrong = RenderSettings { section_opacity: 1.5, ..RenderSettings::default() };
    let pose = Camera::look_at(DVec3::new(0.5, 0.5, 3.0), DVec3::splat(0.5), DVec3::Y).unwrap();
    assert!(tracer.render(&Camera::with_fov_y(8, 8, 20.0, pose).unwrap(), &wrong).is_err());
}
