//! The camera path of a session, and the numbered files beside the model.

use std::path::{Path, PathBuf};

use crate::session::Session;
use crate::recording::Recording;

/// What of the path is in a file.
#[derive(Default)]
pub struct Kept {
    /// The file that it was read from or written to.
    file: Option<PathBuf>,
    /// As it was then.
    path: Recording,
    /// A file that was to replace keys that are in none, and the path at that time.
    asked: Option<(PathBuf, Recording)>,
}

impl Session {
    /// Adds the camera to the path.
    pub fn add_key(&mut self) {
        self.path.keys.push(self.camera);
        self.say(format!("key {} added to the camera path", self.path.keys.len()));
    }

    /// Plays the path from its start, or stops.
    pub fn play(&mut self) {
        if self.playing.take().is_some() {
            return;
        }
        if self.path.keys.len() < 2 {
            return self.say("a path needs two keys at least: F5 adds one");
        }
        self.snapped = None;
        self.playing = Some(0.0);
    }

    /// Writes the path to the file that the panel names, or beside the pictures; never over another path's file.
    pub fn save_path(&mut self, size: (u32, u32)) {
        let file = match self.path_name.trim() {
            "" => self.free_name("json"),
            name => json(name),
        };
        // A capture's own file may have been loaded, and holds more than a path.
        if file.exists() && !(self.kept.file.as_ref() == Some(&file) && Recording::wrote(&file)) {
            return self.complain(format!(
                "{} is there already: name another file, or load it if it is a path of the viewer's",
                file.display()
            ));
        }
        match self.path.save(&file, size) {
            Ok(()) => {
                self.say(format!("wrote {}; render it with --path", file.display()));
                self.path_is(file);
            }
            Err(e) => self.complain(e.to_string()),
        }
    }

    /// Takes the path from a file and goes to its first key; says why where it can't. Keys that are in no file are only
    /// replaced when asked twice.
    pub fn load_path(&mut self, file: &Path) {
        let unsaved = !self.path.keys.is_empty() && self.path != self.kept.path;
        match Recording::load(file, &self.home) {
            Ok(_) if unsaved && self.kept.asked.as_ref().is_none_or(|(f, path)| f != file || *path != self.path) => {
                self.kept.asked = Some((file.into(), self.path.clone()));
                let keys = match self.path.keys.len() {
                    1 => "a key that is not saved".into(),
                    n => format!("{n} keys that are not saved"),
                };
                self.complain(format!("the path has {keys}: load {} again to replace it", file.display()));
            }
            Ok(path) => {
                self.release();
                self.camera = path.keys.first().copied().unwrap_or(self.camera);
                self.path = path;
                self.say(format!("{} keys from {}: F6 plays them", self.path.keys.len(), file.display()));
                self.path_is(file.into());
            }
            Err(reason) => self.complain(reason),
        }
    }

    /// Takes the path from the file that the panel names, or from the newest beside the pictures.
    pub(super) fn load_named(&mut self) {
        let file = match self.path_name.trim() {
            "" => match self.newest("json") {
                0 => return self.complain("no path to load: name its file in the panel, or drop it onto the window"),
                newest => self.numbered(newest, "json"),
            },
            name => json(name),
        };
        self.load_path(&file);
    }

    /// A file dropped onto the window.
    pub fn drop_file(&mut self, file: &Path) {
        match file.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
            true => self.load_path(file),
            false => self.complain(format!("{}: only camera paths (.json) can be dropped here", file.display())),
        }
    }

    /// Forgets the path, not its file.
    pub fn clear_path(&mut self) {
        (self.path.keys, self.playing) = (Vec::new(), None);
        (self.path_name, self.kept) = (String::new(), Kept::default());
    }

    fn path_is(&mut self, file: PathBuf) {
        self.path_name = file.display().to_string();
        self.kept = Kept { file: Some(file), path: self.path.clone(), asked: None };
    }

    /// `stem-N.extension` with the number after the highest there is.
    pub(super) fn free_name(&self, extension: &str) -> PathBuf {
        self.numbered(self.newest(extension) + 1, extension)
    }

    /// The highest number of a file `stem-N.extension`; 0 where there is none.
    fn newest(&self, extension: &str) -> u32 {
        let folder = self.stem.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stem = self.stem.file_name().unwrap_or_default().to_string_lossy();
        let number = |name: &str| {
            let digits = name.strip_prefix(&*stem)?.strip_prefix('-')?.strip_suffix(extension)?.strip_suffix('.')?;
            digits.chars().all(|c| c.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        };
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let numbers = files.filter_map(|f| number(&f.file_name().to_string_lossy()));
        numbers.filter(|n| *n < u32::MAX).max().unwrap_or(0)
    }

    fn numbered(&self, n: u32, extension: &str) -> PathBuf {
        PathBuf::from(format!("{}-{n}.{extension}", self.stem.display()))
    }
}

/// A file's name with its extension.
fn json(name: &str) -> PathBuf {
    let file = PathBuf::from(name);
    if file.extension().is_some() { file } else { file.with_extension("json") }
}

