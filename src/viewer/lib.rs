//! Interactive viewer: a window that shows a field from any camera, and a fit while it runs.
//!
//! [`run`] opens the window. Its event loop maps keys and pointer to actions, which change the session: camera, layer, light,
//! section, camera path. The session gives a [`RenderRequest`] for a render backend, which answers with images of growing
//! quality; the presenter draws them beside the panel. Rendering and presenting never wait for each other. A field in
//! training comes through [`Training`]. This crate is independent of the command line and of how models are fitted.

mod app;
mod bench;
mod blit;
mod camera;
mod camera_path;
mod contours;
mod cpu_backend;
mod cut_handle;
mod display_mode;
mod edges;
mod error;
mod event_conversion;
mod export;
mod frusta;
mod gpu_backend;
mod gpu_tonemap;
mod input;
mod orientation;
mod overlay;
mod paint_budget;
mod panel;
mod photograph;
mod presenter;
mod preview;
mod probe;
mod progressive;
mod readback;
mod readout;
mod recent_files;
mod reference_mesh;
mod render_backend;
mod render_thread;
mod scene;
mod script;
mod session;
mod spectrum;
mod tonemap;
mod training;
mod video_export;
mod view_scores;

pub use app::{ViewerOptions, run, run_bench};
pub use bench::{BenchReport, MotionReport};
pub use camera::ViewCamera;
pub use camera_path::CameraPath;
pub use cpu_backend::render_image;
pub use display_mode::DisplayMode;
pub use error::ViewerError;
pub use reference_mesh::ReferenceMesh;
pub use render_backend::{Quality, ReferenceImage, RenderRequest};
pub use scene::{NO_VIEWS, Scene, SceneField};
pub use script::Script;
pub use session::{Cut, DisplaySettings};
pub use training::{SnapshotObserver, Training, TrainingPhase};
