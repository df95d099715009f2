//! Known depths of a view's pixels: maps of depth cameras, and the points of structure from motion that a view shows.
//!
//! | source | file | values |
//! |---|---|---|
//! | nerfstudio's `depth_file_path` | PNG of 16 bits, NumPy array | times `depth_unit_scale_factor`, 0.001 where it is not given: millimetres |
//! | | OpenEXR, TIFF of floats | units of the poses, times `depth_unit_scale_factor` where it is given |
//! | instant-ngp's `depth_path` | as above | times `integer_depth_scale` where it is given |
//! | COLMAP's points with their tracks | | where a point is projected into the images that it was found in |
//!
//! Depth is measured along the optical axis, from the camera's position. 0 and what is not finite say nothing.

use std::path::PathBuf;

use glam::DVec3;
use npyz::NpyFile;
use nstr_files::{Budget, check_npy_header, read_named, shorten};
use nstr_image::format::ImageFormat;
use nstr_image::orientation::Orientation;
use nstr_image::picture::decode_values;

use crate::error::CaptureError;
use crate::view::View;

/// Longest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 30;
/// Most pixels of a map for one of its image: more detail than the image has is not used.
const MAX_DETAIL: u64 = 16;
/// Depths of whole numbers are millimetres where nothing else is said.
const MILLIMETRE: f64 = 1e-3;
/// Largest difference of the shapes of a map and its image, as a fraction.
const SHAPE_TOLERANCE: f64 = 0.03;

/// Depths of some or all pixels of a view.
#[derive(Clone, Debug, PartialEq)]
pub enum DepthMap {
    /// A picture of depths that covers the view, of any size.
    Dense {
        /// Values along x.
        width: u32,
        /// Values along y.
        height: u32,
        /// `[y · width + x]`, world units along the optical axis; NaN where it is unknown.
        depth: Vec<f32>,
    },
    /// Depths of single pixels: number of the pixel, row by row and rising, and its depth.
    Sparse(Vec<(u32, f32)>),
}

impl DepthMap {
    /// Depth of the pixel in column `x` of row `y` of a view of `size`, in world units along the optical axis.
    pub fn at(&self, (x, y): (u32, u32), size: (u32, u32)) -> Option<f32> {
        let found = match self {
            Self::Dense { width, height, depth } => {
                // The value whose area holds the pixel's centre.
                let scale =
                    |i: u32, from: u32, to: u32| (u64::from(2 * i + 1) * u64::from(to) / u64::from(2 * from)) as usize;
                depth[scale(y, size.1, *height) * *width as usize + scale(x, size.0, *width)]
            }
            Self::Sparse(depths) => {
                let index = y * size.0 + x;
                depths.binary_search_by_key(&index, |d| d.0).map_or(f32::NAN, |at| depths[at].1)
            }
        };
        found.is_finite().then_some(found)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Dense { depth, .. } => depth.iter().filter(|d| d.is_finite()).count(),
            Self::Sparse(depths) => depths.len(),
        }
    }

    /// `true` where no depth is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// World positions of about `count` of the known depths, spread over the view.
    pub fn points(&self, view: &View, count: usize) -> Vec<DVec3> {
        let size = (view.image.width, view.image.height);
        let place = |x: u32, y: u32| Some((x, y, self.at((x, y), size)?));
        let found: Vec<(u32, u32, f32)> = match self {
            Self::Dense { .. } => {
                let every = ((f64::from(size.0) * f64::from(size.1) / count.max(1) as f64).sqrt() as usize).max(1);
                let rows = (0..size.1).skip(every / 2).step_by(every);
                rows.flat_map(|y| (0..size.0).skip(every / 2).step_by(every).filter_map(move |x| place(x, y))).collect()
            }
            Self::Sparse(depths) => {
                let every = depths.len().div_ceil(count.max(1)).max(1);
                depths.iter().step_by(every).map(|(i, depth)| (i % size.0, i / size.0, *depth)).collect()
            }
        };
        let position = |(x, y, depth): (u32, u32, f32)| {
            let ray = view.ray(f64::from(x) + 0.5, f64::from(y) + 0.5);
            ray.origin + ray.direction * (f64::from(depth) / ray.cosine)
        };
        found.into_iter().map(position).collect()
    }

    /// Depths of the world positions that a view shows; where several fall on a pixel, of the nearest.
    pub(super) fn projected(view: &View, points: &[DVec3]) -> Self {
        let (width, height) = (view.image.width, view.image.height);
        let seen = |point: &DVec3| {
            let (at, depth) = (view.project(*point)?, view.to_camera(*point).z);
            let inside = at.x >= 0.0 && at.y >= 0.0 && at.x < f64::from(width) && at.y < f64::from(height);
            (inside && depth > 0.0).then(|| (at.y as u32 * width + at.x as u32, depth as f32))
        };
        let mut depths: Vec<(u32, f32)> = points.iter().filter_map(seen).collect();
        depths.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        depths.dedup_by_key(|d| d.0);
        Self::Sparse(depths)
    }

    /// The map of every `factor`-th pixel of a view of `size`, see [`View::downsampled`].
    pub(super) fn downsampled(&self, factor: u32, size: (u32, u32)) -> Self {
        match self {
            // One that covers the view covers the smaller one.
            Self::Dense { .. } => self.clone(),
            Self::Sparse(depths) => {
                let (width, height) = (size.0 / factor, size.1 / factor);
                let kept = |&(i, depth): &(u32, f32)| {
                    let [x, y] = [i % size.0, i / size.0];
                    let is_kept = x % factor == factor / 2 && y % factor == factor / 2;
                    let [x, y] = [x / factor, y / factor];
                    (is_kept && x < width && y < height).then_some((y * width + x, depth))
                };
                Self::Sparse(depths.iter().filter_map(kept).collect())
            }
        }
    }
}

