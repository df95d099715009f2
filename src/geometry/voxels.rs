//! A uniform grid over a mesh: cells that a face touches, and connected components of the others.

use std::sync::atomic::{AtomicU64, Ordering};

use glam::DVec3;
use rayon::prelude::*;

use crate::bvh::Bvh;

/// State of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CellState {
    /// A face touches it (or nearly so): nothing is known of its points.
    Boundary,
    /// All of it lies outside.
    Outside,
    /// All of it lies inside.
    Inside,
}

/// Cubic cells in the local frame; the outermost two layers are free of faces.
#[derive(Clone, Debug)]
pub(crate) struct VoxelGrid {
    pub dims: [usize; 3],
    pub origin: DVec3,
    pub cell: f64,
    /// Cells a unit of length.
    inv: f64,
    state: Vec<CellState>,
}

/// Free cells in one row: x in `start..end`, and the component that they belong to.
struct Run {
    start: u32,
    end: u32,
    parent: u32,
}

/// A connected set of free cells.
pub(crate) struct Component {
    /// A cell of it: the middle of its longest row.
    pub sample: [usize; 3],
    /// It reaches the grid's border.
    pub border: bool,
    /// Cells.
    pub size: usize,
    longest: u32,
}

impl VoxelGrid {
    /// VoxelGrid with `resolution` cells (16 to 2048) along the longest edge of the mesh's box, and its free components
    /// judged by `judge`: true for inside. Components at the border are always outside.
    pub fn new(bvh: &Bvh, resolution: usize, judge: impl Fn(&VoxelGrid, &Component) -> bool + Sync) -> Self {
        let (lo, hi) = bvh.local_bounds();
        let (lo, hi) = (lo.as_dvec3(), hi.as_dvec3());
        let extent = (hi - lo).max_element().max(1e-9);
        let cell = extent / resolution.clamp(16, 2048) as f64;
        let dims = [0, 1, 2].map(|k| ((hi - lo)[k] / cell).ceil() as usize + 5);
        let size = DVec3::new(dims[0] as f64, dims[1] as f64, dims[2] as f64) * cell;
        let origin = (lo + hi) * 0.5 - size * 0.5;
        let mut grid = Self { dims, origin, cell, inv: 1.0 / cell, state: Vec::new() };
        let blocked = grid.boundary_bits(bvh);
        grid.label(&blocked, judge);
        grid
    }

    /// CellState of the local point `p`, if it lies in the grid.
    #[inline(always)]
    pub fn locate(&self, p: DVec3) -> Option<[usize; 3]> {
        let q = (p - self.origin) * self.inv;
        let inside = q.x >= 0.0
            && q.y >= 0.0
            && q.z >= 0.0
            && q.x < self.dims[0] as f64
            && q.y < self.dims[1] as f64
            && q.z < self.dims[2] as f64;
        inside.then_some([q.x as usize, q.y as usize, q.z as usize])
    }

    #[inline(always)]
    fn index(&self, [x, y, z]: [usize; 3]) -> usize {
        (z * self.dims[1] + y) * self.dims[0] + x
    }

    /// State of a cell inside the grid.
    #[inline(always)]
    pub fn state(&self, cell: [usize; 3]) -> CellState {
        self.state[self.index(cell)]
    }

    /// State at the local point `p`; outside the grid all is outside.
    #[inline(always)]
    pub fn at(&self, p: DVec3) -> CellState {
        self.locate(p).map_or(CellState::Outside, |c| self.state(c))
    }

    /// Centre of a cell, in the local frame.
    pub fn centre(&self, c: [usize; 3]) -> DVec3 {
        self.origin + (DVec3::new(c[0] as f64, c[1] as f64, c[2] as f64) + 0.5) * self.cell
    }

    /// Number of cells known to lie inside.
    #[cfg(test)]
    pub fn inside_cells(&self) -> usize {
        self.state.par_iter().filter(|&&c| c == CellState::Inside).count()
    }

    /// Bits of the cells that faces touch, row by row (each row starts a word).
    fn boundary_bits(&self, bvh: &Bvh) -> Vec<u64> {
        let words = self.dims[0].div_ceil(64);
        let bits: Vec<AtomicU64> = (0..words * self.dims[1] * self.dims[2]).map(|_| AtomicU64::new(0)).collect();
        bvh.packets.par_iter().for_each(|packet| {
            for &f in &packet.face[..packet.count as usize] {
                let corners = bvh.corners(f).map(|p| (p - self.origin) * self.inv);
                cover(corners, self.dims, |[x, y, z]| {
                    let at = (z * self.dims[1] + y) * words + x / 64;
                    bits[at].fetch_or(1 << (x % 64), Ordering::Relaxed);
                });
            }
        });
        bits.into_iter().map(AtomicU64::into_inner).collect()
    }

