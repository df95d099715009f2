//! Checks of outputs, before the work instead of after it: they can be written, and nothing of the user's is lost.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nstr_capture::is_capture;
use nstr_field::model::ENDINGS as MODEL_ENDINGS;
use nstr_files::{Lock, Target};

use super::terminal;

/// Refuses a file that could not be written at the end. `endings` are the allowed ones, all if empty: then it is a text, which
/// may also go to standard output. `what` names it in the error: `a model's name`.
pub fn check_file(path: &Path, what: &str, endings: &[&str]) -> anyhow::Result<()> {
    let name = path.display();
    let target = nstr_files::resolve(path);
    let is_stdout = matches!(target, Ok(Target::Stdout));
    let is_stream = is_stdout || matches!(target, Ok(Target::Stream(_) | Target::Stderr));
    // The one format that there is needs no name to tell it.
    if !(is_stream && endings.len() == 1) {
        check_ending(path, what, endings)?;
    }
    if path.is_dir() {
        bail!("{name}: is a folder; name a file");
    }
    if !is_stream
        && let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty())
        && !folder.is_dir()
    {
        bail!("{}: there is no such folder", folder.display());
    }
    if is_stdout && !endings.is_empty() && std::io::stdout().is_terminal() {
        bail!("{name}: this is not text, and standard output is a terminal; name a file, or redirect it with > FILE");
    }
    nstr_files::probe(path).with_context(|| format!("{name}: cannot be written"))?;
    if is_stdout && !terminal::reserve_stdout() {
        bail!("{name}: standard output takes one output; name a file for the other");
    }
    Ok(())
}

/// Refuses a name that does not end in one of `endings`, where there are any.
pub fn check_ending(path: &Path, what: &str, endings: &[&str]) -> anyhow::Result<()> {
    if endings.is_empty() || endings.contains(&ending(path).as_str()) {
        return Ok(());
    }
    let all: Vec<String> = endings.iter().map(|e| format!(".{e}")).collect();
    bail!("{}: {what} ends in {}", path.display(), all.join(" or "))
}

/// Refuses a folder that could not be made or filled at the end.
pub fn check_folder(path: &Path) -> anyhow::Result<()> {
    if path == Path::new("-") {
        bail!("-: only text goes to standard output; name a folder");
    }
    // The nearest of its parents that is there must be a folder.
    match path.ancestors().find(|p| p.exists()) {
        Some(there) if !there.is_dir() => bail!("{}: {} is a file; name a folder", path.display(), there.display()),
        _ => nstr_files::probe_folder(path).with_context(|| format!("{}: cannot be written", path.display())),
    }
}

/// Takes the lock of an output, so that no other run writes it meanwhile.
pub fn lock(path: &Path) -> anyhow::Result<Lock> {
    lock_as(path, path)
}

/// As [`lock`], with the name `shown` in messages.
pub fn lock_as(path: &Path, shown: &Path) -> anyhow::Result<Lock> {
    let lock = nstr_files::lock(path).with_context(|| shown.display().to_string())?;
    if let Some(note) = lock.note() {
        terminal::stderr!("note: {}: {note}", shown.display());
    }
    Ok(lock)
}

/// Hold on an output folder, made where it was missing; left empty, what was made goes again.
pub struct HeldFolder {
    lock: Option<Lock>,
    /// Folders that were made, the innermost first.
    made: Vec<PathBuf>,
}

impl Drop for HeldFolder {
    fn drop(&mut self) {
        // The lock's file lies in the folder.
        drop(self.lock.take());
        self.made.iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
    }
}

/// Makes an output folder and takes its lock.
pub fn hold_folder(path: &Path) -> anyhow::Result<HeldFolder> {
    let named = path.ancestors().filter(|p| !p.as_os_str().is_empty());
    let made = named.take_while(|p| !p.exists()).map(Path::to_path_buf).collect();
    std::fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
    let mut held = HeldFolder { lock: None, made };
    held.lock = Some(lock(path)?);
    Ok(held)
}

/// Outputs of one command, none of which may be an input or another output.
#[derive(Debug, Default)]
pub struct Outputs {
    inputs: Vec<PathBuf>,
    /// Each with what names it in errors.
    taken: Vec<(PathBuf, String)>,
    /// Whether `--overwrite` is given, of commands that have it.
    overwrite: Option<bool>,
}

impl Outputs {
    /// No outputs yet, of a command that reads `inputs`.
    pub fn of<P: AsRef<Path>>(inputs: impl IntoIterator<Item = P>) -> Self {
        Self { inputs: inputs.into_iter().map(|p| p.as_ref().to_path_buf()).collect(), ..Self::default() }
    }

