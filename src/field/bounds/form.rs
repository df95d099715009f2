//! Affine forms: a quantity over a box as a multilinear function of the coordinates and a bounded remainder.
//!
//! Affine arithmetic (de Figueiredo & Stolfi 2004, *Affine arithmetic: concepts and applications*) with one noise symbol for
//! each coordinate and one for each product of different coordinates, since interpolated features are multilinear: what they have
//! in common would be lost in independent remainders. Everything else, that is other curvature and rounding, goes into the remainder.

use super::slope::Slope;

/// Number of symbols: `e_x, e_y, e_z, e_x e_y, e_x e_z, e_y e_z, e_x e_y e_z`.
pub(super) const SYMBOLS: usize = 7;
/// Coordinates of each symbol, bit `j` for axis `j`.
pub(super) const AXES_OF: [usize; SYMBOLS] = [1, 2, 4, 3, 5, 6, 7];
/// Symbol of a set of coordinates.
const SYMBOL_OF: [usize; 8] = [0, 0, 1, 3, 2, 4, 5, 6];

/// A closed range of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end; −∞ where nothing is known.
    pub low: f64,
    /// Upper end; +∞ where nothing is known.
    pub high: f64,
}

impl Interval {
    /// All numbers.
    pub const WHOLE: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// True if `value` lies in the range. Not-a-number lies in none but the whole.
    pub fn contains(&self, value: f64) -> bool {
        (self.low <= value && value <= self.high) || *self == Self::WHOLE
    }

    /// Distance of the ends.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }

    /// Common part of two ranges that enclose the same quantity.
    pub fn intersection(self, other: Self) -> Self {
        Self { low: self.low.max(other.low), high: self.high.min(other.high) }
    }
}

/// A quantity `q(x) ∈ mid + Σ_m slopes_m s_m ± radius` with `x_j = centre_j + half_j e_j`, `e_j ∈ [−1, 1]`, and the symbols s.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Form {
    /// Value in the middle of the box.
    pub mid: f64,
    /// Factors of the symbols.
    pub slopes: [f64; SYMBOLS],
    /// Remainder, 0 or more.
    pub radius: f64,
}

impl Form {
    /// Sum of the linear terms' magnitudes.
    pub fn tilt(&self) -> f64 {
        self.slopes.iter().map(|s| s.abs()).sum()
    }

    /// Bound of the quantity's magnitude.
    pub fn magnitude(&self) -> f64 {
        self.mid.abs() + self.tilt() + self.radius
    }

    /// Range of the quantity, rounded outward. The whole line for a form that is not finite.
    pub fn interval(&self) -> Interval {
        let reach = self.tilt() + self.radius;
        let slack = 8.0 * f64::EPSILON * (self.mid.abs() + reach);
        let (low, high) = (self.mid - reach - slack, self.mid + reach + slack);
        if low.is_finite() && high.is_finite() { Interval { low, high } } else { Interval::WHOLE }
    }

    /// The quantity's values as a middle and a radius.
    pub fn range(&self) -> Slope {
        let reach = self.tilt() + self.radius;
        Slope { mid: self.mid, radius: reach + 8.0 * f64::EPSILON * (self.mid.abs() + reach) }
    }

    /// `factor · self + offset ± error`.
    pub fn scaled(&self, factor: f64, offset: f64, error: f64) -> Self {
        let slack = 8.0 * f64::EPSILON * (factor.abs() * self.magnitude() + offset.abs());
        Self {
            mid: factor * self.mid + offset,
            slopes: self.slopes.map(|s| factor * s),
            radius: factor.abs() * self.radius + error + slack,
        }
    }

    /// Adds `factor · other`.
    pub fn add_scaled(&mut self, factor: f64, other: &Self) {
        self.mid += factor * other.mid;
        self.slopes.iter_mut().zip(other.slopes).for_each(|(to, s)| *to += factor * s);
        let slack = 8.0 * f64::EPSILON * (self.magnitude() + factor.abs() * other.magnitude());
        self.radius += factor.abs() * other.radius + slack;
    }

