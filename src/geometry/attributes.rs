//! Binary PLY with normals, colours and float properties at the vertices.

use std::io::{self, Write};
use std::path::Path;

use glam::Vec3;

use crate::precision::Rounding;
use crate::{MeshError, TriMesh};

/// Values at the vertices of a mesh, one entry a vertex.
#[derive(Clone, Copy, Debug)]
pub struct VertexData<'a> {
    /// Unit normals.
    pub normals: &'a [Vec3],
    /// 8-bit sRGB colours.
    pub colours: &'a [[u8; 3]],
    /// Float properties: name (letters, digits and underscores) and values.
    pub values: &'a [(&'a str, &'a [f32])],
}

/// Writes a binary little-endian PLY with normals, colours and one float property for each of `data.values`.
///
/// # Errors
/// [`MeshError`] naming the file: wrong numbers of entries, no faces, a name that PLY does not allow, or an I/O error.
pub fn write_ply_with(path: &Path, mesh: &TriMesh, data: VertexData<'_>) -> Result<(), MeshError> {
    let count = mesh.positions.len();
    let refuse = |reason: String| Err(MeshError::Unwritable { path: path.into(), reason });
    let lengths = data.values.iter().map(|(_, v)| v.len()).chain([data.normals.len(), data.colours.len()]);
    if let Some(length) = lengths.into_iter().find(|n| *n != count) {
        return refuse(format!("{length} values for {count} vertices"));
    }
    if mesh.faces.is_empty() || mesh.faces.iter().flatten().any(|v| *v as usize >= count) {
        return refuse("the mesh has no faces, or a face names a vertex that it does not have".into());
    }
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if let Some((name, _)) = data.values.iter().find(|(name, _)| !plain(name)) {
        return refuse(format!("`{name}` is not a property name: use letters, digits and underscores"));
    }
    nstr_files::write_with(path, |out| write(out, mesh, data)).map_err(|source| MeshError::Io {
        path: path.into(),
        action: "write",
        source,
    })
}

fn write(out: &mut dyn Write, mesh: &TriMesh, data: VertexData<'_>) -> io::Result<()> {
    let count = mesh.positions.len();
    write!(out, "ply\nformat binary_little_endian 1.0\ncomment nstr\nelement vertex {count}\n")?;
    // Far from the origin 32 bits would lose the shape.
    let doubles = Rounding::of(&mesh.positions).shows();
    let kind = if doubles { "double" } else { "float" };
    ["x", "y", "z"].iter().try_for_each(|n| writeln!(out, "property {kind} {n}"))?;
    ["nx", "ny", "nz"].iter().try_for_each(|n| writeln!(out, "property float {n}"))?;
    ["red", "green", "blue"].iter().try_for_each(|n| writeln!(out, "property uchar {n}"))?;
    data.values.iter().try_for_each(|(n, _)| writeln!(out, "property float {n}"))?;
    write!(out, "element face {}\nproperty list uchar int vertex_indices\nend_header\n", mesh.faces.len())?;
    for (i, p) in mesh.positions.iter().enumerate() {
        match doubles {
            true => p.to_array().iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))?,
            false => p.as_vec3().to_array().iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))?,
        }
        data.normals[i].to_array().iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))?;
        out.write_all(&data.colours[i])?;
        data.values.iter().try_for_each(|(_, v)| out.write_all(&v[i].to_le_bytes()))?;
    }
    for f in &mesh.faces {
        out.write_all(&[3])?;
        f.iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{read_mesh, testing};

    #[test]
    fn reads_back_and_holds_the_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ply");
        let mesh = testing::torus(1.0, 0.4, 6, 5);
        let n = mesh.positions.len();
        let (normals, colours) = (vec![Vec3::Z; n], vec![[1, 2, 3]; n]);
        let heights: Vec<f32> = mesh.positions.iter().map(|p| p.z as f32).collect();
        let values = [("height", heights.as_slice()), ("twice", &vec![2.0; n][..])];
        let data = VertexData { normals: &normals, colours: &colours, values: &values };
        write_ply_with(&path, &mesh, data).unwrap();
        let back = read_mesh(&path).unwrap().mesh;
        assert_eq!(back.faces, mesh.faces);
        let bytes = std::fs::read(&path).unwrap();
        let body = bytes.windows(11).position(|w| w == b"end_header\n").unwrap() + 11;
        for (i, height) in heights.iter().enumerate() {
            let at = body + i * (24 + 3 + 8) + 27;
            let read = |at: usize| f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            assert_eq!((read(at), read(at + 4)), (*height, 2.0));
        }
        for bad in [
            VertexData { colours: &colours[1..], ..data },
            VertexData { values: &[("a b", &heights)], ..data },
            VertexData { values: &[("", &heights)], ..data },
        ] {
            assert!(write_ply_with(&path, &mesh, bad).unwrap_err().to_string().contains("a.ply"));
        }
        assert!(write_ply_with(&path, &TriMesh { faces: vec![], ..mesh }, data).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn positions_far_away_are_doubles() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("far.ply");
        let mut mesh = testing::torus(1.0, 0.4, 6, 5);
        mesh.positions.iter_mut().for_each(|p| *p += glam::DVec3::new(512_345.678, 5_412_345.678, 321.5));
        let n = mesh.positions.len();
        let data = VertexData { normals: &vec![Vec3::Z; n], colours: &vec![[1, 2, 3]; n], values: &[] };
        write_ply_with(&path, &mesh, data).unwrap();
        assert_eq!(read_mesh(&path).unwrap().mesh, mesh);
    }
}
