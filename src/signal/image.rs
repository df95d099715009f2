//! Images as float arrays: readers for PNG, JPEG, EXR, TIFF and WebP, writers for PNG and EXR.

use std::path::Path;

use nstr_image::colour::{linear_from_srgb, srgb_from_linear};
use nstr_image::picture::{Decoded, PictureValues, decode_values};
use nstr_image::raster::Raster;
use nstr_image::{Rgba8, exr, png};
use serde::{Deserialize, Serialize};

use crate::error::{SignalError, extension};

/// Encoding of an image's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelEncoding {
    /// The file's own encoded values from 0 to 1 (PNG, JPEG), taken for sRGB; alpha is straight.
    Srgb,
    /// Scene-linear, any finite value (EXR); colours are premultiplied by alpha.
    Linear,
}

/// An image of floats.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSignal {
    /// Pixels along x.
    pub width: usize,
    /// Pixels along y.
    pub height: usize,
    /// Values a pixel: 1 grey, 3 RGB, 4 RGBA.
    pub channels: usize,
    /// Encoding of the values.
    pub encoding: PixelEncoding,
    /// `[row][column][channel]`, rows from the top.
    pub data: Vec<f32>,
}

/// Reads an image; see [`read_image_noted`], whose notes are dropped.
///
/// # Errors
/// Those of [`read_image_noted`].
pub fn read_image(path: &Path) -> Result<ImageSignal, SignalError> {
    read_image_noted(path).map(|(picture, _)| picture)
}

/// Reads an image, with one sentence for everything that is wrong with the file or left out; the format follows from the
/// content.
///
/// - PNG of 8 or 16 bits (or fewer), grey, RGB or palette, with or without alpha: values as stored divided by the largest,
///   [`PixelEncoding::Srgb`], straight alpha. Grey with alpha becomes RGBA. Gamma and colour profiles are ignored.
/// - JPEG, grey or colour: [`PixelEncoding::Srgb`]. One that ends early is read as far as it goes.
/// - WebP, the first frame: [`PixelEncoding::Srgb`], straight alpha.
/// - EXR, half or float: the first part with `R`, `G`, `B` or `Y`, its display window, [`PixelEncoding::Linear`]. Values are as
///   stored: colours stay premultiplied by alpha. Pixels outside the data window are transparent.
/// - TIFF, the first page: integers as PNG, floats as EXR.
///
/// The picture is upright: the orientation that its EXIF data state is applied. An alpha channel that is 1 everywhere is
/// dropped.
///
/// # Errors
/// [`SignalError`] where the file is not such an image or is damaged, has no pixel, more than 2²⁸ or more than a file of its
/// length can hold, or a NaN or infinite value.
pub fn read_image_noted(path: &Path) -> Result<(ImageSignal, Vec<String>), SignalError> {
    let bytes = nstr_files::read(path).map_err(SignalError::read(path))?;
    from_bytes(path, &bytes)
}

/// Decodes an image that was read from `path`.
pub(super) fn from_bytes(path: &Path, bytes: &[u8]) -> Result<(ImageSignal, Vec<String>), SignalError> {
    let (picture, notes) = decode_noted(bytes).map_err(|reason| SignalError::decode(path, reason))?;
    picture.check_finite(path)?;
    Ok((picture, notes))
}

fn decode_noted(bytes: &[u8]) -> Result<(ImageSignal, Vec<String>), String> {
    let help = |e: String| if e.contains("convert it") { e } else { format!("{e}; export the picture again") };
    let Decoded { image, orientation, mut notes, .. } = decode_values(bytes).map_err(help)?;
    let PictureValues { raster, is_linear } = image;
    if !orientation.is_upright() {
        notes.push(format!("turned upright: its EXIF orientation is {}", orientation.exif()));
    }
    let Raster { width, height, channels, data } = raster.turned(orientation);
    let encoding = if is_linear { PixelEncoding::Linear } else { PixelEncoding::Srgb };
    Ok((without_plain_alpha(ImageSignal { width, height, channels, encoding, data }), notes))
}

