//! Matrix products on a tile: layers forward, their adjoint, and the gradient of the weights.
//!
//! A unit computes blocks of 4 or 8 points × 4 or 8 columns in registers. Lanes lie along the points, so that a
//! subgroup reads rows in order and shares its weights.

use cubecl::prelude::*;
use nstr_spec::Activation;

use super::add::Add;
use super::math::{activate, slope};
use super::{Float4, TileRows, item_of};
use crate::shape::{GradientSlot, LANES, Rows, Sums, Term, TileSize, pad};

/// Columns of a product and what is done with them before they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Rows that are written, padding too.
    pub rows: Rows,
    /// First vector of the bias, if any.
    pub bias: Option<usize>,
    /// Last step.
    pub finish: Finish,
}

impl Target {
    /// Plain sums into `rows`.
    pub fn store(rows: Rows) -> Self {
        Self { rows, bias: None, finish: Finish::Store }
    }
}

/// Last step of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finish {
    /// Stores the sums.
    Store,
    /// Stores the activation of the sums, and the sums themselves in other rows if these differ.
    Activate(Activation, Rows),
    /// Stores the sums times the slope of an activation at the values in these rows (of ReLU at what is overwritten).
    Slope(Activation, Rows),
}

/// Vectors of points and of columns that a unit computes at once.
fn block(columns: usize, tile: TileSize) -> (usize, usize) {
    let (points, groups) = (tile.vectors(), pad(columns) / LANES);
    let fits = |&(p, o): &(usize, usize)| {
        points.is_multiple_of(p) && groups.is_multiple_of(o) && points / p * (groups / o) >= tile.units
    };
    // Parameters that a whole subgroup shares are cheap: more columns a unit (see `item_of`).
    let shared = |&(p, o): &(usize, usize)| points / p == tile.units && groups.is_multiple_of(o);
    let usual = || [(2, 2), (2, 1), (1, 2)].into_iter().find(fits);
    [(1, 4), (1, 2), (1, 1)].into_iter().find(shared).or_else(usual).unwrap_or((1, 1))
}

