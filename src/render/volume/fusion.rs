//! Surface that cameras see of a radiance field: their depth pictures fused into a truncated signed distance (Curless & Levoy 1996),
//! and its zero as a mesh.
//!
//! A density has no surface of its own, and what no camera sees was never learned: a level of the density shows all of it. The depths
//! at which light is stopped leave that out. What lies behind the surface in every view is inside, unless the density follows a
//! distance, which then tells; what no view sees is outside.

use glam::{DVec2, DVec3, Vec3};
use nstr_camera::ProjectiveCamera;
use nstr_geometry::isosurface::{IsoError, MaskedOptions, masked};
use nstr_space::{RadianceField, SceneMap};

use super::mesh::{LevelSet, MeshedRegion, colours, face_normals};
use super::{ViewPixels, VolumeRenderer};
use crate::error::RenderError;

/// Cells of the lattice within which distances to a depth picture count.
const TRUNCATION: f64 = 4.0;
/// Opacity below which a pixel sees through.
const SEEN_THROUGH: f32 = 0.5;

/// Depth picture of a camera.
struct DepthPicture<'a, C> {
    camera: &'a C,
    position: DVec3,
    /// Distance along each pixel's ray; infinite where it sees through.
    depth: Vec<f32>,
}

/// What a camera says about a point.
enum Sight {
    /// It is not in the picture.
    Outside,
    /// It lies behind what the picture shows.
    Hidden,
    /// Distance from it to what the picture shows, positive before that.
    Distance(f64),
}

/// The surface that `cameras` see of the renderer's field, with `resolution` cells along the cube's edge, 1 to 4096. `progress` is told
/// how many pictures are done.
///
/// # Errors
/// Cameras that cannot be used, a resolution out of range, and cameras that see nothing.
pub fn fused_surface<C: ProjectiveCamera>(
    renderer: &VolumeRenderer<'_>,
    cameras: &[C],
    resolution: usize,
    mut progress: impl FnMut(usize),
) -> Result<LevelSet, FusionError> {
    let (source, map) = (renderer.source, renderer.map);
    let region = MeshedRegion::new(map);
    let lattice = region.lattice(source.occupancy(), resolution)?.ok_or(FusionError::NothingSeen)?;
    let mut pictures = Vec::with_capacity(cameras.len());
    for (i, camera) in cameras.iter().enumerate() {
        let ViewPixels { opacity, mut depth, .. } = renderer.pixels(camera, None)?;
        depth.iter_mut().zip(&opacity).filter(|(_, o)| **o < SEEN_THROUGH).for_each(|(d, _)| *d = f32::INFINITY);
        let (width, height) = camera.size();
        let position = camera.ray(0.5 * f64::from(width), 0.5 * f64::from(height)).origin;
        pictures.push(DepthPicture { camera, position, depth });
        progress(i + 1);
    }
    if pictures.iter().all(|picture| picture.depth.iter().all(|d| !d.is_finite())) {
        return Err(FusionError::NothingSeen);
    }
    let reach = (TRUNCATION * region.edge / resolution as f64) as f32;
    let options = MaskedOptions { outside: reach, ..lattice };
    let seen = |p: &Vec3| seen_distance(&pictures, &region, &map, *p, reach);
    let value = |p: &Vec3| match seen(p) {
        Seen::Distance(distance) => distance,
        Seen::Hidden => hidden_distance(source, *p, reach),
        Seen::Never => reach,
    };
    let evaluate = |points: &[Vec3], values: &mut [f32]| points.iter().zip(values).for_each(|(p, v)| *v = value(p));
    let surface = masked(&options, |_, _| true, evaluate)?;
    let mut mesh = surface.mesh;
    if mesh.faces.is_empty() {
        return Err(FusionError::NothingSeen);
    }
    let points: Vec<Vec3> = mesh.positions.iter().map(|p| p.as_vec3()).collect();
    mesh.positions.iter_mut().for_each(|p| *p = region.to_world(*p));
    let normals = face_normals(&mesh);
    let colours = colours(source, &points, &normals);
    Ok(LevelSet { mesh, normals, colours, evaluations: surface.evaluations })
}

