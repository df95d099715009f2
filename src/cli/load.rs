//! Meshes and models from files, ready for use by a subcommand.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use nstr::field::model::Model;
use nstr::field::sdf::NeuralSdf;
use nstr::geometry::{DistanceQuery, MeshFile, MeshReport, QueryOptions, SignMethod, TriMesh, Trust, read_mesh};
use serde::{Deserialize, Serialize};

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

/// A mesh with what was found out about it.
pub struct LoadedMesh {
    pub file: MeshFile,
    pub mesh: Arc<TriMesh>,
    pub report: MeshReport,
    pub query: Arc<DistanceQuery>,
}

/// Reads a mesh, judges it and prepares distance and sign.
pub fn mesh(path: &Path, sign: &SignArgs) -> anyhow::Result<LoadedMesh> {
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

/// A model with its field ready to evaluate.
pub struct LoadedModel {
    pub model: Model,
    pub field: NeuralSdf,
}

/// Reads a model of a signed distance field.
pub fn model(path: &Path) -> anyhow::Result<LoadedModel> {
    let model = Model::load(path)?;
    if model.spec.dim != 3 || model.spec.outputs != 1 {
        let (d, o) = (model.spec.dim, model.spec.outputs);
        bail!("{}: a field of {d} coordinates and {o} values is no signed distance field", path.display());
    }
    let field = field(&model);
    Ok(LoadedModel { model, field })
}

/// The evaluator of a model, with the Lipschitz bound that it was saved with.
pub fn field(model: &Model) -> NeuralSdf {
    let lipschitz = model.metrics.get("lipschitz").map(|l| *l as f32);
    NeuralSdf::new(&model.spec, model.grid.clone(), &model.net, lipschitz)
}
