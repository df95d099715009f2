//! `nstr query`: values of a model at points of a .npy file.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use glam::{DVec3, Vec3};
use npyz::{NpyFile, WriterBuilder};
use nstr::render::{SdfSource, UnitCube};

use super::load;

/// Arguments of `nstr query`.
#[derive(Args)]
pub struct QueryArgs {
    /// Model to evaluate
    model: PathBuf,
    /// Points in world units: a .npy array [N, 3] of f32 or f64
    points: PathBuf,
    /// Values to write: a .npy array [N] of f32, signed distances in world units (inside is negative)
    #[arg(short, long, value_name = "NPY")]
    output: PathBuf,
    /// Write [N, 4]: the distance and its gradient
    #[arg(long)]
    gradients: bool,
}

/// Runs `nstr query`.
pub fn run(args: &QueryArgs) -> anyhow::Result<()> {
    let loaded = load::model(&args.model)?;
    let points = read_points(&args.points)?;
    let cube = UnitCube::from(&loaded.model.domain);
    let size = cube.size as f32;
    let unit: Vec<Vec3> = points.iter().map(|p| cube.to_unit(*p).as_vec3()).collect();
    let outside = unit.iter().filter(|p| p.cmplt(Vec3::ZERO).any() || p.cmpgt(Vec3::ONE).any()).count();
    if outside > 0 {
        eprintln!("note: {outside} of {} points lie outside the model's cube, where it was not trained", unit.len());
    }
    let mut distance = vec![0.0; unit.len()];
    let (values, shape) = if args.gradients {
        let mut gradient = vec![Vec3::ZERO; unit.len()];
        loaded.field.distance_gradient(&unit, &mut distance, &mut gradient);
        let rows = distance.iter().zip(&gradient).flat_map(|(d, g)| [d * size, g.x, g.y, g.z]);
        (rows.collect::<Vec<f32>>(), vec![unit.len() as u64, 4])
    } else {
        loaded.field.distance_parallel(&unit, &mut distance);
        distance.iter_mut().for_each(|d| *d *= size);
        (distance, vec![unit.len() as u64])
    };
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    nstr::atomic::write(&args.output, &bytes).with_context(|| args.output.display().to_string())?;
    println!("wrote {}: {} points", args.output.display(), points.len());
    Ok(())
}

fn read_points(path: &Path) -> anyhow::Result<Vec<DVec3>> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(name)?;
    let file = NpyFile::new(&bytes[..]).with_context(|| format!("{}: not a .npy file", path.display()))?;
    let shape = file.shape().to_vec();
    let [_, 3] = shape.as_slice() else {
        bail!("{}: an array of shape {shape:?}; points are [N, 3]", path.display());
    };
    if file.order() != npyz::Order::C {
        bail!("{}: stored column by column; save it with numpy.ascontiguousarray", path.display());
    }
    let flat: Vec<f64> = match file.try_data::<f64>() {
        Ok(data) => data.collect::<Result<_, _>>().with_context(name)?,
        Err(file) => match file.try_data::<f32>() {
            Ok(data) => data.map(|v| v.map(f64::from)).collect::<Result<_, _>>().with_context(name)?,
            Err(file) => {
                bail!("{}: of type {}; points are float32 or float64", path.display(), file.dtype().descr())
            }
        },
    };
    if flat.iter().any(|v| !v.is_finite()) {
        bail!("{}: holds numbers that are not finite", path.display());
    }
    Ok(flat.chunks_exact(3).map(DVec3::from_slice).collect())
}
