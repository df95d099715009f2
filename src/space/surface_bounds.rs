//! Proven bounds of a distance field over the cells of an octree, for renderers and meshing that must not miss a surface.

/// What is known of one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoundCell {
    /// Halvings of the unit cube.
    pub depth: u32,
    /// Place among the cells of that depth: from `at / 2^depth` to `(at + 1) / 2^depth`, borders included.
    pub at: [u32; 3],
    /// Sign of every value in the cell, 1 or −1; 0 where it may change.
    pub sign: i8,
    /// Bound of the gradient's length in the cell, infinite where nothing is known.
    pub slope: f32,
}

impl BoundCell {
    /// Range of the cell's places along each axis at another depth: `start..end`.
    pub fn places(&self, depth: u32) -> [std::ops::Range<usize>; 3] {
        self.at.map(|at| {
            let at = at as usize;
            if depth >= self.depth {
                let shift = depth - self.depth;
                at << shift..(at + 1) << shift
            } else {
                let place = at >> (self.depth - depth);
                place..place + 1
            }
        })
    }
}

/// A partition of the unit cube into cells, of which those that may hold the surface are known.
///
/// Outside of the cells with sign 0 there is no surface: that is proven, not sampled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SurfaceBounds {
    /// Most halvings; cells of sign 0 have this depth.
    pub depth: u32,
    /// The cells: they fill the cube and do not overlap.
    pub cells: Vec<BoundCell>,
    /// Bound of the difference between computed and exact values, over the whole cube.
    pub rounding: f32,
    /// Boxes over which bounds were computed.
    pub boxes: usize,
    /// Cells that were settled by their centre's value and the slope of the cell around them.
    pub by_slope: usize,
}

impl SurfaceBounds {
    /// Cells that may hold the surface.
    pub fn undecided(&self) -> impl Iterator<Item = &BoundCell> {
        self.cells.iter().filter(|cell| cell.sign == 0)
    }

    /// Largest slope in the cells that may hold the surface; 0 without any.
    pub fn steepest_undecided(&self) -> f32 {
        self.undecided().map(|cell| cell.slope).fold(0.0, f32::max)
    }

    /// Largest slope in the cube: a Lipschitz bound of the whole field.
    pub fn lipschitz(&self) -> f32 {
        self.cells.iter().map(|cell| cell.slope).fold(0.0, f32::max)
    }
}
