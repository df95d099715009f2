//! The two ways to COLMAP: its program, or the Python package pycolmap.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::colmap::Colmap;
use crate::error::SfmError;
use crate::options::{LensModel, Matcher, SfmOptions};
use crate::pycolmap::Pycolmap;

/// Remedies where neither is there.
const REMEDY: &str = "install COLMAP (apt install colmap, brew install colmap; --colmap names a program elsewhere), or the Python \
                      package (pip install pycolmap) and name that Python with --python";

/// Files and settings of structure from motion.
#[derive(Clone, Debug)]
pub(crate) struct SfmJob {
    pub images: PathBuf,
    pub masks: Option<PathBuf>,
    pub database: PathBuf,
    pub sparse: PathBuf,
    pub camera_model: LensModel,
    pub sharing: CameraSharing,
    /// Never [`Matcher::Auto`].
    pub matcher: Matcher,
    pub overlap: usize,
    pub feature_size: u32,
    pub max_features: usize,
    pub cpu: bool,
}

/// Images that share a lens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CameraSharing {
    /// All.
    Single,
    /// What COLMAP makes of sizes and EXIF.
    Auto,
    /// None.
    PerImage,
}

/// An installed COLMAP.
pub(crate) enum Reconstructor {
    Colmap(Colmap),
    Pycolmap(Pycolmap),
}

impl Reconstructor {
    /// The one that the options name, else the program on the PATH, else pycolmap of the PATH's `python3`.
    ///
    /// # Errors
    /// [`SfmError::Missing`] with what to install.
    pub fn find(options: &SfmOptions) -> Result<Self, SfmError> {
        let missing = |fault: String| SfmError::Missing { reason: format!("{fault}: {REMEDY}") };
        if let Some(python) = &options.python {
            return Pycolmap::find(python).map(Self::Pycolmap).map_err(missing);
        }
        if let Some(program) = &options.colmap {
            return Colmap::find(program).map(Self::Colmap).map_err(missing);
        }
        Self::on_path(Path::new("colmap"), Path::new("python3")).map_err(missing)
    }

    fn on_path(program: &Path, python: &Path) -> Result<Self, String> {
        let fault = match Colmap::find(program) {
            Ok(found) => return Ok(Self::Colmap(found)),
            Err(fault) => fault,
        };
        match Pycolmap::find(python) {
            Ok(found) => Ok(Self::Pycolmap(found)),
            Err(other) => Err(format!("camera positions need COLMAP. {fault}, and {other}")),
        }
    }

    /// Name and version.
    pub fn name(&self) -> String {
        match self {
            Self::Colmap(colmap) => colmap.name(),
            Self::Pycolmap(pycolmap) => pycolmap.name(),
        }
    }

    /// Looks for features in all images. What is in the database stays.
    pub fn features(&self, job: &SfmJob) -> Result<Command, SfmError> {
        match self {
            Self::Colmap(colmap) => colmap.features(job),
            Self::Pycolmap(pycolmap) => Ok(pycolmap.stage("features", job)),
        }
    }

    /// Matches the features of pairs. Pairs that are in the database are skipped.
    pub fn matches(&self, job: &SfmJob) -> Result<Command, SfmError> {
        match self {
            Self::Colmap(colmap) => colmap.matches(job),
            Self::Pycolmap(pycolmap) => Ok(pycolmap.stage("matches", job)),
        }
    }

    /// Finds cameras and points: a model a folder in `sparse`.
    pub fn models(&self, job: &SfmJob) -> Result<Command, SfmError> {
        match self {
            Self::Colmap(colmap) => colmap.models(job),
            Self::Pycolmap(pycolmap) => Ok(pycolmap.stage("models", job)),
        }
    }
}

/// Progress in a line that both ways print: `[3/50` of features and sequential matches, `[1/5, 3/5` of blocks of pairs.
pub(crate) fn counted(line: &str) -> Option<f64> {
    let inside = &line[line.find('[')? + 1..];
    let inside = &inside[..inside.find(']').unwrap_or(inside.len())];
    let pairs: Vec<(f64, f64)> = inside
        .split(',')
        .map(|part| {
            let (a, b) = part.trim().split_once('/')?;
            Some((a.trim().parse().ok()?, b.trim().parse().ok()?))
        })
        .collect::<Option<_>>()?;
    match pairs[..] {
        [(a, b)] if b > 0.0 => Some((a / b).min(1.0)),
        [(a, b), (c, d)] if b > 0.0 && d > 0.0 => Some((((a - 1.0) * d + c) / (b * d)).clamp(0.0, 1.0)),
        _ => None,
    }
}

/// Number of registered images in a line of the mapper: `Registering image #12 (5)`, or `(num_reg_frames=5)` of newer ones.
pub(crate) fn registered(line: &str) -> Option<usize> {
    if !line.contains("Registering image") && !line.contains("Registering frame") {
        return None;
    }
    let inside = &line[line.rfind('(')? + 1..];
    let digits: String = inside.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_of_every_version() {
        assert_eq!(counted("Processed file [3/50]"), Some(0.06));
        assert_eq!(counted("Matching image [3/50] in 24.204s"), Some(0.06));
        assert_eq!(counted("Matching block [2/5, 3/5] in 1.2s"), Some(0.32));
        assert_eq!(counted("I20261130 13:07:15.79 139 pairing.cc:214] Processing block [5/5, 5/5]"), Some(1.0));
        for line in ["Features: 4259", "[a/b]", "[1/0]", "x]", "["] {
            assert_eq!(counted(line), None, "{line}");
        }
        assert_eq!(registered("Registering image #12 (5)"), Some(5));
        assert_eq!(registered("I20261130 x.cc:5] Registering image #12 (num_reg_frames=17)"), Some(17));
        assert_eq!(registered("Registering initial image pair #19 and #15"), None);
        assert_eq!(registered("=> Image sees 234 / 500 points (3)"), None);
    }

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let none = Path::new("/nowhere/program");
        let named = SfmOptions { colmap: Some(none.into()), ..SfmOptions::default() };
        let said = Reconstructor::find(&named).err().unwrap().to_string();
        assert!(said.contains("/nowhere/program") && said.contains("apt install colmap"), "{said}");
        let named = SfmOptions { python: Some(none.into()), ..SfmOptions::default() };
        let said = Reconstructor::find(&named).err().unwrap().to_string();
        assert!(said.contains("pycolmap") && said.contains("pip install pycolmap"), "{said}");
        let said = Reconstructor::on_path(none, none).err().unwrap();
        assert!(said.contains("needs COLMAP") || said.contains("need COLMAP"), "{said}");
    }
}
