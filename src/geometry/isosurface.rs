//! Isosurfaces of fields by marching cubes, watertight and manifold inside their lattice: dense, sparse, enclosed, or only
//! within a mask.
//!
//! Negative values are inside, triangles face outward, vertices are shared. A surface that leaves the lattice ends at
//! its border. NaN counts as outside.

mod enclosed;
mod extract;
mod lattice;
mod masked;
mod sparse;
mod table;

use rayon::prelude::*;

use crate::TriMesh;

pub use enclosed::{EnclosedOptions, EnclosedSurface, SignedBox, enclosed};
pub use lattice::Lattice;
pub use masked::{MaskedOptions, masked};
pub use sparse::{SparseOptions, SparseSurface, sparse, sparse_observed};

/// Settings or values that no surface can be made of.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum IsoError {
    /// The lattice is empty, too large, or not finite.
    #[error(
        "a lattice of {dims:?} points cannot be meshed: 2 or more points an axis, at most 2^34 in all, spacing above 0"
    )]
    Lattice {
        /// Points along each axis.
        dims: [usize; 3],
    },
    /// The values do not match the lattice.
    #[error("{got} values for a lattice of {want} points")]
    Values {
        /// Values given.
        got: usize,
        /// Points of the lattice.
        want: usize,
    },
    /// The surface has more vertices than indices can name.
    #[error("the surface has {0} vertices, more than 2^32: lower the resolution")]
    TooManyVertices(u64),
    /// Settings of the sparse path are out of range.
    #[error("{0}")]
    Options(&'static str),
}

struct Dense<'a> {
    dims: [usize; 3],
    values: &'a [f32],
}

impl lattice::Values for Dense<'_> {
    #[inline(always)]
    fn value(&self, x: usize, y: usize, z: usize) -> f32 {
        self.values[(z * self.dims[1] + y) * self.dims[0] + x]
    }
}

/// Inside bits of a run of values.
fn pack(values: &[f32], words: &mut [u64]) {
    for (chunk, word) in values.chunks(64).zip(words) {
        *word = chunk.iter().enumerate().fold(0, |w, (i, &v)| w | ((v < 0.0) as u64) << i);
    }
}

/// The zero surface of `values` (x fastest, as [`Lattice`] has its points), in parallel.
///
/// # Errors
/// [`IsoError`] for a lattice that cannot be meshed, a wrong number of values, or more than 2³² vertices.
pub fn dense(lattice: &Lattice, values: &[f32]) -> Result<TriMesh, IsoError> {
    lattice.check()?;
    if values.len() != lattice.len() {
        return Err(IsoError::Values { got: values.len(), want: lattice.len() });
    }
    let mut bits = lattice.no_bits();
    let rows = bits.par_chunks_mut(lattice.words()).zip(values.par_chunks(lattice.dims[0])).with_min_len(64);
    rows.for_each(|(words, row)| pack(row, words));
    Ok(extract::extract(lattice, &bits, &Dense { dims: lattice.dims, values })?.0)
}

#[cfg(test)]
mod tests;
