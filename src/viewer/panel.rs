//! Panel beside the image, status line below it, and help and messages over it.

use egui::{
    Align, Align2, Color32, ComboBox, Context, FontId, Frame, Grid, Layout, Margin, Panel, Rect, RichText, ScrollArea,
    Slider, Stroke, Ui, Vec2, Window,
};
use nstr_image::colormap::{diverging_colormap, error_colormap, sequential_colormap};
use nstr_image::colour::Background;
use nstr_image::colour::linear_from_srgb;
use nstr_plot::format::compact;

use crate::camera::FOV;
use crate::camera_path::{FRAME_RATE, KEY_INTERVAL};
use crate::display_mode::DisplayMode;
use crate::input::Action;
use crate::render_backend::RenderedImage;
use crate::session::Session;
use crate::training::TrainingStatus;

mod status;
mod training;

/// Information that the panel displays beside the state of the session.
pub(crate) struct PanelInfo<'a> {
    /// Name of the model or input.
    pub title: &'a str,
    /// Lines about it.
    pub details: &'a [String],
    /// Displayed image.
    pub image: Option<&'a RenderedImage>,
    /// Done fraction of the current pass, 0 to 1.
    pub progress: f32,
    /// Whether the image is refined.
    pub done: bool,
    /// Name of the render backend.
    pub backend: &'a str,
    /// Name of the adapter that presents.
    pub adapter: &'a str,
    /// Presented frames a second; `None` unless the camera moves.
    pub fps: Option<f64>,
    /// Training run, if there is one.
    pub training: Option<&'a TrainingStatus>,
    /// Share of the computer that painting may take while training runs, and what it took, 0 to 1.
    pub paint_shares: (f64, f64),
}

/// Command of the user from the panel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PanelCommand {
    /// The action of a key.
    Act(Action),
    /// Save the camera path.
    SavePath,
    /// Clear the camera path.
    ClearPath,
    /// Stop training and save.
    StopTraining,
    /// Give painting this share of the computer while training runs, 0 to 1.
    SetPaintShare(f64),
}

/// Width of the panel, points.
const WIDTH: f32 = 292.0;
/// Height of the status line, points.
const STATUS_HEIGHT: f32 = 26.0;

/// Sets colours and spacing.
pub(crate) fn set_style(ctx: &Context) {
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

/// Lays the panel out; returns the commands of the user and the rectangle that is left for the image, in points.
pub(crate) fn show(ui: &mut Ui, session: &mut Session, info: &PanelInfo<'_>) -> (Vec<PanelCommand>, Rect) {
    let mut commands = Vec::new();
    let fill = ui.visuals().panel_fill;
    let frame = Frame::new().fill(fill).inner_margin(Margin::symmetric(12, 0));
    Panel::bottom("status").exact_size(STATUS_HEIGHT).resizable(false).frame(frame).show_inside(ui, |ui| {
        status::show(ui, session, info);
    });
    if session.panel {
        let frame = Frame::new().fill(fill).inner_margin(Margin { left: 12, right: 4, top: 10, bottom: 6 });
        Panel::right("panel").exact_size(WIDTH).resizable(false).frame(frame).show_inside(ui, |ui| {
            ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
                ui.set_max_width(WIDTH - 30.0);
                commands = controls(ui, session, info);
            });
        });
    }
    let image = ui.available_rect_before_wrap();
    overlays(ui.ctx(), session, info, image);
    (commands, image)
}

fn controls(ui: &mut Ui, session: &mut Session, info: &PanelInfo<'_>) -> Vec<PanelCommand> {
    let mut commands = Vec::new();
    ui.label(RichText::new(info.title).strong().size(15.0));
    for line in info.details {
        ui.label(RichText::new(line).weak().size(11.5));
    }
    if let Some(status) = info.training {
        training::show(ui, status, info.paint_shares, &mut commands);
    }
    layers(ui, session, info, &mut commands);
    camera(ui, session, &mut commands);
    display_settings(ui, session);
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

fn layers(ui: &mut Ui, session: &Session, info: &PanelInfo<'_>, commands: &mut Vec<PanelCommand>) {
    heading(ui, "Layer");
    let current = session.settings.mode;
    Grid::new("layers").num_columns(3).min_col_width(82.0).spacing([4.0, 4.0]).show(ui, |ui| {
        for (i, mode) in DisplayMode::ALL.into_iter().enumerate() {
            let text = format!("{}  {}", i + 1, mode.name());
            if ui.selectable_label(current == mode, text).on_hover_text(mode.description()).clicked() {
                commands.push(PanelCommand::Act(Action::SetMode(mode)));
            }
            if i % 3 == 2 {
                ui.end_row();
            }
        }
    });
    if let Some((low, high)) = info.image.filter(|i| i.request.mode == current).and_then(|i| i.range) {
        legend(ui, current, low, high);
    }
}

/// Colour bar with the values at its ends.
fn legend(ui: &mut Ui, mode: DisplayMode, low: f32, high: f32) {
    let (area, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 10.0), egui::Sense::hover());
    let painter = ui.painter_at(area);
    let steps = 64;
    for i in 0..steps {
        let t = (i as f32 + 0.5) / steps as f32;
        let colour = match mode {
            DisplayMode::Curvature => diverging_colormap(2.0 * t - 1.0),
            DisplayMode::Error => error_colormap(t),
            _ => sequential_colormap(t),
        };
        let [r, g, b] = colour.map(|v| (v * 255.0 + 0.5) as u8);
        let left = area.left() + area.width() * i as f32 / steps as f32;
        let piece =
            Rect::from_min_size(egui::pos2(left, area.top()), Vec2::new(area.width() / steps as f32 + 0.6, 10.0));
        painter.rect_filled(piece, 0.0, Color32::from_rgb(r, g, b));
    }
    ui.horizontal(|ui| {
        ui.label(RichText::new(compact(low.into())).size(11.0));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(RichText::new(compact(high.into())).size(11.0));
        });
    });
}

