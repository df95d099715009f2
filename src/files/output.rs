//! Whole writes: files that appear complete or not at all, links and devices that stay what they are.
//!
//! A regular file is replaced by renaming a finished temporary file over it; a link stays, and what it leads to is
//! replaced. Whatever is no regular file (a device, a FIFO, an open file of a process under `/proc` or `/dev/fd`) is
//! written *into*, for a rename would put a file in its place. The path `-` is standard output.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::input::is_fifo;

/// Most links that a path may go through, as on Linux.
const MOST_LINKS: usize = 40;
/// Age from which a temporary file that nobody holds is a left-over of a process that was killed.
const LEFT_OVER: Duration = Duration::from_secs(60);
const SUFFIX: &str = ".part";

/// Place that an output path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A regular file that is there or can be made, with all links resolved: replaced whole.
    File(PathBuf),
    /// A device, a FIFO or an open file of another process: written into.
    Stream(PathBuf),
    /// This process's standard output.
    Stdout,
    /// This process's standard error.
    Stderr,
}

/// Place that `path` leads to; nothing is opened.
///
/// # Errors
/// Paths without a file name, folders, circles of links, folders on the way that are missing or closed.
pub fn resolve(path: &Path) -> io::Result<Target> {
    if path == Path::new("-") {
        return Ok(Target::Stdout);
    }
    let mut at = path.to_path_buf();
    for _ in 0..=MOST_LINKS {
        let name = at.file_name().ok_or_else(|| folder_named(&at))?.to_owned();
        if at.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(folder_named(&at));
        }
        let folder = folder(&at).canonicalize().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => no_folder(),
            _ => e,
        })?;
        let whole = folder.join(&name);
        // Links there lead to open files by number; their text is only a description.
        if ["/proc", "/dev/fd"].iter().any(|open| folder.starts_with(open)) {
            let own = Path::new("/proc").join(std::process::id().to_string()).join("fd");
            let is_own = folder == own || folder == Path::new("/dev/fd");
            return Ok(match name.to_str() {
                Some("1") if is_own => Target::Stdout,
                Some("2") if is_own => Target::Stderr,
                _ => Target::Stream(whole),
            });
        }
        match whole.symlink_metadata() {
            Ok(found) if found.is_symlink() => at = folder.join(whole.read_link()?),
            Ok(found) if found.is_dir() => {
                return Err(io::Error::new(io::ErrorKind::IsADirectory, "a folder of that name is there; name a file"));
            }
            Ok(found) if found.is_file() => return Ok(Target::File(whole)),
            Ok(_) => return Ok(Target::Stream(whole)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Target::File(whole)),
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "links that lead in a circle"))
}

/// Tries whether `path` could be written, and leaves everything as it was.
///
/// A FIFO is not opened, because that waits for its reader.
///
/// # Errors
/// Those of [`resolve`]; folders in which no file can be made; files and devices that may not be written.
pub fn probe(path: &Path) -> io::Result<()> {
    match resolve(path)? {
        Target::Stdout | Target::Stderr => Ok(()),
        Target::Stream(at) => match at.metadata() {
            Ok(found) if is_fifo(&found) => Ok(()),
            Ok(_) => OpenOptions::new().write(true).open(&at).map(drop),
            Err(e) => Err(e),
        },
        Target::File(at) => {
            writable(&at)?;
            empty(&at).map(drop)
        }
    }
}

