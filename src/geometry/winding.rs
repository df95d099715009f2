//! The generalised winding number, hierarchical (Barill et al., "Fast Winding Numbers for Soups and Clouds", 2018).
//!
//! Far clusters are expanded about their area-weighted centre to second order (dipole, and two Taylor terms, §3.1 there);
//! near leaves take the exact solid angle of each triangle (van Oosterom and Strackee 1983).

use glam::DVec3;
use pulp::Simd;
use rayon::prelude::*;

use crate::bvh::{Bvh, LEAF, Packet, WIDTH, chunks, lanes, mask_bits};
use crate::closest::{Stack, dot, load3, sub};

/// Accuracy parameter: a cluster is far beyond this many times its radius.
pub const DEFAULT_BETA: f64 = 3.0;

/// Expansions of the sixteen children of a node.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Far {
    centre: [[f32; WIDTH]; 3],
    /// (β · radius)².
    reach2: [f32; WIDTH],
    dipole: [[f32; WIDTH]; 3],
    /// Symmetric part of Σ area·n⊗δ: xx, yy, zz, 2xy, 2yz, 2zx.
    first: [[f32; WIDTH]; 6],
    /// Symmetric part of Σ area·n⊗δ⊗δ with multiplicities: xxx yyy zzz xxy xxz yyx yyz zzx zzy xyz.
    second: [[f32; WIDTH]; 10],
    /// Trace of the symmetric third-order tensor.
    trace: [[f32; WIDTH]; 3],
}

/// The expansions that belong to a hierarchy.
#[derive(Clone, Debug)]
pub struct Winding {
    far: Vec<Far>,
}

const CUBIC: [[usize; 3]; 10] =
    [[0, 0, 0], [1, 1, 1], [2, 2, 2], [0, 0, 1], [0, 0, 2], [1, 1, 0], [1, 1, 2], [2, 2, 0], [2, 2, 1], [0, 1, 2]];

fn expand(bvh: &Bvh, packets: &[Packet], beta: f64, lane: usize, out: &mut Far) {
    let faces = || packets.iter().flat_map(|p| &p.face[..p.count as usize]).map(|&f| bvh.corners(f));
    let (mut area, mut centre) = (0.0, DVec3::ZERO);
    for [a, b, c] in faces() {
        let weight = (b - a).cross(c - a).length();
        area += weight;
        centre += weight * (a + b + c) / 3.0;
    }
    if area > 0.0 {
        centre /= area;
    } else {
        // Triangles without area: nothing to sum, but the centre still bounds them.
        centre = faces().next().map_or(DVec3::ZERO, |t| t[0]);
    }
    let mut radius2 = 0.0f64;
    let (mut dipole, mut first, mut second) = (DVec3::ZERO, [[0.0; 3]; 3], [[[0.0; 3]; 3]; 3]);
    for t in faces() {
        let [a, b, c] = t.map(|p| p - centre);
        radius2 = t.iter().fold(radius2, |r, &p| r.max((p - centre).length_squared()));
        let n = (b - a).cross(c - a) * 0.5;
        dipole += n;
        let mean = (a + b + c) / 3.0;
        let middles = [(a + b) * 0.5, (b + c) * 0.5, (c + a) * 0.5];
        for i in 0..3 {
            for j in 0..3 {
                first[i][j] += n[i] * mean[j];
                for k in 0..3 {
                    second[i][j][k] += n[i] * middles.iter().map(|m| m[j] * m[k]).sum::<f64>() / 3.0;
                }
            }
        }
    }
    let sym = |i: usize, j: usize, k: usize| (second[i][j][k] + second[j][k][i] + second[k][i][j]) / 3.0;
    for k in 0..3 {
        out.centre[k][lane] = centre[k] as f32;
        out.dipole[k][lane] = dipole[k] as f32;
        out.first[k][lane] = first[k][k] as f32;
        out.first[k + 3][lane] = (first[k][(k + 1) % 3] + first[(k + 1) % 3][k]) as f32;
        out.trace[k][lane] = (0..3).map(|i| sym(i, i, k)).sum::<f64>() as f32;
    }
    for (at, &[i, j, k]) in CUBIC.iter().enumerate() {
        let times = [1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 6.0][at];
        out.second[at][lane] = (times * sym(i, j, k)) as f32;
    }
    out.reach2[lane] = (beta * beta * radius2) as f32;
}

