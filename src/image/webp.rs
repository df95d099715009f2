//! WebP, read only: lossy or lossless, the first frame of an animation.

use std::io::Cursor;

use image_webp::WebPDecoder;

use crate::raster::Raster;
use crate::reason;

/// Place of the size of the RIFF container, and the bytes before what it counts.
const SIZE: std::ops::Range<usize> = 4..8;
/// Place of the flags of an extended file.
const FLAGS: usize = 20;
/// Flags of chunks that say nothing about pixels: colour profile, EXIF and XMP.
const METADATA: u8 = 0x20 | 0x08 | 0x04;

/// Chunks of a RIFF container from its first on: kind and data, those of the last as far as they go.
pub(crate) fn chunks(mut rest: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (kind, after) = rest.split_first_chunk::<4>()?;
        let (&length, after) = after.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(length) as usize;
        let data = &after[..length.min(after.len())];
        rest = after.get(length.saturating_add(length & 1)..).unwrap_or_default();
        Some((kind, data))
    })
}

/// Refuses lossy frames that say they are larger than the canvas: the decoder makes room for them before it looks.
fn check_frames(rest: &[u8], (width, height): (u32, u32), is_frame: bool) -> Result<(), String> {
    for (kind, data) in chunks(rest) {
        match (kind, data) {
            (b"VP8 ", &[_, _, _, _, _, _, w0, w1, h0, h1, ..]) => {
                let [w, h] = [[w0, w1], [h0, h1]].map(|side| u32::from(u16::from_le_bytes(side) & 0x3FFF));
                if w > width || h > height {
                    return Err(format!("a frame of {w}x{h} pixels in a picture of {width}x{height}"));
                }
            }
            (b"ANMF", _) if !is_frame => check_frames(data.get(16..).unwrap_or_default(), (width, height), true)?,
            _ => {}
        }
    }
    Ok(())
}

/// The file without what would make the decoder refuse it for things that are not the picture's: a container length that is
/// wrong, and metadata that are announced and missing.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let length = u32::try_from(bytes.len().saturating_sub(SIZE.end)).unwrap_or(u32::MAX - 1);
    if let Some(size) = bytes.get_mut(SIZE) {
        size.copy_from_slice(&length.to_le_bytes());
    }
    if bytes.get(12..16) == Some(b"VP8X")
        && let Some(flags) = bytes.get_mut(FLAGS)
    {
        *flags &= !METADATA;
    }
    bytes
}

fn open(bytes: &[u8]) -> Result<WebPDecoder<Cursor<Vec<u8>>>, String> {
    WebPDecoder::new(Cursor::new(mended(bytes))).map_err(reason)
}

/// Width, height and number of channels.
pub(crate) fn shape(bytes: &[u8]) -> Result<(u32, u32, usize), String> {
    let decoder = open(bytes)?;
    let (w, h) = decoder.dimensions();
    check_frames(bytes.get(12..).unwrap_or_default(), (w, h), false)?;
    Ok((w, h, if decoder.has_alpha() { 4 } else { 3 }))
}

/// Decodes the picture, or the first frame of an animation, as RGB or RGBA with straight alpha, with notes on what was left
/// out.
///
/// # Errors
/// Bytes that are not WebP, are damaged or truncated; the message says how.
pub fn decode(bytes: &[u8]) -> Result<(Raster<u8>, Vec<String>), String> {
    let mut decoder = open(bytes)?;
    let (width, height) = decoder.dimensions();
    let size = decoder.output_buffer_size().ok_or("the image is too large for this machine")?;
    let mut data = vec![0; size];
    decoder.read_image(&mut data).map_err(reason)?;
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let notes = if decoder.is_animated() { vec!["it is an animation; its first frame is read".into()] } else { vec![] };
    Ok((Raster { width: width as usize, height: height as usize, channels, data }, notes))
}

#[cfg(test)]
mod tests {
    use image_webp::{ColorType, WebPEncoder};

    use super::*;

    fn lossless(colour: ColorType, data: &[u8], exif: Option<Vec<u8>>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = WebPEncoder::new(&mut bytes);
        if let Some(exif) = exif {
            encoder.set_exif_metadata(exif);
        }
        encoder.encode(data, 2, 1, colour).unwrap();
        bytes
    }

    #[test]
    fn colours_and_alpha() {
        for (colour, channels) in [(ColorType::Rgb8, 3), (ColorType::Rgba8, 4)] {
            let data: Vec<u8> = (0..2 * channels as u8).map(|i| 10 + 20 * i).collect();
            let bytes = lossless(colour, &data, None);
            assert_eq!(shape(&bytes), Ok((2, 1, channels)));
            let want = Raster { width: 2, height: 1, channels, data };
            assert_eq!(decode(&bytes), Ok((want.clone(), vec![])));
            // The container's length says nothing, or too much.
            for length in [0u32, u32::MAX, 0x7FFF_FFFF] {
                let mut wrong = bytes.clone();
                wrong[SIZE].copy_from_slice(&length.to_le_bytes());
                assert_eq!(decode(&wrong), Ok((want.clone(), vec![])));
            }
        }
    }

    #[test]
    fn metadata_may_be_missing_and_pixels_may_not() {
        let data = [1, 2, 3, 4, 5, 6];
        let exif = crate::testing::exif_data(6, true);
        let bytes = lossless(ColorType::Rgb8, &data, Some(exif.clone()));
        assert_eq!(decode(&bytes).unwrap().0.data, data);
        let end = bytes.len() - 8 - exif.len();
        assert_eq!(decode(&bytes[..end]).unwrap().0.data, data);
        // A canvas of 2x1 pixels and a frame of all that there may be.
        let mut large = b"RIFF\0\0\0\0WEBPVP8X\x0A\0\0\0\0\0\0\0\x01\0\0\0\0\0".to_vec();
        large.extend(b"VP8 \x0A\0\0\0\0\0\0\x9D\x01\x2A\xFF\x3F\xFF\x3F");
        assert!(shape(&large).unwrap_err().contains("16383x16383"));
        let plain = lossless(ColorType::Rgb8, &data, None);
        assert!((0..plain.len() - 2).all(|cut| decode(&plain[..cut]).is_err()));
    }
}
