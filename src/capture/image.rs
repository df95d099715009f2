//! Images of captures: every format that is read, as 8-bit sRGB with straight alpha; sizes, turning and reduction.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use nstr_files::{Budget, read_named};
use nstr_image::format::ImageFormat;
use nstr_image::orientation::Orientation;
use nstr_image::picture;

use crate::error::CaptureError;
use crate::view::Image;

/// Longest file of an image that is read, in bytes.
const MAX_BYTES: u64 = 4 << 30;
/// Lengths of a file's beginning that are looked at for its size, before all of it is.
const BEGINNINGS: [u64; 2] = [1 << 16, 1 << 20];

/// An image as stored, and what its file says about it.
#[derive(Debug)]
pub(super) struct Decoded {
    /// Without pixels where only the header was read.
    pub image: Image,
    /// The turn that would set it upright.
    pub orientation: Orientation,
    /// `false` where a pixel's values are not numbers; `None` where all are.
    pub usable: Option<Vec<bool>>,
    /// One sentence for everything wrong or left out.
    pub notes: Vec<String>,
}

impl Decoded {
    /// A picture that needs no file, without its pixels unless `pixels`.
    pub fn held(image: &Image, pixels: bool) -> Self {
        let Image { width, height, .. } = *image;
        let image = if pixels { image.clone() } else { Image { width, height, pixels: Vec::new() } };
        Self { image, orientation: Orientation::Upright, usable: None, notes: Vec::new() }
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, CaptureError> {
    read_named(path, &Budget::new(MAX_BYTES)).map_err(CaptureError::io(path))
}

fn broken(path: &Path) -> impl Fn(String) -> CaptureError {
    move |reason| {
        CaptureError::image(path, format!("cannot decode: {reason}; export the picture again or remove its frame"))
    }
}

/// Reads a picture as it is stored. Opaque pictures get alpha 255; EXR is taken as linear with premultiplied alpha.
pub(super) fn read(path: &Path) -> Result<Decoded, CaptureError> {
    let decoded = picture::decode_rgba8(&bytes_of(path)?, None).map_err(broken(path))?;
    let (width, height) = (decoded.image.width, decoded.image.height);
    let pixels: Vec<[u8; 4]> = decoded.image.data.chunks_exact(4).map(|p| [p[0], p[1], p[2], p[3]]).collect();
    let usable = (!decoded.undefined.is_empty()).then(|| {
        let mut usable = vec![true; pixels.len()];
        decoded.undefined.iter().filter(|i| **i < pixels.len()).for_each(|i| usable[*i] = false);
        usable
    });
    let image = Image { width, height, pixels };
    Ok(Decoded { image, orientation: decoded.orientation, usable, notes: decoded.notes })
}

/// Reads the header of a picture alone.
pub(super) fn header(path: &Path) -> Result<Decoded, CaptureError> {
    let bytes = bytes_of(path)?;
    let (width, height) = ImageFormat::of(&bytes).and_then(|f| f.size(&bytes)).map_err(broken(path))?;
    let orientation = picture::orientation(&bytes).map_err(broken(path))?;
    let image = Image { width, height, pixels: Vec::new() };
    Ok(Decoded { image, orientation, usable: None, notes: Vec::new() })
}

/// Width and height of a picture as stored, from the beginning of its file where that says it.
pub(super) fn size(path: &Path) -> Result<(u32, u32), CaptureError> {
    let found = std::fs::metadata(path).map_err(CaptureError::io(path))?;
    let sized = |bytes: &[u8]| ImageFormat::of(bytes).and_then(|f| f.size(bytes));
    for length in BEGINNINGS.into_iter().filter(|l| found.is_file() && *l < found.len()) {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(CaptureError::io(path))?;
        file.take(length).read_to_end(&mut bytes).map_err(CaptureError::io(path))?;
        if let Ok(size) = sized(&bytes) {
            return Ok(size);
        }
    }
    sized(&bytes_of(path)?).map_err(broken(path))
}

/// The image turned.
pub(super) fn turned(image: Image, turn: Orientation) -> Image {
    let (width, height) = turn.size(image.width, image.height);
    Image { width, height, pixels: turn.turn(image.pixels, image.width as usize, image.height as usize, 1) }
}

/// The image at 1/`factor` of its size by a box filter on premultiplied values in the file's own space.
///
/// Rows and columns that don't fill a box are cut off on the right and below, so that pixel (x, y) covers exactly the
/// box from (x, y)·`factor` on.
pub(super) fn reduce(image: &Image, factor: u32) -> Image {
    let (width, height) = (image.width / factor, image.height / factor);
    let (stride, f) = (image.width as usize, factor as usize);
    let count = (f * f) as u64;
    let mut pixels = Vec::with_capacity(width as usize * height as usize);
    for y in 0..height as usize {
        for x in 0..width as usize {
            let mut sum = [0u64; 4];
            for row in y * f..(y + 1) * f {
                for p in &image.pixels[row * stride + x * f..row * stride + (x + 1) * f] {
                    let alpha = p[3] as u64;
                    (0..3).for_each(|c| sum[c] += p[c] as u64 * alpha);
                    sum[3] += alpha;
                }
            }
            let colour = |c: usize| ((sum[c] + sum[3] / 2).checked_div(sum[3]).unwrap_or(0)) as u8;
            pixels.push([colour(0), colour(1), colour(2), ((sum[3] + count / 2) / count) as u8]);
        }
    }
    Image { width, height, pixels }
}

/// A mask at 1/`factor` of its size: a pixel may be used where all that it covers may.
pub(super) fn reduce_mask(mask: &[bool], width: u32, height: u32, factor: u32) -> Vec<bool> {
    let (stride, f) = (width as usize, factor as usize);
    let (w, h) = ((width / factor) as usize, (height / factor) as usize);
    let usable = |x: usize, y: usize| {
        (y * f..(y + 1) * f).all(|row| mask[row * stride + x * f..row * stride + (x + 1) * f].iter().all(|m| *m))
    };
    (0..w * h).map(|i| usable(i % w, i / w)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 4]) -> Image {
        let pixels = (0..width * height).map(|i| pixel(i % width, i / width)).collect();
        Image { width, height, pixels }
    }

    fn put(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    fn encode(color: png::ColorType, depth: png::BitDepth, palette: Option<Vec<u8>>, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if let Some(palette) = palette {
            encoder.set_palette(palette);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        bytes
    }

    #[test]
    fn every_kind_of_png() {
        use png::{BitDepth, ColorType};
        let cases = [
            (encode(ColorType::Rgb, BitDepth::Eight, None, &[1, 2, 3, 4, 5, 6]), [1, 2, 3, 255], [4, 5, 6, 255]),
            (encode(ColorType::Grayscale, BitDepth::Eight, None, &[7, 9]), [7, 7, 7, 255], [9, 9, 9, 255]),
            (encode(ColorType::GrayscaleAlpha, BitDepth::Eight, None, &[7, 8, 9, 0]), [7, 7, 7, 8], [9, 9, 9, 0]),
            (
                encode(ColorType::Grayscale, BitDepth::Sixteen, None, &[128, 1, 255, 255]),
                [128, 128, 128, 255],
                [255; 4],
            ),
            (
                encode(ColorType::Indexed, BitDepth::Eight, Some(vec![10, 20, 30, 40, 50, 60]), &[1, 0]),
                [40, 50, 60, 255],
                [10, 20, 30, 255],
            ),
            (
                encode(ColorType::Rgba, BitDepth::Sixteen, None, &[9, 0, 8, 0, 7, 0, 6, 0, 1, 0, 2, 0, 3, 0, 4, 0]),
                [9, 8, 7, 6],
                [1, 2, 3, 4],
            ),
        ];
        for (bytes, a, b) in cases {
            let (_dir, path) = put("a.png", &bytes);
            let image = read(&path).unwrap().image;
            assert_eq!((image.width, image.height, &image.pixels[..]), (2, 1, &[a, b][..]));
            assert_eq!(size(&path).unwrap(), (2, 1));
            for cut in 0..bytes.len() - 12 {
                std::fs::write(&path, &bytes[..cut]).unwrap();
                assert!(read(&path).is_err(), "cut at {cut} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn grey_jpeg_becomes_rgba() {
        let (_dir, path) = put("a.jpg", &nstr_image::testing::grey_jpeg());
        let decoded = read(&path).unwrap();
        assert_eq!((decoded.image.width, decoded.image.height), (8, 8));
        assert_eq!(decoded.image.pixels, [[200, 200, 200, 255]; 64]);
        assert_eq!((size(&path).unwrap(), decoded.orientation), ((8, 8), Orientation::Upright));
        let header = header(&path).unwrap();
        assert_eq!((header.image.width, header.image.height, header.image.pixels.len()), (8, 8, 0));
    }

    #[test]
    fn exr_becomes_srgb_with_straight_alpha() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.exr");
        let linear = [(0.5f32, 0.25f32, 0.0f32, 0.5f32), (1.0, 2.0, 0.217, 1.0)];
        exr::prelude::write_rgba_file(&path, 2, 1, |x, _| linear[x]).unwrap();
        let decoded = read(&path).unwrap();
        assert_eq!(decoded.image.pixels, [[255, 188, 0, 128], [255, 255, 128, 255]]);
        assert!(decoded.usable.is_none());
        assert_eq!(size(&path).unwrap(), (2, 1));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(read(&path).is_err());
        exr::prelude::write_rgb_file(&path, 2, 1, |x, _| (if x == 1 { f32::NAN } else { 0.0 }, 1.0f32, 0.0f32))
            .unwrap();
        let decoded = read(&path).unwrap();
        assert_eq!((decoded.image.pixels[0], decoded.usable), ([0, 255, 0, 255], Some(vec![true, false])));
    }

    #[test]
    fn sizes_are_found_in_the_beginning_of_a_file() {
        // Noise, so that the file is longer than the beginnings that are looked at.
        let noise = |i: u32| {
            let h = i.wrapping_mul(2_654_435_761);
            ((h ^ h >> 15).wrapping_mul(2_246_822_519) >> 13) as u8
        };
        let image = nstr_image::Rgba8::from_fn(700, 600, |i| {
            let i = i as u32 * 3;
            [noise(i), noise(i + 1), noise(i + 2), 255]
        });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        nstr_image::png::write(&path, &image).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() > BEGINNINGS[0]);
        assert_eq!(size(&path).unwrap(), (700, 600));
    }

    #[test]
    fn turning_takes_the_size_along() {
        let image = grid(3, 2, |x, y| [x as u8, y as u8, 0, 255]);
        let upright = turned(image, Orientation::Turn90);
        assert_eq!((upright.width, upright.height), (2, 3));
        assert_eq!((upright.pixel(1, 0), upright.pixel(0, 0)), ([0, 0, 0, 255], [0, 1, 0, 255]));
        let bare = turned(Image { width: 3, height: 2, pixels: Vec::new() }, Orientation::Turn90);
        assert_eq!((bare.width, bare.height, bare.pixels.len()), (2, 3, 0));
    }

    #[test]
    fn broken_files_name_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bad.jpg");
        for bytes in
            [&b""[..], b"BM nothing", b"\xFF\xD8\xFF\xE0\x00\x02", b"\x89PNG\r\n\x1a\n", b"\x76\x2f\x31\x01\x02"]
        {
            std::fs::write(&path, bytes).unwrap();
            assert!(read(&path).unwrap_err().to_string().contains("bad.jpg"));
            assert!(size(&path).unwrap_err().to_string().contains("bad.jpg"));
        }
        assert!(matches!(read(&dir.path().join("none.png")), Err(CaptureError::Io { .. })));
    }

    #[test]
    fn boxes_average_premultiplied_values() {
        // A transparent red beside an opaque blue: half transparent, and still pure blue.
        let image = grid(2, 2, |x, _| if x == 0 { [255, 0, 0, 0] } else { [0, 0, 200, 255] });
        assert_eq!(reduce(&image, 2).pixels, [[0, 0, 200, 128]]);
        let image = grid(5, 3, |x, y| [(x * 10) as u8, (y * 10) as u8, 0, 255]);
        let half = reduce(&image, 2);
        assert_eq!((half.width, half.height), (2, 1));
        assert_eq!(half.pixels, [[5, 5, 0, 255], [25, 5, 0, 255]]);
        assert_eq!(reduce(&image, 1), image);
        let mask: Vec<bool> = (0..15).map(|i| i != 7).collect();
        assert_eq!(reduce_mask(&mask, 5, 3, 2), [true, false]);
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_fifos_are_refused_and_never_opened() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo.png");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for path in [Path::new("/dev/zero"), &fifo] {
            for said in [read(path).map(|_| ()), header(path).map(|_| ()), size(path).map(|_| ())] {
                assert!(said.unwrap_err().to_string().contains("not a regular file"));
            }
        }
    }
}
