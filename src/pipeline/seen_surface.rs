//! The surface of a radiance field that its capture's cameras see.

use std::path::Path;

use nstr_capture::{LensCamera, View, read_capture};
use nstr_render::volume::{LevelSet, fused_surface};

use crate::error::Error;
use crate::field::RadianceModel;

impl RadianceModel {
    /// The surface that the training cameras of the capture in `reference` see, with normals and colours, `resolution` cells along the
    /// cube's edge; see [`fused_surface`]. `path` is where the model came from; `progress` is told how many of how many pictures are done.
    ///
    /// # Errors
    /// Captures that cannot be read, models that were not fitted to one, cameras that see nothing, resolutions out of range.
    pub fn seen_surface(
        &self,
        path: &Path,
        reference: &Path,
        resolution: usize,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<LevelSet, Error> {
        let capture = read_capture(reference, &self.capture_settings(path)?.cameras_only())?;
        let cameras: Vec<LensCamera> = capture.train.iter().map(View::lens_camera).collect();
        let found = fused_surface(&self.renderer()?, &cameras, resolution, |done| progress(done, cameras.len()))?;
        Ok(found)
    }
}
