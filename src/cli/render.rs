//! `nstr render`: pictures of a model, or its picture or sound.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use glam::DVec3;
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
use nstr_render::{Filter, Look, Shading};
use nstr_render::{Layer, LayerSet, RenderSettings, RenderStats, Section, SectionScale, SectionView};

use super::device_choice;
use super::earlier::check_original;
use super::layer_pictures::{LayerPictures, has_bar, multisamples};
use super::output::{Outputs, hold_folder};
use super::plural::plural;
use super::progress::ProgressDisplay;
use super::render_signal::{self, SignalArgs};
use super::terminal::{stderr, stdout};

/// Arguments of `nstr render`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct RenderArgs {
    /// Model to render
    model: PathBuf,
    /// File or folder to write: .png, .exr (all layers), .gif, .mp4 (through an installed ffmpeg), or a folder of frames; of a
    /// picture .png or .exr, of a sound .wav. Several layers go to NAME.LAYER.png and so on
    #[arg(short, long, value_name = "FILE|DIR")]
    output: PathBuf,
    /// Pixels [default: the camera's, or 800x800]
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    size: Option<(u32, u32)>,
    /// Samples a pixel [default: 4 for signed distances, 1 for radiance]
    #[arg(long, value_name = "N")]
    spp: Option<u32>,
    /// Renderer: auto (a GPU where there is a real one), cpu or gpu (any adapter, software drivers too) [default: auto]
    #[arg(long, value_name = "RENDERER")]
    renderer: Option<RendererChoice>,
    /// Print rays, evaluations and seconds
    #[arg(long)]
    stats: bool,
    /// Replace the picture or sound that the model was fitted to, or pictures of a capture, should the output be one
    #[arg(long)]
    overwrite: bool,

    /// Camera, in the form of a transforms.json frame
    #[arg(long, value_name = "JSON", conflicts_with_all = ["orbit", "spiral", "path"], help_heading = CAMERA)]
    camera: Option<PathBuf>,
    /// Degrees above the horizon, without --camera and --path [default: 20, or as the cameras of a one-sided capture or an open
    /// scene]
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true, conflicts_with_all = ["camera", "path"], help_heading = CAMERA)]
    elevation: Option<f64>,
    /// Degrees around the up axis, without --camera and --path [default: 30, or as the cameras of a one-sided capture or an open
    /// scene]
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true, conflicts_with_all = ["camera", "path"], help_heading = CAMERA)]
    azimuth: Option<f64>,
    /// Which axis points up: y or z [default: y for meshes, z for captures]
    #[arg(long, value_name = "y|z", conflicts_with_all = ["camera", "path"], help_heading = CAMERA)]
    up: Option<Up>,

    /// Turn around the model in N frames; around what a capture shows from one side only, go along the arc of its cameras
    /// and back, unless --elevation, --azimuth or --up is given
    #[arg(long, value_name = "N", help_heading = ANIMATIONS)]
    orbit: Option<usize>,
    /// The same on a rising and falling path
    #[arg(long, value_name = "N", conflicts_with = "orbit", help_heading = ANIMATIONS)]
    spiral: Option<usize>,
    /// Cameras along a path: a transforms.json with `frames`; or, with --capture, spiral (about the mean of cameras that look
    /// the same way) or cameras (smoothly through the places of the capture's cameras, turned as they were)
    #[arg(long, value_name = "JSON|spiral|cameras", conflicts_with_all = ["orbit", "spiral"], help_heading = ANIMATIONS)]
    path: Option<PathBuf>,
    /// Capture that the model was fitted to, for --path spiral and --path cameras; pictures have the size of its images
    #[arg(long, value_name = "CAPTURE", requires = "path", help_heading = ANIMATIONS)]
    capture: Option<PathBuf>,
    /// Frames of --path spiral and --path cameras [default: 120]
    #[arg(long, value_name = "N", requires = "capture", help_heading = ANIMATIONS)]
    frames: Option<usize>,
    /// Frames a second of a .gif or .mp4 [default: 25]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=120), help_heading = ANIMATIONS)]
    fps: Option<u32>,

    /// Layers, as names with commas: colour, alpha, depth.ray, depth.z, position, normal, curvature, steps, gradS, residual, S,
    /// or all [default: colour; of .exr all]. Aliases: color, shaded, opacity, depth (depth.ray), normals, gradient, spectrum
    #[arg(long, value_name = "LIST", visible_alias = "layer", help_heading = LAYERS)]
    layers: Option<LayerSet>,
    /// Values at both ends of false colours [default: lowest and highest on the object, one range for all frames]
    #[arg(long, value_name = "LOW,HIGH", value_parser = parse_range, allow_hyphen_values = true, help_heading = LAYERS)]
    range: Option<(f32, f32)>,
    /// Leave out the bar with numbers beside false colours: the picture has the size that was asked for
    #[arg(long, help_heading = LAYERS)]
    no_legend: bool,

    /// Look of a surface: studio, clay, headlight, matcap, normals, or plain (no shadow, no graded background)
    /// [default: studio]
    #[arg(long, value_name = "LOOK", visible_alias = "shading", help_heading = LOOK)]
    look: Option<Look>,
    /// Ambient occlusion of a surface by the field itself, exact and slower; not in the look matcap
    #[arg(long, help_heading = LOOK)]
    ao: bool,
    /// Soft shadow of the key light by the field itself, exact and slower; in the looks studio, clay and plain
    #[arg(long, help_heading = LOOK)]
    shadow: bool,
    /// white, black, transparent or #rrggbb [default: graded with the object's shadow for surfaces, white in .exr files and with
    /// --look plain; the plain background of the capture that was fitted, else white]
    #[arg(long, value_name = "COLOUR", help_heading = LOOK)]
    background: Option<Background>,
    /// Cut away what lies where NX·x + NY·y + NZ·z > OFFSET, in world units
    #[arg(long, value_name = "NX,NY,NZ,OFFSET", allow_hyphen_values = true, help_heading = LOOK)]
    section: Option<Section>,
    /// Show the field on the section, in the object's box and a margin, in false colours with a bar: signed distances in blue
    /// inside and red outside with lines every 1/40 of the cube's edge, or 1 - exp(-density/100)
    #[arg(long, requires = "section", help_heading = LOOK)]
    section_field: bool,
    /// Opacity of the field on the section, 0 to 1: what is behind is seen through it (CPU) [default: 1]
    #[arg(long, value_name = "SHARE", requires = "section_field", value_parser = parse_share, help_heading = LOOK)]
    section_opacity: Option<f32>,

    #[command(flatten, next_help_heading = "Pictures and sounds")]
    signal: SignalArgs,
}

