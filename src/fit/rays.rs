//! Training rays of a radiance field: random pixels of all images, marched through the occupied cells.

use std::sync::Arc;

use glam::Vec3;
use nstr_backend::device_rays::RayPieces;
use nstr_capture::{LensCamera, View, is_object};
use nstr_image::colour::Background;
use nstr_kernel::{DepthLoss, RayBatch, RayResults};
use nstr_space::occupancy::{Occupancy, RaySampling};
use nstr_space::{SceneMap, VolumePath};
use nstr_spec::config::ConfigError;
use rand::RngExt;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::check::{check, check_below_one, check_count, check_not_negative};
use crate::depth::{DepthConfig, KnownDepths};
use crate::error_guide::ErrorGuide;
use crate::exposure::AffineColour;
use crate::usable_pixels::UsablePixels;

/// Drawing and marching of rays; `--set rays.key=value` reaches each. Lengths are in field coordinates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RayConfig {
    /// Samples that a step evaluates, about; the number of rays follows.
    #[serde(alias = "samples")]
    pub samples_per_step: usize,
    /// Most rays of a step.
    #[serde(alias = "most")]
    pub max_rays: usize,
    /// Length of a step along a ray.
    pub step: f32,
    /// Growth of the step with the distance from the camera: `max(step, cone · t)`; 0: none.
    pub cone: f32,
    /// Most samples of a ray.
    #[serde(alias = "limit")]
    pub max_samples_per_ray: usize,
    /// Transmittance below which a ray ends, 0 to below 1.
    pub min_transmittance: f32,
    /// Background that images are composited over in training, and that shows behind the field there: `random`, or one
    /// of [`Background`]'s. A capture with a plain background puts its colour in place of the default `random`.
    pub background: String,
    /// Weight of the distortion term.
    pub distortion: f32,
    /// Distance from the camera, in edges of the scene's cube ([`SceneMap::cube`]), up to which gradients of density and
    /// colour are scaled down by the square of the distance over it (Philip & Deschaintre 2023); 0: they are not.
    #[serde(default)]
    pub gradient_scaling: f32,
    /// Distance from the camera, in edges of the scene's cube, before which the first step samples no ray. It falls evenly
    /// to the near distance; 0, or less than that: the near distance from the first step on.
    #[serde(default)]
    pub near_start: f32,
    /// Steps that the fall of `near_start` takes.
    #[serde(default = "near_steps")]
    pub near_steps: u64,
    /// Share of the rays that go through blocks of the images drawn by their errors, 0 to below 1, which falls as the fit goes on; 0:
    /// every pixel is as likely. On the CPU alone.
    #[serde(default)]
    pub error_share: f32,
    /// Blocks along the longer side of an image whose errors are kept.
    #[serde(default = "error_blocks")]
    pub error_blocks: u32,
}

fn near_steps() -> u64 {
    500
}

fn error_blocks() -> u32 {
    64
}

impl Default for RayConfig {
    fn default() -> Self {
        Self {
            samples_per_step: 1 << 15,
            max_rays: 1 << 16,
            step: 1.0 / 300.0,
            cone: 0.0,
            max_samples_per_ray: 1024,
            min_transmittance: 1e-3,
            background: "random".into(),
            distortion: 0.0,
            gradient_scaling: 0.0,
            near_start: 0.0,
            near_steps: near_steps(),
            error_share: 0.0,
            error_blocks: error_blocks(),
        }
    }
}

/// Samples that the rays of one step may have in all, if each takes as many as it may: 20 bytes each.
const MAX_STEP_SAMPLES: usize = 1 << 28;

impl RayConfig {
    /// The one colour that the field is trained over, or `None` where it is random.
    pub fn fixed_background(&self) -> Option<Background> {
        self.background.parse::<Background>().ok().filter(|b| b.srgb().is_some())
    }

    /// Most rays of a step that fit into memory however many samples they meet, at least 1.
    pub(crate) fn ray_limit(&self) -> usize {
        self.max_rays.min(MAX_STEP_SAMPLES / self.max_samples_per_ray.max(1)).max(1)
    }

