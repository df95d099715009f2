//! Densities and colours baked into a grid, interpolated linearly.
//!
//! Logarithms of densities are interpolated, as a trained field's density is nearly exponential towards a surface; densities
//! themselves would make every surface half a cell thicker. Colours are mixed by the densities of the vertices, since those of
//! empty space mean nothing. Each colour is the best linear function of the viewing direction through four directions.

use std::sync::Arc;

use glam::Vec3;
use nstr_space::fields::RadianceField;
use nstr_space::occupancy::Occupancy;
use rayon::prelude::*;

use crate::preview::{cell_of, vertex};

/// Vertices along an axis.
const VERTICES: usize = 160;
/// Vertices that one call evaluates, and a batch of them.
const PART: usize = 1 << 14;
const BATCH: usize = 1024;
/// Corners of a tetrahedron: the directions that colours are baked for, not of unit length.
const DIRECTIONS: [Vec3; 4] =
    [Vec3::ONE, Vec3::new(1.0, -1.0, -1.0), Vec3::new(-1.0, 1.0, -1.0), Vec3::new(-1.0, -1.0, 1.0)];
/// Densities below this are empty.
const LEAST_DENSITY: f32 = 0.05;

/// Vertex of the grid: logarithm of one plus the density, mean colour as bytes, and its change along x, y and z in units of 1/127.
#[derive(Clone, Copy, Default)]
struct Voxel {
    log_density: f32,
    colour: [u8; 3],
    slopes: [[i8; 3]; 3],
}

/// Grid of densities and colours, x fastest.
pub(crate) struct DensityGrid {
    n: usize,
    voxels: Vec<Voxel>,
}

/// Offsets of a cell's vertices, and their weights.
#[inline]
fn corners(n: usize, f: Vec3) -> [(usize, f32); 8] {
    std::array::from_fn(|k| {
        let (x, y, z) = (k & 1, k >> 1 & 1, k >> 2);
        let side = |one: usize, v: f32| if one == 1 { v } else { 1.0 - v };
        ((z * n + y) * n + x, side(x, f.x) * side(y, f.y) * side(z, f.z))
    })
}

impl DensityGrid {
    #[inline]
    fn density(&self, p: Vec3) -> f32 {
        let (i, f) = cell_of(self.n, p);
        corners(self.n, f).into_iter().map(|(k, w)| self.voxels[i + k].log_density * w).sum::<f32>().exp_m1()
    }

    fn radiance(&self, p: Vec3, direction: Vec3) -> [f32; 4] {
        let (i, f) = cell_of(self.n, p);
        let corners = corners(self.n, f);
        let log: f32 = corners.iter().map(|(k, w)| self.voxels[i + k].log_density * w).sum();
        let density = log.exp_m1();
        if density < LEAST_DENSITY {
            return [0.0; 4];
        }
        let toward = direction / 127.0;
        let (mut colour, mut total) = (Vec3::ZERO, 0.0);
        for (k, w) in corners {
            let voxel = &self.voxels[i + k];
            let share = w * voxel.log_density;
            let [x, y, z] = voxel.slopes.map(|s| Vec3::from(s.map(f32::from)));
            let seen = Vec3::from(voxel.colour.map(f32::from)) / 255.0 + x * toward.x + y * toward.y + z * toward.z;
            colour += seen * share;
            total += share;
        }
        let [r, g, b] = (colour / total.max(1e-9)).clamp(Vec3::ZERO, Vec3::ONE).to_array();
        [r, g, b, density]
    }

    /// Gradient of the density by differences over two cells.
    fn gradient(&self, p: Vec3) -> Vec3 {
        let h = 1.0 / (self.n - 1) as f32;
        let along = |axis: Vec3| (self.density(p + axis * h) - self.density(p - axis * h)) / (2.0 * h);
        Vec3::new(along(Vec3::X), along(Vec3::Y), along(Vec3::Z))
    }
}

/// A [`DensityGrid`] that is being filled.
pub(crate) struct DensityBake {
    grid: DensityGrid,
    /// Vertices to evaluate.
    wanted: Vec<u32>,
    done: usize,
}

impl DensityBake {
    /// Plans the vertices around the occupied cells.
    pub fn new(occupancy: &Occupancy) -> Self {
        let n = VERTICES;
        let cell = Vec3::splat(1.0 / (n - 1) as f32);
        let near = |i: &u32| {
            let p = vertex(n, *i as usize);
            let (lo, hi) = ((p - cell).max(Vec3::ZERO), (p + cell).min(Vec3::splat(1.0 - 1e-6)));
            // The corners and the middle of the cells around a vertex: occupied cells are no smaller than half of that.
            occupancy.overlaps(lo, hi)
                && (0..27).any(|k| {
                    let t = Vec3::new((k % 3) as f32, (k / 3 % 3) as f32, (k / 9) as f32) * 0.5;
                    occupancy.contains(lo + (hi - lo) * t)
                })
        };
        let wanted = (0..(n * n * n) as u32).into_par_iter().filter(near).collect();
        Self { grid: DensityGrid { n, voxels: vec![Voxel::default(); n * n * n] }, wanted, done: 0 }
    }

