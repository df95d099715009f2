//! Rendered frames: layers of one size, and counts of the work.

use crate::layers::{Layer, LayerSet};

/// Counts and time of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RenderStats {
    /// Camera rays traced, all samples together.
    pub rays: u64,
    /// Camera rays that hit; in volumes, that the object covers by 1 % or more.
    pub hits: u64,
    /// Evaluations of the field, distance or density, on camera rays.
    pub evals: u64,
    /// Distance evaluations of shadow and ambient occlusion.
    pub secondary_evals: u64,
    /// Evaluations of distance or density with gradient.
    pub gradient_evals: u64,
    /// Evaluations of the spectrum.
    pub spectrum_evals: u64,
    /// Rays that reached the limit of steps and were decided by their last distance.
    pub exhausted: u64,
    /// Camera rays through a volume that ended early, as no more than the least transmittance was left.
    pub saturated: u64,
    /// Rays that met a distance that is not finite; they count as misses. In volumes, samples whose density or
    /// colour is NaN or infinite; they count as empty.
    pub invalid: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
}

impl RenderStats {
    /// Adds the counts of another part of the frame (not its time).
    pub fn add(&mut self, other: &Self) {
        self.rays += other.rays;
        self.hits += other.hits;
        self.evals += other.evals;
        self.secondary_evals += other.secondary_evals;
        self.gradient_evals += other.gradient_evals;
        self.spectrum_evals += other.spectrum_evals;
        self.exhausted += other.exhausted;
        self.saturated += other.saturated;
        self.invalid += other.invalid;
    }

    /// Evaluations of the field per camera ray.
    pub fn evals_per_ray(&self) -> f64 {
        self.evals as f64 / self.rays.max(1) as f64
    }
}

/// Layers of an image, rows from the top; a layer that was not asked for is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// Pixels along x.
    pub width: u32,
    /// Pixels along y.
    pub height: u32,
    /// Linear premultiplied RGBA over the background.
    pub colour: Vec<[f32; 4]>,
    /// Coverage by the object, whatever the background.
    pub alpha: Vec<f32>,
    /// Distance along the ray, world units, +∞ for misses. In volumes the expected distance at which light is stopped, given
    /// that it is, and a miss is a pixel covered by less than 1 %.
    pub depth_ray: Vec<f32>,
    /// Distance along the viewing axis, world units, +∞ for misses.
    pub depth_z: Vec<f32>,
    /// World position at that depth, 0 for misses.
    pub position: Vec<[f32; 3]>,
    /// World normal towards the viewer, 0 for misses. In volumes the mean direction in which density falls.
    pub normal: Vec<[f32; 3]>,
    /// Mean curvature of the level set at that depth per world unit, positive where convex, 0 for misses.
    pub curvature: Vec<f32>,
    /// Field evaluations of the centre ray.
    pub steps: Vec<f32>,
    /// ‖∇S‖ per unit of field coordinates, 0 for misses.
    pub grad_s: Vec<f32>,
    /// ‖∇S − F(x, S)‖ per unit of field coordinates, 0 for misses; empty where the field has no spectrum.
    pub residual: Vec<f32>,
    /// S, `[pixel][spectrum_width]`, 0 for misses.
    pub spectrum: Vec<f32>,
    /// Values of S a pixel; 0 where the field has none.
    pub spectrum_width: usize,
    /// Counts and time.
    pub stats: RenderStats,
}

