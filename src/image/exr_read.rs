//! OpenEXR images that others wrote: grey, RGB or RGBA of one layer as 32-bit floats.

use std::io::Cursor;

use exr::image::read::specific_channels::ReadSpecificChannel;
use exr::math::Vec2;
use exr::meta::MetaData;
use exr::meta::header::Header;
use exr::prelude::{ReadChannels, ReadLayers, read};

use crate::raster::Raster;

/// Full names of the channels of an image, and its size.
#[derive(Debug, PartialEq)]
struct Layer {
    /// `Y`, or `R`, `G`, `B`; alpha after them where there is one.
    names: Vec<String>,
    size: (u32, u32),
}

/// Width and height of the layer that [`decode`] takes.
pub(super) fn size(bytes: &[u8]) -> Result<(u32, u32), String> {
    find(bytes).map(|layer| layer.size)
}

/// Decodes the first part that has channels `R`, `G`, `B` or `Y`, or else the first layer (`name.R`, …) of a part that has;
/// with its alpha channel if there is one.
///
/// Values are scene-linear as stored, so colours are premultiplied by alpha where their writer followed OpenEXR. `Y` with
/// alpha becomes RGBA. Pixels are those of the data window.
///
/// # Errors
/// Bytes that are not OpenEXR, are damaged, or have no such channels; the message says how.
pub fn decode(bytes: &[u8]) -> Result<Raster<f32>, String> {
    let Layer { names, .. } = find(bytes)?;
    let name = |i: usize| names[i].as_str();
    let alpha = matches!(names.len(), 2 | 4);
    let channels = if alpha { 4 } else { names.len() };
    let levels = || read().no_deep_data().largest_resolution_level().specific_channels();
    let create = move |size: Vec2<usize>| (size.width(), vec![0f32; size.area() * channels]);
    let at = move |width: usize, p: Vec2<usize>| (p.y() * width + p.x()) * channels;
    type Pixels = (usize, Vec<f32>);
    // The reader's type depends on how many channels it is asked for.
    macro_rules! run {
        ($reader:expr) => {
            $reader
                .first_valid_layer()
                .all_attributes()
                .non_parallel()
                .from_buffered(Cursor::new(bytes))
                .map_err(|e| e.to_string())?
                .layer_data
                .channel_data
                .pixels
        };
    }
    let (width, data): Pixels = match names.len() {
        1 => run!(levels().required(name(0)).collect_pixels(
            move |size, _| create(size),
            move |(width, data): &mut Pixels, p, (y,): (f32,)| data[at(*width, p)] = y,
        )),
        2 => run!(levels().required(name(0)).required(name(1)).collect_pixels(
            move |size, _| create(size),
            move |(width, data): &mut Pixels, p, (y, a): (f32, f32)| {
                data[at(*width, p)..][..4].copy_from_slice(&[y, y, y, a]);
            },
        )),
        3 => run!(levels().required(name(0)).required(name(1)).required(name(2)).collect_pixels(
            move |size, _| create(size),
            move |(width, data): &mut Pixels, p, (r, g, b): (f32, f32, f32)| {
                data[at(*width, p)..][..3].copy_from_slice(&[r, g, b]);
            },
        )),
        _ => run!(levels().required(name(0)).required(name(1)).required(name(2)).required(name(3)).collect_pixels(
            move |size, _| create(size),
            move |(width, data): &mut Pixels, p, (r, g, b, a): (f32, f32, f32, f32)| {
                data[at(*width, p)..][..4].copy_from_slice(&[r, g, b, a]);
            },
        )),
    };
    let height = data.len().checked_div(width * channels).unwrap_or(0);
    Ok(Raster { width, height, channels, data })
}

/// The layer to take.
fn find(bytes: &[u8]) -> Result<Layer, String> {
    let meta = MetaData::read_from_buffered(Cursor::new(bytes), false).map_err(|e| e.to_string())?;
    let flat = || meta.headers.iter().filter(|h| !h.deep);
    let plain = flat().find_map(|h| layer(h, ""));
    let named = || flat().find_map(|h| prefixes(h).iter().find_map(|p| layer(h, p)));
    plain.or_else(named).unwrap_or_else(|| {
        let names: Vec<String> = meta.headers.iter().flat_map(channel_names).take(12).collect();
        Err(format!("no flat layer with channels R, G, B or Y; the file has {}", names.join(", ")))
    })
}

fn channel_names(header: &Header) -> impl Iterator<Item = String> {
    header.channels.list.iter().map(|c| c.name.to_string())
}

/// Prefixes of channel names up to their last dot, each once, in the file's order.
fn prefixes(header: &Header) -> Vec<String> {
    let mut found: Vec<String> = channel_names(header).filter_map(|n| Some(n[..=n.rfind('.')?].into())).collect();
    found.dedup();
    found
}

/// The layer of a part whose channels start with `prefix`; `None` where it has no image.
fn layer(header: &Header, prefix: &str) -> Option<Result<Layer, String>> {
    let all: Vec<String> = channel_names(header).collect();
    let full = |c: &str| format!("{prefix}{c}");
    let has = |c: &str| all.contains(&full(c));
    let mut names: Vec<String> = if ["R", "G", "B"].into_iter().all(has) {
        ["R", "G", "B"].map(full).into()
    } else if has("Y") {
        if has("RY") || has("BY") {
            return Some(Err("luminance and chroma channels (Y, RY, BY); convert the image to R, G, B".into()));
        }
        vec![full("Y")]
    } else {
        return None;
    };
    names.extend(has("A").then(|| full("A")));
    let side = |v: usize| u32::try_from(v).map_err(|_| format!("{v} pixels a side"));
    let (w, h) = (side(header.layer_size.x()), side(header.layer_size.y()));
    Some(w.and_then(|w| Ok(Layer { names, size: (w, h?) })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::exr_file;

    #[test]
    fn layers_and_channels_are_found() {
        let first = |parts: &[&[&str]], half| {
            let raster = decode(&exr_file(parts, half)).unwrap();
            assert_eq!((raster.width, raster.height, raster.data.len()), (3, 2, 6 * raster.channels));
            raster.data[raster.channels..2 * raster.channels].to_vec()
        };
        assert_eq!(first(&[&["G", "B", "R"]], false), [21.0, 1.0, 11.0]);
        assert_eq!(first(&[&["B", "A", "R", "G"]], true), [21.0, 31.0, 1.0, 11.0]);
        assert_eq!(first(&[&["Y"]], true), [1.0]);
        assert_eq!(first(&[&["Y", "A"]], false), [1.0, 1.0, 1.0, 11.0]);
        assert_eq!(first(&[&["depth.Z", "Y"], &["R", "G", "B"]], false), [11.0]);
        assert_eq!(first(&[&["Z"], &["R", "G", "B"], &["Y"]], false), [1.0, 11.0, 21.0]);
        assert_eq!(first(&[&["sun.R", "sun.G", "sun.B", "sun.A", "id"]], true), [1.0, 11.0, 21.0, 31.0]);
    }

    #[test]
    fn files_without_a_picture_say_what_they_have() {
        let message = |names: &[&str]| decode(&exr_file(&[names], false)).unwrap_err();
        assert!(message(&["Z", "normal.X"]).contains("the file has Z, normal.X"), "{}", message(&["Z", "normal.X"]));
        assert!(message(&["Y", "RY", "BY"]).contains("convert"));
        let bytes = exr_file(&[&["R", "G", "B"]], false);
        assert_eq!(size(&bytes), Ok((3, 2)));
        assert!((0..bytes.len() - 1).all(|cut| decode(&bytes[..cut]).is_err()));
    }
}
