//! COLMAP sparse models, binary or text: cameras, images and points.
//!
//! COLMAP stores world-to-camera rotations (a quaternion, w first) and translations for cameras that look along +z with
//! y down: the camera-to-world matrix of the OpenGL convention is the inverse with its y and z axes turned round. Pixel
//! coordinates count from the upper left corner of the upper left pixel, as here.

mod binary;
pub(crate) mod shown_points;
mod sparse_model;
mod text;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use glam::{DMat3, DMat4, DQuat, DVec3};
use nstr_files::{Budget, decode_text, excerpt, read_named};

use crate::error::CaptureError;
use crate::frame_record::{Focal, FrameList, FrameRecord, existing, image_folder, plain_images};
use crate::image_files::{ImageFiles, images_in};
use crate::lens::Lens;
use crate::masks;

pub use sparse_model::{SparseModel, SparsePoint, read_sparse_model};

/// Bytes of all files of a model together: tens of millions of keypoints.
const MAX_BYTES: u64 = 16 << 30;

/// A camera of `cameras.txt` or `cameras.bin`.
#[derive(Clone, Debug, PartialEq)]
struct Calibration {
    model: &'static str,
    size: (u32, u32),
    parameters: Vec<f64>,
}

/// An image of `images.txt` or `images.bin`.
#[derive(Clone, Debug, PartialEq)]
struct ImageRecord {
    id: u32,
    /// World to camera, w x y z.
    rotation: [f64; 4],
    translation: [f64; 3],
    camera: u32,
    name: String,
}

/// Name and number of parameters of every model, by COLMAP's number (of COLMAP 4).
const MODELS: [(&str, usize); 18] = [
    ("SIMPLE_PINHOLE", 3),
    ("PINHOLE", 4),
    ("SIMPLE_RADIAL", 4),
    ("RADIAL", 5),
    ("OPENCV", 8),
    ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12),
    ("FOV", 5),
    ("SIMPLE_RADIAL_FISHEYE", 4),
    ("RADIAL_FISHEYE", 5),
    ("THIN_PRISM_FISHEYE", 12),
    ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
    ("SIMPLE_DIVISION", 4),
    ("DIVISION", 5),
    ("SIMPLE_FISHEYE", 3),
    ("FISHEYE", 4),
    ("EUCM", 6),
    ("EQUIRECTANGULAR", 2),
];
/// Remedy for models that are not read.
const UNDISTORT: &str = "undistort the images with `colmap image_undistorter`";

/// A complaint about a part of a file: place and reason.
type FieldError = (String, String);

/// The folder of the model at or below `path`, where there is one.
pub(super) fn model_folder(path: &Path) -> Option<PathBuf> {
    let places = ["", "sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse"];
    places.into_iter().map(|p| path.join(p)).find(|p| {
        let has =
            |name: &str| p.join(name).with_extension("bin").is_file() || p.join(name).with_extension("txt").is_file();
        has("cameras") && has("images")
    })
}

/// The parts of a model as its files hold them.
struct ModelFiles {
    cameras: HashMap<u32, Calibration>,
    /// The file of poses, for messages.
    source: PathBuf,
    /// By name.
    poses: Vec<ImageRecord>,
    points: Vec<SparsePoint>,
}

impl ModelFiles {
    /// Reads the files in `folder`.
    fn read(folder: &Path) -> Result<Self, CaptureError> {
        // COLMAP prefers binary files where both exist.
        let part = |name: &str| {
            let binary = folder.join(name).with_extension("bin");
            if binary.is_file() { binary } else { folder.join(name).with_extension("txt") }
        };
        let budget = Budget::new(MAX_BYTES);
        let cameras: HashMap<u32, Calibration> = load(&part("cameras"), &budget, binary::cameras, text::cameras)?;
        let source = part("images");
        let mut poses: Vec<ImageRecord> = load(&source, &budget, binary::images, text::images)?;
        let points = part("points3D");
        let points = if points.is_file() { load(&points, &budget, binary::points, text::points)? } else { Vec::new() };
        if poses.is_empty() {
            return Err(CaptureError::no_frames(&source, "the model has no registered image"));
        }
        poses.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { cameras, source, poses, points })
    }
}

