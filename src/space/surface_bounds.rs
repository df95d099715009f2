//! Cells of the unit cube of which it is proven that a distance field keeps its sign, and those where it may change.

/// A cell and what is proven of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundCell {
    /// Halvings of the unit cube.
    pub depth: u32,
    /// Place among the cells of that depth: from `at / 2^depth` to `(at + 1) / 2^depth`, borders included.
    pub at: [u32; 3],
    /// Sign of every value in the cell, 1 or −1; 0 where it may change.
    pub sign: i8,
}

impl BoundCell {
    /// Edge of the cell.
    pub fn edge(&self) -> f64 {
        0.5f64.powi(self.depth as i32)
    }

    /// Lowest and highest corner.
    pub fn corners(&self) -> [[f64; 3]; 2] {
        let low = self.at.map(|c| f64::from(c) * self.edge());
        [low, low.map(|c| c + self.edge())]
    }
}

/// A partition of the unit cube into cells: outside of those with sign 0 there is no surface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SurfaceBounds {
    /// Most halvings; all cells of sign 0 have this depth.
    pub depth: u32,
    /// The cells: they fill the cube and do not overlap.
    pub cells: Vec<BoundCell>,
    /// Boxes over which bounds were computed.
    pub boxes: usize,
}

impl SurfaceBounds {
    /// Cells that may hold the surface.
    pub fn undecided(&self) -> impl Iterator<Item = &BoundCell> {
        self.cells.iter().filter(|cell| cell.sign == 0)
    }

    /// Volume of the cells that may hold the surface, as a fraction of the cube.
    pub fn undecided_volume(&self) -> f64 {
        self.undecided().map(|cell| cell.edge().powi(3)).sum()
    }
}
