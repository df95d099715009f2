//! Fits and batches that are killed at random moments and resumed until they end, and disks that are full, read-only or
//! taken away under them: what is there always loads, the end is that of a run that nobody disturbed, bit for bit, and
//! nothing that was learned is lost.
//!
//! Minutes of processes, so not part of every run: `cargo test --release --test kill -- --ignored --test-threads 1`.
//! `NSTR_KILLS` is the number of kills of each test (20 if not set), `NSTR_SEED` chooses their moments. The tests of disks
//! mount small file systems in a temporary folder, which only root may.
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Requirement, command, ok, run, scene, skip};
use nstr::Model;
use nstr::field::model::Checkpoint;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Number in an environment variable.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = command(folder, arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Everything of a model that must not depend on how often its fit was interrupted: all but times.
fn identity(model: &Model) -> (Vec<u32>, [u64; 4], String, String) {
    let parameters = model.grid.iter().chain(&model.net).map(|v| v.to_bits()).collect();
    let [x, y, z] = model.cube().origin.to_array().map(f64::to_bits);
    let metrics: BTreeMap<_, _> = model.metrics.iter().filter(|(name, _)| !name.ends_with("seconds")).collect();
    let rest = format!("{:?} {metrics:?} {:?}", model.spec, model.occupancy.as_ref().map(|o| o.to_bytes()));
    // The same digits, not only the same values.
    (parameters, [x, y, z, model.cube().size.to_bits()], model.config.to_string(), rest)
}

/// Asserts that two models are the same, without printing either.
fn assert_same(found: &Model, whole: &Model) {
    let (found, whole) = (identity(found), identity(whole));
    assert!(found.0 == whole.0, "parameters differ");
    assert!(found.1 == whole.1, "the domain differs: {:?} and {:?}", found.1, whole.1);
    assert_eq!(found.2, whole.2, "config");
    assert!(found.3 == whole.3, "shape, metrics or occupancy differ");
}

/// Asserts that a model file and its checkpoint load where they are there, and that nothing has another name; returns which
/// are there.
fn check(folder: &Path, model: &str) -> [bool; 2] {
    let checkpoint = model.replace(".safetensors", ".checkpoint.safetensors");
    let there = [model, &checkpoint].map(|name| folder.join(name).exists());
    if there[0] {
        Model::load(folder.join(model)).unwrap();
    }
    if there[1] {
        let checkpoint = Checkpoint::load(folder.join(&checkpoint)).unwrap();
        assert!(checkpoint.state["step"].as_u64().is_some_and(|step| step > 0), "{}", checkpoint.state);
    }
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let known = name == model || name == checkpoint || name.ends_with(".part") || name.ends_with(".lock");
        assert!(known, "{name} in the output folder");
    }
    there
}

/// Kills a fit at random moments and resumes it, again and again; each time that it comes to its end the model must be the
/// one of an uninterrupted fit.
fn kill_and_resume(input: &str, arguments: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("whole")).unwrap();
    fs::create_dir(at.join("killed")).unwrap();
    let common = ["--precision", "f32", "--checkpoint-every", "100ms"];
    let fit = |output: &'static str| [&["fit", input, "-o", output][..], arguments, &common].concat();
    let clock = Instant::now();
    ok(at, &fit("whole/m.safetensors"));
    let duration = clock.elapsed();
    let whole = Model::load(at.join("whole/m.safetensors")).unwrap();
    let resumed = [&fit("killed/m.safetensors")[..], &["--resume"]].concat();

    let (kills, seed) = (number("NSTR_KILLS", 20), number("NSTR_SEED", 1));
    let mut rng = Pcg64::seed_from_u64(seed);
    let output = at.join("killed/m.safetensors");
    let (mut killed, mut ends, mut had_checkpoint, mut furthest) = (0, 0, false, 0);
    while killed < kills {
        let mut child = start(at, &resumed);
        std::thread::sleep(duration.mul_f64(1.1 * rng.random::<f64>()));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "seed {seed}, after {killed} kills: {status}");
            assert_same(&Model::load(&output).unwrap(), &whole);
            assert_eq!(check(&at.join("killed"), "m.safetensors"), [true, false], "the checkpoint is gone at the end");
            fs::remove_file(&output).unwrap();
            (ends, had_checkpoint, furthest) = (ends + 1, false, 0);
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
        if killed % 20 == 0 {
            eprintln!("{input}: {killed} kills and {ends} whole fits so far");
        }
        let [has_model, has_checkpoint] = check(&at.join("killed"), "m.safetensors");
        assert!(has_model || has_checkpoint || !had_checkpoint, "seed {seed}, kill {killed}: the checkpoint is lost");
        had_checkpoint = has_checkpoint || (had_checkpoint && !has_model);
        if has_model && !has_checkpoint {
            // It was killed in its last breath; the next one begins anew.
            furthest = 0;
        }
        if has_checkpoint {
            let state = Checkpoint::load(at.join("killed/m.checkpoint.safetensors")).unwrap().state;
            let step = state["step"].as_u64().unwrap();
            assert!(step >= furthest, "seed {seed}, kill {killed}: back from step {furthest} to {step}");
            furthest = step;
        }
    }
    ok(at, &resumed);
    assert_same(&Model::load(&output).unwrap(), &whole);
    assert_eq!(check(&at.join("killed"), "m.safetensors"), [true, false]);
    eprintln!("{input}: {killed} kills, {} whole fits, {:.1} s each uninterrupted", ends + 1, duration.as_secs_f64());
}

