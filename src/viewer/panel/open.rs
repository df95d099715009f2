//! Section of the panel that opens another model.

use std::path::{Path, PathBuf};

use egui::Ui;

use crate::app::models_beside;
use crate::panel::{PanelCommand, file_name};
use crate::session::Session;

/// Shows the field for a name and the models beside the last one.
pub(super) fn show(ui: &mut Ui, session: &mut Session, commands: &mut Vec<PanelCommand>) {
    ui.horizontal(|ui| {
        let open = ui.button("Open").on_hover_text("Or drop a model onto the window");
        let field = egui::TextEdit::singleline(&mut session.open_name).hint_text("model, .safetensors or .nstr");
        let named = ui.add(field.desired_width(ui.available_width() - 12.0));
        let entered = named.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
        let name = session.open_name.trim();
        if (open.clicked() || entered) && !name.is_empty() {
            commands.push(PanelCommand::Open(PathBuf::from(name)));
        }
    });
    ui.menu_button("Models in this folder", |ui| {
        // Read while the menu is open: new models appear.
        let models = models_beside(Path::new(session.open_name.trim()));
        if models.is_empty() {
            ui.label("none");
        }
        egui::ScrollArea::vertical().max_height(220.0).show(ui, |ui| {
            for model in models {
                let text = model.display().to_string();
                if ui.button(file_name(&text)).clicked() {
                    commands.push(PanelCommand::Open(model));
                    ui.close();
                }
            }
        });
    });
}
