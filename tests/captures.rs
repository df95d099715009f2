//! Captures as people have them (`NSTR_DATA`, and the open sample capture), and what `nstr inspect` says of one.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{json, ok, scene};
use glam::DVec3;
use nstr::camera::camera::Camera;
use nstr::capture::{Capture, CaptureOptions, Lens, SceneRule, SpaceRule, Split, View, read_capture};
use nstr::files::testing::data_dir;
use nstr::image::{Rgba8, png};
use serde_json::{Value, json};

fn data(name: &str) -> Option<PathBuf> {
    Some(data_dir("nerf")?.join(name))
}

/// Every `stride`-th pixel that is clearly the object, with its view.
fn foreground(views: &[View], stride: usize) -> impl Iterator<Item = (&View, f64, f64)> {
    views.iter().flat_map(move |view| {
        let w = view.image.width as usize;
        let clear = view.image.pixels.iter().enumerate().step_by(stride).filter(|(_, p)| p[3] > 200);
        clear.map(move |(i, _)| (view, (i % w) as f64 + 0.5, (i / w) as f64 + 0.5))
    })
}

/// Where a ray is within the scene's cube.
fn crossing(capture: &Capture, view: &View, x: f64, y: f64) -> Option<(DVec3, DVec3, f64, f64)> {
    let ray = view.ray(x, y);
    let (low, high) = capture.scene.cube().bounds();
    let (a, b) = ((low - ray.origin) / ray.direction, (high - ray.origin) / ray.direction);
    let (enter, leave) = (a.min(b).max_element(), a.max(b).min_element());
    (enter < leave).then_some((ray.origin, ray.direction, enter, leave))
}

/// Share of the rays through the object that meet a kept cell of the hull.
fn explained(capture: &Capture, views: &[View]) -> f64 {
    let hull = capture.hull.as_ref().unwrap();
    let n = hull.resolution as f64;
    let cube = capture.scene.cube();
    let (mut rays, mut met) = (0, 0);
    for (view, x, y) in foreground(views, 211) {
        rays += 1;
        let Some((origin, direction, enter, leave)) = crossing(capture, view, x, y) else { continue };
        let steps = 512;
        met += (0..steps).any(|i| {
            let t = enter + (leave - enter) * (i as f64 + 0.5) / steps as f64;
            let cell = (cube.to_unit(origin + direction * t) * n).clamp(DVec3::ZERO, DVec3::splat(n - 1.0));
            hull.get(cell.x as usize, cell.y as usize, cell.z as usize)
        }) as usize;
    }
    assert!(rays > 100);
    met as f64 / rays as f64
}

#[test]
fn lego_is_held_tightly() {
    let Some(path) = data("lego") else { return };
    let options = CaptureOptions { downscale: 4, ..CaptureOptions::default() };
    let capture = read_capture(&path, &options).unwrap();
    assert_eq!((capture.train.len(), capture.test.len(), capture.scene_rule), (100, 25, SceneRule::Silhouettes));
    assert!(capture.has_alpha && capture.notes.is_empty(), "{:?}", capture.notes);
    assert_eq!(capture.train[0].camera.width, 200);
    // 1111.1 pixels at 800.
    assert!((capture.train[0].camera.focal.x - 1111.111 / 4.0).abs() < 0.01);
    assert_eq!((explained(&capture, &capture.train), explained(&capture, &capture.test)), (1.0, 1.0));
    assert!(capture.views().all(|v| capture.scene.cube().distance(v.camera.position()) > capture.scene.near));
    let scene = capture.scene;
    println!("{scene:?} hull {}", capture.hull.as_ref().unwrap().fraction());
    // The model is about 2.3 long: the box wastes little along its longest side.
    assert!(scene.cube().size > 2.2 && scene.cube().size < 2.7, "{scene:?}");
    let (low, high) = capture.hull.as_ref().unwrap().bounds().unwrap();
    assert!((high - low).max_element() > 0.93, "{low} {high}");
}

