//! What the user looks at and from where: everything of the viewer that needs no window.

mod paths;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glam::DVec3;

use paths::Kept;

use crate::camera::ViewCamera;
use crate::input::Action;
use crate::layer::Show;
use crate::painter::{Effort, Reference, View};
use crate::recording::Recording;
use crate::scene::Scene;
use nstr_capture as capture;
use nstr_camera::camera_file::{cameras_json, parse_cameras};
use nstr_image::colour::Background;
use nstr_render::{Section, SectionView};

/// A section as the panel sets it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Whether anything is cut away.
    pub on: bool,
    /// World axis of the plane's normal, 0 to 2.
    pub axis: usize,
    /// Where the plane is between the cube's faces, 0 to 1.
    pub place: f64,
    /// Whether the lower side is cut away instead of the upper.
    pub flipped: bool,
    /// Whether the field is shown on the plane.
    pub field: bool,
}

impl Default for Cut {
    fn default() -> Self {
        Self { on: false, axis: 0, place: 0.5, flipped: false, field: false }
    }
}

impl Cut {
    /// The section of a scene; `None` where it is off.
    pub fn section(&self, scene: &Scene) -> Option<Section> {
        let mut normal = DVec3::ZERO;
        normal[self.axis.min(2)] = if self.flipped { -1.0 } else { 1.0 };
        let (lo, hi) = scene.cube.bounds();
        let offset = normal.dot(lo + (hi - lo) * self.place);
        let show = if self.field { SectionView::Field } else { SectionView::Cut };
        self.on.then_some(Section { normal, offset, show })
    }
}

/// How things look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Layer.
    pub show: Show,
    /// Background.
    pub background: Background,
    /// Brightness in stops.
    pub exposure: f32,
    /// Soft shadow and ambient occlusion.
    pub shadows: bool,
    /// Samples a pixel of a refined picture.
    pub samples: u32,
    /// Section.
    pub cut: Cut,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            show: Show::Shaded,
            background: Background::White,
            exposure: 0.0,
            shadows: false,
            samples: 8,
            cut: Cut::default(),
        }
    }
}

/// What an action asks of those who have the window.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write the picture to this PNG as soon as it is refined.
    SavePng(PathBuf),
    /// Render all layers to this EXR.
    SaveExr(PathBuf),
    /// Put this text on the clipboard.
    Copy(String),
    /// Take a camera from the clipboard.
    Paste,
    /// Pause training or go on.
    Pause,
}

/// How long a message stays, and one that something failed.
const MESSAGE: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(10)];

/// The state of a viewer.
pub struct Session {
    /// The field; `None` before the first.
    pub scene: Option<Arc<Scene>>,
    /// Whether the field is replaced every now and then.
    pub passing: bool,
    /// The camera.
    pub camera: ViewCamera,
    /// Where reset goes.
    pub home: ViewCamera,
    /// The middle of what there is to see.
    middle: DVec3,
    /// How things look.
    pub settings: Settings,
    /// Images of a capture.
    pub views: Arc<Vec<capture::View>>,
    /// The image that the camera looks from.
    pub snapped: Option<usize>,
    /// The last of them.
    pub visited: Option<usize>,
    /// Camera path.
    pub path: Recording,
    /// Name of its file, as the panel has it; empty: the next free number.
    pub path_name: String,
    /// What of it is in which file.
    kept: Kept,
    /// Seconds into the path, while it plays.
    pub playing: Option<f64>,
    /// Whether the help is open.
    pub help: bool,
    /// Whether the panel is open.
    pub panel: bool,
    /// Folder and beginning of the names of saved pictures.
    pub stem: PathBuf,
    /// What is said, since when and for how long.
    message: Option<(String, Instant, Duration)>,
}

impl Session {
    /// A session at `home`.
    pub fn new(home: ViewCamera, settings: Settings, stem: PathBuf) -> Self {
        Self {
            scene: None,
            passing: false,
            camera: home,
            home,
            settings,
            views: Arc::default(),
            middle: home.pivot(),
            snapped: None,
            visited: None,
            path: Recording::default(),
            path_name: String::new(),
            kept: Kept::default(),
            playing: None,
            help: false,
            panel: true,
            stem,
            message: None,
        }
    }

    /// Takes a capture's images in; home is then where the first was taken, in a picture of `size`.
    pub fn set_views(&mut self, views: Arc<Vec<capture::View>>, size: (u32, u32)) {
        self.views = views;
        (self.snapped, self.visited) = (None, None);
        self.snap(0, size);
        self.home = self.camera;
    }

    /// Begins again at `home`.
    pub fn set_home(&mut self, home: ViewCamera) {
        (self.home, self.camera, self.middle) = (home, home, home.pivot());
        self.release();
    }

    /// Shows a message for a while.
    pub fn say(&mut self, text: impl Into<String>) {
        self.message = Some((text.into(), Instant::now(), MESSAGE[0]));
    }

