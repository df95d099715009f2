//! Images of a folder: the blurred left out, turned upright, made smaller, with their masks.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use nstr_files::{Budget, excerpt, read_named};
use nstr_image::format::ImageFormat;
use nstr_image::orientation::Orientation;
use nstr_image::{Rgba8, picture, png};
use rayon::prelude::*;

use crate::error::SfmError;
use crate::gray::{Gray, reduce};
use crate::sharpness::blur;

/// Extensions of images that are read.
const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "tif", "tiff", "webp"];
/// Extensions of images that phones write and that are not read.
const PHONE_ONLY: [&str; 2] = ["heic", "heif"];
/// Longest file of an image, in bytes.
const MAX_BYTES: u64 = 4 << 30;
/// Names that a note lists.
const LISTED: usize = 5;
/// Images looked at between two questions whether to stop.
const BATCH: usize = 8;

/// An image of the folder after a look at it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Photograph {
    /// File name.
    pub name: String,
    /// Blur, 0 to 1; `None` where the file could not be decoded, with the reason.
    pub blur: Result<f64, String>,
}

/// The images in a folder, by name, numbers in names by their value.
///
/// # Errors
/// A folder that cannot be read or has fewer than three images.
pub(crate) fn list(folder: &Path) -> Result<Vec<String>, SfmError> {
    let entries = std::fs::read_dir(folder).map_err(SfmError::io(folder))?;
    let mut names: Vec<String> = Vec::new();
    let (mut phone, mut others) = (0usize, 0usize);
    for entry in entries {
        let path = entry.map_err(SfmError::io(folder))?.path();
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_lowercase();
        let Some(name) = path.file_name().and_then(OsStr::to_str).filter(|n| !n.starts_with('.')) else { continue };
        match () {
            () if !path.is_file() => {}
            () if EXTENSIONS.contains(&extension.as_str()) => names.push(name.into()),
            () if PHONE_ONLY.contains(&extension.as_str()) => phone += 1,
            () => others += 1,
        }
    }
    if names.len() < 3 {
        let found = match (names.len(), phone, others) {
            (n, p, _) if p > 0 => format!(
                "{n} images that can be read and {p} HEIC images; convert these to JPEG (heif-convert, or ImageMagick's mogrify \
                 -format jpg *.heic), or set the phone to \"most compatible\""
            ),
            (0, _, 0) => "no images; give the folder that holds them, or a video".into(),
            (n, _, _) => format!(
                "{n} images (.jpg, .png, .tif, .webp); structure from motion needs 3 at least, and 20 and more that overlap to be \
                 worth fitting"
            ),
        };
        return Err(SfmError::input(folder, format!("the folder has {found}")));
    }
    names.sort_by_cached_key(|name| natural_key(name));
    Ok(names)
}

/// A name with its numbers padded, so that `2` comes before `10`; the name itself decides between equals.
fn natural_key(name: &str) -> (String, String) {
    let mut key = String::new();
    let mut digits = String::new();
    for c in name.to_lowercase().chars().chain(std::iter::once('\0')) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            key += &format!("{:0>20}", digits.trim_start_matches('0'));
            digits.clear();
        }
        key.push(c);
    }
    (key, name.into())
}

/// Looks at all images; `watch` is given the number so far and returns `false` to stop.
pub(crate) fn look(
    folder: &Path,
    names: &[String],
    mut watch: impl FnMut(usize) -> bool,
) -> Result<Vec<Photograph>, SfmError> {
    let mut all = Vec::with_capacity(names.len());
    for batch in names.chunks(BATCH) {
        if !watch(all.len()) {
            return Err(SfmError::Interrupted { path: PathBuf::new() });
        }
        let measured = batch.par_iter().map(|name| {
            let blur = decode(&folder.join(name)).map(|(picture, _)| blur(&Gray::of(&picture)));
            Photograph { name: name.clone(), blur }
        });
        all.par_extend(measured);
    }
    Ok(all)
}

fn decode(path: &Path) -> Result<(Rgba8, Orientation), String> {
    let bytes = read_named(path, &Budget::new(MAX_BYTES)).map_err(|e| e.to_string())?;
    let decoded = picture::decode_rgba8(&bytes, None)?;
    Ok((decoded.image, decoded.orientation))
}

