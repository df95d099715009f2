//! The field on Burn: its plain-tensor reference, the backend extension with the fused kernels behind it, initial
//! parameters, presets and the model file.

pub mod backend;
pub mod config;
pub mod device;
pub mod flex;
pub mod init;
pub mod latent;
pub mod model;
pub mod reference;
pub mod sdf;
#[cfg(test)]
mod suite;
