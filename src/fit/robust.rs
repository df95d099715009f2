//! Robust loss of rays: those that contradict the field, because something moved, teach no colour.
//!
//! After RobustNeRF (Sabour et al. 2023): a pixel's error alone does not tell what moved from what is finely detailed, but
//! what moved fills whole parts of an image with large errors, and detail does not. So each training image is cut into square
//! blocks, and each block keeps the fraction of its rays whose error was within a quantile of all rays' errors. Where that
//! fraction is small, rays whose error is beyond the quantile have neither loss nor gradient
//! ([`error_limit`](nstr_kernel::RayBatch::error_limit)). The paper takes the fractions from patches of one step; here they
//! are running means over steps, so that rays may be drawn one by one.

use nstr_capture::View;
use nstr_kernel::{RayBatch, RayResults};
use nstr_spec::config::ConfigError;
use serde::{Deserialize, Serialize};

use crate::check::{check, check_below_one, check_count, check_fractions};
use crate::image_blocks::ImageBlocks;
use crate::rays::{RayPixel, mean_squares};
use crate::state::TaskState;

/// Robust loss of rays; `--set robust.key=value` reaches each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RobustConfig {
    /// `true` if rays that contradict the field are left out.
    pub enabled: bool,
    /// Fraction of all rays whose errors count as agreement, above 0 to below 1.
    pub quantile: f64,
    /// Fraction of a block's rays that must agree, 0 to 1; in blocks below it the others are left out.
    pub agreement: f64,
    /// Blocks along the longer side of an image.
    pub blocks: u32,
    /// Rays through a block after which an observation has lost most of its weight (1 − 1/e), at least 1.
    pub memory: f64,
    /// Fraction of the budget before errors are looked at; until then they tell what is not learned yet.
    pub start: f64,
}

impl Default for RobustConfig {
    fn default() -> Self {
        Self { enabled: false, quantile: 0.8, agreement: 0.5, blocks: 32, memory: 16.0, start: 0.1 }
    }
}

impl RobustConfig {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let (quantile, memory) = (self.quantile, self.memory);
        check("robust.quantile", quantile, quantile > 0.0 && quantile < 1.0, "must be above 0 and below 1")?;
        check_fractions(&[("robust.agreement", self.agreement)])?;
        check_count("robust.blocks", u64::from(self.blocks), 1024)?;
        check("robust.memory", memory, (1.0..=1e6).contains(&memory), "must be 1 to 1000000")?;
        check_below_one(&[("robust.start", self.start)])
    }
}

/// Weight of a step's quantile in the running one.
const LIMIT_RATE: f32 = 0.1;

/// Agreement of the blocks of all training images with the field, as far as it is known.
#[derive(Clone, Debug)]
pub struct RobustLoss {
    config: RobustConfig,
    blocks: ImageBlocks,
    /// Fraction of each block's rays that agree, the latest with the most weight.
    agreement: Vec<f32>,
    /// Running quantile of the errors; infinite before the first step.
    limit: f32,
}

impl RobustLoss {
    /// All blocks of `views` agree.
    pub fn new(config: RobustConfig, views: &[View]) -> Self {
        let blocks = ImageBlocks::new(views, config.blocks);
        let agreement = vec![1.0; blocks.len()];
        Self { config, blocks, agreement, limit: f32::INFINITY }
    }

    /// Goes on from a checkpoint's state; `None` where it does not fit these images, or holds what no run leaves.
    pub fn resumed(mut self, state: &TaskState) -> Option<Self> {
        let agreement = state.arrays.get("robust.agreement").filter(|a| a.len() == self.agreement.len())?;
        if !agreement.iter().all(|a| (0.0..=1.0).contains(a)) {
            return None;
        }
        self.agreement.clone_from(agreement);
        // There is none before the first step that looks at errors.
        if let Some(limit) = state.numbers.get("robust.limit") {
            self.limit = *limit as f32;
            if !(self.limit.is_finite() && self.limit >= 0.0) {
                return None;
            }
        }
        Some(self)
    }

    /// Adds the state to a checkpoint's.
    pub(crate) fn store_in(&self, state: &mut TaskState) {
        state.arrays.insert("robust.agreement".into(), self.agreement.clone());
        if self.limit.is_finite() {
            state.numbers.insert("robust.limit".into(), f64::from(self.limit));
        }
    }

    /// `true` where errors are looked at, at this progress through the budget (0 to 1).
    pub fn is_active(&self, progress: f64) -> bool {
        progress >= self.config.start
    }

    /// Limit of each ray's error: the quantile in blocks that contradict the field, infinite in the others.
    pub(crate) fn limits(&self, pixels: &[RayPixel]) -> Vec<f32> {
        let limit = |pixel: &RayPixel| {
            let agreement = f64::from(self.agreement[self.blocks.block(pixel)]);
            if agreement < self.config.agreement { self.limit } else { f32::INFINITY }
        };
        pixels.iter().map(limit).collect()
    }

