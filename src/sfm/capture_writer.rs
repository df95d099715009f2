//! The capture of a model: points, cameras, and a picture of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nstr_capture::{
    CameraFrame, CaptureOptions, LensCamera, Similarity, SparseModel, draw, read_capture, write_points,
    write_transforms_with,
};
use nstr_image::png;
use serde_json::{Map, json};

use crate::error::SfmError;

/// Size of the picture of the cameras.
const PICTURE: (u32, u32) = (1280, 960);

/// Writes `points.ply`, `transforms.json` and `cameras.png` into `folder`, whose `images` are in place. `similarity` is what led from
/// COLMAP's world to the model's.
pub(crate) fn write_capture(folder: &Path, model: &SparseModel, similarity: &Similarity) -> Result<(), SfmError> {
    write_points(&folder.join("points.ply"), &model.points)?;
    let frame =
        |(name, camera): &(String, LensCamera)| CameraFrame { name: name.clone(), camera: *camera, is_test: false };
    let frames: Vec<CameraFrame> = model.cameras.iter().map(frame).collect();
    let files: BTreeMap<String, PathBuf> =
        model.cameras.iter().map(|c| (c.0.clone(), folder.join("images").join(&c.0))).collect();
    let rows: [[f64; 4]; 3] = std::array::from_fn(|i| {
        let row = similarity.rotation.row(i) * similarity.scale;
        [row.x, row.y, row.z, similarity.translation[i]]
    });
    let mut header = Map::new();
    header.insert("ply_file_path".into(), json!("points.ply"));
    // The linear part holds the scale too.
    header.insert("applied_transform".into(), json!(rows));
    write_transforms_with(&folder.join("transforms.json"), &frames, &files, header)?;
    let options = CaptureOptions { images: false, ..CaptureOptions::default() };
    let picture = draw::cameras(&read_capture(folder, &options)?, PICTURE.0, PICTURE.1)?;
    let path = folder.join("cameras.png");
    png::write(&path, &picture).map_err(|e| SfmError::output(&path, e.to_string()))
}
