//! The built command on real files: fit, resume, render, export, measure, query, batch, and bad input.

mod common;

use std::path::Path;

use common::{data_dir, fails, json, ok, run, scene};
use npyz::WriterBuilder;
use serde_json::Value;

/// Settings of a fit that takes about a second.
const QUICK: [&str; 6] = ["--preset", "sdf-tiny", "--steps", "1000", "--set", "train.batch=4096"];

#[test]
fn a_fit_renders_exports_measures_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let bracket = scene("bracket.stl");
    let mut fit = vec!["fit", &bracket, "-o", "b.safetensors", "--render", "b.png", "--json", "fit.json"];
    fit.extend(QUICK);
    let text = ok(at, &fit);
    assert!(text.contains("IoU") && text.contains("sign:"), "{text}");
    let figures = json(&at.join("fit.json"));
    assert!(figures["iou"].as_f64().unwrap() > 0.95, "{figures}");
    assert_eq!(figures["steps"], 1000);
    assert!(!at.join("b.checkpoint.safetensors").exists());

    ok(at, &["eval", "b.safetensors", &bracket, "--json", "eval.json", "--lattice", "64", "--resolution", "128"]);
    let figures = json(&at.join("eval.json"));
    for key in ["iou", "chamfer_l1", "f_score", "normal_consistency", "parameters", "file_bytes", "fit_seconds"] {
        assert!(figures[key].as_f64().is_some_and(|v| v > 0.0), "{key}: {figures}");
    }
    assert!(figures["chamfer_l1"].as_f64().unwrap() < 0.01, "{figures}");
    assert_eq!(figures["file_bytes"].as_u64().unwrap(), std::fs::metadata(at.join("b.safetensors")).unwrap().len());

    for extension in ["obj", "ply", "stl", "glb"] {
        let file = format!("b.{extension}");
        ok(at, &["mesh", "b.safetensors", "-o", &file, "--resolution", "64"]);
        let text = ok(at, &["inspect", &file, "--json"]);
        let report: Value = serde_json::from_str(&text[text.find('{').unwrap()..=text.rfind('}').unwrap()]).unwrap();
        assert_eq!(report["report"]["watertight"], true, "{file}: {report}");
        assert_eq!(report["report"]["oriented_outward"], true, "{file}");
    }

    // Proven, nothing is found that the measured slope bound leaves out of this field, and nothing is lost.
    let said =
        ok(at, &["mesh", "b.safetensors", "-o", "p.obj", "--resolution", "64", "--proven", "--proof-depth", "5"]);
    assert!(said.contains("no cell with a change of sign was missed") && said.contains("down to 1/32"), "{said}");
    let lines = |file: &str| std::fs::read_to_string(at.join(file)).unwrap().lines().count();
    assert_eq!(lines("p.obj"), lines("b.obj"));
    let said = ok(at, &["inspect", "b.safetensors"]);
    assert!(said.contains("modulation product, skip_latent true\n"), "in the words of --set: {said}");
    assert!(said.contains("decoder g   2 × 32 relu\n"), "{said}");
    let is_wordy = |word: &str| word.trim_start_matches(['-', '[']).contains('.') && word.parse::<f64>().is_ok();
    let words = said.split(|c: char| c.is_whitespace() || "[],".contains(c)).filter(|word| is_wordy(word));
    let digits = |word: &str| word.chars().filter(char::is_ascii_digit).collect::<String>();
    let wordy: Vec<&str> = words.filter(|word| digits(word).trim_start_matches('0').len() > 6).collect();
    assert!(said.contains("  chamfer_l1 ") && wordy.is_empty(), "{wordy:?} in {said}");
    let said = ok(at, &["inspect", &bracket]);
    assert!(said.contains("bracket.stl (STL)\n"), "{said}");
    let said = ok(at, &["inspect", "b.safetensors", "--prove", "5", "--json"]);
    let report: Value = serde_json::from_str(&said[said.find('{').unwrap()..=said.rfind('}').unwrap()]).unwrap();
    let bounds = &report["bounds"];
    assert_eq!(bounds["cells"], 32, "{bounds}");
    assert!(bounds["proven_lipschitz"].as_f64() >= bounds["measured_lipschitz"].as_f64(), "{bounds}");
    assert!(bounds["free"].as_f64().is_some_and(|free| free > 0.05 && free < 1.0), "{bounds}");
    let misused = run(at, &["mesh", "b.safetensors", "-o", "q.obj", "--proof-depth", "5"]);
    assert!(misused.status.code() == Some(2) && String::from_utf8_lossy(&misused.stderr).contains("--proven"));

    ok(at, &["render", "b.safetensors", "-o", "b.exr", "--size", "64x48", "--stats"]);
    ok(at, &["render", "b.safetensors", "-o", "b.gif", "--orbit", "4", "--size", "32x32", "--spp", "1"]);
    ok(at, &["render", "b.safetensors", "-o", "frames", "--orbit", "3", "--size", "32x32", "--layers", "normal"]);
    assert_eq!(std::fs::read_dir(at.join("frames")).unwrap().count(), 3);
    // A bar with numbers stands beside false colours; each of several layers has its file.
    let size = |name: &str| {
        let picture = nstr::image::png::read(&at.join(name)).unwrap();
        (picture.width, picture.height)
    };
    ok(at, &["render", "b.safetensors", "-o", "h.png", "--size", "48x36", "--layers", "curvature"]);
    assert!(size("h.png").0 > 48 + 40 && size("h.png").1 > 36, "{:?}", size("h.png"));
    ok(at, &["render", "b.safetensors", "-o", "p.png", "--size", "48x36", "--layer", "depth", "--no-legend"]);
    assert_eq!(size("p.png"), (48, 36));
    let two = ["render", "b.safetensors", "-o", "two.png", "--size", "200x150", "--layers", "normals,depth"];
    let text = ok(at, &two);
    assert!(text.contains("wrote two.depth.ray.png") && text.contains("wrote two.normal.png"), "{text}");
    assert!(size("two.normal.png") == (200, 150) && size("two.depth.ray.png").0 > 200 && !at.join("two.png").exists());
    let error = fails(at, &["render", "b.safetensors", "-o", "p.png", "--fps", "9"]);
    assert!(error.contains("--fps") && error.contains(".gif"), "{error}");
    // Nothing but lines goes to a standard error that is no terminal.
    let eval =
        run(at, &["eval", "b.safetensors", "b.obj", "--lattice", "32", "--resolution", "64", "--samples", "1000"]);
    let said = String::from_utf8_lossy(&eval.stderr).into_owned();
    assert!(eval.status.success() && !said.contains(['\r', '\u{1b}']), "{said:?}");
    let section = ["--section", "-1,0,0.5,-10", "--section-field"];
    let start = ["render", "b.safetensors", "-o", "cut.png", "--size", "48x36"];
    ok(at, &[&start[..], &section].concat());
    assert!(size("cut.png").0 > 48 + 40, "a bar stands beside the field's colours");
    // What the plane shows ends around the object, and so within the picture; the face of the cube would fill half of it.
    let section = ["--section", "0,0,1,0", "--section-field"];
    let plain = ["--no-legend", "--look", "plain", "--background", "black"];
    ok(at, &[&start[..], &section, &plain].concat());
    let cut = nstr::image::png::read(&at.join("cut.png")).unwrap();
    assert_eq!((cut.width, cut.height), (48, 36));
    let is_drawn = |x: u32, y: u32| cut.pixel(x, y)[..3] != [0; 3];
    let border = (0..48).flat_map(|x| [(x, 0), (x, 35)]).chain((0..36).flat_map(|y| [(0, y), (47, y)]));
    let drawn = border.filter(|(x, y)| is_drawn(*x, *y)).count();
    let shown = (0..48 * 36).filter(|i| is_drawn(i % 48, i / 48)).count();
    assert!(
        drawn == 0 && (48 * 36 / 8..48 * 36 * 2 / 5).contains(&shown),
        "{drawn} pixels of the border, {shown} of all"
    );
    let error = fails(at, &["render", "b.safetensors", "-o", "b.png", "--orbit", "4"]);
    assert!(error.contains("b.png") && error.contains(".gif"), "{error}");

    let points: Vec<f32> = vec![10.0, 10.0, 10.0, 0.0, 0.0, 0.0];
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&[2, 3]).writer(&mut bytes).begin_nd().unwrap();
    writer.extend(points).unwrap();
    writer.finish().unwrap();
    std::fs::write(at.join("p.npy"), &bytes).unwrap();
    ok(at, &["query", "b.safetensors", "p.npy", "-o", "v.npy", "--gradients"]);
    let bytes = std::fs::read(at.join("v.npy")).unwrap();
    let values = npyz::NpyFile::new(&bytes[..]).unwrap();
    assert_eq!(values.shape(), [2, 4]);
    std::fs::write(at.join("bad.npy"), b"not numpy").unwrap();
    assert!(fails(at, &["query", "b.safetensors", "bad.npy", "-o", "w.npy"]).contains("bad.npy"));
    assert!(!at.join("w.npy").exists());
}

