//! The latent grid on a tile of points: interpolated features, their derivatives, and the adjoint.
//!
//! Per level `g = clamp(x, 0, 1)·cells`, `cell = min(⌊g⌋, cells − 1)`, `t = g − cell`; a feature is the multilinear blend
//! of the `2^d` vertices around the cell with weights of `t` (or of `t²(3−2t)`). Outside the cube the lookup is clamped and
//! its derivative 0. Vertices of a dense level are numbered with axis 0 fastest; hashed levels use Instant-NGP's hash
//! (Müller et al. 2022, eq. 4).

use pulp::Simd;

use super::mlp::{TILE, View};
use super::spec::{FieldSpec, Interpolation};

/// Multipliers of the spatial hash, one an axis.
const PRIMES: [u32; 3] = [1, 2_654_435_761, 805_459_861];
/// Vertices of a cell, at most.
const CORNERS: usize = 8;

#[derive(Clone, Debug)]
struct Level {
    cells: u32,
    /// Mask of a hashed level's table, `None` for a dense one.
    mask: Option<u32>,
    /// First entry.
    start: u32,
}

/// The grid's levels in the form that lookups read.
#[derive(Clone, Debug)]
pub struct LatentPlan {
    levels: Vec<Level>,
    features: usize,
    dim: usize,
    smooth: bool,
}

/// Where each point of a tile looks, on every level: entries and blending weights.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// First element of each corner's features in `grid`: `[level][point][corner]`.
    entry: Vec<u32>,
    /// Weights, then their derivatives along each coordinate: `[level][plane][point][corner]`.
    weight: Vec<f32>,
    planes: usize,
}

impl LatentPlan {
    /// Plans the levels of `spec`.
    pub fn new(spec: &FieldSpec) -> Self {
        let starts = spec.latent.offsets(spec.dim);
        let levels = spec.latent.levels.iter().zip(&starts).map(|(l, &start)| Level {
            cells: l.cells,
            mask: l.table.map(|t| t - 1),
            start: start as u32,
        });
        Self {
            levels: levels.collect(),
            features: spec.latent.features,
            dim: spec.dim,
            smooth: spec.latent.interpolation == Interpolation::Smoothstep,
        }
    }

    /// Room for the lookups of one tile; `planes` is 1, or 1 + dim with derivatives.
    pub fn lookup(&self, planes: usize) -> Lookup {
        let n = self.levels.len() * TILE * CORNERS;
        Lookup { entry: vec![0; n], weight: vec![0.0; n * planes], planes }
    }

    /// Finds entries and weights of the tile's points (`x`: `[point][dim]`, [`TILE`] rows).
    #[inline(always)]
    pub fn locate(&self, x: &[f32], to: &mut Lookup) {
        match (self.dim, to.planes > 1) {
            (1, false) => self.locate_in::<1, false>(x, to),
            (1, true) => self.locate_in::<1, true>(x, to),
            (2, false) => self.locate_in::<2, false>(x, to),
            (2, true) => self.locate_in::<2, true>(x, to),
            (_, false) => self.locate_in::<3, false>(x, to),
            (_, true) => self.locate_in::<3, true>(x, to),
        }
    }

    #[inline(always)]
    fn locate_in<const D: usize, const SLOPES: bool>(&self, x: &[f32], to: &mut Lookup) {
        let planes = to.planes;
        for (l, level) in self.levels.iter().enumerate() {
            let cells = level.cells as f32;
            let strides: [u32; D] = match level.mask {
                Some(_) => std::array::from_fn(|j| PRIMES[j]),
                None => std::array::from_fn(|j| (level.cells + 1).pow(j as u32)),
            };
            for p in 0..TILE {
                // Along each axis: index contribution, weight and weight slope of the lower and the upper vertex.
                let (mut index, mut weight, mut slope) = ([[0u32; 2]; D], [[0f32; 2]; D], [0f32; D]);
                for j in 0..D {
                    let v = x[p * D + j];
                    let inside = (0.0..=1.0).contains(&v);
                    // NaN passes the clamp; `as` turns it into cell 0 and the NaN shows in the weights.
                    let g = v.clamp(0.0, 1.0) * cells;
                    let cell = (g as u32).min(level.cells - 1);
                    let t = g - cell as f32;
                    let (w, s) = if self.smooth { (t * t * (3.0 - 2.0 * t), 6.0 * t * (1.0 - t)) } else { (t, 1.0) };
                    index[j] = [cell.wrapping_mul(strides[j]), (cell + 1).wrapping_mul(strides[j])];
                    weight[j] = [1.0 - w, w];
                    slope[j] = if inside { s * cells } else { 0.0 };
                }
                let entries = &mut to.entry[(l * TILE + p) * CORNERS..][..CORNERS];
                for c in 0..1 << D {
                    let at = |j: usize| index[j][c >> j & 1];
                    let entry = match level.mask {
                        Some(mask) => (0..D).fold(0, |h, j| h ^ at(j)) & mask,
                        None => (0..D).map(at).sum(),
                    };
                    entries[c] = (level.start + entry) * self.features as u32;
                    let w = |j: usize| weight[j][c >> j & 1];
                    let base = (l * planes * TILE + p) * CORNERS + c;
                    to.weight[base] = (0..D).map(w).product();
                    if SLOPES {
                        for j in 0..D {
                            let others: f32 = (0..D).filter(|&i| i != j).map(w).product();
                            let sign = if c >> j & 1 == 1 { slope[j] } else { -slope[j] };
                            to.weight[base + (j + 1) * TILE * CORNERS] = sign * others;
                        }
                    }
                }
            }
        }
    }

