//! Pictures and sounds through the command: fit, render at other sizes, measure, query, and what is refused.

mod common;

use std::path::Path;

use common::{fails, json, ok, scene};
use nstr::signal::{ImageSignal, PixelEncoding, read_audio, read_image};

/// A short fit of the chirp.
fn chirp(at: &Path, more: &[&str]) -> String {
    let input = scene("chirp.png");
    let usual = ["fit", &input, "-o", "chirp.safetensors", "--preset", "image-tiny", "--steps", "150"];
    ok(at, &[&usual, more].concat())
}

#[test]
fn a_picture_is_fitted_rendered_measured_and_queried() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let said = chirp(at, &["--set", "train.batch=8192", "--json", "fit.json", "--render", "fit.png"]);
    assert!(said.contains("256x256 pixels, grey") && said.contains("PSNR"), "{said}");
    let fitted = json(&at.join("fit.json"));
    assert!(fitted["psnr"].as_f64().unwrap() > 16.0, "{fitted}");

    ok(at, &["eval", "chirp.safetensors", &scene("chirp.png"), "--json", "eval.json", "--images", "pictures"]);
    let measured = json(&at.join("eval.json"));
    for name in ["psnr", "ssim"] {
        let [a, b] = [&fitted, &measured].map(|j| j[name].as_f64().unwrap());
        assert!((a - b).abs() < 1e-9, "{name}: {a} and {b}");
    }
    assert!(at.join("pictures/sheet.png").is_file());
    // The metric is that of the pictures, up to their 8 bits.
    let [render, reference] =
        ["render", "reference"].map(|n| read_image(&at.join(format!("pictures/{n}.png"))).unwrap());
    let square: f64 = render.data.iter().zip(&reference.data).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let psnr = -10.0 * (square / render.data.len() as f64).log10();
    assert!((psnr - measured["psnr"].as_f64().unwrap()).abs() < 0.1, "{psnr} from the pictures");

    // A part at twice the size is the part of the whole at twice the size.
    ok(at, &["render", "chirp.safetensors", "-o", "large.exr", "--size", "512x512"]);
    ok(at, &["render", "chirp.safetensors", "-o", "part.exr", "--size", "512x512", "--crop", "100,60,30,20"]);
    let [large, part] = ["large.exr", "part.exr"].map(|n| read_image(&at.join(n)).unwrap());
    let want = large.crop(100, 60, 30, 20).unwrap();
    assert!(part.data.iter().zip(&want.data).all(|(a, b)| (a - b).abs() < 1e-5));

    // Pixel centres in unit coordinates give the pixels.
    let points: Vec<f32> = (0..256).flat_map(|i| [(i as f32 + 0.5) / 256.0, 100.5 / 256.0]).collect();
    npy(&at.join("row.npy"), &points, 2);
    ok(at, &["query", "chirp.safetensors", "row.npy", "-o", "values.npy"]);
    let bytes = std::fs::read(at.join("values.npy")).unwrap();
    let values: Vec<f32> = npyz::NpyFile::new(&bytes[..]).unwrap().into_vec().unwrap();
    let row = render.data[100 * 256 * render.channels..].iter().step_by(render.channels);
    assert!(values.iter().zip(row).all(|(a, b)| (a.clamp(0.0, 1.0) - b).abs() < 0.5 / 255.0 + 1e-5));
}

fn npy(path: &Path, values: &[f32], columns: u64) {
    use npyz::WriterBuilder;
    let mut bytes = Vec::new();
    let shape = [values.len() as u64 / columns, columns];
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd().unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_sound_is_fitted_written_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let fit = ["fit", &scene("sweep.wav"), "-o", "s.safetensors", "--preset", "audio-tiny", "--steps", "200"];
    ok(at, &[&fit[..], &["--json", "fit.json"]].concat());
    ok(at, &["render", "s.safetensors", "-o", "s.wav"]);
    ok(at, &["render", "s.safetensors", "-o", "half.wav", "--rate", "8000"]);
    let [original, whole, half] = [Path::new(&scene("sweep.wav")).to_path_buf(), at.join("s.wav"), at.join("half.wav")]
        .map(|p| read_audio(&p).unwrap());
    assert_eq!((whole.rate, whole.frames()), (original.rate, original.frames()));
    assert_eq!((half.rate, half.frames()), (8000, original.frames() / 2));
    let snr = nstr::metrics::audio::snr(&original.data, &whole.data).unwrap();
    let said = json(&at.join("fit.json"))["snr"].as_f64().unwrap();
    assert!((snr - said).abs() < 0.05 && snr > 8.0, "{snr} of the file, {said} said");
    ok(at, &["eval", "s.safetensors", &scene("sweep.wav"), "--images", "pictures"]);
    assert!(read_image(&at.join("pictures/spectrogram.png")).unwrap().width > 400);
}

