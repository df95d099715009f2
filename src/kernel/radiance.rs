//! Radiance fields on tiles: density and colour at points, and the training step of rays, which marches, composites and
//! differentiates in one pass.
//!
//! A ray's samples are evaluated front to back in rounds, so that what lies behind an opaque surface is never evaluated.
//! The trunk (everything that does not depend on the view) runs on tiles whose activations are kept for the adjoint; the
//! colour head runs on tiles of the samples that count. Compositing is the quadrature of Max (1995), eq. 3: with
//! `α = 1 − exp(−σ·dt)` and transmittance `T`, `C = Σ T·α·c + T_end·background`.

use std::ops::Range;
use std::sync::PoisonError;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::arch;
use crate::direction::encode;
use crate::fused::{Fused, take};
use crate::gemm::Init;
use crate::loss::PointLoss;
use crate::math::{exp, sigmoid};
use crate::mlp::{Activations, TILE, View};
use nstr_spec::MAX_RAW_DENSITY;
use crate::tile::{HeadPlan, Outputs, Plan, Prepared, Sums, Tile, TileAdjoint};

/// Density per unit of field coordinates from the decoder's raw value.
#[inline(always)]
pub fn density(raw: f32) -> f32 {
    raw.min(MAX_RAW_DENSITY).exp()
}

/// Rays of a training step with the samples at which they may meet something, front to back.
#[derive(Clone, Copy, Debug)]
pub struct RayBatch<'a> {
    /// Samples of ray r are `first[r]..first[r + 1]`.
    pub first: &'a [u32],
    /// Position of each sample, `[sample][3]`.
    pub x: &'a [f32],
    /// Distance of each sample along its ray, in field units.
    pub t: &'a [f32],
    /// Length that each sample stands for, in field units.
    pub dt: &'a [f32],
    /// Unit viewing direction of each ray, `[ray][3]`.
    pub direction: &'a [f32],
    /// Wanted colour of each ray, the background composited, `[ray][3]`.
    pub target: &'a [f32],
    /// Background of each ray, `[ray][3]`.
    pub background: &'a [f32],
}

impl RayBatch<'_> {
    /// Number of rays.
    pub fn rays(&self) -> usize {
        self.first.len().saturating_sub(1)
    }
}

/// A [`RayBatch`] that owns its buffers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rays {
    /// See [`RayBatch::first`]; `[0]` for no rays.
    pub first: Vec<u32>,
    /// See [`RayBatch::x`].
    pub x: Vec<f32>,
    /// See [`RayBatch::t`].
    pub t: Vec<f32>,
    /// See [`RayBatch::dt`].
    pub dt: Vec<f32>,
    /// See [`RayBatch::direction`].
    pub direction: Vec<f32>,
    /// See [`RayBatch::target`].
    pub target: Vec<f32>,
    /// See [`RayBatch::background`].
    pub background: Vec<f32>,
}

impl Rays {
    /// The rays as slices.
    pub fn batch(&self) -> RayBatch<'_> {
        let Self { first, x, t, dt, direction, target, background } = self;
        RayBatch { first, x, t, dt, direction, target, background }
    }
}

/// How rays are compared with their colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RayLoss {
    /// Loss of each channel's error; the mean over rays and channels is taken.
    pub loss: PointLoss,
    /// A ray ends where less than this share of light comes through.
    pub min_transmittance: f32,
    /// Weight of the distortion term `Σᵢⱼ wᵢwⱼ|tᵢ−tⱼ| + ⅓ Σ wᵢ²dtᵢ` (Barron et al. 2022, eq. 15), mean over rays.
    pub distortion: f32,
}

/// What a step found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RayStats {
    /// Mean loss, the distortion term included.
    pub loss: f64,
    /// Samples at which the trunk was evaluated.
    pub evaluated: usize,
    /// Samples that the rays' colours are made of.
    pub used: usize,
}

/// Samples that a ray takes in a round.
const ROUND: usize = 8;
/// Candidate samples that a thread works on together, at least one ray: their activations are kept.
const CHUNK: usize = 6144;

