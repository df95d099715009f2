//! One tile of a frame: its rays, what they gather, and the layers that come of it.

use glam::Vec3;

use crate::volume::march::{Bundle, Gathered, Marcher, Shot, Wants};
use crate::cpu::RenderSettings;
use crate::volume::VolumeRenderer;
use crate::area::Area;
use nstr_space::Ray;
use nstr_camera::caster::RayCaster;
use nstr_image::colour::{Background, linear_from_srgb, srgb_from_linear};
use crate::cpu::sampling;
use nstr_space::cube::UnitCube;
use crate::curvature::{CURVATURE_TAPS, mean_curvature};
use crate::frame::{Frame, RenderStats};
use crate::layers::Layer;
use nstr_space::occupancy::VolumeRay;
use crate::section;
use crate::section::{Plane, Stretch};

/// Rays in flight at once, so that memory stays bounded with many samples.
const PACKET: usize = 8192;
/// Least cover of a pixel that has depth, position, normal and spectrum.
const COVERED: f32 = 0.01;

/// What all tiles of a frame share.
pub(super) struct Job<'a> {
    pub renderer: &'a VolumeRenderer<'a>,
    pub view: &'a dyn RayCaster,
    pub plane: Option<Plane>,
}

/// What one tile adds to the frame.
#[derive(Default)]
pub(super) struct Output {
    colour: Vec<[f32; 4]>,
    alpha: Vec<f32>,
    /// The rays through the pixels' centres.
    rays: Vec<Ray>,
    centre: Bundle,
    /// Of the covered pixels in order, per world unit.
    curvature: Vec<f32>,
    stats: RenderStats,
}

/// Red, green and blue of a background as sRGB values; `None` for a transparent one.
fn srgb(background: Background) -> Option<Vec3> {
    let [r, g, b, a] = background.rgba();
    (a > 0.0).then(|| Vec3::from([r, g, b].map(srgb_from_linear)))
}

/// Linear premultiplied RGBA of a ray over the background, composited in sRGB values.
fn linear(ray: &Gathered, background: Background, behind: Option<Vec3>) -> [f32; 4] {
    if ray.transmittance == 1.0 {
        return background.rgba();
    }
    let alpha = ray.alpha();
    let (straight, share) = match behind {
        Some(behind) => (ray.colour + behind * ray.transmittance, 1.0),
        None => (ray.colour / alpha, alpha),
    };
    let [r, g, b] = straight.to_array().map(|v| linear_from_srgb(v.max(0.0)) * share);
    [r, g, b, share]
}

