//! Training: the loop, its batches and its schedule, and one file a task.

pub mod config;
pub mod curve;
pub mod evaluate;
pub mod feed;
mod gaussian;
pub mod likeness;
pub mod occupied;
pub mod radiance;
pub mod rays;
mod regulariser;
pub mod run;
pub mod schedule;
pub mod sdf;
pub mod signal;
pub mod task;
pub mod trainer;
pub mod views;
pub mod visible;

pub use config::FitConfig;
pub use curve::{Curve, TrainingLog};
pub use feed::{Batch, BatchSource, FeedConfig};
pub use radiance::RadianceTask;
pub use rays::{PixelSource, RayConfig};
pub use run::{Work, run_on};
pub use schedule::{Budget, Schedule};
pub use task::{Place, Task, TaskState};
pub use trainer::{Observer, Progress, TrainConfig, TrainError, TrainState, Trainer};

#[cfg(all(test, any(feature = "cuda", feature = "wgpu")))]
mod device_suite;
#[cfg(test)]
mod tests;
