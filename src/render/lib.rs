//! Rendering of fields to images.
//!
//! [`cpu::SphereTracer`] traces a [`DistanceField`](nstr_space::DistanceField) and [`volume::VolumeRenderer`] marches a
//! [`RadianceField`](nstr_space::RadianceField), skipping the cells that its occupancy grid leaves empty. Both make a
//! [`Frame`] of colour and data [`Layer`]s. Anything that implements one of the two traits can be rendered, analytic shapes
//! included. Feature `gpu` adds the same renderers on a GPU ([`gpu`]).

pub mod cpu;
pub mod curvature;
mod error;
pub mod exr;
mod frame;
#[cfg(feature = "gpu")]
pub mod gpu;
mod layer_image;
mod layers;
mod sampling;
pub mod section;
mod settings;
mod shading;
mod tile_rect;
pub mod volume;

pub use cpu::{SphereTracer, TracerSettings};
pub use error::RenderError;
pub use frame::{Frame, RenderStats};
pub use layer_image::{ValueRange, layer_image, layer_range};
pub use layers::{Layer, LayerSet};
pub use sampling::Filter;
pub use section::{Section, SectionView};
pub use settings::RenderSettings;
pub use shading::{Shading, ShadingMode};
pub use volume::{ViewPixels, VolumeRenderer, VolumeSettings};
