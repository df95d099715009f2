//! Texts as zlib streams.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::error::StreamError;

/// The section of a text.
pub fn encode_text(text: &str) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    // Writing to memory cannot fail; should it ever, the short stream is refused when read.
    let _ = encoder.write_all(text.as_bytes());
    encoder.finish().unwrap_or_default()
}

/// Reads the section of a text of at most `most` bytes; no more is unpacked.
///
/// # Errors
/// [`StreamError::Text`] for other bytes, longer texts, and texts that are not UTF-8.
pub fn decode_text(bytes: &[u8], most: usize) -> Result<String, StreamError> {
    let mut text = Vec::new();
    let mut stream = ZlibDecoder::new(bytes).take(most as u64 + 1);
    match stream.read_to_end(&mut text) {
        Ok(_) if text.len() <= most => String::from_utf8(text).map_err(|_| StreamError::Text(most)),
        _ => Err(StreamError::Text(most)),
    }
}
