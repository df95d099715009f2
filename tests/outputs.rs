//! Outputs of the built command: links, devices, pipes, standard output, files of others, signals and two runs at a time.
#![cfg(unix)]

mod common;

use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use common::{command, fails, json, ok, run, scene};
use nstr::field::model::{Checkpoint, Model};
use nstr::signal::{ImageSignal, PixelEncoding};

/// Writes a grey picture with a ramp of its own.
fn picture(path: &Path, slope: f32) {
    let data = (0..32 * 24).map(|i| (i % 32) as f32 * slope / 32.0).collect();
    let picture = ImageSignal { width: 32, height: 24, channels: 1, encoding: PixelEncoding::Srgb, data };
    picture.write(path).unwrap();
}

/// A short fit of `input`, with `more` arguments.
fn fit<'a>(input: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let quick = ["fit", input, "--preset", "image-tiny", "--set", "train.batch=64", "--no-eval", "--steps", "3"];
    [&quick[..], more].concat()
}

/// The same without an end.
fn endless<'a>(input: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = fit(input, more);
    arguments[8] = "100000000";
    arguments
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Starts a command whose text is read at its end, and waits until `path` is there.
fn start(at: &Path, arguments: &[&str], path: &Path) -> Child {
    let mut child = command(at, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(path, &mut child);
    child
}

fn wait_for(path: &Path, child: &mut Child) {
    for _ in 0..6000 {
        if path.exists() {
            return;
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("ended with {status} before {} was there", path.display());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    panic!("no {}", path.display());
}

fn signal(name: &str, child: &Child) {
    assert!(Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap().success());
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// Runs a shell script in which `$nstr` is the command.
fn shell(at: &Path, script: &str) -> Output {
    Command::new("sh")
        .args(["-c", script])
        .current_dir(at)
        .env("nstr", env!("CARGO_BIN_EXE_nstr"))
        .env_remove("SLURM_ARRAY_TASK_ID")
        .env_remove("JOB_COMPLETION_INDEX")
        .output()
        .unwrap()
}

#[test]
fn links_stay_and_lead_to_the_new_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    picture(&at.join("q.png"), 1.0);
    std::fs::create_dir(at.join("store")).unwrap();
    for (link, to) in [("m.safetensors", "store/m.safetensors"), ("figures.json", "store/figures.json")] {
        symlink(to, at.join(link)).unwrap();
    }
    // Dangling at first, then not.
    for _ in 0..2 {
        ok(at, &fit("q.png", &["-o", "m.safetensors", "--json", "figures.json", "--overwrite"]));
        for name in ["m.safetensors", "figures.json"] {
            assert!(at.join(name).symlink_metadata().unwrap().is_symlink(), "{name}");
            assert!(at.join("store").join(name).symlink_metadata().unwrap().is_file(), "{name}");
        }
    }
    Model::load(at.join("store/m.safetensors")).unwrap();
    assert_eq!(names(&at.join("store")), ["figures.json", "m.safetensors"]);
    assert_eq!(names(at), ["figures.json", "m.safetensors", "q.png", "store"]);
}

#[test]
fn devices_and_pipes_are_written_into() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    picture(&at.join("q.png"), 1.0);
    ok(at, &fit("q.png", &["-o", "m.safetensors"]));
    let measure = |to: &str| ok(at, &["eval", "m.safetensors", "q.png", "--json", to]);

    for name in ["fifo", "x.safetensors", "x.png"] {
        assert!(Command::new("mkfifo").arg(at.join(name)).status().unwrap().success());
    }
    symlink("/dev/null", at.join("null")).unwrap();
    measure("null");
    measure("/dev/null");
    ok(at, &fit("q.png", &["-o", "/dev/null"]));
    assert!(Path::new("/dev/null").metadata().unwrap().file_type().is_char_device());
    assert!(at.join("null").symlink_metadata().unwrap().is_symlink());

    let through = |name: &'static str, arguments: &[&str]| {
        let path = at.join(name);
        let reader = std::thread::spawn(move || std::fs::read(path).unwrap());
        ok(at, arguments);
        assert!(at.join(name).metadata().unwrap().file_type().is_fifo(), "{name}");
        reader.join().unwrap()
    };
    let figures = through("fifo", &["eval", "m.safetensors", "q.png", "--json", "fifo"]);
    assert!(serde_json::from_slice::<serde_json::Value>(&figures).unwrap()["psnr"].is_f64());
    let drawn = through("x.png", &["render", "m.safetensors", "-o", "x.png"]);
    assert!(drawn.starts_with(b"\x89PNG"));
    // A model that cannot be read back, with its metrics.
    let quick = ["fit", "q.png", "--preset", "image-tiny", "--set", "train.batch=64", "--steps", "3"];
    let bytes = through("x.safetensors", &[&quick[..], &["-o", "x.safetensors"]].concat());
    std::fs::write(at.join("copy.safetensors"), bytes).unwrap();
    let copy = Model::load(at.join("copy.safetensors")).unwrap();
    assert!(copy.metrics.contains_key("psnr") && copy.metrics["finished"] == 1.0);
}

#[test]
fn standard_output_takes_an_output_without_messages() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    picture(&at.join("q.png"), 1.0);
    ok(at, &fit("q.png", &["-o", "m.safetensors"]));
    symlink("/proc/self/fd/1", at.join("out")).unwrap();
    let on_linux = ["/dev/stdout", "out"].into_iter().filter(|_| cfg!(target_os = "linux"));
    for name in ["-"].into_iter().chain(on_linux) {
        let out = run(at, &["eval", "m.safetensors", "q.png", "--json", name]);
        assert!(out.status.success(), "{name}: {}", said(&out));
        assert!(serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap()["psnr"].is_f64(), "{name}");
        assert!(said(&out).contains("PSNR"), "{name}");
        // Into a file, which a rename would put another in the place of.
        let out = shell(at, &format!("$nstr eval m.safetensors q.png --json {name} > figures.json"));
        assert!(out.status.success() && json(&at.join("figures.json"))["psnr"].is_f64(), "{name}: {}", said(&out));
    }
    // A model goes into a pipe, but not onto a terminal nor beside another output.
    let out = run(at, &fit("q.png", &["-o", "-"]));
    assert!(out.status.success(), "{}", said(&out));
    std::fs::write(at.join("copy.safetensors"), &out.stdout).unwrap();
    Model::load(at.join("copy.safetensors")).unwrap();
    let twice = fails(at, &fit("q.png", &["-o", "-", "--json", "-"]));
    assert!(twice.contains("takes one output"), "{twice}");
    let drawn = fails(at, &["render", "m.safetensors", "-o", "-"]);
    assert!(drawn.contains("name a folder"), "{drawn}");
    assert!(!names(at).iter().any(|name| name.starts_with('-')));
}

