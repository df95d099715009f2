//! Marching cubes over rows of inside bits.
//!
//! A vertex belongs to a lattice edge. Its index is the number of crossed edges before it: per row and axis a running
//! offset, within the row a population count. So vertices are shared without any table of them, and rows are independent:
//! one pass counts, one writes vertices, one writes triangles, each in parallel.

use glam::DVec3;
use rayon::prelude::*;

use crate::isosurface::lattice::{Lattice, Values};
use crate::isosurface::table::{Case, cases};
use crate::isosurface::{IsoError, TriMesh};

/// Keeps a vertex off its edge's ends, so that vertices of different edges never coincide.
const MARGIN: f64 = 1e-4;

/// A vertex's lattice edge: the point at its lower end, and the axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Edge {
    pub at: [u32; 3],
    pub axis: u8,
}

/// Rows of bits (1 = inside) and the first vertex of each row and axis.
struct Rows<'a> {
    lattice: &'a Lattice,
    bits: &'a [u64],
    first: Vec<[u32; 3]>,
}

/// Fraction of the way from `a` (value at the lower end) to `b` at which the value is 0.
pub(super) fn root(a: f32, b: f32) -> f64 {
    let (a, b) = (a as f64, b as f64);
    let t = a / (a - b);
    if t.is_finite() { t.clamp(MARGIN, 1.0 - MARGIN) } else { 0.5 }
}

impl Rows<'_> {
    fn row(&self, y: usize, z: usize) -> &[u64] {
        let words = self.lattice.words();
        &self.bits[self.lattice.row(y, z) * words..][..words]
    }

    /// Crossed edges along `axis` that start in word `w` of row (y, z).
    #[inline(always)]
    fn crossed(&self, axis: usize, y: usize, z: usize, w: usize) -> u64 {
        let [nx, ny, nz] = self.lattice.dims;
        let row = self.row(y, z);
        let here = row[w];
        match axis {
            0 => {
                let carry = if w + 1 < row.len() { row[w + 1] << 63 } else { 0 };
                let mask = here ^ (here >> 1 | carry);
                // The row's last point starts no edge.
                let left = nx - 1 - (w * 64).min(nx - 1);
                if left >= 64 { mask } else { mask & ((1u64 << left) - 1) }
            }
            1 if y + 1 < ny => here ^ self.row(y + 1, z)[w],
            2 if z + 1 < nz => here ^ self.row(y, z + 1)[w],
            _ => 0,
        }
    }

    fn count(&self, y: usize, z: usize) -> [u32; 3] {
        let mut n = [0; 3];
        for w in 0..self.lattice.words() {
            for (axis, n) in n.iter_mut().enumerate() {
                *n += self.crossed(axis, y, z, w).count_ones();
            }
        }
        n
    }
}

/// The surface of the lattice's inside bits, and the edge of each vertex.
pub(super) fn extract(lattice: &Lattice, bits: &[u64], values: &impl Values) -> Result<(TriMesh, Vec<Edge>), IsoError> {
    let [_, ny, nz] = lattice.dims;
    let mut rows = Rows { lattice, bits, first: Vec::new() };
    let counts: Vec<[u32; 3]> = (0..ny * nz).into_par_iter().map(|r| rows.count(r % ny, r / ny)).collect();
    let mut total = 0u64;
    rows.first.reserve(counts.len());
    for c in &counts {
        // Offsets past u32 are caught below, before any is used.
        let at = total as u32;
        rows.first.push([at, at.wrapping_add(c[0]), at.wrapping_add(c[0]).wrapping_add(c[1])]);
        total += c.iter().map(|&n| n as u64).sum::<u64>();
    }
    if total > u32::MAX as u64 {
        return Err(IsoError::TooManyVertices(total));
    }
    let rows = &rows;
    let slabs: Vec<(Vec<DVec3>, Vec<Edge>)> = (0..nz).into_par_iter().map(|z| vertices(rows, values, z)).collect();
    let faces: Vec<Vec<[u32; 3]>> = (0..nz - 1).into_par_iter().map(|z| triangles(rows, z)).collect();
    let mut mesh = TriMesh { positions: Vec::with_capacity(total as usize), faces: Vec::new() };
    let mut edges = Vec::with_capacity(total as usize);
    for (p, e) in slabs {
        mesh.positions.extend(p);
        edges.extend(e);
    }
    mesh.faces.reserve(faces.iter().map(Vec::len).sum());
    faces.iter().for_each(|f| mesh.faces.extend_from_slice(f));
    Ok((mesh, edges))
}

