//! Metrics of fitted fields against what they were fitted to.

pub mod flatness;
pub mod sdf;
pub mod signal;
pub mod views;

pub use flatness::{Flatness, flatness};
pub use sdf::{SdfEvalError, SdfEvalOptions, SdfScores, evaluate_sdf, extract_surface};
pub use signal::{SignalEvalError, SignalScores, evaluate_signal};
pub use views::{ViewEvalError, ViewScores, evaluate_views, view_psnr};
