//! Field and resolution that camera rays and secondary rays share.

use nstr_space::DistanceField;

use crate::cpu::distance_grid::DistanceGrid;

/// Field, its empty space, and the resolution of the rays that cross it.
#[derive(Clone, Copy)]
pub struct TraceContext<'a> {
    /// The field.
    pub source: &'a dyn DistanceField,
    /// Empty space, where it is used.
    pub grid: Option<&'a DistanceGrid>,
    /// Lipschitz bound L, above 0.
    pub lipschitz: f32,
    /// Longest stretch of a ray that may stay uncertified, above 0, in field units.
    pub gap: f32,
}
