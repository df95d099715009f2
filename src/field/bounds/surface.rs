//! Search for the cells of a distance field that may hold its surface: everything else is proven free of it.
//!
//! Boxes that reach over many cells of the finest latent level gain nothing, so that the search begins at boxes of its size. A
//! box whose enclosure leaves out 0 is settled. Of the others the halves are tried, first by what costs little: with the box's
//! slope L and the value f(c) at the centre of a half of half diagonal r, `|f(c)| > L r` settles it too.

use glam::Vec3;
use nstr_space::{BoundCell, DistanceField, SurfaceBounds};
use rayon::prelude::*;

use super::{BoxBounds, BoxEvaluator};

/// Least and most halvings before the first boxes are evaluated.
const FIRST: [u32; 2] = [3, 6];
/// Cells whose centres are evaluated at once.
const BATCH: usize = 4096;

impl SearchCell {
    fn edge(&self) -> f64 {
        0.5f64.powi(self.depth as i32)
    }

    fn corners(&self) -> [[f64; 3]; 2] {
        let low = self.at.map(|c| f64::from(c) * self.edge());
        [low, low.map(|c| c + self.edge())]
    }

    fn centre(&self) -> Vec3 {
        Vec3::from_array(self.at.map(|c| ((f64::from(c) + 0.5) * self.edge()) as f32))
    }
}

/// A cell that is not settled, with the bounds of the box around it.
#[derive(Clone, Copy, Debug)]
struct SearchCell {
    depth: u32,
    at: [u32; 3],
    slope: f64,
    rounding: f64,
}

impl BoxEvaluator<'_> {
    /// The cells of the unit cube that may hold the zero level set of output 0, at most `2^depth` along each axis, and the slopes of
    /// all. `field` is the same field, evaluated in single precision; `depth` is at most 20.
    pub fn surface_bounds(&self, field: &dyn DistanceField, depth: u32) -> SurfaceBounds {
        let depth = depth.min(MAX_DEPTH);
        let finest = self.spec().latent.levels.iter().map(|level| level.resolution).max().unwrap_or(1);
        let first = finest.max(1).ilog2().clamp(FIRST[0], FIRST[1]).min(depth);
        let n = 1u32 << first;
        let cells = (0..n.pow(3)).map(|i| SearchCell {
            depth: first,
            at: [i % n, i / n % n, i / (n * n)],
            slope: f64::INFINITY,
            rounding: f64::INFINITY,
        });
        self.search(field, cells.collect(), depth)
    }

    /// Searches cells of earlier [`SurfaceBounds`] on, down to `depth`. The result holds parts of these cells alone.
    pub fn refine_bounds(&self, field: &dyn DistanceField, cells: &[BoundCell], depth: u32) -> SurfaceBounds {
        let depth = depth.min(MAX_DEPTH);
        let start = |cell: &BoundCell| SearchCell {
            depth: cell.depth,
            at: cell.at,
            slope: cell.slope.into(),
            rounding: f64::INFINITY,
        };
        self.search(field, cells.iter().map(start).collect(), depth)
    }

    fn search(&self, field: &dyn DistanceField, mut active: Vec<SearchCell>, depth: u32) -> SurfaceBounds {
        let mut found = SurfaceBounds { depth, ..SurfaceBounds::default() };
        let mut rounding = 0f64;
        let settled = |cell: &SearchCell, sign: i8| BoundCell {
            depth: cell.depth,
            at: cell.at,
            sign,
            slope: round_up(cell.slope),
        };
        while !active.is_empty() {
            found.boxes += active.len();
            let bounds: Vec<BoxBounds> = active
                .par_iter()
                .with_min_len(16)
                .map(|cell| {
                    let [low, high] = cell.corners();
                    self.bound(&low, &high)
                })
                .collect();
            let mut halves = Vec::new();
            for (cell, bounds) in active.iter().zip(bounds) {
                // Bounds of the box around hold as well.
                let slope = bounds.slope.min(cell.slope);
                rounding = rounding.max(bounds.rounding);
                let cell = SearchCell { slope, rounding: bounds.rounding, ..*cell };
                let sign = i8::from(bounds.range.low > 0.0) - i8::from(bounds.range.high < 0.0);
                if sign != 0 || cell.depth >= depth {
                    found.cells.push(settled(&cell, sign));
                } else {
                    let half = |i: u32| [0, 1, 2].map(|j| 2 * cell.at[j] + (i >> j & 1));
                    halves.extend((0..8).map(|i| SearchCell { depth: cell.depth + 1, at: half(i), ..cell }));
                }
            }
            let signs = signs_by_slope(field, &halves);
            active.clear();
            for (cell, sign) in halves.iter().zip(signs) {
                if sign == 0 {
                    active.push(*cell);
                } else {
                    found.by_slope += 1;
                    found.cells.push(settled(cell, sign));
                }
            }
        }
        found.rounding = round_up(rounding);
        found
    }
}

/// Most halvings: centres in single precision are exact down to here.
const MAX_DEPTH: u32 = 20;

/// Signs of the values in each cell, as far as the value at its centre and the slope around tell; 0 where they do not.
fn signs_by_slope(field: &dyn DistanceField, cells: &[SearchCell]) -> Vec<i8> {
    let mut signs = vec![0; cells.len()];
    signs.par_chunks_mut(BATCH).zip(cells.par_chunks(BATCH)).for_each(|(signs, cells)| {
        let points: Vec<Vec3> = cells.iter().map(SearchCell::centre).collect();
        let mut values = vec![0.0; points.len()];
        field.distance(&points, &mut values);
        for ((sign, cell), value) in signs.iter_mut().zip(cells).zip(values) {
            let reach = 0.5 * 3f64.sqrt() * cell.edge() * cell.slope;
            // Twice: the value here, and the values that are computed elsewhere in the cell. Not-a-number settles nothing.
            let free = f64::from(value.abs()) > (reach + 2.0 * cell.rounding) * (1.0 + 1e-9);
            if free {
                *sign = if value < 0.0 { -1 } else { 1 };
            }
        }
    });
    signs
}

/// The least single-precision number that is not below a bound; infinite for what is not a number.
fn round_up(bound: f64) -> f32 {
    let near = bound as f32;
    if bound.is_nan() {
        f32::INFINITY
    } else if f64::from(near) < bound {
        near.next_up()
    } else {
        near
    }
}
