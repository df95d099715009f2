//! Tone mapping on the CPU: from the layers of a frame to an sRGB image with background, exposure, colour maps or errors.

use std::borrow::Cow;
use std::sync::LazyLock;

use nstr_camera::camera::Camera;
use nstr_capture as capture;
use nstr_image::Rgba8;
use nstr_image::colormap::error_colormap;
use nstr_image::colour::Background;
use nstr_image::colour::{linear_from_srgb, srgb_from_linear};
use nstr_metrics::image::psnr_from_mse;
use nstr_render::{Backdrop, Frame, Layer, SectionView, tone_curve, tone_curve_inverse};
use nstr_render::{ValueRange, layer_image};
use rayon::prelude::*;

use crate::display_mode::DisplayMode;
use crate::edges::Patch;
use crate::reference_mesh;
use crate::render_backend::RenderRequest;

/// Tone-mapped image with its legend.
pub(crate) struct Tonemapped {
    /// sRGB, opaque unless a transparent background is kept.
    pub image: Rgba8,
    /// Range of values of the colour map, if one is used.
    pub range: Option<(f32, f32)>,
    /// PSNR against the reference, dB.
    pub psnr: Option<f64>,
}

/// Lowest and highest value of each of up to three values a pixel.
pub(crate) type ColourRanges = [(f32, f32); 3];

/// Fraction of the values that an automatic range leaves out at either end: a few outliers would hide the rest.
const TRIMMED: f64 = 0.01;
/// Upper end of the error's colour map.
const MAX_ERROR: f32 = 0.25;

/// Maps `frame`, which `camera` saw with the layers of `request.mode`; in false colours the `patches` replace pixels, and values span
/// `ranges`, or those in sight. A transparent background stays.
pub(crate) fn tonemap(
    frame: &Frame,
    patches: &[Patch],
    request: &RenderRequest,
    camera: &Camera,
    ranges: Option<ColourRanges>,
) -> Tonemapped {
    if let (DisplayMode::Error, Some(reference)) = (request.mode, &request.reference) {
        return error_map(frame, request, camera, reference);
    }
    if let (DisplayMode::Error, Some(query)) = (request.mode, &request.mesh) {
        let distances = reference_mesh::distances(frame, camera, query);
        let most = trimmed_range(distances.iter().copied().filter(|d| d.is_finite()).collect()).map_or(0.0, |r| r.1);
        let image = reference_mesh::coloured(&distances, frame.width, frame.height, most);
        let range = (most > 0.0).then_some((0.0, most));
        return Tonemapped { image: over_background(image, request), range, psnr: None };
    }
    let scalar = request.mode.scalar_layer();
    let known = scalar.and_then(|layer| ranges.map_or_else(|| colour_range(frame, layer), |ranges| Some(ranges[0])));
    let seen = || known.map_or_else(|| colour_ranges(frame, request.mode), |range| [range; 3]);
    let ranges = ranges.unwrap_or_else(seen);
    let Some(mut image) = false_colours(frame, request.mode, &ranges) else {
        let colours = exposed_colours(&with_coloured_cap(frame, request, camera), request);
        let image = match request.backdrop() {
            Some(backdrop) => over_backdrop(colours, &backdrop, camera),
            None => over_background(colours, request),
        };
        return Tonemapped { image, range: None, psnr: None };
    };
    let pixels = image.data.as_chunks_mut::<4>().0;
    for (i, colour) in patches {
        pixels[*i as usize] = *colour;
    }
    Tonemapped { image: over_background(image, request), range: known, psnr: None }
}

/// sRGB pixels with straight alpha of a layer in false colours on the given ranges; `None` for a layer of colours.
pub(crate) fn false_colours(frame: &Frame, mode: DisplayMode, ranges: &ColourRanges) -> Option<Rgba8> {
    let image = match (mode, mode.scalar_layer()) {
        (_, Some(layer)) => layer_image(frame, layer, 0, ValueRange::Fixed(ranges[0].0, ranges[0].1)),
        (DisplayMode::Spectrum, _) => Some(spectrum_rgb(frame, ranges)),
        (DisplayMode::Normals, _) => layer_image(frame, Layer::Normal, 0, ValueRange::Auto),
        _ => return None,
    };
    Some(image.unwrap_or_else(|| blank(frame)))
}

/// Factors of linear red, green and blue where a section cuts through a solid: the cut is told from its surface.
const CAP_TINT: [f32; 3] = [1.0, 0.56, 0.28];
/// Distance from the section's plane within which a hit lies on it, as a fraction of the depth.
const ON_PLANE: f64 = 1e-4;

