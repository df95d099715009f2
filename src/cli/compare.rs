//! `nstr compare`: methods on inputs over seeds, each fitted and measured as by `nstr fit` and `nstr eval`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use nstr_compare::text_table::TextTable;
use nstr_compare::{
    Method, Metric, Recipe, ResolvedMethod, Results, RunRecord, RunStatus, Runs, Selection, charts, resolve_methods,
    table, warnings,
};
use nstr_files::plain;
use nstr_fit::Budget;
use nstr_plot::Chart;
use nstr_plot::format::grouped;

use super::output::{check_folder, hold_folder};
use super::plural::plural;
use super::progress::ProgressDisplay;
use super::terminal::{stderr, stdout};

const EXAMPLES: &str = "\
Examples:
  nstr compare scenes/compare/sdf.toml --plan
  nstr compare scenes/compare/sdf.toml --quick -o sdf
  nstr compare mine.toml --seeds 0,1,2 --time 40s";

/// Arguments of `nstr compare`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct CompareArgs {
    /// Recipe of the comparison: a TOML file, see docs/compare.md and scenes/compare
    recipe: PathBuf,
    /// Folder for runs, tables and charts; runs that are finished there are not done again [default: compare-NAME]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Take the recipe's short form, its table [quick]
    #[arg(long, help_heading = "Instead of what the recipe says")]
    quick: bool,
    /// Take these seeds instead of the recipe's, for example 0,1,2
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Instead of what the recipe says")]
    seeds: Option<Vec<u64>>,
    /// Train every method for this many steps
    #[arg(long, value_name = "N", conflicts_with = "time", help_heading = "Instead of what the recipe says")]
    steps: Option<u64>,
    /// Train every method for this long, for example 40s or 10m
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true, value_parser = humantime::parse_duration, help_heading = "Instead of what the recipe says")]
    time: Option<Duration>,
    /// Take this input, by its name in the recipe or by path; may be given several times
    #[arg(long = "input", value_name = "NAME|PATH", help_heading = "Instead of what the recipe says")]
    inputs: Option<Vec<String>>,
    /// Take this method only, by its name; may be given several times
    #[arg(long = "method", value_name = "NAME", help_heading = "Instead of what the recipe says")]
    methods: Option<Vec<String>>,
    /// Do finished runs again
    #[arg(long)]
    again: bool,
    /// Keep the models beside the records
    #[arg(long)]
    keep_models: bool,
    /// Print what would be run, and stop
    #[arg(long)]
    plan: bool,
}

impl CompareArgs {
    /// Replacements for what the recipe says.
    fn selection(&self) -> Selection {
        Selection {
            seeds: self.seeds.clone(),
            budget: self.steps.map(Budget::Steps).or(self.time.map(Budget::Time)),
            inputs: self.inputs.clone(),
            methods: self.methods.clone(),
        }
    }
}

/// Runs `nstr compare`.
pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    let recipe = nstr_compare::load(&args.recipe, args.quick, &args.selection())?;
    let resolved = resolve_methods(&recipe)?;
    let folder = args.output.clone().unwrap_or_else(|| default_folder(&args.recipe));
    let runs = Runs::new(&recipe, &resolved, &folder, args.keep_models)?;
    announce(&recipe, &resolved, &runs, args.again);
    if args.plan {
        return Ok(());
    }
    check_folder(&folder)?;
    let _held = hold_folder(&folder)?;
    let finished = run_all(&recipe, &runs, args.again)?;
    // Tables show what was written, read back, whether it was done now or before.
    let results = Results::new(&recipe, |run| runs.find(run).ok());
    report(&results, &resolved, &folder)?;
    if !finished {
        bail!("interrupted; run the same command again to go on");
    }
    let failed = results.runs().filter(|(_, r)| r.is_some_and(|r| r.status == RunStatus::Failed)).count();
    if failed > 0 {
        bail!("{failed} of {} runs failed; the tables say why", recipe.runs().len());
    }
    Ok(())
}

fn default_folder(recipe: &Path) -> PathBuf {
    PathBuf::from(format!("compare-{}", recipe.file_stem().unwrap_or_default().to_string_lossy()))
}

