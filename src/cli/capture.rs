//! Captures on the command line: options of the subcommands that read one, and `nstr inspect` of one.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;
use nstr_camera::camera::Camera;
use nstr_capture::{
    Capture, CaptureFormat, CaptureOptions, CentredCube, PoseErrors, SpaceChoice, Split, View, draw, pose_errors,
    read_capture,
};
use nstr_files::{decimals, plain};
use nstr_image::png;
use nstr_pipeline::CaptureSettings;
use nstr_space::SceneMap;
use serde_json::{Value, json};

use super::output::Outputs;
use super::plural::plural;
use super::terminal::stdout;

/// Options of reading a capture.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct CaptureArgs {
    /// Make images N times smaller
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub downscale: u32,
    /// Keep every N-th training view
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub every: usize,
    /// Hold every N-th frame out for testing where the capture has no test split; 0: none
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub holdout: usize,
    /// The cube to model, in the capture's world: centre and edge
    #[arg(long, value_name = "X,Y,Z,EDGE", allow_hyphen_values = true)]
    pub scene: Option<CentredCube>,
    /// The space to model: a box, a box with all around it contracted (open), what cameras see that look the same way
    /// (forward), or which of them the capture asks for (auto)
    #[arg(long, default_value_t = SpaceChoice::Auto, value_name = "auto|box|open|forward")]
    pub space: SpaceChoice,
    /// Distance from a camera before which nothing is sampled; of a forward space the distance of its near plane
    #[arg(long, value_name = "DISTANCE")]
    pub near: Option<f64>,
    /// Format of the capture, where its files leave it open: blender, transforms, llff, colmap or npz
    #[arg(long = "capture-format", value_name = "FORMAT")]
    pub format: Option<CaptureFormat>,
}

/// The defaults of the options.
impl Default for CaptureArgs {
    fn default() -> Self {
        Self { downscale: 1, every: 1, holdout: 8, scene: None, space: SpaceChoice::Auto, near: None, format: None }
    }
}

impl CaptureArgs {
    /// The settings of the library.
    pub fn settings(&self) -> CaptureSettings {
        let mut settings = CaptureSettings::default();
        (settings.downscale, settings.every, settings.holdout) = (self.downscale, self.every, self.holdout);
        (settings.scene, settings.space) = (self.scene, self.space);
        (settings.near, settings.format) = (self.near, self.format);
        settings
    }
}

/// Size of the picture of the cameras.
const PICTURE: (u32, u32) = (1280, 960);

/// Reads a capture, prints its contents, and draws its cameras.
pub fn inspect(
    path: &Path,
    args: &CaptureArgs,
    as_json: bool,
    picture: Option<&Path>,
    truth: Option<&Path>,
) -> anyhow::Result<()> {
    if let Some(to) = picture {
        Outputs::of([path]).file(to, "the name of what --draw writes", &["png"])?;
    }
    let capture = read_capture(path, &args.settings().options(Split::All))?;
    if let Some(to) = picture {
        png::write(to, &draw::cameras(&capture, PICTURE.0, PICTURE.1)?)?;
    }
    let errors = truth.map(|truth| compare(path, &capture, truth)).transpose()?;
    if as_json {
        let mut report = report(&capture);
        if let Some(compared) = &errors {
            report["pose_errors"] = json!({
                "views": compared.views, "rotation_degrees": compared.errors.rotation_degrees,
                "position": compared.errors.position, "focal_ratio": compared.focal_ratio,
            });
        }
        stdout!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    print(path, &capture);
    if let (Some(compared), Some(truth)) = (&errors, truth) {
        stdout!(
            "  {:<11} against {}, {}: rotation {:.3}°, position {:.3} % of the cameras' mean distance from their middle, focal length {:.4} times",
            "poses",
            truth.display(),
            plural(compared.views, "view"),
            compared.errors.rotation_degrees,
            100.0 * compared.errors.position,
            compared.focal_ratio
        );
    }
    if let Some(to) = picture {
        stdout!("wrote {}: training views blue, test views orange, x y z of the box red green blue", to.display());
    }
    Ok(())
}

/// Poses of one capture against those of another.
struct ComparedPoses {
    views: usize,
    errors: PoseErrors,
    /// Mean of focal length in widths of the image over the true one.
    focal_ratio: f64,
}

/// Compares the cameras of views that are of images with the same name, whatever folder and extension these have.
fn compare(path: &Path, capture: &Capture, truth: &Path) -> anyhow::Result<ComparedPoses> {
    let options = CaptureOptions { images: false, holdout: 0, ..CaptureOptions::default() };
    let other = read_capture(truth, &options)?;
    let stem = |view: &View| {
        let name = view.name.rsplit(['/', '\\']).next().unwrap_or_default();
        name.split('.').next().unwrap_or_default().to_lowercase()
    };
    let known: HashMap<String, Camera> = other.views().map(|v| (stem(v), v.camera)).collect();
    if known.len() < other.views().count() {
        bail!("{}: several images have the same name; they cannot be told apart", truth.display());
    }
    let pairs: Vec<(Camera, Camera)> =
        capture.views().filter_map(|v| Some((v.camera, *known.get(&stem(v))?))).collect();
    let (found, truths): (Vec<Camera>, Vec<Camera>) = pairs.iter().copied().unzip();
    let errors = pose_errors(&found, &truths).with_context(|| {
        format!(
            "{}: {} have a namesake in {}; at least 3 at different places are needed",
            path.display(),
            plural(pairs.len(), "view"),
            truth.display()
        )
    })?;
    let ratio = |(a, b): &(Camera, Camera)| (a.focal.x / f64::from(a.width)) / (b.focal.x / f64::from(b.width));
    let focal_ratio = pairs.iter().map(ratio).sum::<f64>() / pairs.len() as f64;
    Ok(ComparedPoses { views: pairs.len(), errors, focal_ratio })
}

/// Views with equal intrinsics.
struct Group<'a> {
    view: &'a View,
    count: usize,
}

