//! One tile of a frame: rays, hits, shading, layers.

use glam::Vec3;
use nstr_camera::camera::Camera;
use nstr_image::colour::linear_from_srgb;
use nstr_space::Cube;

use crate::cpu::SphereTracer;
use crate::cpu::cone_march::{ConeResult, cone_march};
use crate::cpu::occlusion::{Occlusion, ShadingPoint};
use crate::cpu::shade::{Shader, Surface};
use crate::cpu::soft_light::SoftLight;
use crate::cpu::sphere_trace::{Outcome, PacketRay, SphereTrace};
use crate::cpu::trace_context::TraceContext;
use crate::curvature::{CURVATURE_SAMPLES, mean_curvature};
use crate::frame::{Frame, RenderStats};
use crate::layers::Layer;
use crate::sampling;
use crate::section;
use crate::section::{Interval, Plane, SectionHit};
use crate::settings::RenderSettings;
use crate::tile_rect::TileRect;

/// Pixels along the edge of a block that shares a cone.
const BLOCK: u32 = 8;
/// Rays in flight at once, so that memory stays bounded with many samples.
const PACKET: usize = 8192;

/// Layers of one tile.
pub struct TileOutput {
    colour: Vec<[f32; 4]>,
    alpha: Vec<f32>,
    /// Hits of centre rays: pixel of the tile and surface point.
    hits: Vec<(u32, Hit)>,
    steps: Vec<u32>,
    /// Of each centre hit, per world unit.
    curvature: Vec<f32>,
    grad_s: Vec<f32>,
    residual: Vec<f32>,
    spectrum: Vec<f32>,
    stats: RenderStats,
}

/// A ray to trace: which pixel it belongs to and how it lies in the world.
struct PrimaryRay {
    pixel: u32,
    /// World distance to where the packet's `t` starts.
    base: f64,
    cosine: f64,
    face: Vec3,
    /// Plane that shows the field where nothing is hit before it: its distance in the packet's `t`, and its normal.
    shown: Option<(f32, Vec3)>,
}

/// A hit, in world and field coordinates.
#[derive(Clone, Copy, Debug)]
struct Hit {
    depth: f64,
    cosine: f64,
    direction: Vec3,
    /// In field coordinates.
    position: Vec3,
    normal: Vec3,
    sign: f32,
    slope: f32,
    /// Linear colour of a plane that shows the field, drawn without light: over the surface, where `is_surface`, or alone.
    paint: Option<Vec3>,
    /// Whether the surface was hit, and not the plane alone.
    is_surface: bool,
}

/// Everything the tiles of a frame share.
pub struct TileJob<'a> {
    tracer: &'a SphereTracer<'a>,
    camera: &'a Camera,
    settings: &'a RenderSettings,
    shader: Shader,
    plane: Option<Plane>,
    gap: f32,
    /// Pixels of the image to render, if not all.
    mask: Option<&'a [bool]>,
}

impl<'a> TileJob<'a> {
    pub fn new(
        tracer: &'a SphereTracer<'a>,
        camera: &'a Camera,
        settings: &'a RenderSettings,
        mask: Option<&'a [bool]>,
    ) -> Self {
        let gap = tracer.settings.gap_for(camera, tracer.cube);
        let plane = Plane::of(settings, tracer.cube);
        Self { tracer, camera, settings, shader: Shader::new(settings.shading, camera), plane, gap, mask }
    }