    /// World distance before which the rays of a step (from 0) are not sampled; `near` is the scene's, `edge` that of its cube.
    fn near_at(&self, step: u64, near: f64, edge: f64) -> f64 {
        let start = f64::from(self.near_start) * edge;
        if start <= near || step >= self.near_steps {
            return near;
        }
        start + (near - start) * (step as f64 / self.near_steps as f64)
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_count("rays.samples_per_step", self.samples_per_step as u64, 1 << 24)?;
        check_count("rays.max_rays", self.max_rays as u64, 1 << 22)?;
        check_count("rays.max_samples_per_ray", self.max_samples_per_ray as u64, 1 << 16)?;
        let step = f64::from(self.step);
        check("rays.step", step, (1e-5..=0.1).contains(&step), "must be 0.00001 to 0.1 of the cube's edge")?;
        check("rays.cone", f64::from(self.cone), (0.0..=0.1).contains(&self.cone), "must be 0 to 0.1")?;
        check_below_one(&[("rays.min_transmittance", f64::from(self.min_transmittance))])?;
        check_not_negative(&[("rays.distortion", f64::from(self.distortion))])?;
        let (reach, start) = (f64::from(self.gradient_scaling), f64::from(self.near_start));
        let edges = "of the scene cube's edge";
        check("rays.gradient_scaling", reach, (0.0..=100.0).contains(&reach), &format!("must be 0 to 100 {edges}"))?;
        check("rays.near_start", start, (0.0..=10.0).contains(&start), &format!("must be 0 to 10 {edges}"))?;
        check_count("rays.near_steps", self.near_steps, 1 << 32)?;
        check_below_one(&[("rays.error_share", f64::from(self.error_share))])?;
        check_count("rays.error_blocks", u64::from(self.error_blocks), 1024)?;
        if self.background == "random" {
            return Ok(());
        }
        let unusable = |expected: String| ConfigError::Value {
            key: "rays.background".into(),
            value: self.background.clone(),
            expected,
        };
        let colour: Background = self.background.parse().map_err(|e| unusable(format!("random, or {e}")))?;
        colour.srgb().map(|_| ()).ok_or_else(|| unusable("must be random or an opaque colour".into()))
    }
}

/// What all rays of a step are drawn with.
struct StepDraw<'a> {
    config: &'a RayConfig,
    occupancy: &'a Occupancy,
    /// Background where it is one colour.
    background: Option<[f32; 3]>,
    corrections: ViewCorrections<'a>,
    /// The step, from 0.
    step: u64,
    /// Errors that a share of the pixels is drawn by.
    guide: Option<&'a ErrorGuide>,
    /// World distance before which rays are not sampled.
    near: f64,
    /// World distance up to which gradients are scaled down, where they are.
    scaled_up_to: Option<f64>,
}

/// Draws rays through pixels of all images, as paths through the field's unit cube.
pub struct RaySampler {
    views: Arc<Vec<View>>,
    /// First pixel of each view, and past the last the total.
    starts: Vec<u64>,
    map: SceneMap,
    /// World distance before which rays are not sampled.
    near: f64,
    /// Where masks leave pixels out.
    masked: Option<UsablePixels>,
    /// No pixel of any image lets light through.
    opaque: bool,
    /// Depths of the views, where they are used.
    depths: Option<KnownDepths>,
}

/// A pixel of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RayPixel {
    /// Number of the view.
    pub view: u32,
    /// Number of the pixel in it, row by row.
    pub index: u32,
}

/// Rays with the pixels that they go through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DrawnRays {
    /// The rays with their samples.
    pub rays: RayBatch,
    /// The pixel of each ray.
    pub pixels: Vec<RayPixel>,
}

/// What is known better about the views than their capture says; the default is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ViewCorrections<'a> {
    /// Cameras in place of the views' own.
    pub cameras: Option<&'a [LensCamera]>,
    /// Affine colours of the images, which are undone.
    pub colours: Option<&'a [AffineColour]>,
}

