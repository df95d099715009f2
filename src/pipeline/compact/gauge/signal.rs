//! Pictures and sounds: all samples.

use std::path::Path;

use nstr_field::model::Model;
use nstr_fit::eval::SignalScores;
use nstr_fit::sensitivity::SensitivityEstimator;
use nstr_signal::Signal;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::super::decibels;
use super::{Gauge, stored_score};
use crate::error::Error;
use crate::field::SignalModel;

/// Batches that the sensitivity is measured on, and points of each.
const BATCHES: usize = 64;
const BATCH: usize = 1 << 12;
/// Score in dB of a model that was saved without one.
const USUAL_SCORE: f64 = 35.0;

/// Samples of a picture or a sound.
pub(crate) struct SignalGauge<'a> {
    /// File of the model, for messages.
    path: &'a Path,
    /// The signal that is compared with: the original, or the model's own.
    signal: Signal,
    /// PSNR or SNR of the model, in dB.
    score: f64,
    /// Mean of squared errors of encoded values at a score of 0 dB, about.
    unit: f64,
    /// `true` where `signal` is the model's own.
    is_own: bool,
}

/// The score of a signal in dB: the PSNR of a picture, the SNR of a sound.
fn score(scores: &SignalScores) -> Option<f64> {
    scores.psnr.or(scores.snr)
}

impl<'a> SignalGauge<'a> {
    /// Against the signal that the model stands for.
    ///
    /// # Errors
    /// Models that were saved without a score and stand for silence.
    pub(crate) fn of_model(path: &'a Path, model: &SignalModel) -> Result<Self, Error> {
        let signal = model.reconstruct();
        let stored = stored_score(&model.model, "psnr").or(stored_score(&model.model, "snr"));
        Ok(Self { path, unit: unit(model, &signal), signal, score: stored.unwrap_or(USUAL_SCORE), is_own: true })
    }

    /// Against the original.
    ///
    /// # Errors
    /// Originals of another kind or size, silent sounds.
    pub(crate) fn of_signal(path: &'a Path, model: &SignalModel, original: &Signal) -> Result<Self, Error> {
        let scores = model.evaluate(&model.reconstruct(), original)?;
        let score = score(&scores).ok_or_else(|| Error::file(path, "its signal has no PSNR and no SNR"))?;
        Ok(Self { path, unit: unit(model, original), signal: original.clone(), score, is_own: false })
    }
}

/// Mean of squared errors of encoded values at a score of 0 dB: that of pictures is relative to 1, of sounds to the signal's power.
fn unit(model: &SignalModel, signal: &Signal) -> f64 {
    let transform = model.info.transform();
    // How much encoded values change with decoded ones; of logarithmic values, near 0.
    let slope = f64::from(transform.factor) / f64::from(transform.divisor);
    let power = match signal {
        Signal::Image(_) => 1.0,
        Signal::Audio(_) => {
            let data = signal.data();
            data.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / data.len().max(1) as f64
        }
    };
    (power * slope * slope).max(1e-12)
}

impl Gauge for SignalGauge<'_> {
    fn observe(&self, estimator: &mut SensitivityEstimator<'_>) -> Result<(), Error> {
        let mut rng = Pcg64::seed_from_u64(0x519);
        let dim = estimator.model().spec.dim;
        let weight = vec![1.0; BATCH];
        for _ in 0..BATCHES {
            let x: Vec<f32> = (0..BATCH * dim).map(|_| rng.random()).collect();
            estimator.add_points(&x, &weight);
        }
        Ok(())
    }

    fn error(&self) -> f64 {
        self.unit * 10_f64.powf(-self.score / 10.0)
    }

    fn loss(&self, coded: &Model) -> Result<f64, Error> {
        let opened = SignalModel::open(self.path, coded.clone())?;
        let scores = opened.evaluate(&opened.reconstruct(), &self.signal)?;
        let score = score(&scores).unwrap_or(f64::NAN);
        Ok(match self.is_own {
            // Equal signals have an infinite score.
            true => decibels(10_f64.powf((self.score - score) / 10.0)),
            false => self.score - score,
        })
    }

    fn describe(&self) -> String {
        let of = match self.signal {
            Signal::Image(_) => "PSNR",
            Signal::Audio(_) => "SNR",
        };
        match self.is_own {
            true => format!("{of}, predicted from the change of the model's signal"),
            false => format!("{of} against the original"),
        }
    }
}
