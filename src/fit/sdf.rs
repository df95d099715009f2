//! Signed distances of a mesh as training data: the cube around it, and the points that a fit learns from.

use std::sync::Arc;

use glam::DVec3;
use nstr_geometry::morton::morton_code;
use nstr_geometry::query::DistanceQuery;
use nstr_geometry::sample::SurfaceSampler;
use nstr_geometry::{SignMethod, TriMesh};
use nstr_space::Cube;
use nstr_spec::config::ConfigError;
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::batch_loader::{Batch, BatchSource};
use crate::check::{check, check_not_negative};
use crate::gaussian::normal3;

/// Distribution and weights of the points of a batch; `--set sample.key=value` reaches each.
///
/// Lengths are in unit-cube coordinates. The three fractions need not sum to 1; the rest is drawn uniformly from the cube.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SdfSampleConfig {
    /// Fraction of points on the surface.
    pub surface: f64,
    /// Fraction of points near the surface, at the first scale.
    pub near: f64,
    /// Standard deviation of their offset.
    pub near_sigma: f64,
    /// Fraction of points around the surface, at the second scale.
    pub around: f64,
    /// Standard deviation of their offset.
    pub around_sigma: f64,
    /// Distance between the two points of a pair, for the error of slopes (`train.lambda_slope`); 0: single points. Half of
    /// the points are drawn as above, each of the others lies at this distance from one of them, in a random direction.
    #[serde(default)]
    pub pair_distance: f64,
    /// Distance at which a point's weight in the loss has halved: `weight = 1 / (1 + |d| / falloff)`.
    pub falloff: f64,
    /// Free space between the mesh's box and the faces of the cube, as a fraction of the box's longest edge.
    pub margin: f64,
}

impl Default for SdfSampleConfig {
    fn default() -> Self {
        Self {
            surface: 0.35,
            near: 0.35,
            near_sigma: 0.003,
            around: 0.2,
            around_sigma: 0.03,
            pair_distance: 0.0,
            falloff: 0.05,
            margin: 0.05,
        }
    }
}

impl SdfSampleConfig {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_not_negative(&[
            ("sample.near_sigma", self.near_sigma),
            ("sample.around_sigma", self.around_sigma),
            ("sample.pair_distance", self.pair_distance),
        ])?;
        for (key, v) in [
            ("sample.surface", self.surface),
            ("sample.near", self.near),
            ("sample.around", self.around),
            // Fractions that were typed may exceed 1 by rounding.
            ("sample.surface + near + around", self.surface + self.near + self.around - 1e-9),
        ] {
            check(key, v, (-1e-9..=1.0).contains(&v), "must be 0 to 1")?;
        }
        check("sample.falloff", self.falloff, self.falloff > 0.0, "must be above 0")?;
        check("sample.margin", self.margin, (0.0..=10.0).contains(&self.margin), "must be 0 to 10")
    }
}

/// The cube around a box (lowest and highest corner, world units), `margin` of its longest edge wider on each side.
pub fn cube_around((lo, hi): (DVec3, DVec3), margin: f64) -> Cube {
    let longest = (hi - lo).max_element();
    // A single point still needs a cube around it.
    let size = if longest > 0.0 { longest * (1.0 + 2.0 * margin) } else { 1.0 };
    Cube { origin: (lo + hi) * 0.5 - DVec3::splat(size * 0.5), size }
}

/// Draws batches of points around a mesh, with exact signed distances as targets in unit-cube coordinates.
pub struct SdfSampler {
    query: Arc<DistanceQuery>,
    surface: SurfaceSampler<Arc<TriMesh>>,
    cube: Cube,
    config: SdfSampleConfig,
    points: usize,
    seed: u64,
}

