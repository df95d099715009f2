//! Containers of WAV sounds (RIFF, RF64, BW64, Sony Wave64) rewritten as a plain RIFF whose lengths are true.
//!
//! Lengths in such files often lie: recorders that were switched off leave 0, pipes leave 2³² − 1 or 2³¹ − 1, editors count
//! wrong. The samples are what the chunk `data` says as far as the file goes; where it says nothing, or the file goes on
//! with what is no chunk, they go to the end.

use std::ops::Range;

/// Most channels of a WAV sound, as many as there are names for positions.
pub(crate) const MAX_CHANNELS: u16 = 18;
/// Most bytes of samples, so that lengths fit into a RIFF.
pub(crate) const MAX_DATA: usize = 1 << 31;

const PCM: u16 = 1;
const ADPCM_MS: u16 = 2;
const ALAW: u16 = 6;
const MULAW: u16 = 7;
const ADPCM_IMA: u16 = 0x11;
/// The tag of a WAV whose positions are named.
const EXTENSIBLE: u16 = 0xFFFE;
/// What a format's GUID has behind its tag.
const GUID_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];
/// The coefficients of Microsoft's ADPCM that its decoder knows, as they stand in the chunk `fmt `.
const MS_COEFFICIENTS: [i16; 14] = [256, 0, 512, -256, 0, 0, 192, 64, 240, 0, 460, -208, 392, -232];

/// Chunks that follow samples, known even where they are cut off.
const KNOWN_CHUNKS: [&[u8; 4]; 16] = [
    b"LIST", b"fact", b"cue ", b"smpl", b"inst", b"bext", b"id3 ", b"ID3 ", b"iXML", b"axml", b"JUNK", b"junk",
    b"PAD ", b"PEAK", b"acid", b"_PMX",
];

/// Where Wave64 puts four letters and what follows them.
const W64_RIFF: &[u8; 16] = b"riff\x2E\x91\xCF\x11\xA5\xD6\x28\xDB\x04\xC1\x00\x00";
const W64_TAIL: [u8; 12] = [0xF3, 0xAC, 0xD3, 0x11, 0x8C, 0xD1, 0, 0xC0, 0x4F, 0x8E, 0xDB, 0x8A];

/// A WAV with true lengths.
#[derive(Debug)]
pub(crate) struct Wave {
    /// A RIFF of the chunks `fmt ` and `data` alone.
    pub bytes: Vec<u8>,
    /// Frames where the blocks of a compressed sound hold more.
    pub frames: Option<u64>,
    /// One sentence for each length that lies.
    pub notes: Vec<String>,
}

/// True where a file begins like one of these containers.
pub(crate) fn is_wave(bytes: &[u8]) -> bool {
    match bytes.first_chunk::<12>() {
        Some([b'R', b'I', b'F', b'F', _, _, _, _, rest @ ..]) => rest == b"WAVE",
        Some([b'R', b'F', b'6', b'4', _, _, _, _, rest @ ..]) => rest == b"WAVE",
        Some([b'B', b'W', b'6', b'4', _, _, _, _, rest @ ..]) => rest == b"WAVE",
        _ => is_w64(bytes),
    }
}

fn is_w64(bytes: &[u8]) -> bool {
    bytes.starts_with(W64_RIFF)
}

/// Chunks that were found.
#[derive(Default)]
struct Chunks {
    format: Option<Range<usize>>,
    /// Place of the samples and the length that is stated; `None` for "unknown".
    data: Option<(usize, Option<u64>)>,
    /// Frames by the chunks `fact` or `ds64`.
    frames: Option<u64>,
    /// End of the container as it is stated, if that is believable.
    end: Option<u64>,
}

/// Rewrites a WAV in any container as a RIFF.
///
/// # Errors
/// No chunk `fmt ` or `data`, numbers of channels out of range, compressed blocks that can't be decoded; the message says how.
pub(crate) fn rewritten(bytes: Vec<u8>) -> Result<Wave, String> {
    let chunks = if is_w64(&bytes) { walk_w64(&bytes) } else { walk_riff(&bytes) };
    let (Some(format), Some((start, stated))) = (chunks.format, chunks.data) else {
        return Err("the file ends before its samples: it is truncated or damaged; export it again".into());
    };
    let format = Format::read(&bytes[format])?;
    let mut notes = Vec::new();
    let end = data_end(&bytes, start, stated, chunks.end, format.block, &mut notes);
    if end - start > MAX_DATA {
        return Err(format!("{} bytes of samples, more than {MAX_DATA}; cut the sound", end - start));
    }
    build(bytes, start..end, &format, chunks.frames, notes)
}

