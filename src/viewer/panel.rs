//! The panel beside the picture, the status line below it, and the help over it.

use egui::{
    Align, Align2, Color32, ComboBox, Context, FontId, Frame, Grid, Layout, Margin, Panel, Rect, RichText, ScrollArea,
    Slider, Stroke, Ui, Vec2, Window,
};

use crate::camera::FOV;
use crate::input::Action;
use crate::layer::Show;
use crate::painter::Shown;
use crate::plot;
use crate::recording::{FPS, PACE};
use crate::session::Session;
use crate::training::{Phase, Report};
use nstr_image::colour::Background;
use nstr_image::colour::{diverging_colour, false_colour, linear_from_srgb};

/// What the panel says beside the session's own state.
pub struct Facts<'a> {
    /// Name of what is shown.
    pub title: &'a str,
    /// Lines about it.
    pub details: &'a [String],
    /// The picture.
    pub shown: Option<&'a Shown>,
    /// Share of the pass at work that is done.
    pub share: f32,
    /// Whether the picture is refined.
    pub done: bool,
    /// Name of the painter and of the adapter that presents.
    pub devices: (&'a str, &'a str),
    /// Pictures presented a second; `None` while nothing moves.
    pub fps: Option<f64>,
    /// The run, where one is watched.
    pub training: Option<&'a Report>,
}

/// What the user asks for on the panel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    /// As by a key.
    Act(Action),
    /// Write the camera path.
    SavePath,
    /// Forget the camera path.
    ClearPath,
    /// End training and save.
    Stop,
}

/// Width of the panel, points.
const WIDTH: f32 = 292.0;
/// Height of the status line, points.
const STATUS: f32 = 26.0;

/// Colours and distances of everything.
pub fn style(ctx: &Context) {
    ctx.set_theme(egui::Theme::Dark);
    ctx.all_styles_mut(|style| {
        style.spacing.item_spacing = Vec2::new(8.0, 6.0);
        style.spacing.slider_width = 108.0;
        style.spacing.interact_size.y = 20.0;
        style.interaction.selectable_labels = false;
        style.visuals.override_text_color = Some(Color32::from_gray(205));
        style.visuals.panel_fill = Color32::from_gray(30);
        style.visuals.window_fill = Color32::from_gray(30);
        style.visuals.selection.bg_fill = Color32::from_rgb(38, 96, 145);
    });
}

/// Lays everything out; returns what is asked for and the rectangle that is left for the picture, in points.
pub fn show(ui: &mut Ui, session: &mut Session, facts: &Facts<'_>) -> (Vec<Command>, Rect) {
    let mut commands = Vec::new();
    let fill = ui.visuals().panel_fill;
    let frame = Frame::new().fill(fill).inner_margin(Margin::symmetric(12, 0));
    Panel::bottom("status").exact_size(STATUS).resizable(false).frame(frame).show_inside(ui, |ui| {
        status(ui, session, facts);
    });
    if session.panel {
        let frame = Frame::new().fill(fill).inner_margin(Margin { left: 12, right: 4, top: 10, bottom: 6 });
        Panel::right("panel").exact_size(WIDTH).resizable(false).frame(frame).show_inside(ui, |ui| {
            ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
                ui.set_max_width(WIDTH - 30.0);
                commands = controls(ui, session, facts);
            });
        });
    }
    let left = ui.available_rect_before_wrap();
    overlays(ui.ctx(), session, facts, left);
    (commands, left)
}

fn controls(ui: &mut Ui, session: &mut Session, facts: &Facts<'_>) -> Vec<Command> {
    let mut commands = Vec::new();
    ui.label(RichText::new(facts.title).strong().size(15.0));
    for line in facts.details {
        ui.label(RichText::new(line).weak().size(11.5));
    }
    if let Some(report) = facts.training {
        training(ui, report, &mut commands);
    }
    layers(ui, session, facts, &mut commands);
    camera(ui, session, &mut commands);
    look(ui, session);
    section(ui, session);
    path(ui, session, &mut commands);
    save(ui, &mut commands);
    commands
}

fn heading(ui: &mut Ui, text: &str) {
    ui.add_space(6.0);
    ui.separator();
    ui.label(RichText::new(text).strong());
}

