//! Radiance fields: density and colour at points, and the training step of rays ([`RayBatchRef`], [`RayLoss`]).

use std::ops::Range;
use std::sync::PoisonError;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::arch;
use crate::density::Density;
use crate::direction_encoding::encode;
use crate::fused::{FusedField, GradientSlices, take};
use crate::loss::PointLoss;
use crate::mlp::TILE;
use crate::ray_step::{HeadTile, RaySlices, RayStep, RayTask};
use crate::tile::{GradientBuffers, HeadPlan, Outputs, PackedWeights, Plan, Tile};

/// Rays of a training step with the samples at which they may meet something, front to back, as slices.
#[derive(Clone, Copy, Debug)]
pub struct RayBatchRef<'a> {
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
    /// Target colour of each ray, the background composited, `[ray][3]`.
    pub target: &'a [f32],
    /// Background of each ray, `[ray][3]`.
    pub background: &'a [f32],
    /// Factor of the gradient of each sample's density and colour, which changes no loss; empty: 1 for all.
    pub gradient_scale: &'a [f32],
    /// Root mean square of the channels' errors beyond which a ray's colour has neither loss nor gradient, one a ray; empty:
    /// infinite for all.
    pub error_limit: &'a [f32],
    /// Distance along each ray, as [`Self::t`], at which its light should come from, one a ray; not finite where it is unknown;
    /// empty: of no ray. [`RayLoss::depth`] compares.
    pub depth: &'a [f32],
}

impl RayBatchRef<'_> {
    /// Number of rays.
    pub fn rays(&self) -> usize {
        self.first.len().saturating_sub(1)
    }
}

/// A [`RayBatchRef`] that owns its buffers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RayBatch {
    /// See [`RayBatchRef::first`]; `[0]` for no rays.
    pub first: Vec<u32>,
    /// See [`RayBatchRef::x`].
    pub x: Vec<f32>,
    /// See [`RayBatchRef::t`].
    pub t: Vec<f32>,
    /// See [`RayBatchRef::dt`].
    pub dt: Vec<f32>,
    /// See [`RayBatchRef::direction`].
    pub direction: Vec<f32>,
    /// See [`RayBatchRef::target`].
    pub target: Vec<f32>,
    /// See [`RayBatchRef::background`].
    pub background: Vec<f32>,
    /// See [`RayBatchRef::gradient_scale`].
    pub gradient_scale: Vec<f32>,
    /// See [`RayBatchRef::error_limit`].
    pub error_limit: Vec<f32>,
    /// See [`RayBatchRef::depth`].
    pub depth: Vec<f32>,
}

impl RayBatch {
    /// The rays as slices.
    pub fn slices(&self) -> RayBatchRef<'_> {
        let Self { first, x, t, dt, direction, target, background, gradient_scale, error_limit, depth } = self;
        RayBatchRef { first, x, t, dt, direction, target, background, gradient_scale, error_limit, depth }
    }
}

/// Comparison of rays with their colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RayLoss {
    /// Loss of each channel's error; the mean over rays and channels is taken.
    pub loss: PointLoss,
    /// A ray ends where the transmittance falls below this.
    pub min_transmittance: f32,
    /// Weight of the distortion term `Σᵢⱼ wᵢwⱼ|tᵢ−tⱼ| + ⅓ Σ wᵢ²dtᵢ` (Barron et al. 2022, eq. 15), mean over rays.
    pub distortion: f32,
    /// Comparison with known depths; `None`: there is none.
    pub depth: Option<DepthLoss>,
    /// Density by the decoder's first value.
    pub density: Density,
}

impl RayLoss {
    /// The comparison of colours alone, of rays that never end early through an exponential density.
    pub const fn of(loss: PointLoss) -> Self {
        Self { loss, min_transmittance: 0.0, distortion: 0.0, depth: None, density: Density::Exponential }
    }
}

/// Comparison of where a ray's light comes from with its known depth: the mean over the light, and over all rays, of a distance that is
/// quadratic below a tolerance and linear beyond. Light that passes the last sample counts as one edge of the cube away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DepthLoss {
    /// Weight of the term.
    pub weight: f32,
    /// Distance from which on errors count linearly, in field units, above 0.
    pub tolerance: f32,
}

impl DepthLoss {
    /// `√(e² + tolerance²) − tolerance` (Charbonnier et al. 1994).
    #[inline(always)]
    pub fn distance(&self, error: f32) -> f32 {
        (error * error + self.tolerance * self.tolerance).sqrt() - self.tolerance
    }
}

