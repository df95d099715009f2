//! The pinhole camera.
//!
//! OpenGL/Blender convention, as in the `transforms.json` of instant-ngp and nerfstudio: the camera looks along its −z
//! axis, x points right and y up in the image; `camera_to_world` maps camera to world coordinates. Pixel `(i, j)` counts
//! from the upper left corner, and its centre lies at `(i + 0.5, j + 0.5)`.

use std::path::PathBuf;

use glam::{DMat4, DVec2, DVec3, DVec4};
use nstr_space::Ray;

/// Narrowest and widest supported field of view, degrees along either axis.
const FIELD_OF_VIEW: (f64, f64) = (1e-3, 178.0);
/// Largest width or height in pixels.
const MAX_SIDE: u32 = 65_536;
/// Most pixels of an image.
const MAX_PIXELS: u64 = 1 << 28;
/// Largest coordinate of a camera's position: squares of distances stay finite.
const MAX_COORDINATE: f64 = 1e100;

/// Camera or camera file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CameraError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The camera file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The file is not JSON.
    #[error("{}: not a camera file: {source}", path.display())]
    Json {
        /// The camera file.
        path: PathBuf,
        /// Cause, with line and column.
        source: serde_json::Error,
    },
    /// A value in the file cannot be used.
    #[error("{}: {field}: {reason}", path.display())]
    InFile {
        /// The camera file.
        path: PathBuf,
        /// Path of the value in the file, for example `frames[2].transform_matrix`.
        field: String,
        /// Its flaw and the expected value.
        reason: String,
    },
    /// A value of a camera made in memory cannot be used.
    #[error("camera: {field}: {reason}")]
    Invalid {
        /// Name of the value.
        field: &'static str,
        /// Its flaw and the expected value.
        reason: String,
    },
}

fn invalid(field: &'static str, reason: impl Into<String>) -> CameraError {
    CameraError::Invalid { field, reason: reason.into() }
}

/// Pinhole camera (see the module's documentation for the convention).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// Image width in pixels.
    pub width: u32,
    /// Image height in pixels.
    pub height: u32,
    /// Focal lengths along x and y in pixels (`fl_x`, `fl_y`).
    pub focal: DVec2,
    /// Principal point in pixels (`cx`, `cy`), from the upper left corner.
    pub centre: DVec2,
    /// Camera-to-world matrix: a rotation, a uniform scale (ignored) and a translation.
    pub camera_to_world: DMat4,
}

impl Camera {
    /// A camera whose field of view along y is `fov_y` degrees, principal point in the middle.
    ///
    /// # Errors
    /// Values that [`Self::validate`] denies.
    pub fn with_fov_y(width: u32, height: u32, fov_y: f64, camera_to_world: DMat4) -> Result<Self, CameraError> {
        let focal = 0.5 * height as f64 / (0.5 * fov_y.to_radians()).tan();
        let camera = Self {
            width,
            height,
            focal: DVec2::splat(focal),
            centre: DVec2::new(width as f64, height as f64) * 0.5,
            camera_to_world,
        };
        camera.validate()?;
        Ok(camera)
    }

    /// The camera-to-world matrix of a camera at `eye` that looks at `target` with `up` upwards in the image.
    ///
    /// Another axis takes the place of an `up` that is parallel to the viewing direction.
    ///
    /// # Errors
    /// `eye` and `target` that coincide, and coordinates that are not finite.
    pub fn look_at(eye: DVec3, target: DVec3, up: DVec3) -> Result<DMat4, CameraError> {
        let back = (eye - target)
            .try_normalize()
            .ok_or_else(|| invalid("look_at", format!("eye {eye} and target {target} must be finite and differ")))?;
        let right = [up, DVec3::Y, DVec3::Z, DVec3::X]
            .into_iter()
            .filter_map(|u| u.try_normalize())
            .map(|u| u.cross(back))
            .find(|r| r.length() > 1e-6)
            .ok_or_else(|| invalid("look_at", "no upward direction"))?
            .normalize();
        let up = back.cross(right);
        Ok(DMat4::from_cols(right.extend(0.0), up.extend(0.0), back.extend(0.0), eye.extend(1.0)))
    }

    /// The same view at another size: focal length follows the height, and the principal point keeps its relative place.
    ///
    /// A wider image shows more to the left and right; nothing is stretched.
    pub fn resized(&self, width: u32, height: u32) -> Self {
        let y = height as f64 / self.height as f64;
        let x = width as f64 / self.width as f64;
        Self { width, height, focal: self.focal * y, centre: self.centre * DVec2::new(x, y), ..*self }
    }

