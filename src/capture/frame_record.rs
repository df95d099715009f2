//! Frames as format readers return them, before their images are opened.

use std::path::{Path, PathBuf};

use glam::{DMat4, DVec2, DVec3};
use nstr_camera::camera::{Camera, CameraError};
use nstr_files::excerpt;
use nstr_image::orientation::Orientation;
use rayon::prelude::*;

use crate::depth::{DepthFile, DepthMap};
use crate::error::CaptureError;
use crate::image;
use crate::image::Decoded;
use crate::lens::Lens;
use crate::masks::MaskFile;
use crate::view::{Image, View};

/// Names of missing files that a note lists.
const LISTED: usize = 3;

/// A focal length as its file has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Focal {
    /// In pixels of the declared size.
    Pixels(f64),
    /// As the whole angle of view in radians.
    Angle(f64),
}

impl Focal {
    fn pixels(self, side: f64) -> f64 {
        match self {
            Self::Pixels(f) => f,
            Self::Angle(a) => 0.5 * side / (0.5 * a).tan(),
        }
    }
}

/// One frame: a pose, intrinsics as declared, and the paths of its image and mask.
#[derive(Clone, Debug)]
pub(super) struct FrameRecord {
    /// Name in the capture's file.
    pub name: String,
    /// Place in the capture's file, with a dot at the end, for messages: `frames[3].`
    pub at: String,
    /// The picture.
    pub image: PathBuf,
    /// The masks.
    pub masks: Vec<MaskFile>,
    /// The depth map, where there is one.
    pub depth: Option<DepthFile>,
    /// World positions on surfaces that the image is known to show.
    pub shown: Vec<DVec3>,
    /// Size that the intrinsics are meant for; the picture's own where `None`.
    pub size: Option<(u32, u32)>,
    /// Focal lengths along x and y; one may be missing.
    pub focal: [Option<Focal>; 2],
    /// Principal point; the middle where a coordinate is missing.
    pub centre: [Option<f64>; 2],
    pub lens: Lens,
    pub camera_to_world: DMat4,
    /// Factor by which the image on disk is smaller already, as part of `downscale`.
    pub reduced: u32,
    /// Factor by which the image on disk is smaller than the one that the intrinsics are meant for, where no size is
    /// declared; 1 otherwise.
    pub shrunk: u32,
    /// The picture itself, where the capture's file holds it; `image` is then that file.
    pub decoded: Option<Image>,
}

/// A view, and what there is to say about its files.
pub(super) struct LoadedView {
    pub view: View,
    /// The orientation that the image's file states, and whether the image was turned by it.
    pub orientation: (Orientation, bool),
    /// What the decoder had to say.
    pub notes: Vec<String>,
}

/// The scene's extent as far as the format knows it.
#[derive(Clone, Debug, Default)]
pub(super) enum SceneExtentHint {
    #[default]
    Unknown,
    /// The file declares a cube: centre and edge.
    Declared(DVec3, f64),
    /// Nearest and farthest depth of each frame, by its name.
    Depths(Vec<(String, f64, f64)>),
}

/// A capture before its images are opened.
#[derive(Debug, Default)]
pub(super) struct FrameList {
    /// The file that poses come from.
    pub source: PathBuf,
    pub train: Vec<FrameRecord>,
    /// `None` where the capture has no split.
    pub test: Option<Vec<FrameRecord>>,
    pub notes: Vec<String>,
    /// Points on surfaces, where the format has them.
    pub points: Vec<DVec3>,
    pub extent: SceneExtentHint,
}

impl FrameRecord {
    /// Factor by which the image on disk is made smaller for `downscale`.
    pub fn factor(&self, downscale: u32) -> u32 {
        let served = if self.shrunk > 1 && downscale.is_multiple_of(self.shrunk) { self.shrunk } else { self.reduced };
        downscale / served.max(1)
    }

