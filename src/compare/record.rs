//! Records of runs, and all runs of a comparison together.

use std::path::{Path, PathBuf};

use nstr_fit::TrainingCurve;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::recipe::{Recipe, Run};
use crate::resolve::slug;

/// End of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// Fitted and measured.
    Finished,
    /// It diverged, or its input could not be used.
    Failed,
}

/// Record of a run, stored as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Name of the method.
    pub method: String,
    /// Name of the input.
    pub input: String,
    /// Seed.
    pub seed: u64,
    /// End of the run.
    pub status: RunStatus,
    /// Reason of a failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Metrics of `nstr eval`.
    #[serde(rename = "figures")]
    pub metrics: Map<String, Value>,
    /// Loss and validation metric during training.
    pub curve: TrainingCurve,
    /// Everything that the result depends on.
    pub fingerprint: Value,
}

impl RunRecord {
    /// Path of a run's file below the comparison's folder.
    pub fn path(folder: &Path, recipe: &Recipe, run: Run) -> PathBuf {
        // Quick runs must not replace the results of hours.
        let mut runs = String::from(if recipe.quick { "runs-quick" } else { "runs" });
        // Nor must those with a budget of their own.
        if let Some(budget) = recipe.selection.budget {
            runs += &format!("-{}", slug(&budget.to_string()));
        }
        let (method, input) = (&recipe.methods[run.method].name, &recipe.inputs[run.input].name);
        folder.join(runs).join(slug(method)).join(format!("{}-{}.json", slug(input), run.seed))
    }

    /// Reads a record; `None` where there is none, or none that can be understood.
    pub fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Writes the record, whole or not at all.
    ///
    /// # Errors
    /// Files and folders that cannot be written.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string(self)? + "\n";
        nstr_files::write(path, text.as_bytes())
    }

    /// A metric of a finished run.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let value = self.metrics.get(name).filter(|_| self.status == RunStatus::Finished)?;
        value.as_f64().filter(|v| v.is_finite())
    }
}

/// The value with its numbers as texts, which are the same however often they are written and read.
pub(crate) fn fingerprint(value: Value) -> Value {
    match value {
        Value::Number(n) => Value::String(n.to_string()),
        Value::Array(list) => list.into_iter().map(fingerprint).collect(),
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, fingerprint(v))).collect()),
        other => other,
    }
}

/// The keys, dotted, in which two fingerprints differ.
pub(crate) fn difference(a: &Value, b: &Value) -> Vec<String> {
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

/// Runs of a comparison, with their records where there are any.
#[derive(Clone, Debug)]
pub struct Results<'r> {
    /// The comparison.
    pub recipe: &'r Recipe,
    runs: Vec<(Run, Option<RunRecord>)>,
}

impl<'r> Results<'r> {
    /// All runs of a recipe, each with its record where there is one.
    pub fn new(recipe: &'r Recipe, mut record: impl FnMut(Run) -> Option<RunRecord>) -> Self {
        Self { recipe, runs: recipe.runs().into_iter().map(|run| (run, record(run))).collect() }
    }

    /// Every run in the order of the recipe.
    pub fn runs(&self) -> impl Iterator<Item = (Run, Option<&RunRecord>)> {
        self.runs.iter().map(|(run, record)| (*run, record.as_ref()))
    }

    /// The record of a run.
    pub fn get(&self, run: Run) -> Option<&RunRecord> {
        self.runs().find(|(r, _)| *r == run)?.1
    }

    /// A method's value for each seed: `of` a record, averaged over `inputs`; `None` for a seed without all of them.
    pub fn by_seed(&self, method: usize, inputs: &[usize], of: impl Fn(&RunRecord) -> Option<f64>) -> Vec<Option<f64>> {
        let value = |seed: u64| {
            let values = inputs.iter().map(|&input| self.get(Run { input, seed, method }).and_then(&of));
            let values = values.collect::<Option<Vec<f64>>>()?;
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        self.recipe.seeds.iter().map(|seed| value(*seed)).collect()
    }
}