impl SdfSampler {
    /// Batches of `points` points around `mesh`, whose distances `query` gives; `None` if the mesh has no area. Where
    /// faces of the mesh lie inside the solid, points are drawn from the solid's surface.
    pub fn new(
        mesh: Arc<TriMesh>,
        query: Arc<DistanceQuery>,
        cube: Cube,
        config: SdfSampleConfig,
        points: usize,
        seed: u64,
    ) -> Option<Self> {
        let surface = SurfaceSampler::new(query.surface().cloned().unwrap_or(mesh))?;
        Some(Self { query, surface, cube, config, points, seed })
    }
}

impl BatchSource for SdfSampler {
    fn batch(&self, index: u64) -> Batch {
        let c = &self.config;
        // In units of the query's distances, which is world units for all but extreme sizes.
        let size = self.cube.size / self.query.unit();
        let mut rng = Pcg64::new(u128::from(self.seed) ^ 0x5eed_5a3b_1e0f, u128::from(index));
        let pair = c.pair_distance > 0.0;
        let drawn = if pair { self.points.div_ceil(2) } else { self.points };
        let count = |fraction: f64| (fraction.clamp(0.0, 1.0) * drawn as f64).round() as usize;
        let ends = [count(c.surface), count(c.surface + c.near), count(c.surface + c.near + c.around)];
        let mut points: Vec<(DVec3, f32)> = (0..drawn)
            .map(|i| {
                if i >= ends[2] {
                    let p = DVec3::new(rng.random(), rng.random(), rng.random());
                    return (p, f32::INFINITY);
                }
                let p = self.cube.to_unit(self.surface.draw(&mut rng).position);
                let sigma = if i < ends[0] {
                    0.0
                } else if i < ends[1] {
                    c.near_sigma
                } else {
                    c.around_sigma
                };
                let offset = normal3(&mut rng) * sigma;
                ((p + offset).clamp(DVec3::ZERO, DVec3::ONE), (offset.length() * size) as f32)
            })
            .collect();
        // In Morton order neighbours share grid cells and tree nodes, which keeps both in cache.
        points.sort_by_cached_key(|(p, _)| morton_code((p.clamp(DVec3::ZERO, DVec3::ONE) * 1023.0).as_uvec3()));
        if pair {
            let partner = |(p, bound): (DVec3, f32)| {
                let offset = normal3(&mut rng).normalize_or(DVec3::X) * c.pair_distance;
                let end = (p + offset).clamp(DVec3::ZERO, DVec3::ONE);
                [(p, bound), (end, bound + (p.distance(end) * size) as f32)]
            };
            points = points.into_iter().flat_map(partner).take(self.points).collect();
        }
        let world: Vec<DVec3> = points.iter().map(|(p, _)| self.cube.to_world(*p)).collect();
        // The point drawn from the surface bounds the distance (slightly widened for rounding).
        let upper: Vec<f32> = points.iter().map(|(_, bound)| bound * 1.0001 + 1e-6 * size as f32).collect();
        let mut target = vec![0.0; points.len()];
        if self.query.sign().method() == SignMethod::Winding {
            // Points are drawn from the faces that distances are measured to: on them the distance is 0.
            let off: Vec<usize> = (0..points.len()).filter(|&i| points[i].1 > 0.0).collect();
            let (p, u): (Vec<DVec3>, Vec<f32>) = off.iter().map(|&i| (world[i], upper[i])).unzip();
            let mut distance = vec![0.0; off.len()];
            self.query.signed_distances_serial(&p, Some(&u), &mut distance);
            off.iter().zip(distance).for_each(|(&i, d)| target[i] = d);
        } else {
            self.query.signed_distances_serial(&world, Some(&upper), &mut target);
        }
        let scale = 1.0 / size as f32;
        target.iter_mut().for_each(|d| *d *= scale);
        let falloff = c.falloff as f32;
        Batch {
            x: points.iter().flat_map(|(p, _)| p.as_vec3().to_array()).collect(),
            weight: target.iter().map(|d| 1.0 / (1.0 + d.abs() / falloff)).collect(),
            target,
            regularizer_points: Vec::new(),
            is_paired: pair,
        }
    }
}

#[cfg(test)]
mod tests {
    use nstr_geometry::{QueryOptions, testing};

