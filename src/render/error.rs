//! Errors of the renderers.

use glam::DVec3;
use nstr_camera::camera::CameraError;

/// A frame that cannot be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The camera cannot be used.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// The field's Lipschitz bound is not a number above 0.
    #[error("the field's Lipschitz bound is {0}; expected a finite number above 0")]
    Lipschitz(f32),
    /// The field's cube has no extent.
    #[error("the field's cube has origin {origin} and edge {size}; expected finite numbers and an edge above 0")]
    Cube {
        /// Its lowest corner.
        origin: DVec3,
        /// Its edge.
        size: f64,
    },
    /// A setting is out of range.
    #[error("{setting}: {reason}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its flaw and the expected value.
        reason: String,
    },
}