/// The file of a frame's depth map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DepthFile {
    pub path: PathBuf,
    /// World units of one unit of the file, where the capture says so.
    pub scale: Option<f64>,
}

/// Values of a file, rows from the top.
struct DepthValues {
    width: usize,
    height: usize,
    data: Vec<f32>,
    /// World units of one, where the capture does not say.
    usual_scale: f64,
}

impl DepthFile {
    /// Reads the map for an image of the given size, which was turned by `turn`.
    pub fn read(&self, size: (u32, u32), turn: Orientation) -> Result<DepthMap, CaptureError> {
        let bytes = read_named(&self.path, &Budget::new(MAX_BYTES)).map_err(CaptureError::io(&self.path))?;
        let fail = |reason: String| CaptureError::image(&self.path, reason);
        let most = (u64::from(size.0) * u64::from(size.1)).saturating_mul(MAX_DETAIL);
        let DepthValues { width, height, data, usual_scale } = values(&bytes, most).map_err(fail)?;
        let shape = |w: usize, h: usize| w as f64 / h as f64 * f64::from(size.1) / f64::from(size.0);
        let fits = |w: usize, h: usize| (shape(w, h) - 1.0).abs() <= SHAPE_TOLERANCE;
        let turned = turn.swaps_axes() && !fits(width, height) && fits(height, width);
        if !turned && !fits(width, height) {
            let reason = format!("a depth map of {width}x{height} for an image of {}x{}", size.0, size.1);
            return Err(fail(reason + "; expected one of the image's shape, of any size"));
        }
        let scale = self.scale.unwrap_or(usual_scale);
        let scaled = |v: f32| (f64::from(v) * scale) as f32;
        let known = |v: f32| if v > 0.0 && scaled(v).is_finite() { scaled(v) } else { f32::NAN };
        let depth: Vec<f32> = data.into_iter().map(known).collect();
        let (width, height, depth) = match turned {
            true => (height, width, turn.turn(depth, width, height, 1)),
            false => (width, height, depth),
        };
        let map = DepthMap::Dense { width: width as u32, height: height as u32, depth };
        if width as u64 * height as u64 <= u64::from(size.0) * u64::from(size.1) {
            return Ok(map);
        }
        let of_image = (0..size.1).flat_map(|y| (0..size.0).map(move |x| (x, y)));
        let depth = of_image.map(|pixel| map.at(pixel, size).unwrap_or(f32::NAN)).collect();
        Ok(DepthMap::Dense { width: size.0, height: size.1, depth })
    }
}

