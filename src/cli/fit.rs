//! `nstr fit`: fits of fields to meshes, posed images, pictures and sounds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use nstr_backend::device::Device;
use nstr_capture::{CaptureBackground, is_capture};
use nstr_field::model::{Precision, is_compact_name, is_model_name};
use nstr_files::Target;
use nstr_fit::Budget;
use nstr_pipeline::fit::{checkpoint_path, default_output};
use nstr_pipeline::{FieldKind, FitObserver, FitOptions, Fitted, evaluate};
use nstr_signal::Signal;

use super::capture::CaptureArgs;
use super::earlier::{self, Replace};
use super::output::{Outputs, lock};
use super::progress::ProgressDisplay;
use super::sign::SignArgs;
use super::terminal::stdout;
use super::{batch, byte_size, eval, render};

const TRAINING: &str = "Training";
const OUTPUT: &str = "Output";
const MESHES: &str = "Meshes";
const CAPTURES: &str = "Captures";
const COLLECTIONS: &str = "Collections of meshes";
#[cfg(feature = "viewer")]
const WINDOW: &str = "Window";

const EXAMPLES: &str = "\
Examples:
  nstr fit chair.obj -o chair.safetensors --time 40s --render chair.png
  nstr fit scene/ -o scene.safetensors --preset radiance --downscale 2
  nstr fit photo.png -o photo.nstr --max-size 100kB
  nstr fit meshes/ -o models/ --preset sdf-tiny --steps 2000";