fn camera(ui: &mut Ui, session: &mut Session, commands: &mut Vec<PanelCommand>) {
    heading(ui, "Camera");
    let mut fov = session.camera.fov;
    let slider = Slider::new(&mut fov, FOV.0..=FOV.1).suffix("°").fixed_decimals(1).logarithmic(true);
    // The slider rounds the value that it shows: a smaller difference is not a change.
    if slider_row(ui, "Field of view", slider) && (fov - session.camera.fov).abs() > 0.06 {
        commands.push(PanelCommand::Act(Action::AdjustFov(fov - session.camera.fov)));
    }
    ui.horizontal(|ui| {
        for (name, action, hint) in [
            ("Reset", Action::Reset, "R"),
            ("Copy", Action::Copy, "Ctrl+C: as JSON, as in a transforms.json"),
            ("Paste", Action::Paste, "Ctrl+V"),
        ] {
            if ui.button(name).on_hover_text(hint).clicked() {
                commands.push(PanelCommand::Act(action));
            }
        }
    });
    if session.views.is_empty() {
        return;
    }
    ui.horizontal(|ui| {
        for (name, by) in [("<", -1), (">", 1)] {
            if ui.button(name).on_hover_text("[ and ]").clicked() {
                commands.push(PanelCommand::Act(Action::NextView(by)));
            }
        }
        let text = match session.active_view {
            Some(i) => format!("image {} of {}: {}", i + 1, session.views.len(), file_name(&session.views[i].name)),
            None => format!("{} images", session.views.len()),
        };
        ui.add(egui::Label::new(text).truncate());
    });
}

/// The file name of a path.
fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// A label in a column of fixed width.
fn label_column(ui: &mut Ui, name: &str) {
    let column = Layout::left_to_right(Align::Center);
    ui.allocate_ui_with_layout(Vec2::new(80.0, 20.0), column, |ui| {
        ui.set_min_width(80.0);
        ui.label(name);
    });
}

/// A slider after its label; returns whether it changed.
fn slider_row(ui: &mut Ui, name: &str, slider: Slider<'_>) -> bool {
    ui.horizontal(|ui| {
        label_column(ui, name);
        ui.add(slider).changed()
    })
    .inner
}

fn display_settings(ui: &mut Ui, session: &mut Session) {
    heading(ui, "Picture");
    let radiance = session.scene.as_ref().is_some_and(|s| s.is_radiance());
    let settings = &mut session.settings;
    slider_row(ui, "Exposure", Slider::new(&mut settings.exposure, -5.0..=5.0).suffix(" EV").fixed_decimals(1));
    slider_row(ui, "Samples", Slider::new(&mut settings.samples, 1..=64).logarithmic(true));
    ui.horizontal(|ui| {
        label_column(ui, "Background");
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
        ui.checkbox(&mut cut.enabled, "Cut at");
        for (i, name) in ["x", "y", "z"].into_iter().enumerate() {
            ui.selectable_value(&mut cut.axis, i, name);
        }
        ui.checkbox(&mut cut.flipped, "other side");
    });
    if cut.enabled {
        slider_row(ui, "Place", Slider::new(&mut cut.offset, 0.0..=1.0).fixed_decimals(3));
        ui.checkbox(&mut cut.field, "Show the field on the plane")
            .on_hover_text("Signed distances: blue inside, red outside, with lines; radiance: density");
    }
}

