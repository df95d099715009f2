//! Accessors: typed views of buffers, plain, normalised, strided and sparse.

use std::path::Path;

use crate::read::ParseError;
use crate::read::gltf::buffers::Buffers;
use crate::read::gltf::document::{Accessor, Document, entry, whole};
use crate::read::gltf::extensions::meshopt;

/// Type of an accessor's numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Component {
    I8,
    U8,
    I16,
    U16,
    U32,
    F32,
    F64,
}

impl Component {
    fn of(code: Option<f64>) -> Result<Self, ParseError> {
        Ok(match whole(code, || "an accessor's componentType".into())? {
            5120 => Self::I8,
            5121 => Self::U8,
            5122 => Self::I16,
            5123 => Self::U16,
            5125 => Self::U32,
            5126 => Self::F32,
            5130 => Self::F64,
            other => return Err(ParseError::new(format!("an accessor of the unknown componentType {other}"))),
        })
    }

    fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The number at the start of `bytes`, which has one; integers as they are.
    fn read(self, bytes: &[u8]) -> f64 {
        let mut b = [0; 8];
        b[..self.size()].copy_from_slice(&bytes[..self.size()]);
        let [b0, b1, b2, b3, ..] = b;
        match self {
            Self::I8 => i8::from_le_bytes([b0]).into(),
            Self::U8 => b0.into(),
            Self::I16 => i16::from_le_bytes([b0, b1]).into(),
            Self::U16 => u16::from_le_bytes([b0, b1]).into(),
            Self::U32 => u32::from_le_bytes([b0, b1, b2, b3]).into(),
            Self::F32 => f32::from_le_bytes([b0, b1, b2, b3]).into(),
            Self::F64 => f64::from_le_bytes(b),
        }
    }

    /// A normalised integer as the fraction that it stands for.
    fn fraction(self, value: f64) -> f64 {
        match self {
            Self::I8 => (value / 127.0).max(-1.0),
            Self::U8 => value / 255.0,
            Self::I16 => (value / 32767.0).max(-1.0),
            Self::U16 => value / 65535.0,
            Self::U32 => value / f64::from(u32::MAX),
            Self::F32 | Self::F64 => value,
        }
    }
}

/// The accessors of a document.
pub(super) struct Accessors<'a> {
    document: &'a Document,
    buffers: Buffers<'a>,
}

impl<'a> Accessors<'a> {
    /// Accessors of a document that was read from `path`, with its binary chunk.
    pub fn new(document: &'a Document, blob: Option<&'a [u8]>, path: &'a Path) -> Self {
        Self { document, buffers: Buffers::new(&document.buffers, blob, path) }
    }

    /// Number of items that an accessor claims.
    pub fn count(&self, index: usize) -> Result<usize, ParseError> {
        whole(self.get(index)?.count, || format!("the count of accessor {index}"))
    }

