//! Snapshot tests of images, and image files for tests of readers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "for tests only: a panic is how they fail")]

use std::io::Cursor;
use std::path::Path;

use exr::prelude::{AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer, LayerAttributes, WritableImage, f16};

use crate::diff::compare;
use crate::{ImageError, Rgba8, png};

/// Compares `image` with the image stored at `path`; with the environment variable `NSTR_BLESS` set it is stored anew.
///
/// At most the fraction `outliers` of the pixels may differ by more than `threshold`.
///
/// # Errors
/// A message that says how they differ, or why the file cannot be used.
pub fn check_snapshot(path: &Path, image: &Rgba8, threshold: u8, outliers: f64) -> Result<(), String> {
    let text = |e: ImageError| e.to_string();
    if std::env::var_os("NSTR_BLESS").is_some() {
        return png::write(path, image).map_err(text);
    }
    let stored = png::read(path).map_err(text)?;
    match compare(&stored, image, threshold) {
        None => Err(format!(
            "{}: {}x{} stored, {}x{} now",
            path.display(),
            stored.width,
            stored.height,
            image.width,
            image.height
        )),
        Some(d) if d.outliers > outliers => {
            Err(format!("{}: differs: {d:?}; NSTR_BLESS=1 stores it anew", path.display()))
        }
        Some(_) => Ok(()),
    }
}

/// A JPEG file of 8x8 grey pixels of value 200.
pub fn grey_jpeg() -> Vec<u8> {
    jpeg_of_blocks(1)
}

/// A JPEG file of `count` blocks of 8x8 grey pixels below each other, of values 200 and 128 by turns: quantised by 8, the only
/// coefficient of a block is 200 − 128 = 72 more or less than that of the block before, seven bits.
pub fn jpeg_of_blocks(count: u8) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
    bytes.extend([8; 64]);
    bytes.extend([0xFF, 0xC0, 0, 11, 8, 0, 8 * count, 0, 8, 1, 1, 0x11, 0]);
    // One code of one bit each: seven bits follow, and the end of the block.
    for (class, symbol) in [(0x00, 7), (0x10, 0)] {
        bytes.extend([0xFF, 0xC4, 0, 20, class, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, symbol]);
    }
    bytes.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0]);
    // 0, the difference (72 or its complement), 0; and ones to the end of the byte.
    let mut bits: Vec<u8> = Vec::new();
    for block in 0..count {
        let difference = if block % 2 == 0 { 72 } else { 127 - 72 };
        bits.push(0);
        bits.extend((0..7).rev().map(|bit| difference >> bit & 1));
        bits.push(0);
    }
    bits.resize(bits.len().next_multiple_of(8), 1);
    bytes.extend(bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |value, bit| value << 1 | bit)));
    bytes.extend([0xFF, 0xD9]);
    bytes
}

/// EXIF data with nothing but an orientation, in either byte order.
pub fn exif_data(orientation: u16, little: bool) -> Vec<u8> {
    let short = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
    let long = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
    let mut bytes = if little { b"II".to_vec() } else { b"MM".to_vec() };
    bytes.extend(short(42));
    bytes.extend(long(8));
    // One entry: tag, type, count, value; no further directory.
    bytes.extend([short(1), short(274), short(3)].concat());
    bytes.extend(long(1));
    bytes.extend([short(orientation), short(0)].concat());
    bytes.extend(long(0));
    bytes
}

/// A JPEG file with EXIF data in its first segment.
pub fn jpeg_with_exif(jpeg: &[u8], exif: &[u8]) -> Vec<u8> {
    let length = (2 + 6 + exif.len()) as u16;
    [&jpeg[..2], &[0xFF, 0xE1], &length.to_be_bytes(), b"Exif\0\0", exif, &jpeg[2..]].concat()
}

/// An EXR file of parts with the named channels, 3x2 pixels; channel `i` of a part has the value 10·i + pixel.
pub fn exr_file(parts: &[&[&str]], half: bool) -> Vec<u8> {
    let values = |i: usize| (0..6).map(move |p| (10 * i + p) as f32);
    let samples = |i: usize| match half {
        true => FlatSamples::F16(values(i).map(f16::from_f32).collect()),
        false => FlatSamples::F32(values(i).collect()),
    };
    let part = |(k, names): (usize, &&[&str])| {
        let channels = names.iter().enumerate().map(|(i, name)| AnyChannel::new(*name, samples(i)));
        let attributes = LayerAttributes::named(format!("part {k}").as_str());
        Layer::new((3, 2), attributes, Encoding::FAST_LOSSLESS, AnyChannels::sort(channels.collect()))
    };
    let layers: exr::prelude::Layers<AnyChannels<FlatSamples>> = parts.iter().enumerate().map(part).collect();
    let attributes =
        exr::meta::header::ImageAttributes::new(exr::meta::attribute::IntegerBounds::from_dimensions((3, 2)));
    let mut bytes = Cursor::new(Vec::new());
    Image::from_layers(attributes, layers).write().to_buffered(&mut bytes).expect("memory takes every write");
    bytes.into_inner()
}

/// An EXR file of one part with the named channels, whose display and data windows are `[x, y, width, height]`; every channel
/// has `value(x, y)` in the display window's coordinates.
pub fn exr_window(display: [i32; 4], data: [i32; 4], names: &[&str], value: impl Fn(i32, i32) -> f32) -> Vec<u8> {
    use exr::math::Vec2;
    use exr::meta::attribute::IntegerBounds;
    let [x, y, w, h] = data;
    let size = |w: i32, h: i32| Vec2(w as usize, h as usize);
    let values = || (0..w * h).map(|i| value(x + i % w, y + i / w)).collect();
    let channels = names.iter().map(|name| AnyChannel::new(*name, FlatSamples::F32(values())));
    let attributes = LayerAttributes { layer_position: Vec2(x, y), ..LayerAttributes::default() };
    let layer = Layer::new(size(w, h), attributes, Encoding::FAST_LOSSLESS, AnyChannels::sort(channels.collect()));
    let frame = IntegerBounds::new(Vec2(display[0], display[1]), size(display[2], display[3]));
    let layers: exr::prelude::Layers<AnyChannels<FlatSamples>> = [layer].into_iter().collect();
    let image = Image::from_layers(exr::meta::header::ImageAttributes::new(frame), layers);
    let mut bytes = Cursor::new(Vec::new());
    image.write().to_buffered(&mut bytes).expect("memory takes every write");
    bytes.into_inner()
}

/// A TIFF file of RGB pixels of 8 bits.
pub fn rgb_tiff(size: (u32, u32), data: &[u8]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = ::tiff::encoder::TiffEncoder::new(&mut bytes).expect("memory takes every write");
    encoder.write_image::<::tiff::encoder::colortype::RGB8>(size.0, size.1, data).expect("the size fits the data");
    bytes.into_inner()
}

/// A lossless WebP file of RGB pixels of 8 bits.
pub fn rgb_webp(size: (u32, u32), data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image_webp::WebPEncoder::new(&mut bytes);
    encoder.encode(data, size.0, size.1, image_webp::ColorType::Rgb8).expect("the size fits the data");
    bytes
}
