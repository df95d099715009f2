//! One tile of a frame: its rays, their integrals, and the layers made of them.

use glam::{DVec3, Vec3};
use nstr_camera::CameraModel;
use nstr_image::colour::{Background, linear_from_srgb, srgb_from_linear};
use nstr_space::{Ray, SceneMap, VolumePath};

use crate::curvature::{CURVATURE_SAMPLES, mean_curvature};
use crate::frame::{Frame, RenderStats};
use crate::layers::Layer;
use crate::sampling;
use crate::section;
use crate::section::{Interval, Plane, SectionHit};
use crate::settings::RenderSettings;
use crate::tile_rect::TileRect;
use crate::volume::march::{GatherFlags, MarchRay, Marcher, RayBundle, RayIntegral};
use crate::volume::{ViewPixels, VolumeRenderer};

/// Rays in flight at once, so that memory stays bounded with many samples.
const PACKET: usize = 8192;
/// Least cover of a pixel that has depth, position, normal and spectrum.
const COVERED: f32 = 0.01;

/// Data that the tiles of a frame share.
pub(super) struct VolumeTileJob<'a> {
    pub renderer: &'a VolumeRenderer<'a>,
    pub view: &'a dyn CameraModel,
    pub plane: Option<Plane>,
    /// Pixels of the image to render, if not all.
    pub mask: Option<&'a [bool]>,
}

