//! What the viewer shows of a field.

use std::fmt;
use std::str::FromStr;

use nstr_render::{Layer, LayerSet};

/// One kind of picture, on the keys 1 to 9 in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Show {
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
    /// Evaluations a ray.
    Steps,
    /// Difference to the capture's image.
    Error,
}

impl Show {
    /// Every kind, in the order of the keys.
    pub const ALL: [Show; 9] = [
        Show::Shaded,
        Show::Normals,
        Show::Depth,
        Show::Spectrum,
        Show::Gradient,
        Show::Curvature,
        Show::Residual,
        Show::Steps,
        Show::Error,
    ];

    /// Name on the panel and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Show::Shaded => "shaded",
            Show::Normals => "normals",
            Show::Depth => "depth",
            Show::Spectrum => "S",
            Show::Gradient => "gradS",
            Show::Curvature => "curvature",
            Show::Residual => "residual",
            Show::Steps => "steps",
            Show::Error => "error",
        }
    }

    /// What the picture says, for the panel.
    pub fn meaning(self) -> &'static str {
        match self {
            Show::Shaded => "Shaded surface, or the field's own colours",
            Show::Normals => "World normals: x, y, z as red, green, blue",
            Show::Depth => "Distance along the ray, world units",
            Show::Spectrum => "First three values of the local spectrum S as red, green, blue",
            Show::Gradient => "Norm of the spectrum's gradient, per unit of field coordinates",
            Show::Curvature => "Mean curvature per world unit: blue where hollow, red where convex",
            Show::Residual => "Residual of the transport equation, per unit of field coordinates",
            Show::Steps => "Evaluations of the field on the pixel's ray",
            Show::Error => "Absolute difference to the capture's image, yellow at 0.25 and more",
        }
    }

    /// The layers of a frame that the picture is made of.
    pub fn layers(self) -> LayerSet {
        let with_depth = |layer| LayerSet::of(&[layer, Layer::DepthRay]);
        match self {
            Show::Shaded | Show::Error => LayerSet::of(&[Layer::Colour, Layer::Alpha]),
            Show::Normals => with_depth(Layer::Normal),
            Show::Depth => with_depth(Layer::DepthRay),
            Show::Spectrum => with_depth(Layer::Spectrum),
            Show::Gradient => with_depth(Layer::GradS),
            Show::Steps => with_depth(Layer::Steps),
            Show::Curvature => with_depth(Layer::Curvature),
            Show::Residual => with_depth(Layer::Residual),
        }
    }

    /// Whether several samples a pixel make it better.
    pub fn multisamples(self) -> bool {
        matches!(self, Show::Shaded | Show::Error)
    }
}

impl fmt::Display for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Show {
    type Err = String;

    /// A name in any case, or the number of its key.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse::<usize>().ok().and_then(|n| Show::ALL.get(n.wrapping_sub(1)).copied());
        let named = || Show::ALL.into_iter().find(|s| s.name().eq_ignore_ascii_case(text));
        number.or_else(named).ok_or_else(|| {
            let names = Show::ALL.map(Show::name).join(", ");
            format!("{text:?} is no layer of the viewer; expected 1 to 9 or one of {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_parse() {
        for (i, show) in Show::ALL.into_iter().enumerate() {
            assert_eq!((i + 1).to_string().parse(), Ok(show));
            assert_eq!(show.name().to_uppercase().parse(), Ok(show));
        }
        for bad in ["0", "10", "colour", ""] {
            assert!(bad.parse::<Show>().unwrap_err().contains("shaded"));
        }
    }
}
