//! Encodings of a viewing direction on a tile, as the CPU's (`src/kernel/direction_encoding.rs`).

use cubecl::prelude::*;

use super::math::{cosine, sine};
use super::{Float4, TileRows};
use crate::shape::HeadShape;

/// Encoded directions (a vector of four points each along x, y and z) into the rows of the code. No barrier.
#[cube]
pub fn encode(rows: &mut TileRows, x: Float4, y: Float4, z: Float4, p: usize, #[comptime] shape: HeadShape) {
    let vectors = comptime!(shape.tile.vectors());
    let at = comptime!(shape.code.at * vectors) + p;
    if comptime!(shape.harmonics > 0) {
        harmonics(rows, x, y, z, at, comptime!(shape.harmonics), vectors);
    } else {
        rows[at] = x;
        rows[at + vectors] = y;
        rows[at + comptime!(2 * vectors)] = z;
        #[unroll]
        for i in 0..comptime!(shape.octaves) {
            let factor = Float4::new(comptime!(std::f32::consts::PI * (1u32 << i) as f32));
            let first = at + comptime!((3 + 6 * i) * vectors);
            rows[first] = sine(x * factor);
            rows[first + vectors] = cosine(x * factor);
            rows[first + comptime!(2 * vectors)] = sine(y * factor);
            rows[first + comptime!(3 * vectors)] = cosine(y * factor);
            rows[first + comptime!(4 * vectors)] = sine(z * factor);
            rows[first + comptime!(5 * vectors)] = cosine(z * factor);
        }
    }
}

#[cube]
fn scaled(v: Float4, #[comptime] factor: f32) -> Float4 {
    v * Float4::new(factor)
}

/// Orthonormal real spherical harmonics of degrees 0 to 3 (Sloan 2013, appendix A2), those below `degree`.
#[cube]
fn harmonics(
    rows: &mut TileRows,
    x: Float4,
    y: Float4,
    z: Float4,
    at: usize,
    #[comptime] degree: usize,
    #[comptime] vectors: usize,
) {
    let (xx, yy, zz) = (x * x, y * y, z * z);
    let one = Float4::new(1.0f32);
    rows[at] = Float4::new(0.282_094_8f32);
    if comptime!(degree > 1) {
        rows[at + vectors] = scaled(y, -0.488_602_5f32);
        rows[at + comptime!(2 * vectors)] = scaled(z, 0.488_602_5f32);
        rows[at + comptime!(3 * vectors)] = scaled(x, -0.488_602_5f32);
    }
    if comptime!(degree > 2) {
        rows[at + comptime!(4 * vectors)] = scaled(x * y, 1.092_548_4f32);
        rows[at + comptime!(5 * vectors)] = scaled(y * z, -1.092_548_4f32);
        rows[at + comptime!(6 * vectors)] = scaled(scaled(zz, 3.0f32) - one, 0.315_391_57f32);
        rows[at + comptime!(7 * vectors)] = scaled(x * z, -1.092_548_4f32);
        rows[at + comptime!(8 * vectors)] = scaled(xx - yy, 0.546_274_2f32);
    }
    if comptime!(degree > 3) {
        rows[at + comptime!(9 * vectors)] = scaled(y * (scaled(xx, 3.0f32) - yy), -0.590_043_6f32);
        rows[at + comptime!(10 * vectors)] = scaled(x * y * z, 2.890_611_4f32);
        rows[at + comptime!(11 * vectors)] = scaled(y * (scaled(zz, 5.0f32) - one), -0.457_045_8f32);
        rows[at + comptime!(12 * vectors)] = scaled(z * (scaled(zz, 5.0f32) - scaled(one, 3.0f32)), 0.373_176_33f32);
        rows[at + comptime!(13 * vectors)] = scaled(x * (scaled(zz, 5.0f32) - one), -0.457_045_8f32);
        rows[at + comptime!(14 * vectors)] = scaled(z * (xx - yy), 1.445_305_7f32);
        rows[at + comptime!(15 * vectors)] = scaled(x * (xx - scaled(yy, 3.0f32)), -0.590_043_6f32);
    }
}
