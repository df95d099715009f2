//! Crossings of segments with triangles: the number of them, or whether there is any.
//!
//! Boxes and triangles are sifted in single precision with slack; what passes is settled in double by signed volumes,
//! whose values for an edge shared by two faces are exact negatives, so that no segment slips between neighbours.

use glam::{DVec3, Vec3};
use pulp::Simd;

use crate::bvh::{Bvh, LEAF, Packet, WideNode, chunks, lanes, mask_bits};
use crate::closest::{Stack, cross, dot, load3, sub};

/// Slack of the single-precision sieve, in local units.
const SLACK: f32 = 2e-6;

/// One crossing of a segment and a face.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    /// The segment meets an edge or corner (to rounding): it counts as blocked, but not reliably as one crossing.
    pub grazing: bool,
}

/// Crossing of the segment from `o` to `o + d` with the triangle.
#[inline(always)]
fn cross_triangle(o: DVec3, d: DVec3, corners: [DVec3; 3]) -> Option<Crossing> {
    let [a, b, c] = corners.map(|p| p - o);
    let (bc, ca, ab) = (b.cross(c), c.cross(a), a.cross(b));
    let (u, v, w) = (d.dot(bc), d.dot(ca), d.dot(ab));
    // Below this a volume is rounding: the segment then meets the edge, for both of its faces.
    let size2 = a.length_squared().max(b.length_squared()).max(c.length_squared());
    let least = 2e-15 * size2 * d.length();
    if (u < -least || v < -least || w < -least) && (u > least || v > least || w > least) {
        return None;
    }
    let det = u + v + w;
    if det == 0.0 {
        return None;
    }
    let t = a.dot(bc) / det;
    let grazing = u.abs() <= least || v.abs() <= least || w.abs() <= least;
    (0.0..=1.0).contains(&t).then_some(Crossing { grazing })
}

#[inline(always)]
fn slab<S: Simd>(simd: S, node: &WideNode, o: [S::f32s; 3], inv: [S::f32s; 3]) -> u32 {
    let slack = simd.splat_f32s(SLACK);
    let mut bits = 0;
    for c in 0..chunks::<S>() {
        let (mut near, mut far) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        for k in 0..3 {
            let lo = simd.sub_f32s(simd.sub_f32s(lanes(simd, &node.lo[k], c), o[k]), slack);
            let hi = simd.add_f32s(simd.sub_f32s(lanes(simd, &node.hi[k], c), o[k]), slack);
            let (t0, t1) = (simd.mul_f32s(lo, inv[k]), simd.mul_f32s(hi, inv[k]));
            near = simd.max_f32s(near, simd.min_f32s(t0, t1));
            far = simd.min_f32s(far, simd.max_f32s(t0, t1));
        }
        bits |= mask_bits(simd, simd.less_than_or_equal_f32s(near, far)) << (c * S::F32_LANES);
    }
    bits & ((1u32 << node.count) - 1)
}

/// Lanes of the packet that the segment may cross.
#[inline(always)]
fn sieve<S: Simd>(simd: S, t: &Packet, o: [S::f32s; 3], d: [S::f32s; 3], length: f32) -> u32 {
    let (zero, slack) = (simd.splat_f32s(0.0), simd.splat_f32s(-SLACK));
    let flat = simd.splat_f32s(1e-3 * length);
    let mut bits = 0;
    for c in 0..chunks::<S>() {
        let ap = sub(simd, o, load3(simd, &t.a, c));
        let (ab, ac, n) = (load3(simd, &t.ab, c), load3(simd, &t.ac, c), load3(simd, &t.n, c));
        let area2 = lanes(simd, &t.area2, c);
        let h0 = dot(simd, ap, n);
        let fall = dot(simd, d, n);
        let h1 = simd.add_f32s(h0, fall);
        let (least, most) = (simd.min_f32s(h0, h1), simd.max_f32s(h0, h1));
        let reaches = simd.and_m32s(
            simd.greater_than_or_equal_f32s(most, slack),
            simd.less_than_or_equal_f32s(least, simd.neg_f32s(slack)),
        );
        let at = simd.div_f32s(simd.neg_f32s(h0), fall);
        let x = [
            simd.mul_add_e_f32s(at, d[0], ap[0]),
            simd.mul_add_e_f32s(at, d[1], ap[1]),
            simd.mul_add_e_f32s(at, d[2], ap[2]),
        ];
        let q = cross(simd, x, n);
        let (s, r) = (dot(simd, ab, q), dot(simd, ac, q));
        let u = simd.add_f32s(simd.sub_f32s(r, s), area2);
        let low = simd.min_f32s(simd.min_f32s(s, simd.neg_f32s(r)), u);
        // The flatter the approach, the less certain is where the plane is met.
        let lean = simd.div_f32s(simd.splat_f32s(length), simd.abs_f32s(fall));
        let inside = simd.greater_than_or_equal_f32s(low, simd.mul_add_e_f32s(lean, slack, slack));
        let grazes = simd.less_than_f32s(simd.abs_f32s(fall), flat);
        let real = simd.greater_than_f32s(area2, zero);
        let pass = simd.and_m32s(simd.and_m32s(reaches, real), simd.or_m32s(inside, grazes));
        bits |= mask_bits(simd, pass) << (c * S::F32_LANES);
    }
    bits & ((1u32 << t.count) - 1)
}

