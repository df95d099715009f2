//! `nstr view`: a model in a window, or a fit that is looked at.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser};
use nstr::capture::{Split, View, is_capture, read_capture};
use nstr::field::model::Model;
use nstr::fit::Budget;
use nstr::fit::signal::Signal;
use nstr::render::Background;
use nstr::viewer::session::Settings;
use nstr::viewer::training::Phase;
use nstr::viewer::{Choice, Scene, Script, Setup, Show, Training};

use super::capture::CaptureArgs;
use super::fit::{self, FitArgs, Recipe, default_output};
use super::load;
use super::render::parse_size;
use super::watch::interrupted;

/// Arguments of `nstr view`.
#[derive(Args, Clone, Debug)]
pub struct ViewArgs {
    /// Model to show, or a mesh or a capture to fit while it is shown
    #[arg(value_name = "MODEL|INPUT")]
    input: PathBuf,
    /// Size of the window in pixels [default: 1280x800, larger on displays that scale what they show]
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    size: Option<(u32, u32)>,
    /// Capture whose cameras [ and ] go to and whose images layer 9 compares with [default: the one that the model was
    /// fitted to, where it lies beside the model or in the current folder]
    #[arg(long, value_name = "DIR")]
    capture: Option<PathBuf>,
    /// Layer at first: shaded, normals, depth, S, gradS, curvature, residual, steps or error
    #[arg(long, default_value = "shaded")]
    layer: Show,
    /// white, black, transparent or #rrggbb
    #[arg(long, default_value = "white")]
    background: Background,
    /// What renders: auto, cpu or gpu
    #[arg(long, default_value = "auto", value_parser = parse_choice)]
    renderer: Choice,
    /// Camera path to begin with: one that the viewer saved, or a transforms.json with `frames`; F6 plays it
    #[arg(long, value_name = "JSON")]
    path: Option<PathBuf>,
    /// Follow a script of events: see docs/viewer.md
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Fitting: model to write [default: NAME.safetensors in the current folder]
    #[arg(short, long, value_name = "MODEL")]
    output: Option<PathBuf>,
    /// Fitting: preset, as of nstr fit
    #[arg(long)]
    preset: Option<String>,
    /// Fitting: change an option of the preset
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Fitting: steps
    #[arg(long, value_name = "N", conflicts_with = "time")]
    steps: Option<u64>,
    /// Fitting: for this long, for example 40s or 10m
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true, value_parser = humantime::parse_duration)]
    time: Option<Duration>,
}

fn parse_choice(text: &str) -> Result<Choice, String> {
    match text {
        "auto" => Ok(Choice::Auto),
        "cpu" => Ok(Choice::Cpu),
        "gpu" => Ok(Choice::Gpu),
        _ => Err("must be auto, cpu or gpu".into()),
    }
}

/// Runs `nstr view`.
pub fn run(args: &ViewArgs) -> anyhow::Result<()> {
    let script = args.script.as_deref().map(Script::read).transpose()?;
    let is_model = args.input.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors"));
    if Signal::is_named(&args.input) {
        bail!("{}: {FLAT}", args.input.display());
    }
    if !is_model {
        return train(args, script);
    }
    let model = Arc::new(Model::load(&args.input)?);
    let scene = scene(&args.input, model.clone())?;
    let capture = match &args.capture {
        Some(path) => Some(path.clone()),
        None => capture_of(&args.input, &model),
    };
    let views = capture.map(|path| images(&path, &model)).transpose()?.unwrap_or_default();
    let setup = Setup {
        details: details(&model),
        scene: Some(Arc::new(scene)),
        views: Arc::new(views),
        ..setup(args, &args.input, script)
    };
    Ok(nstr::viewer::run(setup)?)
}

fn setup(args: &ViewArgs, named: &Path, script: Option<Script>) -> Setup {
    let name = named.file_name().unwrap_or(named.as_os_str()).to_string_lossy().into_owned();
    let stem = named.file_stem().unwrap_or("view".as_ref()).to_owned();
    Setup {
        title: name,
        details: Vec::new(),
        size: args.size,
        scene: None,
        views: Arc::default(),
        settings: Settings { show: args.layer, background: args.background, ..Settings::default() },
        renderer: args.renderer,
        stem: PathBuf::from(stem),
        path: args.path.clone(),
        training: None,
        script,
        quit: None,
    }
}

/// Why a picture or a sound is not shown.
const FLAT: &str = "the window shows surfaces and volumes; a picture or a sound is fitted by `nstr fit` and written by \
                    `nstr render`";

/// The scene of a model that was read from (or will be written to) `path`.
pub fn scene(path: &Path, model: Arc<Model>) -> anyhow::Result<Scene> {
    if model.spec.view.is_some() {
        let shown = load::marching_of(path, &model)?;
        return Ok(Scene::radiance(model, shown.settings).seen_from(shown.swing));
    }
    if model.spec.dim != 3 {
        bail!("{}: {FLAT}", path.display());
    }
    if model.spec.outputs != 1 {
        let o = model.spec.outputs;
        bail!("{}: a field of {o} values is no signed distance field", path.display());
    }
    Ok(Scene::sdf(model))
}

