//! The triangle mesh that every reader returns and every query starts from, and the materials of its faces.

use glam::DVec3;

/// Triangles over shared vertices, in the units and axes of their file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TriMesh {
    /// Vertex positions.
    pub positions: Vec<DVec3>,
    /// Triangles as indices into `positions`, counter-clockwise seen from outside where the file is consistent.
    pub faces: Vec<[u32; 3]>,
}

/// A material of a mesh file. Colours are as in the file, usually 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Material {
    /// Name in the file.
    pub name: String,
    /// Diffuse colour (`Kd`), red, green, blue; `None` where the file gives none.
    pub diffuse: Option<[f32; 3]>,
    /// Opacity from 0 to 1 (`d`); `None` where the file gives none.
    pub opacity: Option<f32>,
    /// Texture files.
    pub textures: Vec<Texture>,
}

/// A texture file of a material.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Texture {
    /// Property that it gives values to, by its name in MTL files, e.g. `map_Kd`.
    pub property: String,
    /// The file's name as the material file has it, with any options before it and `/` between folders.
    pub file: String,
}

/// Material index of a face without a material.
pub const NO_MATERIAL: u16 = u16::MAX;

/// Materials of a mesh's faces. Both lists are empty where the file names no material.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeshMaterials {
    /// Materials that the file's faces name, in the order of their first use; at most 65 535.
    pub materials: Vec<Material>,
    /// For each face the index of its material, or [`NO_MATERIAL`].
    pub faces: Vec<u16>,
}

impl MeshMaterials {
    /// Number of faces of each material, and of faces without one.
    pub fn face_counts(&self) -> (Vec<usize>, usize) {
        let mut counts = vec![0; self.materials.len()];
        let mut without = 0;
        for &material in &self.faces {
            *counts.get_mut(usize::from(material)).unwrap_or(&mut without) += 1;
        }
        (counts, without)
    }
}

impl TriMesh {
    /// Corner positions of face `f`.
    pub fn triangle(&self, f: usize) -> [DVec3; 3] {
        self.faces[f].map(|v| self.positions[v as usize])
    }

    /// Unit normal of face `f`; 0 where it has no area.
    pub fn face_normal(&self, f: usize) -> DVec3 {
        let [p, q, r] = self.triangle(f);
        (q - p).cross(r - p).normalize_or_zero()
    }

    /// Lowest and highest corner of the box around the vertices that faces use; `None` without faces.
    pub fn bounds(&self) -> Option<(DVec3, DVec3)> {
        let mut corners = self.faces.iter().flatten().map(|&v| self.positions[v as usize]);
        let first = corners.next()?;
        Some(corners.fold((first, first), |(lo, hi), p| (lo.min(p), hi.max(p))))
    }

    /// A power of two by which lengths are multiplied before they are squared and cubed; 1 but for meshes so large or small
    /// that squares of squares leave the range of numbers.
    pub(crate) fn working_scale(&self) -> f64 {
        // Faces may name vertices that are missing.
        let corners = self.faces.iter().flatten().filter_map(|&v| self.positions.get(v as usize));
        let empty = (DVec3::INFINITY, DVec3::NEG_INFINITY);
        let (lo, hi) = corners.fold(empty, |(lo, hi), &p| (lo.min(p), hi.max(p)));
        let longest = (hi - lo).max_element();
        if longest > 0.0 && !(1e-60..1e60).contains(&longest) { (-longest.log2().round()).exp2() } else { 1.0 }
    }

    /// Length of the bounding box's diagonal; 0 without faces.
    pub fn diagonal(&self) -> f64 {
        self.bounds().map_or(0.0, |(lo, hi)| (hi - lo).length())
    }
}
