//! Containers of AIFF and AIFC sounds rewritten with true lengths; those that are little-endian become WAV.

use std::ops::Range;

use crate::wave::{self, Format, MAX_CHANNELS, MAX_DATA};

/// Bytes of the chunk `COMM` before the kind of compression.
const COMMON: usize = 18;

/// What the decoder of one of two containers is to read.
#[derive(Debug)]
pub(crate) enum Rewritten {
    /// An AIFF with notes on lengths that lie.
    Aiff(Vec<u8>, Vec<String>),
    /// A WAV of the same samples.
    Wave(wave::Wave),
}

/// True where a file begins like an AIFF or AIFC.
pub(crate) fn is_aiff(bytes: &[u8]) -> bool {
    bytes.starts_with(b"FORM") && matches!(bytes.get(8..12), Some(b"AIFF" | b"AIFC"))
}

/// Rewrites the container: the chunks `COMM` and `SSND` alone, of which the latter goes no further than the file does. Lengths
/// of 0 and 2³² − 1 mean "to the end".
///
/// # Errors
/// No chunk `COMM` or `SSND`, numbers of channels out of range; the message says how.
pub(crate) fn rewritten(mut bytes: Vec<u8>) -> Result<Rewritten, String> {
    let cut = || "the file ends before its samples: it is truncated or damaged; export it again".to_string();
    let (common, sound) = walk(&bytes);
    let common = common.and_then(|range| bytes.get(range)).filter(|c| c.len() >= COMMON).ok_or_else(cut)?.to_vec();
    let (start, stated) = sound.ok_or_else(cut)?;
    let short = |at: usize| u16::from_be_bytes([common[at], common[at + 1]]);
    let (channels, bits) = (short(0), short(6));
    if !(1..=MAX_CHANNELS).contains(&channels) {
        return Err(format!("its header states {channels} channels; expected 1 to {MAX_CHANNELS}"));
    }
    let kind = if bytes[8..12] == *b"AIFC" { common.get(COMMON..COMMON + 4).unwrap_or(b"NONE") } else { b"NONE" };
    let kind = kind.to_ascii_lowercase();
    let (data, notes) = samples(&bytes, start, stated)?;
    if kind == b"sowt" && matches!(bits, 9..=32) {
        let rate = extended(&common[8..COMMON]).ok_or("its sample rate can't be read; export it again")?;
        let format = Format::integers(channels, rate, bits.next_multiple_of(8))?;
        return wave::build(bytes, data, &format, None, notes).map(Rewritten::Wave);
    }
    // 8 bits are the same in either order, and the other is the usual one.
    let kind = if kind == b"sowt" || kind == b"twos" { b"none".to_vec() } else { kind };
    bytes.truncate(data.end);
    let length = data.end - data.start;
    let mut head = Vec::with_capacity(64);
    head.extend(b"FORM\0\0\0\0AIFCCOMM");
    head.extend((COMMON as u32 + 6).to_be_bytes());
    head.extend(&common[..COMMON]);
    head.extend(&kind);
    // The name of the compression: none, padded.
    head.extend([0, 0]);
    head.extend(b"SSND");
    head.extend((8 + length as u32).to_be_bytes());
    // No offset, no blocks.
    head.extend([0; 8]);
    let size = (head.len() - 8 + length) as u32;
    head[4..8].copy_from_slice(&size.to_be_bytes());
    bytes.splice(..data.start, head);
    Ok(Rewritten::Aiff(bytes, notes))
}

type Sound = (usize, Option<u32>);

/// The chunk `COMM`, and the place of the data of `SSND` with their stated length (`None`: unknown).
fn walk(bytes: &[u8]) -> (Option<Range<usize>>, Option<Sound>) {
    let (mut common, mut sound) = (None, None);
    let mut at = 12;
    while let Some(&[a, b, c, d, l0, l1, l2, l3]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let body = at + 8;
        match &[a, b, c, d] {
            b"COMM" => common = Some(body..body.saturating_add(length as usize).min(bytes.len())),
            b"SSND" if sound.is_none() => {
                let is_stated = length != 0 && length != u32::MAX;
                sound = Some((body, is_stated.then_some(length)));
                if common.is_some() || !is_stated {
                    break;
                }
            }
            _ => {}
        }
        at = body.saturating_add(length as usize).saturating_add(length as usize & 1);
    }
    (common, sound)
}

/// Where the samples of a chunk `SSND` lie.
fn samples(bytes: &[u8], start: usize, stated: Option<u32>) -> Result<(Range<usize>, Vec<String>), String> {
    let end_of_head = start + 8;
    if end_of_head > bytes.len() {
        return Err("the file ends before its samples: it is truncated; export it again".into());
    }
    let long = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
    let first = end_of_head.saturating_add(long(start)).min(bytes.len());
    let mut notes = Vec::new();
    let end = match stated.map(|length| start.saturating_add(length as usize)) {
        Some(end) if end > bytes.len() => {
            let (said, there) = (end.saturating_sub(first), bytes.len() - first);
            notes.push(format!(
                "its header says {said} bytes of samples and {there} are there: they are read to the end"
            ));
            bytes.len()
        }
        Some(end) => end.max(first),
        None => bytes.len(),
    };
    if end - first > MAX_DATA {
        return Err(format!("{} bytes of samples, more than {MAX_DATA}; cut the sound", end - first));
    }
    Ok((first..end, notes))
}