/// Most tries to find a pixel that the capture's masks let pass; then one of them is drawn by its number.
pub(crate) const TRIES: usize = 64;
/// Share of usable pixels below which trying is no use: 1 in so many.
const SPARSE: u64 = 16;
/// Rays drawn by one job.
const JOB: usize = 128;

impl RaySampler {
    /// The pixels of `views`, which must be loaded; `map` takes the world, or the cube that is modelled, to the field's unit
    /// cube. `None` where there are none, or masks leave
    /// all of them out.
    pub fn new(views: Arc<Vec<View>>, map: impl Into<SceneMap>, near: f64) -> Option<Self> {
        let mut starts = vec![0];
        for view in views.iter() {
            starts.push(starts[starts.len() - 1] + view.image.pixels.len() as u64);
        }
        let total = starts[starts.len() - 1];
        let masked = views.iter().any(|v| v.mask.is_some()).then(|| UsablePixels::new(&views));
        let usable = masked.as_ref().map_or(total, UsablePixels::total);
        let masked = masked.filter(|_| usable < total);
        let opaque = views.par_iter().all(|view| view.image.pixels.iter().all(|p| p[3] == 255));
        (usable > 0).then_some(Self { views, starts, map: map.into(), near, masked, opaque, depths: None })
    }

    /// Draws rays that know their depth too, where the views know any and `config` asks for them.
    pub fn with_depths(mut self, config: &DepthConfig) -> Self {
        self.depths = KnownDepths::new(&self.views, config);
        self
    }

    /// The comparison with the depths of rays after a fraction of the budget; `None` where there is none.
    pub fn depth_loss(&self, progress: f64) -> Option<DepthLoss> {
        self.depths.as_ref()?.loss(progress)
    }

    /// `true` where rays may know their depth.
    pub fn has_depths(&self) -> bool {
        self.depths.is_some()
    }

    /// The images.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// Map from the world to the field's unit cube.
    pub fn map(&self) -> SceneMap {
        self.map
    }

    /// World distance before which rays are not sampled.
    pub fn near(&self) -> f64 {
        self.near
    }

    /// A random pixel that no mask leaves out: view and index in it.
    fn pixel(&self, rng: &mut Pcg64) -> (usize, usize) {
        let total = self.starts[self.starts.len() - 1];
        let is_sparse = |m: &UsablePixels| m.total() < total / SPARSE;
        let tries = if self.masked.as_ref().is_some_and(is_sparse) { 0 } else { TRIES };
        let mut found = (0, 0);
        for _ in 0..tries {
            let at = rng.random_range(0..total);
            let v = self.starts.partition_point(|s| *s <= at) - 1;
            found = (v, (at - self.starts[v]) as usize);
            if self.views[v].usable(found.1) {
                return found;
            }
        }
        // Without masks the first try has succeeded.
        let Some(masked) = &self.masked else { return found };
        masked.find(&self.views, rng.random_range(0..masked.total()))
    }

    /// `true` if any of a sparse lattice of pixels looks into the cube, beyond the near distance.
    pub fn looks_inside(&self) -> bool {
        const SIDE: u32 = 16;
        let whole = Occupancy::from_bits(16, |_| true);
        let steps = RaySampling { step: 0.01, cone: 0.0, jitter: 0.5 };
        let at = |size: u32, i: u32| (f64::from(i) + 0.5) / f64::from(SIDE) * f64::from(size);
        self.views.par_iter().any(|view| {
            (0..SIDE * SIDE).any(|i| {
                let (x, y) = (at(view.image.width, i % SIDE), at(view.image.height, i / SIDE));
                let path = self.map.path(&view.ray(x, y), self.near, f64::INFINITY);
                let mut met = false;
                whole.march(&path, &steps, |_| {
                    met = true;
                    false
                });
                met
            })
        })
    }

    /// `count` random rays with their samples in the occupied cells. The same for the same seed, step and occupancy.
    pub fn draw(&self, config: &RayConfig, occupancy: &Occupancy, seed: u64, step: u64, count: usize) -> RayBatch {
        self.draw_corrected(config, occupancy, [seed, step], count, ViewCorrections::default(), None).rays
    }

