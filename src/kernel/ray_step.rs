//! The training step of rays on one thread: marches, evaluates, composites and differentiates chunks of rays.
//!
//! A ray's samples are evaluated front to back in rounds, so that what lies behind an opaque surface is never evaluated.
//! The trunk (everything that does not depend on the viewing direction) runs on tiles whose activations are kept for the adjoint;
//! the colour head runs on tiles of the samples that count.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::compositing::absorb;
use crate::direction_encoding::encode;
use crate::gemm::Init;
use crate::math::sigmoid;
use crate::mlp::{Activations, MatrixView, TILE};
use crate::radiance::{RayBatchRef, RayLoss, RayStats};
use crate::tile::{GradientBuffers, HeadPlan, Outputs, PackedWeights, Plan, Tile, TileAdjoint};

/// Samples that a ray takes in a round.
const ROUND: usize = 8;
/// Candidate samples that a thread works on together, at least one ray: their activations are kept.
const CHUNK: usize = 6144;

/// Buffers of the colour head for one tile.
#[derive(Clone, Debug)]
pub(super) struct HeadTile {
    /// Input rows `[f | encoded direction]`.
    pub(super) rows: Vec<f32>,
    acts: Activations,
    pub(super) out: Vec<f32>,
    pub(super) d_out: Vec<f32>,
    d_rows: Vec<f32>,
}

impl HeadPlan {
    pub(super) fn tile(&self) -> HeadTile {
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
    pub(super) fn forward<S: Simd>(&self, simd: S, w: &PackedWeights, tile: &mut HeadTile) {
        let x = MatrixView { ptr: tile.rows.as_mut_ptr(), row: self.row };
        let y = MatrixView { ptr: tile.out.as_mut_ptr(), row: self.mlp.output_columns() };
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
    pub(super) head: Vec<HeadTile>,
    /// Sample in each row of the trunk's tiles.
    pub(super) rows: Vec<u32>,
    /// Coordinates of one tile.
    x: Vec<f32>,
    /// Rays of the chunk that still see something: number, next sample, transmittance.
    alive: Vec<(usize, usize, f32)>,
    /// Of each row of the trunk's tiles: density and transmittance of its sample.
    pub(super) sigma: Vec<f32>,
    pub(super) transmittance: Vec<f32>,
    /// Of each candidate sample of the chunk: its row in the trunk's tiles.
    row_of: Vec<u32>,
    /// Samples used of each ray of the chunk.
    pub(super) used: Vec<usize>,
    /// Of each row of the head's tiles: its row in the trunk's.
    pub(super) source: Vec<u32>,
    /// Adjoint of the trunk's values, `[row][outputs]`.
    pub(super) d_value: Vec<f32>,
    /// Weight, transmittance after the sample, and slope of the distortion, of one ray's samples.
    pub(super) weight: Vec<f32>,
    pub(super) transmittance_after: Vec<f32>,
    pub(super) slope: Vec<f32>,
}

/// Inputs of every chunk of a step.
#[derive(Clone, Copy)]
pub(super) struct RayStep<'a> {
    pub(super) plan: &'a Plan,
    pub(super) head: &'a HeadPlan,
    pub(super) weights: &'a PackedWeights,
    pub(super) grid: &'a [f32],
    pub(super) batch: RayBatchRef<'a>,
    pub(super) loss: RayLoss,
    pub(super) scale: f32,
}

pub(super) struct RayTask<'a> {
    pub(super) step: RayStep<'a>,
    pub(super) range: Range<usize>,
    pub(super) buffers: &'a mut RayBuffers,
    pub(super) sums: &'a mut GradientBuffers,
}

impl WithSimd for RayTask<'_> {
    type Output = RayStats;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> RayStats {
        let Self { step, range, buffers, sums } = self;
        let mut stats = RayStats::default();
        let first = step.batch.first;
        let mut from = range.start;
        while from < range.end {
            let limit = first[from] as usize + CHUNK;
            let mut to = from + 1;
            while to < range.end && first[to + 1] as usize <= limit {
                to += 1;
            }
            step.trunk(simd, from..to, buffers, &mut stats);
            step.colours(simd, from..to, buffers);
            stats.used += buffers.used.iter().sum::<usize>();
            stats.loss += step.composite(from..to, buffers);
            step.adjoint(simd, buffers, sums);
            from = to;
        }
        stats
    }
}

impl RayStep<'_> {
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
                    *transmittance *= b.transmittance[b.row_of[sample - base] as usize];
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
        b.transmittance.resize(room, 1.0);
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
            let (sigma, transmittance) = (&mut b.sigma[at.clone()], &mut b.transmittance[at]);
            for (p, &sample) in rows.iter().enumerate() {
                sigma[p] = self.plan.values(tile, p)[0];
                transmittance[p] = self.batch.dt[sample as usize];
            }
            absorb(simd, sigma, transmittance);
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
            let width = head.row - head.encoding_at;
            for &row in &b.row_of[from..from + used] {
                let at = b.source.len();
                if at / TILE == b.head.len() {
                    b.head.push(head.tile());
                }
                let to = &mut b.head[at / TILE].rows[at % TILE * head.row..][..head.row];
                b.source.push(row);
                let row = row as usize;
                to[..outputs].copy_from_slice(self.plan.values(&b.trunk[row / TILE], row % TILE));
                to[head.encoding_at..].copy_from_slice(&code[..width]);
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

    /// Adjoint of the head, then of the trunk.
    #[inline(always)]
    fn adjoint<S: Simd>(&self, simd: S, b: &mut RayBuffers, sums: &mut GradientBuffers) {
        let (plan, head, outputs) = (self.plan, self.head, self.plan.outputs);
        #[expect(clippy::expect_used, reason = "buffers are made from the plan")]
        let head_sums = sums.head.as_mut().expect("a plan with a head has sums for it");
        for tile in &mut b.head[..b.source.len().div_ceil(TILE)] {
            let view = |buffer: &mut Vec<f32>, row| MatrixView { ptr: buffer.as_mut_ptr(), row };
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
