//! Fits of meshes, captures, pictures and sounds, from a file to a measured model.

mod capture;
mod checkpoint;
mod job;
mod mesh;
mod observer;
mod replaced;
mod signal;
mod transport;
mod validation;

use std::path::{Path, PathBuf};

use nstr_capture::is_capture;
use nstr_field::model::Model;
use nstr_fit::RunReport;
use nstr_signal::Signal;

use crate::error::Error;
use crate::evaluate::Scores;
use crate::options::FitOptions;

pub use capture::fit_capture;
pub use checkpoint::{checkpoint_path, is_finished};
pub use mesh::fit_mesh;
pub use observer::{FitObserver, FitScene};
pub use signal::fit_signal;

/// A finished fit.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fitted {
    /// The model, its numbers rounded as in its file.
    pub model: Model,
    /// Metrics against the input, where asked for and possible.
    pub scores: Option<Scores>,
    /// Size of the model's file in bytes, where one was written.
    pub file_bytes: Option<u64>,
    /// Facts about the mesh that was fitted.
    pub mesh: Option<MeshFacts>,
    /// Report of the training: how much was done, and where.
    pub report: Option<RunReport>,
}

/// Facts about a mesh, for tables of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MeshFacts {
    /// Number of faces.
    pub faces: usize,
    /// `true` if every edge has two faces.
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

/// Name of an input: its file's without the ending, the folder's for a `transforms.json`.
pub fn input_stem(input: &Path) -> Option<String> {
    let stem = input.file_stem().filter(|s| *s != "transforms").or_else(|| input.parent()?.file_name());
    stem.map(|s| s.to_string_lossy().into_owned())
}

/// `NAME.safetensors` in the current folder, the model's file where none is named.
pub fn default_output(input: &Path) -> PathBuf {
    PathBuf::from(format!("{}.safetensors", input_stem(input).as_deref().unwrap_or("field")))
}
