//! Pictures of every format that is read, decoded with what their files say about them.

use nstr_files::Budget;

use crate::colour::srgb_from_linear;
use crate::exif;
use crate::format::ImageFormat;
use crate::orientation::Orientation;
use crate::raster::Raster;
use crate::{Rgba8, exr_read, jpeg, png, tiff, webp};

/// A decoded picture with what its file says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded<T> {
    /// The pixels as stored: nothing is turned yet.
    pub image: T,
    /// What to do so that the picture stands upright: `decoded.image.turned(decoded.orientation)`. Pictures that are shown or
    /// fitted by themselves are turned. Frames of a capture are turned only where the camera was made for the upright picture:
    /// where that alone fits the size which the capture declares ([`Orientation::size`] of [`ImageFormat::size`]).
    pub orientation: Orientation,
    /// Indices, row by row in the stored picture, of pixels of which a value is not a number: nothing is known about them, so
    /// they belong into the mask. In ascending order.
    pub undefined: Vec<usize>,
    /// One sentence, without the file's name, for everything that is missing, wrong or left out.
    pub notes: Vec<String>,
}

/// Values of a picture and their encoding.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureValues {
    /// 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA values a pixel.
    pub raster: Raster<f32>,
    /// EXR and TIFF of floats: scene-linear, with colours premultiplied by alpha. Else sRGB from 0 to 1, straight alpha.
    pub is_linear: bool,
}

/// Orientation of the picture in a file, from its first bytes on and without decoding it.
///
/// # Errors
/// Files of other formats than those that are read.
pub fn orientation(bytes: &[u8]) -> Result<Orientation, String> {
    Ok(exif::orientation(ImageFormat::of(bytes)?, bytes))
}

/// Decodes a picture with its own channels and depth.
///
/// Values that are not finite stay as they are; [`Decoded::undefined`] lists the pixels that have a NaN.
///
/// # Errors
/// Files of other formats, damaged ones, and pictures that are too large for their file ([`ImageFormat::size`]); the message
/// says how.
pub fn decode_values(bytes: &[u8]) -> Result<Decoded<PictureValues>, String> {
    let format = ImageFormat::of(bytes)?;
    format.size(bytes)?;
    let plain = |raster, notes| (PictureValues { raster, is_linear: false }, notes);
    let (image, notes) = match format {
        ImageFormat::Png => plain(png::decode_values(bytes)?, Vec::new()),
        ImageFormat::Jpeg => jpeg::decode_noted(bytes).map(|(raster, notes)| plain(fractions(&raster), notes))?,
        ImageFormat::WebP => webp::decode(bytes).map(|(raster, notes)| plain(fractions(&raster), notes))?,
        ImageFormat::Exr => (PictureValues { raster: exr_read::decode(bytes)?, is_linear: true }, Vec::new()),
        ImageFormat::Tiff => {
            let page = tiff::decode(bytes)?;
            (PictureValues { raster: page.raster, is_linear: page.is_linear }, page.notes)
        }
    };
    let undefined = undefined(&image.raster);
    Ok(Decoded { image, orientation: exif::orientation(format, bytes), undefined, notes })
}

/// Decodes a picture as 8-bit sRGB with straight alpha, as frames of captures and masks are used.
///
/// Deeper integers keep their most significant bits. Scene-linear values go through the sRGB curve, clamped to 0 to 1, so that
/// infinite light is white. Pixels of which a value is not a number are listed in [`Decoded::undefined`], counted in a note and
/// opaque black. The memory of the result is charged to `budget`, if there is one, before anything is decoded.
///
/// # Errors
/// Those of [`decode_values`], and a spent budget.
pub fn decode_rgba8(bytes: &[u8], budget: Option<&Budget>) -> Result<Decoded<Rgba8>, String> {
    let format = ImageFormat::of(bytes)?;
    let (width, height) = format.size(bytes)?;
    if let Some(budget) = budget {
        budget.charge(u64::from(width) * u64::from(height) * 4).map_err(|e| e.to_string())?;
    }
    let (image, undefined, mut notes) = match format {
        ImageFormat::Png => (png::decode(bytes)?, Vec::new(), Vec::new()),
        ImageFormat::Jpeg => {
            jpeg::decode_noted(bytes).map(|(raster, notes)| (rgba8(&raster, 255, |p| p), Vec::new(), notes))?
        }
        ImageFormat::WebP => {
            webp::decode(bytes).map(|(raster, notes)| (rgba8(&raster, 255, |p| p), Vec::new(), notes))?
        }
        ImageFormat::Exr => {
            let raster = exr_read::decode(bytes)?;
            (rgba8(&raster, 1.0, from_linear), undefined(&raster), Vec::new())
        }
        ImageFormat::Tiff => {
            let page = tiff::decode(bytes)?;
            let pixel: fn([f32; 4]) -> [u8; 4] = if page.is_linear { from_linear } else { |p: [f32; 4]| p.map(byte) };
            (rgba8(&page.raster, 1.0, pixel), undefined(&page.raster), page.notes)
        }
    };
    if !undefined.is_empty() {
        let count = undefined.len();
        notes.push(format!("{count} of {} pixels are not numbers (NaN)", u64::from(width) * u64::from(height)));
    }
    Ok(Decoded { image, orientation: exif::orientation(format, bytes), undefined, notes })
}

