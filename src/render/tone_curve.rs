//! Tone curve of lit surfaces: from linear light without a bound to values up to 1.

/// Value up to which the curve is the identity.
const KNEE: f32 = 0.8;

/// Leaves values up to 0.8 and bends the rest towards 1, so that highlights do not clip. Values below 0 become 0.
#[inline]
pub fn tone_curve(v: f32) -> f32 {
    if v <= KNEE { v.max(0.0) } else { 1.0 - (1.0 - KNEE) * (-(v - KNEE) / (1.0 - KNEE)).exp() }
}

/// The light that the curve maps to `v`, at most some 3 for 1, where the curve is flat.
#[inline]
pub fn tone_curve_inverse(v: f32) -> f32 {
    if v <= KNEE { v } else { KNEE - (1.0 - KNEE) * (((1.0 - v) / (1.0 - KNEE)).max(1e-5)).ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_rises_without_a_kink_and_can_be_inverted() {
        let values: Vec<f32> = (0..400).map(|i| tone_curve(0.01 * i as f32)).collect();
        assert!(values.windows(2).all(|w| w[1] >= w[0] && w[1] <= 1.0));
        assert!(((tone_curve(0.801) - tone_curve(0.799)) / 0.002 - 1.0).abs() < 0.01);
        for v in [0.0, 0.3, 0.8, 0.85, 1.0, 1.4] {
            assert!((tone_curve_inverse(tone_curve(v)) - v).abs() < 1e-3, "{v}");
        }
        assert_eq!(tone_curve(-1.0), 0.0);
        assert!(tone_curve_inverse(1.0).is_finite());
    }
}
