//! Training of neural fields: the loop, its data and its schedule, and one file for each task.

mod batch_loader;
mod camera_refinement;
mod camera_trial;
pub mod cell_masks;
mod check;
mod coarse_to_fine;
mod config;
mod depth;
mod error;
mod error_guide;
pub mod eval;
mod exposure;
mod first_shape;
mod gauss_newton;
mod gaussian;
mod image_blocks;
mod observer;
pub mod occupancy_grid;
mod parameters;
mod preset;
pub mod radiance;
mod ray_gradients;
mod rays;
mod regularizer_loss;
mod regularizers;
mod robust;
pub mod rounding;
mod run_report;
mod schedule;
pub mod sdf;
pub mod sensitivity;
pub mod signal;
mod state;
mod surface;
mod task;
mod train_config;
mod trainer;
mod training;
mod training_log;
pub mod unseen_cells;
mod usable_pixels;

pub use batch_loader::{Batch, BatchLoader, BatchSource, LoaderConfig};
pub use camera_refinement::{CameraConfig, CameraRefinement, RefineMode};
pub use camera_trial::CameraTrial;
pub use config::FitConfig;
pub use depth::DepthConfig;
pub use error::{ObserverError, TrainError};
pub use exposure::{AffineColour, ExposureConfig, ExposureFit};
pub use observer::{Observer, Progress, StageObserver};
pub use occupancy_grid::OccupancyConfig;
pub use radiance::RadianceTask;
pub use rays::{DrawnRays, RayConfig, RayPixel, RaySampler, ViewCorrections};
pub use regularizers::Regularizers;
pub use robust::{RobustConfig, RobustLoss};
pub use rounding::{RoundingConfig, RoundingState, SizeTarget};
pub use run_report::RunReport;
pub use schedule::{Budget, LrDecay, Schedule};
pub use state::{TaskState, TrainState};
pub use surface::SurfaceConfig;
pub use task::{StepContext, Task};
pub use train_config::TrainConfig;
pub use trainer::Trainer;
pub use training::{TrainingData, train};
pub use training_log::{LogPoint, TrainingCurve, TrainingLog};

#[cfg(all(test, any(feature = "cuda", feature = "wgpu")))]
mod device_suite;
#[cfg(test)]
mod pose_recovery_tests;
#[cfg(test)]
mod tests;
