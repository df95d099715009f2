//! The model file: `.safetensors` with the parameters by name and everything else in the header; or `.nstr`, a compact file
//! ([`compact`]). Which of them a file is, its first bytes tell.
//!
//! Tensors: `latent.{l}.features` `[entries, features]` for every level, then the tensors of [`FieldSpec::net_tensors`];
//! f32, or f16 in half the space (the basis, whose frequencies bear no rounding, always f32). The header's metadata has
//! one key, `nstr`, whose text is JSON: `version`, `spec`, `config`, `domain`, `provenance`, `metrics` and, in
//! checkpoints, `state`. One key, because the format does not order keys and equal models should be equal files. A
//! radiance field adds `occupancy`: the bits of its occupied cells as a zlib stream of bytes (see
//! [`Occupancy::to_bytes`]), their number along an axis in the header. A checkpoint adds the optimiser's moments
//! `adam.{grid,net}.{m,v}` and the arrays of the task, `task.{name}`; it loads as a model too. Tensors of other names are
//! left alone.
//!
//! A file may come from anywhere. Its lengths are checked against each other and against limits before memory is reserved,
//! and no more is reserved than a small multiple of its own size.

pub mod compact;
mod read_entries;
mod runs;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use glam::{DMat3, DVec2, DVec3};
use half::f16;
use nstr_codec::CodecError;
use nstr_files::{excerpt, shorten};
use nstr_space::occupancy::Occupancy;
use nstr_space::{Cube, Frustum, SceneMap};
use nstr_spec::FieldSpec;
use nstr_spec::config;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use thiserror::Error;

/// Version that this crate writes; it reads no other.
pub const FORMAT_VERSION: u32 = 1;

/// Bytes of a file's header at most; those of models have some thousands.
const MAX_HEADER: u64 = 1 << 22;
/// Bytes of a file at most: a checkpoint of [`config::MAX_PARAMETERS`] parameters with moments, averages and densities fits.
const MAX_FILE: u64 = 1 << 33;
/// Bytes before the header, which hold its length; as many tell a compact file.
const LENGTH: usize = 8;
/// Endings of model files, without the dot: the parameters as they are, and the compact format.
pub const ENDINGS: [&str; 2] = ["safetensors", COMPACT_ENDING];
/// Ending of compact model files, without the dot.
pub const COMPACT_ENDING: &str = "nstr";

/// `true` for a name that ends as those of model files do.
pub fn is_model_name(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// `true` for a name that ends as those of compact model files do.
pub fn is_compact_name(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(COMPACT_ENDING))
}

/// [`Model::map`] and [`Model::units`] as the header keeps them.
#[derive(Serialize, Deserialize)]
struct Domain {
    /// Lowest corner of the cube; of a box the world position of `x = 0`.
    origin: [f64; 3],
    /// Edge of the cube in world units; values of a distance field are multiplied by it.
    size: f64,
    /// Map from the world to the unit cube; absent for a box: `world = origin + size · x`.
    #[serde(default, skip_serializing_if = "MapHeader::is_box")]
    map: MapHeader,
    /// Name of the world's unit, where known.
    #[serde(default)]
    units: String,
}

/// Kind of a [`SceneMap`], with what the cube does not tell.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum MapHeader {
    /// The cube.
    #[default]
    Box,
    /// The cube, and the world contracted around it.
    Open,
    /// A frustum; the cube only frames it.
    Forward {
        /// World position of the apex.
        eye: [f64; 3],
        /// Axes in the world: right, down, ahead.
        axes: [[f64; 3]; 3],
        /// Bounds of x/z and y/z.
        low: [f64; 2],
        /// Bounds of x/z and y/z.
        high: [f64; 2],
        /// Distance of the near plane.
        near: f64,
    },
}

impl MapHeader {
    fn is_box(&self) -> bool {
        matches!(self, Self::Box)
    }
}

