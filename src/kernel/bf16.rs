//! Products of matrices in bfloat16 with sums in f32, for gradients: twice the multiplications an instruction, on machines that
//! have AVX512-BF16.
//!
//! `VDPBF16PS` takes pairs of factors that are neighbours along the inner dimension, so matrices are packed first: two bfloat16
//! in a word of 32 bits. Factors are rounded to 8 significant bits; what a product adds up is f32.

use crate::gemm::{Finish, Init};

/// Precision of the products that gradients are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GradientPrecision {
    /// f32.
    #[default]
    Single,
    /// Factors in bfloat16 and sums in f32, where the machine has AVX512-BF16 and `NSTR_SIMD` does not ask for less; f32
    /// elsewhere. Values are computed in f32 all the same.
    Mixed,
}

impl GradientPrecision {
    /// The machine's products in bfloat16, where they are asked for.
    pub(crate) fn bf16(self) -> Option<Bf16> {
        (self == Self::Mixed).then(Bf16::detect).flatten()
    }
}

/// Proof that the machine has AVX512-BF16.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "other machines have none"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bf16(());

/// A product `C = A·B` of packed matrices: see [`crate::gemm::Gemm`], whose inner dimension is counted in pairs here.
#[derive(Clone, Copy)]
pub(crate) struct PairGemm {
    /// Rows of `A` and `C`.
    pub m: usize,
    /// Columns of `B` and `C`, a multiple of 16.
    pub n: usize,
    /// Pairs of the inner dimension.
    pub k: usize,
    /// First word of `A`.
    pub a: *const u32,
    /// Distance between rows of `A`, in words.
    pub a_row: usize,
    /// Distance between pairs of a row of `A`, in words.
    pub a_col: usize,
    /// First word of `B`, `[pair][n]`.
    pub b: *const u32,
    /// First element of `C`.
    pub c: *mut f32,
    /// Distance between rows of `C`.
    pub c_row: usize,
    /// Start value.
    pub init: Init,
    /// Last operation.
    pub finish: Finish,
}

