//! OpenEXR images that others wrote: grey, RGB or RGBA of one layer as 32-bit floats, in the frame of the display window.

use std::io::Cursor;

use exr::image::read::specific_channels::ReadSpecificChannel;
use exr::math::Vec2;
use exr::meta::MetaData;
use exr::meta::header::Header;
use exr::prelude::{ReadChannels, ReadLayers, read};

use crate::format::{ImageFormat, MAX_PIXELS, check_values};
use crate::raster::Raster;
use crate::reason;

/// Full names of the channels of an image, and its frame of reference.
#[derive(Debug, PartialEq)]
struct Layer {
    /// `Y`, or `R`, `G`, `B`; alpha after them where there is one.
    names: Vec<String>,
    window: Window,
}

/// Place of the data window in the display window.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Window {
    /// Width and height of the display window.
    size: (u32, u32),
    /// Its upper left corner, in pixels from that of the data window.
    offset: (i64, i64),
    /// Width and height of the data window.
    data: (u32, u32),
}

impl Window {
    /// True where every pixel of the display window has data.
    fn is_covered(self) -> bool {
        let within = |offset: i64, size: u32, data: u32| offset >= 0 && offset + i64::from(size) <= i64::from(data);
        within(self.offset.0, self.size.0, self.data.0) && within(self.offset.1, self.size.1, self.data.1)
    }

    /// Index (row by row) in the display window of a pixel of the data window; `None` for overscan.
    fn index(self, p: Vec2<usize>) -> Option<usize> {
        let place = |at: usize, offset: i64, size: u32| {
            usize::try_from(i64::try_from(at).ok()? - offset).ok().filter(|&v| v < size as usize)
        };
        let (x, y) = (place(p.x(), self.offset.0, self.size.0)?, place(p.y(), self.offset.1, self.size.1)?);
        Some(y * self.size.0 as usize + x)
    }
}

/// Width and height of what [`decode`] returns, and its number of channels.
pub(super) fn shape(bytes: &[u8]) -> Result<(u32, u32, usize), String> {
    let layer = find(bytes)?;
    let Window { size: (w, h), data, .. } = layer.window;
    let count = u64::from(data.0) * u64::from(data.1);
    let lead = format!("its data window has {}x{} pixels; ", data.0, data.1);
    if count > MAX_PIXELS {
        return Err(format!("{lead}expected at most {MAX_PIXELS} in all"));
    }
    check_values(count, ImageFormat::Exr.free_values(), bytes.len()).map_err(|reason| lead + &reason)?;
    Ok((w, h, layer.channels()))
}

impl Layer {
    /// Values a pixel: those of the file, with alpha where the layer has it or the data window leaves pixels out.
    fn channels(&self) -> usize {
        if matches!(self.names.len(), 2 | 4) || !self.window.is_covered() { 4 } else { self.names.len() }
    }
}

/// Decodes the first part that has channels `R`, `G`, `B` or `Y`, or else the first layer (`name.R`, …) of a part that has;
/// with its alpha channel if there is one.
///
/// Values are scene-linear as stored, so colours are premultiplied by alpha where their writer followed OpenEXR. `Y` with
/// alpha becomes RGBA. The picture is the display window: data outside it (overscan) are cut off, and where there are none
/// inside it (a renderer stored only what it hit) pixels are transparent black, with alpha 1 elsewhere if the file has none.
/// Of tiles with several levels the largest is taken.
///
/// # Errors
/// Bytes that are not OpenEXR, are damaged, or have no such channels; the message says how.
pub fn decode(bytes: &[u8]) -> Result<Raster<f32>, String> {
    let layer = find(bytes)?;
    let (names, window, channels) = (&layer.names, layer.window, layer.channels());
    let name = |i: usize| names[i].as_str();
    let levels = || read().no_deep_data().largest_resolution_level().specific_channels();
    let (width, height) = (window.size.0 as usize, window.size.1 as usize);
    let create = move |_: Vec2<usize>| vec![0f32; width * height * channels];
    type Pixels = Vec<f32>;
    // As many values as the picture has channels are taken of the four.
    let put = move |data: &mut Pixels, p: Vec2<usize>, rgba: [f32; 4]| {
        if let Some(i) = window.index(p) {
            data[i * channels..][..channels].copy_from_slice(&rgba[..channels]);
        }
    };
    // The reader's type depends on how many channels it is asked for.
    macro_rules! run {
        ($reader:expr) => {
            $reader
                .first_valid_layer()
                .all_attributes()
                .non_parallel()
                .from_buffered(Cursor::new(bytes))
                .map_err(reason)?
                .layer_data
                .channel_data
                .pixels
        };
    }
    let data: Pixels = match names.len() {
        1 => run!(levels().required(name(0)).collect_pixels(
            move |size, _| create(size),
            move |data: &mut Pixels, p, (y,): (f32,)| put(data, p, [y, y, y, 1.0]),
        )),
        2 => run!(levels().required(name(0)).required(name(1)).collect_pixels(
            move |size, _| create(size),
            move |data: &mut Pixels, p, (y, a): (f32, f32)| put(data, p, [y, y, y, a]),
        )),
        3 => run!(levels().required(name(0)).required(name(1)).required(name(2)).collect_pixels(
            move |size, _| create(size),
            move |data: &mut Pixels, p, (r, g, b): (f32, f32, f32)| put(data, p, [r, g, b, 1.0]),
        )),
        _ => run!(levels().required(name(0)).required(name(1)).required(name(2)).required(name(3)).collect_pixels(
            move |size, _| create(size),
            move |data: &mut Pixels, p, (r, g, b, a): (f32, f32, f32, f32)| put(data, p, [r, g, b, a]),
        )),
    };
    Ok(Raster { width, height, channels, data })
}

