//! Straight pieces of rays as a device marches them: clipped to the occupied cells, with all that needs a division.
//!
//! A device that goes through the strata of a piece from [`MarchPiece::first`] on, by the arithmetic of [`Strata`] and of
//! [`OccupancyTraversal::next`], finds the samples that [`Occupancy::march`] visits.

use bytemuck::{Pod, Zeroable};
use glam::Vec3;

use crate::occupancy::ray_sampling::{RaySampling, StratumMap};
use crate::occupancy::{Occupancy, OccupancyTraversal};
use crate::volume_path::VolumePath;

/// A straight piece of a path that meets the box around the occupied cells: twelve floats, three vectors of four.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct MarchPiece {
    /// Position at arc length 0, no coordinate −0; field units.
    pub origin: Vec3,
    /// Samples before this arc length are left out.
    pub near: f32,
    /// Unit direction; components too small to matter are 0.
    pub direction: Vec3,
    /// Samples beyond this arc length are left out; finite.
    pub end: f32,
    /// One over each component of the direction, 0 where that is 0.
    pub inverse: Vec3,
    /// The stratum to look at first, unless the pieces before have come further: a whole number of at most 16 million.
    pub first: f32,
}

/// Strata of all rays with the same step and cone, as numbers: stratum `s` lies at `s·step` up to `s = knee_s`, and at
/// `knee_t·exp((s − knee_s)·rate)` beyond. Every number is finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strata {
    /// Length of a stratum before the knee.
    pub step: f32,
    /// One over the step.
    pub per_step: f32,
    /// Arc length of the knee; larger than any without one.
    pub knee_t: f32,
    /// Stratum of the knee; larger than any without one.
    pub knee_s: f32,
    /// One over the knee's arc length, 0 without a knee.
    pub per_knee: f32,
    /// Growth of the logarithm of the arc length a stratum.
    pub rate: f32,
    /// One over the rate, 0 without a knee.
    pub per_rate: f32,
}

/// Stands for infinity, which shaders need not know.
const NEVER: f32 = 3e38;

impl RaySampling {
    /// The strata, apart from the place of the sample in each.
    pub fn strata(&self) -> Strata {
        let map = StratumMap::new(self);
        let has_knee = map.knee_t.is_finite();
        Strata {
            step: map.step,
            per_step: map.per_step,
            knee_t: map.knee_t.min(NEVER),
            knee_s: map.knee_s.min(NEVER),
            per_knee: if has_knee { 1.0 / map.knee_t } else { 0.0 },
            rate: map.rate,
            per_rate: map.per_rate,
        }
    }

    /// Length of a stratum beyond the knee over the distance of its sample; 0 without a knee.
    #[inline]
    pub fn growth(&self) -> f32 {
        StratumMap::new(self).grow
    }
}

impl Occupancy {
    /// Visits the pieces of a path that meet the box around the occupied cells, front to back, each with a bound of the number
    /// of its strata there. Rays that are not finite and steps that are not positive have none.
    #[inline]
    pub fn march_pieces(&self, path: &VolumePath, steps: &RaySampling, mut visit: impl FnMut(MarchPiece, u32)) {
        let (Some(bounds), true) = (self.bounds(), steps.is_valid()) else { return };
        let mut traversal = OccupancyTraversal::outside(path, steps);
        for piece in path.pieces() {
            if let Some((piece, strata)) = traversal.march_piece(&piece.ray, bounds, steps) {
                visit(piece, strata);
            }
        }
    }
}