/// Buffers of the colour head for one tile.
#[derive(Clone, Debug)]
struct HeadTile {
    /// Input rows `[f | encoded direction]`.
    rows: Vec<f32>,
    acts: Activations,
    out: Vec<f32>,
    d_out: Vec<f32>,
    d_rows: Vec<f32>,
}

impl HeadPlan {
    fn tile(&self) -> HeadTile {
        let (rows, out) = (TILE * self.row, TILE * self.mlp.output_columns());
        HeadTile {
            rows: vec![0.0; rows],
            acts: self.mlp.activations(1),
            out: vec![0.0; out],
            d_out: vec![0.0; out],
            d_rows: vec![0.0; rows],
        }
    }

    /// Colours of a tile's rows.
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, w: &Prepared, tile: &mut HeadTile) {
        let x = View { ptr: tile.rows.as_mut_ptr(), row: self.row };
        let y = View { ptr: tile.out.as_mut_ptr(), row: self.mlp.output_columns() };
        // SAFETY: the buffers are those of `tile`, made for this plan.
        unsafe { self.mlp.forward(simd, &w.head, x, &mut tile.acts, y, 1) }
        // Whole rows, padding too: one vector a row or two.
        for v in S::as_mut_simd_f32s(&mut tile.out).0 {
            *v = sigmoid(simd, *v);
        }
    }
}

/// One thread's buffers for rays.
#[derive(Debug, Default)]
pub(super) struct RayBuffers {
    trunk: Vec<Tile>,
    head: Vec<HeadTile>,
    /// Sample in each row of the trunk's tiles.
    rows: Vec<u32>,
    /// Coordinates of one tile.
    x: Vec<f32>,
    /// Rays of the chunk that still see something: number, next sample, transmittance.
    alive: Vec<(usize, usize, f32)>,
    /// Of each row of the trunk's tiles: its sample's density, and the share of light that passes through the sample.
    sigma: Vec<f32>,
    through: Vec<f32>,
    /// Of each candidate sample of the chunk: its row in the trunk's tiles.
    row_of: Vec<u32>,
    /// Samples used of each ray of the chunk.
    used: Vec<usize>,
    /// Of each row of the head's tiles: its row in the trunk's.
    source: Vec<u32>,
    /// Adjoint of the trunk's values, `[row][outputs]`.
    d_value: Vec<f32>,
    /// Weight, transmittance behind and distortion slope of one ray's samples.
    weight: Vec<f32>,
    behind: Vec<f32>,
    slope: Vec<f32>,
}

impl Fused {
    fn head_plan(&self) -> &HeadPlan {
        self.plan.head.as_ref().expect("callers have a radiance field: its spec has a view")
    }

    /// Colour and density `[r, g, b, σ]` of each point seen along its direction (`x`, `direction`: `[point][3]`), on the
    /// calling thread. The spec must have a view.
    pub fn radiance(&self, weights: &Prepared, grid: &[f32], x: &[f32], direction: &[f32], out: &mut [f32]) {
        assert_eq!(grid.len(), self.spec().grid_len(), "grid has the spec's length");
        assert_eq!(x.len(), direction.len(), "one direction a point");
        assert_eq!(x.len() / 3, out.len() / 4, "outputs are [point][4]");
        let head = self.head_plan();
        let mut buffers = take(&self.rays).unwrap_or_default();
        self.with_tile(Outputs::Value, false, |tile| {
            let plan = &self.plan;
            if buffers.head.is_empty() {
                buffers.head.push(head.tile());
            }
            let head_tile = &mut buffers.head[0];
            arch().dispatch(RadianceTask { plan, head, weights, grid, x, direction, tile, head_tile, out });
        });
        self.rays.lock().unwrap_or_else(PoisonError::into_inner).push(buffers);
    }

    /// Density of each point on the calling thread. The spec must have a view.
    pub fn density(&self, weights: &Prepared, grid: &[f32], x: &[f32], out: &mut [f32]) {
        let width = self.width(Outputs::Value);
        let mut values = vec![0.0; TILE * width];
        for (x, out) in x.chunks(TILE * 3).zip(out.chunks_mut(TILE)) {
            let values = &mut values[..out.len() * width];
            self.evaluate(weights, grid, x, Outputs::Value, values);
            for (out, row) in out.iter_mut().zip(values.chunks_exact(width)) {
                *out = density(row[0]);
            }
        }
    }

