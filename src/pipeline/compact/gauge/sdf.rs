//! Signed distance fields: distances at points of the surface and around it.

use std::sync::Arc;

use glam::{DVec3, Vec3};
use nstr_field::model::Model;
use nstr_field::sdf::NeuralSdf;
use nstr_fit::eval::extract_surface;
use nstr_fit::sdf::{SdfSampleConfig, SdfSampler};
use nstr_fit::sensitivity::SensitivityEstimator;
use nstr_fit::{Batch, BatchSource};
use nstr_geometry::TriMesh;
use nstr_geometry::sample::SurfaceSampler;
use nstr_space::{Cube, DistanceField};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::super::decibels;
use super::{Gauge, stored_score};
use crate::error::Error;
use crate::field::{SdfModel, sdf_field};
use crate::mesh_input::MeshInput;

/// Points that the loss is measured at.
const POINTS: usize = 1 << 16;
/// Batches that the sensitivity is measured on, and points of each.
const BATCHES: usize = 64;
const BATCH: usize = 1 << 12;
/// Cells along the cube's edge of the surface that points are drawn from.
const RESOLUTION: usize = 192;
/// Shares of a batch on the surface, and near it within this distance (a standard deviation); the rest fills the cube.
const SURFACE: f64 = 0.5;
const NEAR: f64 = 0.25;
const NEAR_SIGMA: f64 = 0.02;
/// Weight of the derivatives near the surface and elsewhere: distances there guide rays, and need not be as exact.
const NEAR_WEIGHT: f32 = 0.3;
const FAR_WEIGHT: f32 = 0.05;
/// Mean distance error of a model that was saved without a score, in edges of the cube.
const USUAL_ERROR: f64 = 1e-4;

/// Distances of a field at its surface.
pub(crate) struct SdfGauge {
    /// Points of the surface, unit cube.
    surface: Vec<Vec3>,
    /// Points that the loss is measured at, unit cube, and the distances there: the true ones, or the field's own.
    points: Vec<Vec3>,
    distances: Vec<f32>,
    /// Mean magnitude of the field's own error, in edges of the cube.
    error: f64,
    /// `true` where `distances` are the field's own.
    is_own: bool,
}

impl SdfGauge {
    /// Distances to the model's own surface.
    ///
    /// # Errors
    /// Fields without a surface.
    pub(crate) fn of_model(model: &SdfModel) -> Result<Self, Error> {
        let mesh = own_surface(&model.field, model.cube())?;
        let bounds = mesh.bounds();
        let surface = on_field(&model.field, drawn(mesh, model.cube())?);
        let diagonal = bounds.map_or(1.0, |(lo, hi)| (hi - lo).length() / model.cube().size);
        let error = stored_score(&model.model, "chamfer_l1").map_or(USUAL_ERROR, |chamfer| chamfer * diagonal);
        let points = surface.clone();
        let distances = distances(&model.field, &points);
        Ok(Self { surface, points, distances, error, is_own: true })
    }

    /// Distances to a mesh.
    ///
    /// # Errors
    /// Meshes without area.
    pub(crate) fn of_mesh(model: &SdfModel, mesh: &MeshInput) -> Result<Self, Error> {
        let config = SdfSampleConfig { surface: 0.5, near: 0.5, around: 0.0, ..SdfSampleConfig::default() };
        let sampler = SdfSampler::new(mesh.mesh.clone(), mesh.query.clone(), model.cube(), config, POINTS, 0xc0de);
        let sampler =
            sampler.ok_or_else(|| Error::option("every face has zero area, so there is no surface to measure at"))?;
        let Batch { x, target, .. } = sampler.batch(0);
        let points: Vec<Vec3> = x.as_chunks::<3>().0.iter().map(|p| Vec3::from_array(*p)).collect();
        // Near enough, one step towards the surface leads to it.
        let surface = on_field(&model.field, points.clone());
        let error = mean_error(&distances(&model.field, &points), &target).max(1e-9);
        Ok(Self { surface, points, distances: target, error, is_own: false })
    }
}

