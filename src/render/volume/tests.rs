//! Requirements on the volume renderer: closed forms, the same image with and without skipping, the same bits on any
//! number of threads.

use glam::{DMat3, DMat4, DVec2, DVec3, Vec3};
use nstr_camera::orbit::Orbit;
use nstr_camera::{Camera, CameraModel};
use nstr_image::colour::{Background, linear_from_srgb, srgb_from_linear};
use nstr_image::testing::check_snapshot;
use nstr_space::analytic::still_life;
use nstr_space::{AnalyticRadiance, Cube, Frustum, Occupancy, RadianceField, Ray, SceneMap};

use crate::section::{Section, SectionView, density_colour};
use crate::volume::{FusionError, LevelSetError, VolumeRenderer, VolumeSettings, fused_surface, level_set};
use crate::{Frame, Layer, LayerSet, RenderSettings};

const SLAB: (f32, f32) = (0.25, 0.75);
const SIGMA: f32 = 3.0;
const COLOUR: [f32; 3] = [0.8, 0.4, 0.1];

/// A slab across z of constant density and colour.
fn slab(p: Vec3, _: Vec3) -> [f32; 4] {
    let inside = p.z >= SLAB.0 && p.z < SLAB.1;
    [COLOUR[0], COLOUR[1], COLOUR[2], if inside { SIGMA } else { 0.0 }]
}

/// A soft ball whose density is 60·(1 − r/0.3) and whose colour depends on the view.
fn ball(p: Vec3, d: Vec3) -> [f32; 4] {
    let r = (p - 0.5).length();
    let c = (d + 1.0) * 0.5;
    [c.x, c.y, p.y, 60.0 * (1.0 - r / 0.3).max(0.0)]
}

fn camera(eye: DVec3, size: (u32, u32), fov: f64) -> Camera {
    let pose = Camera::look_at(eye, DVec3::splat(0.5), DVec3::Y).unwrap();
    Camera::with_fov_y(size.0, size.1, fov, pose).unwrap()
}

fn exact() -> VolumeSettings {
    VolumeSettings { step: 1.0 / 2048.0, min_transmittance: 0.0, ..VolumeSettings::default() }
}

fn every_layer() -> RenderSettings {
    RenderSettings { layers: LayerSet::all(), ..RenderSettings::default() }
}

#[test]
fn a_slab_lets_pass_what_the_closed_form_says() {
    let source = AnalyticRadiance::new(Occupancy::full(32), slab);
    let cube = Cube { origin: DVec3::new(-2.0, -2.0, -2.0), size: 4.0 };
    let renderer = VolumeRenderer::new(&source, cube, exact()).unwrap();
    let pose = Camera::look_at(DVec3::new(0.0, 0.0, 4.0), DVec3::ZERO, DVec3::Y).unwrap();
    let camera = Camera::with_fov_y(21, 15, 20.0, pose).unwrap();
    let background = Background::Colour([0.1, 0.2, 0.3]);
    let frame = renderer.render(&camera, &RenderSettings { background, ..every_layer() }).unwrap();
    let behind = [0.1, 0.2, 0.3].map(srgb_from_linear);
    let colours = renderer.colours(&camera, behind).unwrap();
    for (i, colour) in colours.iter().enumerate() {
        let ray = camera.ray((i % 21) as f64 + 0.5, (i / 21) as f64 + 0.5);
        let cosine = -ray.direction.z;
        // Lengths in field units: the front face lies 0.75 before the camera, the slab is 0.5 thick.
        let (near, length) = (0.75 / cosine, 0.5 / cosine);
        let sigma = f64::from(SIGMA);
        let passes = (-sigma * length).exp();
        assert!((f64::from(frame.alpha[i]) - (1.0 - passes)).abs() < 3e-3, "{} {passes}", frame.alpha[i]);
        // The mean of t over an exponential cut off at `length`.
        let mean = near + 1.0 / sigma - length * passes / (1.0 - passes);
        assert!((f64::from(frame.depth_ray[i]) - 4.0 * mean).abs() < 4e-3, "{} {}", frame.depth_ray[i], 4.0 * mean);
        assert!((f64::from(frame.depth_z[i]) - 4.0 * mean * ray.cosine).abs() < 4e-3);
        let at = ray.origin + ray.direction * f64::from(frame.depth_ray[i]);
        assert!(Vec3::from(frame.position[i]).as_dvec3().distance(at) < 1e-4);
        let unit = cube.to_unit(at);
        assert!(
            (f64::from(frame.spectrum[2 * i]) - unit.x).abs() < 2e-3,
            "S is linear: its mean lies at the mean depth"
        );
        for c in 0..3 {
            let want = COLOUR[c] * (1.0 - passes as f32) + behind[c] * passes as f32;
            assert!((colour[c] - want).abs() < 2e-3, "{colour:?} {want}");
            assert!((frame.colour[i][c] - linear_from_srgb(want)).abs() < 3e-3);
        }
        assert_eq!(frame.colour[i][3], 1.0);
        assert!((f64::from(frame.residual[i]) - unit.z).abs() < 2e-3);
        assert!(frame.steps[i] >= 2040.0 && frame.grad_s[i] >= 1.0);
    }
    let stats = frame.stats;
    assert_eq!((stats.rays, stats.hits, stats.saturated, stats.invalid), (21 * 15, 21 * 15, 0, 0));
    assert!(stats.evals_per_ray() > 2000.0 && stats.gradient_evals > 0 && stats.spectrum_evals > 0);
}

