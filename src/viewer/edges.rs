//! Antialiasing of a picture where neighbouring pixels differ.
//!
//! A picture of one sample a pixel is right but for its edges: the pixels there are rendered again with more samples. What a picture is refined to depends on nothing but its request.

use glam::DVec2;
use nstr_camera::camera::Camera;
use nstr_image::Rgba8;
use nstr_pipeline::renderer::CpuRenderer;
use nstr_render::{Frame, RenderError};
use rayon::prelude::*;

use crate::cpu_backend::render_settings;
use crate::display_mode::DisplayMode;
use crate::progressive::RenderPass;
use crate::render_backend::RenderRequest;
use crate::tonemap::{ColourRanges, false_colours};

/// Difference of two neighbours, of 1, from which they are an edge.
const LEAST_DIFFERENCE: f32 = 0.03;
/// The same of radiance fields, whose textures would be edges everywhere.
const LEAST_RADIANCE_DIFFERENCE: f32 = 0.08;
/// Rows of pixels that are rendered between two checks for a newer request.
const ROWS: u32 = 32;

/// Pixel of a false-colour image that is replaced: its index, and its sRGB colour with straight alpha.
pub(crate) type Patch = (u32, [u8; 4]);

/// Refinement in progress.
pub(crate) struct EdgeRefiner {
    /// Whether each pixel is at an edge.
    mask: Vec<bool>,
    /// Row up to which edges are rendered.
    row: u32,
    /// Colours being refined; empty for other layers.
    pub frame: Frame,
    /// Pixels of other layers.
    pub patches: Vec<Patch>,
    ranges: ColourRanges,
}

impl EdgeRefiner {
    /// Finds the edges of `frame`, a picture of one sample a pixel that answers `request`. `ranges` are those of its colour maps.
    pub fn new(frame: &Frame, request: &RenderRequest, ranges: ColourRanges) -> Self {
        let (width, height) = (frame.width as usize, frame.height as usize);
        let least = if request.scene.is_radiance() { LEAST_RADIANCE_DIFFERENCE } else { LEAST_DIFFERENCE };
        let mask = match false_colours(frame, request.mode, &ranges) {
            Some(image) => {
                let pixels = image.data.as_chunks::<4>().0;
                edges((width, height), least, |i| pixels[i].map(|v| f32::from(v) / 255.0))
            }
            // Roots are close to what a display shows, and do not depend on the exposure.
            None => edges((width, height), least, |i| {
                let [r, g, b, a] = frame.colour[i];
                [r.max(0.0).sqrt(), g.max(0.0).sqrt(), b.max(0.0).sqrt(), a]
            }),
        };
        let frame = if is_colour(request.mode) { frame.clone() } else { Frame::default() };
        Self { mask, row: 0, frame, patches: Vec::new(), ranges }
    }

    /// Renders the edges of the next rows with the samples of `pass`; returns the rendered share, 1 at the end.
    ///
    /// # Errors
    /// Those of the renderers.
    pub fn advance(
        &mut self,
        renderer: &CpuRenderer<'_>,
        request: &RenderRequest,
        pass: RenderPass,
    ) -> Result<f32, RenderError> {
        let Camera { width, height, .. } = request.camera;
        let left = height - self.row;
        // A last band of a row or two would be too small for a valid camera.
        let rows = if left < 2 * ROWS { left } else { ROWS };
        let (first, last) = (self.row as usize * width as usize, (self.row + rows) as usize * width as usize);
        if self.mask[first..last].contains(&true) {
            let centre = request.camera.centre - DVec2::new(0.0, f64::from(self.row));
            let band = Camera { height: rows, centre, ..request.camera };
            match is_colour(request.mode) {
                true => self.refine_colours(renderer, request, (band, pass.samples))?,
                false => self.refine_layer(renderer, request, (band, grid_side(pass.samples)))?,
            }
        }
        self.row += rows;
        Ok(self.row as f32 / height as f32)
    }

    fn refine_colours(
        &mut self,
        renderer: &CpuRenderer<'_>,
        request: &RenderRequest,
        (band, samples): (Camera, u32),
    ) -> Result<(), RenderError> {
        let first = (self.row * band.width) as usize;
        let mask = &self.mask[first..first + (band.width * band.height) as usize];
        // Places of samples depend on the row within the band: another seed for each, so that no pattern repeats.
        let settings = render_settings(request, request.mode.layers(), (samples, u64::from(self.row)));
        let part = renderer.render_pixels(&band, &settings, Some(mask))?;
        for i in (0..mask.len()).filter(|i| mask[*i]) {
            self.frame.colour[first + i] = part.colour[i];
            self.frame.alpha[first + i] = part.alpha[i];
        }
        Ok(())
    }