    /// Position in world space.
    #[inline]
    pub fn position(&self) -> DVec3 {
        self.camera_to_world.w_axis.truncate()
    }

    /// Unit axes in world space: right, up, and back (against the viewing direction).
    #[inline]
    pub fn axes(&self) -> [DVec3; 3] {
        let m = &self.camera_to_world;
        [m.x_axis, m.y_axis, m.z_axis].map(|a: DVec4| a.truncate().normalize_or_zero())
    }

    /// The ray through `(x, y)` in pixels from the upper left corner; pixel centres lie at +0.5.
    #[inline]
    pub fn ray(&self, x: f64, y: f64) -> Ray {
        let [right, up, back] = self.axes();
        let u = (x - self.centre.x) / self.focal.x;
        let v = (y - self.centre.y) / self.focal.y;
        let cosine = 1.0 / (1.0 + u * u + v * v).sqrt();
        Ray { origin: self.position(), direction: (right * u - up * v - back) * cosine, cosine }
    }

    /// Pixel coordinates of a world position, or `None` behind the camera.
    #[inline]
    pub fn project(&self, world: DVec3) -> Option<DVec2> {
        let offset = world - self.position();
        let [x, y, z] = self.axes().map(|a| a.dot(offset));
        (z < 0.0).then(|| self.centre + DVec2::new(x, -y) * self.focal / -z)
    }

    /// Angle in radians that one pixel in the middle subtends.
    pub fn pixel_angle(&self) -> f64 {
        1.0 / self.focal.max_element()
    }

    /// Checks size, focal lengths, principal point and matrix.
    ///
    /// # Errors
    /// The first value that cannot be used, and why.
    pub fn validate(&self) -> Result<(), CameraError> {
        let (w, h) = (self.width, self.height);
        for (field, side) in [("w", w), ("h", h)] {
            if side == 0 || side > MAX_SIDE {
                return Err(invalid(field, format!("{side} pixels; expected 1 to {MAX_SIDE}")));
            }
        }
        if w as u64 * h as u64 > MAX_PIXELS {
            return Err(invalid("w", format!("{w}x{h} is more than {MAX_PIXELS} pixels; render a smaller image")));
        }
        for (field, focal, side) in [("fl_x", self.focal.x, w), ("fl_y", self.focal.y, h)] {
            let fov = 2.0 * (0.5 * side as f64 / focal).atan().to_degrees();
            if !(focal.is_finite() && focal > 0.0 && fov >= FIELD_OF_VIEW.0 && fov <= FIELD_OF_VIEW.1) {
                let (lo, hi) = FIELD_OF_VIEW;
                return Err(invalid(
                    field,
                    format!(
                        "a focal length of {focal} pixels at {side} pixels views {fov:.3e} degrees; expected {lo} to {hi}"
                    ),
                ));
            }
        }
        // In longer sides, so that a few rows of an image are a camera too.
        let side = w.max(h);
        for (field, at) in [("cx", self.centre.x), ("cy", self.centre.y)] {
            if !at.is_finite() || at.abs() > 100.0 * side as f64 {
                return Err(invalid(field, format!("principal point {at} lies far from an image of {side} pixels")));
            }
        }
        check_matrix(&self.camera_to_world).map_err(|reason| invalid("transform_matrix", reason))
    }
}

