//! `nstr diagnose`: what a model's spectrum says about its signal, beside what null models say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use nstr_capture::{Split, View, read_capture};
use nstr_diagnostics::maps;
use nstr_diagnostics::maps::{Lattice, SignalInput};
use nstr_diagnostics::nulls::{Parameters, without_spectrum};
use nstr_diagnostics::radiance;
use nstr_diagnostics::radiance::RadianceInput;
use nstr_diagnostics::report::Report;
use nstr_diagnostics::sdf;
use nstr_diagnostics::sdf::{ColouredSurface, Reference, SdfInput, StudyOptions};
use nstr_diagnostics::{frequency, questions};
use nstr_backend::backend::FieldOp;
use nstr_spec::init::InitSpec;
use nstr_field::model::Model;
use nstr_fit::occupied::Void;
use nstr_fit::sdf::SdfSource;
use nstr_fit::signal::SignalSource;
use nstr_signal::{Signal, SignalInfo};
use nstr_fit::{FitConfig, PixelSource, RadianceTask, Work};
use nstr_pipeline::field::read_model;
use nstr_pipeline::{Field, FitRecord, MeshInput, RadianceModel, SdfModel, SignalModel, evaluate};
use nstr_geometry::attributes::{VertexData, write_ply_with};
use nstr_spec::{FieldSpec, Interpolation, MlpSpec};
use nstr_camera::orbit::{Orbit, Up};
use nstr_camera::caster::RayCaster;
use nstr_space::cube::UnitCube;

use super::eval::write_json;
use super::output::{check_file, check_folder};

