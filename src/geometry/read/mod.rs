//! Mesh readers: the format follows from the content, and from the extension where the content leaves it open.

mod foreign;
mod gltf;
mod mtl;
mod number;
mod obj;
mod off;
mod ply;
mod soup;
mod stl;

use std::borrow::Cow;
use std::path::Path;

use soup::{Soup, Triangles};

use crate::mesh::MeshMaterials;
use crate::{MeshError, TriMesh};

/// A mesh file's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MeshFormat {
    /// Wavefront OBJ.
    Obj,
    /// Stanford PLY, ascii or binary.
    Ply,
    /// Stereolithography, ascii or binary.
    Stl,
    /// Object File Format with its C, N, ST and 4 prefixes.
    Off,
    /// glTF 2.0, as `.glb` or as `.gltf` with buffers embedded or beside it.
    Gltf,
}

impl MeshFormat {
    /// The format that a file name's extension stands for, in any case.
    pub fn from_extension(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?;
        Self::BY_EXTENSION.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension)).map(|(_, format)| *format)
    }

    /// The format's name as people write it: `OBJ`, `glTF`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Obj => "OBJ",
            Self::Ply => "PLY",
            Self::Stl => "STL",
            Self::Off => "OFF",
            Self::Gltf => "glTF",
        }
    }

    /// Extensions of mesh files in lower case, with their formats.
    const BY_EXTENSION: [(&str, Self); 6] = [
        ("obj", Self::Obj),
        ("ply", Self::Ply),
        ("stl", Self::Stl),
        ("off", Self::Off),
        ("glb", Self::Gltf),
        ("gltf", Self::Gltf),
    ];

    /// Extensions of mesh files, in lower case.
    pub const EXTENSIONS: [&str; 6] = {
        let mut names = [""; 6];
        let mut i = 0;
        while i < names.len() {
            names[i] = Self::BY_EXTENSION[i].0;
            i += 1;
        }
        names
    };

    /// The format that the first bytes tell; OBJ and binary STL carry no mark.
    fn sniff(data: &[u8]) -> Option<Self> {
        let start = start(data);
        let text = start.trim_ascii_start();
        let word = &text[..text.len().min(16)];
        if data.starts_with(b"glTF") || (word.starts_with(b"{") && contains(text, b"\"asset\"")) {
            Some(Self::Gltf)
        } else if start.starts_with(b"ply\n") || start.starts_with(b"ply\r") {
            Some(Self::Ply)
        } else if off::is_header(word) {
            Some(Self::Off)
        } else if stl::is_exact_binary(data) || (word.starts_with(b"solid") && contains(text, b"facet")) {
            Some(Self::Stl)
        } else {
            None
        }
    }
}

/// Bytes at the start of a file that its format is told from.
const START: usize = 1 << 16;

/// The first bytes, decoded where a byte order mark calls for it.
fn start(data: &[u8]) -> Cow<'_, [u8]> {
    // Whole units of UTF-16.
    let first = &data[..data.len().min(START) & !1];
    if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
        return nstr_files::decode_text(first.to_vec()).map_or(Cow::Borrowed(first), |t| Cow::Owned(t.into_bytes()));
    }
    Cow::Borrowed(without_mark(data))
}

/// The bytes behind a byte order mark of UTF-8.
fn without_mark(data: &[u8]) -> &[u8] {
    data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data)
}

/// All of a text file, decoded.
fn text(data: Vec<u8>) -> Result<String, ParseError> {
    nstr_files::decode_text(data).map_err(|e| ParseError::new(e.to_string()))
}

fn contains(data: &[u8], needle: &[u8]) -> bool {
    data[..data.len().min(START)].windows(needle.len()).any(|w| w == needle)
}

