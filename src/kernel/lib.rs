//! Fused evaluation of fields on tiles of points: forward, tangents, adjoints, and the optimiser step, on plain slices.
//! Vector code runs through `pulp`, which picks the widest instruction set of the machine at run time, unless
//! `NSTR_SIMD` asks for a narrower one (`scalar`, `avx2`, `avx512`). Knows no Burn.

pub mod adam;
mod arch;
mod basis;
pub mod direction;
mod fused;
mod gemm;
mod latent;
pub mod loss;
mod math;
mod mlp;
pub(crate) mod product;
pub mod radiance;
mod tile;

pub(crate) use arch::arch;
pub use fused::{Fused, Targets};
pub use loss::PointLoss;
pub use mlp::TILE;
pub use radiance::{RayBatch, RayLoss, RayStats, Rays};
pub use tile::{Outputs, Prepared};
