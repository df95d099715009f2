//! Layers of a frame: names and sets of them.

use std::fmt;
use std::str::FromStr;

/// One kind of data per pixel. All but colour and alpha are taken at the pixel's centre. In volumes they are means over
/// the ray, each point weighted by the share of the light that it stops; see [`crate::volume`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// Shaded colour, linear, premultiplied, over the background; multisampled.
    Colour,
    /// Coverage of the pixel by the object, 0 to 1; multisampled.
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
    SpectrumGradientNorm,
    /// Frobenius norm of ∇S − F(x, S), the residual of the transport term, per unit of field coordinates; 0 where nothing
    /// was hit.
    Residual,
    /// Values of the local spectrum S; 0 where nothing was hit.
    Spectrum,
}

/// Other names of layers, in every command and in the viewer.
pub const ALIASES: [(&str, Layer); 11] = [
    ("color", Layer::Colour),
    ("shaded", Layer::Colour),
    ("rgb", Layer::Colour),
    ("rgba", Layer::Colour),
    ("opacity", Layer::Alpha),
    ("depth", Layer::DepthRay),
    ("positions", Layer::Position),
    ("normals", Layer::Normal),
    ("gradient", Layer::SpectrumGradientNorm),
    ("grad-s", Layer::SpectrumGradientNorm),
    ("spectrum", Layer::Spectrum),
];

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
        Layer::SpectrumGradientNorm,
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
            Layer::SpectrumGradientNorm => "gradS",
            Layer::Residual => "residual",
            Layer::Spectrum => "S",
        }
    }
}

impl Layer {
    /// `true` for the layers of the local spectrum, which only fields with one have.
    pub fn is_spectral(self) -> bool {
        matches!(self, Layer::Spectrum | Layer::SpectrumGradientNorm | Layer::Residual)
    }
}

impl FromStr for Layer {
    type Err = String;

    /// A [`Self::name`] or one of its aliases in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        let named = Layer::ALL.into_iter().find(|l| l.name().eq_ignore_ascii_case(text));
        let alias = || ALIASES.into_iter().find(|(alias, _)| alias.eq_ignore_ascii_case(text)).map(|(_, layer)| layer);
        named.or_else(alias).ok_or_else(|| unknown(text, "one"))
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

    /// `true` where `layer` is in the set.
    pub fn contains(self, layer: Layer) -> bool {
        self.0 >> layer as u16 & 1 == 1
    }

    /// The layers in order of [`Layer::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Layer> {
        Layer::ALL.into_iter().filter(move |l| self.contains(*l))
    }

    /// `true` where any layer needs a ray through the pixel's centre.
    pub fn needs_centre(self) -> bool {
        self.iter().any(|l| !matches!(l, Layer::Colour | Layer::Alpha))
    }

    /// `true` where colour or alpha is in the set.
    pub fn needs_colour(self) -> bool {
        self.contains(Layer::Colour) || self.contains(Layer::Alpha)
    }
}

impl FromStr for LayerSet {
    type Err = String;

    /// Names separated by commas, each a [`Layer`] or `all`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut layers = Vec::new();
        for word in text.split(',').map(str::trim) {
            if word.eq_ignore_ascii_case("all") {
                layers.extend(Layer::ALL);
            } else {
                layers.push(word.parse().map_err(|_| unknown(word, "all or some"))?);
            }
        }
        Ok(Self::of(&layers))
    }
}

fn unknown(word: &str, expected: &str) -> String {
    if word.eq_ignore_ascii_case("error") {
        return "\"error\" is no layer of a rendering: `nstr view --layer error` and `nstr eval --images` show it"
            .into();
    }
    let names = Layer::ALL.map(Layer::name).join(", ");
    let aliases = ALIASES.map(|(alias, _)| alias).join(", ");
    format!("\"{}\" is not a layer; expected {expected} of {names} (or {aliases})", nstr_files::excerpt(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_parse() {
        let set: LayerSet = "colour, normal,depth,Steps,grads,Residual,s,curvature".parse().unwrap();
        let names: Vec<_> = set.iter().map(Layer::name).collect();
        assert_eq!(names, ["colour", "depth.ray", "normal", "curvature", "steps", "gradS", "residual", "S"]);
        assert_eq!("all".parse(), Ok(LayerSet::all()));
        assert_eq!("Color,normals".parse(), Ok(LayerSet::of(&[Layer::Colour, Layer::Normal])));
        assert_eq!("shaded".parse(), Ok(Layer::Colour));
        assert!(Layer::ALL.into_iter().all(|layer| layer.name().parse() == Ok(layer)));
        assert!(ALIASES.into_iter().all(|(alias, layer)| alias.to_uppercase().parse() == Ok(layer)));
        assert!(
            Layer::ALL.iter().all(|layer| ALIASES.iter().all(|(alias, _)| !alias.eq_ignore_ascii_case(layer.name())))
        );
        assert!("colour,error".parse::<LayerSet>().unwrap_err().contains("nstr eval --images"));
        assert!(!LayerSet::default().needs_centre());
        assert_eq!(LayerSet::default().with(Layer::Steps), LayerSet::of(&[Layer::Steps, Layer::Colour]));
        let message = "colour,colr".parse::<LayerSet>().unwrap_err();
        assert!(message.contains("colr") && message.contains("depth.z"), "{message}");
        assert!("".parse::<LayerSet>().is_err());
    }
}
