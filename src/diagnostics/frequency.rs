//! Whether the local frequency of a signal can be read from the spectrum: a map T fitted from S(x) to ω(x).

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::Serialize;

use crate::linear::{Ridge, r_squared, scaling};
use crate::stats::shuffled;
use nstr_signal::Signal;
use nstr_signal::Picture;
use nstr_signal::synthetic::{Chirp, Sweep, chirp_picture, sweep_sound};

/// Local frequency ω at a point, in radians per unit of field coordinates, one value an axis.
pub type Omega = Box<dyn Fn(&[f64]) -> Vec<f64>>;

/// Largest difference of a sample to the made-up signal's that may come from storing it.
const STORED: f32 = 0.01;

/// The local frequency of a signal that is one of [`nstr_signal::synthetic`]'s chirp and sweep; `None` of any other.
pub fn known(signal: &Signal) -> Option<Omega> {
    let same = |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < STORED);
    match signal {
        Signal::Picture(Picture { width, height, channels: 1, data, .. }) if width == height => {
            let chirp = Chirp::new(*width);
            same(data, &chirp_picture(*width).data)
                .then(|| -> Omega { Box::new(move |x| chirp.frequency(x[0], x[1]).to_vec()) })
        }
        Signal::Sound(sound) if sound.channels == 1 && sound.rate >= 200 => {
            let (seconds, rate) = (sound.seconds(), sound.rate);
            let sweep = Sweep::new(rate, seconds);
            let scale = std::f64::consts::TAU * seconds;
            same(&sound.data, &sweep_sound(rate, seconds).data)
                .then(|| -> Omega { Box::new(move |x| vec![scale * sweep.frequency(x[0] * seconds)]) })
        }
        _ => None,
    }
}

/// What of a quantity can be predicted from features, at points that were not fitted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Recovery {
    /// R² on the test points: 1 perfect, 0 as good as the mean, below 0 worse than that.
    pub r2: f64,
    /// The penalty that did best on the points put aside for choosing it.
    pub penalty: f64,
    /// Points fitted and points tested.
    pub points: [usize; 2],
}

/// Penalties tried.
const PENALTIES: [f64; 6] = [1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];
/// Points are dealt to fitting, choosing and testing by the number of their block: 3, 1 and 2 of 6.
const DEAL: u32 = 6;

/// Hidden units of T.
const HIDDEN: usize = 160;

/// What T is linear in: the features, their squares, and a layer of ReLUs whose weights are drawn instead of learned (of the
/// features scaled to variance 1), so that the fit stays one linear system.
fn hidden(features: &[f64], width: usize) -> Vec<f64> {
    let (centre, scale) = scaling(features, width);
    let mut rng = Pcg64::seed_from_u64(0);
    let mut draw = |scale: f64| -> f64 { scale * rng.random_range(-1.75..1.75) };
    let spread = (width as f64).sqrt().recip();
    let weights: Vec<f64> = (0..HIDDEN * width).map(|_| draw(spread)).collect();
    let biases: Vec<f64> = (0..HIDDEN).map(|_| draw(1.0)).collect();
    let mut out = Vec::with_capacity(features.len() / width * (2 * width + HIDDEN));
    for row in features.chunks_exact(width) {
        let scaled: Vec<f64> = (0..width).map(|c| (row[c] - centre[c]) * scale[c]).collect();
        out.extend(row.iter().copied().chain(row.iter().map(|v| v * v)));
        out.extend(weights.chunks_exact(width).zip(&biases).map(|(w, b)| {
            let sum: f64 = w.iter().zip(&scaled).map(|(w, v)| w * v).sum();
            (sum + b).max(0.0)
        }));
    }
    out
}

