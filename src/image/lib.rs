//! Image files, one module a format, all written whole or not at all; colours, colour maps and image differences.

pub mod bitmap_font;
pub mod colormap;
pub mod colour;
pub mod colour_bar;
pub mod contact_sheet;
pub mod diff;
pub mod error_map;
mod exif;
pub mod exr;
pub mod exr_read;
pub mod folder;
pub mod format;
pub mod gif;
mod glyphs;
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

    /// The image made `n` times smaller along both axes: means of squares of n×n pixels, weighted by their alpha. What is left over
    /// at the right and the bottom is left out; an image always keeps a pixel along each axis.
    pub fn reduced(&self, n: u32) -> Self {
        let n = n.clamp(1, self.width.min(self.height).max(1));
        if n == 1 {
            return self.clone();
        }
        let width = self.width / n;
        Self::from_fn(width, self.height / n, |i| {
            let (x, y) = (i as u32 % width * n, i as u32 / width * n);
            let mut sums = [0u64; 4];
            for pixel in (0..n * n).map(|k| self.pixel(x + k % n, y + k / n)) {
                let alpha = u64::from(pixel[3]);
                (0..3).for_each(|c| sums[c] += u64::from(pixel[c]) * alpha);
                sums[3] += alpha;
            }
            let (alpha, count) = (sums[3], u64::from(n * n));
            let mean = |sum: u64, of: u64| (sum + of / 2).checked_div(of).unwrap_or(0) as u8;
            [mean(sums[0], alpha), mean(sums[1], alpha), mean(sums[2], alpha), mean(alpha, count)]
        })
    }

    /// The image made `n` times larger along both axes, each pixel a square.
    pub fn enlarged(&self, n: u32) -> Self {
        let width = self.width * n;
        let place = |i: usize| (i as u32 % width.max(1) / n, i as u32 / width.max(1) / n);
        Self::from_fn(width, self.height * n, |i| {
            let (x, y) = place(i);
            self.pixel(x, y)
        })
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
        move |e| ImageError::Format { path: path.into(), reason: reason(e) }
    }
}

/// The message of a decoder, which may quote its input at any length.
fn reason<E: std::fmt::Display>(error: E) -> String {
    nstr_files::shorten(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reduced_pixels_are_means_weighted_by_alpha() {
        let image = Rgba8::from_fn(5, 4, |i| match (i % 5, i / 5) {
            (0, 0) => [200, 100, 0, 255],
            (1, 0) => [100, 100, 0, 255],
            (0 | 1, 1) => [0, 0, 255, 0],
            _ => [10, 20, 30, 255],
        });
        let small = image.reduced(2);
        assert_eq!((small.width, small.height), (2, 2));
        assert_eq!((small.pixel(0, 0), small.pixel(1, 1)), ([150, 100, 0, 128], [10, 20, 30, 255]));
        assert_eq!((image.reduced(1), image.reduced(99).height), (image.clone(), 1));
        let opaque = Rgba8::from_fn(3, 2, |i| [i as u8, 9, 40, 255]);
        assert_eq!((opaque.enlarged(3).width, opaque.enlarged(3).reduced(3)), (9, opaque));
    }
}