/// Reads the model at or below `path`; images lie in `images` (or `images_N`) beside or above it.
pub(super) fn read(path: &Path, downscale: u32) -> Result<FrameList, CaptureError> {
    let folder = model_folder(path).ok_or_else(|| CaptureError::Unknown { path: path.into() })?;
    let ModelFiles { cameras, source, poses, points } = ModelFiles::read(&folder)?;
    let mut shown = shown_points::by_image(&points);
    let points: Vec<DVec3> = points.into_iter().map(|p| p.position).collect();
    let roots = [Some(path), folder.parent(), folder.parent().and_then(Path::parent)];
    let images = roots.into_iter().flatten().find_map(|root| Some((root, image_folder(root, downscale)?)));
    let (root, (images, reduced)) = images.ok_or_else(|| {
        CaptureError::no_frames(path, "there is no folder images, images_2, images_4 or images_8 beside the model")
    })?;
    let records = poses.iter().map(|pose| record(pose, &cameras, &source, &images, reduced));
    let mut records: Vec<FrameRecord> = records.collect::<Result<_, _>>()?;
    for (record, pose) in records.iter_mut().zip(&poses) {
        record.shown = shown.remove(&pose.id).unwrap_or_default();
    }
    let mut notes = locate(&mut records, &images, root, &source);
    let (mut train, note) = existing(records, &source);
    notes.extend(note);
    notes.extend(masks::find(&mut train, &ImageFiles::default(), root));
    if points.is_empty() {
        notes.push("the model has no points: the scene box follows from the cameras alone".into());
    }
    Ok(FrameList { source, train, notes, points, ..FrameList::default() })
}

/// Looks up the images of all frames in the folder `images`. Where that is a reduced one (`images_4`) whose files have
/// other names, they are taken in the order of those in `images`, or of the frames; else `images` itself is used.
fn locate(records: &mut [FrameRecord], images: &Path, root: &Path, source: &Path) -> Vec<String> {
    let files = ImageFiles::default();
    let plain = plain_images(root).unwrap_or_else(|| root.join("images"));
    let is_there = |records: &[FrameRecord]| records.iter().any(|r| r.image.is_file());
    let notes = files.locate(records, images, source);
    if is_there(records) || *images == plain {
        return notes;
    }
    let name = images.file_name().unwrap_or(images.as_os_str()).to_string_lossy().into_owned();
    let all = images_in(&plain).unwrap_or_default();
    let all: Vec<String> = all.iter().filter_map(|f| Some(f.file_name()?.to_str()?.to_string())).collect();
    let names: Vec<String> = records.iter().map(|r| r.name.clone()).collect();
    // The files of the full size that the frames name, by their place among all of them.
    let full: Vec<Option<String>> = names
        .iter()
        .map(|n| files.find(&plain, n).and_then(|(path, _)| Some(path.file_name()?.to_str()?.to_string())))
        .collect();
    let through = || {
        let paired = files.all_in(images, &all)?;
        let of: HashMap<&str, &PathBuf> = all.iter().map(String::as_str).zip(paired.iter().map(|p| &p.0)).collect();
        full.iter().map(|n| of.get(n.as_deref()?).map(|p| PathBuf::clone(p))).collect::<Option<Vec<PathBuf>>>()
    };
    let direct = || Some(files.all_in(images, &names)?.into_iter().map(|p| p.0).collect());
    if let Some(paths) = through().or_else(direct) {
        let example =
            format!("{} is {name}/{}", excerpt(&names[0]), paths[0].file_name().unwrap_or_default().display());
        records.iter_mut().zip(paths).for_each(|(record, path)| record.image = path);
        return vec![format!("the images of {name} have other names; their order decides: {example}")];
    }
    let notes = files.locate(records, &plain, source);
    if !is_there(records) {
        return notes;
    }
    records.iter_mut().for_each(|r| r.reduced = 1);
    let note = format!("the images of {name} have other names or are more or fewer; those in images are used");
    [note].into_iter().chain(notes).collect()
}

