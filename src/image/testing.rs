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

/// A JPEG file of 8x8 grey pixels of value 200: quantised by 8, the only coefficient is 200 − 128 = 72, seven bits.
pub fn grey_jpeg() -> Vec<u8> {
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