#[cfg(test)]
mod tests {
    use glam::DVec2;

    use crate::session::tests::{SIZE, session};
    use super::*;
    use crate::input::Action;

    #[test]
    fn paths_play_to_their_end_and_stop_when_taken_over() {
        let mut s = session();
        s.act(Action::Play, SIZE);
        assert!(s.playing.is_none() && s.message().unwrap().0.contains("F5"));
        s.act(Action::AddKey, SIZE);
        s.act(Action::Orbit(DVec2::new(90.0, 0.0)), SIZE);
        s.act(Action::AddKey, SIZE);
        s.act(Action::Play, SIZE);
        assert!(s.advance(0.5, None) && s.playing.is_some());
        s.act(Action::Orbit(DVec2::ONE), SIZE);
        assert!(s.playing.is_none());
        s.act(Action::Play, SIZE);
        assert!(s.advance(1e3, None) && s.playing.is_none());
        assert!((s.camera.eye - s.path.keys[1].eye).length() < 1e-9);
        assert!(!s.advance(0.1, None));
    }

    #[test]
    fn keys_that_are_not_saved_are_replaced_when_asked_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = Session { stem: dir.path().join("m"), ..session() };
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
        // What is in a file is replaced at once.
        s.load_path(&one);
        assert_eq!(s.path.keys.len(), 1);
        key(&mut s);
        key(&mut s);
        s.load_path(&two);
        assert!(s.path.keys.len() == 3 && s.message().unwrap().0.contains("3 keys that are not saved"));
        // Another file, or another key, asks again.
        s.load_path(&one);
        assert_eq!(s.path.keys.len(), 3);
        key(&mut s);
        s.load_path(&one);
        assert_eq!(s.path.keys.len(), 4);
        s.load_path(&one);
        assert_eq!(s.path.keys.len(), 1);
        // A file that holds no path doesn't ask.
        key(&mut s);
        std::fs::write(&two, "{}").unwrap();
        s.load_path(&two);
        assert!(s.path.keys.len() == 2 && !s.message().unwrap().0.contains("again"));
    }

    #[test]
    fn the_newest_file_has_the_highest_number() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = Session { stem: dir.path().join("m"), ..session() };
        assert_eq!(s.free_name("png"), dir.path().join("m-1.png"));
        for name in ["m-3.json", "m-12.json", "m-+99.json", "m-x.json", "m-40.png", "mm-50.json", "m-99999999999.json"]
        {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!((s.newest("json"), s.free_name("png")), (12, dir.path().join("m-41.png")));
        s.act(Action::AddKey, SIZE);
        s.save_path(SIZE);
        assert_eq!(s.path_name, dir.path().join("m-13.json").display().to_string());
    }

    #[test]
    fn paths_are_saved_and_loaded_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = Session { stem: dir.path().join("m"), ..session() };
        let says = |s: &Session, what: &str| assert!(s.message().unwrap().0.contains(what), "{:?}", s.message());
        s.act(Action::LoadPath, SIZE);
        says(&s, "no path to load");
        s.act(Action::AddKey, SIZE);
        s.act(Action::Orbit(DVec2::new(90.0, 0.0)), SIZE);
        s.act(Action::AddKey, SIZE);
        s.save_path(SIZE);
        let written = dir.path().join("m-1.json");
        assert!(written.exists() && s.path_name == written.display().to_string());
        let path = s.path.clone();
        // Its own file is written again, another's never.
        s.path.pace = 3.0;
        s.save_path(SIZE);
        s.clear_path();
        assert!(s.path.keys.is_empty() && s.path_name.is_empty());
        s.path_name = written.with_extension("").display().to_string();
        s.path.keys = vec![s.camera];
        s.save_path(SIZE);
        says(&s, "already");
        // By name without extension, and the newest without a name.
        for name in [s.path_name.clone(), String::new()] {
            s.clear_path();
            s.path_name = name;
            s.act(Action::LoadPath, SIZE);
            assert_eq!((s.path.keys.len(), s.path.pace), (2, 3.0));
            assert!((s.camera.eye - path.keys[0].eye).length() < 1e-9, "at its first key");
        }
        // A capture's file is read, and never written.
        let capture = dir.path().join("transforms.json");
        let mut root: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&written).unwrap()).unwrap();
        root.as_object_mut().unwrap().retain(|k, _| k != "keys" && k != "seconds_between_keys");
        std::fs::write(&capture, root.to_string()).unwrap();
        s.load_path(&capture);
        assert!(s.path.keys.len() > 2 && s.path_name == capture.display().to_string());
        s.save_path(SIZE);
        says(&s, "already");
        assert_eq!(std::fs::read_to_string(&capture).unwrap(), root.to_string());
        s.load_path(&written);
        // What can't be read is said and changes nothing.
        std::fs::write(&written, "{\"frames\": 3}").unwrap();
        for file in [written.clone(), dir.path().join("none.json"), dir.path().join("m.safetensors")] {
            s.drop_file(&file);
            says(&s, &file.file_name().unwrap().to_string_lossy());
            assert_eq!(s.path.keys.len(), 2);
        }
    }
}
