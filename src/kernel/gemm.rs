//! Small matrix products on tiles: `C = A·B` with the widths of a field's networks.
//!
//! `B` and `C` are row-major with rows padded to [`PAD`] columns; `A` is read element by element through two strides, so
//! that the same kernel serves the forward pass (`A` = activations), the adjoint of the inputs (`B` = transposed weights)
//! and the adjoint of the weights (`A` = transposed activations). One block of `C` stays in registers while the loop
//! runs over the inner dimension; elements of `A` are broadcast, rows of `B` are vectors.

use pulp::{Simd, WithSimd};

/// Every row of a tile's matrices is padded to a multiple of this many columns: the widest vector.
pub const PAD: usize = 16;

/// `n` rounded up to a multiple of [`PAD`].
pub const fn pad(n: usize) -> usize {
    n.div_ceil(PAD) * PAD
}

/// Start value of `C`.
#[derive(Clone, Copy)]
pub enum Init {
    /// Zero.
    Zero,
    /// The bias row (padded columns) for every row.
    Bias(*const f32),
    /// The present value of `C`.
    Accumulate,
}

/// Last operation on `C` before it is stored.
#[derive(Clone, Copy)]
pub enum Finish {
    /// Nothing.
    Store,
    /// `max(0, c)`.
    Relu,
    /// Zero where the matrix at this pointer (laid out like `C`) is not positive.
    Mask(*const f32),
}

/// One product; see the module's text. All lengths in elements.
#[derive(Clone, Copy)]
pub struct Gemm {
    /// Rows of `A` and `C`.
    pub m: usize,
    /// Columns of `B` and `C`, a multiple of [`PAD`].
    pub n: usize,
    /// Inner dimension.
    pub k: usize,
    /// First element of `A`.
    pub a: *const f32,
    /// Distance between rows of `A`.
    pub a_row: usize,
    /// Distance between columns of `A`.
    pub a_col: usize,
    /// First element of `B`.
    pub b: *const f32,
    /// Distance between rows of `B`.
    pub b_row: usize,
    /// First element of `C`.
    pub c: *mut f32,
    /// Distance between rows of `C`.
    pub c_row: usize,
    /// Start value.
    pub init: Init,
    /// Last step.
    pub finish: Finish,
}

impl Gemm {
    /// Runs the product.
    ///
    /// # Safety
    /// `a`, `b`, `c` and the pointers in `init` and `finish` must be valid for every element that the sizes and strides
    /// name, and `c` must not overlap the others.
    #[inline(always)]
    pub unsafe fn run<S: Simd>(self, simd: S) {
        if self.m > 0 {
            // A function of its own (not inlined), so that each call site costs a call rather than a copy of the code.
            simd.vectorize(Task(self));
        }
    }
}

struct Task(Gemm);

impl WithSimd for Task {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let g = self.0;
        let lanes = S::F32_LANES;
        let vectors = g.n / lanes;
        let mut at = 0;
        // SAFETY: `Gemm::run` promises valid pointers for m × n × k; panels and blocks below stay within them.
        unsafe {
            // 16 registers (AVX2) hold a 6×2 block, 32 registers (AVX-512, NEON) a 6×4 one.
            if lanes != 8 {
                while vectors - at >= 4 {
                    panel::<S, 6, 4>(simd, &g, at * lanes);
                    at += 4;
                }
                if vectors - at == 3 {
                    panel::<S, 8, 3>(simd, &g, at * lanes);
                    at += 3;
                }
            }
            while vectors - at >= 2 {
                if lanes == 8 {
                    panel::<S, 6, 2>(simd, &g, at * lanes);
                } else {
                    panel::<S, 12, 2>(simd, &g, at * lanes);
                }
                at += 2;
            }
            if vectors - at == 1 {
                panel::<S, 12, 1>(simd, &g, at * lanes);
            }
        }
    }
}

/// All rows of `NR` vectors of columns.
#[inline(always)]
unsafe fn panel<S: Simd, const MR: usize, const NR: usize>(simd: S, g: &Gemm, column: usize) {
    let mut row = 0;
    // SAFETY: rows stay below m, columns below n.
    unsafe {
        while row + MR <= g.m {
            block::<S, MR, NR>(simd, g, row, column);
            row += MR;
        }
        while row + 4 <= g.m {
            block::<S, 4, NR>(simd, g, row, column);
            row += 4;
        }
        while row < g.m {
            block::<S, 1, NR>(simd, g, row, column);
            row += 1;
        }
    }
}