#[test]
#[ignore = "a tier of its own: minutes"]
fn a_distance_field_ends_in_the_same_bits() {
    let quick =
        ["--preset", "sdf-tiny", "--steps", "1500", "--set", "train.batch=4096", "--set", "train.ema_decay=0.9"];
    kill_and_resume(&scene("bracket.stl"), &quick);
}

#[test]
#[ignore = "a tier of its own: minutes"]
fn a_radiance_field_ends_in_the_same_bits() {
    let quick = ["--preset", "radiance-tiny", "--steps", "400", "--downscale", "2"];
    let smaller = ["--set", "rays.samples_per_step=8192", "--set", "occupancy.resolution=32"];
    kill_and_resume(&scene("teaset"), &[&quick[..], &smaller].concat());
}

#[test]
#[ignore = "a tier of its own: minutes"]
fn a_picture_ends_in_the_same_bits() {
    let quick =
        ["--preset", "image-tiny", "--steps", "1000", "--set", "train.batch=8192", "--set", "signal.noise=0.01"];
    kill_and_resume(&scene("chirp.png"), &quick);
}

/// Rows of a table of results that say "fitted", by input: its distinct columns but for times.
fn fitted_rows(table: &Path) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(table).unwrap();
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap();
    let (input, status) = (column("input"), column("status"));
    let compared = ["sign", "faces", "watertight", "iou", "chamfer_l1", "parameters", "steps"].map(column);
    let mut rows: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for row in reader.records().map(|row| row.unwrap()).filter(|row| row.get(status) == Some("fitted")) {
        let row_of_input = compared.iter().map(|c| row[*c].to_string()).collect();
        rows.entry(row[input].to_string()).or_default().push(row_of_input);
    }
    rows
}