/// Arguments of `nstr fit`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct FitArgs {
    /// A capture (a folder of posed images, a transforms.json or an .npz of images), a picture (PNG, JPEG, WebP, TIFF, EXR), a
    /// sound (WAV, AIFF, FLAC), or meshes (OBJ, PLY, STL, OFF, GLB, glTF), folders of meshes, or quoted glob patterns
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<String>,
    /// Model to write: .safetensors, or .nstr for a compact file; with several inputs the folder for them
    #[arg(short, long, value_name = "MODEL|DIR", help_heading = OUTPUT)]
    pub output: Option<PathBuf>,
    /// Options of field and training. Meshes: sdf-tiny, sdf, sdf-fine. Captures: radiance-tiny, radiance, radiance-fine,
    /// surface. Pictures: image-tiny, image, image-fine. Sounds: audio-tiny, audio, audio-fine. Baselines: TASK-ngp,
    /// TASK-siren, TASK-fourier, sdf-relu, radiance-planes, radiance-vm, image-cp [default: sdf, image or audio; of captures
    /// radiance, or radiance-fine where the space is open, and for larger images that are given a minute or more]
    #[arg(long, help_heading = TRAINING)]
    pub preset: Option<String>,
    /// Change an option of the preset, for example latent.features=16, train.net_lr=1e-3, sample.surface=0.4,
    /// rays.step=0.002, cameras.refine=on (or auto: refine the poses of a capture), exposure.enabled=true (find the exposure of each
    /// of its images), robust.enabled=true (leave out what moved), rays.gradient_scaling=1 (fewer floaters before its cameras) or
    /// signal.share=0.25
    #[arg(long, value_name = "KEY=VALUE", help_heading = TRAINING)]
    pub set: Vec<String>,
    /// Train for this many steps
    #[arg(long, value_name = "N", conflicts_with = "time", help_heading = TRAINING)]
    pub steps: Option<u64>,
    /// Train for this long, for example 40s or 10m
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true, value_parser = humantime::parse_duration, help_heading = TRAINING)]
    pub time: Option<Duration>,
    /// Device to train on: cpu, cuda or wgpu
    #[arg(long, default_value = "cpu", help_heading = TRAINING)]
    pub device: Device,
    /// Seed of the initial parameters and of the samples
    #[arg(long, default_value_t = 0, help_heading = TRAINING)]
    pub seed: u64,
    /// Go on from the checkpoint of an interrupted fit
    #[arg(long, help_heading = TRAINING)]
    pub resume: bool,
    /// Begin with the transport network of this model; with --set train.train_transport=false it stays as it is
    #[arg(long, value_name = "MODEL", help_heading = TRAINING)]
    pub transport_from: Option<PathBuf>,
    #[command(flatten, next_help_heading = MESHES)]
    pub sign: SignArgs,
    #[command(flatten, next_help_heading = CAPTURES)]
    pub capture: CaptureArgs,
    /// Write the cameras as the fit leaves them, refined by --set cameras.refine=on, as a transforms.json
    #[arg(long, value_name = "JSON", help_heading = CAPTURES)]
    pub write_cameras: Option<PathBuf>,
    /// Colour behind the object: white, black or #rrggbb. Images without alpha are trained over it, and their
    /// silhouettes before it give the scene box; images with alpha are measured on it, and trained over random colours.
    /// auto finds the plain background of images without alpha; random takes none. --set rays.background=COLOUR wins
    #[arg(long, default_value = "auto", help_heading = CAPTURES)]
    pub background: CaptureBackground,
    /// Size that a compact model (-o NAME.nstr) does not exceed, for example 500kB; it is trained with its parameters rounded as that
    /// size needs (--set train.rounding.start=1: rounded after training). Without it they are rounded after training, for 0.1 dB
    #[arg(long, value_name = "SIZE", value_parser = byte_size::parse, help_heading = OUTPUT)]
    pub max_size: Option<u64>,
    /// Numbers in a .safetensors model: f16 or f32
    #[arg(long, default_value = "f16", help_heading = OUTPUT)]
    pub precision: Precision,
    /// Time between checkpoints
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true, default_value = "60s", value_parser = humantime::parse_duration, help_heading = TRAINING)]
    pub checkpoint_every: Duration,
    /// Render the result to this picture
    #[arg(long, value_name = "PNG", help_heading = OUTPUT)]
    pub render: Option<PathBuf>,
    /// Print what training did where: steps, samples, parts that a GPU left to the CPU or to plain tensors, and why
    #[arg(long, help_heading = TRAINING)]
    pub stats: bool,
    /// Do not measure the result against the mesh or the held-out views
    #[arg(long, help_heading = OUTPUT)]
    pub no_eval: bool,
    /// Write the metrics as JSON
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub json: Option<PathBuf>,
    /// Table of results of many inputs [default: results.csv in the output folder]
    #[arg(long, value_name = "CSV", help_heading = COLLECTIONS)]
    pub table: Option<PathBuf>,
    /// Take every n-th input, beginning with the i-th (from 0) [default: from SLURM_ARRAY_TASK_ID and _COUNT, or
    /// JOB_COMPLETION_INDEX and JOB_COMPLETIONS]
    #[arg(long, value_name = "I/N", help_heading = COLLECTIONS)]
    pub shard: Option<batch::Shard>,
    /// Fit again what is finished already, and replace models and checkpoints of other inputs
    #[arg(long, help_heading = OUTPUT)]
    pub overwrite: bool,
    /// Show the field as it is fitted, in a window; closing it stops the fit as Ctrl-C does
    #[cfg(feature = "viewer")]
    #[arg(long, help_heading = WINDOW)]
    pub view: bool,
    /// With --view: close the window once the fit is over
    #[cfg(feature = "viewer")]
    #[arg(long, requires = "view", help_heading = WINDOW)]
    pub close: bool,
}

impl FitArgs {
    /// Returns whether the output is one model: then a job array, whose tasks choose their inputs themselves, changes nothing.
    fn names_model(&self) -> bool {
        self.output.as_deref().is_some_and(is_model_name)
    }