/// The frame with the cut face of a solid tinted.
fn with_coloured_cap<'a>(frame: &'a Frame, request: &RenderRequest, camera: &Camera) -> Cow<'a, Frame> {
    let section = request.section.filter(|s| s.show == SectionView::Cut && !request.scene.is_radiance());
    let Some(section) = section.filter(|_| frame.depth_ray.len() == frame.colour.len()) else {
        return Cow::Borrowed(frame);
    };
    let width = frame.width.max(1) as usize;
    let mut tinted = Frame { colour: frame.colour.clone(), ..Frame::default() };
    let (size, depths) = ((frame.width, frame.height), &frame.depth_ray);
    (tinted.width, tinted.height) = size;
    tinted.colour.par_iter_mut().zip(depths).enumerate().with_min_len(4096).for_each(|(i, (colour, depth))| {
        if !depth.is_finite() {
            return;
        }
        let ray = camera.ray((i % width) as f64 + 0.5, (i / width) as f64 + 0.5);
        let hit = ray.origin + ray.direction * f64::from(*depth);
        if (section.normal.dot(hit) - section.offset).abs() < ON_PLANE * f64::from(*depth) {
            colour.iter_mut().zip(CAP_TINT).for_each(|(v, tint)| *v *= tint);
        }
    });
    Cow::Owned(tinted)
}

fn blank(frame: &Frame) -> Rgba8 {
    Rgba8::from_fn(frame.width, frame.height, |_| [0; 4])
}

/// The colour layer with exposure, in sRGB with straight alpha.
fn exposed_colours(frame: &Frame, request: &RenderRequest) -> Rgba8 {
    let gain = request.exposure.exp2();
    let table = srgb_table();
    // At rest the picture of a surface is as it was rendered; else its highlights bend towards white instead of being cut off.
    let bends = gain != 1.0 && !request.scene.is_radiance();
    let exposed = |v: f32| if bends { tone_curve(tone_curve_inverse(v) * gain) } else { v * gain };
    pixels(frame.width, frame.height, |i| {
        let Some([r, g, b, a]) = frame.colour.get(i).copied() else { return [0; 4] };
        let share = if a > 0.0 { 1.0 / a } else { 0.0 };
        let [r, g, b] = [r, g, b].map(|v| table.byte(exposed(v * share)));
        [r, g, b, (a.clamp(0.0, 1.0) * 255.0 + 0.5) as u8]
    })
}

fn pixels(width: u32, height: u32, pixel: impl Fn(usize) -> [u8; 4] + Sync) -> Rgba8 {
    let mut data = vec![0; width as usize * height as usize * 4];
    data.par_chunks_exact_mut(4).enumerate().with_min_len(4096).for_each(|(i, p)| p.copy_from_slice(&pixel(i)));
    Rgba8 { width, height, data }
}

/// The table, made once.
fn srgb_table() -> &'static SrgbTable {
    static TABLE: LazyLock<SrgbTable> = LazyLock::new(SrgbTable::new);
    &TABLE
}

/// Table of 8-bit sRGB by linear value: computing the powers would take longer than rendering a coarse image.
struct SrgbTable(Vec<u8>);

/// Entries of the table, spaced by the square root of the linear value, close enough that no byte is skipped.
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

