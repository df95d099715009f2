//! Material files of OBJ, through `tobj`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use nstr_files::{Budget, excerpt};

use crate::mesh::{Material, NO_MATERIAL, Texture};

/// Most bytes that the material files of a mesh may have together.
const MOST_BYTES: u64 = 64 << 20;
/// Most material files of a mesh that are looked for.
const MOST_LIBRARIES: usize = 64;
/// Most names in a folder that are compared with a file's in another case.
const MOST_NAMES: usize = 10_000;

/// Material libraries and the materials that an OBJ file uses, in the order of their first use.
#[derive(Default)]
pub(super) struct Materials {
    libraries: Vec<PathBuf>,
    /// Names of libraries that were looked for.
    seen: HashSet<String>,
    names: Vec<String>,
    index: HashMap<String, u16>,
}

impl Materials {
    /// Notes the files of a line `mtllib`; returns a note where one is absent.
    pub fn library(&mut self, line: &[u8], folder: &Path) -> Option<String> {
        let text = String::from_utf8_lossy(line);
        let name = text.trim_start().strip_prefix("mtllib").unwrap_or_default().trim();
        if name.is_empty() || !self.seen.insert(name.into()) {
            return None;
        }
        if self.seen.len() > MOST_LIBRARIES {
            let note = format!("material files beyond the first {MOST_LIBRARIES} are not looked for");
            return (self.seen.len() == MOST_LIBRARIES + 1).then_some(note);
        }
        // Old exporters name several files in one line, newer ones a file with spaces.
        let found = match find(folder, name) {
            Some(whole) => vec![Some(whole)],
            None => name.split_whitespace().take(MOST_LIBRARIES).map(|name| find(folder, name)).collect(),
        };
        let absent = found.contains(&None);
        for file in found.into_iter().flatten() {
            if !self.libraries.contains(&file) {
                self.libraries.push(file);
            }
        }
        absent.then(|| format!("material file {} is absent (not needed for the shape)", excerpt(name)))
    }

    /// Index of the material that a line `usemtl` names.
    pub fn index(&mut self, line: &[u8]) -> u16 {
        let text = String::from_utf8_lossy(line);
        let name = text.trim_start().strip_prefix("usemtl").unwrap_or_default().trim();
        if name.is_empty() {
            return NO_MATERIAL;
        }
        if let Some(&known) = self.index.get(name) {
            return known;
        }
        // More than there are indices for: the last ones are no material.
        let new = u16::try_from(self.names.len()).unwrap_or(NO_MATERIAL);
        if new != NO_MATERIAL {
            self.names.push(name.into());
            self.index.insert(name.into(), new);
        }
        new
    }

    /// The used materials as the libraries define them (the first definition counts), and notes on what is missing.
    pub fn load(self) -> (Vec<Material>, Vec<String>) {
        if self.names.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let mut notes = Vec::new();
        let mut found: HashMap<String, Material> = HashMap::new();
        let budget = Budget::new(MOST_BYTES);
        for library in &self.libraries {
            match read(library, &budget) {
                Ok(list) => list.into_iter().for_each(|m| _ = found.entry(m.name.clone()).or_insert(m)),
                Err(reason) => {
                    let name = library.file_name().unwrap_or(library.as_os_str()).to_string_lossy();
                    notes.push(format!("material file {name} is ignored: {reason}"));
                }
            }
        }
        // Names that differ in case alone are the same where no other has the very spelling.
        let mut folded: HashMap<String, &String> = HashMap::new();
        let mut spellings: Vec<&String> = found.keys().collect();
        spellings.sort_unstable();
        spellings.into_iter().for_each(|name| _ = folded.entry(name.to_lowercase()).or_insert(name));
        let defined: Vec<Option<&Material>> = self
            .names
            .iter()
            .map(|name| found.get(name).or_else(|| found.get(*folded.get(&name.to_lowercase())?)))
            .collect();
        let missing = || self.names.iter().zip(&defined).filter(|(_, material)| material.is_none());
        // An absent library has its own note.
        if let (Some((first, _)), false) = (missing().next(), found.is_empty()) {
            let (count, first) = (missing().count(), excerpt(first));
            notes.push(format!("{count} materials are not in the material files (first: {first})"));
        }
        let materials = self.names.iter().zip(&defined).map(|(name, material)| Material {
            name: name.clone(),
            ..material.map_or_else(Material::default, |material| material.clone())
        });
        (materials.collect(), notes)
    }
}

