//! Images of layers: colour as it is, data in false colours.

use nstr_image::Rgba8;
use nstr_image::colormap::{diverging_colormap, sequential_colormap};
use nstr_image::colour::srgb_from_linear;

use crate::frame::Frame;
use crate::layers::Layer;

/// Range of values that a false-colour image spans.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum ValueRange {
    /// Lowest to highest finite value over the object; of curvature, whose range is symmetric about 0, what 98 % of the
    /// object's values stay within.
    #[default]
    Auto,
    /// A stated range, so that images can be compared; of curvature, up to the larger magnitude on either side of 0.
    Fixed(f32, f32),
}

/// Image of one layer: colour and alpha as they are, normals and positions as RGB, the others in false colour (curvature
/// on a diverging map: blue where hollow, red where convex).
///
/// `channel` picks the value of [`Layer::Spectrum`] and is ignored otherwise. Pixels without a hit are transparent (steps
/// are shown everywhere). Hits are known from [`Layer::DepthRay`]; without it every pixel is shown. `None` where the frame
/// lacks the layer or channel.
pub fn layer_image(frame: &Frame, layer: Layer, channel: usize, range: ValueRange) -> Option<Rgba8> {
    let (w, h) = (frame.width, frame.height);
    let hit = |i: usize| frame.depth_ray.get(i).is_none_or(|d| d.is_finite());
    let vector = |data: &[[f32; 3]], lo: [f32; 3], hi: [f32; 3]| {
        Rgba8::from_fn(w, h, |i| {
            if data[i] == [0.0; 3] {
                return [0; 4];
            }
            let unit: [f32; 3] = std::array::from_fn(|c| (data[i][c] - lo[c]) / (hi[c] - lo[c]).max(1e-20));
            let [r, g, b] = unit.map(byte);
            [r, g, b, 255]
        })
    };
    match layer {
        Layer::Colour => (!frame.colour.is_empty()).then(|| frame.to_srgb()),
        Layer::Normal => (!frame.normal.is_empty()).then(|| vector(&frame.normal, [-1.0; 3], [1.0; 3])),
        Layer::Position => (!frame.position.is_empty()).then(|| {
            let seen = || frame.position.iter().filter(|p| **p != [0.0; 3]);
            let lo = seen().fold([f32::MAX; 3], |a, p| std::array::from_fn(|c| a[c].min(p[c])));
            let hi = seen().fold([f32::MIN; 3], |a, p| std::array::from_fn(|c| a[c].max(p[c])));
            vector(&frame.position, lo, hi)
        }),
        Layer::Alpha => (!frame.alpha.is_empty()).then(|| {
            Rgba8::from_fn(w, h, |i| {
                let v = byte(frame.alpha[i]);
                [v, v, v, 255]
            })
        }),
        Layer::Spectrum => {
            let k = frame.spectrum_width;
            let values: Vec<f32> = frame.spectrum.iter().skip(channel).step_by(k.max(1)).copied().collect();
            (channel < k && !values.is_empty()).then(|| scalar(w, h, &values, hit, range))
        }
        Layer::Steps => scalar_of(w, h, &frame.steps, |_| true, range),
        Layer::SpectrumGradientNorm => scalar_of(w, h, &frame.grad_s, hit, range),
        Layer::Residual => scalar_of(w, h, &frame.residual, hit, range),
        Layer::Curvature => (!frame.curvature.is_empty()).then(|| signed(w, h, &frame.curvature, hit, range)),
        Layer::DepthRay => scalar_of(w, h, &frame.depth_ray, |i| frame.depth_ray[i].is_finite(), range),
        Layer::DepthZ => scalar_of(w, h, &frame.depth_z, |i| frame.depth_z[i].is_finite(), range),
    }
}