#[test]
fn a_picture_of_high_range_goes_through_logarithms() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // Four orders of magnitude from left to right.
    let value = |i: usize| 10f32.powf((i % 48) as f32 / 12.0 - 2.0) * (1.0 + 0.3 * (i as f32 / 100.0).sin());
    let data: Vec<f32> = (0..48 * 40).flat_map(|i| [value(i), 0.5 * value(i), 0.1]).collect();
    let picture = ImageSignal { width: 48, height: 40, channels: 3, encoding: PixelEncoding::Linear, data };
    picture.write(&at.join("high.exr")).unwrap();
    ok(at, &["fit", "high.exr", "--preset", "image-tiny", "--steps", "600", "--json", "log.json"]);
    ok(at, &["render", "high.safetensors", "-o", "again.exr"]);
    let again = read_image(&at.join("again.exr")).unwrap();
    let error = |fit: &[f32]| {
        let each = fit.iter().zip(&picture.data).map(|(a, b)| f64::from((a - b) / b).powi(2));
        (each.sum::<f64>() / fit.len() as f64).sqrt()
    };
    assert!(error(&again.data) < 0.15, "relative error {}", error(&again.data));
    assert!(json(&at.join("log.json"))["relative_mse"].as_f64().unwrap() < 0.01);
}

#[test]
fn the_same_seed_gives_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let fit = |more: &[&str]| {
        let input = scene("chirp.png");
        let usual =
            ["fit", &input, "--preset", "image-tiny", "--set", "train.batch=512", "--precision", "f32", "--no-eval"];
        ok(at, &[&usual, more].concat())
    };
    let [a, b] = ["whole", "again"].map(|name| {
        fit(&["-o", &format!("{name}.safetensors"), "--steps", "60"]);
        nstr::field::model::Model::load(at.join(format!("{name}.safetensors"))).unwrap()
    });
    assert!(a.grid == b.grid && a.net == b.net, "two fits");
}

#[test]
fn a_transport_network_is_taken_from_another_fit() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let network = ["transport.layers=1", "transport.width=16", "train.lambda_pde=1e-3", "train.batch=512"];
    let fit = |input: &str, name: &str, more: &[&str]| {
        let sets: Vec<&str> = network.iter().flat_map(|text| ["--set", text]).collect();
        let usual = ["fit", input, "-o", name, "--preset", "image-tiny", "--precision", "f32", "--no-eval"];
        let text = ok(at, &[&usual[..], &sets, more].concat());
        let model = nstr::field::model::Model::load(at.join(name)).unwrap();
        let f = model.net[model.spec.net_layout().transport_range()].to_vec();
        (f, model, text)
    };
    let (first, ..) = fit(&scene("chirp.png"), "a.safetensors", &["--steps", "20"]);
    let picture =
        ImageSignal { width: 40, height: 30, channels: 1, encoding: PixelEncoding::Srgb, data: vec![0.5; 1200] };
    picture.write(&at.join("grey.png")).unwrap();
    let from = ["--transport-from", "a.safetensors", "--steps", "20"];
    let (moved, model, _) = fit("grey.png", "b.safetensors", &from);
    assert_ne!(first, moved, "learned further");
    assert_eq!(model.config["transport_from"], "a.safetensors");
    let (kept, ..) = fit("grey.png", "c.safetensors", &[&from[..], &["--set", "train.train_transport=false"]].concat());
    assert_eq!(first, kept, "fixed");
    let other = ["fit", "grey.png", "-o", "d.safetensors", "--preset", "image-tiny", "--set", "transport.width=8"];
    let message = fails(at, &[&other[..], &["--set", "transport.layers=1"], &from].concat());
    for word in ["a.safetensors", "hidden layers 1 × 16", "hidden layers 1 × 8"] {
        assert!(message.contains(word), "no {word}: {message}");
    }
    let message = fails(at, &[&["fit", &scene("chirp.png"), "-o", "e.safetensors"], &from[..]].concat());
    assert!(message.contains("here none"), "{message}");
}

#[test]
fn wrong_uses_name_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    chirp(at, &["--no-eval"]);
    let silent =
        nstr::signal::AudioSignal { data: vec![0.0; 4000], ..read_audio(Path::new(&scene("sweep.wav"))).unwrap() };
    silent.write(&at.join("silent.wav")).unwrap();
    let cases: [(&[&str], &str); 16] = [
        (&["fit", "silent.wav"], "silent.wav: is silent"),
        (&["fit", &scene("sweep.wav"), "--render", "x.png"], "x.png"),
        (&["fit", &scene("chirp.png"), "--set", "outputs=2"], "outputs = 2: must be 1"),
        (&["fit", &scene("chirp.png"), "--downscale", "2"], "this is a picture"),
        (&["fit", &scene("chirp.png"), "--sign", "parity"], "this is a picture"),
        (&["render", "chirp.safetensors", "-o", "x.png", "--orbit", "3"], "--orbit"),
        (&["eval", "chirp.safetensors", &scene("chair.obj")], "is a mesh"),
        (&["fit", &scene("chirp.png"), "--preset", "sdf"], "image-tiny"),
        (&["fit", &scene("sweep.wav"), "--preset", "image"], "audio-tiny"),
        (&["fit", "absent.png"], "absent.png"),
        (&["fit", &scene("chirp.png"), "--set", "train.lambda_pde=1e-4"], "transport"),
        (&["fit", &scene("chirp.png"), "--set", "signal.share=0"], "signal.share"),
        (&["render", "chirp.safetensors", "-o", "x.wav"], "x.wav"),
        (&["render", "chirp.safetensors", "-o", "x.png", "--crop", "250,0,20,20"], "--crop"),
        (&["mesh", "chirp.safetensors", "-o", "x.obj"], "no surface"),
        (&["eval", "chirp.safetensors", &scene("sweep.wav")], "the file that it was fitted to"),
    ];
    for (arguments, word) in cases {
        let message = fails(at, arguments);
        assert!(message.contains(word), "{arguments:?}: {message}");
    }
}
