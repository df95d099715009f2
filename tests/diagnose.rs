//! The built command's report on quickly fitted scenes.

mod common;

use std::path::Path;

use common::{fails, json, ok, scene};
use serde_json::Value;

/// Checks what every report has.
fn page(folder: &Path) -> String {
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    // Nothing is fetched: the only addresses are names of XML namespaces.
    for (at, _) in page.match_indices("://") {
        assert!(page[at..].starts_with("://www.w3.org/"), "{}", &page[at - 10..at + 60]);
    }
    for outside in ["<script", "<link", "@import", "src=\"figures"] {
        assert!(!page.contains(outside), "{outside}");
    }
    page
}

fn correlation<'a>(report: &'a Value, subject: &str, measure: &str, target: &str) -> &'a Value {
    let cells = report["curvature"]["correlations"].as_array().unwrap();
    let found = cells.iter().find(|c| c["subject"] == subject && c["measure"] == measure && c["target"] == target);
    found.unwrap_or_else(|| panic!("{subject}, {measure}, {target}"))
}

#[test]
fn a_surface_is_diagnosed_beside_its_null_models() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let knot = scene("knot.ply");
    ok(at, &["fit", &knot, "-o", "k.safetensors", "--preset", "sdf-tiny", "--steps", "300", "--no-eval"]);
    let few = ["--samples", "1500", "--null-steps", "60"];
    let said = ok(at, &[&["diagnose", "k.safetensors", &knot, "-o", "r", "--json", "r.json"], &few[..]].concat());
    // The verdict comes first, in words; then the numbers that it rests on.
    let verdict = said.lines().find(|line| line.contains("Curvature and the spectrum: ")).unwrap();
    assert!(["yes ", "no ", "open "].iter().any(|word| verdict.starts_with(word)), "{said}");
    assert!(said.find(verdict) < said.find("Spearman's ρ(") && said.contains("wrote r"), "{said}");
    let html = page(&at.join("r"));
    assert!(html.matches("<svg").count() >= 5 && html.matches("data:image/png;base64,").count() >= 4);
    let report = json(&at.join("r/report.json"));
    assert_eq!(report, json(&at.join("r.json")));
    // No regulariser taught F: nothing is said of it.
    assert_eq!(report["answers"]["Transport and stability"], "open", "{}", report["answers"]);
    assert!(html.find("class=\"lead").unwrap() < html.find("<dl>").unwrap());
    let tangent = "‖∇S‖ in the tangent plane";
    for subject in [
        "model: S",
        "its own latent grid z",
        "field without spectrum: z",
        "untrained field",
        "S shuffled between points",
    ] {
        for target in ["|H|", "|K|", "|H| of the mesh", "|K| of the mesh"] {
            let rho = &correlation(&report, subject, tangent, target)["spearman"];
            let [low, value, high] = ["low", "value", "high"].map(|k| rho[k].as_f64().unwrap());
            assert!(low <= value && value <= high && value.abs() <= 1.0, "{subject}, {target}: {rho}");
        }
        let shuffled = subject.contains("shuffled");
        let rho = correlation(&report, subject, tangent, "|H|")["spearman"]["value"].as_f64().unwrap();
        assert!(!shuffled || rho.abs() < 0.1, "{rho}");
    }
    // The field's curvature is that of its mesh, as far as 300 steps get (0.48 to 0.51 over seeds).
    let agreement = &report["curvature"]["mean_curvature_against_the_mesh_spearman"]["differences"];
    let best = agreement.as_array().unwrap().iter().map(|a| a[1].as_f64().unwrap()).fold(-1.0, f64::max);
    assert!(best > 0.4, "{agreement}");
    assert_eq!(report["curvature"]["curvature_from"], "differences");
    let l = &report["transport"]["lipschitz"];
    assert!(l["sampled"].as_f64().unwrap() <= l["upper"].as_f64().unwrap());
    // Integrals of any F fall as 1/ν, and the decoder, which acts point by point, does not fall.
    for (field, off) in [("model", 0.1), ("untrained", 0.25)] {
        let slope = |name: &str| report["decay"][field][name].as_f64().unwrap();
        let (transport, decoder) = (slope("transport_slope"), slope("decoder_slope"));
        assert!((transport + 1.0).abs() < off && decoder.abs() < 0.05, "{field}: {transport}, {decoder}");
    }
    for name in ["surface-grad-s.ply", "surface-curvature.ply"] {
        let bytes = std::fs::read(at.join("r").join(name)).unwrap();
        assert!(String::from_utf8_lossy(&bytes[..600]).contains("property float grad_s_tangent"));
        assert!(nstr::geometry::read_mesh(&at.join("r").join(name)).is_ok());
    }
    assert!(at.join("r/figures/binned.svg").exists() && at.join("r/figures/curvature.png").exists());

    // The same seed, the same numbers; without the mesh what needs it is said to be missing.
    ok(at, &[&["diagnose", "k.safetensors", &knot, "-o", "s"], &few[..]].concat());
    assert_eq!(report, json(&at.join("s/report.json")));
    ok(at, &[&["diagnose", "k.safetensors", "-o", "t"], &few[..2]].concat());
    let refused = fails(at, &[&["diagnose", "k.safetensors", "-o", "t"], &few[..]].concat());
    assert!(refused.contains("--null-steps 60") && refused.contains("reference"), "{refused}");
    let alone = page(&at.join("t"));
    assert!(alone.contains("No mesh was given") && alone.contains("No field without spectrum"), "{alone}");
}

