//! The triangle mesh that every reader returns and every query starts from.

use glam::DVec3;

/// Triangles over shared vertices, in the units and axes of their file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TriMesh {
    /// Vertex positions.
    pub positions: Vec<DVec3>,
    /// Triangles as indices into `positions`, counter-clockwise seen from outside where the file is consistent.
    pub faces: Vec<[u32; 3]>,
}

impl TriMesh {
    /// Corner positions of face `f`.
    pub fn triangle(&self, f: usize) -> [DVec3; 3] {
        self.faces[f].map(|v| self.positions[v as usize])
    }

    /// Lowest and highest corner of the box around the vertices that faces use; `None` without faces.
    pub fn bounds(&self) -> Option<(DVec3, DVec3)> {
        let mut corners = self.faces.iter().flatten().map(|&v| self.positions[v as usize]);
        let first = corners.next()?;
        Some(corners.fold((first, first), |(lo, hi), p| (lo.min(p), hi.max(p))))
    }

    /// Length of the bounding box's diagonal; 0 without faces.
    pub fn diagonal(&self) -> f64 {
        self.bounds().map_or(0.0, |(lo, hi)| (hi - lo).length())
    }
}
