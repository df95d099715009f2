//! Format and size of an image file, from its first bytes.

use std::io::Cursor;

use crate::reason;
use crate::{exr_read, jpeg, tiff, webp};

/// Most pixels of an image; more are taken for a damaged header.
pub const MAX_PIXELS: u64 = 1 << 28;

/// Most values (pixels times channels) that one byte of a file can stand for.
///
/// Deflate repeats at most 1032 bytes a byte, LZW about 1400, and a progressive JPEG of one grey takes a bit for 64 pixels.
const MAX_VALUES_PER_BYTE: u64 = 1500;

/// Image format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageFormat {
    /// Portable Network Graphics.
    Png,
    /// JPEG, baseline or progressive.
    Jpeg,
    /// OpenEXR.
    Exr,
    /// TIFF or BigTIFF, the first page.
    Tiff,
    /// WebP, lossy or lossless, the first frame.
    WebP,
}

/// First bytes of formats that are not read, from the given place on, with their names.
const FOREIGN: [(usize, &[u8], &str); 18] = [
    (0, b"GIF8", "a GIF image"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\0\0\0\x0CJXL \r\n", "a JPEG XL image"),
    (0, b"\xFF\x0A", "a JPEG XL image"),
    (0, b"\0\0\0\x0CjP  \r\n", "a JPEG 2000 image"),
    (0, b"\xFF\x4F\xFF\x51", "a JPEG 2000 image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftypavis", "an AVIF image"),
    (4, b"ftyphe", "a HEIC image"),
    (4, b"ftypmif1", "a HEIC image"),
    (4, b"ftypcrx", "a raw photograph of a camera"),
    (0, b"FUJIFILMCCD-RAW", "a raw photograph of a camera"),
    (8, b"CR\x02", "a raw photograph of a camera"),
    (0, b"IIRO", "a raw photograph of a camera"),
    (0, b"IIU\0", "a raw photograph of a camera"),
    (0, b"#?RADIANCE", "a Radiance HDR image"),
    (0, b"DDS ", "a DirectDraw surface"),
    (0, b"BM", "a BMP image"),
];

impl ImageFormat {
    /// The format of a file with this content; the name does not count.
    ///
    /// # Errors
    /// Empty files and other formats, which the message names where it knows them.
    pub fn of(bytes: &[u8]) -> Result<Self, String> {
        if let Some(format) = Self::known(bytes) {
            return Ok(format);
        }
        if bytes.is_empty() {
            return Err("the file is empty".into());
        }
        let found = FOREIGN.into_iter().find(|&(at, magic, _)| bytes.get(at..).is_some_and(|b| b.starts_with(magic)));
        let what = found.map_or("", |(_, _, name)| name);
        let lead = if what.is_empty() { String::new() } else { format!("{what}, ") };
        Err(format!("{lead}not a PNG, JPEG, EXR, TIFF or WebP image; convert it to one of them"))
    }

    /// The format of a file that begins like this; 16 bytes are enough. `None` for every other file.
    pub fn known(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => Some(ImageFormat::Png),
            [0xFF, 0xD8, ..] => Some(ImageFormat::Jpeg),
            [0x76, 0x2F, 0x31, 0x01, ..] => Some(ImageFormat::Exr),
            [b'I', b'I', 42 | 43, 0, rest @ ..] if !rest.get(4..).is_some_and(|r| r.starts_with(b"CR")) => {
                Some(ImageFormat::Tiff)
            }
            [b'M', b'M', 0, 42 | 43, ..] => Some(ImageFormat::Tiff),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(ImageFormat::WebP),
            _ => None,
        }
    }

    /// Width and height that the file's header states, 1 to [`MAX_PIXELS`] pixels in all; of an EXR image those of its
    /// display window. They are as stored: an orientation turns nothing here.
    ///
    /// # Errors
    /// Damaged headers, images of no or too many pixels, and images of more pixels than a file of this length can hold, so
    /// that a small file never takes much memory.
    pub fn size(self, bytes: &[u8]) -> Result<(u32, u32), String> {
        let (w, h, channels) = match self {
            ImageFormat::Png => {
                let mut decoder = png::Decoder::new(Cursor::new(bytes));
                let info = decoder.read_header_info().map_err(reason)?;
                (info.width, info.height, info.color_type.samples())
            }
            ImageFormat::Jpeg => jpeg::shape(bytes)?,
            ImageFormat::Exr => exr_read::shape(bytes)?,
            ImageFormat::Tiff => tiff::shape(bytes)?,
            ImageFormat::WebP => webp::shape(bytes)?,
        };
        let pixels = u64::from(w) * u64::from(h);
        if w == 0 || h == 0 || pixels > MAX_PIXELS {
            return Err(format!("its header says {w}x{h} pixels; expected 1 to {MAX_PIXELS} in all"));
        }
        check_values(pixels * channels as u64, self.free_values(), bytes.len())
            .map_err(|reason| format!("its header says {w}x{h} pixels; {reason}"))?;
        Ok((w, h))
    }

    /// Values that a file of any length may have.
    pub(crate) fn free_values(self) -> u64 {
        match self {
            // Every block takes its bits, so that no whole file comes near the bound.
            ImageFormat::Jpeg => 1 << 20,
            // Flat areas cost next to nothing: masks of one bit a pixel, blank pages, frames in which nothing was hit.
            ImageFormat::Png | ImageFormat::Tiff | ImageFormat::WebP => 1 << 25,
            ImageFormat::Exr => 1 << 26,
        }
    }
}

