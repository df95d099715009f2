//! The window: the connection to the window system, its size, the viewport of the image in it, and its first camera.

use egui::Rect;
use glam::{DQuat, DVec2, DVec3};
use nstr_camera::orbit::Up;
use winit::dpi::{LogicalSize, PhysicalSize, Size};
use winit::event_loop::EventLoop;
use winit::window::{Window, WindowAttributes};

use crate::app::UserEvent;
use crate::camera::ViewCamera;
use crate::error::ViewerError;
use crate::presenter::Viewport;
use crate::scene::Scene;

/// Default size of the window, points.
const DEFAULT_SIZE: LogicalSize<f64> = LogicalSize::new(1280.0, 800.0);
/// Points of a screen that bars of the desktop and the window's frame take: winit does not tell the work area.
const SCREEN_BARS: LogicalSize<f64> = LogicalSize::new(8.0, 72.0);
/// Minimum size of the window, points.
const MIN_SIZE: LogicalSize<f64> = LogicalSize::new(480.0, 320.0);

/// Connects to the window system.
///
/// # Errors
/// [`ViewerError::Display`] without a display, or without a library of the window system.
pub(super) fn event_loop() -> Result<EventLoop<UserEvent>, ViewerError> {
    #[cfg(all(unix, not(target_os = "macos")))]
    {
        let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        if !["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"].into_iter().any(set) {
            return Err(ViewerError::Display("neither DISPLAY nor WAYLAND_DISPLAY is set".into()));
        }
    }
    // winit panics if a library of the window system is missing.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let made = std::panic::catch_unwind(|| EventLoop::with_user_event().build());
    std::panic::set_hook(hook);
    match made {
        Ok(Ok(events)) => Ok(events),
        Ok(Err(e)) => Err(ViewerError::Display(display_error(&e.to_string()))),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().cloned();
            let message = message.or(panic.downcast_ref::<&str>().map(|s| s.to_string()));
            Err(ViewerError::Display(message.unwrap_or_else(|| "the window system's libraries failed".into())))
        }
    }
}

/// The message of the window system, with the display that was tried.
fn display_error(message: &str) -> String {
    let display =
        ["WAYLAND_DISPLAY", "DISPLAY"].into_iter().find_map(|n| Some(format!("{n}={}", std::env::var(n).ok()?)));
    // Without the position in winit's source code.
    let message = message
        .rsplit_once(".rs:")
        .map_or(message, |(_, s)| s.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':' || c == ' '));
    format!("{} does not answer ({message})", display.unwrap_or_else(|| "the display".into()))
}

/// A window of `size` physical pixels, or of the default size, which is at most what a screen of this size and scale factor leaves
/// beside its bars.
pub(super) fn window_attributes(
    title: String,
    size: Option<(u32, u32)>,
    screen: Option<(PhysicalSize<u32>, f64)>,
) -> WindowAttributes {
    let default = || match screen {
        Some((screen, scale)) if screen.width > 0 && screen.height > 0 => {
            let bars: PhysicalSize<u32> = SCREEN_BARS.to_physical(scale);
            let wanted: PhysicalSize<u32> = DEFAULT_SIZE.to_physical(scale);
            let room = |screen: u32, bars: u32| screen.saturating_sub(bars).max(1);
            let (w, h) = (room(screen.width, bars.width), room(screen.height, bars.height));
            match wanted.width <= w && wanted.height <= h {
                true => Size::Logical(DEFAULT_SIZE),
                false => Size::Physical(PhysicalSize::new(wanted.width.min(w), wanted.height.min(h))),
            }
        }
        _ => Size::Logical(DEFAULT_SIZE),
    };
    let size = size.map_or_else(default, |(w, h)| Size::Physical(PhysicalSize::new(w, h)));
    Window::default_attributes().with_title(title).with_inner_size(size).with_min_inner_size(MIN_SIZE)
}

