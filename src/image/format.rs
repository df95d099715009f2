//! What a picture file is and how large, by its first bytes.

use std::io::Cursor;

use crate::{exr_read, jpeg};

/// Most pixels in one picture; more are taken for a damaged header.
pub const MAX_PIXELS: u64 = 1 << 28;

/// A format of pictures that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// JPEG, baseline or progressive.
    Jpeg,
    /// OpenEXR.
    Exr,
}

/// A decoded picture in numbers of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Raster<T> {
    /// Pixels along x.
    pub width: usize,
    /// Pixels along y.
    pub height: usize,
    /// Values a pixel: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
    pub channels: usize,
    /// `[row][column][channel]`.
    pub data: Vec<T>,
}

impl Format {
    /// The format of a file with this content, or what is wrong.
    pub fn of(bytes: &[u8]) -> Result<Self, String> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => Ok(Format::Png),
            [0xFF, 0xD8, ..] => Ok(Format::Jpeg),
            [0x76, 0x2F, 0x31, 0x01, ..] => Ok(Format::Exr),
            [] => Err("the file is empty".into()),
            _ => Err("not a PNG, JPEG or EXR picture; convert it to one of them".into()),
        }
    }

    /// Width and height that the file's header states, 1 to [`MAX_PIXELS`] in all.
    pub fn size(self, bytes: &[u8]) -> Result<(u32, u32), String> {
        let (w, h) = match self {
            Format::Png => {
                let reader = png::Decoder::new(Cursor::new(bytes)).read_info().map_err(|e| e.to_string())?;
                (reader.info().width, reader.info().height)
            }
            Format::Jpeg => jpeg::size(bytes)?,
            Format::Exr => exr_read::size(bytes)?,
        };
        if w == 0 || h == 0 || w as u64 * h as u64 > MAX_PIXELS {
            return Err(format!("its header says {w}x{h} pixels; expected 1 to {MAX_PIXELS} in all"));
        }
        Ok((w, h))
    }
}
