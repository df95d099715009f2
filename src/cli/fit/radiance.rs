//! Fitting a radiance field to posed images.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nstr::capture::{Capture, Split, View, read_capture};
use nstr::field::backend::FieldOp;
use nstr::field::model::{Domain, Model, Precision};
use nstr::field::radiance::NeuralRadiance;
use nstr::fit::occupied::{Void, occupancy_of};
use nstr::fit::radiance::Probe;
use nstr::fit::views::{self, ViewScores, score_views};
use nstr::fit::visible::visible;
use nstr::fit::{PixelSource, RadianceTask, TrainState, Work};
use nstr::kernel::spec::FieldSpec;
use nstr::render::volume::{VolumeRenderer, VolumeSettings};
use nstr::render::{Occupancy, UnitCube, Up};

use super::job::{Job, Moment, check_outputs};
use super::{FitArgs, Recipe, default_output};
use crate::cli::words::count;
use crate::cli::{eval, load, render};

/// Pixels along the longer side that the progress line is measured on, of each view.
const PROBE_SIDE: u32 = 200;
/// Time between measurements where a window shows them.
const LIVE_PROBE: Duration = Duration::from_secs(5);
/// Views that it is measured on.
const PROBE_VIEWS: usize = 2;

/// Fits one capture and writes its model.
pub fn fit(args: &FitArgs, input: &Path) -> anyhow::Result<()> {
    let start = Instant::now();
    let output = args.output.clone().unwrap_or_else(|| default_output(input));
    check_outputs(args, &output, &["png"])?;
    args.refuse_sign(input, "a capture")?;
    let background = load::opaque(args.background)?;
    let capture = read_capture(input, &args.capture.options(Split::All))?;
    if capture.train.is_empty() {
        bail!("{}: no view is left to train on; lower --every or --holdout", input.display());
    }
    let open = is_open(&capture);
    let (fit, budget) = args.config("radiance", |config| if open { config.for_open_scene() } else { config })?;
    let Some(rays) = fit.rays.clone() else {
        bail!("{}: a capture needs one of the presets radiance-tiny, radiance, radiance-fine", input.display());
    };
    let mut kept = args.capture.clone();
    // What the rules found, so that the model knows it whatever they say later.
    kept.near = Some(capture.scene.near);
    let swing = nstr::capture::swing(&capture.train);
    let recipe = Recipe { capture: Some(kept), swing, ..Recipe::new(fit, budget, args.seed) };
    let cube = capture.scene.cube();
    let domain = |_: &Recipe| Ok(Domain { origin: cube.origin.to_array(), size: cube.size, units: String::new() });
    let job = Job::begin(args, input, &output, "radiance", recipe, domain, (args.is_quiet(), start))?;
    describe(&job, &capture, open);
    let spec = job.recipe.fit.field.spec();
    let op = FieldOp::new(spec.clone());
    job.announce(args.preset.as_deref().unwrap_or("radiance"), &op);
    let Capture { train, test, scene, hull, .. } = capture;
    let train = Arc::new(train);
    let pixels = PixelSource::new(train.clone(), cube, scene.near)
        .with_context(|| format!("{}: the images have no pixels", input.display()))?;
    if !pixels.looks_inside() {
        bail!(
            "{}: no camera looks into the scene's cube (centre {}, edge {}) beyond the near distance {}; change --scene or --near",
            input.display(),
            scene.centre,
            scene.size,
            scene.near
        );
    }
    let void = Void::new(rays.cells, hull, &train, cube, scene.near);
    let mut task = RadianceTask::new(&op, Arc::new(pixels), rays.clone(), job.recipe.seed, |i| void.get(i));
    if job.resumed {
        task = task.resumed(&job.state.task).with_context(|| {
            format!("{}: its checkpoint does not fit rays.cells; fit afresh without --resume", output.display())
        })?;
    }
    let settings = load::volume_settings(&rays, scene.near, cube);
    if (!args.no_eval || args.recording.is_some())
        && let Some(probe) = probe(&spec, cube, settings, &test, background)
    {
        task = task.with_probe(probe);
        if args.live.is_watched() {
            task = task.probe_every(LIVE_PROBE);
        }
    }
    args.live.begin(cube.bounds(), Up::Z, &train);
    let complete = |model: &mut Model, state: &TrainState, moment: Moment| {
        model.occupancy = occupancy_of(&state.task, rays.cells);
        // A room has a back that no camera saw; what is shown as an object keeps the inside that closes it.
        if let (true, Some(occupancy), Some(density)) =
            (open && moment == Moment::End, &mut model.occupancy, state.task.arrays.get("density"))
        {
            let reached = visible(&train, cube, rays.cells, density, scene.near);
            *occupancy = Occupancy::from_bits(rays.cells, |i| occupancy.get(i) && reached[i]);
        }
        for (name, key) in [("rays", "drawn"), ("samples", "used")] {
            model.metrics.insert(name.into(), state.task.numbers.get(key).copied().unwrap_or(0.0));
        }
        Ok(())
    };
    let mut model = job.train(op, Work::Rays(Box::new(task)), &complete)?;
    let scores = match args.no_eval || test.is_empty() {
        true => None,
        false => Some(measure(&mut model, &test, background, &output, args.precision)?),
    };
    let bytes = std::fs::metadata(&output).with_context(|| output.display().to_string())?.len();
    let figures = eval::figures(&model, scores.as_ref(), bytes);
    if !args.is_quiet() {
        println!("{}", eval::describe(&figures));
        println!("wrote {}", output.display());
    }
    if let Some(file) = &args.json {
        eval::write_json(file, &figures)?;
    }
    if let Some(picture) = &args.render {
        render::portrait(&model, picture)?;
    }
    Ok(())
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

fn describe(job: &Job<'_>, capture: &Capture, open: bool) {
    let size = capture.train.first().map_or((0, 0), |v| (v.image.width, v.image.height));
    job.say(&format!(
        "{} ({}): {} of {}x{}, {}{}",
        job.input.display(),
        capture.format,
        count(capture.train.len(), "training view"),
        size.0,
        size.1,
        count(capture.test.len(), "test view"),
        if capture.has_alpha { ", with alpha" } else { "" },
    ));
    capture.notes.iter().for_each(|note| job.say(&format!("  note: {note}")));
    let [x, y, z] = capture.scene.centre.to_array();
    job.say(&format!(
        "  scene box: centre {x:.3} {y:.3} {z:.3}, edge {:.3} ({}); near {:.3}",
        capture.scene.size, capture.scene_rule, capture.scene.near
    ));
    if open {
        job.say("  open scene: the cameras stand inside the box; steps grow with the distance, the grid is finer");
    }
}

/// Measures the PSNR on some pixels of a few held-out views, evenly picked.
fn probe(
    spec: &FieldSpec,
    cube: UnitCube,
    settings: VolumeSettings,
    test: &[View],
    background: [f32; 3],
) -> Option<Probe> {
    let pick = |i: usize| test.get(i * test.len() / PROBE_VIEWS.min(test.len()));
    let views: Vec<View> = (0..PROBE_VIEWS.min(test.len()))
        .filter_map(pick)
        .map(|view| {
            let side = view.camera.width.max(view.camera.height);
            view.thinned(side.div_ceil(PROBE_SIDE))
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
fn measure(
    model: &mut Model,
    test: &[View],
    background: [f32; 3],
    output: &Path,
    precision: Precision,
) -> anyhow::Result<ViewScores> {
    let loaded = load::radiance_of(output, model)?;
    let scores = score_views(&loaded.renderer()?, test, background, None)
        .with_context(|| format!("{} was written, but cannot be measured", output.display()))?;
    model.metrics.insert("psnr".into(), scores.psnr);
    model.metrics.insert("ssim".into(), scores.ssim);
    model.provenance.insert("background".into(), scores.background.clone());
    model.save(output, precision)?;
    Ok(scores)
}
