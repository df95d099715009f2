//! Lines and labels of the world over the picture, hidden where the picture is nearer.

use egui::{Align2, Color32, FontId, Painter, Pos2, Rect, Stroke, pos2};
use glam::{DVec2, DVec3};
use nstr_camera::camera::Camera;
use nstr_render::Frame;

use crate::orientation::{AXIS_COLOURS, Label, Line};
use crate::readout::depth_at;
use crate::render_backend::{PixelBuffer, RenderedImage};

/// Opacity of lines that lie behind the object, of 255.
const HIDDEN_ALPHA: u8 = 62;
/// Points between places of a line whose depth is compared.
const STEP: f64 = 5.0;
/// Most places of one line.
const MAX_STEPS: usize = 160;
/// Depth by which a line may lie behind the picture and still counts as visible, in radii of the scene.
const TOLERANCE: f64 = 0.012;

/// Projection of the world to the picture in the window.
pub(crate) struct Projection<'a> {
    camera: Camera,
    /// Rectangle of the picture, points.
    area: Rect,
    /// Points a pixel of the camera.
    scale: f64,
    /// Rendered depths and the divisor of their image.
    depth: Option<(&'a Frame, u32)>,
    tolerance: f64,
}

impl<'a> Projection<'a> {
    /// The projection of `image`, or of `camera` before there is one; `area` is the rectangle of the picture and `radius` that of
    /// the scene. Lines fit the picture that is shown, even if the camera has moved on since.
    pub fn new(image: Option<&'a RenderedImage>, camera: Camera, area: Rect, radius: f64) -> Self {
        let camera = image.map_or(camera, |i| i.request.camera);
        let depth = match image.map(|i| (&i.pixels, i.divisor)) {
            Some((PixelBuffer::Cpu(pixels), divisor)) if !pixels.frame.depth_ray.is_empty() => {
                Some((&*pixels.frame, divisor))
            }
            _ => None,
        };
        let scale = f64::from(area.width()) / f64::from(camera.width.max(1));
        Self { camera, area, scale, depth, tolerance: TOLERANCE * radius }
    }

    /// Position of the camera.
    pub fn eye(&self) -> DVec3 {
        self.camera.position()
    }

    /// Place of a world point in the window, points; `None` behind the camera.
    pub fn to_screen(&self, world: DVec3) -> Option<Pos2> {
        self.camera.project(world).map(|p| self.of_pixel(p))
    }

    /// World point at a place of the window, in points, as far ahead of the camera as `like`; `None` behind it.
    pub fn at_depth_of(&self, like: DVec3, place: Pos2) -> Option<DVec3> {
        let back = self.camera.axes()[2];
        let depth = -back.dot(like - self.camera.position());
        let at = (place - self.area.min) / self.scale as f32;
        let ray = self.camera.ray(f64::from(at.x), f64::from(at.y));
        let ahead = -back.dot(ray.direction);
        (depth > 0.0 && ahead > 1e-9).then(|| ray.origin + ray.direction * (depth / ahead))
    }

    fn of_pixel(&self, pixel: DVec2) -> Pos2 {
        self.area.min + egui::vec2((pixel.x * self.scale) as f32, (pixel.y * self.scale) as f32)
    }

    /// Whether a world point lies behind what the picture shows.
    pub fn is_hidden(&self, world: DVec3) -> bool {
        let (Some((frame, divisor)), Some(pixel)) = (self.depth, self.camera.project(world)) else { return false };
        let distance = (world - self.camera.position()).length() - self.tolerance;
        depth_at(frame, divisor, pixel).is_some_and(|depth| f64::from(depth) < distance)
    }

