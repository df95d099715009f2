//! Rounding that an enclosure has to cover, after the usual model of floating-point errors.
//!
//! A sum of n products in any order, with or without fused operations, differs from the exact one by at most
//! `γ_n Σ |a_i b_i|` with `γ_n = n u / (1 − n u)` and the unit roundoff u (Higham 2002, *Accuracy and Stability of Numerical
//! Algorithms*, §3.1). Each operation of a field adds its own such bound to the remainder, so that an enclosure holds for every
//! program that computes the field's formulas in the named precision.

/// Arithmetic of the programs whose values an enclosure must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Rounding {
    /// The exact value, and one that is computed in `f64`.
    Double,
    /// Values that are computed in `f32`, as the CPU kernels do at `f32` points: sums in any order, sines to 3e-7 (3e-6 for
    /// arguments from 1e3 to 1e5, nothing beyond), logistic functions to 6e-7. Shaders and GPU kernels, whose sines are
    /// as good as their driver, are not covered.
    #[default]
    Single,
}

impl Rounding {
    /// Unit roundoff with a margin for terms of second order; of `f64` twice: for the judged program and for the bounds themselves.
    fn unit(self) -> f64 {
        match self {
            Self::Double => 1.25 * f64::EPSILON,
            Self::Single => 1.02 * 0.5 * f64::from(f32::EPSILON),
        }
    }

    /// Relative error `γ_n` of a chain of `n` operations.
    pub(super) fn gamma(self, n: usize) -> f64 {
        let error = n as f64 * self.unit();
        if error < 0.5 { error / (1.0 - error) } else { f64::INFINITY }
    }

    /// Absolute error of a sum of which single terms may underflow.
    pub(super) fn underflow(self, n: usize) -> f64 {
        n as f64 * if self == Self::Double { 1e-300 } else { 1e-37 }
    }

    /// True if partial sums of this magnitude may overflow.
    pub(super) fn overflows(self, magnitude: f64) -> bool {
        self == Self::Single && magnitude > 1e37
    }

    /// Absolute error of the sine of an argument below `magnitude`.
    pub(super) fn sine_error(self, magnitude: f64) -> f64 {
        match self {
            Self::Double => 4.0 * f64::EPSILON,
            Self::Single if magnitude <= 1e3 => 3e-7,
            Self::Single if magnitude <= 1e5 => 3e-6,
            Self::Single => f64::INFINITY,
        }
    }

    /// Absolute error of `a σ(a)` for arguments below `magnitude`.
    pub(super) fn silu_error(self, magnitude: f64) -> f64 {
        magnitude * if self == Self::Double { 8.0 * f64::EPSILON } else { 6e-7 }
    }

    /// Distance by which a clamped coordinate may move when it is multiplied by `cells`; exact for powers of two.
    pub(super) fn lookup_shift(self, cells: u32) -> f64 {
        if cells.is_power_of_two() { 0.0 } else { self.unit() }
    }
}