#[test]
#[ignore = "a tier of its own: minutes"]
fn a_batch_ends_in_the_same_bits_with_every_mesh_in_its_table() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let names = ["bracket.stl", "chair.obj", "knot.ply"];
    fs::create_dir(at.join("shapes")).unwrap();
    for name in names {
        fs::copy(scene(name), at.join("shapes").join(name)).unwrap();
    }
    let quick = ["--preset", "sdf-tiny", "--steps", "500", "--set", "train.batch=4096"];
    let common = ["--precision", "f32", "--checkpoint-every", "100ms"];
    let fit = |output: &'static str| [&["fit", "shapes", "-o", output][..], &quick, &common].concat();
    let clock = Instant::now();
    ok(at, &fit("whole"));
    let duration = clock.elapsed();
    let table = fitted_rows(&at.join("whole/results.csv"));
    assert_eq!(table.len(), names.len());
    let model = |folder: &str, name: &str| {
        Model::load(at.join(folder).join(Path::new(name).with_extension("safetensors"))).unwrap()
    };
    let check_end = || {
        for name in names {
            assert_same(&model("killed", name), &model("whole", name));
        }
        let found = fitted_rows(&at.join("killed/results.csv"));
        for (input, rows) in &table {
            let again = found.get(input).unwrap_or_else(|| panic!("{input} has no row"));
            assert!(again.iter().all(|row| *row == rows[0]), "{input}: {again:?}, not {rows:?}");
        }
    };

    let (kills, seed) = (number("NSTR_KILLS", 20), number("NSTR_SEED", 1));
    let mut rng = Pcg64::seed_from_u64(seed);
    let (mut killed, mut ends) = (0, 0);
    while killed < kills {
        let mut child = start(at, &fit("killed"));
        std::thread::sleep(duration.mul_f64(0.7 * rng.random::<f64>()));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "seed {seed}, after {killed} kills: {status}");
            check_end();
            fs::remove_dir_all(at.join("killed")).unwrap();
            ends += 1;
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
        for entry in fs::read_dir(at.join("killed")).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|e| e.to_str()) {
                Some("safetensors") => drop(Model::load(&path).unwrap()),
                Some("csv" | "part" | "lock") => {}
                _ => panic!("{} in the output folder", path.display()),
            }
        }
    }
    ok(at, &fit("killed"));
    check_end();
    eprintln!("batch: {killed} kills, {} whole batches, {:.1} s each uninterrupted", ends + 1, duration.as_secs_f64());
}

/// A file system in memory, mounted until it is dropped.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts `kib` KiB at `at`, which is made; `None` after a skip where that is not allowed.
    fn mount(at: &Path, kib: u32) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let size = format!("size={kib}k");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "nstr-test"]).arg(at).output();
        if mounted.is_ok_and(|out| out.status.success()) {
            return Some(Self { at: at.into() });
        }
        skip(Requirement::Mount, "a small disk can be mounted by root only");
        None
    }

    /// Makes it read-only or writable again.
    fn remount(&self, how: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.at).status().unwrap();
        assert!(done.success(), "cannot remount {} {how}", self.at.display());
    }

    /// Takes it away, whoever uses it.
    fn take_away(&self) {
        let done = Command::new("umount").arg("-l").arg(&self.at).status().unwrap();
        assert!(done.success(), "cannot unmount {}", self.at.display());
    }

    /// Fills it but for `left` KiB.
    fn fill(&self, left: usize) {
        use std::io::Write;
        let mut file = fs::File::create(self.at.join("filler")).unwrap();
        while file.write_all(&[7; 1024]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length - (left as u64 * 1024).min(length)).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It may have been taken away before.
        let _ = Command::new("umount").arg("-l").arg(&self.at).stderr(Stdio::null()).status();
    }
}

/// Options of a fit that writes a model of about 60 kB and checkpoints of about 350 kB.
const SMALL: [&str; 9] = [
    "--preset",
    "sdf-tiny",
    "--steps",
    "1500",
    "--set",
    "train.batch=4096",
    "--no-eval",
    "--checkpoint-every",
    "100ms",
];

/// The model that a fit with [`SMALL`] makes, fitted in a folder of its own.
fn undisturbed() -> Model {
    let folder = tempfile::tempdir().unwrap();
    ok(folder.path(), &[&["fit", &scene("bracket.stl"), "-o", "m.safetensors"][..], &SMALL].concat());
    Model::load(folder.path().join("m.safetensors")).unwrap()
}

/// Models in a folder.
fn models(folder: &Path) -> Vec<Model> {
    let paths = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    paths.filter(|p| p.extension().is_some_and(|e| e == "safetensors")).map(|p| Model::load(p).unwrap()).collect()
}

