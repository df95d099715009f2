//! Pairs of faces that meet in more than a corner or an edge that they share.
//!
//! The tree is joined with itself, leaf by leaf: boxes of faces are sifted sixteen at a time in single precision, what
//! passes is settled in double. On a clean mesh nearly all that passes are neighbours, which a look at the shared corners
//! and heights over each other's planes dismisses.

use std::sync::atomic::{AtomicUsize, Ordering};

use glam::DVec3;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::TOLERANCE;
use crate::bvh::{Bvh, LEAF, Packet, WIDTH, chunks, lanes, mask_bits};
use crate::closest::Stack;

/// Height of a triangle, in local units, below which it has no area and no sure normal.
const FLAT: f64 = 1e-9;
/// Slack of positions in the plane of a triangle, for rounding alone.
const ROUNDING: f64 = 1e-12;
/// Leaves that one task joins with all others.
const TASK: usize = 64;

/// A triangle with area, in local coordinates, and its unit normal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flat {
    pub corners: [DVec3; 3],
    pub normal: DVec3,
}

impl Flat {
    /// `None` for a triangle without area.
    pub fn new(corners: [DVec3; 3]) -> Option<Self> {
        let [a, b, c] = corners;
        let (ab, ac, bc) = (b - a, c - a, c - b);
        let cross = ab.cross(ac);
        let longest = ab.length_squared().max(ac.length_squared()).max(bc.length_squared());
        let area2 = cross.length();
        (area2 > FLAT * longest.sqrt()).then(|| Self { corners, normal: cross / area2 })
    }

    /// Height of `p` over the plane.
    pub fn height(&self, p: DVec3) -> f64 {
        self.normal.dot(p - self.corners[0])
    }

    /// The direction in the plane from edge `k` towards the triangle.
    pub fn inward(&self, k: usize) -> DVec3 {
        self.normal.cross(self.corners[(k + 1) % 3] - self.corners[k]).normalize_or_zero()
    }

    /// Heights of another triangle's corners, those within the tolerance as 0.
    fn heights(&self, other: &Self) -> [f64; 3] {
        other.corners.map(|p| Some(self.height(p)).filter(|h| h.abs() > TOLERANCE).unwrap_or(0.0))
    }

    /// The part over the triangle of a segment in its plane, if it is long enough to matter.
    pub fn clip(&self, [p, q]: [DVec3; 2]) -> Option<[DVec3; 2]> {
        let (mut from, mut to) = (0.0f64, 1.0f64);
        for k in 0..3 {
            let inward = self.inward(k);
            let depth = |x: DVec3| inward.dot(x - self.corners[k]) + ROUNDING;
            let (dp, dq) = (depth(p), depth(q));
            if dp < 0.0 && dq < 0.0 {
                return None;
            }
            if dp < 0.0 {
                from = from.max(dp / (dp - dq));
            } else if dq < 0.0 {
                to = to.min(dp / (dp - dq));
            }
        }
        let along = q - p;
        (to > from && (to - from) * along.length() > TOLERANCE).then(|| [p + along * from, p + along * to])
    }

    /// True where the triangles, which share a plane, share more of it than a border.
    fn overlaps(&self, other: &Self) -> bool {
        [self, other].iter().all(|t| {
            (0..3).all(|k| {
                // Along the plane of the first, across an edge of either.
                let edge = t.corners[(k + 1) % 3] - t.corners[k];
                let axis = self.normal.cross(edge).normalize_or_zero();
                let range = |t: &Self| {
                    let x = t.corners.map(|p| axis.dot(p));
                    [x[0].min(x[1]).min(x[2]), x[0].max(x[1]).max(x[2])]
                };
                let ([lo, hi], [other_lo, other_hi]) = (range(self), range(other));
                hi.min(other_hi) - lo.max(other_lo) > TOLERANCE
            })
        })
    }
}

/// Place where a triangle meets the plane of another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meeting {
    Apart,
    /// In this segment, in the plane of the first; it may lie beside the first.
    Across([DVec3; 2]),
    /// The two lie in one plane and overlap.
    Along,
}

/// The place where `other` meets the plane of `face`.
pub(super) fn meeting(face: &Flat, other: &Flat) -> Meeting {
    let same_side = |h: &[f64; 3]| h.iter().all(|&h| h > 0.0) || h.iter().all(|&h| h < 0.0);
    let heights = face.heights(other);
    if same_side(&heights) {
        return Meeting::Apart;
    }
    let back = other.heights(face);
    if same_side(&back) {
        return Meeting::Apart;
    }
    let level = |h: &[f64; 3]| h.iter().all(|&h| h == 0.0);
    if (level(&heights) || level(&back)) && face.normal.dot(other.normal).abs() > 0.5 {
        return if face.overlaps(other) { Meeting::Along } else { Meeting::Apart };
    }
    trace(other, heights).map_or(Meeting::Apart, Meeting::Across)
}