    /// Interpolated features into the columns of `z`, for every plane of the lookup.
    ///
    /// # Safety
    /// `z` must have levels × features columns and [`TILE`] rows in each plane; `grid` must be the plan's.
    #[inline(always)]
    pub unsafe fn gather<S: Simd>(&self, simd: S, grid: &[f32], at: &Lookup, z: View) {
        // SAFETY: the same promise; corners and planes are those of the lookup.
        unsafe {
            match (self.dim, at.planes) {
                (1, 1) => self.gather_in::<S, 2, 1>(simd, grid, at, z),
                (1, _) => self.gather_in::<S, 2, 2>(simd, grid, at, z),
                (2, 1) => self.gather_in::<S, 4, 1>(simd, grid, at, z),
                (2, _) => self.gather_in::<S, 4, 3>(simd, grid, at, z),
                (_, 1) => self.gather_in::<S, 8, 1>(simd, grid, at, z),
                (_, _) => self.gather_in::<S, 8, 4>(simd, grid, at, z),
            }
        }
    }

    #[inline(always)]
    unsafe fn gather_in<S: Simd, const C: usize, const P: usize>(&self, simd: S, grid: &[f32], at: &Lookup, z: View) {
        let (lanes, features) = (S::F32_LANES, self.features);
        let grid = grid.as_ptr();
        for l in 0..self.levels.len() {
            let weights = &at.weight[l * P * TILE * CORNERS..][..P * TILE * CORNERS];
            for p in 0..TILE {
                let entries = &at.entry[(l * TILE + p) * CORNERS..][..C];
                let mut f = 0;
                // SAFETY: entries lie inside the grid by construction; z's size is promised.
                unsafe {
                    let to = z.ptr.add(p * z.row + l * features);
                    let weight = weights.as_ptr().add(p * CORNERS);
                    // Two vectors at a time keep enough independent sums in flight.
                    while f + 2 * lanes <= features {
                        let mut acc = [[simd.splat_f32s(0.0); 2]; P];
                        for c in 0..C {
                            let from = grid.add(entries[c] as usize + f);
                            let g = [from, from.add(lanes)].map(|v| v.cast::<S::f32s>().read_unaligned());
                            for (plane, a) in acc.iter_mut().enumerate() {
                                let w = simd.splat_f32s(*weight.add(plane * TILE * CORNERS + c));
                                a[0] = simd.mul_add_e_f32s(w, g[0], a[0]);
                                a[1] = simd.mul_add_e_f32s(w, g[1], a[1]);
                            }
                        }
                        for (plane, a) in acc.iter().enumerate() {
                            let to = to.add(plane * TILE * z.row + f).cast::<S::f32s>();
                            to.write_unaligned(a[0]);
                            to.add(1).write_unaligned(a[1]);
                        }
                        f += 2 * lanes;
                    }
                    while f + lanes <= features {
                        for plane in 0..P {
                            let mut acc = simd.splat_f32s(0.0);
                            for c in 0..C {
                                let g = grid.add(entries[c] as usize + f).cast::<S::f32s>().read_unaligned();
                                let w = simd.splat_f32s(*weight.add(plane * TILE * CORNERS + c));
                                acc = simd.mul_add_e_f32s(w, g, acc);
                            }
                            to.add(plane * TILE * z.row + f).cast::<S::f32s>().write_unaligned(acc);
                        }
                        f += lanes;
                    }
                    while f < features {
                        for plane in 0..P {
                            let mut acc = 0.0;
                            for c in 0..C {
                                acc += *grid.add(entries[c] as usize + f) * *weight.add(plane * TILE * CORNERS + c);
                            }
                            *to.add(plane * TILE * z.row + f) = acc;
                        }
                        f += 1;
                    }
                }
            }
        }
    }

