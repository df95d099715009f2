//! Where things are: the first camera, the window, the picture in it.

use egui::Rect;
use glam::{DQuat, DVec2, DVec3};
use winit::dpi::{LogicalSize, PhysicalSize, Size};
use winit::window::{Window, WindowAttributes};

use nstr_camera::orbit::Up;
use crate::camera::ViewCamera;
use crate::present::Viewport;
use crate::scene::Scene;

/// The window's size where none is asked for, and the least that it can be dragged to, points.
const SIZES: [(f64, f64); 2] = [(1280.0, 800.0), (480.0, 320.0)];

/// A window of `size` physical pixels, or of the usual size in points.
pub(super) fn window(title: String, size: Option<(u32, u32)>) -> WindowAttributes {
    let [usual, least] = SIZES.map(|(w, h)| LogicalSize::new(w, h));
    let size = size.map_or(Size::Logical(usual), |(w, h)| Size::Physical(PhysicalSize::new(w, h)));
    Window::default_attributes().with_title(title).with_inner_size(size).with_min_inner_size(least)
}

/// The first camera; of boxes without extent, the unit cube's.
pub(super) fn home(bounds: (DVec3, DVec3), up: Up) -> ViewCamera {
    let unit = || ViewCamera {
        eye: DVec3::new(0.5, 0.5, 3.0),
        rotation: DQuat::IDENTITY,
        distance: 2.5,
        fov: 35.0,
        aspect: 1.0,
        shift: DVec2::ZERO,
        up: up.axis(),
        radius: 0.87,
    };
    ViewCamera::home(bounds, up).unwrap_or_else(|_| unit())
}

/// The camera from which a scene is seen first: as `nstr render` without options.
pub(super) fn first_view(scene: &Scene) -> ViewCamera {
    let home = home(scene.bounds(), scene.up());
    let Some(swing) = scene.swing else { return home };
    let upright = ViewCamera { up: swing.up, ..home };
    let camera = swing.cameras(1, (1, 1), false).ok().and_then(|c| c.first().copied());
    camera.map_or(home, |camera| upright.at(&camera, swing.target))
}

/// The rectangle in whole pixels, within the window.
pub(super) fn viewport(area: Rect, scale: f32, (width, height): (u32, u32)) -> Viewport {
    let pixel = |v: f32, most: u32| (v * scale).round().clamp(0.0, most as f32) as u32;
    let (x, y) = (pixel(area.left(), width), pixel(area.top(), height));
    let (right, bottom) = (pixel(area.right(), width), pixel(area.bottom(), height));
    Viewport { x, y, width: right.saturating_sub(x), height: bottom.saturating_sub(y) }
}

#[cfg(test)]
mod tests {
    use egui::pos2;

    use super::*;

    #[test]
    fn the_picture_has_the_pixels_that_the_panel_leaves() {
        // A window of 1280×800 points with a panel of 292 and a status line of 26, on displays of any density.
        for scale in [1.0f32, 1.25, 1.5, 1.75, 2.0, 3.0] {
            let window = ((1280.0 * scale) as u32, (800.0 * scale) as u32);
            let area = Rect::from_min_max(pos2(0.0, 0.0), pos2(1280.0 - 292.0, 800.0 - 26.0));
            let Viewport { x, y, width, height } = viewport(area, scale, window);
            assert_eq!((x, y), (0, 0));
            assert_eq!((width, height), ((988.0 * scale).round() as u32, (774.0 * scale).round() as u32));
        }
        // egui's areas may be a little larger than the window, or empty, or none.
        let within = |area, size| {
            let v = viewport(area, 1.5, size);
            assert!(v.x + v.width <= size.0 && v.y + v.height <= size.1, "{v:?}");
        };
        within(Rect::from_min_max(pos2(-1.0, -1.0), pos2(700.4, 500.4)), (1050, 750));
        within(Rect::NOTHING, (1050, 750));
        within(Rect::from_min_max(pos2(900.0, 0.0), pos2(800.0, 500.0)), (1050, 750));
    }

    #[test]
    fn sizes_asked_for_are_pixels_and_others_points() {
        let size = |asked| window(String::new(), asked).inner_size;
        assert_eq!(size(Some((900, 700))), Some(PhysicalSize::new(900, 700).into()));
        assert_eq!(size(None), Some(LogicalSize::new(1280.0, 800.0).into()));
    }
}
