//! The inputs of a recipe: how they are written, where they are, and which of them are chosen.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::recipe::{Input, RecipeError};
use nstr_signal::Signal;

/// Gives environment variables.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// An input as it is written: a path, or a table with one.
#[derive(Clone, PartialEq)]
pub struct Entry {
    path: String,
    name: Option<String>,
    set: Vec<String>,
    fit: Vec<String>,
    eval: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    path: String,
    name: Option<String>,
    #[serde(default)]
    set: Vec<String>,
    #[serde(default)]
    fit: Vec<String>,
    #[serde(default)]
    eval: Vec<String>,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Entry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, or a table { path = \"…\", name, set, fit, eval }")
            }
            fn visit_str<E>(self, path: &str) -> Result<Entry, E> {
                Ok(Entry::at(path))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
                let t = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Entry { path: t.path, name: t.name, set: t.set, fit: t.fit, eval: t.eval })
            }
        }
        from.deserialize_any(Either)
    }
}

impl Entry {
    fn at(path: &str) -> Self {
        Self { path: path.into(), name: None, set: vec![], fit: vec![], eval: vec![] }
    }

    /// Its name in tables and files.
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| stem(&self.path))
    }

    /// The text of an entry that says nothing else.
    fn bare(&self) -> Option<&str> {
        let more = self.name.is_some() || [&self.set, &self.fit, &self.eval].iter().any(|list| !list.is_empty());
        (!more).then_some(&self.path)
    }
}

/// Finds the inputs of a recipe.
pub struct Finder<'a> {
    /// The recipe's file.
    pub recipe: &'a Path,
    /// Environment variables.
    pub variable: Variables<'a>,
}

impl Finder<'_> {
    fn error(&self, text: &str, reason: impl fmt::Display) -> RecipeError {
        self.at(&format!("inputs, `{text}`"), reason)
    }

    fn at(&self, field: &str, reason: impl fmt::Display) -> RecipeError {
        RecipeError::Field { path: self.recipe.into(), field: field.into(), reason: reason.to_string() }
    }

    /// The inputs of a shortened comparison: those of `all` that are meant, and new ones.
    ///
    /// # Errors
    /// Those of [`Self::asked`].
    pub fn shortened(&self, all: &[Entry], few: Vec<Entry>) -> Result<Vec<Entry>, RecipeError> {
        let mut chosen = Vec::new();
        for entry in few {
            match entry.bare() {
                Some(text) => chosen.extend(self.asked(&[all], text)?),
                None => chosen.push(entry),
            }
        }
        Ok(chosen)
    }

    /// The entries that `text` means: those of this name; else those of this path, however it is written; else those of
    /// a file so called; from the first list that has any. Where none is, a new one at this path.
    ///
    /// # Errors
    /// Where there is no such path either.
    pub fn asked(&self, lists: &[&[Entry]], text: &str) -> Result<Vec<Entry>, RecipeError> {
        let place = self.place(text);
        // Entries whose variables are not set are not meant.
        let here = |entry: &Entry| place.is_ok() && self.place(&entry.path) == place;
        let ways: [&dyn Fn(&Entry) -> bool; 3] = [&|e| e.name() == text, &here, &|e| stem(&e.path) == text];
        for (way, list) in ways.iter().flat_map(|way| lists.iter().map(move |list| (way, list))) {
            let found: Vec<Entry> = list.iter().filter(|e| way(e)).cloned().collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let Err(reason) = place else { return Ok(vec![Entry::at(text)]) };
        let mut names: Vec<String> = Vec::new();
        for name in lists.iter().flat_map(|list| list.iter()).map(Entry::name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Err(self.error(text, format!("{reason}; the recipe's inputs are {}", names.join(", "))))
    }

    /// The input itself.
    ///
    /// # Errors
    /// Where it isn't there, has no name, or is a picture or sound that can't be read.
    pub fn input(&self, entry: &Entry) -> Result<Input, RecipeError> {
        let path = self.find(&entry.path).map_err(|reason| self.error(&entry.path, reason))?;
        let name = entry.name();
        if name.is_empty() {
            return Err(self.error(&entry.path, "needs a name: { path, name }"));
        }
        let signal = match Signal::is_named(&path) && path.exists() {
            true => Some(Signal::read(&path).map_err(|e| self.error(&name, e))?),
            false => None,
        };
        let options = |list: &[String]| self.options(&format!("inputs, `{name}`"), list);
        let (set, fit, eval) = (entry.set.clone(), options(&entry.fit)?, options(&entry.eval)?);
        Ok(Input { name, path, set, fit, eval, signal })
    }

    /// Options with their variables expanded.
    ///
    /// # Errors
    /// Variables that are not set, at `field`.
    pub fn options(&self, field: &str, list: &[String]) -> Result<Vec<String>, RecipeError> {
        let expanded = |text: &String| expand(text, self.variable).map_err(|reason| self.at(field, reason));
        list.iter().map(expanded).collect()
    }

    /// The path of an input, the same however it is written; why there is none.
    fn place(&self, text: &str) -> Result<PathBuf, String> {
        self.find(text)?.canonicalize().map_err(|e| e.to_string())
    }

    /// The path of an input: variables expanded, relative to the recipe's folder or else to the working directory; why there
    /// is none.
    fn find(&self, text: &str) -> Result<PathBuf, String> {
        let expanded = expand(text, self.variable)?;
        let beside = self.recipe.parent().unwrap_or(Path::new("")).join(&expanded);
        // Joining an absolute path gives that path.
        let here = PathBuf::from(&expanded);
        if beside.exists() {
            return Ok(beside);
        }
        if here.exists() {
            return Ok(here);
        }
        let (beside, shown) = (beside.display(), here.display());
        Err(match self.recipe.parent().is_some_and(|p| !p.as_os_str().is_empty()) {
            _ if here.is_absolute() => format!("there is no {shown}"),
            true => format!("there is neither {beside} nor {shown} in the working directory"),
            false => format!("there is no {shown} in the working directory"),
        })
    }
}

/// `$NAME` and `${NAME}` replaced; says which is not set.
fn expand(text: &str, variable: Variables<'_>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out += before;
        let (name, next) = match after.strip_prefix('{').and_then(|a| a.split_once('}')) {
            Some(braced) => braced,
            None => after.split_at(after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len())),
        };
        out += &variable(name).ok_or_else(|| {
            format!("the environment variable ${name} is not set; set it to the file or folder that is meant")
        })?;
        rest = next;
    }
    Ok(out + rest)
}

/// The usual name of an input: its file's without the ending, the folder's for a `transforms.json`.
fn stem(path: &str) -> String {
    let path = Path::new(path);
    let name = path.file_stem().filter(|s| *s != "transforms").or_else(|| path.parent()?.file_name());
    name.map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
