//! Fits, resumed fits and opened models of the sample scenes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nstr_field::model::{Checkpoint, Model};
use nstr_fit::Progress;
use serde_json::json;

use crate::fit::checkpoint_path;
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
fn a_checkpoint_stays_as_long_as_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chirp.safetensors");
    let options = || FitOptions { checkpoint_every: Duration::ZERO, ..quick_chirp().output(&file) };
    let finished = || Model::load(&file).unwrap().metrics["finished"];
    let keeping = FitOptions { keep_checkpoint: true, ..options() };
    let whole = fit_signal(scene("chirp.png"), &keeping, &mut ()).unwrap().model;
    assert!(finished() == 1.0 && whole.metrics["finished"] == 1.0 && whole.metrics.contains_key("psnr"));
    // As a run leaves it that is killed before it has done everything.
    let checkpoint = checkpoint_path(&file);
    assert!(Checkpoint::load(&checkpoint).unwrap().state["step"].as_u64().unwrap() > 0);
    std::fs::remove_file(&file).unwrap();
    let end = fit_signal(scene("chirp.png"), &FitOptions { resume: true, ..options() }, &mut ()).unwrap().model;
    assert!(end.grid == whole.grid && end.net == whole.net && end.map == whole.map);
    assert_eq!(end.config.to_string(), whole.config.to_string());
    assert!(finished() == 1.0 && !checkpoint.exists());
    fit_signal(scene("chirp.png"), &options().without_evaluation(), &mut ()).unwrap();
    assert!(finished() == 1.0 && !checkpoint.exists());
}

#[test]
fn a_checkpoint_that_no_run_leaves_is_refused_by_file_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chirp.safetensors");
    let options = || quick_chirp().output(&file).without_evaluation();
    let stopped = fit_signal(scene("chirp.png"), &options().set("train.ema_decay=0.5"), &mut Stop).unwrap_err();
    assert!(matches!(stopped, Error::Interrupted { .. }), "{stopped}");
    let path = checkpoint_path(&file);
    let good = Checkpoint::load(&path).unwrap();
    let resume = |change: &dyn Fn(&mut Checkpoint)| {
        let mut checkpoint = good.clone();
        change(&mut checkpoint);
        checkpoint.save(&path).unwrap();
        let options = FitOptions { resume: true, ..options().set("train.ema_decay=0.5") };
        fit_signal(scene("chirp.png"), &options, &mut ()).map(|_| ()).map_err(|e| e.to_string())
    };
    for (result, part) in [
        (resume(&|c| c.state["elapsed"] = json!(1e300)), "`elapsed`"),
        (resume(&|c| c.state["step"] = json!("many")), "`step` is \"many\""),
        (resume(&|c| c.state = json!([])), "lacks `step`"),
        (resume(&|c| drop(c.arrays.remove("average.net"))), "moving averages"),
        (resume(&|c| drop(c.arrays.insert("average.net".into(), vec![0.0; 3]))), "moving averages"),
        (resume(&|c| c.grid_moments[1][7] = -1e-9), "`adam.grid.v` holds -0.000000001"),
        (resume(&|c| c.model.config["fit"]["train"]["batch"] = json!(0)), "train.batch = 0"),
        (resume(&|c| c.model.config["fit"]["train"]["batch"] = json!(9)), "train.batch = 256, there 9"),
        (resume(&|c| c.model.config["fit"]["field"]["init"]["omega_scale"] = json!(1e39)), "omega_scale"),
        (resume(&|c| c.model.config = json!(null)), "record of the fit"),
    ] {
        let said = result.unwrap_err();
        assert!(said.contains("chirp.checkpoint.safetensors: ") && said.contains(part), "{part}: {said}");
    }
    resume(&|_| ()).unwrap();
}

#[test]
fn a_model_that_claims_more_than_memory_holds_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chirp.safetensors");
    fit_signal(scene("chirp.png"), &quick_chirp().output(&file).without_evaluation(), &mut ()).unwrap();
    let good = Model::load(&file).unwrap();
    let claims = |width: u64, height: u64| {
        let mut model = good.clone();
        (model.config["signal"]["width"], model.config["signal"]["height"]) = (json!(width), json!(height));
        Field::open(&file, model)
    };
    for (width, height) in [(1 << 31, 1 << 31), (u64::MAX, 1), (u64::MAX, u64::MAX), (0, 256)] {
        let said = claims(width, height).unwrap_err().to_string();
        assert!(said.contains("chirp.safetensors: ") && said.contains("signal.width, height"), "{said}");
    }
    // What could be rendered is compared with the original before it is.
    let large = claims(1 << 14, 1 << 14).unwrap();
    let said = evaluate(&file, &large, &scene("chirp.png"), &EvalOptions::default()).unwrap_err().to_string();
    assert!(said.contains("a picture of 16384x16384") && said.contains("a picture of 256x256"), "{said}");
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
        ("misspelt.obj", quick_chirp(), "cannot read"),
    ] {
        let error = fit(scene(name), &options, &mut ()).unwrap_err().to_string();
        assert!(error.contains(word), "{name}: {error}");
    }
}

