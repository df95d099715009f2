//! One tile of a frame: rays, hits, shading, layers.

use glam::Vec3;

use crate::cpu::beam;
use crate::cpu::beam::Start;
use crate::cpu::march::{March, Outcome, PacketRay};
use crate::cpu::occlusion::{Occlusion, Site};
use crate::cpu::sampling;
use crate::cpu::shade::{Shader, Surface};
use crate::cpu::{RenderSettings, SphereTracer};
use crate::area::Area;
use nstr_camera::camera::Camera;
use nstr_image::colour::linear_from_srgb;
use crate::curvature::{CURVATURE_TAPS, mean_curvature};
use crate::frame::{Frame, RenderStats};
use crate::layers::Layer;
use crate::section;
use crate::section::{Plane, Shown, Stretch};

/// Pixels along the edge of a block that shares a cone.
const BLOCK: u32 = 8;
/// Rays in flight at once, so that memory stays bounded with many samples.
const PACKET: usize = 8192;

/// What one tile adds to the frame.
pub struct TileOutput {
    colour: Vec<[f32; 4]>,
    alpha: Vec<f32>,
    /// Hits of centre rays: pixel of the tile and what lies there.
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
struct Shot {
    pixel: u32,
    /// World distance to where the packet's `t` starts.
    base: f64,
    cosine: f64,
    face: Vec3,
    /// Where nothing is hit before it, in the packet's `t`: a plane that shows the field, and its normal.
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
    /// Linear colour of what is shown as it is, without light.
    paint: Option<Vec3>,
}

/// Everything the tiles of a frame share.
pub struct TileJob<'a> {
    tracer: &'a SphereTracer<'a>,
    camera: &'a Camera,
    settings: &'a RenderSettings,
    shader: Shader,
    plane: Option<Plane>,
    gap: f32,
}

impl<'a> TileJob<'a> {
    pub fn new(tracer: &'a SphereTracer<'a>, camera: &'a Camera, settings: &'a RenderSettings) -> Self {
        let gap = tracer.settings.gap_for(camera, tracer.cube);
        let plane = settings.section.map(|s| Plane::new(&s, tracer.cube));
        Self { tracer, camera, settings, shader: Shader::new(settings.shading, camera), plane, gap }
    }

