//! `nstr inspect`: what a mesh, a capture, a picture, a sound or a model holds.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use nstr_capture::is_capture;
use nstr_field::model::Model;
use nstr_signal::{Signal, ValueTransformKind};
use nstr_pipeline::MeshInput;
use serde_json::json;

use super::capture::{self, CaptureArgs};
use super::sign::SignArgs;

/// Arguments of `nstr inspect`.
#[derive(Args)]
pub struct InspectArgs {
    /// Mesh, capture (a folder or a transforms.json), picture, sound or model
    input: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Draw the capture's cameras with the scene box
    #[arg(long, value_name = "PNG")]
    draw: Option<PathBuf>,
    #[command(flatten)]
    sign: SignArgs,
    #[command(flatten)]
    capture: CaptureArgs,
}

/// Runs `nstr inspect`.
pub fn run(args: &InspectArgs) -> anyhow::Result<()> {
    if args.capture.format.is_some() || args.input.is_dir() || is_capture(&args.input) {
        return capture::inspect(&args.input, &args.capture, args.json, args.draw.as_deref());
    }
    if args.draw.is_some() {
        bail!("{}: --draw is for captures", args.input.display());
    }
    if Signal::is_named(&args.input) {
        return signal(args);
    }
    if args.input.extension().is_some_and(|e| e == "safetensors") { model(args) } else { mesh(args) }
}

fn signal(args: &InspectArgs) -> anyhow::Result<()> {
    let signal = Signal::read(&args.input)?;
    let data = signal.data();
    let (lo, hi) = data.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), v| (lo.min(*v), hi.max(*v)));
    let mean = data.iter().map(|v| f64::from(*v)).sum::<f64>() / data.len().max(1) as f64;
    if args.json {
        let text = json!({ "signal": signal.info(ValueTransformKind::Auto), "lowest": lo, "highest": hi, "mean": mean });
        println!("{}", serde_json::to_string_pretty(&text)?);
        return Ok(());
    }
    println!("{}: {}", args.input.display(), signal.describe());
    println!("  values      {lo:.4} to {hi:.4}, mean {mean:.4}");
    Ok(())
}

fn mesh(args: &InspectArgs) -> anyhow::Result<()> {
    let m = MeshInput::read(&args.input, &args.sign.options())?;
    let sign = m.query.sign();
    if args.json {
        let text = json!({
            "format": format!("{:?}", m.file.format).to_lowercase(),
            "report": m.report,
            "polygons": m.file.polygons,
            "lines": m.file.lines,
            "notes": m.file.notes,
            "sign": { "method": sign.method(), "explanation": sign.explanation() },
        });
        println!("{}", serde_json::to_string_pretty(&text)?);
        return Ok(());
    }
    println!("{} ({:?}, {} polygons cut into triangles)", args.input.display(), m.file.format, m.file.polygons);
    println!("{}", m.report);
    m.file.notes.iter().for_each(|note| println!("note: {note}"));
    println!("sign: {}", sign.explanation());
    Ok(())
}

fn model(args: &InspectArgs) -> anyhow::Result<()> {
    let model = Model::load(&args.input)?;
    let bytes = std::fs::metadata(&args.input).with_context(|| args.input.display().to_string())?.len();
    let text = json!({
        "parameters": model.spec.parameters(),
        "grid_parameters": model.grid.len(),
        "network_parameters": model.net.len(),
        "file_bytes": bytes,
        "domain": model.domain,
        "spec": model.spec,
        "provenance": model.provenance,
        "metrics": model.metrics,
        "config": model.config,
    });
    if args.json {
        println!("{}", serde_json::to_string_pretty(&text)?);
        return Ok(());
    }
    let s = &model.spec;
    println!(
        "{}: {} parameters ({} latent), {:.1} kB",
        args.input.display(),
        s.parameters(),
        model.grid.len(),
        bytes as f64 / 1e3
    );
    println!("  domain      origin {:?}, edge {}", model.domain.origin, model.domain.size);
    for l in &s.latent.levels {
        let kind = l.table.map_or("dense".to_string(), |t| format!("hashed to {t} entries"));
        println!("  latent      {}^{} cells × {} features, {kind}", l.cells, l.axes.count(s.dim), s.latent.features);
    }
    println!("  basis       K = {}, modulation {:?}, skip {}", s.basis_width(), s.modulation, s.skip);
    let networks = [("spectrum H", &s.spectrum, s.modulates()), ("decoder g", &s.decoder, true)];
    let networks = networks.into_iter().chain([("transport F", &s.transport, s.transports())]);
    for (name, m, _) in networks.filter(|n| n.2) {
        println!("  {name:<11} {} × {} {:?}", m.layers, m.width, m.activation);
    }
    if let Some(view) = &s.view {
        println!(
            "  {:<11} {} × {} {:?}, direction {:?}",
            "colour head", view.head.layers, view.head.width, view.head.activation, view.encoding
        );
    }
    if let Some(occupancy) = &model.occupancy {
        println!("  {:<11} {:.2} % of {}³ cells", "occupied", 100.0 * occupancy.fraction(), occupancy.cells());
    }
    model.provenance.iter().for_each(|(k, v)| println!("  {k:<11} {v}"));
    model.metrics.iter().for_each(|(k, v)| println!("  {k:<20} {v}"));
    Ok(())
}
