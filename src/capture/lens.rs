//! Lens models: from a direction in camera space to distorted image coordinates, and back by Newton's method.
//!
//! Image coordinates are normalised, `((x − cx) / fl_x, (y − cy) / fl_y)` with y downwards, as in OpenCV. Directions in
//! camera space are OpenCV's too: x right, y down, z forward.

use glam::{DMat2, DVec2, DVec3};

/// Newton's method gives up after this many steps.
const STEPS: usize = 32;
/// Greatest residual in normalised coordinates that is taken for a solution (about 1e-7 pixels).
const RESIDUAL: f64 = 1e-10;

/// Lens model. All coefficients 0 is a pinhole in either family except that [`Lens::Fisheye`] is equidistant.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
#[serde(tag = "model", rename_all = "lowercase")]
pub enum Lens {
    /// Straight lines stay straight.
    #[default]
    Pinhole,
    /// OpenCV's perspective model. With r² = u² + v² the point is scaled by
    /// (1 + k₀r² + k₁r⁴ + k₂r⁶ + k₃r⁸) / (1 + q₀r² + q₁r⁴ + q₂r⁶), and p adds the tangential part.
    OpenCv {
        /// Radial coefficients (`k1` to `k4` of nerfstudio).
        k: [f64; 4],
        /// Tangential coefficients `p1`, `p2`.
        p: [f64; 2],
        /// Radial denominator (`k4` to `k6` of COLMAP's FULL_OPENCV), else 0.
        q: [f64; 3],
    },
    /// OpenCV's fisheye: the radius is θ(1 + k₀θ² + k₁θ⁴ + k₂θ⁶ + k₃θ⁸), θ the angle to the axis; beyond 90° too.
    Fisheye {
        /// Coefficients `k1` to `k4`.
        k: [f64; 4],
    },
}

impl Lens {
    /// The perspective model, or [`Lens::Pinhole`] where nothing is bent.
    pub fn open_cv(k: [f64; 4], p: [f64; 2], q: [f64; 3]) -> Self {
        let bent = k.iter().chain(&p).chain(&q).any(|c| *c != 0.0);
        if bent { Self::OpenCv { k, p, q } } else { Self::Pinhole }
    }

    /// Distorted coordinates of the pinhole's (u, v); for a fisheye of the direction (u, v, 1).
    pub fn distort(&self, uv: DVec2) -> DVec2 {
        match self {
            Self::Pinhole => uv,
            Self::OpenCv { .. } => self.bend(uv).0,
            Self::Fisheye { k } => {
                let r = uv.length();
                if r < 1e-12 { uv } else { uv / r * fisheye(k, r.atan()).0 }
            }
        }
    }

    /// The pinhole's (u, v) of distorted coordinates: the inverse of [`Lens::distort`].
    ///
    /// `None` where no ray in front of the camera meets them: outside the lens's valid circle, or at 90° and beyond.
    pub fn undistort(&self, d: DVec2) -> Option<DVec2> {
        let direction = self.direction(d)?;
        (direction.z > 1e-9).then(|| direction.truncate() / direction.z)
    }

    /// Unit direction (x right, y down, z forward) of the ray that meets the image at distorted coordinates `d`.
    ///
    /// `None` outside the lens's valid circle, where the model folds back or Newton's method finds no root.
    pub fn direction(&self, d: DVec2) -> Option<DVec3> {
        if !d.is_finite() {
            return None;
        }
        match self {
            Self::Pinhole => Some(d.extend(1.0).normalize()),
            Self::OpenCv { .. } => self.unbend(d).map(|uv| uv.extend(1.0).normalize()),
            Self::Fisheye { k } => {
                let r = d.length();
                let angle = fisheye_angle(k, r)?;
                let axis = if r < 1e-12 { DVec2::ZERO } else { d / r };
                Some((axis * angle.sin()).extend(angle.cos()))
            }
        }
    }

