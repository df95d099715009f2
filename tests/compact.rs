//! Compact files through the command: converted, inspected, used in place of a model, and what is refused.

mod common;

use common::{fails, json, ok, scene};
use nstr::field::Model;

#[test]
fn a_model_is_converted_used_and_converted_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let input = scene("chirp.png");
    ok(at, &["fit", &input, "-o", "c.safetensors", "--preset", "image-tiny", "--steps", "150"]);
    let said = ok(at, &["convert", "c.safetensors", "-o", "c.nstr", "--loss", "0.2", "--reference", &input]);
    assert!(said.contains("wrote c.nstr: ") && said.contains("PSNR against the original"), "{said}");
    let bytes = |name: &str| std::fs::metadata(at.join(name)).unwrap().len();
    assert!(bytes("c.nstr") * 2 < bytes("c.safetensors"), "{} bytes", bytes("c.nstr"));

    // Every command takes it as it takes the other.
    let measured = |model: &str| {
        ok(at, &["eval", model, &input, "--json", "eval.json"]);
        json(&at.join("eval.json"))["psnr"].as_f64().unwrap()
    };
    let lost = measured("c.safetensors") - measured("c.nstr");
    assert!((0.1..=0.2).contains(&lost), "{lost} dB");
    ok(at, &["render", "c.nstr", "-o", "c.png"]);
    let text = ok(at, &["inspect", "c.nstr", "--json"]);
    let sections = serde_json::from_str::<serde_json::Value>(&text).unwrap()["sections"].clone();
    let sum: u64 = sections.as_array().unwrap().iter().map(|s| s["bytes"].as_u64().unwrap()).sum();
    assert_eq!(sum, bytes("c.nstr"));
    let text = ok(at, &["inspect", "c.nstr"]);
    assert!(text.contains("networks") && text.contains("level 0") && text.contains("bits"), "{text}");

    // Back, without the loss of a bit.
    ok(at, &["convert", "c.nstr", "-o", "back.safetensors"]);
    let [compact, back] = ["c.nstr", "back.safetensors"].map(|name| Model::load(at.join(name)).unwrap());
    assert_eq!(compact, back);
    ok(at, &["convert", "back.safetensors", "-o", "small.nstr", "--max-size", "12kB"]);
    assert!(bytes("small.nstr") <= 12_000, "{} bytes", bytes("small.nstr"));
}

#[test]
fn a_fit_writes_a_compact_file_of_at_most_a_size() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mesh = scene("bracket.stl");
    let fit = [
        "fit",
        &mesh,
        "-o",
        "b.nstr",
        "--preset",
        "sdf-tiny",
        "--steps",
        "200",
        "--max-size",
        "24kB",
        "--json",
        "b.json",
    ];
    let said = ok(at, &fit);
    assert!(said.contains("coded in"), "{said}");
    let bytes = std::fs::metadata(at.join("b.nstr")).unwrap().len();
    assert!(bytes <= 24_000 && json(&at.join("b.json"))["file_bytes"].as_u64() == Some(bytes), "{bytes} bytes");
    ok(at, &["mesh", "b.nstr", "-o", "b.ply", "--resolution", "64"]);
    let names: Vec<String> = std::fs::read_dir(at)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("b."))
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn misuse_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mesh = scene("bracket.stl");
    ok(at, &["fit", &mesh, "-o", "b.safetensors", "--preset", "sdf-tiny", "--steps", "100", "--no-eval"]);
    let convert = |more: &[&str]| fails(at, &[&["convert", "b.safetensors", "-o"], more].concat());
    for (said, word) in [
        (convert(&["b.stl"]), "ends in .safetensors or .nstr"),
        (convert(&["b.safetensors"]), "is an input of this command"),
        (convert(&["c.safetensors", "--loss", "0.1"]), "are for compact files (.nstr)"),
        (convert(&["c.nstr", "--precision", "f16"]), "--precision is for .safetensors"),
        (convert(&["c.nstr", "--loss", "-1"]), "--loss -1: must be above 0"),
        (convert(&["c.nstr", "--reference", &scene("chirp.png")]), "was fitted to a mesh"),
        (convert(&["c.nstr", "--max-size", "1kB"]), "too small for this model"),
        (fails(at, &["convert", "none.nstr", "-o", "c.nstr"]), "none.nstr"),
        (fails(at, &["fit", &mesh, "-o", "b.safetensors", "--max-size", "9kB"]), "-o NAME.nstr"),
        (
            fails(at, &["fit", &mesh, &scene("chair.obj"), "-o", "folder", "--max-size", "9kB"]),
            "--max-size takes one input",
        ),
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    std::fs::write(at.join("cut.nstr"), b"\x89NSTR\r\n\x1a\x01\0").unwrap();
    let said = fails(at, &["eval", "cut.nstr", &mesh]);
    assert!(said.contains("cut.nstr: not a whole .nstr file"), "{said}");
    assert!(!at.join("c.nstr").exists() && !at.join("c.safetensors").exists());
}
