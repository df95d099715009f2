//! A bounding volume hierarchy over triangles with 16-wide nodes and leaves, laid out for SIMD.
//!
//! All data lie in a local frame (the mesh's box centred on the origin, its longest edge 2), so that meshes far from the
//! origin keep single precision where it matters: in the differences between a query point and nearby corners.

mod build;

use std::sync::Arc;

use glam::{DVec3, Vec3};
use pulp::Simd;

use crate::TriMesh;

/// Children of a node and triangles of a leaf.
pub const WIDTH: usize = 16;
/// Marks a child index as a leaf's packet.
pub(crate) const LEAF: u32 = 1 << 31;
/// A face slot that names nothing.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// The map from mesh units to the local frame: `local = (p - center) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalFrame {
    /// Centre of the mesh's box, in mesh units.
    pub center: DVec3,
    /// Local units per mesh unit.
    pub scale: f64,
}

impl LocalFrame {
    /// Local coordinates of `p`.
    #[inline(always)]
    pub fn to_local(&self, p: DVec3) -> DVec3 {
        (p - self.center) * self.scale
    }

    /// Mesh coordinates of the local point `p`.
    #[inline(always)]
    pub fn to_mesh(&self, p: DVec3) -> DVec3 {
        p / self.scale + self.center
    }
}

/// Sixteen children: boxes as structure of arrays; unused lanes lie beyond `count`.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct WideNode {
    pub lo: [[f32; WIDTH]; 3],
    pub hi: [[f32; WIDTH]; 3],
    pub child: [u32; WIDTH],
    pub count: u32,
}

/// Sixteen triangles as structure of arrays; unused lanes repeat the first one.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Packet {
    pub a: [[f32; WIDTH]; 3],
    pub ab: [[f32; WIDTH]; 3],
    pub ac: [[f32; WIDTH]; 3],
    /// Unit normal; zero for a triangle without area.
    pub n: [[f32; WIDTH]; 3],
    /// Twice the area; -1 for a triangle without area.
    pub area2: [f32; WIDTH],
    /// 1 / |edge|² of ab, ac, bc; 0 for an edge without length.
    pub inv: [[f32; WIDTH]; 3],
    pub face: [u32; WIDTH],
    pub count: u32,
}

/// The hierarchy. Faces with corners that are missing or not finite are left out, and so are copies of a face beyond the
/// sixteenth where there are many.
#[derive(Clone, Debug)]
pub struct Bvh {
    pub(crate) frame: LocalFrame,
    pub(crate) positions: Arc<[DVec3]>,
    pub(crate) faces: Arc<[[u32; 3]]>,
    pub(crate) nodes: Vec<WideNode>,
    pub(crate) packets: Vec<Packet>,
    /// First and last+1 packet below each lane of each node.
    pub(crate) ranges: Vec<[[u32; 2]; WIDTH]>,
    count: usize,
}

impl Bvh {
    /// Builds the hierarchy over every usable face, on all of rayon's threads.
    pub fn new(mesh: &TriMesh) -> Self {
        let usable = |f: &[u32; 3]| {
            f.iter().all(|&v| {
                mesh.positions.get(v as usize).is_some_and(|p| p.is_finite() && p.abs().max_element() < 1e150)
            })
        };
        let ids: Vec<u32> = (0..mesh.faces.len() as u32).filter(|&f| usable(&mesh.faces[f as usize])).collect();
        let (mut lo, mut hi) = (DVec3::INFINITY, DVec3::NEG_INFINITY);
        for &f in &ids {
            for p in mesh.triangle(f as usize) {
                (lo, hi) = (lo.min(p), hi.max(p));
            }
        }
        let extent = (hi - lo).max_element();
        let frame = match ids.is_empty() {
            true => LocalFrame { center: DVec3::ZERO, scale: 1.0 },
            false => LocalFrame {
                center: (lo + hi) * 0.5,
                scale: if extent > 0.0 && (2.0 / extent).is_finite() { 2.0 / extent } else { 1.0 },
            },
        };
        let positions: Arc<[DVec3]> = mesh.positions.iter().map(|&p| frame.to_local(p)).collect();
        Self::over(frame, positions, mesh.faces.as_slice().into(), &ids)
    }

    /// A hierarchy over the faces `ids` of this one's mesh, in the same frame.
    pub fn subset(&self, ids: &[u32]) -> Self {
        Self::over(self.frame, self.positions.clone(), self.faces.clone(), ids)
    }

    /// A hierarchy over other faces, all of them usable, with corners in this one's local frame.
    pub(crate) fn with_faces(&self, positions: Vec<DVec3>, faces: &[[u32; 3]]) -> Self {
        let ids: Vec<u32> = (0..faces.len() as u32).collect();
        Self::over(self.frame, positions.into(), faces.into(), &ids)
    }

    fn over(frame: LocalFrame, positions: Arc<[DVec3]>, faces: Arc<[[u32; 3]]>, ids: &[u32]) -> Self {
        let mut bvh = Self {
            frame,
            positions,
            faces,
            nodes: Vec::new(),
            packets: Vec::new(),
            ranges: Vec::new(),
            count: ids.len(),
        };
        build::build(&mut bvh, ids);
        bvh
    }

