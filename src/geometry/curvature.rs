//! Discrete curvature at the vertices of a triangle mesh, and between them.
//!
//! Mean curvature from the cotangent Laplacian over mixed Voronoi areas, Gaussian curvature from the angle defect over the
//! same areas (Meyer, Desbrun, Schröder, Barr 2003). The values depend on the triangulation: at a sharp edge they grow as
//! triangles shrink, and within large flat faces they are 0.

use std::collections::{HashMap, HashSet};

use glam::DVec3;

use crate::TriMesh;
use crate::closest::Closest;
use crate::weld::first_at_position;

/// Curvature of a mesh at its vertices.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshCurvature {
    /// Mean curvature per mesh unit, positive where convex as seen from the side that faces turn counter-clockwise to.
    /// NaN at borders, where more than two faces meet at an edge, and where no face is.
    pub mean: Vec<f64>,
    /// Gaussian curvature per square of the mesh's unit; NaN at the same vertices.
    pub gaussian: Vec<f64>,
    /// Area that each vertex stands for.
    pub area: Vec<f64>,
}

impl MeshCurvature {
    /// Curvature of `mesh`.
    ///
    /// Vertices at the very same position count as one (files repeat them along seams), and a face that is given twice, in
    /// whatever orientation, counts once.
    pub fn new(mesh: &TriMesh) -> Self {
        let count = mesh.positions.len();
        let same = first_at_position(&mesh.positions);
        let faces = distinct_faces(mesh, &same);
        let mut sums = Sums::new(count);
        for face in &faces {
            sums.add(*face, face.map(|v| mesh.positions[v as usize]));
        }
        let irregular = irregular(&faces);
        let at = |v: usize| same[v] as usize;
        let inner: Vec<bool> = (0..count).map(|v| sums.area[v] > 0.0 && !irregular.contains(&(v as u32))).collect();
        let mean = |v: usize| {
            // Σ (cot α + cot β)(x_i − x_j) / 2A = 2 H n.
            let normal = sums.laplacian[v] / (4.0 * sums.area[v]);
            normal.length() * if normal.dot(sums.normal[v]) < 0.0 { -1.0 } else { 1.0 }
        };
        let gaussian = |v: usize| (std::f64::consts::TAU - sums.angle[v]) / sums.area[v];
        let of = |value: &dyn Fn(usize) -> f64| {
            (0..count).map(|v| if inner[at(v)] { value(at(v)) } else { f64::NAN }).collect::<Vec<f64>>()
        };
        Self { mean: of(&mean), gaussian: of(&gaussian), area: (0..count).map(|v| sums.area[at(v)]).collect() }
    }

    /// Mean and Gaussian curvature at a point of a face of the same mesh, between those of its corners. NaN where a corner
    /// that counts has none.
    pub fn at(&self, mesh: &TriMesh, point: &Closest) -> [f64; 2] {
        let corners = mesh.faces[point.face as usize];
        [&self.mean, &self.gaussian].map(|values| {
            let parts = corners.iter().zip(point.barycentric).filter(|(_, w)| *w > 0.0);
            parts.map(|(v, w)| values[*v as usize] * w).sum()
        })
    }
}

/// Faces with three different corners, each once.
fn distinct_faces(mesh: &TriMesh, same: &[u32]) -> Vec<[u32; 3]> {
    let mut seen = HashSet::with_capacity(mesh.faces.len());
    let faces = mesh.faces.iter().filter(|f| f.iter().all(|v| (*v as usize) < same.len()));
    let faces = faces.map(|f| f.map(|v| same[v as usize])).filter(|[a, b, c]| a != b && b != c && a != c);
    faces
        .filter(|f| {
            let mut key = *f;
            key.sort_unstable();
            seen.insert(key)
        })
        .collect()
}

/// Vertices around which the surface is no disc, as far as edges tell.
fn irregular(faces: &[[u32; 3]]) -> HashSet<u32> {
    let mut count: HashMap<[u32; 2], u32> = HashMap::with_capacity(faces.len() * 3 / 2);
    for f in faces {
        for k in 0..3 {
            let (a, b) = (f[k], f[(k + 1) % 3]);
            *count.entry([a.min(b), a.max(b)]).or_default() += 1;
        }
    }
    count.into_iter().filter(|(_, n)| *n != 2).flat_map(|(edge, _)| edge).collect()
}

