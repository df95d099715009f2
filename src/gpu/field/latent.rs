//! The latent grid on a tile: interpolated features and the adjoint, as the CPU kernels compute them
//! (`src/kernel/latent.rs`).
//!
//! An item is four points, one level and `feature_width` features. The items of one point's features lie in neighbouring
//! lanes, so that a subgroup reads and adds whole sectors of memory.

use cubecl::prelude::*;

use super::add::Add;
use super::{Float4, Item, TileRows, Uint4, item_of};
use crate::shape::Shape;

/// Corner of a point's cell on a level: entry and blending weight.
#[derive(CubeType)]
struct Corner {
    entry: usize,
    weight: f32,
}

/// Words of a level (see `shape::LEVEL_WORDS`).
#[derive(CubeType)]
struct Level {
    cells: Uint4,
    strides: Uint4,
    first: u32,
}

#[cube]
fn level(levels: &Array<Uint4>, l: usize) -> Level {
    let start = levels[l * 3 + 2];
    Level { cells: levels[l * 3], strides: levels[l * 3 + 1], first: start[0] }
}

/// Cells and fractions of a point along its axes.
#[derive(CubeType)]
struct Place {
    index: Uint4,
    upper: Float4,
}

#[cube]
fn place(level: &Level, x: Float4, #[comptime] dim: usize, #[comptime] smooth: bool) -> Place {
    let mut index = Uint4::empty();
    let mut upper = Float4::empty();
    #[unroll]
    for j in 0..dim {
        let cells = level.cells[j];
        let g = clamp(x[j], 0.0f32, 1.0f32) * f32::cast_from(cells);
        let cell = min(u32::cast_from(g), max(cells, 1u32) - 1u32);
        let t = g - f32::cast_from(cell);
        index[j] = cell;
        upper[j] = t;
        if comptime!(smooth) {
            upper[j] = t * t * (3.0f32 - 2.0f32 * t);
        }
    }
    Place { index, upper }
}

#[cube]
fn corner(level: &Level, place: &Place, c: usize, #[comptime] dim: usize) -> Corner {
    let hashed = level.cells[3] != 0u32;
    let mut sum = 0u32;
    let mut mixed = 0u32;
    let mut weight = 1.0f32;
    #[unroll]
    for j in 0..dim {
        let side = (c as u32 >> comptime!(j as u32)) & 1u32;
        let part = (place.index[j] + side) * level.strides[j];
        sum += part;
        mixed ^= part;
        weight *= select(side == 1u32, place.upper[j], 1.0f32 - place.upper[j]);
    }
    let entry = level.first + select(hashed, mixed & level.strides[3], sum);
    Corner { entry: entry as usize, weight }
}

/// Coordinates of point `i` of a vector of points.
#[cube]
fn coordinates(rows: &TileRows, p: usize, #[comptime] i: usize, #[comptime] shape: Shape) -> Float4 {
    let mut x = Float4::empty();
    #[unroll]
    for j in 0..comptime!(shape.dim) {
        let row = rows[comptime!((shape.x.at + j) * shape.tile.vectors()) + p];
        x[j] = row[i];
    }
    x
}

/// The item of a unit in a turn: the parts of one point's features in neighbouring lanes, unless parameters are shared
/// by the subgroup (see [`item_of()`]). Work is level and part.
#[cube]
fn feature_item(turn: usize, #[comptime] parts: usize, #[comptime] vectors: usize, #[comptime] units: usize) -> Item {
    if comptime!(vectors == units) {
        item_of(turn, vectors, units)
    } else {
        let item = turn * units + UNIT_POS as usize;
        Item { p: item / parts % vectors, work: item / comptime!(parts * vectors) * parts + item % parts }
    }
}

