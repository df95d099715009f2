//! Pictures of layers: smooth at edges, over the background, false colours of one range in all frames beside their bars.

use nstr_camera::camera::Camera;
use nstr_image::Rgba8;
use nstr_image::colormap::{diverging_colormap, sequential_colormap};
use nstr_image::colour::Background;
use nstr_image::colour_bar::ColourBar;
use nstr_pipeline::Renderer;
use nstr_plot::even_ticks;
use nstr_render::{
    Backdrop, Filter, Frame, Layer, LayerSet, RenderSettings, RenderStats, SectionScale, ValueRange, layer_image,
    layer_range,
};

/// Frames that a range of false colours is taken from, and their longest side in pixels.
const PROBES: (usize, u32) = (8, 160);

/// Layers that are shown as pictures, and their appearance.
pub struct LayerPictures {
    layers: Vec<Layer>,
    settings: RenderSettings,
    /// Samples of data along each side of a pixel.
    side: u32,
    has_bars: bool,
    /// Background of the colours in place of the settings' plain one.
    backdrop: Option<Backdrop>,
    /// Range of each layer's false colours; `None`: that of the frame.
    ranges: Vec<Option<(f32, f32)>>,
    /// Scale of the false colours on a section, which lie among the object's.
    section: Option<SectionScale>,
}

/// Returns whether a layer is shown in false colours with a bar.
pub fn has_bar(layer: Layer) -> bool {
    !matches!(layer, Layer::Colour | Layer::Alpha | Layer::Normal | Layer::Position)
}

/// Returns whether several samples a pixel change a layer's picture: not of counts.
pub fn multisamples(layer: Layer) -> bool {
    layer != Layer::Steps
}

impl LayerPictures {
    /// Pictures of `layers` with the settings of their colours; `range`, where given, is that of all false colours.
    pub fn new(layers: LayerSet, settings: RenderSettings, has_bars: bool, range: Option<(f32, f32)>) -> Self {
        let layers: Vec<Layer> = layers.iter().collect();
        let side = (1..=16).take_while(|side| side * side <= settings.samples).last().unwrap_or(1);
        let ranges = vec![range; layers.len()];
        Self { layers, settings, side, has_bars, backdrop: None, ranges, section: None }
    }

    /// Puts a graded background behind the colours.
    pub fn with_backdrop(self, backdrop: Option<Backdrop>) -> Self {
        Self { backdrop, ..self }
    }

    /// Puts the bar of a section's field beside the colours, where there is a scale of it.
    pub fn with_section(self, section: Option<SectionScale>) -> Self {
        Self { section, ..self }
    }

    /// Takes ranges that hold for all frames from a few small ones, so that the same colour is the same value in each.
    ///
    /// # Errors
    /// Cameras and settings that cannot be rendered.
    pub fn fix_ranges(&mut self, renderer: &Renderer<'_>, cameras: &[Camera]) -> anyhow::Result<()> {
        if !self.layers.iter().zip(&self.ranges).any(|(layer, range)| has_bar(*layer) && range.is_none()) {
            return Ok(());
        }
        let (count, longest) = PROBES;
        let count = count.min(cameras.len());
        let mut found: Vec<Option<(f32, f32)>> = vec![None; self.layers.len()];
        for camera in (0..count).map(|i| &cameras[i * cameras.len() / count]) {
            let shrink = f64::from(longest) / f64::from(camera.width.max(camera.height));
            let small = |side: u32| ((f64::from(side) * shrink.min(1.0)).round() as u32).max(1);
            let camera = camera.resized(small(camera.width), small(camera.height));
            let frame = renderer.render(&camera, &self.data_settings(has_bar))?;
            for (layer, found) in self.layers.iter().zip(&mut found) {
                let Some((low, high)) = layer_range(&frame, *layer, 0) else { continue };
                *found = Some(found.map_or((low, high), |(l, h)| (low.min(l), high.max(h))));
            }
        }
        self.ranges.iter_mut().zip(found).for_each(|(range, found)| *range = range.or(found));
        Ok(())
    }

    /// Settings for the data among the layers that are `wanted`; what was hit is known from the depth.
    fn data_settings(&self, wanted: impl Fn(Layer) -> bool) -> RenderSettings {
        let layers: Vec<Layer> = self.layers.iter().copied().filter(|l| wanted(*l)).collect();
        RenderSettings {
            layers: LayerSet::of(&layers).with(Layer::DepthRay),
            samples: 1,
            filter: Filter::Box,
            ..self.settings
        }
    }