#[test]
fn a_resumed_capture_keeps_its_preset() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tea.safetensors");
    let quick = ["rays.samples_per_step=512", "rays.step=0.02", "occupancy.resolution=16", "latent.levels=2"];
    let options = |preset: Option<&str>| {
        let options = FitOptions { preset: preset.map(str::to_string), ..FitOptions::default() };
        quick.iter().fold(options.output(&file).steps(24).without_evaluation(), |options, set| options.set(set))
    };
    let stopped = fit(scene("teaset"), &options(Some("radiance-fine")), &mut Stop).unwrap_err();
    assert!(matches!(stopped, Error::Interrupted { .. }), "{stopped}");
    let fitted = fit(scene("teaset"), &FitOptions { resume: true, ..options(None) }, &mut ()).unwrap();
    // The usual preset of such images has fewer entries.
    let usual = fit(scene("teaset"), &options(None), &mut ()).unwrap();
    assert!(fitted.model.grid.len() > usual.model.grid.len());
}

#[test]
fn an_interrupted_fit_leaves_the_finished_model_of_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chirp.safetensors");
    let options = quick_chirp().output(&file).without_evaluation();
    fit_signal(scene("chirp.png"), &options, &mut ()).unwrap();
    let before = std::fs::read(&file).unwrap();
    let longer = options.clone().steps(60);
    let stopped = fit_signal(scene("chirp.png"), &longer, &mut Stop).unwrap_err();
    assert!(matches!(&stopped, Error::Interrupted { step: 1, replaced: false, checkpoint: Some(_), .. }), "{stopped}");
    assert!(stopped.to_string().contains("is still the finished model of before"), "{stopped}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    fit_signal(scene("chirp.png"), &FitOptions { resume: true, ..longer }, &mut ()).unwrap();
    assert_ne!(std::fs::read(&file).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// An observer that keeps the warnings, and stops at the first report where told to.
#[derive(Default)]
struct Warnings {
    texts: Vec<String>,
    stop: bool,
}

impl FitObserver for Warnings {
    fn warning(&mut self, text: &str) {
        self.texts.push(text.into());
    }

    fn progress(&mut self, _: &nstr_fit::Progress) -> bool {
        !self.stop
    }
}

#[test]
fn checkpoints_that_cannot_be_written_cost_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chirp.safetensors");
    // A folder in its place is never replaced.
    std::fs::create_dir(crate::fit::checkpoint_path(&file)).unwrap();
    let mut options = quick_chirp().output(&file).without_evaluation();
    options.checkpoint_every = std::time::Duration::ZERO;
    let mut stopping = Warnings { stop: true, ..Warnings::default() };
    let stopped = fit_signal(scene("chirp.png"), &options, &mut stopping).unwrap_err();
    assert!(matches!(&stopped, Error::Interrupted { replaced: true, checkpoint: None, .. }), "{stopped}");
    assert!(nstr_field::model::Model::load(&file).unwrap().metrics["finished"] == 0.0);
    let mut seen = Warnings::default();
    fit_signal(scene("chirp.png"), &options, &mut seen).unwrap();
    assert!(seen.texts.len() == 1 && seen.texts[0].contains("the fit goes on"), "{:?}", seen.texts);
    assert!(nstr_field::model::Model::load(&file).unwrap().metrics["finished"] == 1.0);
}

#[test]
fn a_model_that_cannot_be_written_is_kept_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept-elsewhere.safetensors");
    std::fs::create_dir(&file).unwrap();
    let options = quick_chirp().output(&file).without_evaluation();
    let error = fit_signal(scene("chirp.png"), &options, &mut ()).unwrap_err().to_string();
    let path = error.strip_prefix("the model is in ").and_then(|text| text.split(" instead").next()).unwrap();
    let kept = nstr_field::model::Model::load(path).unwrap();
    std::fs::remove_file(path).unwrap();
    assert!(kept.metrics["finished"] == 1.0 && error.contains("kept-elsewhere.safetensors: "), "{error}");
}

#[cfg(unix)]
#[test]
fn a_model_goes_into_a_pipe_once_and_with_its_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("chirp.safetensors");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let reader = std::thread::spawn({
        let fifo = fifo.clone();
        move || std::fs::read(fifo).unwrap()
    });
    let fitted = fit_signal(scene("chirp.png"), &quick_chirp().output(&fifo), &mut ()).unwrap();
    let copy = folder.path().join("copy.safetensors");
    std::fs::write(&copy, reader.join().unwrap()).unwrap();
    assert_eq!(nstr_field::model::Model::load(&copy).unwrap(), fitted.model);
    assert!(fitted.model.metrics.contains_key("psnr") && fitted.file_bytes.is_none());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