/// Range of values that [`layer_image`] spans in false colours with [`ValueRange::Auto`], `channel` as there. `None` for layers
/// without false colours, and where there is no finite value on the object.
pub fn layer_range(frame: &Frame, layer: Layer, channel: usize) -> Option<(f32, f32)> {
    let hit = |i: usize| frame.depth_ray.get(i).is_none_or(|d| d.is_finite());
    let spectrum: Vec<f32>;
    let (values, shown): (&[f32], &dyn Fn(usize) -> bool) = match layer {
        Layer::Colour | Layer::Alpha | Layer::Position | Layer::Normal => return None,
        Layer::Spectrum if channel >= frame.spectrum_width => return None,
        Layer::Spectrum => {
            spectrum = frame.spectrum.iter().skip(channel).step_by(frame.spectrum_width).copied().collect();
            (&spectrum, &hit)
        }
        Layer::Steps => (&frame.steps, &|_| true),
        Layer::SpectrumGradientNorm => (&frame.grad_s, &hit),
        Layer::Residual => (&frame.residual, &hit),
        Layer::Curvature => {
            let most = (!frame.curvature.is_empty()).then(|| largest(&frame.curvature, hit));
            return most.filter(|most| *most > 0.0).map(|most| (-most, most));
        }
        Layer::DepthRay => (&frame.depth_ray, &|_| true),
        Layer::DepthZ => (&frame.depth_z, &|_| true),
    };
    let (low, high) = spanned(values, shown);
    (low <= high).then_some((low, high))
}

/// Lowest and highest finite value of those that are shown; the wrong way round where there is none.
fn spanned(values: &[f32], shown: impl Fn(usize) -> bool) -> (f32, f32) {
    (0..values.len())
        .filter(|&i| shown(i) && values[i].is_finite())
        .fold((f32::MAX, f32::MIN), |(lo, hi), i| (lo.min(values[i]), hi.max(values[i])))
}

