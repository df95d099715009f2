//! Execution of the panel's commands and of the effects of actions.

use winit::window::Fullscreen;

use crate::app::App;
use crate::panel::PanelCommand;
use crate::session::Effect;
use crate::view_scores::ViewScores;

impl App {
    /// Executes a command of the panel, or an action of a key.
    pub(super) fn execute(&mut self, command: PanelCommand) {
        let size = self.image_size();
        match command {
            PanelCommand::Act(action) => {
                if let Some(effect) = self.session.act(action, size) {
                    self.apply(effect);
                }
            }
            PanelCommand::SavePath => self.session.save_path(size),
            PanelCommand::ClearPath => self.session.clear_path(),
            PanelCommand::CopyRenderCommand => match self.session.render_command(size) {
                Ok(command) => {
                    self.session.notify(format!("copied: {command}"));
                    self.apply(Effect::Copy(command));
                }
                Err(reason) => self.session.notify_error(reason),
            },
            PanelCommand::SetPaintShare(share) => {
                if let Some(training) = &self.options.training {
                    training.paint_budget().set_share(share);
                }
            }
            PanelCommand::Open(path) => self.open_model(path),
            PanelCommand::GoToView(view) => self.session.go_to_view(view, size),
            PanelCommand::EnsureView => {
                self.session.ensure_view(size);
            }
            PanelCommand::MeasureViews => self.measure_views(),
            PanelCommand::ToggleMeasuring => {
                let armed = self.session.measurement.armed;
                self.session.measurement.clear();
                self.session.measurement.armed = !armed;
            }
            PanelCommand::StopTraining => {
                if let Some(training) = &self.options.training {
                    training.stop();
                }
            }
        }
        self.dirty = true;
    }

    /// Starts to measure the field at each image of the capture.
    fn measure_views(&mut self) {
        let Some(scene) = self.session.scene.clone() else { return };
        let background = self.session.settings.background.srgb().unwrap_or([1.0; 3]);
        match ViewScores::start(&scene, &self.session.views, background, self.waker()) {
            Ok(scores) => self.scores = Some(scores),
            Err(reason) => self.session.notify_error(reason),
        }
    }

    pub(super) fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Open(path) => self.open_model(path),
            Effect::FullScreen => {
                if let Some(opened) = &self.opened {
                    let is_full = opened.window.fullscreen().is_some();
                    opened.window.set_fullscreen((!is_full).then_some(Fullscreen::Borderless(None)));
                }
            }
            Effect::SavePng(file) => self.saver.save_png(file),
            Effect::SaveExr(file) => self.save_exr(file),
            Effect::SaveMesh(file) => self.save_mesh(file),
            Effect::SaveModel(file) => self.save_model(file),
            Effect::RenderVideo => self.toggle_video(),
            Effect::Copy(text) => {
                if let Some(opened) = &mut self.opened {
                    opened.egui.set_clipboard_text(text);
                }
            }
            Effect::Paste => {
                let size = self.image_size();
                let text = self.opened.as_mut().and_then(|o| o.egui.clipboard_text());
                self.session.paste(&text.unwrap_or_default(), size);
            }
            Effect::Pause => {
                if let Some(training) = &self.options.training {
                    training.toggle_pause();
                }
            }
        }
    }
}
