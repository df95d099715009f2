//! Handles of the section plane in the picture: one moves it along its normal, one turns it.

use egui::{Color32, CursorIcon, Painter, Pos2, Rect, Sense, Stroke, Ui, Vec2, vec2};
use glam::DVec3;

use crate::orientation::{Line, box_lines};
use crate::overlay::Projection;
use crate::scene::Scene;
use crate::session::Cut;

/// Colour of the plane's outline and of its handles.
const COLOUR: [u8; 3] = [250, 200, 90];
/// Radius of a handle, points.
const RADIUS: f32 = 7.0;
/// Length of the arrow, in radii of the scene.
const ARROW: f64 = 0.35;
/// Shortest length of the arrow in the picture at which a drag along it is told from one across, points.
const LEAST_LENGTH: f32 = 12.0;

/// Places of the handles in the window: the plane's middle, and the tip of its normal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct HandlePlaces {
    middle: Option<Pos2>,
    tip: Option<Pos2>,
}

impl HandlePlaces {
    /// Whether a place of the window, in points, is on a handle.
    pub fn contains(&self, at: Pos2) -> bool {
        [self.middle, self.tip].into_iter().flatten().any(|place| place.distance(at) <= RADIUS + 2.0)
    }
}

/// The point of the plane below the middle of the object.
fn middle(cut: &Cut, scene: &Scene, bounds: (DVec3, DVec3)) -> DVec3 {
    let (normal, centre) = (cut.normal(), 0.5 * (bounds.0 + bounds.1));
    centre + normal * (cut.place(scene) - normal.dot(centre))
}

/// Corners, in order, of the part of the plane within a box; fewer than three where it misses the box.
pub(crate) fn outline(normal: DVec3, place: f64, (lo, hi): (DVec3, DVec3)) -> Vec<DVec3> {
    let edges = box_lines((lo, hi), COLOUR, 1.0);
    let mut corners: Vec<DVec3> = Vec::new();
    for line in edges {
        let [a, b] = line.ends;
        let (da, db) = (normal.dot(a) - place, normal.dot(b) - place);
        if (da > 0.0) != (db > 0.0) {
            corners.push(a + (b - a) * (da / (da - db)));
        }
    }
    let Some(first) = corners.first().copied() else { return corners };
    let centre = corners.iter().sum::<DVec3>() / corners.len() as f64;
    let u = (first - centre).normalize_or(normal.any_orthonormal_vector());
    let v = normal.cross(u);
    let angle = |p: &DVec3| v.dot(*p - centre).atan2(u.dot(*p - centre));
    corners.sort_by(|a, b| angle(a).total_cmp(&angle(b)));
    corners
}

