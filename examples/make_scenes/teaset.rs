//! A tea set on a round tray: teapot, cup and saucer, spoon, lemon and sugar. z points up, the tray's radius is 1.
//!
//! Every part is closed; parts overlap where they join. Nothing in it is symmetric as a whole, so that a picture that is
//! mirrored or turned shows.

use std::f64::consts::PI;

use glam::{DVec2, DVec3, dvec2, dvec3};

use super::material::Material;
use super::model::{Model, circle, groups, rounded};

/// Height of the tray's top: the origin, which the cameras look at, is the middle of the set.
const TOP: f64 = -0.34;

/// One closed piece.
pub struct Part {
    /// Name in the mesh file.
    pub name: &'static str,
    /// Look of its surface.
    pub material: Material,
    /// Origin of the material's pattern.
    pub foot: DVec3,
    /// Its faces.
    pub model: Model,
}

impl Part {
    fn new(name: &'static str, material: Material, foot: DVec3, make: impl FnOnce(&mut Model)) -> Self {
        let mut model = Model::default();
        make(&mut model);
        Self { name, material, foot, model }
    }
}

/// The pieces.
pub fn parts() -> Vec<Part> {
    let mut parts = vec![Part::new("tray", Material::Planks, DVec3::Z * TOP, tray)];
    parts.extend(teapot(dvec3(-0.22, 0.26, TOP)));
    parts.extend(cup(dvec3(0.45, -0.38, TOP)));
    parts.push(Part::new("spoon", Material::Steel, DVec3::ZERO, spoon));
    parts.push(Part::new("lemon", Material::Lemon, DVec3::ZERO, lemon));
    let cubes = [("sugar_left", -0.345, -0.330, 0.0, 17.0), ("sugar_right", -0.185, -0.385, 0.0, -24.0)];
    for (name, x, y, z, degrees) in cubes.into_iter().chain([("sugar_top", -0.262, -0.362, 0.13, 38.0)]) {
        parts.push(Part::new(name, Material::Sugar, DVec3::ZERO, |m| sugar(m, dvec3(x, y, TOP + z), degrees)));
    }
    parts
}

/// The file `teaset.obj`.
pub fn obj() -> String {
    let parts = parts();
    let models: Vec<(&str, &Model)> = parts.iter().map(|p| (p.name, &p.model)).collect();
    groups("tea set, z up: closed parts that overlap; teaset/ holds pictures of it", &models)
}

/// Points on the Catmull-Rom curve through `through`, `steps` a piece; ends included.
fn smooth(through: &[(f64, f64)], steps: usize) -> Vec<DVec2> {
    let at = |i: isize| DVec2::from(through[i.clamp(0, through.len() as isize - 1) as usize]);
    let mut points = vec![at(0)];
    for i in 0..through.len() as isize - 1 {
        let [p, a, b, q] = [-1, 0, 1, 2].map(|k| at(i + k));
        points.extend((1..=steps).map(|k| {
            let t = k as f64 / steps as f64;
            let (c, d) = (p * 2.0 - a * 5.0 + b * 4.0 - q, (a - b) * 3.0 + q - p);
            a + ((b - p) * t + c * t * t + d * t * t * t) * 0.5
        }));
    }
    points
}

/// A cubic Bézier curve.
fn bezier([a, b, c, d]: [DVec3; 4]) -> impl Fn(f64) -> DVec3 {
    move |t| {
        let s = 1.0 - t;
        a * (s * s * s) + b * (3.0 * s * s * t) + c * (3.0 * s * t * t) + d * (t * t * t)
    }
}

/// `n` + 1 stations of a tube along 0..=1 with the given radius.
fn stations(n: usize, radius: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    (0..=n).map(|i| i as f64 / n as f64).map(|t| (t, radius(t))).collect()
}

fn tray(m: &mut Model) {
    let mut profile = vec![dvec2(0.30, -0.075), dvec2(0.94, -0.075)];
    profile.extend(smooth(&[(0.94, -0.075), (0.985, -0.055), (1.0, 0.02), (0.993, 0.055)], 2).into_iter().skip(1));
    profile.extend(smooth(&[(0.993, 0.055), (0.98, 0.067), (0.962, 0.055), (0.945, 0.012), (0.925, 0.0)], 2));
    profile.dedup_by(|a, b| a.distance(*b) < 1e-9);
    profile.extend([dvec2(0.6, 0.0), dvec2(0.2, 0.0)]);
    m.revolve(DVec3::Z * TOP, &profile, 64);
}