    /// The same, allowed to replace what may be a part of an input.
    pub fn overwrite(self, overwrite: bool) -> Self {
        Self { overwrite: Some(overwrite), ..self }
    }

    /// Adds a file, checked as by [`check_file`].
    pub fn file(&mut self, path: &Path, what: &str, endings: &[&str]) -> anyhow::Result<()> {
        self.check_identity(path)?;
        check_file(path, what, endings)?;
        self.taken.push((path.to_path_buf(), what.into()));
        Ok(())
    }

    /// Adds a model's file, whose name tells its format; what has no name that could, as a pipe, takes the uncompressed one.
    pub fn model(&mut self, path: &Path) -> anyhow::Result<()> {
        let is_file = matches!(nstr_files::resolve(path), Ok(Target::File(_)) | Err(_));
        let endings: &[&str] = if is_file { &MODEL_ENDINGS } else { &MODEL_ENDINGS[..1] };
        self.file(path, "a model's name", endings)
    }

    /// Adds a folder, checked as by [`check_folder`], and the files that will be written in it.
    pub fn folder(&mut self, path: &Path, files: &[&str]) -> anyhow::Result<()> {
        check_folder(path)?;
        files.iter().try_for_each(|file| self.within(&path.join(file)))
    }

    /// Adds a file that a command names by itself, in a folder that is checked already.
    pub fn within(&mut self, path: &Path) -> anyhow::Result<()> {
        self.check_identity(path)?;
        self.taken.push((path.to_path_buf(), "another output of this command".into()));
        Ok(())
    }

    /// Refuses an input, a part of an input, and what another output has taken.
    fn check_identity(&self, path: &Path) -> anyhow::Result<()> {
        let name = path.display();
        for input in &self.inputs {
            if nstr_files::is_same(path, input) {
                bail!("{name}: is an input of this command ({}); write to another file", input.display());
            }
            if self.overwrite != Some(true) && is_part_of(path, input) {
                let more = if self.overwrite.is_some() { ", or replace it with --overwrite" } else { "" };
                bail!("{name}: may be a part of {}; write to another file{more}", input.display());
            }
        }
        match self.taken.iter().find(|(other, _)| nstr_files::is_same(path, other)) {
            Some((other, what)) => bail!("{name}: is {} as well, {what}; name another file", other.display()),
            None => Ok(()),
        }
    }
}

