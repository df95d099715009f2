//! TIFF, read only: the first page, of 1 to 64 bits a sample, as values from 0 to 1 or as scene-linear floats.

use std::io::Cursor;

use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

use crate::format::{ImageFormat, check_values};
use crate::jpeg;
use crate::raster::Raster;
use crate::reason;

/// A decoded page.
#[derive(Clone, Debug, PartialEq)]
pub struct TiffPage {
    /// The pixels, as stored.
    pub raster: Raster<f32>,
    /// Floats: scene-linear, with colours premultiplied by alpha. Else sRGB from 0 to 1, straight alpha.
    pub is_linear: bool,
    /// What was left out.
    pub notes: Vec<String>,
}

/// Values of [`Tag::ExtraSamples`]: colours are premultiplied by this one, or are not.
const ASSOCIATED: u16 = 1;
const UNASSOCIATED: u16 = 2;
/// JPEG data in strips or tiles.
const JPEG_COMPRESSION: u16 = 7;

fn open(bytes: &[u8]) -> Result<Decoder<Cursor<&[u8]>>, String> {
    check_tags(bytes)?;
    Decoder::new(Cursor::new(bytes)).map_err(reason)
}

/// Checks that no tag of the first page claims more values than the file has bytes for: the decoder reserves memory for what
/// is claimed.
fn check_tags(bytes: &[u8]) -> Result<(), String> {
    let is_little = bytes.starts_with(b"II");
    let number = |at: u64, length: usize| -> Option<u64> {
        let field = bytes.get(usize::try_from(at).ok()?..)?.get(..length)?;
        let digit = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if is_little { field.iter().rev().fold(0, digit) } else { field.iter().fold(0, digit) })
    };
    // Where the directory begins, the bytes of its count of tags and of a tag's count of values.
    let (start, entries, values) = if number(2, 2) == Some(43) { (number(8, 8), 8, 8) } else { (number(4, 4), 2, 4) };
    // What ends early is the decoder's to complain about.
    let Some((start, count)) = start.and_then(|at| Some((at, number(at, entries)?))) else { return Ok(()) };
    let first = start.saturating_add(entries as u64);
    let length = 4 + 2 * values as u64;
    for at in (0..count).map_while(|i| first.checked_add(i.checked_mul(length)?)) {
        let (Some(kind), Some(count)) = (number(at.saturating_add(2), 2), number(at.saturating_add(4), values)) else {
            break;
        };
        let size = match kind {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => 1,
        };
        if count.saturating_mul(size) > bytes.len() as u64 {
            return Err(format!("a tag claims {count} values, more than the file holds: it is damaged or truncated"));
        }
    }
    Ok(())
}

/// The orientation tag; `None` where there is none.
pub(crate) fn orientation(bytes: &[u8]) -> Option<u32> {
    open(bytes).ok()?.find_tag_unsigned(Tag::Orientation).ok()?
}

/// Width, height and number of values a pixel.
pub(crate) fn shape(bytes: &[u8]) -> Result<(u32, u32, usize), String> {
    let mut decoder = open(bytes)?;
    let (w, h) = decoder.dimensions().map_err(reason)?;
    let colour = decoder.colortype().map_err(reason)?;
    Ok((w, h, colour.num_samples().into()))
}

/// Decodes the first page of a TIFF: grey, RGB, CMYK or YCbCr, with or without alpha. Further samples are dropped.
///
/// Integers are divided by their largest value and taken for sRGB; 16-, 32- and 64-bit floats are taken for scene-linear
/// light.
///
/// # Errors
/// Bytes that are not TIFF or are damaged, palettes, signed integers, other kinds of colour, pages that are reduced pictures
/// of something else (raw photographs); the message says how.
pub fn decode(bytes: &[u8]) -> Result<TiffPage, String> {
    let mut decoder = open(bytes)?;
    check(&mut decoder, bytes)?;
    let text = reason::<tiff::TiffError>;
    let (width, height) = decoder.dimensions().map_err(text)?;
    let (width, height) = (width as usize, height as usize);
    let colour = decoder.colortype().map_err(text)?;
    let extra = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples).ok().flatten().unwrap_or_default();
    let mut limits = Limits::default();
    // The size has been checked; nothing in the file is longer than the file.
    limits.decoding_buffer_size = width * height * usize::from(colour.num_samples()) * 8;
    limits.intermediate_buffer_size = bytes.len();
    let mut decoder = decoder.with_limits(limits);
    let mut samples = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut samples).map_err(text)?;
    let (mut values, is_linear) = floats(samples, colour, width * usize::from(colour.num_samples()))?;
    if layout.planes > 1 {
        values = interleaved(&values, width * height);
    }
    let (channels, data) = coloured(values, colour, &extra)?;
    let mut raster = Raster { width, height, channels, data };
    if raster.data.len() != width * height * channels {
        return Err(format!("{} values for {width}x{height} pixels", raster.data.len()));
    }
    match extra.first() {
        Some(&ASSOCIATED) if !is_linear => {
            scale_colours(&mut raster, |alpha| if alpha > 0.0 { 1.0 / alpha } else { 0.0 })
        }
        Some(&UNASSOCIATED) if is_linear => scale_colours(&mut raster, |alpha| alpha),
        _ => {}
    }
    let mut notes = Vec::new();
    if decoder.more_images() {
        notes.push("it has several pages; the first is read".into());
    }
    Ok(TiffPage { raster, is_linear, notes })
}

