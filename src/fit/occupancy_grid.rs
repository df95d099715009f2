//! Densities of the cells of a radiance field during training, and the occupancy that follows.
//!
//! As in Instant-NGP (Müller et al. 2022, appendix E.2): cells keep the largest density found lately; every few steps some
//! are evaluated at random points, their known density decays, and a cell is occupied while a step through it would stop
//! light.

use glam::Vec3;
use nstr_kernel::{Density, FusedField, PackedWeights};
use nstr_space::occupancy::Occupancy;
use nstr_spec::config::ConfigError;
use rand::RngExt;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::check::{check, check_below_one, check_count};
use crate::state::TaskState;

/// Density of a cell that can hold nothing: outside the silhouettes, or seen by no camera.
pub const UNOCCUPIABLE: f32 = -1.0;

/// Widths of a density's exponential fall before the surface that count as occupied.
const FALL_WIDTHS: f32 = 5.0;

/// Points evaluated by one job.
const JOB: usize = 4096;

/// Updates of the occupancy grid; `--set occupancy.key=value` reaches each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OccupancyConfig {
    /// Cells along an axis: 16, 32, … 512.
    pub resolution: usize,
    /// Steps between updates.
    pub update_interval: u64,
    /// Cells evaluated in each update.
    pub cells_per_update: usize,
    /// Decay of a cell's known density at each evaluation, 0 to below 1.
    pub decay: f32,
    /// Fraction of light that a step through a cell must stop for the cell to be occupied, 0 to below 1.
    pub threshold: f32,
}

impl Default for OccupancyConfig {
    fn default() -> Self {
        Self { resolution: 128, update_interval: 16, cells_per_update: 1 << 16, decay: 0.9, threshold: 0.01 }
    }
}

impl OccupancyConfig {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let resolution = self.resolution;
        let expected = "must be 16, 32, 64, 128, 256 or 512";
        check("occupancy.resolution", resolution as f64, Occupancy::supports(resolution), expected)?;
        check_count("occupancy.update_interval", self.update_interval, 1 << 20)?;
        check_count("occupancy.cells_per_update", self.cells_per_update as u64, 1 << 24)?;
        check_below_one(&[
            ("occupancy.decay", f64::from(self.decay)),
            ("occupancy.threshold", f64::from(self.threshold)),
        ])
    }
}

/// The occupancy in a radiance task's state; `None` where it holds none of that resolution.
pub fn saved_occupancy(state: &TaskState, resolution: usize) -> Option<Occupancy> {
    let density = state.arrays.get("density").filter(|d| d.len() == resolution.pow(3))?;
    let threshold = *state.numbers.get("floor")? as f32;
    Some(Occupancy::from_bits(resolution, |i| density[i] > threshold))
}

/// Densities of the cells of the unit cube (x fastest), per unit of field coordinates.
#[derive(Clone, Debug)]
pub struct DensityGrid {
    resolution: usize,
    density: Vec<f32>,
    occupancy: Occupancy,
    /// Indices of the occupied cells.
    occupied: Vec<u32>,
    /// Density above which cells are occupied, as of the last update.
    threshold: f32,
}

/// A field whose densities cells hold.
pub struct CellField<'a> {
    /// The kernels.
    pub fused: &'a FusedField,
    /// The networks.
    pub weights: &'a PackedWeights,
    /// The latent grid.
    pub grid: &'a [f32],
    /// Density by the decoder's first value.
    pub density: Density,
}

/// Cells to evaluate, and what becomes of the densities known of them.
#[derive(Clone, Debug)]
pub(crate) struct CellUpdate {
    cells: Vec<u32>,
    decay: f32,
    seed: u128,
    resolution: usize,
}

impl CellUpdate {
    /// A random point in each cell, `[cell][3]`.
    pub(crate) fn points(&self) -> Vec<f32> {
        let jobs = self.cells.par_chunks(JOB).enumerate();
        let points: Vec<Vec3> = jobs.flat_map_iter(|(job, cells)| self.points_in(job, cells)).collect();
        bytemuck::cast_slice(&points).to_vec()
    }

    /// The points of the cells of one job.
    fn points_in(&self, job: usize, cells: &[u32]) -> Vec<Vec3> {
        let n = self.resolution;
        let mut rng = Pcg64::new(self.seed, 2 + job as u128);
        let point = |&c: &u32| {
            let c = c as usize;
            let corner = [c % n, c / n % n, c / (n * n)].map(|v| v as f32);
            (Vec3::from(corner) + Vec3::from_array(rng.random())) / n as f32
        };
        cells.iter().map(point).collect()
    }
}

impl DensityGrid {
    /// A grid with every cell occupied but those that `is_free` names; see [`Occupancy::supports`] for the resolution.
    pub fn new(resolution: usize, is_free: impl Fn(usize) -> bool + Sync) -> Self {
        let initial = |i| if is_free(i) { UNOCCUPIABLE } else { f32::MAX };
        let density = (0..resolution.pow(3)).into_par_iter().map(initial);
        Self::from_density(resolution, density.collect(), 0.0)
    }

