//! Panel beside the image, status line below it, and help and messages over it.

use std::path::PathBuf;
use std::time::Duration;

use egui::{
    Align, Align2, CollapsingHeader, Color32, ComboBox, Context, FontId, Frame, Grid, Layout, Margin, Panel, Rect,
    RichText, ScrollArea, Slider, Ui, Vec2,
};
use nstr_image::colour::Background;
use nstr_image::colour::linear_from_srgb;
use nstr_render::Look;

use crate::display_mode::DisplayMode;
use crate::input::Action;
use crate::render_backend::RenderedImage;
use crate::session::Session;
use crate::training::TrainingStatus;
use crate::video_export::VideoProgress;
use crate::view_scores::ViewScores;

mod camera;
pub(crate) mod canvas;
mod charts;
mod help;
mod legend;
mod open;
mod path;
mod point;
mod save;
mod section;
mod status;
mod timeline;
mod training;
mod views;

pub(crate) use canvas::Canvas;

/// Information that the panel displays beside the state of the session.
pub(crate) struct PanelInfo<'a> {
    /// Name of the model or input.
    pub title: &'a str,
    /// Lines about it.
    pub details: &'a [String],
    /// Displayed image.
    pub image: Option<&'a RenderedImage>,
    /// Share of the work up to the final picture that is done, 0 to 1.
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
    /// Quality at each image of the capture, once it is measured.
    pub scores: Option<&'a ViewScores>,
    /// Share of the computer that painting may take while training runs, and what it took, 0 to 1.
    pub paint_shares: (f64, f64),
    /// Models that were shown last, the newest first.
    pub recent: &'a [PathBuf],
    /// Video that is being rendered.
    pub video: Option<VideoProgress>,
}

/// Command of the user from the panel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PanelCommand {
    /// The action of a key.
    Act(Action),
    /// Save the camera path.
    SavePath,
    /// Clear the camera path.
    ClearPath,
    /// Put the command on the clipboard that renders the camera path.
    CopyRenderCommand,
    /// Stop training and save.
    StopTraining,
    /// Show this model in place of the present one.
    Open(PathBuf),
    /// Go to this image of the capture.
    GoToView(usize),
    /// Measure the field at each image of the capture.
    MeasureViews,
    /// Go to the nearest image of the capture, unless the camera is at one.
    EnsureView,
    /// Let the next click take a point of a measured distance, or give it up.
    ToggleMeasuring,
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
    // A press and its release may be drawn long after one another where the renderer takes all cores.
    ctx.options_mut(|o| o.input_options.max_click_duration = 10.0);
    ctx.all_styles_mut(|style| {
        style.spacing.item_spacing = Vec2::new(8.0, 6.0);
        style.spacing.slider_width = 108.0;
        style.spacing.interact_size.y = 20.0;
        style.interaction.selectable_labels = false;
        style.spacing.scroll = egui::style::ScrollStyle::solid();
        style.visuals.override_text_color = Some(Color32::from_gray(205));
        style.visuals.panel_fill = Color32::from_gray(30);
        style.visuals.window_fill = Color32::from_gray(30);
        style.visuals.selection.bg_fill = Color32::from_rgb(38, 96, 145);
    });
}

/// Lays the panel out and draws over the picture; returns the commands of the user and the rectangle that is left for the image, in
/// points.
pub(crate) fn show(
    ui: &mut Ui,
    session: &mut Session,
    info: &PanelInfo<'_>,
    canvas: &mut Canvas,
) -> (Vec<PanelCommand>, Rect) {
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
                ui.set_max_width(WIDTH - 36.0);
                commands = controls(ui, session, info);
            });
        });
    }
    let whole = ui.available_rect_before_wrap();
    let image = canvas::picture_area(session, whole);
    canvas.draw(ui, session, info, image, whole);
    overlays(ui.ctx(), session, info, whole);
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
    if session.picked.is_some() {
        fold(ui, "Point", true, |ui| point::show(ui, session, &mut commands));
    }
    fold(ui, "Layer", true, |ui| layers(ui, session, &mut commands));
    fold(ui, "Camera", true, |ui| camera::show(ui, session, &mut commands));
    if !session.views.is_empty() {
        fold(ui, "Capture", true, |ui| views::show(ui, session, info, &mut commands));
    }
    fold(ui, "Picture", true, |ui| display_settings(ui, session));
    fold(ui, "Over the picture", true, |ui| aids(ui, session, &mut commands));
    fold(ui, "Section", true, |ui| section::show(ui, session));
    fold(ui, "Camera path", false, |ui| path::show(ui, session, info, &mut commands));
    fold(ui, "Save", true, |ui| save::show(ui, session, &mut commands));
    if info.training.is_none() {
        fold(ui, "Open", false, |ui| open::show(ui, session, info.recent, &mut commands));
    }
    commands
}

fn heading(ui: &mut Ui, text: &str) {
    ui.add_space(6.0);
    ui.separator();
    ui.label(RichText::new(text).strong());
}

/// A part of the panel that folds.
fn fold(ui: &mut Ui, title: &str, open: bool, content: impl FnOnce(&mut Ui)) {
    ui.add_space(2.0);
    ui.separator();
    let header = CollapsingHeader::new(RichText::new(title).strong()).id_salt(title).default_open(open);
    header.show_unindented(ui, content);
}