    /// [`Self::draw`] with corrected views and pixels drawn by a guide, and the pixels that the rays go through. `at` is seed and
    /// step.
    pub(crate) fn draw_corrected(
        &self,
        config: &RayConfig,
        occupancy: &Occupancy,
        at: [u64; 2],
        count: usize,
        corrections: ViewCorrections<'_>,
        guide: Option<&ErrorGuide>,
    ) -> DrawnRays {
        let draw = StepDraw { guide, ..self.step_draw(config, occupancy, at[1], corrections) };
        let empty = || {
            let rays = RayBatch { first: vec![0], ..RayBatch::default() };
            DrawnRays { rays, pixels: Vec::new() }
        };
        join(&in_jobs(at, count, empty, |drawn, picked| self.push(&draw, picked, drawn), |rng| self.pick(&draw, rng)))
    }

    /// The rays of [`Self::draw`] before they are marched, for a device that does so itself; factors of their samples' gradients
    /// are not among them. `at` is seed and step.
    pub fn draw_pieces(&self, config: &RayConfig, occupancy: &Occupancy, at: [u64; 2], count: usize) -> RayPieces {
        let draw = self.step_draw(config, occupancy, at[1], ViewCorrections::default());
        let push = |pieces: &mut RayPieces, picked: &PickedPixel| {
            let DrawnRay { path, steps, direction, target, background, .. } = self.ray(&draw, picked);
            let (first, mut strata) = (pieces.pieces.len(), 0);
            occupancy.march_pieces(&path, &steps, |piece, count| {
                pieces.pieces.push(piece);
                strata += count as usize;
            });
            pieces.strata += strata.min(config.max_samples_per_ray) as u64;
            let mut record = [0.0; 9];
            record.copy_from_slice([direction, target, background].as_flattened());
            pieces.push_ray(first, &steps, record);
        };
        let parts = in_jobs(at, count, RayPieces::default, push, |rng| self.pick(&draw, rng));
        let mut all = RayPieces::default();
        parts.iter().for_each(|part| all.append(part));
        all
    }

