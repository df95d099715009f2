//! The layers of a frame, and how one of them becomes a picture.

use std::fmt;
use std::str::FromStr;

use nstr_image::colour::{diverging_colour, false_colour, srgb_from_linear};
use crate::frame::Frame;
use nstr_image::Rgba8;

/// One kind of data per pixel. All but colour and alpha are taken at the pixel's centre. In volumes they are means over
/// the ray, each point weighted by the share of the light that it stops; see [`crate::volume`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// Shaded colour, linear, premultiplied, over the background; multisampled.
    Colour,
    /// How much of the pixel the object covers, 0 to 1; multisampled.
    Alpha,
    /// Distance along the ray in world units; +∞ where nothing was hit.
    DepthRay,
    /// Distance along the viewing axis in world units; +∞ where nothing was hit.
    DepthZ,
    /// World position of the hit; 0 where nothing was hit.
    Position,
    /// Unit normal in world space, towards the viewer; 0 where nothing was hit.
    Normal,
    /// Mean curvature of the level set at the hit per world unit, positive where the object is convex, whatever side the
    /// viewer is on; 0 where nothing was hit. See [`crate::curvature`].
    Curvature,
    /// Evaluations of the field that the ray took.
    Steps,
    /// Frobenius norm of ∇S per unit of field coordinates; 0 where nothing was hit.
    GradS,
    /// Frobenius norm of ∇S − F(x, S), the residual of the transport term, per unit of field coordinates; 0 where nothing
    /// was hit.
    Residual,
    /// Values of the local spectrum S; 0 where nothing was hit.
    Spectrum,
}

impl Layer {
    /// Every layer.
    pub const ALL: [Layer; 11] = [
        Layer::Colour,
        Layer::Alpha,
        Layer::DepthRay,
        Layer::DepthZ,
        Layer::Position,
        Layer::Normal,
        Layer::Curvature,
        Layer::Steps,
        Layer::GradS,
        Layer::Residual,
        Layer::Spectrum,
    ];

    /// Name in layer lists, file names and EXR channels.
    pub fn name(self) -> &'static str {
        match self {
            Layer::Colour => "colour",
            Layer::Alpha => "alpha",
            Layer::DepthRay => "depth.ray",
            Layer::DepthZ => "depth.z",
            Layer::Position => "position",
            Layer::Normal => "normal",
            Layer::Curvature => "curvature",
            Layer::Steps => "steps",
            Layer::GradS => "gradS",
            Layer::Residual => "residual",
            Layer::Spectrum => "S",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of layers; parses from a list such as `colour,normal,depth,steps,grads,s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSet(u16);

impl Default for LayerSet {
    /// Colour alone.
    fn default() -> Self {
        Self::of(&[Layer::Colour])
    }
}

impl LayerSet {
    /// The given layers.
    pub fn of(layers: &[Layer]) -> Self {
        Self(layers.iter().fold(0, |bits, l| bits | 1 << *l as u16))
    }

    /// Every layer.
    pub fn all() -> Self {
        Self::of(&Layer::ALL)
    }

    /// The set with `layer` in it.
    pub fn with(self, layer: Layer) -> Self {
        Self(self.0 | 1 << layer as u16)
    }

    /// Whether `layer` is in the set.
    pub fn contains(self, layer: Layer) -> bool {
        self.0 >> layer as u16 & 1 == 1
    }

    /// The layers in order of [`Layer::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Layer> {
        Layer::ALL.into_iter().filter(move |l| self.contains(*l))
    }

    /// Whether any layer needs a ray through the pixel's centre.
    pub fn needs_centre(self) -> bool {
        self.iter().any(|l| !matches!(l, Layer::Colour | Layer::Alpha))
    }

    /// Whether colour or alpha is asked for.
    pub fn needs_colour(self) -> bool {
        self.contains(Layer::Colour) || self.contains(Layer::Alpha)
    }
}

impl FromStr for LayerSet {
    type Err = String;

    /// Names separated by commas, in any case: `colour` (`color`), `alpha`, `depth` (both depths), `depth.ray`, `depth.z`,
    /// `position`, `normal`, `curvature`, `steps`, `grads`, `residual`, `s`, `all`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut layers = Vec::new();
        for word in text.split(',').map(|w| w.trim().to_ascii_lowercase()) {
            match word.as_str() {
                "all" => layers.extend(Layer::ALL),
                "color" | "rgb" | "rgba" => layers.push(Layer::Colour),
                "depth" => layers.extend([Layer::DepthRay, Layer::DepthZ]),
                name => {
                    let known = Layer::ALL.into_iter().find(|l| l.name().eq_ignore_ascii_case(name));
                    layers.push(known.ok_or_else(|| {
                        let names = Layer::ALL.map(Layer::name).join(", ");
                        format!("{name:?} is no layer; expected all, depth or some of {names}")
                    })?);
                }
            }
        }
        Ok(Self::of(&layers))
    }
}

/// Range of values that a false-colour picture spans.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Range {
    /// Lowest to highest finite value over the object; of curvature, whose range is symmetric about 0, what 98 % of the
    /// object's values stay within.
    #[default]
    Auto,
    /// A stated range, so that pictures can be compared; of curvature, up to the larger magnitude on either side of 0.
    Fixed(f32, f32),
}