/// Two numbers rounded to the nearest bfloat16, the first one in the lower half of the word.
pub(crate) fn pair(low: f32, high: f32) -> u32 {
    let round = |v: f32| {
        // The sum below would carry a number that is none over into the infinities.
        if v.is_nan() {
            return 0x7fc0;
        }
        let bits = v.to_bits();
        (bits + 0x7fff + (bits >> 16 & 1)) >> 16
    };
    round(high) << 16 | round(low)
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use std::arch::x86_64::{
        __m256bh, __m256i, __m512bh, __m512i, _mm256_storeu_si256, _mm512_add_ps, _mm512_cmp_ps_mask,
        _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512,
        _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_permutexvar_epi16, _mm512_set1_epi32, _mm512_setzero_ps,
        _mm512_storeu_ps, _mm512_storeu_si512,
    };
    use std::mem::transmute;

    use super::PairGemm;
    use crate::gemm::{Finish, Init};

    /// Order that interleaves the halves of a vector of 32 numbers of 16 bits.
    const INTERLEAVED: [u16; 32] = {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 16 {
            order[2 * i] = i as u16;
            order[2 * i + 1] = i as u16 + 16;
            i += 1;
        }
        order
    };

    /// # Safety
    /// As for [`super::Bf16::pack_pairs`].
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn pack_pairs(from: *const f32, row: usize, rows: usize, columns: usize, to: *mut u32) {
        // SAFETY: rows and columns stay within the matrices that the caller promises; loads and stores are unaligned.
        unsafe {
            let order = transmute::<[u16; 32], __m512i>(INTERLEAVED);
            for r in 0..rows / 2 {
                for c in (0..columns).step_by(16) {
                    let low = _mm512_loadu_ps(from.add(2 * r * row + c));
                    let high = _mm512_loadu_ps(from.add((2 * r + 1) * row + c));
                    let both = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                    let words = _mm512_permutexvar_epi16(order, both);
                    _mm512_storeu_si512(to.add(r * columns + c).cast(), words);
                }
            }
        }
    }

    /// # Safety
    /// As for [`super::Bf16::pack_rows`].
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn pack_rows(from: *const f32, row: usize, rows: usize, columns: usize, to: *mut u32) {
        // SAFETY: as in `pack_pairs`.
        unsafe {
            for r in 0..rows {
                let (from, to) = (from.add(r * row), to.add(r * columns / 2));
                let mut c = 0;
                while c + 32 <= columns {
                    let both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from.add(c + 16)), _mm512_loadu_ps(from.add(c)));
                    _mm512_storeu_si512(to.add(c / 2).cast(), transmute::<__m512bh, __m512i>(both));
                    c += 32;
                }
                if c < columns {
                    let half = _mm512_cvtneps_pbh(_mm512_loadu_ps(from.add(c)));
                    _mm256_storeu_si256(to.add(c / 2).cast(), transmute::<__m256bh, __m256i>(half));
                }
            }
        }
    }

    /// # Safety
    /// As for [`super::Bf16::product`].
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn product(g: &PairGemm) {
        let vectors = g.n / 16;
        let mut at = 0;
        // SAFETY: panels stay within m × n.
        unsafe {
            while vectors - at >= 4 {
                panel::<6, 4>(g, at * 16);
                at += 4;
            }
            match vectors - at {
                3 => panel::<8, 3>(g, at * 16),
                2 => panel::<12, 2>(g, at * 16),
                1 => panel::<12, 1>(g, at * 16),
                _ => {}
            }
        }
    }

    /// # Safety
    /// As for [`product`]; columns end at `column + 16·NR`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn panel<const MR: usize, const NR: usize>(g: &PairGemm, column: usize) {
        let mut row = 0;
        // SAFETY: rows stay below m.
        unsafe {
            while row + MR <= g.m {
                block::<MR, NR>(g, row, column);
                row += MR;
            }
            while row + 4 <= g.m {
                block::<4, NR>(g, row, column);
                row += 4;
            }
            while row < g.m {
                block::<1, NR>(g, row, column);
                row += 1;
            }
        }
    }

    /// # Safety
    /// As for [`panel`]; rows end at `row + MR`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[inline]
    unsafe fn block<const MR: usize, const NR: usize>(g: &PairGemm, row: usize, column: usize) {
        let mut acc = [[_mm512_setzero_ps(); NR]; MR];
        // SAFETY: promised by the caller.
        unsafe {
            let (mut a, mut b) = (g.a.add(row * g.a_row), g.b.add(column));
            for _ in 0..g.k {
                let factors: [__m512bh; NR] =
                    std::array::from_fn(|j| transmute::<__m512i, __m512bh>(_mm512_loadu_si512(b.add(16 * j).cast())));
                for (i, sums) in acc.iter_mut().enumerate() {
                    let factor = transmute::<__m512i, __m512bh>(_mm512_set1_epi32(*a.add(i * g.a_row) as i32));
                    for (sum, other) in sums.iter_mut().zip(factors) {
                        *sum = _mm512_dpbf16_ps(*sum, factor, other);
                    }
                }
                (a, b) = (a.wrapping_add(g.a_col), b.wrapping_add(g.n));
            }
            for (i, sums) in acc.iter().enumerate() {
                for (j, &sum) in sums.iter().enumerate() {
                    let at = (row + i) * g.c_row + column + 16 * j;
                    let start = match g.init {
                        Init::Zero => sum,
                        Init::Bias(bias) => _mm512_add_ps(sum, _mm512_loadu_ps(bias.add(column + 16 * j))),
                        Init::Accumulate => _mm512_add_ps(sum, _mm512_loadu_ps(g.c.add(at))),
                    };
                    let value = match g.finish {
                        Finish::Store => start,
                        Finish::Relu => _mm512_max_ps(start, _mm512_setzero_ps()),
                        Finish::Mask(mask) => {
                            // Ordered and greater: what is not a number lets nothing through.
                            const GREATER: i32 = 30;
                            let on = _mm512_cmp_ps_mask::<GREATER>(_mm512_loadu_ps(mask.add(at)), _mm512_setzero_ps());
                            _mm512_maskz_mov_ps(on, start)
                        }
                    };
                    _mm512_storeu_ps(g.c.add(at), value);
                }
            }
        }
    }
}

