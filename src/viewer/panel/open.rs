//! Section of the panel that opens another model.

use std::path::{Path, PathBuf};

use egui::Ui;

use crate::app::models_beside;
use crate::panel::{PanelCommand, file_name};
use crate::session::Session;

/// Shows the field for a name, the models that were shown last, and those beside the present one.
pub(super) fn show(ui: &mut Ui, session: &mut Session, recent: &[PathBuf], commands: &mut Vec<PanelCommand>) {
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
    ui.horizontal(|ui| {
        ui.menu_button("Recent", |ui| list(ui, recent, true, commands));
        // Read while the menu is open: new models appear.
        let beside = |name: &str| models_beside(Path::new(name.trim()));
        ui.menu_button("In this folder", |ui| list(ui, &beside(&session.open_name), false, commands));
    });
}

/// A menu of models; those that are gone are greyed out. `with_folders`: their folders are told too.
fn list(ui: &mut Ui, models: &[PathBuf], with_folders: bool, commands: &mut Vec<PanelCommand>) {
    if models.is_empty() {
        ui.label("none");
    }
    egui::ScrollArea::vertical().max_height(260.0).show(ui, |ui| {
        for model in models {
            let text = model.display().to_string();
            let folder = model.parent().map_or(String::new(), |p| p.display().to_string());
            let name = match with_folders {
                true => format!("{}   {}", file_name(&text), shortened(&folder)),
                false => file_name(&text).to_string(),
            };
            let button = ui.add_enabled(!with_folders || model.is_file(), egui::Button::new(name));
            if button.on_hover_text(&text).on_disabled_hover_text(format!("{text}: no such file")).clicked() {
                commands.push(PanelCommand::Open(model.clone()));
                ui.close();
            }
        }
    });
}

/// The end of a long path.
fn shortened(folder: &str) -> String {
    const MOST: usize = 36;
    let count = folder.chars().count();
    if count <= MOST { folder.into() } else { format!("…{}", folder.chars().skip(count - MOST).collect::<String>()) }
}
