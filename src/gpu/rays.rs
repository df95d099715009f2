//! The training step of rays: the samples that count, their colours, compositing and its adjoint (Max 1995, eq. 3).
//!
//! With `α = 1 − exp(−σ·dt)` and transmittance `T`, `C = Σ T·α·c + T_end·background`. A step is
//!
//! 1. [`values`](crate::field::points::values()) of the trunk at all samples, or
//!    [`counted_values`](crate::field::points::counted_values()) where [`march`](crate::march::march()) has found them,
//! 2. [`list_samples()`]: per ray its weights, and the list of samples before it ends,
//! 3. [`colours()`] of the listed samples,
//! 4. [`composite()`]: losses, and adjoints of colours and raw densities,
//! 5. [`colours_adjoint()`]: gradients of the head, adjoint of the trunk's values,
//! 6. [`adjoint`](crate::field::points::adjoint()) of the trunk at the listed samples,
//! 7. where samples were found on the device, [`settle()`]: the mean loss, and sums over steps.
//!
//! A ray's *record* is its direction, target and background; its *span* says where its samples are
//! ([`SPAN_WORDS`]).

use cubecl::prelude::*;

use crate::field::add::Add;
use crate::field::density::{density, density_slope};
use crate::field::math::sigmoids;
use crate::field::mlp;
use crate::field::product::{BlockSums, Target, clear_sums, flush_sums, product};
use crate::field::tile::terms_into;
use crate::field::{Float4, TileRows, direction_encoding};
use crate::march::{LEFT_OUT, SPAN_WORDS};
use crate::shape::HeadShape;

/// A listed sample: weight of its colour, transmittance behind it, density, and its place among all samples.
pub const SAMPLE_WORDS: usize = 4;
/// Floats of a ray's record: direction, target, background.
pub const RECORD: usize = 9;
/// Units of the one block that sums the losses.
pub const SETTLING_UNITS: usize = 128;
/// Words of the sums over steps: samples found, samples that had room, samples that count, rays without room, bits of the
/// sum of mean losses, steps.
pub const STATISTICS: usize = 8;

/// Finds the samples of each ray that light reaches and appends them to the list, a ray's in a row. One unit a ray.
///
/// Inputs: the first two words of each ray's span, distances and lengths of the samples, the trunk's `values`. Outputs:
/// `list` (numbers of samples) and `ray_of`, `samples` ([`SAMPLE_WORDS`] floats each), the last two words of each ray's
/// span, and the list's length in `count[0]`.
#[cube(launch_unchecked)]
pub fn list_samples(
    lengths: &Array<f32>,
    values: &Array<f32>,
    list: &mut Array<u32>,
    ray_of: &mut Array<u32>,
    samples: &mut Array<f32>,
    spans: &mut Array<u32>,
    count: &mut Array<Atomic<u32>>,
    rays: u32,
    min_transmittance: f32,
    sharpness: f32,
    #[comptime] outputs: usize,
) {
    let r = ABSOLUTE_POS;
    if r < rays as usize {
        let span = comptime!(SPAN_WORDS) * r;
        let start = spans[span];
        let own = spans[span + 1];
        let mut used = 0u32;
        let mut transmittance = 1.0f32;
        for i in 0..own {
            if transmittance >= min_transmittance {
                used += 1u32;
                let s = (start + i) as usize;
                let sigma = density(values[s * outputs], sharpness);
                transmittance *= f32::exp(-(sigma * lengths[2 * s + 1]));
            }
        }
        let at = count[0].fetch_add(used);
        spans[span + 2] = at;
        spans[span + 3] = used;
        transmittance = 1.0f32;
        for i in 0..used {
            let s = (start + i) as usize;
            let sigma = density(values[s * outputs], sharpness);
            let dt = lengths[2 * s + 1];
            let through = f32::exp(-(sigma * dt));
            let weight = transmittance * (1.0f32 - through);
            transmittance *= through;
            let to = (at + i) as usize;
            list[to] = s as u32;
            ray_of[to] = r as u32;
            samples[4 * to] = weight;
            samples[4 * to + 1] = transmittance;
            samples[4 * to + 2] = sigma;
            samples[4 * to + 3] = dt;
        }
    }
}

