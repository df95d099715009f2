//! Camera path of a session, and the numbered output files.

use std::path::{Path, PathBuf};

use nstr_field::model::is_model_name;
use nstr_image::colour::{Background, hex, srgb_from_linear};
use nstr_render::{Look, SectionView};

use crate::camera::ViewCamera;
use crate::camera_path::CameraPath;
use crate::display_mode::DisplayMode;
use crate::session::{DisplaySettings, Effect, Session};

/// The file of the camera path and its content.
#[derive(Default)]
pub(crate) struct SavedPath {
    /// File that the path was read from or written to.
    file: Option<PathBuf>,
    /// The path at that time.
    path: CameraPath,
    /// File whose loading would have discarded unsaved keys, and the path at that time: loading it again does so.
    unconfirmed: Option<(PathBuf, CameraPath)>,
}

impl Session {
    /// Adds the camera to the path.
    pub fn add_key(&mut self) {
        self.change_path(|path, camera| path.keys.push(camera));
        self.path_time = self.path.duration();
        self.notify(format!("key {} added to the camera path", self.path.keys.len()));
    }

    /// Goes to key `i` of the path.
    pub fn go_to_key(&mut self, i: usize) {
        if let Some(key) = self.path.keys.get(i).copied() {
            self.scrub(self.path.time_of(i));
            // Interpolation may change its last bits.
            self.camera = key;
        }
    }

    /// Goes to the camera after `seconds` of the path.
    pub fn scrub(&mut self, seconds: f64) {
        if let Some(camera) = self.path.at(seconds) {
            self.release_view();
            (self.camera, self.path_time) = (camera, seconds.clamp(0.0, self.path.duration()));
        }
    }

    /// Replaces key `i` of the path by the camera.
    pub fn replace_key(&mut self, i: usize) {
        if i < self.path.keys.len() {
            self.change_path(|path, camera| path.keys[i] = camera);
            self.notify(format!("key {} replaced", i + 1));
        }
    }

    /// Changes the path, given the camera, in a way that can be taken back.
    pub fn change_path(&mut self, change: impl FnOnce(&mut CameraPath, ViewCamera)) {
        self.path_history.observe(&self.path);
        change(&mut self.path, self.camera);
        self.path_history.observe(&self.path);
    }

    /// Notes a change of the path that widgets have made, once it is over.
    pub fn path_changed(&mut self) {
        self.path_history.observe(&self.path);
    }

    /// Whether there is a change of the path to take back, and one to make again.
    pub fn can_undo(&self) -> (bool, bool) {
        self.path_history.can_go()
    }

    /// Takes the last change of the path back.
    pub(super) fn undo_path(&mut self) {
        self.path_history.observe(&self.path);
        match self.path_history.undo().cloned() {
            Some(path) => self.restore_path(path, "taken back"),
            None => self.notify("there is no change of the camera path to take back"),
        }
    }

    /// Makes the change again that was taken back.
    pub(super) fn redo_path(&mut self) {
        self.path_history.observe(&self.path);
        match self.path_history.redo().cloned() {
            Some(path) => self.restore_path(path, "made again"),
            None => self.notify("there is no change of the camera path to make again"),
        }
    }

    fn restore_path(&mut self, path: CameraPath, what: &str) {
        (self.path, self.playback_time) = (path, None);
        let keys = self.path.keys.len();
        let plural = if keys == 1 { "" } else { "s" };
        self.notify(format!("{what}: the camera path has {keys} key{plural}"));
    }

