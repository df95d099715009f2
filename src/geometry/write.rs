//! Mesh writers: OBJ, binary PLY, binary STL, GLB. The file appears whole or not at all.

use std::io::{self, Write};
use std::path::Path;

use glam::{DVec3, Vec3};

use crate::{MeshError, MeshFormat, TriMesh};

/// A mesh with optional normals and colours at its vertices.
#[derive(Clone, Copy)]
struct Content<'a> {
    mesh: &'a TriMesh,
    normals: Option<&'a [Vec3]>,
    colors: Option<&'a [[u8; 3]]>,
}

/// Writes a mesh in the format that the extension of `path` names (`.obj`, `.ply`, `.stl`, `.glb`).
///
/// `normals` (unit length) and `colors` (8-bit sRGB) hold one entry a vertex and are left out where the format has no
/// place for them (STL: both). OBJ keeps positions in full precision and colours as the common `v x y z r g b`; the
/// others store 32-bit floats. The content goes to a temporary file in the same folder that is then renamed, so a
/// failure leaves what was there before.
///
/// # Errors
/// [`MeshError`] naming the file: unknown extension, wrong numbers of normals or colours, no faces, or an I/O error.
pub fn write_mesh(
    path: &Path,
    mesh: &TriMesh,
    normals: Option<&[Vec3]>,
    colors: Option<&[[u8; 3]]>,
) -> Result<(), MeshError> {
    let refuse = |reason: String| MeshError::Unwritable { path: path.into(), reason };
    let count = mesh.positions.len();
    for (what, length) in [("normals", normals.map(<[_]>::len)), ("colours", colors.map(<[_]>::len))] {
        if length.is_some_and(|n| n != count) {
            return Err(refuse(format!("{} {what} for {count} vertices", length.unwrap_or(0))));
        }
    }
    if mesh.faces.is_empty() {
        return Err(refuse("the mesh has no faces".into()));
    }
    if mesh.faces.iter().flatten().any(|&v| v as usize >= count) {
        return Err(refuse("a face names a vertex that the mesh does not have".into()));
    }
    let content = Content { mesh, normals, colors };
    let write = match MeshFormat::from_extension(path) {
        Some(MeshFormat::Obj) => obj,
        Some(MeshFormat::Ply) => ply,
        Some(MeshFormat::Stl) => stl,
        Some(MeshFormat::Gltf) if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("glb")) => glb,
        _ => return Err(refuse("meshes are written as .obj, .ply, .stl or .glb; choose one of these endings".into())),
    };
    nstr_files::write_with(path, |out| write(out, content)).map_err(|source| MeshError::Io {
        path: path.into(),
        action: "write",
        source,
    })
}

fn obj(out: &mut dyn Write, c: Content<'_>) -> io::Result<()> {
    writeln!(out, "# nstr: {} vertices, {} faces", c.mesh.positions.len(), c.mesh.faces.len())?;
    for (i, p) in c.mesh.positions.iter().enumerate() {
        write!(out, "v {} {} {}", p.x, p.y, p.z)?;
        if let Some(rgb) = c.colors {
            let [r, g, b] = rgb[i].map(|v| f32::from(v) / 255.0);
            write!(out, " {r:.4} {g:.4} {b:.4}")?;
        }
        writeln!(out)?;
    }
    for n in c.normals.unwrap_or_default() {
        writeln!(out, "vn {:.6} {:.6} {:.6}", n.x, n.y, n.z)?;
    }
    for f in &c.mesh.faces {
        let [a, b, d] = f.map(|v| u64::from(v) + 1);
        if c.normals.is_some() {
            writeln!(out, "f {a}//{a} {b}//{b} {d}//{d}")?;
        } else {
            writeln!(out, "f {a} {b} {d}")?;
        }
    }
    Ok(())
}

fn floats(out: &mut dyn Write, values: [f32; 3]) -> io::Result<()> {
    values.iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))
}

fn ply(out: &mut dyn Write, c: Content<'_>) -> io::Result<()> {
    write!(out, "ply\nformat binary_little_endian 1.0\ncomment nstr\nelement vertex {}\n", c.mesh.positions.len())?;
    ["x", "y", "z"].iter().try_for_each(|n| writeln!(out, "property float {n}"))?;
    if c.normals.is_some() {
        ["nx", "ny", "nz"].iter().try_for_each(|n| writeln!(out, "property float {n}"))?;
    }
    if c.colors.is_some() {
        ["red", "green", "blue"].iter().try_for_each(|n| writeln!(out, "property uchar {n}"))?;
    }
    write!(out, "element face {}\nproperty list uchar int vertex_indices\nend_header\n", c.mesh.faces.len())?;
    for (i, p) in c.mesh.positions.iter().enumerate() {
        floats(out, p.as_vec3().to_array())?;
        if let Some(normals) = c.normals {
            floats(out, normals[i].to_array())?;
        }
        if let Some(colors) = c.colors {
            out.write_all(&colors[i])?;
        }
    }
    for f in &c.mesh.faces {
        out.write_all(&[3])?;
        f.iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))?;
    }
    Ok(())
}

