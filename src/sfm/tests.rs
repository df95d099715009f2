//! Whole runs with stand-ins for the programs.

use std::fs;
use std::path::{Path, PathBuf};

use nstr_camera::camera::Camera;
use nstr_capture::{Capture, CaptureOptions, SceneRule, pose_errors, read_capture};

use crate::fake_programs::{FakePrograms, shaken};
use crate::testing::textured;
use crate::{Matcher, SfmError, SfmObserver, SfmOptions, SfmPlan, SfmReport, reconstruct};

/// What a run said.
#[derive(Default)]
struct Listener {
    messages: Vec<String>,
    stages: Vec<String>,
    /// Highest progress.
    fraction: f64,
    /// Stage in which to stop.
    stop_in: Option<&'static str>,
}

impl SfmObserver for Listener {
    fn message(&mut self, text: &str) {
        self.messages.push(text.into());
    }

    fn progress(&mut self, stage: &str, fraction: Option<f64>, _: &str) -> bool {
        assert!(fraction.is_none_or(|f| (0.0..=1.0).contains(&f)), "{stage} {fraction:?}");
        if self.stages.last().is_none_or(|s| s != stage) {
            self.stages.push(stage.into());
        }
        self.fraction = self.fraction.max(fraction.unwrap_or(0.0));
        // Only once the program has said something: then it hangs.
        self.stop_in != Some(stage) || fraction.is_none()
    }
}

fn run(input: &Path, output: &Path, options: &SfmOptions, listener: &mut Listener) -> Result<SfmReport, SfmError> {
    reconstruct(&SfmPlan::new(input, output, options)?, listener)
}

fn failure(input: &Path, output: &Path, options: &SfmOptions) -> String {
    run(input, output, options, &mut Listener::default()).unwrap_err().to_string()
}

