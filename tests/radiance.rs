//! The built command on a capture: fit, resume after a kill, measure, render, export, query, and bad input.

mod common;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{command, fails, json, ok, run, scene};
use npyz::WriterBuilder;
use nstr::field::model::{Checkpoint, Model};

/// Cameras of a capture that stand within 60 degrees of where the first one does, seen from the middle.
fn one_side(from: &Path, to: &Path) {
    let mut file = json(&from.join("transforms_train.json"));
    let frames = file["frames"].as_array_mut().unwrap();
    let position = |frame: &serde_json::Value| [0, 1].map(|i| frame["transform_matrix"][i][3].as_f64().unwrap());
    let [x, y] = position(&frames[0]);
    frames.retain(|f| {
        let [u, v] = position(f);
        u * x + v * y > 0.5 * u.hypot(v) * x.hypot(y)
    });
    assert!(frames.len() > 8, "{}", frames.len());
    for frame in frames {
        let name = from.join(frame["file_path"].as_str().unwrap());
        frame["file_path"] = name.to_str().unwrap().into();
    }
    std::fs::create_dir(to).unwrap();
    std::fs::write(to.join("transforms_train.json"), file.to_string()).unwrap();
}

#[test]
fn what_is_seen_from_one_side_is_shown_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    one_side(Path::new(&scene("teaset")), &at.join("side"));
    let mut fit = vec!["fit", "side", "-o", "s.safetensors", "--steps", "30", "--no-eval"];
    fit.extend(QUICK);
    ok(at, &fit);
    let model = Model::load(at.join("s.safetensors")).unwrap();
    let arc: nstr::camera::CameraArc = serde_json::from_value(model.config["swing"].clone()).unwrap();
    assert!(arc.is_valid() && arc.reach < 60.0, "{arc:?}");
    let pictures = |args: &[&str], to: &str| {
        let size = ["render", "s.safetensors", "--size", "32x32", "-o", to];
        ok(at, &[&size[..], args].concat());
        let mut files: Vec<_> = std::fs::read_dir(at.join(to)).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|f| std::fs::read(f).unwrap()).collect::<Vec<_>>()
    };
    // There and back: the second of four frames stands at one end, the last at the other, the third where the first does.
    let swung = pictures(&["--orbit", "4"], "swung");
    assert!(swung[0] == swung[2] && swung[1] != swung[3] && swung[0] != swung[1]);
    // Any angle given asks for the circle.
    let circle = pictures(&["--orbit", "4", "--azimuth", "30"], "circle");
    assert!(circle[0] != circle[2] && circle[0] != swung[0]);
    assert_eq!(pictures(&["--spiral", "3"], "spiral").len(), 3);
}

/// Settings of a fit that takes a few seconds.
const QUICK: [&str; 8] = [
    "--preset",
    "radiance-tiny",
    "--set",
    "rays.samples_per_step=8192",
    // Cells are evaluated four times, which takes as long as the steps at the usual 128.
    "--set",
    "occupancy.resolution=64",
    "--downscale",
    "2",
];