fn stl(out: &mut dyn Write, c: Content<'_>) -> io::Result<()> {
    let mut header = [0u8; 80];
    header[..11].copy_from_slice(b"nstr binary");
    out.write_all(&header)?;
    let count = u32::try_from(c.mesh.faces.len()).map_err(io::Error::other)?;
    out.write_all(&count.to_le_bytes())?;
    for f in 0..c.mesh.faces.len() {
        let [p, q, r] = c.mesh.triangle(f);
        floats(out, (q - p).cross(r - p).normalize_or_zero().as_vec3().to_array())?;
        [p, q, r].iter().try_for_each(|v| floats(out, v.as_vec3().to_array()))?;
        out.write_all(&[0, 0])?;
    }
    Ok(())
}

/// Lowest and highest corner in the precision that the file stores, as the format demands for positions.
fn stored_bounds(positions: &[DVec3]) -> (Vec3, Vec3) {
    let empty = (Vec3::INFINITY, Vec3::NEG_INFINITY);
    positions.iter().map(|p| p.as_vec3()).fold(empty, |(lo, hi), p| (lo.min(p), hi.max(p)))
}

/// Linear value of an 8-bit sRGB one: glTF stores vertex colours linear, and 8 bits of that lose the dark ones.
fn linear16(srgb: u8) -> u16 {
    let v = f64::from(srgb) / 255.0;
    let linear = if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
    (linear * f64::from(u16::MAX)).round() as u16
}

