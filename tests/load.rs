//! Several runs at a time onto one output and into one batch folder: whole files at the end, and whoever had to stand back
//! was told who writes there.
//!
//! Minutes of processes, so not part of every run: `cargo test --release --test load -- --ignored`.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use common::{command, ok, scene};
use nstr::Model;

/// Processes at a time.
const RUNS: usize = 6;
/// Options of a fit of a second or so.
const QUICK: [&str; 6] = ["--preset", "sdf-tiny", "--steps", "300", "--set", "train.batch=2048"];

fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = command(folder, arguments);
    command.env("RAYON_NUM_THREADS", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits for processes; returns how many did their work. The others must have named the one that was in their way.
fn settle(runs: Vec<Child>) -> usize {
    let owners: BTreeSet<u32> = runs.iter().map(Child::id).collect();
    let ended: Vec<(u32, Output)> = runs.into_iter().map(|run| (run.id(), run.wait_with_output().unwrap())).collect();
    let mut done = 0;
    for (id, output) in ended {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{said}");
        if output.status.success() {
            done += 1;
            continue;
        }
        assert_eq!(output.status.code(), Some(1), "{said}");
        let other = |owner: &&u32| **owner != id && said.contains(&format!("process {owner} on "));
        assert!(said.contains("another run writes it") && owners.iter().find(other).is_some(), "{said}");
    }
    done
}

/// Names of a folder's files and those below it, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                names.push(path.strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    names.sort();
    names
}

fn is_finished(model: &Path) -> bool {
    Model::load(model).unwrap().metrics.get("finished") == Some(&1.0)
}

/// A folder `meshes` of boxes of different sizes.
fn boxes(folder: &Path, count: usize) -> Vec<PathBuf> {
    let meshes = folder.join("meshes");
    fs::create_dir(&meshes).unwrap();
    let one = |i: usize| {
        let corner = |c: usize| [c & 1, c >> 1 & 1, c >> 2].map(|bit| bit as f64 * (1.0 + 0.1 * i as f64));
        let vertices = (0..8).map(corner).map(|[x, y, z]| format!("v {x} {y} {z}\n")).collect::<String>();
        let quads = ["1 3 4 2", "5 6 8 7", "1 2 6 5", "3 7 8 4", "1 5 7 3", "2 4 8 6"];
        let path = meshes.join(format!("box{i}.obj"));
        fs::write(&path, vertices + &quads.map(|quad| format!("f {quad}\n")).concat()).unwrap();
        path
    };
    (0..count).map(one).collect()
}

/// Rows of a batch's table: input and status. Every line must be whole, and the first one alone the header.
fn rows(table: &Path) -> Vec<(String, String)> {
    let mut reader = csv::Reader::from_path(table).unwrap();
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap();
    let (input, status) = (column("input"), column("status"));
    // A row of another length is an error of the reader.
    let rows = reader.records().map(|row| row.unwrap()).map(|row| (row[input].to_string(), row[status].to_string()));
    let rows: Vec<_> = rows.collect();
    assert!(rows.iter().all(|(_, status)| status == "fitted" || status == "failed"), "{rows:?}");
    rows
}

#[test]
#[ignore = "load: minutes of processes"]
fn runs_onto_one_model_leave_one_whole_model() {
    let folder = tempfile::tempdir().unwrap();
    let chair = scene("chair.obj");
    let arguments = [&["fit", &chair, "-o", "m.safetensors", "--overwrite", "--no-eval"], &QUICK[..]].concat();
    let done = settle((0..RUNS).map(|_| start(folder.path(), &arguments)).collect());
    assert!(done >= 1);
    assert_eq!(names(folder.path()), ["m.safetensors"]);
    assert!(is_finished(&folder.path().join("m.safetensors")));
}

#[test]
#[ignore = "load: minutes of processes"]
fn runs_into_one_batch_folder_leave_whole_models_and_rows() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let meshes = boxes(at, 8);
    let arguments = [&["fit", "meshes", "-o", "out", "--no-eval"], &QUICK[..]].concat();
    assert!(settle((0..RUNS).map(|_| start(at, &arguments)).collect()) >= 1);
    // What was left to do for somebody else is done now, or was done.
    ok(at, &arguments);
    let mut wanted: Vec<String> = (0..8).map(|i| format!("box{i}.safetensors")).collect();
    wanted.push("results.csv".into());
    wanted.sort();
    assert_eq!(names(&at.join("out")), wanted);
    assert!((0..8).all(|i| is_finished(&at.join(format!("out/box{i}.safetensors")))));
    let fitted: BTreeSet<String> =
        rows(&at.join("out/results.csv")).into_iter().filter(|row| row.1 == "fitted").map(|row| row.0).collect();
    assert_eq!(fitted.len(), meshes.len(), "{fitted:?}");
}

#[test]
#[ignore = "load: minutes of processes"]
fn shards_of_one_folder_do_not_stand_in_each_others_way() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    boxes(at, 8);
    let shard = |i: usize| {
        let part = format!("{i}/4");
        start(at, &[&["fit", "meshes", "-o", "out", "--no-eval", "--shard", &part], &QUICK[..]].concat())
    };
    assert_eq!(settle((0..4).map(shard).collect()), 4);
    let tables = (0..4).map(|i| rows(&at.join(format!("out/results.{i}.csv"))));
    let fitted: BTreeSet<String> = tables.flatten().filter(|row| row.1 == "fitted").map(|row| row.0).collect();
    assert_eq!(fitted.len(), 8);
    assert_eq!(names(&at.join("out")).len(), 8 + 4);
}

#[test]
#[ignore = "load: minutes of processes"]
fn a_killed_run_leaves_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let chair = scene("chair.obj");
    let endless = ["fit", &chair, "-o", "m.safetensors", "--preset", "sdf-tiny", "--steps", "10000000", "--no-eval"];
    for _ in 0..3 {
        let mut first = start(folder.path(), &[&endless[..], &["--overwrite"]].concat());
        let started = Instant::now();
        // A killed run's lock file stays, so its content counts.
        let owner = format!("process {}\n", first.id());
        let lock = folder.path().join(".m.safetensors.lock");
        while !std::fs::read_to_string(&lock).is_ok_and(|text| text.contains(&owner)) {
            assert!(started.elapsed() < Duration::from_secs(60) && first.try_wait().unwrap().is_none(), "no lock");
            std::thread::sleep(Duration::from_millis(20));
        }
        // The second is refused while the first lives, and told about it.
        let second = start(folder.path(), &[&endless[..], &["--overwrite"]].concat());
        let refused = second.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(&format!("process {} on ", first.id())), "{said}");
        first.kill().unwrap();
        first.wait().unwrap();
    }
    let arguments = [&["fit", &chair, "-o", "m.safetensors", "--overwrite", "--no-eval"], &QUICK[..]].concat();
    ok(folder.path(), &arguments);
    assert_eq!(names(folder.path()), ["m.safetensors"]);
}
