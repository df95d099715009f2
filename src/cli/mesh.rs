//! `nstr mesh`: a model's surface as a mesh file.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use glam::Vec3;
use nstr::fit::evaluate::extract;
use nstr::geometry::write_mesh;
use nstr::render::{SdfSource, UnitCube};

use super::load;

/// Arguments of `nstr mesh`.
#[derive(Args)]
pub struct MeshArgs {
    /// Model to export
    model: PathBuf,
    /// Mesh to write: .obj, .ply, .stl or .glb, in world units with normals
    #[arg(short, long, value_name = "MESH")]
    output: PathBuf,
    /// Cells along the edge of the model's cube
    #[arg(long, default_value_t = 256, value_name = "N")]
    resolution: usize,
}

/// Runs `nstr mesh`.
pub fn run(args: &MeshArgs) -> anyhow::Result<()> {
    let loaded = load::model(&args.model)?;
    let surface = extract(&loaded.field, &loaded.model.domain, args.resolution)?;
    let mesh = surface.mesh;
    if mesh.faces.is_empty() {
        bail!("{}: the field has no surface", args.model.display());
    }
    let cube = UnitCube::from(&loaded.model.domain);
    let unit: Vec<Vec3> = mesh.positions.iter().map(|p| cube.to_unit(*p).as_vec3()).collect();
    let (mut distance, mut normals) = (vec![0.0; unit.len()], vec![Vec3::ZERO; unit.len()]);
    loaded.field.distance_gradient(&unit, &mut distance, &mut normals);
    normals.iter_mut().for_each(|n| *n = n.normalize_or_zero());
    write_mesh(&args.output, &mesh, Some(&normals), None)?;
    println!(
        "wrote {}: {} vertices, {} faces ({} evaluations for {} lattice points)",
        args.output.display(),
        mesh.positions.len(),
        mesh.faces.len(),
        surface.evaluations,
        surface.lattice_points
    );
    Ok(())
}
