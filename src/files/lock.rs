//! Locks of outputs: a file beside the output that tells a second run who writes there.
//!
//! The lock itself is the operating system's and ends with the process, however that ends; a lock file that a killed
//! process left is taken over. Where a file system has no locks, runs go on without.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::output::{Target, folder, resolve};

/// Most bytes of a lock file that a message quotes.
const MOST: u64 = 400;

/// Hold on an output; given back when it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: Option<(File, PathBuf)>,
    note: Option<String>,
}

impl Lock {
    /// Reason why there is no lock, where the file system has none.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed before it is unlocked: nobody else can hold it at that moment.
        if let Some((_file, path)) = self.file.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Failure to lock an output.
#[derive(Debug)]
pub enum LockError {
    /// Another run writes there; the text says which and since when.
    Held(String),
    /// The lock file cannot be made.
    Io(io::Error),
}

impl std::fmt::Display for LockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Held(owner) => {
                write!(f, "another run writes it: {owner}; wait for that run or name another output")
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LockError {}

/// Takes the lock of the output `path`, links resolved: `.NAME.lock` beside a file, `.nstr.lock` in a folder.
///
/// Devices and standard output have none and are always free.
///
/// # Errors
/// Another run holds it, or the lock file cannot be made.
pub fn lock(path: &Path) -> Result<Lock, LockError> {
    let free = Lock { file: None, note: None };
    let beside = match path.canonicalize() {
        Ok(at) if at.is_dir() => at.join(".nstr.lock"),
        _ => match resolve(path).map_err(LockError::Io)? {
            Target::File(at) => {
                let mut name = at.file_name().unwrap_or_default().to_string_lossy().into_owned();
                name.truncate(name.floor_char_boundary(200));
                folder(&at).join(format!(".{name}.lock"))
            }
            _ => return Ok(free),
        },
    };
    // Once more where the owner removed the file between its being opened and locked here.
    for tries in 0..100 {
        let mut file = match OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&beside) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && beside.exists() => return foreign(&beside),
            Err(e) => return Err(LockError::Io(e)),
        };
        match file.try_lock() {
            Ok(()) if !is_at(&file, &beside) => continue,
            Ok(()) => {
                // What it says is a courtesy; a full disk is no reason to stop here.
                let _ = file.set_len(0).and_then(|()| file.write_all(owner().as_bytes()));
                return Ok(Lock { file: Some((file, beside)), note: None });
            }
            Err(TryLockError::WouldBlock) => {
                let owner = start(&file);
                // It was taken this moment, and its owner has not written yet who that is.
                if !owner.contains("since ") && tries < 10 {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                }
                return Err(LockError::Held(describe(&owner)));
            }
            Err(TryLockError::Error(e)) => {
                let _ = std::fs::remove_file(&beside);
                let note = format!("its file system has no locks ({e}); don't let two runs write it at a time");
                return Ok(Lock { file: None, note: Some(note) });
            }
        }
    }
    Err(LockError::Io(io::Error::new(io::ErrorKind::ResourceBusy, "its lock file comes and goes")))
}

/// The outcome where another user's lock file is in place, which may be read but not written.
fn foreign(beside: &Path) -> Result<Lock, LockError> {
    if let Ok(file) = File::open(beside)
        && matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    {
        return Err(LockError::Held(describe(&start(&file))));
    }
    let note = format!("{} is another user's; don't let two runs write at a time", beside.display());
    Ok(Lock { file: None, note: Some(note) })
}

/// The first bytes of a file as text, as far as they can be read.
fn start(file: &File) -> String {
    let mut bytes = Vec::new();
    let _ = file.take(MOST).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Content of a lock file: process, host, seconds since 1970.
fn owner() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
    format!("process {}\nhost {}\nsince {since}\n", std::process::id(), host())
}

/// The lock file's content as part of a sentence.
fn describe(text: &str) -> String {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(crate::excerpt);
    let (Some(process), Some(host), Some(since)) = (value("process "), value("host "), value("since ")) else {
        return "a process that does not say its name".into();
    };
    let begun = since.parse().ok().and_then(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s)));
    let ago = begun.and_then(|t| SystemTime::now().duration_since(t).ok()).unwrap_or_default().as_secs();
    let age = match ago {
        0..60 => format!("{ago} s"),
        60..3600 => format!("{} min", ago / 60),
        _ => format!("{} h {} min", ago / 3600, ago / 60 % 60),
    };
    format!("process {process} on {host}, begun {age} ago")
}

/// Name of this machine, as far as the standard library can know it.
fn host() -> String {
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .or_else(|| ["HOSTNAME", "COMPUTERNAME"].iter().find_map(|name| std::env::var(name).ok()))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "an unnamed machine".into())
}

/// Whether the open file is still the one of that path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |m: &std::fs::Metadata| (m.dev(), m.ino());
    matches!((file.metadata(), path.metadata()), (Ok(a), Ok(b)) if identity(&a) == identity(&b))
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        let first = lock(&path).unwrap();
        if first.note().is_some() {
            return;
        }
        let said = lock(&path).unwrap_err().to_string();
        #[cfg(unix)]
        assert!(said.contains(&format!("process {} on {}", std::process::id(), host())), "{said}");
        assert!(said.contains("another run"), "{said}");
        let other = lock(&dir.path().join("n.safetensors")).unwrap();
        drop((first, other));
        drop(lock(&path).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_left_lock_file_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".m.lock"), "process 1\nhost nowhere\nsince 5\n").unwrap();
        drop(lock(&dir.path().join("m")).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn folders_and_links_lock_what_they_lead_to() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("out");
        std::fs::create_dir(&folder).unwrap();
        let held = lock(&folder).unwrap();
        assert!(folder.join(".nstr.lock").exists() || held.note().is_some());
        assert!(held.note().is_some() || lock(&folder.join(".")).is_err());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("m", dir.path().join("link")).unwrap();
            let held = lock(&dir.path().join("link")).unwrap();
            assert!(held.note().is_some() || lock(&dir.path().join("m")).is_err());
            assert!(lock(Path::new("/dev/null")).unwrap().file.is_none());
        }
    }

    #[test]
    fn owners_are_described() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let text = |since: u64| describe(&format!("process 7\nhost box\nsince {since}\n"));
        assert_eq!(text(now - 200), "process 7 on box, begun 3 min ago");
        assert_eq!(text(now - 7_400), "process 7 on box, begun 2 h 3 min ago");
        assert!(text(u64::MAX).contains("0 s"));
        assert!(describe("").contains("does not say"));
    }
}