fn ending(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// Whether the file `path` exists and may belong to the data of `input`: pictures and tables in a capture, materials and
/// textures beside a mesh.
pub fn is_part_of(path: &Path, input: &Path) -> bool {
    if !path.is_file() {
        return false;
    }
    if is_capture(input) {
        let root = if input.is_dir() { input } else { input.parent().unwrap_or(Path::new("")) };
        return is_inside(path, root) && is_capture_data(path);
    }
    is_material_of(path, input)
}

/// Whether the file `path` exists and lies in a capture as a part of its data, whichever that is.
pub fn is_in_a_capture(path: &Path) -> bool {
    let Ok(whole) = path.canonicalize() else { return false };
    // Pictures lie in the capture's folder or one or two below it.
    whole.is_file() && is_capture_data(&whole) && whole.ancestors().skip(1).take(3).any(is_capture)
}

fn is_inside(path: &Path, root: &Path) -> bool {
    let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
    matches!((path.canonicalize(), root.canonicalize()), (Ok(path), Ok(root)) if path.starts_with(&root))
}

fn is_capture_data(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let starts = ["transforms", "poses_bounds", "cameras.", "images.", "points3d.", "frames.", "rigs."];
    let pictures = ["png", "jpg", "jpeg", "exr", "tif", "tiff", "webp", "bmp", "hdr"];
    starts.iter().any(|start| name.starts_with(start)) || pictures.contains(&ending(path).as_str())
}

/// Most bytes of material files that are searched for names of textures.
const MOST_MATERIALS: u64 = 1 << 24;

/// Whether `path` is a material file beside the mesh `input`, or named in one of them or in the glTF that is the input.
fn is_material_of(path: &Path, input: &Path) -> bool {
    let folder = |p: &Path| {
        p.parent().and_then(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p }.canonicalize().ok())
    };
    let (Some(beside), Some(root)) = (folder(path), folder(input)) else { return false };
    if !beside.starts_with(&root) {
        return false;
    }
    let mut texts = Vec::new();
    match ending(input).as_str() {
        "gltf" => texts.push(input.to_path_buf()),
        "obj" if ending(path) == "mtl" => return true,
        "obj" => {
            let entries = std::fs::read_dir(&root).into_iter().flatten().flatten();
            texts.extend(entries.map(|e| e.path()).filter(|p| ending(p) == "mtl"));
        }
        _ => return false,
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // As it stands in addresses too.
    let names = [name.replace(' ', "%20"), name];
    let names_it = |text: &PathBuf| {
        let is_small = text.metadata().is_ok_and(|m| m.is_file() && m.len() <= MOST_MATERIALS);
        is_small && nstr_files::read_text(text).is_ok_and(|text| names.iter().any(|name| has_name(&text, name)))
    };
    texts.iter().any(names_it)
}

/// Whether a text has a file's name, not as the end of another name.
fn has_name(text: &str, name: &str) -> bool {
    let is_start = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-');
    text.match_indices(name).any(|(at, _)| is_start(at))
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
        assert!(check_file(&at("a"), "a table's name", &[]).is_ok());
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
        assert!(check_folder(Path::new("-")).unwrap_err().to_string().contains("name a folder"));
        // Nothing is left of the trials.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_held_folder_goes_again_if_nothing_came_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let held = hold_folder(&folder).unwrap();
        assert!(folder.is_dir());
        drop(held);
        assert!(!dir.path().join("a").exists());
        let held = hold_folder(&folder).unwrap();
        std::fs::write(folder.join("frame"), "").unwrap();
        drop(held);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn pictures_need_a_name_that_tells_their_format() {
        let said = check_file(Path::new("-"), "a picture's name", &["png", "exr"]).unwrap_err().to_string();
        assert!(said.contains("ends in .png or .exr"), "{said}");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_needs_no_ending_for_the_one_format() {
        check_file(Path::new("/dev/null"), "a model's name", &["safetensors"]).unwrap();
        assert!(check_file(Path::new("/dev/null"), "a picture's name", &["png", "exr"]).is_err());
    }

    #[test]
    fn an_input_or_another_output_is_never_an_output() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("in.obj"), "v 0 0 0").unwrap();
        std::fs::hard_link(at("in.obj"), at("hard.json")).unwrap();
        let mut outputs = Outputs::of([at("in.obj")]);
        for name in ["in.obj", "hard.json", "../in.obj"] {
            let path = if name.starts_with("..") { dir.path().join("x/..").join("in.obj") } else { at(name) };
            std::fs::create_dir_all(at("x")).unwrap();
            let said = outputs.file(&path, "the metrics' name", &[]).unwrap_err().to_string();
            assert!(said.contains("is an input") && said.contains("in.obj"), "{said}");
        }
        outputs.file(&at("m.safetensors"), "a model's name", &["safetensors"]).unwrap();
        let said = outputs.file(&at("x/../m.safetensors"), "the metrics' name", &[]).unwrap_err().to_string();
        assert!(said.contains("a model's name") && said.contains("another file"), "{said}");
        outputs.folder(&at("out"), &["a.json", "b.json"]).unwrap();
        std::fs::create_dir(at("out")).unwrap();
        assert!(outputs.file(&at("out/b.json"), "the metrics' name", &[]).is_err());
        outputs.file(&at("out/c.json"), "the metrics' name", &[]).unwrap();
    }

    #[test]
    fn parts_of_an_input_are_spared() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("capture/images")).unwrap();
        std::fs::write(at("capture/transforms.json"), "{}").unwrap();
        for name in
            ["capture/images/frame_0001.png", "a.obj", "a.mtl", "wood.png", "free.png", "ood.png", "capture/notes.json"]
        {
            std::fs::write(at(name), if name == "a.mtl" { "map_Kd wood.png" } else { "" }).unwrap();
        }
        let mut outputs = Outputs::of([at("capture"), at("a.obj")]);
        for (name, is_free) in [
            ("capture/transforms.json", false),
            ("capture/images/frame_0001.png", false),
            ("capture/images/new.png", true),
            ("capture/notes.json", true),
            ("a.mtl", false),
            ("wood.png", false),
            ("free.png", true),
            ("ood.png", true),
        ] {
            assert_eq!(outputs.file(&at(name), "a name", &[]).is_ok(), is_free, "{name}");
        }
        let mut free = Outputs::of([at("capture")]).overwrite(true);
        free.file(&at("capture/images/frame_0001.png"), "a name", &[]).unwrap();
        let said = Outputs::of([at("capture")]).overwrite(false).within(&at("capture/transforms.json")).unwrap_err();
        assert!(said.to_string().contains("--overwrite"), "{said}");
        assert!(is_in_a_capture(&at("capture/images/frame_0001.png")));
        assert!(!is_in_a_capture(&at("capture/images/new.png")) && !is_in_a_capture(&at("free.png")));
    }
}