    /// Joins runs of free cells into components and fills `state`.
    fn label(&mut self, blocked: &[u64], judge: impl Fn(&VoxelGrid, &Component) -> bool + Sync) {
        let [nx, ny, nz] = self.dims;
        let words = nx.div_ceil(64);
        let rows: Vec<Vec<(u32, u32)>> =
            (0..ny * nz).into_par_iter().map(|row| free_runs(&blocked[row * words..][..words], nx as u32)).collect();
        let mut first = Vec::with_capacity(rows.len() + 1);
        let mut runs: Vec<Run> = Vec::new();
        for row in &rows {
            first.push(runs.len());
            for &(start, end) in row {
                runs.push(Run { start, end, parent: runs.len() as u32 });
            }
        }
        first.push(runs.len());
        for z in 0..nz {
            for y in 0..ny {
                let row = z * ny + y;
                if y > 0 {
                    unite(&mut runs, first[row - 1]..first[row], first[row]..first[row + 1]);
                }
                if z > 0 {
                    unite(&mut runs, first[row - ny]..first[row - ny + 1], first[row]..first[row + 1]);
                }
            }
        }
        let (roots, components) = self.components(&mut runs, &first);
        let this = &*self;
        let inside: Vec<bool> = components.par_iter().map(|c| !c.border && judge(this, c)).collect();
        let mut state = vec![CellState::Boundary; nx * ny * nz];
        state.par_chunks_mut(nx).enumerate().for_each(|(row, cells)| {
            for i in first[row]..first[row + 1] {
                let value = if inside[roots[i] as usize] { CellState::Inside } else { CellState::Outside };
                cells[runs[i].start as usize..runs[i].end as usize].fill(value);
            }
        });
        self.state = state;
    }

    /// Component of each run, and the components.
    fn components(&self, runs: &mut [Run], first: &[usize]) -> (Vec<u32>, Vec<Component>) {
        let [nx, ny, nz] = self.dims;
        let mut of_root = vec![u32::MAX; runs.len()];
        let mut of_run = vec![0; runs.len()];
        let mut out: Vec<Component> = Vec::new();
        for row in 0..ny * nz {
            let (y, z) = (row % ny, row / ny);
            let edge_row = y == 0 || z == 0 || y + 1 == ny || z + 1 == nz;
            for i in first[row]..first[row + 1] {
                let root = find(runs, i as u32) as usize;
                if of_root[root] == u32::MAX {
                    of_root[root] = out.len() as u32;
                    out.push(Component { sample: [0; 3], border: false, size: 0, longest: 0 });
                }
                of_run[i] = of_root[root];
                let component = &mut out[of_root[root] as usize];
                let (start, end) = (runs[i].start, runs[i].end);
                component.border |= edge_row || start == 0 || end as usize == nx;
                component.size += (end - start) as usize;
                if end - start > component.longest {
                    component.longest = end - start;
                    component.sample = [(start + end) as usize / 2, y, z];
                }
            }
        }
        (of_run, out)
    }
}

fn free_runs(words: &[u64], nx: u32) -> Vec<(u32, u32)> {
    let (mut out, mut x) = (Vec::new(), 0);
    // Position of the next bit equal to `set` at or after `x`.
    let next = |x: u32, set: bool| {
        let mut at = x;
        while at < nx {
            let word = if set { words[at as usize / 64] } else { !words[at as usize / 64] };
            let rest = word >> (at % 64);
            if rest != 0 {
                return (at + rest.trailing_zeros()).min(nx);
            }
            at = (at / 64 + 1) * 64;
        }
        nx
    };
    while x < nx {
        let start = next(x, false);
        let end = next(start, true);
        if start < end {
            out.push((start, end));
        }
        x = end.max(x + 1);
    }
    out
}

fn find(runs: &mut [Run], mut i: u32) -> u32 {
    while runs[i as usize].parent != i {
        let up = runs[i as usize].parent;
        runs[i as usize].parent = runs[up as usize].parent;
        i = up;
    }
    i
}

