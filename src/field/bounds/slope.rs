//! Range of a derivative over a box, as a middle and a radius.

/// A derivative that lies in `mid ± radius`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Slope {
    /// Middle of the range.
    pub mid: f64,
    /// Half its width, 0 or more; infinite where nothing is known.
    pub radius: f64,
}

impl Slope {
    /// A derivative of which only a bound of the magnitude is known.
    pub fn within(magnitude: f64) -> Self {
        Self { mid: 0.0, radius: magnitude }
    }

    /// Bound of the magnitude.
    pub fn magnitude(self) -> f64 {
        self.mid.abs() + self.radius
    }

    /// Bound of the product with an error: 0 of none, be the derivative known or not.
    pub fn weighed(self, error: f64) -> f64 {
        if error == 0.0 || self.magnitude() == 0.0 { 0.0 } else { self.magnitude() * error }
    }

    /// Product of two derivatives.
    pub fn product(self, other: Self) -> Self {
        if self.magnitude() == 0.0 || other.magnitude() == 0.0 {
            return Self::default();
        }
        let radius = self.mid.abs() * other.radius + self.radius * other.mid.abs() + self.radius * other.radius;
        let mid = self.mid * other.mid;
        Self { mid, radius: radius + 4.0 * f64::EPSILON * (mid.abs() + radius) }
    }

    /// Adds another derivative.
    pub fn add(&mut self, other: Self) {
        self.mid += other.mid;
        self.radius += other.radius + 4.0 * f64::EPSILON * (self.magnitude() + other.magnitude());
    }
}
