//! Radiance fields: colours of rays through the pixels of views.
//!
//! The sensitivity is that of training rays; the loss is measured on patches of the views that a measurement renders, at their own
//! size (in smaller pictures a coarser field looks no worse). Without a capture, views around the model take the place of both.

use std::path::Path;
use std::sync::Arc;

use glam::{DVec3, Vec3};
use nstr_camera::{Camera, CameraModel, Orbit, Up};
use nstr_capture::{Image, Lens, LensCamera, Split, View, read_capture};
use nstr_field::model::Model;
use nstr_field::radiance::NeuralRadiance;
use nstr_fit::sensitivity::SensitivityEstimator;
use nstr_fit::{RayConfig, RaySampler};
use nstr_render::{RenderError, VolumeRenderer, VolumeSettings};
use nstr_space::{Occupancy, Ray, SceneMap};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;

use super::super::decibels;
use super::{Gauge, stored_score};
use crate::error::Error;
use crate::field::RadianceModel;
use crate::options::opaque;
use crate::record::FitRecord;

/// Pixels along the edge of a patch.
const PATCH: u32 = 16;
/// Patches of all views together, about: half a million pixels.
const PATCHES: usize = 2048;
/// Batches of rays that the sensitivity is measured on.
const BATCHES: usize = 64;
/// Samples in occupied cells of a batch, about, and most rays. Tests look at small fields.
const SAMPLES: usize = if cfg!(test) { 1 << 12 } else { 1 << 16 };
const MOST_RAYS: usize = 1 << 13;
/// Views around a model, at each elevation in degrees, and their size.
const AROUND: usize = 6;
const ELEVATIONS: [f64; 4] = [-10.0, 15.0, 40.0, 65.0];
const SIZE: (u32, u32) = (640, 640);
/// PSNR in dB of a model that was saved without one.
const USUAL_PSNR: f64 = 32.0;

/// Part of a view.
struct Patch {
    /// Number of the view.
    view: usize,
    camera: PatchCamera,
    /// Colours that are compared with, row by row.
    reference: Vec<[f32; 3]>,
    /// Pixels that count; all where absent.
    usable: Option<Vec<bool>>,
}

/// Camera of a part of an image.
struct PatchCamera {
    whole: LensCamera,
    first: [u32; 2],
    size: (u32, u32),
}

impl CameraModel for PatchCamera {
    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn ray(&self, x: f64, y: f64) -> Ray {
        self.whole.ray(x + f64::from(self.first[0]), y + f64::from(self.first[1]))
    }
}

/// Colours of a field along rays.
pub(crate) struct RadianceGauge {
    patches: Vec<Patch>,
    views: usize,
    sampler: RaySampler,
    rays: RayConfig,
    map: SceneMap,
    volume: VolumeSettings,
    background: [f32; 3],
    /// Mean squared error of the model in each view; of its own views, as its score tells.
    errors: Vec<f64>,
    is_own: bool,
}

impl RadianceGauge {
    /// Views around the model.
    ///
    /// # Errors
    /// Models that cannot be rendered.
    pub(crate) fn of_model(model: &RadianceModel) -> Result<Self, Error> {
        let views = Arc::new(own_views(model)?);
        let background = model.march.background.srgb().unwrap_or([1.0; 3]);
        let mut gauge = Self::new(model, views.clone(), &views, background)?;
        let rendered = gauge.render(&model.model)?;
        gauge.patches.iter_mut().zip(rendered).for_each(|(patch, colours)| patch.reference = colours);
        let psnr = stored_score(&model.model, "psnr").unwrap_or(USUAL_PSNR);
        gauge.errors = vec![10_f64.powf(-psnr / 10.0); gauge.views];
        gauge.is_own = true;
        Ok(gauge)
    }

    /// The capture that the model was fitted to: training views tell the sensitivity, the views that are held out the loss.
    ///
    /// # Errors
    /// Captures that cannot be read, and those without a view.
    pub(crate) fn of_capture(path: &Path, model: &RadianceModel, capture: &Path) -> Result<Self, Error> {
        let capture = read_capture(capture, &model.capture_settings(path)?.options(Split::All))?;
        Self::of_views(model, Arc::new(capture.train), &capture.test, opaque(model.march.background)?)
    }

