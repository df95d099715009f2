//! `nstr query`: values of a model at the points of a .npy file.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use glam::{DVec3, Vec3};
use npyz::{NpyFile, WriterBuilder};
use nstr_pipeline::{Field, SignalModel};

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
    let field = Field::load(&args.model)?;
    if let Field::Signal(signal) = &field {
        return samples(args, signal);
    }
    let (points, directions) = read_points(&args.points)?;
    let cube = field.model().cube;
    let is_outside = |p: &&DVec3| {
        let unit = cube.to_unit(**p).as_vec3();
        unit.cmplt(Vec3::ZERO).any() || unit.cmpgt(Vec3::ONE).any()
    };
    let outside = points.iter().filter(is_outside).count();
    if outside > 0 {
        eprintln!("note: {outside} of {} points lie outside the model's cube, where it was not trained", points.len());
    }
    let with_gradient = |(values, gradients): (Vec<f32>, Vec<Vec3>)| {
        let rows = values.iter().zip(&gradients).flat_map(|(v, g)| [*v, g.x, g.y, g.z]);
        (rows.collect(), 4)
    };
    let (values, columns) = match (&field, directions) {
        (Field::Sdf(_), Some(_)) => bail!(
            "{}: directions are for radiance fields; the points of a signed distance field are [N, 3]",
            args.points.display()
        ),
        (Field::Sdf(model), None) if args.gradients => with_gradient(model.distance_gradient(&points)),
        (Field::Sdf(model), None) => (model.distance(&points), 1),
        (Field::Radiance(_), Some(_)) if args.gradients => {
            bail!("--gradients: give points without directions, a .npy array [N, 3]")
        }
        (Field::Radiance(model), Some(directions)) => (model.radiance(&points, &directions).into_flattened(), 4),
        (Field::Radiance(model), None) if args.gradients => with_gradient(model.density_gradient(&points)),
        (Field::Radiance(model), None) => (model.density(&points), 1),
        // Answered above.
        (Field::Signal(_), _) => (Vec::new(), 1),
    };
    write(args, values, points.len(), columns)
}

/// Writes `[N]`, or `[N, columns]` of more than one.
fn write(args: &QueryArgs, values: Vec<f32>, points: usize, columns: u64) -> anyhow::Result<()> {
    let shape: Vec<u64> = [points as u64].into_iter().chain((columns > 1).then_some(columns)).collect();
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    nstr_files::write(&args.output, &bytes).with_context(|| args.output.display().to_string())?;
    println!("wrote {}: {points} points", args.output.display());
    Ok(())
}

/// Values of a picture or a sound at points of its unit square or interval.
fn samples(args: &QueryArgs, model: &SignalModel) -> anyhow::Result<()> {
    let dim = model.field.spec().dim;
    if args.gradients {
        bail!("--gradients is for signed distances and densities");
    }
    let (flat, columns) = read_array(&args.points)?;
    if columns != dim {
        bail!("{}: points of {columns} coordinates; this model's have {dim}, from 0 to 1", args.points.display());
    }
    let x: Vec<f32> = flat.iter().map(|v| *v as f32).collect();
    write(args, model.values(&x), x.len() / dim, model.field.spec().outputs as u64)
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
