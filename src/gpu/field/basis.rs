//! The modulated global basis on a tile: `m = S ⊙ sin θ` (product), sums of it (channels) or `sin θ` alone (plain) of
//! `θ = ω₀ (x·ω + b)`, and its adjoint. Phases are never rounded: f32 by fused multiply-adds.

use cubecl::prelude::*;

use super::add::Add;
use super::math::{cosine, sine};
use super::product::{BlockSums, add_gradient};
use super::{Float4, TileRows, item_of};
use crate::shape::{Basis, LANES, Rows, Shape, pad};

/// θ of sinusoid `k` at a vector of points.
#[cube]
fn phases(
    rows: &TileRows,
    weights: &Array<Float4>,
    k: usize,
    p: usize,
    #[comptime] basis: Basis,
    #[comptime] x: Rows,
    #[comptime] vectors: usize,
) -> Float4 {
    let columns = comptime!(pad(basis.count) / LANES);
    let mut theta = Float4::new(component(weights[comptime!(basis.weight + x.count * columns) + k / 4], k % 4));
    #[unroll]
    for j in 0..comptime!(x.count) {
        let omega = component(weights[comptime!(basis.weight + j * columns) + k / 4], k % 4);
        theta = fma(rows[comptime!((x.at + j) * vectors) + p], Float4::new(omega), theta);
    }
    theta
}

/// One of a vector's floats.
#[cube]
fn component(of: Float4, i: usize) -> f32 {
    let low = select(i == 0, of[0], of[1]);
    let high = select(i == 2, of[2], of[3]);
    select(i < 2, low, high)
}

/// Modulated values. Ends with a barrier.
#[cube]
pub fn forward(rows: &mut TileRows, weights: &Array<Float4>, #[comptime] basis: Basis, #[comptime] shape: Shape) {
    let vectors = comptime!(shape.tile.vectors());
    let (x, s, m) = comptime!((shape.x, shape.s, shape.m));
    let units = comptime!(shape.tile.units);
    let turns = comptime!((m.count * vectors).div_ceil(units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let item = item_of(turn, vectors, units);
        if item.work < comptime!(m.count) {
            let p = item.p;
            let k = item.work;
            let mut value = Float4::new(0.0f32);
            if comptime!(basis.channels == 0) {
                value = sine(phases(rows, weights, k, p, basis, x, vectors));
                if comptime!(!basis.plain) {
                    value = value * rows[comptime!(s.at * vectors) + k * vectors + p];
                }
            } else {
                for i in 0..comptime!(basis.count) {
                    let sin = sine(phases(rows, weights, i, p, basis, x, vectors));
                    let row = i * comptime!(basis.channels) + k;
                    value = fma(rows[comptime!(s.at * vectors) + row * vectors + p], sin, value);
                }
            }
            rows[comptime!(m.at * vectors) + k * vectors + p] = value;
        }
    }
    sync_cube();
}

/// Adjoint: the rows of m hold theirs; those of S take theirs, and `d_theta`'s the phases'. Gradients of frequencies
/// and phases. Every unit must have passed a barrier; ends with one.
#[cube]
pub fn backward<A: Add>(
    rows: &mut TileRows,
    weights: &Array<Float4>,
    sums: &mut BlockSums,
    d_net: &mut Array<A::Cell>,
    #[comptime] basis: Basis,
    #[comptime] shape: Shape,
) {
    let vectors = comptime!(shape.tile.vectors());
    let (x, s, m, d_theta) = comptime!((shape.x, shape.s, shape.m, basis.d_theta));
    let units = comptime!(shape.tile.units);
    let turns = comptime!((basis.count * vectors).div_ceil(units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let item = item_of(turn, vectors, units);
        if item.work < comptime!(basis.count) {
            let p = item.p;
            let k = item.work;
            let theta = phases(rows, weights, k, p, basis, x, vectors);
            let (sin, cos) = (sine(theta), cosine(theta));
            let to = comptime!(d_theta.at * vectors) + k * vectors + p;
            if comptime!(basis.channels == 0) {
                let dm = rows[comptime!(m.at * vectors) + k * vectors + p];
                if comptime!(basis.plain) {
                    rows[to] = dm * cos;
                } else {
                    let at = comptime!(s.at * vectors) + k * vectors + p;
                    let value = rows[at];
                    rows[at] = dm * sin;
                    rows[to] = dm * value * cos;
                }
            } else {
                let mut sum = Float4::new(0.0f32);
                for c in 0..comptime!(basis.channels) {
                    let at = comptime!(s.at * vectors) + (k * comptime!(basis.channels) + c) * vectors + p;
                    let dm = rows[comptime!(m.at * vectors) + c * vectors + p];
                    sum = fma(dm, rows[at], sum);
                    rows[at] = dm * sin;
                }
                rows[to] = sum * cos;
            }
        }
    }
    sync_cube();
    let summed = comptime!(shape.sums.vectors > 0);
    add_gradient::<A>(rows, sums, d_net, comptime!(basis.gradients[0]), summed, comptime!(shape.tile));
    add_gradient::<A>(rows, sums, d_net, comptime!(basis.gradients[1]), summed, comptime!(shape.tile));
    sync_cube();
}
