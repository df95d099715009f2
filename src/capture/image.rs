//! Images of captures: PNG, JPEG and EXR as 8-bit sRGB with straight alpha, masks, and reduction in size.

use std::path::Path;

use nstr_image::colour::srgb_from_linear;
use nstr_image::format::ImageFormat;
use nstr_image::raster::Raster;
use nstr_image::{exr_read, jpeg, png as png_file};

use crate::error::CaptureError;
use crate::view::Image;

/// Reads a picture. Opaque pictures get alpha 255; EXR is taken as linear with premultiplied alpha.
pub(super) fn read(path: &Path) -> Result<Image, CaptureError> {
    let bytes = std::fs::read(path).map_err(CaptureError::io(path))?;
    decode(&bytes).map_err(|reason| broken(path, &reason))
}

fn broken(path: &Path, reason: &str) -> CaptureError {
    CaptureError::image(path, format!("cannot decode: {reason}; export the picture again or remove its frame"))
}

fn decode(bytes: &[u8]) -> Result<Image, String> {
    header(bytes)?;
    match ImageFormat::of(bytes)? {
        ImageFormat::Png => {
            let picture = png_file::decode(bytes)?;
            let pixels = picture.data.chunks_exact(4).map(|p| [p[0], p[1], p[2], p[3]]).collect();
            Ok(Image { width: picture.width, height: picture.height, pixels })
        }
        ImageFormat::Jpeg => jpeg::decode(bytes).map(|raster| image(&raster, 255, |v| v)),
        ImageFormat::Exr => exr_read::decode(bytes).map(|raster| image(&raster, 1.0, from_linear)),
    }
}

/// Pixels of a decoded picture of 1, 3 or 4 channels.
fn image<T: Copy>(raster: &Raster<T>, opaque: T, pixel: impl Fn([T; 4]) -> [u8; 4]) -> Image {
    let rgba = |p: &[T]| match *p {
        [r, g, b, a] => [r, g, b, a],
        [r, g, b] => [r, g, b, opaque],
        _ => [p[0], p[0], p[0], opaque],
    };
    let pixels = raster.data.chunks_exact(raster.channels).map(|p| pixel(rgba(p))).collect();
    Image { width: raster.width as u32, height: raster.height as u32, pixels }
}

/// Width and height of a picture from its header.
pub(super) fn size(path: &Path) -> Result<(u32, u32), CaptureError> {
    let bytes = std::fs::read(path).map_err(CaptureError::io(path))?;
    header(&bytes).map_err(|reason| broken(path, &reason))
}

fn header(bytes: &[u8]) -> Result<(u32, u32), String> {
    ImageFormat::of(bytes)?.size(bytes)
}

/// Straight 8-bit sRGB of a linear premultiplied value.
fn from_linear([r, g, b, a]: [f32; 4]) -> [u8; 4] {
    let alpha = if a.is_nan() { 0.0 } else { a.clamp(0.0, 1.0) };
    let byte = |v: f32| (v * 255.0 + 0.5) as u8;
    let colour = |v: f32| if alpha > 0.0 { byte(srgb_from_linear(v / alpha)) } else { 0 };
    [colour(r), colour(g), colour(b), byte(alpha)]
}

/// Reads a mask for an image of the given size: `true` where it isn't 0 (a transparent pixel counts as 0).
///
/// A mask of another size but the same shape is taken at the nearest pixel.
pub(super) fn read_mask(path: &Path, width: u32, height: u32) -> Result<Vec<bool>, CaptureError> {
    let mask = read(path)?;
    let shape = mask.width as f64 * height as f64 / (mask.height as f64 * width as f64);
    if (shape - 1.0).abs() > 0.01 {
        let reason = format!("a mask of {}x{} for an image of {width}x{height}", mask.width, mask.height);
        return Err(CaptureError::image(path, reason + "; export it at the image's size"));
    }
    let scale = |i: u32, from: u32, to: u32| ((i as u64 * 2 + 1) * to as u64 / (from as u64 * 2)) as u32;
    let mut out = Vec::with_capacity(width as usize * height as usize);
    for y in 0..height {
        for x in 0..width {
            let [r, g, b, a] = mask.pixel(scale(x, width, mask.width), scale(y, height, mask.height));
            out.push(a > 0 && (r | g | b) > 0);
        }
    }
    Ok(out)
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
            let image = decode(&bytes).unwrap();
            assert_eq!((image.width, image.height, &image.pixels[..]), (2, 1, &[a, b][..]));
            assert_eq!(header(&bytes), Ok((2, 1)));
            for cut in 0..bytes.len() - 12 {
                assert!(decode(&bytes[..cut]).is_err(), "cut at {cut} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn grey_jpeg_becomes_rgba() {
        let bytes = nstr_image::testing::grey_jpeg();
        let image = decode(&bytes).unwrap();
        assert_eq!((image.width, image.height), (8, 8));
        assert_eq!(image.pixels, [[200, 200, 200, 255]; 64]);
        assert_eq!(header(&bytes), Ok((8, 8)));
    }

    #[test]
    fn exr_becomes_srgb_with_straight_alpha() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.exr");
        let linear = [(0.5f32, 0.25f32, 0.0f32, 0.5f32), (1.0, 2.0, 0.217, 1.0)];
        exr::prelude::write_rgba_file(&path, 2, 1, |x, _| linear[x]).unwrap();
        let image = read(&path).unwrap();
        assert_eq!(image.pixels, [[255, 188, 0, 128], [255, 255, 128, 255]]);
        assert_eq!(size(&path).unwrap(), (2, 1));
        let bytes = std::fs::read(&path).unwrap();
        assert!(decode(&bytes[..bytes.len() / 2]).is_err());
        exr::prelude::write_rgb_file(&path, 2, 1, |_, _| (0.0f32, 1.0f32, 0.0f32)).unwrap();
        assert_eq!(read(&path).unwrap().pixels, [[0, 255, 0, 255]; 2]);
        let grey = decode(&nstr_image::testing::exr_file(&[&["Y"]], true)).unwrap();
        assert_eq!((grey.pixel(0, 0), grey.pixel(1, 0)), ([0, 0, 0, 255], [255; 4]));
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

    #[test]
    fn masks_stretch_to_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.png");
        let mask = nstr_image::Rgba8::from_fn(2, 2, |i| if i == 1 { [0, 0, 0, 255] } else { [255; 4] });
        png_file::write(&path, &mask).unwrap();
        let read = read_mask(&path, 4, 4).unwrap();
        let out: Vec<usize> = (0..16).filter(|i| !read[*i]).collect();
        assert_eq!(out, [2, 3, 6, 7]);
        assert!(read_mask(&path, 4, 3).unwrap_err().to_string().contains("m.png"));
    }
}