const CAMERA: &str = "Camera";
const ANIMATIONS: &str = "Animations";
const LAYERS: &str = "Layers";
const LOOK: &str = "Look";

const EXAMPLES: &str = "\
Examples:
  nstr render chair.safetensors -o chair.png --ao --shadow
  nstr render chair.safetensors -o chair.png --layers normal,depth,curvature
  nstr render scene.safetensors -o around.mp4 --orbit 120 --size 1280x720";

impl RenderArgs {
    /// Refuses options that a picture or a sound has no use for.
    fn check_without_views(&self) -> anyhow::Result<()> {
        let given = [
            ("--camera", self.camera.is_some()),
            ("--path", self.path.is_some()),
            ("--capture", self.capture.is_some()),
            ("--orbit", self.orbit.is_some()),
            ("--spiral", self.spiral.is_some()),
            ("--fps", self.fps.is_some()),
            ("--spp", self.spp.is_some()),
            ("--layers", self.layers.is_some()),
            ("--range", self.range.is_some()),
            ("--no-legend", self.no_legend),
            ("--look", self.look.is_some()),
            ("--ao", self.ao),
            ("--shadow", self.shadow),
            ("--background", self.background.is_some()),
            ("--section", self.section.is_some()),
            ("--elevation", self.elevation.is_some()),
            ("--azimuth", self.azimuth.is_some()),
            ("--up", self.up.is_some()),
            ("--renderer", self.renderer.is_some()),
            ("--stats", self.stats),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => bail!("{name} is for models of meshes and captures; leave it out"),
            None => Ok(()),
        }
    }