/// A whole number from 1 on in the 80-bit format of SANE.
fn extended(bytes: &[u8]) -> Option<u32> {
    let exponent = u16::from_be_bytes(*bytes.first_chunk()?);
    let mantissa = u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    // The mantissa's upper bit is worth 2^(exponent − 16383).
    let shift = 63u32.checked_sub(u32::from(exponent).checked_sub(16_383)?)?;
    u32::try_from(mantissa.checked_shr(shift)?).ok().filter(|&rate| rate > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode_noted;

    /// An AIFC of `kind`, or an AIFF where that is empty.
    fn file(kind: &[u8], channels: u16, bits: u16, data: &[u8]) -> Vec<u8> {
        let mut common = channels.to_be_bytes().to_vec();
        let frames = data.len() / usize::from(channels * bits.div_ceil(8));
        common.extend((frames as u32).to_be_bytes());
        common.extend(bits.to_be_bytes());
        // 8000 = 2^12 · 1.953125.
        common.extend([0x40, 0x0B, 0xFA, 0, 0, 0, 0, 0, 0, 0]);
        common.extend(kind);
        if !kind.is_empty() {
            common.extend(b"\x04name\0");
        }
        let mut chunks = b"NAME\0\0\0\x03abc\0COMM".to_vec();
        chunks.extend((common.len() as u32).to_be_bytes());
        chunks.extend(common);
        chunks.extend(b"SSND");
        chunks.extend((data.len() as u32 + 8).to_be_bytes());
        chunks.extend([0; 8]);
        chunks.extend(data);
        let form = if kind.is_empty() { b"AIFF" } else { b"AIFC" };
        let mut bytes = b"FORM".to_vec();
        bytes.extend((chunks.len() as u32 + 4).to_be_bytes());
        [bytes, form.to_vec(), chunks].concat()
    }

    fn values(bytes: &[u8]) -> Vec<f32> {
        let (sound, notes) = decode_noted(bytes.to_vec()).unwrap();
        assert_eq!((sound.rate, notes), (8000, vec![]));
        sound.data
    }

    #[test]
    fn every_kind_of_sample() {
        assert_eq!(values(&file(b"", 1, 16, &[0x40, 0, 0x80, 0])), [0.5, -1.0]);
        assert_eq!(values(&file(b"", 2, 8, &[0x40, 0xC0])), [0.5, -0.5]);
        assert_eq!(values(&file(b"", 1, 24, &[0x40, 0, 0, 0xE0, 0, 0])), [0.5, -0.25]);
        assert_eq!(values(&file(b"NONE", 1, 32, &[0x20, 0, 0, 0])), [0.25]);
        assert_eq!(values(&file(b"sowt", 1, 16, &[0, 0x40, 0, 0x80])), [0.5, -1.0]);
        assert_eq!(values(&file(b"sowt", 1, 24, &[0, 0, 0x40])), [0.5]);
        assert_eq!(values(&file(b"sowt", 1, 8, &[0x40])), [0.5]);
        assert_eq!(values(&file(b"fl32", 1, 32, &0.75f32.to_be_bytes())), [0.75]);
        assert_eq!(values(&file(b"FL64", 1, 64, &0.75f64.to_be_bytes())), [0.75]);
        assert!(decode_noted(file(b"ima4", 1, 16, &[0; 34])).unwrap_err().contains("16-bit WAV"));
    }

    #[test]
    fn lengths_that_lie_mean_to_the_end() {
        let good = file(b"", 1, 16, &[0x40, 0, 0x80, 0, 0, 0]);
        let want = [0.5, -1.0, 0.0];
        for form in [0u32, u32::MAX, 0x7FFF_FFFF, 5] {
            let mut bytes = good.clone();
            bytes[4..8].copy_from_slice(&form.to_be_bytes());
            assert_eq!(values(&bytes), want);
        }
        let at = good.len() - 6 - 8 - 4;
        for length in [0, u32::MAX] {
            let mut bytes = good.clone();
            bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
            assert_eq!(values(&bytes), want);
        }
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&0x7FFF_FFFFu32.to_be_bytes());
        let (sound, notes) = decode_noted(bytes).unwrap();
        assert_eq!(sound.data, want);
        assert!(notes.len() == 1 && notes[0].contains("6 are there"), "{notes:?}");
        let (sound, notes) = decode_noted(good[..good.len() - 2].to_vec()).unwrap();
        assert_eq!((sound.data, notes.len()), (want[..2].to_vec(), 1));
        assert!((0..good.len() - 6).all(|cut| decode_noted(good[..cut].to_vec()).is_err()));
    }

    #[test]
    fn rates_in_eighty_bits() {
        let of = |bytes: [u8; 10]| extended(&bytes);
        assert_eq!(of([0x40, 0x0E, 0xAC, 0x44, 0, 0, 0, 0, 0, 0]), Some(44_100));
        assert_eq!(of([0x3F, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), Some(1));
        assert_eq!(of([0; 10]), None);
        assert_eq!(of([0xFF; 10]), None);
        assert_eq!(extended(&[0x40]), None);
    }
}
