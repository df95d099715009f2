//! NumPy archives with a whole capture, as the small Lego set that many tutorials train on: `images`, `poses`, `focal`.
//!
//! `images` is `[N, H, W, 3]`, or 4 with straight alpha, of bytes or of floats from 0 to 1 (sRGB values); `poses` is
//! `[N, 4, 4]` or `[N, 3, 4]`, camera to world in OpenGL's axes; `focal` is one number of pixels. An `.npz` is a ZIP archive
//! of `.npy` files, stored (`numpy.savez`) or deflated (`numpy.savez_compressed`). Arrays are converted as they are
//! unpacked; other arrays are left alone.

use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use glam::{DMat4, DVec4};
use npyz::{NpyFile, Order};
use nstr_files::{Budget, excerpt, npy_header_length, read_named, shorten};

use crate::error::CaptureError;
use crate::frame_record::{Focal, FrameList, FrameRecord};
use crate::lens::Lens;
use crate::view::Image;

/// Longest file that is read, in bytes: as far as ZIP archives go without extensions.
const MAX_BYTES: u64 = u32::MAX as u64;
/// Longest header of an array, in bytes.
const MAX_HEADER: u32 = 4096;
/// Most images: so many, and one for so many bytes of the file.
const MAX_IMAGES: (u64, u64) = (1000, 32);
/// Most pixels of all images: so many, and so many for a byte of the file. Compressed black takes next to nothing.
const MAX_PIXELS: (u64, u64) = (1 << 22, 6);
/// Most bytes that deflate makes of one, and what a header adds.
const MAX_RATIO: (u64, u64) = (1032, 1024);
/// Longest side of an image.
const MAX_SIDE: u64 = 65_536;
/// Floats in images beyond these are no fractions; those between here and 0 to 1 come from resampling, and are clamped.
const FRACTIONS: std::ops::RangeInclusive<f64> = -0.5..=1.5;

/// Reads an archive.
pub(super) fn read(path: &Path) -> Result<FrameList, CaptureError> {
    let bytes = read_named(path, &Budget::new(MAX_BYTES)).map_err(CaptureError::io(path))?;
    let fail = |array: &'static str| move |reason: String| CaptureError::field(path, array, reason);
    let images = member(&bytes, "images").and_then(|m| images(&m, bytes.len() as u64)).map_err(fail("images"))?;
    let poses = member(&bytes, "poses").and_then(|m| poses(&m, images.len())).map_err(fail("poses"))?;
    let focal = member(&bytes, "focal").and_then(|m| focal(&m)).map_err(fail("focal"))?;
    let record = |(i, (image, camera_to_world)): (usize, (Image, DMat4))| FrameRecord {
        name: format!("images[{i}]"),
        at: format!("poses[{i}]: "),
        image: path.into(),
        masks: Vec::new(),
        depth: None,
        shown: Vec::new(),
        size: None,
        focal: [Some(Focal::Pixels(focal)), None],
        centre: [None, None],
        lens: Lens::Pinhole,
        camera_to_world,
        reduced: 1,
        shrunk: 1,
        decoded: Some(image),
    };
    let train = images.into_iter().zip(poses).enumerate().map(record).collect();
    Ok(FrameList { source: path.into(), train, ..FrameList::default() })
}

/// An array in an archive, as it is packed.
struct Member<'a> {
    packed: &'a [u8],
    is_deflated: bool,
    /// Bytes of the array's file.
    size: u64,
    /// Checksum of the array's file.
    crc: u32,
}

impl Member<'_> {
    fn unpacked(&self) -> CrcReader<Box<dyn Read + '_>> {
        let reader: Box<dyn Read> = match self.is_deflated {
            true => Box::new(DeflateDecoder::new(self.packed).take(self.size)),
            false => Box::new(self.packed),
        };
        CrcReader::new(reader)
    }
}

/// Little-endian numbers of an archive; `None` past its end.
fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let found = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes([found[0], found[1]])))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let found = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([found[0], found[1], found[2], found[3]]))
}

