//! `nstr fit`: a field from a mesh, from posed images, from a picture or a sound.

mod job;
mod radiance;
mod sdf;
mod signal;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use nstr::capture::is_capture;
use nstr::field::device::Device;
use nstr::field::model::{Model, Precision};
use nstr::fit::evaluate::SdfScores;
use nstr::fit::signal::{Signal, SignalInfo};
use nstr::fit::{Budget, FitConfig, Recording};
use nstr::render::{Background, Swing};
use serde::{Deserialize, Serialize};

use super::capture::CaptureArgs;
use super::live::Live;
use super::load::SignArgs;
use super::{batch, eval, render};

pub use job::checkpoint_path;
pub use sdf::fit as one;
pub use signal::describe as describe_signal;

/// Arguments of `nstr fit`.
#[derive(Args, Clone, Debug)]
pub struct FitArgs {
    /// A capture (a folder of posed images or a transforms.json), a picture (PNG, JPEG, EXR), a sound (WAV, FLAC), or meshes
    /// (OBJ, PLY, STL, OFF, GLB, glTF), folders of meshes, or quoted glob patterns
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<String>,
    /// Model to write (.safetensors); with several inputs the folder for them
    #[arg(short, long, value_name = "MODEL|DIR")]
    pub output: Option<PathBuf>,
    /// Meshes: sdf-tiny (up to 30k parameters), sdf (250k), sdf-fine (2M). Captures: radiance-tiny (80k), radiance (600k),
    /// radiance-fine (4M). Pictures: image-tiny (60k), image (200k), image-fine (1M). Sounds: audio-tiny (20k), audio (100k),
    /// audio-fine (500k). Baselines: TASK-ngp, TASK-siren, TASK-fourier, sdf-relu, radiance-planes, radiance-vm, image-cp
    /// [default: sdf, radiance, image or audio]
    #[arg(long)]
    pub preset: Option<String>,
    /// Change an option of the preset, for example latent.features=16, train.net_lr=1e-3, sample.surface=0.4,
    /// rays.step=0.002 or signal.share=0.25
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Train for this many steps
    #[arg(long, value_name = "N", conflicts_with = "time")]
    pub steps: Option<u64>,
    /// Train for this long, for example 40s or 10m
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true, value_parser = humantime::parse_duration)]
    pub time: Option<Duration>,
    /// Where to train: cpu, cuda or wgpu
    #[arg(long, default_value = "cpu")]
    pub device: Device,
    /// Seed of the initial parameters and of the samples
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Go on from the checkpoint of an interrupted fit
    #[arg(long)]
    pub resume: bool,
    /// Begin with this model's F; with --set train.train_transport=false it stays as it is
    #[arg(long, value_name = "MODEL")]
    pub transport_from: Option<PathBuf>,
    #[command(flatten)]
    pub sign: SignArgs,
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// What images with alpha are measured and shown on: white, black or #rrggbb (they are trained on random colours)
    #[arg(long, default_value = "white")]
    pub background: Background,
    /// Numbers in the model file: f16 or f32
    #[arg(long, default_value = "f16", value_parser = parse_precision)]
    pub precision: Precision,
    /// Time between checkpoints
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true, default_value = "60s", value_parser = humantime::parse_duration)]
    pub checkpoint_every: Duration,
    /// Render the result to this picture
    #[arg(long, value_name = "PNG")]
    pub render: Option<PathBuf>,
    /// Do not measure the result against the mesh or the held-out views
    #[arg(long)]
    pub no_eval: bool,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Table of results of many inputs [default: results.csv in the output folder]
    #[arg(long, value_name = "CSV")]
    pub table: Option<PathBuf>,
    /// Take every n-th input, beginning with the i-th (from 0) [default: from SLURM_ARRAY_TASK_ID and _COUNT, or
    /// JOB_COMPLETION_INDEX and JOB_COMPLETIONS]
    #[arg(long, value_name = "I/N")]
    pub shard: Option<batch::Shard>,
    /// Fit again what is finished already
    #[arg(long)]
    pub overwrite: bool,
    /// Show the field as it is fitted, in a window; closing it stops the fit as Ctrl-C does
    #[cfg(feature = "viewer")]
    #[arg(long)]
    pub view: bool,
    /// The window that looks on.
    #[arg(skip)]
    pub live: Live,
    /// Takes down loss and figure on the way; nothing is then printed but a bar on a terminal.
    #[arg(skip)]
    pub recording: Option<Recording>,
}

fn parse_precision(text: &str) -> Result<Precision, String> {
    match text {
        "f16" => Ok(Precision::F16),
        "f32" => Ok(Precision::F32),
        _ => Err("must be f16 or f32".into()),
    }
}

