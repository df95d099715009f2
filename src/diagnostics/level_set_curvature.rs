//! Curvatures of level sets from a function's derivatives (Goldman 2005, "Curvature formulas for implicit curves and
//! surfaces").

use glam::{DMat3, DVec3};
use nstr_field::jet::Jet;

/// Curvature of a surface at a point, per unit of length; positive where it is convex as seen from the side that the gradient
/// points to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curvature {
    /// Mean of the principal curvatures.
    pub mean: f64,
    /// Their product.
    pub gaussian: f64,
}

impl Curvature {
    /// The principal curvatures, the smaller first.
    pub fn principal(self) -> [f64; 2] {
        let half = (self.mean * self.mean - self.gaussian).max(0.0).sqrt();
        [self.mean - half, self.mean + half]
    }

    /// `√((k₁² + k₂²)/2)` (Koenderink & van Doorn 1992).
    pub fn curvedness(self) -> f64 {
        (2.0 * self.mean * self.mean - self.gaussian).max(0.0).sqrt()
    }

    /// Curvature of the same surface `size` times as large.
    pub fn scaled(self, size: f64) -> Self {
        Self { mean: self.mean / size, gaussian: self.gaussian / (size * size) }
    }
}

/// Curvature of the level set of the first quantity of `value` (second order, three coordinates), per unit of them; `None`
/// where its gradient is 0 or not finite.
pub fn level_set(value: &Jet) -> Option<Curvature> {
    let at = |i: usize, j: usize| value.second(0, i, j);
    let hessian = DMat3::from_cols_array(&[
        at(0, 0),
        at(0, 1),
        at(0, 2),
        at(0, 1),
        at(1, 1),
        at(1, 2),
        at(0, 2),
        at(1, 2),
        at(2, 2),
    ]);
    from_derivatives(DVec3::from(value.gradient(0)), hessian)
}

/// The same from gradient and Hessian.
pub fn from_derivatives(gradient: DVec3, hessian: DMat3) -> Option<Curvature> {
    let square = gradient.length_squared();
    if !(square > 0.0 && square.is_finite()) {
        return None;
    }
    let trace = hessian.x_axis.x + hessian.y_axis.y + hessian.z_axis.z;
    let mean = (square * trace - gradient.dot(hessian * gradient)) / (2.0 * square * square.sqrt());
    // Columns of the adjugate of a symmetric matrix are cross products of its columns.
    let (a, b, c) = (hessian.x_axis, hessian.y_axis, hessian.z_axis);
    let adjugate = DMat3::from_cols(b.cross(c), c.cross(a), a.cross(b));
    let gaussian = gradient.dot(adjugate * gradient) / (square * square);
    (mean.is_finite() && gaussian.is_finite()).then_some(Curvature { mean, gaussian })
}

/// Curvature from central differences of the unit gradient over `±step` along two tangents (the shape operator's symmetric
/// part), which exists for piecewise linear fields too, at the scale of the step. `gradient` gives the function's
/// gradient at a point. `None` where one is 0 or not finite.
pub fn from_gradients(p: DVec3, step: f64, gradient: impl Fn(DVec3) -> DVec3) -> Option<Curvature> {
    let unit = |p: DVec3| gradient(p).try_normalize();
    let n = unit(p)?;
    let (t, b) = n.any_orthonormal_pair();
    let along = |t: DVec3| Some((unit(p + t * step)? - unit(p - t * step)?) / (2.0 * step));
    let (dt, db) = (along(t)?, along(b)?);
    let (l, m, r) = (dt.dot(t), 0.5 * (dt.dot(b) + db.dot(t)), db.dot(b));
    Some(Curvature { mean: 0.5 * (l + r), gaussian: l * r - m * m })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gradient and Hessian of the distance to a ring around z of radius `major`.
    fn torus(p: DVec3, major: f64) -> (DVec3, DMat3) {
        let gradient = |p: DVec3| {
            let ring = DVec3::new(p.x, p.y, 0.0).normalize() * major;
            (p - ring).normalize()
        };
        let h = 1e-5;
        let column = |axis: DVec3| (gradient(p + axis * h) - gradient(p - axis * h)) / (2.0 * h);
        (gradient(p), DMat3::from_cols(column(DVec3::X), column(DVec3::Y), column(DVec3::Z)))
    }

    #[test]
    fn a_torus_bends_as_its_formulas_say() {
        let (major, minor) = (0.6, 0.25);
        for i in 0..9 {
            for k in 0..11 {
                let (u, v) = (f64::from(i) * 0.7, f64::from(k) * 0.571);
                let reach = major + minor * v.cos();
                let p = DVec3::new(reach * u.cos(), reach * u.sin(), minor * v.sin());
                let (gradient, hessian) = torus(p, major);
                let want =
                    Curvature { mean: 0.5 * (1.0 / minor + v.cos() / reach), gaussian: v.cos() / (minor * reach) };
                // Neither the gradient's length nor a factor of the function changes its level set.
                for scale in [1.0, 7.0] {
                    let got = from_derivatives(gradient * scale, hessian * scale).unwrap();
                    assert!((got.mean - want.mean).abs() < 1e-5, "{got:?} {want:?}");
                    assert!((got.gaussian - want.gaussian).abs() < 1e-4, "{got:?} {want:?}");
                    let [low, high] = got.principal();
                    assert!((high - 1.0 / minor).abs() < 1e-4 && (low - v.cos() / reach).abs() < 1e-4);
                }
                let inward = from_derivatives(-gradient, -hessian).unwrap();
                assert!((inward.mean + want.mean).abs() < 1e-5 && (inward.gaussian - want.gaussian).abs() < 1e-4);
                let taken = from_gradients(p, 1e-3, |p| torus(p, major).0).unwrap();
                assert!((taken.mean - want.mean).abs() < 1e-3 && (taken.gaussian - want.gaussian).abs() < 1e-2);
            }
        }
    }

    #[test]
    fn size_and_degenerate_points() {
        let sphere = Curvature { mean: 4.0, gaussian: 16.0 };
        assert_eq!(sphere.scaled(2.0), Curvature { mean: 2.0, gaussian: 4.0 });
        assert_eq!((sphere.curvedness(), sphere.principal()), (4.0, [4.0, 4.0]));
        assert!(from_derivatives(DVec3::ZERO, DMat3::IDENTITY).is_none());
        assert!(from_derivatives(DVec3::NAN, DMat3::IDENTITY).is_none());
        assert!(from_gradients(DVec3::ZERO, 0.1, |_| DVec3::ZERO).is_none());
    }
}
