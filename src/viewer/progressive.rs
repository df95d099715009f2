//! Planning of the passes that refine an image, from the measured speed of earlier passes.

use std::collections::{HashMap, VecDeque};

use nstr_render::Look;

use crate::display_mode::DisplayMode;
use crate::render_backend::{Quality, RenderRequest};

/// One rendering of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RenderPass {
    /// Requested pixels along an edge for one of the pass.
    pub divisor: u32,
    /// Samples a pixel; more than one refine the edges of the pass before.
    pub samples: u32,
    /// Whether the pass is finished even if a newer request has come, so that images keep coming while the camera moves.
    pub must_finish: bool,
    /// Whether the field's preview is rendered in its place.
    pub preview: bool,
}

/// Seconds that the first image of a request may take: it follows the pointer.
const FIRST_IMAGE_SECONDS: f64 = 0.05;
/// The same of a preview's image: thirty a second, together with presenting them.
const FIRST_PREVIEW_SECONDS: f64 = 0.018;
/// Seconds that the second image of a preview may take, once the camera rests.
const SECOND_PREVIEW_SECONDS: f64 = 0.12;
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
/// The same of previews.
const INITIAL_PREVIEW_RAYS_PER_SECOND: f64 = 2e6;

/// Measured rays a second, by kind of field, display mode and shadows.
#[derive(Debug, Default)]
pub(crate) struct ThroughputEstimate {
    rays_per_second: HashMap<Workload, f64>,
}

/// Whether the field is a radiance field, the display mode, the look and whether its shadows are exact, and whether it is a preview.
type Workload = (bool, DisplayMode, (Look, bool), bool);

fn workload(request: &RenderRequest, preview: bool) -> Workload {
    (request.scene.is_radiance(), request.mode, (request.look, request.shadows), preview)
}

impl ThroughputEstimate {
    fn rays_per_second(&self, request: &RenderRequest, preview: bool) -> f64 {
        let initial = if preview { INITIAL_PREVIEW_RAYS_PER_SECOND } else { INITIAL_RAYS_PER_SECOND };
        self.rays_per_second.get(&workload(request, preview)).copied().unwrap_or(initial)
    }

    /// Averages a measurement of a pass of one sample in.
    pub fn update(&mut self, request: &RenderRequest, preview: bool, rays: f64, seconds: f64) {
        let measured = rays / seconds.max(1e-6);
        let estimate = self.rays_per_second.entry(workload(request, preview)).or_insert(measured);
        *estimate = 0.5 * *estimate + 0.5 * measured;
    }

    /// Rows of a band of an image of `width` pixels: whole blocks of 8 rows, as many as take about [`BAND_SECONDS`]. At full
    /// resolution always as many: a ray's last bits may depend on its place in the band, and an image must not depend on speed.
    pub fn band_rows(&self, request: &RenderRequest, width: u32, pass: RenderPass) -> u32 {
        if pass.divisor == 1 && !pass.preview {
            return if request.scene.is_radiance() { BLOCK_ROWS } else { 2 * BLOCK_ROWS };
        }
        let rows = self.rays_per_second(request, pass.preview) * BAND_SECONDS / f64::from(width);
        (rows / f64::from(BLOCK_ROWS)).clamp(1.0, 512.0) as u32 * BLOCK_ROWS
    }

    /// Divisor at which a pass of one sample takes `seconds` at most.
    fn divisor(&self, request: &RenderRequest, preview: bool, seconds: f64) -> u32 {
        let pixels = f64::from(request.camera.width) * f64::from(request.camera.height);
        let least = (pixels / (self.rays_per_second(request, preview) * seconds)).sqrt().ceil();
        (least as u32).clamp(1, MAX_DIVISOR)
    }
}

/// Share of a picture's pixels that lie at edges, before they are counted.
const EDGE_SHARE: f64 = 0.1;

/// Passes that a request still needs, and the share of all its work that is done.
#[derive(Debug)]
pub(crate) struct ProgressivePlan {
    passes: VecDeque<RenderPass>,
    /// The pass that was taken last.
    current: Option<RenderPass>,
    /// Work of the passes before it.
    done: f64,
    /// Time of a ray through the preview, as a share of one through the field.
    preview_cost: f64,
    /// Share of the pixels that a pass of several samples renders.
    sampled_share: f64,
}

