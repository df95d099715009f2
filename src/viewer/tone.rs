//! From the layers of a frame to what is seen: background, exposure, false colours, errors.

use rayon::prelude::*;

use crate::layer::Show;
use crate::painter::View;
use nstr_capture as capture;
use nstr_metrics::image::psnr_of_mse;
use nstr_image::colour::{false_colour, linear_from_srgb, srgb_from_linear};
use nstr_image::Rgba8;
use nstr_render::layers::{Range, picture};
use nstr_image::colour::Background;
use nstr_camera::camera::Camera;
use nstr_render::{Frame, Layer};

/// A picture and what it says.
pub struct Toned {
    /// sRGB, opaque unless the background is transparent and stays so.
    pub image: Rgba8,
    /// Range of the false colours.
    pub range: Option<(f32, f32)>,
    /// PSNR against the reference.
    pub psnr: Option<f64>,
}

/// Edge of the squares that stand for a transparent background, pixels.
const SQUARE: usize = 8;
/// Their sRGB values.
const SQUARES: [f32; 2] = [0.42, 0.50];
/// Shares of the values that an automatic range leaves out at either end: a few outliers would hide the rest.
const OUTSIDE: f64 = 0.01;
/// An error this large is the end of the scale.
const FULL_ERROR: f32 = 0.25;

/// The picture of `frame`, which `camera` saw with the layers of `view.show`. With `squares` a transparent background is
/// drawn as a chequerboard.
pub fn tone(frame: &Frame, view: &View, camera: &Camera, squares: bool) -> Toned {
    let plain = |image| Toned { image: over(image, frame, view, squares), range: None, psnr: None };
    match (view.show, &view.reference) {
        (Show::Error, Some(reference)) => error(frame, view, camera, reference),
        (Show::Shaded | Show::Error, _) => plain(colours(frame, view)),
        (Show::Spectrum, _) => plain(spectrum(frame)),
        (Show::Normals, _) => plain(picture(frame, Layer::Normal, 0, Range::Auto).unwrap_or_else(|| blank(frame))),
        (Show::Depth, _) => scalar(frame, view, squares, Layer::DepthRay, &frame.depth_ray),
        (Show::Gradient, _) => scalar(frame, view, squares, Layer::GradS, &frame.grad_s),
        (Show::Curvature, _) => scalar(frame, view, squares, Layer::Curvature, &frame.curvature),
        (Show::Residual, _) => scalar(frame, view, squares, Layer::Residual, &frame.residual),
        (Show::Steps, _) => scalar(frame, view, squares, Layer::Steps, &frame.steps),
    }
}

fn blank(frame: &Frame) -> Rgba8 {
    Rgba8::from_fn(frame.width, frame.height, |_| [0; 4])
}

/// The colour layer in sRGB with straight alpha, exposed.
fn colours(frame: &Frame, view: &View) -> Rgba8 {
    let gain = view.exposure.exp2();
    let table = SrgbTable::new();
    pixels(frame.width, frame.height, |i| {
        let Some([r, g, b, a]) = frame.colour.get(i).copied() else { return [0; 4] };
        let share = if a > 0.0 { gain / a } else { 0.0 };
        let [r, g, b] = [r, g, b].map(|v| table.byte(v * share));
        [r, g, b, (a.clamp(0.0, 1.0) * 255.0 + 0.5) as u8]
    })
}

fn pixels(width: u32, height: u32, pixel: impl Fn(usize) -> [u8; 4] + Sync) -> Rgba8 {
    let mut data = vec![0; width as usize * height as usize * 4];
    data.par_chunks_exact_mut(4).enumerate().with_min_len(4096).for_each(|(i, p)| p.copy_from_slice(&pixel(i)));
    Rgba8 { width, height, data }
}

/// 8-bit sRGB of linear values by table: the curve's powers would take longer than the coarse pictures themselves.
struct SrgbTable(Vec<u8>);

/// Entries of the table, on the square root of the linear value: fine enough that no byte is skipped.
const ENTRIES: usize = 4096;

impl SrgbTable {
    fn new() -> Self {
        let entry = |i: usize| {
            let root = i as f32 / (ENTRIES - 1) as f32;
            (srgb_from_linear(root * root) * 255.0 + 0.5) as u8
        };
        Self((0..ENTRIES).map(entry).collect())
    }

    fn byte(&self, linear: f32) -> u8 {
        let root = linear.clamp(0.0, 1.0).sqrt();
        self.0[((root * (ENTRIES - 1) as f32 + 0.5) as usize).min(ENTRIES - 1)]
    }
}