    /// Field and resolution of the frame's rays.
    fn context(&self) -> TraceContext<'_> {
        let SphereTracer { source, grid, lipschitz, .. } = self.tracer;
        TraceContext { source: *source, grid: grid.as_deref(), lipschitz: *lipschitz, gap: self.gap }
    }

    /// Traces and shades the tile.
    pub fn run(&self, area: TileRect) -> TileOutput {
        let layers = self.settings.layers;
        let mut out = TileOutput {
            colour: Vec::new(),
            alpha: Vec::new(),
            hits: Vec::new(),
            steps: Vec::new(),
            curvature: Vec::new(),
            grad_s: Vec::new(),
            residual: Vec::new(),
            spectrum: Vec::new(),
            stats: RenderStats::default(),
        };
        let is_wanted = |i: &usize| area.is_wanted(self.mask, *i, self.camera.width);
        let starts = if (0..area.len()).any(|i| is_wanted(&i)) { self.starts(area) } else { Vec::new() };
        let shared = self.settings.samples == 1;
        if layers.needs_centre() || (shared && layers.needs_colour()) {
            let primary_rays = (0..area.len()).filter(is_wanted).map(|i| (i, 0.5, 0.5));
            out.steps = vec![0; area.len()];
            let (mut steps, mut hits) = (std::mem::take(&mut out.steps), Vec::new());
            self.trace(area, &starts, primary_rays, &mut out.stats, |pixel, count, hit| {
                steps[pixel as usize] = count;
                hits.extend(hit.map(|h| (pixel, h)));
            });
            (out.steps, out.hits) = (steps, hits);
            self.curvature(&mut out);
            self.spectrum(&mut out);
        }
        if layers.needs_colour() {
            self.colour(area, &starts, shared, &mut out);
        }
        out
    }

    fn colour(&self, area: TileRect, starts: &[ConeResult], shared: bool, out: &mut TileOutput) {
        let mut sum = vec![Vec3::ZERO; area.len()];
        let mut cover = vec![0.0f32; area.len()];
        let mut add = |hits: &[(u32, Hit)], stats: &mut RenderStats| {
            for ((pixel, _), (colour, alpha)) in hits.iter().zip(self.shade(hits, stats)) {
                sum[*pixel as usize] += colour;
                cover[*pixel as usize] += alpha;
            }
        };
        let count = self.settings.samples;
        if shared {
            add(&out.hits, &mut out.stats);
        } else {
            let per_pass = (PACKET / area.len().max(1)).max(1) as u32;
            for first in (0..count).step_by(per_pass as usize) {
                let last = (first + per_pass).min(count);
                let wanted = (0..area.len()).filter(|i| area.is_wanted(self.mask, *i, self.camera.width));
                let primary_rays = wanted.flat_map(|i| (first..last).map(move |s| (i, s))).map(|(i, s)| {
                    let (x, y) = area.pixel(i);
                    let (u, v) = sampling::offset(x, y, s, count, self.settings.seed, self.settings.filter);
                    (i, u, v)
                });
                let mut hits = Vec::new();
                self.trace(area, starts, primary_rays, &mut out.stats, |pixel, _, hit| {
                    hits.extend(hit.map(|h| (pixel, h)))
                });
                add(&hits, &mut out.stats);
            }
        }
        let behind = self.settings.background.rgba();
        let share = 1.0 / count as f32;
        for (sum, cover) in sum.iter().zip(&cover) {
            let alpha = *cover * share;
            let rgb = *sum * share;
            out.colour.push(std::array::from_fn(|c| match c {
                3 => alpha + (1.0 - alpha) * behind[3],
                c => rgb[c] + (1.0 - alpha) * behind[c],
            }));
            out.alpha.push(alpha);
        }
    }

    /// Cone-marching results of the 8×8 blocks.
    fn starts(&self, area: TileRect) -> Vec<ConeResult> {
        let Some(grid) = self.tracer.grid.as_deref() else { return Vec::new() };
        let border = if self.settings.samples > 1 { self.settings.filter.reach() - 0.5 } else { 0.0 };
        let mut starts = Vec::new();
        for y in (area.y0..area.y1).step_by(BLOCK as usize) {
            for x in (area.x0..area.x1).step_by(BLOCK as usize) {
                let block = [x, y, (x + BLOCK).min(area.x1), (y + BLOCK).min(area.y1)];
                starts.push(cone_march(grid, self.camera, self.tracer.cube, block, border));
            }
        }
        starts
    }

    /// Traces `(pixel of the tile, x and y within the pixel)` and hands each ray's pixel, steps and hit to `take`.
    fn trace(
        &self,
        area: TileRect,
        starts: &[ConeResult],
        primary_rays: impl Iterator<Item = (usize, f64, f64)>,
        stats: &mut RenderStats,
        mut take: impl FnMut(u32, u32, Option<Hit>),
    ) {
        let (mut packet, mut of) = (Vec::new(), Vec::new());
        let blocks = area.width().div_ceil(BLOCK);
        for (pixel, u, v) in primary_rays {
            stats.rays += 1;
            let (x, y) = area.pixel(pixel);
            let block = (y - area.y0) / BLOCK * blocks + (x - area.x0) / BLOCK;
            let start = starts.get(block as usize).copied().unwrap_or(ConeResult::At(0.0));
            match self.ray(x as f64 + u, y as f64 + v, start) {
                Some((ray, primary_ray)) => {
                    packet.push(ray);
                    of.push(PrimaryRay { pixel: pixel as u32, ..primary_ray });
                }
                None => take(pixel as u32, 0, None),
            }
        }
        let trace = SphereTrace { context: self.context(), max_steps: self.tracer.settings.max_steps };
        let (outcomes, counts) = trace.run(&packet);
        stats.evals += counts.evals;
        stats.exhausted += counts.exhausted;
        stats.invalid += counts.invalid;
        let hits = self.hits(&packet, &of, &outcomes, stats);
        let mut hits = hits.into_iter().peekable();
        for (i, (primary_ray, outcome)) in of.iter().zip(&outcomes).enumerate() {
            let hit = hits.next_if(|(k, _)| *k == i).map(|(_, hit)| hit);
            take(primary_ray.pixel, outcome.steps, hit);
        }
    }

    /// A ray of the packet, and its primary ray but for the pixel.
    fn ray(&self, x: f64, y: f64, start: ConeResult) -> Option<(PacketRay, PrimaryRay)> {
        if start == ConeResult::Miss && self.plane.is_none() {
            return None;
        }
        let cube = self.tracer.cube;
        let ray = self.camera.ray(x, y);
        let origin = cube.to_unit(ray.origin);
        let Interval { enter, exit, face, shown } = section::clip(origin, ray.direction, self.plane.as_ref())?;
        let free = match start {
            ConeResult::At(free) if exit > enter => free,
            // Nothing to march: the plane is all there may be.
            _ => f64::INFINITY,
        };
        if free >= exit && shown.is_none() {
            return None;
        }
        let packet = PacketRay {
            origin: (origin + ray.direction * enter).as_vec3(),
            direction: ray.direction.as_vec3(),
            start: (free.min(exit) - enter).max(0.0) as f32,
            exit: (exit - enter) as f32,
            sign: if free > enter { 1.0 } else { 0.0 },
            enters: enter > 0.0,
        };
        let shown = shown.map(|SectionHit { t, normal }| ((t - enter) as f32, normal));
        Some((packet, PrimaryRay { pixel: 0, base: enter * cube.size, cosine: ray.cosine, face, shown }))
    }

    /// Gradients at the hits: normals, and a last Newton step of the depth.
    fn hits(
        &self,
        rays: &[PacketRay],
        primary_rays: &[PrimaryRay],
        ends: &[Outcome],
        stats: &mut RenderStats,
    ) -> Vec<(usize, Hit)> {
        let mut veils = self.veils(rays, primary_rays, ends, stats).into_iter().peekable();
        let end = |(i, o): (usize, &Outcome)| o.t.or(primary_rays[i].shown.map(|s| s.0)).map(|t| (i, t));
        let found: Vec<(usize, f32)> = ends.iter().enumerate().filter_map(end).collect();
        let points: Vec<Vec3> = found.iter().map(|&(i, t)| rays[i].origin + rays[i].direction * t).collect();
        let (mut values, mut gradients) = (vec![0.0; points.len()], vec![Vec3::ZERO; points.len()]);
        self.tracer.source.distance_gradient(&points, &mut values, &mut gradients);
        stats.hits += points.len() as u64;
        stats.gradient_evals += points.len() as u64;
        let mut hit = |(k, &(i, t)): (usize, &(usize, f32))| {
            let (ray, primary_ray, end) = (&rays[i], &primary_rays[i], &ends[i]);
            let (f, g) = (values[k], gradients[k]);
            let mut t = t;
            let mut normal = g.try_normalize().unwrap_or(-ray.direction) * end.sign;
            let mut paint = veils.next_if(|(of, _)| *of == i).map(|(_, colour)| colour);
            if let (None, Some((_, plane))) = (end.t, primary_ray.shown) {
                normal = plane;
                let colour = section::distance_colour(f, g.reject_from_normalized(plane).length());
                paint = Some(Vec3::from(colour.map(linear_from_srgb)));
            } else if end.cut {
                normal = primary_ray.face;
            } else {
                let along = g.dot(ray.direction);
                if along.abs() > 1e-3 * g.length() && f.is_finite() {
                    t = (t - (f / along).clamp(-self.gap, self.gap)).max(0.0);
                }
            }
            if normal.dot(ray.direction) > 0.0 {
                normal = (normal - ray.direction * (1.001 * normal.dot(ray.direction))).normalize_or(-ray.direction);
            }
            let slope = g.length().max(1e-3);
            let hit = Hit {
                depth: primary_ray.base + t as f64 * self.tracer.cube.size,
                cosine: primary_ray.cosine,
                direction: ray.direction,
                position: ray.origin + ray.direction * t,
                normal,
                sign: if end.cut { 1.0 } else { end.sign },
                slope: if slope.is_finite() { slope } else { 1.0 },
                paint,
                is_surface: end.t.is_some(),
            };
            (i, hit)
        };
        found.iter().enumerate().map(&mut hit).collect()
    }

    /// Colours of translucent planes before the surfaces that rays end at: numbers of rays in order, linear colours.
    fn veils(
        &self,
        rays: &[PacketRay],
        primary_rays: &[PrimaryRay],
        ends: &[Outcome],
        stats: &mut RenderStats,
    ) -> Vec<(usize, Vec3)> {
        let shown = |i: usize| primary_rays[i].shown.filter(|(t, _)| ends[i].t.is_some_and(|end| *t <= end));
        let seen: Vec<(usize, f32, Vec3)> =
            (0..rays.len()).filter_map(|i| shown(i).map(|(t, normal)| (i, t, normal))).collect();
        if seen.is_empty() {
            return Vec::new();
        }
        let points: Vec<Vec3> = seen.iter().map(|&(i, t, _)| rays[i].origin + rays[i].direction * t).collect();
        let (mut values, mut gradients) = (vec![0.0; points.len()], vec![Vec3::ZERO; points.len()]);
        self.tracer.source.distance_gradient(&points, &mut values, &mut gradients);
        stats.gradient_evals += points.len() as u64;
        let colour = |((&(i, _, plane), f), g): ((&(usize, f32, Vec3), f32), Vec3)| {
            let colour = section::distance_colour(f, g.reject_from_normalized(plane).length());
            (i, Vec3::from(colour.map(linear_from_srgb)))
        };
        seen.iter().zip(values).zip(gradients).map(colour).collect()
    }

    /// Linear premultiplied colour and alpha of each hit.
    fn shade(&self, hits: &[(u32, Hit)], stats: &mut RenderStats) -> Vec<(Vec3, f32)> {
        let secondary = self.settings.shading.secondary();
        let around = Occlusion { context: self.context(), plane: self.plane };
        let shaded: Vec<&Hit> = hits.iter().map(|(_, h)| h).filter(|h| h.is_surface).collect();
        let point = |h: &&Hit| ShadingPoint { position: h.position, normal: h.normal, sign: h.sign, slope: h.slope };
        let shading_points: Vec<ShadingPoint> = shaded.iter().map(point).collect();
        let (mut lit, mut open) = (vec![1.0; shading_points.len()], vec![1.0; shading_points.len()]);
        if secondary.is_coarse && (secondary.shadow || secondary.occlusion) {
            let light = SoftLight { distance: self.tracer.soft_light().distance(), plane: self.plane };
            let right = self.camera.axes()[0].as_vec3();
            for ((point, lit), open) in shading_points.iter().zip(&mut lit).zip(&mut open) {
                if secondary.shadow {
                    *lit = light.lit(point, self.shader.light(), secondary.light_size);
                }
                if secondary.occlusion {
                    *open = light.open(point, secondary.radius, right);
                }
            }
        } else if secondary.shadow {
            let (values, evals) = around.shadow(&shading_points, self.shader.light(), secondary.light_size);
            lit = values;
            stats.secondary_evals += evals;
        }
        if secondary.occlusion && !secondary.is_coarse {
            let right = self.camera.axes()[0].as_vec3();
            let (values, evals) = around.ambient(&shading_points, secondary.radius, right);
            open = values;
            stats.secondary_evals += evals;
        }
        let light = |((h, lit), open): ((&&Hit, f32), f32)| {
            self.shader.colour(&Surface { normal: h.normal, direction: h.direction, lit, open })
        };
        let mut colours = shaded.iter().zip(lit).zip(open).map(light);
        let opacity = self.plane.map_or(1.0, |plane| plane.opacity());
        let seen = |h: &Hit| match (h.is_surface.then(|| colours.next()).flatten(), h.paint) {
            (Some(surface), Some(veil)) => (surface.lerp(veil, opacity), 1.0),
            (Some(surface), None) => (surface, 1.0),
            (None, paint) => (paint.unwrap_or(Vec3::ZERO) * opacity, opacity),
        };
        hits.iter().map(|(_, h)| h).map(seen).collect()
    }

    fn curvature(&self, out: &mut TileOutput) {
        if !self.settings.layers.contains(Layer::Curvature) {
            return;
        }
        let points = out.positions();
        let gradient = |points: &[Vec3], gradient: &mut [Vec3]| {
            self.tracer.source.distance_gradient(points, &mut vec![0.0; points.len()], gradient);
        };
        let scale = (1.0 / self.tracer.cube.size) as f32;
        out.curvature = mean_curvature(&points, gradient).into_iter().map(|h| h * scale).collect();
        out.stats.gradient_evals += (CURVATURE_SAMPLES * points.len()) as u64;
    }

    fn spectrum(&self, out: &mut TileOutput) {
        let layers = self.settings.layers;
        let width = self.tracer.source.spectrum_width();
        if width == 0
            || ![Layer::SpectrumGradientNorm, Layer::Residual, Layer::Spectrum].iter().any(|l| layers.contains(*l))
        {
            return;
        }
        let points = out.positions();
        out.spectrum = vec![0.0; points.len() * width];
        out.grad_s = vec![0.0; points.len()];
        out.residual = vec![0.0; points.len()];
        self.tracer.source.spectrum(&points, &mut out.spectrum, &mut out.grad_s, &mut out.residual);
        out.stats.spectrum_evals += points.len() as u64;
    }
}