#[test]
fn outputs_are_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    picture(&at.join("q.png"), 1.0);
    std::fs::write(at.join("p.npy"), "").unwrap();
    // Not even the superuser can make a file there.
    let nowhere = if cfg!(target_os = "linux") { "/sys" } else { "none" };
    let to = |name: &str| format!("{nowhere}/{name}");
    let cases: [&[&str]; 11] = [
        &["fit", "absent.png", "-o", &to("m.safetensors")],
        &["fit", "absent.png", "-o", "m.safetensors", "--json", &to("m.json")],
        &["fit", "absent.png", "-o", "m.safetensors", "--render", &to("m.png")],
        &["render", "absent.safetensors", "-o", &to("m.png")],
        &["mesh", "absent.safetensors", "-o", &to("m.obj")],
        &["query", "absent.safetensors", "p.npy", "-o", &to("m.npy")],
        &["eval", "absent.safetensors", "q.png", "--json", &to("m.json")],
        &["render", "absent.safetensors", "-o", &to("frames")],
        &["eval", "absent.safetensors", "q.png", "--images", &to("images")],
        &["diagnose", "absent.safetensors", "-o", &to("report")],
        &["inspect", "absent", "--capture-format", "colmap", "--draw", &to("m.png")],
    ];
    for arguments in cases {
        // Folders are made where they can be.
        if nowhere == "none" && !arguments.last().unwrap().contains('.') {
            continue;
        }
        let said = fails(at, arguments);
        assert!(said.contains(nowhere) && !said.contains("absent") && !said.contains(".part"), "{arguments:?}: {said}");
    }
    if nowhere == "/sys" {
        std::fs::copy(scene("bracket.stl"), at.join("a.stl")).unwrap();
        let said = fails(at, &["fit", "a.stl", "--table", "t.csv", "-o", &to("models"), "--preset", "sdf-tiny"]);
        assert!(said.contains("/sys/models") && !said.contains(".part"), "{said}");
        std::fs::remove_file(at.join("a.stl")).unwrap();
    }
    assert_eq!(names(at), ["p.npy", "q.png"]);
}