#[test]
fn smooth_fields_have_exact_curvature() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let knot = scene("knot.ply");
    let mut fit = vec!["fit", &knot, "-o", "k.safetensors", "--preset", "sdf-tiny", "--steps", "300", "--no-eval"];
    for option in ["decoder.activation=silu", "spectrum.activation=silu", "latent.interpolation=smoothstep"] {
        fit.extend(["--set", option]);
    }
    ok(at, &fit);
    ok(at, &["diagnose", "k.safetensors", &knot, "-o", "r", "--samples", "1500", "--null-steps", "0"]);
    let report = json(&at.join("r/report.json"));
    assert_eq!(report["curvature"]["curvature_from"], "second derivatives");
    assert!(page(&at.join("r")).contains("exact second derivatives"));
}

#[test]
fn a_radiance_field_is_diagnosed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let teaset = scene("teaset");
    let quick = ["--preset", "radiance-tiny", "--downscale", "2", "--no-eval"];
    let quick = [&quick[..], &["--set", "rays.samples_per_step=8192", "--set", "occupancy.resolution=64"]].concat();
    ok(at, &[&["fit", &teaset, "-o", "t.safetensors", "--steps", "150"], &quick[..]].concat());
    for (arguments, fitted) in [
        (&["diagnose", "t.safetensors", &teaset, "--null-steps", "40", "-o", "r"][..], true),
        (&["diagnose", "t.safetensors", "-o", "s"], false),
    ] {
        let said = ok(at, arguments);
        assert!(said.contains("AUC"), "{said}");
        let folder = at.join(arguments[arguments.len() - 1]);
        page(&folder);
        let report = json(&folder.join("report.json"));
        assert_eq!(report["depth"]["views"], 4);
        assert!(report["depth"]["pixels"].as_u64().unwrap() > 300, "{}", report["depth"]["pixels"]);
        let areas = report["depth"]["auc"].as_array().unwrap();
        assert_eq!(areas.iter().any(|a| a["subject"] == "field without spectrum: z"), fitted);
        assert_eq!(report["depth"]["without_spectrum"].is_null(), fitted);
    }
}

#[test]
fn pictures_and_sounds_are_diagnosed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (name, preset) in [("chirp.png", "image-tiny"), ("sweep.wav", "audio-tiny")] {
        let input = scene(name);
        ok(at, &["fit", &input, "-o", "m.safetensors", "--preset", preset, "--steps", "200", "--no-eval"]);
        let said = ok(at, &["diagnose", "m.safetensors", &input, "-o", name, "--null-steps", "40"]);
        // Both are signals of known frequency.
        assert!(said.contains("R² =") && said.contains("gradient of the signal"), "{said}");
        page(&at.join(name));
        let report = json(&at.join(name).join("report.json"));
        let shares = &report["regions"]["shares"];
        let sum: f64 = ["edges", "texture", "smooth"].iter().map(|r| shares[r].as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{shares}");
        let of = |features: &str| {
            let all = report["frequency"].as_array().unwrap();
            all.iter().find(|f| f["features"] == features).unwrap()["recovery"]["r2"].as_f64().unwrap()
        };
        assert!(of("S shuffled between points") < 0.05 && of("untrained field: S") < 0.2);
        assert!(of("model: S") > 0.35 && of("the coordinates alone") > 0.99);
        ok(at, &["diagnose", "m.safetensors", "-o", "alone"]);
        assert!(page(&at.join("alone")).contains("no reference was given"));
    }
    let bad = fails(at, &["diagnose", "m.safetensors", &scene("chirp.png"), "-o", "r"]);
    assert!(bad.contains("chirp.png"), "{bad}");
}

#[test]
fn what_cannot_be_diagnosed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert!(fails(at, &["diagnose", "no.safetensors", "-o", "r"]).contains("no.safetensors"));
    let knot = scene("knot.ply");
    ok(at, &["fit", &knot, "-o", "k.safetensors", "--preset", "sdf-tiny", "--steps", "1", "--no-eval"]);
    assert!(fails(at, &["diagnose", "k.safetensors", "-o", "r", "--samples", "1"]).contains("--samples"));
    assert!(fails(at, &["diagnose", "k.safetensors", "no.ply", "-o", "r"]).contains("no.ply"));
    assert!(!at.join("r").exists());
}
