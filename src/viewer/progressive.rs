//! Planning of the passes that refine an image, from the measured speed of earlier passes.

use std::collections::{HashMap, VecDeque};

use crate::display_mode::DisplayMode;
use crate::render_backend::{Quality, RenderRequest};

/// One rendering of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RenderPass {
    /// Requested pixels along an edge for one of the pass.
    pub divisor: u32,
    /// Samples a pixel.
    pub samples: u32,
    /// Seed of the sample positions.
    pub seed: u64,
    /// Whether the pass is finished even if a newer request has come, so that images keep coming while the camera moves.
    pub must_finish: bool,
    /// Whether its samples are averaged with those of the pass before.
    pub accumulates: bool,
}

/// Seconds that the first image of a request may take: it follows the pointer.
const FIRST_IMAGE_SECONDS: f64 = 0.05;
/// Seconds that the only image of [`Quality::LowLatency`] may take.
const LOW_LATENCY_SECONDS: f64 = 0.35;
/// Seconds that a band of rows should take.
const BAND_SECONDS: f64 = 0.03;
/// Rows of pixels that are traced together.
const BLOCK_ROWS: u32 = 8;
/// Largest divisor.
const MAX_DIVISOR: u32 = 16;
/// Rays a second before the first measurement.
const INITIAL_RAYS_PER_SECOND: f64 = 1e5;

/// Measured rays a second, by kind of field, display mode and shadows.
#[derive(Debug, Default)]
pub(crate) struct ThroughputEstimate {
    rays_per_second: HashMap<Workload, f64>,
}

/// Whether the field is a radiance field, the display mode, and whether there are shadows.
type Workload = (bool, DisplayMode, bool);

fn workload(request: &RenderRequest) -> Workload {
    (request.scene.is_radiance(), request.mode, request.shadows)
}

impl ThroughputEstimate {
    fn rays_per_second(&self, request: &RenderRequest) -> f64 {
        self.rays_per_second.get(&workload(request)).copied().unwrap_or(INITIAL_RAYS_PER_SECOND)
    }

    /// Averages a measurement in.
    pub fn update(&mut self, request: &RenderRequest, rays: f64, seconds: f64) {
        let measured = rays / seconds.max(1e-6);
        let estimate = self.rays_per_second.entry(workload(request)).or_insert(measured);
        *estimate = 0.5 * *estimate + 0.5 * measured;
    }

    /// Rows of a band of an image of `width` pixels: whole blocks of 8 rows, as many as take about [`BAND_SECONDS`]. With
    /// several samples a pixel always one block: sample positions depend on the band, and an image must not depend on speed.
    pub fn band_rows(&self, request: &RenderRequest, width: u32, samples: u32) -> u32 {
        if samples > 1 {
            return BLOCK_ROWS;
        }
        let rows = self.rays_per_second(request) * BAND_SECONDS / f64::from(width);
        (rows / f64::from(BLOCK_ROWS)).clamp(1.0, 512.0) as u32 * BLOCK_ROWS
    }

    /// Divisor at which a pass of one sample takes `seconds` at most.
    fn divisor(&self, request: &RenderRequest, seconds: f64) -> u32 {
        let pixels = f64::from(request.camera.width) * f64::from(request.camera.height);
        let least = (pixels / (self.rays_per_second(request) * seconds)).sqrt().ceil();
        (least as u32).clamp(1, MAX_DIVISOR)
    }
}

/// Passes that a request still needs.
#[derive(Debug)]
pub(crate) struct ProgressivePlan(VecDeque<RenderPass>);

impl ProgressivePlan {
    /// All passes of a request. `replaces`: the image on the screen is of the same camera and layer but an older field, and
    /// should not become coarser.
    pub fn new(request: &RenderRequest, speed: &ThroughputEstimate, replaces: bool) -> Self {
        let low_latency = speed.divisor(request, LOW_LATENCY_SECONDS);
        let divisor = if replaces { low_latency } else { speed.divisor(request, FIRST_IMAGE_SECONDS) };
        let first = RenderPass { divisor, samples: 1, seed: 0, must_finish: true, accumulates: false };
        let mut passes = VecDeque::from([first]);
        passes.extend(finer_passes(divisor, request, low_latency));
        passes.extend(sample_passes(request, 0));
        Self(passes)
    }

    /// Passes of a request after the pass `last`, with `count` samples a pixel so far.
    pub fn after(last: RenderPass, count: u32, request: &RenderRequest, speed: &ThroughputEstimate) -> Self {
        let done = if last.divisor > 1 || count == 1 { 0 } else { count };
        let finer = finer_passes(last.divisor, request, speed.divisor(request, LOW_LATENCY_SECONDS));
        Self(finer.into_iter().chain(sample_passes(request, done)).collect())
    }

