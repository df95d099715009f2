//! What loss and figure were along a run, taken down in passing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::trainer::{Observer, Progress, TrainState};

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

/// A curve in the making, shared between who asks for it and the run.
#[derive(Clone, Debug, Default)]
pub struct Recording(Arc<Mutex<Curve>>);

impl Recording {
    /// Takes down what `inner` observes.
    pub fn observe<'a>(&self, inner: &'a mut dyn Observer) -> Recorder<'a> {
        Recorder { recording: self.clone(), inner, losses: 0, figures: 0, last: None }
    }

    /// The curve so far.
    pub fn curve(&self) -> Curve {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Values of a curve, about.
const POINTS: f64 = 60.0;

/// An observer that takes values down, closer together at first, and passes everything on. It costs a comparison a report.
pub struct Recorder<'a> {
    recording: Recording,
    inner: &'a mut dyn Observer,
    /// Values taken.
    losses: u32,
    figures: u32,
    /// The figure as it was last seen.
    last: Option<f64>,
}

/// Whether another value is due when `taken` are there.
fn is_due(share: f64, taken: u32) -> bool {
    share >= (f64::from(taken) / POINTS).powi(2)
}

impl Recorder<'_> {
    fn note(&mut self, p: &Progress) {
        let fresh = p.figure.filter(|(_, v)| v.is_finite() && self.last != Some(*v) && is_due(p.share, self.figures));
        let loss = is_due(p.share, self.losses);
        if !loss && fresh.is_none() {
            return;
        }
        let sample = |value: f64| Sample { step: p.step, seconds: p.elapsed.as_secs_f64(), value };
        let mut curve = self.recording.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = (p.share.sqrt() * POINTS) as u32 + 1;
        if loss {
            curve.loss.push(sample(p.loss));
            self.losses = passed;
        }
        if let Some((name, value)) = fresh {
            curve.name = name.into();
            curve.figure.push(sample(value));
            (self.figures, self.last) = (passed, Some(value));
        }
    }
}

impl Observer for Recorder<'_> {
    fn progress(&mut self, progress: &Progress) -> bool {
        self.note(progress);
        self.inner.progress(progress)
    }

    fn idle(&self) -> Duration {
        self.inner.idle()
    }

    fn checkpoint_every(&self) -> Option<Duration> {
        self.inner.checkpoint_every()
    }

    fn checkpoint(&mut self, state: &TrainState) -> anyhow::Result<()> {
        self.inner.checkpoint(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Forward(usize);
    impl Observer for Forward {
        fn progress(&mut self, _: &Progress) -> bool {
            self.0 += 1;
            self.0 < 5000
        }
    }

    #[test]
    fn about_sixty_values_are_kept_and_all_is_passed_on() {
        let (recording, mut inner) = (Recording::default(), Forward(0));
        let mut recorder = recording.observe(&mut inner);
        for i in 0..5000_u64 {
            // A figure that is measured anew every 1000 steps and repeated in between.
            let figure = Some(("PSNR", (i / 1000) as f64));
            let elapsed = Duration::from_millis(i);
            let share = i as f64 / 5000.0;
            let p = Progress { step: i + 1, share, loss: 1.0 / (i + 1) as f64, net_lr: 1e-3, elapsed, figure };
            assert_eq!(recorder.progress(&p), i < 4999);
        }
        let curve = recording.curve();
        assert!((55..=61).contains(&curve.loss.len()), "{}", curve.loss.len());
        assert_eq!((curve.loss[0].step, curve.name.as_str()), (1, "PSNR"));
        let steps: Vec<u64> = curve.figure.iter().map(|s| s.step).collect();
        assert_eq!(steps, [1, 1001, 2001, 3001, 4001]);
        let text = serde_json::to_string(&curve).unwrap();
        assert!(text.contains("\"figure\":[[1,0.0,0.0],"), "{text}");
        assert_eq!(serde_json::from_str::<Curve>(&text).unwrap().figure, curve.figure);
    }
}