impl Domain {
    fn new(map: &SceneMap, units: &str) -> Self {
        let cube = map.cube();
        let header = match map {
            SceneMap::Box(_) => MapHeader::Box,
            SceneMap::Open(_) => MapHeader::Open,
            SceneMap::Forward(Frustum { eye, axes, low, high, near }) => MapHeader::Forward {
                eye: eye.to_array(),
                axes: axes.to_cols_array_2d(),
                low: low.to_array(),
                high: high.to_array(),
                near: *near,
            },
        };
        Self { origin: cube.origin.to_array(), size: cube.size, map: header, units: units.to_string() }
    }

    fn map(&self) -> SceneMap {
        let cube = Cube { origin: DVec3::from(self.origin), size: self.size };
        match self.map {
            MapHeader::Box => SceneMap::Box(cube),
            MapHeader::Open => SceneMap::Open(cube),
            MapHeader::Forward { eye, axes, low, high, near } => SceneMap::Forward(Frustum {
                eye: eye.into(),
                axes: DMat3::from_cols_array_2d(&axes),
                low: DVec2::from(low),
                high: DVec2::from(high),
                near,
            }),
        }
    }
}

/// A fitted field.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Its shape.
    pub spec: FieldSpec,
    /// Map from the world to its unit cube; a box for all but radiance fields. Values of a distance field are multiplied by the
    /// size of the cube.
    pub map: SceneMap,
    /// Name of the world's unit, where known.
    pub units: String,
    /// Latent features, [`FieldSpec::grid_len`] of them.
    pub grid: Vec<f32>,
    /// Basis and networks, [`FieldSpec::net_len`] values.
    pub net: Vec<f32>,
    /// The whole configuration of the fit, as JSON.
    pub config: Value,
    /// Origin: input, program version, date, host, …
    pub provenance: BTreeMap<String, String>,
    /// Measured numbers: `fit_seconds`, `steps`, losses, …
    pub metrics: BTreeMap<String, f64>,
    /// Cells that may hold matter; for radiance fields.
    pub occupancy: Option<Occupancy>,
}

/// A fit in progress.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The parameters so far.
    pub model: Model,
    /// First and second moment of the grid's gradient.
    pub grid_moments: [Vec<f32>; 2],
    /// First and second moment of the nets' gradient.
    pub net_moments: [Vec<f32>; 2],
    /// The trainer's own state (step, sampler, schedule, …).
    pub state: Value,
    /// Further arrays of the task, by name.
    pub arrays: BTreeMap<String, Vec<f32>>,
}

/// Type of the parameters in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 4 bytes a parameter, exact.
    #[default]
    F32,
    /// 2 bytes a parameter, rounded to 11 bits; the basis in 4, exact.
    F16,
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "f16" => Ok(Self::F16),
            "f32" => Ok(Self::F32),
            _ => Err("must be f16 or f32".into()),
        }
    }
}

/// A model file that can't be read or written.
#[derive(Debug, Error)]
#[error("{path}: {kind}", path = .path.display())]
pub struct ModelError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    #[source]
    pub kind: ModelErrorKind,
}