    /// Product of two quantities over the same box.
    pub fn product(&self, other: &Self) -> Self {
        let Bilinear { shift, slopes, error } = Bilinear::of(self, other);
        let mut product = Self { mid: self.mid * other.mid + shift, slopes, radius: 0.0 };
        for (to, (a, b)) in product.slopes.iter_mut().zip(self.slopes.iter().zip(other.slopes)) {
            *to += a * other.mid + self.mid * b;
        }
        product.radius = error + self.radius * other.mid.abs() + other.radius * self.mid.abs();
        product
    }
}

/// What is left of a product beside its linearisation: `p q ∈ p₀ q + q₀ p − p₀ q₀ + shift + Σ_m slopes_m s_m ± error`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bilinear {
    /// Middle of the remainder.
    pub shift: f64,
    /// Products of symbols that are symbols themselves.
    pub slopes: [f64; SYMBOLS],
    /// Half its width, rounding included.
    pub error: f64,
}

impl Bilinear {
    /// The remainder of `p q`: symbols of different coordinates multiply to another one, squares lie in `[0, 1]`, other products in
    /// `[−1, 1]`.
    pub fn of(p: &Form, q: &Form) -> Self {
        let (mut shift, mut slopes, mut error) = (0.0, [0.0; SYMBOLS], 0.0);
        for i in 0..SYMBOLS {
            let square = p.slopes[i] * q.slopes[i];
            shift += 0.5 * square;
            error += 0.5 * square.abs();
            for j in i + 1..SYMBOLS {
                let factor = p.slopes[i] * q.slopes[j] + p.slopes[j] * q.slopes[i];
                match AXES_OF[i] & AXES_OF[j] {
                    0 => slopes[SYMBOL_OF[AXES_OF[i] | AXES_OF[j]]] += factor,
                    _ => error += factor.abs(),
                }
            }
        }
        error += p.radius * q.tilt() + q.radius * p.tilt() + p.radius * q.radius;
        Self { shift, slopes, error: error + 64.0 * f64::EPSILON * p.magnitude() * q.magnitude() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_encloses_its_points() {
        let p = Form { mid: 0.7, slopes: [0.3, -0.2, 0.5, 0.1, 0.0, -0.1, 0.05], radius: 0.1 };
        let q = Form { mid: -1.2, slopes: [-0.4, 0.1, 0.25, -0.05, 0.1, 0.0, 0.1], radius: 0.05 };
        let product = p.product(&q);
        let mut reached = 0f64;
        let steps = [-1.0, -0.5, 0.0, 0.5, 1.0];
        for e in (0..125).map(|i| [steps[i % 5], steps[i / 5 % 5], steps[i / 25]]) {
            let symbol = |axes: usize| (0..3).filter(|j| axes >> j & 1 == 1).map(|j| e[j]).product::<f64>();
            let at = |f: &Form| f.mid + f.slopes.iter().zip(AXES_OF).map(|(s, axes)| s * symbol(axes)).sum::<f64>();
            for (a, b) in [(1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)] {
                let value = (at(&p) + a * p.radius) * (at(&q) + b * q.radius);
                reached = reached.max((value - at(&product)).abs());
            }
        }
        assert!(reached <= product.radius, "{reached} {}", product.radius);
        // Not far more than it takes: products of symbols with a coordinate in common are bounded one by one.
        assert!(reached > 0.4 * product.radius, "{reached} {}", product.radius);
    }

    #[test]
    fn what_is_not_finite_encloses_everything() {
        for radius in [f64::NAN, f64::INFINITY] {
            assert_eq!(Form { radius, ..Form::default() }.interval(), Interval::WHOLE);
        }
        assert_eq!(Form { mid: f64::NAN, ..Form::default() }.interval(), Interval::WHOLE);
        assert!(Interval::WHOLE.contains(f64::NAN));
        assert!(!Interval { low: 0.0, high: 1.0 }.contains(f64::NAN));
    }
}
