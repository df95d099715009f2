//! Writes pictures: PNGs once they are refined, EXRs in threads of their own.

use std::path::PathBuf;

use crate::app::App;
use crate::painter::Picture;
use crate::save;

impl App {
    /// Renders all layers in a thread of their own.
    pub(super) fn save_exr(&mut self, file: PathBuf) {
        let Some(view) = self.session.view(self.size()) else { return };
        self.session.say(format!("rendering {}", file.display()));
        let waker = self.waker();
        self.exrs.push(std::thread::spawn(move || {
            let said = match save::write_exr(&file, &view) {
                Ok(()) => format!("wrote {}", file.display()),
                Err(reason) => reason,
            };
            waker();
            said
        }));
    }

    /// Writes the PNGs that wait for a refined picture; says what became of EXRs.
    pub(super) fn save_due(&mut self) {
        for thread in self.exrs.extract_if(.., |t| t.is_finished()) {
            self.session.say(thread.join().unwrap_or_else(|_| "rendering the EXR failed".into()));
            self.dirty = true;
        }
        if self.pngs.is_empty() || !self.is_refined() {
            return;
        }
        let Some(shown) = &self.shown else { return };
        let image = match (&shown.picture, &self.opened) {
            (Picture::Gpu(picture), Some(opened)) => opened.presenter.picture(picture).map_err(|e| e.to_string()),
            _ => save::picture(shown).ok_or_else(|| "there is no picture to save".to_string()),
        };
        for file in std::mem::take(&mut self.pngs) {
            let written = image.as_ref().map_err(String::clone);
            let written = written.and_then(|image| save::write_png(&file, image).map_err(|e| e.to_string()));
            self.session.say(written.err().unwrap_or_else(|| format!("wrote {}", file.display())));
        }
        self.dirty = true;
    }
}
