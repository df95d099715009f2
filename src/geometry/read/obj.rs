//! Wavefront OBJ: `v` and `f` with any number of corners, relative indices and continued lines; materials by `mtllib`
//! and `usemtl`.
//!
//! Materials are read by `tobj`, shapes by a parser of our own: `tobj` gives up the whole file at one bad index, short
//! face or byte that is not UTF-8, names no line in its errors, and copies the vertices of every group into a mesh of
//! its own (through a hash map), only to be merged again here. The tests check this parser against it.

use std::path::Path;

use glam::DVec3;

use crate::read::mtl::Materials;
use crate::read::soup::{BAD_INDEX, Soup};
use crate::read::{ParseError, number};

pub(super) fn read(text: &str, path: &Path) -> Result<Soup, ParseError> {
    let data = text.as_bytes();
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut reader =
        Reader { soup: Soup::default(), folder, free_form: 0, corners: Vec::new(), materials: Materials::default() };
    let mut joined: Vec<u8> = Vec::new();
    for (number, line) in data.split(|&b| b == b'\n').enumerate() {
        let line = line.trim_ascii_end();
        if let Some(head) = line.strip_suffix(b"\\") {
            joined.extend_from_slice(head);
            joined.push(b' ');
        } else if joined.is_empty() {
            reader.line(line, number + 1)?;
        } else {
            joined.extend_from_slice(line);
            reader.line(&joined, number + 1)?;
            joined.clear();
        }
    }
    reader.line(&joined, data.split(|&b| b == b'\n').count())?;
    if reader.free_form > 0 {
        reader.soup.note(format!("{} free-form curves or surfaces ignored", reader.free_form));
    }
    let (materials, notes) = reader.materials.load();
    reader.soup.materials = materials;
    notes.into_iter().for_each(|note| reader.soup.note(note));
    Ok(reader.soup)
}

struct Reader<'a> {
    soup: Soup,
    folder: &'a Path,
    free_form: usize,
    corners: Vec<u32>,
    materials: Materials,
}

impl Reader<'_> {
    fn line(&mut self, line: &[u8], number: usize) -> Result<(), ParseError> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
        match words.next() {
            Some(b"v") => self.vertex(words, number),
            Some(b"f" | b"fo") => self.face(words),
            Some(b"l" | b"p") => {
                self.soup.lines += 1;
                Ok(())
            }
            Some(b"curv" | b"curv2" | b"surf") => {
                self.free_form += 1;
                Ok(())
            }
            Some(b"mtllib") => {
                if let Some(note) = self.materials.library(line, self.folder) {
                    self.soup.note(note);
                }
                Ok(())
            }
            Some(b"usemtl") => {
                let material = self.materials.index(line);
                self.soup.set_material(material);
                Ok(())
            }
            // Names, groups, normals, texture coordinates and comments say nothing about the surface.
            _ => Ok(()),
        }
    }

    fn vertex<'w>(&mut self, mut words: impl Iterator<Item = &'w [u8]>, line: usize) -> Result<(), ParseError> {
        let mut p = [0.0; 3];
        for coordinate in &mut p {
            let word = words.next().map(String::from_utf8_lossy);
            let word = word.ok_or_else(|| ParseError::at(line, "a vertex needs three numbers: `v x y z`"))?;
            *coordinate = number::parse(&word).ok_or_else(|| {
                ParseError::at(line, format!("a vertex needs three numbers, `v x y z`: {}", number::fault(&word)))
            })?;
        }
        self.soup.vertex(DVec3::from_array(p));
        Ok(())
    }

    fn face<'w>(&mut self, words: impl Iterator<Item = &'w [u8]>) -> Result<(), ParseError> {
        let count = self.soup.positions.len();
        self.corners.clear();
        self.corners.extend(words.take_while(|w| w[0] != b'#').map(|w| corner(w, count)));
        self.soup.polygon(self.corners.iter().copied())
    }
}

/// Index of the vertex in `v`, `v/vt`, `v//vn` or `v/vt/vn`; negative counts back from the last of `count` vertices.
fn corner(word: &[u8], count: usize) -> u32 {
    let number = word.split(|&b| b == b'/').next().unwrap_or_default();
    let index = std::str::from_utf8(number).ok().and_then(|s| s.parse::<i64>().ok());
    let index = match index {
        Some(i) if i > 0 => i - 1,
        Some(i) if i < 0 => count as i64 + i,
        _ => -1,
    };
    u32::try_from(index).unwrap_or(BAD_INDEX)
}
