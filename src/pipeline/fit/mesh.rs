//! Fits of signed distance fields to meshes.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use nstr_backend::backend::FieldOp;
use nstr_camera::Up;
use nstr_field::model::Model;
use nstr_fit::evaluate::SdfScoring;
use nstr_fit::sdf::{SdfSource, domain_around};
use nstr_fit::{TrainState, Work};
use nstr_space::SdfSource as _;

use super::job::{Job, SaveReason};
use super::{FitObserver, FitScene, Fitted, MeshFacts};
use crate::error::{Context, Error};
use crate::evaluate::Scores;
use crate::field::SdfModel;
use crate::mesh_input::MeshInput;
use crate::options::FitOptions;
use crate::record::FitRecord;

/// The quick measurement at the end of a fit.
const QUICK: SdfScoring = SdfScoring { lattice: 128, resolution: 256, samples: 100_000, seed: 0 };

/// Fits a signed distance field to the mesh in `input`, and writes the model where `options` name a file.
///
/// # Errors
/// Unreadable meshes, options that do not fit, a device that is not there, training that diverges or is stopped by the
/// observer, files that cannot be written.
pub fn fit_mesh(
    input: impl AsRef<Path>,
    options: &FitOptions,
    observer: &mut dyn FitObserver,
) -> Result<Fitted, Error> {
    let (input, start) = (input.as_ref(), Instant::now());
    options.device.check().map_err(nstr_fit::TrainError::from)?;
    let (config, budget) = options.config("sdf", |config| config)?;
    let Some(sample) = config.sample.clone() else {
        let reason = "a mesh needs one of the presets sdf-tiny, sdf, sdf-fine or a baseline sdf-…";
        return Err(Error::file(input, reason));
    };
    let mesh = MeshInput::read(input, &options.sign)?;
    let record = FitRecord { sign: Some(options.sign.clone()), ..FitRecord::new(config, budget, options.seed) };
    let domain = || {
        let bounds = mesh.mesh.bounds().ok_or_else(|| Error::option("the mesh has no faces"))?;
        Ok(domain_around(bounds, sample.margin))
    };
    let job = Job::begin((options, input, start), "sdf", record, domain, observer)?;
    observer.message(&format!("{}: {}", input.display(), mesh.report.summary()));
    mesh.file.notes.iter().for_each(|note| observer.message(&format!("  note: {note}")));
    observer.message(&format!("  sign: {}", mesh.query.sign().explanation()));
    let op = FieldOp::new(job.record.fit.field.spec());
    job.announce(options.preset.as_deref().unwrap_or("sdf"), &op, observer);
    let source = SdfSource::new(
        mesh.mesh.clone(),
        mesh.query.clone(),
        job.domain.clone(),
        sample.clone(),
        job.record.fit.train.batch,
        job.record.seed,
    )
    .ok_or_else(|| Error::file(input, "every face has zero area, so there is no surface to fit"))?;
    if let Some(bounds) = mesh.mesh.bounds() {
        observer.begin(FitScene { bounds, up: Up::Y, views: Arc::default() });
    }
    let complete = |model: &mut Model, _: &TrainState, _: SaveReason| {
        let lipschitz = SdfModel::open(model.clone()).field.lipschitz();
        model.metrics.insert("lipschitz".into(), f64::from(lipschitz));
    };
    let mut model = job.train(op, Work::Points(Arc::new(source)), &complete, observer)?;
    let scores = if options.evaluate { Some(measure(&job, &mut model, &mesh)?) } else { None };
    let facts = MeshFacts {
        faces: mesh.report.faces,
        watertight: mesh.report.watertight,
        sign: mesh.query.sign().method().to_string(),
    };
    Ok(Fitted { file_bytes: job.file_bytes()?, model, scores, mesh: Some(facts) })
}

/// The quick measurement, stored with the model.
fn measure(job: &Job<'_>, model: &mut Model, mesh: &MeshInput) -> Result<Scores, Error> {
    let opened = SdfModel::open(model.clone());
    let scores = opened
        .evaluate(mesh, &QUICK)
        .context(|| format!("{} was written, but cannot be measured", job.name().display()))?;
    for (name, value) in [
        ("iou", scores.iou),
        ("chamfer_l1", scores.chamfer_l1),
        ("f_score", scores.f_score),
        ("normal_consistency", scores.normal_consistency),
    ] {
        model.metrics.insert(name.into(), value);
    }
    job.save(model)?;
    Ok(Scores::Sdf(scores))
}
