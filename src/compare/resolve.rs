//! From the text of a recipe to the recipe: defaults, variables, variations, `[quick]`, and everything that can be wrong.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::inputs::{Entry, Finder, Variables};
use crate::recipe::{Method, Metric, Recipe, RecipeError, Selection};
use nstr_fit::Budget;

/// A recipe as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    #[serde(default)]
    question: String,
    inputs: Vec<Entry>,
    #[serde(default = "one_seed")]
    seeds: Vec<u64>,
    steps: Option<u64>,
    time: Option<Time>,
    #[serde(default)]
    set: Vec<String>,
    #[serde(default)]
    fit: Vec<String>,
    #[serde(default)]
    eval: Vec<String>,
    metrics: Vec<String>,
    parameters: Option<usize>,
    quick: Option<Quick>,
    #[serde(rename = "method")]
    methods: Vec<MethodEntry>,
    #[serde(default, rename = "vary")]
    variations: Vec<Vary>,
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Quick {
    seeds: Option<Vec<u64>>,
    steps: Option<u64>,
    time: Option<Time>,
    inputs: Option<Vec<Entry>>,
    methods: Option<Vec<String>>,
    #[serde(default)]
    set: Vec<String>,
    #[serde(default)]
    fit: Vec<String>,
    #[serde(default)]
    eval: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MethodEntry {
    name: String,
    preset: String,
    #[serde(default)]
    set: Vec<String>,
    steps: Option<u64>,
    time: Option<Time>,
    parameters: Option<usize>,
    #[serde(default)]
    fill: Vec<String>,
    #[serde(default)]
    fit: Vec<String>,
    #[serde(default)]
    eval: Vec<String>,
    #[serde(default)]
    reference: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vary {
    method: String,
    key: String,
    values: Vec<toml::Value>,
    #[serde(default)]
    labels: Vec<String>,
}

/// A duration such as `40s` or `10m`.
#[derive(Clone, Copy)]
struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bad = |e| serde::de::Error::custom(format!("`{text}` is no duration ({e}); write for example 40s or 10m"));
        humantime::parse_duration(&text).map(Time).map_err(bad)
    }
}

/// See [`Recipe::parse`].
pub fn recipe(
    text: &str,
    path: &Path,
    (quick, selection): (bool, &Selection),
    variable: Variables<'_>,
) -> Result<Recipe, RecipeError> {
    let parse = |e: toml::de::Error| RecipeError::Parse { path: path.into(), message: e.to_string().trim_end().into() };
    let mut file: File = toml::from_str(text).map_err(parse)?;
    let work = Work { path, finder: Finder { recipe: path, variable } };
    let short = match (quick, file.quick.take()) {
        (false, _) => Quick::default(),
        (true, Some(quick)) => quick,
        (true, None) => return Err(work.error("quick", "--quick needs a table [quick] with what it shortens")),
    };
    work.resolve(file, short, quick, selection)
}

struct Work<'a> {
    path: &'a Path,
    finder: Finder<'a>,
}

