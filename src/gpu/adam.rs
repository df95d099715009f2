//! The optimiser's step on the device.

use cubecl::prelude::*;

/// One step of Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019) on flat buffers, in place.
/// `rate` is the learning rate over the first moment's bias, `root` the inverse root of the second's, `decay` the
/// learning rate times the decay.
#[cube(launch_unchecked)]
pub fn step(
    params: &mut Array<f32>,
    grads: &Array<f32>,
    m: &mut Array<f32>,
    v: &mut Array<f32>,
    rate: f32,
    beta1: f32,
    beta2: f32,
    root: f32,
    eps: f32,
    decay: f32,
) {
    let i = ABSOLUTE_POS;
    if i < params.len() {
        let g = grads[i];
        let first = beta1 * m[i] + (1.0f32 - beta1) * g;
        let second = beta2 * v[i] + (1.0f32 - beta2) * g * g;
        let p = params[i];
        params[i] = p - (rate * first / (f32::sqrt(second) * root + eps) + decay * p);
        m[i] = first;
        v[i] = second;
    }
}
