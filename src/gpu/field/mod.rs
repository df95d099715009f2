//! Parts of a tile, under the names of the CPU kernels, and the kernels over many points.

pub mod add;
pub mod basis;
pub(crate) mod density;
pub mod direction_encoding;
pub mod latent;
pub mod math;
pub mod mlp;
pub mod points;
pub mod product;
pub mod tile;

use cubecl::prelude::*;

/// Four floats: four points of a row, or four columns of a matrix.
pub type Float4 = Vector<f32, Const<4>>;
/// Four whole numbers.
pub type Uint4 = Vector<u32, Const<4>>;
/// Rows of a tile in workgroup memory, `[row][point]`.
pub type TileRows = SharedMemory<Float4>;

/// A unit's item of work on a tile: a group of points, and what is done with it.
#[derive(CubeType)]
pub struct Item {
    /// Group of points.
    pub p: usize,
    /// Number of the work.
    pub work: usize,
}

/// The item of a unit in a turn. Groups of points lie next to each other, so that a subgroup reads rows in order. Where
/// they are as many as the units, the work is the turn's for all units, and compilers see that all read the same
/// parameters: software adapters then load them once for a subgroup instead of once a lane.
#[cube]
pub fn item_of(turn: usize, #[comptime] groups: usize, #[comptime] units: usize) -> Item {
    if comptime!(groups == units) {
        Item { p: UNIT_POS as usize, work: turn }
    } else {
        let item = turn * units + UNIT_POS as usize;
        Item { p: item % groups, work: item / groups }
    }
}
