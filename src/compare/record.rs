//! What is kept of a run, and all runs of a comparison together.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::recipe::{Recipe, Run};
use crate::resolve::slug;
use nstr_fit::Curve;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Fitted and measured.
    Finished,
    /// It diverged, or its input could not be used.
    Failed,
}

/// A run as its file keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the method.
    pub method: String,
    /// Name of the input.
    pub input: String,
    /// Seed.
    pub seed: u64,
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Figures of `nstr eval`.
    pub figures: Map<String, Value>,
    /// Loss and figure on the way.
    pub curve: Curve,
    /// Everything that the result depends on.
    pub fingerprint: Value,
}

impl Record {
    /// The file of a run below the comparison's folder.
    pub fn path(folder: &Path, recipe: &Recipe, run: Run) -> PathBuf {
        // A quick look must not cost the results of hours.
        let mut runs = String::from(if recipe.quick { "runs-quick" } else { "runs" });
        // Nor must one with a budget of its own.
        if let Some(budget) = recipe.selection.budget {
            runs += &format!("-{}", slug(&budget.to_string()));
        }
        let (method, input) = (&recipe.methods[run.method].name, &recipe.inputs[run.input].name);
        folder.join(runs).join(slug(method)).join(format!("{}-{}.json", slug(input), run.seed))
    }

    /// The record in a file; `None` where there is none, or none that can be read.
    pub fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Writes the record, whole or not at all.
    ///
    /// # Errors
    /// The file's.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string(self)? + "\n";
        nstr_files::write(path, text.as_bytes())
    }

    /// A figure of a finished run.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let value = self.figures.get(name).filter(|_| self.status == Status::Finished)?;
        value.as_f64().filter(|v| v.is_finite())
    }
}

/// A fingerprint of a value whose numbers are texts: they are the same however often they are written and read.
pub fn fingerprint(value: Value) -> Value {
    match value {
        Value::Number(n) => Value::String(n.to_string()),
        Value::Array(list) => list.into_iter().map(fingerprint).collect(),
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, fingerprint(v))).collect()),
        other => other,
    }
}

/// The keys, dotted, in which two fingerprints differ.
pub fn difference(a: &Value, b: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk("", a, b, &mut found);
    found
}

fn walk(at: &str, a: &Value, b: &Value, to: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let mut keys: Vec<&String> = x.keys().chain(y.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let name = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                walk(&name, x.get(key).unwrap_or(&Value::Null), y.get(key).unwrap_or(&Value::Null), to);
            }
        }
        _ if a != b => to.push(at.into()),
        _ => {}
    }
}

/// The runs of a comparison, those that are there.
#[derive(Clone, Debug)]
pub struct Results<'r> {
    /// What was asked for.
    pub recipe: &'r Recipe,
    runs: Vec<(Run, Option<Record>)>,
}

impl<'r> Results<'r> {
    /// All runs of a recipe, each with its record where there is one.
    pub fn new(recipe: &'r Recipe, mut record: impl FnMut(Run) -> Option<Record>) -> Self {
        Self { recipe, runs: recipe.runs().into_iter().map(|run| (run, record(run))).collect() }
    }

    /// Every run in the order of the recipe.
    pub fn runs(&self) -> impl Iterator<Item = (Run, Option<&Record>)> {
        self.runs.iter().map(|(run, record)| (*run, record.as_ref()))
    }

    /// The record of a run.
    pub fn get(&self, run: Run) -> Option<&Record> {
        self.runs().find(|(r, _)| *r == run)?.1
    }

    /// A method's value for each seed: `of` a record, averaged over `inputs`; `None` for a seed without all of them.
    pub fn by_seed(&self, method: usize, inputs: &[usize], of: impl Fn(&Record) -> Option<f64>) -> Vec<Option<f64>> {
        let value = |seed: u64| {
            let values = inputs.iter().map(|&input| self.get(Run { input, seed, method }).and_then(&of));
            let values = values.collect::<Option<Vec<f64>>>()?;
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        self.recipe.seeds.iter().map(|seed| value(*seed)).collect()
    }
}
