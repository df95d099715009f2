//! The latent grid on a tile of points: interpolated features, their derivatives, and the adjoint.
//!
//! Per level `g = clamp(x, 0, 1)·cells`, `cell = min(⌊g⌋, cells − 1)`, `t = g − cell`; a feature is the multilinear blend
//! of the `2^d` vertices around the cell with weights of `t` (or of `t²(3−2t)`). Outside the cube the lookup is clamped and
//! its derivative 0. Vertices of a dense level are numbered with axis 0 fastest; hashed levels use Instant-NGP's hash
//! (Müller et al. 2022, eq. 4). A level over fewer axes (a plane, a line) has a cell of fewer vertices, which come first
//! among the corners.

use std::ops::Range;

use nstr_spec::{FieldSpec, HASH_PRIMES, Interpolation, LevelSpec};
use pulp::Simd;

use crate::mlp::{MatrixView, TILE};

/// Vertices of a cell, at most.
const CORNERS: usize = 8;
/// Points between an entry's prefetch and its use. Fine levels lie in the last-level cache, and a processor alone looks
/// only as far ahead as its window of instructions.
const AHEAD: usize = 16;

#[derive(Clone, Debug)]
struct Level {
    cells: u32,
    /// Mask of a hashed level's table, `None` for a dense one.
    mask: Option<u32>,
    /// First entry, and one past the last.
    start: u32,
    end: u32,
    /// Its axes in order: how many, and which.
    axes: usize,
    order: [usize; 3],
}

impl Level {
    /// Place of coordinate `j` among its axes.
    #[inline(always)]
    fn rank(&self, j: usize) -> Option<usize> {
        self.order[..self.axes].iter().position(|axis| *axis == j)
    }
}

/// The grid's levels in the form that lookups read.
#[derive(Clone, Debug)]
pub struct LatentPlan {
    levels: Vec<Level>,
    /// Levels in succession with cells of equally many axes, and how many.
    runs: Vec<(Range<usize>, usize)>,
    features: usize,
    dim: usize,
    smooth: bool,
    /// Numbers of the whole grid.
    grid_len: usize,
}

/// Entries and blending weights of each point of a tile, on every level.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// First element of each corner's features in `grid`: `[level][corner][point]`.
    entry: Vec<u32>,
    /// Weights, then their derivatives along each coordinate: `[level][plane][corner][point]`.
    weight: Vec<f32>,
    planes: usize,
}

impl Lookup {
    /// Values, and derivatives along each coordinate where there are some: 1 or 1 + dim.
    pub fn planes(&self) -> usize {
        self.planes
    }
}

/// Points whose lookups are computed together, in registers.
const LANES: usize = 16;
const _: () = assert!(TILE.is_multiple_of(LANES));

/// Contribution of one axis to the lookups of some points: index and weight of the lower and the upper vertex, and the slope
/// of the upper one's weight.
#[derive(Clone, Copy)]
struct Axis {
    index: [[u32; LANES]; 2],
    weight: [[f32; LANES]; 2],
    slope: [f32; LANES],
}

impl Axis {
    const EMPTY: Self = Self { index: [[0; LANES]; 2], weight: [[0.0; LANES]; 2], slope: [0.0; LANES] };

    /// One coordinate of the points on a level; `stride` multiplies vertex numbers.
    #[inline(always)]
    fn locate<const SLOPES: bool>(&mut self, x: &[f32; LANES], cells: u32, stride: u32, smooth: bool) {
        let [low, high] = &mut self.index;
        let [rest, weight] = &mut self.weight;
        let (last, cells) = (cells - 1, cells as f32);
        for p in 0..LANES {
            let v = x[p];
            // NaN passes the clamp: it goes to cell 0, and shows in the weights.
            let g = v.clamp(0.0, 1.0) * cells;
            // SAFETY: a number from 0 to the cells of a level, which are far fewer than 2³¹. (`as`, which saturates, converts
            // one number at a time.)
            let cell = unsafe { if g >= 0.0 { g } else { 0.0 }.to_int_unchecked::<i32>() } as u32;
            let cell = cell.min(last);
            let t = g - cell as i32 as f32;
            let (w, s) = if smooth { (t * t * (3.0 - 2.0 * t), 6.0 * t * (1.0 - t)) } else { (t, 1.0) };
            low[p] = cell.wrapping_mul(stride);
            high[p] = low[p].wrapping_add(stride);
            rest[p] = 1.0 - w;
            weight[p] = w;
            if SLOPES {
                self.slope[p] = if (0.0..=1.0).contains(&v) { s * cells } else { 0.0 };
            }
        }
    }

