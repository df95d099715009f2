//! Image of a capture's cameras: frusta, scene box, axes, and the hull or the points.

use glam::{DVec2, DVec3};
use nstr_camera::camera::{Camera, CameraError};
use nstr_image::Rgba8;

use crate::{Capture, CaptureError, View};

const PAPER: [f64; 3] = [255.0, 255.0, 255.0];
const TRAIN: [f64; 3] = [40.0, 82.0, 150.0];
const TEST: [f64; 3] = [226.0, 112.0, 20.0];
const BOX: [f64; 3] = [60.0, 60.0, 60.0];
const DOTS: [f64; 3] = [120.0, 150.0, 130.0];
/// Colours of the x, y and z axis.
const AXES: [[f64; 3]; 3] = [[205.0, 40.0, 40.0], [30.0, 150.0, 50.0], [45.0, 75.0, 220.0]];
/// Strokes of the letters X, Y and Z in a unit square, y up.
const LETTERS: [&[[f64; 4]]; 3] = [
    &[[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0]],
    &[[0.0, 1.0, 0.5, 0.5], [1.0, 1.0, 0.5, 0.5], [0.5, 0.5, 0.5, 0.0]],
    &[[0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
];
/// Most points drawn.
const MAX_DOTS: usize = 6000;

/// Draws the capture from a three-quarter view: training cameras blue, test cameras orange (a filled triangle shows each
/// one's upper edge), the scene box grey, its x, y and z edges red, green and blue, hull cells or model points as dots.
///
/// The world axis nearest to the cameras' mean upward direction points up in the picture.
///
/// # Errors
/// [`CaptureError::Option`] for a size that is not an image size.
pub fn cameras(capture: &Capture, width: u32, height: u32) -> Result<Rgba8, CaptureError> {
    let up = up(capture);
    let reach = frustum_depth(capture);
    let mut shown: Vec<DVec3> = corners(capture).to_vec();
    shown.extend(capture.views().flat_map(|v| frustum(v, reach)));
    let camera = standpoint(&shown, up, width, height)
        .map_err(|e| CaptureError::Option { option: "size", reason: e.to_string() })?;
    let mut canvas = Canvas::new(camera);
    dots(&mut canvas, capture);
    scene(&mut canvas, capture);
    // Far cameras first.
    let mut order: Vec<(&View, [f64; 3])> = capture.train.iter().map(|v| (v, TRAIN)).collect();
    order.extend(capture.test.iter().map(|v| (v, TEST)));
    let eye = canvas.camera.position();
    order.sort_by(|a, b| eye.distance(b.0.camera.position()).total_cmp(&eye.distance(a.0.camera.position())));
    for (view, colour) in order {
        draw_view(&mut canvas, view, reach, colour);
    }
    labels(&mut canvas, capture);
    Ok(canvas.finish())
}

/// The world axis, either way, nearest to the mean upward direction of the cameras.
fn up(capture: &Capture) -> DVec3 {
    let mean: DVec3 = capture.views().map(|v| v.camera.axes()[1]).sum();
    let axes = [DVec3::Z, DVec3::Y, DVec3::X, DVec3::NEG_Y, DVec3::NEG_Z, DVec3::NEG_X];
    // The first of equals, so that z wins where cameras say nothing.
    axes.into_iter().fold(DVec3::Z, |best, axis| if axis.dot(mean) > best.dot(mean) + 1e-9 { axis } else { best })
}

/// Depth to which frusta are drawn: a share of the extent of all cameras.
fn frustum_depth(capture: &Capture) -> f64 {
    let centre = capture.scene.cube().centre();
    let farthest = capture.views().map(|v| v.camera.position().distance(centre)).fold(0.0, f64::max);
    let many = (capture.train.len() + capture.test.len()) as f64;
    (farthest.max(0.5 * capture.scene.cube().size)) * 0.35 / many.max(1.0).powf(0.25)
}

/// Camera position and the corners of its picture at a depth, clockwise from the upper left.
fn frustum(view: &View, depth: f64) -> [DVec3; 5] {
    let (w, h) = (view.camera.width as f64, view.camera.height as f64);
    let corner = |x: f64, y: f64| {
        let ray = view.ray(x, y);
        ray.origin + ray.direction * (depth / ray.cosine.max(0.2))
    };
    [view.camera.position(), corner(0.0, 0.0), corner(w, 0.0), corner(w, h), corner(0.0, h)]
}

/// Corners of the scene box, numbered by bits x, y, z.
fn corners(capture: &Capture) -> [DVec3; 8] {
    let (low, high) = capture.scene.cube().bounds();
    std::array::from_fn(|i| DVec3::from_array(std::array::from_fn(|a| if i >> a & 1 == 1 { high[a] } else { low[a] })))
}

/// A camera that sees all of the points from the front right above.
fn standpoint(shown: &[DVec3], up: DVec3, width: u32, height: u32) -> Result<Camera, CameraError> {
    let right = if up.x.abs() < 0.5 { DVec3::X } else { DVec3::Y };
    let front = right.cross(up) * if up.cross(right).dot(DVec3::Y) < 0.0 { -1.0 } else { 1.0 };
    let from = (front * 0.80 + right * 0.55 + up * 0.52).normalize();
    let low = shown.iter().copied().fold(DVec3::INFINITY, DVec3::min);
    let high = shown.iter().copied().fold(DVec3::NEG_INFINITY, DVec3::max);
    let (middle, radius) = ((low + high) * 0.5, (0.5 * (high - low).length()).max(1e-9));
    let mut camera =
        Camera::with_fov_y(width, height, 30.0, Camera::look_at(middle + from * radius * 6.0, middle, up)?)?;
    // Turn and zoom so that the points fill the picture.
    for _ in 0..3 {
        let seen: Vec<DVec2> = shown.iter().filter_map(|p| camera.project(*p)).collect();
        let low = seen.iter().copied().fold(DVec2::INFINITY, DVec2::min);
        let high = seen.iter().copied().fold(DVec2::NEG_INFINITY, DVec2::max);
        let size = DVec2::new(width as f64, height as f64);
        let zoom = (size * 0.92 / (high - low).max(DVec2::splat(1e-9))).min_element();
        camera.centre = size * 0.5 - ((low + high) * 0.5 - camera.centre) * zoom;
        camera.focal *= zoom;
    }
    Ok(camera)
}

/// Hull cells on the hull's surface, or the model's points.
fn dots(canvas: &mut Canvas, capture: &Capture) {
    let mut points: Vec<DVec3> = Vec::new();
    if let Some(hull) = &capture.hull {
        let n = hull.resolution;
        let cube = capture.scene.cube();
        let open = |x: usize, y: usize, z: usize| x >= n || y >= n || z >= n || !hull.get(x, y, z);
        for i in (0..n * n * n).filter(|i| hull.cells[*i]) {
            let (x, y, z) = (i % n, i / n % n, i / n / n);
            let sides = [
                open(x.wrapping_sub(1), y, z),
                open(x + 1, y, z),
                open(x, y.wrapping_sub(1), z),
                open(x, y + 1, z),
                open(x, y, z.wrapping_sub(1)),
                open(x, y, z + 1),
            ];
            if sides.contains(&true) {
                points.push(cube.to_world((DVec3::new(x as f64, y as f64, z as f64) + 0.5) / n as f64));
            }
        }
    } else {
        points.extend(&capture.points);
    }
    let step = (points.len() / MAX_DOTS).max(1);
    for point in points.iter().step_by(step) {
        if let Some(at) = canvas.camera.project(*point) {
            canvas.disc(at, 1.1, DOTS, 0.45);
        }
    }
}

fn scene(canvas: &mut Canvas, capture: &Capture) {
    let c = corners(capture);
    for i in 0..8usize {
        for axis in (0..3).filter(|a| i >> a & 1 == 0) {
            // Edges at the lowest corner carry the axes.
            let (colour, width) = if i == 0 { (AXES[axis], 3.0) } else { (BOX, 1.4) };
            canvas.line(c[i], c[i | 1 << axis], width, colour);
        }
    }
}

/// Letters at the far ends of the coloured edges.
fn labels(canvas: &mut Canvas, capture: &Capture) {
    let c = corners(capture);
    for axis in 0..3 {
        let end = c[1 << axis];
        let (Some(from), Some(to)) = (canvas.camera.project(c[0]), canvas.camera.project(end)) else { continue };
        let at = to + (to - from).normalize_or_zero() * 16.0;
        let letter = 11.0;
        for [x0, y0, x1, y1] in LETTERS[axis] {
            let spot = |x: f64, y: f64| at + DVec2::new(x - 0.5, 0.5 - y) * letter;
            canvas.stroke(spot(*x0, *y0), spot(*x1, *y1), 2.2, AXES[axis], 1.0);
        }
    }
}

fn draw_view(canvas: &mut Canvas, view: &View, reach: f64, colour: [f64; 3]) {
    let [eye, a, b, c, d] = frustum(view, reach);
    for corner in [a, b, c, d] {
        canvas.line(eye, corner, 1.0, colour);
    }
    for (from, to) in [(a, b), (b, c), (c, d), (d, a)] {
        canvas.line(from, to, 1.3, colour);
    }
    // The flag on the upper edge.
    let tip = (a + b) * 0.5 + ((a - d) + (b - c)) * 0.15;
    let (l, r) = (a.lerp(b, 0.35), a.lerp(b, 0.65));
    let project = |p: DVec3| canvas.camera.project(p);
    if let (Some(l), Some(r), Some(tip)) = (project(l), project(r), project(tip)) {
        canvas.triangle([l, r, tip], colour);
    }
}

/// Pixels that lines are mixed into.
struct Canvas {
    camera: Camera,
    pixels: Vec<[f64; 3]>,
}

impl Canvas {
    fn new(camera: Camera) -> Self {
        Self { pixels: vec![PAPER; camera.width as usize * camera.height as usize], camera }
    }

    fn line(&mut self, a: DVec3, b: DVec3, width: f64, colour: [f64; 3]) {
        if let (Some(a), Some(b)) = (self.camera.project(a), self.camera.project(b)) {
            self.stroke(a, b, width, colour, 0.9);
        }
    }

    fn stroke(&mut self, a: DVec2, b: DVec2, width: f64, colour: [f64; 3], opacity: f64) {
        let along = b - a;
        let length = along.length_squared().max(1e-12);
        self.cover(a.min(b), a.max(b), width, colour, opacity, |p| {
            let t = ((p - a).dot(along) / length).clamp(0.0, 1.0);
            0.5 * width - p.distance(a + along * t)
        });
    }

    fn disc(&mut self, at: DVec2, radius: f64, colour: [f64; 3], opacity: f64) {
        self.cover(at, at, 2.0 * radius, colour, opacity, |p| radius - p.distance(at));
    }

    fn triangle(&mut self, corners: [DVec2; 3], colour: [f64; 3]) {
        let [a, b, c] = corners;
        let turn = (b - a).perp_dot(c - a).signum();
        self.cover(a.min(b).min(c), a.max(b).max(c), 0.0, colour, 0.9, |p| {
            let inside = |s: DVec2, e: DVec2| turn * (e - s).normalize_or_zero().perp_dot(p - s);
            inside(a, b).min(inside(b, c)).min(inside(c, a))
        });
    }

    /// Mixes the colour in where `inside`, the distance from the shape's edge in pixels, is above −½.
    fn cover(
        &mut self,
        low: DVec2,
        high: DVec2,
        width: f64,
        colour: [f64; 3],
        opacity: f64,
        inside: impl Fn(DVec2) -> f64,
    ) {
        let (w, h) = (self.camera.width as f64, self.camera.height as f64);
        let (low, high) = (low - 0.5 * width - 1.0, high + 0.5 * width + 1.0);
        // NaN becomes 0 in the conversion: nothing is drawn out of bounds.
        let (x0, x1) = (low.x.clamp(0.0, w) as usize, high.x.clamp(0.0, w) as usize);
        let (y0, y1) = (low.y.clamp(0.0, h) as usize, high.y.clamp(0.0, h) as usize);
        for y in y0..y1 {
            for x in x0..x1 {
                let share = (inside(DVec2::new(x as f64 + 0.5, y as f64 + 0.5)) + 0.5).clamp(0.0, 1.0) * opacity;
                if share > 0.0 {
                    let pixel = &mut self.pixels[y * self.camera.width as usize + x];
                    (0..3).for_each(|c| pixel[c] += (colour[c] - pixel[c]) * share);
                }
            }
        }
    }

    fn finish(self) -> Rgba8 {
        let pixel = |i: usize| {
            let p: [f64; 3] = self.pixels[i];
            [p[0].round() as u8, p[1].round() as u8, p[2].round() as u8, 255]
        };
        Rgba8::from_fn(self.camera.width, self.camera.height, pixel)
    }
}
