//! The field on Burn: the backend trait, plain-tensor reference, and the fused kernels behind Burn's CPU backend.

pub mod backend;
pub mod compositing;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub mod cube;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod cube_rays;
pub mod device;
pub mod device_rays;
#[doc(hidden)]
pub mod device_testing;
pub mod flex;
mod gradient_pool;
#[cfg(test)]
mod point_evaluator_tests;
#[doc(hidden)]
pub mod rays_suite;
#[cfg(test)]
mod rays_suite_tests;
pub mod read_back;
pub mod reference;
#[doc(hidden)]
pub mod suite;
#[cfg(test)]
mod suite_tests;