    /// The options of the library.
    pub fn options(&self) -> FitOptions {
        let mut options = FitOptions::default();
        options.preset.clone_from(&self.preset);
        options.overrides.clone_from(&self.set);
        options.budget = self.steps.map(Budget::Steps).or(self.time.map(Budget::Time));
        (options.device, options.seed, options.resume) = (self.device, self.seed, self.resume);
        options.output.clone_from(&self.output);
        options.transport_from.clone_from(&self.transport_from);
        (options.sign, options.capture) = (self.sign.options(), self.capture.settings());
        options.cameras_file.clone_from(&self.write_cameras);
        (options.capture.background, options.precision) = (self.background, self.precision);
        options.compact.max_bytes = self.max_size;
        options.checkpoint_every = self.checkpoint_every;
        (options.evaluate, options.validate) = (!self.no_eval, !self.no_eval);
        options
    }

    /// Refuses options that an input of this kind has no use for.
    pub fn check_kind(&self, input: &Path, kind: FieldKind) -> anyhow::Result<()> {
        let (name, what) = (input.display(), kind.input());
        if kind != FieldKind::Sdf && self.sign != SignArgs::default() {
            bail!("{name}: --sign, --thickness and --sign-resolution are for meshes; this is {what}");
        }
        if kind != FieldKind::Radiance && self.capture != CaptureArgs::default() {
            bail!(
                "{name}: --downscale, --every, --holdout, --scene, --space, --near and --capture-format are for captures; this is \
                 {what}"
            );
        }
        if kind != FieldKind::Radiance && self.write_cameras.is_some() {
            bail!("{name}: --write-cameras is for captures; this is {what}");
        }
        if kind != FieldKind::Radiance && self.background != CaptureBackground::Auto {
            bail!("{name}: --background is for captures; this is {what}");
        }
        if self.precision != Precision::F16 && self.output.as_deref().is_some_and(is_compact_name) {
            bail!("{name}: --precision is for .safetensors; a compact file's is chosen by --max-size");
        }
        Ok(())
    }

    /// Files to write beside the model.
    pub fn extra_outputs(&self) -> ExtraOutputs {
        ExtraOutputs { json: self.json.clone(), render: self.render.clone(), stats: self.stats }
    }

    /// What may be replaced, where the output is named by the user or not.
    pub fn replace(&self, is_named: bool) -> Replace {
        Replace { overwrite: self.overwrite, is_named, resume: self.resume }
    }

    /// Fits one input, with progress on the terminal.
    fn fit_one(&self, input: &Path) -> anyhow::Result<()> {
        self.check_kind(input, self.kind(input))?;
        let replace = self.replace(self.output.is_some());
        fit_and_report(input, &self.options(), &self.extra_outputs(), replace, &mut ProgressDisplay::stoppable()?)
    }

    /// Kind of field that `input` is fitted by.
    pub fn kind(&self, input: &Path) -> FieldKind {
        if self.capture.format.is_some() || is_capture(input) {
            FieldKind::Radiance
        } else if Signal::is_named(input) {
            FieldKind::Signal
        } else {
            FieldKind::Sdf
        }
    }
}

/// What a fit writes beside its model.
#[derive(Clone, Debug, Default)]
pub struct ExtraOutputs {
    /// Metrics as JSON.
    pub json: Option<PathBuf>,
    /// Picture or sound of the result.
    pub render: Option<PathBuf>,
    /// The report of the training is printed.
    pub stats: bool,
}

/// Fits one input and writes its model to `output`; the last checkpoint stays until the caller has its row in the table.
pub fn fit_input(
    args: &FitArgs,
    input: &Path,
    output: &Path,
    observer: &mut dyn FitObserver,
) -> anyhow::Result<Fitted> {
    args.check_kind(input, args.kind(input))?;
    let mut options = args.options().output(output);
    options.keep_checkpoint = true;
    checked_fit(input, &options, output, &ExtraOutputs::default(), args.replace(false), observer)
}

