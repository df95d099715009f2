//! Atomic writes: files that appear whole or not at all.

use std::io::{self, BufWriter, Write};
use std::path::Path;

#[doc(hidden)]
pub mod testing;

/// Writes `bytes` to `path`, whole or not at all; see [`write_with`].
///
/// # Errors
/// Those of [`write_with`].
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// Runs `fill` on a temporary file beside `path`, syncs it and renames it over `path`; on failure `path` is as it was.
///
/// # Errors
/// Paths without a file name, folders that cannot be written to, and the errors of `fill`.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, temporary(path)?);
    fill(&mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    // The rename itself has to reach the disk too.
    #[cfg(unix)]
    std::fs::File::open(folder(path))?.sync_all()?;
    Ok(())
}

/// An empty temporary file beside `path`, to be filled and renamed; it is removed where that doesn't happen.
///
/// # Errors
/// Paths without a file name, folders that cannot be written to.
pub fn temporary(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
    let prefix = format!(".{}.", name.to_string_lossy());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The usual rights of a new file (the umask applies); temporary files are private by default.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder(path)).map_err(unnamed)
}

/// The kind of an error alone: its message names the temporary file, which the user does not know.
fn unnamed(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(io::ErrorKind::NotFound, "there is no such folder to write to"),
        // This kind says nothing by itself.
        io::ErrorKind::Other => error,
        kind => kind.into(),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let said = write(&dir.path().join("no/such/file"), b"x").unwrap_err().to_string();
        assert!(!said.contains(".part"), "{said}");
        assert!(write(dir.path(), b"x").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
