//! What is measured of a result, against its reference.

pub mod image;
pub mod mesh;

pub use image::{ImageMetricError, ImageMetrics, compare_images, mse, psnr, psnr_of_mse, ssim};
pub use mesh::{MeshMetrics, MetricError, Overlap, compare_meshes, iou};
