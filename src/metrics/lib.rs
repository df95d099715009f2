//! What is measured of a result, against its reference.

pub mod image;
pub mod mesh;
pub mod sound;

pub use image::{ImageMetricError, ImageMetrics, compare_images, mse, psnr, psnr_of_mse, ssim};
pub use mesh::{MeshMetrics, MetricError, Overlap, compare_meshes, iou};
pub use sound::{
    SoundMetricError, SoundMetrics, compare_sounds, si_sdr, snr_db, spectral_convergence, spectral_leakage,
};
