//! Image files, one module a format, all written whole or not at all; colours, colour maps and image differences.

pub mod colormap;
pub mod colour;
pub mod diff;
pub mod error_map;
mod exif;
pub mod exr;
pub mod exr_read;
pub mod folder;
pub mod format;
pub mod gif;
pub mod jpeg;
pub mod orientation;
pub mod picture;
pub mod png;
pub mod raster;
#[doc(hidden)]
pub mod testing;
pub mod tiff;
pub mod video;
pub mod webp;

use std::path::PathBuf;

/// 8-bit RGBA with straight alpha, rows from the top, sRGB unless stated otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgba8 {
    /// Pixels along x.
    pub width: u32,
    /// Pixels along y.
    pub height: u32,
    /// `[pixel][4]`.
    pub data: Vec<u8>,
}

impl Rgba8 {
    /// An image whose pixel `i` (row by row) is `pixel(i)`.
    pub fn from_fn(width: u32, height: u32, pixel: impl Fn(usize) -> [u8; 4]) -> Self {
        let count = width as usize * height as usize;
        Self { width, height, data: (0..count).flat_map(pixel).collect() }
    }

    /// Pixel in column `x` of row `y`, both within the image.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 4] {
        let at = (y as usize * self.width as usize + x as usize) * 4;
        std::array::from_fn(|c| self.data[at + c])
    }

    /// `true` where every pixel is opaque.
    pub fn is_opaque(&self) -> bool {
        self.data.chunks_exact(4).all(|p| p[3] == 255)
    }
}

/// Image file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The format's encoder or decoder refused.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its message.
        reason: String,
    },
    /// There is nothing to write, or the parts do not fit together.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Its flaw.
        reason: String,
    },
}

impl ImageError {
    #[doc(hidden)]
    pub fn io(path: &std::path::Path) -> impl Fn(std::io::Error) -> Self {
        move |source| ImageError::Io { path: path.into(), source }
    }
    #[doc(hidden)]
    pub fn format<E: std::fmt::Display>(path: &std::path::Path) -> impl Fn(E) -> Self {
        move |e| ImageError::Format { path: path.into(), reason: e.to_string() }
    }
}
