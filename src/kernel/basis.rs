//! The modulated global basis on a tile: `m = S ⊙ sin θ` (product), sums of it (channels) or `sin θ` alone (plain) of
//! `θ = ω₀ (x·ω + b)`, with tangents and adjoint. The factor ω₀ is multiplied into ω and b when they are loaded.
//!
//! With `θ̇_j = ω_j` along coordinate j: `ṁ_j = Ṡ_j sin θ + S cos θ ω_j`.

use nstr_spec::{FieldSpec, Modulation};
use pulp::Simd;

use crate::gemm::pad;
use crate::math::sincos;
use crate::mlp::{MatrixView, TILE, copy_row};

/// Shape of the basis.
#[derive(Clone, Debug)]
pub struct BasisPlan {
    dim: usize,
    basis: usize,
    row: usize,
    omega_0: f32,
    channels: Option<usize>,
    /// Takes the sinusoids as they are, as if S were 1.
    plain: bool,
}

/// Frequencies and phases in padded rows: ω as `[dim][row]`, then b.
#[derive(Clone, Debug, Default)]
pub struct BasisWeights(Vec<f32>);

/// Sine and cosine of every phase on a tile, `[point][row]`.
#[derive(Clone, Debug)]
pub struct Phases {
    sin: Vec<f32>,
    cos: Vec<f32>,
}

impl Phases {
    /// Makes row `to` what row `row` of `from` is.
    #[inline(always)]
    pub(super) fn copy_row(&mut self, to: usize, from: &Self, row: usize) {
        copy_row(&mut self.sin, to, &from.sin, row);
        copy_row(&mut self.cos, to, &from.cos, row);
    }
}

/// Inputs of the basis on a tile.
#[derive(Clone, Copy)]
pub struct BasisInput<'a> {
    /// Coordinates, `[point][dim]`.
    pub x: &'a [f32],
    /// Spectrum S: its padded columns, [`TILE`] rows a plane; padding is 0. Not read where the modulation is plain.
    pub s: MatrixView,
    /// Blocks of rows: 1, or 1 + dim with derivatives.
    pub planes: usize,
}

/// Adjoints that the basis reads and writes.
pub struct BasisAdjoint<'a> {
    /// Adjoint of the modulated values, laid out like them.
    pub dm: MatrixView,
    /// Adjoint of S, laid out like it; added to (not where the modulation is plain).
    pub ds: MatrixView,
    /// Sums for ω and b, laid out like [`BasisWeights`]; added to.
    pub grads: &'a mut [f32],
    /// Adjoint of the coordinates (`[point][dim]`, from the value plane only), added to if given.
    pub dx: Option<&'a mut [f32]>,
}

#[inline(always)]
unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    // SAFETY: promised by the callers in this file.
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

#[inline(always)]
unsafe fn store<S: Simd>(to: *mut f32, v: S::f32s) {
    // SAFETY: promised by the callers in this file.
    unsafe { to.cast::<S::f32s>().write_unaligned(v) }
}

impl BasisPlan {
    /// Plans the basis of `spec`.
    pub fn new(spec: &FieldSpec) -> Self {
        let basis = spec.basis_width();
        Self {
            dim: spec.dim,
            basis,
            row: pad(basis),
            omega_0: spec.basis_omega_0 as f32,
            channels: spec.channels(),
            plain: spec.modulation == Modulation::Plain,
        }
    }

    /// Copies ω and b, which lie at the start of `net`.
    pub fn load(&self, net: &[f32], to: &mut BasisWeights) {
        to.0.clear();
        to.0.resize((self.dim + 1) * self.row, 0.0);
        if self.basis == 0 {
            return;
        }
        for (row, from) in to.0.chunks_exact_mut(self.row).zip(net.chunks_exact(self.basis)) {
            row.iter_mut().zip(from).for_each(|(to, from)| *to = self.omega_0 * from);
        }
    }

    /// Adds gradient sums (laid out like [`BasisWeights`]) into `net`'s gradient and clears them.
    pub fn unload(&self, from: &mut [f32], d_net: &mut [f32]) {
        if self.basis == 0 {
            return;
        }
        for (row, to) in from.chunks_exact_mut(self.row).zip(d_net.chunks_exact_mut(self.basis)) {
            for (d, g) in to.iter_mut().zip(&*row) {
                *d += self.omega_0 * g;
            }
            row.fill(0.0);
        }
    }

    /// Zero gradient sums.
    pub fn gradients(&self) -> Vec<f32> {
        vec![0.0; (self.dim + 1) * self.row]
    }

    /// Room for the phases of a tile.
    pub fn phases(&self) -> Phases {
        Phases { sin: vec![0.0; TILE * self.row], cos: vec![0.0; TILE * self.row] }
    }