/// The segment of a triangle at height 0.
fn trace(t: &Flat, heights: [f64; 3]) -> Option<[DVec3; 2]> {
    let (mut ends, mut n) = ([DVec3::ZERO; 3], 0);
    for k in 0..3 {
        let (h, next) = (heights[k], heights[(k + 1) % 3]);
        let (p, q) = (t.corners[k], t.corners[(k + 1) % 3]);
        if h == 0.0 {
            (ends[n], n) = (p, n + 1);
        } else if h * next < 0.0 {
            (ends[n], n) = (p.lerp(q, h / (h - next)), n + 1);
        }
    }
    match n {
        2 => Some([ends[0], ends[1]]),
        // All of a narrow triangle: its longest edge stands for it.
        3 => [[0, 1], [1, 2], [2, 0]]
            .map(|[i, j]| [ends[i], ends[j]])
            .into_iter()
            .max_by(|a, b| a[0].distance_squared(a[1]).total_cmp(&b[0].distance_squared(b[1]))),
        _ => None,
    }
}

/// True where two faces meet in more than `shared` corners.
fn meet(face: &Flat, other: &Flat, shared: usize) -> bool {
    match meeting(face, other) {
        Meeting::Apart => false,
        Meeting::Along => true,
        // Faces that share an edge and don't lie on each other meet nowhere else.
        Meeting::Across(_) if shared > 1 => false,
        Meeting::Across(segment) => face.clip(segment).is_some(),
    }
}

/// Boxes of the faces of a leaf, widened by the tolerance.
struct Boxes {
    lo: [[f32; WIDTH]; 3],
    hi: [[f32; WIDTH]; 3],
}

impl Boxes {
    #[inline(always)]
    fn of(t: &Packet) -> Self {
        let mut boxes = Self { lo: [[0.0; WIDTH]; 3], hi: [[0.0; WIDTH]; 3] };
        for k in 0..3 {
            for i in 0..WIDTH {
                let (a, b, c) = (t.a[k][i], t.a[k][i] + t.ab[k][i], t.a[k][i] + t.ac[k][i]);
                boxes.lo[k][i] = a.min(b).min(c) - TOLERANCE as f32;
                boxes.hi[k][i] = a.max(b).max(c) + TOLERANCE as f32;
            }
        }
        boxes
    }

    fn lane(&self, i: usize) -> [[f32; 3]; 2] {
        [[self.lo[0][i], self.lo[1][i], self.lo[2][i]], [self.hi[0][i], self.hi[1][i], self.hi[2][i]]]
    }

    /// The box around all of them.
    fn around(&self) -> [[f32; 3]; 2] {
        [
            self.lo.map(|v| v.into_iter().fold(f32::INFINITY, f32::min)),
            self.hi.map(|v| v.into_iter().fold(f32::NEG_INFINITY, f32::max)),
        ]
    }
}

/// Lanes whose boxes overlap the box `[lo, hi]`.
#[inline(always)]
fn overlapping<S: Simd>(
    simd: S,
    lo: &[[f32; WIDTH]; 3],
    hi: &[[f32; WIDTH]; 3],
    [from, to]: [[f32; 3]; 2],
    count: u32,
) -> u32 {
    let mut bits = 0;
    for c in 0..chunks::<S>() {
        let mut hit = simd.less_than_or_equal_f32s(lanes(simd, &lo[0], c), simd.splat_f32s(to[0]));
        for k in 0..3 {
            let below = simd.less_than_or_equal_f32s(lanes(simd, &lo[k], c), simd.splat_f32s(to[k]));
            let above = simd.greater_than_or_equal_f32s(lanes(simd, &hi[k], c), simd.splat_f32s(from[k]));
            hit = simd.and_m32s(hit, simd.and_m32s(below, above));
        }
        bits |= mask_bits(simd, hit) << (c * S::F32_LANES);
    }
    bits & ((1u32 << count) - 1)
}

/// The faces of some leaves against those of all leaves from theirs on.
struct Join<'a> {
    bvh: &'a Bvh,
    merged: &'a [u32],
    ignores: &'a (dyn Fn(u32) -> bool + Sync),
    leaves: std::ops::Range<u32>,
    tests: &'a AtomicUsize,
    most_tests: usize,
    pairs: &'a AtomicUsize,
    most_pairs: usize,
}

