//! Neural fields on GPUs, as CubeCL kernels that CUDA, Vulkan, Metal and DirectX 12 share.
//!
//! A *tile* is a block of points whose rows lie in workgroup memory from the coordinates to the output, feature by
//! feature, so that one matrix product after the other runs on them without a trip through device memory. The files of
//! [`field`] mirror those of the CPU kernels (`src/kernel`) under the same names.
//!
//! - [`shape`]: what the kernels are compiled for, and the plan of the rows in workgroup memory
//! - [`params`]: networks in the layouts that the kernels read
//! - [`field`]: parts of a tile, and the kernels over many points: values, adjoint, loss
//! - [`march`]: samples of rays in the occupied cells
//! - [`rays`]: compositing of rays and its adjoint
//! - [`adam`], [`ema`]: the optimiser's step, and the moving average of parameters
//! - [`run`]: buffers of a field on a device and the launches over them
//! - [`ray_step`]: those of steps over rays
//!
//! Two rules hold in every kernel, because compilers and drivers were seen to break silently without them:
//! loops that lie before a barrier turn equally often in every unit (what is left over is an `if`), and no subgroup
//! operations are used.

#![allow(missing_docs, reason = "the macro of kernels makes public items of its own; the rest is documented")]
#![allow(
    clippy::assign_op_pattern,
    clippy::if_same_then_else,
    clippy::needless_range_loop,
    clippy::too_many_arguments,
    reason = "kernels are written in the part of Rust that their macro knows: no iterators over what is known when they are compiled, \
              branches on it apart from those on numbers, and an argument a buffer"
)]

#[cfg(test)]
extern crate self as nstr_gpu;

pub mod adam;
pub mod ema;
pub mod field;
pub mod march;
pub mod params;
pub mod ray_step;
pub mod rays;
pub mod run;
pub mod shape;
#[cfg(test)]
mod tests;