/// The values of a picture or a NumPy array of at most so many.
fn values(bytes: &[u8], most: u64) -> Result<DepthValues, String> {
    let check = |width: u64, height: u64| match width.saturating_mul(height) <= most {
        true => Ok(()),
        false => Err(format!("a depth map of {width}x{height}, more than {MAX_DETAIL} times the pixels of its image")),
    };
    const NPY: &[u8] = b"\x93NUMPY";
    if bytes.starts_with(NPY) {
        let values = array(bytes)?;
        check(values.width as u64, values.height as u64)?;
        return Ok(values);
    }
    let (width, height) = ImageFormat::of(bytes)?.size(bytes)?;
    check(width.into(), height.into())?;
    let decoded = decode_values(bytes)?.image;
    let (raster, is_linear) = (decoded.raster, decoded.is_linear);
    // The size of a PNG's values in bits stands behind those of the picture.
    let bits = bytes.starts_with(b"\x89PNG").then(|| bytes.get(24).copied()).flatten();
    let (largest, usual_scale) = match (is_linear, bits) {
        (true, _) => (1.0, 1.0),
        (false, Some(16)) => (65535.0, MILLIMETRE),
        (false, Some(8)) => (255.0, MILLIMETRE),
        _ => {
            return Err(
                "not a depth map; expected a PNG of 8 or 16 bits, an .npy, or an OpenEXR or TIFF of floats".into()
            );
        }
    };
    let n = raster.channels;
    let number = |pixel: &[f32]| if is_linear { pixel[0] } else { (pixel[0] * largest).round() };
    let data = raster.data.chunks_exact(n).map(number).collect();
    Ok(DepthValues { width: raster.width, height: raster.height, data, usual_scale })
}

/// An array `[height, width]`, or with a last axis of 1.
fn array(bytes: &[u8]) -> Result<DepthValues, String> {
    check_npy_header(bytes)?;
    let file = NpyFile::new(bytes).map_err(|e| shorten(&e.to_string()))?;
    let shape = file.shape().to_vec();
    let (&[height, width] | &[height, width, 1]) = shape.as_slice() else {
        return Err(format!("an array of shape {shape:?}; expected [height, width]"));
    };
    let is_side = |v: u64| (1..=65_536).contains(&v);
    if !is_side(height) || !is_side(width) || width * height > bytes.len() as u64 {
        return Err(format!("an array of shape {shape:?} in {} bytes", bytes.len()));
    }
    if file.order() != npyz::Order::C {
        return Err("an array in Fortran's order; save numpy.ascontiguousarray of it".into());
    }
    let data = numbers(file)?;
    if data.len() as u64 != width * height {
        return Err(format!("{} values in an array of shape {shape:?}", data.len()));
    }
    Ok(DepthValues { width: width as usize, height: height as usize, data, usual_scale: MILLIMETRE })
}

