//! Section of the panel about the plane that cuts the scene.

use egui::{RichText, Slider, Ui};
use glam::DVec3;
use nstr_plot::format::compact;
use nstr_render::section::SPACING;

use crate::display_mode::DisplayMode;
use crate::panel::slider_row;
use crate::session::Session;

/// Shows the plane's controls. Rows that do not apply are greyed out, so that nothing moves.
pub(super) fn show(ui: &mut Ui, session: &mut Session) {
    let scene = session.scene.clone();
    let shaded = session.settings.mode == DisplayMode::Shaded;
    let towards_viewer = session.camera.rotation * DVec3::Z;
    let cut = &mut session.settings.cut;
    ui.horizontal(|ui| {
        ui.checkbox(&mut cut.enabled, "Cut at").on_hover_text("C; the plane has handles in the picture");
        for (i, name) in ["x", "y", "z"].into_iter().enumerate() {
            ui.selectable_value(&mut cut.axis, Some(i), name);
        }
        let free = ui.selectable_label(cut.axis.is_none(), "free");
        if free.on_hover_text("Any direction: drag the round handle").clicked() {
            (cut.direction, cut.axis) = (cut.normal(), None);
        }
        let view = ui.button("view").on_hover_text("Parallel to the picture");
        if let Some(scene) = scene.as_ref().filter(|_| view.clicked()) {
            let about = session.bounds.map_or(DVec3::ZERO, |(lo, hi)| 0.5 * (lo + hi));
            cut.turn(scene, towards_viewer, about);
            (cut.enabled, cut.flipped) = (true, false);
        }
    });
    ui.add_enabled_ui(cut.enabled, |ui| {
        let (lo, hi) = scene.as_ref().map_or((0.0, 1.0), |scene| cut.range(scene));
        // In world units on the panel, between the ends of the cube in the settings.
        let mut place = lo + (hi - lo) * cut.offset;
        let slider = Slider::new(&mut place, lo..=hi).max_decimals(4);
        if let (true, Some(scene)) = (slider_row(ui, "Place", slider), &scene) {
            cut.set_place(scene, place);
        }
        ui.horizontal(|ui| {
            ui.add_enabled_ui(shaded, |ui| {
                ui.checkbox(&mut cut.field, "Show the field")
                    .on_hover_text("Signed distances: blue inside, red outside, with lines; radiance: density")
                    .on_disabled_hover_text("While the scene is cut, in layer 1: other layers show their own values");
            });
            ui.checkbox(&mut cut.flipped, "other side");
        });
        ui.add_enabled_ui(shaded && cut.field, |ui| {
            let mut percent = 100.0 * cut.opacity;
            if slider_row(ui, "Opacity", Slider::new(&mut percent, 5.0..=100.0).suffix(" %").fixed_decimals(0)) {
                cut.opacity = 0.01 * percent;
            }
        });
        let spacing = scene.as_ref().filter(|s| !s.is_radiance()).map(|s| f64::from(SPACING) * s.cube.size);
        let text = match spacing {
            Some(spacing) => format!("a line every {} world units, a bold one at 0", compact(spacing)),
            None => "density per world unit".into(),
        };
        ui.label(RichText::new(text).weak().size(11.5));
    });
}
