//! `nstr render`: pictures of a model, or its picture or sound.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use nstr_camera::camera::Camera;
use nstr_camera::camera_arc::CameraArc;
use nstr_camera::camera_file::read_cameras;
use nstr_camera::orbit::{Orbit, Up};
use nstr_camera::spiral::Spiral;
use nstr_capture::{CameraPathKind, PATH_FRAMES};
use nstr_field::model::Model;
use nstr_image::colour::Background;
use nstr_image::video::Video;
use nstr_image::{Rgba8, folder, gif, png};
use nstr_pipeline::{Field, Renderer, RendererChoice};
use nstr_render::exr;
use nstr_render::{Backdrop, Filter, Look, Shading};
use nstr_render::{Frame, Layer, LayerSet, RenderSettings, Section, SectionView};
use nstr_render::{ValueRange, layer_image};

use super::earlier::check_original;
use super::output::{Outputs, hold_folder};
use super::plural::plural;
use super::render_signal::{self, SignalArgs};
use super::terminal::{stderr, stdout};

/// Arguments of `nstr render`.
#[derive(Args)]
pub struct RenderArgs {
    /// Model to render
    model: PathBuf,
    /// File or folder to write: .png, .exr (all layers), .gif, .mp4 (through an installed ffmpeg), or a folder of frames; of a picture
    /// .png or .exr, of a sound .wav
    #[arg(short, long, value_name = "FILE|DIR")]
    output: PathBuf,
    /// Camera, in the form of a transforms.json frame
    #[arg(long, value_name = "JSON", conflicts_with_all = ["orbit", "spiral", "path"])]
    camera: Option<PathBuf>,
    /// Cameras along a path: a transforms.json with `frames`; or, with --capture, spiral (about the mean of cameras that look the
    /// same way) or cameras (smoothly through the places of the capture's cameras, turned as they were)
    #[arg(long, value_name = "JSON|spiral|cameras", conflicts_with_all = ["orbit", "spiral"])]
    path: Option<PathBuf>,
    /// Capture that the model was fitted to, for --path spiral and --path cameras; pictures have the size of its images
    #[arg(long, value_name = "CAPTURE", requires = "path")]
    capture: Option<PathBuf>,
    /// Frames of --path spiral and --path cameras [default: 120]
    #[arg(long, value_name = "N", requires = "capture")]
    frames: Option<usize>,
    /// Turn around the model in N frames; around what a capture shows from one side only, go along the arc of its cameras
    /// and back, unless --elevation, --azimuth or --up is given
    #[arg(long, value_name = "N")]
    orbit: Option<usize>,
    /// The same on a rising and falling path
    #[arg(long, value_name = "N", conflicts_with = "orbit")]
    spiral: Option<usize>,
    /// Frames a second of a .gif or .mp4
    #[arg(long, default_value_t = 25, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=120))]
    fps: u32,
    /// Pixels [default: the camera's, or 800x800]
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    size: Option<(u32, u32)>,
    /// Samples a pixel [default: 4 for signed distances, 1 for radiance]
    #[arg(long, value_name = "N")]
    spp: Option<u32>,
    /// Layers: all, depth (both), or some of colour, alpha, depth.ray, depth.z, position, normal, curvature, steps, gradS,
    /// residual, S. A PNG or GIF shows the first in this order
    #[arg(long, default_value = "colour", value_name = "LIST")]
    layers: LayerSet,
    /// Signed distances: studio, clay, headlight, matcap, normals, or plain (no shadow, no graded background)
    #[arg(long, default_value = "studio", value_name = "NAME", visible_alias = "shading")]
    look: Look,
    /// white, black, transparent or #rrggbb [default: graded with the object's shadow for signed distances, white in .exr files and
    /// with --look plain; the plain background of the capture that was fitted, else white]
    #[arg(long)]
    background: Option<Background>,
    /// Signed distances: ambient occlusion by the field itself, exact and slower
    #[arg(long)]
    ao: bool,
    /// Signed distances: soft shadow of the key light by the field itself, exact and slower
    #[arg(long)]
    shadow: bool,
    /// Cut away what lies where NX·x + NY·y + NZ·z > OFFSET, in world units
    #[arg(long, value_name = "NX,NY,NZ,OFFSET", allow_hyphen_values = true)]
    section: Option<Section>,
    /// Show the field on the section in false colours: signed distances in blue inside and red outside with lines every
    /// 1/40 of the cube's edge, or 1 - exp(-density/100)
    #[arg(long, requires = "section")]
    section_field: bool,
    /// Opacity of the field on the section, 0 to 1: what is behind is seen through it (CPU)
    #[arg(long, default_value_t = 1.0, value_name = "SHARE", requires = "section_field", value_parser = parse_share)]
    section_opacity: f32,
    /// Degrees above the horizon, without --camera and --path [default: 20, or as the cameras of a one-sided capture or an open scene]
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true, conflicts_with_all = ["camera", "path"])]
    elevation: Option<f64>,
    /// Degrees around the up axis, without --camera and --path [default: 30, or as the cameras of a one-sided capture or an open scene]
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true, conflicts_with_all = ["camera", "path"])]
    azimuth: Option<f64>,
    /// Which axis points up: y or z [default: y for meshes, z for captures]
    #[arg(long)]
    up: Option<Up>,
    /// Renderer: auto (a GPU where there is a real one), cpu or gpu (any adapter, software drivers too)
    #[arg(long, default_value = "auto")]
    renderer: RendererChoice,
    /// Print rays, evaluations and seconds
    #[arg(long)]
    stats: bool,
    /// Replace the picture or sound that the model was fitted to, or pictures of a capture, should the output be one
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    signal: SignalArgs,
}

