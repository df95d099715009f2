//! Ridge regression, spectral norms and R², on matrices with one row an observation.

use nalgebra::{Cholesky, DMatrix, RowDVector};

/// Least penalty of a fit, which keeps constant and repeated features harmless.
const MIN_PENALTY: f64 = 1e-12;

/// Linear map from standardised features to targets, fitted with a penalty.
#[derive(Clone, Debug)]
pub struct Ridge {
    scaling: Scaling,
    /// Mean of each target.
    offset: RowDVector<f64>,
    /// `[feature, target]`.
    weights: DMatrix<f64>,
}

impl Ridge {
    /// Minimises `‖y − T(x)‖² + penalty·n·‖W‖²` over the n rows `x` of `features` and `y` of `targets`, features scaled to
    /// variance 1. `None` without rows or columns, and where the rows of both differ in number.
    pub fn fit(features: &DMatrix<f64>, targets: &DMatrix<f64>, penalty: f64) -> Option<Self> {
        let rows = targets.nrows();
        if rows == 0 || features.ncols() == 0 || features.nrows() != rows {
            return None;
        }
        let scaling = Scaling::of(features);
        let x = scaling.apply(features);
        let offset = targets.row_mean();
        let y = centred(targets, &offset);
        // A product of matrices is computed in blocks, `tr_mul` one dot product after the other.
        let transposed = x.transpose();
        let mut normal = &transposed * &x;
        let ridge = penalty.max(MIN_PENALTY) * rows as f64;
        (0..normal.ncols()).for_each(|i| normal[(i, i)] += ridge);
        let weights = Cholesky::new(normal)?.solve(&(transposed * y));
        Some(Self { scaling, offset, weights })
    }

    /// Targets of each row.
    pub fn predict(&self, features: &DMatrix<f64>) -> DMatrix<f64> {
        let mut out = self.scaling.apply(features) * &self.weights;
        out.row_iter_mut().for_each(|mut row| row += &self.offset);
        out
    }
}

/// Centre and scale of each feature.
#[derive(Clone, Debug)]
pub struct Scaling {
    centre: RowDVector<f64>,
    /// Factor that brings deviations to variance 1; 0 for constant features, which say nothing.
    factor: RowDVector<f64>,
}

impl Scaling {
    /// Scaling of the columns of `features`.
    pub fn of(features: &DMatrix<f64>) -> Self {
        let centre = features.row_mean();
        let squares = centred(features, &centre).map(|d| d * d);
        let factor = squares.row_mean().map(|v| if v > 0.0 { v.sqrt().recip() } else { 0.0 });
        Self { centre, factor }
    }

    /// The features with mean 0 and variance 1.
    pub fn apply(&self, features: &DMatrix<f64>) -> DMatrix<f64> {
        let mut out = centred(features, &self.centre);
        out.column_iter_mut().zip(self.factor.iter()).for_each(|(mut column, f)| column *= *f);
        out
    }
}

fn centred(matrix: &DMatrix<f64>, centre: &RowDVector<f64>) -> DMatrix<f64> {
    let mut out = matrix.clone();
    out.row_iter_mut().for_each(|mut row| row -= centre);
    out
}

/// Largest singular value; 0 of an empty matrix, NaN where an element is not finite.
pub fn spectral_norm(matrix: &DMatrix<f64>) -> f64 {
    if matrix.is_empty() {
        return 0.0;
    }
    if matrix.iter().any(|v| !v.is_finite()) {
        return f64::NAN;
    }
    // The eigenvalues of the smaller Gram matrix are the squares; the largest one loses no digits.
    let gram = if matrix.nrows() <= matrix.ncols() { matrix * matrix.transpose() } else { matrix.transpose() * matrix };
    gram.symmetric_eigenvalues().max().max(0.0).sqrt()
}

/// Share of the targets' variance that predictions explain, over all columns together; NaN where nothing varies.
pub fn r_squared(predicted: &DMatrix<f64>, targets: &DMatrix<f64>) -> f64 {
    if targets.is_empty() {
        return f64::NAN;
    }
    let error = (predicted - targets).norm_squared();
    let spread = centred(targets, &targets.row_mean()).norm_squared();
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
        let features = DMatrix::from_fn(200, 3, |i, k| 10.0 * wave(i, k) + k as f64);
        let targets = DMatrix::from_fn(200, 2, |i, o| match o {
            0 => 2.0 * features[(i, 0)] - features[(i, 2)] + 5.0,
            _ => features[(i, 1)],
        });
        let got = Ridge::fit(&features, &targets, 1e-9).unwrap().predict(&features);
        assert!((&got - &targets).amax() < 1e-5);
        assert!(r_squared(&got, &targets) > 1.0 - 1e-9);
        // A heavy penalty predicts the mean, of which R² is 0.
        let flat = Ridge::fit(&features, &targets, 1e9).unwrap().predict(&features);
        assert!(r_squared(&flat, &targets).abs() < 1e-6);
        // Constant and repeated columns do no harm.
        let more = DMatrix::from_fn(200, 5, |i, k| if k == 2 { 7.0 } else { features[(i, [0, 0, 0, 1, 2][k])] });
        let got = Ridge::fit(&more, &targets, 1e-9).unwrap().predict(&more);
        assert!(r_squared(&got, &targets) > 1.0 - 1e-6);
        assert!(Ridge::fit(&DMatrix::zeros(0, 3), &DMatrix::zeros(0, 2), 1.0).is_none());
        assert!(Ridge::fit(&features, &targets.rows(0, 9).into_owned(), 1.0).is_none());
    }

    #[test]
    fn norms_of_matrices_that_are_known() {
        // Rotation by scaling by rotation: singular values 5 and 2.
        let (c, s) = (0.6f64, 0.8f64);
        let m = DMatrix::from_row_slice(2, 2, &[5.0 * c, -2.0 * s, 5.0 * s, 2.0 * c]);
        assert!((spectral_norm(&m) - 5.0).abs() < 1e-12);
        let outer = DMatrix::from_fn(4, 3, |i, j| [1.0, 2.0, 2.0, 4.0][i] * [3.0, 0.0, 4.0][j]);
        assert!((spectral_norm(&outer) - 25.0).abs() < 1e-12);
        assert_eq!(spectral_norm(&DMatrix::zeros(2, 3)), 0.0);
        assert_eq!(spectral_norm(&DMatrix::zeros(0, 0)), 0.0);
        assert!(spectral_norm(&DMatrix::from_element(2, 2, f64::NAN)).is_nan());
    }
}
