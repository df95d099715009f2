//! Maps from the world to the unit cube that a radiance field lives on: a box, a box with all that is around it, or what
//! cameras see that look one way.
//!
//! All are piecewise projective, so that the image of a straight ray is a [`VolumePath`] of a few straight pieces, and
//! traversal, kernels and compositing stay as they are for a box.

mod contraction;
mod frustum;
mod projective_line;

#[cfg(test)]
mod tests;

use glam::{DMat3, DVec3};

use crate::cube::Cube;
use crate::occupancy::VolumeRay;
use crate::ray::Ray;
use crate::volume_path::VolumePath;
use contraction::{contracted, expanded};

pub use frustum::Frustum;

/// Map from the world to the unit cube of a radiance field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SceneMap {
    /// The cube; what lies outside of it is not modelled.
    Box(Cube),
    /// The cube in the middle half of the unit cube's edges, and the rest of the world contracted around it: the piecewise
    /// projective contraction of MERF (Reiser et al. 2023, equation 5).
    Open(Cube),
    /// The frustum of cameras that look the same way, to infinity: normalised device coordinates as in NeRF (Mildenhall et
    /// al. 2020, appendix C).
    Forward(Frustum),
}

impl Default for SceneMap {
    /// The box on which world and unit coordinates are the same.
    fn default() -> Self {
        Self::Box(Cube::default())
    }
}

impl From<Cube> for SceneMap {
    fn from(cube: Cube) -> Self {
        Self::Box(cube)
    }
}

impl From<Frustum> for SceneMap {
    fn from(frustum: Frustum) -> Self {
        Self::Forward(frustum)
    }
}

impl SceneMap {
    /// Name of the kind: `box`, `open` or `forward`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Box(_) => "box",
            Self::Open(_) => "open",
            Self::Forward(_) => "forward",
        }
    }

    /// `true` for a box, whose map is a similarity.
    pub fn is_box(&self) -> bool {
        matches!(self, Self::Box(_))
    }

    /// The cube that the map is detailed in, to frame cameras by: the box, the inner cube, or a cube around the frustum up to
    /// four times its near distance.
    pub fn cube(&self) -> Cube {
        match self {
            Self::Box(cube) | Self::Open(cube) => *cube,
            Self::Forward(frustum) => frustum.cube(),
        }
    }

    /// `true` where the map can be inverted: everything finite, nothing flat.
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Box(cube) | Self::Open(cube) => cube.is_valid(),
            Self::Forward(frustum) => frustum.is_valid(),
        }
    }

    /// World length of a unit of field coordinates: of a box everywhere, of an open map in the inner cube, of a frustum across
    /// the near plane.
    pub fn length_scale(&self) -> f64 {
        match self {
            Self::Box(cube) => cube.size,
            Self::Open(cube) => 2.0 * cube.size,
            Self::Forward(frustum) => frustum.length_scale(),
        }
    }

    /// Coordinates of the world in which rays are straight and a unit is the [`Self::length_scale`]: of a box its unit cube.
    pub fn world_frame(&self) -> Cube {
        Cube { origin: self.cube().origin, size: self.length_scale() }
    }

    /// World length of a unit of field coordinates about a point of the unit cube: the cube root of the volumes' ratio.
    pub fn length_scale_at(&self, unit: DVec3) -> f64 {
        match self {
            Self::Box(cube) => cube.size,
            Self::Open(cube) => 2.0 * cube.size * contraction::stretch(4.0 * unit - 2.0),
            Self::Forward(frustum) => frustum.length_scale_at(unit),
        }
    }

    /// Unit-cube coordinates of a world position; outside of the cube or not a number where the map does not reach.
    #[inline]
    pub fn to_unit(&self, world: DVec3) -> DVec3 {
        match self {
            Self::Box(cube) => cube.to_unit(world),
            Self::Open(cube) => (contracted((world - cube.centre()) / (0.5 * cube.size)) + 2.0) * 0.25,
            Self::Forward(frustum) => frustum.to_unit(world),
        }
    }

    /// World position of unit-cube coordinates; `None` at infinity and where nothing of the world maps to.
    pub fn to_world(&self, unit: DVec3) -> Option<DVec3> {
        let world = match self {
            Self::Box(cube) => cube.to_world(unit),
            Self::Open(cube) => cube.centre() + expanded(4.0 * unit - 2.0)? * (0.5 * cube.size),
            Self::Forward(frustum) => frustum.to_world(unit)?,
        };
        world.is_finite().then_some(world)
    }

    /// Gradient with respect to the world position of what has the gradient `gradient` with respect to unit-cube coordinates at
    /// `unit`.
    pub fn gradient_to_world(&self, unit: DVec3, gradient: DVec3) -> DVec3 {
        match self {
            Self::Box(cube) => gradient / cube.size,
            Self::Open(cube) => contraction::gradient(4.0 * unit - 2.0, gradient) / (2.0 * cube.size),
            Self::Forward(frustum) => frustum.gradient_to_world(unit, gradient),
        }
    }

    /// Derivative of unit-cube coordinates in the world position, at the point of the unit cube `unit`: column `j` is that along
    /// the world's axis `j`.
    pub fn jacobian(&self, unit: DVec3) -> DMat3 {
        // Its rows are the gradients of the coordinates.
        let row = |axis: DVec3| self.gradient_to_world(unit, axis);
        DMat3::from_cols(row(DVec3::X), row(DVec3::Y), row(DVec3::Z)).transpose()
    }

    /// Path of a world ray through the unit cube, for samples from `near` to `far` world units from its origin; `far` may be
    /// infinite. Arc lengths count from the ray's origin, in a frustum from where the ray enters it.
    #[inline]
    pub fn path(&self, ray: &Ray, near: f64, far: f64) -> VolumePath {
        match self {
            Self::Box(cube) => VolumePath::straight(VolumeRay::from_world(ray, *cube, near, far), cube.size),
            Self::Open(_) | Self::Forward(_) => self.bent_path(ray, near, far),
        }
    }

    #[inline(never)]
    fn bent_path(&self, ray: &Ray, near: f64, far: f64) -> VolumePath {
        let scale = self.length_scale();
        let empty = VolumePath::new(scale);
        if !(ray.origin.is_finite() && ray.direction.is_finite() && near <= far) {
            return empty;
        }
        let whole = match self {
            Self::Open(cube) => {
                contraction::path(empty, (ray.origin - cube.centre()) / (0.5 * cube.size), 4.0 * ray.direction)
            }
            Self::Forward(frustum) => frustum.path(empty, ray),
            Self::Box(cube) => VolumePath::straight(VolumeRay::from_world(ray, *cube, 0.0, f64::INFINITY), scale),
        };
        if near <= 0.0 && far == f64::INFINITY {
            return whole;
        }
        whole.cut(whole.arc(near), whole.arc(far))
    }
}
