//! PSNR and SSIM of an image against its reference.
//!
//! Images are `[pixel][channel]` buffers, rows from the top, with values from 0 to 1, as `f32` or `f64`; sums run in `f64`.
//! Both measures agree with scikit-image 0.26 (`peak_signal_noise_ratio` and `structural_similarity` with
//! `gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1`), which the tests hold them to.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Taps of the SSIM window along each axis; an image must have as many pixels a side.
pub const SSIM_WINDOW: usize = 11;
/// Standard deviation of the window's Gaussian in pixels.
const SIGMA: f64 = 1.5;
/// (K1 L)² and (K2 L)² with K1 = 0.01, K2 = 0.03 and the data range L = 1.
const C1: f64 = 1e-4;
const C2: f64 = 9e-4;
/// Rows of the SSIM map that one task makes.
const STRIP: usize = 32;
/// Values that share one partial sum of the squared error.
const CHUNK: usize = 1 << 14;

/// Metrics of an image against its reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageMetrics {
    /// Peak signal-to-noise ratio in dB, peak 1; infinite for equal images.
    pub psnr: f64,
    /// Structural similarity, at most 1 (equal images).
    pub ssim: f64,
}

/// Images that cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageMetricError {
    /// The length of a buffer does not match the image's size.
    #[error(
        "the {which} image has {len} values; {width}x{height} pixels of {channels} channels are {}",
        width * height * channels
    )]
    Length {
        /// "measured", "reference" or "mask".
        which: &'static str,
        /// Values in the buffer.
        len: usize,
        /// Pixels along x.
        width: usize,
        /// Pixels along y.
        height: usize,
        /// Values a pixel.
        channels: usize,
    },
    /// The window of SSIM does not fit.
    #[error("SSIM needs at least 11x11 pixels; the images have {width}x{height}: compare them at a larger size")]
    Small {
        /// Pixels along x.
        width: usize,
        /// Pixels along y.
        height: usize,
    },
}

/// Mean squared error of two buffers; 0 for empty ones. Only as many values count as both have.
pub fn mse<T: Copy + Into<f64> + Sync>(measured: &[T], reference: &[T]) -> f64 {
    let count = measured.len().min(reference.len());
    // Sums by fixed chunks: the same bits on any number of threads.
    let parts: Vec<f64> = measured[..count]
        .par_chunks(CHUNK)
        .zip(reference[..count].par_chunks(CHUNK))
        .map(|(a, b)| a.iter().zip(b).map(|(&a, &b)| (a.into() - b.into()).powi(2)).sum())
        .collect();
    parts.iter().sum::<f64>() / count.max(1) as f64
}

/// PSNR in dB of a mean squared error, peak 1: `−10 log₁₀ mse`; infinite for 0.
pub fn psnr_from_mse(mse: f64) -> f64 {
    -10.0 * mse.log10()
}

/// PSNR in dB of two buffers of equal length, peak 1, over all pixels and channels alike.
pub fn psnr<T: Copy + Into<f64> + Sync>(measured: &[T], reference: &[T]) -> f64 {
    psnr_from_mse(mse(measured, reference))
}

/// PSNR and SSIM of two images of `size` (width, height) and `channels` values a pixel.
///
/// # Errors
/// As [`ssim`].
pub fn compare_images<T: Copy + Into<f64> + Sync>(
    measured: &[T],
    reference: &[T],
    size: (usize, usize),
    channels: usize,
) -> Result<ImageMetrics, ImageMetricError> {
    let ssim = ssim(measured, reference, size, channels)?;
    Ok(ImageMetrics { psnr: psnr(measured, reference), ssim })
}

/// Mean structural similarity of two images of `size` (width, height) and `channels` values a pixel.
///
/// Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE
/// Transactions on Image Processing 13 (2004), eq. 13, with the paper's window (11×11, Gaussian, σ = 1.5) and constants
/// (K1 = 0.01, K2 = 0.03); data range 1. Windows lie wholly in the image; the mean runs over them, then over channels.
///
/// # Errors
/// [`ImageMetricError`] where a buffer's length differs from what `size` and `channels` say, where there is no channel, or
/// where a side is below [`SSIM_WINDOW`].
pub fn ssim<T: Copy + Into<f64> + Sync>(
    measured: &[T],
    reference: &[T],
    size: (usize, usize),
    channels: usize,
) -> Result<f64, ImageMetricError> {
    // Without a mask there is a window, and so a mean.
    ssim_usable(measured, reference, size, channels, None).map(|mean| mean.unwrap_or(f64::NAN))
}

