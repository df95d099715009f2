//! Rounding of parameters to the multiples of steps that a compact file stores, and the pull towards 0 that makes them cheap to
//! code, on flat buffers.
//!
//! A value w of an entry with step s becomes `sign(w) · ⌊|w|/s + offset⌋ · s`: an offset below a half widens the cell of 0 and moves all
//! others outwards, as rounding by rate and distortion does. The pull is the proximal step of a weighted L1 norm, the code length
//! of a Laplacian, in the metric of Adam: `w ← sign(w) · max(|w| − lr · min(pull / (√v̂ + ε), 1), 0)` (Duchi & Singer 2009).

use rayon::prelude::*;

use crate::adam::AdamHyper;
use crate::arch;

/// Values of a chunk, about; a multiple of every usual number of features.
const CHUNK: usize = 1 << 14;

/// Steps of a buffer's entries, one number an entry in each slice.
#[derive(Clone, Copy, Debug)]
pub struct Lattice<'a> {
    /// Values an entry, at least 1.
    pub features: usize,
    /// Step, above 0.
    pub steps: &'a [f32],
    /// Offset of the rounding, 0 to ½; ½ rounds to the nearest multiple.
    pub offsets: &'a [f32],
    /// Weight of the magnitude of each value in the loss, 0 or more.
    pub pulls: &'a [f32],
}

/// Rounds one value.
#[inline(always)]
fn rounded(value: f32, step: f32, offset: f32) -> f32 {
    // The sum makes −0 to 0, as a file has it.
    ((value.abs() / step + offset).floor() * step).copysign(value) + 0.0
}

/// Rounds `values`, `[entry][feature]`, in place.
///
/// # Panics
/// If the numbers of entries differ.
pub fn round(values: &mut [f32], lattice: Lattice<'_>) {
    let features = lattice.features.max(1);
    assert_eq!(values.len(), lattice.steps.len() * features, "one step an entry");
    let entries = (CHUNK / features).max(1);
    values
        .par_chunks_mut(entries * features)
        .zip(lattice.steps.par_chunks(entries).zip(lattice.offsets.par_chunks(entries)))
        .for_each(|(values, (steps, offsets))| {
            arch().dispatch(|| {
                for ((values, &step), &offset) in values.chunks_exact_mut(features).zip(steps).zip(offsets) {
                    values.iter_mut().for_each(|v| *v = rounded(*v, step, offset));
                }
            });
        });
}

/// Pulls `values` towards 0, after the step `hyper` of Adam that left the second moment `v`, and writes them to `to`, rounded.
///
/// # Panics
/// If the lengths of the slices differ.
pub fn pull_and_round(values: &mut [f32], v: &[f32], lattice: Lattice<'_>, hyper: &AdamHyper, to: &mut [f32]) {
    let features = lattice.features.max(1);
    assert_eq!([v.len(), to.len(), lattice.steps.len() * features], [values.len(); 3], "lengths of the buffers");
    let entries = (CHUNK / features).max(1);
    let size = entries * features;
    let of_entries = lattice.steps.par_chunks(entries);
    let of_entries = of_entries.zip(lattice.offsets.par_chunks(entries)).zip(lattice.pulls.par_chunks(entries));
    let of_values = values.par_chunks_mut(size).zip(v.par_chunks(size)).zip(to.par_chunks_mut(size));
    of_values.zip(of_entries).for_each(|(((values, v), to), ((steps, offsets), pulls))| {
        let chunk = Chunk { values, v, to, steps, offsets, pulls };
        // The usual numbers of features fill vectors.
        arch().dispatch(|| match features {
            1 => chunk.run(hyper, 1),
            2 => chunk.run(hyper, 2),
            4 => chunk.run(hyper, 4),
            8 => chunk.run(hyper, 8),
            other => chunk.run(hyper, other),
        });
    });
}

struct Chunk<'a> {
    values: &'a mut [f32],
    v: &'a [f32],
    to: &'a mut [f32],
    steps: &'a [f32],
    offsets: &'a [f32],
    pulls: &'a [f32],
}

