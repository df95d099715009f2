//! Saving of images: PNG files once the image is refined, EXR files rendered by threads of their own.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use nstr_image::png;
use nstr_render::{LayerSet, exr};

use crate::cpu_backend::render_frame;
use crate::presenter::Presenter;
use crate::render_backend::{PixelBuffer, Quality, RenderRequest, RenderedImage};
use crate::render_thread::Waker;

/// Files that are still to be written.
#[derive(Default)]
pub(super) struct FileSaver {
    pending_pngs: Vec<PathBuf>,
    /// Threads that render and write EXR files; each returns a message for the user.
    exr_threads: Vec<JoinHandle<String>>,
}

impl FileSaver {
    /// Whether every file is written.
    pub fn is_idle(&self) -> bool {
        self.pending_pngs.is_empty() && self.exr_threads.is_empty()
    }

    /// Whether PNG files wait for a refined image.
    pub fn wants_image(&self) -> bool {
        !self.pending_pngs.is_empty()
    }

    /// Saves the next refined image to `file`.
    pub fn save_png(&mut self, file: PathBuf) {
        self.pending_pngs.push(file);
    }

    /// Starts a thread that renders all layers of `request` and writes them to `file`; calls `wake` at its end.
    pub fn save_exr(&mut self, file: PathBuf, request: RenderRequest, wake: Waker) {
        self.exr_threads.push(std::thread::spawn(move || {
            let message = match write_exr(&file, &request) {
                Ok(()) => format!("wrote {}", file.display()),
                Err(reason) => reason,
            };
            wake();
            message
        }));
    }

    /// Messages of the EXR threads that have ended.
    pub fn exr_messages(&mut self) -> Vec<String> {
        let ended = self.exr_threads.extract_if(.., |t| t.is_finished());
        ended.map(|t| t.join().unwrap_or_else(|_| "rendering the EXR failed".into())).collect()
    }

    /// Writes the waiting PNG files from a refined image; returns the message of each.
    pub fn write_pngs(&mut self, image: &RenderedImage, presenter: Option<&Presenter>) -> Vec<String> {
        let image = match (&image.pixels, presenter) {
            (PixelBuffer::Gpu(pixels), Some(presenter)) => presenter.read_back(pixels).map_err(|e| e.to_string()),
            (PixelBuffer::Cpu(pixels), _) => Ok(pixels.image.clone()),
            (PixelBuffer::Gpu(_), None) => Err("there is no picture to save".to_string()),
        };
        let write = |file: PathBuf| {
            let image = image.as_ref().map_err(String::clone);
            let written = image.and_then(|image| png::write(&file, image).map_err(|e| e.to_string()));
            written.err().unwrap_or_else(|| format!("wrote {}", file.display()))
        };
        self.pending_pngs.drain(..).map(write).collect()
    }

    /// Gives up the waiting PNG files and returns them.
    pub fn abandon_pngs(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.pending_pngs)
    }

    /// Waits for the EXR files.
    pub fn finish(&mut self) {
        for thread in self.exr_threads.drain(..) {
            // Wait for the EXR to finish; its status message has no reader.
            let _ = thread.join();
        }
    }
}

/// Renders all layers of a request and writes them as EXR, linear and without exposure. `Err` is a message for the user.
fn write_exr(path: &Path, request: &RenderRequest) -> Result<(), String> {
    let samples = match request.quality {
        Quality::Full(n) => n.clamp(1, 64),
        Quality::LowLatency => 1,
    };
    let renderer = request.scene.renderer().map_err(|e| e.to_string())?;
    let frame = render_frame(&renderer, &request.camera, request, LayerSet::all(), (samples, 0), request.background);
    exr::write(path, &frame.map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}