/// A RIFF of samples that lie in `bytes` at `data`.
pub(crate) fn build(
    mut bytes: Vec<u8>,
    data: Range<usize>,
    format: &Format,
    stated: Option<u64>,
    notes: Vec<String>,
) -> Result<Wave, String> {
    bytes.truncate(data.end);
    let start = data.start;
    let frames = format.blocks(&mut bytes, start, stated)?;
    let length = bytes.len() - start;
    let chunk = &format.chunk;
    let mut head = Vec::with_capacity(64 + chunk.len());
    head.extend(b"RIFF");
    head.extend(((4 + 8 + chunk.len() + 8 + length) as u32).to_le_bytes());
    head.extend(b"WAVEfmt ");
    head.extend((chunk.len() as u32).to_le_bytes());
    head.extend(chunk);
    head.extend(b"data");
    head.extend((length as u32).to_le_bytes());
    bytes.splice(..start, head);
    Ok(Wave { bytes, frames, notes })
}

/// End of the samples from `start` on.
fn data_end(
    bytes: &[u8],
    start: usize,
    stated: Option<u64>,
    container: Option<u64>,
    block: usize,
    notes: &mut Vec<String>,
) -> usize {
    let there = bytes.len() - start;
    let Some(length) = stated else { return bytes.len() };
    let Some(length) = usize::try_from(length).ok().filter(|&l| l <= there) else {
        notes
            .push(format!("its header says {length} bytes of samples and {there} are there: they are read to the end"));
        return bytes.len();
    };
    let (end, rest) = (start + length, &bytes[start + length..]);
    let rest = if length % 2 == 1 { rest.strip_prefix(&[0]).unwrap_or(rest) } else { rest };
    // What follows is a chunk, padding, a tag, or lies outside of the container.
    let is_inside = container.is_none_or(|end| end >= bytes.len() as u64);
    let is_tag = [&b"TAG"[..], b"ID3", b"APETAGEX"].into_iter().any(|tag| rest.starts_with(tag));
    let is_padding = length > 0 && rest.iter().all(|&b| b == 0);
    if rest.len() < block || !is_inside || is_tag || is_chunk(rest) || is_padding {
        return end;
    }
    notes.push(format!("its header says {length} bytes of samples and {there} are there: they are read to the end"));
    bytes.len()
}

/// True where a chunk begins that the rest of a file can hold.
fn is_chunk(rest: &[u8]) -> bool {
    if KNOWN_CHUNKS.into_iter().any(|kind| rest.starts_with(kind)) {
        return true;
    }
    let Some(&[a, b, c, d, l0, l1, l2, l3]) = rest.first_chunk() else { return false };
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'_' | b'-');
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    [a, b, c, d].into_iter().all(is_letter) && length <= rest.len() - 8
}

fn walk_riff(bytes: &[u8]) -> Chunks {
    let is_large = !bytes.starts_with(b"RIFF");
    let size = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    let mut found = Chunks { end: (size != 0 && size != u32::MAX).then(|| u64::from(size) + 8), ..Chunks::default() };
    // The lengths of RF64 and BW64.
    let mut large = None;
    let mut at = 12;
    while let Some(&[a, b, c, d, l0, l1, l2, l3]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let body = at + 8;
        let rest = &bytes[body..];
        match &[a, b, c, d] {
            b"ds64" if is_large => {
                let long = |at: usize| rest.get(at..).and_then(|r| r.first_chunk()).map(|v| u64::from_le_bytes(*v));
                found.end = long(0).filter(|&size| size > 0 && size != u64::MAX).map(|size| size.saturating_add(8));
                large = long(8);
                found.frames = long(16).filter(|&frames| frames > 0);
            }
            b"data" => {
                found.data = Some((body, stated_length(length, large, rest)));
                return found;
            }
            b"fmt " => found.format = Some(body..body + rest.len().min(length as usize)),
            b"fact" => found.frames = rest.first_chunk().map(|v| u64::from(u32::from_le_bytes(*v))).or(found.frames),
            _ => {}
        }
        let next = body.saturating_add(length as usize);
        // Some writers leave out the padding of odd chunks.
        let chunk_at = |place: usize| bytes.get(place..).is_some_and(is_chunk);
        let is_padded = length % 2 == 1 && (chunk_at(next.saturating_add(1)) || !chunk_at(next));
        at = next.saturating_add(usize::from(is_padded));
    }
    found
}