#[test]
fn inputs_and_other_outputs_are_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (name, slope) in [("q.png", 1.0), ("other.png", 0.5)] {
        picture(&at.join(name), slope);
    }
    ok(at, &fit("q.png", &["-o", "m.safetensors"]));
    let before = std::fs::read(at.join("q.png")).unwrap();
    let model = std::fs::read(at.join("m.safetensors")).unwrap();
    std::fs::hard_link(at.join("q.png"), at.join("hard.png")).unwrap();
    symlink("q.png", at.join("soft.png")).unwrap();
    for (arguments, word) in [
        (fit("q.png", &["-o", "n.safetensors", "--json", "q.png", "--overwrite"]), "an input"),
        (fit("q.png", &["-o", "n.safetensors", "--json", "n.safetensors"]), "a model's name"),
        (fit("q.png", &["-o", "n.safetensors", "--json", "./n.checkpoint.safetensors"]), "another output"),
        (fit("q.png", &["-o", "n.safetensors", "--json", "x.png", "--render", "x.png"]), "the metrics' name"),
        (fit("q.png", &["-o", "n.safetensors", "--render", "hard.png", "--overwrite"]), "an input"),
        (fit("q.png", &["-o", "n.safetensors", "--render", "soft.png", "--overwrite"]), "an input"),
        (fit("q.png", &["-o", "m.safetensors", "--transport-from", "m.safetensors"]), "an input"),
        (vec!["eval", "m.safetensors", "q.png", "--json", "m.safetensors"], "an input"),
        (vec!["eval", "m.safetensors", "q.png", "--json", "q.png"], "an input"),
        (vec!["render", "m.safetensors", "-o", "q.png"], "was fitted to"),
        (vec!["render", "m.safetensors", "-o", "hard.png"], "was fitted to"),
    ] {
        let said = fails(at, &arguments);
        assert!(said.contains(word), "{arguments:?}: {said}");
        assert_eq!(std::fs::read(at.join("q.png")).unwrap(), before, "{arguments:?}");
        assert_eq!(std::fs::read(at.join("m.safetensors")).unwrap(), model, "{arguments:?}");
    }
    assert!(!at.join("n.safetensors").exists());
    ok(at, &["render", "m.safetensors", "-o", "other.png"]);
    ok(at, &["render", "m.safetensors", "-o", "q.png", "--overwrite"]);
    assert_ne!(std::fs::read(at.join("q.png")).unwrap(), before);
}

