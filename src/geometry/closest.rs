//! The closest point of a triangle set: wide traversal in single precision, the winner settled in double.

use glam::{DVec3, Vec3};
use pulp::{Arch, Simd, WithSimd};

use super::bvh::{Bvh, LEAF, NO_SLOT, Packet, WIDTH, WideNode, chunks, lanes, mask_bits};

/// The closest point of a mesh to a query point, in mesh units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Closest {
    /// Unsigned distance.
    pub distance: f64,
    /// Index of the face.
    pub face: u32,
    /// The point on the face.
    pub point: DVec3,
    /// Weights of the face's corners; zeros name the edge or corner that the point lies on.
    pub barycentric: [f64; 3],
}

/// Closest point of triangle `abc` to `p` with its barycentric weights (Ericson, Real-Time Collision Detection, 5.1.5).
#[inline(always)]
pub fn closest_on_triangle(p: DVec3, [a, b, c]: [DVec3; 3]) -> (DVec3, [f64; 3]) {
    let (ab, ac, ap) = (b - a, c - a, p - a);
    let longest = ab.length_squared().max(ac.length_squared());
    if ab.cross(ac).length_squared() <= 1e-13 * longest * longest {
        return closest_on_edges(p, [a, b, c]);
    }
    let (d1, d2) = (ab.dot(ap), ac.dot(ap));
    if d1 <= 0.0 && d2 <= 0.0 {
        return (a, [1.0, 0.0, 0.0]);
    }
    let bp = p - b;
    let (d3, d4) = (ab.dot(bp), ac.dot(bp));
    if d3 >= 0.0 && d4 <= d3 {
        return (b, [0.0, 1.0, 0.0]);
    }
    let vc = d1 * d4 - d3 * d2;
    if vc <= 0.0 && d1 >= 0.0 && d3 <= 0.0 {
        let v = d1 / (d1 - d3);
        return (a + ab * v, [1.0 - v, v, 0.0]);
    }
    let cp = p - c;
    let (d5, d6) = (ab.dot(cp), ac.dot(cp));
    if d6 >= 0.0 && d5 <= d6 {
        return (c, [0.0, 0.0, 1.0]);
    }
    let vb = d5 * d2 - d1 * d6;
    if vb <= 0.0 && d2 >= 0.0 && d6 <= 0.0 {
        let w = d2 / (d2 - d6);
        return (a + ac * w, [1.0 - w, 0.0, w]);
    }
    let va = d3 * d6 - d5 * d4;
    if va <= 0.0 && d4 - d3 >= 0.0 && d5 - d6 >= 0.0 {
        let w = (d4 - d3) / ((d4 - d3) + (d5 - d6));
        return (b + (c - b) * w, [0.0, 1.0 - w, w]);
    }
    let inv = 1.0 / (va + vb + vc);
    let (v, w) = (vb * inv, vc * inv);
    (a + ab * v + ac * w, [1.0 - v - w, v, w])
}

/// Closest point of the three edges: what a needle comes to where its area drowns in rounding.
#[cold]
fn closest_on_edges(p: DVec3, t: [DVec3; 3]) -> (DVec3, [f64; 3]) {
    let mut best = (f64::INFINITY, t[0], [1.0, 0.0, 0.0]);
    for k in 0..3 {
        let (a, e) = (t[k], t[(k + 1) % 3] - t[k]);
        let along = (p - a).dot(e) / e.length_squared();
        let s = if along.is_finite() { along.clamp(0.0, 1.0) } else { 0.0 };
        let q = a + e * s;
        let d2 = (p - q).length_squared();
        if d2 < best.0 {
            let mut weights = [0.0; 3];
            (weights[k], weights[(k + 1) % 3]) = (1.0 - s, s);
            best = (d2, q, weights);
        }
    }
    (best.1, best.2)
}

/// The last answer, from which the next query of a coherent batch takes its first bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    slot: u32,
    point: Vec3,
}

impl Cursor {
    pub(crate) const NONE: Self = Self { slot: NO_SLOT, point: Vec3::ZERO };
}

