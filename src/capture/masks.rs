//! Masks of images: pixels that say nothing, in each of the ways that capture tools store them.
//!
//! | source | file | left out |
//! |---|---|---|
//! | nerfstudio's `mask_path` | as the frame says | black |
//! | COLMAP, brush | `masks/NAME.png` beside the folder `images`, or with the image's own extension replaced | black |
//! | instant-ngp | `dynamic_mask_NAME.png` beside the image | all but black |
//!
//! A pixel that any mask leaves out is out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nstr_image::orientation::Orientation;

use crate::error::CaptureError;
use crate::frame_record::FrameRecord;
use crate::image;
use crate::image_files::{DYNAMIC_MASK, ImageFiles, images_in};
use crate::view::Image;

/// A mask of one image.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MaskFile {
    /// The picture.
    pub path: PathBuf,
    /// Black pixels are in and all others out, as in instant-ngp; else black ones are out.
    is_black_in: bool,
}

impl MaskFile {
    /// A mask whose black pixels are left out.
    pub fn black_is_out(path: PathBuf) -> Self {
        Self { path, is_black_in: false }
    }

    /// `true` where a pixel of an image of the given size may be used. A mask of a whole number of times the image's size,
    /// or of a whole part of it, is taken at the nearest pixel; one that fits only when turned as the image was is turned.
    pub fn read(&self, size: (u32, u32), turned: Orientation) -> Result<Vec<bool>, CaptureError> {
        let mut mask = image::read(&self.path)?.image;
        if !is_multiple((mask.width, mask.height), size) {
            let upright = turned.size(mask.width, mask.height);
            if !turned.swaps_axes() || !is_multiple(upright, size) {
                let reason = format!("a mask of {}x{} for an image of {}x{}", mask.width, mask.height, size.0, size.1);
                let cure = "; export it at the image's size, or a whole number of times larger or smaller";
                return Err(CaptureError::image(&self.path, reason + cure));
            }
            mask = image::turned(mask, turned);
        }
        Ok(self.usable(&mask, size))
    }

    fn usable(&self, mask: &Image, (width, height): (u32, u32)) -> Vec<bool> {
        let scale = |i: u32, from: u32, to: u32| ((i as u64 * 2 + 1) * to as u64 / (from as u64 * 2)) as u32;
        let mut out = Vec::with_capacity(width as usize * height as usize);
        for y in 0..height {
            for x in 0..width {
                let [r, g, b, a] = mask.pixel(scale(x, width, mask.width), scale(y, height, mask.height));
                let is_black = r | g | b == 0;
                // A transparent pixel of the usual masks counts as black.
                out.push(if self.is_black_in { is_black } else { a > 0 && !is_black });
            }
        }
        out
    }
}

/// True where one size is the other times a whole number, up to the rounding of reduced pictures.
fn is_multiple(a: (u32, u32), b: (u32, u32)) -> bool {
    let (large, small) = if a.0 >= b.0 { (a, b) } else { (b, a) };
    let factor = (f64::from(large.0) / f64::from(small.0)).round().max(1.0);
    // What a reduced picture leaves over, rounded down or to the nearest.
    let rest = |l: u32, s: u32| f64::from(l) - factor * f64::from(s);
    let fits = |rest: f64| (-0.5 * factor..factor).contains(&rest);
    fits(rest(large.0, small.0)) && fits(rest(large.1, small.1))
}

/// Adds the masks that lie beside the frames' images, below the capture's folder `root`; notes on what was found.
pub(super) fn find(records: &mut [FrameRecord], files: &ImageFiles, root: &Path) -> Vec<String> {
    let (mut named, mut dynamic, mut beside) = (0, 0, 0);
    let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
    for record in records.iter_mut() {
        let Some((folder, name)) = record.image.parent().zip(record.image.file_name().and_then(|n| n.to_str())) else {
            continue;
        };
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let places = if record.masks.is_empty() { mask_places(&record.image, root) } else { Vec::new() };
        named += usize::from(!record.masks.is_empty());
        let found = places.iter().find_map(|(root, parts)| {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            files.below(root, &parts)
        });
        if let Some(found) = found {
            record.masks.push(MaskFile::black_is_out(found));
            beside += 1;
        } else if let Some((root, parts)) = places.first() {
            folders.extend(parts.first().map(|masks| root.join(masks)));
        }
        if let Some(path) = files.in_folder(folder, &format!("{DYNAMIC_MASK}{stem}.png")) {
            record.masks.push(MaskFile { path, is_black_in: true });
            dynamic += 1;
        }
    }
    let total = records.len();
    let mut notes = Vec::new();
    let mut say = |count: usize, what: &str| {
        if count > 0 {
            notes.push(format!("masks: {count} of {total} frames have {what}"));
        }
    };
    say(named, "a mask_path: black pixels are left out");
    say(beside, "a file in the folder masks: black pixels are left out");
    say(dynamic, "a dynamic_mask file (instant-ngp): pixels that are not black are left out");
    if beside == 0 {
        for folder in folders.iter().filter(|f| images_in(f).is_ok_and(|list| !list.is_empty())) {
            notes.push(format!("masks: no file of {} is named after an image: none is used", folder.display()));
        }
    }
    notes
}

