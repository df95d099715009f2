//! Distance grid: a coarse grid of certified empty space.
//!
//! Each cell stores the field at its centre divided by the Lipschitz bound L. No surface can be nearer to the centre than
//! that, so a point at distance `o` from the centre has a clearance of at least `|stored| − o`, without an evaluation.
//! Cells are refined from coarse to fine only where the coarser level leaves the surface near.

use std::time::Instant;

use glam::Vec3;
use nstr_space::fields::DistanceField;
use rayon::prelude::*;

/// Points a batch while building.
const BATCH: usize = 4096;
/// A cell is refined while its clearance is below this multiple of its half diagonal.
const REFINE: f32 = 2.0;

/// Grid of safe radii; built once a field, valid for every frame.
#[derive(Clone, Debug)]
pub struct DistanceGrid {
    cells: usize,
    /// Signed clearance of each cell's centre, `[z][y][x]`.
    clearance: Vec<f32>,
    lipschitz: f32,
    /// Evaluations that the build took.
    pub evals: u64,
    /// Seconds that the build took.
    pub seconds: f64,
}

impl DistanceGrid {
    /// Builds the grid with `cells` cells an axis (rounded up to a multiple of 4, 4 to 512) on rayon's threads.
    ///
    /// `lipschitz` bounds the field's gradient and must be above 0.
    pub fn build(source: &dyn DistanceField, cells: usize, lipschitz: f32) -> Self {
        let start = Instant::now();
        let cells = cells.clamp(4, 512).div_ceil(4) * 4;
        let mut level = cells / 4;
        let mut evals = (level * level * level) as u64;
        let mut clearance = evaluate(source, level, &(0..level.pow(3) as u32).collect::<Vec<_>>(), lipschitz);
        while level < cells {
            let (finer, count) = refine(source, level, &clearance, lipschitz);
            (clearance, level) = (finer, level * 2);
            evals += count;
        }
        Self { cells, clearance, lipschitz, evals, seconds: start.elapsed().as_secs_f64() }
    }

    /// Cells along an axis.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Signed clearance of each cell's centre, x fastest.
    pub fn clearances(&self) -> &[f32] {
        &self.clearance
    }

    /// Edge of a cell in field coordinates.
    pub fn cell(&self) -> f32 {
        1.0 / self.cells as f32
    }

    fn axis(&self, v: f32) -> usize {
        // A negative or NaN coordinate casts to 0.
        ((v * self.cells as f32) as usize).min(self.cells - 1)
    }

    #[inline]
    fn at(&self, x: usize, y: usize, z: usize) -> f32 {
        self.clearance[(z * self.cells + y) * self.cells + x]
    }

    /// Radius of a ball around `p` (within the cube) that holds no surface, at most 0 where the grid cannot tell, and the
    /// sign of the field in the ball.
    pub fn safe_radius(&self, p: Vec3) -> (f32, f32) {
        let (x, y, z) = (self.axis(p.x), self.axis(p.y), self.axis(p.z));
        let r = self.at(x, y, z);
        let centre = (Vec3::new(x as f32, y as f32, z as f32) + 0.5) * self.cell();
        (r.abs() - p.distance(centre), r.signum())
    }

    /// Field and gradient at `p`, extrapolated from the cell and its neighbours: an estimate, certified by nothing.
    pub fn extrapolate(&self, p: Vec3) -> (f32, Vec3) {
        let at = [self.axis(p.x), self.axis(p.y), self.axis(p.z)];
        let mut gradient = Vec3::ZERO;
        for axis in 0..3 {
            let (mut lo, mut hi) = (at, at);
            lo[axis] = at[axis].saturating_sub(1);
            hi[axis] = (at[axis] + 1).min(self.cells - 1);
            let rise = self.at(hi[0], hi[1], hi[2]) - self.at(lo[0], lo[1], lo[2]);
            gradient[axis] = rise * self.lipschitz / ((hi[axis] - lo[axis]) as f32 * self.cell());
        }
        let centre = (Vec3::from_array(at.map(|i| i as f32)) + 0.5) * self.cell();
        (self.at(at[0], at[1], at[2]) * self.lipschitz + gradient.dot(p - centre), gradient)
    }

