//! Fused evaluation of fields on tiles of points: forward, tangents, adjoints, and the steps of the optimiser and of the
//! moving average, and rounding, on plain slices. Vector code runs through `pulp`, which picks the widest instruction set of the machine at run time, unless
//! `NSTR_SIMD` asks for a narrower one (`scalar`, `avx2`, `avx512`). Knows no Burn.

pub mod adam;
mod arch;
mod basis;
mod bf16;
mod compositing;
mod density;
pub mod direction_encoding;
pub mod ema;
mod fused;
mod gemm;
mod latent;
mod latent_adjoint;
mod loss;
mod math;
mod mlp;
mod product;
mod radiance;
mod ray_step;
mod regularizer;
pub mod rounding;
mod tile;
mod tile_values;
mod transported;

pub use arch::arch;
pub use bf16::GradientPrecision;
pub use density::Density;
pub use fused::{FusedField, GradientSlices, Targets};
pub use loss::{BatchLoss, LEAST_PAIR_DISTANCE_SQUARED, PointLoss};
pub use radiance::{DepthLoss, RayBatch, RayBatchRef, RayLoss, RayOutputs, RayResults, RayStats};
pub use regularizer::{EIKONAL_EPSILON, PointRegularizer};
pub use tile::{Outputs, PackedWeights};
pub use transported::{Lines, TransportSteps};
