//! Radiance fields as a task: rays of the images, the occupancy grid that they are marched through, and a held-out PSNR.
//!
//! Rays are marched on the CPU here, and the occupancy grid is evaluated there; `on_device` does both where the field is
//! trained.

mod on_device;

use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use nstr_backend::backend;
use nstr_backend::backend::{FieldBackend, FieldOp};
use nstr_backend::read_back;
use nstr_kernel::{Density, FusedField, PointLoss, RayLoss, RayOutputs};
use nstr_space::occupancy::Occupancy;

use crate::camera_refinement::{CameraConfig, CameraRefinement};
use crate::error::TrainError;
use crate::error_guide::ErrorGuide;
use crate::exposure::{ExposureConfig, ExposureFit};
use crate::occupancy_grid::{CellField, DensityGrid, OccupancyConfig};
use crate::ray_gradients::ray_gradients;
use crate::rays::{RayConfig, RaySampler, ViewCorrections};
use crate::robust::{RobustConfig, RobustLoss};
use crate::state::TaskState;
use crate::surface::SurfaceConfig;
use crate::task::{StepContext, Task};

pub(crate) use on_device::DeviceRadianceTask;

/// Held-out PSNR in dB of parameters (grid, networks) and the occupancy that belongs to them.
pub type Validator = Box<dyn FnMut(Vec<f32>, &[f32], &Occupancy) -> f64 + Send>;

/// Rays of a run's first step.
const INITIAL_RAYS: usize = 512;
/// Fewest rays of a step, where as many are allowed.
const FEWEST_RAYS: usize = 16;
/// Steps after which every cell is evaluated, once each.
const FULL_UPDATES: [u64; 4] = [32, 96, 256, 512];
/// Time between validations.
const VALIDATION_INTERVAL: Duration = Duration::from_secs(30);

/// A radiance field learned from rays.
pub struct RadianceTask {
    sampler: Arc<RaySampler>,
    rays: RayConfig,
    occupancy: OccupancyConfig,
    /// The kernels on the CPU, which keep the occupancy grid on whatever device training runs.
    fused: FusedField,
    cells: DensityGrid,
    seed: u64,
    /// Rays of the next step.
    ray_count: usize,
    validation: Option<Validation>,
    counters: RayCounters,
    /// Corrections of the training cameras, where they are refined.
    cameras: Option<CameraRefinement>,
    /// Weight of each number of the grid in the last step, where levels of the latent are still coming in.
    level_weights: Option<Vec<f32>>,
    /// Affine colours of the training images, where they are found.
    exposure: Option<ExposureFit>,
    /// Errors of the training images that rays are drawn by, where they are.
    guide: Option<ErrorGuide>,
    /// Agreement of the training images with the field, where rays that contradict it are left out.
    robust: Option<RobustLoss>,
    /// Start and growth of the sharpness, of densities that follow a distance.
    surface: SurfaceConfig,
    /// Density as of the last step.
    density: Density,
}

/// Validation in the background of a run.
struct Validation {
    validator: Validator,
    /// Shortest time between two.
    interval: Duration,
    /// Time to the next one: longer where validating takes long.
    pause: Duration,
    /// Parameters to validate next.
    pending: Option<(Vec<f32>, Vec<f32>)>,
    psnr: Option<f64>,
    /// Training time at the last validation.
    last: Duration,
}

/// Time to the next validation after one that took `taken`: at least `interval`, and so long that validating takes a twentieth of the
/// time, unless that would be longer than the usual interval.
fn pause_after(taken: Duration, interval: Duration) -> Duration {
    (19 * taken).min(VALIDATION_INTERVAL).max(interval)
}

/// Sums over a run's steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RayCounters {
    /// Rays drawn.
    pub rays: u64,
    /// Samples evaluated.
    pub evaluated: u64,
    /// Samples that colours were made of, through forward and backward.
    pub used: u64,
    /// Rays that took no part in their step, because a device had no room for their samples.
    pub left_out: u64,
}

