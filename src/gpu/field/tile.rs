//! A tile of points through the trunk: forward, and the adjoint in place.
//!
//! The adjoint needs no rows of its own: each part of the forward pass is overwritten by its adjoint once nothing reads
//! it any more. That is why z comes last, which both networks read.

use cubecl::prelude::*;

use super::add::Add;
use super::product::{BlockSums, Target, product};
use super::{Float4, TileRows, Uint4, basis, latent, mlp};
use crate::shape::{Layer, Rows, Shape, Term};

/// Coordinates of a tile's points into their rows: of points `first..`, or of those that `list` names where `indirect`.
/// Points from `count` on repeat the last one. Ends with a barrier.
#[cube]
pub fn load_points(
    rows: &mut TileRows,
    x: &Array<f32>,
    list: &Array<u32>,
    first: usize,
    count: usize,
    #[comptime] indirect: bool,
    #[comptime] shape: Shape,
) {
    let (vectors, units) = comptime!((shape.tile.vectors(), shape.tile.units));
    let items = comptime!(shape.dim * vectors);
    let turns = comptime!(items.div_ceil(units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let item = turn * units + UNIT_POS as usize;
        if item < items {
            let j = item % comptime!(shape.dim);
            let p = item / comptime!(shape.dim);
            let mut values = Float4::empty();
            #[unroll]
            for i in 0..4usize {
                let at = min(first + p * 4 + i, count - 1);
                let point = source(list, at, indirect);
                values[i] = x[point * comptime!(shape.dim) + j];
            }
            rows[(comptime!(shape.x.at) + j) * vectors + p] = values;
        }
    }
    sync_cube();
}

/// Number of the point at place `at`.
#[cube]
pub fn source(list: &Array<u32>, at: usize, #[comptime] indirect: bool) -> usize {
    if comptime!(indirect) { list[at] as usize } else { at }
}

/// Values of the points whose coordinates are loaded. Ends with a barrier.
#[cube]
pub fn forward<N: Size>(
    rows: &mut TileRows,
    grid: &Array<Vector<f32, N>>,
    weights: &Array<Float4>,
    levels: &Array<Uint4>,
    #[comptime] shape: Shape,
) {
    if comptime!(shape.levels > 0) {
        latent::gather::<N>(rows, grid, levels, comptime!(shape.clone()));
        if comptime!(shape.product > 1) {
            latent::multiply(rows, comptime!(shape.clone()));
        }
    }
    mlp::forward(rows, weights, comptime!(shape.spectrum.clone()), comptime!(shape.tile));
    if comptime!(shape.basis.is_some()) {
        basis::forward(rows, weights, comptime!(basis_of(&shape)), comptime!(shape.clone()));
    }
    mlp::forward(rows, weights, comptime!(shape.decoder.clone()), comptime!(shape.tile));
}

#[expect(clippy::expect_used, reason = "called where the shape has a basis")]
fn basis_of(shape: &Shape) -> crate::shape::Basis {
    shape.basis.expect("the shape has a basis")
}

/// Adjoint of [`forward()`], which left the tile; the output's rows hold the values' adjoint. Every unit must have passed
/// a barrier. Ends with one.
#[cube]
pub fn backward<G: Add, W: Add, N: Size>(
    rows: &mut TileRows,
    weights: &Array<Float4>,
    levels: &Array<Uint4>,
    d_grid: &mut Array<G::Cell>,
    sums: &mut BlockSums,
    d_net: &mut Array<W::Cell>,
    #[comptime] shape: Shape,
) {
    let tile = comptime!(shape.tile);
    let summed = comptime!(shape.sums.vectors > 0);
    mlp::backward::<W>(rows, weights, sums, d_net, comptime!(shape.decoder.clone()), summed, tile);
    if comptime!(shape.basis.is_some()) {
        product(rows, weights, comptime!(terms_into(&shape.decoder, shape.m)), comptime!(Target::store(shape.m)), tile);
        basis::backward::<W>(rows, weights, sums, d_net, comptime!(basis_of(&shape)), comptime!(shape.clone()));
    }
    if comptime!(!shape.spectrum.is_empty()) {
        mlp::backward::<W>(rows, weights, sums, d_net, comptime!(shape.spectrum.clone()), summed, tile);
    }
    if comptime!(shape.levels > 0) {
        product(rows, weights, comptime!(all_terms_into(&shape)), comptime!(Target::store(shape.z)), tile);
        if comptime!(shape.product > 1) {
            latent::multiply_backward(rows, comptime!(shape.clone()));
        }
        latent::scatter::<G, N>(rows, levels, d_grid, comptime!(shape.clone()));
    }
    sync_cube();
}

/// Products that give the adjoint of a network's inputs in `rows`.
pub fn terms_into(layers: &[Layer], rows: Rows) -> Vec<Term> {
    let Some(first) = layers.first() else { return Vec::new() };
    (0..first.terms.len()).filter(|t| first.terms[*t].rows == rows).map(|t| mlp::transposed(first, t)).collect()
}

/// Those that give the adjoint of z.
fn all_terms_into(shape: &Shape) -> Vec<Term> {
    [terms_into(&shape.decoder, shape.z), terms_into(&shape.spectrum, shape.z)].concat()
}
