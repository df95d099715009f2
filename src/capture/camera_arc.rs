//! Estimate of the arc that a capture's cameras stand on, where they do not go all around its object.

use glam::DVec3;
use nstr_camera::CameraArc;

use crate::scene::{focus, nearest_quantile};
use crate::view::View;

/// Gap in degrees between neighbouring cameras around the object, from which on a capture does not go all around it.
const GAP: f64 = 100.0;
/// Fraction of the arc between the outermost cameras that paths take: at its very ends half of an image shows places
/// that one camera saw.
const INNER: f64 = 0.9;
/// Degrees to either side of the middlemost camera, where cameras look at no common point.
const SHORT: f64 = 10.0;
/// Sine of the roll, root mean square over the cameras, up to which they are level in a world whose z is up.
const ROLL: f64 = 0.2;
/// Cosine between z and the cameras' mean upward direction from which on they may look down in such a world; beyond, a
/// world with another axis upwards is likelier.
const UPRIGHT: f64 = 0.5;

/// The arc that the views' cameras stand on, where they leave a side of what they look at unseen; `None` where they go all
/// around, or look at no common point.
pub fn estimate_camera_arc(views: &[View]) -> Option<CameraArc> {
    arc_about(views, focus(views)?).filter(|arc| arc.reach < 180.0)
}

/// The arc of an open scene, which looks right from where its cameras were alone: as [`estimate_camera_arc`], all around
/// where cameras are, and a short arc about the middlemost camera where they look at no common point. `distance` is how far
/// that one looks, world units. `None` without views.
pub fn estimate_open_camera_arc(views: &[View], distance: f64) -> Option<CameraArc> {
    focus(views).and_then(|target| arc_about(views, target)).or_else(|| {
        let middle = views.iter().map(|v| v.camera.position()).sum::<DVec3>() / views.len() as f64;
        let off = |v: &View| v.camera.position().distance_squared(middle);
        let view = views.iter().min_by(|a, b| off(a).total_cmp(&off(b)))?;
        let (up, back) = (upwards(views)?, -view.forward());
        let front = (back - up * back.dot(up)).try_normalize()?;
        let target = view.camera.position() - back * distance;
        let elevation = back.dot(up).clamp(-1.0, 1.0).asin().to_degrees();
        Some(CameraArc { target, up, front, reach: SHORT, elevation, rise: 0.0, distance, fov: fov(view) })
            .filter(CameraArc::is_valid)
    })
}

/// The arc of cameras about a point; 180° to either side where they leave no side unseen.
fn arc_about(views: &[View], target: DVec3) -> Option<CameraArc> {
    let up = upwards(views)?;
    let out: Vec<DVec3> = views.iter().map(|v| v.camera.position() - target).collect();
    let flat = |v: &DVec3| (*v - up * v.dot(up)).try_normalize();
    let side = out.iter().find_map(flat)?;
    let across = up.cross(side);
    let mut azimuths: Vec<f64> = out.iter().filter_map(flat).map(|v| v.dot(across).atan2(v.dot(side))).collect();
    azimuths.sort_unstable_by(f64::total_cmp);
    let (first, span) = arc(&azimuths);
    let is_circle = 360.0 - span.to_degrees() < GAP;
    let (sin, cos) = (first + 0.5 * span).sin_cos();
    let median = |values: &[f64], q: f64| nearest_quantile(&mut values.to_vec(), q);
    let elevations: Vec<f64> =
        out.iter().filter_map(|v| Some(v.try_normalize()?.dot(up).asin().to_degrees())).collect();
    let distances: Vec<f64> = out.iter().map(|v| v.length()).collect();
    let fovs: Vec<f64> = views.iter().map(fov).collect();
    Some(CameraArc {
        target,
        up,
        front: side * cos + across * sin,
        reach: if is_circle { 180.0 } else { 0.5 * INNER * span.to_degrees() },
        elevation: median(&elevations, 0.5)?,
        rise: 0.5 * (median(&elevations, 0.9)? - median(&elevations, 0.1)?),
        distance: median(&distances, 0.5)?,
        fov: median(&fovs, 0.5)?,
    })
    .filter(|s| s.distance > 0.0)
}

/// Start and length in radians of the arc of ascending angles that leaves their largest gap out.
fn arc(azimuths: &[f64]) -> (f64, f64) {
    let turn = std::f64::consts::TAU;
    let n = azimuths.len();
    let gap = |i: usize| azimuths[(i + 1) % n] - azimuths[i] + if i + 1 == n { turn } else { 0.0 };
    let widest = (0..n).max_by(|a, b| gap(*a).total_cmp(&gap(*b))).unwrap_or(0);
    if n == 0 { (0.0, 0.0) } else { (azimuths[(widest + 1) % n], turn - gap(widest)) }
}

/// The world's z where the cameras are level in it, however far they look down; else their mean upward direction.
fn upwards(views: &[View]) -> Option<DVec3> {
    let mean = views.iter().map(|v| v.camera.axes()[1]).sum::<DVec3>().try_normalize()?;
    let roll = views.iter().map(|v| v.camera.axes()[0].z.powi(2)).sum::<f64>() / views.len() as f64;
    Some(if mean.z > UPRIGHT && roll.sqrt() < ROLL { DVec3::Z } else { mean })
}