#[test]
fn the_same_seed_gives_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let knot = scene("knot.ply");
    for name in ["a.safetensors", "b.safetensors"] {
        ok(
            folder.path(),
            &["fit", &knot, "-o", name, "--preset", "sdf-tiny", "--steps", "60", "--no-eval", "--precision", "f32"],
        );
    }
    let parameters = |name: &str| {
        let model = nstr::field::model::Model::load(folder.path().join(name)).unwrap();
        (model.grid, model.net)
    };
    assert!(parameters("a.safetensors") == parameters("b.safetensors"));
}

#[test]
fn batches_shard_skip_and_tabulate() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (id, name) in [("one", "bracket.stl"), ("two", "soup.obj"), ("three", "bracket.stl")] {
        let to = at.join("shapes").join(id).join("models");
        std::fs::create_dir_all(&to).unwrap();
        let extension = Path::new(name).extension().unwrap();
        std::fs::copy(scene(name), to.join("model").with_extension(extension)).unwrap();
    }
    std::fs::write(at.join("shapes/one/models/broken.off"), "OFF\n3 1 0\n0 0 0\n").unwrap();
    // A field of fewer steps has surface everywhere, which takes longer to measure than these steps.
    let common = ["-o", "models", "--preset", "sdf-tiny", "--steps", "300", "--set", "train.batch=2048"];
    for shard in ["0/2", "1/2"] {
        let mut arguments = vec!["fit", "shapes", "--shard", shard];
        arguments.extend(common);
        run(at, &arguments);
    }
    let rows = |name: &str| {
        let mut reader = csv::Reader::from_path(at.join("models").join(name)).unwrap();
        let header = reader.headers().unwrap().clone();
        let column = |n: &str| header.iter().position(|h| h == n).unwrap();
        let (input, status, message) = (column("input"), column("status"), column("message"));
        let rows = reader.records().map(|r| r.unwrap());
        rows.map(|r| (r[input].to_string(), r[status].to_string(), r[message].to_string())).collect::<Vec<_>>()
    };
    let all: Vec<_> = ["results.0.csv", "results.1.csv"].into_iter().flat_map(rows).collect();
    assert_eq!(all.len(), 4, "{all:?}");
    for (input, status, message) in &all {
        if input.ends_with("broken.off") {
            assert_eq!(status, "failed");
            assert!(message.contains("broken.off:2: 3 vertices and 1 faces cannot fit"), "{message}");
        } else {
            assert_eq!(status, "fitted", "{input}: {message}");
        }
    }
    assert!(at.join("models/two/models/model.safetensors").exists());
    let mut arguments = vec!["fit", "shapes/*/models/model.*"];
    arguments.extend(common);
    let text = ok(at, &arguments);
    assert!(text.contains("0 fitted, 3 finished before"), "{text}");
}

