//! A field's parameters on the device.

use std::sync::Arc;

use nstr_spec::FieldSpec;

use crate::gpu::device::Gpu;
use crate::gpu::error::GpuError;
use crate::gpu::program::{GridPrecision, Program};
use crate::gpu::weights::pack;

/// A field that shaders evaluate.
#[derive(Debug)]
pub struct GpuField {
    gpu: Gpu,
    program: Arc<Program>,
    precision: GridPrecision,
    net: wgpu::Buffer,
    grid: wgpu::Buffer,
    layout: wgpu::BindGroupLayout,
    bound: wgpu::BindGroup,
}

impl GpuField {
    /// Uploads a field of three coordinates; `grid` and `net` have the spec's lengths.
    ///
    /// # Errors
    /// [`GpuError::Unsupported`] for shapes that no shader can evaluate, [`GpuError::TooLarge`] for grids beyond the
    /// device's largest buffer.
    pub fn new(
        gpu: &Gpu,
        spec: &FieldSpec,
        grid: &[f32],
        net: &[f32],
        precision: GridPrecision,
    ) -> Result<Self, GpuError> {
        assert_eq!((grid.len(), net.len()), (spec.grid_len(), spec.net_len()), "parameters have the spec's lengths");
        let program = Arc::new(Program::new(spec)?);
        let packed = pack(&program, grid, net, precision);
        let (net, grid) = (gpu.upload("networks", &packed.net)?, gpu.upload("latent grid", &packed.grid)?);
        let ops = gpu.uniform("ops", bytemuck::cast_slice(&program.ops()))?;
        let layout = gpu.layout(&[false, false], true);
        let bound = gpu.bind(&layout, &[&net, &grid, &ops]);
        Ok(Self { gpu: gpu.clone(), program, precision, net, grid, layout, bound })
    }

    /// Replaces the parameters, for views of a running fit.
    pub fn update(&self, grid: &[f32], net: &[f32]) {
        let packed = pack(&self.program, grid, net, self.precision);
        self.gpu.queue().write_buffer(&self.net, 0, &packed.net);
        self.gpu.queue().write_buffer(&self.grid, 0, &packed.grid);
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Storage of its grid.
    pub fn precision(&self) -> GridPrecision {
        self.precision
    }

    /// The field's shape.
    pub fn spec(&self) -> &FieldSpec {
        self.program.spec()
    }

    /// Iterations of loops that an evaluation takes, and those that layers add.
    pub(super) fn iterations(&self) -> (usize, usize) {
        (self.program.iterations(), self.program.extra_iterations())
    }

    /// WGSL that evaluates it.
    pub(super) fn source(&self, tangents: bool) -> String {
        self.program.source(self.precision, tangents)
    }

    /// Layout of group 0, and the parameters bound to it.
    pub(super) fn group(&self) -> (&wgpu::BindGroupLayout, &wgpu::BindGroup) {
        (&self.layout, &self.bound)
    }
}