fn layers(ui: &mut Ui, session: &Session, facts: &Facts<'_>, commands: &mut Vec<Command>) {
    heading(ui, "Layer");
    let now = session.settings.show;
    Grid::new("layers").num_columns(3).min_col_width(82.0).spacing([4.0, 4.0]).show(ui, |ui| {
        for (i, layer) in Show::ALL.into_iter().enumerate() {
            let text = format!("{}  {}", i + 1, layer.name());
            if ui.selectable_label(now == layer, text).on_hover_text(layer.meaning()).clicked() {
                commands.push(Command::Act(Action::Show(layer)));
            }
            if i % 3 == 2 {
                ui.end_row();
            }
        }
    });
    if let Some((low, high)) = facts.shown.filter(|s| s.view.show == now).and_then(|s| s.range) {
        legend(ui, now, low, high);
    }
}

/// The bar of false colours with its ends.
fn legend(ui: &mut Ui, layer: Show, low: f32, high: f32) {
    let (area, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 10.0), egui::Sense::hover());
    let painter = ui.painter_at(area);
    let steps = 64;
    for i in 0..steps {
        let t = (i as f32 + 0.5) / steps as f32;
        let colour = if layer == Show::Curvature { diverging_colour(2.0 * t - 1.0) } else { false_colour(t) };
        let [r, g, b] = colour.map(|v| (v * 255.0 + 0.5) as u8);
        let left = area.left() + area.width() * i as f32 / steps as f32;
        let piece =
            Rect::from_min_size(egui::pos2(left, area.top()), Vec2::new(area.width() / steps as f32 + 0.6, 10.0));
        painter.rect_filled(piece, 0.0, Color32::from_rgb(r, g, b));
    }
    ui.horizontal(|ui| {
        ui.label(RichText::new(number(low)).size(11.0));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(RichText::new(number(high)).size(11.0));
        });
    });
}

/// Four significant digits, without zeros at the end.
fn number(v: f32) -> String {
    match v.abs() {
        0.0 => "0".into(),
        a if (1e-2..1e4).contains(&a) => {
            let decimals = (3.0 - a.log10().floor()).clamp(0.0, 4.0) as usize;
            let text = format!("{v:.decimals$}");
            if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
        }
        _ => format!("{v:.2e}"),
    }
}

fn camera(ui: &mut Ui, session: &mut Session, commands: &mut Vec<Command>) {
    heading(ui, "Camera");
    let mut fov = session.camera.fov;
    let slider = Slider::new(&mut fov, FOV.0..=FOV.1).suffix("°").fixed_decimals(1).logarithmic(true);
    // The slider rounds by itself what it shows: less than that is no change.
    if row(ui, "Field of view", slider) && (fov - session.camera.fov).abs() > 0.06 {
        commands.push(Command::Act(Action::Widen(fov - session.camera.fov)));
    }
    ui.horizontal(|ui| {
        for (name, action, hint) in [
            ("Reset", Action::Reset, "R"),
            ("Copy", Action::Copy, "Ctrl+C: as JSON, as in a transforms.json"),
            ("Paste", Action::Paste, "Ctrl+V"),
        ] {
            if ui.button(name).on_hover_text(hint).clicked() {
                commands.push(Command::Act(action));
            }
        }
    });
    if session.views.is_empty() {
        return;
    }
    ui.horizontal(|ui| {
        for (name, by) in [("<", -1), (">", 1)] {
            if ui.button(name).on_hover_text("[ and ]").clicked() {
                commands.push(Command::Act(Action::Snap(by)));
            }
        }
        let text = match session.snapped {
            Some(i) => format!("image {} of {}: {}", i + 1, session.views.len(), short(&session.views[i].name)),
            None => format!("{} images", session.views.len()),
        };
        ui.add(egui::Label::new(text).truncate());
    });
}

/// The file's name without its folders.
fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// A name in a column of fixed width.
fn name_of(ui: &mut Ui, name: &str) {
    let column = Layout::left_to_right(Align::Center);
    ui.allocate_ui_with_layout(Vec2::new(80.0, 20.0), column, |ui| {
        ui.set_min_width(80.0);
        ui.label(name);
    });
}

