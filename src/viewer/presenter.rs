//! Surface of the window: draws the image, and the panel over it.
//!
//! `pixels` owns device, surface and the buffer through which CPU images are uploaded; images of the GPU backend are drawn
//! from their own textures. All values are sRGB. A surface format that does not encode passes them through unchanged, and
//! text is blended as its font expects.

use std::sync::Arc;

use nstr_image::Rgba8;
use nstr_image::colour::{Background, linear_from_srgb};
use nstr_render::gpu::{Gpu, device};
use pixels::wgpu;
use pixels::{Pixels, PixelsBuilder, SurfaceTexture};
use winit::window::Window;

use crate::blit::{Backdrop, Blit};
use crate::error::ViewerError;
use crate::readback;
use crate::render_backend::{CpuPixels, GpuPixels, PixelBuffer, RenderRequest, RenderedImage};

/// Panel to draw over the image.
pub(crate) struct Overlay {
    /// The panel's triangles.
    pub primitives: Vec<egui::ClippedPrimitive>,
    /// Changes of the textures of the panel.
    pub textures: egui::TexturesDelta,
    /// Physical pixels of a point.
    pub pixels_per_point: f32,
}

/// Rectangle of the window in physical pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Viewport {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl Viewport {
    /// A rectangle without pixels.
    pub const EMPTY: Self = Self { x: 0, y: 0, width: 0, height: 0 };
}

/// Draws on a window.
pub(crate) struct Presenter {
    pixels: Pixels<'static>,
    egui: egui_wgpu::Renderer,
    blit: Blit,
    size: (u32, u32),
    /// Background before the first image.
    pub background: Background,
    /// Size of the buffer for CPU images, all of which is uploaded with each frame.
    buffer: (u32, u32),
    /// Content of the buffer; `None` before the first upload.
    uploaded: Option<Arc<CpuPixels>>,
}

impl Presenter {
    /// Opens a device for the window.
    ///
    /// # Errors
    /// [`ViewerError::NoAdapter`] without an adapter, [`ViewerError::Surface`] if the driver refuses the surface.
    pub fn new(window: Arc<Window>) -> Result<Self, ViewerError> {
        let size = window.inner_size();
        let size = (size.width.max(1), size.height.max(1));
        let (format, limits) = surface_format(&window)?;
        let surface = SurfaceTexture::new(size.0, size.1, window);
        let pixels = PixelsBuilder::new(size.0, size.1, surface)
            .wgpu_backend(device::backends())
            .texture_format(wgpu::TextureFormat::Rgba8Unorm)
            .surface_texture_format(format)
            // All that the adapter offers: fields and frames are large.
            .device_descriptor(wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() })
            .build()
            .map_err(|e| match e {
                pixels::Error::AdapterNotFound => ViewerError::NoAdapter,
                other => ViewerError::Surface(other.to_string()),
            })?;
        let options = egui_wgpu::RendererOptions { dithering: false, ..Default::default() };
        let egui = egui_wgpu::Renderer::new(pixels.device(), format, options);
        let blit = Blit::new(pixels.device(), format);
        Ok(Self { pixels, egui, blit, size, background: Background::White, buffer: size, uploaded: None })
    }

    fn device(&self) -> &wgpu::Device {
        self.pixels.device()
    }

    fn queue(&self) -> &wgpu::Queue {
        self.pixels.queue()
    }

    /// The device for renderers that share it.
    ///
    /// # Errors
    /// Devices without compute shaders.
    pub fn gpu(&self) -> Result<Gpu, ViewerError> {
        let info = self.pixels.adapter().get_info();
        Gpu::from_parts(self.device().clone(), self.queue().clone(), info)
            .map_err(|e| ViewerError::Surface(e.to_string()))
    }

    /// Name of the adapter.
    pub fn adapter(&self) -> String {
        self.pixels.adapter().get_info().name
    }

    /// Whether the adapter is a software driver, which takes CPU time from rendering.
    pub fn is_software(&self) -> bool {
        self.pixels.adapter().get_info().device_type == wgpu::DeviceType::Cpu
    }

    /// Maximum edge of a texture in pixels.
    pub fn max_side(&self) -> u32 {
        self.pixels.device().limits().max_texture_dimension_2d
    }

    /// Follows the size of the window; both above 0.
    ///
    /// # Errors
    /// Sizes that the device does not support.
    pub fn resize(&mut self, width: u32, height: u32) -> Result<(), ViewerError> {
        if (width, height) == self.size {
            return Ok(());
        }
        self.pixels.resize_surface(width, height).map_err(texture_error)?;
        self.size = (width, height);
        Ok(())
    }

    fn resize_buffer(&mut self, size: (u32, u32)) -> Result<(), ViewerError> {
        self.pixels.resize_buffer(size.0, size.1).map_err(texture_error)?;
        (self.buffer, self.uploaded) = (size, None);
        Ok(())
    }

    /// Presents the image in its viewport, and the overlay over the window.
    ///
    /// # Errors
    /// Errors of the driver.
    pub fn present(
        &mut self,
        image: Option<&RenderedImage>,
        viewport: Viewport,
        overlay: &Overlay,
    ) -> Result<(), ViewerError> {
        self.prepare(image, overlay)?;
        let Self { pixels, egui, blit, size, background, .. } = self;
        let (background, is_srgb) = (*background, pixels.surface_texture_format().is_srgb());
        let mut drawing = Drawing { egui, blit, size: *size, image, viewport, overlay, background, is_srgb };
        pixels
            .render_with(|encoder, target, context| {
                drawing.draw(encoder, target, &context.device, &context.queue, &context.texture);
                Ok(())
            })
            .map_err(|e| ViewerError::Surface(e.to_string()))?;
        self.free_textures(overlay);
        Ok(())
    }

    /// Draws what [`Self::present`] presents, and returns it.
    ///
    /// # Errors
    /// Errors of the driver.
    pub fn screenshot(
        &mut self,
        image: Option<&RenderedImage>,
        viewport: Viewport,
        overlay: &Overlay,
    ) -> Result<Rgba8, ViewerError> {
        self.prepare(image, overlay)?;
        let Self { pixels, egui, blit, size, background, .. } = self;
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
        // `pixels` uploads its buffer only when it presents.
        if let Some(PixelBuffer::Cpu(cpu)) = image.map(|i| &i.pixels) {
            write(queue, pixels.texture(), &cpu.image);
        }
        let (background, is_srgb) = (*background, format.is_srgb());
        let mut drawing = Drawing { egui, blit, size: *size, image, viewport, overlay, background, is_srgb };
        drawing.draw(&mut encoder, &view, device, queue, pixels.texture());
        queue.submit([encoder.finish()]);
        let screenshot = readback::read_texture(device, queue, &texture, *size).map_err(ViewerError::Surface)?;
        self.free_textures(overlay);
        Ok(screenshot)
    }

    /// Waits until the driver has drawn all that was presented.
    pub fn wait(&self) {
        // Fails only if the device is lost, which presenting reports.
        let _ = self.device().poll(wgpu::PollType::wait_indefinitely());
    }

    /// Copies an image of the GPU backend to memory.
    ///
    /// # Errors
    /// Errors of the driver.
    pub fn read_back(&self, pixels: &GpuPixels) -> Result<Rgba8, ViewerError> {
        readback::read_texture(self.device(), self.queue(), &pixels.texture, pixels.size).map_err(ViewerError::Surface)
    }

    /// Uploads the textures that drawing needs. Separate, as `pixels` does not call back for a hidden window.
    fn prepare(&mut self, image: Option<&RenderedImage>, overlay: &Overlay) -> Result<(), ViewerError> {
        for (id, delta) in &overlay.textures.set {
            self.egui.update_texture(self.pixels.device(), self.pixels.queue(), *id, delta);
        }
        self.upload(image)
    }

    /// Copies a CPU image to the buffer, which gets its size, unless it is there.
    fn upload(&mut self, image: Option<&RenderedImage>) -> Result<(), ViewerError> {
        let Some(PixelBuffer::Cpu(cpu)) = image.map(|i| &i.pixels) else { return Ok(()) };
        if self.uploaded.as_ref().is_some_and(|there| Arc::ptr_eq(there, cpu)) {
            return Ok(());
        }
        let (w, h) = (cpu.image.width, cpu.image.height);
        if (w, h) != self.buffer {
            self.resize_buffer((w, h))?;
        }
        self.pixels.frame_mut().copy_from_slice(&cpu.image.data);
        self.uploaded = Some(cpu.clone());
        Ok(())
    }

    fn free_textures(&mut self, overlay: &Overlay) {
        overlay.textures.free.iter().for_each(|id| self.egui.free_texture(id));
    }
}