    /// Command line that renders the path of the shown model as a video of `size`. Saves the path first unless its file is up to date.
    ///
    /// # Errors
    /// A message for the user: no path, no model, a file that cannot be written.
    pub fn render_command(&mut self, size: (u32, u32)) -> Result<String, String> {
        if self.path.keys.len() < 2 {
            return Err("a path needs at least two keys: F5 adds one".into());
        }
        let model = self.model_file.clone().ok_or("the field has no model file yet: save the model first")?;
        if self.saved_path.file.is_none() || self.saved_path.path != self.path {
            self.save_path(size);
        }
        let file = self.saved_path.file.clone().filter(|_| self.saved_path.path == self.path);
        let file = file.ok_or_else(|| self.message().map_or_else(String::new, |m| m.0.to_string()))?;
        let video = self.next_file(self.video_format.extension());
        let DisplaySettings { mode, look, has_backdrop, background, samples, cut, .. } = self.settings;
        let mut words = vec!["nstr".to_string(), "render".into(), quoted(&model), "--path".into(), quoted(&file)];
        words.extend(["-o".into(), quoted(&video), "--size".into(), format!("{}x{}", size.0, size.1)]);
        words.extend(["--spp".into(), samples.to_string()]);
        let scene = self.scene.as_ref();
        let is_surface = scene.is_some_and(|s| !s.is_radiance());
        if mode != DisplayMode::Shaded {
            words.extend(["--layers".into(), mode.name().into()]);
        } else if is_surface && look != Look::default() {
            words.extend(["--look".into(), look.to_string()]);
        }
        if !(is_surface && has_backdrop && look.has_backdrop()) {
            let name = match background {
                Background::White => "white".to_string(),
                Background::Black => "black".into(),
                Background::Transparent => "transparent".into(),
                Background::Colour(c) => format!("'{}'", hex(c.map(|v| (srgb_from_linear(v) * 255.0).round() as u8))),
            };
            words.extend(["--background".into(), name]);
        }
        if let Some(section) = scene.and_then(|scene| cut.section(scene, mode == DisplayMode::Shaded)) {
            let [x, y, z] = section.normal.to_array();
            words.push(format!("--section={x},{y},{z},{}", section.offset));
            if section.show == SectionView::Field {
                words.push("--section-field".into());
                if cut.opacity < 1.0 {
                    words.extend(["--section-opacity".into(), cut.opacity.to_string()]);
                }
            }
        }
        Ok(words.join(" "))
    }

    /// Plays the path from where it was left, or stops it.
    pub fn play(&mut self) {
        if self.playback_time.take().is_some() {
            return;
        }
        if self.path.keys.len() < 2 {
            return self.notify("a path needs at least two keys: F5 adds one");
        }
        self.active_view = None;
        // From where it was left, unless that is the end.
        let end = self.path.duration();
        self.playback_time = Some(if self.path_time < end - 1e-6 { self.path_time } else { 0.0 });
    }

    /// Writes the path to the file named in the panel, or to the next numbered file; never over another path's file.
    pub fn save_path(&mut self, size: (u32, u32)) {
        let file = match self.path_name.trim() {
            "" => self.next_file("json"),
            name => json(name),
        };
        // The file of a capture can be loaded as a path, but holds more.
        if file.exists() && !(self.saved_path.file.as_ref() == Some(&file) && CameraPath::is_path_file(&file)) {
            return self.notify_error(format!(
                "{} exists already: name another file, or load it if it is a path of the viewer",
                file.display()
            ));
        }
        match self.path.save(&file, size) {
            Ok(()) => {
                self.notify(format!("wrote {}; render it with --path", file.display()));
                self.set_path_file(file);
            }
            Err(e) => self.notify_error(e.to_string()),
        }
    }

    /// Loads the path from a file and goes to its first key, or notifies the user of the reason why not. Unsaved keys are
    /// replaced only at the second request.
    pub fn load_path(&mut self, file: &Path) {
        let unsaved = !self.path.keys.is_empty() && self.path != self.saved_path.path;
        match CameraPath::load(file, &self.home) {
            Ok(_)
                if unsaved
                    && self.saved_path.unconfirmed.as_ref().is_none_or(|(f, path)| f != file || *path != self.path) =>
            {
                self.saved_path.unconfirmed = Some((file.into(), self.path.clone()));
                let keys = match self.path.keys.len() {
                    1 => "a key that is not saved".into(),
                    n => format!("{n} keys that are not saved"),
                };
                self.notify_error(format!("the path has {keys}: load {} again to replace it", file.display()));
            }
            Ok(path) => {
                self.release_view();
                self.camera = path.keys.first().copied().unwrap_or(self.camera);
                self.change_path(|present, _| *present = path);
                self.path_time = 0.0;
                self.notify(format!("{} keys from {}: F6 plays them", self.path.keys.len(), file.display()));
                self.set_path_file(file.into());
            }
            Err(reason) => self.notify_error(reason),
        }
    }

