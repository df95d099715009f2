//! Camera paths among the places that a model's capture was taken from.

use std::path::Path;

use nstr_camera::Camera;
use nstr_capture::{CameraPathKind, View, camera_path, read_capture};

use crate::error::{Context, Error};
use crate::field::RadianceModel;

impl RadianceModel {
    /// Cameras of a path of `frames` images among those of the capture in `reference`, training and test views in their order,
    /// and the kind that the path is; see [`camera_path`]. Images have `size` pixels, or as many as those of the fit. `path` is
    /// where the model came from.
    ///
    /// # Errors
    /// Captures that cannot be read, models that were not fitted to one, sizes that cannot be rendered.
    pub fn camera_path(
        &self,
        path: &Path,
        reference: &Path,
        kind: CameraPathKind,
        frames: usize,
        size: Option<(u32, u32)>,
    ) -> Result<(Vec<Camera>, CameraPathKind), Error> {
        let capture = read_capture(reference, &self.capture_settings(path)?.cameras_only())?;
        let mut views: Vec<View> = capture.train;
        views.extend(capture.test);
        // The splits have torn apart what names put in the order that it was taken in.
        views.sort_by(|a, b| a.name.cmp(&b.name));
        camera_path(&views, &self.map(), kind, frames, size).at(reference)
    }
}
