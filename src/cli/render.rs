//! `nstr render`: pictures of a model.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use nstr::field::model::Model;
use nstr::render::cpu::{Filter, Shading, ShadingMode};
use nstr::render::image::{Rgba8, exr, folder, gif, png};
use nstr::render::layers::{Range, picture};
use nstr::render::{
    Background, Camera, Frame, Layer, LayerSet, Orbit, RenderSettings, SphereTracer, TracerSettings, UnitCube, Up,
    read_cameras,
};

use super::load;

/// Arguments of `nstr render`.
#[derive(Args)]
pub struct RenderArgs {
    /// Model to render
    model: PathBuf,
    /// What to write: .png, .exr (all layers), .gif, or a folder of frames
    #[arg(short, long, value_name = "FILE|DIR")]
    output: PathBuf,
    /// Camera, in the form of a transforms.json frame
    #[arg(long, value_name = "JSON", conflicts_with_all = ["orbit", "path"])]
    camera: Option<PathBuf>,
    /// Cameras along a path: a transforms.json with `frames`
    #[arg(long, value_name = "JSON", conflicts_with = "orbit")]
    path: Option<PathBuf>,
    /// Turn around the model in N frames
    #[arg(long, value_name = "N")]
    orbit: Option<usize>,
    /// Pixels [default: the camera's, or 800x800]
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    size: Option<(u32, u32)>,
    /// Samples a pixel
    #[arg(long, default_value_t = 4, value_name = "N")]
    spp: u32,
    /// Layers: colour, alpha, depth.ray, depth.z, position, normal, steps, gradS, S. A PNG or GIF shows the first
    #[arg(long, default_value = "colour", value_name = "LIST")]
    layers: LayerSet,
    /// studio, headlight or matcap
    #[arg(long, default_value = "studio")]
    shading: ShadingMode,
    /// white, black, transparent or #rrggbb
    #[arg(long, default_value = "white")]
    background: Background,
    /// Ambient occlusion
    #[arg(long)]
    ao: bool,
    /// Soft shadow of the key light
    #[arg(long)]
    shadow: bool,
    /// Degrees above the horizon, without --camera and --path
    #[arg(long, default_value_t = 20.0, allow_negative_numbers = true)]
    elevation: f64,
    /// Degrees around the up axis, without --camera and --path
    #[arg(long, default_value_t = 30.0, allow_negative_numbers = true)]
    azimuth: f64,
    /// Which axis points up: y or z
    #[arg(long, default_value = "y")]
    up: Up,
    /// Print rays, evaluations and seconds
    #[arg(long)]
    stats: bool,
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    parsed
        .filter(|(w, h)| (1..=32768).contains(w) && (1..=32768).contains(h))
        .ok_or_else(|| "must be WxH, each 1 to 32768, for example 800x600".into())
}

/// Runs `nstr render`.
pub fn run(args: &RenderArgs) -> anyhow::Result<()> {
    let loaded = load::model(&args.model)?;
    let tracer = SphereTracer::new(&loaded.field, UnitCube::from(&loaded.model.domain), TracerSettings::default())?;
    let cameras = cameras(args, &tracer)?;
    let kind = args.output.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    let single = cameras.len() == 1;
    if !single && matches!(kind.as_str(), "png" | "exr") {
        bail!("{}: {} frames need a .gif or a folder", args.output.display(), cameras.len());
    }
    if !["png", "exr", "gif", ""].contains(&kind.as_str()) {
        bail!("{}: pictures are .png, .exr, .gif, or a folder of PNGs", args.output.display());
    }
    let shading = Shading { mode: args.shading, shadow: args.shadow, ambient_occlusion: args.ao, ..Shading::default() };
    let settings = RenderSettings {
        layers: if kind == "exr" && args.layers == LayerSet::default() { LayerSet::all() } else { args.layers },
        samples: args.spp,
        filter: if args.spp > 1 { Filter::Tent } else { Filter::Box },
        shading,
        background: args.background,
        seed: 0,
    };
    let mut pictures = Vec::new();
    for camera in &cameras {
        let frame = tracer.render(camera, &settings)?;
        if args.stats {
            let s = &frame.stats;
            println!(
                "{:.3} s: {} rays, {} hits, {} evaluations ({:.2} a ray), {} gradients, {} for shadows and occlusion, {} rays out of steps",
                s.seconds,
                s.rays,
                s.hits,
                s.evals,
                s.evals_per_ray(),
                s.gradient_evals,
                s.secondary_evals,
                s.exhausted
            );
        }
        if kind == "exr" {
            exr::write(&args.output, &frame)?;
        } else {
            pictures.push(show(&frame, args.layers)?);
        }
    }
    match kind.as_str() {
        "exr" => {}
        "png" => png::write(&args.output, pictures.first().context("no frame")?)?,
        "gif" => gif::write(&args.output, &pictures, 4)?,
        _ => {
            folder::write(&args.output, &pictures)?;
        }
    }
    println!("wrote {} ({} frames)", args.output.display(), cameras.len());
    Ok(())
}

/// The first layer asked for, as a picture.
fn show(frame: &Frame, layers: LayerSet) -> anyhow::Result<Rgba8> {
    let layer = layers.iter().next().unwrap_or(Layer::Colour);
    picture(frame, layer, 0, Range::Auto).with_context(|| format!("the layer {layer} is empty"))
}

fn cameras(args: &RenderArgs, tracer: &SphereTracer) -> anyhow::Result<Vec<Camera>> {
    if let Some(file) = args.camera.as_ref().or(args.path.as_ref()) {
        let mut cameras = read_cameras(file, args.size)?;
        if let Some((w, h)) = args.size {
            cameras.iter_mut().for_each(|c| *c = c.resized(w, h));
        }
        if args.camera.is_some() {
            cameras.truncate(1);
        }
        return Ok(cameras);
    }
    let frames = args.orbit.unwrap_or(1);
    if !(1..=100_000).contains(&frames) {
        bail!("--orbit {frames}: must be 1 to 100000");
    }
    let orbit = Orbit {
        frames,
        size: args.size.unwrap_or((800, 800)),
        elevation: args.elevation,
        azimuth: args.azimuth,
        up: args.up,
        ..Orbit::default()
    };
    Ok(orbit.cameras(tracer.bounds())?)
}

/// The picture that `nstr fit --render` writes.
pub fn portrait(model: &Model, path: &Path) -> anyhow::Result<()> {
    let field = load::field(model);
    let tracer = SphereTracer::new(&field, UnitCube::from(&model.domain), TracerSettings::default())?;
    let orbit = Orbit { frames: 1, size: (800, 800), elevation: 20.0, azimuth: 30.0, ..Orbit::default() };
    let shading = Shading { shadow: true, ambient_occlusion: true, ..Shading::default() };
    let settings = RenderSettings { samples: 8, filter: Filter::Tent, shading, ..RenderSettings::default() };
    let camera = orbit.cameras(tracer.bounds())?.into_iter().next().context("no camera")?;
    let frame = tracer.render(&camera, &settings)?;
    png::write(path, &frame.to_srgb())?;
    println!("wrote {} ({:.2} s)", path.display(), frame.stats.seconds);
    Ok(())
}
