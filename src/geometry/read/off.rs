//! OFF and its variants: `[ST][C][N][4][n]OFF`, comments, counts on the header's line.
//!
//! The format knows no lines: a vertex may take several, or share one with others. Most files have vertices and faces one a
//! line though, with colours or normals behind them that the header says nothing of. So what a vertex or face needs is
//! read over any number of lines, and the rest of its last line is passed over; where that ends before or after the file's
//! end, the file is read again with what the header says a vertex holds.

use std::iter::Enumerate;
use std::str::{FromStr, Lines, SplitAsciiWhitespace};

use glam::DVec3;

use crate::read::soup::{BAD_INDEX, Soup};
use crate::read::{ParseError, number};

/// True where a file that starts with these bytes is an OFF file.
pub(super) fn is_header(start: &[u8]) -> bool {
    Header::parse(start).is_some()
}

#[derive(Clone, Copy)]
struct Header {
    homogeneous: bool,
    dimensions: bool,
    /// Numbers of a vertex beyond its position.
    extra: usize,
    length: usize,
}

impl Header {
    const PLAIN: Self = Self { homogeneous: false, dimensions: false, extra: 0, length: 0 };

    /// Parses the leading keyword; counts may follow it without a space (ModelNet's files do so).
    fn parse(text: &[u8]) -> Option<Self> {
        let mut at = 0;
        let mut eat = |prefix: &[u8]| {
            let found = text[at..].starts_with(prefix);
            at += if found { prefix.len() } else { 0 };
            found
        };
        let numbers = |found: bool, count: usize| if found { count } else { 0 };
        let extra = numbers(eat(b"ST"), 2) + numbers(eat(b"C"), 4) + numbers(eat(b"N"), 3);
        let homogeneous = eat(b"4");
        let dimensions = eat(b"n");
        eat(b"OFF").then_some(())?;
        Some(Self { homogeneous, dimensions, extra, length: at })
    }
}

/// Words of a text with their lines, comments left out.
struct Words<'a> {
    lines: Enumerate<Lines<'a>>,
    words: SplitAsciiWhitespace<'a>,
    /// Line of the last word, from 1.
    line: usize,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        Self { lines: text.lines().enumerate(), words: "".split_ascii_whitespace(), line: 0 }
    }

    fn next(&mut self, wanted: impl FnOnce() -> String) -> Result<&'a str, ParseError> {
        loop {
            if let Some(word) = self.words.next() {
                // Not so in `1.#QNAN`, which is a number.
                let comment = word.find('#').filter(|&at| !word[..at].ends_with("1."));
                let Some(at) = comment else { return Ok(word) };
                self.skip_line();
                if at > 0 {
                    return Ok(&word[..at]);
                }
            }
            let Some((i, line)) = self.lines.next() else {
                return Err(ParseError::at(self.line, format!("the file ends here, before {}", wanted())));
            };
            self.words = line.split_ascii_whitespace();
            self.line = i + 1;
        }
    }

    fn number(&mut self, wanted: impl Fn() -> String) -> Result<f64, ParseError> {
        let word = self.next(&wanted)?;
        number::parse(word)
            .ok_or_else(|| ParseError::at(self.line, format!("expected {}: {}", wanted(), number::fault(word))))
    }

    fn integer<T: FromStr>(&mut self, wanted: &str) -> Result<T, ParseError> {
        let word = self.next(|| wanted.into())?;
        word.parse().map_err(|_| ParseError::at(self.line, format!("expected {wanted}: {}", number::fault(word))))
    }

    fn skip_line(&mut self) {
        self.words = "".split_ascii_whitespace();
    }
}

pub(super) fn read(text: &str) -> Result<Soup, ParseError> {
    match body(text, true) {
        Ok((soup, true)) => Ok(soup),
        by_lines => match body(text, false) {
            Ok((soup, true)) => Ok(soup),
            _ => by_lines.map(|(soup, _)| soup),
        },
    }
}

/// Reads the whole text; `by_lines` passes over what follows a vertex or a face on its last line. Also tells whether that
/// was all of the text.
fn body(text: &str, by_lines: bool) -> Result<(Soup, bool), ParseError> {
    let mut words = Words::new(text);
    let first = words.next(|| "its header".into())?;
    // The keyword is optional in the format's definition.
    let header = Header::parse(first.as_bytes()).unwrap_or(Header::PLAIN);
    let rest = first.get(header.length..).unwrap_or_default();
    let next = if rest.is_empty() { words.next(|| "the counts".into())? } else { rest };
    if next.starts_with("BINARY") {
        return Err(ParseError::at(words.line, "binary OFF is not supported; save it as text, or as binary PLY"));
    }
    let mut counts = Some(next);
    let mut count = |words: &mut Words<'_>| -> Result<u64, ParseError> {
        const WANTED: &str = "the numbers of vertices, faces and edges";
        match counts.take() {
            Some(word) => word.parse().map_err(|_| ParseError::at(words.line, format!("expected {WANTED}"))),
            None => words.integer(WANTED),
        }
    };
    if header.dimensions && count(&mut words)? != 3 {
        return Err(ParseError::at(words.line, "only three-dimensional nOFF files hold a surface"));
    }
    let vertices = count(&mut words)?;
    let line = words.line;
    let faces = count(&mut words)?;
    // The number of edges, which many files leave out, ends its line; where the counts have no line, it has to be there.
    if by_lines && words.line == line {
        words.skip_line()
    } else {
        _ = count(&mut words)?
    }
    // A vertex takes at least 6 bytes, a face 2.
    if vertices.saturating_mul(6).saturating_add(faces.saturating_mul(2)) > text.len() as u64 + 2 {
        let reason = format!("{vertices} vertices and {faces} faces cannot fit in {} bytes", text.len());
        return Err(ParseError::at(words.line, format!("{reason}; the file is truncated or its counts are wrong")));
    }
    let mut soup = Soup::default();
    for i in 0..vertices {
        let wanted = || format!("vertex {} of {vertices}, `x y z`", i + 1);
        let p = DVec3::new(words.number(wanted)?, words.number(wanted)?, words.number(wanted)?);
        soup.vertex(if header.homogeneous { p / words.number(wanted)? } else { p });
        if by_lines {
            words.skip_line();
        } else {
            (0..header.extra).try_for_each(|_| words.number(wanted).map(|_| ()))?;
        }
    }
    for i in 0..faces {
        face(&mut words, text.len(), &mut soup, || format!("face {} of {faces}", i + 1))?;
        if by_lines {
            words.skip_line();
        }
    }
    let is_all = words.next(String::new).is_err();
    Ok((soup, is_all))
}

fn face(words: &mut Words<'_>, size: usize, soup: &mut Soup, wanted: impl Fn() -> String) -> Result<(), ParseError> {
    let word = words.next(&wanted)?;
    let line = words.line;
    let bad = |what: &str| ParseError::at(line, format!("{}: {what}", wanted()));
    let count: usize =
        word.parse().map_err(|_| bad("it begins with its number of corners, then their indices follow"))?;
    // Each corner takes at least two bytes, so a wrong count cannot make this loop long.
    let too_many = || bad(&format!("it claims {count} corners, more than the file holds"));
    if count > size {
        return Err(too_many());
    }
    let mut corners = Vec::new();
    for _ in 0..count {
        let word = words.next(String::new).map_err(|_| too_many())?;
        corners.push(word.parse().unwrap_or(BAD_INDEX));
    }
    match count {
        0..3 => soup.lines += 1,
        _ => soup.polygon(corners)?,
    }
    Ok(())
}