/// Fits one input to `output`, which the options name, after checks of everything that will be written.
fn checked_fit(
    input: &Path,
    options: &FitOptions,
    output: &Path,
    extra: &ExtraOutputs,
    replace: Replace,
    observer: &mut dyn FitObserver,
) -> anyhow::Result<Fitted> {
    options.device.check()?;
    let inputs = [Some(input), options.transport_from.as_deref()].into_iter().flatten();
    let mut outputs = Outputs::of(inputs).overwrite(replace.overwrite);
    outputs.model(output)?;
    if let Ok(Target::File(_)) = nstr_files::resolve(output) {
        outputs.within(&checkpoint_path(output))?;
    }
    if let Some(file) = &extra.json {
        outputs.file(file, "the metrics' name", &[])?;
    }
    if let Some(file) = &extra.render {
        let endings: &[&str] = match (Signal::is_named(input), Signal::is_audio(input)) {
            (true, true) => &["wav"],
            (true, false) => &["png", "exr"],
            _ => &["png"],
        };
        outputs.file(file, "the name of what --render writes", endings)?;
    }
    if let Some(file) = &options.cameras_file {
        outputs.file(file, "the cameras' name", &["json"])?;
    }
    earlier::check_model(output, input, replace)?;
    let _lock = lock(output)?;
    Ok(nstr_pipeline::fit(input, options, observer)?)
}

/// Fits one input, prints its metrics, and writes the extra outputs.
pub fn fit_and_report(
    input: &Path,
    options: &FitOptions,
    extra: &ExtraOutputs,
    replace: Replace,
    observer: &mut dyn FitObserver,
) -> anyhow::Result<()> {
    let output = options.output.clone().unwrap_or_else(|| default_output(input));
    let fitted = checked_fit(input, &options.clone().output(&output), &output, extra, replace, observer)?;
    if let Some(report) = fitted.report.as_ref().filter(|_| extra.stats) {
        report.lines().iter().for_each(|line| stdout!("{line}"));
    }
    let metrics = evaluate::metrics(&fitted.model, fitted.scores.as_ref(), fitted.file_bytes);
    stdout!("{}", eval::describe(&metrics));
    stdout!("wrote {}", output.display());
    if let Some(file) = &options.cameras_file {
        stdout!("wrote {}", file.display());
    }
    // One that fails does not keep the other from being written.
    let json = extra.json.as_deref().map_or(Ok(()), |file| eval::write_json(file, &metrics));
    let picture = extra.render.as_deref().map_or(Ok(()), |file| render::portrait(&output, fitted.model, file));
    json.and(picture)
}

/// Runs `nstr fit`.
pub fn run(args: &FitArgs) -> anyhow::Result<()> {
    #[cfg(feature = "viewer")]
    if args.view {
        return super::view::fit(args);
    }
    if let [input] = args.inputs.as_slice()
        && args.kind(Path::new(input)) != FieldKind::Sdf
    {
        if args.table.is_some() || args.shard.is_some() {
            bail!("{input}: --table and --shard are for collections of meshes; leave them out");
        }
        return args.fit_one(Path::new(input));
    }
    let inputs = batch::expand(&args.inputs)?;
    if let [(path, _)] = inputs.as_slice()
        && !args.output.as_ref().is_some_and(|o| o.is_dir())
        && args.shard.is_none()
        && args.table.is_none()
        && (args.names_model() || !batch::in_job_array())
    {
        return args.fit_one(path);
    }
    if args.max_size.is_some() {
        bail!("--max-size takes one input, and -o NAME.nstr; convert the models of several with nstr convert");
    }
    if args.json.is_some() || args.render.is_some() || args.stats {
        bail!("--json, --render and --stats take one input; with several, see --table");
    }
    if args.names_model() {
        bail!(
            "-o {}: must be a folder for several inputs, --shard or --table",
            args.output.as_deref().unwrap_or(Path::new("")).display()
        );
    }
    // What is wrong with the options is wrong for all inputs.
    if args.options().config("sdf", |config| config)?.0.sample.is_none() {
        bail!("several inputs must be meshes, with one of the presets sdf-tiny, sdf, sdf-fine or a baseline sdf-…");
    }
    batch::run(args, &inputs)
}