fn teapot(foot: DVec3) -> Vec<Part> {
    let body = |m: &mut Model| {
        let mut profile = vec![dvec2(0.06, 0.0), dvec2(0.225, 0.0), dvec2(0.245, 0.012), dvec2(0.247, 0.03)];
        profile.extend((0..=20).map(|i| {
            let a = (-62.0 + 127.0 * i as f64 / 20.0_f64).to_radians();
            dvec2(0.44 * a.cos().powf(0.75), 0.305 + 0.30 * a.sin())
        }));
        profile.push(dvec2(0.06, 0.577));
        m.revolve(foot, &profile, 48);
    };
    let lid = |m: &mut Model| {
        let mut profile = vec![dvec2(0.05, 0.55), dvec2(0.236, 0.568), dvec2(0.247, 0.576), dvec2(0.247, 0.586)];
        profile.extend((0..=8).map(|i| {
            let a = PI * 0.5 * i as f64 / 8.5;
            dvec2(0.238 * a.cos().powf(0.9), 0.590 + 0.075 * a.sin())
        }));
        m.revolve(foot, &profile, 40);
    };
    let knob = |m: &mut Model| {
        let mut profile = vec![dvec2(0.028, 0.64), dvec2(0.024, 0.68)];
        profile.extend((0..=12).map(|i| {
            let a = (-58.0 + 146.0 * i as f64 / 12.0_f64).to_radians();
            dvec2(0.056 * a.cos(), 0.722 + 0.050 * a.sin())
        }));
        m.revolve(foot, &profile, 20);
    };
    // The spout points to the left and a little to the front.
    let out = DVec3::from((DVec2::from_angle(196f64.to_radians()), 0.0));
    let side = DVec3::Z.cross(out);
    let beside = |x: f64, z: f64| foot + out * x + DVec3::Z * z;
    let spout = |m: &mut Model| {
        let path = bezier([beside(0.30, 0.16), beside(0.62, 0.17), beside(0.50, 0.50), beside(0.735, 0.575)]);
        let mut along = stations(16, |t| 0.120 - 0.105 * t + 0.038 * t * t);
        along.extend([(1.0, 0.041), (0.98, 0.037), (0.90, 0.036), (0.80, 0.036)]);
        m.tube(path, side, &along, 18);
    };
    let handle = |m: &mut Model| {
        let path = bezier([beside(-0.30, 0.515), beside(-0.83, 0.66), beside(-0.84, 0.13), beside(-0.37, 0.135)]);
        m.sweep(path, side, 24, |t| rounded(0.034 - 0.010 * (PI * t).sin(), 0.020, 0.0185, 3));
    };
    vec![
        Part::new("teapot", Material::Checks, foot, body),
        Part::new("lid", Material::Glaze, foot, lid),
        Part::new("knob", Material::Coral, foot, knob),
        Part::new("spout", Material::Glaze, foot, spout),
        Part::new("handle", Material::Bamboo, foot, handle),
    ]
}

