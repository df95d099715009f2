//! Metrics of a fitted radiance field against the images of a capture.

use std::path::{Path, PathBuf};
use std::time::Instant;

use glam::Vec3;
use nstr_capture::View;
use nstr_image::colour::hex;
use nstr_image::error_map::error_map;
use nstr_image::{ImageError, Rgba8, png};
use nstr_metrics::image;
use nstr_metrics::image::ImageMetricError;
use nstr_render::RenderError;
use nstr_render::volume::VolumeRenderer;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::exposure::LineSums;

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

/// The rendered view, 0 to 1. Masked pixels (see [`View::mask`]) are the reference's, so that they have no error.
fn rendered(
    renderer: &VolumeRenderer<'_>,
    view: &View,
    background: [f32; 3],
    reference: &[[f32; 3]],
) -> Result<Vec<[f32; 3]>, ViewEvalError> {
    let failed = |source| ViewEvalError::Render { name: view.name.clone(), source };
    let mut picture = renderer.colours(view, background).map_err(failed)?;
    for (i, (p, r)) in picture.iter_mut().zip(reference).enumerate() {
        *p = if view.usable(i) { p.map(|c| c.clamp(0.0, 1.0)) } else { *r };
    }
    Ok(picture)
}

/// PSNR of one view in dB over the pixels that are not masked.
///
/// # Errors
/// [`ViewEvalError::Render`], [`ViewEvalError::Masked`].
pub fn view_psnr(renderer: &VolumeRenderer<'_>, view: &View, background: [f32; 3]) -> Result<f64, ViewEvalError> {
    let reference = reference(view, background);
    let picture = rendered(renderer, view, background, &reference)?;
    measured_psnr(view, &picture, &reference)
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

/// Metrics of the renderer's field against `views`, with `affine` also after the best affine colour of each view; with `images` writes `render/NNN.png`, `reference/NNN.png` and
/// `error/NNN.png` (absolute error in false colours, dark violet for 0 to yellow for 0.25 and more) below that folder.
///
/// # Errors
/// [`ViewEvalError`]: no views, a view that cannot be rendered or compared or of which masks leave no pixel, pictures that cannot be written.
pub fn evaluate_views(
    renderer: &VolumeRenderer<'_>,
    views: &[View],
    background: [f32; 3],
    affine: bool,
    images: Option<&Path>,
) -> Result<ViewScores, ViewEvalError> {
    if views.is_empty() {
        return Err(ViewEvalError::NoViews);
    }
    let folders = images.map(|folder| ["render", "reference", "error"].map(|name| folder.join(name)));
    for path in folders.iter().flatten() {
        std::fs::create_dir_all(path).map_err(|source| ViewEvalError::Folder { path: path.clone(), source })?;
    }
    let bytes = background.map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8);
    let mut scores = ViewScores { background: hex(bytes), ..ViewScores::default() };
    let mut with_ssim = 0;
    for (i, view) in views.iter().enumerate() {
        let reference = reference(view, background);
        let start = Instant::now();
        let picture = rendered(renderer, view, background, &reference)?;
        scores.render_seconds += start.elapsed().as_secs_f64() / views.len() as f64;
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
        if let Some([render, target, error]) = &folders {
            let name = format!("{i:03}.png");
            let size = (view.image.width, view.image.height);
            let paint = |colours: &[[f32; 3]]| {
                Rgba8::from_fn(size.0, size.1, |i| {
                    let [r, g, b] = colours[i].map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8);
                    [r, g, b, 255]
                })
            };
            png::write(&render.join(&name), &paint(&picture))?;
            png::write(&target.join(&name), &paint(&reference))?;
            if let Some(map) = error_map(picture.as_flattened(), reference.as_flattened(), size, 3, MAX_ERROR) {
                png::write(&error.join(&name), &map)?;
            }
        }
    }
    if with_ssim < views.len() {
        scores.ssim *= views.len() as f64 / with_ssim as f64;
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::DMat4;
    use nstr_camera::camera::Camera;
    use nstr_capture::{Image, Lens};

    #[test]
    fn an_affine_colour_is_taken_out_of_opaque_pixels() {
        let pixels: Vec<[u8; 4]> = (0..100u32).map(|i| [i as u8 + 60, 200 - i as u8, 90, 255]).collect();
        let camera = Camera::with_fov_y(10, 10, 40.0, DMat4::IDENTITY).unwrap();
        let image = Image { width: 10, height: 10, pixels };
        let mut view = View { name: String::new(), camera, lens: Lens::Pinhole, image, mask: None };
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
