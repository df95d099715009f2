//! Marching of rays through an occupancy grid: their samples in occupied cells, appended to one list.
//!
//! A ray is a few straight pieces, already clipped to the occupied cells; samples are found as on the CPU
//! (`src/space/occupancy`), with the same roundings: no operation is fused or rearranged with the next one (see
//! `rounded`), so that positions, distances and lengths are the CPU's bit for bit. Beyond the knee of strata that grow,
//! the exponential is one of our own, which no compiler chooses; the CPU's is its C library's, and differs by some 1e-7.
//! Only what decides how much of an empty space is skipped may be rounded otherwise: its margins allow for that.
//!
//! One unit goes along each ray twice: it counts the samples, reserves room for them by one atomic addition, and writes them.
//! So the order of rays in the list is not that of their numbers, and differs from run to run.

use cubecl::prelude::*;

use crate::field::{Float4, Uint4};

/// Vectors of four floats of a piece: position at arc length 0 and arc length before which samples are left out; direction
/// and arc length beyond which they are; one over the direction, 0 where that is 0, and the first stratum.
pub const PIECE_VECTORS: usize = 3;
/// Words of a ray's span: first sample, number of samples; place in the list of samples that count, number there.
pub const SPAN_WORDS: usize = 4;
/// First sample of a ray for whose samples there was no room.
pub const LEFT_OUT: u32 = u32::MAX;
/// Words of the counters: samples found; samples in the list, at most (less where a ray had no room); rays without room.
pub const COUNTERS: usize = 4;

/// Strata of a ray: stratum `s` lies at `s·step` up to `knee_s`, at `knee_t·exp((s − knee_s)·rate)` beyond.
#[derive(CubeType)]
struct Strata {
    step: f32,
    per_step: f32,
    knee_t: f32,
    knee_s: f32,
    per_knee: f32,
    rate: f32,
    per_rate: f32,
    /// Place of the sample in its stratum.
    jitter: f32,
    /// Length of a stratum beyond the knee over the distance of its sample.
    growth: f32,
    /// 0, which compilers don't know.
    zero: u32,
}

/// The value of an operation, rounded to a float: compilers can't fuse or rearrange it with the next operation, as they don't
/// know that `zero` is 0.
#[cube]
fn rounded(value: f32, zero: u32) -> f32 {
    f32::reinterpret(u32::reinterpret(value) ^ zero)
}

/// `eˣ` for x from 0 to 87, to about 1e-7: the reduction and the polynomial of the Cephes library (Moshier 1989, `expf`).
/// The result of every operation is rounded: with only the products kept apart, Mesa's software driver gave other last digits.
#[cube]
fn exponential(x: f32, zero: u32) -> f32 {
    let x = min(x, 87.0f32);
    let n = f32::floor(rounded(rounded(x * comptime!(std::f32::consts::LOG2_E), zero) + 0.5f32, zero));
    let r = rounded(x - rounded(n * 0.693_359_4f32, zero), zero);
    let r = rounded(r - rounded(n * -2.121_944_4e-4f32, zero), zero);
    let y = rounded(rounded(r * 1.987_569_1e-4f32, zero) + 1.398_199_9e-3f32, zero);
    let y = rounded(rounded(y * r, zero) + 8.333_452e-3f32, zero);
    let y = rounded(rounded(y * r, zero) + 4.166_579_6e-2f32, zero);
    let y = rounded(rounded(y * r, zero) + 1.666_666_6e-1f32, zero);
    let y = rounded(rounded(y * r, zero) + 0.5f32, zero);
    let y = rounded(rounded(y * rounded(r * r, zero), zero) + r, zero);
    let y = rounded(y + 1.0f32, zero);
    rounded(y * f32::reinterpret((u32::cast_from(n) + 127u32) << 23u32), zero)
}

/// Natural logarithm of x ≥ 1, to some 1e-7: Cephes' `logf`. It only says how far to skip.
#[cube]
fn logarithm(x: f32) -> f32 {
    let bits = u32::reinterpret(x);
    let mut e = f32::cast_from(bits >> 23u32) - 126.0f32;
    let mut m = f32::reinterpret((bits & 0x007f_ffffu32) | 0x3f00_0000u32);
    if m < 0.707_106_77f32 {
        e -= 1.0f32;
        m += m;
    }
    m -= 1.0f32;
    let y = m * 7.037_683_6e-2f32 - 1.151_461e-1f32;
    let y = y * m + 1.167_699_8e-1f32;
    let y = y * m - 1.242_014_1e-1f32;
    let y = y * m + 1.424_932_3e-1f32;
    let y = y * m - 1.666_805_7e-1f32;
    let y = y * m + 2.000_071_4e-1f32;
    let y = y * m - 2.499_999_4e-1f32;
    let y = y * m + 3.333_333e-1f32;
    let z = m * m;
    let y = y * m * z - e * 2.121_944_4e-4f32 - 0.5f32 * z;
    m + y + e * 0.693_359_4f32
}

