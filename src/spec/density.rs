//! Laws by which a radiance field's density follows from the decoder's first value.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
impl fmt::Display for DensityLaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exponential => f.write_str("exponential"),
            Self::SignedDistance(sharpness) => write!(f, "signed-distance:{sharpness}"),
        }
    }
}

impl FromStr for DensityLaw {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let law = match text.split_once(':') {
            None if text == "exponential" => Some(Self::Exponential),
            Some(("signed-distance", k)) => k.parse().ok().map(Self::SignedDistance),
            _ => None,
        };
        law.ok_or("must be exponential or signed-distance:K, for example signed-distance:500")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        for law in [DensityLaw::Exponential, DensityLaw::SignedDistance(500)] {
            assert_eq!(law.to_string().parse::<DensityLaw>().unwrap(), law);
        }
        for bad in ["", "exp", "signed-distance", "signed-distance:-1", "signed-distance:1.5", "exponential:1"] {
            assert!(bad.parse::<DensityLaw>().is_err(), "{bad}");
        }
    }
}
