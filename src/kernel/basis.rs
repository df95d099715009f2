//! The modulated global basis on a tile: `m = S ⊙ sin(x·ω + b)` (product) or sums of it (channels), with tangents and
//! adjoint.
//!
//! With `θ̇_j = ω_j` along coordinate j: `ṁ_j = Ṡ_j sin θ + S cos θ ω_j`.

use pulp::Simd;

use super::gemm::pad;
use super::math::sincos;
use super::mlp::{TILE, View};
use super::spec::FieldSpec;

/// Shape of the basis.
#[derive(Clone, Debug)]
pub struct BasisPlan {
    dim: usize,
    basis: usize,
    row: usize,
    channels: Option<usize>,
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
        Self { dim: spec.dim, basis: spec.basis, row: pad(spec.basis), channels: spec.channels() }
    }

    /// Copies ω and b, which lie at the start of `net`.
    pub fn load(&self, net: &[f32], to: &mut BasisWeights) {
        to.0.clear();
        to.0.resize((self.dim + 1) * self.row, 0.0);
        for (row, from) in to.0.chunks_exact_mut(self.row).zip(net.chunks_exact(self.basis)) {
            row[..self.basis].copy_from_slice(from);
        }
    }

    /// Adds gradient sums (laid out like [`BasisWeights`]) into `net`'s gradient and clears them.
    pub fn unload(&self, from: &mut [f32], d_net: &mut [f32]) {
        for (row, to) in from.chunks_exact_mut(self.row).zip(d_net.chunks_exact_mut(self.basis)) {
            for (d, g) in to.iter_mut().zip(&*row) {
                *d += g;
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

    /// Modulated values into the first columns of `m`, for every plane.
    ///
    /// # Safety
    /// `s` must have the padded columns of S and `m` those of the modulated values, [`TILE`] rows in each plane; padded
    /// columns of `s` must be 0. `x` is `[point][dim]`.
    #[inline(always)]
    pub unsafe fn forward<S: Simd>(
        &self,
        simd: S,
        w: &BasisWeights,
        x: &[f32],
        s: View,
        phases: &mut Phases,
        m: View,
        planes: usize,
    ) {
        let (lanes, row, dim) = (S::F32_LANES, self.row, self.dim);
        let omega = w.0.as_ptr();
        for p in 0..TILE {
            for v in (0..row).step_by(lanes) {
                // SAFETY: v + lanes <= row, the padded width of every buffer here.
                unsafe {
                    let mut theta = load::<S>(omega.add(dim * row + v));
                    for j in 0..dim {
                        let xj = simd.splat_f32s(x[p * dim + j]);
                        theta = simd.mul_add_f32s(xj, load::<S>(omega.add(j * row + v)), theta);
                    }
                    let (sin, cos) = sincos(simd, theta);
                    store::<S>(phases.sin.as_mut_ptr().add(p * row + v), sin);
                    store::<S>(phases.cos.as_mut_ptr().add(p * row + v), cos);
                    if self.channels.is_none() {
                        let value = load::<S>(s.ptr.add(p * s.row + v));
                        store::<S>(m.ptr.add(p * m.row + v), simd.mul_f32s(value, sin));
                        let turn = simd.mul_f32s(value, cos);
                        for plane in 1..planes {
                            let r = plane * TILE + p;
                            let slope = simd.mul_f32s(load::<S>(s.ptr.add(r * s.row + v)), sin);
                            let w = load::<S>(omega.add((plane - 1) * row + v));
                            store::<S>(m.ptr.add(r * m.row + v), simd.mul_add_f32s(turn, w, slope));
                        }
                    }
                }
            }
            if let Some(channels) = self.channels {
                for plane in 0..planes {
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
    }

    /// Adjoint: adds to `ds` (laid out like `s`), to `grads`, and to `dx` (`[point][dim]`, value plane only) if given.
    ///
    /// # Safety
    /// As for [`Self::forward`]; `dm` is laid out like `m`.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    pub unsafe fn backward<S: Simd>(
        &self,
        simd: S,
        w: &BasisWeights,
        x: &[f32],
        s: View,
        phases: &Phases,
        dm: View,
        ds: View,
        grads: &mut [f32],
        dx: Option<&mut [f32]>,
        planes: usize,
    ) {
        if self.channels.is_some() {
            // SAFETY: the same promise.
            unsafe { self.backward_channels(w, x, s, phases, dm, ds, grads, dx, planes) };
            return;
        }
        let (lanes, row, dim) = (S::F32_LANES, self.row, self.dim);
        let omega = w.0.as_ptr();
        let mut dx = dx;
        for v in (0..row).step_by(lanes) {
            // SAFETY: as in `forward`.
            unsafe {
                let zero = simd.splat_f32s(0.0);
                let (mut d_omega, mut d_phase) = ([zero; 3], zero);
                for p in 0..TILE {
                    let sin = load::<S>(phases.sin.as_ptr().add(p * row + v));
                    let cos = load::<S>(phases.cos.as_ptr().add(p * row + v));
                    let value = load::<S>(s.ptr.add(p * s.row + v));
                    let d = load::<S>(dm.ptr.add(p * dm.row + v));
                    let turn = simd.mul_f32s(value, cos);
                    let mut d_value = simd.mul_f32s(d, sin);
                    let mut d_theta = simd.mul_f32s(d, turn);
                    for plane in 1..planes {
                        let r = plane * TILE + p;
                        let j = plane - 1;
                        let (d, w) = (load::<S>(dm.ptr.add(r * dm.row + v)), load::<S>(omega.add(j * row + v)));
                        let slope = load::<S>(s.ptr.add(r * s.row + v));
                        let to = ds.ptr.add(r * ds.row + v);
                        store::<S>(to, simd.mul_add_f32s(d, sin, load::<S>(to)));
                        d_value = simd.mul_add_f32s(simd.mul_f32s(d, cos), w, d_value);
                        let bend = simd.mul_f32s(simd.mul_f32s(value, sin), w);
                        let inner = simd.sub_f32s(simd.mul_f32s(slope, cos), bend);
                        d_theta = simd.mul_add_f32s(d, inner, d_theta);
                        d_omega[j] = simd.mul_add_f32s(d, turn, d_omega[j]);
                    }
                    let to = ds.ptr.add(p * ds.row + v);
                    store::<S>(to, simd.add_f32s(load::<S>(to), d_value));
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

    #[allow(clippy::too_many_arguments)]
    unsafe fn backward_channels(
        &self,
        w: &BasisWeights,
        x: &[f32],
        s: View,
        phases: &Phases,
        dm: View,
        ds: View,
        grads: &mut [f32],
        dx: Option<&mut [f32]>,
        planes: usize,
    ) {
        let (row, dim, channels) = (self.row, self.dim, self.channels.unwrap_or(1));
        let mut dx = dx;
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
