//! The window's surface: the picture, and the panel over it.
//!
//! `pixels` owns device, surface and the buffer that CPU pictures are uploaded through; pictures of a GPU painter are drawn
//! from their own textures. Everything is in sRGB values: where the surface has a format that doesn't encode, bytes go
//! through as they are, and the panel's text is blended as its font expects.

use std::sync::Arc;

use pixels::wgpu;
use pixels::{Pixels, PixelsBuilder, SurfaceTexture};
use winit::window::Window;

use crate::blit::{Behind, Blit};
use crate::error::ViewerError;
use crate::painter::{Picture, Shown};
use crate::readback;
use nstr_image::colour::Background;
use nstr_render::gpu::{Gpu, device};
use nstr_image::Rgba8;

/// What is drawn over the picture.
pub struct Overlay {
    /// The panel's triangles.
    pub primitives: Vec<egui::ClippedPrimitive>,
    /// Changes of its textures.
    pub textures: egui::TexturesDelta,
    /// Physical pixels a point.
    pub pixels_per_point: f32,
}

/// A rectangle of the window, physical pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewport {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// Draws on a window.
pub struct Presenter {
    pixels: Pixels<'static>,
    egui: egui_wgpu::Renderer,
    blit: Blit,
    size: (u32, u32),
    /// Size of the buffer for CPU pictures.
    buffer: (u32, u32),
    /// What the buffer holds; `None` where nothing was uploaded yet.
    uploaded: Option<Picture>,
}

