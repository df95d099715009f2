//! Pictures of fields.
//!
//! [`cpu::SphereTracer`] traces an [`nstr_space::SdfSource`] and [`volume::VolumeRenderer`] marches an
//! [`nstr_space::RadianceSource`], skipping what its occupancy grid knows to be empty; both make a [`Frame`] of colour and
//! data [`Layer`]s. Renderers know no field: anything that answers one of the two traits can be drawn, analytic shapes included.

mod area;
pub mod cpu;
pub mod curvature;
pub mod exr;
pub mod frame;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod layers;
pub mod section;
pub mod volume;

pub use cpu::{RenderSettings, SphereTracer, TracerSettings};
pub use frame::{Frame, RenderStats};
pub use layers::{Layer, LayerSet};
pub use section::{Section, SectionView};
pub use volume::{VolumeRenderer, VolumeSettings};
