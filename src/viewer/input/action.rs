//! Actions of the user on the picture.

use glam::DVec2;

use crate::display_mode::DisplayMode;
use crate::orientation::{Aid, Preset};

/// Action of the user.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    /// Orbit around the object by pixels.
    Orbit(DVec2),
    /// Move sideways by pixels.
    Pan(DVec2),
    /// Look around by pixels.
    Look(DVec2),
    /// Move nearer by notches.
    Zoom(f64),
    /// Return to the first camera.
    Reset,
    /// Show the whole object from the same side.
    FrameAll,
    /// Look along an axis at the object.
    View(Preset),
    /// Switch between the usual perspective and nearly parallel rays.
    Parallel,
    /// Show or hide an orientation aid.
    Toggle(Aid),
    /// Read the field at this pixel of the window.
    Pick(DVec2),
    /// Orbit around the point at this pixel of the window.
    CentreOn(DVec2),
    /// Take the point at this pixel of the window as an end of a measurement.
    Measure(DVec2),
    /// Show the capture's image in place of the picture, or the picture again.
    HoldPhotograph(bool),
    /// Fill the screen, or return to a window.
    FullScreen,
    /// Go to the capture view this many further on.
    NextView(i32),
    /// Widen the field of view by degrees.
    AdjustFov(f64),
    /// Display another layer.
    SetMode(DisplayMode),
    /// Save the image as PNG.
    SavePng,
    /// Save all layers as EXR.
    SaveExr,
    /// Copy the camera to the clipboard.
    Copy,
    /// Paste the camera from the clipboard.
    Paste,
    /// Add the camera to the path.
    AddKey,
    /// Play or stop the path.
    Play,
    /// Load the path from the file named in the panel.
    LoadPath,
    /// Pause or resume training.
    Pause,
    /// Show or hide the help.
    Help,
    /// Show or hide the panel.
    Panel,
    /// Close the help.
    Dismiss,
    /// Take back the last change of the camera path.
    Undo,
    /// Make the change again that was taken back.
    Redo,
    /// Render the camera path to a video, or stop.
    RenderVideo,
    /// Save the surface as a mesh.
    SaveMesh,
    /// Save the model that is shown.
    SaveModel,
    /// Cut the scene at the section plane, or show all of it.
    ToggleSection,
    /// Show the surface in the next look.
    NextLook,
}