#[test]
fn pixels_agree_with_frames_and_opacity_ends_at_a_distance() {
    let source = AnalyticRadiance::new(Occupancy::full(32), slab);
    let cube = Cube { origin: DVec3::splat(-2.0), size: 4.0 };
    let pose = Camera::look_at(DVec3::new(0.0, 0.0, 4.0), DVec3::ZERO, DVec3::Y).unwrap();
    let camera = Camera::with_fov_y(21, 15, 14.0, pose).unwrap();
    // In both maps the slab reaches from −1 to 1 along z, where rays stay in the open map's inner cube.
    for map in [SceneMap::Box(cube), SceneMap::Open(Cube { origin: DVec3::splat(-1.0), size: 2.0 })] {
        let renderer = VolumeRenderer::new(&source, map, exact()).unwrap();
        let frame = renderer.render(&camera, &every_layer()).unwrap();
        let pixels = renderer.pixels(&camera, Some([0.1, 0.2, 0.3])).unwrap();
        assert_eq!(pixels.colours, renderer.colours(&camera, [0.1, 0.2, 0.3]).unwrap());
        assert!(pixels.opacity == frame.alpha && pixels.depth == frame.depth_ray);
        let bare = renderer.pixels(&camera, None).unwrap();
        assert!(bare.colours.is_empty() && bare.opacity == pixels.opacity && bare.depth == pixels.depth);
        // It begins 3 before the camera, and has a density of 0.75 a world unit.
        for distance in [0.0, 2.9, 3.5, 4.2, 100.0, f64::INFINITY] {
            let found = renderer.opacity_within(&camera, distance).unwrap();
            for (i, opacity) in found.iter().enumerate() {
                let cosine = -camera.ray((i % 21) as f64 + 0.5, (i / 21) as f64 + 0.5).direction.z;
                let length = (distance - 3.0 / cosine).clamp(0.0, 2.0 / cosine);
                let want = 1.0 - (-0.75 * length).exp();
                assert!((f64::from(*opacity) - want).abs() < 3e-3, "{} {distance}: {opacity} {want}", map.name());
            }
            if distance == f64::INFINITY {
                assert_eq!(found, pixels.opacity);
            }
        }
    }
}

#[test]
fn a_soft_ball_has_its_normals_and_view_dependent_colours() {
    let source = AnalyticRadiance::sampled(32, ball);
    let renderer = VolumeRenderer::new(&source, Cube::default(), exact()).unwrap();
    let eye = DVec3::new(1.4, 1.1, 1.7);
    let camera = camera(eye, (64, 64), 30.0);
    let frame = renderer.render(&camera, &every_layer()).unwrap();
    let colours = renderer.colours(&camera, [0.0; 3]).unwrap();
    let mut seen = 0;
    for (i, colour) in colours.iter().enumerate() {
        let ray = camera.ray((i % 64) as f64 + 0.5, (i / 64) as f64 + 0.5);
        let (oc, d) = (ray.origin - DVec3::splat(0.5), ray.direction);
        let b = oc.dot(d);
        let near = oc.length_squared() - b * b;
        if near > 0.31 * 0.31 {
            assert_eq!((frame.alpha[i], frame.depth_ray[i], frame.normal[i]), (0.0, f32::INFINITY, [0.0; 3]));
            assert_eq!(frame.colour[i], [1.0; 4]);
            continue;
        }
        // The integrals by small steps in double precision.
        let (mut passes, mut depth, mut normal, mut red) = (1.0f64, 0.0, DVec3::ZERO, 0.0);
        for k in 0..8000 {
            let t = -b - 0.3 + (k as f64 + 0.5) * 0.6 / 8000.0;
            let p = oc + d * t;
            let left = (-60.0 * (1.0 - p.length() / 0.3).max(0.0) * 0.6 / 8000.0).exp();
            let w = passes * (1.0 - left);
            depth += w * t;
            normal += p.normalize() * w;
            red += w * (d.x + 1.0) * 0.5;
            passes *= left;
        }
        let alpha = 1.0 - passes;
        assert!((f64::from(frame.alpha[i]) - alpha).abs() < 2e-3, "{i}: {} {alpha}", frame.alpha[i]);
        assert!((f64::from(colour[0]) - red).abs() < 2e-3);
        if alpha > 0.05 {
            seen += 1;
            assert!((f64::from(frame.depth_ray[i]) - depth / alpha).abs() < 2e-3);
            let n = Vec3::from(frame.normal[i]).as_dvec3();
            assert!(n.dot(normal.normalize()) > 0.999, "{n} {}", normal.normalize());
        }
    }
    assert!(seen > 1000, "{seen}");
}