/// atan2 per lane, absolute error below 3e-7 (polynomial: Abramowitz and Stegun 4.4.49).
#[inline(always)]
fn atan2<S: Simd>(simd: S, y: S::f32s, x: S::f32s) -> S::f32s {
    const C: [f32; 8] = [
        -0.333_331_45,
        0.199_935_51,
        -0.142_089,
        0.106_562_64,
        -0.075_289_64,
        0.042_909_61,
        -0.016_165_737,
        0.002_866_226,
    ];
    let (ax, ay) = (simd.abs_f32s(x), simd.abs_f32s(y));
    let (most, least) = (simd.max_f32s(ax, ay), simd.min_f32s(ax, ay));
    let a = simd.div_f32s(least, simd.max_f32s(most, simd.splat_f32s(1e-36)));
    let s = simd.mul_f32s(a, a);
    let mut r = simd.splat_f32s(C[7]);
    for k in (0..7).rev() {
        r = simd.mul_add_e_f32s(r, s, simd.splat_f32s(C[k]));
    }
    let r = simd.mul_add_e_f32s(simd.mul_f32s(r, s), a, a);
    let r = simd.select_f32s(
        simd.greater_than_f32s(ay, ax),
        simd.sub_f32s(simd.splat_f32s(std::f32::consts::FRAC_PI_2), r),
        r,
    );
    let r = simd.select_f32s(
        simd.less_than_f32s(x, simd.splat_f32s(0.0)),
        simd.sub_f32s(simd.splat_f32s(std::f32::consts::PI), r),
        r,
    );
    simd.select_f32s(simd.less_than_f32s(y, simd.splat_f32s(0.0)), simd.neg_f32s(r), r)
}

#[inline(always)]
fn length<S: Simd>(simd: S, v: [S::f32s; 3]) -> S::f32s {
    simd.sqrt_f32s(dot(simd, v, v))
}

/// Half the sum of the solid angles of a packet's triangles.
#[inline(always)]
fn solid_angles<S: Simd>(simd: S, t: &Packet, p: [S::f32s; 3]) -> f32 {
    let zero = simd.splat_f32s(0.0);
    let mut sum = 0.0;
    let mut halves = [0.0f32; WIDTH];
    let (out, _) = S::as_mut_simd_f32s(&mut halves);
    for (c, out) in out.iter_mut().enumerate() {
        let ap = sub(simd, p, load3(simd, &t.a, c));
        let (ab, ac) = (load3(simd, &t.ab, c), load3(simd, &t.ac, c));
        let area2 = lanes(simd, &t.area2, c);
        // The triple product reduces to the height over the plane: exact where the difference of corners is not.
        let height = simd.neg_f32s(dot(simd, ap, load3(simd, &t.n, c)));
        let y = simd.mul_f32s(height, area2);
        let a = ap;
        let (b, e) = (sub(simd, ap, ab), sub(simd, ap, ac));
        let (la, lb, le) = (length(simd, a), length(simd, b), length(simd, e));
        let x = simd.mul_f32s(simd.mul_f32s(la, lb), le);
        let x = simd.mul_add_e_f32s(dot(simd, a, b), le, x);
        let x = simd.mul_add_e_f32s(dot(simd, b, e), la, x);
        let x = simd.mul_add_e_f32s(dot(simd, e, a), lb, x);
        let half = atan2(simd, y, x);
        *out = simd.select_f32s(simd.greater_than_f32s(area2, zero), half, zero);
    }
    for h in &halves[..t.count as usize] {
        sum += h;
    }
    sum
}