impl Chunk<'_> {
    /// Inlined, so that a constant number of features unrolls the inner loop.
    #[inline(always)]
    fn run(self, hyper: &AdamHyper, features: usize) {
        let root = hyper.bias2.sqrt().recip();
        let of_entries = self.steps.iter().zip(self.offsets).zip(self.pulls);
        let of_values = self.values.chunks_exact_mut(features).zip(self.v.chunks_exact(features));
        for (((values, v), to), ((&step, &offset), &pull)) in
            of_values.zip(self.to.chunks_exact_mut(features)).zip(of_entries)
        {
            for ((value, v), to) in values.iter_mut().zip(v).zip(to) {
                let shrink = hyper.lr * (pull / (v.sqrt() * root + hyper.eps)).min(1.0);
                *value = (value.abs() - shrink).max(0.0).copysign(*value);
                *to = rounded(*value, step, offset);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    fn hyper() -> AdamHyper {
        AdamHyper::at(0.01, 0.9, 0.99, 1e-15, 0.0, 1000)
    }

    #[test]
    fn values_go_to_multiples_of_the_steps_of_their_entries() {
        let mut values = [0.74, -0.76, 0.0, -0.1, 2.6, 2.4, -2.6, 1e6];
        let lattice = Lattice { features: 4, steps: &[0.5, 1.0], offsets: &[0.5, 0.25], pulls: &[0.0; 2] };
        round(&mut values, lattice);
        assert_eq!(values, [0.5, -1.0, 0.0, 0.0, 2.0, 2.0, -2.0, 1e6]);
        assert!(values[3].is_sign_positive(), "no negative zero");
        let mut again = values;
        round(&mut again, lattice);
        assert_eq!(again, values, "multiples stay");
    }

    #[test]
    fn the_pull_is_a_proximal_step_in_adams_metric() {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(3);
        for features in [1, 2, 3, 8] {
            let entries = 5000;
            let n = entries * features;
            let mut draw = |n: usize, lo: f32, hi: f32| (0..n).map(|_| rng.random_range(lo..hi)).collect::<Vec<f32>>();
            let (before, v) = (draw(n, -0.1, 0.1), draw(n, 0.0, 1e-6));
            let (steps, offsets, pulls) = (draw(entries, 0.01, 0.1), draw(entries, 0.3, 0.5), draw(entries, 0.0, 1e-3));
            let lattice = Lattice { features, steps: &steps, offsets: &offsets, pulls: &pulls };
            let (mut values, mut to) = (before.clone(), vec![0.0; n]);
            pull_and_round(&mut values, &v, lattice, &hyper(), &mut to);
            for i in 0..n {
                let e = i / features;
                let root = (f64::from(v[i]) / f64::from(hyper().bias2)).sqrt();
                let shrink = 0.01 * (f64::from(pulls[e]) / root).min(1.0);
                let want = (f64::from(before[i].abs()) - shrink).max(0.0) * f64::from(before[i].signum());
                assert!((f64::from(values[i]) - want).abs() < 1e-7, "{} for {want}", values[i]);
            }
            let mut want = values.clone();
            round(&mut want, lattice);
            assert_eq!(to, want, "rounded as without a pull");
        }
    }

    #[test]
    fn without_a_weight_values_stay() {
        let before = [0.3, -0.2, 1e-9, 0.0];
        let (mut values, mut to) = (before, [0.0; 4]);
        let lattice = Lattice { features: 2, steps: &[0.1; 2], offsets: &[0.5; 2], pulls: &[0.0; 2] };
        pull_and_round(&mut values, &[0.0; 4], lattice, &hyper(), &mut to);
        assert_eq!(values, before);
        // What has no gradient at all goes to 0 by whole steps of the learning rate.
        pull_and_round(&mut values, &[0.0; 4], Lattice { pulls: &[1e-3; 2], ..lattice }, &hyper(), &mut to);
        assert_eq!(values.map(|v| (v * 1e4).round()), [2900.0, -1900.0, 0.0, 0.0]);
    }
}
