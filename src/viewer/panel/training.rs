//! Training section of the panel.

use egui::{Align2, Color32, FontId, Pos2, RichText, Sense, Slider, Stroke, Ui, Vec2, pos2};

use crate::input::Action;
use crate::paint_budget::SHARES;
use crate::panel::{PanelCommand, heading};
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
        let text = format!("step {}   {seconds:.0} s   {rate:.0} steps/s   lr {:.1e}", p.step, p.net_lr);
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

/// A curve through `(x, y)` with its last value as text; `log` makes the y axis logarithmic.
fn line_chart(ui: &mut Ui, name: &str, points: &[(f64, f64)], log: bool, colour: Color32) {
    let size = Vec2::new(ui.available_width(), 72.0);
    let (area, _) = ui.allocate_exact_size(size, Sense::hover());
    let visuals = ui.visuals();
    let painter = ui.painter_at(area);
    painter.rect_filled(area, 3.0, visuals.extreme_bg_color);
    let weak = visuals.weak_text_color();
    let font = FontId::proportional(11.0);
    let scale = |y: f64| if log { y.max(1e-12).log10() } else { y };
    let finite = points.iter().filter(|(_, y)| y.is_finite());
    let scaled: Vec<(f64, f64)> = finite.map(|(x, y)| (*x, scale(*y))).collect();
    let inner = area.shrink2(Vec2::new(6.0, 16.0));
    painter.text(area.left_top() + Vec2::new(6.0, 2.0), Align2::LEFT_TOP, name, font.clone(), weak);
    let (Some(first), Some(last)) = (scaled.first(), scaled.last()) else { return };
    let text = if log { format!("{:.3e}", points.last().map_or(0.0, |p| p.1)) } else { format!("{:.2}", last.1) };
    painter.text(area.right_top() + Vec2::new(-6.0, 2.0), Align2::RIGHT_TOP, text, font.clone(), visuals.text_color());
    let (low, high) = scaled.iter().fold((f64::MAX, f64::MIN), |(l, h), (_, y)| (l.min(*y), h.max(*y)));
    let (width, height) = ((last.0 - first.0).max(1e-9), (high - low).max(1e-9));
    let position = |(x, y): &(f64, f64)| -> Pos2 {
        let (u, v) = ((x - first.0) / width, (y - low) / height);
        pos2(inner.left() + u as f32 * inner.width(), inner.bottom() - v as f32 * inner.height())
    };
    painter.line(scaled.iter().map(position).collect(), Stroke::new(1.5, colour));
    let steps = format!("{:.0} to {:.0} steps", first.0, last.0);
    painter.text(area.left_bottom() + Vec2::new(6.0, -2.0), Align2::LEFT_BOTTOM, steps, font, weak);
}