/// Inputs of the head for the listed samples from `first` on: the trunk's values and the encoded directions. Ends with
/// a barrier.
#[cube]
fn load(
    rows: &mut TileRows,
    values: &Array<f32>,
    list: &Array<u32>,
    ray_of: &Array<u32>,
    records: &Array<f32>,
    first: usize,
    count: usize,
    #[comptime] shape: HeadShape,
) {
    let (vectors, units, inputs) = comptime!((shape.tile.vectors(), shape.tile.units, shape.inputs));
    let items = comptime!(inputs * vectors);
    let turns = comptime!(items.div_ceil(units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let item = turn * units + UNIT_POS as usize;
        if item < items {
            let o = item % inputs;
            let p = item / inputs;
            let mut row = Float4::empty();
            #[unroll]
            for i in 0..4usize {
                let at = min(first + p * 4 + i, count - 1);
                row[i] = values[list[at] as usize * inputs + o];
            }
            rows[(comptime!(shape.f.at) + o) * vectors + p] = row;
        }
    }
    let turns = comptime!(vectors.div_ceil(units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let p = turn * units + UNIT_POS as usize;
        if p < vectors {
            let mut x = Float4::empty();
            let mut y = Float4::empty();
            let mut z = Float4::empty();
            #[unroll]
            for i in 0..4usize {
                let at = min(first + p * 4 + i, count - 1);
                let ray = ray_of[at] as usize * comptime!(RECORD);
                x[i] = records[ray];
                y[i] = records[ray + 1];
                z[i] = records[ray + 2];
            }
            direction_encoding::encode(rows, x, y, z, p, comptime!(shape.clone()));
        }
    }
    sync_cube();
}

/// Colours `[place in the list][4]` of the listed samples; the fourth is 0.
#[cube(launch_unchecked)]
pub fn colours(
    weights: &Array<Float4>,
    values: &Array<f32>,
    list: &Array<u32>,
    ray_of: &Array<u32>,
    records: &Array<f32>,
    count: &Array<u32>,
    out: &mut Array<Float4>,
    turns: u32,
    #[comptime] shape: HeadShape,
) {
    let mut rows = TileRows::new(comptime!(shape.rows * shape.tile.vectors()));
    let (vectors, units) = comptime!((shape.tile.vectors(), shape.tile.units));
    let count = count[0] as usize;
    for turn in 0..turns {
        let first = (CUBE_POS + turn as usize * CUBE_COUNT) * comptime!(shape.tile.points);
        if first < count {
            load(&mut rows, values, list, ray_of, records, first, count, comptime!(shape.clone()));
            mlp::forward(&mut rows, weights, comptime!(shape.layers.clone()), comptime!(shape.tile));
            let turns = comptime!(vectors.div_ceil(units));
            #[unroll(turns == 1)]
            for turn in 0..turns {
                let p = turn * units + UNIT_POS as usize;
                if p < vectors {
                    let at = comptime!(shape.out.at * vectors) + p;
                    let (r, g, b) =
                        (sigmoids(rows[at]), sigmoids(rows[at + vectors]), sigmoids(rows[at + comptime!(2 * vectors)]));
                    #[unroll]
                    for i in 0..4usize {
                        let to = first + p * 4 + i;
                        if to < count {
                            let mut colour = Float4::new(0.0f32);
                            colour[0] = r[i];
                            colour[1] = g[i];
                            colour[2] = b[i];
                            out[to] = colour;
                        }
                    }
                }
            }
            sync_cube();
        }
    }
}

/// Pointwise losses: absolute, squared, Huber's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossKind {
    /// `|e|`.
    L1,
    /// `e²`.
    L2,
    /// `e²/2δ` up to `|e| = δ`, `|e| − δ/2` beyond.
    Huber,
}

#[cube]
fn loss_of(e: f32, delta: f32, #[comptime] kind: LossKind) -> f32 {
    match comptime!(kind) {
        LossKind::L1 => abs(e),
        LossKind::L2 => e * e,
        LossKind::Huber => select(abs(e) <= delta, 0.5f32 * e * e / delta, abs(e) - 0.5f32 * delta),
    }
}

#[cube]
fn sign(e: f32) -> f32 {
    select(e > 0.0f32, 1.0f32, select(e < 0.0f32, -1.0f32, 0.0f32))
}

#[cube]
fn abs(e: f32) -> f32 {
    max(e, -e)
}

#[cube]
fn slope_of(e: f32, delta: f32, #[comptime] kind: LossKind) -> f32 {
    match comptime!(kind) {
        LossKind::L1 => sign(e),
        LossKind::L2 => 2.0f32 * e,
        LossKind::Huber => select(abs(e) <= delta, e / delta, sign(e)),
    }
}

/// Composites each ray's listed samples, compares with its colour, and goes back. One unit a ray.
///
/// Outputs: `d_colour`, the adjoint of the raw colours over `colour`; `d_raw`, that of the listed samples' raw
/// densities; `losses`, one a ray, of which the sum is the batch's mean loss; 0 for rays without room for their samples.
/// `scale` is one over the rays' number. Where `scales`, both adjoints of a sample are multiplied by its `gradient_scale`.
#[cube(launch_unchecked)]
pub fn composite(
    lengths: &Array<f32>,
    spans: &Array<u32>,
    samples: &Array<f32>,
    records: &Array<f32>,
    gradient_scale: &Array<f32>,
    colour: &mut Array<Float4>,
    d_raw: &mut Array<f32>,
    losses: &mut Array<f32>,
    rays: u32,
    scale: f32,
    delta: f32,
    distortion: f32,
    sharpness: f32,
    #[comptime] kind: LossKind,
    #[comptime] distorts: bool,
    #[comptime] scales: bool,
) {
    let r = ABSOLUTE_POS;
    if r < rays as usize {
        let span = comptime!(SPAN_WORDS) * r;
        let has_room = spans[span] != comptime!(LEFT_OUT);
        let start = spans[span] as usize;
        let at = spans[span + 2] as usize;
        let used = spans[span + 3] as usize;
        let record = comptime!(RECORD) * r;
        let mut sum = Float4::new(0.0f32);
        let mut transmittance = 1.0f32;
        let mut total = 0.0f32;
        let mut moment = 0.0f32;
        for i in 0..used {
            let weight = samples[4 * (at + i)];
            sum = fma(colour[at + i], Float4::new(weight), sum);
            transmittance = samples[4 * (at + i) + 1];
            if comptime!(distorts) {
                total += weight;
                moment += weight * lengths[2 * (start + i)];
            }
        }
        let mut loss = 0.0f32;
        let mut d = Float4::new(0.0f32);
        let mut behind = 0.0f32;
        #[unroll]
        for j in 0..3usize {
            let light = records[record + 6 + j];
            let e = sum[j] + transmittance * light - records[record + 3 + j];
            loss += loss_of(e, delta, kind);
            let slope = slope_of(e, delta, kind) * scale / 3.0f32;
            d[j] = slope;
            behind += slope * light;
        }
        loss = loss * scale / 3.0f32;
        // Adjoint of the light from behind a sample.
        let mut hidden = transmittance * behind;
        let mut after = 0.0f32;
        let mut moment_after = 0.0f32;
        for n in 0..used {
            let i = used - 1 - n;
            let at = at + i;
            let weight = samples[4 * at];
            let (sigma, dt) = (samples[4 * at + 2], samples[4 * at + 3]);
            let c = colour[at];
            let mut d_weight = d[0] * c[0] + d[1] * c[1] + d[2] * c[2];
            if comptime!(distorts) {
                let place = lengths[2 * (start + i)];
                let (before, moment_before) = (total - after - weight, moment - moment_after - weight * place);
                let pull = place * before - moment_before + moment_after - place * after;
                let factor = distortion * scale;
                d_weight += factor * (2.0f32 * pull + 2.0f32 / 3.0f32 * weight * dt);
                loss += factor * weight * (pull + weight * dt / 3.0f32);
                after += weight;
                moment_after += weight * place;
            }
            let mut factor = 1.0f32;
            if comptime!(scales) {
                factor = gradient_scale[start + i];
            }
            d_raw[at] = dt * (samples[4 * at + 1] * d_weight - hidden) * density_slope(sigma, sharpness) * factor;
            hidden += weight * d_weight;
            colour[at] = d * Float4::new(weight * factor) * c * (Float4::new(1.0f32) - c);
        }
        losses[r] = select(has_room, loss, 0.0f32);
    }
}

/// Adjoint of the head at the listed samples: adds the gradient of its networks to `d_net` and writes `d_values`,
/// `[place in the list][trunk's outputs]`, the raw densities' adjoint added to the first.
#[cube(launch_unchecked)]
pub fn colours_adjoint<W: Add>(
    weights: &Array<Float4>,
    values: &Array<f32>,
    list: &Array<u32>,
    ray_of: &Array<u32>,
    records: &Array<f32>,
    count: &Array<u32>,
    d_colour: &Array<Float4>,
    d_raw: &Array<f32>,
    d_values: &mut Array<f32>,
    d_net: &mut Array<W::Cell>,
    turns: u32,
    #[comptime] shape: HeadShape,
) {
    let mut rows = TileRows::new(comptime!(shape.rows * shape.tile.vectors()));
    let (vectors, units, tile) = comptime!((shape.tile.vectors(), shape.tile.units, shape.tile));
    let mut sums = BlockSums::new(comptime!(shape.sums.vectors.max(1)));
    clear_sums(&mut sums, comptime!(shape.sums.clone()), units);
    let summed = comptime!(shape.sums.vectors > 0);
    let count = count[0] as usize;
    for turn in 0..turns {
        let first = (CUBE_POS + turn as usize * CUBE_COUNT) * comptime!(shape.tile.points);
        if first < count {
            load(&mut rows, values, list, ray_of, records, first, count, comptime!(shape.clone()));
            mlp::forward(&mut rows, weights, comptime!(shape.layers.clone()), tile);
            let turns = comptime!(vectors.div_ceil(units));
            #[unroll(turns == 1)]
            for turn in 0..turns {
                let p = turn * units + UNIT_POS as usize;
                if p < vectors {
                    let at = comptime!(shape.out.at * vectors) + p;
                    let mut r = Float4::new(0.0f32);
                    let mut g = Float4::new(0.0f32);
                    let mut b = Float4::new(0.0f32);
                    #[unroll]
                    for i in 0..4usize {
                        let from = first + p * 4 + i;
                        if from < count {
                            let d = d_colour[from];
                            r[i] = d[0];
                            g[i] = d[1];
                            b[i] = d[2];
                        }
                    }
                    rows[at] = r;
                    rows[at + vectors] = g;
                    rows[at + comptime!(2 * vectors)] = b;
                }
            }
            sync_cube();
            mlp::backward::<W>(&mut rows, weights, &mut sums, d_net, comptime!(shape.layers.clone()), summed, tile);
            product(
                &mut rows,
                weights,
                comptime!(terms_into(&shape.layers, shape.f)),
                comptime!(Target::store(shape.f)),
                tile,
            );
            write_adjoint(&rows, d_raw, d_values, first, count, comptime!(shape.clone()));
            sync_cube();
        }
    }
    sync_cube();
    flush_sums::<W>(&sums, d_net, comptime!(shape.sums.clone()), units);
}

#[cube]
fn write_adjoint(
    rows: &TileRows,
    d_raw: &Array<f32>,
    d_values: &mut Array<f32>,
    first: usize,
    count: usize,
    #[comptime] shape: HeadShape,
) {
    let (vectors, units, inputs) = comptime!((shape.tile.vectors(), shape.tile.units, shape.inputs));
    let items = comptime!(inputs * vectors);
    let turns = comptime!(items.div_ceil(units));
    #[unroll(turns == 1)]
    for turn in 0..turns {
        let item = turn * units + UNIT_POS as usize;
        if item < items {
            let o = item % inputs;
            let p = item / inputs;
            let row = rows[(comptime!(shape.f.at) + o) * vectors + p];
            #[unroll]
            for i in 0..4usize {
                let to = first + p * 4 + i;
                if to < count {
                    let mut value = row[i];
                    if o == 0 {
                        value += d_raw[to];
                    }
                    d_values[to * inputs + o] = value;
                }
            }
        }
    }
}

/// Sums the rays' losses into `loss[0]`, and adds the step to the sums over steps ([`STATISTICS`] words). One block of
/// [`SETTLING_UNITS`] units, of which each takes every so many'th ray, `turns` at most.
#[cube(launch_unchecked)]
pub fn settle(
    losses: &Array<f32>,
    counters: &Array<u32>,
    count: &Array<u32>,
    loss: &mut Array<f32>,
    statistics: &mut Array<u32>,
    rays: u32,
    turns: u32,
) {
    let mut sums = SharedMemory::<f32>::new(comptime!(SETTLING_UNITS));
    let mut sum = 0.0f32;
    for turn in 0..turns {
        let r = turn * comptime!(SETTLING_UNITS as u32) + UNIT_POS;
        if r < rays {
            sum += losses[r as usize];
        }
    }
    sums[UNIT_POS as usize] = sum;
    sync_cube();
    if UNIT_POS == 0u32 {
        let mut total = 0.0f32;
        for i in 0..comptime!(SETTLING_UNITS) {
            total += sums[i];
        }
        loss[0] = total;
        let before = statistics[4];
        statistics[0] += counters[0];
        statistics[1] += min(counters[0], counters[1]);
        statistics[2] += count[0];
        statistics[3] += counters[2];
        statistics[4] = u32::reinterpret(f32::reinterpret(before) + total);
        statistics[5] += 1u32;
    }
}
