//! Level sets of a density as meshes with vertex colours.

use glam::{DVec3, Vec3};
use nstr_geometry::TriMesh;
use nstr_geometry::isosurface::{IsoError, MaskedOptions, masked};
use nstr_space::fields::RadianceField;
use nstr_space::{Cube, Occupancy, SceneMap};
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
    /// The distance is positive everywhere.
    #[error("the field has no surface: its distance is nowhere below 0; fit it longer")]
    NoZero,
    /// There is no distance, and so no level that would be the surface by itself.
    #[error("level: missing: the density follows no distance; give the density at which the surface lies")]
    NoDistance,
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

/// The surface on which the density is `level` (per unit of field coordinates), or without a level the zero of the distance that
/// the density follows, with `resolution` cells along the cube's edge, 1 to 4096. Only occupied cells are evaluated; the surface closes at their border and the cube's.
///
/// Of an open map the inner cube is meshed, with `resolution` cells along its edge; of a frustum what lies nearer than
/// twenty times its near plane.
///
/// # Errors
/// A level or resolution out of range, levels that the density reaches nowhere, and no level where the density follows no distance.
pub fn level_set(
    source: &dyn RadianceField,
    map: impl Into<SceneMap>,
    level: Option<f32>,
    resolution: usize,
) -> Result<LevelSet, LevelSetError> {
    let level = match (level, source.sharpness()) {
        (Some(density), _) if density.is_finite() && density > 0.0 => Level::Density(density),
        (Some(density), _) => return Err(LevelSetError::Level(density)),
        (None, Some(sharpness)) => Level::Distance { outside: OUTSIDE_WIDTHS / sharpness },
        (None, None) => return Err(LevelSetError::NoDistance),
    };
    let region = MeshedRegion::new(map.into());
    let occupancy = source.occupancy();
    let lattice = region.lattice(occupancy, resolution)?.ok_or_else(|| level.missing())?;
    let options = MaskedOptions { outside: level.outside(), refine: REFINE, ..lattice };
    let surface = masked(
        &options,
        |lo, hi| occupancy.overlaps(lo.as_vec3(), hi.as_vec3()),
        |points, values| outsideness(source, &region, level, points, values),
    )?;
    let mut mesh = surface.mesh;
    if mesh.faces.is_empty() {
        return Err(level.missing());
    }
    let points: Vec<Vec3> = mesh.positions.iter().map(|p| p.as_vec3()).collect();
    let normals = normals(source, &region.map, &mesh, &points);
    let colours = colours(source, &points, &normals);
    mesh.positions.par_iter_mut().for_each(|p| *p = region.to_world(*p));
    Ok(LevelSet { mesh, normals, colours, evaluations: surface.evaluations })
}

/// Part of the unit cube that is meshed.
pub(super) struct MeshedRegion {
    map: SceneMap,
    low: Vec3,
    high: Vec3,
    /// Length that the resolution counts cells of.
    pub edge: f64,
}

/// Depth in a frustum's unit cube up to which it is meshed: twenty near distances.
const FRUSTUM_DEPTH: f32 = 0.95;

impl MeshedRegion {
    pub fn new(map: SceneMap) -> Self {
        let whole = Self { map, low: Vec3::ZERO, high: Vec3::ONE, edge: 1.0 };
        match map {
            SceneMap::Box(_) => whole,
            SceneMap::Open(_) => Self { low: Vec3::splat(0.25), high: Vec3::splat(0.75), edge: 0.5, ..whole },
            SceneMap::Forward(_) => Self { high: Vec3::new(1.0, 1.0, FRUSTUM_DEPTH), ..whole },
        }
    }

    /// The lattice over what is occupied of the region, with `resolution` cells along its edge; `None` where nothing is.
    pub fn lattice(&self, occupancy: &Occupancy, resolution: usize) -> Result<Option<MaskedOptions>, IsoError> {
        let bounds = occupancy.bounds().map(|(lo, hi)| (lo.max(self.low), hi.min(self.high)));
        let Some((lo, hi)) = bounds.filter(|(lo, hi)| lo.cmplt(*hi).all()) else { return Ok(None) };
        if !(1..=4096).contains(&resolution) {
            return Err(IsoError::Options("the resolution must be from 1 to 4096"));
        }
        // A cell more to each side holds the closing faces.
        let cell = DVec3::splat(self.edge / resolution as f64);
        let (lo, hi) = (lo.as_dvec3() - cell, hi.as_dvec3() + cell);
        let cells = ((hi - lo).max_element() / self.edge * resolution as f64).round() as usize;
        // With those two cells more the largest resolution would be too large.
        Ok(Some(MaskedOptions { resolution: cells.min(4096), lo, hi, outside: 1.0, refine: 0 }))
    }

    pub fn contains(&self, p: Vec3) -> bool {
        p.cmpge(self.low).all() && p.cmple(self.high).all()
    }