/// Reason why a model file can't be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelErrorKind {
    /// The file system refused.
    #[error("cannot {action}: {source}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Not a safetensors file, or a damaged one.
    #[error("not a whole .safetensors file ({0}); fit or copy it again")]
    Format(String),
    /// A file or header that is larger than that of any model.
    #[error("{part} of {bytes} bytes, where a model has at most {most}: not a model of this program")]
    TooLarge {
        /// `file` or `header`.
        part: &'static str,
        /// Its length.
        bytes: u64,
        /// Largest length.
        most: u64,
    },
    /// A safetensors file of something else.
    #[error("the header has no `nstr` entry: not a model of this program")]
    Foreign,
    /// Of another version.
    #[error(
        "written in format version {found}, but this program reads version {FORMAT_VERSION}; use the program it was written with"
    )]
    Version {
        /// The file's version.
        found: u64,
    },
    /// Metadata that can't be understood.
    #[error("the header's `{field}` is invalid: {reason}")]
    Header {
        /// Which part.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// A tensor is missing, has another shape or type, or holds what it must not.
    #[error("tensor `{}`: {found}; expected {shape:?} of F32 or F16, all finite", excerpt(name))]
    Tensor {
        /// The tensor.
        name: String,
        /// Description of the tensor in the file.
        found: String,
        /// The shape that the spec asks for.
        shape: Vec<usize>,
    },
    /// Not a compact file, or a damaged one.
    #[error("not a whole .nstr file ({0}); convert or copy it again")]
    Compact(CodecError),
    /// A compact file of another version.
    #[error(
        "written in compact format version {found}, but this program reads version {}; use the program it was written with",
        nstr_codec::container::VERSION
    )]
    CompactVersion {
        /// The file's version.
        found: u16,
    },
    /// A compact file that is too short for the model that it claims.
    #[error(
        "a model of {values} values, where a compact file of {bytes} bytes may have {most}; keep large models as .safetensors"
    )]
    Claim {
        /// Values of the model's shape.
        values: usize,
        /// Length of the file.
        bytes: usize,
        /// Most values of such a file.
        most: usize,
    },
    /// A model without optimiser state where a checkpoint is needed.
    #[error("a finished model, not a checkpoint: it cannot be resumed")]
    NotACheckpoint,
}

/// The text of the metadata.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    spec: FieldSpec,
    domain: Domain,
    #[serde(default)]
    config: Value,
    #[serde(default)]
    provenance: BTreeMap<String, String>,
    /// `null` for what is no finite number.
    #[serde(default)]
    metrics: BTreeMap<String, Option<f64>>,
    /// Cells along an axis of `occupancy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    occupancy_cells: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<Value>,
}

impl Header {
    /// The model of this header.
    fn into_model(self, grid: Vec<f32>, net: Vec<f32>, occupancy: Option<Occupancy>) -> Model {
        let Self { spec, domain, config, provenance, metrics, .. } = self;
        let metrics = metrics.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let map = domain.map();
        Model { spec, map, units: domain.units, grid, net, config, provenance, metrics, occupancy }
    }
}

/// Reads the text of the metadata.
fn parse_header(text: &str) -> Result<Header, ModelErrorKind> {
    let wrong = |e: serde_json::Error| ModelErrorKind::Header { field: "nstr", reason: shorten(&e.to_string()) };
    let tree: Value = serde_json::from_str(text).map_err(wrong)?;
    // The version first: another one may lay out the rest differently.
    let found = tree.get("version").and_then(Value::as_u64).unwrap_or(0);
    if found != u64::from(FORMAT_VERSION) {
        return Err(ModelErrorKind::Version { found });
    }
    let header: Header = serde_json::from_value(tree).map_err(wrong)?;
    config::validate(&header.spec).map_err(|e| ModelErrorKind::Header { field: "spec", reason: e.to_string() })?;
    check_map(&header.domain.map(), &header.spec)?;
    Ok(header)
}

/// The text of the metadata of a model, or of a checkpoint with `state`.
fn header_text(model: &Model, state: Option<Value>) -> Result<String, ModelErrorKind> {
    // A map or metric that is not finite would be written as `null`.
    check_map(&model.map, &model.spec)?;
    let header = Header {
        version: FORMAT_VERSION,
        spec: model.spec.clone(),
        domain: Domain::new(&model.map, &model.units),
        config: model.config.clone(),
        provenance: model.provenance.clone(),
        metrics: model.metrics.iter().filter(|m| m.1.is_finite()).map(|(n, v)| (n.clone(), Some(*v))).collect(),
        occupancy_cells: model.occupancy.as_ref().map(Occupancy::cells),
        state,
    };
    serde_json::to_string(&header).map_err(|e| ModelErrorKind::Header { field: "nstr", reason: e.to_string() })
}

