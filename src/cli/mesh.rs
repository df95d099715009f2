//! `nstr mesh`: a model's surface as a mesh file.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::bail;
use clap::Args;
use nstr_geometry::isosurface::EnclosedSurface;
use nstr_metrics::mesh::F_SCORE_THRESHOLD;
use nstr_pipeline::error::Context;
use nstr_pipeline::options::SignSettings;
use nstr_pipeline::{Error, Field, MeshInput, SdfModel, SurfaceMesh};

use super::earlier::check_original;
use super::output::Outputs;
use super::progress::ProgressDisplay;
use super::terminal::{stderr, stdout};

const EXAMPLES: &str = "\
Examples:
  nstr mesh chair.safetensors -o chair.ply
  nstr mesh scene.safetensors -o scene.glb --resolution 512 --level 30";

/// Arguments of `nstr mesh`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct MeshArgs {
    /// Model to export
    model: PathBuf,
    /// Mesh to write: .obj, .ply, .stl or .glb, in world units with normals; radiance fields add vertex colours
    #[arg(short, long, value_name = "MESH")]
    output: PathBuf,
    /// Cells along the edge of the model's cube
    #[arg(long, default_value_t = 256, value_name = "N")]
    resolution: usize,
    /// Density, per edge of the cube, at which the surface lies [default: 50; of the preset surface the
    /// zero of its distance]
    #[arg(long, value_name = "DENSITY", help_heading = "Radiance fields")]
    level: Option<f32>,
    /// Mesh the surface that the cameras of this capture see, fused from their depth pictures, without
    /// what no image shows
    #[arg(long, value_name = "CAPTURE", conflicts_with = "level", help_heading = "Radiance fields")]
    capture: Option<PathBuf>,
    /// Leave out only cells that are proven to hold no surface, instead of those that the measured slope
    /// bound rules out; slower
    #[arg(long, help_heading = "Distance fields")]
    proven: bool,
    /// With --proven: halvings of the cube down to the smallest boxes of the proof [default: boxes of four cells]
    #[arg(long, value_name = "N", requires = "proven", help_heading = "Distance fields")]
    proof_depth: Option<u32>,
    /// Print the distance to this mesh: Chamfer-L1 and Hausdorff distance in percent of its diagonal, F-score, normals
    #[arg(long, value_name = "MESH")]
    truth: Option<PathBuf>,
    /// Replace the mesh that the model was fitted to, should it have this name
    #[arg(long)]
    overwrite: bool,
}

/// Runs `nstr mesh`.
pub fn run(args: &MeshArgs) -> anyhow::Result<()> {
    Outputs::of(std::iter::once(&args.model).chain(&args.capture).chain(&args.truth)).file(
        &args.output,
        "a mesh's name",
        &["obj", "ply", "stl", "glb"],
    )?;
    if !(1..=4096).contains(&args.resolution) {
        bail!("--resolution {}: must be 1 to 4096", args.resolution);
    }
    if let Some(depth) = args.proof_depth.filter(|depth| !(1..=MAX_PROOF_DEPTH).contains(depth)) {
        bail!("--proof-depth {depth}: must be 1 to {MAX_PROOF_DEPTH}");
    }
    // Before the surface is extracted.
    let truth = args.truth.as_deref().map(|path| MeshInput::read(path, &SignSettings::default())).transpose()?;
    let field = Field::load(&args.model)?;
    check_original(&args.output, field.model(), args.overwrite)?;
    let surface = match (&field, &args.capture) {
        (Field::Sdf(_), Some(_)) => bail!("--capture is for radiance fields; a distance has its surface"),
        (Field::Sdf(_), _) if args.level.is_some() => {
            bail!("--level is for radiance fields; a distance's surface is at 0")
        }
        (Field::Radiance(_), _) if args.proven => {
            bail!("--proven is for distance fields; {} is a radiance field", args.model.display())
        }
        (Field::Sdf(model), _) if args.proven => proven_surface(model, args).at(&args.model)?,
        (Field::Radiance(model), Some(capture)) => {
            let mut display = ProgressDisplay::new();
            let show = |done: usize, total: usize| {
                display.show("depth pictures", Some(done as f64 / total.max(1) as f64), "");
            };
            model.seen_surface(&args.model, capture, args.resolution, show)?.into()
        }
        _ => {
            let mut display = ProgressDisplay::new();
            display.show("surface", None, "");
            let display = Mutex::new(display);
            // Several threads report; one that finds another at it has nothing to add.
            let done = |fraction: f64| {
                if let Ok(mut display) = display.try_lock() {
                    display.show("surface", Some(fraction), "");
                }
            };
            field.surface(args.resolution, args.level, &done).at(&args.model)?
        }
    };
    let notes = surface.write(&args.output)?;
    let SurfaceMesh { mesh, evaluations, .. } = surface;
    notes.iter().for_each(|note| stderr!("note: {}: {note}", args.output.display()));
    stdout!(
        "wrote {}: {} vertices, {} faces ({evaluations} evaluations)",
        args.output.display(),
        mesh.positions.len(),
        mesh.faces.len(),
    );
    if let Some(truth) = truth {
        let found = truth.compare(&mesh)?;
        stdout!("  Chamfer-L1           {:.4} % of the diagonal", 100.0 * found.chamfer_l1);
        stdout!("  F-score              {:.4} at {} %", found.f_score, 100.0 * F_SCORE_THRESHOLD);
        stdout!("  precision, recall    {:.4}, {:.4}", found.precision, found.recall);
        stdout!("  normal consistency   {:.4}", found.normal_consistency);
        stdout!("  Hausdorff            {:.4} % of the diagonal", 100.0 * found.hausdorff);
    }
    Ok(())
}

/// The surface; says what is proven of the rest, and in what time.
fn proven_surface(model: &SdfModel, args: &MeshArgs) -> Result<SurfaceMesh, Error> {
    let start = Instant::now();
    let mut display = ProgressDisplay::new();
    display.show("proof and surface", None, "");
    let (found, normals) = model.proven_surface(args.resolution, args.proof_depth)?;
    drop(display);
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
    SurfaceMesh::of_distance((surface.mesh, normals, surface.evaluations), args.resolution)
}

/// Most halvings of the cube for a proof: finer boxes than those of the finest mesh tell nothing.
const MAX_PROOF_DEPTH: u32 = 12;