    /// Loads the path from the file named in the panel, or from the numbered file of the highest number.
    pub(super) fn load_named_path(&mut self) {
        let file = match self.path_name.trim() {
            "" => match self.newest_number("json") {
                0 => {
                    return self
                        .notify_error("no path to load: name its file in the panel, or drop it onto the window");
                }
                number => self.numbered(number, "json"),
            },
            name => json(name),
        };
        self.load_path(&file);
    }

    /// Loads a file that was dropped onto the window: a camera path, or a model, which the window opens.
    pub fn load_dropped_file(&mut self, file: &Path) -> Option<Effect> {
        if is_model_name(file) {
            return Some(Effect::Open(file.into()));
        }
        match file.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
            true => self.load_path(file),
            false => self.notify_error(format!(
                "{}: only models (.safetensors, .nstr) and camera paths (.json) can be dropped here",
                file.display()
            )),
        }
        None
    }

    /// Clears the path, which can be taken back, and keeps its file.
    pub fn clear_path(&mut self) {
        self.change_path(|path, _| (path.keys, path.own_seconds) = (Vec::new(), Vec::new()));
        (self.playback_time, self.path_time) = (None, 0.0);
        (self.path_name, self.saved_path) = (String::new(), SavedPath::default());
    }

    fn set_path_file(&mut self, file: PathBuf) {
        self.path_name = file.display().to_string();
        self.saved_path = SavedPath { file: Some(file), path: self.path.clone(), unconfirmed: None };
    }

    /// `stem-N.extension` with the number after the highest in use; no name is given twice.
    pub fn next_file(&mut self, extension: &str) -> PathBuf {
        let mut number = self.newest_number(extension) + 1;
        // A picture that waits to be refined has no file yet.
        while self.promised.contains(&self.numbered(number, extension)) {
            number += 1;
        }
        let file = self.numbered(number, extension);
        self.promised.insert(file.clone());
        file
    }

    /// Highest number of the files `stem-N.extension`; 0 without any.
    fn newest_number(&self, extension: &str) -> u32 {
        let folder = self.output_stem.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stem = self.output_stem.file_name().unwrap_or_default().to_string_lossy();
        let number = |name: &str| {
            let digits = name.strip_prefix(&*stem)?.strip_prefix('-')?.strip_suffix(extension)?.strip_suffix('.')?;
            digits.chars().all(|c| c.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        };
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let numbers = files.filter_map(|f| number(&f.file_name().to_string_lossy()));
        numbers.filter(|n| *n < u32::MAX).max().unwrap_or(0)
    }

    fn numbered(&self, n: u32, extension: &str) -> PathBuf {
        PathBuf::from(format!("{}-{n}.{extension}", self.output_stem.display()))
    }
}

/// A path as a word of a shell's command line.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "_-./+=:,@%".contains(c);
    match !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Path of a file name, with `.json` if it has no extension.
fn json(name: &str) -> PathBuf {
    let file = PathBuf::from(name);
    if file.extension().is_some() { file } else { file.with_extension("json") }
}

#[cfg(test)]
mod tests {
    use glam::DVec2;

    use super::*;
    use crate::input::Action;
    use crate::session::tests::{SIZE, session};

    #[test]
    fn paths_play_to_their_end_and_stop_when_taken_over() {
        let mut s = session();
        s.act(Action::Play, SIZE);
        assert!(s.playback_time.is_none() && s.message().unwrap().0.contains("F5"));
        s.act(Action::AddKey, SIZE);
        s.act(Action::Orbit(DVec2::new(90.0, 0.0)), SIZE);
        s.act(Action::AddKey, SIZE);
        s.act(Action::Play, SIZE);
        assert!(s.advance(0.5, None) && s.playback_time.is_some());
        s.act(Action::Orbit(DVec2::ONE), SIZE);
        assert!(s.playback_time.is_none());
        s.act(Action::Play, SIZE);
        assert!(s.advance(1e3, None) && s.playback_time.is_none());
        assert!((s.camera.eye - s.path.keys[1].eye).length() < 1e-9);
        assert!(!s.advance(0.1, None));
    }

