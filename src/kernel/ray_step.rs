//! The training step of rays on one thread: marches, evaluates, composites and differentiates chunks of rays.
//!
//! A ray's samples are evaluated front to back in rounds, so that what lies behind an opaque surface is never evaluated.
//! The trunk (everything that does not depend on the viewing direction) runs on tiles whose values are kept. The colour head
//! runs on tiles of the samples that count, and the trunk's adjoint on tiles of those that have one: a round also evaluates
//! samples that turn out to lie behind the surface.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::compositing::absorb;
use crate::direction_encoding::{encode, encode_adjoint};
use crate::gemm::Init;
use crate::latent::Lookup;
use crate::math::sigmoid;
use crate::mlp::{Activations, MatrixView, TILE};
use crate::radiance::{RayBatchRef, RayLoss, RayStats};
use crate::tile::{GradientBuffers, HeadPlan, Outputs, PackedWeights, Plan, Tile, TileAdjoint};
use crate::tile_values::TileValues;

/// Samples that a ray takes in a round.
const ROUND: usize = 4;
/// Candidate samples that a thread works on together, at least one ray: their activations are kept.
const CHUNK: usize = 16384;

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
    trunk: Vec<TileValues>,
    /// Entries of the tile that is being evaluated.
    lookup: Option<Lookup>,
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
    /// Rows whose adjoint is not 0, and the adjoints of a tile of them.
    counting: Vec<u32>,
    d_out: Vec<f32>,
    /// Weight, transmittance after the sample, and slope of the distortion, of one ray's samples.
    pub(super) weight: Vec<f32>,
    pub(super) transmittance_after: Vec<f32>,
    pub(super) slope: Vec<f32>,
    /// Adjoint of the positions, `[row of the trunk's tiles][3]`; empty where it is not asked for.
    d_x: Vec<f32>,
}

/// What a range of rays returns, three numbers a ray or a sample from its first one on; empty where it is not asked for.
pub(super) struct RaySlices<'a> {
    /// Of each ray.
    pub(super) colour: &'a mut [f32],
    /// Of each candidate sample.
    pub(super) x: &'a mut [f32],
    /// Of each ray.
    pub(super) direction: &'a mut [f32],
}

impl RaySlices<'_> {
    /// The part of some rays and their samples, both counted from the range's first.
    fn part(&mut self, rays: Range<usize>, samples: Range<usize>) -> RaySlices<'_> {
        let at = |slice: &mut [f32], items: &Range<usize>| {
            let [from, to] = [items.start, items.end].map(|item| (3 * item).min(slice.len()));
            from..to
        };
        let [colour, x, direction] = [at(self.colour, &rays), at(self.x, &samples), at(self.direction, &rays)];
        RaySlices { colour: &mut self.colour[colour], x: &mut self.x[x], direction: &mut self.direction[direction] }
    }
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
    /// See [`TileAdjoint::keep_latent`].
    pub(super) keep_latent: bool,
}

pub(super) struct RayTask<'a> {
    pub(super) step: RayStep<'a>,
    pub(super) range: Range<usize>,
    pub(super) buffers: &'a mut RayBuffers,
    /// Works out the adjoint of values; it looks slopes up where `gradients` are asked for.
    pub(super) tile: &'a mut Tile,
    pub(super) sums: &'a mut GradientBuffers,
    pub(super) slices: RaySlices<'a>,
    /// Whether `slices` has room for gradients.
    pub(super) gradients: bool,
}

