//! A field at given points, evaluated by the shader that renders it.

use glam::Vec3;

use crate::gpu::error::GpuError;
use crate::gpu::field::GpuField;
use crate::gpu::shader::{Attachment, Shader};

/// Values of the field at one point, per unit of field coordinates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PointValues {
    /// The decoder's first value: a signed distance, or a raw density.
    pub value: f32,
    /// The same by the shader's pass without derivatives.
    pub value_alone: f32,
    /// Its gradient.
    pub gradient: [f32; 3],
    /// ‖∇S‖.
    pub slope: f32,
    /// ‖∇S − F(x, S)‖.
    pub residual: f32,
    /// Red, green and blue along the direction; 0 without a view.
    pub colour: [f32; 3],
    /// S.
    pub spectrum: Vec<f32>,
}

/// Floats of a point before its spectrum; as in `shaders/evaluate.wgsl`.
const FIXED: usize = 10;
/// Points of one dispatch, and in a row of it; as in `shaders/evaluate.wgsl`.
const PART: usize = 1 << 14;
const ACROSS: u32 = 128;

/// Shader that evaluates fields at given points: all those of one [`Program::source`](crate::gpu::Program::source).
#[derive(Debug)]
pub struct PointShader {
    /// Source of the fields' programs.
    program: String,
    shader: Shader,
    layout: wgpu::BindGroupLayout,
}

impl PointShader {
    /// Compiles the shader of `field`.
    ///
    /// # Errors
    /// [`GpuError::Shader`] where the driver can't compile the field.
    pub fn new(field: &GpuField) -> Result<Self, GpuError> {
        let (gpu, program) = (field.gpu(), field.source(true));
        let layout = gpu.layout(&[false, false, true], false);
        let source = program.clone() + nstr_shaders::EVALUATE;
        let shader = Shader::new(gpu, "evaluate", source, [field.group().0, &layout])?;
        Ok(Self { program, shader, layout })
    }

    /// Everything that `field` answers at `points` (field coordinates), colours along the unit vectors `directions` (as many).
    ///
    /// # Errors
    /// [`GpuError::Lost`] where the device fails at run time.
    pub fn evaluate(
        &self,
        field: &GpuField,
        points: &[Vec3],
        directions: &[Vec3],
    ) -> Result<Vec<PointValues>, GpuError> {
        assert!(self.program == field.source(true), "a field of the shader's program");
        assert_eq!(points.len(), directions.len(), "a direction for each point");
        let gpu = field.gpu();
        let width = FIXED + field.spec().spectrum_width();
        let target = Attachment::new(gpu, ACROSS, PART as u32 / ACROSS)?;
        let mut out = Vec::with_capacity(points.len());
        for (points, directions) in points.chunks(PART).zip(directions.chunks(PART)) {
            let four = |v: &[Vec3]| v.iter().flat_map(|v| v.extend(0.0).to_array()).collect::<Vec<f32>>();
            let [x, d] = [("points", points), ("directions", directions)]
                .map(|(name, v)| gpu.upload(name, bytemuck::cast_slice(&four(v))));
            let size = (points.len() * width * 4) as u64;
            let results = gpu.output("results", size)?;
            let bound = gpu.bind(&self.layout, &[&x?, &d?, &results]);
            let rows = (points.len() as u32).div_ceil(ACROSS);
            self.shader.run(gpu, [field.group().1, &bound], &target, [0, 0, ACROSS, rows]);
            let bytes = gpu.read(&results, size)?;
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
            out.extend(values.chunks_exact(width).map(point));
        }
        Ok(out)
    }
}

fn point(v: &[f32]) -> PointValues {
    PointValues {
        value: v[0],
        value_alone: v[9],
        gradient: [v[1], v[2], v[3]],
        slope: v[4],
        residual: v[5],
        colour: [v[6], v[7], v[8]],
        spectrum: v[FIXED..].to_vec(),
    }
}
