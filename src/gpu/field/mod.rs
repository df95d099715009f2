//! Parts of a tile, under the names of the CPU kernels, and the kernels over many points.

pub mod add;
pub mod basis;
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
