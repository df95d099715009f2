//! Options of a fit, as a caller gives them.

use std::path::PathBuf;
use std::time::Duration;

use nstr_backend::device::Device;
use nstr_capture::{CaptureBackground, CaptureFormat, CaptureOptions, CentredCube, SpaceChoice, Split};
use nstr_field::model::Precision;
use nstr_fit::{Budget, FitConfig};
use nstr_geometry::SignMethod;
use nstr_image::colour::Background;
use nstr_spec::config::ConfigError;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Sign of the distance to a mesh: how inside is told from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SignSettings {
    /// Sign method.
    pub sign: SignMethod,
    /// Thickness given to sheets without an inside, as a fraction of the bounding box's diagonal.
    pub thickness: f64,
    /// Cells along the longest edge for [`SignMethod::Visibility`], 8 to 1024: gaps narrower than a cell are closed.
    pub sign_resolution: usize,
}

impl Default for SignSettings {
    fn default() -> Self {
        Self { sign: SignMethod::default(), thickness: 0.005, sign_resolution: 256 }
    }
}

/// Reading of a capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CaptureSettings {
    /// Images are made this many times smaller.
    pub downscale: u32,
    /// Every so many training views are kept.
    pub every: usize,
    /// Every so many frames are held out for testing where the capture has no test split; 0: none.
    pub holdout: usize,
    /// Cube to model, in the capture's world; found from the cameras and images where absent.
    pub scene: Option<CentredCube>,
    /// Kind of space to model.
    #[serde(default)]
    pub space: SpaceChoice,
    /// Distance from a camera before which nothing is sampled, world units; found from the capture where absent.
    pub near: Option<f64>,
    /// Format of the capture; found from its files where absent.
    pub format: Option<CaptureFormat>,
    /// Background of the images. Those without alpha are trained over it and carve space by it; those with alpha are
    /// trained over random colours and measured on it. `rays.background` wins in training.
    #[serde(default)]
    pub background: CaptureBackground,
}

impl Default for CaptureSettings {
    fn default() -> Self {
        let (space, background) = (SpaceChoice::Auto, CaptureBackground::Auto);
        Self { downscale: 1, every: 1, holdout: 8, scene: None, space, near: None, format: None, background }
    }
}

impl CaptureSettings {
    /// Options of the reader for the views of `split`.
    pub fn options(&self, split: Split) -> CaptureOptions {
        CaptureOptions {
            downscale: self.downscale,
            every: self.every,
            holdout: self.holdout,
            split,
            images: true,
            scene: self.scene,
            space: self.space,
            near: self.near,
            format: self.format,
            background: self.background,
        }
    }

    /// Options of the reader for the cameras of all views, without their pixels and whatever space is modelled.
    pub(crate) fn cameras_only(&self) -> CaptureOptions {
        CaptureOptions { images: false, space: SpaceChoice::Box, scene: None, near: None, ..self.options(Split::All) }
    }
}

/// Options of a fit of any kind of input.
///
/// ```
/// use nstr_pipeline::FitOptions;
///
/// let options = FitOptions::preset("sdf-tiny").set("latent.features=8").set("train.net_lr=2e-3").steps(500).seed(1);
/// let (config, budget) = options.config("sdf", |config| config)?;
/// assert_eq!((config.field.latent.features, config.train.net_lr), (8, 2e-3));
/// assert_eq!(budget, nstr_fit::Budget::Steps(500));
///
/// let misspelt = FitOptions::preset("sdf-tiny").set("train.lr=1e-3").config("sdf", |config| config);
/// assert!(misspelt.unwrap_err().to_string().contains("train.net_lr"));
/// # Ok::<(), nstr_pipeline::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FitOptions {
    /// Preset; the usual one of the input's kind where absent.
    pub preset: Option<String>,
    /// Changes of the preset's settings, `key=value`.
    pub overrides: Vec<String>,
    /// Budget of training; the preset's where absent.
    pub budget: Option<Budget>,
    /// Device that training runs on.
    pub device: Device,
    /// Seed of the initial parameters and of the samples.
    pub seed: u64,
    /// Model file; without one nothing is written, and no checkpoint is kept.
    pub output: Option<PathBuf>,
    /// `true` to go on from the checkpoint beside `output`, where there is one.
    pub resume: bool,
    /// Model whose transport network the fit begins with.
    pub transport_from: Option<PathBuf>,
    /// Sign of meshes.
    pub sign: SignSettings,
    /// Reading of captures.
    pub capture: CaptureSettings,
    /// File for the cameras of a capture's views as the fit leaves them, a `transforms.json`; without one they are not written.
    pub cameras_file: Option<PathBuf>,
    /// Numbers in the model file.
    pub precision: Precision,
    /// Time between checkpoints.
    pub checkpoint_every: Duration,
    /// `true` to leave the last checkpoint beside a finished model, for a caller that has more to write before a run that is
    /// killed need not go on from it; see [`crate::fit::checkpoint_path`].
    pub keep_checkpoint: bool,
    /// `true` if the finished model is measured against its input.
    pub evaluate: bool,
    /// `true` if held-out views are rendered during training, for [`nstr_fit::Progress::validation_metric`].
    pub validate: bool,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            preset: None,
            overrides: Vec::new(),
            budget: None,
            device: Device::Cpu,
            seed: 0,
            output: None,
            resume: false,
            transport_from: None,
            sign: SignSettings::default(),
            capture: CaptureSettings::default(),
            cameras_file: None,
            precision: Precision::F16,
            checkpoint_every: Duration::from_secs(60),
            keep_checkpoint: false,
            evaluate: true,
            validate: true,
        }
    }
}

impl FitOptions {
    /// Options with this preset; its name is checked when the fit begins.
    pub fn preset(name: &str) -> Self {
        Self { preset: Some(name.into()), ..Self::default() }
    }

    /// Adds a change of the preset, `key=value`.
    pub fn set(mut self, change: &str) -> Self {
        self.overrides.push(change.into());
        self
    }

    /// Trains for this many steps.
    pub fn steps(self, steps: u64) -> Self {
        Self { budget: Some(Budget::Steps(steps)), ..self }
    }

    /// Trains for this long.
    pub fn time(self, time: Duration) -> Self {
        Self { budget: Some(Budget::Time(time)), ..self }
    }

    /// Sets the seed.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Writes the model, and checkpoints beside it, to this file.
    pub fn output(self, path: impl Into<PathBuf>) -> Self {
        Self { output: Some(path.into()), ..self }
    }

    /// Leaves the finished model unmeasured.
    pub fn without_evaluation(self) -> Self {
        Self { evaluate: false, ..self }
    }

    /// The preset, adapted to the input and changed by the overrides, and the budget; `usual` is the preset where none is
    /// named.
    ///
    /// # Errors
    /// Unknown presets and keys, values out of range.
    pub fn config(
        &self,
        usual: &str,
        adapt: impl FnOnce(FitConfig) -> FitConfig,
    ) -> Result<(FitConfig, Budget), ConfigError> {
        let (config, budget) = FitConfig::preset(self.preset.as_deref().unwrap_or(usual))?;
        let config = adapt(config).set(&self.overrides)?;
        Ok((config, self.budget.unwrap_or(budget)))
    }
}

/// sRGB values, 0 to 1, of a background that metrics can be taken on.
///
/// # Errors
/// Backgrounds that are not opaque.
pub fn opaque(background: Background) -> Result<[f32; 3], Error> {
    background.srgb().ok_or_else(|| {
        Error::option(
            "--background transparent: pictures are compared on an opaque colour; give white, black or #rrggbb",
        )
    })
}
