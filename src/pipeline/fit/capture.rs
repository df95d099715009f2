//! Fits of radiance fields to captures.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use nstr_backend::backend::FieldOp;
use nstr_camera::Up;
use nstr_capture::{Capture, Split, View, read_capture};
use nstr_field::model::{Domain, Model};
use nstr_field::radiance::NeuralRadiance;
use nstr_fit::occupied::{Void, occupancy_of};
use nstr_fit::radiance::Probe;
use nstr_fit::visible::visible;
use nstr_fit::views;
use nstr_fit::{PixelSource, RadianceTask, TrainState, Work};
use nstr_render::{VolumeRenderer, VolumeSettings};
use nstr_space::{Occupancy, UnitCube};
use nstr_spec::FieldSpec;

use super::job::{Job, SaveReason};
use super::{FitObserver, FitScene, Fitted};
use crate::error::{Context, Error};
use crate::evaluate::Scores;
use crate::field::RadianceModel;
use crate::options::FitOptions;
use crate::record::{FitRecord, volume_settings};

/// Pixels along the longer side that validation renders, of each view.
const VALIDATION_SIDE: u32 = 200;
/// Views that validation renders.
const VALIDATION_VIEWS: usize = 2;

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
    let (input, start) = (input.as_ref(), Instant::now());
    options.device.check().map_err(nstr_fit::TrainError::from)?;
    let background = options.opaque_background()?;
    let capture = read_capture(input, &options.capture.options(Split::All))?;
    if capture.train.is_empty() {
        return Err(Error::file(input, "no view is left to train on; lower --every or --holdout"));
    }
    let open = is_open(&capture);
    let (config, budget) =
        options.config("radiance", |config| if open { config.for_open_scene() } else { config })?;
    let Some(rays) = config.rays.clone() else {
        let reason = "a capture needs one of the presets radiance-tiny, radiance, radiance-fine";
        return Err(Error::file(input, reason));
    };
    let mut kept = options.capture.clone();
    // As the rules found it, so that the model knows it whatever they say later.
    kept.near = Some(capture.scene.near);
    let swing = nstr_capture::swing(&capture.train);
    let record = FitRecord { capture: Some(kept), swing, ..FitRecord::new(config, budget, options.seed) };
    let cube = capture.scene.cube();
    let domain = || Ok(Domain { origin: cube.origin.to_array(), size: cube.size, units: String::new() });
    let job = Job::begin((options, input, start), "radiance", record, domain, observer)?;
    describe(&job, &capture, open, observer);
    let spec = job.record.fit.field.spec();
    let op = FieldOp::new(spec.clone());
    job.announce(options.preset.as_deref().unwrap_or("radiance"), &op, observer);
    let Capture { train, test, scene, hull, .. } = capture;
    let train = Arc::new(train);
    let pixels = PixelSource::new(train.clone(), cube, scene.near)
        .ok_or_else(|| Error::file(input, "the images have no pixels"))?;
    if !pixels.looks_inside() {
        let reason = format!(
            "no camera looks into the scene's cube (centre {}, edge {}) beyond the near distance {}; change --scene or --near",
            scene.centre, scene.size, scene.near
        );
        return Err(Error::file(input, reason));
    }
    let void = Void::new(rays.cells, hull, &train, cube, scene.near);
    let mut task = RadianceTask::new(&op, Arc::new(pixels), rays.clone(), job.record.seed, |i| void.get(i));
    if job.resumed {
        task = task.resumed(&job.state.task).ok_or_else(|| {
            Error::file(job.name(), "its checkpoint does not fit rays.cells; fit afresh without --resume")
        })?;
    }
    let settings = volume_settings(&rays, scene.near, cube);
    if options.validate
        && let Some(probe) = validator(&spec, cube, settings, &test, background)
    {
        task = task.with_probe(probe);
        if let Some(every) = observer.validate_every() {
            task = task.probe_every(every);
        }
    }
    observer.begin(FitScene { bounds: cube.bounds(), up: Up::Z, views: train.clone() });
    let complete = |model: &mut Model, state: &TrainState, reason: SaveReason| {
        model.occupancy = occupancy_of(&state.task, rays.cells);
        // A room has a back that no camera saw; what is shown as an object keeps the inside that closes it.
        if let (true, Some(occupancy), Some(density)) =
            (open && reason == SaveReason::Finished, &mut model.occupancy, state.task.arrays.get("density"))
        {
            let reached = visible(&train, cube, rays.cells, density, scene.near);
            *occupancy = Occupancy::from_bits(rays.cells, |i| occupancy.get(i) && reached[i]);
        }
        for (name, key) in [("rays", "drawn"), ("samples", "used")] {
            model.metrics.insert(name.into(), state.task.numbers.get(key).copied().unwrap_or(0.0));
        }
    };
    let mut model = job.train(op, Work::Rays(Box::new(task)), &complete, observer)?;
    let scores = match options.evaluate && !test.is_empty() {
        true => Some(measure(&job, &mut model, &test, background)?),
        false => None,
    };
    Ok(Fitted { file_bytes: job.file_bytes()?, model, scores, mesh: None })
}

