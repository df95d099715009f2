//! Fits, resumed fits and opened models of the sample scenes.

use std::path::{Path, PathBuf};

use nstr_fit::Progress;

use crate::{
    Error, EvalOptions, Field, FieldKind, FitObserver, FitOptions, Scores, evaluate, fit, fit_mesh, fit_signal,
};

fn scene(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenes").join(name)
}

/// A fit of the chair that takes a second.
fn quick_chair() -> FitOptions {
    FitOptions::preset("sdf-tiny").set("train.batch=256").steps(40).without_evaluation()
}

/// A fit of the chirp that takes a second.
fn quick_chirp() -> FitOptions {
    FitOptions::preset("image-tiny").set("train.batch=256").steps(40)
}

/// Stops at the first report.
struct Stop;

impl FitObserver for Stop {
    fn progress(&mut self, _: &Progress) -> bool {
        false
    }
}

#[test]
fn a_model_of_another_kind_is_a_typed_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chair.safetensors");
    fit_mesh(scene("chair.obj"), &quick_chair().output(&file), &mut ()).unwrap();
    let open = || Field::load(&file).unwrap();
    let found = FieldKind::Sdf;
    for (result, expected) in [
        (open().into_radiance().map(|_| ()), FieldKind::Radiance),
        (open().into_signal().map(|_| ()), FieldKind::Signal),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Kind { found: f, expected: e } if (f, e) == (found, expected)), "{error}");
    }
    assert_eq!(open().kind(), found);
    open().into_sdf().unwrap();
}

#[test]
fn a_fit_without_a_file_gives_the_rounded_model() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chair.safetensors");
    let kept = fit(scene("chair.obj"), &quick_chair(), &mut ()).unwrap();
    let written = fit(scene("chair.obj"), &quick_chair().output(&file), &mut ()).unwrap();
    assert!(kept.model.grid == written.model.grid && kept.model.net == written.model.net);
    assert!(kept.model.grid.iter().all(|v| half::f16::from_f32(*v).to_f32() == *v), "numbers of 16 bits");
    assert_eq!((kept.file_bytes, kept.model.config), (None, written.model.config));
    assert_eq!(written.file_bytes, Some(std::fs::metadata(&file).unwrap().len()));
    assert!(kept.scores.is_none() && kept.mesh == written.mesh);
}

#[test]
fn a_fit_goes_on_with_the_same_settings_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chirp.safetensors");
    let options = || quick_chirp().output(&file).without_evaluation();
    let whole = fit_signal(scene("chirp.png"), &quick_chirp().without_evaluation(), &mut ()).unwrap().model;
    let stopped = fit_signal(scene("chirp.png"), &options(), &mut Stop).unwrap_err();
    assert!(matches!(stopped, Error::Interrupted { step: 1, .. }), "{stopped}");

    let resumed = |options: FitOptions| FitOptions { resume: true, ..options };
    for other in [options().set("train.net_lr=1e-3"), options().seed(1), options().set("signal.noise=0.1")] {
        let error = fit_signal(scene("chirp.png"), &resumed(other), &mut ()).unwrap_err().to_string();
        assert!(error.contains("made with other settings"), "{error}");
    }
    let end = fit_signal(scene("chirp.png"), &resumed(options()), &mut ()).unwrap().model;
    assert!(end.grid == whole.grid && end.net == whole.net, "as if never stopped");
}

#[test]
fn a_fit_is_measured_and_measured_again_alike() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chirp.safetensors");
    let fitted = fit_signal(scene("chirp.png"), &quick_chirp().output(&file), &mut ()).unwrap();
    let field = Field::load(&file).unwrap();
    let again = evaluate(&file, &field, &scene("chirp.png"), &EvalOptions::default()).unwrap();
    assert_eq!(fitted.scores.as_ref(), Some(&again));
    let Scores::Signal(scores) = again else { panic!("a picture's scores") };
    // Text may cost the last digit.
    let stored = field.model().metrics["psnr"];
    assert!((stored - scores.psnr.unwrap()).abs() < 1e-9, "{stored}");
    assert!(field.model().metrics.keys().eq(fitted.model.metrics.keys()));
}

#[test]
fn a_reference_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chirp.safetensors");
    fit_signal(scene("chirp.png"), &quick_chirp().output(&file).without_evaluation(), &mut ()).unwrap();
    let field = Field::load(&file).unwrap();
    let refused = |reference: &str, options: &EvalOptions| {
        evaluate(&file, &field, &scene(reference), options).unwrap_err().to_string()
    };
    let usual = EvalOptions::default();
    assert!(refused("chair.obj", &usual).contains("was fitted to a picture or a sound"));
    assert!(refused("teaset", &usual).contains("is a capture"));
    assert!(refused("sweep.wav", &usual).contains("give the file that it was fitted to"));
    let of_captures = EvalOptions { train_views: true, ..EvalOptions::default() };
    assert!(refused("chirp.png", &of_captures).contains("--train-views"));
}

#[test]
fn a_preset_of_another_kind_is_refused() {
    for (name, options, word) in [
        ("chair.obj", quick_chirp(), "a mesh needs one of the presets"),
        ("chirp.png", quick_chair(), "a picture needs one of the presets"),
        ("teaset", quick_chair(), "a capture needs one of the presets"),
    ] {
        let error = fit(scene(name), &options, &mut ()).unwrap_err().to_string();
        assert!(error.contains(word), "{name}: {error}");
    }
}
