//! `nstr mesh`: a model's surface as a mesh file.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use nstr_geometry::write_mesh;
use nstr_pipeline::Field;

use super::earlier::check_original;
use super::output::Outputs;
use super::terminal::{stderr, stdout};

/// Arguments of `nstr mesh`.
#[derive(Args)]
pub struct MeshArgs {
    /// Model to export
    model: PathBuf,
    /// Mesh to write: .obj, .ply, .stl or .glb, in world units with normals; radiance fields add vertex colours
    #[arg(short, long, value_name = "MESH")]
    output: PathBuf,
    /// Cells along the edge of the model's cube
    #[arg(long, default_value_t = 256, value_name = "N")]
    resolution: usize,
    /// Radiance fields: the density, per edge of the cube, at which the surface lies [default: 50]
    #[arg(long, value_name = "DENSITY")]
    level: Option<f32>,
    /// Replace the mesh that the model was fitted to, should it have this name
    #[arg(long)]
    overwrite: bool,
}

/// Runs `nstr mesh`.
pub fn run(args: &MeshArgs) -> anyhow::Result<()> {
    Outputs::of([&args.model]).file(&args.output, "a mesh's name", &["obj", "ply", "stl", "glb"])?;
    if !(1..=4096).contains(&args.resolution) {
        bail!("--resolution {}: must be 1 to 4096", args.resolution);
    }
    let field = Field::load(&args.model)?;
    check_original(&args.output, field.model(), args.overwrite)?;
    let (mesh, evaluations, notes) = match field {
        Field::Sdf(_) if args.level.is_some() => bail!("--level is for radiance fields; a distance's surface is at 0"),
        Field::Sdf(model) => {
            let (mesh, normals, evaluations) = model.surface(args.resolution)?;
            if mesh.faces.is_empty() {
                let (name, resolution) = (args.model.display(), args.resolution);
                bail!("{name}: no surface is found with --resolution {resolution}; try a higher one");
            }
            let notes = write_mesh(&args.output, &mesh, Some(&normals), None)?;
            (mesh, evaluations, notes)
        }
        Field::Radiance(model) => {
            let set = model.surface(args.level.unwrap_or(DEFAULT_LEVEL), args.resolution)?;
            let notes = write_mesh(&args.output, &set.mesh, Some(&set.normals), Some(&set.colours))?;
            (set.mesh, set.evaluations, notes)
        }
        Field::Signal(_) => bail!("{}: a picture or a sound has no surface", args.model.display()),
    };
    notes.iter().for_each(|note| stderr!("note: {}: {note}", args.output.display()));
    stdout!(
        "wrote {}: {} vertices, {} faces ({evaluations} evaluations)",
        args.output.display(),
        mesh.positions.len(),
        mesh.faces.len(),
    );
    Ok(())
}

/// Default density, per edge of the cube, at which the surface of a radiance field lies.
const DEFAULT_LEVEL: f32 = 50.0;
