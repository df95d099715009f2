//! Traversal of an occupancy grid: the samples of a ray that lie in occupied cells.
//!
//! A sample counts where its own position, rounded to f32, lies in an occupied cell. Skipping may only leave out samples
//! that are sure to lie in the empty space around the one just looked at: its far faces are drawn in by more than rounding
//! can move a position, so that the samples are exactly those a test of every stratum would give.

use glam::{UVec3, Vec3};

use crate::cube::Cube;
use crate::occupancy::march_piece::MarchPiece;
use crate::occupancy::ray_sampling::{RaySampling, StratumMap};
use crate::occupancy::{CellState, Occupancy};
use crate::ray::Ray;
use crate::volume_path::VolumePath;

/// Bound of the relative error of a distance computed from a position and back from a stratum number.
const ROUNDING: f32 = 4e-6;
/// Components of directions below this count as 0.
const PARALLEL: f32 = 1e-20;
/// Strata beyond this have numbers that f32 cannot tell apart.
const LAST: f32 = 16_000_000.0;

/// A straight ray in field coordinates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VolumeRay {
    /// Position at `t = 0`.
    pub origin: Vec3,
    /// Unit direction.
    pub direction: Vec3,
    /// Samples before this distance are left out, field units.
    pub near: f32,
    /// Samples beyond this distance are left out, field units; may be +∞.
    pub far: f32,
}

impl VolumeRay {
    /// A world ray in the unit coordinates of `cube`; `near` and `far` in world units.
    #[inline]
    pub fn from_world(ray: &Ray, cube: Cube, near: f64, far: f64) -> Self {
        Self {
            origin: cube.to_unit(ray.origin).as_vec3(),
            direction: ray.direction.as_vec3(),
            near: (near / cube.size) as f32,
            far: (far / cube.size) as f32,
        }
    }

    /// Position at distance `t`.
    #[inline(always)]
    pub fn at(&self, t: f32) -> Vec3 {
        self.origin + self.direction * t
    }
}

/// One sample of a ray.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RaySample {
    /// Arc length along the path, field units.
    pub t: f32,
    /// Length of its stratum.
    pub dt: f32,
    /// Its place in the unit cube.
    pub position: Vec3,
}

/// A ray on its way through the cells; made by [`Occupancy::traverse`], continued by [`OccupancyTraversal::next`].
#[derive(Clone, Copy, Debug)]
pub struct OccupancyTraversal {
    origin: Vec3,
    direction: Vec3,
    /// 1 / direction, 0 where that is 0.
    inverse: Vec3,
    /// +∞ where the direction is 0: such faces are never reached.
    never: Vec3,
    /// 1 where the far face of a cell is its upper one.
    ahead: Vec3,
    /// Offset that draws far faces in, signed.
    inset: Vec3,
    space: StratumMap,
    near: f32,
    /// No sample of the piece lies beyond.
    end: f32,
    /// The stratum to look at next.
    index: u32,
    /// Number of the path's piece.
    piece: u32,
}

impl Occupancy {
    /// Begins the traversal of a path. Rays that are not finite and steps that are not positive give no sample.
    #[inline]
    pub fn traverse(&self, path: &VolumePath, steps: &RaySampling) -> OccupancyTraversal {
        let mut traversal = OccupancyTraversal::outside(path, steps);
        let (Some(bounds), true) = (self.bounds(), steps.is_valid()) else { return traversal };
        for (number, piece) in path.pieces().iter().enumerate() {
            let Some((enter, leave)) = traversal.clip(&piece.ray, bounds) else { continue };
            // Its logarithm and exponential are only paid for by rays that meet the box.
            traversal.space = StratumMap::new(steps);
            traversal.piece = number as u32;
            if !traversal.begin(enter, leave) {
                traversal.advance(self, path);
            }
            break;
        }
        traversal
    }

    /// Visits the samples of a path that lie in occupied cells, front to back, until `visit` returns false.
    #[inline]
    pub fn march(&self, path: &VolumePath, steps: &RaySampling, mut visit: impl FnMut(RaySample) -> bool) {
        let mut traversal = self.traverse(path, steps);
        while let Some(sample) = traversal.next(self, path) {
            if !visit(sample) {
                return;
            }
        }
    }
}

impl OccupancyTraversal {
    /// A traversal that has come to no piece yet.
    #[inline(always)]
    pub(super) fn outside(path: &VolumePath, steps: &RaySampling) -> Self {
        Self {
            origin: Vec3::ZERO,
            direction: Vec3::ZERO,
            inverse: Vec3::ZERO,
            never: Vec3::ZERO,
            ahead: Vec3::ZERO,
            inset: Vec3::ZERO,
            space: StratumMap::new(&RaySampling { cone: 0.0, ..*steps }),
            near: 0.0,
            end: f32::NEG_INFINITY,
            index: 0,
            piece: path.pieces().len() as u32,
        }
    }

