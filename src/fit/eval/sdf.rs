//! Metrics of a signed distance field against its mesh.

use glam::{DVec3, Vec3};
use nstr_field::sdf::NeuralSdf;
use nstr_field::{BoundsError, BoxEvaluator};
use nstr_geometry::isosurface::{
    EnclosedOptions, EnclosedSurface, IsoError, SignedBox, SparseOptions, SparseSurface, enclosed, sparse,
    sparse_observed,
};
use nstr_geometry::{DistanceQuery, SignMethod, TriMesh};
use nstr_metrics::mesh::{MeshMetricError, Overlap, compare_meshes};
use nstr_space::fields::DistanceField;
use nstr_space::{BoundCell, Cube};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::eval::flatness::flatness;
use crate::observer::StageObserver;

/// Metrics of a signed distance field against its mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SdfScores {
    /// Intersection over union of the two insides on a lattice over the mesh's bounding box.
    pub iou: f64,
    /// Mean over both directions of exact sample-to-surface distances, as a fraction of the diagonal.
    pub chamfer_l1: f64,
    /// F-score at 0.5 % of the diagonal.
    pub f_score: f64,
    /// Mean |n·n′| at closest points, both directions.
    pub normal_consistency: f64,
    /// Root mean square of the angle between the field's gradient and the faces' normals away from creases, degrees: how flat
    /// flat faces are. Absent where the faces' orientation is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normal_angle_rms: Option<f64>,
    /// 95th percentile of the same angles, degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normal_angle_p95: Option<f64>,
    /// Largest sample-to-surface distance, as a fraction of the diagonal.
    pub hausdorff: f64,
    /// `mesh` where the sign follows the faces' orientation (faces inside the solid are left out); `solid` where the
    /// surface compared with is the boundary of the solid that the sign method defines (double-sided soups, thickened
    /// sheets).
    pub reference: String,
}

/// Resolution of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdfEvalOptions {
    /// Points along each axis of the lattice for the IoU.
    pub lattice: usize,
    /// Cells along the longest edge for the isosurface.
    pub resolution: usize,
    /// Surface samples a side.
    pub samples: usize,
    /// Seed of the samples.
    pub seed: u64,
}

impl Default for SdfEvalOptions {
    fn default() -> Self {
        Self { lattice: 256, resolution: 512, samples: 200_000, seed: 0 }
    }
}

