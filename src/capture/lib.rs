//! Posed images of a scene: one reader a format behind [`read_capture`].
//!
//! A [`Capture`] holds [`View`]s (camera, lens, pixels) in a training and a test split, and the [`SceneBox`] that a field
//! of the scene lives in. Cameras follow the convention of [`nstr_camera::camera`] whatever the file's was; the world
//! keeps the file's axes and unit. `docs/captures.md` describes formats, conventions and the scene box.

mod alignment;
mod camera_arc;
mod camera_path;
mod colmap;
pub mod depth;
pub mod draw;
mod error;
mod forward;
mod frame_record;
mod hull;
mod image;
mod image_files;
mod json;
pub mod lens;
mod llff;
mod masks;
mod memory;
mod npz;
mod plain_background;
mod point_file;
mod scene;
mod space;
mod transforms;
mod transforms_writer;
mod view;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use frame_record::{FrameList, FrameRecord, LoadedView};
use glam::DVec3;
use hull::ExplainedRays;
use nstr_files::excerpt;
use nstr_space::SceneMap;
use scene::{SceneBoxEstimate, SceneBoxEstimator};

pub use alignment::{PoseErrors, Similarity, pose_errors};
pub use camera_arc::{estimate_camera_arc, estimate_open_camera_arc};
pub use camera_path::{CameraPathKind, PATH_FRAMES, camera_path};
pub use colmap::{SparseModel, SparsePoint, read_sparse_model};
pub use depth::DepthMap;
pub use error::CaptureError;
pub use hull::{HULL_CELLS, Hull};
pub use lens::Lens;
pub use plain_background::{CaptureBackground, PlainBackground, is_object};
pub use point_file::{read_points, write_points};
pub use scene::{CentredCube, SceneBox, SceneRule};
pub use space::{SpaceChoice, SpaceRule};
pub use transforms_writer::{CameraFrame, check_transforms, write_transforms, write_transforms_with};
pub use view::{Image, LensCamera, View};

/// Storage format of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureFormat {
    /// NeRF-synthetic: `transforms_train.json`, with `transforms_test.json` or `transforms_val.json`.
    Blender,
    /// instant-ngp and nerfstudio: one `transforms.json`.
    Transforms,
    /// `poses_bounds.npy` and a folder of images.
    Llff,
    /// A COLMAP sparse model, binary or text.
    Colmap,
    /// A NumPy archive with the arrays `images`, `poses` and `focal`.
    Npz,
}

impl CaptureFormat {
    /// The format of what lies at `path`, by its file names. Where several are there the first of: NeRF-synthetic,
    /// `transforms.json`, COLMAP (which knows lens and points), LLFF.
    pub fn detect(path: &Path) -> Option<Self> {
        if path.is_file() {
            let is = |name: &str| path.file_name().is_some_and(|n| n == name);
            return match path.extension()?.to_str()? {
                "json" if is("transforms_train.json") => Some(Self::Blender),
                "json" => Some(Self::Transforms),
                "npy" if is("poses_bounds.npy") => Some(Self::Llff),
                "npz" => Some(Self::Npz),
                _ => None,
            };
        }
        let has = |name: &str| path.join(name).is_file();
        if has("transforms_train.json") {
            Some(Self::Blender)
        } else if has("transforms.json") {
            Some(Self::Transforms)
        } else if colmap::model_folder(path).is_some() {
            Some(Self::Colmap)
        } else {
            has("poses_bounds.npy").then_some(Self::Llff)
        }
    }
}

impl fmt::Display for CaptureFormat {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Blender => "blender",
            Self::Transforms => "transforms",
            Self::Llff => "llff",
            Self::Colmap => "colmap",
            Self::Npz => "npz",
        })
    }
}

impl FromStr for CaptureFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Blender, Self::Transforms, Self::Llff, Self::Colmap, Self::Npz];
        let found = all.into_iter().find(|f| f.to_string() == text);
        let expected = "expected blender, transforms, llff, colmap or npz";
        found.ok_or_else(|| format!("\"{}\" is not a capture format; {expected}", excerpt(text)))
    }
}

/// Views to load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// Both.
    #[default]
    All,
    /// Only those to train on.
    Train,
    /// Only those to test on.
    Test,
}