/// [`ssim`] over the windows that lie wholly in usable pixels (`[pixel]`); `None` where there is no such window.
///
/// What a mask leaves out takes no part, not even through a window that touches it.
///
/// # Errors
/// Those of [`ssim`], and a mask of another length than the image.
pub fn ssim_usable<T: Copy + Into<f64> + Sync>(
    measured: &[T],
    reference: &[T],
    size: (usize, usize),
    channels: usize,
    usable: Option<&[bool]>,
) -> Result<Option<f64>, ImageMetricError> {
    let (width, height) = size;
    for (which, len) in [("measured", measured.len()), ("reference", reference.len())] {
        if len != width * height * channels || channels == 0 {
            return Err(ImageMetricError::Length { which, len, width, height, channels });
        }
    }
    if let Some(len) = usable.map(<[bool]>::len).filter(|len| *len != width * height) {
        return Err(ImageMetricError::Length { which: "mask", len, width, height, channels: 1 });
    }
    if width.min(height) < SSIM_WINDOW {
        return Err(ImageMetricError::Small { width, height });
    }
    let rows = height - SSIM_WINDOW + 1;
    let strips = rows.div_ceil(STRIP);
    // One partial sum a strip and channel, added in a fixed order.
    let parts: Vec<(f64, usize)> = (0..strips * channels)
        .into_par_iter()
        .map(|task| {
            let (channel, first) = (task / strips, task % strips * STRIP);
            let count = STRIP.min(rows - first);
            let pixels = first * width..(first + count + SSIM_WINDOW - 1) * width;
            let values = pixels.start * channels..pixels.end * channels;
            let windows = usable.map(|usable| usable_windows(&usable[pixels], width));
            strip(&measured[values.clone()], &reference[values], width, channels, channel, windows.as_deref())
        })
        .collect();
    let count: usize = parts.iter().map(|p| p.1).sum();
    Ok((count > 0).then(|| parts.iter().map(|p| p.0).sum::<f64>() / count as f64))
}

/// The windows of some rows, row by row, of which every pixel is usable.
fn usable_windows(usable: &[bool], width: usize) -> Vec<bool> {
    let columns = width - SSIM_WINDOW + 1;
    // Usable pixels up to here in the row, then rows of usable runs up to here in the column.
    let mut run_below = vec![0; columns];
    let mut out = Vec::new();
    for (y, row) in usable.chunks_exact(width).enumerate() {
        let mut run = 0;
        for (x, usable) in row.iter().enumerate() {
            run = if *usable { run + 1 } else { 0 };
            if let Some(column) = (x + 1).checked_sub(SSIM_WINDOW) {
                run_below[column] = if run >= SSIM_WINDOW { run_below[column] + 1 } else { 0 };
            }
        }
        if y + 1 >= SSIM_WINDOW {
            out.extend(run_below.iter().map(|below| *below >= SSIM_WINDOW));
        }
    }
    out
}

/// Weights of the window along one axis; they sum to 1.
fn window() -> [f64; SSIM_WINDOW] {
    let middle = (SSIM_WINDOW / 2) as f64;
    let raw: [f64; SSIM_WINDOW] = std::array::from_fn(|i| (-0.5 * ((i as f64 - middle) / SIGMA).powi(2)).exp());
    let sum: f64 = raw.iter().sum();
    raw.map(|w| w / sum)
}

/// Adds `weight · from` to `to`, as far as `to` goes.
fn add_scaled(to: &mut [f64], from: &[f64], weight: f64) {
    to.iter_mut().zip(from).for_each(|(t, f)| *t += weight * f);
}

