//! Fits of radiance fields to captures.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nstr_backend::device::Device;
use nstr_camera::Up;
use nstr_capture::{
    CameraFrame, Capture, CaptureBackground, LensCamera, Split, View, check_transforms, read_capture, write_transforms,
};
use nstr_field::model::Model;
use nstr_files::decimals;
use nstr_fit::cell_masks::FreeSpaceMask;
use nstr_fit::eval::ViewEvalOptions;
use nstr_fit::occupancy_grid::saved_occupancy;
use nstr_fit::unseen_cells::cull_unseen_cells;
use nstr_fit::{
    Budget, CameraRefinement, CameraTrial, FitConfig, RadianceTask, RayConfig, RaySampler, RefineMode, TaskState,
    TrainState, TrainingData,
};
use nstr_image::colour::Background;
use nstr_space::SceneMap;

use super::checkpoint;
use super::job::{FitJob, FitRequest, SaveReason};
use super::validation::validator;
use super::{FitObserver, FitScene, Fitted};
use crate::compact::RadianceGauge;
use crate::error::{Context, Error};
use crate::evaluate::Scores;
use crate::field::RadianceModel;
use crate::options::FitOptions;
use crate::record::{FitRecord, volume_settings};

/// Training time where none is asked for.
const USUAL_TIME: Duration = Duration::from_secs(600);
/// Training time from which `radiance-fine` is the better preset for an object's images of [`FINE_SIDE`] pixels (docs/results.md).
const FINE_TIME: Duration = Duration::from_secs(60);
/// Longer side from which images show more than `radiance` holds.
const FINE_SIDE: u32 = 300;

