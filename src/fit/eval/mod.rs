//! Metrics of fitted fields against what they were fitted to.

pub mod depth_thirds;
pub mod flatness;
pub mod near_camera;
pub mod sdf;
pub mod signal;
pub mod view_sheet;
pub mod views;

pub use depth_thirds::DepthThirds;
pub use flatness::{Flatness, flatness};
pub use near_camera::near_camera_opacity;
pub use sdf::{
    ProvenSurface, SdfEvalError, SdfEvalOptions, SdfScores, evaluate_sdf, extract_proven_surface, extract_surface,
    extract_surface_observed,
};
pub use signal::{SignalEvalError, SignalScores, evaluate_signal};
pub use view_sheet::{SheetOptions, SheetOrder};
pub use views::{NEAR_FRACTION, ViewEvalError, ViewEvalOptions, ViewScores, evaluate_views, view_psnr};