/// Sum of the far expansions (times 4π) over lanes, and the lanes that are near.
#[inline(always)]
fn far_field<S: Simd>(simd: S, f: &Far, p: [S::f32s; 3], count: u32) -> (f32, u32) {
    let zero = simd.splat_f32s(0.0);
    let mut near = 0;
    let mut sum = zero;
    for c in 0..chunks::<S>() {
        let r = sub(simd, load3(simd, &f.centre, c), p);
        let r2 = dot(simd, r, r);
        let far = simd.greater_than_f32s(r2, lanes(simd, &f.reach2, c));
        let bits = mask_bits(simd, far);
        near |= (!bits & ((1u64 << S::F32_LANES) - 1) as u32) << (c * S::F32_LANES);
        if bits == 0 {
            continue;
        }
        let inv = simd.div_f32s(simd.splat_f32s(1.0), simd.sqrt_f32s(r2));
        let (x, y, z) = (simd.mul_f32s(r[0], inv), simd.mul_f32s(r[1], inv), simd.mul_f32s(r[2], inv));
        let quadratic = [
            simd.mul_f32s(x, x),
            simd.mul_f32s(y, y),
            simd.mul_f32s(z, z),
            simd.mul_f32s(x, y),
            simd.mul_f32s(y, z),
            simd.mul_f32s(z, x),
        ];
        let mut rmr = simd.mul_f32s(lanes(simd, &f.first[0], c), quadratic[0]);
        for (first, &product) in f.first.iter().zip(&quadratic).skip(1) {
            rmr = simd.mul_add_e_f32s(lanes(simd, first, c), product, rmr);
        }
        let trace = simd.add_f32s(
            simd.add_f32s(lanes(simd, &f.first[0], c), lanes(simd, &f.first[1], c)),
            lanes(simd, &f.first[2], c),
        );
        let unit = [x, y, z];
        let mut cubic = zero;
        for (at, second) in CUBIC.iter().zip(&f.second) {
            let term = simd.mul_f32s(simd.mul_f32s(unit[at[0]], unit[at[1]]), unit[at[2]]);
            cubic = simd.mul_add_e_f32s(lanes(simd, second, c), term, cubic);
        }
        // Each order of the expansion falls by one more power of the distance.
        let order2 = simd.sub_f32s(
            simd.mul_f32s(simd.splat_f32s(7.5), cubic),
            simd.mul_f32s(simd.splat_f32s(4.5), dot(simd, load3(simd, &f.trace, c), unit)),
        );
        let order1 = simd.negate_mul_add_e_f32s(simd.splat_f32s(3.0), rmr, trace);
        let order0 = dot(simd, load3(simd, &f.dipole, c), unit);
        let total = simd.mul_add_e_f32s(simd.mul_add_e_f32s(order2, inv, order1), inv, order0);
        let total = simd.mul_f32s(total, simd.mul_f32s(inv, inv));
        sum = simd.add_f32s(sum, simd.select_f32s(far, total, zero));
    }
    (simd.reduce_sum_f32s(sum), near & ((1u32 << count) - 1))
}

impl Winding {
    /// Expansions for `bvh` with accuracy `beta` (2 is fast, 3 accurate; [`DEFAULT_BETA`]).
    pub fn new(bvh: &Bvh, beta: f64) -> Self {
        let far = bvh
            .nodes
            .par_iter()
            .zip(&bvh.ranges)
            .map(|(node, ranges)| {
                let mut far = Far {
                    centre: [[0.0; WIDTH]; 3],
                    reach2: [f32::INFINITY; WIDTH],
                    dipole: [[0.0; WIDTH]; 3],
                    first: [[0.0; WIDTH]; 6],
                    second: [[0.0; WIDTH]; 10],
                    trace: [[0.0; WIDTH]; 3],
                };
                for (i, range) in ranges.iter().enumerate().take(node.count as usize) {
                    expand(bvh, &bvh.packets[range[0] as usize..range[1] as usize], beta, i, &mut far);
                }
                far
            })
            .collect();
        Self { far }
    }

    /// Winding number at a local point.
    #[inline(always)]
    pub(crate) fn at<S: Simd>(&self, simd: S, bvh: &Bvh, p: DVec3, stack: &mut Stack) -> f32 {
        if self.far.is_empty() {
            return 0.0;
        }
        let p = p.as_vec3();
        let pv = [simd.splat_f32s(p.x), simd.splat_f32s(p.y), simd.splat_f32s(p.z)];
        stack.clear();
        stack.push((0.0, 0));
        let (mut far_sum, mut near_sum) = (0.0, 0.0);
        while let Some((_, link)) = stack.pop() {
            let node = &bvh.nodes[link as usize];
            let (sum, mut near) = far_field(simd, &self.far[link as usize], pv, node.count);
            far_sum += sum;
            while near != 0 {
                let child = node.child[near.trailing_zeros() as usize];
                near &= near - 1;
                if child & LEAF == 0 {
                    stack.push((0.0, child));
                } else {
                    near_sum += solid_angles(simd, &bvh.packets[(child & !LEAF) as usize], pv);
                }
            }
        }
        (far_sum + 2.0 * near_sum) / (4.0 * std::f32::consts::PI)
    }

