//! Inputs of a recipe: their files, and those that a selection names.

use std::fmt;
use std::path::{Path, PathBuf};

use nstr_files::{excerpt, shorten};
use nstr_pipeline::fit::input_stem;
use nstr_signal::Signal;

use crate::recipe::{RecipeError, RecipeInput, RunOverrides};
use crate::recipe_file::InputEntry;
use crate::resolve::listed;

/// Lookup of environment variables.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

impl InputEntry {
    /// Name in tables and files.
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| stem(&self.path))
    }
}

/// Finder of a recipe's inputs.
pub(crate) struct InputFinder<'a> {
    /// The recipe's file.
    pub recipe: &'a Path,
    /// Lookup of environment variables.
    pub variable: Variables<'a>,
}

impl InputFinder<'_> {
    fn error(&self, text: &str, reason: impl fmt::Display) -> RecipeError {
        self.at(&format!("inputs, `{}`", excerpt(text)), reason)
    }

    fn at(&self, field: &str, reason: impl fmt::Display) -> RecipeError {
        RecipeError::Field { path: self.recipe.into(), field: field.into(), reason: reason.to_string() }
    }

    /// The inputs of a shortened comparison: those of `all` that `few` names, and new ones.
    ///
    /// # Errors
    /// Those of [`Self::select`].
    pub fn quick_subset(&self, all: &[InputEntry], few: Vec<InputEntry>) -> Result<Vec<InputEntry>, RecipeError> {
        let mut chosen = Vec::new();
        for entry in few {
            match entry.bare_path() {
                Some(text) => chosen.extend(self.select(&[all], text)?),
                None => chosen.push(entry),
            }
        }
        Ok(chosen)
    }

    /// The entries that `text` names, from the first list that has any: those of this name; else those of this path, however
    /// it is written; else those whose file has this name. Where there are none, a new one at this path.
    ///
    /// # Errors
    /// Texts that are not a path either.
    pub fn select(&self, lists: &[&[InputEntry]], text: &str) -> Result<Vec<InputEntry>, RecipeError> {
        let place = self.place(text);
        // Entries whose variables are not set are not meant.
        let here = |entry: &InputEntry| place.is_ok() && self.place(&entry.path) == place;
        let ways: [&dyn Fn(&InputEntry) -> bool; 3] = [&|e| e.name() == text, &here, &|e| stem(&e.path) == text];
        for (way, list) in ways.iter().flat_map(|way| lists.iter().map(move |list| (way, list))) {
            let found: Vec<InputEntry> = list.iter().filter(|e| way(e)).cloned().collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let Err(reason) = place else { return Ok(vec![InputEntry::at(text)]) };
        let mut names: Vec<String> = Vec::new();
        for name in lists.iter().flat_map(|list| list.iter()).map(InputEntry::name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Err(self.error(text, format!("{reason}; the recipe's inputs are {}", listed(names.iter().map(String::as_str)))))
    }

    /// The input of an entry.
    ///
    /// # Errors
    /// Files that do not exist, entries without a name, pictures and sounds that cannot be read.
    pub fn input(&self, entry: &InputEntry) -> Result<RecipeInput, RecipeError> {
        let path = self.find(&entry.path).map_err(|reason| self.error(&entry.path, reason))?;
        let name = entry.name();
        if name.is_empty() {
            return Err(self.error(&entry.path, "needs a name: { path, name }"));
        }
        let signal = match Signal::is_named(&path) && path.exists() {
            true => Some(Signal::read(&path).map_err(|e| self.error(&name, e))?),
            false => None,
        };
        let overrides = self.expand_options(&entry.overrides, |_| format!("inputs, `{}`", excerpt(&name)))?;
        Ok(RecipeInput { name, path, overrides, signal })
    }

    /// Overrides whose options of fit and eval have their variables expanded; `field` names the list `fit` or `eval`.
    ///
    /// # Errors
    /// Variables that are not set.
    pub fn expand_options(
        &self,
        overrides: &RunOverrides,
        field: impl Fn(&str) -> String,
    ) -> Result<RunOverrides, RecipeError> {
        let expanded = |list: &[String], name: &str| -> Result<Vec<String>, RecipeError> {
            let one = |text: &String| expand(text, self.variable).map_err(|reason| self.at(&field(name), reason));
            list.iter().map(one).collect()
        };
        let (fit, eval) = (expanded(&overrides.fit, "fit")?, expanded(&overrides.eval, "eval")?);
        Ok(RunOverrides { set: overrides.set.clone(), fit, eval })
    }

    /// The canonical path of an input, or the reason why there is none.
    fn place(&self, text: &str) -> Result<PathBuf, String> {
        self.find(text)?.canonicalize().map_err(|e| e.to_string())
    }

    /// The path of an input, or the reason why there is none: variables expanded, relative to the recipe's folder or else to
    /// the working directory.
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
        let [beside, shown] = [&beside, &here].map(|path| shorten(&path.display().to_string()));
        Err(match self.recipe.parent().is_some_and(|p| !p.as_os_str().is_empty()) {
            _ if here.is_absolute() => format!("there is no {shown}"),
            true => format!("there is neither {beside} nor {shown} in the working directory"),
            false => format!("there is no {shown} in the working directory"),
        })
    }
}

/// Replaces `$NAME` and `${NAME}`, or says which is not set.
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
            let name = excerpt(name);
            format!("the environment variable ${name} is not set; set it to the file or folder that is meant")
        })?;
        rest = next;
    }
    Ok(out + rest)
}

/// Default name of an input: its file's without the ending, the folder's for a `transforms.json`.
fn stem(path: &str) -> String {
    input_stem(Path::new(path)).unwrap_or_default()
}
