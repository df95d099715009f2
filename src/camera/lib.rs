//! Cameras: pinhole projection, camera files, orbits, spirals and the arc that a capture's cameras stand on.

pub mod camera;
pub mod camera_file;
pub mod caster;
pub mod orbit;
pub mod spiral;
pub mod swing;

pub use camera::{Camera, CameraError};
pub use camera_file::{read_cameras, write_cameras};
pub use caster::RayCaster;
pub use orbit::{Orbit, Up};
pub use spiral::Spiral;
pub use swing::Swing;