/// The values of an array of any of the usual types.
fn numbers(file: NpyFile<&[u8]>) -> Result<Vec<f32>, String> {
    let text = file.dtype().descr();
    let text = text.trim_matches(['\'', '"']);
    macro_rules! read {
        ($t:ty, $convert:expr) => {{
            let values = file.into_vec::<$t>().map_err(|e| shorten(&e.to_string()))?;
            Ok(values.into_iter().map($convert).collect())
        }};
    }
    match text.get(1..) {
        Some("f4") => read!(f32, |v| v),
        Some("f8") => read!(f64, |v| v as f32),
        Some("u1") => read!(u8, f32::from),
        Some("u2") => read!(u16, f32::from),
        Some("i2") => read!(i16, f32::from),
        Some("u4") => read!(u32, |v| v as f32),
        Some("i4") => read!(i32, |v| v as f32),
        _ => Err(format!("an array of type {}; expected float32, float64, uint16 or int32", shorten(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ball_views, ring};
    use npyz::WriterBuilder;
    use nstr_image::png;

    fn npy<T: npyz::AutoSerialize + Copy>(shape: &[u64], values: &[T]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let options = npyz::WriteOptions::new().default_dtype().shape(shape);
        let mut writer = options.writer(&mut bytes).begin_nd().unwrap();
        writer.extend(values.iter().copied()).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn read(name: &str, bytes: &[u8], scale: Option<f64>, size: (u32, u32)) -> Result<DepthMap, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        DepthFile { path, scale }.read(size, Orientation::Upright).map_err(|e| e.to_string())
    }

    #[test]
    fn whole_numbers_are_millimetres() {
        let values = [0u16, 1500, 2501, 65535, 1, 40000];
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_be_bytes()).collect();
        let grey = ::png::ColorType::Grayscale;
        let mut bytes = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut bytes, 3, 2);
        encoder.set_color(grey);
        encoder.set_depth(::png::BitDepth::Sixteen);
        encoder.write_header().unwrap().write_image_data(&data).unwrap();
        let map = read("d.png", &bytes, None, (3, 2)).unwrap();
        assert_eq!(map.len(), 5, "0 says nothing");
        for (i, want) in values.iter().enumerate() {
            let found = map.at((i as u32 % 3, i as u32 / 3), (3, 2));
            assert_eq!(found, (*want > 0).then(|| (f64::from(*want) * 1e-3) as f32), "{i}");
        }
        // A map of half the image's size covers it.
        assert_eq!(map.at((2, 0), (6, 4)), Some(1.5));
        assert_eq!(map.at((5, 3), (6, 4)), Some(40.0));
        // One of twice the size is reduced to it.
        let large = npy(&[2, 4], &[1u16, 2, 3, 4, 5, 6, 7, 8]);
        let reduced = read("d.npy", &large, Some(1.0), (2, 1)).unwrap();
        assert!(matches!(reduced, DepthMap::Dense { width: 2, height: 1, .. }), "{reduced:?}");
        let centimetres = read("d.png", &bytes, Some(0.01), (3, 2)).unwrap();
        assert_eq!(centimetres.at((1, 0), (3, 2)), Some(15.0));
        let bytes = png::encode_as((2, 1), grey, &[0, 200]).unwrap();
        assert_eq!(read("d.png", &bytes, Some(1.0), (2, 1)).unwrap().at((1, 0), (2, 1)), Some(200.0));
        let whole = npy(&[2, 3], &values);
        // NaN is not itself.
        let text = |map: &DepthMap| format!("{map:?}");
        assert_eq!(text(&read("d.npy", &whole, None, (3, 2)).unwrap()), text(&map));
        let column = npy(&[2, 3, 1], &values.map(f64::from));
        assert_eq!(text(&read("d.npy", &column, None, (3, 2)).unwrap()), text(&map));
    }

    #[test]
    fn bad_maps_are_refused_by_name() {
        for (bytes, size, word) in [
            (npy(&[2, 3], &[1u16; 6]), (3, 3), "a depth map of 3x2 for an image of 3x3"),
            (npy(&[6], &[1u16; 6]), (3, 2), "expected [height, width]"),
            (npy(&[2, 3], &[1u64; 6]), (3, 2), "u8"),
            (npy(&[2, 3], &[1u16; 6])[..100].to_vec(), (3, 2), "d.npy"),
            (npy(&[200, 300], &[1u16; 60_000]), (3, 2), "more than 16 times the pixels"),
            (b"text".to_vec(), (3, 2), "d.npy"),
            (Vec::new(), (3, 2), "d.npy"),
        ] {
            let said = read("d.npy", &bytes, None, size).unwrap_err();
            assert!(said.contains(word) && said.contains("d.npy") && said.len() < 400, "{said}");
        }
        let floats = npy(&[1, 3], &[f32::NAN, -1.0, f32::INFINITY]);
        assert!(read("d.npy", &floats, None, (3, 1)).unwrap().is_empty());
    }

    #[test]
    fn points_come_back_from_their_depths() {
        let view = ball_views(&ring(1, 2.0, DVec3::ZERO), 40, DVec3::ZERO, 0.3).remove(0);
        let points: Vec<DVec3> = (0..20).map(|i| DVec3::new(0.02, -0.03, 0.011) * f64::from(i - 10)).collect();
        let map = DepthMap::projected(&view, &points);
        assert!(map.len() > 5 && map.len() <= 20, "{}", map.len());
        let pixel = view.camera.focal.x.recip();
        for found in map.points(&view, 100) {
            let nearest = points.iter().map(|p| p.distance(found)).fold(f64::MAX, f64::min);
            assert!(nearest < 4.0 * pixel, "{nearest}");
        }
        // Behind the camera and outside of the image nothing is shown.
        let behind = view.camera.position() * 2.0;
        assert!(DepthMap::projected(&view, &[behind, DVec3::splat(f64::NAN)]).is_empty());
        let half = map.downsampled(2, (40, 40));
        let DepthMap::Sparse(kept) = &half else { panic!("sparse maps stay sparse") };
        let small = view.downsampled(2);
        for (i, depth) in kept {
            let (x, y) = (i % 20, i / 20);
            assert_eq!(map.at((2 * x + 1, 2 * y + 1), (40, 40)), Some(*depth));
            assert!(small.image.width == 20 && *i < 20 * 20);
        }
    }
}
