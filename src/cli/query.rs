//! `nstr query`: values of a model at points of a .npy file.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use glam::{DVec3, Vec3};
use npyz::{NpyFile, WriterBuilder};
use nstr::field::radiance::NeuralRadiance;
use nstr::field::sdf::NeuralSdf;
use nstr::render::volume::RadianceSource;
use nstr::render::{SdfSource, UnitCube};

use super::load::{self, Loaded, LoadedSignal};
use super::output::check_file;

/// Arguments of `nstr query`.
#[derive(Args)]
pub struct QueryArgs {
    /// Model to evaluate
    model: PathBuf,
    /// Points in world units: a .npy array [N, 3] of f32 or f64. Radiance fields also take [N, 6]: points and the unit
    /// directions that they are seen along, away from the eye. Of a picture [N, 2], of a sound [N, 1], from 0 to 1
    points: PathBuf,
    /// Values to write, a .npy array of f32: signed distances in world units (inside is negative) or densities per world
    /// unit [N]; for points with directions red, green, blue (sRGB values) and density [N, 4]; of a picture or a sound the
    /// values of its channels
    #[arg(short, long, value_name = "NPY")]
    output: PathBuf,
    /// Write [N, 4]: the value and its gradient
    #[arg(long)]
    gradients: bool,
}

/// Runs `nstr query`.
pub fn run(args: &QueryArgs) -> anyhow::Result<()> {
    check_file(&args.output, "the values' name", &["npy"])?;
    let loaded = load::any(&args.model)?;
    if let Loaded::Signal(signal) = &loaded {
        return samples(args, signal);
    }
    let (points, directions) = read_points(&args.points)?;
    let cube = match &loaded {
        Loaded::Sdf(m) => UnitCube::from(&m.model.domain),
        Loaded::Radiance(m) => UnitCube::from(&m.model.domain),
        Loaded::Signal(m) => UnitCube::from(&m.model.domain),
    };
    let unit: Vec<Vec3> = points.iter().map(|p| cube.to_unit(*p).as_vec3()).collect();
    let outside = unit.iter().filter(|p| p.cmplt(Vec3::ZERO).any() || p.cmpgt(Vec3::ONE).any()).count();
    if outside > 0 {
        eprintln!("note: {outside} of {} points lie outside the model's cube, where it was not trained", unit.len());
    }
    let (values, columns) = match (&loaded, directions) {
        (Loaded::Sdf(_), Some(_)) => bail!(
            "{}: directions are for radiance fields; the points of a signed distance field are [N, 3]",
            args.points.display()
        ),
        (Loaded::Sdf(m), None) => distances(&m.field, &unit, cube.size as f32, args.gradients),
        (Loaded::Radiance(_), Some(_)) if args.gradients => {
            bail!("--gradients: give points without directions, a .npy array [N, 3]")
        }
        (Loaded::Radiance(m), directions) => radiance(&m.field, &unit, directions, cube.size as f32, args.gradients),
        // Answered above.
        (Loaded::Signal(_), _) => (Vec::new(), 1),
    };
    write(args, values, unit.len(), columns)
}

/// Writes `[N]`, or `[N, columns]` of more than one.
fn write(args: &QueryArgs, values: Vec<f32>, points: usize, columns: u64) -> anyhow::Result<()> {
    let shape: Vec<u64> = [points as u64].into_iter().chain((columns > 1).then_some(columns)).collect();
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    nstr::atomic::write(&args.output, &bytes).with_context(|| args.output.display().to_string())?;
    println!("wrote {}: {points} points", args.output.display());
    Ok(())
}

/// Values of a picture or a sound at points of its unit square or interval.
fn samples(args: &QueryArgs, loaded: &LoadedSignal) -> anyhow::Result<()> {
    let dim = loaded.field.spec().dim;
    if args.gradients {
        bail!("--gradients is for signed distances and densities");
    }
    let (flat, columns) = read_array(&args.points)?;
    if columns != dim {
        bail!("{}: points of {columns} coordinates; this model's have {dim}, from 0 to 1", args.points.display());
    }
    let codec = loaded.info.codec();
    let x: Vec<f32> = flat.iter().map(|v| *v as f32).collect();
    let values = loaded.field.at(&x).into_iter().map(|v| codec.decode(v)).collect();
    write(args, values, x.len() / dim, loaded.field.spec().outputs as u64)
}

/// Signed distances in world units, with their gradients if asked for; values and columns of a row.
fn distances(field: &NeuralSdf, unit: &[Vec3], size: f32, gradients: bool) -> (Vec<f32>, u64) {
    let mut distance = vec![0.0; unit.len()];
    if gradients {
        let mut gradient = vec![Vec3::ZERO; unit.len()];
        field.distance_gradient(unit, &mut distance, &mut gradient);
        let rows = distance.iter().zip(&gradient).flat_map(|(d, g)| [d * size, g.x, g.y, g.z]);
        return (rows.collect(), 4);
    }
    field.distance_parallel(unit, &mut distance);
    distance.iter_mut().for_each(|d| *d *= size);
    (distance, 1)
}

/// Densities per world unit, with their gradients if asked for, or colours with them; values and columns of a row.
fn radiance(
    field: &NeuralRadiance,
    unit: &[Vec3],
    directions: Option<Vec<Vec3>>,
    size: f32,
    gradients: bool,
) -> (Vec<f32>, u64) {
    if let Some(directions) = directions {
        let mut out = vec![[0.0; 4]; unit.len()];
        field.radiance(unit, &directions, &mut out);
        return (out.iter().flat_map(|[r, g, b, s]| [*r, *g, *b, s / size]).collect(), 4);
    }
    let mut density = vec![0.0; unit.len()];
    if gradients {
        let mut gradient = vec![Vec3::ZERO; unit.len()];
        field.density_gradient(unit, &mut density, &mut gradient);
        let per = size * size;
        return (
            density.iter().zip(&gradient).flat_map(|(d, g)| [d / size, g.x / per, g.y / per, g.z / per]).collect(),
            4,
        );
    }
    field.density(unit, &mut density);
    (density.iter().map(|d| d / size).collect(), 1)
}

/// Points, and directions where the file has them.
fn read_points(path: &Path) -> anyhow::Result<(Vec<DVec3>, Option<Vec<Vec3>>)> {
    let (flat, columns) = read_array(path)?;
    if columns != 3 && columns != 6 {
        bail!("{}: rows of {columns}; points are [N, 3], with directions [N, 6]", path.display());
    }
    let rows = flat.chunks_exact(columns);
    let points = rows.clone().map(|row| DVec3::from_slice(&row[..3])).collect();
    let direction = |row: &[f64]| DVec3::from_slice(&row[3..]).normalize_or_zero().as_vec3();
    Ok((points, (columns == 6).then(|| rows.map(direction).collect())))
}

/// The finite numbers of an array of rows, and the length of a row.
fn read_array(path: &Path) -> anyhow::Result<(Vec<f64>, usize)> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(name)?;
    let file = NpyFile::new(&bytes[..]).with_context(|| format!("{}: not a .npy file", path.display()))?;
    let shape = file.shape().to_vec();
    let [_, columns @ 1..=64] = *shape.as_slice() else {
        bail!(
            "{}: an array of shape {shape:?}; points are rows: [N, 3], with directions [N, 6], of pictures [N, 2], of \
             sounds [N, 1]",
            path.display()
        );
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
    Ok((flat, columns as usize))
}