impl RenderArgs {
    /// Refuses options that a picture or a sound has no use for.
    fn check_without_views(&self) -> anyhow::Result<()> {
        let given = [
            ("--camera", self.camera.is_some()),
            ("--path", self.path.is_some()),
            ("--capture", self.capture.is_some()),
            ("--orbit", self.orbit.is_some()),
            ("--spiral", self.spiral.is_some()),
            ("--ao", self.ao),
            ("--shadow", self.shadow),
            ("--section", self.section.is_some()),
            ("--elevation", self.elevation.is_some()),
            ("--azimuth", self.azimuth.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => bail!("{name} is for models of meshes and captures"),
            None => Ok(()),
        }
    }

    /// The path among a capture's cameras that is asked for, and the capture.
    fn path_among_cameras(&self) -> anyhow::Result<Option<(CameraPathKind, &Path)>> {
        let kind = self.path.as_deref().and_then(Path::to_str).and_then(|path| path.parse::<CameraPathKind>().ok());
        match (kind, self.capture.as_deref()) {
            (Some(kind), Some(capture)) => Ok(Some((kind, capture))),
            (Some(kind), None) => {
                bail!("--path {kind} needs --capture CAPTURE; a file of that name is --path ./{kind}")
            }
            (None, Some(_)) => bail!("--capture is for --path spiral and --path cameras"),
            (None, None) => Ok(None),
        }
    }

    /// Light and material of the look, with the exact rays that are asked for.
    fn shading(&self) -> Shading {
        let look = self.look.shading();
        match self.ao || self.shadow {
            true => Shading { is_coarse: false, shadow: self.shadow, ambient_occlusion: self.ao, ..look },
            false => look,
        }
    }

    fn section_view(&self) -> SectionView {
        if self.section_field { SectionView::Field } else { SectionView::Cut }
    }
}

fn parse_share(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|v| (0.0..=1.0).contains(v)).ok_or_else(|| "must be 0 to 1".into())
}

pub fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    parsed
        .filter(|(w, h)| (1..=32768).contains(w) && (1..=32768).contains(h))
        .ok_or_else(|| "must be WxH, each 1 to 32768, for example 800x600".into())
}

/// Default size of a picture in pixels.
const DEFAULT_SIZE: (u32, u32) = (800, 800);
/// Default elevation and azimuth of the camera, degrees.
const DEFAULT_VIEW: (f64, f64) = (20.0, 30.0);

/// Endings that `--output` may have; none: a folder.
const ENDINGS: [&str; 5] = ["png", "exr", "gif", "mp4", ""];
/// Endings of files, of models of any kind.
const FILE_ENDINGS: [&str; 5] = ["png", "exr", "gif", "mp4", "wav"];

