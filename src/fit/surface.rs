//! Surfaces from rays: a radiance field whose density follows a signed distance (VolSDF, Yariv et al. 2021).
//!
//! The distance begins as that of a ball ([`first_shape`](crate::first_shape)), so that inside and outside are told apart everywhere.
//! The sharpness of the density
//! grows with the budget spent, by a power of it as in BakedSDF (Yariv et al. 2023, eq. 4), from a fog that all rays meet to
//! the sharpness of the field's [`DensityLaw`]. The eikonal term (`train.lambda_eikonal`) keeps the value a distance.

use glam::Vec3;
use nstr_kernel::Density;
use nstr_space::SceneMap;
use nstr_spec::config::ConfigError;
use nstr_spec::{DensityLaw, FieldSpec};
use serde::{Deserialize, Serialize};

use crate::check::{check, check_below_one};
use crate::coarse_to_fine::grid_weights;
use crate::first_shape::write_shape;

/// Start of a surface and growth of its sharpness; `--set surface.key=value` reaches each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurfaceConfig {
    /// Radius of the ball that the first shape is, in edges of the scene's cube.
    pub radius: f32,
    /// Sharpness of the density at first.
    pub start: f32,
    /// Exponent of the fraction of the budget spent by which the sharpness grows.
    pub exponent: f64,
    /// Fraction of the budget from which on the sharpness is the field's own.
    pub end: f64,
    /// Fraction of the budget over which the latent levels come in, from coarse to fine; 0: all are there from the start.
    pub coarse: f64,
}

impl Default for SurfaceConfig {
    fn default() -> Self {
        Self { radius: 0.4, start: 20.0, exponent: 2.0, end: 0.9, coarse: 0.0 }
    }
}

impl SurfaceConfig {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let radius = f64::from(self.radius);
        check("surface.radius", radius, (0.01..=0.5).contains(&radius), "must be 0.01 to 0.5 of the cube's edge")?;
        let start = f64::from(self.start);
        check("surface.start", start, (1.0..=1e5).contains(&start), "must be 1 to 100000")?;
        check("surface.exponent", self.exponent, (0.1..=10.0).contains(&self.exponent), "must be 0.1 to 10")?;
        check("surface.end", self.end, self.end > 0.0 && self.end <= 1.0, "must be above 0 and at most 1")?;
        check_below_one(&[("surface.coarse", self.coarse)])
    }

    /// The density after a fraction of the budget; of other laws than that of a distance the law itself.
    pub fn density(&self, law: DensityLaw, progress: f64) -> Density {
        let Some(last) = law.sharpness() else { return law.into() };
        let (start, last) = (f64::from(self.start).min(f64::from(last)), f64::from(last));
        let grown = (progress / self.end).clamp(0.0, 1.0).powf(self.exponent);
        Density::SignedDistance { sharpness: (start + (last - start) * grown) as f32 }
    }

    /// Weight of each number of a field's latent grid after a fraction of the budget, while levels are still coming in; `None` where
    /// all are there, and for other densities than that of a distance.
    pub fn level_weights(&self, spec: &FieldSpec, progress: f64) -> Option<Vec<f32>> {
        if !spec.density_law().is_exponential() && progress < self.coarse {
            grid_weights(spec, progress / self.coarse)
        } else {
            None
        }
    }

    /// The law of [`Self::density`], its sharpness a whole number.
    pub fn law(&self, law: DensityLaw, progress: f64) -> DensityLaw {
        match self.density(law, progress) {
            Density::Exponential => DensityLaw::Exponential,
            Density::SignedDistance { sharpness } => DensityLaw::SignedDistance((sharpness.round() as u32).max(1)),
        }
    }

    /// Makes the initial values of a field those of its first shape, where its density follows a distance: a ball in the middle of the
    /// scene, and in maps that reach to infinity what lies behind everything.
    ///
    /// What silhouettes leave is no better start: it was tried, and surfaces came out rougher (docs/results.md).
    pub(crate) fn begin(&self, spec: &FieldSpec, map: &SceneMap, grid: &mut [f32], net: &mut [f32]) {
        if !spec.density_law().is_exponential() {
            write_shape(spec, grid, net, |p| self.first_distance(map, p));
        }
    }

    fn first_distance(&self, map: &SceneMap, p: Vec3) -> f32 {
        // The scene's cube is the middle half of an open map.
        let edge = if map.is_box() { 1.0 } else { 0.5 };
        let from_middle = p.distance(Vec3::splat(0.5));
        let ball = from_middle - self.radius * edge;
        if map.is_box() { ball } else { ball.min(BACKDROP - from_middle) }
    }
}

/// Distance from the middle of an open map's unit cube to its first backdrop.
const BACKDROP: f32 = 0.48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharpness_grows_to_that_of_the_law() {
        let config = SurfaceConfig::default();
        let at = |progress| match config.density(DensityLaw::SignedDistance(500), progress) {
            Density::SignedDistance { sharpness } => sharpness,
            Density::Exponential => panic!("the law is that of a distance"),
        };
        assert_eq!((at(0.0), at(0.9), at(1.0)), (20.0, 500.0, 500.0));
        assert!(at(0.1) > at(0.05) && at(0.45) < 200.0);
        assert_eq!(config.density(DensityLaw::Exponential, 0.3), Density::Exponential);
        // A law that is softer than the start is kept from the start on.
        assert_eq!(config.density(DensityLaw::SignedDistance(5), 0.0), Density::SignedDistance { sharpness: 5.0 });
    }

    #[test]
    fn the_first_shape_is_a_ball_before_a_backdrop() {
        let config = SurfaceConfig::default();
        let at = |map: SceneMap, r: f32| config.first_distance(&map, Vec3::new(0.5 + r, 0.5, 0.5));
        assert_eq!([0.0, 0.4, 0.5].map(|r| at(SceneMap::default(), r) <= 1e-6), [true, true, false]);
        let open = SceneMap::Open(nstr_space::Cube::default());
        assert_eq!([0.0, 0.19, 0.25, 0.47, 0.49].map(|r| at(open, r) < 0.0), [true, true, false, false, true]);
    }
}
