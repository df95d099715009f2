//! Errors of the viewer.

use thiserror::Error;

/// Error that keeps the window from opening, or closes it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ViewerError {
    /// There is no display to open a window on.
    #[error(
        "cannot open a window: {0}. Set DISPLAY (X11) or WAYLAND_DISPLAY (Wayland), log in with `ssh -X`, or render \
         without a window with `nstr render`"
    )]
    Display(String),
    /// There is no graphics adapter.
    #[error(
        "no graphics adapter can draw on this window. Install a Vulkan driver; without a GPU the software driver does \
         (Debian, Ubuntu: mesa-vulkan-drivers; Fedora: mesa-vulkan-drivers; Arch: vulkan-swrast)"
    )]
    NoAdapter,
    /// The graphics driver failed to set up or draw on the window's surface.
    #[error("the graphics driver cannot draw on this window: {0}")]
    Surface(String),
    /// The event loop ended with an error.
    #[error("the window system ended the viewer: {0}")]
    EventLoop(String),
    /// The camera path cannot be read.
    #[error("{0}")]
    Path(String),
    /// The script cannot be read or followed.
    #[error("{0}")]
    Script(String),
    /// No thread to render in could be started.
    #[error("cannot start a render thread: {0}")]
    Thread(#[source] std::io::Error),
    /// A request cannot be rendered.
    #[error("cannot render: {0}")]
    Render(String),
}
