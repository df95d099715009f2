//! What is drawn over the picture: orientation aids, frusta, the camera path, picked points, the capture's image and the legend.

use std::sync::{Arc, Weak};

use egui::{Align2, Color32, CursorIcon, LayerId, Order, Painter, Rect, Sense, Stroke, Ui, pos2, vec2};
use nstr_plot::format::compact;
use nstr_render::{Section, SectionView};

use crate::contours;
use crate::cut_handle::{self, HandlePlaces};
use crate::display_mode::DisplayMode;
use crate::frusta;
use crate::orientation::{Label, Line, bounds_lines, grid_lines};
use crate::overlay::{Projection, axes, text_with_edge};
use crate::panel::{PanelInfo, legend};
use crate::photograph::{PhotographCache, PhotographMode};
use crate::scene::Scene;
use crate::session::Session;

/// Colour of a measured distance.
const MEASURE: [u8; 3] = [255, 214, 64];
/// Colour of the camera path.
const PATH: [u8; 3] = [190, 110, 220];
/// Pieces of the drawn path between two keys.
const PATH_PIECES: usize = 16;
/// Most lines of frusta that are compared with the picture's depth.
const MAX_HIDDEN_LINES: usize = 2000;
/// Half the width of the place where the wipe's line can be grasped, points.
pub(crate) const WIPE_REACH: f32 = 7.0;

/// Drawing over the picture, and what it keeps from frame to frame.
#[derive(Default)]
pub(crate) struct Canvas {
    photographs: PhotographCache,
    /// Handles of the section plane in the last frame.
    pub handles: HandlePlaces,
    /// Numbers on the isolines of the last section.
    contours: Option<(Weak<Scene>, Section, Vec<Label>)>,
}

/// The part of `area` that the picture has: the right half where the image is beside it.
pub(super) fn picture_area(session: &Session, area: Rect) -> Rect {
    let both = session.photograph.shown() == PhotographMode::SideBySide && session.active_view.is_some();
    if both { Rect::from_min_max(pos2(area.center().x.round(), area.top()), area.max) } else { area }
}

impl Canvas {
    /// Draws over the picture in `area`; `whole` is the place beside the panel.
    pub(super) fn draw(&mut self, ui: &mut Ui, session: &mut Session, info: &PanelInfo<'_>, area: Rect, whole: Rect) {
        let context = ui.ctx().clone();
        let painter = context.layer_painter(LayerId::new(Order::Background, egui::Id::new("canvas")));
        let painter = painter.with_clip_rect(whole);
        if session.scene.is_none() {
            return;
        }
        self.photograph(ui, &painter, session, info, area, whole);
        let painter = painter.with_clip_rect(area);
        let size =
            ((area.width() * context.pixels_per_point()) as u32, (area.height() * context.pixels_per_point()) as u32);
        let projection = Projection::new(info.image, session.camera.camera(size), area, session.home.radius);
        if session.photograph.shown() != PhotographMode::Whole || session.active_view.is_none() {
            self.contour_labels(&painter, &projection, info);
        }
        world(&painter, &projection, session);
        self.section_handles(ui, &painter, &projection, session);
        marks(&painter, &projection, session);
        hints(&painter, &projection, session, area);
        if session.aids.axes && area.width() > 150.0 && area.height() > 120.0 {
            axes(&painter, area, info.image.map_or(session.camera.camera(size), |i| i.request.camera).axes());
        }
        if let Some(legend) = info.image.filter(|_| !session.photograph.held).and_then(legend::Legend::of) {
            legend::draw(&painter, area, &legend);
        }
        let channels = match info.image.filter(|_| !session.photograph.held).map(|i| i.request.mode) {
            Some(DisplayMode::Normals) => Some("x y z as red green blue, −1 to 1"),
            Some(DisplayMode::Spectrum) => Some("S 1 2 3 as red green blue, each over its range in sight"),
            _ => None,
        };
        if let Some(text) = channels.filter(|_| area.width() > 320.0) {
            caption(&painter, area, Align2::RIGHT_TOP, text);
        }
    }

    /// Outline and handles of the section plane.
    fn section_handles(&mut self, ui: &mut Ui, painter: &Painter, projection: &Projection<'_>, session: &mut Session) {
        self.handles = HandlePlaces::default();
        let Some(scene) = session.scene.clone().filter(|_| session.settings.cut.enabled && !session.photograph.held)
        else {
            return;
        };
        let bounds = session.bounds.unwrap_or_else(|| scene.cube.bounds());
        let about = (bounds, session.home.radius);
        self.handles = cut_handle::show(ui, painter, projection, &mut session.settings.cut, &scene, about);
    }