    /// Mean loss of the rays, its gradient added to `d_grid` and `d_net`: evaluation, compositing and adjoint in one pass.
    pub fn ray_loss_backward(
        &self,
        grid: &[f32],
        net: &[f32],
        batch: RayBatch<'_>,
        loss: RayLoss,
        d_grid: &mut [f32],
        d_net: &mut [f32],
    ) -> RayStats {
        assert_eq!(grid.len(), self.spec().grid_len(), "grid has the spec's length");
        let samples = batch.first.last().map_or(0, |n| *n as usize);
        let lengths = [batch.x.len() / 3, batch.t.len(), batch.dt.len()];
        assert!(lengths.iter().all(|n| *n >= samples), "one position, distance and length a sample");
        let rays = [batch.direction, batch.target, batch.background].map(|v| v.len() / 3);
        assert_eq!(rays, [batch.rays(); 3], "one direction, colour and background a ray");
        let weights = &self.prepare(net);
        let head = self.head_plan();
        let done: Vec<(RayStats, Sums)> = shares(batch.first, rayon::current_num_threads())
            .into_par_iter()
            .map(|range| {
                let mut sums = take(&self.sums).unwrap_or_else(|| self.plan.sums());
                let mut buffers = take(&self.rays).unwrap_or_default();
                let (plan, b, s) = (&self.plan, &mut buffers, &mut sums);
                let job = Job { plan, head, weights, grid, batch, loss, scale: 1.0 / batch.rays().max(1) as f32 };
                let stats = arch().dispatch(RayTask { job, range, buffers: b, sums: s });
                self.rays.lock().unwrap_or_else(PoisonError::into_inner).push(buffers);
                (stats, sums)
            })
            .collect();
        self.collect(done, d_grid, d_net).into_iter().fold(RayStats::default(), |a, b| RayStats {
            loss: a.loss + b.loss,
            evaluated: a.evaluated + b.evaluated,
            used: a.used + b.used,
        })
    }
}

/// Cuts rays into ranges of about as many samples.
fn shares(first: &[u32], threads: usize) -> Vec<Range<usize>> {
    let rays = first.len().saturating_sub(1);
    let (Some(&start), Some(&end)) = (first.first(), first.last()) else { return Vec::new() };
    let mut ranges = Vec::with_capacity(threads);
    let mut at = 0;
    for i in 1..=threads {
        let wanted = start + (u64::from(end - start) * i as u64 / threads as u64) as u32;
        let to = if i == threads { rays } else { first.partition_point(|f| *f < wanted).min(rays) };
        if to > at {
            ranges.push(at..to);
            at = to;
        }
    }
    ranges
}

struct RadianceTask<'a> {
    plan: &'a Plan,
    head: &'a HeadPlan,
    weights: &'a Prepared,
    grid: &'a [f32],
    x: &'a [f32],
    direction: &'a [f32],
    tile: &'a mut Tile,
    head_tile: &'a mut HeadTile,
    out: &'a mut [f32],
}

impl WithSimd for RadianceTask<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, head, weights, grid, tile, head_tile, .. } = self;
        let points = self.x.chunks(TILE * 3).zip(self.direction.chunks(TILE * 3));
        for ((x, direction), out) in points.zip(self.out.chunks_mut(TILE * 4)) {
            plan.forward(simd, weights, grid, x, tile);
            for (p, d) in direction.as_chunks::<3>().0.iter().enumerate() {
                let row = &mut head_tile.rows[p * head.row..][..head.row];
                row[..plan.outputs].copy_from_slice(plan.values(tile, p));
                encode(head.encoding, *d, &mut row[head.direction_at..]);
            }
            head.forward(simd, weights, head_tile);
            let columns = head.mlp.output_columns();
            for (p, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let c = &head_tile.out[p * columns..][..3];
                let poison = x[3 * p..3 * p + 3].iter().any(|x| x.is_nan());
                let sigma = if poison { f32::NAN } else { density(plan.values(tile, p)[0]) };
                *out = [c[0], c[1], c[2], sigma];
            }
        }
    }
}

