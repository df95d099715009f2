//! Traits of fields that evaluate points in batches: signed distance and radiance.

use glam::Vec3;

use crate::occupancy::Occupancy;

/// A signed distance field on the unit cube, evaluated in batches.
///
/// Points and distances are in field coordinates (`[0,1]³`, unit length = one edge of the cube). Implementations
/// evaluate a whole slice at once on the calling thread, so that callers may run several batches in parallel.
pub trait DistanceField: Sync {
    /// Signed distance (negative inside) of each point into `distance` (same length).
    fn distance(&self, points: &[Vec3], distance: &mut [f32]);

    /// Signed distance and its analytic gradient of each point.
    fn distance_gradient(&self, points: &[Vec3], distance: &mut [f32], gradient: &mut [Vec3]);

    /// Values of the local spectrum S at each point, for layers; 0 where the field has none.
    fn spectrum_width(&self) -> usize {
        0
    }

    /// S (`[point][spectrum_width]`) and the Frobenius norms of ∇S and of the transport residual ∇S − F(x, S) at each
    /// point.
    fn spectrum(&self, _points: &[Vec3], _spectrum: &mut [f32], _gradient_norm: &mut [f32], _residual: &mut [f32]) {}

    /// Upper bound of ‖∇f‖ on the cube: a step of `|f| / lipschitz()` never crosses the surface.
    fn lipschitz(&self) -> f32;
}

/// A radiance field on the unit cube, evaluated in batches.
///
/// Points are in field coordinates (`[0,1]³`); densities are per unit of them. Implementations evaluate a whole slice at
/// once on the calling thread, so that callers may run several batches in parallel. All slices of a call have one length.
pub trait RadianceField: Sync {
    /// Density σ ≥ 0 of each point.
    fn density(&self, points: &[Vec3], density: &mut [f32]);

    /// Red, green, blue (sRGB values as in the training images, 0 to 1) and σ of each point, seen along the unit vector
    /// `directions` (from the eye into the scene, field axes).
    fn radiance(&self, points: &[Vec3], directions: &[Vec3], out: &mut [[f32; 4]]);

    /// σ and ∇σ of each point.
    fn density_gradient(&self, points: &[Vec3], density: &mut [f32], gradient: &mut [Vec3]);

    /// Sharpness of a density that follows a signed distance: it falls by 1/e over one part in so many of an edge before the
    /// surface; `None` for other densities.
    fn sharpness(&self) -> Option<f32> {
        None
    }

    /// Signed distance (negative inside) of each point, where [`Self::sharpness`] says that there is one.
    fn signed_distance(&self, _points: &[Vec3], _distance: &mut [f32]) {}

    /// Values of the local spectrum S at each point, for layers; 0 where the field has none.
    fn spectrum_width(&self) -> usize {
        0
    }

    /// S (`[point][spectrum_width]`) and the Frobenius norms of ∇S and of the transport residual ∇S − F(x, S) at each
    /// point.
    fn spectrum(&self, _points: &[Vec3], _spectrum: &mut [f32], _gradient_norm: &mut [f32], _residual: &mut [f32]) {}

    /// The cells outside of which σ counts as 0.
    fn occupancy(&self) -> &Occupancy;
}
