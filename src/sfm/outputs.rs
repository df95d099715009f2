//! Places in a capture's folder, and what may be done there.
//!
//! A run works in `.unfinished`; at its end images, points and COLMAP's files are moved to their places, and `transforms.json`, which makes
//! the folder a capture, is written last. An earlier capture stays whole until then.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::SfmError;
use crate::record::{InputIdentity, Record};

/// Names that this command writes into the folder.
const NAMES: [&str; 7] = ["transforms.json", "images", "masks", "colmap", "points.ply", "cameras.png", "capture.json"];
/// Lock of the folder while a run holds it.
const LOCK: &str = ".nstr.lock";

/// A capture's folder.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    folder: PathBuf,
}

/// Earlier work in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlierRun {
    /// None, or it is to be replaced.
    None,
    /// A run that did not end, to go on with.
    Interrupted,
    /// The same capture, finished.
    Finished,
}

impl Layout {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.into() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a run that has not ended.
    pub fn work(&self) -> PathBuf {
        self.folder.join(".unfinished")
    }

    pub fn work_images(&self) -> PathBuf {
        self.work().join("images")
    }

    pub fn work_masks(&self) -> PathBuf {
        self.work().join("masks")
    }

    pub fn database(&self) -> PathBuf {
        self.work().join("database.db")
    }

    pub fn sparse(&self) -> PathBuf {
        self.work().join("sparse")
    }

    /// Log of a stage.
    pub fn log(&self, stage: &str) -> PathBuf {
        self.work().join(format!("{stage}.log"))
    }

    pub fn work_record(&self) -> PathBuf {
        self.work().join("capture.json")
    }

    pub fn record(&self) -> PathBuf {
        self.folder.join("capture.json")
    }

    /// Finds out what is there, and refuses what must not be touched.
    ///
    /// # Errors
    /// A folder with other files, a finished or interrupted capture that is neither to be resumed nor replaced, one of another
    /// input, and a folder that cannot be written.
    pub fn check(&self, input: &InputIdentity, resume: bool, overwrite: bool) -> Result<EarlierRun, SfmError> {
        let fail = |reason: String| Err(SfmError::output(&self.folder, reason));
        if self.folder.exists() && !self.folder.is_dir() {
            return fail("is a file; name a folder".into());
        }
        nstr_files::probe_folder(&self.folder).map_err(SfmError::io(&self.folder))?;
        if let Ok(whole) = self.folder.canonicalize()
            && (input.path.starts_with(&whole) || whole.starts_with(&input.path))
        {
            return fail(format!("holds {} or lies in it; name a folder elsewhere", input.path.display()));
        }
        let unfinished = Record::read(&self.work_record())?;
        let finished = Record::read(&self.record())?;
        if unfinished.is_none() && finished.is_none() {
            return match self.foreign()? {
                // A run that was killed before its first stage.
                _ if self.work().is_dir() => Ok(EarlierRun::None),
                None => Ok(EarlierRun::None),
                Some(name) => fail(format!("holds other files ({name}); name a new or an empty folder")),
            };
        }
        if overwrite {
            return Ok(EarlierRun::None);
        }
        let (record, state) = match (unfinished, finished) {
            (Some(record), _) => (record, EarlierRun::Interrupted),
            (None, Some(record)) => (record, EarlierRun::Finished),
            (None, None) => return Ok(EarlierRun::None),
        };
        let of = record.input.path.display();
        match state {
            _ if resume && record.input.path != input.path => fail(format!(
                "holds a capture of {of}, not of {}; name another folder, or replace it with --overwrite",
                input.path.display()
            )),
            _ if resume && record.input != *input => {
                fail(format!("{of} has changed since the capture was begun; begin again with --overwrite"))
            }
            state if resume => Ok(state),
            EarlierRun::Interrupted => {
                fail(format!("holds an interrupted run on {of}; --resume goes on with it, --overwrite begins again"))
            }
            _ => fail(format!("holds a capture of {of}; name another folder, or replace it with --overwrite")),
        }
    }

    /// A name in the folder that no run writes beside its record.
    fn foreign(&self) -> Result<Option<String>, SfmError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(SfmError::io(&self.folder)(e)),
        };
        let names = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name != LOCK && name != ".unfinished").collect();
        names.sort();
        Ok(names.into_iter().next().map(|n| nstr_files::excerpt(&n)))
    }

    /// Makes the working folder, empty.
    pub fn begin(&self) -> Result<(), SfmError> {
        remove(&self.work())?;
        fs::create_dir_all(self.work()).map_err(SfmError::io(&self.work()))
    }

    /// Takes an earlier capture away, its mark first, and moves the finished parts to their places; `model` is the folder of the
    /// chosen model in [`Layout::sparse`]. What has been moved already is left where it is.
    pub fn finish(&self, model: &str) -> Result<(), SfmError> {
        let moves = [
            (self.work_images(), self.folder.join("images")),
            (self.work_masks(), self.folder.join("masks")),
            (self.sparse().join(model), self.folder.join("colmap/sparse/0")),
            (self.database(), self.folder.join("colmap/database.db")),
        ];
        // Images are moved first: where they are in place, so are the earlier capture's parts away.
        if self.work_images().is_dir() {
            for name in NAMES {
                remove(&self.folder.join(name))?;
            }
        }
        for (from, to) in moves {
            if from.exists() {
                if let Some(above) = to.parent() {
                    fs::create_dir_all(above).map_err(SfmError::io(above))?;
                }
                fs::rename(&from, &to).map_err(SfmError::io(&to))?;
            }
        }
        Ok(())
    }

    /// Keeps the logs, and removes the working folder.
    pub fn clean(&self) -> Result<(), SfmError> {
        let entries = fs::read_dir(self.work()).map_err(SfmError::io(&self.work()))?;
        for path in entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "log")) {
            let to = self.folder.join("colmap").join(path.file_name().unwrap_or_default());
            fs::rename(&path, &to).map_err(SfmError::io(&to))?;
        }
        remove(&self.work())
    }
}

