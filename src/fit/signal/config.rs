//! The part of a picture or a sound that training sees.

use nstr_signal::ValueTransformKind;
use nstr_spec::config::ConfigError;
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::check::{check, check_count, check_not_negative};

/// Part of a signal that training sees; `--set signal.key=value` reaches each. Metrics are always taken on all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignalConfig {
    /// Fraction of the samples that training sees, always the same ones; the rest is held out. Above 0, at most 1.
    pub share: f64,
    /// Edge, in samples, of the blocks that training sees or does not see as a whole: 1 for single samples, more for holes
    /// to be filled.
    pub block: usize,
    /// Standard deviation of the noise added to the training samples, always the same, in the signal's own values.
    pub noise: f64,
    /// Pictures: training sees the picture this many times smaller (means of boxes); sounds: every so many samples' mean.
    pub reduce: usize,
    /// Transform of values on their way into the field.
    pub encoding: ValueTransformKind,
}

impl Default for SignalConfig {
    fn default() -> Self {
        Self { share: 1.0, block: 1, noise: 0.0, reduce: 1, encoding: ValueTransformKind::Auto }
    }
}

impl SignalConfig {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let share = self.share;
        check("signal.share", share, share > 0.0 && share <= 1.0, "must be above 0 and at most 1")?;
        check_count("signal.block", self.block as u64, 1 << 16)?;
        check_not_negative(&[("signal.noise", self.noise)])?;
        check_count("signal.reduce", self.reduce as u64, 1024)
    }
}

/// Indices of the samples that training sees of a signal of `size` (width and height, frames and 1), the same for the same
/// seed; `None` where it sees all.
pub fn train_sample_indices(size: [usize; 2], config: &SignalConfig, seed: u64) -> Option<Vec<u32>> {
    if config.share >= 1.0 {
        return None;
    }
    let [width, height] = size;
    let blocks = size.map(|n| n.div_ceil(config.block.max(1)));
    let mut rng = Pcg64::new(u128::from(seed) ^ 0x0516_4a1d, 0x5b);
    let kept: Vec<bool> = (0..blocks[0] * blocks[1]).map(|_| rng.random::<f64>() < config.share).collect();
    let block = |i: usize| i % width / config.block.max(1) + blocks[0] * (i / width / config.block.max(1));
    Some((0..width * height).filter(|i| kept[block(*i)]).map(|i| i as u32).collect())
}
