//! Value noise of integers only hashed and numbers only added and multiplied: every machine makes the same.

use glam::{DVec3, IVec3};

/// A number from 0 to 1 for the cell `cell` of the lattice, another one for each `seed`.
pub fn hash(cell: IVec3, seed: u32) -> f64 {
    let mut h = seed.wrapping_mul(0x9e37_79b9) ^ 0x85eb_ca6b;
    for v in cell.to_array() {
        h = (h ^ v as u32).wrapping_mul(0xcc9e_2d51);
        h = (h ^ (h >> 15)).wrapping_mul(0x85eb_ca6b);
        h ^= h >> 13;
    }
    f64::from(h.wrapping_mul(0xc2b2_ae35) >> 8) / f64::from(1u32 << 24)
}

/// Noise from 0 to 1 whose cells have an edge of 1.
pub fn noise(p: DVec3, seed: u32) -> f64 {
    let cell = p.floor();
    let t = p - cell;
    let t = t * t * (3.0 - 2.0 * t);
    let at = |x: i32, y: i32, z: i32| hash(cell.as_ivec3() + IVec3::new(x, y, z), seed);
    let mix = |a: f64, b: f64, t: f64| a + (b - a) * t;
    let row = |y: i32, z: i32| mix(at(0, y, z), at(1, y, z), t.x);
    let plane = |z: i32| mix(row(0, z), row(1, z), t.y);
    mix(plane(0), plane(1), t.z)
}

/// Sum of `octaves` of noise with an amplitude that halves from one to the next, from 0 to 1. The coarsest has cells of edge
/// `size`; those finer than `footprint` (the width of a pixel on the surface) are replaced by their mean.
pub fn fractal(p: DVec3, size: f64, octaves: u32, footprint: f64, seed: u32) -> f64 {
    let (mut sum, mut total, mut size, mut weight) = (0.0, 0.0, size, 1.0);
    for octave in 0..octaves {
        // None where a cell is a pixel wide, whole from two pixels on.
        let share = (size / footprint.max(1e-9) - 1.0).clamp(0.0, 1.0);
        let value = if share > 0.0 { noise(p / size, seed + octave) } else { 0.5 };
        sum += weight * (0.5 + share * (value - 0.5));
        total += weight;
        (size, weight) = (0.5 * size, 0.5 * weight);
    }
    sum / total
}