    /// Learns from the colours of `rays` through `pixels`.
    pub(crate) fn observe(&mut self, pixels: &[RayPixel], rays: &RayBatch, results: &RayResults) {
        let errors: Vec<f32> = mean_squares(rays, results).map(f32::sqrt).collect();
        let mut sorted: Vec<f32> = errors.iter().copied().filter(|e| e.is_finite()).collect();
        let Some(last) = sorted.len().checked_sub(1) else { return };
        let at = (self.config.quantile * last as f64).round() as usize;
        let (_, quantile, _) = sorted.select_nth_unstable_by(at.min(last), f32::total_cmp);
        self.limit =
            if self.limit.is_finite() { self.limit + LIMIT_RATE * (*quantile - self.limit) } else { *quantile };
        let rate = (1.0 / self.config.memory) as f32;
        for (pixel, error) in pixels.iter().zip(&errors) {
            let agrees = if *error <= self.limit { 1.0 } else { 0.0 };
            let known = &mut self.agreement[self.blocks.block(pixel)];
            *known = (*known + rate * (agrees - *known)).clamp(0.0, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_blocks::tests::views as images;

    /// Two images of 16×8 pixels in blocks of 4.
    fn views() -> Vec<View> {
        images(&[[16, 8], [16, 8]])
    }

    fn config() -> RobustConfig {
        RobustConfig { enabled: true, blocks: 4, memory: 4.0, ..RobustConfig::default() }
    }

    /// Every pixel of both images once, with the error that `error` gives by view and pixel.
    fn observe(robust: &mut RobustLoss, error: impl Fn(u32, u32) -> f32) -> Vec<RayPixel> {
        let pixels: Vec<RayPixel> = (0..256).map(|i| RayPixel { view: i / 128, index: i % 128 }).collect();
        let colour: Vec<f32> = pixels.iter().flat_map(|p| [error(p.view, p.index); 3]).collect();
        let rays = RayBatch { target: vec![0.0; colour.len()], ..RayBatch::default() };
        robust.observe(&pixels, &rays, &RayResults { colour, ..RayResults::default() });
        pixels
    }

    #[test]
    fn what_moved_is_left_out_and_detail_is_not() {
        let mut robust = RobustLoss::new(config(), &views());
        let everything = [RayPixel { view: 0, index: 0 }, RayPixel { view: 1, index: 127 }];
        assert_eq!(robust.limits(&everything), [f32::INFINITY; 2], "nothing is known yet");
        // Large errors fill the upper left block of the second image but for its corner, and every eighth pixel elsewhere.
        let moved = |view: u32, i: u32| view == 1 && i % 16 < 4 && i / 16 < 4 && i != 0;
        let error = |view, i: u32| if moved(view, i) || i % 8 == 5 { 0.5 } else { 0.01 + 1e-4 * (i % 3) as f32 };
        let mut pixels = Vec::new();
        for _ in 0..3 {
            pixels = observe(&mut robust, error);
        }
        // 15 of that block's 16 pixels and 4 of 16 in every other block: 47 of 256 errors are large, less than a fifth.
        assert!(robust.limit > 0.01 && robust.limit < 0.5, "{}", robust.limit);
        for (pixel, limit) in pixels.iter().zip(robust.limits(&pixels)) {
            let in_block = pixel.view == 1 && pixel.index % 16 < 4 && pixel.index / 16 < 4;
            assert_eq!(limit, if in_block { robust.limit } else { f32::INFINITY }, "{pixel:?}");
        }
        // When it agrees again, it is used again.
        for _ in 0..3 {
            observe(&mut robust, |_, i| 0.01 + 1e-4 * (i % 3) as f32);
        }
        assert_eq!(robust.limits(&pixels), [f32::INFINITY; 256]);
    }

    #[test]
    fn goes_on_from_a_state() {
        let mut robust = RobustLoss::new(config(), &views());
        let mut state = TaskState::default();
        robust.store_in(&mut state);
        assert!(RobustLoss::new(config(), &views()).resumed(&state).unwrap().limit.is_infinite());
        observe(&mut robust, |view, i| if view == 1 { 0.5 } else { 0.001 * i as f32 });
        robust.store_in(&mut state);
        let again = RobustLoss::new(config(), &views()).resumed(&state).unwrap();
        assert!(again.agreement == robust.agreement && again.limit == robust.limit && robust.limit.is_finite());
        assert!(RobustLoss::new(config(), &views()[..1]).resumed(&state).is_none());
        assert!(RobustLoss::new(config(), &views()).resumed(&TaskState::default()).is_none());
        for wrong in [-0.1, 1.5, f32::NAN] {
            let mut state = state.clone();
            state.arrays.get_mut("robust.agreement").unwrap()[3] = wrong;
            assert!(RobustLoss::new(config(), &views()).resumed(&state).is_none(), "{wrong}");
        }
        state.numbers.insert("robust.limit".into(), -1.0);
        assert!(RobustLoss::new(config(), &views()).resumed(&state).is_none());
    }

    #[test]
    fn errors_that_are_no_numbers_count_as_contradiction() {
        let mut robust = RobustLoss::new(config(), &views());
        observe(&mut robust, |_, _| f32::NAN);
        assert!(
            robust.limit.is_infinite() && robust.agreement.iter().all(|a| *a == 1.0),
            "nothing but NaN tells nothing"
        );
        observe(&mut robust, |view, _| if view == 1 { f32::NAN } else { 0.1 });
        assert!(robust.agreement[..8].iter().all(|a| *a == 1.0) && robust.agreement[8..].iter().all(|a| *a < 0.1));
    }
}
