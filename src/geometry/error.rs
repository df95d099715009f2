//! Errors of reading and writing mesh files.

use std::path::PathBuf;

/// A mesh file that could not be read or written. Every variant names the file and says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The operating system refused the file.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The action that failed, e.g. "read".
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Neither extension nor content is a known mesh format.
    #[error("{}: not a mesh format that nstr knows; use OBJ, PLY, STL, OFF, GLB or glTF", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A known format that is not read.
    #[error("{}: {format} is not supported; {remedy}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The format's name.
        format: &'static str,
        /// The way out.
        remedy: &'static str,
    },
    /// The content breaks the rules of its format.
    #[error("{}{}: {reason}", path.display(), place(*line))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1, in text formats.
        line: Option<usize>,
        /// The fault and, where it is not plain, the remedy.
        reason: String,
    },
    /// The file is well formed but holds nothing with an area.
    #[error("{}: no faces{}; export the surface as triangles or polygons", path.display(), list(notes))]
    NoFaces {
        /// The file.
        path: PathBuf,
        /// Notes on the content, e.g. skipped faces with the reason.
        notes: Vec<String>,
    },
    /// The mesh cannot be stored in the requested format.
    #[error("{}: {reason}", path.display())]
    Unwritable {
        /// The file that would have been written.
        path: PathBuf,
        /// The reason and the remedy.
        reason: String,
    },
}

fn place(line: Option<usize>) -> String {
    line.map_or(String::new(), |n| format!(":{n}"))
}

fn list(notes: &[String]) -> String {
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) }
}
