//! Triangle meshes: reading, writing and judging them, distance, sign, sampling and isosurfaces. Knows no field.

pub mod attributes;
pub mod bvh;
pub mod closest;
pub mod crossing;
pub mod curvature;
pub mod error;
pub mod isosurface;
pub mod mesh;
pub mod query;
pub mod read;
pub mod report;
pub mod sample;
pub mod sign;
pub mod triangulate;
pub mod visibility;
pub mod voxels;
pub mod winding;
pub mod write;

pub use error::MeshError;
pub use mesh::TriMesh;
pub use query::{DistanceQuery, QueryError, QueryOptions};
pub use read::{MeshFile, MeshFormat, read_mesh};
pub use report::MeshReport;
pub use sign::{SignMethod, Trust};
pub use write::write_mesh;

#[cfg(test)]
mod query_tests;
#[cfg(test)]
pub(crate) mod testing;