/// Lines about a model.
fn details(model: &Model) -> Vec<String> {
    let kind = if model.spec.view.is_some() { "radiance" } else { "signed distance" };
    let mut lines = vec![format!("{kind}, {} parameters", model.spec.parameters())];
    let known = [("psnr", "PSNR", 2), ("ssim", "SSIM", 4), ("iou", "IoU", 4), ("chamfer_l1", "Chamfer", 6)];
    let found =
        known.iter().filter_map(|(key, name, digits)| model.metrics.get(*key).map(|v| format!("{name} {v:.digits$}")));
    let found: Vec<String> = found.collect();
    if !found.is_empty() {
        lines.push(found.join(", "));
    }
    lines
}

/// The capture that a model was fitted to, where it is still found by its name.
fn capture_of(path: &Path, model: &Model) -> Option<PathBuf> {
    let name = model.spec.view.as_ref().and(model.provenance.get("input"))?;
    let beside = path.parent().unwrap_or(Path::new("")).join(name);
    [beside, PathBuf::from(name)].into_iter().find(|p| p.exists() && is_capture(p))
}

/// A capture's images, read as for the fit of the model.
fn images(path: &Path, model: &Model) -> anyhow::Result<Vec<View>> {
    let recipe = serde_json::from_value::<Recipe>(model.config.clone()).ok();
    let options = match recipe.and_then(|r| r.capture) {
        Some(args) => args.options(Split::All),
        None => CaptureArgs::default().options(Split::All),
    };
    let capture = read_capture(path, &options)?;
    eprintln!("{}: {} images to compare with", path.display(), capture.views().count());
    Ok(capture.train.into_iter().chain(capture.test).collect())
}

/// The options of `nstr fit` alone.
#[derive(Parser)]
struct Fit {
    #[command(flatten)]
    args: FitArgs,
}

/// Fits `args.input` and looks on. Closing the window is a way to end, not a failure.
fn train(args: &ViewArgs, script: Option<Script>) -> anyhow::Result<()> {
    let output = args.output.clone().unwrap_or_else(|| default_output(&args.input));
    if args.output.is_none() && output.exists() {
        bail!(
            "{}: a model of that name is there already; look at it with nstr view {0}, or name another with -o",
            output.display()
        );
    }
    let mut words: Vec<OsString> = vec!["nstr".into(), args.input.clone().into(), "--output".into(), output.into()];
    let texts = args.set.iter().flat_map(|s| ["--set".to_string(), s.clone()]);
    let texts = texts.chain(args.preset.iter().flat_map(|p| ["--preset".to_string(), p.clone()]));
    let budget = args.steps.map(Budget::Steps).or(args.time.map(Budget::Time));
    words.extend(texts.chain(budget.into_iter().flat_map(Budget::option)).map(OsString::from));
    let fit = Fit::try_parse_from(words).context("nstr view")?.args;
    let (result, stopped) = watch(&fit, setup(args, &args.input, script))?;
    match result {
        Err(error) if stopped => {
            eprintln!("nstr: {}", super::explain(&error));
            Ok(())
        }
        result => result,
    }
}

/// Runs `nstr fit --view`: like `nstr fit`, with a window.
pub fn fit(args: &FitArgs) -> anyhow::Result<()> {
    let [input] = args.inputs.as_slice() else { bail!("--view shows one input; give one, or fit many without it") };
    let input = PathBuf::from(input);
    if Signal::is_named(&input) {
        bail!("{}: {FLAT}", input.display());
    }
    if input.is_dir() && !is_capture(&input) {
        bail!("{}: --view shows one input, and this is a folder of several", input.display());
    }
    let view = ViewArgs {
        input: input.clone(),
        size: None,
        capture: None,
        layer: Show::default(),
        background: args.background,
        renderer: Choice::Auto,
        path: None,
        script: None,
        output: None,
        preset: None,
        set: Vec::new(),
        steps: None,
        time: None,
    };
    watch(args, setup(&view, &input, None))?.0
}

/// Fits on a thread of its own while the window is open; what became of the fit, and whether the user stopped it.
fn watch(args: &FitArgs, setup: Setup) -> anyhow::Result<(anyhow::Result<()>, bool)> {
    let training = Training::default();
    let quit = interrupted()?;
    let mut args = FitArgs { view: false, ..args.clone() };
    args.live.training = Some(training.clone());
    let output = args.output.clone().or_else(|| Some(default_output(Path::new(args.inputs.first()?))));
    let run = {
        let training = training.clone();
        move || {
            if !training.wait_for_window() {
                return Ok(());
            }
            let result = fit::run(&args);
            let there = result.is_ok() || training.is_stopped();
            let last = output.filter(|_| there).and_then(|path| {
                let model = Model::load(&path).ok()?;
                scene(&path, Arc::new(model)).ok()
            });
            let said = match &result {
                Ok(()) => Ok("finished and saved".to_string()),
                Err(_) if training.is_stopped() => Ok("stopped and saved".to_string()),
                Err(error) => Err(super::explain(error)),
            };
            training.end(said, last);
            result
        }
    };
    let fitting =
        std::thread::Builder::new().name("fit".into()).spawn(run).context("cannot start a thread to fit in")?;
    let shown = nstr::viewer::run(Setup { training: Some(training.clone()), quit: Some(quit), ..setup });
    training.stop();
    let result = fitting.join().unwrap_or_else(|_| bail!("the fit ended with a panic (its message is above)"));
    shown?;
    Ok((result, matches!(training.phase(), Phase::Done(_))))
}
