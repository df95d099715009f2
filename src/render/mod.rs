//! Cameras, rays and pictures of fields.
//!
//! [`Camera`]s, [`orbit`], [`spiral`] and [`swing`] paths say from where. [`cpu::SphereTracer`] traces an [`SdfSource`] and
//! [`volume::VolumeRenderer`] marches a [`RadianceSource`], skipping what its [`Occupancy`] knows to be empty; both make
//! a [`Frame`] of colour and data [`Layer`]s, and [`image`] writes frames to PNG, EXR, GIF and MP4. Frames know no file
//! format, and renderers know no field: anything that answers one of the two traits can be drawn, the [`analytic`] shapes
//! included.

pub mod analytic;
mod area;
pub mod camera;
pub mod camera_file;
pub mod caster;
pub mod colour;
pub mod cpu;
pub mod cube;
pub mod curvature;
pub mod frame;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod image;
pub mod layers;
pub mod occupancy;
pub mod orbit;
pub mod section;
pub mod source;
pub mod spiral;
pub mod swing;
pub mod volume;

pub use camera::{Camera, CameraError, Ray};
pub use camera_file::{read_cameras, write_cameras};
pub use caster::RayCaster;
pub use colour::Background;
pub use cpu::{RenderSettings, SphereTracer, TracerSettings};
pub use cube::UnitCube;
pub use frame::{Frame, RenderStats};
pub use layers::{Layer, LayerSet};
pub use occupancy::{March, Occupancy, OccupancyError, Sample, Stepping, VolumeRay};
pub use orbit::{Orbit, Up};
pub use section::{Section, SectionView};
pub use source::SdfSource;
pub use spiral::Spiral;
pub use swing::Swing;
pub use volume::{RadianceSource, VolumeRenderSettings, VolumeRenderer, VolumeSettings};
