//! Section of the panel about the capture: its cameras, its images beside the picture, and the quality at each.

use egui::{RichText, ScrollArea, Ui};

use crate::display_mode::DisplayMode;
use crate::input::Action;
use crate::orientation::Aid;
use crate::panel::{PanelCommand, PanelInfo, file_name};
use crate::photograph::PhotographMode;
use crate::session::Session;

/// Height of the list of images, points.
const LIST_HEIGHT: f32 = 112.0;

/// Shows the capture's controls.
pub(super) fn show(ui: &mut Ui, session: &mut Session, info: &PanelInfo<'_>, commands: &mut Vec<PanelCommand>) {
    ui.horizontal(|ui| {
        for (name, by) in [("<", -1), (">", 1)] {
            if ui.button(name).on_hover_text("page up and page down, or [ and ]").clicked() {
                commands.push(PanelCommand::Act(Action::NextView(by)));
            }
        }
        let text = match session.active_view {
            Some(i) => format!("{} of {}: {}", i + 1, session.views.len(), file_name(&session.views[i].name)),
            None => format!("{} images", session.views.len()),
        };
        ui.add(egui::Label::new(text).truncate());
    });
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 3.0;
        for (mode, name) in PhotographMode::ALL {
            let hint = match mode {
                PhotographMode::Off => "The picture alone",
                PhotographMode::Whole => "The capture's image in place of the picture; or hold I",
                PhotographMode::Wipe => "The image left of a line that can be dragged",
                PhotographMode::SideBySide => "The image beside the picture",
            };
            if ui.selectable_label(session.photograph.mode == mode, name).on_hover_text(hint).clicked() {
                session.photograph.mode = mode;
                if mode != PhotographMode::Off {
                    commands.push(PanelCommand::EnsureView);
                }
            }
        }
        let shows_error = session.settings.mode == DisplayMode::Error;
        if ui.selectable_label(shows_error, "Difference").on_hover_text("9: layer error; again: colour").clicked() {
            let mode = if shows_error { DisplayMode::Shaded } else { DisplayMode::Error };
            commands.push(PanelCommand::Act(Action::SetMode(mode)));
        }
    });
    ui.horizontal(|ui| {
        let mut shown = session.aids.frusta;
        let hint = "V: the capture's cameras in the scene; a click on one goes there";
        if ui.checkbox(&mut shown, "Cameras").on_hover_text(hint).changed() {
            commands.push(PanelCommand::Act(Action::Toggle(Aid::Frusta)));
        }
        let ready = session.scene.as_ref().is_some_and(|s| s.is_radiance()) && !session.is_training;
        let button = ui.add_enabled(ready, egui::Button::new("Measure images"));
        let button = button.on_disabled_hover_text("Needs a radiance field that is not in training");
        if button.on_hover_text("PSNR at every image, from a part of its pixels, in the background").clicked() {
            commands.push(PanelCommand::MeasureViews);
        }
    });
    list(ui, session, info, commands);
}

/// Images by their error.
fn list(ui: &mut Ui, session: &Session, info: &PanelInfo<'_>, commands: &mut Vec<PanelCommand>) {
    let Some(scores) = info.scores else { return };
    let (done, all) = scores.progress();
    let outdated = session.scene.as_ref().is_some_and(|s| scores.is_outdated(s));
    let mut text = match done == all {
        true => "worst first; click to go there".to_string(),
        false => format!("measuring: {done} of {all}"),
    };
    if outdated {
        text = "of an earlier state of the field".into();
    }
    if let Some(reason) = scores.failure() {
        text = reason;
    }
    ui.label(RichText::new(text).weak().size(11.5));
    // Of one height from the first image on, so that nothing below moves.
    let area = ScrollArea::vertical().id_salt("scores").max_height(LIST_HEIGHT).auto_shrink([false, false]);
    area.show(ui, |ui| {
        ui.set_min_width(ui.available_width() - 6.0);
        ui.spacing_mut().item_spacing.y = 1.0;
        for (view, psnr) in scores.sorted() {
            let name = session.views.get(view).map_or("", |v| file_name(&v.name));
            let text = RichText::new(format!("{psnr:5.2} dB  {name}")).monospace().size(11.5);
            if ui.selectable_label(session.active_view == Some(view), text).clicked() {
                commands.push(PanelCommand::GoToView(view));
            }
        }
    });
}
