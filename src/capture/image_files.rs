//! Files on disk for the names in a capture's file: as written, in another case, by stem, moved, or by their order.
//!
//! A capture that was copied from another machine names its images as that machine had them. A name is looked up as it is
//! written first; only where nothing is there, a likeness decides, and a note says which. Two names never share a file by
//! likeness: they are missing then.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nstr_files::excerpt;

use crate::frame_record::FrameRecord;

/// Extensions of images, in the order in which they are tried.
pub(super) const EXTENSIONS: [&str; 7] = ["png", "jpg", "jpeg", "exr", "tif", "tiff", "webp"];
/// instant-ngp's masks lie beside the images under their name after this.
pub(super) const DYNAMIC_MASK: &str = "dynamic_mask_";
/// Most components at the end of a name that a moved folder may still have.
const MOST_COMPONENTS: usize = 8;
/// Factors of reduced folders that are looked for.
const REDUCED: std::ops::RangeInclusive<u32> = 2..=16;

/// Likeness by which a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    /// The name itself, or with an extension where it has none.
    Exact,
    /// Upper and lower case differ.
    Case,
    /// The extension differs.
    Stem,
    /// The last parts of the path exist here.
    Moved,
    /// As many files in the same order.
    Order,
}

/// Names in a folder by their lower-case form.
#[derive(Default)]
struct Listing {
    files: HashMap<String, Vec<String>>,
    /// By lower-case stem, images alone.
    stems: HashMap<String, Vec<String>>,
    folders: HashMap<String, Vec<String>>,
}

impl Listing {
    /// Folders that cannot be read count as empty: what is missing there is reported as missing.
    fn read(folder: &Path) -> Self {
        let mut listing = Self::default();
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
            let follow = || std::fs::metadata(entry.path()).map(|m| (m.is_file(), m.is_dir())).unwrap_or_default();
            let (is_file, is_folder) = if kind.is_symlink() { follow() } else { (kind.is_file(), kind.is_dir()) };
            let lower = name.to_lowercase();
            if is_folder {
                listing.folders.entry(lower).or_default().push(name);
            } else if is_file {
                if let Some((stem, _)) = split_extension(&lower) {
                    listing.stems.entry(stem.into()).or_default().push(name.clone());
                }
                listing.files.entry(lower).or_default().push(name);
            }
        }
        listing
    }

    /// The image of a stem; of several the one whose extension is tried first.
    fn of_stem(&self, stem: &str) -> Option<&str> {
        let rank = |name: &str| {
            let extension = name.rsplit('.').next().unwrap_or_default();
            EXTENSIONS.iter().position(|e| e.eq_ignore_ascii_case(extension))
        };
        let all = self.stems.get(stem)?.iter().map(String::as_str);
        all.map(|name| (rank(name), name)).min().map(|best| best.1)
    }
}

/// Stem and extension of a name that has the extension of an image.
fn split_extension(name: &str) -> Option<(&str, &str)> {
    let (stem, extension) = name.rsplit_once('.')?;
    EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(extension)).then_some((stem, extension))
}

/// The stem of a name with any extension; `r_0.1` has none.
fn stem(name: &str) -> &str {
    let is_extension = |e: &str| (1..=4).contains(&e.len()) && e.starts_with(|c: char| c.is_ascii_alphabetic());
    name.rsplit_once('.').filter(|(stem, e)| !stem.is_empty() && is_extension(e)).map_or(name, |(stem, _)| stem)
}

/// Lookup of files by name; every folder is listed once.
#[derive(Default)]
pub(super) struct ImageFiles {
    listings: RefCell<HashMap<PathBuf, Rc<Listing>>>,
}

impl ImageFiles {
    fn listing(&self, folder: &Path) -> Rc<Listing> {
        if let Some(known) = self.listings.borrow().get(folder) {
            return known.clone();
        }
        let listing = Rc::new(Listing::read(folder));
        self.listings.borrow_mut().insert(folder.into(), listing.clone());
        listing
    }

