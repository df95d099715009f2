//! Triangle meshes: reading, writing and judging them, distance, sign, sampling and isosurfaces. Knows no field.

pub mod mesh;

pub use mesh::TriMesh;