/// Checks that the map can be inverted, and that its cube has an inside and corners.
fn check_map(map: &SceneMap, spec: &FieldSpec) -> Result<(), ModelErrorKind> {
    if !map.is_box() && spec.color_head.is_none() {
        let reason = format!("map: {}: only radiance fields have one; must be absent", map.name());
        return Err(ModelErrorKind::Header { field: "domain", reason });
    }
    if let (SceneMap::Forward(frustum), false) = (map, map.is_valid()) {
        let Frustum { eye, axes, low, high, near } = frustum;
        let reason = format!(
            "map: forward: eye {:?}, axes {:?}, low {:?}, high {:?}, near {near:?}: must be finite, axes orthonormal and \
             right-handed, low below high, near above 0",
            eye.to_array(),
            axes.to_cols_array_2d(),
            low.to_array(),
            high.to_array()
        );
        return Err(ModelErrorKind::Header { field: "domain", reason });
    }
    let cube = map.cube();
    if map.is_valid() && cube.bounds().1.is_finite() && cube.size.recip().is_finite() {
        return Ok(());
    }
    let (origin, size) = (cube.origin.to_array(), cube.size);
    let reason = format!("origin {origin:?}, size {size:?}: must be finite, size above 0");
    Err(ModelErrorKind::Header { field: "domain", reason })
}

/// Name and shape of every tensor of `grid` and where it lies there.
fn grid_tensors(spec: &FieldSpec) -> Vec<(String, Vec<usize>, usize)> {
    let (offsets, features) = (spec.latent.offsets(spec.dim), spec.latent.features);
    let name = |l: usize| format!("latent.{l}.features");
    (0..spec.latent.levels.len())
        .map(|l| (name(l), vec![offsets[l + 1] - offsets[l], features], offsets[l] * features))
        .collect()
}

/// Name, shape and values of every tensor of `net`.
fn net_tensors(spec: &FieldSpec) -> Vec<(String, Vec<usize>, usize)> {
    spec.net_tensors().into_iter().map(|slot| (slot.name, slot.shape, slot.offset)).collect()
}

const MOMENTS: [&str; 2] = ["m", "v"];
/// Names of a task's arrays begin with this.
const TASK: &str = "task.";
/// Name of the occupied cells' bits.
const OCCUPANCY: &str = "occupancy";

impl Model {
    /// Cube of the world that the field is defined on, or that its map is detailed in: see [`SceneMap::cube`].
    pub fn cube(&self) -> Cube {
        self.map.cube()
    }

    /// The model as it is after being written in `precision` and read back: the rounded numbers.
    ///
    /// # Errors
    /// Parameters of the wrong number, or that `precision` cannot hold.
    pub fn rounded(&self, precision: Precision) -> Result<Self, ModelError> {
        let mut file = Writer::default();
        let mut round = || {
            file.parameters(self, precision)?;
            let bytes = file.serialize(self, None)?;
            Reader::new(&bytes).and_then(|(reader, header)| reader.model(header))
        };
        round().map_err(at(Path::new("model")))
    }

    /// Writes the model; whatever was at `path` stays until the new file is complete and on disk.
    ///
    /// # Errors
    /// [`ModelError`] for parameters of the wrong number or that `precision` cannot hold, or where the file can't be written.
    pub fn save(&self, path: impl AsRef<Path>, precision: Precision) -> Result<(), ModelError> {
        let mut file = Writer::default();
        file.parameters(self, precision)
            .and_then(|()| file.finish(self, None, path.as_ref()))
            .map_err(at(path.as_ref()))
    }