/// Interpolated features into the rows of u. Ends with a barrier.
#[cube]
pub fn gather<N: Size>(
    rows: &mut TileRows,
    grid: &Array<Vector<f32, N>>,
    levels: &Array<Uint4>,
    #[comptime] shape: Shape,
) {
    let (vectors, units) = comptime!((shape.tile.vectors(), shape.tile.units));
    let width = comptime!(shape.feature_width);
    let parts = comptime!(shape.features / shape.feature_width);
    let turns = comptime!((shape.levels * parts * vectors).div_ceil(units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let item = feature_item(turn, parts, vectors, units);
        let l = item.work / parts;
        if l < comptime!(shape.levels) {
            let part = item.work % parts;
            let p = item.p;
            let level = level(levels, l);
            let mut values = Array::<Vector<f32, N>>::new(4usize);
            #[unroll]
            for i in 0..4usize {
                let at = coordinates(rows, p, i, comptime!(shape.clone()));
                let place = place(&level, at, comptime!(shape.dim), comptime!(shape.smooth));
                let mut sum = Vector::<f32, N>::new(0.0f32);
                for c in 0..comptime!(1usize << shape.dim) {
                    let corner = corner(&level, &place, c, comptime!(shape.dim));
                    sum = fma(grid[corner.entry * parts + part], Vector::<f32, N>::new(corner.weight), sum);
                }
                values[i] = sum;
            }
            #[unroll]
            for f in 0..width {
                let mut row = Float4::empty();
                #[unroll]
                for i in 0..4usize {
                    let value = values[i];
                    row[i] = value[f];
                }
                let at = l * comptime!(shape.features) + part * width + f;
                rows[comptime!(shape.u.at * vectors) + at * vectors + p] = row;
            }
        }
    }
    sync_cube();
}

/// Adds the adjoint in the rows of u to the gradient of the grid. No barrier.
#[cube]
pub fn scatter<A: Add, N: Size>(
    rows: &TileRows,
    levels: &Array<Uint4>,
    d_grid: &mut Array<A::Cell>,
    #[comptime] shape: Shape,
) {
    let (vectors, units) = comptime!((shape.tile.vectors(), shape.tile.units));
    let width = comptime!(shape.feature_width);
    let parts = comptime!(shape.features / shape.feature_width);
    let turns = comptime!((shape.levels * parts * vectors).div_ceil(units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let item = feature_item(turn, parts, vectors, units);
        let l = item.work / parts;
        if l < comptime!(shape.levels) {
            let part = item.work % parts;
            let p = item.p;
            let level = level(levels, l);
            let mut adjoints = Array::<Float4>::new(width);
            #[unroll]
            for f in 0..width {
                let at = l * comptime!(shape.features) + part * width + f;
                adjoints[f] = rows[comptime!(shape.u.at * vectors) + at * vectors + p];
            }
            #[unroll]
            for i in 0..4usize {
                let at = coordinates(rows, p, i, comptime!(shape.clone()));
                let place = place(&level, at, comptime!(shape.dim), comptime!(shape.smooth));
                let mut value = Vector::<f32, N>::empty();
                #[unroll]
                for f in 0..width {
                    let row = adjoints[f];
                    value[f] = row[i];
                }
                for c in 0..comptime!(1usize << shape.dim) {
                    let corner = corner(&level, &place, c, comptime!(shape.dim));
                    let first = corner.entry * comptime!(shape.features) + part * width;
                    A::add_many::<N>(d_grid, first, value * Vector::<f32, N>::new(corner.weight), width);
                }
            }
        }
    }
}

/// Products of groups of levels, from the rows of u into those of z. Ends with a barrier.
#[cube]
pub fn multiply(rows: &mut TileRows, #[comptime] shape: Shape) {
    let (vectors, tile) = comptime!((shape.tile.vectors(), shape.tile));
    let turns = comptime!((shape.z.count * vectors).div_ceil(tile.units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let item = item_of(turn, vectors, comptime!(tile.units));
        if item.work < comptime!(shape.z.count) {
            let p = item.p;
            let f = item.work;
            let mut value = Float4::new(1.0f32);
            #[unroll]
            for i in 0..comptime!(shape.product) {
                value = value * rows[factor(f, i, comptime!(shape.clone())) * vectors + p];
            }
            rows[comptime!(shape.z.at * vectors) + f * vectors + p] = value;
        }
    }
    sync_cube();
}

/// Row of factor `i` of z's column `f`.
#[cube]
fn factor(f: usize, #[comptime] i: usize, #[comptime] shape: Shape) -> usize {
    let features = comptime!(shape.features);
    let group = f / features;
    comptime!(shape.u.at) + (group * comptime!(shape.product) + i) * features + f % features
}

/// Adjoint of [`multiply()`], from the rows of z over the factors in those of u. Every unit must have passed a barrier;
/// ends with one.
#[cube]
pub fn multiply_backward(rows: &mut TileRows, #[comptime] shape: Shape) {
    let (vectors, tile) = comptime!((shape.tile.vectors(), shape.tile));
    let turns = comptime!((shape.z.count * vectors).div_ceil(tile.units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let item = item_of(turn, vectors, comptime!(tile.units));
        if item.work < comptime!(shape.z.count) {
            let p = item.p;
            let f = item.work;
            let d = rows[comptime!(shape.z.at * vectors) + f * vectors + p];
            let mut values = Array::<Float4>::new(comptime!(shape.product));
            #[unroll]
            for i in 0..comptime!(shape.product) {
                values[i] = rows[factor(f, i, comptime!(shape.clone())) * vectors + p];
            }
            #[unroll]
            for i in 0..comptime!(shape.product) {
                let mut value = d;
                #[unroll]
                for k in 0..comptime!(shape.product) {
                    if comptime!(k != i) {
                        value = value * values[k];
                    }
                }
                rows[factor(f, i, comptime!(shape.clone())) * vectors + p] = value;
            }
        }
    }
    sync_cube();
}
