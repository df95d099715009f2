//! OpenEXR: 32-bit float channels in one part, linear.

use std::io::Cursor;

use exr::prelude::{
    AnyChannel, AnyChannels, Compression, Encoding, FlatSamples, Image, Layer as ExrLayer, LayerAttributes, LineOrder,
    WritableImage,
};

/// A file of one part with the given channels, each `[row][column]` of `size` (width, height).
///
/// # Errors
/// Channels of another length than the size says; the message says how.
pub fn encode(size: (usize, usize), channels: Vec<(String, Vec<f32>)>) -> Result<Vec<u8>, String> {
    let channels = channels.into_iter().map(|(name, data)| AnyChannel::new(name.as_str(), FlatSamples::F32(data)));
    let encoding =
        Encoding { compression: Compression::ZIP16, line_order: LineOrder::Increasing, ..Encoding::default() };
    let software = Some(concat!("nstr ", env!("CARGO_PKG_VERSION")).into());
    let attributes = LayerAttributes { software_name: software, ..LayerAttributes::default() };
    let layer = ExrLayer::new(size, attributes, encoding, AnyChannels::sort(channels.collect()));
    let mut bytes = Cursor::new(Vec::new());
    Image::from_layer(layer).write().to_buffered(&mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes.into_inner())
}