    /// Refuses options that would change nothing of an output of this kind with these layers, of a surface or a radiance field.
    fn check_effect(&self, kind: &str, layers: LayerSet, is_surface: bool) -> anyhow::Result<()> {
        let has = |layer| layers.contains(layer);
        let (is_exr, has_bars) = (kind == "exr", layers.iter().any(has_bar));
        let look = [("--look", self.look.is_some()), ("--ao", self.ao), ("--shadow", self.shadow)];
        let given = |options: &[(&'static str, bool)]| options.iter().find(|o| o.1).map(|o| o.0);
        if !is_surface && let Some(name) = given(&look) {
            bail!("{name} is for surfaces: a radiance field has colours of its own; leave it out");
        }
        let chosen = self.look.unwrap_or_default();
        if self.shadow && !matches!(chosen, Look::Studio | Look::Clay | Look::Plain) {
            bail!("--shadow is of the key light, which the look {chosen} does not have; leave it or --look out");
        }
        if self.ao && chosen == Look::Matcap {
            bail!("--ao changes nothing in the look matcap; leave it or --look out");
        }
        let coloured = [("--section-field", self.section_field), ("--section-opacity", self.section_opacity.is_some())];
        if !has(Layer::Colour)
            && let Some(name) = given(&look).or(given(&coloured))
        {
            bail!("{name} changes the layer colour, which --layers leaves out; add it, or leave {name} out");
        }
        let moving = [("--fps", self.fps.is_some() && !matches!(kind, "gif" | "mp4"))];
        if let Some(name) = given(&moving) {
            bail!("{name} is for a .gif or an .mp4; {} has no speed", self.output.display());
        }
        let smooth = |layer| if is_exr { matches!(layer, Layer::Colour | Layer::Alpha) } else { multisamples(layer) };
        if self.spp.is_some() && !layers.iter().any(smooth) {
            bail!("--spp changes nothing of these layers, which are taken at the pixels' centres; leave it out");
        }
        if self.background.is_some() && is_exr && !has(Layer::Colour) {
            bail!("--background lies behind the layer colour, which --layers leaves out; leave it out");
        }
        // That of a section's field has a range of its own.
        let has_section_bar = has(Layer::Colour) && self.section_field;
        let without_effect = [
            ("--range", self.range.is_some() && (is_exr || !has_bars)),
            ("--no-legend", self.no_legend && (is_exr || !(has_bars || has_section_bar))),
        ];
        if let Some(name) = given(&without_effect) {
            bail!("{name} is for pictures in false colours, as --layers depth -o {}.png", stem(&self.output));
        }
        if self.range.is_some() && layers.iter().filter(|l| has_bar(*l)).count() > 1 {
            bail!("--range is of one layer; ask for one in false colours at a time");
        }
        Ok(())
    }

    /// Where the picture or the frames of `layer` are written, among `layers` that are shown.
    fn output_of(&self, layer: Layer, layers: LayerSet) -> PathBuf {
        if layers.iter().nth(1).is_none() {
            return self.output.clone();
        }
        match self.output.extension() {
            Some(ending) => {
                let name = format!("{}.{layer}.{}", stem(&self.output), ending.to_string_lossy());
                self.output.with_file_name(name)
            }
            None => self.output.join(layer.name()),
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

    /// Light and material of a look, with the exact rays that are asked for.
    fn shading(&self, look: Look) -> Shading {
        let shading = look.shading();
        match self.ao || self.shadow {
            true => Shading { is_coarse: false, shadow: self.shadow, ambient_occlusion: self.ao, ..shading },
            false => shading,
        }
    }

    /// The renderer that is asked for: planes that are seen through need that of the CPU.
    fn renderer_choice(&self) -> anyhow::Result<RendererChoice> {
        let choice = self.renderer.unwrap_or(RendererChoice::Auto);
        match choice {
            _ if self.section_opacity.is_none_or(|opacity| opacity >= 1.0) => Ok(choice),
            RendererChoice::Gpu => bail!("--section-opacity needs the CPU renderer: leave out --renderer gpu"),
            _ => Ok(RendererChoice::Cpu),
        }
    }

    fn section_view(&self) -> SectionView {
        if self.section_field { SectionView::Field } else { SectionView::Cut }
    }
}

/// A file's name without its ending.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn parse_range(text: &str) -> Result<(f32, f32), String> {
    let parsed = text.split_once(',').and_then(|(l, h)| Some((l.trim().parse().ok()?, h.trim().parse().ok()?)));
    parsed
        .filter(|(low, high): &(f32, f32)| low.is_finite() && high.is_finite() && low < high)
        .ok_or_else(|| "must be LOW,HIGH, the first below the second, for example 1.5,4".into())
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
    if matches!(args.renderer, Some(RendererChoice::Gpu)) {
        device_choice::silence();
    }
    let kind = args.output.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    // The words of --path name no file.
    let path = if args.path_among_cameras()?.is_some() { &args.capture } else { &args.path };
    let cameras_from = [&args.camera, path].into_iter().flatten();
    let mut outputs = Outputs::of([&args.model].into_iter().chain(cameras_from)).overwrite(args.overwrite);
    let layers = match (args.layers, kind.as_str()) {
        (Some(layers), _) => layers,
        (None, "exr") => LayerSet::all(),
        (None, _) => LayerSet::default(),
    };
    // An EXR holds all layers in one file.
    let files: Vec<PathBuf> = match kind.as_str() {
        "exr" => vec![args.output.clone()],
        _ => layers.iter().map(|layer| args.output_of(layer, layers)).collect(),
    };
    match kind.as_str() {
        "" => outputs.folder(&args.output, &[])?,
        // Which of them fit, the model says.
        _ => files.iter().try_for_each(|f| outputs.file(f, "the name of a picture or a sound", &FILE_ENDINGS))?,
    }
    let field = Field::load(&args.model)?;
    if !kind.is_empty() {
        files.iter().try_for_each(|file| check_original(file, field.model(), args.overwrite))?;
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
    args.check_effect(&kind, layers, matches!(field, Field::Sdf(_)))?;
    let renderer = Renderer::new(&field, args.renderer_choice()?)?;
    if let Some(warning) = renderer.warning() {
        stderr!("warning: {warning}");
    }
    let cameras = cameras(args, &renderer, &field)?;
    if cameras.len() > 1 && matches!(kind.as_str(), "png" | "exr") {
        bail!("{}: {} frames need a .gif, an .mp4 or a folder", args.output.display(), cameras.len());
    }
    let _held = match kind.as_str() {
        "" => {
            let frame = |folder: &PathBuf, i| folder::frame_path(folder, i, cameras.len(), "png");
            let mut frames = files.iter().flat_map(|folder| (0..cameras.len()).map(move |i| frame(folder, i)));
            frames.try_for_each(|frame| check_original(&frame, field.model(), args.overwrite))?;
            Some(hold_folder(&args.output)?)
        }
        _ => None,
    };
    let look = args.look.unwrap_or_default();
    let has_backdrop = args.background.is_none() && kind != "exr" && look.has_backdrop();
    let backdrop = match has_backdrop && layers.contains(Layer::Colour) {
        true => renderer.backdrop(args.section.is_none()),
        false => None,
    };
    let samples = args.spp.unwrap_or(if renderer.traces_surface() { 4 } else { 1 });
    let settings = RenderSettings {
        layers,
        samples,
        filter: if samples > 1 { Filter::Tent } else { Filter::Box },
        shading: args.shading(look),
        background: args.background.unwrap_or(field.background()),
        section: args.section.map(|s| Section { show: args.section_view(), ..s }),
        section_opacity: args.section_opacity.unwrap_or(1.0),
        section_box: renderer.section_box(),
        seed: 0,
    };
    let stats = |stats: &RenderStats| {
        if args.stats {
            print_stats(stats, &renderer);
        }
    };
    if kind == "exr" {
        let frame = renderer.render(cameras.first().context("no camera")?, &settings)?;
        stats(&frame.stats);
        exr::write(&args.output, &frame)?;
        stdout!("wrote {} (1 frame)", args.output.display());
        return Ok(());
    }
    let mut pictures = LayerPictures::new(layers, settings, !args.no_legend, args.range).with_backdrop(backdrop);
    if args.section_field {
        pictures = pictures.with_section(Some(section_scale(&field)));
    }
    if cameras.len() > 1 {
        pictures.fix_ranges(&renderer, &cameras)?;
    }
    let fps = args.fps.unwrap_or(FPS);
    let writers = files.iter().map(|file| FrameWriter::new(&kind, file, cameras.len(), fps));
    let mut writers: Vec<FrameWriter> = writers.collect();
    let mut display = ProgressDisplay::new();
    for (i, camera) in cameras.iter().enumerate() {
        if cameras.len() > 1 {
            let text = format!("frame {} of {}", i + 1, cameras.len());
            display.show("", Some(i as f64 / cameras.len() as f64), &text);
        }
        let frames = pictures.render(&renderer, camera, stats)?;
        writers.iter_mut().zip(frames).try_for_each(|(writer, frame)| writer.push(frame))?;
    }
    drop(display);
    for (writer, file) in writers.into_iter().zip(&files) {
        writer.finish()?;
        stdout!("wrote {} ({})", file.display(), plural(cameras.len(), "frame"));
    }
    Ok(())
}

/// Frames a second where none are asked for.
const FPS: u32 = 25;

/// Writer of the frames of one layer.
enum FrameWriter<'a> {
    Png { path: &'a Path },
    Gif { path: &'a Path, fps: u32, frames: Vec<Rgba8> },
    Mp4 { path: &'a Path, fps: u32, video: Option<Box<Video>> },
    Folder { path: &'a Path, next: usize, count: usize },
}

impl<'a> FrameWriter<'a> {
    /// A writer of `count` frames into a file or folder of this ending.
    fn new(ending: &str, path: &'a Path, count: usize, fps: u32) -> Self {
        match ending {
            "png" => Self::Png { path },
            "gif" => Self::Gif { path, fps, frames: Vec::new() },
            "mp4" => Self::Mp4 { path, fps, video: None },
            _ => Self::Folder { path, next: 0, count },
        }
    }

    fn push(&mut self, frame: Rgba8) -> anyhow::Result<()> {
        match self {
            Self::Png { path } => png::write(path, &frame)?,
            Self::Gif { frames, .. } => frames.push(frame),
            Self::Mp4 { path, fps, video } => {
                let video = match video {
                    Some(video) => video,
                    None => {
                        let size = (frame.width, frame.height);
                        video.insert(Box::new(Video::start(path, size, f64::from(*fps))?))
                    }
                };
                video.push(&frame)?;
            }
            Self::Folder { path, next, count } => {
                std::fs::create_dir_all(*path).with_context(|| format!("cannot make {}", path.display()))?;
                png::write(&folder::frame_path(path, *next, *count, "png"), &frame)?;
                *next += 1;
            }
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Gif { path, fps, frames } => gif::write(path, &frames, (100 / fps).max(1) as u16)?,
            Self::Mp4 { video: Some(video), .. } => video.finish()?,
            _ => {}
        }
        Ok(())
    }
}

fn print_stats(s: &RenderStats, renderer: &Renderer<'_>) {
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
    // What is shown on a section reaches beyond the object.
    let shown = renderer.section_box().filter(|_| args.section_field);
    let bounds = shown.unwrap_or_else(|| renderer.bounds());
    around(bounds, field.camera_arc().filter(|_| follows_arc), orbit, args.spiral.is_some())
}

/// The scale of the false colours of a field on a section.
fn section_scale(field: &Field) -> SectionScale {
    let model = field.model();
    match field {
        Field::Sdf(_) => SectionScale::of_distances(model.cube().size),
        _ => SectionScale::of_densities(model.map.length_scale()),
    }
}

fn check_frames(option: &str, frames: usize) -> anyhow::Result<()> {
    if !(1..=100_000).contains(&frames) {
        bail!("{option} {frames}: must be 1 to 100000");
    }
    Ok(())
}

/// Cameras on the arc of a one-sided capture or an open scene, else on `orbit` around the box `bounds`; at changing heights where
/// `rising`.
fn around(
    bounds: (DVec3, DVec3),
    camera_arc: Option<CameraArc>,
    orbit: Orbit,
    rising: bool,
) -> anyhow::Result<Vec<Camera>> {
    Ok(match camera_arc {
        Some(camera_arc) => camera_arc.cameras(orbit.frames, orbit.size, rising)?,
        None if rising => Spiral { orbit, ..Spiral::default() }.cameras(bounds)?,
        None => orbit.cameras(bounds)?,
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
    let backdrop = renderer.backdrop(true);
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
    let cameras = around(renderer.bounds(), field.camera_arc(), orbit, false)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    fn parse(options: &[&str]) -> RenderArgs {
        let command = RenderArgs::augment_args(clap::Command::new("render"));
        let words = ["render", "m.safetensors", "-o", "dir/x.png"].iter().chain(options);
        RenderArgs::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
    }

    #[test]
    fn options_without_effect_are_refused() {
        let default = LayerSet::default();
        let say = |options: &[&str], kind: &str, is_surface: bool| {
            let args = parse(options);
            let all = if kind == "exr" { LayerSet::all() } else { default };
            args.check_effect(kind, args.layers.unwrap_or(all), is_surface).map_err(|e| e.to_string())
        };
        for (options, kind, is_surface, word) in [
            (&["--ao"][..], "png", false, "--ao is for surfaces"),
            (&["--shadow"], "exr", false, "--shadow is for surfaces"),
            (&["--look", "matcap"], "png", false, "--look is for surfaces"),
            (&["--look", "matcap", "--ao"], "png", true, "--ao changes nothing"),
            (&["--look", "headlight", "--shadow"], "png", true, "key light"),
            (&["--layers", "depth", "--ao"], "png", true, "--layers leaves out"),
            (&["--layers", "normal", "--section", "0,0,1,0", "--section-field"], "png", true, "--section-field"),
            (&["--fps", "10"], "png", true, "for a .gif"),
            (&["--fps", "10"], "", true, "for a .gif"),
            (&["--layers", "steps", "--spp", "9"], "png", true, "--spp changes nothing"),
            (&["--layers", "depth", "--spp", "9"], "exr", true, "--spp changes nothing"),
            (&["--layers", "depth", "--background", "black"], "exr", true, "--background"),
            (&["--no-legend"], "png", true, "--layers depth -o x.png"),
            (&["--range", "0,1"], "exr", true, "false colours"),
            (&["--section", "0,0,1,0", "--section-field", "--range", "0,1"], "png", true, "false colours"),
            (&["--section", "0,0,1,0", "--section-field", "--no-legend"], "exr", true, "false colours"),
            (&["--layers", "depth,steps", "--range", "0,1"], "png", true, "one layer"),
        ] {
            let said = say(options, kind, is_surface).unwrap_err();
            assert!(said.contains(word), "{options:?}: {said}");
        }
        for (options, kind, is_surface) in [
            (&["--ao", "--shadow", "--spp", "9", "--background", "black"][..], "png", true),
            (&["--ao", "--look", "headlight"], "exr", true),
            (&["--layers", "colour,depth", "--shadow", "--range", "0,1", "--no-legend"], "gif", true),
            (&["--fps", "10"], "mp4", false),
            (&["--section", "0,0,1,0", "--section-field", "--no-legend"], "png", true),
            (&["--layer", "normals", "--spp", "9", "--background", "black"], "png", false),
        ] {
            assert_eq!(say(options, kind, is_surface), Ok(()), "{options:?}");
        }
    }

    #[test]
    fn several_layers_have_files_of_their_own() {
        let args = parse(&["--layers", "normals,depth"]);
        let layers = args.layers.unwrap();
        let files: Vec<PathBuf> = layers.iter().map(|layer| args.output_of(layer, layers)).collect();
        assert_eq!(files, [Path::new("dir/x.depth.ray.png"), Path::new("dir/x.normal.png")]);
        assert_eq!(args.output_of(Layer::DepthRay, LayerSet::of(&[Layer::DepthRay])), Path::new("dir/x.png"));
        let folder = RenderArgs { output: "frames".into(), ..args };
        assert_eq!(folder.output_of(Layer::Normal, layers), Path::new("frames/normal"));
    }

    #[test]
    fn ranges_ascend() {
        assert_eq!(parse_range("-1, 2.5"), Ok((-1.0, 2.5)));
        assert!(["1", "2,1", "1,1", "a,b", "nan,1", "1,inf"].iter().all(|text| parse_range(text).is_err()));
    }
}