/// A field that cannot be measured or meshed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SdfEvalError {
    /// A surface that cannot be extracted.
    #[error(transparent)]
    Surface(#[from] IsoError),
    /// A field that nothing can be proven about.
    #[error(transparent)]
    Bounds(#[from] BoundsError),
    /// Surfaces that cannot be compared.
    #[error(transparent)]
    Metric(#[from] MeshMetricError),
    /// A field without a zero level set.
    #[error("the field has no surface: its values do not change sign in its cube; fit it longer")]
    NoSurface,
}

/// Most samples of the surface's flatness, each of which takes eight searches.
const FLATNESS_SAMPLES: usize = 40_000;
/// Rounds of false position that put the extracted vertices on the field's own zero.
const REFINE: usize = 2;

/// The zero level set of `field` in world units, `resolution` cells along the cube's edge.
///
/// # Errors
/// [`SdfEvalError::Surface`] for resolutions that need too much memory.
pub fn extract_surface(field: &NeuralSdf, cube: Cube, resolution: usize) -> Result<SparseSurface, SdfEvalError> {
    extract_surface_observed(field, cube, resolution, &|_| ())
}

/// As [`extract_surface`]; `done` takes the fraction that is done, from any thread.
///
/// # Errors
/// Those of [`extract_surface`].
pub fn extract_surface_observed(
    field: &NeuralSdf,
    cube: Cube,
    resolution: usize,
    done: &(dyn Fn(f64) + Sync),
) -> Result<SparseSurface, SdfEvalError> {
    let options = SparseOptions {
        resolution,
        lo: DVec3::ZERO,
        hi: DVec3::ONE,
        lipschitz: field.lipschitz(),
        safety: 1.1,
        refine: REFINE,
    };
    let mut surface = sparse_observed(&options, |points, values| field.distance(points, values), done)?;
    surface.mesh.positions.iter_mut().for_each(|p| *p = cube.to_world(*p));
    Ok(surface)
}

/// A surface with the proof that there is no other.
#[derive(Clone, Debug)]
pub struct ProvenSurface {
    /// The surface, in world units, and the cells that were visited for it.
    pub enclosed: EnclosedSurface,
    /// Boxes over which the field was enclosed.
    pub boxes: usize,
    /// Halvings of the cube that led to the smallest boxes.
    pub depth: u32,
    /// Boxes of that size which are not proven free of the surface.
    pub undecided: usize,
}

/// The zero level set as [`extract_surface`] gives it, but without the measured slope bound: only cells are left out in which
/// `bounds`, of the same field in single precision, prove that there is no zero, by boxes of `0.5^depth` at least.
///
/// # Errors
/// [`SdfEvalError::Surface`] for resolutions that need too much memory.
pub fn extract_proven_surface(
    field: &NeuralSdf,
    bounds: &BoxEvaluator,
    cube: Cube,
    resolution: usize,
    depth: u32,
) -> Result<ProvenSurface, SdfEvalError> {
    let found = bounds.surface_bounds(field, depth);
    let signed = |cell: &BoundCell| {
        let [lo, hi] = cell.corners().map(DVec3::from_array);
        SignedBox { lo, hi, sign: cell.sign }
    };
    let boxes: Vec<SignedBox> = found.cells.iter().map(signed).collect();
    let options = EnclosedOptions { resolution, lo: DVec3::ZERO, hi: DVec3::ONE, refine: REFINE };
    let mut enclosed = enclosed(&options, &boxes, |points, values| field.distance(points, values))?;
    enclosed.surface.mesh.positions.iter_mut().for_each(|p| *p = cube.to_world(*p));
    Ok(ProvenSurface { enclosed, boxes: found.boxes, depth: found.depth, undecided: found.undecided().count() })
}

/// The boundary of the solid that `query` describes, in world units.
fn solid(query: &DistanceQuery, cube: Cube, resolution: usize) -> Result<TriMesh, SdfEvalError> {
    let options =
        SparseOptions { resolution, lo: DVec3::ZERO, hi: DVec3::ONE, lipschitz: 1.0, safety: 1.2, refine: REFINE };
    let mut surface = sparse(&options, |points, values| {
        let world: Vec<DVec3> = points.iter().map(|p| cube.to_world(p.as_dvec3())).collect();
        query.signed_distances_serial(&world, None, values);
        let size = (cube.size / query.unit()) as f32;
        values.iter_mut().for_each(|v| *v /= size);
    })?;
    surface.mesh.positions.iter_mut().for_each(|p| *p = cube.to_world(*p));
    Ok(surface.mesh)
}

/// Metrics of `field` against `mesh`, whose inside `query` knows.
///
/// # Errors
/// [`SdfEvalError`] for fields without a surface and resolutions that need too much memory.
pub fn evaluate_sdf(
    field: &NeuralSdf,
    cube: Cube,
    mesh: &TriMesh,
    query: &DistanceQuery,
    options: &SdfEvalOptions,
    stage: &mut StageObserver<'_>,
) -> Result<SdfScores, SdfEvalError> {
    stage("surface", None);
    let surface = extract_surface(field, cube, options.resolution)?.mesh;
    if surface.faces.is_empty() {
        return Err(SdfEvalError::NoSurface);
    }
    let oriented = query.sign().method() == SignMethod::Winding;
    let boundary = if oriented { None } else { Some(solid(query, cube, options.resolution.min(384))?) };
    let reference = boundary.as_ref().or(query.surface().map(AsRef::as_ref)).unwrap_or(mesh);
    let samples = options.samples.clamp(1, FLATNESS_SAMPLES);
    let flat = if oriented { flatness(field, cube, mesh, query, samples, options.seed) } else { None };
    stage("distances", None);
    let m = compare_meshes(&surface, reference, options.samples, options.seed)?;
    Ok(SdfScores {
        iou: lattice_iou(field, cube, mesh, query, options.lattice, stage),
        chamfer_l1: m.chamfer_l1,
        f_score: m.f_score,
        normal_consistency: m.normal_consistency,
        normal_angle_rms: flat.map(|f| f.rms),
        normal_angle_p95: flat.map(|f| f.p95),
        hausdorff: m.hausdorff,
        reference: if oriented { "mesh" } else { "solid" }.into(),
    })
}

/// IoU of the insides at the centres of `n`³ cells over the mesh's bounding box.
fn lattice_iou(
    field: &NeuralSdf,
    cube: Cube,
    mesh: &TriMesh,
    query: &DistanceQuery,
    n: usize,
    stage: &mut StageObserver<'_>,
) -> f64 {
    let Some((lo, hi)) = mesh.bounds() else { return 1.0 };
    let step = (hi - lo) / n as f64;
    let mut overlap = Overlap::default();
    // A slab at a time bounds the memory; 8 slices make the batches long.
    for first in (0..n).step_by(8) {
        stage("insides", Some(first as f64 / n as f64));
        let slices = first..(first + 8).min(n);
        let world: Vec<DVec3> = slices
            .flat_map(|k| (0..n).flat_map(move |j| (0..n).map(move |i| [i, j, k])))
            .map(|at| lo + step * DVec3::from(at.map(|i| i as f64 + 0.5)))
            .collect();
        let unit: Vec<Vec3> = world.iter().map(|p| cube.to_unit(*p).as_vec3()).collect();
        let mut values = vec![0.0; unit.len()];
        field.distance_parallel(&unit, &mut values);
        for (inside, v) in query.inside(&world).into_iter().zip(values) {
            overlap.add(inside, v < 0.0);
        }
    }
    overlap.iou()
}