/// Sum of `terms`, rows of the tile times packed matrices, into rows of the tile. Ends with a barrier.
#[cube]
pub fn product(
    rows: &mut TileRows,
    weights: &Array<Float4>,
    #[comptime] terms: Vec<Term>,
    #[comptime] target: Target,
    #[comptime] tile: TileSize,
) {
    let vectors = comptime!(tile.vectors());
    let columns = comptime!(pad(target.rows.count) / LANES);
    let (per_p, per_o) = comptime!(block(target.rows.count, tile));
    let groups_p = comptime!(vectors / per_p);
    let groups_o = comptime!(columns / per_o);
    let turns = comptime!((groups_p * groups_o).div_ceil(tile.units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let item = item_of(turn, groups_p, comptime!(tile.units));
        if item.work < groups_o {
            let p = item.p;
            let o = item.work;
            let mut sums = Array::<Float4>::new(comptime!(4 * per_o * per_p));
            #[unroll]
            for j in 0..per_o {
                let mut start = Float4::new(0.0f32);
                if comptime!(target.bias.is_some()) {
                    start = weights[comptime!(target.bias.unwrap_or(0)) + o + j * groups_o];
                }
                #[unroll]
                for c in 0..4usize {
                    #[unroll]
                    for q in 0..per_p {
                        sums[(j * 4 + c) * per_p + q] = Float4::new(start[c]);
                    }
                }
            }
            #[unroll]
            for t in 0..comptime!(terms.len()) {
                let term = comptime!(terms[t]);
                let first = comptime!(term.rows.at * vectors);
                let weight = comptime!(term.weight);
                for k in 0..comptime!(term.rows.count) {
                    let mut x = Array::<Float4>::new(per_p);
                    #[unroll]
                    for q in 0..per_p {
                        x[q] = rows[first + k * vectors + p + q * groups_p];
                    }
                    #[unroll]
                    for j in 0..per_o {
                        let w = weights[weight + k * columns + o + j * groups_o];
                        #[unroll]
                        for c in 0..4usize {
                            #[unroll]
                            for q in 0..per_p {
                                let i = comptime!((j * 4 + c) * per_p + q);
                                sums[i] = fma(x[q], Float4::new(w[c]), sums[i]);
                            }
                        }
                    }
                }
            }
            #[unroll]
            for j in 0..per_o {
                #[unroll]
                for c in 0..4usize {
                    #[unroll]
                    for q in 0..per_p {
                        let value = sums[comptime!((j * 4 + c) * per_p + q)];
                        let offset = ((o + j * groups_o) * 4 + c) * vectors + p + q * groups_p;
                        store(rows, offset, value, comptime!(target.clone()), vectors);
                    }
                }
            }
        }
    }
    sync_cube();
}

/// Stores a vector of a product at `offset` from the first of its rows.
#[cube]
fn store(rows: &mut TileRows, offset: usize, value: Float4, #[comptime] target: Target, #[comptime] vectors: usize) {
    let at = comptime!(target.rows.at * vectors) + offset;
    match comptime!(target.finish) {
        Finish::Store => {
            rows[at] = value;
        }
        Finish::Activate(activation, pre) => {
            if comptime!(pre.at != target.rows.at) {
                rows[comptime!(pre.at * vectors) + offset] = value;
            }
            rows[at] = activate(value, activation);
        }
        Finish::Slope(activation, pre) => {
            let before = rows[comptime!(pre.at * vectors) + offset];
            rows[at] = value * slope(before, activation);
        }
    }
}

/// Sums of the networks' gradients of a block, [`crate::shape::Sums`] says how many vectors.
pub type BlockSums = SharedMemory<Float4>;

/// Clears a block's sums. No barrier.
#[cube]
pub fn clear_sums(sums: &mut BlockSums, #[comptime] plan: Sums, #[comptime] units: usize) {
    let turns = comptime!(plan.vectors.div_ceil(units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let i = turn * units + UNIT_POS as usize;
        if i < comptime!(plan.vectors) {
            sums[i] = Float4::new(0.0f32);
        }
    }
}

/// Adds a block's sums to the gradient of `net`. Every unit must have passed a barrier.
#[cube]
pub fn flush_sums<A: Add>(
    sums: &BlockSums,
    d_net: &mut Array<A::Cell>,
    #[comptime] plan: Sums,
    #[comptime] units: usize,
) {
    #[unroll]
    for n in 0..comptime!(if plan.vectors > 0 { plan.slots.len() } else { 0 }) {
        let slot = comptime!(plan.slots[n]);
        let groups = comptime!(slot.output_groups());
        let items = comptime!(slot.inputs() * slot.output_groups());
        let turns = comptime!(items.div_ceil(units));
        #[unroll(turns == 1)]
        for turn in 0..turns {
            let item = turn * units + UNIT_POS as usize;
            if item < items {
                let mut total = Float4::new(0.0f32);
                #[unroll]
                for part in 0..comptime!(slot.parts) {
                    total += sums[comptime!(slot.sum + part * slot.vectors()) + item];
                }
                add_row::<A>(d_net, total, item / groups, item % groups, slot);
            }
        }
    }
}

/// Adds the gradient of four neighbouring elements of a matrix' row.
#[cube]
fn add_row<A: Add>(d_net: &mut Array<A::Cell>, sum: Float4, i: usize, o: usize, #[comptime] slot: GradientSlot) {
    let outputs = comptime!(slot.adjoint.count);
    #[unroll]
    for b in 0..4usize {
        let to = o * 4 + b;
        let value = sum[b] * comptime!(slot.gain as f32);
        if comptime!(outputs.is_multiple_of(LANES)) {
            A::add_one(d_net, comptime!(slot.net) + i * outputs + to, value);
        } else if to < outputs {
            A::add_one(d_net, comptime!(slot.net) + i * outputs + to, value);
        }
    }
}

/// Adds a matrix' gradient, summed over the tile's points, to the block's sums, or to device memory where there are
/// none. No barrier.
#[cube]
pub fn add_gradient<A: Add>(
    rows: &TileRows,
    sums: &mut BlockSums,
    d_net: &mut Array<A::Cell>,
    #[comptime] slot: GradientSlot,
    #[comptime] summed: bool,
    #[comptime] tile: TileSize,
) {
    let units = comptime!(tile.units);
    if comptime!(tile.vectors() == units && slot.parts == 1 && slot.input.is_some()) {
        // Neighbouring units take the longer side's blocks and share the shorter side's (see `item_of`).
        let (groups_i, groups_o) = comptime!((slot.input_groups(), slot.output_groups()));
        let (long, short) = comptime!((groups_i.max(groups_o), groups_i.min(groups_o)));
        let rounds = comptime!(long.div_ceil(units));
        for turn in 0..comptime!(rounds * short) {
            let own = turn % rounds * units + UNIT_POS as usize;
            let shared = turn / rounds;
            if own < long {
                if comptime!(groups_i > groups_o) {
                    weight_block::<A>(rows, sums, d_net, 0usize, own, shared, slot, summed, tile);
                } else {
                    weight_block::<A>(rows, sums, d_net, 0usize, shared, own, slot, summed, tile);
                }
            }
        }
    } else {
        each_block::<A>(rows, sums, d_net, slot, summed, tile);
    }
}

/// [`add_gradient()`], a block and a part of the points an item.
#[cube]
fn each_block<A: Add>(
    rows: &TileRows,
    sums: &mut BlockSums,
    d_net: &mut Array<A::Cell>,
    #[comptime] slot: GradientSlot,
    #[comptime] summed: bool,
    #[comptime] tile: TileSize,
) {
    let groups_o = comptime!(slot.output_groups());
    let blocks = comptime!(slot.input_groups() * slot.output_groups());
    let items = comptime!(blocks * slot.parts);
    let turns = comptime!(items.div_ceil(tile.units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        // Biases, which are short, begin with the last units: those that a layer's weights leave idle.
        let unit = if comptime!(slot.input.is_some()) {
            UNIT_POS as usize
        } else {
            comptime!(tile.units - 1) - UNIT_POS as usize
        };
        let item = turn * comptime!(tile.units) + unit;
        if item < items {
            let part = item / blocks;
            let o = item % groups_o;
            let i = item / groups_o % comptime!(slot.input_groups());
            if comptime!(slot.input.is_some()) {
                weight_block::<A>(rows, sums, d_net, part, i, o, slot, summed, tile);
            } else {
                bias_block::<A>(rows, sums, d_net, part, o, slot, summed, tile);
            }
        }
    }
}

fn first_vector(rows: Option<Rows>, tile: TileSize) -> usize {
    rows.map_or(0, |rows| rows.at * tile.vectors())
}

/// A step of `share`: each unit begins elsewhere, so that a subgroup's reads spread over the memory's banks; together
/// where what they read is shared.
#[cube]
fn turned(step: usize, #[comptime] share: usize, #[comptime] together: bool) -> usize {
    if comptime!(together) { step } else { (step + UNIT_POS as usize) % share }
}

/// Gradient of 4 × 4 weights over a part of the points.
#[cube]
fn weight_block<A: Add>(
    rows: &TileRows,
    sums: &mut BlockSums,
    d_net: &mut Array<A::Cell>,
    part: usize,
    i: usize,
    o: usize,
    #[comptime] slot: GradientSlot,
    #[comptime] summed: bool,
    #[comptime] tile: TileSize,
) {
    let vectors = comptime!(tile.vectors());
    let share = comptime!(vectors / slot.parts);
    let mut block = Array::<Float4>::new(16usize);
    #[unroll]
    for n in 0..16usize {
        block[n] = Float4::new(0.0f32);
    }
    let x_at = comptime!(first_vector(slot.input, tile)) + i * comptime!(4 * vectors);
    let d_at = comptime!(slot.adjoint.at * vectors) + o * comptime!(4 * vectors);
    for step in 0..share {
        let p = part * share + turned(step, share, comptime!(vectors == tile.units));
        let mut x = Array::<Float4>::new(4usize);
        let mut d = Array::<Float4>::new(4usize);
        #[unroll]
        for c in 0..4usize {
            x[c] = rows[x_at + c * vectors + p];
            d[c] = rows[d_at + c * vectors + p];
        }
        #[unroll]
        for a in 0..4usize {
            #[unroll]
            for b in 0..4usize {
                let n = comptime!(a * 4 + b);
                block[n] = fma(x[a], d[b], block[n]);
            }
        }
    }
    #[unroll]
    for a in 0..4usize {
        let mut row = Float4::empty();
        #[unroll]
        for b in 0..4usize {
            let sum = block[comptime!(a * 4 + b)];
            row[b] = sum[0] + sum[1] + sum[2] + sum[3];
        }
        let from = i * 4 + a;
        // Sums have room for padding, which nothing reads.
        if comptime!(summed || slot.inputs().is_multiple_of(LANES)) {
            put::<A>(sums, d_net, row, part, from, o, slot, summed);
        } else if from < comptime!(slot.inputs()) {
            put::<A>(sums, d_net, row, part, from, o, slot, summed);
        }
    }
}

/// Gradient of four biases over a part of the points.
#[cube]
fn bias_block<A: Add>(
    rows: &TileRows,
    sums: &mut BlockSums,
    d_net: &mut Array<A::Cell>,
    part: usize,
    o: usize,
    #[comptime] slot: GradientSlot,
    #[comptime] summed: bool,
    #[comptime] tile: TileSize,
) {
    let vectors = comptime!(tile.vectors());
    let share = comptime!(vectors / slot.parts);
    let d_at = comptime!(slot.adjoint.at * vectors) + o * comptime!(4 * vectors);
    let mut block = Array::<Float4>::new(4usize);
    #[unroll]
    for b in 0..4usize {
        block[b] = Float4::new(0.0f32);
    }
    for step in 0..share {
        let p = part * share + turned(step, share, comptime!(vectors == tile.units));
        #[unroll]
        for b in 0..4usize {
            block[b] += rows[d_at + b * vectors + p];
        }
    }
    let mut row = Float4::empty();
    #[unroll]
    for b in 0..4usize {
        let sum = block[b];
        row[b] = sum[0] + sum[1] + sum[2] + sum[3];
    }
    put::<A>(sums, d_net, row, part, 0usize, o, slot, summed);
}

#[cube]
fn put<A: Add>(
    sums: &mut BlockSums,
    d_net: &mut Array<A::Cell>,
    row: Float4,
    part: usize,
    i: usize,
    o: usize,
    #[comptime] slot: GradientSlot,
    #[comptime] summed: bool,
) {
    if comptime!(summed) {
        let groups = comptime!(slot.output_groups());
        let at = comptime!(slot.sum) + part * comptime!(slot.vectors()) + i * groups + o;
        sums[at] += row;
    } else {
        add_row::<A>(d_net, row, i, o, slot);
    }
}
