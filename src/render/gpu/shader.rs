//! Shaders that render pixels, in the compute pipeline or in the graphics pipeline, tile by tile.

use crate::gpu::device::{Gpu, PipelineKind};
use crate::gpu::error::GpuError;

/// Pixels that a compute shader's tile has: first column and row, and one past the last, within its band.
pub(super) type Tile = [u32; 4];

/// A compiled shader.
#[derive(Clone, Debug)]
pub(super) enum Shader {
    Compute { pipeline: wgpu::ComputePipeline, tile: wgpu::Buffer, bound: wgpu::BindGroup },
    Fragment { pipeline: wgpu::RenderPipeline },
}

/// Attachment of the graphics pipeline: nothing is written there, but it sets the extent of the pixels.
#[derive(Clone, Debug)]
pub(super) struct Attachment(Option<wgpu::TextureView>);

/// The least that an attachment can be made of.
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::R8Unorm;

impl Shader {
    /// Compiles `source`, which has a function `render_pixel`, for bind groups of `layouts`.
    pub fn new(
        gpu: &Gpu,
        name: &'static str,
        source: String,
        layouts: [&wgpu::BindGroupLayout; 2],
    ) -> Result<Self, GpuError> {
        let device = gpu.device();
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let entry = match gpu.pipeline() {
            PipelineKind::Compute => nstr_shaders::COMPUTE,
            PipelineKind::Fragment => nstr_shaders::FRAGMENT,
        };
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl((source + entry).into()),
        });
        let made = match gpu.pipeline() {
            PipelineKind::Compute => Self::compute(gpu, name, &module, layouts),
            PipelineKind::Fragment => Self::fragment(device, name, &module, layouts),
        };
        match pollster::block_on(scope.pop()) {
            Some(error) => Err(GpuError::Shader { name, reason: error.to_string() }),
            None => Ok(made),
        }
    }

    fn compute(gpu: &Gpu, name: &str, module: &wgpu::ShaderModule, [a, b]: [&wgpu::BindGroupLayout; 2]) -> Self {
        let device = gpu.device();
        let tile = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("tile"),
            size: size_of::<Tile>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let tiles = gpu.layout(&[], true);
        let layout = layout(device, &[Some(a), Some(b), Some(&tiles)]);
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&layout),
            module,
            entry_point: Some("compute"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let bound = gpu.bind(&tiles, &[&tile]);
        Self::Compute { pipeline, tile, bound }
    }

    fn fragment(
        device: &wgpu::Device,
        name: &str,
        module: &wgpu::ShaderModule,
        [a, b]: [&wgpu::BindGroupLayout; 2],
    ) -> Self {
        let target = wgpu::ColorTargetState { format: FORMAT, blend: None, write_mask: wgpu::ColorWrites::empty() };
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some(name),
            layout: Some(&layout(device, &[Some(a), Some(b)])),
            vertex: wgpu::VertexState {
                module,
                entry_point: Some("corner"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                buffers: &[],
            },
            fragment: Some(wgpu::FragmentState {
                module,
                entry_point: Some("fragment"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                targets: &[Some(target)],
            }),
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            multiview_mask: None,
            cache: None,
        });
        Self::Fragment { pipeline }
    }

    /// Submits one tile of the work.
    pub fn run(&self, gpu: &Gpu, groups: [&wgpu::BindGroup; 2], target: &Attachment, tile: Tile) {
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let [x0, y0, x1, y1] = tile;
        match self {
            Self::Compute { pipeline, tile: buffer, bound } => {
                gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(&tile));
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                pass.set_pipeline(pipeline);
                (0..).zip(groups).for_each(|(i, group)| pass.set_bind_group(i, group, &[]));
                pass.set_bind_group(2, bound, &[]);
                pass.dispatch_workgroups((x1 - x0).div_ceil(8), (y1 - y0).div_ceil(8), 1);
            }
            Self::Fragment { pipeline } => {
                let Some(view) = &target.0 else { return };
                let ops = wgpu::Operations { load: wgpu::LoadOp::Load, store: wgpu::StoreOp::Discard };
                let attachment = wgpu::RenderPassColorAttachment { view, resolve_target: None, depth_slice: None, ops };
                let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                    color_attachments: &[Some(attachment)],
                    ..wgpu::RenderPassDescriptor::default()
                });
                pass.set_pipeline(pipeline);
                (0..).zip(groups).for_each(|(i, group)| pass.set_bind_group(i, group, &[]));
                pass.set_scissor_rect(x0, y0, x1 - x0, y1 - y0);
                pass.draw(0..3, 0..1);
            }
        }
        gpu.queue().submit([encoder.finish()]);
    }
}

fn layout(device: &wgpu::Device, groups: &[Option<&wgpu::BindGroupLayout>]) -> wgpu::PipelineLayout {
    let descriptor = wgpu::PipelineLayoutDescriptor { label: None, bind_group_layouts: groups, immediate_size: 0 };
    device.create_pipeline_layout(&descriptor)
}

impl Attachment {
    /// For images of a size; compute shaders need none.
    pub fn new(gpu: &Gpu, width: u32, height: u32) -> Result<Self, GpuError> {
        if gpu.pipeline() == PipelineKind::Compute {
            return Ok(Self(None));
        }
        let limit = gpu.device().limits().max_texture_dimension_2d;
        if width.max(height) > limit {
            let (bytes, limit, adapter) = (u64::from(width.max(height)), u64::from(limit), gpu.name());
            return Err(GpuError::TooLarge { what: "an image's side", bytes, limit, adapter });
        }
        let texture = gpu.device().create_texture(&wgpu::TextureDescriptor {
            label: Some("pixels"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
            view_formats: &[],
        });
        Ok(Self(Some(texture.create_view(&wgpu::TextureViewDescriptor::default()))))
    }
}
