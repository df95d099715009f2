//! What a comparison's TOML file says, ready to be run: see docs/compare.md.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::resolve;
use nstr_spec::config::ConfigError;
use nstr_signal::Signal;
use nstr_fit::{Budget, FitConfig};

/// A recipe that can't be used.
#[derive(Debug, Error)]
pub enum RecipeError {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML, or has a field that is unknown or of the wrong kind.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong there.
        message: String,
    },
    /// A field's value can't be used.
    #[error("{}: {field}: {reason}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// What is wrong, and the remedy.
        reason: String,
    },
}

/// A figure that is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name among the figures of `nstr eval --json`.
    pub name: String,
    /// Whether less of it is better.
    pub lower: bool,
}

impl Metric {
    /// The name with an arrow to where better is.
    pub fn heading(&self) -> String {
        format!("{} {}", self.name, if self.lower { '↓' } else { '↑' })
    }
}

/// What is fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Name in tables and files.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Overrides of this input's, after the method's.
    pub set: Vec<String>,
    /// Options of `nstr fit`.
    pub fit: Vec<String>,
    /// Options of `nstr eval`.
    pub eval: Vec<String>,
    /// The picture or sound that it is; presets follow its size.
    pub signal: Option<Signal>,
}

/// How it is fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// Name in tables and files.
    pub name: String,
    /// Preset of `nstr fit`.
    pub preset: String,
    /// Overrides `key=value`, those of all methods first.
    pub set: Vec<String>,
    /// When a fit ends.
    pub budget: Budget,
    /// Most parameters.
    pub parameters: Option<usize>,
    /// Whole-number keys that are raised together until the parameters are spent.
    pub fill: Vec<String>,
    /// Options of `nstr fit`.
    pub fit: Vec<String>,
    /// Options of `nstr eval`.
    pub eval: Vec<String>,
}

impl Method {
    /// The preset for an input, with overrides.
    ///
    /// # Errors
    /// Those of [`FitConfig::preset`] and [`FitConfig::set`].
    pub fn config(&self, input: &Input, overrides: &[String]) -> Result<FitConfig, ConfigError> {
        let (preset, _) = FitConfig::preset(&self.preset)?;
        let preset = match &input.signal {
            Some(signal) => preset.for_signal(signal),
            None => preset,
        };
        preset.set(overrides)
    }
}

/// One fit and its evaluation: indices into the recipe's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// Of the inputs.
    pub input: usize,
    /// The seed itself.
    pub seed: u64,
    /// Of the methods.
    pub method: usize,
}

/// What takes the place of what a recipe and its table `[quick]` say; `None` leaves it.
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
    /// The options of `nstr compare` that ask for it.
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

/// A comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The file.
    pub path: PathBuf,
    /// Heading of the tables.
    pub title: String,
    /// What is to be found out.
    pub question: String,
    /// Figures that are compared; the first is plotted.
    pub metrics: Vec<Metric>,
    /// What is fitted.
    pub inputs: Vec<Input>,
    /// Seeds, each of them with every method and input.
    pub seeds: Vec<u64>,
    /// How it is fitted.
    pub methods: Vec<Method>,
    /// Index of the method that others are compared with.
    pub reference: usize,
    /// The method that others were to be compared with, where the selection left it out.
    pub left_out: Option<String>,
    /// Whether this is the shortened comparison.
    pub quick: bool,
    /// What was asked for instead of what the file says.
    pub selection: Selection,
}

impl Recipe {
    /// Reads a recipe, shortened by its table `[quick]` if `quick`, then by `selection`.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn load(path: &Path, quick: bool, selection: &Selection) -> Result<Self, RecipeError> {
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Read { path: path.into(), source })?;
        Self::parse(&text, path, (quick, selection), &|name| std::env::var(name).ok())
    }

    /// The recipe that `text` says, as if read from `path`; `variable` gives environment variables.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn parse(
        text: &str,
        path: &Path,
        (quick, selection): (bool, &Selection),
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, RecipeError> {
        resolve::recipe(text, path, (quick, selection), variable)
    }

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

    /// The overrides, configuration and size of a method on an input.
    ///
    /// # Errors
    /// Overrides that can't be used, and parameters that can't be kept to.
    pub fn shape(&self, method: usize, input: usize) -> Result<Shape, RecipeError> {
        let (m, i) = (&self.methods[method], &self.inputs[input]);
        let base: Vec<String> = m.set.iter().chain(&i.set).cloned().collect();
        let at = |what: &str| format!("method `{}`, {what}", m.name);
        let config = m.config(i, &base).map_err(|e| self.error(at("preset or set"), e))?;
        let whole = Shape { parameters: count(&config), overrides: base.clone(), config, filled: None };
        let Some(most) = m.parameters else { return Ok(whole) };
        if m.fill.is_empty() {
            return Ok(whole);
        }
        let with = |value: u64| {
            let filled = m.fill.iter().map(|key| format!("{key}={value}"));
            base.iter().cloned().chain(filled).collect::<Vec<_>>()
        };
        let value = crate::fill::largest(most, |value| m.config(i, &with(value)).map(|c| count(&c)))
            .map_err(|e| self.error(at(&format!("fill of {}", m.fill.join(", "))), e))?;
        let overrides = with(value);
        let config = m.config(i, &overrides).map_err(|e| self.error(at("fill"), e))?;
        Ok(Shape { parameters: count(&config), overrides, config, filled: Some(value) })
    }

    /// The shapes of all methods on all inputs, `[method][input]`.
    ///
    /// # Errors
    /// Those of [`Self::shape`].
    pub fn shapes(&self) -> Result<Vec<Vec<Shape>>, RecipeError> {
        let of = |m| (0..self.inputs.len()).map(move |i| self.shape(m, i)).collect();
        (0..self.methods.len()).map(of).collect()
    }

    /// What a user should know before the runs begin.
    pub fn warnings(&self, shapes: &[Vec<Shape>]) -> Vec<String> {
        let mut said = BTreeMap::new();
        let left_out = self.left_out.iter().map(|name| {
            let instead = &self.methods[self.reference].name;
            format!("differences are to `{instead}`, because the reference, `{name}`, is left out")
        });
        for (method, row) in self.methods.iter().zip(shapes) {
            let Some(most) = method.parameters else { continue };
            for shape in row {
                let share = shape.parameters as f64 / most as f64 - 1.0;
                let what = if share > 0.0 { "more" } else { "fewer" };
                if share > 0.0 || (share < -0.03 && !method.fill.is_empty()) {
                    let (has, percent) = (shape.parameters, (100.0 * share).abs());
                    let text =
                        format!("`{}` has {has} parameters, {percent:.1} % {what} than the {most} given", method.name);
                    said.insert((method.name.clone(), has), text);
                }
            }
        }
        left_out.chain(said.into_values()).collect()
    }
}

/// Parameters of a configuration's field.
fn count(config: &FitConfig) -> usize {
    config.field.spec().parameters()
}

/// A method on an input: what `nstr fit` is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// All overrides `key=value`.
    pub overrides: Vec<String>,
    /// The configuration that follows.
    pub config: FitConfig,
    /// Its parameters.
    pub parameters: usize,
    /// The value of the filled keys.
    pub filled: Option<u64>,
}
