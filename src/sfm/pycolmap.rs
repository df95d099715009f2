//! COLMAP through its Python package, stage by stage, by a script that any Python which has it can run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::program::{CameraSharing, SfmJob};

/// The script: a stage's name and its settings as JSON are its arguments.
const SCRIPT: &str = include_str!("pycolmap_stages.py");

/// A Python with pycolmap.
pub(crate) struct Pycolmap {
    python: PathBuf,
    version: String,
}

impl Pycolmap {
    /// The Python, tried out.
    ///
    /// # Errors
    /// A clause that says what is wrong.
    pub fn find(python: &Path) -> Result<Self, String> {
        let name = python.display();
        let script = "import pycolmap; print('pycolmap', pycolmap.__version__)";
        let output = Command::new(python).args(["-c", script]).stdin(Stdio::null()).output();
        let output = output.map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => format!("the Python {name}, which could have pycolmap, is not there"),
            _ => format!("the Python {name}, which could have pycolmap, does not run ({e})"),
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().find_map(|l| l.strip_prefix("pycolmap "));
        match version.filter(|_| output.status.success()) {
            Some(version) => Ok(Self { python: python.into(), version: version.trim().into() }),
            None => Err(format!("the Python {name} has no package pycolmap")),
        }
    }

    /// Name and version.
    pub fn name(&self) -> String {
        format!("pycolmap {}", self.version)
    }

    pub fn stage(&self, name: &str, job: &SfmJob) -> Command {
        let sharing = match job.sharing {
            CameraSharing::Single => "SINGLE",
            CameraSharing::Auto => "AUTO",
            CameraSharing::PerImage => "PER_IMAGE",
        };
        let settings = json!({
            "images": job.images, "masks": job.masks, "database": job.database, "sparse": job.sparse,
            "camera_model": job.camera_model, "camera_mode": sharing, "matcher": job.matcher, "overlap": job.overlap,
            "feature_size": job.feature_size, "max_features": job.max_features, "cpu": job.cpu,
        });
        let mut command = Command::new(&self.python);
        command.args(["-c", SCRIPT, name, &settings.to_string()]);
        command
    }
}
