//! Options of the view-dependent colour of a radiance field.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::density::law_text;
use crate::{ColorHeadSpec, DensityLaw, DirectionEncoding, MlpSpec};

/// The colour head as a user configures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColorHeadConfig {
    /// `sh:N` (spherical harmonics of degrees below N, 1 to 4) or `frequency:N` (N octaves, 0 to 4).
    #[serde(with = "encoding_text")]
    pub encoding: DirectionEncoding,
    /// Values that the decoder passes to the head beside the raw density, 0 to 63.
    pub features: usize,
    /// Network of the head.
    #[serde(alias = "head")]
    pub mlp: MlpSpec,
    /// `exponential` or `signed-distance:K` of sharpness K.
    #[serde(default, with = "law_text")]
    pub density: DensityLaw,
}

impl ColorHeadConfig {
    /// The shape.
    pub fn spec(&self) -> ColorHeadSpec {
        ColorHeadSpec { encoding: self.encoding, mlp: self.mlp, density: self.density }
    }
}

/// `sh:N` or `frequency:N`.
struct EncodingText(DirectionEncoding);

impl fmt::Display for EncodingText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DirectionEncoding::Sh(degree) => write!(f, "sh:{degree}"),
            DirectionEncoding::Frequency(octaves) => write!(f, "frequency:{octaves}"),
        }
    }
}

impl FromStr for EncodingText {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoding = match text.split_once(':') {
            Some(("sh", n)) => n.parse().ok().map(DirectionEncoding::Sh),
            Some(("frequency", n)) => n.parse().ok().map(DirectionEncoding::Frequency),
            _ => None,
        };
        encoding.map(EncodingText).ok_or("must be sh:N or frequency:N, for example sh:4")
    }
}

mod encoding_text {
    use super::*;
    pub fn serialize<S: Serializer>(value: &DirectionEncoding, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&EncodingText(*value))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DirectionEncoding, D::Error> {
        let text = String::deserialize(from)?;
        text.parse::<EncodingText>().map(|e| e.0).map_err(serde::de::Error::custom)
    }
}