/// Checks that a matrix is a camera-to-world matrix; the error says why it is not.
fn check_matrix(m: &DMat4) -> Result<(), String> {
    if !m.is_finite() {
        return Err("holds NaN or infinite numbers".into());
    }
    if m.w_axis.truncate().abs().max_element() > MAX_COORDINATE {
        return Err(format!("its position {} lies beyond 1e100; scale the scene", m.w_axis.truncate()));
    }
    let bottom = m.row(3);
    if (bottom - DVec4::W).abs().max_element() > 1e-6 {
        return Err(format!("last row is {bottom}; expected [0, 0, 0, 1]"));
    }
    let axes = [m.x_axis, m.y_axis, m.z_axis].map(|a| a.truncate());
    let lengths = axes.map(|a| a.length());
    let scale = lengths[0].max(lengths[1]).max(lengths[2]);
    let least = lengths[0].min(lengths[1]).min(lengths[2]);
    if least < 1e-12 || least < 1e-6 * scale {
        return Err("singular: one of its axes has no length".into());
    }
    let [x, y, z] = axes.map(|a| a.normalize());
    let volume = x.cross(y).dot(z);
    if volume.abs() < 1e-6 {
        return Err("singular: its axes lie in one plane".into());
    }
    if volume < 0.0 {
        return Err("mirrors (negative determinant); expected x right, y up, looking along -z".into());
    }
    let shear = x.dot(y).abs().max(y.dot(z).abs()).max(z.dot(x).abs());
    if shear > 1e-2 || least < 0.99 * scale {
        return Err("shears or stretches; expected a rotation, at most scaled as a whole, and a translation".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front() -> Camera {
        let pose = Camera::look_at(DVec3::new(0.0, 0.0, 5.0), DVec3::ZERO, DVec3::Y).unwrap();
        Camera::with_fov_y(640, 480, 40.0, pose).unwrap()
    }

    #[test]
    fn plus_x_is_right_and_plus_y_is_up() {
        let camera = front();
        let right = camera.project(DVec3::X).unwrap();
        let up = camera.project(DVec3::Y).unwrap();
        assert!(right.x > 321.0 && (right.y - 240.0).abs() < 1e-9, "{right}");
        assert!(up.y < 239.0 && (up.x - 320.0).abs() < 1e-9, "{up}");
        assert_eq!(camera.project(DVec3::new(0.0, 0.0, 6.0)), None);
    }

    #[test]
    fn rays_and_projection_agree() {
        let pose = Camera::look_at(DVec3::new(3.0, -2.0, 1.0), DVec3::new(0.1, 0.2, 0.3), DVec3::Z).unwrap();
        let mut camera = Camera::with_fov_y(300, 200, 55.0, pose).unwrap();
        camera.centre.x += 17.0;
        camera.focal.x *= 1.3;
        for (x, y) in [(0.5, 0.5), (299.5, 0.5), (123.0, 180.0)] {
            let ray = camera.ray(x, y);
            assert!((ray.direction.length() - 1.0).abs() < 1e-12);
            let back = camera.project(ray.origin + ray.direction * 2.5).unwrap();
            assert!((back - DVec2::new(x, y)).length() < 1e-9);
            let depth = -camera.axes()[2].dot(ray.direction * 2.5);
            assert!((depth - 2.5 * ray.cosine).abs() < 1e-12);
        }
    }

    #[test]
    fn identity_looks_along_minus_z() {
        let camera = Camera::with_fov_y(2, 2, 90.0, DMat4::IDENTITY).unwrap();
        assert_eq!(camera.ray(1.0, 1.0).direction, DVec3::NEG_Z);
        assert!((camera.focal.x - 1.0).abs() < 1e-12);
    }

    #[test]
    fn looking_straight_down_has_a_picture() {
        let pose = Camera::look_at(DVec3::Y, DVec3::ZERO, DVec3::Y).unwrap();
        assert!(check_matrix(&pose).is_ok());
        assert!(Camera::look_at(DVec3::Y, DVec3::Y, DVec3::Y).is_err());
    }

    #[test]
    fn unusable_cameras_are_named() {
        let good = front();
        let scaled = Camera { camera_to_world: good.camera_to_world * DMat4::from_scale(DVec3::splat(0.3)), ..good };
        assert!(scaled.validate().is_ok());
        let cases: [(Camera, &str); 8] = [
            (Camera { width: 0, ..good }, "w"),
            (Camera { height: 1 << 20, ..good }, "h"),
            (Camera { focal: DVec2::new(f64::NAN, 1.0), ..good }, "fl_x"),
            (Camera { focal: DVec2::new(400.0, 1e12), ..good }, "fl_y"),
            (Camera { centre: DVec2::new(1e9, 0.0), ..good }, "cx"),
            (Camera { camera_to_world: DMat4::from_scale(DVec3::new(1.0, 1.0, 0.0)), ..good }, "singular"),
            (Camera { camera_to_world: DMat4::from_scale(DVec3::new(1.0, 1.0, -1.0)), ..good }, "mirrors"),
            (Camera { camera_to_world: DMat4::NAN, ..good }, "NaN"),
        ];
        for (camera, word) in cases {
            let message = camera.validate().unwrap_err().to_string();
            assert!(message.contains(word), "{message} lacks {word}");
        }
    }

    #[test]
    fn resizing_keeps_the_view() {
        let camera = front();
        let half = camera.resized(320, 240);
        let p = DVec3::new(0.4, -0.3, 0.2);
        assert!((camera.project(p).unwrap() * 0.5 - half.project(p).unwrap()).length() < 1e-9);
    }
}