fn layers(ui: &mut Ui, session: &Session, commands: &mut Vec<PanelCommand>) {
    let current = session.settings.mode;
    Grid::new("layers").num_columns(3).min_col_width(80.0).spacing([4.0, 4.0]).show(ui, |ui| {
        for (i, mode) in DisplayMode::ALL.into_iter().enumerate() {
            let text = format!("{}  {}", i + 1, mode.name());
            let refusal = session.refusal(mode);
            let label = ui.add_enabled(refusal.is_none(), egui::Button::selectable(current == mode, text));
            let label = match &refusal {
                Some(reason) => label.on_disabled_hover_text(*reason),
                None => label.on_hover_text(session.describe(mode)),
            };
            if label.clicked() {
                commands.push(PanelCommand::Act(Action::SetMode(mode)));
            }
            if i % 3 == 2 {
                ui.end_row();
            }
        }
    });
}

/// Switches of what is drawn over the picture, and the measured distance.
fn aids(ui: &mut Ui, session: &mut Session, commands: &mut Vec<PanelCommand>) {
    ui.horizontal(|ui| {
        ui.checkbox(&mut session.aids.axes, "Axes");
        ui.checkbox(&mut session.aids.grid, "Ground").on_hover_text("G: a grid below the object");
        ui.checkbox(&mut session.aids.bounds, "Boxes").on_hover_text("B: around the object, and around the field");
        ui.checkbox(&mut session.aids.path, "Path").on_hover_text("The camera path");
    });
    ui.horizontal(|ui| {
        let armed = session.measurement.armed;
        let button =
            ui.selectable_label(armed, "Measure").on_hover_text("Or shift + click: the distance of two points");
        if button.clicked() {
            commands.push(PanelCommand::ToggleMeasuring);
        }
        let text = match (session.measurement.distance(), session.measurement.points.len(), armed) {
            (Some(distance), ..) => format!("{} world units", nstr_plot::format::compact(distance)),
            (None, 1, _) => "click on the second point".into(),
            (None, _, true) => "click on the first point".into(),
            _ => String::new(),
        };
        ui.label(text);
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

/// A duration in words that are short enough for a panel.
fn duration_text(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

fn display_settings(ui: &mut Ui, session: &mut Session) {
    let false_colours = session.shows_field_on_plane() || session.settings.mode != DisplayMode::Shaded;
    let radiance = session.scene.as_ref().is_some_and(|s| s.is_radiance());
    let settings = &mut session.settings;
    ui.add_enabled_ui(!false_colours, |ui| {
        slider_row(ui, "Exposure", Slider::new(&mut settings.exposure, -5.0..=5.0).suffix(" EV").fixed_decimals(1));
    })
    .response
    .on_disabled_hover_text("Exposure would change what false colours stand for");
    if !radiance {
        ui.horizontal(|ui| {
            label_column(ui, "Look");
            ComboBox::from_id_salt("look")
                .width(96.0)
                .selected_text(settings.look.name())
                .show_ui(ui, |ui| {
                    for look in Look::ALL {
                        ui.selectable_value(&mut settings.look, look, look.name()).on_hover_text(look.description());
                    }
                })
                .response
                .on_hover_text("L: the next look");
        });
    }
    slider_row(ui, "Samples", Slider::new(&mut settings.samples, 1..=64).logarithmic(true));
    ui.horizontal(|ui| {
        label_column(ui, "Background");
        let graded = !radiance && settings.look.has_backdrop();
        let name = match settings.background {
            _ if graded && settings.has_backdrop => "graded",
            Background::White => "white",
            Background::Black => "black",
            Background::Transparent => "transparent",
            Background::Colour(_) => "colour",
        };
        ComboBox::from_id_salt("background").width(96.0).selected_text(name).show_ui(ui, |ui| {
            if graded {
                ui.selectable_value(&mut settings.has_backdrop, true, "graded");
            }
            for (name, value) in [
                ("white", Background::White),
                ("black", Background::Black),
                ("transparent", Background::Transparent),
                ("colour", Background::Colour([0.5; 3].map(linear_from_srgb))),
            ] {
                let is_shown = !(graded && settings.has_backdrop) && settings.background == value;
                if ui.selectable_label(is_shown, name).clicked() {
                    (settings.background, settings.has_backdrop) = (value, false);
                }
            }
        });
        if let (Background::Colour(colour), false) = (&mut settings.background, graded && settings.has_backdrop) {
            ui.color_edit_button_rgb(colour);
        }
    });
    if !radiance {
        ui.checkbox(&mut settings.shadows, "Exact shadow and occlusion").on_hover_text(
            "By the field itself instead of a coarse grid of distances: sharper, and more than twice as slow",
        );
    }
}

/// Message, notes and help over the image, which fills `area`.
fn overlays(ctx: &Context, session: &mut Session, info: &PanelInfo<'_>, area: Rect) {
    let note = info.image.and_then(|i| i.note.as_deref());
    let hint = session.missing_image();
    let waiting = match (&session.scene, info.image) {
        (None, _) => Some("reading the input ..."),
        (Some(_), None) => Some("painting the first picture ..."),
        (Some(_), Some(_)) => None,
    };
    let text = session.message().map(|m| m.0).or(note).or(hint.as_deref()).or(waiting);
    if session.help {
        help::show(ctx, area);
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