    /// Calls `near` with every leaf whose box lies within `reach` of the local point `p`; returns the winding number of all
    /// other faces.
    #[inline(always)]
    pub(crate) fn beyond<S: Simd>(
        &self,
        simd: S,
        bvh: &Bvh,
        p: DVec3,
        reach: f32,
        stack: &mut Stack,
        mut near: impl FnMut(&Packet),
    ) -> f64 {
        if self.far.is_empty() {
            return 0.0;
        }
        let p = p.as_vec3();
        let pv = [simd.splat_f32s(p.x), simd.splat_f32s(p.y), simd.splat_f32s(p.z)];
        stack.clear();
        stack.push((0.0, 0));
        let mut sum = 0.0;
        while let Some((_, link)) = stack.pop() {
            let node = &bvh.nodes[link as usize];
            let (far, mut lanes) = far_field(simd, &self.far[link as usize], pv, node.count);
            sum += f64::from(far);
            while lanes != 0 {
                let i = lanes.trailing_zeros() as usize;
                let child = node.child[i];
                lanes &= lanes - 1;
                if child & LEAF == 0 {
                    stack.push((0.0, child));
                    continue;
                }
                let packet = &bvh.packets[(child & !LEAF) as usize];
                let p = p.to_array();
                if (0..3).all(|k| node.lo[k][i] - reach <= p[k] && p[k] <= node.hi[k][i] + reach) {
                    near(packet);
                } else {
                    sum += 2.0 * f64::from(solid_angles(simd, packet, pv));
                }
            }
        }
        sum / (4.0 * std::f64::consts::PI)
    }

    /// Winding numbers at `points` (mesh units), on the calling thread. `bvh` is the one that this was built for.
    #[cfg(test)]
    pub fn evaluate(&self, bvh: &Bvh, points: &[DVec3]) -> Vec<f32> {
        use pulp::{Arch, WithSimd};

        struct Op<'a>(&'a Winding, &'a Bvh, &'a [DVec3]);
        impl WithSimd for Op<'_> {
            type Output = Vec<f32>;

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
                let mut stack = Stack::with_capacity(64);
                let mut out = Vec::with_capacity(self.2.len());
                for &p in self.2 {
                    out.push(self.0.at(simd, self.1, self.1.frame.to_local(p), &mut stack));
                }
                out
            }
        }
        Arch::new().dispatch(Op(self, bvh, points))
    }
}

/// Exact winding number of `triangle` around `p`, in double precision; the sum over a mesh is the mesh's.
pub(crate) fn solid_angle(p: DVec3, triangle: [DVec3; 3]) -> f64 {
    let [a, b, c] = triangle.map(|q| q - p);
    let (la, lb, lc) = (a.length(), b.length(), c.length());
    let x = la * lb * lc + a.dot(b) * lc + b.dot(c) * la + c.dot(a) * lb;
    2.0 * a.dot(b.cross(c)).atan2(x) / (4.0 * std::f64::consts::PI)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use proptest::prelude::*;
    use pulp::{Arch, WithSimd};

    #[test]
    fn vector_atan2_is_accurate() {
        struct Op(f32, f32);
        impl WithSimd for Op {
            type Output = f32;
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> f32 {
                simd.reduce_max_f32s(atan2(simd, simd.splat_f32s(self.0), simd.splat_f32s(self.1)))
            }
        }
        for i in 0..10_000 {
            let angle = (i as f64 / 10_000.0 - 0.5) * 0.999 * std::f64::consts::TAU;
            let (y, x) = (angle.sin() as f32 * 3.0, angle.cos() as f32 * 3.0);
            assert!((Arch::new().dispatch(Op(y, x)) as f64 - angle).abs() < 6e-7, "{angle}");
        }
        assert_eq!(Arch::new().dispatch(Op(0.0, 0.0)), 0.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn agrees_with_the_sum_over_triangles(seed in 0u64..1_000_000, n in 1usize..1200, size in 0.01f64..0.3) {
            let mesh = testing::soup(n, seed, size);
            let bvh = Bvh::new(&mesh);
            let points = testing::points(20, seed ^ 2, 1.3);
            let got = Winding::new(&bvh, DEFAULT_BETA).evaluate(&bvh, &points);
            for (p, w) in points.iter().zip(got) {
                if bvh.closest(*p).unwrap().distance < 1e-4 { continue }
                let want: f64 = (0..n).map(|f| solid_angle(*p, mesh.triangle(f))).sum();
                prop_assert!((w as f64 - want).abs() < 2e-3, "{w} {want}");
            }
        }
    }

    #[test]
    fn counts_layers_of_closed_surfaces() {
        let ball = |r: f64| testing::torus(0.6, r, 64, 32);
        let mesh = testing::join(&[ball(0.3), ball(0.15)]);
        let bvh = Bvh::new(&mesh);
        let at = [DVec3::new(0.6, 0.0, 0.0), DVec3::new(0.6, 0.0, 0.22), DVec3::ZERO, DVec3::splat(5.0)];
        let w = Winding::new(&bvh, DEFAULT_BETA).evaluate(&bvh, &at);
        for (w, want) in w.iter().zip([2.0, 1.0, 0.0, 0.0]) {
            assert!((w - want).abs() < 1e-3, "{w} {want}");
        }
    }
}
