//! STL, ascii and binary.
//!
//! Own readers: the `stl_io` crate stops after the first `solid` of a file, refuses facets whose normal is NaN (which
//! exporters write for slivers) and takes every file that begins with "solid" for text. Text is read word by word, since
//! the format has no lines; only the names behind `solid` and `endsolid` end with theirs.

use glam::DVec3;

use crate::read::soup::Soup;
use crate::read::{ParseError, number, text, without_mark};

const HEADER: usize = 84;
const RECORD: usize = 50;

fn claimed(data: &[u8]) -> Option<u64> {
    let count = data.get(80..HEADER)?;
    Some(u64::from(u32::from_le_bytes([count[0], count[1], count[2], count[3]])))
}

/// True where the length is exactly what a binary file's count demands; text cannot hit that by chance.
pub(super) fn is_exact_binary(data: &[u8]) -> bool {
    claimed(data).is_some_and(|n| n > 0 && n * RECORD as u64 + HEADER as u64 == data.len() as u64)
}

/// Text, unless the length says binary: many binary files begin with the word "solid" too.
fn is_ascii(data: &[u8]) -> bool {
    if is_exact_binary(data) {
        return false;
    }
    if data.starts_with(b"\xff\xfe") || data.starts_with(b"\xfe\xff") {
        return true;
    }
    let start = without_mark(data);
    let text = start.trim_ascii_start();
    let word = |w: &[u8]| text.len() >= w.len() && text[..w.len()].eq_ignore_ascii_case(w);
    // UTF-16 without a mark, which the decoder names.
    let wide = data.starts_with(b"s\0o\0l\0") || data.starts_with(b"\0s\0o\0l");
    let printable = |b: &u8| b.is_ascii_graphic() || b.is_ascii_whitespace() || *b >= 0x80;
    wide || ((word(b"solid") || word(b"facet")) && start[..start.len().min(512)].iter().all(printable))
}

pub(super) fn read(data: Vec<u8>) -> Result<Soup, ParseError> {
    if is_ascii(&data) { text(data).and_then(|text| ascii(&text)) } else { binary(&data) }
}

fn binary(data: &[u8]) -> Result<Soup, ParseError> {
    let claimed = claimed(data)
        .ok_or_else(|| ParseError::new("neither `solid` text nor long enough (84 bytes) for a binary STL header"))?;
    let body = &data[HEADER..];
    let whole = (body.len() / RECORD) as u64;
    // Writers that do not know the number beforehand leave 0 or the largest one.
    let count = if claimed == 0 { whole } else { claimed.min(whole) };
    let mut soup = Soup::default();
    soup.weld_near = true;
    for record in body.chunks_exact(RECORD).take(count as usize) {
        let number = |k: usize| f64::from(f32::from_le_bytes([record[k], record[k + 1], record[k + 2], record[k + 3]]));
        // The facet's normal (12 bytes) comes first and is not used.
        polygon(&mut soup, &[12, 24, 36].map(|k| DVec3::new(number(k), number(k + 4), number(k + 8))))?;
    }
    if count != claimed {
        soup.note(format!("the header claims {claimed} triangles, the file holds {whole}, which are read"));
    }
    let rest = body.len() as u64 - count * RECORD as u64;
    if rest > 0 {
        soup.note(format!("{rest} bytes after the last triangle ignored"));
    }
    Ok(soup)
}

fn polygon(soup: &mut Soup, corners: &[DVec3]) -> Result<(), ParseError> {
    let first = soup.positions.len() as u32;
    corners.iter().for_each(|&p| soup.vertex(p));
    soup.polygon(first..first + corners.len() as u32)
}