#[test]
fn level_sets_of_a_soft_ball_have_its_curvature_in_world_units() {
    let source = AnalyticRadiance::sampled(32, ball);
    let cube = Cube { origin: DVec3::new(1.0, 2.0, 3.0), size: 2.0 };
    let renderer = VolumeRenderer::new(&source, cube, exact()).unwrap();
    let middle = cube.to_world(DVec3::splat(0.5));
    let pose = Camera::look_at(middle + DVec3::new(1.4, 1.1, 1.7) * 2.0, middle, DVec3::Y).unwrap();
    let camera = Camera::with_fov_y(48, 48, 25.0, pose).unwrap();
    let frame = renderer.render(&camera, &every_layer()).unwrap();
    let mut seen = 0;
    for i in 0..48 * 48 {
        let radius = Vec3::from(frame.position[i]).as_dvec3().distance(middle);
        if frame.depth_ray[i].is_finite() && radius < 0.59 && radius > 0.1 {
            seen += 1;
            // The source's own gradient is by differences.
            assert!((f64::from(frame.curvature[i]) * radius - 1.0).abs() < 0.03, "{} {radius}", frame.curvature[i]);
        } else if frame.depth_ray[i].is_infinite() {
            assert_eq!((frame.curvature[i], frame.residual[i]), (0.0, 0.0));
        }
    }
    assert!(seen > 500, "{seen}");
}

#[test]
fn skipping_changes_no_pixel() {
    let solid = |p: Vec3, d: Vec3| [0.5 + 0.5 * d.x, p.y, p.x, if still_life(p) < 0.0 { 200.0 } else { 0.0 }];
    // Occupied where a cell may hold anything: half its diagonal from its middle.
    let near = |i: usize| {
        let at = Vec3::new((i % 64) as f32, (i / 64 % 64) as f32, (i / 4096) as f32);
        still_life((at + 0.5) / 64.0) < 0.867 / 64.0
    };
    let full = AnalyticRadiance::new(Occupancy::full(64), solid);
    let tight = AnalyticRadiance::new(Occupancy::from_bits(64, near), solid);
    for cone in [0.0, 1.0 / 256.0] {
        let settings = VolumeSettings { cone, ..VolumeSettings::default() };
        let render = |source: &dyn RadianceField| {
            let renderer = VolumeRenderer::new(source, Cube::default(), settings).unwrap();
            let settings = RenderSettings { samples: 2, ..every_layer() };
            renderer.render(&camera(DVec3::new(1.5, 1.2, 2.0), (70, 50), 35.0), &settings).unwrap()
        };
        let (a, b) = (render(&full), render(&tight));
        assert!(b.stats.evals * 3 < a.stats.evals, "{:?} {:?}", a.stats, b.stats);
        assert!(a.stats.saturated > 500 && a.stats.hits == b.stats.hits);
        let bare = |frame: Frame| Frame { steps: Vec::new(), stats: Default::default(), ..frame };
        assert!(bare(a) == bare(b));
    }
}

#[test]
fn backgrounds_are_composited_as_in_training() {
    let source = AnalyticRadiance::new(Occupancy::full(16), slab);
    let renderer = VolumeRenderer::new(&source, Cube::default(), VolumeSettings::default()).unwrap();
    let camera = camera(DVec3::new(0.5, 0.5, 2.5), (9, 9), 10.0);
    let render = |background| {
        let settings = RenderSettings { background, ..RenderSettings::default() };
        renderer.render(&camera, &settings).unwrap()
    };
    let clear = render(Background::Transparent);
    let [r, g, b, a] = clear.colour[40];
    assert!((a - (1.0 - (-SIGMA * 0.5f32).exp())).abs() < 3e-3, "{a}");
    for (linear, srgb) in [r, g, b].into_iter().zip(COLOUR) {
        assert!((srgb_from_linear(linear / a) - srgb).abs() < 1e-3);
    }
    let straight = clear.to_srgb().pixel(4, 4);
    assert!((0..3).all(|c| (f32::from(straight[c]) - 255.0 * COLOUR[c]).abs() <= 1.0), "{straight:?}");
    let white = render(Background::White).to_srgb().pixel(4, 4);
    for c in 0..3 {
        let want = 255.0 * (COLOUR[c] * a + 1.0 - a);
        assert!((f32::from(white[c]) - want).abs() <= 1.0, "{white:?} {want}");
    }
    let nothing = AnalyticRadiance::new(Occupancy::empty(16), slab);
    let renderer = VolumeRenderer::new(&nothing, Cube::default(), VolumeSettings::default()).unwrap();
    let settings = RenderSettings { background: "#204080".parse().unwrap(), ..every_layer() };
    let frame = renderer.render(&camera, &settings).unwrap();
    assert_eq!(frame.to_srgb().pixel(3, 3), [0x20, 0x40, 0x80, 255]);
    assert_eq!((frame.stats.evals, frame.stats.hits), (0, 0));
    assert_eq!(renderer.bounds(), (DVec3::ZERO, DVec3::ONE));
    assert_eq!(renderer.colours(&camera, [0.3, 0.2, 0.1]).unwrap(), vec![[0.3, 0.2, 0.1]; 81]);
}

#[test]
fn threads_do_not_change_a_bit() {
    let source = AnalyticRadiance::sampled(32, ball);
    let camera = camera(DVec3::new(1.5, 1.2, 2.0), (150, 110), 30.0);
    let render = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let renderer = VolumeRenderer::new(&source, Cube::default(), VolumeSettings::default()).unwrap();
            let settings = RenderSettings { samples: 3, ..every_layer() };
            let mut frame = renderer.render(&camera, &settings).unwrap();
            frame.stats.seconds = 0.0;
            frame
        })
    };
    let one = render(1);
    assert!(one == render(3));
    assert_eq!(one.stats.rays, 150 * 110 * 4);
}

