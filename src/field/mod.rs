//! The field on Burn: its plain-tensor reference, the backend extension with the fused kernels behind it, initial
//! parameters, presets and the model file.

pub mod backend;
pub mod compositing;
pub mod config;
pub mod device;
#[cfg(all(test, any(feature = "cuda", feature = "wgpu")))]
pub(crate) mod device_suite;
pub mod flex;
#[cfg(all(test, feature = "gpu"))]
mod gpu_suite;
pub mod init;
pub mod jet;
pub mod latent;
pub mod model;
pub mod preset;
pub mod probe;
pub mod radiance;
#[cfg(test)]
mod rays_suite;
pub mod reference;
pub mod sdf;
pub mod signal;
#[cfg(test)]
mod suite;
#[cfg(feature = "gpu")]
pub mod upload;
pub mod view;
