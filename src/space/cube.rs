//! Similarity between world coordinates and the unit cube that a field lives on.

use glam::DVec3;

/// Axis-aligned cube in world space on which a field is defined: `unit = (world − origin) / size`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cube {
    /// World position of the cube's lowest corner.
    pub origin: DVec3,
    /// Edge length in world units, above 0.
    pub size: f64,
}

impl Default for Cube {
    /// The cube on which world and unit coordinates are the same.
    fn default() -> Self {
        Self { origin: DVec3::ZERO, size: 1.0 }
    }
}

impl Cube {
    /// Unit-cube coordinates of a world position.
    #[inline]
    pub fn to_unit(&self, world: DVec3) -> DVec3 {
        (world - self.origin) / self.size
    }

    /// World position of unit-cube coordinates.
    #[inline]
    pub fn to_world(&self, unit: DVec3) -> DVec3 {
        self.origin + unit * self.size
    }

    /// World position of the centre.
    pub fn centre(&self) -> DVec3 {
        self.origin + DVec3::splat(0.5 * self.size)
    }

    /// Lowest and highest corner in world space.
    pub fn bounds(&self) -> (DVec3, DVec3) {
        (self.origin, self.origin + DVec3::splat(self.size))
    }

    /// Distance in world units from a world position to the cube; 0 inside.
    pub fn distance(&self, world: DVec3) -> f64 {
        ((world - self.centre()).abs() - 0.5 * self.size).max(DVec3::ZERO).length()
    }

    /// `true` where the similarity can be inverted: everything finite, size above 0.
    pub fn is_valid(&self) -> bool {
        self.origin.is_finite() && self.size.is_finite() && self.size > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_map_to_corners() {
        let cube = Cube { origin: DVec3::new(-2.0, 1.0, 3.0), size: 4.0 };
        let (lo, hi) = cube.bounds();
        assert_eq!(cube.to_unit(lo), DVec3::ZERO);
        assert_eq!(cube.to_unit(hi), DVec3::ONE);
        assert_eq!(cube.centre(), (lo + hi) * 0.5);
        let p = DVec3::new(0.25, 0.5, 0.75);
        assert!((cube.to_unit(cube.to_world(p)) - p).length() < 1e-15);
        assert!(!Cube { origin: DVec3::ZERO, size: 0.0 }.is_valid());
    }

    #[test]
    fn distances_to_the_cube() {
        let cube = Cube { origin: DVec3::splat(-1.0), size: 2.0 };
        assert_eq!(cube.distance(DVec3::new(4.0, 5.0, 0.0)), 5.0);
        assert_eq!(cube.distance(DVec3::splat(0.9)), 0.0);
    }
}