/// Arc length of stratum `s`.
#[cube]
fn distance(strata: &Strata, s: f32) -> f32 {
    let mut t = s * strata.step;
    if s > strata.knee_s {
        let along = rounded(rounded(s - strata.knee_s, strata.zero) * strata.rate, strata.zero);
        t = strata.knee_t * exponential(along, strata.zero);
    }
    rounded(t, strata.zero)
}

/// Arc length of the sample in a stratum.
#[cube]
fn sample(strata: &Strata, index: u32) -> f32 {
    distance(strata, rounded(f32::cast_from(index) + strata.jitter, strata.zero))
}

/// Length of a stratum whose sample lies at `t`.
#[cube]
fn length(strata: &Strata, index: u32, t: f32) -> f32 {
    let i = f32::cast_from(index);
    let mut dt = strata.step;
    if i + 1.0f32 > strata.knee_s {
        dt = t * strata.growth;
        if i < strata.knee_s {
            dt = distance(strata, i + 1.0f32) - rounded(i * strata.step, strata.zero);
        }
    }
    dt
}

/// The last stratum whose sample lies at or before `t`, give or take rounding; 0 where none does.
#[cube]
fn last_before(strata: &Strata, t: f32) -> u32 {
    let mut s = t * strata.per_step;
    if t > strata.knee_t {
        s = strata.knee_s + logarithm(t * strata.per_knee) * strata.per_rate;
    }
    u32::cast_from(clamp(s - strata.jitter, 0.0f32, 16_000_000.0f32))
}

/// Number of the 64-bit word that holds a cell: 4³ cells a word, 4³ words a block.
#[cube]
fn word_of(x: u32, y: u32, z: u32, cells: u32) -> u32 {
    let side = cells >> 4u32;
    let block = (x >> 4u32) + side * ((y >> 4u32) + side * (z >> 4u32));
    block * 64u32 + ((x >> 2u32) & 3u32) + 4u32 * ((y >> 2u32) & 3u32) + 16u32 * ((z >> 2u32) & 3u32)
}

/// Arc length at which an axis is left by what lies within `radius` cubes of edge `edge` around cube `at`; more than any
/// where the ray runs beside it.
#[cube]
fn leave(at: u32, radius: f32, edge: f32, origin: f32, inverse: f32, slack: f32) -> f32 {
    let ahead = select(inverse > 0.0f32, 1.0f32 + 2.0f32 * radius, 0.0f32);
    let inset = select(inverse > 0.0f32, -slack, slack);
    let face = (f32::cast_from(at) - radius + ahead) * edge + inset;
    select(inverse == 0.0f32, 3e38f32, (face - origin) * inverse)
}

