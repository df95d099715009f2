//! The step of an exponential moving average (EMA) of parameters on flat buffers.

use rayon::prelude::*;

use crate::arch;

/// Moves `average` towards `values` by `1 − decay`, in place; both slices have one length.
pub fn step(average: &mut [f32], values: &[f32], decay: f64) {
    const CHUNK: usize = 1 << 14;
    // Rounded one by one, so that the two need not add up to one exactly: as plain tensors compute it.
    let (kept, gained) = (decay as f32, (1.0 - decay) as f32);
    average.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(average, values)| {
        arch().dispatch(|| {
            for (a, &v) in average.iter_mut().zip(values) {
                *a = *a * kept + v * gained;
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
        let n = (1 << 14) + 37;
        let mut average: Vec<f32> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
        let mut exact: Vec<f64> = average.iter().map(|&a| f64::from(a)).collect();
        for _ in 0..20 {
            let values: Vec<f32> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
            step(&mut average, &values, 0.95);
            for (e, &v) in exact.iter_mut().zip(&values) {
                *e = 0.95 * *e + 0.05 * f64::from(v);
            }
        }
        let worst = average.iter().zip(&exact).map(|(&a, &e)| (f64::from(a) - e).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-6, "{worst:e}");
    }
}
