//! The orientation tag of EXIF data, and where each format keeps them: APP1 of JPEG, `eXIf` of PNG, `EXIF` of WebP.

use crate::format::ImageFormat;
use crate::orientation::Orientation;
use crate::{jpeg, tiff, webp};

/// Tag of the orientation.
const ORIENTATION: u16 = 274;
/// Begins the EXIF data in a JPEG's APP1, and in some WebP files.
const LEAD: &[u8] = b"Exif\0\0";
/// Chunks or segments that are looked at.
const MOST_CHUNKS: usize = 10_000;

/// The orientation that a file states; upright where it states none, and where its EXIF data are damaged.
pub fn orientation(format: ImageFormat, bytes: &[u8]) -> Orientation {
    let number = match format {
        ImageFormat::Png => png_chunk(bytes).and_then(tag),
        ImageFormat::Jpeg => {
            jpeg::segments(bytes).filter(|s| s.marker == 0xE1).find_map(|s| tag(s.body.strip_prefix(LEAD)?))
        }
        ImageFormat::WebP => webp_chunk(bytes).and_then(|data| tag(data.strip_prefix(LEAD).unwrap_or(data))),
        ImageFormat::Tiff => tiff::orientation(bytes),
        ImageFormat::Exr => None,
    };
    Orientation::of_exif(number.unwrap_or(1))
}

fn png_chunk(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(8..)?;
    for _ in 0..MOST_CHUNKS {
        let (&length, after) = rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(length) as usize;
        match kind {
            b"eXIf" => return after.get(..length),
            b"IEND" => return None,
            _ => rest = after.get(length..)?.get(4..)?,
        }
    }
    None
}

fn webp_chunk(bytes: &[u8]) -> Option<&[u8]> {
    webp::chunks(bytes.get(12..)?).take(MOST_CHUNKS).find(|(kind, _)| *kind == b"EXIF").map(|(_, data)| data)
}

/// The orientation tag of EXIF data, which are a TIFF structure: the first directory's entry 274, of any integer type.
fn tag(exif: &[u8]) -> Option<u32> {
    let little = match exif.get(..4)? {
        [b'I', b'I', 42, 0] => true,
        [b'M', b'M', 0, 42] => false,
        _ => return None,
    };
    let short = |at: usize| {
        let two = *exif.get(at..)?.first_chunk::<2>()?;
        Some(if little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) })
    };
    let long = |at: usize| {
        let four = *exif.get(at..)?.first_chunk::<4>()?;
        Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
    };
    let directory = long(4)? as usize;
    let count = usize::from(short(directory)?);
    let entry = (0..count).map(|i| directory.saturating_add(2 + 12 * i)).find(|&at| short(at) == Some(ORIENTATION))?;
    match short(entry + 2)? {
        1 => exif.get(entry + 8).map(|&v| u32::from(v)),
        3 => short(entry + 8).map(u32::from),
        4 => long(entry + 8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{exif_data, grey_jpeg, jpeg_with_exif};

    #[test]
    fn every_format_tells_its_orientation() {
        for number in 1..=8 {
            let want = Orientation::of_exif(number);
            for little in [true, false] {
                let exif = exif_data(number as u16, little);
                assert_eq!(tag(&exif), Some(number));
                assert_eq!(orientation(ImageFormat::Jpeg, &jpeg_with_exif(&grey_jpeg(), &exif)), want);
                let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x01teXt?crc!".to_vec();
                png.extend((exif.len() as u32).to_be_bytes());
                png.extend([b"eXIf", &exif[..], b"crc!"].concat());
                assert_eq!(orientation(ImageFormat::Png, &png), want);
                for lead in [&b""[..], LEAD] {
                    let data = [lead, &exif].concat();
                    let mut webp = b"RIFF\0\0\0\0WEBPVP8X\x03\0\0\0abc\0EXIF".to_vec();
                    webp.extend((data.len() as u32).to_le_bytes());
                    webp.extend(&data);
                    assert_eq!(orientation(ImageFormat::WebP, &webp), want);
                }
            }
        }
    }

    #[test]
    fn what_is_damaged_counts_as_upright() {
        let exif = exif_data(6, true);
        assert!((0..exif.len() - 6).all(|cut| tag(&exif[..cut]).is_none()));
        let mut far = exif.clone();
        far[4..8].fill(0xFF);
        assert_eq!(tag(&far), None);
        assert_eq!(orientation(ImageFormat::Jpeg, b"\xFF\xD8\xFF\xE1\0\x08Exif\0\0"), Orientation::Upright);
        assert_eq!(orientation(ImageFormat::Jpeg, &grey_jpeg()), Orientation::Upright);
        assert_eq!(orientation(ImageFormat::WebP, b"RIFF\0\0\0\0WEBP"), Orientation::Upright);
    }
}
