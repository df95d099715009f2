//! The program `colmap`. Options changed their names between versions 3 and 4: the program's own help tells which it knows.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::SfmError;
use crate::options::Matcher;
use crate::program::{CameraSharing, SfmJob};

/// Images along the side of a block of pairs: progress comes a block at a time.
const BLOCK: &str = "10";

/// An installed `colmap`.
pub(crate) struct Colmap {
    program: PathBuf,
    version: String,
    has_cuda: bool,
}

impl Colmap {
    /// The program, tried out.
    ///
    /// # Errors
    /// A clause that says what is wrong.
    pub fn find(program: &Path) -> Result<Self, String> {
        let name = program.display();
        let output = command(program).arg("help").stdin(Stdio::null()).output();
        let output = output.map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => format!("the program {name} is not there"),
            _ => format!("the program {name} does not run ({e})"),
        })?;
        let text = text_of(&output);
        let first = text.lines().find(|l| l.contains("COLMAP"));
        let Some(first) = first.filter(|_| output.status.success()) else {
            return Err(format!("the program {name} does not answer as COLMAP does ({})", output.status));
        };
        let after = first.split("COLMAP").nth(1).unwrap_or_default();
        let version = after.split_whitespace().next().unwrap_or_default();
        let version = version.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_string();
        Ok(Self { program: program.into(), version, has_cuda: text.contains("with CUDA") })
    }

    /// Name and version.
    pub fn name(&self) -> String {
        format!("COLMAP {}", self.version).trim_end().into()
    }

    /// A subcommand whose options are added by the names that its help knows.
    fn subcommand(&self, name: &'static str) -> Result<Arguments, SfmError> {
        let output = command(&self.program).args([name, "-h"]).stdin(Stdio::null()).output();
        let output = output.map_err(|e| SfmError::Missing { reason: format!("{}: {e}", self.program.display()) })?;
        let help = text_of(&output);
        let mut command = command(&self.program);
        command.arg(name);
        Ok(Arguments { command, help })
    }

    pub fn features(&self, job: &SfmJob) -> Result<Command, SfmError> {
        let mut call = self.subcommand("feature_extractor")?;
        call.always("database_path", &job.database).always("image_path", &job.images);
        if let Some(masks) = &job.masks {
            call.always("ImageReader.mask_path", masks);
        }
        call.always("ImageReader.camera_model", job.camera_model.to_string());
        match job.sharing {
            CameraSharing::Single => call.always("ImageReader.single_camera", "1"),
            CameraSharing::PerImage => call.always("ImageReader.single_camera_per_image", "1"),
            CameraSharing::Auto => &mut call,
        };
        call.known(&["FeatureExtraction.use_gpu", "SiftExtraction.use_gpu"], self.gpu(job));
        let size = job.feature_size.to_string();
        call.known(&["FeatureExtraction.max_image_size", "SiftExtraction.max_image_size"], &size);
        call.known(&["SiftExtraction.max_num_features"], job.max_features.to_string());
        Ok(call.command)
    }

    pub fn matches(&self, job: &SfmJob) -> Result<Command, SfmError> {
        let is_sequential = job.matcher == Matcher::Sequential;
        let mut call = self.subcommand(if is_sequential { "sequential_matcher" } else { "exhaustive_matcher" })?;
        call.always("database_path", &job.database);
        call.known(&["FeatureMatching.use_gpu", "SiftMatching.use_gpu"], self.gpu(job));
        if is_sequential {
            call.known(&["SequentialMatching.overlap", "SequentialPairing.overlap"], job.overlap.to_string());
        } else {
            call.known(&["ExhaustiveMatching.block_size", "ExhaustivePairing.block_size"], BLOCK);
        }
        Ok(call.command)
    }

    pub fn models(&self, job: &SfmJob) -> Result<Command, SfmError> {
        let mut call = self.subcommand("mapper")?;
        call.always("database_path", &job.database).always("image_path", &job.images);
        call.always("output_path", &job.sparse);
        call.known(&["Mapper.min_model_size"], "3");
        Ok(call.command)
    }

    fn gpu(&self, job: &SfmJob) -> &'static str {
        if self.has_cuda && !job.cpu { "1" } else { "0" }
    }
}

/// The program without a display: its SIFT would ask for one.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    if std::env::var_os("QT_QPA_PLATFORM").is_none() {
        command.env("QT_QPA_PLATFORM", "offscreen");
    }
    command
}

fn text_of(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A subcommand's options as they are added.
struct Arguments {
    command: Command,
    help: String,
}

impl Arguments {
    /// An option that every version has.
    fn always(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.command.arg(format!("--{name}")).arg(value);
        self
    }

    /// The first of `names` that the help lists; none where it lists none.
    fn known(&mut self, names: &[&str], value: impl AsRef<OsStr>) -> &mut Self {
        let lists = |name: &str| self.help.split_whitespace().any(|word| word.strip_prefix("--") == Some(name));
        if let Some(name) = names.iter().find(|name| lists(name)) {
            self.command.arg(format!("--{name}")).arg(value);
        }
        self
    }
}
