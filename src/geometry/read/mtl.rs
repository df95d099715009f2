//! Material files of OBJ, through `tobj`.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::mesh::{Material, NO_MATERIAL, Texture};

/// Largest material file that is read, bytes.
const MOST_BYTES: u64 = 64 << 20;

/// Material libraries and the materials that an OBJ file uses, in the order of their first use.
#[derive(Default)]
pub(super) struct Materials {
    libraries: Vec<PathBuf>,
    names: Vec<String>,
    index: HashMap<String, u16>,
}

impl Materials {
    /// Notes the files of a line `mtllib`; returns a note where one is absent.
    pub fn library(&mut self, line: &[u8], folder: &Path) -> Option<String> {
        let text = String::from_utf8_lossy(line);
        let name = text.trim_start().strip_prefix("mtllib").unwrap_or_default().trim();
        // Old exporters name several files in one line, newer ones a file with spaces.
        let whole = folder.join(name);
        let files =
            if whole.is_file() { vec![whole] } else { name.split_whitespace().map(|n| folder.join(n)).collect() };
        let (there, absent): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.is_file());
        for file in there {
            if !self.libraries.contains(&file) {
                self.libraries.push(file);
            }
        }
        (!absent.is_empty()).then(|| format!("material file {name} is absent (not needed for the shape)"))
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
        for library in &self.libraries {
            match read(library) {
                Ok(list) => list.into_iter().for_each(|m| _ = found.entry(m.name.clone()).or_insert(m)),
                Err(reason) => {
                    let name = library.file_name().unwrap_or(library.as_os_str()).to_string_lossy();
                    notes.push(format!("material file {name} is ignored: {reason}"));
                }
            }
        }
        let missing: Vec<&str> = self.names.iter().filter(|n| !found.contains_key(*n)).map(String::as_str).collect();
        // An absent library has its own note.
        if let ([first, ..], false) = (&missing[..], found.is_empty()) {
            notes.push(format!("{} materials are not in the material files (first: {first})", missing.len()));
        }
        let material = |name: String| found.remove(&name).unwrap_or_else(|| Material { name, ..Material::default() });
        (self.names.into_iter().map(material).collect(), notes)
    }
}

fn read(path: &Path) -> Result<Vec<Material>, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err("it is larger than 64 MiB".into());
    }
    // Names in other encodings than UTF-8 are common, and the parser accepts UTF-8 alone.
    let text = String::from_utf8_lossy(&bytes);
    let (list, _) =
        tobj::load_mtl_buf(&mut text.trim_start_matches('\u{feff}').as_bytes()).map_err(|e| e.to_string())?;
    Ok(list.into_iter().map(material).collect())
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
        named.into_iter().filter_map(|(key, file)| Some(Texture { property: key.into(), file: file? })).collect();
    let others = m.unknown_param.into_iter().filter(|(key, _)| {
        let key = key.to_ascii_lowercase();
        ["map_", "bump", "norm", "disp", "decal", "refl"].iter().any(|start| key.starts_with(start))
    });
    textures.extend(others.map(|(property, file)| Texture { property, file }));
    // The parser's map has no order.
    textures.sort_by(|a, b| a.property.cmp(&b.property));
    Material {
        name: m.name,
        diffuse: m.diffuse.map(|c| c.map(|v| v as f32)),
        opacity: m.dissolve.map(|v| v as f32),
        textures,
    }
}