/// What all pictures together say about a point.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    /// Mean distance to the surface, in field units.
    Distance(f32),
    /// It lies behind the surface in all pictures that it is in.
    Hidden,
    /// It is in no picture, or not in the region.
    Never,
}

/// What `pictures` say about a point of the unit cube; distances count up to `reach`.
fn seen_distance<C: ProjectiveCamera>(
    pictures: &[DepthPicture<'_, C>],
    region: &MeshedRegion,
    map: &SceneMap,
    p: Vec3,
    reach: f32,
) -> Seen {
    if !region.contains(p) {
        return Seen::Never;
    }
    let (world, scale) = (region.to_world(p.as_dvec3()), map.length_scale_at(p.as_dvec3()));
    let (mut sum, mut count, mut hidden) = (0.0, 0u32, false);
    for picture in pictures {
        match picture.sight(world, f64::from(reach) * scale) {
            Sight::Outside => {}
            Sight::Hidden => hidden = true,
            Sight::Distance(distance) => {
                sum += distance;
                count += 1;
            }
        }
    }
    match (count, hidden) {
        (0, true) => Seen::Hidden,
        (0, false) => Seen::Never,
        _ => Seen::Distance((sum / f64::from(count) / scale) as f32),
    }
}

/// Value of a point that lies behind everything: inside, unless the field's density follows a distance that says more.
fn hidden_distance(source: &dyn RadianceField, p: Vec3, reach: f32) -> f32 {
    if source.sharpness().is_none() {
        return -reach;
    }
    let mut distance = [0.0];
    source.signed_distance(&[p], &mut distance);
    distance[0].clamp(-reach, reach)
}

impl<C: ProjectiveCamera> DepthPicture<'_, C> {
    /// What the picture says about a world position; distances count up to `reach`.
    fn sight(&self, world: DVec3, reach: f64) -> Sight {
        let (width, height) = self.camera.size();
        let Some(at) = self.camera.project(world) else { return Sight::Outside };
        let is_inside = at.x >= 0.0 && at.y >= 0.0 && at.x < f64::from(width) && at.y < f64::from(height);
        if !is_inside {
            return Sight::Outside;
        }
        let distance = self.depth_at(at, reach) - world.distance(self.position);
        if distance < -reach { Sight::Hidden } else { Sight::Distance(distance.min(reach)) }
    }

    /// Depth at a place of the picture: between four pixels that show one surface, else that of the nearest.
    fn depth_at(&self, at: DVec2, reach: f64) -> f64 {
        let (width, height) = self.camera.size();
        let pixel = |x: u32, y: u32| f64::from(self.depth[y as usize * width as usize + x as usize]);
        let nearest = pixel(at.x as u32, at.y as u32);
        let corner = (at - 0.5).max(DVec2::ZERO);
        let (x, y) = (corner.x as u32, corner.y as u32);
        if x + 1 >= width || y + 1 >= height {
            return nearest;
        }
        let around = [pixel(x, y), pixel(x + 1, y), pixel(x, y + 1), pixel(x + 1, y + 1)];
        let (least, most) = around.iter().fold((f64::MAX, f64::MIN), |(a, b), d| (a.min(*d), b.max(*d)));
        // Not where one of them is infinite.
        let is_one_surface = most - least <= reach;
        if !is_one_surface {
            return nearest;
        }
        let (u, v) = (corner.x - f64::from(x), corner.y - f64::from(y));
        let row = |i: usize| around[i] * (1.0 - u) + around[i + 1] * u;
        row(0) * (1.0 - v) + row(2) * v
    }
}

/// Surface that cannot be fused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FusionError {
    /// No camera sees anything of the field.
    #[error("the capture's cameras see nothing of the field: is it the capture that was fitted? fit longer")]
    NothingSeen,
    /// A camera that cannot be used.
    #[error(transparent)]
    Camera(#[from] RenderError),
    /// The lattice cannot be meshed.
    #[error(transparent)]
    Surface(#[from] IsoError),
}