/// Words of a text and their lines, from 1.
struct Words<'a> {
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
    /// What is left of the line.
    rest: &'a str,
    line: usize,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        Self { lines: text.lines().enumerate(), rest: "", line: 0 }
    }

    /// The next word of the line, left in place.
    fn peek(&mut self) -> Option<&'a str> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.split_ascii_whitespace().next()
    }

    fn next(&mut self) -> Option<&'a str> {
        loop {
            if let Some(word) = self.peek() {
                self.rest = &self.rest[word.len()..];
                return Some(word);
            }
            let (i, line) = self.lines.next()?;
            (self.line, self.rest) = (i + 1, line);
        }
    }

    /// Passes over the name of a solid: the rest of the line, or of it what stands before a facet.
    fn skip_name(&mut self) {
        let opens = |word: &str| word.eq_ignore_ascii_case("normal") || word.eq_ignore_ascii_case("outer");
        while let Some(word) = self.peek() {
            let behind = self.rest[word.len()..].split_ascii_whitespace().next();
            if word.eq_ignore_ascii_case("facet") && behind.is_some_and(opens) {
                return;
            }
            self.next();
        }
    }

    /// Passes over words of the line that are no keywords, such as a normal or what follows the numbers of a vertex.
    fn skip_values(&mut self) {
        while self.peek().is_some_and(|word| Keyword::of(word).is_none()) {
            self.next();
        }
    }
}

#[derive(Clone, Copy)]
enum Keyword {
    Solid,
    EndSolid,
    Facet,
    EndFacet,
    Vertex,
    /// `outer loop` and `endloop`.
    Loop,
}

impl Keyword {
    const LIST: [(&str, Self); 8] = [
        ("vertex", Self::Vertex),
        ("facet", Self::Facet),
        ("endfacet", Self::EndFacet),
        ("outer", Self::Loop),
        ("loop", Self::Loop),
        ("endloop", Self::Loop),
        ("solid", Self::Solid),
        ("endsolid", Self::EndSolid),
    ];

    fn of(word: &str) -> Option<Self> {
        Self::LIST.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, keyword)| *keyword)
    }
}

fn ascii(text: &str) -> Result<Soup, ParseError> {
    let mut soup = Soup::default();
    soup.weld_near = true;
    let mut facet: Option<Vec<DVec3>> = None;
    let mut closed = true;
    let mut words = Words::new(text);
    while let Some(word) = words.next() {
        let line = words.line;
        match (Keyword::of(word), &mut facet) {
            (Some(Keyword::Solid), None) => {
                closed = false;
                words.skip_name();
            }
            (Some(Keyword::EndSolid), None) => {
                closed = true;
                words.skip_name();
            }
            (Some(Keyword::Facet), None) => facet = Some(Vec::with_capacity(3)),
            (Some(Keyword::Loop), Some(_)) => {}
            (Some(Keyword::Vertex), Some(corners)) => corners.push(vertex(&mut words, line)?),
            (Some(Keyword::EndFacet), Some(corners)) => {
                polygon(&mut soup, corners)?;
                facet = None;
            }
            // The numbers of a normal that stand on lines of their own.
            (None, Some(corners)) if corners.is_empty() && (number::parse(word).is_some() || word == "normal") => {}
            _ => {
                let word = nstr_files::excerpt(word);
                return Err(ParseError::at(line, format!("`{word}` is out of place in an ascii STL")));
            }
        }
        words.skip_values();
    }
    if facet.is_some() {
        return Err(ParseError::at(words.line, "truncated: the file ends inside a facet"));
    }
    if !closed {
        soup.note("no `endsolid` at the end: the file may be cut short");
    }
    Ok(soup)
}

fn vertex(words: &mut Words<'_>, line: usize) -> Result<DVec3, ParseError> {
    let mut p = [0.0; 3];
    for coordinate in &mut p {
        let word = words.next().ok_or_else(|| ParseError::at(line, "expected `vertex x y z`"))?;
        *coordinate = number::parse(word)
            .ok_or_else(|| ParseError::at(line, format!("expected `vertex x y z`: {}", number::fault(word))))?;
    }
    Ok(DVec3::from_array(p))
}
