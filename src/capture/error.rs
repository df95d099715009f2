//! Errors of reading captures.

use std::path::{Path, PathBuf};

/// A capture that could not be read. Every variant names the file and says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The operating system refused the file or folder.
    #[error("{}: cannot read: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("{}: cannot write: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Nothing there looks like a capture.
    #[error(
        "{}: not a capture; expected transforms.json, transforms_train.json, poses_bounds.npy, a COLMAP model in sparse/0 or an .npz of images",
        path.display()
    )]
    Unknown {
        /// The folder or file.
        path: PathBuf,
    },
    /// The file isn't JSON.
    #[error("{}: not JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's message, with line and column.
        source: serde_json::Error,
    },
    /// A value can't be used.
    #[error("{}: {field}: {reason}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Place in the file, e.g. `frames[2].transform_matrix` or `image 7`.
        field: String,
        /// The fault and the expected value.
        reason: String,
    },
    /// A picture or mask can't be decoded, or doesn't fit its camera.
    #[error("{}: {reason}", path.display())]
    Image {
        /// The picture.
        path: PathBuf,
        /// The fault and the remedy.
        reason: String,
    },
    /// No frame is left to load.
    #[error("{}: no frames: {reason}", path.display())]
    NoFrames {
        /// The capture's file or folder.
        path: PathBuf,
        /// The reason.
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
}

impl CaptureError {
    pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }

    pub(super) fn field(path: &Path, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Field { path: path.into(), field: field.into(), reason: reason.into() }
    }

    pub(super) fn image(path: &Path, reason: impl Into<String>) -> Self {
        Self::Image { path: path.into(), reason: reason.into() }
    }

    pub(super) fn no_frames(path: &Path, reason: impl Into<String>) -> Self {
        Self::NoFrames { path: path.into(), reason: reason.into() }
    }
}