    /// The regular file that `name` means below `folder`, and how it was found.
    pub fn find(&self, folder: &Path, name: &str) -> Option<(PathBuf, Likeness)> {
        // Captures made on Windows have backslashes.
        let name = name.replace('\\', "/");
        let parts: Vec<&str> = name.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        if parts.is_empty() {
            return None;
        }
        if let Some(found) = exact(&folder.join(&name)) {
            return Some((found, Likeness::Exact));
        }
        // Folders above are taken as they are written.
        let above = parts.iter().take_while(|p| **p == "..").count();
        let (folder, parts) = (folder.join("../".repeat(above)), &parts[above..]);
        if parts.is_empty() || parts.contains(&"..") {
            return None;
        }
        let folder = folder.as_path();
        let is_absolute = name.starts_with('/') || parts[0].ends_with(':');
        if !is_absolute && let Some(found) = self.alike(folder, parts) {
            return Some(found);
        }
        // Another machine's path: its longest end that exists here.
        let first = parts.len().saturating_sub(MOST_COMPONENTS).max(usize::from(!is_absolute));
        let found = (first..parts.len()).find_map(|i| self.alike(folder, &parts[i..]));
        let found = found.or_else(|| self.alike(&folder.join("images"), &parts[parts.len() - 1..]));
        found.map(|(path, _)| (path, Likeness::Moved))
    }

    /// The file of a name in one folder, whatever its case and extension.
    pub fn in_folder(&self, folder: &Path, name: &str) -> Option<PathBuf> {
        self.alike(folder, &[name]).map(|found| found.0)
    }

    /// The file at `parts` below `folder`, whatever the case of the parts and the extension of the last.
    pub fn below(&self, folder: &Path, parts: &[&str]) -> Option<PathBuf> {
        self.alike(folder, parts).map(|found| found.0)
    }

    fn alike(&self, folder: &Path, parts: &[&str]) -> Option<(PathBuf, Likeness)> {
        let (last, folders) = parts.split_last()?;
        let mut at = folder.to_path_buf();
        let mut likeness = Likeness::Exact;
        for part in folders {
            let plain = at.join(part);
            if plain.is_dir() {
                at = plain;
                continue;
            }
            match self.listing(&at).folders.get(&part.to_lowercase())?.as_slice() {
                [one] => at.push(one),
                _ => return None,
            }
            likeness = Likeness::Case;
        }
        let plain = at.join(last);
        if plain.is_file() {
            return Some((plain, likeness));
        }
        let listing = self.listing(&at);
        let lower = last.to_lowercase();
        let one = |name: &str| listing.files.get(name).filter(|all| all.len() == 1).map(|all| &all[0]);
        if let Some(name) = one(&lower).or_else(|| EXTENSIONS.iter().find_map(|e| one(&format!("{lower}.{e}")))) {
            // A name without its extension is written as it is.
            let likeness = if name.starts_with(last) { likeness } else { Likeness::Case };
            return Some((at.join(name), likeness));
        }
        listing.of_stem(stem(&lower)).map(|name| (at.join(name), Likeness::Stem))
    }

    /// Looks up the image of every frame below `folder`; where none is found, in a reduced folder (`images_2`) beside the
    /// one that is named. Returns notes on what was found by likeness. `source` is the capture's file.
    pub fn locate(&self, records: &mut [FrameRecord], folder: &Path, source: &Path) -> Vec<String> {
        let mut found: Vec<Option<(PathBuf, Likeness)>> = records.iter().map(|r| self.find(folder, &r.name)).collect();
        part_shared(records, &mut found);
        let mut notes = Vec::new();
        if found.iter().all(Option::is_none)
            && let Some((reduced, factor, there)) = self.in_reduced(records, folder)
        {
            let name = reduced.file_name().unwrap_or(reduced.as_os_str()).to_string_lossy().into_owned();
            notes.push(format!("the images are not where the file says: those in {name} are used"));
            records.iter_mut().for_each(|r| r.shrunk = factor);
            found = there.into_iter().map(Some).collect();
        }
        notes.extend(self.report(records, &found, folder, source));
        for (record, found) in records.iter_mut().zip(found) {
            if let Some((path, _)) = found {
                record.image = path;
            }
        }
        notes
    }

