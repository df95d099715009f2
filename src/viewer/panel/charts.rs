//! Charts of a picked point: its spectrum over frequency, its wave vectors, and the field along its ray.

use egui::{Align2, Color32, FontId, Painter, Pos2, Rect, Sense, Shape, Stroke, Ui, Vec2, pos2, vec2};
use glam::DVec3;
use nstr_plot::format::compact;
use nstr_render::section_scale::round_length;

use crate::probe::RayProfile;
use crate::spectrum::{Component, LocalSpectrum};

/// Colour of positive amplitudes, and of densities and distances.
const BLUE: Color32 = Color32::from_rgb(112, 172, 235);
/// Colour of negative amplitudes, and of weights.
const ORANGE: Color32 = Color32::from_rgb(238, 160, 78);
/// Colour of marks: the mean frequency, the picked depth.
const MARK: Color32 = Color32::from_rgb(235, 235, 235);
/// Colour of the usual amplitudes behind the bars.
const TYPICAL: Color32 = Color32::from_gray(78);
/// Places of the envelope.
const ENVELOPE_PLACES: usize = 160;

fn font() -> FontId {
    FontId::proportional(10.5)
}

/// A rectangle for a chart of `height` points, and its plot area.
fn frame(ui: &mut Ui, height: f32) -> (egui::Response, Painter, Rect) {
    let (area, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    let painter = ui.painter_at(area);
    painter.rect_filled(area, 4.0, ui.visuals().extreme_bg_color);
    let plot = Rect::from_min_max(area.min + vec2(8.0, 18.0), area.max - vec2(8.0, 17.0));
    (response, painter, plot)
}

/// About `count` round numbers from `low` to `high`.
pub(super) fn even_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    if !(low.is_finite() && high.is_finite() && high > low) {
        return Vec::new();
    }
    let step = round_length((high - low) / count.max(1) as f64);
    let first = (low / step - 1e-9).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|v| *v <= high + 1e-9 * step).take(64).collect()
}

/// A tick of an axis of this length with as many decimals as the ticks need; in scientific notation where these are many.
pub(super) fn tick_text(value: f64, length: f64) -> String {
    let decimals = (1.0 - length.max(1e-300).log10().floor()).clamp(0.0, 9.0) as usize;
    if decimals > 5 || value.abs() >= 1e5 {
        return compact(value);
    }
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".into() } else { text.replace('-', "−") }
}

/// Ticks with numbers below a plot over `range`.
fn x_axis(painter: &Painter, plot: Rect, range: (f64, f64), place: impl Fn(f64) -> f32, weak: Color32) {
    painter.line_segment([plot.left_bottom(), plot.right_bottom()], Stroke::new(1.0, Color32::from_gray(90)));
    let mut free = plot.left() - 8.0;
    for tick in even_ticks(range.0, range.1, 5) {
        let x = place(tick);
        if !(plot.left() - 0.5..=plot.right() + 0.5).contains(&x) {
            continue;
        }
        painter.line_segment([pos2(x, plot.bottom()), pos2(x, plot.bottom() + 3.0)], Stroke::new(1.0, weak));
        let galley = painter.layout_no_wrap(tick_text(tick, range.1 - range.0), font(), weak);
        let left = (x - 0.5 * galley.size().x).min(plot.right() + 6.0 - galley.size().x);
        if left > free {
            free = left + galley.size().x + 4.0;
            painter.galley(pos2(left, plot.bottom() + 3.0), galley, weak);
        }
    }
}