/// The length of the samples that a chunk `data` states; `None` where it is unknown.
fn stated_length(length: u32, large: Option<u64>, rest: &[u8]) -> Option<u64> {
    match (length, large) {
        (u32::MAX, large) => large.filter(|&l| l > 0 && l != u64::MAX),
        // Nothing, unless other chunks follow an empty sound.
        (0, _) if !rest.is_empty() && !is_chunk(rest) => None,
        (length, _) => Some(length.into()),
    }
}

fn walk_w64(bytes: &[u8]) -> Chunks {
    let mut found = Chunks::default();
    let long = |at: usize| bytes.get(at..).and_then(|r| r.first_chunk()).map(|v| u64::from_le_bytes(*v));
    found.end = long(16).filter(|&size| size > 40 && size != u64::MAX);
    let mut at = 40;
    while let (Some(id), Some(length)) = (bytes.get(at..).and_then(|r| r.first_chunk::<16>()), long(at + 16)) {
        let body = at + 24;
        // The length counts the head.
        let length = length.saturating_sub(24);
        let kind = if id[4..] == W64_TAIL { &id[..4] } else { &[] };
        let rest = &bytes[body..];
        match kind {
            b"data" => {
                let stated = Some(length).filter(|&l| l > 0 && l < u64::MAX - 24);
                found.data = Some((body, if rest.is_empty() { Some(0) } else { stated }));
                return found;
            }
            b"fmt " => found.format = Some(body..body + rest.len().min(usize::try_from(length).unwrap_or(usize::MAX))),
            b"fact" => found.frames = long(body).filter(|_| length >= 8),
            _ => {}
        }
        let Some(next) = usize::try_from(length).ok().and_then(|l| body.checked_add(l)?.checked_next_multiple_of(8))
        else {
            break;
        };
        at = next;
    }
    found
}

/// The chunk `fmt ` as the decoder wants it.
#[derive(Debug)]
pub(crate) struct Format {
    tag: u16,
    channels: u16,
    /// Bytes a frame, or a block of a compressed sound.
    pub block: usize,
    chunk: Vec<u8>,
}

impl Format {
    /// The format of plain integers, little-endian.
    ///
    /// # Errors
    /// Numbers of channels or bytes a sample that are not read.
    pub(crate) fn integers(channels: u16, rate: u32, bits: u16) -> Result<Self, String> {
        let mut chunk = [PCM, channels].map(u16::to_le_bytes).concat();
        chunk.extend(rate.to_le_bytes());
        chunk.extend([0; 4]);
        chunk.extend([channels.saturating_mul(bits / 8), bits].map(u16::to_le_bytes).concat());
        Self::read(&chunk)
    }

    fn read(chunk: &[u8]) -> Result<Self, String> {
        let Some(head) = chunk.first_chunk::<16>() else {
            return Err("its chunk `fmt ` is too short: the file is damaged or truncated; export it again".into());
        };
        let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let (mut tag, channels, align, mut bits) = (short(0), short(2), short(12), short(14));
        if !(1..=MAX_CHANNELS).contains(&channels) {
            return Err(format!("its header states {channels} channels; expected 1 to {MAX_CHANNELS}"));
        }
        let mut out = head.to_vec();
        let guid = chunk.get(24..40);
        if tag == EXTENSIBLE
            && let Some(guid) = guid
            && guid[2..] == GUID_TAIL
            && matches!(u16::from_le_bytes([guid[0], guid[1]]), ADPCM_MS | ADPCM_IMA)
        {
            tag = u16::from_le_bytes([guid[0], guid[1]]);
            out[..2].copy_from_slice(&tag.to_le_bytes());
        }
        match tag {
            EXTENSIBLE => {
                let Some(extension) = chunk.get(16..40) else {
                    return Err("its chunk `fmt ` lacks its extension: the file is damaged; export it again".into());
                };
                out.extend(extension);
                out[16..18].copy_from_slice(&22u16.to_le_bytes());
                // Where channels sound is of no use here, and the decoder counts the positions, not the channels, with no
                // regard to masks that are damaged.
                out[20..24].copy_from_slice(&((1u32 << channels) - 1).to_le_bytes());
            }
            PCM => {
                // 12 bits in two bytes, 20 in three: the samples are at the upper end.
                bits = bits.next_multiple_of(8);
                out[14..16].copy_from_slice(&bits.to_le_bytes());
            }
            ALAW | MULAW => out.extend([0, 0]),
            ADPCM_MS | ADPCM_IMA => out.extend(Self::compressed(tag, channels, align, chunk)?),
            _ => {}
        }
        let is_block = matches!(tag, ADPCM_MS | ADPCM_IMA);
        let block = if is_block { align.into() } else { usize::from(channels) * usize::from(bits / 8).max(1) };
        Ok(Self { tag, channels, block, chunk: out })
    }

