//! What soft light needs of a field, made once: coarse distances and the shadow on the ground.

use std::sync::{Arc, OnceLock};

use glam::Vec3;
use nstr_space::{Cube, DistanceField};

use crate::cpu::coarse_distance::CoarseDistance;
use crate::ground_shadow::GroundShadow;

/// Data of one field.
#[derive(Debug)]
pub struct SoftLightData {
    distance: CoarseDistance,
    /// The ground, and the cube and the direction that it was made for.
    ground: OnceLock<(Cube, Vec3, Option<Arc<GroundShadow>>)>,
}

impl SoftLightData {
    /// Evaluates a field at `cells` vertices along each axis.
    pub fn new(source: &dyn DistanceField, cells: usize) -> Self {
        Self { distance: CoarseDistance::build(source, cells), ground: OnceLock::new() }
    }

    /// Distances to the surface.
    pub fn distance(&self) -> &CoarseDistance {
        &self.distance
    }

    /// Shadow on the ground of a world that `cube` is placed in and whose upward axis is `up`; `None` without a surface. Kept for the
    /// first cube and direction that are asked for.
    pub fn ground(&self, cube: Cube, up: Vec3) -> Option<Arc<GroundShadow>> {
        let make = || GroundShadow::new(&self.distance, cube, up).map(Arc::new);
        let (of_cube, of_up, ground) = self.ground.get_or_init(|| (cube, up, make()));
        if (*of_cube, *of_up) == (cube, up) { ground.clone() } else { make() }
    }
}