    #[test]
    fn keys_are_visited_and_replaced() {
        let mut s = session();
        s.act(Action::AddKey, SIZE);
        s.act(Action::Orbit(DVec2::new(90.0, 0.0)), SIZE);
        let there = s.camera;
        s.go_to_key(0);
        assert_eq!(s.camera, s.path.keys[0]);
        s.camera = there;
        s.replace_key(0);
        s.replace_key(7);
        s.go_to_key(7);
        assert_eq!((s.path.keys.as_slice(), s.camera), ([there].as_slice(), there));
    }

    #[test]
    fn every_change_of_the_path_can_be_taken_back() {
        let mut s = session();
        for _ in 0..3 {
            s.act(Action::Orbit(DVec2::new(40.0, 0.0)), SIZE);
            s.act(Action::AddKey, SIZE);
        }
        let whole = s.path.clone();
        s.change_path(|path, _| path.shift(0, false));
        s.replace_key(1);
        s.change_path(|path, _| path.remove(2));
        s.clear_path();
        assert!(s.path.keys.is_empty());
        for keys in [2, 3, 3, 3, 2, 1, 0] {
            s.act(Action::Undo, SIZE);
            assert_eq!(s.path.keys.len(), keys);
        }
        s.act(Action::Undo, SIZE);
        assert!(s.message().unwrap().0.contains("no change"));
        (0..3).for_each(|_| drop(s.act(Action::Redo, SIZE)));
        assert_eq!(s.path, whole);
        // A change that a widget made is one too.
        s.path.move_key(1, 0.7);
        s.path_changed();
        s.act(Action::Undo, SIZE);
        assert_eq!(s.path, whole);
    }

    #[test]
    fn the_camera_goes_along_the_path_and_plays_on_from_there() {
        let mut s = session();
        for _ in 0..3 {
            s.act(Action::Orbit(DVec2::new(40.0, 0.0)), SIZE);
            s.act(Action::AddKey, SIZE);
        }
        s.scrub(1.0);
        assert_eq!((Some(s.camera), s.path_time), (s.path.at(1.0), 1.0));
        s.act(Action::Play, SIZE);
        assert_eq!(s.playback_time, Some(1.0));
        s.loops = true;
        assert!(s.advance(3.5, None));
        assert!((s.playback_time.unwrap() - 0.5).abs() < 1e-9, "it begins again");
        s.scrub(99.0);
        assert_eq!(s.path_time, 4.0);
        s.act(Action::Play, SIZE);
        assert_eq!(s.playback_time, Some(0.0), "from the end it starts again");
    }