/// Amplitudes over frequency as bars, with those that are usual in sight behind them and their envelope.
pub(super) fn spectrum(ui: &mut Ui, spectrum: &LocalSpectrum) {
    let (response, painter, plot) = frame(ui, 138.0);
    let weak = ui.visuals().weak_text_color();
    let components = &spectrum.components;
    let highest = components.last().map_or(0.0, Component::frequency);
    let most = components.iter().map(|c| c.amplitude.abs().max(c.typical.unwrap_or(0.0))).fold(0.0, f64::max);
    if !(highest > 0.0 && most > 0.0) {
        painter.text(plot.center(), Align2::CENTER_CENTER, "no amplitude here", font(), weak);
        return;
    }
    let (top, right) = (1.04 * most, 1.03 * highest);
    let x = |f: f64| plot.left() + (f / right) as f32 * plot.width();
    let y = |v: f64| plot.bottom() - (v / top) as f32 * plot.height();
    painter.text(plot.left_top() - vec2(2.0, 15.0), Align2::LEFT_TOP, "|S| over cycles per edge", font(), weak);
    painter.text(plot.right_top() - vec2(-2.0, 15.0), Align2::RIGHT_TOP, compact(most), font(), weak);
    for part in [0.5, 1.0] {
        let level = y(part * most);
        let line = [pos2(plot.left(), level), pos2(plot.right(), level)];
        painter.line_segment(line, Stroke::new(1.0, Color32::from_gray(42)));
    }
    envelope(&painter, plot, components, right);
    let bar = (plot.width() / components.len().max(1) as f32 * 0.5).clamp(1.5, 5.0);
    for c in components {
        let at = x(c.frequency());
        if let Some(typical) = c.typical {
            let back = Rect::from_min_max(pos2(at - bar, y(typical)), pos2(at + bar, plot.bottom()));
            painter.rect_filled(back, 1.0, TYPICAL);
        }
    }
    for c in components {
        let (at, height) = (x(c.frequency()), y(c.amplitude.abs()));
        let colour = if c.amplitude < 0.0 { ORANGE } else { BLUE };
        painter.line_segment([pos2(at, plot.bottom()), pos2(at, height)], Stroke::new(0.5 * bar + 0.7, colour));
        painter.circle_filled(pos2(at, height), 0.5 * bar + 1.0, colour);
    }
    if let Some((centre, _)) = spectrum.centroid() {
        let line = [pos2(x(centre), plot.top()), pos2(x(centre), plot.bottom())];
        painter.extend(Shape::dashed_line(&line, Stroke::new(1.0, MARK), 3.0, 3.0));
    }
    x_axis(&painter, plot, (0.0, right), x, weak);
    let nearest = response.hover_pos().and_then(|p| {
        let distance = |c: &&Component| (x(c.frequency()) - p.x).abs();
        components.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))
    });
    if let Some(c) = nearest {
        painter.circle_stroke(pos2(x(c.frequency()), y(c.amplitude.abs())), bar + 2.0, Stroke::new(1.0, MARK));
        response.on_hover_text(description(c));
    }
}

/// Text about one sinusoid.
fn description(c: &Component) -> String {
    let way = c.wave.normalize_or_zero();
    let usual = c.typical.map_or(String::new(), |t| format!(", in sight {} on average", compact(t)));
    format!(
        "sinusoid {}: S = {}{usual}\n{} cycles per edge along {} {} {}",
        c.index + 1,
        compact(c.amplitude),
        compact(c.frequency()),
        compact(way.x),
        compact(way.y),
        compact(way.z)
    )
}

/// Fills between a curve and the level `base`, without seams; `colour` is that of a piece by the height of its left end.
fn fill_to(painter: &Painter, curve: &[Pos2], base: f32, colour: impl Fn(f32) -> Color32) {
    let mut mesh = egui::Mesh::default();
    for pair in curve.windows(2) {
        let (first, tint) = (mesh.vertices.len() as u32, colour(pair[0].y));
        for at in [pair[0], pair[1], pos2(pair[1].x, base), pos2(pair[0].x, base)] {
            mesh.colored_vertex(at, tint);
        }
        mesh.add_triangle(first, first + 1, first + 2);
        mesh.add_triangle(first, first + 2, first + 3);
    }
    painter.add(Shape::mesh(mesh));
}

/// The sum of the amplitudes blurred over frequency, as a pale area as high as the plot allows.
fn envelope(painter: &Painter, plot: Rect, components: &[Component], right: f64) {
    let width = 0.035 * right;
    let sum = |f: f64| -> f64 {
        let weight = |c: &Component| (-0.5 * ((c.frequency() - f) / width).powi(2)).exp();
        components.iter().map(|c| c.amplitude.abs() * weight(c)).sum()
    };
    let values: Vec<f64> = (0..=ENVELOPE_PLACES).map(|i| sum(right * i as f64 / ENVELOPE_PLACES as f64)).collect();
    let most = values.iter().copied().fold(0.0, f64::max).max(1e-30);
    let place = |i: usize| {
        let height = (0.98 * values[i] / most) as f32 * plot.height();
        pos2(plot.left() + plot.width() * i as f32 / ENVELOPE_PLACES as f32, plot.bottom() - height)
    };
    let line: Vec<Pos2> = (0..=ENVELOPE_PLACES).map(place).collect();
    fill_to(painter, &line, plot.bottom(), |_| BLUE.gamma_multiply(0.13));
    painter.line(line, Stroke::new(1.0, BLUE.gamma_multiply(0.4)));
}

