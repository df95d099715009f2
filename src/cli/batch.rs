//! Many inputs: folders and globs, shards of a job array, and the table of results.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::Ordering;

use anyhow::{Context, bail};
use nstr_field::model::Model;
use nstr_geometry::MeshFormat;
use nstr_pipeline::Scores;
use nstr_pipeline::fit::checkpoint_path;
use nstr_signal::Signal;
use serde::Serialize;

use super::fit::{FitArgs, fit_input};
use super::progress::{ProgressObserver, interrupted};

/// Part `index` of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl FromStr for Shard {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err("must be I/N with I from 0 to N-1, for example 0/16".into()),
        }
    }
}

impl Shard {
    /// The shard that a scheduler gave this process, if any: a Slurm job array or an indexed Kubernetes job.
    fn from_environment(get: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<Self>> {
        let number = |name: &str| -> anyhow::Result<Option<usize>> {
            get(name).map(|v| v.parse().with_context(|| format!("{name}={v} is not a number; set --shard"))).transpose()
        };
        let (index, count, what) = if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
            let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            (id.saturating_sub(first), number("SLURM_ARRAY_TASK_COUNT")?, "SLURM_ARRAY_TASK_COUNT")
        } else if let Some(index) = number("JOB_COMPLETION_INDEX")? {
            (index, number("JOB_COMPLETIONS")?, "JOB_COMPLETIONS")
        } else {
            return Ok(None);
        };
        let Some(count) = count else {
            bail!(
                "this is task {index} of a job array, but {what} does not say of how many; set it, or --shard {index}/N"
            );
        };
        if index >= count {
            bail!("task {index} of {count} ({what}): the array must be numbered in steps of 1; set --shard instead");
        }
        Ok(Some(Self { index, count }))
    }
}

/// Returns whether a scheduler runs this process as one of several.
pub fn in_job_array() -> bool {
    matches!(Shard::from_environment(|name| std::env::var(name).ok()), Ok(Some(shard)) if shard.count > 1)
}

/// The inputs that the arguments name, sorted, each with its model's path below the output folder, which mirrors theirs.
pub fn expand(arguments: &[String]) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    for argument in arguments {
        let path = Path::new(argument);
        let before = found.len();
        if path.is_dir() {
            for extension in MeshFormat::EXTENSIONS {
                for pattern in [extension.to_string(), extension.to_uppercase()] {
                    let pattern = format!("{}/**/*.{pattern}", glob::Pattern::escape(argument.trim_end_matches('/')));
                    collect(&pattern, &mut found)?;
                }
            }
        } else if !path.exists() && argument.contains(['*', '?', '[']) {
            collect(argument, &mut found)?;
        } else {
            if !path.exists() && argument.contains('=') {
                bail!("{argument}: there is no such file; an override needs its own --set: --set {argument}");
            }
            if arguments.len() > 1 && Signal::is_named(path) {
                bail!("{argument}: several inputs must be meshes; fit pictures and sounds one by one");
            }
            found.push(path.to_path_buf());
        }
        if found.len() == before {
            bail!(
                "{argument}: no mesh found there, and no capture (transforms.json, transforms_train.json, \
                 poses_bounds.npy or COLMAP's cameras and images)"
            );
        }
    }
    found.sort();
    found.dedup();
    let shared = common_folder(&found);
    let mut used = HashSet::new();
    let named = found.into_iter().map(|path| {
        let relative = path.strip_prefix(&shared).unwrap_or(&path);
        let mut output = relative.with_extension("safetensors");
        if !used.insert(output.clone()) {
            // chair.obj has the name already: this one becomes chair.ply.safetensors.
            output = relative.with_added_extension("safetensors");
        }
        (path, output)
    });
    Ok(named.collect())
}

/// Returns whether a fit ran to its end and left this model.
fn is_finished(output: &Path) -> bool {
    output.exists() && Model::load(output).is_ok_and(|m| m.metrics.get("finished") == Some(&1.0))
}

fn collect(pattern: &str, to: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in glob::glob(pattern).with_context(|| format!("{pattern}: not a pattern"))? {
        let path = entry.with_context(|| pattern.to_string())?;
        if path.is_file() {
            to.push(path);
        }
    }
    Ok(())
}

fn common_folder(paths: &[PathBuf]) -> PathBuf {
    let mut shared = paths.first().and_then(|p| p.parent()).map(Path::to_path_buf).unwrap_or_default();
    for path in paths {
        while !path.starts_with(&shared) {
            if !shared.pop() {
                return PathBuf::new();
            }
        }
    }
    shared
}

/// Row of the table of results.
#[derive(Debug, Default, Serialize)]
struct Row {
    input: String,
    output: String,
    status: &'static str,
    sign: String,
    faces: Option<usize>,
    watertight: Option<bool>,
    iou: Option<f64>,
    chamfer_l1: Option<f64>,
    f_score: Option<f64>,
    normal_consistency: Option<f64>,
    reference: String,
    parameters: Option<usize>,
    file_bytes: Option<u64>,
    fit_seconds: Option<f64>,
    steps: Option<f64>,
    message: String,
}

