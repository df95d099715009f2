//! Search for the cells of a distance field that may hold its surface: everything else is proven free of it.
//!
//! Boxes that reach over many cells of the finest latent level gain nothing, so that the search begins at boxes of its size. A
//! box is settled if its enclosure, on the side of the value at its centre, leaves out 0; the others are halved. A sample of the
//! boxes of each size tells from which distance on they are settled; nearer ones are halved without a try.

use glam::Vec3;
use nstr_space::{BoundCell, DistanceField, SurfaceBounds};
use rayon::prelude::*;

use super::BoxEvaluator;

/// Least and most halvings before the first boxes are tried.
const FIRST: [u32; 2] = [3, 6];
/// Most halvings: corners and centres in single precision are exact down to here.
const MAX_DEPTH: u32 = 20;
/// Cells whose centres are evaluated at once.
const BATCH: usize = 4096;
/// Boxes of one size that are tried first.
const SAMPLE: usize = 1024;
/// Fraction of the boxes that can be settled which may be given up for not trying those nearest to the surface.
const GIVEN_UP: f64 = 0.02;

impl BoxEvaluator<'_> {
    /// The cells of the unit cube that may hold the zero level set of output 0, `2^depth` along each axis, and those between them
    /// that cannot. `field` is the same field, whose values choose what is tried first; `depth` is at most 20.
    pub fn surface_bounds(&self, field: &dyn DistanceField, depth: u32) -> SurfaceBounds {
        let depth = depth.min(MAX_DEPTH);
        let finest = self.spec().latent.levels.iter().map(|level| level.resolution).max().unwrap_or(1);
        let first = finest.max(1).ilog2().clamp(FIRST[0], FIRST[1]).min(depth);
        let n = 1u32 << first;
        let cell = |i: u32| BoundCell { depth: first, at: [i % n, i / n % n, i / (n * n)], sign: 0 };
        self.refine_bounds(field, (0..n.pow(3)).map(cell).collect(), depth)
    }

    /// The same for parts of the cube: `cells` of one depth, of which nothing is known yet.
    pub fn refine_bounds(&self, field: &dyn DistanceField, cells: Vec<BoundCell>, depth: u32) -> SurfaceBounds {
        let (depth, mut active) = (depth.min(MAX_DEPTH), cells);
        let mut found = SurfaceBounds { depth, ..SurfaceBounds::default() };
        while !active.is_empty() {
            let values = centre_values(field, &active);
            let tried = self.settle(&mut active, &values);
            found.boxes += tried;
            let mut halves = Vec::new();
            for cell in active {
                if cell.sign != 0 || cell.depth >= depth {
                    found.cells.push(cell);
                } else {
                    let half = |i: u32| [0, 1, 2].map(|j| 2 * cell.at[j] + (i >> j & 1));
                    halves.extend((0..8).map(|i| BoundCell { depth: cell.depth + 1, at: half(i), sign: 0 }));
                }
            }
            active = halves;
        }
        found
    }

    /// Bound of the length of output 0's gradient in the whole unit cube: the largest [`Self::lipschitz`] of its `2^depth` cells
    /// along each axis; `depth` is at most 9.
    pub fn cube_lipschitz(&self, depth: u32) -> f64 {
        let (n, dim) = (1usize << depth.min(9), self.spec().dim);
        let edge = 1.0 / n as f64;
        let cell = |i: usize| {
            let low = [i % n, i / n % n, i / (n * n)].map(|c| c as f64 * edge);
            self.lipschitz(&low[..dim], &low.map(|c| c + edge)[..dim])
        };
        (0..n.pow(dim as u32)).into_par_iter().with_min_len(16).map(cell).reduce(|| 0.0, f64::max)
    }

    /// Writes the signs of the cells that can be settled; the number of boxes that it took.
    fn settle(&self, cells: &mut [BoundCell], values: &[f32]) -> usize {
        let sign = |cell: &BoundCell, value: f32| {
            let [low, high] = cell.corners();
            // Not-a-number is tried for a positive sign, in vain.
            let positive = value.is_nan() || value >= 0.0;
            match self.keeps_sign(&low, &high, positive) {
                true if positive => 1,
                true => -1,
                false => 0i8,
            }
        };
        let (mut nearest, mut tried) = (0.0, 0);
        if cells.len() >= 4 * SAMPLE {
            // Odd, so that it does not fall in step with rows of cells.
            let stride = (cells.len() / SAMPLE) | 1;
            let mut sample: Vec<(f32, bool)> = (0..cells.len())
                .into_par_iter()
                .step_by(stride)
                .map(|i| (values[i].abs(), sign(&cells[i], values[i]) != 0))
                .collect();
            nearest = spared_distance(&mut sample);
            tried = sample.len();
        }
        tried += cells
            .par_iter_mut()
            .zip(values)
            .with_min_len(16)
            .map(|(cell, value)| {
                if value.abs() < nearest {
                    return 0;
                }
                cell.sign = sign(cell, *value);
                1
            })
            .sum::<usize>();
        tried
    }
}

/// Distance below which boxes are not worth a try, from a sample of distances and whether the box was settled.
fn spared_distance(sample: &mut [(f32, bool)]) -> f32 {
    sample.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let settled = sample.iter().filter(|(_, settled)| *settled).count();
    let mut given_up = (settled as f64 * GIVEN_UP) as usize;
    let mut nearest = 0.0;
    for (distance, settled) in sample {
        if *settled && given_up == 0 {
            break;
        }
        given_up -= usize::from(*settled);
        nearest = *distance;
    }
    nearest
}

/// Values at the centres.
fn centre_values(field: &dyn DistanceField, cells: &[BoundCell]) -> Vec<f32> {
    let mut values = vec![0.0; cells.len()];
    values.par_chunks_mut(BATCH).zip(cells.par_chunks(BATCH)).for_each(|(values, cells)| {
        let centre = |cell: &BoundCell| {
            let [low, high] = cell.corners();
            Vec3::from_array([0, 1, 2].map(|j| (0.5 * (low[j] + high[j])) as f32))
        };
        let points: Vec<Vec3> = cells.iter().map(centre).collect();
        field.distance(&points, values);
    });
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_nearer_than_those_that_settle_are_spared() {
        let sample = |from: usize| (0..200).rev().map(|i| (i as f32, i >= from)).collect::<Vec<_>>();
        // One of 50 settled ones may be given up: 1 of 80, 4 of 200.
        assert_eq!(spared_distance(&mut sample(120)), 120.0);
        assert_eq!(spared_distance(&mut sample(0)), 3.0);
        // Where none settles none of these sizes is worth a try.
        assert_eq!(spared_distance(&mut sample(200)), 199.0);
        assert_eq!(spared_distance(&mut []), 0.0);
    }
}