/// Loss and number of samples of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RayStats {
    /// Mean loss, the distortion term included.
    pub loss: f64,
    /// Samples at which the trunk was evaluated.
    pub evaluated: usize,
    /// Samples that the rays' colours are made of.
    pub used: usize,
}

/// What a step returns of rays and samples beside the gradient of the parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RayOutputs {
    /// Composited colours.
    pub colours: bool,
    /// Gradients in the samples' positions and the rays' directions: every sample is looked up with slopes, and positions have
    /// an adjoint.
    pub gradients: bool,
}

impl RayOutputs {
    /// `true` where nothing is asked for.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Results of a step; empty where [`RayOutputs`] did not ask for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RayResults {
    /// Colour over the ray's background, `[ray][3]`.
    pub colour: Vec<f32>,
    /// Gradient of the mean loss in each sample's position, field coordinates, `[sample][3]`; 0 for samples that no colour is
    /// made of. Distances and lengths of samples count as constant.
    pub d_x: Vec<f32>,
    /// Gradient of the mean loss in the viewing direction through the colour head alone, `[ray][3]`. Its part along the
    /// direction has no meaning where directions have length 1.
    pub d_direction: Vec<f32>,
}

impl FusedField {
    #[expect(clippy::expect_used, reason = "documented as a panic of the functions of colour")]
    fn head_plan(&self) -> &HeadPlan {
        self.plan.head.as_ref().expect("the field has a colour head")
    }

    /// Colour and density `[r, g, b, σ]` of each point seen along its direction (`x`, `direction`: `[point][3]`), on the
    /// calling thread.
    ///
    /// # Panics
    /// If the spec has no colour head or slices have other lengths.
    pub fn radiance(&self, weights: &PackedWeights, grid: &[f32], x: &[f32], direction: &[f32], out: &mut [f32]) {
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
            let (head_tile, law) = (&mut buffers.head[0], self.density_law());
            arch().dispatch(RadianceTask { plan, head, weights, grid, x, direction, law, tile, head_tile, out });
        });
        self.rays.lock().unwrap_or_else(PoisonError::into_inner).push(buffers);
    }

    /// The law of the spec's colour head; exponential where there is none.
    pub fn density_law(&self) -> Density {
        self.spec().density_law().into()
    }

    /// Density of each point by the spec's law, on the calling thread. The first output of the field is the raw value.
    pub fn density(&self, weights: &PackedWeights, grid: &[f32], x: &[f32], out: &mut [f32]) {
        self.density_by(self.density_law(), weights, grid, x, out);
    }

    /// [`Self::density`] by another law.
    pub fn density_by(&self, law: Density, weights: &PackedWeights, grid: &[f32], x: &[f32], out: &mut [f32]) {
        let width = self.width(Outputs::Value);
        let mut values = vec![0.0; TILE * width];
        for (x, out) in x.chunks(TILE * 3).zip(out.chunks_mut(TILE)) {
            let values = &mut values[..out.len() * width];
            self.evaluate(weights, grid, x, Outputs::Value, values);
            for (out, row) in out.iter_mut().zip(values.chunks_exact(width)) {
                *out = law.evaluate(row[0]);
            }
        }
    }

    /// Mean loss of the rays, its gradient written to `d_grid` and `d_net`: evaluation, compositing and adjoint in one pass.
    ///
    /// # Panics
    /// If the spec has no colour head or slices have other lengths.
    pub fn ray_loss_backward(
        &self,
        grid: &[f32],
        net: &[f32],
        batch: RayBatchRef<'_>,
        loss: RayLoss,
        d_grid: &mut [f32],
        d_net: &mut [f32],
    ) -> RayStats {
        let to = GradientSlices { d_grid, d_net, d_x: None };
        self.ray_step(grid, net, batch, loss, RayOutputs::default(), to).0
    }

    /// [`Self::ray_loss_backward`] that also returns what `outputs` asks for of each ray. `to.d_x` is not used.
    ///
    /// # Panics
    /// If the spec has no colour head or slices have other lengths.
    pub fn ray_step(
        &self,
        grid: &[f32],
        net: &[f32],
        batch: RayBatchRef<'_>,
        loss: RayLoss,
        outputs: RayOutputs,
        to: GradientSlices<'_>,
    ) -> (RayStats, RayResults) {
        assert_eq!(grid.len(), self.spec().grid_len(), "grid has the spec's length");
        let samples = batch.first.last().map_or(0, |n| *n as usize);
        let lengths = [batch.x.len() / 3, batch.t.len(), batch.dt.len()];
        assert!(lengths.iter().all(|n| *n >= samples), "one position, distance and length a sample");
        let rays = [batch.direction, batch.target, batch.background].map(|v| v.len() / 3);
        assert_eq!(rays, [batch.rays(); 3], "one direction, colour and background a ray");
        let factors = batch.gradient_scale.len();
        assert!(factors == 0 || factors >= samples, "one factor of the gradient a sample, or none at all");
        let limits = batch.error_limit.len();
        assert!(limits == 0 || limits == batch.rays(), "one limit of the error a ray, or none at all");
        let depths = batch.depth.len();
        assert!(depths == 0 || depths == batch.rays(), "one depth a ray, or none at all");
        to.d_net.fill(0.0);
        let keep_latent = self.keeps_latent(rayon::current_num_threads());
        let weights = &self.pack(net);
        let head = self.head_plan();
        let room = |wanted: bool, items: usize| if wanted { vec![0.0; 3 * items] } else { Vec::new() };
        let mut results = RayResults {
            colour: room(outputs.colours, batch.rays()),
            d_x: room(outputs.gradients, samples),
            d_direction: room(outputs.gradients, batch.rays()),
        };
        let shares = shares(batch.first, rayon::current_num_threads());
        let slices = results.split(&shares, batch.first);
        let done: Vec<(RayStats, GradientBuffers)> = shares
            .into_par_iter()
            .zip(slices)
            .map(|(range, slices)| {
                let mut sums = take(&self.sums).unwrap_or_else(|| self.plan.gradient_buffers());
                let mut buffers = take(&self.rays).unwrap_or_default();
                let (plan, b, s) = (&self.plan, &mut buffers, &mut sums);
                let scale = 1.0 / batch.rays().max(1) as f32;
                let step = RayStep { plan, head, weights, grid, batch, loss, scale, keep_latent };
                let gradients = outputs.gradients;
                let stats = self.with_tile(Outputs::Value, gradients, |tile| {
                    arch().dispatch(RayTask { step, range, buffers: b, tile, sums: s, slices, gradients })
                });
                self.rays.lock().unwrap_or_else(PoisonError::into_inner).push(buffers);
                (stats, sums)
            })
            .collect();
        let found = if keep_latent {
            self.collect_kept(done, to.d_grid, to.d_net)
        } else {
            to.d_grid.fill(0.0);
            self.collect(done, to.d_grid, to.d_net)
        };
        let stats = found.into_iter().fold(RayStats::default(), |a, b| RayStats {
            loss: a.loss + b.loss,
            evaluated: a.evaluated + b.evaluated,
            used: a.used + b.used,
        });
        (stats, results)
    }
}

