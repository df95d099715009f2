//! The whole diagnosis of a saved model, from its file to a report.

use std::path::Path;

use nstr_camera::CameraModel;
use nstr_camera::orbit::{Orbit, Up};
use nstr_capture::{Split, View, read_capture};
use nstr_field::model::Model;
use nstr_fit::{FitConfig, StageObserver};
use nstr_pipeline::error::Context;
use nstr_pipeline::{Error, Field, FitRecord, MeshInput, RadianceModel, SdfModel, SignalModel, evaluate};
use nstr_signal::{Signal, SignalInfo};
use nstr_space::SceneMap;

use crate::frequency::known_frequency;
use crate::model_facts::facts;
use crate::null_models::{
    FieldParameters, MakeData, UNKNOWN, capture_data, mesh_data, signal_data, untrained, without_spectrum,
};
use crate::radiance_report::RadianceInput;
use crate::report::{Answer, Report};
use crate::sdf_report::{MeshReference, SdfInput, SdfReportOptions};
use crate::signal_report::{SampleGrid, SignalInput};
use crate::{radiance_report, sdf_report, signal_report, theory_report};

/// Options of [`diagnose`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiagnoseOptions {
    /// Points of the surface of a signed distance field, 100 to 10⁷.
    pub samples: usize,
    /// Seed of the points, of the bootstrap and of permutations.
    pub seed: u64,
    /// Steps that a field without spectrum is fitted for, as a null model; 0: none.
    pub null_steps: u64,
}

impl Default for DiagnoseOptions {
    fn default() -> Self {
        Self { samples: 20_000, seed: 0, null_steps: 1000 }
    }
}

impl DiagnoseOptions {
    /// Checks ranges, before anything is read.
    ///
    /// # Errors
    /// Numbers of samples out of range.
    pub fn check(&self) -> Result<(), Error> {
        match (100..=10_000_000).contains(&self.samples) {
            true => Ok(()),
            false => Err(Error::Option(format!("--samples {}: must be 100 to 10000000", self.samples))),
        }
    }
}

/// Diagnoses the model in the file `path`; `stage` is told of each step.
///
/// With the `reference`, the mesh, capture, picture or sound that the model was fitted to, the report has what needs it, and a
/// field without spectrum is fitted to it as a null model.
///
/// # Errors
/// Options out of range; models and references that cannot be read, or that do not belong together; fields without a surface;
/// views that cannot be rendered.
pub fn diagnose(
    path: impl AsRef<Path>,
    reference: Option<&Path>,
    options: &DiagnoseOptions,
    stage: &mut StageObserver<'_>,
) -> Result<Report, Error> {
    let path = path.as_ref();
    options.check()?;
    let field = Field::load(path)?;
    if let Some(reference) = reference {
        evaluate::check_reference(path, &field, reference)?;
    }
    let model = field.model();
    let record = FitRecord::of(model).ok();
    let untrained = untrained(model, record.as_ref().map(seeded).as_ref());
    let title = format!("Diagnosis of {}", path.file_name().unwrap_or_default().to_string_lossy());
    let report = Report { title, facts: facts(model, record.as_ref(), reference), ..Report::default() };
    let mut diagnosis = Diagnosis { path, reference, options, record: record.as_ref(), untrained, report, stage };
    match &field {
        Field::Sdf(model) => diagnosis.surface(model)?,
        Field::Radiance(model) => diagnosis.views(model)?,
        Field::Signal(model) => diagnosis.signal(model)?,
    }
    diagnosis.theory(model);
    Ok(diagnosis.report)
}

/// Views of a radiance field that are analysed.
const VIEWS: usize = 4;
/// Longest side of a view, in pixels.
const VIEW_SIZE: u32 = 256;
/// Longest side of a picture, in points.
const IMAGE_SIZE: usize = 320;
/// Frames of a sound, from its beginning.
const FRAMES: usize = 1 << 16;