impl Presenter {
    /// Opens a device for the window.
    ///
    /// # Errors
    /// Without an adapter, and where the driver refuses the surface.
    pub fn new(window: Arc<Window>) -> Result<Self, ViewerError> {
        let size = window.inner_size();
        let size = (size.width.max(1), size.height.max(1));
        let (format, limits) = surface(&window)?;
        let surface = SurfaceTexture::new(size.0, size.1, window);
        let pixels = PixelsBuilder::new(size.0, size.1, surface)
            .wgpu_backend(device::backends())
            .texture_format(wgpu::TextureFormat::Rgba8Unorm)
            .surface_texture_format(format)
            // Everything the adapter has: fields and frames are large.
            .device_descriptor(wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() })
            .build()
            .map_err(|e| match e {
                pixels::Error::AdapterNotFound => ViewerError::NoAdapter,
                other => ViewerError::Surface(other.to_string()),
            })?;
        let options = egui_wgpu::RendererOptions { dithering: false, ..Default::default() };
        let egui = egui_wgpu::Renderer::new(pixels.device(), format, options);
        let blit = Blit::new(pixels.device(), format);
        Ok(Self { pixels, egui, blit, size, buffer: size, uploaded: None })
    }

    /// The device that draws, for painters that share it.
    pub fn device(&self) -> &wgpu::Device {
        self.pixels.device()
    }

    /// Its queue.
    pub fn queue(&self) -> &wgpu::Queue {
        self.pixels.queue()
    }

    /// The device as the renderers take it.
    ///
    /// # Errors
    /// Where it can't compute.
    pub fn gpu(&self) -> Result<Gpu, ViewerError> {
        let info = self.pixels.adapter().get_info();
        Gpu::from_parts(self.device().clone(), self.queue().clone(), info)
            .map_err(|e| ViewerError::Surface(e.to_string()))
    }

    /// Name of the adapter.
    pub fn adapter(&self) -> String {
        self.pixels.adapter().get_info().name
    }

    /// Whether the adapter draws on the processor, which has other things to do too.
    pub fn is_software(&self) -> bool {
        self.pixels.adapter().get_info().device_type == wgpu::DeviceType::Cpu
    }

    /// Longest edge of a texture.
    pub fn max_side(&self) -> u32 {
        self.pixels.device().limits().max_texture_dimension_2d
    }

    /// Follows the window's size; both above 0.
    ///
    /// # Errors
    /// Sizes that the device can't have.
    pub fn resize(&mut self, width: u32, height: u32) -> Result<(), ViewerError> {
        if (width, height) == self.size {
            return Ok(());
        }
        self.pixels.resize_surface(width, height).map_err(texture_error)?;
        self.size = (width, height);
        self.resize_buffer(self.size)
    }

    fn resize_buffer(&mut self, size: (u32, u32)) -> Result<(), ViewerError> {
        self.pixels.resize_buffer(size.0, size.1).map_err(texture_error)?;
        (self.buffer, self.uploaded) = (size, None);
        Ok(())
    }

    /// Shows the picture in its viewport and the overlay over all.
    ///
    /// # Errors
    /// What the driver says.
    pub fn present(&mut self, shown: Option<&Shown>, viewport: Viewport, overlay: &Overlay) -> Result<(), ViewerError> {
        self.prepare(shown, overlay)?;
        let Self { pixels, egui, blit, size, .. } = self;
        let mut scene = Drawing { egui, blit, size: *size, shown, viewport, overlay };
        pixels
            .render_with(|encoder, target, context| {
                scene.draw(encoder, target, &context.device, &context.queue, &context.texture);
                Ok(())
            })
            .map_err(|e| ViewerError::Surface(e.to_string()))?;
        self.forget(overlay);
        Ok(())
    }

    /// Draws the same into memory.
    ///
    /// # Errors
    /// What the driver says.
    pub fn screenshot(
        &mut self,
        shown: Option<&Shown>,
        viewport: Viewport,
        overlay: &Overlay,
    ) -> Result<Rgba8, ViewerError> {
        self.prepare(shown, overlay)?;
        let Self { pixels, egui, blit, size, .. } = self;
        let (device, queue, format) = (pixels.device(), pixels.queue(), pixels.surface_texture_format());
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("screenshot"),
            size: wgpu::Extent3d { width: size.0, height: size.1, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("screenshot") });
        // The buffer reaches its texture only where pixels presents it.
        if let Some(Picture::Cpu(picture)) = shown.map(|s| &s.picture) {
            write(queue, pixels.texture(), &picture.image);
        }
        let mut scene = Drawing { egui, blit, size: *size, shown, viewport, overlay };
        scene.draw(&mut encoder, &view, device, queue, pixels.texture());
        queue.submit([encoder.finish()]);
        let image = readback::read(device, queue, &texture, *size).map_err(ViewerError::Surface)?;
        self.forget(overlay);
        Ok(image)
    }

    /// A GPU painter's picture in memory.
    ///
    /// # Errors
    /// What the driver says.
    pub fn picture(&self, picture: &crate::painter::GpuPicture) -> Result<Rgba8, ViewerError> {
        readback::read(self.device(), self.queue(), &picture.texture, picture.size).map_err(ViewerError::Surface)
    }

    /// Uploads what drawing needs: outside of it, as a window that is hidden is not drawn.
    fn prepare(&mut self, shown: Option<&Shown>, overlay: &Overlay) -> Result<(), ViewerError> {
        for (id, delta) in &overlay.textures.set {
            self.egui.update_texture(self.pixels.device(), self.pixels.queue(), *id, delta);
        }
        self.upload(shown)
    }

    /// Copies a CPU picture into the upper left of the buffer, unless it is there.
    fn upload(&mut self, shown: Option<&Shown>) -> Result<(), ViewerError> {
        let Some(Picture::Cpu(picture)) = shown.map(|s| &s.picture) else { return Ok(()) };
        if matches!(&self.uploaded, Some(Picture::Cpu(there)) if Arc::ptr_eq(there, picture)) {
            return Ok(());
        }
        let (w, h) = (picture.image.width, picture.image.height);
        // A picture from before the window shrank is shown whole until the next one comes.
        if w > self.buffer.0 || h > self.buffer.1 {
            self.resize_buffer((w.max(self.buffer.0), h.max(self.buffer.1)))?;
        }
        let (row, width) = (self.buffer.0 as usize * 4, w as usize * 4);
        let rows = self.pixels.frame_mut().chunks_exact_mut(row);
        rows.zip(picture.image.data.chunks_exact(width)).for_each(|(to, from)| to[..width].copy_from_slice(from));
        self.uploaded = Some(Picture::Cpu(picture.clone()));
        Ok(())
    }

    fn forget(&mut self, overlay: &Overlay) {
        overlay.textures.free.iter().for_each(|id| self.egui.free_texture(id));
    }
}

