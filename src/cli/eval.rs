//! `nstr eval`: metrics of a model against the input that it was fitted to.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use nstr_files::{decimals, plain};
use nstr_fit::eval::sdf::SdfEvalOptions;
use nstr_fit::eval::{NEAR_FRACTION, SheetOrder};
use nstr_image::colour::Background;
use nstr_pipeline::evaluate::SHEET_ROWS;
use nstr_pipeline::{EvalOptions, Field, evaluate};
use serde_json::{Map, Value};

use super::output::{Outputs, is_part_of};
use super::plural::plural;
use super::progress::ProgressDisplay;
use super::terminal::stdout;

const MESHES: &str = "Meshes";
const CAPTURES: &str = "Captures";

const EXAMPLES: &str = "\
Examples:
  nstr eval chair.safetensors chair.obj --json chair.json
  nstr eval scene.safetensors scene/ --images sheet.png
  nstr eval scene.safetensors scene/ --train-views --images pictures/ --sheet-order name";

/// Arguments of `nstr eval`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct EvalArgs {
    /// Model to measure
    model: PathBuf,
    /// Mesh, capture, picture or sound that it was fitted to
    reference: PathBuf,
    /// Write the metrics as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Points along each axis of the lattice over the mesh's box, for the IoU
    #[arg(long, default_value_t = 256, value_name = "N", help_heading = MESHES)]
    lattice: usize,
    /// Cells along the longest edge for the model's surface
    #[arg(long, default_value_t = 512, value_name = "N", help_heading = MESHES)]
    resolution: usize,
    /// Surface samples a side
    #[arg(long, default_value_t = 200_000, value_name = "N", help_heading = MESHES)]
    samples: usize,
    /// Source of the sign [default: as in the fit]
    #[arg(long, help_heading = MESHES)]
    sign: Option<nstr_geometry::SignMethod>,
    /// Write what was compared. A PNG is a contact sheet: truth, rendering and error of each view. A folder gets that as
    /// sheet.png, and of captures render/NNN.png, reference/NNN.png and error/NNN.png of every test view; of a picture
    /// render.png, reference.png and error.png; of a sound render.wav and spectrogram.png
    #[arg(long, value_name = "DIR|PNG", help_heading = "Captures, pictures and sounds")]
    images: Option<PathBuf>,
    /// Order of the views on the contact sheet: worst (lowest PSNR first) or name
    #[arg(long, value_name = "worst|name", default_value = "worst", hide_default_value = true, help_heading = CAPTURES)]
    sheet_order: SheetOrder,
    /// Most views on the contact sheet
    #[arg(long, value_name = "N", default_value_t = SHEET_ROWS, help_heading = CAPTURES)]
    sheet_rows: usize,
    /// Background of the rendered views, and of images with alpha: white, black or #rrggbb [default: the one
    /// colour that the fit was trained over, else white]
    #[arg(long, help_heading = CAPTURES)]
    background: Option<Background>,
    /// Make images N times smaller [default: as in the fit]
    #[arg(long, value_name = "N", help_heading = CAPTURES)]
    downscale: Option<u32>,
    /// Measure on the training views
    #[arg(long, help_heading = CAPTURES)]
    train_views: bool,
    /// Matter counts as near a camera within this fraction of the depth that its view shows, above 0 to 1
    #[arg(long, default_value_t = NEAR_FRACTION, value_name = "F", help_heading = CAPTURES)]
    near_fraction: f64,
}

impl EvalArgs {
    /// The options of the library.
    fn options(&self) -> EvalOptions {
        let mut options = EvalOptions::default();
        let (lattice, resolution, samples) = (self.lattice, self.resolution, self.samples);
        options.sdf = SdfEvalOptions { lattice, resolution, samples, seed: 0 };
        (options.sign, options.background, options.downscale) = (self.sign, self.background, self.downscale);
        (options.train_views, options.images) = (self.train_views, self.images.clone());
        options.near_fraction = self.near_fraction;
        (options.sheet_order, options.sheet_rows) = (self.sheet_order, self.sheet_rows);
        options
    }
}

/// Files and folders that `--images` writes.
const IMAGES: [&str; 6] =
    ["render.png", "reference.png", "error.png", "render.wav", "spectrogram.png", evaluate::SHEET_NAME];
const IMAGE_FOLDERS: [&str; 3] = ["render", "reference", "error"];

