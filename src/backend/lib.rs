//! The field on Burn: the backend trait, plain-tensor reference, and the fused kernels behind Burn's CPU backend.

pub mod backend;
pub mod compositing;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub mod cube;
pub mod device;
#[doc(hidden)]
pub mod device_testing;
pub mod flex;
#[cfg(test)]
mod point_evaluator_tests;
#[doc(hidden)]
pub mod rays_suite;
#[cfg(test)]
mod rays_suite_tests;
pub mod reference;
#[doc(hidden)]
pub mod suite;
#[cfg(test)]
mod suite_tests;
