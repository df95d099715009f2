//! Diagnostics of trained fields: relations between a field's spectrum and its signal, in numbers beside those of null models.
//!
//! [`diagnose()`] makes the whole [`report`] of a saved model. Its sections: [`sdf_report`] relates S to the curvature of a
//! surface, [`signal_report`] to the edges of a picture or a sound, [`radiance_report`] to jumps of depth, and
//! [`theory_report`] measures the claims of the method's theory ([`theory`], [`frequency`]). Correlations and their intervals
//! are in [`stats`], what is correlated in [`feature_set`], null models in [`null_models`].

mod diagnose;
pub mod feature_set;
pub mod frequency;
pub mod level_set_curvature;
pub mod linear;
mod model_facts;
pub mod null_models;
pub mod radiance_report;
pub mod regions;
pub mod report;
pub mod sdf_report;
pub mod signal_report;
pub mod stats;
pub mod surface;
pub mod theory;
pub mod theory_report;

pub use diagnose::{DiagnoseOptions, diagnose};
pub use report::Report;