impl RadianceTask {
    /// Rays of `sampler` for the field of `op`. Cells that `is_free` names (x fastest, of `occupancy.resolution` an axis)
    /// hold nothing.
    pub fn new(
        op: &FieldOp,
        sampler: Arc<RaySampler>,
        rays: RayConfig,
        occupancy: OccupancyConfig,
        seed: u64,
        is_free: impl Fn(usize) -> bool + Sync,
    ) -> Self {
        let guide = ErrorGuide::new(&rays, sampler.views());
        Self {
            sampler,
            fused: FusedField::new(op.spec()),
            cells: DensityGrid::new(occupancy.resolution, is_free),
            seed,
            ray_count: INITIAL_RAYS.min(rays.ray_limit()),
            rays,
            occupancy,
            validation: None,
            counters: RayCounters::default(),
            cameras: None,
            level_weights: None,
            exposure: None,
            guide,
            robust: None,
            surface: SurfaceConfig::default(),
            density: Density::Exponential,
        }
    }

    /// Begins and sharpens densities that follow a distance as `config` says.
    pub fn with_surface(mut self, config: &SurfaceConfig) -> Self {
        self.surface = config.clone();
        self
    }

    /// Refines the cameras of the training views, where `config` asks for it. Training must then run on the CPU.
    pub fn with_cameras(mut self, config: &CameraConfig) -> Self {
        let refinement = || CameraRefinement::new(config.clone(), self.sampler.views(), self.sampler.map().cube());
        self.cameras = config.is_on().then(refinement);
        self
    }

    /// Finds an affine colour of each training image, where `config` asks for it. Training must then run on the CPU.
    pub fn with_exposure(mut self, config: &ExposureConfig) -> Self {
        self.exposure = config.enabled.then(|| ExposureFit::new(config.clone(), self.sampler.views().len()));
        self
    }

    /// Leaves rays out that contradict the field, where `config` asks for it. Training must then run on the CPU.
    pub fn with_robust_loss(mut self, config: &RobustConfig) -> Self {
        self.robust = config.enabled.then(|| RobustLoss::new(config.clone(), self.sampler.views()));
        self
    }

    /// Validates from time to time for the progress line; every 30 s of training where no interval is given.
    pub fn with_validator(mut self, validator: Validator, interval: Option<Duration>) -> Self {
        let interval = interval.unwrap_or(VALIDATION_INTERVAL);
        self.validation =
            Some(Validation { validator, interval, pause: interval, pending: None, psnr: None, last: Duration::ZERO });
        self
    }

    /// Goes on from a checkpoint's state; `None` where it does not fit this configuration, or holds what no run leaves.
    pub fn resumed(mut self, state: &TaskState) -> Option<Self> {
        let resolution = self.occupancy.resolution;
        let density = state.arrays.get("density").filter(|d| d.len() == resolution.pow(3))?;
        let number = |name: &str| state.numbers.get(name).copied();
        let (floor, rays) = (number("floor")?, number("rays")?);
        if !(floor >= 0.0 && (floor as f32).is_finite() && rays >= 1.0 && rays.fract() == 0.0) {
            return None;
        }
        self.cells = DensityGrid::from_density(resolution, density.clone(), floor as f32);
        self.ray_count = (rays as usize).clamp(1, self.rays.ray_limit());
        let count = |name: &str| number(name).unwrap_or(0.0) as u64;
        self.counters = RayCounters {
            rays: count("drawn"),
            evaluated: count("evaluated"),
            used: count("used"),
            left_out: count("left_out"),
        };
        if let Some(cameras) = self.cameras.take() {
            self.cameras = Some(cameras.resumed(state)?);
        }
        if let Some(exposure) = self.exposure.take() {
            self.exposure = Some(exposure.resumed(state)?);
        }
        if let Some(guide) = self.guide.take() {
            self.guide = Some(guide.resumed(state)?);
        }
        if let Some(robust) = self.robust.take() {
            self.robust = Some(robust.resumed(state)?);
        }
        Some(self)
    }

