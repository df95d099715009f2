//! Sine, cosine and activations, with the error bounds of the CPU kernels' (`src/kernel/math.rs`): compilers' own sines
//! are undefined or wrong far from 0.

use cubecl::prelude::*;
use nstr_spec::Activation;

use super::Float4;

/// Sine of `x + quarter turns·π/2` (radians): the reduction of Cody & Waite (1980) in three parts, and the minimax
/// polynomials of the Cephes library.
#[cube]
fn sine_of_quadrant(x: f32, #[comptime] quarters: i32) -> f32 {
    let turns = f32::floor(fma(x, comptime!(std::f32::consts::FRAC_2_PI), 0.5f32));
    let quadrant = i32::cast_from(turns) + quarters;
    let r = fma(turns, -1.570_796_4f32, x);
    let r = fma(turns, 4.371_139e-8f32, r);
    let r = fma(turns, 1.716_7e-15f32, r);
    let r2 = r * r;
    let s = fma(r2, -1.951_529_6e-4f32, 8.332_161e-3f32);
    let s = fma(r2, s, -1.666_665_5e-1f32);
    let s = fma(s * r2, r, r);
    let c = fma(r2, 2.443_315_7e-5f32, -1.388_731_6e-3f32);
    let c = fma(r2, c, 4.166_664_6e-2f32);
    let c = fma(r2, c, -0.5f32);
    let c = fma(r2, c, 1.0f32);
    let value = select(quadrant & 1 == 0, s, c);
    select(quadrant & 2 == 0, value, -value)
}

/// Sine in radians: 2e-7 absolute for |x| ≤ 1e3, 2e-6 for |x| ≤ 1e5.
#[cube]
pub fn sine(x: Float4) -> Float4 {
    let mut y = Float4::empty();
    #[unroll]
    for i in 0..4usize {
        y[i] = sine_of_quadrant(x[i], 0i32);
    }
    y
}

/// Cosine in radians, as exact as [`sine()`].
#[cube]
pub fn cosine(x: Float4) -> Float4 {
    let mut y = Float4::empty();
    #[unroll]
    for i in 0..4usize {
        y[i] = sine_of_quadrant(x[i], 1i32);
    }
    y
}

/// Logistic function.
#[cube]
pub fn sigmoid(x: f32) -> f32 {
    1.0f32 / (1.0f32 + f32::exp(-clamp(x, -87.0f32, 87.0f32)))
}

/// Logistic function of each.
#[cube]
pub fn sigmoids(x: Float4) -> Float4 {
    let mut y = Float4::empty();
    #[unroll]
    for i in 0..4usize {
        y[i] = sigmoid(x[i]);
    }
    y
}

/// The activation's values.
#[cube]
pub fn activate(x: Float4, #[comptime] activation: Activation) -> Float4 {
    if comptime!(activation == Activation::Relu) {
        max(x, Float4::new(0.0f32))
    } else if comptime!(activation == Activation::Silu) {
        x * sigmoids(x)
    } else {
        sine(x)
    }
}

/// The activation's slopes at `pre`; of ReLU, which keeps no `pre`, at its value.
#[cube]
pub fn slope(pre: Float4, #[comptime] activation: Activation) -> Float4 {
    if comptime!(activation == Activation::Relu) {
        let mut y = Float4::empty();
        #[unroll]
        for i in 0..4usize {
            y[i] = select(pre[i] > 0.0f32, 1.0f32, 0.0f32);
        }
        y
    } else if comptime!(activation == Activation::Silu) {
        let s = sigmoids(pre);
        let one = Float4::new(1.0f32);
        s * (one + pre * (one - s))
    } else {
        cosine(pre)
    }
}

/// True for a number that is none, whatever a compiler makes of comparisons.
#[cube]
pub fn is_nan(x: f32) -> bool {
    (u32::reinterpret(x) & 0x7fff_ffffu32) > 0x7f80_0000u32
}
