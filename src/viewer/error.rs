//! What can keep the viewer from opening or going on.

use thiserror::Error;

/// Why there is no window, or no longer one.
#[derive(Debug, Error)]
pub enum ViewerError {
    /// There is no display to open a window on.
    #[error(
        "cannot open a window: {0}. Set DISPLAY (X11) or WAYLAND_DISPLAY (Wayland), log in with `ssh -X`, or render \
         without a window with `nstr render`"
    )]
    Display(String),
    /// No graphics driver answers.
    #[error(
        "no graphics adapter can draw on this window. Install a Vulkan driver; without a GPU the software driver does \
         (Debian, Ubuntu: mesa-vulkan-drivers; Fedora: mesa-vulkan-drivers; Arch: vulkan-swrast)"
    )]
    NoAdapter,
    /// The driver refused to set the window's surface up.
    #[error("the graphics driver cannot draw on this window: {0}")]
    Surface(String),
    /// The event loop ended with an error.
    #[error("the window system ended the viewer: {0}")]
    EventLoop(String),
    /// The camera path that was asked for can't be read.
    #[error("{0}")]
    Path(String),
    /// A script can't be read or followed.
    #[error("{0}")]
    Script(String),
}