/// Fits a radiance field to the capture in `input`, and writes the model where `options` name a file.
///
/// # Errors
/// Unreadable captures, options that do not fit, a device that is not there, training that diverges or is stopped by the
/// observer, files that cannot be written.
pub fn fit_capture(
    input: impl AsRef<Path>,
    options: &FitOptions,
    observer: &mut dyn FitObserver,
) -> Result<Fitted, Error> {
    let request = FitRequest::new(input.as_ref(), options)?;
    let input = request.input;
    // Before images are read.
    check_device(&options.config("radiance", |config| config)?.0, options.device)?;
    let capture = read_capture(input, &options.capture.options(Split::All))?;
    if capture.train.is_empty() {
        return Err(Error::file(input, "no view is left to train on; lower --every or --holdout"));
    }
    let open = is_open(&capture);
    let adapted = |config: FitConfig| match capture.scene.map {
        SceneMap::Box(_) if open => config.for_room(),
        map => config.for_unbounded_map(&map),
    };
    let configured = |preset: &str| {
        options.config(preset, |config| over_background(adapted(config), &capture, options.capture.background))
    };
    let mut usual = usual_preset(&capture, options.budget);
    if let Some(entries) = checkpoint::grid_len_to_resume(options) {
        // The preset of before, whatever time is given now.
        let is_kept =
            |preset: &&str| configured(preset).is_ok_and(|(config, _)| config.field.spec().grid_len() == entries);
        usual = ["radiance", "radiance-fine"].into_iter().find(is_kept).unwrap_or(usual);
    }
    let (config, budget) = configured(usual)?;
    // A preset that is not named does not bring its own time either.
    let budget = options.budget.unwrap_or(if options.preset.is_some() { budget } else { Budget::Time(USUAL_TIME) });
    let Some((rays, grid)) = config.rays.clone().zip(config.occupancy.clone()) else {
        let reason = "a capture needs one of the presets radiance-tiny, radiance, radiance-fine, surface";
        return Err(Error::file(input, reason));
    };
    let mut cameras = config.cameras.clone().unwrap_or_default();
    let exposure = config.exposure.clone().unwrap_or_default();
    let robust = config.robust.clone().unwrap_or_default();
    let depth = config.depth.clone().unwrap_or_default();
    let surface = config.surface.clone().unwrap_or_default();
    if let Some(file) = &options.cameras_file {
        capture.views().try_for_each(|view| check_transforms(file, &view.name, &view.lens))?;
    }
    let background = measured_background(&rays, options.capture.background);
    let mut settings = options.capture.clone();
    // As it was found in this capture, so that the model keeps it.
    settings.near = Some(capture.scene.near);
    let camera_arc = match capture.scene.map {
        SceneMap::Open(cube) => nstr_capture::estimate_open_camera_arc(&capture.train, 0.25 * cube.size),
        SceneMap::Box(_) | SceneMap::Forward(_) => nstr_capture::estimate_camera_arc(&capture.train),
    };
    let record = FitRecord { capture: Some(settings), camera_arc, ..FitRecord::new(config, budget, options.seed) };
    let job = FitJob::begin(request, "radiance", usual, record, || Ok(capture.scene.map), observer)?;
    // Those of the checkpoint where there is one: the last bit of what is found anew may differ.
    let (map, kept) = (job.map, job.record.capture.as_ref().and_then(|settings| settings.near));
    let near = kept.unwrap_or(capture.scene.near);
    describe(input, &capture, open, observer);
    if cameras.refine == RefineMode::Auto {
        cameras.refine = match job.resumed {
            // As the trial said when the fit began.
            true if CameraRefinement::refines_poses(&job.state.task) => RefineMode::On,
            true => RefineMode::Off,
            false => tried_refinement(input, &capture.train, map, near, &job.record, observer)?,
        };
    }
    job.announce(observer);

    let Capture { train, test, hull, image_files, .. } = capture;
    let train = Arc::new(train);
    let sampler = RaySampler::new(train.clone(), map, near).ok_or_else(|| {
        Error::file(input, "no pixel is left to train on: the images are empty, or masks leave all out")
    })?;
    let sampler = sampler.with_depths(&depth);
    if !sampler.looks_inside() {
        let cube = map.cube();
        let reason = format!(
            "no camera looks into the scene's cube (centre {}, edge {}) beyond the near distance {}; change --scene or --near",
            cube.centre(),
            cube.size,
            near
        );
        return Err(Error::file(input, reason));
    }
    // Silhouettes of cameras that are a little wrong carve parts of the object away.
    let hull = hull.filter(|_| !cameras.is_on());
    let free = FreeSpaceMask::new(grid.resolution, hull, &train, map, near);
    let (resolution, march) = (grid.resolution, volume_settings(&rays, near, &map));
    let mut task = RadianceTask::new(&job.op, Arc::new(sampler), rays, grid, job.record.seed, |i| free.get(i))
        .with_cameras(&cameras)
        .with_exposure(&exposure)
        .with_robust_loss(&robust)
        .with_surface(&surface);
    if job.resumed {
        task = task.resumed(&job.state.task).ok_or_else(|| {
            Error::file(
                job.name(),
                "its checkpoint does not fit occupancy.resolution or the views, or is damaged; fit afresh without --resume",
            )
        })?;
    }
    if options.validate
        && let Some(validator) = validator(job.op.spec(), map, march, &test, background)
    {
        task = task.with_validator(validator, observer.validate_every());
    }
    observer.begin(FitScene { bounds: map.cube().bounds(), up: Up::Z, views: train.clone() });
    let last_state = RefCell::new(TaskState::default());
    let complete = |model: &mut Model, state: &TrainState, reason: SaveReason| {
        if reason == SaveReason::Finished && options.cameras_file.is_some() {
            *last_state.borrow_mut() = state.task.clone();
        }
        // As it was trained: levels that are still coming in count less. A checkpoint holds the parameters themselves.
        let progress = job.record.budget.progress(state.step, state.elapsed);
        if let Some(head) = &mut model.spec.color_head {
            head.density = surface.law(head.density, progress);
        }
        let levels = [cameras.level_weights(&model.spec, progress), surface.level_weights(&model.spec, progress)];
        for weights in levels.iter().flatten() {
            model.grid.iter_mut().zip(weights).for_each(|(number, weight)| *number *= weight);
        }
        model.occupancy = saved_occupancy(&state.task, resolution);
        // A room has a back that no camera saw; what is shown as an object keeps the inside that closes it.
        if open
            && reason == SaveReason::Finished
            && let (Some(occupancy), Some(density)) = (&mut model.occupancy, state.task.arrays.get("density"))
        {
            *occupancy = cull_unseen_cells(occupancy, density, &train, map, near);
        }
        for (name, key) in [("rays", "drawn"), ("samples", "used")] {
            model.metrics.insert(name.into(), state.task.numbers.get(key).copied().unwrap_or(0.0));
        }
    };
    let model = job.train(TrainingData::Rays(Box::new(task)), &complete, observer)?;
    if let Some(file) = &options.cameras_file {
        // The training views' own where nothing was refined.
        let refined = CameraRefinement::new(cameras, &train, map.cube()).resumed(&last_state.borrow());
        let plain = || train.iter().map(View::lens_camera).collect::<Vec<LensCamera>>();
        let found = refined.map_or_else(plain, |refined| refined.cameras().to_vec());
        let frame = |view: &View, camera, is_test| CameraFrame { name: view.name.clone(), camera, is_test };
        let mut frames: Vec<CameraFrame> =
            train.iter().zip(found).map(|(view, camera)| frame(view, camera, false)).collect();
        frames.extend(test.iter().map(|view| frame(view, view.lens_camera(), true)));
        write_transforms(file, &frames, &image_files)?;
    }
    let trained = job.code(model, observer, |model| {
        let opened = RadianceModel::open(job.name(), model.clone())?;
        RadianceGauge::of_views(&opened, train.clone(), &test, background)
    })?;
    job.finish(trained, observer, |model, stage| {
        if test.is_empty() {
            return Ok(None);
        }
        let opened = RadianceModel::open(job.name(), model.clone())?;
        let cameras: Vec<LensCamera> = train.iter().chain(&test).map(View::lens_camera).collect();
        let options = ViewEvalOptions { background, cameras: &cameras, ..ViewEvalOptions::default() };
        Ok(Some(Scores::Views(opened.evaluate(&test, &options, stage)?)))
    })
}

