//! Recovery of a signal's local frequency from the spectrum: a map T fitted from S(x) to ω(x).

use nalgebra::DMatrix;
use nstr_signal::ImageSignal;
use nstr_signal::Signal;
use nstr_signal::synthetic::{Chirp, Sweep, chirp_image, sweep_audio};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::Serialize;

use crate::linear::{Ridge, Scaling, r_squared};
use crate::stats::shuffled;

/// Local frequency ω at a point, in radians per unit of field coordinates, one value an axis.
pub type LocalFrequency = Box<dyn Fn(&[f64]) -> Vec<f64>>;

/// Largest difference of a sample to the synthetic signal's that may come from storing it in a file.
const STORAGE_TOLERANCE: f32 = 0.01;

/// The local frequency of a signal that is one of [`nstr_signal::synthetic`]'s chirp and sweep; `None` of any other.
pub fn known_frequency(signal: &Signal) -> Option<LocalFrequency> {
    let same =
        |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < STORAGE_TOLERANCE);
    match signal {
        Signal::Image(ImageSignal { width, height, channels: 1, data, .. }) if width == height => {
            let chirp = Chirp::new(*width);
            same(data, &chirp_image(*width).data)
                .then(|| -> LocalFrequency { Box::new(move |x| chirp.frequency(x[0], x[1]).to_vec()) })
        }
        Signal::Audio(sound) if sound.channels == 1 && sound.rate >= 200 => {
            let (seconds, rate) = (sound.seconds(), sound.rate);
            let sweep = Sweep::new(rate, seconds);
            let scale = std::f64::consts::TAU * seconds;
            same(&sound.data, &sweep_audio(rate, seconds).data)
                .then(|| -> LocalFrequency { Box::new(move |x| vec![scale * sweep.frequency(x[0] * seconds)]) })
        }
        _ => None,
    }
}

/// Quality of a prediction from features, at points that were not fitted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Recovery {
    /// R² on the test points: 1 perfect, 0 as good as the mean, below 0 worse than that.
    pub r2: f64,
    /// The penalty that did best on the validation points.
    pub penalty: f64,
    /// Points fitted and points tested.
    pub points: [usize; 2],
}

/// Penalties tried.
const PENALTIES: [f64; 6] = [1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];
/// Blocks of points are split by number into training, validation and test: 3, 1 and 2 of 6.
const SPLITS: u32 = 6;

/// Hidden units of T.
const HIDDEN: usize = 160;

/// Inputs of the linear map: the features, their squares, and a layer of ReLUs whose weights are drawn instead of learned (of
/// the features scaled to variance 1), so that the fit stays one linear system.
fn hidden_layer(features: &DMatrix<f64>) -> DMatrix<f64> {
    let (rows, width) = features.shape();
    let scaled = Scaling::of(features).apply(features);
    let mut rng = Pcg64::seed_from_u64(0);
    let mut draw = |scale: f64| -> f64 { scale * rng.random_range(-1.75..1.75) };
    let spread = (width as f64).sqrt().recip();
    let weights: Vec<f64> = (0..HIDDEN * width).map(|_| draw(spread)).collect();
    let biases: Vec<f64> = (0..HIDDEN).map(|_| draw(1.0)).collect();
    let mut hidden = scaled * DMatrix::from_vec(width, HIDDEN, weights);
    for (mut column, bias) in hidden.column_iter_mut().zip(biases) {
        column.apply(|v| *v = (*v + bias).max(0.0));
    }
    let mut out = DMatrix::zeros(rows, 2 * width + HIDDEN);
    out.columns_mut(0, width).copy_from(features);
    out.columns_mut(width, width).copy_from(&features.map(|v| v * v));
    out.columns_mut(2 * width, HIDDEN).copy_from(&hidden);
    out
}

