//! Training section of the panel.

use std::time::Duration;

use egui::{Align2, Color32, FontId, Rect, RichText, Sense, Slider, Stroke, Ui, Vec2, pos2};
use nstr_fit::Progress;
use nstr_plot::format::compact;

use crate::input::Action;
use crate::paint_budget::SHARES;
use crate::panel::charts::{even_ticks, tick_text};
use crate::panel::{PanelCommand, duration_text, heading};
use crate::training::{TrainingPhase, TrainingStatus};

/// Shows phase, progress and curves of a run, and its buttons.
///
/// `share` and `taken` are the share of the computer that painting may take, and what it took.
pub(super) fn show(ui: &mut Ui, status: &TrainingStatus, (share, taken): (f64, f64), commands: &mut Vec<PanelCommand>) {
    heading(ui, "Training");
    let (text, colour) = match &status.phase {
        TrainingPhase::Preparing => ("reading the input".to_string(), ui.visuals().weak_text_color()),
        TrainingPhase::Running => ("running".to_string(), Color32::from_rgb(120, 200, 120)),
        TrainingPhase::Paused => ("paused".to_string(), Color32::from_rgb(230, 190, 90)),
        TrainingPhase::Stopping => ("stopping and saving".to_string(), Color32::from_rgb(230, 190, 90)),
        TrainingPhase::Done(message) => (message.clone(), ui.visuals().text_color()),
        TrainingPhase::Failed(reason) => (reason.clone(), Color32::from_rgb(240, 110, 100)),
    };
    ui.label(RichText::new(text).color(colour));
    if let Some(p) = status.progress {
        ui.add(egui::ProgressBar::new(p.fraction as f32).desired_height(6.0));
        let seconds = p.elapsed.as_secs_f64();
        let rate = p.step as f64 / seconds.max(1e-9);
        let left = time_left(&p).filter(|_| !matches!(status.phase, TrainingPhase::Done(_) | TrainingPhase::Failed(_)));
        let left = left.map_or(String::new(), |left| format!(", {} left", duration_text(left)));
        ui.label(RichText::new(format!("{}{left}", duration_text(p.elapsed))).size(11.5));
        let text = format!("step {}   {rate:.0} steps/s   lr {:.1e}", p.step, p.net_lr);
        ui.label(RichText::new(text).weak().size(11.5));
    }
    let losses: Vec<(f64, f64)> = status.curve.iter().map(|p| (p.step as f64, p.loss)).collect();
    line_chart(ui, "loss", &losses, true, Color32::from_rgb(110, 170, 230));
    // The metric is measured now and then and repeated in between: only its changes are points of the curve.
    let mut metrics: Vec<(f64, f64)> = status.curve.iter().filter_map(|p| Some((p.step as f64, p.metric?))).collect();
    metrics.dedup_by_key(|p| p.1);
    if !metrics.is_empty() {
        let name = status.progress.and_then(|p| p.validation_metric).map_or("PSNR", |f| f.0);
        line_chart(ui, &format!("held-out {name}, dB"), &metrics, false, Color32::from_rgb(230, 170, 90));
    }
    if matches!(status.phase, TrainingPhase::Running | TrainingPhase::Paused) {
        ui.horizontal(|ui| {
            let name = if status.phase == TrainingPhase::Paused { "Resume" } else { "Pause" };
            if ui.button(name).on_hover_text("Space").clicked() {
                commands.push(PanelCommand::Act(Action::Pause));
            }
            if ui.button("Stop and save").clicked() {
                commands.push(PanelCommand::StopTraining);
            }
        });
        let mut percent = 100.0 * share;
        let slider = Slider::new(&mut percent, 100.0 * SHARES.0..=100.0 * SHARES.1).logarithmic(true);
        let slider = ui.add(slider.suffix(" %").fixed_decimals(0).text("for painting"));
        let hint =
            format!("Share of the computer that this window may take from the fit; {:.0} % so far", 100.0 * taken);
        if slider.on_hover_text(hint).changed() {
            commands.push(PanelCommand::SetPaintShare(0.01 * percent));
        }
    }
}

