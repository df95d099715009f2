//! Fused evaluation of a field over any number of points, on all threads: forward, adjoint, and loss with adjoint.
//!
//! Points are cut into tiles of [`TILE`](crate::mlp::TILE) that stay in cache through the whole field. The adjoint
//! recomputes its tile's forward pass instead of storing activations. Each thread sums gradients of a fixed range of
//! points, and the sums are added in the order of the ranges: the same thread count gives the same bits.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use nstr_spec::FieldSpec;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::arch;
use crate::bf16::GradientPrecision;
use crate::latent_adjoint::LatentAdjoints;
use crate::loss::{BatchLoss, LEAST_PAIR_DISTANCE_SQUARED, PointLoss};
use crate::mlp::TILE;
use crate::ray_step::RayBuffers;
use crate::regularizer::PointRegularizer;
use crate::tile::{GradientBuffers, Outputs, PackedWeights, Plan, Tile, TileAdjoint};

/// A field's fused kernels: plans for its parts, and buffers that calls reuse.
#[derive(Debug)]
pub struct FusedField {
    pub(super) plan: Plan,
    spec: FieldSpec,
    precision: GradientPrecision,
    tiles: Mutex<Vec<(bool, Tile)>>,
    pub(super) sums: Mutex<Vec<GradientBuffers>>,
    pub(super) rays: Mutex<Vec<RayBuffers>>,
}

impl Clone for FusedField {
    fn clone(&self) -> Self {
        Self::with_precision(&self.spec, self.precision)
    }
}

/// Points and their target values, for [`FusedField::loss_backward`].
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// Coordinates, `[point][dim]`.
    pub x: &'a [f32],
    /// Target values, `[point][outputs]`.
    pub target: &'a [f32],
    /// Weight of each point; `None`: 1.
    pub weight: Option<&'a [f32]>,
}

/// Source of the adjoint of the outputs.
#[derive(Clone, Copy)]
enum Adjoint<'a> {
    Given(&'a [f32]),
    Loss { target: &'a [f32], weight: Option<&'a [f32]>, loss: PointLoss, scale: f32, pair_scale: f32 },
    Regularizer { weights: PointRegularizer, scale: f32 },
}

/// Buffers that [`FusedField::backward`] adds gradients to and [`FusedField::ray_step`] writes them to; `d_x` is written.
#[derive(Debug)]
pub struct GradientSlices<'a> {
    /// Gradient of the grid.
    pub d_grid: &'a mut [f32],
    /// Gradient of the networks.
    pub d_net: &'a mut [f32],
    /// Adjoint of the coordinates, `[point][dim]`.
    pub d_x: Option<&'a mut [f32]>,
}

impl FusedField {
    /// Plans the kernels of `spec`.
    pub fn new(spec: &FieldSpec) -> Self {
        Self::with_precision(spec, GradientPrecision::Single)
    }

    /// [`Self::new`] with gradients by products of another precision.
    pub fn with_precision(spec: &FieldSpec, precision: GradientPrecision) -> Self {
        Self {
            plan: Plan::new(spec, precision),
            spec: spec.clone(),
            precision,
            tiles: Mutex::default(),
            sums: Mutex::default(),
            rays: Mutex::default(),
        }
    }

    /// The field's shape.
    pub fn spec(&self) -> &FieldSpec {
        &self.spec
    }

    /// Columns of each point's output.
    pub fn width(&self, kind: Outputs) -> usize {
        self.plan.width(kind)
    }

    /// Copies the networks' parameters (`net`, see [`FieldSpec::net_tensors`]) into the layouts that the kernels read.
    pub fn pack(&self, net: &[f32]) -> PackedWeights {
        assert_eq!(net.len(), self.spec.net_len(), "net has the spec's length");
        let mut weights = PackedWeights::default();
        self.plan.load(net, &mut weights);
        weights
    }

    /// Values at `x` (`[point][dim]`) into `out` (`[point][outputs]`), on all threads.
    pub fn forward(&self, grid: &[f32], net: &[f32], x: &[f32], out: &mut [f32]) {
        self.evaluate_parallel(&self.pack(net), grid, x, Outputs::Value, out);
    }