/// Parses a file as binary or text by its extension.
fn load<T>(
    path: &Path,
    budget: &Budget,
    binary: impl Fn(&[u8]) -> Result<T, FieldError>,
    text: impl Fn(&str) -> Result<T, FieldError>,
) -> Result<T, CaptureError> {
    let bytes = read_named(path, budget).map_err(CaptureError::io(path))?;
    let parsed = if path.extension().is_some_and(|e| e == "bin") {
        binary(&bytes)
    } else {
        text(&decode_text(bytes).map_err(CaptureError::io(path))?)
    };
    parsed.map_err(|(place, reason)| CaptureError::field(path, place, reason))
}

fn record(
    pose: &ImageRecord,
    cameras: &HashMap<u32, Calibration>,
    source: &Path,
    images: &Path,
    reduced: u32,
) -> Result<FrameRecord, CaptureError> {
    let at = format!("{}: ", excerpt(&pose.name));
    let fail = |field: &str, reason: String| CaptureError::field(source, format!("{at}{field}"), reason);
    let camera = cameras.get(&pose.camera);
    let camera =
        camera.ok_or_else(|| fail("CAMERA_ID", format!("camera {} is not in the cameras file", pose.camera)))?;
    let (focal, centre, lens) = lens(camera).map_err(|reason| fail("camera", reason))?;
    let camera_to_world = camera_to_world(pose).map_err(|(field, reason)| fail(&field, reason))?;
    Ok(FrameRecord {
        name: pose.name.clone(),
        image: images.join(&pose.name),
        masks: Vec::new(),
        depth: None,
        shown: Vec::new(),
        size: Some(camera.size),
        focal: focal.map(|f| Some(Focal::Pixels(f))),
        centre: centre.map(Some),
        lens,
        camera_to_world,
        reduced,
        shrunk: 1,
        decoded: None,
        at,
    })
}

fn camera_to_world(pose: &ImageRecord) -> Result<DMat4, FieldError> {
    let [w, x, y, z] = pose.rotation;
    let rotation = DQuat::from_xyzw(x, y, z, w);
    if !rotation.is_finite() || (rotation.length() - 1.0).abs() > 1e-2 {
        let reason = format!("{:?} is not a unit quaternion", pose.rotation);
        return Err(("QW QX QY QZ".into(), reason));
    }
    let translation = DVec3::from(pose.translation);
    if !translation.is_finite() {
        return Err(("TX TY TZ".into(), format!("{translation} holds numbers that are not finite")));
    }
    let back = DMat3::from_quat(rotation.normalize()).transpose();
    let position = -(back * translation);
    Ok(DMat4::from_cols(
        back.x_axis.extend(0.0),
        (-back.y_axis).extend(0.0),
        (-back.z_axis).extend(0.0),
        position.extend(1.0),
    ))
}

