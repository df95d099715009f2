//! `nstr mesh`: a model's surface as a mesh file.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::bail;
use clap::Args;
use glam::Vec3;
use nstr_geometry::isosurface::EnclosedSurface;
use nstr_geometry::{TriMesh, write_mesh};
use nstr_pipeline::{DEFAULT_SURFACE_DENSITY, Field, SdfModel};

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
    /// Distance fields: leave out only cells that are proven to hold no surface, instead of those that the measured slope
    /// bound rules out; slower
    #[arg(long)]
    proven: bool,
    /// With --proven: halvings of the cube down to the smallest boxes of the proof [default: boxes of four cells]
    #[arg(long, value_name = "N", requires = "proven")]
    proof_depth: Option<u32>,
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
    if let Some(depth) = args.proof_depth.filter(|depth| !(1..=MAX_PROOF_DEPTH).contains(depth)) {
        bail!("--proof-depth {depth}: must be 1 to {MAX_PROOF_DEPTH}");
    }
    let field = Field::load(&args.model)?;
    check_original(&args.output, field.model(), args.overwrite)?;
    let (mesh, evaluations, notes) = match field {
        Field::Sdf(_) if args.level.is_some() => bail!("--level is for radiance fields; a distance's surface is at 0"),
        Field::Sdf(model) => {
            let (mesh, normals, evaluations) = match args.proven {
                true => proven_surface(&model, args)?,
                false => model.surface(args.resolution)?,
            };
            if mesh.faces.is_empty() {
                let (name, resolution) = (args.model.display(), args.resolution);
                bail!("{name}: no surface is found with --resolution {resolution}; try a higher one");
            }
            let notes = write_mesh(&args.output, &mesh, Some(&normals), None)?;
            (mesh, evaluations, notes)
        }
        Field::Radiance(_) if args.proven => {
            bail!("--proven is for distance fields; {} is a radiance field", args.model.display())
        }
        Field::Radiance(model) => {
            let set = model.surface(args.level.unwrap_or(DEFAULT_SURFACE_DENSITY), args.resolution)?;
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

/// The surface with its normals and the number of evaluations; says what is proven of the rest, and in what time.
fn proven_surface(model: &SdfModel, args: &MeshArgs) -> anyhow::Result<(TriMesh, Vec<Vec3>, usize)> {
    let start = Instant::now();
    let (found, normals) = model.proven_surface(args.resolution, args.proof_depth)?;
    let EnclosedSurface { surface, cells, visited, crossed } = found.enclosed;
    stdout!(
        "no cell with a change of sign was missed: {} of {cells} cells ({:.1} %) are proven free of the surface, all others were visited",
        cells - visited,
        100.0 * (cells - visited) as f64 / cells as f64,
    );
    stdout!(
        "the sign changes in {crossed} cells; {} are undecided: the surface may pass between their corners",
        visited - crossed,
    );
    stdout!(
        "{} boxes enclosed, down to 1/{} of the cube; {:.1} s with the mesh",
        found.boxes,
        1u64 << found.depth,
        start.elapsed().as_secs_f64(),
    );
    Ok((surface.mesh, normals, surface.evaluations))
}

/// Most halvings of the cube for a proof: finer boxes than those of the finest mesh tell nothing.
const MAX_PROOF_DEPTH: u32 = 12;