    /// Full outputs (see [`FieldSpec::full_columns`]) at `x`, on all threads.
    pub fn forward_full(&self, grid: &[f32], net: &[f32], x: &[f32], out: &mut [f32]) {
        self.evaluate_parallel(&self.pack(net), grid, x, Outputs::Full, out);
    }

    /// Outputs at `x` on the calling thread, with weights prepared before: renderers call it from many threads.
    pub fn evaluate(&self, weights: &PackedWeights, grid: &[f32], x: &[f32], kind: Outputs, out: &mut [f32]) {
        self.check(grid, x, out.len(), kind);
        self.with_tile(kind, false, |tile| {
            arch().dispatch(ForwardTask { plan: &self.plan, weights, grid, x, tile, out });
        });
    }

    /// [`Self::evaluate`] on all threads.
    pub fn evaluate_parallel(&self, weights: &PackedWeights, grid: &[f32], x: &[f32], kind: Outputs, out: &mut [f32]) {
        self.check(grid, x, out.len(), kind);
        let width = self.width(kind);
        // Several jobs a thread, so that a thread delayed by other work does not hold up the rest.
        let points = x.len() / self.plan.dim;
        let job = points.div_ceil(rayon::current_num_threads() * 8).max(1).next_multiple_of(TILE);
        out.par_chunks_mut(job * width)
            .zip(x.par_chunks(job * self.plan.dim))
            .for_each(|(out, x)| self.evaluate(weights, grid, x, kind, out));
    }

    /// Adds the gradient of `Σ d_out · output` to `to.d_grid` and `to.d_net`, and writes that of the coordinates into `to.d_x`
    /// if given. `d_out` is laid out like the output of `kind`; `d_x` needs [`Outputs::Value`].
    ///
    /// # Panics
    /// If slices have other lengths, or `d_x` is given for other outputs than values.
    pub fn backward(&self, kind: Outputs, grid: &[f32], net: &[f32], x: &[f32], d_out: &[f32], to: GradientSlices<'_>) {
        self.check(grid, x, d_out.len(), kind);
        assert!(kind == Outputs::Value || to.d_x.is_none(), "coordinates have an adjoint from values only");
        self.gradients(kind, &self.pack(net), grid, x, Adjoint::Given(d_out), to);
    }

    /// Mean loss over points and outputs, and over pairs of points where the loss has a weight for slopes, its gradient added
    /// to `d_grid` and `d_net`: forward, loss and adjoint in one pass over each tile.
    pub fn loss_backward(
        &self,
        grid: &[f32],
        net: &[f32],
        data: Targets<'_>,
        loss: impl Into<BatchLoss>,
        d_grid: &mut [f32],
        d_net: &mut [f32],
    ) -> f64 {
        self.check(grid, data.x, data.target.len(), Outputs::Value);
        let Targets { x, target, weight } = data;
        let (loss, points) = (loss.into(), x.len() / self.plan.dim);
        let scale = 1.0 / target.len().max(1) as f32;
        let pair_scale = loss.slope / (points / 2 * self.spec.outputs).max(1) as f32;
        let adjoint = Adjoint::Loss { target, weight, loss: loss.point, scale, pair_scale };
        self.gradients(Outputs::Value, &self.pack(net), grid, x, adjoint, GradientSlices { d_grid, d_net, d_x: None })
    }

    /// Mean of the regularisers over points `x`, its gradient added to `d_grid` and `d_net`: forward, terms and adjoint in one
    /// pass over each tile. The eikonal term alone needs no spectrum's tangents and is cheaper.
    pub fn regularizer_backward(
        &self,
        grid: &[f32],
        net: &[f32],
        x: &[f32],
        weights: PointRegularizer,
        d_grid: &mut [f32],
        d_net: &mut [f32],
    ) -> f64 {
        let (kind, points) = (weights.outputs(), x.len() / self.plan.dim);
        self.check(grid, x, points * self.width(kind), kind);
        let adjoint = Adjoint::Regularizer { weights, scale: 1.0 / points.max(1) as f32 };
        self.gradients(kind, &self.pack(net), grid, x, adjoint, GradientSlices { d_grid, d_net, d_x: None })
    }