/// The layer to take.
fn find(bytes: &[u8]) -> Result<Layer, String> {
    let meta = MetaData::read_from_buffered(Cursor::new(bytes), false).map_err(reason)?;
    let flat = || meta.headers.iter().filter(|h| !h.deep);
    let plain = flat().find_map(|h| layer(h, ""));
    let named = || flat().find_map(|h| prefixes(h).iter().find_map(|p| layer(h, p)));
    plain.or_else(named).unwrap_or_else(|| {
        let names: Vec<String> = meta.headers.iter().flat_map(channel_names).take(12).collect();
        let names = nstr_files::excerpt(&names.join(", "));
        let deep = if meta.headers.iter().any(|h| h.deep) { " (deep pixels are not read: flatten them)" } else { "" };
        Err(format!("no flat layer with channels R, G, B or Y; the file has {names}{deep}"))
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
    Some(window(header).map(|window| Layer { names, window }))
}

fn window(header: &Header) -> Result<Window, String> {
    let side = |v: usize| u32::try_from(v).map_err(|_| format!("{v} pixels a side"));
    let sides = |v: Vec2<usize>| Ok::<_, String>((side(v.x())?, side(v.y())?));
    let display = header.shared_attributes.display_window;
    let corner = header.own_attributes.layer_position;
    let offset = |display: i32, data: i32| i64::from(display) - i64::from(data);
    Ok(Window {
        size: sides(display.size)?,
        offset: (offset(display.position.x(), corner.x()), offset(display.position.y(), corner.y())),
        data: sides(header.layer_size)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{exr_file, exr_window};

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
        assert_eq!(shape(&bytes), Ok((3, 2, 3)));
        assert!((0..bytes.len() - 1).all(|cut| decode(&bytes[..cut]).is_err()));
    }

    #[test]
    fn the_display_window_is_the_picture() {
        // Pixel (x, y) of the scene has the value 10·y + x in every channel of colour.
        let decoded = |display: [i32; 4], data: [i32; 4], names: &[&str]| {
            let bytes = exr_window(display, data, names, |x, y| (10 * y + x) as f32);
            let raster = decode(&bytes).unwrap();
            assert_eq!(shape(&bytes), Ok((raster.width as u32, raster.height as u32, raster.channels)));
            assert_eq!((raster.width as i32, raster.height as i32), (display[2], display[3]));
            raster
        };
        // Overscan on all sides is cut off.
        let over = decoded([5, 7, 2, 2], [3, 6, 6, 5], &["R", "G", "B"]);
        assert_eq!(over.data, [75.0, 75.0, 75.0, 76.0, 76.0, 76.0, 85.0, 85.0, 85.0, 86.0, 86.0, 86.0]);
        assert_eq!(decoded([0, 0, 2, 1], [0, 0, 2, 1], &["Y"]).data, [0.0, 1.0]);
        // What was not hit is transparent.
        let crop = decoded([0, 0, 3, 2], [1, 1, 1, 1], &["R", "G", "B"]);
        let mut want = vec![0.0; 24];
        want[16..20].copy_from_slice(&[11.0, 11.0, 11.0, 1.0]);
        assert_eq!((crop.channels, crop.data), (4, want));
        let own = decoded([0, 0, 2, 1], [1, 0, 5, 4], &["R", "G", "B", "A"]);
        assert_eq!(own.data, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        let grey = decoded([-4, -3, 1, 2], [-4, -4, 1, 2], &["Y"]);
        assert_eq!(grey.data, [-34.0, -34.0, -34.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        // Nothing of the data is in the picture.
        assert_eq!(decoded([0, 0, 1, 1], [9, 9, 2, 2], &["R", "G", "B"]).data, [0.0; 4]);
    }
}
