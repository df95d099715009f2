//! The error of whole operations, with the file or option that it is about.

use std::path::{Path, PathBuf};

use nstr_camera::CameraError;
use nstr_capture::CaptureError;
use nstr_field::model::ModelError;
use nstr_fit::TrainError;
use nstr_fit::eval::{SdfEvalError, SignalEvalError, ViewEvalError};
use nstr_geometry::{MeshError, QueryError};
use nstr_image::ImageError;
use nstr_render::RenderError;
use nstr_render::volume::{FusionError, LevelSetError};
use nstr_signal::SignalError;
use nstr_signal::spectrogram::SpectrogramError;
use nstr_spec::config::ConfigError;

use crate::field::FieldKind;

/// Failure of a fit, of opening a model, or of what is done with one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option, or a combination of options, that cannot be used.
    #[error("{0}")]
    Option(String),
    /// A file that cannot be used here.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason and the remedy.
        reason: String,
    },
    /// A model of another kind than the one asked for.
    #[error("a {found} model where a {expected} model is needed")]
    Kind {
        /// Kind of the model.
        found: FieldKind,
        /// Kind that was asked for.
        expected: FieldKind,
    },
    /// A file or folder that the system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A fit that its observer stopped; what was learned is kept.
    #[error("interrupted at step {step}: {}", interruption(model, *replaced, checkpoint.as_deref()))]
    Interrupted {
        /// Steps done.
        step: u64,
        /// The model's file.
        model: PathBuf,
        /// `true` if the model so far is in that file; `false` if the finished model of an earlier fit was left there.
        replaced: bool,
        /// State to go on from, where it could be written.
        checkpoint: Option<PathBuf>,
    },
    /// A fit without a file that its observer stopped.
    #[error("interrupted at step {0}; give the fit an output file to keep what was learned")]
    Stopped(u64),
    /// A fit that its observer stopped in the trial before its first step.
    #[error("interrupted in the trial of refinement, before the first step; nothing is kept")]
    StoppedInTrial,
    /// An error, and where it happened.
    #[error("{context}: {source}")]
    Context {
        /// File or files that it is about.
        context: String,
        /// The error.
        source: Box<Error>,
    },
    /// A model file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An option of a preset.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A capture.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A mesh file.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// Distance and sign of a mesh.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A picture or sound file.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// A spectrogram.
    #[error(transparent)]
    Spectrogram(#[from] SpectrogramError),
    /// A camera or camera file.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// An image file.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A frame.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A frame on a GPU.
    #[cfg(feature = "gpu")]
    #[error(transparent)]
    Gpu(#[from] nstr_render::gpu::GpuError),
    /// A surface of constant density.
    #[error(transparent)]
    LevelSet(#[from] LevelSetError),
    /// A surface of depth pictures.
    #[error(transparent)]
    Fusion(#[from] FusionError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Measuring a distance field.
    #[error(transparent)]
    SdfEval(#[from] SdfEvalError),
    /// Measuring a radiance field.
    #[error(transparent)]
    ViewEval(#[from] ViewEvalError),
    /// Measuring a picture or a sound.
    #[error(transparent)]
    SignalEval(#[from] SignalEvalError),
}

/// Places of what an interrupted fit left.
fn interruption(model: &Path, replaced: bool, checkpoint: Option<&Path>) -> String {
    let model = match replaced {
        true => format!("the model so far is in {}", model.display()),
        false => format!("{} is still the finished model of before", model.display()),
    };
    match checkpoint {
        Some(checkpoint) => format!("{model}, and --resume goes on from {}", checkpoint.display()),
        None => format!("{model}; there is no checkpoint to go on from"),
    }
}

impl Error {
    /// An unusable option, in words.
    pub fn option(text: impl Into<String>) -> Self {
        Self::Option(text.into())
    }

    /// An unusable file.
    pub fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.into(), reason: reason.into() }
    }

    /// A system error at `path`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.into(), source }
    }
}

/// Adds where an error happened.
pub trait Context<T> {
    /// The same with `context` before the error's text.
    ///
    /// # Errors
    /// The error, in its context.
    fn context(self, context: impl FnOnce() -> String) -> Result<T, Error>;

    /// The same with a path before the error's text.
    ///
    /// # Errors
    /// The error, in its context.
    fn at(self, path: &Path) -> Result<T, Error>
    where
        Self: Sized,
    {
        self.context(|| path.display().to_string())
    }
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, context: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Context { context: context(), source: Box::new(source.into()) })
    }
}