/// Refuses what would take more memory than the file justifies, and what stands for another picture.
fn check(decoder: &mut Decoder<Cursor<&[u8]>>, bytes: &[u8]) -> Result<(), String> {
    let mut tag = |tag| decoder.find_tag_unsigned::<u64>(tag).ok().flatten();
    if tag(Tag::NewSubfileType).is_some_and(|kind| kind & 1 == 1) {
        return Err(
            "its first page is a reduced picture of another, as in raw photographs; convert it to PNG or TIFF".into()
        );
    }
    let samples = tag(Tag::SamplesPerPixel).unwrap_or(1);
    let is_jpeg = tag(Tag::Compression) == Some(JPEG_COMPRESSION.into());
    let row = u64::from(decoder.chunk_dimensions().0) * samples;
    let free = ImageFormat::Tiff.free_values();
    check_values(row, free, bytes.len()).map_err(|reason| format!("a row of its strips or tiles: {reason}"))?;
    if !is_jpeg {
        return Ok(());
    }
    let places = |tags: [Tag; 2], decoder: &mut Decoder<_>| {
        tags.into_iter().find_map(|tag| decoder.find_tag_unsigned_vec::<u64>(tag).ok().flatten()).unwrap_or_default()
    };
    let starts = places([Tag::StripOffsets, Tag::TileOffsets], decoder);
    let lengths = places([Tag::StripByteCounts, Tag::TileByteCounts], decoder);
    for (start, length) in starts.into_iter().zip(lengths) {
        let part = usize::try_from(start).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let part = &part[..part.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
        if let Ok((w, h, n)) = jpeg::shape(part) {
            let values = u64::from(w) * u64::from(h) * n as u64;
            check_values(values, ImageFormat::Jpeg.free_values(), bytes.len())?;
        }
    }
    Ok(())
}

/// Samples as floats, and whether they are scene-linear; `row` is the number of samples in a row.
fn floats(samples: DecodingResult, colour: ColorType, row: usize) -> Result<(Vec<f32>, bool), String> {
    use DecodingResult::{F16, F32, F64, U8, U16, U32, U64};
    let bits = colour.bit_depth();
    Ok(match samples {
        U8(v) if bits < 8 => (unpacked(&v, bits, row), false),
        U8(v) => (v.iter().map(|&v| v as f32 / 255.0).collect(), false),
        U16(v) => (v.iter().map(|&v| v as f32 / 65_535.0).collect(), false),
        U32(v) => (v.iter().map(|&v| (f64::from(v) / f64::from(u32::MAX)) as f32).collect(), false),
        U64(v) => (v.iter().map(|&v| (v as f64 / u64::MAX as f64) as f32).collect(), false),
        F16(v) => (v.iter().map(|v| v.to_f32()).collect(), true),
        F32(v) => (v, true),
        F64(v) => (v.iter().map(|&v| v as f32).collect(), true),
        _ => return Err("signed integers; save it with unsigned samples or floats".into()),
    })
}

/// Samples of less than a byte, whose rows begin at bytes.
fn unpacked(bytes: &[u8], bits: u8, row: usize) -> Vec<f32> {
    let (bits, largest) = (usize::from(bits), f32::from((1u16 << bits) - 1));
    let stride = (row * bits).div_ceil(8).max(1);
    let value = |line: &[u8], i: usize| {
        let bit = i * bits;
        let low = usize::from(line[bit / 8]) >> (8 - bits - bit % 8) & ((1 << bits) - 1);
        low as f32 / largest
    };
    bytes.chunks_exact(stride).flat_map(|line| (0..row).map(move |i| value(line, i))).collect()
}

/// Planes of `count` pixels, each of one sample, as pixels.
fn interleaved(planes: &[f32], count: usize) -> Vec<f32> {
    let samples = planes.len().checked_div(count).unwrap_or(0);
    (0..count).flat_map(|i| (0..samples).map(move |s| planes[s * count + i])).collect()
}

/// Grey, grey and alpha, RGB or RGBA, with the number of channels.
fn coloured(values: Vec<f32>, colour: ColorType, extra: &[u16]) -> Result<(usize, Vec<f32>), String> {
    let is_alpha = matches!(extra.first(), Some(&(ASSOCIATED | UNASSOCIATED)));
    Ok(match colour {
        ColorType::Gray(_) => (1, values),
        ColorType::GrayA(_) => (2, values),
        ColorType::RGB(_) => (3, values),
        ColorType::RGBA(_) => (4, values),
        // Grey with further samples.
        ColorType::Multiband { num_samples, .. } if extra.len() + 1 == usize::from(num_samples) => {
            let keep = if is_alpha { 2 } else { 1 };
            let pixels = values.chunks_exact(num_samples.into());
            (keep, pixels.flat_map(|p| &p[..keep]).copied().collect())
        }
        ColorType::CMYK(_) => {
            (3, values.chunks_exact(4).flat_map(|p| [0, 1, 2].map(|c| (1.0 - p[c]) * (1.0 - p[3]))).collect())
        }
        ColorType::YCbCr(_) => (3, values.chunks_exact(3).flat_map(|p| rgb([p[0], p[1], p[2]])).collect()),
        other => return Err(format!("colours of the kind {other:?}; save it as RGB")),
    })
}

/// RGB of full-range YCbCr (ITU-T T.871, section 7).
fn rgb([y, cb, cr]: [f32; 3]) -> [f32; 3] {
    // 128 of 255 is no colour.
    let (b, r) = (cb - 128.0 / 255.0, cr - 128.0 / 255.0);
    [y + 1.402 * r, y - 0.344_136 * b - 0.714_136 * r, y + 1.772 * b].map(|v| v.clamp(0.0, 1.0))
}

/// Multiplies the colours of every pixel by what its alpha gives.
fn scale_colours(raster: &mut Raster<f32>, factor: impl Fn(f32) -> f32) {
    let n = raster.channels;
    if matches!(n, 2 | 4) {
        for pixel in raster.data.chunks_exact_mut(n) {
            let factor = factor(pixel[n - 1]);
            pixel[..n - 1].iter_mut().for_each(|v| *v *= factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use tiff::encoder::colortype::ColorType as Encoded;
    use tiff::encoder::colortype::{CMYK8, Gray8, Gray16, Gray32Float, GrayI8, RGB8, RGB32Float, RGBA8, RGBA16};
    use tiff::encoder::{Compression, TiffEncoder, TiffValue};

    use super::*;

    fn file<C: Encoded>(size: (u32, u32), data: &[C::Inner], tags: &[(Tag, u16)], compression: Compression) -> Vec<u8>
    where
        [C::Inner]: TiffValue,
    {
        let mut bytes = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut bytes).unwrap().with_compression(compression);
        let mut image = encoder.new_image::<C>(size.0, size.1).unwrap();
        for &(tag, value) in tags {
            image.encoder().write_tag(tag, value).unwrap();
        }
        image.write_data(data).unwrap();
        bytes.into_inner()
    }

    fn plain<C: Encoded>(size: (u32, u32), data: &[C::Inner]) -> Vec<u8>
    where
        [C::Inner]: TiffValue,
    {
        file::<C>(size, data, &[], Compression::Uncompressed)
    }

    #[test]
    fn tags_of_more_values_than_the_file_has_are_refused() {
        // A width of three million values of two bytes, in the two forms and orders that there are.
        let little = b"II*\0\x08\0\0\0\x01\0\0\x01\x03\0\x01\x32\x32\0\x17\x18\x1a\x1b\0\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\0\0\x03\0\x32\x32\x01\0\0\0\0\0\0\0\0";
        let mut long = b"II\x2b\0\x08\0\0\0".to_vec();
        long.extend([16u64, 1].map(u64::to_le_bytes).concat());
        long.extend([0, 1, 3, 0]);
        long.extend([3_289_601u64, 0].map(u64::to_le_bytes).concat());
        for bytes in [&little[..], big, &long] {
            let said = shape(bytes).unwrap_err();
            assert!(said.contains("a tag claims 3289601 values"), "{said}");
        }
        // A count of tags beyond the file is the decoder's to refuse.
        assert!(shape(b"II*\0\x08\0\0\0\xff\xff\0\x01\x03\0\x01\0\0\0\x01\0\0\0").is_err());
    }

    fn values(bytes: &[u8]) -> (usize, Vec<f32>, bool) {
        let page = decode(bytes).unwrap();
        (page.raster.channels, page.raster.data, page.is_linear)
    }

    #[test]
    fn every_kind_of_sample() {
        let b = |v: &[u8]| v.iter().map(|&v| f32::from(v) / 255.0).collect::<Vec<_>>();
        assert_eq!(values(&plain::<Gray8>((3, 1), &[0, 7, 255])), (1, b(&[0, 7, 255]), false));
        assert_eq!(values(&plain::<RGB8>((1, 2), &[1, 2, 3, 4, 5, 6])), (3, b(&[1, 2, 3, 4, 5, 6]), false));
        assert_eq!(values(&plain::<Gray16>((2, 1), &[0, 65_535])), (1, vec![0.0, 1.0], false));
        assert_eq!(values(&plain::<RGBA8>((1, 1), &[1, 2, 3, 4])), (4, b(&[1, 2, 3, 4]), false));
        assert_eq!(values(&plain::<RGB32Float>((1, 1), &[0.5, 7.0, -1.0])), (3, vec![0.5, 7.0, -1.0], true));
        assert_eq!(values(&plain::<Gray32Float>((1, 1), &[2.5])), (1, vec![2.5], true));
        assert_eq!(values(&plain::<CMYK8>((1, 1), &[255, 0, 0, 0])), (3, vec![0.0, 1.0, 1.0], false));
        let compressed = |how| file::<RGB8>((1, 2), &[1, 2, 3, 4, 5, 6], &[], how);
        for how in [Compression::Lzw, Compression::Deflate(Default::default()), Compression::Packbits] {
            assert_eq!(values(&compressed(how)), (3, b(&[1, 2, 3, 4, 5, 6]), false));
        }
        assert!(decode(&plain::<GrayI8>((1, 1), &[-1])).unwrap_err().contains("signed"));
        assert_eq!(shape(&plain::<RGBA8>((3, 2), &[0; 24])), Ok((3, 2, 4)));
    }

    #[test]
    fn alpha_is_straight_in_srgb() {
        // The samples are premultiplied by 128 of 255.
        let tags = [(Tag::ExtraSamples, ASSOCIATED)];
        let (channels, data, _) = values(&file::<RGBA8>((1, 1), &[64, 0, 128, 128], &tags, Compression::Uncompressed));
        assert_eq!(channels, 4);
        let want = [0.5, 0.0, 1.0, 128.0 / 255.0];
        assert!(data.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{data:?}");
        let straight = [(Tag::ExtraSamples, UNASSOCIATED)];
        let (_, data, _) = values(&file::<RGBA16>((1, 1), &[65_535, 0, 0, 0], &straight, Compression::Uncompressed));
        assert_eq!(data, [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn orientation_pages_and_reduced_pictures() {
        let tagged = |tag, value| file::<Gray8>((1, 1), &[9], &[(tag, value)], Compression::Uncompressed);
        assert_eq!(orientation(&tagged(Tag::Orientation, 6)), Some(6));
        assert_eq!(orientation(&plain::<Gray8>((1, 1), &[9])), None);
        assert!(decode(&tagged(Tag::NewSubfileType, 1)).unwrap_err().contains("raw photographs"));
        let mut bytes = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
        encoder.write_image::<Gray8>(1, 1, &[9]).unwrap();
        encoder.write_image::<Gray8>(2, 1, &[8, 7]).unwrap();
        let page = decode(&bytes.into_inner()).unwrap();
        assert_eq!((page.raster.width, page.notes.len()), (1, 1));
    }

    #[test]
    fn bits_are_unpacked_row_by_row() {
        assert_eq!(unpacked(&[0b1010_0000, 0b0100_0000], 1, 3), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        assert_eq!(unpacked(&[0x0F, 0xF0], 4, 3), [0.0, 1.0, 1.0]);
        assert_eq!(interleaved(&[1.0, 2.0, 3.0, 4.0], 2), [1.0, 3.0, 2.0, 4.0]);
        let grey = rgb([0.25, 128.0 / 255.0, 128.0 / 255.0]);
        assert!(grey.iter().all(|v| (v - 0.25).abs() < 1e-6));
        // Pure red in 8 bits is Y 76, Cb 85, Cr 255.
        let red = rgb([76.0, 85.0, 255.0].map(|v| v / 255.0));
        assert!(red.iter().zip([1.0, 0.0, 0.0]).all(|(a, b)| (a - b).abs() < 0.01), "{red:?}");
    }

    #[test]
    fn cut_files_are_errors() {
        let bytes = plain::<RGB8>((4, 3), &[7; 36]);
        assert!((0..bytes.len() - 1).all(|cut| decode(&bytes[..cut]).is_err()));
    }
}
