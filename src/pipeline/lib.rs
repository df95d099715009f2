//! The work of the command as functions: fit a field to a mesh, a capture, a picture or a sound; open a saved model as the kind
//! of field that it is; render it, measure it, export its surface; write it as a compact file.

pub mod camera_path;
pub mod compact;
pub mod error;
pub mod evaluate;
pub mod field;
pub mod fingerprint;
pub mod fit;
#[cfg(all(test, feature = "gpu"))]
mod gpu_suite;
pub mod mesh_input;
pub mod options;
pub mod record;
pub mod renderer;
mod seen_surface;
mod surface_mesh;
#[cfg(test)]
mod tests;
pub mod time_left;
#[cfg(feature = "gpu")]
pub mod upload;

pub use compact::{CompactOptions, Compacted, compact};
pub use error::Error;
pub use evaluate::{EvalOptions, Scores, evaluate};
pub use field::{Field, FieldKind, RadianceModel, SdfModel, SignalModel};
pub use fit::{FitObserver, FitScene, Fitted, fit, fit_capture, fit_mesh, fit_signal};
pub use mesh_input::MeshInput;
pub use options::{CaptureSettings, FitOptions, SignSettings};
pub use record::FitRecord;
pub use renderer::{Renderer, RendererChoice};
pub use surface_mesh::SurfaceMesh;