#[test]
fn wrong_axes_would_show_in_the_hull() {
    let Some(path) = data("lego") else { return };
    let options = CaptureOptions { downscale: 8, every: 4, split: Split::Train, ..CaptureOptions::default() };
    let right = read_capture(&path, &options).unwrap();
    // The same capture with every picture upside down: silhouettes and poses no longer agree.
    let dir = tempfile::tempdir().unwrap();
    let mut frames = Vec::new();
    for view in &right.train {
        let (w, h) = (view.image.width, view.image.height);
        let name = view.name.replace('/', "_") + ".png";
        let flipped = |i: usize| view.image.pixel(i as u32 % w, h - 1 - i as u32 / w);
        png::write(&dir.path().join(&name), &Rgba8::from_fn(w, h, flipped)).unwrap();
        let rows: [[f64; 4]; 4] = std::array::from_fn(|r| view.camera.camera_to_world.row(r).to_array());
        frames.push(json!({ "file_path": name, "transform_matrix": rows }));
    }
    let text = json!({ "fl_x": right.train[0].camera.focal.x, "frames": frames });
    std::fs::write(dir.path().join("transforms.json"), text.to_string()).unwrap();
    let wrong = read_capture(dir.path(), &CaptureOptions { holdout: 0, ..CaptureOptions::default() }).unwrap();
    assert_eq!(explained(&right, &right.train), 1.0);
    // Silhouettes that contradict each other are explained by little less than everything, or not at all.
    println!("{:?} right, {:?} wrong", right.scene, wrong.scene);
    assert!(wrong.scene.cube().size > 2.0 * right.scene.cube().size);
}

#[test]
fn hotdog_is_held() {
    let Some(path) = data("hotdog_rerender") else { return };
    let options = CaptureOptions { downscale: 2, ..CaptureOptions::default() };
    let capture = read_capture(&path, &options).unwrap();
    assert_eq!((capture.train.len(), capture.test.len()), (100, 25));
    let (low, high) = capture.hull.as_ref().unwrap().bounds().unwrap();
    println!("{:?} {} {low} {high}", capture.scene, capture.scene_rule);
    // A plate of about 2.6 across that lies near the world's origin.
    assert!(capture.scene.cube().size < 3.2 && capture.scene.cube().centre().length() < 0.6, "{:?}", capture.scene);
    assert_eq!((explained(&capture, &capture.train), explained(&capture, &capture.test)), (1.0, 1.0));
    assert!(capture.views().all(|v| capture.scene.cube().distance(v.camera.position()) > capture.scene.near));
}

#[test]
fn fox_has_a_lens_and_missing_frames() {
    let Some(path) = data("fox") else { return };
    let options = CaptureOptions { downscale: 4, ..CaptureOptions::default() };
    let capture = read_capture(&path, &options).unwrap();
    assert_eq!((capture.train.len(), capture.test.len()), (43, 7));
    assert!(capture.notes.iter().any(|n| n.contains("17 of 67 frames")), "{:?}", capture.notes);
    let view = &capture.train[0];
    assert_eq!((view.camera.width, view.camera.height), (270, 480));
    assert!((view.camera.focal.x - 1375.52 / 4.0).abs() < 1e-9 && (view.camera.centre.y - 965.268 / 4.0).abs() < 1e-9);
    assert!(matches!(view.lens, Lens::OpenCv { .. }) && !capture.has_alpha && view.mask.is_none());
    assert_eq!(capture.scene_rule, SceneRule::Declared);
    assert!((capture.scene.cube().size - 4.0 / 0.33).abs() < 1e-9);
    for (x, y) in [(0.5, 0.5), (269.5, 479.5), (20.5, 300.5)] {
        let ray = view.ray(x, y);
        let back = view.project(ray.origin + ray.direction * 3.0).unwrap();
        assert!((back.x - x).hypot(back.y - y) < 1e-6);
        // The lens moves the corner by a noticeable part of a pixel.
        assert!((ray.direction - view.camera.ray(x, y).direction).length() > 1e-5);
    }
    // The pictures are no noise: neighbours differ little.
    let row = &view.image.pixels[270 * 200..270 * 201];
    let step: u32 = row.windows(2).map(|p| p[0][1].abs_diff(p[1][1]) as u32).sum();
    assert!(step > 0 && step < 270 * 40, "{step}");
}