    /// Samples along each side of a pixel that memory has room for: S has many values a sample.
    fn side_for(&self, camera: &Camera) -> u32 {
        let most = if self.layers.contains(&Layer::Spectrum) { 1u64 << 22 } else { 1 << 25 };
        let pixels = u64::from(camera.width) * u64::from(camera.height);
        (1..=self.side).rev().find(|side| pixels * u64::from(side * side) <= most).unwrap_or(1)
    }

    /// A picture of each layer, and the work that they took.
    ///
    /// # Errors
    /// Cameras and settings that cannot be rendered.
    pub fn render(
        &self,
        renderer: &Renderer<'_>,
        camera: &Camera,
        mut report: impl FnMut(&RenderStats),
    ) -> anyhow::Result<Vec<Rgba8>> {
        let is_colour = |layer: Layer| matches!(layer, Layer::Colour | Layer::Alpha);
        let mut frame_of = |wanted: &dyn Fn(Layer) -> bool, side: u32| -> anyhow::Result<Option<Frame>> {
            let wanted: Vec<Layer> = self.layers.iter().copied().filter(|l| wanted(*l)).collect();
            if wanted.is_empty() {
                return Ok(None);
            }
            let settings = match is_colour(wanted[0]) {
                true => {
                    let background = match self.backdrop {
                        Some(_) => Background::Transparent,
                        None => self.settings.background,
                    };
                    RenderSettings { layers: LayerSet::of(&wanted), background, ..self.settings }
                }
                false => self.data_settings(|layer| wanted.contains(&layer)),
            };
            let camera = camera.resized(camera.width * side, camera.height * side);
            let mut frame = renderer.render(&camera, &settings)?;
            report(&frame.stats);
            if let Some(backdrop) = self.backdrop.as_ref().filter(|_| wanted.contains(&Layer::Colour)) {
                backdrop.fill(&mut frame, &camera);
            }
            Ok(Some(frame))
        };
        let colours = frame_of(&is_colour, 1)?;
        let smooth = |layer: Layer| !is_colour(layer) && multisamples(layer);
        let side = self.side_for(camera);
        let data = frame_of(&smooth, side)?;
        let counts = frame_of(&|layer| !is_colour(layer) && !multisamples(layer), 1)?;
        let pictures = self.layers.iter().zip(&self.ranges).map(|(layer, range)| {
            let (frame, side) = match *layer {
                layer if is_colour(layer) => (&colours, 1),
                layer if multisamples(layer) => (&data, side),
                _ => (&counts, 1),
            };
            let frame = frame.as_ref().ok_or_else(|| anyhow::anyhow!("the layer {layer} is empty"))?;
            self.picture(frame, *layer, side, *range)
        });
        pictures.collect()
    }

    fn picture(&self, frame: &Frame, layer: Layer, side: u32, range: Option<(f32, f32)>) -> anyhow::Result<Rgba8> {
        let range = range.or_else(|| layer_range(frame, layer, 0));
        let values = range.map_or(ValueRange::Auto, |(low, high)| ValueRange::Fixed(low, high));
        let picture =
            layer_image(frame, layer, 0, values).ok_or_else(|| anyhow::anyhow!("the layer {layer} is empty"))?;
        let paper = self.settings.background.srgb().map(|c| c.map(|v| (v * 255.0).round() as u8));
        if matches!(layer, Layer::Colour | Layer::Alpha) {
            let scale = self.section.as_ref().filter(|_| self.has_bars && layer == Layer::Colour);
            return Ok(match scale {
                Some(scale) => {
                    let colour = |place: f32| scale.colour(place);
                    section_bar(scale, &colour).beside(&picture, paper.unwrap_or([255; 3]))
                }
                None => picture,
            });
        }
        let mut picture = picture.reduced(side);
        if let Some(paper) = paper {
            over(&mut picture, paper);
        }
        match range.filter(|_| self.has_bars && has_bar(layer)).and_then(|range| bar(layer, range)) {
            Some(bar) => Ok(bar.beside(&picture, paper.unwrap_or([255; 3]))),
            None => Ok(picture),
        }
    }
}

/// Puts an opaque colour behind a picture.
fn over(picture: &mut Rgba8, paper: [u8; 3]) {
    for pixel in picture.data.chunks_exact_mut(4) {
        let alpha = u32::from(pixel[3]);
        for (value, paper) in pixel.iter_mut().zip(paper) {
            *value = ((u32::from(*value) * alpha + u32::from(paper) * (255 - alpha) + 127) / 255) as u8;
        }
        pixel[3] = 255;
    }
}