    /// Draws a line: what lies behind the object faintly.
    pub fn line(&self, painter: &Painter, line: &Line) {
        let [r, g, b] = line.colour;
        let solid = Stroke::new(line.width, Color32::from_rgb(r, g, b));
        let faint = Stroke::new(line.width, Color32::from_rgba_unmultiplied(r, g, b, HIDDEN_ALPHA));
        let Some([from, to]) = self.clipped(line.ends) else { return };
        let (Some(a), Some(b)) = (self.to_screen(from), self.to_screen(to)) else { return };
        if !Rect::from_two_pos(a, b).expand(1.0).intersects(self.area) {
            return;
        }
        if self.depth.is_none() {
            painter.line_segment([a, b], solid);
            return;
        }
        let steps = ((f64::from(a.distance(b)) / STEP) as usize).clamp(1, MAX_STEPS);
        let back = self.camera.axes()[2];
        let depth = |p: DVec3| -back.dot(p - self.camera.position());
        let (near, far) = (depth(from), depth(to));
        // Evenly spaced in the picture.
        let at = |i: usize| {
            let s = i as f64 / steps as f64;
            from + (to - from) * (s * near / (far + s * (near - far)))
        };
        let (mut start, mut hidden) = (a, None::<bool>);
        let mut last = a;
        for i in 0..steps {
            let Some(end) = self.to_screen(at(i + 1)) else { continue };
            let behind = self.is_hidden((at(i) + at(i + 1)) * 0.5);
            if let Some(was) = hidden.filter(|was| *was != behind) {
                painter.line_segment([start, last], if was { faint } else { solid });
                start = last;
            }
            (hidden, last) = (Some(behind), end);
        }
        painter.line_segment([start, last], if hidden == Some(true) { faint } else { solid });
    }

    /// Draws a line over everything.
    pub fn plain_line(&self, painter: &Painter, line: &Line) {
        let [r, g, b] = line.colour;
        let Some([from, to]) = self.clipped(line.ends) else { return };
        if let (Some(from), Some(to)) = (self.to_screen(from), self.to_screen(to)) {
            painter.line_segment([from, to], Stroke::new(line.width, Color32::from_rgb(r, g, b)));
        }
    }

    /// The part of a line before the camera.
    fn clipped(&self, [a, b]: [DVec3; 2]) -> Option<[DVec3; 2]> {
        let back = self.camera.axes()[2];
        let depth = |p: DVec3| -back.dot(p - self.camera.position());
        let (da, db) = (depth(a), depth(b));
        let least = 1e-3 * da.abs().max(db.abs()).max(1e-12);
        match (da > least, db > least) {
            (true, true) => Some([a, b]),
            (false, false) => None,
            _ => {
                let cut = a + (b - a) * ((least - da) / (db - da));
                Some(if da > least { [a, cut] } else { [cut, b] })
            }
        }
    }

    /// Draws a label beside its place, with a dark edge so that it reads on any background.
    pub fn label(&self, painter: &Painter, label: &Label) {
        if let Some(at) = self.to_screen(label.at).filter(|p| self.area.contains(*p)) {
            let [r, g, b] = label.colour;
            text_with_edge(painter, at, Align2::CENTER_CENTER, &label.text, 12.0, Color32::from_rgb(r, g, b));
        }
    }

    /// Draws a ring around a world point.
    pub fn marker(&self, painter: &Painter, world: DVec3, colour: Color32) {
        if let Some(at) = self.to_screen(world) {
            painter.circle_stroke(at, 5.0, Stroke::new(3.0, Color32::from_black_alpha(150)));
            painter.circle_stroke(at, 5.0, Stroke::new(1.5, colour));
            painter.circle_filled(at, 1.5, colour);
        }
    }
}

/// Text with a dark edge.
pub(crate) fn text_with_edge(painter: &Painter, at: Pos2, align: Align2, text: &str, size: f32, colour: Color32) {
    let galley = painter.layout_no_wrap(text.to_string(), FontId::proportional(size), colour);
    let place = align.anchor_size(at, galley.size());
    painter.rect_filled(place.expand2(egui::vec2(3.0, 1.0)), 3.0, Color32::from_black_alpha(165));
    painter.galley(place.min, galley, colour);
}

