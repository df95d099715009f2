//! Trial of camera refinement: two short fits of a small field, with and without it, compared on pixels that neither has seen.
//!
//! Held-out views cannot tell, for their cameras are not refined. Pixels of the training views can, one in eight of which the
//! fits leave out: cameras that are wrong make a blurred field, which shows them badly however it was trained.

use std::sync::Arc;

use nstr_backend::backend::FieldOp;
use nstr_backend::device::Device;
use nstr_capture::View;
use nstr_kernel::{FusedField, GradientSlices, PointLoss, RayLoss, RayOutputs};
use nstr_space::SceneMap;
use nstr_spec::init;

use crate::camera_refinement::{CameraConfig, CameraRefinement, RefineMode};
use crate::cell_masks::FreeSpaceMask;
use crate::config::FitConfig;
use crate::error::TrainError;
use crate::observer::{Observer, Progress};
use crate::occupancy_grid::saved_occupancy;
use crate::radiance::RadianceTask;
use crate::rays::{RaySampler, ViewCorrections};
use crate::schedule::Budget;
use crate::state::TrainState;
use crate::training::{TrainingData, train};

/// Views that take part, at most, evenly picked.
const VIEWS: usize = 40;
/// Pixels along the longer side of a view, at most.
const MAX_SIDE: u32 = 160;
/// Samples of a step.
const SAMPLES: usize = 1 << 14;
/// Cells of the occupancy grid along an edge, at most.
const OCCUPANCY_RESOLUTION: usize = 64;
/// One pixel in so many is left out.
const HELD_OUT: u32 = 8;
/// Rays that are compared.
const COMPARED: usize = 1 << 13;
/// Gain in dB from which on refinement helps: less than that, the fits differ by chance.
const MARGIN: f64 = 0.2;

/// PSNR in dB of two short fits on pixels that were left out of them; −∞ where a fit diverged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CameraTrial {
    /// Without refinement of poses.
    pub without: f64,
    /// With it.
    pub with: f64,
}

impl CameraTrial {
    /// Steps of each fit.
    pub const STEPS: u64 = 500;

    /// `true` if the refinement of poses is worth it.
    pub fn helps(self) -> bool {
        self.with > self.without + MARGIN
    }

    /// Fits a small field to `views` for so many `steps`, without and with refinement of poses; `map` and `near` as of
    /// [`RaySampler::new`]. Rays, occupancy (both but for their number) and cameras have the settings of `config`; exposures are not
    /// found. `progress` is told the fraction done every few steps; `false` stops the trial. `None` where it was stopped, and
    /// where there is nothing to compare: settings without rays, fewer than three views, no usable pixel.
    ///
    /// # Errors
    /// Those of [`train`].
    pub fn run(
        views: &[View],
        map: SceneMap,
        near: f64,
        config: &FitConfig,
        (steps, seed): (u64, u64),
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Option<Self>, TrainError> {
        let Some(trial) = Trial::new(views, map, near, config, steps, seed) else { return Ok(None) };
        let mut half = |start: f64, refine| {
            let mut observer = Half { start, progress: &mut *progress, is_stopped: false };
            let psnr = trial.psnr(refine, &mut observer)?;
            Ok::<_, TrainError>((!observer.is_stopped).then_some(psnr))
        };
        let Some(without) = half(0.0, RefineMode::Off)? else { return Ok(None) };
        Ok(half(0.5, RefineMode::On)?.map(|with| Self { without, with }))
    }
}

/// Observer of one of the two fits.
struct Half<'a> {
    /// Fraction of the trial done before it.
    start: f64,
    progress: &'a mut dyn FnMut(f64) -> bool,
    is_stopped: bool,
}

impl Observer for Half<'_> {
    fn progress(&mut self, progress: &Progress) -> bool {
        self.is_stopped |= !(self.progress)(self.start + 0.5 * progress.fraction);
        !self.is_stopped
    }
}

/// What both fits share.
struct Trial {
    config: FitConfig,
    seen: Arc<RaySampler>,
    held_out: RaySampler,
    steps: u64,
    seed: u64,
}

