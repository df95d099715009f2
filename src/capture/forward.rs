//! The frustum of cameras that look the same way, as forward-facing captures have them.

use std::collections::HashMap;

use glam::{DMat3, DVec2, DVec3};
use nstr_space::Frustum;

use crate::scene::nearest_quantile;
use crate::view::View;

/// Least length of the mean viewing direction.
pub(super) const SAME_WAY: f64 = 0.9;
/// Near plane over the least depth.
const NEAR: f64 = 0.9;
/// Fraction of the points that may lie before the near plane.
const NEAREST_POINTS: f64 = 0.01;
/// Width added to each side of the frustum's bounds, of their extent.
const MARGIN: f64 = 0.02;
/// Least cosine of a ray to the mean axis: 84°.
const MIN_COSINE: f64 = 0.1;
/// Least length of the mean downward axis, across the mean viewing direction.
const MIN_COMMON_UP: f64 = 0.1;
/// Fewest points that tell where the scene begins.
const MIN_POINTS: usize = 16;

/// Knowledge of where the scene begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum NearestDepth<'a> {
    /// Distance of the near plane from the foremost camera, along the mean axis.
    Given(f64),
    /// Least depths of views, by the view's name: bounds along its own axis.
    Bounds(&'a [(String, f64, f64)]),
    /// Points on surfaces.
    Points(&'a [DVec3]),
}

/// The frustum that holds all that the views see beyond the near plane: its apex at the cameras' mean position, moved along their
/// mean axis to the foremost camera.
///
/// # Errors
/// The reason why there is none: cameras that look different ways or stand in front of the near plane, no known depth.
pub(super) fn frustum(views: &[View], nearest: NearestDepth<'_>) -> Result<Frustum, String> {
    let count = views.len().max(1) as f64;
    let mean = |of: &dyn Fn(&View) -> DVec3| views.iter().map(of).sum::<DVec3>() / count;
    let forward = mean(&View::forward);
    if forward.is_nan() || forward.length() <= SAME_WAY {
        return Err("the cameras do not look the same way".into());
    }
    let (middle, ahead) = (mean(&|v| v.camera.position()), forward.normalize());
    // No camera stands ahead of the eye: the near plane is as far from the foremost one.
    let foremost = views.iter().map(|v| ahead.dot(v.camera.position() - middle)).fold(f64::NEG_INFINITY, f64::max);
    let eye = middle + ahead * foremost;
    let down = mean(&|v| -v.camera.axes()[1]).reject_from_normalized(ahead);
    if down.is_nan() || down.length() <= MIN_COMMON_UP {
        return Err("the cameras have no common upward axis".into());
    }
    let down = down.normalize();
    let axes = DMat3::from_cols(down.cross(ahead), down, ahead);
    let depth = |world: DVec3| ahead.dot(world - eye);
    let near = match nearest {
        NearestDepth::Given(near) => near,
        NearestDepth::Bounds(bounds) => {
            let of_name: HashMap<&str, f64> = bounds.iter().rev().map(|b| (b.0.as_str(), b.1)).collect();
            let nearest = |v: &View| Some(depth(v.camera.position() + v.forward() * of_name.get(v.name.as_str())?));
            NEAR * views.iter().filter_map(nearest).fold(f64::INFINITY, f64::min)
        }
        NearestDepth::Points(points) => {
            let mut depths: Vec<f64> = points.iter().map(|p| depth(*p)).collect();
            if depths.len() < MIN_POINTS {
                return Err("no depth bounds or points tell where the scene begins; give it with --near".into());
            }
            NEAR * nearest_quantile(&mut depths, NEAREST_POINTS).unwrap_or(f64::NAN)
        }
    };
    if !(near > 0.0 && near.is_finite()) {
        return Err("the nearest parts of the scene do not lie before all cameras".into());
    }
    let (mut low, mut high) = (DVec2::INFINITY, DVec2::NEG_INFINITY);
    for view in views {
        let (w, h) = (f64::from(view.camera.width), f64::from(view.camera.height));
        let p = axes.transpose() * (view.camera.position() - eye);
        // Where a lens bends the borders outwards their middles reach furthest.
        for (x, y) in (0..9).filter(|i| *i != 4).map(|i| (f64::from(i % 3) * 0.5 * w, f64::from(i / 3) * 0.5 * h)) {
            let d = axes.transpose() * view.ray(x, y).direction;
            if d.is_nan() || d.z <= MIN_COSINE {
                return Err("a view looks too far to the side".into());
            }
            // Between the near plane and infinity x/z and y/z only rise or fall.
            let start = p + d * ((near - p.z) / d.z);
            for slope in [start.truncate() / near, d.truncate() / d.z] {
                (low, high) = (low.min(slope), high.max(slope));
            }
        }
    }
    let margin = (high - low) * MARGIN;
    let frustum = Frustum { eye, axes, low: low - margin, high: high + margin, near };
    if frustum.is_valid() { Ok(frustum) } else { Err("the cameras make no frustum".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ball_views;
    use glam::DMat4;
    use nstr_camera::camera::Camera;
    use nstr_space::SceneMap;

    /// Cameras on a grid in a plane, turned by a few degrees towards a point far ahead along y.
    fn row() -> Vec<View> {
        let at = |i: usize| DVec3::new((i % 4) as f64 * 0.3, (i % 3) as f64 * 0.05, (i / 4) as f64 * 0.3);
        let pose = |i: usize| Camera::look_at(at(i), DVec3::new(0.45, 12.0, 0.2), DVec3::Z);
        let poses: Vec<DMat4> = (0..12).map(|i| pose(i).unwrap()).collect();
        ball_views(&poses, 16, DVec3::new(0.45, 6.0, 0.2), 1.0)
    }

    #[test]
    fn the_frustum_holds_all_that_the_views_see() {
        let views = row();
        let bounds: Vec<(String, f64, f64)> = views.iter().map(|v| (v.name.clone(), 4.0, 60.0)).collect();
        let points: Vec<DVec3> = (0..400).map(|i| DVec3::new(0.0, 4.0 + 0.1 * f64::from(i), 0.3)).collect();
        for nearest in [NearestDepth::Bounds(&bounds), NearestDepth::Points(&points), NearestDepth::Given(3.5)] {
            let found = frustum(&views, nearest).unwrap();
            assert!(found.near > 3.3 && found.near < 4.2, "{}", found.near);
            let map = SceneMap::Forward(found);
            for view in &views {
                for (x, y) in [(0.0, 0.0), (16.0, 0.0), (0.0, 16.0), (16.0, 16.0), (7.0, 9.0)] {
                    let ray = view.ray(x, y);
                    for t in [4.6, 7.0, 30.0, 1e4] {
                        let unit = map.to_unit(ray.origin + ray.direction * t);
                        assert!(unit.cmpge(DVec3::ZERO).all() && unit.cmple(DVec3::ONE).all(), "{unit}");
                    }
                }
            }
        }
    }

    #[test]
    fn reasons_against_a_frustum() {
        let views = row();
        let reason = |views: &[View], nearest| frustum(views, nearest).unwrap_err();
        assert!(reason(&views, NearestDepth::Points(&[])).contains("--near"));
        assert!(reason(&views, NearestDepth::Given(f64::NAN)).contains("before all cameras"));
        let among: Vec<DVec3> = (0..400).map(|i| DVec3::new(0.0, -4.0 + 0.1 * f64::from(i), 0.3)).collect();
        assert!(reason(&views, NearestDepth::Points(&among)).contains("before all cameras"));
        assert!(reason(&[], NearestDepth::Given(1.0)).contains("same way"));
        let around = ball_views(&crate::testing::ring(9, 4.0, DVec3::ZERO), 8, DVec3::ZERO, 1.0);
        assert!(reason(&around, NearestDepth::Given(1.0)).contains("same way"));
    }
}
