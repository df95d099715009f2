//! Options of the view-dependent colour of a radiance field.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ColorHeadSpec, DensityLaw, DirectionEncoding, MlpSpec, text_form};

/// The colour head as a user configures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColorHeadConfig {
    /// `sh:N` (spherical harmonics of degrees below N, 1 to 4) or `frequency:N` (N octaves, 0 to 4).
    #[serde(with = "text_form")]
    pub encoding: DirectionEncoding,
    /// Values that the decoder passes to the head beside the raw density, 0 to 63.
    pub features: usize,
    /// Network of the head.
    #[serde(alias = "head")]
    pub mlp: MlpSpec,
    /// `exponential` or `signed-distance:K` of sharpness K.
    #[serde(default, with = "text_form")]
    pub density: DensityLaw,
}

impl ColorHeadConfig {
    /// The shape.
    pub fn spec(&self) -> ColorHeadSpec {
        ColorHeadSpec { encoding: self.encoding, mlp: self.mlp, density: self.density }
    }
}

/// `sh:N` or `frequency:N`.
impl fmt::Display for DirectionEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sh(degree) => write!(f, "sh:{degree}"),
            Self::Frequency(octaves) => write!(f, "frequency:{octaves}"),
        }
    }
}

impl FromStr for DirectionEncoding {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoding = match text.split_once(':') {
            Some(("sh", n)) => n.parse().ok().map(Self::Sh),
            Some(("frequency", n)) => n.parse().ok().map(Self::Frequency),
            _ => None,
        };
        encoding.ok_or("must be sh:N or frequency:N, for example sh:4")
    }
}
