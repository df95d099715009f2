//! Section of the panel about the camera path.

use egui::{DragValue, RichText, ScrollArea, Slider, Ui};

use crate::camera_path::{FRAME_RATE, KEY_INTERVAL};
use crate::input::Action;
use crate::panel::{PanelCommand, slider_row};
use crate::session::Session;

/// Shows the buttons of the path, its file and its keys.
pub(super) fn show(ui: &mut Ui, session: &mut Session, commands: &mut Vec<PanelCommand>) {
    let keys = session.path.keys.len();
    ui.horizontal(|ui| {
        if ui.button("Add key").on_hover_text("F5").clicked() {
            commands.push(PanelCommand::Act(Action::AddKey));
        }
        let name = if session.playback_time.is_some() { "Stop" } else { "Play" };
        if ui.add_enabled(keys > 1, egui::Button::new(name)).on_hover_text("F6").clicked() {
            commands.push(PanelCommand::Act(Action::Play));
        }
        if ui.add_enabled(keys > 1, egui::Button::new("Save")).on_hover_text("For nstr render --path").clicked() {
            commands.push(PanelCommand::SavePath);
        }
        if ui.add_enabled(keys > 0, egui::Button::new("Clear")).clicked() {
            commands.push(PanelCommand::ClearPath);
        }
    });
    ui.horizontal(|ui| {
        let load = ui.button("Load").on_hover_text("F7; or drop a .json onto the window");
        let field = egui::TextEdit::singleline(&mut session.path_name).hint_text("file, .json");
        let named = ui.add(field.desired_width(ui.available_width() - 12.0));
        let entered = named.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
        if load.clicked() || entered {
            commands.push(PanelCommand::Act(Action::LoadPath));
        }
    });
    if keys > 0 {
        slider_row(
            ui,
            "Pace",
            Slider::new(&mut session.path.seconds_between_keys, KEY_INTERVAL.0..=KEY_INTERVAL.1)
                .suffix(" s")
                .logarithmic(true),
        );
        key_list(ui, session);
        let frames = (session.path.duration() * FRAME_RATE).round() as usize + 1;
        let plural = |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
        let text = format!("{}, {:.1} s, {}", plural(keys, "key"), session.path.duration(), plural(frames, "frame"));
        ui.label(RichText::new(text).weak().size(11.5));
    }
}

/// Height of the list of keys, points.
const LIST_HEIGHT: f32 = 120.0;

/// Change of the list of keys.
enum Change {
    GoTo(usize),
    Replace(usize),
    Shift(usize, bool),
    Remove(usize),
}

/// The keys in their order, with the time to the next.
fn key_list(ui: &mut Ui, session: &mut Session) {
    let count = session.path.keys.len();
    let mut change = None;
    ScrollArea::vertical().id_salt("keys").max_height(LIST_HEIGHT).show(ui, |ui| {
        ui.spacing_mut().item_spacing = egui::vec2(4.0, 2.0);
        for i in 0..count {
            ui.horizontal(|ui| {
                let time = format!("{}   {:.1} s", i + 1, session.path.time_of(i));
                let label = ui.add_sized([62.0, 18.0], egui::Button::new(time).small());
                if label.on_hover_text("Go to this key").clicked() {
                    change = Some(Change::GoTo(i));
                }
                let mut seconds = session.path.seconds_after(i);
                let value =
                    DragValue::new(&mut seconds).range(KEY_INTERVAL.0..=KEY_INTERVAL.1).speed(0.05).suffix(" s");
                let value = ui.add_enabled(i + 1 < count, value).on_hover_text("Seconds to the next key");
                if value.changed() {
                    session.path.set_seconds_after(i, Some(seconds));
                }
                let mut button = |ui: &mut Ui, text: &str, enabled: bool, hint: &str, to: Change| {
                    if ui.add_enabled(enabled, egui::Button::new(text).small()).on_hover_text(hint).clicked() {
                        change = Some(to);
                    }
                };
                button(ui, "⬆", i > 0, "Earlier", Change::Shift(i, true));
                button(ui, "⬇", i + 1 < count, "Later", Change::Shift(i, false));
                button(ui, "set", true, "Replace by the camera", Change::Replace(i));
                button(ui, "✖", true, "Remove", Change::Remove(i));
            });
        }
    });
    match change {
        Some(Change::GoTo(i)) => session.go_to_key(i),
        Some(Change::Replace(i)) => session.replace_key(i),
        Some(Change::Shift(i, to_start)) => session.path.shift(i, to_start),
        Some(Change::Remove(i)) => session.path.remove(i),
        None => {}
    }
}