    /// Numbers on the isolines of a section that shows signed distances.
    fn contour_labels(&mut self, painter: &Painter, projection: &Projection<'_>, info: &PanelInfo<'_>) {
        let Some(request) = info.image.map(|i| &i.request) else { return };
        let shown = request.section.filter(|s| s.show == SectionView::Field && request.mode == DisplayMode::Shaded);
        let Some(section) = shown else { return };
        let known = |(scene, of, _): &(Weak<Scene>, Section, Vec<Label>)| {
            *of == section && std::ptr::eq(scene.as_ptr(), Arc::as_ptr(&request.scene))
        };
        if !self.contours.as_ref().is_some_and(known) {
            let labels = contours::labels(&request.scene, &section);
            self.contours = Some((Arc::downgrade(&request.scene), section, labels));
        }
        for label in self.contours.iter().flat_map(|c| &c.2).filter(|l| !projection.is_hidden(l.at)) {
            projection.label(painter, label);
        }
    }

    /// The capture's image, as its arrangement wants it.
    fn photograph(
        &mut self,
        ui: &mut Ui,
        painter: &Painter,
        session: &mut Session,
        info: &PanelInfo<'_>,
        area: Rect,
        whole: Rect,
    ) {
        let mode = session.photograph.shown();
        let (Some(view), Some(image)) = (session.active_view, info.image) else { return };
        if mode == PhotographMode::Off {
            return;
        }
        let camera = &image.request.camera;
        let texture = self.photographs.texture(ui.ctx(), &session.views, view, camera, session.settings.background);
        let Some(texture) = texture else { return };
        let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        match mode {
            PhotographMode::Off => {}
            PhotographMode::Whole => {
                painter.rect_filled(area, 0.0, Color32::from_gray(18));
                painter.image(texture.id(), area, uv, Color32::WHITE);
                caption(painter, area, Align2::LEFT_TOP, "image");
            }
            PhotographMode::Wipe => {
                let x = area.left() + session.photograph.split * area.width();
                let left = Rect::from_min_max(area.min, pos2(x, area.bottom()));
                painter.with_clip_rect(left).image(texture.id(), area, uv, Color32::WHITE);
                let grasp = Rect::from_center_size(pos2(x, area.center().y), vec2(2.0 * WIPE_REACH, area.height()));
                let handle = ui.interact(grasp, egui::Id::new("wipe"), Sense::drag());
                if let Some(at) = handle.interact_pointer_pos().filter(|_| handle.dragged()) {
                    session.photograph.split = ((at.x - area.left()) / area.width()).clamp(0.02, 0.98);
                }
                if handle.hovered() || handle.dragged() {
                    ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
                }
                painter.vline(x, area.y_range(), Stroke::new(3.0, Color32::from_black_alpha(120)));
                painter.vline(x, area.y_range(), Stroke::new(1.2, Color32::WHITE));
                painter.circle_filled(pos2(x, area.center().y), 6.0, Color32::WHITE);
                painter.circle_stroke(pos2(x, area.center().y), 6.0, Stroke::new(1.0, Color32::from_gray(60)));
                if left.width() > 60.0 {
                    caption(painter, left, Align2::LEFT_TOP, "image");
                }
            }
            PhotographMode::SideBySide => {
                let left = Rect::from_min_max(whole.min, pos2(area.left(), whole.bottom()));
                painter.rect_filled(left, 0.0, Color32::from_gray(18));
                painter.image(texture.id(), left, uv, Color32::WHITE);
                painter.vline(area.left(), whole.y_range(), Stroke::new(1.0, Color32::from_gray(60)));
                caption(painter, left, Align2::LEFT_TOP, "image");
                caption(painter, area, Align2::LEFT_TOP, "field");
            }
        }
    }
}

fn caption(painter: &Painter, area: Rect, align: Align2, text: &str) {
    let corner = align.pos_in_rect(&area.shrink(10.0));
    let inset = if align == Align2::RIGHT_TOP { -3.0 } else { 3.0 };
    text_with_edge(painter, corner + vec2(inset, 1.0), align, text, 12.0, Color32::from_gray(235));
}

