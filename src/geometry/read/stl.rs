//! STL, ascii and binary.
//!
//! Own readers: the `stl_io` crate stops after the first `solid` of a file, refuses facets whose normal is NaN (which
//! exporters write for slivers) and takes every file that begins with "solid" for text.

use std::path::Path;

use glam::DVec3;

use crate::read::ParseError;
use crate::read::soup::Soup;

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
    let text = data.trim_ascii_start();
    let word = |w: &[u8]| text.len() >= w.len() && text[..w.len()].eq_ignore_ascii_case(w);
    let printable = |b: &u8| b.is_ascii_graphic() || b.is_ascii_whitespace() || *b >= 0x80;
    !is_exact_binary(data) && (word(b"solid") || word(b"facet")) && data[..data.len().min(512)].iter().all(printable)
}

pub(super) fn read(data: &[u8], _path: &Path) -> Result<Soup, ParseError> {
    if is_ascii(data) { ascii(data) } else { binary(data) }
}

fn binary(data: &[u8]) -> Result<Soup, ParseError> {
    let count = claimed(data)
        .ok_or_else(|| ParseError::new("neither `solid` text nor long enough (84 bytes) for a binary STL header"))?;
    let body = &data[HEADER..];
    if count * RECORD as u64 > body.len() as u64 {
        let whole = body.len() / RECORD;
        return Err(ParseError::new(format!("truncated: the header claims {count} triangles, the file holds {whole}")));
    }
    let mut soup = Soup::default();
    soup.weld_near = true;
    for record in body.chunks_exact(RECORD).take(count as usize) {
        let number = |k: usize| f64::from(f32::from_le_bytes([record[k], record[k + 1], record[k + 2], record[k + 3]]));
        // The facet's normal (12 bytes) comes first and is not used.
        polygon(&mut soup, &[12, 24, 36].map(|k| DVec3::new(number(k), number(k + 4), number(k + 8))))?;
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

fn ascii(data: &[u8]) -> Result<Soup, ParseError> {
    let mut soup = Soup::default();
    soup.weld_near = true;
    let mut facet: Option<Vec<DVec3>> = None;
    let (mut closed, mut last) = (true, 0);
    for (i, line) in data.split(|&b| b == b'\n').enumerate() {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
        let Some(word) = words.next() else { continue };
        last = i + 1;
        match (word.to_ascii_lowercase().as_slice(), &mut facet) {
            (b"solid", None) => closed = false,
            (b"endsolid", None) => closed = true,
            (b"facet", None) => facet = Some(Vec::with_capacity(3)),
            (b"outer" | b"endloop", Some(_)) => {}
            (b"vertex", Some(corners)) => {
                let p = vertex(words).ok_or_else(|| ParseError::at(last, "expected `vertex x y z`"))?;
                corners.push(p);
            }
            (b"endfacet", Some(corners)) => {
                polygon(&mut soup, corners)?;
                facet = None;
            }
            (other, _) => {
                let other = String::from_utf8_lossy(&other[..other.len().min(40)]).into_owned();
                return Err(ParseError::at(last, format!("`{other}` is out of place in an ascii STL")));
            }
        }
    }
    if facet.is_some() {
        return Err(ParseError::at(last, "truncated: the file ends inside a facet"));
    }
    if !closed {
        soup.note("no `endsolid` at the end: the file may be cut short");
    }
    Ok(soup)
}

fn vertex<'w>(mut words: impl Iterator<Item = &'w [u8]>) -> Option<DVec3> {
    let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<f64>().ok();
    Some(DVec3::new(number()?, number()?, number()?))
}
