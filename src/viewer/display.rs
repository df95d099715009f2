//! From a canvas of the GPU renderer to a texture of sRGB values, on the device.

use bytemuck::{Pod, Zeroable};
use wgpu::util::DeviceExt;

use crate::layer::Show;
use crate::painter::{GpuPicture, View};
use nstr_render::gpu::{Canvas, Gpu, colour_maps};

/// `Look` of `shaders/display.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Look {
    size: [u32; 4],
    gain: [f32; 4],
    background: [f32; 4],
    low: [f32; 4],
    high: [f32; 4],
}

/// Lowest and highest value of up to three values a pixel.
pub(super) type Ranges = [(f32, f32); 3];

/// Draws canvases.
pub(super) struct Display {
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
}

/// Format of the pictures.
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

fn entry(binding: u32, ty: wgpu::BufferBindingType) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}

impl Display {
    /// Compiles the shader.
    pub fn new(gpu: &Gpu) -> Self {
        let device = gpu.device();
        let source = colour_maps() + nstr_shaders::DISPLAY;
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("display"),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let storage = wgpu::BufferBindingType::Storage { read_only: true };
        let entries =
            [entry(0, storage), entry(1, storage), entry(2, storage), entry(3, wgpu::BufferBindingType::Uniform)];
        let layout =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("display"),
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
        Self { pipeline, layout }
    }

    /// A picture of a canvas of `size`, whose colours hold `share` of all their samples.
    pub fn draw(
        &self,
        gpu: &Gpu,
        canvas: &Canvas,
        (width, height): (u32, u32),
        view: &View,
        ranges: Ranges,
        (share, spectrum): (f32, u32),
    ) -> GpuPicture {
        let device = gpu.device();
        let srgb = view.background.srgb();
        let [r, g, b] = srgb.unwrap_or_default();
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        let [x, y, z] = ranges;
        let look = Look {
            size: [width, height, kind(view.show), spectrum],
            gain: [1.0 / share, view.exposure.exp2(), flag(view.scene.is_radiance()), flag(srgb.is_none())],
            background: [r, g, b, 1.0],
            low: [x.0, y.0, z.0, 0.0],
            high: [x.1, y.1, z.1, 0.0],
        };
        let uniform = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("look"),
            contents: bytemuck::bytes_of(&look),
            usage: wgpu::BufferUsages::UNIFORM,
        });
        let buffers = [canvas.colour(), canvas.layers(), canvas.spectrum(), &uniform];
        let entries: Vec<_> = (0u32..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let layout = &self.layout;
        let bound = device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("picture"),
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
        let target = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store };
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &target,
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
        GpuPicture { texture, size: (width, height) }
    }
}

/// Number of a kind of picture in `shaders/display.wgsl`.
fn kind(show: Show) -> u32 {
    match show {
        Show::Shaded | Show::Error => 0,
        Show::Normals => 1,
        Show::Spectrum => 2,
        Show::Curvature => 3,
        Show::Depth => 4,
        Show::Gradient => 5,
        Show::Residual => 6,
        Show::Steps => 7,
    }
}