/// Lays a picture with straight alpha over the background. Surfaces mix in linear light, as antialiasing wants it;
/// radiance fields in sRGB values, as they were trained.
fn over(image: Rgba8, frame: &Frame, view: &View, squares: bool) -> Rgba8 {
    let behind = view.background.srgb();
    if behind.is_none() && !squares {
        return image;
    }
    let as_trained = view.scene.is_radiance();
    let width = frame.width.max(1) as usize;
    let table = SrgbTable::new();
    let mut image = image;
    image.data.par_chunks_exact_mut(4).enumerate().with_min_len(4096).for_each(|(i, p)| {
        let alpha = f32::from(p[3]) / 255.0;
        let below = behind.unwrap_or_else(|| {
            let (x, y) = (i % width, i / width);
            [SQUARES[(x / SQUARE + y / SQUARE) % 2]; 3]
        });
        if p[3] == 255 {
            return;
        }
        for (v, below) in p.iter_mut().zip(below) {
            *v = if as_trained || alpha == 0.0 {
                (f32::from(*v) * alpha + below * 255.0 * (1.0 - alpha) + 0.5) as u8
            } else {
                let mixed = linear_from_srgb(f32::from(*v) / 255.0) * alpha + linear_from_srgb(below) * (1.0 - alpha);
                table.byte(mixed)
            };
        }
        p[3] = 255;
    });
    image
}

/// A layer of single values in false colours.
fn scalar(frame: &Frame, view: &View, squares: bool, layer: Layer, values: &[f32]) -> Toned {
    let range = range(frame, layer, values);
    let fixed = range.map_or(Range::Auto, |(lo, hi)| Range::Fixed(lo, hi));
    let image = picture(frame, layer, 0, fixed).unwrap_or_else(|| blank(frame));
    Toned { image: over(image, frame, view, squares), range, psnr: None }
}

/// What a layer's false colours span; `None` where nothing was hit.
fn range(frame: &Frame, layer: Layer, values: &[f32]) -> Option<(f32, f32)> {
    let hit = |i: usize| layer == Layer::Steps || frame.depth_ray.get(i).is_none_or(|d| d.is_finite());
    let seen = values.iter().enumerate().filter(|(i, v)| v.is_finite() && hit(*i)).map(|(_, v)| *v);
    match layer {
        // Signed: the colours' middle is 0.
        Layer::Curvature => span(seen.map(f32::abs).collect()).map(|(_, most)| (-most, most)),
        _ => span(seen.collect()),
    }
}

/// What the colours of a picture span: of its value in the first place, or of the first three values of S.
pub fn ranges(frame: &Frame, show: Show) -> [(f32, f32); 3] {
    let one = |layer, values: &[f32]| [range(frame, layer, values).unwrap_or((0.0, 1.0)); 3];
    match show {
        Show::Shaded | Show::Normals | Show::Error => [(0.0, 1.0); 3],
        Show::Spectrum => {
            let known = spectrum_ranges(frame);
            std::array::from_fn(|c| known.get(c).copied().unwrap_or((0.0, 1.0)))
        }
        Show::Depth => one(Layer::DepthRay, &frame.depth_ray),
        Show::Gradient => one(Layer::GradS, &frame.grad_s),
        Show::Curvature => one(Layer::Curvature, &frame.curvature),
        Show::Residual => one(Layer::Residual, &frame.residual),
        Show::Steps => one(Layer::Steps, &frame.steps),
    }
}

/// Of the first three values of S, as many as there are.
fn spectrum_ranges(frame: &Frame) -> Vec<(f32, f32)> {
    let width = frame.spectrum_width;
    let hit = |i: usize| frame.depth_ray.get(i).is_some_and(|d| d.is_finite());
    let one = |c| {
        let of = frame.spectrum.iter().skip(c).step_by(width).enumerate();
        span(of.filter(|(i, _)| hit(*i)).map(|(_, v)| *v).collect()).unwrap_or((0.0, 1.0))
    };
    (0..width.min(3)).map(one).collect()
}

/// Lowest and highest value but for the outermost few; `None` without values.
fn span(mut values: Vec<f32>) -> Option<(f32, f32)> {
    let last = values.len().checked_sub(1)?;
    values.sort_unstable_by(f32::total_cmp);
    let cut = (last as f64 * OUTSIDE) as usize;
    Some((values[cut], values[last - cut]))
}