/// Draws the directions of the world's axes into the lower left corner of `area`, for a camera with these axes (right, up, back).
pub(crate) fn axes(painter: &Painter, area: Rect, [right, up, back]: [DVec3; 3]) {
    let length = if area.width().min(area.height()) < 300.0 { 20.0 } else { 30.0 };
    let centre = pos2(area.left() + length + 16.0, area.bottom() - length - 16.0);
    painter.circle_filled(centre, length + 10.0, Color32::from_black_alpha(70));
    let mut ends: Vec<(usize, DVec3)> = [DVec3::X, DVec3::Y, DVec3::Z].into_iter().enumerate().collect();
    // The farthest first.
    ends.sort_by(|a, b| back.dot(a.1).total_cmp(&back.dot(b.1)));
    for (i, axis) in ends {
        let [r, g, b] = AXIS_COLOURS[i];
        let colour = Color32::from_rgb(r, g, b);
        let end = centre + egui::vec2(right.dot(axis) as f32, -up.dot(axis) as f32) * length;
        painter.line_segment([centre, end], Stroke::new(2.2, colour));
        painter.circle_filled(end, 6.5, colour);
        painter.text(end, Align2::CENTER_CENTER, ["x", "y", "z"][i], FontId::proportional(10.5), Color32::WHITE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use glam::Vec3;
    use nstr_image::Rgba8;
    use nstr_space::Cube;
    use nstr_space::analytic::{AnalyticSdf, sphere};

    use super::*;
    use crate::render_backend::{CpuPixels, Quality, RenderRequest};
    use crate::scene::{Scene, SceneField};

    /// A picture of 100×80 pixels of something at a distance of 3 in its left half.
    fn image() -> RenderedImage {
        let ball = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
        let scene = Arc::new(Scene::new(SceneField::Sdf(Arc::new(ball)), Cube::default()));
        let pose = Camera::look_at(DVec3::new(0.0, 0.0, 4.0), DVec3::ZERO, DVec3::Y).unwrap();
        let camera = Camera::with_fov_y(100, 80, 40.0, pose).unwrap();
        let depth_ray = (0..8000).map(|i| if i % 100 < 50 { 3.0 } else { f32::INFINITY }).collect();
        let frame = Arc::new(Frame { width: 100, height: 80, depth_ray, ..Frame::default() });
        let blank = Rgba8::from_fn(100, 80, |_| [0; 4]);
        let request = RenderRequest::shaded(scene, camera, Quality::Full(1));
        RenderedImage::of_one_sample(CpuPixels { image: blank, frame }, request, 1)
    }

    #[test]
    fn what_lies_behind_the_picture_is_hidden() {
        let image = image();
        let area = Rect::from_min_size(pos2(10.0, 20.0), egui::vec2(200.0, 160.0));
        let projection = Projection::new(Some(&image), image.request.camera, area, 1.0);
        assert_eq!(projection.to_screen(DVec3::ZERO), Some(area.center()));
        assert!(projection.to_screen(DVec3::new(0.0, 0.0, 5.0)).is_none());
        for (x, z, hidden) in [(-0.3, 0.0, true), (-0.3, 2.0, false), (0.3, 0.0, false)] {
            assert_eq!(projection.is_hidden(DVec3::new(x, 0.1, z)), hidden, "{x} {z}");
        }
    }

    #[test]
    fn places_of_the_window_have_points_at_a_depth() {
        let image = image();
        let area = Rect::from_min_size(pos2(10.0, 20.0), egui::vec2(200.0, 160.0));
        let projection = Projection::new(Some(&image), image.request.camera, area, 1.0);
        let point = DVec3::new(0.4, -0.2, 0.7);
        let place = projection.to_screen(point).unwrap();
        assert!(projection.at_depth_of(point, place).unwrap().distance(point) < 1e-5);
        let aside = projection.at_depth_of(point, place + egui::vec2(10.0, 0.0)).unwrap();
        assert!((aside.z - point.z).abs() < 1e-9 && aside.x > point.x);
        assert!(projection.at_depth_of(DVec3::new(0.0, 0.0, 9.0), place).is_none());
    }

    #[test]
    fn lines_end_before_the_camera() {
        let image = image();
        let projection = Projection::new(Some(&image), image.request.camera, Rect::EVERYTHING, 1.0);
        let (ahead, behind) = (DVec3::new(0.5, 0.0, 0.0), DVec3::new(0.5, 0.0, 9.0));
        let [a, b] = projection.clipped([behind, ahead]).unwrap();
        assert!(a.z < 4.0 && a.z > 3.9 && b == ahead);
        assert!(projection.clipped([behind, behind * 2.0]).is_none());
        assert_eq!(projection.clipped([ahead, -ahead]), Some([ahead, -ahead]));
    }
}