/// Removes a file or folder, if it is there. Links are removed, not followed.
pub(crate) fn remove(path: &Path) -> Result<(), SfmError> {
    let result = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    result.map_err(SfmError::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(folder: &Path, name: &str) -> InputIdentity {
        let path = folder.join(name);
        fs::write(&path, "video").unwrap();
        InputIdentity::of(&path, None).unwrap()
    }

    #[test]
    fn only_what_is_ones_own_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (input(dir.path(), "a.mp4"), input(dir.path(), "b.mp4"));
        let layout = Layout::new(&dir.path().join("out"));
        let check = |input: &InputIdentity, resume, overwrite| layout.check(input, resume, overwrite);
        let said = |result: Result<EarlierRun, SfmError>| result.unwrap_err().to_string();
        assert_eq!(check(&a, false, false).unwrap(), EarlierRun::None);
        fs::create_dir_all(layout.folder()).unwrap();
        assert_eq!(check(&a, true, false).unwrap(), EarlierRun::None);
        fs::write(layout.folder().join("thesis.tex"), "").unwrap();
        for overwrite in [false, true] {
            let text = said(check(&a, false, overwrite));
            assert!(text.contains("other files (thesis.tex)"), "{text}");
        }
        layout.begin().unwrap();
        Record::new(a.clone()).write(&layout.work_record()).unwrap();
        let text = said(check(&a, false, false));
        assert!(text.contains("--resume goes on") && text.contains("a.mp4"), "{text}");
        assert_eq!(check(&a, true, false).unwrap(), EarlierRun::Interrupted);
        assert_eq!(check(&a, false, true).unwrap(), EarlierRun::None);
        let text = said(check(&b, true, false));
        assert!(text.contains("a.mp4, not of") && text.contains("b.mp4"), "{text}");
        fs::write(dir.path().join("a.mp4"), "another").unwrap();
        let text = said(check(&input_again(dir.path()), true, false));
        assert!(text.contains("has changed"), "{text}");
        fs::rename(layout.work_record(), layout.record()).unwrap();
        let text = said(check(&a, false, false));
        assert!(text.contains("holds a capture of") && text.contains("--overwrite"), "{text}");
        assert_eq!(check(&a, true, false).unwrap(), EarlierRun::Finished);
        fs::write(layout.record(), "{}").unwrap();
        assert!(said(check(&a, false, true)).contains("not the record"));
    }

    fn input_again(folder: &Path) -> InputIdentity {
        InputIdentity::of(&folder.join("a.mp4"), None).unwrap()
    }

    #[test]
    fn inputs_and_outputs_lie_apart() {
        let dir = tempfile::tempdir().unwrap();
        let a = input(dir.path(), "a.mp4");
        let said = Layout::new(dir.path()).check(&a, false, true).unwrap_err().to_string();
        assert!(said.contains("elsewhere"), "{said}");
        let images = InputIdentity::of(dir.path(), Some(&["a.mp4".into()])).unwrap();
        assert_eq!((images.bytes, images.files), (5, 1));
        fs::create_dir(dir.path().join("out")).unwrap();
        let said = Layout::new(&dir.path().join("out")).check(&images, false, false).unwrap_err().to_string();
        assert!(said.contains("elsewhere"), "{said}");
        let said = Layout::new(&dir.path().join("a.mp4")).check(&images, false, false).unwrap_err().to_string();
        assert!(said.contains("is a file"), "{said}");
    }

    #[test]
    fn a_finish_that_was_interrupted_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(&dir.path().join("out"));
        layout.begin().unwrap();
        for folder in [layout.work_images(), layout.sparse().join("1")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(layout.work_images().join("new.jpg"), "").unwrap();
        fs::write(layout.database(), "").unwrap();
        fs::create_dir_all(layout.folder().join("images")).unwrap();
        fs::write(layout.folder().join("images/old.jpg"), "").unwrap();
        fs::write(layout.folder().join("transforms.json"), "").unwrap();
        fs::write(layout.log("features"), "words").unwrap();
        layout.finish("1").unwrap();
        layout.finish("1").unwrap();
        layout.clean().unwrap();
        let at = |name: &str| layout.folder().join(name).exists();
        assert!(at("images/new.jpg") && at("colmap/sparse/0") && at("colmap/database.db") && at("colmap/features.log"));
        assert!(!at("images/old.jpg") && !at("transforms.json") && !layout.work().exists());
    }
}
