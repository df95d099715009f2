//! What is measured of a result, against its reference.

pub mod mesh;

pub use mesh::{MeshMetrics, MetricError, Overlap, compare_meshes, iou};
