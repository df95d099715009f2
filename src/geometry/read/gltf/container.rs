//! The chunks of a `.glb` file, whose lengths are not trusted.

use crate::read::ParseError;
use crate::read::gltf::document::{Document, whole};

const JSON: u32 = 0x4E4F_534A;
const BINARY: u32 = 0x004E_4942;

/// A document and the binary chunk behind it.
pub(super) struct Container<'a> {
    pub document: Document,
    pub blob: Option<&'a [u8]>,
    pub notes: Vec<String>,
}

impl<'a> Container<'a> {
    /// Reads the chunks of a `.glb` file.
    ///
    /// Lengths that reach past the end of the file mean "to the end", and so does one of the binary chunk that is less than
    /// its buffer's, where more data follow.
    pub fn open(data: &'a [u8]) -> Result<Self, ParseError> {
        let word = |at: usize| data.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        if word(4) != Some(2) {
            return Err(ParseError::new(
                "only version 2 of binary glTF is supported; export the model again as glTF 2.0",
            ));
        }
        let mut notes = Vec::new();
        if let Some(total) = word(8).filter(|&total| total as usize > data.len()) {
            notes.push(format!(
                "the header claims {total} bytes, the file has {}; the file may be cut short",
                data.len()
            ));
        }
        let no_json = || ParseError::new("truncated: no JSON chunk");
        let (length, kind) = word(12).zip(word(16)).ok_or_else(no_json)?;
        if kind != JSON {
            return Err(no_json());
        }
        let rest = &data[20..];
        let first =
            rest.get(..length as usize).map(|json| document(json).map(|(document, end)| (document, &json[end..])));
        let is_padding = |rest: &[u8]| rest.iter().all(|b| b.is_ascii_whitespace() || *b == 0);
        let (document, after) = match first {
            Some(Ok((document, behind))) if is_padding(behind) => (document, 20 + length as usize),
            // Where the length is wrong, the end of the document tells where the next chunk begins.
            other => {
                let (document, end) = document(rest).map_err(|error| match other {
                    Some(Err(first)) => first,
                    _ => error,
                })?;
                notes.push(format!("the JSON chunk claims {length} bytes, but its document takes {end}"));
                (document, (20 + end).next_multiple_of(4))
            }
        };
        let blob = binary(data, after).map(|(start, length)| {
            let rest = &data[start..];
            let claimed = document.buffers.first().filter(|buffer| buffer.uri.is_none());
            let wanted = claimed.and_then(|b| whole(b.byte_length, String::new).ok()).unwrap_or(0);
            if length > rest.len() || (length < wanted && length < rest.len()) {
                let there = rest.len();
                notes.push(format!("the binary chunk claims {length} bytes, the file holds {there}, which are read"));
                rest
            } else {
                &rest[..length]
            }
        });
        Ok(Self { document, blob, notes })
    }
}

/// Where the first binary chunk at or after `at` begins, and the length that it claims.
fn binary(data: &[u8], mut at: usize) -> Option<(usize, usize)> {
    loop {
        let head: [u8; 8] = data.get(at..)?.first_chunk().copied()?;
        let [a, b, c, d, kind @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        match u32::from_le_bytes(kind) {
            BINARY => return Some((at + 8, length)),
            // Some writers pad a chunk and do not count that.
            _ if !at.is_multiple_of(4) => at = at.next_multiple_of(4),
            _ => at = at.checked_add(8)?.checked_add(length)?,
        }
    }
}

/// The first JSON value of `json` as a document, and where it ends.
pub(super) fn document(json: &[u8]) -> Result<(Document, usize), ParseError> {
    let mut values = serde_json::Deserializer::from_slice(json).into_iter::<Document>();
    let document = match values.next() {
        Some(Ok(document)) => document,
        Some(Err(e)) => {
            let reason = nstr_files::shorten(&e.to_string());
            return Err(ParseError::new(format!("not a usable glTF document: {reason}")));
        }
        None => return Err(ParseError::new("not a usable glTF document: it is empty")),
    };
    let version = document.asset.version.as_deref().unwrap_or("2.0");
    if !version.starts_with("2") {
        let version = nstr_files::excerpt(version);
        return Err(ParseError::new(format!("glTF {version} is not supported; export the model again as glTF 2.0")));
    }
    Ok((document, values.byte_offset()))
}
