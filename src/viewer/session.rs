//! State of the viewer that needs no window: field, camera, display settings, capture views and camera path.

mod cut;
mod paste;
mod path_history;
mod paths;
mod picking;
mod references;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use cut::Cut;
use glam::DVec3;
use nstr_camera::camera_file::cameras_json;
use nstr_capture as capture;
use nstr_image::colour::Background;
use nstr_render::Look;
use path_history::PathHistory;
use paths::SavedPath;
pub(crate) use picking::Measurement;

use crate::camera::ViewCamera;
use crate::camera_path::CameraPath;
use crate::display_mode::DisplayMode;
use crate::export::MeshSettings;
use crate::input::Action;
use crate::orientation::Aids;
use crate::photograph::PhotographState;
use crate::probe::SharedPoint;
use crate::reference_mesh::ReferenceMesh;
use crate::render_backend::{Quality, ReferenceImage, RenderRequest};
use crate::scene::Scene;
use crate::video_export::VideoFormat;

/// Display settings that the panel can change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DisplaySettings {
    /// Displayed layer.
    pub mode: DisplayMode,
    /// Look of surfaces.
    pub look: Look,
    /// Whether surfaces stand on a graded ground instead of the background, if their look has one.
    pub has_backdrop: bool,
    /// Background behind the object.
    pub background: Background,
    /// Exposure of the object in stops.
    pub exposure: f32,
    /// Soft shadow and ambient occlusion by the field itself (signed distances only).
    pub shadows: bool,
    /// Samples a pixel of a refined image.
    pub samples: u32,
    /// Section plane.
    pub cut: Cut,
}

impl Default for DisplaySettings {
    fn default() -> Self {
        Self {
            mode: DisplayMode::Shaded,
            look: Look::default(),
            has_backdrop: true,
            background: Background::White,
            exposure: 0.0,
            shadows: false,
            samples: 8,
            cut: Cut::default(),
        }
    }
}

/// Request of an action to the owner of the window.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Write the image to this PNG file once it is refined.
    SavePng(PathBuf),
    /// Render all layers to this EXR file.
    SaveExr(PathBuf),
    /// Put this text on the clipboard.
    Copy(String),
    /// Read a camera from the clipboard.
    Paste,
    /// Pause or resume training.
    Pause,
    /// Fill the screen, or return to a window.
    FullScreen,
    /// Show this model in place of the present one.
    Open(PathBuf),
    /// Write the surface to this file.
    SaveMesh(PathBuf),
    /// Write the model to this file.
    SaveModel(PathBuf),
    /// Render the camera path to a video, or stop rendering it.
    RenderVideo,
}

/// Time that a message stays.
const MESSAGE_TIME: Duration = Duration::from_secs(4);
/// Time that an error message stays.
const ERROR_TIME: Duration = Duration::from_secs(10);

/// State of a viewer.
pub(crate) struct Session {
    /// Field; `None` until training brings the first.
    pub scene: Option<Arc<Scene>>,
    /// Whether training is running and keeps replacing the field.
    pub is_training: bool,
    /// Current camera.
    pub camera: ViewCamera,
    /// Camera that a reset returns to.
    pub home: ViewCamera,
    /// Centre of the visible scene, world coordinates.
    scene_centre: DVec3,
    /// World box around the visible scene, once it is known.
    pub bounds: Option<(DVec3, DVec3)>,
    /// Things drawn over the picture.
    pub aids: Aids,
    /// Point that the user picked.
    pub picked: Option<SharedPoint>,
    /// Distance that the user measures.
    pub measurement: Measurement,
    /// Display of the capture's images.
    pub photograph: PhotographState,
    /// Text about the point under the pointer.
    pub readout: Option<String>,
    /// Capture view whose frustum is under the pointer.
    pub hovered_view: Option<usize>,
    /// Display settings.
    pub settings: DisplaySettings,
    /// Mesh that the surface is compared with.
    pub mesh: Option<ReferenceMesh>,
    /// Images of the capture.
    pub views: Arc<Vec<capture::View>>,
    /// Capture view that the camera is at.
    pub active_view: Option<usize>,
    /// Capture view that the camera was at last.
    pub last_view: Option<usize>,
    /// Name of the model to open, as typed in the panel.
    pub open_name: String,
    /// Camera path.
    pub path: CameraPath,
    /// File name of the path as typed in the panel; empty for the next numbered file.
    pub path_name: String,
    /// File of the path and its content.
    saved_path: SavedPath,
    /// Earlier states of the path.
    path_history: PathHistory,
    /// Seconds into the path while it plays.
    pub playback_time: Option<f64>,
    /// Seconds into the path where it was left last.
    pub path_time: f64,
    /// Whether the path begins again at its end.
    pub loops: bool,
    /// Format of videos.
    pub video_format: VideoFormat,
    /// Meshes to save.
    pub mesh_settings: MeshSettings,
    /// File of the model that is shown, where it has one.
    pub model_file: Option<PathBuf>,
    /// Whether the help is shown.
    pub help: bool,
    /// Whether the panel is shown.
    pub panel: bool,
    /// Folder and beginning of the names of saved files.
    pub output_stem: PathBuf,
    /// Names that were given to files which may not be written yet.
    promised: HashSet<PathBuf>,
    /// Message, its start and its duration.
    message: Option<(String, Instant, Duration)>,
}