/// Drops an alpha channel that is 1 everywhere; grey with another alpha becomes RGBA.
fn without_plain_alpha(mut picture: ImageSignal) -> ImageSignal {
    let n = picture.channels;
    if !matches!(n, 2 | 4) {
        return picture;
    }
    let opaque = picture.data.chunks_exact(n).all(|p| p[n - 1] == 1.0);
    let pixels = picture.data.chunks_exact(n);
    (picture.channels, picture.data) = match (n, opaque) {
        (_, true) => (n - 1, pixels.flat_map(|p| &p[..n - 1]).copied().collect()),
        (2, false) => (4, pixels.flat_map(|p| [p[0], p[0], p[0], p[1]]).collect()),
        (_, false) => return picture,
    };
    picture
}

impl ImageSignal {
    /// Writes `.png` (8 bits) or `.exr` (32-bit floats), whole or not at all.
    ///
    /// Grey stays grey and alpha stays. PNG takes [`PixelEncoding::Srgb`] values as they are and [`PixelEncoding::Linear`] ones through the
    /// sRGB curve, clamped to 0 to 1; EXR takes [`PixelEncoding::Linear`] values as they are and the linear values of
    /// [`PixelEncoding::Srgb`] ones. Alpha is straight in PNG and premultiplied in EXR.
    ///
    /// # Errors
    /// [`SignalError`] where the name has another extension, the image has no pixel, a wrong number of values or one that
    /// is not finite, or the file can't be written.
    pub fn write(&self, path: &Path) -> Result<(), SignalError> {
        let exr = match extension(path).as_str() {
            "png" => false,
            "exr" => true,
            other => {
                let reason = format!("{other:?} is not an image format that is written; name the file .png or .exr");
                return Err(SignalError::field(path, "extension", reason));
            }
        };
        self.check_shape(path)?;
        self.check_finite(path)?;
        let bytes = if exr { self.exr_bytes() } else { self.png_bytes() };
        let bytes = bytes.map_err(|reason| SignalError::field(path, "pixels", reason))?;
        nstr_files::write(path, &bytes).map_err(SignalError::write(path))
    }

    /// The rectangle of `w`×`h` pixels from column `x` and row `y` on; `None` where it is empty or not within the image.
    pub fn crop(&self, x: usize, y: usize, w: usize, h: usize) -> Option<Self> {
        let within = x.checked_add(w)? <= self.width && y.checked_add(h)? <= self.height;
        if !within || w == 0 || h == 0 {
            return None;
        }
        let row = |r: usize| &self.data[(r * self.width + x) * self.channels..][..w * self.channels];
        let data = (y..y + h).flat_map(row).copied().collect();
        Some(Self { width: w, height: h, data, ..*self })
    }

    /// The image at 1/`n` of its size: means of boxes of `n`×`n` pixels in its own encoding, colours of straight alpha
    /// weighted by alpha.
    ///
    /// Rows and columns that don't fill a box are cut off on the right and below. `None` where `n` is 0 or no box fits.
    pub fn reduced(&self, n: usize) -> Option<Self> {
        let (width, height) = (self.width.checked_div(n)?, self.height.checked_div(n)?);
        if width == 0 || height == 0 {
            return None;
        }
        let mut data = Vec::with_capacity(width * height * self.channels);
        for i in 0..width * height {
            data.extend_from_slice(&self.box_mean(i % width * n, i / width * n, n)[..self.channels]);
        }
        Some(Self { width, height, data, ..*self })
    }

    /// Mean of the `n`×`n` pixels from (x, y) on.
    fn box_mean(&self, x: usize, y: usize, n: usize) -> [f32; 4] {
        let weighted = self.channels == 4 && self.encoding == PixelEncoding::Srgb;
        let (mut sum, mut weights) = ([0.0f64; 4], 0.0);
        for row in y..y + n {
            for p in
                self.data[(row * self.width + x) * self.channels..][..n * self.channels].chunks_exact(self.channels)
            {
                let weight = if weighted { p[3] as f64 } else { 1.0 };
                p.iter().zip(&mut sum).for_each(|(&v, s)| *s += v as f64 * weight);
                weights += weight;
            }
        }
        let mut mean = sum.map(|s| if weights > 0.0 { (s / weights) as f32 } else { 0.0 });
        if weighted {
            mean[3] = (weights / (n * n) as f64) as f32;
        }
        mean
    }