    use super::*;

    /// A batch of a torus of this size.
    fn torus_batch(scale: f64) -> Batch {
        let mut mesh = testing::torus(1.0, 0.4, 24, 16);
        mesh.positions.iter_mut().for_each(|p| *p *= scale);
        let mesh = Arc::new(mesh);
        let query = Arc::new(DistanceQuery::new(&mesh, &QueryOptions::default()).unwrap());
        let cube = cube_around(mesh.bounds().unwrap(), 0.05);
        SdfSampler::new(mesh, query, cube, SdfSampleConfig::default(), 500, 1).unwrap().batch(0)
    }

    #[test]
    fn batches_do_not_depend_on_the_size_of_the_mesh() {
        let plain = torus_batch(1.0);
        // 2^130 = 1.4e39 is beyond 32-bit floats; powers of two round alike.
        for scale in [2f64.powi(130), 2f64.powi(-130), 2f64.powi(400), 2f64.powi(-300)] {
            let batch = torus_batch(scale);
            assert!(batch.x == plain.x && batch.target == plain.target && batch.weight == plain.weight, "{scale:e}");
        }
    }

    #[test]
    fn pairs_lie_as_far_apart_as_asked_and_have_exact_distances() {
        let mesh = Arc::new(testing::torus(1.0, 0.4, 24, 16));
        let query = Arc::new(DistanceQuery::new(&mesh, &QueryOptions::default()).unwrap());
        let cube = cube_around(mesh.bounds().unwrap(), 0.05);
        let config = SdfSampleConfig { pair_distance: 0.004, ..SdfSampleConfig::default() };
        let batch = SdfSampler::new(mesh, query.clone(), cube, config, 501, 1).unwrap().batch(3);
        assert!(batch.is_paired && batch.x.len() == 1503 && batch.target.len() == 501);
        let at = |i: usize| DVec3::from_array([0, 1, 2].map(|j| f64::from(batch.x[3 * i + j])));
        for i in (0..500).step_by(2) {
            let apart = at(i).distance(at(i + 1));
            // Shorter only where the cube ends.
            assert!(
                apart < 0.004 + 1e-6 && (apart > 0.004 - 1e-6 || at(i + 1).min(1.0 - at(i + 1)).min_element() <= 0.0)
            );
        }
        let world: Vec<DVec3> = (0..501).map(|i| cube.to_world(at(i))).collect();
        let mut exact = vec![0.0; 501];
        query.signed_distances(&world, &mut exact);
        for (found, exact) in batch.target.iter().zip(exact) {
            assert!((found - exact / cube.size as f32).abs() < 2e-6);
        }
    }

    #[test]
    fn no_point_is_drawn_from_faces_inside_the_solid() {
        let corners = [(0.0, 2.0), (1.0, 3.0)].map(|(lo, hi)| (DVec3::splat(lo), DVec3::splat(hi)));
        let mesh = Arc::new(testing::join(&corners.map(|(lo, hi)| testing::cuboid(lo, hi))));
        let query = Arc::new(DistanceQuery::new(&mesh, &QueryOptions::default()).unwrap());
        assert_eq!(query.sign().method(), SignMethod::Winding);
        let cube = cube_around(mesh.bounds().unwrap(), 0.05);
        let config = SdfSampleConfig { surface: 1.0, near: 0.0, around: 0.0, ..SdfSampleConfig::default() };
        let batch = SdfSampler::new(mesh, query, cube, config, 4000, 1).unwrap().batch(0);
        assert!(batch.target.iter().all(|&d| d == 0.0));
        for x in batch.x.chunks(3) {
            let p = cube.to_world(DVec3::new(x[0].into(), x[1].into(), x[2].into()));
            // Depth in either box.
            let depth = corners.map(|(lo, hi)| (p - lo).min(hi - p).min_element());
            assert!(depth.iter().all(|&d| d < 1e-5), "{p} {depth:?}");
        }
    }
}