/// Places where masks of an image in the folder `images` (or `images_N`) lie: a folder, and the parts of the mask's path below
/// it. The last is the image's name, which stands for `b.jpg`, `b.jpg.png` as COLMAP has it, and `b.png`.
fn mask_places(image: &Path, root: &Path) -> Vec<(PathBuf, Vec<String>)> {
    for folder in image.ancestors().skip(1).take_while(|f| f.starts_with(root) && *f != root) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let Some(reduced) = name.strip_prefix("images").filter(|r| r.is_empty() || r.starts_with('_')) else {
            continue;
        };
        let (Ok(part), Some(beside)) = (image.strip_prefix(folder), folder.parent()) else { continue };
        let Some(part) = part.iter().map(|p| p.to_str().map(str::to_string)).collect::<Option<Vec<String>>>() else {
            continue;
        };
        let mut names = vec![format!("masks{reduced}"), "masks".to_string()];
        names.dedup();
        return names.into_iter().map(|n| (beside.into(), [vec![n], part.clone()].concat())).collect();
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_image::{Rgba8, png};

    fn mask(path: &Path, (w, h): (u32, u32), pixel: impl Fn(usize) -> [u8; 4]) -> MaskFile {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        png::write(path, &Rgba8::from_fn(w, h, pixel)).unwrap();
        MaskFile::black_is_out(path.into())
    }

    fn out(usable: &[bool]) -> Vec<usize> {
        (0..usable.len()).filter(|i| !usable[*i]).collect()
    }

    #[test]
    fn masks_of_whole_multiples_are_taken_at_the_nearest_pixel() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.png");
        let small = mask(&path, (2, 2), |i| if i == 1 { [0, 0, 0, 255] } else { [255; 4] });
        assert_eq!(out(&small.read((4, 4), Orientation::Upright).unwrap()), [2, 3, 6, 7]);
        for size in [(5, 4), (7, 5), (2, 4)] {
            let said = small.read(size, Orientation::Upright).unwrap_err().to_string();
            assert!(said.contains("m.png") && said.contains("a mask of 2x2"), "{said}");
        }
        let large = mask(&path, (4, 4), |i| if i == 15 { [0, 0, 0, 255] } else { [255; 4] });
        assert_eq!(out(&large.read((2, 2), Orientation::Upright).unwrap()), [3]);
        for (a, b, fits) in [
            ((4946, 3286), (1237, 822), true),
            ((4946, 3286), (618, 411), true),
            ((48, 48), (48, 48), true),
            ((48, 48), (47, 48), false),
            ((48, 48), (30, 30), false),
            ((48, 32), (32, 48), false),
            ((1, 1), (65536, 65536), true),
        ] {
            assert_eq!((is_multiple(a, b), is_multiple(b, a)), (fits, fits), "{a:?} {b:?}");
        }
    }

    #[test]
    fn transparent_pixels_are_out_and_dynamic_masks_the_other_way_round() {
        let dir = tempfile::tempdir().unwrap();
        let pixels = [[0, 0, 0, 255], [9, 0, 0, 255], [255, 255, 255, 0], [0, 0, 0, 0]];
        let usual = mask(&dir.path().join("m.png"), (4, 1), |i| pixels[i]);
        assert_eq!(out(&usual.read((4, 1), Orientation::Upright).unwrap()), [0, 2, 3]);
        let dynamic = MaskFile { is_black_in: true, ..usual };
        assert_eq!(out(&dynamic.read((4, 1), Orientation::Upright).unwrap()), [1, 2]);
    }

    #[test]
    fn a_mask_turns_with_its_image_where_only_that_fits() {
        let dir = tempfile::tempdir().unwrap();
        // Stored 3x2; turned by 90° clockwise the first row becomes the last column.
        let stored = mask(&dir.path().join("m.png"), (3, 2), |i| if i < 3 { [0, 0, 0, 255] } else { [255; 4] });
        assert_eq!(out(&stored.read((2, 3), Orientation::Turn90).unwrap()), [1, 3, 5]);
        assert!(stored.read((2, 3), Orientation::Upright).is_err());
        assert_eq!(out(&stored.read((3, 2), Orientation::Turn90).unwrap()), [0, 1, 2]);
    }

    #[test]
    fn places_of_masks() {
        let at = Path::new("/x/scene");
        let places = |image: &str| mask_places(&at.join(image), at);
        let place = |parts: &[&str]| (at.to_path_buf(), parts.iter().map(|p| p.to_string()).collect::<Vec<_>>());
        assert_eq!(places("images/a/b.png"), [place(&["masks", "a", "b.png"])]);
        assert_eq!(places("Images_2/b.png"), [place(&["masks_2", "b.png"]), place(&["masks", "b.png"])]);
        assert!(places("train/b.png").is_empty() && places("imagesets/b.png").is_empty());
        assert!(mask_places(Path::new("/x/images/scene/rgb/b.png"), Path::new("/x/images/scene")).is_empty());
    }
}
