//! Fingerprints of inputs, so that a resumed fit notices changed data.

use std::path::Path;

/// Hash of a file's content, or of the names and sizes of a folder's files, models left out (FNV-1a, 64 bits).
///
/// # Errors
/// Files and folders that cannot be read.
pub fn input_fingerprint(path: &Path) -> std::io::Result<String> {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    if path.is_dir() {
        let mut names = Vec::new();
        list(path, path, &mut names)?;
        names.sort();
        names.iter().for_each(|name| add(name.as_bytes()));
    } else {
        add(&std::fs::read(path)?);
    }
    Ok(format!("{state:016x}"))
}

fn list(root: &Path, folder: &Path, to: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // What a fit writes may lie beside what it reads.
        if path.extension().is_some_and(|e| e == "safetensors" || e == "part") {
            continue;
        }
        let about = std::fs::metadata(&path)?;
        if about.is_dir() {
            list(root, &path, to)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path);
            to.push(format!("{} {}\n", name.display(), about.len()));
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
        std::fs::write(at("in/m.checkpoint.safetensors"), "model").unwrap();
        assert_eq!(input_fingerprint(&at("in")).unwrap(), folder);
        std::fs::write(at("in/b"), "").unwrap();
        assert_ne!(input_fingerprint(&at("in")).unwrap(), folder);
        std::fs::write(at("in/a"), "two").unwrap();
        assert_ne!(input_fingerprint(&at("in/a")).unwrap(), file);
        assert!(input_fingerprint(&at("none")).is_err());
    }
}