#[test]
fn a_capture_is_fitted_measured_rendered_exported_and_queried() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let teaset = scene("teaset");
    let mut fit =
        vec!["fit", &teaset, "-o", "t.safetensors", "--steps", "400", "--json", "fit.json", "--render", "t.png"];
    fit.extend(QUICK);
    let said = ok(at, &fit);
    assert!(said.contains("40 training views of 64x64, 8 test views, with alpha"), "{said}");
    let metrics = json(&at.join("fit.json"));
    assert!(metrics["parameters"].as_u64().unwrap() <= 80_000);

    let said = ok(at, &["eval", "t.safetensors", &teaset, "--json", "e.json", "--images", "pictures"]);
    let e = json(&at.join("e.json"));
    // Half a minute of training would reach 30; a camera mirrored or transposed would stay below 15.
    assert!(e["psnr"].as_f64().unwrap() > 20.0 && e["ssim"].as_f64().unwrap() > 0.6, "{said}");
    assert!((e["psnr"].as_f64().unwrap() - metrics["psnr"].as_f64().unwrap()).abs() < 1e-9);
    assert_eq!(e["psnr_per_view"].as_array().unwrap().len(), 8);
    assert_eq!((e["background"].as_str(), e["steps"].as_u64()), (Some("#ffffff"), Some(400)));
    assert!(e["fit_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(e["file_bytes"].as_u64().unwrap(), std::fs::metadata(at.join("t.safetensors")).unwrap().len());
    for kind in ["render", "reference", "error"] {
        assert_eq!(std::fs::read_dir(at.join("pictures").join(kind)).unwrap().count(), 8, "{kind}");
    }
    // The contact sheet: three pictures a row beside the bar, as many rows as are asked for.
    let sheet = |path: &str| nstr::image::png::read(&at.join(path)).unwrap();
    let whole = sheet("pictures/sheet.png");
    ok(at, &["eval", "t.safetensors", &teaset, "--images", "worst.png", "--sheet-rows", "2"]);
    let worst = sheet("worst.png");
    assert!(whole.width == worst.width && whole.width > 3 * 64, "{} {}", whole.width, worst.width);
    // Eight rows and two; beside them a title.
    assert!((3 * worst.height..=4 * worst.height).contains(&whole.height), "{} {}", whole.height, worst.height);
    let refused = fails(at, &["eval", "t.safetensors", &teaset, "--lattice", "64"]);
    assert!(refused.contains("--lattice") && refused.contains("meshes"), "{refused}");
    let refused = fails(at, &["render", "t.safetensors", "-o", "t.png", "--ao", "--shadow"]);
    assert!(refused.contains("--ao is for surfaces"), "{refused}");
    for name in ["psnr_near", "psnr_middle", "psnr_far"] {
        assert!(e[name].as_f64().is_some_and(|db| db > 12.0), "{name}: {said}");
    }
    let near = e["near_camera_opacity"].as_f64().unwrap();
    assert!((0.0..0.01).contains(&near) && said.contains("near-camera opacity"), "nothing is modelled there: {said}");
    assert!((near - metrics["near_camera_opacity"].as_f64().unwrap()).abs() < 1e-9);
    ok(at, &["eval", "t.safetensors", &teaset, "--near-fraction", "1", "--json", "whole.json"]);
    let whole = json(&at.join("whole.json"));
    assert!(whole["near_camera_opacity"].as_f64().unwrap() > 0.05 && whole["near_fraction"] == 1.0, "{whole}");
    assert!(fails(at, &["eval", "t.safetensors", &teaset, "--near-fraction", "0"]).contains("--near-fraction 0"));
    let black = ok(at, &["eval", "t.safetensors", &teaset, "--background", "black"]);
    assert!(black.contains("on #000000"), "{black}");

    let path = format!("{teaset}/path.json");
    ok(at, &["render", "t.safetensors", "--path", &path, "--size", "48x48", "-o", "frames"]);
    assert_eq!(std::fs::read_dir(at.join("frames")).unwrap().count(), 24);
    ok(at, &["render", "t.safetensors", "--orbit", "3", "--size", "32x32", "-o", "turn.gif"]);
    ok(at, &["render", "t.safetensors", "--spiral", "3", "--size", "32x32", "-o", "spiral"]);
    // All around, the path goes through the cameras' places.
    let among = ["render", "t.safetensors", "--capture", &teaset, "--frames", "6", "--path"];
    ok(at, &[&among[..], &["spiral", "--size", "32x32", "-o", "among"]].concat());
    ok(at, &[&among[..], &["cameras", "--size", "32x32", "-o", "places"]].concat());
    let frame = |folder: &str, i: usize| std::fs::read(at.join(folder).join(format!("frame_{i:04}.png"))).unwrap();
    assert!((0..6).all(|i| frame("among", i) == frame("places", i)) && frame("among", 0) != frame("among", 5));
    let said = fails(at, &["render", "t.safetensors", "--path", "spiral", "-o", "x"]);
    assert!(said.contains("--path spiral needs --capture"), "{said}");
    let said = fails(at, &[&among[..], &[path.as_str(), "-o", "x"]].concat());
    assert!(said.contains("--capture is for --path spiral"), "{said}");
    ok(at, &["render", "t.safetensors", "--size", "40x30", "-o", "all.exr", "--stats"]);
    ok(at, &["render", "t.safetensors", "--size", "40x30", "-o", "cut.png", "--section", "0,0,1,0", "--section-field"]);
    let exr = std::fs::read(at.join("all.exr")).unwrap();
    for layer in ["depth.ray", "depth.z", "normal", "curvature", "gradS", "residual"] {
        assert!(exr.windows(layer.len()).any(|w| w == layer.as_bytes()), "{layer}");
    }
    ok(at, &["mesh", "t.safetensors", "-o", "t.ply", "--resolution", "48"]);
    let ply = std::fs::read(at.join("t.ply")).unwrap();
    assert!(String::from_utf8_lossy(&ply[..600]).contains("property uchar red"));
    assert!(fails(at, &["mesh", "t.safetensors", "-o", "n.ply", "--level", "1e30"]).contains("level"));
    query(at);
}

/// Density and colour at the middle of the scene and far from it.
fn query(at: &Path) {
    let write = |name: &str, columns: u64, values: Vec<f64>| {
        let mut bytes = Vec::new();
        let shape = [values.len() as u64 / columns, columns];
        let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd().unwrap();
        writer.extend(values).unwrap();
        writer.finish().unwrap();
        std::fs::write(at.join(name), bytes).unwrap();
    };
    write("p.npy", 3, vec![0.0, 0.0, 0.0, 0.1, 0.2, -0.1]);
    write("pd.npy", 6, vec![0.0, 0.0, 0.0, 0.0, 0.0, -1.0]);
    let read = |name: &str| {
        let bytes = std::fs::read(at.join(name)).unwrap();
        let file = npyz::NpyFile::new(&bytes[..]).unwrap();
        (file.shape().to_vec(), file.into_vec::<f32>().unwrap())
    };
    ok(at, &["query", "t.safetensors", "p.npy", "-o", "v.npy"]);
    let (shape, density) = read("v.npy");
    assert!(shape == [2] && density.iter().all(|d| *d >= 0.0));
    ok(at, &["query", "t.safetensors", "pd.npy", "-o", "c.npy"]);
    let (shape, colour) = read("c.npy");
    assert!(shape == [1, 4] && colour[..3].iter().all(|c| (0.0..=1.0).contains(c)));
    assert!((colour[3] - density[0]).abs() <= 1e-4 * density[0]);
    ok(at, &["query", "t.safetensors", "p.npy", "-o", "g.npy", "--gradients"]);
    assert_eq!(read("g.npy").0, [2, 4]);
}

/// Writes a capture of the sample's form over a colour, without alpha.
fn composited(from: &Path, to: &Path, colour: [u8; 3]) {
    for split in ["train", "test"] {
        let name = format!("transforms_{split}.json");
        std::fs::create_dir_all(to.join(split)).unwrap();
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
        for file in std::fs::read_dir(from.join(split)).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let mut image = nstr::image::picture::decode_rgba8(&bytes, None).unwrap().image;
            for p in image.data.chunks_exact_mut(4) {
                let alpha = f32::from(p[3]) / 255.0;
                let over = |c: u8, b: u8| (f32::from(c) * alpha + f32::from(b) * (1.0 - alpha)).round() as u8;
                (0..3).for_each(|c| p[c] = over(p[c], colour[c]));
                p[3] = 255;
            }
            nstr::image::png::write(&to.join(split).join(path.file_name().unwrap()), &image).unwrap();
        }
    }
}

