//! Files that the command writes, read by Python's own packages.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Requirement, ok, scene, skip};

/// Returns whether `python3` imports these packages; without them the test is skipped.
fn has_packages(packages: &str) -> bool {
    let found = Command::new("python3").args(["-c", &format!("import {packages}")]).output();
    let found = found.is_ok_and(|out| out.status.success());
    if !found {
        skip(Requirement::Python, &format!("python3 does not import {packages}"));
    }
    found
}

/// Output of a script of tests/oracle that must succeed.
fn check(script: &str, file: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle").join(script);
    let out = Command::new("python3").arg(script).arg(file).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn the_safetensors_package_reads_models() {
    if !has_packages("safetensors, numpy") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (knot, at) = (scene("knot.ply"), folder.path());
    for precision in ["f16", "f32"] {
        let fit = ["fit", &knot, "-o", "k.safetensors", "--preset", "sdf-tiny", "--steps", "3", "--no-eval"];
        ok(at, &[&fit[..], &["--precision", precision]].concat());
        let text = check("read_model.py", &at.join("k.safetensors"));
        assert!(text.contains("ok: ") && text.contains("knot.ply"), "{text}");
    }
}

#[test]
fn the_openexr_package_reads_pictures() {
    if !has_packages("OpenEXR, numpy") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (knot, at) = (scene("knot.ply"), folder.path());
    ok(at, &["fit", &knot, "-o", "k.safetensors", "--preset", "sdf-tiny", "--steps", "300", "--no-eval"]);
    ok(at, &["render", "k.safetensors", "-o", "k.exr", "--size", "64x48", "--layers", "all", "--renderer", "cpu"]);
    assert!(check("check_exr.py", &at.join("k.exr")).contains(": ok"));
}
