//! Surface of a model as a mesh to write: with the field's normals, of a radiance field with its colours.

use std::path::Path;

use glam::Vec3;
use nstr_geometry::{TriMesh, write_mesh};
use nstr_render::volume::LevelSet;

use crate::error::Error;
use crate::field::Field;

/// A surface in world units.
#[derive(Clone, Debug)]
pub struct SurfaceMesh {
    /// The surface, facing outward.
    pub mesh: TriMesh,
    /// Unit normals at its vertices.
    pub normals: Vec<Vec3>,
    /// 8-bit sRGB colours at its vertices, where the field has colours.
    pub colours: Option<Vec<[u8; 3]>>,
    /// Evaluations that it took.
    pub evaluations: usize,
}

impl From<LevelSet> for SurfaceMesh {
    fn from(LevelSet { mesh, normals, colours, evaluations }: LevelSet) -> Self {
        Self { mesh, normals, colours: Some(colours), evaluations }
    }
}

impl SurfaceMesh {
    /// The surface of a distance, as [`SdfModel::surface`](crate::SdfModel::surface) gives it for `resolution` cells.
    ///
    /// # Errors
    /// A surface without faces.
    pub fn of_distance(
        (mesh, normals, evaluations): (TriMesh, Vec<Vec3>, usize),
        resolution: usize,
    ) -> Result<Self, Error> {
        if mesh.faces.is_empty() {
            let reason = format!("no surface is found with {resolution} cells along the cube's edge; try more");
            return Err(Error::Option(reason));
        }
        Ok(Self { mesh, normals, colours: None, evaluations })
    }

    /// Writes it in the format of the file's ending; returns notes on what the format does not hold.
    ///
    /// # Errors
    /// Unknown endings, files that cannot be written.
    pub fn write(&self, file: &Path) -> Result<Vec<String>, Error> {
        Ok(write_mesh(file, &self.mesh, Some(&self.normals), self.colours.as_deref())?)
    }
}

impl Field {
    /// The surface with `resolution` cells along the cube's edge: of a distance where it is 0, of radiance where the density per edge of the cube
    /// is `level`, without one the usual level. `done` takes the fraction that is done, from any thread; of radiance it is not known.
    ///
    /// # Errors
    /// Pictures and sounds, fields whose surface is not found, resolutions that need too much memory.
    pub fn surface(
        &self,
        resolution: usize,
        level: Option<f32>,
        done: &(dyn Fn(f64) + Sync),
    ) -> Result<SurfaceMesh, Error> {
        match self {
            Self::Sdf(model) => SurfaceMesh::of_distance(model.surface_observed(resolution, done)?, resolution),
            Self::Radiance(model) => Ok(model.surface(level.or(model.usual_level()), resolution)?.into()),
            Self::Signal(_) => Err(Error::option("a picture or a sound has no surface")),
        }
    }
}