/// Views in groups of equal intrinsics, in the order of their first ones.
fn groups(capture: &Capture) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    // Equal values have equal digits; a group is found by them, however many there are.
    let mut known: HashMap<String, usize> = HashMap::new();
    for view in capture.views() {
        let c = &view.camera;
        let key = format!("{:?}", (c.width, c.height, c.focal, c.centre, view.lens));
        let at = *known.entry(key).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.count += 1,
            None => groups.push(Group { view, count: 1 }),
        }
    }
    groups
}

/// Groups of intrinsics that are printed one by one.
const MAX_LISTED: usize = 4;

fn print(path: &Path, capture: &Capture) {
    let masked = capture.views().filter(|v| v.mask.is_some()).count();
    stdout!(
        "{} ({}): {}, {}{}{}",
        path.display(),
        capture.format,
        plural(capture.train.len(), "training view"),
        plural(capture.test.len(), "test view"),
        match capture.background {
            _ if capture.has_alpha => ", with alpha".to_string(),
            Some(background) => format!(", opaque on {background}"),
            None => ", opaque".to_string(),
        },
        if masked > 0 { format!(", {masked} with masked pixels") } else { String::new() },
    );
    let groups = groups(capture);
    for group in groups.iter().take(MAX_LISTED) {
        let c = &group.view.camera;
        let [x, y] = [(c.width, c.focal.x), (c.height, c.focal.y)]
            .map(|(side, f)| 2.0 * (0.5 * side as f64 / f).atan().to_degrees());
        stdout!(
            "  {:<11} {}x{}, focal {:.2} {:.2}, centre {} {}, {x:.1}° by {y:.1}° ({})",
            "camera",
            c.width,
            c.height,
            c.focal.x,
            c.focal.y,
            decimals(c.centre.x, 2),
            decimals(c.centre.y, 2),
            plural(group.count, "view")
        );
        stdout!("  {:<11} {}", "lens", lens(group.view));
    }
    if groups.len() > MAX_LISTED {
        stdout!("  {:<11} and {} other intrinsics", "", groups.len() - MAX_LISTED);
    }
    let s = &capture.scene;
    let digits = s.decimals();
    let text = |v: f64| decimals(v, digits);
    let [x, y, z] = s.cube().centre().to_array().map(text);
    let [size, near, far] = [s.cube().size, s.near, s.far(capture.views())].map(text);
    stdout!("  {:<11} centre {x} {y} {z}, edge {size}, {}", "scene box", capture.scene_rule);
    stdout!("  {:<11} near {near}, far {far}", "rays");
    stdout!("  {:<11} {}, {}", "space", s.map.name(), capture.space_rule);
    match s.map {
        SceneMap::Forward(_) => stdout!("  {:<11} --space forward --near {near}", "override"),
        map => stdout!("  {:<11} --space {} --scene={x},{y},{z},{size} --near {near}", "override", map.name()),
    }
    if let Some(hull) = &capture.hull {
        stdout!("  {:<11} {:.1} % of {}³ cells can hold anything", "hull", 100.0 * hull.fraction(), hull.resolution);
    }
    if !capture.points.is_empty() {
        stdout!("  {:<11} {}", "points", capture.points.len());
    }
    capture.notes.iter().for_each(|note| stdout!("note: {note}"));
}

fn lens(view: &View) -> String {
    let coefficients = serde_json::to_value(view.lens).unwrap_or_default();
    let list = |name: &str| {
        let values = coefficients.get(name).and_then(Value::as_array)?;
        let text: Vec<String> = values.iter().map(|v| plain(v.as_f64().unwrap_or(0.0))).collect();
        values.iter().any(|v| v.as_f64() != Some(0.0)).then(|| format!(" {name} [{}]", text.join(", ")))
    };
    let parts: String = ["k", "p", "q"].into_iter().filter_map(list).collect();
    format!("{}{parts}", view.lens.name())
}

fn report(capture: &Capture) -> Value {
    let intrinsics: Vec<Value> = groups(capture)
        .iter()
        .map(|g| {
            let c = &g.view.camera;
            json!({
                "w": c.width, "h": c.height, "fl_x": c.focal.x, "fl_y": c.focal.y, "cx": c.centre.x, "cy": c.centre.y,
                "lens": g.view.lens, "views": g.count,
            })
        })
        .collect();
    let names = |views: &[View]| views.iter().map(|v| v.name.clone()).collect::<Vec<_>>();
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    capture.views().for_each(|v| *sizes.entry(format!("{}x{}", v.camera.width, v.camera.height)).or_default() += 1);
    let s = &capture.scene;
    let far = s.far(capture.views());
    json!({
        "format": capture.format,
        "source": capture.source,
        "train": names(&capture.train),
        "test": names(&capture.test),
        "alpha": capture.has_alpha,
        "background": capture.background.map(|b| b.to_string()),
        "masked_views": capture.views().filter(|v| v.mask.is_some()).count(),
        "sizes": sizes,
        "intrinsics": intrinsics,
        "scene": {
            "centre": s.cube().centre(), "size": s.cube().size, "near": s.near, "far": far.is_finite().then_some(far),
            "rule": capture.scene_rule, "space": s.map.name(), "space_rule": capture.space_rule,
        },
        "hull_fraction": capture.hull.as_ref().map(|h| h.fraction()),
        "points": capture.points.len(),
        "notes": capture.notes,
    })
}
