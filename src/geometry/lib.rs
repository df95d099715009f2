//! Triangle meshes: files, reports, distance and sign queries, sampling, curvature and isosurfaces.

pub mod attributes;
pub mod bvh;
mod closest;
pub mod curvature;
mod error;
mod forest;
pub mod hidden_faces;
pub mod isosurface;
mod mesh;
pub mod morton;
mod precision;
pub mod query;
mod ray_crossings;
pub mod read;
pub mod report;
pub mod sample;
pub mod sign;
mod tangle;
mod topology;
mod triangulate;
mod visibility;
mod voxels;
mod weld;
mod winding;
mod write;

pub use closest::Closest;
pub use error::MeshError;
pub use hidden_faces::HiddenFaces;
pub use mesh::{Material, MeshMaterials, NO_MATERIAL, Texture, TriMesh};
pub use query::{DistanceQuery, QueryError, QueryOptions};
pub use read::{MeshFile, MeshFormat, read_mesh};
pub use report::MeshReport;
pub use sign::{OrientationVerdict, SignMethod};
pub use write::write_mesh;

#[cfg(test)]
mod query_tests;
#[doc(hidden)]
pub mod testing;