    /// Evaluates the next vertices; `false` once all are done.
    pub fn advance(&mut self, source: &dyn RadianceField) -> bool {
        let n = self.grid.n;
        let part = &self.wanted[self.done..(self.done + PART).min(self.wanted.len())];
        let evaluated: Vec<Voxel> = part
            .par_chunks(BATCH)
            .flat_map_iter(|batch| {
                let points: Vec<Vec3> = batch.iter().map(|i| vertex(n, *i as usize)).collect();
                bake(source, &points)
            })
            .collect();
        for (i, voxel) in part.iter().zip(evaluated) {
            self.grid.voxels[*i as usize] = voxel;
        }
        self.done += part.len();
        self.done < self.wanted.len()
    }

    /// The filled grid.
    pub fn finish(self) -> DensityGrid {
        self.grid
    }
}

/// Vertices at the given points.
fn bake(source: &dyn RadianceField, points: &[Vec3]) -> Vec<Voxel> {
    let mut density = vec![0.0; points.len()];
    source.density(points, &mut density);
    let log = |d: f32| if d.is_nan() { 0.0 } else { d.clamp(0.0, 1e9).ln_1p() };
    let mut voxels: Vec<Voxel> = density.iter().map(|d| Voxel { log_density: log(*d), ..Voxel::default() }).collect();
    let dense: Vec<usize> = (0..points.len()).filter(|i| density[*i] >= LEAST_DENSITY).collect();
    let at: Vec<Vec3> = dense.iter().map(|i| points[*i]).collect();
    let seen = DIRECTIONS.map(|direction| {
        let mut out = vec![[0.0; 4]; at.len()];
        source.radiance(&at, &vec![direction.normalize(); at.len()], &mut out);
        out
    });
    for (k, i) in dense.into_iter().enumerate() {
        let colours = [0, 1, 2, 3].map(|d| Vec3::from_slice(&seen[d][k][..3]).clamp(Vec3::ZERO, Vec3::ONE));
        let mean = colours.iter().sum::<Vec3>() * 0.25;
        voxels[i].colour = (mean * 255.0 + 0.5).to_array().map(|v| v as u8);
        // Least squares for directions that sum to 0 and have Σ d·dᵀ = 4/3.
        voxels[i].slopes = [0, 1, 2].map(|axis| {
            let slope: Vec3 =
                colours.iter().zip(DIRECTIONS).map(|(c, d)| *c * d.normalize()[axis]).sum::<Vec3>() * 0.75;
            (slope * 127.0).to_array().map(|v| v.round() as i8)
        });
    }
    voxels
}

/// Radiance field of a grid; the spectrum is that of the field it was made from.
pub(crate) struct BakedDensity {
    grid: Arc<DensityGrid>,
    source: Arc<dyn RadianceField + Send + Sync>,
    exact_gradients: bool,
}

impl BakedDensity {
    /// The field of `grid`, which was made from `source`; `exact_gradients` asks the source for gradients.
    pub fn new(grid: Arc<DensityGrid>, source: Arc<dyn RadianceField + Send + Sync>, exact_gradients: bool) -> Self {
        Self { grid, source, exact_gradients }
    }
}

impl RadianceField for BakedDensity {
    fn density(&self, points: &[Vec3], density: &mut [f32]) {
        points.iter().zip(density).for_each(|(p, d)| *d = self.grid.density(*p));
    }

    fn radiance(&self, points: &[Vec3], directions: &[Vec3], out: &mut [[f32; 4]]) {
        points.iter().zip(directions).zip(out).for_each(|((p, d), out)| *out = self.grid.radiance(*p, *d));
    }

    fn density_gradient(&self, points: &[Vec3], density: &mut [f32], gradient: &mut [Vec3]) {
        if self.exact_gradients {
            return self.source.density_gradient(points, density, gradient);
        }
        self.density(points, density);
        points.iter().zip(gradient).for_each(|(p, g)| *g = self.grid.gradient(*p));
    }

    fn spectrum_width(&self) -> usize {
        self.source.spectrum_width()
    }

    fn spectrum(&self, points: &[Vec3], spectrum: &mut [f32], gradient_norm: &mut [f32], residual: &mut [f32]) {
        self.source.spectrum(points, spectrum, gradient_norm, residual);
    }

    fn occupancy(&self) -> &Occupancy {
        self.source.occupancy()
    }
}