    /// Adds the adjoint of the features, `dz`, of the first `points` points into `d_grid`.
    ///
    /// # Safety
    /// As for [`Self::gather`]; `d_grid` has the grid's length.
    #[inline(always)]
    pub unsafe fn scatter<S: Simd>(&self, simd: S, at: &Lookup, dz: View, points: usize, d_grid: &mut [f32]) {
        // SAFETY: the same promise.
        unsafe {
            match (self.dim, at.planes) {
                (1, 1) => self.scatter_in::<S, 2, 1>(simd, at, dz, points, d_grid),
                (1, _) => self.scatter_in::<S, 2, 2>(simd, at, dz, points, d_grid),
                (2, 1) => self.scatter_in::<S, 4, 1>(simd, at, dz, points, d_grid),
                (2, _) => self.scatter_in::<S, 4, 3>(simd, at, dz, points, d_grid),
                (_, 1) => self.scatter_in::<S, 8, 1>(simd, at, dz, points, d_grid),
                (_, _) => self.scatter_in::<S, 8, 4>(simd, at, dz, points, d_grid),
            }
        }
    }

    /// Like [`Self::scatter`], for adjoints of values alone, whatever slopes the lookup holds.
    ///
    /// # Safety
    /// As for [`Self::gather`].
    #[inline(always)]
    pub unsafe fn scatter_values<S: Simd>(&self, simd: S, at: &Lookup, dz: View, points: usize, d_grid: &mut [f32]) {
        // SAFETY: the same promise.
        unsafe {
            match self.dim {
                1 => self.scatter_in::<S, 2, 1>(simd, at, dz, points, d_grid),
                2 => self.scatter_in::<S, 4, 1>(simd, at, dz, points, d_grid),
                _ => self.scatter_in::<S, 8, 1>(simd, at, dz, points, d_grid),
            }
        }
    }

    #[inline(always)]
    unsafe fn scatter_in<S: Simd, const C: usize, const P: usize>(
        &self,
        simd: S,
        at: &Lookup,
        dz: View,
        points: usize,
        d_grid: &mut [f32],
    ) {
        let (lanes, features) = (S::F32_LANES, self.features);
        let d_grid = d_grid.as_mut_ptr();
        for l in 0..self.levels.len() {
            let weights = &at.weight[l * at.planes * TILE * CORNERS..][..P * TILE * CORNERS];
            for p in 0..points {
                let entries = &at.entry[(l * TILE + p) * CORNERS..][..C];
                let mut f = 0;
                // SAFETY: as in `gather_in`.
                unsafe {
                    let from = dz.ptr.add(p * dz.row + l * features);
                    let weight = weights.as_ptr().add(p * CORNERS);
                    while f + lanes <= features {
                        let mut d = [simd.splat_f32s(0.0); P];
                        for (plane, d) in d.iter_mut().enumerate() {
                            *d = from.add(plane * TILE * dz.row + f).cast::<S::f32s>().read_unaligned();
                        }
                        for c in 0..C {
                            let to = d_grid.add(entries[c] as usize + f).cast::<S::f32s>();
                            let mut sum = to.read_unaligned();
                            for (plane, &d) in d.iter().enumerate() {
                                let w = simd.splat_f32s(*weight.add(plane * TILE * CORNERS + c));
                                sum = simd.mul_add_e_f32s(w, d, sum);
                            }
                            to.write_unaligned(sum);
                        }
                        f += lanes;
                    }
                    while f < features {
                        for plane in 0..P {
                            let d = *from.add(plane * TILE * dz.row + f);
                            for c in 0..C {
                                *d_grid.add(entries[c] as usize + f) += *weight.add(plane * TILE * CORNERS + c) * d;
                            }
                        }
                        f += 1;
                    }
                }
            }
        }
    }

    /// Adds the adjoint of the coordinates through the grid to `dx` (`[point][dim]`), given the adjoint of the features;
    /// the lookup must hold slopes.
    ///
    /// # Safety
    /// As for [`Self::gather`].
    pub unsafe fn input_adjoint(&self, grid: &[f32], at: &Lookup, dz: View, points: usize, dx: &mut [f32]) {
        let corners = 1 << self.dim;
        for l in 0..self.levels.len() {
            let weights = &at.weight[l * at.planes * TILE * CORNERS..];
            for p in 0..points {
                for c in 0..corners {
                    let entry = at.entry[(l * TILE + p) * CORNERS + c] as usize;
                    let features = &grid[entry..entry + self.features];
                    // SAFETY: dz has the features' columns.
                    let dot: f32 = (0..self.features)
                        .map(|f| features[f] * unsafe { *dz.ptr.add(p * dz.row + l * self.features + f) })
                        .sum();
                    for j in 0..self.dim {
                        dx[p * self.dim + j] += weights[((j + 1) * TILE + p) * CORNERS + c] * dot;
                    }
                }
            }
        }
    }
}