/// Prints what will be run.
fn announce(recipe: &Recipe, resolved: &[Vec<ResolvedMethod>], runs: &Runs<'_>, again: bool) {
    let (m, i, s) = (recipe.methods.len(), recipe.inputs.len(), recipe.seeds.len());
    stderr!("{}{}", recipe.title, if recipe.quick { " (quick)" } else { "" });
    stderr!(
        "  {} × {} × {} = {} on {}",
        plural(m, "method"),
        plural(i, "input"),
        plural(s, "seed"),
        plural(m * i * s, "run"),
        plural(rayon::current_num_threads(), "thread"),
    );
    stderr!("{}", method_table(recipe, resolved).plain().trim_end_matches('\n'));
    for warning in warnings(recipe, resolved) {
        stderr!("  note: {warning}");
    }
    let mut reasons: Vec<String> = Vec::new();
    let mut finished = 0;
    for run in recipe.runs() {
        match runs.find(run) {
            Ok(record) if record.status == RunStatus::Finished => finished += 1,
            Ok(_) => {}
            Err(keys) if keys.is_empty() => {}
            Err(keys) => reasons.extend(keys),
        }
    }
    reasons.sort();
    reasons.dedup();
    if !reasons.is_empty() {
        stderr!("  note: runs in the folder were made with other {}, and are done again", reasons.join(", "));
    }
    if finished > 0 {
        let what = if again { "done again" } else { "kept (--again does them again)" };
        stderr!("  {finished} finished before are {what}");
    }
}

/// Table of the methods with their sizes.
fn method_table(recipe: &Recipe, resolved: &[Vec<ResolvedMethod>]) -> TextTable {
    let header = ["method", "parameters", "budget", "preset and changes"].map(String::from).to_vec();
    let row = |(index, method): (usize, &Method)| {
        let sizes = resolved[index].iter().map(|s| s.parameters);
        let (low, high) = (sizes.clone().min().unwrap_or(0), sizes.max().unwrap_or(0));
        let size = if low == high {
            grouped(low as f64)
        } else {
            format!("{} to {}", grouped(low as f64), grouped(high as f64))
        };
        // The filled values, where all inputs share them.
        let first = resolved[index].first();
        let filled = first.filter(|f| resolved[index].iter().all(|s| s.filled == f.filled)).and_then(|s| s.filled);
        let fill =
            method.fill.iter().map(|key| filled.map_or(format!("{key} filled"), |v| format!("{key}={v} (filled)")));
        let words = [method.preset.clone()].into_iter().chain(method.overrides.set.iter().cloned()).chain(fill);
        let words = words.chain(method.overrides.fit.iter().cloned()).collect::<Vec<_>>().join(" ");
        vec![method.name.clone(), size, method.budget.to_string(), words]
    };
    TextTable { header, rows: recipe.methods.iter().enumerate().map(row).collect(), left: vec![0, 3] }
}

/// Does all runs that are not finished; `false` where Ctrl-C ended it.
fn run_all(recipe: &Recipe, runs: &Runs<'_>, again: bool) -> anyhow::Result<bool> {
    let is_finished = |run| runs.find(run).is_ok_and(|record| record.status == RunStatus::Finished);
    let todo: Vec<_> = recipe.runs().into_iter().filter(|run| again || !is_finished(*run)).collect();
    let mut progress = ProgressDisplay::of_runs(todo.len())?;
    for (n, run) in todo.iter().enumerate() {
        progress.begin_run(&format!("{}, {}", recipe.methods[run.method].name, recipe.inputs[run.input].name));
        let record = runs.run(*run, &mut progress)?;
        let Some(record) = record else { return Ok(false) };
        progress.end_run();
        progress.line(&format!("[{}/{}] {}{}", n + 1, todo.len(), describe(recipe, &record), progress.rest()));
        let lacks = |m: &Metric| record.metric(&m.name).is_none();
        if n == 0 && record.status == RunStatus::Finished && recipe.metrics.iter().all(lacks) {
            let there: Vec<&str> =
                record.metrics.iter().filter(|(_, v)| v.is_number()).map(|(name, _)| name.as_str()).collect();
            bail!("{}: metrics: the run has none of them; it has {}", recipe.path.display(), there.join(", "));
        }
        if progress.is_stopped() {
            return Ok(n + 1 == todo.len());
        }
    }
    Ok(true)
}