    /// Views with images over `background` (sRGB values): `train` tells the sensitivity, `test` the loss, or `train` where that is
    /// empty.
    ///
    /// # Errors
    /// No pixel to measure at, views that cannot be rendered.
    pub(crate) fn of_views(
        model: &RadianceModel,
        train: Arc<Vec<View>>,
        test: &[View],
        background: [f32; 3],
    ) -> Result<Self, Error> {
        let measured = if test.is_empty() { train.clone() } else { Arc::new(test.to_vec()) };
        let mut gauge = Self::new(model, train, &measured, background)?;
        gauge.errors = gauge.errors_of(&gauge.render(&model.model)?);
        Ok(gauge)
    }

    fn new(
        model: &RadianceModel,
        train: Arc<Vec<View>>,
        measured: &[View],
        background: [f32; 3],
    ) -> Result<Self, Error> {
        let record = FitRecord::of(&model.model).ok();
        let near = record.as_ref().and_then(|record| record.capture.as_ref()?.near).unwrap_or(0.0);
        let rays = record.and_then(|record| record.fit.rays).unwrap_or_default();
        let map = model.map();
        let nothing = || Error::option("the views have no pixel to measure at");
        let sampler = RaySampler::new(train, map, near).ok_or_else(nothing)?;
        let patches = patches(measured, background);
        if patches.iter().all(|patch| patch.usable.as_ref().is_some_and(|usable| !usable.contains(&true))) {
            return Err(nothing());
        }
        let volume = model.march.volume;
        let (views, errors) = (measured.len(), Vec::new());
        Ok(Self { patches, views, sampler, rays, map, volume, background, errors, is_own: false })
    }

    /// Colours of each patch, 0 to 1.
    fn render(&self, model: &Model) -> Result<Vec<Vec<[f32; 3]>>, Error> {
        let occupancy = occupancy(model);
        let field = NeuralRadiance::new(&model.spec, model.grid.clone(), &model.net, occupancy);
        let renderer = VolumeRenderer::new(&field, self.map, self.volume)?;
        let one = |patch: &Patch| {
            let mut colours = renderer.colours(&patch.camera, self.background)?;
            colours.iter_mut().for_each(|c| *c = c.map(|v| v.clamp(0.0, 1.0)));
            Ok(colours)
        };
        Ok(self.patches.par_iter().map(one).collect::<Result<_, RenderError>>()?)
    }

    /// Mean squared error of each view; NaN of a view without a pixel that counts.
    fn errors_of(&self, rendered: &[Vec<[f32; 3]>]) -> Vec<f64> {
        let mut sums = vec![(0.0, 0_usize); self.views];
        for (patch, colours) in self.patches.iter().zip(rendered) {
            let (sum, count) = &mut sums[patch.view];
            for (i, (a, b)) in colours.iter().zip(&patch.reference).enumerate() {
                if patch.usable.as_ref().is_none_or(|usable| usable[i]) {
                    *sum += a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
                    *count += 3;
                }
            }
        }
        sums.into_iter().map(|(sum, count)| sum / count as f64).collect()
    }
}

/// Occupied cells of a model, or a coarse grid of full ones.
fn occupancy(model: &Model) -> Occupancy {
    model.occupancy.clone().unwrap_or_else(|| Occupancy::full(16))
}

/// Evenly many patches of each view at random places, with the image's colours over a background.
fn patches(views: &[View], background: [f32; 3]) -> Vec<Patch> {
    let mut rng = Pcg64::seed_from_u64(0x9a7c);
    let each = PATCHES.div_ceil(views.len().max(1)).max(1);
    let mut all = Vec::with_capacity(each * views.len());
    for (number, view) in views.iter().enumerate() {
        let (width, height) = (view.image.width, view.image.height);
        let size = (width.min(PATCH), height.min(PATCH));
        if size.0 == 0 || size.1 == 0 {
            continue;
        }
        // No more than tile the view.
        let whole = (width.div_ceil(size.0) * height.div_ceil(size.1)) as usize;
        for _ in 0..each.min(whole) {
            let first = [rng.random_range(0..=width - size.0), rng.random_range(0..=height - size.1)];
            let pixels = (0..size.1).flat_map(|y| (0..size.0).map(move |x| (first[0] + x, first[1] + y)));
            let index = |(x, y): (u32, u32)| y as usize * width as usize + x as usize;
            let colour = |at: (u32, u32)| {
                let [r, g, b, a] = view.image.pixels[index(at)].map(|v| f32::from(v) / 255.0);
                (Vec3::new(r, g, b) * a + Vec3::from(background) * (1.0 - a)).to_array()
            };
            all.push(Patch {
                view: number,
                camera: PatchCamera { whole: view.lens_camera(), first, size },
                reference: pixels.clone().map(colour).collect(),
                usable: view.mask.as_ref().map(|_| pixels.map(|at| view.usable(index(at))).collect()),
            });
        }
    }
    all
}