/// Finds the file `NAME.npy` in the directory at the end of a ZIP archive.
fn member<'a>(bytes: &'a [u8], name: &str) -> Result<Member<'a>, String> {
    let broken = || "the file is not a whole .npz archive; copy it again, or write it with numpy.savez".to_string();
    let missing = || {
        "missing: expected the arrays images [N, H, W, 3], poses [N, 4, 4] and focal; write them with \
         numpy.savez(FILE, images=…, poses=…, focal=…)"
            .to_string()
    };
    let directory = directory(bytes).ok_or_else(broken)?;
    let wanted = format!("{name}.npy");
    let (count, mut at) = directory;
    for _ in 0..count {
        if u32_at(bytes, at) != Some(0x0201_4b50) {
            return Err(broken());
        }
        let lengths = [28, 30, 32].map(|field| u16_at(bytes, at + field));
        let [Some(name_length), Some(extra), Some(comment)] = lengths else { return Err(broken()) };
        let found = bytes.get(at + 46..at + 46 + name_length).ok_or_else(broken)?;
        if found == wanted.as_bytes() {
            return packed(bytes, at).ok_or_else(broken)?;
        }
        at += 46 + name_length + extra + comment;
    }
    Err(missing())
}

/// Number of entries of the central directory, and its place.
fn directory(bytes: &[u8]) -> Option<(usize, usize)> {
    // A comment of up to 65535 bytes may follow the record of 22.
    let last = bytes.len().checked_sub(22)?;
    let first = last.saturating_sub(65_535);
    let at = (first..=last).rev().find(|at| u32_at(bytes, *at) == Some(0x0605_4b50))?;
    Some((u16_at(bytes, at + 10)?, u32_at(bytes, at + 16)? as usize))
}

/// The file of the directory's entry at `at`: `None` where the archive is cut or damaged, an error where it is packed in
/// another way.
fn packed(bytes: &[u8], at: usize) -> Option<Result<Member<'_>, String>> {
    let (flags, method) = (u16_at(bytes, at + 8)?, u16_at(bytes, at + 10)?);
    let (crc, length, size) = (u32_at(bytes, at + 16)?, u32_at(bytes, at + 20)?, u32_at(bytes, at + 24)?);
    let local = u32_at(bytes, at + 42)? as usize;
    if flags & 1 == 1 || !matches!(method, 0 | 8) {
        let how = if flags & 1 == 1 { "encrypted".to_string() } else { format!("packed by method {method}") };
        return Some(Err(format!("{how}; write the file with numpy.savez or numpy.savez_compressed")));
    }
    if u32_at(bytes, local)? != 0x0403_4b50 {
        return None;
    }
    // The local header's own extra field may be longer than the directory's.
    let start = local + 30 + u16_at(bytes, local + 26)? + u16_at(bytes, local + 28)?;
    let packed = bytes.get(start..start.checked_add(length as usize)?)?;
    let (is_deflated, size) = (method == 8, u64::from(size));
    let most = if is_deflated { u64::from(length) * MAX_RATIO.0 + MAX_RATIO.1 } else { u64::from(length) };
    (size <= most).then_some(Ok(Member { packed, is_deflated, size, crc }))
}

/// The shape in an array's header and the number of values that it stands for, which may be more than there are numbers;
/// `None` where no one shape is stated.
///
/// It is read before the header is parsed, because the parser multiplies the sides.
fn stated_count(header: &[u8]) -> Option<(&str, Option<u64>)> {
    // What comes before is no text.
    let text = std::str::from_utf8(header.get(12..)?).ok()?;
    let mut parts = text.split("shape");
    let (_, after) = (parts.next()?, parts.next()?);
    let shape = after.get(after.find('(')?..=after.find(')')?)?;
    let sides = shape.trim_matches(['(', ')']).split(',').map(str::trim).filter(|s| !s.is_empty());
    let count =
        sides.map(|side| side.parse::<u64>().ok()).try_fold(1u64, |product, side| product.checked_mul(side?.max(1)));
    parts.next().is_none().then_some((shape, count))
}

