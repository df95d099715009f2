//! Options of a viewer: the field, the window, and what it reads and writes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nstr_capture as capture;
use nstr_pipeline::RendererChoice;

use crate::reference_mesh::ReferenceMesh;
use crate::scene::Scene;
use crate::script::Script;
use crate::session::DisplaySettings;
use crate::training::Training;

/// Options of a viewer.
pub struct ViewerOptions {
    /// Name of the model or input.
    pub title: String,
    /// Lines about it for the panel.
    pub details: Vec<String>,
    /// Size of the window in physical pixels; `None` for 1280×800 points.
    pub size: Option<(u32, u32)>,
    /// Field to show; `None` if training brings it.
    pub scene: Option<Arc<Scene>>,
    /// File of the model that is shown, or that training writes.
    pub model_file: Option<PathBuf>,
    /// Mesh that a surface is compared with.
    pub mesh: Option<ReferenceMesh>,
    /// Images of a capture, which may be empty.
    pub views: Arc<Vec<capture::View>>,
    /// Display settings at the start.
    pub settings: DisplaySettings,
    /// Renderer of the images.
    pub renderer: RendererChoice,
    /// Folder and beginning of the names of saved files.
    pub output_stem: PathBuf,
    /// Camera path to load at the start.
    pub camera_path: Option<PathBuf>,
    /// Training run to show.
    pub training: Option<Training>,
    /// Script to run.
    pub script: Option<Script>,
    /// Whether the window closes once training is over.
    pub close_when_done: bool,
    /// Flag that closes the window once it is true.
    pub quit: Option<Arc<AtomicBool>>,
}