/// Tries whether files can be made in `folder`, which need not exist: then in the nearest folder above that does.
///
/// # Errors
/// A file in its place, or a folder in which none can be made.
pub fn probe_folder(folder: &Path) -> io::Result<()> {
    let mut at = folder;
    loop {
        let there = if at.as_os_str().is_empty() { Path::new(".") } else { at };
        match there.metadata() {
            Ok(found) if found.is_dir() => return empty(&there.join("probe")).map(drop),
            Ok(_) => {
                let said = format!("{} is a file, not a folder", there.display());
                return Err(io::Error::new(io::ErrorKind::NotADirectory, said));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => match at.parent() {
                // A dangling link: no folder can be made in its place.
                Some(above) if there.symlink_metadata().is_err() => at = above,
                _ => return Err(no_folder()),
            },
            Err(e) => return Err(e),
        }
    }
}

/// Writes `bytes` to `path`; see [`write_with`].
///
/// # Errors
/// Those of [`write_with`].
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// Writes what `fill` gives to `path`, as the header of this file tells.
///
/// Regular files are whole or as they were: filled beside the old one, synced, renamed over it. They keep the rights
/// of the old one. Messages name no temporary file.
///
/// # Errors
/// Those of [`probe`], and the errors of `fill` and of writing.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    match resolve(path)? {
        Target::File(_) => {
            let part = temporary(path)?;
            // Not through the temporary file's own `Write`: its errors tell the temporary name.
            buffered(part.part.as_file(), fill)?;
            part.commit()
        }
        target => buffered(&mut *open(&target)?, fill),
    }
}

/// An empty temporary file for what [`Temporary::commit`] puts to `path`; it is removed where that doesn't happen.
///
/// Left-overs of killed processes that meant to write the same file are removed.
///
/// # Errors
/// Those of [`probe`].
pub fn temporary(path: &Path) -> io::Result<Temporary> {
    let target = resolve(path)?;
    let part = match &target {
        Target::File(at) => {
            writable(at)?;
            clear(at);
            empty(at)?
        }
        // Not beside a device.
        _ => empty(&std::env::temp_dir().join("nstr"))?,
    };
    Ok(Temporary { part, target })
}

/// File that is being written and not yet in its place.
#[derive(Debug)]
pub struct Temporary {
    part: NamedTempFile,
    target: Target,
}

impl Temporary {
    /// Path of the unfinished file, for a program that writes it by name; messages should not show it.
    pub fn path(&self) -> &Path {
        self.part.path()
    }

    /// Syncs the file and puts it in its place.
    ///
    /// # Errors
    /// Those of syncing and renaming, or of writing into what is no regular file.
    pub fn commit(self) -> io::Result<()> {
        let at = match &self.target {
            Target::File(at) => at,
            target => {
                let mut from = File::open(self.part.path()).map_err(unnamed)?;
                return buffered(&mut *open(target)?, |out| io::copy(&mut from, out).map(drop));
            }
        };
        possible(self.part.as_file().sync_all())?;
        match at.symlink_metadata() {
            Ok(old) if old.is_file() => keep_rights(self.part.as_file(), &old),
            // Something else came into its place since: that is never replaced.
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "its place was taken by something else")),
            Err(_) => {}
        }
        self.part.persist(at).map_err(|e| unnamed(e.error))?;
        // The rename has to reach the disk too. The file is in its place whether or not the folder can be synced.
        #[cfg(unix)]
        let _ = File::open(folder(at)).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

/// Runs `fill` on `out` through a buffer.
fn buffered<W: Write>(out: W, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, out);
    fill(&mut out)?;
    out.flush()
}

/// The open end of a target that is written into.
fn open(target: &Target) -> io::Result<Box<dyn Write>> {
    Ok(match target {
        Target::Stdout => Box::new(io::stdout().lock()),
        Target::Stderr => Box::new(io::stderr().lock()),
        Target::File(at) | Target::Stream(at) => {
            // What another process has open as a file may hold something already.
            let is_file = at.metadata()?.is_file();
            Box::new(OpenOptions::new().write(true).append(is_file).open(at)?)
        }
    })
}

/// Fails where the file is there and may not be written, though its folder would let it be replaced.
fn writable(at: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).open(at) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            Err(io::Error::new(e.kind(), "the file there is read-only; permit writing or name another"))
        }
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// A new temporary file beside `at`. It is locked while it is open, as a sign that its process lives.
fn empty(at: &Path) -> io::Result<NamedTempFile> {
    let name = at.file_name().ok_or_else(|| folder_named(at))?;
    let prefix = prefix(name);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The usual rights of a new file (the umask applies); temporary files are private by default.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let part = builder.tempfile_in(folder(at)).map_err(unnamed)?;
    // Elsewhere a lock would keep other programs from writing the file by name.
    #[cfg(unix)]
    let _ = part.as_file().try_lock();
    Ok(part)
}