    #[test]
    fn the_command_renders_what_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = Session { output_stem: dir.path().join("it's"), ..session() };
        assert!(s.render_command((640, 400)).unwrap_err().contains("F5"));
        s.act(Action::AddKey, SIZE);
        s.act(Action::Orbit(DVec2::new(40.0, 0.0)), SIZE);
        s.act(Action::AddKey, SIZE);
        assert!(s.render_command((640, 400)).unwrap_err().contains("no model file"));
        s.model_file = Some("a model.nstr".into());
        let command = s.render_command((640, 400)).unwrap();
        assert!(command.starts_with("nstr render 'a model.nstr' --path '"), "{command}");
        assert!(command.contains(r"it'\''s-1.json") && command.contains("--size 640x400 --spp 8"), "{command}");
        assert!(dir.path().join("it's-1.json").is_file(), "the path was saved");
        // A saved path is not saved again; layers and backgrounds follow the window.
        s.settings.mode = DisplayMode::Normals;
        s.settings.background = Background::Black;
        let command = s.render_command((640, 400)).unwrap();
        assert!(command.contains("--layers normal --background black"), "{command}");
        assert!(!dir.path().join("it's-2.json").exists());
    }

    #[test]
    fn unsaved_keys_are_replaced_at_the_second_request() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = Session { output_stem: dir.path().join("m"), ..session() };
        let (one, two) = (dir.path().join("one.json"), dir.path().join("two.json"));
        let key = |s: &mut Session| {
            s.act(Action::Orbit(DVec2::new(30.0, 0.0)), SIZE);
            s.act(Action::AddKey, SIZE);
        };
        for (file, keys) in [(&one, 1), (&two, 2)] {
            s.clear_path();
            (0..keys).for_each(|_| key(&mut s));
            s.path_name = file.display().to_string();
            s.save_path(SIZE);
        }
        // A saved path is replaced at once.
        s.load_path(&one);
        assert_eq!(s.path.keys.len(), 1);
        key(&mut s);
        key(&mut s);
        s.load_path(&two);
        assert!(s.path.keys.len() == 3 && s.message().unwrap().0.contains("3 keys that are not saved"));
        // Another file, or another key, needs a second request again.
        s.load_path(&one);
        assert_eq!(s.path.keys.len(), 3);
        key(&mut s);
        s.load_path(&one);
        assert_eq!(s.path.keys.len(), 4);
        s.load_path(&one);
        assert_eq!(s.path.keys.len(), 1);
        // A file without a path does not ask.
        key(&mut s);
        std::fs::write(&two, "{}").unwrap();
        s.load_path(&two);
        assert!(s.path.keys.len() == 2 && !s.message().unwrap().0.contains("again"));
    }

    #[test]
    fn the_newest_file_has_the_highest_number() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = Session { output_stem: dir.path().join("m"), ..session() };
        assert_eq!(s.next_file("png"), dir.path().join("m-1.png"));
        assert_eq!(s.next_file("png"), dir.path().join("m-2.png"), "the first may not be written yet");
        for name in ["m-3.json", "m-12.json", "m-+99.json", "m-x.json", "m-40.png", "mm-50.json", "m-99999999999.json"]
        {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!((s.newest_number("json"), s.next_file("png")), (12, dir.path().join("m-41.png")));
        s.act(Action::AddKey, SIZE);
        s.save_path(SIZE);
        assert_eq!(s.path_name, dir.path().join("m-13.json").display().to_string());
    }

    #[test]
    fn paths_are_saved_and_loaded_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = Session { output_stem: dir.path().join("m"), ..session() };
        let notifies = |s: &Session, what: &str| assert!(s.message().unwrap().0.contains(what), "{:?}", s.message());
        s.act(Action::LoadPath, SIZE);
        notifies(&s, "no path to load");
        s.act(Action::AddKey, SIZE);
        s.act(Action::Orbit(DVec2::new(90.0, 0.0)), SIZE);
        s.act(Action::AddKey, SIZE);
        s.save_path(SIZE);
        let written = dir.path().join("m-1.json");
        assert!(written.exists() && s.path_name == written.display().to_string());
        let path = s.path.clone();
        // Its own file is overwritten, that of another path never.
        s.path.seconds_between_keys = 3.0;
        s.save_path(SIZE);
        s.clear_path();
        assert!(s.path.keys.is_empty() && s.path_name.is_empty());
        s.path_name = written.with_extension("").display().to_string();
        s.path.keys = vec![s.camera];
        s.save_path(SIZE);
        notifies(&s, "already");
        // By name without extension, and the newest without a name.
        for name in [s.path_name.clone(), String::new()] {
            s.clear_path();
            s.path_name = name;
            s.act(Action::LoadPath, SIZE);
            assert_eq!((s.path.keys.len(), s.path.seconds_between_keys), (2, 3.0));
            assert!((s.camera.eye - path.keys[0].eye).length() < 1e-9, "at its first key");
        }
        // The file of a capture is read and never written.
        let capture = dir.path().join("transforms.json");
        let mut root: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&written).unwrap()).unwrap();
        root.as_object_mut().unwrap().retain(|k, _| k != "keys" && k != "seconds_between_keys");
        std::fs::write(&capture, root.to_string()).unwrap();
        s.load_path(&capture);
        assert!(s.path.keys.len() > 2 && s.path_name == capture.display().to_string());
        s.save_path(SIZE);
        notifies(&s, "already");
        assert_eq!(std::fs::read_to_string(&capture).unwrap(), root.to_string());
        s.load_path(&written);
        // An unreadable file is reported and changes nothing.
        std::fs::write(&written, "{\"frames\": 3}").unwrap();
        let model = dir.path().join("m.safetensors");
        assert_eq!(s.load_dropped_file(&model), Some(Effect::Open(model)));
        for file in [written.clone(), dir.path().join("none.json"), dir.path().join("m.obj")] {
            assert_eq!(s.load_dropped_file(&file), None);
            notifies(&s, &file.file_name().unwrap().to_string_lossy());
            assert_eq!(s.path.keys.len(), 2);
        }
    }
}
