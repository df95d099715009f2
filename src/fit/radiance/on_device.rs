//! Radiance fields on a device that marches rays itself: it is sent pieces of rays, and read late and seldom.
//!
//! The host draws the rays of a step while the device works on the steps before. Every 16th step, and where an update of the
//! occupancy grid is due, it begins to read the sums over steps and the densities of cells; it takes them in when it has
//! drawn the next step's rays, after that step was sent off. So the device has work while the grid is updated, and the
//! number of rays follows the samples that were found up to 16 steps late.
//!
//! Settings for which the device has no kernels leave marching to the CPU, step by step, as [`RadianceTask`] does it.

use std::time::Duration;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use nstr_backend::backend::{FieldBackend, primitive, tensor};
use nstr_backend::device_rays::{MarchReport, MarchSettings, RayMarcher, RayPieces};
use nstr_backend::read_back::{self, ReadBack};
use nstr_space::occupancy::RaySampling;

use super::{FEWEST_RAYS, RadianceTask};
use crate::error::TrainError;
use crate::occupancy_grid::CellUpdate;
use crate::state::TaskState;
use crate::task::{READBACK_INTERVAL, StepContext, Task};

/// Samples that a step has room for, over those that are wanted.
const ROOM: usize = 2;
/// Largest change of the number of rays from one read to the next.
const LARGEST_CHANGE: f64 = 4.0;

/// A [`RadianceTask`] whose rays are marched where the field is trained, if that device can.
pub(crate) struct DeviceRadianceTask<B: FieldBackend>
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    task: RadianceTask,
    place: Place<B>,
    /// Parameters are wanted for a validation.
    validates: bool,
    /// Errors were to guide the rays.
    is_guided: bool,
}

/// Place where rays are marched.
enum Place<B: FieldBackend>
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    /// Not decided before the first step.
    Undecided,
    Cpu,
    Device(DeviceMarch<B>),
}

/// Rays that are marched on the device.
struct DeviceMarch<B: FieldBackend>
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    marcher: Box<dyn RayMarcher<Autodiff<B>>>,
    /// Rays of the steps since the last read began.
    rays: u64,
    reading: Option<Reading>,
    /// Mean loss of the steps that were last read.
    loss: Option<f64>,
}

/// A read that was begun.
struct Reading {
    report: ReadBack<MarchReport>,
    /// Rays of the steps that it tells of.
    rays: u64,
    /// Cells whose densities it brings.
    update: Option<CellUpdate>,
}

impl<B: FieldBackend> DeviceRadianceTask<B>
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    pub fn new(mut task: RadianceTask) -> Self {
        // Colours of rays stay on the device: its rays go through pixels drawn evenly.
        let is_guided = task.guide.take().is_some();
        Self { task, place: Place::Undecided, validates: false, is_guided }
    }
}

impl RadianceTask {
    /// What must hold for rays to be marched on a device, or the reason why they can't be.
    fn march_settings<B: FieldBackend>(&self, context: &StepContext<'_, B>) -> Result<MarchSettings, String>
    where
        Autodiff<B>: AutodiffBackend<InnerBackend = B>,
    {
        if self.cameras.is_some() || self.exposure.is_some() {
            return Err("camera refinement and exposure need gradients and colours of rays".into());
        }
        if self.robust.is_some() {
            return Err("the robust loss (robust.enabled) needs colours of rays and limits of their errors".into());
        }
        if self.rays.gradient_scaling > 0.0 {
            return Err("rays.gradient_scaling needs the distances of samples in the world".into());
        }
        if self.needs_host_rays() {
            return Err("depths and surfaces need rays that are marched on the CPU".into());
        }
        if context.config.regularizers.is_any() {
            return Err("regularisers need the positions of samples".into());
        }
        let c = &self.rays;
        Ok(MarchSettings {
            sampling: RaySampling { step: c.step, cone: c.cone, jitter: 0.5 },
            max_samples_per_ray: c.max_samples_per_ray,
            room: (ROOM * c.samples_per_step).max(FEWEST_RAYS * c.max_samples_per_ray),
        })
    }
}

impl<B: FieldBackend> Place<B>
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    /// The device where it can, else the CPU, which is noted.
    fn choose(task: &RadianceTask, context: &StepContext<'_, B>) -> Self {
        let grid = primitive(context.grid.clone());
        let marcher = task
            .march_settings(context)
            .and_then(|settings| <Autodiff<B> as FieldBackend>::ray_marcher(context.op, &grid, settings));
        match marcher {
            Ok(mut marcher) => {
                marcher.set_occupancy(task.occupancy());
                Self::Device(DeviceMarch { marcher, rays: 0, reading: None, loss: None })
            }
            Err(reason) => {
                context.op.note_fallback("marching of rays, occupancy grid", || format!("on the CPU ({reason})"));
                Self::Cpu
            }
        }
    }
}

