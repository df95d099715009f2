//! What a renderer asks of a view.

use crate::camera::{Camera, CameraError};
use nstr_space::Ray;

/// Where the rays of a picture come from: a pinhole [`Camera`], or a lens that bends them.
pub trait RayCaster: Sync {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);

    /// The world ray through `(x, y)` in pixels from the upper left corner; pixel centres lie at +0.5. Where a lens sees
    /// nothing the direction may be NaN: such rays miss.
    fn ray(&self, x: f64, y: f64) -> Ray;

    /// Whether pictures can be made of it; names what is wrong.
    fn check(&self) -> Result<(), CameraError> {
        Ok(())
    }
}

impl RayCaster for Camera {
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
