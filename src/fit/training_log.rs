//! Records loss and validation metric during training.

use serde::{Deserialize, Serialize};

use crate::observer::Progress;

/// A value at a moment of a run; in files `[step, seconds, value]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "(u64, f64, f64)", into = "(u64, f64, f64)")]
pub struct LogPoint {
    /// Steps done.
    pub step: u64,
    /// Training time so far.
    pub seconds: f64,
    /// The value.
    pub value: f64,
}

impl From<(u64, f64, f64)> for LogPoint {
    fn from((step, seconds, value): (u64, f64, f64)) -> Self {
        Self { step, seconds, value }
    }
}

impl From<LogPoint> for (u64, f64, f64) {
    fn from(p: LogPoint) -> Self {
        (p.step, p.seconds, p.value)
    }
}

/// Loss and validation metric of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainingCurve {
    /// Loss, smoothed, regularisers included.
    pub loss: Vec<LogPoint>,
    /// Name of the validation metric; empty where the task has none.
    #[serde(rename = "name")]
    pub metric_name: String,
    /// The validation metric, at its new measurements.
    #[serde(rename = "figure")]
    pub metric: Vec<LogPoint>,
}

/// Values that a curve keeps, about.
const POINTS: f64 = 60.0;

/// Log of loss and validation metric during training, closer together at first.
#[derive(Clone, Debug, Default)]
pub struct TrainingLog {
    curve: TrainingCurve,
    /// Losses that are due by now.
    losses: u32,
    /// Metrics that are due by now.
    metrics: u32,
    /// The metric as it was last recorded.
    last: Option<f64>,
}

/// `true` if another value is due when `taken` are there.
fn is_due(fraction: f64, taken: u32) -> bool {
    fraction >= (f64::from(taken) / POINTS).powi(2)
}

impl TrainingLog {
    /// Records loss and metric where a value is due.
    pub fn record(&mut self, p: &Progress) {
        let is_new = |v: f64| v.is_finite() && self.last != Some(v) && is_due(p.fraction, self.metrics);
        let metric = p.validation_metric.filter(|(_, v)| is_new(*v));
        let loss = is_due(p.fraction, self.losses);
        if !loss && metric.is_none() {
            return;
        }
        let point = |value: f64| LogPoint { step: p.step, seconds: p.elapsed.as_secs_f64(), value };
        let due = (p.fraction.sqrt() * POINTS) as u32 + 1;
        if loss {
            self.curve.loss.push(point(p.loss));
            self.losses = due;
        }
        if let Some((name, value)) = metric {
            self.curve.metric_name = name.into();
            self.curve.metric.push(point(value));
            (self.metrics, self.last) = (due, Some(value));
        }
    }

    /// The curve so far.
    pub fn curve(&self) -> &TrainingCurve {
        &self.curve
    }

    /// The curve.
    pub fn into_curve(self) -> TrainingCurve {
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
            log.record(&Progress {
                step: i + 1,
                fraction: i as f64 / 5000.0,
                loss: 1.0 / (i + 1) as f64,
                net_lr: 1e-3,
                elapsed: Duration::from_millis(i),
                // Measured anew every 1000 steps and repeated in between.
                validation_metric: Some(("PSNR", (i / 1000) as f64)),
            });
        }
        let curve = log.into_curve();
        assert!((55..=61).contains(&curve.loss.len()), "{}", curve.loss.len());
        assert_eq!((curve.loss[0].step, curve.metric_name.as_str()), (1, "PSNR"));
        let steps: Vec<u64> = curve.metric.iter().map(|p| p.step).collect();
        assert_eq!(steps, [1, 1001, 2001, 3001, 4001]);
        let text = serde_json::to_string(&curve).unwrap();
        assert!(text.contains("\"name\":\"PSNR\",\"figure\":[[1,0.0,0.0],"), "{text}");
        assert_eq!(serde_json::from_str::<TrainingCurve>(&text).unwrap().metric, curve.metric);
    }
}
