//! JPEG, read only: also files that end early, as every viewer shows them.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::raster::Raster;
use crate::reason;

/// Start of a progressive frame.
const PROGRESSIVE: u8 = 0xC2;
/// Start of a scan, whose data follow its header.
const SCAN: u8 = 0xDA;
/// End of the image.
const END: u8 = 0xD9;
/// The decoder's grey, for what is missing.
const GREY: u8 = 128;
/// Bits that follow a picture which may end early: ones begin no code, zeros begin one, so that pixels in which the two
/// differ are not in the file.
const ENDINGS: [&[u8]; 2] = [&[0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, END], &[0, 0, 0, 0, 0xFF, END]];

/// A marker segment.
pub(crate) struct Segment<'a> {
    /// Second byte of its marker.
    pub marker: u8,
    /// What follows its length; nothing for the end marker.
    pub body: &'a [u8],
}

/// Marker segments up to the end marker or the first that is cut off; the data of scans are skipped.
pub(crate) struct Segments<'a> {
    bytes: &'a [u8],
    /// The end of the segment before.
    at: usize,
    /// The end marker was met.
    is_whole: bool,
}

pub(crate) fn segments(bytes: &[u8]) -> Segments<'_> {
    Segments { bytes, at: 2, is_whole: false }
}

impl Segments<'_> {
    /// Place of the next marker that is not within the data of a scan.
    fn next_marker(&self) -> Option<usize> {
        let data = self.bytes.get(self.at..)?;
        // Stuffed bytes, fill bytes and restarts belong to a scan.
        data.windows(2).position(|w| w[0] == 0xFF && !matches!(w[1], 0 | 1 | 0xFF | 0xD0..=0xD8)).map(|i| self.at + i)
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        if self.is_whole {
            return None;
        }
        let start = self.next_marker()?;
        let marker = self.bytes[start + 1];
        if marker == END {
            self.is_whole = true;
            self.at = start;
            return Some(Segment { marker, body: &[] });
        }
        let &length = self.bytes.get(start + 2..)?.first_chunk::<2>()?;
        let end = start + 2 + usize::from(u16::from_be_bytes(length));
        let body = self.bytes.get(start + 4..end)?;
        self.at = end;
        Some(Segment { marker, body })
    }
}

/// Width, height and number of channels from the frame header.
pub(crate) fn shape(bytes: &[u8]) -> Result<(u32, u32, usize), String> {
    let is_frame = |s: &Segment| matches!(s.marker, 0xC0..=0xCF) && !matches!(s.marker, 0xC4 | 0xC8 | 0xCC);
    let frame = segments(bytes).take_while(|s| s.marker != SCAN).find(is_frame);
    match frame.map(|s| s.body) {
        Some(&[_, h1, h0, w1, w0, n, ..]) => {
            Ok((u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into(), n.into()))
        }
        _ => Err("no frame header: the file is damaged or truncated".into()),
    }
}

/// Decodes an image as grey or RGB; see [`decode_noted`].
///
/// # Errors
/// Those of [`decode_noted`].
pub fn decode(bytes: &[u8]) -> Result<Raster<u8>, String> {
    decode_noted(bytes).map(|(raster, _)| raster)
}

/// Decodes an image as grey or RGB, with notes on what is wrong with the file.
///
/// A file that ends before its end marker is read as far as it goes: of a sequential image the rows that are not whole are
/// grey, a progressive one lacks detail.
///
/// # Errors
/// Bytes that are not JPEG, are damaged, or end before the first row is whole; the message says how.
pub fn decode_noted(bytes: &[u8]) -> Result<(Raster<u8>, Vec<String>), String> {
    let mut found = segments(bytes);
    let (mut scans, mut scan_start, mut is_progressive) = (0, usize::MAX, false);
    while let Some(segment) = found.next() {
        is_progressive |= segment.marker == PROGRESSIVE;
        if segment.marker == SCAN {
            (scans, scan_start) = (scans + 1, scan_start.min(found.at));
        }
    }
    if found.is_whole {
        return run(bytes, true).map(|raster| (raster, Vec::new())).or_else(|reason| {
            let note =
                format!("the JPEG data are damaged ({reason}): read as far as they go; export the picture again");
            run(bytes, false).map(|raster| (raster, vec![note]))
        });
    }
    // A segment that is cut off is no use to anyone, nor is the first half of a stuffed byte.
    let mut end = found.next_marker().unwrap_or(bytes.len());
    while end > scan_start && bytes[end - 1] == 0xFF {
        end -= 1;
    }
    if end <= scan_start {
        return Err("the file ends before its picture begins: it is truncated".into());
    }
    let ended = |ending: &[u8]| run(&[&bytes[..end], ending].concat(), false);
    let [ones, zeros] = ENDINGS;
    let (mut raster, other) = (ended(ones)?, ended(zeros)?);
    let stride = raster.width * raster.channels;
    let rows = raster.data.chunks(stride).zip(other.data.chunks(stride)).take_while(|(a, b)| a == b).count();
    let lead = "the file ends before its end marker";
    let note = if is_progressive || scans > 1 {
        // Whether scans would follow can't be told.
        format!("{lead}; the picture may lack detail")
    } else if rows == raster.height {
        format!("{lead}; nothing of the picture is missing")
    } else if rows == 0 {
        return Err(format!("{lead} and the first row of its picture: it is truncated"));
    } else {
        raster.data[rows * stride..].fill(GREY);
        format!("{lead}: it is truncated; {rows} of {} rows are there, the others are grey", raster.height)
    };
    Ok((raster, vec![note]))
}