/// Beginning of the temporary names of a file; file systems allow 255 bytes for the whole name.
fn prefix(name: &std::ffi::OsStr) -> String {
    let mut name = name.to_string_lossy().into_owned();
    name.truncate(name.floor_char_boundary(200));
    format!(".{name}.")
}

/// Temporary files that were in a folder when this process first wrote there: left-overs, or files of other processes.
static FOUND: Mutex<BTreeMap<PathBuf, Vec<String>>> = Mutex::new(BTreeMap::new());

/// Removes left-overs of earlier writes to `at`; a folder is looked through once a process.
fn clear(at: &Path) {
    let Some(name) = at.file_name() else { return };
    let (folder, prefix) = (folder(at), prefix(name));
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let parts = found.entry(folder.to_path_buf()).or_insert_with(|| part_names(folder));
    parts.retain(|part| {
        let is_of_it = is_part_of(part, &prefix);
        if is_of_it {
            remove_left_over(&folder.join(part));
        }
        !is_of_it
    });
}

/// Names in a folder that end as temporary files do.
fn part_names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with('.') && name.ends_with(SUFFIX)).collect()
}

/// Whether a temporary name is the prefix with random letters.
fn is_part_of(part: &str, prefix: &str) -> bool {
    let middle = part.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(SUFFIX));
    middle.is_some_and(|middle| !middle.is_empty() && middle.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Removes a temporary file that is old and that no living process holds; failures don't matter.
fn remove_left_over(path: &Path) {
    let is_old = |m: Metadata| m.modified().is_ok_and(|t| t.elapsed().is_ok_and(|since| since >= LEFT_OVER));
    if path.symlink_metadata().is_ok_and(|m| m.is_file() && is_old(m))
        && let Ok(file) = File::open(path)
        && !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    {
        let _ = std::fs::remove_file(path);
    }
}

/// Gives a new file the owner and the rights of the old one, as far as that is allowed.
fn keep_rights(new: &File, old: &Metadata) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
        if new.metadata().is_ok_and(|m| (m.uid(), m.gid()) != (old.uid(), old.gid())) {
            let _ = fchown(new, Some(old.uid()), Some(old.gid()));
        }
        let _ = new.set_permissions(std::fs::Permissions::from_mode(old.mode() & 0o777));
    }
    #[cfg(not(unix))]
    let _ = (new, old);
}

/// Success where a file system doesn't know the operation.
fn possible(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|e| match e.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => Ok(()),
        _ => Err(e),
    })
}

/// The kind of an error alone: its message names the temporary file, which the user does not know.
fn unnamed(error: io::Error) -> io::Error {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::NotFound, _) => no_folder(),
        (io::ErrorKind::PermissionDenied, _) => {
            io::Error::new(io::ErrorKind::PermissionDenied, "no file can be made in its folder: permission denied")
        }
        (io::ErrorKind::ReadOnlyFilesystem, _) => {
            io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "its folder is on a read-only file system")
        }
        // A number of the system's own has no path in its message.
        (_, Some(number)) => io::Error::from_raw_os_error(number),
        // This kind says nothing by itself.
        (io::ErrorKind::Other, None) => io::Error::other("no file can be made in its folder"),
        (kind, None) => kind.into(),
    }
}

fn no_folder() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "there is no such folder to write to")
}

fn folder_named(path: &Path) -> io::Error {
    let kind = if path.as_os_str().is_empty() { io::ErrorKind::InvalidInput } else { io::ErrorKind::IsADirectory };
    io::Error::new(kind, "names a folder, not a file")
}

/// Folder that holds `path`.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
