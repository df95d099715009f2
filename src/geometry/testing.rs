//! Meshes and points for tests.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "for tests only: a panic is how they fail")]

use glam::DVec3;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::TriMesh;

fn cube_point(rng: &mut Pcg64) -> DVec3 {
    DVec3::new(rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0))
}

/// `n` points in the cube of half-width `r`.
pub fn points(n: usize, seed: u64, r: f64) -> Vec<DVec3> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..n).map(|_| cube_point(&mut rng) * r).collect()
}

/// `n` unrelated triangles of about `size` in the cube of half-width 1.
pub fn soup(n: usize, seed: u64, size: f64) -> TriMesh {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut mesh = TriMesh::default();
    for i in 0..n as u32 {
        let c = cube_point(&mut rng);
        mesh.positions.extend((0..3).map(|_| c + cube_point(&mut rng) * size));
        mesh.faces.push([3 * i, 3 * i + 1, 3 * i + 2]);
    }
    mesh
}

/// Box from `lo` to `hi`, outward; each side once.
pub fn cuboid(lo: DVec3, hi: DVec3) -> TriMesh {
    let positions = (0..8)
        .map(|i| {
            DVec3::new(
                if i & 1 == 0 { lo.x } else { hi.x },
                if i & 2 == 0 { lo.y } else { hi.y },
                if i & 4 == 0 { lo.z } else { hi.z },
            )
        })
        .collect();
    let quads = [[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]];
    let faces = quads.iter().flat_map(|q: &[u32; 4]| [[q[0], q[1], q[2]], [q[0], q[2], q[3]]]).collect();
    TriMesh { positions, faces }
}

/// All meshes in one.
pub fn join(parts: &[TriMesh]) -> TriMesh {
    let mut out = TriMesh::default();
    for part in parts {
        let base = out.positions.len() as u32;
        out.positions.extend(&part.positions);
        out.faces.extend(part.faces.iter().map(|f| f.map(|v| v + base)));
    }
    out
}

/// Every face a second time with opposite orientation, as ShapeNet's soups have it.
pub fn doubled(mut mesh: TriMesh) -> TriMesh {
    let twins: Vec<_> = mesh.faces.iter().map(|f| [f[0], f[2], f[1]]).collect();
    mesh.faces.extend(twins);
    mesh
}

/// Torus around z (radii `major`, `minor`), outward, `n` × `m` quads.
pub fn torus(major: f64, minor: f64, n: usize, m: usize) -> TriMesh {
    let mut mesh = TriMesh::default();
    for i in 0..n {
        for j in 0..m {
            let (u, v) = (i as f64 / n as f64 * std::f64::consts::TAU, j as f64 / m as f64 * std::f64::consts::TAU);
            let r = major + minor * v.cos();
            mesh.positions.push(DVec3::new(r * u.cos(), r * u.sin(), minor * v.sin()));
            let at = |i: usize, j: usize| ((i % n) * m + j % m) as u32;
            let (a, b, c, d) = (at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1));
            mesh.faces.extend([[a, b, c], [a, c, d]]);
        }
    }
    mesh
}

/// A mesh from a file that must be good.
pub fn load(path: &std::path::Path) -> TriMesh {
    crate::read_mesh(path).unwrap().mesh
}
