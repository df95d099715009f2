//! Images for tests.

use crate::gray::Gray;

/// Smooth noise of several scales with edges, moved by `(dx, dy)` pixels; the same pattern everywhere.
pub(crate) fn textured(width: usize, height: usize, dx: f64, dy: f64) -> Gray {
    Gray::from_fn(width, height, |x, y| {
        let (x, y) = (x as f64 - dx, y as f64 - dy);
        let cell = |size: f64, seed: u64| hash((x / size).floor() as i64, (y / size).floor() as i64, seed);
        (40.0 + 70.0 * cell(23.0, 1) + 60.0 * cell(9.0, 2) + 40.0 * cell(5.0, 3)) as f32
    })
}

/// A number from 0 to 1 for a cell.
fn hash(x: i64, y: i64, seed: u64) -> f64 {
    let mut h = (x as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (y as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f) ^ seed;
    for _ in 0..2 {
        h = (h ^ (h >> 31)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    }
    (h >> 11) as f64 / (1u64 << 53) as f64
}