/// A diagnosis in progress.
struct Diagnosis<'a, 's> {
    path: &'a Path,
    reference: Option<&'a Path>,
    options: &'a DiagnoseOptions,
    record: Option<&'a FitRecord>,
    /// The field before any training.
    untrained: FieldParameters,
    report: Report,
    stage: &'a mut StageObserver<'s>,
}

impl Diagnosis<'_, '_> {
    /// A field without spectrum fitted to what `data` makes of the model's record, or the reason why there is none.
    fn fit_null(
        &mut self,
        map: &SceneMap,
        data: impl FnOnce(&FitRecord) -> Result<MakeData, String>,
    ) -> Result<FieldParameters, String> {
        let steps = self.options.null_steps;
        if steps == 0 {
            return Err("--null-steps is 0".into());
        }
        if self.reference.is_none() {
            return Err("it has to be fitted to what the model was fitted to, which was not given".into());
        }
        let record = self.record.ok_or(UNKNOWN)?;
        let data = data(record)?;
        let name = format!("fitting a field without spectrum: {steps} steps");
        let mut done = |fraction| (self.stage)(&name, Some(fraction));
        done(0.0);
        without_spectrum(&seeded(record), map, data, steps, &mut done).map_err(|e| e.to_string())
    }

    /// Analyses a signed distance field.
    fn surface(&mut self, loaded: &SdfModel) -> Result<(), Error> {
        let sign = self.record.and_then(|r| r.sign.clone()).unwrap_or_default();
        let mesh = self.reference.map(|path| MeshInput::read(path, &sign)).transpose()?;
        let null = self.fit_null(&loaded.model.map, |record| mesh_data(mesh.as_ref(), &loaded.model, record));
        let input = SdfInput {
            model: &loaded.model,
            field: &loaded.field,
            reference: mesh.as_ref().map(|m| MeshReference { mesh: &m.mesh, query: &m.query }),
            untrained: &self.untrained,
            without_spectrum: null.as_ref().map_err(String::as_str),
        };
        let DiagnoseOptions { samples, seed, .. } = *self.options;
        (self.stage)(&format!("curvature and spectrum at {samples} points"), None);
        let options = SdfReportOptions { samples, seed, ..SdfReportOptions::default() };
        let (found, surface) = sdf_report::analyze(&input, &options).at(self.path)?;
        self.report.push("curvature", found);
        self.report.surface = Some(surface);
        Ok(())
    }

    /// Analyses a radiance field, in views of the reference or around the field.
    fn views(&mut self, loaded: &RadianceModel) -> Result<(), Error> {
        let renderer = loaded.renderer()?;
        let views = self.reference.map_or(Ok(Vec::new()), |path| capture_views(path, self.record))?;
        let orbit = Orbit { frames: VIEWS, size: (VIEW_SIZE, VIEW_SIZE), up: Up::Z, ..Orbit::default() };
        let around = if views.is_empty() { orbit.cameras(renderer.bounds())? } else { Vec::new() };
        let of_capture = views.iter().map(|v| v as &dyn CameraModel);
        let all: Vec<&dyn CameraModel> = of_capture.chain(around.iter().map(|c| c as &dyn CameraModel)).collect();
        let reference = self.reference;
        let null = self.fit_null(&loaded.model.map, |record| capture_data(reference, &loaded.model, record));
        let name = format!("depth and spectrum in {} views", all.len());
        let mut done = |fraction| (self.stage)(&name, Some(fraction));
        let input = RadianceInput {
            model: &loaded.model,
            renderer: &renderer,
            views: &all,
            untrained: &self.untrained,
            without_spectrum: null.as_ref().map_err(String::as_str),
        };
        self.report.push("depth", radiance_report::analyze(&input, self.options.seed, &mut done)?);
        Ok(())
    }