    /// Takes the next pass.
    pub fn next_pass(&mut self) -> Option<RenderPass> {
        self.0.pop_front()
    }
}

/// Passes of one sample from below `divisor` to full resolution, or to `low_latency` for [`Quality::LowLatency`].
fn finer_passes(divisor: u32, request: &RenderRequest, low_latency: u32) -> Vec<RenderPass> {
    let target = if request.quality == Quality::LowLatency { low_latency } else { 1 };
    let mut passes = Vec::new();
    let mut divisor = divisor;
    while divisor > target {
        divisor = if divisor <= 3 { 1 } else { divisor.div_ceil(2) }.max(target);
        passes.push(RenderPass { divisor, samples: 1, seed: 0, must_finish: false, accumulates: false });
    }
    passes
}

/// Passes of several samples at full resolution, after `done` samples.
fn sample_passes(request: &RenderRequest, done: u32) -> Vec<RenderPass> {
    let Quality::Full(target) = request.quality else { return Vec::new() };
    if target <= 1 || !request.mode.multisamples() {
        return Vec::new();
    }
    let each = if request.scene.is_radiance() { 2 } else { 4 };
    let pass =
        |k: u32| RenderPass { divisor: 1, samples: each, seed: u64::from(k), must_finish: false, accumulates: k > 0 };
    (done / each..target.div_ceil(each)).map(pass).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use glam::{DMat4, Vec3};
    use nstr_camera::camera::Camera;
    use nstr_space::Cube;
    use nstr_space::analytic::{AnalyticSdf, sphere};

    use super::*;
    use crate::scene::{Scene, SceneField};

    fn request(quality: Quality) -> RenderRequest {
        let sphere = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
        let scene = Arc::new(Scene::new(SceneField::Sdf(Arc::new(sphere)), Cube::default()));
        RenderRequest::shaded(scene, Camera::with_fov_y(800, 600, 40.0, DMat4::IDENTITY).unwrap(), quality)
    }

    fn all(mut plan: ProgressivePlan) -> Vec<RenderPass> {
        std::iter::from_fn(|| plan.next_pass()).collect()
    }

    #[test]
    fn passes_are_refined_to_full_resolution_and_all_samples() {
        let speed = ThroughputEstimate::default();
        let passes = all(ProgressivePlan::new(&request(Quality::Full(16)), &speed, false));
        assert!(passes[0].must_finish && passes[0].divisor > 4 && passes[1..].iter().all(|p| !p.must_finish));
        assert!(passes.windows(2).all(|w| w[0].divisor >= w[1].divisor));
        let fine: Vec<&RenderPass> = passes.iter().filter(|p| p.samples > 1).collect();
        assert_eq!(fine.iter().map(|p| p.samples).sum::<u32>(), 16);
        assert!(!fine[0].accumulates && fine[1..].iter().all(|p| p.accumulates));
        assert!(fine.windows(2).all(|w| w[0].seed != w[1].seed));
        // Continuing after any pass gives the rest.
        let mut count = 0;
        for (i, pass) in passes.iter().enumerate() {
            count = if pass.accumulates { count + pass.samples } else { pass.samples };
            let rest = ProgressivePlan::after(*pass, count, &request(Quality::Full(16)), &speed);
            assert_eq!(all(rest), passes[i + 1..]);
        }
        let depth = RenderRequest { mode: DisplayMode::Depth, ..request(Quality::Full(16)) };
        let depth = all(ProgressivePlan::new(&depth, &speed, false));
        assert_eq!(depth.last().map(|p| (p.divisor, p.samples)), Some((1, 1)));
    }

    #[test]
    fn a_fast_machine_needs_no_coarse_pass() {
        let mut speed = ThroughputEstimate::default();
        speed.update(&request(Quality::Full(1)), 1e9, 1.0);
        assert_eq!(all(ProgressivePlan::new(&request(Quality::Full(1)), &speed, false)).len(), 1);
    }

    #[test]
    fn snapshots_of_a_field_in_training_do_not_flicker() {
        let speed = ThroughputEstimate::default();
        let moved = all(ProgressivePlan::new(&request(Quality::LowLatency), &speed, false));
        let replaced = all(ProgressivePlan::new(&request(Quality::LowLatency), &speed, true));
        assert_eq!(replaced.len(), 1);
        assert_eq!(moved.last().map(|p| p.divisor), replaced.last().map(|p| p.divisor));
        assert!(moved[0].divisor > replaced[0].divisor);
    }
}