impl ProgressivePlan {
    /// All passes of a request. `replaces`: the image on the screen is of the same camera and layer but an older field, and
    /// should not become coarser. `preview`: the field has one.
    pub fn new(request: &RenderRequest, speed: &ThroughputEstimate, replaces: bool, preview: bool) -> Self {
        let low_latency = speed.divisor(request, false, LOW_LATENCY_SECONDS);
        let mut passes = VecDeque::new();
        if preview {
            let coarse = speed.divisor(request, true, FIRST_PREVIEW_SECONDS);
            let fine = speed.divisor(request, true, SECOND_PREVIEW_SECONDS);
            passes.push_back(RenderPass { divisor: coarse, samples: 1, must_finish: true, preview: true });
            if fine < coarse {
                passes.push_back(RenderPass { divisor: fine, samples: 1, must_finish: false, preview: true });
            }
            let last = if request.quality == Quality::LowLatency { low_latency } else { 1 };
            passes.push_back(RenderPass { divisor: last, samples: 1, must_finish: false, preview: false });
        } else {
            let divisor = if replaces { low_latency } else { speed.divisor(request, false, FIRST_IMAGE_SECONDS) };
            passes.push_back(RenderPass { divisor, samples: 1, must_finish: true, preview: false });
            passes.extend(finer_passes(divisor, request, low_latency));
        }
        passes.extend(edge_pass(request));
        Self::of(passes, request, speed)
    }

    /// Passes of a request after the pass `last`.
    pub fn after(last: RenderPass, request: &RenderRequest, speed: &ThroughputEstimate) -> Self {
        let low_latency = speed.divisor(request, false, LOW_LATENCY_SECONDS);
        let mut passes = VecDeque::new();
        match last.preview {
            true => {
                let divisor = if request.quality == Quality::LowLatency { low_latency } else { 1 };
                passes.push_back(RenderPass { divisor, samples: 1, must_finish: false, preview: false });
            }
            false => passes.extend(finer_passes(last.divisor, request, low_latency)),
        }
        let refined = edge_pass(request).filter(|edges| *edges != last);
        passes.extend(refined);
        Self::of(passes, request, speed)
    }

    fn of(passes: VecDeque<RenderPass>, request: &RenderRequest, speed: &ThroughputEstimate) -> Self {
        let preview_cost = speed.rays_per_second(request, false) / speed.rays_per_second(request, true).max(1e-300);
        Self { passes, current: None, done: 0.0, preview_cost, sampled_share: EDGE_SHARE }
    }

    /// The same plan of a renderer that takes all samples of every pixel, where it takes several, and does so only where
    /// `multisamples`.
    pub fn of_all_pixels(mut self, multisamples: bool) -> Self {
        self.passes.retain(|pass| pass.samples == 1 || multisamples);
        Self { sampled_share: 1.0, ..self }
    }

    /// Takes the next pass.
    pub fn next_pass(&mut self) -> Option<RenderPass> {
        self.done += self.current.map_or(0.0, |pass| self.work(pass));
        self.current = self.passes.pop_front();
        self.current
    }

    /// Share of all the work up to the final picture that is done, 0 to 1, with the fraction `of_pass` of the pass that was taken
    /// last.
    pub fn progress(&self, of_pass: f32) -> f32 {
        let current = self.current.map_or(0.0, |pass| self.work(pass));
        let rest: f64 = self.passes.iter().map(|pass| self.work(*pass)).sum();
        let done = self.done + f64::from(of_pass.clamp(0.0, 1.0)) * current;
        (done / (self.done + current + rest).max(1e-300)) as f32
    }

    /// Work of a pass, in rays through the field for each pixel of the final picture.
    fn work(&self, pass: RenderPass) -> f64 {
        let pixels = f64::from(pass.divisor).powi(-2);
        match (pass.preview, pass.samples) {
            (true, _) => pixels * self.preview_cost,
            (false, 1) => pixels,
            (false, samples) => pixels * f64::from(samples) * self.sampled_share,
        }
    }
}

/// Passes of one sample from below `divisor` to full resolution, or to `low_latency` for [`Quality::LowLatency`].
fn finer_passes(divisor: u32, request: &RenderRequest, low_latency: u32) -> Vec<RenderPass> {
    let target = if request.quality == Quality::LowLatency { low_latency } else { 1 };
    let mut passes = Vec::new();
    let mut divisor = divisor;
    while divisor > target {
        divisor = if divisor <= 3 { 1 } else { divisor.div_ceil(2) }.max(target);
        passes.push(RenderPass { divisor, samples: 1, must_finish: false, preview: false });
    }
    passes
}