fn cup(foot: DVec3) -> Vec<Part> {
    let saucer = |m: &mut Model| {
        let mut profile = vec![dvec2(0.05, 0.0), dvec2(0.15, 0.0)];
        profile.extend(smooth(&[(0.16, 0.006), (0.25, 0.016), (0.33, 0.040), (0.362, 0.062)], 3));
        profile.extend(smooth(&[(0.355, 0.069), (0.322, 0.054), (0.245, 0.030), (0.15, 0.020)], 3));
        profile.push(dvec2(0.04, 0.020));
        m.revolve(foot, &profile, 48);
    };
    let stand = foot + DVec3::Z * 0.018;
    let wall = |m: &mut Model| {
        let mut profile = vec![dvec2(0.04, 0.0), dvec2(0.100, 0.0), dvec2(0.112, 0.010)];
        profile.extend(smooth(&[(0.118, 0.018), (0.165, 0.065), (0.198, 0.14), (0.211, 0.20), (0.222, 0.258)], 3));
        profile.extend(smooth(&[(0.2175, 0.263), (0.209, 0.256), (0.196, 0.20), (0.180, 0.14), (0.14, 0.070)], 2));
        profile.extend([dvec2(0.10, 0.045), dvec2(0.03, 0.038)]);
        m.revolve(stand, &profile, 48);
    };
    let tea = |m: &mut Model| {
        m.revolve(stand, &[dvec2(0.04, 0.186), dvec2(0.198, 0.190), dvec2(0.198, 0.200), dvec2(0.04, 0.200)], 36);
    };
    let out = DVec3::from((DVec2::from_angle((-35f64).to_radians()), 0.0));
    let ear = |m: &mut Model| {
        let beside = |x: f64, z: f64| stand + out * x + DVec3::Z * z;
        let path = bezier([beside(0.200, 0.215), beside(0.345, 0.255), beside(0.335, 0.060), beside(0.160, 0.075)]);
        m.tube(path, DVec3::Z.cross(out), &stations(16, |t| 0.0165 + 0.005 * (2.0 * t - 1.0).powi(2)), 10);
    };
    vec![
        Part::new("saucer", Material::Ochre, foot, saucer),
        Part::new("cup", Material::Stripes, stand, wall),
        Part::new("ear", Material::Coral, stand, ear),
        Part::new("tea", Material::Tea, stand, tea),
    ]
}

/// A strip of steel, a few hundredths thin: narrow along the handle, wide and hollow in the bowl.
fn spoon(m: &mut Model) {
    const BOWL: f64 = 0.105;
    let (end, tip) = (dvec2(-0.78, -0.25), dvec2(-0.06, -0.715));
    let wide = |t: f64| (1.0 - ((t - 0.85) / 0.15).powi(2)).max(0.0).sqrt();
    let rise = |t: f64| {
        let fall = ((t - 0.42) / 0.42).clamp(0.0, 1.0);
        0.018
            + 0.052 * (1.0 - fall * fall * (3.0 - 2.0 * fall)) * (0.25 + 0.75 * (t / 0.45).min(1.0))
            + 0.03 * (t - 0.85).max(0.0)
    };
    let path = |t: f64| end.lerp(tip, t).extend(TOP + rise(t));
    let along = (tip - end).normalize().extend(0.0);
    let section = |t: f64| {
        let handle = 0.017 + 0.018 * ((0.22 - t) / 0.22).max(0.0).powi(2);
        let half = (BOWL * wide(t)).max(if t < 0.9 { handle } else { 0.004 });
        let hollow = 0.055 * wide(t).powi(2);
        circle(1.0, 14).iter().map(|q| dvec2(q.x * half, q.y * 0.011 + hollow * q.x * q.x)).collect()
    };
    m.sweep(path, DVec3::Z.cross(along), 44, section);
}

fn lemon(m: &mut Model) {
    let along = DVec2::from_angle(-38f64.to_radians()).extend(0.10).normalize();
    let middle = dvec3(0.60, 0.50, TOP + 0.132);
    let x = |t: f64| -(PI * t).cos();
    let radius = |t: f64| {
        let nipple = 0.020 * (-((x(t).abs() - 0.97) / 0.07).powi(2)).exp();
        0.132 * (1.0 - x(t) * x(t)).max(0.0).sqrt() * (1.0 - 0.12 * x(t) * x(t)) + nipple
    };
    m.tube(|t| middle + along * 0.19 * x(t), DVec3::Z, &stations(22, radius), 24);
}

/// A cube of 0.13 with blunt edges, turned by `degrees`.
fn sugar(m: &mut Model, foot: DVec3, degrees: f64) {
    const HALF: f64 = 0.065;
    let turn = DVec2::from_angle(degrees.to_radians());
    let ring = |inset: f64, z: f64| -> Vec<DVec3> {
        let outline = rounded(HALF - inset, HALF - inset, 0.012, 3);
        outline.iter().map(|&q| foot + turn.rotate(q).extend(z)).collect()
    };
    let (low, high) = (0.008, 2.0 * HALF);
    m.loft(&[ring(low, 0.0), ring(0.0, low), ring(0.0, high - low), ring(low, high)]);
}
