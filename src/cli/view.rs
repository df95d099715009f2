//! `nstr view`: a model in a window, or a fit that is watched in one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use nstr_capture::{CaptureBackground, Split, View, is_capture, read_capture};
use nstr_field::model::{Model, is_model_name};
use nstr_files::decimals;
use nstr_fit::Budget;
use nstr_geometry::{MeshFormat, read_mesh};
use nstr_image::colour::{Background, linear_from_srgb};
use nstr_pipeline::fit::default_output;
use nstr_pipeline::{FitOptions, FitRecord, RendererChoice};
use nstr_render::Look;
use nstr_signal::Signal;
use nstr_viewer::{
    DisplayMode, DisplaySettings, NO_VIEWS, ReferenceMesh, Scene, Script, Training, TrainingPhase, ViewerOptions,
};

use serde_json::Value;

use super::device_choice;
use super::earlier::Replace;
use super::eval::write_json;
use super::fit::{self, ExtraOutputs, FitArgs};
use super::interrupt::interrupted;
use super::output::Outputs;
use super::progress::ProgressDisplay;
use super::render::parse_size;
use super::terminal::{stderr, stdout};

const DISPLAY: &str = "Display";
const COMPARING: &str = "Comparing a model with what it was fitted to";
const FITTING: &str = "Fitting a mesh or a capture";
const MEASURING: &str = "Scripts and measurements";

const EXAMPLES: &str = "\
Examples:
  nstr view chair.safetensors
  nstr view scene.safetensors --capture scene/ --layer error
  nstr view chair.obj --preset sdf --time 40s -o chair.safetensors";

/// Arguments of `nstr view`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ViewArgs {
    /// Model to show, or a mesh or a capture to fit while it is shown
    #[arg(value_name = "MODEL|INPUT")]
    input: PathBuf,
    /// Size of the window in pixels [default: 1280x800, larger on displays that scale what they show]
    #[arg(long, value_name = "WxH", value_parser = parse_size, help_heading = DISPLAY)]
    size: Option<(u32, u32)>,
    /// Capture whose cameras [ and ] go to and whose images layer 9 compares with [default: the one that the model was
    /// fitted to, where it lies beside the model or in the current folder]
    #[arg(long, value_name = "DIR", help_heading = COMPARING)]
    capture: Option<PathBuf>,
    /// Mesh that layer 9 measures a surface against, in its units [default: the one that the model was fitted to, where it lies
    /// beside the model or in the current folder]
    #[arg(long, value_name = "FILE", help_heading = COMPARING)]
    mesh: Option<PathBuf>,
    /// First layer: colour, normal, depth.ray, S, gradS, curvature, residual, steps or error; or 1 to 9, or an alias as of
    /// nstr render --layers
    #[arg(long, default_value = "colour", help_heading = DISPLAY)]
    layer: DisplayMode,
    /// First look of a surface: studio, clay, headlight, matcap, normals or plain
    #[arg(long, default_value = "studio", value_name = "NAME", help_heading = DISPLAY)]
    look: Look,
    /// white, black, transparent or #rrggbb [default: graded with the object's shadow for surfaces; the plain background of the
    /// capture that was fitted, else white]
    #[arg(long, help_heading = DISPLAY)]
    background: Option<Background>,
    /// Renderer: auto, cpu or gpu
    #[arg(long, default_value = "auto", help_heading = DISPLAY)]
    renderer: RendererChoice,
    /// Camera path to begin with: one that the viewer saved, or a transforms.json with `frames`; F6 plays it
    #[arg(long, value_name = "JSON", help_heading = DISPLAY)]
    path: Option<PathBuf>,
    /// Follow a script of events: see docs/viewer.md
    #[arg(long, value_name = "FILE", help_heading = MEASURING)]
    script: Option<PathBuf>,
    /// Measure how fluently the window follows: drive a drag and a flight, print a table, close
    #[arg(long, conflicts_with_all = ["script", "preset", "set", "steps", "time", "output"], help_heading = MEASURING)]
    bench: bool,
    /// With --bench: write the figures to this file
    #[arg(long, value_name = "FILE", requires = "bench", help_heading = MEASURING)]
    json: Option<PathBuf>,
    /// Close the window once the fit is over
    #[arg(long, conflicts_with = "bench", help_heading = FITTING)]
    close: bool,
    /// Model to write [default: NAME.safetensors in the current folder]
    #[arg(short, long, value_name = "MODEL", help_heading = FITTING)]
    output: Option<PathBuf>,
    /// Preset, as of nstr fit
    #[arg(long, help_heading = FITTING)]
    preset: Option<String>,
    /// Change an option of the preset
    #[arg(long, value_name = "KEY=VALUE", help_heading = FITTING)]
    set: Vec<String>,
    /// Train for this many steps
    #[arg(long, value_name = "N", conflicts_with = "time", help_heading = FITTING)]
    steps: Option<u64>,
    /// Train for this long, for example 40s or 10m
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true, value_parser = humantime::parse_duration, help_heading = FITTING)]
    time: Option<Duration>,
}

