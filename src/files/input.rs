//! Bounded reads: files that the user named, and files that another file names.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reads all of a file that the user named.
///
/// A FIFO is read to its end (`<(command)` of a shell is one).
///
/// # Errors
/// Folders, devices and sockets, by name; files that cannot be read or do not fit into memory.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() && !is_fifo(&found) {
        return Err(irregular(&found, "a file"));
    }
    std::fs::read(path)
}

/// Reads all of a file that another file names (a texture, a buffer, a frame), and charges its length to `budget`.
///
/// Links are followed. What else is no regular file is never opened, because a device or a FIFO may have no end.
///
/// # Errors
/// What is no regular file, by name; a spent budget; files that cannot be read or do not fit into memory.
pub fn read_named(path: &Path, budget: &Budget) -> io::Result<Vec<u8>> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Err(irregular(&found, "a regular file"));
    }
    budget.charge(found.len())?;
    let mut bytes = Vec::new();
    let length = usize::try_from(found.len()).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    bytes.try_reserve_exact(length).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    // No more than was charged, should the file grow meanwhile.
    File::open(path)?.take(found.len()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes that the files which one input names may take together.
///
/// It is shared by reference; threads may charge it at the same time.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    left: AtomicU64,
}

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self { limit: bytes, left: AtomicU64::new(bytes) }
    }

    /// Takes `bytes` off what is left.
    ///
    /// # Errors
    /// Fewer are left (then nothing is taken); the message tells the limit.
    pub fn charge(&self, bytes: u64) -> io::Result<()> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(|_| ()).map_err(|_| {
            let said = format!(
                "the files that the input names come to more than {}, which is all that one run reads of them; use \
                 fewer or smaller ones",
                size(self.limit)
            );
            io::Error::new(io::ErrorKind::FileTooLarge, said)
        })
    }
}

/// A length in the largest unit that does not hide it.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift >= 1) {
        Some((shift, unit)) => format!("{:.3} {unit}", bytes as f64 / (1_u64 << shift) as f64).replace(".000", ""),
        None => format!("{bytes} bytes"),
    }
}

fn irregular(found: &Metadata, wanted: &str) -> io::Error {
    let kind = if found.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput };
    io::Error::new(kind, format!("{}, not {wanted}", what(found)))
}

#[cfg(unix)]
fn what(found: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let of = found.file_type();
    match () {
        _ if of.is_dir() => "a folder",
        _ if of.is_fifo() => "a FIFO",
        _ if of.is_char_device() || of.is_block_device() => "a device",
        _ if of.is_socket() => "a socket",
        _ => "something else",
    }
}

#[cfg(not(unix))]
fn what(found: &Metadata) -> &'static str {
    if found.is_dir() { "a folder" } else { "a device" }
}

/// Whether that is a named pipe.
#[cfg(unix)]
pub(crate) fn is_fifo(found: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&found.file_type())
}

/// There are none.
#[cfg(not(unix))]
pub(crate) fn is_fifo(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains("a folder"));
        assert!(read_named(dir.path(), &Budget::new(9)).unwrap_err().to_string().contains("a folder"));
    }

    #[test]
    fn a_budget_is_for_all_files_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"abcde").unwrap();
        let budget = Budget::new(12);
        assert_eq!(read_named(&path, &budget).unwrap(), b"abcde");
        assert_eq!(read_named(&path, &budget).unwrap(), b"abcde");
        let refused = read_named(&path, &budget).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
        assert!(refused.to_string().contains("12 bytes"), "{refused}");
        // Nothing was taken by the refusal.
        budget.charge(2).unwrap();
        assert!(budget.charge(1).is_err() && budget.charge(u64::MAX).is_err());
        assert_eq!(size(3 << 30), "3 GiB");
        assert_eq!(size((5 << 20) + (1 << 19)), "5.500 MiB");
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_never_opened_and_fifos_only_for_the_user() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link.png");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for path in [Path::new("/dev/zero"), &link] {
            assert!(read(path).unwrap_err().to_string().contains("a device"));
            assert!(read_named(path, &Budget::new(1 << 20)).unwrap_err().to_string().contains("a device"));
        }
        let fifo = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert!(read_named(&fifo, &Budget::new(1 << 20)).unwrap_err().to_string().contains("a FIFO"));
        std::thread::scope(|threads| {
            threads.spawn(|| std::fs::write(&fifo, b"through").unwrap());
            assert_eq!(read(&fifo).unwrap(), b"through");
        });
        std::fs::write(dir.path().join("real"), b"x").unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("to")).unwrap();
        assert_eq!(read_named(&dir.path().join("to"), &Budget::new(1)).unwrap(), b"x");
    }
}
