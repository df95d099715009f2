//! Pipeline that draws an image texture into a viewport of the window.

use bytemuck::{Pod, Zeroable};

/// Pipeline for one target format.
pub(crate) struct Blit {
    /// Of opaque images, and of those over a chequerboard.
    pipelines: [wgpu::RenderPipeline; 2],
    layout: wgpu::BindGroupLayout,
    sampler: wgpu::Sampler,
    uniform: wgpu::Buffer,
}

/// Uniforms of `blit.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Uniforms {
    size: [f32; 2],
    visible: [f32; 2],
    /// [`Backdrop`], and padding.
    backdrop: [u32; 4],
}

/// Backdrop of the transparent parts of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backdrop {
    /// None: the image is opaque.
    Opaque = 0,
    /// Chequerboard, mixed as sRGB values.
    Chequerboard = 1,
    /// Chequerboard, mixed in linear light.
    LinearChequerboard = 2,
}

/// Image that is ready to be drawn.
pub(crate) struct BoundImage {
    group: wgpu::BindGroup,
    is_chequered: bool,
}

impl Blit {
    /// Compiles the pipeline for targets of `format`.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        let module = device.create_shader_module(wgpu::include_wgsl!("blit.wgsl"));
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty,
            count: None,
        };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("blit"),
            entries: &[
                entry(
                    0,
                    wgpu::BindingType::Texture {
                        sample_type: wgpu::TextureSampleType::Float { filterable: true },
                        view_dimension: wgpu::TextureViewDimension::D2,
                        multisampled: false,
                    },
                ),
                entry(1, wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering)),
                entry(
                    2,
                    wgpu::BindingType::Buffer {
                        ty: wgpu::BufferBindingType::Uniform,
                        has_dynamic_offset: false,
                        min_binding_size: None,
                    },
                ),
            ],
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("blit"),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = |entry_point: &str| {
            device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
                label: Some("blit"),
                layout: Some(&pipeline_layout),
                vertex: wgpu::VertexState {
                    module: &module,
                    entry_point: Some("corner"),
                    compilation_options: Default::default(),
                    buffers: &[],
                },
                primitive: wgpu::PrimitiveState::default(),
                depth_stencil: None,
                multisample: wgpu::MultisampleState::default(),
                fragment: Some(wgpu::FragmentState {
                    module: &module,
                    entry_point: Some(entry_point),
                    compilation_options: Default::default(),
                    targets: &[Some(format.into())],
                }),
                multiview_mask: None,
                cache: None,
            })
        };
        let pipelines = match format.is_srgb() {
            true => ["linear", "linear_chequered"],
            false => ["encoded", "encoded_chequered"],
        }
        .map(pipeline);
        let sampler = device.create_sampler(&wgpu::SamplerDescriptor {
            label: Some("blit"),
            mag_filter: wgpu::FilterMode::Linear,
            min_filter: wgpu::FilterMode::Linear,
            ..Default::default()
        });
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("blit"),
            size: size_of::<Uniforms>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self { pipelines, layout, sampler, uniform }
    }

    /// Image for [`Self::draw`]: the upper left `size` pixels of `texture`, of which `visible` fill the viewport.
    pub fn bind(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        texture: &wgpu::Texture,
        size: (u32, u32),
        visible: [f32; 2],
        backdrop: Backdrop,
    ) -> BoundImage {
        let size = [size.0 as f32, size.1 as f32];
        let uniforms = Uniforms { size, visible, backdrop: [backdrop as u32, 0, 0, 0] };
        queue.write_buffer(&self.uniform, 0, bytemuck::bytes_of(&uniforms));
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("blit"),
            layout: &self.layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::TextureView(&view) },
                wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::Sampler(&self.sampler) },
                wgpu::BindGroupEntry { binding: 2, resource: self.uniform.as_entire_binding() },
            ],
        });
        BoundImage { group, is_chequered: backdrop != Backdrop::Opaque }
    }

    /// Draws over the whole viewport of the pass.
    pub fn draw(&self, pass: &mut wgpu::RenderPass<'_>, bound: &BoundImage) {
        pass.set_pipeline(&self.pipelines[usize::from(bound.is_chequered)]);
        pass.set_bind_group(0, &bound.group, &[]);
        pass.draw(0..3, 0..1);
    }
}