    /// Modulated values into the first columns of `m`, for every plane; leaves the tile's phases for the adjoint.
    ///
    /// # Safety
    /// `input` must be as its fields say, `m` must have the padded columns of the modulated values and [`TILE`] rows a
    /// plane, and `w` and `phases` must be the plan's.
    #[inline(always)]
    pub unsafe fn forward<S: Simd>(
        &self,
        simd: S,
        w: &BasisWeights,
        input: BasisInput<'_>,
        phases: &mut Phases,
        m: MatrixView,
    ) {
        // SAFETY: the same promise.
        unsafe {
            match self.dim {
                1 => self.forward_tile::<S, 1>(simd, w, input, phases, m),
                2 => self.forward_tile::<S, 2>(simd, w, input, phases, m),
                _ => self.forward_tile::<S, 3>(simd, w, input, phases, m),
            }
            if let Some(channels) = self.channels {
                self.forward_channels(w, input, phases, m, channels);
            }
        }
    }

    /// Phases of the tile, and with them the products.
    #[inline(always)]
    unsafe fn forward_tile<S: Simd, const D: usize>(
        &self,
        simd: S,
        w: &BasisWeights,
        input: BasisInput<'_>,
        phases: &mut Phases,
        m: MatrixView,
    ) {
        let (lanes, row, s) = (S::F32_LANES, self.row, input.s);
        let (points, _) = input.x.as_chunks::<D>();
        let omega = w.0.as_ptr();
        for v in (0..row).step_by(lanes) {
            // SAFETY: v + lanes <= row, the padded width of every buffer here; p < TILE rows.
            unsafe {
                let mut omegas = [simd.splat_f32s(0.0); D];
                for (j, omega_j) in omegas.iter_mut().enumerate() {
                    *omega_j = load::<S>(omega.add(j * row + v));
                }
                let start = load::<S>(omega.add(D * row + v));
                for (p, x) in points[..TILE].iter().enumerate() {
                    let mut theta = start;
                    for (&x, &omega_j) in x.iter().zip(&omegas) {
                        theta = simd.mul_add_f32s(simd.splat_f32s(x), omega_j, theta);
                    }
                    let (sin, cos) = sincos(simd, theta);
                    store::<S>(phases.sin.as_mut_ptr().add(p * row + v), sin);
                    store::<S>(phases.cos.as_mut_ptr().add(p * row + v), cos);
                    if self.channels.is_some() {
                        continue;
                    }
                    if self.plain {
                        store::<S>(m.ptr.add(p * m.row + v), sin);
                        for (j, &omega_j) in omegas.iter().enumerate().take(input.planes - 1) {
                            store::<S>(m.ptr.add(((j + 1) * TILE + p) * m.row + v), simd.mul_f32s(cos, omega_j));
                        }
                        continue;
                    }
                    let value = load::<S>(s.ptr.add(p * s.row + v));
                    store::<S>(m.ptr.add(p * m.row + v), simd.mul_f32s(value, sin));
                    if input.planes > 1 {
                        let s_cos = simd.mul_f32s(value, cos);
                        for (j, &omega_j) in omegas.iter().enumerate() {
                            let r = (j + 1) * TILE + p;
                            let ds_sin = simd.mul_f32s(load::<S>(s.ptr.add(r * s.row + v)), sin);
                            store::<S>(m.ptr.add(r * m.row + v), simd.mul_add_f32s(s_cos, omega_j, ds_sin));
                        }
                    }
                }
            }
        }
    }

    /// Sums over the basis, one for each channel.
    unsafe fn forward_channels(
        &self,
        w: &BasisWeights,
        input: BasisInput<'_>,
        phases: &Phases,
        m: MatrixView,
        channels: usize,
    ) {
        let (row, s) = (self.row, input.s);
        for plane in 0..input.planes {
            for p in 0..TILE {
                let r = plane * TILE + p;
                for c in 0..channels {
                    let mut sum = 0.0;
                    for k in 0..self.basis {
                        let (sin, cos) = (phases.sin[p * row + k], phases.cos[p * row + k]);
                        // SAFETY: k·C + c < the width of S.
                        unsafe {
                            sum += *s.ptr.add(r * s.row + k * channels + c) * sin;
                            if plane > 0 {
                                sum += *s.ptr.add(p * s.row + k * channels + c) * cos * w.0[(plane - 1) * row + k];
                            }
                        }
                    }
                    // SAFETY: c < the modulated width.
                    unsafe { *m.ptr.add(r * m.row + c) = sum };
                }
            }
        }
    }