/// Fits a map T from `features` (`[point][width]`) to `targets` (`[point][outputs]`): linear in the features, their squares
/// and 160 random ReLUs of them.
///
/// Whole blocks of points (see [`crate::stats::blocks`]) are fitted or tested: neighbours of fitted points would be
/// predicted by anything smooth. `None` where there is nothing to fit.
pub fn recover(features: &[f64], width: usize, targets: &[f64], outputs: usize, blocks: &[u32]) -> Option<Recovery> {
    if width == 0 || outputs == 0 {
        return None;
    }
    let (wide, columns) = (hidden(features, width), 2 * width + HIDDEN);
    let part = |data: &[f64], columns: usize, which: &dyn Fn(u32) -> bool| -> Vec<f64> {
        let rows = data.chunks_exact(columns).zip(blocks).filter(|(_, b)| which(scatter(**b) % DEAL));
        rows.flat_map(|(row, _)| row.to_vec()).collect()
    };
    let split = |which: &dyn Fn(u32) -> bool| (part(&wide, columns, which), part(targets, outputs, which));
    let (fitted, chosen, tested) = (split(&|b| b < 3), split(&|b| b == 3), split(&|b| b > 3));
    let score = |penalty: f64, on: &(Vec<f64>, Vec<f64>)| -> Option<f64> {
        let map = Ridge::fit(&fitted.0, columns, &fitted.1, outputs, penalty)?;
        Some(r_squared(&map.predict(&on.0), &on.1, outputs))
    };
    let best = PENALTIES.iter().filter_map(|p| Some((score(*p, &chosen)?, *p))).filter(|(r2, _)| r2.is_finite());
    let (_, penalty) = best.max_by(|a, b| a.0.total_cmp(&b.0))?;
    let points = [fitted.1.len() / outputs, tested.1.len() / outputs];
    Some(Recovery { r2: score(penalty, &tested)?, penalty, points })
}

/// The same with the rows of `features` in random order: what is left is chance.
pub fn recover_shuffled(
    features: &[f64],
    width: usize,
    targets: &[f64],
    outputs: usize,
    blocks: &[u32],
    seed: u64,
) -> Option<Recovery> {
    let numbers: Vec<f64> = (0..features.len() / width.max(1)).map(|i| i as f64).collect();
    let order = shuffled(&numbers, seed);
    let moved: Vec<f64> = order.iter().flat_map(|i| features[*i as usize * width..][..width].to_vec()).collect();
    recover(&moved, width, targets, outputs, blocks)
}

/// Spreads block numbers, so that rows of blocks are not dealt alike.
fn scatter(block: u32) -> u32 {
    block.wrapping_mul(2_654_435_761) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::blocks;

    #[test]
    fn made_up_signals_are_recognised() {
        let chirp = known(&Signal::Picture(chirp_picture(64))).unwrap();
        assert_eq!(chirp(&[0.5, 0.25]), Chirp::new(64).frequency(0.5, 0.25));
        let sweep = known(&Signal::Sound(sweep_sound(8000, 0.5))).unwrap();
        assert!((sweep(&[1.0])[0] - std::f64::consts::TAU * 3600.0 * 0.5).abs() < 1e-6);
        let mut other = chirp_picture(64);
        other.data[77] = 0.5 * other.data[77] + 0.3;
        assert!(known(&Signal::Picture(other)).is_none());
    }

    #[test]
    fn what_is_in_the_features_is_found_and_what_is_not_is_not() {
        let n = 6000;
        let x: Vec<f64> = (0..n).map(|i| i as f64 / n as f64).collect();
        let omega: Vec<f64> = x.iter().map(|x| 3.0 + (20.0 * x).sin()).collect();
        let noise = |i: usize| (i as f64 * 12.9898).sin() * 43758.5453 % 1.0;
        let features: Vec<f64> = (0..n).flat_map(|i| [omega[i].sqrt(), noise(i), noise(i + 77)]).collect();
        let blocks = blocks(&x, 1, 60);
        let found = recover(&features, 3, &omega, 1, &blocks).unwrap();
        assert!(found.r2 > 0.99, "{found:?}");
        assert!(found.points[0] > 1500 && found.points[1] > 1000, "{found:?}");
        // Neither linear nor a square of what it depends on: half of that would be left over without hidden units.
        let kinks: Vec<f64> = omega.iter().map(|o| (o - 3.2).abs() + (o - 2.5).max(0.0)).collect();
        let found = recover(&features, 3, &kinks, 1, &blocks).unwrap();
        assert!(found.r2 > 0.97, "{found:?}");
        let chance = recover_shuffled(&features, 3, &omega, 1, &blocks, 1).unwrap();
        assert!(chance.r2 < 0.02, "{chance:?}");
        assert!(recover(&[], 3, &[], 1, &[]).is_none());
    }
}