/// A slider behind its name; whether it changed.
fn row(ui: &mut Ui, name: &str, slider: Slider<'_>) -> bool {
    ui.horizontal(|ui| {
        name_of(ui, name);
        ui.add(slider).changed()
    })
    .inner
}

fn look(ui: &mut Ui, session: &mut Session) {
    heading(ui, "Picture");
    let radiance = session.scene.as_ref().is_some_and(|s| s.is_radiance());
    let settings = &mut session.settings;
    row(ui, "Exposure", Slider::new(&mut settings.exposure, -5.0..=5.0).suffix(" EV").fixed_decimals(1));
    row(ui, "Samples", Slider::new(&mut settings.samples, 1..=64).logarithmic(true));
    ui.horizontal(|ui| {
        name_of(ui, "Background");
        let name = match settings.background {
            Background::White => "white",
            Background::Black => "black",
            Background::Transparent => "transparent",
            Background::Colour(_) => "colour",
        };
        ComboBox::from_id_salt("background").width(96.0).selected_text(name).show_ui(ui, |ui| {
            for (name, value) in [
                ("white", Background::White),
                ("black", Background::Black),
                ("transparent", Background::Transparent),
                ("colour", Background::Colour([0.5; 3].map(linear_from_srgb))),
            ] {
                ui.selectable_value(&mut settings.background, value, name);
            }
        });
        if let Background::Colour(colour) = &mut settings.background {
            ui.color_edit_button_rgb(colour);
        }
    });
    if !radiance {
        ui.checkbox(&mut settings.shadows, "Soft shadow and ambient occlusion");
    }
}

fn section(ui: &mut Ui, session: &mut Session) {
    heading(ui, "Section");
    let cut = &mut session.settings.cut;
    ui.horizontal(|ui| {
        ui.checkbox(&mut cut.on, "Cut at");
        for (i, name) in ["x", "y", "z"].into_iter().enumerate() {
            ui.selectable_value(&mut cut.axis, i, name);
        }
        ui.checkbox(&mut cut.flipped, "other side");
    });
    if cut.on {
        row(ui, "Place", Slider::new(&mut cut.place, 0.0..=1.0).fixed_decimals(3));
        ui.checkbox(&mut cut.field, "Show the field on the plane")
            .on_hover_text("Signed distances: blue inside, red outside, with lines; radiance: density");
    }
}

fn path(ui: &mut Ui, session: &mut Session, commands: &mut Vec<Command>) {
    heading(ui, "Camera path");
    let keys = session.path.keys.len();
    ui.horizontal(|ui| {
        if ui.button("Add key").on_hover_text("F5").clicked() {
            commands.push(Command::Act(Action::AddKey));
        }
        let name = if session.playing.is_some() { "Stop" } else { "Play" };
        if ui.add_enabled(keys > 1, egui::Button::new(name)).on_hover_text("F6").clicked() {
            commands.push(Command::Act(Action::Play));
        }
        if ui.add_enabled(keys > 1, egui::Button::new("Save")).on_hover_text("For nstr render --path").clicked() {
            commands.push(Command::SavePath);
        }
        if ui.add_enabled(keys > 0, egui::Button::new("Clear")).clicked() {
            commands.push(Command::ClearPath);
        }
    });
    ui.horizontal(|ui| {
        let load = ui.button("Load").on_hover_text("F7; or drop a .json onto the window");
        let field = egui::TextEdit::singleline(&mut session.path_name).hint_text("file, .json");
        let named = ui.add(field.desired_width(ui.available_width() - 12.0));
        let entered = named.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
        if load.clicked() || entered {
            commands.push(Command::Act(Action::LoadPath));
        }
    });
    if keys > 0 {
        row(ui, "Pace", Slider::new(&mut session.path.pace, PACE.0..=PACE.1).suffix(" s").logarithmic(true));
        let frames = (session.path.length() * FPS).round() as usize + 1;
        ui.label(RichText::new(format!("{keys} keys, {frames} frames")).weak().size(11.5));
    }
}