    /// Reads a model of either format, or the model in a checkpoint.
    ///
    /// # Errors
    /// [`ModelError`] for a file that can't be read, is not a whole model of this version, is larger than any, or holds values
    /// that are not finite.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        read(path).and_then(|bytes| Self::parse(&bytes)).map_err(at(path))
    }

    /// The model in the bytes of a file of either format.
    fn parse(bytes: &[u8]) -> Result<Self, ModelErrorKind> {
        if compact::is_compact(bytes) {
            return compact::parse(bytes);
        }
        Reader::new(bytes).and_then(|(reader, header)| reader.model(header))
    }
}

impl Checkpoint {
    /// Writes the checkpoint, always in f32, as [`Model::save`] does.
    ///
    /// # Errors
    /// As [`Model::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), ModelError> {
        let path = path.as_ref();
        let mut file = Writer::default();
        let mut write = || {
            file.parameters(&self.model, Precision::F32)?;
            for (part, moments) in [("grid", &self.grid_moments), ("net", &self.net_moments)] {
                for (which, values) in MOMENTS.iter().zip(moments) {
                    file.tensor(format!("adam.{part}.{which}"), vec![values.len()], values, Precision::F32)?;
                }
            }
            for (name, values) in &self.arrays {
                file.array(format!("{TASK}{name}"), values)?;
            }
            file.finish(&self.model, Some(self.state.clone()), path)
        };
        write().map_err(at(path))
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// As [`Model::load`], and for a finished model.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let load = || {
            let bytes = read(path)?;
            if compact::is_compact(&bytes) {
                return Err(ModelErrorKind::NotACheckpoint);
            }
            let (reader, mut header) = Reader::new(&bytes)?;
            let state = header.state.take().ok_or(ModelErrorKind::NotACheckpoint)?;
            let model = reader.model(header)?;
            let moments = |part: &str, len: usize| -> Result<[Vec<f32>; 2], ModelErrorKind> {
                let read = |which: &str| reader.tensor(&format!("adam.{part}.{which}"), &[len]);
                Ok([read("m")?, read("v")?])
            };
            let (grid_moments, net_moments) = (moments("grid", model.grid.len())?, moments("net", model.net.len())?);
            Ok(Checkpoint { model, grid_moments, net_moments, state, arrays: reader.arrays()? })
        };
        load().map_err(at(path))
    }
}

fn at(path: &Path) -> impl FnOnce(ModelErrorKind) -> ModelError + '_ {
    |kind| ModelError { path: path.into(), kind }
}

fn read(path: &Path) -> Result<Vec<u8>, ModelErrorKind> {
    let io = |source| ModelErrorKind::Io { action: "read", source };
    let about = fs::metadata(path).map_err(io)?;
    if about.is_file() {
        // What is no model is not worth its memory.
        let mut start = Vec::with_capacity(LENGTH);
        fs::File::open(path).and_then(|file| file.take(LENGTH as u64).read_to_end(&mut start)).map_err(io)?;
        match compact::is_compact(&start) {
            true => compact::check_length(about.len())?,
            false => check_lengths(&start, about.len())?,
        }
    }
    nstr_files::read(path).map_err(io)
}

/// Checks the length of a file, and that of its header, which stands in its first bytes.
fn check_lengths(start: &[u8], len: u64) -> Result<(), ModelErrorKind> {
    let Some(header) = start.first_chunk::<LENGTH>().map(|bytes| u64::from_le_bytes(*bytes)) else {
        return Err(ModelErrorKind::Format(format!("it has {len} bytes")));
    };
    if header > len - (LENGTH as u64).min(len) {
        let reason = format!("its header should have {header} bytes, the whole file has {len}");
        return Err(ModelErrorKind::Format(reason));
    }
    for (part, bytes, most) in [("header", header, MAX_HEADER), ("file", len, MAX_FILE)] {
        if bytes > most {
            return Err(ModelErrorKind::TooLarge { part, bytes, most });
        }
    }
    Ok(())
}

/// Names of the entries of a header, each of which is there once: of two tensors of one name readers choose either.
struct DistinctNames;