    /// Adjoint of [`Self::forward`], which must have left `phases`.
    ///
    /// # Safety
    /// As for [`Self::forward`]; `adjoint` must be as its fields say.
    #[inline(always)]
    pub unsafe fn backward<S: Simd>(
        &self,
        simd: S,
        w: &BasisWeights,
        input: BasisInput<'_>,
        phases: &Phases,
        adjoint: BasisAdjoint<'_>,
    ) {
        if self.channels.is_some() {
            // SAFETY: the same promise.
            unsafe { self.backward_channels(w, input, phases, adjoint) };
            return;
        }
        let (lanes, row, dim) = (S::F32_LANES, self.row, self.dim);
        let BasisInput { x, s, planes } = input;
        let BasisAdjoint { dm, ds, grads, mut dx } = adjoint;
        let omega = w.0.as_ptr();
        for v in (0..row).step_by(lanes) {
            // SAFETY: as in `forward`.
            unsafe {
                let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
                let (mut d_omega, mut d_phase) = ([zero; 3], zero);
                for p in 0..TILE {
                    let sin = load::<S>(phases.sin.as_ptr().add(p * row + v));
                    let cos = load::<S>(phases.cos.as_ptr().add(p * row + v));
                    let value = if self.plain { one } else { load::<S>(s.ptr.add(p * s.row + v)) };
                    let d = load::<S>(dm.ptr.add(p * dm.row + v));
                    let s_cos = simd.mul_f32s(value, cos);
                    let mut d_value = simd.mul_f32s(d, sin);
                    let mut d_theta = simd.mul_f32s(d, s_cos);
                    for plane in 1..planes {
                        let r = plane * TILE + p;
                        let j = plane - 1;
                        let (d, w) = (load::<S>(dm.ptr.add(r * dm.row + v)), load::<S>(omega.add(j * row + v)));
                        let s_tangent = if self.plain { zero } else { load::<S>(s.ptr.add(r * s.row + v)) };
                        if !self.plain {
                            let to = ds.ptr.add(r * ds.row + v);
                            store::<S>(to, simd.mul_add_f32s(d, sin, load::<S>(to)));
                        }
                        d_value = simd.mul_add_f32s(simd.mul_f32s(d, cos), w, d_value);
                        let s_sin_omega = simd.mul_f32s(simd.mul_f32s(value, sin), w);
                        let inner = simd.sub_f32s(simd.mul_f32s(s_tangent, cos), s_sin_omega);
                        d_theta = simd.mul_add_f32s(d, inner, d_theta);
                        d_omega[j] = simd.mul_add_f32s(d, s_cos, d_omega[j]);
                    }
                    if !self.plain {
                        let to = ds.ptr.add(p * ds.row + v);
                        store::<S>(to, simd.add_f32s(load::<S>(to), d_value));
                    }
                    d_phase = simd.add_f32s(d_phase, d_theta);
                    for j in 0..dim {
                        d_omega[j] = simd.mul_add_f32s(simd.splat_f32s(x[p * dim + j]), d_theta, d_omega[j]);
                        if let Some(dx) = dx.as_deref_mut() {
                            let w = load::<S>(omega.add(j * row + v));
                            dx[p * dim + j] += simd.reduce_sum_f32s(simd.mul_f32s(d_theta, w));
                        }
                    }
                }
                for (j, &d) in d_omega.iter().enumerate().take(dim) {
                    let to = grads.as_mut_ptr().add(j * row + v);
                    store::<S>(to, simd.add_f32s(load::<S>(to), d));
                }
                let to = grads.as_mut_ptr().add(dim * row + v);
                store::<S>(to, simd.add_f32s(load::<S>(to), d_phase));
            }
        }
    }

    unsafe fn backward_channels(
        &self,
        w: &BasisWeights,
        input: BasisInput<'_>,
        phases: &Phases,
        adjoint: BasisAdjoint<'_>,
    ) {
        let BasisInput { x, s, planes } = input;
        let BasisAdjoint { dm, ds, grads, mut dx } = adjoint;
        let (row, dim, channels) = (self.row, self.dim, self.channels.unwrap_or(1));
        for p in 0..TILE {
            for k in 0..self.basis {
                let (sin, cos) = (phases.sin[p * row + k], phases.cos[p * row + k]);
                let mut d_theta = 0.0;
                for c in 0..channels {
                    let at = k * channels + c;
                    // SAFETY: columns as in `forward`.
                    unsafe {
                        let value = *s.ptr.add(p * s.row + at);
                        let d = *dm.ptr.add(p * dm.row + c);
                        let mut d_value = d * sin;
                        d_theta += d * value * cos;
                        for plane in 1..planes {
                            let (r, j) = (plane * TILE + p, plane - 1);
                            let (d, omega) = (*dm.ptr.add(r * dm.row + c), w.0[j * row + k]);
                            *ds.ptr.add(r * ds.row + at) += d * sin;
                            d_value += d * cos * omega;
                            d_theta += d * (*s.ptr.add(r * s.row + at) * cos - value * sin * omega);
                            grads[j * row + k] += d * value * cos;
                        }
                        *ds.ptr.add(p * ds.row + at) += d_value;
                    }
                }
                for j in 0..dim {
                    grads[j * row + k] += d_theta * x[p * dim + j];
                    if let Some(dx) = dx.as_deref_mut() {
                        dx[p * dim + j] += d_theta * w.0[j * row + k];
                    }
                }
                grads[dim * row + k] += d_theta;
            }
        }
    }
}
