//! Report on a mesh: open, non-manifold, duplicate and degenerate faces, orientation, parts.

use std::fmt;

use glam::DVec3;
use rayon::prelude::*;

use crate::TriMesh;
use crate::forest::Forest;

/// Largest fraction of the surface that holes may take (their vector area over the mesh's area) while the winding number
/// still separates inside from outside.
const OPEN_LIMIT: f64 = 0.1;
/// Largest fraction of faces that may be cancelled by opposite copies, and of edges that may disagree on orientation.
const DISAGREE_LIMIT: f64 = 0.01;
/// A face counts as degenerate when its height is below this fraction of its longest edge: where 64-bit arithmetic
/// no longer gives its normal a sure direction.
const FLAT: f64 = 1e-10;

/// Counts and measures of a mesh. Lengths, areas and volumes are in the units of its file.
///
/// Edges are counted over faces with three different vertices: a face with a repeated vertex bounds nothing.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MeshReport {
    /// Vertices.
    pub vertices: usize,
    /// Triangles.
    pub faces: usize,
    /// Lowest and highest corner of the box around the faces; zeros without faces.
    pub bounds: [[f64; 3]; 2],
    /// Length of that box's diagonal.
    pub diagonal: f64,
    /// Edges of one face.
    pub boundary_edges: usize,
    /// Edges of three or more faces.
    pub non_manifold_edges: usize,
    /// Faces beyond the first on the same three vertices, whatever their orientation.
    pub duplicate_faces: usize,
    /// Pairs of faces on the same three vertices that face opposite ways and so cancel each other in the winding number.
    pub opposite_duplicates: usize,
    /// Faces without area: a repeated vertex, or three on a line.
    pub degenerate_faces: usize,
    /// Edges of two faces that both run the same way along them: one of the two is inside out.
    pub inconsistent_edges: usize,
    /// Parts that no shared edge connects.
    pub components: usize,
    /// Parts that remain when only edges of exactly two faces connect; far more than `components` in a soup.
    pub patches: usize,
    /// Every edge has exactly two faces.
    pub watertight: bool,
    /// No edge of two faces is run through twice in the same direction.
    pub winding_consistent: bool,
    /// The signed volume is positive.
    pub oriented_outward: bool,
    /// Sum of the faces' areas.
    pub area: f64,
    /// Volume by the divergence theorem, about the box's centre; exact for closed meshes, negative if inside out.
    pub signed_volume: f64,
    /// Vector area of the open boundaries over `area`: 0 when closed, 1 for a flat sheet.
    pub openness: f64,
}

impl MeshReport {
    /// Examines a mesh. Takes `O(n log n)` time and about 64 bytes a face; vertices are told apart by index, so weld
    /// equal positions before (as [`read_mesh`](crate::read_mesh) does). Panics on faces with indices
    /// out of range.
    pub fn new(mesh: &TriMesh) -> Self {
        let (lo, hi) = mesh.bounds().unwrap_or_default();
        let center = (lo + hi) * 0.5;
        let scale = mesh.working_scale();
        let whole = |f: &[u32; 3]| f[0] != f[1] && f[1] != f[2] && f[2] != f[0];
        let measures = (0..mesh.faces.len()).into_par_iter().with_min_len(4096).map(|f| {
            let [a, b, c] = mesh.triangle(f).map(|p| (p - center) * scale);
            let normal = (b - a).cross(c - a);
            let longest = (b - a).length_squared().max((c - b).length_squared()).max((a - c).length_squared());
            let flat = !whole(&mesh.faces[f]) || normal.length() <= FLAT * longest;
            (0.5 * normal.length(), a.dot(b.cross(c)) / 6.0, usize::from(flat))
        });
        // Summed in order, so that the result does not depend on the threads.
        let measures: Vec<_> = measures.collect();
        let (area, signed_volume, degenerate_faces) =
            measures.iter().fold((0.0, 0.0, 0), |s, m| (s.0 + m.0, s.1 + m.1, s.2 + m.2));
        drop(measures);
        let (duplicate_faces, opposite_duplicates) = duplicates(mesh);
        let edges = Edges::new(mesh);
        let openness = if area > 0.0 { edges.open_area(mesh, scale) / area } else { 0.0 };
        let oriented_outward = signed_volume > 0.0;
        let (area, signed_volume) = (area / scale / scale, signed_volume / scale / scale / scale);
        Self {
            vertices: mesh.positions.len(),
            faces: mesh.faces.len(),
            bounds: [lo.to_array(), hi.to_array()],
            diagonal: (hi - lo).length(),
            boundary_edges: edges.boundary,
            non_manifold_edges: edges.non_manifold,
            duplicate_faces,
            opposite_duplicates,
            degenerate_faces,
            inconsistent_edges: edges.inconsistent,
            components: edges.components,
            patches: edges.patches,
            watertight: !mesh.faces.is_empty() && edges.boundary == 0 && edges.non_manifold == 0,
            winding_consistent: edges.inconsistent == 0,
            oriented_outward,
            area,
            signed_volume,
            openness,
        }
    }

