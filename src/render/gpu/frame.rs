//! Reading of render targets: from buffers on the device to a frame.

use glam::{DVec3, Vec3};
use nstr_space::Cube;

use crate::frame::Frame;
use crate::gpu::device::Gpu;
use crate::gpu::error::GpuError;
use crate::gpu::render_target::RenderTarget;
use crate::layers::Layer;

/// Reader of a render target of one field.
pub(super) struct Reader<'a> {
    pub render_target: &'a RenderTarget,
    /// Coordinates that positions are in.
    pub cube: Cube,
}

impl Reader<'_> {
    /// Copies the render target into its rows of the frame, those layers that the frame has.
    ///
    /// # Errors
    /// A device that fails.
    pub fn read(&self, gpu: &Gpu, frame: &mut Frame) -> Result<(), GpuError> {
        let c = self.render_target;
        let pixels = c.width as usize * c.rows as usize;
        let start = c.first as usize * c.width as usize;
        let floats = |buffer: &wgpu::Buffer, each: usize| -> Result<Vec<f32>, GpuError> {
            Ok(bytemuck::pod_collect_to_vec(&gpu.read(buffer, (pixels * each * 4) as u64)?))
        };
        if c.outputs.colour {
            if !frame.colour.is_empty() {
                frame.set(Layer::Colour, start, &floats(&c.colour, 4)?);
            }
            if !frame.alpha.is_empty() {
                frame.set(Layer::Alpha, start, &floats(&c.alpha, 1)?);
            }
        }
        if !c.outputs.layers {
            return Ok(());
        }
        let layers = floats(&c.layers, 12)?;
        for (at, pixel) in (start..).zip(layers.as_chunks::<12>().0) {
            self.pixel(pixel, at, frame);
        }
        let width = frame.spectrum_width;
        if !frame.spectrum.is_empty() && c.outputs.spectrum {
            frame.set(Layer::Spectrum, start, &floats(&c.spectrum, width)?);
        }
        Ok(())
    }

    fn pixel(&self, v: &[f32; 12], at: usize, frame: &mut Frame) {
        frame.set(Layer::Steps, at, &[v[2]]);
        let depth = v[0];
        if depth < 0.0 {
            return;
        }
        frame.stats.hits += 1;
        let position = DVec3::from(Vec3::new(v[8], v[9], v[10]));
        frame.set(Layer::DepthRay, at, &[depth]);
        frame.set(Layer::DepthZ, at, &[depth * v[1]]);
        frame.set(Layer::SpectrumGradientNorm, at, &[v[3]]);
        frame.set(Layer::Normal, at, &v[4..7]);
        frame.set(Layer::Curvature, at, &[v[7]]);
        frame.set(Layer::Position, at, &self.cube.to_world(position).as_vec3().to_array());
        frame.set(Layer::Residual, at, &[v[11]]);
    }
}