    /// Opens the image (only its header unless `pixels`) and makes the view at 1/`downscale` of its size.
    pub fn load(&self, source: &Path, downscale: u32, pixels: bool) -> Result<LoadedView, CaptureError> {
        let Decoded { image: mut picture, orientation, usable, notes } = match &self.decoded {
            Some(decoded) => Decoded::held(decoded, pixels),
            None if pixels => image::read(&self.image)?,
            None => image::header(&self.image)?,
        };
        let turn = self.turn((picture.width, picture.height), orientation);
        let mut mask = usable.map(|u| turn.turn(u, picture.width as usize, picture.height as usize, 1));
        picture = image::turned(picture, turn);
        let found = (picture.width, picture.height);
        let mut camera = self.camera(source, found)?;
        let factor = self.factor(downscale);
        if factor > 1 {
            if found.0 < factor || found.1 < factor {
                let reason = format!("{}x{} pixels leave nothing at 1/{factor} of the size", found.0, found.1);
                return Err(CaptureError::image(&self.image, reason + "; lower --downscale"));
            }
            (camera.width, camera.height) = (found.0 / factor, found.1 / factor);
            camera.focal /= factor as f64;
            camera.centre /= factor as f64;
        }
        if pixels {
            for file in &self.masks {
                let usable = file.read(found, turn)?;
                mask = Some(match mask {
                    None => usable,
                    Some(mask) => mask.into_iter().zip(usable).map(|(a, b)| a && b).collect(),
                });
            }
            if factor > 1 {
                mask = mask.map(|full| image::reduce_mask(&full, found.0, found.1, factor));
                picture = image::reduce(&picture, factor);
            }
        }
        (picture.width, picture.height) = (camera.width, camera.height);
        let mut view = View { name: self.name.clone(), camera, lens: self.lens, image: picture, mask, depth: None };
        view.mask_lens();
        if pixels {
            view.depth = match &self.depth {
                Some(file) => Some(file.read(found, turn)?),
                None if self.shown.is_empty() => None,
                None => Some(DepthMap::projected(&view, &self.shown)).filter(|depth| !depth.is_empty()),
            };
        }
        Ok(LoadedView { view, orientation: (orientation, !turn.is_upright()), notes })
    }

    /// The turn that the image needs: its orientation where only so it has the declared shape. Poses belong to the stored
    /// pixels otherwise, because the tools that find them read those.
    fn turn(&self, (w, h): (u32, u32), orientation: Orientation) -> Orientation {
        match self.size {
            Some(size) if !same_shape(size, (w, h)) && same_shape(size, orientation.size(w, h)) => orientation,
            _ => Orientation::Upright,
        }
    }

    /// The camera at the size of the picture on disk.
    fn camera(&self, source: &Path, found: (u32, u32)) -> Result<Camera, CaptureError> {
        let fail = |field: &str, reason: String| CaptureError::field(source, format!("{}{field}", self.at), reason);
        let (w, h) = self.size.unwrap_or((found.0 * self.shrunk, found.1 * self.shrunk));
        let scale = DVec2::new(found.0 as f64 / w as f64, found.1 as f64 / h as f64);
        if !same_shape((w, h), found) {
            let reason = format!("{}x{} pixels where {} declares {w}x{h}", found.0, found.1, source.display());
            let cure = "; export the picture unrotated and uncropped at the declared size or a fraction of it";
            return Err(CaptureError::image(&self.image, reason + cure));
        }
        let [x, y] = [(self.focal[0], w), (self.focal[1], h)].map(|(f, side)| f.map(|f| f.pixels(side as f64)));
        let focal = match (x, y) {
            (Some(x), y) => DVec2::new(x, y.unwrap_or(x)),
            (None, Some(y)) => DVec2::splat(y),
            (None, None) => return Err(fail("fl_x", "missing: expected fl_x or camera_angle_x".into())),
        };
        let centre = DVec2::new(self.centre[0].unwrap_or(0.5 * w as f64), self.centre[1].unwrap_or(0.5 * h as f64));
        if !self.lens.is_finite() {
            return Err(fail("lens", "a distortion coefficient is not a finite number".into()));
        }
        let camera = Camera {
            width: found.0,
            height: found.1,
            focal: focal * scale,
            centre: centre * scale,
            camera_to_world: self.camera_to_world,
        };
        match camera.validate() {
            Ok(()) => Ok(camera),
            Err(CameraError::Invalid { field, reason }) => Err(fail(field, reason)),
            Err(other) => Err(fail("", other.to_string())),
        }
    }
}