/// The preset that suits a capture's space and images, and the time that it is given. Fits by steps keep the smaller one.
fn usual_preset(capture: &Capture, budget: Option<Budget>) -> &'static str {
    let sides = capture.train.iter().map(|view| view.image.width.max(view.image.height));
    let is_large = sides.max().is_some_and(|side| side >= FINE_SIDE);
    let has_time = match budget {
        Some(Budget::Time(time)) => time >= FINE_TIME,
        Some(Budget::Steps(_)) => false,
        None => true,
    };
    // What lies around takes more of the grid than an object does.
    if !capture.scene.map.is_box() || is_large && has_time { "radiance-fine" } else { "radiance" }
}

/// The mode of refinement that a trial on the training views calls for, with a message about it.
///
/// # Errors
/// Trials that cannot be run; [`Error::StoppedInTrial`] where the observer ends it.
fn tried_refinement(
    input: &Path,
    views: &[View],
    map: SceneMap,
    near: f64,
    record: &FitRecord,
    observer: &mut dyn FitObserver,
) -> Result<RefineMode, Error> {
    observer.message("  poses: trying whether refinement helps, before the budget begins");
    let mut is_stopped = false;
    let mut progress = |fraction| {
        is_stopped |= !observer.trial(fraction);
        !is_stopped
    };
    let limits = (CameraTrial::STEPS, record.seed);
    let trial = CameraTrial::run(views, map, near, &record.fit, limits, &mut progress).at(input)?;
    if is_stopped {
        return Err(Error::StoppedInTrial);
    }
    let (mode, text) = match trial {
        None => (RefineMode::Off, "left as they are: too few views for a trial of refinement".into()),
        Some(trial) => {
            let [with, without] = [trial.with, trial.without];
            let scores =
                format!("{with:.2} dB with and {without:.2} dB without refinement on pixels held out in a trial");
            match trial.helps() {
                true => (RefineMode::On, format!("refined: {scores}")),
                false => (RefineMode::Off, format!("left as they are: {scores}")),
            }
        }
    };
    observer.message(&format!("  poses: {text}"));
    Ok(mode)
}

/// Refuses devices that have no gradients or colours of rays where the settings ask for them.
fn check_device(config: &FitConfig, device: Device) -> Result<(), Error> {
    let refines = config.cameras.as_ref().is_some_and(|cameras| cameras.is_on() || cameras.refine == RefineMode::Auto);
    let exposes = config.exposure.as_ref().is_some_and(|exposure| exposure.enabled);
    let is_robust = config.robust.as_ref().is_some_and(|robust| robust.enabled);
    match (refines, exposes, is_robust) {
        _ if device == Device::Cpu => Ok(()),
        (true, ..) => Err(Error::option("camera refinement (cameras.refine, focal, distortion) needs --device cpu")),
        (_, true, _) => Err(Error::option("exposure.enabled needs --device cpu")),
        (.., true) => Err(Error::option("robust.enabled needs --device cpu")),
        _ => Ok(()),
    }
}

