//! Cameras on a circle around an object.

use glam::DVec3;

use crate::camera::{Camera, CameraError};

/// World axis that points up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Up {
    /// y, as meshes usually have it.
    #[default]
    Y,
    /// z, as captures and CAD files usually have it.
    Z,
}

impl Up {
    /// Unit vector.
    pub fn axis(self) -> DVec3 {
        match self {
            Up::Y => DVec3::Y,
            Up::Z => DVec3::Z,
        }
    }
    /// Directions to the camera at azimuth 0 and at azimuth 90°.
    fn circle(self) -> (DVec3, DVec3) {
        match self {
            Up::Y => (DVec3::Z, DVec3::X),
            Up::Z => (DVec3::NEG_Y, DVec3::X),
        }
    }
}

impl std::str::FromStr for Up {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "y" | "Y" => Ok(Up::Y),
            "z" | "Z" => Ok(Up::Z),
            other => Err(format!("{other:?} is not an upward axis; expected y or z")),
        }
    }
}

/// Evenly spaced cameras on a horizontal circle that all look at the middle of a box.
///
/// Azimuth 0 stands in front (+z for y up, −y for z up) and grows counter-clockwise seen from above.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Orbit {
    /// Cameras on the circle, at least 1.
    pub frames: usize,
    /// Image size in pixels.
    pub size: (u32, u32),
    /// Degrees above the horizon, −90 to 90.
    pub elevation: f64,
    /// Azimuth of the first camera in degrees.
    pub azimuth: f64,
    /// Field of view in degrees along the shorter side of the image.
    pub fov: f64,
    /// Upward axis.
    pub up: Up,
    /// Distance from the middle in world units; `None` fits the box's bounding sphere into the image.
    pub distance: Option<f64>,
    /// Room around the bounding sphere where the distance is automatic; 1 touches the border.
    pub margin: f64,
}

impl Default for Orbit {
    fn default() -> Self {
        Self {
            frames: 1,
            size: (800, 800),
            elevation: 20.0,
            azimuth: 35.0,
            fov: 35.0,
            up: Up::Y,
            distance: None,
            margin: 1.0,
        }
    }
}

impl Orbit {
    /// The cameras around the box `bounds` (lowest and highest corner, world units).
    ///
    /// # Errors
    /// Settings out of range and boxes without extent.
    pub fn cameras(&self, bounds: (DVec3, DVec3)) -> Result<Vec<Camera>, CameraError> {
        let invalid = |field, reason: String| CameraError::Invalid { field, reason };
        let (lo, hi) = bounds;
        let radius = (hi - lo).length() * 0.5;
        if !(lo.is_finite() && hi.is_finite() && radius > 0.0 && radius.is_finite()) {
            return Err(invalid("bounds", format!("the box {lo} to {hi} has no extent to look at")));
        }
        if self.frames == 0 {
            return Err(invalid("frames", "0; expected at least 1".into()));
        }
        if !(-90.0..=90.0).contains(&self.elevation) || !self.azimuth.is_finite() {
            return Err(invalid("elevation", format!("{} degrees; expected -90 to 90", self.elevation)));
        }
        if !(self.fov > 0.0 && self.fov < 170.0) {
            return Err(invalid("fov", format!("{} degrees; expected above 0 and below 170", self.fov)));
        }
        let distance = self.distance.unwrap_or(self.margin * radius / (0.5 * self.fov.to_radians()).sin());
        if !(distance.is_finite() && distance > 0.0) {
            return Err(invalid("distance", format!("{distance}; expected a number above 0")));
        }
        (0..self.frames).map(|i| self.camera((lo + hi) * 0.5, distance, i)).collect()
    }

    fn camera(&self, target: DVec3, distance: f64, index: usize) -> Result<Camera, CameraError> {
        let azimuth = self.azimuth.to_radians() + std::f64::consts::TAU * index as f64 / self.frames as f64;
        let elevation = self.elevation.to_radians();
        let (front, side) = self.up.circle();
        let around = front * azimuth.cos() + side * azimuth.sin();
        let eye = target + (around * elevation.cos() + self.up.axis() * elevation.sin()) * distance;
        // Straight from above or below the horizon's direction keeps the path continuous where `up` would be degenerate.
        let up = if elevation.cos() > 1e-6 { self.up.axis() } else { -around * elevation.signum() };
        let (w, h) = self.size;
        let half = (0.5 * self.fov.to_radians()).tan() * h.max(1) as f64 / w.min(h).max(1) as f64;
        Camera::with_fov_y(w, h, 2.0 * half.atan().to_degrees(), Camera::look_at(eye, target, up)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: (DVec3, DVec3) = (DVec3::new(-1.0, 0.0, 2.0), DVec3::new(3.0, 1.0, 4.0));

    #[test]
    fn every_camera_sees_the_whole_box() {
        for (up, size) in [(Up::Y, (200, 100)), (Up::Z, (100, 200))] {
            let cameras = Orbit { frames: 8, up, size, ..Orbit::default() }.cameras(BOX).unwrap();
            assert_eq!(cameras.len(), 8);
            for camera in &cameras {
                for corner in 0..8 {
                    let pick = |axis: usize| if corner >> axis & 1 == 0 { BOX.0[axis] } else { BOX.1[axis] };
                    let at = camera.project(DVec3::new(pick(0), pick(1), pick(2))).unwrap();
                    assert!(at.x > 0.0 && at.y > 0.0 && at.x < size.0 as f64 && at.y < size.1 as f64, "{at}");
                }
                let middle = (BOX.0 + BOX.1) * 0.5;
                assert!(camera.project(middle + up.axis()).unwrap().y < camera.project(middle).unwrap().y);
            }
        }
    }

    #[test]
    fn azimuth_starts_in_front_and_turns_counter_clockwise() {
        let orbit = Orbit { frames: 4, azimuth: 0.0, elevation: 0.0, distance: Some(10.0), ..Orbit::default() };
        let cameras = orbit.cameras((-DVec3::ONE, DVec3::ONE)).unwrap();
        assert!((cameras[0].position() - DVec3::Z * 10.0).length() < 1e-9);
        assert!((cameras[1].position() - DVec3::X * 10.0).length() < 1e-9);
        let orbit = Orbit { up: Up::Z, ..orbit };
        let cameras = orbit.cameras((-DVec3::ONE, DVec3::ONE)).unwrap();
        assert!((cameras[0].position() + DVec3::Y * 10.0).length() < 1e-9);
    }

    #[test]
    fn poles_and_bad_values() {
        let orbit = Orbit { frames: 3, elevation: 90.0, ..Orbit::default() };
        assert!(orbit.cameras(BOX).is_ok());
        for bad in [
            Orbit { frames: 0, ..orbit },
            Orbit { elevation: 91.0, ..orbit },
            Orbit { fov: f64::NAN, ..orbit },
            Orbit { distance: Some(0.0), ..orbit },
            Orbit { size: (0, 10), ..orbit },
        ] {
            assert!(bad.cameras(BOX).is_err(), "{bad:?}");
        }
        assert!(orbit.cameras((DVec3::ONE, DVec3::ONE)).is_err());
    }
}