/// Joins the runs of two neighbouring rows that overlap.
fn unite(runs: &mut [Run], a: std::ops::Range<usize>, b: std::ops::Range<usize>) {
    let (mut i, mut j) = (a.start, b.start);
    while i < a.end && j < b.end {
        if runs[i].start < runs[j].end && runs[j].start < runs[i].end {
            let (x, y) = (find(runs, i as u32), find(runs, j as u32));
            runs[x.max(y) as usize].parent = x.min(y);
        }
        if runs[i].end < runs[j].end { i += 1 } else { j += 1 }
    }
}

/// Calls `mark` for every cell that the triangle (in cell units) touches, and for a few beside it, never too few.
fn cover(t: [DVec3; 3], dims: [usize; 3], mut mark: impl FnMut([usize; 3])) {
    const PAD: f64 = 1e-4;
    let n = (t[1] - t[0]).cross(t[2] - t[0]);
    let m = n.abs();
    let k = if m.x >= m.y && m.x >= m.z { 0 } else { if m.y >= m.z { 1 } else { 2 } };
    if m[k] == 0.0 || !m.is_finite() {
        return;
    }
    let (i, j) = ((k + 1) % 3, (k + 2) % 3);
    let (lo, hi) = (t[0].min(t[1]).min(t[2]) - PAD, t[0].max(t[1]).max(t[2]) + PAD);
    let range = |axis: usize, lo: f64, hi: f64| {
        let last = dims[axis] - 1;
        (lo.max(0.0) as usize).min(last)..=(hi.max(0.0) as usize).min(last)
    };
    let side = n[k].signum();
    // Edge functions in the (i, j) plane, positive inside: normal and offset.
    let edges: [[f64; 3]; 3] = std::array::from_fn(|e| {
        let (p, q) = (t[e], t[(e + 1) % 3]);
        let normal = [(p[j] - q[j]) * side, (q[i] - p[i]) * side];
        [normal[0], normal[1], -(normal[0] * p[i] + normal[1] * p[j])]
    });
    let (si, sj) = (n[i] / n[k], n[j] / n[k]);
    let half = (si.abs() + sj.abs()) * (0.5 + PAD) + PAD;
    for b in range(j, lo[j], hi[j]) {
        for a in range(i, lo[i], hi[i]) {
            let (x0, y0) = (a as f64 - PAD, b as f64 - PAD);
            let reach = 1.0 + 2.0 * PAD;
            let overlaps =
                edges.iter().all(|e| e[0] * x0 + e[1] * y0 + e[2] + (e[0].max(0.0) + e[1].max(0.0)) * reach >= 0.0);
            if !overlaps {
                continue;
            }
            let at = t[0][k] - si * (a as f64 + 0.5 - t[0][i]) - sj * (b as f64 + 0.5 - t[0][j]);
            for c in range(k, (at - half).max(lo[k]), (at + half).min(hi[k])) {
                let mut cell = [0; 3];
                (cell[i], cell[j], cell[k]) = (a, b, c);
                mark(cell);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn no_boundary_cell_is_missed() {
        let mesh = testing::soup(60, 4, 0.5);
        let bvh = Bvh::new(&mesh);
        let grid = VoxelGrid::new(&bvh, 40, |_, _| true);
        for f in 0..60 {
            let [a, b, c] = bvh.corners(f);
            for i in 0..=60 {
                for j in 0..=60 - i {
                    let (u, v) = (i as f64 / 60.0, j as f64 / 60.0);
                    assert_eq!(grid.at(a + (b - a) * u + (c - a) * v), CellState::Boundary);
                }
            }
        }
    }

    #[test]
    fn a_box_has_one_inside_and_an_outside() {
        let bvh = Bvh::new(&testing::cuboid(DVec3::ZERO, DVec3::new(1.0, 2.0, 3.0)));
        let grid = VoxelGrid::new(&bvh, 30, |_, _| true);
        let inside = grid.inside_cells() as f64 * (grid.cell / bvh.frame().scale).powi(3);
        assert!(inside > 3.0 && inside <= 6.0, "{inside}");
        assert_eq!(grid.at(bvh.frame().to_local(DVec3::new(0.5, 1.0, 1.5))), CellState::Inside);
        assert_eq!(grid.at(bvh.frame().to_local(DVec3::splat(-0.2))), CellState::Outside);
        assert_eq!(grid.at(DVec3::splat(1e9)), CellState::Outside);
    }
}
