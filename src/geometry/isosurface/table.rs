//! The 256 cases of marching cubes, derived instead of listed.
//!
//! On each face of a cell every run of inside corners is cut off by its own segment. The rule reads only that face's
//! corners, so the two cells that share the face agree, ambiguous faces included: no cracks. The segments chain into
//! loops; each loop is triangulated without a diagonal between two vertices of one cell face, so that no edge belongs to
//! more than two triangles. Every loop has at most seven vertices, every case at most five triangles.

use std::sync::OnceLock;

/// Triangles of one case, as cell edges.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Case {
    pub count: usize,
    pub triangles: [[u8; 3]; 5],
}

/// Edge between two corners of a cell: axis · 4 + offset along the two other axes (lower axis first).
/// Corner bits are x, y, z.
const fn edge(a: usize, b: usize) -> usize {
    let (low, axis) = (a & b, (a ^ b).trailing_zeros() as usize);
    let (x, y, z) = (low & 1, low >> 1 & 1, low >> 2 & 1);
    axis * 4
        + match axis {
            0 => y + 2 * z,
            1 => x + 2 * z,
            _ => x + 2 * y,
        }
}

/// Corners of the six faces, counter-clockwise seen from outside the cell.
fn faces() -> [[usize; 4]; 6] {
    std::array::from_fn(|f| {
        let (axis, side) = (f / 2, f % 2);
        let (u, v) = (1 << ((axis + 1) % 3), 1 << ((axis + 2) % 3));
        let base = side << axis;
        match side {
            1 => [base, base | u, base | u | v, base | v],
            _ => [base, base | v, base | u | v, base | u],
        }
    })
}

/// Bits of the cell faces that hold each edge.
fn faces_of_edges() -> [u8; 12] {
    let mut out = [0; 12];
    for (f, corners) in faces().iter().enumerate() {
        for i in 0..4 {
            out[edge(corners[i], corners[(i + 1) % 4])] |= 1 << f;
        }
    }
    out
}

/// The closed chains of crossed edges around the surface in a cell whose inside corners are the bits of `case`.
fn loops(case: usize) -> Vec<Vec<usize>> {
    let mut next = [usize::MAX; 12];
    for corners in faces() {
        let inside = |i: usize| case >> corners[i % 4] & 1 == 1;
        for i in 0..4 {
            if inside(i) && !inside(i + 3) {
                let last = (i..).take_while(|&j| inside(j)).last().unwrap_or(i);
                next[edge(corners[(i + 3) % 4], corners[i])] = edge(corners[last % 4], corners[(last + 1) % 4]);
            }
        }
    }
    let mut out = Vec::new();
    for start in 0..12 {
        let (mut chain, mut at) = (Vec::new(), start);
        while next[at] != usize::MAX {
            chain.push(at);
            at = std::mem::replace(&mut next[at], usize::MAX);
        }
        if !chain.is_empty() {
            out.push(chain);
        }
    }
    out
}

/// Triangulates `chain[i..=j]` without forbidden diagonals; false if there is none.
fn triangulate(chain: &[usize], held: &[u8; 12], i: usize, j: usize, out: &mut Vec<[u8; 3]>) -> bool {
    if j - i < 2 {
        return true;
    }
    let outer = i == 0 && j + 1 == chain.len();
    if !outer && held[chain[i]] & held[chain[j]] != 0 {
        return false;
    }
    // The middle vertex first: fatter triangles than a fan.
    let mut order: Vec<usize> = (i + 1..j).collect();
    order.sort_by_key(|&k| (2 * k).abs_diff(i + j));
    for k in order {
        let before = out.len();
        out.push([chain[i] as u8, chain[k] as u8, chain[j] as u8]);
        if triangulate(chain, held, i, k, out) && triangulate(chain, held, k, j, out) {
            return true;
        }
        out.truncate(before);
    }
    false
}

/// All cases, by the bits of the inside corners.
pub(super) fn cases() -> &'static [Case; 256] {
    static CASES: OnceLock<[Case; 256]> = OnceLock::new();
    CASES.get_or_init(|| {
        let held = faces_of_edges();
        std::array::from_fn(|case| {
            let mut triangles = Vec::new();
            for chain in loops(case) {
                let found = triangulate(&chain, &held, 0, chain.len() - 1, &mut triangles);
                debug_assert!(found);
            }
            let mut out = Case { count: triangles.len(), ..Case::default() };
            out.triangles[..triangles.len()].copy_from_slice(&triangles);
            out
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crossed_edge_is_used_and_every_loop_filled() {
        for case in 0..256usize {
            let mut want = 0u16;
            for a in 0..8 {
                for axis in 0..3 {
                    let b = a | 1 << axis;
                    if a != b && (case >> a & 1) != (case >> b & 1) {
                        want |= 1 << edge(a, b);
                    }
                }
            }
            let entry = &cases()[case];
            let got = entry.triangles[..entry.count].iter().flatten().fold(0u16, |m, &e| m | 1 << e);
            assert_eq!(got, want, "case {case}");
            let chains = loops(case);
            assert_eq!(entry.count, chains.iter().map(|c| c.len() - 2).sum::<usize>());
        }
    }
}