/// One drawing of picture and overlay.
struct Drawing<'a> {
    egui: &'a mut egui_wgpu::Renderer,
    blit: &'a Blit,
    size: (u32, u32),
    shown: Option<&'a Shown>,
    viewport: Viewport,
    overlay: &'a Overlay,
}

impl Drawing<'_> {
    fn draw(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        target: &wgpu::TextureView,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        buffer: &wgpu::Texture,
    ) {
        let Overlay { primitives, pixels_per_point, .. } = self.overlay;
        let screen = egui_wgpu::ScreenDescriptor {
            size_in_pixels: [self.size.0, self.size.1],
            pixels_per_point: *pixels_per_point,
        };
        let commands = self.egui.update_buffers(device, queue, encoder, primitives, &screen);
        queue.submit(commands);
        let picture = self.shown.map(|shown| {
            let size = shown.picture.size();
            let by = shown.divisor.max(1) as f32;
            let camera = &shown.view.camera;
            let part = [camera.width as f32 / by, camera.height as f32 / by];
            match &shown.picture {
                Picture::Cpu(_) => self.blit.bind(device, queue, buffer, size, part, Behind::Nothing),
                Picture::Gpu(gpu) => self.blit.bind(device, queue, &gpu.texture, size, part, behind(shown)),
            }
        });
        let mut pass = encoder
            .begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("window"),
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: target,
                    depth_slice: None,
                    resolve_target: None,
                    ops: wgpu::Operations {
                        load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                        store: wgpu::StoreOp::Store,
                    },
                })],
                depth_stencil_attachment: None,
                timestamp_writes: None,
                occlusion_query_set: None,
                multiview_mask: None,
            })
            .forget_lifetime();
        let Viewport { x, y, width, height } = self.viewport;
        let inside = x + width <= self.size.0 && y + height <= self.size.1 && width > 0 && height > 0;
        if let Some(bound) = picture.filter(|_| inside) {
            pass.set_viewport(x as f32, y as f32, width as f32, height as f32, 0.0, 1.0);
            self.blit.draw(&mut pass, &bound);
        }
        pass.set_viewport(0.0, 0.0, self.size.0 as f32, self.size.1 as f32, 0.0, 1.0);
        self.egui.render(&mut pass, primitives, &screen);
    }
}

fn texture_error(e: pixels::TextureError) -> ViewerError {
    ViewerError::Surface(e.to_string())
}

/// What lies behind a GPU painter's picture.
fn behind(shown: &Shown) -> Behind {
    match (shown.view.background, shown.view.scene.is_radiance()) {
        (Background::Transparent, true) => Behind::Squares,
        (Background::Transparent, false) => Behind::LinearSquares,
        _ => Behind::Nothing,
    }
}

fn write(queue: &wgpu::Queue, texture: &wgpu::Texture, image: &Rgba8) {
    let (width, height) = (image.width.min(texture.width()), image.height.min(texture.height()));
    queue.write_texture(
        texture.as_image_copy(),
        &image.data,
        wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(image.width * 4), rows_per_image: None },
        wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
    );
}

/// A format of the window's surface that doesn't encode by itself, or where there is none, its first; and the adapter's
/// limits.
fn surface(window: &Arc<Window>) -> Result<(wgpu::TextureFormat, wgpu::Limits), ViewerError> {
    let instance = device::instance();
    let surface = instance.create_surface(window.clone()).map_err(|_| ViewerError::NoAdapter)?;
    let options = wgpu::RequestAdapterOptions { compatible_surface: Some(&surface), ..Default::default() };
    let adapter = pollster::block_on(instance.request_adapter(&options)).map_err(|_| ViewerError::NoAdapter)?;
    let formats = surface.get_capabilities(&adapter).formats;
    let plain =
        |f: &&wgpu::TextureFormat| matches!(f, wgpu::TextureFormat::Bgra8Unorm | wgpu::TextureFormat::Rgba8Unorm);
    let found = formats.iter().find(plain).or(formats.first());
    let found = found.copied().ok_or_else(|| ViewerError::Surface("the surface has no format".into()))?;
    Ok((found, adapter.limits()))
}
