//! Meshes and models from files, ready for use by a subcommand.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use nstr::capture::is_capture;
use nstr::field::model::Model;
use nstr::field::radiance::NeuralRadiance;
use nstr::field::sdf::NeuralSdf;
use nstr::field::signal::{NeuralSignal, Window};
use nstr::fit::RayConfig;
use nstr::fit::likeness::{SignalScores, compare};
use nstr::fit::signal::{Signal, SignalConfig, SignalInfo};
use nstr::geometry::{DistanceQuery, MeshFile, MeshReport, QueryOptions, SignMethod, TriMesh, Trust, read_mesh};
use nstr::render::cpu::RenderError;
use nstr::render::volume::{VolumeRenderer, VolumeSettings};
use nstr::render::{Background, Occupancy, Swing, UnitCube};
use serde::{Deserialize, Serialize};

use super::batch::is_mesh;
use super::fit::Recipe;

/// How inside is told from outside.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignArgs {
    /// Where the sign comes from: auto, winding, visibility, parity or unsigned
    #[arg(long, default_value = "auto")]
    pub sign: SignMethod,
    /// Thickness given to sheets without an inside, as a fraction of the bounding box's diagonal
    #[arg(long, default_value_t = 0.005, value_name = "FRACTION")]
    pub thickness: f64,
    /// Cells along the longest edge for `--sign visibility`: gaps narrower than a cell are closed
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub sign_resolution: usize,
}

/// As the options are without being given.
impl Default for SignArgs {
    fn default() -> Self {
        Self { sign: SignMethod::default(), thickness: 0.005, sign_resolution: 256 }
    }
}

/// A mesh with what was found out about it.
pub struct LoadedMesh {
    pub file: MeshFile,
    pub mesh: Arc<TriMesh>,
    pub report: MeshReport,
    pub query: Arc<DistanceQuery>,
}

/// Reads a mesh, judges it and prepares distance and sign.
pub fn mesh(path: &Path, sign: &SignArgs) -> anyhow::Result<LoadedMesh> {
    if sign.sign == SignMethod::Unsigned && sign.thickness <= 0.0 {
        bail!("--thickness {}: must be above 0 with --sign unsigned, which makes a shell of it", sign.thickness);
    }
    if !(8..=1024).contains(&sign.sign_resolution) {
        bail!("--sign-resolution {}: must be 8 to 1024", sign.sign_resolution);
    }
    let mut file = read_mesh(path)?;
    let report = MeshReport::new(&file.mesh);
    let options = QueryOptions {
        method: sign.sign,
        trust: Some(Trust { trusted: report.orientation_trusted(), reason: report.orientation_reason() }),
        resolution: sign.sign_resolution,
        thickness: sign.thickness,
    };
    let query = DistanceQuery::new(&file.mesh, &options).with_context(|| path.display().to_string())?;
    let mesh = Arc::new(std::mem::take(&mut file.mesh));
    Ok(LoadedMesh { file, mesh, report, query: Arc::new(query) })
}

/// A signed distance model with its field ready to evaluate.
pub struct LoadedModel {
    pub model: Model,
    pub field: NeuralSdf,
}

/// A radiance model with its field ready to evaluate.
pub struct LoadedRadiance {
    pub model: Model,
    pub field: NeuralRadiance,
    /// Where the capture's cameras stood, if not all around.
    pub swing: Option<Swing>,
    settings: VolumeSettings,
}

/// A model of a picture or a sound with its field ready to evaluate.
pub struct LoadedSignal {
    pub model: Model,
    pub field: NeuralSignal,
    pub info: SignalInfo,
    config: SignalConfig,
    seed: u64,
}

/// A model of any kind.
pub enum Loaded {
    Sdf(LoadedModel),
    Radiance(LoadedRadiance),
    Signal(LoadedSignal),
}

impl Loaded {
    /// Refuses what this model, read from `path`, cannot have been fitted to by its kind; other names are left to the reader.
    pub fn check_reference(&self, path: &Path, reference: &Path) -> anyhow::Result<()> {
        let is = match reference {
            signal if Signal::is_named(signal) => "a picture or a sound",
            folder if folder.is_dir() || is_capture(folder) => "a capture",
            mesh if mesh.extension().and_then(|e| e.to_str()).is_some_and(is_mesh) => "a mesh",
            _ => return Ok(()),
        };
        let wanted = match self {
            Self::Sdf(_) => "a mesh",
            Self::Radiance(_) => "a capture",
            Self::Signal(_) => "a picture or a sound",
        };
        if is != wanted && reference.exists() {
            let (model, reference) = (path.display(), reference.display());
            bail!("{model} was fitted to {wanted}, {reference} is {is}: give the file that it was fitted to");
        }
        Ok(())
    }

    /// The arc that the cameras of a capture stood on that does not show its object from all around.
    pub fn swing(&self) -> Option<Swing> {
        match self {
            Self::Radiance(model) => model.swing,
            _ => None,
        }
    }
}

/// Reads a model.
pub fn any(path: &Path) -> anyhow::Result<Loaded> {
    of(path, &read(path)?)
}

/// The file of a model.
pub fn read(path: &Path) -> anyhow::Result<Model> {
    if path.exists() && path.extension().is_none_or(|e| e != "safetensors") {
        bail!(
            "{}: is no model, a .safetensors file; the model comes first, then what it was fitted to (`nstr fit` makes one)",
            path.display()
        );
    }
    Ok(Model::load(path)?)
}

