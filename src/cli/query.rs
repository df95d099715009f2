//! `nstr query`: values of a model at the points of a .npy file.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use glam::{DVec3, Vec3};
use npyz::{NpyFile, WriterBuilder};
use nstr_pipeline::{Field, SignalModel};
use nstr_space::SceneMap;

use super::output::Outputs;
use super::terminal::{stderr, stdout};

const EXAMPLES: &str = "\
Examples:
  nstr query chair.safetensors points.npy -o distances.npy
  nstr query scene.safetensors points.npy -o densities.npy --gradients";

/// Arguments of `nstr query`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
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
    Outputs::of([&args.model, &args.points]).file(&args.output, "the values' name", &["npy"])?;
    let mut field = Field::load(&args.model)?;
    if let Field::Signal(signal) = &field {
        return samples(args, signal);
    }
    let Points { mut points, directions, rounding } = Points::read(&args.points)?;
    let (map, cube) = (field.model().map, field.model().cube());
    if rounding > MOST_ROUNDING * cube.size {
        stderr!(
            "note: {}: its float32 points are rounded by up to {rounding:.3e}; save them as float64",
            args.points.display()
        );
    }
    let is_outside = |p: &&DVec3| {
        let unit = map.to_unit(**p).as_vec3();
        !(unit.cmpge(Vec3::ZERO).all() && unit.cmple(Vec3::ONE).all())
    };
    let outside = points.iter().filter(is_outside).count();
    if outside > 0 {
        stderr!(
            "note: {outside} of {} points lie outside of what the model covers, where it was not trained",
            points.len()
        );
    }
    let with_gradient = |(values, gradients): (Vec<f32>, Vec<Vec3>)| {
        let rows = values.iter().zip(&gradients).flat_map(|(v, g)| [*v, g.x, g.y, g.z]);
        (rows.collect(), 4)
    };
    // The field is asked in units of its cube where 32-bit floats would not hold its values in world units.
    let unit = if ORDINARY.contains(&cube.size) || !map.is_box() { None } else { Some(cube.size) };
    if unit.is_some() {
        points.iter_mut().for_each(|p| *p = cube.to_unit(*p));
        let map = match &mut field {
            Field::Sdf(field) => &mut field.model.map,
            Field::Radiance(field) => &mut field.model.map,
            Field::Signal(field) => &mut field.model.map,
        };
        *map = SceneMap::default();
    }
    let is_distance = matches!(field, Field::Sdf(_));
    let has_directions = directions.is_some();
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
    let Some(size) = unit else { return write(args, values, points.len(), columns) };
    stderr!("note: the values are float64: 32-bit floats do not hold those of a cube of edge {size:e}");
    let factors = world_factors(is_distance, has_directions, size);
    let values = values.iter().enumerate().map(|(i, v)| f64::from(*v) * factors[i % columns as usize]).collect();
    write::<f64>(args, values, points.len(), columns)
}

/// Edges of cubes whose values 32-bit floats hold in world units.
const ORDINARY: std::ops::Range<f64> = 1e-30..1e30;
/// Rounding of points, in edges of the cube, that gets a note.
const MOST_ROUNDING: f64 = 1e-6;

/// Factors of the columns from units of the cube to those of the world.
fn world_factors(is_distance: bool, has_directions: bool, size: f64) -> [f64; 4] {
    match (is_distance, has_directions) {
        // A distance and its gradient.
        (true, _) => [size, 1.0, 1.0, 1.0],
        // A colour and the density.
        (false, true) => [1.0, 1.0, 1.0, 1.0 / size],
        // A density and its gradient.
        (false, false) => [1.0 / size, 1.0 / size / size, 1.0 / size / size, 1.0 / size / size],
    }
}

/// Writes `[N]`, or `[N, columns]` of more than one.
fn write<T: npyz::AutoSerialize>(args: &QueryArgs, values: Vec<T>, points: usize, columns: u64) -> anyhow::Result<()> {
    let shape: Vec<u64> = [points as u64].into_iter().chain((columns > 1).then_some(columns)).collect();
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    nstr_files::write(&args.output, &bytes).with_context(|| args.output.display().to_string())?;
    stdout!("wrote {}: {points} points", args.output.display());
    Ok(())
}

/// Values of a picture or a sound at points of its unit square or interval.
fn samples(args: &QueryArgs, model: &SignalModel) -> anyhow::Result<()> {
    let dim = model.field.spec().dim;
    if args.gradients {
        bail!("--gradients is for signed distances and densities");
    }
    let Array { values, columns, .. } = Array::read(&args.points)?;
    if columns != dim {
        bail!("{}: points of {columns} coordinates; this model's have {dim}, from 0 to 1", args.points.display());
    }
    let x: Vec<f32> = values.iter().map(|v| *v as f32).collect();
    write(args, model.values(&x), x.len() / dim, model.field.spec().outputs as u64)
}

/// Points and directions of a table, for its fuzzer.
///
/// # Errors
/// Files that are no table of points.
#[doc(hidden)]
pub fn read_points(path: &Path) -> anyhow::Result<(Vec<DVec3>, Option<Vec<Vec3>>)> {
    Points::read(path).map(|read| (read.points, read.directions))
}

