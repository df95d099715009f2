//! Interface between the window and a renderer: a request goes in, images of growing quality come back.

use std::ops::Deref;
use std::sync::Arc;

use glam::DVec3;
use nstr_camera::camera::Camera;
use nstr_capture as capture;
use nstr_geometry::DistanceQuery;
use nstr_image::Rgba8;
use nstr_image::colour::Background;
use nstr_render::{Backdrop, Frame, Look, Section, Shading};

use crate::display_mode::DisplayMode;
use crate::scene::Scene;

/// Renderer of requests. Neither method waits for an image.
pub(crate) trait RenderBackend {
    /// Replaces the current request. The work on the old one is given up once its first image is published.
    fn request(&mut self, request: RenderRequest);
    /// Image and progress since the last call.
    fn poll(&mut self) -> RenderStatus;
    /// Name for the status line.
    fn name(&self) -> &str;
}

/// An image to render, and how it is displayed.
#[derive(Clone, Debug)]
pub struct RenderRequest {
    /// Field to render.
    pub scene: Arc<Scene>,
    /// Camera; its size is that of the image in physical pixels.
    pub camera: Camera,
    /// Layer to display.
    pub mode: DisplayMode,
    /// Background behind the object.
    pub background: Background,
    /// Exposure of the object in stops; 0 leaves it as rendered.
    pub exposure: f32,
    /// Look of a surface.
    pub look: Look,
    /// Whether a surface stands on a graded ground instead of the background.
    pub has_backdrop: bool,
    /// Soft shadow and ambient occlusion by the field itself (signed distances only).
    pub shadows: bool,
    /// Plane that cuts part of the scene away.
    pub section: Option<Section>,
    /// Opacity of the field's values on it, 0 to 1.
    pub section_opacity: f32,
    /// Image that [`DisplayMode::Error`] compares with; the camera stands where it was taken.
    pub reference: Option<ReferenceImage>,
    /// Mesh that [`DisplayMode::Error`] measures the surface against.
    pub mesh: Option<Arc<DistanceQuery>>,
    /// Quality to refine to.
    pub quality: Quality,
}

impl RenderRequest {
    /// World box that its section shows the field within; `None` without a section, or where that is all of the field.
    pub(crate) fn section_box(&self) -> Option<(DVec3, DVec3)> {
        self.section.and_then(|_| self.scene.section_box())
    }

    /// The shaded field on white, as seen by `camera`.
    pub fn shaded(scene: Arc<Scene>, camera: Camera, quality: Quality) -> Self {
        Self {
            scene,
            camera,
            mode: DisplayMode::Shaded,
            background: Background::White,
            exposure: 0.0,
            look: Look::Plain,
            has_backdrop: false,
            shadows: false,
            section: None,
            section_opacity: 1.0,
            reference: None,
            mesh: None,
            quality,
        }
    }

    /// Whether `other` needs the same rays. It may differ in the mapping of values to colours, and in quality.
    pub(crate) fn same_rays(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.scene, &other.scene)
            && (self.camera, self.mode, self.look, self.shadows, self.section, self.section_opacity)
                == (other.camera, other.mode, other.look, other.shadows, other.section, other.section_opacity)
            && self.reference == other.reference
    }

    /// Whether `other` asks for the same image.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.same_rays(other)
            && self.mesh.as_ref().map(Arc::as_ptr) == other.mesh.as_ref().map(Arc::as_ptr)
            && (self.background, self.has_backdrop, self.exposure, self.quality)
                == (other.background, other.has_backdrop, other.exposure, other.quality)
    }

    /// Light and material.
    pub(crate) fn shading(&self) -> Shading {
        let look = self.look.shading();
        match self.shadows {
            true => Shading { shadow: true, ambient_occlusion: true, is_coarse: false, ..look },
            false => look,
        }
    }

    /// Whether the picture takes shadow, occlusion or the ground from coarse distances.
    pub(crate) fn needs_soft_light(&self) -> bool {
        let secondary = self.shading().secondary();
        let is_lit = secondary.is_coarse && (secondary.shadow || secondary.occlusion);
        self.mode == DisplayMode::Shaded && !self.scene.is_radiance() && (self.has_backdrop || is_lit)
    }

    /// What lies behind the surface, if that is more than a colour. A ground would show the shadow of what a section cuts away.
    pub(crate) fn backdrop(&self) -> Option<Backdrop> {
        let is_wanted = self.has_backdrop && self.mode == DisplayMode::Shaded;
        is_wanted.then(|| self.scene.backdrop(self.section.is_none())).flatten()
    }
}

