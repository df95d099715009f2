//! The budget of a fit, and the learning rate over it.

use std::fmt;
use std::time::Duration;

use nstr_spec::config::ConfigError;
use serde::{Deserialize, Serialize};

use crate::check::check_fractions;

/// End of a fit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// After this many steps: reproducible bit for bit.
    Steps(u64),
    /// After this much training time: the learning rate follows the clock, so results vary with the machine.
    Time(Duration),
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(n) => write!(f, "{n} steps"),
            Self::Time(t) => humantime::format_duration(*t).fmt(f),
        }
    }
}

impl Budget {
    /// The option of `nstr fit` that gives it, and its value.
    pub fn option(self) -> [String; 2] {
        match self {
            Self::Steps(n) => ["--steps".into(), n.to_string()],
            Self::Time(t) => ["--time".into(), humantime::format_duration(t).to_string().replace(' ', "")],
        }
    }

    /// Fraction of the budget spent, 0 to 1.
    pub fn progress(self, step: u64, elapsed: Duration) -> f64 {
        match self {
            // A budget of nothing is spent before the first step.
            Self::Steps(n) if step >= n => 1.0,
            Self::Steps(n) => step as f64 / n as f64,
            Self::Time(t) if elapsed >= t => 1.0,
            Self::Time(t) => elapsed.as_secs_f64() / t.as_secs_f64(),
        }
    }
}

/// Decay of the learning rate after the plateau.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LrDecay {
    /// Along half a cosine.
    #[default]
    Cosine,
    /// By equal factors in equal times.
    Exponential,
}

/// Scale of the learning rate: a linear warm-up over the first steps, a plateau, then a decay to `floor`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Steps of the warm-up.
    pub warmup: u64,
    /// Fraction of the budget after which the decay begins, 0 to 1.
    pub hold: f64,
    /// Scale at the end, 0 to 1.
    pub floor: f64,
    /// Shape of the decay.
    #[serde(default)]
    pub decay: LrDecay,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { warmup: 50, hold: 0.1, floor: 0.005, decay: LrDecay::Cosine }
    }
}

impl Schedule {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_fractions(&[("train.schedule.hold", self.hold), ("train.schedule.floor", self.floor)])
    }

    /// The scale at a step (from 0) and a progress through the budget (0 to 1).
    pub fn lr_scale(&self, step: u64, progress: f64) -> f64 {
        let warm = ((step + 1) as f64 / self.warmup.max(1) as f64).min(1.0);
        let along = ((progress - self.hold) / (1.0 - self.hold).max(1e-9)).clamp(0.0, 1.0);
        warm * match self.decay {
            LrDecay::Cosine => self.floor + (1.0 - self.floor) * 0.5 * (1.0 + (std::f64::consts::PI * along).cos()),
            // Equal factors never reach a floor of 0.
            LrDecay::Exponential => self.floor.max(1e-6).powf(along),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_by_equal_factors() {
        let s = Schedule { warmup: 1, hold: 0.2, floor: 0.01, decay: LrDecay::Exponential };
        for (progress, want) in [(0.0, 1.0), (0.2, 1.0), (0.6, 0.1), (1.0, 0.01)] {
            assert!((s.lr_scale(100, progress) - want).abs() < 1e-12);
        }
    }

    #[test]
    fn the_rate_rises_holds_and_falls_to_the_floor() {
        let s = Schedule { warmup: 10, hold: 0.2, floor: 0.01, decay: LrDecay::Cosine };
        assert!((s.lr_scale(0, 0.0) - 0.1).abs() < 1e-12);
        assert!((s.lr_scale(10, 0.1) - 1.0).abs() < 1e-12);
        assert!((s.lr_scale(500, 0.6) - 0.505).abs() < 1e-12);
        assert!((s.lr_scale(1000, 1.0) - 0.01).abs() < 1e-12);
        let mut last = f64::INFINITY;
        for i in 0..=100 {
            let f = s.lr_scale(1000, f64::from(i) / 100.0);
            assert!(f <= last);
            last = f;
        }
    }
}
