//! Path of a ray through the unit cube: straight pieces, measured by their arc length.
//!
//! A projective map takes a ray to a line that it runs along with a changing speed. With `τ` the distance from the start of a
//! piece, in units of the map's length scale, the arc length grows by `rate·τ / (1 + growth·τ)`: finite even where τ is not.

use glam::Vec3;

use crate::occupancy::VolumeRay;

/// Most pieces of a path: a line meets each of the seven convex regions of a [`SceneMap`](crate::SceneMap) once.
pub const MAX_PIECES: usize = 7;

/// A straight piece of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathPiece {
    /// The straight line and the arc lengths that it is good for; the position at arc length `s` is `ray.at(s)`.
    pub ray: VolumeRay,
    /// Arc length at the piece's start.
    pub(crate) start: f64,
    /// Distance at the piece's start, in units of the length scale.
    pub(crate) distance: f64,
    /// Arc length a unit of distance at the start, above 0.
    pub(crate) rate: f64,
    /// Relative growth of the projective denominator a unit of distance.
    pub(crate) growth: f64,
}

impl PathPiece {
    /// A piece without a sample.
    const EMPTY: Self = Self {
        ray: VolumeRay { origin: Vec3::ZERO, direction: Vec3::ZERO, near: 0.0, far: -1.0 },
        start: 0.0,
        distance: 0.0,
        rate: 1.0,
        growth: 0.0,
    };

    /// Arc length from the start to a distance of `along` from it; infinite where the map has no finite image.
    pub(crate) fn arc_after(rate: f64, growth: f64, along: f64) -> f64 {
        if growth == 0.0 {
            return rate * along;
        }
        if along == 0.0 {
            return 0.0;
        }
        // The same as rate·along / (1 + growth·along), with a limit at infinity.
        let denominator = along.recip() + growth;
        if (denominator > 0.0) == (along > 0.0) && denominator != 0.0 {
            rate / denominator
        } else {
            f64::INFINITY.copysign(along)
        }
    }
}

/// The image of a ray in the unit cube: up to [`MAX_PIECES`] straight pieces, in their order.
///
/// Arc lengths go on from piece to piece. The path of a [`SceneMap::Box`](crate::SceneMap::Box) is one piece, whose arc length
/// is the distance in edges of the cube.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VolumePath {
    pieces: [PathPiece; MAX_PIECES],
    count: usize,
    /// World length of a unit of distance.
    scale: f64,
}

impl VolumePath {
    /// A path without pieces; `scale` is the map's length scale.
    pub(crate) fn new(scale: f64) -> Self {
        Self { pieces: [PathPiece::EMPTY; MAX_PIECES], count: 0, scale }
    }

    /// A straight path; `scale` is the world length of a unit of arc length.
    #[inline]
    pub fn straight(ray: VolumeRay, scale: f64) -> Self {
        let mut path = Self::new(scale);
        path.pieces[0].ray = ray;
        path.count = 1;
        path
    }

    /// Adds a piece behind the others; no more than [`MAX_PIECES`] are kept.
    pub(crate) fn push(&mut self, piece: PathPiece) {
        if let Some(free) = self.pieces.get_mut(self.count) {
            *free = piece;
            self.count += 1;
        }
    }

    /// The pieces, in their order; none where the ray does not enter the cube.
    #[inline]
    pub fn pieces(&self) -> &[PathPiece] {
        &self.pieces[..self.count]
    }

    /// The last piece that begins at or before what `start` tells of it; else the first.
    #[inline]
    fn piece(&self, begins: impl Fn(&PathPiece) -> bool) -> &PathPiece {
        let later = self.pieces().iter().skip(1).take_while(|p| begins(p)).count();
        &self.pieces[later]
    }

    /// Position at arc length `s`, in unit-cube coordinates.
    #[inline]
    pub fn position(&self, s: f32) -> Vec3 {
        self.piece(|p| p.start <= f64::from(s)).ray.at(s)
    }

    /// World distance from the ray's origin at arc length `s`; infinite at the image of infinity and beyond.
    #[inline]
    pub fn distance(&self, s: f32) -> f64 {
        let piece = self.piece(|p| p.start <= f64::from(s));
        let arc = f64::from(s) - piece.start;
        let slowed = piece.rate - piece.growth * arc;
        let along = if slowed > 0.0 { arc / slowed } else { f64::INFINITY };
        (piece.distance + along) * self.scale
    }

    /// Arc length at a world distance from the ray's origin, which may be infinite. Below 0 before the path's start, beyond its
    /// end where it has one: such arc lengths only tell the order.
    #[inline]
    pub fn arc(&self, distance: f64) -> f32 {
        self.scaled_arc(distance / self.scale)
    }

    /// Arc length at a distance in units of the map's length scale; see [`Self::arc`].
    #[inline]
    pub fn scaled_arc(&self, distance: f64) -> f32 {
        let piece = self.piece(|p| p.distance <= distance);
        (piece.start + PathPiece::arc_after(piece.rate, piece.growth, distance - piece.distance)) as f32
    }

    /// The part of the path from arc length `near` to `far`, both included; arc lengths stay what they were.
    #[inline]
    pub fn cut(mut self, near: f32, far: f32) -> Self {
        for piece in &mut self.pieces[..self.count] {
            piece.ray.near = piece.ray.near.max(near);
            piece.ray.far = piece.ray.far.min(far);
        }
        self
    }
}

impl From<VolumeRay> for VolumePath {
    /// A straight path whose arc lengths are world distances.
    fn from(ray: VolumeRay) -> Self {
        Self::straight(ray, 1.0)
    }
}