#[test]
#[ignore = "a tier of its own: mounts disks"]
fn a_full_disk_costs_neither_the_old_model_nor_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let bracket = scene("bracket.stl");
    let whole = undisturbed();
    let rescue = at.join("rescue");
    fs::create_dir(&rescue).unwrap();
    let fit = |output: &Path, more: &[&str]| {
        let arguments = [&["fit", &bracket, "-o", output.to_str().unwrap()][..], &SMALL, more].concat();
        let out = command(at, &arguments).env("TMPDIR", &rescue).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        (out.status.code(), said)
    };

    // Room for the model, none for a checkpoint: the fit goes on without.
    let Some(disk) = SmallDisk::mount(&at.join("narrow"), 160) else { return };
    let output = disk.at.join("m.safetensors");
    let (code, said) = fit(&output, &[]);
    assert!(code == Some(0) && said.contains("no checkpoint could be written"), "{said}");
    assert_same(&Model::load(&output).unwrap(), &whole);
    assert!(models(&rescue).is_empty());
    let old = fs::read(&output).unwrap();

    // No room at all: the old model stays as it was, the new one is in the folder for temporary files.
    disk.fill(8);
    let (code, said) = fit(&output, &["--overwrite", "--seed", "1"]);
    assert!(code == Some(1) && said.contains("m.safetensors") && said.contains("instead"), "{said}");
    assert!(fs::read(&output).unwrap() == old, "the old model was touched");
    let rescued = models(&rescue);
    assert_eq!(rescued.len(), 1, "{said}");
    assert!(rescued[0].grid != whole.grid && rescued[0].metrics["steps"] == 1500.0);
    let names: Vec<_> = fs::read_dir(&disk.at).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
#[ignore = "a tier of its own: mounts disks"]
fn a_read_only_disk_is_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(disk) = SmallDisk::mount(&at.join("disk"), 4096) else { return };
    let bracket = scene("bracket.stl");
    let output = disk.at.join("m.safetensors");
    let fit = [&["fit", &bracket, "-o", output.to_str().unwrap()][..], &SMALL, &["--resume"]].concat();

    // A run that is killed once it has a checkpoint, which the read-only disk then keeps.
    let mut child = start(at, &fit);
    let checkpoint = disk.at.join("m.checkpoint.safetensors");
    wait_for(&mut child, &checkpoint);
    child.kill().unwrap();
    child.wait().unwrap();
    disk.remount("ro");
    let before = fs::read(&checkpoint).unwrap();
    let endless = fit.iter().map(|a| if *a == "1500" { "1000000000" } else { *a }).collect::<Vec<_>>();
    // Of a billion steps none is done: the test would not end.
    let out = run(at, &endless);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(1) && said.contains("m.safetensors") && said.contains("ead-only"), "{said}");
    assert!(fs::read(&checkpoint).unwrap() == before);
    disk.remount("rw");
    ok(at, &fit);
    assert_same(&Model::load(&output).unwrap(), &undisturbed());
}

/// Waits until a running process has made a file.
fn wait_for(child: &mut Child, file: &Path) {
    let clock = Instant::now();
    while !file.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before {} was there", file.display());
        assert!(clock.elapsed() < Duration::from_secs(120), "no {}", file.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[ignore = "a tier of its own: mounts disks"]
fn a_folder_that_is_unmounted_under_a_fit_does_not_cost_its_model() {
    let whole = undisturbed();
    let bracket = scene("bracket.stl");
    // By its whole path, and from within the folder, which then has no path any more.
    for from_within in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let rescue = at.join("rescue");
        fs::create_dir(&rescue).unwrap();
        let Some(disk) = SmallDisk::mount(&at.join("net"), 4096) else { return };
        let output = if from_within { PathBuf::from("m.safetensors") } else { disk.at.join("m.safetensors") };
        let arguments = [&["fit", &bracket, "-o", output.to_str().unwrap()][..], &SMALL].concat();
        let mut fit = command(if from_within { &disk.at } else { at }, &arguments);
        fit.env("TMPDIR", &rescue).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = fit.spawn().unwrap();
        wait_for(&mut child, &disk.at.join("m.checkpoint.safetensors"));
        disk.take_away();
        let out = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!said.contains("panicked") && matches!(out.status.code(), Some(0 | 1)), "{said}");
        // Under its name in the folder that came to light, or where the message says.
        let kept = [models(&disk.at), models(&rescue)].concat();
        assert_eq!(kept.len(), 1, "from within: {from_within}: {said}");
        assert_same(&kept[0], &whole);
        assert!(out.status.success() || said.contains("m.safetensors"), "{said}");
    }
}