#[inline(always)]
unsafe fn block<S: Simd, const MR: usize, const NR: usize>(simd: S, g: &Gemm, row: usize, column: usize) {
    let lanes = S::F32_LANES;
    let mut acc = [[simd.splat_f32s(0.0); NR]; MR];
    // SAFETY: the caller keeps row + MR <= m and column + NR·lanes <= n; vectors are read and written unaligned.
    unsafe {
        let c = g.c.add(row * g.c_row + column);
        match g.init {
            Init::Zero => {}
            Init::Bias(bias) => {
                for j in 0..NR {
                    let v = bias.add(column + j * lanes).cast::<S::f32s>().read_unaligned();
                    for r in &mut acc {
                        r[j] = v;
                    }
                }
            }
            Init::Accumulate => {
                for (i, r) in acc.iter_mut().enumerate() {
                    for (j, v) in r.iter_mut().enumerate() {
                        *v = c.add(i * g.c_row + j * lanes).cast::<S::f32s>().read_unaligned();
                    }
                }
            }
        }
        let mut a = g.a.add(row * g.a_row);
        let mut b = g.b.add(column);
        for _ in 0..g.k {
            let mut bv = [simd.splat_f32s(0.0); NR];
            for (j, v) in bv.iter_mut().enumerate() {
                *v = b.add(j * lanes).cast::<S::f32s>().read_unaligned();
            }
            for (i, r) in acc.iter_mut().enumerate() {
                let av = simd.splat_f32s(*a.add(i * g.a_row));
                for (v, &bv) in r.iter_mut().zip(&bv) {
                    *v = simd.mul_add_e_f32s(av, bv, *v);
                }
            }
            a = a.wrapping_add(g.a_col);
            b = b.wrapping_add(g.b_row);
        }
        match g.finish {
            Finish::Store => {}
            Finish::Relu => {
                let zero = simd.splat_f32s(0.0);
                for r in &mut acc {
                    for v in r {
                        *v = simd.max_f32s(*v, zero);
                    }
                }
            }
            Finish::Mask(mask) => {
                let zero = simd.splat_f32s(0.0);
                let mask = mask.add(row * g.c_row + column);
                for (i, r) in acc.iter_mut().enumerate() {
                    for (j, v) in r.iter_mut().enumerate() {
                        let h = mask.add(i * g.c_row + j * lanes).cast::<S::f32s>().read_unaligned();
                        *v = simd.select_f32s(simd.greater_than_f32s(h, zero), *v, zero);
                    }
                }
            }
        }
        for (i, r) in acc.iter().enumerate() {
            for (j, &v) in r.iter().enumerate() {
                c.add(i * g.c_row + j * lanes).cast::<S::f32s>().write_unaligned(v);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch;
    use rand::{RngExt, SeedableRng};

    struct Call(Gemm);
    impl WithSimd for Call {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            // SAFETY: the test builds buffers of the sizes it names.
            unsafe { self.0.run(simd) }
        }
    }

    #[test]
    fn products_match_plain_loops_for_every_shape_and_mode() {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(3);
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
        for (m, n, k) in [(1, 16, 1), (3, 32, 5), (6, 64, 64), (13, 48, 17), (64, 80, 33), (64, 128, 3), (25, 112, 40)]
        {
            for transposed in [false, true] {
                for mode in 0..4 {
                    let (a, b, bias, mask) = (random(m * k), random(k * n), random(n), random(m * n));
                    let start = random(m * n);
                    let mut c = start.clone();
                    let (a_row, a_col) = if transposed { (1, m) } else { (k, 1) };
                    let init = [Init::Zero, Init::Bias(bias.as_ptr()), Init::Accumulate, Init::Zero][mode];
                    let finish = [Finish::Store, Finish::Relu, Finish::Store, Finish::Mask(mask.as_ptr())][mode];
                    let g = Gemm {
                        m,
                        n,
                        k,
                        a: a.as_ptr(),
                        a_row,
                        a_col,
                        b: b.as_ptr(),
                        b_row: n,
                        c: c.as_mut_ptr(),
                        c_row: n,
                        init,
                        finish,
                    };
                    arch().dispatch(Call(g));
                    for i in 0..m {
                        for j in 0..n {
                            let mut want: f64 = [0.0, f64::from(bias[j]), f64::from(start[i * n + j]), 0.0][mode];
                            for l in 0..k {
                                want += f64::from(a[i * a_row + l * a_col]) * f64::from(b[l * n + j]);
                            }
                            if mode == 1 {
                                want = want.max(0.0);
                            }
                            if mode == 3 && mask[i * n + j] <= 0.0 {
                                want = 0.0;
                            }
                            let got = f64::from(c[i * n + j]);
                            assert!((got - want).abs() < 1e-4, "{m}×{n}×{k} mode {mode}: {got} for {want}");
                        }
                    }
                }
            }
        }
    }
}