/// One image of a capture.
#[derive(Clone, Debug)]
pub struct ReferenceImage {
    images: Arc<Vec<capture::View>>,
    index: usize,
}

impl ReferenceImage {
    /// Image `index`; `None` beyond the last.
    pub fn new(images: &Arc<Vec<capture::View>>, index: usize) -> Option<Self> {
        (index < images.len()).then(|| Self { images: images.clone(), index })
    }
}

impl Deref for ReferenceImage {
    type Target = capture::View;

    fn deref(&self) -> &capture::View {
        &self.images[self.index]
    }
}

impl PartialEq for ReferenceImage {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.images, &other.images) && self.index == other.index
    }
}

/// Target of the refinement of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// One pass at the resolution that a few tenths of a second allow, for a field that soon changes.
    LowLatency,
    /// Full resolution, with this many samples a pixel for layers that gain from them.
    Full(u32),
}

/// Image rendered on the CPU.
#[derive(Debug)]
pub(crate) struct CpuPixels {
    /// Displayed sRGB values with straight alpha, opaque unless the background is transparent.
    pub image: Rgba8,
    /// Rendered layers.
    pub frame: Arc<Frame>,
}

/// Image in a texture of the window's device.
#[derive(Clone, Debug)]
pub(crate) struct GpuPixels {
    /// sRGB values (not linear light) with straight alpha, opaque unless the background is transparent; `Rgba8Unorm`, usages
    /// `TEXTURE_BINDING` and `COPY_SRC`.
    pub texture: wgpu::Texture,
    /// Size in pixels of the image, which starts at the texture's upper left corner.
    pub size: (u32, u32),
}

/// Pixels of an image, in memory or on the GPU.
#[derive(Clone, Debug)]
pub(crate) enum PixelBuffer {
    /// In memory.
    Cpu(Arc<CpuPixels>),
    /// On the GPU.
    Gpu(GpuPixels),
}

impl PixelBuffer {
    /// Whether both are the same buffer.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (PixelBuffer::Cpu(a), PixelBuffer::Cpu(b)) => Arc::ptr_eq(a, b),
            (PixelBuffer::Gpu(a), PixelBuffer::Gpu(b)) => a.texture == b.texture,
            _ => false,
        }
    }

    /// Pixels along x and y.
    pub fn size(&self) -> (u32, u32) {
        match self {
            PixelBuffer::Cpu(pixels) => (pixels.image.width, pixels.image.height),
            PixelBuffer::Gpu(pixels) => pixels.size,
        }
    }
}

/// Image of a request at the quality reached so far.
#[derive(Clone, Debug)]
pub(crate) struct RenderedImage {
    /// Pixels.
    pub pixels: PixelBuffer,
    /// Request that it answers.
    pub request: RenderRequest,
    /// Requested pixels along an edge for one of the image; the last column and row may stand for fewer.
    pub divisor: u32,
    /// Samples a pixel.
    pub samples: u32,
    /// Seconds that the last pass took.
    pub seconds: f64,
    /// Range of values of the colour map, if one is used.
    pub range: Option<(f32, f32)>,
    /// PSNR in dB against the reference, over the pixels that it covers.
    pub psnr: Option<f64>,
    /// Message for the user if the image is not as requested.
    pub note: Option<String>,
}

impl RenderedImage {
    /// An image of one sample a pixel, without a colour map or a note.
    pub fn of_one_sample(pixels: CpuPixels, request: RenderRequest, divisor: u32) -> Self {
        let pixels = PixelBuffer::Cpu(Arc::new(pixels));
        Self { pixels, request, divisor, samples: 1, seconds: 0.0, range: None, psnr: None, note: None }
    }
}

/// State of a backend.
#[derive(Clone, Debug)]
pub(crate) struct RenderStatus {
    /// Newest image, if there is one since the last poll.
    pub image: Option<Box<RenderedImage>>,
    /// Share of the work up to the final picture that is done, 0 to 1.
    pub progress: f32,
    /// Whether the last request is rendered to its full quality.
    pub done: bool,
}
