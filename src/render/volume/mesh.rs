//! Level sets of a density as meshes with vertex colours.

use glam::{DVec3, Vec3};
use nstr_geometry::TriMesh;
use nstr_geometry::isosurface::{IsoError, MaskedOptions, masked};
use nstr_space::Cube;
use nstr_space::fields::RadianceField;
use rayon::prelude::*;

/// Rounds of false position that put vertices on the level.
const REFINE: usize = 2;
/// Points handed to the field at once.
const BATCH: usize = 4096;

/// Level set that has no mesh.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LevelSetError {
    /// Level that is not a finite density above 0.
    #[error("level: {0}; expected a finite density above 0")]
    Level(f32),
    /// The density reaches the level nowhere.
    #[error("the density reaches level {0} nowhere: choose a lower level, or fit the field longer")]
    NoSurface(f32),
    /// The lattice cannot be meshed.
    #[error(transparent)]
    Surface(#[from] IsoError),
}

/// Level set as a mesh with normals and colours at its vertices.
#[derive(Clone, Debug)]
pub struct LevelSet {
    /// The surface in world units, closed, facing outward.
    pub mesh: TriMesh,
    /// Unit normals, against the density's gradient.
    pub normals: Vec<Vec3>,
    /// 8-bit sRGB colours, as seen along the inverse normal.
    pub colours: Vec<[u8; 3]>,
    /// Evaluations of the density for the surface.
    pub evaluations: usize,
}

/// The surface on which the density is `level` (per unit of field coordinates), with `resolution` cells along the cube's
/// edge, 1 to 4096. Only occupied cells are evaluated; the surface closes at their border and the cube's.
///
/// # Errors
/// A level or resolution out of range, and levels that the density reaches nowhere.
pub fn level_set(
    source: &dyn RadianceField,
    cube: Cube,
    level: f32,
    resolution: usize,
) -> Result<LevelSet, LevelSetError> {
    if !(level.is_finite() && level > 0.0) {
        return Err(LevelSetError::Level(level));
    }
    let occupancy = source.occupancy();
    let (lo, hi) = occupancy.bounds().ok_or(LevelSetError::NoSurface(level))?;
    if !(1..=4096).contains(&resolution) {
        return Err(IsoError::Options("the resolution must be from 1 to 4096").into());
    }
    // A cell more to each side holds the closing faces.
    let cell = DVec3::splat(1.0 / resolution as f64);
    let (lo, hi) = (lo.as_dvec3() - cell, hi.as_dvec3() + cell);
    let cells = ((hi - lo).max_element() * resolution as f64).round() as usize;
    // With those two cells more the largest resolution would be too large.
    let options = MaskedOptions { resolution: cells.min(4096), lo, hi, outside: level, refine: REFINE };
    let surface = masked(
        &options,
        |lo, hi| occupancy.overlaps(lo.as_vec3(), hi.as_vec3()),
        |points, values| depth_below(source, level, points, values),
    )?;
    let mut mesh = surface.mesh;
    if mesh.faces.is_empty() {
        return Err(LevelSetError::NoSurface(level));
    }
    let points: Vec<Vec3> = mesh.positions.iter().map(|p| p.as_vec3()).collect();
    let normals = normals(source, &mesh, &points);
    let colours = colours(source, &points, &normals);
    mesh.positions.par_iter_mut().for_each(|p| *p = cube.to_world(*p));
    Ok(LevelSet { mesh, normals, colours, evaluations: surface.evaluations })
}

/// `level − σ` of each point, σ being 0 outside the occupied cells, which are not evaluated.
fn depth_below(source: &dyn RadianceField, level: f32, points: &[Vec3], values: &mut [f32]) {
    let inside: Vec<usize> = (0..points.len()).filter(|&i| source.occupancy().contains(points[i])).collect();
    let kept: Vec<Vec3> = inside.iter().map(|&i| points[i]).collect();
    let mut density = vec![0.0; kept.len()];
    source.density(&kept, &mut density);
    values.fill(level);
    inside.iter().zip(density).for_each(|(&i, d)| values[i] = level - d);
}

/// Unit normals at the vertices; where the density has no gradient, of the faces around.
fn normals(source: &dyn RadianceField, mesh: &TriMesh, points: &[Vec3]) -> Vec<Vec3> {
    let mut normals = vec![Vec3::ZERO; points.len()];
    normals.par_chunks_mut(BATCH).zip(points.par_chunks(BATCH)).for_each(|(normals, points)| {
        source.density_gradient(points, &mut vec![0.0; points.len()], normals);
        normals.iter_mut().for_each(|n| *n = (-*n).normalize_or_zero());
    });
    let mut around = vec![DVec3::ZERO; points.len()];
    if normals.contains(&Vec3::ZERO) {
        for (f, face) in mesh.faces.iter().enumerate() {
            let [a, b, c] = mesh.triangle(f);
            face.iter().for_each(|v| around[*v as usize] += (b - a).cross(c - a));
        }
    }
    for (n, around) in normals.iter_mut().zip(around).filter(|(n, _)| **n == Vec3::ZERO) {
        *n = around.as_vec3().normalize_or(Vec3::Z);
    }
    normals
}

fn colours(source: &dyn RadianceField, points: &[Vec3], normals: &[Vec3]) -> Vec<[u8; 3]> {
    let mut colours = vec![[0u8; 3]; points.len()];
    let batches = colours.par_chunks_mut(BATCH).zip(points.par_chunks(BATCH)).zip(normals.par_chunks(BATCH));
    batches.for_each(|((colours, points), normals)| {
        let directions: Vec<Vec3> = normals.iter().map(|n| -*n).collect();
        let mut radiance = vec![[0.0; 4]; points.len()];
        source.radiance(points, &directions, &mut radiance);
        for (colour, [r, g, b, _]) in colours.iter_mut().zip(radiance) {
            *colour = [r, g, b].map(|v| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8);
        }
    });
    colours
}
