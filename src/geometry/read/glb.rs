//! glTF 2.0: `.glb`, and `.gltf` with buffers embedded as base64 or in files beside it.
//!
//! The `gltf` crate reads and checks the document. Accessors are read here, because its own iterators index out of
//! bounds on files whose buffers are shorter than they claim.

use std::path::Path;

use glam::{DMat4, DVec3, Mat4};
use gltf::accessor::{DataType, Dimensions};
use gltf::mesh::Mode;

use crate::read::ParseError;
use crate::read::soup::{BAD_INDEX, Soup};

pub(super) fn read(data: &[u8], path: &Path) -> Result<Soup, ParseError> {
    let (json, blob) = if data.starts_with(b"glTF") { chunks(data)? } else { (data, None) };
    let document =
        gltf::Gltf::from_slice(json).map_err(|e| ParseError::new(format!("not a usable glTF document: {e}")))?;
    let buffers = document.buffers().map(|b| buffer(&b, blob, path)).collect::<Result<Vec<_>, _>>()?;
    let mut walk = Walk { soup: Soup::default(), buffers, seen: vec![false; document.nodes().len()], skins: false };
    let scene = document.default_scene().or_else(|| document.scenes().next());
    match scene {
        Some(scene) => walk.nodes(scene.nodes().collect())?,
        // A file without scenes is a library of meshes: take each as it stands.
        None => document.meshes().try_for_each(|m| walk.mesh(&m, DMat4::IDENTITY))?,
    }
    if walk.skins {
        walk.soup.note("skinned meshes are taken in their rest pose, without their skeleton");
    }
    Ok(walk.soup)
}

/// The JSON chunk and, if there, the binary chunk of a `.glb` file.
fn chunks(data: &[u8]) -> Result<(&[u8], Option<&[u8]>), ParseError> {
    let word = |at: usize| data.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    if word(4) != Some(2) {
        return Err(ParseError::new("only version 2 of binary glTF is supported; export the model again as glTF 2.0"));
    }
    let (mut at, mut json, mut bin) = (12, None, None);
    while let (Some(length), Some(kind)) = (word(at), word(at + 4)) {
        let body = data[at + 8..].get(..length as usize);
        let body =
            body.ok_or_else(|| ParseError::new(format!("truncated: a chunk claims {length} bytes, more are missing")))?;
        match kind {
            0x4E4F_534A => json = json.or(Some(body)),
            0x004E_4942 => bin = bin.or(Some(body)),
            _ => {}
        }
        at += 8 + length as usize;
    }
    Ok((json.ok_or_else(|| ParseError::new("truncated: no JSON chunk"))?, bin))
}