/// A mesh as read from a file, its materials, and notes on what was ignored.
#[derive(Clone, Debug)]
pub struct MeshFile {
    /// Triangles over the vertices that faces use; vertices at bit-equal positions (in STL: within 1e-7 of the
    /// diagonal) are one, in the file's order. Polygons are cut into triangles.
    pub mesh: TriMesh,
    /// Materials of the mesh's faces (OBJ alone); empty where the file names none.
    pub materials: MeshMaterials,
    /// The file's format, judged by content before extension.
    pub format: MeshFormat,
    /// Vertices in the file, before equal ones were merged and unused ones dropped.
    pub file_vertices: usize,
    /// Faces in the file with more than three corners.
    pub polygons: usize,
    /// Line and point elements, which carry no surface and were ignored.
    pub lines: usize,
    /// One sentence for everything ignored or skipped, with the reason: absent material files, lines, faces with bad
    /// indices.
    pub notes: Vec<String>,
}

/// Reason for which a reader gave up; [`read_mesh`] adds the file's name.
#[derive(Debug)]
pub(crate) struct ParseError {
    line: Option<usize>,
    reason: String,
}

impl ParseError {
    fn new(reason: impl Into<String>) -> Self {
        Self { line: None, reason: reason.into() }
    }

    fn at(line: usize, reason: impl Into<String>) -> Self {
        Self { line: Some(line), reason: reason.into() }
    }
}

/// Reads an OBJ, PLY, STL, OFF, GLB or glTF file.
///
/// Faces that cannot be used (fewer than three corners, an index without a vertex, a vertex that is not finite) are
/// skipped with a note. Colours, normals and texture coordinates are ignored. An absent or broken material file is a note,
/// not an error.
///
/// # Errors
/// [`MeshError`] naming the file and line or element: unreadable, unknown format, malformed or truncated, no faces.
pub fn read_mesh(path: &Path) -> Result<MeshFile, MeshError> {
    let data = nstr_files::read(path).map_err(|source| MeshError::Io { path: path.into(), action: "read", source })?;
    let unsupported = |foreign: &foreign::Foreign| MeshError::Unsupported {
        path: path.into(),
        format: foreign.name,
        remedy: foreign.remedy,
    };
    let format = match (MeshFormat::sniff(&data), foreign::by_content(&data, path)) {
        (Some(format), _) => format,
        (None, Some(foreign)) => return Err(unsupported(foreign)),
        (None, None) => MeshFormat::from_extension(path).ok_or_else(|| {
            foreign::by_extension(path).map_or_else(|| MeshError::UnknownFormat { path: path.into() }, unsupported)
        })?,
    };
    parse(data, format, path)
}

/// Reads a mesh of a known format from memory; `path` serves for messages and for files named beside it.
///
/// # Errors
/// As [`read_mesh`].
pub fn read_mesh_bytes(data: &[u8], format: MeshFormat, path: &Path) -> Result<MeshFile, MeshError> {
    parse(data.to_vec(), format, path)
}

fn parse(data: Vec<u8>, format: MeshFormat, path: &Path) -> Result<MeshFile, MeshError> {
    let read = match format {
        MeshFormat::Obj => text(data).and_then(|text| obj::read(&text, path)),
        MeshFormat::Ply => ply::read(data),
        MeshFormat::Stl => stl::read(data),
        MeshFormat::Off => text(data).and_then(|text| off::read(&text)),
        MeshFormat::Gltf => gltf::read(&data, path),
    };
    let fail = |f: ParseError| MeshError::Malformed { path: path.into(), line: f.line, reason: f.reason };
    let mut soup: Soup = read.map_err(fail)?;
    let Triangles { mesh, materials, polygons } = soup.triangles().map_err(fail)?;
    let notes = soup.notes();
    if mesh.faces.is_empty() {
        return Err(MeshError::NoFaces { path: path.into(), notes });
    }
    let materials = MeshMaterials { materials: soup.materials, faces: materials };
    Ok(MeshFile { mesh, materials, format, file_vertices: soup.positions.len(), polygons, lines: soup.lines, notes })
}

#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod tests;
