//! The connection to the window system.

use winit::event_loop::EventLoop;

use crate::app::News;
use crate::error::ViewerError;

/// The event loop, or why there is none: winit panics where a library of the display is missing.
pub(super) fn event_loop() -> Result<EventLoop<News>, ViewerError> {
    #[cfg(all(unix, not(target_os = "macos")))]
    {
        let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        if !["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"].into_iter().any(set) {
            return Err(ViewerError::Display("neither DISPLAY nor WAYLAND_DISPLAY is set".into()));
        }
    }
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let made = std::panic::catch_unwind(|| EventLoop::with_user_event().build());
    std::panic::set_hook(hook);
    match made {
        Ok(Ok(events)) => Ok(events),
        Ok(Err(e)) => Err(ViewerError::Display(reason(&e.to_string()))),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or(panic.downcast_ref::<&str>().map(|s| s.to_string()));
            Err(ViewerError::Display(said.unwrap_or_else(|| "the window system's libraries failed".into())))
        }
    }
}

/// What the window system said, with the display that was asked.
fn reason(said: &str) -> String {
    let named =
        ["WAYLAND_DISPLAY", "DISPLAY"].into_iter().find_map(|n| Some(format!("{n}={}", std::env::var(n).ok()?)));
    // Behind the place in winit's source.
    let said = said
        .rsplit_once(".rs:")
        .map_or(said, |(_, s)| s.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':' || c == ' '));
    format!("{} does not answer ({said})", named.unwrap_or_else(|| "the display".into()))
}