/// Drawing of image and overlay.
struct Drawing<'a> {
    egui: &'a mut egui_wgpu::Renderer,
    blit: &'a Blit,
    size: (u32, u32),
    image: Option<&'a RenderedImage>,
    viewport: Viewport,
    overlay: &'a Overlay,
    /// Background of the area that the image will fill.
    background: Background,
    /// Whether the target encodes sRGB itself.
    is_srgb: bool,
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
        let bound = self.image.map(|image| {
            let size = image.pixels.size();
            let by = image.divisor.max(1) as f32;
            let camera = &image.request.camera;
            let visible = [camera.width as f32 / by, camera.height as f32 / by];
            match &image.pixels {
                PixelBuffer::Cpu(_) => self.blit.bind(device, queue, buffer, size, visible, backdrop(&image.request)),
                PixelBuffer::Gpu(gpu) => {
                    self.blit.bind(device, queue, &gpu.texture, size, visible, backdrop(&image.request))
                }
            }
        });
        // Seen before the first image only: the overlay covers what the image leaves.
        let [red, green, blue] = self.background.srgb().unwrap_or([0.46; 3]).map(|v| match self.is_srgb {
            true => f64::from(linear_from_srgb(v)),
            false => f64::from(v),
        });
        let mut pass = encoder
            .begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("window"),
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: target,
                    depth_slice: None,
                    resolve_target: None,
                    ops: wgpu::Operations {
                        load: wgpu::LoadOp::Clear(wgpu::Color { r: red, g: green, b: blue, a: 1.0 }),
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
        if let Some(bound) = bound.filter(|_| inside) {
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

/// Backdrop of an image of the GPU backend.
fn backdrop(request: &RenderRequest) -> Backdrop {
    match (request.background, request.scene.is_radiance()) {
        (Background::Transparent, true) => Backdrop::Chequerboard,
        (Background::Transparent, false) => Backdrop::LinearChequerboard,
        _ => Backdrop::Opaque,
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

/// Format of the window's surface, one that does not encode if there is any, and the limits of the adapter.
fn surface_format(window: &Arc<Window>) -> Result<(wgpu::TextureFormat, wgpu::Limits), ViewerError> {
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
