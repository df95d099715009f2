//! `transforms.json` of NeRF-synthetic (one file a split), instant-ngp and nerfstudio.
//!
//! Poses are camera-to-world in the OpenGL convention, so nothing is converted. A frame's own values win over the
//! file's. instant-ngp maps a position p to `p · scale + offset` (0.33 and 0.5 where not given), then swaps axes
//! cyclically, and models the cube of edge `aabb_scale` around (½, ½, ½): in the file's own axes that cube has centre
//! `(½ − offset) / scale` and edge `aabb_scale / scale`, since the swap leaves the middle where it is.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use glam::DVec3;
use nstr_files::excerpt;
use serde_json::{Map, Value};

use crate::colmap::shown_points;
use crate::depth::DepthFile;
use crate::error::CaptureError;
use crate::frame_record::{Focal, FrameList, FrameRecord, SceneExtentHint, existing};
use crate::image_files::ImageFiles;
use crate::json;
use crate::json::{Fields, given};
use crate::lens::Lens;
use crate::masks;
use crate::masks::MaskFile;
use crate::point_file::read_points;
use crate::scene::CentredCube;

/// instant-ngp's scale and offset where the file gives none.
const NGP: (f64, f64) = (0.33, 0.5);
/// Values that a frame, or the file for all of them, may leave out.
const OPTIONAL: [&str; 23] = [
    "w",
    "h",
    "fl_x",
    "fl_y",
    "cx",
    "cy",
    "camera_angle_x",
    "camera_angle_y",
    "x_fov",
    "y_fov",
    "k1",
    "k2",
    "k3",
    "k4",
    "p1",
    "p2",
    "is_fisheye",
    "camera_model",
    "aabb_scale",
    "scale",
    "offset",
    "depth_unit_scale_factor",
    "integer_depth_scale",
];

/// Reads a folder with `transforms_train.json` and, for testing, `transforms_test.json` or `transforms_val.json`.
pub(super) fn read_splits(folder: &Path, images: bool) -> Result<FrameList, CaptureError> {
    let file = |split: &str| folder.join(format!("transforms_{split}.json"));
    let mut list = read_file(&file("train"), images)?;
    // A split that the training file itself lists has no place beside the files'.
    list.train.extend(list.test.take().unwrap_or_default());
    for split in ["test", "val"] {
        let path = file(split);
        if !path.is_file() {
            continue;
        }
        let other = read_file(&path, images)?;
        let records: Vec<FrameRecord> = other.train.into_iter().chain(other.test.unwrap_or_default()).collect();
        list.notes.extend(other.notes);
        if !records.is_empty() {
            if split == "val" {
                list.notes.push("transforms_val.json serves as the test split".into());
            }
            list.test = Some(records);
            break;
        }
    }
    Ok(list)
}

/// True for a JSON file with frames that name files.
pub(super) fn names_images(path: &Path) -> bool {
    let first = |top: &Map<String, Value>| top.get("frames")?.get(0)?.get("file_path")?.as_str().map(drop);
    json::read(path).is_ok_and(|top| first(&top).is_some())
}