/// Whether the cameras stand among what they show: most of them inside the scene's cube.
fn is_open(capture: &Capture) -> bool {
    let (lo, hi) = capture.scene.cube().bounds();
    let inside = capture.train.iter().filter(|v| {
        let p = v.camera.position();
        p.cmpge(lo).all() && p.cmple(hi).all()
    });
    2 * inside.count() > capture.train.len()
}

fn describe(job: &Job<'_>, capture: &Capture, open: bool, observer: &mut dyn FitObserver) {
    let size = capture.train.first().map_or((0, 0), |v| (v.image.width, v.image.height));
    let count = |n: usize, what: &str| format!("{n} {what} view{}", if n == 1 { "" } else { "s" });
    observer.message(&format!(
        "{} ({}): {} of {}x{}, {}{}",
        job.input.display(),
        capture.format,
        count(capture.train.len(), "training"),
        size.0,
        size.1,
        count(capture.test.len(), "test"),
        if capture.has_alpha { ", with alpha" } else { "" },
    ));
    capture.notes.iter().for_each(|note| observer.message(&format!("  note: {note}")));
    let [x, y, z] = capture.scene.centre.to_array();
    observer.message(&format!(
        "  scene box: centre {x:.3} {y:.3} {z:.3}, edge {:.3} ({}); near {:.3}",
        capture.scene.size, capture.scene_rule, capture.scene.near
    ));
    if open {
        observer.message("  open scene: the cameras stand inside the box; steps grow with the distance, the grid is finer");
    }
}

/// Measures the PSNR on some pixels of a few held-out views, evenly picked.
fn validator(
    spec: &FieldSpec,
    cube: UnitCube,
    settings: VolumeSettings,
    test: &[View],
    background: [f32; 3],
) -> Option<Probe> {
    let pick = |i: usize| test.get(i * test.len() / VALIDATION_VIEWS.min(test.len()));
    let views: Vec<View> = (0..VALIDATION_VIEWS.min(test.len()))
        .filter_map(pick)
        .map(|view| {
            let side = view.camera.width.max(view.camera.height);
            view.thinned(side.div_ceil(VALIDATION_SIDE))
        })
        .collect();
    if views.is_empty() {
        return None;
    }
    let spec = spec.clone();
    Some(Box::new(move |grid, net, occupancy| {
        let field = NeuralRadiance::new(&spec, grid, net, occupancy.clone());
        let Ok(renderer) = VolumeRenderer::new(&field, cube, settings) else { return f64::NAN };
        let each = views.iter().map(|view| views::psnr(&renderer, view, background).unwrap_or(f64::NAN));
        each.sum::<f64>() / views.len() as f64
    }))
}

/// The measurement at the end of a fit, stored with the model.
fn measure(job: &Job<'_>, model: &mut Model, test: &[View], background: [f32; 3]) -> Result<Scores, Error> {
    let opened = RadianceModel::open(job.name(), model.clone())?;
    let scores = opened
        .evaluate(test, background, None)
        .context(|| format!("{} was written, but cannot be measured", job.name().display()))?;
    model.metrics.insert("psnr".into(), scores.psnr);
    model.metrics.insert("ssim".into(), scores.ssim);
    model.provenance.insert("background".into(), scores.background.clone());
    job.save(model)?;
    Ok(Scores::Views(scores))
}