    fn gradients(
        &self,
        kind: Outputs,
        weights: &PackedWeights,
        grid: &[f32],
        x: &[f32],
        adjoint: Adjoint<'_>,
        to: GradientSlices<'_>,
    ) -> f64 {
        let GradientSlices { d_grid, d_net, d_x } = to;
        let dim = self.plan.dim;
        let points = x.len() / dim;
        let threads = rayon::current_num_threads();
        let share = points.div_ceil(TILE).div_ceil(threads).max(1) * TILE;
        let ranges: Vec<Range<usize>> =
            (0..points).step_by(share).map(|start| start..(start + share).min(points)).collect();
        let d_x: Vec<Option<&mut [f32]>> = match d_x {
            Some(d_x) => d_x.chunks_mut(share * dim).map(Some).collect(),
            None => ranges.iter().map(|_| None).collect(),
        };
        let done: Vec<(f64, GradientBuffers)> = ranges
            .into_par_iter()
            .zip(d_x)
            .map(|(range, d_x)| {
                let mut sums = take(&self.sums).unwrap_or_else(|| self.plan.gradient_buffers());
                let slopes = d_x.is_some();
                let loss = self.with_tile(kind, slopes, |tile| {
                    let (plan, sums) = (&self.plan, &mut sums);
                    arch().dispatch(BackwardTask { plan, weights, grid, x, tile, adjoint, range, sums, d_x })
                });
                (loss, sums)
            })
            .collect();
        self.collect(done, d_grid, d_net).into_iter().sum()
    }

    /// Adds every thread's sums to the gradients, in order, keeps the cleared sums for later calls, and returns what else
    /// the threads found.
    pub(super) fn collect<T>(&self, done: Vec<(T, GradientBuffers)>, d_grid: &mut [f32], d_net: &mut [f32]) -> Vec<T> {
        let (found, mut sums): (Vec<T>, Vec<GradientBuffers>) = done.into_iter().unzip();
        for s in &mut sums {
            self.plan.unload(s, d_net);
        }
        add_and_clear(d_grid, &mut sums);
        self.keep(sums);
        found
    }

    /// `true` where the threads of a step over rays keep the adjoints of their features, to be added level by level, instead of sums of
    /// their own: where every thread gets a level, or the sums would outgrow the caches.
    pub(super) fn keeps_latent(&self, threads: usize) -> bool {
        const LARGE: usize = 1 << 21;
        self.plan.latent.level_count() >= threads || self.plan.latent.grid_len() > LARGE
    }

    /// [`Self::collect`] for threads that kept the adjoints of their features; the gradient of the grid is written.
    pub(super) fn collect_kept<T>(
        &self,
        done: Vec<(T, GradientBuffers)>,
        d_grid: &mut [f32],
        d_net: &mut [f32],
    ) -> Vec<T> {
        let (found, mut sums): (Vec<T>, Vec<GradientBuffers>) = done.into_iter().unzip();
        for s in &mut sums {
            self.plan.unload(s, d_net);
        }
        let parts: Vec<&LatentAdjoints> = sums.iter().map(|s| &s.latent).collect();
        self.plan.latent.scatter_levels(&parts, d_grid);
        sums.iter_mut().for_each(|s| s.latent.clear());
        self.keep(sums);
        found
    }

    fn keep(&self, mut sums: Vec<GradientBuffers>) {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).append(&mut sums);
    }

    pub(super) fn with_tile<R>(&self, kind: Outputs, slopes: bool, run: impl FnOnce(&mut Tile) -> R) -> R {
        let mut tiles = self.tiles.lock().unwrap_or_else(PoisonError::into_inner);
        let found =
            tiles.iter().position(|(s, t)| *s == slopes && t.values.kind == kind).map(|i| tiles.swap_remove(i).1);
        drop(tiles);
        let mut tile = found.unwrap_or_else(|| self.plan.tile(kind, slopes));
        let result = run(&mut tile);
        self.tiles.lock().unwrap_or_else(PoisonError::into_inner).push((slopes, tile));
        result
    }

    pub(super) fn check(&self, grid: &[f32], x: &[f32], out: usize, kind: Outputs) {
        // The kernels index the grid without bounds checks: its length is an invariant of every call.
        assert_eq!(grid.len(), self.spec.grid_len(), "grid has the spec's length");
        assert_eq!(x.len() % self.plan.dim, 0, "x is [point][dim]");
        assert_eq!(out, x.len() / self.plan.dim * self.width(kind), "outputs are [point][width]");
    }
}