fn save(ui: &mut Ui, commands: &mut Vec<Command>) {
    heading(ui, "Save");
    ui.horizontal(|ui| {
        for (name, action, hint) in [
            ("PNG", Action::SavePng, "P: the picture"),
            ("EXR", Action::SaveExr, "X: all layers, linear"),
            ("Help", Action::Help, "H or F1"),
        ] {
            if ui.button(name).on_hover_text(hint).clicked() {
                commands.push(Command::Act(action));
            }
        }
    });
}

fn training(ui: &mut Ui, report: &Report, commands: &mut Vec<Command>) {
    heading(ui, "Training");
    let (word, colour) = match &report.phase {
        Phase::Preparing => ("reading the input".to_string(), ui.visuals().weak_text_color()),
        Phase::Running => ("running".to_string(), Color32::from_rgb(120, 200, 120)),
        Phase::Paused => ("paused".to_string(), Color32::from_rgb(230, 190, 90)),
        Phase::Stopping => ("stopping and saving".to_string(), Color32::from_rgb(230, 190, 90)),
        Phase::Done(said) => (said.clone(), ui.visuals().text_color()),
        Phase::Failed(said) => (said.clone(), Color32::from_rgb(240, 110, 100)),
    };
    ui.label(RichText::new(word).color(colour));
    if let Some(p) = report.progress {
        ui.add(egui::ProgressBar::new(p.share as f32).desired_height(6.0));
        let seconds = p.elapsed.as_secs_f64();
        let rate = p.step as f64 / seconds.max(1e-9);
        let text = format!("step {}   {seconds:.0} s   {rate:.0} steps/s   lr {:.1e}", p.step, p.net_lr);
        ui.label(RichText::new(text).weak().size(11.5));
    }
    let losses: Vec<(f64, f64)> = report.curve.iter().map(|p| (p.step as f64, p.loss)).collect();
    plot::curve(ui, "loss", &losses, true, Color32::from_rgb(110, 170, 230));
    // Measured now and then: where it is only repeated, the curve has no point.
    let mut figures: Vec<(f64, f64)> = report.curve.iter().filter_map(|p| Some((p.step as f64, p.figure?))).collect();
    figures.dedup_by_key(|p| p.1);
    if !figures.is_empty() {
        let name = report.progress.and_then(|p| p.figure).map_or("PSNR", |f| f.0);
        plot::curve(ui, &format!("held-out {name}, dB"), &figures, false, Color32::from_rgb(230, 170, 90));
    }
    if matches!(report.phase, Phase::Running | Phase::Paused) {
        ui.horizontal(|ui| {
            let name = if report.phase == Phase::Paused { "Resume" } else { "Pause" };
            if ui.button(name).on_hover_text("Space").clicked() {
                commands.push(Command::Act(Action::Pause));
            }
            if ui.button("Stop and save").clicked() {
                commands.push(Command::Stop);
            }
        });
    }
}

fn status(ui: &mut Ui, session: &Session, facts: &Facts<'_>) {
    ui.horizontal_centered(|ui| {
        let small = |text: String| RichText::new(text).size(12.0);
        let mut parts = Vec::new();
        if let Some(shown) = facts.shown {
            let (w, h) = (shown.view.camera.width, shown.view.camera.height);
            parts.push(format!("{w} x {h}"));
            parts.push(if shown.divisor > 1 { format!("scale 1/{}", shown.divisor) } else { "scale 1".into() });
            parts.push(format!("{} spp", shown.samples));
            parts.push(match shown.seconds {
                long if long >= 10.0 => format!("{long:.0} s"),
                short => format!("{:.0} ms", short * 1e3),
            });
            if let Some(psnr) = shown.psnr {
                parts.push(format!("PSNR {psnr:.2} dB"));
            }
        }
        if let Some(fps) = facts.fps {
            parts.push(format!("{fps:.0} fps"));
        } else if !session.passing {
            parts.push("still".into());
        }
        parts.push(match facts.done {
            true if session.passing => "training".into(),
            true => "refined".into(),
            false => format!("painting {:.0} %", 100.0 * facts.share),
        });
        ui.label(small(parts.join("   ")));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let (painter, adapter) = facts.devices;
            let hint = if session.panel { "H help" } else { "H help   T panel" };
            let shown_by = if painter.contains(adapter) { String::new() } else { format!(", shown by {adapter}") };
            ui.add(egui::Label::new(small(format!("{painter}{shown_by}   {hint}")).weak()).truncate());
        });
    });
}

