//! OFF and its variants: `[ST][C][N][4][n]OFF`, comments, counts on the header's line.
//!
//! Vertices and faces stand one a line, so colours, normals and texture coordinates after them need no parsing.

use std::path::Path;

use glam::DVec3;

use crate::read::ParseError;
use crate::read::soup::{BAD_INDEX, Soup};

/// True where a file that starts with these bytes is an OFF file.
pub(super) fn is_header(start: &[u8]) -> bool {
    Header::parse(start).is_some()
}

struct Header {
    homogeneous: bool,
    dimensions: bool,
    length: usize,
}

impl Header {
    /// Parses the leading keyword; counts may follow it without a space (ModelNet's files do so).
    fn parse(text: &[u8]) -> Option<Self> {
        let mut at = 0;
        let mut eat = |prefix: &[u8]| {
            let found = text[at..].starts_with(prefix);
            at += if found { prefix.len() } else { 0 };
            found
        };
        eat(b"ST");
        eat(b"C");
        eat(b"N");
        let homogeneous = eat(b"4");
        let dimensions = eat(b"n");
        eat(b"OFF").then_some(())?;
        Some(Self { homogeneous, dimensions, length: at })
    }
}

/// Lines with something on them, comments cut off, with their numbers from 1.
struct Lines<'a> {
    lines: Box<dyn Iterator<Item = (usize, &'a [u8])> + 'a>,
    last: usize,
}

impl<'a> Lines<'a> {
    fn new(data: &'a [u8]) -> Self {
        let lines = data.split(|&b| b == b'\n').enumerate().filter_map(|(i, line)| {
            let line = line.split(|&b| b == b'#').next().unwrap_or_default().trim_ascii();
            (!line.is_empty()).then_some((i + 1, line))
        });
        Self { lines: Box::new(lines), last: 0 }
    }

    fn next(&mut self, wanted: &str) -> Result<(usize, &'a [u8]), ParseError> {
        let (number, line) = self
            .lines
            .next()
            .ok_or_else(|| ParseError::at(self.last, format!("the file ends here, before {wanted}")))?;
        self.last = number;
        Ok((number, line))
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty())
}

fn number<T: std::str::FromStr>(word: Option<&[u8]>) -> Option<T> {
    std::str::from_utf8(word?).ok()?.parse().ok()
}

pub(super) fn read(data: &[u8], _path: &Path) -> Result<Soup, ParseError> {
    let mut lines = Lines::new(data);
    let (at, mut line) = lines.next("its header")?;
    // The keyword is optional in the format's definition.
    let header = Header::parse(line).unwrap_or(Header { homogeneous: false, dimensions: false, length: 0 });
    line = line[header.length..].trim_ascii();
    if line.starts_with(b"BINARY") {
        return Err(ParseError::at(at, "binary OFF is not supported; save it as text, or as binary PLY"));
    }
    if line.is_empty() {
        line = lines.next("the counts")?.1;
    }
    if header.dimensions {
        if number::<usize>(words(line).next()) != Some(3) {
            return Err(ParseError::at(lines.last, "only three-dimensional nOFF files hold a surface"));
        }
        line = line[1..].trim_ascii();
        if line.is_empty() {
            line = lines.next("the counts")?.1;
        }
    }
    let mut counts = words(line);
    let (Some(vertices), Some(faces)) = (number::<u64>(counts.next()), number::<u64>(counts.next())) else {
        return Err(ParseError::at(lines.last, "expected the numbers of vertices, faces and edges"));
    };
    // A vertex line takes at least 6 bytes, a face line 2.
    if vertices.saturating_mul(6).saturating_add(faces.saturating_mul(2)) > data.len() as u64 + 2 {
        let reason = format!("{vertices} vertices and {faces} faces cannot fit in {} bytes", data.len());
        return Err(ParseError::at(lines.last, format!("{reason}; the file is truncated or its counts are wrong")));
    }
    let mut soup = Soup::default();
    for i in 0..vertices {
        let (at, line) = lines.next(&format!("vertex {} of {vertices}", i + 1))?;
        soup.vertex(vertex(line, header.homogeneous).ok_or_else(|| ParseError::at(at, "expected a vertex: `x y z`"))?);
    }
    for i in 0..faces {
        let (at, line) = lines.next(&format!("face {} of {faces}", i + 1))?;
        face(line, &mut soup).map_err(|reason| ParseError::at(at, reason))?;
    }
    Ok(soup)
}

fn vertex(line: &[u8], homogeneous: bool) -> Option<DVec3> {
    let mut w = words(line);
    let p = DVec3::new(number(w.next())?, number(w.next())?, number(w.next())?);
    Some(if homogeneous { p / number::<f64>(w.next())? } else { p })
}

fn face(line: &[u8], soup: &mut Soup) -> Result<(), String> {
    let mut w = words(line);
    let count: usize = number(w.next()).ok_or("expected a face: its number of corners, then their indices")?;
    // Each corner takes at least two bytes, so a wrong count cannot make this loop long.
    if count > line.len() {
        return Err(format!("the face claims {count} corners, more than its line holds"));
    }
    let mut corners = Vec::with_capacity(count);
    for _ in 0..count {
        let word = w.next().ok_or_else(|| format!("the face claims {count} corners, more than its line holds"))?;
        corners.push(number(Some(word)).unwrap_or(BAD_INDEX));
    }
    match count {
        1 | 2 => soup.lines += 1,
        _ => soup.polygon(corners).map_err(|f| f.reason)?,
    }
    Ok(())
}
