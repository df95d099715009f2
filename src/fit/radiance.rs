//! The radiance task: rays of the images, the occupancy that they are marched through, and a held-out figure.

use std::sync::Arc;
use std::time::Duration;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

use crate::occupied::DensityGrid;
use crate::rays::{PixelSource, RayConfig};
use crate::task::{Place, Task, TaskState};
use crate::trainer::TrainError;
use nstr_backend::backend;
use nstr_backend::backend::{FieldBackend, FieldOp};
use nstr_kernel::{Fused, RayLoss};
use nstr_space::occupancy::Occupancy;

/// Measures parameters (grid, networks) and the occupancy that belongs to them: a held-out PSNR.
pub type Probe = Box<dyn FnMut(Vec<f32>, &[f32], &Occupancy) -> f64 + Send>;

/// Rays of a run's first step.
const FIRST_RAYS: usize = 512;
/// Steps after which every cell is looked at once.
const SWEEPS: [u64; 4] = [32, 96, 256, 512];
/// Time between measurements of the held-out figure.
const FIGURE_EVERY: Duration = Duration::from_secs(30);

/// A radiance field learned from rays.
pub struct RadianceTask {
    pixels: Arc<PixelSource>,
    config: RayConfig,
    /// The kernels on the processor: occupancy is looked after here whatever device trains.
    fused: Fused,
    cells: DensityGrid,
    seed: u64,
    /// Rays of the next step.
    rays: usize,
    probe: Option<Probe>,
    /// Parameters to measure next, and the last figure.
    pending: Option<(Vec<f32>, Vec<f32>)>,
    figure: Option<f64>,
    measured: Duration,
    /// Time between measurements.
    every: Duration,
    counts: Counts,
}

/// Sums over a run's steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Rays drawn.
    pub rays: u64,
    /// Samples evaluated.
    pub evaluated: u64,
    /// Samples that colours were made of, through forward and backward.
    pub used: u64,
}

impl RadianceTask {
    /// Rays of `pixels` for the field of `op`. Cells that `void` names (x fastest, of `config.cells` an axis) hold nothing.
    pub fn new(
        op: &FieldOp,
        pixels: Arc<PixelSource>,
        config: RayConfig,
        seed: u64,
        void: impl Fn(usize) -> bool + Sync,
    ) -> Self {
        let cells = DensityGrid::new(config.cells, void);
        Self {
            pixels,
            fused: Fused::new(op.spec()),
            cells,
            seed,
            rays: FIRST_RAYS.min(config.most),
            config,
            probe: None,
            pending: None,
            figure: None,
            measured: Duration::ZERO,
            every: FIGURE_EVERY,
            counts: Counts::default(),
        }
    }

    /// Measures with `probe` from time to time for the progress line.
    pub fn with_probe(mut self, probe: Probe) -> Self {
        self.probe = Some(probe);
        self
    }

    /// Measures this often instead of every 30 s.
    pub fn probe_every(self, every: Duration) -> Self {
        Self { every, ..self }
    }

    /// Goes on from a checkpoint's state; `None` where it does not fit this configuration.
    pub fn resumed(mut self, state: &TaskState) -> Option<Self> {
        let cells = self.config.cells;
        let density = state.arrays.get("density").filter(|d| d.len() == cells * cells * cells)?;
        let number = |name: &str| state.numbers.get(name).copied();
        self.cells = DensityGrid::from_density(cells, density.clone(), number("floor")? as f32);
        self.rays = (number("rays")? as usize).clamp(1, self.config.most);
        let count = |name: &str| number(name).unwrap_or(0.0) as u64;
        self.counts = Counts { rays: count("drawn"), evaluated: count("evaluated"), used: count("used") };
        Some(self)
    }

    /// The cells that may hold matter.
    pub fn occupancy(&self) -> &Occupancy {
        self.cells.occupancy()
    }
}

impl<B: FieldBackend> Task<B> for RadianceTask
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    fn loss(&mut self, place: &Place<'_, B>) -> Result<Tensor<Autodiff<B>, 1>, TrainError> {
        let c = &self.config;
        let rays = self.pixels.draw(c, self.cells.occupancy(), self.seed, place.step, self.rays);
        let how = RayLoss { loss: place.config.loss, min_transmittance: c.min_transmittance, distortion: c.distortion };
        let (loss, stats) = backend::ray_loss(place.op, place.grid.clone(), place.net.clone(), &rays, how);
        self.counts.rays += self.rays as u64;
        self.counts.evaluated += stats.evaluated as u64;
        self.counts.used += stats.used as u64;
        // Towards the wanted number of samples, at most by a factor of 2 a step.
        let factor = (c.samples as f64 / stats.evaluated.max(1) as f64).clamp(0.5, 2.0);
        self.rays = ((self.rays as f64 * factor) as usize).clamp(16, c.most);
        Ok(place.regularised(loss, &rays.x))
    }

    fn stepped(&mut self, step: u64, grid: &Tensor<B, 1>, net: &Tensor<B, 1>) {
        let sweep = SWEEPS.contains(&step);
        if !sweep && (step < SWEEPS[0] || !step.is_multiple_of(self.config.every.max(1))) {
            return;
        }
        let [grid, net] = [grid, net].map(|t| t.to_data().iter::<f32>().collect::<Vec<_>>());
        let weights = self.fused.prepare(&net);
        let seed = u128::from(self.seed) << 64 | u128::from(step) << 8 | 0x0c;
        if sweep {
            self.cells.sweep(&self.fused, &weights, &grid, &self.config, seed);
        } else {
            self.cells.refresh(&self.fused, &weights, &grid, &self.config, seed);
        }
        if self.probe.is_some() {
            self.pending = Some((grid, net));
        }
    }

    fn figure(&mut self, elapsed: Duration) -> Option<(&'static str, f64)> {
        if let (Some(probe), true) = (&mut self.probe, elapsed >= self.measured + self.every)
            && let Some((grid, net)) = self.pending.take()
        {
            self.figure = Some(probe(grid, &net, self.cells.occupancy()));
            self.measured = elapsed;
        }
        self.figure.map(|psnr| ("PSNR", psnr))
    }

    fn state(&self) -> TaskState {
        let numbers = [
            ("rays", self.rays as f64),
            ("floor", f64::from(self.cells.last_floor())),
            ("drawn", self.counts.rays as f64),
            ("evaluated", self.counts.evaluated as f64),
            ("used", self.counts.used as f64),
        ];
        TaskState {
            numbers: numbers.map(|(name, v)| (name.to_string(), v)).into(),
            arrays: [("density".to_string(), self.cells.density().to_vec())].into(),
        }
    }
}