    /// Slopes of the weights of the lower and the upper vertex.
    #[inline(always)]
    fn slopes(&self) -> [[f32; LANES]; 2] {
        [self.slope.map(|s| -s), self.slope]
    }
}

/// Joins the numbers of each axis's two vertices to one for each corner, axis 0 fastest.
#[inline(always)]
fn corners<T: Copy, const A: usize>(axes: [[[T; LANES]; 2]; A], join: impl Fn(T, T) -> T) -> [[T; LANES]; CORNERS] {
    let mut all = [axes[0][0]; CORNERS];
    all[1] = axes[0][1];
    for (axis, [low, high]) in axes.iter().enumerate().skip(1) {
        let count = 1 << axis;
        for c in 0..count {
            let of_corner = all[c];
            for p in 0..LANES {
                all[c][p] = join(of_corner[p], low[p]);
                all[count + c][p] = join(of_corner[p], high[p]);
            }
        }
    }
    all
}

/// Asks for the cache line at `address`, which need not be one of this process.
#[inline(always)]
fn prefetch(address: *const f32) {
    // SAFETY: a prefetch reads nothing that the program sees and never faults.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

impl LatentPlan {
    /// Plans the levels of `spec`.
    pub fn new(spec: &FieldSpec) -> Self {
        let starts = spec.latent.offsets(spec.dim);
        let level = |(l, range): (&LevelSpec, &[usize])| {
            let mut order = [0; 3];
            let present = (0..spec.dim).filter(|j| l.axes.has(*j));
            order.iter_mut().zip(present).for_each(|(to, j)| *to = j);
            let axes = l.axes.count(spec.dim);
            let [start, end] = [range[0], range[1]].map(|entry| entry as u32);
            Level { cells: l.resolution, mask: l.hashmap_size.map(|size| size - 1), start, end, axes, order }
        };
        let levels: Vec<Level> = spec.latent.levels.iter().zip(starts.windows(2)).map(level).collect();
        let mut runs: Vec<(Range<usize>, usize)> = Vec::new();
        for (l, level) in levels.iter().enumerate() {
            match runs.last_mut() {
                Some((run, axes)) if *axes == level.axes => run.end = l + 1,
                _ => runs.push((l..l + 1, level.axes)),
            }
        }
        Self {
            levels,
            runs,
            features: spec.latent.features,
            dim: spec.dim,
            smooth: spec.latent.interpolation == Interpolation::Smoothstep,
            grid_len: spec.grid_len(),
        }
    }

    /// Coordinates of a point.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of levels.
    pub fn level_count(&self) -> usize {
        self.levels.len()
    }

    /// The numbers of a level in the grid.
    pub fn level_range(&self, level: usize) -> Range<usize> {
        let Level { start, end, .. } = self.levels[level];
        start as usize * self.features..end as usize * self.features
    }

    /// Levels × features.
    pub fn columns(&self) -> usize {
        self.levels.len() * self.features
    }

    /// Numbers of the whole grid.
    pub fn grid_len(&self) -> usize {
        self.grid_len
    }

    /// Room for the lookups of one tile; `planes` is 1, or 1 + dim with derivatives.
    pub fn lookup(&self, planes: usize) -> Lookup {
        let n = self.levels.len() * TILE * CORNERS;
        Lookup { entry: vec![0; n], weight: vec![0.0; n * planes], planes }
    }

    /// Finds entries and weights of the tile's points (`x`: `[point][dim]`, [`TILE`] rows).
    #[inline(always)]
    pub fn locate(&self, x: &[f32], to: &mut Lookup) {
        self.locate_levels(x, 0..self.levels.len(), to);
    }

    /// [`Self::locate`] for some levels; those of the others stay as they are.
    #[inline(always)]
    pub fn locate_levels(&self, x: &[f32], levels: Range<usize>, to: &mut Lookup) {
        match (self.dim, to.planes > 1) {
            (1, false) => self.locate_in::<1, false>(x, levels, to),
            (1, true) => self.locate_in::<1, true>(x, levels, to),
            (2, false) => self.locate_in::<2, false>(x, levels, to),
            (2, true) => self.locate_in::<2, true>(x, levels, to),
            (_, false) => self.locate_in::<3, false>(x, levels, to),
            (_, true) => self.locate_in::<3, true>(x, levels, to),
        }
    }

    #[inline(always)]
    fn locate_in<const D: usize, const SLOPES: bool>(&self, x: &[f32], levels: Range<usize>, to: &mut Lookup) {
        // Coordinate by coordinate, so that the loops over points below read in order.
        let mut columns = [[0.0; TILE]; D];
        for (p, x) in x.as_chunks::<D>().0[..TILE].iter().enumerate() {
            columns.iter_mut().zip(x).for_each(|(column, x)| column[p] = *x);
        }
        for l in levels {
            match self.levels[l].axes {
                1 => self.locate_level::<D, 1, SLOPES>(l, &columns, to),
                2 => self.locate_level::<D, 2, SLOPES>(l, &columns, to),
                _ => self.locate_level::<D, 3, SLOPES>(l, &columns, to),
            }
        }
    }

    /// The lookups of level `l`, which has `A` axes.
    #[inline(always)]
    fn locate_level<const D: usize, const A: usize, const SLOPES: bool>(
        &self,
        l: usize,
        columns: &[[f32; TILE]; D],
        to: &mut Lookup,
    ) {
        let (level, planes) = (&self.levels[l], to.planes);
        let entry = &mut to.entry.as_chunks_mut::<TILE>().0[l * CORNERS..(l + 1) * CORNERS];
        let weight = &mut to.weight.as_chunks_mut::<TILE>().0[l * planes * CORNERS..(l + 1) * planes * CORNERS];
        if SLOPES {
            // With derivatives every level is read as if it had all axes: the rest of the corners counts nothing.
            for c in 1 << A..1 << D {
                entry[c].fill(level.start * self.features as u32);
                (0..planes).for_each(|plane| weight[plane * CORNERS + c].fill(0.0));
            }
        }
        let (mask, start, features) = (level.mask.unwrap_or(u32::MAX), level.start, self.features as u32);
        for (block, from) in (0..TILE).step_by(LANES).enumerate() {
            let mut axes = [Axis::EMPTY; A];
            for (rank, axis) in axes.iter_mut().enumerate() {
                let j = level.order[rank];
                let stride = if level.mask.is_some() { HASH_PRIMES[j] } else { (level.cells + 1).pow(rank as u32) };
                let x = columns[j].as_chunks().0;
                axis.locate::<SLOPES>(&x[block], level.cells, stride, self.smooth);
            }
            let vertices = match level.mask {
                Some(_) => corners(axes.map(|axis| axis.index), |a, b| a ^ b),
                None => corners(axes.map(|axis| axis.index), |a, b| a + b),
            };
            let weights = corners(axes.map(|axis| axis.weight), |a, b| a * b);
            for c in 0..1 << A {
                entry[c][from..from + LANES].copy_from_slice(&vertices[c].map(|v| (start + (v & mask)) * features));
                weight[c][from..from + LANES].copy_from_slice(&weights[c]);
            }
            if SLOPES {
                for j in 0..D {
                    let rank = level.rank(j);
                    let of_axis = |i: usize| if rank == Some(i) { axes[i].slopes() } else { axes[i].weight };
                    let slopes = corners(std::array::from_fn::<_, A, _>(of_axis), |a, b| a * b);
                    for c in 0..1 << A {
                        let to = &mut weight[(j + 1) * CORNERS + c][from..from + LANES];
                        if rank.is_some() { to.copy_from_slice(&slopes[c]) } else { to.fill(0.0) }
                    }
                }
            }
        }
    }

    /// Asks for the entries of the point [`AHEAD`] of point `p` of level `l`, which may be the next level's.
    ///
    /// # Safety
    /// `table` must have the grid's length, and `at` must be a lookup of this plan.
    #[inline(always)]
    unsafe fn prefetch_ahead<const C: usize>(&self, table: *const f32, at: &Lookup, l: usize, p: usize) {
        let (level, point) = if p + AHEAD < TILE { (l, p + AHEAD) } else { (l + 1, p + AHEAD - TILE) };
        if level < self.levels.len() {
            for c in 0..C {
                // SAFETY: level, corner and point are those of the lookup, whose entries lie inside the grid.
                unsafe {
                    prefetch(table.add(*at.entry.get_unchecked((level * CORNERS + c) * TILE + point) as usize));
                }
            }
        }
    }

    /// Interpolated features into the columns of `z`, for every plane of the lookup.
    ///
    /// # Safety
    /// `z` must have levels × features columns (before any products) and [`TILE`] rows in each plane; `grid` must be the plan's.
    #[inline(always)]
    pub unsafe fn gather<S: Simd>(&self, simd: S, grid: &[f32], at: &Lookup, z: MatrixView) {
        // SAFETY: the same promise; corners and planes are those of the lookup.
        unsafe {
            for (run, axes) in self.runs.iter().map(|(run, axes)| (run.clone(), *axes)) {
                match (axes, at.planes) {
                    (1, 1) => self.gather_in::<S, 2, 1>(simd, grid, at, z, run),
                    (2, 1) => self.gather_in::<S, 4, 1>(simd, grid, at, z, run),
                    (_, 1) => self.gather_in::<S, 8, 1>(simd, grid, at, z, run),
                    (_, 2) => self.gather_in::<S, 2, 2>(simd, grid, at, z, run),
                    (_, 3) => self.gather_in::<S, 4, 3>(simd, grid, at, z, run),
                    (_, _) => self.gather_in::<S, 8, 4>(simd, grid, at, z, run),
                }
            }
        }
    }

    /// [`Self::gather_in`] for entries of exactly `F` features, fewer than a vector's lanes: whole entries as arrays, which
    /// become one short vector each.
    #[inline(always)]
    unsafe fn gather_narrow<const C: usize, const P: usize, const F: usize>(
        &self,
        grid: &[f32],
        at: &Lookup,
        z: MatrixView,
        levels: Range<usize>,
    ) {
        let grid = grid.as_ptr();
        for l in levels {
            let entries = at.entry[l * CORNERS * TILE..][..CORNERS * TILE].as_ptr();
            let weights = at.weight[l * P * CORNERS * TILE..][..P * CORNERS * TILE].as_ptr();
            for p in 0..TILE {
                // SAFETY: as in `gather_in`.
                unsafe {
                    self.prefetch_ahead::<C>(grid, at, l, p);
                    let mut acc = [[0.0f32; F]; P];
                    for c in 0..C {
                        let g = grid.add(*entries.add(c * TILE + p) as usize).cast::<[f32; F]>().read_unaligned();
                        for (plane, a) in acc.iter_mut().enumerate() {
                            let w = *weights.add((plane * CORNERS + c) * TILE + p);
                            for f in 0..F {
                                a[f] += w * g[f];
                            }
                        }
                    }
                    for (plane, a) in acc.iter().enumerate() {
                        let to = z.ptr.add((plane * TILE + p) * z.row + l * F);
                        to.cast::<[f32; F]>().write_unaligned(*a);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn gather_in<S: Simd, const C: usize, const P: usize>(
        &self,
        simd: S,
        grid: &[f32],
        at: &Lookup,
        z: MatrixView,
        levels: Range<usize>,
    ) {
        let (lanes, features) = (S::F32_LANES, self.features);
        // SAFETY: the same promise.
        unsafe {
            match features {
                2 => return self.gather_narrow::<C, P, 2>(grid, at, z, levels),
                4 if lanes > 4 => return self.gather_narrow::<C, P, 4>(grid, at, z, levels),
                8 if lanes > 8 => return self.gather_narrow::<C, P, 8>(grid, at, z, levels),
                _ => {}
            }
        }
        let grid = grid.as_ptr();
        for l in levels {
            let entries = at.entry[l * CORNERS * TILE..][..CORNERS * TILE].as_ptr();
            let weights = at.weight[l * P * CORNERS * TILE..][..P * CORNERS * TILE].as_ptr();
            for p in 0..TILE {
                let mut f = 0;
                // SAFETY: entries lie inside the grid by construction; z's size is promised; p < TILE and c < CORNERS.
                unsafe {
                    self.prefetch_ahead::<C>(grid, at, l, p);
                    let to = z.ptr.add(p * z.row + l * features);
                    let entry = |c: usize| *entries.add(c * TILE + p) as usize;
                    let weight = |plane: usize, c: usize| *weights.add((plane * CORNERS + c) * TILE + p);
                    // Two vectors at a time keep enough independent sums in flight.
                    while f + 2 * lanes <= features {
                        let mut acc = [[simd.splat_f32s(0.0); 2]; P];
                        for c in 0..C {
                            let from = grid.add(entry(c) + f);
                            let g0 = from.cast::<S::f32s>().read_unaligned();
                            let g1 = from.add(lanes).cast::<S::f32s>().read_unaligned();
                            for (plane, a) in acc.iter_mut().enumerate() {
                                let w = simd.splat_f32s(weight(plane, c));
                                a[0] = simd.mul_add_e_f32s(w, g0, a[0]);
                                a[1] = simd.mul_add_e_f32s(w, g1, a[1]);
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
                                let g = grid.add(entry(c) + f).cast::<S::f32s>().read_unaligned();
                                acc = simd.mul_add_e_f32s(simd.splat_f32s(weight(plane, c)), g, acc);
                            }
                            to.add(plane * TILE * z.row + f).cast::<S::f32s>().write_unaligned(acc);
                        }
                        f += lanes;
                    }
                    while f < features {
                        for plane in 0..P {
                            *to.add(plane * TILE * z.row + f) =
                                (0..C).map(|c| *grid.add(entry(c) + f) * weight(plane, c)).sum();
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
    pub unsafe fn scatter<S: Simd>(&self, simd: S, at: &Lookup, dz: MatrixView, points: usize, d_grid: &mut [f32]) {
        let (to, all) = (d_grid.as_mut_ptr(), 0..self.levels.len());
        // SAFETY: the same promise.
        unsafe {
            match at.planes {
                1 => self.scatter_values(simd, at, dz, points, d_grid),
                2 => self.scatter_in::<S, 2, 2>(simd, at, dz, points, to, all),
                3 => self.scatter_in::<S, 4, 3>(simd, at, dz, points, to, all),
                _ => self.scatter_in::<S, 8, 4>(simd, at, dz, points, to, all),
            }
        }
    }

    /// Like [`Self::scatter`], for adjoints of values alone, whatever slopes the lookup holds.
    ///
    /// # Safety
    /// As for [`Self::gather`].
    #[inline(always)]
    pub unsafe fn scatter_values<S: Simd>(
        &self,
        simd: S,
        at: &Lookup,
        dz: MatrixView,
        points: usize,
        d_grid: &mut [f32],
    ) {
        for (run, axes) in &self.runs {
            // SAFETY: the same promise.
            unsafe { self.scatter_run(simd, at, dz, points, d_grid.as_mut_ptr(), (run.clone(), *axes)) }
        }
    }

    /// [`Self::scatter_values`] for one level, whose entries alone are written.
    ///
    /// # Safety
    /// As for [`Self::gather`]; `d_grid` has the grid's length, and nothing else writes or reads the entries of the level meanwhile.
    #[inline(always)]
    pub unsafe fn scatter_level<S: Simd>(
        &self,
        simd: S,
        at: &Lookup,
        dz: MatrixView,
        points: usize,
        d_grid: *mut f32,
        level: usize,
    ) {
        let first = at.entry[level * CORNERS * TILE..][..CORNERS * TILE].as_chunks::<TILE>().0;
        for entry in first.iter().flat_map(|corner| &corner[..AHEAD.min(points)]) {
            // SAFETY: entries lie inside the grid by construction.
            prefetch(unsafe { d_grid.add(*entry as usize) });
        }
        // SAFETY: the same promise.
        unsafe { self.scatter_run(simd, at, dz, points, d_grid, (level..level + 1, self.levels[level].axes)) }
    }

    /// Adjoints of values on levels in succession with cells of equally many axes.
    ///
    /// # Safety
    /// As for [`Self::scatter_level`], of all these levels.
    #[inline(always)]
    unsafe fn scatter_run<S: Simd>(
        &self,
        simd: S,
        at: &Lookup,
        dz: MatrixView,
        points: usize,
        d_grid: *mut f32,
        (run, axes): (Range<usize>, usize),
    ) {
        // SAFETY: the same promise.
        unsafe {
            match axes {
                1 => self.scatter_in::<S, 2, 1>(simd, at, dz, points, d_grid, run),
                2 => self.scatter_in::<S, 4, 1>(simd, at, dz, points, d_grid, run),
                _ => self.scatter_in::<S, 8, 1>(simd, at, dz, points, d_grid, run),
            }
        }
    }

    /// [`Self::scatter_in`] for entries of exactly `F` features, as [`Self::gather_narrow`].
    #[inline(always)]
    unsafe fn scatter_narrow<const C: usize, const P: usize, const F: usize>(
        &self,
        at: &Lookup,
        dz: MatrixView,
        points: usize,
        d_grid: *mut f32,
        levels: Range<usize>,
    ) {
        for l in levels {
            let entries = at.entry[l * CORNERS * TILE..][..CORNERS * TILE].as_ptr();
            let weights = at.weight[l * at.planes * CORNERS * TILE..][..P * CORNERS * TILE].as_ptr();
            for p in 0..points.min(TILE) {
                // SAFETY: as in `gather_in`.
                unsafe {
                    self.prefetch_ahead::<C>(d_grid, at, l, p);
                    let mut d = [[0.0f32; F]; P];
                    for (plane, d) in d.iter_mut().enumerate() {
                        *d = dz.ptr.add((plane * TILE + p) * dz.row + l * F).cast::<[f32; F]>().read_unaligned();
                    }
                    for c in 0..C {
                        let to = d_grid.add(*entries.add(c * TILE + p) as usize).cast::<[f32; F]>();
                        let mut sum = to.read_unaligned();
                        for (plane, d) in d.iter().enumerate() {
                            let w = *weights.add((plane * CORNERS + c) * TILE + p);
                            for f in 0..F {
                                sum[f] += w * d[f];
                            }
                        }
                        to.write_unaligned(sum);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn scatter_in<S: Simd, const C: usize, const P: usize>(
        &self,
        simd: S,
        at: &Lookup,
        dz: MatrixView,
        points: usize,
        d_grid: *mut f32,
        levels: Range<usize>,
    ) {
        let (lanes, features) = (S::F32_LANES, self.features);
        // SAFETY: the same promise.
        unsafe {
            match features {
                2 => return self.scatter_narrow::<C, P, 2>(at, dz, points, d_grid, levels),
                4 if lanes > 4 => return self.scatter_narrow::<C, P, 4>(at, dz, points, d_grid, levels),
                8 if lanes > 8 => return self.scatter_narrow::<C, P, 8>(at, dz, points, d_grid, levels),
                _ => {}
            }
        }
        for l in levels {
            let entries = at.entry[l * CORNERS * TILE..][..CORNERS * TILE].as_ptr();
            let weights = at.weight[l * at.planes * CORNERS * TILE..][..P * CORNERS * TILE].as_ptr();
            for p in 0..points.min(TILE) {
                let mut f = 0;
                // SAFETY: as in `gather_in`.
                unsafe {
                    self.prefetch_ahead::<C>(d_grid, at, l, p);
                    let from = dz.ptr.add(p * dz.row + l * features);
                    let entry = |c: usize| *entries.add(c * TILE + p) as usize;
                    let weight = |plane: usize, c: usize| *weights.add((plane * CORNERS + c) * TILE + p);
                    while f + lanes <= features {
                        let mut d = [simd.splat_f32s(0.0); P];
                        for (plane, d) in d.iter_mut().enumerate() {
                            *d = from.add(plane * TILE * dz.row + f).cast::<S::f32s>().read_unaligned();
                        }
                        for c in 0..C {
                            let to = d_grid.add(entry(c) + f).cast::<S::f32s>();
                            let mut sum = to.read_unaligned();
                            for (plane, &d) in d.iter().enumerate() {
                                let w = simd.splat_f32s(weight(plane, c));
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
                                *d_grid.add(entry(c) + f) += weight(plane, c) * d;
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
    pub unsafe fn input_adjoint(&self, grid: &[f32], at: &Lookup, dz: MatrixView, points: usize, dx: &mut [f32]) {
        for (l, level) in self.levels.iter().enumerate() {
            let corners = 1 << level.axes;
            let weights = &at.weight[l * at.planes * CORNERS * TILE..];
            for p in 0..points {
                for c in 0..corners {
                    let entry = at.entry[(l * CORNERS + c) * TILE + p] as usize;
                    let features = &grid[entry..entry + self.features];
                    // SAFETY: dz has the features' columns.
                    let dot: f32 = (0..self.features)
                        .map(|f| features[f] * unsafe { *dz.ptr.add(p * dz.row + l * self.features + f) })
                        .sum();
                    for j in 0..self.dim {
                        dx[p * self.dim + j] += weights[((j + 1) * CORNERS + c) * TILE + p] * dot;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_spec::{Activation, LatentSpec, LevelSpec, MlpSpec, Modulation};

    fn spec(dim: usize, interpolation: Interpolation) -> FieldSpec {
        let mlp = MlpSpec::new(1, 8, Activation::Relu);
        let levels = vec![LevelSpec::new(5, None), LevelSpec::new(40, Some(64))];
        FieldSpec {
            dim,
            outputs: 1,
            latent: LatentSpec { levels, features: 2, interpolation, product: 1 },
            basis: 4,
            modulation: Modulation::Product,
            basis_omega_0: 1,
            input_coords: false,
            spectrum: mlp,
            spectrum_input: false,
            decoder: mlp,
            skip_latent: false,
            transport: mlp,
            color_head: None,
        }
    }

    /// Kernels read the grid unchecked, so no coordinate at all may lead outside it.
    #[test]
    fn every_coordinate_leads_into_the_grid_with_weights_that_sum_to_one() {
        let odd =
            [0.0, 1.0, -0.0, -3.0, 1e30, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE, 0.999_999_94];
        for dim in 1..=3 {
            for interpolation in [Interpolation::Linear, Interpolation::Smoothstep] {
                let spec = spec(dim, interpolation);
                let plan = LatentPlan::new(&spec);
                let x: Vec<f32> =
                    (0..TILE * dim).map(|i| if i % 3 == 0 { odd[i / 3 % 10] } else { i as f32 / 290.0 }).collect();
                let mut at = plan.lookup(1 + dim);
                plan.locate(&x, &mut at);
                for (l, p) in (0..2).flat_map(|l| (0..TILE).map(move |p| (l, p))) {
                    let weights = |plane: usize| -> f32 {
                        (0..1 << dim).map(|c| at.weight[((l * (1 + dim) + plane) * CORNERS + c) * TILE + p]).sum()
                    };
                    for c in 0..1 << dim {
                        let entry = at.entry[(l * CORNERS + c) * TILE + p] as usize;
                        assert!(
                            entry + 2 <= spec.grid_len(),
                            "{dim} dimensions, level {l}: {:?}",
                            &x[p * dim..][..dim]
                        );
                    }
                    if x[p * dim..][..dim].iter().any(|x| x.is_nan()) {
                        assert!(weights(0).is_nan());
                    } else {
                        assert!((weights(0) - 1.0).abs() < 1e-5);
                        assert!((1..=dim).all(|j| weights(j).abs() < 1e-4), "slopes of a constant are 0");
                    }
                }
            }
        }
    }

    /// The blend of a linear function's samples is that function, and its slopes are the function's.
    #[test]
    fn a_linear_function_is_reproduced() {
        let spec = spec(3, Interpolation::Linear);
        let plan = LatentPlan::new(&spec);
        let x: Vec<f32> = (0..TILE * 3).map(|i| (i as f32 * 0.618).fract()).collect();
        let mut at = plan.lookup(4);
        plan.locate(&x, &mut at);
        for p in 0..TILE {
            let mut got = [0.0; 4];
            for c in 0..CORNERS {
                // Level 0 is dense with 6 vertices an axis, axis 0 fastest.
                let vertex = at.entry[c * TILE + p] / 2;
                let [i, j, k] = [vertex % 6, vertex / 6 % 6, vertex / 36].map(|v| v as f32 / 5.0);
                for (plane, got) in got.iter_mut().enumerate() {
                    *got += at.weight[(plane * CORNERS + c) * TILE + p] * (i - 2.0 * j + 0.5 * k);
                }
            }
            let want = [x[3 * p] - 2.0 * x[3 * p + 1] + 0.5 * x[3 * p + 2], 1.0, -2.0, 0.5];
            assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-5), "{got:?} for {want:?}");
        }
    }
}
