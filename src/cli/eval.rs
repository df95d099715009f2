//! `nstr eval`: a model's figures against what it was fitted to.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use nstr::capture::{Split, read_capture};
use nstr::field::model::Model;
use nstr::fit::evaluate::{SdfScoring, score};
use nstr::fit::signal::Signal;
use nstr::fit::views::score_views;
use nstr::render::Background;
use nstr::render::image::error_map::error_map;
use nstr::render::image::{Rgba8, png};
use nstr::signal::{Picture, spectrogram};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::fit::Recipe;
use super::load::{self, Loaded, LoadedModel, LoadedRadiance, LoadedSignal};
use super::output::{check_file, check_folder};
use super::words::count;

/// Arguments of `nstr eval`.
#[derive(Args)]
pub struct EvalArgs {
    /// Model to measure
    model: PathBuf,
    /// Mesh, capture, picture or sound that it was fitted to
    reference: PathBuf,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Points along each axis of the lattice over the mesh's box, for the IoU
    #[arg(long, default_value_t = 256, value_name = "N")]
    lattice: usize,
    /// Cells along the longest edge for the model's surface
    #[arg(long, default_value_t = 512, value_name = "N")]
    resolution: usize,
    /// Surface samples a side
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    samples: usize,
    /// Where the sign comes from [default: as in the fit]
    #[arg(long)]
    sign: Option<nstr::geometry::SignMethod>,
    /// Write to this folder: of captures render/NNN.png, reference/NNN.png and error/NNN.png of every test view; of a picture
    /// render.png, reference.png and error.png; of a sound render.wav and spectrogram.png
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Captures: what images with alpha are compared on: white, black or #rrggbb
    #[arg(long, default_value = "white")]
    background: Background,
    /// Captures: make images N times smaller [default: as in the fit]
    #[arg(long, value_name = "N")]
    downscale: Option<u32>,
    /// Captures: measure on the training views
    #[arg(long)]
    train_views: bool,
}

/// Runs `nstr eval`.
pub fn run(args: &EvalArgs) -> anyhow::Result<()> {
    let figures = measure(args)?;
    println!("{}", describe(&figures));
    match &args.json {
        Some(file) => write_json(file, &figures),
        None => Ok(()),
    }
}

/// The figures of a model against what it was fitted to.
pub fn measure(args: &EvalArgs) -> anyhow::Result<Map<String, Value>> {
    if !(2..=2048).contains(&args.lattice) {
        bail!("--lattice {}: must be 2 to 2048", args.lattice);
    }
    if !(1..=100_000_000).contains(&args.samples) {
        bail!("--samples {}: must be 1 to 100000000", args.samples);
    }
    if let Some(file) = &args.json {
        check_file(file, "the figures' name", &[])?;
    }
    let loaded = load::any(&args.model)?;
    loaded.check_reference(&args.model, &args.reference)?;
    let of_captures = args.train_views || args.downscale.is_some();
    if of_captures && !matches!(loaded, Loaded::Radiance(_)) {
        bail!("--train-views and --downscale are for captures");
    }
    if let Some(folder) = &args.images {
        if matches!(loaded, Loaded::Sdf(_)) {
            bail!("--images is for captures, pictures and sounds; render a mesh's model with `nstr render`");
        }
        check_folder(folder)?;
    }
    match loaded {
        Loaded::Sdf(loaded) => mesh(args, &loaded),
        Loaded::Radiance(loaded) => capture(args, &loaded),
        Loaded::Signal(loaded) => signal(args, &loaded),
    }
}

/// Error of a pixel, mean over its channels, that is shown brightest.
const FULL_ERROR: f64 = 0.1;

/// Against a picture or a sound.
fn signal(args: &EvalArgs, loaded: &LoadedSignal) -> anyhow::Result<Map<String, Value>> {
    let reference = Signal::read(&args.reference)?;
    let fit = loaded.reconstruct();
    let scores = loaded
        .scores(&fit, &reference)
        .with_context(|| format!("{} against {}", args.model.display(), args.reference.display()))?;
    if let Some(folder) = &args.images {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        match (&fit, &reference) {
            (Signal::Sound(sound), Signal::Sound(original)) => {
                load::write_signal(&fit, &folder.join("render.wav"))?;
                png::write(&folder.join("spectrogram.png"), &spectrogram::comparison(original, sound)?)?;
            }
            (Signal::Picture(picture), Signal::Picture(original)) => {
                let [a, b] = [picture, original].map(Picture::to_rgba8);
                let shown = |p: &Rgba8| p.data.iter().map(|v| f32::from(*v) / 255.0).collect::<Vec<_>>();
                let error = error_map(&shown(&a), &shown(&b), (a.width, a.height), 4, FULL_ERROR);
                png::write(&folder.join("error.png"), &error.context("the pictures differ in size")?)?;
                png::write(&folder.join("render.png"), &a)?;
                png::write(&folder.join("reference.png"), &b)?;
            }
            _ => {}
        }
    }
    measured(args, &loaded.model, &scores)
}

/// Against the images of a capture.
fn capture(args: &EvalArgs, loaded: &LoadedRadiance) -> anyhow::Result<Map<String, Value>> {
    let background = load::opaque(args.background)?;
    let recipe: Recipe = serde_json::from_value(loaded.model.config.clone())?;
    let mut how = recipe.capture.with_context(|| format!("{}: was not fitted to a capture", args.model.display()))?;
    how.downscale = args.downscale.unwrap_or(how.downscale);
    let split = if args.train_views { Split::Train } else { Split::Test };
    let capture = read_capture(&args.reference, &how.options(split))?;
    let views = if args.train_views { &capture.train } else { &capture.test };
    let scores = score_views(&loaded.renderer()?, views, background, args.images.as_deref())
        .with_context(|| format!("{} against {}", args.model.display(), args.reference.display()))?;
    measured(args, &loaded.model, &scores)
}