/// Settings of [`read_capture`].
#[derive(Clone, Debug)]
pub struct CaptureOptions {
    /// Images are made this many times smaller along each axis, by a box filter; 1 or more.
    pub downscale: u32,
    /// Only every n-th training view is kept, from the first on; 1 or more.
    pub every: usize,
    /// In captures without a test split, every n-th frame from the first on becomes a test view; 0: none does.
    pub holdout: usize,
    /// The views to load.
    pub split: Split,
    /// Load pixels; without them a view has an empty [`Image::pixels`] and the scene box can't use alpha.
    pub images: bool,
    /// The scene's cube, in place of what the rules find.
    pub scene: Option<CentredCube>,
    /// The kind of space that is modelled; found by the rules where [`SpaceChoice::Auto`].
    pub space: SpaceChoice,
    /// [`SceneBox::near`], in place of what the rules find; of a forward space the distance of its near plane.
    pub near: Option<f64>,
    /// The format, in place of [`CaptureFormat::detect`].
    pub format: Option<CaptureFormat>,
    /// Background of images without alpha.
    pub background: CaptureBackground,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            downscale: 1,
            every: 1,
            holdout: 8,
            split: Split::All,
            images: true,
            scene: None,
            space: SpaceChoice::Auto,
            near: None,
            format: None,
            background: CaptureBackground::Auto,
        }
    }
}

impl CaptureOptions {
    fn check(&self) -> Result<(), CaptureError> {
        let fail = |option, reason: String| Err(CaptureError::Option { option, reason });
        if self.downscale == 0 {
            return fail("downscale", "0; expected 1 or more".into());
        }
        if self.every == 0 {
            return fail("every", "0; expected 1 or more".into());
        }
        if self.holdout == 1 {
            return fail("holdout", "1 leaves nothing to train on; expected 2 or more, or 0 for none".into());
        }
        if let Some(near) = self.near.filter(|n| !(n.is_finite() && *n > 0.0)) {
            return fail("near", format!("{near}; expected a distance above 0"));
        }
        if let Some(scene) = self.scene.filter(|s| !s.is_valid()) {
            return fail("scene", format!("{scene}; expected finite X,Y,Z and an edge above 0"));
        }
        Ok(())
    }
}

/// Posed images and the box that they show.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The format that it was stored in.
    pub format: CaptureFormat,
    /// The file that poses came from.
    pub source: PathBuf,
    /// The image file of each view, by the view's name.
    pub image_files: BTreeMap<String, PathBuf>,
    /// Views to train on.
    pub train: Vec<View>,
    /// Views to test on.
    pub test: Vec<View>,
    /// The space to model.
    pub scene: SceneBox,
    /// The rule that gave its cube or frustum.
    pub scene_rule: SceneRule,
    /// The rule that chose the kind of space.
    pub space_rule: SpaceRule,
    /// Cells of the cube that can hold anything, for captures with alpha or before a plain background.
    pub hull: Option<Hull>,
    /// Points on surfaces, of COLMAP models, of the `ply_file_path` of a `transforms.json` and of depth maps; else empty.
    pub points: Vec<DVec3>,
    /// Some loaded pixel is not opaque.
    pub has_alpha: bool,
    /// The colour behind the object in images without alpha, where one was found; the pixels keep it.
    pub background: Option<PlainBackground>,
    /// One sentence for everything missing, skipped or assumed.
    pub notes: Vec<String>,
}

impl Capture {
    /// Training views, then test views.
    pub fn views(&self) -> impl Iterator<Item = &View> {
        self.train.iter().chain(&self.test)
    }
}

/// True where `path` looks like a capture: a folder of one of the formats, a `transforms*.json`, another JSON file whose
/// frames name images, or an `.npz`.
pub fn is_capture(path: &Path) -> bool {
    let named = |p: &Path| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("transforms"));
    match CaptureFormat::detect(path) {
        Some(CaptureFormat::Transforms) if path.is_file() => named(path) || transforms::names_images(path),
        format => format.is_some(),
    }
}

