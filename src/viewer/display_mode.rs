//! Layers that the viewer can display.

use std::fmt;
use std::str::FromStr;

use nstr_render::{Layer, LayerSet};

/// Displayed layer; on the keys 1 to 9 in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum DisplayMode {
    /// Shaded surface, or the colours of a radiance field.
    #[default]
    Shaded,
    /// World normals as RGB.
    Normals,
    /// Distance along the ray.
    Depth,
    /// The first three values of S as RGB, each on its own range.
    Spectrum,
    /// ‖∇S‖.
    Gradient,
    /// Mean curvature.
    Curvature,
    /// Residual of the transport equation.
    Residual,
    /// Field evaluations of the ray.
    Steps,
    /// Absolute difference to the capture's image.
    Error,
}

impl DisplayMode {
    /// Every mode, in the order of the keys.
    pub const ALL: [DisplayMode; 9] = [
        DisplayMode::Shaded,
        DisplayMode::Normals,
        DisplayMode::Depth,
        DisplayMode::Spectrum,
        DisplayMode::Gradient,
        DisplayMode::Curvature,
        DisplayMode::Residual,
        DisplayMode::Steps,
        DisplayMode::Error,
    ];

    /// Name on the panel and on the command line: that of the renderers' layer, where it is one.
    pub fn name(self) -> &'static str {
        match self {
            DisplayMode::Shaded => Layer::Colour.name(),
            DisplayMode::Normals => Layer::Normal.name(),
            DisplayMode::Depth => Layer::DepthRay.name(),
            DisplayMode::Spectrum => Layer::Spectrum.name(),
            DisplayMode::Gradient => Layer::SpectrumGradientNorm.name(),
            DisplayMode::Curvature => Layer::Curvature.name(),
            DisplayMode::Residual => Layer::Residual.name(),
            DisplayMode::Steps => Layer::Steps.name(),
            DisplayMode::Error => "error",
        }
    }

    /// Description for the panel.
    pub(crate) fn description(self) -> &'static str {
        match self {
            DisplayMode::Shaded => "Shaded surface, or the field's own colours",
            DisplayMode::Normals => "World normals: x, y, z as red, green, blue",
            DisplayMode::Depth => "Distance along the ray, world units",
            DisplayMode::Spectrum => "First three values of the local spectrum S as red, green, blue",
            DisplayMode::Gradient => "Norm of the spectrum's gradient, per unit of field coordinates",
            DisplayMode::Curvature => "Mean curvature per world unit: blue where hollow, red where convex",
            DisplayMode::Residual => "Residual of the transport equation, per unit of field coordinates",
            DisplayMode::Steps => "Evaluations of the field on the pixel's ray",
            DisplayMode::Error => "Absolute difference to the capture's image, pale yellow at 0.25 and more",
        }
    }

    /// Layers to render.
    pub(crate) fn layers(self) -> LayerSet {
        let with_depth = |layer| LayerSet::of(&[layer, Layer::DepthRay]);
        match self {
            DisplayMode::Shaded | DisplayMode::Error => LayerSet::of(&[Layer::Colour, Layer::Alpha]),
            DisplayMode::Normals => with_depth(Layer::Normal),
            DisplayMode::Depth => with_depth(Layer::DepthRay),
            DisplayMode::Spectrum => with_depth(Layer::Spectrum),
            DisplayMode::Gradient => with_depth(Layer::SpectrumGradientNorm),
            DisplayMode::Steps => with_depth(Layer::Steps),
            DisplayMode::Curvature => with_depth(Layer::Curvature),
            DisplayMode::Residual => with_depth(Layer::Residual),
        }
    }

    /// Layers to render where the depth costs nothing: it tells what lies before what.
    pub(crate) fn layers_with_depth(self) -> LayerSet {
        self.layers().with(Layer::DepthRay)
    }

    /// The layer of one value a pixel that is displayed with a colour map, if it is one.
    pub(crate) fn scalar_layer(self) -> Option<Layer> {
        match self {
            DisplayMode::Depth => Some(Layer::DepthRay),
            DisplayMode::Gradient => Some(Layer::SpectrumGradientNorm),
            DisplayMode::Curvature => Some(Layer::Curvature),
            DisplayMode::Residual => Some(Layer::Residual),
            DisplayMode::Steps => Some(Layer::Steps),
            DisplayMode::Shaded | DisplayMode::Normals | DisplayMode::Spectrum | DisplayMode::Error => None,
        }
    }

    /// Whether several samples a pixel improve the image: not of counts.
    pub(crate) fn multisamples(self) -> bool {
        self != DisplayMode::Steps
    }
}

impl fmt::Display for DisplayMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DisplayMode {
    type Err = String;

    /// A name in any case, an alias of the renderers' layers (`shaded`, `normals`, `depth`), or the number of the key.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse::<usize>().ok().and_then(|n| DisplayMode::ALL.get(n.wrapping_sub(1)).copied());
        let named = || DisplayMode::ALL.into_iter().find(|mode| mode.name().eq_ignore_ascii_case(text));
        number.or_else(named).or_else(|| of_layer_name(text)).ok_or_else(|| {
            let names = DisplayMode::ALL.map(DisplayMode::name).join(", ");
            format!("\"{}\" is not a layer of the viewer; expected 1 to 9 or one of {names}", nstr_files::excerpt(text))
        })
    }
}

/// The mode that displays the layer which renderers know by this name.
fn of_layer_name(name: &str) -> Option<DisplayMode> {
    let set: LayerSet = name.parse().ok()?;
    let mut layers = set.iter();
    let (Some(layer), None) = (layers.next(), layers.next()) else { return None };
    match layer {
        Layer::Colour => Some(DisplayMode::Shaded),
        Layer::Normal => Some(DisplayMode::Normals),
        Layer::Spectrum => Some(DisplayMode::Spectrum),
        _ => DisplayMode::ALL.into_iter().find(|mode| mode.scalar_layer() == Some(layer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_parse() {
        for (i, mode) in DisplayMode::ALL.into_iter().enumerate() {
            assert_eq!((i + 1).to_string().parse(), Ok(mode));
            assert_eq!(mode.name().to_uppercase().parse(), Ok(mode));
        }
        for bad in ["0", "10", "colr", "alpha", "position", "depth.z", "all", "normal,steps", ""] {
            assert!(bad.parse::<DisplayMode>().unwrap_err().contains("colour"), "{bad}");
        }
    }

    #[test]
    fn layer_names_of_render_parse() {
        for (layer, mode) in [
            (Layer::Colour, DisplayMode::Shaded),
            (Layer::Normal, DisplayMode::Normals),
            (Layer::DepthRay, DisplayMode::Depth),
            (Layer::Spectrum, DisplayMode::Spectrum),
            (Layer::SpectrumGradientNorm, DisplayMode::Gradient),
            (Layer::Curvature, DisplayMode::Curvature),
            (Layer::Residual, DisplayMode::Residual),
            (Layer::Steps, DisplayMode::Steps),
        ] {
            assert_eq!(layer.name().parse(), Ok(mode), "{layer}");
        }
    }
}