impl Session {
    /// A session whose camera is at `home`. Files are saved as `output_stem-N.png` and so on.
    pub fn new(home: ViewCamera, settings: DisplaySettings, output_stem: PathBuf) -> Self {
        Self {
            scene: None,
            is_training: false,
            camera: home,
            home,
            settings,
            mesh: None,
            views: Arc::default(),
            scene_centre: home.pivot(),
            bounds: None,
            aids: Aids::default(),
            picked: None,
            measurement: Measurement::default(),
            photograph: PhotographState::default(),
            readout: None,
            hovered_view: None,
            active_view: None,
            last_view: None,
            open_name: String::new(),
            path: CameraPath::default(),
            path_name: String::new(),
            saved_path: SavedPath::default(),
            path_history: PathHistory::default(),
            playback_time: None,
            path_time: 0.0,
            loops: false,
            video_format: VideoFormat::Gif,
            mesh_settings: MeshSettings::default(),
            model_file: None,
            help: false,
            panel: true,
            output_stem,
            promised: HashSet::new(),
            message: None,
        }
    }

    /// Sets the images of a capture. Home becomes the camera of the first, in an image of `size` pixels.
    pub fn set_views(&mut self, views: Arc<Vec<capture::View>>, size: (u32, u32)) {
        self.views = views;
        (self.active_view, self.last_view) = (None, None);
        self.go_to_view(0, size);
        self.home = self.camera;
    }

    /// Sets home and goes there.
    pub fn set_home(&mut self, home: ViewCamera) {
        (self.home, self.camera, self.scene_centre) = (home, home, home.pivot());
        self.release_view();
    }

    /// Shows a message for a while.
    pub fn notify(&mut self, text: impl Into<String>) {
        self.message = Some((text.into(), Instant::now(), MESSAGE_TIME));
    }

    /// Shows an error message, for longer.
    pub fn notify_error(&mut self, text: impl Into<String>) {
        self.message = Some((text.into(), Instant::now(), ERROR_TIME));
    }

    /// The message and the time that it still stays.
    pub fn message(&self) -> Option<(&str, Duration)> {
        let (text, since, time) = self.message.as_ref()?;
        time.checked_sub(since.elapsed()).map(|left| (text.as_str(), left))
    }