impl<'de> Deserialize<'de> for DistinctNames {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = DistinctNames;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DistinctNames, A::Error> {
                let mut seen = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    map.next_value::<IgnoredAny>()?;
                    if let Some(name) = seen.replace(name) {
                        return Err(A::Error::custom(format!("tensor `{}` is there twice", excerpt(&name))));
                    }
                }
                Ok(DistinctNames)
            }
        }
        from.deserialize_map(Names)
    }
}

struct Reader<'a> {
    file: SafeTensors<'a>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<(Self, Header), ModelErrorKind> {
        let format = |e: safetensors::SafeTensorError| ModelErrorKind::Format(shorten(&e.to_string()));
        check_lengths(bytes, bytes.len() as u64)?;
        let (length, metadata) = SafeTensors::read_metadata(bytes).map_err(format)?;
        let header = bytes.get(LENGTH..LENGTH + length).unwrap_or_default();
        let twice = |e: serde_json::Error| ModelErrorKind::Format(shorten(&e.to_string()));
        serde_json::from_slice::<DistinctNames>(header).map_err(twice)?;
        let text = metadata.metadata().as_ref().and_then(|m| m.get("nstr")).ok_or(ModelErrorKind::Foreign)?;
        let header = parse_header(text)?;
        let file = SafeTensors::deserialize(bytes).map_err(format)?;
        Ok((Reader { file }, header))
    }

    fn model(&self, header: Header) -> Result<Model, ModelErrorKind> {
        let spec = &header.spec;
        let occupancy = header.occupancy_cells.map(|cells| self.occupancy(cells)).transpose()?;
        let gather = |tensors: Vec<(String, Vec<usize>, usize)>| -> Result<Vec<f32>, ModelErrorKind> {
            let parts: Result<Vec<_>, _> = tensors.iter().map(|(name, shape, _)| self.tensor(name, shape)).collect();
            Ok(parts?.concat())
        };
        let (grid, net) = (gather(grid_tensors(spec))?, gather(net_tensors(spec))?);
        Ok(header.into_model(grid, net, occupancy))
    }

    fn occupancy(&self, cells: usize) -> Result<Occupancy, ModelErrorKind> {
        let wrong = |reason: String| ModelErrorKind::Header { field: OCCUPANCY, reason };
        let view = self.file.tensor(OCCUPANCY).map_err(|_| wrong("the tensor is missing".into()))?;
        Occupancy::from_bytes(cells, view.data()).map_err(|e| wrong(e.to_string()))
    }

    /// The task's arrays.
    fn arrays(&self) -> Result<BTreeMap<String, Vec<f32>>, ModelErrorKind> {
        let names = self.file.names().into_iter().filter_map(|name| Some((name, name.strip_prefix(TASK)?)));
        names
            .map(|(name, short)| {
                let view = self.file.tensor(name).ok();
                let shape = view.as_ref().map_or(Vec::new(), |view| view.shape().to_vec());
                let values = match view.filter(|view| view.dtype() == Dtype::U32) {
                    Some(view) => self.runs(name, &view)?,
                    None => self.tensor(name, &shape)?,
                };
                Ok((short.to_string(), values))
            })
            .collect()
    }

    /// The values of an array that is kept as runs.
    fn runs(&self, name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, ModelErrorKind> {
        let wrong = |found: String| ModelErrorKind::Tensor { name: name.into(), found, shape: view.shape().into() };
        let words = view.data().as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
        let values = runs::decode(words, runs::MAX_VALUES).map_err(wrong)?;
        match values.iter().position(|v| !v.is_finite()) {
            Some(i) => Err(wrong(format!("element {i} is {}", values[i]))),
            None => Ok(values),
        }
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelErrorKind> {
        let wrong = |found: String| ModelErrorKind::Tensor { name: name.into(), found, shape: shape.into() };
        let view = self.file.tensor(name).map_err(|_| wrong("missing".into()))?;
        if view.shape() != shape {
            return Err(wrong(format!("has shape {}", excerpt(&format!("{:?}", view.shape())))));
        }
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => view.data().as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            other => return Err(wrong(format!("has type {other:?}"))),
        };
        match values.iter().position(|v| !v.is_finite()) {
            Some(i) => Err(wrong(format!("element {i} is {}", values[i]))),
            None => Ok(values),
        }
    }
}

