//! Metrics of a fitted picture or sound against its original.

use nstr_image::colour::srgb_from_linear;
use nstr_metrics::audio::{AudioMetricError, compare_audio, snr};
use nstr_metrics::image::{SSIM_WINDOW, psnr, ssim};
use nstr_signal::Signal;
use nstr_signal::{ImageSignal, PixelEncoding};
use rayon::prelude::*;
use serde::Serialize;
use thiserror::Error;

use crate::signal::{SignalConfig, train_sample_indices};

/// Metrics of a reconstructed signal against its original; those that do not apply are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SignalScores {
    /// Pictures: peak signal-to-noise ratio in dB of values clamped to 0 to 1 (scene-linear ones through the sRGB curve).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psnr: Option<f64>,
    /// Pictures of at least 11×11 pixels: structural similarity of the same values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssim: Option<f64>,
    /// Scene-linear pictures: mean of `(v − r)² / (r² + 0.01)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_mse: Option<f64>,
    /// Pictures of which training saw a fraction: PSNR on the samples that it did not see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psnr_held_out: Option<f64>,
    /// Sounds: signal-to-noise ratio in dB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snr: Option<f64>,
    /// Sounds of which training saw a fraction: SNR on the samples that it did not see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snr_held_out: Option<f64>,
    /// Sounds: the SNR after the best scaling of the original.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub si_sdr: Option<f64>,
    /// Sounds: spectral convergence, the relative error of the magnitudes of the short-time Fourier transform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spectral_convergence: Option<f64>,
    /// Sounds: spectral leakage in dB, the fraction of energy where the original's spectrogram has nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spectral_leakage: Option<f64>,
}

/// A signal that cannot be compared with its original.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SignalEvalError {
    /// A picture and a sound, or two signals of different sizes.
    #[error("the model stands for {model}, the reference is {reference}: give the file that it was fitted to")]
    Differ {
        /// Kind and size of the model's signal.
        model: String,
        /// Kind and size of the reference.
        reference: String,
    },
    /// A silent reference.
    #[error(transparent)]
    AudioSignal(#[from] AudioMetricError),
}

/// Metrics of `fit` against `reference`; where `config` has a `share` below 1 also on the samples that the fit with `seed`
/// did not see.
///
/// # Errors
/// [`SignalEvalError`] where the two differ in kind or size, or the reference is silent.
pub fn evaluate_signal(
    fit: &Signal,
    reference: &Signal,
    config: &SignalConfig,
    seed: u64,
) -> Result<SignalScores, SignalEvalError> {
    let differ = || SignalEvalError::Differ { model: describe(fit), reference: describe(reference) };
    if fit.size() != reference.size() || fit.channels() != reference.channels() {
        return Err(differ());
    }
    // A reduced signal has other samples than those that are compared.
    let unseen = unseen_samples(reference.size(), config, seed);
    match (fit, reference) {
        (Signal::Image(fit), Signal::Image(reference)) => Ok(pictures(fit, reference, &unseen)),
        (Signal::Audio(fit), Signal::Audio(reference)) => {
            let (f, r, channels) = (&fit.data, &reference.data, reference.channels);
            let held = || snr(&pick(r, &unseen, channels), &pick(f, &unseen, channels));
            let all = compare_audio(r, f, channels)?;
            Ok(SignalScores {
                snr: Some(all.snr),
                snr_held_out: (!unseen.is_empty()).then(held).transpose()?,
                si_sdr: Some(all.si_sdr),
                spectral_convergence: Some(all.spectral_convergence),
                spectral_leakage: Some(all.spectral_leakage).filter(|v| v.is_finite()),
                ..SignalScores::default()
            })
        }
        _ => Err(differ()),
    }
}

fn pictures(fit: &ImageSignal, reference: &ImageSignal, unseen: &[usize]) -> SignalScores {
    let ImageSignal { width, height, channels, .. } = *reference;
    let [a, b] = [fit, reference].map(display_values);
    let held = || psnr(&pick(&a, unseen, channels), &pick(&b, unseen, channels));
    let relative = |(v, r): (&f32, &f32)| f64::from(v - r).powi(2) / (f64::from(r * r) + 0.01);
    SignalScores {
        psnr: Some(psnr(&a, &b)),
        ssim: (width.min(height) >= SSIM_WINDOW).then(|| ssim(&a, &b, (width, height), channels).ok()).flatten(),
        relative_mse: (reference.encoding == PixelEncoding::Linear).then(|| {
            let each = fit.data.iter().zip(&reference.data).map(relative);
            each.sum::<f64>() / reference.data.len().max(1) as f64
        }),
        psnr_held_out: (!unseen.is_empty()).then(held),
        ..SignalScores::default()
    }
}

/// The values of some samples.
fn pick(data: &[f32], samples: &[usize], channels: usize) -> Vec<f32> {
    samples.iter().flat_map(|i| &data[i * channels..(i + 1) * channels]).copied().collect()
}

/// Display values, 0 to 1.
fn display_values(picture: &ImageSignal) -> Vec<f32> {
    let value = |v: &f32| match picture.encoding {
        PixelEncoding::Srgb => v.clamp(0.0, 1.0),
        PixelEncoding::Linear => srgb_from_linear(*v).clamp(0.0, 1.0),
    };
    picture.data.par_iter().map(value).collect()
}

/// The samples that training does not see; none where it sees all, or another, smaller signal.
fn unseen_samples(size: [usize; 2], config: &SignalConfig, seed: u64) -> Vec<usize> {
    let trained = if config.reduce > 1 { None } else { train_sample_indices(size, config, seed) };
    let Some(trained) = trained else { return Vec::new() };
    let mut seen = vec![false; size[0] * size[1]];
    trained.iter().for_each(|i| seen[*i as usize] = true);
    (0..seen.len()).filter(|i| !seen[*i]).collect()
}

fn describe(signal: &Signal) -> String {
    match signal {
        Signal::Image(p) => format!("a picture of {}x{} with {} channels", p.width, p.height, p.channels),
        Signal::Audio(s) => format!("a sound of {} frames with {} channels", s.frames(), s.channels),
    }
}
