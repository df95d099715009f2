//! Layers of a frame as an OpenEXR file: 32-bit floats in one part, linear.
//!
//! Channels: `R`, `G`, `B`, `A` (premultiplied, as OpenEXR wants it), `depth.ray`, `depth.z`, `normal.X|Y|Z`,
//! `position.X|Y|Z`, `curvature`, `steps`, `gradS`, `residual`, `S.000`, `S.001`, … Readers group `name.channel` into layers.

use std::path::Path;

use nstr_image::ImageError;
use nstr_image::exr::encode;

use crate::frame::Frame;
use crate::layers::Layer;

/// Writes all layers that the frame has.
///
/// # Errors
/// Frames without layers, and files that cannot be written.
pub fn write(path: &Path, frame: &Frame) -> Result<(), ImageError> {
    let channels = channels(frame);
    if channels.is_empty() || frame.width == 0 || frame.height == 0 {
        return Err(ImageError::Content { path: path.into(), reason: "the frame has no layer to write".into() });
    }
    let size = (frame.width as usize, frame.height as usize);
    let bytes = encode(size, channels).map_err(ImageError::format(path))?;
    nstr_files::write(path, &bytes).map_err(ImageError::io(path))
}

/// Names and values of the channels that [`write()`] stores, in the order of the layers.
pub fn channels(frame: &Frame) -> Vec<(String, Vec<f32>)> {
    let mut out = Vec::new();
    let layers = Layer::ALL.into_iter().filter(|layer| !frame.values(*layer).is_empty());
    // The colour's fourth channel is its alpha.
    for layer in layers.filter(|layer| *layer != Layer::Alpha || frame.colour.is_empty()) {
        let channels = frame.channels(layer).max(1);
        for c in 0..channels {
            let values = frame.values(layer).iter().skip(c).step_by(channels).copied().collect();
            out.push((channel_name(layer, c), values));
        }
    }
    out
}

/// Name of channel `c` of a layer.
fn channel_name(layer: Layer, c: usize) -> String {
    match layer {
        Layer::Colour => ["R", "G", "B", "A"][c].into(),
        Layer::Alpha => "A".into(),
        Layer::Position | Layer::Normal => format!("{layer}.{}", ["X", "Y", "Z"][c]),
        Layer::Spectrum => format!("{layer}.{c:03}"),
        _ => layer.name().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exr::prelude::read_first_flat_layer_from_file;

    fn frame() -> Frame {
        let n = 12;
        let f = |k: usize| (0..n).map(|i| (i * k) as f32 * 0.37 - 1.0).collect::<Vec<f32>>();
        let mut depth_ray = f(2);
        depth_ray[5] = f32::INFINITY;
        Frame {
            width: 4,
            height: 3,
            colour: (0..n).map(|i| [i as f32, 2.5, 1e-3, 1.0]).collect(),
            depth_ray,
            depth_z: f(3),
            normal: (0..n).map(|i| [i as f32, -1.0, 0.5]).collect(),
            curvature: f(4),
            steps: f(1),
            grad_s: f(5),
            residual: f(6),
            spectrum: (0..n * 3).map(|i| i as f32).collect(),
            spectrum_width: 3,
            ..Frame::default()
        }
    }

    #[test]
    fn every_channel_comes_back_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("layers.exr");
        let frame = frame();
        write(&path, &frame).unwrap();
        let image = read_first_flat_layer_from_file(&path).unwrap();
        let stored = &image.layer_data.channel_data.list;
        let wanted = channels(&frame);
        assert_eq!(stored.len(), wanted.len());
        for (name, values) in wanted {
            let channel = stored.iter().find(|c| c.name.to_string() == name).unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(channel.sample_data.values_as_f32().collect::<Vec<_>>(), values, "{name}");
        }
    }

    #[test]
    fn an_empty_frame_is_an_error_and_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty.exr");
        assert!(write(&path, &Frame { width: 2, height: 2, ..Frame::default() }).is_err());
        assert!(!path.exists());
    }
}