/// Focal lengths, principal point and lens of a calibration.
fn lens(camera: &Calibration) -> Result<([f64; 2], [f64; 2], Lens), String> {
    let p = &camera.parameters[..];
    if let Some(bad) = p.iter().find(|v| !v.is_finite()) {
        return Err(format!("parameter {bad} is not a finite number"));
    }
    let radial = |k: [f64; 4], t: [f64; 2]| Lens::open_cv(k, t, [0.0; 3]);
    let (focal, centre, lens) = match (camera.model, p) {
        ("SIMPLE_PINHOLE", &[f, x, y]) => ([f, f], [x, y], Lens::Pinhole),
        ("PINHOLE", &[f, g, x, y]) => ([f, g], [x, y], Lens::Pinhole),
        ("SIMPLE_RADIAL", &[f, x, y, k]) => ([f, f], [x, y], radial([k, 0.0, 0.0, 0.0], [0.0; 2])),
        ("RADIAL", &[f, x, y, k, l]) => ([f, f], [x, y], radial([k, l, 0.0, 0.0], [0.0; 2])),
        ("OPENCV", &[f, g, x, y, k, l, s, t]) => ([f, g], [x, y], radial([k, l, 0.0, 0.0], [s, t])),
        ("OPENCV_FISHEYE", &[f, g, x, y, k, l, m, n]) => ([f, g], [x, y], Lens::Fisheye { k: [k, l, m, n] }),
        ("FULL_OPENCV", &[f, g, x, y, k, l, s, t, m, q0, q1, q2]) => {
            ([f, g], [x, y], Lens::open_cv([k, l, m, 0.0], [s, t], [q0, q1, q2]))
        }
        ("SIMPLE_RADIAL_FISHEYE", &[f, x, y, k]) => ([f, f], [x, y], Lens::Fisheye { k: [k, 0.0, 0.0, 0.0] }),
        ("RADIAL_FISHEYE", &[f, x, y, k, l]) => ([f, f], [x, y], Lens::Fisheye { k: [k, l, 0.0, 0.0] }),
        // Newer models, and older ones with rare terms, where what they add is 0.
        ("FOV", &[f, g, x, y, 0.0]) => ([f, g], [x, y], Lens::Pinhole),
        ("SIMPLE_DIVISION", &[f, x, y, 0.0]) => ([f, f], [x, y], Lens::Pinhole),
        ("DIVISION", &[f, g, x, y, 0.0]) => ([f, g], [x, y], Lens::Pinhole),
        ("EUCM", &[f, g, x, y, 0.0, _]) => ([f, g], [x, y], Lens::Pinhole),
        ("SIMPLE_FISHEYE", &[f, x, y]) => ([f, f], [x, y], Lens::Fisheye { k: [0.0; 4] }),
        ("FISHEYE", &[f, g, x, y]) => ([f, g], [x, y], Lens::Fisheye { k: [0.0; 4] }),
        ("THIN_PRISM_FISHEYE", &[f, g, x, y, k, l, 0.0, 0.0, m, n, 0.0, 0.0]) => {
            ([f, g], [x, y], Lens::Fisheye { k: [k, l, m, n] })
        }
        ("RAD_TAN_THIN_PRISM_FISHEYE", &[f, g, x, y, k, l, m, n, ref rest @ ..]) if rest.iter().all(|v| *v == 0.0) => {
            ([f, g], [x, y], Lens::Fisheye { k: [k, l, m, n] })
        }
        ("EQUIRECTANGULAR", _) => {
            return Err("model EQUIRECTANGULAR (a panorama) is not supported; cut it into pinhole images".into());
        }
        (model, _) => {
            return Err(format!("model {model} with the terms that it adds is not supported; {UNDISTORT}"));
        }
    };
    Ok((focal, centre, lens))
}

/// Keeps a camera under its number.
fn add_camera(cameras: &mut HashMap<u32, Calibration>, id: u32, camera: Calibration) -> Result<(), String> {
    match cameras.get(&id) {
        Some(known) if *known != camera => Err(format!("camera {id} is there twice, with different values")),
        _ => {
            cameras.insert(id, camera);
            Ok(())
        }
    }
}