fn buffer(buffer: &gltf::Buffer<'_>, blob: Option<&[u8]>, path: &Path) -> Result<Vec<u8>, ParseError> {
    let number = buffer.index();
    let bytes = match buffer.source() {
        gltf::buffer::Source::Bin => blob.ok_or_else(|| ParseError::new("the binary chunk is missing"))?.to_vec(),
        gltf::buffer::Source::Uri(uri) => match uri.strip_prefix("data:") {
            Some(rest) => {
                let text =
                    rest.split_once(";base64,").ok_or_else(|| ParseError::new("an embedded buffer is not base64"))?.1;
                base64(text.as_bytes())
                    .ok_or_else(|| ParseError::new(format!("buffer {number} is not valid base64")))?
            }
            None => {
                let file = path.parent().unwrap_or(Path::new("")).join(percent_decode(uri));
                std::fs::read(&file)
                    .map_err(|e| ParseError::new(format!("its buffer {} is missing: {e}", file.display())))?
            }
        },
    };
    if bytes.len() < buffer.length() {
        let reason = format!("truncated: buffer {number} has {} of {} bytes", bytes.len(), buffer.length());
        return Err(ParseError::new(reason));
    }
    Ok(bytes)
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for &c in text.trim_ascii_end().iter().take_while(|&&c| c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

fn percent_decode(uri: &str) -> String {
    let (mut out, bytes, mut i) = (Vec::new(), uri.as_bytes(), 0);
    while i < bytes.len() {
        let code = bytes.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        match code {
            Some(code) if bytes[i] == b'%' => {
                out.push(code);
                i += 3;
            }
            _ => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

struct Walk {
    soup: Soup,
    buffers: Vec<Vec<u8>>,
    /// Nodes form trees by the format's rules; one met twice is a cycle or an instance that the rules forbid.
    seen: Vec<bool>,
    skins: bool,
}

impl Walk {
    /// Visits trees of nodes, on a stack of our own: files may nest deeper than the thread's.
    fn nodes(&mut self, roots: Vec<gltf::Node<'_>>) -> Result<(), ParseError> {
        let mut stack: Vec<_> = roots.into_iter().rev().map(|n| (n, DMat4::IDENTITY)).collect();
        while let Some((node, parent)) = stack.pop() {
            if std::mem::replace(&mut self.seen[node.index()], true) {
                return Err(ParseError::new(format!("node {} has two parents or is its own ancestor", node.index())));
            }
            let world = parent * Mat4::from_cols_array_2d(&node.transform().matrix()).as_dmat4();
            if let Some(mesh) = node.mesh() {
                self.skins |= node.skin().is_some();
                self.mesh(&mesh, world)?;
            }
            let first = stack.len();
            stack.extend(node.children().map(|c| (c, world)));
            stack[first..].reverse();
        }
        Ok(())
    }

    fn mesh(&mut self, mesh: &gltf::Mesh<'_>, world: DMat4) -> Result<(), ParseError> {
        for primitive in mesh.primitives() {
            let mode = primitive.mode();
            if !matches!(mode, Mode::Triangles | Mode::TriangleStrip | Mode::TriangleFan) {
                self.soup.lines += 1;
                continue;
            }
            self.primitive(&primitive, world).map_err(|f| {
                ParseError::new(format!("mesh {} primitive {}: {}", mesh.index(), primitive.index(), f.reason))
            })?;
        }
        Ok(())
    }

    fn primitive(&mut self, primitive: &gltf::Primitive<'_>, world: DMat4) -> Result<(), ParseError> {
        let positions =
            primitive.get(&gltf::Semantic::Positions).ok_or_else(|| ParseError::new("no POSITION attribute"))?;
        if (positions.data_type(), positions.dimensions()) != (DataType::F32, Dimensions::Vec3) {
            return Err(ParseError::new("POSITION is not three 32-bit floats; export without quantisation"));
        }
        let first = self.soup.positions.len();
        let count = positions.count();
        for item in items(&positions, &self.buffers)? {
            let number = |k: usize| f64::from(f32::from_le_bytes([item[k], item[k + 1], item[k + 2], item[k + 3]]));
            self.soup.vertex(world.transform_point3(DVec3::new(number(0), number(4), number(8))));
        }
        let local: Vec<u32> = match primitive.indices() {
            Some(accessor) => indices(&accessor, &self.buffers)?,
            None => (0..count as u32).collect(),
        };
        let global = |v: u32| if (v as usize) < count { (first + v as usize) as u32 } else { BAD_INDEX };
        let flip = world.determinant() < 0.0;
        let mut push = |[a, b, c]: [u32; 3]| {
            let t = if flip { [a, c, b] } else { [a, b, c] };
            self.soup.polygon(t.map(global))
        };
        match primitive.mode() {
            Mode::TriangleStrip => (2..local.len()).try_for_each(|i| {
                let (a, b) = if i % 2 == 0 { (i - 2, i - 1) } else { (i - 1, i - 2) };
                push([local[a], local[b], local[i]])
            }),
            Mode::TriangleFan => (2..local.len()).try_for_each(|i| push([local[0], local[i - 1], local[i]])),
            _ => local.chunks_exact(3).try_for_each(|t| push([t[0], t[1], t[2]])),
        }
    }
}

/// The bytes of each item of an accessor, checked against view and buffer.
fn items<'b>(
    accessor: &gltf::Accessor<'_>,
    buffers: &'b [Vec<u8>],
) -> Result<impl Iterator<Item = &'b [u8]>, ParseError> {
    if accessor.sparse().is_some() {
        return Err(ParseError::new("sparse accessors are not supported; export the model without them"));
    }
    let view = accessor.view().ok_or_else(|| {
        ParseError::new("an accessor has no data (compressed with Draco or meshopt?); export uncompressed")
    })?;
    let whole = &buffers[view.buffer().index()];
    let end = view.offset().checked_add(view.length());
    let bytes = end.and_then(|end| whole.get(view.offset()..end)).and_then(|v| v.get(accessor.offset()..));
    let bytes = bytes.ok_or_else(|| ParseError::new("a buffer view reaches past its buffer"))?;
    let (size, count) = (accessor.size(), accessor.count());
    let stride = view.stride().unwrap_or(size).max(1);
    let needed = count.checked_sub(1).and_then(|n| n.checked_mul(stride)).and_then(|n| n.checked_add(size));
    if count > 0 && needed.is_none_or(|n| n > bytes.len()) {
        return Err(ParseError::new(format!(
            "an accessor claims {count} items, more than its {} bytes hold",
            bytes.len()
        )));
    }
    Ok((0..count).map(move |i| &bytes[i * stride..i * stride + size]))
}

fn indices(accessor: &gltf::Accessor<'_>, buffers: &[Vec<u8>]) -> Result<Vec<u32>, ParseError> {
    if accessor.dimensions() != Dimensions::Scalar {
        return Err(ParseError::new("indices are not scalars"));
    }
    let list = items(accessor, buffers)?;
    match accessor.data_type() {
        DataType::U8 => Ok(list.map(|b| u32::from(b[0])).collect()),
        DataType::U16 => Ok(list.map(|b| u32::from(u16::from_le_bytes([b[0], b[1]]))).collect()),
        DataType::U32 => Ok(list.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()),
        other => Err(ParseError::new(format!("indices of type {other:?}; use unsigned integers"))),
    }
}