/// Reads a capture: a folder, a `transforms*.json`, a `poses_bounds.npy` or an `.npz` with images.
///
/// Images are decoded in parallel on rayon's threads, after their headers have shown that they fit into memory. Frames
/// without an image file are skipped with a note.
///
/// # Errors
/// [`CaptureError`] naming file and field: unreadable files, values that make no camera, images that can't be decoded or
/// have another shape than declared or need more memory than there is, masks that leave no pixel, no frames, options out
/// of range.
pub fn read_capture(path: &Path, options: &CaptureOptions) -> Result<Capture, CaptureError> {
    options.check()?;
    if !path.exists() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(CaptureError::Io { path: path.into(), source });
    }
    let format = options.format.or_else(|| CaptureFormat::detect(path));
    let format = format.ok_or_else(|| CaptureError::Unknown { path: path.into() })?;
    let folder = if path.is_file() { path.parent().unwrap_or(Path::new("")) } else { path };
    let list = match format {
        CaptureFormat::Blender => transforms::read_splits(folder, options.images)?,
        CaptureFormat::Transforms if path.is_file() => transforms::read_file(path, options.images)?,
        CaptureFormat::Transforms => transforms::read_file(&folder.join("transforms.json"), options.images)?,
        CaptureFormat::Llff => llff::read(folder, options.downscale)?,
        CaptureFormat::Colmap => colmap::read(folder, options.downscale)?,
        CaptureFormat::Npz => npz::read(path)?,
    };
    load(format, list, options)
}

fn load(format: CaptureFormat, mut list: FrameList, options: &CaptureOptions) -> Result<Capture, CaptureError> {
    let (train, test) = split(&mut list, options)?;
    let records: Vec<&FrameRecord> = train.iter().chain(&test).collect();
    let image_files = records.iter().map(|record| (record.name.clone(), record.image.clone())).collect();
    if options.images {
        memory::check(&records, &list.source, options.downscale)?;
    }
    let views =
        |records: &[FrameRecord]| frame_record::load_images(records, &list.source, options.downscale, options.images);
    let (loaded_train, loaded_test) = (views(&train)?, views(&test)?);
    let mut notes = list.notes;
    notes.extend(notes_of(&loaded_train, &loaded_test));
    let plain = |loaded: Vec<LoadedView>| loaded.into_iter().map(|l| l.view).collect::<Vec<View>>();
    let (train_views, mut test_views) = (plain(loaded_train), plain(loaded_test));
    if options.images {
        check_masks(&train, &train_views)?;
        notes.extend(drop_masked(&test, &mut test_views, options.split)?);
    }
    let (mut train, mut test) = (train_views, test_views);
    if list.points.is_empty() {
        list.points = depth_points(train.iter().chain(&test));
    }
    let transparent = |v: &View| v.image.pixels.iter().any(|p| p[3] != 255);
    let has_alpha = train.iter().chain(&test).any(transparent);
    let views = if train.is_empty() { &mut test } else { &mut train };
    let background = plain_background(views, has_alpha, options, &mut notes);
    let estimate = |views: &[View], silhouettes: bool| {
        SceneBoxEstimator {
            views,
            silhouettes,
            points: &list.points,
            extent: &list.extent,
            given: options.scene,
            space: options.space,
            near: options.near,
        }
        .estimate()
    };
    let found = match background {
        None => estimate(views, has_alpha),
        Some(background) => before_background(views, &background, estimate, &mut notes),
    }
    .map_err(|reason| CaptureError::Option { option: "space", reason })?;
    let is_usable = found.scene.map.is_valid() && found.scene.near.is_finite() && found.scene.near > 0.0;
    if !is_usable {
        let reason = "the cameras make no finite box; scale the poses, or set it with --scene and --near";
        return Err(CaptureError::field(&list.source, "scene box", reason));
    }
    notes.extend(found.notes);
    notes.extend(depth_note(&train, &found.scene.map));
    Ok(Capture {
        format,
        source: list.source,
        image_files,
        train,
        test,
        scene: found.scene,
        scene_rule: found.rule,
        space_rule: found.space_rule,
        hull: found.hull,
        points: list.points,
        has_alpha,
        background,
        notes,
    })
}

