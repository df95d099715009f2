//! Marching a bundle of rays through a radiance field.
//!
//! In rounds: every ray that goes on adds its next few samples to one batch, the field is evaluated over the batch, and
//! each ray composites its part. With `α = 1 − exp(−σ·dt)` and the transmittance `T` before a sample, the sample weighs
//! `w = T·α` and leaves `T·(1 − α)` (Max 1995). Everything a ray gathers is a sum weighted by `w`. A ray with hardly any
//! transmittance left ends and counts as opaque: its sums are scaled to a total weight of 1.

use glam::Vec3;
use nstr_space::SceneMap;
use nstr_space::VolumePath;
use nstr_space::fields::RadianceField;
use nstr_space::occupancy::{OccupancyTraversal, RaySample, RaySampling};

use crate::frame::RenderStats;
use crate::section::density_colour;

/// Points that a round aims at.
const BATCH: usize = 8192;
/// Fewest and most samples of a ray in one round: late rounds of few rays take more at once.
const ROUND: (usize, usize) = (4, 16);
/// Samples that weigh less add nothing to normals and spectra.
const MIN_WEIGHT: f32 = 1e-4;

/// Quantities to integrate beside transmittance and depth.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GatherFlags {
    pub colour: bool,
    pub normal: bool,
    pub spectrum: bool,
}

/// Integrals along one ray.
#[derive(Clone, Copy, Debug)]
pub(super) struct RayIntegral {
    /// Σ w·colour, sRGB values.
    pub colour: Vec3,
    /// Light that passes through.
    pub transmittance: f32,
    /// Σ w·s with s the arc length along the path.
    pub depth: f32,
    /// Σ w·n with n the direction in the world in which density falls.
    pub normal: Vec3,
    /// Σ w·‖∇S‖.
    pub grad_s: f32,
    /// Σ w·‖∇S − F‖.
    pub residual: f32,
    /// Evaluations.
    pub steps: u32,
}

impl RayIntegral {
    pub const EMPTY: Self = Self {
        colour: Vec3::ZERO,
        transmittance: 1.0,
        depth: 0.0,
        normal: Vec3::ZERO,
        grad_s: 0.0,
        residual: 0.0,
        steps: 0,
    };

    /// Opacity of the ray.
    pub fn alpha(&self) -> f32 {
        1.0 - self.transmittance
    }

    fn scale(&mut self, factor: f32) {
        self.colour *= factor;
        self.depth *= factor;
        self.normal *= factor;
        self.grad_s *= factor;
        self.residual *= factor;
    }
}

/// Ray to march, and the position of its samples in their strata.
#[derive(Clone, Copy, Debug)]
pub(super) struct MarchRay {
    pub path: VolumePath,
    /// Unit direction in the world, that colours depend on.
    pub direction: Vec3,
    pub jitter: f32,
    /// Plane that stops light and shows the field: its arc length along the path and its normal.
    pub shown: Option<(f32, Vec3)>,
    /// Share of the light that the plane stops; a translucent one may lie before the rest of the path.
    pub opacity: f32,
}

/// Integrals along a bundle of rays.
#[derive(Default)]
pub(super) struct RayBundle {
    /// One a ray.
    pub rays: Vec<RayIntegral>,
    /// Σ w·S, `[ray][spectrum_width]`; empty unless wanted.
    pub spectrum: Vec<f32>,
}

/// Field and settings that all rays of a bundle share.
pub(super) struct Marcher<'a> {
    pub source: &'a dyn RadianceField,
    pub map: SceneMap,
    pub step: f32,
    pub cone: f32,
    /// Transmittance below which rays end.
    pub min_transmittance: f32,
    pub flags: GatherFlags,
}

/// Ray that has not ended.
struct MarchState {
    ray: u32,
    march: OccupancyTraversal,
    /// Its samples in the batch.
    first: usize,
    count: usize,
}

