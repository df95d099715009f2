//! Recipes of comparisons, ready to be run: see docs/compare.md.

use std::fmt;
use std::path::PathBuf;

use nstr_files::shorten;
use nstr_fit::Budget;
use nstr_signal::Signal;
use thiserror::Error;

/// A recipe that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that is not TOML, or has a field that is unknown or of the wrong kind.
    #[error("{}: {}", path.display(), shorten(message))]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong there.
        message: String,
    },
    /// A field whose value cannot be used.
    #[error("{}: {}: {reason}", path.display(), shorten(field))]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// The reason and the remedy.
        reason: String,
    },
}

/// A metric that is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name among the metrics of `nstr eval --json`.
    pub name: String,
    /// Set where lower is better.
    pub lower: bool,
}

impl Metric {
    /// The name with an arrow in the direction of better values.
    pub fn heading(&self) -> String {
        format!("{} {}", self.name, if self.lower { '↓' } else { '↑' })
    }
}

/// Settings and options beside a preset, of a method or an input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunOverrides {
    /// Overrides `key=value` of the preset.
    pub set: Vec<String>,
    /// Options of `nstr fit`.
    pub fit: Vec<String>,
    /// Options of `nstr eval`.
    pub eval: Vec<String>,
}

impl RunOverrides {
    /// These followed by `others`: the last one of a key holds.
    pub fn then(&self, others: &Self) -> Self {
        let join = |a: &[String], b: &[String]| [a, b].concat();
        Self {
            set: join(&self.set, &others.set),
            fit: join(&self.fit, &others.fit),
            eval: join(&self.eval, &others.eval),
        }
    }

    /// Returns true without any.
    pub fn is_empty(&self) -> bool {
        [&self.set, &self.fit, &self.eval].iter().all(|list| list.is_empty())
    }
}

/// A file that every method is fitted to.
#[derive(Clone, Debug, PartialEq)]
pub struct RecipeInput {
    /// Name in tables and files.
    pub name: String,
    /// The file or folder.
    pub path: PathBuf,
    /// Overrides for this input, after the method's.
    pub overrides: RunOverrides,
    /// The picture or sound that it is; presets follow its size.
    pub signal: Option<Signal>,
}

/// A method that is compared: a preset with changes and a budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// Name in tables and files.
    pub name: String,
    /// Preset of `nstr fit`.
    pub preset: String,
    /// Overrides, those for all methods first.
    pub overrides: RunOverrides,
    /// Length of a fit.
    pub budget: Budget,
    /// Most parameters.
    pub parameters: Option<usize>,
    /// Whole-number keys that are raised together until the parameters are spent.
    pub fill: Vec<String>,
}

/// One fit and its evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// Index into the recipe's inputs.
    pub input: usize,
    /// The seed itself.
    pub seed: u64,
    /// Index into the recipe's methods.
    pub method: usize,
}

/// Replacements for what a recipe and its table `[quick]` say; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// The seeds.
    pub seeds: Option<Vec<u64>>,
    /// The budget of every method.
    pub budget: Option<Budget>,
    /// Inputs, by name or path.
    pub inputs: Option<Vec<String>>,
    /// Methods, by name.
    pub methods: Option<Vec<String>>,
}

impl Selection {
    /// The options of `nstr compare` that make this selection.
    pub fn options(&self) -> Vec<String> {
        let quoted = |text: &String| if text.contains(' ') { format!("\"{text}\"") } else { text.clone() };
        let seeds = |seeds: &Vec<u64>| seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let each = |name: &str, texts: &Option<Vec<String>>| {
            texts.iter().flatten().map(|t| format!("--{name} {}", quoted(t))).collect::<Vec<_>>()
        };
        let first =
            [self.seeds.as_ref().map(|s| format!("--seeds {}", seeds(s))), self.budget.map(|b| b.option().join(" "))];
        first.into_iter().flatten().chain(each("input", &self.inputs)).chain(each("method", &self.methods)).collect()
    }
}

/// A comparison. [`crate::load`] reads one from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The file.
    pub path: PathBuf,
    /// Heading of the tables.
    pub title: String,
    /// The question that it answers.
    pub question: String,
    /// Metrics that are compared; the first is plotted.
    pub metrics: Vec<Metric>,
    /// Files that are fitted.
    pub inputs: Vec<RecipeInput>,
    /// Seeds, each of them with every method and input.
    pub seeds: Vec<u64>,
    /// Methods that are compared.
    pub methods: Vec<Method>,
    /// Index of the method that the others are compared with.
    pub reference: usize,
    /// Name of the reference of the file, where the selection left it out.
    pub left_out: Option<String>,
    /// Set for the shortened comparison.
    pub quick: bool,
    /// Replacements that were asked for.
    pub selection: Selection,
}

impl Recipe {
    /// Every run in the order in which they are done: methods side by side, so that a machine whose speed drifts
    /// hits all of them alike.
    pub fn runs(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        for input in 0..self.inputs.len() {
            for &seed in &self.seeds {
                runs.extend((0..self.methods.len()).map(|method| Run { input, seed, method }));
            }
        }
        runs
    }

    /// An error at a field of this recipe.
    pub fn error(&self, field: impl fmt::Display, reason: impl fmt::Display) -> RecipeError {
        RecipeError::Field { path: self.path.clone(), field: field.to_string(), reason: reason.to_string() }
    }
}
