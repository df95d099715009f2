//! Exposure and white balance of each training image: an affine colour, found by least squares beside the field.
//!
//! Where the field shows the colour `p`, an image has `y = g·p + o`, with a gain and an offset for each of its channels, in
//! sRGB values. They minimise `Σ (y − g·p − o)² + prior · ((g − 1)² + o²)` over the pixels that training has seen of the image,
//! the latest with the most weight, for the field changes. The field itself learns `(y − o) / g`.
//!
//! An affine colour that all images share can be had by the field as well, so the mean gain over images is kept at 1 and the
//! mean offset at 0. Pixels that are transparent in part, or at an end of the range (clipped), tell nothing.

use nstr_capture::View;
use nstr_kernel::RayResults;
use nstr_spec::config::ConfigError;
use serde::{Deserialize, Serialize};

use crate::check::{check, check_below_one};
use crate::rays::RayPixel;
use crate::state::TaskState;

/// Exposure of the training images; `--set exposure.key=value` reaches each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExposureConfig {
    /// `true` if each training image has an affine colour of its own.
    pub enabled: bool,
    /// Weight of the prior towards no change, in pixels.
    pub prior: f64,
    /// Pixels of an image after which an observation has lost most of its weight (1 − 1/e).
    pub memory: f64,
    /// Fraction of the budget before the first affine colour is used; until then the field shows too little.
    pub start: f64,
}

impl Default for ExposureConfig {
    fn default() -> Self {
        Self { enabled: false, prior: 20.0, memory: 4096.0, start: 0.05 }
    }
}

impl ExposureConfig {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check("exposure.prior", self.prior, (1e-3..=1e9).contains(&self.prior), "must be 0.001 to 1000000000")?;
        check("exposure.memory", self.memory, (16.0..=1e9).contains(&self.memory), "must be 16 to 1000000000")?;
        check_below_one(&[("exposure.start", self.start)])
    }
}

/// Gains that are believed; beyond them an image rather shows something else than the field.
const GAINS: (f64, f64) = (0.5, 2.0);
/// Largest offset that is believed.
const MAX_OFFSET: f64 = 0.25;

/// An affine change of sRGB values, channel by channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AffineColour {
    /// Factor of each channel.
    pub gain: [f32; 3],
    /// Term of each channel.
    pub offset: [f32; 3],
}

impl AffineColour {
    /// No change.
    pub const IDENTITY: Self = Self { gain: [1.0; 3], offset: [0.0; 3] };

    /// The colour that an image shows where the field has `colour`.
    pub fn apply(&self, colour: [f32; 3]) -> [f32; 3] {
        std::array::from_fn(|c| self.gain[c] * colour[c] + self.offset[c])
    }

    /// The field's colour where an image shows `colour`, 0 to 1.
    pub fn undo(&self, colour: [f32; 3]) -> [f32; 3] {
        std::array::from_fn(|c| ((colour[c] - self.offset[c]) / self.gain[c]).clamp(0.0, 1.0))
    }
}

/// Sums of a weighted straight line `y = g·p + o`: of the weights, p, y, p² and p·y.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LineSums(pub [f64; 5]);

impl LineSums {
    /// Adds a pair of weight 1 after all others have lost the share `1 − keep` of theirs.
    pub fn add(&mut self, p: f64, y: f64, keep: f64) {
        let terms = [1.0, p, y, p * p, p * y];
        self.0.iter_mut().zip(terms).for_each(|(sum, term)| *sum = *sum * keep + term);
    }

    /// Gain and offset of least squares with the prior `prior · ((g − 1)² + o²)`, which must be above 0.
    pub fn solve(&self, prior: f64) -> (f64, f64) {
        let [weight, p, y, pp, py] = self.0;
        // The normal equations; the prior keeps their determinant above 0.
        let (a, b, d) = (pp + prior, p, weight + prior);
        let (e, f) = (py + prior, y);
        let determinant = a * d - b * b;
        if determinant.is_nan() || determinant <= 0.0 {
            return (1.0, 0.0);
        }
        ((d * e - b * f) / determinant, (a * f - b * e) / determinant)
    }
}

/// Affine colours of the training images, as they are known so far.
#[derive(Clone, Debug)]
pub struct ExposureFit {
    config: ExposureConfig,
    /// Sums of each image's channels, in f32 as a checkpoint keeps them.
    sums: Vec<[[f32; 5]; 3]>,
    colours: Vec<AffineColour>,
}

