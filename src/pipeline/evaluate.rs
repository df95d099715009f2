//! Metrics of a model against what it was fitted to.

use std::path::{Path, PathBuf};

use nstr_capture::{LensCamera, Split, View, is_capture, read_capture};
use nstr_field::model::Model;
use nstr_fit::eval::{
    NEAR_FRACTION, SdfEvalError, SdfEvalOptions, SdfScores, SignalEvalError, SignalScores, ViewEvalOptions, ViewScores,
    evaluate_sdf, evaluate_signal, evaluate_views,
};
use nstr_geometry::{MeshFormat, SignMethod};
use nstr_image::colour::Background;
use nstr_image::error_map::error_map;
use nstr_image::{Rgba8, png};
use nstr_signal::{ImageSignal, Signal, SignalInfo, ValueTransformKind, spectrogram};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::{Context, Error};
use crate::field::{Field, RadianceModel, SdfModel, SignalModel};
use crate::mesh_input::MeshInput;
use crate::options::{CaptureSettings, opaque};
use crate::record::FitRecord;

/// Metrics of a model of any kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Scores {
    /// Of a signed distance field against its mesh.
    Sdf(SdfScores),
    /// Of a radiance field against views.
    Views(ViewScores),
    /// Of a picture or a sound against its original.
    Signal(SignalScores),
}

impl Scores {
    /// The metrics by name.
    pub fn to_map(&self) -> Map<String, Value> {
        let value = serde_json::to_value(self).unwrap_or_default();
        value.as_object().cloned().unwrap_or_default()
    }

    /// Stores the metrics in the header of a model.
    pub(crate) fn store_in(&self, model: &mut Model) {
        // JSON has no word for the others: the PSNR of equal pictures, the SSIM where masks leave no window.
        let mut store = |name: &str, value: f64| {
            if value.is_finite() {
                model.metrics.insert(name.into(), value);
            }
        };
        match self {
            Self::Sdf(scores) => {
                store("iou", scores.iou);
                store("chamfer_l1", scores.chamfer_l1);
                store("f_score", scores.f_score);
                store("normal_consistency", scores.normal_consistency);
                store("normal_angle_rms", scores.normal_angle_rms.unwrap_or(f64::NAN));
            }
            Self::Views(scores) => {
                store("psnr", scores.psnr);
                store("psnr_affine", scores.psnr_affine.unwrap_or(f64::NAN));
                store("ssim", scores.ssim);
                model.provenance.insert("background".into(), scores.background.clone());
            }
            Self::Signal(_) => {
                let numbers = self.to_map().into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?)));
                model.metrics.extend(numbers);
            }
        }
    }
}

/// Options of [`evaluate`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EvalOptions {
    /// Meshes: resolution of the measurement; the lattice 2 to 2048, samples 1 to 10⁸.
    pub sdf: SdfEvalOptions,
    /// Meshes: sign method; the fit's where absent.
    pub sign: Option<SignMethod>,
    /// Captures: background behind the field, and under images with alpha; that of training where absent, or white where
    /// that was random.
    pub background: Option<Background>,
    /// Captures: images are made this many times smaller; the fit's value where absent.
    pub downscale: Option<u32>,
    /// Captures: whether to measure on the training views.
    pub train_views: bool,
    /// Captures: fraction of a view's depth within which matter counts as near its camera, above 0 to 1.
    pub near_fraction: f64,
    /// Captures, pictures and sounds: folder for the pictures that were compared.
    pub images: Option<PathBuf>,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self {
            sdf: SdfEvalOptions::default(),
            sign: None,
            background: None,
            downscale: None,
            train_views: false,
            near_fraction: NEAR_FRACTION,
            images: None,
        }
    }
}

impl EvalOptions {
    /// Checks ranges, before anything is read.
    ///
    /// # Errors
    /// Lattices, numbers of samples and fractions out of range.
    pub fn check(&self) -> Result<(), Error> {
        let SdfEvalOptions { lattice, samples, .. } = self.sdf;
        if !(2..=2048).contains(&lattice) {
            return Err(Error::Option(format!("--lattice {lattice}: must be 2 to 2048")));
        }
        if !(1..=100_000_000).contains(&samples) {
            return Err(Error::Option(format!("--samples {samples}: must be 1 to 100000000")));
        }
        let near = self.near_fraction;
        if !(near > 0.0 && near <= 1.0) {
            return Err(Error::Option(format!("--near-fraction {near}: must be above 0 to 1")));
        }
        Ok(())
    }

