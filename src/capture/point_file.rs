//! Points on surfaces as PLY, the `ply_file_path` of nerfstudio's `transforms.json`: ASCII or binary.
//!
//! Read are `x`, `y` and `z` of the element `vertex`, whatever else the file holds after them.

use std::path::Path;

use glam::DVec3;
use nstr_files::{Budget, excerpt, read_named};

use crate::colmap::SparsePoint;
use crate::error::CaptureError;

/// Longest file that is read, in bytes: a hundred million points.
const MAX_BYTES: u64 = 4 << 30;
/// Longest header.
const MAX_HEADER: usize = 1 << 16;

/// Writes points with their colours as a binary PLY, positions as 32-bit floats.
///
/// # Errors
/// Files that cannot be written.
pub fn write_points(path: &Path, points: &[SparsePoint]) -> Result<(), CaptureError> {
    let mut bytes = format!(
        "ply\nformat binary_little_endian 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\n\
         property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n",
        points.len()
    )
    .into_bytes();
    for point in points {
        bytes.extend(point.position.as_vec3().to_array().into_iter().flat_map(f32::to_le_bytes));
        bytes.extend(point.colour);
    }
    nstr_files::write(path, &bytes).map_err(|source| CaptureError::Write { path: path.into(), source })
}

/// Reads the positions of a PLY's vertices; those that are not finite are left out.
///
/// # Errors
/// Files that cannot be read, are no PLY, are cut off, or whose first element is not `vertex` with `x`, `y` and `z`.
pub fn read_points(path: &Path) -> Result<Vec<DVec3>, CaptureError> {
    let bytes = read_named(path, &Budget::new(MAX_BYTES)).map_err(CaptureError::io(path))?;
    let mut points = parse(&bytes).map_err(|(place, reason)| CaptureError::field(path, place, reason))?;
    points.retain(|p| p.is_finite());
    Ok(points)
}

/// A complaint: place and reason.
type Fault = (String, String);

/// Storage of a number: its size in bytes, and how its bytes are read.
#[derive(Clone, Copy)]
enum Scalar {
    /// Skipped, except as a number of text.
    Integer(usize),
    Float,
    Double,
}

impl Scalar {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "char" | "uchar" | "int8" | "uint8" => Self::Integer(1),
            "short" | "ushort" | "int16" | "uint16" => Self::Integer(2),
            "int" | "uint" | "int32" | "uint32" => Self::Integer(4),
            "float" | "float32" => Self::Float,
            "double" | "float64" => Self::Double,
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Self::Integer(size) => size,
            Self::Float => 4,
            Self::Double => 8,
        }
    }

    /// The number in `bytes`, which has its size; `None` for integers.
    fn read(self, bytes: &[u8], is_big: bool) -> Option<f64> {
        match self {
            Self::Integer(_) => None,
            Self::Float => {
                let bytes = bytes.try_into().ok()?;
                Some(f64::from(if is_big { f32::from_be_bytes(bytes) } else { f32::from_le_bytes(bytes) }))
            }
            Self::Double => {
                let bytes = bytes.try_into().ok()?;
                Some(if is_big { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) })
            }
        }
    }
}

/// Layout of the vertices.
struct Header {
    format: String,
    count: usize,
    properties: Vec<Scalar>,
    /// Places of x, y and z among the properties.
    axes: [usize; 3],
}

fn parse(bytes: &[u8]) -> Result<Vec<DVec3>, Fault> {
    let fault = |place: &str, reason: String| (place.to_string(), reason);
    let start = &bytes[..bytes.len().min(MAX_HEADER)];
    let end = start.windows(10).position(|w| w == b"end_header");
    let end = end.filter(|_| bytes.starts_with(b"ply"));
    let end = end.ok_or_else(|| fault("header", "not a PLY file; expected ply … end_header".into()))?;
    let text = String::from_utf8_lossy(&bytes[..end]);
    let header = header(&text).map_err(|reason| fault("header", reason))?;
    let line = bytes[end..].iter().position(|b| *b == b'\n');
    let body = line.map_or(&[][..], |at| &bytes[end + at + 1..]);
    if header.format == "ascii" {
        return ascii(&header, &String::from_utf8_lossy(body));
    }
    let offsets: Vec<usize> = header
        .properties
        .iter()
        .scan(0, |at, p| {
            *at += p.size();
            Some(*at - p.size())
        })
        .collect();
    let stride: usize = header.properties.iter().map(|p| p.size()).sum();
    if header.count > body.len() / stride.max(1) {
        let reason = format!("{} do not fit in the file: it is cut off", header.count);
        return Err(fault("vertices", reason));
    }
    let is_big = header.format == "binary_big_endian";
    let point = |row: &[u8]| {
        let value = |axis: usize| {
            let at = header.axes[axis];
            let scalar = header.properties[at];
            scalar.read(&row[offsets[at]..offsets[at] + scalar.size()], is_big).unwrap_or(f64::NAN)
        };
        DVec3::new(value(0), value(1), value(2))
    };
    Ok(body.chunks_exact(stride).take(header.count).map(point).collect())
}

