//! Signal-to-noise ratios, spectral convergence and spectral leakage of a sound against its reference.
//!
//! Sounds are `[frame][channel]` buffers as `f32` or `f64`; sums run in `f64` over all channels together.

use nstr_signal::stft::Stft;
use rayon::prelude::*;
use realfft::num_complex::Complex;
use serde::{Deserialize, Serialize};

/// Samples of the Hann window that [`spectral_convergence`] uses.
pub const STFT_WINDOW: usize = 1024;
/// Samples from one window to the next.
pub const STFT_HOP: usize = 256;
/// Fraction of the reference's largest magnitude below which it counts as silent in [`spectral_leakage`]: −60 dB.
pub const LEAKAGE_FLOOR: f64 = 1e-3;
/// Values or windows that share one partial sum.
const CHUNK: usize = 1 << 14;
const WINDOWS: usize = 32;

/// Metrics of a sound against its reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioMetrics {
    /// Signal-to-noise ratio in dB; infinite for equal sounds.
    pub snr: f64,
    /// Scale-invariant signal-to-distortion ratio in dB; infinite for sounds of equal shape.
    pub si_sdr: f64,
    /// Spectral convergence, 0 for equal magnitudes.
    pub spectral_convergence: f64,
    /// Spectral leakage in dB.
    pub spectral_leakage: f64,
}

/// Sounds that cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AudioMetricError {
    /// The buffers differ in length, are empty, or don't hold whole frames.
    #[error(
        "the reference has {reference} samples, the estimate {estimate}, in {channels} channels; expected the same number \
         of whole frames, at least one: compare sounds of one length"
    )]
    Length {
        /// Samples of the reference.
        reference: usize,
        /// Samples of the estimate.
        estimate: usize,
        /// Samples a frame.
        channels: usize,
    },
    /// The reference is silent, so no ratio to it exists.
    #[error("the reference is silent (all samples are 0): choose a stretch with sound")]
    Silent,
}

/// `10 log₁₀(Σ r² / Σ (r − e)²)`; infinite for equal sounds.
///
/// # Errors
/// [`AudioMetricError`] for buffers that differ in length or are empty, and for a silent reference.
pub fn snr<T: Copy + Into<f64> + Sync>(reference: &[T], estimate: &[T]) -> Result<f64, AudioMetricError> {
    let [signal, noise] = sums(reference, estimate, |r, e| [r * r, (r - e) * (r - e)])?;
    if signal == 0.0 {
        return Err(AudioMetricError::Silent);
    }
    Ok(10.0 * (signal / noise).log10())
}

/// Scale-invariant signal-to-distortion ratio, `10 log₁₀(‖α r‖² / ‖α r − e‖²)` with `α = ⟨e, r⟩ / ‖r‖²`; −∞ for an estimate
/// without anything of the reference in it.
///
/// Le Roux, Wisdom, Erdogan, Hershey, "SDR – half-baked or well done?", ICASSP 2019, eq. 4; means are not removed.
///
/// # Errors
/// As [`snr`].
pub fn si_sdr<T: Copy + Into<f64> + Sync>(reference: &[T], estimate: &[T]) -> Result<f64, AudioMetricError> {
    let [signal, product] = sums(reference, estimate, |r, e| [r * r, r * e])?;
    if signal == 0.0 {
        return Err(AudioMetricError::Silent);
    }
    let scale = product / signal;
    let [target, noise] = sums(reference, estimate, |r, e| [(scale * r).powi(2), (scale * r - e).powi(2)])?;
    // Not 0 / 0 for a silent estimate.
    Ok(if target == 0.0 { f64::NEG_INFINITY } else { 10.0 * (target / noise).log10() })
}

/// `‖|STFT r| − |STFT e|‖ / ‖|STFT r|‖` in the Frobenius norm over all frequencies, windows and channels.
///
/// Arık, Jun, Diamos, "Fast Spectrogram Inversion Using Multi-Head Convolutional Neural Networks", IEEE Signal Processing
/// Letters 26 (2019). Periodic Hann window of [`STFT_WINDOW`], hop of [`STFT_HOP`], windows centred on the samples 0, hop, …,
/// the signal reflected at its ends: magnitudes are librosa's `stft(n_fft=1024, hop_length=256, pad_mode="reflect")`.
///
/// # Errors
/// [`AudioMetricError`] for buffers of `[frame][channels]` that differ in length, are empty or don't hold whole frames, and
/// for a silent reference.
pub fn spectral_convergence<T: Copy + Into<f64> + Sync>(
    reference: &[T],
    estimate: &[T],
    channels: usize,
) -> Result<f64, AudioMetricError> {
    let [apart, whole] = spectra(reference, estimate, channels, [0.0; 2], |sum, r, e| {
        [sum[0] + (r.norm() - e.norm()).powi(2), sum[1] + r.norm_sqr()]
    })?
    .into_iter()
    .fold([0.0; 2], plus);
    if whole == 0.0 { Err(AudioMetricError::Silent) } else { Ok((apart / whole).sqrt()) }
}