/// Wave vectors of all sinusoids as the camera sees them, as large as their amplitudes; `right` and `up` are its axes.
pub(super) fn wave_vectors(ui: &mut Ui, spectrum: &LocalSpectrum, [right, up, _]: [DVec3; 3], side: f32) {
    let (area, response) = ui.allocate_exact_size(Vec2::splat(side), Sense::hover());
    response.on_hover_text(
        "Wave vectors as the camera saw them: the direction across the crests of each sinusoid. Farther out means finer, \
         larger means stronger; blue S > 0, orange S < 0",
    );
    let painter = ui.painter_at(area);
    painter.rect_filled(area, 4.0, ui.visuals().extreme_bg_color);
    let radius = 0.5 * side - 8.0;
    for part in [0.5, 1.0] {
        painter.circle_stroke(area.center(), part * radius, Stroke::new(1.0, Color32::from_gray(52)));
    }
    for way in [Vec2::X, Vec2::Y] {
        let line = [area.center() - way * radius, area.center() + way * radius];
        painter.line_segment(line, Stroke::new(1.0, Color32::from_gray(42)));
    }
    let highest = spectrum.components.last().map_or(0.0, Component::frequency).max(1e-30);
    let most = spectrum.strongest().map_or(0.0, |c| c.amplitude.abs()).max(1e-30);
    let mut order: Vec<&Component> = spectrum.components.iter().collect();
    order.sort_by(|a, b| a.amplitude.abs().total_cmp(&b.amplitude.abs()));
    for c in order {
        let share = (c.amplitude.abs() / most) as f32;
        let wave = c.wave / highest;
        let offset = vec2(right.dot(wave) as f32, -up.dot(wave) as f32) * radius;
        let colour = if c.amplitude < 0.0 { ORANGE } else { BLUE };
        for at in [area.center() + offset, area.center() - offset] {
            painter.circle_filled(at, 0.8 + 4.2 * share.sqrt(), colour.gamma_multiply(0.25 + 0.75 * share));
        }
    }
}

/// The field along the ray: densities and weights, or signed distances; `depth` is that of the picked point.
pub(super) fn ray_profile(ui: &mut Ui, profile: &RayProfile, depth: f64) {
    let (response, painter, plot) = frame(ui, 112.0);
    let weak = ui.visuals().weak_text_color();
    let Some((first, last)) = visible_range(profile, depth) else {
        painter.text(plot.center(), Align2::CENTER_CENTER, "the ray does not meet the field", font(), weak);
        return;
    };
    let (near, far) = (profile.depth[first], profile.depth[last]);
    let x = |d: f64| plot.left() + ((d - near) / (far - near).max(1e-30)) as f32 * plot.width();
    let shown = first..=last;
    let values = &profile.value[shown.clone()];
    let (low, high) = values.iter().fold((0.0f64, 0.0f64), |(l, h), v| (l.min(*v), h.max(*v)));
    let height = (high - low).max(1e-30);
    let y = |v: f64| plot.bottom() - ((v - low) / height) as f32 * plot.height();
    let is_density = !profile.weight.is_empty();
    let title = if is_density { "density" } else { "signed distance" };
    let title = painter.text(plot.left_top() - vec2(2.0, 15.0), Align2::LEFT_TOP, title, font(), BLUE);
    if is_density {
        let at = title.right_top() + vec2(8.0, 0.0);
        painter.text(at, Align2::LEFT_TOP, "weight", font(), ORANGE);
    }
    painter.text(plot.right_top() - vec2(-2.0, 15.0), Align2::RIGHT_TOP, compact(high), font(), weak);
    let zero = y(0.0);
    painter.line_segment([pos2(plot.left(), zero), pos2(plot.right(), zero)], Stroke::new(1.0, Color32::from_gray(70)));
    let curve: Vec<Pos2> = shown.clone().map(|i| pos2(x(profile.depth[i]), y(profile.value[i]))).collect();
    fill_to(&painter, &curve, zero, |y| {
        let inside = !is_density && y > zero;
        (if inside { ORANGE } else { BLUE }).gamma_multiply(if inside { 0.5 } else { 0.16 })
    });
    painter.line(curve, Stroke::new(1.4, BLUE));
    if is_density {
        let most = profile.weight[shown.clone()].iter().copied().fold(1e-30, f64::max);
        let points: Vec<Pos2> = shown
            .map(|i| pos2(x(profile.depth[i]), plot.bottom() - (profile.weight[i] / most) as f32 * plot.height()))
            .collect();
        painter.line(points, Stroke::new(1.4, ORANGE));
    }
    let line = [pos2(x(depth), plot.top()), pos2(x(depth), plot.bottom())];
    painter.extend(Shape::dashed_line(&line, Stroke::new(1.0, MARK), 3.0, 3.0));
    x_axis(&painter, plot, (near, far), x, weak);
    let stopped: f64 = profile.weight.iter().sum();
    response.on_hover_text(match is_density {
        true => format!(
            "Along the pixel's ray, over the distance from the camera: density per world unit, and the share of the light that each \
             place stops (largest as high as the plot). The ray stops {:.1} % of the light. Dashed: the picked depth",
            100.0 * stopped
        ),
        false => "Along the pixel's ray, over the distance from the camera: the signed distance to the surface, negative inside. \
                  Dashed: the picked point"
            .to_string(),
    });
}

