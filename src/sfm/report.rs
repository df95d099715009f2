//! What structure from motion found, in numbers, and what is wrong with it.

use std::path::Path;

use nstr_capture::SparseModel;
use serde::{Deserialize, Serialize};

use crate::error::SfmError;

/// Part of the images below which a model is none of the scene.
const MIN_REGISTERED: f64 = 0.1;
/// Part of the images from which on nothing has to be said about the others.
const MOST_REGISTERED: f64 = 0.95;
/// Mean reprojection error, in pixels, from which on poses are doubtful.
const LARGE_ERROR: f64 = 2.0;
/// Names that a note lists.
const LISTED: usize = 6;
/// Longest side in pixels that a fit is proposed for.
const FITTED_SIDE: u32 = 1000;

/// Result of [`crate::reconstruct`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SfmReport {
    /// The program that found the cameras, with its version.
    pub program: String,
    /// Images that it was given.
    pub images: usize,
    /// Images whose cameras it found.
    pub registered: usize,
    /// Names of the others.
    pub unregistered: Vec<String>,
    /// Images of each model that it made, the largest first; the capture holds that one.
    pub models: Vec<usize>,
    /// Points on surfaces.
    pub points: usize,
    /// Mean number of images that show a point.
    pub track_length: f64,
    /// Mean distance of a point's projections from its features, in pixels.
    pub reprojection_error: Option<f64>,
    /// Size of the first image, in pixels.
    pub size: (u32, u32),
    /// Its focal lengths along x and y, in pixels.
    pub focal: (f64, f64),
    /// Name of its lens model.
    pub lens: String,
    /// One sentence for everything left out, doubtful or unusual.
    pub notes: Vec<String>,
}

impl SfmReport {
    /// Numbers of the chosen model; `models` has the sizes of all.
    pub(crate) fn of(model: &SparseModel, program: String, names: &[String], models: Vec<usize>) -> Self {
        let is_registered = |name: &&String| model.cameras.binary_search_by(|c| c.0.as_str().cmp(name)).is_ok();
        let unregistered: Vec<String> = names.iter().filter(|n| !is_registered(n)).cloned().collect();
        let count = model.points.len();
        let mean = |sum: f64, n: usize| if n > 0 { sum / n as f64 } else { 0.0 };
        let errors: Vec<f64> = model.points.iter().filter_map(|p| p.error).collect();
        let first = model.cameras.first().map(|c| &c.1);
        let mut report = Self {
            program,
            images: names.len(),
            registered: model.cameras.len(),
            unregistered,
            models,
            points: count,
            track_length: mean(model.points.iter().map(|p| p.images.len() as f64).sum(), count),
            reprojection_error: (!errors.is_empty()).then(|| mean(errors.iter().sum(), errors.len())),
            size: first.map_or((0, 0), |c| (c.camera.width, c.camera.height)),
            focal: first.map_or((0.0, 0.0), |c| (c.camera.focal.x, c.camera.focal.y)),
            lens: first.map_or("", |c| c.lens.name()).into(),
            notes: Vec::new(),
        };
        report.notes = report.doubts();
        report
    }

    fn doubts(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.models.len() > 1 {
            let sizes: Vec<String> = self.models.iter().take(LISTED).map(usize::to_string).collect();
            notes.push(format!(
                "the images fall into {} parts that COLMAP cannot connect (of {} images); the largest is taken. Images that lead from \
                 one part to the other are missing: take some, or try --matcher exhaustive, more --frames or more --features",
                self.models.len(),
                sizes.join(", ")
            ));
        }
        if (self.registered as f64) < MOST_REGISTERED * self.images as f64 {
            let more = if self.unregistered.len() > LISTED { ", …" } else { "" };
            let listed = &self.unregistered[..self.unregistered.len().min(LISTED)];
            let cure = if self.models.len() > 1 {
                ""
            } else {
                ". They overlap too little with the others, are blurred or show too little texture; more --frames, --matcher exhaustive \
                 or more --features may help"
            };
            notes.push(format!(
                "{} of {} images have no camera and are left out: {}{more}{cure}",
                self.unregistered.len(),
                self.images,
                listed.join(", ")
            ));
        }
        if let Some(error) = self.reprojection_error.filter(|e| *e > LARGE_ERROR) {
            notes.push(format!(
                "a mean reprojection error of {error:.1} pixels is large: the lens may be of another kind (--camera-model, \
                 --camera-per-image), or much moved while filming; look at the picture of the cameras"
            ));
        }
        let wide = f64::from(self.size.0.max(self.size.1)) / self.focal.0.max(1e-9);
        if !(0.1..6.0).contains(&wide) {
            notes.push(format!(
                "a focal length of {:.0} pixels for a side of {} is not that of a usual lens; try --camera-model SIMPLE_RADIAL",
                self.focal.0,
                self.size.0.max(self.size.1)
            ));
        }
        notes
    }

