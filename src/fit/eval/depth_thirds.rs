//! PSNR by thirds of the depth: whether what is far is as sharp as what is near.
//!
//! Pixels of all views that the field covers at least by half are put in the order of their expected depths along the ray, and
//! cut into three parts of equally many. Depths are kept to 11 binary digits; pixels of one depth at a cut are shared out.

use nstr_metrics::image;

/// Least opacity of pixels that count.
const COVERED: f32 = 0.5;
/// Bits of a depth that are not kept: 1/2048 of it.
const DROPPED_BITS: u32 = 12;
/// Depths that are told apart: those of finite numbers from 0 on.
const DEPTHS: usize = (f32::MAX.to_bits() >> DROPPED_BITS) as usize + 1;

/// Errors of pixels by depth.
#[derive(Clone, Debug)]
pub struct DepthThirds {
    /// Number of pixels at each depth and the sum of their errors.
    cells: Vec<(u64, f64)>,
}

impl Default for DepthThirds {
    fn default() -> Self {
        Self { cells: vec![(0, 0.0); DEPTHS] }
    }
}

impl DepthThirds {
    /// Adds a pixel with the mean square of its channels' errors. Nothing is added where the field covers less than half of
    /// it, or its depth is no finite number from 0 on.
    pub fn add(&mut self, opacity: f32, depth: f32, squared_error: f64) {
        // Numbers from 0 on are in the order of their bits.
        let is_usable = opacity >= COVERED && depth >= 0.0 && depth.is_finite();
        if is_usable && let Some((count, sum)) = self.cells.get_mut((depth.abs().to_bits() >> DROPPED_BITS) as usize) {
            *count += 1;
            *sum += squared_error;
        }
    }

    /// PSNR in dB of the nearest third of the pixels, the middle and the farthest; `None` without pixels.
    pub fn psnr(&self) -> Option<[f64; 3]> {
        let third = self.cells.iter().map(|(count, _)| *count).sum::<u64>() as f64 / 3.0;
        if third == 0.0 {
            return None;
        }
        let (mut sums, mut below) = ([0.0; 3], 0.0);
        for (count, sum) in self.cells.iter().filter(|(count, _)| *count > 0) {
            let count = *count as f64;
            for (k, total) in sums.iter_mut().enumerate() {
                let (from, to) = (k as f64 * third, (k + 1) as f64 * third);
                let shared = (to.min(below + count) - from.max(below)).max(0.0);
                *total += sum * (shared / count);
            }
            below += count;
        }
        Some(sums.map(|sum| image::psnr_from_mse(sum / third)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn psnr(pixels: impl IntoIterator<Item = (f32, f64)>) -> [f64; 3] {
        let mut thirds = DepthThirds::default();
        pixels.into_iter().for_each(|(depth, error)| thirds.add(1.0, depth, error));
        thirds.psnr().unwrap()
    }

    fn assert_close(found: [f64; 3], want: [f64; 3]) {
        assert!(found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} {want:?}");
    }

    #[test]
    fn thirds_are_by_depth_whatever_the_order() {
        // Errors of 0.1, 0.01 and 1e-4 near, in the middle and far: 10, 20 and 40 dB.
        let error = |i: usize| [0.1, 0.01, 1e-4][i / 100];
        let pixels = (0..300).map(|i| (i * 7) % 300).map(|i| (1.0 + i as f32, error(i)));
        assert_close(psnr(pixels), [10.0, 20.0, 40.0]);
        // Depths of many magnitudes, the farthest as the renderer puts infinity.
        assert_close(psnr([(f32::MAX * 0.25, 1e-4), (0.0, 0.1), (1e-20, 0.01)]), [10.0, 20.0, 40.0]);
    }

    #[test]
    fn pixels_of_one_depth_are_shared_out() {
        assert_close(psnr((0..7).map(|_| (2.0, 0.01))), [20.0; 3]);
        // Of six pixels two are nearer: the four others make the middle and the far third.
        let pixels = [(3.0, 0.1), (1.0, 0.01), (3.0, 0.0), (1.0, 0.01), (3.0, 0.1), (3.0, 0.0)];
        let half = -10.0 * 0.05f64.log10();
        assert_close(psnr(pixels), [20.0, half, half]);
    }

    #[test]
    fn what_is_hardly_covered_has_no_depth() {
        let mut thirds = DepthThirds::default();
        assert_eq!(thirds.psnr(), None);
        thirds.add(0.49, 1.0, 1.0);
        thirds.add(1.0, f32::INFINITY, 1.0);
        thirds.add(1.0, f32::NAN, 1.0);
        assert_eq!(thirds.psnr(), None);
        thirds.add(0.5, 1.0, 0.01);
        assert_close(thirds.psnr().unwrap(), [20.0; 3]);
    }
}