/// Runs `nstr render`.
pub fn run(args: &RenderArgs) -> anyhow::Result<()> {
    let kind = args.output.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    // The words of --path name no file.
    let path = if args.path_among_cameras()?.is_some() { &args.capture } else { &args.path };
    let cameras_from = [&args.camera, path].into_iter().flatten();
    let mut outputs = Outputs::of([&args.model].into_iter().chain(cameras_from)).overwrite(args.overwrite);
    match kind.as_str() {
        "" => outputs.folder(&args.output, &[])?,
        // Which of them fit, the model says.
        _ => outputs.file(&args.output, "the name of a picture or a sound", &FILE_ENDINGS)?,
    }
    let field = Field::load(&args.model)?;
    if !kind.is_empty() {
        check_original(&args.output, field.model(), args.overwrite)?;
    }
    if let Field::Signal(signal) = &field {
        args.check_without_views()?;
        return render_signal::run(signal, &args.output, args.size, &args.signal);
    }
    if !args.signal.is_default() {
        bail!("--crop is for models of pictures, --rate for those of sounds");
    }
    if !ENDINGS.contains(&kind.as_str()) {
        bail!("{}: pictures are .png, .exr, .gif, .mp4, or a folder of PNGs", args.output.display());
    }
    // The shaders' planes are opaque.
    let choice = match args.section_opacity < 1.0 && args.renderer == RendererChoice::Auto {
        true => RendererChoice::Cpu,
        false => args.renderer,
    };
    if args.section_opacity < 1.0 && choice == RendererChoice::Gpu {
        bail!("--section-opacity needs the CPU renderer: leave out --renderer gpu");
    }
    let renderer = Renderer::new(&field, choice)?;
    if let Some(warning) = renderer.warning() {
        stderr!("warning: {warning}");
    }
    let cameras = cameras(args, &renderer, &field)?;
    if cameras.len() > 1 && matches!(kind.as_str(), "png" | "exr") {
        bail!("{}: {} frames need a .gif, an .mp4 or a folder", args.output.display(), cameras.len());
    }
    let _held = match kind.as_str() {
        "" => {
            let mut frames = (0..cameras.len()).map(|i| folder::frame_path(&args.output, i, cameras.len(), "png"));
            frames.try_for_each(|frame| check_original(&frame, field.model(), args.overwrite))?;
            Some(hold_folder(&args.output)?)
        }
        _ => None,
    };
    let backdrop = match (args.background, kind.as_str()) {
        (None, kind) if kind != "exr" && args.look.has_backdrop() && args.layers.needs_colour() => {
            renderer.backdrop(args.section.is_none())
        }
        _ => None,
    };
    let layers = match kind.as_str() {
        "exr" if args.layers == LayerSet::default() => LayerSet::all(),
        // Pictures of data show what was hit.
        k if k != "exr" && args.layers.needs_centre() => args.layers.with(Layer::DepthRay),
        _ => args.layers,
    };
    let settings = RenderSettings {
        layers,
        samples: args.spp.unwrap_or(if renderer.traces_surface() { 4 } else { 1 }),
        filter: Filter::Tent,
        shading: args.shading(),
        background: match &backdrop {
            Some(_) => Background::Transparent,
            None => args.background.unwrap_or(field.background()),
        },
        section: args.section.map(|s| Section { show: args.section_view(), ..s }),
        section_opacity: args.section_opacity,
        seed: 0,
    };
    let settings =
        RenderSettings { filter: if settings.samples > 1 { settings.filter } else { Filter::Box }, ..settings };
    let mut video = match (kind.as_str(), cameras.first()) {
        ("mp4", Some(c)) => Some(Video::start(&args.output, (c.width, c.height), f64::from(args.fps))?),
        _ => None,
    };
    let mut pictures = Vec::new();
    for camera in &cameras {
        let mut frame = renderer.render(camera, &settings)?;
        if args.stats {
            print_stats(&frame, &renderer);
        }
        if let Some(backdrop) = &backdrop {
            backdrop.fill(&mut frame, camera);
        }
        if kind == "exr" {
            exr::write(&args.output, &frame)?;
        } else if let Some(video) = &mut video {
            video.push(&show(&frame, args.layers)?)?;
        } else {
            pictures.push(show(&frame, args.layers)?);
        }
    }
    match kind.as_str() {
        "exr" => {}
        "mp4" => video.map_or(Ok(()), Video::finish)?,
        "png" => png::write(&args.output, pictures.first().context("no frame")?)?,
        "gif" => gif::write(&args.output, &pictures, (100 / args.fps).max(1) as u16)?,
        _ => {
            folder::write(&args.output, &pictures)?;
        }
    }
    stdout!("wrote {} ({})", args.output.display(), plural(cameras.len(), "frame"));
    Ok(())
}

fn print_stats(frame: &Frame, renderer: &Renderer<'_>) {
    let s = &frame.stats;
    if let Some(adapter) = renderer.adapter() {
        stdout!("{:.3} s: {} rays on {adapter}", s.seconds, s.rays);
        return;
    }
    let start =
        format!("{:.3} s: {} rays, {} evaluations ({:.2} a ray)", s.seconds, s.rays, s.evals, s.evals_per_ray());
    match renderer.traces_surface() {
        true => stdout!(
            "{start}, {} hits, {} gradients, {} for shadows and occlusion, {} rays out of steps",
            s.hits,
            s.gradient_evals,
            s.secondary_evals,
            s.exhausted
        ),
        false => stdout!("{start}"),
    }
}

