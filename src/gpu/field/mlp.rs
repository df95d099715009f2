//! Networks on a tile: forward, and the adjoint in place of the activations.
//!
//! The adjoint overwrites: behind a layer's gradient its input is needed only for the activation's slope, so that the
//! input's rows take the adjoint. Only the first layer's inputs are left to the caller, who knows what else reads them.

use cubecl::prelude::*;

use super::add::Add;
use super::product::{BlockSums, Finish, Target, add_gradient, product};
use super::{Float4, TileRows};
use crate::shape::{Layer, Term, TileSize};

/// The layers, one after the other. Ends with a barrier.
#[cube]
pub fn forward(
    rows: &mut TileRows,
    weights: &Array<Float4>,
    #[comptime] layers: Vec<Layer>,
    #[comptime] tile: TileSize,
) {
    #[unroll]
    for l in 0..comptime!(layers.len()) {
        let layer = comptime!(layers[l].clone());
        product(rows, weights, comptime!(layer.terms.clone()), comptime!(forward_target(&layer)), tile);
    }
}

fn forward_target(layer: &Layer) -> Target {
    let finish = layer.activation.map_or(Finish::Store, |a| Finish::Activate(a, layer.pre));
    Target { rows: layer.out, bias: Some(layer.bias), finish }
}

/// Adjoint of the network whose outputs' rows hold their adjoint: gradients of all layers, and adjoints in the rows of
/// all hidden layers. Every unit must have passed a barrier; ends with one.
#[cube]
pub fn backward<A: Add>(
    rows: &mut TileRows,
    weights: &Array<Float4>,
    sums: &mut BlockSums,
    d_net: &mut Array<A::Cell>,
    #[comptime] layers: Vec<Layer>,
    #[comptime] summed: bool,
    #[comptime] tile: TileSize,
) {
    #[unroll]
    for i in 0..comptime!(layers.len()) {
        let l = comptime!(layers.len() - 1 - i);
        let layer = comptime!(layers[l].clone());
        #[unroll]
        for g in 0..comptime!(layer.gradients.len()) {
            add_gradient::<A>(rows, sums, d_net, comptime!(layer.gradients[g]), summed, tile);
        }
        sync_cube();
        if comptime!(l > 0) {
            let below = comptime!(layers[l - 1].clone());
            product(rows, weights, comptime!(vec![transposed(&layer, 0)]), comptime!(backward_target(&below)), tile);
        }
    }
}

fn backward_target(below: &Layer) -> Target {
    let finish = below.activation.map_or(Finish::Store, |a| Finish::Slope(a, below.pre));
    Target { rows: below.out, bias: None, finish }
}

/// The layer's outputs' adjoint times the transposed weights of one of its terms.
pub fn transposed(layer: &Layer, term: usize) -> Term {
    Term { rows: layer.out, weight: layer.transposed[term] }
}
