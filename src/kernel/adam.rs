//! The Adam step (Kingma & Ba 2015, with the decoupled decay of Loshchilov & Hutter 2019) on flat buffers.

use rayon::prelude::*;

use crate::arch;

/// One step's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamHyper {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay, times `lr`.
    pub weight_decay: f32,
    /// `1 − β₁ᵗ` at this step t (1-based).
    pub bias1: f32,
    /// `1 − β₂ᵗ` at this step.
    pub bias2: f32,
}

impl AdamHyper {
    /// Constants of step `t` (1-based).
    pub fn at(lr: f32, beta1: f32, beta2: f32, eps: f32, weight_decay: f32, t: u64) -> Self {
        let power = |beta: f32| (1.0 - f64::from(beta).powf(t as f64)) as f32;
        Self { lr, beta1, beta2, eps, weight_decay, bias1: power(beta1), bias2: power(beta2) }
    }
}

/// Updates `params` and the moments `m`, `v` in place; all slices have one length.
pub fn step(params: &mut [f32], grads: &[f32], m: &mut [f32], v: &mut [f32], h: &AdamHyper) {
    const CHUNK: usize = 1 << 14;
    let (rate, root) = (h.lr / h.bias1, h.bias2.sqrt().recip());
    params
        .par_chunks_mut(CHUNK)
        .zip(grads.par_chunks(CHUNK))
        .zip(m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK)))
        .for_each(|((params, grads), (m, v))| {
            arch().dispatch(|| {
                for (((p, &g), m), v) in params.iter_mut().zip(grads).zip(m).zip(v) {
                    *m = h.beta1 * *m + (1.0 - h.beta1) * g;
                    *v = h.beta2 * *v + (1.0 - h.beta2) * g * g;
                    *p -= rate * *m / (v.sqrt() * root + h.eps) + h.lr * h.weight_decay * *p;
                }
            });
        });
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn steps_match_the_formula_in_double_precision() {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
        let n = 1000;
        let mut p: Vec<f32> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        let (mut p64, mut m64, mut v64) =
            (p.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(), vec![0.0; n], vec![0.0; n]);
        for t in 1..=20 {
            let g: Vec<f32> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
            step(&mut p, &g, &mut m, &mut v, &AdamHyper::at(0.01, 0.9, 0.99, 1e-8, 0.1, t));
            for i in 0..n {
                let g = f64::from(g[i]);
                m64[i] = 0.9 * m64[i] + 0.1 * g;
                v64[i] = 0.99 * v64[i] + 0.01 * g * g;
                let (mh, vh): (f64, f64) =
                    (m64[i] / (1.0 - 0.9f64.powi(t as i32)), v64[i] / (1.0 - 0.99f64.powi(t as i32)));
                p64[i] -= 0.01 * (mh / (vh.sqrt() + 1e-8) + 0.1 * p64[i]);
            }
        }
        let worst = p.iter().zip(&p64).map(|(&a, &b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
        assert!(worst < 2e-5, "{worst:e}");
    }
}
