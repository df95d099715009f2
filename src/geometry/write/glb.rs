//! Binary glTF of one mesh, whose node carries what 32-bit positions cannot hold.

use std::io::{self, Write};

use glam::{DVec3, Vec3};

use crate::precision::Rounding;
use crate::write::{Content, floats};

/// The place of the mesh's node: positions are stored relative to it.
struct Frame {
    centre: DVec3,
    scale: f64,
}

impl Frame {
    /// Centre and size of the mesh where 32-bit floats would lose its positions, else those of the world.
    fn of(rounding: Rounding) -> Self {
        if !rounding.shows() {
            return Self { centre: DVec3::ZERO, scale: 1.0 };
        }
        let [lo, hi] = rounding.bounds;
        let size = rounding.size();
        // A power of two loses nothing.
        let scale = if size > 0.0 && !(1e-30..1e30).contains(&size) { size.log2().round().exp2() } else { 1.0 };
        Self { centre: lo * 0.5 + hi * 0.5, scale }
    }

    fn stored(&self, p: DVec3) -> Vec3 {
        ((p - self.centre) / self.scale).as_vec3()
    }

    /// Lowest and highest corner in the precision that the file stores, as the format demands for positions.
    fn stored_bounds(&self, positions: &[DVec3]) -> (Vec3, Vec3) {
        let empty = (Vec3::INFINITY, Vec3::NEG_INFINITY);
        positions.iter().map(|&p| self.stored(p)).fold(empty, |(lo, hi), p| (lo.min(p), hi.max(p)))
    }

    /// The node of mesh 0.
    fn node(&self) -> serde_json::Value {
        let mut node = serde_json::json!({"mesh": 0});
        if self.centre != DVec3::ZERO {
            node["translation"] = serde_json::json!(self.centre.to_array());
        }
        if self.scale != 1.0 {
            node["scale"] = serde_json::json!(DVec3::splat(self.scale).to_array());
        }
        node
    }
}

/// Linear value of an 8-bit sRGB one: glTF stores vertex colours linear, and 8 bits of that lose the dark ones.
fn linear16(srgb: u8) -> u16 {
    let v = f64::from(srgb) / 255.0;
    let linear = if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
    (linear * f64::from(u16::MAX)).round() as u16
}

pub(super) fn write(out: &mut dyn Write, c: Content<'_>) -> io::Result<()> {
    const VERTEX_DATA: u32 = 34962;
    const INDEX_DATA: u32 = 34963;
    let vertices = c.mesh.positions.len();
    let frame = Frame::of(c.rounding);
    let (lo, hi) = frame.stored_bounds(&c.mesh.positions);
    let (mut views, mut accessors, mut attributes) = (Vec::new(), Vec::new(), serde_json::Map::new());
    let mut length = 0usize;
    let mut view = |bytes: usize, target: u32| {
        views.push(serde_json::json!({"buffer": 0, "byteOffset": length, "byteLength": bytes, "target": target}));
        length += bytes;
        views.len() - 1
    };
    let float3 =
        |view: usize| serde_json::json!({"bufferView": view, "componentType": 5126, "count": vertices, "type": "VEC3"});
    let mut position = float3(view(vertices * 12, VERTEX_DATA));
    position["min"] = serde_json::json!(lo.to_array());
    position["max"] = serde_json::json!(hi.to_array());
    attributes.insert("POSITION".into(), accessors.len().into());
    accessors.push(position);
    if c.normals.is_some() {
        attributes.insert("NORMAL".into(), accessors.len().into());
        accessors.push(float3(view(vertices * 12, VERTEX_DATA)));
    }
    if c.colors.is_some() {
        attributes.insert("COLOR_0".into(), accessors.len().into());
        accessors.push(serde_json::json!({"bufferView": view(vertices * 8, VERTEX_DATA), "componentType": 5123,
            "normalized": true, "count": vertices, "type": "VEC4"}));
    }
    let indices = accessors.len();
    let count = c.mesh.faces.len() * 3;
    accessors.push(serde_json::json!({"bufferView": view(count * 4, INDEX_DATA), "componentType": 5125,
        "count": count, "type": "SCALAR"}));
    let document = serde_json::json!({
        "asset": {"version": "2.0", "generator": "nstr"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [frame.node()],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": indices, "mode": 4}]}],
        "accessors": accessors, "bufferViews": views, "buffers": [{"byteLength": length}],
    });
    let mut json = serde_json::to_vec(&document)?;
    json.resize(json.len().next_multiple_of(4), b' ');
    let total = u32::try_from(12 + 8 + json.len() + 8 + length)
        .map_err(|_| io::Error::other("a GLB file holds at most 4 GiB; write a PLY instead"))?;
    out.write_all(b"glTF")?;
    for word in [2, total, json.len() as u32, 0x4E4F_534A] {
        out.write_all(&word.to_le_bytes())?;
    }
    out.write_all(&json)?;
    for word in [length as u32, 0x004E_4942] {
        out.write_all(&word.to_le_bytes())?;
    }
    c.mesh.positions.iter().try_for_each(|&p| floats(out, frame.stored(p).to_array()))?;
    c.normals.unwrap_or_default().iter().try_for_each(|n| floats(out, n.to_array()))?;
    for rgb in c.colors.unwrap_or_default() {
        let [r, g, b] = rgb.map(linear16);
        [r, g, b, u16::MAX].iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))?;
    }
    c.mesh.faces.iter().flatten().try_for_each(|v| out.write_all(&v.to_le_bytes()))
}