/// Against a mesh.
fn mesh(args: &EvalArgs, loaded: &LoadedModel) -> anyhow::Result<Map<String, Value>> {
    let recipe: Option<Recipe> = serde_json::from_value(loaded.model.config.clone()).ok();
    let mut sign = recipe.and_then(|r| r.sign).unwrap_or_default();
    if let Some(method) = args.sign {
        sign.sign = method;
    }
    let mesh = load::mesh(&args.reference, &sign)?;
    let how = SdfScoring { lattice: args.lattice, resolution: args.resolution, samples: args.samples, seed: 0 };
    let scores = score(&loaded.field, &loaded.model.domain, &mesh.mesh, &mesh.query, &how)
        .with_context(|| format!("{} against {}", args.model.display(), args.reference.display()))?;
    measured(args, &loaded.model, &scores)
}

/// Scores with what is known of the model and its file.
fn measured(args: &EvalArgs, model: &Model, scores: &impl Serialize) -> anyhow::Result<Map<String, Value>> {
    let bytes = std::fs::metadata(&args.model).with_context(|| args.model.display().to_string())?.len();
    Ok(figures(model, Some(scores), bytes))
}

/// Everything that is known in numbers of a model.
pub fn figures(model: &Model, scores: Option<&impl Serialize>, file_bytes: u64) -> Map<String, Value> {
    let mut map = Map::new();
    if let Some(s) = scores {
        let value = serde_json::to_value(s).unwrap_or_default();
        map.extend(value.as_object().cloned().unwrap_or_default());
    }
    map.insert("parameters".into(), json!(model.spec.parameters()));
    map.insert("file_bytes".into(), json!(file_bytes));
    for name in ["fit_seconds", "train_seconds", "steps"] {
        let value = model.metrics.get(name).copied();
        map.insert(name.into(), if name == "steps" { json!(value.map(|v| v as u64)) } else { json!(value) });
    }
    let metric = |name: &str| model.metrics.get(name).copied();
    if let (Some(samples), Some(seconds)) = (metric("samples"), metric("train_seconds")) {
        // Those that went through forward and backward; what was evaluated behind surfaces is not counted.
        map.insert("samples_per_second".into(), json!(samples / seconds.max(1e-9)));
    }
    map
}

/// The figures as lines for people.
pub fn describe(figures: &Map<String, Value>) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<20} {text}"));
    let number = |name: &str| figures.get(name).and_then(Value::as_f64);
    if let Some(v) = number("iou") {
        line("IoU", format!("{v:.5}"));
    }
    if let Some(v) = number("chamfer_l1") {
        line("Chamfer-L1", format!("{:.4} % of the diagonal", 100.0 * v));
    }
    if let Some(v) = number("f_score") {
        line("F-score (0.5 %)", format!("{v:.5}"));
    }
    if let Some(v) = number("normal_consistency") {
        line("normal consistency", format!("{v:.5}"));
    }
    if let Some(v) = number("hausdorff") {
        line("Hausdorff", format!("{:.3} % of the diagonal", 100.0 * v));
    }
    if let Some(psnr) = number("psnr") {
        let views = figures.get("psnr_per_view").and_then(Value::as_array).map(Vec::len);
        let background = figures.get("background").and_then(Value::as_str).unwrap_or_default();
        let of = views.map_or(String::new(), |n| format!(", mean of {} on {background}", count(n, "view")));
        line("PSNR", format!("{psnr:.3} dB{of}"));
    }
    for (name, title, unit) in [
        ("psnr_held_out", "PSNR, held out", " dB"),
        ("ssim", "SSIM", ""),
        ("relative_mse", "relative MSE", ""),
        ("snr", "SNR", " dB"),
        ("snr_held_out", "SNR, held out", " dB"),
        ("si_sdr", "SI-SDR", " dB"),
        ("spectral_convergence", "spectral convergence", ""),
        ("spectral_leakage", "spectral leakage", " dB"),
    ] {
        if let Some(v) = number(name) {
            line(title, format!("{v:.4}{unit}"));
        }
    }
    if let Some(v) = number("samples_per_second") {
        line("training", format!("{:.2} M samples/s", v / 1e6));
    }
    if let Some(v) = number("render_seconds") {
        line("rendering", format!("{v:.3} s a view"));
    }
    if figures.get("reference").and_then(Value::as_str) == Some("solid") {
        line("measured against", "the solid that the sign method defines, not the faces themselves".into());
    }
    if let (Some(p), Some(b)) = (number("parameters"), number("file_bytes")) {
        line("parameters", format!("{p} in {:.1} kB", b / 1e3));
    }
    if let (Some(t), Some(s)) = (number("fit_seconds"), number("steps")) {
        line("fitted in", format!("{t:.1} s, {s} steps"));
    }
    lines.join("\n")
}

/// Writes the figures, whole or not at all.
pub fn write_json(path: &Path, figures: &Map<String, Value>) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(figures)? + "\n";
    nstr::atomic::write(path, text.as_bytes()).with_context(|| path.display().to_string())
}