/// Spectral leakage in dB: the fraction of the estimate's energy at places of the spectrogram where the reference is
/// silent, its magnitude being below [`LEAKAGE_FLOOR`] of its largest one; −∞ where there is none. Windows are those of
/// [`spectral_convergence`].
///
/// # Errors
/// As [`spectral_convergence`].
pub fn spectral_leakage<T: Copy + Into<f64> + Sync>(
    reference: &[T],
    estimate: &[T],
    channels: usize,
) -> Result<f64, AudioMetricError> {
    let peak = spectra(reference, estimate, channels, 0.0f64, |most, r, _| most.max(r.norm()))?;
    let floor = LEAKAGE_FLOOR * peak.into_iter().fold(0.0, f64::max);
    if floor == 0.0 {
        return Err(AudioMetricError::Silent);
    }
    let [outside, all] = spectra(reference, estimate, channels, [0.0; 2], |sum, r, e| {
        let energy = e.norm_sqr();
        [sum[0] + if r.norm() < floor { energy } else { 0.0 }, sum[1] + energy]
    })?
    .into_iter()
    .fold([0.0; 2], plus);
    // Not 0 / 0 for a silent estimate.
    Ok(if outside == 0.0 { f64::NEG_INFINITY } else { 10.0 * (outside / all).log10() })
}

/// Folds both spectra over all frequencies, windows and channels with `add`, starting at `zero`, in parts that do not
/// depend on the number of threads: their sums in order have the same bits.
fn spectra<T: Copy + Into<f64> + Sync, A: Copy + Send + Sync>(
    reference: &[T],
    estimate: &[T],
    channels: usize,
    zero: A,
    add: impl Fn(A, &Complex<f64>, &Complex<f64>) -> A + Sync,
) -> Result<Vec<A>, AudioMetricError> {
    check(reference.len(), estimate.len(), channels)?;
    let frames = reference.len() / channels;
    let stft = Stft::new(STFT_WINDOW);
    let windows = 1 + frames / STFT_HOP;
    let jobs: Vec<usize> = (0..windows * channels).collect();
    let part = |jobs: &[usize]| {
        let (mut first, mut second) = (stft.scratch(), stft.scratch());
        jobs.iter().fold(zero, |sum, &job| {
            let (channel, centre) = (job / windows, job % windows * STFT_HOP);
            let r = stft.at(frames, |i| reference[i * channels + channel].into(), centre, &mut first);
            let e = stft.at(frames, |i| estimate[i * channels + channel].into(), centre, &mut second);
            r.iter().zip(e).fold(sum, |sum, (r, e)| add(sum, r, e))
        })
    };
    Ok(jobs.par_chunks(WINDOWS).map(part).collect())
}

/// All metrics of two sounds of `[frame][channels]`.
///
/// # Errors
/// As [`spectral_convergence`].
pub fn compare_audio<T: Copy + Into<f64> + Sync>(
    reference: &[T],
    estimate: &[T],
    channels: usize,
) -> Result<AudioMetrics, AudioMetricError> {
    Ok(AudioMetrics {
        snr: snr(reference, estimate)?,
        si_sdr: si_sdr(reference, estimate)?,
        spectral_convergence: spectral_convergence(reference, estimate, channels)?,
        spectral_leakage: spectral_leakage(reference, estimate, channels)?,
    })
}

fn check(reference: usize, estimate: usize, channels: usize) -> Result<(), AudioMetricError> {
    if reference != estimate || reference == 0 || channels == 0 || !reference.is_multiple_of(channels) {
        return Err(AudioMetricError::Length { reference, estimate, channels });
    }
    Ok(())
}

/// Sums of two terms over all samples.
fn sums<T: Copy + Into<f64> + Sync>(
    reference: &[T],
    estimate: &[T],
    terms: impl Fn(f64, f64) -> [f64; 2] + Sync,
) -> Result<[f64; 2], AudioMetricError> {
    check(reference.len(), estimate.len(), 1)?;
    let parts: Vec<[f64; 2]> = reference
        .par_chunks(CHUNK)
        .zip(estimate.par_chunks(CHUNK))
        .map(|(r, e)| r.iter().zip(e).map(|(&r, &e)| terms(r.into(), e.into())).fold([0.0; 2], plus))
        .collect();
    Ok(parts.into_iter().fold([0.0; 2], plus))
}

