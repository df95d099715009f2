//! `nstr compare` as it is used: tables that come again, runs that are kept, failures that are shown, bad recipes.

mod common;

use std::path::{Path, PathBuf};

use common::{command, data_dir, fails, json, ok, run, scene};

/// Two methods on a knot, as small as can be.
const RECIPE: &str = r#"
title = "Two | sizes"
question = "Is the larger one better?"
inputs = ["KNOT"]
seeds = [0, 1]
steps = 60
set = ["train.batch=1024"]
metrics = ["iou", "-chamfer_l1"]
eval = ["--lattice=32", "--resolution=64", "--samples=4000"]

[quick]
seeds = [5]
steps = 20

[[method]]
name = "small"
preset = "sdf-tiny"
parameters = 9000
fill = ["latent.resolution"]

[[method]]
name = "usual"
preset = "sdf-tiny"
reference = true
"#;

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("two.toml"), text.replace("KNOT", &scene("knot.ply"))).unwrap();
}

/// The columns of a table that do not depend on the clock, and the names of the others.
fn reproducible(table: &Path) -> (Vec<Vec<String>>, Vec<String>) {
    let mut reader = csv::Reader::from_path(table).unwrap();
    let header: Vec<String> = reader.headers().unwrap().iter().map(String::from).collect();
    let end = header.iter().position(|name| name == "message").unwrap();
    let rows = reader.records().map(|row| row.unwrap().iter().take(end).map(String::from).collect());
    (rows.collect(), header[end + 1..].to_vec())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        glob::glob(&format!("{}/**/*", folder.display())).unwrap().map(|p| p.unwrap()).collect();
    found.retain(|p| p.is_file());
    found
}

#[test]
fn tables_come_again_and_finished_runs_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, RECIPE);
    let plan = ok(at, &["compare", "two.toml", "-o", "out", "--plan"]);
    assert!(plan.contains("2 methods × 1 input × 2 seeds = 4 runs"), "{plan}");
    assert!(plan.contains("latent.resolution=") && plan.contains("(filled)") && !at.join("out").exists(), "{plan}");

    let text = ok(at, &["compare", "two.toml", "-o", "out"]);
    assert!(text.contains("[4/4] usual, knot, seed 1: iou 0.") && text.contains("usual (reference)"), "{text}");
    let out = at.join("out");
    let first = reproducible(&out.join("table.csv"));
    assert_eq!(first.0.len(), 4);
    assert_eq!(first.0.iter().map(|row| row[2].as_str()).collect::<Vec<_>>(), ["small", "usual", "small", "usual"]);
    assert!(first.0.iter().all(|row| row[3] == "finished" && row[6].parse::<f64>().unwrap() > 0.05), "{first:?}");
    assert!(first.1.iter().any(|name| name == "train_seconds"), "{first:?}");
    let size: usize = first.0[0][4].parse().unwrap();
    assert!((7000..=9000).contains(&size), "{size}");
    let table = std::fs::read_to_string(out.join("table.md")).unwrap();
    for part in ["# Two | sizes", "Is the larger one better?", "iou ↑", "Δ iou", " ± ", "**", "two.toml"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    for name in ["quality-steps.svg", "quality-seconds.svg", "quality-parameters.svg"] {
        let text = std::fs::read_to_string(out.join(name)).unwrap();
        assert!(text.contains("<svg") && text.contains("usual") && text.contains("polyline"), "{name}");
    }
    let record = json(&out.join("runs/small/knot-1.json"));
    let losses = record["curve"]["loss"].as_array().unwrap();
    assert!(losses.len() >= 3 && losses[0][2].as_f64().unwrap() > losses.last().unwrap()[2].as_f64().unwrap());
    assert_eq!(record["fingerprint"]["seed"], "1");
    assert!(files(&out).iter().all(|p| p.extension().unwrap() != "safetensors"));

    // Nothing is left to do; what is shown is the same, times and all.
    let whole = std::fs::read(out.join("table.csv")).unwrap();
    let text = ok(at, &["compare", "two.toml", "-o", "out"]);
    assert!(text.contains("4 finished before are kept") && !text.contains("[1/"), "{text}");
    assert!(std::fs::read(out.join("table.csv")).unwrap() == whole);
    // Done again, everything but the times comes out the same.
    let text = ok(at, &["compare", "two.toml", "-o", "out", "--again", "--keep-models"]);
    assert!(text.contains("[4/4]"), "{text}");
    assert_eq!(reproducible(&out.join("table.csv")), first);
    assert!(out.join("runs/small/knot-1.safetensors").exists());
    // Another setting concerns the runs that it changes.
    write(at, &RECIPE.replace("reference = true", "reference = true\nset = [\"train.beta1=0.8\"]"));
    let text = ok(at, &["compare", "two.toml", "-o", "out"]);
    assert!(text.contains("other config.train.beta1") && text.contains("[2/2]"), "{text}");
    // The short form leaves the runs of the long one alone.
    let before = std::fs::read(out.join("runs/small/knot-1.json")).unwrap();
    let text = ok(at, &["compare", "two.toml", "-o", "out", "--quick"]);
    assert!(text.contains("(quick)") && text.contains("seed 5"), "{text}");
    assert!(out.join("runs-quick/small/knot-5.json").exists());
    assert!(std::fs::read(out.join("runs/small/knot-1.json")).unwrap() == before);
}