impl Work<'_> {
    fn error(&self, field: impl fmt::Display, reason: impl fmt::Display) -> RecipeError {
        RecipeError::Field { path: self.path.into(), field: field.to_string(), reason: reason.to_string() }
    }

    fn resolve(&self, mut file: File, short: Quick, quick: bool, selection: &Selection) -> Result<Recipe, RecipeError> {
        if let Some(budget) = selection.budget {
            self.some(&budget.option()[0], budget)?;
        }
        let metrics = self.metrics(&file.metrics)?;
        let reference = self.reference(&file.methods)?;
        self.vary(&mut file)?;
        let mut methods = Vec::new();
        for entry in &file.methods {
            methods.push(self.method(&file, &short, selection.budget, entry)?);
        }
        let distinct = methods.iter().map(|m| m.name.as_str());
        self.distinct("method", distinct, "methods need different names")?;
        let seeds = selection.seeds.clone().or(short.seeds).unwrap_or(file.seeds);
        if let Some(names) = selection.methods.as_ref().or(short.methods.as_ref()) {
            methods = self.chosen(methods, names)?;
        }
        let entries = self.entries(&file.inputs, short.inputs, selection.inputs.as_deref())?;
        if seeds.is_empty() {
            return Err(self.error("seeds", "needs one seed at least, for example [0]"));
        }
        self.distinct("seeds", seeds.iter(), "a seed twice tells nothing new")?;
        if entries.is_empty() {
            return Err(self.error("inputs", "needs one input at least"));
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
                self.error("metrics", "needs one figure of `nstr eval --json` at least, for example [\"psnr\"]")
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
    fn reference(&self, methods: &[MethodEntry]) -> Result<String, RecipeError> {
        let mut marked = methods.iter().filter(|m| m.reference);
        match (marked.next(), marked.next(), methods.first()) {
            (Some(one), Some(other), _) => {
                let text = format!("`{}` and `{}` cannot both be the reference", one.name, other.name);
                Err(self.error("method.reference", text))
            }
            (Some(one), None, _) | (None, _, Some(one)) => Ok(one.name.clone()),
            (None, _, None) => Err(self.error("method", "needs one method at least: [[method]]")),
        }
    }

    /// Adds the methods that `[[vary]]` makes.
    fn vary(&self, file: &mut File) -> Result<(), RecipeError> {
        for vary in std::mem::take(&mut file.variations) {
            let at = |field: &str| format!("vary of {}, {field}", vary.key);
            let Some(base) = file.methods.iter().find(|m| m.name == vary.method) else {
                let names: Vec<&str> = file.methods.iter().map(|m| m.name.as_str()).collect();
                let reason = format!("there is no method `{}`; there are {}", vary.method, names.join(", "));
                return Err(self.error(at("method"), reason));
            };
            if !vary.labels.is_empty() && vary.labels.len() != vary.values.len() {
                return Err(self.error(at("labels"), "needs one label a value, or none"));
            }
            let mut made = Vec::new();
            for (i, value) in vary.values.iter().enumerate() {
                let text = match value {
                    toml::Value::String(text) => text.clone(),
                    toml::Value::Integer(n) => n.to_string(),
                    toml::Value::Float(v) => v.to_string(),
                    toml::Value::Boolean(b) => b.to_string(),
                    _ => return Err(self.error(at("values"), "must be texts, numbers or booleans")),
                };
                let ending = vary.key.rsplit('.').next().unwrap_or(&vary.key);
                let label = vary.labels.get(i).cloned().unwrap_or_else(|| format!("{ending}={text}"));
                let set = base.set.iter().cloned().chain([format!("{}={text}", vary.key)]).collect();
                made.push(MethodEntry {
                    name: format!("{} {label}", base.name),
                    preset: base.preset.clone(),
                    set,
                    fill: base.fill.clone(),
                    fit: base.fit.clone(),
                    eval: base.eval.clone(),
                    reference: false,
                    ..*base
                });
            }
            file.methods.extend(made);
        }
        Ok(())
    }

    fn method(
        &self,
        file: &File,
        short: &Quick,
        selected: Option<Budget>,
        entry: &MethodEntry,
    ) -> Result<Method, RecipeError> {
        let at = |field: &str| format!("method `{}`, {field}", entry.name);
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
        let joined = |common: &[String], own: &[String], short: &[String]| [common, own, short].concat();
        let method = Method {
            name: entry.name.clone(),
            preset: entry.preset.clone(),
            set: joined(&file.set, &entry.set, &short.set),
            budget,
            parameters,
            fill: entry.fill.clone(),
            fit: self.finder.options(&at("fit"), &joined(&file.fit, &entry.fit, &short.fit))?,
            eval: self.finder.options(&at("eval"), &joined(&file.eval, &entry.eval, &short.eval))?,
        };
        // What is filled would be set twice, and the first silently lost.
        let same = |a: &str, b: &str| a == b || a.ends_with(&format!(".{b}")) || b.ends_with(&format!(".{a}"));
        for key in &method.fill {
            if let Some(text) = method.set.iter().find(|s| s.split('=').next().is_some_and(|k| same(k.trim(), key))) {
                return Err(self.error(at("fill"), format!("{key} is filled, so it cannot be set too (`{text}`)")));
            }
        }
        Ok(method)
    }

    fn budget(&self, field: &str, steps: Option<u64>, time: Option<Time>) -> Result<Option<Budget>, RecipeError> {
        match (steps, time) {
            (Some(_), Some(_)) => Err(self.error(field, "steps and time exclude each other; give one of them")),
            (Some(steps), _) => self.some(field, Budget::Steps(steps)).map(Some),
            (_, Some(Time(time))) => self.some(field, Budget::Time(time)).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// A budget of something.
    fn some(&self, field: &str, budget: Budget) -> Result<Budget, RecipeError> {
        match budget {
            Budget::Steps(0) | Budget::Time(Duration::ZERO) => Err(self.error(field, "must be above 0")),
            budget => Ok(budget),
        }
    }

    /// The methods of these names, in their own order.
    fn chosen(&self, methods: Vec<Method>, names: &[String]) -> Result<Vec<Method>, RecipeError> {
        if let Some(name) = names.iter().find(|name| methods.iter().all(|m| m.name != **name)) {
            let all: Vec<&str> = methods.iter().map(|m| m.name.as_str()).collect();
            let reason = format!("there is no method `{name}`; there are {}", all.join(", "));
            return Err(self.error("methods", reason));
        }
        let few: Vec<Method> = methods.into_iter().filter(|m| names.contains(&m.name)).collect();
        if few.is_empty() {
            return Err(self.error("methods", "needs one method at least"));
        }
        Ok(few)
    }

    /// The entries that are compared: those selected, those of `[quick]`, or all.
    fn entries(
        &self,
        all: &[Entry],
        short: Option<Vec<Entry>>,
        selected: Option<&[String]>,
    ) -> Result<Vec<Entry>, RecipeError> {
        let short = short.map(|few| self.finder.shortened(all, few)).transpose()?;
        let Some(selected) = selected else { return Ok(short.unwrap_or_else(|| all.to_vec())) };
        let mut entries = Vec::new();
        for text in selected {
            for entry in self.finder.asked(&[short.as_deref().unwrap_or(&[]), all], text)? {
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
                return Err(self.error(field, format!("`{name}` is there twice; {remedy}")));
            }
        }
        Ok(())
    }
}

/// A name as part of a file name.
pub fn slug(name: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || "._=+-".contains(c) { c } else { '-' };
    let text: String = name.trim().chars().map(keep).collect();
    // Neither hidden nor a way out of the folder.
    if text.starts_with('.') { text.replacen('.', "_", 1) } else { text }
}