    /// The grid of known densities; cells above `threshold` are occupied.
    pub fn from_density(resolution: usize, density: Vec<f32>, threshold: f32) -> Self {
        let occupancy = Occupancy::empty(resolution);
        let mut grid = Self { resolution, density, occupancy, occupied: Vec::new(), threshold };
        grid.rebuild(threshold);
        grid
    }

    /// Known density of each cell: [`UNOCCUPIABLE`] where there can be none, `f32::MAX` where nothing is known yet.
    pub fn density(&self) -> &[f32] {
        &self.density
    }

    /// The cells that may hold matter.
    pub fn occupancy(&self) -> &Occupancy {
        &self.occupancy
    }

    /// Density above which cells are occupied, as of the last update.
    pub fn density_threshold(&self) -> f32 {
        self.threshold
    }

    /// Evaluates cells at random points: if `all`, every cell that can hold matter, whose known density is replaced; else some drawn
    /// at random, half of them among the occupied ones. `step` is the length of a step along a ray.
    pub fn update(&mut self, field: &CellField<'_>, all: bool, config: &OccupancyConfig, step: f32, seed: u128) {
        let update = self.begin_update(all, config, seed);
        let found = self.evaluate(field, &update);
        self.finish_update(&update, &found, field.density, config, step);
    }

    /// Chooses the cells of an update: all that can hold matter, or some drawn at random, half of them among the occupied ones.
    pub(crate) fn begin_update(&self, all: bool, config: &OccupancyConfig, seed: u128) -> CellUpdate {
        let count = self.density.len() as u32;
        if all {
            let cells = (0..count).filter(|i| self.density[*i as usize] != UNOCCUPIABLE).collect();
            return CellUpdate { cells, decay: 0.0, seed, resolution: self.resolution };
        }
        let mut rng = Pcg64::new(seed, 1);
        let mut cells: Vec<u32> = Vec::with_capacity(config.cells_per_update);
        for i in 0..config.cells_per_update {
            let cell = if i % 2 == 0 && !self.occupied.is_empty() {
                self.occupied[rng.random_range(0..self.occupied.len())]
            } else {
                rng.random_range(0..count)
            };
            if self.density[cell as usize] != UNOCCUPIABLE {
                cells.push(cell);
            }
        }
        // In order of space, for the caches; a cell drawn twice decays once.
        cells.sort_unstable();
        cells.dedup();
        CellUpdate { cells, decay: config.decay, seed, resolution: self.resolution }
    }

    /// Takes in the densities found in the cells of an update, which follow the law `density`, and decides anew which cells are
    /// occupied. `step` is the length of a step along a ray.
    pub(crate) fn finish_update(
        &mut self,
        update: &CellUpdate,
        found: &[f32],
        density: Density,
        config: &OccupancyConfig,
        step: f32,
    ) {
        for (&cell, &found) in update.cells.iter().zip(found) {
            let known = &mut self.density[cell as usize];
            let kept = if *known == f32::MAX { 0.0 } else { *known * update.decay };
            *known = kept.max(found);
        }
        self.rebuild(self.next_threshold(density, config, step));
    }

    fn evaluate(&self, field: &CellField<'_>, update: &CellUpdate) -> Vec<f32> {
        let CellField { fused, weights, grid, density: law } = *field;
        let jobs = update.cells.par_chunks(JOB).enumerate();
        jobs.flat_map_iter(|(job, cells)| {
            let points = update.points_in(job, cells);
            let mut density = vec![0.0; points.len()];
            fused.density_by(law, weights, grid, bytemuck::cast_slice(&points), &mut density);
            density
        })
        .collect()
    }

    /// Density that stops `config.threshold` of the light in a step, or less: before a field has learned to be dense anywhere the
    /// mean density, and where density follows a distance that of a few widths of its fall before the surface, so that the surface
    /// can move.
    fn next_threshold(&self, density: Density, config: &OccupancyConfig, step: f32) -> f32 {
        let opaque = -(1.0 - config.threshold).ln() / step;
        if let Density::SignedDistance { sharpness } = density {
            return opaque.min(density.evaluate(FALL_WIDTHS / sharpness));
        }
        let known = self.density.iter().filter(|d| **d >= 0.0 && **d < f32::MAX);
        let (sum, count) = known.fold((0.0f64, 0u64), |(s, n), d| (s + f64::from(*d), n + 1));
        if count == 0 { 0.0 } else { opaque.min((sum / count as f64) as f32) }
    }

    fn rebuild(&mut self, threshold: f32) {
        self.threshold = threshold;
        let density = &self.density;
        self.occupancy = Occupancy::from_bits(self.resolution, |i| density[i] > threshold);
        self.occupied = (0..density.len() as u32).filter(|i| density[*i as usize] > threshold).collect();
    }
}