pub(super) fn take<T>(from: &Mutex<Vec<T>>) -> Option<T> {
    from.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

/// Adds every thread's grid sums to `d_grid`, in order, and clears them.
fn add_and_clear(d_grid: &mut [f32], sums: &mut [GradientBuffers]) {
    const CHUNK: usize = 1 << 14;
    let mut parts: Vec<_> = sums.iter_mut().map(|s| s.grid.chunks_mut(CHUNK)).collect();
    let jobs: Vec<(&mut [f32], Vec<&mut [f32]>)> =
        d_grid.chunks_mut(CHUNK).map(|d| (d, parts.iter_mut().filter_map(Iterator::next).collect())).collect();
    jobs.into_par_iter().for_each(|(d, parts)| {
        for part in parts {
            for (d, s) in d.iter_mut().zip(part) {
                *d += *s;
                *s = 0.0;
            }
        }
    });
}

struct ForwardTask<'a> {
    plan: &'a Plan,
    weights: &'a PackedWeights,
    grid: &'a [f32],
    x: &'a [f32],
    tile: &'a mut Tile,
    out: &'a mut [f32],
}

impl WithSimd for ForwardTask<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.plan.width(self.tile.values.kind);
        for (x, out) in self.x.chunks(TILE * self.plan.dim).zip(self.out.chunks_mut(TILE * width)) {
            self.plan.forward(simd, self.weights, self.grid, x, self.tile);
            self.plan.read(&self.tile.values, out);
        }
    }
}

struct BackwardTask<'a> {
    plan: &'a Plan,
    weights: &'a PackedWeights,
    grid: &'a [f32],
    x: &'a [f32],
    tile: &'a mut Tile,
    adjoint: Adjoint<'a>,
    range: Range<usize>,
    sums: &'a mut GradientBuffers,
    d_x: Option<&'a mut [f32]>,
}

impl WithSimd for BackwardTask<'_> {
    type Output = f64;
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> f64 {
        let (dim, width) = (self.plan.dim, self.plan.width(self.tile.values.kind));
        let mut total = 0.0;
        let mut buffer = vec![0.0; TILE * width];
        // Outputs of a tile's points, where the adjoint is not told by the values alone.
        let mut outputs = match self.adjoint {
            Adjoint::Regularizer { .. } => vec![0.0; TILE * width],
            Adjoint::Given(_) | Adjoint::Loss { .. } => Vec::new(),
        };
        let mut start = self.range.start;
        while start < self.range.end {
            let end = (start + TILE).min(self.range.end);
            self.plan.forward(simd, self.weights, self.grid, &self.x[start * dim..end * dim], self.tile);
            let d_out = match self.adjoint {
                Adjoint::Given(d_out) => &d_out[start * width..end * width],
                Adjoint::Loss { target, weight, loss, scale, pair_scale } => {
                    for p in start..end {
                        let weight = weight.map_or(1.0, |w| w[p]);
                        let values = self.plan.values(&self.tile.values, p - start);
                        for (o, &value) in values.iter().enumerate() {
                            let (l, slope) = loss.evaluate(value - target[p * width + o]);
                            total += f64::from(l * weight * scale);
                            buffer[(p - start) * width + o] = slope * weight * scale;
                        }
                    }
                    if pair_scale > 0.0 {
                        self.add_slopes(start..end, (target, weight, pair_scale), &mut buffer, &mut total);
                    }
                    &buffer[..(end - start) * width]
                }
                Adjoint::Regularizer { weights, scale } => {
                    let (rows, d_rows) = (&mut outputs[..(end - start) * width], &mut buffer[..(end - start) * width]);
                    self.plan.read(&self.tile.values, rows);
                    for (row, d_row) in rows.chunks_exact(width).zip(d_rows.chunks_exact_mut(width)) {
                        let value = weights.evaluate(&self.plan.columns, row, scale, d_row);
                        total += f64::from(value * scale);
                    }
                    &*d_rows
                }
            };
            let offset = (start - self.range.start) * dim;
            let d_x = self.d_x.as_deref_mut().map(|d| &mut d[offset..offset + (end - start) * dim]);
            let adjoint = TileAdjoint { d_out, sums: self.sums, keep_latent: false, d_x };
            self.plan.backward(simd, self.weights, self.grid, self.tile, adjoint);
            start = end;
        }
        total
    }
}

