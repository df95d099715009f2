//! The little linear algebra that diagnostics need: ridge regression and the largest singular value.

use crate::stats::mean;

/// A linear map from standardised features to targets, fitted with a penalty.
#[derive(Clone, Debug)]
pub struct Ridge {
    centre: Vec<f64>,
    scale: Vec<f64>,
    offset: Vec<f64>,
    /// `[feature][target]`.
    weights: Vec<f64>,
}

impl Ridge {
    /// Minimises `‖y − T(x)‖² + penalty·n·‖W‖²` over rows `x` of `features` and `y` of `targets` (row-major), features
    /// scaled to variance 1. `None` without rows.
    pub fn fit(features: &[f64], width: usize, targets: &[f64], outputs: usize, penalty: f64) -> Option<Self> {
        let rows = targets.len() / outputs.max(1);
        if rows == 0 || width == 0 || features.len() != rows * width {
            return None;
        }
        let (centre, scale) = scaling(features, width);
        let offset: Vec<f64> = (0..outputs).map(|c| mean(&column(targets, outputs, c))).collect();
        let mut normal = vec![0.0; width * width];
        let mut right = vec![0.0; width * outputs];
        let mut row = vec![0.0; width];
        for (x, y) in features.chunks_exact(width).zip(targets.chunks_exact(outputs)) {
            (0..width).for_each(|c| row[c] = (x[c] - centre[c]) * scale[c]);
            for i in 0..width {
                (0..=i).for_each(|j| normal[i * width + j] += row[i] * row[j]);
                (0..outputs).for_each(|o| right[i * outputs + o] += row[i] * (y[o] - offset[o]));
            }
        }
        (0..width).for_each(|i| normal[i * width + i] += penalty.max(1e-12) * rows as f64);
        solve(&mut normal, width, &mut right, outputs)?;
        Some(Self { centre, scale, offset, weights: right })
    }

    /// Targets of each row.
    pub fn predict(&self, features: &[f64]) -> Vec<f64> {
        let (width, outputs) = (self.centre.len(), self.offset.len());
        let mut out = Vec::with_capacity(features.len() / width * outputs);
        for x in features.chunks_exact(width) {
            for o in 0..outputs {
                let sum = (0..width).map(|c| (x[c] - self.centre[c]) * self.scale[c] * self.weights[c * outputs + o]);
                out.push(self.offset[o] + sum.sum::<f64>());
            }
        }
        out
    }
}

/// Column `c` of rows of `width` values.
fn column(data: &[f64], width: usize, c: usize) -> Vec<f64> {
    data.iter().skip(c).step_by(width).copied().collect()
}

/// Mean of each column of rows of `width` values, and what its deviations are multiplied by to have variance 1.
pub fn scaling(features: &[f64], width: usize) -> (Vec<f64>, Vec<f64>) {
    let centre: Vec<f64> = (0..width).map(|c| mean(&column(features, width, c))).collect();
    let scale = |c: usize| {
        let squares: Vec<f64> = column(features, width, c).iter().map(|x| (x - centre[c]).powi(2)).collect();
        let v = mean(&squares);
        // A constant says nothing.
        if v > 0.0 { 1.0 / v.sqrt() } else { 0.0 }
    };
    let scale = (0..width).map(scale).collect();
    (centre, scale)
}

/// Solves the symmetric positive definite system in place by Cholesky's decomposition; only the lower triangle is read.
/// `None` where it is not positive definite.
fn solve(a: &mut [f64], n: usize, b: &mut [f64], columns: usize) -> Option<()> {
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let rest = a[i * n + j] - dot;
            a[i * n + j] = match i == j {
                true if rest > 0.0 => rest.sqrt(),
                true => return None,
                false => rest / a[j * n + j],
            };
        }
    }
    for c in 0..columns {
        for i in 0..n {
            let dot: f64 = (0..i).map(|k| a[i * n + k] * b[k * columns + c]).sum();
            b[i * columns + c] = (b[i * columns + c] - dot) / a[i * n + i];
        }
        for i in (0..n).rev() {
            let dot: f64 = (i + 1..n).map(|k| a[k * n + i] * b[k * columns + c]).sum();
            b[i * columns + c] = (b[i * columns + c] - dot) / a[i * n + i];
        }
    }
    Some(())
}