/// Sums over the faces around each vertex.
struct Sums {
    /// `Σ (cot α + cot β)(x_i − x_j)`.
    laplacian: Vec<DVec3>,
    /// Face normals weighted by the angle at the vertex.
    normal: Vec<DVec3>,
    angle: Vec<f64>,
    area: Vec<f64>,
}

impl Sums {
    fn new(count: usize) -> Self {
        Self {
            laplacian: vec![DVec3::ZERO; count],
            normal: vec![DVec3::ZERO; count],
            angle: vec![0.0; count],
            area: vec![0.0; count],
        }
    }

    fn add(&mut self, face: [u32; 3], p: [DVec3; 3]) {
        let cross = (p[1] - p[0]).cross(p[2] - p[0]);
        let double = cross.length();
        // A needle without area has no cotangents.
        if !(double > 0.0 && double.is_finite()) {
            return;
        }
        let corner = |k: usize| {
            let (a, b) = (p[(k + 1) % 3] - p[k], p[(k + 2) % 3] - p[k]);
            let dot = a.dot(b);
            (dot / double, double.atan2(dot))
        };
        let corners = [corner(0), corner(1), corner(2)];
        let obtuse = corners.iter().position(|(cot, _)| *cot < 0.0);
        for k in 0..3 {
            let v = face[k] as usize;
            let (j, l) = ((k + 1) % 3, (k + 2) % 3);
            // The edge to j lies opposite l, and the other way round.
            let (to_j, to_l) = (p[k] - p[j], p[k] - p[l]);
            self.laplacian[v] += to_j * corners[l].0 + to_l * corners[j].0;
            self.angle[v] += corners[k].1;
            self.normal[v] += cross / double * corners[k].1;
            self.area[v] += match obtuse {
                Some(o) if o == k => double / 4.0,
                Some(_) => double / 8.0,
                None => (to_j.length_squared() * corners[l].0 + to_l.length_squared() * corners[j].0) / 8.0,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DistanceQuery, QueryOptions, testing};

    fn sphere(radius: f64, rings: usize) -> TriMesh {
        let t = (1.0 + 5f64.sqrt()) / 2.0;
        let corners = [[-1.0, t, 0.0], [1.0, t, 0.0], [-1.0, -t, 0.0], [1.0, -t, 0.0]];
        let turned = |k: usize| corners.map(|c: [f64; 3]| DVec3::from(std::array::from_fn(|j| c[(j + k) % 3])));
        let mut mesh = TriMesh { positions: [turned(0), turned(2), turned(1)].concat(), faces: Vec::new() };
        // An icosahedron: every three corners at the distance of an edge, turned outward.
        let near =
            |a: u32, b: u32| (mesh.positions[a as usize].distance(mesh.positions[b as usize]) - 2.0).abs() < 1e-9;
        let mut faces = Vec::new();
        for a in 0..12 {
            for b in a + 1..12 {
                for c in b + 1..12 {
                    if near(a, b) && near(b, c) && near(a, c) {
                        let [p, q, r] = [a, b, c].map(|v| mesh.positions[v as usize]);
                        let outward = (q - p).cross(r - p).dot(p) > 0.0;
                        faces.push(if outward { [a, b, c] } else { [a, c, b] });
                    }
                }
            }
        }
        assert_eq!(faces.len(), 20);
        mesh.faces = faces;
        let mut level = 5;
        while level < rings {
            mesh = split(&mesh);
            level *= 2;
        }
        mesh.positions.iter_mut().for_each(|p| *p = p.normalize() * radius);
        mesh
    }

    /// Each face in four.
    fn split(mesh: &TriMesh) -> TriMesh {
        let mut out = TriMesh { positions: mesh.positions.clone(), faces: Vec::new() };
        let mut middles = HashMap::new();
        for f in &mesh.faces {
            let middle: [u32; 3] = std::array::from_fn(|k| {
                let (a, b) = (f[k], f[(k + 1) % 3]);
                *middles.entry([a.min(b), a.max(b)]).or_insert_with(|| {
                    out.positions.push((mesh.positions[a as usize] + mesh.positions[b as usize]) * 0.5);
                    out.positions.len() as u32 - 1
                })
            });
            let [a, b, c] = middle;
            out.faces.extend([[f[0], a, c], [f[1], b, a], [f[2], c, b], [a, b, c]]);
        }
        out
    }

    #[test]
    fn a_sphere_bends_the_same_everywhere() {
        let mesh = sphere(2.5, 20);
        let c = MeshCurvature::new(&mesh);
        for v in 0..mesh.positions.len() {
            assert!((c.mean[v] * 2.5 - 1.0).abs() < 0.02, "{}", c.mean[v]);
            assert!((c.gaussian[v] * 6.25 - 1.0).abs() < 0.05, "{}", c.gaussian[v]);
        }
        let total: f64 = c.gaussian.iter().zip(&c.area).map(|(k, a)| k * a).sum();
        assert!((total - 4.0 * std::f64::consts::PI).abs() < 1e-9, "Gauss & Bonnet: {total}");
        let inward = TriMesh { faces: mesh.faces.iter().map(|f| [f[0], f[2], f[1]]).collect(), ..mesh };
        assert!(MeshCurvature::new(&inward).mean.iter().all(|h| *h < -0.39));
    }

    #[test]
    fn a_torus_agrees_with_its_formulas_at_any_point() {
        let (major, minor) = (1.0, 0.4);
        let mesh = testing::torus(major, minor, 160, 80);
        let c = MeshCurvature::new(&mesh);
        let query = DistanceQuery::new(&mesh, &QueryOptions::default()).unwrap();
        for i in 0..40 {
            let (u, v) = (f64::from(i) * 1.37, f64::from(i) * 0.71);
            let reach = major + minor * v.cos();
            let p = DVec3::new(reach * u.cos(), reach * u.sin(), minor * v.sin());
            let [mean, gaussian] = c.at(&mesh, &query.closest(p).unwrap());
            assert!((mean - 0.5 * (1.0 / minor + v.cos() / reach)).abs() < 0.02, "{mean} at {v}");
            assert!((gaussian - v.cos() / (minor * reach)).abs() < 0.06, "{gaussian} at {v}");
        }
    }

    #[derive(serde::Deserialize)]
    struct Oracle {
        positions: Vec<[f64; 3]>,
        faces: Vec<[u32; 3]>,
        mean: Vec<f64>,
        gaussian: Vec<f64>,
        area: Vec<f64>,
    }

    #[test]
    fn agrees_with_libigl() {
        let o: Oracle = serde_json::from_str(include_str!("../../tests/oracle/mesh_curvature.json")).unwrap();
        let positions = o.positions.iter().map(|p| DVec3::from(*p)).collect();
        let c = MeshCurvature::new(&TriMesh { positions, faces: o.faces });
        for v in 0..o.mean.len() {
            let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9 * (1.0 + b.abs()), "vertex {v}: {a} {b}");
            close(c.area[v], o.area[v]);
            close(c.mean[v].abs(), o.mean[v]);
            close(c.gaussian[v], o.gaussian[v]);
        }
    }

    #[test]
    fn borders_seams_and_doubled_faces() {
        let whole = testing::torus(1.0, 0.4, 12, 8);
        let want = MeshCurvature::new(&whole);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        // Every face with corners of its own, and everything twice.
        let apart = TriMesh {
            positions: whole.faces.iter().flatten().map(|v| whole.positions[*v as usize]).collect(),
            faces: (0..whole.faces.len() as u32).map(|f| [3 * f, 3 * f + 1, 3 * f + 2]).collect(),
        };
        let got = MeshCurvature::new(&testing::doubled(apart));
        for (i, v) in whole.faces.iter().flatten().enumerate() {
            close(got.mean[i], want.mean[*v as usize]);
            close(got.gaussian[i], want.gaussian[*v as usize]);
        }
        let mut open = whole.clone();
        let [a, b, c] = open.faces.swap_remove(0);
        open.positions.push(DVec3::splat(9.0));
        let got = MeshCurvature::new(&open);
        for v in 0..whole.positions.len() as u32 {
            assert_eq!(got.mean[v as usize].is_nan(), [a, b, c].contains(&v), "{v}");
        }
        assert!(got.mean[whole.positions.len()].is_nan() && got.area[whole.positions.len()] == 0.0);
        let none = MeshCurvature::new(&TriMesh::default());
        assert!(none.mean.is_empty());
    }
}