impl Join<'_> {
    fn is_spent(&self) -> bool {
        self.tests.load(Ordering::Relaxed) > self.most_tests || self.pairs.load(Ordering::Relaxed) > self.most_pairs
    }

    /// True where the faces meet.
    fn test(&self, f: u32, flat: &Flat, g: u32) -> bool {
        let [own, theirs] = [f, g].map(|f| self.bvh.faces[f as usize].map(|v| self.merged[v as usize]));
        let is_shared = |v: &u32| theirs.contains(v);
        let shared = own.iter().filter(|v| is_shared(v)).count();
        if shared == 2 {
            // The corners across the shared edge: seen along it at a right angle or more, the faces don't overlap.
            let free = |own: &[u32; 3], theirs: &[u32; 3]| own.iter().position(|v| !theirs.contains(v));
            let (Some(i), Some(j)) = (free(&own, &theirs), free(&theirs, &own)) else { return false };
            let (c, d) = (flat.corners[i], self.bvh.corners(g)[j]);
            let (a, b) = (flat.corners[(i + 1) % 3], flat.corners[(i + 2) % 3]);
            let (edge, ac, ad) = (b - a, c - a, d - a);
            if ac.dot(ad) * edge.length_squared() <= ac.dot(edge) * ad.dot(edge) {
                return false;
            }
        }
        !(self.ignores)(g) && Flat::new(self.bvh.corners(g)).is_some_and(|other| meet(flat, &other, shared))
    }
}

impl WithSimd for Join<'_> {
    type Output = Vec<[u32; 2]>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let (bvh, mut found) = (self.bvh, Vec::new());
        let mut stack = Stack::with_capacity(64);
        for own in self.leaves.clone() {
            if self.is_spent() {
                break;
            }
            let (before, mut tests) = (found.len(), 0);
            let packet = &bvh.packets[own as usize];
            let boxes = Boxes::of(packet);
            let around = boxes.around();
            let flats: [Option<Flat>; WIDTH] = std::array::from_fn(|i| {
                let f = packet.face[i];
                if i < packet.count as usize && !(self.ignores)(f) { Flat::new(bvh.corners(f)) } else { None }
            });
            stack.clear();
            stack.push((0.0, 0));
            while let Some((_, link)) = stack.pop() {
                if link & LEAF == 0 {
                    let (node, ranges) = (&bvh.nodes[link as usize], &bvh.ranges[link as usize]);
                    let mut bits = overlapping(simd, &node.lo, &node.hi, around, node.count);
                    while bits != 0 {
                        let i = bits.trailing_zeros() as usize;
                        bits &= bits - 1;
                        if ranges[i][1] > own {
                            stack.push((0.0, node.child[i]));
                        }
                    }
                    continue;
                }
                let leaf = link & !LEAF;
                let other = &bvh.packets[leaf as usize];
                let others = Boxes::of(other);
                for (i, flat) in flats.iter().enumerate() {
                    let Some(flat) = flat else { continue };
                    let mut bits = overlapping(simd, &others.lo, &others.hi, boxes.lane(i), other.count);
                    if leaf == own {
                        // Each pair once.
                        bits &= u32::MAX << (i + 1);
                    }
                    tests += bits.count_ones() as usize;
                    while bits != 0 {
                        let g = other.face[bits.trailing_zeros() as usize];
                        bits &= bits - 1;
                        if self.test(packet.face[i], flat, g) {
                            found.push([packet.face[i], g]);
                        }
                    }
                }
            }
            self.tests.fetch_add(tests, Ordering::Relaxed);
            self.pairs.fetch_add(found.len() - before, Ordering::Relaxed);
        }
        found
    }
}

/// Every pair of faces that meet in more than shared corners and edges, without those that `ignores` names; corners with
/// the same `merged` number count as one. `None` where there are so many that the search would take longer than is in
/// proportion to the mesh.
pub(super) fn meeting_pairs(
    bvh: &Bvh,
    merged: &[u32],
    ignores: &(dyn Fn(u32) -> bool + Sync),
) -> Option<Vec<[u32; 2]>> {
    let (tests, pairs) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (most_tests, most_pairs) = (100 * bvh.face_count() + 50_000_000, 8 * bvh.face_count() + 500_000);
    let count = bvh.packets.len() as u32;
    let found: Vec<Vec<[u32; 2]>> = (0..count.div_ceil(TASK as u32))
        .into_par_iter()
        .map(|task| {
            let leaves = task * TASK as u32..(task * TASK as u32 + TASK as u32).min(count);
            let (tests, pairs) = (&tests, &pairs);
            Arch::new().dispatch(Join { bvh, merged, ignores, leaves, tests, most_tests, pairs, most_pairs })
        })
        .collect();
    // More than that in all, whatever the order of the tasks.
    (tests.into_inner() <= most_tests && pairs.into_inner() <= most_pairs).then(|| found.concat())
}
