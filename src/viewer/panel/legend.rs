//! Legend of a false-colour picture: a colour bar with numbers over the picture's right edge.

use egui::{Align2, Color32, FontId, Painter, Rect, Vec2, pos2, vec2};
use nstr_image::colormap::{diverging_colormap, error_colormap, sequential_colormap};
use nstr_plot::format::compact;
use nstr_render::{SectionScale, SectionView};

use crate::display_mode::DisplayMode;
use crate::panel::charts::{even_ticks, tick_text};
use crate::render_backend::RenderedImage;

/// Colour bar with its numbers.
pub(super) struct Legend {
    title: &'static str,
    colour: Box<dyn Fn(f32) -> [f32; 3]>,
    /// Places on the bar, 0 (below) to 1, and their numbers.
    ticks: Vec<(f32, String)>,
    /// Line below the bar.
    note: String,
}

impl Legend {
    /// The legend of what `image` shows; `None` where its colours are those of the object.
    pub fn of(image: &RenderedImage) -> Option<Self> {
        let request = &image.request;
        let mode = request.mode;
        if let Some((low, high)) = image.range {
            let (title, note) = match &request.mesh {
                Some(_) if mode == DisplayMode::Error => ("distance", "to the mesh"),
                _ => titles(mode),
            };
            let colour = move |t: f32| match mode {
                DisplayMode::Curvature => diverging_colormap(2.0 * t - 1.0),
                DisplayMode::Error => error_colormap(t),
                _ => sequential_colormap(t),
            };
            let (low, high) = (f64::from(low), f64::from(high));
            let place = |v: f64| ((v - low) / (high - low)) as f32;
            let mut ticks: Vec<(f32, String)> =
                even_ticks(low, high, 4).into_iter().map(|v| (place(v), tick_text(v, high - low))).collect();
            if high <= low {
                ticks = vec![(0.5, compact(low))];
            }
            return Some(Self { title, colour: Box::new(colour), ticks, note: note.into() });
        }
        let section = request.section.filter(|s| s.show == SectionView::Field)?;
        if mode != DisplayMode::Shaded || !section.offset.is_finite() {
            return None;
        }
        let scene = &request.scene;
        Some(of_section(match scene.is_radiance() {
            false => SectionScale::of_distances(scene.cube.size),
            true => SectionScale::of_densities(scene.map().length_scale()),
        }))
    }
}

/// Title of the bar, and a line below it.
fn titles(mode: DisplayMode) -> (&'static str, &'static str) {
    match mode {
        DisplayMode::Depth => ("depth", "world units"),
        DisplayMode::Gradient => ("gradS", "per edge"),
        DisplayMode::Curvature => ("curvature", "per unit"),
        DisplayMode::Residual => ("residual", "per edge"),
        DisplayMode::Steps => ("steps", "of a ray"),
        DisplayMode::Error => ("error", "0 to 1"),
        _ => ("", ""),
    }
}

/// The legend of a section's values.
fn of_section(scale: SectionScale) -> Legend {
    let text = |v: f64| if v < 0.0 { format!("−{}", compact(-v)) } else { compact(v) };
    let ticks = scale.ticks.iter().map(|(place, value)| (*place as f32, text(*value))).collect();
    let note = scale.line_spacing.map_or("per unit".into(), |spacing| format!("a line every {}", compact(spacing)));
    Legend { title: scale.title, colour: Box::new(move |t| scale.colour(t)), ticks, note }
}

/// Width of the bar, points.
const WIDTH: f32 = 12.0;
/// Space beside the bar for numbers, points.
const NUMBERS: f32 = 46.0;

/// Draws `legend` at the right edge of `area`.
pub(super) fn draw(painter: &Painter, area: Rect, legend: &Legend) {
    let height = (0.42 * area.height()).min(190.0);
    if height < 60.0 || area.width() < 120.0 {
        return;
    }
    let font = FontId::proportional(11.0);
    let text = Color32::from_gray(232);
    let note = painter.layout_no_wrap(legend.note.clone(), FontId::proportional(10.5), Color32::from_gray(190));
    let title = painter.layout_no_wrap(legend.title.into(), font.clone(), text);
    let inner = (WIDTH + NUMBERS).max(note.size().x).max(title.size().x);
    let size = vec2(inner + 16.0, height + 50.0);
    let frame = Align2::RIGHT_TOP.anchor_size(area.right_top() + vec2(-10.0, 10.0), size);
    painter.rect_filled(frame, 5.0, Color32::from_black_alpha(170));
    painter.galley(frame.min + vec2(8.0, 6.0), title, text);
    painter.galley(pos2(frame.left() + 8.0, frame.bottom() - 19.0), note, text);
    let bar = Rect::from_min_size(frame.min + vec2(8.0, 26.0), vec2(WIDTH, height));
    let pieces = 96;
    for i in 0..pieces {
        let t = (i as f32 + 0.5) / pieces as f32;
        let [r, g, b] = (legend.colour)(t).map(|v| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8);
        let bottom = bar.bottom() - bar.height() * i as f32 / pieces as f32;
        let piece = Rect::from_min_size(
            pos2(bar.left(), bottom - bar.height() / pieces as f32),
            Vec2::new(WIDTH, bar.height() / pieces as f32 + 0.6),
        );
        painter.rect_filled(piece.intersect(bar), 0.0, Color32::from_rgb(r, g, b));
    }
    let mut taken: Vec<f32> = Vec::new();
    for (place, number) in legend.ticks.iter().filter(|(place, _)| (-0.001..=1.001).contains(place)) {
        let y = bar.bottom() - bar.height() * place;
        if taken.iter().any(|other| (other - y).abs() < 12.0) {
            continue;
        }
        taken.push(y);
        let line = [pos2(bar.right(), y), pos2(bar.right() + 4.0, y)];
        painter.line_segment(line, egui::Stroke::new(1.0, text));
        painter.text(pos2(bar.right() + 6.0, y), Align2::LEFT_CENTER, number, font.clone(), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_of_a_section_has_numbers_on_both_sides_of_zero() {
        let legend = of_section(SectionScale::of_distances(2.0));
        let numbers: Vec<&str> = legend.ticks.iter().map(|(_, number)| number.as_str()).collect();
        assert_eq!(numbers, ["0", "0.5", "−0.5", "0.2", "−0.2", "0.1", "−0.1"]);
        assert_eq!(legend.note, "a line every 0.05");
        assert_eq!(of_section(SectionScale::of_densities(2.0)).note, "per unit");
    }
}
