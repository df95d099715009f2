//! Checks of output paths, before the work instead of after it.

use std::path::Path;

use anyhow::bail;

/// Refuses a file that could not be written at the end. `endings` are the allowed ones, all if empty; `what` names it in the
/// error: `a model's name`.
pub fn check_file(path: &Path, what: &str, endings: &[&str]) -> anyhow::Result<()> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    if !endings.is_empty() && !endings.contains(&ending.as_str()) {
        let all: Vec<String> = endings.iter().map(|e| format!(".{e}")).collect();
        bail!("{}: {what} ends in {}", path.display(), all.join(" or "));
    }
    if path.is_dir() {
        bail!("{}: is a folder; name a file", path.display());
    }
    match path.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => bail!("{}: there is no such folder", folder.display()),
        _ => Ok(()),
    }
}

/// Refuses a folder that could not be made at the end.
pub fn check_folder(path: &Path) -> anyhow::Result<()> {
    // The nearest of its parents that is there must be a folder.
    match path.ancestors().find(|p| p.exists()) {
        Some(there) if !there.is_dir() => bail!("{}: {} is a file; name a folder", path.display(), there.display()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_refused_with_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        assert!(check_file(&at("a.PNG"), "a picture's name", &["png"]).is_ok());
        assert!(check_file(Path::new("a"), "a table's name", &[]).is_ok());
        for (name, endings, word) in [
            ("a.jpg", &["png", "exr"][..], "a picture's name ends in .png or .exr"),
            ("none/a.png", &["png"], "none: there is no such folder"),
            ("file/a.png", &["png"], "file: there is no such folder"),
            ("", &[], "is a folder"),
        ] {
            let said = check_file(&at(name), "a picture's name", endings).unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
        assert!(check_folder(&at("new/of/it")).is_ok() && check_folder(dir.path()).is_ok());
        let said = check_folder(&at("file/report")).unwrap_err().to_string();
        assert!(said.contains("file is a file"), "{said}");
    }
}