/// Time left by the progress so far; `None` while that tells nothing.
fn time_left(progress: &Progress) -> Option<Duration> {
    let told = progress.fraction > 0.01 || progress.elapsed.as_secs_f64() > 2.0;
    let left = progress.elapsed.as_secs_f64() * (1.0 - progress.fraction) / progress.fraction;
    Duration::try_from_secs_f64(left).ok().filter(|_| told)
}

/// Height of a chart, points.
const HEIGHT: f32 = 92.0;
/// Room for the numbers of the y axis, points.
const NUMBERS: f32 = 36.0;
/// Part of a curve whose range the y axis shows at least: the first steps of a fit are far off all later ones.
const SETTLED: f64 = 0.9;

/// Scale of a y axis.
#[derive(Clone, Debug, PartialEq)]
struct YAxis {
    low: f64,
    high: f64,
    /// Values of lines, and their numbers.
    ticks: Vec<(f64, String)>,
}

impl YAxis {
    /// The axis of values, or with `log` of their logarithms to the base 10.
    fn of(values: &[f64], log: bool) -> Option<Self> {
        let skipped = (values.len() as f64 * (1.0 - SETTLED)) as usize;
        let (mut low, mut high) =
            values[skipped..].iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        if low > high {
            return None;
        }
        let least = if log { 0.1 } else { 0.5 };
        let margin = (0.06 * (high - low)).max(0.5 * (least - (high - low)));
        (low, high) = (low - margin, high + margin);
        let text = |v: f64| if log { tick_text(10f64.powf(v), 10f64.powf(v)) } else { tick_text(v, high - low) };
        let places = if log { log_ticks(low, high) } else { even_ticks(low, high, 2) };
        Some(Self { low, high, ticks: places.into_iter().map(|v| (v, text(v))).collect() })
    }
}

/// Logarithms of powers of ten from `low` to `high`, of 1, 2 and 5 times them, or of even steps: the first of these that has two or more.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let all = |factors: &[f64]| -> Vec<f64> {
        let powers = low.floor() as i32..=high.ceil() as i32;
        let ticks = powers.flat_map(|p| factors.iter().map(move |f| f.log10() + f64::from(p)));
        ticks.filter(|v| (low..=high).contains(v)).collect()
    };
    let fitting = [&[1.0][..], &[1.0, 2.0, 5.0]].map(all).into_iter().find(|ticks| ticks.len() >= 2);
    // Within a factor of two or so the scale is nearly linear.
    let even = || even_ticks(10f64.powf(low), 10f64.powf(high), 2).into_iter().map(f64::log10).collect();
    let fitting: Vec<f64> = fitting.unwrap_or_else(even);
    // More lines than fit: every n-th.
    fitting.iter().copied().step_by(fitting.len().div_ceil(5).max(1)).collect()
}