impl Bf16 {
    /// Products in bfloat16, where the machine has them and `NSTR_SIMD` does not ask for less.
    pub(crate) fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            let asked_for = matches!(crate::arch(), pulp::Arch::V4(_));
            let present = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512bf16");
            (asked_for && present).then_some(Self(()))
        }
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// Packs each pair of neighbouring rows into words, `[rows / 2][columns]`: the first row's numbers in the lower halves.
    ///
    /// # Safety
    /// `from` must have `rows` (even) rows, `row` apart, of `columns` (a multiple of 16) numbers; `to` must have room.
    pub(crate) unsafe fn pack_pairs(self, from: *const f32, row: usize, rows: usize, columns: usize, to: *mut u32) {
        // SAFETY: the machine has the instructions (see `detect`); the rest is the caller's promise.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            machine::pack_pairs(from, row, rows, columns, to);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (from, row, rows, columns, to);
    }

    /// Packs each pair of neighbouring columns into words, `[rows][columns / 2]`.
    ///
    /// # Safety
    /// As for [`Self::pack_pairs`]; the number of rows may be odd.
    pub(crate) unsafe fn pack_rows(self, from: *const f32, row: usize, rows: usize, columns: usize, to: *mut u32) {
        // SAFETY: as in `pack_pairs`.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            machine::pack_rows(from, row, rows, columns, to);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (from, row, rows, columns, to);
    }

    /// Runs a product.
    ///
    /// # Safety
    /// All pointers must be valid for what the sizes and strides name, and `c` must not overlap the others.
    pub(crate) unsafe fn product(self, g: PairGemm) {
        // SAFETY: as in `pack_pairs`.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            machine::product(&g);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = g;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    /// A number with the 8 significant bits of bfloat16.
    fn rounded(v: f32) -> f32 {
        f32::from_bits(pair(v, 0.0) << 16)
    }

    #[test]
    fn pairs_are_rounded_to_the_nearest_even_number() {
        assert_eq!(pair(1.0, -2.0), 0xc000_3f80);
        for (v, want) in [(1.0 + 1.0 / 256.0, 1.0), (1.0 + 3.0 / 256.0, 1.015_625), (-3.0e-3, -3.005_981_4e-3)] {
            assert_eq!(rounded(v), want);
        }
        assert_eq!(f32::from_bits(pair(0.0, f32::INFINITY) & 0xffff_0000), f32::INFINITY);
        assert!(rounded(f32::NAN).is_nan() && rounded(-f32::NAN).is_nan());
    }

    #[test]
    fn products_of_packed_matrices_match_plain_loops() {
        let Some(bf16) = Bf16::detect() else {
            println!("skipped: the machine has no AVX512-BF16");
            return;
        };
        let mut rng = rand_pcg::Pcg64::seed_from_u64(3);
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
        for (m, n, k) in
            [(1, 16, 2), (3, 32, 16), (6, 64, 64), (13, 48, 16), (64, 80, 32), (64, 128, 96), (25, 112, 48)]
        {
            for mode in 0..4 {
                // A has rows of k numbers in one half of the modes, where they can be packed, and else columns of them.
                let by_rows = mode % 2 == 0 && k % 16 == 0;
                let stride = usize::next_multiple_of(m, 16);
                let (a, b, bias) = (random(stride * k), random(k * n), random(n));
                let (mask, start) = (random(m * n), random(m * n));
                let mut c = start.clone();
                let (mut left, mut right) = (vec![0; stride * k / 2], vec![0; k / 2 * n]);
                let (init, finish) = [
                    (Init::Zero, Finish::Store),
                    (Init::Bias(bias.as_ptr()), Finish::Relu),
                    (Init::Accumulate, Finish::Store),
                    (Init::Zero, Finish::Mask(mask.as_ptr())),
                ][mode];
                // SAFETY: buffers have the sizes that are named; k is even, and a multiple of 16 where rows are packed.
                unsafe {
                    if by_rows {
                        bf16.pack_rows(a.as_ptr(), k, m, k, left.as_mut_ptr());
                    } else {
                        bf16.pack_pairs(a.as_ptr(), stride, k, stride, left.as_mut_ptr());
                    }
                    bf16.pack_pairs(b.as_ptr(), n, k, n, right.as_mut_ptr());
                    let (a_row, a_col) = if by_rows { (k / 2, 1) } else { (1, stride) };
                    let (a, b) = (left.as_ptr(), right.as_ptr());
                    bf16.product(PairGemm {
                        m,
                        n,
                        k: k / 2,
                        a,
                        a_row,
                        a_col,
                        b,
                        c: c.as_mut_ptr(),
                        c_row: n,
                        init,
                        finish,
                    });
                }
                for i in 0..m {
                    for j in 0..n {
                        let at = i * n + j;
                        let mut want = [0.0, f64::from(bias[j]), f64::from(start[at]), 0.0][mode];
                        for l in 0..k {
                            let factor = if by_rows { a[i * k + l] } else { a[l * stride + i] };
                            want += f64::from(rounded(factor)) * f64::from(rounded(b[l * n + j]));
                        }
                        want = match mode {
                            1 => want.max(0.0),
                            3 if mask[at] <= 0.0 => 0.0,
                            _ => want,
                        };
                        let got = f64::from(c[at]);
                        assert!((got - want).abs() < 1e-4, "{m}×{n}×{k} mode {mode}: {got} for {want}");
                    }
                }
            }
        }
    }

    /// Gradients differ from those in f32, and only as much as rounded factors explain.
    #[test]
    fn gradients_are_those_of_f32_up_to_rounding() {
        use crate::{FusedField, GradientSlices, Outputs};
        use nstr_spec::config::preset;
        use nstr_spec::init::parameters;

        let config = preset("sdf").unwrap();
        let spec = config.spec();
        let (grid, net) = parameters(&spec, &config.init);
        let mut rng = rand_pcg::Pcg64::seed_from_u64(7);
        let x: Vec<f32> = (0..3 * 500).map(|_| rng.random_range(0.0..1.0)).collect();
        let d_out: Vec<f32> = (0..500).map(|_| rng.random_range(-1.0..1.0)).collect();
        let gradients = |precision: GradientPrecision| {
            let (mut d_grid, mut d_net) = (vec![0.0; grid.len()], vec![0.0; net.len()]);
            let to = GradientSlices { d_grid: &mut d_grid, d_net: &mut d_net, d_x: None };
            FusedField::with_precision(&spec, precision).backward(Outputs::Value, &grid, &net, &x, &d_out, to);
            [d_grid, d_net]
        };
        let (single, mixed) = (gradients(GradientPrecision::Single), gradients(GradientPrecision::Mixed));
        for (a, b) in single.iter().zip(&mixed) {
            let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            let error = norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut a.iter().copied());
            assert!(error < 5e-3, "{error}");
            assert_eq!(error > 0.0, Bf16::detect().is_some(), "{error}");
        }
    }
}