/// Fits a map T from `features` to `targets` (a row a point): linear in the features, their squares and 160 random ReLUs of
/// them.
///
/// Whole blocks of points (see [`crate::stats::blocks`]) are fitted or tested: neighbours of fitted points would be
/// predicted by anything smooth. `None` without features or targets, and where all points fall into one split.
pub fn recover(features: &DMatrix<f64>, targets: &DMatrix<f64>, blocks: &[u32]) -> Option<Recovery> {
    if features.is_empty() || targets.is_empty() {
        return None;
    }
    let inputs = hidden_layer(features);
    let split = |which: &dyn Fn(u32) -> bool| {
        let rows: Vec<usize> = (0..blocks.len()).filter(|i| which(scatter(blocks[*i]) % SPLITS)).collect();
        (inputs.select_rows(&rows), targets.select_rows(&rows))
    };
    let (train, validation, test) = (split(&|b| b < 3), split(&|b| b == 3), split(&|b| b > 3));
    let score = |penalty: f64, on: &(DMatrix<f64>, DMatrix<f64>)| -> Option<f64> {
        let map = Ridge::fit(&train.0, &train.1, penalty)?;
        Some(r_squared(&map.predict(&on.0), &on.1))
    };
    let tried = PENALTIES.iter().filter_map(|p| Some((score(*p, &validation)?, *p)));
    let (_, penalty) = tried.filter(|(r2, _)| r2.is_finite()).max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Recovery { r2: score(penalty, &test)?, penalty, points: [train.1.nrows(), test.1.nrows()] })
}

/// The same with the rows of `features` in random order: what is left is chance.
pub fn recover_shuffled(
    features: &DMatrix<f64>,
    targets: &DMatrix<f64>,
    blocks: &[u32],
    seed: u64,
) -> Option<Recovery> {
    let numbers: Vec<f64> = (0..features.nrows()).map(|i| i as f64).collect();
    let order: Vec<usize> = shuffled(&numbers, seed).into_iter().map(|i| i as usize).collect();
    recover(&features.select_rows(&order), targets, blocks)
}

/// Spreads block numbers, so that neighbouring blocks fall into different splits.
fn scatter(block: u32) -> u32 {
    block.wrapping_mul(2_654_435_761) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::blocks;

    #[test]
    fn made_up_signals_are_recognised() {
        let chirp = known_frequency(&Signal::Image(chirp_image(64))).unwrap();
        assert_eq!(chirp(&[0.5, 0.25]), Chirp::new(64).frequency(0.5, 0.25));
        let sweep = known_frequency(&Signal::Audio(sweep_audio(8000, 0.5))).unwrap();
        assert!((sweep(&[1.0])[0] - std::f64::consts::TAU * 3600.0 * 0.5).abs() < 1e-6);
        let mut other = chirp_image(64);
        other.data[77] = 0.5 * other.data[77] + 0.3;
        assert!(known_frequency(&Signal::Image(other)).is_none());
    }

    #[test]
    fn what_is_in_the_features_is_found_and_what_is_not_is_not() {
        let n = 6000;
        let x: Vec<f64> = (0..n).map(|i| i as f64 / n as f64).collect();
        let omega: Vec<f64> = x.iter().map(|x| 3.0 + (20.0 * x).sin()).collect();
        let noise = |i: usize| (i as f64 * 12.9898).sin() * 43758.5453 % 1.0;
        let features = DMatrix::from_fn(n, 3, |i, c| [omega[i].sqrt(), noise(i), noise(i + 77)][c]);
        let column = |values: &[f64]| DMatrix::from_column_slice(n, 1, values);
        let blocks = blocks(&x, 1, 60);
        let found = recover(&features, &column(&omega), &blocks).unwrap();
        assert!(found.r2 > 0.99, "{found:?}");
        assert!(found.points[0] > 1500 && found.points[1] > 1000, "{found:?}");
        // Neither linear nor a square of what it depends on: half of that would be left over without hidden units.
        let kinks: Vec<f64> = omega.iter().map(|o| (o - 3.2).abs() + (o - 2.5).max(0.0)).collect();
        let found = recover(&features, &column(&kinks), &blocks).unwrap();
        assert!(found.r2 > 0.97, "{found:?}");
        let chance = recover_shuffled(&features, &column(&omega), &blocks, 1).unwrap();
        assert!(chance.r2 < 0.02, "{chance:?}");
        assert!(recover(&DMatrix::zeros(0, 3), &DMatrix::zeros(0, 1), &[]).is_none());
    }
}