#[test]
fn a_run_that_fails_is_shown_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(
        at,
        &RECIPE.replace("fill = [\"latent.resolution\"]", "set = [\"train.net_lr=1e30\", \"train.schedule.warmup=1\"]"),
    );
    let error = fails(at, &["compare", "two.toml", "-o", "out"]);
    assert!(error.contains("2 of 4 runs failed") && error.contains("small, knot, seed 0: failed: "), "{error}");
    let table = std::fs::read_to_string(at.join("out/table.md")).unwrap();
    assert!(table.contains("0 of 2, 2 failed") && table.contains("## Failed runs"), "{table}");
    assert!(table.contains("- small (knot seed 0, knot seed 1): training diverged at step "), "{table}");
    let rows = reproducible(&at.join("out/table.csv")).0;
    assert_eq!(
        rows.iter().map(|row| row[3].as_str()).collect::<Vec<_>>(),
        ["failed", "finished", "failed", "finished"]
    );
    assert!(files(&at.join("out")).iter().all(|p| p.extension().unwrap() != "safetensors"));
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_between_what_is_finished_and_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let slow = RECIPE.replace("reference = true", "reference = true\nsteps = 1_000_000");
    write(at, &slow);
    let pipe = std::process::Stdio::piped;
    let child = command(at, &["compare", "two.toml", "-o", "out"]).stdout(pipe()).stderr(pipe()).spawn().unwrap();
    let done = at.join("out/runs/small/knot-0.json");
    for _ in 0..600 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        if done.exists() {
            break;
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    // As Ctrl-C, which is ignored where the tests run in the background of a shell.
    let killed = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let out = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{error}");
    assert!(error.contains("interrupted; run the same command again"), "{error}");
    let rows = reproducible(&at.join("out/table.csv")).0;
    assert_eq!(rows.iter().map(|r| r[3].as_str()).collect::<Vec<_>>(), ["finished", "missing", "missing", "missing"]);
    let left: Vec<PathBuf> = files(&at.join("out/runs"));
    assert_eq!(left, [done], "no model and no checkpoint of the run that was cut short");
}

#[test]
fn bad_recipes_say_what_is_wrong_before_anything_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (from, to, parts) in [
        ("steps = 60", "step = 60", &["two.toml", "line 6", "unknown field `step`"][..]),
        ("preset = \"sdf-tiny\"\np", "preset = \"sdf-tny\"\np", &["two.toml", "method `small`", "no preset `sdf-tny`"]),
        ("train.batch=1024", "train.batches=1024", &["method `small`", "train.batches", "train.batch"]),
        ("parameters = 9000", "parameters = 900", &["fill of latent.resolution", "more than 900"]),
        ("KNOT", "knots.ply", &["inputs, `knots.ply`", "working directory"]),
        ("KNOT", "$NSTR_NOWHERE/knot.ply", &["$NSTR_NOWHERE is not set"]),
        ("\"--samples=4000\"", "\"--sample=4000\"", &["eval of method `small` on `knot`", "--sample"]),
        ("\"--samples=4000\"", "\"--json=x\"", &["eval", "`--json=x`", "runs/"]),
        ("\"--samples=4000\"", "\"4000\"", &["eval", "`4000`", "--downscale=4"]),
        ("metrics =", "fit = [\"--seed=3\"]\nmetrics =", &["fit", "`--seed=3`", "`seeds`"]),
    ] {
        assert!(RECIPE.contains(from), "{from}");
        write(at, &RECIPE.replacen(from, to, 1));
        let error = fails(at, &["compare", "two.toml", "-o", "out"]);
        parts.iter().for_each(|part| assert!(error.contains(part), "{to}: no `{part}` in: {error}"));
        assert!(!at.join("out").exists());
    }
    // A preset for another kind of input, and figures that no run has.
    write(at, &RECIPE.replace("KNOT", &scene("chirp.png")));
    let error = fails(at, &["compare", "two.toml", "--plan"]);
    assert!(error.contains("is for a mesh, and `chirp` is a picture"), "{error}");
    let metrics = RECIPE.lines().find(|line| line.starts_with("metrics")).unwrap();
    write(at, &RECIPE.replace("KNOT", &scene("knot.ply")).replace(metrics, "metrics = [\"foo\"]"));
    let error = fails(at, &["compare", "two.toml", "-o", "foo", "--steps", "5"]);
    assert!(error.contains("metrics: the run has none of them") && error.contains("iou"), "{error}");
    assert!(fails(at, &["compare", "none.toml"]).contains("none.toml"));
    write(at, RECIPE.split("[quick]").next().unwrap());
    assert!(fails(at, &["compare", "two.toml"]).contains("missing field `method`"));
    assert_eq!(run(at, &["compare"]).status.code(), Some(2));
}

#[test]
fn the_recipes_that_come_along_can_be_planned() {
    let Some(data) = data_dir("") else { return };
    assert!(data.is_dir());
    let recipes = glob::glob(&scene("compare/*.toml")).unwrap().map(|p| p.unwrap());
    for recipe in recipes {
        for form in [&[][..], &["--quick"]] {
            let path = recipe.display().to_string();
            let text = ok(Path::new("."), &[&["compare", &path, "--plan"], form].concat());
            assert!(!text.contains("more than"), "{path}: {text}");
        }
    }
}
