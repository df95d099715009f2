//! Laws by which a radiance field's density follows from the decoder's first value.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Density of a radiance field by the raw value, the decoder's first output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DensityLaw {
    /// `σ = exp(raw)`.
    #[default]
    Exponential,
    /// The raw value is a signed distance s in field coordinates, negative inside, and `σ = k·Ψ(−k·s)` with the cumulative
    /// distribution Ψ of the Laplace distribution of scale 1 and this sharpness k (VolSDF, Yariv et al. 2021, eq. 2 with
    /// α = 1/β = k).
    SignedDistance(u32),
}

/// Greatest sharpness of [`DensityLaw::SignedDistance`].
pub const MAX_SHARPNESS: u32 = 100_000;

impl DensityLaw {
    /// Sharpness of a density that follows a signed distance; `None` for other laws.
    pub fn sharpness(self) -> Option<u32> {
        match self {
            Self::Exponential => None,
            Self::SignedDistance(sharpness) => Some(sharpness),
        }
    }

    /// `true` for the usual law, which files leave out.
    pub fn is_exponential(&self) -> bool {
        *self == Self::Exponential
    }
}

/// `exponential` or `signed-distance:K`.
struct LawText(DensityLaw);

impl fmt::Display for LawText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DensityLaw::Exponential => f.write_str("exponential"),
            DensityLaw::SignedDistance(sharpness) => write!(f, "signed-distance:{sharpness}"),
        }
    }
}

impl FromStr for LawText {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let law = match text.split_once(':') {
            None if text == "exponential" => Some(DensityLaw::Exponential),
            Some(("signed-distance", k)) => k.parse().ok().map(DensityLaw::SignedDistance),
            _ => None,
        };
        law.map(LawText).ok_or("must be exponential or signed-distance:K, for example signed-distance:500")
    }
}

/// Reading and writing as `exponential` or `signed-distance:K`, for settings.
pub(crate) mod law_text {
    use super::*;

    pub fn serialize<S: Serializer>(value: &DensityLaw, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&LawText(*value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DensityLaw, D::Error> {
        let text = String::deserialize(from)?;
        text.parse::<LawText>().map(|e| e.0).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        for law in [DensityLaw::Exponential, DensityLaw::SignedDistance(500)] {
            assert_eq!(LawText(law).to_string().parse::<LawText>().unwrap().0, law);
        }
        for bad in ["", "exp", "signed-distance", "signed-distance:-1", "signed-distance:1.5", "exponential:1"] {
            assert!(bad.parse::<LawText>().is_err(), "{bad}");
        }
    }
}