    /// What the rays of a step (from 0) are drawn with.
    fn step_draw<'a>(
        &self,
        config: &'a RayConfig,
        occupancy: &'a Occupancy,
        step: u64,
        corrections: ViewCorrections<'a>,
    ) -> StepDraw<'a> {
        let edge = self.map.cube().size;
        StepDraw {
            config,
            occupancy,
            background: config.fixed_background().and_then(Background::srgb),
            corrections,
            step,
            guide: None,
            near: config.near_at(step, self.near, edge),
            scaled_up_to: Some(f64::from(config.gradient_scaling) * edge).filter(|reach| *reach > 0.0),
        }
    }

    fn push(&self, draw: &StepDraw<'_>, picked: &PickedPixel, to: &mut DrawnRays) {
        let StepDraw { config, occupancy, scaled_up_to, .. } = *draw;
        let DrawnRay { pixel, path, steps, direction, target, background, depth } = self.ray(draw, picked);
        to.pixels.push(pixel);
        let to = &mut to.rays;
        if self.depths.is_some() {
            to.depth.push(depth);
        }
        to.target.extend(target);
        to.background.extend(background);
        to.direction.extend(direction);
        let end = to.t.len() + config.max_samples_per_ray;
        occupancy.march(&path, &steps, |sample| {
            to.x.extend(sample.position.clamp(Vec3::ZERO, Vec3::ONE).to_array());
            to.t.push(sample.t);
            to.dt.push(sample.dt);
            if let Some(reach) = scaled_up_to {
                // In the world: arc lengths along bent paths are no distances.
                let share = path.distance(sample.t) / reach;
                to.gradient_scale.push((share * share).min(1.0) as f32);
            }
            to.t.len() < end
        });
        to.first.push(to.t.len() as u32);
    }

    /// A random pixel, with all that is random about its ray.
    #[inline(always)]
    fn pick(&self, draw: &StepDraw<'_>, rng: &mut Pcg64) -> PickedPixel {
        let known = self.depths.as_ref().and_then(|depths| depths.pixel(rng.random()));
        let known = known.or_else(|| draw.guide?.pixel(draw.step, &self.views, rng));
        let (number, index) = known.map_or_else(|| self.pixel(rng), |p| (p.view as usize, p.index as usize));
        let image = &self.views[number].image;
        let jitter = rng.random();
        let fixed = draw.background.filter(|colour| {
            let bytes = colour.map(|v| (v * 255.0).round() as u8);
            !(self.opaque && is_object(image, index, bytes))
        });
        let background = fixed.unwrap_or_else(|| rng.random());
        PickedPixel { number, index, jitter, background, colour: image.pixels[index] }
    }

    /// The ray through a pixel.
    #[inline(always)]
    fn ray(&self, draw: &StepDraw<'_>, picked: &PickedPixel) -> DrawnRay {
        let StepDraw { config, corrections, near, .. } = *draw;
        let PickedPixel { number, index, jitter, background, colour } = *picked;
        let view = &self.views[number];
        let width = view.image.width as usize;
        let [x, y] = [index % width, index / width].map(|v| v as f64 + 0.5);
        let ray = corrections.cameras.map_or_else(|| view.ray(x, y), |cameras| cameras[number].ray(x, y));
        let path = self.map.path(&ray, near, f64::INFINITY);
        let distance = self.depths.as_ref().and_then(|_| KnownDepths::distance(view, index, ray.cosine));
        let [r, g, b, a] = colour.map(|v| f32::from(v) / 255.0);
        let colour = corrections.colours.map_or([r, g, b], |colours| colours[number].undo([r, g, b]));
        DrawnRay {
            pixel: RayPixel { view: number as u32, index: index as u32 },
            path,
            steps: RaySampling { step: config.step, cone: config.cone, jitter },
            // Colours depend on the direction in the world, whatever the path does.
            direction: ray.direction.as_vec3().to_array(),
            target: std::array::from_fn(|c| colour[c] * a + background[c] * (1.0 - a)),
            background,
            depth: distance.map_or(f32::NAN, |distance| path.arc(distance)),
        }
    }
}

/// A pixel that was drawn.
#[derive(Clone, Copy)]
struct PickedPixel {
    /// Number of its view, and of the pixel in it.
    number: usize,
    index: usize,
    /// Place of the ray's samples in their strata, 0 to 1.
    jitter: f32,
    background: [f32; 3],
    /// Colour and opacity as the image has them.
    colour: [u8; 4],
}

/// A ray that was drawn, before it is marched.
struct DrawnRay {
    pixel: RayPixel,
    path: VolumePath,
    steps: RaySampling,
    /// Unit direction in the world.
    direction: [f32; 3],
    /// Colour of the pixel over the background.
    target: [f32; 3],
    background: [f32; 3],
    /// Arc length along the path at the pixel's depth; NaN where none is known.
    depth: f32,
}

/// Mean of each ray's squared errors over the channels.
pub(crate) fn mean_squares(rays: &RayBatch, results: &RayResults) -> impl Iterator<Item = f32> {
    let pairs = results.colour.as_chunks::<3>().0.iter().zip(rays.target.as_chunks::<3>().0);
    pairs.map(|(shown, target)| shown.iter().zip(target).map(|(s, t)| (s - t) * (s - t)).sum::<f32>() / 3.0)
}

