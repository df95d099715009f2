//! Perspective frustum from a near plane to infinity, as a projective image of the unit cube.

use glam::{DMat3, DVec2, DVec3};

use super::projective_line::ProjectiveLine;
use crate::cube::Cube;
use crate::ray::Ray;
use crate::volume_path::VolumePath;

/// Frustum that cameras which look the same way see.
///
/// With q the position in the frustum's axes, seen from the eye: `unit.x = (q.x/q.z − low.x) / (high.x − low.x)`, y likewise, and
/// `unit.z = 1 − near/q.z`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frustum {
    /// World position of the apex.
    pub eye: DVec3,
    /// Axes in the world as columns: right, down, ahead; orthonormal and right-handed.
    pub axes: DMat3,
    /// Lowest `x/z` and `y/z`.
    pub low: DVec2,
    /// Highest `x/z` and `y/z`, above the lowest.
    pub high: DVec2,
    /// Distance of the near plane from the eye, above 0.
    pub near: f64,
}

/// Depth, in near distances, that the cube for framing reaches to.
const FRAMED: f64 = 4.0;
/// Largest deviation of the axes from orthonormal ones.
const ORTHONORMAL: f64 = 1e-6;

impl Frustum {
    /// `true` where the map can be inverted: finite, orthonormal right-handed axes, bounds in order, near above 0.
    pub fn is_valid(&self) -> bool {
        let off = (self.axes.transpose() * self.axes - DMat3::IDENTITY).to_cols_array();
        let extent = self.high - self.low;
        self.eye.is_finite()
            && off.iter().all(|v| v.abs() <= ORTHONORMAL)
            && self.axes.determinant() > 0.0
            && self.low.is_finite()
            && self.high.is_finite()
            && extent.is_finite()
            && extent.cmpgt(DVec2::ZERO).all()
            && self.near > 0.0
            && self.length_scale().is_normal()
            && self.length_scale().recip().is_finite()
            && self.cube().is_valid()
    }

    /// Position in the frustum's axes, seen from the eye.
    pub fn to_axes(&self, world: DVec3) -> DVec3 {
        self.axes.transpose() * (world - self.eye)
    }

    /// World length of a unit of field coordinates across the near plane.
    pub(super) fn length_scale(&self) -> f64 {
        (self.high - self.low).max_element() * self.near
    }

    /// The cube root of the ratio of volumes about a point of the unit cube.
    pub(super) fn length_scale_at(&self, unit: DVec3) -> f64 {
        let z = self.near / (1.0 - unit.z).max(f64::MIN_POSITIVE);
        let extent = self.high - self.low;
        (extent.x * extent.y * z / self.near).cbrt() * z
    }

    pub(super) fn to_unit(self, world: DVec3) -> DVec3 {
        let q = self.to_axes(world);
        if q.z <= 0.0 {
            return DVec3::NAN;
        }
        ((q.truncate() / q.z - self.low) / (self.high - self.low)).extend(1.0 - self.near / q.z)
    }

    pub(super) fn to_world(self, unit: DVec3) -> Option<DVec3> {
        if unit.z.is_nan() || unit.z >= 1.0 {
            return None;
        }
        let z = self.near / (1.0 - unit.z);
        let slope = self.low + unit.truncate() * (self.high - self.low);
        Some(self.eye + self.axes * (slope * z).extend(z))
    }

    pub(super) fn gradient_to_world(self, unit: DVec3, g: DVec3) -> DVec3 {
        let inverse = (1.0 - unit.z).max(0.0) / self.near;
        let extent = self.high - self.low;
        let slope = self.low + unit.truncate() * extent;
        let across = g.truncate() / extent;
        self.axes * (across * inverse).extend(inverse * (g.z * self.near * inverse - across.dot(slope)))
    }

    /// A cube around the part of the frustum up to four near distances.
    pub(super) fn cube(&self) -> Cube {
        let (mut low, mut high) = (DVec3::INFINITY, DVec3::NEG_INFINITY);
        for k in 0..8 {
            let side = |bit: u32, a: f64, b: f64| if k >> bit & 1 == 0 { a } else { b };
            let z = side(2, self.near, FRAMED * self.near);
            let slope = DVec2::new(side(0, self.low.x, self.high.x), side(1, self.low.y, self.high.y));
            let corner = self.eye + self.axes * (slope * z).extend(z);
            (low, high) = (low.min(corner), high.max(corner));
        }
        let size = (high - low).max_element();
        Cube { origin: (low + high) * 0.5 - DVec3::splat(0.5 * size), size }
    }

    /// Adds the part of a ray within the frustum to a path.
    pub(super) fn path(&self, mut path: VolumePath, ray: &Ray) -> VolumePath {
        // A unit of the parameter is the length scale.
        let (q, d) = (self.to_axes(ray.origin), self.axes.transpose() * ray.direction * self.length_scale());
        let extent = self.high - self.low;
        let across = |q: DVec3| (q.truncate() - self.low * q.z) / extent;
        let (n0, n1) = (across(q).extend(q.z - self.near), across(d).extend(d.z));
        // Each coordinate of the numerator from 0 to the denominator; the upper bound of z holds everywhere.
        let bounds = [(n0.x, n1.x), (n0.y, n1.y), (n0.z, n1.z), (q.z - n0.x, d.z - n1.x), (q.z - n0.y, d.z - n1.y)];
        let (mut from, mut to) = (0.0f64, f64::INFINITY);
        for (at, rise) in bounds {
            let t = -at / rise;
            if rise > 0.0 {
                from = from.max(t);
            } else if rise < 0.0 {
                to = to.min(t);
            } else if at < 0.0 {
                return path;
            }
        }
        if from < to
            && let Some((piece, _)) =
                (ProjectiveLine { numerator: (n0, n1), denominator: (q.z, d.z) }).piece(from, to, 0.0)
        {
            path.push(piece);
        }
        path
    }
}
