//! What a radiance fit knows of the density in every cell, and the occupancy that follows.
//!
//! As in Instant-NGP (Müller et al. 2022, appendix E.2): cells keep the largest density found lately; every few steps some
//! are probed at random points, what they know decays, and a cell is occupied while a step through it would stop light.

use glam::{DVec2, DVec3, Vec3};
use rand::RngExt;
use rand_pcg::Pcg64;
use rayon::prelude::*;

use crate::rays::RayConfig;
use crate::task::TaskState;
use nstr_capture::{Hull, View};
use nstr_kernel::{Fused, Prepared};
use nstr_space::occupancy::Occupancy;
use nstr_space::cube::UnitCube;

/// Density of a cell that can hold nothing: outside the silhouettes, or seen by no camera.
pub const VOID: f32 = -1.0;

/// Points probed by one job.
const JOB: usize = 4096;

/// The occupancy in a radiance task's state; `None` where it holds none of that many cells.
pub fn occupancy_of(state: &TaskState, cells: usize) -> Option<Occupancy> {
    let density = state.arrays.get("density").filter(|d| d.len() == cells * cells * cells)?;
    let floor = *state.numbers.get("floor")? as f32;
    Some(Occupancy::from_bits(cells, |i| density[i] > floor))
}

/// Cells along an axis of [`Seen`].
const COARSE: usize = 64;
/// Cameras that must see a place: what one camera alone sees can be anything at any distance.
const WITNESSES: usize = 2;

/// Which coarse cells of the cube enough cameras see, none of them from too near.
pub struct Seen(Vec<bool>);

/// Looks at the cube from all views. Matter where cameras do not agree on it is what floats before them.
pub fn seen(views: &[View], cube: UnitCube, near: f64) -> Seen {
    let wanted = WITNESSES.min(views.len());
    let reach = cube.size / COARSE as f64 * 0.87;
    let cells = (0..COARSE * COARSE * COARSE).into_par_iter().map(|i| {
        let at = [i % COARSE, i / COARSE % COARSE, i / (COARSE * COARSE)].map(|v| (v as f64 + 0.5) / COARSE as f64);
        let world = cube.to_world(DVec3::from(at));
        let mut witnesses = 0;
        for view in views {
            // A cell counts as seen where any of it may be: its radius widens the image.
            let distance = world.distance(view.camera.position());
            let margin = reach / distance.max(1e-12) * view.camera.focal.max_element();
            let (w, h) = (f64::from(view.camera.width), f64::from(view.camera.height));
            let inside = |p: DVec2| (-margin..=w + margin).contains(&p.x) && (-margin..=h + margin).contains(&p.y);
            if distance + reach > near && view.project(world).is_some_and(inside) {
                witnesses += 1;
                if witnesses >= wanted {
                    return true;
                }
            }
        }
        false
    });
    Seen(cells.collect())
}

impl Seen {
    /// Whether the place at `unit` coordinates in the cube is seen.
    pub fn get(&self, unit: [f64; 3]) -> bool {
        let [x, y, z] = unit.map(|v| ((v * COARSE as f64) as usize).min(COARSE - 1));
        self.0[x + COARSE * (y + COARSE * z)]
    }
}

/// The cells that can hold nothing: outside the silhouettes, or not seen by cameras enough.
pub struct Void {
    cells: usize,
    hull: Option<Hull>,
    seen: Seen,
}

impl Void {
    /// Of `cells` cells an axis of the cube that the views see, `near` as in [`seen`]; `hull` is what their silhouettes leave.
    pub fn new(cells: usize, hull: Option<Hull>, views: &[View], cube: UnitCube, near: f64) -> Self {
        Self { cells, hull, seen: seen(views, cube, near) }
    }

    /// Whether a cell (x fastest) can hold nothing.
    pub fn get(&self, cell: usize) -> bool {
        let n = self.cells;
        let at = [cell % n, cell / n % n, cell / (n * n)];
        let carved = self.hull.as_ref().is_some_and(|h| {
            let [x, y, z] = at.map(|v| v * h.resolution / n);
            !h.get(x, y, z)
        });
        carved || !self.seen.get(at.map(|v| (v as f64 + 0.5) / n as f64))
    }
}

/// Densities of the cells of the unit cube (x fastest), per unit of field coordinates.
#[derive(Clone, Debug)]
pub struct DensityGrid {
    cells: usize,
    density: Vec<f32>,
    occupancy: Occupancy,
    /// Indices of the occupied cells.
    occupied: Vec<u32>,
    /// Density above which cells are occupied, as of the last update.
    floor: f32,
}

