//! Exact distance fields of simple shapes on the unit cube, for tests, benchmarks and examples.
//!
//! Shapes are closures over a point, so that combining them needs no type of its own.

use glam::{Vec2, Vec3};

use crate::fields::DistanceField;

/// Distance field given by a function of one point; its gradient is taken by central differences.
pub struct AnalyticSdf<F> {
    /// Signed distance of a point.
    function: F,
    /// Upper bound of the gradient's length.
    lipschitz: f32,
}

impl<F: Fn(Vec3) -> f32 + Sync> AnalyticSdf<F> {
    /// A field from a function and an upper bound of its gradient's length.
    pub fn new(lipschitz: f32, function: F) -> Self {
        Self { function, lipschitz }
    }
}

/// Half step of the differences: short against thin parts, long against the rounding of f32 (error about 3e-4).
const STEP: f32 = 2e-4;

impl<F: Fn(Vec3) -> f32 + Sync> DistanceField for AnalyticSdf<F> {
    fn distance(&self, points: &[Vec3], distance: &mut [f32]) {
        for (p, d) in points.iter().zip(distance) {
            *d = (self.function)(*p);
        }
    }

    fn distance_gradient(&self, points: &[Vec3], distance: &mut [f32], gradient: &mut [Vec3]) {
        self.distance(points, distance);
        let f = &self.function;
        for (p, g) in points.iter().zip(gradient) {
            let slope = |e: Vec3| (f(*p + e * STEP) - f(*p - e * STEP)) / (2.0 * STEP);
            *g = Vec3::new(slope(Vec3::X), slope(Vec3::Y), slope(Vec3::Z));
        }
    }

    fn spectrum_width(&self) -> usize {
        2
    }

    /// A stand-in spectrum, S = (x, y²) with a residual of z, so that its layers can be tested.
    fn spectrum(&self, points: &[Vec3], spectrum: &mut [f32], gradient_norm: &mut [f32], residual: &mut [f32]) {
        let norms = gradient_norm.iter_mut().zip(residual);
        for ((p, s), (g, r)) in points.iter().zip(spectrum.chunks_exact_mut(2)).zip(norms) {
            s.copy_from_slice(&[p.x, p.y * p.y]);
            *g = (1.0 + 4.0 * p.y * p.y).sqrt();
            *r = p.z;
        }
    }

    fn lipschitz(&self) -> f32 {
        self.lipschitz
    }
}

/// Distance to a sphere.
pub fn sphere(p: Vec3, centre: Vec3, radius: f32) -> f32 {
    (p - centre).length() - radius
}

/// Distance to an axis-aligned box.
pub fn cuboid(p: Vec3, centre: Vec3, half: Vec3) -> f32 {
    let q = (p - centre).abs() - half;
    q.max(Vec3::ZERO).length() + q.max_element().min(0.0)
}

/// Distance to a torus around the y axis.
pub fn torus(p: Vec3, centre: Vec3, major: f32, minor: f32) -> f32 {
    let q = p - centre;
    Vec2::new(Vec2::new(q.x, q.z).length() - major, q.y).length() - minor
}

/// Distance to a capsule from `a` to `b`.
pub fn capsule(p: Vec3, a: Vec3, b: Vec3, radius: f32) -> f32 {
    let (pa, ba) = (p - a, b - a);
    let t = (pa.dot(ba) / ba.length_squared().max(1e-20)).clamp(0.0, 1.0);
    (pa - ba * t).length() - radius
}

/// A small scene with flat, curved, sharp and thin parts: a slab, a sphere, a torus, a box and two thin wires.
pub fn still_life(p: Vec3) -> f32 {
    let slab = cuboid(p, Vec3::new(0.5, 0.22, 0.5), Vec3::new(0.4, 0.02, 0.4));
    let ball = sphere(p, Vec3::new(0.35, 0.40, 0.62), 0.16);
    let ring = torus(p, Vec3::new(0.66, 0.29, 0.66), 0.13, 0.05);
    let block = cuboid(p, Vec3::new(0.62, 0.39, 0.32), Vec3::new(0.1, 0.15, 0.1));
    let post = capsule(p, Vec3::new(0.2, 0.24, 0.2), Vec3::new(0.2, 0.8, 0.2), 0.004);
    let wire = capsule(p, Vec3::new(0.2, 0.8, 0.2), Vec3::new(0.62, 0.54, 0.32), 0.003);
    slab.min(ball).min(ring).min(block).min(post).min(wire)
}
