//! nstr: neural spectral transport fields.

pub use nstr_backend as backend;
pub use nstr_camera as camera;
pub use nstr_capture as capture;
pub use nstr_compare as compare;
pub use nstr_diagnostics as diagnostics;
pub use nstr_field as field;
pub use nstr_files as files;
pub use nstr_fit as fit;
pub use nstr_geometry as geometry;
pub use nstr_image as image;
pub use nstr_kernel as kernel;
pub use nstr_metrics as metrics;
pub use nstr_pipeline as pipeline;
pub use nstr_plot as plot;
pub use nstr_render as render;
pub use nstr_signal as signal;
pub use nstr_space as space;
pub use nstr_spec as spec;
#[cfg(feature = "viewer")]
pub use nstr_viewer as viewer;