/// The open sample capture with the poses as found, or (`transforms_truth.json`) with the true ones.
fn farmyard(file: &str) -> Capture {
    read_capture(&Path::new(&scene("farmyard")).join(file), &CaptureOptions::default()).unwrap()
}

#[test]
fn open_sample_is_found_to_be_open() {
    let capture = farmyard("");
    assert_eq!((capture.train.len(), capture.test.len()), (52, 8));
    assert!(!capture.has_alpha && capture.background.is_none() && capture.notes.is_empty(), "{:?}", capture.notes);
    assert_eq!((capture.scene.map.name(), capture.space_rule), ("open", SpaceRule::Surroundings));
    assert_eq!(capture.scene_rule, SceneRule::Cameras);
    // The yard is paved for 6.6 to either side; cameras stand up to 4.5 from its middle, most of them look across it.
    let cube = capture.scene.cube();
    println!("{:?}", capture.scene);
    assert!(cube.centre().truncate().length() < 1.0 && (7.0..11.0).contains(&cube.size), "{:?}", capture.scene);
    let (low, high) = cube.bounds();
    assert!(low.z < 0.0 && high.z > 3.0, "{:?}", capture.scene);
    // Something is a metre away.
    assert!((0.1..0.8).contains(&capture.scene.near), "{:?}", capture.scene);
    let names: Vec<&str> = capture.test.iter().map(|v| v.name.as_str()).collect();
    assert_eq!((names[0], names[7]), ("images/000.jpg", "images/056.jpg"));
    // The same images in the same split.
    let truth = farmyard("transforms_truth.json");
    assert_eq!((truth.train.len(), truth.test.len(), truth.scene.map.name()), (52, 8, "open"));
    assert!(capture.views().zip(truth.views()).all(|(a, b)| a.name == b.name && a.image == b.image));
    assert!(capture.views().zip(truth.views()).all(|(a, b)| a.camera != b.camera));
}

#[test]
fn open_sample_is_fitted() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let farm = scene("farmyard");
    let quick = ["--preset", "radiance-tiny", "--downscale", "2", "--set", "rays.samples_per_step=16384"];
    let fit = ["fit", &farm, "-o", "f.safetensors", "--steps", "400", "--json", "f.json"];
    let said = ok(at, &[&fit[..], &quick].concat());
    assert!(said.contains("52 training views of 100x100, 8 test views") && said.contains("space: open"), "{said}");
    let psnr = |name: &str| json(&at.join(name))["psnr"].as_f64().unwrap();
    // The mean colour of each view has 14.4.
    println!("{:.2} dB", psnr("f.json"));
    assert!(psnr("f.json") > 17.5, "{said}");
    // The true poses of the same held-out views; the model remembers the size of its images.
    let truth = format!("{farm}/transforms_truth.json");
    ok(at, &["eval", "f.safetensors", &truth, "--json", "e.json"]);
    assert!((psnr("e.json") - psnr("f.json")).abs() < 1.5, "{:.2} dB at the true poses", psnr("e.json"));
    let path = format!("{farm}/path.json");
    ok(at, &["render", "f.safetensors", "--path", &path, "--size", "32x20", "-o", "walk"]);
    assert_eq!(std::fs::read_dir(at.join("walk")).unwrap().count(), 48);
}