/// What every chunk of a step reads.
#[derive(Clone, Copy)]
struct Job<'a> {
    plan: &'a Plan,
    head: &'a HeadPlan,
    weights: &'a Prepared,
    grid: &'a [f32],
    batch: RayBatch<'a>,
    loss: RayLoss,
    scale: f32,
}

struct RayTask<'a> {
    job: Job<'a>,
    range: Range<usize>,
    buffers: &'a mut RayBuffers,
    sums: &'a mut Sums,
}

impl WithSimd for RayTask<'_> {
    type Output = RayStats;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> RayStats {
        let Self { job, range, buffers, sums } = self;
        let mut stats = RayStats::default();
        let first = job.batch.first;
        let mut from = range.start;
        while from < range.end {
            let limit = first[from] as usize + CHUNK;
            let mut to = from + 1;
            while to < range.end && first[to + 1] as usize <= limit {
                to += 1;
            }
            job.trunk(simd, from..to, buffers, &mut stats);
            job.colours(simd, from..to, buffers);
            stats.used += buffers.used.iter().sum::<usize>();
            stats.loss += job.composite(from..to, buffers);
            job.adjoint(simd, buffers, sums);
            from = to;
        }
        stats
    }
}

impl Job<'_> {
    /// Evaluates the trunk front to back until every ray of the chunk has ended.
    #[inline(always)]
    fn trunk<S: Simd>(&self, simd: S, rays: Range<usize>, b: &mut RayBuffers, stats: &mut RayStats) {
        let first = self.batch.first;
        let base = first[rays.start] as usize;
        let candidates = first[rays.end] as usize - base;
        b.row_of.clear();
        b.row_of.resize(candidates, 0);
        b.used.clear();
        b.used.resize(rays.len(), 0);
        b.rows.clear();
        b.alive.clear();
        b.alive.extend(rays.clone().filter(|r| first[*r] < first[r + 1]).map(|r| (r, first[r] as usize, 1.0)));
        while !b.alive.is_empty() {
            let start = b.rows.len().next_multiple_of(TILE);
            b.rows.resize(start, u32::MAX);
            for &(r, next, _) in &b.alive {
                let end = (next + ROUND).min(first[r + 1] as usize);
                for sample in next..end {
                    b.row_of[sample - base] = b.rows.len() as u32;
                    b.rows.push(sample as u32);
                }
            }
            stats.evaluated += b.rows.len() - start;
            self.evaluate(simd, start, b);
            let mut alive = std::mem::take(&mut b.alive);
            alive.retain_mut(|(r, next, transmittance)| {
                let end = (*next + ROUND).min(first[*r + 1] as usize);
                for sample in *next..end {
                    if *transmittance < self.loss.min_transmittance {
                        return false;
                    }
                    b.used[*r - rays.start] += 1;
                    *transmittance *= b.through[b.row_of[sample - base] as usize];
                }
                *next = end;
                end < first[*r + 1] as usize && *transmittance >= self.loss.min_transmittance
            });
            b.alive = alive;
        }
    }

    /// Runs the trunk on the tiles from row `start` on.
    #[inline(always)]
    fn evaluate<S: Simd>(&self, simd: S, start: usize, b: &mut RayBuffers) {
        let first = start / TILE;
        let room = (first * TILE + b.rows.len() - start).next_multiple_of(TILE);
        b.sigma.resize(room, 0.0);
        b.through.resize(room, 1.0);
        for (i, rows) in b.rows[start..].chunks(TILE).enumerate() {
            if first + i == b.trunk.len() {
                b.trunk.push(self.plan.tile(Outputs::Value, false));
            }
            let tile = &mut b.trunk[first + i];
            b.x.clear();
            for &sample in rows {
                b.x.extend_from_slice(&self.batch.x[3 * sample as usize..][..3]);
            }
            self.plan.forward(simd, self.weights, self.grid, &b.x, tile);
            let at = (first + i) * TILE..(first + i + 1) * TILE;
            let (sigma, through) = (&mut b.sigma[at.clone()], &mut b.through[at]);
            for (p, &sample) in rows.iter().enumerate() {
                sigma[p] = self.plan.values(tile, p)[0];
                through[p] = self.batch.dt[sample as usize];
            }
            opacity(simd, sigma, through);
        }
    }

    /// Runs the head on the samples that count, in the order of rays and distances.
    #[inline(always)]
    fn colours<S: Simd>(&self, simd: S, rays: Range<usize>, b: &mut RayBuffers) {
        let (first, outputs, head) = (self.batch.first, self.plan.outputs, self.head);
        let base = first[rays.start] as usize;
        b.source.clear();
        for (r, &used) in rays.clone().zip(&b.used) {
            let from = first[r] as usize - base;
            if used == 0 {
                continue;
            }
            let mut code = [0.0; 32];
            let d = &self.batch.direction[3 * r..3 * r + 3];
            encode(head.encoding, [d[0], d[1], d[2]], &mut code);
            let width = head.row - head.direction_at;
            for &row in &b.row_of[from..from + used] {
                let at = b.source.len();
                if at / TILE == b.head.len() {
                    b.head.push(head.tile());
                }
                let to = &mut b.head[at / TILE].rows[at % TILE * head.row..][..head.row];
                b.source.push(row);
                let row = row as usize;
                to[..outputs].copy_from_slice(self.plan.values(&b.trunk[row / TILE], row % TILE));
                to[head.direction_at..].copy_from_slice(&code[..width]);
            }
        }
        let at = b.source.len();
        for (i, tile) in b.head[..at.div_ceil(TILE)].iter_mut().enumerate() {
            // Rows past the last keep old numbers; nothing reads their outputs, and their adjoints are 0.
            tile.rows[(at - i * TILE).min(TILE) * head.row..].fill(0.0);
            head.forward(simd, self.weights, tile);
            tile.d_out.fill(0.0);
        }
    }

    /// Colours of the chunk's rays, their loss, and its adjoints with respect to raw colours (in the head's tiles) and raw
    /// densities (in `d_value`).
    #[inline(always)]
    fn composite(&self, rays: Range<usize>, b: &mut RayBuffers) -> f64 {
        let (batch, outputs, columns) = (self.batch, self.plan.outputs, self.head.mlp.output_columns());
        b.d_value.clear();
        b.d_value.resize(b.rows.len() * outputs, 0.0);
        let (mut at, mut total) = (0, 0.0);
        for (i, r) in rays.enumerate() {
            let (start, used) = (batch.first[r] as usize, b.used[i]);
            b.weight.clear();
            b.behind.clear();
            let mut transmittance = 1.0;
            let mut colour = [0.0f32; 3];
            for s in 0..used {
                let h = at + s;
                let c = &b.head[h / TILE].out[h % TILE * columns..][..3];
                let through = b.through[b.source[h] as usize];
                let weight = transmittance * (1.0 - through);
                transmittance *= through;
                for j in 0..3 {
                    colour[j] += weight * c[j];
                }
                b.weight.push(weight);
                b.behind.push(transmittance);
            }
            let background = &batch.background[3 * r..3 * r + 3];
            let mut d_colour = [0.0; 3];
            for j in 0..3 {
                let error = colour[j] + transmittance * background[j] - batch.target[3 * r + j];
                let (l, slope) = self.loss.loss.evaluate(error);
                total += f64::from(l * self.scale / 3.0);
                d_colour[j] = slope * self.scale / 3.0;
            }
            b.slope.clear();
            b.slope.resize(used, 0.0);
            if self.loss.distortion > 0.0 {
                let at = start..start + used;
                let value = distortion(&b.weight, &batch.t[at.clone()], &batch.dt[at], &mut b.slope);
                let factor = self.loss.distortion * self.scale;
                total += f64::from(value * factor);
                b.slope.iter_mut().for_each(|s| *s *= factor);
            }
            // What a sample hides of everything behind it.
            let mut hidden = transmittance * dot(&d_colour, background);
            for s in (0..used).rev() {
                let h = at + s;
                let (tile, row) = (&mut b.head[h / TILE], h % TILE * columns);
                let c = [tile.out[row], tile.out[row + 1], tile.out[row + 2]];
                let gain = dot(&d_colour, &c) + b.slope[s];
                let d_sigma = batch.dt[start + s] * (b.behind[s] * gain - hidden);
                hidden += b.weight[s] * gain;
                let source = b.source[h] as usize;
                b.d_value[source * outputs] = d_sigma * b.sigma[source];
                let d_raw = &mut tile.d_out[row..row + 3];
                for j in 0..3 {
                    d_raw[j] = d_colour[j] * b.weight[s] * c[j] * (1.0 - c[j]);
                }
            }
            at += used;
        }
        total
    }

    /// Adjoint of the head, then of the trunk.
    #[inline(always)]
    fn adjoint<S: Simd>(&self, simd: S, b: &mut RayBuffers, sums: &mut Sums) {
        let (plan, head, outputs) = (self.plan, self.head, self.plan.outputs);
        let head_sums = sums.head.as_mut().expect("a plan with a head has sums for it");
        for tile in &mut b.head[..b.source.len().div_ceil(TILE)] {
            let view = |buffer: &mut Vec<f32>, row| View { ptr: buffer.as_mut_ptr(), row };
            let (x, dx) = (view(&mut tile.rows, head.row), view(&mut tile.d_rows, head.row));
            let dy = view(&mut tile.d_out, head.mlp.output_columns());
            let acts = &mut tile.acts;
            // SAFETY: `forward` ran on these buffers, made for this plan; adjoints mirror them.
            unsafe { head.mlp.backward(simd, &self.weights.head, x, acts, dy, dx, Init::Zero, head_sums, 1) };
        }
        for (at, &row) in b.source.iter().enumerate() {
            let d = &b.head[at / TILE].d_rows[at % TILE * head.row..][..outputs];
            let to = &mut b.d_value[row as usize * outputs..][..outputs];
            to.iter_mut().zip(d).for_each(|(to, d)| *to += d);
        }
        for (tile, d_out) in b.trunk.iter_mut().zip(b.d_value.chunks(TILE * outputs)) {
            plan.backward(simd, self.weights, self.grid, tile, TileAdjoint { d_out, sums, d_x: None });
        }
    }
}