/// First and last sample to show: all of a distance; of densities what stops the light, with a margin.
fn visible_range(profile: &RayProfile, depth: f64) -> Option<(usize, usize)> {
    let last = profile.depth.len().checked_sub(2)? + 1;
    let total: f64 = profile.weight.iter().sum();
    if total <= 0.0 {
        return Some((0, last));
    }
    let mut sum = 0.0;
    let (mut from, mut to) = (0, last);
    for (i, weight) in profile.weight.iter().enumerate() {
        if sum < 0.002 * total {
            from = i;
        }
        sum += weight;
        if sum < 0.998 * total {
            to = i + 1;
        }
    }
    let picked = profile.depth.partition_point(|d| *d < depth).min(last);
    let (from, to) = (from.min(picked), to.max(picked).min(last));
    let margin = ((to - from) / 4).max(10);
    Some((from.saturating_sub(margin), (to + margin).min(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(even_ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0].map(|v: f64| (v / 0.2).round() * 0.2));
        assert_eq!(even_ticks(-3.0, 17.0, 4), [0.0, 5.0, 10.0, 15.0]);
        let texts = |low, high| even_ticks(low, high, 4).iter().map(|v| tick_text(*v, high - low)).collect::<Vec<_>>();
        assert_eq!(texts(0.0, 0.012), ["0", "0.002", "0.004", "0.006", "0.008", "0.01", "0.012"]);
        assert_eq!(texts(-30.0, 30.0), ["−30", "−20", "−10", "0", "10", "20", "30"]);
        assert_eq!(texts(0.0, 2.1e-8)[1], "5.00e-9");
        assert!(even_ticks(1.0, 1.0, 5).is_empty() && even_ticks(0.0, f64::INFINITY, 5).is_empty());
    }

    #[test]
    fn the_visible_range_holds_what_stops_the_light() {
        let depth: Vec<f64> = (0..200).map(f64::from).collect();
        let mut weight = vec![0.0; 200];
        weight[80..100].fill(0.05);
        let profile = RayProfile { value: weight.clone(), depth: depth.clone(), weight };
        let (from, to) = visible_range(&profile, 90.0).unwrap();
        assert!((60..80).contains(&from) && (100..120).contains(&to), "{from} {to}");
        let (from, _) = visible_range(&profile, 20.0).unwrap();
        assert!(from <= 20, "the picked depth is shown");
        let empty = RayProfile { value: vec![0.0; 200], depth, weight: Vec::new() };
        assert_eq!(visible_range(&empty, 5.0), Some((0, 199)));
        assert_eq!(visible_range(&RayProfile::default(), 5.0), None);
    }
}