/// Traversal stack: squared distance and child link.
pub(crate) type Stack = Vec<(f32, u32)>;

/// An answer in the local frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    pub distance: f64,
    pub slot: u32,
    pub point: DVec3,
    pub barycentric: [f64; 3],
}

#[inline(always)]
fn box_distances<S: Simd>(simd: S, node: &WideNode, p: [S::f32s; 3], limit: f32, out: &mut [f32; WIDTH]) -> u32 {
    let (zero, limit) = (simd.splat_f32s(0.0), simd.splat_f32s(limit));
    let (out, _) = S::as_mut_simd_f32s(out);
    let mut hits = 0;
    for (c, out) in out.iter_mut().enumerate() {
        let mut sum = zero;
        for (k, &p) in p.iter().enumerate() {
            let below = simd.sub_f32s(lanes(simd, &node.lo[k], c), p);
            let above = simd.sub_f32s(p, lanes(simd, &node.hi[k], c));
            let d = simd.max_f32s(simd.max_f32s(below, above), zero);
            sum = simd.mul_add_e_f32s(d, d, sum);
        }
        *out = sum;
        hits |= mask_bits(simd, simd.less_than_f32s(sum, limit)) << (c * S::F32_LANES);
    }
    hits
}

#[inline(always)]
pub(crate) fn dot<S: Simd>(simd: S, a: [S::f32s; 3], b: [S::f32s; 3]) -> S::f32s {
    simd.mul_add_e_f32s(a[0], b[0], simd.mul_add_e_f32s(a[1], b[1], simd.mul_f32s(a[2], b[2])))
}

#[inline(always)]
pub(crate) fn sub<S: Simd>(simd: S, a: [S::f32s; 3], b: [S::f32s; 3]) -> [S::f32s; 3] {
    [simd.sub_f32s(a[0], b[0]), simd.sub_f32s(a[1], b[1]), simd.sub_f32s(a[2], b[2])]
}

#[inline(always)]
pub(crate) fn cross<S: Simd>(simd: S, a: [S::f32s; 3], b: [S::f32s; 3]) -> [S::f32s; 3] {
    // Spelled out: a closure that is not inlined would leave the dispatched instruction set.
    [
        simd.negate_mul_add_e_f32s(a[2], b[1], simd.mul_f32s(a[1], b[2])),
        simd.negate_mul_add_e_f32s(a[0], b[2], simd.mul_f32s(a[2], b[0])),
        simd.negate_mul_add_e_f32s(a[1], b[0], simd.mul_f32s(a[0], b[1])),
    ]
}

#[inline(always)]
pub(crate) fn load3<S: Simd>(simd: S, v: &[[f32; WIDTH]; 3], c: usize) -> [S::f32s; 3] {
    [lanes(simd, &v[0], c), lanes(simd, &v[1], c), lanes(simd, &v[2], c)]
}

/// Squared distance from `p + s` on the line to a clamped foot on the edge `e`.
#[inline(always)]
fn edge2<S: Simd>(simd: S, p: [S::f32s; 3], e: [S::f32s; 3], inv: S::f32s) -> S::f32s {
    let t = simd.mul_f32s(dot(simd, p, e), inv);
    let t = simd.min_f32s(simd.max_f32s(t, simd.splat_f32s(0.0)), simd.splat_f32s(1.0));
    let r = [
        simd.negate_mul_add_e_f32s(t, e[0], p[0]),
        simd.negate_mul_add_e_f32s(t, e[1], p[1]),
        simd.negate_mul_add_e_f32s(t, e[2], p[2]),
    ];
    dot(simd, r, r)
}