/// Reads the values of an array in C order. `begin` gets its shape and says what takes them, or what is wrong with it.
///
/// Bytes are given as fractions of 255 where `bytes_are_fractions`.
fn values<T>(
    member: &Member<'_>,
    expected: &str,
    bytes_are_fractions: bool,
    begin: impl FnOnce(&[u64]) -> Result<T, String>,
    mut each: impl FnMut(&mut T, f64) -> Result<(), String>,
) -> Result<T, String> {
    let mut reader = member.unpacked();
    let unreadable = |e: std::io::Error| format!("cannot be read: {}; {expected}", shorten(&e.to_string()));
    let mut start = [0; 12];
    reader.read_exact(&mut start).map_err(unreadable)?;
    let length = npy_header_length(&start).ok_or_else(|| format!("not a .npy file; {expected}"))?;
    // The header's length is held against a bound before anything is allocated for it.
    if length > MAX_HEADER {
        return Err(format!("a header of {length} bytes; {expected}"));
    }
    let mut header = start.to_vec();
    let rest = (u64::from(length) + if start[6] == 1 { 10 } else { 12 }).saturating_sub(12);
    reader.by_ref().take(rest).read_to_end(&mut header).map_err(unreadable)?;
    match stated_count(&header) {
        None => return Err(format!("a header without one shape; {expected}")),
        Some((shape, count)) if count.is_none_or(|count| count > member.size) => {
            return Err(format!("shape {} in {} bytes; {expected}", excerpt(shape), member.size));
        }
        Some(_) => {}
    }
    let file = NpyFile::new(Cursor::new(header).chain(BufReader::new(&mut reader))).map_err(unreadable)?;
    let shape = file.shape().to_vec();
    if file.order() == Order::Fortran && shape.len() > 1 {
        return Err("in Fortran order; pass it through numpy.ascontiguousarray before it is saved".into());
    }
    let mut taken = begin(&shape)?;
    let mut take = |value: std::io::Result<f64>| {
        let ended = |e: std::io::Error| format!("it is cut off or damaged: {}", shorten(&e.to_string()));
        each(&mut taken, value.map_err(ended)?)
    };
    let divisor = if bytes_are_fractions { 255.0 } else { 1.0 };
    match file.try_data::<f32>() {
        Ok(mut data) => data.try_for_each(|v| take(v.map(f64::from)))?,
        Err(file) => match file.try_data::<f64>() {
            Ok(mut data) => data.try_for_each(take)?,
            Err(file) => match file.try_data::<u8>() {
                Ok(mut data) => data.try_for_each(|v| take(v.map(|v| f64::from(v) / divisor)))?,
                Err(file) => match file.try_data::<i64>() {
                    Ok(mut data) => data.try_for_each(|v| take(v.map(|v| v as f64)))?,
                    Err(file) => {
                        let found = excerpt(&file.dtype().descr());
                        return Err(format!("values of type {found}; {expected}"));
                    }
                },
            },
        },
    }
    if reader.crc().sum() != member.crc {
        return Err("it does not have the checksum that the archive states; copy the file again".into());
    }
    Ok(taken)
}

/// Images in the making: their sizes, those that are whole, and the values of the current pixel.
struct Images {
    width: u32,
    height: u32,
    channels: usize,
    done: Vec<Image>,
    pixels: Vec<[u8; 4]>,
    pixel: [u8; 4],
    channel: usize,
}

