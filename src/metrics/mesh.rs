//! Distances between two surfaces, and the overlap of two solids.

use glam::DVec3;
use nstr_geometry::sample::{SurfaceSample, SurfaceSampler};
use nstr_geometry::{DistanceQuery, QueryError, QueryOptions, SignMethod, TriMesh};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Samples a side unless asked otherwise.
pub const DEFAULT_SAMPLES: usize = 200_000;
/// Threshold of the F-score, as a fraction of the reference's diagonal.
pub const F_SCORE_THRESHOLD: f64 = 0.005;

/// Metrics of a surface against a reference surface. Distances are fractions of the reference's bounding-box diagonal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MeshMetrics {
    /// Mean of the two directed mean distances from samples of one surface to the other.
    pub chamfer_l1: f64,
    /// Harmonic mean of precision and recall.
    pub f_score: f64,
    /// Fraction of the result's samples within the threshold of the reference.
    pub precision: f64,
    /// Fraction of the reference's samples within the threshold of the result.
    pub recall: f64,
    /// Mean |n·n′| of a sample's normal and the normal at its closest point, both directions averaged.
    pub normal_consistency: f64,
    /// Largest distance of any sample, either way.
    pub hausdorff: f64,
    /// Samples a side.
    pub samples: usize,
}

/// Meshes that cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeshMetricError {
    /// One of them has no usable face.
    #[error("the {which} mesh cannot be measured: {error}")]
    Mesh {
        /// "measured" or "reference".
        which: &'static str,
        /// The query's reason.
        error: QueryError,
    },
    /// One of them has no area to draw samples from.
    #[error("the {0} mesh has no area to draw samples from")]
    Area(&'static str),
}

/// Directed sums over samples of one surface against another.
struct Directed {
    mean: f64,
    within: f64,
    most: f64,
    normals: f64,
}

fn directed(samples: &[SurfaceSample], to: &TriMesh, query: &DistanceQuery, threshold: f64) -> Directed {
    let points: Vec<DVec3> = samples.iter().map(|s| s.position).collect();
    let closest = query.closest_batch(&points);
    // Sums by fixed chunks: the same bits on any number of threads.
    let parts: Vec<[f64; 4]> = samples
        .par_chunks(4096)
        .zip(closest.par_chunks(4096))
        .map(|(samples, closest)| {
            let mut sum = [0.0; 4];
            for (s, c) in samples.iter().zip(closest) {
                let Some(c) = c else { continue };
                let normal = to.face_normal(c.face as usize);
                sum[0] += c.distance;
                sum[1] += (c.distance <= threshold) as u8 as f64;
                sum[2] = f64::max(sum[2], c.distance);
                sum[3] += s.normal.dot(normal).abs();
            }
            sum
        })
        .collect();
    let n = samples.len().max(1) as f64;
    let total = |k: usize| parts.iter().map(|p| p[k]).sum::<f64>() / n;
    Directed { mean: total(0), within: total(1), most: parts.iter().fold(0.0, |m, p| m.max(p[2])), normals: total(3) }
}