/// Sum of the SSIM map over the windows of some rows of one channel, and their number. `windows` says which of them count.
fn strip<T: Copy + Into<f64>>(
    a: &[T],
    b: &[T],
    width: usize,
    channels: usize,
    channel: usize,
    windows: Option<&[bool]>,
) -> (f64, usize) {
    let (weights, columns) = (window(), width - SSIM_WINDOW + 1);
    // E[a], E[b], E[a² + b²] and E[ab] along x; SSIM needs the two variances only as their sum.
    let mut along_x: Vec<[Vec<f64>; 4]> = Vec::with_capacity(STRIP + SSIM_WINDOW);
    let mut moments: [Vec<f64>; 4] = std::array::from_fn(|_| vec![0.0; width]);
    for (a, b) in a.chunks_exact(width * channels).zip(b.chunks_exact(width * channels)) {
        for i in 0..width {
            let (a, b): (f64, f64) = (a[i * channels + channel].into(), b[i * channels + channel].into());
            (moments[0][i], moments[1][i], moments[2][i], moments[3][i]) = (a, b, a * a + b * b, a * b);
        }
        along_x.push(std::array::from_fn(|m| {
            let mut sums = vec![0.0; columns];
            weights.iter().enumerate().for_each(|(k, &w)| add_scaled(&mut sums, &moments[m][k..], w));
            sums
        }));
    }
    let (mut total, mut count) = (0.0, 0);
    let mut means: [Vec<f64>; 4] = std::array::from_fn(|_| vec![0.0; columns]);
    for (y, rows) in along_x.windows(SSIM_WINDOW).enumerate() {
        let usable = windows.map(|w| &w[y * columns..(y + 1) * columns]);
        for (m, mean) in means.iter_mut().enumerate() {
            mean.fill(0.0);
            weights.iter().zip(rows).for_each(|(&w, row)| add_scaled(mean, &row[m], w));
        }
        let [a, b, squares, products] = &means;
        for i in (0..columns).filter(|i| usable.is_none_or(|u| u[*i])) {
            count += 1;
            let (both, square) = (a[i] * b[i], a[i] * a[i] + b[i] * b[i]);
            let numerator = (2.0 * both + C1) * (2.0 * (products[i] - both) + C2);
            total += numerator / ((square + C1) * (squares[i] - square + C2));
        }
    }
    (total, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The images of `tests/oracle/image_metrics.py`, reference and measured.
    fn images_of(case: &Case) -> [Vec<f64>; 2] {
        let (mut reference, mut measured) = (Vec::new(), Vec::new());
        for i in 0..case.width * case.height * case.channels {
            let (pixel, c) = (i / case.channels, i % case.channels);
            let (x, y) = (pixel % case.width, pixel / case.width);
            let wave = (0.23 * x as f64 + 0.011 * (y * y) as f64 + 1.7 * c as f64).sin();
            let edge = if (x / 7 + y / 5) % 2 == 0 { 0.15 } else { -0.15 };
            let value = 0.5 + 0.3 * wave + edge;
            let hash = (x * 7919 + y * 104_729 + c * 1_299_709) % 1009;
            reference.push(value);
            measured.push((value + case.noise * (hash as f64 / 504.0 - 1.0) + case.shift).clamp(0.0, 1.0));
        }
        [measured, reference]
    }

    #[derive(Deserialize)]
    struct Case {
        width: usize,
        height: usize,
        channels: usize,
        noise: f64,
        shift: f64,
        mse: f64,
        psnr: f64,
        ssim: f64,
    }

    #[test]
    fn agrees_with_scikit_image() {
        let text = include_str!("../../tests/oracle/image_metrics.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert!(cases.len() >= 5);
        for case in cases {
            let [a, b] = images_of(&case);
            let size = (case.width, case.height);
            let m = compare_images(&a, &b, size, case.channels).unwrap();
            assert!((mse(&a, &b) - case.mse).abs() < 1e-12 * case.mse.max(1e-3), "{} {}", mse(&a, &b), case.mse);
            assert!((m.psnr - case.psnr).abs() < 1e-9, "{m:?} {}", case.psnr);
            assert!((m.ssim - case.ssim).abs() < 1e-10, "{m:?} {}", case.ssim);
            let [a, b] = [a, b].map(|v| v.iter().map(|&x| x as f32).collect::<Vec<_>>());
            let single = compare_images(&a, &b, size, case.channels).unwrap();
            assert!((single.ssim - m.ssim).abs() < 1e-5 && (single.psnr - m.psnr).abs() < 1e-3, "{single:?} {m:?}");
        }
    }

    #[test]
    fn equal_pictures_and_order() {
        let case = Case { width: 40, height: 60, channels: 3, noise: 0.1, shift: 0.0, mse: 0.0, psnr: 0.0, ssim: 0.0 };
        let [a, b] = images_of(&case);
        let same = compare_images(&a, &a, (40, 60), 3).unwrap();
        assert!(same.psnr == f64::INFINITY && (same.ssim - 1.0).abs() < 1e-12, "{same:?}");
        let (forth, back) = (ssim(&a, &b, (40, 60), 3).unwrap(), ssim(&b, &a, (40, 60), 3).unwrap());
        assert!((forth - back).abs() < 1e-14);
        assert!((psnr_from_mse(1e-3) - 30.0).abs() < 1e-12);
        // Transposed images have transposed windows.
        let turn = |v: &[f64]| -> Vec<f64> {
            (0..v.len()).map(|i| v[(i / 3 % 60 * 40 + i / 180) * 3 + i % 3]).collect::<Vec<_>>()
        };
        assert!((ssim(&turn(&a), &turn(&b), (60, 40), 3).unwrap() - forth).abs() < 1e-12);
    }

    #[test]
    fn threads_change_no_bit() {
        let case =
            Case { width: 150, height: 131, channels: 3, noise: 0.2, shift: 0.0, mse: 0.0, psnr: 0.0, ssim: 0.0 };
        let [a, b] = images_of(&case);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| compare_images(&a, &b, (150, 131), 3).unwrap())
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn pictures_that_do_not_fit_are_errors() {
        let said = |len: usize, size, channels| {
            ssim(&vec![0.5f32; len], &vec![0.5f32; len], size, channels).unwrap_err().to_string()
        };
        assert!(said(300, (11, 11), 3).contains("300 values; 11x11 pixels of 3 channels are 363"));
        assert!(said(300, (10, 10), 3).contains("10x10"));
        assert!(said(0, (0, 0), 3).contains("11x11"));
        assert!(said(0, (20, 20), 0).contains("0 channels"));
        let uneven = ssim(&[0.0f64; 363], &[0.0; 360], (11, 11), 3).unwrap_err();
        assert!(uneven.to_string().contains("reference"), "{uneven}");
    }

    #[test]
    fn masked_pixels_take_no_part() {
        let case = Case { width: 60, height: 80, channels: 3, noise: 0.2, shift: 0.05, mse: 0.0, psnr: 0.0, ssim: 0.0 };
        let [a, b] = images_of(&case);
        let whole = ssim(&a, &b, (60, 80), 3).unwrap();
        let masked = |a: &[f64], usable: &[bool]| ssim_usable(a, &b, (60, 80), 3, Some(usable)).unwrap();
        assert_eq!(masked(&a, &[true; 4800]), Some(whole), "bit for bit");
        // The lower right 40 by 50 alone, as an image of its own.
        let inside = |i: usize| i % 60 >= 20 && i / 60 >= 30;
        let usable: Vec<bool> = (0..4800).map(inside).collect();
        let cut = |v: &[f64]| (0..4800).filter(|i| inside(*i)).flat_map(|i| v[3 * i..3 * i + 3].to_vec()).collect();
        let [small_a, small_b]: [Vec<f64>; 2] = [cut(&a), cut(&b)];
        let wanted = ssim(&small_a, &small_b, (40, 50), 3).unwrap();
        let found = masked(&a, &usable).unwrap();
        assert!((found - wanted).abs() < 1e-13 && (found - whole).abs() > 1e-4, "{found} {wanted} {whole}");
        // Whatever stands under the mask.
        let mut other = a.clone();
        (0..14_400).filter(|i| !usable[i / 3]).for_each(|i| other[i] = 1.0 - other[i]);
        assert_eq!(masked(&other, &usable), Some(found));
        let lattice: Vec<bool> = (0..4800).map(|i| i % 7 != 0).collect();
        assert_eq!(masked(&a, &lattice), None, "no window is whole");
        assert!(ssim_usable(&a, &b, (60, 80), 3, Some(&lattice[1..])).unwrap_err().to_string().contains("mask"));
    }

    #[test]
    #[ignore = "a measurement: cargo test --release -- --ignored --nocapture ssim_speed"]
    fn ssim_speed() {
        let case =
            Case { width: 800, height: 800, channels: 3, noise: 0.2, shift: 0.0, mse: 0.0, psnr: 0.0, ssim: 0.0 };
        let [a, b] = images_of(&case).map(|v| v.iter().map(|&x| x as f32).collect::<Vec<_>>());
        for _ in 0..3 {
            let start = std::time::Instant::now();
            let m = compare_images(&a, &b, (800, 800), 3).unwrap();
            println!("{m:?} in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
        }
    }
}