/// Views of a model that nobody has taken: along the arc of its cameras where it has one, else from all around.
fn own_views(model: &RadianceModel) -> Result<Vec<View>, Error> {
    let count = AROUND * ELEVATIONS.len();
    let cameras = match (model.march.camera_arc, model.map()) {
        (Some(arc), _) => arc.cameras(count, SIZE, true)?,
        (None, SceneMap::Forward(frustum)) => {
            let [right, down, ahead] = [frustum.axes.x_axis, frustum.axes.y_axis, frustum.axes.z_axis];
            let width = (frustum.high - frustum.low).max_element();
            let fov_y = 2.0 * (0.5 * width).atan().to_degrees();
            let middle = (frustum.low + frustum.high) * 0.5;
            // From the eye, and from a little beside it.
            let eyes = (0..AROUND).map(|i| {
                let angle = std::f64::consts::TAU * i as f64 / AROUND as f64;
                frustum.eye + (right * angle.cos() + down * angle.sin()) * 0.1 * frustum.near
            });
            let camera = |eye: DVec3| {
                let target = eye + ahead + right * middle.x + down * middle.y;
                Camera::with_fov_y(SIZE.0, SIZE.1, fov_y.clamp(1.0, 150.0), Camera::look_at(eye, target, -down)?)
            };
            eyes.map(camera).collect::<Result<_, _>>()?
        }
        (None, map) => {
            let bounds = match map {
                SceneMap::Box(_) => model.renderer()?.bounds(),
                map => map.cube().bounds(),
            };
            let rings = ELEVATIONS.iter().enumerate().map(|(i, elevation)| {
                let azimuth = 15.0 * i as f64;
                let orbit =
                    Orbit { frames: AROUND, size: SIZE, elevation: *elevation, azimuth, up: Up::Z, ..Orbit::default() };
                orbit.cameras(bounds)
            });
            rings.collect::<Result<Vec<_>, _>>()?.concat()
        }
    };
    let view = |camera: Camera| View {
        name: String::new(),
        image: Image { width: SIZE.0, height: SIZE.1, pixels: vec![[0, 0, 0, 255]; SIZE.0 as usize * SIZE.1 as usize] },
        camera,
        lens: Lens::Pinhole,
        mask: None,
        depth: None,
    };
    Ok(cameras.into_iter().map(view).collect())
}

impl Gauge for RadianceGauge {
    fn observe(&self, estimator: &mut SensitivityEstimator<'_>) -> Result<(), Error> {
        let occupancy = occupancy(estimator.model());
        let mut count = 512;
        for batch in 0..BATCHES {
            let mut rays = self.sampler.draw(&self.rays, &occupancy, 0xc0de, batch as u64, count);
            let samples = rays.t.len().max(1);
            estimator.add_rays(&mut rays, self.rays.min_transmittance);
            // Towards the wanted number of samples, at most by a factor of 2 a batch.
            let factor = (SAMPLES as f64 / samples as f64).clamp(0.5, 2.0);
            count = ((count as f64 * factor) as usize).clamp(64, MOST_RAYS);
        }
        Ok(())
    }

    fn error(&self) -> f64 {
        let known = || self.errors.iter().filter(|e| e.is_finite());
        known().sum::<f64>() / known().count().max(1) as f64
    }

    fn loss(&self, coded: &Model) -> Result<f64, Error> {
        let found = self.errors_of(&self.render(coded)?);
        let of_view = |(found, own): (&f64, &f64)| match self.is_own {
            // What changed against the model's own picture, beside the error that the model has.
            true => decibels(found / own),
            false => 10.0 * (found.max(1e-12) / own.max(1e-12)).log10(),
        };
        let losses: Vec<f64> = found.iter().zip(&self.errors).map(of_view).filter(|loss| !loss.is_nan()).collect();
        Ok(losses.iter().sum::<f64>() / losses.len().max(1) as f64)
    }

    fn describe(&self) -> String {
        let pixels: usize = self.patches.iter().map(|patch| patch.reference.len()).sum();
        match self.is_own {
            true => format!("PSNR, predicted from the change of {} views around the model", self.views),
            false => format!("PSNR at {pixels} pixels of {} views", self.views),
        }
    }
}