#[test]
fn only_layers_asked_for_cost_anything() {
    let source = AnalyticRadiance::sampled(32, ball);
    let renderer = VolumeRenderer::new(&source, Cube::default(), VolumeSettings::default()).unwrap();
    let camera = camera(DVec3::new(1.5, 1.2, 2.0), (40, 40), 30.0);
    let render = |layers: &[Layer]| {
        let settings = RenderSettings { layers: LayerSet::of(layers), ..RenderSettings::default() };
        renderer.render(&camera, &settings).unwrap()
    };
    let plain = render(&[Layer::Colour]);
    assert_eq!((plain.stats.gradient_evals, plain.stats.spectrum_evals), (0, 0));
    assert!(plain.alpha.is_empty() && plain.depth_ray.is_empty() && plain.normal.is_empty());
    let depth = render(&[Layer::DepthRay, Layer::Alpha]);
    assert!(depth.colour.is_empty() && depth.depth_z.is_empty());
    let all = renderer.render(&camera, &every_layer()).unwrap();
    assert!(depth.alpha == all.alpha && depth.depth_ray == all.depth_ray && plain.colour == all.colour);
}

/// A view that sees nothing in its left half.
struct Blinkered(Camera);

impl CameraModel for Blinkered {
    fn size(&self) -> (u32, u32) {
        (self.0.width, self.0.height)
    }
    fn ray(&self, x: f64, y: f64) -> Ray {
        let ray = self.0.ray(x, y);
        if x < 0.5 * self.0.width as f64 { Ray { direction: DVec3::NAN, ..ray } } else { ray }
    }
}

#[test]
fn bad_fields_views_and_settings_are_errors_not_panics() {
    let odd = |p: Vec3, d: Vec3| match p.x {
        x if x < 0.45 => [f32::NAN, 0.0, 0.0, 5.0],
        x if x < 0.5 => [1.0, 1.0, 1.0, f32::INFINITY],
        x if x < 0.55 => [1.0, 1.0, 1.0, f32::NAN],
        x if x < 0.6 => [1.0, 1.0, 1.0, -7.0],
        _ => ball(p, d),
    };
    let source = AnalyticRadiance::new(Occupancy::full(16), odd);
    let view = camera(DVec3::new(1.5, 1.2, 2.0), (32, 32), 35.0);
    let renderer = VolumeRenderer::new(&source, Cube::default(), VolumeSettings::default()).unwrap();
    let frame = renderer.render(&view, &every_layer()).unwrap();
    assert!(frame.stats.invalid > 0 && frame.stats.hits > 0);
    assert!(frame.colour.iter().flatten().chain(&frame.alpha).all(|v| v.is_finite()));
    let half = renderer.render(&Blinkered(view), &every_layer()).unwrap();
    for i in 0..32 * 32 {
        let want = if i % 32 < 16 { 0.0 } else { frame.alpha[i] };
        assert_eq!(half.alpha[i], want);
    }
    let good = VolumeSettings::default();
    for (bad, word) in [
        (VolumeSettings { step: 0.0, ..good }, "step"),
        (VolumeSettings { cone: -1.0, ..good }, "cone"),
        (VolumeSettings { near: f32::NAN, ..good }, "near"),
        (VolumeSettings { min_transmittance: 1.0, ..good }, "min_transmittance"),
        (VolumeSettings { tile: 7, ..good }, "tile"),
    ] {
        let message = VolumeRenderer::new(&source, Cube::default(), bad).err().unwrap().to_string();
        assert!(message.contains(word), "{message} lacks {word}");
    }
    let flat = Cube { origin: DVec3::ZERO, size: 0.0 };
    assert!(VolumeRenderer::new(&source, flat, good).is_err());
    assert!(renderer.render(&view, &RenderSettings { samples: 0, ..every_layer() }).is_err());
    assert!(renderer.colours(&Camera { width: 0, ..view }, [0.0; 3]).is_err());
}

#[test]
fn near_cuts_what_is_close() {
    let source = AnalyticRadiance::new(Occupancy::full(16), slab);
    let camera = camera(DVec3::new(0.5, 0.5, 1.5), (3, 3), 2.0);
    let alpha = |near: f32| {
        let settings = VolumeSettings { near, ..exact() };
        let renderer = VolumeRenderer::new(&source, Cube::default(), settings).unwrap();
        renderer.render(&camera, &every_layer()).unwrap().alpha[4]
    };
    assert!((alpha(0.0) - (1.0 - (-SIGMA * 0.5f32).exp())).abs() < 2e-3);
    assert!((alpha(1.0) - (1.0 - (-SIGMA * 0.25f32).exp())).abs() < 2e-3);
    assert_eq!(alpha(1.3), 0.0);
}