    /// Performs an action, with an image of `size` pixels in the window.
    pub fn act(&mut self, action: Action, size: (u32, u32)) -> Option<Effect> {
        let turn = std::f64::consts::PI / f64::from(size.0.min(size.1).max(1));
        let moves = matches!(
            action,
            Action::Orbit(_)
                | Action::Pan(_)
                | Action::Look(_)
                | Action::Zoom(_)
                | Action::Reset
                | Action::AdjustFov(_)
                | Action::FrameAll
                | Action::View(_)
                | Action::Parallel
        );
        if moves {
            self.release_view();
        }
        match action {
            Action::Orbit(by) => self.camera.orbit(-by.x * turn, by.y * turn),
            Action::Look(by) => {
                let angle = self.camera.fov.to_radians() / std::f64::consts::PI;
                self.camera.look(by.x * turn * angle, by.y * turn * angle);
            }
            Action::Pan(by) => self.camera.pan(by, size),
            Action::Zoom(notches) => self.camera.zoom(notches),
            Action::Reset => self.camera = self.home,
            Action::AdjustFov(degrees) => self.camera.adjust_fov(degrees),
            Action::FrameAll => self.camera.frame(self.scene_centre),
            Action::View(preset) => {
                let (back, top) = preset.axes(self.camera.up);
                self.camera.look_from(back, top);
            }
            Action::Parallel => {
                self.camera.toggle_parallel();
                let parallel = self.camera.is_parallel();
                self.notify(if parallel { "parallel rays, to within 1 %" } else { "perspective" });
            }
            Action::Toggle(aid) => {
                let switch = self.aids.switch(aid);
                *switch = !*switch;
            }
            Action::Pick(at) => self.pick(at, size),
            Action::CentreOn(at) => self.centre_on(at, size),
            Action::Measure(at) => self.measure(at, size),
            Action::HoldPhotograph(shows) => self.hold_photograph(shows, size),
            Action::FullScreen => return Some(Effect::FullScreen),
            Action::NextView(by) => self.next_view(by, size),
            Action::SetMode(mode) => self.set_mode(mode, size),
            Action::AddKey => self.add_key(),
            Action::Play => self.play(),
            Action::LoadPath => self.load_named_path(),
            Action::Help => self.help = !self.help,
            Action::Panel => self.panel = !self.panel,
            Action::Dismiss => self.dismiss(),
            Action::SavePng => return Some(Effect::SavePng(self.next_file("png"))),
            Action::SaveExr => return Some(Effect::SaveExr(self.next_file("exr"))),
            Action::SaveMesh => return Some(Effect::SaveMesh(self.next_file(self.mesh_settings.format))),
            Action::SaveModel => return Some(Effect::SaveModel(self.next_file("safetensors"))),
            Action::RenderVideo => return Some(Effect::RenderVideo),
            Action::Undo => self.undo_path(),
            Action::Redo => self.redo_path(),
            Action::NextLook => self.next_look(),
            Action::ToggleSection => self.settings.cut.enabled = !self.settings.cut.enabled,
            Action::Copy => {
                let camera = serde_json::Value::Object(cameras_json(&[self.camera.camera(size)]));
                self.notify("camera copied");
                return Some(Effect::Copy(format!("{camera:#}")));
            }
            Action::Paste => return Some(Effect::Paste),
            Action::Pause => return Some(Effect::Pause),
        }
        None
    }

    /// Leaves the capture view and stops the path: the user moves the camera.
    fn release_view(&mut self) {
        (self.active_view, self.playback_time) = (None, None);
    }

    /// Closes the help, else gives up the measurement, else the picked point.
    fn dismiss(&mut self) {
        if std::mem::take(&mut self.help) || self.measurement.clear() {
            return;
        }
        self.picked = None;
    }

    /// Advances flight and path by `seconds`; returns whether the camera moved.
    pub fn advance(&mut self, seconds: f64, flight: Option<(DVec3, bool)>) -> bool {
        if let Some(at) = self.playback_time {
            let (at, end) = (at + seconds, self.path.duration());
            let at = if self.loops && end > 0.0 { at % end } else { at };
            if let Some(camera) = self.path.at(at) {
                self.camera = camera;
            }
            self.path_time = at.min(end);
            self.playback_time = (at < end).then_some(at);
            return true;
        }
        match flight {
            Some((direction, fast)) => {
                self.release_view();
                self.camera.fly(direction, seconds, fast);
                true
            }
            None => false,
        }
    }

    /// Shows a surface in the next look.
    fn next_look(&mut self) {
        if self.scene.as_ref().is_some_and(|s| s.is_radiance()) {
            return self.notify("looks are for surfaces: a radiance field has its own colours");
        }
        let look = self.settings.look.next();
        (self.settings.look, self.settings.mode) = (look, DisplayMode::Shaded);
        self.notify(format!("{look}: {}", look.description()));
    }

    /// Keeps the whole image of the active view visible after a change of the window's size.
    pub fn resized(&mut self, size: (u32, u32)) {
        if let Some(i) = self.active_view {
            self.go_to_view(i, size);
        }
    }

