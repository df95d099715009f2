//! Density from the decoder's first value, with its slope: exponential, or that of a signed distance.

use nstr_spec::{DensityLaw, MAX_RAW_DENSITY};
use pulp::Simd;

use crate::math::exp;

/// [`DensityLaw`] as the kernels compute it, of any sharpness.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Density {
    /// See [`DensityLaw::Exponential`].
    #[default]
    Exponential,
    /// See [`DensityLaw::SignedDistance`].
    SignedDistance {
        /// Sharpness k, above 0.
        sharpness: f32,
    },
}

impl From<DensityLaw> for Density {
    fn from(law: DensityLaw) -> Self {
        match law {
            DensityLaw::Exponential => Self::Exponential,
            DensityLaw::SignedDistance(sharpness) => Self::SignedDistance { sharpness: sharpness as f32 },
        }
    }
}

impl Density {
    /// Density per unit of field coordinates.
    #[inline(always)]
    pub fn evaluate(self, raw: f32) -> f32 {
        match self {
            Self::Exponential => raw.min(MAX_RAW_DENSITY).exp(),
            Self::SignedDistance { sharpness } => {
                let tail = 0.5 * (-sharpness * raw.abs()).exp();
                sharpness * if raw > 0.0 { tail } else { 1.0 - tail }
            }
        }
    }

    /// Slope of the density in the raw value, where the density is `sigma`.
    #[inline(always)]
    pub fn slope(self, sigma: f32) -> f32 {
        match self {
            Self::Exponential => sigma,
            Self::SignedDistance { sharpness } => -sharpness * sigma.min(sharpness - sigma),
        }
    }

    /// Densities of every lane's raw value.
    #[inline(always)]
    pub(crate) fn lanes<S: Simd>(self, simd: S, raw: S::f32s) -> S::f32s {
        match self {
            Self::Exponential => exp(simd, simd.min_f32s(raw, simd.splat_f32s(MAX_RAW_DENSITY))),
            Self::SignedDistance { sharpness } => {
                let k = simd.splat_f32s(sharpness);
                let argument = simd.mul_f32s(simd.neg_f32s(k), simd.abs_f32s(raw));
                let tail = simd.mul_f32s(simd.splat_f32s(0.5), exp(simd, argument));
                let is_outside = simd.greater_than_f32s(raw, simd.splat_f32s(0.0));
                let inside = simd.sub_f32s(simd.splat_f32s(1.0), tail);
                simd.mul_f32s(k, simd.select_f32s(is_outside, tail, inside))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch;
    use pulp::WithSimd;

    const LAWS: [Density; 3] = [
        Density::Exponential,
        Density::SignedDistance { sharpness: 20.0 },
        Density::SignedDistance { sharpness: 800.0 },
    ];

    struct Lanes<'a>(Density, &'a mut [f32]);

    impl WithSimd for Lanes<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (head, tail) = S::as_mut_simd_f32s(self.1);
            assert!(tail.is_empty());
            head.iter_mut().for_each(|v| *v = self.0.lanes(simd, *v));
        }
    }

    #[test]
    fn lanes_compute_the_formula() {
        for law in LAWS {
            let raw: Vec<f32> = (0..256).map(|i| (i as f32 - 128.0) * 0.0173).collect();
            let mut found = raw.clone();
            arch().dispatch(Lanes(law, &mut found));
            for (raw, found) in raw.iter().zip(found) {
                let s = f64::from(*raw);
                let want = match law {
                    Density::Exponential => s.min(12.0).exp(),
                    Density::SignedDistance { sharpness } => {
                        let k = f64::from(sharpness);
                        let tail = 0.5 * (-k * s.abs()).exp();
                        k * if s > 0.0 { tail } else { 1.0 - tail }
                    }
                };
                // The argument of the exponential is rounded.
                let argument = match law {
                    Density::Exponential => s.abs(),
                    Density::SignedDistance { sharpness } => f64::from(sharpness) * s.abs(),
                };
                let bound = 2e-7 * (5.0 + argument.min(90.0)) * want + 1e-35;
                assert!((f64::from(found) - want).abs() <= bound, "{law:?} at {raw}: {found}, {want}");
                assert!((f64::from(law.evaluate(*raw)) - want).abs() <= bound, "{law:?} at {raw}");
            }
        }
    }

    #[test]
    fn slopes_are_those_of_differences() {
        for (law, scale) in LAWS.into_iter().zip([1.0, 20.0, 800.0]) {
            for raw in [-1.5, -0.3, 0.2, 1.1].map(|v: f32| v / scale) {
                let h = 1e-2 / scale;
                let difference = (law.evaluate(raw + h) - law.evaluate(raw - h)) / (2.0 * h);
                let slope = law.slope(law.evaluate(raw));
                assert!(
                    (slope - difference).abs() <= 2e-3 * difference.abs(),
                    "{law:?} at {raw}: {slope}, {difference}"
                );
            }
        }
    }
}