/// Raw densities become densities, and lengths the shares of light that pass through them.
#[inline(always)]
fn opacity<S: Simd>(simd: S, sigma: &mut [f32], through: &mut [f32]) {
    let (sigma, through) = (S::as_mut_simd_f32s(sigma).0, S::as_mut_simd_f32s(through).0);
    for (s, t) in sigma.iter_mut().zip(through) {
        *s = exp(simd, simd.min_f32s(*s, simd.splat_f32s(MAX_RAW_DENSITY)));
        *t = exp(simd, simd.neg_f32s(simd.mul_f32s(*s, *t)));
    }
}

#[inline(always)]
fn dot(a: &[f32; 3], b: &[f32]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The distortion of one ray and its slope in each weight, by sums over the samples before and behind.
fn distortion(weight: &[f32], t: &[f32], dt: &[f32], slope: &mut [f32]) -> f32 {
    let (total, moment) = weight.iter().zip(t).fold((0.0, 0.0), |(w, m), (&wi, &ti)| (w + wi, m + wi * ti));
    let (mut before, mut moment_before, mut value) = (0.0, 0.0, 0.0);
    for i in 0..weight.len() {
        let (behind, moment_behind) = (total - before - weight[i], moment - moment_before - weight[i] * t[i]);
        let pull = t[i] * before - moment_before + moment_behind - t[i] * behind;
        slope[i] = 2.0 * pull + 2.0 / 3.0 * weight[i] * dt[i];
        value += weight[i] * (pull + weight[i] * dt[i] / 3.0);
        before += weight[i];
        moment_before += weight[i] * t[i];
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples: the term and its slope by hand.
    #[test]
    fn distortion_of_a_pair() {
        let (w, t, dt) = ([0.25, 0.5], [1.0, 3.0], [0.1, 0.2]);
        let mut slope = [0.0; 2];
        let value = distortion(&w, &t, &dt, &mut slope);
        let want = 2.0 * 0.25 * 0.5 * 2.0 + (0.0625 * 0.1 + 0.25 * 0.2) / 3.0;
        assert!((value - want).abs() < 1e-6);
        assert!((slope[0] - (2.0 * 0.5 * 2.0 + 2.0 / 3.0 * 0.25 * 0.1)).abs() < 1e-6);
    }
}