    /// Says what went wrong, for longer.
    pub fn complain(&mut self, text: impl Into<String>) {
        self.message = Some((text.into(), Instant::now(), MESSAGE[1]));
    }

    /// The message, and how long it stays.
    pub fn message(&self) -> Option<(&str, Duration)> {
        let (text, since, time) = self.message.as_ref()?;
        time.checked_sub(since.elapsed()).map(|left| (text.as_str(), left))
    }

    /// Does what the user asks for, in a picture of `size`.
    pub fn act(&mut self, action: Action, size: (u32, u32)) -> Option<Effect> {
        let turn = std::f64::consts::PI / f64::from(size.0.min(size.1).max(1));
        let moves = matches!(
            action,
            Action::Orbit(_) | Action::Pan(_) | Action::Look(_) | Action::Zoom(_) | Action::Reset | Action::Widen(_)
        );
        if moves {
            self.release();
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
            Action::Widen(degrees) => self.camera.widen(degrees),
            Action::Snap(by) => self.step(by, size),
            Action::Show(show) => self.show(show, size),
            Action::AddKey => self.add_key(),
            Action::Play => self.play(),
            Action::LoadPath => self.load_named(),
            Action::Help => self.help = !self.help,
            Action::Panel => self.panel = !self.panel,
            Action::Dismiss => self.help = false,
            Action::SavePng => return Some(Effect::SavePng(self.free_name("png"))),
            Action::SaveExr => return Some(Effect::SaveExr(self.free_name("exr"))),
            Action::Copy => {
                let camera = serde_json::Value::Object(cameras_json(&[self.camera.camera(size)]));
                self.say("camera copied");
                return Some(Effect::Copy(format!("{camera:#}")));
            }
            Action::Paste => return Some(Effect::Paste),
            Action::Pause => return Some(Effect::Pause),
        }
        None
    }

    /// The camera is the user's again: no longer an image's or a path's.
    fn release(&mut self) {
        (self.snapped, self.playing) = (None, None);
    }

    /// Takes a camera from a JSON text.
    pub fn paste(&mut self, text: &str, size: (u32, u32)) {
        match parse_cameras(text, Some(size)) {
            Ok(cameras) => {
                self.release();
                if let Some(camera) = cameras.first() {
                    self.camera = self.camera.framing(camera, self.camera.pivot(), size);
                    self.say("camera pasted");
                }
            }
            Err(reason) => self.complain(format!("the clipboard holds no camera ({reason})")),
        }
    }

    /// To the image `by` further on.
    fn step(&mut self, by: i32, size: (u32, u32)) {
        if self.views.is_empty() {
            return self.say("there is no capture: give one with --capture DIR");
        }
        let count = self.views.len() as i64;
        let next = match self.snapped.or(self.visited) {
            Some(i) if self.snapped.is_some() => (i as i64 + i64::from(by)).rem_euclid(count),
            Some(i) => i as i64,
            None if by < 0 => count - 1,
            None => 0,
        };
        self.snap(next as usize, size);
    }

    /// To image `i`, all of which is then seen.
    pub fn snap(&mut self, i: usize, size: (u32, u32)) {
        if let Some(view) = self.views.get(i) {
            self.playing = None;
            self.camera = self.home.framing(&view.camera, self.middle, size);
            (self.snapped, self.visited) = (Some(i), Some(i));
        }
    }

    /// Chooses a layer; the error's goes to the image nearest to the camera.
    fn show(&mut self, show: Show, size: (u32, u32)) {
        self.settings.show = show;
        if show != Show::Error || self.snapped.is_some() {
            return;
        }
        let far = |v: &capture::View| {
            let turned = 1.0 - v.forward().dot(self.camera.rotation * DVec3::NEG_Z);
            (v.camera.position() - self.camera.eye).length() + turned * self.camera.radius
        };
        let nearest = (0..self.views.len()).min_by(|a, b| far(&self.views[*a]).total_cmp(&far(&self.views[*b])));
        match nearest {
            Some(i) => self.snap(i, size),
            None => self.say("the error needs a capture: give one with --capture DIR"),
        }
    }

    /// Lets time pass: flight and path. Whether the camera moved.
    pub fn advance(&mut self, seconds: f64, course: Option<(DVec3, bool)>) -> bool {
        if let Some(at) = self.playing {
            let at = at + seconds;
            if let Some(camera) = self.path.at(at) {
                self.camera = camera;
            }
            self.playing = (at < self.path.length()).then_some(at);
            return true;
        }
        match course {
            Some((course, fast)) => {
                self.release();
                self.camera.fly(course, seconds, fast);
                true
            }
            None => false,
        }
    }

    /// Keeps an image's picture whole in a window of another size.
    pub fn resized(&mut self, size: (u32, u32)) {
        if let Some(i) = self.snapped {
            self.snap(i, size);
        }
    }

