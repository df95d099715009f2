//! Observation of a fit: messages, progress, snapshots.

use std::sync::Arc;
use std::time::Duration;

use glam::DVec3;
use nstr_camera::Up;
use nstr_capture::View;
use nstr_field::model::Model;
use nstr_fit::Progress;

/// Observer of a fit, which may stop it. Every method has a default that does nothing; `()` observes nothing.
///
/// ```
/// use nstr_pipeline::{Error, FitObserver, FitOptions, fit_mesh};
///
/// struct FirstReport;
///
/// impl FitObserver for FirstReport {
///     fn progress(&mut self, progress: &nstr_fit::Progress) -> bool {
///         println!("{:.0} %: loss {:.2e}", 100.0 * progress.fraction, progress.loss);
///         false
///     }
/// }
///
/// # let chair = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenes/chair.obj");
/// let options = FitOptions::preset("sdf-tiny").set("train.batch=256").steps(1000);
/// let stopped = fit_mesh(chair, &options, &mut FirstReport);
/// assert!(matches!(stopped, Err(Error::Stopped(1))));
/// ```
pub trait FitObserver {
    /// Takes a line about what was read and what is trained.
    fn message(&mut self, _text: &str) {}

    /// Takes a line about something that went wrong without ending the fit; by default as a message.
    fn warning(&mut self, text: &str) {
        self.message(text);
    }

    /// Takes the scene, once, before training begins. Pictures and sounds have none.
    fn begin(&mut self, _scene: FitScene) {}

    /// Called during a trial before training, with the fraction of it that is done; `false` ends the fit, and nothing is kept.
    fn trial(&mut self, _fraction: f64) -> bool {
        true
    }

    /// Called every few steps; `false` stops the fit, and what was learned is saved.
    fn progress(&mut self, _progress: &Progress) -> bool {
        true
    }

    /// Called while a finished model is coded and measured, with the name of the stage and the fraction of it that is done, where that is
    /// known.
    fn stage(&mut self, _name: &str, _fraction: Option<f64>) {}

    /// Time that the fit stood still in [`Self::progress`]; no budget is charged for it.
    fn idle(&self) -> Duration {
        Duration::ZERO
    }

    /// `true` if the model as it is now is wanted; asked every few steps.
    fn wants_snapshot(&self) -> bool {
        false
    }

    /// Takes the model as it is now.
    fn snapshot(&mut self, _model: Model) {}

    /// Training time between measurements on held-out views; the usual 30 s where absent.
    fn validate_every(&self) -> Option<Duration> {
        None
    }
}

impl FitObserver for () {}

/// Scene that a fit will show, known before training begins.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FitScene {
    /// Lowest and highest corner of the box around it, world units.
    pub bounds: (DVec3, DVec3),
    /// Axis that points up.
    pub up: Up,
    /// Training views of a capture; none for meshes.
    pub views: Arc<Vec<View>>,
}

impl FitScene {
    /// A scene from its world box, upward axis and training views.
    pub fn new(bounds: (DVec3, DVec3), up: Up, views: Arc<Vec<View>>) -> Self {
        Self { bounds, up, views }
    }
}