/// Picture of one layer: colour and alpha as they are, normals and positions as RGB, the others in false colour (curvature
/// on a diverging map: blue where hollow, red where convex).
///
/// `channel` picks the value of [`Layer::Spectrum`] and is ignored otherwise. Pixels without a hit are transparent (steps
/// are shown everywhere); what was hit is known from [`Layer::DepthRay`], and without it everything is shown. `None` if the frame lacks the layer or channel.
pub fn picture(frame: &Frame, layer: Layer, channel: usize, range: Range) -> Option<Rgba8> {
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
        Layer::GradS => scalar_of(w, h, &frame.grad_s, hit, range),
        Layer::Residual => scalar_of(w, h, &frame.residual, hit, range),
        Layer::Curvature => (!frame.curvature.is_empty()).then(|| signed(w, h, &frame.curvature, hit, range)),
        Layer::DepthRay => scalar_of(w, h, &frame.depth_ray, |i| frame.depth_ray[i].is_finite(), range),
        Layer::DepthZ => scalar_of(w, h, &frame.depth_z, |i| frame.depth_z[i].is_finite(), range),
    }
}

fn byte(unit: f32) -> u8 {
    (unit.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

fn scalar_of(w: u32, h: u32, values: &[f32], shown: impl Fn(usize) -> bool, range: Range) -> Option<Rgba8> {
    (!values.is_empty()).then(|| scalar(w, h, values, shown, range))
}

fn scalar(w: u32, h: u32, values: &[f32], shown: impl Fn(usize) -> bool, range: Range) -> Rgba8 {
    let (lo, hi) = match range {
        Range::Fixed(lo, hi) => (lo, hi),
        Range::Auto => (0..values.len())
            .filter(|&i| shown(i) && values[i].is_finite())
            .fold((f32::MAX, f32::MIN), |(lo, hi), i| (lo.min(values[i]), hi.max(values[i]))),
    };
    Rgba8::from_fn(w, h, |i| match shown(i) && values[i].is_finite() {
        true => {
            let [r, g, b] = false_colour((values[i] - lo) / (hi - lo).max(1e-20)).map(byte);
            [r, g, b, 255]
        }
        false => [0; 4],
    })
}

/// Share of the values that an automatic range about 0 holds: the few at sharp edges would leave the rest pale.
const WITHIN: f64 = 0.98;

/// A picture whose range is symmetric about 0.
fn signed(w: u32, h: u32, values: &[f32], shown: impl Fn(usize) -> bool, range: Range) -> Rgba8 {
    let shown = |i: usize| shown(i) && values[i].is_finite();
    let most = match range {
        Range::Fixed(lo, hi) => lo.abs().max(hi.abs()),
        Range::Auto => {
            let mut sizes: Vec<f32> = (0..values.len()).filter(|i| shown(*i)).map(|i| values[i].abs()).collect();
            sizes.sort_unstable_by(f32::total_cmp);
            let last = (sizes.len() as f64 * WITHIN).ceil() as usize;
            sizes.get(last.saturating_sub(1)).copied().unwrap_or(0.0)
        }
    };
    Rgba8::from_fn(w, h, |i| match shown(i) {
        true => {
            let [r, g, b] = diverging_colour(values[i] / most.max(1e-20)).map(byte);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_parse() {
        let set: LayerSet = "colour, normal,depth,Steps,grads,Residual,s,curvature".parse().unwrap();
        let names: Vec<_> = set.iter().map(Layer::name).collect();
        assert_eq!(names, ["colour", "depth.ray", "depth.z", "normal", "curvature", "steps", "gradS", "residual", "S"]);
        assert_eq!("all".parse(), Ok(LayerSet::all()));
        assert!(!LayerSet::default().needs_centre());
        assert_eq!(LayerSet::default().with(Layer::Steps), LayerSet::of(&[Layer::Steps, Layer::Colour]));
        let said = "colour,colr".parse::<LayerSet>().unwrap_err();
        assert!(said.contains("colr") && said.contains("depth.z"), "{said}");
        assert!("".parse::<LayerSet>().is_err());
    }

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
        let show = |t: f32| diverging_colour(t).map(byte);
        for range in [Range::Auto, Range::Fixed(-1.0, 4.0)] {
            let picture = picture(&frame, Layer::Curvature, 0, range).unwrap();
            let pixel = |i: u32| picture.pixel(i % 10, i / 10);
            assert_eq!((&pixel(0)[..3], &pixel(1)[..3]), (&show(0.0)[..], &show(1.0)[..]));
            assert_eq!((&pixel(4)[..3], &pixel(5)[..3]), (&show(0.5)[..], &show(-1.0)[..]));
            assert_eq!((pixel(2), pixel(3)), ([0; 4], [0; 4]));
        }
    }

    #[test]
    fn false_colour_pictures_span_the_object() {
        let frame = Frame {
            width: 2,
            height: 2,
            depth_ray: vec![1.0, 2.0, 3.0, f32::INFINITY],
            spectrum_width: 2,
            spectrum: vec![0.0, 5.0, 0.0, 6.0, 0.0, 7.0, 0.0, 0.0],
            ..Frame::default()
        };
        for picture in [
            picture(&frame, Layer::DepthRay, 0, Range::Auto).unwrap(),
            picture(&frame, Layer::Spectrum, 1, Range::Fixed(5.0, 7.0)).unwrap(),
        ] {
            let end = |t: f32| false_colour(t).map(byte);
            assert_eq!(picture.pixel(0, 0)[..3], end(0.0));
            assert_eq!(picture.pixel(0, 1)[..3], end(1.0));
            assert_eq!(picture.pixel(1, 1), [0; 4]);
        }
        assert!(picture(&frame, Layer::Normal, 0, Range::Auto).is_none());
        assert!(picture(&frame, Layer::Spectrum, 2, Range::Auto).is_none());
    }
}
