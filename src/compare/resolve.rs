//! Resolution of a recipe's text: defaults, variables, sweeps, `[quick]`, and all checks.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use nstr_files::excerpt;
use nstr_fit::Budget;

use crate::inputs::InputFinder;
use crate::recipe::{Method, Metric, Recipe, RecipeError, Selection};
use crate::recipe_file::{InputEntry, MethodTable, QuickTable, RecipeFile, TimeBudget};

/// Reads a recipe, shortened by its table `[quick]` if `quick`, then by `selection`.
///
/// # Errors
/// Files that cannot be read, and everything that is wrong in them, with file, field and remedy.
pub fn load(path: &Path, quick: bool, selection: &Selection) -> Result<Recipe, RecipeError> {
    let text = nstr_files::read_text(path).map_err(|source| RecipeError::Read { path: path.into(), source })?;
    parse(&text, path, (quick, selection), &|name| std::env::var(name).ok())
}

/// The recipe in `text`, as if read from `path`; `variable` looks up environment variables.
///
/// # Errors
/// Everything that is wrong in the text, with file, field and remedy.
pub fn parse(
    text: &str,
    path: &Path,
    (quick, selection): (bool, &Selection),
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Recipe, RecipeError> {
    let error = |e: toml::de::Error| RecipeError::Parse { path: path.into(), message: e.to_string().trim_end().into() };
    let mut file: RecipeFile = toml::from_str(text).map_err(error)?;
    let resolver = Resolver { path, finder: InputFinder { recipe: path, variable } };
    let short = match (quick, file.quick.take()) {
        (false, _) => QuickTable::default(),
        (true, Some(quick)) => quick,
        (true, None) => return Err(resolver.error("quick", "--quick needs a table [quick] with what it shortens")),
    };
    resolver.resolve(file, short, quick, selection)
}

/// Resolver of one recipe.
struct Resolver<'a> {
    path: &'a Path,
    finder: InputFinder<'a>,
}