/// The pass of several samples at full resolution, if there is one. Volumes are soft: half of the samples are enough.
pub(crate) fn edge_pass(request: &RenderRequest) -> Option<RenderPass> {
    let Quality::Full(samples) = request.quality else { return None };
    let samples = if request.scene.is_radiance() { samples.div_ceil(2) } else { samples };
    let wanted = samples > 1 && request.mode.multisamples();
    wanted.then_some(RenderPass { divisor: 1, samples, must_finish: false, preview: false })
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
        for preview in [false, true] {
            let passes = all(ProgressivePlan::new(&request(Quality::Full(16)), &speed, false, preview));
            assert!(passes[0].must_finish && passes[0].divisor > 1 && passes[1..].iter().all(|p| !p.must_finish));
            assert!(passes.windows(2).all(|w| w[0].divisor >= w[1].divisor));
            assert_eq!(passes[0].preview, preview);
            let end = passes.last_chunk::<2>().unwrap();
            assert_eq!(end.map(|p| (p.divisor, p.samples, p.preview)), [(1, 1, false), (1, 16, false)]);
            // Continuing after any pass gives the rest; after a preview at once the field itself.
            for (i, pass) in passes.iter().enumerate() {
                let rest = all(ProgressivePlan::after(*pass, &request(Quality::Full(16)), &speed));
                let expected = if pass.preview { &end[..] } else { &passes[i + 1..] };
                assert_eq!(rest, expected);
            }
        }
        let steps = RenderRequest { mode: DisplayMode::Steps, ..request(Quality::Full(16)) };
        let steps = all(ProgressivePlan::new(&steps, &speed, false, false));
        assert_eq!(steps.last().map(|p| (p.divisor, p.samples)), Some((1, 1)));
    }

    #[test]
    fn progress_is_that_of_the_final_picture() {
        let speed = ThroughputEstimate::default();
        for (preview, all_pixels) in [(false, false), (true, false), (false, true)] {
            let mut plan = ProgressivePlan::new(&request(Quality::Full(16)), &speed, false, preview);
            if all_pixels {
                plan = plan.of_all_pixels(true);
            }
            let (mut last, mut shares) = (0.0, Vec::new());
            while let Some(pass) = plan.next_pass() {
                for fraction in [0.0, 0.5, 1.0] {
                    let progress = plan.progress(fraction);
                    assert!(progress >= last && progress <= 1.0, "{progress} after {last}");
                    last = progress;
                }
                shares.push((pass, last));
            }
            assert!((last - 1.0).abs() < 1e-6 && plan.passes.is_empty());
            // A picture of a ninth or less of the resolution is no tenth of the work.
            let coarse = shares.iter().filter(|(pass, _)| pass.divisor >= 3 && pass.samples == 1);
            assert!(coarse.clone().count() >= 1 && coarse.clone().all(|(_, share)| *share < 0.1), "{shares:?}");
        }
        // A renderer that takes one sample alone is done with it.
        let mut plan = ProgressivePlan::new(&request(Quality::Full(16)), &speed, false, false).of_all_pixels(false);
        while plan.next_pass().is_some_and(|pass| pass.divisor > 1) {}
        assert_eq!((plan.progress(1.0), plan.next_pass()), (1.0, None));
    }

    #[test]
    fn a_fast_machine_needs_no_coarse_pass() {
        let mut speed = ThroughputEstimate::default();
        speed.update(&request(Quality::Full(1)), false, 1e9, 1.0);
        assert_eq!(all(ProgressivePlan::new(&request(Quality::Full(1)), &speed, false, false)).len(), 1);
    }

    #[test]
    fn snapshots_of_a_field_in_training_do_not_flicker() {
        let speed = ThroughputEstimate::default();
        let moved = all(ProgressivePlan::new(&request(Quality::LowLatency), &speed, false, false));
        let replaced = all(ProgressivePlan::new(&request(Quality::LowLatency), &speed, true, false));
        assert_eq!(replaced.len(), 1);
        assert_eq!(moved.last().map(|p| p.divisor), replaced.last().map(|p| p.divisor));
        assert!(moved[0].divisor > replaced[0].divisor);
    }

    #[test]
    fn bands_at_full_resolution_do_not_depend_on_speed() {
        let full = RenderPass { divisor: 1, samples: 1, must_finish: false, preview: false };
        let rows = |rate: f64, pass| {
            let mut speed = ThroughputEstimate::default();
            speed.update(&request(Quality::Full(1)), false, rate, 1.0);
            speed.band_rows(&request(Quality::Full(1)), 800, pass)
        };
        assert_eq!(rows(1e3, full), rows(1e9, full));
        assert!(rows(1e3, RenderPass { divisor: 2, ..full }) < rows(1e9, RenderPass { divisor: 2, ..full }));
    }
}
