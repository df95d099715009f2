//! Matter near the cameras of a capture: floaters that a view hardly shows from its own place, and others show plainly.
//!
//! Of each view the opacity of what its rays meet up to a fraction of the *view's depth* is taken, and the mean over rays and
//! views is the measure: 0 where nothing hangs before the cameras, 1 where all of them look at fog. The depth of a view is the
//! median of its rays' expected depths, each with the ray's opacity as its weight, so that neither an empty background nor a
//! floater over a small part of the picture moves it.

use nstr_camera::{CameraError, CameraModel};
use nstr_capture::LensCamera;
use nstr_render::volume::{ViewPixels, VolumeRenderer};
use nstr_space::Ray;
use rayon::prelude::*;

use crate::eval::views::ViewEvalError;

/// Rays that are cast through a view, about.
const RAYS: f64 = 2048.0;

/// Every `stride`-th pixel of a camera's image along each axis.
struct SparseCamera<'a> {
    camera: &'a LensCamera,
    stride: u32,
}

impl<'a> SparseCamera<'a> {
    /// About [`RAYS`] pixels.
    fn new(camera: &'a LensCamera) -> Self {
        let (width, height) = camera.size();
        let pixels = f64::from(width) * f64::from(height);
        let stride = ((pixels / RAYS).sqrt().round() as u32).clamp(1, width.min(height).max(1));
        Self { camera, stride }
    }
}

impl CameraModel for SparseCamera<'_> {
    fn size(&self) -> (u32, u32) {
        let (width, height) = self.camera.size();
        (width / self.stride, height / self.stride)
    }

    fn ray(&self, x: f64, y: f64) -> Ray {
        let place = |at: f64| (at - 0.5) * f64::from(self.stride) + f64::from(self.stride / 2) + 0.5;
        self.camera.ray(place(x), place(y))
    }

    fn check(&self) -> Result<(), CameraError> {
        self.camera.check()
    }
}

/// Mean over cameras and rays of the opacity within `fraction` of each view's depth, 0 to 1; 0 without cameras. Pixels of
/// all parts of the images count, those that masks leave out too.
///
/// # Errors
/// [`ViewEvalError::Camera`] for cameras that cannot be rendered.
pub fn near_camera_opacity(
    renderer: &VolumeRenderer<'_>,
    cameras: &[LensCamera],
    fraction: f64,
) -> Result<f64, ViewEvalError> {
    let of_camera = |(number, camera): (usize, &LensCamera)| -> Result<f64, ViewEvalError> {
        let failed = |source| ViewEvalError::Camera { number: number + 1, source };
        let sparse = SparseCamera::new(camera);
        let pixels = renderer.pixels(&sparse, None).map_err(failed)?;
        let Some(depth) = view_depth(&pixels) else { return Ok(0.0) };
        let near = renderer.opacity_within(&sparse, fraction * depth).map_err(failed)?;
        Ok(near.iter().map(|opacity| f64::from(*opacity)).sum::<f64>() / near.len().max(1) as f64)
    };
    // A view's rays are few: views are what there is to share among threads.
    let each: Vec<f64> = cameras.par_iter().enumerate().map(of_camera).collect::<Result<_, ViewEvalError>>()?;
    Ok(each.iter().sum::<f64>() / each.len().max(1) as f64)
}