impl Resolver<'_> {
    fn error(&self, field: impl fmt::Display, reason: impl fmt::Display) -> RecipeError {
        RecipeError::Field { path: self.path.into(), field: field.to_string(), reason: reason.to_string() }
    }

    fn resolve(
        &self,
        mut file: RecipeFile,
        short: QuickTable,
        quick: bool,
        selection: &Selection,
    ) -> Result<Recipe, RecipeError> {
        if let Some(budget) = selection.budget {
            self.check_budget(&budget.option()[0], budget)?;
        }
        let metrics = self.metrics(&file.metrics)?;
        let reference = self.reference(&file.methods)?;
        self.add_sweeps(&mut file)?;
        let mut methods = Vec::new();
        for entry in &file.methods {
            methods.push(self.method(&file, &short, selection.budget, entry)?);
        }
        let distinct = methods.iter().map(|m| m.name.as_str());
        self.distinct("method", distinct, "methods need different names")?;
        let seeds = selection.seeds.clone().or(short.seeds).unwrap_or(file.seeds);
        if let Some(names) = selection.methods.as_ref().or(short.methods.as_ref()) {
            methods = self.select_methods(methods, names)?;
        }
        let entries = self.entries(&file.inputs, short.inputs, selection.inputs.as_deref())?;
        if seeds.is_empty() {
            return Err(self.error("seeds", "needs at least one seed, for example [0]"));
        }
        self.distinct("seeds", seeds.iter(), "a seed twice tells nothing new")?;
        if entries.is_empty() {
            return Err(self.error("inputs", "needs at least one input"));
        }
        let inputs = entries.iter().map(|e| self.finder.input(e)).collect::<Result<Vec<_>, _>>()?;
        self.distinct("inputs", inputs.iter().map(|i| i.name.as_str()), "give one of them another: { path, name }")?;
        // The reference may have been left out.
        let kept = methods.iter().position(|m| m.name == reference);
        let left_out = kept.is_none().then_some(reference);
        let path = self.path.to_path_buf();
        let (title, question) = (file.title, file.question);
        let (reference, selection) = (kept.unwrap_or(0), selection.clone());
        Ok(Recipe { path, title, question, metrics, inputs, seeds, methods, reference, left_out, quick, selection })
    }

    fn metrics(&self, names: &[String]) -> Result<Vec<Metric>, RecipeError> {
        if names.is_empty() {
            return Err(
                self.error("metrics", "needs at least one metric of `nstr eval --json`, for example [\"psnr\"]")
            );
        }
        let metrics: Vec<Metric> = names
            .iter()
            .map(|n| Metric { name: n.trim_start_matches('-').into(), lower: n.starts_with('-') })
            .collect();
        self.distinct("metrics", metrics.iter().map(|m| m.name.as_str()), "name each once")?;
        Ok(metrics)
    }

    /// Name of the method that others are compared with.
    fn reference(&self, methods: &[MethodTable]) -> Result<String, RecipeError> {
        let mut marked = methods.iter().filter(|m| m.reference);
        match (marked.next(), marked.next(), methods.first()) {
            (Some(one), Some(other), _) => {
                let [one, other] = [one, other].map(|m| excerpt(&m.name));
                let text = format!("`{one}` and `{other}` cannot both be the reference");
                Err(self.error("method.reference", text))
            }
            (Some(one), None, _) | (None, _, Some(one)) => Ok(one.name.clone()),
            (None, _, None) => Err(self.error("method", "needs at least one method: [[method]]")),
        }
    }

    /// Adds the methods that `[[sweep]]` makes.
    fn add_sweeps(&self, file: &mut RecipeFile) -> Result<(), RecipeError> {
        for sweep in std::mem::take(&mut file.sweeps) {
            let at = |field: &str| format!("sweep of {}, {field}", excerpt(&sweep.key));
            let Some(base) = file.methods.iter().find(|m| m.name == sweep.method) else {
                let reason = no_method(&sweep.method, file.methods.iter().map(|m| m.name.as_str()));
                return Err(self.error(at("method"), reason));
            };
            if !sweep.labels.is_empty() && sweep.labels.len() != sweep.values.len() {
                return Err(self.error(at("labels"), "needs one label a value, or none"));
            }
            let mut variants = Vec::new();
            for (i, value) in sweep.values.iter().enumerate() {
                let text = match value {
                    toml::Value::String(text) => text.clone(),
                    toml::Value::Integer(n) => n.to_string(),
                    toml::Value::Float(v) => v.to_string(),
                    toml::Value::Boolean(b) => b.to_string(),
                    _ => return Err(self.error(at("values"), "must be texts, numbers or booleans")),
                };
                let ending = sweep.key.rsplit('.').next().unwrap_or(&sweep.key);
                let label = sweep.labels.get(i).cloned().unwrap_or_else(|| format!("{ending}={text}"));
                variants.push(base.variant(&label, format!("{}={text}", sweep.key)));
            }
            file.methods.extend(variants);
        }
        Ok(())
    }

    fn method(
        &self,
        file: &RecipeFile,
        short: &QuickTable,
        selected: Option<Budget>,
        entry: &MethodTable,
    ) -> Result<Method, RecipeError> {
        let at = |field: &str| format!("method `{}`, {field}", excerpt(&entry.name));
        let shortened = self.budget("quick", short.steps, short.time)?;
        let own = self.budget(&at("budget"), entry.steps, entry.time)?;
        let common = self.budget("steps and time", file.steps, file.time)?;
        let Some(budget) = selected.or(shortened).or(own).or(common) else {
            return Err(self.error(at("budget"), "is missing; give steps or time, here or for all methods"));
        };
        let parameters = entry.parameters.or(file.parameters);
        if parameters.is_none() && !entry.fill.is_empty() {
            return Err(self.error(at("fill"), "needs `parameters`, the number to fill up to"));
        }
        let overrides = file.overrides().then(&entry.overrides()).then(&short.overrides());
        let method = Method {
            name: entry.name.clone(),
            preset: entry.preset.clone(),
            overrides: self.finder.expand_options(&overrides, at)?,
            budget,
            parameters,
            fill: entry.fill.clone(),
        };
        // What is filled would be set twice, and the first silently lost.
        let same = |a: &str, b: &str| a == b || a.ends_with(&format!(".{b}")) || b.ends_with(&format!(".{a}"));
        for key in &method.fill {
            if let Some(text) =
                method.overrides.set.iter().find(|s| s.split('=').next().is_some_and(|k| same(k.trim(), key)))
            {
                let (key, text) = (excerpt(key), excerpt(text));
                return Err(self.error(at("fill"), format!("{key} is filled, so it cannot be set too (`{text}`)")));
            }
        }
        Ok(method)
    }

    fn budget(&self, field: &str, steps: Option<u64>, time: Option<TimeBudget>) -> Result<Option<Budget>, RecipeError> {
        match (steps, time) {
            (Some(_), Some(_)) => Err(self.error(field, "steps and time exclude each other; give one of them")),
            (Some(steps), _) => self.check_budget(field, Budget::Steps(steps)).map(Some),
            (_, Some(TimeBudget(time))) => self.check_budget(field, Budget::Time(time)).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Refuses an empty budget.
    fn check_budget(&self, field: &str, budget: Budget) -> Result<Budget, RecipeError> {
        match budget {
            Budget::Steps(0) | Budget::Time(Duration::ZERO) => Err(self.error(field, "must be above 0")),
            budget => Ok(budget),
        }
    }

    /// The methods of these names, in their own order.
    fn select_methods(&self, methods: Vec<Method>, names: &[String]) -> Result<Vec<Method>, RecipeError> {
        if let Some(name) = names.iter().find(|name| methods.iter().all(|m| m.name != **name)) {
            let reason = no_method(name, methods.iter().map(|m| m.name.as_str()));
            return Err(self.error("methods", reason));
        }
        let few: Vec<Method> = methods.into_iter().filter(|m| names.contains(&m.name)).collect();
        if few.is_empty() {
            return Err(self.error("methods", "needs at least one method"));
        }
        Ok(few)
    }

    /// The entries that are compared: those selected, those of `[quick]`, or all.
    fn entries(
        &self,
        all: &[InputEntry],
        short: Option<Vec<InputEntry>>,
        selected: Option<&[String]>,
    ) -> Result<Vec<InputEntry>, RecipeError> {
        let short = short.map(|few| self.finder.quick_subset(all, few)).transpose()?;
        let Some(selected) = selected else { return Ok(short.unwrap_or_else(|| all.to_vec())) };
        let mut entries = Vec::new();
        for text in selected {
            for entry in self.finder.select(&[short.as_deref().unwrap_or(&[]), all], text)? {
                // By name and by path, perhaps.
                if !entries.contains(&entry) {
                    entries.push(entry);
                }
            }
        }
        Ok(entries)
    }

    /// Refuses names that are the same, or would be the same in file names.
    fn distinct<T: fmt::Display>(
        &self,
        field: &str,
        names: impl Iterator<Item = T>,
        remedy: &str,
    ) -> Result<(), RecipeError> {
        let mut seen = HashSet::new();
        for name in names {
            if !seen.insert(slug(&name.to_string())) {
                let name = excerpt(&name.to_string());
                return Err(self.error(field, format!("`{name}` is there twice; {remedy}")));
            }
        }
        Ok(())
    }
}

/// Names that a message lists.
const LISTED: usize = 20;

/// The first names, separated by commas.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names = names.map(excerpt);
    let first: Vec<String> = names.by_ref().take(LISTED).collect();
    first.join(", ") + if names.next().is_some() { ", …" } else { "" }
}

fn no_method<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> String {
    format!("there is no method `{}`; there are {}", excerpt(name), listed(all))
}

/// A name as part of a file name.
pub fn slug(name: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || "._=+-".contains(c) { c } else { '-' };
    let text: String = name.trim().chars().map(keep).collect();
    // Neither hidden nor a way out of the folder.
    if text.starts_with('.') { text.replacen('.', "_", 1) } else { text }
}
