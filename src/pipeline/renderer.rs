//! Rendering of any model with views, on the CPU or on a GPU.

use std::fmt;
use std::str::FromStr;

use glam::DVec3;
use nstr_camera::{Camera, Up};
use nstr_render::RenderError;
use nstr_render::{Backdrop, Frame, RenderSettings, SphereTracer, VolumeRenderer};

use crate::error::Error;
use crate::field::Field;

/// Choice of the processor that renders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RendererChoice {
    /// On a GPU where there is a real one, else on the CPU.
    #[default]
    Auto,
    /// On the CPU.
    Cpu,
    /// On any adapter, a software driver included.
    Gpu,
}

impl FromStr for RendererChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu),
            _ => Err("must be auto, cpu or gpu".into()),
        }
    }
}

impl fmt::Display for RendererChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
        })
    }
}

/// CPU renderer of a field with views.
pub enum CpuRenderer<'a> {
    /// Sphere tracing, of signed distances.
    Surface(SphereTracer<'a>),
    /// Ray marching, of radiance.
    Volume(VolumeRenderer<'a>),
}

impl CpuRenderer<'_> {
    /// Lowest and highest corner of the box around the object, world units.
    pub fn bounds(&self) -> (DVec3, DVec3) {
        match self {
            Self::Surface(tracer) => tracer.bounds(),
            Self::Volume(renderer) => renderer.bounds(),
        }
    }

    /// Box, in world units, that a section shows the field within: the object's with a margin; `None`: all of the field.
    pub fn section_box(&self) -> Option<(DVec3, DVec3)> {
        match self {
            Self::Surface(tracer) => Some(tracer.section_box()),
            Self::Volume(renderer) => renderer.section_box(),
        }
    }

    /// Renders one frame.
    ///
    /// # Errors
    /// Cameras and settings that cannot be rendered.
    pub fn render(&self, camera: &Camera, settings: &RenderSettings) -> Result<Frame, RenderError> {
        self.render_pixels(camera, settings, None)
    }

    /// Renders one frame, or of it the pixels whose `mask` is `true`, rows from the top; the others are as if nothing was there.
    ///
    /// # Errors
    /// Cameras and settings that cannot be rendered, and masks of another size.
    pub fn render_pixels(
        &self,
        camera: &Camera,
        settings: &RenderSettings,
        mask: Option<&[bool]>,
    ) -> Result<Frame, RenderError> {
        match self {
            Self::Surface(tracer) => tracer.render_pixels(camera, settings, mask),
            Self::Volume(renderer) => renderer.render_pixels(camera, settings, mask),
        }
    }
}

/// Renderer of one model.
pub struct Renderer<'a> {
    cpu: CpuRenderer<'a>,
    #[cfg(feature = "gpu")]
    gpu: Option<nstr_render::gpu::GpuRenderer>,
    warning: Option<String>,
}

impl<'a> Renderer<'a> {
    /// Prepares to render `field`. Without a usable adapter [`RendererChoice::Gpu`] takes the CPU and leaves a [`Self::warning`].
    ///
    /// # Errors
    /// Pictures and sounds, which have no views; fields and cubes that cannot be rendered; models that shaders refuse where
    /// a GPU is asked for.
    pub fn new(field: &'a Field, choice: RendererChoice) -> Result<Self, Error> {
        let cpu = match field {
            Field::Sdf(model) => CpuRenderer::Surface(model.renderer()?),
            Field::Radiance(model) => CpuRenderer::Volume(model.renderer()?),
            Field::Signal(_) => return Err(Error::option("a picture or a sound has no views to render")),
        };
        #[cfg(feature = "gpu")]
        {
            let (gpu, warning) = gpu::choose(field, &cpu, choice)?;
            Ok(Self { cpu, gpu, warning })
        }
        #[cfg(not(feature = "gpu"))]
        match choice {
            RendererChoice::Gpu => {
                Err(Error::option("this program was built without the feature `gpu`; use --renderer cpu"))
            }
            _ => Ok(Self { cpu, warning: None }),
        }
    }

