//! Rendering of fields to images.
//!
//! [`cpu::SphereTracer`] traces a [`DistanceField`](nstr_space::DistanceField) and [`volume::VolumeRenderer`] marches a
//! [`RadianceField`](nstr_space::RadianceField), skipping the cells that its occupancy grid leaves empty. Both make a
//! [`Frame`] of colour and data [`Layer`]s. Anything that implements one of the two traits can be rendered, analytic shapes
//! included. Feature `gpu` adds the same renderers on a GPU ([`gpu`]).

mod backdrop;
pub mod cpu;
pub mod curvature;
mod error;
pub mod exr;
mod frame;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod ground_shadow;
mod layer_image;
mod layers;
mod look;
mod sampling;
pub mod section;
pub mod section_scale;
mod settings;
mod shading;
mod tile_rect;
mod tone_curve;
pub mod volume;

pub use backdrop::{BACKDROP_SRGB, Backdrop};
pub use cpu::{SoftLightData, SphereTracer, TracerSettings};
pub use error::RenderError;
pub use frame::{Frame, RenderStats};
pub use ground_shadow::GroundShadow;
pub use layer_image::{ValueRange, layer_image, layer_range};
pub use layers::{Layer, LayerSet};
pub use look::Look;
pub use sampling::Filter;
pub use section::{Section, SectionView};
pub use section_scale::SectionScale;
pub use settings::RenderSettings;
pub use shading::{Shading, ShadingMode};
pub use tone_curve::{tone_curve, tone_curve_inverse};
pub use volume::{ViewPixels, VolumeRenderer, VolumeSettings};
