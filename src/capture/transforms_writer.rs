//! Writes the views of a capture as one `transforms.json`, each frame with intrinsics and lens of its own.
//!
//! What [`crate::read_capture`] reads from the file are the same cameras of the same images, in the same split. Masks are not
//! written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nstr_camera::camera_file::{intrinsics_json, pose_json};
use serde_json::{Map, Value, json};

use crate::error::CaptureError;
use crate::lens::Lens;
use crate::view::LensCamera;

/// A frame to write.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraFrame {
    /// Name of the view.
    pub name: String,
    /// Camera and lens at the size that the camera states.
    pub camera: LensCamera,
    /// Whether the frame belongs to the test split.
    pub is_test: bool,
}

/// Writes frames as a `transforms.json`. `images` has the image file of each view by its name, as
/// [`crate::Capture::image_files`]; those below the folder of `path` are named from there, others by their whole path.
///
/// # Errors
/// Lenses that the format has no words for (the denominator of COLMAP's FULL_OPENCV), and files that cannot be written.
pub fn write_transforms(
    path: &Path,
    frames: &[CameraFrame],
    images: &BTreeMap<String, PathBuf>,
) -> Result<(), CaptureError> {
    write_transforms_with(path, frames, images, Map::new())
}

/// As [`write_transforms`], with `header` beside the frames: values for the whole file, such as `ply_file_path`.
///
/// # Errors
/// Those of [`write_transforms`].
pub fn write_transforms_with(
    path: &Path,
    frames: &[CameraFrame],
    images: &BTreeMap<String, PathBuf>,
    header: Map<String, Value>,
) -> Result<(), CaptureError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = std::fs::canonicalize(folder).map_err(CaptureError::io(folder))?;
    let mut names: [Vec<Value>; 2] = Default::default();
    let mut list = Vec::with_capacity(frames.len());
    for frame in frames {
        let file_path = match images.get(&frame.name) {
            // One that has gone since is named as it was.
            Some(image) => std::fs::canonicalize(image).unwrap_or_else(|_| image.clone()),
            None => PathBuf::from(&frame.name),
        };
        let file_path = file_path.strip_prefix(&folder).unwrap_or(&file_path).to_string_lossy().into_owned();
        names[usize::from(frame.is_test)].push(json!(file_path));
        list.push(Value::Object(frame_json(path, frame, file_path)?));
    }
    let [train, test] = names;
    let mut root = header;
    for (key, value) in [("train_filenames", train), ("test_filenames", test), ("frames", list)] {
        root.insert(key.into(), Value::Array(value));
    }
    let root = Value::Object(root);
    let write = |source| CaptureError::Write { path: path.into(), source };
    nstr_files::write(path, format!("{root:#}\n").as_bytes()).map_err(write)
}

/// Checks that [`write_transforms`] can write a camera.
///
/// # Errors
/// Lenses that the format has no words for.
pub fn check_transforms(path: &Path, name: &str, lens: &Lens) -> Result<(), CaptureError> {
    match lens {
        Lens::OpenCv { q, .. } if q.iter().any(|q| *q != 0.0) => {
            let reason = "transforms.json has no denominator of the lens model; undistort the images first";
            Err(CaptureError::field(path, format!("lens of {name}"), reason))
        }
        _ => Ok(()),
    }
}

fn frame_json(path: &Path, frame: &CameraFrame, file_path: String) -> Result<Map<String, Value>, CaptureError> {
    let LensCamera { camera, lens } = &frame.camera;
    check_transforms(path, &frame.name, lens)?;
    let (model, k, p) = match *lens {
        Lens::Pinhole => ("PINHOLE", None, None),
        Lens::OpenCv { k, p, .. } => ("OPENCV", Some(k), Some(p)),
        Lens::Fisheye { k } => ("OPENCV_FISHEYE", Some(k), None),
    };
    let mut map = intrinsics_json(camera);
    let more =
        [("camera_model", json!(model)), ("file_path", json!(file_path)), ("transform_matrix", pose_json(camera))];
    map.extend(more.map(|(key, value)| (key.to_string(), value)));
    for (i, k) in k.iter().flatten().enumerate() {
        map.insert(format!("k{}", i + 1), json!(k));
    }
    for (i, p) in p.iter().flatten().enumerate() {
        map.insert(format!("p{}", i + 1), json!(p));
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ring;
    use crate::{CaptureOptions, read_capture};
    use glam::{DVec2, DVec3};
    use nstr_camera::camera::Camera;

    #[test]
    fn written_cameras_are_read_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let lenses = [
            Lens::Pinhole,
            Lens::open_cv([0.1, -0.02, 0.003, 1e-4], [0.001, -0.002], [0.0; 3]),
            Lens::Fisheye { k: [0.01, -0.002, 0.0, 1e-5] },
        ];
        let images = folder.path().join("pictures");
        std::fs::create_dir(&images).unwrap();
        let mut files = BTreeMap::new();
        let poses = ring(6, 3.0, DVec3::new(0.3, 0.1, -0.2));
        let frames: Vec<CameraFrame> = (0..6)
            .map(|i| {
                let (width, height) = (40, 30);
                let file = images.join(format!("{i}.png"));
                nstr_image::png::write(&file, &nstr_image::Rgba8::from_fn(width, height, |_| [9, 8, 7, 255])).unwrap();
                let name = format!("view {i}");
                files.insert(name.clone(), file);
                let focal = DVec2::new(31.5 + i as f64 / 3.0, 32.25);
                let centre = DVec2::new(20.125, 14.1);
                let camera = Camera { width, height, focal, centre, camera_to_world: poses[i] };
                CameraFrame { name, camera: LensCamera { camera, lens: lenses[i % 3] }, is_test: i == 4 }
            })
            .collect();
        let other = tempfile::tempdir().unwrap();
        for (file, inside) in
            [(folder.path().join("transforms.json"), true), (other.path().join("transforms.json"), false)]
        {
            write_transforms(&file, &frames, &files).unwrap();
            let read = read_capture(&file, &CaptureOptions::default()).unwrap();
            assert_eq!((read.train.len(), read.test.len()), (5, 1));
            let mut wanted: Vec<&CameraFrame> = frames.iter().filter(|f| !f.is_test).collect();
            wanted.extend(frames.iter().filter(|f| f.is_test));
            for (view, frame) in read.views().zip(wanted) {
                assert!(view.camera == frame.camera.camera && view.lens == frame.camera.lens, "{view:?}");
                assert_eq!(view.name.starts_with("pictures/"), inside, "{}", view.name);
                assert_eq!(view.image.pixel(3, 4), [9, 8, 7, 255]);
            }
        }
        let full = Lens::open_cv([0.1, 0.0, 0.0, 0.0], [0.0; 2], [0.2, 0.0, 0.0]);
        let bad = [CameraFrame { camera: LensCamera { lens: full, ..frames[0].camera }, ..frames[0].clone() }];
        let error = write_transforms(&folder.path().join("bad.json"), &bad, &files).unwrap_err().to_string();
        assert!(error.contains("lens of view 0") && error.contains("undistort"), "{error}");
    }
}