/// Draws `count` rays in fixed jobs, each with random numbers of its own: pushes what `pick` draws to an `empty` batch each. `at` is
/// seed and step. A job's pixels are all picked first: each is somewhere else in memory, and so their waits overlap.
fn in_jobs<T: Send>(
    at: [u64; 2],
    count: usize,
    empty: impl Fn() -> T + Sync,
    push: impl Fn(&mut T, &PickedPixel) + Sync,
    pick: impl Fn(&mut Pcg64) -> PickedPixel + Sync,
) -> Vec<T> {
    let [seed, step] = at;
    let jobs = (0..count.div_ceil(JOB)).into_par_iter();
    jobs.map(|job| {
        let mut rng = Pcg64::new(u128::from(seed) ^ 0x7a75_0000, u128::from(step) << 32 | job as u128);
        let picked: Vec<PickedPixel> = (0..JOB.min(count - job * JOB)).map(|_| pick(&mut rng)).collect();
        let mut drawn = empty();
        picked.iter().for_each(|pixel| push(&mut drawn, pixel));
        drawn
    })
    .collect()
}

/// One batch of all parts, in their order. Samples are most of it: half of their numbers are copied by another thread.
fn join(parts: &[DrawnRays]) -> DrawnRays {
    let all = |of: fn(&RayBatch) -> &[f32]| parts.iter().map(|part| of(&part.rays)).collect::<Vec<_>>().concat();
    let positions = || (all(|rays| &rays.x), all(|rays| &rays.gradient_scale));
    let rest = || {
        let mut first = vec![0];
        for part in parts {
            let base = first[first.len() - 1];
            first.extend(part.rays.first[1..].iter().map(|f| f + base));
        }
        let rays = RayBatch {
            first,
            t: all(|rays| &rays.t),
            dt: all(|rays| &rays.dt),
            direction: all(|rays| &rays.direction),
            target: all(|rays| &rays.target),
            background: all(|rays| &rays.background),
            depth: all(|rays| &rays.depth),
            ..RayBatch::default()
        };
        (rays, parts.iter().map(|part| part.pixels.as_slice()).collect::<Vec<_>>().concat())
    };
    let ((x, gradient_scale), (rays, pixels)) = rayon::join(positions, rest);
    DrawnRays { rays: RayBatch { x, gradient_scale, ..rays }, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::{DMat4, DVec3};
    use nstr_camera::camera::Camera;
    use nstr_capture::{Image, Lens};
    use nstr_space::Cube;

    const SIDE: usize = 100;

    fn sampler(masks: Vec<Option<Vec<bool>>>) -> Option<RaySampler> {
        let view = |mask: Option<Vec<bool>>| {
            let camera = Camera::with_fov_y(SIDE as u32, SIDE as u32, 40.0, DMat4::IDENTITY).unwrap();
            let pixels = vec![[9, 9, 9, 255]; SIDE * SIDE];
            let image = Image { width: SIDE as u32, height: SIDE as u32, pixels };
            View { name: String::new(), camera, lens: Lens::Pinhole, image, mask, depth: None }
        };
        let views = Arc::new(masks.into_iter().map(view).collect::<Vec<View>>());
        RaySampler::new(views, Cube { origin: DVec3::splat(-1.0), size: 2.0 }, 0.1)
    }

    /// Views and pixels of 2000 draws.
    fn drawn(sampler: &RaySampler) -> Vec<(usize, usize)> {
        let mut rng = Pcg64::new(7, 1);
        (0..2000).map(|_| sampler.pixel(&mut rng)).collect()
    }

    #[test]
    fn masked_pixels_are_never_drawn_however_few_are_left() {
        for keep in [2, 50, 1000, 20_000] {
            // One in so many of both views together.
            let mask = |v: usize| Some((0..SIDE * SIDE).map(|i| (v * SIDE * SIDE + i) % keep == 1).collect::<Vec<_>>());
            let sampler = sampler(vec![mask(0), mask(1)]).unwrap();
            let all = drawn(&sampler);
            assert!(all.iter().all(|(v, i)| sampler.views[*v].usable(*i)), "1 in {keep}");
            let different: std::collections::BTreeSet<_> = all.iter().collect();
            let usable = 2 * SIDE * SIDE / keep;
            assert!(different.len() >= (usable * 9 / 10).min(700), "{} of {usable}", different.len());
        }
        assert!(sampler(vec![Some(vec![false; SIDE * SIDE]); 2]).is_none(), "nothing to draw from");
    }

    #[test]
    fn samples_of_open_scenes_lie_where_the_map_takes_the_rays() {
        let views = sampler(vec![None]).unwrap().views;
        let map = SceneMap::Open(Cube { origin: DVec3::splat(-0.25), size: 0.5 });
        let sampler = RaySampler::new(views.clone(), map, 0.1).unwrap();
        assert!(sampler.looks_inside());
        let batch = sampler.draw(&RayConfig::default(), &Occupancy::full(16), 3, 5, 64);
        assert_eq!(batch.first.len(), 65);
        let mut beyond = 0;
        for (i, range) in batch.first.windows(2).enumerate() {
            let direction = Vec3::from_slice(&batch.direction[3 * i..3 * i + 3]).as_dvec3();
            for k in range[0] as usize..range[1] as usize {
                let place = Vec3::from_slice(&batch.x[3 * k..3 * k + 3]).as_dvec3();
                let Some(world) = map.to_world(place).filter(|w| w.length() < 100.0) else { continue };
                // The camera stands at the origin.
                let off = world.normalize().dot(direction);
                assert!(off > 1.0 - 1e-6 && world.length() > 0.099, "{world} {direction}");
                beyond += usize::from(world.length() > 1.0);
            }
        }
        assert!(beyond > 500, "{beyond}");
    }

    /// World position of each sample and its factor, for cameras at the origin.
    fn factors(sampler: &RaySampler, config: &RayConfig, step: u64) -> Vec<(DVec3, f32)> {
        let batch = sampler.draw(config, &Occupancy::full(16), 3, step, 64);
        assert_eq!(batch.gradient_scale.len(), batch.t.len());
        let places = batch.x.as_chunks::<3>().0.iter().map(|x| sampler.map.to_world(Vec3::from(*x).as_dvec3()));
        places.zip(batch.gradient_scale).filter_map(|(world, factor)| Some((world?, factor))).collect()
    }

    #[test]
    fn gradients_are_scaled_by_the_square_of_the_distance_in_the_world() {
        let views = sampler(vec![None]).unwrap().views;
        let cube = Cube { origin: DVec3::splat(-1.0), size: 2.0 };
        let config = RayConfig { gradient_scaling: 0.25, ..RayConfig::default() };
        for map in [SceneMap::Box(cube), SceneMap::Open(Cube { origin: DVec3::splat(-0.5), size: 1.0 })] {
            let sampler = RaySampler::new(views.clone(), map, 0.02).unwrap();
            // A quarter of the edge.
            let reach = 0.25 * map.cube().size;
            let found = factors(&sampler, &config, 5);
            let (mut below, mut above) = (0, 0);
            for (world, factor) in found.iter().filter(|(world, _)| world.length() < 50.0) {
                let share = world.length() / reach;
                let want = if share < 1.0 { share * share } else { 1.0 };
                assert!((f64::from(*factor) - want).abs() < 1e-4, "{}: {world} {factor} {want}", map.name());
                (below, above) = (below + usize::from(share < 1.0), above + usize::from(share >= 1.0));
            }
            assert!(below > 500 && above > 500, "{}: {below} {above}", map.name());
            let plain = sampler.draw(&RayConfig::default(), &Occupancy::full(16), 3, 5, 64);
            let scaled = sampler.draw(&config, &Occupancy::full(16), 3, 5, 64);
            assert!(plain.gradient_scale.is_empty());
            assert_eq!(RayBatch { gradient_scale: Vec::new(), ..scaled }, plain, "nothing else changes");
        }
    }

    #[test]
    fn the_near_distance_falls_evenly_to_the_scenes() {
        let config = RayConfig { near_start: 0.25, near_steps: 100, ..RayConfig::default() };
        // A quarter of an edge of 2, over a near distance of 0.1.
        for (step, want) in [(0, 0.5), (25, 0.4), (50, 0.3), (99, 0.104), (100, 0.1), (1 << 40, 0.1)] {
            assert!((config.near_at(step, 0.1, 2.0) - want).abs() < 1e-12, "{step}");
        }
        assert_eq!(config.near_at(0, 0.6, 2.0), 0.6, "a start before the near distance is none");
        assert_eq!(RayConfig::default().near_at(0, 0.1, 2.0).to_bits(), 0.1f64.to_bits());
        let sampler = sampler(vec![None]).unwrap();
        let draw = |config: &RayConfig, step| sampler.draw(config, &Occupancy::full(16), 3, step, 64);
        let nearest = |step| draw(&config, step).t.iter().fold(f32::INFINITY, |m, t| m.min(*t));
        // In edges of 2; a step is 1/300.
        for (step, near) in [(0, 0.25), (50, 0.15), (100, 0.05)] {
            assert!((near..near + 0.004).contains(&nearest(step)), "{step}: {}", nearest(step));
        }
        assert_eq!(draw(&config, 100), draw(&RayConfig::default(), 100), "the same rays when it is over");
    }

    #[test]
    fn pieces_are_those_of_the_rays_that_are_drawn() {
        let plain = sampler(vec![None]).unwrap();
        let map = SceneMap::Open(Cube { origin: DVec3::splat(-0.25), size: 0.5 });
        let open = RaySampler::new(plain.views.clone(), map, 0.1).unwrap();
        for (sampler, count, background, near_start) in [(open, 300, "random", 0.0), (plain, 130, "white", 0.25)] {
            let background = background.to_string();
            let config =
                RayConfig { max_samples_per_ray: 90, background, near_start, near_steps: 100, ..RayConfig::default() };
            let occupancy = Occupancy::from_bits(16, |i| i % 5 != 0);
            let batch = sampler.draw(&config, &occupancy, 3, 5, count);
            let pieces = sampler.draw_pieces(&config, &occupancy, [3, 5], count);
            assert_eq!((pieces.rays(), pieces.records.len()), (count, count));
            let mut samples = 0;
            for (r, (head, record)) in pieces.heads.iter().zip(&pieces.records).enumerate() {
                let part = |v: &[f32]| v[3 * r..3 * r + 3].to_vec();
                let want = [part(&batch.direction), part(&batch.target), part(&batch.background)].concat();
                assert_eq!(record.as_slice(), want);
                // Every stratum of the ray's pieces, against the samples of the march.
                let own = batch.first[r] as usize..batch.first[r + 1] as usize;
                let (mut index, mut found) = (0u32, Vec::new());
                for piece in &pieces.pieces[head[0] as usize..][..head[1] as usize] {
                    index = index.max(piece.first as u32);
                    let place = |i: u32| (i as f32 + f32::from_bits(head[2])) * config.step;
                    while place(index) <= piece.end && found.len() < 90 {
                        let t = place(index);
                        if t >= piece.near && occupancy.contains(piece.origin + piece.direction * t) {
                            found.push(t);
                        }
                        index += 1;
                    }
                }
                assert_eq!(found, batch.t[own], "ray {r}");
                samples += found.len();
            }
            assert!(samples > 1000 && samples as u64 <= pieces.strata, "{samples} of {} strata", pieces.strata);
            // Fewer rays are the first ones.
            let fewer = sampler.draw_pieces(&config, &occupancy, [3, 5], 60);
            assert!(fewer.heads == pieces.heads[..60] && fewer.records == pieces.records[..60]);
        }
    }

    #[test]
    fn masks_that_leave_nothing_out_change_no_draw() {
        let plain = drawn(&sampler(vec![None, None]).unwrap());
        assert_eq!(drawn(&sampler(vec![Some(vec![true; SIDE * SIDE]), None]).unwrap()), plain);
        // The random numbers are used one a draw, as ever.
        let mut rng = Pcg64::new(7, 1);
        let total = 2 * (SIDE * SIDE) as u64;
        let numbers: Vec<u64> = (0..2000).map(|_| rng.random_range(0..total)).collect();
        let place = |n: &u64| ((*n as usize) / (SIDE * SIDE), (*n as usize) % (SIDE * SIDE));
        assert_eq!(plain, numbers.iter().map(place).collect::<Vec<_>>());
    }
}