    /// True where the faces' orientation tells inside from outside, so that the generalised winding number gives the
    /// sign; small holes are fine. If not, the sign has to come from visibility.
    pub fn orientation_trusted(&self) -> bool {
        self.distrust().is_none()
    }

    /// Reason for [`Self::orientation_trusted`], as a sentence without a full stop.
    pub fn orientation_reason(&self) -> String {
        self.distrust().unwrap_or_else(|| {
            let surface = if self.openness > 0.0 {
                format!("its holes take {:.2} % of the surface", 100.0 * self.openness)
            } else {
                "it is closed".into()
            };
            let side = if self.oriented_outward { "" } else { " and faces inward" };
            format!("the mesh is consistently oriented{side}, and {surface}")
        })
    }

    fn distrust(&self) -> Option<String> {
        let share = |n: usize, of: usize| n as f64 > DISAGREE_LIMIT * of as f64;
        if share(2 * self.opposite_duplicates, self.faces) {
            let (n, f) = (2 * self.opposite_duplicates, self.faces);
            Some(format!("{n} of {f} faces are cancelled by a copy that faces the other way"))
        } else if share(self.inconsistent_edges, self.faces * 3 / 2) {
            Some(format!("{} edges join faces of opposite orientation", self.inconsistent_edges))
        } else if self.openness > OPEN_LIMIT {
            Some(format!("the surface is open: holes take {:.0} % of it", 100.0 * self.openness))
        } else if self.area == 0.0 || self.signed_volume == 0.0 {
            Some("the faces enclose no volume".into())
        } else {
            None
        }
    }

    /// Every fault with its count, worst first; empty for a clean mesh.
    fn faults(&self) -> Vec<String> {
        let mut list = Vec::new();
        let mut add = |n: usize, one: &str, many: &str| match n {
            0 => {}
            1 => list.push(format!("1 {one}")),
            _ => list.push(format!("{n} {many}")),
        };
        add(self.boundary_edges, "open edge", "open edges");
        add(self.non_manifold_edges, "non-manifold edge", "non-manifold edges");
        add(self.inconsistent_edges, "edge of inconsistent winding", "edges of inconsistent winding");
        add(self.opposite_duplicates, "face held twice, front and back", "faces held twice, front and back");
        add(self.duplicate_faces - self.opposite_duplicates, "duplicate face", "duplicate faces");
        add(self.degenerate_faces, "degenerate face", "degenerate faces");
        list
    }

    /// One line, for logs: sizes and every fault found.
    pub fn summary(&self) -> String {
        let faults = self.faults();
        let parts = if self.components == 1 { "1 part".into() } else { format!("{} parts", self.components) };
        let state = match (faults.is_empty(), self.watertight) {
            (true, true) if !self.oriented_outward => "watertight, inside out".into(),
            (true, _) => "watertight".into(),
            (false, true) => format!("watertight; {}", faults.join(", ")),
            (false, false) => faults.join(", "),
        };
        format!("{} vertices, {} faces, {parts}: {state}", self.vertices, self.faces)
    }
}

impl fmt::Display for MeshReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [lo, hi] = self.bounds;
        let yes = |b: bool| if b { "yes" } else { "no" };
        let mut row = |name: &str, value: String| writeln!(f, "{name:<22}{value}");
        row("vertices", self.vertices.to_string())?;
        row("faces", self.faces.to_string())?;
        let range = |k: usize| format!("[{}, {}]", figure(lo[k], self.diagonal, 6), figure(hi[k], self.diagonal, 6));
        row("bounds", format!("x {}  y {}  z {}", range(0), range(1), range(2)))?;
        row("diagonal", figure(self.diagonal, self.diagonal, 6))?;
        row("area", figure(self.area, self.area, 6))?;
        row("signed volume", figure(self.signed_volume, self.signed_volume, 6))?;
        row("parts", format!("{} ({} across two-face edges)", self.components, self.patches))?;
        row("watertight", yes(self.watertight).into())?;
        row(
            "winding consistent",
            format!("{} ({} edges disagree)", yes(self.winding_consistent), self.inconsistent_edges),
        )?;
        row("faces outward", yes(self.oriented_outward).into())?;
        row("open edges", format!("{} (holes {:.2} % of the area)", self.boundary_edges, 100.0 * self.openness))?;
        row("non-manifold edges", self.non_manifold_edges.to_string())?;
        row("duplicate faces", format!("{} ({} opposite pairs)", self.duplicate_faces, self.opposite_duplicates))?;
        row("degenerate faces", self.degenerate_faces.to_string())?;
        let trusted = yes(self.orientation_trusted());
        write!(f, "{:<22}{trusted}: {}", "orientation trusted", self.orientation_reason())
    }
}