fn images(member: &Member<'_>, file_length: u64) -> Result<Vec<Image>, String> {
    let expected = "expected bytes, or floats from 0 to 1, of shape [N, H, W, 3] (or 4, with alpha)";
    let begin = |shape: &[u64]| {
        let wrong = |reason: &str| Err(format!("shape {}{reason}; {expected}", excerpt(&format!("{shape:?}"))));
        let &[count, height, width, channels @ 3..=4] = shape else { return wrong("") };
        if !(1..=MAX_SIDE).contains(&height) || !(1..=MAX_SIDE).contains(&width) || count == 0 {
            return wrong("");
        }
        if count > MAX_IMAGES.0 + file_length / MAX_IMAGES.1 {
            return wrong(&format!(" in a file of {file_length} bytes"));
        }
        // Cannot overflow: the product of the shape has been formed.
        if count * height * width > MAX_PIXELS.0 + MAX_PIXELS.1 * file_length {
            let cure = "so much is unpacked only from a file that is not compressed; write it with numpy.savez";
            return Err(format!("shape {shape:?} in a file of {file_length} bytes: {cure}"));
        }
        let (width, height, channels) = (width as u32, height as u32, channels as usize);
        let (done, pixels) = (Vec::with_capacity(count as usize), Vec::new());
        Ok(Images { width, height, channels, done, pixels, pixel: [255; 4], channel: 0 })
    };
    let each = |to: &mut Images, value: f64| {
        if !FRACTIONS.contains(&value) {
            let at = (to.done.len(), to.pixels.len() / to.width as usize, to.pixels.len() % to.width as usize);
            let cure = if value.is_finite() { "; divide floats by what stands for white" } else { "" };
            return Err(format!("[{}, {}, {}] holds {value}; {expected}{cure}", at.0, at.1, at.2));
        }
        to.pixel[to.channel] = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
        to.channel += 1;
        if to.channel < to.channels {
            return Ok(());
        }
        to.channel = 0;
        let size = to.width as usize * to.height as usize;
        if to.pixels.is_empty() {
            to.pixels.reserve_exact(size);
        }
        to.pixels.push(to.pixel);
        if to.pixels.len() == size {
            let pixels = std::mem::take(&mut to.pixels);
            to.done.push(Image { width: to.width, height: to.height, pixels });
        }
        Ok(())
    };
    values(member, expected, true, begin, each).map(|images| images.done)
}

fn poses(member: &Member<'_>, images: usize) -> Result<Vec<DMat4>, String> {
    let expected = format!("expected floats of shape [{images}, 4, 4], one matrix for each image");
    let begin = |shape: &[u64]| match *shape {
        [count, rows @ 3..=4, 4] if count == images as u64 => Ok((rows as usize * 4, Vec::new())),
        _ => Err(format!("shape {}; {expected}", excerpt(&format!("{shape:?}")))),
    };
    let each = |(length, values): &mut (usize, Vec<f64>), value: f64| {
        if !value.is_finite() {
            let (pose, row) = (values.len() / *length, values.len() % *length / 4);
            return Err(format!("[{pose}, {row}, {}] holds {value}; expected finite numbers", values.len() % 4));
        }
        values.push(value);
        Ok(())
    };
    let (length, values) = values(member, &expected, false, begin, each)?;
    let matrix = |(i, pose): (usize, &[f64])| {
        let rows: Vec<DVec4> = pose.chunks_exact(4).map(DVec4::from_slice).collect();
        let last = rows.get(3).copied().unwrap_or(DVec4::W);
        if (last - DVec4::W).abs().max_element() > 1e-6 {
            return Err(format!(
                "the last row of matrix {i} is {last}; expected 0, 0, 0, 1: rows first, camera to world"
            ));
        }
        Ok(DMat4::from_cols(rows[0], rows[1], rows[2], DVec4::W).transpose())
    };
    values.chunks_exact(length).enumerate().map(matrix).collect()
}

fn focal(member: &Member<'_>) -> Result<f64, String> {
    let expected = "expected one number above 0, in pixels";
    let begin = |shape: &[u64]| match shape.iter().product::<u64>() {
        1 => Ok(0.0),
        _ => Err(format!("shape {}; {expected}", excerpt(&format!("{shape:?}")))),
    };
    let each = |to: &mut f64, value: f64| {
        *to = value;
        Ok(())
    };
    let found = values(member, expected, false, begin, each)?;
    if found.is_finite() && found > 0.0 { Ok(found) } else { Err(format!("it is {found}; {expected}")) }
}