/// Fits this process's share of the inputs into a folder that mirrors theirs, skipping finished ones.
pub fn run(args: &FitArgs, inputs: &[(PathBuf, PathBuf)]) -> anyhow::Result<()> {
    let shard = match args.shard {
        Some(shard) => Some(shard),
        None => Shard::from_environment(|name| std::env::var(name).ok())?,
    };
    let folder = args.output.clone().unwrap_or_else(|| PathBuf::from("models"));
    let table = args
        .table
        .clone()
        .unwrap_or_else(|| folder.join(shard.map_or("results.csv".into(), |s| format!("results.{}.csv", s.index))));
    let Shard { index, count } = shard.unwrap_or(Shard { index: 0, count: 1 });
    let mine: Vec<_> = inputs.iter().skip(index).step_by(count).collect();
    eprintln!("{} of {} inputs are this process's", mine.len(), inputs.len());
    let stop = interrupted()?;
    let (mut fitted, mut skipped, mut failed) = (0, 0, 0);
    for (n, (input, relative)) in mine.iter().enumerate() {
        let output = folder.join(relative);
        let checkpoint = checkpoint_path(&output);
        if !args.overwrite && !checkpoint.exists() && is_finished(&output) {
            skipped += 1;
            continue;
        }
        if let Some(parent) = output.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
        }
        // A job that was cut off goes on where it stopped.
        let args = FitArgs { resume: checkpoint.exists() && !args.overwrite, ..args.clone() };
        let result = fit_input(&args, input, &output, &mut ProgressObserver::new(true)?);
        if stop.load(Ordering::SeqCst) {
            bail!("interrupted at {}; run the same command again to go on", input.display());
        }
        let row = Row { input: input.display().to_string(), output: output.display().to_string(), ..Row::default() };
        let row = match result {
            Ok(f) => {
                fitted += 1;
                let metric = |name: &str| f.model.metrics.get(name).copied();
                let mesh = f.mesh.clone().unwrap_or_default();
                let reference = match &f.scores {
                    Some(Scores::Sdf(scores)) => scores.reference.clone(),
                    _ => String::new(),
                };
                Row {
                    status: "fitted",
                    sign: mesh.sign,
                    faces: Some(mesh.faces),
                    watertight: Some(mesh.watertight),
                    iou: metric("iou"),
                    chamfer_l1: metric("chamfer_l1"),
                    f_score: metric("f_score"),
                    normal_consistency: metric("normal_consistency"),
                    reference,
                    parameters: Some(f.model.spec.parameters()),
                    file_bytes: f.file_bytes,
                    fit_seconds: metric("fit_seconds"),
                    steps: metric("steps"),
                    ..row
                }
            }
            Err(error) => {
                failed += 1;
                // The row names the input already.
                let message = super::explain(&error);
                let message = message.strip_prefix(&format!("{}: ", row.input)).unwrap_or(&message).to_string();
                Row { status: "failed", message, ..row }
            }
        };
        let note = row.iou.map_or(row.message.clone(), |iou| format!("IoU {iou:.4}"));
        let note = if note.is_empty() { note } else { format!(": {note}") };
        eprintln!("[{}/{}] {} {}{note}", n + 1, mine.len(), row.status, input.display());
        append(&table, &row)?;
    }
    println!("{fitted} fitted, {skipped} finished before, {failed} failed; table: {}", table.display());
    if failed > 0 {
        bail!("{failed} of {} inputs failed; the table says why", mine.len());
    }
    Ok(())
}

fn append(table: &Path, row: &Row) -> anyhow::Result<()> {
    let context = || table.display().to_string();
    if let Some(parent) = table.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).with_context(context)?;
    }
    let fresh = std::fs::metadata(table).map_or(true, |m| m.len() == 0);
    let file = OpenOptions::new().create(true).append(true).open(table).with_context(context)?;
    let mut writer = csv::WriterBuilder::new().has_headers(fresh).from_writer(file);
    writer.serialize(row).with_context(context)?;
    writer.flush().with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(pairs: &[(&str, &str)]) -> anyhow::Result<Option<Shard>> {
        Shard::from_environment(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()))
    }

    #[test]
    fn schedulers_name_the_shard() {
        assert_eq!(shard(&[]).unwrap(), None);
        let slurm = [("SLURM_ARRAY_TASK_ID", "5"), ("SLURM_ARRAY_TASK_MIN", "1"), ("SLURM_ARRAY_TASK_COUNT", "8")];
        assert_eq!(shard(&slurm).unwrap(), Some(Shard { index: 4, count: 8 }));
        let pods = [("JOB_COMPLETION_INDEX", "2"), ("JOB_COMPLETIONS", "3")];
        assert_eq!(shard(&pods).unwrap(), Some(Shard { index: 2, count: 3 }));
        assert!(shard(&[("JOB_COMPLETION_INDEX", "2")]).unwrap_err().to_string().contains("JOB_COMPLETIONS"));
        assert!(shard(&[("SLURM_ARRAY_TASK_ID", "9"), ("SLURM_ARRAY_TASK_COUNT", "8")]).is_err());
        assert_eq!("1/4".parse(), Ok(Shard { index: 1, count: 4 }));
        assert!("4/4".parse::<Shard>().is_err() && "x".parse::<Shard>().is_err());
    }

    #[test]
    fn outputs_mirror_what_inputs_do_not_share() {
        let paths = ["a/x/models/m.obj", "a/y/models/m.obj", "a/z.obj"].map(PathBuf::from);
        assert_eq!(common_folder(&paths), PathBuf::from("a"));
        assert_eq!(common_folder(&[PathBuf::from("m.obj"), PathBuf::from("b/m.obj")]), PathBuf::new());
    }
}
