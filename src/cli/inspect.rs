//! `nstr inspect`: contents of a mesh, a capture, a picture, a sound or a model.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use nstr_capture::is_capture;
use nstr_field::model::compact::{CompactSection, compact_sections};
use nstr_field::model::{Model, is_model_name};
use nstr_files::{decimals, excerpt, plain, plain_beside};
use nstr_geometry::MeshMaterials;
use nstr_pipeline::{Field, MeshInput};
use nstr_signal::{Signal, ValueTransformKind};
use nstr_space::DistanceField;
use serde::Serialize;
use serde_json::{Value, json};

use super::capture::{self, CaptureArgs};
use super::sign::SignArgs;
use super::terminal::stdout;

const CAPTURES: &str = "Captures";

const EXAMPLES: &str = "\
Examples:
  nstr inspect chair.obj
  nstr inspect scene/ --draw cameras.png
  nstr inspect chair.safetensors --prove 7 --json";

/// Arguments of `nstr inspect`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectArgs {
    /// Mesh, capture (a folder, a transforms.json or an .npz of images), picture, sound or model
    input: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Draw the capture's cameras with the scene box
    #[arg(long, value_name = "PNG", help_heading = CAPTURES)]
    draw: Option<PathBuf>,
    /// Compare the capture's poses with those of another capture of the same images, after the similarity that fits best
    #[arg(long, value_name = "CAPTURE", help_heading = CAPTURES)]
    truth: Option<PathBuf>,
    /// Of a distance model prove bounds over cells, 2^DEPTH along each axis, and tell the proven bound of the slope beside the
    /// measured one [default depth: 6]
    #[arg(long, value_name = "DEPTH", num_args = 0..=1, default_missing_value = "6", value_parser = clap::value_parser!(u32).range(1..=9), help_heading = "Models")]
    prove: Option<u32>,
    #[command(flatten, next_help_heading = "Meshes")]
    sign: SignArgs,
    #[command(flatten, next_help_heading = CAPTURES)]
    capture: CaptureArgs,
}

/// Runs `nstr inspect`.
pub fn run(args: &InspectArgs) -> anyhow::Result<()> {
    if args.prove.is_some() && !is_model_name(&args.input) {
        bail!("{}: --prove is for models of signed distances", args.input.display());
    }
    let is_captured = args.capture.format.is_some() || args.input.is_dir() || is_capture(&args.input);
    let is_mesh = !is_captured && !is_model_name(&args.input) && !Signal::is_named(&args.input);
    if !is_mesh && args.sign != SignArgs::default() {
        bail!("{}: --sign, --thickness and --sign-resolution are for meshes; leave them out", args.input.display());
    }
    if !is_captured && args.capture != CaptureArgs::default() {
        bail!(
            "{}: --downscale, --every, --holdout, --scene, --space, --near and --capture-format are for captures; leave them out",
            args.input.display()
        );
    }
    if is_captured {
        return capture::inspect(&args.input, &args.capture, args.json, args.draw.as_deref(), args.truth.as_deref());
    }
    let given = [("--draw", args.draw.is_some()), ("--truth", args.truth.is_some())];
    if let Some((option, _)) = given.into_iter().find(|o| o.1) {
        bail!("{}: {option} is for captures", args.input.display());
    }
    if Signal::is_named(&args.input) {
        return signal(args);
    }
    if is_model_name(&args.input) { model(args) } else { mesh(args) }
}

fn signal(args: &InspectArgs) -> anyhow::Result<()> {
    let (signal, notes) = Signal::read_noted(&args.input)?;
    let data = signal.data();
    let (lo, hi) = data.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), v| (lo.min(*v), hi.max(*v)));
    let mean = data.iter().map(|v| f64::from(*v)).sum::<f64>() / data.len().max(1) as f64;
    if args.json {
        let info = signal.info(ValueTransformKind::Auto);
        let text = json!({ "signal": info, "lowest": lo, "highest": hi, "mean": mean, "notes": notes });
        stdout!("{}", serde_json::to_string_pretty(&text)?);
        return Ok(());
    }
    stdout!("{}: {}", args.input.display(), signal.describe());
    let [lo, hi] = [lo, hi].map(|v| plain(f64::from(v)));
    stdout!("  values      {lo} to {hi}, mean {}", plain(mean));
    notes.iter().for_each(|note| stdout!("note: {note}"));
    Ok(())
}

