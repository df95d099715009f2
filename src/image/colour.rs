//! Colours: sRGB and linear light, backgrounds, and the maps that false-colour pictures use.

use std::str::FromStr;

/// sRGB value (0 to 1) of a linear one; values outside are clamped, NaN is 0 (IEC 61966-2-1).
pub fn srgb_from_linear(linear: f32) -> f32 {
    let v = if linear.is_nan() { 0.0 } else { linear.clamp(0.0, 1.0) };
    let srgb = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
    srgb.min(1.0)
}

/// Linear value of an sRGB one (0 to 1).
pub fn linear_from_srgb(srgb: f32) -> f32 {
    if srgb <= 0.040_45 { srgb / 12.92 } else { ((srgb + 0.055) / 1.055).powf(2.4) }
}

/// Linear RGB of `#rrggbb` or `#rgb`.
pub fn parse_hex(text: &str) -> Result<[f32; 3], String> {
    let wrong = || format!("{text:?} is no colour; expected #rrggbb, for example #c8b49a");
    let digits = text.strip_prefix('#').ok_or_else(wrong)?;
    let nibbles: Option<Vec<u32>> = digits.chars().map(|c| c.to_digit(16)).collect();
    let bytes = match nibbles.as_deref() {
        Some(&[r, g, b]) => [r * 17, g * 17, b * 17],
        Some(&[a, b, c, d, e, f]) => [a * 16 + b, c * 16 + d, e * 16 + f],
        _ => return Err(wrong()),
    };
    Ok(bytes.map(|v| linear_from_srgb(v as f32 / 255.0)))
}

/// What lies behind the object.
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
}

impl Background {
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
            hex => parse_hex(hex)
                .map(Background::Colour)
                .map_err(|_| format!("{hex:?} is no background; expected white, black, transparent or #rrggbb")),
        }
    }
}

/// Knots of the false-colour map in sRGB: dark violet over blue, teal and green to yellow, lightness rising evenly.
pub const KNOTS: [[f32; 3]; 9] = [
    [0.170, 0.055, 0.275],
    [0.215, 0.180, 0.475],
    [0.180, 0.320, 0.560],
    [0.130, 0.445, 0.575],
    [0.115, 0.565, 0.560],
    [0.215, 0.680, 0.480],
    [0.455, 0.780, 0.350],
    [0.740, 0.850, 0.215],
    [0.995, 0.915, 0.245],
];

/// sRGB colour of `t` in 0 to 1 (clamped; NaN is 0) on a map from dark violet to yellow.
pub fn false_colour(t: f32) -> [f32; 3] {
    between(&KNOTS, if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) })
}

/// Colour at `t` in 0 to 1 along evenly spaced knots.
fn between(knots: &[[f32; 3]; 9], t: f32) -> [f32; 3] {
    let t = t * (knots.len() - 1) as f32;
    let i = (t as usize).min(knots.len() - 2);
    let s = t - i as f32;
    std::array::from_fn(|c| knots[i][c] + (knots[i + 1][c] - knots[i][c]) * s)
}

/// Knots of the map about 0 in sRGB: dark blue over pale grey to dark red, as light on one side as on the other.
pub const SIGNED_KNOTS: [[f32; 3]; 9] = [
    [0.060, 0.150, 0.400],
    [0.120, 0.350, 0.640],
    [0.330, 0.570, 0.800],
    [0.660, 0.790, 0.895],
    [0.935, 0.930, 0.920],
    [0.940, 0.735, 0.635],
    [0.850, 0.455, 0.350],
    [0.680, 0.170, 0.170],
    [0.385, 0.030, 0.085],
];

/// sRGB colour of `t` in −1 to 1 (clamped; NaN is 0) on a map from dark blue over pale grey at 0 to dark red.
pub fn diverging_colour(t: f32) -> [f32; 3] {
    between(&SIGNED_KNOTS, if t.is_nan() { 0.5 } else { 0.5 + 0.5 * t.clamp(-1.0, 1.0) })
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

    fn luma(colour: [f32; 3]) -> f32 {
        let [r, g, b] = colour.map(linear_from_srgb);
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    #[test]
    fn signed_colours_darken_alike_on_both_sides_of_zero() {
        for i in 0..64 {
            let (a, b) = (i as f32 / 64.0, (i + 1) as f32 / 64.0);
            for sign in [-1.0, 1.0] {
                assert!(luma(diverging_colour(sign * a)) > luma(diverging_colour(sign * b)), "{sign} {a}");
            }
            assert!((luma(diverging_colour(a)) - luma(diverging_colour(-a))).abs() < 0.08, "{a}");
        }
        assert_eq!(diverging_colour(f32::NAN), SIGNED_KNOTS[4]);
        assert_eq!(diverging_colour(-7.0), SIGNED_KNOTS[0]);
        assert_eq!(diverging_colour(7.0), diverging_colour(1.0));
    }

    #[test]
    fn false_colours_grow_lighter() {
        let steps: Vec<f32> = (0..=64).map(|i| luma(false_colour(i as f32 / 64.0))).collect();
        assert!(steps.windows(2).all(|w| w[0] < w[1]));
        assert_eq!(false_colour(f32::NAN), KNOTS[0]);
        assert_eq!(false_colour(2.0), KNOTS[8]);
    }
}
