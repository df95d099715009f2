//! Cells of the unit cube that may hold a level set, found by halving boxes; all others are proven free of it.

use rayon::prelude::*;

use super::BoxEvaluator;

/// Cells that may hold a level set, and what it took to find them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelCells {
    /// Halvings of the cube: `2^depth` cells along each axis.
    pub depth: u32,
    /// Places of the cells that are left, in cells along each axis (0 along axes that the field does not have). Cell c reaches
    /// from `c / 2^depth` to `(c + 1) / 2^depth`.
    pub cells: Vec<[u32; 3]>,
    /// Boxes evaluated.
    pub boxes: usize,
    /// Boxes left after each halving, from none on.
    pub kept: Vec<usize>,
}

impl LevelCells {
    /// Most halvings: places have 32 bits, and coordinates in `f32` tell no finer cells apart.
    pub const MAX_DEPTH: u32 = 24;
}

impl BoxEvaluator<'_> {
    /// Cells of the unit cube, `2^depth` along each axis, in which output 0 may have the value `level`. In no other cell, border
    /// included, does it have that value, as far as [`super::Rounding`] says. `depth` is at most [`LevelCells::MAX_DEPTH`].
    pub fn level_cells(&self, depth: u32, level: f64) -> LevelCells {
        let (depth, dim) = (depth.min(LevelCells::MAX_DEPTH), self.spec().dim);
        let (mut cells, mut boxes, mut kept) = (vec![[0; 3]], 0, Vec::new());
        for d in 0..=depth {
            if d > 0 {
                let halves = |cell: &[u32; 3]| {
                    let cell = *cell;
                    (0..1u32 << dim).map(move |i| [0, 1, 2].map(|j| 2 * cell[j] + (i >> j & 1)))
                };
                cells = cells.iter().flat_map(halves).collect();
            }
            boxes += cells.len();
            let edge = 0.5f64.powi(d as i32);
            let may_hold = |cell: &[u32; 3]| {
                let low = cell.map(|c| f64::from(c) * edge);
                let high = low.map(|c| c + edge);
                self.enclose(&low[..dim], &high[..dim]).first().is_none_or(|range| range.contains(level))
            };
            cells = cells.into_par_iter().with_min_len(16).filter(may_hold).collect();
            kept.push(cells.len());
        }
        LevelCells { depth, cells, boxes, kept }
    }
}