impl RayResults {
    /// The parts of consecutive ranges of rays, the first of which begins at 0; samples of ray r are `first[r]..first[r + 1]`.
    fn split(&mut self, ranges: &[Range<usize>], first: &[u32]) -> Vec<RaySlices<'_>> {
        let [mut colour, mut x, mut direction] =
            [&mut self.colour, &mut self.d_x, &mut self.d_direction].map(Vec::as_mut_slice);
        split_off(&mut x, first.first().map_or(0, |first| *first as usize));
        let part = |range: &Range<usize>| RaySlices {
            colour: split_off(&mut colour, range.len()),
            x: split_off(&mut x, (first[range.end] - first[range.start]) as usize),
            direction: split_off(&mut direction, range.len()),
        };
        ranges.iter().map(part).collect()
    }
}

/// Cuts the first items off a slice that has three numbers an item, or is empty.
fn split_off<'a>(from: &mut &'a mut [f32], items: usize) -> &'a mut [f32] {
    let whole = std::mem::take(from);
    let (part, rest) = whole.split_at_mut((3 * items).min(whole.len()));
    *from = rest;
    part
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
    weights: &'a PackedWeights,
    grid: &'a [f32],
    x: &'a [f32],
    direction: &'a [f32],
    law: Density,
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
                row[..plan.outputs].copy_from_slice(plan.values(&tile.values, p));
                encode(head.encoding, *d, &mut row[head.encoding_at..]);
            }
            head.forward(simd, weights, head_tile);
            let columns = head.mlp.output_columns();
            for (p, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let c = &head_tile.out[p * columns..][..3];
                let poison = x[3 * p..3 * p + 3].iter().any(|x| x.is_nan());
                let sigma = if poison { f32::NAN } else { self.law.evaluate(plan.values(&tile.values, p)[0]) };
                *out = [c[0], c[1], c[2], sigma];
            }
        }
    }
}
