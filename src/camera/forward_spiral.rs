//! Spiral about the mean of cameras that look the same way: the path that NeRF renders for forward-facing captures
//! (Mildenhall et al. 2020; Mildenhall et al. 2019, LLFF).
//!
//! Cameras wind around the mean of the given ones, as far to the sides, up and down, forwards and back as nine tenths of
//! those stood, and all look at one point ahead.

use std::f64::consts::TAU;

use glam::DVec3;

use crate::camera::{Camera, CameraError};

/// Fraction of the given cameras that stand no farther from their mean along each axis than the path goes.
const REACH: f64 = 0.9;

/// A spiral about the mean of cameras that look the same way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForwardSpiral {
    /// Number of images, at least 1.
    pub frames: usize,
    /// Image size in pixels; `None` takes that of the first camera.
    pub size: Option<(u32, u32)>,
    /// Turns around the viewing axis; the path goes forwards and back once in two of them, and closes after 2, 4, …
    pub turns: f64,
    /// Distance ahead of the mean camera of the point that all look at, world units, above 0.
    pub focus: f64,
}

impl ForwardSpiral {
    /// The path of NeRF's renderings: 120 frames and two turns, about a point at `focus`.
    pub fn new(focus: f64) -> Self {
        Self { frames: 120, size: None, turns: 2.0, focus }
    }

    /// The cameras of the path about the mean of `around`. The field of view is that of the first of these, and the principal
    /// point lies in the middle.
    ///
    /// # Errors
    /// Settings out of range, no cameras, and cameras that have no common viewing direction or upward axis.
    pub fn cameras(&self, around: &[Camera]) -> Result<Vec<Camera>, CameraError> {
        let invalid = |field, reason: String| CameraError::Invalid { field, reason };
        let Some(first) = around.first() else {
            return Err(invalid("spiral", "no cameras to go around".into()));
        };
        if self.frames == 0 {
            return Err(invalid("frames", "0; expected at least 1".into()));
        }
        if !self.turns.is_finite() {
            return Err(invalid("turns", format!("{}; expected a finite number", self.turns)));
        }
        if !(self.focus > 0.0 && self.focus.is_finite()) {
            return Err(invalid("focus", format!("{}; expected a finite distance above 0", self.focus)));
        }
        let mean = |of: &dyn Fn(&Camera) -> DVec3| around.iter().map(of).sum::<DVec3>() / around.len() as f64;
        let middle = mean(&Camera::position);
        let axis = |found: Option<DVec3>, what: &str| {
            found.ok_or_else(|| invalid("spiral", format!("the cameras have no common {what}")))
        };
        let back = axis(mean(&|camera| camera.axes()[2]).try_normalize(), "viewing direction")?;
        let right = axis(mean(&|camera| camera.axes()[1]).cross(back).try_normalize(), "upward axis")?;
        let axes = [right, back.cross(right), back];
        let reach = axes.map(|axis| {
            let mut offsets: Vec<f64> = around.iter().map(|c| (c.position() - middle).dot(axis).abs()).collect();
            offsets.sort_unstable_by(f64::total_cmp);
            offsets[(REACH * (offsets.len() - 1) as f64).round() as usize]
        });
        let target = middle - back * self.focus;
        let (width, height) = self.size.unwrap_or((first.width, first.height));
        let lens = Camera {
            centre: glam::DVec2::new(f64::from(width), f64::from(height)) * 0.5,
            ..first.resized(width, height)
        };
        let frame = |i: usize| {
            let angle = TAU * self.turns * i as f64 / self.frames as f64;
            let place = [angle.cos(), -angle.sin(), -(0.5 * angle).sin()];
            let offset: DVec3 = (0..3).map(|k| axes[k] * (place[k] * reach[k])).sum();
            let camera = Camera { camera_to_world: Camera::look_at(middle + offset, target, axes[1])?, ..lens };
            camera.validate().map(|()| camera)
        };
        (0..self.frames).map(frame).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::DVec2;

    /// 20 cameras on a grid in the plane y = 0 that look along +y with z up, turned a little towards its middle.
    fn grid() -> Vec<Camera> {
        let at = |i: usize| DVec3::new((i % 5) as f64 * 0.5 - 1.0, 0.05 * (i % 3) as f64, (i / 5) as f64 * 0.2 - 0.3);
        let camera = |i: usize| {
            let pose = Camera::look_at(at(i), DVec3::new(0.0, 9.0, 0.0), DVec3::Z).unwrap();
            Camera { centre: DVec2::new(30.0, 22.0), ..Camera::with_fov_y(64, 48, 40.0, pose).unwrap() }
        };
        (0..20).map(camera).collect()
    }

    #[test]
    fn winds_among_the_cameras_and_looks_at_one_point() {
        let around = grid();
        let cameras = ForwardSpiral { frames: 80, ..ForwardSpiral::new(6.0) }.cameras(&around).unwrap();
        let middle = around.iter().map(Camera::position).sum::<DVec3>() / 20.0;
        let (low, high) = around.iter().fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(low, high), camera| {
            (low.min(camera.position()), high.max(camera.position()))
        });
        // The grid is the same to both sides: the mean camera looks along +y.
        let target = middle + DVec3::Y * 6.0;
        let room = DVec3::new(0.0, high.y - low.y, 0.0);
        for camera in &cameras {
            assert_eq!((camera.width, camera.height, camera.centre), (64, 48, DVec2::new(32.0, 24.0)));
            assert!((camera.project(target).unwrap() - camera.centre).length() < 1.0, "looks ahead");
            assert!(camera.axes()[1].z > 0.99, "upright");
            let eye = camera.position();
            assert!(eye.cmpge(low - room - 1e-4).all() && eye.cmple(high + room + 1e-4).all(), "{eye}");
        }
        // To both sides nearly as far as the outermost, twice.
        let far = |sign: f64| cameras.iter().filter(|c| sign * c.position().x > 0.9).count();
        assert!(far(1.0) > 5 && far(-1.0) > 5);
        let step = |i: usize| cameras[i].position().distance(cameras[(i + 1) % 80].position());
        assert!((0..80).all(|i| step(i) > 0.01 && step(i) < 0.2), "no jump, the last to the first included");
    }