fn mesh(args: &InspectArgs) -> anyhow::Result<()> {
    let m = MeshInput::read(&args.input, &args.sign.options())?;
    let sign = m.query.sign();
    if args.json {
        let text = json!({
            "format": m.file.format,
            "report": m.report,
            "polygons": m.file.polygons,
            "lines": m.file.lines,
            "materials": material_rows(&m.file.materials),
            "notes": m.file.notes,
            "hidden_faces": m.query.hidden_faces(),
            "sign": { "method": sign.method(), "explanation": sign.explanation() },
        });
        stdout!("{}", serde_json::to_string_pretty(&text)?);
        return Ok(());
    }
    let format = m.file.format.title();
    let polygons = match m.file.polygons {
        0 => String::new(),
        n => format!(", {n} polygons cut into triangles"),
    };
    stdout!("{} ({format}{polygons})", args.input.display());
    stdout!("{}", m.report);
    print_materials(&m.file.materials);
    m.file.notes.iter().for_each(|note| stdout!("note: {note}"));
    stdout!("sign: {}", sign.explanation());
    Ok(())
}

/// Materials with their face counts; the last entry, without a name, counts the faces without a material.
fn material_rows(materials: &MeshMaterials) -> Vec<Value> {
    let (counts, without) = materials.face_counts();
    let rows = materials.materials.iter().zip(counts).map(|(m, faces)| {
        json!({ "name": m.name, "diffuse": m.diffuse, "opacity": m.opacity, "textures": m.textures, "faces": faces })
    });
    rows.chain((without > 0).then(|| json!({ "name": null, "faces": without }))).collect()
}

fn print_materials(materials: &MeshMaterials) {
    let (counts, without) = materials.face_counts();
    for (m, faces) in materials.materials.iter().zip(counts) {
        let colour = m.diffuse.map_or("no colour".into(), |rgb| {
            let [r, g, b] = rgb.map(|v| decimals(f64::from(v), 3));
            format!("Kd {r} {g} {b}")
        });
        let opacity = m.opacity.filter(|d| *d < 1.0).map_or(String::new(), |d| format!(", opacity {d:.3}"));
        let textures: String = m.textures.iter().map(|t| format!(", {} {}", t.property, t.file)).collect();
        stdout!("{:<22}{}: {faces} faces, {colour}{opacity}{textures}", "material", m.name);
    }
    if without > 0 {
        stdout!("{:<22}none: {without} faces", "material");
    }
}

/// What is proven of a distance model over cells of one size.
#[derive(Serialize)]
struct ProvenBounds {
    /// Cells along each axis of the cube.
    cells: usize,
    /// Lipschitz bound that was measured at random points when the fit ended.
    measured_lipschitz: f32,
    /// Lipschitz bound that is proven for the whole cube, if one is.
    proven_lipschitz: Option<f64>,
    /// Fraction of the cube that is proven free of the surface.
    free: f64,
    seconds: f64,
}

