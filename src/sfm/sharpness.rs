//! Blur of an image without a sharp one to compare with: Crété-Roffet et al. 2007, "The blur effect".
//!
//! A sharp image loses much of the differences between neighbouring pixels when it is blurred again, a blurred one little. The
//! measure hardly depends on what the image shows, so that one limit serves for all. Here it is taken after a slight smoothing and over
//! differences that noise does not make, because the noise of a dark video would count as sharpness; of both axes the blurrier
//! counts, because shaking hands blur along one direction.

use crate::gray::{Gray, MEASURED_SIDE};

/// Blur from which on an image is of little use, at 640 pixels of the longest side: photographs measured have 0.28 to 0.47, 9 pixels
/// of shake 0.6 to 0.78, a Gaussian of 2 pixels 0.62 to 0.75.
pub(crate) const BLUR_LIMIT: f64 = 0.6;
/// Window of the second blur, in pixels.
const WINDOW: usize = 9;
/// Differences of neighbours that may be noise, of 255.
const NOISE: f32 = 3.0;
/// Least part of an image's differences that is above the noise; an image with less shows nothing.
const MIN_EDGES: f64 = 1e-3;

/// Blur of an image at [`MEASURED_SIDE`] at most, 0 (none) to 1; an image without edges has 1.
pub(crate) fn blur(image: &Gray) -> f64 {
    let image = image.reduced(MEASURED_SIDE);
    let across = smoothed(&image);
    let down = smoothed(&transposed(&image));
    // Each was smoothed along its rows; the smoothing of the other axis is that of the other image.
    let rows = transposed(&smoothed(&transposed(&across)));
    let columns = transposed(&smoothed(&transposed(&down)));
    blur_along_rows(&rows).max(blur_along_rows(&columns))
}

fn transposed(image: &Gray) -> Gray {
    Gray::from_fn(image.height, image.width, |x, y| image.at(y, x))
}

/// Smoothed along rows by ¼ ½ ¼.
fn smoothed(image: &Gray) -> Gray {
    let last = image.width.saturating_sub(1);
    Gray::from_fn(image.width, image.height, |x, y| {
        0.25 * image.at(x.saturating_sub(1), y) + 0.5 * image.at(x, y) + 0.25 * image.at((x + 1).min(last), y)
    })
}

fn blur_along_rows(image: &Gray) -> f64 {
    let (mut all, mut lost, mut edges) = (0.0, 0.0, 0usize);
    let width = image.width;
    if width < 2 {
        return 1.0;
    }
    for row in image.data.chunks_exact(width) {
        let blurred = box_filtered(row);
        for x in 1..width {
            let sharp = (row[x] - row[x - 1]).abs();
            if sharp > NOISE {
                edges += 1;
                all += f64::from(sharp);
                lost += f64::from((sharp - (blurred[x] - blurred[x - 1]).abs()).max(0.0));
            }
        }
    }
    if (edges as f64) < MIN_EDGES * image.data.len() as f64 { 1.0 } else { 1.0 - lost / all }
}

/// Means over [`WINDOW`] samples, the ends repeated.
fn box_filtered(row: &[f32]) -> Vec<f32> {
    let half = (WINDOW / 2) as isize;
    let last = row.len() as isize - 1;
    let sample = |i: isize| row[i.clamp(0, last) as usize];
    let mut sum: f32 = (-half..=half).map(sample).sum();
    let mut out = Vec::with_capacity(row.len());
    for x in 0..=last {
        out.push(sum / WINDOW as f32);
        sum += sample(x + half + 1) - sample(x - half);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::textured;

    fn shaken(image: &Gray, pixels: usize) -> Gray {
        let mean = |x: usize, y: usize| {
            (0..pixels).map(|i| image.at((x + i).min(image.width - 1), y)).sum::<f32>() / pixels as f32
        };
        Gray::from_fn(image.width, image.height, mean)
    }

    #[test]
    fn blur_grows_with_shake_along_either_axis_and_the_limit_is_passed() {
        let sharp = textured(320, 240, 0.0, 0.0);
        let values: Vec<f64> = [1, 3, 5, 9, 15].iter().map(|n| blur(&shaken(&sharp, *n))).collect();
        assert!(values.windows(2).all(|w| w[0] < w[1]), "{values:?}");
        assert!(values[0] < BLUR_LIMIT && values[3] > BLUR_LIMIT, "{values:?}");
        let upright = transposed(&shaken(&sharp, 9));
        assert!((blur(&upright) - values[3]).abs() < 1e-9);
    }

    #[test]
    fn brightness_and_contrast_hardly_count() {
        let sharp = textured(320, 240, 0.0, 0.0);
        let dim = Gray { data: sharp.data.iter().map(|v| 20.0 + 0.6 * v).collect(), ..sharp.clone() };
        assert!((blur(&sharp) - blur(&dim)).abs() < 0.03, "{} {}", blur(&sharp), blur(&dim));
    }

    #[test]
    fn nothing_to_see_is_blurred() {
        assert_eq!(blur(&Gray::from_fn(64, 48, |_, _| 90.0)), 1.0);
        assert_eq!(blur(&Gray::from_fn(1, 1, |_, _| 90.0)), 1.0);
        let noise = |x: usize, y: usize| 90.0 + ((x * 7919 + y * 104_729) % 13) as f32 * 0.2;
        assert_eq!(blur(&Gray::from_fn(64, 48, noise)), 1.0);
    }
}