    /// Faces in the hierarchy.
    pub fn face_count(&self) -> usize {
        self.count
    }

    /// The local frame.
    pub fn frame(&self) -> LocalFrame {
        self.frame
    }

    /// Corners of face `f` in the local frame.
    #[inline(always)]
    pub(crate) fn corners(&self, f: u32) -> [DVec3; 3] {
        self.faces[f as usize].map(|v| self.positions[v as usize])
    }

    /// Face in a slot (packet · 16 + lane).
    #[inline(always)]
    pub(crate) fn slot_face(&self, slot: u32) -> u32 {
        self.packets[slot as usize / WIDTH].face[slot as usize % WIDTH]
    }

    /// Every face of the hierarchy once, in tree order.
    pub(crate) fn face_ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.packets.iter().flat_map(|p| p.face[..p.count as usize].iter().copied())
    }

    /// Lowest and highest corner of the faces' box in the local frame; zeros when empty.
    pub(crate) fn local_bounds(&self) -> (Vec3, Vec3) {
        let Some(root) = self.nodes.first() else { return (Vec3::ZERO, Vec3::ZERO) };
        let fold =
            |v: &[f32; WIDTH], f: fn(f32, f32) -> f32| v[1..root.count as usize].iter().fold(v[0], |a, &b| f(a, b));
        (
            Vec3::from_array(std::array::from_fn(|k| fold(&root.lo[k], f32::min))),
            Vec3::from_array(std::array::from_fn(|k| fold(&root.hi[k], f32::max))),
        )
    }
}

/// Vector `c` of a 16-lane array (a register holds 1 to 16 lanes, by machine).
#[inline(always)]
pub(crate) fn lanes<S: Simd>(_simd: S, values: &[f32; WIDTH], c: usize) -> S::f32s {
    S::as_simd_f32s(values).0[c]
}

/// Vectors per 16-lane array.
#[inline(always)]
pub(crate) const fn chunks<S: Simd>() -> usize {
    WIDTH / S::F32_LANES
}

/// The lanes of a mask as bits, lane 0 lowest.
#[inline(always)]
pub(crate) fn mask_bits<S: Simd>(_simd: S, mask: S::m32s) -> u32 {
    if const { size_of::<S::m32s>() == size_of::<S::u32s>() } {
        let words: S::u32s = bytemuck::cast(mask);
        let words: &[u32] = bytemuck::cast_slice(std::slice::from_ref(&words));
        words.iter().enumerate().fold(0, |bits, (i, &w)| bits | (w & 1) << i)
    } else if const { size_of::<S::m32s>() == 2 } {
        let bits: u16 = bytemuck::cast(mask);
        bits as u32
    } else {
        let bits: u8 = bytemuck::cast(mask);
        bits as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn every_face_lies_in_its_box_once() {
        let mesh = testing::soup(3000, 5, 0.1);
        let bvh = Bvh::new(&mesh);
        let mut seen = vec![0; mesh.faces.len()];
        bvh.face_ids().for_each(|f| seen[f as usize] += 1);
        assert!(seen.iter().all(|&n| n == 1));
        for (node, ranges) in bvh.nodes.iter().zip(&bvh.ranges) {
            for (i, range) in ranges.iter().enumerate().take(node.count as usize) {
                for p in &bvh.packets[range[0] as usize..range[1] as usize] {
                    for &f in &p.face {
                        for q in bvh.corners(f) {
                            let q = q.as_vec3().to_array();
                            assert!((0..3).all(|k| q[k] >= node.lo[k][i] && q[k] <= node.hi[k][i]));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn copies_of_a_face_are_dropped_but_no_others() {
        let mut mesh = testing::soup(500, 3, 0.1);
        for _ in 0..40_000 {
            mesh.faces.push([0, 1, 2]);
            mesh.faces.push([1, 2, 0]);
            mesh.faces.push([2, 1, 0]);
        }
        let bvh = Bvh::new(&mesh);
        assert_eq!((bvh.face_count(), bvh.face_ids().count()), (499 + 32, 499 + 32));
        // Around one centre, each of its own.
        let mut rings = TriMesh::default();
        for i in 0..300u32 {
            let size = f64::from(i + 1);
            rings.positions.extend([
                DVec3::new(size, 0.0, 0.0),
                DVec3::new(-size, size, 0.0),
                DVec3::new(-size, -size, 0.0),
            ]);
            rings.faces.push([3 * i, 3 * i + 1, 3 * i + 2]);
        }
        assert_eq!(Bvh::new(&rings).face_count(), 300);
    }

    #[test]
    fn empty_and_broken_input_is_survived() {
        assert_eq!(Bvh::new(&TriMesh::default()).face_count(), 0);
        let mesh = TriMesh {
            positions: vec![DVec3::ZERO, DVec3::X, DVec3::NAN],
            faces: vec![[0, 1, 2], [0, 1, 9], [0, 0, 0], [0, 1, 1]],
        };
        assert_eq!(Bvh::new(&mesh).face_count(), 2);
        let same = TriMesh { positions: vec![DVec3::ONE; 3], faces: vec![[0, 1, 2]; 1000] };
        assert_eq!(Bvh::new(&same).face_count(), 16);
    }
}
