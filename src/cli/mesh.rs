//! `nstr mesh`: a model's surface as a mesh file.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use glam::Vec3;
use nstr::fit::evaluate::extract;
use nstr::geometry::{TriMesh, write_mesh};
use nstr::render::volume::level_set;
use nstr::render::{SdfSource, UnitCube};

use super::load::{self, Loaded, LoadedModel, LoadedRadiance};
use super::output::check_file;

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
}

/// Runs `nstr mesh`.
pub fn run(args: &MeshArgs) -> anyhow::Result<()> {
    check_file(&args.output, "a mesh's name", &["obj", "ply", "stl", "glb"])?;
    if !(1..=4096).contains(&args.resolution) {
        bail!("--resolution {}: must be 1 to 4096", args.resolution);
    }
    let (mesh, evaluations) = match load::any(&args.model)? {
        Loaded::Sdf(_) if args.level.is_some() => bail!("--level is for radiance fields; a distance's surface is at 0"),
        Loaded::Sdf(loaded) => surface(args, &loaded)?,
        Loaded::Radiance(loaded) => density(args, &loaded)?,
        Loaded::Signal(_) => bail!("{}: a picture or a sound has no surface", args.model.display()),
    };
    println!(
        "wrote {}: {} vertices, {} faces ({evaluations} evaluations)",
        args.output.display(),
        mesh.positions.len(),
        mesh.faces.len(),
    );
    Ok(())
}

/// The zero level set of a distance.
fn surface(args: &MeshArgs, loaded: &LoadedModel) -> anyhow::Result<(TriMesh, usize)> {
    let surface = extract(&loaded.field, &loaded.model.domain, args.resolution)?;
    let mesh = surface.mesh;
    if mesh.faces.is_empty() {
        bail!("{}: no surface is found with --resolution {}; try a higher one", args.model.display(), args.resolution);
    }
    let cube = UnitCube::from(&loaded.model.domain);
    let unit: Vec<Vec3> = mesh.positions.iter().map(|p| cube.to_unit(*p).as_vec3()).collect();
    let (mut distance, mut normals) = (vec![0.0; unit.len()], vec![Vec3::ZERO; unit.len()]);
    loaded.field.distance_gradient(&unit, &mut distance, &mut normals);
    normals.iter_mut().for_each(|n| *n = n.normalize_or_zero());
    write_mesh(&args.output, &mesh, Some(&normals), None)?;
    Ok((mesh, surface.evaluations))
}

/// A level set of a density.
fn density(args: &MeshArgs, loaded: &LoadedRadiance) -> anyhow::Result<(TriMesh, usize)> {
    let cube = UnitCube::from(&loaded.model.domain);
    let set = level_set(&loaded.field, cube, args.level.unwrap_or(50.0), args.resolution)?;
    write_mesh(&args.output, &set.mesh, Some(&set.normals), Some(&set.colours))?;
    Ok((set.mesh, set.evaluations))
}
