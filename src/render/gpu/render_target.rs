//! Render targets: the buffers of a frame, or of a band of rows of a large one.

use crate::gpu::device::Gpu;
use crate::gpu::error::GpuError;
use crate::gpu::shader::Attachment;
use crate::layers::{Layer, LayerSet};
use crate::sampling;

/// Bytes that a band's buffers may take together.
const BAND: u64 = 256 << 20;

/// Bytes of an unfinished ray; as in `shaders/view.wgsl`.
const STATE: u64 = 64;

/// Outputs that a shader is compiled to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct OutputFlags {
    /// Colour and alpha.
    pub colour: bool,
    /// Depth, normal, position, steps: the layers that are taken at the pixel's centre.
    pub layers: bool,
    /// S, ‖∇S‖ and the transport residual.
    pub spectrum: bool,
    /// Mean curvature.
    pub curvature: bool,
}

impl OutputFlags {
    pub fn new(layers: LayerSet) -> Self {
        let any = |list: &[Layer]| list.iter().any(|l| layers.contains(*l));
        Self {
            colour: layers.needs_colour(),
            layers: layers.needs_centre(),
            spectrum: any(&[Layer::Spectrum, Layer::SpectrumGradientNorm, Layer::Residual]),
            curvature: any(&[Layer::Curvature]),
        }
    }

    /// Constants of the shader.
    pub fn source(self) -> String {
        format!(
            "const OUTPUT_COLOUR = {};\nconst OUTPUT_LAYERS = {};\nconst OUTPUT_SPECTRUM = {};\nconst OUTPUT_CURVATURE = {};\n",
            self.colour, self.layers, self.spectrum, self.curvature
        )
    }
}

/// Buffers of `rows` rows from `first` of an image `width` pixels wide.
#[derive(Debug)]
pub struct RenderTarget {
    pub(super) width: u32,
    pub(super) first: u32,
    pub(super) rows: u32,
    pub(super) outputs: OutputFlags,
    pub(super) colour: wgpu::Buffer,
    pub(super) alpha: wgpu::Buffer,
    pub(super) layers: wgpu::Buffer,
    pub(super) spectrum: wgpu::Buffer,
    pub(super) shifts: wgpu::Buffer,
    pub(super) states: wgpu::Buffer,
    pub(super) unfinished: wgpu::Buffer,
    pub(super) target: Attachment,
    /// Samples whose shifts were uploaded: seed and whether there are several.
    shifted: Option<u64>,
}

/// Bytes of a pixel: colour, alpha, layers, spectrum.
fn bytes(outputs: OutputFlags, spectrum: usize) -> [u64; 4] {
    let when = |on: bool, n: u64| if on { n } else { 0 };
    [
        when(outputs.colour, 16),
        when(outputs.colour, 4),
        when(outputs.layers, 48),
        when(outputs.layers && outputs.spectrum, 4 * spectrum as u64),
    ]
}

/// Rows of a band, so that its buffers fit the device and stay moderate.
pub(super) fn band_rows(gpu: &Gpu, (width, height): (u32, u32), outputs: OutputFlags, spectrum: usize) -> u32 {
    let each = bytes(outputs, spectrum);
    let together: u64 = each.iter().sum::<u64>() + 8 + STATE;
    let largest = each.iter().copied().max().unwrap_or(1).max(STATE);
    let pixels = (BAND / together).min(gpu.largest() / largest);
    let side = u64::from(gpu.device().limits().max_texture_dimension_2d);
    (pixels / u64::from(width)).clamp(1, side.min(u64::from(height))) as u32
}

impl RenderTarget {
    pub(super) fn new(
        gpu: &Gpu,
        width: u32,
        (first, rows): (u32, u32),
        outputs: OutputFlags,
        spectrum: usize,
    ) -> Result<Self, GpuError> {
        let pixels = u64::from(width) * u64::from(rows);
        let [colour, alpha, layers, s] = bytes(outputs, spectrum).map(|b| b * pixels);
        Ok(Self {
            width,
            first,
            rows,
            outputs,
            colour: gpu.output("colour", colour)?,
            alpha: gpu.output("alpha", alpha)?,
            layers: gpu.output("layers", layers)?,
            spectrum: gpu.output("spectrum", s)?,
            shifts: gpu.output("shifts", 16)?,
            states: gpu.output("rays", STATE * pixels)?,
            unfinished: gpu.output("unfinished rays", 4)?,
            target: Attachment::new(gpu, width, rows)?,
            shifted: None,
        })
    }

    /// Uploads the sample positions of several samples a pixel.
    pub(super) fn shift(&mut self, gpu: &Gpu, samples: u32, seed: u64) -> Result<(), GpuError> {
        if samples > 1 && self.shifted != Some(seed) {
            let rows = self.first..self.first + self.rows;
            let shifts: Vec<[f32; 2]> = rows
                .flat_map(|y| (0..self.width).map(move |x| sampling::shift(x, y, seed).map(|v| v as f32)))
                .collect();
            self.shifts = gpu.upload("shifts", bytemuck::cast_slice(&shifts))?;
            self.shifted = Some(seed);
        }
        Ok(())
    }

    /// Colour as linear premultiplied RGBA, `[row][column]`, on the device.
    pub fn colour(&self) -> &wgpu::Buffer {
        &self.colour
    }

    /// Data of the pixels' centres, three words of four floats each: depth along the ray in world units (−1: nothing),
    /// cosine, steps, ‖∇S‖; normal, curvature; position in field coordinates, residual.
    pub fn layers(&self) -> &wgpu::Buffer {
        &self.layers
    }

    /// S, `[pixel][value]`.
    pub fn spectrum(&self) -> &wgpu::Buffer {
        &self.spectrum
    }
}