/// Layers of one tile.
#[derive(Default)]
pub(super) struct Output {
    colour: Vec<[f32; 4]>,
    alpha: Vec<f32>,
    /// The rays through the pixels' centres.
    rays: Vec<Ray>,
    /// World distances at the pixels' mean arc lengths; for covered pixels.
    depths: Vec<f64>,
    centre: RayBundle,
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
fn linear(ray: &RayIntegral, background: Background, behind: Option<Vec3>) -> [f32; 4] {
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

/// World distance at a ray's mean arc length. What lies at infinity is put as far away as its numbers can tell, so that it has
/// a position and is no miss.
fn depth(path: &VolumePath, ray: &RayIntegral) -> f64 {
    // As the other means are taken.
    let mean = ray.depth * (1.0 / ray.alpha());
    match path.distance(mean) {
        f64::INFINITY => f64::from(f32::MAX) * 0.25,
        depth => depth,
    }
}

/// A plane that shows the field, met by a ray.
struct PlaneHit {
    /// Distance in units of the map's length scale, and the normal.
    at: SectionHit,
    /// What is left begins at the plane: nothing is seen before it.
    is_entered: bool,
}

impl VolumeTileJob<'_> {
    /// Marches the tile and makes its layers.
    pub fn render(&self, area: TileRect, settings: &RenderSettings) -> Output {
        let layers = settings.layers;
        let shared = settings.samples == 1;
        let mut out = Output::default();
        if layers.needs_centre() || (shared && layers.needs_colour()) {
            let flags = GatherFlags {
                colour: shared && layers.contains(Layer::Colour),
                normal: layers.contains(Layer::Normal),
                spectrum: [Layer::Spectrum, Layer::SpectrumGradientNorm, Layer::Residual]
                    .iter()
                    .any(|l| layers.contains(*l)),
            };
            (out.rays, out.depths, out.centre) = self.centre(area, flags, &mut out.stats);
            if layers.contains(Layer::Curvature) {
                self.curvature(&mut out);
            }
        }
        if shared && layers.needs_colour() {
            let behind = srgb(settings.background);
            out.colour = out.centre.rays.iter().map(|r| linear(r, settings.background, behind)).collect();
            out.alpha = out.centre.rays.iter().map(RayIntegral::alpha).collect();
        } else if layers.needs_colour() {
            self.multisample(area, settings, &mut out);
        }
        out
    }

    /// The tile's pixels, see [`ViewPixels`].
    pub fn pixels(&self, area: TileRect, background: Option<[f32; 3]>) -> ViewPixels {
        let flags = GatherFlags { colour: background.is_some(), ..GatherFlags::default() };
        let (_, depths, bundle) = self.centre(area, flags, &mut RenderStats::default());
        let over = |background: [f32; 3]| {
            let over = |r: &RayIntegral| (r.colour + Vec3::from(background) * r.transmittance).to_array();
            bundle.rays.iter().map(over).collect()
        };
        let depth = |(ray, depth): (&RayIntegral, &f64)| {
            if ray.alpha() >= COVERED { *depth as f32 } else { f32::INFINITY }
        };
        ViewPixels {
            colours: background.map_or(Vec::new(), over),
            opacity: bundle.rays.iter().map(RayIntegral::alpha).collect(),
            depth: bundle.rays.iter().zip(&depths).map(depth).collect(),
        }
    }

    /// Opacity of each pixel's ray up to a world distance.
    pub fn opacity_within(&self, area: TileRect, distance: f64) -> Vec<f32> {
        let march_ray = |i: usize| {
            let (x, y) = area.pixel(i);
            let ray = self.march_ray(&self.view.ray(x as f64 + 0.5, y as f64 + 0.5), 0.5);
            MarchRay { path: ray.path.cut(f32::NEG_INFINITY, ray.path.arc(distance)), ..ray }
        };
        let march_rays: Vec<MarchRay> = (0..area.len()).map(march_ray).collect();
        let bundle = self.march(&march_rays, GatherFlags::default(), &mut RenderStats::default());
        bundle.rays.iter().map(RayIntegral::alpha).collect()
    }

    /// Marches the rays through the pixels' centres: the rays, the world distances of their mean depths, their integrals.
    fn centre(&self, area: TileRect, flags: GatherFlags, stats: &mut RenderStats) -> (Vec<Ray>, Vec<f64>, RayBundle) {
        let rays: Vec<Ray> = (0..area.len())
            .map(|i| {
                let (x, y) = area.pixel(i);
                self.view.ray(x as f64 + 0.5, y as f64 + 0.5)
            })
            .collect();
        let march_ray = |(i, ray): (usize, &Ray)| {
            let whole = self.march_ray(ray, 0.5);
            match area.is_wanted(self.mask, i, self.view.size().0) {
                true => whole,
                // A far end before the near one: nothing is left.
                false => MarchRay { path: whole.path.cut(0.0, -1.0), shown: None, ..whole },
            }
        };
        let march_rays: Vec<MarchRay> = rays.iter().enumerate().map(march_ray).collect();
        let bundle = self.march(&march_rays, flags, stats);
        let depths = march_rays.iter().zip(&bundle.rays).map(|(m, ray)| depth(&m.path, ray)).collect();
        (rays, depths, bundle)
    }

    /// Mean curvature of the density's level sets at the points of expected depth; where the map is no similarity, of the level
    /// sets as they lie in the unit cube.
    fn curvature(&self, out: &mut Output) {
        let Self { renderer, .. } = *self;
        let rays = out.rays.iter().zip(&out.depths).zip(&out.centre.rays);
        let seen = rays.filter(|(_, g)| g.alpha() >= COVERED);
        let point = |((ray, depth), g): ((&Ray, &f64), &RayIntegral)| match renderer.map {
            SceneMap::Box(cube) => {
                let depth = f64::from(g.depth / g.alpha());
                (cube.to_unit(ray.origin) + ray.direction * depth).as_vec3()
            }
            map => map.to_unit(ray.origin + ray.direction * *depth).as_vec3(),
        };
        let points: Vec<Vec3> = seen.map(point).collect();
        // Density falls outwards.
        let outward = |points: &[Vec3], gradient: &mut [Vec3]| {
            renderer.source.density_gradient(points, &mut vec![0.0; points.len()], gradient);
            gradient.iter_mut().for_each(|g| *g = -*g);
        };
        let scale = (1.0 / renderer.map.length_scale()) as f32;
        out.curvature = mean_curvature(&points, outward).into_iter().map(|h| h * scale).collect();
        out.stats.gradient_evals += (CURVATURE_SAMPLES * points.len()) as u64;
    }

    /// Colour and alpha from several rays a pixel.
    fn multisample(&self, area: TileRect, settings: &RenderSettings, out: &mut Output) {
        let (count, behind) = (settings.samples, srgb(settings.background));
        let flags = GatherFlags { colour: settings.layers.contains(Layer::Colour), ..GatherFlags::default() };
        out.colour = vec![[0.0; 4]; area.len()];
        out.alpha = vec![0.0; area.len()];
        let share = 1.0 / count as f32;
        let per_pass = (PACKET / area.len()).max(1);
        for first in (0..count).step_by(per_pass) {
            let last = (first + per_pass as u32).min(count);
            let of = |i: usize| (first..last).map(move |s| (i, s));
            let wanted = (0..area.len()).filter(|i| area.is_wanted(self.mask, *i, self.view.size().0));
            let places: Vec<(usize, u32)> = wanted.flat_map(of).collect();
            let march_ray = |(i, s): &(usize, u32)| {
                let (x, y) = area.pixel(*i);
                let (u, v) = sampling::offset(x, y, *s, count, settings.seed, settings.filter);
                // The golden ratio's multiples spread the samples of a pixel over their strata too.
                let jitter = (0.5 + *s as f64 * 0.618_033_988_749_895).fract() as f32;
                self.march_ray(&self.view.ray(x as f64 + u, y as f64 + v), jitter)
            };
            let march_rays: Vec<MarchRay> = places.iter().map(march_ray).collect();
            let bundle = self.march(&march_rays, flags, &mut out.stats);
            for ((i, _), ray) in places.iter().zip(&bundle.rays) {
                let colour = linear(ray, settings.background, behind);
                (0..4).for_each(|c| out.colour[*i][c] += colour[c] * share);
                out.alpha[*i] += ray.alpha() * share;
            }
        }
    }

    fn march_ray(&self, ray: &Ray, jitter: f32) -> MarchRay {
        let whole = self.renderer.map.path(ray, 0.0, f64::INFINITY);
        let near = whole.scaled_arc(f64::from(self.renderer.settings.near));
        let colour = ray.direction.as_vec3();
        let opacity = self.plane.map_or(1.0, |plane| plane.opacity());
        let march_ray =
            |near, far, shown| MarchRay { path: whole.cut(near, far), direction: colour, jitter, shown, opacity };
        let Some(plane) = &self.plane else { return march_ray(near, f32::INFINITY, None) };
        let (origin, direction) = (self.renderer.map.world_frame().to_unit(ray.origin), ray.direction);
        // The far end lies before the near one where nothing is left.
        let (from, to) = plane.clip_interval(origin, direction).unwrap_or((0.0, -1.0));
        let (from, to) = (near.max(whole.scaled_arc(from)), whole.scaled_arc(to));
        let Some(hit) = self.section_hit(plane, origin, direction) else { return march_ray(from, to, None) };
        let t = whole.scaled_arc(hit.at.t);
        let is_reached = t >= near && whole.pieces().last().is_some_and(|piece| t <= piece.ray.far);
        match (is_reached, hit.is_entered) {
            (false, _) => march_ray(from, to, None),
            (true, true) if opacity >= 1.0 => march_ray(from, -1.0, Some((t, hit.at.normal))),
            (true, true) => march_ray(from, to, Some((t, hit.at.normal))),
            (true, false) => march_ray(from, to, Some((t, hit.at.normal))),
        }
    }

    /// The plane where a ray meets it within what is modelled.
    fn section_hit(&self, plane: &Plane, origin: DVec3, direction: DVec3) -> Option<PlaneHit> {
        if self.renderer.map.is_box() {
            let Interval { enter, shown, .. } = section::clip(origin, direction, Some(plane))?;
            return shown.map(|at| PlaneHit { at, is_entered: at.t <= enter });
        }
        let (at, is_entered) = plane.hit(origin, direction)?;
        Some(PlaneHit { at, is_entered })
    }

    fn march(&self, march_rays: &[MarchRay], flags: GatherFlags, stats: &mut RenderStats) -> RayBundle {
        let settings = self.renderer.settings;
        let marcher = Marcher {
            source: self.renderer.source,
            map: self.renderer.map,
            step: settings.step,
            cone: settings.cone,
            min_transmittance: settings.min_transmittance,
            flags,
        };
        let bundle = marcher.run(march_rays, stats);
        stats.rays += march_rays.len() as u64;
        stats.hits += bundle.rays.iter().filter(|r| r.alpha() >= COVERED).count() as u64;
        bundle
    }
}

impl Output {
    /// Copies the tile into the frame's layers, those that the frame has.
    pub fn store(&self, area: TileRect, frame: &mut Frame) {
        frame.stats.add(&self.stats);
        let width = frame.width;
        let mut curvature = self.curvature.iter();
        for i in 0..area.len() {
            let at = area.place(i, width);
            if let (Some(colour), Some(alpha)) = (self.colour.get(i), self.alpha.get(i)) {
                frame.set(Layer::Colour, at, colour);
                frame.set(Layer::Alpha, at, &[*alpha]);
            }
            if let (Some(ray), Some(integral)) = (self.rays.get(i), self.centre.rays.get(i)) {
                frame.set(Layer::Steps, at, &[integral.steps as f32]);
                if integral.alpha() >= COVERED {
                    self.hit(i, at, ray, integral, frame);
                    if let Some(h) = curvature.next() {
                        frame.set(Layer::Curvature, at, &[*h]);
                    }
                }
            }
        }
    }

    fn hit(&self, i: usize, at: usize, ray: &Ray, integral: &RayIntegral, frame: &mut Frame) {
        let mean = 1.0 / integral.alpha();
        let depth = self.depths.get(i).copied().unwrap_or(f64::INFINITY);
        frame.set(Layer::DepthRay, at, &[depth as f32]);
        frame.set(Layer::DepthZ, at, &[(depth * ray.cosine) as f32]);
        frame.set(Layer::Position, at, &(ray.origin + ray.direction * depth).as_vec3().to_array());
        frame.set(Layer::Normal, at, &integral.normal.normalize_or_zero().to_array());
        frame.set(Layer::SpectrumGradientNorm, at, &[integral.grad_s * mean]);
        frame.set(Layer::Residual, at, &[integral.residual * mean]);
        let width = frame.spectrum_width;
        if !frame.spectrum.is_empty() && !self.centre.spectrum.is_empty() {
            let spectrum: Vec<f32> = self.centre.spectrum[i * width..][..width].iter().map(|s| s * mean).collect();
            frame.set(Layer::Spectrum, at, &spectrum);
        }
    }
}
