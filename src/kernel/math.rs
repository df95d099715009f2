//! Vector sine, cosine and exponential for the fused kernels.
//!
//! Polynomials on a reduced range (Cody & Waite 1980, reduction in parts; minimax coefficients of the Cephes single
//! precision library). Errors against f64, asserted by the tests below: sine and cosine ≤ 2e-7 absolute for |x| ≤ 1e3
//! and ≤ 2e-6 for |x| ≤ 1e5; exponential ≤ 4e-7 relative on [−87, 88].

use pulp::Simd;

const ROUND: f32 = 12_582_912.0; // 1.5·2²³: adding it rounds to the nearest integer

/// Sine and cosine of every lane (radians).
#[inline(always)]
pub fn sincos<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    let shifted = simd.mul_add_f32s(x, simd.splat_f32s(std::f32::consts::FRAC_2_PI), simd.splat_f32s(ROUND));
    let quadrant = simd.transmute_u32s_f32s(shifted);
    let turns = simd.sub_f32s(shifted, simd.splat_f32s(ROUND));
    // π/2 in three parts; with a fused multiply-add each step is exact enough for |x| up to 1e5.
    let r = simd.mul_add_f32s(turns, simd.splat_f32s(-1.570_796_4), x);
    let r = simd.mul_add_f32s(turns, simd.splat_f32s(4.371_139e-8), r);
    let r = simd.mul_add_f32s(turns, simd.splat_f32s(1.716_7e-15), r);
    let r2 = simd.mul_f32s(r, r);

    let s = simd.mul_add_f32s(r2, simd.splat_f32s(-1.951_529_6e-4), simd.splat_f32s(8.332_161e-3));
    let s = simd.mul_add_f32s(r2, s, simd.splat_f32s(-1.666_665_5e-1));
    let s = simd.mul_add_f32s(simd.mul_f32s(s, r2), r, r);

    let c = simd.mul_add_f32s(r2, simd.splat_f32s(2.443_315_7e-5), simd.splat_f32s(-1.388_731_6e-3));
    let c = simd.mul_add_f32s(r2, c, simd.splat_f32s(4.166_664_6e-2));
    let c = simd.mul_add_f32s(r2, c, simd.splat_f32s(-0.5));
    let c = simd.mul_add_f32s(r2, c, simd.splat_f32s(1.0));

    let one = simd.splat_u32s(1);
    let even = simd.equal_u32s(simd.and_u32s(quadrant, one), simd.splat_u32s(0));
    let sin = simd.select_f32s(even, s, c);
    let cos = simd.select_f32s(even, c, s);
    // Bit 1 of the quadrant moved to the sign bit by an integer product with 2³⁰.
    let two = simd.splat_u32s(2);
    let shift = simd.splat_u32s(1 << 30);
    let sin_sign = simd.mul_u32s(simd.and_u32s(quadrant, two), shift);
    let cos_sign = simd.mul_u32s(simd.and_u32s(simd.add_u32s(quadrant, one), two), shift);
    let flip = |v, sign| simd.transmute_f32s_u32s(simd.xor_u32s(simd.transmute_u32s_f32s(v), sign));
    (flip(sin, sin_sign), flip(cos, cos_sign))
}

/// `e^x` of every lane; the argument is clamped to [−87, 88].
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = simd.min_f32s(simd.max_f32s(x, simd.splat_f32s(-87.0)), simd.splat_f32s(88.0));
    let shifted = simd.mul_add_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), simd.splat_f32s(ROUND));
    let n = simd.sub_f32s(shifted, simd.splat_f32s(ROUND));
    let r = simd.mul_add_f32s(n, simd.splat_f32s(-0.693_359_4), x);
    let r = simd.mul_add_f32s(n, simd.splat_f32s(2.121_944_4e-4), r);
    let p = simd.mul_add_f32s(r, simd.splat_f32s(1.987_569_1e-4), simd.splat_f32s(1.398_2e-3));
    let p = simd.mul_add_f32s(r, p, simd.splat_f32s(8.333_452e-3));
    let p = simd.mul_add_f32s(r, p, simd.splat_f32s(4.166_579_6e-2));
    let p = simd.mul_add_f32s(r, p, simd.splat_f32s(1.666_666_5e-1));
    let p = simd.mul_add_f32s(r, p, simd.splat_f32s(0.5));
    let p = simd.mul_add_f32s(simd.mul_f32s(r, r), p, simd.add_f32s(r, simd.splat_f32s(1.0)));
    // 2ⁿ through the exponent field: the low bits of `shifted` hold n (biased by ROUND's own mantissa, whose low
    // nine bits are zero).
    let bits = simd.mul_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(1 << 23));
    let scale = simd.transmute_f32s_u32s(simd.add_u32s(bits, simd.splat_u32s(127 << 23)));
    simd.mul_f32s(p, scale)
}

/// Logistic function `1 / (1 + e^−x)` of every lane.
#[inline(always)]
pub fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    simd.div_f32s(one, simd.add_f32s(one, exp(simd, simd.neg_f32s(x))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch;
    use pulp::WithSimd;
    use rand::{RngExt, SeedableRng};

    struct Run<'a, F>(&'a [f32], F);
    enum Kind {
        Sin,
        Cos,
        Exp,
    }
    impl WithSimd for Run<'_, Kind> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            let mut out = vec![0.0; self.0.len()];
            let (head, _) = S::as_simd_f32s(self.0);
            let (to, _) = S::as_mut_simd_f32s(&mut out);
            for (o, &x) in to.iter_mut().zip(head) {
                *o = match self.1 {
                    Kind::Sin => sincos(simd, x).0,
                    Kind::Cos => sincos(simd, x).1,
                    Kind::Exp => exp(simd, x),
                };
            }
            out
        }
    }

    fn worst(kind: Kind, range: f32, truth: fn(f64) -> f64, relative: bool) -> f64 {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(7);
        let x: Vec<f32> = (0..65536).map(|_| rng.random_range(-range..range)).collect();
        let y = arch().dispatch(Run(&x, kind));
        x.iter()
            .zip(&y)
            .map(|(&x, &y)| {
                let t = truth(f64::from(x));
                (f64::from(y) - t).abs() / if relative { t.abs() } else { 1.0 }
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn sine_and_cosine_are_accurate() {
        for (range, bound) in [(3.0, 2e-7), (1e3, 2e-7), (1e5, 2e-6)] {
            let (s, c) = (worst(Kind::Sin, range, f64::sin, false), worst(Kind::Cos, range, f64::cos, false));
            assert!(s <= bound && c <= bound, "|x| <= {range}: sine {s:e}, cosine {c:e}");
        }
    }

    #[test]
    fn exponential_is_accurate() {
        let e = worst(Kind::Exp, 86.0, f64::exp, true);
        assert!(e <= 4e-7, "{e:e}");
    }
}