/// Checks that a file of `length` bytes can stand for this many values, of which `free` are granted to every file.
pub(crate) fn check_values(values: u64, free: u64, length: usize) -> Result<(), String> {
    let most = free.max((length as u64).saturating_mul(MAX_VALUES_PER_BYTE));
    if values <= most {
        return Ok(());
    }
    Err(format!(
        "a file of {length} bytes can't hold that many ({values} values, at most {most}): it is damaged or truncated"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::grey_jpeg;

    #[test]
    fn content_decides_and_foreign_formats_are_named() {
        let kinds: [(&[u8], ImageFormat); 7] = [
            (b"\x89PNG\r\n\x1a\n", ImageFormat::Png),
            (b"\xFF\xD8\xFF\xE0", ImageFormat::Jpeg),
            (b"\x76\x2f\x31\x01", ImageFormat::Exr),
            (b"II*\0\x08\0\0\0", ImageFormat::Tiff),
            (b"MM\0*\0\0\0\x08", ImageFormat::Tiff),
            (b"II+\0\x08\0\0\0", ImageFormat::Tiff),
            (b"RIFF\0\0\0\0WEBPVP8 ", ImageFormat::WebP),
        ];
        kinds.into_iter().for_each(|(bytes, format)| assert_eq!(ImageFormat::of(bytes), Ok(format)));
        let named: [(&[u8], &str); 9] = [
            (b"GIF89a", "GIF"),
            (b"BM\0\0\0\0", "BMP"),
            (b"8BPS\0\x01", "Photoshop"),
            (b"\0\0\0\x18ftypheic", "HEIC"),
            (b"\0\0\0\x18ftypavif", "AVIF"),
            (b"\xFF\x0A\0", "JPEG XL"),
            (b"\0\0\0\x0CjP  \r\n", "JPEG 2000"),
            (b"\0\0\0\x18ftypcrx ", "raw"),
            (b"nothing", "not a PNG"),
        ];
        for (bytes, name) in named {
            let said = ImageFormat::of(bytes).unwrap_err();
            assert!(said.contains(name) && said.contains("convert it"), "{said}");
        }
        assert_eq!(ImageFormat::of(b""), Err("the file is empty".into()));
        assert_eq!(ImageFormat::known(b"RIFF\0\0\0\0WAVE"), None);
    }

    /// The header of a PNG of one bit a pixel.
    fn png_header(side: u32, padding: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, side, side);
        encoder.set_depth(png::BitDepth::One);
        drop(encoder.write_header());
        bytes.truncate(33);
        bytes.resize(33 + padding, 0);
        bytes
    }

    #[test]
    fn small_files_of_huge_pictures_are_refused() {
        // 2^28 pixels in 33 kB, and in as many bytes as they need at the least.
        let size = |bytes: &[u8]| ImageFormat::Png.size(bytes);
        let said = size(&png_header(1 << 14, 33_000)).unwrap_err();
        assert!(said.contains("16384x16384") && said.contains("33033 bytes"), "{said}");
        assert_eq!(size(&png_header(1 << 14, 180_000)), Ok((1 << 14, 1 << 14)));
        assert!(size(&png_header((1 << 14) + 1, 1 << 20)).unwrap_err().contains("expected 1 to"));
        // A mask of an 8K picture may be blank.
        assert_eq!(size(&png_header(5792, 4200)), Ok((5792, 5792)));
        let mut jpeg = grey_jpeg();
        let at = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
        jpeg[at + 5..at + 9].copy_from_slice(&[0xFF, 0xFF, 0x10, 0]);
        let said = ImageFormat::Jpeg.size(&jpeg).unwrap_err();
        assert!(said.contains("can't hold"), "{said}");
    }

    #[test]
    fn jpegs_wider_than_16384_have_a_size() {
        let mut jpeg = grey_jpeg();
        let at = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
        jpeg[at + 5..at + 9].copy_from_slice(&[0, 8, 0x75, 0x30]);
        assert_eq!(ImageFormat::Jpeg.size(&jpeg), Ok((30_000, 8)));
    }
}