#[test]
fn one_input_does_not_take_the_model_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::copy(scene("bracket.stl"), at.join("q.stl")).unwrap();
    picture(&at.join("q.png"), 1.0);
    std::fs::create_dir(at.join("b")).unwrap();
    picture(&at.join("b/q.png"), 0.5);
    ok(at, &["fit", "q.stl", "--preset", "sdf-tiny", "--steps", "2", "--set", "train.batch=256", "--no-eval"]);
    let model = || Model::load(at.join("q.safetensors")).unwrap().provenance["input"].clone();
    let said = fails(at, &fit("q.png", &[]));
    assert!(said.contains("the model of q.stl") && said.contains("--overwrite"), "{said}");
    assert_eq!(model(), "q.stl");
    ok(at, &fit("q.png", &["--overwrite"]));
    assert_eq!(model(), "q.png");
    // The same again is nobody else's; the same name elsewhere is.
    ok(at, &fit("q.png", &[]));
    let said = fails(at, &fit("b/q.png", &[]));
    assert!(said.contains("another q.png"), "{said}");
    // A name that the user gave is taken, with a note.
    let said = ok(at, &fit("b/q.png", &["-o", "q.safetensors"]));
    assert!(said.contains("replaces the model of another q.png"), "{said}");
    // What is no model is not.
    std::fs::write(at.join("w.safetensors"), "weights").unwrap();
    assert!(fails(at, &fit("q.png", &["-o", "w.safetensors"])).contains("--overwrite"));
    assert_eq!(std::fs::read(at.join("w.safetensors")).unwrap(), b"weights");

    // Batches too: one that is finished is skipped, one of another input is not taken for it.
    let batch = |input: &str, more: &[&str]| {
        let usual = ["fit", input, "-o", "models", "--table", "t.csv", "--preset", "sdf-tiny", "--steps", "2"];
        run(at, &[&usual[..], &["--set", "train.batch=256", "--no-eval"], more].concat())
    };
    assert!(batch("q.stl", &[]).status.success());
    let again = batch("q.stl", &[]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("1 finished before"));
    std::fs::copy(scene("knot.ply"), at.join("q.ply")).unwrap();
    let other = batch("q.ply", &[]);
    assert!(!other.status.success() && said_of(&other, "the model of q.stl"), "{}", self::said(&other));
    assert!(batch("q.ply", &["--overwrite"]).status.success());
    let table = ["fit", "q.stl", "q.ply", "-o", "models", "--table", "./q.ply", "--preset", "sdf-tiny", "--overwrite"];
    assert!(fails(at, &table).contains("is an input"));
    assert_eq!(std::fs::read(at.join("q.ply")).unwrap(), std::fs::read(scene("knot.ply")).unwrap());
}

fn said_of(out: &Output, words: &str) -> bool {
    said(out).contains(words)
}

#[test]
fn an_interrupted_fit_leaves_the_finished_model_of_before() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    picture(&at.join("q.png"), 1.0);
    ok(at, &fit("q.png", &["-o", "m.safetensors"]));
    let before = std::fs::read(at.join("m.safetensors")).unwrap();
    for more in [&["-o", "m.safetensors"][..], &["-o", "m.safetensors", "--overwrite"]] {
        let child = start(at, &endless("q.png", more), &at.join(".m.safetensors.lock"));
        signal("TERM", &child);
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(1));
        assert!(said_of(&out, "still the finished model of before") && said_of(&out, "--resume"), "{}", said(&out));
        assert_eq!(std::fs::read(at.join("m.safetensors")).unwrap(), before);
        let kept = Checkpoint::load(at.join("m.checkpoint.safetensors")).unwrap();
        assert!(kept.state["step"].as_u64().unwrap() > 0);
    }
    ok(at, &fit("q.png", &["-o", "m.safetensors", "--resume"]));
    assert_ne!(std::fs::read(at.join("m.safetensors")).unwrap(), before);
    assert_eq!(names(at), ["m.safetensors", "q.png"]);

    // Where nothing was there, the model so far is.
    let child = start(at, &endless("q.png", &["-o", "n.safetensors"]), &at.join(".n.safetensors.lock"));
    signal("TERM", &child);
    let out = child.wait_with_output().unwrap();
    assert!(said_of(&out, "the model so far is in n.safetensors"), "{}", said(&out));
    assert_eq!(Model::load(at.join("n.safetensors")).unwrap().metrics["finished"], 0.0);
}

