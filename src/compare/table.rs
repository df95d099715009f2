//! Tables of a comparison: one an input and one of their means, as text and Markdown, and a row a run as CSV.

use std::collections::BTreeSet;

use nstr_plot::format::grouped;
use serde_json::Value;

use crate::record::{Results, RunRecord, RunStatus};
use crate::summary::{ColumnFormat, Summary};
use crate::text_table::TextTable;

/// Row of a method.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodRow {
    /// Index of the method.
    pub method: usize,
    /// Seeds whose runs are all finished, have failed, or are not done.
    pub seeds: [usize; 3],
    /// Parameters, mean over inputs.
    pub parameters: Option<Summary>,
    /// The metrics, in the recipe's order.
    pub metrics: Vec<Option<Summary>>,
    /// First metric minus the reference's, seed by seed.
    pub difference: Option<Summary>,
    /// Steps.
    pub steps: Option<Summary>,
    /// Training time in seconds.
    pub seconds: Option<Summary>,
    /// Mean training time over that of the reference.
    pub ratio: Option<f64>,
}

/// Table of all methods on one input, or on the mean of several.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparisonTable {
    /// Name of the input, or a note on what is averaged.
    pub heading: String,
    /// A row a method.
    pub rows: Vec<MethodRow>,
}

/// A table an input, and one of the means over inputs where there are several.
pub fn tables(results: &Results<'_>) -> Vec<ComparisonTable> {
    let inputs = &results.recipe.inputs;
    let mut tables: Vec<ComparisonTable> =
        inputs.iter().enumerate().map(|(i, input)| table(results, &[i], input.name.clone())).collect();
    if inputs.len() > 1 {
        let all: Vec<usize> = (0..inputs.len()).collect();
        tables.push(table(results, &all, format!("mean of {} inputs", inputs.len())));
    }
    tables
}

fn table(results: &Results<'_>, inputs: &[usize], heading: String) -> ComparisonTable {
    let recipe = results.recipe;
    let metric = |method: usize, name: &str| results.by_seed(method, inputs, |r| r.metric(name));
    let seconds = |method: usize| Summary::of(metric(method, "train_seconds"));
    let base = seconds(recipe.reference);
    let row = |method: usize| {
        let first = recipe.metrics.first().map_or("", |m| m.name.as_str());
        let pairs = metric(method, first).into_iter().zip(metric(recipe.reference, first));
        let seconds = seconds(method);
        MethodRow {
            method,
            seeds: seeds(results, method, inputs),
            parameters: Summary::of(metric(method, "parameters")),
            metrics: recipe.metrics.iter().map(|m| Summary::of(metric(method, &m.name))).collect(),
            difference: Summary::of(pairs.map(|(a, b)| Some(a? - b?))).filter(|_| method != recipe.reference),
            steps: Summary::of(metric(method, "steps")),
            seconds,
            ratio: seconds.zip(base).map(|(s, b)| s.mean / b.mean.max(1e-9)),
        }
    };
    ComparisonTable { heading, rows: (0..recipe.methods.len()).map(row).collect() }
}

/// Seeds that are finished, have failed, or are missing.
fn seeds(results: &Results<'_>, method: usize, inputs: &[usize]) -> [usize; 3] {
    let mut counts = [0; 3];
    for &seed in &results.recipe.seeds {
        let records = inputs.iter().map(|&input| results.get(crate::recipe::Run { input, seed, method }));
        let worst = records.map(|r| r.map_or(2, |r| usize::from(r.status == RunStatus::Failed))).max();
        counts[worst.unwrap_or(2)] += 1;
    }
    counts
}

/// Text of a missing value.
const NONE: &str = "-";

