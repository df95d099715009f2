//! Record of a run: its input, and each finished stage with the settings that it was made by.
//!
//! It is what `--resume` goes by, and stays with the finished capture as `capture.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::SfmError;
use crate::report::SfmReport;

/// Version of the record's form.
const VERSION: u32 = 1;

/// The video or folder that a capture is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InputIdentity {
    /// Whole path.
    pub path: PathBuf,
    /// Length of the video, or of all images together.
    pub bytes: u64,
    /// Number of images; 1 for a video.
    pub files: usize,
}

impl InputIdentity {
    /// Identity of the video at `path`, or of the files `names` in the folder `path`.
    pub fn of(path: &Path, names: Option<&[String]>) -> Result<Self, SfmError> {
        let whole = path.canonicalize().map_err(SfmError::io(path))?;
        let length = |path: &Path| std::fs::metadata(path).map(|m| m.len()).map_err(SfmError::io(path));
        let (bytes, files) = match names {
            None => (length(&whole)?, 1),
            Some(names) => {
                let mut bytes = 0;
                for name in names {
                    bytes += length(&whole.join(name))?;
                }
                (bytes, names.len())
            }
        };
        Ok(Self { path: whole, bytes, files })
    }
}

/// A finished stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stage<T> {
    /// Options that its result depends on.
    pub settings: Value,
    /// What later stages need of it.
    pub result: T,
}

/// A chosen image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChosenImage {
    /// File name in the capture.
    pub name: String,
    /// Time in the video, or name of the photograph.
    pub source: String,
    /// Blur, 0 to 1.
    pub blur: f64,
}

/// Result of choosing images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChosenImages {
    pub images: Vec<ChosenImage>,
    /// Images or frames that were looked at.
    pub candidates: usize,
    /// Whether all images have one size.
    pub has_one_size: bool,
    /// Images that have a mask.
    pub masks: usize,
    pub notes: Vec<String>,
}

impl ChosenImages {
    /// Names in the capture, in order.
    pub fn names(&self) -> Vec<String> {
        self.images.iter().map(|i| i.name.clone()).collect()
    }
}

/// What is known of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    pub input: InputIdentity,
    pub frames: Option<Stage<ChosenImages>>,
    pub features: Option<Stage<()>>,
    pub matches: Option<Stage<()>>,
    /// Images of each model, the largest first, with its folder.
    pub models: Option<Stage<Vec<(usize, String)>>>,
    pub report: Option<SfmReport>,
}

impl Record {
    /// The record of a run that begins.
    pub fn new(input: InputIdentity) -> Self {
        Self { version: VERSION, input, ..Self::default() }
    }

    /// Reads a record; `None` where there is no file.
    ///
    /// # Errors
    /// A file that is no record, or one of a newer version.
    pub fn read(path: &Path) -> Result<Option<Self>, SfmError> {
        let bytes = match nstr_files::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(SfmError::io(path)(e)),
        };
        let fault = |reason: String| SfmError::output(path, reason + "; name another folder");
        let record: Self =
            serde_json::from_slice(&bytes).map_err(|e| fault(format!("not the record of a capture ({e})")))?;
        if record.version != VERSION {
            return Err(fault(format!("a record of version {}, this program knows {VERSION}", record.version)));
        }
        Ok(Some(record))
    }

    /// Writes the record.
    pub fn write(&self, path: &Path) -> Result<(), SfmError> {
        let text = serde_json::to_string_pretty(self).map_err(|e| SfmError::output(path, e.to_string()))?;
        nstr_files::write(path, (text + "\n").as_bytes()).map_err(SfmError::io(path))
    }
}
