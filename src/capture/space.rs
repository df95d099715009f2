//! Choice of the map from the world to the unit cube: what may be asked for, and the rule that chose.

use std::fmt;
use std::str::FromStr;

use nstr_files::excerpt;

/// Kind of space that a capture is modelled in, as options ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpaceChoice {
    /// By the capture: silhouettes, cameras, depth bounds, points.
    #[default]
    Auto,
    /// A cube; nothing outside of it is modelled.
    Box,
    /// A cube, and everything around it contracted.
    Open,
    /// The frustum of cameras that look the same way, to infinity.
    Forward,
}

impl fmt::Display for SpaceChoice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Box => "box",
            Self::Open => "open",
            Self::Forward => "forward",
        })
    }
}

impl FromStr for SpaceChoice {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Auto, Self::Box, Self::Open, Self::Forward].into_iter().find(|s| s.to_string() == text);
        found.ok_or_else(|| format!("\"{}\" is not a space; expected auto, box, open or forward", excerpt(text)))
    }
}

/// The rule that chose the kind of space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpaceRule {
    /// The options ask for it.
    Asked,
    /// The options give a cube.
    Scene,
    /// Silhouettes show an object before nothing.
    Silhouettes,
    /// All but a few of the model's points lie among the cameras.
    Bounded,
    /// The capture's file declares a cube about as large as the one around the cameras.
    Declared,
    /// All cameras look the same way, from behind a plane that all points lie beyond.
    SameWay,
    /// Images without silhouettes show what lies around.
    Surroundings,
}

impl fmt::Display for SpaceRule {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "as asked for",
            Self::Scene => "a cube is given",
            Self::Silhouettes => "there are silhouettes",
            Self::Bounded => "the points lie among the cameras",
            Self::Declared => "the file declares a cube no larger than the cameras need",
            Self::SameWay => "all cameras look the same way",
            Self::Surroundings => "opaque images show what lies around",
        })
    }
}
