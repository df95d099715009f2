//! Animations as a folder of numbered files.

use std::path::{Path, PathBuf};

use crate::{ImageError, Rgba8, png};

/// Path of frame `index` in `folder`: `frame_0000.png` and so on, with as many digits as `count` frames need (4 at least).
pub fn frame_path(folder: &Path, index: usize, count: usize, extension: &str) -> PathBuf {
    let digits = count.saturating_sub(1).to_string().len().max(4);
    folder.join(format!("frame_{index:0digits$}.{extension}"))
}

/// Writes images as numbered PNG files; the folder is made where it does not exist.
///
/// # Errors
/// Folders and files that cannot be written.
pub fn write(folder: &Path, frames: &[Rgba8]) -> Result<Vec<PathBuf>, ImageError> {
    std::fs::create_dir_all(folder).map_err(ImageError::io(folder))?;
    let mut paths = Vec::with_capacity(frames.len());
    for (i, frame) in frames.iter().enumerate() {
        let path = frame_path(folder, i, frames.len(), "png");
        png::write(&path, frame)?;
        paths.push(path);
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_files() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let frames: Vec<_> = (0..3).map(|k| Rgba8::from_fn(2, 2, |_| [k, 0, 0, 255])).collect();
        let paths = write(&folder, &frames).unwrap();
        assert_eq!(paths[2], folder.join("frame_0002.png"));
        assert_eq!(png::read(&paths[2]).unwrap(), frames[2]);
        assert_eq!(frame_path(Path::new("d"), 7, 100_000, "exr"), Path::new("d/frame_00007.exr"));
        std::fs::write(dir.path().join("file"), b"").unwrap();
        assert!(write(&dir.path().join("file"), &frames).is_err());
    }
}