    /// Traces and shades the tile.
    pub fn run(&self, area: Area) -> TileOutput {
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
        let starts = self.starts(area);
        let shared = self.settings.samples == 1;
        if layers.needs_centre() || (shared && layers.needs_colour()) {
            let shots = (0..area.len()).map(|i| (i, 0.5, 0.5));
            out.steps = vec![0; area.len()];
            let (mut steps, mut hits) = (std::mem::take(&mut out.steps), Vec::new());
            self.trace(area, &starts, shots, &mut out.stats, |pixel, count, hit| {
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

    fn colour(&self, area: Area, starts: &[Start], shared: bool, out: &mut TileOutput) {
        let mut sum = vec![Vec3::ZERO; area.len()];
        let mut cover = vec![0u32; area.len()];
        let mut add = |hits: &[(u32, Hit)], stats: &mut RenderStats| {
            for ((pixel, _), colour) in hits.iter().zip(self.shade(hits, stats)) {
                sum[*pixel as usize] += colour;
                cover[*pixel as usize] += 1;
            }
        };
        let count = self.settings.samples;
        if shared {
            add(&out.hits, &mut out.stats);
        } else {
            let per_pass = (PACKET / area.len().max(1)).max(1) as u32;
            for first in (0..count).step_by(per_pass as usize) {
                let last = (first + per_pass).min(count);
                let shots = (0..area.len()).flat_map(|i| (first..last).map(move |s| (i, s))).map(|(i, s)| {
                    let (x, y) = area.pixel(i);
                    let (u, v) = sampling::offset(x, y, s, count, self.settings.seed, self.settings.filter);
                    (i, u, v)
                });
                let mut hits = Vec::new();
                self.trace(area, starts, shots, &mut out.stats, |pixel, _, hit| hits.extend(hit.map(|h| (pixel, h))));
                add(&hits, &mut out.stats);
            }
        }
        let behind = self.settings.background.rgba();
        let share = 1.0 / count as f32;
        for (sum, cover) in sum.iter().zip(&cover) {
            let alpha = *cover as f32 * share;
            let rgb = *sum * share;
            out.colour.push(std::array::from_fn(|c| match c {
                3 => alpha + (1.0 - alpha) * behind[3],
                c => rgb[c] + (1.0 - alpha) * behind[c],
            }));
            out.alpha.push(alpha);
        }
    }

    /// Where the rays of each 8×8 block may start.
    fn starts(&self, area: Area) -> Vec<Start> {
        let Some(grid) = self.tracer.grid.as_deref() else { return Vec::new() };
        let border = if self.settings.samples > 1 { self.settings.filter.reach() - 0.5 } else { 0.0 };
        let mut starts = Vec::new();
        for y in (area.y0..area.y1).step_by(BLOCK as usize) {
            for x in (area.x0..area.x1).step_by(BLOCK as usize) {
                let block = [x, y, (x + BLOCK).min(area.x1), (y + BLOCK).min(area.y1)];
                starts.push(beam::start(grid, self.camera, self.tracer.cube, block, border));
            }
        }
        starts
    }

    /// Traces `(pixel of the tile, x and y within the pixel)` and hands each ray's pixel, steps and hit to `take`.
    fn trace(
        &self,
        area: Area,
        starts: &[Start],
        shots: impl Iterator<Item = (usize, f64, f64)>,
        stats: &mut RenderStats,
        mut take: impl FnMut(u32, u32, Option<Hit>),
    ) {
        let (mut packet, mut of) = (Vec::new(), Vec::new());
        let blocks = area.width().div_ceil(BLOCK);
        for (pixel, u, v) in shots {
            stats.rays += 1;
            let (x, y) = area.pixel(pixel);
            let block = (y - area.y0) / BLOCK * blocks + (x - area.x0) / BLOCK;
            let start = starts.get(block as usize).copied().unwrap_or(Start::At(0.0));
            match self.ray(x as f64 + u, y as f64 + v, start) {
                Some((ray, shot)) => {
                    packet.push(ray);
                    of.push(Shot { pixel: pixel as u32, ..shot });
                }
                None => take(pixel as u32, 0, None),
            }
        }
        let tracer = self.tracer;
        let march = March {
            source: tracer.source,
            grid: tracer.grid.as_deref(),
            lipschitz: tracer.lipschitz,
            gap: self.gap,
            max_steps: tracer.settings.max_steps,
        };
        let (outcomes, counts) = march.run(&packet);
        stats.evals += counts.evals;
        stats.exhausted += counts.exhausted;
        stats.invalid += counts.invalid;
        let hits = self.hits(&packet, &of, &outcomes, stats);
        let mut hits = hits.into_iter().peekable();
        for (i, (shot, outcome)) in of.iter().zip(&outcomes).enumerate() {
            let hit = hits.next_if(|(k, _)| *k == i).map(|(_, hit)| hit);
            take(shot.pixel, outcome.steps, hit);
        }
    }

    /// A ray of the packet, and its shot but for the pixel.
    fn ray(&self, x: f64, y: f64, start: Start) -> Option<(PacketRay, Shot)> {
        if start == Start::Miss && self.plane.is_none() {
            return None;
        }
        let cube = self.tracer.cube;
        let ray = self.camera.ray(x, y);
        let origin = cube.to_unit(ray.origin);
        let Stretch { enter, exit, face, shown } = section::clip(origin, ray.direction, self.plane.as_ref())?;
        let free = match start {
            Start::At(free) if exit > enter => free,
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
        let shown = shown.map(|Shown { t, normal }| ((t - enter) as f32, normal));
        Some((packet, Shot { pixel: 0, base: enter * cube.size, cosine: ray.cosine, face, shown }))
    }

    /// Gradients at the hits: normals, and a last Newton step of the depth.
    fn hits(&self, rays: &[PacketRay], shots: &[Shot], ends: &[Outcome], stats: &mut RenderStats) -> Vec<(usize, Hit)> {
        let end = |(i, o): (usize, &Outcome)| o.t.or(shots[i].shown.map(|s| s.0)).map(|t| (i, t));
        let found: Vec<(usize, f32)> = ends.iter().enumerate().filter_map(end).collect();
        let points: Vec<Vec3> = found.iter().map(|&(i, t)| rays[i].origin + rays[i].direction * t).collect();
        let (mut values, mut gradients) = (vec![0.0; points.len()], vec![Vec3::ZERO; points.len()]);
        self.tracer.source.distance_gradient(&points, &mut values, &mut gradients);
        stats.hits += points.len() as u64;
        stats.gradient_evals += points.len() as u64;
        let hit = |(k, &(i, t)): (usize, &(usize, f32))| {
            let (ray, shot, end) = (&rays[i], &shots[i], &ends[i]);
            let (f, g) = (values[k], gradients[k]);
            let mut t = t;
            let mut normal = g.try_normalize().unwrap_or(-ray.direction) * end.sign;
            let mut paint = None;
            if let (None, Some((_, plane))) = (end.t, shot.shown) {
                normal = plane;
                let colour = section::distance_colour(f, g.reject_from_normalized(plane).length());
                paint = Some(Vec3::from(colour.map(linear_from_srgb)));
            } else if end.cut {
                normal = shot.face;
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
                depth: shot.base + t as f64 * self.tracer.cube.size,
                cosine: shot.cosine,
                direction: ray.direction,
                position: ray.origin + ray.direction * t,
                normal,
                sign: if end.cut { 1.0 } else { end.sign },
                slope: if slope.is_finite() { slope } else { 1.0 },
                paint,
            };
            (i, hit)
        };
        found.iter().enumerate().map(hit).collect()
    }

    fn shade(&self, hits: &[(u32, Hit)], stats: &mut RenderStats) -> Vec<Vec3> {
        let secondary = self.settings.shading.secondary();
        let tracer = self.tracer;
        let around = Occlusion {
            source: tracer.source,
            grid: tracer.grid.as_deref(),
            lipschitz: tracer.lipschitz,
            gap: self.gap,
            plane: self.plane,
        };
        let shaded: Vec<&Hit> = hits.iter().map(|(_, h)| h).filter(|h| h.paint.is_none()).collect();
        let site = |h: &&Hit| Site { position: h.position, normal: h.normal, sign: h.sign, slope: h.slope };
        let sites: Vec<Site> = shaded.iter().map(site).collect();
        let (mut lit, mut open) = (vec![1.0; sites.len()], vec![1.0; sites.len()]);
        if secondary.shadow {
            let (values, evals) = around.shadow(&sites, self.shader.light(), secondary.light_size);
            lit = values;
            stats.secondary_evals += evals;
        }
        if secondary.occlusion {
            let right = self.camera.axes()[0].as_vec3();
            let (values, evals) = around.ambient(&sites, secondary.radius, right);
            open = values;
            stats.secondary_evals += evals;
        }
        let light = |((h, lit), open): ((&&Hit, f32), f32)| {
            self.shader.colour(&Surface { normal: h.normal, direction: h.direction, lit, open })
        };
        let mut colours = shaded.iter().zip(lit).zip(open).map(light);
        hits.iter().map(|(_, h)| h.paint.or_else(|| colours.next()).unwrap_or(Vec3::ZERO)).collect()
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
        out.stats.gradient_evals += (CURVATURE_TAPS * points.len()) as u64;
    }

    fn spectrum(&self, out: &mut TileOutput) {
        let layers = self.settings.layers;
        let width = self.tracer.source.spectrum_width();
        if width == 0 || ![Layer::GradS, Layer::Residual, Layer::Spectrum].iter().any(|l| layers.contains(*l)) {
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
    pub fn store(&self, area: Area, frame: &mut Frame) {
        let place: Vec<usize> = (0..area.len()).map(|i| area.place(i, frame.width)).collect();
        frame.stats.add(&self.stats);
        copy(&mut frame.colour, &place, &self.colour);
        copy(&mut frame.alpha, &place, &self.alpha);
        if !frame.steps.is_empty() {
            let steps: Vec<f32> = self.steps.iter().map(|s| *s as f32).collect();
            copy(&mut frame.steps, &place, &steps);
        }
        let width = frame.spectrum_width;
        for (k, (pixel, hit)) in self.hits.iter().enumerate() {
            let i = place[*pixel as usize];
            set(&mut frame.depth_ray, i, hit.depth as f32);
            set(&mut frame.depth_z, i, (hit.depth * hit.cosine) as f32);
            set(&mut frame.normal, i, hit.normal.to_array());
            let scalars = [
                (&mut frame.curvature, &self.curvature),
                (&mut frame.grad_s, &self.grad_s),
                (&mut frame.residual, &self.residual),
            ];
            for (layer, values) in scalars {
                if let Some(v) = values.get(k) {
                    set(layer, i, *v);
                }
            }
            if !frame.spectrum.is_empty() && !self.spectrum.is_empty() {
                frame.spectrum[i * width..][..width].copy_from_slice(&self.spectrum[k * width..][..width]);
            }
        }
    }

    /// World positions need the domain, which the tile doesn't keep.
    pub fn store_positions(&self, area: Area, frame: &mut Frame, cube: nstr_space::cube::UnitCube) {
        for (pixel, hit) in &self.hits {
            let i = area.place(*pixel as usize, frame.width);
            set(&mut frame.position, i, cube.to_world(hit.position.as_dvec3()).as_vec3().to_array());
        }
    }
}

fn set<T>(layer: &mut [T], i: usize, value: T) {
    if let Some(slot) = layer.get_mut(i) {
        *slot = value;
    }
}

fn copy<T: Copy>(layer: &mut [T], place: &[usize], values: &[T]) {
    if !layer.is_empty() {
        for (&i, v) in place.iter().zip(values) {
            layer[i] = *v;
        }
    }
}