    /// Checks that a field of this kind has a use for the options.
    ///
    /// # Errors
    /// Options for captures or pictures where the field is of another kind.
    pub fn check_kind(&self, field: &Field) -> Result<(), Error> {
        let of_captures = self.train_views || self.downscale.is_some() || self.near_fraction != NEAR_FRACTION;
        if of_captures && !matches!(field, Field::Radiance(_)) {
            return Err(Error::option("--train-views, --downscale and --near-fraction are for captures"));
        }
        if self.images.is_some() && matches!(field, Field::Sdf(_)) {
            let text = "--images is for captures, pictures and sounds; render a mesh's model with `nstr render`";
            return Err(Error::option(text));
        }
        Ok(())
    }
}

/// Metrics of the model that was read from `path` against the mesh, capture, picture or sound in `reference`.
///
/// ```no_run
/// # fn main() -> Result<(), nstr_pipeline::Error> {
/// use nstr_pipeline::{EvalOptions, Field, Scores, evaluate};
/// let model = "chair.safetensors".as_ref();
/// let scores = evaluate(model, &Field::load(model)?, "chair.obj".as_ref(), &EvalOptions::default())?;
/// if let Scores::Sdf(scores) = scores {
///     println!("IoU {:.4}, Chamfer {:.2e}", scores.iou, scores.chamfer_l1);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// References of another kind than the model's, or that cannot be read; fields without a surface; folders that cannot be
/// written.
pub fn evaluate(path: &Path, field: &Field, reference: &Path, options: &EvalOptions) -> Result<Scores, Error> {
    options.check()?;
    check_reference(path, field, reference)?;
    options.check_kind(field)?;
    let both = || format!("{} against {}", path.display(), reference.display());
    match field {
        Field::Sdf(model) => {
            let mut sign = FitRecord::of(&model.model).ok().and_then(|r| r.sign).unwrap_or_default();
            sign.sign = options.sign.unwrap_or(sign.sign);
            let mesh = MeshInput::read(reference, &sign)?;
            model.evaluate(&mesh, &options.sdf).context(both).map(Scores::Sdf)
        }
        Field::Radiance(model) => {
            let background = opaque(options.background.unwrap_or(model.march.background))?;
            let mut settings = model.capture_settings(path)?;
            settings.downscale = options.downscale.unwrap_or(settings.downscale);
            let split = if options.train_views { Split::Train } else { Split::Test };
            let capture = read_capture(reference, &settings.options(split))?;
            let views = if options.train_views { &capture.train } else { &capture.test };
            let all = read_capture(reference, &settings.cameras_only())?;
            let cameras: Vec<LensCamera> = all.views().map(View::lens_camera).collect();
            let (near_fraction, images) = (options.near_fraction, options.images.as_deref());
            let options = ViewEvalOptions { background, cameras: &cameras, near_fraction, images, affine: false };
            model.evaluate(views, &options).context(both).map(Scores::Views)
        }
        Field::Signal(model) => {
            let original = Signal::read(reference)?;
            // Before memory is reserved for what the header claims.
            check_size(&model.info, &original).context(both)?;
            let fit = model.reconstruct();
            let scores = model.evaluate(&fit, &original).context(both)?;
            if let Some(folder) = &options.images {
                write_comparison(&fit, &original, folder)?;
            }
            Ok(Scores::Signal(scores))
        }
    }
}

/// Checks that a signal has kind, size and channels of the one that a model stands for.
fn check_size(info: &SignalInfo, original: &Signal) -> Result<(), SignalEvalError> {
    let describe = |info: &SignalInfo| match info {
        SignalInfo::Image { width, height, channels, .. } => {
            format!("a picture of {width}x{height} with {channels} channels")
        }
        SignalInfo::Audio { frames, channels, .. } => format!("a sound of {frames} frames with {channels} channels"),
    };
    let (model, reference) = (describe(info), describe(&original.info(ValueTransformKind::Plain)));
    if model == reference { Ok(()) } else { Err(SignalEvalError::Differ { model, reference }) }
}

