//! Shared edges, repeated faces and closedness of a hierarchy's faces. Vertices at the same position count as one.

use rayon::prelude::*;

use crate::bvh::Bvh;
use crate::weld::first_at_position;

/// Connections of the faces of a hierarchy.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    /// Each edge is used equally often in both directions: the winding number is then an integer off the surface.
    pub closed: bool,
    /// Fraction of the faces that have the same corners as another: those say nothing of inside.
    pub repeated: f64,
    /// For each vertex the first one at its position.
    pub merged: Vec<u32>,
    /// Pairs of faces that share an edge with no other face, and run along it in opposite directions.
    pub neighbours: Vec<[u32; 2]>,
    /// The merged corners of each face in rising order, and the face; sorted.
    corners: Vec<([u32; 3], u32)>,
}

impl Topology {
    /// Examines the faces of `bvh`.
    pub fn new(bvh: &Bvh) -> Self {
        let merged = first_at_position(&bvh.positions);
        let mut edges: Vec<(u64, u32, bool)> = Vec::with_capacity(bvh.face_count() * 3);
        let mut corners: Vec<([u32; 3], u32)> = Vec::with_capacity(bvh.face_count());
        for f in bvh.face_ids() {
            let mut v = bvh.faces[f as usize].map(|v| merged[v as usize]);
            for k in 0..3 {
                let (a, b) = (v[k], v[(k + 1) % 3]);
                if a != b {
                    edges.push(((a.min(b) as u64) << 32 | a.max(b) as u64, f, a < b));
                }
            }
            v.sort_unstable();
            corners.push((v, f));
        }
        edges.par_sort_unstable();
        corners.par_sort_unstable();
        let (mut closed, mut neighbours) = (!edges.is_empty(), Vec::new());
        for same in edges.chunk_by(|a, b| a.0 == b.0) {
            let up = same.iter().filter(|e| e.2).count();
            closed &= 2 * up == same.len();
            if let [a, b] = same
                && up == 1
                && a.1 != b.1
            {
                neighbours.push([a.1, b.1]);
            }
        }
        let mut topology = Self { closed, repeated: 0.0, merged, neighbours, corners };
        let repeated: usize = topology.repetitions().map(<[_]>::len).sum();
        topology.repeated = repeated as f64 / bvh.face_count().max(1) as f64;
        topology
    }

    /// The faces that have the same three corners as others, a slice for each set of corners, lowest face first.
    pub fn repetitions(&self) -> impl Iterator<Item = &[([u32; 3], u32)]> {
        self.corners.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1)
    }
}

#[cfg(test)]
mod tests {
    use glam::DVec3;

    use super::*;
    use crate::testing;

    #[test]
    fn a_box_is_closed_and_each_edge_joins_two_faces() {
        let mesh = testing::cuboid(DVec3::ZERO, DVec3::ONE);
        let t = Topology::new(&Bvh::new(&mesh));
        assert!(t.closed && t.repeated == 0.0);
        assert_eq!(t.neighbours.len(), 18);
        let mut open = mesh.clone();
        open.faces.pop();
        let t = Topology::new(&Bvh::new(&open));
        assert!(!t.closed);
        assert_eq!(t.neighbours.len(), 15);
        let t = Topology::new(&Bvh::new(&testing::doubled(mesh)));
        assert!(t.closed && t.repeated == 1.0 && t.neighbours.is_empty());
        assert_eq!(t.repetitions().count(), 12);
    }
}
