//! PLY, ascii and binary of either byte order, through `ply-rs-bw`.

use std::io::{BufRead, Read};
use std::path::Path;

use glam::DVec3;
use ply_rs_bw::parser::{ParseError as PlyError, Parser, Reader};
use ply_rs_bw::ply::{ElementDef, Encoding, Property, PropertyAccess, PropertyAccessResult, PropertyType, ScalarType};

use crate::read::ParseError;
use crate::read::soup::{BAD_INDEX, Soup};

/// A row of the `vertex` element.
struct VertexRow(DVec3);

/// A row of `face` or `tristrips`: its vertex indices.
struct ListRow(Vec<u32>);

/// A row of anything else.
struct OtherRow;

impl PropertyAccess for VertexRow {
    fn new() -> Self {
        Self(DVec3::NAN)
    }

    fn set_property(&mut self, name: &str, value: Property) -> PropertyAccessResult {
        let axis = match name {
            "x" => &mut self.0.x,
            "y" => &mut self.0.y,
            "z" => &mut self.0.z,
            _ => return PropertyAccessResult::Ignored,
        };
        *axis = match value {
            Property::Char(v) => v.into(),
            Property::UChar(v) => v.into(),
            Property::Short(v) => v.into(),
            Property::UShort(v) => v.into(),
            Property::Int(v) => v.into(),
            Property::UInt(v) => v.into(),
            Property::Float(v) => v.into(),
            Property::Double(v) => v,
            _ => return PropertyAccessResult::UnsupportedType,
        };
        PropertyAccessResult::Set
    }
}

impl PropertyAccess for ListRow {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn set_property(&mut self, name: &str, value: Property) -> PropertyAccessResult {
        if !matches!(name, "vertex_indices" | "vertex_index") {
            return PropertyAccessResult::Ignored;
        }
        fn indices<T: TryInto<u32>>(list: Vec<T>) -> Vec<u32> {
            list.into_iter().map(|v| v.try_into().unwrap_or(BAD_INDEX)).collect()
        }
        self.0 = match value {
            Property::ListChar(v) => indices(v),
            Property::ListUChar(v) => indices(v),
            Property::ListShort(v) => indices(v),
            Property::ListUShort(v) => indices(v),
            Property::ListInt(v) => indices(v),
            Property::ListUInt(v) => indices(v),
            _ => return PropertyAccessResult::UnsupportedType,
        };
        PropertyAccessResult::Set
    }
}

impl PropertyAccess for OtherRow {
    fn new() -> Self {
        Self
    }
}

pub(super) fn read(data: &[u8], _path: &Path) -> Result<Soup, ParseError> {
    let (head, body) = split_header(data)?;
    let parser = Parser::<VertexRow>::new();
    let mut reader = Reader::new(head.as_slice().chain(body));
    let header = parser.read_header(&mut reader).map_err(parse_error)?;
    check_sizes(header.elements.values(), header.encoding, body.len())?;
    let mut soup = Soup::default();
    for element in header.elements.values() {
        // Rows without properties hold nothing, and in binary files take no bytes to bound their number.
        if element.properties.is_empty() {
            continue;
        }
        match element.name.as_str() {
            "vertex" => {
                for axis in ["x", "y", "z"] {
                    if !element.properties.contains_key(axis) {
                        return Err(ParseError::new(format!("element vertex has no property {axis}")));
                    }
                }
                let rows = parser.read_payload_for_element(&mut reader, element, &header).map_err(parse_error)?;
                soup.positions.extend(rows.iter().map(|r| r.0));
            }
            "face" => lists(&mut reader, element, &header)?.iter().try_for_each(|l| soup.polygon(l.iter().copied()))?,
            "tristrips" => lists(&mut reader, element, &header)?.iter().try_for_each(|l| strip(l, &mut soup))?,
            _ => {
                Parser::<OtherRow>::new()
                    .read_payload_for_element(&mut reader, element, &header)
                    .map_err(parse_error)?;
            }
        }
    }
    Ok(soup)
}

fn lists<T: BufRead>(
    reader: &mut Reader<T>,
    element: &ElementDef,
    header: &ply_rs_bw::ply::Header,
) -> Result<Vec<Vec<u32>>, ParseError> {
    if !element.properties.contains_key("vertex_indices") && !element.properties.contains_key("vertex_index") {
        return Err(ParseError::new(format!("element {} has no list vertex_indices", element.name)));
    }
    let rows = Parser::<ListRow>::new().read_payload_for_element(reader, element, header).map_err(parse_error)?;
    Ok(rows.into_iter().map(|r| r.0).collect())
}

/// Strips of triangles that share edges; −1 starts a new strip.
fn strip(list: &[u32], soup: &mut Soup) -> Result<(), ParseError> {
    for part in list.split(|&v| v == BAD_INDEX) {
        for (i, w) in part.windows(3).enumerate() {
            let t = if i % 2 == 0 { [w[0], w[1], w[2]] } else { [w[1], w[0], w[2]] };
            // Strips repeat vertices to turn corners; such triangles were never meant.
            if t[0] != t[1] && t[1] != t[2] && t[0] != t[2] {
                soup.polygon(t)?;
            }
        }
    }
    Ok(())
}

/// The header, with bytes that are not ASCII (file names in comments) replaced, and what follows it.
fn split_header(data: &[u8]) -> Result<(Vec<u8>, &[u8]), ParseError> {
    let mut at = 0;
    for line in data.split_inclusive(|&b| b == b'\n') {
        at += line.len();
        if line.trim_ascii() == b"end_header" {
            let head = data[..at].iter().map(|&b| if b.is_ascii() { b } else { b'?' }).collect();
            return Ok((head, &data[at..]));
        }
    }
    Err(ParseError::new("the PLY header has no line `end_header`; the file is truncated or not a PLY file"))
}

/// Counts come from the file: refuse those that its length cannot hold before reserving memory for them.
fn check_sizes<'a>(
    elements: impl Iterator<Item = &'a ElementDef>,
    encoding: Encoding,
    size: usize,
) -> Result<(), ParseError> {
    let mut least = 0u64;
    for element in elements {
        let row: u64 = match encoding {
            Encoding::Ascii => 2 * element.properties.len() as u64,
            _ => element.properties.values().map(|p| least_bytes(&p.data_type)).sum(),
        };
        least = least.saturating_add(row.saturating_mul(element.count as u64));
        // The last line of a text file may lack its line end.
        if least > size as u64 + 1 {
            let (name, count) = (&element.name, element.count);
            return Err(ParseError::new(format!(
                "truncated or wrong counts: {count} rows of element {name} cannot fit in the {size} bytes after the header"
            )));
        }
    }
    Ok(())
}

fn least_bytes(kind: &PropertyType) -> u64 {
    let (PropertyType::Scalar(t) | PropertyType::List(t, _)) = kind;
    match t {
        ScalarType::Char | ScalarType::UChar => 1,
        ScalarType::Short | ScalarType::UShort => 2,
        ScalarType::Int | ScalarType::UInt | ScalarType::Float => 4,
        ScalarType::Double => 8,
    }
}

fn parse_error(e: PlyError) -> ParseError {
    // Messages of the parser run over several lines; the first one says it.
    let text = e.to_string();
    let first = text.lines().next().unwrap_or_default();
    let reason = first.strip_prefix(&format!("Line {}: ", e.line().unwrap_or(0))).unwrap_or(first);
    ParseError { line: e.line(), reason: reason.chars().take(200).collect() }
}
