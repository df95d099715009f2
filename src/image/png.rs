//! PNG: written with 8 bits a channel, marked as sRGB; read with 8 bits, or with all that the file has.

use std::path::Path;

use png::{BitDepth, ColorType, Decoder, Encoder, SrgbRenderingIntent, Transformations};

use crate::raster::Raster;
use crate::reason;
use crate::{ImageError, Rgba8};

/// Writes an image; the alpha channel is left out where every pixel is opaque.
///
/// # Errors
/// Files that cannot be written, images without pixels.
pub fn write(path: &Path, image: &Rgba8) -> Result<(), ImageError> {
    let bytes = encode(image).map_err(ImageError::format(path))?;
    nstr_files::write(path, &bytes).map_err(ImageError::io(path))
}

fn encode(image: &Rgba8) -> Result<Vec<u8>, png::EncodingError> {
    let size = (image.width, image.height);
    if image.is_opaque() {
        let rgb: Vec<u8> = image.data.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        return encode_as(size, ColorType::Rgb, &rgb);
    }
    encode_as(size, ColorType::Rgba, &image.data)
}

/// A PNG of `data`, 8 bits a channel in rows from the top, marked as sRGB.
///
/// # Errors
/// Data of another length than the size says.
pub fn encode_as(size: (u32, u32), colour: ColorType, data: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_source_srgb(SrgbRenderingIntent::Perceptual);
    encoder.set_color(colour);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(data)?;
    writer.finish()?;
    Ok(bytes)
}

/// Reads a PNG of any kind as 8-bit RGBA.
///
/// # Errors
/// Files that cannot be read or are not PNG.
pub fn read(path: &Path) -> Result<Rgba8, ImageError> {
    let bytes = std::fs::read(path).map_err(ImageError::io(path))?;
    decode(&bytes).map_err(ImageError::format(path))
}

/// Decodes a PNG of any kind as 8-bit RGBA.
///
/// # Errors
/// Bytes that are not PNG or are damaged; the message says how.
pub fn decode(bytes: &[u8]) -> Result<Rgba8, String> {
    let mut decoder = Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(Transformations::normalize_to_color8() | Transformations::ALPHA);
    let mut reader = decoder.read_info().map_err(reason)?;
    let size = reader.output_buffer_size().ok_or("the image is too large for this machine")?;
    let mut buffer = vec![0; size];
    let info = reader.next_frame(&mut buffer).map_err(reason)?;
    buffer.truncate(info.buffer_size());
    let data = match info.color_type {
        ColorType::Rgba => buffer,
        ColorType::GrayscaleAlpha => buffer.chunks_exact(2).flat_map(|p| [p[0], p[0], p[0], p[1]]).collect(),
        other => return Err(format!("unexpected pixel layout {other:?}")),
    };
    Ok(Rgba8 { width: info.width, height: info.height, data })
}

/// Decodes a PNG of any kind with its own channels and depth as values from 0 to 1; palettes and transparent colours are
/// expanded, alpha is straight.
///
/// # Errors
/// Bytes that are not PNG or are damaged; the message says how.
pub fn decode_values(bytes: &[u8]) -> Result<Raster<f32>, String> {
    let mut decoder = Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(reason)?;
    let size = reader.output_buffer_size().ok_or("the image is too large for this machine")?;
    let mut buffer = vec![0; size];
    let info = reader.next_frame(&mut buffer).map_err(reason)?;
    buffer.truncate(info.buffer_size());
    let data = match info.bit_depth {
        BitDepth::Eight => buffer.iter().map(|&v| v as f32 / 255.0).collect(),
        BitDepth::Sixteen => {
            buffer.chunks_exact(2).map(|v| u16::from_be_bytes([v[0], v[1]]) as f32 / 65_535.0).collect()
        }
        other => return Err(format!("unexpected depth {other:?}")),
    };
    let channels = info.color_type.samples();
    Ok(Raster { width: info.width as usize, height: info.height as usize, channels, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_with_and_without_alpha() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        for alpha in [255, 77] {
            let image = Rgba8::from_fn(5, 3, |i| [i as u8 * 9, 200, 255 - i as u8, if i == 4 { alpha } else { 255 }]);
            write(&path, &image).unwrap();
            assert_eq!(read(&path).unwrap(), image);
        }
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bad.png");
        std::fs::write(&path, b"\x89PNG nothing").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("bad.png"));
        let image = Rgba8::from_fn(0, 0, |_| [0; 4]);
        assert!(write(&path, &image).unwrap_err().to_string().contains("bad.png"));
        assert_eq!(std::fs::read(&path).unwrap(), b"\x89PNG nothing", "a failed write keeps what was there");
    }
}