    /// Notes on files that were found by likeness, one a kind, and on names that are there twice.
    fn report(
        &self,
        records: &[FrameRecord],
        found: &[Option<(PathBuf, Likeness)>],
        folder: &Path,
        source: &Path,
    ) -> Vec<String> {
        let file = source.file_name().unwrap_or(source.as_os_str()).to_string_lossy();
        let mut kinds: BTreeMap<Likeness, (usize, String)> = BTreeMap::new();
        for (record, found) in records.iter().zip(found) {
            let Some((path, likeness)) = found else { continue };
            let shown = || path.strip_prefix(folder).unwrap_or(path).display().to_string();
            let example = || format!("{} is {}", excerpt(&record.name), excerpt(&shown()));
            kinds.entry(*likeness).or_insert_with(|| (0, example())).0 += 1;
        }
        kinds.remove(&Likeness::Exact);
        let mut notes: Vec<String> = kinds
            .into_iter()
            .map(|(likeness, (count, example))| {
                let how = match likeness {
                    Likeness::Exact | Likeness::Case => "but for upper and lower case",
                    Likeness::Stem => "by their names without extension",
                    Likeness::Moved => "by the last parts of their paths",
                    Likeness::Order => "by their number and order alone",
                };
                format!("{file}: {count} of {} images were found {how}: {example}", records.len())
            })
            .collect();
        let mut names = HashSet::new();
        let again = records.iter().filter(|r| !names.insert(r.name.as_str())).count();
        if again > 0 {
            notes.push(format!("{file}: {again} frames name an image that an earlier frame names too"));
        }
        notes
    }

    /// A reduced folder that has the images of all frames: the folder, its factor and the files.
    #[allow(clippy::type_complexity, reason = "used once")]
    fn in_reduced(&self, records: &[FrameRecord], folder: &Path) -> Option<(PathBuf, u32, Vec<(PathBuf, Likeness)>)> {
        let named = records.first()?.name.replace('\\', "/");
        let parent = named.rsplit('/').nth(1).filter(|p| !p.is_empty() && *p != "." && *p != "..");
        let names: Vec<String> = records.iter().map(|r| last_part(&r.name)).collect();
        let mut tried = HashSet::new();
        for base in [parent.unwrap_or("images"), "images"].into_iter().filter(|b| tried.insert(*b)) {
            for factor in REDUCED {
                let reduced = folder.join(format!("{base}_{factor}"));
                if reduced.is_dir()
                    && let Some(files) = self.all_in(&reduced, &names)
                {
                    return Some((reduced, factor, files));
                }
            }
        }
        None
    }

    /// Files of a folder for all of the names: by name, else by their order if there are as many.
    pub fn all_in(&self, folder: &Path, names: &[String]) -> Option<Vec<(PathBuf, Likeness)>> {
        let by_name: Option<Vec<_>> = names.iter().map(|n| self.alike(folder, &[n.as_str()])).collect();
        by_name.filter(|found| are_distinct(names, found)).or_else(|| {
            let files = images_in(folder).ok()?;
            let files: Vec<String> = files.iter().filter_map(|f| Some(f.file_name()?.to_str()?.to_string())).collect();
            let paired = pair_by_order(names, &files)?;
            Some(paired.into_iter().map(|name| (folder.join(name), Likeness::Order)).collect())
        })
    }
}

/// `path`, or `path` with an extension added, where that is a regular file.
fn exact(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.into());
    }
    let with = |extension: String| {
        let mut name = path.as_os_str().to_os_string();
        name.push(".");
        name.push(extension);
        PathBuf::from(name)
    };
    let lower = EXTENSIONS.iter().map(|e| e.to_string());
    lower.chain(EXTENSIONS.iter().map(|e| e.to_uppercase())).map(with).find(|p| p.is_file())
}

/// The part of a path after the last separator.
fn last_part(name: &str) -> String {
    name.rsplit(['/', '\\']).next().unwrap_or_default().to_string()
}

/// True where different names have different files.
fn are_distinct(names: &[String], found: &[(PathBuf, Likeness)]) -> bool {
    let mut of: HashMap<&Path, &str> = HashMap::new();
    names.iter().zip(found).all(|(name, (path, _))| *of.entry(path).or_insert(name) == name.as_str())
}

/// Takes away files that frames of different names would share by likeness alone.
fn part_shared(records: &[FrameRecord], found: &mut [Option<(PathBuf, Likeness)>]) {
    let mut names: HashMap<PathBuf, HashSet<&str>> = HashMap::new();
    for (record, found) in records.iter().zip(found.iter()) {
        if let Some((path, _)) = found {
            names.entry(path.clone()).or_default().insert(&record.name);
        }
    }
    for entry in found {
        if entry.as_ref().is_some_and(|(path, how)| *how != Likeness::Exact && names[path].len() > 1) {
            *entry = None;
        }
    }
}

