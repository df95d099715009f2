//! Saving of files: PNG files once the image is refined, all others by threads of their own.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use nstr_image::png;
use nstr_render::{LayerSet, exr};

use crate::app::App;
use crate::cpu_backend::render_frame;
use crate::export;
use crate::presenter::Presenter;
use crate::render_backend::{PixelBuffer, Quality, RenderRequest, RenderedImage};
use crate::render_thread::Waker;
use crate::video_export::VideoExport;

/// Files that are still to be written.
#[derive(Default)]
pub(super) struct FileSaver {
    pending_pngs: Vec<PathBuf>,
    /// Threads that make and write other files; each returns a message for the user.
    threads: Vec<JoinHandle<String>>,
}

impl FileSaver {
    /// Whether every file is written.
    pub fn is_idle(&self) -> bool {
        self.pending_pngs.is_empty() && self.threads.is_empty()
    }

    /// Whether PNG files wait for a refined image.
    pub fn wants_image(&self) -> bool {
        !self.pending_pngs.is_empty()
    }

    /// Saves the next refined image to `file`.
    pub fn save_png(&mut self, file: PathBuf) {
        self.pending_pngs.push(file);
    }

    /// Starts a thread that makes and writes a file and returns a message for the user either way; calls `wake` at its end.
    pub fn start(&mut self, wake: Waker, work: impl FnOnce() -> Result<String, String> + Send + 'static) {
        self.threads.push(std::thread::spawn(move || {
            let message = work().unwrap_or_else(|reason| reason);
            wake();
            message
        }));
    }

    /// Messages of the threads that have ended.
    pub fn messages(&mut self) -> Vec<String> {
        let ended = self.threads.extract_if(.., |t| t.is_finished());
        ended.map(|t| t.join().unwrap_or_else(|_| "making the file failed".into())).collect()
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

    /// Waits for the threads.
    pub fn finish(&mut self) {
        for thread in self.threads.drain(..) {
            // The file is wanted; its message has no reader any more.
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

impl App {
    /// Starts to render all layers to an EXR file.
    pub(super) fn save_exr(&mut self, file: PathBuf) {
        let Some(request) = self.session.render_request(self.image_size()) else { return };
        self.session.notify(format!("rendering {}", file.display()));
        let work = move || write_exr(&file, &request).map(|()| format!("wrote {}", file.display()));
        self.saver.start(self.waker(), work);
    }

    /// Starts to write the surface as a mesh.
    pub(super) fn save_mesh(&mut self, file: PathBuf) {
        let Some(scene) = self.session.scene.clone() else { return };
        let cells = self.session.mesh_settings.resolution;
        self.session.notify(format!("making {} of {cells} cells along the cube's edge", file.display()));
        self.saver.start(self.waker(), move || export::save_mesh(&scene, &file, cells));
    }

    /// Starts to write the model.
    pub(super) fn save_model(&mut self, file: PathBuf) {
        let Some(scene) = self.session.scene.clone() else { return };
        self.saver.start(self.waker(), move || export::save_model(&scene, &file));
    }

    /// Starts to render the camera path to a video, or stops.
    pub(super) fn toggle_video(&mut self) {
        if let Some(video) = &self.video {
            video.stop();
            return self.session.notify("stopping after this frame");
        }
        if self.session.is_training {
            return self.session.notify_error("a video shows one field: pause the fit, or wait for its end");
        }
        let size = self.image_size();
        let Some(request) = self.session.render_request(size) else { return };
        let cameras = self.session.path.frames(size);
        let format = self.session.video_format;
        let file = self.session.next_file(format.extension());
        match VideoExport::start(file.clone(), format, request, &cameras, self.waker()) {
            Ok(video) => {
                self.session.notify(format!("rendering {}: F8 stops it", file.display()));
                self.video = Some(video);
            }
            Err(reason) => self.session.notify_error(reason),
        }
    }

    /// Writes the PNG files that wait for the image if it is refined, and reports files that are written.
    pub(super) fn save_files(&mut self) {
        let mut messages = self.saver.messages();
        if let Some(message) = self.video.as_mut().and_then(VideoExport::take_message) {
            self.video = None;
            messages.push(message);
        }
        if self.saver.wants_image()
            && self.is_refined()
            && messages.is_empty()
            && let Some(image) = &self.image
        {
            messages.extend(self.saver.write_pngs(image, self.opened.as_ref().map(|o| &o.presenter)));
        }
        for message in messages {
            self.session.notify(message);
            self.dirty = true;
        }
    }
}