#[test]
fn a_task_of_a_job_array_that_names_its_model_fits_it() {
    let folder = tempfile::tempdir().unwrap();
    let bracket = scene("bracket.stl");
    let fit = ["fit", &bracket, "-o", "m.safetensors", "--preset", "sdf-tiny", "--steps", "20", "--no-eval"];
    let task = [("SLURM_ARRAY_TASK_ID", "1"), ("SLURM_ARRAY_TASK_COUNT", "2")];
    let output = common::command(folder.path(), &fit).envs(task).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(folder.path().join("m.safetensors").is_file());
}

#[test]
fn a_fit_is_resumed_on_its_own_input_only() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::copy(scene("bracket.stl"), at.join("one.stl")).unwrap();
    let fit = ["fit", "one.stl", "-o", "m.safetensors", "--preset", "sdf-tiny", "--steps", "100000", "--no-eval"];
    let mut child = common::command(at, &fit).args(["--checkpoint-every", "200ms"]).spawn().unwrap();
    let checkpoint = at.join("m.checkpoint.safetensors");
    for _ in 0..600 {
        if checkpoint.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let resume = |input: &str| {
        let again = ["fit", input, "-o", "m.safetensors", "--preset", "sdf-tiny", "--steps", "1", "--resume"];
        run(at, &[&again[..], &["--no-eval"]].concat())
    };
    let refused = resume(&scene("knot.ply"));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("made from one.stl") && said.contains("knot.ply"), "{said}");
    // The same content under another name is the same input.
    std::fs::rename(at.join("one.stl"), at.join("two.stl")).unwrap();
    let resumed = resume("two.stl");
    let said = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(resumed.status.success() && said.contains("resumed at step"), "{said}");
}

