//! Section of the panel that saves the picture, the layers, the surface and the model.

use egui::{ComboBox, DragValue, Ui};

use crate::export::{MESH_FORMATS, MESH_RESOLUTIONS};
use crate::input::Action;
use crate::panel::PanelCommand;
use crate::session::Session;

/// Shows the buttons, and format and resolution of meshes.
pub(super) fn show(ui: &mut Ui, session: &mut Session, commands: &mut Vec<PanelCommand>) {
    ui.horizontal(|ui| {
        for (name, action, hint) in [
            ("PNG", Action::SavePng, "P: the picture, once it is refined"),
            ("EXR", Action::SaveExr, "X: all layers, linear"),
            ("Model", Action::SaveModel, "ctrl + S: a copy of the field as it is now"),
            ("Help", Action::Help, "H or F1"),
        ] {
            if ui.button(name).on_hover_text(hint).clicked() {
                commands.push(PanelCommand::Act(action));
            }
        }
    });
    ui.horizontal(|ui| {
        if ui.button("Mesh").on_hover_text("M: the surface in world units, as nstr mesh writes it").clicked() {
            commands.push(PanelCommand::Act(Action::SaveMesh));
        }
        let mesh = &mut session.mesh_settings;
        ComboBox::from_id_salt("mesh").width(52.0).selected_text(mesh.format).show_ui(ui, |ui| {
            for format in MESH_FORMATS {
                ui.selectable_value(&mut mesh.format, format, format);
            }
        });
        let cells =
            DragValue::new(&mut mesh.resolution).range(MESH_RESOLUTIONS.0..=MESH_RESOLUTIONS.1).suffix(" cells");
        ui.add(cells).on_hover_text("Along the edge of the field's cube");
    });
}