#[test]
fn signals_that_are_ignored_at_the_start_stay_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    picture(&at.join("q.png"), 1.0);
    for name in ["HUP", "INT", "TERM"] {
        let file = format!("{name}.safetensors");
        let script = format!("trap '' {name}; exec \"$nstr\" \"$@\"");
        let mut child = Command::new("sh")
            .args(["-c", &script, "sh"])
            .args(endless("q.png", &["-o", &file, "--checkpoint-every", "10ms"]))
            .current_dir(at)
            .env("nstr", env!("CARGO_BIN_EXE_nstr"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let checkpoint = at.join(format!("{name}.checkpoint.safetensors"));
        wait_for(&checkpoint, &mut child);
        let step = || Checkpoint::load(&checkpoint).unwrap().state["step"].as_u64().unwrap();
        signal(name, &child);
        // It trains on.
        let then = step();
        for _ in 0..3000 {
            if step() > then + 20 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(step() > then + 20, "{name} stopped it");
        assert!(child.try_wait().unwrap().is_none(), "{name} ended it");
        if name == "TERM" {
            child.kill().unwrap();
            child.wait().unwrap();
            continue;
        }
        // Another one is not ignored.
        signal("TERM", &child);
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(1), "{name}: {}", said(&out));
        assert!(said_of(&out, "interrupted"), "{name}: {}", said(&out));
    }
    // Those that are not ignored save. A test run in the background may have them ignored itself.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("f");
    let ignored = u64::from_str_radix(mask.trim(), 16).unwrap();
    for (name, number) in [("HUP", 1), ("INT", 2)] {
        if (ignored >> (number - 1)) & 1 == 1 {
            continue;
        }
        let file = format!("saved-{name}.safetensors");
        let child = start(at, &endless("q.png", &["-o", &file]), &at.join(format!(".{file}.lock")));
        signal(name, &child);
        assert!(said_of(&child.wait_with_output().unwrap(), "interrupted"), "{name}");
        assert!(at.join(&file).exists(), "{name}");
    }
}

#[test]
fn a_fit_is_worth_more_than_its_messages() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    picture(&at.join("q.png"), 1.0);
    let arguments = fit("q.png", &["--overwrite", "--json", "m.json"]).join(" ");
    let mut scripts = vec!["2>&1 | true", "2>&-", ">&- 2>&-"];
    if Path::new("/dev/full").exists() {
        scripts.extend(["2>/dev/full", "> /dev/full", "> /dev/full 2>&1"]);
    }
    for script in scripts {
        let _ = std::fs::remove_file(at.join("m.safetensors"));
        let _ = std::fs::remove_file(at.join("m.json"));
        // The status of the fit, not of the pipe's end.
        let script = format!("{{ $nstr {arguments} -o m.safetensors; echo $? > status; }} {script}");
        shell(at, &script);
        // A pipe's first part may end later.
        for _ in 0..3000 {
            if std::fs::read_to_string(at.join("status")).is_ok_and(|text| text.ends_with('\n')) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(std::fs::read_to_string(at.join("status")).unwrap(), "0\n", "{script}");
        Model::load(at.join("m.safetensors")).unwrap();
        assert!(json(&at.join("m.json"))["parameters"].is_u64(), "{script}");
        std::fs::remove_file(at.join("status")).unwrap();
    }
}

#[test]
fn text_that_cannot_be_printed_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    picture(&at.join("q.png"), 1.0);
    let out = shell(at, "{ $nstr inspect q.png; echo $? > status; } | true");
    assert!(!said_of(&out, "panicked") && !said_of(&out, "nstr"), "{}", said(&out));
    if Path::new("/dev/full").exists() {
        for arguments in ["inspect q.png", "inspect q.png --json"] {
            let out = shell(at, &format!("$nstr {arguments} > /dev/full"));
            assert_eq!(out.status.code(), Some(1), "{arguments}");
            assert!(said_of(&out, "standard output") && !said_of(&out, "panicked"), "{arguments}: {}", said(&out));
        }
        ok(at, &fit("q.png", &["-o", "m.safetensors"]));
        let out = shell(at, "$nstr eval m.safetensors q.png --json - > /dev/full");
        assert_eq!(out.status.code(), Some(1));
        assert!(!said_of(&out, "panicked"), "{}", said(&out));
    }
}

