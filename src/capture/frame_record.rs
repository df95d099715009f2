//! Frames as format readers return them, before their images are opened.

use std::path::{Path, PathBuf};

use glam::{DMat4, DVec2, DVec3};
use nstr_camera::camera::{Camera, CameraError};
use rayon::prelude::*;

use crate::error::CaptureError;
use crate::image;
use crate::lens::Lens;
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
    /// The mask, where there is one.
    pub mask: Option<PathBuf>,
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
    /// Opens the image (only its header unless `pixels`) and makes the view at 1/`downscale` of its size.
    pub fn load(&self, source: &Path, downscale: u32, pixels: bool) -> Result<View, CaptureError> {
        let (found, mut picture) = if pixels {
            let picture = image::read(&self.image)?;
            ((picture.width, picture.height), picture)
        } else {
            (image::size(&self.image)?, Image::default())
        };
        let mut camera = self.camera(source, found)?;
        let factor = downscale / self.reduced.max(1);
        if factor > 1 {
            if found.0 < factor || found.1 < factor {
                let reason = format!("{}x{} pixels leave nothing at 1/{factor} of the size", found.0, found.1);
                return Err(CaptureError::image(&self.image, reason + "; lower --downscale"));
            }
            (camera.width, camera.height) = (found.0 / factor, found.1 / factor);
            camera.focal /= factor as f64;
            camera.centre /= factor as f64;
        }
        let mut mask = None;
        if pixels {
            if let Some(path) = &self.mask {
                let full = image::read_mask(path, found.0, found.1)?;
                mask = Some(if factor > 1 { image::reduce_mask(&full, found.0, found.1, factor) } else { full });
            }
            if factor > 1 {
                picture = image::reduce(&picture, factor);
            }
        }
        (picture.width, picture.height) = (camera.width, camera.height);
        let mut view = View { name: self.name.clone(), camera, lens: self.lens, image: picture, mask };
        view.mask_lens();
        Ok(view)
    }

    /// The camera at the size of the picture on disk.
    fn camera(&self, source: &Path, found: (u32, u32)) -> Result<Camera, CaptureError> {
        let fail = |field: &str, reason: String| CaptureError::field(source, format!("{}{field}", self.at), reason);
        let (w, h) = self.size.unwrap_or(found);
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
) -> Result<Vec<View>, CaptureError> {
    records.par_iter().map(|record| record.load(source, downscale, pixels)).collect()
}

/// The frames whose images exist, and a note on the others.
pub(super) fn existing(records: Vec<FrameRecord>, source: &Path) -> (Vec<FrameRecord>, Option<String>) {
    let total = records.len();
    let (found, missing): (Vec<FrameRecord>, Vec<FrameRecord>) = records.into_iter().partition(|s| s.image.is_file());
    if missing.is_empty() {
        return (found, None);
    }
    let names: Vec<&str> = missing.iter().take(LISTED).map(|s| s.name.as_str()).collect();
    let more = if missing.len() > LISTED { ", …" } else { "" };
    let file = source.file_name().unwrap_or(source.as_os_str()).to_string_lossy();
    let note = format!(
        "{file}: {} of {total} frames have no image file and are skipped: {}{more}",
        missing.len(),
        names.join(", ")
    );
    (found, Some(note))
}

/// The picture `name` below `folder`, with an extension added where the name has none that exists.
pub(super) fn locate(folder: &Path, name: &str) -> PathBuf {
    // Captures made on Windows have backslashes.
    let plain = folder.join(name.replace('\\', "/"));
    if plain.is_file() {
        return plain;
    }
    let with = |extension: &str| {
        let mut name = plain.clone().into_os_string();
        name.push(extension);
        PathBuf::from(name)
    };
    let known = [".png", ".jpg", ".jpeg", ".exr", ".PNG", ".JPG", ".JPEG", ".EXR"];
    known.into_iter().map(with).find(|p| p.is_file()).unwrap_or(plain)
}

/// The folder with pictures beside a model: `images_N` where it exists for the wanted `downscale`, else `images`, else the
/// largest other `images_N`. Returns the folder and the part of `downscale` that it serves.
pub(super) fn image_folder(root: &Path, downscale: u32) -> Option<(PathBuf, u32)> {
    let numbered = |n: u32| root.join(format!("images_{n}"));
    if downscale > 1 && numbered(downscale).is_dir() {
        return Some((numbered(downscale), downscale));
    }
    let plain = root.join("images");
    if plain.is_dir() {
        return Some((plain, 1));
    }
    (2..=16).map(|n| (numbered(n), n)).find(|(p, _)| p.is_dir()).map(|(p, n)| {
        let served = if downscale.is_multiple_of(n) { n } else { 1 };
        (p, served)
    })
}

/// Images in a folder, sorted by name.
pub(super) fn images_in(folder: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(CaptureError::io(folder))? {
        let path = entry.map_err(CaptureError::io(folder))?.path();
        let known = path
            .extension()
            .and_then(|e| e.to_str())
            .is_some_and(|e| ["png", "jpg", "jpeg", "exr"].iter().any(|k| k.eq_ignore_ascii_case(e)));
        if known && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
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
        std::fs::create_dir(at.join("images")).unwrap();
        assert_eq!(image_folder(at, 2), Some((at.join("images"), 1)));
        assert_eq!(image_folder(at, 4), Some((at.join("images_4"), 4)));
    }

    #[test]
    fn names_without_extension_are_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("r_0.1.png"), b"").unwrap();
        assert_eq!(locate(dir.path(), "./r_0.1"), dir.path().join("./r_0.1.png"));
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/b.JPG"), b"").unwrap();
        assert_eq!(locate(dir.path(), r"a\b"), dir.path().join("a/b.JPG"));
        assert_eq!(locate(dir.path(), "no"), dir.path().join("no"));
    }
}
