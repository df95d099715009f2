//! Fits of signed distance fields to meshes.

use std::path::Path;
use std::sync::Arc;

use nstr_camera::Up;
use nstr_field::model::Model;
use nstr_fit::TrainState;
use nstr_fit::eval::SdfEvalOptions;
use nstr_fit::sdf::{SdfSampler, cube_around};
use nstr_space::DistanceField as _;

use super::job::{FitJob, FitRequest, SaveReason};
use super::{FitObserver, FitScene, Fitted, MeshFacts};
use crate::compact::SdfGauge;
use crate::error::Error;
use crate::evaluate::Scores;
use crate::field::{SdfModel, sdf_field};
use crate::mesh_input::MeshInput;
use crate::options::FitOptions;
use crate::record::FitRecord;

/// Resolution of the quick measurement at the end of a fit.
const QUICK: SdfEvalOptions = SdfEvalOptions { lattice: 128, resolution: 256, samples: 100_000, seed: 0 };

/// Fits a signed distance field to the mesh in `input`, and writes the model where `options` name a file.
///
/// ```
/// use nstr_pipeline::{Field, FitOptions, fit_mesh};
///
/// # let chair = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenes/chair.obj");
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("chair.safetensors");
/// let options = FitOptions::preset("sdf-tiny").set("train.batch=512").steps(20).without_evaluation().output(&file);
/// let fitted = fit_mesh(chair, &options, &mut ())?;
/// assert!(fitted.mesh.is_some_and(|mesh| mesh.faces > 0));
///
/// let sdf = Field::load(&file)?.into_sdf()?;
/// let centre = sdf.cube().centre();
/// let (distance, gradient) = sdf.distance_gradient(&[centre]);
/// assert!(distance[0].is_finite() && gradient[0].is_finite());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Unreadable meshes, options that do not fit, a device that is not there, training that diverges or is stopped by the
/// observer, files that cannot be written.
pub fn fit_mesh(
    input: impl AsRef<Path>,
    options: &FitOptions,
    observer: &mut dyn FitObserver,
) -> Result<Fitted, Error> {
    let request = FitRequest::new(input.as_ref(), options)?;
    let input = request.input;
    let (config, budget) = options.config("sdf", |config| config)?;
    let Some(sample) = config.sample.clone() else {
        let reason = "a mesh needs one of the presets sdf-tiny, sdf, sdf-fine or a baseline sdf-…";
        return Err(Error::file(input, reason));
    };
    let mesh = MeshInput::read(input, &options.sign)?;
    let bounds = mesh.mesh.bounds().ok_or_else(|| Error::file(input, "the mesh has no faces"))?;
    let record = FitRecord { sign: Some(options.sign.clone()), ..FitRecord::new(config, budget, options.seed) };
    let job = FitJob::begin(request, "sdf", "sdf", record, || Ok(cube_around(bounds, sample.margin).into()), observer)?;
    observer.message(&format!("{}: {}", input.display(), mesh.report.summary()));
    mesh.file.notes.iter().for_each(|note| observer.message(&format!("  note: {note}")));
    observer.message(&format!("  sign: {}", mesh.query.sign().explanation()));
    job.announce(observer);
    let sampler = SdfSampler::new(
        mesh.mesh.clone(),
        mesh.query.clone(),
        job.cube(),
        sample,
        job.record.fit.train.batch,
        job.record.seed,
    )
    .ok_or_else(|| Error::file(input, "every face has zero area, so there is no surface to fit"))?;
    observer.begin(FitScene { bounds, up: Up::Y, views: Arc::default() });
    let complete = |model: &mut Model, _: &TrainState, _: SaveReason| {
        let lipschitz = sdf_field(model).lipschitz();
        model.metrics.insert("lipschitz".into(), f64::from(lipschitz));
    };
    let model = job.train(Arc::new(sampler), &complete, observer)?;
    let trained = job.code(model, observer, |model| SdfGauge::of_mesh(&SdfModel::open(model.clone()), &mesh))?;
    let fitted = job.finish(trained, observer, |model, stage| {
        Ok(Some(Scores::Sdf(SdfModel::open(model.clone()).evaluate(&mesh, &QUICK, stage)?)))
    })?;
    let facts = MeshFacts {
        faces: mesh.report.faces,
        watertight: mesh.report.watertight,
        sign: mesh.query.sign().method().to_string(),
    };
    Ok(Fitted { mesh: Some(facts), ..fitted })
}
