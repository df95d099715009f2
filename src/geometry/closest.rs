//! The closest point of a triangle set: wide traversal in single precision, the winner settled in double.
//!
//! Single precision measures from a rounded point to rounded corners, so it errs by about the same length (`slack`) at
//! every distance: limits of the traversal are widened by that length. It may also see a needle go on past its tip. The
//! winner's distance in double tells both: if it lies beyond the limit or does not confirm the traversal's, the search is
//! repeated in double.

use glam::{DVec3, Vec3};
use pulp::{Arch, Simd, WithSimd};

use crate::bvh::{Bvh, LEAF, NO_SLOT, Packet, WIDTH, WideNode, chunks, lanes, mask_bits};

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

/// Bound of the rounding of a distance in single precision, relative to the largest coordinates: 16 units in the last place.
const SLACK: f64 = 1e-6;

/// Bound of how much too far the traversal sees a triangle from the local point `p`, in local units: the rounding of the mesh's
/// corners, which lie within 1 of the origin, and of the point.
#[inline(always)]
fn slack(p: DVec3) -> f64 {
    SLACK * (1.0 + p.abs().max_element())
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

/// Squared distances to the triangles of vector `c` of a packet.
#[inline(always)]
fn distances<S: Simd>(simd: S, t: &Packet, p: [S::f32s; 3], c: usize) -> S::f32s {
    let ap = sub(simd, p, load3(simd, &t.a, c));
    let (ab, ac, n) = (load3(simd, &t.ab, c), load3(simd, &t.ac, c), load3(simd, &t.n, c));
    // Over the face: every in-plane edge distance is positive; stable for needles, unlike barycentrics.
    let q = cross(simd, ap, n);
    let (s, r) = (dot(simd, ab, q), dot(simd, ac, q));
    let u = simd.add_f32s(simd.sub_f32s(r, s), lanes(simd, &t.area2, c));
    let low = simd.min_f32s(simd.min_f32s(s, simd.neg_f32s(r)), u);
    let over = simd.greater_than_or_equal_f32s(low, simd.splat_f32s(0.0));
    let h = dot(simd, ap, n);
    let e0 = edge2(simd, ap, ab, lanes(simd, &t.inv[0], c));
    let e1 = edge2(simd, ap, ac, lanes(simd, &t.inv[1], c));
    let e2 = edge2(simd, sub(simd, ap, ab), sub(simd, ac, ab), lanes(simd, &t.inv[2], c));
    let edges = simd.min_f32s(simd.min_f32s(e0, e1), e2);
    simd.select_f32s(over, simd.mul_f32s(h, h), edges)
}

/// The smallest squared distance to sixteen triangles and its lane; `best` and [`WIDTH`] if none is smaller.
#[inline(always)]
fn packet_nearest<S: Simd>(simd: S, t: &Packet, p: [S::f32s; 3], best: f32) -> (f32, usize) {
    let (mut least, mut lane) = (best, WIDTH);
    for c in 0..chunks::<S>() {
        let d = distances(simd, t, p, c);
        let d_min = simd.reduce_min_f32s(d);
        if d_min < least {
            least = d_min;
            let first = mask_bits(simd, simd.equal_f32s(d, simd.splat_f32s(d_min))).trailing_zeros() as usize;
            lane = c * S::F32_LANES + first;
        }
    }
    (least, lane)
}

/// Slot and squared distance of the nearest triangle closer than `sqrt(best)`; [`NO_SLOT`] and `best` if there is none.
#[inline(always)]
fn nearest_slot<S: Simd>(simd: S, bvh: &Bvh, p: Vec3, mut best: f32, stack: &mut Stack) -> (u32, f32) {
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
    (slot, best)
}

/// The closest point of the triangle in `slot` to the local point `p`.
#[inline(always)]
fn settle(bvh: &Bvh, p: DVec3, slot: u32) -> Hit {
    let (point, barycentric) = closest_on_triangle(p, bvh.corners(bvh.slot_face(slot)));
    Hit { distance: (p - point).length(), slot, point, barycentric }
}

/// Nearest triangle within `limit` of the local point `p`, in double precision throughout.
#[cold]
fn nearest_in_double(bvh: &Bvh, p: DVec3, mut limit: f64) -> Option<Hit> {
    let mut best = None;
    let mut stack = vec![(0.0, 0)];
    while let Some((distance, link)) = stack.pop() {
        // Boxes hold rounded corners.
        if distance > limit + SLACK {
            continue;
        }
        if link & LEAF != 0 {
            let index = link & !LEAF;
            for lane in 0..bvh.packets[index as usize].count {
                let hit = settle(bvh, p, index * WIDTH as u32 + lane);
                if hit.distance <= limit {
                    limit = hit.distance;
                    best = Some(hit);
                }
            }
            continue;
        }
        let node = &bvh.nodes[link as usize];
        let base = stack.len();
        for i in 0..node.count as usize {
            let [lo, hi] = [&node.lo, &node.hi].map(|v| DVec3::new(v[0][i].into(), v[1][i].into(), v[2][i].into()));
            stack.push(((p - p.clamp(lo, hi)).length(), node.child[i]));
        }
        stack[base..].sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    }
    best
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
    if bvh.nodes.is_empty() || !p.is_finite() || limit.is_nan() || limit < 0.0 {
        return None;
    }
    let (pf, slack) = (p.as_vec3(), slack(p));
    let widen = |d: f64| ((d + slack) * (d + slack)) as f32;
    let mut best = if limit < 1e18 { widen(limit) } else { f32::INFINITY };
    let mut seed = NO_SLOT;
    if cursor.slot != NO_SLOT {
        let d2 = widen((pf - cursor.point).length().into());
        if d2 < best {
            (best, seed) = (d2, cursor.slot);
        }
    }
    let (found, sifted) = nearest_slot(simd, bvh, pf, best, stack);
    let slot = if found == NO_SLOT { seed } else { found };
    if slot == NO_SLOT {
        return None;
    }
    let mut hit = settle(bvh, p, slot);
    if hit.distance > limit.min(f64::from(sifted.sqrt()) + slack) {
        hit = nearest_in_double(bvh, p, limit.min(hit.distance))?;
    }
    *cursor = Cursor { slot: hit.slot, point: hit.point.as_vec3() };
    Some(hit)
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
    use crate::testing;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};

    fn brute(mesh: &crate::TriMesh, p: DVec3) -> f64 {
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

    /// 4.6e-5 away a triangle is sifted 4.9e-8 too far, past the limit.
    #[test]
    fn a_limit_just_above_a_tiny_distance_is_enough() {
        let mesh = testing::soup(206, 745_732, 1.104_757_619_624_927_1);
        let bvh = Bvh::new(&mesh);
        for p in testing::points(20, 745_733, 1.5) {
            let d = bvh.closest(p).unwrap().distance;
            assert!(bvh.closest_within(p, d * 1.001 + 1e-9).is_some(), "{p} {d:e}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Three layers that single precision cannot tell apart: the nearest of them counts.
        #[test]
        fn limits_hold_at_every_distance(seed in 0u64..1_000_000, n in 1usize..200, size in 0.001f64..1.5, power in -9f64..0.0) {
            let soup = testing::soup(n, seed, size);
            let mut mesh = testing::join(&[soup.clone(), soup.clone(), soup]);
            for (v, p) in mesh.positions.iter_mut().enumerate() {
                *p += DVec3::new(1.1e-8, 0.7e-8, -1.3e-8) * (v / (3 * n)) as f64;
            }
            let bvh = Bvh::new(&mesh);
            for (f, p) in testing::points(20, seed ^ 1, 10f64.powf(power)).into_iter().enumerate() {
                let [a, b, c] = mesh.triangle(f % n);
                let p = p + (a + b + c) / 3.0;
                let want = brute(&mesh, p);
                prop_assert!(bvh.closest_within(p, want * (1.0 + 1e-12) + 1e-14).is_some(), "{} {:e}", p, want);
                prop_assert!(bvh.closest_within(p, want * (1.0 - 1e-12) - 1e-14).is_none(), "{} {:e}", p, want);
            }
        }
    }

    /// Triangles up to `size` across whose height is `width` of their base, turned every way; every other one has a right
    /// angle.
    fn needles(n: usize, seed: u64, size: f64, width: f64) -> crate::TriMesh {
        let mut mesh = testing::soup(n, seed, size);
        for f in 0..n {
            let turn = |k: usize| 3 * f + (f + k) % 3;
            let [a, b, c] = [0, 1, 2].map(|k| mesh.positions[turn(k)]);
            let foot = if f % 2 == 0 { a } else { a.lerp(b, 0.3) };
            mesh.positions[turn(2)] = foot + (c - a).reject_from(b - a).normalize() * (width * (b - a).length());
        }
        mesh
    }

    struct Sifted<'a>(&'a Packet, Vec3);

    impl WithSimd for Sifted<'_> {
        type Output = [f32; WIDTH];

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> [f32; WIDTH] {
            let p = self.1.to_array().map(|x| simd.splat_f32s(x));
            let mut out = [0.0; WIDTH];
            for (c, out) in S::as_mut_simd_f32s(&mut out).0.iter_mut().enumerate() {
                *out = distances(simd, self.0, p, c);
            }
            out
        }
    }

    #[test]
    fn single_precision_errs_by_less_than_the_slack() {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(5);
        for (width, size) in [1.0, 1e-2, 1e-4, 1e-6, 1e-8].into_iter().flat_map(|w| [1.0, 0.01, 1e-4].map(|s| (w, s))) {
            let bvh = Bvh::new(&needles(2000, 4, size, width));
            let mut worst = [0.0f64; 2];
            for (packet, lane) in bvh.packets.iter().flat_map(|p| (0..p.count as usize).map(move |lane| (p, lane))) {
                let corners = bvh.corners(packet.face[lane]);
                let [a, b, c] = corners;
                for far in [1.0, 1.0, 1.0, 100.0] {
                    let [s, t] = [rng.random_range(-0.3..1.3), rng.random_range(-0.3..1.3)];
                    let height = far * 10f64.powf(rng.random_range(-8.0..0.0));
                    let p = a + (b - a) * s + (c - a) * t + (b - a).cross(c - a).normalize() * height;
                    let got = Arch::new().dispatch(Sifted(packet, p.as_vec3()))[lane];
                    let error = f64::from(got.sqrt()) - (closest_on_triangle(p, corners).0 - p).length();
                    worst = [worst[0].max(error / slack(p)), worst[1].max(-error / slack(p))];
                }
            }
            assert!(worst[0] < 0.5, "{width} {size}: {:.2} of the slack too far", worst[0]);
            assert!(worst[1] < 0.5 || width < 1e-3, "{width} {size}: {:.2} of the slack too near", worst[1]);
        }
    }

    #[test]
    fn a_needle_is_not_closer_than_its_tip() {
        for width in [1e-3, 1e-4, 1e-5, 1e-6] {
            let mesh = needles(100, 11, 1.0, width);
            let bvh = Bvh::new(&mesh);
            let shifts = testing::points(600, 12, 1.0);
            for (i, shift) in shifts.into_iter().enumerate() {
                // Past a tip, along the needle.
                let t = mesh.triangle(i % 100);
                let (tip, other) = (t[i / 100 % 3], t[(i / 100 + 1 + i / 300) % 3]);
                let p = tip + (tip - other) * (0.1 * shift.x * shift.x) + shift * 1e-5 * shift.y;
                let (d, want) = (bvh.closest(p).unwrap().distance, brute(&mesh, p));
                assert!((d - want).abs() < 2.0 * slack(p) * mesh.diagonal(), "{width} {p} {d} {want}");
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