    /// Analyses a field of a picture or a sound.
    fn signal(&mut self, loaded: &SignalModel) -> Result<(), Error> {
        let [width, height] = loaded.info.size();
        let reference = self.reference.map(|path| read_original(path, loaded)).transpose()?;
        // Pictures are averaged over boxes of pixels, sounds taken from their beginning.
        let (points, sampled) = match loaded.info {
            SignalInfo::Image { .. } => {
                let n = width.max(height).div_ceil(IMAGE_SIZE).min(width.min(height));
                (SampleGrid::of_image(width, height, n), reference.as_ref().and_then(|r| r.reduced(n)))
            }
            SignalInfo::Audio { .. } => (SampleGrid::of_audio(width, FRAMES), reference.clone()),
        };
        let transform = loaded.info.transform();
        let values = sampled.map(|s| -> Vec<f64> {
            let all = s.data().iter().map(|v| f64::from(transform.encode(*v)));
            all.take(points.size.0 * points.size.1 * s.channels()).collect()
        });
        let null = self.fit_null(&loaded.model.map, |record| signal_data(reference.as_ref(), &loaded.info, record));
        (self.stage)(&format!("spectrum at {} points", points.size.0 * points.size.1), None);
        let input = SignalInput {
            model: &loaded.model,
            untrained: &self.untrained,
            points: &points,
            reference: values.as_deref(),
            without_spectrum: null.as_ref().map_err(String::as_str),
        };
        self.report.push("regions", signal_report::analyze(&input, self.options.seed));
        if let Some(omega) = reference.as_ref().and_then(known_frequency) {
            (self.stage)("local frequency", None);
            let seed = self.options.seed;
            let found = theory_report::frequency_recovery(&loaded.model, &self.untrained, &points, &omega, seed);
            self.report.push("frequency", found);
        }
        Ok(())
    }

    /// Measures the theory's claims.
    fn theory(&mut self, model: &Model) {
        (self.stage)("transport and perturbations", None);
        let is_trained = |r: &FitRecord| r.fit.train.regularizers.trains_transport() || r.transport_from.is_some();
        let is_untrained = model.spec.transports() && self.record.is_some_and(|record| !is_trained(record));
        let seed = self.options.seed;
        let found = [
            ("transport", theory_report::transport(model, &self.untrained, seed)),
            ("decay", theory_report::perturbation_decay(model, &self.untrained, seed)),
        ];
        for (key, found) in found {
            let Some((mut section, numbers)) = found else { continue };
            if is_untrained {
                section.answer = Answer::Open;
                section.verdict = "F was not trained with this model, so it says nothing about the spectrum.".into();
            }
            self.report.push(key, (section, numbers));
        }
    }
}

/// The settings of a fit with its seed.
fn seeded(record: &FitRecord) -> FitConfig {
    let mut fit = record.fit.clone();
    fit.field.init.seed = record.seed;
    fit
}

/// A few small views of a capture: test views where there are any, evenly picked.
fn capture_views(path: &Path, record: Option<&FitRecord>) -> Result<Vec<View>, Error> {
    let settings = record.and_then(|r| r.capture.clone());
    let settings = settings.ok_or_else(|| Error::option("the model was not fitted to a capture"))?;
    let capture = read_capture(path, &settings.options(Split::Test))?;
    let found = match capture.test.is_empty() {
        true => read_capture(path, &settings.options(Split::Train))?.train,
        false => capture.test,
    };
    let stride = found.len().div_ceil(VIEWS).max(1);
    let small = |v: &View| v.downsampled(v.camera.width.max(v.camera.height).div_ceil(VIEW_SIZE));
    Ok(found.iter().step_by(stride).map(small).collect())
}

/// The picture or sound that a model was fitted to.
fn read_original(path: &Path, loaded: &SignalModel) -> Result<Signal, Error> {
    let signal = Signal::read(path)?;
    let outputs = loaded.model.spec.outputs;
    if signal.size() != loaded.info.size() || signal.channels() != outputs {
        let ([w, h], [a, b]) = (signal.size(), loaded.info.size());
        let channels = signal.channels();
        let reason = format!("{w}x{h} samples of {channels} values, but the model stands for {a}x{b} of {outputs}");
        return Err(Error::file(path, reason));
    }
    Ok(signal)
}