/// The model's surface.
fn own_surface(field: &NeuralSdf, cube: Cube) -> Result<TriMesh, Error> {
    let mesh = extract_surface(field, cube, RESOLUTION)?.mesh;
    if mesh.faces.is_empty() {
        return Err(nstr_fit::eval::SdfEvalError::NoSurface.into());
    }
    Ok(mesh)
}

/// Random points of a mesh, in the unit cube.
fn drawn(mesh: TriMesh, cube: Cube) -> Result<Vec<Vec3>, Error> {
    let sampler = SurfaceSampler::new(Arc::new(mesh)).ok_or(nstr_fit::eval::SdfEvalError::NoSurface)?;
    let samples = sampler.sample(POINTS, 0xc0de);
    Ok(samples.iter().map(|sample| cube.to_unit(sample.position).as_vec3()).collect())
}

/// The points after a Newton step to the field's zero: vertices of a lattice's surface lie on the lattice, whose points read fewer
/// entries of the grid than others.
fn on_field(field: &NeuralSdf, mut points: Vec<Vec3>) -> Vec<Vec3> {
    let (mut distance, mut gradient) = (vec![0.0; points.len()], vec![Vec3::ZERO; points.len()]);
    field.distance_gradient(&points, &mut distance, &mut gradient);
    for ((p, d), g) in points.iter_mut().zip(&distance).zip(&gradient) {
        let step = *g * (*d / g.length_squared().max(0.25));
        // Where the gradient is wrong the point stays near.
        *p = (*p - step.clamp_length_max(0.01)).clamp(Vec3::ZERO, Vec3::ONE);
    }
    points
}

fn distances(field: &NeuralSdf, points: &[Vec3]) -> Vec<f32> {
    let mut distance = vec![0.0; points.len()];
    field.distance_parallel(points, &mut distance);
    distance
}

fn mean_error(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / a.len().max(1) as f64
}

impl Gauge for SdfGauge {
    fn observe(&self, estimator: &mut SensitivityEstimator<'_>) -> Result<(), Error> {
        let mut rng = Pcg64::seed_from_u64(0x5df);
        let [on, near] = [SURFACE, SURFACE + NEAR].map(|share| (share * BATCH as f64) as usize);
        for _ in 0..BATCHES {
            let (mut x, mut weight) = (Vec::with_capacity(3 * BATCH), Vec::with_capacity(BATCH));
            for i in 0..BATCH {
                let at = self.surface[rng.random_range(0..self.surface.len())];
                let (p, w) = if i < on {
                    (at, 1.0)
                } else if i < near {
                    // The sum of three uniform numbers has a standard deviation of a half.
                    let mut offset = || (0..3).map(|_| rng.random::<f64>() - 0.5).sum::<f64>() * 2.0 * NEAR_SIGMA;
                    let offset = DVec3::new(offset(), offset(), offset()).as_vec3();
                    ((at + offset).clamp(Vec3::ZERO, Vec3::ONE), NEAR_WEIGHT)
                } else {
                    (Vec3::from_array(rng.random()), FAR_WEIGHT)
                };
                x.extend(p.to_array());
                weight.push(w);
            }
            estimator.add_points(&x, &weight);
        }
        Ok(())
    }

    fn error(&self) -> f64 {
        // Of a normal distribution whose mean magnitude is the error, at the share of points that are observed with weight 1.
        self.error.powi(2) * std::f64::consts::FRAC_PI_2 * SURFACE
    }

    fn loss(&self, coded: &Model) -> Result<f64, Error> {
        // The bound on slopes is of no use here, and takes time to measure.
        let mut coded = coded.clone();
        coded.metrics.insert("lipschitz".into(), 1.0);
        let found = mean_error(&distances(&sdf_field(&coded), &self.points), &self.distances);
        Ok(match self.is_own {
            true => decibels((found / self.error).powi(2)),
            false => 20.0 * (found / self.error).max(1e-9).log10(),
        })
    }

    fn describe(&self) -> String {
        let of = "mean distance error";
        match self.is_own {
            true => format!("{of}, predicted from the change at {} points of the model's surface", self.points.len()),
            false => format!("{of} at {} points of the mesh and near it", self.points.len()),
        }
    }
}