/// Points in world units, and directions where the file has them.
struct Points {
    points: Vec<DVec3>,
    directions: Option<Vec<Vec3>>,
    /// Largest rounding of a coordinate, in world units: 0 for float64.
    rounding: f64,
}

impl Points {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let Array { values, columns, is_single } = Array::read(path)?;
        if columns != 3 && columns != 6 {
            bail!("{}: rows of {columns}; points are [N, 3], with directions [N, 6]", path.display());
        }
        let rows = values.chunks_exact(columns);
        let points: Vec<DVec3> = rows.clone().map(|row| DVec3::from_slice(&row[..3])).collect();
        let direction = |row: &[f64]| DVec3::from_slice(&row[3..]).normalize_or_zero().as_vec3();
        let largest = points.iter().map(|p| p.abs().max_element()).fold(0.0, f64::max);
        let rounding = if is_single { largest * f64::from(f32::EPSILON) * 0.5 } else { 0.0 };
        Ok(Self { directions: (columns == 6).then(|| rows.map(direction).collect()), points, rounding })
    }
}

/// The finite numbers of an array of rows.
struct Array {
    values: Vec<f64>,
    /// Length of a row, 1 to 64.
    columns: usize,
    /// The numbers are stored in 32 bits.
    is_single: bool,
}

impl Array {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = nstr_files::read(path).with_context(|| path.display().to_string())?;
        Self::parse(&bytes, path)
    }

    fn parse(bytes: &[u8], path: &Path) -> anyhow::Result<Self> {
        let name = || path.display().to_string();
        nstr_files::check_npy_header(bytes).map_err(|e| anyhow!("{}: {e}", path.display()))?;
        let file = NpyFile::new(bytes)
            .map_err(|e| anyhow!("{}: not a .npy file: {}", path.display(), nstr_files::shorten(&e.to_string())))?;
        let shape = file.shape().to_vec();
        let [rows, columns @ 1..=64] = *shape.as_slice() else {
            let shape = nstr_files::excerpt(&format!("{shape:?}"));
            bail!(
                "{}: an array of shape {shape}; points are rows: [N, 3], with directions [N, 6], of pictures [N, 2], of \
                 sounds [N, 1]",
                path.display()
            );
        };
        // Each number takes at least four bytes.
        if rows.checked_mul(columns * 4).is_none_or(|least| least > bytes.len() as u64) {
            bail!("{}: truncated: it claims {rows} rows of {columns}; save it again", path.display());
        }
        if file.order() != npyz::Order::C {
            bail!("{}: stored column by column; save it with numpy.ascontiguousarray", path.display());
        }
        let (values, is_single): (Vec<f64>, bool) = match file.try_data::<f64>() {
            Ok(data) => (data.collect::<Result<_, _>>().with_context(name)?, false),
            Err(file) => match file.try_data::<f32>() {
                Ok(data) => (data.map(|v| v.map(f64::from)).collect::<Result<_, _>>().with_context(name)?, true),
                Err(file) => {
                    let kind = nstr_files::excerpt(&file.dtype().descr());
                    bail!("{}: of type {kind}; points are float32 or float64", path.display())
                }
            },
        };
        if values.iter().any(|v| !v.is_finite()) {
            bail!("{}: holds numbers that are not finite", path.display());
        }
        Ok(Self { values, columns: columns as usize, is_single })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy<T: npyz::AutoSerialize + Copy>(shape: &[u64], values: &[T]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd().unwrap();
        writer.extend(values.iter().copied()).unwrap();
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn points_keep_their_precision() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.npy");
        let utm = [512_345.678, 5_412_345.678, 321.5];
        std::fs::write(&path, npy::<f64>(&[1, 3], &utm)).unwrap();
        let read = Points::read(&path).unwrap();
        assert_eq!((read.points[0].to_array(), read.rounding, read.directions), (utm, 0.0, None));
        std::fs::write(&path, npy::<f32>(&[1, 3], &utm.map(|v| v as f32))).unwrap();
        let read = Points::read(&path).unwrap();
        let lost = (read.points[0] - DVec3::from_array(utm)).abs().max_element();
        assert!(lost > 0.0 && lost <= read.rounding && read.rounding < 0.5, "{lost} {}", read.rounding);
    }

    #[test]
    fn claims_beyond_the_file_are_refused() {
        let whole = npy::<f64>(&[2, 3], &[1.0; 6]);
        let parse = |bytes: &[u8]| Array::parse(bytes, Path::new("p.npy"));
        assert_eq!(parse(&whole).map(|a| a.values.len()).unwrap(), 6);
        let place = whole.windows(4).position(|bytes| bytes == b"2, 3").unwrap();
        let mut lying = whole.clone();
        lying[place..place + 4].copy_from_slice(b"9, 9");
        assert!(parse(&lying).err().unwrap().to_string().contains("truncated"));
        assert!(parse(&whole[..whole.len() - 4]).is_err());
    }

    #[test]
    fn factors_of_the_columns() {
        assert_eq!(world_factors(true, false, 4.0), [4.0, 1.0, 1.0, 1.0]);
        assert_eq!(world_factors(false, true, 4.0), [1.0, 1.0, 1.0, 0.25]);
        assert_eq!(world_factors(false, false, 4.0), [0.25, 0.0625, 0.0625, 0.0625]);
    }
}