/// Buffer of a layer, by the number of values a pixel.
enum LayerBuffer<'a> {
    /// One value a pixel, or a row of the spectrum.
    Values(&'a mut Vec<f32>),
    /// x, y, z.
    Vectors(&'a mut Vec<[f32; 3]>),
    /// Red, green, blue, alpha.
    Colours(&'a mut Vec<[f32; 4]>),
}

impl<'a> LayerBuffer<'a> {
    /// Gives the buffer `pixels` pixels of `channels` values, all `value`.
    fn fill(self, pixels: usize, channels: usize, value: f32) {
        match self {
            Self::Values(buffer) => *buffer = vec![value; pixels * channels],
            Self::Vectors(buffer) => *buffer = vec![[value; 3]; pixels],
            Self::Colours(buffer) => *buffer = vec![[value; 4]; pixels],
        }
    }

    fn values(self) -> &'a mut [f32] {
        match self {
            Self::Values(buffer) => buffer,
            Self::Vectors(buffer) => buffer.as_flattened_mut(),
            Self::Colours(buffer) => buffer.as_flattened_mut(),
        }
    }

    fn append(self, values: &[f32]) {
        match self {
            Self::Values(buffer) => buffer.extend_from_slice(values),
            Self::Vectors(buffer) => buffer.extend_from_slice(values.as_chunks().0),
            Self::Colours(buffer) => buffer.extend_from_slice(values.as_chunks().0),
        }
    }
}

impl Frame {
    /// A frame of misses with the given layers, of which those of the spectrum only where the field has one.
    pub(crate) fn blank((width, height): (u32, u32), layers: LayerSet, spectrum_width: usize) -> Self {
        let pixels = width as usize * height as usize;
        let mut frame = Self { width, height, spectrum_width, ..Self::default() };
        for layer in layers.iter().filter(|layer| spectrum_width > 0 || !layer.is_spectral()) {
            let miss = if matches!(layer, Layer::DepthRay | Layer::DepthZ) { f32::INFINITY } else { 0.0 };
            let channels = frame.channels(layer);
            frame.buffer(layer).fill(pixels, channels, miss);
        }
        frame
    }

    /// Values a pixel of a layer.
    pub fn channels(&self, layer: Layer) -> usize {
        match layer {
            Layer::Colour => 4,
            Layer::Position | Layer::Normal => 3,
            Layer::Spectrum => self.spectrum_width,
            _ => 1,
        }
    }

    /// Values of a layer, `[pixel][channel]`; empty where the frame lacks it.
    pub fn values(&self, layer: Layer) -> &[f32] {
        match layer {
            Layer::Colour => self.colour.as_flattened(),
            Layer::Alpha => &self.alpha,
            Layer::DepthRay => &self.depth_ray,
            Layer::DepthZ => &self.depth_z,
            Layer::Position => self.position.as_flattened(),
            Layer::Normal => self.normal.as_flattened(),
            Layer::Curvature => &self.curvature,
            Layer::Steps => &self.steps,
            Layer::SpectrumGradientNorm => &self.grad_s,
            Layer::Residual => &self.residual,
            Layer::Spectrum => &self.spectrum,
        }
    }

    fn buffer(&mut self, layer: Layer) -> LayerBuffer<'_> {
        match layer {
            Layer::Colour => LayerBuffer::Colours(&mut self.colour),
            Layer::Alpha => LayerBuffer::Values(&mut self.alpha),
            Layer::DepthRay => LayerBuffer::Values(&mut self.depth_ray),
            Layer::DepthZ => LayerBuffer::Values(&mut self.depth_z),
            Layer::Position => LayerBuffer::Vectors(&mut self.position),
            Layer::Normal => LayerBuffer::Vectors(&mut self.normal),
            Layer::Curvature => LayerBuffer::Values(&mut self.curvature),
            Layer::Steps => LayerBuffer::Values(&mut self.steps),
            Layer::SpectrumGradientNorm => LayerBuffer::Values(&mut self.grad_s),
            Layer::Residual => LayerBuffer::Values(&mut self.residual),
            Layer::Spectrum => LayerBuffer::Values(&mut self.spectrum),
        }
    }

    /// Sets the values of pixels from `first` on, where the frame has the layer; `values` are those of whole pixels.
    pub(crate) fn set(&mut self, layer: Layer, first: usize, values: &[f32]) {
        let at = first * self.channels(layer);
        let buffer = self.buffer(layer).values();
        if !buffer.is_empty() {
            buffer[at..at + values.len()].copy_from_slice(values);
        }
    }

    /// Appends the rows of a frame of the same width and layers below these, and adds its counts.
    pub fn append_rows(&mut self, below: &Self) {
        self.height += below.height;
        for layer in Layer::ALL {
            self.buffer(layer).append(below.values(layer));
        }
        self.stats.add(&below.stats);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_rows_keep_every_layer() {
        let blank = |rows| Frame::blank((3, rows), LayerSet::all(), 2);
        let (mut whole, mut part) = (blank(2), blank(1));
        for (i, layer) in Layer::ALL.into_iter().enumerate() {
            let values = vec![i as f32 + 0.5; 3 * part.channels(layer)];
            part.set(layer, 0, &values);
        }
        whole.append_rows(&part);
        assert_eq!((whole.width, whole.height), (3, 3));
        for (i, layer) in Layer::ALL.into_iter().enumerate() {
            let k = whole.channels(layer);
            let values = whole.values(layer);
            assert_eq!(values.len(), 9 * k, "{layer}");
            assert!(values[6 * k..].iter().all(|v| *v == i as f32 + 0.5), "{layer}");
        }
    }

    #[test]
    fn fields_without_a_spectrum_have_no_spectral_layers() {
        let frame = Frame::blank((2, 2), LayerSet::all(), 0);
        assert!(Layer::ALL.into_iter().all(|l| frame.values(l).is_empty() == l.is_spectral()));
        assert_eq!(frame.depth_ray, [f32::INFINITY; 4]);
    }
}
