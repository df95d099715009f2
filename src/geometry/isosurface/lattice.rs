//! The lattice of an isosurface: a box of equally spaced points.

use glam::DVec3;

use crate::isosurface::IsoError;

/// Equally spaced points: `point(x, y, z) = origin + spacing · (x, y, z)`, x fastest in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lattice {
    /// Points along each axis, at least 2, at most 2³⁴ in all three together.
    pub dims: [usize; 3],
    /// The first point.
    pub origin: DVec3,
    /// Distance between neighbours along each axis.
    pub spacing: DVec3,
}

impl Lattice {
    /// `resolution` cells along the longest edge of the box `lo`..`hi`; cells are cubic, the box is met at `lo` and
    /// covered at `hi`.
    pub fn covering(lo: DVec3, hi: DVec3, resolution: usize) -> Self {
        let extent = hi - lo;
        let spacing = extent.max_element() / resolution.max(1) as f64;
        let dims = [0, 1, 2].map(|k| ((extent[k] / spacing - 1e-9).ceil().max(1.0)) as usize + 1);
        Self { dims, origin: lo, spacing: DVec3::splat(spacing) }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// True where there are no points.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Position of a point.
    pub fn point(&self, at: [usize; 3]) -> DVec3 {
        self.origin + self.spacing * DVec3::new(at[0] as f64, at[1] as f64, at[2] as f64)
    }

    pub(super) fn check(&self) -> Result<(), IsoError> {
        let total = self.dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let fits = total.is_some_and(|n| n as u64 <= 1 << 34);
        let placed = self.origin.is_finite() && self.spacing.is_finite() && self.spacing.min_element() > 0.0;
        if self.dims.iter().any(|&d| d < 2) || !fits || !placed {
            return Err(IsoError::Lattice { dims: self.dims });
        }
        Ok(())
    }

    /// Words of a row of inside bits.
    pub(super) fn words(&self) -> usize {
        self.dims[0].div_ceil(64)
    }

    /// Inside bits of the whole lattice, all outside.
    pub(super) fn no_bits(&self) -> Vec<u64> {
        vec![0; self.words() * self.dims[1] * self.dims[2]]
    }

    pub(super) fn row(&self, y: usize, z: usize) -> usize {
        z * self.dims[1] + y
    }
}

/// Values at lattice points, for the extraction.
pub(super) trait Values: Sync {
    fn value(&self, x: usize, y: usize, z: usize) -> f32;
}