#[test]
fn opaque_images_over_one_colour_are_fitted_as_those_with_alpha() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let teaset = scene("teaset");
    let fit = |input: &str, output: &str, more: &[&str]| {
        let start = ["fit", input, "-o", output, "--steps", "800", "--no-eval"];
        ok(at, &[&start[..], &QUICK, more].concat())
    };
    let psnr = |model: &str, input: &str, more: &[&str]| {
        ok(at, &[&["eval", model, input, "--json", "e.json"], more].concat());
        let e = json(&at.join("e.json"));
        (e["psnr"].as_f64().unwrap(), e["background"].as_str().unwrap().to_string())
    };
    fit(&teaset, "alpha.safetensors", &[]);
    for (name, hex, colour) in [("black", "#000000", 0), ("white", "#ffffff", 255), ("grey", "#808080", 128)] {
        composited(Path::new(&teaset), &at.join(name), [colour; 3]);
        let model = format!("{name}.safetensors");
        let said = fit(name, &model, &[]);
        assert!(said.contains(&format!("opaque on {hex}")) && said.contains("--background random"), "{said}");
        assert!(said.contains("around what the silhouettes leave"), "{said}");
        let (alpha, _) = psnr("alpha.safetensors", &teaset, &["--background", hex]);
        // The model knows its background.
        let (opaque, on) = psnr(&model, name, &[]);
        println!("{name}: {alpha:.2} dB with alpha, {opaque:.2} dB without");
        assert!(on == hex && opaque > alpha - 0.5, "{name}: {opaque:.2} dB on {on}, {alpha:.2} with alpha");
        let model = Model::load(at.join(model)).unwrap();
        assert_eq!(model.config["fit"]["rays"]["background"], hex);
        assert_eq!(model.config["capture"]["background"], "auto");
    }
    let inspected = ok(at, &["inspect", "grey"]);
    assert!(inspected.contains("opaque on #808080") && inspected.contains("plain background #808080"), "{inspected}");
    let listed: serde_json::Value = serde_json::from_str(&ok(at, &["inspect", "grey", "--json"])).unwrap();
    assert_eq!((listed["background"].as_str(), listed["alpha"].as_bool()), (Some("#808080"), Some(false)));
    // Its own background is that of pictures too: a corner shows nothing else.
    let corner = |more: &[&str]| {
        let render = ["render", "grey.safetensors", "--size", "24x24", "--renderer", "cpu", "-o", "c.png"];
        ok(at, &[&render[..], more].concat());
        let bytes = std::fs::read(at.join("c.png")).unwrap();
        nstr::image::picture::decode_rgba8(&bytes, None).unwrap().image.data[0]
    };
    assert!(corner(&[]).abs_diff(128) <= 12 && corner(&["--background", "white"]) >= 240);
}

