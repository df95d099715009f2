//! Metrics of a fitted radiance field against the images of a capture.

use std::path::{Path, PathBuf};
use std::time::Instant;

use glam::Vec3;
use nstr_capture::{LensCamera, View};
use nstr_image::colour::hex;
use nstr_image::error_map::error_map;
use nstr_image::{ImageError, Rgba8, png};
use nstr_metrics::image;
use nstr_metrics::image::ImageMetricError;
use nstr_render::RenderError;
use nstr_render::volume::{ViewPixels, VolumeRenderer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::eval::depth_thirds::DepthThirds;
use crate::eval::near_camera::near_camera_opacity;
use crate::eval::view_sheet::{SheetOptions, ViewSheet};
use crate::exposure::LineSums;
use crate::observer::StageObserver;

/// Metrics of a radiance field against views.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ViewScores {
    /// Mean over views of the PSNR in dB.
    pub psnr: f64,
    /// Mean over views of the SSIM, over those that have a window without masked pixels; NaN where none has.
    pub ssim: f64,
    /// PSNR of each view, in the capture's order.
    pub psnr_per_view: Vec<f64>,
    /// Mean over views of the PSNR in dB after the best affine colour of each view, where exposures were fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psnr_affine: Option<f64>,
    /// PSNR in dB of the nearest third of all views' pixels that the field covers, by its own depth; see [`DepthThirds`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psnr_near: Option<f64>,
    /// PSNR in dB of the middle third.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psnr_middle: Option<f64>,
    /// PSNR in dB of the farthest third.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psnr_far: Option<f64>,
    /// Mean opacity near the capture's cameras, 0 to 1; see [`near_camera_opacity`].
    #[serde(default)]
    pub near_camera_opacity: f64,
    /// Fraction of a view's depth that counts as near its camera.
    #[serde(default)]
    pub near_fraction: f64,
    /// Background under images with alpha, `#rrggbb` in sRGB values.
    pub background: String,
    /// Seconds a view took to render, mean.
    pub render_seconds: f64,
}

/// Views that cannot be measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ViewEvalError {
    /// There are no views.
    #[error("no view to measure against: the capture has no test split; hold frames out with --holdout N")]
    NoViews,
    /// A view without a pixel to measure.
    #[error("view {name}: its masks leave no pixel to measure; swap black and white in them, or leave the view out")]
    Masked {
        /// Name of the view.
        name: String,
    },
    /// A view that cannot be rendered.
    #[error("view {name}: {source}")]
    Render {
        /// Name of the view.
        name: String,
        /// The reason.
        source: RenderError,
    },
    /// A camera of the capture that cannot be rendered.
    #[error("camera {number} of the capture: {source}")]
    Camera {
        /// Number of the camera, from 1 on.
        number: usize,
        /// The reason.
        source: RenderError,
    },
    /// A view that cannot be compared.
    #[error("view {name}: {source}")]
    Compare {
        /// Name of the view.
        name: String,
        /// The reason.
        source: ImageMetricError,
    },
    /// A picture that cannot be written.
    #[error(transparent)]
    Write(#[from] ImageError),
    /// A folder that cannot be made.
    #[error("cannot make the folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
}

/// Fraction of a view's depth that counts as near its camera, unless another is asked for.
pub const NEAR_FRACTION: f64 = 0.1;

/// Options of [`evaluate_views`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewEvalOptions<'a> {
    /// Background behind the field and under images with alpha, sRGB values, 0 to 1.
    pub background: [f32; 3],
    /// Whether to measure after the best affine colour of each view too.
    pub affine: bool,
    /// Cameras of the whole capture, before which floaters are looked for; the views' own where there are none.
    pub cameras: &'a [LensCamera],
    /// Fraction of a view's depth that counts as near its camera, above 0.
    pub near_fraction: f64,
    /// Folder below which the compared pictures are written: `render/NNN.png`, `reference/NNN.png` and `error/NNN.png`
    /// (absolute error in false colours, dark violet for 0 to yellow for 0.25 and more).
    pub images: Option<&'a Path>,
    /// Contact sheet of the same pictures.
    pub sheet: Option<SheetOptions<'a>>,
}

