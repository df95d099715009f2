//! Opening of another model in the same window, on a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use nstr_field::model::{Model, is_model_name};

use crate::app::{App, window};
use crate::scene::Scene;

/// A model that was read.
struct OpenedModel {
    scene: Arc<Scene>,
    /// Lines about it for the panel.
    details: Vec<String>,
}

/// Model that is being read.
pub(super) struct Opening {
    path: PathBuf,
    receiver: Receiver<Result<OpenedModel, String>>,
}

/// Reads a model and prepares its field. `Err` is a message for the user.
fn read(path: &Path) -> Result<OpenedModel, String> {
    let model = Arc::new(Model::load(path).map_err(|e| e.to_string())?);
    let scene = Scene::of_model(path, model.clone()).map_err(|e| e.to_string())?;
    // Prepared here, so that the window does not wait.
    scene.bounds();
    let kind = if scene.is_radiance() { "radiance" } else { "signed distance" };
    let details = vec![format!("{kind}, {} parameters", model.spec.parameters())];
    Ok(OpenedModel { scene: Arc::new(scene), details })
}

/// Models in the folder of `path`, by name.
pub(crate) fn models_beside(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|f| f.path());
    let mut models: Vec<PathBuf> = files.filter(|f| is_model_name(f) && f.is_file()).collect();
    models.sort();
    models
}

impl App {
    /// Starts to read a model that takes the place of the present one.
    pub(super) fn open_model(&mut self, path: PathBuf) {
        if self.options.training.is_some() {
            return self.session.notify_error("a fit is shown here: open the model in a window of its own");
        }
        if !path.is_file() {
            return self.session.notify_error(format!("{}: no such file", path.display()));
        }
        let (sender, receiver) = channel();
        let (file, waker) = (path.clone(), self.waker());
        let work = move || {
            // Fails only if the window was closed or another model asked for.
            let _ = sender.send(read(&file));
            waker();
        };
        match std::thread::Builder::new().name("open".into()).spawn(work) {
            Ok(_) => self.opening = Some(Opening { path, receiver }),
            Err(e) => self.session.notify_error(format!("{}: {e}", path.display())),
        }
    }

    /// Shows a model that has been read.
    pub(super) fn take_opened_model(&mut self) {
        let Some(opening) = &self.opening else { return };
        let result = match opening.receiver.try_recv() {
            Ok(result) => result,
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => Err("reading the model failed".into()),
        };
        let Some(Opening { path, .. }) = self.opening.take() else { return };
        self.dirty = true;
        match result {
            Ok(OpenedModel { scene, details }) => {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
                if let Some(opened) = &self.opened {
                    opened.window.set_title(&format!("{name} - nstr"));
                }
                self.session.notify(format!("opened {}", path.display()));
                self.session.output_stem = path.file_stem().map_or_else(|| "view".into(), PathBuf::from);
                self.session.replace_model(scene.clone(), window::first_camera(&scene), scene.bounds());
                self.session.open_name = path.display().to_string();
                self.session.model_file = Some(path.clone());
                self.list_model(&path);
                (self.options.title, self.options.details, self.scores) = (name, details, None);
            }
            Err(reason) => self.session.notify_error(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_the_folder_are_listed_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.safetensors", "a.nstr", "c.json", "d.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let names: Vec<_> = models_beside(&dir.path().join("x.safetensors"))
            .iter()
            .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["a.nstr", "b.safetensors"]);
        assert!(read(&dir.path().join("b.safetensors")).is_err_and(|e| e.contains("b.safetensors")));
    }
}
