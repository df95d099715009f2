//! Training: the loop, its batches and its schedule, and one file a task.

pub mod config;
pub mod evaluate;
pub mod feed;
pub mod run;
pub mod schedule;
pub mod sdf;
pub mod trainer;

pub use config::FitConfig;
pub use feed::{Batch, BatchSource, FeedConfig};
pub use run::run_on;
pub use schedule::{Budget, Schedule};
pub use trainer::{Observer, Progress, TrainConfig, TrainError, TrainState, Trainer};

#[cfg(test)]
mod tests;
