//! Short-time Fourier transforms of real signals.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// Plan of transforms with a Hann window (periodic, as spectral analysis uses it).
#[derive(Clone)]
pub struct Stft {
    window: Vec<f64>,
    plan: Arc<dyn RealToComplex<f64>>,
}

/// Room for one transform.
pub struct StftScratch {
    input: Vec<f64>,
    output: Vec<Complex<f64>>,
    inner: Vec<Complex<f64>>,
}

impl Stft {
    /// A plan for windows of `size` samples, at least 1.
    pub fn new(size: usize) -> Self {
        let size = size.max(1);
        let angle = |i: usize| std::f64::consts::TAU * i as f64 / size as f64;
        let window = (0..size).map(|i| 0.5 - 0.5 * angle(i).cos()).collect();
        Self { window, plan: RealFftPlanner::new().plan_fft_forward(size) }
    }

    /// Frequencies of a transform: from 0 to Nyquist.
    pub fn bins(&self) -> usize {
        self.window.len() / 2 + 1
    }

    /// Room for one transform.
    pub fn scratch(&self) -> StftScratch {
        StftScratch {
            input: self.plan.make_input_vec(),
            output: self.plan.make_output_vec(),
            inner: self.plan.make_scratch_vec(),
        }
    }

    /// Spectrum of the window around `centre` (the sample in the window's middle) of a signal that is reflected at its first
    /// and last sample. `signal(i)` is sample `i` of `len`, at least 1.
    pub fn at<'a>(
        &self,
        len: usize,
        signal: impl Fn(usize) -> f64,
        centre: usize,
        room: &'a mut StftScratch,
    ) -> &'a [Complex<f64>] {
        let start = centre as i64 - (self.window.len() / 2) as i64;
        for (k, (x, w)) in room.input.iter_mut().zip(&self.window).enumerate() {
            *x = w * signal(reflected(start + k as i64, len));
        }
        // The buffers are the plan's own, so it cannot fail.
        let done = self.plan.process_with_scratch(&mut room.input, &mut room.output, &mut room.inner);
        debug_assert!(done.is_ok());
        &room.output
    }
}

/// Index within `len` samples of position `i` of the signal mirrored at its first and last sample, which are not repeated.
fn reflected(i: i64, len: usize) -> usize {
    let last = len.saturating_sub(1) as i64;
    if last == 0 {
        return 0;
    }
    let i = i.rem_euclid(2 * last);
    i.min(2 * last - i) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflection_repeats_no_end() {
        let mirrored: Vec<usize> = (-4..8).map(|i| reflected(i, 4)).collect();
        assert_eq!(mirrored, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!(reflected(-7, 1), 0);
    }

    #[test]
    fn a_sine_peaks_in_its_bin() {
        let stft = Stft::new(64);
        let wave = |i: usize| (std::f64::consts::TAU * 5.0 * i as f64 / 64.0).sin();
        let mut room = stft.scratch();
        let magnitudes: Vec<f64> = stft.at(1000, wave, 500, &mut room).iter().map(|c| c.norm()).collect();
        assert_eq!(magnitudes.len(), stft.bins());
        // Half the window's sum in the bin, a quarter beside it, nothing elsewhere.
        for (bin, m) in magnitudes.iter().enumerate() {
            let want = [16.0, 8.0].get(bin.abs_diff(5)).copied().unwrap_or(0.0);
            assert!((m - want).abs() < 1e-9, "{bin} {m}");
        }
    }
}