/// Message, notes and help, over the picture.
fn overlays(ctx: &Context, session: &mut Session, facts: &Facts<'_>, picture: Rect) {
    let note = facts.shown.and_then(|s| s.note.as_deref());
    let away = session.settings.show == Show::Error && session.snapped.is_none();
    let hint = away.then_some(match session.views.is_empty() {
        true => "the error needs a capture: give one with --capture DIR",
        false => "no image to compare with from here: [ and ] go to the capture's cameras",
    });
    let waiting = session.scene.is_none().then_some("reading the input ...");
    let text = session.message().map(|m| m.0).or(note).or(hint).or(waiting);
    if session.help {
        help(ctx, picture);
    } else if let Some(text) = text {
        let painter = ctx.layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::new("message")));
        let width = (picture.width() - 48.0).max(80.0);
        let laid = painter.layout(text.to_string(), FontId::proportional(13.5), Color32::from_gray(240), width);
        let size = laid.size() + Vec2::new(24.0, 14.0);
        let area = Align2::CENTER_BOTTOM.anchor_size(picture.center_bottom() - Vec2::new(0.0, 16.0), size);
        painter.rect_filled(area, 5.0, Color32::from_black_alpha(205));
        painter.galley(area.min + Vec2::new(12.0, 7.0), laid, Color32::WHITE);
    }
}

/// Keys and what they do, in the order of the manual.
const HELP: [(&str, &str); 18] = [
    ("left drag", "turn around the object"),
    ("right drag, shift + left", "move sideways"),
    ("middle drag, ctrl + left", "look around"),
    ("wheel", "nearer, farther"),
    ("W A S D", "fly ahead, left, back, right"),
    ("Q E", "fly down, up; with shift faster"),
    ("R", "back to the first camera"),
    ("[  ]", "to the capture's cameras"),
    ("+  -", "narrower, wider field of view"),
    ("1 ... 9", "layer"),
    ("ctrl + C, ctrl + V", "copy, paste the camera"),
    ("F5, F6, F7", "add a key to the path, play it, load one"),
    ("P", "save the picture as PNG"),
    ("X", "save all layers as EXR"),
    ("space", "pause training, go on"),
    ("T", "panel"),
    ("H, F1", "this help"),
    ("escape", "close the help"),
];

fn help(ctx: &Context, picture: Rect) {
    let frame = Frame::new()
        .fill(Color32::from_black_alpha(225))
        .corner_radius(6.0)
        .stroke(Stroke::new(1.0, Color32::from_gray(70)))
        .inner_margin(Margin::symmetric(18, 14));
    let room = (picture.height() - 48.0).max(80.0);
    Window::new("help")
        .title_bar(false)
        .resizable(false)
        .frame(frame)
        .pivot(Align2::CENTER_CENTER)
        .fixed_pos(picture.center())
        // The window shrinks to its content; what it could have must not depend on where it was opened first.
        .min_height(room)
        .max_height(room)
        .show(ctx, |ui| ScrollArea::vertical().show(ui, keys));
}

fn keys(ui: &mut Ui) {
    // The scroll bar floats.
    Frame::new().inner_margin(Margin { right: 12, ..Margin::ZERO }).show(ui, |ui| {
        ui.label(RichText::new("Mouse and keys").strong().size(15.0));
        ui.add_space(4.0);
        Grid::new("keys").num_columns(2).spacing([24.0, 5.0]).show(ui, |ui| {
            for (keys, what) in HELP {
                ui.label(RichText::new(keys).monospace().size(12.0));
                ui.label(what);
                ui.end_row();
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        for (value, text) in [
            (0.0, "0"),
            (115.0, "115"),
            (-56.0213, "-56.02"),
            (372.631, "372.6"),
            (0.25, "0.25"),
            (0.012_345_6, "0.0123"),
            (1200.4, "1200"),
            (9999.96, "10000"),
            (3.2e-5, "3.20e-5"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
