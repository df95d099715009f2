//! Tone mapping on the device: from a render target of the GPU renderer to a texture of sRGB values.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use glam::DVec3;
use nstr_camera::camera::Camera;
use nstr_render::BACKDROP_SRGB;
use nstr_render::gpu::{Gpu, RenderTarget, colormap_source};
use nstr_render::ground_shadow::{GroundShadow, PLACES, SLANT, STRENGTH};
use wgpu::util::DeviceExt;

use crate::display_mode::DisplayMode;
use crate::render_backend::{GpuPixels, RenderRequest};
use crate::tonemap::ColourRanges;

/// Uniforms of `shaders/display.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Uniforms {
    size: [u32; 4],
    gain: [f32; 4],
    background: [f32; 4],
    ground: [f32; 4],
    low: [f32; 4],
    high: [f32; 4],
    eye: [f32; 4],
    base: [f32; 4],
    across: [f32; 4],
    down: [f32; 4],
    grid: [f32; 4],
}

/// Pipeline that tone maps render targets.
pub(crate) struct GpuTonemapper {
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    ground: GroundBuffer,
}

/// The grid of a ground's shadow on the device, uploaded when the ground changes.
#[derive(Default)]
struct GroundBuffer(Option<(Option<Arc<GroundShadow>>, wgpu::Buffer)>);

impl GroundBuffer {
    /// The hidden shares of `ground`; without one a few zeros, since a binding cannot be empty.
    fn of(&mut self, device: &wgpu::Device, ground: Option<&Arc<GroundShadow>>) -> &wgpu::Buffer {
        // Held as long as its buffer, so that no other ground can come to have its address.
        let is_kept =
            |(known, _): &(Option<Arc<GroundShadow>>, _)| known.as_ref().map(Arc::as_ptr) == ground.map(Arc::as_ptr);
        let kept = self.0.take().filter(is_kept);
        let (_, buffer) = self.0.insert(kept.unwrap_or_else(|| {
            let buffer = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some("ground"),
                contents: bytemuck::cast_slice(ground.map_or(&[0.0; 4][..], |ground| ground.grid().2)),
                usage: wgpu::BufferUsages::STORAGE,
            });
            (ground.cloned(), buffer)
        }));
        buffer
    }
}

/// Format of the images.
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

fn entry(binding: u32, ty: wgpu::BufferBindingType) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}

impl GpuTonemapper {
    /// Compiles the shader.
    pub fn new(gpu: &Gpu) -> Self {
        let device = gpu.device();
        let source = colormap_source() + nstr_shaders::DISPLAY;
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("tonemap"),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let storage = wgpu::BufferBindingType::Storage { read_only: true };
        let uniform = wgpu::BufferBindingType::Uniform;
        let kinds = [storage, storage, storage, uniform, storage];
        let entries: Vec<_> = (0..).zip(kinds).map(|(binding, kind)| entry(binding, kind)).collect();
        let layout =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("tonemap"),
            layout: Some(&pipeline_layout),
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("corner"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                buffers: &[],
            },
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("display"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                targets: &[Some(FORMAT.into())],
            }),
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            multiview_mask: None,
            cache: None,
        });
        Self { pipeline, layout, ground: GroundBuffer::default() }
    }

    /// Image of a render target of what `camera` sees, whose colours hold the fraction `share` of all their samples;
    /// `spectrum` is the width of S.
    pub fn draw(
        &mut self,
        gpu: &Gpu,
        target: &RenderTarget,
        camera: &Camera,
        request: &RenderRequest,
        ranges: ColourRanges,
        (share, spectrum): (f32, u32),
    ) -> GpuPixels {
        let device = gpu.device();
        let srgb = request.background.srgb();
        let (width, height) = (camera.width, camera.height);
        let backdrop = request.backdrop();
        let ground = backdrop.as_ref().and_then(|backdrop| backdrop.ground());
        let is_graded = request.has_backdrop && request.mode == DisplayMode::Shaded;
        let srgb = if is_graded { Some(BACKDROP_SRGB.0) } else { srgb };
        let ([r, g, b], [gr, gg, gb]) = (srgb.unwrap_or_default(), BACKDROP_SRGB.1);
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        let [x, y, z] = ranges;
        let uniforms = Uniforms {
            size: [width, height, shader_mode(request.mode), spectrum],
            gain: [1.0 / share, request.exposure.exp2(), flag(request.scene.is_radiance()), flag(srgb.is_none())],
            background: [r, g, b, flag(is_graded)],
            ground: [gr, gg, gb, 1.0],
            low: [x.0, y.0, z.0, 0.0],
            high: [x.1, y.1, z.1, 0.0],
            ..ground.map_or(Uniforms::zeroed(), |ground| of_ground(ground, camera))
        };
        let uniform = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("tonemap"),
            contents: bytemuck::bytes_of(&uniforms),
            usage: wgpu::BufferUsages::UNIFORM,
        });
        let hidden = self.ground.of(device, ground);
        let buffers = [target.colour(), target.layers(), target.spectrum(), &uniform, hidden];
        let entries: Vec<_> = (0u32..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let layout = &self.layout;
        let bound = device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("image"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT
                | wgpu::TextureUsages::TEXTURE_BINDING
                | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let output = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store };
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &output,
                resolve_target: None,
                depth_slice: None,
                ops,
            })],
            ..wgpu::RenderPassDescriptor::default()
        });
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &bound, &[]);
        pass.draw(0..3, 0..1);
        drop(pass);
        gpu.queue().submit([encoder.finish()]);
        GpuPixels { texture, size: (width, height) }
    }
}

