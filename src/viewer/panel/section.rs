//! Section of the panel about the plane that cuts the scene.

use egui::{RichText, Slider, Ui};
use nstr_plot::format::compact;
use nstr_render::section::SPACING;

use crate::display_mode::DisplayMode;
use crate::panel::slider_row;
use crate::session::Session;

/// Shows the plane's controls. Rows that do not apply are greyed out, so that nothing moves.
pub(super) fn show(ui: &mut Ui, session: &mut Session) {
    let scene = session.scene.clone();
    let shaded = session.settings.mode == DisplayMode::Shaded;
    let cut = &mut session.settings.cut;
    ui.horizontal(|ui| {
        ui.checkbox(&mut cut.enabled, "Cut at");
        for (i, name) in ["x", "y", "z"].into_iter().enumerate() {
            ui.selectable_value(&mut cut.axis, i, name);
        }
        ui.checkbox(&mut cut.flipped, "other side");
    });
    ui.add_enabled_ui(cut.enabled, |ui| {
        let (lo, hi) = scene.as_ref().map_or((0.0, 1.0), |scene| {
            let (lo, hi) = scene.cube.bounds();
            (lo[cut.axis.min(2)], hi[cut.axis.min(2)])
        });
        // In world units on the panel, between the faces of the cube in the settings.
        let mut place = lo + (hi - lo) * cut.offset;
        let slider = Slider::new(&mut place, lo..=hi).max_decimals(4);
        if slider_row(ui, "Place", slider) {
            cut.offset = ((place - lo) / (hi - lo).max(1e-300)).clamp(0.0, 1.0);
        }
        ui.add_enabled_ui(shaded, |ui| {
            ui.checkbox(&mut cut.field, "Show the field on the plane")
                .on_hover_text("Signed distances: blue inside, red outside, with lines; radiance: density")
                .on_disabled_hover_text("While the scene is cut, in layer 1: other layers show their own values");
        });
        let spacing = scene.as_ref().filter(|s| !s.is_radiance()).map(|s| f64::from(SPACING) * s.cube.size);
        let text = match spacing {
            Some(spacing) => format!("a line every {} world units, a bold one at 0", compact(spacing)),
            None => "density per world unit".into(),
        };
        ui.label(RichText::new(text).weak().size(11.5));
    });
}