/// Squared distances to sixteen triangles; returns the smallest and its lane.
#[inline(always)]
fn packet_nearest<S: Simd>(simd: S, t: &Packet, p: [S::f32s; 3], best: f32) -> (f32, usize) {
    let zero = simd.splat_f32s(0.0);
    let (mut least, mut lane) = (best, WIDTH);
    for c in 0..chunks::<S>() {
        let ap = sub(simd, p, load3(simd, &t.a, c));
        let (ab, ac, n) = (load3(simd, &t.ab, c), load3(simd, &t.ac, c), load3(simd, &t.n, c));
        // Over the face: every in-plane edge distance is positive; stable for needles, unlike barycentrics.
        let q = cross(simd, ap, n);
        let (s, r) = (dot(simd, ab, q), dot(simd, ac, q));
        let u = simd.add_f32s(simd.sub_f32s(r, s), lanes(simd, &t.area2, c));
        let low = simd.min_f32s(simd.min_f32s(s, simd.neg_f32s(r)), u);
        let over = simd.greater_than_or_equal_f32s(low, zero);
        let h = dot(simd, ap, n);
        let e0 = edge2(simd, ap, ab, lanes(simd, &t.inv[0], c));
        let e1 = edge2(simd, ap, ac, lanes(simd, &t.inv[1], c));
        let e2 = edge2(simd, sub(simd, ap, ab), sub(simd, ac, ab), lanes(simd, &t.inv[2], c));
        let edges = simd.min_f32s(simd.min_f32s(e0, e1), e2);
        let d = simd.select_f32s(over, simd.mul_f32s(h, h), edges);
        let d_min = simd.reduce_min_f32s(d);
        if d_min < least {
            least = d_min;
            let first = mask_bits(simd, simd.equal_f32s(d, simd.splat_f32s(d_min))).trailing_zeros() as usize;
            lane = c * S::F32_LANES + first;
        }
    }
    (least, lane)
}

/// Slot of the nearest triangle closer than `sqrt(best)`, or [`NO_SLOT`].
#[inline(always)]
fn nearest_slot<S: Simd>(simd: S, bvh: &Bvh, p: Vec3, mut best: f32, stack: &mut Stack) -> u32 {
    let mut slot = NO_SLOT;
    let pv = [simd.splat_f32s(p.x), simd.splat_f32s(p.y), simd.splat_f32s(p.z)];
    stack.clear();
    stack.push((0.0, 0));
    let mut d = [0.0f32; WIDTH];
    while let Some((d2, link)) = stack.pop() {
        if d2 >= best {
            continue;
        }
        if link & LEAF != 0 {
            let index = link & !LEAF;
            let (d2, lane) = packet_nearest(simd, &bvh.packets[index as usize], pv, best);
            if lane < WIDTH {
                best = d2;
                slot = index * WIDTH as u32 + lane as u32;
            }
            continue;
        }
        let node = &bvh.nodes[link as usize];
        let mut hits = box_distances(simd, node, pv, best, &mut d);
        let base = stack.len();
        while hits != 0 {
            let i = hits.trailing_zeros() as usize;
            hits &= hits - 1;
            // Keep the tail sorted, nearest last, so that the nearest child is popped first.
            let entry = (d[i], node.child[i]);
            let mut at = stack.len();
            stack.push(entry);
            while at > base && stack[at - 1].0 < entry.0 {
                stack[at] = stack[at - 1];
                at -= 1;
            }
            stack[at] = entry;
        }
    }
    slot
}

/// Nearest triangle within `limit` of the local point `p`, starting from the cursor's answer; moves the cursor.
#[inline(always)]
pub(crate) fn nearest<S: Simd>(
    simd: S,
    bvh: &Bvh,
    p: DVec3,
    limit: f64,
    cursor: &mut Cursor,
    stack: &mut Stack,
) -> Option<Hit> {
    if bvh.nodes.is_empty() || !p.is_finite() {
        return None;
    }
    let pf = p.as_vec3();
    // Slack keeps a bound that rounding made equal to the answer from hiding it.
    let widen = |d2: f32| d2 * 1.00001 + 1e-13;
    let mut best = if limit < 1e18 { widen((limit * limit) as f32) } else { f32::INFINITY };
    let mut seed = NO_SLOT;
    if cursor.slot != NO_SLOT {
        let d2 = widen((pf - cursor.point).length_squared());
        if d2 < best {
            (best, seed) = (d2, cursor.slot);
        }
    }
    let found = nearest_slot(simd, bvh, pf, best, stack);
    let slot = if found == NO_SLOT { seed } else { found };
    if slot == NO_SLOT {
        return None;
    }
    let (point, barycentric) = closest_on_triangle(p, bvh.corners(bvh.slot_face(slot)));
    *cursor = Cursor { slot, point: point.as_vec3() };
    let distance = (p - point).length();
    (distance <= limit).then_some(Hit { distance, slot, point, barycentric })
}