fn vertices(rows: &Rows, values: &impl Values, z: usize) -> (Vec<DVec3>, Vec<Edge>) {
    let (mut positions, mut edges) = (Vec::new(), Vec::new());
    let lattice = rows.lattice;
    for y in 0..lattice.dims[1] {
        for axis in 0..3 {
            for w in 0..lattice.words() {
                let mut mask = rows.crossed(axis, y, z, w);
                while mask != 0 {
                    let x = w * 64 + mask.trailing_zeros() as usize;
                    mask &= mask - 1;
                    let mut end = [x, y, z];
                    end[axis] += 1;
                    let t = root(values.value(x, y, z), values.value(end[0], end[1], end[2]));
                    let mut p = lattice.point([x, y, z]);
                    p[axis] += t * lattice.spacing[axis];
                    positions.push(p);
                    edges.push(Edge { at: [x as u32, y as u32, z as u32], axis: axis as u8 });
                }
            }
        }
    }
    (positions, edges)
}

/// Triangles of the cells between planes z and z + 1.
fn triangles(rows: &Rows, z: usize) -> Vec<[u32; 3]> {
    let table = cases();
    let mut out = Vec::new();
    for y in 0..rows.lattice.dims[1] - 1 {
        cell_row(rows, table, y, z, &mut out);
    }
    out
}

fn cell_row(rows: &Rows, table: &[Case; 256], y: usize, z: usize, out: &mut Vec<[u32; 3]>) {
    let lattice = rows.lattice;
    let (nx, words) = (lattice.dims[0], lattice.words());
    // Corner rows by (y, z) offset, and the eight streams of crossed edges that the cells of this row use.
    let corner = [rows.row(y, z), rows.row(y + 1, z), rows.row(y, z + 1), rows.row(y + 1, z + 1)];
    const STREAMS: [(usize, usize, usize); 8] =
        [(0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 0, 0), (1, 0, 1), (2, 0, 0), (2, 1, 0)];
    let mut base = STREAMS.map(|(axis, dy, dz)| rows.first[lattice.row(y + dy, z + dz)][axis]);
    for w in 0..words {
        let here = corner.map(|r| r[w]);
        let next = corner.map(|r| r[w] >> 1 | if w + 1 < words { r[w + 1] << 63 } else { 0 });
        let all = here.iter().chain(&next).fold(!0, |a, &b| a & b);
        let any = here.iter().chain(&next).fold(0, |a, &b| a | b);
        let left = nx - 1 - (w * 64).min(nx - 1);
        let mut active = (any & !all) & if left >= 64 { !0 } else { (1u64 << left) - 1 };
        // A row of one more word may start with the last point only: its crossings still count below.
        let crossed = STREAMS.map(|(axis, dy, dz)| rows.crossed(axis, y + dy, z + dz, w));
        while active != 0 {
            let b = active.trailing_zeros();
            active &= active - 1;
            let bit = |m: u64| (m >> b & 1) as usize;
            let case = (0..4).fold(0, |c, i| c | bit(here[i]) << (2 * i) | bit(next[i]) << (2 * i + 1));
            let below = (1u64 << b) - 1;
            let through = below << 1 | 1;
            let vertex = |e: u8| -> u32 {
                // x-edges name their stream; y- and z-edges start at x or x + 1 of theirs.
                let (stream, past) = match e {
                    0..4 => (e as usize, false),
                    4..8 => (4 + (e as usize - 4) / 2, e % 2 == 1),
                    _ => (6 + (e as usize - 8) / 2, e % 2 == 1),
                };
                base[stream] + (crossed[stream] & if past { through } else { below }).count_ones()
            };
            let entry = &table[case];
            out.extend(entry.triangles[..entry.count].iter().map(|t| t.map(vertex)));
        }
        for (b, c) in base.iter_mut().zip(crossed) {
            *b += c.count_ones();
        }
    }
}
