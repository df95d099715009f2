//! Rendering on a GPU: the same images as on the CPU, with the field evaluated in the shader.
//!
//! [`Gpu`] is the device, [`GpuField`] a field's parameters on it. The shaders are in `shaders/`: `field.wgsl` evaluates
//! any field of three coordinates ([`Program`] generates the parts that depend on its shape); the others trace, march and
//! shade.

pub mod device;
mod error;
mod evaluate;
mod field;
mod frame;
mod params;
mod program;
mod render_target;
mod renderer;
mod shader;
#[doc(hidden)]
pub mod testing;
mod weights;

pub use device::{Gpu, PipelineKind};
pub use error::GpuError;
pub use evaluate::{PointShader, PointValues};
pub use field::GpuField;
pub use program::{GridPrecision, Program};
pub use render_target::RenderTarget;
pub use renderer::{FrameJob, GpuRenderer, colormap_source};
