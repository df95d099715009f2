//! Records loss and validation metric during training.

use serde::{Deserialize, Serialize};

use crate::trainer::Progress;

/// A value at a moment of a run; in files `[step, seconds, value]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "(u64, f64, f64)", into = "(u64, f64, f64)")]
pub struct Sample {
    /// Steps done.
    pub step: u64,
    /// Training time so far.
    pub seconds: f64,
    /// The value.
    pub value: f64,
}

impl From<(u64, f64, f64)> for Sample {
    fn from((step, seconds, value): (u64, f64, f64)) -> Self {
        Self { step, seconds, value }
    }
}

impl From<Sample> for (u64, f64, f64) {
    fn from(s: Sample) -> Self {
        (s.step, s.seconds, s.value)
    }
}

/// The curves of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Curve {
    /// Loss, smoothed, regularisers included.
    pub loss: Vec<Sample>,
    /// Name of the task's own figure; empty where it has none.
    pub name: String,
    /// That figure, when it was measured anew.
    pub figure: Vec<Sample>,
}

/// Values of a curve, about.
const POINTS: f64 = 60.0;

/// Log of loss and validation metric during training, closer together at first.
#[derive(Clone, Debug, Default)]
pub struct TrainingLog {
    curve: Curve,
    /// Values taken.
    losses: u32,
    figures: u32,
    /// The metric as it was last seen.
    last: Option<f64>,
}

/// Whether another value is due when `taken` are there.
fn is_due(share: f64, taken: u32) -> bool {
    share >= (f64::from(taken) / POINTS).powi(2)
}

impl TrainingLog {
    /// Takes down loss and metric where a value is due.
    pub fn record(&mut self, p: &Progress) {
        let fresh = p.figure.filter(|(_, v)| v.is_finite() && self.last != Some(*v) && is_due(p.share, self.figures));
        let loss = is_due(p.share, self.losses);
        if !loss && fresh.is_none() {
            return;
        }
        let sample = |value: f64| Sample { step: p.step, seconds: p.elapsed.as_secs_f64(), value };
        let passed = (p.share.sqrt() * POINTS) as u32 + 1;
        if loss {
            self.curve.loss.push(sample(p.loss));
            self.losses = passed;
        }
        if let Some((name, value)) = fresh {
            self.curve.name = name.into();
            self.curve.figure.push(sample(value));
            (self.figures, self.last) = (passed, Some(value));
        }
    }

    /// The curve so far.
    pub fn curve(&self) -> &Curve {
        &self.curve
    }

    /// The curve.
    pub fn into_curve(self) -> Curve {
        self.curve
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn about_sixty_values_are_kept() {
        let mut log = TrainingLog::default();
        for i in 0..5000_u64 {
            // A metric that is measured anew every 1000 steps and repeated in between.
            let figure = Some(("PSNR", (i / 1000) as f64));
            let elapsed = Duration::from_millis(i);
            let share = i as f64 / 5000.0;
            log.record(&Progress { step: i + 1, share, loss: 1.0 / (i + 1) as f64, net_lr: 1e-3, elapsed, figure });
        }
        let curve = log.into_curve();
        assert!((55..=61).contains(&curve.loss.len()), "{}", curve.loss.len());
        assert_eq!((curve.loss[0].step, curve.name.as_str()), (1, "PSNR"));
        let steps: Vec<u64> = curve.figure.iter().map(|s| s.step).collect();
        assert_eq!(steps, [1, 1001, 2001, 3001, 4001]);
        let text = serde_json::to_string(&curve).unwrap();
        assert!(text.contains("\"figure\":[[1,0.0,0.0],"), "{text}");
        assert_eq!(serde_json::from_str::<Curve>(&text).unwrap().figure, curve.figure);
    }
}