/// Runs `nstr view`.
pub fn run(args: &ViewArgs) -> anyhow::Result<()> {
    device_choice::silence();
    let script = args.script.as_deref().map(Script::read).transpose()?;
    let is_model = is_model_name(&args.input);
    if Signal::is_named(&args.input) {
        bail!("{}: {NO_VIEWS}", args.input.display());
    }
    if let Some(file) = &args.json {
        Outputs::of([&args.input]).file(file, "figures", &[])?;
    }
    if args.close && is_model {
        bail!("{}: --close ends the window with a fit, and this is a model; leave it out", args.input.display());
    }
    if args.bench && !is_model {
        bail!("{}: --bench measures the view of a model; fit one first", args.input.display());
    }
    if !is_model {
        if args.capture.is_some() {
            bail!("{}: --capture is for models; a fit of a capture compares with its own images", args.input.display());
        }
        return train(args, script);
    }
    let fitting = [
        ("--output", args.output.is_some()),
        ("--preset", args.preset.is_some()),
        ("--set", !args.set.is_empty()),
        ("--steps", args.steps.is_some()),
        ("--time", args.time.is_some()),
    ];
    if let Some((name, _)) = fitting.iter().find(|option| option.1) {
        bail!("{}: {name} is for fits, and this is a model; leave it out", args.input.display());
    }
    let model = Arc::new(Model::load(&args.input)?);
    let is_radiance = model.spec.color_head.is_some();
    if args.capture.is_some() && !is_radiance {
        bail!("{}: --capture is for models of captures; this one is of a mesh: --mesh", args.input.display());
    }
    if args.mesh.is_some() && is_radiance {
        bail!("{}: --mesh is for models of meshes; this one is of a capture: --capture", args.input.display());
    }
    let scene = Scene::of_model(&args.input, model.clone())?;
    let capture = match &args.capture {
        Some(path) => Some(path.clone()),
        None => capture_of(&args.input, &model),
    };
    let mesh = match &args.mesh {
        Some(path) => Some(reference_mesh(path)?),
        None => mesh_of(&args.input, &model),
    };
    let views = capture.map(|path| images(&path, &model)).transpose()?.unwrap_or_default();
    let rays = FitRecord::of(&model).ok().and_then(|record| record.fit.rays);
    let trained = rays.and_then(|rays| rays.fixed_background()).unwrap_or_default();
    let mut viewer = ViewerOptions {
        details: details(&model),
        scene: Some(Arc::new(scene)),
        views: Arc::new(views),
        mesh,
        ..viewer_options(args, &args.input, script)
    };
    viewer.settings.background = args.background.unwrap_or(trained);
    if args.bench {
        return bench(viewer, args.json.as_deref());
    }
    Ok(nstr_viewer::run(viewer)?)
}

/// Runs `--bench`: prints the table and writes the figures.
fn bench(viewer: ViewerOptions, json: Option<&Path>) -> anyhow::Result<()> {
    let Some(report) = nstr_viewer::run_bench(viewer)? else {
        bail!("--bench: the window was closed before all was measured");
    };
    stdout!("{report}");
    match (json, serde_json::to_value(&report)?) {
        (Some(file), Value::Object(figures)) => write_json(file, &figures),
        _ => Ok(()),
    }
}