    /// World position of a vertex: the closing faces lie up to a cell beyond the region.
    pub fn to_world(&self, p: DVec3) -> DVec3 {
        match self.map {
            SceneMap::Box(cube) => cube.to_world(p),
            // The similarity of the inner cube.
            SceneMap::Open(inner) => {
                let size = 2.0 * inner.size;
                Cube { origin: inner.centre() - DVec3::splat(0.5 * size), size }.to_world(p)
            }
            map @ SceneMap::Forward(_) => {
                let nearer = DVec3::new(p.x, p.y, p.z.min(f64::from(FRUSTUM_DEPTH)));
                map.to_world(nearer).unwrap_or(map.cube().centre())
            }
        }
    }
}

/// Surface that is meshed.
#[derive(Clone, Copy)]
enum Level {
    /// Where the density has this value.
    Density(f32),
    /// Where the distance that the density follows is 0; `outside` is the distance of what is not evaluated.
    Distance { outside: f32 },
}

/// Widths of a density's fall before the surface at which there counts as nothing.
const OUTSIDE_WIDTHS: f32 = 5.0;

impl Level {
    /// Value of points outside the region and the occupied cells.
    fn outside(self) -> f32 {
        match self {
            Self::Density(level) => level,
            Self::Distance { outside } => outside,
        }
    }

    fn missing(self) -> LevelSetError {
        match self {
            Self::Density(level) => LevelSetError::NoSurface(level),
            Self::Distance { .. } => LevelSetError::NoZero,
        }
    }
}

/// `level − σ` or the distance of each point, σ being 0 outside the region and the occupied cells, where nothing is evaluated.
fn outsideness(source: &dyn RadianceField, region: &MeshedRegion, level: Level, points: &[Vec3], values: &mut [f32]) {
    let is_inside = |p: Vec3| region.contains(p) && source.occupancy().contains(p);
    let inside: Vec<usize> = (0..points.len()).filter(|&i| is_inside(points[i])).collect();
    let kept: Vec<Vec3> = inside.iter().map(|&i| points[i]).collect();
    let mut found = vec![0.0; kept.len()];
    match level {
        Level::Density(level) => {
            source.density(&kept, &mut found);
            found.iter_mut().for_each(|density| *density = level - *density);
        }
        Level::Distance { .. } => source.signed_distance(&kept, &mut found),
    }
    values.fill(level.outside());
    inside.iter().zip(found).for_each(|(&i, value)| values[i] = value);
}

/// Unit normals at the vertices, in the world; where the density has no gradient, of the faces around.
fn normals(source: &dyn RadianceField, map: &SceneMap, mesh: &TriMesh, points: &[Vec3]) -> Vec<Vec3> {
    let mut normals = vec![Vec3::ZERO; points.len()];
    normals.par_chunks_mut(BATCH).zip(points.par_chunks(BATCH)).for_each(|(normals, points)| {
        source.density_gradient(points, &mut vec![0.0; points.len()], normals);
        for (n, p) in normals.iter_mut().zip(points) {
            let to_world = |g: Vec3| map.gradient_to_world(p.as_dvec3(), g.as_dvec3()).normalize_or_zero().as_vec3();
            *n = if map.is_box() { (-*n).normalize_or_zero() } else { to_world(-*n) };
        }
    });
    let around = if normals.contains(&Vec3::ZERO) { around_vertices(mesh) } else { vec![DVec3::ZERO; points.len()] };
    let unknown = normals.iter_mut().zip(around).zip(points).filter(|((n, _), _)| **n == Vec3::ZERO);
    for ((n, around), p) in unknown {
        let around =
            if map.is_box() { around } else { map.gradient_to_world(p.as_dvec3(), around).normalize_or_zero() };
        *n = around.as_vec3().normalize_or(Vec3::Z);
    }
    normals
}

/// Unit normals of the faces around each vertex, by their areas.
pub(super) fn face_normals(mesh: &TriMesh) -> Vec<Vec3> {
    around_vertices(mesh).into_iter().map(|sum| sum.normalize_or(DVec3::Z).as_vec3()).collect()
}

/// Sum of the normals of the faces around each vertex, as long as twice their area.
fn around_vertices(mesh: &TriMesh) -> Vec<DVec3> {
    let mut around = vec![DVec3::ZERO; mesh.positions.len()];
    for (f, face) in mesh.faces.iter().enumerate() {
        let [a, b, c] = mesh.triangle(f);
        face.iter().for_each(|v| around[*v as usize] += (b - a).cross(c - a));
    }
    around
}

/// 8-bit sRGB colours at points, as seen along the inverse normals.
pub(super) fn colours(source: &dyn RadianceField, points: &[Vec3], normals: &[Vec3]) -> Vec<[u8; 3]> {
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
