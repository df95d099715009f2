//! Fits of meshes, captures, pictures and sounds, from a file to a measured model.

mod capture;
mod job;
mod mesh;
mod signal;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use glam::DVec3;
use nstr_camera::Up;
use nstr_capture::{View, is_capture};
use nstr_field::model::Model;
use nstr_fit::Progress;
use nstr_signal::Signal;

use crate::error::Error;
use crate::evaluate::Scores;
use crate::options::FitOptions;

pub use capture::fit_capture;
pub use job::checkpoint_path;
pub use mesh::fit_mesh;
pub use signal::fit_signal;

/// Watches a fit, and may stop it. Every method has a default that does nothing; `()` watches nothing.
pub trait FitObserver {
    /// Takes a line about what was read and what is trained.
    fn message(&mut self, _text: &str) {}

    /// Takes what there is to see, once, before training begins. Fits of pictures and sounds have nothing.
    fn begin(&mut self, _scene: FitScene) {}

    /// Called every few steps; `false` stops the fit, and what was learned is saved.
    fn progress(&mut self, _progress: &Progress) -> bool {
        true
    }

    /// Time that the fit stood still in [`Self::progress`]; no budget is charged for it.
    fn idle(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether the model as it is now is wanted; asked every few steps.
    fn wants_snapshot(&self) -> bool {
        false
    }

    /// Takes the model as it is now.
    fn snapshot(&mut self, _model: Model) {}

    /// Time between measurements on held-out views where they should follow the clock.
    fn validate_every(&self) -> Option<Duration> {
        None
    }
}

impl FitObserver for () {}

/// What a fit will show, known before training begins.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FitScene {
    /// World box around it.
    pub bounds: (DVec3, DVec3),
    /// Which axis points up.
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

/// A finished fit.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fitted {
    /// The model as it was written: its numbers are rounded as in the file.
    pub model: Model,
    /// Metrics against the input, where asked for and possible.
    pub scores: Option<Scores>,
    /// Size of the model's file, where one was written.
    pub file_bytes: Option<u64>,
    /// Facts about the mesh that was fitted.
    pub mesh: Option<MeshFacts>,
}

/// Facts about a mesh, for tables of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MeshFacts {
    /// Faces.
    pub faces: usize,
    /// Whether every edge has two faces.
    pub watertight: bool,
    /// Sign method that was used.
    pub sign: String,
}

/// Fits a field to a file or folder; the kind follows from what it is.
///
/// # Errors
/// Those of [`fit_mesh`], [`fit_capture`] and [`fit_signal`].
pub fn fit(input: impl AsRef<Path>, options: &FitOptions, observer: &mut dyn FitObserver) -> Result<Fitted, Error> {
    let input = input.as_ref();
    if options.capture.format.is_some() || is_capture(input) {
        fit_capture(input, options, observer)
    } else if Signal::is_named(input) {
        fit_signal(input, options, observer)
    } else {
        fit_mesh(input, options, observer)
    }
}

/// `NAME.safetensors` in the current folder, the model's file where none is named.
pub fn default_output(input: &Path) -> PathBuf {
    let stem = input.file_stem().filter(|s| *s != "transforms").or_else(|| input.parent()?.file_name());
    PathBuf::from(format!("{}.safetensors", stem.unwrap_or("field".as_ref()).to_string_lossy()))
}