/// Arguments of `nstr diagnose`.
#[derive(Args)]
pub struct DiagnoseArgs {
    /// Model to diagnose
    model: PathBuf,
    /// Mesh, capture, picture or sound that it was fitted to: adds what needs it, and the null models that are fitted to it
    reference: Option<PathBuf>,
    /// Folder for report.html (one page with everything in it), report.json, figures and coloured meshes
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Points of the surface
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    samples: usize,
    /// Seed of the points, of the bootstrap and of what is shuffled
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps that a field without spectrum is fitted for, as a null model; 0: none
    #[arg(long, default_value_t = 1000, value_name = "N")]
    null_steps: u64,
    /// Write the numbers of report.json to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Views of a radiance field that are looked at, and their longest side in pixels.
const VIEWS: usize = 4;
const VIEW_SIZE: u32 = 256;

/// Runs `nstr diagnose`.
pub fn run(args: &DiagnoseArgs) -> anyhow::Result<()> {
    if !(100..=10_000_000).contains(&args.samples) {
        bail!("--samples {}: must be 100 to 10000000", args.samples);
    }
    check_folder(&args.output)?;
    if let Some(file) = &args.json {
        check_file(file, "the numbers' name", &[])?;
    }
    let model = read_model(&args.model)?;
    let record = FitRecord::of(&model).ok();
    let init = record.as_ref().map_or(InitSpec::default(), |r| InitSpec { seed: r.seed, ..r.fit.field.init });
    let mut report =
        Report { title: title(&args.model), facts: facts(args, &model, record.as_ref()), ..Report::default() };
    let record = record.as_ref();
    let field = Field::open(&args.model, model.clone())?;
    if let Some(reference) = &args.reference {
        evaluate::check_reference(&args.model, &field, reference)?;
    }
    let surface = match field {
        Field::Sdf(loaded) => Some(surface(args, &loaded, record, init, &mut report)?),
        Field::Radiance(loaded) => {
            views(args, &loaded, record, init, &mut report)?;
            None
        }
        Field::Signal(loaded) => {
            signal(args, &loaded, record, init, &mut report)?;
            None
        }
    };
    eprintln!("  transport and perturbations");
    if let Some(found) = questions::transport(&model, &init, args.seed) {
        report.push("transport", found);
    }
    if let Some(found) = questions::frequencies(&model, &init, args.seed) {
        report.push("decay", found);
    }
    report.write(&args.output)?;
    if let Some(surface) = &surface {
        write_surfaces(&args.output, surface)?;
    }
    if let Some(file) = &args.json {
        write_json(file, &report.json())?;
    }
    for section in &report.sections {
        println!("{}: {}", section.title, section.verdict);
    }
    println!("wrote {}", args.output.join("report.html").display());
    Ok(())
}

fn title(path: &Path) -> String {
    format!("Diagnosis of {}", path.file_name().unwrap_or_default().to_string_lossy())
}

/// What the model is.
fn facts(args: &DiagnoseArgs, model: &Model, record: Option<&FitRecord>) -> Vec<(String, String)> {
    let spec = &model.spec;
    let known = |name: &str| model.provenance.get(name).cloned().unwrap_or("unknown".into());
    let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let reference = args.reference.as_ref().map_or("none given".into(), |r| file(r));
    let steps = model.metrics.get("steps").map_or(String::new(), |s| format!(", {s} steps"));
    [
        ("fitted to", format!("{} ({}){steps}", known("input"), known("task"))),
        ("reference", reference),
        ("parameters", spec.parameters().to_string()),
        ("latent grid", grid(spec)),
        ("spectrum", spectrum(spec)),
        ("decoder", network(&spec.decoder)),
        ("regularisers", record.map_or("unknown".into(), regularisers)),
        ("program", format!("nstr {}", env!("CARGO_PKG_VERSION"))),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .to_vec()
}

fn network(mlp: &MlpSpec) -> String {
    let activation = format!("{:?}", mlp.activation).to_lowercase();
    if mlp.layers == 0 { "linear".into() } else { format!("{} × {}, {activation}", mlp.layers, mlp.width) }
}

fn grid(spec: &FieldSpec) -> String {
    if spec.latent.levels.is_empty() {
        return "none".into();
    }
    let levels: Vec<String> = spec.latent.levels.iter().map(|l| l.cells.to_string()).collect();
    let blend = if spec.latent.interpolation == Interpolation::Linear { "linear" } else { "smoothstep" };
    format!("{} cells, {} features, {blend} interpolation", levels.join(", "), spec.latent.features)
}

fn spectrum(spec: &FieldSpec) -> String {
    match (spec.modulates(), spec.basis_width()) {
        (true, k) => format!("{} values for {k} sinusoids, H: {}", spec.spectrum_width(), network(&spec.spectrum)),
        (false, 0) => "none: no sinusoids; z stands for S".into(),
        (false, k) => format!("none: {k} sinusoids that are not modulated; z stands for S"),
    }
}

/// Weights of the terms of the loss that speak of S.
fn regularisers(record: &FitRecord) -> String {
    let train = &record.fit.train;
    let untrained = match (record.fit.field.spec().transports(), train.lambda_pde > 0.0) {
        (true, false) => ": F was not trained, what it says is chance",
        (false, _) => "; there is no F",
        _ => "",
    };
    format!("λ_pde = {}, λ_smooth = {}{untrained}", train.lambda_pde, train.lambda_smooth)
}

/// A signed distance field.
fn surface(
    args: &DiagnoseArgs,
    loaded: &SdfModel,
    record: Option<&FitRecord>,
    init: InitSpec,
    report: &mut Report,
) -> anyhow::Result<ColouredSurface> {
    let sign = record.and_then(|r| r.sign.clone()).unwrap_or_default();
    let mesh = args.reference.as_ref().map(|path| MeshInput::read(path, &sign)).transpose()?;
    let null = fitted_null(args, record, |r| mesh_work(mesh.as_ref(), &loaded.model, r));
    let input = SdfInput {
        model: &loaded.model,
        field: &loaded.field,
        reference: mesh.as_ref().map(|m| Reference { mesh: &m.mesh, query: &m.query }),
        init,
        without_spectrum: null.as_ref().map_err(String::as_str),
    };
    eprintln!("  curvature and spectrum at {} points", args.samples);
    let options = StudyOptions { samples: args.samples, seed: args.seed, ..StudyOptions::default() };
    let (found, surface) = sdf::study(&input, &options).with_context(|| args.model.display().to_string())?;
    report.push("curvature", found);
    Ok(surface)
}

/// Makes what a field is to be fitted to.
type Making = Box<dyn FnOnce(&FieldOp) -> Work>;

/// A field without spectrum fitted for a while to what `work` makes of the model's record, or why there is none.
fn fitted_null(
    args: &DiagnoseArgs,
    record: Option<&FitRecord>,
    work: impl FnOnce(&FitRecord) -> Result<Making, String>,
) -> Result<Parameters, String> {
    if args.null_steps == 0 {
        return Err("--null-steps is 0".into());
    }
    if args.reference.is_none() {
        return Err("it has to be fitted to what the model was fitted to, which was not given".into());
    }
    let record = record.ok_or(UNKNOWN)?;
    let work = work(record)?;
    eprintln!("  fitting a field without spectrum: {} steps", args.null_steps);
    without_spectrum(&seeded(record), work, args.null_steps).map_err(|e| e.to_string())
}

/// Points of the mesh.
fn mesh_work(mesh: Option<&MeshInput>, model: &Model, record: &FitRecord) -> Result<Making, String> {
    let (mesh, sample) = mesh.zip(record.fit.sample.clone()).ok_or(UNKNOWN)?;
    let (query, domain, batch) = (mesh.query.clone(), model.domain.clone(), record.fit.train.batch);
    let source = SdfSource::new(mesh.mesh.clone(), query, domain, sample, batch, record.seed);
    let source = source.ok_or("the reference's faces have no area")?;
    Ok(Box::new(move |_| Work::Points(Arc::new(source))))
}

/// Rays of the capture's training views.
fn capture_work(path: Option<&Path>, model: &Model, record: &FitRecord) -> Result<Making, String> {
    let (rays, how) = record.fit.rays.clone().zip(record.capture.clone()).ok_or(UNKNOWN)?;
    let capture = read_capture(path.ok_or(UNKNOWN)?, &how.options(Split::Train)).map_err(|e| e.to_string())?;
    let (cube, near) = (UnitCube::from(&model.domain), how.near.unwrap_or(capture.scene.near));
    // The hull lies in the cube that was found with it; the model's went through text, which may cost the last digit.
    let found = capture.scene.cube();
    let far = (cube.origin - found.origin).abs().max_element().max((cube.size - found.size).abs());
    let hull = capture.hull.filter(|_| far <= 1e-9 * found.size);
    let void = Void::new(rays.cells, hull, &capture.train, cube, near);
    let pixels = PixelSource::new(Arc::new(capture.train), cube, near).ok_or("the images have no pixels")?;
    let seed = record.seed;
    let task = move |op: &FieldOp| RadianceTask::new(op, Arc::new(pixels), rays, seed, |i| void.get(i));
    Ok(Box::new(move |op| Work::Rays(Box::new(task(op)))))
}

/// Samples of the picture or sound.
fn signal_work(signal: Option<&Signal>, info: &SignalInfo, record: &FitRecord) -> Result<Making, String> {
    let (signal, how) = signal.zip(record.fit.signal.as_ref()).ok_or(UNKNOWN)?;
    let source = SignalSource::new(signal, info.transform(), how, record.fit.train.batch, record.seed);
    let source = source.ok_or("its settings leave nothing to learn from")?;
    Ok(Box::new(move |_| Work::Signal(Arc::new(source))))
}

/// A radiance field.
fn views(
    args: &DiagnoseArgs,
    loaded: &RadianceModel,
    record: Option<&FitRecord>,
    init: InitSpec,
    report: &mut Report,
) -> anyhow::Result<()> {
    let renderer = loaded.renderer()?;
    let views = match &args.reference {
        Some(path) => capture_views(path, record)?,
        None => Vec::new(),
    };
    let orbit = Orbit { frames: VIEWS, size: (VIEW_SIZE, VIEW_SIZE), up: Up::Z, ..Orbit::default() };
    let around = if views.is_empty() { orbit.cameras(renderer.bounds())? } else { Vec::new() };
    let of_capture = views.iter().map(|v| v as &dyn RayCaster);
    let all: Vec<&dyn RayCaster> = of_capture.chain(around.iter().map(|c| c as &dyn RayCaster)).collect();
    let null = fitted_null(args, record, |r| capture_work(args.reference.as_deref(), &loaded.model, r));
    eprintln!("  depth and spectrum in {} views", all.len());
    let input = RadianceInput {
        model: &loaded.model,
        renderer: &renderer,
        views: &all,
        init,
        without_spectrum: null.as_ref().map_err(String::as_str),
    };
    report.push("depth", radiance::study(&input, args.seed)?);
    Ok(())
}

/// A few views of a capture, small.
fn capture_views(path: &Path, record: Option<&FitRecord>) -> anyhow::Result<Vec<View>> {
    let how = record.and_then(|r| r.capture.clone()).context("the model was not fitted to a capture")?;
    let capture = read_capture(path, &how.options(Split::Test))?;
    let found =
        if capture.test.is_empty() { read_capture(path, &how.options(Split::Train))?.train } else { capture.test };
    let stride = found.len().div_ceil(VIEWS).max(1);
    let small = |v: &View| v.thinned(v.camera.width.max(v.camera.height).div_ceil(VIEW_SIZE));
    Ok(found.iter().step_by(stride).map(small).collect())
}

/// Most pixels along the longest side of a picture, and frames of a sound, at which a signal is looked at.
const PIXELS: usize = 320;
const FRAMES: usize = 1 << 16;

/// A picture or a sound.
fn signal(
    args: &DiagnoseArgs,
    loaded: &SignalModel,
    record: Option<&FitRecord>,
    init: InitSpec,
    report: &mut Report,
) -> anyhow::Result<()> {
    let [width, height] = loaded.info.size();
    let reference = args.reference.as_deref().map(|path| like(path, loaded)).transpose()?;
    // Pictures are looked at through boxes, sounds from their beginning.
    let (lattice, seen) = match loaded.info {
        SignalInfo::Picture { .. } => {
            let n = width.max(height).div_ceil(PIXELS).min(width.min(height));
            (Lattice::picture(width, height, n), reference.as_ref().and_then(|r| r.reduced(n)))
        }
        SignalInfo::Sound { .. } => (Lattice::sound(width, FRAMES), reference.clone()),
    };
    let codec = loaded.info.transform();
    let values = seen.map(|s| -> Vec<f64> {
        let all = s.data().iter().map(|v| f64::from(codec.encode(*v)));
        all.take(lattice.size.0 * lattice.size.1 * s.channels()).collect()
    });
    let null = fitted_null(args, record, |r| signal_work(reference.as_ref(), &loaded.info, r));
    eprintln!("  spectrum at {} places", lattice.size.0 * lattice.size.1);
    let input = SignalInput {
        model: &loaded.model,
        init,
        lattice: &lattice,
        reference: values.as_deref(),
        without_spectrum: null.as_ref().map_err(String::as_str),
    };
    report.push("regions", maps::study(&input, args.seed));
    if let Some(omega) = reference.as_ref().and_then(frequency::known) {
        eprintln!("  local frequency");
        report.push("frequency", questions::recovery(&loaded.model, &init, &lattice, &omega, args.seed));
    }
    Ok(())
}

/// The picture or sound that a model was fitted to.
fn like(path: &Path, loaded: &SignalModel) -> anyhow::Result<Signal> {
    let signal = Signal::read(path)?;
    let outputs = loaded.model.spec.outputs;
    if signal.size() != loaded.info.size() || signal.channels() != outputs {
        let ([w, h], [a, b]) = (signal.size(), loaded.info.size());
        bail!(
            "{}: {w}x{h} samples of {} values, but the model stands for {a}x{b} of {outputs}",
            path.display(),
            signal.channels()
        );
    }
    Ok(signal)
}

/// Why no null model can be fitted.
const UNKNOWN: &str = "the model file does not say how it was fitted";

/// The settings of a fit with its seed.
fn seeded(record: &FitRecord) -> FitConfig {
    let mut fit = record.fit.clone();
    fit.field.init.seed = record.seed;
    fit
}

/// The surface in the colours of ∇S and of curvature, with all values at its vertices.
fn write_surfaces(folder: &Path, surface: &ColouredSurface) -> anyhow::Result<()> {
    let values: Vec<(&str, &[f32])> = surface.attributes.values.iter().map(|(n, v)| (*n, v.as_slice())).collect();
    for (name, colours) in ["surface-grad-s.ply", "surface-curvature.ply"].iter().zip(&surface.colours) {
        let data = VertexData { normals: &surface.attributes.normals, colours, values: &values };
        write_ply_with(&folder.join(name), &surface.mesh, data)?;
    }
    Ok(())
}
