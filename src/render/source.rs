//! What the renderers ask of a signed distance field.

use glam::Vec3;

/// A signed distance field on the unit cube, evaluated in batches.
///
/// Points and distances are in field coordinates (`[0,1]³`, unit length = one edge of the cube). Implementations
/// evaluate a whole slice at once on the calling thread, so that callers may run several batches in parallel.
pub trait SdfSource: Sync {
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
