//! The interactive viewer: a window that shows a field from wherever the user goes.
//!
//! [`app`] runs the event loop and owns the window. Events become [`input::Action`]s, which change the [`session`]: camera,
//! layer, light, section, camera path. From that follows the [`painter::View`] that a [`painter::Painter`] is asked for; it
//! answers with ever better pictures, which [`present`] draws beside the panel. Painting and presenting never wait for
//! each other. A field in training comes through [`training`]. Nothing here knows the command line or a model's recipe.

pub mod app;
mod blit;
pub mod camera;
pub mod cpu_painter;
pub mod desk;
mod display;
pub mod error;
pub mod gpu_painter;
pub mod input;
pub mod layer;
pub mod painter;
mod panel;
mod passes;
mod plot;
pub mod present;
pub mod readback;
pub mod recording;
pub mod save;
pub mod scene;
pub mod script;
pub mod session;
mod tone;
pub mod training;
mod translate;

pub use app::{Setup, run};
pub use error::ViewerError;
pub use layer::Show;
pub use scene::{Field, Scene};
pub use script::Script;
pub use training::Training;
