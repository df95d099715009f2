//! Metrics of meshes, images and sounds against their references.

pub mod audio;
pub mod image;
pub mod mesh;

pub use audio::{AudioMetricError, AudioMetrics, compare_audio, si_sdr, snr, spectral_convergence, spectral_leakage};
pub use image::{ImageMetricError, ImageMetrics, compare_images, mse, psnr, psnr_from_mse, ssim};
pub use mesh::{MeshMetricError, MeshMetrics, Overlap, compare_meshes, iou};
