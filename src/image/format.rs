//! Format and size of an image file, from its first bytes.

use std::io::Cursor;

use crate::{exr_read, jpeg};

/// Most pixels of an image; more are taken for a damaged header.
pub const MAX_PIXELS: u64 = 1 << 28;

/// Image format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    /// Portable Network Graphics.
    Png,
    /// JPEG, baseline or progressive.
    Jpeg,
    /// OpenEXR.
    Exr,
}

impl ImageFormat {
    /// The format of a file with this content.
    ///
    /// # Errors
    /// Empty files and other formats.
    pub fn of(bytes: &[u8]) -> Result<Self, String> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => Ok(ImageFormat::Png),
            [0xFF, 0xD8, ..] => Ok(ImageFormat::Jpeg),
            [0x76, 0x2F, 0x31, 0x01, ..] => Ok(ImageFormat::Exr),
            [] => Err("the file is empty".into()),
            _ => Err("not a PNG, JPEG or EXR image; convert it to one of them".into()),
        }
    }

    /// Width and height that the file's header states, 1 to [`MAX_PIXELS`] pixels in all.
    ///
    /// # Errors
    /// Damaged headers and images of no or too many pixels.
    pub fn size(self, bytes: &[u8]) -> Result<(u32, u32), String> {
        let (w, h) = match self {
            ImageFormat::Png => {
                let reader = png::Decoder::new(Cursor::new(bytes)).read_info().map_err(|e| e.to_string())?;
                (reader.info().width, reader.info().height)
            }
            ImageFormat::Jpeg => jpeg::size(bytes)?,
            ImageFormat::Exr => exr_read::size(bytes)?,
        };
        if w == 0 || h == 0 || w as u64 * h as u64 > MAX_PIXELS {
            return Err(format!("its header says {w}x{h} pixels; expected 1 to {MAX_PIXELS} in all"));
        }
        Ok((w, h))
    }
}