/// Draws the plane's outline and handles and lets the pointer drag them; returns where they are. `bounds` is the box around the
/// object, `radius` that of the scene.
pub(crate) fn show(
    ui: &mut Ui,
    painter: &Painter,
    projection: &Projection<'_>,
    cut: &mut Cut,
    scene: &Scene,
    (bounds, radius): ((DVec3, DVec3), f64),
) -> HandlePlaces {
    let normal = cut.normal();
    let margin = DVec3::splat(0.08 * radius);
    let corners = outline(normal, cut.place(scene), (bounds.0 - margin, bounds.1 + margin));
    for i in 0..corners.len() {
        let ends = [corners[i], corners[(i + 1) % corners.len()]];
        projection.line(painter, &Line { ends, colour: COLOUR, width: 1.4 });
    }
    let side = if cut.flipped { -1.0 } else { 1.0 };
    let base = middle(cut, scene, bounds);
    let tip = base + normal * (side * ARROW * radius);
    let (Some(from), Some(to)) = (projection.to_screen(base), projection.to_screen(tip)) else {
        return HandlePlaces::default();
    };
    let [r, g, b] = COLOUR;
    let colour = Color32::from_rgb(r, g, b);
    painter.line_segment([from, to], Stroke::new(4.0, Color32::from_black_alpha(140)));
    painter.line_segment([from, to], Stroke::new(2.0, colour));
    let knob = |at: Pos2, name: &str, is_round: bool, hint: &str| {
        let area = Rect::from_center_size(at, Vec2::splat(2.0 * RADIUS + 4.0));
        let response = ui.interact(area, egui::Id::new(name), Sense::drag());
        let is_used = response.hovered() || response.dragged();
        let fill = if is_used { Color32::WHITE } else { colour };
        if is_round {
            painter.circle(at, RADIUS - 1.0, fill, Stroke::new(1.5, Color32::from_black_alpha(180)));
        } else {
            let square = Rect::from_center_size(at, Vec2::splat(2.0 * RADIUS - 3.0));
            painter.rect(square, 2.0, fill, Stroke::new(1.5, Color32::from_black_alpha(180)), egui::StrokeKind::Middle);
        }
        if is_used {
            ui.ctx().set_cursor_icon(if response.dragged() { CursorIcon::Grabbing } else { CursorIcon::Grab });
        }
        let motion = if response.dragged() { response.drag_delta() } else { Vec2::ZERO };
        response.on_hover_text(hint);
        motion
    };
    let moved = knob(from, "cut place", false, "Drag: moves the plane along its normal");
    let turned = knob(to, "cut direction", true, "Drag: turns the plane");
    if moved != Vec2::ZERO {
        let by = shift((from, to), moved) * ARROW * radius * side;
        cut.set_place(scene, cut.place(scene) + by);
    }
    if turned != Vec2::ZERO
        && let Some(there) = projection.at_depth_of(tip, to + turned)
    {
        cut.turn(scene, side * (there - base), base);
    }
    HandlePlaces { middle: Some(from), tip: Some(to) }
}

/// Part of an arrow's length in the picture that a motion of the pointer is along it. Where the arrow points at the viewer, upwards is
/// ahead.
fn shift((from, to): (Pos2, Pos2), motion: Vec2) -> f64 {
    let arrow = to - from;
    let (length, along) = match arrow.length() {
        length if length >= LEAST_LENGTH => (length, arrow / length),
        _ => (60.0, vec2(0.0, -1.0)),
    };
    f64::from(motion.dot(along) / length)
}

#[cfg(test)]
mod tests {
    use egui::pos2;

    use super::*;

    #[test]
    fn outlines_are_polygons_on_the_plane_within_the_box() {
        let bounds = (DVec3::new(-1.0, 0.0, 0.0), DVec3::new(1.0, 2.0, 3.0));
        let square = outline(DVec3::Y, 0.5, bounds);
        assert_eq!(square.len(), 4);
        // Around the polygon: opposite corners are not neighbours.
        let perimeter: f64 = (0..4).map(|i| square[i].distance(square[(i + 1) % 4])).sum();
        assert!((perimeter - 2.0 * (2.0 + 3.0)).abs() < 1e-9);
        let normal = DVec3::new(1.0, 1.0, 1.0).normalize();
        let place = normal.dot(DVec3::new(0.0, 1.0, 1.5));
        let corners = outline(normal, place, bounds);
        assert!((3..=6).contains(&corners.len()));
        assert!(corners.iter().all(|c| (normal.dot(*c) - place).abs() < 1e-9));
        assert!(outline(DVec3::Y, 5.0, bounds).is_empty());
    }

    #[test]
    fn a_drag_along_the_arrow_moves_by_its_share() {
        let arrow = (pos2(100.0, 100.0), pos2(180.0, 100.0));
        assert!((shift(arrow, vec2(40.0, 33.0)) - 0.5).abs() < 1e-6);
        assert!((shift(arrow, vec2(-80.0, 0.0)) + 1.0).abs() < 1e-6);
        let towards = (pos2(100.0, 100.0), pos2(103.0, 100.0));
        assert!(shift(towards, vec2(0.0, -60.0)) > 0.9);
    }

    #[test]
    fn handles_are_grasped_near_their_places() {
        let places = HandlePlaces { middle: Some(pos2(10.0, 10.0)), tip: None };
        assert!(places.contains(pos2(15.0, 12.0)) && !places.contains(pos2(30.0, 10.0)));
        assert!(!HandlePlaces::default().contains(pos2(0.0, 0.0)));
    }
}
