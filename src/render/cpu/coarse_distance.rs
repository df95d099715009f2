//! Distances on a coarse grid of vertices, for light that need not be exact: occlusion, soft shadows, the ground.

use glam::Vec3;
use nstr_space::DistanceField;
use rayon::prelude::*;

/// Points a batch while building.
const BATCH: usize = 4096;

/// Signed distances at `n`³ vertices of the unit cube, interpolated between them.
#[derive(Clone, Debug)]
pub struct CoarseDistance {
    n: usize,
    /// `[z][y][x]`.
    values: Vec<f32>,
}

impl CoarseDistance {
    /// Evaluates the field at `n` vertices along each axis (2 to 256).
    pub fn build(source: &dyn DistanceField, n: usize) -> Self {
        let n = n.clamp(2, 256);
        let mut values = vec![0.0; n * n * n];
        values.par_chunks_mut(BATCH).enumerate().for_each(|(i, values)| {
            let points: Vec<Vec3> = (i * BATCH..).take(values.len()).map(|i| vertex(n, i)).collect();
            source.distance(&points, values);
            // What is not known is open.
            values.iter_mut().filter(|v| !v.is_finite()).for_each(|v| *v = 1.0);
        });
        Self { n, values }
    }

    /// Vertices along an axis.
    pub fn vertices(&self) -> usize {
        self.n
    }

    /// Distances at the vertices, x fastest.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Edge of a cell in field coordinates.
    pub fn cell(&self) -> f32 {
        1.0 / (self.n - 1) as f32
    }

    /// Distance at a point; outside of the cube an estimate from its nearest face.
    #[inline]
    pub fn at(&self, p: Vec3) -> f32 {
        let inside = p.clamp(Vec3::ZERO, Vec3::ONE);
        let q = inside * (self.n - 1) as f32;
        let axis = |v: f32| (v as usize).min(self.n - 2);
        let (x, y, z) = (axis(q.x), axis(q.y), axis(q.z));
        let (u, v, w) = (q.x - x as f32, q.y - y as f32, q.z - z as f32);
        let row = |y: usize, z: usize| {
            let i = (z * self.n + y) * self.n + x;
            self.values[i] + (self.values[i + 1] - self.values[i]) * u
        };
        let plane = |z: usize| {
            let (a, b) = (row(y, z), row(y + 1, z));
            a + (b - a) * v
        };
        let (a, b) = (plane(z), plane(z + 1));
        a + (b - a) * w + p.distance(inside)
    }

    /// Gradient of the interpolated distance, by differences over a cell.
    pub fn gradient(&self, p: Vec3) -> Vec3 {
        let h = 0.5 * self.cell();
        let along = |axis: Vec3| (self.at(p + axis * h) - self.at(p - axis * h)) / (2.0 * h);
        Vec3::new(along(Vec3::X), along(Vec3::Y), along(Vec3::Z))
    }

    /// Points of the surface near the vertices beside it.
    pub fn surface_points(&self) -> impl Iterator<Item = Vec3> + '_ {
        let near = self.values.iter().enumerate().filter(|(_, v)| v.abs() < self.cell());
        near.map(|(i, v)| {
            let p = vertex(self.n, i);
            p - self.gradient(p).normalize_or_zero() * *v
        })
    }
}

/// Coordinates of vertex `i`.
fn vertex(n: usize, i: usize) -> Vec3 {
    Vec3::new((i % n) as f32, (i / n % n) as f32, (i / n / n) as f32) / (n - 1) as f32
}

#[cfg(test)]
mod tests {
    use nstr_space::analytic::{AnalyticSdf, sphere};

    use super::*;

    #[test]
    fn distances_are_those_of_the_field_to_a_part_of_a_cell() {
        let ball = |p: Vec3| sphere(p, Vec3::splat(0.5), 0.3);
        let coarse = CoarseDistance::build(&AnalyticSdf::new(1.0, ball), 33);
        for i in 0..2000u32 {
            let h =
                |k: u32| (i.wrapping_mul(2_654_435_761).wrapping_add(k * 40_503_001) >> 8) as f32 / (1 << 24) as f32;
            let p = Vec3::new(h(1), (h(2) * 7.0).fract(), (h(3) * 31.0).fract());
            if p.distance(Vec3::splat(0.5)) > 0.1 {
                assert!((coarse.at(p) - ball(p)).abs() < 0.1 * coarse.cell(), "{p}");
            }
        }
        // Outside it grows with the distance from the cube.
        let outside = coarse.at(Vec3::new(0.5, 1.4, 0.5));
        assert!((outside - 0.6).abs() < 1e-3, "{outside}");
        let points: Vec<Vec3> = coarse.surface_points().collect();
        assert!(points.len() > 100 && points.iter().all(|p| ball(*p).abs() < 0.1 * coarse.cell()));
    }

    #[test]
    fn what_is_not_finite_is_open() {
        let coarse = CoarseDistance::build(&AnalyticSdf::new(1.0, |_| f32::NAN), 4);
        assert!(coarse.at(Vec3::splat(0.3)) == 1.0 && coarse.surface_points().count() == 0);
    }
}