impl Default for ViewEvalOptions<'_> {
    /// On white, without pictures.
    fn default() -> Self {
        Self {
            background: [1.0; 3],
            affine: false,
            cameras: &[],
            near_fraction: NEAR_FRACTION,
            images: None,
            sheet: None,
        }
    }
}

/// Error that has the last colour of the map in error pictures.
const MAX_ERROR: f64 = 0.25;

/// The view's colours over a background, sRGB values, `[pixel]`.
fn reference(view: &View, background: [f32; 3]) -> Vec<[f32; 3]> {
    let over = |p: &[u8; 4]| {
        let [r, g, b, a] = p.map(|v| f32::from(v) / 255.0);
        let c = Vec3::new(r, g, b) * a + Vec3::from(background) * (1.0 - a);
        c.to_array()
    };
    view.image.pixels.par_iter().map(over).collect()
}

/// The rendered view, colours 0 to 1. Masked pixels (see [`View::mask`]) are the reference's, so that they have no error.
fn rendered(
    renderer: &VolumeRenderer<'_>,
    view: &View,
    background: [f32; 3],
    reference: &[[f32; 3]],
) -> Result<ViewPixels, ViewEvalError> {
    let failed = |source| ViewEvalError::Render { name: view.name.clone(), source };
    let mut pixels = renderer.pixels(view, Some(background)).map_err(failed)?;
    for (i, (p, r)) in pixels.colours.iter_mut().zip(reference).enumerate() {
        *p = if view.usable(i) { p.map(|c| c.clamp(0.0, 1.0)) } else { *r };
    }
    Ok(pixels)
}

/// PSNR of one view in dB over the pixels that are not masked.
///
/// # Errors
/// [`ViewEvalError::Render`], [`ViewEvalError::Masked`].
pub fn view_psnr(renderer: &VolumeRenderer<'_>, view: &View, background: [f32; 3]) -> Result<f64, ViewEvalError> {
    let reference = reference(view, background);
    let pixels = rendered(renderer, view, background, &reference)?;
    measured_psnr(view, &pixels.colours, &reference)
}

fn measured_psnr(view: &View, picture: &[[f32; 3]], reference: &[[f32; 3]]) -> Result<f64, ViewEvalError> {
    let usable = view.usable_pixels();
    if usable == 0 {
        // An error of 0 on nothing would count as perfect.
        return Err(ViewEvalError::Masked { name: view.name.clone() });
    }
    let fraction = usable as f64 / picture.len() as f64;
    Ok(image::psnr_from_mse(image::mse(picture.as_flattened(), reference.as_flattened()) / fraction))
}

/// The rendered view after the affine colour of each channel that brings it nearest to the image in the mean of squares, over
/// opaque pixels that may be used; the background of transparent ones stays as it is.
fn with_affine_colour(view: &View, picture: &[[f32; 3]], reference: &[[f32; 3]]) -> Vec<[f32; 3]> {
    // Only keeps the equations solvable where a view has one colour.
    const PRIOR: f64 = 1e-3;
    let mut lines = [LineSums::default(); 3];
    for (i, (p, y)) in picture.iter().zip(reference).enumerate() {
        if view.usable(i) && view.image.pixels[i][3] == 255 {
            (0..3).for_each(|c| lines[c].add(p[c].into(), y[c].into(), 1.0));
        }
    }
    let lines = lines.map(|line| line.solve(PRIOR));
    let changed = |(i, p): (usize, &[f32; 3])| {
        if !view.usable(i) {
            return *p;
        }
        let alpha = f32::from(view.image.pixels[i][3]) / 255.0;
        std::array::from_fn(|c| {
            let whole = (lines[c].0 * f64::from(p[c]) + lines[c].1).clamp(0.0, 1.0) as f32;
            p[c] + alpha * (whole - p[c])
        })
    };
    picture.iter().enumerate().map(changed).collect()
}