fn glb(out: &mut dyn Write, c: Content<'_>) -> io::Result<()> {
    const VERTEX_DATA: u32 = 34962;
    const INDEX_DATA: u32 = 34963;
    let vertices = c.mesh.positions.len();
    let (lo, hi) = stored_bounds(&c.mesh.positions);
    let (mut views, mut accessors, mut attributes) = (Vec::new(), Vec::new(), serde_json::Map::new());
    let mut length = 0usize;
    let mut view = |bytes: usize, target: u32| {
        views.push(serde_json::json!({"buffer": 0, "byteOffset": length, "byteLength": bytes, "target": target}));
        length += bytes;
        views.len() - 1
    };
    let float3 =
        |view: usize| serde_json::json!({"bufferView": view, "componentType": 5126, "count": vertices, "type": "VEC3"});
    let mut position = float3(view(vertices * 12, VERTEX_DATA));
    position["min"] = serde_json::json!(lo.to_array());
    position["max"] = serde_json::json!(hi.to_array());
    attributes.insert("POSITION".into(), accessors.len().into());
    accessors.push(position);
    if c.normals.is_some() {
        attributes.insert("NORMAL".into(), accessors.len().into());
        accessors.push(float3(view(vertices * 12, VERTEX_DATA)));
    }
    if c.colors.is_some() {
        attributes.insert("COLOR_0".into(), accessors.len().into());
        accessors.push(serde_json::json!({"bufferView": view(vertices * 8, VERTEX_DATA), "componentType": 5123,
            "normalized": true, "count": vertices, "type": "VEC4"}));
    }
    let indices = accessors.len();
    let count = c.mesh.faces.len() * 3;
    accessors.push(serde_json::json!({"bufferView": view(count * 4, INDEX_DATA), "componentType": 5125,
        "count": count, "type": "SCALAR"}));
    let document = serde_json::json!({
        "asset": {"version": "2.0", "generator": "nstr"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": indices, "mode": 4}]}],
        "accessors": accessors, "bufferViews": views, "buffers": [{"byteLength": length}],
    });
    let mut json = serde_json::to_vec(&document)?;
    json.resize(json.len().next_multiple_of(4), b' ');
    let total = u32::try_from(12 + 8 + json.len() + 8 + length)
        .map_err(|_| io::Error::other("a GLB file holds at most 4 GiB; write a PLY instead"))?;
    out.write_all(b"glTF")?;
    for word in [2, total, json.len() as u32, 0x4E4F_534A] {
        out.write_all(&word.to_le_bytes())?;
    }
    out.write_all(&json)?;
    for word in [length as u32, 0x004E_4942] {
        out.write_all(&word.to_le_bytes())?;
    }
    c.mesh.positions.iter().try_for_each(|p| floats(out, p.as_vec3().to_array()))?;
    c.normals.unwrap_or_default().iter().try_for_each(|n| floats(out, n.to_array()))?;
    for rgb in c.colors.unwrap_or_default() {
        let [r, g, b] = rgb.map(linear16);
        [r, g, b, u16::MAX].iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))?;
    }
    c.mesh.faces.iter().flatten().try_for_each(|v| out.write_all(&v.to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_mesh;

    fn tetrahedron() -> TriMesh {
        let positions = vec![DVec3::ZERO, DVec3::X, DVec3::Y * 1.25, DVec3::new(0.5, 0.25, 2.0)];
        TriMesh { positions, faces: vec![[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]] }
    }

    #[test]
    fn every_format_reads_back_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mesh = tetrahedron();
        let normals = [Vec3::Z; 4];
        let colors = [[255, 0, 128]; 4];
        for name in ["a.obj", "a.ply", "a.stl", "a.glb"] {
            for (n, c) in [
                (None, None),
                (Some(&normals[..]), None),
                (Some(&normals[..]), Some(&colors[..])),
                (None, Some(&colors[..])),
            ] {
                let path = folder.path().join(name);
                write_mesh(&path, &mesh, n, c).unwrap();
                let back = read_mesh(&path).unwrap().mesh;
                let corners = |m: &TriMesh| (0..m.faces.len()).map(|f| m.triangle(f)).collect::<Vec<_>>();
                assert_eq!(corners(&back), corners(&mesh), "{name}");
                assert_eq!(back.positions.len(), 4, "{name}");
            }
        }
        // Nothing is left behind but the four files.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn colours_are_stored_as_each_format_wants_them() {
        let folder = tempfile::tempdir().unwrap();
        let colors = [[255, 0, 128], [1, 2, 3], [0, 0, 0], [10, 200, 30]];
        let at = |name: &str| {
            let path = folder.path().join(name);
            write_mesh(&path, &tetrahedron(), None, Some(&colors)).unwrap();
            path
        };
        let (models, _) = tobj::load_obj(at("a.obj"), &tobj::LoadOptions::default()).unwrap();
        let stored: Vec<u8> =
            models[0].mesh.vertex_color.iter().map(|v| (f64::from(*v as f32) * 255.0).round() as u8).collect();
        // That reader numbers vertices as faces come to them.
        assert_eq!(stored, [0, 2, 1, 3].map(|i| colors[i]).as_flattened());
        let bytes = std::fs::read(at("a.ply")).unwrap();
        let body = bytes.windows(11).position(|w| w == b"end_header\n").unwrap() + 11;
        (0..4).for_each(|i| assert_eq!(bytes[body + 15 * i + 12..][..3], colors[i]));
        let glb = gltf::Gltf::from_slice(&std::fs::read(at("a.glb")).unwrap()).unwrap();
        let blob = glb.blob.clone().unwrap();
        let primitive = glb.meshes().next().unwrap().primitives().next().unwrap();
        let back = primitive.reader(|_| Some(&blob)).read_colors(0).unwrap().into_rgba_f32();
        for (got, want) in back.zip(colors) {
            for (linear, srgb) in got.into_iter().zip(want) {
                let value = nstr_image::colour::srgb_from_linear(linear) * 255.0;
                assert!((value - f32::from(srgb)).abs() < 0.2, "{value} {srgb}");
            }
            assert_eq!(got[3], 1.0);
        }
    }

    #[test]
    fn obj_keeps_full_precision() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.obj");
        let mut mesh = tetrahedron();
        mesh.positions[3] = DVec3::new(1.0 / 3.0, 1e-17, 12345.678901234567);
        write_mesh(&path, &mesh, None, None).unwrap();
        let back = read_mesh(&path).unwrap().mesh;
        assert_eq!(back.positions[3], mesh.positions[3]);
    }

    #[test]
    fn refusals_name_the_file_and_leave_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.ply");
        std::fs::write(&path, "old").unwrap();
        let mesh = tetrahedron();
        let wrong = [
            write_mesh(&path, &mesh, Some(&[Vec3::Z]), None),
            write_mesh(&path, &TriMesh::default(), None, None),
            write_mesh(&path, &TriMesh { faces: vec![[0, 1, 9]], ..mesh.clone() }, None, None),
        ];
        for result in wrong {
            assert!(result.unwrap_err().to_string().contains("kept.ply"));
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        let unknown = write_mesh(&folder.path().join("a.fbx"), &mesh, None, None).unwrap_err().to_string();
        assert!(unknown.contains("a.fbx") && unknown.contains(".obj"), "{unknown}");
        let nowhere = write_mesh(&folder.path().join("none/a.obj"), &mesh, None, None).unwrap_err().to_string();
        assert!(nowhere.contains("none/a.obj"), "{nowhere}");
    }
}