#[test]
#[ignore = "a tier of its own: minutes"]
fn open_sample_gains_by_exposures() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let farm = scene("farmyard");
    let metrics = |name: &str, more: &[&str]| {
        let (model, file) = (format!("{name}.safetensors"), format!("{name}.json"));
        let fit = ["fit", &farm, "-o", &model, "--preset", "radiance", "--steps", "3000", "--no-eval"];
        ok(at, &[&fit[..], more].concat());
        // At the true poses of the held-out views.
        ok(at, &["eval", &model, &format!("{farm}/transforms_truth.json"), "--json", &file]);
        let metrics = json(&at.join(&file));
        println!("{name}: {} dB, own exposure {} dB", metrics["psnr"], metrics["psnr_affine"]);
        metrics
    };
    let number = |metrics: &Value, key: &str| metrics[key].as_f64().unwrap();
    let (plain, exposed) = (metrics("plain", &[]), metrics("exposed", &["--set", "exposure.enabled=true"]));
    assert!(plain["psnr_affine"].is_null(), "{plain}");
    // Held-out views have gains too, which no field knows.
    let affine = number(&exposed, "psnr_affine");
    assert!(affine > 18.0 && affine > number(&exposed, "psnr") + 0.1, "{exposed}");
    assert!(affine > number(&plain, "psnr") + 0.1, "{plain} {exposed}");
}

/// A folder with six views of a grey square on nothing.
fn sample(folder: &Path) {
    let mut frames = Vec::new();
    for i in 0..6u32 {
        let (s, c) = (i as f64 * 1.05).sin_cos();
        let eye = DVec3::new(3.0 * c, 3.0 * s, 1.0);
        let pose = Camera::look_at(eye, DVec3::ZERO, DVec3::Z).unwrap();
        let rows: [[f64; 4]; 4] = std::array::from_fn(|r| pose.row(r).to_array());
        let name = format!("{i}.png");
        let inside = |i: usize| (12..20).contains(&(i % 32)) && (12..20).contains(&(i / 32));
        let pixel = |i: usize| if inside(i) { [90, 90, 90, 255] } else { [0; 4] };
        png::write(&folder.join(&name), &Rgba8::from_fn(32, 32, pixel)).unwrap();
        frames.push(json!({ "file_path": name, "transform_matrix": rows }));
    }
    frames.push(json!({ "file_path": "lost.png", "transform_matrix": frames[0]["transform_matrix"] }));
    let text = json!({ "camera_angle_x": 0.8, "k1": 0.01, "frames": frames });
    std::fs::write(folder.join("transforms.json"), text.to_string()).unwrap();
}

#[test]
fn inspect_says_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    sample(at);
    let run = |arguments: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_nstr")).current_dir(at).args(arguments).output().unwrap();
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stdout).into_owned(),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        )
    };
    let (code, text, error) = run(&["inspect", ".", "--draw", "cameras.png"]);
    assert_eq!(code, Some(0), "{error}");
    for word in [
        "5 training views, 1 test view",
        "with alpha",
        "32x32",
        "opencv k [0.01",
        "silhouettes",
        "near",
        "far",
        "lost.png",
    ] {
        assert!(text.contains(word), "{text} lacks {word}");
    }
    assert_eq!(png::read(&at.join("cameras.png")).unwrap().width, 1280);
    let (code, text, error) = run(&[
        "inspect",
        "transforms.json",
        "--json",
        "--scene=-1,0,0,4",
        "--near",
        "0.3",
        "--holdout",
        "3",
        "--every",
        "2",
    ]);
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["scene"]["size"], 4.0);
    assert_eq!(report["scene"]["near"], 0.3);
    assert_eq!(report["scene"]["rule"], "given");
    assert_eq!((report["train"].as_array().unwrap().len(), report["test"].as_array().unwrap().len()), (2, 2));
    assert_eq!(report["intrinsics"][0]["lens"]["model"], "opencv");
    std::fs::write(at.join("3.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    let (code, _, error) = run(&["inspect", "."]);
    assert!(code == Some(1) && error.contains("3.png") && !error.contains("panicked"), "{error}");
    let (code, _, error) = run(&["inspect", ".", "--scene", "1,2"]);
    assert!(code == Some(2) && error.contains("X,Y,Z,EDGE"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let (code, _, error) = run(&["inspect", empty.path().to_str().unwrap()]);
    assert!(code == Some(1) && error.contains("transforms.json"), "{error}");
}
