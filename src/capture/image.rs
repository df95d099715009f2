//! Pictures of captures: PNG, JPEG and EXR as 8-bit sRGB with straight alpha, masks, and reduction in size.

use std::io::Cursor;
use std::path::Path;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::error::CaptureError;
use super::view::Image;
use crate::render::colour::srgb_from_linear;
use crate::render::image::png as png_file;

/// Most pixels in one picture; more are taken for a damaged header.
const MAX_PIXELS: u64 = 1 << 28;

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Png,
    Jpeg,
    Exr,
}

fn kind(bytes: &[u8]) -> Result<Kind, String> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Ok(Kind::Png),
        [0xFF, 0xD8, ..] => Ok(Kind::Jpeg),
        [0x76, 0x2F, 0x31, 0x01, ..] => Ok(Kind::Exr),
        [] => Err("the file is empty".into()),
        _ => Err("not a PNG, JPEG or EXR picture; convert it to one of them".into()),
    }
}

/// Reads a picture. Opaque pictures get alpha 255; EXR is taken as linear with premultiplied alpha.
pub(super) fn read(path: &Path) -> Result<Image, CaptureError> {
    let bytes = std::fs::read(path).map_err(CaptureError::io(path))?;
    decode(&bytes).map_err(|reason| broken(path, &reason))
}

fn broken(path: &Path, reason: &str) -> CaptureError {
    CaptureError::image(path, format!("cannot decode: {reason}; export the picture again or remove its frame"))
}

fn decode(bytes: &[u8]) -> Result<Image, String> {
    check_size(header(bytes)?)?;
    match kind(bytes)? {
        Kind::Png => {
            let picture = png_file::decode(bytes)?;
            let pixels = picture.data.chunks_exact(4).map(|p| [p[0], p[1], p[2], p[3]]).collect();
            Ok(Image { width: picture.width, height: picture.height, pixels })
        }
        Kind::Jpeg => decode_jpeg(bytes),
        Kind::Exr => decode_exr(bytes),
    }
}

/// Width and height of a picture from its header.
pub(super) fn size(path: &Path) -> Result<(u32, u32), CaptureError> {
    let bytes = std::fs::read(path).map_err(CaptureError::io(path))?;
    header(&bytes).and_then(check_size).map_err(|reason| broken(path, &reason))
}

fn check_size((w, h): (u32, u32)) -> Result<(u32, u32), String> {
    if w == 0 || h == 0 || w as u64 * h as u64 > MAX_PIXELS {
        return Err(format!("its header says {w}x{h} pixels; expected 1 to {MAX_PIXELS} in all"));
    }
    Ok((w, h))
}

fn header(bytes: &[u8]) -> Result<(u32, u32), String> {
    match kind(bytes)? {
        Kind::Png => {
            let reader = png::Decoder::new(Cursor::new(bytes)).read_info().map_err(|e| e.to_string())?;
            Ok((reader.info().width, reader.info().height))
        }
        Kind::Jpeg => {
            let mut decoder = JpegDecoder::new(Cursor::new(bytes));
            decoder.decode_headers().map_err(|e| e.to_string())?;
            let info = decoder.info().ok_or("no frame header")?;
            Ok((info.width as u32, info.height as u32))
        }
        Kind::Exr => {
            let meta = exr::meta::MetaData::read_from_buffered(Cursor::new(bytes), false).map_err(|e| e.to_string())?;
            let size = meta.headers.first().ok_or("no layer")?.layer_size;
            let side = |v: usize| u32::try_from(v).map_err(|_| format!("{v} pixels a side"));
            Ok((side(size.x())?, side(size.y())?))
        }
    }
}