/// The model that was read from `path`, ready for use.
pub fn of(path: &Path, model: &Model) -> anyhow::Result<Loaded> {
    if model.spec.view.is_some() {
        return Ok(Loaded::Radiance(radiance_of(path, model)?));
    }
    if model.spec.dim < 3 {
        return Ok(Loaded::Signal(signal_of(path, model)?));
    }
    if model.spec.dim != 3 || model.spec.outputs != 1 {
        let (d, o) = (model.spec.dim, model.spec.outputs);
        bail!("{}: a field of {d} coordinates and {o} values is no signed distance field", path.display());
    }
    Ok(Loaded::Sdf(LoadedModel { model: model.clone(), field: field(model) }))
}

/// Writes a picture as .png or .exr, a sound as .wav.
pub fn write_signal(signal: &Signal, path: &Path) -> anyhow::Result<()> {
    match signal {
        Signal::Picture(picture) => picture.write(path)?,
        Signal::Sound(sound) => {
            let clipped = sound.write(path)?;
            if clipped > 0 {
                eprintln!("note: {clipped} samples beyond full scale were clipped");
            }
        }
    }
    Ok(())
}

/// The evaluator of the model of a picture or a sound that was read from `path`.
pub fn signal_of(path: &Path, model: &Model) -> anyhow::Result<LoadedSignal> {
    let name = || format!("{}: its recipe cannot be read; fit the signal again", path.display());
    let recipe: Recipe = serde_json::from_value(model.config.clone()).with_context(name)?;
    let (info, config) = recipe.signal.zip(recipe.fit.signal).with_context(name)?;
    let dim = if matches!(info, SignalInfo::Picture { .. }) { 2 } else { 1 };
    if info.size().contains(&0) || model.spec.dim != dim {
        bail!("{}: its header does not describe the signal of its field; fit the signal again", path.display());
    }
    Ok(LoadedSignal { model: model.clone(), field: NeuralSignal::of(model), info, config, seed: recipe.seed })
}

impl LoadedSignal {
    /// The signal that the model stands for, at its own samples.
    pub fn reconstruct(&self) -> Signal {
        self.info.reconstruct(&self.field, &Window::whole(self.info.size()))
    }

    /// Figures of the signal against the original.
    pub fn scores(&self, signal: &Signal, reference: &Signal) -> anyhow::Result<SignalScores> {
        Ok(compare(signal, reference, &self.config, self.seed)?)
    }
}

/// The evaluator of a signed distance model, with the Lipschitz bound that it was saved with.
pub fn field(model: &Model) -> NeuralSdf {
    let lipschitz = model.metrics.get("lipschitz").map(|l| *l as f32);
    NeuralSdf::new(&model.spec, model.grid.clone(), &model.net, lipschitz)
}

/// The evaluator of the radiance model that was read from `path`.
pub fn radiance_of(path: &Path, model: &Model) -> anyhow::Result<LoadedRadiance> {
    let marching = marching_of(path, model)?;
    let occupancy = model.occupancy.clone().unwrap_or_else(|| Occupancy::full(marching.cells));
    let field = NeuralRadiance::new(&model.spec, model.grid.clone(), &model.net, occupancy);
    Ok(LoadedRadiance { model: model.clone(), field, swing: marching.swing, settings: marching.settings })
}

/// What a radiance model's recipe says of showing it.
pub struct Marching {
    /// How rays are marched.
    pub settings: VolumeSettings,
    /// Cells of the occupancy along an axis.
    pub cells: usize,
    /// Where the capture's cameras stood, if not all around.
    pub swing: Option<Swing>,
}

/// How the radiance model that was read from `path` is shown.
pub fn marching_of(path: &Path, model: &Model) -> anyhow::Result<Marching> {
    let name = || format!("{}: its recipe cannot be read; fit the capture again", path.display());
    let recipe: Recipe = serde_json::from_value(model.config.clone()).with_context(name)?;
    let (rays, capture) = recipe.fit.rays.zip(recipe.capture).with_context(name)?;
    let cube = UnitCube::from(&model.domain);
    let settings = volume_settings(&rays, capture.near.unwrap_or(0.0), cube);
    Ok(Marching { settings, cells: rays.cells, swing: recipe.swing.filter(Swing::is_valid) })
}

/// Samples of a picture for each sample of training: training sees all places of a stratum in turn, a picture only its
/// middle, so that more of them come nearer to what was trained (0.25 dB on Lego at 2, nothing more at 3).
const REFINEMENT: f32 = 2.0;

/// How rays are marched through a field that was fitted with `rays`; `near` in world units.
pub fn volume_settings(rays: &RayConfig, near: f64, cube: UnitCube) -> VolumeSettings {
    VolumeSettings {
        step: (rays.step / REFINEMENT).max(1e-5),
        cone: rays.cone / REFINEMENT,
        near: (near / cube.size) as f32,
        min_transmittance: rays.min_transmittance,
        ..VolumeSettings::default()
    }
}

impl LoadedRadiance {
    /// A renderer of the field.
    pub fn renderer(&self) -> Result<VolumeRenderer<'_>, RenderError> {
        VolumeRenderer::new(&self.field, UnitCube::from(&self.model.domain), self.settings)
    }

    /// How its rays are marched.
    #[cfg(feature = "gpu")]
    pub fn settings(&self) -> VolumeSettings {
        self.settings
    }
}

/// sRGB values of a background that metrics can be taken on.
pub fn opaque(background: Background) -> anyhow::Result<[f32; 3]> {
    background
        .srgb()
        .context("--background transparent: pictures are compared on an opaque colour; give white, black or #rrggbb")
}
