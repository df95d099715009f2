//! Tests on GPU backends (features `cuda` and `wgpu`): fields agree with the judge, training follows the CPU's.
//!
//! One executable for both, because a backend's generic code takes minutes to build. Each test says that it is skipped
//! where there is no such device; for Vulkan, `mesa-vulkan-drivers` brings a software one. Run with
//! `cargo test --profile quick -p nstr-fit --features wgpu --lib -- device_suite --nocapture`, or with `cuda`, or both.
#![allow(clippy::unwrap_used, reason = "for tests only: a panic is how they fail")]

mod fields;
mod rays;
mod training;
