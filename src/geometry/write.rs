//! Mesh writers: OBJ, binary PLY, binary STL, GLB. The file appears whole or not at all.

mod glb;

use std::io::{self, Write};
use std::path::Path;

use glam::Vec3;

use crate::precision::Rounding;
use crate::{MeshError, MeshFormat, TriMesh};

/// A mesh with optional normals and colours at its vertices.
#[derive(Clone, Copy)]
struct Content<'a> {
    mesh: &'a TriMesh,
    normals: Option<&'a [Vec3]>,
    colors: Option<&'a [[u8; 3]]>,
    rounding: Rounding,
}

/// Writes a mesh in the format that the extension of `path` names (`.obj`, `.ply`, `.stl`, `.glb`).
///
/// `normals` (unit length) and `colors` (8-bit sRGB) hold one entry a vertex and are left out where the format has no
/// place for them (STL: both). OBJ keeps positions in full precision and colours as the common `v x y z r g b`; the
/// others store 32-bit floats. Where those would lose more than a millionth of the mesh's size, as far from the origin, PLY
/// stores doubles and GLB moves the mesh by its node; STL has no way to. The content goes to a temporary file in the same
/// folder that is then renamed, so a failure leaves what was there before.
///
/// Returns notes for the user on what the format could not hold.
///
/// # Errors
/// [`MeshError`] naming the file: unknown extension, wrong numbers of normals or colours, no faces, coordinates that the
/// format cannot hold, or an I/O error.
pub fn write_mesh(
    path: &Path,
    mesh: &TriMesh,
    normals: Option<&[Vec3]>,
    colors: Option<&[[u8; 3]]>,
) -> Result<Vec<String>, MeshError> {
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
    let content = Content { mesh, normals, colors, rounding: Rounding::of(&mesh.positions) };
    let mut notes = Vec::new();
    let write: fn(&mut dyn Write, Content<'_>) -> io::Result<()> = match MeshFormat::from_extension(path) {
        Some(MeshFormat::Obj) => obj,
        Some(MeshFormat::Ply) => ply,
        Some(MeshFormat::Stl) => {
            notes.extend(stl_loss(content.rounding).map_err(refuse)?);
            stl
        }
        Some(MeshFormat::Gltf) if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("glb")) => glb::write,
        _ => return Err(refuse("meshes are written as .obj, .ply, .stl or .glb; choose one of these endings".into())),
    };
    nstr_files::write_with(path, |out| write(out, content)).map_err(|source| MeshError::Io {
        path: path.into(),
        action: "write",
        source,
    })?;
    Ok(notes)
}

/// Note on what STL, which has 32-bit floats alone, loses of the positions.
fn stl_loss(rounding: Rounding) -> Result<Option<String>, String> {
    const REMEDY: &str = "write .ply, .obj or .glb to keep them";
    match rounding.error {
        error if error.is_infinite() => Err(format!("its coordinates are too large for STL; {REMEDY}")),
        error if rounding.shows() => {
            Ok(Some(format!("STL rounds coordinates by up to {error:.3e} here, in world units; {REMEDY}")))
        }
        _ => Ok(None),
    }
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
    let doubles = c.rounding.shows();
    let kind = if doubles { "double" } else { "float" };
    ["x", "y", "z"].iter().try_for_each(|n| writeln!(out, "property {kind} {n}"))?;
    if c.normals.is_some() {
        ["nx", "ny", "nz"].iter().try_for_each(|n| writeln!(out, "property float {n}"))?;
    }
    if c.colors.is_some() {
        ["red", "green", "blue"].iter().try_for_each(|n| writeln!(out, "property uchar {n}"))?;
    }
    write!(out, "element face {}\nproperty list uchar int vertex_indices\nend_header\n", c.mesh.faces.len())?;
    for (i, p) in c.mesh.positions.iter().enumerate() {
        match doubles {
            true => p.to_array().iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))?,
            false => floats(out, p.as_vec3().to_array())?,
        }
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
        floats(out, c.mesh.face_normal(f).as_vec3().to_array())?;
        c.mesh.triangle(f).iter().try_for_each(|v| floats(out, v.as_vec3().to_array()))?;
        out.write_all(&[0, 0])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{read_mesh, testing};
    use glam::DVec3;

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

    /// A torus of this size and place, written as `name` and read again.
    fn there_and_back(name: &str, at: DVec3, size: f64) -> (TriMesh, TriMesh, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut mesh = testing::torus(1.0, 0.4, 24, 16);
        mesh.positions.iter_mut().for_each(|p| *p = at + *p * size);
        let normals = vec![Vec3::Z; mesh.positions.len()];
        let notes = write_mesh(&path, &mesh, Some(&normals), None).unwrap();
        let back = read_mesh(&path).unwrap().mesh;
        (mesh, back, notes)
    }

    #[test]
    fn far_small_and_huge_meshes_keep_their_shape() {
        let utm = DVec3::new(512_345.678, 5_412_345.678, 321.5);
        let sizes = [(utm, 1.0), (-utm, 1e-3), (DVec3::ZERO, 1e39), (DVec3::ZERO, 1e-39), (DVec3::ZERO, 1e140)];
        for (at, size) in sizes {
            for name in ["a.obj", "a.ply", "a.glb"] {
                let (mesh, back, notes) = there_and_back(name, at, size);
                assert!(notes.is_empty());
                assert_eq!(back.faces.len(), mesh.faces.len(), "{name} {size}");
                let report = crate::MeshReport::new(&back);
                assert!(report.watertight, "{name} {size}");
                // What a file may lose before it stores positions in another way.
                let lost =
                    [("a.obj", 0.0), ("a.ply", 1e-6), ("a.glb", 1e-6)].iter().find(|(n, _)| *n == name).unwrap().1;
                let tolerance = lost * size + 4.0 * f64::EPSILON * at.length();
                for f in 0..mesh.faces.len() {
                    for (a, b) in mesh.triangle(f).into_iter().zip(back.triangle(f)) {
                        assert!((a - b).abs().max_element() <= tolerance, "{name} {size}: {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn stl_says_what_it_loses() {
        let utm = DVec3::new(512_345.678, 5_412_345.678, 321.5);
        let (_, _, notes) = there_and_back("a.stl", utm, 1.0);
        assert!(notes.len() == 1 && notes[0].contains("e-1 here, in world units"), "{notes:?}");
        let (_, _, notes) = there_and_back("a.stl", DVec3::ONE, 1.0);
        assert!(notes.is_empty());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("far.stl");
        let mut mesh = tetrahedron();
        mesh.positions.iter_mut().for_each(|p| *p *= 1e39);
        let refused = write_mesh(&path, &mesh, None, None).unwrap_err().to_string();
        assert!(refused.contains("far.stl") && refused.contains(".ply"), "{refused}");
        assert!(!path.exists());
    }
}
