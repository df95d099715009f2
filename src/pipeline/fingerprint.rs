//! Fingerprints of inputs, so that a resumed fit notices changed data.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nstr_field::model::{ENDINGS, Model};
use nstr_files::excerpt;

use crate::record::FitRecord;

/// Bytes that are read at a time.
const PART: usize = 1 << 16;
/// Endings of what a fit writes, which may lie beside what it reads.
const WRITTEN: [&str; 4] = [ENDINGS[0], ENDINGS[1], "part", "lock"];

/// Hash of a file's content, or of the names and sizes of a folder's files, models left out (FNV-1a, 64 bits).
///
/// A FIFO, which can be read but once, has the fingerprint `stream`. In folders links are followed; one that leads nowhere
/// counts by its name, a folder that is reached twice counts once.
///
/// # Errors
/// Files and folders that cannot be read.
pub fn input_fingerprint(path: &Path) -> io::Result<String> {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    let about = std::fs::metadata(path)?;
    if about.is_dir() {
        let (mut names, mut seen) = (Vec::new(), HashSet::new());
        list(path, path, &mut seen, &mut names)?;
        names.sort();
        names.iter().for_each(|name| hash.add(name.as_bytes()));
    } else if about.is_file() {
        let (mut file, mut part) = (File::open(path)?, vec![0; PART]);
        loop {
            match file.read(&mut part) {
                Ok(0) => break,
                Ok(count) => hash.add(&part[..count]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    } else {
        return Ok("stream".into());
    }
    Ok(format!("{:016x}", hash.0))
}

/// The input that `model` was fitted to, in words, where that is another than `input` of this hash. An input without a hash, and
/// models that keep none, are told by their names.
pub fn other_input(model: &Model, input: &Path, fingerprint: Option<&str>) -> Option<String> {
    let before = model.provenance.get("input").map_or("", String::as_str);
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    let then = FitRecord::of(model).ok().and_then(|record| record.input);
    // A pipe has no content to compare.
    let now = fingerprint.filter(|hash| *hash != "stream");
    match (then.as_deref(), now) {
        (Some(then), Some(now)) if then == now => None,
        (Some(_), Some(_)) if before == name => {
            Some(format!("another {}, or of this one before it changed", excerpt(before)))
        }
        // Older models don't know the content.
        _ if before == name || before.is_empty() => None,
        _ => Some(excerpt(before)),
    }
}

struct Fnv(u64);

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn list(root: &Path, folder: &Path, seen: &mut HashSet<PathBuf>, to: &mut Vec<String>) -> io::Result<()> {
    // Links may lead in a circle.
    if !seen.insert(folder.canonicalize()?) {
        return Ok(());
    }
    // In an order of their own, so that the way to a folder that is reached twice is always the same.
    let mut paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.extension().is_some_and(|e| WRITTEN.iter().any(|written| e == *written)) {
            continue;
        }
        // What leads nowhere, or may not be looked at, is known by its name.
        let about = std::fs::metadata(&path).ok();
        if about.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            list(root, &path, seen, to)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path);
            to.push(format!("{} {}\n", name.display(), about.map_or(0, |a| a.len())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_counts_and_models_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("in")).unwrap();
        std::fs::write(at("in/a"), "one").unwrap();
        let [file, folder] = ["in/a", "in"].map(|name| input_fingerprint(&at(name)).unwrap());
        for written in
            ["in/m.checkpoint.safetensors", "in/m.nstr", "in/.m.safetensors.lock", "in/.m.safetensors.x.part"]
        {
            std::fs::write(at(written), "model").unwrap();
        }
        assert_eq!(input_fingerprint(&at("in")).unwrap(), folder);
        std::fs::write(at("in/b"), "").unwrap();
        assert_ne!(input_fingerprint(&at("in")).unwrap(), folder);
        std::fs::write(at("in/a"), "two").unwrap();
        assert_ne!(input_fingerprint(&at("in/a")).unwrap(), file);
        assert!(input_fingerprint(&at("none")).is_err());
    }

    #[test]
    fn the_hash_is_fnv_1a_of_all_parts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        // Published values of FNV-1a.
        for (text, hash) in [("", "cbf29ce484222325"), ("a", "af63dc4c8601ec8c"), ("foobar", "85944171f73967e8")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(input_fingerprint(&path).unwrap(), hash);
        }
        let long: Vec<u8> = (0..3 * PART + 5).map(|i| (i * i) as u8).collect();
        let of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            input_fingerprint(&path).unwrap()
        };
        let whole = of(&long);
        for i in [0, PART - 1, PART, 3 * PART + 4] {
            let mut other = long.clone();
            other[i] ^= 1;
            assert_ne!(of(&other), whole, "byte {i}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_and_fifos_end() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("in/sub")).unwrap();
        std::fs::write(at("in/sub/a"), "one").unwrap();
        for (to, link) in
            [(".", "in/self"), ("..", "in/sub/up"), ("../sub", "in/sub/again"), ("nowhere", "in/dangling")]
        {
            symlink(to, at(link)).unwrap();
        }
        let before = input_fingerprint(&at("in")).unwrap();
        assert_eq!(input_fingerprint(&at("in")).unwrap(), before);
        std::fs::write(at("in/sub/a"), "three").unwrap();
        assert_ne!(input_fingerprint(&at("in")).unwrap(), before);
        // Through a link as through the folder itself.
        symlink("in", at("link")).unwrap();
        assert_eq!(input_fingerprint(&at("link")).unwrap(), input_fingerprint(&at("in")).unwrap());
        assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
        assert_eq!(input_fingerprint(&at("fifo")).unwrap(), "stream");
    }
}
