//! Timeline of the camera path: keys at their times, and the place where the camera is.

use egui::{Align2, Color32, CursorIcon, FontId, Rect, Sense, Stroke, Ui, Vec2, pos2, vec2};

use crate::panel::charts::{even_ticks, tick_text};
use crate::session::Session;

/// Height of the timeline, points.
const HEIGHT: f32 = 40.0;
/// Half the width of a key's mark, points.
const MARK: f32 = 5.0;

/// Shows the timeline: a drag goes along the path, a drag of a key changes its time, a click on it goes there.
pub(super) fn show(ui: &mut Ui, session: &mut Session) {
    let (area, bar) = ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT), Sense::click_and_drag());
    let painter = ui.painter_at(area);
    painter.rect_filled(area, 4.0, ui.visuals().extreme_bg_color);
    let plot = Rect::from_min_max(area.min + vec2(12.0, 6.0), area.max - vec2(12.0, 15.0));
    let weak = ui.visuals().weak_text_color();
    let end = session.path.duration();
    if end <= 0.0 {
        let text = "F5 adds a key; two make a path";
        painter.text(area.center(), Align2::CENTER_CENTER, text, FontId::proportional(11.5), weak);
        return;
    }
    let x = |t: f64| plot.left() + (t / end) as f32 * plot.width();
    let time = |x: f32| f64::from((x - plot.left()) / plot.width()) * end;
    for t in even_ticks(0.0, end, 3) {
        painter.vline(x(t), plot.bottom()..=plot.bottom() + 3.0, Stroke::new(1.0, weak));
        let text = format!("{} s", tick_text(t, end));
        painter.text(pos2(x(t), plot.bottom() + 3.0), Align2::CENTER_TOP, text, FontId::proportional(9.5), weak);
    }
    let line = [pos2(plot.left(), plot.center().y), pos2(plot.right(), plot.center().y)];
    painter.line_segment(line, Stroke::new(2.0, Color32::from_gray(80)));
    let mut change = None;
    for i in 0..session.path.keys.len() {
        let at = pos2(x(session.path.time_of(i)), plot.center().y);
        let place = Rect::from_center_size(at, Vec2::splat(2.0 * MARK + 4.0));
        let sense = if i > 0 { Sense::click_and_drag() } else { Sense::click() };
        let mark = ui.interact(place, bar.id.with(i), sense);
        let is_used = mark.hovered() || mark.dragged();
        let colour = if is_used { Color32::WHITE } else { Color32::from_rgb(205, 140, 230) };
        painter.circle(at, MARK, colour, Stroke::new(1.0, Color32::from_gray(25)));
        if let Some(pointer) = mark.interact_pointer_pos().filter(|_| mark.dragged()) {
            ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
            change = Some((i, Some(time(pointer.x))));
        } else if mark.clicked() {
            change = Some((i, None));
        }
        mark.on_hover_text(format!(
            "key {} at {:.2} s: click to go there, drag to change its time",
            i + 1,
            session.path.time_of(i)
        ));
    }
    let now = session.playback_time.unwrap_or(session.path_time).clamp(0.0, end);
    painter.vline(x(now), plot.top() - 3.0..=plot.bottom(), Stroke::new(1.5, Color32::from_rgb(255, 214, 64)));
    match change {
        Some((i, Some(seconds))) => session.path.move_key(i, seconds),
        Some((i, None)) => session.go_to_key(i),
        None => {
            let pressed = bar.dragged() || bar.clicked();
            if let Some(pointer) = bar.interact_pointer_pos().filter(|_| pressed) {
                session.scrub(time(pointer.x));
            }
        }
    }
}