    fn get(&self, index: usize) -> Result<&'a Accessor, ParseError> {
        entry(&self.document.accessors, index, "accessor")
    }

    /// Whether an accessor has data of its own.
    pub fn has_data(&self, index: usize) -> Result<bool, ParseError> {
        let accessor = self.get(index)?;
        Ok(accessor.buffer_view.is_some() || accessor.sparse.is_some())
    }

    /// Whether an accessor has a view, whose length bounds its count.
    pub fn has_view(&self, index: usize) -> Result<bool, ParseError> {
        Ok(self.get(index)?.buffer_view.is_some())
    }

    /// Bytes of the buffers beside the document that were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.buffers.bytes_read()
    }

    /// Items of `N` numbers each. The caller has bounded [`Self::count`] where the accessor names no view.
    pub fn vectors<const N: usize>(&mut self, index: usize, what: &str) -> Result<Vec<[f64; N]>, ParseError> {
        let accessor = self.get(index)?;
        let wanted = ["SCALAR", "VEC2", "VEC3", "VEC4"][(N - 1).min(3)];
        let shape = accessor.shape.as_deref().unwrap_or("nothing");
        if shape != wanted {
            let shape = nstr_files::excerpt(shape);
            return Err(ParseError::new(format!("{what} (accessor {index}) is {shape} where {wanted} is needed")));
        }
        let component = Component::of(accessor.component_type)?;
        let value = |bytes: &[u8]| -> [f64; N] {
            std::array::from_fn(|k| {
                let number = component.read(&bytes[k * component.size()..]);
                if accessor.normalized == Some(true) { component.fraction(number) } else { number }
            })
        };
        let count = self.count(index)?;
        let size = N * component.size();
        let mut out = match accessor.buffer_view {
            Some(_) => {
                let items = self.items(accessor.buffer_view, accessor.byte_offset, count, size)?;
                items.map(value).collect()
            }
            None if accessor.sparse.is_some() => vec![[0.0; N]; count],
            None => return Err(ParseError::new(format!("accessor {index} has no data; export the model again"))),
        };
        if let Some(sparse) = &accessor.sparse {
            let count = whole(sparse.count, || format!("the count of the sparse accessor {index}"))?;
            let places = &sparse.indices;
            let kind = Component::of(places.component_type)?;
            let places = self.items(places.buffer_view, places.byte_offset, count, kind.size())?;
            let places: Vec<usize> = places.map(|bytes| kind.read(bytes) as usize).collect();
            let values = self.items(sparse.values.buffer_view, sparse.values.byte_offset, count, size)?;
            for (place, bytes) in places.into_iter().zip(values) {
                let items = out.len();
                *out.get_mut(place).ok_or_else(|| {
                    ParseError::new(format!("the sparse accessor {index} changes item {place} of {items}"))
                })? = value(bytes);
            }
        }
        Ok(out)
    }

    /// Vertex indices; what is none becomes `bad`.
    pub fn indices(&mut self, index: usize, bad: u32) -> Result<Vec<u32>, ParseError> {
        let kind = Component::of(self.get(index)?.component_type)?;
        if matches!(kind, Component::F32 | Component::F64) {
            return Err(ParseError::new(format!("indices of {kind:?} numbers; use unsigned integers")));
        }
        let list = self.vectors::<1>(index, "indices")?;
        Ok(list.into_iter().map(|[v]| if v >= 0.0 { v as u32 } else { bad }).collect())
    }

    /// The bytes of each of `count` items of `size` bytes, checked against view and buffer.
    fn items(
        &mut self,
        view: Option<f64>,
        offset: Option<f64>,
        count: usize,
        size: usize,
    ) -> Result<impl Iterator<Item = &[u8]>, ParseError> {
        let number = whole(view, || "an accessor's bufferView".into())?;
        let view = entry(&self.document.buffer_views, number, "bufferView")?;
        let optional = |value: Option<f64>, what: &str| match value {
            Some(_) => whole(value, || format!("the {what} of bufferView {number}")),
            None => Ok(0),
        };
        let start = optional(view.byte_offset, "byteOffset")?;
        let length = whole(view.byte_length, || format!("the byteLength of bufferView {number}"))?;
        let stride = match optional(view.byte_stride, "byteStride")? {
            0 => size,
            stride => stride,
        };
        let offset = optional(offset, "accessor's byteOffset")?;
        let buffer = whole(view.buffer, || format!("the buffer of bufferView {number}"))?;
        let whole_buffer = match self.buffers.bytes(buffer) {
            Err(_) if view.extensions.meshopt.is_some() => return Err(meshopt()),
            other => other?,
        };
        let end = start.saturating_add(length).min(whole_buffer.len());
        let bytes = whole_buffer.get(start..end).and_then(|view| view.get(offset..)).unwrap_or_default();
        let needed = count.checked_sub(1).and_then(|n| n.checked_mul(stride)).and_then(|n| n.checked_add(size));
        if count > 0 && needed.is_none_or(|n| n > bytes.len()) {
            if view.extensions.meshopt.is_some() {
                return Err(meshopt());
            }
            return Err(ParseError::new(format!(
                "an accessor claims {count} items of {size} bytes, more than its {} bytes hold (bufferView {number}, \
                 buffer {buffer}); the file may be cut short",
                bytes.len()
            )));
        }
        Ok((0..count).map(move |i| &bytes[i * stride..i * stride + size]))
    }
}