/// Line about a run.
fn describe(recipe: &Recipe, record: &RunRecord) -> String {
    let name = format!("{}, {}, seed {}", record.method, record.input, record.seed);
    if record.status == RunStatus::Failed {
        return format!("{name}: failed: {}", record.message);
    }
    let metrics =
        recipe.metrics.iter().map(|m| format!("{} {}", m.name, record.metric(&m.name).map_or("-".into(), plain)));
    let end = [("steps", 0), ("train_seconds", 1)].map(|(n, d)| format!("{:.*}", d, record.metric(n).unwrap_or(0.0)));
    format!("{name}: {}; {} steps in {} s", metrics.collect::<Vec<_>>().join(", "), end[0], end[1])
}

/// Prints the tables, and writes tables and charts.
fn report(results: &Results<'_>, resolved: &[Vec<ResolvedMethod>], folder: &Path) -> anyhow::Result<()> {
    for table in table::tables(results) {
        stdout!("\n{}\n{}", table.heading, table.text_table(results, false).plain().trim_end());
    }
    stdout!("");
    table::failures(results).iter().for_each(|text| stdout!("failed: {text}"));
    if let Some(text) = table::unknown(results) {
        stderr!("note: {text}");
    }
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        nstr_files::write(&path, text.as_bytes()).with_context(|| path.display().to_string())
    };
    let drawn = charts::charts(results);
    write("table.md", markdown(results, resolved, &drawn))?;
    write("table.csv", table::csv(results)?)?;
    for (name, _) in charts::FILES {
        match drawn.iter().find(|(drawn, _)| *drawn == name) {
            Some((_, chart)) => chart.write(&folder.join(name))?,
            // One of an earlier command would not be of these results.
            None => drop(std::fs::remove_file(folder.join(name))),
        }
    }
    stdout!("wrote table.md, table.csv and charts to {}", folder.display());
    Ok(())
}

/// The whole report as Markdown.
fn markdown(results: &Results<'_>, resolved: &[Vec<ResolvedMethod>], drawn: &[(&str, Chart)]) -> String {
    let recipe = results.recipe;
    let mut text = format!("# {}\n\n", recipe.title);
    if !recipe.question.is_empty() {
        text += &format!("{}\n\n", recipe.question.trim());
    }
    let name = recipe.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let quick = recipe.quick.then(|| String::from("--quick"));
    let command = [name].into_iter().chain(quick).chain(recipe.selection.options()).collect::<Vec<_>>().join(" ");
    let seeds: Vec<String> = recipe.seeds.iter().map(u64::to_string).collect();
    text += &format!(
        "Made by `nstr compare {command}`: nstr {}, {} threads, seeds {}. Values are means, with ± the sample standard \
         deviation over seeds; Δ is the mean of the differences to {}, seed by seed; × time is the ratio of training times \
         to it.\n\n",
        env!("CARGO_PKG_VERSION"),
        rayon::current_num_threads(),
        seeds.join(", "),
        recipe.methods[recipe.reference].name,
    );
    for table in table::tables(results) {
        text += &format!("## {}\n\n{}\n", table.heading, table.text_table(results, true).markdown());
    }
    let failures = table::failures(results);
    if !failures.is_empty() {
        text += "## Failed runs\n\n";
        failures.iter().for_each(|line| text += &format!("- {}\n", line.replace('\n', " ")));
        text += "\n";
    }
    text += "## Charts\n\n";
    for (name, what) in charts::FILES.into_iter().filter(|(name, _)| drawn.iter().any(|(drawn, _)| drawn == name)) {
        text += &format!("![Quality {what}]({name})\n\n");
    }
    text += &format!("## Methods\n\n{}", method_table(recipe, resolved).markdown());
    text
}