/// Composites an image with straight alpha over the background, unless that is transparent. Surfaces mix in linear light, as antialiasing needs it;
/// radiance fields mix in sRGB values, as they were trained.
fn over_background(mut image: Rgba8, request: &RenderRequest) -> Rgba8 {
    let Some(below) = request.background.srgb() else { return image };
    let mixes_srgb = request.scene.is_radiance();
    let table = srgb_table();
    image.data.par_chunks_exact_mut(4).with_min_len(4096).for_each(|p| {
        let alpha = f32::from(p[3]) / 255.0;
        if p[3] == 255 {
            return;
        }
        for (v, below) in p.iter_mut().zip(below) {
            *v = if mixes_srgb || alpha == 0.0 {
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

/// Composites an image with straight alpha over a backdrop, in linear light.
fn over_backdrop(mut image: Rgba8, backdrop: &Backdrop, camera: &Camera) -> Rgba8 {
    let (table, width) = (srgb_table(), image.width.max(1) as usize);
    image.data.par_chunks_exact_mut(4 * width).enumerate().for_each(|(y, row)| {
        let behind = backdrop.row(camera, y);
        for (x, p) in row.as_chunks_mut::<4>().0.iter_mut().enumerate().filter(|(_, p)| p[3] != 255) {
            let (alpha, below) = (f32::from(p[3]) / 255.0, behind(x));
            for (v, below) in p.iter_mut().zip(below) {
                let above = if alpha == 0.0 { 0.0 } else { linear_from_srgb(f32::from(*v) / 255.0) * alpha };
                *v = table.byte(above + below * (1.0 - alpha));
            }
            p[3] = 255;
        }
    });
    image
}

/// Range of the colour map of a scalar layer; `None` if nothing was hit.
fn colour_range(frame: &Frame, layer: Layer) -> Option<(f32, f32)> {
    let hit = |i: usize| layer == Layer::Steps || frame.depth_ray.get(i).is_none_or(|d| d.is_finite());
    let seen = frame.values(layer).iter().enumerate().filter(|(i, v)| v.is_finite() && hit(*i)).map(|(_, v)| *v);
    match layer {
        // The diverging colour map is centred at 0.
        Layer::Curvature => trimmed_range(seen.map(f32::abs).collect()).map(|(_, most)| (-most, most)),
        _ => trimmed_range(seen.collect()),
    }
}

/// Ranges of the colour maps of a display mode: that of its scalar layer first, or those of the first three values of S.
pub(crate) fn colour_ranges(frame: &Frame, mode: DisplayMode) -> ColourRanges {
    const UNIT: (f32, f32) = (0.0, 1.0);
    match mode.scalar_layer() {
        Some(layer) => [colour_range(frame, layer).unwrap_or(UNIT); 3],
        None if mode == DisplayMode::Spectrum => {
            let known = spectrum_ranges(frame);
            std::array::from_fn(|c| known.get(c).copied().unwrap_or(UNIT))
        }
        None => [UNIT; 3],
    }
}

/// Ranges of the first three values of S, or of as many as there are.
fn spectrum_ranges(frame: &Frame) -> Vec<(f32, f32)> {
    let width = frame.spectrum_width;
    let hit = |i: usize| frame.depth_ray.get(i).is_some_and(|d| d.is_finite());
    let one = |c| {
        let of = frame.spectrum.iter().skip(c).step_by(width).enumerate();
        trimmed_range(of.filter(|(i, _)| hit(*i)).map(|(_, v)| *v).collect()).unwrap_or((0.0, 1.0))
    };
    (0..width.min(3)).map(one).collect()
}

/// Lowest and highest value without [`TRIMMED`] of the values at either end; `None` without values.
fn trimmed_range(mut values: Vec<f32>) -> Option<(f32, f32)> {
    let last = values.len().checked_sub(1)?;
    let cut = (last as f64 * TRIMMED) as usize;
    let (_, low, rest) = values.select_nth_unstable_by(cut, f32::total_cmp);
    let low = *low;
    let high = match last - 2 * cut {
        0 => low,
        beyond => *rest.select_nth_unstable_by(beyond - 1, f32::total_cmp).1,
    };
    Some((low, high))
}

/// The first three values of S as RGB, each on its own range; missing values are black.
fn spectrum_rgb(frame: &Frame, ranges: &ColourRanges) -> Rgba8 {
    let width = frame.spectrum_width;
    if width == 0 || frame.spectrum.is_empty() {
        return blank(frame);
    }
    let hit = |i: usize| frame.depth_ray.get(i).is_some_and(|d| d.is_finite());
    pixels(frame.width, frame.height, |i| {
        if !hit(i) {
            return [0; 4];
        }
        let value = |c: usize| {
            let (lo, hi) = ranges[c];
            let unit = if c < width { (frame.spectrum[i * width + c] - lo) / (hi - lo).max(1e-20) } else { 0.0 };
            (unit.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
        };
        [value(0), value(1), value(2), 255]
    })
}

/// Absolute difference to the capture's image; the background where the image has no value.
fn error_map(frame: &Frame, request: &RenderRequest, camera: &Camera, reference: &capture::View) -> Tonemapped {
    let backdrop = request.background.srgb().unwrap_or([1.0; 3]);
    let background = Background::Colour(backdrop.map(linear_from_srgb));
    let opaque = RenderRequest { background, exposure: 0.0, ..request.clone() };
    let image = over_background(exposed_colours(frame, &opaque), &opaque);
    let width = frame.width.max(1) as usize;
    let wanted: Vec<Option<[f32; 3]>> = (0..image.data.len() / 4)
        .into_par_iter()
        .map(|i| {
            let ray = camera.ray((i % width) as f64 + 0.5, (i / width) as f64 + 0.5);
            let at = reference.project(reference.camera.position() + ray.direction)?;
            sample_bilinear(reference, at.x, at.y, backdrop)
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
            let [r, g, b] = error_colormap(size / MAX_ERROR).map(|v| (v * 255.0 + 0.5) as u8);
            [r, g, b, 255]
        }
        None => [0; 4],
    });
    let psnr = (count > 0).then(|| psnr_from_mse(sum / count as f64));
    Tonemapped { image: over_background(shown, request), range: Some((0.0, MAX_ERROR)), psnr }
}

/// Bilinear sRGB value of the image at `(x, y)` in pixels, over a background; `None` beyond its edges and at masked pixels.
pub(crate) fn sample_bilinear(view: &capture::View, x: f64, y: f64, background: [f32; 3]) -> Option<[f32; 3]> {
    let (w, h) = (view.image.width, view.image.height);
    if !(x >= 0.0 && y >= 0.0 && x <= f64::from(w) && y <= f64::from(h)) || view.image.pixels.is_empty() {
        return None;
    }
    let (x, y) = (x - 0.5, y - 0.5);
    let clamped = |v: f64, side: u32| (v.clamp(0.0, f64::from(side - 1))) as u32;
    let (x0, y0) = (clamped(x.floor(), w), clamped(y.floor(), h));
    let (x1, y1) = (clamped(x.floor() + 1.0, w), clamped(y.floor() + 1.0, h));
    let (u, v) = ((x - x.floor()) as f32, (y - y.floor()) as f32);
    let mut sum = [0.0; 3];
    for (px, py, weight) in
        [(x0, y0, (1.0 - u) * (1.0 - v)), (x1, y0, u * (1.0 - v)), (x0, y1, (1.0 - u) * v), (x1, y1, u * v)]
    {
        if !view.usable((py * w + px) as usize) {
            return None;
        }
        let [r, g, b, a] = view.image.pixel(px, py).map(|v| f32::from(v) / 255.0);
        for ((sum, value), background) in sum.iter_mut().zip([r, g, b]).zip(background) {
            *sum += weight * (value * a + background * (1.0 - a));
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
    fn the_cut_face_of_a_solid_is_tinted() {
        use glam::{DVec3, Vec3};
        use nstr_space::Cube;
        use nstr_space::analytic::{AnalyticSdf, sphere};

        use crate::render_backend::Quality;
        use crate::scene::{Scene, SceneField};

        let ball = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
        let scene = std::sync::Arc::new(Scene::new(SceneField::Sdf(std::sync::Arc::new(ball)), Cube::default()));
        let pose = Camera::look_at(DVec3::new(0.5, 0.5, 2.5), DVec3::splat(0.5), DVec3::Y).unwrap();
        let camera = Camera::with_fov_y(20, 20, 30.0, pose).unwrap();
        let section = nstr_render::Section { normal: DVec3::Z, offset: 0.5, show: SectionView::Cut };
        let request =
            RenderRequest { section: Some(section), ..RenderRequest::shaded(scene, camera, Quality::Full(1)) };
        let depth_ray = (0..400).map(|i| {
            if i < 200 { 2.0 / camera.ray(0.5 + (i % 20) as f64, 0.5 + (i / 20) as f64).cosine as f32 } else { 1.5 }
        });
        let colour = vec![[0.5, 0.5, 0.5, 1.0]; 400];
        let frame = Frame { width: 20, height: 20, depth_ray: depth_ray.collect(), colour, ..Frame::default() };
        let image = tonemap(&frame, &[], &request, &camera, None).image;
        let pixel = |i: usize| &image.data[4 * i..4 * i + 3];
        assert!(pixel(50)[0] > pixel(50)[2] + 50, "on the plane: {:?}", pixel(50));
        assert!(pixel(350)[0] == pixel(350)[2], "behind it: {:?}", pixel(350));
    }

    #[test]
    fn ranges_leave_outliers_out() {
        let mut values: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        values.push(1e9);
        let (lo, hi) = trimmed_range(values).unwrap();
        assert!(lo < 15.0 && (980.0..1000.0).contains(&hi));
        assert_eq!(trimmed_range(vec![3.0]), Some((3.0, 3.0)));
        assert_eq!(trimmed_range(vec![4.0, 3.0]), Some((3.0, 4.0)));
        // As by sorting.
        let values: Vec<f32> = (0..997).map(|i| (i * 619 % 997) as f32).collect();
        assert_eq!(trimmed_range(values), Some((9.0, 987.0)));
        assert_eq!(trimmed_range(Vec::new()), None);
    }
}