impl ComparisonTable {
    /// The table as texts; `bold` marks the best of each metric.
    pub fn text_table(&self, results: &Results<'_>, bold: bool) -> TextTable {
        let recipe = results.recipe;
        let whole = self.rows.iter().all(|row| row.seeds[1] + row.seeds[2] == 0);
        let several = self.rows.len() > 1;
        let formats: Vec<ColumnFormat> = (0..recipe.metrics.len())
            .map(|i| ColumnFormat::of(self.rows.iter().filter_map(move |r| r.metrics[i].as_ref())))
            .collect();
        let best: Vec<Option<f64>> = (0..recipe.metrics.len()).map(|i| self.best(results, i)).collect();
        let mut header = vec!["method".to_string()];
        header.extend((!whole).then(|| "runs".into()));
        header.push("parameters".into());
        for (i, (metric, format)) in recipe.metrics.iter().zip(&formats).enumerate() {
            header.push(format.heading(&metric.heading()));
            header.extend((i == 0 && several).then(|| format.heading(&format!("Δ {}", metric.name))));
        }
        header.extend(["steps", "train s", "× time"].map(String::from));
        let of = |summary: &Option<Summary>, text: &dyn Fn(&Summary) -> String| {
            summary.as_ref().map_or(NONE.to_string(), text)
        };
        let seconds = ColumnFormat::of(self.rows.iter().filter_map(|r| r.seconds.as_ref()));
        let short = self.rows.iter().filter_map(|r| r.seconds).all(|s| s.mean < 10.0);
        let seconds = ColumnFormat { power: 0, decimals: seconds.decimals.min(if short { 2 } else { 1 }) };
        let cells = |row: &MethodRow| {
            let mark = if row.method == recipe.reference && several { " (reference)" } else { "" };
            let mut cells = vec![recipe.methods[row.method].name.clone() + mark];
            cells.extend((!whole).then(|| describe(row.seeds)));
            cells.push(of(&row.parameters, &|s| grouped(s.mean)));
            for (i, (metric, format)) in row.metrics.iter().zip(&formats).enumerate() {
                let is_best = bold && several && metric.is_some_and(|m| Some(m.mean) == best[i]);
                let text = of(metric, &|s| format.text(s));
                cells.push(if is_best { format!("**{text}**") } else { text });
                let difference = of(&row.difference, &|s| format.signed(s));
                cells.extend((i == 0 && several).then_some(difference));
            }
            cells.push(of(&row.steps, &|s| grouped(s.mean)));
            cells.push(of(&row.seconds, &|s| seconds.text(s)));
            cells.push(row.ratio.map_or(NONE.into(), |r| format!("{r:.2}")));
            cells
        };
        TextTable { header, rows: self.rows.iter().map(cells).collect(), left: vec![0] }
    }

    fn best(&self, results: &Results<'_>, metric: usize) -> Option<f64> {
        let means = self.rows.iter().filter_map(|row| row.metrics[metric]).map(|s| s.mean);
        if results.recipe.metrics[metric].lower { means.min_by(f64::total_cmp) } else { means.max_by(f64::total_cmp) }
    }
}

/// `2 of 3, 1 failed`.
fn describe([finished, failed, missing]: [usize; 3]) -> String {
    let mut text = format!("{finished} of {}", finished + failed + missing);
    if failed > 0 {
        text += &format!(", {failed} failed");
    }
    text
}

/// Failed runs as lines: those of one method with one reason together.
pub fn failures(results: &Results<'_>) -> Vec<String> {
    let mut reasons: Vec<(&str, &str, Vec<String>)> = Vec::new();
    for record in results.runs().filter_map(|(_, record)| record).filter(|r| r.status == RunStatus::Failed) {
        let run = format!("{} seed {}", record.input, record.seed);
        match reasons.iter_mut().find(|r| (r.0, r.1) == (&record.method, &record.message)) {
            Some(reason) => reason.2.push(run),
            None => reasons.push((&record.method, &record.message, vec![run])),
        }
    }
    reasons.into_iter().map(|(method, message, runs)| format!("{method} ({}): {message}", runs.join(", "))).collect()
}

/// Note on metrics that no finished run has, with those that there are.
pub fn unknown(results: &Results<'_>) -> Option<String> {
    let finished = || results.runs().filter_map(|(_, r)| r).filter(|r| r.status == RunStatus::Finished);
    let metrics = results.recipe.metrics.iter();
    let absent: Vec<&str> =
        metrics.filter(|m| finished().all(|r| r.metric(&m.name).is_none())).map(|m| m.name.as_str()).collect();
    if absent.is_empty() || finished().next().is_none() {
        return None;
    }
    let there: BTreeSet<&str> = finished().flat_map(numbers).collect();
    let there: Vec<&str> = there.into_iter().collect();
    Some(format!("metrics: no run has {}; there are {}", absent.join(", "), there.join(", ")))
}