/// The first layer asked for, as a picture.
fn show(frame: &Frame, layers: LayerSet) -> anyhow::Result<Rgba8> {
    let layer = layers.iter().next().unwrap_or(Layer::Colour);
    layer_image(frame, layer, 0, ValueRange::Auto).with_context(|| format!("the layer {layer} is empty"))
}

fn cameras(args: &RenderArgs, renderer: &Renderer<'_>, field: &Field) -> anyhow::Result<Vec<Camera>> {
    if let Some((kind, capture)) = args.path_among_cameras()? {
        let Field::Radiance(model) = field else { bail!("--capture is for models of captures") };
        let frames = args.frames.unwrap_or(PATH_FRAMES);
        check_frames("--frames", frames)?;
        let (cameras, found) = model.camera_path(&args.model, capture, kind, frames, args.size)?;
        if found != kind {
            stderr!(
                "note: the cameras do not look the same way: the path goes through their places, as --path {found}"
            );
        }
        return Ok(cameras);
    }
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
    for (name, frames) in [("--orbit", args.orbit), ("--spiral", args.spiral)] {
        frames.map_or(Ok(()), |frames| check_frames(name, frames))?;
    }
    let (frames, size) = (args.spiral.or(args.orbit).unwrap_or(1), args.size.unwrap_or(DEFAULT_SIZE));
    let follows_arc = args.elevation.is_none() && args.azimuth.is_none() && args.up.is_none();
    let orbit = Orbit {
        frames,
        size,
        elevation: args.elevation.unwrap_or(DEFAULT_VIEW.0),
        azimuth: args.azimuth.unwrap_or(DEFAULT_VIEW.1),
        up: args.up.unwrap_or(renderer.up()),
        ..Orbit::default()
    };
    around(renderer, field.camera_arc().filter(|_| follows_arc), orbit, args.spiral.is_some())
}

fn check_frames(option: &str, frames: usize) -> anyhow::Result<()> {
    if !(1..=100_000).contains(&frames) {
        bail!("{option} {frames}: must be 1 to 100000");
    }
    Ok(())
}

/// Cameras on the arc of a one-sided capture or an open scene, else on `orbit`; at changing heights where `rising`.
fn around(
    renderer: &Renderer<'_>,
    camera_arc: Option<CameraArc>,
    orbit: Orbit,
    rising: bool,
) -> anyhow::Result<Vec<Camera>> {
    Ok(match camera_arc {
        Some(camera_arc) => camera_arc.cameras(orbit.frames, orbit.size, rising)?,
        None if rising => Spiral { orbit, ..Spiral::default() }.cameras(renderer.bounds())?,
        None => orbit.cameras(renderer.bounds())?,
    })
}

/// The picture or sound that `nstr fit --render` writes of the model that was written to `from`.
pub fn portrait(from: &Path, model: Model, path: &Path) -> anyhow::Result<()> {
    let field = Field::open(from, model)?;
    if let Field::Signal(model) = &field {
        render_signal::write(&model.reconstruct(), path)?;
        stdout!("wrote {}", path.display());
        return Ok(());
    }
    let renderer = Renderer::new(&field, RendererChoice::Auto)?;
    let backdrop: Option<Backdrop> = renderer.backdrop(true);
    let settings = RenderSettings {
        samples: 8,
        filter: Filter::Tent,
        shading: Shading { is_coarse: false, ..Look::default().shading() },
        background: if backdrop.is_some() { Background::Transparent } else { field.background() },
        ..RenderSettings::default()
    };
    let orbit = Orbit {
        size: DEFAULT_SIZE,
        elevation: DEFAULT_VIEW.0,
        azimuth: DEFAULT_VIEW.1,
        up: renderer.up(),
        ..Orbit::default()
    };
    let cameras = around(&renderer, field.camera_arc(), orbit, false)?;
    let samples = if renderer.traces_surface() { settings.samples } else { 4 };
    let camera = cameras.first().context("no camera")?;
    let mut frame = renderer.render(camera, &RenderSettings { samples, ..settings })?;
    if let Some(backdrop) = backdrop {
        backdrop.fill(&mut frame, camera);
    }
    png::write(path, &frame.to_srgb())?;
    stdout!("wrote {} ({:.2} s)", path.display(), frame.stats.seconds);
    Ok(())
}
