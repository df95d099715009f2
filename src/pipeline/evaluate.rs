//! Metrics of a model against what it was fitted to.

use std::path::{Path, PathBuf};

use nstr_capture::{LensCamera, Split, View, is_capture, read_capture};
use nstr_field::model::Model;
use nstr_fit::StageObserver;
use nstr_fit::eval::view_sheet::{thumbnail, write_sheet};
use nstr_fit::eval::{
    NEAR_FRACTION, SdfEvalError, SdfEvalOptions, SdfScores, SheetOptions, SheetOrder, SignalEvalError, SignalScores,
    ViewEvalOptions, ViewScores, evaluate_sdf, evaluate_signal, evaluate_views,
};
use nstr_geometry::{MeshFormat, SignMethod};
use nstr_image::colour::Background;
use nstr_image::contact_sheet::SheetRow;
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
    /// Captures, pictures and sounds: folder for the pictures that were compared, with a contact sheet of them, or that sheet alone,
    /// a .png.
    pub images: Option<PathBuf>,
    /// Captures: order of the views on the contact sheet.
    pub sheet_order: SheetOrder,
    /// Captures: most views on the contact sheet, 1 to 1000.
    pub sheet_rows: usize,
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
            sheet_order: SheetOrder::default(),
            sheet_rows: SHEET_ROWS,
        }
    }
}

/// Views on a contact sheet, unless another number is asked for.
pub const SHEET_ROWS: usize = 12;

/// Name of the contact sheet in a folder of pictures.
pub const SHEET_NAME: &str = "sheet.png";

/// Whether `--images` names a contact sheet rather than a folder.
pub fn is_sheet(images: &Path) -> bool {
    images.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) && !images.is_dir()
}

