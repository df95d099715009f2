//! Section of the panel about the camera: field of view, named views, copying.

use egui::{Slider, Ui};

use crate::camera::FOV;
use crate::input::Action;
use crate::orientation::Preset;
use crate::panel::{PanelCommand, slider_row};
use crate::session::Session;

/// Shows the camera's controls.
pub(super) fn show(ui: &mut Ui, session: &mut Session, commands: &mut Vec<PanelCommand>) {
    let mut fov = session.camera.fov;
    let slider = Slider::new(&mut fov, FOV.0..=FOV.1).suffix("°").fixed_decimals(1).logarithmic(true);
    // The slider rounds the value that it shows: a smaller difference is not a change.
    if slider_row(ui, "Field of view", slider) && (fov - session.camera.fov).abs() > 0.06 {
        commands.push(PanelCommand::Act(Action::AdjustFov(fov - session.camera.fov)));
    }
    let mut clicked = Vec::new();
    let mut button = |ui: &mut Ui, name: &str, action: Action, hint: &str| {
        if ui.button(name).on_hover_text(hint).clicked() {
            clicked.push(action);
        }
    };
    egui::Grid::new("presets").num_columns(4).spacing([4.0, 4.0]).show(ui, |ui| {
        for (i, preset) in Preset::ALL.into_iter().enumerate() {
            button(ui, preset.name(), Action::View(preset), preset.key());
            if i == 2 {
                button(ui, "All", Action::FrameAll, "F: show the whole object");
                ui.end_row();
            }
        }
        let hint =
            "O: rays that are parallel to within 1 %, as in a drawing; layer depth.ray then counts from far away";
        let parallel = ui.selectable_label(session.camera.is_parallel(), "Parallel").on_hover_text(hint);
        if parallel.clicked() {
            commands.push(PanelCommand::Act(Action::Parallel));
        }
        ui.end_row();
    });
    commands.extend(clicked.into_iter().map(PanelCommand::Act));
    ui.horizontal(|ui| {
        for (name, action, hint) in [
            ("Reset", Action::Reset, "R: the first camera"),
            ("Copy", Action::Copy, "Ctrl+C: as JSON, as in a transforms.json"),
            ("Paste", Action::Paste, "Ctrl+V: a camera, or a frame of a capture's file"),
        ] {
            if ui.button(name).on_hover_text(hint).clicked() {
                commands.push(PanelCommand::Act(action));
            }
        }
    });
}
