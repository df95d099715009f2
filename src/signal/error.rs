//! Errors of reading and writing signals.

use std::path::{Path, PathBuf};

/// An image or sound that could not be read or written. Every variant names the file and says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// The operating system refused to read the file.
    #[error("{}: cannot read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The operating system refused to write the file; what was there before is unharmed.
    #[error("{}: cannot write: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file's content is damaged, or of a kind that is not read.
    #[error("{}: cannot decode: {reason}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The fault and the remedy.
        reason: String,
    },
    /// A value can't be used.
    #[error("{}: {field}: {reason}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Property of the signal: `extension`, `rate`, `samples`, `pixels`, ...
        field: &'static str,
        /// The fault and the expected value.
        reason: String,
    },
}

impl SignalError {
    pub(super) fn read(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Read { path: path.into(), source }
    }

    pub(super) fn write(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Write { path: path.into(), source }
    }

    pub(super) fn decode(path: &Path, reason: impl Into<String>) -> Self {
        Self::Decode { path: path.into(), reason: reason.into() }
    }

    pub(super) fn field(path: &Path, field: &'static str, reason: impl Into<String>) -> Self {
        Self::Field { path: path.into(), field, reason: reason.into() }
    }
}

/// The extension of a file's name in lower case; empty where there is none.
pub(super) fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}