/// Reads one file with `frames`; what only images need is looked for where `images`.
pub(super) fn read_file(path: &Path, images: bool) -> Result<FrameList, CaptureError> {
    let top = json::read(path)?;
    let frames = match given(&top, "frames") {
        Some(Value::Array(frames)) if !frames.is_empty() => frames,
        Some(Value::Array(_)) => return Err(CaptureError::no_frames(path, "the list of frames is empty")),
        Some(_) => return Err(CaptureError::field(path, "frames", "expected a list")),
        None => return Err(CaptureError::field(path, "frames", "missing: expected a list with a frame an image")),
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let files = ImageFiles::default();
    let mut records = Vec::with_capacity(frames.len());
    for (i, frame) in frames.iter().enumerate() {
        let at = format!("frames[{i}]");
        let frame = frame.as_object().ok_or_else(|| CaptureError::field(path, &at, "expected a JSON object"))?;
        records.push(record(&Fields { path, top: &top, frame, at: at + "." }, folder, &files)?);
    }
    let mut list = FrameList { source: path.into(), extent: extent(path, &top)?, ..FrameList::default() };
    (list.points, list.notes) = points(path, &top)?;
    list.notes.extend(null_note(path, &top, frames));
    let split = Split::read(path, &top)?;
    list.notes.extend(files.locate(&mut records, folder, path));
    let (mut records, note) = existing(records, path);
    list.notes.extend(note);
    list.notes.extend(masks::find(&mut records, &files, folder));
    list.notes.extend(find_depths(folder, &mut records, images));
    if given(&top, "rolling_shutter").is_some() {
        list.notes.push("rolling_shutter is ignored: each frame has one pose".into());
    }
    match split {
        None => list.train = records,
        Some(split) => {
            let (train, test) = split.divide(records, &mut list.notes);
            (list.train, list.test) = (train, Some(test));
        }
    }
    Ok(list)
}

/// A note on values that are `null` or not finite and so count as missing.
fn null_note(path: &Path, top: &Map<String, Value>, frames: &[Value]) -> Option<String> {
    let is_null = |map: &Map<String, Value>, key: &str| map.get(key).is_some_and(Value::is_null);
    let maps = || std::iter::once(top).chain(frames.iter().filter_map(Value::as_object));
    let keys: BTreeSet<&str> = maps().flat_map(|m| OPTIONAL.into_iter().filter(|k| is_null(m, k))).collect();
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let list = || keys.iter().copied().collect::<Vec<_>>().join(", ");
    (!keys.is_empty()).then(|| format!("{file}: null or NaN in {} counts as missing", list()))
}

fn record(fields: &Fields, folder: &Path, files: &ImageFiles) -> Result<FrameRecord, CaptureError> {
    let name = match given(fields.frame, "file_path") {
        Some(Value::String(name)) if !name.is_empty() => name,
        Some(_) => return Err(fields.fail("file_path", "expected the image's path")),
        None => return Err(fields.fail("file_path", "missing: expected the image's path")),
    };
    // A mask that is not there is an error when it is read: nobody names one in vain.
    let mask = |name: &str| files.find(folder, name).map_or_else(|| folder.join(name), |found| found.0);
    let masks: Vec<MaskFile> = fields.text("mask_path")?.map(|m| MaskFile::black_is_out(mask(m))).into_iter().collect();
    let depth = depth_file(fields, folder, files)?;
    let size = match (fields.side("w")?, fields.side("h")?) {
        (Some(w), Some(h)) => Some((w, h)),
        (None, None) => None,
        (Some(_), None) => return Err(fields.fail("h", "missing beside w")),
        (None, Some(_)) => return Err(fields.fail("w", "missing beside h")),
    };
    Ok(FrameRecord {
        name: name.trim_start_matches("./").to_string(),
        at: fields.at.clone(),
        image: folder.join(name),
        masks,
        depth,
        shown: Vec::new(),
        size,
        focal: [focal(fields, "x")?, focal(fields, "y")?],
        centre: [fields.number("cx")?, fields.number("cy")?],
        lens: lens(fields)?,
        camera_to_world: fields.matrix()?,
        reduced: 1,
        shrunk: 1,
        decoded: None,
    })
}

/// The frame's depth map, which may be missing on the disk.
fn depth_file(fields: &Fields, folder: &Path, files: &ImageFiles) -> Result<Option<DepthFile>, CaptureError> {
    for (key, scale_key) in [("depth_file_path", "depth_unit_scale_factor"), ("depth_path", "integer_depth_scale")] {
        let Some(name) = fields.text(key)?.filter(|name| !name.is_empty()) else { continue };
        let scale = fields.number(scale_key)?;
        if let Some(bad) = scale.filter(|v| *v <= 0.0) {
            return Err(fields.fail(scale_key, format!("{bad}; expected above 0")));
        }
        let path = files.find(folder, name).map_or_else(|| folder.join(name), |found| found.0);
        return Ok(Some(DepthFile { path, scale }));
    }
    Ok(None)
}

/// Forgets depth maps that are not on the disk, with a note; where there are none at all, looks for points that the frames show.
fn find_depths(folder: &Path, records: &mut [FrameRecord], images: bool) -> Option<String> {
    let named = records.iter().filter(|r| r.depth.is_some()).count();
    for record in records.iter_mut() {
        record.depth = record.depth.take().filter(|file| file.path.exists());
    }
    let (total, found) = (records.len(), records.iter().filter(|r| r.depth.is_some()).count());
    // A large model takes its time; cameras alone have no use for it.
    if named == 0 && images {
        shown_points::from_model_beside(folder, records);
    }
    (found < named).then(|| format!("depth: the depth maps of {} of {total} frames are missing", named - found))
}

fn focal(fields: &Fields, axis: &str) -> Result<Option<Focal>, CaptureError> {
    let pixels = format!("fl_{axis}");
    if let Some(f) = fields.number(&pixels)? {
        return if f > 0.0 {
            Ok(Some(Focal::Pixels(f)))
        } else {
            Err(fields.fail(&pixels, format!("a focal length of {f} pixels; expected above 0")))
        };
    }
    // camera_angle in radians, instant-ngp's x_fov in degrees.
    for (key, unit) in [(format!("camera_angle_{axis}"), 1.0), (format!("{axis}_fov"), 1f64.to_radians())] {
        match fields.number(&key)?.map(|angle| angle * unit) {
            None => {}
            Some(angle) if angle > 0.0 && angle < std::f64::consts::PI => return Ok(Some(Focal::Angle(angle))),
            Some(angle) => {
                return Err(fields.fail(&key, format!("an angle of {angle} rad; expected above 0 and below pi")));
            }
        }
    }
    Ok(None)
}

fn lens(fields: &Fields) -> Result<Lens, CaptureError> {
    for key in ["ftheta_p0", "latlong", "equirectangular"] {
        if fields.has(key) {
            return Err(fields.fail(key, "this lens model is not supported; undistort the images first"));
        }
    }
    let k =
        [fields.coefficient("k1")?, fields.coefficient("k2")?, fields.coefficient("k3")?, fields.coefficient("k4")?];
    let p = [fields.coefficient("p1")?, fields.coefficient("p2")?];
    let (model, is_fisheye) = (fields.text("camera_model")?, fields.flag("is_fisheye")?);
    match model.unwrap_or(if is_fisheye { "OPENCV_FISHEYE" } else { "OPENCV" }) {
        "OPENCV_FISHEYE" => Ok(Lens::Fisheye { k }),
        "OPENCV" | "PERSPECTIVE" | "SIMPLE_RADIAL" | "RADIAL" if is_fisheye => Ok(Lens::Fisheye { k }),
        "OPENCV" | "PERSPECTIVE" | "SIMPLE_RADIAL" | "RADIAL" => Ok(Lens::open_cv(k, p, [0.0; 3])),
        "PINHOLE" | "SIMPLE_PINHOLE" => Ok(Lens::Pinhole),
        other => Err(fields.fail(
            "camera_model",
            format!(
                "{} is not supported; use OPENCV, OPENCV_FISHEYE or PINHOLE, or undistort the images",
                excerpt(other)
            ),
        )),
    }
}

/// The points of nerfstudio's `ply_file_path`, and a note where the file is missing.
fn points(path: &Path, top: &Map<String, Value>) -> Result<(Vec<DVec3>, Vec<String>), CaptureError> {
    let empty = Map::new();
    let fields = Fields { path, top, frame: &empty, at: String::new() };
    let Some(name) = fields.text("ply_file_path")? else { return Ok(Default::default()) };
    let folder = path.parent().unwrap_or(Path::new(""));
    let Some((file, _)) = ImageFiles::default().find(folder, name).filter(|found| found.0.is_file()) else {
        let note = format!("the points that ply_file_path names are missing: {}", excerpt(name));
        return Ok((Vec::new(), vec![note]));
    };
    Ok((read_points(&file)?, Vec::new()))
}

/// The cube that instant-ngp would model, where the file says anything about it.
fn extent(path: &Path, top: &Map<String, Value>) -> Result<SceneExtentHint, CaptureError> {
    let empty = Map::new();
    let fields = Fields { path, top, frame: &empty, at: String::new() };
    if !["aabb_scale", "scale", "offset", "aabb"].iter().any(|k| fields.has(k)) {
        return Ok(SceneExtentHint::Unknown);
    }
    let positive = |key: &str, otherwise: f64| match fields.number(key)? {
        Some(v) if v > 0.0 => Ok(v),
        Some(v) => Err(fields.fail(key, format!("{v}; expected above 0"))),
        None => Ok(otherwise),
    };
    let edge = positive("aabb_scale", 1.0)?;
    let declared = |centre: DVec3, size: f64| match (CentredCube { centre, size }).is_valid() {
        true => Ok(SceneExtentHint::Declared(centre, size)),
        false => Err(fields.fail("aabb_scale", "makes no finite box with scale and offset; set the box with --scene")),
    };
    if let Some(Value::Array(corners)) = given(top, "aabb") {
        let corner = |i: usize| match corners.get(i) {
            Some(Value::Array(list)) => Ok(DVec3::from(json::numbers::<3>(path, list, &format!("aabb[{i}]"))?)),
            _ => Err(fields.fail("aabb", "expected two corners of three numbers")),
        };
        let (a, b) = (corner(0)?, corner(1)?);
        return declared((a + b) * 0.5, edge * (b - a).abs().max_element().max(1e-6));
    }
    let scale = positive("scale", NGP.0)?;
    let offset = DVec3::from(fields.triple("offset")?.unwrap_or([NGP.1; 3]));
    declared((DVec3::splat(0.5) - offset) / scale, edge / scale)
}

/// nerfstudio's lists of file names.
struct Split {
    train: Option<HashSet<PathBuf>>,
    test: HashSet<PathBuf>,
    /// Frames that are in neither where the training list is missing.
    others: HashSet<PathBuf>,
}

impl Split {
    fn read(path: &Path, top: &Map<String, Value>) -> Result<Option<Self>, CaptureError> {
        let list = |key: &str| match top.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(names)) => {
                let name = |(i, v): (usize, &Value)| match v.as_str() {
                    Some(name) => Ok(key_of(name)),
                    None => Err(CaptureError::field(path, format!("{key}[{i}]"), "expected a file name")),
                };
                names.iter().enumerate().map(name).collect::<Result<HashSet<_>, _>>().map(Some)
            }
            Some(_) => Err(CaptureError::field(path, key, "expected a list of file names")),
        };
        let (train, val, test) = (list("train_filenames")?, list("val_filenames")?, list("test_filenames")?);
        if train.is_none() && val.is_none() && test.is_none() {
            return Ok(None);
        }
        let val = val.unwrap_or_default();
        let (test, others) = match test {
            Some(test) if !test.is_empty() => (test, val),
            _ => (val, HashSet::new()),
        };
        Ok(Some(Self { train, test, others }))
    }

    fn divide(&self, records: Vec<FrameRecord>, notes: &mut Vec<String>) -> (Vec<FrameRecord>, Vec<FrameRecord>) {
        let total = records.len();
        let (test, rest): (Vec<FrameRecord>, Vec<FrameRecord>) =
            records.into_iter().partition(|s| self.test.contains(&key_of(&s.name)));
        let keep = |s: &FrameRecord| match &self.train {
            Some(train) => train.contains(&key_of(&s.name)),
            None => !self.others.contains(&key_of(&s.name)),
        };
        let train: Vec<FrameRecord> = rest.into_iter().filter(keep).collect();
        let left = total - train.len() - test.len();
        if left > 0 {
            notes.push(format!("{left} frames are in neither train_filenames nor test_filenames and are skipped"));
        }
        (train, test)
    }
}

/// A file name without what makes equal names differ.
fn key_of(name: &str) -> PathBuf {
    PathBuf::from(name.replace('\\', "/").trim_start_matches("./"))
}