/// Grid, boxes, frusta and the camera path.
fn world(painter: &Painter, projection: &Projection<'_>, session: &Session) {
    let Some(scene) = &session.scene else { return };
    let bounds = session.bounds.unwrap_or_else(|| scene.cube.bounds());
    if session.aids.grid {
        let (lines, cell) = grid_lines(bounds, session.home.up);
        lines.iter().for_each(|l| projection.line(painter, l));
        if let Some(line) = lines.first().filter(|_| cell > 0.0) {
            let label = Label { at: line.ends[0], text: format!("cell {}", compact(cell)), colour: [200; 3] };
            projection.label(painter, &label);
        }
    }
    if session.aids.bounds {
        let (lines, labels) = bounds_lines(bounds, scene.cube.bounds());
        lines.iter().for_each(|l| projection.line(painter, l));
        labels.iter().for_each(|l| projection.label(painter, l));
    }
    if session.aids.frusta {
        let marked = [session.hovered_view, session.active_view];
        let lines = frusta::lines(&session.views, session.frustum_length(), projection.eye(), &marked);
        let compares = lines.len() <= MAX_HIDDEN_LINES;
        for line in &lines {
            if compares { projection.line(painter, line) } else { projection.plain_line(painter, line) }
        }
        if let Some(view) = session.hovered_view.and_then(|i| session.views.get(i)) {
            let text = format!("{}: click to go there", view.name.rsplit('/').next().unwrap_or(&view.name));
            projection.label(painter, &Label { at: view.camera.position(), text, colour: [240, 240, 240] });
        }
    }
    if session.aids.path && session.playback_time.is_none() {
        path(painter, projection, session);
    }
}

/// The curve of the camera path and its keys.
fn path(painter: &Painter, projection: &Projection<'_>, session: &Session) {
    let keys = &session.path.keys;
    let places = session.path.curve(PATH_PIECES);
    for pair in places.windows(2) {
        projection.line(painter, &Line { ends: [pair[0], pair[1]], colour: PATH, width: 2.0 });
    }
    for (i, key) in keys.iter().enumerate() {
        // The key that the camera stands at would cover the picture.
        if (key.eye - session.camera.eye).length() > 1e-3 * session.home.radius {
            projection.label(painter, &Label { at: key.eye, text: (i + 1).to_string(), colour: [225, 170, 245] });
        }
    }
}

/// The picked point and the measured distance.
fn marks(painter: &Painter, projection: &Projection<'_>, session: &Session) {
    if let Some(point) = &session.picked {
        let length = 0.16 * session.home.radius;
        let tip = point.position + point.normal.as_dvec3() * length;
        projection.plain_line(painter, &Line { ends: [point.position, tip], colour: [30; 3], width: 3.4 });
        projection.plain_line(painter, &Line { ends: [point.position, tip], colour: [120, 200, 255], width: 1.8 });
        projection.marker(painter, point.position, Color32::from_rgb(120, 200, 255));
    }
    let [r, g, b] = MEASURE;
    let points = &session.measurement.points;
    if let [from, to] = points.as_slice() {
        projection.plain_line(painter, &Line { ends: [*from, *to], colour: [20; 3], width: 4.0 });
        projection.plain_line(painter, &Line { ends: [*from, *to], colour: MEASURE, width: 2.0 });
        let text = compact(from.distance(*to));
        projection.label(painter, &Label { at: (*from + *to) * 0.5, text, colour: MEASURE });
    }
    points.iter().for_each(|p| projection.marker(painter, *p, Color32::from_rgb(r, g, b)));
}

/// Lines that tell what the user could not find otherwise.
fn hints(painter: &Painter, projection: &Projection<'_>, session: &Session, area: Rect) {
    let Some((lo, hi)) = session.bounds else { return };
    let corner = |i: usize| glam::DVec3::select(glam::BVec3::new(i & 1 == 1, i & 2 == 2, i & 4 == 4), hi, lo);
    let eye = session.camera.eye;
    let is_inside = eye.cmpge(lo).all() && eye.cmple(hi).all();
    let seen: Vec<egui::Pos2> = (0..8).filter_map(|i| projection.to_screen(corner(i))).collect();
    let reach = Rect::from_points(&seen);
    if !is_inside && (seen.is_empty() || !reach.intersects(area)) {
        let at = area.center_top() + vec2(0.0, 14.0);
        let text = "the object is out of sight: F shows all of it";
        text_with_edge(painter, at, Align2::CENTER_TOP, text, 13.0, Color32::from_gray(240));
    }
}

/// Whether a place of the window, in points, is on the handle of the wipe's line in `area`.
pub(crate) fn is_on_wipe(session: &Session, area: Rect, at: egui::Pos2) -> bool {
    let state = session.photograph;
    state.shown() == PhotographMode::Wipe
        && session.active_view.is_some()
        && area.contains(at)
        && (at.x - area.left() - state.split * area.width()).abs() <= WIPE_REACH
}