/// A picture's side, checked.
fn side(v: u64) -> Result<u32, String> {
    match u32::try_from(v) {
        Ok(s) if (1..=65_536).contains(&s) => Ok(s),
        _ => Err(format!("{v} is not an image size; expected 1 to 65536")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_looks_along_plus_z_with_y_down() {
        let pose = ImageRecord {
            id: 1,
            rotation: [1.0, 0.0, 0.0, 0.0],
            translation: [0.0, 0.0, 5.0],
            camera: 1,
            name: "a".into(),
        };
        let m = camera_to_world(&pose).unwrap();
        // t = (0, 0, 5) puts the world's origin 5 in front: the camera is at −5.
        assert_eq!(m.w_axis.truncate(), DVec3::new(0.0, 0.0, -5.0));
        assert_eq!(m.z_axis.truncate(), DVec3::NEG_Z, "backwards");
        assert_eq!(m.y_axis.truncate(), DVec3::NEG_Y, "up");
        assert!((m.determinant() - 1.0).abs() < 1e-12);
        for rotation in [[0.0; 4], [f64::NAN, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]] {
            assert!(camera_to_world(&ImageRecord { rotation, ..pose.clone() }).is_err());
        }
    }

    #[test]
    fn models_spread_their_parameters() {
        let with = |model, n: usize| {
            lens(&Calibration { model, size: (8, 8), parameters: (1..=n).map(|v| v as f64).collect() })
        };
        let unread = ["FOV", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE", "SIMPLE_DIVISION", "DIVISION", "EUCM"];
        for (model, n) in MODELS {
            let (focal, centre, lens) = match with(model, n) {
                Ok(found) => found,
                Err(reason) => {
                    assert!(unread.contains(&model) || model == "EQUIRECTANGULAR", "{reason}");
                    assert!(reason.contains(model) && (reason.contains("undistort") || reason.contains("pinhole")));
                    continue;
                }
            };
            assert!(!unread.contains(&model), "{model}");
            let two = ["PINHOLE", "OPENCV", "OPENCV_FISHEYE", "FULL_OPENCV", "FISHEYE"].contains(&model);
            assert_eq!(focal, if two { [1.0, 2.0] } else { [1.0, 1.0] }, "{model}");
            assert_eq!(centre, if two { [3.0, 4.0] } else { [2.0, 3.0] }, "{model}");
            if model == "FULL_OPENCV" {
                let wanted = Lens::OpenCv { k: [5.0, 6.0, 9.0, 0.0], p: [7.0, 8.0], q: [10.0, 11.0, 12.0] };
                assert_eq!(lens, wanted);
            }
        }
        assert!(with("PINHOLE", 3).is_err());
    }

    #[test]
    fn models_whose_further_terms_are_0_are_read() {
        let with =
            |model, parameters: &[f64]| lens(&Calibration { model, size: (8, 8), parameters: parameters.into() });
        let fisheye = |k| Ok(([8.0, 9.0], [4.0, 5.0], Lens::Fisheye { k }));
        // fx fy cx cy k1 k2 p1 p2 k3 k4 sx1 sy1.
        let thin = [8.0, 9.0, 4.0, 5.0, 0.1, 0.2, 0.0, 0.0, 0.3, 0.4, 0.0, 0.0];
        assert_eq!(with("THIN_PRISM_FISHEYE", &thin), fisheye([0.1, 0.2, 0.3, 0.4]));
        // fx fy cx cy k0..k5 p0 p1 s0..s3.
        let mut full = [0.0; 16];
        full[..8].copy_from_slice(&[8.0, 9.0, 4.0, 5.0, 0.1, 0.2, 0.3, 0.4]);
        assert_eq!(with("RAD_TAN_THIN_PRISM_FISHEYE", &full), fisheye([0.1, 0.2, 0.3, 0.4]));
        for i in 8..16 {
            let mut more = full;
            more[i] = 1e-3;
            assert!(with("RAD_TAN_THIN_PRISM_FISHEYE", &more).is_err(), "{i}");
        }
        let pinhole = Ok(([8.0, 9.0], [4.0, 5.0], Lens::Pinhole));
        assert_eq!(with("DIVISION", &[8.0, 9.0, 4.0, 5.0, 0.0]), pinhole);
        assert_eq!(with("FOV", &[8.0, 9.0, 4.0, 5.0, 0.0]), pinhole);
        assert_eq!(with("EUCM", &[8.0, 9.0, 4.0, 5.0, 0.0, 1.0]), pinhole);
        assert_eq!(with("FISHEYE", &[8.0, 9.0, 4.0, 5.0]), fisheye([0.0; 4]));
        assert!(with("DIVISION", &[8.0, 9.0, 4.0, 5.0, -0.1]).unwrap_err().contains("DIVISION"));
    }
}