fn decode_jpeg(bytes: &[u8]) -> Result<Image, String> {
    if !has_end(bytes) {
        return Err("the file ends before its end marker: it is truncated".into());
    }
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB).set_max_width(65_536);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options.set_max_height(65_536));
    let data = decoder.decode().map_err(|e| e.to_string())?;
    let info = decoder.info().ok_or("no frame header")?;
    let (w, h) = (info.width as usize, info.height as usize);
    let channels = data.len().checked_div(w * h).unwrap_or(0);
    let pixels = match (channels, data.len() == w * h * channels) {
        (3, true) => data.chunks_exact(3).map(|p| [p[0], p[1], p[2], 255]).collect(),
        (1, true) => data.iter().map(|&v| [v, v, v, 255]).collect(),
        _ => return Err(format!("{} bytes for {w}x{h} pixels", data.len())),
    };
    Ok(Image { width: w as u32, height: h as u32, pixels })
}

/// Whether the end marker of a JPEG follows its first scan (the decoder fills what is missing with grey).
fn has_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xFF, marker, high, low]) = bytes.get(at..at + 4).and_then(|s| <&[u8; 4]>::try_from(s).ok()) {
        if marker == 0xFF {
            at += 1;
            continue;
        }
        at += 2 + u16::from_be_bytes([high, low]) as usize;
        if marker == 0xDA {
            return bytes.get(at..).is_some_and(|scan| scan.windows(2).any(|w| w == [0xFF, 0xD9]));
        }
    }
    false
}

fn decode_exr(bytes: &[u8]) -> Result<Image, String> {
    use exr::prelude::{ReadChannels, ReadLayers, read};
    let reader = read().no_deep_data().largest_resolution_level().rgba_channels(
        |size: exr::math::Vec2<usize>, _: &exr::prelude::RgbaChannels| {
            (size.width(), vec![[0u8, 0, 0, 255]; size.width() * size.height()])
        },
        |(width, pixels): &mut (usize, Vec<[u8; 4]>), at: exr::math::Vec2<usize>, rgba: (f32, f32, f32, f32)| {
            pixels[at.y() * *width + at.x()] = from_linear(rgba);
        },
    );
    let reader = reader.first_valid_layer().all_attributes().non_parallel();
    let image = reader.from_buffered(Cursor::new(bytes)).map_err(|e| format!("{e} (expected R, G, B channels)"))?;
    let (width, pixels) = image.layer_data.channel_data.pixels;
    let height = pixels.len().checked_div(width).unwrap_or(0);
    Ok(Image { width: width as u32, height: height as u32, pixels })
}

/// Straight 8-bit sRGB of a linear premultiplied value.
fn from_linear((r, g, b, a): (f32, f32, f32, f32)) -> [u8; 4] {
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

    /// 8x8 grey pixels of value 200: quantised by 8, the only coefficient is 200 − 128 = 72, seven bits.
    fn jpeg() -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
        bytes.extend([8; 64]);
        bytes.extend([0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0]);
        // One code of one bit each: seven bits follow, and the end of the block.
        for (class, symbol) in [(0x00, 7), (0x10, 0)] {
            bytes.extend([0xFF, 0xC4, 0, 20, class, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, symbol]);
        }
        bytes.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0]);
        // 0, 1001000, 0, and ones to the end of the byte.
        bytes.extend([0b0100_1000, 0b0111_1111, 0xFF, 0xD9]);
        bytes
    }

    #[test]
    fn jpeg_whole_and_truncated() {
        let bytes = jpeg();
        let image = decode(&bytes).unwrap();
        assert_eq!((image.width, image.height), (8, 8));
        assert_eq!(image.pixels, [[200, 200, 200, 255]; 64]);
        assert_eq!(header(&bytes), Ok((8, 8)));
        for cut in 0..bytes.len() - 1 {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut} of {}", bytes.len());
        }
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
        let mask = crate::render::image::Rgba8::from_fn(2, 2, |i| if i == 1 { [0, 0, 0, 255] } else { [255; 4] });
        png_file::write(&path, &mask).unwrap();
        let read = read_mask(&path, 4, 4).unwrap();
        let out: Vec<usize> = (0..16).filter(|i| !read[*i]).collect();
        assert_eq!(out, [2, 3, 6, 7]);
        assert!(read_mask(&path, 4, 3).unwrap_err().to_string().contains("m.png"));
    }
}