/// Compares `measured` with `reference` by `samples` area-weighted samples a side (at least 1), drawn from `seed`. All
/// faces count: of a solid of parts that overlap pass its [`DistanceQuery::surface`].
///
/// # Errors
/// [`MeshMetricError`] where one of the meshes has no usable face or no area.
pub fn compare_meshes(
    measured: &TriMesh,
    reference: &TriMesh,
    samples: usize,
    seed: u64,
) -> Result<MeshMetrics, MeshMetricError> {
    let options = QueryOptions { method: SignMethod::Unsigned, ..QueryOptions::default() };
    let query =
        |mesh, which| DistanceQuery::new(mesh, &options).map_err(|error| MeshMetricError::Mesh { which, error });
    let (to_measured, to_reference) = (query(measured, "measured")?, query(reference, "reference")?);
    let sampler = |mesh, which| SurfaceSampler::new(mesh).ok_or(MeshMetricError::Area(which));
    let samples = samples.max(1);
    let from_measured = sampler(measured, "measured")?.sample(samples, seed);
    let from_reference = sampler(reference, "reference")?.sample(samples, seed.wrapping_add(1));
    let diagonal = reference.diagonal().max(f64::MIN_POSITIVE);
    let threshold = F_SCORE_THRESHOLD * diagonal;
    let a = directed(&from_measured, reference, &to_reference, threshold);
    let b = directed(&from_reference, measured, &to_measured, threshold);
    let both = a.within + b.within;
    Ok(MeshMetrics {
        chamfer_l1: (a.mean + b.mean) * 0.5 / diagonal,
        f_score: if both > 0.0 { 2.0 * a.within * b.within / both } else { 0.0 },
        precision: a.within,
        recall: b.within,
        normal_consistency: (a.normals + b.normals) * 0.5,
        hausdorff: a.most.max(b.most) / diagonal,
        samples,
    })
}

/// Points inside both and inside either of two solids, counted over any number of batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    both: usize,
    either: usize,
}

impl Overlap {
    /// Counts one point.
    pub fn add(&mut self, a: bool, b: bool) {
        self.both += usize::from(a && b);
        self.either += usize::from(a || b);
    }

    /// Intersection over union; 1 where both solids are empty.
    pub fn iou(self) -> f64 {
        if self.either == 0 { 1.0 } else { self.both as f64 / self.either as f64 }
    }
}

/// Intersection over union of two inside-masks over the same points; 1 where both are empty. Only as many points count
/// as both have.
pub fn iou(a: &[bool], b: &[bool]) -> f64 {
    let mut overlap = Overlap::default();
    a.iter().zip(b).for_each(|(&a, &b)| overlap.add(a, b));
    overlap.iou()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_geometry::testing;

    #[test]
    fn a_mesh_matches_itself() {
        let mesh = testing::torus(0.6, 0.25, 80, 40);
        let m = compare_meshes(&mesh, &mesh, 20_000, 1).unwrap();
        assert!(m.chamfer_l1 < 1e-7 && m.hausdorff < 1e-6, "{m:?}");
        assert_eq!((m.f_score, m.precision, m.recall), (1.0, 1.0, 1.0));
        assert!(m.normal_consistency > 0.999);
    }

    #[test]
    fn a_shifted_plate_is_as_far_as_it_was_shifted() {
        let plate = |z: f64| {
            let mut m = testing::cuboid(DVec3::ZERO, DVec3::new(1.0, 1.0, 0.5));
            m.faces.retain(|f| f.iter().all(|&v| v < 4));
            m.positions.iter_mut().for_each(|p| p.z += z);
            m
        };
        let diagonal = 2f64.sqrt();
        let m = compare_meshes(&plate(0.01), &plate(0.0), 10_000, 3).unwrap();
        assert!((m.chamfer_l1 - 0.01 / diagonal).abs() < 1e-7 && (m.hausdorff - 0.01 / diagonal).abs() < 1e-7, "{m:?}");
        assert_eq!(m.f_score, 0.0);
        assert!((m.normal_consistency - 1.0).abs() < 1e-9);
        assert_eq!(m, compare_meshes(&plate(0.01), &plate(0.0), 10_000, 3).unwrap());
        assert_eq!(compare_meshes(&plate(0.005), &plate(0.0), 10_000, 3).unwrap().f_score, 1.0);
    }

    #[test]
    fn overlap_counts() {
        assert_eq!(iou(&[true, true, false, false], &[true, false, true, false]), 1.0 / 3.0);
        assert_eq!(iou(&[false; 3], &[false; 3]), 1.0);
        assert!(compare_meshes(&TriMesh::default(), &testing::torus(1.0, 0.5, 8, 8), 10, 0).is_err());
    }
}