#[test]
fn a_fit_is_worth_more_than_its_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    picture(&at.join("q.png"), 1.0);
    // A folder in its place, which nobody may replace.
    std::fs::create_dir(at.join("m.checkpoint.safetensors")).unwrap();
    let mut arguments = fit("q.png", &["-o", "m.safetensors", "--checkpoint-every", "0s"]);
    arguments[8] = "200";
    let said = ok(at, &arguments);
    assert_eq!(said.matches("no checkpoint could be written").count(), 1, "{said}");
    assert_eq!(Model::load(at.join("m.safetensors")).unwrap().metrics["steps"], 200.0);
    assert!(at.join("m.checkpoint.safetensors").is_dir());
}

#[test]
fn a_second_run_is_told_who_writes_there() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    picture(&at.join("q.png"), 1.0);
    let lock = at.join(".m.safetensors.lock");
    let first = start(at, &endless("q.png", &["-o", "m.safetensors"]), &lock);
    symlink("m.safetensors", at.join("link.safetensors")).unwrap();
    for name in ["m.safetensors", "link.safetensors"] {
        let said = fails(at, &fit("q.png", &["-o", name, "--overwrite"]));
        assert!(said.contains("another run writes it") && said.contains(&first.id().to_string()), "{said}");
    }
    ok(at, &fit("q.png", &["-o", "n.safetensors"]));
    signal("TERM", &first);
    first.wait_with_output().unwrap();
    assert!(!lock.exists());
    // What a killed run leaves is in nobody's way.
    let mut killed = start(at, &endless("q.png", &["-o", "m.safetensors", "--overwrite"]), &lock);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(lock.exists());
    let part = at.join(".m.safetensors.aB3xYz.part");
    std::fs::write(&part, "half").unwrap();
    let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::options().append(true).open(&part).unwrap().set_modified(hour_ago).unwrap();
    ok(at, &fit("q.png", &["-o", "m.safetensors", "--overwrite"]));
    assert!(!lock.exists() && !part.exists(), "{:?}", names(at));
}

#[test]
fn a_second_batch_is_told_who_writes_there() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let copy = |name: &str| std::fs::copy(scene("bracket.stl"), at.join(name)).unwrap();
    copy("a.stl");
    copy("b.stl");
    let batch = |shard: &str| {
        let steps = if shard == "0/1" { "100000000" } else { "2" };
        let usual = ["fit", "a.stl", "b.stl", "-o", "models", "--preset", "sdf-tiny", "--no-eval", "--shard", shard];
        let more = ["--steps", steps, "--set", "train.batch=256"];
        usual.iter().chain(&more).map(|text| text.to_string()).collect::<Vec<_>>()
    };
    let arguments = batch("0/1");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let first = start(at, &arguments, &at.join("models/.a.safetensors.lock"));
    let said = fails(at, &arguments);
    assert!(said.contains("models: another run writes it") && said.contains(&first.id().to_string()), "{said}");
    // Another shard goes on, but for what is being fitted.
    let other = batch("1/2");
    ok(at, &other.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(at.join("models/b.safetensors").exists());
    signal("TERM", &first);
    let out = first.wait_with_output().unwrap();
    assert!(said_of(&out, "run the same command again"), "{}", self::said(&out));
    let left: Vec<PathBuf> =
        names(&at.join("models")).iter().filter(|n| n.ends_with(".lock")).map(PathBuf::from).collect();
    assert!(left.is_empty(), "{left:?}");
}
