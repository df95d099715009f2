//! The part of a glTF document that concerns the shape.
//!
//! Indices and counts are kept as the numbers they are in JSON (some writers print `3.0`) and checked where they are used,
//! so that a wrong one is an error with its place and never a panic. What few entries have is boxed: a document of empty
//! entries must not take many times its size.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::read::ParseError;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Document {
    #[serde(deserialize_with = "or_default")]
    pub asset: Asset,
    pub scene: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    pub scenes: Vec<Scene>,
    #[serde(deserialize_with = "or_default")]
    pub nodes: Vec<Node>,
    #[serde(deserialize_with = "or_default")]
    pub meshes: Vec<Mesh>,
    #[serde(deserialize_with = "or_default")]
    pub accessors: Vec<Accessor>,
    #[serde(deserialize_with = "or_default")]
    pub buffer_views: Vec<BufferView>,
    #[serde(deserialize_with = "or_default")]
    pub buffers: Vec<Buffer>,
    #[serde(deserialize_with = "or_default")]
    pub extensions_required: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asset {
    pub version: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Scene {
    #[serde(deserialize_with = "or_default")]
    pub nodes: Vec<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    #[serde(deserialize_with = "or_default")]
    pub children: Vec<f64>,
    pub mesh: Option<f64>,
    pub skin: Option<IgnoredAny>,
    pub matrix: Option<Box<[f64; 16]>>,
    pub translation: Option<Box<[f64; 3]>>,
    pub rotation: Option<Box<[f64; 4]>>,
    pub scale: Option<Box<[f64; 3]>>,
    #[serde(deserialize_with = "or_default")]
    pub extensions: NodeExtensions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeExtensions {
    #[serde(rename = "EXT_mesh_gpu_instancing")]
    pub instancing: Option<Instancing>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Instancing {
    #[serde(deserialize_with = "or_default")]
    pub attributes: BTreeMap<String, f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Mesh {
    #[serde(deserialize_with = "or_default")]
    pub primitives: Vec<Primitive>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Primitive {
    #[serde(deserialize_with = "or_default")]
    pub attributes: BTreeMap<String, f64>,
    pub indices: Option<f64>,
    pub mode: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    pub targets: Vec<IgnoredAny>,
    #[serde(deserialize_with = "or_default")]
    pub extensions: PrimitiveExtensions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct PrimitiveExtensions {
    #[serde(rename = "KHR_draco_mesh_compression")]
    pub draco: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Accessor {
    pub buffer_view: Option<f64>,
    pub byte_offset: Option<f64>,
    pub component_type: Option<f64>,
    pub normalized: Option<bool>,
    pub count: Option<f64>,
    #[serde(rename = "type")]
    pub shape: Option<String>,
    pub sparse: Option<Box<Sparse>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Sparse {
    pub count: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    pub indices: SparsePart,
    #[serde(deserialize_with = "or_default")]
    pub values: SparsePart,
}

/// Place of a sparse accessor's indices or values.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SparsePart {
    pub buffer_view: Option<f64>,
    pub byte_offset: Option<f64>,
    pub component_type: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BufferView {
    pub buffer: Option<f64>,
    pub byte_offset: Option<f64>,
    pub byte_length: Option<f64>,
    pub byte_stride: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    pub extensions: ViewExtensions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ViewExtensions {
    #[serde(rename = "EXT_meshopt_compression", alias = "KHR_meshopt_compression")]
    pub meshopt: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Buffer {
    pub byte_length: Option<f64>,
    pub uri: Option<String>,
}

/// A value that may be absent or `null`.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(source: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(source).map(Option::unwrap_or_default)
}

/// A whole number of at least 0, called `what` in the error.
pub(super) fn whole(value: Option<f64>, what: impl Fn() -> String) -> Result<usize, ParseError> {
    let value = value.ok_or_else(|| ParseError::new(format!("{} is missing", what())))?;
    // Numbers up to 2⁵³ are exact.
    if value >= 0.0 && value.fract() == 0.0 && value <= 9.0e15 {
        return Ok(value as usize);
    }
    Err(ParseError::new(format!("{} is {value}, not a whole number of at least 0", what())))
}

/// The entry of a list that `index` names.
pub(super) fn entry<'a, T>(list: &'a [T], index: usize, what: &str) -> Result<&'a T, ParseError> {
    let count = list.len();
    list.get(index).ok_or_else(|| {
        ParseError::new(format!("{what} {index} does not exist (there are {count}); export the model again"))
    })
}
