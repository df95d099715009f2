//! Cameras: pinhole projection, camera files, orbits, spirals, the arc that a capture's cameras stand on, and paths among them.

pub mod camera;
pub mod camera_arc;
pub mod camera_file;
pub mod camera_model;
pub mod camera_spline;
pub mod forward_spiral;
pub mod orbit;
pub mod python_json;
pub mod spiral;

pub use camera::{Camera, CameraError};
pub use camera_arc::CameraArc;
pub use camera_file::{read_cameras, write_cameras};
pub use camera_model::{CameraModel, ProjectiveCamera};
pub use camera_spline::CameraSpline;
pub use forward_spiral::ForwardSpiral;
pub use orbit::{Orbit, Up};
pub use python_json::parse_json;
pub use spiral::Spiral;