/// Median of the expected depths, weighted by opacity; `None` where all rays miss.
fn view_depth(pixels: &ViewPixels) -> Option<f64> {
    let pairs = pixels.depth.iter().copied().zip(pixels.opacity.iter().copied());
    let mut hits: Vec<(f32, f32)> = pairs.filter(|(depth, _)| depth.is_finite()).collect();
    hits.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let half = 0.5 * hits.iter().map(|(_, opacity)| f64::from(*opacity)).sum::<f64>();
    let mut sum = 0.0;
    let is_middle = |(_, opacity): &&(f32, f32)| {
        sum += f64::from(*opacity);
        sum >= half
    };
    hits.iter().find(is_middle).map(|(depth, _)| f64::from(*depth))
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::{DMat4, DVec3, Vec3};
    use nstr_camera::Camera;
    use nstr_capture::Lens;
    use nstr_render::VolumeSettings;
    use nstr_space::{AnalyticRadiance, Cube, Occupancy, SceneMap};

    const SETTINGS: VolumeSettings =
        VolumeSettings { step: 1.0 / 1024.0, cone: 0.0, near: 0.0, min_transmittance: 1e-4, tile: 64 };
    /// Distance of a wall from the cameras, world units; floaters lie before a tenth of it.
    const WALL: f64 = 4.0;

    /// Cameras at heights of −0.1 and 0.1 that look along −z, with a field of view of 20°.
    fn cameras() -> Vec<LensCamera> {
        let camera = |y: f64| {
            let pose = DMat4::from_translation(DVec3::new(0.0, y, 2.25));
            LensCamera { camera: Camera::with_fov_y(400, 304, 20.0, pose).unwrap(), lens: Lens::Pinhole }
        };
        vec![camera(-0.1), camera(0.1)]
    }

    /// Density a world unit of a wall at a distance of [`WALL`] from the cameras, and where `floater` asks for it of a slab
    /// from 0.15 to 0.35 before them with an optical depth of 0.5, in the upper right of the first camera's picture alone.
    fn world(at: DVec3, floater: bool) -> f32 {
        let depth = 2.25 - at.z;
        if depth >= WALL {
            return 200.0;
        }
        // At that depth the picture reaches 0.062 up and down.
        let is_floater = floater && (0.15..0.35).contains(&depth) && at.x >= 0.0 && at.y >= -0.1 && at.y < 0.0;
        if is_floater { 2.5 } else { 0.0 }
    }

    fn measured(map: SceneMap, floater: bool, fraction: f64) -> f64 {
        let scale = |unit: Vec3| map.length_scale_at(unit.as_dvec3()) as f32;
        let density = |p: Vec3| map.to_world(p.as_dvec3()).map_or(0.0, |at| world(at, floater) * scale(p));
        let field = AnalyticRadiance::new(Occupancy::full(16), |p: Vec3, _: Vec3| [0.5, 0.5, 0.5, density(p)]);
        let renderer = VolumeRenderer::new(&field, map, SETTINGS).unwrap();
        near_camera_opacity(&renderer, &cameras(), fraction).unwrap()
    }

    #[test]
    fn a_floater_before_a_camera_is_measured_and_a_wall_is_not() {
        let cube = Cube { origin: DVec3::splat(-2.5), size: 5.0 };
        for map in [SceneMap::Box(cube), SceneMap::Open(cube)] {
            assert_eq!(measured(map, false, 0.1), 0.0, "{}", map.name());
            // A quarter of one camera's rays of two meet it, on a path longer by 1.4 % in the mean.
            let want = 0.125 * (1.0 - (-0.5f64).exp());
            let found = measured(map, true, 0.1);
            assert!((found - want).abs() < 0.03 * want, "{}: {found} for {want}", map.name());
            // It begins beyond a thirtieth of the depth, 4.
            assert_eq!(measured(map, true, 0.033), 0.0, "{}", map.name());
            // All within the whole depth and more: the wall too.
            assert!((measured(map, true, 1.5) - 1.0).abs() < 1e-3, "{}", map.name());
        }
    }

    #[test]
    fn nothing_has_no_depth_and_nothing_near() {
        let field = AnalyticRadiance::new(Occupancy::full(16), |_: Vec3, _: Vec3| [0.0; 4]);
        let cube = Cube { origin: DVec3::splat(-2.5), size: 5.0 };
        let renderer = VolumeRenderer::new(&field, cube, SETTINGS).unwrap();
        assert_eq!(near_camera_opacity(&renderer, &cameras(), 0.1).unwrap(), 0.0);
        assert_eq!(near_camera_opacity(&renderer, &[], 0.1).unwrap(), 0.0);
    }

    #[test]
    fn the_depth_is_a_median_by_opacity() {
        let depth = |pairs: &[(f32, f32)]| {
            let (depth, opacity) = pairs.iter().copied().unzip();
            view_depth(&ViewPixels { colours: Vec::new(), opacity, depth })
        };
        assert_eq!(depth(&[(3.0, 1.0), (1.0, 1.0), (2.0, 1.0)]), Some(2.0));
        // A faint mist before much of a picture does not count for more than what it stops.
        assert_eq!(depth(&[(0.1, 0.1), (0.1, 0.1), (0.1, 0.1), (5.0, 1.0)]), Some(5.0));
        assert_eq!(depth(&[(f32::INFINITY, 0.0), (4.0, 0.5), (f32::INFINITY, 0.0)]), Some(4.0));
        assert_eq!(depth(&[(f32::INFINITY, 0.0)]), None);
    }

    #[test]
    fn every_few_pixels_of_an_image_are_cast() {
        let camera = cameras()[0];
        let sparse = SparseCamera::new(&camera);
        assert_eq!((sparse.stride, sparse.size()), (8, (50, 38)));
        // The centre of the pixel in the middle of a stride.
        assert_eq!(sparse.ray(0.5, 1.5), camera.ray(4.5, 12.5));
    }
}