/// The configuration with the background of opaque images in place of a random one; what is set by hand comes later.
///
/// Images with alpha are trained over random colours whatever they are measured on: so density learns their alpha.
fn over_background(mut config: FitConfig, capture: &Capture, wanted: CaptureBackground) -> FitConfig {
    let colour = match wanted {
        CaptureBackground::Colour(colour) if !capture.has_alpha => Some(colour),
        CaptureBackground::Colour(_) | CaptureBackground::Random => None,
        CaptureBackground::Auto => capture.background.map(|found| found.colour),
    };
    if let (Some(rays), Some(colour)) = (&mut config.rays, colour) {
        rays.background = CaptureBackground::Colour(colour).to_string();
    }
    config
}

/// Background that views are measured on, sRGB values: that of training where it is one colour, else the one asked for.
fn measured_background(rays: &RayConfig, wanted: CaptureBackground) -> [f32; 3] {
    let wanted = match wanted {
        CaptureBackground::Colour(colour) => colour.map(|v| f32::from(v) / 255.0),
        CaptureBackground::Auto | CaptureBackground::Random => [1.0; 3],
    };
    rays.fixed_background().and_then(Background::srgb).unwrap_or(wanted)
}

/// `true` if the cameras stand among what they show: in an open space, or most of them inside the scene's box.
fn is_open(capture: &Capture) -> bool {
    match capture.scene.map {
        SceneMap::Box(_) => {}
        SceneMap::Open(_) => return true,
        SceneMap::Forward(_) => return false,
    }
    let (lo, hi) = capture.scene.cube().bounds();
    let inside = capture.train.iter().filter(|v| {
        let p = v.camera.position();
        p.cmpge(lo).all() && p.cmple(hi).all()
    });
    2 * inside.count() > capture.train.len()
}

fn describe(input: &Path, capture: &Capture, open: bool, observer: &mut dyn FitObserver) {
    let size = capture.train.first().map_or((0, 0), |v| (v.image.width, v.image.height));
    let count = |n: usize, kind: &str| format!("{n} {kind} view{}", if n == 1 { "" } else { "s" });
    let pixels = match capture.background {
        Some(background) => format!(", opaque on {background}"),
        None if capture.has_alpha => ", with alpha".into(),
        None => String::new(),
    };
    observer.message(&format!(
        "{} ({}): {} of {}x{}, {}{pixels}",
        input.display(),
        capture.format,
        count(capture.train.len(), "training"),
        size.0,
        size.1,
        count(capture.test.len(), "test"),
    ));
    capture.notes.iter().for_each(|note| observer.message(&format!("  note: {note}")));
    let (scene, cube) = (&capture.scene, capture.scene.cube());
    let text = |v: f64| decimals(v, scene.decimals() - 1);
    let [x, y, z] = cube.centre().to_array().map(text);
    let (edge, near) = (text(cube.size), text(scene.near));
    let rule = &capture.scene_rule;
    observer.message(&format!("  scene box: centre {x} {y} {z}, edge {edge} ({rule}); near {near}"));
    observer.message(&format!("  space: {} ({})", capture.scene.map.name(), capture.space_rule));
    if open {
        observer.message(match capture.scene.map {
            SceneMap::Open(_) => {
                "  open scene: all around the box is contracted; steps grow with the distance, the grid is finer"
            }
            _ => "  open scene: the cameras stand inside the box; steps grow with the distance, the grid is finer",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_follow_space_size_and_time() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenes/teaset");
        let mut capture = read_capture(&folder, &nstr_capture::CaptureOptions::default()).unwrap();
        let time = |seconds| Some(Budget::Time(Duration::from_secs(seconds)));
        let presets = |capture: &Capture| {
            [None, time(600), time(20), Some(Budget::Steps(9))].map(|budget| usual_preset(capture, budget))
        };
        assert_eq!(presets(&capture), ["radiance"; 4], "128 pixels");
        capture.train[3].image.height = 300;
        assert_eq!(presets(&capture), ["radiance-fine", "radiance-fine", "radiance", "radiance"]);
        capture.scene.map = SceneMap::Open(capture.scene.map.cube());
        assert_eq!(presets(&capture), ["radiance-fine"; 4]);
    }
}
