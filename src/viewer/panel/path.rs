//! Section of the panel about the camera path.

use egui::{Button, ComboBox, DragValue, ProgressBar, RichText, ScrollArea, Slider, Ui};

use crate::camera_path::{FRAME_RATE, KEY_INTERVAL};
use crate::input::Action;
use crate::panel::{PanelCommand, PanelInfo, duration_text, slider_row, timeline};
use crate::session::Session;
use crate::video_export::VideoFormat;

/// Shows the buttons of the path, its timeline and keys, its file and its video.
pub(super) fn show(ui: &mut Ui, session: &mut Session, info: &PanelInfo<'_>, commands: &mut Vec<PanelCommand>) {
    let keys = session.path.keys.len();
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        if ui.button("Add key").on_hover_text("F5").clicked() {
            commands.push(PanelCommand::Act(Action::AddKey));
        }
        let name = if session.playback_time.is_some() { "Stop" } else { "Play" };
        if ui.add_enabled(keys > 1, Button::new(name)).on_hover_text("F6").clicked() {
            commands.push(PanelCommand::Act(Action::Play));
        }
        ui.checkbox(&mut session.loops, "loop");
        let (can_undo, can_redo) = session.can_undo();
        if ui.add_enabled(can_undo, Button::new("⮪")).on_hover_text("Undo, ctrl + Z").clicked() {
            commands.push(PanelCommand::Act(Action::Undo));
        }
        if ui.add_enabled(can_redo, Button::new("⮫")).on_hover_text("Redo, ctrl + shift + Z").clicked() {
            commands.push(PanelCommand::Act(Action::Redo));
        }
        if ui.add_enabled(keys > 0, Button::new("Clear")).on_hover_text("Undo brings it back").clicked() {
            commands.push(PanelCommand::ClearPath);
        }
    });
    timeline::show(ui, session);
    ui.add_enabled_ui(keys > 1, |ui| {
        slider_row(
            ui,
            "Pace",
            Slider::new(&mut session.path.seconds_between_keys, KEY_INTERVAL.0..=KEY_INTERVAL.1)
                .suffix(" s")
                .logarithmic(true),
        );
    });
    key_list(ui, session);
    let frames = (session.path.duration() * FRAME_RATE).round() as usize + usize::from(keys > 0);
    let plural = |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
    let text = format!("{}, {:.1} s, {}", plural(keys, "key"), session.path.duration(), plural(frames, "frame"));
    ui.label(RichText::new(text).weak().size(11.5));
    file_row(ui, session, commands);
    video_rows(ui, session, info, commands);
    // A drag or a number that is being typed is one change.
    let is_busy = ui.ctx().input(|i| i.pointer.any_down()) || ui.ctx().egui_wants_keyboard_input();
    if !is_busy {
        session.path_changed();
    }
}

fn file_row(ui: &mut Ui, session: &mut Session, commands: &mut Vec<PanelCommand>) {
    ui.horizontal(|ui| {
        let load = ui.button("Load").on_hover_text("F7; or drop a .json onto the window");
        let enabled = session.path.keys.len() > 1;
        if ui.add_enabled(enabled, Button::new("Save")).on_hover_text("For nstr render --path").clicked() {
            commands.push(PanelCommand::SavePath);
        }
        let field = egui::TextEdit::singleline(&mut session.path_name).hint_text("file, .json");
        let named = ui.add(field.desired_width(ui.available_width() - 12.0));
        let entered = named.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
        if load.clicked() || entered {
            commands.push(PanelCommand::Act(Action::LoadPath));
        }
    });
}

fn video_rows(ui: &mut Ui, session: &mut Session, info: &PanelInfo<'_>, commands: &mut Vec<PanelCommand>) {
    let enabled = session.path.keys.len() > 1;
    ui.horizontal(|ui| {
        let name = if info.video.is_some() { "Stop video" } else { "Video" };
        let button = ui.add_enabled(enabled || info.video.is_some(), Button::new(name));
        if button.on_hover_text("F8: renders the path as the picture is shown, in its size").clicked() {
            commands.push(PanelCommand::Act(Action::RenderVideo));
        }
        ui.add_enabled_ui(info.video.is_none(), |ui| {
            let format = session.video_format;
            ComboBox::from_id_salt("video").width(52.0).selected_text(format.extension()).show_ui(ui, |ui| {
                for format in [VideoFormat::Mp4, VideoFormat::Gif] {
                    ui.selectable_value(&mut session.video_format, format, format.extension());
                }
            });
        });
        let copy = ui.add_enabled(enabled, Button::new("Copy command"));
        if copy.on_hover_text("The nstr render command of this video, for the clipboard; saves the path").clicked() {
            commands.push(PanelCommand::CopyRenderCommand);
        }
    });
    if let Some(progress) = info.video {
        let left = progress.left.map_or(String::new(), |left| format!(", {} left", duration_text(left)));
        let text = format!("frame {} of {}{left}", progress.done, progress.frames);
        let share = progress.done as f32 / progress.frames.max(1) as f32;
        ui.add(ProgressBar::new(share).text(RichText::new(text).size(11.5)).desired_height(16.0));
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
                let label = ui.add_sized([62.0, 18.0], Button::new(time).small());
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
                    if ui.add_enabled(enabled, Button::new(text).small()).on_hover_text(hint).clicked() {
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
        Some(Change::Shift(i, to_start)) => session.change_path(|path, _| path.shift(i, to_start)),
        Some(Change::Remove(i)) => session.change_path(|path, _| path.remove(i)),
        None => {}
    }
}