#[test]
fn the_background_of_a_fit_can_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    composited(Path::new(&scene("teaset")), &at.join("black"), [0; 3]);
    let trained = |input: &str, more: &[&str]| {
        let start = ["fit", input, "-o", "m.safetensors", "--steps", "2", "--no-eval", "--overwrite"];
        let said = ok(at, &[&start[..], &QUICK, more].concat());
        let model = Model::load(at.join("m.safetensors")).unwrap();
        (model.config["fit"]["rays"]["background"].as_str().unwrap().to_string(), said)
    };
    let (background, said) = trained("black", &["--background", "random"]);
    assert!(background == "random" && !said.contains("plain background"), "{said}");
    let (background, said) = trained("black", &["--background", "#ff0000"]);
    assert!(background == "#ff0000" && said.contains("do not have the background #ff0000"), "{said}");
    // What is set by hand wins.
    assert_eq!(trained("black", &["--background", "black", "--set", "rays.background=white"]).0, "white");
    // Images with alpha are trained over random colours whatever they are measured on.
    assert_eq!(trained(&scene("teaset"), &["--background", "black"]).0, "random");
}

fn parameters(path: &Path) -> Vec<u32> {
    let model = Model::load(path).unwrap();
    model.grid.iter().chain(&model.net).map(|v| v.to_bits()).collect()
}