/// `value` with so many decimals; as a power of ten where these would hide what is of the size of `scale`, or drown it.
pub(crate) fn figure(value: f64, scale: f64, decimals: usize) -> String {
    let scale = scale.abs();
    if scale == 0.0 || (1e-3..1e15).contains(&scale) {
        nstr_files::decimals(value, decimals)
    } else {
        // A zero of either sign is one without.
        format!("{:.decimals$e}", value + 0.0)
    }
}

/// Faces beyond the first of each vertex set, and pairs of opposite orientation.
fn duplicates(mesh: &TriMesh) -> (usize, usize) {
    let mut sets: Vec<([u32; 3], bool)> = mesh.faces.par_iter().with_min_len(4096).map(sorted_with_parity).collect();
    sets.par_sort_unstable();
    sets.chunk_by(|a, b| a.0 == b.0).fold((0, 0), |(more, pairs), set| {
        let odd = set.iter().filter(|s| s.1).count();
        let repeated = set[0].0[0] == set[0].0[1] || set[0].0[1] == set[0].0[2];
        (more + set.len() - 1, pairs + if repeated { 0 } else { odd.min(set.len() - odd) })
    })
}

/// The vertices in rising order, and true where an odd number of swaps brought them there (that is, the orientation).
fn sorted_with_parity(&[a, b, c]: &[u32; 3]) -> ([u32; 3], bool) {
    let (mut v, mut odd) = ([a, b, c], false);
    for (i, j) in [(0, 1), (1, 2), (0, 1)] {
        if v[i] > v[j] {
            v.swap(i, j);
            odd = !odd;
        }
    }
    (v, odd)
}

/// One side of a face: both ends in rising order, the face, and the direction (`down`: from the higher to the lower).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Side {
    ends: [u32; 2],
    face: u32,
    down: bool,
}

#[derive(Default)]
struct Edges {
    boundary: usize,
    non_manifold: usize,
    inconsistent: usize,
    components: usize,
    patches: usize,
    /// Edges with unequal numbers of faces in either direction: from, to and how many more run that way.
    unbalanced: Vec<([u32; 2], u32)>,
}

impl Edges {
    fn new(mesh: &TriMesh) -> Self {
        let mut sides: Vec<Side> = Vec::with_capacity(mesh.faces.len() * 3);
        for (f, v) in mesh.faces.iter().enumerate() {
            if v[0] != v[1] && v[1] != v[2] && v[2] != v[0] {
                sides.extend((0..3).map(|k| {
                    let (a, b) = (v[k], v[(k + 1) % 3]);
                    Side { ends: [a.min(b), a.max(b)], face: f as u32, down: a > b }
                }));
            }
        }
        let whole = sides.len() / 3;
        sides.par_sort_unstable();
        let mut parts = Forest::new(mesh.faces.len());
        let mut patches = Forest::new(mesh.faces.len());
        let mut edges = Self::default();
        for edge in sides.chunk_by(|a, b| a.ends == b.ends) {
            edge.windows(2).for_each(|w| parts.join(w[0].face, w[1].face));
            match edge {
                [_] => edges.boundary += 1,
                [a, b] => {
                    edges.inconsistent += usize::from(a.down == b.down);
                    patches.join(a.face, b.face);
                }
                _ => edges.non_manifold += 1,
            }
            let down = edge.iter().filter(|s| s.down).count();
            let up = edge.len() - down;
            let [a, b] = edge[0].ends;
            match up.cmp(&down) {
                std::cmp::Ordering::Greater => edges.unbalanced.push(([a, b], (up - down) as u32)),
                std::cmp::Ordering::Less => edges.unbalanced.push(([b, a], (down - up) as u32)),
                std::cmp::Ordering::Equal => {}
            }
        }
        // Collapsed faces touch nothing and are no part of their own.
        let collapsed = mesh.faces.len() - whole;
        (edges.components, edges.patches) = (parts.count - collapsed, patches.count - collapsed);
        edges
    }

    /// Area that caps on all holes would have, of lengths times `scale`: the vector area of each connected piece of open
    /// boundary, which is a cycle, so the sum does not depend on the origin.
    fn open_area(&self, mesh: &TriMesh, scale: f64) -> f64 {
        let mut vertices: Vec<u32> = self.unbalanced.iter().flat_map(|(ends, _)| *ends).collect();
        vertices.sort_unstable();
        vertices.dedup();
        let local = |v: u32| vertices.partition_point(|&w| w < v);
        let mut forest = Forest::new(vertices.len());
        self.unbalanced.iter().for_each(|(ends, _)| forest.join(local(ends[0]) as u32, local(ends[1]) as u32));
        let mut sums = vec![DVec3::ZERO; vertices.len()];
        for &([a, b], count) in &self.unbalanced {
            let root = forest.root(local(a) as u32) as usize;
            let origin = mesh.positions[vertices[root] as usize];
            let [p, q] = [a, b].map(|v| (mesh.positions[v as usize] - origin) * scale);
            sums[root] += p.cross(q) * (0.5 * f64::from(count));
        }
        // An empty sum is −0.
        sums.iter().map(|s| s.length()).fold(0.0, |sum, length| sum + length)
    }
}

#[cfg(test)]
mod tests;