/// A note on the depths that views know, and on such as seem to be in other units than the poses.
fn depth_note(views: &[View], map: &SceneMap) -> Option<String> {
    let knows = views.iter().filter_map(|view| view.depth.as_ref()).collect::<Vec<_>>();
    if knows.is_empty() {
        return None;
    }
    let (known, total) = (knows.len(), views.len());
    let usage = |key: &str| format!("training follows them; --set depth.{key}=0 leaves them out");
    let points = depth_points(views.iter());
    if points.is_empty() {
        let mean = knows.iter().map(|depth| depth.len()).sum::<usize>() / known;
        return Some(format!(
            "depth: {known} of {total} training views show points of known depth, {mean} in the mean: {}",
            usage("point_weight")
        ));
    }
    // Around an open scene's inner cube there may be walls, but not far beyond.
    let cube = map.cube();
    let reach = if map.is_box() { 0.6 } else { 8.0 } * cube.size;
    let is_near = |p: &&DVec3| (**p - cube.centre()).abs().max_element() <= reach;
    let near = points.iter().filter(is_near).count() as f64 / points.len() as f64;
    let mut note = format!("depth: {known} of {total} training views have a depth map: {}", usage("weight"));
    if near < 0.2 {
        note += &format!(
            "; but {:.0} % of what they show lies outside of the scene box: are they in the units of the poses? \
             depth_unit_scale_factor in the file says how long one is",
            100.0 * (1.0 - near)
        );
    }
    Some(note)
}

/// Points on surfaces that depth maps of the views know.
fn depth_points<'a>(views: impl Iterator<Item = &'a View>) -> Vec<DVec3> {
    let is_dense = |view: &&View| matches!(view.depth, Some(DepthMap::Dense { .. }));
    let of_view = |view: &View| view.depth.as_ref().map_or(Vec::new(), |depth| depth.points(view, POINTS_OF_A_VIEW));
    views.filter(is_dense).flat_map(of_view).collect()
}

/// The plain background of views without alpha, as far as the options ask for one, with notes on it.
fn plain_background(
    views: &[View],
    has_alpha: bool,
    options: &CaptureOptions,
    notes: &mut Vec<String>,
) -> Option<PlainBackground> {
    let given = match options.background {
        CaptureBackground::Random => return None,
        _ if has_alpha || !options.images => return None,
        CaptureBackground::Auto => None,
        CaptureBackground::Colour(colour) => Some(colour),
    };
    let found = PlainBackground::find(views, given);
    match (&found, given) {
        (Some(found), None) => notes.push(format!(
            "the images have no alpha, and the plain background {found}: it is trained over, and gives silhouettes; \
             --background random says that it is none, --background COLOUR that it is another"
        )),
        (None, Some(_)) => notes.push(format!(
            "the borders of the images do not have the background {}: it gives no silhouettes",
            options.background
        )),
        _ => {}
    }
    found
}

/// Fraction of the rays through an object before a plain background that its hull has to explain.
const EXPLAINED: f64 = 0.99;

/// The scene box by the silhouettes before a plain background; without them where they contradict each other, because a
/// part of the object has the colour of the background.
fn before_background(
    views: &mut [View],
    background: &PlainBackground,
    estimate: impl Fn(&[View], bool) -> Result<SceneBoxEstimate, String>,
    notes: &mut Vec<String>,
) -> Result<SceneBoxEstimate, String> {
    background.cut_out(views);
    let estimated = estimate(views, true);
    let found = match estimated {
        Ok(found) => found,
        Err(reason) => {
            plain_background::fill_in(views);
            return Err(reason);
        }
    };
    let (cube, size) = (found.scene.cube(), found.scene.cube().size);
    let cube = CentredCube { centre: cube.centre(), size };
    let is_explained = found.hull.as_ref().is_some_and(|hull| {
        let rays = ExplainedRays::count(hull, &cube, views);
        // A cube that the user gives may leave parts of the object out.
        let wanted = if found.rule == SceneRule::Given { rays.crossing } else { rays.all };
        wanted > 0 && rays.explained as f64 >= EXPLAINED * wanted as f64
    });
    plain_background::fill_in(views);
    if is_explained {
        return Ok(found);
    }
    notes.push(format!(
        "the silhouettes before the background {background} contradict each other (poses may be wrong, or parts of the \
         object have that colour): they are not used"
    ));
    estimate(views, false)
}

/// Points that are taken of a depth map.
const POINTS_OF_A_VIEW: usize = 256;
/// Names that a note lists.
const LISTED: usize = 3;