#[test]
fn a_section_cuts_the_slab_or_shows_its_density() {
    let source = AnalyticRadiance::new(Occupancy::full(16), slab);
    let cube = Cube { origin: DVec3::new(-2.0, -2.0, -2.0), size: 4.0 };
    let renderer = VolumeRenderer::new(&source, cube, exact()).unwrap();
    let render = |z: f64, show: SectionView| {
        let pose = Camera::look_at(DVec3::new(0.0, 0.0, z), DVec3::ZERO, DVec3::Y).unwrap();
        let camera = Camera::with_fov_y(3, 3, 1.0, pose).unwrap();
        // Field z = 0.35 lies in the slab: 0.1 of it stays below the plane.
        let section = Some(Section { normal: DVec3::Z, offset: -0.6, show });
        renderer.render(&camera, &RenderSettings { section, ..every_layer() }).unwrap()
    };
    let passes = (-SIGMA * 0.1f32).exp();
    for z in [6.0, -6.0] {
        let cut = render(z, SectionView::Cut);
        assert!((cut.alpha[4] - (1.0 - passes)).abs() < 3e-3, "{} {passes}", cut.alpha[4]);
        let field = render(z, SectionView::Field);
        assert_eq!(field.alpha[4], 1.0);
        let (through, plane) = (if z > 0.0 { 1.0 } else { passes }, density_colour(SIGMA));
        for c in 0..3 {
            let want = COLOUR[c] * (1.0 - through) + plane[c] * through;
            assert!((srgb_from_linear(field.colour[4][c]) - want).abs() < 3e-3, "{:?} {want}", field.colour[4]);
        }
        assert!((field.depth_ray[4] as f64 - (z + 0.6).abs()).abs() < if z > 0.0 { 1e-4 } else { 0.2 });
        assert!(field.normal[4][2] * z.signum() as f32 > 0.7);
    }
    // A plane of half the opacity lets half of the light through, before the slab or behind it.
    for z in [6.0, -6.0] {
        let pose = Camera::look_at(DVec3::new(0.0, 0.0, z), DVec3::ZERO, DVec3::Y).unwrap();
        let camera = Camera::with_fov_y(3, 3, 1.0, pose).unwrap();
        let section = Some(Section { normal: DVec3::Z, offset: -0.6, show: SectionView::Field });
        let half = RenderSettings { section, section_opacity: 0.5, ..every_layer() };
        let alpha = renderer.render(&camera, &half).unwrap().alpha[4];
        assert!((alpha - (1.0 - 0.5 * passes)).abs() < 3e-3, "{z}: {alpha} {passes}");
    }
    assert!(render(6.0, SectionView::Field).stats.evals <= 9, "only the plane");
    let beside = Section { normal: DVec3::X, offset: -3.0, show: SectionView::Field };
    let camera = camera(DVec3::new(0.0, 0.0, 6.0), (3, 3), 1.0);
    let frame = renderer.render(&camera, &RenderSettings { section: Some(beside), ..every_layer() }).unwrap();
    assert_eq!((frame.alpha[4], frame.stats.evals), (0.0, 0));
    let bad = Some(Section { offset: f64::NAN, ..beside });
    assert!(renderer.render(&camera, &RenderSettings { section: bad, ..every_layer() }).is_err());
}

#[test]
fn a_level_set_is_closed_coloured_and_in_place() {
    let source = AnalyticRadiance::sampled(32, ball);
    let cube = Cube { origin: DVec3::new(1.0, 2.0, 3.0), size: 2.0 };
    let found = level_set(&source, cube, Some(30.0), 96).unwrap();
    let middle = cube.to_world(DVec3::splat(0.5));
    assert!(found.mesh.faces.len() > 1000);
    let mut edges = std::collections::HashSet::new();
    for f in &found.mesh.faces {
        (0..3).for_each(|k| assert!(edges.insert((f[k], f[(k + 1) % 3]))));
    }
    assert!(edges.iter().all(|(a, b)| edges.contains(&(*b, *a))), "closed");
    for ((p, n), c) in found.mesh.positions.iter().zip(&found.normals).zip(&found.colours) {
        let out = *p - middle;
        assert!((out.length() - 0.3).abs() < 1e-3, "σ = 30 at half the radius, 0.15 of an edge of 2");
        assert!(n.as_dvec3().dot(out.normalize()) > 0.999);
        let seen = ((1.0 - n.x) * 0.5 * 255.0).round();
        assert!((f32::from(c[0]) - seen).abs() <= 1.0);
    }
    assert!(found.evaluations < 97 * 97 * 97 / 2);
    // A slab fills the cube to its faces and closes there.
    let slab = level_set(&AnalyticRadiance::new(Occupancy::full(16), slab), Cube::default(), Some(1.0), 20).unwrap();
    let (lo, hi) = slab.mesh.bounds().unwrap();
    assert!(lo.x < 0.001 && hi.x > 0.94 && hi.x < 1.06 && lo.z > 0.19 && hi.z < 0.81, "{lo} {hi}");
    assert_eq!(level_set(&source, cube, Some(61.0), 32).err(), Some(LevelSetError::NoSurface(61.0)));
    let nothing = AnalyticRadiance::new(Occupancy::empty(16), ball);
    assert_eq!(level_set(&nothing, cube, Some(1.0), 32).err(), Some(LevelSetError::NoSurface(1.0)));
    assert!(matches!(level_set(&source, cube, Some(f32::NAN), 32), Err(LevelSetError::Level(_))));
    assert!(level_set(&source, cube, Some(1.0), 0).is_err() && level_set(&source, cube, Some(1.0), 5000).is_err());
}

