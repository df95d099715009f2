//! Rays where the field is still wrong: pixels of the image blocks with the largest errors.
//!
//! Most pixels of a capture are learned soon, and their rays teach little more. So a share of a step's rays goes through blocks
//! of the images that are drawn in proportion to the root mean square of the errors seen there lately; the others go through
//! pixels drawn evenly, so that every place is looked at. No weights undo it: where the field is wrong counts more. The best
//! draw for a squared error without bias would have that proportion as well (importance sampling by the gradient's norm).
//! Early in a fit that is worth half a decibel; in a long one the end is as good or better without (docs/results.md), so the share
//! falls with the steps.

use nstr_capture::View;
use nstr_kernel::{RayBatch, RayResults};
use rand::RngExt;
use rand_pcg::Pcg64;

use crate::image_blocks::ImageBlocks;
use crate::rays::{RayConfig, RayPixel, TRIES, mean_squares};
use crate::state::TaskState;

/// Steps before errors guide: until then they tell how far a step has come rather than what is difficult.
const START: u64 = 256;
/// Steps between two takeovers of the errors into what blocks are drawn by.
const INTERVAL: u64 = 64;
/// Steps with the whole share; from then on it is in inverse proportion to the step.
const WHOLE: u64 = 2048;
/// Share of the newest ray in a block's error.
const RATE: f32 = 0.25;
/// Error of a block that no ray went through yet.
const UNKNOWN: f32 = -1.0;

/// Errors of the blocks of all training images.
#[derive(Clone, Debug)]
pub(crate) struct ErrorGuide {
    /// Share of the rays up to step [`WHOLE`].
    share: f32,
    blocks: ImageBlocks,
    /// Running mean of each block's squared errors, or [`UNKNOWN`].
    errors: Vec<f32>,
    /// Errors as they were at the last takeover; empty before the first.
    drawn_by: Vec<f32>,
    /// Sums of the blocks' weights up to and including each.
    cumulative: Vec<f64>,
}

impl ErrorGuide {
    /// Errors of `views`, none of which is known; `None` where `config` asks for none.
    pub fn new(config: &RayConfig, views: &[View]) -> Option<Self> {
        (config.error_share > 0.0).then(|| {
            let blocks = ImageBlocks::new(views, config.error_blocks);
            let errors = vec![UNKNOWN; blocks.len()];
            Self { share: config.error_share, blocks, errors, drawn_by: Vec::new(), cumulative: Vec::new() }
        })
    }

    /// Goes on from a checkpoint's state; `None` where it does not fit these images, or holds what no run leaves. A device leaves
    /// no errors: then none is known.
    pub fn resumed(mut self, state: &TaskState) -> Option<Self> {
        if !state.arrays.contains_key("guide.errors") {
            return Some(self);
        }
        let is_error = |e: &f32| *e == UNKNOWN || (*e >= 0.0 && e.is_finite());
        let array = |name: &str| state.arrays.get(name).filter(|a| a.iter().all(is_error));
        let errors = array("guide.errors").filter(|a| a.len() == self.errors.len())?;
        self.errors.clone_from(errors);
        let drawn_by = array("guide.drawn_by").filter(|a| a.is_empty() || a.len() == errors.len())?;
        self.draw_by(drawn_by.clone());
        Some(self)
    }

    /// Adds the state to a checkpoint's.
    pub fn store_in(&self, state: &mut TaskState) {
        state.arrays.insert("guide.errors".into(), self.errors.clone());
        state.arrays.insert("guide.drawn_by".into(), self.drawn_by.clone());
    }

    /// Draws blocks by these errors from now on.
    fn draw_by(&mut self, errors: Vec<f32>) {
        let known = errors.iter().filter(|e| **e >= 0.0).map(|e| f64::from(*e));
        let (sum, count) = known.fold((0.0, 0usize), |(sum, count), e| (sum + e, count + 1));
        let mean = sum / count.max(1) as f64;
        let mut total = 0.0;
        let weight = |error: &f32| if *error >= 0.0 { f64::from(*error) } else { mean }.sqrt();
        self.cumulative = errors
            .iter()
            .map(|error| {
                total += weight(error);
                total
            })
            .collect();
        self.drawn_by = errors;
    }