impl<B: FieldBackend> DeviceMarch<B>
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    /// Rays of a step. Before anything was read of how much of them is empty there are no more than surely have room.
    fn draw(&self, task: &mut RadianceTask, step: u64) -> RayPieces {
        let draw = |task: &RadianceTask| {
            task.sampler.draw_pieces(&task.rays, task.occupancy(), [task.seed, step], task.ray_count)
        };
        let drawn = draw(&*task);
        if task.counters.rays > 0 || drawn.strata <= self.marcher.room() as u64 {
            return drawn;
        }
        let share = task.rays.samples_per_step as f64 / drawn.strata as f64;
        task.ray_count = ((task.ray_count as f64 * share) as usize).max(1);
        draw(&*task)
    }

    fn loss(
        &mut self,
        task: &mut RadianceTask,
        context: &StepContext<'_, B>,
    ) -> Result<Tensor<Autodiff<B>, 1>, TrainError> {
        let how = task.comparison(context.config.loss, context.progress);
        let rays = self.draw(task, context.step);
        let read = match self.reading.take() {
            Some(reading) => Some((reading.report.wait()?, reading.rays, reading.update)),
            None => None,
        };
        let [grid, net] = [context.grid, context.net].map(|parameters| primitive(parameters.clone()));
        let loss = self.marcher.step(grid, net, &rays, how);
        self.rays += rays.rays() as u64;
        if let Some((report, rays, update)) = read {
            self.take_in(task, &report, rays, update.as_ref());
        }
        Ok(tensor(loss))
    }

    /// Counts what the device tells of `rays` rays, adapts their number, and updates the occupancy grid.
    fn take_in(&mut self, task: &mut RadianceTask, report: &MarchReport, rays: u64, update: Option<&CellUpdate>) {
        let sums = &report.sums;
        task.counters.rays += rays;
        task.counters.evaluated += sums.evaluated;
        task.counters.used += sums.used;
        task.counters.left_out += sums.left_out;
        if sums.steps > 0 {
            self.loss = Some(sums.loss);
            // Towards the wanted number of samples.
            let wanted = task.rays.samples_per_step as f64 * rays as f64 / sums.found.max(1) as f64;
            let change = (wanted / task.ray_count as f64).clamp(1.0 / LARGEST_CHANGE, LARGEST_CHANGE);
            let limit = task.rays.ray_limit();
            task.ray_count = ((task.ray_count as f64 * change) as usize).clamp(FEWEST_RAYS.min(limit), limit);
        }
        if let Some(update) = update {
            task.cells.finish_update(update, &report.densities, task.density, &task.occupancy, task.rays.step);
            self.marcher.set_occupancy(task.cells.occupancy());
        }
    }

    /// Begins to read what there is to tell, with the densities of an update's cells where one is due.
    fn begin_reading(&mut self, update: Option<CellUpdate>) {
        let (report, rays) = (self.marcher.read(), std::mem::take(&mut self.rays));
        self.reading = Some(Reading { report, rays, update });
    }

    fn after_step(
        &mut self,
        task: &mut RadianceTask,
        step: u64,
        [grid, net]: [&Tensor<B, 1>; 2],
    ) -> Result<(), TrainError> {
        let due = task.update_after(step);
        if due.is_none() && !step.is_multiple_of(READBACK_INTERVAL) {
            return Ok(());
        }
        // Only where a step failed in between; its successor would have taken it in.
        self.catch_up(task, false)?;
        let update = due.map(|full| task.cells.begin_update(full, &task.occupancy, task.update_seed(step)));
        if let Some(update) = &update {
            let [grid, net] = [grid, net].map(|t| primitive(Tensor::<Autodiff<B>, 1>::from_inner(t.clone())));
            self.marcher.request_densities(grid, net, &update.points(), task.density);
        }
        self.begin_reading(update);
        Ok(())
    }

    /// Takes in a read that was begun, and if `all` whatever came after it too.
    fn catch_up(&mut self, task: &mut RadianceTask, all: bool) -> Result<(), TrainError> {
        if let Some(Reading { report, rays, update }) = self.reading.take() {
            self.take_in(task, &report.wait()?, rays, update.as_ref());
        }
        if all && self.rays > 0 {
            self.begin_reading(None);
            self.catch_up(task, false)?;
        }
        Ok(())
    }
}

impl<B: FieldBackend> Task<B> for DeviceRadianceTask<B>
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    fn loss(&mut self, context: &StepContext<'_, B>) -> Result<Tensor<Autodiff<B>, 1>, TrainError> {
        if let Place::Undecided = self.place {
            self.place = Place::choose(&self.task, context);
            if self.is_guided {
                context
                    .op
                    .note_fallback("rays drawn by error (rays.error_share)", || "drawn evenly on a device".into());
            }
        }
        match &mut self.place {
            Place::Device(march) => march.loss(&mut self.task, context),
            Place::Undecided | Place::Cpu => self.task.loss(context),
        }
    }

    fn after_step(&mut self, step: u64, grid: &Tensor<B, 1>, net: &Tensor<B, 1>) -> Result<(), TrainError> {
        let Place::Device(march) = &mut self.place else { return self.task.after_step(step, grid, net) };
        march.after_step(&mut self.task, step, [grid, net])?;
        if let Some(validation) = self.task.validation.as_mut().filter(|_| self.validates) {
            validation.pending = Some((read_back::tensor(grid)?, read_back::tensor(net)?));
            self.validates = false;
        }
        Ok(())
    }

    fn recent_loss(&self) -> Option<f64> {
        if let Place::Device(march) = &self.place { march.loss } else { None }
    }

    fn catch_up(&mut self) -> Result<(), TrainError> {
        if let Place::Device(march) = &mut self.place { march.catch_up(&mut self.task, true) } else { Ok(()) }
    }

    fn occupied(&self) -> Option<&nstr_space::Occupancy> {
        Task::<B>::occupied(&self.task)
    }

    fn outputs(&self) -> Option<usize> {
        Task::<B>::outputs(&self.task)
    }

    fn validation_metric(&mut self, elapsed: Duration) -> Option<(&'static str, f64)> {
        if let Some(v) = &self.task.validation {
            // Parameters are read when a validation is due, not with each update of the occupancy grid as on the CPU.
            self.validates = v.pending.is_none() && elapsed >= v.last + v.interval;
        }
        Task::<B>::validation_metric(&mut self.task, elapsed)
    }

    fn state(&self) -> TaskState {
        Task::<B>::state(&self.task)
    }
}