    /// Reason why the CPU renders although a GPU was asked for.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Lowest and highest corner of the box around the object, world units.
    pub fn bounds(&self) -> (DVec3, DVec3) {
        self.cpu.bounds()
    }

    /// Box, in world units, that a section shows the field within: the object's with a margin; `None`: all of the field.
    pub fn section_box(&self) -> Option<(DVec3, DVec3)> {
        self.cpu.section_box()
    }

    /// The upward axis that models of this kind have: y of meshes, z of captures.
    pub fn up(&self) -> Up {
        if self.traces_surface() { Up::Y } else { Up::Z }
    }

    /// `true` if the renderer traces a signed distance; otherwise it marches through a radiance field.
    pub fn traces_surface(&self) -> bool {
        matches!(self.cpu, CpuRenderer::Surface(_))
    }

    /// Graded background with the object's shadow on the ground, or without one; `None` for radiance fields.
    pub fn backdrop(&self, has_ground: bool) -> Option<Backdrop> {
        match &self.cpu {
            CpuRenderer::Surface(tracer) if has_ground => Some(tracer.backdrop(self.up().axis().as_vec3())),
            CpuRenderer::Surface(_) => Some(Backdrop::new(None)),
            CpuRenderer::Volume(_) => None,
        }
    }

    /// Name of the adapter; `None` on the CPU.
    pub fn adapter(&self) -> Option<String> {
        #[cfg(feature = "gpu")]
        return self.gpu.as_ref().map(|g| g.field().gpu().name());
        #[cfg(not(feature = "gpu"))]
        None
    }

    /// Renders one frame.
    ///
    /// # Errors
    /// Cameras and settings that cannot be rendered, a GPU that fails.
    pub fn render(&self, camera: &Camera, settings: &RenderSettings) -> Result<Frame, Error> {
        #[cfg(feature = "gpu")]
        if let Some(gpu) = &self.gpu {
            return Ok(gpu.render(camera, settings)?);
        }
        Ok(self.cpu.render(camera, settings)?)
    }
}

#[cfg(feature = "gpu")]
mod gpu {
    use nstr_render::gpu::{Gpu, GpuError, GpuRenderer, device};
    use nstr_space::{DistanceField, RadianceField};

    use super::{CpuRenderer, RendererChoice};
    use crate::error::Error;
    use crate::field::Field;
    use crate::upload::{self, RenderKind};

    /// The renderer on a GPU, where `choice` asks for one and there is one that can take the model; else perhaps a warning.
    pub(super) fn choose(
        field: &Field,
        cpu: &CpuRenderer<'_>,
        choice: RendererChoice,
    ) -> Result<(Option<GpuRenderer>, Option<String>), Error> {
        if choice == RendererChoice::Cpu {
            return Ok((None, None));
        }
        if choice == RendererChoice::Auto && !device::has_device_node() {
            return Ok((None, None));
        }
        match (renderer(field, cpu, choice), choice) {
            (Ok(made), _) => Ok((made, None)),
            // Nobody asked for it: an error that the CPU has too will show there.
            (Err(_), RendererChoice::Auto) => Ok((None, None)),
            (Err(e @ (GpuError::NoAdapter { .. } | GpuError::Device { .. })), _) => {
                Ok((None, Some(format!("{e}; rendering on the CPU"))))
            }
            (Err(e), _) => Err(e.into()),
        }
    }

    fn renderer(field: &Field, cpu: &CpuRenderer<'_>, choice: RendererChoice) -> Result<Option<GpuRenderer>, GpuError> {
        let gpu = Gpu::new()?;
        if choice == RendererChoice::Auto && gpu.is_software() {
            return Ok(None);
        }
        let kind = match (field, cpu) {
            (Field::Sdf(model), CpuRenderer::Surface(tracer)) => {
                let soft = Some(tracer.soft_light().distance());
                RenderKind::Surface { lipschitz: model.field.lipschitz(), empty: tracer.grid().map(|g| &**g), soft }
            }
            (Field::Radiance(model), _) => {
                RenderKind::Volume { settings: model.march.volume, occupancy: model.field.occupancy() }
            }
            _ => return Ok(None),
        };
        upload::renderer(&gpu, field.model(), &kind).map(Some)
    }
}