/// An open map around the origin, and a frustum that looks along −z of the world.
fn endless() -> [SceneMap; 2] {
    let frustum = Frustum {
        eye: DVec3::ZERO,
        axes: DMat3::from_cols(DVec3::X, DVec3::NEG_Y, DVec3::NEG_Z),
        low: DVec2::splat(-0.5),
        high: DVec2::splat(0.5),
        near: 1.0,
    };
    [SceneMap::Open(Cube { origin: DVec3::splat(-1.0), size: 2.0 }), SceneMap::Forward(frustum)]
}

/// A field whose σ is a function of the world position.
fn in_world(
    map: SceneMap,
    sigma: impl Fn(DVec3) -> f64 + Sync,
) -> AnalyticRadiance<impl Fn(Vec3, Vec3) -> [f32; 4] + Sync> {
    let function = move |p: Vec3, d: Vec3| {
        let c = (d + 1.0) * 0.5;
        [c.x, c.y, c.z, map.to_world(p.as_dvec3()).map_or(0.0, &sigma) as f32]
    };
    AnalyticRadiance::new(Occupancy::full(16), function)
}

#[test]
fn an_open_map_shows_its_inner_cube_as_a_box_does() {
    let cube = Cube { origin: DVec3::new(1.0, 2.0, 3.0), size: 2.0 };
    let boxed = AnalyticRadiance::sampled(32, ball);
    // The same ball in the middle half of the unit cube: there are half as many units of length.
    let open = AnalyticRadiance::sampled(32, |p, d| {
        let [r, g, b, sigma] = ball((p - 0.25) * 2.0, d);
        [r, g, b, 2.0 * sigma]
    });
    let middle = cube.centre();
    let pose = Camera::look_at(middle + DVec3::new(1.4, 1.1, 1.7) * 2.0, middle, DVec3::Y).unwrap();
    let camera = Camera::with_fov_y(32, 32, 25.0, pose).unwrap();
    let a = VolumeRenderer::new(&boxed, cube, exact()).unwrap().render(&camera, &every_layer()).unwrap();
    let renderer = VolumeRenderer::new(&open, SceneMap::Open(cube), exact()).unwrap();
    let b = renderer.render(&camera, &every_layer()).unwrap();
    assert_eq!(renderer.bounds(), cube.bounds());
    let mut seen = 0;
    for i in 0..32 * 32 {
        assert!((a.alpha[i] - b.alpha[i]).abs() < 5e-3, "{i}: {} {}", a.alpha[i], b.alpha[i]);
        if a.alpha[i] > 0.05 {
            seen += 1;
            assert!((a.depth_ray[i] - b.depth_ray[i]).abs() < 6e-3, "{} {}", a.depth_ray[i], b.depth_ray[i]);
            assert!((Vec3::from(a.position[i]) - Vec3::from(b.position[i])).length() < 6e-3);
            assert!(Vec3::from(a.normal[i]).dot(Vec3::from(b.normal[i])) > 0.999);
            assert!((0..3).all(|c| (a.colour[i][c] - b.colour[i][c]).abs() < 6e-3));
        }
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn walls_beyond_the_inner_cube_have_their_world_depth_and_normals() {
    for map in endless() {
        // Dense from z = −10 on.
        let source = in_world(map, |p| ((-10.0 - p.z) * 5e5).clamp(0.0, 1e6));
        let renderer = VolumeRenderer::new(&source, map, exact()).unwrap();
        let camera = Camera::with_fov_y(9, 7, 40.0, glam::DMat4::IDENTITY).unwrap();
        let frame = renderer.render(&camera, &every_layer()).unwrap();
        for i in 0..63 {
            assert!(frame.alpha[i] > 0.99, "{}", map.name());
            // A step is 4·10²/2048 = 0.2 long there.
            assert!((frame.depth_z[i] - 10.0).abs() < 0.5, "{}: {}", map.name(), frame.depth_z[i]);
            assert!((frame.position[i][2] + 10.0).abs() < 0.5);
            assert!(frame.normal[i][2] > 0.999, "{}: {:?}", map.name(), frame.normal[i]);
            let direction = camera.ray((i % 9) as f64 + 0.5, (i / 9) as f64 + 0.5).direction;
            let [r, ..] = frame.colour[i];
            let want = linear_from_srgb((direction.x as f32 + 1.0) * 0.5);
            assert!((r - want).abs() < 0.02, "colours depend on the direction in the world: {r} {want}");
        }
        // A plane before the wall shows the field there.
        let section = Some(Section { normal: DVec3::Z, offset: -6.0, show: SectionView::Field });
        let frame = renderer.render(&camera, &RenderSettings { section, ..every_layer() }).unwrap();
        assert!((frame.depth_z[31] - 6.0).abs() < 1e-3 && frame.alpha[31] == 1.0, "{}", frame.depth_z[31]);
        let section = Some(Section { normal: DVec3::NEG_Z, offset: 8.0, show: SectionView::Cut });
        let frame = renderer.render(&camera, &RenderSettings { section, ..every_layer() }).unwrap();
        assert_eq!(frame.alpha[31], 0.0, "the wall is cut away");
    }
}

#[test]
fn what_lies_at_infinity_is_seen() {
    for map in endless() {
        let source = in_world(map, |p| if p.length() > 1e2 { 1e6 } else { 0.0 });
        let renderer = VolumeRenderer::new(&source, map, exact()).unwrap();
        let camera = Camera::with_fov_y(5, 5, 40.0, glam::DMat4::IDENTITY).unwrap();
        let frame = renderer.render(&camera, &every_layer()).unwrap();
        for i in 0..25 {
            assert!(frame.alpha[i] > 0.99 && frame.depth_ray[i] > 99.0 && frame.depth_ray[i].is_finite());
            assert!(frame.position[i].iter().all(|v| v.is_finite()));
        }
    }
}

#[test]
fn level_sets_of_endless_maps_are_in_place() {
    for map in endless() {
        let (centre, radius) = match map {
            SceneMap::Forward(_) => (DVec3::new(0.1, -0.2, -3.0), 0.5),
            _ => (DVec3::new(0.1, -0.2, 0.3), 0.5),
        };
        let source = in_world(map, |p| 60.0 * (1.0 - p.distance(centre) / (2.0 * radius)).max(0.0));
        let found = level_set(&source, map, Some(30.0), 96).unwrap();
        assert!(found.mesh.faces.len() > 500);
        for (p, n) in found.mesh.positions.iter().zip(&found.normals) {
            let out = *p - centre;
            assert!((out.length() - radius).abs() < 5e-3, "{}: {}", map.name(), out.length());
            assert!(n.as_dvec3().dot(out.normalize()) > 0.995, "{}", map.name());
        }
        let is_outward = |f: &usize| {
            let [a, b, c] = found.mesh.triangle(*f);
            (b - a).cross(c - a).dot((a + b + c) / 3.0 - centre) > 0.0
        };
        let (outward, faces) = ((0..found.mesh.faces.len()).filter(is_outward).count(), found.mesh.faces.len());
        assert!(outward * 100 > faces * 98, "{}: no mirror image: {outward} of {faces}", map.name());
    }
}

#[test]
fn snapshot_of_the_still_life_as_a_volume() {
    let look = |p: Vec3, d: Vec3| {
        let sigma = (-still_life(p) * 4000.0).clamp(0.0, 400.0);
        // Stripes and a highlight that moves with the view.
        let stripe = if (p.x * 40.0).sin() > 0.0 { 0.75 } else { 0.45 };
        let shine = (-d.y).max(0.0).powi(4);
        [stripe + 0.2 * shine, 0.35 + 0.4 * p.y + 0.2 * shine, 0.3 + 0.5 * p.z, sigma]
    };
    let near = |i: usize| {
        let at = Vec3::new((i % 64) as f32, (i / 64 % 64) as f32, (i / 4096) as f32);
        still_life((at + 0.5) / 64.0) < 0.867 / 64.0
    };
    let source = AnalyticRadiance::new(Occupancy::from_bits(64, near), look);
    let camera = Orbit { size: (128, 128), elevation: 28.0, ..Orbit::default() }
        .cameras((Vec3::splat(0.12).as_dvec3(), Vec3::splat(0.88).as_dvec3()))
        .unwrap()[0];
    let renderer = VolumeRenderer::new(&source, Cube::default(), VolumeSettings::default()).unwrap();
    let settings = RenderSettings { samples: 4, ..RenderSettings::default() };
    let image = renderer.render(&camera, &settings).unwrap().to_srgb();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/snapshots/still_life_volume.png");
    check_snapshot(&path, &image, 6, 0.005).unwrap();
}

#[test]
fn masked_pixels_are_those_of_the_whole_frame() {
    let source = AnalyticRadiance::sampled(64, ball);
    let renderer = VolumeRenderer::new(&source, Cube::default(), VolumeSettings::default()).unwrap();
    let camera = camera(DVec3::new(1.5, 1.2, 2.0), (60, 50), 30.0);
    let mask: Vec<bool> = (0..60 * 50).map(|i| i % 7 == 0).collect();
    for samples in [1, 4] {
        let settings = RenderSettings { samples, background: Background::Transparent, ..every_layer() };
        let whole = renderer.render(&camera, &settings).unwrap();
        let masked = renderer.render_pixels(&camera, &settings, Some(&mask)).unwrap();
        assert!((0..mask.len()).filter(|i| mask[*i] && whole.alpha[*i] > 0.1).count() > 50);
        for (i, wanted) in mask.iter().enumerate() {
            let colour = if *wanted { whole.colour[i] } else { [0.0; 4] };
            // Rays march in batches of other sizes, so that sums may be rounded otherwise.
            let off = colour.iter().zip(masked.colour[i]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-5, "{i}: {colour:?} {:?}", masked.colour[i]);
        }
        assert!(masked.stats.evals < whole.stats.evals / 4);
    }
    assert!(renderer.render_pixels(&camera, &every_layer(), Some(&mask[1..])).is_err());
}

/// A dense ball with a cavity that no camera sees, red.
fn hollow(p: Vec3, _: Vec3) -> [f32; 4] {
    let r = (p - 0.5).length();
    [0.9, 0.1, 0.1, if (0.15..0.3).contains(&r) { 2000.0 } else { 0.0 }]
}

#[test]
fn a_fused_surface_is_what_cameras_see_of_a_field() {
    let source = AnalyticRadiance::sampled(32, hollow);
    let cube = Cube { origin: DVec3::new(-1.0, 0.0, 2.0), size: 2.0 };
    let middle = cube.to_world(DVec3::splat(0.5));
    let renderer = VolumeRenderer::new(&source, cube, VolumeSettings::default()).unwrap();
    let places = (0..14).map(|i| {
        let (turn, height) = (f64::from(i) * 2.4, 1.0 - 2.0 * (f64::from(i) + 0.5) / 14.0);
        let out = DVec3::new(turn.cos(), turn.sin(), 0.0) * (1.0 - height * height).sqrt() + DVec3::Z * height;
        let pose = Camera::look_at(middle + out * 5.0, middle, DVec3::new(0.3, 0.2, 1.0)).unwrap();
        Camera::with_fov_y(96, 96, 30.0, pose).unwrap()
    });
    let cameras: Vec<Camera> = places.collect();
    let mut told = Vec::new();
    let found = fused_surface(&renderer, &cameras, 64, |done| told.push(done)).unwrap();
    assert_eq!(told, (1..=14).collect::<Vec<_>>());
    let mut edges = std::collections::HashSet::new();
    for f in &found.mesh.faces {
        (0..3).for_each(|k| assert!(edges.insert((f[k], f[(k + 1) % 3]))));
    }
    assert!(edges.len() > 3000 && edges.iter().all(|(a, b)| edges.contains(&(*b, *a))), "closed");
    let mut outward = 0.0;
    for ((p, n), c) in found.mesh.positions.iter().zip(&found.normals).zip(&found.colours) {
        let out = *p - middle;
        // Within a pixel, 0.03 of the world, of the outer surface; nothing of the cavity at 0.3.
        assert!((out.length() - 0.6).abs() < 0.03, "{}", out.length());
        outward += n.as_dvec3().dot(out.normalize());
        assert_eq!(c[0], 230);
    }
    // Depths of pixels are steps on a slope: normals are right in the mean.
    assert!(outward / found.normals.len() as f64 > 0.95, "{outward} of {}", found.normals.len());
    // The level set has both surfaces.
    let both = level_set(&source, cube, Some(1000.0), 64).unwrap();
    assert!(both.mesh.positions.iter().any(|p| (p.distance(middle) - 0.3).abs() < 0.03));
    let aside = Camera { camera_to_world: cameras[0].camera_to_world * DMat4::from_rotation_y(2.0), ..cameras[0] };
    let error = fused_surface(&renderer, &[aside], 64, |_| ()).unwrap_err();
    assert!(matches!(error, FusionError::NothingSeen), "{error}");
    assert!(fused_surface(&renderer, &cameras, 0, |_| ()).is_err());
}

/// A ball whose density follows its distance; hidden far behind everything.
struct DistanceBall(Occupancy);

impl RadianceField for DistanceBall {
    fn density(&self, points: &[Vec3], density: &mut [f32]) {
        self.signed_distance(points, density);
        density
            .iter_mut()
            .for_each(|d| *d = if *d > 0.0 { 50.0 * (-100.0 * *d).exp() } else { 100.0 - 50.0 * (100.0 * *d).exp() });
    }
    fn radiance(&self, points: &[Vec3], _: &[Vec3], out: &mut [[f32; 4]]) {
        let mut density = vec![0.0; points.len()];
        self.density(points, &mut density);
        out.iter_mut().zip(density).for_each(|(out, d)| *out = [0.2, 0.4, 0.6, d]);
    }
    fn density_gradient(&self, points: &[Vec3], density: &mut [f32], gradient: &mut [Vec3]) {
        self.density(points, density);
        gradient.iter_mut().zip(points).for_each(|(g, p)| *g = (0.5 - *p).normalize_or_zero());
    }
    fn sharpness(&self) -> Option<f32> {
        Some(100.0)
    }
    fn signed_distance(&self, points: &[Vec3], distance: &mut [f32]) {
        distance.iter_mut().zip(points).for_each(|(d, p)| *d = p.distance(Vec3::splat(0.5)) - 0.3);
    }
    fn occupancy(&self) -> &Occupancy {
        &self.0
    }
}

#[test]
fn the_surface_of_a_distance_needs_no_level() {
    let source = DistanceBall(Occupancy::full(16));
    let found = level_set(&source, Cube::default(), None, 32).unwrap();
    for (p, n) in found.mesh.positions.iter().zip(&found.normals) {
        let out = *p - DVec3::splat(0.5);
        assert!((out.length() - 0.3).abs() < 1e-4, "on the zero of the distance: {}", out.length());
        assert!(n.as_dvec3().dot(out.normalize()) > 0.99);
    }
    // A level of the density lies elsewhere.
    let level = level_set(&source, Cube::default(), Some(10.0), 32).unwrap();
    assert!(level.mesh.positions.iter().all(|p| p.distance(DVec3::splat(0.5)) > 0.31));
    let plain = AnalyticRadiance::new(Occupancy::full(16), ball);
    assert_eq!(level_set(&plain, Cube::default(), None, 32).err(), Some(LevelSetError::NoDistance));
}