    /// The image with 8 bits a channel in sRGB and straight alpha, as PNG shows it.
    pub fn to_rgba8(&self) -> Rgba8 {
        Rgba8::from_fn(self.width as u32, self.height as u32, |i| {
            let pixel = self.encoded(i).map(byte);
            match self.channels {
                1 => [pixel[0], pixel[0], pixel[0], 255],
                3 => [pixel[0], pixel[1], pixel[2], 255],
                _ => pixel,
            }
        })
    }

    /// Values of pixel `i` in sRGB with straight alpha; those beyond the channels are 0.
    fn encoded(&self, i: usize) -> [f32; 4] {
        let mut v = self.pixel(i);
        if self.encoding == PixelEncoding::Linear {
            let alpha = if self.channels == 4 { v[3].clamp(0.0, 1.0) } else { 1.0 };
            let straight = |v: f32| if alpha > 0.0 { srgb_from_linear(v / alpha) } else { 0.0 };
            v[..3].iter_mut().for_each(|c| *c = straight(*c));
        }
        v
    }

    /// Values of pixel `i`, linear and premultiplied; those beyond the channels are 0.
    fn linear(&self, i: usize) -> [f32; 4] {
        let mut v = self.pixel(i);
        if self.encoding == PixelEncoding::Srgb {
            let alpha = if self.channels == 4 { v[3] } else { 1.0 };
            v[..3].iter_mut().for_each(|c| *c = linear_from_srgb(*c) * alpha);
        }
        v
    }

    fn pixel(&self, i: usize) -> [f32; 4] {
        let mut v = [0.0; 4];
        v[..self.channels].copy_from_slice(&self.data[i * self.channels..][..self.channels]);
        v
    }

    fn png_bytes(&self) -> Result<Vec<u8>, String> {
        let colour = match self.channels {
            1 => ::png::ColorType::Grayscale,
            3 => ::png::ColorType::Rgb,
            _ => ::png::ColorType::Rgba,
        };
        let side = |v: usize| u32::try_from(v).map_err(|_| format!("{v} pixels a side are too many for PNG"));
        let size = (side(self.width)?, side(self.height)?);
        let pixels = 0..self.width * self.height;
        let data: Vec<u8> = pixels.flat_map(|i| self.encoded(i).map(byte).into_iter().take(self.channels)).collect();
        png::encode_as(size, colour, &data).map_err(|e| e.to_string())
    }

    fn exr_bytes(&self) -> Result<Vec<u8>, String> {
        let names: &[&str] = if self.channels == 1 { &["Y"] } else { &["R", "G", "B", "A"] };
        let plane = |c: usize| (0..self.width * self.height).map(|i| self.linear(i)[c]).collect();
        let channels =
            names[..self.channels].iter().enumerate().map(|(c, name)| (name.to_string(), plane(c))).collect();
        exr::encode((self.width, self.height), channels)
    }

    fn check_shape(&self, path: &Path) -> Result<(), SignalError> {
        let count = self.width.checked_mul(self.height).and_then(|n| n.checked_mul(self.channels));
        if !matches!(self.channels, 1 | 3 | 4) || count != Some(self.data.len()) || self.data.is_empty() {
            let shape = format!("{}x{} with {} channels", self.width, self.height, self.channels);
            let reason = format!("{} values for {shape}; expected one a pixel of 1, 3 or 4 channels", self.data.len());
            return Err(SignalError::field(path, "pixels", reason));
        }
        Ok(())
    }

    fn check_finite(&self, path: &Path) -> Result<(), SignalError> {
        let Some(first) = self.data.iter().position(|v| !v.is_finite()) else {
            return Ok(());
        };
        let count = self.data.iter().filter(|v| !v.is_finite()).count();
        let (pixel, channel) = (first / self.channels, first % self.channels);
        let (x, y) = (pixel % self.width, pixel / self.width);
        let value = self.data[first];
        let reason = format!("{count} values are not finite, the first {value} in channel {channel} at x {x}, y {y}");
        Err(SignalError::field(path, "pixels", reason + "; mend the image where it was made"))
    }
}

/// 8-bit step of a value from 0 to 1, clamped.
fn byte(v: f32) -> u8 {
    (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