#[test]
fn a_killed_fit_goes_on_bit_for_bit_and_leaves_no_broken_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let teaset = scene("teaset");
    let fit = |output: &'static str, more: &[&'static str]| {
        let mut arguments = vec!["fit", &teaset, "-o", output, "--steps", "700", "--no-eval", "--precision", "f32"];
        arguments.extend(QUICK);
        arguments.extend(more);
        arguments.iter().map(|a| a.to_string()).collect::<Vec<_>>()
    };
    let words = |arguments: &[String]| arguments.iter().map(String::as_str).collect::<Vec<_>>().join("\u{0}");
    let start = |arguments: &[String]| {
        let text = words(arguments);
        command(at, &text.split('\u{0}').collect::<Vec<_>>())
    };
    let mut killed = start(&fit("k.safetensors", &["--checkpoint-every", "300ms"]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let checkpoint = at.join("k.checkpoint.safetensors");
    let began = Instant::now();
    while !checkpoint.exists() {
        assert!(began.elapsed() < Duration::from_secs(120), "no checkpoint was written");
        assert!(killed.try_wait().unwrap().is_none(), "ended before its first checkpoint: make the fit longer");
        std::thread::sleep(Duration::from_millis(5));
    }
    // SIGKILL: the process gets no word in.
    killed.kill().unwrap();
    killed.wait().unwrap();
    let kept = Checkpoint::load(&checkpoint).unwrap();
    assert!(kept.state["step"].as_u64().unwrap() > 0 && !at.join("k.safetensors").exists());
    let said = {
        let out = start(&fit("k.safetensors", &["--resume"])).output().unwrap();
        assert!(out.status.success());
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    assert!(said.contains("resumed at step"), "{said}");
    assert!(start(&fit("w.safetensors", &[])).output().unwrap().status.success());
    assert_eq!(parameters(&at.join("k.safetensors")), parameters(&at.join("w.safetensors")), "resumed and whole");
    // What was found in the images too, digit for digit.
    let [resumed, whole] = ["k.safetensors", "w.safetensors"].map(|name| Model::load(at.join(name)).unwrap());
    assert_eq!((resumed.config.to_string(), resumed.map), (whole.config.to_string(), whole.map));
    assert!(!checkpoint.exists());
    let other = fails(at, &["fit", &teaset, "-o", "w.safetensors", "--preset", "sdf", "--steps", "1"]);
    assert!(other.contains("radiance-tiny"), "{other}");
}

#[test]
fn captures_that_cannot_be_used_are_named_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir(at.join("empty")).unwrap();
    std::fs::write(at.join("empty/transforms.json"), r#"{"camera_angle_x": 0.7, "frames": []}"#).unwrap();
    let said = fails(at, &["fit", "empty", "-o", "m.safetensors"]);
    assert!(said.contains("transforms.json") && said.contains("frames"), "{said}");
    let teaset = scene("teaset");
    for (arguments, word) in [
        (&["--set", "occupancy.resolution=100"][..], "occupancy.resolution"),
        (&["--set", "rays.background=greenish"], "rays.background"),
        (&["--set", "color_head.encoding=sh:9"], "color_head.encoding"),
        (&["--background", "transparent"], "--background"),
        (&["--downscale", "0"], "downscale"),
        (&["--scene", "nan,0,0,1"], "scene"),
    ] {
        let mut all = vec!["fit", &teaset, "-o", "m.safetensors", "--steps", "1"];
        all.extend(arguments);
        let out = run(at, &all);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains(word) && !said.contains("panicked"), "{arguments:?}: {said}");
    }
    assert!(!at.join("m.safetensors").exists());
    assert!(fails(at, &["eval", "no.safetensors", &teaset]).contains("no.safetensors"));
}

#[test]
fn a_surface_is_fitted_to_a_capture_and_meshed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (teaset, truth) = (scene("teaset"), scene("teaset.obj"));
    let mut fit = vec!["fit", &teaset, "--preset", "surface", "--downscale", "2", "--steps", "300", "--no-eval"];
    fit.extend(["-o", "s.safetensors", "--set", "latent.hashmap_size=8192", "--set", "occupancy.resolution=64"]);
    fit.extend(["--set", "rays.samples_per_step=8192"]);
    ok(at, &fit);
    let said = ok(at, &["inspect", "s.safetensors"]);
    assert!(said.contains("of a signed distance, sharpness 600"), "{said}");
    let chamfer = |args: &[&str], to: &str| {
        let mesh = ["mesh", "s.safetensors", "-o", to, "--resolution", "64", "--truth", &truth];
        let said = ok(at, &[&mesh[..], args].concat());
        let line = said.lines().find(|line| line.contains("Chamfer-L1")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
    };
    // The ball that it begins as is 7 % away.
    let [own, seen] = [chamfer(&[], "own.ply"), chamfer(&["--capture", &teaset], "seen.ply")];
    assert!(own < 4.0 && seen < 4.0, "{own} {seen}");
    let level = chamfer(&["--level", "20"], "level.ply");
    assert!((level - own).abs() > 1e-3, "a level of the density lies before the zero of the distance");
    let both = run(at, &["mesh", "s.safetensors", "-o", "x.ply", "--level", "5", "--capture", &teaset]);
    assert!(!both.status.success() && String::from_utf8_lossy(&both.stderr).contains("--capture"));
    let bad = ["fit", &teaset, "--preset", "surface", "--set", "skip_latent=false", "-o", "x.safetensors"];
    assert!(fails(at, &bad).contains("skip_latent"));
}

#[test]
fn depth_maps_are_followed_and_bad_ones_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let teaset = scene("teaset");
    let mut file = json(&Path::new(&teaset).join("transforms_train.json"));
    for (i, frame) in file["frames"].as_array_mut().unwrap().iter_mut().enumerate() {
        let name = Path::new(&teaset).join(frame["file_path"].as_str().unwrap());
        frame["file_path"] = name.to_str().unwrap().into();
        if i < 3 {
            frame["depth_file_path"] = format!("d{i}.npy").into();
        }
    }
    std::fs::write(at.join("transforms.json"), file.to_string()).unwrap();
    let depth = |name: &str, side: u64| {
        let mut bytes = Vec::new();
        let options = npyz::WriteOptions::new().default_dtype().shape(&[side, side]);
        let mut writer = options.writer(&mut bytes).begin_nd().unwrap();
        writer.extend((0..side * side).map(|_| 4000u16)).unwrap();
        writer.finish().unwrap();
        std::fs::write(at.join(name), bytes).unwrap();
    };
    (0..2).for_each(|i| depth(&format!("d{i}.npy"), 32));
    let fit = |weight: &str, to: &str| {
        let mut args = vec!["fit", "transforms.json", "-o", to, "--steps", "20", "--no-eval", "--holdout", "0"];
        args.extend(QUICK);
        args.extend(["--set", weight]);
        (ok(at, &args), parameters(&at.join(to)))
    };
    let (said, with) = fit("depth.weight=0.5", "with.safetensors");
    assert!(said.contains("2 of 40 training views have a depth map"), "{said}");
    assert!(said.contains("depth maps of 1 of 40 frames are missing"), "{said}");
    let (_, without) = fit("depth.weight=0", "without.safetensors");
    assert!(with != without, "depths change what is learned");
    depth("d1.npy", 31);
    std::fs::write(at.join("d0.npy"), b"nothing").unwrap();
    let quick: Vec<&str> = ["fit", "transforms.json", "-o", "x.safetensors"].into_iter().chain(QUICK).collect();
    assert!(fails(at, &quick).contains("d0.npy"));
}
