//! Sparse models as structure from motion leaves them: cameras of the registered images, points with their tracks.

use std::path::Path;

use glam::{DVec2, DVec3};
use nstr_camera::camera::Camera;

use crate::colmap::{ModelFiles, camera_to_world, lens, model_folder};
use crate::error::CaptureError;
use crate::view::LensCamera;

/// A point that several images show.
#[derive(Clone, Debug, PartialEq)]
pub struct SparsePoint {
    /// Position in the model's world.
    pub position: DVec3,
    /// Mean colour, sRGB.
    pub colour: [u8; 3],
    /// Mean distance of its projections from the features that it was found by, in pixels; `None` where the file does not say.
    pub error: Option<f64>,
    /// Number of the image of each feature that it was found by, as the model counts them.
    pub images: Vec<u32>,
}

/// Result of structure from motion.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseModel {
    /// Name and camera of each registered image, by name, at the size that its calibration states.
    pub cameras: Vec<(String, LensCamera)>,
    /// Points on surfaces.
    pub points: Vec<SparsePoint>,
}

/// Reads a COLMAP model, binary or text, in `folder` or where captures have it below.
///
/// # Errors
/// No model, files that cannot be read or hold something else, models without an image, lens models that are not supported.
pub fn read_sparse_model(folder: &Path) -> Result<SparseModel, CaptureError> {
    let at = model_folder(folder).ok_or_else(|| CaptureError::Unknown { path: folder.into() })?;
    let files = ModelFiles::read(&at)?;
    let mut cameras = Vec::with_capacity(files.poses.len());
    for pose in &files.poses {
        let fail = |field: &str, reason: String| {
            CaptureError::field(&files.source, format!("{}: {field}", nstr_files::excerpt(&pose.name)), reason)
        };
        let calibration = files.cameras.get(&pose.camera);
        let calibration = calibration
            .ok_or_else(|| fail("CAMERA_ID", format!("camera {} is not in the cameras file", pose.camera)))?;
        let (focal, centre, lens) = lens(calibration).map_err(|reason| fail("camera", reason))?;
        let camera_to_world = camera_to_world(pose).map_err(|(field, reason)| fail(&field, reason))?;
        let (width, height) = calibration.size;
        let camera = Camera { width, height, focal: DVec2::from(focal), centre: DVec2::from(centre), camera_to_world };
        camera.validate().map_err(|e| fail("camera", e.to_string()))?;
        cameras.push((pose.name.clone(), LensCamera { camera, lens }));
    }
    Ok(SparseModel { cameras, points: files.points })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lens;

    #[test]
    fn cameras_and_points_of_a_model() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("cameras.txt", "3 SIMPLE_RADIAL 40 30 50 20 15 0.01\n");
        write("images.txt", "2 1 0 0 0 0 0 5 3 b.png\n\n1 1 0 0 0 0 0 4 3 a.png\n\n");
        write("points3D.txt", "1 1 2 3 9 8 7 0.5 1 2 2 7 3 1\n2 nan 2 3 9 8 7 0.5 1 2\n");
        let model = read_sparse_model(dir.path()).unwrap();
        let names: Vec<&str> = model.cameras.iter().map(|c| c.0.as_str()).collect();
        assert_eq!(names, ["a.png", "b.png"]);
        let LensCamera { camera, lens } = &model.cameras[1].1;
        assert_eq!((camera.width, camera.focal, camera.centre), (40, DVec2::splat(50.0), DVec2::new(20.0, 15.0)));
        assert_eq!(camera.position(), DVec3::new(0.0, 0.0, -5.0));
        assert_eq!(*lens, Lens::open_cv([0.01, 0.0, 0.0, 0.0], [0.0; 2], [0.0; 3]));
        let point = SparsePoint {
            position: DVec3::new(1.0, 2.0, 3.0),
            colour: [9, 8, 7],
            error: Some(0.5),
            images: vec![1, 2, 3],
        };
        assert_eq!(model.points, [point]);
        write("cameras.txt", "4 SIMPLE_RADIAL 40 30 50 20 15 0.01\n");
        let said = read_sparse_model(dir.path()).unwrap_err().to_string();
        assert!(said.contains("a.png: CAMERA_ID"), "{said}");
        assert!(read_sparse_model(&dir.path().join("none")).is_err());
    }
}
