//! Cameras, rays and pictures of fields.
//!
//! [`Camera`]s and [`orbit`] paths say from where, [`cpu::SphereTracer`] traces an [`SdfSource`] into a [`Frame`] of
//! colour and data [`Layer`]s, and [`image`] writes frames to PNG, EXR and GIF. Frames know no file format, and tracers
//! know no field: anything that answers [`SdfSource`] can be drawn, the [`analytic`] shapes included.

pub mod analytic;
pub mod camera;
pub mod camera_file;
pub mod colour;
pub mod cpu;
pub mod cube;
pub mod frame;
pub mod image;
pub mod layers;
pub mod occupancy;
pub mod orbit;
pub mod source;

pub use camera::{Camera, CameraError, Ray};
pub use camera_file::{read_cameras, write_cameras};
pub use colour::Background;
pub use cpu::{RenderSettings, SphereTracer, TracerSettings};
pub use cube::UnitCube;
pub use frame::{Frame, RenderStats};
pub use layers::{Layer, LayerSet};
pub use occupancy::{March, Occupancy, OccupancyError, Sample, Stepping, VolumeRay};
pub use orbit::{Orbit, Up};
pub use source::SdfSource;