/// The file of each name, where both are as many and come in the same order whether digits count as numbers or not.
fn pair_by_order(names: &[String], files: &[String]) -> Option<Vec<String>> {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    sorted.dedup();
    let mut files: Vec<&String> = files.iter().collect();
    files.sort();
    let unambiguous = |list: &[&String]| list.windows(2).all(|w| natural(w[0]) < natural(w[1]));
    if sorted.len() != files.len() || files.is_empty() || !unambiguous(&sorted) || !unambiguous(&files) {
        return None;
    }
    names.iter().map(|n| sorted.binary_search(&n).ok().map(|i| files[i].clone())).collect()
}

/// A name in pieces, of which numbers compare by their value.
fn natural(name: &str) -> Vec<(String, Option<(usize, String)>)> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (number, tail) = tail.split_at(end);
        let plain = number.trim_start_matches('0');
        pieces.push((text.to_string(), (!number.is_empty()).then(|| (plain.len(), plain.to_string()))));
        rest = tail;
    }
    pieces
}

/// Images in a folder, sorted by name; instant-ngp's masks are none.
pub(super) fn images_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if split_extension(name).is_some() && !name.starts_with(DYNAMIC_MASK) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(folder: &Path, names: &[&str]) {
        for name in names {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
    }

    #[test]
    fn names_are_found_by_likeness() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        touch(at, &["r_0.1.png", "a/b.JPG", "images/f_000.JPG", "images/g.png", "images/g.exr", "images/x.1.png"]);
        for (name, file, how) in [
            ("./r_0.1", "./r_0.1.png", Likeness::Exact),
            (r"a\b", "a/b.JPG", Likeness::Exact),
            ("images/f_000.jpg", "images/f_000.JPG", Likeness::Case),
            ("Images/F_000", "images/f_000.JPG", Likeness::Case),
            ("images/f_000.png", "images/f_000.JPG", Likeness::Stem),
            ("images/g.heic", "images/g.png", Likeness::Stem),
            ("/home/a/scene/images/f_000.JPG", "images/f_000.JPG", Likeness::Moved),
            (r"C:\Users\a\scene\Images\f_000.jpg", "images/f_000.JPG", Likeness::Moved),
            ("data/scene/images/g.png", "images/g.png", Likeness::Moved),
            ("g.png", "images/g.png", Likeness::Moved),
        ] {
            let found = ImageFiles::default().find(at, name);
            if at.join("IMAGES").is_dir() {
                assert!(found.is_some(), "{name}: on a file system that ignores case");
                continue;
            }
            assert_eq!(found, Some((at.join(file), how)), "{name}");
        }
        for name in ["no", "images/x.2", "images/h.png", "../q.png", "/", "", "a", "/dev/zero"] {
            assert_eq!(ImageFiles::default().find(at, name), None, "{name}");
        }
    }

    #[test]
    fn two_files_that_differ_in_case_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        touch(dir.path(), &["a.png", "A.png"]);
        if std::fs::read_dir(dir.path()).unwrap().count() < 2 {
            return;
        }
        let files = ImageFiles::default();
        assert_eq!(files.find(dir.path(), "A.png"), Some((dir.path().join("A.png"), Likeness::Exact)));
        // No likeness is better than another here, so the one that sorts first is taken for the stem.
        assert_eq!(files.alike(dir.path(), &["a.PNG"]).map(|f| f.1), Some(Likeness::Stem));
    }

    #[test]
    fn order_counts_where_it_is_beyond_doubt() {
        let list = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        let names = list(&["DSC_09.JPG", "DSC_07.JPG", "DSC_10.JPG", "DSC_07.JPG"]);
        let files = list(&["image000.png", "image002.png", "image001.png"]);
        let paired = pair_by_order(&names, &files).unwrap();
        assert_eq!(paired, ["image001.png", "image000.png", "image002.png", "image000.png"]);
        assert_eq!(pair_by_order(&names, &files[..2]), None);
        // 2 after 10 by letters, before it by number: nobody knows which order the files were made in.
        assert_eq!(pair_by_order(&list(&["i2.png", "i10.png"]), &list(&["a.png", "b.png"])), None);
        assert_eq!(pair_by_order(&[], &[]), None);
    }

    #[test]
    fn images_in_a_folder_leave_masks_out() {
        let dir = tempfile::tempdir().unwrap();
        touch(dir.path(), &["b.PNG", "a.jpg", "c.txt", "dynamic_mask_a.png", "d.tif/x"]);
        let names: Vec<PathBuf> = images_in(dir.path()).unwrap();
        assert_eq!(names, [dir.path().join("a.jpg"), dir.path().join("b.PNG")]);
    }
}