/// Checks that the model read from `path` can have been fitted to a reference of this kind; the reader judges files whose
/// names say nothing.
///
/// # Errors
/// References of another kind.
pub fn check_reference(path: &Path, field: &Field, reference: &Path) -> Result<(), Error> {
    let is = match reference {
        signal if Signal::is_named(signal) => "a picture or a sound",
        folder if folder.is_dir() || is_capture(folder) => "a capture",
        mesh if MeshFormat::from_extension(mesh).is_some() => "a mesh",
        _ => return Ok(()),
    };
    let wanted = field.kind().input();
    if is != wanted && reference.exists() {
        let reason =
            format!("was fitted to {wanted}, {} is {is}: give the file that it was fitted to", reference.display());
        return Err(Error::Option(format!("{} {reason}", path.display())));
    }
    Ok(())
}

impl SdfModel {
    /// Metrics against a mesh.
    ///
    /// # Errors
    /// Fields without a surface, resolutions that need too much memory.
    pub fn evaluate(&self, mesh: &MeshInput, options: &SdfEvalOptions) -> Result<SdfScores, SdfEvalError> {
        evaluate_sdf(&self.field, self.model.cube(), &mesh.mesh, &mesh.query, options)
    }
}

impl RadianceModel {
    /// Metrics against views; where the fit found exposures also after each view's own affine colour.
    ///
    /// # Errors
    /// No views, views that cannot be rendered, pictures that cannot be written.
    pub fn evaluate(&self, views: &[View], options: &ViewEvalOptions<'_>) -> Result<ViewScores, Error> {
        let record = FitRecord::of(&self.model).ok();
        let found = record.and_then(|record| record.fit.exposure).is_some_and(|exposure| exposure.enabled);
        let options = ViewEvalOptions { affine: options.affine || found, ..*options };
        Ok(evaluate_views(&self.renderer()?, views, &options)?)
    }

    /// Reading of the capture that the model was fitted to; `path` is where the model came from.
    ///
    /// # Errors
    /// Models that were not fitted to a capture.
    pub(crate) fn capture_settings(&self, path: &Path) -> Result<CaptureSettings, Error> {
        let record = FitRecord::of(&self.model).ok().and_then(|r| r.capture);
        record.ok_or_else(|| Error::file(path, "was not fitted to a capture"))
    }
}

impl SignalModel {
    /// Metrics of `fit`, as [`Self::reconstruct`] gives it, against the original.
    ///
    /// # Errors
    /// Originals of another kind or size, silent sounds.
    pub fn evaluate(&self, fit: &Signal, original: &Signal) -> Result<SignalScores, SignalEvalError> {
        evaluate_signal(fit, original, &self.config, self.seed)
    }
}

/// Error of a pixel, mean over its channels, that has the last colour of the map.
const MAX_ERROR: f64 = 0.1;

/// Writes both signals and their difference below `folder`.
fn write_comparison(fit: &Signal, original: &Signal, folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    match (fit, original) {
        (Signal::Audio(sound), Signal::Audio(original)) => {
            fit.write(&folder.join("render.wav"))?;
            png::write(&folder.join("spectrogram.png"), &spectrogram::comparison(original, sound)?)?;
        }
        (Signal::Image(picture), Signal::Image(original)) => {
            let [a, b] = [picture, original].map(ImageSignal::to_rgba8);
            let shown = |p: &Rgba8| p.data.iter().map(|v| f32::from(*v) / 255.0).collect::<Vec<_>>();
            let error = error_map(&shown(&a), &shown(&b), (a.width, a.height), 4, MAX_ERROR);
            let error = error.ok_or_else(|| Error::option("the pictures differ in size"))?;
            png::write(&folder.join("error.png"), &error)?;
            png::write(&folder.join("render.png"), &a)?;
            png::write(&folder.join("reference.png"), &b)?;
        }
        _ => {}
    }
    Ok(())
}

/// A model in numbers: its scores, size and times.
pub fn metrics(model: &Model, scores: Option<&Scores>, file_bytes: Option<u64>) -> Map<String, Value> {
    let mut map = scores.map(Scores::to_map).unwrap_or_default();
    map.insert("parameters".into(), json!(model.spec.parameters()));
    map.insert("file_bytes".into(), json!(file_bytes));
    for name in ["fit_seconds", "train_seconds", "steps"] {
        let value = model.metrics.get(name).copied();
        map.insert(name.into(), if name == "steps" { json!(value.map(|v| v as u64)) } else { json!(value) });
    }
    let metric = |name: &str| model.metrics.get(name).copied();
    if let (Some(samples), Some(seconds)) = (metric("samples"), metric("train_seconds")) {
        // Samples that went through forward and backward; those behind surfaces are not counted.
        map.insert("samples_per_second".into(), json!(samples / seconds.max(1e-9)));
    }
    map
}