    #[test]
    fn sizes_may_differ_from_the_cameras() {
        let spiral = ForwardSpiral { frames: 3, size: Some((32, 32)), ..ForwardSpiral::new(6.0) };
        let cameras = spiral.cameras(&grid()).unwrap();
        assert_eq!((cameras.len(), cameras[0].width, cameras[0].height), (3, 32, 32));
        // The field of view along y stays.
        assert!((cameras[0].focal.y / 32.0 - grid()[0].focal.y / 48.0).abs() < 1e-12);
    }

    #[test]
    fn bad_values_are_named() {
        let (spiral, around) = (ForwardSpiral::new(6.0), grid());
        for (bad, word) in [
            (ForwardSpiral { frames: 0, ..spiral }, "frames"),
            (ForwardSpiral { turns: f64::NAN, ..spiral }, "turns"),
            (ForwardSpiral::new(0.0), "focus"),
            (ForwardSpiral { size: Some((0, 5)), ..spiral }, "w"),
        ] {
            let message = bad.cameras(&around).unwrap_err().to_string();
            assert!(message.contains(word), "{message} lacks {word}");
        }
        assert!(spiral.cameras(&[]).unwrap_err().to_string().contains("no cameras"));
        // Two cameras that look at each other.
        let pose = |eye: DVec3| Camera::look_at(eye, DVec3::ZERO, DVec3::Z).unwrap();
        let camera = |eye: DVec3| Camera::with_fov_y(8, 8, 40.0, pose(eye)).unwrap();
        let apart = spiral.cameras(&[camera(DVec3::X), camera(DVec3::NEG_X)]).unwrap_err().to_string();
        assert!(apart.contains("viewing direction"), "{apart}");
    }
}
