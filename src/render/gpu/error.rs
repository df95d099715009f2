//! Errors of the GPU renderer.

use crate::error::RenderError;

/// Frame that cannot be rendered on a GPU.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The camera or a setting cannot be used.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// No adapter that can compute.
    #[error(
        "no GPU adapter with compute shaders ({reason}); install a Vulkan driver (Mesa's software driver: \
         mesa-vulkan-drivers) or render with --renderer cpu"
    )]
    NoAdapter {
        /// Cause.
        reason: String,
    },
    /// The adapter gives no device.
    #[error("{adapter}: no device: {reason}; update its driver or render with --renderer cpu")]
    Device {
        /// The adapter.
        adapter: String,
        /// Message of the driver.
        reason: String,
    },
    /// The field's shape is not supported by the shaders.
    #[error("the GPU renderer cannot evaluate {what}; render with --renderer cpu")]
    Unsupported {
        /// Feature of the field.
        what: String,
    },
    /// A buffer, in bytes, or an image's side exceeds a limit of the device.
    #[error(
        "{what}: {bytes} is more than {adapter} allows ({limit}); use --renderer cpu or a smaller \
         size"
    )]
    TooLarge {
        /// Name of the buffer.
        what: &'static str,
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
        /// The adapter.
        adapter: String,
    },
    /// The device has no memory left.
    #[error("{what}: {adapter} is out of memory; use --renderer cpu or a smaller size")]
    Memory {
        /// Name of the buffer.
        what: &'static str,
        /// The adapter.
        adapter: String,
    },
    /// A shader does not compile.
    #[error("the shader `{name}` does not compile on this driver: {reason}; render with --renderer cpu")]
    Shader {
        /// Name of the shader.
        name: &'static str,
        /// Message of the compiler.
        reason: String,
    },
    /// The device was lost or never finished.
    #[error("the GPU stopped answering ({reason}); render with --renderer cpu")]
    Lost {
        /// Message of the driver.
        reason: String,
    },
}
