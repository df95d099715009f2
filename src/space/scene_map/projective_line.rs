//! Image of a line under a projective map.

use glam::DVec3;

use crate::occupancy::VolumeRay;
use crate::volume_path::PathPiece;

/// The line `(numerator.0 + t·numerator.1) / (denominator.0 + t·denominator.1)` in the unit cube.
pub(super) struct ProjectiveLine {
    pub numerator: (DVec3, DVec3),
    pub denominator: (f64, f64),
}

impl ProjectiveLine {
    /// The piece from parameter `from` to `to`, which may be infinite, with the arc length `start` at its start, and the arc
    /// length at its end. `None` where it has no direction.
    pub fn piece(&self, from: f64, to: f64, start: f64) -> Option<(PathPiece, f64)> {
        let (n1, d1) = (self.numerator.1, self.denominator.1);
        let (n0, d0) = (self.numerator.0 + n1 * from, self.denominator.0 + d1 * from);
        // The derivative of the position is this over the square of the denominator: its direction never changes.
        let turn = n1 * d0 - n0 * d1;
        let speed = turn.length();
        if !(d0 > 0.0 && speed > 0.0 && speed.is_finite()) {
            return None;
        }
        let direction = turn / speed;
        let (rate, growth) = (speed / (d0 * d0), d1 / d0);
        let end = start + PathPiece::arc_after(rate, growth, to - from);
        let ray = VolumeRay {
            origin: (n0 / d0 - direction * start).as_vec3(),
            direction: direction.as_vec3(),
            near: start as f32,
            far: end as f32,
        };
        Some((PathPiece { ray, start, distance: from, rate, growth }, end))
    }
}