/// The rectangle `area`, in points of `scale` pixels, as whole pixels within a window of `width` × `height`.
pub(super) fn viewport(area: Rect, scale: f32, (width, height): (u32, u32)) -> Viewport {
    let pixel = |v: f32, max: u32| (v * scale).round().clamp(0.0, max as f32) as u32;
    let (x, y) = (pixel(area.left(), width), pixel(area.top(), height));
    let (right, bottom) = (pixel(area.right(), width), pixel(area.bottom(), height));
    Viewport { x, y, width: right.saturating_sub(x), height: bottom.saturating_sub(y) }
}

/// The home camera for a world box; for boxes without extent that of the unit cube.
pub(super) fn home_camera(bounds: (DVec3, DVec3), up: Up) -> ViewCamera {
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

/// The first camera of a scene: the default camera of `nstr render`.
pub(super) fn first_camera(scene: &Scene) -> ViewCamera {
    let home = home_camera(scene.bounds(), scene.up());
    let Some(arc) = scene.camera_arc else { return home };
    let upright = ViewCamera { up: arc.up, ..home };
    let camera = arc.cameras(1, (1, 1), false).ok().and_then(|c| c.first().copied());
    camera.map_or(home, |camera| upright.at(&camera, arc.target))
}

#[cfg(test)]
mod tests {
    use egui::pos2;

    use super::*;

    #[test]
    fn the_image_has_the_pixels_that_the_panel_leaves() {
        // A window of 1280×800 points with a panel of 292 and a status line of 26, on displays of any density.
        for scale in [1.0f32, 1.25, 1.5, 1.75, 2.0, 3.0] {
            let window = ((1280.0 * scale) as u32, (800.0 * scale) as u32);
            let area = Rect::from_min_max(pos2(0.0, 0.0), pos2(1280.0 - 292.0, 800.0 - 26.0));
            let Viewport { x, y, width, height } = viewport(area, scale, window);
            assert_eq!((x, y), (0, 0));
            assert_eq!((width, height), ((988.0 * scale).round() as u32, (774.0 * scale).round() as u32));
        }
        // Areas of egui may be a little larger than the window, empty, or inverted.
        let within = |area, size| {
            let v = viewport(area, 1.5, size);
            assert!(v.x + v.width <= size.0 && v.y + v.height <= size.1, "{v:?}");
        };
        within(Rect::from_min_max(pos2(-1.0, -1.0), pos2(700.4, 500.4)), (1050, 750));
        within(Rect::NOTHING, (1050, 750));
        within(Rect::from_min_max(pos2(900.0, 0.0), pos2(800.0, 500.0)), (1050, 750));
    }

    #[test]
    fn the_default_size_is_in_points_and_others_in_pixels() {
        let size = |requested| window_attributes(String::new(), requested, None).inner_size;
        assert_eq!(size(Some((900, 700))), Some(PhysicalSize::new(900, 700).into()));
        assert_eq!(size(None), Some(LogicalSize::new(1280.0, 800.0).into()));
    }

    #[test]
    fn the_default_window_fits_the_screen() {
        let size = |w, h, scale| {
            let screen = Some((PhysicalSize::new(w, h), scale));
            window_attributes(String::new(), None, screen).inner_size.map(|s| s.to_physical::<u32>(scale))
        };
        assert_eq!(size(1920, 1080, 1.0), Some(PhysicalSize::new(1280, 800)));
        assert_eq!(size(3840, 2160, 2.0), Some(PhysicalSize::new(2560, 1600)));
        assert_eq!(size(1600, 1000, 2.0), Some(PhysicalSize::new(1584, 856)));
        assert_eq!(size(1366, 768, 1.0), Some(PhysicalSize::new(1280, 696)));
        // A screen without a size is not known.
        assert_eq!(size(0, 0, 1.0), Some(PhysicalSize::new(1280, 800)));
        let asked = window_attributes(String::new(), Some((2000, 1500)), Some((PhysicalSize::new(1600, 1000), 1.0)));
        assert_eq!(asked.inner_size, Some(PhysicalSize::new(2000, 1500).into()), "what is asked for is not changed");
    }
}
