//! JPEG, read only.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::raster::Raster;

/// Width and height from the header.
pub(super) fn size(bytes: &[u8]) -> Result<(u32, u32), String> {
    let mut decoder = JpegDecoder::new(Cursor::new(bytes));
    decoder.decode_headers().map_err(|e| e.to_string())?;
    let info = decoder.info().ok_or("no frame header")?;
    Ok((info.width as u32, info.height as u32))
}

/// Decodes an image as grey or RGB; a truncated file is an error.
///
/// # Errors
/// Bytes that are not JPEG, are damaged or end early; the message says how.
pub fn decode(bytes: &[u8]) -> Result<Raster<u8>, String> {
    if !has_end(bytes) {
        return Err("the file ends before its end marker: it is truncated".into());
    }
    let options = DecoderOptions::default().set_max_width(65_536).set_max_height(65_536);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| e.to_string())?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    decoder.set_options(options.jpeg_set_out_colorspace(if grey { ColorSpace::Luma } else { ColorSpace::RGB }));
    let data = decoder.decode().map_err(|e| e.to_string())?;
    let info = decoder.info().ok_or("no frame header")?;
    let (width, height) = (info.width as usize, info.height as usize);
    let channels = data.len().checked_div(width * height).unwrap_or(0);
    if !matches!(channels, 1 | 3) || data.len() != width * height * channels {
        return Err(format!("{} bytes for {width}x{height} pixels", data.len()));
    }
    Ok(Raster { width, height, channels, data })
}

/// `true` where the end marker of a JPEG follows its first scan (the decoder fills what is missing with grey).
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::grey_jpeg;

    #[test]
    fn whole_and_truncated() {
        let bytes = grey_jpeg();
        assert_eq!(decode(&bytes).unwrap(), Raster { width: 8, height: 8, channels: 1, data: vec![200; 64] });
        assert_eq!(size(&bytes), Ok((8, 8)));
        for cut in 0..bytes.len() - 1 {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut} of {}", bytes.len());
        }
    }
}
