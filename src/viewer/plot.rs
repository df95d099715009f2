//! Small curves in the panel.

use egui::{Align2, Color32, FontId, Pos2, Sense, Stroke, Ui, Vec2, pos2};

/// A curve of `(x, y)` with its last value as text; `log` puts y on a logarithmic scale.
pub fn curve(ui: &mut Ui, name: &str, points: &[(f64, f64)], log: bool, colour: Color32) {
    let size = Vec2::new(ui.available_width(), 72.0);
    let (area, _) = ui.allocate_exact_size(size, Sense::hover());
    let visuals = ui.visuals();
    let painter = ui.painter_at(area);
    painter.rect_filled(area, 3.0, visuals.extreme_bg_color);
    let weak = visuals.weak_text_color();
    let font = FontId::proportional(11.0);
    let scale = |y: f64| if log { y.max(1e-12).log10() } else { y };
    let good = points.iter().filter(|(_, y)| y.is_finite());
    let ys: Vec<(f64, f64)> = good.map(|(x, y)| (*x, scale(*y))).collect();
    let inner = area.shrink2(Vec2::new(6.0, 16.0));
    painter.text(area.left_top() + Vec2::new(6.0, 2.0), Align2::LEFT_TOP, name, font.clone(), weak);
    let (Some(first), Some(last)) = (ys.first(), ys.last()) else { return };
    let text = if log { format!("{:.3e}", points.last().map_or(0.0, |p| p.1)) } else { format!("{:.2}", last.1) };
    painter.text(area.right_top() + Vec2::new(-6.0, 2.0), Align2::RIGHT_TOP, text, font.clone(), visuals.text_color());
    let (low, high) = ys.iter().fold((f64::MAX, f64::MIN), |(l, h), (_, y)| (l.min(*y), h.max(*y)));
    let (width, height) = ((last.0 - first.0).max(1e-9), (high - low).max(1e-9));
    let place = |(x, y): &(f64, f64)| -> Pos2 {
        let (u, v) = ((x - first.0) / width, (y - low) / height);
        pos2(inner.left() + u as f32 * inner.width(), inner.bottom() - v as f32 * inner.height())
    };
    painter.line(ys.iter().map(place).collect(), Stroke::new(1.5, colour));
    let steps = format!("{:.0} to {:.0} steps", first.0, last.0);
    painter.text(area.left_bottom() + Vec2::new(6.0, -2.0), Align2::LEFT_BOTTOM, steps, font, weak);
}
