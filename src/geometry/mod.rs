//! Triangle meshes: reading, writing and judging them, distance, sign, sampling and isosurfaces. Knows no field.

pub mod error;
pub mod mesh;
pub mod read;
pub mod report;
pub mod triangulate;
pub mod write;
pub mod bvh;
pub mod closest;
pub mod crossing;
pub mod isosurface;
pub mod query;
pub mod sample;
pub mod sign;
pub mod visibility;
pub mod voxels;
pub mod winding;

pub use error::MeshError;
pub use mesh::TriMesh;
pub use read::{MeshFile, MeshFormat, read_mesh};
pub use report::MeshReport;
pub use write::write_mesh;
pub use query::{DistanceQuery, QueryError, QueryOptions};
pub use sign::{SignMethod, Trust};

#[cfg(test)]
mod query_tests;
#[cfg(test)]
pub(crate) mod testing;