impl EvalOptions {
    /// Folder for the pictures, and file for the contact sheet.
    fn pictures(&self) -> (Option<&Path>, Option<PathBuf>) {
        match self.images.as_deref() {
            Some(sheet) if is_sheet(sheet) => (None, Some(sheet.into())),
            Some(folder) => (Some(folder), Some(folder.join(SHEET_NAME))),
            None => (None, None),
        }
    }

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
        if !(1..=1000).contains(&self.sheet_rows) {
            return Err(Error::Option(format!("--sheet-rows {}: must be 1 to 1000", self.sheet_rows)));
        }
        Ok(())
    }

    /// Checks that a field of this kind has a use for the options.
    ///
    /// # Errors
    /// Options for captures or pictures where the field is of another kind.
    pub fn check_kind(&self, field: &Field) -> Result<(), Error> {
        let plain = EvalOptions::default();
        let sheet = (self.sheet_order, self.sheet_rows) != (plain.sheet_order, plain.sheet_rows);
        let of_captures = [
            ("--train-views", self.train_views),
            ("--downscale", self.downscale.is_some()),
            ("--near-fraction", self.near_fraction != NEAR_FRACTION),
            ("--background", self.background.is_some()),
            ("--sheet-order and --sheet-rows", sheet),
        ];
        let of_meshes = [
            ("--lattice", self.sdf.lattice != plain.sdf.lattice),
            ("--resolution", self.sdf.resolution != plain.sdf.resolution),
            ("--samples", self.sdf.samples != plain.sdf.samples),
            ("--sign", self.sign.is_some()),
        ];
        let is = field.kind().input();
        let refuse = |options: &[(&str, bool)], kind: &str| match options.iter().find(|option| option.1) {
            Some((name, _)) => Err(Error::Option(format!(
                "{name}: for {kind}; this model was fitted to {is}, where it changes nothing"
            ))),
            None => Ok(()),
        };
        if !matches!(field, Field::Radiance(_)) {
            refuse(&of_captures, "captures")?;
        }
        if !matches!(field, Field::Sdf(_)) {
            refuse(&of_meshes, "meshes")?;
        }
        if sheet && self.images.is_none() {
            return Err(Error::option("--sheet-order and --sheet-rows are for the contact sheet: add --images"));
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
    evaluate_observed(path, field, reference, options, &mut |_, _| ())
}

/// As [`evaluate`]; `stage` is told of what is measured.
///
/// # Errors
/// Those of [`evaluate`].
pub fn evaluate_observed(
    path: &Path,
    field: &Field,
    reference: &Path,
    options: &EvalOptions,
    stage: &mut StageObserver<'_>,
) -> Result<Scores, Error> {
    options.check()?;
    check_reference(path, field, reference)?;
    options.check_kind(field)?;
    let both = || format!("{} against {}", path.display(), reference.display());
    match field {
        Field::Sdf(model) => {
            let mut sign = FitRecord::of(&model.model).ok().and_then(|r| r.sign).unwrap_or_default();
            sign.sign = options.sign.unwrap_or(sign.sign);
            let mesh = MeshInput::read(reference, &sign)?;
            model.evaluate(&mesh, &options.sdf, stage).context(both).map(Scores::Sdf)
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
            let (images, sheet) = options.pictures();
            let title = sheet_title(path, reference);
            let (order, rows) = (options.sheet_order, options.sheet_rows);
            let sheet = sheet.as_deref().map(|path| SheetOptions { path, title: &title, order, rows });
            let near_fraction = options.near_fraction;
            let options =
                ViewEvalOptions { background, cameras: &cameras, near_fraction, images, sheet, affine: false };
            model.evaluate(views, &options, stage).context(both).map(Scores::Views)
        }
        Field::Signal(model) => {
            let original = Signal::read(reference)?;
            // Before memory is reserved for what the header claims.
            check_size(&model.info, &original).context(both)?;
            stage("reconstruction", None);
            let fit = model.reconstruct();
            stage("metrics", None);
            let scores = model.evaluate(&fit, &original).context(both)?;
            if let (folder, Some(sheet)) = options.pictures() {
                let title = sheet_title(path, reference);
                write_comparison(&fit, &original, folder, &sheet, &title)?;
            }
            Ok(Scores::Signal(scores))
        }
    }
}

/// Title of a contact sheet: the names of the model and of what it is compared with.
fn sheet_title(model: &Path, reference: &Path) -> String {
    let named = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{} against {}", named(model), named(reference))
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
    pub fn evaluate(
        &self,
        mesh: &MeshInput,
        options: &SdfEvalOptions,
        stage: &mut StageObserver<'_>,
    ) -> Result<SdfScores, SdfEvalError> {
        evaluate_sdf(&self.field, self.model.cube(), &mesh.mesh, &mesh.query, options, stage)
    }
}

impl RadianceModel {
    /// Metrics against views; where the fit found exposures also after each view's own affine colour.
    ///
    /// # Errors
    /// No views, views that cannot be rendered, pictures that cannot be written.
    pub fn evaluate(
        &self,
        views: &[View],
        options: &ViewEvalOptions<'_>,
        stage: &mut StageObserver<'_>,
    ) -> Result<ViewScores, Error> {
        let record = FitRecord::of(&self.model).ok();
        let found = record.and_then(|record| record.fit.exposure).is_some_and(|exposure| exposure.enabled);
        let options = ViewEvalOptions { affine: options.affine || found, ..*options };
        Ok(evaluate_views(&self.renderer()?, views, &options, stage)?)
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

/// Writes both signals and their difference below `folder`, where there is one, and beside each other to `sheet`.
fn write_comparison(
    fit: &Signal,
    original: &Signal,
    folder: Option<&Path>,
    sheet: &Path,
    title: &str,
) -> Result<(), Error> {
    folder.map_or(Ok(()), |folder| std::fs::create_dir_all(folder).map_err(Error::io(folder)))?;
    match (fit, original) {
        (Signal::Audio(sound), Signal::Audio(original)) => {
            // The three spectrograms are the sheet of a sound.
            let spectrogram = spectrogram::comparison(original, sound)?;
            match folder {
                Some(folder) => {
                    fit.write(&folder.join("render.wav"))?;
                    png::write(&folder.join("spectrogram.png"), &spectrogram)?;
                }
                None => png::write(sheet, &spectrogram)?,
            }
        }
        (Signal::Image(picture), Signal::Image(original)) => {
            let [a, b] = [picture, original].map(ImageSignal::to_rgba8);
            let shown = |p: &Rgba8| p.data.iter().map(|v| f32::from(*v) / 255.0).collect::<Vec<_>>();
            let error = error_map(&shown(&a), &shown(&b), (a.width, a.height), 4, MAX_ERROR);
            let error = error.ok_or_else(|| Error::option("the pictures differ in size"))?;
            if let Some(folder) = folder {
                png::write(&folder.join("error.png"), &error)?;
                png::write(&folder.join("render.png"), &a)?;
                png::write(&folder.join("reference.png"), &b)?;
            }
            let pictures = [&b, &a, &error].map(thumbnail).to_vec();
            let square: f64 = shown(&a).iter().zip(&shown(&b)).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            // Alpha is 1 in both and has no error: three channels in four count.
            let psnr = -10.0 * (square / (0.75 * shown(&a).len() as f64)).log10();
            let caption = format!("{}x{} pixels  {psnr:.2} dB", a.width, a.height);
            write_sheet(sheet, title, &[SheetRow { caption, pictures }], MAX_ERROR)?;
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
