//! Pictures and sounds as a task: their samples as points with target values, and the PSNR or SNR along the way.

pub mod config;
pub mod sampler;
pub mod task;

pub use config::{SignalConfig, train_sample_indices};
pub use sampler::SignalSampler;
pub use task::SignalTask;

#[cfg(test)]
mod tests;