/// True where one size is the other scaled as a whole, to within a pixel of rounding.
fn same_shape(declared: (u32, u32), found: (u32, u32)) -> bool {
    let [w, h, fw, fh] = [declared.0, declared.1, found.0, found.1].map(|v| v as f64);
    (fw - fh / h * w).abs() <= 1.0 || (fh - fw / w * h).abs() <= 1.0
}

/// The views of frames, loaded in parallel, in order.
pub(super) fn load_images(
    records: &[FrameRecord],
    source: &Path,
    downscale: u32,
    pixels: bool,
) -> Result<Vec<LoadedView>, CaptureError> {
    records.par_iter().map(|record| record.load(source, downscale, pixels)).collect()
}

/// The frames whose images exist, and a note on the others.
pub(super) fn existing(records: Vec<FrameRecord>, source: &Path) -> (Vec<FrameRecord>, Option<String>) {
    let total = records.len();
    let (found, missing): (Vec<FrameRecord>, Vec<FrameRecord>) = records.into_iter().partition(|s| s.image.is_file());
    if missing.is_empty() {
        return (found, None);
    }
    let names: Vec<String> = missing.iter().take(LISTED).map(|s| excerpt(&s.name)).collect();
    let more = if missing.len() > LISTED { ", …" } else { "" };
    let file = source.file_name().unwrap_or(source.as_os_str()).to_string_lossy();
    let note = format!(
        "{file}: {} of {total} frames have no image file and are skipped: {}{more}",
        missing.len(),
        names.join(", ")
    );
    (found, Some(note))
}

/// The folder with pictures beside a model: `images_N` where it exists for the wanted `downscale`, else `images`, else the
/// largest other `images_N`. Returns the folder and the part of `downscale` that it serves.
pub(super) fn image_folder(root: &Path, downscale: u32) -> Option<(PathBuf, u32)> {
    let numbered = |n: u32| root.join(format!("images_{n}"));
    if downscale > 1 && numbered(downscale).is_dir() {
        return Some((numbered(downscale), downscale));
    }
    if let Some(plain) = plain_images(root) {
        return Some((plain, 1));
    }
    (2..=16).map(|n| (numbered(n), n)).find(|(p, _)| p.is_dir()).map(|(p, n)| {
        let served = if downscale.is_multiple_of(n) { n } else { 1 };
        (p, served)
    })
}

/// The folder `images`, whatever its case.
pub(super) fn plain_images(root: &Path) -> Option<PathBuf> {
    let plain = root.join("images");
    if plain.is_dir() {
        return Some(plain);
    }
    let entries = std::fs::read_dir(if root.as_os_str().is_empty() { Path::new(".") } else { root }).ok()?;
    let is_like = |e: &std::fs::DirEntry| e.file_name().eq_ignore_ascii_case("images") && e.path().is_dir();
    entries.flatten().filter(is_like).map(|e| root.join(e.file_name())).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_match_up_to_rounding() {
        for (a, b, same) in [
            ((1080, 1920), (270, 480), true),
            ((1080, 1920), (1080, 1920), true),
            ((4946, 3286), (1237, 822), true),
            ((4946, 3286), (618, 411), true),
            ((1080, 1920), (1920, 1080), false),
            ((800, 800), (800, 600), false),
        ] {
            assert_eq!(same_shape(a, b), same, "{a:?} {b:?}");
        }
    }

    #[test]
    fn numbered_folders_serve_the_downscale() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        assert_eq!(image_folder(at, 1), None);
        std::fs::create_dir(at.join("images_4")).unwrap();
        assert_eq!(image_folder(at, 4), Some((at.join("images_4"), 4)));
        assert_eq!(image_folder(at, 1), Some((at.join("images_4"), 1)));
        assert_eq!(image_folder(at, 8), Some((at.join("images_4"), 4)));
        std::fs::create_dir(at.join("Images")).unwrap();
        assert_eq!(image_folder(at, 1).map(|f| (f.0.is_dir(), f.1)), Some((true, 1)));
        std::fs::rename(at.join("Images"), at.join("images")).unwrap();
        assert_eq!(image_folder(at, 2), Some((at.join("images"), 1)));
        assert_eq!(image_folder(at, 4), Some((at.join("images_4"), 4)));
    }
}