/// Magnitude that [`WITHIN`] of the finite values that are shown stay within.
fn largest(values: &[f32], shown: impl Fn(usize) -> bool) -> f32 {
    let shown = (0..values.len()).filter(|i| shown(*i) && values[*i].is_finite());
    let mut sizes: Vec<f32> = shown.map(|i| values[i].abs()).collect();
    sizes.sort_unstable_by(f32::total_cmp);
    let last = (sizes.len() as f64 * WITHIN).ceil() as usize;
    sizes.get(last.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn byte(unit: f32) -> u8 {
    (unit.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

fn scalar_of(w: u32, h: u32, values: &[f32], shown: impl Fn(usize) -> bool, range: ValueRange) -> Option<Rgba8> {
    (!values.is_empty()).then(|| scalar(w, h, values, shown, range))
}

fn scalar(w: u32, h: u32, values: &[f32], shown: impl Fn(usize) -> bool, range: ValueRange) -> Rgba8 {
    let (lo, hi) = match range {
        ValueRange::Fixed(lo, hi) => (lo, hi),
        ValueRange::Auto => spanned(values, &shown),
    };
    Rgba8::from_fn(w, h, |i| match shown(i) && values[i].is_finite() {
        true => {
            let [r, g, b] = sequential_colormap((values[i] - lo) / (hi - lo).max(1e-20)).map(byte);
            [r, g, b, 255]
        }
        false => [0; 4],
    })
}

/// Fraction of the values that an automatic range about 0 holds: the few at sharp edges would leave the rest pale.
const WITHIN: f64 = 0.98;

/// An image whose range is symmetric about 0.
fn signed(w: u32, h: u32, values: &[f32], shown: impl Fn(usize) -> bool, range: ValueRange) -> Rgba8 {
    let most = match range {
        ValueRange::Fixed(lo, hi) => lo.abs().max(hi.abs()),
        ValueRange::Auto => largest(values, &shown),
    };
    Rgba8::from_fn(w, h, |i| match shown(i) && values[i].is_finite() {
        true => {
            let [r, g, b] = diverging_colormap(values[i] / most.max(1e-20)).map(byte);
            [r, g, b, 255]
        }
        false => [0; 4],
    })
}

/// 8-bit sRGB of linear premultiplied RGBA, alpha divided out.
pub fn encode_srgb([r, g, b, a]: [f32; 4]) -> [u8; 4] {
    let weight = if a > 0.0 { 1.0 / a } else { 0.0 };
    let [r, g, b] = [r, g, b].map(|v| byte(srgb_from_linear(v * weight)));
    [r, g, b, byte(a)]
}

impl Frame {
    /// The colour layer as 8-bit sRGB with straight alpha; transparent without a colour layer.
    pub fn to_srgb(&self) -> Rgba8 {
        Rgba8::from_fn(self.width, self.height, |i| self.colour.get(i).map_or([0; 4], |c| encode_srgb(*c)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srgb_divides_alpha_out() {
        assert_eq!(encode_srgb([0.25, 0.5, 0.0, 0.5]), [188, 255, 0, 128]);
        assert_eq!(encode_srgb([0.0; 4]), [0; 4]);
    }

    #[test]
    fn curvature_is_shown_about_zero() {
        let mut frame = Frame {
            width: 10,
            height: 10,
            depth_ray: vec![1.0; 100],
            curvature: (0..100).map(|i| if i % 2 == 0 { 2.0 } else { -4.0 }).collect(),
            ..Frame::default()
        };
        (frame.curvature[0], frame.curvature[1], frame.curvature[2]) = (0.0, 500.0, f32::NAN);
        frame.depth_ray[3] = f32::INFINITY;
        let show = |t: f32| diverging_colormap(t).map(byte);
        assert_eq!(layer_range(&frame, Layer::Curvature, 0), Some((-4.0, 4.0)));
        for range in [ValueRange::Auto, ValueRange::Fixed(-1.0, 4.0)] {
            let image = layer_image(&frame, Layer::Curvature, 0, range).unwrap();
            let pixel = |i: u32| image.pixel(i % 10, i / 10);
            assert_eq!((&pixel(0)[..3], &pixel(1)[..3]), (&show(0.0)[..], &show(1.0)[..]));
            assert_eq!((&pixel(4)[..3], &pixel(5)[..3]), (&show(0.5)[..], &show(-1.0)[..]));
            assert_eq!((pixel(2), pixel(3)), ([0; 4], [0; 4]));
        }
    }

    #[test]
    fn false_colours_span_the_object() {
        let frame = Frame {
            width: 2,
            height: 2,
            depth_ray: vec![1.0, 2.0, 3.0, f32::INFINITY],
            spectrum_width: 2,
            spectrum: vec![0.0, 5.0, 0.0, 6.0, 0.0, 7.0, 0.0, 0.0],
            ..Frame::default()
        };
        for image in [
            layer_image(&frame, Layer::DepthRay, 0, ValueRange::Auto).unwrap(),
            layer_image(&frame, Layer::Spectrum, 1, ValueRange::Fixed(5.0, 7.0)).unwrap(),
        ] {
            let end = |t: f32| sequential_colormap(t).map(byte);
            assert_eq!(image.pixel(0, 0)[..3], end(0.0));
            assert_eq!(image.pixel(0, 1)[..3], end(1.0));
            assert_eq!(image.pixel(1, 1), [0; 4]);
        }
        assert_eq!(layer_range(&frame, Layer::DepthRay, 0), Some((1.0, 3.0)));
        assert_eq!(layer_range(&frame, Layer::Spectrum, 1), Some((5.0, 7.0)));
        assert_eq!(layer_range(&frame, Layer::Spectrum, 2), None);
        assert_eq!([Layer::Colour, Layer::Normal, Layer::Steps].map(|l| layer_range(&frame, l, 0)), [None; 3]);
        assert!(layer_image(&frame, Layer::Normal, 0, ValueRange::Auto).is_none());
        assert!(layer_image(&frame, Layer::Spectrum, 2, ValueRange::Auto).is_none());
    }
}