/// The first three values of S, each on its own range; fewer leave their colours dark.
fn spectrum(frame: &Frame) -> Rgba8 {
    let width = frame.spectrum_width;
    if width == 0 || frame.spectrum.is_empty() {
        return blank(frame);
    }
    let hit = |i: usize| frame.depth_ray.get(i).is_some_and(|d| d.is_finite());
    let ranges = spectrum_ranges(frame);
    pixels(frame.width, frame.height, |i| {
        if !hit(i) {
            return [0; 4];
        }
        let value = |c: usize| match ranges.get(c) {
            Some((lo, hi)) => {
                let unit = (frame.spectrum[i * width + c] - lo) / (hi - lo).max(1e-20);
                (unit.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
            }
            None => 0,
        };
        [value(0), value(1), value(2), 255]
    })
}

/// Where the picture differs from the capture's image; the background where the image shows nothing.
fn error(frame: &Frame, view: &View, camera: &Camera, reference: &capture::View) -> Toned {
    let behind = view.background.srgb().unwrap_or([1.0; 3]);
    let opaque = View { background: Background::Colour(behind.map(linear_from_srgb)), exposure: 0.0, ..view.clone() };
    let image = over(colours(frame, &opaque), frame, &opaque, true);
    let width = frame.width.max(1) as usize;
    let wanted: Vec<Option<[f32; 3]>> = (0..image.data.len() / 4)
        .into_par_iter()
        .map(|i| {
            let ray = camera.ray((i % width) as f64 + 0.5, (i / width) as f64 + 0.5);
            let at = reference.project(reference.camera.position() + ray.direction)?;
            sample(reference, at.x, at.y, behind)
        })
        .collect();
    let difference = |i: usize| {
        let wanted = wanted[i]?;
        let got: [f32; 3] = std::array::from_fn(|c| f32::from(image.data[4 * i + c]) / 255.0);
        Some(std::array::from_fn(|c| got[c] - wanted[c]))
    };
    let (mut sum, mut count) = (0.0, 0usize);
    for d in (0..wanted.len()).filter_map(difference) {
        let d: [f32; 3] = d;
        sum += d.iter().map(|v| f64::from(v * v)).sum::<f64>();
        count += 3;
    }
    let shown = pixels(frame.width, frame.height, |i| match difference(i) {
        Some(d) => {
            let size = d.iter().map(|v| v.abs()).sum::<f32>() / 3.0;
            let [r, g, b] = false_colour(size / FULL_ERROR).map(|v| (v * 255.0 + 0.5) as u8);
            [r, g, b, 255]
        }
        None => [0; 4],
    });
    let psnr = (count > 0).then(|| psnr_of_mse(sum / count as f64));
    Toned { image: over(shown, frame, view, true), range: Some((0.0, FULL_ERROR)), psnr }
}

/// sRGB of the image at `(x, y)` in pixels, between four of them, over a background; `None` beyond its edges and where it
/// says nothing.
fn sample(view: &capture::View, x: f64, y: f64, behind: [f32; 3]) -> Option<[f32; 3]> {
    let (w, h) = (view.image.width, view.image.height);
    if !(x >= 0.0 && y >= 0.0 && x <= f64::from(w) && y <= f64::from(h)) || view.image.pixels.is_empty() {
        return None;
    }
    let (x, y) = (x - 0.5, y - 0.5);
    let place = |v: f64, side: u32| (v.clamp(0.0, f64::from(side - 1))) as u32;
    let (x0, y0) = (place(x.floor(), w), place(y.floor(), h));
    let (x1, y1) = (place(x.floor() + 1.0, w), place(y.floor() + 1.0, h));
    let (u, v) = ((x - x.floor()) as f32, (y - y.floor()) as f32);
    let mut sum = [0.0; 3];
    for (px, py, weight) in
        [(x0, y0, (1.0 - u) * (1.0 - v)), (x1, y0, u * (1.0 - v)), (x0, y1, (1.0 - u) * v), (x1, y1, u * v)]
    {
        if !view.usable((py * w + px) as usize) {
            return None;
        }
        let [r, g, b, a] = view.image.pixel(px, py).map(|v| f32::from(v) / 255.0);
        for ((sum, value), behind) in sum.iter_mut().zip([r, g, b]).zip(behind) {
            *sum += weight * (value * a + behind * (1.0 - a));
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_curve() {
        let table = SrgbTable::new();
        for i in 0..=10_000 {
            let v = i as f32 / 10_000.0;
            let exact = srgb_from_linear(v) * 255.0;
            assert!((f32::from(table.byte(v)) - exact).abs() < 0.65, "{v}");
        }
        assert_eq!((table.byte(-1.0), table.byte(9.0), table.byte(f32::NAN)), (0, 255, 0));
    }

    #[test]
    fn ranges_leave_outliers_out() {
        let mut values: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        values.push(1e9);
        let (lo, hi) = span(values).unwrap();
        assert!(lo < 15.0 && (980.0..1000.0).contains(&hi));
        assert_eq!(span(vec![3.0]), Some((3.0, 3.0)));
        assert_eq!(span(Vec::new()), None);
    }
}
