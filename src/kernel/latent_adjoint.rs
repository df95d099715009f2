//! Adjoints of the features of many points, kept until they are added to the gradient of the grid level by level.
//!
//! A tile adds its adjoints to a sum of its thread: cheap where the grid is small. A large grid has a sum a thread to clear, to
//! read and to write in every step, which costs more than the adjoints themselves. Level by level, each by one thread, they go
//! straight into the gradient, whose part of a level is cleared just before and stays in the cache meanwhile. The sums do not
//! depend on the number of threads either.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::arch;
use crate::latent::{LatentPlan, Lookup};
use crate::mlp::{MatrixView, TILE};

/// Points of one thread with the adjoints of their features.
#[derive(Clone, Debug, Default)]
pub(super) struct LatentAdjoints {
    /// Coordinates, `[point][dim]`.
    x: Vec<f32>,
    /// Adjoints of the features, `[point][level][feature]`.
    d: Vec<f32>,
}

impl LatentAdjoints {
    /// Adds the first `points` of a tile.
    ///
    /// # Safety
    /// `dz` must have as many columns as `plan` has levels × features, and [`TILE`] rows.
    pub unsafe fn push(&mut self, plan: &LatentPlan, x: &[f32], dz: MatrixView, points: usize) {
        let columns = plan.columns();
        self.x.extend_from_slice(&x[..points * plan.dim()]);
        for p in 0..points.min(TILE) {
            // SAFETY: the row exists and has these columns.
            self.d.extend_from_slice(unsafe { std::slice::from_raw_parts(dz.ptr.add(p * dz.row), columns) });
        }
    }

    pub fn clear(&mut self) {
        self.x.clear();
        self.d.clear();
    }
}

/// The gradient of a grid that several threads write, each to other levels.
#[derive(Clone, Copy)]
struct SharedGradient(*mut f32);

// SAFETY: the levels of a grid do not overlap, and each level is written by one job.
unsafe impl Send for SharedGradient {}
// SAFETY: as above.
unsafe impl Sync for SharedGradient {}

impl LatentPlan {
    /// Writes the sums of the adjoints of all `parts`, in their order, as the gradient of the grid.
    ///
    /// # Panics
    /// If `d_grid` has not the grid's length.
    pub(super) fn scatter_levels(&self, parts: &[&LatentAdjoints], d_grid: &mut [f32]) {
        assert_eq!(d_grid.len(), self.grid_len(), "the gradient has the grid's length");
        let gradient = SharedGradient(d_grid.as_mut_ptr());
        (0..self.level_count()).into_par_iter().with_max_len(1).for_each(|level| {
            let mut lookup = self.lookup(1);
            arch().dispatch(LevelTask { plan: self, level, parts, lookup: &mut lookup, gradient });
        });
    }
}

struct LevelTask<'a> {
    plan: &'a LatentPlan,
    level: usize,
    parts: &'a [&'a LatentAdjoints],
    lookup: &'a mut Lookup,
    gradient: SharedGradient,
}

impl WithSimd for LevelTask<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, level, parts, lookup, gradient } = self;
        let range = plan.level_range(level);
        // SAFETY: the range lies inside the gradient, which has the grid's length (`scatter_levels`), and is this job's alone.
        unsafe { std::slice::from_raw_parts_mut(gradient.0.add(range.start), range.len()) }.fill(0.0);
        let (dim, columns) = (plan.dim(), plan.columns());
        let mut last = vec![0.0; TILE * dim];
        for part in parts {
            for (x, d) in part.x.chunks(TILE * dim).zip(part.d.chunks(TILE * columns)) {
                let points = x.len() / dim;
                let x = if points == TILE {
                    x
                } else {
                    last[..x.len()].copy_from_slice(x);
                    &last
                };
                plan.locate_levels(x, level..level + 1, lookup);
                let dz = MatrixView { ptr: d.as_ptr().cast_mut(), row: columns };
                // SAFETY: `d` has a row of all columns for each of these points, and is only read; the gradient is as above.
                unsafe { plan.scatter_level(simd, lookup, dz, points, gradient.0, level) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_spec::config::preset;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn levels_get_what_their_tiles_would_have_added() {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(5);
        // Hashed and dense levels, of 2, 4, 8 and 16 features, and cells of fewer axes.
        for name in ["radiance-fine", "radiance", "radiance-ngp", "radiance-planes", "radiance-vm", "sdf", "image"] {
            let mut spec = preset(name).unwrap().spec();
            let size = |level: &mut nstr_spec::LevelSpec| {
                level.resolution = level.resolution.min(40);
                level.hashmap_size = level.hashmap_size.map(|size| size.min(1 << 10));
            };
            spec.latent.levels.iter_mut().for_each(size);
            let plan = LatentPlan::new(&spec);
            let (dim, columns) = (plan.dim(), plan.columns());
            let mut parts = [LatentAdjoints::default(), LatentAdjoints::default()];
            let mut want = vec![0.0f64; spec.grid_len()];
            // Whole tiles, parts of tiles, and none.
            for (part, points) in [(0, TILE), (0, 5), (1, 0), (1, TILE), (0, 70), (1, 33)] {
                let x: Vec<f32> = (0..TILE * dim).map(|_| rng.random()).collect();
                let mut dz: Vec<f32> = (0..TILE * columns).map(|_| rng.random_range(-1.0..1.0)).collect();
                let view = MatrixView { ptr: dz.as_mut_ptr(), row: columns };
                let mut lookup = plan.lookup(1);
                plan.locate(&x, &mut lookup);
                let mut sums = vec![0.0; spec.grid_len()];
                arch().dispatch(TileScatter { plan: &plan, lookup: &lookup, view, points, to: &mut sums });
                want.iter_mut().zip(&sums).for_each(|(want, sum)| *want += f64::from(*sum));
                // SAFETY: the rows were made above.
                unsafe { parts[part].push(&plan, &x, view, points) }
            }
            // What was there before is overwritten.
            let mut got = vec![f32::NAN; spec.grid_len()];
            plan.scatter_levels(&[&parts[0], &parts[1]], &mut got);
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                assert!((f64::from(*got) - want).abs() < 1e-5, "{name}, {i}: {got} for {want}");
            }
            assert!(want.iter().filter(|d| **d != 0.0).count() > 100);
            parts.iter_mut().for_each(LatentAdjoints::clear);
            plan.scatter_levels(&[&parts[0], &parts[1]], &mut got);
            assert!(got.iter().all(|d| *d == 0.0), "{name}");
        }
    }

    struct TileScatter<'a> {
        plan: &'a LatentPlan,
        lookup: &'a Lookup,
        view: MatrixView,
        points: usize,
        to: &'a mut [f32],
    }

    impl WithSimd for TileScatter<'_> {
        type Output = ();
        fn with_simd<S: Simd>(self, simd: S) {
            // SAFETY: made for one plan by the test.
            unsafe { self.plan.scatter_values(simd, self.lookup, self.view, self.points, self.to) }
        }
    }
}