fn header(text: &str) -> Result<Header, String> {
    let mut format = None;
    let (mut count, mut properties, mut names) = (None, Vec::new(), Vec::new());
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["format", name @ ("ascii" | "binary_little_endian" | "binary_big_endian"), _] => format = Some(name),
            ["element", "vertex", number] if count.is_none() => {
                let number: Result<usize, _> = number.parse();
                count = Some(number.map_err(|_| "the number of vertices is not a whole number".to_string())?);
            }
            ["element", ..] if count.is_some() => break,
            ["element", name, ..] => return Err(format!("the first element is {}; expected vertex", excerpt(name))),
            ["property", kind, name] if count.is_some() => {
                let scalar = Scalar::of(kind).ok_or_else(|| format!("type {} is unknown", excerpt(kind)))?;
                properties.push(scalar);
                names.push(name);
            }
            ["property", "list", ..] => return Err("vertices with lists are not supported".into()),
            _ => {}
        }
    }
    let format = format.ok_or("no format; expected ascii, binary_little_endian or binary_big_endian")?;
    let count = count.ok_or("there is no element vertex")?;
    let place = |axis: &str| {
        let at = names.iter().position(|n| *n == axis);
        at.filter(|at| !matches!(properties[*at], Scalar::Integer(_)))
            .ok_or_else(|| format!("vertices have no {axis} of type float or double"))
    };
    let axes = [place("x")?, place("y")?, place("z")?];
    Ok(Header { format: format.into(), count, properties, axes })
}

fn ascii(header: &Header, body: &str) -> Result<Vec<DVec3>, Fault> {
    let mut points = Vec::new();
    let mut lines = body.lines().filter(|line| !line.trim().is_empty());
    for i in 0..header.count {
        let line = lines.next().ok_or_else(|| {
            ("vertices".to_string(), format!("{i} lines for {} of them: the file is cut off", header.count))
        })?;
        let words: Vec<&str> = line.split_whitespace().take(header.properties.len()).collect();
        let value = |axis: usize| {
            let word = words.get(header.axes[axis]).copied().unwrap_or_default();
            let reason = || (format!("vertex {i}"), format!("{} is not a number", excerpt(word)));
            word.parse::<f64>().map_err(|_| reason())
        };
        points.push(DVec3::new(value(0)?, value(1)?, value(2)?));
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: f64, y: f64, z: f64) -> SparsePoint {
        SparsePoint { position: DVec3::new(x, y, z), colour: [1, 2, 3], error: None, images: vec![1, 2] }
    }

    #[test]
    fn written_points_are_read_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("points.ply");
        write_points(&path, &[point(1.5, -2.0, 0.25), point(f64::NAN, 0.0, 0.0), point(1e6, 0.0, -1.0)]).unwrap();
        assert_eq!(read_points(&path).unwrap(), [DVec3::new(1.5, -2.0, 0.25), DVec3::new(1e6, 0.0, -1.0)]);
        write_points(&path, &[]).unwrap();
        assert!(read_points(&path).unwrap().is_empty());
    }

    #[test]
    fn every_encoding_is_read() {
        let wanted = [DVec3::new(1.0, 2.0, 3.0), DVec3::new(-4.0, 0.5, 6.0)];
        let head = |format: &str| {
            format!(
                "ply\r\nformat {format} 1.0\ncomment x\nelement vertex 2\nproperty uchar red\nproperty double z\n\
                 property float y\nproperty double x\nelement face 7\nproperty list uchar int vertex_indices\nend_header\n"
            )
        };
        let ascii = head("ascii") + "7 3 2 1\n\n7 6 0.5 -4\n3 0 1 2\n";
        assert_eq!(parse(ascii.as_bytes()).unwrap(), wanted);
        let mut big = head("binary_big_endian").into_bytes();
        for p in wanted {
            big.push(7);
            big.extend(p.z.to_be_bytes());
            big.extend((p.y as f32).to_be_bytes());
            big.extend(p.x.to_be_bytes());
        }
        assert_eq!(parse(&big).unwrap(), wanted);
        big.pop();
        assert!(parse(&big).unwrap_err().1.contains("cut off"));
        let short = head("ascii") + "7 3 2 1\n";
        assert!(parse(short.as_bytes()).unwrap_err().1.contains("cut off"));
        let word = head("ascii") + "7 3 2 1\n7 six 0.5 -4\n";
        assert_eq!(parse(word.as_bytes()).unwrap_err(), ("vertex 1".into(), "six is not a number".into()));
    }

    #[test]
    fn other_files_are_refused() {
        for (text, word) in [
            ("", "not a PLY"),
            ("ply\nelement vertex 1\n", "not a PLY"),
            ("ply\nformat ascii 1.0\nelement face 1\nend_header\n", "expected vertex"),
            ("ply\nformat ascii 1.0\nelement vertex 1\nproperty int x\nproperty float y\nend_header\n", "no x"),
            ("ply\nelement vertex 1\nend_header\n", "no format"),
            ("ply\nformat ascii 1.0\nelement vertex many\nend_header\n", "whole number"),
            ("ply\nformat ascii 1.0\nelement vertex 1\nproperty list uchar int x\nend_header\n", "lists"),
        ] {
            let said = parse(text.as_bytes()).unwrap_err().1;
            assert!(said.contains(word), "{said}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_points_or_a_fault(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80), count in 0u64..=u64::MAX) {
            for format in ["ascii", "binary_little_endian"] {
                let mut text = format!("ply\nformat {format} 1.0\nelement vertex {count}\nproperty float x\n\
                    property float y\nproperty float z\nend_header\n").into_bytes();
                text.extend(&bytes);
                let _ = parse(&text);
            }
            let _ = parse(&bytes);
        }
    }
}
