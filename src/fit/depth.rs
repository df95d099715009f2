//! Supervision by depths that a capture knows: what is compared, and the pixels that are drawn for it.
//!
//! Maps of depth cameras know nearly every pixel, so rays are drawn as ever. The points of structure from motion lie at one pixel
//! in a thousand: a share of the rays goes through those (Deng et al. 2022 draw them likewise).

use nstr_capture::{DepthMap, View};
use nstr_kernel::DepthLoss;
use nstr_spec::config::ConfigError;
use serde::{Deserialize, Serialize};

use crate::check::{check, check_below_one, check_not_negative};
use crate::rays::RayPixel;

/// Supervision by depths; `--set depth.key=value` reaches each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthConfig {
    /// Weight of the term beside the colours' loss where views have depth maps; 0: they are left out.
    pub weight: f64,
    /// Weight where only points of known depth are known, which few rays meet; 0: they are left out.
    pub point_weight: f64,
    /// Error in edges of the unit cube below which the term is quadratic, beyond which it is linear.
    pub tolerance: f64,
    /// Share of the rays that go through pixels of known depth where only single pixels have one, 0 to below 1.
    pub share: f64,
    /// Fraction of the budget after which the term has faded out, 0 to 1; from the start it falls evenly. Above 1, where it never does:
    /// its weight stays.
    pub end: f64,
}

impl Default for DepthConfig {
    fn default() -> Self {
        Self { weight: 0.05, point_weight: 1.0, tolerance: 0.005, share: 0.1, end: 2.0 }
    }
}

impl DepthConfig {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_not_negative(&[("depth.weight", self.weight), ("depth.point_weight", self.point_weight)])?;
        let tolerance = (1e-6..=1.0).contains(&self.tolerance);
        check("depth.tolerance", self.tolerance, tolerance, "must be 0.000001 to 1 of the unit cube's edge")?;
        check_below_one(&[("depth.share", self.share)])?;
        check("depth.end", self.end, self.end > 0.0, "must be above 0")
    }

    /// The comparison with depth maps, or with single points, after a fraction of the budget; `None` where there is none any more.
    fn loss(&self, is_of_points: bool, progress: f64) -> Option<DepthLoss> {
        let whole = if is_of_points { self.point_weight } else { self.weight };
        let factor = if self.end > 1.0 { 1.0 } else { (1.0 - progress / self.end).max(0.0) };
        let weight = (whole * factor) as f32;
        (weight > 0.0).then_some(DepthLoss { weight, tolerance: self.tolerance as f32 })
    }
}

/// Depths of the pixels of some views.
pub(crate) struct KnownDepths {
    /// Of all views, the pixels of single known depths.
    single: Vec<RayPixel>,
    config: DepthConfig,
}

impl KnownDepths {
    /// The depths of `views`; `None` where there are none, or they are not used.
    pub fn new(views: &[View], config: &DepthConfig) -> Option<Self> {
        let knows = |view: &View| view.depth.is_some();
        let is_of_points = views.iter().any(|view| matches!(view.depth, Some(DepthMap::Sparse(_))));
        if config.loss(is_of_points, 0.0).is_none() || !views.iter().any(knows) {
            return None;
        }
        let mut single = Vec::new();
        for (number, view) in views.iter().enumerate() {
            if let Some(DepthMap::Sparse(depths)) = &view.depth {
                let usable = depths.iter().filter(|d| view.usable(d.0 as usize));
                single.extend(usable.map(|d| RayPixel { view: number as u32, index: d.0 }));
            }
        }
        Some(Self { single, config: config.clone() })
    }

    /// `true` where only single pixels have depths.
    pub fn is_of_points(&self) -> bool {
        !self.single.is_empty()
    }

    /// The comparison after a fraction of the budget; `None` where there is none any more.
    pub fn loss(&self, progress: f64) -> Option<DepthLoss> {
        self.config.loss(self.is_of_points(), progress)
    }

    /// A pixel of known depth for a ray that drew `lot` from 0 to 1; `None` for rays through any pixel.
    pub fn pixel(&self, lot: f64) -> Option<RayPixel> {
        let share = self.config.share;
        if self.single.is_empty() || lot >= share {
            return None;
        }
        let at = (lot / share * self.single.len() as f64) as usize;
        self.single.get(at).copied()
    }

    /// World distance along the ray of a pixel to what its depth says; `cosine` is that of the ray and the optical axis.
    pub fn distance(view: &View, index: usize, cosine: f64) -> Option<f64> {
        let width = view.image.width;
        let pixel = (index as u32 % width, index as u32 / width);
        let depth = view.depth.as_ref()?.at(pixel, (width, view.image.height))?;
        Some(f64::from(depth) / cosine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::DMat4;
    use nstr_camera::Camera;
    use nstr_capture::{Image, Lens};

    fn view(depth: Option<DepthMap>, mask: Option<Vec<bool>>) -> View {
        let camera = Camera::with_fov_y(4, 4, 60.0, DMat4::IDENTITY).unwrap();
        let image = Image { width: 4, height: 4, pixels: vec![[9, 9, 9, 255]; 16] };
        View { name: String::new(), camera, lens: Lens::Pinhole, image, mask, depth }
    }

    #[test]
    fn a_share_of_the_rays_goes_through_single_depths_that_no_mask_leaves_out() {
        let depths = DepthMap::Sparse(vec![(1, 2.0), (6, 3.0), (9, 4.0)]);
        let mask = (0..16).map(|i| i != 6).collect();
        let views = [view(None, None), view(Some(depths), Some(mask))];
        let config = DepthConfig { share: 0.5, ..DepthConfig::default() };
        let known = KnownDepths::new(&views, &config).unwrap();
        let of = |index| Some(RayPixel { view: 1, index });
        let lots = [0.0, 0.2, 0.25, 0.49, 0.5, 0.99];
        assert_eq!(lots.map(|lot| known.pixel(lot)), [of(1), of(1), of(9), of(9), None, None]);
        // A depth of 4 along the axis is farther along a ray to the side.
        assert_eq!(KnownDepths::distance(&views[1], 9, 0.8), Some(5.0));
        assert_eq!(KnownDepths::distance(&views[1], 8, 0.8), None);
        assert_eq!(KnownDepths::distance(&views[0], 9, 0.8), None);
        assert!(KnownDepths::new(&views[..1], &config).is_none());
        // Points have a weight of their own.
        let kept = DepthConfig { weight: 0.0, ..config.clone() };
        assert!(KnownDepths::new(&views, &kept).is_some_and(|known| known.is_of_points()));
        assert!(KnownDepths::new(&views, &DepthConfig { point_weight: 0.0, ..config }).is_none());
    }

    #[test]
    fn the_weight_fades_only_where_an_end_is_set() {
        let usual = DepthConfig::default();
        let weight = |config: &DepthConfig, progress| config.loss(false, progress).map(|loss| loss.weight);
        assert_eq!(usual.loss(true, 0.5).map(|loss| loss.weight), Some(1.0));
        assert_eq!(weight(&usual, 0.0), weight(&usual, 1.0));
        let fading = DepthConfig { weight: 1.0, end: 0.5, ..usual };
        assert_eq!([0.0, 0.25, 0.5, 1.0].map(|p| weight(&fading, p)), [Some(1.0), Some(0.5), None, None]);
    }
}