#[derive(Default)]
struct Writer {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl Writer {
    fn parameters(&mut self, model: &Model, precision: Precision) -> Result<(), ModelErrorKind> {
        for (part, values, tensors) in
            [("grid", &model.grid, grid_tensors(&model.spec)), ("net", &model.net, net_tensors(&model.spec))]
        {
            let total = tensors.iter().map(|(_, shape, _)| shape.iter().product::<usize>()).sum::<usize>();
            if values.len() != total {
                let found = format!("has {} values", values.len());
                return Err(ModelErrorKind::Tensor { name: part.into(), found, shape: vec![total] });
            }
            for (name, shape, offset) in tensors {
                let len = shape.iter().product::<usize>();
                // A frequency of 400 rounded to 11 bits turns its phase by a tenth of a radian.
                let kept = if name.starts_with("basis.") { Precision::F32 } else { precision };
                self.tensor(name, shape, &values[offset..offset + len], kept)?;
            }
        }
        Ok(())
    }

    fn tensor(&mut self, name: String, shape: Vec<usize>, values: &[f32], to: Precision) -> Result<(), ModelErrorKind> {
        let kept = |v: f32| match to {
            Precision::F32 => v,
            Precision::F16 => f16::from_f32(v).to_f32(),
        };
        if let Some(v) = values.iter().find(|v| !kept(**v).is_finite()) {
            return Err(ModelErrorKind::Tensor { name, found: format!("holds {v}, which {to:?} cannot"), shape });
        }
        let (dtype, bytes) = match to {
            Precision::F32 => (Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Precision::F16 => (Dtype::F16, values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()),
        };
        self.tensors.push((name, dtype, shape, bytes));
        Ok(())
    }

    /// An array of any length, as runs where these are shorter.
    fn array(&mut self, name: String, values: &[f32]) -> Result<(), ModelErrorKind> {
        let is_finite = values.iter().all(|v| v.is_finite());
        match runs::code(values).filter(|_| is_finite) {
            Some(coded) => {
                let bytes = coded.iter().flat_map(|word| word.to_le_bytes()).collect();
                self.tensors.push((name, Dtype::U32, vec![coded.len()], bytes));
                Ok(())
            }
            None => self.tensor(name, vec![values.len()], values, Precision::F32),
        }
    }

    fn finish(&self, model: &Model, state: Option<Value>, path: &Path) -> Result<(), ModelErrorKind> {
        let bytes = self.serialize(model, state)?;
        nstr_files::write(path, &bytes).map_err(|source| ModelErrorKind::Io { action: "write", source })
    }

    fn serialize(&self, model: &Model, state: Option<Value>) -> Result<Vec<u8>, ModelErrorKind> {
        let metadata = HashMap::from([("nstr".to_string(), header_text(model, state)?)]);
        let format = |e: safetensors::SafeTensorError| ModelErrorKind::Format(shorten(&e.to_string()));
        let bits = model.occupancy.as_ref().map(|o| {
            let bytes = o.to_bytes();
            (OCCUPANCY.to_string(), Dtype::U8, vec![bytes.len()], bytes)
        });
        let views: Result<Vec<_>, ModelErrorKind> = self
            .tensors
            .iter()
            .chain(&bits)
            .map(|(name, dtype, shape, bytes)| {
                Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).map_err(format)?))
            })
            .collect();
        let bytes = safetensors::serialize(views?, Some(metadata)).map_err(format)?;
        // What could not be read again is not written.
        check_lengths(&bytes, bytes.len() as u64)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