    /// As [`Lens::direction`], with the outermost valid direction on the same side where there is none.
    ///
    /// Pixels out there are marked as ignored by the loader; a ray is given so that each pixel has one.
    pub fn nearest_direction(&self, d: DVec2) -> DVec3 {
        if let Some(direction) = self.direction(d) {
            return direction;
        }
        // Bisection along the radius: the valid region is star-shaped around the axis.
        let (mut inside, mut outside) = (0.0, 1.0);
        let mut best = DVec3::Z;
        for _ in 0..24 {
            let middle = 0.5 * (inside + outside);
            match self.direction(d * middle) {
                Some(direction) => (inside, best) = (middle, direction),
                None => outside = middle,
            }
        }
        best
    }

    /// Distorted coordinates of a direction or point in camera space (x right, y down, z forward).
    ///
    /// `None` behind a perspective camera, and where the model has folded back on itself.
    pub fn project(&self, point: DVec3) -> Option<DVec2> {
        match self {
            Self::Fisheye { k } => {
                let across = point.truncate().length();
                let angle = across.atan2(point.z);
                let (radius, slope) = fisheye(k, angle);
                let axis = if across < 1e-300 { DVec2::ZERO } else { point.truncate() / across };
                (slope > 0.0 && radius >= 0.0).then_some(axis * radius)
            }
            _ if point.z <= 0.0 => None,
            Self::Pinhole => Some(point.truncate() / point.z),
            Self::OpenCv { .. } => {
                let (d, jacobian, radial) = self.bend(point.truncate() / point.z);
                (jacobian.determinant() > 0.0 && radial > 0.0).then_some(d)
            }
        }
    }

    /// Bounds on how far the projection moves along x and y per step of (u, v) at a point in front of the camera.
    pub fn stretch(&self, uv: DVec2) -> DVec2 {
        match self {
            Self::OpenCv { .. } => {
                let j = self.bend(uv).1;
                DVec2::new(j.x_axis.x.abs() + j.y_axis.x.abs(), j.x_axis.y.abs() + j.y_axis.y.abs())
            }
            // A fisheye shrinks with the angle; a second order term of its polynomial can add a little.
            Self::Pinhole | Self::Fisheye { .. } => DVec2::ONE,
        }
    }

    /// Name of the model as `nstr inspect` prints it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pinhole => "pinhole",
            Self::OpenCv { .. } => "opencv",
            Self::Fisheye { .. } => "fisheye",
        }
    }

    /// True where every coefficient is finite.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Pinhole => true,
            Self::OpenCv { k, p, q } => k.iter().chain(p).chain(q).all(|c| c.is_finite()),
            Self::Fisheye { k } => k.iter().all(|c| c.is_finite()),
        }
    }

    /// The perspective model: image, Jacobian and radial factor; the identity for the other models.
    fn bend(&self, uv: DVec2) -> (DVec2, DMat2, f64) {
        let Self::OpenCv { k, p, q } = self else { return (uv, DMat2::IDENTITY, 1.0) };
        let (u, v) = (uv.x, uv.y);
        let s = uv.length_squared();
        let top = 1.0 + s * (k[0] + s * (k[1] + s * (k[2] + s * k[3])));
        let top_slope = k[0] + s * (2.0 * k[1] + s * (3.0 * k[2] + s * 4.0 * k[3]));
        let bottom = 1.0 + s * (q[0] + s * (q[1] + s * q[2]));
        let bottom_slope = q[0] + s * (2.0 * q[1] + s * 3.0 * q[2]);
        let radial = top / bottom;
        let slope = (top_slope - radial * bottom_slope) / bottom;
        let shift =
            DVec2::new(2.0 * p[0] * u * v + p[1] * (s + 2.0 * u * u), p[0] * (s + 2.0 * v * v) + 2.0 * p[1] * u * v);
        let cross = 2.0 * u * v * slope + 2.0 * (p[0] * u + p[1] * v);
        let xx = radial + 2.0 * u * u * slope + 2.0 * p[0] * v + 6.0 * p[1] * u;
        let yy = radial + 2.0 * v * v * slope + 6.0 * p[0] * v + 2.0 * p[1] * u;
        (uv * radial + shift, DMat2::from_cols_array(&[xx, cross, cross, yy]), radial)
    }

    /// Inverts [`Lens::bend`] by Newton's method with halved steps where the residual would grow.
    fn unbend(&self, d: DVec2) -> Option<DVec2> {
        let mut uv = d;
        let (mut image, mut jacobian, mut radial) = self.bend(uv);
        // Outside the monotone region the plain start may lie beyond the fold; come from the axis then.
        if jacobian.determinant() <= 0.0 || radial <= 0.0 {
            uv = DVec2::ZERO;
            (image, jacobian, radial) = self.bend(uv);
        }
        for _ in 0..STEPS {
            let error = image - d;
            if error.length() <= 1e-14 * (1.0 + d.length()) {
                break;
            }
            if jacobian.determinant().abs() < 1e-12 {
                return None;
            }
            let step = jacobian.inverse() * error;
            let mut fraction = 1.0;
            let better = loop {
                let next = uv - step * fraction;
                let (i, j, r) = self.bend(next);
                if (i - d).length() < error.length() && j.determinant() > 0.0 && r > 0.0 {
                    break Some((next, i, j, r));
                }
                fraction *= 0.5;
                if fraction < 1e-4 {
                    break None;
                }
            };
            match better {
                Some(found) => (uv, image, jacobian, radial) = found,
                None => break,
            }
        }
        let solved = (image - d).length() <= RESIDUAL * (1.0 + d.length());
        (solved && jacobian.determinant() > 0.0 && radial > 0.0).then_some(uv)
    }
}

