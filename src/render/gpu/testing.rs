//! Devices of tests.

use nstr_files::testing::{Requirement, skip};

use crate::gpu::device::Gpu;

/// A device of the test's own; `None`, with a notice, on machines without an adapter. Mesa's software driver compiles the
/// shaders of a device one after the other, in its queue: tests that share none compile at the same time.
pub fn adapter() -> Option<Gpu> {
    let gpu = Gpu::new().inspect_err(|e| skip(Requirement::Gpu, &e.to_string())).ok()?;
    eprintln!("rendering on {}", gpu.name());
    Some(gpu)
}