/// What the model file keeps of how it was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recipe {
    pub fit: FitConfig,
    pub budget: Budget,
    /// Of a mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<SignArgs>,
    /// Of a capture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<CaptureArgs>,
    /// Of a capture that does not show its object from all around.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swing: Option<Swing>,
    /// Of a picture or a sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<SignalInfo>,
    /// Hash of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Model that F was taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport_from: Option<PathBuf>,
    pub seed: u64,
}

impl Recipe {
    /// A recipe without anything of its input.
    pub fn new(fit: FitConfig, budget: Budget, seed: u64) -> Self {
        Self {
            fit,
            budget,
            sign: None,
            capture: None,
            swing: None,
            signal: None,
            input: None,
            transport_from: None,
            seed,
        }
    }
}

impl FitArgs {
    /// Whether the output is one model: then a job array, whose tasks choose their inputs themselves, changes nothing.
    fn names_model(&self) -> bool {
        self.output.as_ref().is_some_and(|o| o.extension().is_some_and(|e| e == "safetensors"))
    }

    /// Refuses options for meshes where the input is none.
    fn refuse_sign(&self, input: &Path, kind: &str) -> anyhow::Result<()> {
        if self.sign == SignArgs::default() {
            return Ok(());
        }
        bail!("{}: --sign, --thickness and --sign-resolution are for meshes; this is {kind}", input.display());
    }

    /// Refuses options for captures where the input is none.
    fn refuse_capture(&self, input: &Path, kind: &str) -> anyhow::Result<()> {
        if self.capture == CaptureArgs::default() {
            return Ok(());
        }
        bail!(
            "{}: --downscale, --every, --holdout, --scene, --near and --capture-format are for captures; this is {kind}",
            input.display()
        );
    }

    /// Whether nothing is printed.
    fn is_quiet(&self) -> bool {
        self.recording.is_some()
    }

    /// Preset, adapted to the input, overrides and budget; `usual` is the preset where none is named.
    fn config(&self, usual: &str, adapt: impl FnOnce(FitConfig) -> FitConfig) -> anyhow::Result<(FitConfig, Budget)> {
        let (config, budget) = FitConfig::preset(self.preset.as_deref().unwrap_or(usual))?;
        let config = adapt(config).set(&self.set)?;
        let budget = match (self.steps, self.time) {
            (Some(n), _) => Budget::Steps(n),
            (_, Some(t)) => Budget::Time(t),
            _ => budget,
        };
        Ok((config, budget))
    }
}

/// A finished fit of a mesh.
pub struct Fitted {
    pub model: Model,
    pub scores: Option<SdfScores>,
    pub file_bytes: u64,
    pub faces: usize,
    pub watertight: bool,
    pub sign: String,
}

/// Runs `nstr fit`.
pub fn run(args: &FitArgs) -> anyhow::Result<()> {
    #[cfg(feature = "viewer")]
    if args.view {
        return super::view::fit(args);
    }
    if let [input] = args.inputs.as_slice()
        && (args.capture.format.is_some() || is_capture(Path::new(input)))
    {
        return radiance::fit(args, Path::new(input));
    }
    if let [input] = args.inputs.as_slice()
        && Signal::is_named(Path::new(input))
    {
        return signal::fit(args, Path::new(input)).map(|_| ());
    }
    let inputs = batch::expand(&args.inputs)?;
    if let [(path, _)] = inputs.as_slice()
        && !args.output.as_ref().is_some_and(|o| o.is_dir())
        && args.shard.is_none()
        && args.table.is_none()
        && (args.is_quiet() || args.names_model() || !batch::in_job_array())
    {
        let output = args.output.clone().unwrap_or_else(|| default_output(path));
        let fitted = one(args, path, &output, args.is_quiet())?;
        if let Some(file) = &args.json {
            eval::write_json(file, &eval::figures(&fitted.model, fitted.scores.as_ref(), fitted.file_bytes))?;
        }
        if let Some(picture) = &args.render {
            render::portrait(&fitted.model, picture)?;
        }
        return Ok(());
    }
    if args.json.is_some() || args.render.is_some() {
        bail!("--json and --render take one input; with several, see --table");
    }
    if args.names_model() {
        bail!(
            "-o {}: must be a folder for several inputs, --shard or --table",
            args.output.as_deref().unwrap_or(Path::new("")).display()
        );
    }
    // What is wrong with the options is wrong for all inputs.
    if args.config("sdf", |config| config)?.0.sample.is_none() {
        bail!("several inputs must be meshes, with one of the presets sdf-tiny, sdf, sdf-fine or a baseline sdf-…");
    }
    batch::run(args, &inputs)
}

/// `NAME.safetensors` in the current folder.
pub fn default_output(input: &Path) -> PathBuf {
    let stem = input.file_stem().filter(|s| *s != "transforms").or_else(|| input.parent()?.file_name());
    PathBuf::from(format!("{}.safetensors", stem.unwrap_or("field".as_ref()).to_string_lossy()))
}