    /// Whether the picture holds the false colours of the field on the section's plane, which exposure must not change.
    pub fn shows_field_on_plane(&self) -> bool {
        let cut = &self.settings.cut;
        cut.enabled && cut.field && self.settings.mode == DisplayMode::Shaded
    }

    /// The render request for an image of `size` pixels; `None` without a field.
    pub fn render_request(&self, size: (u32, u32)) -> Option<RenderRequest> {
        let scene = self.scene.clone()?;
        let settings = &self.settings;
        let mesh = self.mesh_of_error().filter(|_| settings.mode == DisplayMode::Error);
        Some(RenderRequest {
            camera: self.camera.camera(size),
            mode: settings.mode,
            background: settings.background,
            exposure: if self.shows_field_on_plane() { 0.0 } else { settings.exposure },
            look: settings.look,
            has_backdrop: settings.has_backdrop && settings.look.has_backdrop() && !scene.is_radiance(),
            shadows: settings.shadows && !scene.is_radiance(),
            section: settings.cut.section(&scene, settings.mode == DisplayMode::Shaded),
            section_opacity: settings.cut.opacity,
            reference: self
                .active_view
                .filter(|_| settings.mode == DisplayMode::Error && mesh.is_none())
                .and_then(|i| ReferenceImage::new(&self.views, i)),
            quality: match (self.is_training, mesh) {
                (true, _) => Quality::LowLatency,
                // Distances are measured at pixels' centres.
                (false, Some(_)) => Quality::Full(1),
                (false, None) => Quality::Full(settings.samples),
            },
            mesh: mesh.and_then(ReferenceMesh::query),
            scene,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use nstr_camera::camera::Camera;
    use nstr_camera::orbit::Up;
    use nstr_capture::lens::Lens;

    pub const SIZE: (u32, u32) = (400, 300);

    pub fn session() -> Session {
        let home = ViewCamera::home((DVec3::ZERO, DVec3::ONE), Up::Z).unwrap();
        let dir = std::env::temp_dir().join("nstr-session-test");
        Session::new(home, DisplaySettings::default(), dir)
    }

    pub fn with_views() -> Session {
        let view = |x: f64| {
            let pose = Camera::look_at(DVec3::new(x, -3.0, 0.5), DVec3::splat(0.5), DVec3::Z).unwrap();
            let camera = Camera::with_fov_y(64, 48, 40.0, pose).unwrap();
            let (image, mask) = (capture::Image::default(), None);
            capture::View { name: x.to_string(), camera, lens: Lens::Pinhole, image, mask, depth: None }
        };
        Session { views: Arc::new((0..4).map(|i| view(f64::from(i))).collect()), ..session() }
    }

    #[test]
    fn next_view_walks_through_the_images() {
        let mut s = with_views();
        for (by, expected) in [(1, 0), (1, 1), (-1, 0), (-1, 3), (1, 0)] {
            assert_eq!(s.act(Action::NextView(by), SIZE), None);
            assert_eq!(s.active_view, Some(expected));
            let at = s.camera.camera(SIZE).position();
            assert!((at - s.views[expected].camera.position()).length() < 1e-9);
        }
        // Moving leaves the view; the next step returns to it.
        s.act(Action::Zoom(1.0), SIZE);
        assert_eq!(s.active_view, None);
        s.act(Action::NextView(1), SIZE);
        assert_eq!(s.active_view, Some(0));
        // The whole image stays in a window of any shape.
        s.resized((100, 600));
        let seen = s.camera.camera((100, 600));
        let corner = s.views[0].camera.ray(0.0, 0.0);
        assert!(seen.project(corner.origin + corner.direction).unwrap().x > -1e-6);
        let mut none = session();
        none.act(Action::NextView(1), SIZE);
        assert!(none.message().unwrap().0.contains("--capture"));
    }

    #[test]
    fn the_error_goes_to_the_nearest_image() {
        let mut s = with_views();
        s.camera = s.camera.at(&s.views[2].camera.clone(), DVec3::splat(0.5));
        s.camera.eye.x += 0.1;
        s.act(Action::SetMode(DisplayMode::Error), SIZE);
        assert_eq!(s.active_view, Some(2));
        let mut none = session();
        none.act(Action::SetMode(DisplayMode::Error), SIZE);
        assert!(none.message().is_some() && none.active_view.is_none());
    }
}