/// Degrees across the diagonal.
fn fov(view: &View) -> f64 {
    let c = &view.camera;
    let half = (0.5 * f64::from(c.width) / c.focal.x).hypot(0.5 * f64::from(c.height) / c.focal.y);
    2.0 * half.atan().to_degrees()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ball_views, ring};
    use nstr_camera::camera::Camera;

    /// Views at `azimuths` (degrees, from x towards y) and elevations of −10°, 10° and 30° in turn.
    fn views(azimuths: &[f64], middle: DVec3) -> Vec<View> {
        let pose = |(i, azimuth): (usize, &f64)| {
            let (elevation, azimuth) = ((20.0 * (i % 3) as f64 - 10.0).to_radians(), azimuth.to_radians());
            let out = DVec3::new(azimuth.cos() * elevation.cos(), azimuth.sin() * elevation.cos(), elevation.sin());
            Camera::look_at(middle + out * 4.0, middle, DVec3::Z).unwrap()
        };
        let poses: Vec<_> = azimuths.iter().enumerate().map(pose).collect();
        ball_views(&poses, 8, middle, 1.0)
    }

    #[test]
    fn an_arc_across_the_cut_of_the_angles() {
        let middle = DVec3::new(1.0, -2.0, 0.5);
        let azimuths: Vec<f64> = (0..13).map(|i| 150.0 + 5.0 * i as f64).collect();
        let s = estimate_camera_arc(&views(&azimuths, middle)).unwrap();
        assert!((s.target - middle).length() < 1e-9 && s.up == DVec3::Z);
        assert!((s.front - DVec3::NEG_X).length() < 1e-6, "{}", s.front);
        assert!((s.reach - 27.0).abs() < 1e-6 && (s.distance - 4.0).abs() < 1e-9);
        assert!((s.elevation - 10.0).abs() < 1e-6 && (s.rise - 20.0).abs() < 1e-6, "{s:?}");
        // `ball_views` has a focal length of 1.4 sides.
        assert!((s.fov - 2.0 * (0.5f64.sqrt() / 1.4).atan().to_degrees()).abs() < 1e-9);
    }

    #[test]
    fn rings_and_panoramas_have_none() {
        let ring = ball_views(&ring(24, 4.0, DVec3::ZERO), 8, DVec3::ZERO, 1.0);
        assert_eq!(estimate_camera_arc(&ring), None);
        assert_eq!(estimate_camera_arc(&[]), None);
        assert_eq!(estimate_camera_arc(&ring[..1]), None, "one view has no common point");
    }

    #[test]
    fn open_scenes_are_looked_at_from_where_cameras_were() {
        let middle = DVec3::new(0.5, 0.0, 1.0);
        let views = ball_views(&ring(24, 4.0, middle), 8, middle, 1.0);
        let arc = estimate_open_camera_arc(&views, 2.0).unwrap();
        assert!(arc.reach == 180.0 && arc.is_valid() && (arc.target - middle).length() < 1e-9);
        assert!((arc.distance - 4.0).abs() < 1e-9, "as far as the cameras: {arc:?}");
        // All around: opposite cameras of a path stand on opposite sides.
        let path = arc.cameras(4, (8, 8), false).unwrap();
        let flat = |i: usize| (path[i].position() - middle) * DVec3::new(1.0, 1.0, 0.0);
        assert!((flat(0) + flat(2)).length() < 1e-9 && flat(0).dot(flat(1)).abs() < 1e-9);
        // Cameras side by side that look the same way have no common point: the middle one is where it was.
        let place = |i: usize| DVec3::new(i as f64, 0.0, 0.0);
        let poses: Vec<_> = (0..5).map(|i| Camera::look_at(place(i), place(i) + DVec3::Y, DVec3::Z).unwrap()).collect();
        let views = ball_views(&poses, 8, DVec3::new(2.0, 3.0, 0.0), 1.0);
        assert_eq!(estimate_camera_arc(&views), None);
        let arc = estimate_open_camera_arc(&views, 2.0).unwrap();
        let camera = arc.cameras(1, (8, 8), false).unwrap()[0];
        assert!(
            (camera.position() - place(2)).length() < 1e-9 && (arc.target - place(2) - DVec3::Y * 2.0).length() < 1e-9
        );
        assert_eq!(estimate_open_camera_arc(&[], 1.0), None);
    }

    #[test]
    fn cameras_that_look_down_are_upright() {
        let pose = |i: usize| {
            let (elevation, azimuth) = (50f64.to_radians(), (8.0 * i as f64).to_radians());
            let out = DVec3::new(azimuth.cos() * elevation.cos(), azimuth.sin() * elevation.cos(), elevation.sin());
            Camera::look_at(out * 4.0, DVec3::ZERO, DVec3::Z).unwrap()
        };
        let poses: Vec<_> = (0..12).map(pose).collect();
        let s = estimate_camera_arc(&ball_views(&poses, 8, DVec3::ZERO, 1.0)).unwrap();
        assert!(s.up == DVec3::Z && (s.elevation - 50.0).abs() < 1e-6, "{s:?}");
    }

    #[test]
    fn a_world_that_lies_on_its_side() {
        let turn = glam::DMat4::from_rotation_x(-std::f64::consts::FRAC_PI_2);
        let mut turned = views(&[-30.0, -15.0, 0.0, 15.0, 30.0, 40.0], DVec3::ZERO);
        for view in &mut turned {
            view.camera.camera_to_world = turn * view.camera.camera_to_world;
        }
        let s = estimate_camera_arc(&turned).unwrap();
        assert!(s.up.y > 0.9, "z went to y: {}", s.up);
        assert!(s.front.x > 0.9 && s.reach < 60.0);
    }
}