    /// What is to be painted, for a picture of `size`.
    pub fn view(&self, size: (u32, u32)) -> Option<View> {
        let scene = self.scene.clone()?;
        let settings = &self.settings;
        Some(View {
            camera: self.camera.camera(size),
            show: settings.show,
            background: settings.background,
            exposure: settings.exposure,
            shadows: settings.shadows && !scene.is_radiance(),
            section: settings.cut.section(&scene),
            reference: self
                .snapped
                .filter(|_| settings.show == Show::Error)
                .and_then(|i| Reference::new(&self.views, i)),
            effort: if self.passing { Effort::Passing } else { Effort::Full(settings.samples) },
            scene,
        })
    }
}

#[cfg(test)]
pub mod tests {
    use glam::DVec2;

    use super::*;
    use nstr_capture::lens::Lens;
    use nstr_camera::camera::Camera;
    use nstr_camera::orbit::Up;

    pub const SIZE: (u32, u32) = (400, 300);

    pub fn session() -> Session {
        let home = ViewCamera::home((DVec3::ZERO, DVec3::ONE), Up::Z).unwrap();
        let dir = std::env::temp_dir().join("nstr-session-test");
        Session::new(home, Settings::default(), dir)
    }

    fn with_views() -> Session {
        let view = |x: f64| {
            let pose = Camera::look_at(DVec3::new(x, -3.0, 0.5), DVec3::splat(0.5), DVec3::Z).unwrap();
            let camera = Camera::with_fov_y(64, 48, 40.0, pose).unwrap();
            let (image, mask) = (capture::Image::default(), None);
            capture::View { name: x.to_string(), camera, lens: Lens::Pinhole, image, mask }
        };
        Session { views: Arc::new((0..4).map(|i| view(f64::from(i))).collect()), ..session() }
    }

    #[test]
    fn snapping_walks_through_the_images() {
        let mut s = with_views();
        for (by, wanted) in [(1, 0), (1, 1), (-1, 0), (-1, 3), (1, 0)] {
            assert_eq!(s.act(Action::Snap(by), SIZE), None);
            assert_eq!(s.snapped, Some(wanted));
            let at = s.camera.camera(SIZE).position();
            assert!((at - s.views[wanted].camera.position()).length() < 1e-9);
        }
        // Moving lets go; the next snap comes back to where it was.
        s.act(Action::Zoom(1.0), SIZE);
        assert_eq!(s.snapped, None);
        s.act(Action::Snap(1), SIZE);
        assert_eq!(s.snapped, Some(0));
        // The whole image stays in a window of any shape.
        s.resized((100, 600));
        let seen = s.camera.camera((100, 600));
        let corner = s.views[0].camera.ray(0.0, 0.0);
        assert!(seen.project(corner.origin + corner.direction).unwrap().x > -1e-6);
        let mut none = session();
        none.act(Action::Snap(1), SIZE);
        assert!(none.message().unwrap().0.contains("--capture"));
    }

    #[test]
    fn the_error_goes_to_the_nearest_image() {
        let mut s = with_views();
        s.camera = s.camera.at(&s.views[2].camera.clone(), DVec3::splat(0.5));
        s.camera.eye.x += 0.1;
        s.act(Action::Show(Show::Error), SIZE);
        assert_eq!(s.snapped, Some(2));
        let mut none = session();
        none.act(Action::Show(Show::Error), SIZE);
        assert!(none.message().is_some() && none.snapped.is_none());
    }

    #[test]
    fn a_copied_camera_pastes() {
        let mut s = session();
        s.act(Action::Orbit(DVec2::new(50.0, 20.0)), SIZE);
        let there = s.camera.camera(SIZE);
        let Some(Effect::Copy(text)) = s.act(Action::Copy, SIZE) else { panic!("no text") };
        s.act(Action::Reset, SIZE);
        s.paste(&text, SIZE);
        assert!(s.camera.camera(SIZE).camera_to_world.abs_diff_eq(there.camera_to_world, 1e-9));
        assert!((s.camera.camera(SIZE).focal - there.focal).length() < 1e-6);
        s.paste("hello", SIZE);
        assert!(s.message().unwrap().0.contains("no camera"));
        assert!(s.camera.camera(SIZE).camera_to_world.abs_diff_eq(there.camera_to_world, 1e-9));
    }

    #[test]
    fn sections_cut_between_the_faces_of_the_cube() {
        let sphere = nstr_space::analytic::Analytic::new(1.0, |p: glam::Vec3| p.length() - 0.3);
        let cube = nstr_space::cube::UnitCube { origin: DVec3::new(-2.0, 1.0, 0.0), size: 4.0 };
        let scene = Scene::new(super::super::scene::Field::Sdf(Arc::new(sphere)), cube);
        let cut = Cut { on: true, axis: 1, place: 0.25, ..Cut::default() };
        assert_eq!(cut.section(&scene).map(|s| (s.normal, s.offset)), Some((DVec3::Y, 2.0)));
        let flipped = Cut { flipped: true, ..cut };
        assert_eq!(flipped.section(&scene).map(|s| (s.normal, s.offset)), Some((DVec3::NEG_Y, -2.0)));
        assert_eq!(Cut::default().section(&scene), None);
    }
}