/// Chooses the images to keep: all that are sharp, or the sharpest of each of `most` runs of neighbours. Returns their indices and
/// sentences on what is left out.
///
/// # Errors
/// A sentence with the remedy, where fewer than three are sharp.
pub(crate) fn choose(
    all: &[Photograph],
    most: Option<usize>,
    blur_limit: f64,
) -> Result<(Vec<usize>, Vec<String>), String> {
    let listed = |of: &[String]| {
        let more = if of.len() > LISTED { ", …" } else { "" };
        of[..of.len().min(LISTED)].join(", ") + more
    };
    let mut notes = Vec::new();
    let unread: Vec<String> =
        all.iter().filter_map(|p| Some(format!("{} ({})", excerpt(&p.name), p.blur.as_ref().err()?))).collect();
    if !unread.is_empty() {
        notes.push(format!("{} images cannot be read and are left out: {}", unread.len(), listed(&unread)));
    }
    let is_sharp = |i: &usize| all[*i].blur.as_ref().is_ok_and(|b| *b < blur_limit);
    let (sharp, others): (Vec<usize>, Vec<usize>) = (0..all.len()).partition(is_sharp);
    let blurred: Vec<String> = others
        .iter()
        .filter_map(|i| Some(format!("{} ({:.2})", excerpt(&all[*i].name), all[*i].blur.as_ref().ok()?)))
        .collect();
    if sharp.len() < 3 {
        return Err(format!(
            "{} of {} images have a blur below {blur_limit}: {}; take them again in more light or with a shorter exposure, or raise \
             --blur-limit (1 takes all)",
            sharp.len(),
            all.len(),
            listed(&if blurred.is_empty() { unread } else { blurred })
        ));
    }
    if !blurred.is_empty() {
        notes.push(format!(
            "{} images are blurred ({blur_limit} or more) and are left out: {}; --blur-limit 1 takes them",
            blurred.len(),
            listed(&blurred)
        ));
    }
    let Some(most) = most.filter(|most| *most < sharp.len()) else { return Ok((sharp, notes)) };
    let value = |i: &usize| all[*i].blur.as_ref().copied().unwrap_or(1.0);
    let run = |k: usize| &sharp[k * sharp.len() / most..(k + 1) * sharp.len() / most];
    let chosen = (0..most).filter_map(|k| run(k).iter().copied().min_by(|a, b| value(a).total_cmp(&value(b))));
    Ok((chosen.collect(), notes))
}

/// Puts an image into `to` and returns its name there: the file itself where nothing has to be done to it, else a PNG.
///
/// Turned images are written upright, because programs differ on whether they heed the orientation that a file states.
///
/// # Errors
/// Files that cannot be read or written.
pub(crate) fn place(folder: &Path, name: &str, downscale: u32, to: &Path) -> Result<String, SfmError> {
    let from = folder.join(name);
    let fault = |reason: String| SfmError::input(&from, reason);
    let bytes = read_named(&from, &Budget::new(MAX_BYTES)).map_err(SfmError::io(&from))?;
    let format = ImageFormat::of(&bytes).map_err(fault)?;
    let orientation = picture::orientation(&bytes).map_err(fault)?;
    let is_known = matches!(format, ImageFormat::Jpeg | ImageFormat::Png);
    if is_known && orientation.is_upright() && downscale == 1 {
        nstr_files::write(&to.join(name), &bytes).map_err(SfmError::io(&to.join(name)))?;
        return Ok(name.into());
    }
    let decoded = picture::decode_rgba8(&bytes, None).map_err(fault)?;
    let upright = decoded.image.turned(orientation);
    if upright.width < downscale || upright.height < downscale {
        return Err(fault(format!("nothing is left at 1/{downscale} of its size; lower --downscale")));
    }
    // With the extension, so that a.jpg and a.tif stay two.
    let name = if name.to_lowercase().ends_with(".png") { name.to_string() } else { format!("{name}.png") };
    let picture = if downscale > 1 { reduce(&upright, downscale) } else { upright };
    write_png(&to.join(&name), &picture)?;
    Ok(name)
}

fn write_png(path: &Path, picture: &Rgba8) -> Result<(), SfmError> {
    png::write(path, picture).map_err(|e| SfmError::output(path, e.to_string()))
}

