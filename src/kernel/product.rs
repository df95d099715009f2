//! Products of the latent grid's levels, feature by feature: `z = Π_i u_i` of groups of levels in succession, with
//! tangents `ż = Σ_i u̇_i Π_{k≠i} u_k` and the adjoint (TensoRF, Chen et al. 2022, eq. 6).

use nstr_spec::{LatentSpec, MAX_GROUP};

use crate::mlp::{MatrixView, TILE};

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

    /// Products of `u` into `z`, for `planes` blocks of rows.
    ///
    /// # Safety
    /// `u` must have [`Self::inputs`] columns, `z` groups × features, both [`TILE`] rows a plane.
    #[inline(always)]
    pub unsafe fn forward(&self, u: MatrixView, z: MatrixView, planes: usize) {
        // SAFETY: the same promise; columns end at `features`.
        unsafe {
            self.each(|place, wide| match (self.group, wide) {
                (2, true) => self.multiply::<2, WIDE>(u, z, planes, place),
                (2, false) => self.multiply::<2, 1>(u, z, planes, place),
                (_, true) => self.multiply::<3, WIDE>(u, z, planes, place),
                (_, false) => self.multiply::<3, 1>(u, z, planes, place),
            });
        }
    }

    /// Adjoint of [`Self::forward`]: writes `du` from `dz`, laid out like `u` and `z`.
    ///
    /// # Safety
    /// As for [`Self::forward`].
    #[inline(always)]
    pub unsafe fn backward(&self, u: MatrixView, dz: MatrixView, du: MatrixView, planes: usize) {
        // SAFETY: as in `forward`.
        unsafe {
            self.each(|place, wide| match (self.group, wide) {
                (2, true) => self.spread::<2, WIDE>(u, dz, du, planes, place),
                (2, false) => self.spread::<2, 1>(u, dz, du, planes, place),
                (_, true) => self.spread::<3, WIDE>(u, dz, du, planes, place),
                (_, false) => self.spread::<3, 1>(u, dz, du, planes, place),
            });
        }
    }

    /// Calls `work` for every point of a tile, group and run of features: [`WIDE`] at once, the rest one by one.
    #[inline(always)]
    fn each(&self, mut work: impl FnMut(Place, bool)) {
        for p in 0..TILE {
            for g in 0..self.groups {
                let whole = self.features / WIDE * WIDE;
                (0..whole).step_by(WIDE).for_each(|f| work(Place { p, g, f }, true));
                (whole..self.features).for_each(|f| work(Place { p, g, f }, false));
            }
        }
    }

    /// `W` features of level `i` of a group at row `r` of `u`.
    ///
    /// # Safety
    /// As for [`Self::forward`]; the features must end at `features`.
    #[inline(always)]
    unsafe fn level<const G: usize, const W: usize>(
        &self,
        u: MatrixView,
        r: usize,
        at: Place,
        i: usize,
    ) -> *mut [f32; W] {
        // SAFETY: promised by the caller; the column is below `inputs`.
        unsafe { u.ptr.add(r * u.row + (at.g * G + i) * self.features + at.f).cast() }
    }

    /// # Safety
    /// As for [`Self::level`].
    #[inline(always)]
    unsafe fn levels<const G: usize, const W: usize>(&self, u: MatrixView, r: usize, at: Place) -> [[f32; W]; G] {
        // SAFETY: promised by the caller.
        std::array::from_fn(|i| unsafe { self.level::<G, W>(u, r, at, i).read_unaligned() })
    }

    /// `W` products at row `r` of `z`.
    ///
    /// # Safety
    /// As for [`Self::level`].
    #[inline(always)]
    unsafe fn products<const W: usize>(&self, z: MatrixView, r: usize, at: Place) -> *mut [f32; W] {
        // SAFETY: promised by the caller; the column is below groups × features.
        unsafe { z.ptr.add(r * z.row + at.g * self.features + at.f).cast() }
    }

    /// # Safety
    /// As for [`Self::level`].
    #[inline(always)]
    unsafe fn multiply<const G: usize, const W: usize>(&self, u: MatrixView, z: MatrixView, planes: usize, at: Place) {
        // SAFETY: promised by the caller.
        unsafe {
            let value = self.levels::<G, W>(u, at.p, at);
            let rest = rests(&value);
            self.products(z, at.p, at).write_unaligned(std::array::from_fn::<_, W, _>(|w| value[0][w] * rest[0][w]));
            for plane in 1..planes {
                let r = plane * TILE + at.p;
                let slope = self.levels::<G, W>(u, r, at);
                let mut sum = [0.0; W];
                for (s, rest) in slope.iter().zip(&rest) {
                    (0..W).for_each(|w| sum[w] += s[w] * rest[w]);
                }
                self.products(z, r, at).write_unaligned(sum);
            }
        }
    }

    /// # Safety
    /// As for [`Self::level`].
    #[inline(always)]
    unsafe fn spread<const G: usize, const W: usize>(
        &self,
        u: MatrixView,
        dz: MatrixView,
        du: MatrixView,
        planes: usize,
        at: Place,
    ) {
        // SAFETY: promised by the caller.
        unsafe {
            let value = self.levels::<G, W>(u, at.p, at);
            let rest = rests(&value);
            let d = self.products::<W>(dz, at.p, at).read_unaligned();
            let times = |d: &[f32; W], rest: &[f32; W]| -> [f32; W] { std::array::from_fn(|w| d[w] * rest[w]) };
            let mut sums: [[f32; W]; G] = std::array::from_fn(|i| times(&d, &rest[i]));
            for plane in 1..planes {
                let r = plane * TILE + at.p;
                let (d, slope) = (self.products::<W>(dz, r, at).read_unaligned(), self.levels::<G, W>(u, r, at));
                for i in 0..G {
                    self.level::<G, W>(du, r, at, i).write_unaligned(times(&d, &rest[i]));
                    for k in (0..G).filter(|k| *k != i) {
                        // What is left of three factors without two; of two nothing is.
                        let third = if G == MAX_GROUP { value[MAX_GROUP - i - k] } else { [1.0; W] };
                        (0..W).for_each(|w| sums[i][w] += d[w] * slope[k][w] * third[w]);
                    }
                }
            }
            for (i, sum) in sums.iter().enumerate() {
                self.level::<G, W>(du, at.p, at, i).write_unaligned(*sum);
            }
        }
    }
}

/// Features that are worked on at once.
const WIDE: usize = 8;

/// Start of a run of features: point, group, feature.
#[derive(Clone, Copy)]
struct Place {
    p: usize,
    g: usize,
    f: usize,
}

/// For each factor the product of the others.
#[inline(always)]
fn rests<const G: usize, const W: usize>(value: &[[f32; W]; G]) -> [[f32; W]; G] {
    std::array::from_fn(|i| {
        let mut product = [1.0; W];
        for (_, other) in value.iter().enumerate().filter(|(k, _)| *k != i) {
            (0..W).for_each(|w| product[w] *= other[w]);
        }
        product
    })
}