impl BackwardTask<'_> {
    /// Adds the loss of the slopes between the pairs of the tile's `points` to `total`, and its adjoint to `d_out`; of targets, their
    /// weights, and the factor of each pair.
    #[inline(always)]
    fn add_slopes(
        &self,
        points: Range<usize>,
        (target, weight, scale): (&[f32], Option<&[f32]>, f32),
        d_out: &mut [f32],
        total: &mut f64,
    ) {
        let (dim, width) = (self.plan.dim, self.plan.width(self.tile.values.kind));
        // A tile begins at an even point and holds an even number of them: no pair is cut.
        for p in (points.start..points.end - 1).step_by(2) {
            let [a, b] = [p, p + 1].map(|p| &self.x[p * dim..(p + 1) * dim]);
            let squared: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
            let weight = weight.map_or(1.0, |w| 0.5 * (w[p] + w[p + 1]));
            let factor = scale * weight / squared.max(LEAST_PAIR_DISTANCE_SQUARED);
            let row = p - points.start;
            for o in 0..width {
                let error = |i: usize| self.plan.values(&self.tile.values, row + i)[o] - target[(p + i) * width + o];
                let difference = error(0) - error(1);
                *total += f64::from(factor * difference * difference);
                let slope = 2.0 * factor * difference;
                d_out[row * width + o] += slope;
                d_out[(row + 1) * width + o] -= slope;
            }
        }
    }
}

// Renderers and the trainer share one field among threads.
const _: fn() = || {
    fn check<T: Send + Sync>() {}
    check::<FusedField>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_spec::config::preset;
    use nstr_spec::init::parameters;
    use rand::{RngExt, SeedableRng};

    /// Threads that share one field, each with other outputs and numbers of points, get what one thread gets.
    #[test]
    fn one_field_serves_many_threads() {
        let config = preset("radiance-tiny").unwrap();
        let spec = config.spec();
        let (grid, net) = parameters(&spec, &config.init);
        let mut rng = rand_pcg::Pcg64::seed_from_u64(5);
        let x: Vec<f32> = (0..3 * 777).map(|_| rng.random_range(0.0..1.0)).collect();
        let fused = FusedField::new(&spec);
        let weights = fused.pack(&net);
        let evaluate = |job: usize| {
            let kind = [Outputs::Value, Outputs::Gradient, Outputs::Full][job % 3];
            let x = &x[..3 * [1, 95, 96, 97, 777][job % 5]];
            let mut out = vec![f32::NAN; x.len() / 3 * fused.width(kind)];
            fused.evaluate(&weights, &grid, x, kind, &mut out);
            let mut colour = vec![f32::NAN; x.len() / 3 * 4];
            fused.radiance(&weights, &grid, x, x, &mut colour);
            let (mut d_grid, mut d_net) = (vec![0.0; grid.len()], vec![0.0; net.len()]);
            let to = GradientSlices { d_grid: &mut d_grid, d_net: &mut d_net, d_x: None };
            fused.backward(kind, &grid, &net, x, &out, to);
            [out, colour, d_grid, d_net].map(|v| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
        };
        let alone: Vec<_> = (0..15).map(evaluate).collect();
        std::thread::scope(|scope| {
            let (evaluate, alone) = (&evaluate, &alone);
            let run = |t: usize| move || (0..15).all(|i| evaluate((i + t) % 15) == alone[(i + t) % 15]);
            let threads: Vec<_> = (0..8).map(|t| scope.spawn(run(t))).collect();
            threads.into_iter().for_each(|thread| assert!(thread.join().unwrap()));
        });
    }
}
