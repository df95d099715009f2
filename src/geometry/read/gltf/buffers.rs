//! Buffers of a glTF document: the binary chunk, base64 in the document, or regular files beside it. Each is read once,
//! when it is first used.

use std::collections::HashMap;
use std::path::Path;

use nstr_files::{Budget, excerpt};

use crate::read::ParseError;
use crate::read::gltf::document::{Buffer, entry};

/// Most bytes that the buffers beside a document may have together.
const MOST_BYTES: u64 = 16 << 30;

pub(super) struct Buffers<'a> {
    list: &'a [Buffer],
    blob: Option<&'a [u8]>,
    folder: &'a Path,
    budget: Budget,
    read: Vec<Vec<u8>>,
    total: u64,
    /// Place in `read` of each buffer, and of each address: thousands of buffers may name one file.
    by_index: HashMap<usize, usize>,
    by_uri: HashMap<&'a str, usize>,
}

impl<'a> Buffers<'a> {
    /// The buffers `list` of the document `path`.
    pub fn new(list: &'a [Buffer], blob: Option<&'a [u8]>, path: &'a Path) -> Self {
        let folder = path.parent().unwrap_or(Path::new(""));
        Self {
            list,
            blob,
            folder,
            budget: Budget::new(MOST_BYTES),
            read: Vec::new(),
            total: 0,
            by_index: HashMap::new(),
            by_uri: HashMap::new(),
        }
    }

    /// Length of everything that was read so far, without the binary chunk.
    pub fn bytes_read(&self) -> u64 {
        self.total
    }

    /// All bytes of a buffer, whatever length it claims.
    pub fn bytes(&mut self, index: usize) -> Result<&[u8], ParseError> {
        let Some(uri) = entry(self.list, index, "buffer")?.uri.as_deref() else {
            let blob = self.blob.filter(|_| index == 0);
            return blob
                .ok_or_else(|| ParseError::new(format!("the data of buffer {index} are missing from the file")));
        };
        let known = self.by_index.get(&index).or_else(|| self.by_uri.get(uri)).copied();
        let place = match known {
            Some(place) => place,
            None => {
                let bytes = match uri.split_at_checked(5) {
                    Some((scheme, rest)) if scheme.eq_ignore_ascii_case("data:") => embedded(rest, index)?,
                    _ => self.beside(uri)?,
                };
                self.total += bytes.len() as u64;
                self.read.push(bytes);
                self.by_uri.insert(uri, self.read.len() - 1);
                self.read.len() - 1
            }
        };
        self.by_index.insert(index, place);
        Ok(&self.read[place])
    }

    fn beside(&self, uri: &str) -> Result<Vec<u8>, ParseError> {
        if uri.contains("://") {
            let uri = excerpt(uri);
            return Err(ParseError::new(format!("its buffer {uri} is not beside it; download it and name the file")));
        }
        let plain = self.folder.join(percent_decode(uri));
        // Some writers leave names as they are, and Windows writes `\`.
        let others = [self.folder.join(uri), self.folder.join(percent_decode(uri).replace('\\', "/"))];
        let file = others.into_iter().find(|file| !plain.exists() && file.exists()).unwrap_or(plain);
        let missing = |e| ParseError::new(format!("its buffer {} cannot be read: {e}", shown(&file)));
        nstr_files::read_named(&file, &self.budget).map_err(missing)
    }
}

fn shown(path: &Path) -> String {
    excerpt(&path.to_string_lossy())
}

fn embedded(uri: &str, index: usize) -> Result<Vec<u8>, ParseError> {
    let (kind, text) = uri.split_once(',').unwrap_or((uri, ""));
    if !kind.to_ascii_lowercase().ends_with(";base64") {
        return Err(ParseError::new(format!("the embedded buffer {index} is not base64; export the model as GLB")));
    }
    base64(text.as_bytes()).ok_or_else(|| ParseError::new(format!("buffer {index} is not valid base64")))
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for &c in text.trim_ascii_end().iter().take_while(|&&c| c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

fn percent_decode(uri: &str) -> String {
    let (mut out, bytes, mut i) = (Vec::new(), uri.as_bytes(), 0);
    while i < bytes.len() {
        let code = bytes.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        match code {
            Some(code) if bytes[i] == b'%' => {
                out.push(code);
                i += 3;
            }
            _ => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