/// The file that a material line names: as it stands, with `/` for `\`, in another case, or beside the mesh where it lay in
/// another folder once.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let slashed = name.replace('\\', "/");
    let last = slashed.rsplit('/').next().unwrap_or_default();
    let candidates = [name, slashed.as_str(), last].map(|name| folder.join(name));
    let found = candidates.iter().find(|file| file.is_file());
    found.cloned().or_else(|| candidates.iter().skip(1).find_map(|file| in_any_case(file)))
}

/// A file of the same folder whose name differs in case alone; the first in order of several.
fn in_any_case(file: &Path) -> Option<PathBuf> {
    let wanted = file.file_name()?.to_str()?.to_lowercase();
    let parent = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names =
        std::fs::read_dir(parent).ok()?.take(MOST_NAMES).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let name = names.filter(|name| name.to_lowercase() == wanted).min()?;
    Some(parent.join(name)).filter(|file| file.is_file())
}

fn read(path: &Path, budget: &Budget) -> Result<Vec<Material>, String> {
    // Names in other encodings than UTF-8 are common, and the parser accepts UTF-8 alone.
    let text = nstr_files::read_named(path, budget).and_then(nstr_files::decode_text).map_err(|e| e.to_string())?;
    let text = with_whole_colours(&text);
    let (list, _) = tobj::load_mtl_buf(&mut text.as_bytes()).map_err(|e| nstr_files::shorten(&e.to_string()))?;
    Ok(list.into_iter().map(material).collect())
}

/// The text with three values for each colour: the format lets one stand for all (`Kd 0.8`), which makes the parser panic.
/// Colours without a value are left out.
fn with_whole_colours(text: &str) -> Cow<'_, str> {
    let values = |line: &str| {
        let mut words = line.split_whitespace();
        let is_colour = words.next().is_some_and(|key| ["Ka", "Kd", "Ks", "Ke"].contains(&key));
        is_colour.then(|| (words.clone().count(), words.next_back().map(str::to_owned)))
    };
    if text.lines().filter_map(values).all(|(count, _)| count >= 3) {
        return Cow::Borrowed(text);
    }
    let line = |line: &str| match values(line) {
        Some((0, _)) => String::from("\n"),
        Some((count @ 1..3, Some(last))) => format!("{line} {}\n", [last.as_str(); 2][count - 1..].join(" ")),
        _ => format!("{line}\n"),
    };
    Cow::Owned(text.lines().map(line).collect())
}

fn material(m: tobj::Material) -> Material {
    let named = [
        ("map_Ka", m.ambient_texture),
        ("map_Kd", m.diffuse_texture),
        ("map_Ks", m.specular_texture),
        ("map_Bump", m.normal_texture),
        ("map_Ns", m.shininess_texture),
        ("map_d", m.dissolve_texture),
    ];
    let mut textures: Vec<Texture> =
        named.into_iter().filter_map(|(key, file)| Some(texture(key.into(), file?))).collect();
    let others = m.unknown_param.into_iter().filter(|(key, _)| {
        let key = key.to_ascii_lowercase();
        ["map_", "bump", "norm", "disp", "decal", "refl"].iter().any(|start| key.starts_with(start))
    });
    textures.extend(others.map(|(property, file)| texture(property, file)));
    // The parser's map has no order.
    textures.sort_by(|a, b| a.property.cmp(&b.property));
    Material {
        name: m.name,
        diffuse: m.diffuse.map(|c| c.map(|v| v as f32)),
        opacity: m.dissolve.map(|v| v as f32),
        textures,
    }
}

/// A texture, with `/` between the folders of its name.
fn texture(property: String, file: String) -> Texture {
    Texture { property, file: file.replace('\\', "/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_fewer_values_are_whole() {
        let text = "newmtl a\nKd 0.5\n Ks 0.1 0.2\nKa\nKe 1 2 3\n";
        assert_eq!(with_whole_colours(text), "newmtl a\nKd 0.5 0.5 0.5\n Ks 0.1 0.2 0.2\n\nKe 1 2 3\n");
        assert!(matches!(with_whole_colours("newmtl a\nKd 1 0 0\nNs 1\n"), Cow::Borrowed(_)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mtl");
        std::fs::write(&path, text).unwrap();
        let list = read(&path, &Budget::new(1000)).unwrap();
        assert_eq!(list[0].diffuse, Some([0.5; 3]));
    }
}
