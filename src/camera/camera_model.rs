//! Camera models: the rays of the pixels of an image.

use glam::{DVec2, DVec3};
use nstr_space::Ray;

use crate::camera::{Camera, CameraError};

/// Source of an image's rays: a pinhole [`Camera`], or a lens with distortion.
pub trait CameraModel: Sync {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);

    /// The world ray through `(x, y)` in pixels from the upper left corner; pixel centres lie at +0.5. Where a lens sees
    /// nothing the direction may be NaN: such rays miss.
    fn ray(&self, x: f64, y: f64) -> Ray;

    /// Checks that images can be rendered with it.
    ///
    /// # Errors
    /// The first value that cannot be used, and why.
    fn check(&self) -> Result<(), CameraError> {
        Ok(())
    }
}

/// A camera that knows where in its images a world position is seen.
pub trait ProjectiveCamera: CameraModel {
    /// Pixel coordinates of a world position, from the upper left corner with centres at +0.5, or `None` where the camera can't see it
    /// (the image's edges aside).
    fn project(&self, world: DVec3) -> Option<DVec2>;
}

impl CameraModel for Camera {
    fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }
    fn ray(&self, x: f64, y: f64) -> Ray {
        Camera::ray(self, x, y)
    }
    fn check(&self) -> Result<(), CameraError> {
        self.validate()
    }
}

impl ProjectiveCamera for Camera {
    fn project(&self, world: DVec3) -> Option<DVec2> {
        Camera::project(self, world)
    }
}