/// Proves bounds of a model over `2^depth` cells along each axis.
fn prove(args: &InspectArgs, model: &Model, depth: u32) -> anyhow::Result<ProvenBounds> {
    let start = Instant::now();
    let Field::Sdf(sdf) = Field::open(&args.input, model.clone())? else {
        bail!("{}: --prove is for models of signed distances", args.input.display());
    };
    let bounds = sdf.bounds().with_context(|| args.input.display().to_string())?;
    Ok(ProvenBounds {
        cells: 1 << depth,
        measured_lipschitz: sdf.field.lipschitz(),
        proven_lipschitz: Some(bounds.cube_lipschitz(depth)).filter(|slope| slope.is_finite()),
        free: 1.0 - bounds.surface_bounds(&sdf.field, depth).undecided_volume(),
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn model(args: &InspectArgs) -> anyhow::Result<()> {
    let model = Model::load(&args.input)?;
    let bytes = std::fs::metadata(&args.input).with_context(|| args.input.display().to_string())?.len();
    let sections = compact_sections(&args.input)?;
    let bounds = args.prove.map(|depth| prove(args, &model, depth)).transpose()?;
    let text = json!({
        "parameters": model.spec.parameters(),
        "grid_parameters": model.grid.len(),
        "network_parameters": model.net.len(),
        "file_bytes": bytes,
        "sections": sections.as_deref().map(section_rows),
        "domain": {
            "origin": model.cube().origin.to_array(), "size": model.cube().size, "units": model.units,
            "map": model.map.name(),
        },
        "spec": model.spec,
        "provenance": model.provenance,
        "metrics": model.metrics,
        "config": model.config,
        "bounds": bounds,
    });
    if args.json {
        stdout!("{}", serde_json::to_string_pretty(&text)?);
        return Ok(());
    }
    let s = &model.spec;
    stdout!(
        "{}: {} parameters ({} latent), {:.1} kB",
        args.input.display(),
        s.parameters(),
        model.grid.len(),
        bytes as f64 / 1e3
    );
    let cube = model.cube();
    let map = if model.map.is_box() { String::new() } else { format!(", {} space", model.map.name()) };
    let [x, y, z] = cube.origin.to_array().map(|v| plain_beside(v, cube.size));
    stdout!("  domain      origin [{x}, {y}, {z}], edge {}{map}", plain(cube.size));
    for l in &s.latent.levels {
        let kind = l.hashmap_size.map_or("dense".to_string(), |t| format!("hashed to {t} entries"));
        stdout!(
            "  latent      {}^{} cells × {} features, {kind}",
            l.resolution,
            l.axes.count(s.dim),
            s.latent.features
        );
    }
    if let Some(ProvenBounds { cells, measured_lipschitz, proven_lipschitz, free, seconds }) = bounds {
        let proven = match proven_lipschitz {
            Some(slope) => format!("at most {slope:.4} proven over cells of 1/{cells}"),
            None => format!("none proven over cells of 1/{cells} (a larger depth may)"),
        };
        stdout!("  slope       {proven}, {measured_lipschitz:.4} measured");
        stdout!("  surface     {:.2} % of the cube proven free of it ({seconds:.1} s)", 100.0 * free);
    }
    stdout!("  basis       K = {}, modulation {}, skip_latent {}", s.basis_width(), s.modulation, s.skip_latent);
    let networks = [("spectrum H", &s.spectrum, s.modulates()), ("decoder g", &s.decoder, true)];
    let networks = networks.into_iter().chain([("transport F", &s.transport, s.transports())]);
    for (name, m, _) in networks.filter(|n| n.2) {
        stdout!("  {name:<11} {} × {} {}", m.layers, m.width, m.activation);
    }
    if let Some(head) = &s.color_head {
        stdout!(
            "  {:<11} {} × {} {}, direction {}",
            "colour head",
            head.mlp.layers,
            head.mlp.width,
            head.mlp.activation,
            head.encoding
        );
        if let Some(sharpness) = head.density.sharpness() {
            stdout!("  {:<11} of a signed distance, sharpness {sharpness}", "density");
        }
    }
    if let Some(occupancy) = &model.occupancy {
        stdout!("  {:<11} {:.2} % of {}³ cells", "occupied", 100.0 * occupancy.fraction(), occupancy.cells());
    }
    sections.iter().flatten().for_each(print_section);
    // A header may say anything, of any length.
    model.provenance.iter().for_each(|(k, v)| stdout!("  {:<11} {}", excerpt(k), excerpt(v)));
    model.metrics.iter().for_each(|(k, v)| stdout!("  {:<20} {}", excerpt(k), plain(*v)));
    Ok(())
}

/// The sections of a compact file; `bits` is the mean of those that hold values.
fn section_rows(sections: &[CompactSection]) -> Vec<Value> {
    let row = |s: &CompactSection| json!({ "name": s.name, "bytes": s.bytes, "values": s.values, "bits": bits(s) });
    sections.iter().map(row).collect()
}

/// Bits a stored value.
fn bits(section: &CompactSection) -> Option<f64> {
    (section.values > 0).then(|| 8.0 * section.bytes as f64 / section.values as f64)
}

fn print_section(section: &CompactSection) {
    let bits = bits(section).map_or(String::new(), |bits| format!(", {} values at {bits:.2} bits", section.values));
    stdout!("  {:<20} {} bytes{bits}", section.name, section.bytes);
}
