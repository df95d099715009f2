//! Fitting a signed distance field to a mesh.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use nstr::field::backend::FieldOp;
use nstr::field::model::{Model, Precision};
use nstr::fit::evaluate::{SdfScores, SdfScoring, score};
use nstr::fit::sdf::{SdfSource, domain_around};
use nstr::fit::{TrainState, Work};
use nstr::render::Up;

use super::job::{Job, Moment, check_outputs};
use super::{FitArgs, Fitted, Recipe};
use crate::cli::eval;
use crate::cli::load::{self, LoadedMesh};

/// Fits one mesh and writes its model.
pub fn fit(args: &FitArgs, input: &Path, output: &Path, quiet: bool) -> anyhow::Result<Fitted> {
    let start = Instant::now();
    check_outputs(args, output, &["png"])?;
    args.refuse_capture(input, "a mesh")?;
    let (fit, budget) = args.config("sdf", |config| config)?;
    let Some(sample) = fit.sample.clone() else {
        bail!("{}: a mesh needs one of the presets sdf-tiny, sdf, sdf-fine or a baseline sdf-…", input.display());
    };
    let loaded = load::mesh(input, &args.sign)?;
    let recipe = Recipe { sign: Some(args.sign.clone()), ..Recipe::new(fit, budget, args.seed) };
    let domain = |_: &Recipe| {
        let bounds = loaded.mesh.bounds().context("the mesh has no faces")?;
        Ok(domain_around(bounds, sample.margin))
    };
    let job = Job::begin(args, input, output, "sdf", recipe, domain, (quiet, start))?;
    job.say(&format!("{}: {}", input.display(), loaded.report.summary()));
    loaded.file.notes.iter().for_each(|note| job.say(&format!("  note: {note}")));
    job.say(&format!("  sign: {}", loaded.query.sign().explanation()));
    let op = FieldOp::new(job.recipe.fit.field.spec());
    job.announce(args.preset.as_deref().unwrap_or("sdf"), &op);
    let source = SdfSource::new(
        loaded.mesh.clone(),
        loaded.query.clone(),
        job.domain.clone(),
        sample.clone(),
        job.recipe.fit.train.batch,
        job.recipe.seed,
    )
    .with_context(|| format!("{}: every face has zero area, so there is no surface to fit", input.display()))?;
    if let Some(bounds) = loaded.mesh.bounds() {
        args.live.begin(bounds, Up::Y, &Arc::default());
    }
    let complete = |model: &mut Model, _: &TrainState, _: Moment| {
        let field = load::field(model);
        model.metrics.insert("lipschitz".into(), f64::from(nstr::render::SdfSource::lipschitz(&field)));
        Ok(())
    };
    let mut model = job.train(op, Work::Points(Arc::new(source)), &complete)?;
    let scores = if args.no_eval { None } else { Some(measure(&mut model, &loaded, output, args.precision)?) };
    let file_bytes = std::fs::metadata(output).with_context(|| output.display().to_string())?.len();
    let fitted = Fitted {
        scores,
        file_bytes,
        faces: loaded.report.faces,
        watertight: loaded.report.watertight,
        sign: loaded.query.sign().method().to_string(),
        model,
    };
    if !quiet {
        println!("{}", eval::describe(&eval::figures(&fitted.model, fitted.scores.as_ref(), file_bytes)));
        println!("wrote {}", output.display());
    }
    Ok(fitted)
}

/// The quick measurement at the end of a fit, stored with the model.
fn measure(model: &mut Model, loaded: &LoadedMesh, output: &Path, precision: Precision) -> anyhow::Result<SdfScores> {
    let how = SdfScoring { lattice: 128, resolution: 256, samples: 100_000, seed: 0 };
    let scores = score(&load::field(model), &model.domain, &loaded.mesh, &loaded.query, &how)
        .with_context(|| format!("{} was written, but cannot be measured", output.display()))?;
    for (name, value) in [
        ("iou", scores.iou),
        ("chamfer_l1", scores.chamfer_l1),
        ("f_score", scores.f_score),
        ("normal_consistency", scores.normal_consistency),
    ] {
        model.metrics.insert(name.into(), value);
    }
    model.save(output, precision)?;
    Ok(scores)
}