fn read(folder: &Path) -> Capture {
    read_capture(folder, &CaptureOptions { holdout: 0, ..CaptureOptions::default() }).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_video_becomes_a_capture() {
    let fakes = FakePrograms::new();
    let output = fakes.at("out");
    let mut listener = Listener::default();
    let report = run(&fakes.at("walk.mp4"), &output, &fakes.options(), &mut listener).unwrap();
    assert_eq!((report.images, report.registered, &report.models[..]), (12, 12, &[12][..]));
    assert_eq!((report.points, report.track_length), (40, 3.0));
    assert!((report.reprojection_error.unwrap() - 0.8).abs() < 1e-9);
    assert_eq!((report.program.as_str(), report.size, report.lens.as_str()), ("COLMAP 3.8", (8, 8), "opencv"));
    assert_eq!(listener.stages, ["images", "features", "matches", "cameras"]);
    assert_eq!(listener.fraction, 1.0);
    assert!(listener.messages[0].contains("12 chosen of 48 frames"), "{:?}", listener.messages);
    let all = ["cameras.png", "capture.json", "colmap", "images", "points.ply", "transforms.json"];
    assert_eq!(names(&output), all);
    let logs = ["cameras.log", "database.db", "features.log", "frames.log", "matches.log", "sparse", "video.log"];
    assert_eq!(names(&output.join("colmap")), logs);
    // The cameras are those of the model, but for attitude, place and size of the world.
    let capture = read(&output);
    assert!(capture.notes.is_empty() && capture.train.len() == 12, "{:?}", capture.notes);
    let cameras: Vec<Camera> = capture.train.iter().map(|v| v.camera).collect();
    let left = pose_errors(&cameras, &fakes.cameras).unwrap();
    assert!(left.rotation_degrees < 1e-4 && left.position < 1e-6, "{left:?}");
    assert!((capture.points.len(), capture.scene_rule) == (40, SceneRule::Points), "{:?}", capture.scene_rule);
    // The walk was level: z is up, at a height of 0 above the cameras' mean.
    assert!(cameras.iter().all(|c| c.position().z.abs() < 1e-6), "{:?}", cameras[3].position());
    // Sharp candidates alone, which are each third one from the second on.
    let call = &fakes.calls("image2 ")[0];
    let chosen: Vec<usize> =
        call.split("eq(n,").skip(1).map(|part| part.split(')').next().unwrap().parse().unwrap()).collect();
    assert!(chosen.len() == 12 && chosen.iter().all(|i| i % 3 == 1), "{chosen:?}");
}

#[test]
fn options_go_by_the_names_that_the_program_knows() {
    let fakes = FakePrograms::new();
    let options = SfmOptions { overlap: 7, matcher: Matcher::Sequential, ..fakes.options() };
    run(&fakes.at("walk.mp4"), &fakes.at("old"), &options, &mut Listener::default()).unwrap();
    let features = &fakes.calls("feature_extractor")[0];
    for word in [
        "--SiftExtraction.use_gpu 0",
        "--SiftExtraction.max_image_size 1600",
        "--SiftExtraction.max_num_features 3000",
        "--ImageReader.single_camera 1",
        "--ImageReader.camera_model OPENCV",
    ] {
        assert!(features.contains(word), "{features}");
    }
    let matches = &fakes.calls("sequential_matcher")[0];
    assert!(matches.contains("--SiftMatching.use_gpu 0") && matches.contains("overlap 7"), "{matches}");
    // Later versions have other names, and some options no more.
    fakes.put("options", "  --FeatureExtraction.use_gpu arg\n  --FeatureMatching.use_gpu arg (=1)\n");
    fakes.put("calls", "");
    run(&fakes.at("walk.mp4"), &fakes.at("new"), &fakes.options(), &mut Listener::default()).unwrap();
    let features = &fakes.calls("feature_extractor")[0];
    assert!(features.contains("--FeatureExtraction.use_gpu 0") && !features.contains("Sift"), "{features}");
    let matches = &fakes.calls("exhaustive_matcher")[0];
    assert!(matches.contains("--FeatureMatching.use_gpu 0") && !matches.contains("block_size"), "{matches}");
}

#[test]
fn a_python_with_pycolmap_does_the_same() {
    let fakes = FakePrograms::new();
    let options = SfmOptions { colmap: None, python: Some(fakes.at("colmap")), ..fakes.options() };
    let report = run(&fakes.at("walk.mp4"), &fakes.at("out"), &options, &mut Listener::default()).unwrap();
    assert_eq!((report.program.as_str(), report.registered), ("pycolmap 9.9", 12));
    let calls = fakes.calls("python");
    assert_eq!(calls.len(), 3);
    assert!(
        calls[0].contains("\"camera_mode\":\"SINGLE\"") && calls[0].contains("\"camera_model\":\"OPENCV\""),
        "{calls:?}"
    );
}

#[test]
fn an_interrupted_run_goes_on() {
    let fakes = FakePrograms::new();
    let (video, output) = (fakes.at("walk.mp4"), fakes.at("out"));
    fakes.put("hang-exhaustive_matcher", "");
    let mut listener = Listener { stop_in: Some("matches"), ..Listener::default() };
    let ended = run(&video, &output, &fakes.options(), &mut listener);
    assert!(matches!(&ended, Err(SfmError::Interrupted { path }) if *path == output), "{ended:?}");
    assert!(ended.unwrap_err().to_string().contains("--resume"));
    // Nothing there looks like a capture.
    assert_eq!(names(&output), [".unfinished"]);
    assert!(!nstr_capture::is_capture(&output));
    fs::remove_file(fakes.at("hang-exhaustive_matcher")).unwrap();
    let said = failure(&video, &output, &fakes.options());
    assert!(said.contains("interrupted run") && said.contains("--resume"), "{said}");
    let resumed = SfmOptions { resume: true, ..fakes.options() };
    fakes.put("calls", "");
    let mut listener = Listener::default();
    run(&video, &output, &resumed, &mut listener).unwrap();
    assert_eq!(listener.messages[..2], ["images: finished before", "features: finished before"]);
    assert!(fakes.calls("feature_extractor").is_empty() && fakes.calls("image2pipe").is_empty());
    assert_eq!((fakes.calls("exhaustive_matcher").len(), fakes.calls("mapper").len()), (1, 1));
    assert_eq!(read(&output).train.len(), 12);
    // Once more: there is nothing to do.
    fakes.put("calls", "");
    let report = run(&video, &output, &resumed, &mut listener).unwrap();
    assert_eq!((report.registered, fakes.calls("mapper").len()), (12, 0));
}

#[test]
fn changed_options_repeat_what_depends_on_them() {
    let fakes = FakePrograms::new();
    let (video, output) = (fakes.at("walk.mp4"), fakes.at("out"));
    fakes.put("fail-mapper", "out of luck\n");
    let said = failure(&video, &output, &fakes.options());
    assert!(said.contains("COLMAP 3.8 failed while finding cameras: out of luck"), "{said}");
    assert!(said.contains("cameras.log"), "{said}");
    fs::remove_file(fakes.at("fail-mapper")).unwrap();
    fakes.put("calls", "");
    let options = SfmOptions { resume: true, matcher: Matcher::Sequential, ..fakes.options() };
    let mut listener = Listener::default();
    run(&video, &output, &options, &mut listener).unwrap();
    assert!(listener.messages.iter().any(|m| m.starts_with("matches: made again")), "{:?}", listener.messages);
    let [features, matches] = ["feature_extractor", "sequential_matcher"].map(|name| fakes.calls(name).len());
    assert_eq!((features, matches), (0, 1));
}

#[test]
fn an_earlier_capture_stays_until_the_new_one_is_finished() {
    let fakes = FakePrograms::new();
    let (video, output) = (fakes.at("walk.mp4"), fakes.at("out"));
    run(&video, &output, &fakes.options(), &mut Listener::default()).unwrap();
    let said = failure(&video, &output, &fakes.options());
    assert!(said.contains("holds a capture") && said.contains("--overwrite"), "{said}");
    let options = SfmOptions { overwrite: true, frames: Some(6), ..fakes.options() };
    fakes.put("fail-mapper", "out of luck\n");
    failure(&video, &output, &options);
    assert_eq!(read(&output).train.len(), 12);
    fs::remove_file(fakes.at("fail-mapper")).unwrap();
    let report = run(&video, &output, &options, &mut Listener::default()).unwrap();
    assert_eq!((report.registered, read(&output).train.len()), (6, 6));
    assert_eq!(names(&output.join("images")).len(), 6);
    assert!(!output.join(".unfinished").exists());
}

#[test]
fn videos_of_no_use_say_why() {
    let fakes = FakePrograms::new();
    let (video, output) = (fakes.at("walk.mp4"), fakes.at("out"));
    fakes.stream((0..30).map(|_| textured(160, 120, 0.0, 0.0)));
    let said = failure(&video, &output, &fakes.options());
    assert!(said.contains("walk.mp4: the camera does not move"), "{said}");
    fakes.stream((0..30).map(|i| shaken(&textured(160, 120, 3.0 * f64::from(i), 0.0), 15)));
    let options = SfmOptions { overwrite: true, ..fakes.options() };
    let said = failure(&video, &output, &options);
    assert!(said.contains("walk.mp4: the video is blurred"), "{said}");
    let said = failure(&fakes.at("frame.jpg"), &fakes.at("other"), &fakes.options());
    assert!(said.contains("is one image"), "{said}");
    assert!(failure(&fakes.at("none.mp4"), &fakes.at("other"), &fakes.options()).contains("none.mp4"));
}

#[test]
fn programs_are_asked_for_before_the_work() {
    let fakes = FakePrograms::new();
    let (video, output) = (fakes.at("walk.mp4"), fakes.at("out"));
    for options in [
        SfmOptions { ffmpeg: fakes.at("no-ffmpeg"), ..fakes.options() },
        SfmOptions { colmap: Some(fakes.at("no-colmap")), ..fakes.options() },
        // Not a COLMAP.
        SfmOptions { colmap: Some(PathBuf::from("true")), ..fakes.options() },
    ] {
        let said = failure(&video, &output, &options);
        assert!(said.contains("apt install"), "{said}");
    }
    assert!(!output.exists());
    let both = SfmOptions { python: Some(fakes.at("colmap")), ..fakes.options() };
    assert!(failure(&video, &output, &both).contains("give one of them"));
    let few = SfmOptions { frames: Some(2), ..fakes.options() };
    assert!(failure(&video, &output, &few).contains("frames: 2"));
}

#[test]
fn images_that_do_not_overlap_say_what_to_do() {
    let fakes = FakePrograms::new();
    let folder = fakes.photographs(12, &[]);
    fakes.put("models", "");
    let said = failure(&folder, &fakes.at("none"), &fakes.options());
    assert!(said.contains("photos: COLMAP finds no cameras") && said.contains("overlap"), "{said}");
    fakes.put("fail-mapper", "No good initial image pair found.\nERROR: failed to create sparse model\n");
    let said = failure(&folder, &fakes.at("failed"), &fakes.options());
    assert!(said.contains("photos: COLMAP finds no cameras"), "{said}");
    fs::remove_file(fakes.at("fail-mapper")).unwrap();
    fakes.put("models", "3 5 4");
    let mut listener = Listener::default();
    let report = run(&folder, &fakes.at("parts"), &fakes.options(), &mut listener).unwrap();
    assert_eq!((report.registered, &report.models[..]), (5, &[5, 4, 3][..]));
    assert!(report.notes[0].contains("3 parts") && report.notes[1].contains("7 of 12 images"), "{:?}", report.notes);
    assert_eq!(read(&fakes.at("parts")).train.len(), 5);
}

#[test]
fn folders_leave_out_the_blurred_and_take_masks() {
    let fakes = FakePrograms::new();
    let (folder, masks, output) = (fakes.photographs(13, &[4]), fakes.at("masks"), fakes.at("out"));
    fs::create_dir(&masks).unwrap();
    let mask = nstr_image::Rgba8::from_fn(96, 72, |i| if i < 960 { [0, 0, 0, 255] } else { [255; 4] });
    nstr_image::png::write(&masks.join("IMG_2.png"), &mask).unwrap();
    let options = SfmOptions { masks: Some(masks.clone()), ..fakes.options() };
    let report = run(&folder, &output, &options, &mut Listener::default()).unwrap();
    assert!(
        report.notes[0].contains("1 images are blurred") && report.notes[0].contains("IMG_4.png"),
        "{:?}",
        report.notes
    );
    assert!(report.notes[1].contains("11 of 12 images have no mask"), "{:?}", report.notes);
    assert_eq!(names(&output.join("masks")), ["IMG_2.png.png"]);
    assert!(fakes.calls("feature_extractor")[0].contains("--ImageReader.mask_path"));
    assert!(!output.join("images/IMG_4.png").exists() && output.join("images/IMG_13.png").exists());
    fs::remove_file(masks.join("IMG_2.png")).unwrap();
    let said = failure(&folder, &fakes.at("other"), &options);
    assert!(said.contains("masks: has no mask of any image"), "{said}");
    let said = failure(&fakes.at("walk.mp4"), &fakes.at("other"), &SfmOptions { overwrite: true, ..options });
    assert!(said.contains("masks are for folders"), "{said}");
}