    /// The cells that may hold matter.
    pub fn occupancy(&self) -> &Occupancy {
        self.cells.occupancy()
    }

    /// Comparison of the rays with their colours, channel by channel by `loss`, after a fraction of the budget; keeps the
    /// density that belongs to it.
    fn comparison(&mut self, loss: PointLoss, progress: f64) -> RayLoss {
        self.density = self.surface.density(self.fused.spec().density_law(), progress);
        RayLoss {
            loss,
            min_transmittance: self.rays.min_transmittance,
            distortion: self.rays.distortion,
            depth: self.sampler.depth_loss(progress),
            density: self.density,
        }
    }

    /// Weight of each number of the grid after a fraction of the budget, while levels of the latent are still coming in.
    fn levels_at(&self, progress: f64) -> Option<Vec<f32>> {
        let spec = self.fused.spec();
        let of_cameras = self.cameras.as_ref().and_then(|cameras| cameras.level_weights(spec, progress));
        match (of_cameras, self.surface.level_weights(spec, progress)) {
            (Some(a), Some(b)) => Some(a.iter().zip(&b).map(|(a, b)| a * b).collect()),
            (a, b) => a.or(b),
        }
    }

    /// `true` where rays must be drawn and marched on the CPU: their depths are compared, or levels of a surface are still to come.
    fn needs_host_rays(&self) -> bool {
        self.sampler.has_depths() || !self.fused.spec().density_law().is_exponential()
    }

    /// The update of the occupancy grid that is due after `step` steps: `Some(true)` of all cells, `Some(false)` of some.
    fn update_after(&self, step: u64) -> Option<bool> {
        let full = FULL_UPDATES.contains(&step);
        let is_due = step >= FULL_UPDATES[0] && step.is_multiple_of(self.occupancy.update_interval.max(1));
        (full || is_due).then_some(full)
    }

    /// Seed of the update after `step` steps.
    fn update_seed(&self, step: u64) -> u128 {
        u128::from(self.seed) << 64 | u128::from(step) << 8 | 0x0c
    }
}