    /// Lowest and highest corner of the box around the cells that a surface may cross; `None` if there are none.
    pub fn surface_bounds(&self) -> Option<(Vec3, Vec3)> {
        let reach = 0.5 * 3f32.sqrt() * self.cell();
        let n = self.cells;
        let near = self.clearance.iter().enumerate().filter(|(_, r)| r.abs() < reach);
        near.map(|(i, _)| Vec3::new((i % n) as f32, (i / n % n) as f32, (i / n / n) as f32))
            .map(|c| (c, c))
            .reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))
            .map(|(lo, hi)| (lo * self.cell(), (hi + 1.0) * self.cell()))
    }
}

/// Signed clearance at the centres of the numbered cells of a level.
fn evaluate(source: &dyn DistanceField, level: usize, cells: &[u32], lipschitz: f32) -> Vec<f32> {
    let mut out = vec![0.0; cells.len()];
    out.par_chunks_mut(BATCH).zip(cells.par_chunks(BATCH)).for_each(|(out, cells)| {
        let points: Vec<Vec3> = cells.iter().map(|&c| centre(level, c as usize)).collect();
        source.distance(&points, out);
        for v in out {
            // A distance that is not finite certifies nothing.
            *v = if v.is_finite() { *v / lipschitz } else { 0.0 };
        }
    });
    out
}

fn centre(level: usize, cell: usize) -> Vec3 {
    let at = Vec3::new((cell % level) as f32, (cell / level % level) as f32, (cell / level / level) as f32);
    (at + 0.5) / level as f32
}

/// The next level of twice the cells, and how many evaluations it took.
fn refine(source: &dyn DistanceField, level: usize, coarse: &[f32], lipschitz: f32) -> (Vec<f32>, u64) {
    let fine = level * 2;
    let half_diagonal = 0.5 * 3f32.sqrt() / level as f32;
    // Distance between a cell's centre and its children's centres.
    let offset = 0.5 * half_diagonal;
    let child = |p: usize, k: usize| {
        let (x, y, z) =
            (p % level * 2 + (k & 1), p / level % level * 2 + (k >> 1 & 1), p / level / level * 2 + (k >> 2));
        (z * fine + y) * fine + x
    };
    let mut out = vec![0.0; fine * fine * fine];
    let mut wanted = Vec::new();
    for (p, &r) in coarse.iter().enumerate() {
        for k in 0..8 {
            if r.abs() < REFINE * half_diagonal {
                wanted.push(child(p, k) as u32);
            } else {
                out[child(p, k)] = r.signum() * (r.abs() - offset);
            }
        }
    }
    for (&c, v) in wanted.iter().zip(evaluate(source, fine, &wanted, lipschitz)) {
        out[c as usize] = v;
    }
    (out, wanted.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_space::analytic::{AnalyticSdf, still_life};

    #[test]
    fn clearance_never_exceeds_the_distance() {
        let source = AnalyticSdf::new(1.0, still_life);
        let grid = DistanceGrid::build(&source, 64, 1.0);
        let mut known = 0;
        for i in 0..40_000u32 {
            let h = |k: u32| {
                (i.wrapping_mul(2_654_435_761).wrapping_add(k.wrapping_mul(40_503_001)) >> 8) as f32 / (1 << 24) as f32
            };
            let p = Vec3::new(h(1), (h(2) * 7.0).fract(), (h(3) * 31.0).fract());
            let f = still_life(p);
            let (r, sign) = grid.safe_radius(p);
            assert!(r <= f.abs() + 1e-6, "{p}: {r} > {f}");
            assert!(r <= 0.0 || sign == f.signum());
            known += (r > 0.0) as u32;
        }
        assert!(known > 30_000, "{known}");
        assert!(grid.evals < 64 * 64 * 64, "{}", grid.evals);
    }

    #[test]
    fn bounds_hold_the_surface() {
        let source = AnalyticSdf::new(1.0, |p| p.distance(Vec3::splat(0.5)) - 0.25);
        let (lo, hi) = DistanceGrid::build(&source, 64, 1.0).surface_bounds().unwrap();
        assert!(lo.max_element() <= 0.25 && lo.min_element() > 0.2, "{lo}");
        assert!(hi.min_element() >= 0.75 && hi.max_element() < 0.8, "{hi}");
        let nothing = AnalyticSdf::new(1.0, |_| 3.0);
        assert!(DistanceGrid::build(&nothing, 16, 1.0).surface_bounds().is_none());
    }
}
