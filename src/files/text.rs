//! Text of any usual encoding and line end as UTF-8 with LF, and quotations of it for messages.

use std::io;
use std::path::Path;

/// Most characters of an input that a message quotes.
const MOST_QUOTED: usize = 80;

/// Reads a text file that the user named, as [`decode_text`] does.
///
/// # Errors
/// Those of [`read`](crate::read) and [`decode_text`].
pub fn read_text(path: &Path) -> io::Result<String> {
    decode_text(crate::read(path)?)
}

/// Text of bytes in UTF-8, or in UTF-16 with a byte order mark; every CRLF and lone CR becomes an LF.
///
/// The mark is taken off. Invalid UTF-8 and lone surrogates become U+FFFD. Clean UTF-8 is not copied.
///
/// # Errors
/// UTF-16 without a mark or of an odd length, and UTF-32, by name.
pub fn decode_text(mut bytes: Vec<u8>) -> io::Result<String> {
    let text = match bytes.as_slice() {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Err(refused("UTF-32 text")),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        start if is_utf16(start) => return Err(refused("UTF-16 text without a byte order mark")),
        start => {
            if start.starts_with(b"\xef\xbb\xbf") {
                bytes.drain(..3);
            }
            line_feeds(&mut bytes);
            return Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()));
        }
    };
    let mut bytes = text.into_bytes();
    line_feeds(&mut bytes);
    String::from_utf8(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// At most 80 characters of `text` for a message, without quotation marks; control characters are escaped, and `…`
/// stands for the rest.
pub fn excerpt(text: &str) -> String {
    let (mut quoted, mut length) = (String::new(), 0);
    for c in text.chars() {
        let before = quoted.len();
        match c {
            '\'' | '"' | '\\' => quoted.push(c),
            // What cannot be seen, or would change how the message looks.
            _ => quoted.extend(c.escape_debug()),
        }
        length += quoted[before..].chars().count();
        if length > MOST_QUOTED {
            quoted.truncate(before);
            quoted.push('…');
            break;
        }
    }
    quoted
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> io::Result<String> {
    let (pairs, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(refused("UTF-16 text of an odd number of bytes"));
    }
    let units = pairs.iter().map(|pair| unit(*pair));
    Ok(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

/// Whether every other byte of the start is 0, as in UTF-16 of plain letters.
fn is_utf16(bytes: &[u8]) -> bool {
    let (pairs, _) = bytes[..bytes.len().min(64)].as_chunks::<2>();
    let all = |zero: usize| pairs.iter().all(|pair| pair[zero] == 0 && pair[1 - zero] != 0);
    pairs.len() >= 2 && (all(0) || all(1))
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is not read; save it as UTF-8"))
}

/// Turns CRLF and lone CR into LF, in place.
fn line_feeds(bytes: &mut Vec<u8>) {
    let Some(first) = bytes.iter().position(|b| *b == b'\r') else { return };
    let mut to = first;
    for from in first..bytes.len() {
        let byte = bytes[from];
        if byte == b'\r' && bytes.get(from + 1) == Some(&b'\n') {
            continue;
        }
        bytes[to] = if byte == b'\r' { b'\n' } else { byte };
        to += 1;
    }
    bytes.truncate(to);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn marks_and_line_ends_are_evened_out() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"v 1\nv 2\n", "v 1\nv 2\n"),
            (b"\xef\xbb\xbfv 1\r\nv 2", "v 1\nv 2"),
            (b"a\rb\r\rc\r\nd\r", "a\nb\n\nc\nd\n"),
            (b"\r", "\n"),
            (b"\r\n", "\n"),
            (b"\n\r", "\n\n"),
            (b"\xef\xbb\xbf", ""),
            ("Größe\r".as_bytes(), "Größe\n"),
            // ISO 8859-1, of which nobody tells.
            (b"Gr\xf6\xdfe\r\n", "Gr\u{fffd}\u{fffd}e\n"),
        ] {
            assert_eq!(decode_text(bytes.to_vec()).unwrap(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn utf16_is_read_with_its_mark_and_named_without() {
        let text = "v 1 Größe 😀\r\nv 2\r";
        let with_mark = format!("\u{feff}{text}");
        for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            assert_eq!(decode_text(encoded(&with_mark, bytes)).unwrap(), "v 1 Größe 😀\nv 2\n");
            let refused = decode_text(encoded("v 1 2 3", bytes)).unwrap_err().to_string();
            assert!(refused.contains("UTF-16 text without a byte order mark"), "{refused}");
            let mut odd = encoded(&with_mark, bytes);
            odd.pop();
            assert!(decode_text(odd).unwrap_err().to_string().contains("odd"));
        }
        let utf32 = with_mark.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        assert!(decode_text(utf32).unwrap_err().to_string().contains("UTF-32"));
        assert_eq!(decode_text(vec![0xff, 0xfe, 0, 0xd8, b'a', 0]).unwrap(), "\u{fffd}a");
        // Zeros alone are not UTF-16, and are left to the reader of the format.
        assert_eq!(decode_text(vec![b'a', 0, 0, 0, 1, 0]).unwrap(), "a\0\0\0\u{1}\0");
    }

    #[test]
    fn excerpts_are_short_and_plain() {
        assert_eq!(excerpt("it's \"v 1\" \\"), "it's \"v 1\" \\");
        assert_eq!(excerpt("a\tb\u{7}\u{1b}[31m\u{202e}"), "a\\tb\\u{7}\\u{1b}[31m\\u{202e}");
        let whole = "ä".repeat(80);
        assert_eq!(excerpt(&whole), whole);
        assert_eq!(excerpt(&"ä".repeat(81)), format!("{whole}…"));
        assert!(excerpt(&"\u{1}".repeat(100_000)).chars().count() <= 81);
    }

    #[test]
    fn a_folder_is_no_text() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_text(dir.path()).is_err());
        let path = dir.path().join("a.txt");
        std::fs::write(&path, b"\xef\xbb\xbfa\rb").unwrap();
        assert_eq!(read_text(&path).unwrap(), "a\nb");
    }
}