/// Refuses what cannot be written, or would replace an input.
fn check_outputs(args: &EvalArgs) -> anyhow::Result<()> {
    let mut outputs = Outputs::of([&args.model, &args.reference]);
    if let Some(file) = &args.json {
        outputs.file(file, "the metrics' name", &[])?;
    }
    let Some(folder) = &args.images else { return Ok(()) };
    if evaluate::is_sheet(folder) {
        return outputs.file(folder, "the contact sheet's name", &["png"]);
    }
    outputs.folder(folder, &IMAGES)?;
    // Pictures of a capture in one of the folders; where all three are there, they are of an earlier run.
    let first = IMAGE_FOLDERS.map(|name| folder.join(name).join("000.png"));
    if let Some(picture) = first.iter().find(|p| is_part_of(p, &args.reference))
        && !first.iter().all(|p| p.is_file())
    {
        bail!("{}: may be a part of {}; name another folder", picture.display(), args.reference.display());
    }
    Ok(())
}

/// Runs `nstr eval`.
pub fn run(args: &EvalArgs) -> anyhow::Result<()> {
    let options = args.options();
    options.check()?;
    check_outputs(args)?;
    let field = Field::load(&args.model)?;
    evaluate::check_reference(&args.model, &field, &args.reference)?;
    options.check_kind(&field)?;
    let mut display = ProgressDisplay::new();
    let mut stage = |name: &str, fraction| {
        display.show(name, fraction, "");
    };
    let scores = evaluate::evaluate_observed(&args.model, &field, &args.reference, &options, &mut stage)?;
    drop(display);
    let bytes = std::fs::metadata(&args.model).with_context(|| args.model.display().to_string())?.len();
    let metrics = evaluate::metrics(field.model(), Some(&scores), Some(bytes));
    stdout!("{}", describe(&metrics));
    if let Some(images) = &args.images {
        stdout!("wrote {}", images.display());
    }
    match &args.json {
        Some(file) => write_json(file, &metrics),
        None => Ok(()),
    }
}

/// Metrics as lines of text.
pub fn describe(metrics: &Map<String, Value>) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<20} {text}"));
    let number = |name: &str| metrics.get(name).and_then(Value::as_f64);
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
    if let Some(v) = number("normal_angle_rms") {
        let p95 = number("normal_angle_p95").map_or(String::new(), |v| format!(", 95 % below {v:.2}°"));
        line("normals, flat parts", format!("{v:.2}° rms{p95}"));
    }
    if let Some(v) = number("hausdorff") {
        line("Hausdorff", format!("{:.3} % of the diagonal", 100.0 * v));
    }
    if let Some(psnr) = number("psnr") {
        let views = metrics.get("psnr_per_view").and_then(Value::as_array).map(Vec::len);
        let background = metrics.get("background").and_then(Value::as_str).unwrap_or_default();
        let of = views.map_or(String::new(), |n| format!(", mean of {} on {background}", plural(n, "view")));
        line("PSNR", format!("{} dB{of}", decimals(psnr, 3)));
    }
    for (name, title, unit) in [
        ("psnr_affine", "PSNR, own exposure", " dB"),
        ("psnr_near", "PSNR, nearest third", " dB"),
        ("psnr_middle", "PSNR, middle third", " dB"),
        ("psnr_far", "PSNR, farthest third", " dB"),
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
            // Ratios may be small; decibels have a scale.
            line(title, if unit.is_empty() { plain(v) } else { decimals(v, 3) + unit });
        }
    }
    if let (Some(v), Some(fraction)) = (number("near_camera_opacity"), number("near_fraction")) {
        line("near-camera opacity", format!("{}, within {} of the views' depth", plain(v), plain(fraction)));
    }
    if let Some(v) = number("samples_per_second") {
        line("training", format!("{:.2} M samples/s", v / 1e6));
    }
    if let Some(v) = number("render_seconds") {
        line("rendering", format!("{v:.3} s a view"));
    }
    if metrics.get("reference").and_then(Value::as_str) == Some("solid") {
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

/// Writes metrics as JSON, whole or not at all.
pub fn write_json(path: &Path, metrics: &Map<String, Value>) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(metrics)? + "\n";
    nstr_files::write(path, text.as_bytes()).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        let metrics = json!({
            "snr": -1e-7, "psnr": 29.123_456_789, "relative_mse": 1.234_567_89e-7, "ssim": f64::from(0.7f32),
            "near_camera_opacity": 0.0, "near_fraction": 0.1 + 0.2, "parameters": 231_505, "file_bytes": 467_012,
        });
        let said = describe(metrics.as_object().unwrap());
        let lines: Vec<String> = said.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for line in [
            "PSNR 29.123 dB",
            "SNR 0.000 dB",
            "relative MSE 1.2346e-7",
            "SSIM 0.7",
            "near-camera opacity 0, within 0.3 of the views' depth",
            "parameters 231505 in 467.0 kB",
        ] {
            assert!(lines.iter().any(|l| l == line), "{line} in {said}");
        }
    }
}