fn fractions(raster: &Raster<u8>) -> Raster<f32> {
    let Raster { width, height, channels, ref data } = *raster;
    Raster { width, height, channels, data: data.iter().map(|&v| v as f32 / 255.0).collect() }
}

fn undefined(raster: &Raster<f32>) -> Vec<usize> {
    let pixels = raster.data.chunks_exact(raster.channels.max(1)).enumerate();
    pixels.filter(|(_, pixel)| pixel.iter().any(|v| v.is_nan())).map(|(i, _)| i).collect()
}

/// Pixels of a raster of 1 to 4 channels.
fn rgba8<T: Copy>(raster: &Raster<T>, opaque: T, pixel: impl Fn([T; 4]) -> [u8; 4]) -> Rgba8 {
    let rgba = |p: &[T]| match *p {
        [r, g, b, a] => [r, g, b, a],
        [r, g, b] => [r, g, b, opaque],
        [v, a] => [v, v, v, a],
        _ => [p[0], p[0], p[0], opaque],
    };
    let data = raster.data.chunks_exact(raster.channels.max(1)).flat_map(|p| pixel(rgba(p))).collect();
    Rgba8 { width: raster.width as u32, height: raster.height as u32, data }
}

/// Straight 8-bit sRGB of a linear premultiplied value; opaque black where one of them is not a number.
fn from_linear([r, g, b, a]: [f32; 4]) -> [u8; 4] {
    if [r, g, b, a].into_iter().any(f32::is_nan) {
        return [0, 0, 0, 255];
    }
    let alpha = a.clamp(0.0, 1.0);
    let colour = |v: f32| if alpha > 0.0 { byte(srgb_from_linear(v / alpha)) } else { 0 };
    [colour(r), colour(g), colour(b), byte(alpha)]
}

/// 8-bit step of a value, clamped to 0 to 1.
fn byte(v: f32) -> u8 {
    (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{exif_data, exr_file, exr_window, grey_jpeg, jpeg_with_exif};

    #[test]
    fn orientations_come_with_the_pixels_as_stored() {
        let bytes = jpeg_with_exif(&grey_jpeg(), &exif_data(6, false));
        assert_eq!(orientation(&bytes), Ok(Orientation::Turn90));
        let values = decode_values(&bytes).unwrap();
        let pixels = decode_rgba8(&bytes, None).unwrap();
        assert_eq!((values.orientation, pixels.orientation), (Orientation::Turn90, Orientation::Turn90));
        assert_eq!(values.image.raster.data, [200.0 / 255.0; 64]);
        assert_eq!(pixels.image, Rgba8::from_fn(8, 8, |_| [200, 200, 200, 255]));
        assert!(orientation(b"GIF89a").unwrap_err().contains("GIF"));
    }

    #[test]
    fn linear_values_become_srgb_with_straight_alpha() {
        let value = |x: i32, _: i32| [0.5, 2.0, f32::INFINITY, -1.0][x as usize];
        let bytes = exr_window([0, 0, 4, 1], [0, 0, 4, 1], &["R", "G", "B"], value);
        let decoded = decode_rgba8(&bytes, None).unwrap();
        assert_eq!(decoded.image.data.chunks(4).map(|p| p[1]).collect::<Vec<_>>(), [188, 255, 255, 0]);
        assert_eq!((decoded.undefined, decoded.notes), (vec![], vec![]));
        let half = from_linear([0.25, 0.25, 0.25, 0.5]);
        assert_eq!(half, [188, 188, 188, 128]);
        assert_eq!(decode_rgba8(&exr_file(&[&["Y"]], true), None).unwrap().image.pixel(1, 0), [255; 4]);
    }

    #[test]
    fn pixels_that_are_not_numbers_are_listed() {
        let value = |x: i32, y: i32| if x == y { f32::NAN } else { 1.0 };
        let bytes = exr_window([0, 0, 3, 2], [0, 0, 3, 2], &["R", "G", "B"], value);
        let decoded = decode_rgba8(&bytes, None).unwrap();
        assert_eq!(decoded.undefined, [0, 4]);
        assert!(decoded.notes.len() == 1 && decoded.notes[0].contains("2 of 6 pixels"), "{:?}", decoded.notes);
        // They never look transparent, which would say that nothing is there.
        assert!(decoded.image.is_opaque());
        assert_eq!(decode_values(&bytes).unwrap().undefined, [0, 4]);
    }

    #[test]
    fn a_budget_is_charged_before_anything_is_decoded() {
        let budget = Budget::new(300);
        decode_rgba8(&grey_jpeg(), Some(&budget)).unwrap();
        assert!(decode_rgba8(&grey_jpeg(), Some(&budget)).unwrap_err().contains("300 bytes"));
    }

    #[test]
    fn deep_and_eight_bit_pictures_keep_their_steps() {
        let png = png::encode_as((2, 1), ::png::ColorType::GrayscaleAlpha, &[7, 8, 9, 255]).unwrap();
        assert_eq!(decode_rgba8(&png, None).unwrap().image.data, [7, 7, 7, 8, 9, 9, 9, 255]);
        assert_eq!(decode_values(&png).unwrap().image.raster.channels, 2);
    }
}
