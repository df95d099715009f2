//! Observation of a training run: progress reports and checkpoints.

use std::time::Duration;

use crate::error::ObserverError;
use crate::run_report::RunReport;
use crate::state::TrainState;

/// Report of a run, every few steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Fraction of the budget spent, 0 to 1.
    pub fraction: f64,
    /// Loss of recent batches, regularisers included, smoothed.
    pub loss: f64,
    /// Learning rate of the networks.
    pub net_lr: f64,
    /// Training time so far.
    pub elapsed: Duration,
    /// Name and value of the task's validation metric, where it has one: the held-out PSNR of a radiance field.
    pub validation_metric: Option<(&'static str, f64)>,
}

/// Takes the name of the stage that some work is at, and the fraction of the stage that is done, 0 to 1, where that is known.
pub type StageObserver<'a> = dyn FnMut(&str, Option<f64>) + 'a;

/// Observer of a run, which may stop it; `()` observes nothing.
pub trait Observer {
    /// Called every few steps; `false` stops the run cleanly.
    fn progress(&mut self, _progress: &Progress) -> bool {
        true
    }

    /// Time that the run stood still in [`Self::progress`] because the observer held it; no budget is charged for it.
    fn idle(&self) -> Duration {
        Duration::ZERO
    }

    /// Time between calls of [`Self::checkpoint`]; `None`: it is never called.
    fn checkpoint_every(&self) -> Option<Duration> {
        None
    }

    /// Takes a good state to save.
    ///
    /// # Errors
    /// An error ends the run as [`crate::TrainError::Observer`].
    fn checkpoint(&mut self, _state: &TrainState) -> Result<(), ObserverError> {
        Ok(())
    }

    /// Takes the report of a run that has come to its end, or was stopped.
    fn report(&mut self, _report: &RunReport) {}
}

impl Observer for () {}
