//! Loss of positions that are stored as 32-bit floats.

use glam::DVec3;

/// Loss, as a fraction of a mesh's size, above which positions are stored in another way.
const MOST_LOSS: f64 = 1e-6;

/// Rounding of a mesh's positions to 32-bit floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounding {
    /// Largest error of a coordinate, in world units; infinite where one is out of range.
    pub error: f64,
    /// Lowest and highest corner of the box around the positions.
    pub bounds: [DVec3; 2],
}

impl Rounding {
    /// Measures `positions`.
    pub fn of(positions: &[DVec3]) -> Self {
        let empty = (0.0, DVec3::INFINITY, DVec3::NEG_INFINITY);
        let (error, lo, hi) = positions.iter().fold(empty, |(error, lo, hi), &p| {
            let off = (p - p.as_vec3().as_dvec3()).abs().max_element();
            (f64::max(error, off), lo.min(p), hi.max(p))
        });
        Self { error, bounds: [lo, hi] }
    }

    /// Longest edge of the box.
    pub fn size(&self) -> f64 {
        (self.bounds[1] - self.bounds[0]).max_element()
    }

    /// True where the loss shows: positions far from the origin for their size, or out of range.
    pub fn shows(&self) -> bool {
        self.error > MOST_LOSS * self.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_things_far_away_lose() {
        let corners = |at: f64, size: f64| [DVec3::splat(at), DVec3::splat(at + size * 0.7), DVec3::splat(at + size)];
        let of = |at: f64, size: f64| Rounding::of(&corners(at, size));
        assert!(!of(0.3, 1.0).shows() && !of(-1e6, 1e7).shows());
        let far = of(5_412_345.678, 2.0);
        assert!(far.shows() && far.error > 0.1 && far.error <= 0.25 && (far.size() - 2.0).abs() < 1e-8);
        assert!(of(0.0, 1e39).shows() && of(0.0, 1e39).error.is_infinite());
        assert!(of(0.0, 1e-47).shows());
    }
}
