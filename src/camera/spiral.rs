//! Cameras on a rising or undulating circle around an object.

use glam::DVec3;

use crate::camera::{Camera, CameraError};
use crate::orbit::Orbit;

/// Cameras that circle an object while their elevation changes, all looking at the middle of a box.
///
/// With [`waves`](Self::waves) the path goes up and down and, over whole numbers of turns and waves, closes: its last
/// frame leads on to its first. Without, it rises once from the lowest elevation to the highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spiral {
    /// Number and size of the images, first azimuth, middle elevation, field of view, distance.
    pub orbit: Orbit,
    /// Degrees by which the elevation leaves the middle; negative starts downwards. Elevations stay within −90 to 90.
    pub swing: f64,
    /// Turns around the object; negative ones turn clockwise seen from above.
    pub turns: f64,
    /// Times the path goes up and down; 0 for a path that rises once.
    pub waves: f64,
}

impl Default for Spiral {
    fn default() -> Self {
        Self { orbit: Orbit { frames: 120, ..Orbit::default() }, swing: 15.0, turns: 1.0, waves: 2.0 }
    }
}

impl Spiral {
    /// The cameras around the box `bounds` (lowest and highest corner, world units).
    ///
    /// # Errors
    /// Settings out of range and boxes without extent.
    pub fn cameras(&self, bounds: (DVec3, DVec3)) -> Result<Vec<Camera>, CameraError> {
        for (field, value) in [("swing", self.swing), ("turns", self.turns), ("waves", self.waves)] {
            if !value.is_finite() {
                return Err(CameraError::Invalid { field, reason: format!("{value}; expected a finite number") });
            }
        }
        if self.orbit.frames == 0 {
            return self.orbit.cameras(bounds);
        }
        let mut cameras = Vec::with_capacity(self.orbit.frames);
        for frame in 0..self.orbit.frames {
            cameras.extend(self.at(frame).cameras(bounds)?);
        }
        Ok(cameras)
    }

    /// The single camera of a frame.
    fn at(&self, frame: usize) -> Orbit {
        let orbit = self.orbit;
        let (share, lift) = if self.waves == 0.0 {
            let share = frame as f64 / (orbit.frames - 1).max(1) as f64;
            (share, 2.0 * share - 1.0)
        } else {
            let share = frame as f64 / orbit.frames as f64;
            (share, (std::f64::consts::TAU * self.waves * share).sin())
        };
        let azimuth = orbit.azimuth + 360.0 * self.turns * share;
        Orbit { frames: 1, azimuth, elevation: orbit.elevation + self.swing * lift, ..orbit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera_file::{read_cameras, write_cameras};
    use crate::orbit::Up;

    const BOX: (DVec3, DVec3) = (DVec3::new(-1.0, 0.0, 2.0), DVec3::new(3.0, 1.0, 4.0));

    fn elevations(spiral: &Spiral) -> Vec<f64> {
        let middle = (BOX.0 + BOX.1) * 0.5;
        let up = spiral.orbit.up.axis();
        let angle = |c: &Camera| (c.position() - middle).normalize().dot(up).asin().to_degrees();
        spiral.cameras(BOX).unwrap().iter().map(angle).collect()
    }

    #[test]
    fn waves_undulate_and_close() {
        let orbit = Orbit { frames: 80, elevation: 10.0, up: Up::Z, distance: Some(7.0), ..Orbit::default() };
        let spiral = Spiral { orbit, ..Spiral::default() };
        let cameras = spiral.cameras(BOX).unwrap();
        let middle = (BOX.0 + BOX.1) * 0.5;
        for camera in &cameras {
            let seen = camera.project(middle).unwrap();
            assert!((seen - camera.centre).length() < 1e-6);
            assert!((camera.position().distance(middle) - 7.0).abs() < 1e-9);
        }
        let angles = elevations(&spiral);
        let (lo, hi) = angles.iter().fold((90.0f64, -90.0f64), |(lo, hi), a| (lo.min(*a), hi.max(*a)));
        assert!((lo + 5.0).abs() < 1e-6 && (hi - 25.0).abs() < 1e-6, "{lo} {hi}");
        let next = |i: usize| cameras[i].position().distance(cameras[(i + 1) % 80].position());
        assert!((0..80).all(|i| next(i) < 1.1 && next(i) > 0.3), "no jump, the last to the first included");
    }

    #[test]
    fn without_waves_it_rises_once() {
        let spiral = Spiral { waves: 0.0, turns: 2.0, ..Spiral::default() };
        let angles = elevations(&spiral);
        assert!(angles.windows(2).all(|w| w[0] < w[1]));
        assert!((angles[0] - 5.0).abs() < 1e-6 && (angles[119] - 35.0).abs() < 1e-6);
        let one = Spiral { orbit: Orbit { frames: 1, ..spiral.orbit }, ..spiral };
        assert_eq!(one.cameras(BOX).unwrap().len(), 1);
    }

    #[test]
    fn a_path_survives_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spiral.json");
        let cameras =
            Spiral { orbit: Orbit { frames: 7, ..Orbit::default() }, ..Spiral::default() }.cameras(BOX).unwrap();
        write_cameras(&path, &cameras).unwrap();
        let back = read_cameras(&path, None).unwrap();
        assert_eq!(back.len(), 7);
        for (a, b) in back.iter().zip(&cameras) {
            assert!(a.camera_to_world.abs_diff_eq(b.camera_to_world, 1e-12) && a.focal == b.focal);
        }
    }

    #[test]
    fn bad_values_are_named() {
        let spiral = Spiral::default();
        let cases = [
            (Spiral { swing: f64::NAN, ..spiral }, "swing"),
            (Spiral { turns: f64::INFINITY, ..spiral }, "turns"),
            (Spiral { swing: 80.0, ..spiral }, "elevation"),
            (Spiral { orbit: Orbit { frames: 0, ..spiral.orbit }, ..spiral }, "frames"),
        ];
        for (bad, word) in cases {
            let message = bad.cameras(BOX).unwrap_err().to_string();
            assert!(message.contains(word), "{message} lacks {word}");
        }
    }
}