impl TileOutput {
    /// Centre hits in field coordinates.
    fn positions(&self) -> Vec<Vec3> {
        self.hits.iter().map(|(_, h)| h.position).collect()
    }

    /// Copies the tile into the frame's layers, those that the frame has.
    pub fn store(&self, area: TileRect, cube: Cube, frame: &mut Frame) {
        let place: Vec<usize> = (0..area.len()).map(|i| area.place(i, frame.width)).collect();
        frame.stats.add(&self.stats);
        for (&at, (colour, alpha)) in place.iter().zip(self.colour.iter().zip(&self.alpha)) {
            frame.set(Layer::Colour, at, colour);
            frame.set(Layer::Alpha, at, &[*alpha]);
        }
        for (&at, steps) in place.iter().zip(&self.steps) {
            frame.set(Layer::Steps, at, &[*steps as f32]);
        }
        let width = frame.spectrum_width;
        for (k, (pixel, hit)) in self.hits.iter().enumerate() {
            let at = place[*pixel as usize];
            frame.set(Layer::DepthRay, at, &[hit.depth as f32]);
            frame.set(Layer::DepthZ, at, &[(hit.depth * hit.cosine) as f32]);
            frame.set(Layer::Normal, at, &hit.normal.to_array());
            frame.set(Layer::Position, at, &cube.to_world(hit.position.as_dvec3()).as_vec3().to_array());
            let scalars = [
                (Layer::Curvature, &self.curvature),
                (Layer::SpectrumGradientNorm, &self.grad_s),
                (Layer::Residual, &self.residual),
            ];
            for (layer, values) in scalars {
                if let Some(v) = values.get(k) {
                    frame.set(layer, at, &[*v]);
                }
            }
            if !self.spectrum.is_empty() {
                frame.set(Layer::Spectrum, at, &self.spectrum[k * width..][..width]);
            }
        }
    }
}
