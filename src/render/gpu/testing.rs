//! One device for all tests of a process.

use std::sync::OnceLock;

use nstr_files::testing::{Requirement, skip};

use crate::gpu::device::Gpu;

/// The device that tests run on; `None`, with a notice, on machines without an adapter.
pub fn adapter() -> Option<&'static Gpu> {
    static GPU: OnceLock<Option<Gpu>> = OnceLock::new();
    let gpu = GPU.get_or_init(|| match Gpu::new() {
        Ok(gpu) => {
            eprintln!("rendering on {}", gpu.name());
            Some(gpu)
        }
        Err(e) => {
            skip(Requirement::Gpu, &e.to_string());
            None
        }
    });
    gpu.as_ref()
}