/// The samples of a round.
#[derive(Default)]
struct Batch {
    points: Vec<Vec3>,
    directions: Vec<Vec3>,
    samples: Vec<RaySample>,
    /// Red, green, blue, σ.
    radiance: Vec<[f32; 4]>,
    density: Vec<f32>,
    /// Samples above [`MIN_WEIGHT`]: point, ray and weight.
    significant: Vec<(Vec3, u32, f32)>,
}

impl Marcher<'_> {
    /// Marches every ray to its end.
    pub fn run(&self, march_rays: &[MarchRay], stats: &mut RenderStats) -> RayBundle {
        let width = if self.flags.spectrum { self.source.spectrum_width() } else { 0 };
        let mut out = RayBundle {
            rays: vec![RayIntegral::EMPTY; march_rays.len()],
            spectrum: vec![0.0; march_rays.len() * width],
        };
        let occupancy = self.source.occupancy();
        let start = |(i, march_ray): (usize, &MarchRay)| {
            let steps = RaySampling { step: self.step, cone: self.cone, jitter: march_ray.jitter };
            MarchState { ray: i as u32, march: occupancy.traverse(&march_ray.path, &steps), first: 0, count: 0 }
        };
        let mut live: Vec<MarchState> = march_rays.iter().enumerate().map(start).collect();
        let mut batch = Batch::default();
        while !live.is_empty() {
            let each = (BATCH / live.len()).clamp(ROUND.0, ROUND.1);
            self.emit(march_rays, &mut live, each, &mut batch);
            self.evaluate(&mut batch, stats);
            live.retain(|l| {
                let ray = &mut out.rays[l.ray as usize];
                let goes_on = self.composite(l, &mut batch, ray, stats);
                goes_on && l.count == each
            });
            self.normals(&batch, &mut out, stats);
            self.spectra(&batch, width, &mut out, stats);
        }
        for (k, ray) in out.rays.iter_mut().enumerate() {
            let alpha = ray.alpha();
            if ray.transmittance < self.min_transmittance {
                stats.saturated += 1;
                ray.scale(1.0 / alpha);
                out.spectrum[k * width..][..width].iter_mut().for_each(|s| *s /= alpha);
                ray.transmittance = 0.0;
            }
        }
        self.planes(march_rays, width, &mut out, stats);
        out
    }

    /// Adds the planes that are shown, with their share of the light that reaches them.
    fn planes(&self, march_rays: &[MarchRay], width: usize, out: &mut RayBundle, stats: &mut RenderStats) {
        let mut batch = Batch::default();
        for (i, march_ray) in march_rays.iter().enumerate() {
            let ray = &mut out.rays[i];
            let MarchRay { shown: Some((t, normal)), opacity, .. } = *march_ray else { continue };
            let is_first = march_ray.path.pieces().first().is_some_and(|piece| t <= piece.ray.near);
            let left = 1.0 - opacity;
            let weight = if is_first { opacity } else { ray.transmittance * opacity };
            if weight <= 0.0 {
                continue;
            }
            if is_first {
                ray.scale(left);
                out.spectrum[i * width..][..width].iter_mut().for_each(|s| *s *= left);
            }
            batch.significant.push((march_ray.path.position(t), i as u32, weight));
            ray.depth += t * weight;
            ray.normal += normal * weight;
            ray.transmittance *= left;
        }
        let points: Vec<Vec3> = batch.significant.iter().map(|b| b.0).collect();
        if self.flags.colour && !points.is_empty() {
            let (occupancy, mut density) = (self.source.occupancy(), vec![0.0; points.len()]);
            self.source.density(&points, &mut density);
            stats.evals += points.len() as u64;
            for ((p, ray, weight), density) in batch.significant.iter().zip(density) {
                let seen = if occupancy.contains(*p) { density } else { 0.0 };
                out.rays[*ray as usize].colour += Vec3::from(density_colour(seen)) * *weight;
            }
        }
        self.spectra(&batch, width, out, stats);
    }

    /// Fills the batch with up to `each` samples a ray; rays without any drop out.
    fn emit(&self, march_rays: &[MarchRay], live: &mut Vec<MarchState>, each: usize, batch: &mut Batch) {
        let occupancy = self.source.occupancy();
        batch.points.clear();
        batch.directions.clear();
        batch.samples.clear();
        live.retain_mut(|l| {
            let MarchRay { path, direction, .. } = &march_rays[l.ray as usize];
            l.first = batch.points.len();
            for _ in 0..each {
                let Some(sample) = l.march.next(occupancy, path) else { break };
                batch.points.push(sample.position);
                batch.directions.push(*direction);
                batch.samples.push(sample);
            }
            l.count = batch.points.len() - l.first;
            l.count > 0
        });
    }

    fn evaluate(&self, batch: &mut Batch, stats: &mut RenderStats) {
        let count = batch.points.len();
        stats.evals += count as u64;
        batch.significant.clear();
        batch.radiance.resize(count, [0.0; 4]);
        if count == 0 {
            return;
        }
        if self.flags.colour {
            self.source.radiance(&batch.points, &batch.directions, &mut batch.radiance);
        } else {
            batch.density.resize(count, 0.0);
            self.source.density(&batch.points, &mut batch.density);
            batch.radiance.iter_mut().zip(&batch.density).for_each(|(r, d)| *r = [0.0, 0.0, 0.0, *d]);
        }
    }

    /// Adds a ray's samples to its integrals; `false` where too little light is left.
    fn composite(&self, l: &MarchState, batch: &mut Batch, ray: &mut RayIntegral, stats: &mut RenderStats) -> bool {
        ray.steps += l.count as u32;
        for k in l.first..l.first + l.count {
            let ([r, g, b, density], sample) = (batch.radiance[k], batch.samples[k]);
            let colour = Vec3::new(r, g, b);
            if density.is_nan() || !colour.is_finite() {
                stats.invalid += 1;
                continue;
            }
            let passes = (-density.clamp(0.0, f32::MAX) * sample.dt).exp();
            let weight = ray.transmittance * (1.0 - passes);
            ray.colour += colour * weight;
            ray.depth += sample.t * weight;
            ray.transmittance *= passes;
            if weight > MIN_WEIGHT && (self.flags.normal || self.flags.spectrum) {
                batch.significant.push((batch.points[k], l.ray, weight));
            }
            if ray.transmittance < self.min_transmittance {
                return false;
            }
        }
        true
    }

    fn normals(&self, batch: &Batch, out: &mut RayBundle, stats: &mut RenderStats) {
        if !self.flags.normal || batch.significant.is_empty() {
            return;
        }
        let points: Vec<Vec3> = batch.significant.iter().map(|b| b.0).collect();
        let (mut density, mut gradient) = (vec![0.0; points.len()], vec![Vec3::ZERO; points.len()]);
        self.source.density_gradient(&points, &mut density, &mut gradient);
        stats.gradient_evals += points.len() as u64;
        for ((p, ray, weight), g) in batch.significant.iter().zip(gradient) {
            let g = match self.map {
                SceneMap::Box(_) => g,
                map => map.gradient_to_world(p.as_dvec3(), g.as_dvec3()).normalize_or_zero().as_vec3(),
            };
            out.rays[*ray as usize].normal -= g.normalize_or_zero() * *weight;
        }
    }

    fn spectra(&self, batch: &Batch, width: usize, out: &mut RayBundle, stats: &mut RenderStats) {
        if width == 0 || batch.significant.is_empty() {
            return;
        }
        let points: Vec<Vec3> = batch.significant.iter().map(|b| b.0).collect();
        let mut spectrum = vec![0.0; points.len() * width];
        let (mut norm, mut residual) = (vec![0.0; points.len()], vec![0.0; points.len()]);
        self.source.spectrum(&points, &mut spectrum, &mut norm, &mut residual);
        stats.spectrum_evals += points.len() as u64;
        for (k, (_, ray, weight)) in batch.significant.iter().enumerate() {
            let ray = *ray as usize;
            out.rays[ray].grad_s += norm[k] * weight;
            out.rays[ray].residual += residual[k] * weight;
            let sums = &mut out.spectrum[ray * width..][..width];
            sums.iter_mut().zip(&spectrum[k * width..]).for_each(|(sum, s)| *sum += s * weight);
        }
    }
}
