//! Colour maps of false-colour images, by their usual names.
//!
//! Each map is sampled at [`KNOTS`] evenly spaced places and linear in sRGB between them, so that shaders which get the same
//! knots draw the same colours.

use std::sync::LazyLock;

/// Knots of a colour map.
pub const KNOTS: usize = 17;

/// Colour maps of `matplotlib` and ColorBrewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Colormap {
    /// Violet over teal to yellow, of even lightness: values in a range.
    Viridis,
    /// Black over red to pale yellow: errors, where 0 should be dark.
    Inferno,
    /// Blue over near-white to red (`RdBu`, reversed): signed values.
    BlueRed,
}

impl Colormap {
    /// sRGB values, 0 to 1, at evenly spaced places from the map's low end to its high end.
    pub fn knots(self) -> &'static [[f32; 3]; KNOTS] {
        static VIRIDIS: LazyLock<[[f32; 3]; KNOTS]> =
            LazyLock::new(|| sample(|t| colorous::VIRIDIS.eval_continuous(t)));
        static INFERNO: LazyLock<[[f32; 3]; KNOTS]> =
            LazyLock::new(|| sample(|t| colorous::INFERNO.eval_continuous(t)));
        static BLUE_RED: LazyLock<[[f32; 3]; KNOTS]> =
            LazyLock::new(|| sample(|t| colorous::RED_BLUE.eval_continuous(1.0 - t)));
        match self {
            Self::Viridis => &VIRIDIS,
            Self::Inferno => &INFERNO,
            Self::BlueRed => &BLUE_RED,
        }
    }

    /// sRGB values, 0 to 1, at `t` from 0 to 1 (clamped).
    fn at(self, t: f32) -> [f32; 3] {
        let knots = self.knots();
        let t = t.clamp(0.0, 1.0) * (KNOTS - 1) as f32;
        let i = (t as usize).min(KNOTS - 2);
        let s = t - i as f32;
        std::array::from_fn(|c| knots[i][c] + (knots[i + 1][c] - knots[i][c]) * s)
    }
}

fn sample(colour: impl Fn(f64) -> colorous::Color) -> [[f32; 3]; KNOTS] {
    std::array::from_fn(|i| colour(i as f64 / (KNOTS - 1) as f64).as_array().map(|v| f32::from(v) / 255.0))
}

/// sRGB colour of `t` in 0 to 1 (clamped; NaN is 0) on [`Colormap::Viridis`].
pub fn sequential_colormap(t: f32) -> [f32; 3] {
    Colormap::Viridis.at(if t.is_nan() { 0.0 } else { t })
}

/// sRGB colour of an error `t` in 0 to 1 (clamped; NaN is 1) on [`Colormap::Inferno`].
pub fn error_colormap(t: f32) -> [f32; 3] {
    Colormap::Inferno.at(if t.is_nan() { 1.0 } else { t })
}

/// sRGB colour of `t` in −1 to 1 (clamped; NaN is 0) on [`Colormap::BlueRed`].
pub fn diverging_colormap(t: f32) -> [f32; 3] {
    Colormap::BlueRed.at(if t.is_nan() { 0.5 } else { 0.5 + 0.5 * t })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colour::linear_from_srgb;

    fn luma(colour: [f32; 3]) -> f32 {
        let [r, g, b] = colour.map(linear_from_srgb);
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    #[test]
    fn signed_colours_darken_alike_on_both_sides_of_zero() {
        for i in 0..64 {
            let (a, b) = (i as f32 / 64.0, (i + 1) as f32 / 64.0);
            for sign in [-1.0, 1.0] {
                assert!(luma(diverging_colormap(sign * a)) > luma(diverging_colormap(sign * b)), "{sign} {a}");
            }
            assert!((luma(diverging_colormap(a)) - luma(diverging_colormap(-a))).abs() < 0.1, "{a}");
        }
        let knots = Colormap::BlueRed.knots();
        assert_eq!(diverging_colormap(f32::NAN), knots[KNOTS / 2]);
        assert_eq!(diverging_colormap(-7.0), knots[0]);
        assert_eq!(diverging_colormap(7.0), diverging_colormap(1.0));
        assert!(knots[0][2] > knots[0][0] && knots[KNOTS - 1][0] > knots[KNOTS - 1][2], "blue below 0, red above");
    }

    #[test]
    fn sequential_colours_grow_lighter() {
        for map in [sequential_colormap, error_colormap] {
            let steps: Vec<f32> = (0..=64).map(|i| luma(map(i as f32 / 64.0))).collect();
            assert!(steps.windows(2).all(|w| w[0] < w[1]));
        }
        assert_eq!(sequential_colormap(f32::NAN), Colormap::Viridis.knots()[0]);
        assert_eq!(sequential_colormap(2.0), Colormap::Viridis.knots()[KNOTS - 1]);
        assert_eq!(error_colormap(f32::NAN), Colormap::Inferno.knots()[KNOTS - 1]);
    }

    #[test]
    fn the_knots_follow_the_named_map() {
        for i in 0..=256 {
            let t = i as f32 / 256.0;
            let exact = colorous::VIRIDIS.eval_continuous(t.into()).as_array().map(|v| f32::from(v) / 255.0);
            assert!(sequential_colormap(t).iter().zip(exact).all(|(a, b)| (a - b).abs() < 0.035), "{t}");
        }
    }
}
