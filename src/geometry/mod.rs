//! Triangle meshes: reading, writing and judging them, distance, sign, sampling and isosurfaces. Knows no field.

pub mod error;
pub mod mesh;
pub mod read;
pub mod report;
pub mod triangulate;
pub mod write;

pub use error::MeshError;
pub use mesh::TriMesh;
pub use read::{MeshFile, MeshFormat, read_mesh};
pub use report::MeshReport;
pub use write::write_mesh;