    /// Refines a layer of data: `by` × `by` centre rays a pixel, whose colours are averaged.
    fn refine_layer(
        &mut self,
        renderer: &CpuRenderer<'_>,
        request: &RenderRequest,
        (band, by): (Camera, u32),
    ) -> Result<(), RenderError> {
        let (width, scale) = (band.width, f64::from(by));
        let fine = Camera {
            width: width * by,
            height: band.height * by,
            focal: band.focal * scale,
            centre: band.centre * scale,
            ..band
        };
        let first = self.row * width;
        let edge = |i: u32| self.mask[(first + i / fine.width / by * width + i % fine.width / by) as usize];
        let mask: Vec<bool> = (0..fine.width * fine.height).map(edge).collect();
        let settings = render_settings(request, request.mode.layers(), (1, 0));
        let part = renderer.render_pixels(&fine, &settings, Some(&mask))?;
        let image = false_colours(&part, request.mode, &self.ranges);
        let means = image.map(|image| means(&image, by)).unwrap_or_default();
        let edges = (first..).zip(means).filter(|(i, _)| self.mask[*i as usize]);
        self.patches.extend(edges);
        Ok(())
    }
}

fn is_colour(mode: DisplayMode) -> bool {
    matches!(mode, DisplayMode::Shaded | DisplayMode::Error)
}

/// Samples along a pixel's edge of layers, whose samples lie on a square grid.
fn grid_side(samples: u32) -> u32 {
    (f64::from(samples).sqrt().round() as u32).max(2)
}

/// Whether each pixel, or one beside it, differs from a neighbour by more than `least`.
fn edges((width, height): (usize, usize), least: f32, value: impl Fn(usize) -> [f32; 4] + Sync) -> Vec<bool> {
    let differs = |a: [f32; 4], b: [f32; 4]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > least);
    // Each pixel with the ones to the right and below; a second step looks back.
    let ahead: Vec<bool> = (0..width * height)
        .into_par_iter()
        .with_min_len(4096)
        .map(|i| {
            let (x, y, here) = (i % width, i / width, value(i));
            (x + 1 < width && differs(here, value(i + 1))) || (y + 1 < height && differs(here, value(i + width)))
        })
        .collect();
    (0..width * height)
        .into_par_iter()
        .with_min_len(4096)
        .map(|i| {
            let (x, y) = (i % width, i / width);
            let near = |v: usize, side: usize| v.saturating_sub(1)..=(v + 1).min(side - 1);
            near(y, height).any(|y| near(x, width).any(|x| ahead[y * width + x]))
        })
        .collect()
}

/// Mean colours of blocks of `by` × `by` pixels, with straight alpha; transparent pixels have no colour.
fn means(image: &Rgba8, by: u32) -> Vec<[u8; 4]> {
    let (width, height) = (image.width / by, image.height / by);
    let mean = |i: u32| {
        let (x, y) = (i % width * by, i / width * by);
        let mut sum = [0.0f32; 4];
        for k in 0..by * by {
            let [r, g, b, a] = image.pixel(x + k % by, y + k / by).map(f32::from);
            let share = a / 255.0;
            sum = [sum[0] + r * share, sum[1] + g * share, sum[2] + b * share, sum[3] + share];
        }
        let [r, g, b, cover] = sum;
        let colour = |v: f32| if cover > 0.0 { (v / cover + 0.5) as u8 } else { 0 };
        [colour(r), colour(g), colour(b), (255.0 * cover / (by * by) as f32 + 0.5) as u8]
    };
    (0..width * height).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pixels_beside_a_difference_are_edges() {
        // A step between columns 4 and 5, and a slow ramp along y.
        let value = |i: usize| [if i % 10 < 5 { 0.0 } else { 1.0 }, (i / 10) as f32 * 0.01, 0.0, 1.0];
        let found = edges((10, 8), LEAST_DIFFERENCE, value);
        for (i, edge) in found.iter().enumerate() {
            assert_eq!(*edge, (3..=5).contains(&(i % 10)), "{i}");
        }
        assert!(edges((10, 8), LEAST_DIFFERENCE, |_| [0.3; 4]).iter().all(|e| !e));
    }

    #[test]
    fn means_leave_transparent_pixels_out() {
        let image = Rgba8::from_fn(4, 2, |i| match i {
            0 | 1 => [200, 100, 0, 255],
            _ => [0; 4],
        });
        assert_eq!(means(&image, 2), [[200, 100, 0, 128], [0; 4]]);
    }
}
