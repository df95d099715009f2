//! From a canvas on the device to a frame.

use glam::{DVec3, Vec3};

use crate::gpu::GpuError;
use crate::gpu::canvas::Canvas;
use crate::gpu::device::Gpu;
use nstr_space::cube::UnitCube;
use crate::frame::Frame;

/// Reads a canvas of one field.
pub(super) struct Reader<'a> {
    pub canvas: &'a Canvas,
    pub cube: UnitCube,
}

impl Reader<'_> {
    /// Copies the canvas into its rows of the frame, those layers that the frame has.
    pub fn read(&self, gpu: &Gpu, frame: &mut Frame) -> Result<(), GpuError> {
        let c = self.canvas;
        let pixels = c.width as usize * c.rows as usize;
        let start = c.first as usize * c.width as usize;
        let range = start..start + pixels;
        let floats = |buffer: &wgpu::Buffer, each: usize| -> Result<Vec<f32>, GpuError> {
            Ok(bytemuck::pod_collect_to_vec(&gpu.read(buffer, (pixels * each * 4) as u64)?))
        };
        if c.wants.colour {
            if !frame.colour.is_empty() {
                let colour = floats(&c.colour, 4)?;
                frame.colour[range.clone()].copy_from_slice(bytemuck::cast_slice(&colour));
            }
            if !frame.alpha.is_empty() {
                frame.alpha[range.clone()].copy_from_slice(&floats(&c.alpha, 1)?);
            }
        }
        if !c.wants.layers {
            return Ok(());
        }
        let layers = floats(&c.layers, 12)?;
        for (at, pixel) in range.zip(layers.as_chunks::<12>().0) {
            self.pixel(pixel, at, frame);
        }
        let width = frame.spectrum_width;
        if !frame.spectrum.is_empty() && c.wants.spectrum {
            frame.spectrum[start * width..][..pixels * width].copy_from_slice(&floats(&c.spectrum, width)?);
        }
        Ok(())
    }

    fn pixel(&self, v: &[f32; 12], at: usize, frame: &mut Frame) {
        set(&mut frame.steps, at, v[2]);
        let depth = v[0];
        if depth < 0.0 {
            return;
        }
        frame.stats.hits += 1;
        set(&mut frame.depth_ray, at, depth);
        set(&mut frame.depth_z, at, depth * v[1]);
        set(&mut frame.grad_s, at, v[3]);
        set(&mut frame.normal, at, [v[4], v[5], v[6]]);
        set(&mut frame.curvature, at, v[7]);
        let position = DVec3::from(Vec3::new(v[8], v[9], v[10]));
        set(&mut frame.position, at, self.cube.to_world(position).as_vec3().to_array());
        set(&mut frame.residual, at, v[11]);
    }
}

fn set<T>(layer: &mut [T], at: usize, value: T) {
    if let Some(slot) = layer.get_mut(at) {
        *slot = value;
    }
}