/// The bar of a layer in false colours over a range.
fn bar(layer: Layer, (low, high): (f32, f32)) -> Option<ColourBar<'static>> {
    let (title, unit) = match layer {
        Layer::DepthRay | Layer::DepthZ => (layer.name(), "world units"),
        Layer::Curvature => (layer.name(), "per unit"),
        Layer::Steps => (layer.name(), "of a ray"),
        Layer::SpectrumGradientNorm | Layer::Residual => (layer.name(), "per edge"),
        Layer::Spectrum => ("S", "first value"),
        _ => return None,
    };
    let (low, high) = (f64::from(low), f64::from(high));
    let ticks = match even_ticks(low, high) {
        // One value: the whole bar has its colour.
        none if none.is_empty() => vec![(0.5, nstr_plot::format::compact(low))],
        ticks => ticks.into_iter().map(|(v, text)| ((v - low) / (high - low), text)).collect(),
    };
    let colour: &'static (dyn Fn(f32) -> [f32; 3] + Sync) = match layer {
        Layer::Curvature => &|t| diverging_colormap(2.0 * t - 1.0),
        _ => &sequential_colormap,
    };
    Some(ColourBar { title: title.into(), unit: unit.into(), ticks, colour })
}

/// The bar of a section's field, with `colour` at its places.
fn section_bar<'a>(scale: &SectionScale, colour: &'a dyn Fn(f32) -> [f32; 3]) -> ColourBar<'a> {
    let text = |v: f64| nstr_plot::format::compact(v).replace('-', "−");
    let unit = match scale.line_spacing {
        Some(spacing) => format!("lines {} apart", nstr_plot::format::compact(spacing)),
        None => "per world unit".into(),
    };
    let ticks = scale.ticks.iter().map(|(place, value)| (*place, text(*value))).collect();
    ColourBar { title: scale.title.into(), unit, ticks, colour }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_the_numbers_of_their_range() {
        let of = |layer, range| bar(layer, range).map(|bar| (bar.title, bar.unit, bar.ticks));
        let (title, unit, ticks) = of(Layer::DepthRay, (1.0, 3.0)).unwrap();
        assert_eq!((title.as_str(), unit.as_str()), ("depth.ray", "world units"));
        assert!(ticks.len() >= 4 && ticks[0] == (0.0, "1.0".into()) && ticks.last().unwrap().0 <= 1.0, "{ticks:?}");
        let (_, _, ticks) = of(Layer::Curvature, (-4.0, 4.0)).unwrap();
        assert!(ticks.contains(&(0.5, "0".into())), "{ticks:?}");
        assert_eq!(of(Layer::Steps, (7.0, 7.0)).unwrap().2, [(0.5, "7".to_string())]);
        assert!(Layer::ALL.into_iter().all(|layer| bar(layer, (0.0, 1.0)).is_some() == has_bar(layer)));
    }

    #[test]
    fn the_bar_of_a_section_has_distances_in_world_units() {
        let scale = SectionScale::of_distances(2.0);
        let bar = section_bar(&scale, &|_| [0.0; 3]);
        assert_eq!((bar.title.as_str(), bar.unit.as_str()), ("distance", "lines 0.05 apart"));
        // By the root of the distance, so that what is close to the surface can be told apart.
        let ticks = |place: f64| bar.ticks.iter().find(|t| (t.0 - place).abs() < 1e-9).map(|t| t.1.as_str());
        assert_eq!(
            [0.5, 0.5 + 0.5 * 0.5f64.sqrt(), 0.5 - 0.5 * 0.1f64.sqrt()].map(ticks),
            [Some("0"), Some("0.5"), Some("−0.1")]
        );
    }

    #[test]
    fn samples_make_a_square_grid() {
        let side = |samples| {
            let settings = RenderSettings { samples, ..RenderSettings::default() };
            LayerPictures::new(LayerSet::default(), settings, true, None).side
        };
        assert_eq!([1, 2, 3, 4, 8, 9, 16].map(side), [1, 1, 1, 2, 2, 3, 4]);
    }

    #[test]
    fn backgrounds_lie_behind_what_is_transparent() {
        let mut picture = Rgba8 { width: 3, height: 1, data: vec![9, 9, 9, 0, 100, 0, 0, 255, 200, 0, 0, 128] };
        over(&mut picture, [0, 0, 255]);
        assert_eq!(picture.data, [0, 0, 255, 255, 100, 0, 0, 255, 100, 0, 127, 255]);
    }
}
