//! Compositing of rays and its adjoint: the quadrature of Max (1995), eq. 3. With `α = 1 − exp(−σ·dt)` and transmittance `T`,
//! `C = Σ T·α·c + T_end·background`. The adjoints of a sample's raw colour and density may have a factor of their own
//! (Philip & Deschaintre 2023), and rays of too large an error none at all.
//!
//! Where a ray's depth is known, what it would cost to carry its light there is part of the loss: with weights `w = T·α` that is
//! linear in them, `Σ w·ρ(t − depth) + T_end·ρ(1)`, so that its slopes join those of the colours.

use std::ops::Range;

use pulp::Simd;

use crate::density::Density;
use crate::math::exp;
use crate::mlp::TILE;
use crate::ray_step::{RayBuffers, RayStep};

impl RayStep<'_> {
    /// Colours of the chunk's rays, their loss, and its adjoints with respect to raw colours (in the head's tiles) and raw
    /// densities (in `d_value`). Colours go into `colours` too, `[ray][3]`, unless that is empty.
    #[inline(always)]
    pub(super) fn composite(&self, rays: Range<usize>, b: &mut RayBuffers, colours: &mut [f32]) -> f64 {
        let (batch, outputs, columns) = (self.batch, self.plan.outputs, self.head.mlp.output_columns());
        b.d_value.clear();
        b.d_value.resize(b.rows.len() * outputs, 0.0);
        let (mut at, mut total) = (0, 0.0);
        for (i, r) in rays.enumerate() {
            let (start, used) = (batch.first[r] as usize, b.used[i]);
            b.weight.clear();
            b.transmittance_after.clear();
            let mut transmittance = 1.0;
            let mut colour = [0.0f32; 3];
            for s in 0..used {
                let h = at + s;
                let c = &b.head[h / TILE].out[h % TILE * columns..][..3];
                let of_sample = b.transmittance[b.source[h] as usize];
                let weight = transmittance * (1.0 - of_sample);
                transmittance *= of_sample;
                for j in 0..3 {
                    colour[j] += weight * c[j];
                }
                b.weight.push(weight);
                b.transmittance_after.push(transmittance);
            }
            let background = &batch.background[3 * r..3 * r + 3];
            let mut d_colour = [0.0; 3];
            let shown: [f32; 3] = std::array::from_fn(|j| colour[j] + transmittance * background[j]);
            if let Some(to) = colours.get_mut(3 * i..3 * i + 3) {
                to.copy_from_slice(&shown);
            }
            let error: [f32; 3] = std::array::from_fn(|j| shown[j] - batch.target[3 * r + j]);
            // An error that is no number is beyond nothing, so that it is noticed.
            let is_beyond = |limit: &f32| dot(&error, &error) > 3.0 * limit * limit;
            let is_left_out = batch.error_limit.get(r).is_some_and(is_beyond);
            if !is_left_out {
                for j in 0..3 {
                    let (l, slope) = self.loss.loss.evaluate(error[j]);
                    total += f64::from(l * self.scale / 3.0);
                    d_colour[j] = slope * self.scale / 3.0;
                }
            }
            b.slope.clear();
            b.slope.resize(used, 0.0);
            if self.loss.distortion > 0.0 {
                let at = start..start + used;
                let value = distortion(&b.weight, &batch.t[at.clone()], &batch.dt[at], &mut b.slope);
                let factor = self.loss.distortion * self.scale;
                total += f64::from(value * factor);
                b.slope.iter_mut().for_each(|s| *s *= factor);
            }
            // Adjoint of the light that comes from behind a sample.
            let mut hidden = transmittance * dot(&d_colour, background);
            let depth = batch.depth.get(r).copied().filter(|depth| depth.is_finite() && !is_left_out);
            if let (Some(depth), Some(loss)) = (depth, self.loss.depth) {
                let factor = loss.weight * self.scale;
                let end = loss.distance(1.0);
                let mut value = transmittance * end;
                for (s, slope) in b.slope.iter_mut().enumerate() {
                    let distance = loss.distance(batch.t[start + s] - depth);
                    value += b.weight[s] * distance;
                    *slope += factor * distance;
                }
                hidden += transmittance * factor * end;
                total += f64::from(value * factor);
            }
            for s in (0..used).rev() {
                let h = at + s;
                let (tile, row) = (&mut b.head[h / TILE], h % TILE * columns);
                let c = [tile.out[row], tile.out[row + 1], tile.out[row + 2]];
                let d_weight = dot(&d_colour, &c) + b.slope[s];
                let d_sigma = batch.dt[start + s] * (b.transmittance_after[s] * d_weight - hidden);
                hidden += b.weight[s] * d_weight;
                let source = b.source[h] as usize;
                // Behind the compositing: what other samples get does not depend on it.
                let factor = batch.gradient_scale.get(start + s).copied().unwrap_or(1.0);
                b.d_value[source * outputs] = d_sigma * self.loss.density.slope(b.sigma[source]) * factor;
                let d_raw = &mut tile.d_out[row..row + 3];
                for j in 0..3 {
                    d_raw[j] = d_colour[j] * b.weight[s] * c[j] * (1.0 - c[j]) * factor;
                }
            }
            at += used;
        }
        total
    }
}

/// Turns raw values into densities σ and lengths dt into transmittances `exp(−σ·dt)`, in place.
#[inline(always)]
pub(super) fn absorb<S: Simd>(simd: S, density: Density, sigma: &mut [f32], transmittance: &mut [f32]) {
    let (sigma, transmittance) = (S::as_mut_simd_f32s(sigma).0, S::as_mut_simd_f32s(transmittance).0);
    for (s, t) in sigma.iter_mut().zip(transmittance) {
        *s = density.lanes(simd, *s);
        *t = exp(simd, simd.neg_f32s(simd.mul_f32s(*s, *t)));
    }
}

#[inline(always)]
fn dot(a: &[f32; 3], b: &[f32]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The distortion of one ray and its slope in each weight, by sums over the samples before and behind.
fn distortion(weight: &[f32], t: &[f32], dt: &[f32], slope: &mut [f32]) -> f32 {
    let (total, moment) = weight.iter().zip(t).fold((0.0, 0.0), |(w, m), (&wi, &ti)| (w + wi, m + wi * ti));
    let (mut before, mut moment_before, mut value) = (0.0, 0.0, 0.0);
    for i in 0..weight.len() {
        let (behind, moment_behind) = (total - before - weight[i], moment - moment_before - weight[i] * t[i]);
        let pull = t[i] * before - moment_before + moment_behind - t[i] * behind;
        slope[i] = 2.0 * pull + 2.0 / 3.0 * weight[i] * dt[i];
        value += weight[i] * (pull + weight[i] * dt[i] / 3.0);
        before += weight[i];
        moment_before += weight[i] * t[i];
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples: the term and its slope by hand.
    #[test]
    fn distortion_of_a_pair() {
        let (w, t, dt) = ([0.25, 0.5], [1.0, 3.0], [0.1, 0.2]);
        let mut slope = [0.0; 2];
        let value = distortion(&w, &t, &dt, &mut slope);
        let want = 2.0 * 0.25 * 0.5 * 2.0 + (0.0625 * 0.1 + 0.25 * 0.2) / 3.0;
        assert!((value - want).abs() < 1e-6);
        assert!((slope[0] - (2.0 * 0.5 * 2.0 + 2.0 / 3.0 * 0.25 * 0.1)).abs() < 1e-6);
    }
}