fn path(ui: &mut Ui, session: &mut Session, commands: &mut Vec<PanelCommand>) {
    heading(ui, "Camera path");
    let keys = session.path.keys.len();
    ui.horizontal(|ui| {
        if ui.button("Add key").on_hover_text("F5").clicked() {
            commands.push(PanelCommand::Act(Action::AddKey));
        }
        let name = if session.playback_time.is_some() { "Stop" } else { "Play" };
        if ui.add_enabled(keys > 1, egui::Button::new(name)).on_hover_text("F6").clicked() {
            commands.push(PanelCommand::Act(Action::Play));
        }
        if ui.add_enabled(keys > 1, egui::Button::new("Save")).on_hover_text("For nstr render --path").clicked() {
            commands.push(PanelCommand::SavePath);
        }
        if ui.add_enabled(keys > 0, egui::Button::new("Clear")).clicked() {
            commands.push(PanelCommand::ClearPath);
        }
    });
    ui.horizontal(|ui| {
        let load = ui.button("Load").on_hover_text("F7; or drop a .json onto the window");
        let field = egui::TextEdit::singleline(&mut session.path_name).hint_text("file, .json");
        let named = ui.add(field.desired_width(ui.available_width() - 12.0));
        let entered = named.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
        if load.clicked() || entered {
            commands.push(PanelCommand::Act(Action::LoadPath));
        }
    });
    if keys > 0 {
        slider_row(
            ui,
            "Pace",
            Slider::new(&mut session.path.seconds_between_keys, KEY_INTERVAL.0..=KEY_INTERVAL.1)
                .suffix(" s")
                .logarithmic(true),
        );
        let frames = (session.path.duration() * FRAME_RATE).round() as usize + 1;
        let plural = |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
        let text = format!("{}, {}", plural(keys, "key"), plural(frames, "frame"));
        ui.label(RichText::new(text).weak().size(11.5));
    }
}

fn save(ui: &mut Ui, commands: &mut Vec<PanelCommand>) {
    heading(ui, "Save");
    ui.horizontal(|ui| {
        for (name, action, hint) in [
            ("PNG", Action::SavePng, "P: the picture"),
            ("EXR", Action::SaveExr, "X: all layers, linear"),
            ("Help", Action::Help, "H or F1"),
        ] {
            if ui.button(name).on_hover_text(hint).clicked() {
                commands.push(PanelCommand::Act(action));
            }
        }
    });
}

/// Message, notes and help over the image, which fills `area`.
fn overlays(ctx: &Context, session: &mut Session, info: &PanelInfo<'_>, area: Rect) {
    let note = info.image.and_then(|i| i.note.as_deref());
    let no_reference = session.settings.mode == DisplayMode::Error && session.active_view.is_none();
    let hint = no_reference.then_some(match session.views.is_empty() {
        true => "the error needs a capture: give one with --capture DIR",
        false => "no image to compare with from here: [ and ] go to the capture's cameras",
    });
    let waiting = match (&session.scene, info.image) {
        (None, _) => Some("reading the input ..."),
        (Some(_), None) => Some("painting the first picture ..."),
        (Some(_), Some(_)) => None,
    };
    let text = session.message().map(|m| m.0).or(note).or(hint).or(waiting);
    if session.help {
        help(ctx, area);
    } else if let Some(text) = text {
        let painter = ctx.layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::new("message")));
        let width = (area.width() - 48.0).max(80.0);
        let galley = painter.layout(text.to_string(), FontId::proportional(13.5), Color32::from_gray(240), width);
        let size = galley.size() + Vec2::new(24.0, 14.0);
        let frame = Align2::CENTER_BOTTOM.anchor_size(area.center_bottom() - Vec2::new(0.0, 16.0), size);
        painter.rect_filled(frame, 5.0, Color32::from_black_alpha(205));
        painter.galley(frame.min + Vec2::new(12.0, 7.0), galley, Color32::WHITE);
    }
}

/// Keys and their actions, in the order of the manual.
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

/// The help, over the image that fills `area`.
fn help(ctx: &Context, area: Rect) {
    let frame = Frame::new()
        .fill(Color32::from_black_alpha(225))
        .corner_radius(6.0)
        .stroke(Stroke::new(1.0, Color32::from_gray(70)))
        .inner_margin(Margin::symmetric(18, 14));
    let height = (area.height() - 48.0).max(80.0);
    Window::new("help")
        .title_bar(false)
        .resizable(false)
        .frame(frame)
        .pivot(Align2::CENTER_CENTER)
        .fixed_pos(area.center())
        // egui would keep the height of the first time, which may be too small later.
        .min_height(height)
        .max_height(height)
        .show(ctx, |ui| ScrollArea::vertical().show(ui, keys));
}

fn keys(ui: &mut Ui) {
    // The scroll bar floats.
    Frame::new().inner_margin(Margin { right: 12, ..Margin::ZERO }).show(ui, |ui| {
        ui.label(RichText::new("Mouse and keys").strong().size(15.0));
        ui.add_space(4.0);
        Grid::new("keys").num_columns(2).spacing([24.0, 5.0]).show(ui, |ui| {
            for (keys, action) in HELP {
                ui.label(RichText::new(keys).monospace().size(12.0));
                ui.label(action);
                ui.end_row();
            }
        });
    });
}