    /// The extension of a compressed format, after checks of what the decoder takes on trust.
    fn compressed(tag: u16, channels: u16, align: u16, chunk: &[u8]) -> Result<Vec<u8>, String> {
        let name = if tag == ADPCM_MS { "Microsoft ADPCM" } else { "IMA ADPCM" };
        let remedy = "export the sound as 16-bit WAV";
        if channels > 2 {
            return Err(format!("{name} of {channels} channels, more than 2; {remedy}"));
        }
        let head = head_length(tag) * channels;
        // A stereo block of IMA holds groups of four bytes a channel.
        let is_whole = tag == ADPCM_MS || channels == 1 || align.saturating_sub(head).is_multiple_of(8);
        if align < head || !is_whole {
            return Err(format!("{name} in blocks of {align} bytes, which can't be; {remedy}"));
        }
        if tag == ADPCM_IMA {
            // Two bytes: the frames of a block, which follow from its length.
            return Ok([2u16, chunk.get(18..20).map_or(0, |v| u16::from_le_bytes([v[0], v[1]]))]
                .map(u16::to_le_bytes)
                .concat());
        }
        let coefficients = chunk.get(20..22).map(|v| u16::from_le_bytes([v[0], v[1]]));
        let usual = MS_COEFFICIENTS.map(i16::to_le_bytes).concat();
        if coefficients != Some(7) || chunk.get(22..50) != Some(&usual[..]) {
            return Err(format!("{name} with coefficients of its own; {remedy}"));
        }
        Ok([&32u16.to_le_bytes()[..], &chunk[18..50]].concat())
    }

    /// Completes the last block of a compressed sound that begins at `start`, and returns the number of frames that it has.
    fn blocks(&self, bytes: &mut Vec<u8>, start: usize, stated: Option<u64>) -> Result<Option<u64>, String> {
        if !matches!(self.tag, ADPCM_MS | ADPCM_IMA) {
            return Ok(None);
        }
        let head = usize::from(head_length(self.tag) * self.channels);
        let frames_in = |length: usize| match (length.checked_sub(head), self.tag) {
            (None, _) => 0,
            (Some(data), ADPCM_MS) => 2 + 2 * data / usize::from(self.channels),
            (Some(data), _) if self.channels == 1 => 1 + 2 * data,
            (Some(data), _) => 1 + data / 8 * 8,
        };
        let length = bytes.len() - start;
        let (whole, rest) = (length / self.block, length % self.block);
        let there = (whole * frames_in(self.block) + frames_in(rest)) as u64;
        if frames_in(rest) > 0 {
            bytes.resize(start + (whole + 1) * self.block, 0);
        }
        if self.tag == ADPCM_MS {
            let blocks = bytes[start..].chunks_exact(self.block);
            if blocks.into_iter().any(|b| b[..self.channels.into()].iter().any(|&predictor| predictor > 6)) {
                return Err(
                    "a block of Microsoft ADPCM has a predictor that there is not: it is damaged; export it again"
                        .into(),
                );
            }
        }
        Ok(Some(stated.filter(|&f| f > 0).map_or(there, |f| f.min(there))))
    }
}

/// Bytes before the samples of a block, a channel.
fn head_length(tag: u16) -> u16 {
    if tag == ADPCM_MS { 7 } else { 4 }
}

#[cfg(test)]
#[path = "wave_tests.rs"]
mod tests;