    /// Takes up a straight piece, and clips it to a box that holds every occupied cell: the arc lengths at which it enters and
    /// leaves, rounding included; `None` where it has no part in the box.
    #[inline(always)]
    fn clip(&mut self, ray: &VolumeRay, (lo, hi): (Vec3, Vec3)) -> Option<(f32, f32)> {
        let zero = |d: f32| if d.abs() < PARALLEL { 0.0 } else { d };
        // Adding 0 turns −0, which `probe` does not take, into 0.
        (self.origin, self.direction) = (ray.origin + 0.0, Vec3::from(ray.direction.to_array().map(zero)));
        let direction = self.direction;
        self.inverse = Vec3::from(direction.to_array().map(|d| if d == 0.0 { 0.0 } else { 1.0 / d }));
        self.never = Vec3::from(direction.to_array().map(|d| if d == 0.0 { f32::INFINITY } else { 0.0 }));
        // Positions are rounded relative to the origin's size and the cube's.
        let slack = 5e-7 * (2.0 + self.origin.abs().max_element());
        self.ahead = Vec3::from(direction.to_array().map(|d| (d > 0.0) as u32 as f32));
        self.inset = -direction.signum() * slack;
        self.near = ray.near;
        let (lo, hi) = (lo - slack, hi + slack);
        let parallel = direction.cmpeq(Vec3::ZERO);
        let beside = self.origin.cmplt(lo) | self.origin.cmpgt(hi);
        let usable = self.origin.is_finite() && direction.is_finite() && !parallel.all();
        if !usable || (parallel & beside).any() {
            return None;
        }
        let (a, b) = ((lo - self.origin) * self.inverse, (hi - self.origin) * self.inverse);
        let enter = (a.min(b) - self.never).max_element().max(ray.near).max(0.0) * (1.0 - ROUNDING);
        let leave = ((a.max(b) + self.never).min_element() * (1.0 + ROUNDING)).min(ray.far);
        (enter <= leave).then_some((enter, leave))
    }

    /// Sets the first stratum and the end of a piece that was taken up; `false` where no stratum is left.
    #[inline(always)]
    fn begin(&mut self, enter: f32, leave: f32) -> bool {
        let end = leave.min(self.space.distance(LAST));
        if !(end.is_finite() && enter <= end) {
            return false;
        }
        // Never back: a stratum has one sample on the whole path.
        self.index = self.index.max(self.space.last_before(enter * (1.0 - ROUNDING)));
        self.end = end;
        true
    }

    /// A straight piece as a device marches it, and a bound of the number of its strata; `None` where it has no part in the
    /// box `bounds`.
    #[inline]
    pub(super) fn march_piece(
        &mut self,
        ray: &VolumeRay,
        bounds: (Vec3, Vec3),
        steps: &RaySampling,
    ) -> Option<(MarchPiece, u32)> {
        let (enter, leave) = self.clip(ray, bounds)?;
        self.space = StratumMap::new(steps);
        // Each piece by itself: how far those before it come is known to whoever marches them.
        self.index = 0;
        if !self.begin(enter, leave) {
            return None;
        }
        let (first, last) = (self.index, self.space.last_before(self.end));
        let Self { origin, near, direction, end, inverse, .. } = *self;
        let piece = MarchPiece { origin, near, direction, end, inverse, first: first as f32 };
        // The last stratum is known up to rounding.
        Some((piece, (last + 2).saturating_sub(first)))
    }

    /// Goes on with the next piece that meets the occupied cells; `false` at the path's end.
    #[cold]
    #[inline(never)]
    fn advance(&mut self, occupancy: &Occupancy, path: &VolumePath) -> bool {
        self.end = f32::NEG_INFINITY;
        let Some(bounds) = occupancy.bounds() else { return false };
        while let Some(piece) = path.pieces().get(self.piece as usize + 1) {
            self.piece += 1;
            if let Some((enter, leave)) = self.clip(&piece.ray, bounds)
                && self.begin(enter, leave)
            {
                return true;
            }
        }
        false
    }

    /// The next sample in an occupied cell; `None` at the end. `occupancy` and `path` are those that the traversal was started
    /// with.
    #[inline]
    pub fn next(&mut self, occupancy: &Occupancy, path: &VolumePath) -> Option<RaySample> {
        loop {
            let index = self.index;
            let t = self.space.sample(index);
            if t > self.end {
                if self.advance(occupancy, path) {
                    continue;
                }
                return None;
            }
            let position = self.origin + self.direction * t;
            match occupancy.probe(position) {
                CellState::Occupied => {
                    self.index = index + 1;
                    if t >= self.near {
                        return Some(RaySample { t, dt: self.space.length(index, t), position });
                    }
                }
                CellState::Outside => self.index = index + 1,
                CellState::Empty { at, shift, radius } => {
                    let edge = (1u32 << shift) as f32 / occupancy.cells() as f32;
                    let exit = self.exit(at, f32::from(radius), edge);
                    if exit > self.end {
                        if self.advance(occupancy, path) {
                            continue;
                        }
                        return None;
                    }
                    self.index = index.max(self.space.last_before(exit)) + 1;
                }
            }
        }
    }

    /// A distance up to which samples are sure to lie in the cubes of edge `edge` within `radius` of cube `at`.
    #[inline(always)]
    fn exit(&self, at: UVec3, radius: f32, edge: f32) -> f32 {
        let face = at.as_ivec3().as_vec3() - radius + self.ahead * (1.0 + 2.0 * radius);
        ((face * edge + self.inset - self.origin) * self.inverse + self.never).min_element() * (1.0 - ROUNDING)
    }

    /// Arc length before which no sample is left; +∞ once the path has ended.
    pub fn reached(&self) -> f32 {
        if self.end == f32::NEG_INFINITY { f32::INFINITY } else { self.space.sample(self.index) }
    }
}
