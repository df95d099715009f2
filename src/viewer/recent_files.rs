//! Models that were shown last, remembered in a file of the user from session to session.
//!
//! The file is a JSON array of absolute paths, the newest first. A missing or damaged file is an empty list: it is written anew when
//! the next model is shown.

use std::path::{Path, PathBuf};

/// Most models that are remembered.
const MOST: usize = 10;

/// The list and its file.
#[derive(Debug, Default)]
pub(crate) struct RecentFiles {
    /// `None` where the system has no folder for it: the list then lasts as long as the window.
    file: Option<PathBuf>,
    models: Vec<PathBuf>,
}

/// The folder where programs of this user keep their state.
fn state_folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))
    };
    folder.map(|folder| folder.join("nstr"))
}

/// The paths in a file; none if it cannot be read.
fn read(file: &Path) -> Vec<PathBuf> {
    let text = nstr_files::read_text(file).ok();
    let listed: Vec<serde_json::Value> = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let mut models: Vec<PathBuf> = Vec::new();
    for path in listed.iter().filter_map(|v| v.as_str()).map(PathBuf::from) {
        if path.is_absolute() && !models.contains(&path) {
            models.push(path);
        }
    }
    models.truncate(MOST);
    models
}

impl RecentFiles {
    /// The list of the user.
    pub fn of_user() -> Self {
        Self::at(state_folder().map(|folder| folder.join("recent.json")))
    }

    fn at(file: Option<PathBuf>) -> Self {
        let models = file.as_deref().map(read).unwrap_or_default();
        Self { file, models }
    }

    /// The models, the newest first. Some may be gone meanwhile.
    pub fn models(&self) -> &[PathBuf] {
        &self.models
    }

    /// Puts a model at the top and writes the file.
    pub fn add(&mut self, model: &Path) {
        let Ok(model) = std::path::absolute(model) else { return };
        // Other windows may have added some.
        if let Some(file) = &self.file {
            self.models = read(file);
        }
        self.models.retain(|known| *known != model);
        self.models.insert(0, model);
        self.models.truncate(MOST);
        let Some(file) = &self.file else { return };
        let listed: Vec<&str> = self.models.iter().filter_map(|path| path.to_str()).collect();
        let text = format!("{:#}\n", serde_json::json!(listed));
        // A list that cannot be kept is no reason to disturb anybody: it lasts as long as the window.
        let _ = file
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| nstr_files::write(file, text.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_come_first_and_ten_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deeper/recent.json");
        let mut recent = RecentFiles::at(Some(file.clone()));
        assert!(recent.models().is_empty());
        for i in 0..12 {
            recent.add(&dir.path().join(format!("{i}.nstr")));
        }
        recent.add(&dir.path().join("5.nstr"));
        let names = |recent: &RecentFiles| -> Vec<String> {
            let name = |p: &PathBuf| p.file_stem().unwrap().to_string_lossy().into_owned();
            recent.models().iter().map(name).collect()
        };
        let wanted = ["5", "11", "10", "9", "8", "7", "6", "4", "3", "2"];
        assert_eq!(names(&recent), wanted);
        // Another session reads the same, and this one sees what it adds.
        let mut other = RecentFiles::at(Some(file));
        assert_eq!(names(&other), wanted);
        other.add(&dir.path().join("x.nstr"));
        recent.add(&dir.path().join("y.nstr"));
        assert_eq!(names(&recent)[..3], ["y", "x", "5"]);
    }

    #[test]
    fn a_damaged_file_is_an_empty_list_and_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("recent.json");
        for text in ["", "{", "{\"models\": 3}", "[1, null, \"relative.nstr\"]", "\u{0}\u{1}"] {
            std::fs::write(&file, text).unwrap();
            let mut recent = RecentFiles::at(Some(file.clone()));
            assert!(recent.models().is_empty(), "{text}");
            recent.add(&dir.path().join("a.nstr"));
            assert_eq!(RecentFiles::at(Some(file.clone())).models().len(), 1, "{text}");
        }
        // A folder in its place, and no folder at all.
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        let mut recent = RecentFiles::at(Some(file));
        recent.add(Path::new("a.nstr"));
        assert!(recent.models()[0].is_absolute());
        let mut recent = RecentFiles::at(None);
        recent.add(Path::new("a.nstr"));
        assert_eq!(recent.models().len(), 1);
    }
}