/// Largest singular value of a row-major matrix, by power iteration to about 1e-9 of it (from below).
pub fn spectral_norm(matrix: &[f64], columns: usize) -> f64 {
    if columns == 0 || matrix.is_empty() {
        return 0.0;
    }
    // Not orthogonal to anything in particular.
    let mut v: Vec<f64> = (0..columns).map(|i| 1.0 + 0.37 * ((i * i) as f64).sin()).collect();
    let mut last = 0.0;
    for _ in 0..1000 {
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        v.iter_mut().for_each(|x| *x /= length);
        let image: Vec<f64> =
            matrix.chunks_exact(columns).map(|row| row.iter().zip(&v).map(|(a, x)| a * x).sum()).collect();
        let found = image.iter().map(|x| x * x).sum::<f64>().sqrt();
        if found == 0.0 || !found.is_finite() || (found - last).abs() <= 1e-12 * found {
            return found;
        }
        last = found;
        v.fill(0.0);
        for (row, y) in matrix.chunks_exact(columns).zip(&image) {
            v.iter_mut().zip(row).for_each(|(v, a)| *v += a * y);
        }
    }
    last
}

/// Share of the targets' variance that predictions explain, over all columns together; NaN where nothing varies.
pub fn r_squared(predicted: &[f64], targets: &[f64], outputs: usize) -> f64 {
    let (mut error, mut spread) = (0.0, 0.0);
    for o in 0..outputs {
        let of = |v: &[f64]| -> Vec<f64> { v.iter().skip(o).step_by(outputs).copied().collect() };
        let (p, t) = (of(predicted), of(targets));
        let centre = mean(&t);
        error += p.iter().zip(&t).map(|(p, t)| (p - t).powi(2)).sum::<f64>();
        spread += t.iter().map(|t| (t - centre).powi(2)).sum::<f64>();
    }
    if spread > 0.0 { 1.0 - error / spread } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(i: usize, k: usize) -> f64 {
        ((i * (2 * k + 3)) as f64 * 0.7 + (k * k) as f64).sin()
    }

    #[test]
    fn ridge_finds_a_linear_map() {
        let features: Vec<f64> = (0..200).flat_map(|i| (0..3).map(move |k| 10.0 * wave(i, k) + k as f64)).collect();
        let target = |x: &[f64]| [2.0 * x[0] - x[2] + 5.0, x[1]];
        let targets: Vec<f64> = features.chunks(3).flat_map(target).collect();
        let map = Ridge::fit(&features, 3, &targets, 2, 1e-9).unwrap();
        let got = map.predict(&features);
        assert!(got.iter().zip(&targets).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!(r_squared(&got, &targets, 2) > 1.0 - 1e-9);
        // A heavy penalty predicts the mean, of which R² is 0.
        let flat = Ridge::fit(&features, 3, &targets, 2, 1e9).unwrap().predict(&features);
        assert!(r_squared(&flat, &targets, 2).abs() < 1e-6);
        // Constant and repeated columns do no harm.
        let more: Vec<f64> = features.chunks(3).flat_map(|x| [x[0], x[0], 7.0, x[1], x[2]]).collect();
        let got = Ridge::fit(&more, 5, &targets, 2, 1e-9).unwrap().predict(&more);
        assert!(r_squared(&got, &targets, 2) > 1.0 - 1e-6);
        assert!(Ridge::fit(&[], 3, &[], 2, 1.0).is_none());
    }

    #[test]
    fn norms_of_matrices_that_are_known() {
        // Rotation by scaling by rotation: singular values 5 and 2.
        let (c, s) = (0.6f64, 0.8f64);
        let m = [5.0 * c, -2.0 * s, 5.0 * s, 2.0 * c];
        assert!((spectral_norm(&m, 2) - 5.0).abs() < 1e-9);
        let outer: Vec<f64> = (0..12).map(|i| [1.0, 2.0, 2.0, 4.0][i / 3] * [3.0, 0.0, 4.0][i % 3]).collect();
        assert!((spectral_norm(&outer, 3) - 25.0).abs() < 1e-9);
        assert_eq!(spectral_norm(&[0.0; 6], 3), 0.0);
        assert_eq!(spectral_norm(&[], 0), 0.0);
    }
}