/// Adds the usable pixels of a view to the thirds of the depth.
fn add_depths(thirds: &mut DepthThirds, view: &View, pixels: &ViewPixels, reference: &[[f32; 3]]) {
    for (i, (shown, wanted)) in pixels.colours.iter().zip(reference).enumerate() {
        if view.usable(i) {
            let squares = shown.iter().zip(wanted).map(|(s, w)| (f64::from(*s) - f64::from(*w)).powi(2));
            thirds.add(pixels.opacity[i], pixels.depth[i], squares.sum::<f64>() / 3.0);
        }
    }
}

/// Metrics of the renderer's field against `views`, and the compared pictures where `options` name a folder or a sheet.
///
/// # Errors
/// [`ViewEvalError`]: no views, a view that cannot be rendered or compared or of which masks leave no pixel, pictures that cannot be written.
pub fn evaluate_views(
    renderer: &VolumeRenderer<'_>,
    views: &[View],
    options: &ViewEvalOptions<'_>,
    stage: &mut StageObserver<'_>,
) -> Result<ViewScores, ViewEvalError> {
    let ViewEvalOptions { background, affine, cameras, near_fraction, images, sheet } = *options;
    let mut sheet = sheet.map(ViewSheet::new);
    if views.is_empty() {
        return Err(ViewEvalError::NoViews);
    }
    let folders = images.map(|folder| ["render", "reference", "error"].map(|name| folder.join(name)));
    for path in folders.iter().flatten() {
        std::fs::create_dir_all(path).map_err(|source| ViewEvalError::Folder { path: path.clone(), source })?;
    }
    let bytes = background.map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8);
    let mut scores = ViewScores { background: hex(bytes), ..ViewScores::default() };
    let (mut with_ssim, mut thirds) = (0, DepthThirds::default());
    for (i, view) in views.iter().enumerate() {
        stage("views", Some(i as f64 / views.len() as f64));
        let reference = reference(view, background);
        let start = Instant::now();
        let pixels = rendered(renderer, view, background, &reference)?;
        scores.render_seconds += start.elapsed().as_secs_f64() / views.len() as f64;
        add_depths(&mut thirds, view, &pixels, &reference);
        let picture = pixels.colours;
        let size = (view.image.width as usize, view.image.height as usize);
        let (shown, wanted) = (picture.as_flattened(), reference.as_flattened());
        let ssim = image::ssim_usable(shown, wanted, size, 3, view.mask.as_deref())
            .map_err(|source| ViewEvalError::Compare { name: view.name.clone(), source })?;
        let psnr = measured_psnr(view, &picture, &reference)?;
        if affine {
            let psnr = measured_psnr(view, &with_affine_colour(view, &picture, &reference), &reference)?;
            *scores.psnr_affine.get_or_insert(0.0) += psnr / views.len() as f64;
        }
        scores.psnr_per_view.push(psnr);
        scores.psnr += psnr / views.len() as f64;
        scores.ssim += ssim.unwrap_or(0.0) / views.len() as f64;
        with_ssim += usize::from(ssim.is_some());
        if folders.is_some() || sheet.is_some() {
            let name = format!("{i:03}.png");
            let size = (view.image.width, view.image.height);
            let paint = |colours: &[[f32; 3]]| {
                Rgba8::from_fn(size.0, size.1, |i| {
                    let [r, g, b] = colours[i].map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8);
                    [r, g, b, 255]
                })
            };
            let (shown, wanted) = (paint(&picture), paint(&reference));
            let map = error_map(picture.as_flattened(), reference.as_flattened(), size, 3, MAX_ERROR);
            if let Some([render, target, error]) = &folders {
                png::write(&render.join(&name), &shown)?;
                png::write(&target.join(&name), &wanted)?;
                map.as_ref().map_or(Ok(()), |map| png::write(&error.join(&name), map))?;
            }
            if let (Some(sheet), Some(map)) = (&mut sheet, &map) {
                sheet.add(&view.name, psnr, ssim, [&wanted, &shown, map]);
            }
        }
    }
    if let Some(sheet) = sheet {
        sheet.finish(scores.psnr, MAX_ERROR)?;
    }
    if with_ssim < views.len() {
        scores.ssim *= views.len() as f64 / with_ssim as f64;
    }
    if let Some(of_thirds) = thirds.psnr() {
        [scores.psnr_near, scores.psnr_middle, scores.psnr_far] = of_thirds.map(Some);
    }
    let own: Vec<LensCamera>;
    let cameras = if cameras.is_empty() {
        own = views.iter().map(View::lens_camera).collect();
        own.as_slice()
    } else {
        cameras
    };
    stage("space before the cameras", None);
    (scores.near_camera_opacity, scores.near_fraction) =
        (near_camera_opacity(renderer, cameras, near_fraction)?, near_fraction);
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::{DMat4, DVec3};
    use nstr_camera::camera::Camera;
    use nstr_capture::{Image, Lens};
    use nstr_render::VolumeSettings;
    use nstr_space::{AnalyticRadiance, Cube, Occupancy};

    /// Three walls side by side, 1, 2 and 4 from the camera, of one grey; the image is brighter by another amount at each.
    #[test]
    fn errors_are_told_apart_by_depth() {
        const EYE: DVec3 = DVec3::new(0.0, 0.0, 2.0);
        let cube = Cube { origin: DVec3::splat(-2.5), size: 5.0 };
        let edge = 20f64.to_radians().tan() / 3.0;
        let wall = |slope: f64| usize::from(slope > -edge) + usize::from(slope > edge);
        let field = AnalyticRadiance::new(Occupancy::full(16), |p: Vec3, _: Vec3| {
            let from_eye = cube.to_world(p.as_dvec3()) - EYE;
            let is_solid = from_eye.length() >= [1.0, 2.0, 4.0][wall(from_eye.x / -from_eye.z)];
            let grey = 128.0 / 255.0;
            [grey, grey, grey, if is_solid { 2000.0 } else { 0.0 }]
        });
        let settings = VolumeSettings { step: 1.0 / 512.0, ..VolumeSettings::default() };
        let renderer = VolumeRenderer::new(&field, cube, settings).unwrap();
        let camera = Camera::with_fov_y(30, 30, 40.0, DMat4::from_translation(EYE)).unwrap();
        let pixels = (0..900).map(|i| [154u8, 179, 141][i % 30 / 10]).map(|v| [v, v, v, 255]).collect();
        let image = Image { width: 30, height: 30, pixels };
        let view = View { name: String::new(), camera, lens: Lens::Pinhole, image, mask: None, depth: None };
        let scores = evaluate_views(&renderer, &[view], &ViewEvalOptions::default(), &mut |_, _| ()).unwrap();
        let db = |difference: f64| -20.0 * (difference / 255.0).log10();
        let found = [scores.psnr_near, scores.psnr_middle, scores.psnr_far].map(Option::unwrap);
        for (found, want) in found.into_iter().zip([db(26.0), db(51.0), db(13.0)]) {
            assert!((found - want).abs() < 1e-2, "{found} for {want}");
        }
        assert_eq!((scores.near_camera_opacity, scores.near_fraction), (0.0, 0.1), "walls are no floaters");
    }

    #[test]
    fn an_affine_colour_is_taken_out_of_opaque_pixels() {
        let pixels: Vec<[u8; 4]> = (0..100u32).map(|i| [i as u8 + 60, 200 - i as u8, 90, 255]).collect();
        let camera = Camera::with_fov_y(10, 10, 40.0, DMat4::IDENTITY).unwrap();
        let image = Image { width: 10, height: 10, pixels };
        let mut view = View { name: String::new(), camera, lens: Lens::Pinhole, image, mask: None, depth: None };
        view.image.pixels[3] = [0, 0, 0, 0];
        view.mask = Some((0..100).map(|i| i != 5).collect());
        let reference = reference(&view, [1.0; 3]);
        let mut picture: Vec<[f32; 3]> = reference.iter().map(|c| c.map(|c| (c - 0.1) / 0.8)).collect();
        (picture[3], picture[5]) = ([1.0; 3], [0.25; 3]);
        let changed = with_affine_colour(&view, &picture, &reference);
        assert_eq!((changed[3], changed[5]), ([1.0; 3], [0.25; 3]));
        let error = |i: usize| (0..3).map(|c| (changed[i][c] - reference[i][c]).abs()).fold(0.0, f32::max);
        assert!((6..100).all(|i| error(i) < 2e-3), "{}", error(7));
    }
}