fn viewer_options(args: &ViewArgs, named: &Path, script: Option<Script>) -> ViewerOptions {
    let name = named.file_name().unwrap_or(named.as_os_str()).to_string_lossy().into_owned();
    let stem = named.file_stem().unwrap_or("view".as_ref()).to_owned();
    ViewerOptions {
        title: name,
        details: Vec::new(),
        size: args.size,
        scene: None,
        model_file: is_model_name(&args.input).then(|| args.input.clone()),
        mesh: None,
        views: Arc::default(),
        settings: DisplaySettings {
            mode: args.layer,
            look: args.look,
            has_backdrop: args.background.is_none(),
            background: args.background.unwrap_or_default(),
            ..DisplaySettings::default()
        },
        renderer: args.renderer,
        output_stem: PathBuf::from(stem),
        camera_path: args.path.clone(),
        training: None,
        script,
        close_when_done: args.close,
        quit: None,
    }
}

/// Lines about a model.
fn details(model: &Model) -> Vec<String> {
    let kind = if model.spec.color_head.is_some() { "radiance" } else { "signed distance" };
    let mut lines = vec![format!("{kind}, {} parameters", model.spec.parameters())];
    let known = [("psnr", "PSNR", 2), ("ssim", "SSIM", 4), ("iou", "IoU", 4), ("chamfer_l1", "Chamfer", 6)];
    let found = known
        .iter()
        .filter_map(|(key, name, digits)| Some(format!("{name} {}", decimals(*model.metrics.get(*key)?, *digits))));
    let found: Vec<String> = found.collect();
    if !found.is_empty() {
        lines.push(found.join(", "));
    }
    lines
}

/// The capture that a model was fitted to, where a file of its name exists.
fn capture_of(path: &Path, model: &Model) -> Option<PathBuf> {
    let name = model.spec.color_head.as_ref().and(model.provenance.get("input"))?;
    let beside = path.parent().unwrap_or(Path::new("")).join(name);
    [beside, PathBuf::from(name)].into_iter().find(|p| p.exists() && is_capture(p))
}

/// The mesh that a model was fitted to, where a file of its name can be read.
fn mesh_of(path: &Path, model: &Model) -> Option<ReferenceMesh> {
    let name = model.provenance.get("input").filter(|_| model.spec.color_head.is_none())?;
    let beside = path.parent().unwrap_or(Path::new("")).join(name);
    let found =
        [beside, PathBuf::from(name)].into_iter().find(|p| p.is_file() && MeshFormat::from_extension(p).is_some());
    // Nobody has asked for it: without it there is no error to show, and the panel says how to name one.
    reference_mesh(&found?).ok()
}

/// A mesh to compare a surface with.
fn reference_mesh(path: &Path) -> anyhow::Result<ReferenceMesh> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    Ok(ReferenceMesh::new(&name, read_mesh(path)?.mesh))
}

/// A capture's images, read as for the fit of the model.
fn images(path: &Path, model: &Model) -> anyhow::Result<Vec<View>> {
    let settings = FitRecord::of(model).ok().and_then(|r| r.capture).unwrap_or_default();
    let capture = read_capture(path, &settings.options(Split::All))?;
    stderr!("{}: {} images to compare with", path.display(), capture.views().count());
    Ok(capture.train.into_iter().chain(capture.test).collect())
}

/// Fits `args.input` in a window. Closing the window ends the fit and is not a failure.
fn train(args: &ViewArgs, script: Option<Script>) -> anyhow::Result<()> {
    let output = args.output.clone().unwrap_or_else(|| default_output(&args.input));
    if args.output.is_none() && output.exists() {
        bail!(
            "{}: a model of that name is there already; look at it with nstr view {0}, or name another with -o",
            output.display()
        );
    }
    let mut options = FitOptions::default().output(output);
    options.preset.clone_from(&args.preset);
    options.overrides.clone_from(&args.set);
    options.budget = args.steps.map(Budget::Steps).or(args.time.map(Budget::Time));
    let replace = Replace { overwrite: false, is_named: args.output.is_some(), resume: false };
    let mut viewer = viewer_options(args, &args.input, script);
    viewer.mesh = match &args.mesh {
        Some(path) => Some(reference_mesh(path)?),
        // The fit itself tells what is wrong with its input.
        None if is_capture(&args.input) => None,
        None => reference_mesh(&args.input).ok(),
    };
    let (result, stopped) = watch(&args.input, &options, &ExtraOutputs::default(), replace, viewer)?;
    match result {
        Err(error) if stopped => {
            stderr!("nstr: {}", super::explain(&error));
            Ok(())
        }
        result => result,
    }
}