/// Notes on orientations and on what decoders had to say, one a kind.
fn notes_of(train: &[LoadedView], test: &[LoadedView]) -> Vec<String> {
    let all = || train.iter().chain(test);
    let total = all().count();
    let oriented = |turned: bool| all().filter(|l| !l.orientation.0.is_upright() && l.orientation.1 == turned).count();
    let mut notes = Vec::new();
    if oriented(true) > 0 {
        notes.push(format!(
            "{} of {total} images are turned by their EXIF orientation: only so do they have the declared shape",
            oriented(true)
        ));
    }
    if oriented(false) > 0 {
        notes.push(format!(
            "{} of {total} images have an EXIF orientation that is not applied: cameras are for the stored pixels",
            oriented(false)
        ));
    }
    let noted: Vec<String> =
        all().flat_map(|l| l.notes.iter().map(|n| format!("{}: {n}", excerpt(&l.view.name)))).collect();
    notes.extend(noted.iter().take(LISTED).cloned());
    if noted.len() > LISTED {
        notes.push(format!("and {} notes on other images", noted.len() - LISTED));
    }
    notes
}

/// True where a mask lets any pixel of the view pass, and where there are no pixels to judge by.
fn is_visible(view: &View) -> bool {
    view.image.pixels.is_empty() || view.usable_pixels() > 0
}

/// Refuses training views of which masks leave nothing at all.
fn check_masks(records: &[FrameRecord], views: &[View]) -> Result<(), CaptureError> {
    if views.is_empty() || views.iter().any(is_visible) {
        return Ok(());
    }
    Err(masked(records.first(), format!("the masks of all {} training views leave no pixel to train on", views.len())))
}

/// An error that names the mask of a frame, or its image where only the lens or the pixels themselves mask it.
fn masked(record: Option<&FrameRecord>, reason: String) -> CaptureError {
    let path = record.map(|r| r.masks.first().map_or(&r.image, |m| &m.path));
    let cure = "; expected black where pixels are to be left out, or white in a dynamic_mask file";
    CaptureError::image(path.map_or(Path::new(""), PathBuf::as_path), reason + cure)
}

/// Leaves out test views of which masks leave nothing: nothing can be measured there.
fn drop_masked(records: &[FrameRecord], views: &mut Vec<View>, split: Split) -> Result<Option<String>, CaptureError> {
    let total = views.len();
    views.retain(is_visible);
    match total - views.len() {
        0 => Ok(None),
        _ if views.is_empty() && split == Split::Test => {
            Err(masked(records.first(), format!("the masks of all {total} test views leave no pixel to measure")))
        }
        dropped => Ok(Some(format!("the masks of {dropped} of {total} test views leave no pixel: they are left out"))),
    }
}

/// The frames to train and to test on that the options ask for.
fn split(list: &mut FrameList, options: &CaptureOptions) -> Result<(Vec<FrameRecord>, Vec<FrameRecord>), CaptureError> {
    let all = std::mem::take(&mut list.train);
    if all.is_empty() {
        return Err(CaptureError::no_frames(
            &list.source,
            match list.notes.join("; ") {
                notes if notes.is_empty() => "there is no training frame".into(),
                notes => notes,
            },
        ));
    }
    let (train, test) = match list.test.take().filter(|t| !t.is_empty()) {
        Some(test) => (all, test),
        None if options.holdout == 0 => (all, Vec::new()),
        None if all.len() == 1 => {
            list.notes.push("there is one frame: none is held out for testing".into());
            (all, Vec::new())
        }
        None => {
            let held = |(i, _): &(usize, FrameRecord)| i % options.holdout == 0;
            let (test, train): (Vec<_>, Vec<_>) = all.into_iter().enumerate().partition(held);
            let plain = |records: Vec<(usize, FrameRecord)>| records.into_iter().map(|s| s.1).collect::<Vec<_>>();
            (plain(train), plain(test))
        }
    };
    let train: Vec<FrameRecord> = train.into_iter().step_by(options.every).collect();
    match options.split {
        Split::All => Ok((train, test)),
        Split::Train => Ok((train, Vec::new())),
        Split::Test if test.is_empty() => {
            Err(CaptureError::no_frames(&list.source, "there is no test split; hold frames out with --holdout"))
        }
        Split::Test => Ok((Vec::new(), test)),
    }
}
