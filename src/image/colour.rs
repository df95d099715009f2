//! Colours: sRGB and linear light, and backgrounds.

use std::str::FromStr;

/// sRGB value (0 to 1) of a linear one; values outside are clamped, NaN is 0 (IEC 61966-2-1).
#[inline]
pub fn srgb_from_linear(linear: f32) -> f32 {
    let v = if linear.is_nan() { 0.0 } else { linear.clamp(0.0, 1.0) };
    let srgb = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
    srgb.min(1.0)
}

/// Linear value of an sRGB one (0 to 1).
#[inline]
pub fn linear_from_srgb(srgb: f32) -> f32 {
    if srgb <= 0.040_45 { srgb / 12.92 } else { ((srgb + 0.055) / 1.055).powf(2.4) }
}

/// Linear RGB of `#rrggbb` or `#rgb`.
///
/// # Errors
/// Text of another form.
pub fn parse_hex(text: &str) -> Result<[f32; 3], String> {
    let wrong = || format!("\"{}\" is not a colour; expected #rrggbb, for example #c8b49a", nstr_files::excerpt(text));
    let digits = text.strip_prefix('#').ok_or_else(wrong)?;
    let nibbles: Option<Vec<u32>> = digits.chars().map(|c| c.to_digit(16)).collect();
    let bytes = match nibbles.as_deref() {
        Some(&[r, g, b]) => [r * 17, g * 17, b * 17],
        Some(&[a, b, c, d, e, f]) => [a * 16 + b, c * 16 + d, e * 16 + f],
        _ => return Err(wrong()),
    };
    Ok(bytes.map(|v| linear_from_srgb(v as f32 / 255.0)))
}

/// `#rrggbb` of sRGB values.
pub fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Colour behind the object.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Background {
    /// Linear (1, 1, 1).
    #[default]
    White,
    /// Linear (0, 0, 0).
    Black,
    /// A linear colour.
    Colour([f32; 3]),
    /// Nothing: alpha is 0 there.
    Transparent,
}

impl Background {
    /// Linear premultiplied RGBA.
    pub fn rgba(self) -> [f32; 4] {
        match self {
            Background::White => [1.0; 4],
            Background::Black => [0.0, 0.0, 0.0, 1.0],
            Background::Colour([r, g, b]) => [r, g, b, 1.0],
            Background::Transparent => [0.0; 4],
        }
    }

    /// sRGB values of an opaque background; `None` where it is transparent.
    pub fn srgb(self) -> Option<[f32; 3]> {
        match self {
            // Exact, which the powers of the curve are not.
            Background::White => Some([1.0; 3]),
            Background::Black => Some([0.0; 3]),
            Background::Colour(c) => Some(c.map(srgb_from_linear)),
            Background::Transparent => None,
        }
    }
}

impl FromStr for Background {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "white" => Ok(Background::White),
            "black" => Ok(Background::Black),
            "transparent" | "none" => Ok(Background::Transparent),
            hex => parse_hex(hex).map(Background::Colour).map_err(|_| {
                format!(
                    "\"{}\" is not a background; expected white, black, transparent or #rrggbb",
                    nstr_files::excerpt(hex)
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srgb_round_trip_and_known_values() {
        assert!((srgb_from_linear(0.5) - 0.735_357).abs() < 1e-5);
        assert!((linear_from_srgb(0.5) - 0.214_041).abs() < 1e-5);
        for i in 0..=255 {
            let v = i as f32 / 255.0;
            assert!((srgb_from_linear(linear_from_srgb(v)) - v).abs() < 1e-5);
        }
        assert_eq!(srgb_from_linear(f32::NAN), 0.0);
        assert!((srgb_from_linear(7.0) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn backgrounds_parse() {
        assert_eq!("white".parse(), Ok(Background::White));
        assert_eq!("#ffffff".parse::<Background>().unwrap().rgba(), [1.0; 4]);
        assert_eq!("#f00".parse(), Ok(Background::Colour([1.0, 0.0, 0.0])));
        assert_eq!("transparent".parse::<Background>().unwrap().rgba(), [0.0; 4]);
        for bad in ["", "#12", "#ggg", "grey", "#é12345"] {
            assert!(bad.parse::<Background>().is_err(), "{bad}");
        }
    }
}