    /// Learns from the colours of a step's `rays` through `pixels`. Rays that the robust loss left out tell nothing.
    pub fn observe(&mut self, step: u64, pixels: &[RayPixel], rays: &RayBatch, results: &RayResults) {
        for (i, (pixel, error)) in pixels.iter().zip(mean_squares(rays, results)).enumerate() {
            let is_left_out = rays.error_limit.get(i).is_some_and(|limit| error.sqrt() > *limit);
            if is_left_out || !error.is_finite() {
                continue;
            }
            let known = &mut self.errors[self.blocks.block(pixel)];
            *known = if *known >= 0.0 { *known + RATE * (error - *known) } else { error };
        }
        if step >= START && step.is_multiple_of(INTERVAL) {
            self.draw_by(self.errors.clone());
        }
    }

    /// Share of the rays of a step (from 0).
    fn share_at(&self, step: u64) -> f32 {
        if step <= WHOLE { self.share } else { self.share * WHOLE as f32 / step as f32 }
    }

    /// A random pixel of a block that is drawn by its error, for a share of the calls of a step (from 0); `None` for the others,
    /// and where masks leave no pixel of that block.
    #[inline]
    pub fn pixel(&self, step: u64, views: &[View], rng: &mut Pcg64) -> Option<RayPixel> {
        let total = self.cumulative.last().copied().filter(|total| *total > 0.0)?;
        if rng.random::<f32>() >= self.share_at(step) {
            return None;
        }
        let at = rng.random::<f64>() * total;
        let block = self.cumulative.partition_point(|sum| *sum <= at).min(self.cumulative.len() - 1);
        let is_usable = |pixel: &RayPixel| views[pixel.view as usize].usable(pixel.index as usize);
        (0..TRIES).map(|_| self.blocks.pixel(block, rng)).find(is_usable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_blocks::tests::views;
    use rand::SeedableRng;

    fn config() -> RayConfig {
        RayConfig { error_share: 0.5, error_blocks: 4, ..RayConfig::default() }
    }

    /// Every pixel of two images of 16×8 pixels once, with the error that `error` gives by view and pixel.
    fn observe(guide: &mut ErrorGuide, step: u64, limit: Option<f32>, error: impl Fn(u32, u32) -> f32) {
        let pixels: Vec<RayPixel> = (0..256).map(|i| RayPixel { view: i / 128, index: i % 128 }).collect();
        let colour: Vec<f32> = pixels.iter().flat_map(|p| [error(p.view, p.index); 3]).collect();
        let error_limit = limit.map_or_else(Vec::new, |limit| vec![limit; 256]);
        let rays = RayBatch { target: vec![0.0; colour.len()], error_limit, ..RayBatch::default() };
        guide.observe(step, &pixels, &rays, &RayResults { colour, ..RayResults::default() });
    }

    /// How many of `count` calls draw from each block.
    fn drawn(guide: &ErrorGuide, views: &[View], count: usize) -> (Vec<usize>, usize) {
        drawn_at(WHOLE, guide, views, count)
    }

    fn drawn_at(step: u64, guide: &ErrorGuide, views: &[View], count: usize) -> (Vec<usize>, usize) {
        let mut rng = Pcg64::seed_from_u64(2);
        let (mut counts, mut none) = (vec![0; guide.blocks.len()], 0);
        for _ in 0..count {
            match guide.pixel(step, views, &mut rng) {
                Some(pixel) => counts[guide.blocks.block(&pixel)] += 1,
                None => none += 1,
            }
        }
        (counts, none)
    }

    #[test]
    fn blocks_are_drawn_in_proportion_to_their_errors() {
        let views = views(&[[16, 8], [16, 8]]);
        assert!(ErrorGuide::new(&RayConfig { error_share: 0.0, ..config() }, &views).is_none());
        let mut guide = ErrorGuide::new(&config(), &views).unwrap();
        // Block 3 is three times as wrong as the others, block 9 is perfect.
        let blocks = guide.blocks.clone();
        let error = |view, index| match blocks.block(&RayPixel { view, index }) {
            3 => 0.3,
            9 => 0.0,
            _ => 0.1,
        };
        observe(&mut guide, START - INTERVAL, None, error);
        assert_eq!(drawn(&guide, &views, 100).1, 100, "nothing guides before the first takeover");
        observe(&mut guide, START, None, error);
        let (counts, none) = drawn(&guide, &views, 20_000);
        assert!((9_700..10_300).contains(&none), "{none}");
        let share = |block: usize| counts[block] as f64 / (20_000 - none) as f64;
        assert!((share(3) - 3.0 / 17.0).abs() < 0.015 && counts[9] == 0, "{counts:?}");
        assert!((0..16).filter(|b| *b != 3 && *b != 9).all(|b| (share(b) - 1.0 / 17.0).abs() < 0.01), "{counts:?}");
        let (_, later) = drawn_at(4 * WHOLE, &guide, &views, 20_000);
        assert!((17_200..17_800).contains(&later), "an eighth of the rays after four times as many steps: {later}");
        // What was learned since is taken over at the next interval only.
        observe(&mut guide, START + 1, None, |_, _| 0.2);
        assert_eq!(drawn(&guide, &views, 20_000), (counts, none));
    }

    #[test]
    fn rays_that_are_left_out_and_no_numbers_tell_nothing() {
        let views = views(&[[16, 8], [16, 8]]);
        let mut guide = ErrorGuide::new(&config(), &views).unwrap();
        observe(&mut guide, 0, Some(0.2), |view, _| if view == 0 { 0.1 } else { 0.5 });
        assert!(guide.errors[..8].iter().all(|e| (e - 0.01).abs() < 1e-6) && guide.errors[8..] == [UNKNOWN; 8]);
        observe(&mut guide, START, None, |view, _| if view == 0 { f32::NAN } else { f32::INFINITY });
        assert!(guide.errors[..8].iter().all(|e| (e - 0.01).abs() < 1e-6) && guide.errors[8..] == [UNKNOWN; 8]);
        // Blocks without an error are drawn like the mean of the others.
        let (counts, _) = drawn(&guide, &views, 20_000);
        assert!(counts.iter().all(|count| (500..760).contains(count)), "{counts:?}");
        // Where every error is 0 there is nothing to go by.
        let mut perfect = ErrorGuide::new(&config(), &views).unwrap();
        observe(&mut perfect, START, None, |_, _| 0.0);
        assert_eq!(drawn(&perfect, &views, 50).1, 50);
    }

    #[test]
    fn masked_pixels_are_not_drawn() {
        let mut views = views(&[[16, 8], [16, 8]]);
        // One pixel of each block is usable, and none of the lower blocks of the second image.
        views[0].mask = Some((0..128).map(|i| i % 4 == 0 && i / 16 % 4 == 0).collect());
        views[1].mask = Some((0..128).map(|i| i % 4 == 1 && i / 16 == 1).collect());
        let mut guide = ErrorGuide::new(&config(), &views).unwrap();
        observe(&mut guide, START, None, |_, _| 0.1);
        let mut rng = Pcg64::seed_from_u64(3);
        let drawn: Vec<RayPixel> = (0..2000).filter_map(|_| guide.pixel(WHOLE, &views, &mut rng)).collect();
        assert!(drawn.iter().all(|p| views[p.view as usize].usable(p.index as usize)) && drawn.len() > 500);
    }

    #[test]
    fn goes_on_from_a_state() {
        let views = views(&[[16, 8], [16, 8]]);
        let new = || ErrorGuide::new(&config(), &views).unwrap();
        let mut guide = new();
        let mut state = TaskState::default();
        guide.store_in(&mut state);
        assert_eq!(drawn(&new().resumed(&state).unwrap(), &views, 50).1, 50);
        observe(&mut guide, START, None, |view, i| 0.001 * (i + 100 * view) as f32);
        observe(&mut guide, START + 1, None, |_, i| 0.002 * i as f32);
        guide.store_in(&mut state);
        let again = new().resumed(&state).unwrap();
        assert!(again.errors == guide.errors && again.cumulative == guide.cumulative);
        assert_eq!(drawn(&again, &views, 500), drawn(&guide, &views, 500));
        assert_eq!(drawn(&new().resumed(&TaskState::default()).unwrap(), &views, 50).1, 50, "a device keeps no errors");
        assert!(ErrorGuide::new(&config(), &views[..1]).unwrap().resumed(&state).is_none());
        for (name, wrong) in [("guide.errors", -0.5), ("guide.errors", f32::NAN), ("guide.drawn_by", f32::INFINITY)] {
            let mut state = state.clone();
            state.arrays.get_mut(name).unwrap()[3] = wrong;
            assert!(new().resumed(&state).is_none(), "{name} {wrong}");
        }
        state.arrays.get_mut("guide.drawn_by").unwrap().pop();
        assert!(new().resumed(&state).is_none());
    }
}
