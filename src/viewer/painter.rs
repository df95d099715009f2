//! What the viewer asks of a renderer: pictures of views, as soon as there are any, better ones as time goes on.

use std::ops::Deref;
use std::sync::Arc;

use crate::layer::Show;
use crate::scene::Scene;
use nstr_capture as capture;
use nstr_image::Rgba8;
use nstr_image::colour::Background;
use nstr_camera::camera::Camera;
use nstr_render::{Frame, Section};

/// What is to be seen.
#[derive(Clone, Debug)]
pub struct View {
    /// The field.
    pub scene: Arc<Scene>,
    /// From where; its size is the picture's, in physical pixels.
    pub camera: Camera,
    /// Which layer.
    pub show: Show,
    /// What lies behind the object.
    pub background: Background,
    /// Brightness of the object's light in stops; 0 leaves it.
    pub exposure: f32,
    /// Soft shadow and ambient occlusion (signed distances).
    pub shadows: bool,
    /// The plane that cuts part of the scene away.
    pub section: Option<Section>,
    /// The image that [`Show::Error`] compares with; it is looked at from the image's camera position.
    pub reference: Option<Reference>,
    /// How far to go.
    pub effort: Effort,
}

impl View {
    /// The shaded field on white, as it is, seen by `camera`.
    pub fn plain(scene: Arc<Scene>, camera: Camera, effort: Effort) -> Self {
        Self {
            scene,
            camera,
            show: Show::Shaded,
            background: Background::White,
            exposure: 0.0,
            shadows: false,
            section: None,
            reference: None,
            effort,
        }
    }
}

/// One of a capture's images.
#[derive(Clone, Debug)]
pub struct Reference {
    images: Arc<Vec<capture::View>>,
    index: usize,
}

impl Reference {
    /// Image `index`; `None` where there is none.
    pub fn new(images: &Arc<Vec<capture::View>>, index: usize) -> Option<Self> {
        (index < images.len()).then(|| Self { images: images.clone(), index })
    }
}

impl Deref for Reference {
    type Target = capture::View;

    fn deref(&self) -> &capture::View {
        &self.images[self.index]
    }
}

impl PartialEq for Reference {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.images, &other.images) && self.index == other.index
    }
}

/// How far a picture is refined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// One pass of whatever fits into a few tenths of a second: the field changes anyway.
    Passing,
    /// Full resolution and this many samples a pixel where they help.
    Full(u32),
}

impl View {
    /// Whether `other` needs no other rays: it may differ in how values become colours, and in effort.
    pub fn same_rays(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.scene, &other.scene)
            && (self.camera, self.show, self.shadows, self.section)
                == (other.camera, other.show, other.shadows, other.section)
            && self.reference == other.reference
    }

    /// Whether `other` asks for the very same picture.
    pub fn same(&self, other: &Self) -> bool {
        self.same_rays(other)
            && (self.background, self.exposure, self.effort) == (other.background, other.exposure, other.effort)
    }
}

/// A picture made on the CPU.
#[derive(Debug)]
pub struct CpuPicture {
    /// What is shown, sRGB; opaque, squares in place of a transparent background.
    pub image: Rgba8,
    /// What it was made of.
    pub frame: Arc<Frame>,
}

/// A picture that lies in a texture of the window's device.
#[derive(Clone, Debug)]
pub struct GpuPicture {
    /// sRGB values (not linear light) with straight alpha, opaque unless the background is transparent, in an `Rgba8Unorm` texture with the usages `TEXTURE_BINDING` and `COPY_SRC`.
    pub texture: wgpu::Texture,
    /// The part of it that holds the picture, from the upper left corner, in pixels.
    pub size: (u32, u32),
}

/// A picture, wherever it lies.
#[derive(Clone, Debug)]
pub enum Picture {
    /// In memory.
    Cpu(Arc<CpuPicture>),
    /// On the GPU.
    Gpu(GpuPicture),
}

impl Picture {
    /// Pixels along x and y.
    pub fn size(&self) -> (u32, u32) {
        match self {
            Picture::Cpu(p) => (p.image.width, p.image.height),
            Picture::Gpu(p) => p.size,
        }
    }
}

/// A picture with what is known about it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The picture.
    pub picture: Picture,
    /// What was asked for.
    pub view: View,
    /// Pixels of the view along an edge for one of the picture; the last column and row may stand for fewer.
    pub divisor: u32,
    /// Samples a pixel.
    pub samples: u32,
    /// Seconds that this pass took.
    pub seconds: f64,
    /// Range of values that the false colours span, where there is one.
    pub range: Option<(f32, f32)>,
    /// PSNR against the reference over what is seen, dB.
    pub psnr: Option<f64>,
    /// Why the picture is not what was asked for, for the user.
    pub note: Option<String>,
}

/// News from a painter.
#[derive(Clone, Debug)]
pub struct Update {
    /// A new picture, if there is one since the last poll.
    pub shown: Option<Box<Shown>>,
    /// Share of the pass at work that is done, 0 to 1.
    pub share: f32,
    /// Whether the last request is done, to the full effort.
    pub done: bool,
}

/// Paints views. Neither call waits for a picture.
pub trait Painter {
    /// Asks for a view in place of the one asked for before, whose work is given up as soon as something of it was shown.
    fn request(&mut self, view: View);
    /// What is new.
    fn poll(&mut self) -> Update;
    /// Name for the status line.
    fn name(&self) -> &str;
}
