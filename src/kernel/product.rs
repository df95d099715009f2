//! Products of the latent grid's levels, feature by feature: `z = Π_i u_i` of groups of levels in succession, with
//! tangents `ż = Σ_i u̇_i Π_{k≠i} u_k` and the adjoint (TensoRF, Chen et al. 2022, eq. 6).

use super::mlp::{TILE, View};
use super::spec::LatentSpec;

/// Levels that are multiplied, at most: a line for each axis.
pub const MAX_GROUP: usize = 3;

/// Shape of the products.
#[derive(Clone, Copy, Debug)]
pub struct ProductPlan {
    /// Levels of a group, 2 or 3.
    group: usize,
    groups: usize,
    features: usize,
}

impl ProductPlan {
    /// Plans the products of `latent`; `None` where levels are only concatenated.
    pub fn new(latent: &LatentSpec) -> Option<Self> {
        let (group, features) = (latent.product, latent.features);
        (group > 1).then(|| Self { group, groups: latent.levels.len() / group, features })
    }

    /// Columns of the levels' own features: what enters.
    pub fn inputs(&self) -> usize {
        self.groups * self.group * self.features
    }

    /// Feature `f` of every level of group `g`, at row `r`.
    ///
    /// # Safety
    /// `u` must have that row, with [`Self::inputs`] columns.
    #[inline(always)]
    unsafe fn factors(&self, u: View, r: usize, g: usize, f: usize) -> [f32; MAX_GROUP] {
        // SAFETY: promised by the caller; the column is below `inputs`.
        std::array::from_fn(|i| match i < self.group {
            true => unsafe { *u.ptr.add(r * u.row + (g * self.group + i) * self.features + f) },
            false => 1.0,
        })
    }

    /// Products of `u` into `z`, for `planes` blocks of rows.
    ///
    /// # Safety
    /// `u` must have [`Self::inputs`] columns, `z` groups × features, both [`TILE`] rows a plane.
    pub unsafe fn forward(&self, u: View, z: View, planes: usize) {
        for (p, g, f) in self.places() {
            // SAFETY: rows and columns are those promised.
            unsafe {
                let value = self.factors(u, p, g, f);
                let at = g * self.features + f;
                *z.ptr.add(p * z.row + at) = value.iter().product();
                for plane in 1..planes {
                    let r = plane * TILE + p;
                    let slope = self.factors(u, r, g, f);
                    let each = |i: usize| slope[i] * without(&value, i);
                    *z.ptr.add(r * z.row + at) = (0..self.group).map(each).sum();
                }
            }
        }
    }

    /// Adjoint of [`Self::forward`]: writes `du` from `dz`, laid out like `u` and `z`.
    ///
    /// # Safety
    /// As for [`Self::forward`].
    pub unsafe fn backward(&self, u: View, dz: View, du: View, planes: usize) {
        for (p, g, f) in self.places() {
            // SAFETY: as in `forward`.
            unsafe {
                let value = self.factors(u, p, g, f);
                let at = g * self.features + f;
                let column = |i: usize| (g * self.group + i) * self.features + f;
                let d = *dz.ptr.add(p * dz.row + at);
                let mut sums: [f32; MAX_GROUP] = std::array::from_fn(|i| d * without(&value, i));
                for plane in 1..planes {
                    let r = plane * TILE + p;
                    let (d, slope) = (*dz.ptr.add(r * dz.row + at), self.factors(u, r, g, f));
                    for (i, sum) in sums.iter_mut().enumerate().take(self.group) {
                        *du.ptr.add(r * du.row + column(i)) = d * without(&value, i);
                        for k in (0..self.group).filter(|k| *k != i) {
                            *sum += d * slope[k] * without_two(&value, i, k);
                        }
                    }
                }
                for (i, sum) in sums.iter().enumerate().take(self.group) {
                    *du.ptr.add(p * du.row + column(i)) = *sum;
                }
            }
        }
    }

    /// Every point of a tile, group and feature.
    fn places(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (groups, features) = (self.groups, self.features);
        (0..TILE).flat_map(move |p| (0..groups).flat_map(move |g| (0..features).map(move |f| (p, g, f))))
    }
}

/// The product of all factors but one; those beyond the group are 1.
#[inline(always)]
fn without(factors: &[f32; MAX_GROUP], i: usize) -> f32 {
    let [a, b, c] = *factors;
    match i {
        0 => b * c,
        1 => a * c,
        _ => a * b,
    }
}

/// The product of all factors but two.
#[inline(always)]
fn without_two(factors: &[f32; MAX_GROUP], i: usize, k: usize) -> f32 {
    factors[MAX_GROUP - i - k]
}
