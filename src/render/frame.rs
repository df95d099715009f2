//! What a renderer returns: layers of one size, and what they cost.

use nstr_image::Rgba8;
use crate::layers::{Layer, LayerSet, encode_srgb};

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
    /// Rays that met a distance that is no finite number; they count as misses. In volumes, samples whose density or
    /// colour is no number; they count as empty.
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

/// Layers of a picture, rows from the top; a layer that was not asked for is empty.
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

impl Frame {
    /// A frame of misses with the given layers, of which those of the spectrum only where the field has one.
    pub(super) fn blank((width, height): (u32, u32), layers: LayerSet, spectrum_width: usize) -> Self {
        let pixels = width as usize * height as usize;
        let count = |layer: Layer| if layers.contains(layer) { pixels } else { 0 };
        let spectral = |layer: Layer| if spectrum_width > 0 { count(layer) } else { 0 };
        Self {
            width,
            height,
            colour: vec![[0.0; 4]; count(Layer::Colour)],
            alpha: vec![0.0; count(Layer::Alpha)],
            depth_ray: vec![f32::INFINITY; count(Layer::DepthRay)],
            depth_z: vec![f32::INFINITY; count(Layer::DepthZ)],
            position: vec![[0.0; 3]; count(Layer::Position)],
            normal: vec![[0.0; 3]; count(Layer::Normal)],
            curvature: vec![0.0; count(Layer::Curvature)],
            steps: vec![0.0; count(Layer::Steps)],
            grad_s: vec![0.0; spectral(Layer::GradS)],
            residual: vec![0.0; spectral(Layer::Residual)],
            spectrum: vec![0.0; count(Layer::Spectrum) * spectrum_width],
            spectrum_width,
            stats: RenderStats::default(),
        }
    }

    /// The colour layer as 8-bit sRGB with straight alpha; empty (transparent) without a colour layer.
    pub fn to_srgb(&self) -> Rgba8 {
        Rgba8::from_fn(self.width, self.height, |i| self.colour.get(i).map_or([0; 4], |c| encode_srgb(*c)))
    }
}