impl DensityGrid {
    /// Every cell occupied but those that `void` names. `cells` as [`Occupancy::supports`] has it.
    pub fn new(cells: usize, void: impl Fn(usize) -> bool + Sync) -> Self {
        let density = (0..cells * cells * cells).into_par_iter().map(|i| if void(i) { VOID } else { f32::MAX });
        Self::from_density(cells, density.collect(), 0.0)
    }

    /// The grid of known densities; cells above `floor` are occupied.
    pub fn from_density(cells: usize, density: Vec<f32>, floor: f32) -> Self {
        let mut grid = Self { cells, density, occupancy: Occupancy::empty(cells), occupied: Vec::new(), floor };
        grid.rebuild(floor);
        grid
    }

    /// What is known of each cell.
    pub fn density(&self) -> &[f32] {
        &self.density
    }

    /// The cells that may hold matter.
    pub fn occupancy(&self) -> &Occupancy {
        &self.occupancy
    }

    /// Evaluates every cell that is not void at a random point and takes what is found for what is known.
    pub fn sweep(&mut self, fused: &Fused, weights: &Prepared, grid: &[f32], config: &RayConfig, seed: u128) {
        let cells: Vec<u32> = (0..self.density.len() as u32).filter(|i| self.density[*i as usize] != VOID).collect();
        self.probe(fused, weights, grid, &cells, 0.0, seed);
        self.rebuild(self.floor(config));
    }

    /// Evaluates cells drawn at random, half of them among the occupied ones.
    pub fn refresh(&mut self, fused: &Fused, weights: &Prepared, grid: &[f32], config: &RayConfig, seed: u128) {
        let mut rng = Pcg64::new(seed, 1);
        let all = self.density.len() as u32;
        let mut cells: Vec<u32> = Vec::with_capacity(config.probes);
        for i in 0..config.probes {
            let cell = if i % 2 == 0 && !self.occupied.is_empty() {
                self.occupied[rng.random_range(0..self.occupied.len())]
            } else {
                rng.random_range(0..all)
            };
            if self.density[cell as usize] != VOID {
                cells.push(cell);
            }
        }
        // In order of space, for the caches; a cell drawn twice decays once.
        cells.sort_unstable();
        cells.dedup();
        self.probe(fused, weights, grid, &cells, config.decay, seed);
        self.rebuild(self.floor(config));
    }

    fn probe(&mut self, fused: &Fused, weights: &Prepared, grid: &[f32], cells: &[u32], decay: f32, seed: u128) {
        let n = self.cells;
        let found: Vec<f32> = cells
            .par_chunks(JOB)
            .enumerate()
            .flat_map_iter(|(job, cells)| {
                let mut rng = Pcg64::new(seed, 2 + job as u128);
                let points: Vec<Vec3> = cells
                    .iter()
                    .map(|&c| {
                        let c = c as usize;
                        let corner = [c % n, c / n % n, c / (n * n)].map(|v| v as f32);
                        (Vec3::from(corner) + Vec3::from_array(rng.random())) / n as f32
                    })
                    .collect();
                let mut density = vec![0.0; points.len()];
                fused.density(weights, grid, bytemuck::cast_slice(&points), &mut density);
                density
            })
            .collect();
        for (&cell, found) in cells.iter().zip(found) {
            let known = &mut self.density[cell as usize];
            // A cell never probed before knows nothing.
            let kept = if *known == f32::MAX { 0.0 } else { *known * decay };
            *known = kept.max(found);
        }
    }

    /// Density above which a cell is occupied: what stops `threshold` of the light in a step, or the mean where that is
    /// less, as before a field has learned to be dense anywhere.
    fn floor(&self, config: &RayConfig) -> f32 {
        let opaque = -(1.0 - config.threshold).ln() / config.step;
        let known = self.density.iter().filter(|d| **d >= 0.0 && **d < f32::MAX);
        let (sum, count) = known.fold((0.0f64, 0u64), |(s, n), d| (s + f64::from(*d), n + 1));
        if count == 0 { 0.0 } else { opaque.min((sum / count as f64) as f32) }
    }

    /// Density above which cells are occupied, as of the last update.
    pub fn last_floor(&self) -> f32 {
        self.floor
    }

    fn rebuild(&mut self, floor: f32) {
        self.floor = floor;
        let density = &self.density;
        self.occupancy = Occupancy::from_bits(self.cells, |i| density[i] > floor);
        self.occupied = (0..density.len() as u32).filter(|i| density[*i as usize] > floor).collect();
    }
}