impl<B: FieldBackend> Task<B> for RadianceTask
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    fn loss(&mut self, context: &StepContext<'_, B>) -> Result<Tensor<Autodiff<B>, 1>, TrainError> {
        let how = self.comparison(context.config.loss, context.progress);
        self.level_weights = self.levels_at(context.progress);
        let weighted = self.level_weights.as_ref().map(|weights| {
            let data = TensorData::new(weights.clone(), [weights.len()]);
            context.grid.clone() * Tensor::from_data(data, &context.grid.device())
        });
        let context = &StepContext { grid: weighted.as_ref().unwrap_or(context.grid), ..*context };
        let c = &self.rays;
        let corrections = ViewCorrections {
            cameras: self.cameras.as_ref().map(CameraRefinement::cameras),
            colours: self.exposure.as_ref().map(ExposureFit::colours),
        };
        let at = [self.seed, context.step];
        let guide = self.guide.as_ref();
        let mut drawn = self.sampler.draw_corrected(c, self.cells.occupancy(), at, self.ray_count, corrections, guide);
        let robust = self.robust.as_mut().filter(|robust| robust.is_active(context.progress));
        if let Some(robust) = &robust {
            drawn.rays.error_limit = robust.limits(&drawn.pixels);
        }
        let rays = &drawn.rays;
        let cameras = self.cameras.as_mut().filter(|cameras| cameras.is_active(context.progress));
        let exposure = self.exposure.as_mut().filter(|exposure| exposure.is_active(context.progress));
        let colours = exposure.is_some() || robust.is_some() || cameras.is_some() || self.guide.is_some();
        let outputs = RayOutputs { colours, gradients: cameras.is_some() };
        let (grid, net) = (context.grid.clone(), context.net.clone());
        let (loss, stats, results) = backend::ray_step(context.op, grid, net, rays, how, outputs);
        let results = results.ok_or(TrainError::RayOutputs)?;
        if let Some(cameras) = cameras {
            let origins = cameras.cameras();
            let origin = |i: usize| origins[drawn.pixels[i].view as usize].camera.position();
            let gradients = ray_gradients(&self.sampler.map(), rays, &results, how.loss, origin);
            cameras.step(context.progress, &drawn.pixels, &rays.direction, &gradients);
        }
        if let Some(exposure) = exposure {
            exposure.observe(self.sampler.views(), &drawn.pixels, &results);
        }
        if let Some(guide) = &mut self.guide {
            guide.observe(context.step, &drawn.pixels, rays, &results);
        }
        if let Some(robust) = robust {
            robust.observe(&drawn.pixels, rays, &results);
        }
        self.counters.rays += self.ray_count as u64;
        self.counters.evaluated += stats.evaluated as u64;
        self.counters.used += stats.used as u64;
        // Towards the wanted number of samples, at most by a factor of 2 a step.
        let factor = (c.samples_per_step as f64 / stats.evaluated.max(1) as f64).clamp(0.5, 2.0);
        let limit = c.ray_limit();
        self.ray_count = ((self.ray_count as f64 * factor) as usize).clamp(FEWEST_RAYS.min(limit), limit);
        Ok(context.with_regularizers(loss, &rays.x))
    }

    fn after_step(&mut self, step: u64, grid: &Tensor<B, 1>, net: &Tensor<B, 1>) -> Result<(), TrainError> {
        let Some(full) = self.update_after(step) else { return Ok(()) };
        let (mut grid, net) = (read_back::tensor(grid)?, read_back::tensor(net)?);
        // Cells hold what rays meet: the field with its levels weighted as in the step.
        if let Some(weights) = &self.level_weights {
            grid.iter_mut().zip(weights).for_each(|(number, weight)| *number *= weight);
        }
        let weights = self.fused.pack(&net);
        let field = CellField { fused: &self.fused, weights: &weights, grid: &grid, density: self.density };
        self.cells.update(&field, full, &self.occupancy, self.rays.step, self.update_seed(step));
        if let Some(validation) = &mut self.validation {
            validation.pending = Some((grid, net));
        }
        Ok(())
    }

    fn occupied(&self) -> Option<&Occupancy> {
        Some(self.cells.occupancy())
    }

    fn outputs(&self) -> Option<usize> {
        Some(3 * self.ray_count)
    }

    fn validation_metric(&mut self, elapsed: Duration) -> Option<(&'static str, f64)> {
        let v = self.validation.as_mut()?;
        if elapsed >= v.last + v.pause
            && let Some((grid, net)) = v.pending.take()
        {
            let start = Instant::now();
            v.psnr = Some((v.validator)(grid, &net, self.cells.occupancy()));
            v.last = elapsed;
            v.pause = pause_after(start.elapsed(), v.interval);
        }
        v.psnr.map(|psnr| ("PSNR", psnr))
    }

    fn state(&self) -> TaskState {
        let numbers = [
            ("rays", self.ray_count as f64),
            ("floor", f64::from(self.cells.density_threshold())),
            ("drawn", self.counters.rays as f64),
            ("evaluated", self.counters.evaluated as f64),
            ("used", self.counters.used as f64),
        ];
        let mut state = TaskState {
            numbers: numbers.map(|(name, v)| (name.to_string(), v)).into(),
            arrays: [("density".to_string(), self.cells.density().to_vec())].into(),
        };
        if self.counters.left_out > 0 {
            state.numbers.insert("left_out".into(), self.counters.left_out as f64);
        }
        if let Some(cameras) = &self.cameras {
            cameras.store_in(&mut state);
        }
        if let Some(exposure) = &self.exposure {
            exposure.store_in(&mut state);
        }
        if let Some(guide) = &self.guide {
            guide.store_in(&mut state);
        }
        if let Some(robust) = &self.robust {
            robust.store_in(&mut state);
        }
        state
    }
}