/// Runs `nstr fit --view`: like `nstr fit`, with a window.
pub fn fit(args: &FitArgs) -> anyhow::Result<()> {
    device_choice::silence();
    let [input] = args.inputs.as_slice() else { bail!("--view shows one input; give one, or fit many without it") };
    let input = PathBuf::from(input);
    if Signal::is_named(&input) {
        bail!("{}: {NO_VIEWS}", input.display());
    }
    if input.is_dir() && !is_capture(&input) {
        bail!("{}: --view shows one input, and this is a folder of several", input.display());
    }
    let view = ViewArgs {
        input: input.clone(),
        size: None,
        capture: None,
        mesh: None,
        layer: DisplayMode::default(),
        look: Look::default(),
        background: match args.background {
            CaptureBackground::Colour(colour) => {
                Some(Background::Colour(colour.map(|v| linear_from_srgb(f32::from(v) / 255.0))))
            }
            CaptureBackground::Auto | CaptureBackground::Random => None,
        },
        renderer: RendererChoice::Auto,
        path: None,
        script: None,
        bench: false,
        json: None,
        close: args.close,
        output: None,
        preset: None,
        set: Vec::new(),
        steps: None,
        time: None,
    };
    args.check_kind(&input, args.kind(&input))?;
    let replace = args.replace(args.output.is_some());
    watch(&input, &args.options(), &args.extra_outputs(), replace, viewer_options(&view, &input, None))?.0
}

/// Whether the fit was stopped and left the finished model of an earlier one in its place.
fn left_earlier_model(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(nstr_pipeline::Error::Interrupted { replaced: false, .. }))
}

/// Fits on a thread of its own while the window is open; the result of the fit, and whether the user stopped it.
fn watch(
    input: &Path,
    options: &FitOptions,
    extra: &ExtraOutputs,
    replace: Replace,
    viewer: ViewerOptions,
) -> anyhow::Result<(anyhow::Result<()>, bool)> {
    let training = Training::default();
    let quit = interrupted()?;
    let output = options.output.clone().unwrap_or_else(|| default_output(input));
    let written = output.clone();
    let (input, options, extra) = (input.to_path_buf(), options.clone().output(&output), extra.clone());
    let run = {
        let training = training.clone();
        move || {
            if !training.wait_for_window() {
                return Ok(());
            }
            let result = ProgressDisplay::stoppable().and_then(|mut inner| {
                fit::fit_and_report(&input, &options, &extra, replace, &mut training.observer(&output, &mut inner))
            });
            let there = result.as_ref().map_or_else(|e| training.is_stopped() && !left_earlier_model(e), |()| true);
            let last = there.then(|| Scene::of_model(&output, Arc::new(Model::load(&output).ok()?)).ok()).flatten();
            let said = match &result {
                Ok(()) => Ok("finished and saved".to_string()),
                Err(_) if training.is_stopped() => Ok("stopped and saved".to_string()),
                Err(error) => Err(super::explain(error)),
            };
            training.finish(said, last);
            result
        }
    };
    let fitting =
        std::thread::Builder::new().name("fit".into()).spawn(run).context("cannot start a thread to fit in")?;
    let viewer = ViewerOptions { model_file: Some(written), ..viewer };
    let shown = nstr_viewer::run(ViewerOptions { training: Some(training.clone()), quit: Some(quit), ..viewer });
    training.stop();
    let result = fitting.join().unwrap_or_else(|_| bail!("the fit ended with a panic (its message is above)"));
    shown?;
    if training.has_run() {
        stderr!("painting took {:.0} % of the time", 100.0 * training.painting_share());
    }
    Ok((result, matches!(training.phase(), TrainingPhase::Done(_))))
}
