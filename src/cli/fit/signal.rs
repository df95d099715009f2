//! Fitting a field to a picture or a sound.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use nstr::field::backend::FieldOp;
use nstr::field::model::{Domain, Model};
use nstr::fit::likeness::SignalScores;
use nstr::fit::signal::{Signal, SignalSource};
use nstr::fit::{TrainState, Work};
use serde_json::{Map, Value};

use super::job::{Job, Moment, check_outputs};
use super::{FitArgs, Recipe, default_output};
use crate::cli::{eval, load};

/// Fits one picture or sound, writes its model and returns its figures.
pub fn fit(args: &FitArgs, input: &Path) -> anyhow::Result<Map<String, Value>> {
    let (start, quiet) = (Instant::now(), args.is_quiet());
    let output = args.output.clone().unwrap_or_else(|| default_output(input));
    let signal = Signal::read(input)?;
    let (usual, kind, endings): (_, _, &[&str]) = match signal {
        Signal::Picture(_) => ("image", "a picture", &["png", "exr"]),
        Signal::Sound(_) => ("audio", "a sound", &["wav"]),
    };
    check_outputs(args, &output, endings)?;
    args.refuse_sign(input, kind)?;
    args.refuse_capture(input, kind)?;
    if matches!(signal, Signal::Sound(_)) && signal.data().iter().all(|v| *v == 0.0) {
        bail!(
            "{}: is silent (all samples are 0): there is nothing to learn; choose a stretch with sound",
            input.display()
        );
    }
    let dim = signal.dim();
    let (fit, budget) = args.config(usual, |config| config.for_signal(&signal))?;
    let preset = args.preset.as_deref().unwrap_or(usual);
    if preset.starts_with(usual) {
        for (key, value, wanted) in [("dim", fit.field.dim, dim), ("outputs", fit.field.outputs, signal.channels())] {
            if value != wanted {
                bail!("{key} = {value}: must be {wanted} for {}, {kind} of {}", input.display(), describe(&signal));
            }
        }
    }
    let Some(how) = fit.signal.clone().filter(|_| fit.field.dim == dim) else {
        bail!(
            "{}: {kind} needs one of the presets {usual}-tiny, {usual}, {usual}-fine or a baseline {usual}-…",
            input.display()
        );
    };
    let info = signal.info(how.encoding);
    let codec = info.codec();
    let recipe = Recipe { signal: Some(info), ..Recipe::new(fit, budget, args.seed) };
    let job = Job::begin(args, input, &output, usual, recipe, |_| Ok(Domain::default()), (quiet, start))?;
    job.say(&format!("{}: {}", input.display(), describe(&signal)));
    let op = FieldOp::new(job.recipe.fit.field.spec());
    job.announce(preset, &op);
    let source =
        SignalSource::new(&signal, codec, &how, job.recipe.fit.train.batch, job.recipe.seed).with_context(|| {
            format!("{}: signal.share, signal.block and signal.reduce leave nothing to learn from", input.display())
        })?;
    let mut model =
        job.train(op, Work::Signal(Arc::new(source)), &|_: &mut Model, _: &TrainState, _: Moment| Ok(()))?;
    let scores = if args.no_eval { None } else { Some(measure(&mut model, &signal, &output, args)?) };
    let bytes = std::fs::metadata(&output).with_context(|| output.display().to_string())?.len();
    let figures = eval::figures(&model, scores.as_ref(), bytes);
    if !quiet {
        println!("{}", eval::describe(&figures));
        println!("wrote {}", output.display());
    }
    if let Some(file) = &args.json {
        eval::write_json(file, &figures)?;
    }
    if let Some(picture) = &args.render {
        let loaded = load::signal_of(&output, &model)?;
        load::write_signal(&loaded.reconstruct(), picture)?;
        println!("wrote {}", picture.display());
    }
    Ok(figures)
}

/// The measurement at the end of a fit, stored with the model.
fn measure(model: &mut Model, signal: &Signal, output: &Path, args: &FitArgs) -> anyhow::Result<SignalScores> {
    let loaded = load::signal_of(output, model)?;
    let scores = loaded.scores(&loaded.reconstruct(), signal).with_context(|| output.display().to_string())?;
    let figures = serde_json::to_value(&scores)?;
    for (name, value) in figures.as_object().into_iter().flatten() {
        model.metrics.extend(value.as_f64().map(|v| (name.clone(), v)));
    }
    model.save(output, args.precision)?;
    Ok(scores)
}

/// Size and kind of a signal in words.
pub fn describe(signal: &Signal) -> String {
    match signal {
        Signal::Picture(p) => {
            let colour = ["grey", "grey and alpha", "RGB", "RGBA"][p.channels.clamp(1, 4) - 1];
            let scale = if p.scale == nstr::signal::Scale::Linear { ", scene-linear" } else { "" };
            format!("{}x{} pixels, {colour}{scale}", p.width, p.height)
        }
        Signal::Sound(s) => {
            let channels = if s.channels == 1 { "mono".into() } else { format!("{} channels", s.channels) };
            format!("{:.2} s at {} Hz, {channels}, {} frames", s.seconds(), s.rate, s.frames())
        }
    }
}
