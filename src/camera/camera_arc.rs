//! Cameras along the arc that a capture's own cameras stood on.
//!
//! Captures of a room or of an object before a wall show it from some sides only, and of an open scene only what is seen from
//! within. A full circle around the scene's box would look at and from places that no camera saw; a [`CameraArc`] goes to
//! and fro where cameras were, as far from the object as they were.

use std::f64::consts::TAU;

use glam::{DQuat, DVec3};
use serde::{Deserialize, Serialize};

use crate::camera::{Camera, CameraError};

/// An arc of cameras that all look at one point. Angles in degrees, lengths in world units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CameraArc {
    /// Point that the cameras look at.
    pub target: DVec3,
    /// Unit vector upwards.
    pub up: DVec3,
    /// Horizontal unit vector from the target to the middle of the arc.
    pub front: DVec3,
    /// Angle around `up` from the middle of the arc to either end, 0 to 180; paths of 180 go all around.
    pub reach: f64,
    /// Middle elevation above the horizon.
    pub elevation: f64,
    /// Elevation range above and below the middle one, degrees.
    pub rise: f64,
    /// Distance from the target, above 0.
    pub distance: f64,
    /// Field of view across the image's diagonal: images of another shape show about as much.
    pub fov: f64,
}

impl CameraArc {
    /// `true` where every number is finite and distance, directions and field of view are usable.
    pub fn is_valid(&self) -> bool {
        let unit = |v: DVec3| (v.length() - 1.0).abs() < 1e-3;
        let numbers = [self.reach, self.elevation, self.rise, self.distance];
        self.target.is_finite()
            && numbers.iter().all(|v| v.is_finite())
            && self.distance > 0.0
            && (1e-3..170.0).contains(&self.fov)
            && unit(self.up)
            && unit(self.front)
    }

    /// Cameras of `frames` images of `size` pixels that go along the arc and back, or all around where it is a circle, at the middle elevation or, where
    /// `rising`, on an ellipse as high and low as the capture's cameras were. The path starts
    /// half-way between the arc's ends and closes.
    ///
    /// # Errors
    /// Images without pixels; an arc that [`Self::is_valid`] denies.
    pub fn cameras(&self, frames: usize, size: (u32, u32), rising: bool) -> Result<Vec<Camera>, CameraError> {
        (0..frames).map(|i| self.at(i as f64 / frames as f64, size, rising)).collect()
    }

    fn at(&self, share: f64, (width, height): (u32, u32), rising: bool) -> Result<Camera, CameraError> {
        let (sin, cos) = (TAU * share).sin_cos();
        let lift = if rising { self.rise * cos } else { 0.0 };
        let elevation = (self.elevation + lift).clamp(-89.0, 89.0).to_radians();
        let angle = if self.reach < 180.0 { (self.reach * sin).to_radians() } else { TAU * share };
        let around = DQuat::from_axis_angle(self.up, angle) * self.front;
        let eye = self.target + (around * elevation.cos() + self.up * elevation.sin()) * self.distance;
        let focal = 0.5 * f64::from(width.max(1)).hypot(f64::from(height)) / (0.5 * self.fov.to_radians()).tan();
        let half = 0.5 * f64::from(height) / focal;
        Camera::with_fov_y(width, height, 2.0 * half.atan().to_degrees(), Camera::look_at(eye, self.target, self.up)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARC: CameraArc = CameraArc {
        target: DVec3::new(1.0, 2.0, 3.0),
        up: DVec3::Z,
        front: DVec3::X,
        reach: 50.0,
        elevation: 10.0,
        rise: 15.0,
        distance: 4.0,
        fov: 40.0,
    };

    /// Azimuth from the middle of the arc and elevation, degrees.
    fn angles(camera: &Camera) -> (f64, f64) {
        let out = (camera.position() - ARC.target) / ARC.distance;
        (out.y.atan2(out.x).to_degrees(), out.z.asin().to_degrees())
    }

    #[test]
    fn goes_along_the_arc_and_back() {
        let cameras = ARC.cameras(40, (120, 90), false).unwrap();
        for camera in &cameras {
            let (azimuth, elevation) = angles(camera);
            assert!(azimuth.abs() < 50.0 + 1e-6 && (elevation - 10.0).abs() < 1e-6, "{azimuth} {elevation}");
            assert!((camera.project(ARC.target).unwrap() - camera.centre).length() < 1e-6);
        }
        assert!(angles(&cameras[0]).0.abs() < 1e-6, "starts in the middle");
        assert!((angles(&cameras[10]).0 - 50.0).abs() < 1e-6 && (angles(&cameras[30]).0 + 50.0).abs() < 1e-6);
        // 120 by 90 pixels have a half diagonal of 75.
        let half = (75.0 / cameras[0].focal.y).atan().to_degrees();
        assert!((half - 20.0).abs() < 1e-9 && cameras[0].focal.x == cameras[0].focal.y, "{half}");
    }

    #[test]
    fn rises_and_falls_between_the_extremes() {
        let heights: Vec<f64> = ARC.cameras(40, (9, 16), true).unwrap().iter().map(|c| angles(c).1).collect();
        let (lo, hi) = heights.iter().fold((90.0f64, -90.0f64), |(lo, hi), e| (lo.min(*e), hi.max(*e)));
        assert!((lo + 5.0).abs() < 1e-6 && (hi - 25.0).abs() < 1e-6, "{lo} {hi}");
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(ARC.is_valid() && !CameraArc { distance: 0.0, ..ARC }.is_valid());
        assert!(!CameraArc { up: DVec3::ZERO, ..ARC }.is_valid() && !CameraArc { reach: f64::NAN, ..ARC }.is_valid());
        assert!(CameraArc { distance: 0.0, ..ARC }.cameras(1, (8, 8), false).is_err());
        assert!(CameraArc { fov: f64::NAN, ..ARC }.cameras(1, (8, 8), false).is_err());
        assert!(ARC.cameras(1, (0, 8), false).is_err());
    }
}
