//! Cameras: pinhole projection, camera files, orbits, spirals and the arc that a capture's cameras stand on.

pub mod camera;
pub mod camera_arc;
pub mod camera_file;
pub mod camera_model;
pub mod orbit;
pub mod python_json;
pub mod spiral;

pub use camera::{Camera, CameraError};
pub use camera_arc::CameraArc;
pub use camera_file::{read_cameras, write_cameras};
pub use camera_model::CameraModel;
pub use orbit::{Orbit, Up};
pub use python_json::parse_json;
pub use spiral::Spiral;
