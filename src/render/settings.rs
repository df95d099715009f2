//! Settings of one frame, the same for every renderer.

use glam::DVec3;
use nstr_image::colour::Background;

use crate::error::RenderError;
use crate::layers::LayerSet;
use crate::sampling::Filter;
use crate::section::Section;
use crate::shading::Shading;

/// Contents of a frame: layers, samples, light, background, section.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RenderSettings {
    /// Layers to make.
    pub layers: LayerSet,
    /// Samples a pixel of colour and alpha, 1 to 4096.
    pub samples: u32,
    /// Weights of the samples around a pixel's centre.
    pub filter: Filter,
    /// Light and material.
    pub shading: Shading,
    /// Colour behind the object.
    pub background: Background,
    /// Plane that cuts part of the scene away.
    pub section: Option<Section>,
    /// Opacity of a section that shows the field, 0 to 1; what is behind it is seen through it (CPU renderers).
    pub section_opacity: f32,
    /// World box that the field is shown within on a section, besides the field's cube: the object's with a margin, see
    /// [`box_around`](crate::section::box_around). Outside of it the section only cuts.
    pub section_box: Option<(DVec3, DVec3)>,
    /// Seed of the samples' places.
    pub seed: u64,
}

impl Default for RenderSettings {
    fn default() -> Self {
        Self {
            layers: LayerSet::default(),
            samples: 1,
            filter: Filter::Box,
            shading: Shading::default(),
            background: Background::White,
            section: None,
            section_opacity: 1.0,
            section_box: None,
            seed: 0,
        }
    }
}

impl RenderSettings {
    /// Checks the number of samples, the section and its opacity.
    pub(crate) fn check(&self) -> Result<(), RenderError> {
        if !(1..=4096).contains(&self.samples) {
            let reason = format!("{}; expected 1 to 4096", self.samples);
            return Err(RenderError::Setting { setting: "samples", reason });
        }
        if !(0.0..=1.0).contains(&self.section_opacity) {
            let reason = format!("{}; expected 0 to 1", self.section_opacity);
            return Err(RenderError::Setting { setting: "section_opacity", reason });
        }
        self.section.map_or(Ok(()), |section| section.check())
    }
}