/// The ground's part of the uniforms; all 0 where the camera is below it.
fn of_ground(ground: &GroundShadow, camera: &Camera) -> Uniforms {
    let Some(view) = ground.view(camera) else { return Uniforms::zeroed() };
    let ([u, v], above) = (view.eye, view.above);
    let ([low_u, low_v], [size_u, size_v], _) = ground.grid();
    let four = |v: DVec3, w: f32| v.as_vec3().extend(w).to_array();
    Uniforms {
        eye: [u, v, above, 1.0],
        base: four(view.base, STRENGTH),
        across: four(view.across, SLANT),
        down: four(view.down, PLACES as f32),
        grid: [low_u, low_v, size_u, size_v],
        ..Uniforms::zeroed()
    }
}

/// Number of a display mode in `shaders/display.wgsl`.
fn shader_mode(mode: DisplayMode) -> u32 {
    match mode {
        DisplayMode::Shaded | DisplayMode::Error => 0,
        DisplayMode::Normals => 1,
        DisplayMode::Spectrum => 2,
        DisplayMode::Curvature => 3,
        DisplayMode::Depth => 4,
        DisplayMode::Gradient => 5,
        DisplayMode::Residual => 6,
        DisplayMode::Steps => 7,
    }
}

#[cfg(test)]
mod tests {
    use glam::Vec3;
    use nstr_render::cpu::SoftLightData;
    use nstr_render::gpu::testing::adapter;
    use nstr_space::Cube;
    use nstr_space::analytic::{AnalyticSdf, sphere};

    use super::*;

    #[test]
    fn a_ground_is_uploaded_once() {
        let Some(gpu) = adapter() else { return };
        let ground = |radius: f32| {
            let ball = AnalyticSdf::new(1.0, move |p| sphere(p, Vec3::splat(0.5), radius));
            SoftLightData::new(&ball, 24).ground(Cube::default(), Vec3::Y).unwrap()
        };
        let (first, second) = (ground(0.2), ground(0.3));
        let mut buffer = GroundBuffer::default();
        let mut of = |ground| buffer.of(gpu.device(), ground).clone();
        let uploaded = of(Some(&first));
        assert_eq!(uploaded.size(), size_of_val(first.grid().2) as u64);
        assert!(of(Some(&first)) == uploaded, "the same ground again");
        let other = of(Some(&second));
        assert!(other != uploaded && of(Some(&second)) == other);
        // None is a ground too, with a buffer of its own.
        let empty = of(None);
        assert!(empty.size() < 64 && of(None) == empty && of(Some(&first)) != uploaded);
    }
}
