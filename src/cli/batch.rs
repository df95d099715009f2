//! Many inputs: folders and globs, shards of a job array, and the table of results.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use nstr_files::{Lock, Target};
use nstr_geometry::MeshFormat;
use nstr_pipeline::Scores;
use nstr_pipeline::fit::checkpoint_path;
use nstr_signal::Signal;
use serde::Serialize;

use super::earlier::is_finished_fit;
use super::fit::{FitArgs, fit_input};
use super::output::{check_file, check_folder, lock_as};
use super::progress::ProgressDisplay;
use super::terminal::{stderr, stdout};

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
                let any_case: String = extension.chars().map(|c| format!("[{c}{}]", c.to_ascii_uppercase())).collect();
                let folder = glob::Pattern::escape(argument.trim_end_matches('/'));
                collect(&format!("{folder}/**/*.{any_case}"), &mut found)?;
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
    let outputs = output_names(&found);
    Ok(found.into_iter().zip(outputs).collect())
}

/// Names of the models of sorted inputs, below the output folder; no two are the same, nor is one another's checkpoint.
fn output_names(inputs: &[PathBuf]) -> Vec<PathBuf> {
    let shared = common_folder(inputs);
    let mut used = HashSet::new();
    let named = inputs.iter().map(|path| {
        let relative = path.strip_prefix(&shared).unwrap_or(path);
        // A path from the root, or above the current folder, would lead out of the output folder.
        let relative: PathBuf = relative.components().filter(|c| matches!(c, Component::Normal(_))).collect();
        let mut output = relative.with_extension("safetensors");
        let mut taken = relative;
        while used.contains(&output) {
            // chair.obj has the name already: chair.ply becomes chair.ply.safetensors.
            output = taken.with_added_extension("safetensors");
            taken = output.clone();
        }
        used.extend([checkpoint_path(&output), output.clone()]);
        output
    });
    named.collect()
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

/// Status of an input whose model is there.
const FITTED: &str = "fitted";

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
    if let Some((input, _)) = inputs.iter().find(|(input, _)| nstr_files::is_same(&table, input)) {
        bail!("--table {}: is an input ({}); name another file", table.display(), input.display());
    }
    check_folder(&folder)?;
    // Made first: the table usually lies in the folder.
    let _lock = hold(&folder, index, count)?;
    if let Some(parent) = table.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
    }
    check_file(&table, "the table's name", &[])?;
    check_columns(&table)?;
    stderr!("{} of {} inputs are this process's", mine.len(), inputs.len());
    let mut is_first = true;
    let is_finished = |input: &Path, output: &Path| {
        !args.overwrite && !checkpoint_path(output).exists() && is_finished_fit(output, input)
    };
    let todo: Vec<(usize, &PathBuf, PathBuf)> = mine
        .iter()
        .enumerate()
        .map(|(n, (input, relative))| (n, input, folder.join(relative)))
        .filter(|(_, input, output)| !is_finished(input, output))
        .collect();
    let (mut fitted, mut failed) = (0, 0);
    let mut progress = ProgressDisplay::of_runs(todo.len())?;
    for (n, input, output) in &todo {
        let checkpoint = checkpoint_path(output);
        if let Some(parent) = output.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
        }
        // A job that was cut off goes on where it stopped.
        let args = FitArgs { resume: checkpoint.exists() && !args.overwrite, ..args.clone() };
        progress.begin_run(&input.display().to_string());
        let result = fit_input(&args, input, output, &mut progress);
        if progress.is_stopped() {
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
                    status: FITTED,
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
        progress.end_run();
        let rest = progress.rest();
        progress.line(&format!("[{}/{}] {} {}{note}{rest}", n + 1, mine.len(), row.status, input.display()));
        append(&table, &row, std::mem::take(&mut is_first))?;
        if row.status == FITTED {
            // There may be none.
            let _ = std::fs::remove_file(&checkpoint);
        }
    }
    drop(progress);
    let skipped = mine.len() - todo.len();
    let rows = match table.exists() {
        true => format!("table: {}", table.display()),
        false => "no table, for it would have no row".into(),
    };
    stdout!("{fitted} fitted, {skipped} finished before, {failed} failed; {rows}");
    if failed > 0 {
        bail!("{failed} of {} inputs failed; the table says why", mine.len());
    }
    Ok(())
}

/// Makes the output folder and holds it for a shard: other shards may write there, the same one of another run may not.
fn hold(folder: &Path, index: usize, count: usize) -> anyhow::Result<Lock> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    lock_as(&folder.join(format!("shard-{index}-of-{count}")), folder)
}

/// Most bytes of a table that are read for the names of its columns.
const MOST_HEADER: u64 = 4096;

