//! What draws a model: the processor, or a GPU where there is one.

use anyhow::bail;
use clap::ValueEnum;
use glam::DVec3;
#[cfg(feature = "gpu")]
use nstr::field::upload;
use nstr::render::cpu::RenderError;
#[cfg(feature = "gpu")]
use nstr::render::gpu::{Gpu, GpuError, GpuRenderer};
use nstr::render::volume::{VolumeRenderSettings, VolumeRenderer};
use nstr::render::{Camera, Frame, RenderSettings, SphereTracer, TracerSettings, UnitCube, Up};

use super::load::Loaded;

/// Where pictures are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Default)]
pub enum Device {
    /// On a GPU where there is a real one, else on the processor.
    #[default]
    Auto,
    /// On the processor.
    Cpu,
    /// On any adapter, a software driver included.
    Gpu,
}

/// What renders a model on the processor.
enum OnCpu<'a> {
    Sdf(SphereTracer<'a>),
    Volume(VolumeRenderer<'a>),
}

/// Renders one model.
pub struct Renderer<'a> {
    cpu: OnCpu<'a>,
    #[cfg(feature = "gpu")]
    gpu: Option<GpuRenderer>,
}

impl<'a> Renderer<'a> {
    /// Prepares to render `model` on `device`. Without a usable adapter `gpu` says so and takes the processor.
    pub fn new(model: &'a Loaded, device: Device) -> anyhow::Result<Self> {
        let cpu = match model {
            Loaded::Sdf(m) => {
                let cube = UnitCube::from(&m.model.domain);
                OnCpu::Sdf(SphereTracer::new(&m.field, cube, TracerSettings::default())?)
            }
            Loaded::Radiance(m) => OnCpu::Volume(m.renderer()?),
            Loaded::Signal(_) => bail!("a picture or a sound has no views to render"),
        };
        #[cfg(feature = "gpu")]
        return Ok(Self { gpu: on_gpu(model, &cpu, device)?, cpu });
        #[cfg(not(feature = "gpu"))]
        if device == Device::Gpu {
            bail!("this program was built without the feature `gpu`; use --renderer cpu");
        }
        #[cfg(not(feature = "gpu"))]
        Ok(Self { cpu })
    }

    /// World box around the object.
    pub fn bounds(&self) -> (DVec3, DVec3) {
        match &self.cpu {
            OnCpu::Sdf(tracer) => tracer.bounds(),
            OnCpu::Volume(renderer) => renderer.bounds(),
        }
    }

    /// The upward axis that models of this kind have.
    pub fn up(&self) -> Up {
        if self.traces() { Up::Y } else { Up::Z }
    }

    /// Whether it traces a signed distance.
    pub fn traces(&self) -> bool {
        matches!(self.cpu, OnCpu::Sdf(_))
    }

    /// Name of the adapter; `None` on the processor.
    pub fn adapter(&self) -> Option<String> {
        #[cfg(feature = "gpu")]
        return self.gpu.as_ref().map(|g| g.field().gpu().name());
        #[cfg(not(feature = "gpu"))]
        None
    }

    /// Renders one frame.
    pub fn render(&self, camera: &Camera, settings: &RenderSettings) -> anyhow::Result<Frame> {
        #[cfg(feature = "gpu")]
        if let Some(gpu) = &self.gpu {
            return Ok(gpu.render(camera, settings)?);
        }
        Ok(self.on_cpu(camera, settings)?)
    }

    fn on_cpu(&self, camera: &Camera, settings: &RenderSettings) -> Result<Frame, RenderError> {
        match &self.cpu {
            OnCpu::Sdf(tracer) => tracer.render(camera, settings),
            OnCpu::Volume(renderer) => {
                let RenderSettings { layers, samples, filter, background, seed, section, .. } = *settings;
                renderer.render(camera, &VolumeRenderSettings { layers, samples, filter, background, seed, section })
            }
        }
    }
}

/// The renderer on a GPU, where `device` asks for one and there is one that can take the model.
#[cfg(feature = "gpu")]
fn on_gpu(model: &Loaded, cpu: &OnCpu<'_>, device: Device) -> anyhow::Result<Option<GpuRenderer>> {
    if device == Device::Cpu {
        return Ok(None);
    }
    match (gpu_renderer(model, cpu, device), device) {
        (Ok(made), _) => Ok(made),
        // Nobody asked for it: what the processor can't do either will show there.
        (Err(_), Device::Auto) => Ok(None),
        (Err(e @ (GpuError::NoAdapter { .. } | GpuError::Device { .. })), _) => {
            eprintln!("warning: {e}; rendering on the processor");
            Ok(None)
        }
        (Err(e), _) => bail!(e),
    }
}

#[cfg(feature = "gpu")]
fn gpu_renderer(model: &Loaded, cpu: &OnCpu<'_>, device: Device) -> Result<Option<GpuRenderer>, GpuError> {
    let gpu = Gpu::new()?;
    if device == Device::Auto && gpu.is_software() {
        return Ok(None);
    }
    let (model, rays) = match (model, cpu) {
        (Loaded::Sdf(m), OnCpu::Sdf(tracer)) => {
            let lipschitz = nstr::render::SdfSource::lipschitz(&m.field);
            (&m.model, upload::Rays::Surface { lipschitz, empty: tracer.grid().map(|g| &**g) })
        }
        (Loaded::Radiance(m), _) => {
            let occupancy = nstr::render::RadianceSource::occupancy(&m.field);
            (&m.model, upload::Rays::Volume { settings: m.settings(), occupancy })
        }
        _ => return Ok(None),
    };
    upload::renderer(&gpu, model, &rays).map(Some)
}