    /// Refuses a model that holds next to nothing of the images.
    pub(crate) fn check(&self, input: &Path) -> Result<(), SfmError> {
        if self.registered >= 3 && self.registered as f64 >= MIN_REGISTERED * self.images as f64 {
            return Ok(());
        }
        Err(no_model(input, &format!("cameras of {} of {} images only", self.registered, self.images)))
    }

    /// Downscale at which a fit of the capture is proposed.
    pub fn fit_downscale(&self) -> u32 {
        let longest = self.size.0.max(self.size.1);
        (1..=64).find(|n| longest / n <= FITTED_SIDE).unwrap_or(64)
    }
}

/// The error of images that make no model.
pub(crate) fn no_model(input: &Path, found: &str) -> SfmError {
    SfmError::Cameras {
        path: input.into(),
        reason: format!(
            "COLMAP finds {found}. Images have to overlap by more than half with their neighbours, show surfaces with texture, and be \
             taken from different places (turning on the spot is not enough). Try more --frames, --matcher exhaustive, more \
             --features or --camera-model SIMPLE_RADIAL, or take the images anew"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::{DMat4, DVec2, DVec3};
    use nstr_camera::camera::Camera;
    use nstr_capture::{Lens, LensCamera, SparsePoint};

    fn model(names: &[&str]) -> SparseModel {
        let camera = Camera {
            width: 2000,
            height: 1000,
            focal: DVec2::splat(1500.0),
            centre: DVec2::new(1000.0, 500.0),
            camera_to_world: DMat4::IDENTITY,
        };
        let camera = LensCamera { camera, lens: Lens::Pinhole };
        let point =
            |track, error| SparsePoint { position: DVec3::ZERO, colour: [0; 3], error, images: (0..track).collect() };
        SparseModel {
            cameras: names.iter().map(|n| (n.to_string(), camera)).collect(),
            points: vec![point(2, Some(0.5)), point(4, Some(1.5)), point(3, None)],
        }
    }

    #[test]
    fn numbers_of_a_model() {
        let names: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let report = SfmReport::of(&model(&["a", "b", "c"]), "COLMAP 3".into(), &names, vec![3]);
        assert_eq!((report.registered, report.points, report.track_length), (3, 3, 3.0));
        assert_eq!((report.reprojection_error, report.fit_downscale()), (Some(1.0), 2));
        assert!(report.notes.is_empty() && report.check(Path::new("x")).is_ok(), "{:?}", report.notes);
    }

    #[test]
    fn doubts_are_said_with_their_remedies() {
        let names: Vec<String> = (0..9).map(|i| i.to_string()).collect();
        let report = SfmReport::of(&model(&["0", "1", "2", "3"]), "COLMAP 3".into(), &names, vec![4, 3]);
        assert_eq!(report.unregistered, ["4", "5", "6", "7", "8"]);
        assert!(report.notes[0].contains("2 parts") && report.notes[0].contains("4, 3 images"), "{:?}", report.notes);
        assert!(report.notes[1].contains("5 of 9 images"), "{:?}", report.notes);
        let many: Vec<String> = (0..50).map(|i| i.to_string()).collect();
        let said = SfmReport::of(&model(&["0", "1", "2", "3"]), "COLMAP 3".into(), &many, vec![4]);
        let said = said.check(Path::new("walk.mp4")).unwrap_err().to_string();
        assert!(said.starts_with("walk.mp4") && said.contains("4 of 50") && said.contains("overlap"), "{said}");
    }
}