fn numbers(record: &RunRecord) -> impl Iterator<Item = &str> {
    record.metrics.iter().filter(|(_, v)| v.is_number()).map(|(name, _)| name.as_str())
}

/// Returns whether a metric differs from one execution of the same run to the next.
fn varies(name: &str) -> bool {
    // The file's size: the seconds are in its header.
    name.ends_with("_seconds") || name.ends_with("_per_second") || name == "file_bytes"
}

/// A row a run: names, status, values with the metrics first, and last those that vary from execution to execution.
///
/// # Errors
/// Errors of the CSV writer.
pub fn csv(results: &Results<'_>) -> Result<String, csv::Error> {
    let metrics: Vec<&str> = results.recipe.metrics.iter().map(|m| m.name.as_str()).collect();
    let there: BTreeSet<&str> = results.runs().filter_map(|(_, r)| r).flat_map(numbers).collect();
    let fixed = ["parameters", "steps"];
    let (last, others): (Vec<&str>, Vec<&str>) =
        there.iter().filter(|n| !metrics.contains(n) && !fixed.contains(n)).partition(|n| varies(n));
    let values: Vec<&str> =
        fixed.into_iter().filter(|n| !metrics.contains(n)).chain(metrics.iter().copied()).chain(others).collect();
    let names = |list: &[&str]| list.iter().map(|n| n.to_string()).collect::<Vec<_>>();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let start = ["input", "seed", "method", "status"];
    writer.write_record([names(&start), names(&values), names(&["message"]), names(&last)].concat())?;
    for (run, record) in results.runs() {
        let recipe = results.recipe;
        let status = match record.map(|r| r.status) {
            Some(RunStatus::Finished) => "finished",
            Some(RunStatus::Failed) => "failed",
            None => "missing",
        };
        let (input, method) = (&recipe.inputs[run.input].name, &recipe.methods[run.method].name);
        let value = |name: &&str| {
            let value = record.and_then(|r| r.metrics.get(*name)).filter(|v| v.is_number());
            value.map_or(String::new(), Value::to_string)
        };
        let mut cells = vec![input.clone(), run.seed.to_string(), method.clone(), status.into()];
        cells.extend(values.iter().map(value));
        cells.push(record.map(|r| r.message.clone()).unwrap_or_default());
        cells.extend(last.iter().map(value));
        writer.write_record(cells)?;
    }
    let bytes = writer.into_inner().map_err(|e| e.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Recipe, Run};
    use nstr_fit::TrainingCurve;
    use serde_json::json;

    fn recipe() -> Recipe {
        let text = r#"
            title = "t"
            inputs = ["a.obj", "b.obj"]
            seeds = [0, 1]
            steps = 10
            metrics = ["psnr", "-chamfer_l1"]
            [[method]]
            name = "one"
            preset = "sdf"
            [[method]]
            name = "two"
            preset = "sdf"
            reference = true
        "#;
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.obj", "b.obj"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        crate::parse(text, &folder.path().join("r.toml"), (false, &Default::default()), &|_| None).unwrap()
    }

    fn record(recipe: &Recipe, run: Run, psnr: f64, seconds: f64) -> RunRecord {
        let metrics = json!({
            "psnr": psnr, "chamfer_l1": psnr * 1e-6, "parameters": 1000 * (run.method + 1), "steps": 10,
            "train_seconds": seconds, "reference": "mesh", "psnr_per_view": [1.0],
        });
        RunRecord {
            method: recipe.methods[run.method].name.clone(),
            input: recipe.inputs[run.input].name.clone(),
            seed: run.seed,
            status: RunStatus::Finished,
            message: String::new(),
            metrics: metrics.as_object().unwrap().clone(),
            curve: TrainingCurve::default(),
            fingerprint: Value::Null,
        }
    }

    fn psnr(run: Run) -> f64 {
        30.0 + 10.0 * run.input as f64 + run.seed as f64 + if run.method == 0 { 2.0 + run.seed as f64 } else { 0.0 }
    }

    #[test]
    fn rows_hold_means_deviations_paired_differences_and_ratios() {
        let recipe = recipe();
        let results = Results::new(&recipe, |run| Some(record(&recipe, run, psnr(run), 4.0 - 2.0 * run.method as f64)));
        let tables = tables(&results);
        assert_eq!(tables.iter().map(|t| t.heading.as_str()).collect::<Vec<_>>(), ["a", "b", "mean of 2 inputs"]);
        let row = &tables[0].rows[0];
        let (m, d) = (row.metrics[0].unwrap(), row.difference.unwrap());
        assert_eq!((m.mean, d.mean, row.ratio, row.seeds), (33.0, 2.5, Some(2.0), [2, 0, 0]));
        // 32 and 34; differences 2 and 3: pairs of one seed, whose common part cancels.
        assert!((m.deviation.unwrap() - 2f64.sqrt()).abs() < 1e-12);
        assert!((d.deviation.unwrap() - 0.5f64.sqrt()).abs() < 1e-12);
        assert_eq!(tables[0].rows[1].difference, None);
        assert_eq!(tables[2].rows[0].metrics[0].unwrap().mean, 38.0);
        let text = tables[0].text_table(&results, true);
        assert_eq!(text.header[..4], ["method", "parameters", "psnr ↑", "Δ psnr"]);
        assert_eq!(text.header[4], "chamfer_l1 ↓, 1e-5");
        assert_eq!(text.rows[0][1..5], ["1000", "**33.00 ± 1.41**", "+2.50 ± 0.71", "3.300 ± 0.141"].map(String::from));
        assert_eq!(text.rows[1][0], "two (reference)");
        assert!(text.rows[1][4].starts_with("**3.05"), "{:?}", text.rows[1]);
        assert_eq!(text.plain().lines().count(), 3);
        assert!(text.markdown().contains("| --- | ---: |"));
    }

    #[test]
    fn failures_and_gaps_are_shown() {
        let recipe = recipe();
        let results = Results::new(&recipe, |run| match (run.input, run.seed, run.method) {
            (1, 1, 0) => {
                let failed = RunRecord {
                    status: RunStatus::Failed,
                    message: "diverged".into(),
                    ..record(&recipe, run, 0.0, 0.0)
                };
                Some(failed)
            }
            (1, 1, 1) => None,
            _ => Some(record(&recipe, run, psnr(run), 1.0)),
        });
        let tables = tables(&results);
        assert_eq!(tables[1].rows[0].seeds, [1, 1, 0]);
        assert_eq!(tables[1].rows[1].seeds, [1, 0, 1]);
        // The mean takes only seeds with every input.
        let mean = tables[2].rows[0].metrics[0].unwrap();
        assert_eq!((mean.mean, mean.count), (37.0, 1));
        let text = tables[2].text_table(&results, false);
        assert_eq!((text.header[1].as_str(), text.rows[0][1].as_str()), ("runs", "1 of 2, 1 failed"));
        assert_eq!(failures(&results), ["one (b seed 1): diverged"]);
        let text = csv(&results).unwrap();
        assert_eq!(text.lines().count(), 9);
        let header = "input,seed,method,status,parameters,steps,psnr,chamfer_l1,message,train_seconds";
        assert_eq!(text.lines().next(), Some(header));
        assert!(text.contains("b,1,one,failed,") && text.contains("b,1,two,missing,,,,,,"), "{text}");
        assert_eq!(unknown(&results), None);
        let other =
            Recipe { metrics: vec![super::super::Metric { name: "snr".into(), lower: false }], ..recipe.clone() };
        let results = Results::new(&other, |run| Some(record(&recipe, run, 1.0, 1.0)));
        let said = unknown(&results).unwrap();
        assert!(said.contains("no run has snr") && said.contains("chamfer_l1, parameters, psnr"), "{said}");
    }
}
