//! Models that COLMAP leaves: finding them, and setting one upright.

use std::fs;
use std::path::Path;

use nstr_camera::camera::Camera;
use nstr_capture::{LensCamera, Similarity, SparseModel, read_sparse_model};

use crate::error::SfmError;
use crate::orientation::{moved, upright};

/// Models in `sparse`: number of images and folder, the largest first.
pub(crate) fn found_models(sparse: &Path) -> Result<Vec<(usize, String)>, SfmError> {
    let mut models = Vec::new();
    for entry in fs::read_dir(sparse).map_err(SfmError::io(sparse))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let has_files = ["images.bin", "images.txt"].iter().any(|file| entry.path().join(file).is_file());
        if has_files && name.parse::<u32>().is_ok() {
            models.push((read_sparse_model(&entry.path())?.cameras.len(), name));
        }
    }
    models.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.len().cmp(&b.1.len())).then(a.1.cmp(&b.1)));
    Ok(models)
}

/// Whether the mapper's log says that it found nothing to begin with.
pub(crate) fn says_no_model(log: &Path) -> bool {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).to_lowercase()).unwrap_or_default();
    ["no good initial image pair", "failed to create", "no images with matches", "could not find"]
        .iter()
        .any(|words| text.contains(words))
}

/// The model with z up around its cameras, and the similarity that led there.
pub(crate) fn stand_upright(model: SparseModel) -> (SparseModel, Similarity) {
    let cameras: Vec<Camera> = model.cameras.iter().map(|c| c.1.camera).collect();
    let similarity = upright(&cameras);
    let cameras = model.cameras.into_iter();
    let cameras = cameras.map(|(name, c)| (name, LensCamera { camera: moved(&c.camera, &similarity), ..c })).collect();
    let mut points = model.points;
    points.iter_mut().for_each(|p| p.position = similarity.apply(p.position));
    (SparseModel { cameras, points }, similarity)
}
