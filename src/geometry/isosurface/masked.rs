//! Marching cubes of a field without a slope bound, within the parts of a box that a mask names.

use glam::{DVec3, Vec3};
use rayon::prelude::*;

use crate::isosurface::IsoError;
use crate::isosurface::lattice::Lattice;
use crate::isosurface::sparse::{COARSE, FINE, Field, SparseSurface, fine, first_blocks, halves};

/// Settings of [`masked`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskedOptions {
    /// Cells along the longest edge of the box, 1 to 4096.
    pub resolution: usize,
    /// Lowest corner of the box.
    pub lo: DVec3,
    /// Highest corner of the box.
    pub hi: DVec3,
    /// Value outside the mask, above 0.
    pub outside: f32,
    /// Rounds of false position that move each vertex onto the field's own zero; 0 keeps the linear estimate.
    pub refine: usize,
}

/// The zero surface of `eval` in those parts of a box that `mask` may hold; everywhere else is outside.
///
/// `mask(lo, hi)` says whether anything in the box from `lo` to `hi` may be inside; `eval` writes the value of each point
/// and is called from several threads.
///
/// # Errors
/// [`IsoError`] for settings out of range, or more than 2³² vertices.
pub fn masked(
    options: &MaskedOptions,
    mask: impl Fn(DVec3, DVec3) -> bool + Sync,
    eval: impl Fn(&[Vec3], &mut [f32]) + Sync,
) -> Result<SparseSurface, IsoError> {
    let MaskedOptions { resolution, lo, hi, outside, refine } = *options;
    if !(1..=4096).contains(&resolution) {
        return Err(IsoError::Options("the resolution must be from 1 to 4096"));
    }
    if !(lo.is_finite() && hi.is_finite() && lo.cmplt(hi).all()) {
        return Err(IsoError::Options("the box must be finite and its lower corner below its upper one"));
    }
    if !(outside > 0.0 && outside.is_finite()) {
        return Err(IsoError::Options("the value outside the mask must be finite and above 0"));
    }
    let lattice = Lattice::covering(lo, hi, resolution);
    lattice.check()?;
    let (mut active, mut size) = (first_blocks(&lattice), COARSE);
    loop {
        // One point more to each side: an edge that crosses the surface has both its ends evaluated.
        let reach = lattice.spacing * size as f64;
        let near = |block: &[usize; 3]| {
            let first = lattice.point(*block);
            mask(first - lattice.spacing, first + reach)
        };
        active = active.into_par_iter().filter(near).collect();
        if size == FINE {
            break;
        }
        size /= 2;
        active = halves(&lattice, &active, size);
    }
    let field = Field::new(&eval, &|_| ());
    let mut bits = lattice.no_bits();
    let blocks = fine(&lattice, &field, &active, &mut bits, outside);
    field.surface(&lattice, &blocks, &bits, refine)
}
