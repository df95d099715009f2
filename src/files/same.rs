//! Identity of files: whether two paths lead to one file.

use std::path::Path;

use crate::output::{Target, resolve};

/// Whether two paths lead to the same file or folder, through links, other spellings and hard links.
///
/// Neither has to exist: then they are the same if writing them would make the same file. Streams such as a terminal
/// are never the same: each takes what it is sent.
pub fn is_same(a: &Path, b: &Path) -> bool {
    match (identity(a), identity(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => matches!((resolve(a), resolve(b)), (Ok(Target::File(a)), Ok(Target::File(b))) if a == b),
        _ => false,
    }
}

/// Device and number of a file or folder that exists; `None` for what is neither.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = path.metadata().ok().filter(|found| found.is_file() || found.is_dir())?;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<std::path::PathBuf> {
    path.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_by_many_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        std::fs::write(at("a"), b"x").unwrap();
        std::fs::write(at("b"), b"x").unwrap();
        std::fs::hard_link(at("a"), at("hard")).unwrap();
        for (one, two, same) in [
            ("a", "a", true),
            ("a", "sub/../a", true),
            ("a", "hard", true),
            ("a", "b", false),
            ("a", "new", false),
            ("new", "sub/../new", true),
            ("new", "new2", false),
            ("no/new", "no/new", false),
            ("sub", "sub/.", true),
        ] {
            assert_eq!(is_same(&at(one), &at(two)), same, "{one} {two}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("new", at("dangling")).unwrap();
            assert!(is_same(&at("dangling"), &at("new")));
            assert!(!is_same(Path::new("/dev/null"), Path::new("/dev/null")));
        }
        assert!(!is_same(Path::new("-"), Path::new("-")));
    }
}