/// Refuses a file that is no table with the columns of ours: rows are not to be added to it.
fn check_columns(table: &Path) -> anyhow::Result<()> {
    if !matches!(nstr_files::resolve(table), Ok(Target::File(_))) {
        return Ok(());
    }
    let context = || table.display().to_string();
    let mut start = Vec::new();
    match File::open(table) {
        Ok(file) => file.take(MOST_HEADER).read_to_end(&mut start).with_context(context)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).with_context(context),
    };
    let first = start.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii_end();
    let header = text_of(&Row::default(), true)?;
    if start.is_empty() || (!first.is_empty() && header.starts_with(first)) {
        return Ok(());
    }
    bail!("{}: is there and is no table with the columns of this one; name another with --table", table.display());
}

/// A row as text, after the names of the columns where `has_header`.
fn text_of(row: &Row, has_header: bool) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().has_headers(has_header).from_writer(Vec::new());
    writer.serialize(row)?;
    writer.into_inner().map_err(|e| anyhow::anyhow!("{e}"))
}

/// Adds a row to a table; `is_first` tells of what has no length, like a pipe, whether it is empty.
fn append(table: &Path, row: &Row, is_first: bool) -> anyhow::Result<()> {
    let context = || table.display().to_string();
    if !matches!(nstr_files::resolve(table), Ok(Target::File(_)) | Err(_)) {
        return nstr_files::write(table, &text_of(row, is_first)?).with_context(context);
    }
    if let Some(parent) = table.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).with_context(context)?;
    }
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(table).with_context(context)?;
    let length = file.metadata().with_context(context)?.len();
    let mut line = text_of(row, length == 0).with_context(context)?;
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last)).with_context(context)?;
        if last != *b"\n" {
            // A full disk or a kill cut the row before this one.
            line.insert(0, b'\n');
        }
    }
    // In one piece: a row is there or not.
    file.write_all(&line).with_context(context)
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
    fn a_row_that_was_cut_off_does_not_join_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("deep/results.csv");
        let row = |input: &str| Row { input: input.into(), status: FITTED, ..Row::default() };
        for name in ["a.obj", "b, \"c\".obj"] {
            append(&table, &row(name), true).unwrap();
        }
        let whole = std::fs::read_to_string(&table).unwrap();
        std::fs::write(&table, &whole[..whole.len() - 9]).unwrap();
        append(&table, &row("d.obj"), true).unwrap();
        check_columns(&table).unwrap();
        append(&table, &row("e.obj"), false).unwrap();
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(&table).unwrap();
        let inputs: Vec<String> = reader.records().map(|r| r.unwrap()[0].to_string()).collect();
        assert_eq!(inputs, ["a.obj", "b, \"c\".obj", "d.obj", "e.obj"]);
    }

    #[test]
    fn outputs_mirror_what_inputs_do_not_share() {
        let paths = ["a/x/models/m.obj", "a/y/models/m.obj", "a/z.obj"].map(PathBuf::from);
        assert_eq!(common_folder(&paths), PathBuf::from("a"));
        assert_eq!(common_folder(&[PathBuf::from("m.obj"), PathBuf::from("b/m.obj")]), PathBuf::new());
    }

    #[test]
    fn models_stay_in_their_folder_and_apart() {
        let names = |inputs: &[&str]| {
            let paths: Vec<PathBuf> = inputs.iter().map(PathBuf::from).collect();
            output_names(&paths).into_iter().map(|p| p.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(&["a/chair.obj", "a/chair.ply"]), ["chair.safetensors", "chair.ply.safetensors"]);
        assert_eq!(
            names(&["chair.obj", "chair.ply", "chair.ply.obj"]),
            ["chair.safetensors", "chair.ply.safetensors", "chair.ply.obj.safetensors"]
        );
        // The checkpoint of x.safetensors would replace a model.
        assert_eq!(names(&["x.obj", "x.checkpoint.obj"]), ["x.safetensors", "x.checkpoint.obj.safetensors"]);
        assert_eq!(names(&["../b.obj", "a.obj"]), ["b.safetensors", "a.safetensors"]);
        #[cfg(unix)]
        assert_eq!(names(&["/data/b.obj", "a.obj"]), ["data/b.safetensors", "a.safetensors"]);
    }

    #[test]
    fn rows_are_added_to_tables_of_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        check_columns(&at("new.csv")).unwrap();
        for (name, content) in [
            ("a.obj", "v 0 0 0\nv 1 0 0\n"),
            ("other.csv", "name,value\na,1\n"),
            ("lines", "\n"),
            ("long", "input,more\n"),
        ] {
            std::fs::write(at(name), content).unwrap();
            assert!(check_columns(&at(name)).is_err(), "{name}");
        }
        std::fs::write(at("empty.csv"), "").unwrap();
        check_columns(&at("empty.csv")).unwrap();
    }
}