/// Decodes what must have its end marker; strictly, any flaw is an error.
fn run(bytes: &[u8], strictly: bool) -> Result<Raster<u8>, String> {
    let options = DecoderOptions::default().set_max_width(65_536).set_max_height(65_536).set_strict_mode(strictly);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(reason)?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    decoder.set_options(options.jpeg_set_out_colorspace(if grey { ColorSpace::Luma } else { ColorSpace::RGB }));
    let data = decoder.decode().map_err(reason)?;
    let info = decoder.info().ok_or("no frame header")?;
    let (width, height) = (info.width as usize, info.height as usize);
    let channels = data.len().checked_div(width * height).unwrap_or(0);
    if !matches!(channels, 1 | 3) || data.len() != width * height * channels {
        return Err(format!("{} bytes for {width}x{height} pixels", data.len()));
    }
    Ok(Raster { width, height, channels, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{exif_data, grey_jpeg, jpeg_of_blocks, jpeg_with_exif};

    fn flat(bytes: &[u8]) -> Raster<u8> {
        assert_eq!(shape(bytes), Ok((8, 8, 1)));
        Raster { width: 8, height: 8, channels: 1, data: vec![200; 64] }
    }

    #[test]
    fn whole_and_truncated() {
        let bytes = grey_jpeg();
        assert_eq!(decode_noted(&bytes).unwrap(), (flat(&bytes), vec![]));
        // Without the end marker, or half of it.
        for cut in [bytes.len() - 2, bytes.len() - 1] {
            let (raster, notes) = decode_noted(&bytes[..cut]).unwrap();
            assert_eq!(raster, flat(&bytes));
            assert!(notes.len() == 1 && notes[0].contains("nothing of the picture is missing"), "{notes:?}");
        }
        for cut in 0..bytes.len() - 2 {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut} of {}", bytes.len());
        }
    }

    #[test]
    fn rows_that_are_missing_are_grey_and_counted() {
        let bytes = jpeg_of_blocks(3);
        let rows = |a: u8, b: u8, c: u8| [a, b, c].map(|v| [v; 64]).concat();
        assert_eq!(decode_noted(&bytes).unwrap().1, Vec::<String>::new());
        assert_eq!(decode(&bytes).unwrap().data, rows(200, 128, 200));
        // Three blocks of 9 bits take four bytes; the third begins in the third.
        let (raster, notes) = decode_noted(&bytes[..bytes.len() - 3]).unwrap();
        assert_eq!(raster.data, rows(200, 128, GREY));
        assert!(notes[0].contains("16 of 24 rows"), "{notes:?}");
    }

    #[test]
    fn progressive_images_are_read() {
        let mut bytes = grey_jpeg();
        let place = |bytes: &[u8], marker: u8| bytes.windows(2).position(|w| w == [0xFF, marker]).unwrap();
        let (frame, scan) = (place(&bytes, 0xC0), place(&bytes, SCAN));
        bytes[frame + 1] = PROGRESSIVE;
        // A scan of DC alone: its last coefficient is 0, and the block ends after the eight bits of its DC. Then one of the
        // others, of which there are none.
        bytes[scan + 8] = 0;
        bytes.truncate(bytes.len() - 3);
        bytes.extend([0xFF, SCAN, 0, 8, 1, 1, 0, 1, 63, 0, 0x7F, 0xFF, END]);
        assert_eq!(decode_noted(&bytes).unwrap(), (flat(&bytes), vec![]));
        let (raster, notes) = decode_noted(&bytes[..bytes.len() - 2]).unwrap();
        assert_eq!((raster, notes.len()), (flat(&bytes), 1));
    }

    #[test]
    fn segments_before_the_frame_and_data_behind_the_end_do_not_matter() {
        let mut bytes = jpeg_with_exif(&grey_jpeg(), &exif_data(6, true));
        assert_eq!(decode_noted(&bytes).unwrap(), (flat(&bytes), vec![]));
        bytes.extend(grey_jpeg());
        assert_eq!(decode_noted(&bytes).unwrap(), (flat(&bytes), vec![]));
    }
}