/// Puts the mask of the image `name` as `AS.png` into `to`, turned and made smaller as the image was: white where all that a pixel
/// covers is. Returns whether there is one.
///
/// # Errors
/// Masks that cannot be read or have another size than their image.
pub(crate) fn place_mask(
    masks: &Path,
    folder: &Path,
    name: &str,
    as_name: &str,
    downscale: u32,
    to: &Path,
) -> Result<bool, SfmError> {
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let places = [format!("{name}.png"), format!("{stem}.png")].map(|n| masks.join(n));
    let Some(from) = places.into_iter().find(|p| p.is_file()) else { return Ok(false) };
    let fault = |reason: String| SfmError::input(&from, reason);
    let (mask, _) = decode(&from).map_err(fault)?;
    let (image, orientation) = decode(&folder.join(name)).map_err(fault)?;
    let upright = orientation.size(image.width, image.height);
    let mask = match (mask.width, mask.height) {
        size if size == (image.width, image.height) => mask.turned(orientation),
        size if size == upright => mask,
        (w, h) => {
            return Err(fault(format!(
                "{w}x{h} pixels where {name} has {}x{}; export it again",
                image.width, image.height
            )));
        }
    };
    let white = |p: [u8; 4]| p[3] > 127 && p[0].max(p[1]).max(p[2]) > 127;
    let value = |is_white: bool| if is_white { [255; 4] } else { [0, 0, 0, 255] };
    let full = Rgba8::from_fn(mask.width, mask.height, |i| value(white(std::array::from_fn(|c| mask.data[4 * i + c]))));
    let small = reduce(&full, downscale);
    let whole = Rgba8::from_fn(small.width, small.height, |i| value(small.data[4 * i] == 255));
    write_png(&to.join(format!("{as_name}.png")), &whole)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_image::testing::{exif_data, grey_jpeg, jpeg_with_exif};

    #[test]
    fn names_are_ordered_by_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["IMG_10.jpg", "IMG_9.JPG", "img_011.jpg", "notes.txt", ".hidden.jpg", "a.png"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(list(dir.path()).unwrap(), ["a.png", "IMG_9.JPG", "IMG_10.jpg", "img_011.jpg"]);
    }

    #[test]
    fn folders_without_images_name_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let said = || list(dir.path()).unwrap_err().to_string();
        assert!(said().contains("no images"), "{}", said());
        std::fs::write(dir.path().join("a.HEIC"), "").unwrap();
        assert!(said().contains("1 HEIC") && said().contains("heif-convert"), "{}", said());
        std::fs::remove_file(dir.path().join("a.HEIC")).unwrap();
        std::fs::write(dir.path().join("a.jpg"), "").unwrap();
        assert!(said().contains("1 images") && said().contains("3 at least"), "{}", said());
        assert!(list(&dir.path().join("none")).is_err());
    }

    fn photographs(blurs: &[f64]) -> Vec<Photograph> {
        blurs.iter().enumerate().map(|(i, b)| Photograph { name: format!("{i}.jpg"), blur: Ok(*b) }).collect()
    }

    #[test]
    fn blurred_images_are_left_out_with_a_note() {
        let mut all = photographs(&[0.3, 0.7, 0.4, 0.5, 0.2]);
        all[4].blur = Err("cut off".into());
        let (chosen, notes) = choose(&all, None, 0.6).unwrap();
        assert_eq!(chosen, [0, 2, 3]);
        assert!(
            notes[0].contains("4.jpg (cut off)") && notes[1].contains("1 images are blurred (0.6 or more)"),
            "{notes:?}"
        );
        assert!(notes[1].contains("1.jpg (0.70)"), "{notes:?}");
        let said = choose(&photographs(&[0.7; 9]), None, 0.6).unwrap_err();
        assert!(said.contains("0 of 9") && said.contains("--blur-limit"), "{said}");
    }

    #[test]
    fn the_sharpest_of_each_run_is_taken() {
        let (chosen, notes) = choose(&photographs(&[0.3, 0.2, 0.5, 0.4, 0.3, 0.1]), Some(3), 0.6).unwrap();
        assert_eq!((chosen, notes.len()), (vec![1, 3, 5], 0));
    }

    #[test]
    fn images_are_kept_turned_or_made_smaller() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(&from).unwrap();
        std::fs::create_dir_all(&to).unwrap();
        std::fs::write(from.join("a.jpg"), grey_jpeg()).unwrap();
        assert_eq!(place(&from, "a.jpg", 1, &to).unwrap(), "a.jpg");
        assert_eq!(std::fs::read(to.join("a.jpg")).unwrap(), grey_jpeg());
        assert_eq!(place(&from, "a.jpg", 2, &to).unwrap(), "a.jpg.png");
        assert_eq!(png::read(&to.join("a.jpg.png")).unwrap().width, 4);
        // The upper left pixel of a stored picture that is turned by 90° clockwise is the upper right one.
        let stored = Rgba8::from_fn(4, 2, |i| if i == 0 { [255; 4] } else { [0, 0, 0, 255] });
        assert_eq!(stored.turned(Orientation::Turn90).pixel(1, 0), [255; 4]);
        std::fs::write(from.join("b.jpg"), jpeg_with_exif(&grey_jpeg(), &exif_data(6, false))).unwrap();
        assert_eq!(place(&from, "b.jpg", 1, &to).unwrap(), "b.jpg.png");
        let said = place(&from, "b.jpg", 9, &to).unwrap_err().to_string();
        assert!(said.contains("b.jpg") && said.contains("--downscale"), "{said}");
    }

    #[test]
    fn masks_follow_their_images() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["from", "masks", "to"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        png::write(&at("from/a.png"), &Rgba8::from_fn(4, 4, |_| [9, 9, 9, 255])).unwrap();
        let mask = Rgba8::from_fn(4, 4, |i| if i == 0 { [0, 0, 0, 255] } else { [255; 4] });
        png::write(&at("masks/a.png"), &mask).unwrap();
        assert!(place_mask(&at("masks"), &at("from"), "a.png", "a.png", 2, &at("to")).unwrap());
        let small = png::read(&at("to/a.png.png")).unwrap();
        assert_eq!([small.pixel(0, 0)[0], small.pixel(1, 0)[0], small.pixel(1, 1)[0]], [0, 255, 255]);
        assert!(!place_mask(&at("masks"), &at("from"), "b.png", "b.png", 2, &at("to")).unwrap());
        png::write(&at("masks/a.png"), &Rgba8::from_fn(3, 4, |_| [255; 4])).unwrap();
        let said = place_mask(&at("masks"), &at("from"), "a.png", "a.png", 1, &at("to")).unwrap_err().to_string();
        assert!(said.contains("3x4") && said.contains("4x4"), "{said}");
    }
}