/// A curve through `(x, y)` with its last value as text; `log` makes the y axis logarithmic.
fn line_chart(ui: &mut Ui, name: &str, points: &[(f64, f64)], log: bool, colour: Color32) {
    let size = Vec2::new(ui.available_width(), HEIGHT);
    let (area, response) = ui.allocate_exact_size(size, Sense::hover());
    let visuals = ui.visuals();
    let painter = ui.painter_at(area);
    painter.rect_filled(area, 3.0, visuals.extreme_bg_color);
    let weak = visuals.weak_text_color();
    let (font, small) = (FontId::proportional(11.0), FontId::proportional(9.5));
    let scale = |y: f64| if log { y.max(1e-12).log10() } else { y };
    let scaled: Vec<(f64, f64)> = points.iter().filter(|p| p.1.is_finite()).map(|(x, y)| (*x, scale(*y))).collect();
    let plot = Rect::from_min_max(area.min + Vec2::new(NUMBERS, 19.0), area.max - Vec2::new(8.0, 15.0));
    painter.text(area.left_top() + Vec2::new(6.0, 2.0), Align2::LEFT_TOP, name, font.clone(), weak);
    let values: Vec<f64> = scaled.iter().map(|p| p.1).collect();
    let (Some(first), Some(last), Some(axis)) = (scaled.first(), scaled.last(), YAxis::of(&values, log)) else {
        return;
    };
    let value = |v: f64| if log { format!("{:.3e}", 10f64.powf(v)) } else { format!("{v:.2}") };
    let at_end = painter.layout_no_wrap(value(last.1), font, visuals.text_color());
    painter.galley(area.right_top() + Vec2::new(-6.0 - at_end.size().x, 2.0), at_end, weak);
    let span = (last.0 - first.0).max(1e-9);
    let x = |v: f64| plot.left() + ((v - first.0) / span) as f32 * plot.width();
    let y = |v: f64| plot.bottom() - ((v - axis.low) / (axis.high - axis.low)) as f32 * plot.height();
    let grid = Stroke::new(1.0, Color32::from_gray(48));
    for (v, text) in &axis.ticks {
        painter.hline(plot.x_range(), y(*v), grid);
        painter.text(pos2(plot.left() - 4.0, y(*v)), Align2::RIGHT_CENTER, text, small.clone(), weak);
    }
    for v in even_ticks(first.0, last.0, 3) {
        painter.vline(x(v), plot.y_range(), grid);
        painter.text(pos2(x(v), plot.bottom() + 2.0), Align2::CENTER_TOP, compact(v), small.clone(), weak);
    }
    let curve = painter.with_clip_rect(plot.expand(1.5));
    curve.line(scaled.iter().map(|p| pos2(x(p.0), y(p.1))).collect(), Stroke::new(1.5, colour));
    // Few points are told from a line.
    if scaled.len() <= 24 {
        scaled.iter().for_each(|p| {
            curve.circle_filled(pos2(x(p.0), y(p.1)), 2.0, colour);
        });
    }
    if let Some(pointer) = response.hover_pos() {
        let nearest = scaled.iter().min_by(|a, b| (x(a.0) - pointer.x).abs().total_cmp(&(x(b.0) - pointer.x).abs()));
        if let Some((step, v)) = nearest {
            curve.circle_stroke(pos2(x(*step), y(*v)), 3.5, Stroke::new(1.2, Color32::WHITE));
            response.on_hover_text(format!("step {step:.0}: {}", value(*v)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_shows_the_settled_part_with_round_numbers() {
        let mut values = vec![40.0; 5];
        values.extend((0..95).map(|i| 20.0 + 0.1 * f64::from(i)));
        let axis = YAxis::of(&values, false).unwrap();
        assert!(axis.low < 20.0 && axis.high > 29.4 && axis.high < 33.0, "{axis:?}");
        assert!((2..=6).contains(&axis.ticks.len()), "{axis:?}");
        assert!(axis.ticks.iter().all(|(v, _)| (axis.low..=axis.high).contains(v)));
        // A level curve has a scale too.
        let level = YAxis::of(&[3.0], false).unwrap();
        assert!(level.high - level.low > 0.4 && level.ticks.len() >= 2, "{level:?}");
        assert_eq!(YAxis::of(&[], true), None);
    }

    #[test]
    fn logarithmic_axes_have_at_least_two_lines() {
        for (low, high) in [(1e-6, 3.0), (0.011, 0.043), (0.10, 0.14), (2.0, 2.6)] {
            let ticks = log_ticks(f64::log10(low), f64::log10(high));
            assert!((2..=5).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            assert!(ticks.windows(2).all(|w| w[0] < w[1]));
        }
        assert_eq!(
            YAxis::of(&[-1.0, -2.0, -3.0], true).unwrap().ticks.iter().map(|t| &*t.1).collect::<Vec<_>>(),
            ["0.001", "0.01", "0.1"]
        );
    }

    #[test]
    fn the_time_left_follows_the_done_share() {
        let progress = |fraction, seconds| Progress {
            step: 10,
            fraction,
            loss: 1.0,
            net_lr: 1e-3,
            elapsed: Duration::from_secs_f64(seconds),
            validation_metric: None,
        };
        assert_eq!(time_left(&progress(0.25, 10.0)), Some(Duration::from_secs(30)));
        assert_eq!(time_left(&progress(1.0, 10.0)), Some(Duration::ZERO));
        assert_eq!(time_left(&progress(0.0, 10.0)), None);
        assert_eq!(time_left(&progress(0.001, 0.5)), None, "too early to tell");
    }
}