impl Job<'_> {
    /// Marches the tile and makes its layers.
    pub fn render(&self, area: Area, settings: &RenderSettings) -> Output {
        let layers = settings.layers;
        let shared = settings.samples == 1;
        let mut out = Output::default();
        if layers.needs_centre() || (shared && layers.needs_colour()) {
            let wants = Wants {
                colour: shared && layers.contains(Layer::Colour),
                normal: layers.contains(Layer::Normal),
                spectrum: [Layer::Spectrum, Layer::GradS, Layer::Residual].iter().any(|l| layers.contains(*l)),
            };
            (out.rays, out.centre) = self.centre(area, wants, &mut out.stats);
            if layers.contains(Layer::Curvature) {
                self.curvature(&mut out);
            }
        }
        if shared && layers.needs_colour() {
            let behind = srgb(settings.background);
            out.colour = out.centre.rays.iter().map(|r| linear(r, settings.background, behind)).collect();
            out.alpha = out.centre.rays.iter().map(Gathered::alpha).collect();
        } else if layers.needs_colour() {
            self.multisample(area, settings, &mut out);
        }
        out
    }

    /// sRGB values over a background of sRGB values.
    pub fn colours(&self, area: Area, background: [f32; 3]) -> Vec<[f32; 3]> {
        let wants = Wants { colour: true, ..Wants::default() };
        let (_, bundle) = self.centre(area, wants, &mut RenderStats::default());
        let over = |r: &Gathered| (r.colour + Vec3::from(background) * r.transmittance).to_array();
        bundle.rays.iter().map(over).collect()
    }

    /// Marches the rays through the pixels' centres.
    fn centre(&self, area: Area, wants: Wants, stats: &mut RenderStats) -> (Vec<Ray>, Bundle) {
        let rays: Vec<Ray> = (0..area.len())
            .map(|i| {
                let (x, y) = area.pixel(i);
                self.view.ray(x as f64 + 0.5, y as f64 + 0.5)
            })
            .collect();
        let shots: Vec<Shot> = rays.iter().map(|ray| self.shot(ray, 0.5)).collect();
        let bundle = self.march(&shots, wants, stats);
        (rays, bundle)
    }

    /// Mean curvature of the density's level sets at the points of expected depth.
    fn curvature(&self, out: &mut Output) {
        let Self { renderer, .. } = *self;
        let seen = out.rays.iter().zip(&out.centre.rays).filter(|(_, g)| g.alpha() >= COVERED);
        let point = |(ray, g): (&Ray, &Gathered)| {
            let depth = f64::from(g.depth / g.alpha());
            (renderer.cube.to_unit(ray.origin) + ray.direction * depth).as_vec3()
        };
        let points: Vec<Vec3> = seen.map(point).collect();
        // Density falls outwards.
        let outward = |points: &[Vec3], gradient: &mut [Vec3]| {
            renderer.source.density_gradient(points, &mut vec![0.0; points.len()], gradient);
            gradient.iter_mut().for_each(|g| *g = -*g);
        };
        let scale = (1.0 / renderer.cube.size) as f32;
        out.curvature = mean_curvature(&points, outward).into_iter().map(|h| h * scale).collect();
        out.stats.gradient_evals += (CURVATURE_TAPS * points.len()) as u64;
    }

    /// Colour and alpha from several rays a pixel.
    fn multisample(&self, area: Area, settings: &RenderSettings, out: &mut Output) {
        let (count, behind) = (settings.samples, srgb(settings.background));
        let wants = Wants { colour: settings.layers.contains(Layer::Colour), ..Wants::default() };
        out.colour = vec![[0.0; 4]; area.len()];
        out.alpha = vec![0.0; area.len()];
        let share = 1.0 / count as f32;
        let per_pass = (PACKET / area.len()).max(1);
        for first in (0..count).step_by(per_pass) {
            let last = (first + per_pass as u32).min(count);
            let of = |i: usize| (first..last).map(move |s| (i, s));
            let places: Vec<(usize, u32)> = (0..area.len()).flat_map(of).collect();
            let shot = |(i, s): &(usize, u32)| {
                let (x, y) = area.pixel(*i);
                let (u, v) = sampling::offset(x, y, *s, count, settings.seed, settings.filter);
                // The golden ratio's multiples spread the samples of a pixel over their strata too.
                let jitter = (0.5 + *s as f64 * 0.618_033_988_749_895).fract() as f32;
                self.shot(&self.view.ray(x as f64 + u, y as f64 + v), jitter)
            };
            let shots: Vec<Shot> = places.iter().map(shot).collect();
            let bundle = self.march(&shots, wants, &mut out.stats);
            for ((i, _), ray) in places.iter().zip(&bundle.rays) {
                let colour = linear(ray, settings.background, behind);
                (0..4).for_each(|c| out.colour[*i][c] += colour[c] * share);
                out.alpha[*i] += ray.alpha() * share;
            }
        }
    }

    fn shot(&self, ray: &Ray, jitter: f32) -> Shot {
        let (cube, near) = (self.renderer.cube, self.renderer.settings.near);
        let whole = VolumeRay { near, ..VolumeRay::from_world(ray, cube, 0.0, f64::INFINITY) };
        let Some(plane) = &self.plane else { return Shot { ray: whole, jitter, shown: None } };
        let (origin, direction) = (cube.to_unit(ray.origin), ray.direction);
        // Where nothing is left the far end lies before the near one.
        let (from, to) = plane.keep(origin, direction).unwrap_or((0.0, -1.0));
        let cut = VolumeRay { near: near.max(from as f32), far: to as f32, ..whole };
        let Some(Stretch { enter, shown: Some(shown), .. }) = section::clip(origin, direction, Some(plane)) else {
            return Shot { ray: cut, jitter, shown: None };
        };
        let t = shown.t as f32;
        match (t >= near, shown.t > enter) {
            (false, _) => Shot { ray: cut, jitter, shown: None },
            (true, true) => Shot { ray: cut, jitter, shown: Some((t, shown.normal)) },
            (true, false) => Shot { ray: VolumeRay { far: -1.0, ..cut }, jitter, shown: Some((t, shown.normal)) },
        }
    }

    fn march(&self, shots: &[Shot], wants: Wants, stats: &mut RenderStats) -> Bundle {
        let settings = self.renderer.settings;
        let marcher = Marcher {
            source: self.renderer.source,
            step: settings.step,
            cone: settings.cone,
            least: settings.min_transmittance,
            wants,
        };
        let bundle = marcher.run(shots, stats);
        stats.rays += shots.len() as u64;
        stats.hits += bundle.rays.iter().filter(|r| r.alpha() >= COVERED).count() as u64;
        bundle
    }
}

impl Output {
    /// Copies the tile into the frame's layers, those that the frame has.
    pub fn store(&self, area: Area, cube: UnitCube, frame: &mut Frame) {
        frame.stats.add(&self.stats);
        let width = frame.width;
        let mut curvature = self.curvature.iter();
        for i in 0..area.len() {
            let at = area.place(i, width);
            copy(&mut frame.colour, at, &self.colour, i);
            copy(&mut frame.alpha, at, &self.alpha, i);
            if let (Some(ray), Some(gathered)) = (self.rays.get(i), self.centre.rays.get(i)) {
                set(&mut frame.steps, at, gathered.steps as f32);
                if gathered.alpha() >= COVERED {
                    self.hit(i, at, ray, gathered, cube, frame);
                    if let Some(h) = curvature.next() {
                        set(&mut frame.curvature, at, *h);
                    }
                }
            }
        }
    }

    fn hit(&self, i: usize, at: usize, ray: &Ray, gathered: &Gathered, cube: UnitCube, frame: &mut Frame) {
        let mean = 1.0 / gathered.alpha();
        let depth = (gathered.depth * mean) as f64 * cube.size;
        set(&mut frame.depth_ray, at, depth as f32);
        set(&mut frame.depth_z, at, (depth * ray.cosine) as f32);
        set(&mut frame.position, at, (ray.origin + ray.direction * depth).as_vec3().to_array());
        set(&mut frame.normal, at, gathered.normal.normalize_or_zero().to_array());
        set(&mut frame.grad_s, at, gathered.grad_s * mean);
        set(&mut frame.residual, at, gathered.residual * mean);
        let width = frame.spectrum_width;
        if !frame.spectrum.is_empty() && !self.centre.spectrum.is_empty() {
            let (to, from) = (&mut frame.spectrum[at * width..][..width], &self.centre.spectrum[i * width..][..width]);
            to.iter_mut().zip(from).for_each(|(to, from)| *to = from * mean);
        }
    }
}

fn set<T>(layer: &mut [T], at: usize, value: T) {
    if let Some(slot) = layer.get_mut(at) {
        *slot = value;
    }
}

fn copy<T: Copy>(layer: &mut [T], at: usize, values: &[T], i: usize) {
    if let Some(value) = values.get(i) {
        set(layer, at, *value);
    }
}
