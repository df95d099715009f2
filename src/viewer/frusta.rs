//! Cameras of a capture as frusta: their lines, and the one at a pixel of the picture.

use glam::{DVec2, DVec3};
use nstr_camera::camera::Camera;
use nstr_capture::View;

use crate::orientation::Line;

/// Length of a frustum in distances between neighbouring cameras.
const SPACING_SHARE: f64 = 0.45;
/// Shortest and longest length of a frustum in radii of the scene.
const LENGTH: (f64, f64) = (0.04, 0.25);
/// Distance in pixels within which a frustum counts as under the pointer.
const REACH: f64 = 14.0;
/// Views whose spacing is measured.
const MEASURED: usize = 64;

/// Colour of frusta.
const COLOUR: [u8; 3] = [70, 130, 190];
/// Colour of the frustum at the pointer, and of that whose image is shown.
const MARKED: [u8; 3] = [240, 150, 40];

/// Length of the frusta of `views` in world units, in a scene of `radius`.
pub(crate) fn length(views: &[View], radius: f64) -> f64 {
    let step = (views.len() / MEASURED).max(1);
    let nearest = |i: usize| {
        let others = views.iter().enumerate().filter(|(j, _)| *j != i);
        others.map(|(_, v)| v.camera.position().distance(views[i].camera.position())).fold(f64::INFINITY, f64::min)
    };
    let mut distances: Vec<f64> = (0..views.len()).step_by(step).map(nearest).filter(|d| d.is_finite()).collect();
    distances.sort_by(f64::total_cmp);
    let typical = distances.get(distances.len() / 2).copied().unwrap_or(radius);
    (SPACING_SHARE * typical).clamp(LENGTH.0 * radius, LENGTH.1 * radius)
}

/// The camera's position and the corners of its image, `length` before it.
fn corners(camera: &Camera, length: f64) -> (DVec3, [DVec3; 4]) {
    let (w, h) = (f64::from(camera.width), f64::from(camera.height));
    let corner = |x, y| {
        let ray = camera.ray(x, y);
        ray.origin + ray.direction * (length / ray.cosine)
    };
    (camera.position(), [corner(0.0, 0.0), corner(w, 0.0), corner(w, h), corner(0.0, h)])
}

/// Lines of all frusta but that which `eye` looks out of; a tick on the upper edge of each image tells which side is up. `marked`
/// ones stand out.
pub(crate) fn lines(views: &[View], length: f64, eye: DVec3, marked: &[Option<usize>]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (i, view) in views.iter().enumerate() {
        let (apex, c) = corners(&view.camera, length);
        if apex.distance(eye) < 0.5 * length {
            continue;
        }
        let is_marked = marked.contains(&Some(i));
        let (colour, width) = if is_marked { (MARKED, 2.2) } else { (COLOUR, 1.1) };
        let mut line = |a, b| lines.push(Line { ends: [a, b], colour, width });
        (0..4).for_each(|k| line(c[k], c[(k + 1) % 4]));
        (0..4).for_each(|k| line(apex, c[k]));
        let (top, up) = ((c[0] + c[1]) * 0.5, (c[0] - c[3]) * 0.22);
        line(top - (c[1] - c[0]) * 0.12, top + up);
        line(top + (c[1] - c[0]) * 0.12, top + up);
    }
    lines
}

/// The view whose frustum `camera` sees at `pixel`; the nearest to the camera where there are several.
pub(crate) fn at(views: &[View], length: f64, camera: &Camera, pixel: DVec2) -> Option<usize> {
    let mut found: Option<(f64, usize)> = None;
    for (i, view) in views.iter().enumerate() {
        let (apex, c) = corners(&view.camera, length);
        let middle = (c[0] + c[2]) * 0.5;
        let seen = |p: DVec3| camera.project(p);
        // The camera that looks through this one sees its own frustum around the whole picture.
        let distance = (apex - camera.position()).length();
        if distance < 0.5 * length {
            continue;
        }
        let near_apex = seen(apex).is_some_and(|p| p.distance(pixel) < REACH);
        let quad: Option<Vec<DVec2>> = c.iter().map(|p| seen(*p)).collect();
        let inside = quad.is_some_and(|q| contains(&q, pixel));
        let on_axis = seen(apex).zip(seen(middle)).is_some_and(|(a, b)| to_segment(pixel, a, b) < 0.5 * REACH);
        if (near_apex || inside || on_axis) && found.is_none_or(|(d, _)| distance < d) {
            found = Some((distance, i));
        }
    }
    found.map(|(_, i)| i)
}

/// Whether a convex polygon of either orientation contains a point.
fn contains(polygon: &[DVec2], p: DVec2) -> bool {
    let side = |k: usize| {
        let (a, b) = (polygon[k], polygon[(k + 1) % polygon.len()]);
        (b - a).perp_dot(p - a)
    };
    let sides: Vec<f64> = (0..polygon.len()).map(side).collect();
    sides.iter().all(|s| *s >= 0.0) || sides.iter().all(|s| *s <= 0.0)
}

/// Distance of a point to a line segment.
fn to_segment(p: DVec2, a: DVec2, b: DVec2) -> f64 {
    let along = b - a;
    let t = ((p - a).dot(along) / along.length_squared().max(1e-12)).clamp(0.0, 1.0);
    p.distance(a + along * t)
}

#[cfg(test)]
mod tests {
    use nstr_capture::Image;
    use nstr_capture::lens::Lens;

    use super::*;

    fn views() -> Vec<View> {
        let view = |i: usize| {
            let eye = DVec3::new(i as f64, 0.0, 4.0);
            let pose = Camera::look_at(eye, DVec3::new(i as f64, 0.0, 0.0), DVec3::Y).unwrap();
            let camera = Camera::with_fov_y(64, 48, 40.0, pose).unwrap();
            View { name: i.to_string(), camera, lens: Lens::Pinhole, image: Image::default(), mask: None, depth: None }
        };
        (0..3).map(view).collect()
    }

    #[test]
    fn frusta_do_not_overlap_their_neighbours() {
        let views = views();
        assert!((length(&views, 5.0) - 0.45).abs() < 1e-12);
        assert_eq!(length(&views, 100.0), 4.0, "large enough to be seen");
        assert_eq!(length(&views[..1], 2.0), 0.5);
        let far = DVec3::splat(50.0);
        assert_eq!(lines(&views, 0.4, far, &[Some(1)]).len(), 30);
        let marked = lines(&views, 0.4, far, &[Some(1)]).iter().filter(|l| l.colour == MARKED).count();
        assert_eq!(marked, 10);
        assert_eq!(lines(&views, 0.4, views[2].camera.position(), &[]).len(), 20, "not the one looked out of");
    }

    #[test]
    fn the_frustum_at_the_pointer_is_found() {
        let views = views();
        let pose = Camera::look_at(DVec3::new(1.0, 5.0, 8.0), DVec3::new(1.0, 0.0, 4.0), DVec3::Y).unwrap();
        let camera = Camera::with_fov_y(640, 480, 40.0, pose).unwrap();
        for (i, view) in views.iter().enumerate() {
            let pixel = camera.project(view.camera.position()).unwrap();
            assert_eq!(at(&views, 0.45, &camera, pixel), Some(i));
        }
        assert_eq!(at(&views, 0.45, &camera, DVec2::new(5.0, 470.0)), None);
        // From its own place a frustum is not in the way.
        assert_eq!(at(&views, 0.45, &views[0].camera, DVec2::new(32.0, 24.0)), None);
    }
}