fn plus(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0] + b[0], a[1] + b[1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        frames: usize,
        channels: usize,
        noise: f64,
        gain: f64,
        snr: f64,
        si_sdr: f64,
        spectral_convergence: f64,
        spectral_leakage: f64,
    }

    /// The sounds of `tests/oracle/sound_metrics.py`, reference and estimate.
    fn sounds(case: &Case) -> [Vec<f64>; 2] {
        let (mut reference, mut estimate) = (Vec::new(), Vec::new());
        for i in 0..case.frames * case.channels {
            let (t, c) = ((i / case.channels) as f64, (i % case.channels) as f64);
            let value = 0.5 * (0.05 * t + 1e-5 * t * t + c).sin() + 0.2 * ((1.1 + 0.3 * c) * t).sin();
            let hash = (i * 7919 + 13) % 1009;
            reference.push(value);
            estimate.push(case.gain * value + case.noise * (hash as f64 / 504.0 - 1.0));
        }
        [reference, estimate]
    }

    #[test]
    fn agrees_with_librosa() {
        let text = include_str!("../../tests/oracle/sound_metrics.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert!(cases.len() >= 5);
        for case in cases {
            let [r, e] = sounds(&case);
            let m = compare_audio(&r, &e, case.channels).unwrap();
            assert!((m.snr - case.snr).abs() < 1e-9, "{m:?} {}", case.snr);
            assert!((m.si_sdr - case.si_sdr).abs() < 1e-9, "{m:?} {}", case.si_sdr);
            let apart = (m.spectral_convergence - case.spectral_convergence).abs();
            assert!(apart < 1e-10, "{m:?} {}", case.spectral_convergence);
            assert!((m.spectral_leakage - case.spectral_leakage).abs() < 1e-6, "{m:?} {}", case.spectral_leakage);
            let [r, e] = [r, e].map(|v| v.iter().map(|&x| x as f32).collect::<Vec<_>>());
            let single = compare_audio(&r, &e, case.channels).unwrap();
            assert!((single.snr - m.snr).abs() < 1e-3, "{single:?} {m:?}");
            assert!((single.spectral_convergence - m.spectral_convergence).abs() < 1e-5, "{single:?} {m:?}");
        }
    }

    #[test]
    fn equal_scaled_and_foreign_sounds() {
        let r: Vec<f64> = (0..3000).map(|i| (0.1 * i as f64).sin()).collect();
        let same = compare_audio(&r, &r, 1).unwrap();
        assert_eq!((same.snr, same.si_sdr, same.spectral_convergence), (f64::INFINITY, f64::INFINITY, 0.0));
        let half: Vec<f64> = r.iter().map(|v| 0.5 * v).collect();
        let m = compare_audio(&r, &half, 1).unwrap();
        assert!((m.snr - 20.0 * 2f64.log10()).abs() < 1e-12 && m.si_sdr == f64::INFINITY, "{m:?}");
        assert!((m.spectral_convergence - 0.5).abs() < 1e-12, "{m:?}");
        assert_eq!(si_sdr(&[1.0, 0.0], &[0.0, 1.0]).unwrap(), f64::NEG_INFINITY);
        assert_eq!(si_sdr(&[1.0, 0.0], &[0.0, 0.0]).unwrap(), f64::NEG_INFINITY);
        // A tone beside another: where the reference has nothing lies all of it, or half of a sum of both.
        let tone = |f: f64| (0..8192).map(move |i| (f * i as f64).sin());
        let (a, b) = (tone(0.3).collect::<Vec<_>>(), tone(1.7).collect::<Vec<_>>());
        // (The reflection at the ends bends the tones: some of the windows there hold every frequency.)
        let all = spectral_leakage(&a, &b, 1).unwrap();
        assert!((-1.0..0.0).contains(&all), "{all}");
        let sum: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let both = spectral_leakage(&a, &sum, 1).unwrap();
        assert!((both - all + 10.0 * 2f64.log10()).abs() < 0.3, "{both} {all}");
        let none = spectral_leakage(&a, &a, 1).unwrap();
        assert!(none < -45.0, "{none}");
        assert_eq!(spectral_leakage(&a, &vec![0.0; 8192], 1).unwrap(), f64::NEG_INFINITY);
        assert_eq!(spectral_leakage(&[0.0; 9], &[1.0; 9], 1), Err(AudioMetricError::Silent));
        assert!(snr(&[1.0, f64::NAN], &[0.0, 1.0]).unwrap().is_nan());
    }

    #[test]
    fn sounds_that_do_not_fit_are_errors() {
        let zeros = [0.0f32; 8];
        let ones = [1.0f32; 8];
        assert_eq!(snr(&zeros, &ones), Err(AudioMetricError::Silent));
        assert_eq!(si_sdr(&zeros, &zeros), Err(AudioMetricError::Silent));
        assert_eq!(spectral_convergence(&zeros, &ones, 2), Err(AudioMetricError::Silent));
        assert!(snr(&ones, &ones[1..]).unwrap_err().to_string().contains("8 samples, the estimate 7"));
        assert!(snr::<f32>(&[], &[]).is_err());
        assert!(spectral_convergence(&ones, &ones, 3).is_err() && spectral_convergence(&ones, &ones, 0).is_err());
    }

    #[test]
    fn threads_change_no_bit() {
        let case = Case {
            frames: 40_000,
            channels: 2,
            noise: 0.1,
            gain: 0.9,
            snr: 0.0,
            si_sdr: 0.0,
            spectral_convergence: 0.0,
            spectral_leakage: 0.0,
        };
        let [r, e] = sounds(&case);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| compare_audio(&r, &e, 2).unwrap())
        };
        assert_eq!(run(1), run(3));
    }
}
