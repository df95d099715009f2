//! The similarity between world coordinates and the unit cube that a field lives on.

use glam::DVec3;

/// The axis-aligned cube in world space on which a field is defined: `unit = (world − origin) / size`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitCube {
    /// World position of the cube's lowest corner.
    pub origin: DVec3,
    /// Edge length in world units, above 0.
    pub size: f64,
}

impl Default for UnitCube {
    /// World coordinates are field coordinates.
    fn default() -> Self {
        Self { origin: DVec3::ZERO, size: 1.0 }
    }
}

impl UnitCube {
    /// World position in field coordinates.
    pub fn to_unit(&self, world: DVec3) -> DVec3 {
        (world - self.origin) / self.size
    }

    /// Field coordinates in world space.
    pub fn to_world(&self, unit: DVec3) -> DVec3 {
        self.origin + unit * self.size
    }

    /// Lowest and highest corner in world space.
    pub fn bounds(&self) -> (DVec3, DVec3) {
        (self.origin, self.origin + DVec3::splat(self.size))
    }

    /// Whether the similarity can be inverted: everything finite, size above 0.
    pub fn is_valid(&self) -> bool {
        self.origin.is_finite() && self.size.is_finite() && self.size > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_map_to_corners() {
        let cube = UnitCube { origin: DVec3::new(-2.0, 1.0, 3.0), size: 4.0 };
        let (lo, hi) = cube.bounds();
        assert_eq!(cube.to_unit(lo), DVec3::ZERO);
        assert_eq!(cube.to_unit(hi), DVec3::ONE);
        let p = DVec3::new(0.25, 0.5, 0.75);
        assert!((cube.to_unit(cube.to_world(p)) - p).length() < 1e-15);
        assert!(!UnitCube { origin: DVec3::ZERO, size: 0.0 }.is_valid());
    }
}