impl Trial {
    fn new(views: &[View], map: SceneMap, near: f64, config: &FitConfig, steps: u64, seed: u64) -> Option<Self> {
        let count = VIEWS.min(views.len());
        if count < 3 {
            return None;
        }
        let reduced: Vec<View> = (0..count).map(|i| reduced(&views[i * views.len() / count])).collect();
        let part = |held_out: bool| {
            let views = reduced.iter().enumerate().map(|(number, view)| {
                let usable = |i: usize| view.usable(i) && is_held_out(number, i) == held_out;
                View { mask: Some((0..view.image.pixels.len()).map(usable).collect()), ..view.clone() }
            });
            RaySampler::new(Arc::new(views.collect()), map, near)
        };
        let mut small = FitConfig::preset("radiance-tiny").ok()?.0.for_unbounded_map(&map);
        small.rays = config.rays.clone();
        small.rays.as_mut()?.samples_per_step = SAMPLES;
        small.occupancy = config.occupancy.clone();
        // Cells are evaluated often in so short a fit: fine ones take longer than its steps.
        let resolution = &mut small.occupancy.as_mut()?.resolution;
        *resolution = (*resolution).min(OCCUPANCY_RESOLUTION);
        small.cameras = config.cameras.clone();
        small.field.init.seed = seed;
        Some(Self { config: small, seen: Arc::new(part(false)?), held_out: part(true)?, steps, seed })
    }

    /// Fits with poses as they are or refined; PSNR on the pixels that were left out.
    fn psnr(&self, refine: RefineMode, observer: &mut dyn Observer) -> Result<f64, TrainError> {
        let rays = self.config.rays.clone().unwrap_or_default();
        let occupancy = self.config.occupancy.clone().unwrap_or_default();
        let cameras = CameraConfig { refine, ..self.config.cameras.clone().unwrap_or_default() };
        let (map, near) = (self.seen.map(), self.seen.near());
        let spec = self.config.field.spec();
        let op = FieldOp::with_precision(spec.clone(), self.config.train.gradient_precision());
        let free = FreeSpaceMask::new(occupancy.resolution, None, self.seen.views(), map, near);
        let resolution = occupancy.resolution;
        let task = RadianceTask::new(&op, self.seen.clone(), rays.clone(), occupancy, self.seed, |i| free.get(i))
            .with_cameras(&cameras);
        let (grid, net) = init::parameters(&spec, &self.config.field.init);
        let (first, data) = (TrainState::new(grid, net), TrainingData::Rays(Box::new(task)));
        let budget = Budget::Steps(self.steps);
        let end = match train(Device::Cpu, op, self.config.train.clone(), &first, data, budget, observer) {
            // Settings that the fit itself may bear; the trial only says that they are no better.
            Err(TrainError::Diverged { .. }) => return Ok(f64::NEG_INFINITY),
            end => end?,
        };

        let refined = CameraRefinement::new(cameras, self.seen.views(), map.cube()).resumed(&end.task);
        let corrections = ViewCorrections { cameras: refined.as_ref().map(CameraRefinement::cameras), colours: None };
        let occupancy = saved_occupancy(&end.task, resolution).ok_or(TrainError::RayOutputs)?;
        // The same pixels, backgrounds and places in the strata for both fits.
        let drawn = self.held_out.draw_corrected(&rays, &occupancy, [self.seed, u64::MAX], COMPARED, corrections, None);
        let (grid, net) = end.inference_params();
        let (mut d_grid, mut d_net) = (vec![0.0; grid.len()], vec![0.0; net.len()]);
        let to = GradientSlices { d_grid: &mut d_grid, d_net: &mut d_net, d_x: None };
        let fused = FusedField::new(&spec);
        let (min_transmittance, density) = (rays.min_transmittance, fused.density_law());
        let square = RayLoss { min_transmittance, density, ..RayLoss::of(PointLoss::L2) };
        let stats = fused.ray_step(grid, net, drawn.rays.slices(), square, RayOutputs::default(), to).0;
        Ok(-10.0 * stats.loss.log10())
    }
}

fn reduced(view: &View) -> View {
    let side = view.image.width.max(view.image.height);
    view.downsampled(side.div_ceil(MAX_SIDE))
}

/// `true` for one pixel in [`HELD_OUT`], spread without a pattern.
fn is_held_out(view: usize, index: usize) -> bool {
    let mixed = (index as u32 ^ (view as u32).wrapping_mul(0x85eb_ca6b)).wrapping_mul(0x9e37_79b9);
    (mixed ^ mixed >> 15).wrapping_mul(0x2c1b_3c6d) >> 16 & (HELD_OUT - 1) == 0
}