#[inline(always)]
fn splat3<S: Simd>(simd: S, v: Vec3) -> [S::f32s; 3] {
    [simd.splat_f32s(v.x), simd.splat_f32s(v.y), simd.splat_f32s(v.z)]
}

/// Calls `found` with each crossing of the local segment `o`..`o + d` until it returns true.
#[inline(always)]
fn walk<S: Simd>(simd: S, bvh: &Bvh, o: DVec3, d: DVec3, stack: &mut Stack, mut found: impl FnMut(Crossing) -> bool) {
    if bvh.nodes.is_empty() {
        return;
    }
    let df = d.as_vec3();
    // A component of zero becomes tiny: the slab test then needs no special case.
    let safe = |x: f32| if x.abs() < 1e-25 { 1e-25f32.copysign(x) } else { x };
    let inv = splat3(simd, Vec3::new(1.0 / safe(df.x), 1.0 / safe(df.y), 1.0 / safe(df.z)));
    let (of, dv, length) = (splat3(simd, o.as_vec3()), splat3(simd, df), df.length());
    stack.clear();
    stack.push((0.0, 0));
    while let Some((_, link)) = stack.pop() {
        if link & LEAF == 0 {
            let node = &bvh.nodes[link as usize];
            let mut bits = slab(simd, node, of, inv);
            while bits != 0 {
                stack.push((0.0, node.child[bits.trailing_zeros() as usize]));
                bits &= bits - 1;
            }
            continue;
        }
        let packet = &bvh.packets[(link & !LEAF) as usize];
        let mut bits = sieve(simd, packet, of, dv, length);
        while bits != 0 {
            let face = packet.face[bits.trailing_zeros() as usize];
            bits &= bits - 1;
            if let Some(crossing) = cross_triangle(o, d, bvh.corners(face))
                && found(crossing)
            {
                return;
            }
        }
    }
}

/// True where a face lies across the local segment from `a` to `b`.
#[inline(always)]
pub(crate) fn is_blocked<S: Simd>(simd: S, bvh: &Bvh, a: DVec3, b: DVec3, stack: &mut Stack) -> bool {
    let mut hit = false;
    walk(simd, bvh, a, b - a, stack, |_| {
        hit = true;
        true
    });
    hit
}

/// Faces that the local segment `o`..`o + d` crosses; `None` if it grazes an edge, where counts are unreliable.
#[inline(always)]
pub(crate) fn crossings<S: Simd>(simd: S, bvh: &Bvh, o: DVec3, d: DVec3, stack: &mut Stack) -> Option<usize> {
    let (mut count, mut grazed) = (0, false);
    walk(simd, bvh, o, d, stack, |c| {
        count += 1;
        grazed |= c.grazing;
        grazed
    });
    (!grazed).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use pulp::{Arch, WithSimd};

    struct Count<'a>(&'a Bvh, DVec3, DVec3);

    impl WithSimd for Count<'_> {
        type Output = (Option<usize>, bool);

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let mut stack = Stack::new();
            (
                crossings(simd, self.0, self.1, self.2, &mut stack),
                is_blocked(simd, self.0, self.1, self.1 + self.2, &mut stack),
            )
        }
    }

    #[test]
    fn crossings_agree_with_all_faces() {
        let mesh = testing::soup(400, 11, 0.3);
        let bvh = Bvh::new(&mesh);
        let ends = testing::points(800, 12, 1.2);
        let mut total = 0;
        for pair in ends.chunks(2) {
            let (o, d) = (bvh.frame().to_local(pair[0]), bvh.frame().to_local(pair[1]) - bvh.frame().to_local(pair[0]));
            let want = (0..400).filter(|&f| cross_triangle(o, d, bvh.corners(f)).is_some()).count();
            let (count, hit) = Arch::new().dispatch(Count(&bvh, o, d));
            assert_eq!(count, Some(want));
            assert_eq!(hit, want > 0);
            total += want;
        }
        assert!(total > 100);
    }

    #[test]
    fn no_segment_leaves_a_closed_surface_unseen() {
        let mesh = testing::torus(0.7, 0.25, 60, 30);
        let bvh = Bvh::new(&mesh);
        // Aimed at corners and edge middles, where an inconsistent test leaks.
        let inside = bvh.frame().to_local(DVec3::new(0.7, 0.0, 0.0));
        for f in &mesh.faces {
            for k in 0..3 {
                let (a, b) = (mesh.positions[f[k] as usize], mesh.positions[f[(k + 1) % 3] as usize]);
                for target in [a, (a + b) * 0.5] {
                    let d = (bvh.frame().to_local(target) - inside) * 40.0;
                    assert!(Arch::new().dispatch(Count(&bvh, inside, d)).1);
                }
            }
        }
    }
}
