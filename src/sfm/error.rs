//! Errors of making a capture.

use std::path::{Path, PathBuf};

use nstr_capture::CaptureError;

/// A capture that could not be made. Every variant says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SfmError {
    /// The operating system refused a file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The video or the images cannot be used.
    #[error("{}: {reason}", path.display())]
    Input {
        /// The video, folder or image.
        path: PathBuf,
        /// The fault and the remedy.
        reason: String,
    },
    /// The output's place is taken, or an interrupted run there is another one.
    #[error("{}: {reason}", path.display())]
    Output {
        /// The capture's folder.
        path: PathBuf,
        /// The fault and the remedy.
        reason: String,
    },
    /// An option asks for something impossible.
    #[error("{option}: {reason}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// The fault and the expected value.
        reason: String,
    },
    /// A program is not installed, or does not run.
    #[error("{reason}")]
    Missing {
        /// The program, the fault and the remedy.
        reason: String,
    },
    /// A program failed.
    #[error("{program} failed while {action}: {reason} (all of its words are in {})", log.display())]
    Failed {
        /// The program.
        program: String,
        /// What it was to do.
        action: &'static str,
        /// Its last words, or how it ended.
        reason: String,
        /// The file with all that it printed.
        log: PathBuf,
    },
    /// COLMAP found no cameras, or too few.
    #[error("{}: {reason}", path.display())]
    Cameras {
        /// The video or folder.
        path: PathBuf,
        /// The fault and the remedy.
        reason: String,
    },
    /// The observer stopped the run; what is finished is kept.
    #[error("{}: interrupted; the same command with --resume goes on", path.display())]
    Interrupted {
        /// The capture's folder.
        path: PathBuf,
    },
    /// COLMAP's model cannot be read, or the capture not be written.
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

impl SfmError {
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }

    pub(crate) fn input(path: &Path, reason: impl Into<String>) -> Self {
        Self::Input { path: path.into(), reason: reason.into() }
    }

    pub(crate) fn output(path: &Path, reason: impl Into<String>) -> Self {
        Self::Output { path: path.into(), reason: reason.into() }
    }
}
