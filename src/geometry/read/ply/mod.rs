//! PLY, ascii and binary of either byte order.
//!
//! An own reader: the parser crate knows headers of one kind of line end alone, takes text by lines and no spelling of NaN
//! but Rust's, and makes an allocation for every row.

mod header;
mod values;

use glam::DVec3;

use crate::read::soup::{BAD_INDEX, Soup};
use crate::read::{ParseError, text};
use header::{Element, Encoding, Header, Kind};
use values::{Binary, Text, Values};

pub(super) fn read(mut data: Vec<u8>) -> Result<Soup, ParseError> {
    // UTF-16, which the decoder reads with a mark and names without.
    let starts = [&b"\xff\xfe"[..], b"\xfe\xff", b"p\0l\0y\0", b"\0p\0l\0y"];
    if starts.iter().any(|start| data.starts_with(start)) {
        data = text(data)?.into_bytes();
    }
    let (header, start) = Header::parse(&data)?;
    header.check_sizes(data.len() - start)?;
    if header.encoding == Encoding::Ascii {
        data.drain(..start);
        let body = text(data)?;
        let mut values = Text::new(&body, header.lines);
        let soup = rows(&header, &mut values)?;
        values.finish()?;
        Ok(soup)
    } else {
        rows(&header, &mut Binary::new(&data[start..], header.encoding == Encoding::Big))
    }
}

fn rows(header: &Header, values: &mut impl Values) -> Result<Soup, ParseError> {
    let mut soup = Soup::default();
    for element in &header.elements {
        // Rows without properties hold nothing, and in binary files take no bytes to bound their number.
        if element.properties.is_empty() {
            continue;
        }
        match element.name.as_str() {
            "vertex" => vertices(element, values, &mut soup)?,
            "face" => lists(element, values, |list| soup.polygon(list.iter().copied()))?,
            "tristrips" => lists(element, values, |list| strip(list, &mut soup))?,
            _ => lists_of(element, None, values, |_| Ok(()))?,
        }
    }
    Ok(soup)
}

fn vertices(element: &Element, values: &mut impl Values, soup: &mut Soup) -> Result<(), ParseError> {
    let mut axes = vec![None; element.properties.len()];
    for (axis, name) in ["x", "y", "z"].into_iter().enumerate() {
        let at =
            element.scalar(name).ok_or_else(|| ParseError::new(format!("element vertex has no property {name}")))?;
        axes[at] = Some(axis);
    }
    for row in 0..element.count {
        let mut p = [f64::NAN; 3];
        for (property, axis) in element.properties.iter().zip(&axes) {
            match property.kind {
                Kind::Scalar(scalar) => {
                    let value = values.next(scalar, (element, row))?;
                    if let Some(axis) = axis {
                        p[*axis] = value;
                    }
                }
                Kind::List(count, item) => {
                    (0..length(values, count, (element, row))?)
                        .try_for_each(|_| values.next(item, (element, row)).map(|_| ()))?;
                }
            }
        }
        soup.vertex(DVec3::from_array(p));
    }
    Ok(())
}

/// Gives the vertex indices of each row to `each`.
fn lists(
    element: &Element,
    values: &mut impl Values,
    each: impl FnMut(&[u32]) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    let at = element
        .list("vertex_indices")
        .or_else(|| element.list("vertex_index"))
        .ok_or_else(|| ParseError::new(format!("element {} has no list vertex_indices", element.name)))?;
    lists_of(element, Some(at), values, each)
}

/// Reads all rows and gives the indices in the list property `at`, where there is one, to `each`.
fn lists_of(
    element: &Element,
    at: Option<usize>,
    values: &mut impl Values,
    mut each: impl FnMut(&[u32]) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    let mut list = Vec::new();
    for row in 0..element.count {
        list.clear();
        for (i, property) in element.properties.iter().enumerate() {
            match property.kind {
                Kind::Scalar(scalar) => _ = values.next(scalar, (element, row))?,
                Kind::List(count, item) => {
                    for _ in 0..length(values, count, (element, row))? {
                        let value = values.next(item, (element, row))?;
                        if Some(i) == at {
                            list.push(index(value));
                        }
                    }
                }
            }
        }
        if at.is_some() {
            each(&list)?;
        }
    }
    Ok(())
}

/// Length of a list; it is not trusted: items are read one by one until the data end.
fn length(values: &mut impl Values, count: header::Scalar, place: values::Place<'_>) -> Result<u64, ParseError> {
    let value = values.next(count, place)?;
    if value >= 0.0 && value.fract() == 0.0 {
        return Ok(value as u64);
    }
    Err(values.fault(place, &format!("a list of {value} items")))
}

fn index(value: f64) -> u32 {
    if value >= 0.0 && value < f64::from(BAD_INDEX) && value.fract() == 0.0 { value as u32 } else { BAD_INDEX }
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
