//! nstr: neural spectral transport fields.
pub mod atomic;
pub mod capture;
pub mod compare;
pub mod diagnostics;
pub mod field;
pub mod fit;
pub mod geometry;
pub mod kernel;
pub mod metrics;
pub mod plot;
pub mod render;
pub mod signal;
#[cfg(feature = "viewer")]
pub mod viewer;
