//! Camera paths among the places that a capture was taken from, to look at a field from where it is known.

use std::fmt;
use std::str::FromStr;

use glam::DVec3;
use nstr_camera::{Camera, CameraError, CameraSpline, ForwardSpiral};
use nstr_files::excerpt;
use nstr_space::SceneMap;

use crate::forward::SAME_WAY;
use crate::scene::focus;
use crate::view::View;

/// Frames of a path unless others are asked for.
pub const PATH_FRAMES: usize = 120;
/// Distance of the point that a spiral looks at, in near distances of the frustum: NeRF's rendering paths take the depth whose
/// inverse is a quarter of the nearest's where the farthest is at infinity (Mildenhall et al. 2020).
const FOCUS: f64 = 4.0;

/// Kind of a path among a capture's cameras.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameraPathKind {
    /// A spiral about the mean camera where all look the same way ([`ForwardSpiral`]); else [`Self::Cameras`].
    Spiral,
    /// A smooth path through the cameras' places, turned as they were ([`CameraSpline`]).
    Cameras,
}

impl fmt::Display for CameraPathKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Spiral => "spiral",
            Self::Cameras => "cameras",
        })
    }
}

impl FromStr for CameraPathKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Spiral, Self::Cameras].into_iter().find(|kind| kind.to_string() == text);
        found.ok_or_else(|| format!("\"{}\" is not a path; expected spiral or cameras", excerpt(text)))
    }
}

/// Cameras of a path of `frames` images among those of `views`, and the kind that it is: a spiral needs cameras that look the
/// same way. Images have `size` pixels, or as many as the first view's; they are a pinhole's, without the views' lens.
///
/// `map` is the space that the field is defined on; a frustum tells how far ahead a spiral looks.
///
/// # Errors
/// No views, no frames, and cameras or sizes that cannot be rendered.
pub fn camera_path(
    views: &[View],
    map: &SceneMap,
    kind: CameraPathKind,
    frames: usize,
    size: Option<(u32, u32)>,
) -> Result<(Vec<Camera>, CameraPathKind), CameraError> {
    let cameras: Vec<Camera> = views.iter().map(|view| view.camera).collect();
    if kind == CameraPathKind::Spiral
        && let Some(focus) = focus_ahead(views, map)
    {
        let spiral = ForwardSpiral { frames, size, ..ForwardSpiral::new(focus) };
        return Ok((spiral.cameras(&cameras)?, CameraPathKind::Spiral));
    }
    let path = CameraSpline::through(&cameras, frames)?.cameras(frames, size)?;
    Ok((path, CameraPathKind::Cameras))
}

/// Distance that cameras which look the same way look at: of a frustum a multiple of its near distance, else to the point
/// nearest to all viewing axes, or to the middle of the space. `None` where they look different ways.
fn focus_ahead(views: &[View], map: &SceneMap) -> Option<f64> {
    let count = views.len().max(1) as f64;
    let forward = views.iter().map(View::forward).sum::<DVec3>() / count;
    if forward.is_nan() || forward.length() <= SAME_WAY {
        return None;
    }
    if let SceneMap::Forward(frustum) = map {
        return Some(FOCUS * frustum.near);
    }
    let middle = views.iter().map(|view| view.camera.position()).sum::<DVec3>() / count;
    let ahead = forward.normalize();
    let depth = |point: DVec3| Some(ahead.dot(point - middle)).filter(|depth| *depth > 0.0);
    focus(views).and_then(depth).or_else(|| depth(map.cube().centre()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ball_views, ring};
    use glam::{DMat3, DVec2};
    use nstr_space::{Cube, Frustum};

    /// 12 cameras on a grid in the plane y = 0 that look along +y, towards a point 8 ahead.
    fn same_way() -> Vec<View> {
        let at = |i: usize| DVec3::new((i % 4) as f64 * 0.4 - 0.6, 0.0, (i / 4) as f64 * 0.4 - 0.4);
        let poses: Vec<_> =
            (0..12).map(|i| Camera::look_at(at(i), DVec3::new(0.0, 8.0, 0.0), DVec3::Z).unwrap()).collect();
        ball_views(&poses, 16, DVec3::new(0.0, 8.0, 0.0), 1.0)
    }

    #[test]
    fn a_spiral_looks_where_the_cameras_do() {
        let views = same_way();
        let cube = SceneMap::Box(Cube { origin: DVec3::new(-4.0, 4.0, -4.0), size: 8.0 });
        let axes = DMat3::from_cols(DVec3::X, DVec3::NEG_Z, DVec3::Y);
        let frustum = Frustum { eye: DVec3::ZERO, axes, low: DVec2::splat(-1.0), high: DVec2::splat(1.0), near: 1.25 };
        // The viewing axes meet 8 ahead; 4 near distances of the frustum are 5.
        for (map, distance) in [(cube, 8.0), (SceneMap::Forward(frustum), 5.0)] {
            let (path, kind) = camera_path(&views, &map, CameraPathKind::Spiral, 60, None).unwrap();
            assert_eq!((path.len(), kind), (60, CameraPathKind::Spiral));
            for camera in &path {
                let seen = camera.project(DVec3::new(0.0, distance, 0.0)).unwrap();
                assert!((seen - camera.centre).length() < 1e-3, "{distance}: {seen}");
                // Among the cameras, and in their plane as these have no depth.
                let eye = camera.position();
                assert!(eye.x.abs() < 0.6 + 1e-6 && eye.y.abs() < 1e-6 && eye.z.abs() < 0.4 + 1e-6, "{eye}");
            }
        }
    }

    #[test]
    fn cameras_all_around_have_a_path_through_their_places() {
        let middle = DVec3::new(0.5, -0.2, 0.1);
        let views = ball_views(&ring(24, 4.0, middle), 16, middle, 1.0);
        let map = SceneMap::Box(Cube { origin: middle - 1.5, size: 3.0 });
        let (path, kind) = camera_path(&views, &map, CameraPathKind::Spiral, 240, Some((40, 30))).unwrap();
        assert_eq!((path.len(), kind), (240, CameraPathKind::Cameras), "no spiral");
        assert_eq!(
            camera_path(&views, &map, CameraPathKind::Cameras, 240, Some((40, 30))).unwrap(),
            (path.clone(), kind)
        );
        for view in &views {
            let near = path.iter().map(|c| c.position().distance(view.camera.position())).fold(f64::INFINITY, f64::min);
            assert!(near < 0.15, "passes {} at {near}", view.name);
        }
        let (low, high) = views.iter().fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(low, high), view| {
            (low.min(view.camera.position()), high.max(view.camera.position()))
        });
        for camera in &path {
            let eye = camera.position();
            assert!(eye.cmpge(low - 1e-9).all() && eye.cmple(high + 1e-9).all(), "{eye}");
            // Half-way between cameras it does not look quite at the middle.
            let seen = camera.project(middle).unwrap();
            assert!((seen - camera.centre).length() < 6.0, "looks at the scene: {seen}");
        }
    }

    #[test]
    fn names_and_errors() {
        assert_eq!("spiral".parse(), Ok(CameraPathKind::Spiral));
        assert!("orbit".parse::<CameraPathKind>().unwrap_err().contains("spiral or cameras"));
        let map = SceneMap::default();
        assert!(camera_path(&[], &map, CameraPathKind::Spiral, 9, None).is_err());
        assert!(camera_path(&same_way(), &map, CameraPathKind::Spiral, 0, None).is_err());
        assert!(camera_path(&same_way(), &map, CameraPathKind::Cameras, 0, None).is_err());
    }
}