/// Finds the samples of each ray in the occupied cells and appends them to the list, a ray's in a row. One unit a ray.
///
/// Inputs: of each ray in `heads` the number of its first piece, the number of its pieces, the bits of its jitter and of its
/// growth; `pieces` ([`PIECE_VECTORS`] each); `occupancy`, two words for each of the 64-bit words, then the clearances, four
/// a word. Outputs: positions `x` (`[sample][3]`), `lengths` (`[sample][2]`: distance and length), the first two words of
/// each ray's span ([`SPAN_WORDS`]), `counters` ([`COUNTERS`]). A ray with more samples than are left of `capacity` has none.
///
/// `most` bounds a ray's samples; rays times that must stay below 2³². `cells` is the number along an axis, `cell` one
/// over it, `zero` is 0.
#[cube(launch_unchecked)]
pub fn march(
    heads: &Array<Uint4>,
    pieces: &Array<Float4>,
    occupancy: &Array<u32>,
    x: &mut Array<f32>,
    lengths: &mut Array<f32>,
    spans: &mut Array<u32>,
    counters: &mut Array<Atomic<u32>>,
    rays: u32,
    cells: u32,
    most: u32,
    capacity: u32,
    zero: u32,
    step: f32,
    per_step: f32,
    knee_t: f32,
    knee_s: f32,
    per_knee: f32,
    rate: f32,
    per_rate: f32,
    cell: f32,
) {
    let r = ABSOLUTE_POS;
    if r < rays as usize {
        let head = heads[r];
        let jitter = f32::reinterpret(head[2]);
        let growth = f32::reinterpret(head[3]);
        let strata = Strata { step, per_step, knee_t, knee_s, per_knee, rate, per_rate, jitter, growth, zero };
        let size = f32::cast_from(cells);
        let clearances = cells * cells * cells / 32u32;
        let mut at = 0u32;
        let mut limit = most;
        for pass in 0u32..2u32 {
            let mut index = 0u32;
            let mut taken = 0u32;
            for k in 0u32..head[1] {
                let from = (head[0] + k) as usize * comptime!(PIECE_VECTORS);
                let origin = pieces[from];
                let direction = pieces[from + 1];
                let inverse = pieces[from + 2];
                let reach =
                    max(max(max(origin[0], -origin[0]), max(origin[1], -origin[1])), max(origin[2], -origin[2]));
                let slack = 5e-7f32 * (2.0f32 + reach);
                index = max(index, u32::cast_from(inverse[3]));
                let mut going = taken < limit;
                while going {
                    let t = sample(&strata, index);
                    if t > direction[3] {
                        going = false;
                    } else {
                        let px = origin[0] + rounded(direction[0] * t, zero);
                        let py = origin[1] + rounded(direction[1] * t, zero);
                        let pz = origin[2] + rounded(direction[2] * t, zero);
                        // As integers, floats of [0, 1) are the ones below 1: negative ones come out larger.
                        let bits = max(max(u32::reinterpret(px), u32::reinterpret(py)), u32::reinterpret(pz));
                        if bits >= 0x3f80_0000u32 {
                            index += 1u32;
                        } else {
                            let cx = u32::cast_from(px * size);
                            let cy = u32::cast_from(py * size);
                            let cz = u32::cast_from(pz * size);
                            let word = word_of(cx, cy, cz, cells);
                            let low = occupancy[(2u32 * word) as usize];
                            let high = occupancy[(2u32 * word + 1u32) as usize];
                            let bit = (cx & 3u32) + 4u32 * (cy & 3u32) + 16u32 * (cz & 3u32);
                            let half = select(bit < 32u32, low, high);
                            if (half >> (bit & 31u32)) & 1u32 == 1u32 {
                                if t >= origin[3] {
                                    if pass == 1u32 {
                                        let to = (at + taken) as usize;
                                        x[3 * to] = px;
                                        x[3 * to + 1] = py;
                                        x[3 * to + 2] = pz;
                                        lengths[2 * to] = t;
                                        lengths[2 * to + 1] = length(&strata, index, t);
                                    }
                                    taken += 1u32;
                                    going = taken < limit;
                                }
                                index += 1u32;
                            } else {
                                // Behind the cell, or the empty words around the empty word.
                                let whole = (low | high) == 0u32;
                                let packed = occupancy[(clearances + (word >> 2u32)) as usize];
                                let clear = (packed >> (8u32 * (word & 3u32))) & 255u32;
                                let radius = select(whole, f32::cast_from(max(clear, 1u32) - 1u32), 0.0f32);
                                let shift = select(whole, 2u32, 0u32);
                                let edge = select(whole, 4.0f32, 1.0f32) * cell;
                                let lx = leave(cx >> shift, radius, edge, origin[0], inverse[0], slack);
                                let ly = leave(cy >> shift, radius, edge, origin[1], inverse[1], slack);
                                let lz = leave(cz >> shift, radius, edge, origin[2], inverse[2], slack);
                                let exit = min(min(lx, ly), lz) * 0.999_996f32;
                                if exit > direction[3] {
                                    going = false;
                                } else {
                                    index = max(index, last_before(&strata, exit)) + 1u32;
                                }
                            }
                        }
                    }
                }
            }
            if pass == 0u32 {
                at = counters[0].fetch_add(taken);
                let mut start = at;
                if taken > 0u32 && at + taken > capacity {
                    // What lies behind the first ray without room is not written.
                    counters[1].fetch_min(at);
                    counters[2].fetch_add(1u32);
                    start = comptime!(LEFT_OUT);
                    taken = 0u32;
                }
                limit = taken;
                spans[comptime!(SPAN_WORDS) * r] = start;
                spans[comptime!(SPAN_WORDS) * r + 1] = taken;
            }
        }
    }
}