/// Radius and its slope of a fisheye at an angle.
fn fisheye(k: &[f64; 4], angle: f64) -> (f64, f64) {
    let s = angle * angle;
    let factor = 1.0 + s * (k[0] + s * (k[1] + s * (k[2] + s * k[3])));
    let slope = 1.0 + s * (3.0 * k[0] + s * (5.0 * k[1] + s * (7.0 * k[2] + s * 9.0 * k[3])));
    (angle * factor, slope)
}

/// Angle to the axis at a radius, by Newton's method kept within a bracket in which the radius grows.
fn fisheye_angle(k: &[f64; 4], radius: f64) -> Option<f64> {
    // The bracket: the first sampled angle that reaches the radius before the model folds back.
    let step = std::f64::consts::PI / 64.0;
    let (mut low, mut high) = (0.0, None);
    for i in 1..=64 {
        let angle = i as f64 * step;
        let (reached, slope) = fisheye(k, angle);
        if reached >= radius {
            high = Some(angle);
            break;
        }
        if slope <= 0.0 {
            return None;
        }
        low = angle;
    }
    let mut high = high?;
    let mut angle = radius.clamp(low, high);
    for _ in 0..STEPS {
        let (reached, slope) = fisheye(k, angle);
        let error = reached - radius;
        if error.abs() <= 1e-15 * (1.0 + radius) {
            break;
        }
        if error > 0.0 {
            high = angle
        } else {
            low = angle
        }
        let next = angle - error / slope;
        angle = if next > low && next < high { next } else { 0.5 * (low + high) };
    }
    let (reached, slope) = fisheye(k, angle);
    ((reached - radius).abs() <= RESIDUAL * (1.0 + radius) && slope > 0.0).then_some(angle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOX: Lens = Lens::OpenCv { k: [0.0578421, -0.0805099, 0.0, 0.0], p: [-0.000980296, 0.00015575], q: [0.0; 3] };

    fn lenses() -> Vec<Lens> {
        vec![
            Lens::Pinhole,
            FOX,
            Lens::OpenCv { k: [-0.28, 0.07, 0.001, 0.002], p: [0.002, -0.001], q: [0.0; 3] },
            Lens::OpenCv { k: [0.4, 0.1, 0.02, 0.0], p: [0.0, 0.003], q: [0.3, 0.05, 0.001] },
            Lens::Fisheye { k: [0.0; 4] },
            Lens::Fisheye { k: [-0.02, 0.004, -0.001, 0.0001] },
        ]
    }

    #[test]
    fn undistorting_undoes_distorting() {
        for lens in lenses() {
            for i in -10..=10 {
                for j in -10..=10 {
                    let uv = DVec2::new(i as f64, j as f64) * 0.07;
                    let d = lens.distort(uv);
                    let back = lens.undistort(d).unwrap_or_else(|| panic!("{lens:?} at {uv}"));
                    assert!((back - uv).length() < 1e-9, "{lens:?}: {uv} became {back}");
                    assert_eq!(lens.project(uv.extend(1.0) * 3.0).map(|p| (p - d).length() < 1e-12), Some(true));
                }
            }
        }
    }

    #[test]
    fn known_values() {
        // One radial coefficient at r = 1: the point moves out by k1.
        let lens = Lens::OpenCv { k: [0.1, 0.0, 0.0, 0.0], p: [0.0; 2], q: [0.0; 3] };
        assert!((lens.distort(DVec2::X) - DVec2::new(1.1, 0.0)).length() < 1e-15);
        // p1 pushes along v by r² + 2v², p2 along u.
        let lens = Lens::OpenCv { k: [0.0; 4], p: [0.01, 0.0], q: [0.0; 3] };
        assert!((lens.distort(DVec2::Y) - DVec2::new(0.0, 1.03)).length() < 1e-15);
        assert!((lens.distort(DVec2::X) - DVec2::new(1.0, 0.01)).length() < 1e-15);
        let fisheye = Lens::Fisheye { k: [0.0; 4] };
        assert!((fisheye.distort(DVec2::X).x - std::f64::consts::FRAC_PI_4).abs() < 1e-15);
        // Sideways and backwards directions exist on a fisheye.
        let side = fisheye.direction(DVec2::new(std::f64::consts::FRAC_PI_2, 0.0)).unwrap();
        assert!((side - DVec3::X).length() < 1e-12);
        assert!(fisheye.direction(DVec2::new(2.5, 0.0)).unwrap().z < 0.0);
        assert_eq!(fisheye.undistort(DVec2::new(2.5, 0.0)), None);
    }

    #[test]
    fn jacobian_matches_differences() {
        for lens in lenses() {
            let uv = DVec2::new(0.31, -0.47);
            let (_, jacobian, _) = lens.bend(uv);
            if !matches!(lens, Lens::OpenCv { .. }) {
                continue;
            }
            let h = 1e-6;
            for (column, axis) in [(jacobian.x_axis, DVec2::X), (jacobian.y_axis, DVec2::Y)] {
                let numeric = (lens.distort(uv + axis * h) - lens.distort(uv - axis * h)) / (2.0 * h);
                assert!((numeric - column).length() < 1e-8, "{lens:?}: {numeric} {column}");
            }
        }
    }

    #[test]
    fn beyond_the_fold_there_is_no_ray_but_a_nearest_one() {
        // r(1 − 0.3r²) peaks at r = 1.054 with 0.703.
        let lens = Lens::OpenCv { k: [-0.3, 0.0, 0.0, 0.0], p: [0.0; 2], q: [0.0; 3] };
        assert!(lens.undistort(DVec2::new(0.70, 0.0)).is_some());
        assert_eq!(lens.undistort(DVec2::new(0.75, 0.0)), None);
        let edge = lens.nearest_direction(DVec2::new(0.9, 0.0));
        assert!((edge.x / edge.z - 1.054).abs() < 2e-3, "{edge}");
        assert_eq!(lens.project(DVec3::new(1.5, 0.0, 1.0)), None);
        assert_eq!(lens.project(DVec3::new(0.1, 0.0, -1.0)), None);
        let fisheye = Lens::Fisheye { k: [-0.2, 0.0, 0.0, 0.0] };
        assert_eq!(fisheye.direction(DVec2::new(1.2, 0.0)), None);
        for lens in lenses() {
            assert_eq!(lens.direction(DVec2::NAN), None);
            assert!(lens.nearest_direction(DVec2::NAN).is_finite());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_coefficients_give_finite_rays(c in proptest::array::uniform9(-3.0f64..3.0), x in -4.0f64..4.0, y in -4.0f64..4.0) {
            let lenses = [
                Lens::OpenCv { k: [c[0], c[1], c[2], c[3]], p: [c[4] * 0.1, c[5] * 0.1], q: [c[6], c[7], c[8]] },
                Lens::Fisheye { k: [c[0], c[1], c[2], c[3]] },
            ];
            for lens in lenses {
                let d = DVec2::new(x, y);
                proptest::prop_assert!(lens.nearest_direction(d).is_finite());
                if let Some(direction) = lens.direction(d) {
                    let again = lens.project(direction);
                    proptest::prop_assert!(again.is_some_and(|a| (a - d).length() < 1e-6), "{lens:?} {d} {direction} {again:?}");
                }
            }
        }
    }
}
