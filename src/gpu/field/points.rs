//! Kernels over any number of points: values, and the adjoint of values.
//!
//! Blocks are persistent: block `b` of `n` takes tiles `b, b + n, …`, `turns` of them, a number that the host knows. The
//! points' number is `count[0]` on the device where another kernel finds it; `limit` bounds it.

use cubecl::prelude::*;

use super::add::Add;
use super::density::density;
use super::math::is_nan;
use super::product::{BlockSums, clear_sums, flush_sums};
use super::{Float4, TileRows, Uint4, tile};
use crate::shape::{LANES, Shape};

/// Values `[point][outputs]`.
#[cube(launch_unchecked)]
pub fn values<N: Size>(
    grid: &Array<Vector<f32, N>>,
    weights: &Array<Float4>,
    levels: &Array<Uint4>,
    x: &Array<f32>,
    out: &mut Array<f32>,
    count: u32,
    turns: u32,
    #[comptime] shape: Shape,
) {
    let mut rows = TileRows::new(comptime!(shape.rows * shape.tile.vectors()));
    let count = count as usize;
    let points = comptime!(shape.tile.points);
    let no_list = Array::<u32>::new(1usize);
    for turn in 0..turns {
        let first = (CUBE_POS + turn as usize * CUBE_COUNT) * points;
        tile::load_points(&mut rows, x, &no_list, first, count, false, comptime!(shape.clone()));
        tile::forward::<N>(&mut rows, grid, weights, levels, comptime!(shape.clone()));
        write_values(&rows, out, first, count, comptime!(shape.clone()));
        sync_cube();
    }
}

/// [`values()`] at as many points as the smaller of the first two words of `counters` says.
#[cube(launch_unchecked)]
pub fn counted_values<N: Size>(
    grid: &Array<Vector<f32, N>>,
    weights: &Array<Float4>,
    levels: &Array<Uint4>,
    x: &Array<f32>,
    counters: &Array<u32>,
    out: &mut Array<f32>,
    turns: u32,
    #[comptime] shape: Shape,
) {
    let mut rows = TileRows::new(comptime!(shape.rows * shape.tile.vectors()));
    let count = min(counters[0], counters[1]) as usize;
    let points = comptime!(shape.tile.points);
    let no_list = Array::<u32>::new(1usize);
    for turn in 0..turns {
        let first = (CUBE_POS + turn as usize * CUBE_COUNT) * points;
        if first < count {
            tile::load_points(&mut rows, x, &no_list, first, count, false, comptime!(shape.clone()));
            tile::forward::<N>(&mut rows, grid, weights, levels, comptime!(shape.clone()));
            write_values(&rows, out, first, count, comptime!(shape.clone()));
            sync_cube();
        }
    }
}

/// Densities of points from their `values`: one a point of the first of `outputs` values. `sharpness` as in
/// [`RayLoss`](crate::ray_step::RayLoss::sharpness).
#[cube(launch_unchecked)]
pub fn densities(values: &Array<f32>, out: &mut Array<f32>, sharpness: f32, #[comptime] outputs: usize) {
    let i = ABSOLUTE_POS;
    if i < out.len() {
        out[i] = density(values[i * outputs], sharpness);
    }
}

/// The output's rows into `out`; values at coordinates that are no numbers are none either.
#[cube]
fn write_values(rows: &TileRows, out: &mut Array<f32>, first: usize, count: usize, #[comptime] shape: Shape) {
    let (vectors, units, outputs) = comptime!((shape.tile.vectors(), shape.tile.units, shape.outputs));
    let items = comptime!(outputs * vectors);
    let turns = comptime!(items.div_ceil(units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let item = turn * units + UNIT_POS as usize;
        if item < items {
            let o = item % outputs;
            let p = item / outputs;
            let values = rows[(comptime!(shape.out.at) + o) * vectors + p];
            #[unroll]
            for i in 0..4usize {
                let point = first + p * 4 + i;
                if point < count {
                    let mut poison = false;
                    let mut number = 0.0f32;
                    #[unroll]
                    for j in 0..comptime!(shape.dim) {
                        let row = rows[comptime!((shape.x.at + j) * vectors) + p];
                        let nan = is_nan(row[i]);
                        number = select(nan, row[i], number);
                        poison = poison || nan;
                    }
                    out[point * outputs + o] = select(poison, number, values[i]);
                }
            }
        }
    }
}

/// Adds the gradient of `Σ d_out · value` to `d_grid` and `d_net`, for the points that `list` names where `indirect`.
/// `d_out` is `[place][outputs]`.
#[cube(launch_unchecked)]
pub fn adjoint<G: Add, W: Add, N: Size>(
    grid: &Array<Vector<f32, N>>,
    weights: &Array<Float4>,
    levels: &Array<Uint4>,
    x: &Array<f32>,
    list: &Array<u32>,
    d_out: &Array<f32>,
    count: &Array<u32>,
    d_grid: &mut Array<G::Cell>,
    d_net: &mut Array<W::Cell>,
    turns: u32,
    #[comptime] indirect: bool,
    #[comptime] shape: Shape,
) {
    let mut rows = TileRows::new(comptime!(shape.rows * shape.tile.vectors()));
    let mut sums = BlockSums::new(comptime!(shape.sums.vectors.max(1)));
    clear_sums(&mut sums, comptime!(shape.sums.clone()), comptime!(shape.tile.units));
    let count = count[0] as usize;
    let points = comptime!(shape.tile.points);
    for turn in 0..turns {
        let first = (CUBE_POS + turn as usize * CUBE_COUNT) * points;
        if first < count {
            tile::load_points(&mut rows, x, list, first, count, indirect, comptime!(shape.clone()));
            tile::forward::<N>(&mut rows, grid, weights, levels, comptime!(shape.clone()));
            load_adjoint(&mut rows, d_out, first, count, comptime!(shape.clone()));
            tile::backward::<G, W, N>(&mut rows, weights, levels, d_grid, &mut sums, d_net, comptime!(shape.clone()));
        }
    }
    sync_cube();
    flush_sums::<W>(&sums, d_net, comptime!(shape.sums.clone()), comptime!(shape.tile.units));
}

/// The values' adjoint into the output's rows, 0 past the last point. Ends with a barrier.
#[cube]
fn load_adjoint(rows: &mut TileRows, d_out: &Array<f32>, first: usize, count: usize, #[comptime] shape: Shape) {
    let (vectors, units, outputs) = comptime!((shape.tile.vectors(), shape.tile.units, shape.outputs));
    let items = comptime!(outputs * vectors);
    let turns = comptime!(items.div_ceil(units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let item = turn * units + UNIT_POS as usize;
        if item < items {
            let o = item % outputs;
            let p = item / outputs;
            let mut values = Float4::new(0.0f32);
            #[unroll]
            for i in 0..4usize {
                let point = first + p * comptime!(LANES) + i;
                if point < count {
                    values[i] = d_out[point * outputs + o];
                }
            }
            rows[(comptime!(shape.out.at) + o) * vectors + p] = values;
        }
    }
    sync_cube();
}