/// Numbers kept of each image.
const NUMBERS: usize = 15;

impl ExposureFit {
    /// Nothing known yet of `images` images.
    pub fn new(config: ExposureConfig, images: usize) -> Self {
        Self { config, sums: vec![[[0.0; 5]; 3]; images], colours: vec![AffineColour::IDENTITY; images] }
    }

    /// Goes on from a checkpoint's state; `None` where it does not fit these images, or holds what no run leaves.
    pub fn resumed(mut self, state: &TaskState) -> Option<Self> {
        let sums = state.arrays.get("exposure.sums").filter(|s| s.len() == NUMBERS * self.sums.len())?;
        if !sums.iter().all(|s| s.is_finite() && *s >= 0.0) {
            return None;
        }
        for (to, from) in self.sums.iter_mut().zip(sums.as_chunks::<NUMBERS>().0) {
            *to = std::array::from_fn(|c| std::array::from_fn(|k| from[5 * c + k]));
        }
        self.solve();
        Some(self)
    }

    /// Adds the state to a checkpoint's.
    pub(crate) fn store_in(&self, state: &mut TaskState) {
        let sums = self.sums.iter().flatten().flatten().copied().collect();
        state.arrays.insert("exposure.sums".into(), sums);
    }

    /// Affine colours of the images, in their order.
    pub fn colours(&self) -> &[AffineColour] {
        &self.colours
    }

    /// `true` where affine colours are used at this progress through the budget (0 to 1).
    pub fn is_active(&self, progress: f64) -> bool {
        progress >= self.config.start
    }

    /// Learns from the colours of rays through `pixels` of `views`.
    pub(crate) fn observe(&mut self, views: &[View], pixels: &[RayPixel], results: &RayResults) {
        let keep = 1.0 - 1.0 / self.config.memory;
        for (pixel, shown) in pixels.iter().zip(results.colour.as_chunks::<3>().0) {
            let [r, g, b, a] = views[pixel.view as usize].image.pixels[pixel.index as usize];
            let is_clipped = [r, g, b].iter().any(|v| !(2..=253).contains(v));
            if a != 255 || is_clipped || !shown.iter().all(|p| p.is_finite()) {
                continue;
            }
            for ((sums, p), y) in self.sums[pixel.view as usize].iter_mut().zip(shown).zip([r, g, b]) {
                let mut line = LineSums(sums.map(f64::from));
                // A prediction beyond the range would count as a negative colour in the checks of a checkpoint.
                line.add(f64::from(p.clamp(0.0, 1.0)), f64::from(y) / 255.0, keep);
                *sums = line.0.map(|v| v as f32);
            }
        }
        self.solve();
    }

