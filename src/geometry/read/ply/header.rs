//! Headers of PLY files, with line ends of any kind, also before binary data.

use nstr_files::excerpt;

use crate::read::{ParseError, without_mark};

/// Storage of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Ascii,
    Little,
    Big,
}

/// Type of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Scalar {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "char" | "int8" => Self::I8,
            "uchar" | "uint8" => Self::U8,
            "short" | "int16" => Self::I16,
            "ushort" | "uint16" => Self::U16,
            "int" | "int32" => Self::I32,
            "uint" | "uint32" => Self::U32,
            "float" | "float32" => Self::F32,
            "double" | "float64" => Self::F64,
            _ => return None,
        })
    }

    /// Bytes in binary files.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Values of a property in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar(Scalar),
    /// Types of the list's length and of its items.
    List(Scalar, Scalar),
}

pub(super) struct Property {
    pub name: String,
    pub kind: Kind,
}

pub(super) struct Element {
    pub name: String,
    /// Rows; bounded by [`Header::check_sizes`].
    pub count: u64,
    pub properties: Vec<Property>,
}

impl Element {
    /// Place of the property of this name that is one number.
    pub fn scalar(&self, name: &str) -> Option<usize> {
        self.properties.iter().position(|p| p.name == name && matches!(p.kind, Kind::Scalar(_)))
    }

    /// Place of the property of this name that is a list.
    pub fn list(&self, name: &str) -> Option<usize> {
        self.properties.iter().position(|p| p.name == name && matches!(p.kind, Kind::List(..)))
    }
}

pub(super) struct Header {
    pub encoding: Encoding,
    pub elements: Vec<Element>,
    /// Lines of the header.
    pub lines: usize,
}

impl Header {
    /// The header, and where in `data` the values begin.
    pub fn parse(data: &[u8]) -> Result<(Self, usize), ParseError> {
        let text = without_mark(data);
        let before = data.len() - text.len();
        // The first line end tells how all lines of the header end: after a lone CR, an LF would belong to the values.
        let first = text.iter().position(|b| matches!(b, b'\r' | b'\n'));
        let lone = first.is_some_and(|at| text[at] == b'\r' && text.get(at + 1) != Some(&b'\n'));
        let end = if lone { b'\r' } else { b'\n' };
        let mut header = Self { encoding: Encoding::Ascii, elements: Vec::new(), lines: 0 };
        let mut at = 0;
        for line in text.split_inclusive(|&b| b == end) {
            at += line.len();
            header.lines += 1;
            let is_whole = line.last() == Some(&end);
            // Names of files in comments may be in any encoding.
            let line = String::from_utf8_lossy(line);
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            if words.first() == Some(&"end_header") {
                return Ok((header, before + at));
            }
            if !is_whole {
                break;
            }
            header.line(&words)?;
        }
        Err(ParseError::new("the PLY header has no line `end_header`; the file is truncated or not a PLY file"))
    }

    fn line(&mut self, words: &[&str]) -> Result<(), ParseError> {
        let line = self.lines;
        let fault = || ParseError::at(line, format!("not a line of a PLY header: `{}`", excerpt(&words.join(" "))));
        let scalar = |name: &str| Scalar::of(name).ok_or_else(fault);
        match *words {
            ["ply"] if line == 1 => {}
            _ if line == 1 => return Err(ParseError::at(1, "a PLY file begins with a line `ply`")),
            [] | ["comment" | "obj_info", ..] => {}
            ["format", encoding, ..] => {
                self.encoding = match encoding {
                    "ascii" => Encoding::Ascii,
                    "binary_little_endian" => Encoding::Little,
                    "binary_big_endian" => Encoding::Big,
                    _ => return Err(fault()),
                };
            }
            ["element", name, count, ..] => {
                let count = count.parse().map_err(|_| fault())?;
                self.elements.push(Element { name: name.into(), count, properties: Vec::new() });
            }
            ["property", "list", count, item, name, ..] => {
                let kind = Kind::List(scalar(count)?, scalar(item)?);
                self.property(name, kind).ok_or_else(fault)?;
            }
            ["property", kind, name, ..] => {
                let kind = Kind::Scalar(scalar(kind)?);
                self.property(name, kind).ok_or_else(fault)?;
            }
            _ => return Err(fault()),
        }
        Ok(())
    }

    fn property(&mut self, name: &str, kind: Kind) -> Option<()> {
        self.elements.last_mut()?.properties.push(Property { name: name.into(), kind });
        Some(())
    }

    /// Counts come from the file: refuses those that the `size` bytes after the header cannot hold.
    pub fn check_sizes(&self, size: usize) -> Result<(), ParseError> {
        let mut least = 0u64;
        for element in &self.elements {
            let bytes = |kind: Kind| match (self.encoding, kind) {
                // A digit and what divides it from the next.
                (Encoding::Ascii, _) => 2,
                (_, Kind::Scalar(scalar) | Kind::List(scalar, _)) => scalar.size() as u64,
            };
            let row: u64 = element.properties.iter().map(|p| bytes(p.kind)).sum();
            least = least.saturating_add(row.saturating_mul(element.count));
            // The last line of a text file may lack its line end.
            if least > size as u64 + 1 {
                let (name, count) = (excerpt(&element.name), element.count);
                return Err(ParseError::new(format!(
                    "truncated or wrong counts: {count} rows of element {name} cannot fit in the {size} bytes after the \
                     header; save the mesh again"
                )));
            }
        }
        Ok(())
    }
}