impl WithSimd for RayTask<'_> {
    type Output = RayStats;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> RayStats {
        let Self { step, range, buffers, tile, sums, mut slices, gradients } = self;
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
            let [base, start, end] = [range.start, from, to].map(|ray| first[ray] as usize);
            let part = slices.part(from - range.start..to - range.start, start - base..end - base);
            stats.loss += step.composite(from..to, buffers, part.colour);
            step.head_adjoint(simd, buffers, sums);
            step.trunk_adjoint(simd, buffers, tile, sums, gradients);
            if gradients {
                step.input_gradients(from..to, buffers, part.x, part.direction);
            }
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
        let lookup = b.lookup.get_or_insert_with(|| self.plan.latent.lookup(1));
        for (i, rows) in b.rows[start..].chunks(TILE).enumerate() {
            if first + i == b.trunk.len() {
                b.trunk.push(self.plan.tile_values(Outputs::Value, false));
            }
            let tile = &mut b.trunk[first + i];
            b.x.clear();
            for &sample in rows {
                b.x.extend_from_slice(&self.batch.x[3 * sample as usize..][..3]);
            }
            self.plan.forward_values(simd, self.weights, self.grid, &b.x, tile, lookup);
            let at = (first + i) * TILE..(first + i + 1) * TILE;
            let (sigma, transmittance) = (&mut b.sigma[at.clone()], &mut b.transmittance[at]);
            for (p, &sample) in rows.iter().enumerate() {
                sigma[p] = self.plan.values(tile, p)[0];
                transmittance[p] = self.batch.dt[sample as usize];
            }
            absorb(simd, self.loss.density, sigma, transmittance);
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

    /// Adjoint of the head, down to the trunk's values.
    #[inline(always)]
    fn head_adjoint<S: Simd>(&self, simd: S, b: &mut RayBuffers, sums: &mut GradientBuffers) {
        let (head, outputs) = (self.head, self.plan.outputs);
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
    }

    /// Adjoint of the trunk, for the rows that have one. `tile` takes as many of them as it has rows.
    #[inline(always)]
    fn trunk_adjoint<S: Simd>(
        &self,
        simd: S,
        b: &mut RayBuffers,
        tile: &mut Tile,
        sums: &mut GradientBuffers,
        wants_x: bool,
    ) {
        let (plan, outputs) = (self.plan, self.plan.outputs);
        b.d_x.clear();
        b.d_x.resize(if wants_x { 3 * b.rows.len() } else { 0 }, 0.0);
        b.counting.clear();
        let counts = |d: &[f32]| d.iter().any(|d| *d != 0.0);
        b.counting.extend((0..).zip(b.d_value.chunks_exact(outputs)).filter(|(_, d)| counts(d)).map(|(row, _)| row));
        let mut d_x = [0.0; 3 * TILE];
        for rows in b.counting.chunks(TILE) {
            b.d_out.clear();
            for (to, &row) in rows.iter().enumerate() {
                let row = row as usize;
                tile.values.copy_row(to, &b.trunk[row / TILE], row % TILE);
                b.d_out.extend_from_slice(&b.d_value[row * outputs..(row + 1) * outputs]);
            }
            // Old rows could hold anything, and nothing times infinity is no number.
            for to in rows.len()..TILE {
                tile.values.copy_row(to, &b.trunk[0], 0);
            }
            if wants_x || !self.keep_latent {
                plan.locate(tile);
            }
            let part = wants_x.then_some(&mut d_x[..3 * rows.len()]);
            let adjoint = TileAdjoint { d_out: &b.d_out, sums, keep_latent: self.keep_latent, d_x: part };
            plan.backward(simd, self.weights, self.grid, tile, adjoint);
            if wants_x {
                for (&row, d) in rows.iter().zip(d_x.as_chunks::<3>().0) {
                    b.d_x[3 * row as usize..][..3].copy_from_slice(d);
                }
            }
        }
    }

    /// Hands out the adjoints of the samples' positions, and sums those of the encoded directions to the gradient in each
    /// ray's direction. Samples that colours are not made of keep what `d_x` has.
    fn input_gradients(&self, rays: Range<usize>, b: &RayBuffers, d_x: &mut [f32], d_direction: &mut [f32]) {
        let (batch, head) = (self.batch, self.head);
        let (d_x, d_direction) = (d_x.as_chunks_mut::<3>().0, d_direction.as_chunks_mut::<3>().0);
        let base = batch.first[rays.start] as usize;
        let mut at = 0;
        for ((r, &used), d_direction) in rays.zip(&b.used).zip(d_direction) {
            let mut d_code = [0.0; 32];
            let of_ray = &mut d_x[batch.first[r] as usize - base..][..used];
            for (h, to) in (at..at + used).zip(of_ray) {
                let code = &b.head[h / TILE].d_rows[h % TILE * head.row..][head.encoding_at..head.row];
                d_code.iter_mut().zip(code).for_each(|(sum, d)| *sum += d);
                to.copy_from_slice(&b.d_x[3 * b.source[h] as usize..][..3]);
            }
            at += used;
            let d = &batch.direction[3 * r..3 * r + 3];
            *d_direction = encode_adjoint(head.encoding, [d[0], d[1], d[2]], &d_code);
        }
    }
}

#[cfg(test)]
mod tests {
    use nstr_spec::config::preset;
    use nstr_spec::init::parameters;
    use nstr_spec::{Activation, FieldSpec, Interpolation};
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use crate::{FusedField, GradientSlices, PointLoss, RayBatch, RayLoss, RayOutputs, RayResults, RayStats};

    const EVERYTHING: RayOutputs = RayOutputs { colours: true, gradients: true };

    /// A field with its parameters and gradients of the last step.
    struct Case {
        fused: FusedField,
        grid: Vec<f32>,
        net: Vec<f32>,
    }

    impl Case {
        /// Random parameters of a preset without kinks, so that central differences are exact to their second order.
        fn smooth(name: &str) -> Self {
            let mut config = preset(name).unwrap();
            (config.init.grid_scale, config.init.omega_scale) = (0.5, 4.0);
            let mut spec: FieldSpec = config.spec();
            spec.latent.interpolation = Interpolation::Smoothstep;
            spec.latent.levels.iter_mut().for_each(|level| level.resolution = level.resolution.min(9));
            (spec.spectrum.activation, spec.decoder.activation) = (Activation::Silu, Activation::Silu);
            if let Some(head) = &mut spec.color_head {
                head.mlp.activation = Activation::Silu;
            }
            let (grid, net) = parameters(&spec, &config.init);
            Self { fused: FusedField::new(&spec), grid, net }
        }

        fn step(&self, rays: &RayBatch, loss: RayLoss, outputs: RayOutputs) -> (RayStats, RayResults, [Vec<f32>; 2]) {
            let (mut d_grid, mut d_net) = (vec![0.0; self.grid.len()], vec![0.0; self.net.len()]);
            let to = GradientSlices { d_grid: &mut d_grid, d_net: &mut d_net, d_x: None };
            let (stats, results) = self.fused.ray_step(&self.grid, &self.net, rays.slices(), loss, outputs, to);
            (stats, results, [d_grid, d_net])
        }
    }

    /// Rays of 0 to 24 samples from the cube's middle.
    fn rays(count: usize) -> RayBatch {
        let mut rng = Pcg64::seed_from_u64(11);
        let mut rays = RayBatch { first: vec![0], ..RayBatch::default() };
        for i in 0..count {
            let direction: [f32; 3] = std::array::from_fn(|_| rng.random_range(-1.0..1.0f32));
            let length = direction.iter().map(|d| d * d).sum::<f32>().sqrt().max(0.1);
            let direction = direction.map(|d| d / length);
            for s in 0..(5 * i) % 25 {
                let t = 0.02 * (s as f32 + rng.random_range(0.0..1.0f32));
                rays.x.extend(direction.map(|d| 0.5 + 0.9 * t * d));
                rays.t.push(t);
                rays.dt.push(0.1);
            }
            rays.first.push(rays.t.len() as u32);
            rays.direction.extend(direction);
            rays.target.extend((0..3).map(|_| rng.random_range(0.0..1.0f32)));
            rays.background.extend((0..3).map(|_| rng.random_range(0.0..1.0f32)));
        }
        rays
    }

    /// The batch with one ray's origin or direction moved along an axis.
    fn moved(rays: &RayBatch, ray: usize, axis: usize, by: f32, turned: bool) -> RayBatch {
        let mut rays = rays.clone();
        for s in rays.first[ray] as usize..rays.first[ray + 1] as usize {
            rays.x[3 * s + axis] += if turned { by * rays.t[s] } else { by };
        }
        if turned {
            rays.direction[3 * ray + axis] += by;
        }
        rays
    }

    #[test]
    fn gradients_of_rays_are_the_slopes_of_the_loss() {
        const COUNT: usize = 24;
        let rays = rays(COUNT);
        let loss = RayLoss { distortion: 0.05, ..RayLoss::of(PointLoss::L2) };
        for name in ["radiance-tiny", "radiance-ngp", "radiance-planes", "radiance-vm"] {
            let case = Case::smooth(name);
            let (_, found, _) = case.step(&rays, loss, EVERYTHING);
            // Of a straight ray the positions are `origin + t · direction`.
            let (mut d_origin, mut d_direction) = (vec![0.0; 3 * COUNT], found.d_direction);
            for ray in 0..COUNT {
                for s in rays.first[ray] as usize..rays.first[ray + 1] as usize {
                    for axis in 0..3 {
                        d_origin[3 * ray + axis] += found.d_x[3 * s + axis];
                        d_direction[3 * ray + axis] += rays.t[s] * found.d_x[3 * s + axis];
                    }
                }
            }
            for (turned, gradients) in [(false, &d_origin), (true, &d_direction)] {
                let h = 2e-3;
                let value = |ray, axis, by| case.step(&moved(&rays, ray, axis, by, turned), loss, EVERYTHING).0.loss;
                let largest = gradients.iter().fold(0.0f32, |m, g| m.max(g.abs()));
                assert!(largest > 1e-4, "{name}: nothing to compare");
                for ray in 0..COUNT {
                    for axis in 0..3 {
                        let numeric = ((value(ray, axis, h) - value(ray, axis, -h)) / f64::from(2.0 * h)) as f32;
                        let analytic = gradients[3 * ray + axis];
                        let bound = 0.01 * analytic.abs() + 0.003 * largest;
                        assert!((numeric - analytic).abs() < bound, "{name} {turned} {ray}: {numeric} {analytic}");
                    }
                }
            }
        }
    }

    #[test]
    fn each_sample_has_its_own_factor_of_the_gradient() {
        let case = Case::smooth("radiance-tiny");
        let loss = RayLoss { distortion: 0.05, ..RayLoss::of(PointLoss::L2) };
        let plain = rays(4);
        let samples = plain.t.len();
        let step = |factors: Vec<f32>| {
            let rays = RayBatch { gradient_scale: factors, ..plain.clone() };
            let (stats, _, gradients) = case.step(&rays, loss, RayOutputs::default());
            (stats, gradients)
        };
        let factors: Vec<f32> = (0..samples).map(|k| 0.1 * (k % 11) as f32).collect();
        let (stats, scaled) = step(factors.clone());
        let (unscaled_stats, whole) = step(Vec::new());
        assert_eq!(stats, unscaled_stats, "losses stay");
        // With 1 at one sample and 0 at all others the step gives that sample's gradient alone.
        let mut sums = [&whole, &whole].map(|parts| parts.each_ref().map(|part| vec![0.0f64; part.len()]));
        for (k, factor) in factors.iter().enumerate() {
            let (_, alone) = step((0..samples).map(|i| if i == k { 1.0 } else { 0.0 }).collect());
            for (part, values) in alone.iter().enumerate() {
                for (i, v) in values.iter().enumerate() {
                    sums[0][part][i] += f64::from(*v);
                    sums[1][part][i] += f64::from(factor * v);
                }
            }
        }
        for (what, got, want) in [("plain", &whole, &sums[0]), ("scaled", &scaled, &sums[1])] {
            for (got, want) in got.iter().zip(want) {
                let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                assert!(largest > 1e-4, "{what}: nothing to compare");
                let off = got.iter().zip(want).fold(0.0f64, |m, (g, w)| m.max((f64::from(*g) - w).abs()));
                assert!(off < 1e-4 * largest, "{what}: {off:e} of {largest:e}");
            }
        }
    }

    #[test]
    fn rays_beyond_their_error_limit_teach_nothing() {
        let (case, plain) = (Case::smooth("radiance-tiny"), rays(40));
        let loss = RayLoss::of(PointLoss::L2);
        let (_, shown, _) = case.step(&plain, loss, RayOutputs { colours: true, gradients: false });
        let error = |ray: usize| {
            let at = 3 * ray..3 * ray + 3;
            let squares = shown.colour[at.clone()].iter().zip(&plain.target[at]).map(|(c, t)| (c - t) * (c - t));
            (squares.sum::<f32>() / 3.0).sqrt()
        };
        let limits = (0..40).map(|ray| error(ray) * if ray % 3 == 0 { 0.99 } else { 1.01 }).collect();
        let limited = RayBatch { error_limit: limits, ..plain.clone() };
        // Rays whose target is their own colour have no error.
        let mut known = plain.clone();
        for at in (0..40).step_by(3).map(|ray| 3 * ray..3 * ray + 3) {
            known.target[at.clone()].copy_from_slice(&shown.colour[at]);
        }
        let [(got, _, gradients), (want, _, wanted)] =
            [&limited, &known].map(|rays| case.step(rays, loss, RayOutputs::default()));
        assert!(want.loss > 0.0 && got == want && gradients == wanted, "{got:?} {want:?}");
        let unlimited = RayBatch { error_limit: vec![f32::INFINITY; 40], ..plain.clone() };
        assert!(case.step(&unlimited, loss, RayOutputs::default()) == case.step(&plain, loss, RayOutputs::default()));
    }

    #[test]
    fn results_of_rays_change_nothing_else() {
        let (case, rays) = (Case::smooth("radiance-tiny"), rays(200));
        let loss = RayLoss { min_transmittance: 1e-3, ..RayLoss::of(PointLoss::L2) };
        let (stats, none, gradients) = case.step(&rays, loss, RayOutputs::default());
        assert_eq!(none, RayResults::default());
        let with = |colours, gradients| case.step(&rays, loss, RayOutputs { colours, gradients });
        let colours = with(true, false);
        assert!(colours.0 == stats && colours.2 == gradients && colours.1.d_x.is_empty());
        let all = with(true, true);
        assert!(all.0 == stats && all.2 == gradients && all.1.colour == colours.1.colour);
        assert_eq!((all.1.d_x.len(), all.1.d_direction.len()), (3 * rays.t.len(), 600));
        // Tiles with slopes are not left to the steps that follow.
        assert!(with(false, false).2 == gradients && with(true, true) == all);
        // A ray without samples shows its background; the loss is the mean of the colours' errors.
        assert_eq!(all.1.colour[..3], rays.background[..3]);
        assert!(all.1.d_direction[..3] == [0.0; 3]);
        let error = |(c, t): (&f32, &f32)| f64::from((c - t) * (c - t));
        let mean = all.1.colour.iter().zip(&rays.target).map(error).sum::<f64>() / 600.0;
        assert!((mean - stats.loss).abs() < 1e-6 * mean, "{mean} {}", stats.loss);
    }
}