struct One<'a>(&'a Bvh, DVec3, f64);

impl WithSimd for One<'_> {
    type Output = Option<Hit>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<Hit> {
        nearest(simd, self.0, self.1, self.2, &mut Cursor::NONE.clone(), &mut Stack::with_capacity(64))
    }
}

impl Bvh {
    /// Closest point to `p` (mesh units); `None` without faces or for a point that is not finite.
    pub fn closest(&self, p: DVec3) -> Option<Closest> {
        self.closest_within(p, f64::INFINITY)
    }

    /// Closest point no farther than `max_distance` (mesh units), if there is one.
    pub fn closest_within(&self, p: DVec3, max_distance: f64) -> Option<Closest> {
        let hit = Arch::new().dispatch(One(self, self.frame.to_local(p), max_distance * self.frame.scale))?;
        Some(self.closest_of(&hit))
    }

    /// A local answer in mesh units.
    #[inline(always)]
    pub(crate) fn closest_of(&self, hit: &Hit) -> Closest {
        Closest {
            distance: hit.distance / self.frame.scale,
            face: self.slot_face(hit.slot),
            point: self.frame.to_mesh(hit.point),
            barycentric: hit.barycentric,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::testing;
    use proptest::prelude::*;

    fn brute(mesh: &crate::geometry::TriMesh, p: DVec3) -> f64 {
        (0..mesh.faces.len())
            .map(|f| (closest_on_triangle(p, mesh.triangle(f)).0 - p).length())
            .fold(f64::INFINITY, f64::min)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn agrees_with_brute_force(seed in 0u64..1_000_000, n in 1usize..300, size in 0.001f64..1.5, shift in -1e4f64..1e4) {
            let mut mesh = testing::soup(n, seed, size);
            mesh.positions.iter_mut().for_each(|p| *p += DVec3::splat(shift));
            let bvh = Bvh::new(&mesh);
            let diagonal = mesh.diagonal();
            for p in testing::points(20, seed ^ 1, 1.5) {
                let p = p + DVec3::splat(shift);
                let c = bvh.closest(p).unwrap();
                let want = brute(&mesh, p);
                prop_assert!((c.distance - want).abs() <= 1e-6 * diagonal, "{} {}", c.distance, want);
                prop_assert!(((c.point - p).length() - c.distance).abs() < 1e-9 * (1.0 + shift.abs()));
                let t = mesh.triangle(c.face as usize);
                let b = c.barycentric;
                prop_assert!((t[0] * b[0] + t[1] * b[1] + t[2] * b[2] - c.point).length() < 1e-9 * (1.0 + shift.abs()));
                prop_assert!(bvh.closest_within(p, c.distance * 1.001 + 1e-9).is_some());
                prop_assert!(bvh.closest_within(p, c.distance * 0.98 - 1e-9).is_none());
            }
        }
    }

    #[test]
    fn needles_and_degenerate_faces_are_exact() {
        let mut mesh = testing::soup(200, 3, 1.0);
        for f in 0..200 {
            let [a, b, _] = mesh.faces[f];
            let (pa, pb) = (mesh.positions[a as usize], mesh.positions[b as usize]);
            let c = mesh.faces[f][2] as usize;
            mesh.positions[c] = pa.lerp(pb, 0.3) + DVec3::new(1e-7, 1e-6, 0.0) * (f % 3) as f64;
        }
        let bvh = Bvh::new(&mesh);
        for p in testing::points(300, 8, 1.2) {
            assert!((bvh.closest(p).unwrap().distance - brute(&mesh, p)).abs() < 2e-6);
        }
    }
}