#[test]
fn misuse_says_what_is_wrong_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let [bracket, knot, chirp] = ["bracket.stl", "knot.ply", "chirp.png"].map(scene);
    for (arguments, words) in [
        (vec!["fit", "nothing.obj"], vec!["nothing.obj"]),
        (vec!["fit", &bracket, "-o", "x.obj"], vec!["x.obj", ".safetensors"]),
        (vec!["fit", &bracket, "-o", "no/such/x.safetensors"], vec!["no/such"]),
        (vec!["fit", &bracket, "--preset", "huge"], vec!["huge", "sdf-fine"]),
        (vec!["fit", &bracket, "--set", "basis=8", "train.batch=64"], vec!["train.batch=64", "--set train.batch=64"]),
        (vec!["fit", &bracket, "--set", "train.speed=1"], vec!["train.speed", "train.net_lr"]),
        (vec!["fit", &bracket, "--set", "basis=0"], vec!["basis"]),
        (vec!["eval", "none.safetensors", &bracket], vec!["none.safetensors"]),
        (vec!["eval", &bracket, "none.safetensors"], vec!["bracket.stl: not an nstr model", "the model comes first"]),
        (vec!["fit", &bracket, "--set", "dim=2"], vec!["dim = 2: must be 3"]),
        (vec!["fit", &bracket, "--set", "outputs=3"], vec!["outputs = 3: must be 1"]),
        (vec!["fit", &bracket, "--downscale", "2"], vec!["--downscale", "captures", "a mesh"]),
        (vec!["fit", &bracket, "--render", "x.jpg"], vec!["x.jpg", ".png"]),
        (vec!["fit", &bracket, "--json", "none/x.json"], vec!["none: there is no such folder"]),
        (vec!["fit", &bracket, &knot, "-o", "x.safetensors"], vec!["-o x.safetensors: must be a folder"]),
        (vec!["fit", &bracket, &knot, "--set", "foo=1"], vec!["unknown option `foo`"]),
        (vec!["fit", &bracket, "--set", "init.seed=1"], vec!["init.seed = 1", "--seed"]),
        (vec!["fit", &bracket, &chirp], vec!["chirp.png: several inputs must be meshes"]),
        (vec!["inspect", &bracket, "--sign", "unsigned", "--thickness", "0"], vec!["--thickness 0"]),
        (vec!["inspect", &bracket, "--sign-resolution", "1"], vec!["--sign-resolution 1: must be 8"]),
        (vec!["inspect", &bracket, "--sign", "winding", "--thickness", "2"], vec!["thickness"]),
    ] {
        let error = fails(at, &arguments);
        for word in words {
            assert!(error.contains(word), "{arguments:?}: {error}");
        }
    }
    let usage = run(at, &["fit"]);
    assert_eq!(usage.status.code(), Some(2));
    let negative = run(at, &["fit", &bracket, "--time", "-3"]);
    let words = String::from_utf8_lossy(&negative.stderr);
    assert!(negative.status.code() == Some(2) && words.contains("invalid value '-3' for '--time"), "{words}");
    let flat = run(at, &["render", "b.safetensors", "-o", "b.png", "--section", "0,0,0,1"]);
    assert!(flat.status.code() == Some(2) && String::from_utf8_lossy(&flat.stderr).contains("NX,NY,NZ,OFFSET"));
    assert_eq!(std::fs::read_dir(at).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_fit_that_diverges_keeps_the_last_good_model() {
    let folder = tempfile::tempdir().unwrap();
    let bracket = scene("bracket.stl");
    let error = fails(
        folder.path(),
        &[
            "fit",
            &bracket,
            "-o",
            "x.safetensors",
            "--preset",
            "sdf-tiny",
            "--steps",
            "2000",
            "--set",
            "train.batch=1024",
            "--set",
            "train.net_lr=1e30",
            "--set",
            "train.grid_lr=1e30",
        ],
    );
    assert!(error.contains("diverged") && error.contains("bracket.stl"), "{error}");
}

/// Every broken file either fits or stops with a message that names it; nothing partial is left.
#[test]
fn bad_meshes_fit_or_name_themselves() {
    let Some(data) = data_dir("") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let pattern = format!("{}/mesh_bad/**/*.*", data.display());
    let mut fitted = 0;
    for path in glob::glob(&pattern).unwrap().flatten() {
        if path.extension().is_some_and(|e| e == "mtl") {
            continue;
        }
        let name = path.display().to_string();
        let _ = std::fs::remove_file(at.join("m.safetensors"));
        let out = run(
            at,
            &[
                "fit",
                &name,
                "-o",
                "m.safetensors",
                "--preset",
                "sdf-tiny",
                "--steps",
                "5",
                "--no-eval",
                "--set",
                "train.batch=1024",
                "--sign-resolution",
                "64",
            ],
        );
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(!error.contains("panicked"), "{name}: {error}");
        match out.status.code() {
            Some(0) => {
                fitted += 1;
                assert!(at.join("m.safetensors").exists(), "{name}");
            }
            Some(1) => {
                assert!(error.contains(path.file_name().unwrap().to_str().unwrap()), "{name}: {error}");
                assert!(!at.join("m.safetensors").exists(), "{name}");
            }
            code => panic!("{name}: exit {code:?}: {error}"),
        }
        let left: Vec<_> = std::fs::read_dir(at).unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(left.iter().all(|n| n == "m.safetensors"), "{name} left {left:?}");
    }
    assert!(fitted >= 30, "{fitted} fitted");
}

#[test]
fn an_absurd_number_of_threads_is_noted_and_the_work_done() {
    let folder = tempfile::tempdir().unwrap();
    let bracket = scene("bracket.stl");
    for (count, words) in [("1000000", "more than"), ("-1", "not a whole number"), ("many", "not a whole number")] {
        let out =
            common::command(folder.path(), &["inspect", &bracket]).env("RAYON_NUM_THREADS", count).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.contains(&format!("RAYON_NUM_THREADS={count}")), "{count}: {said}");
        assert!(said.contains(words), "{count}: {said}");
    }
    let out = common::command(folder.path(), &["inspect", &bracket]).env("RAYON_NUM_THREADS", "3").output().unwrap();
    assert!(out.status.success() && !String::from_utf8_lossy(&out.stderr).contains("RAYON"));
}

#[test]
fn help_names_every_preset() {
    let help = ok(Path::new("."), &["fit", "--help"]);
    let words: Vec<&str> = help.split([' ', '\n', ',', '.', ':']).collect();
    for name in nstr::spec::preset::PRESETS {
        let of_any_task = name.split_once('-').map(|(_, kind)| format!("TASK-{kind}"));
        let named = words.contains(&name) || of_any_task.is_some_and(|kind| words.contains(&kind.as_str()));
        assert!(named, "{name} is not in the help of fit");
    }
}