    /// Affine colours from the sums, without what all images share.
    fn solve(&mut self) {
        let count = self.sums.len().max(1) as f64;
        for channel in 0..3 {
            let prior = self.config.prior;
            let mut lines: Vec<(f64, f64)> =
                self.sums.iter().map(|sums| LineSums(sums[channel].map(f64::from)).solve(prior)).collect();
            for (gain, offset) in &mut lines {
                *gain = gain.clamp(GAINS.0, GAINS.1);
                *offset = offset.clamp(-MAX_OFFSET, MAX_OFFSET);
            }
            let mean_gain = lines.iter().map(|line| line.0).sum::<f64>() / count;
            let mean_offset = lines.iter().map(|line| line.1).sum::<f64>() / count;
            for (colour, (gain, offset)) in self.colours.iter_mut().zip(lines) {
                // The field's colours become `mean_gain · p + mean_offset`.
                let gain = gain / mean_gain;
                colour.gain[channel] = gain.clamp(GAINS.0, GAINS.1) as f32;
                colour.offset[channel] = (offset - gain * mean_offset) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::DMat4;
    use nstr_camera::camera::Camera;
    use nstr_capture::{Image, Lens};
    use rand::RngExt;
    use rand_pcg::Pcg64;

    #[test]
    fn a_line_is_found_and_the_prior_holds_where_nothing_is_known() {
        let mut line = LineSums::default();
        assert_eq!(line.solve(1.0), (1.0, 0.0));
        for i in 0..200 {
            let p = f64::from(i) / 200.0;
            line.add(p, 0.7 * p + 0.1, 1.0);
        }
        let (gain, offset) = line.solve(1e-6);
        assert!((gain - 0.7).abs() < 1e-6 && (offset - 0.1).abs() < 1e-6);
        let (gain, offset) = line.solve(1e9);
        assert!((gain - 1.0).abs() < 1e-3 && offset.abs() < 1e-3);
        // By hand for one pair: minimise (1 − g − o)² + (g − 1)² + o² ⇒ g = 1, o = 0.
        let mut one = LineSums::default();
        one.add(1.0, 1.0, 1.0);
        assert_eq!(one.solve(1.0), (1.0, 0.0));
    }

    /// Images of 64 random pixels whose colours went through an affine change each.
    fn images(colours: &[AffineColour]) -> (Vec<View>, Vec<[f32; 3]>) {
        let mut rng = Pcg64::new(3, 1);
        let truth: Vec<[f32; 3]> = (0..64).map(|_| std::array::from_fn(|_| rng.random_range(0.2..0.7))).collect();
        let view = |colour: &AffineColour| {
            let pixel = |p: &[f32; 3]| {
                let [r, g, b] = colour.apply(*p).map(|v| (255.0 * v).round() as u8);
                [r, g, b, 255]
            };
            let camera = Camera::with_fov_y(8, 8, 40.0, DMat4::IDENTITY).unwrap();
            let image = Image { width: 8, height: 8, pixels: truth.iter().map(pixel).collect() };
            View { name: String::new(), camera, lens: Lens::Pinhole, image, mask: None, depth: None }
        };
        (colours.iter().map(view).collect(), truth)
    }

    #[test]
    fn affine_colours_are_found_up_to_what_all_share_and_go_on_from_a_state() {
        let change = |g: f32, o: f32| AffineColour { gain: [g, 1.0, 2.0 - g], offset: [o, 0.0, -o] };
        let wanted = [change(0.8, 0.05), change(1.2, -0.05), change(0.9, 0.02), change(1.1, -0.02)];
        let (views, truth) = images(&wanted);
        let config = ExposureConfig { prior: 0.01, ..ExposureConfig::default() };
        let mut fit = ExposureFit::new(config.clone(), 4);
        let every = |i: u32| RayPixel { view: i % 4, index: i / 4 };
        let pixels: Vec<RayPixel> = (0..256).map(every).collect();
        // The field may have an affine colour of its own: it cannot be told.
        let shown = pixels.iter().flat_map(|p| truth[p.index as usize].map(|c| 1.1 * c + 0.02)).collect();
        let results = RayResults { colour: shown, ..RayResults::default() };
        for _ in 0..20 {
            fit.observe(&views, &pixels, &results);
        }
        for (found, wanted) in fit.colours().iter().zip(&wanted) {
            for c in 0..3 {
                assert!((found.gain[c] - wanted.gain[c]).abs() < 0.02, "{found:?} {wanted:?}");
                assert!((found.offset[c] - wanted.offset[c]).abs() < 0.02, "{found:?} {wanted:?}");
            }
        }
        let mean: f32 = fit.colours().iter().map(|c| c.gain[0]).sum::<f32>() / 4.0;
        assert!((mean - 1.0).abs() < 1e-5, "{mean}");
        let back = wanted[0].undo(wanted[0].apply([0.3, 0.4, 0.5]));
        assert!(back.iter().zip([0.3, 0.4, 0.5]).all(|(a, b)| (a - b).abs() < 1e-6));

        let mut state = TaskState::default();
        fit.store_in(&mut state);
        let again = ExposureFit::new(config.clone(), 4).resumed(&state).unwrap();
        assert!(again.sums == fit.sums && again.colours == fit.colours);
        assert!(ExposureFit::new(config.clone(), 3).resumed(&state).is_none());
        state.arrays.get_mut("exposure.sums").unwrap()[7] = f32::NAN;
        assert!(ExposureFit::new(config, 4).resumed(&state).is_none());
    }

    #[test]
    fn clipped_and_transparent_pixels_tell_nothing() {
        let (mut views, _) = images(&[AffineColour::IDENTITY]);
        views[0].image.pixels.iter_mut().enumerate().for_each(|(i, p)| match i % 2 {
            0 => p[1] = 255,
            _ => p[3] = 200,
        });
        let mut fit = ExposureFit::new(ExposureConfig::default(), 1);
        let pixels: Vec<RayPixel> = (0..64).map(|index| RayPixel { view: 0, index }).collect();
        fit.observe(&views, &pixels, &RayResults { colour: vec![0.1; 192], ..RayResults::default() });
        assert_eq!(fit.sums, [[[0.0; 5]; 3]]);
        assert_eq!(fit.colours(), [AffineColour::IDENTITY]);
    }
}
