//! Strata of a ray: equal at first, growing with the distance beyond a knee.

/// Division of a ray into strata, counted from its `t = 0`; each holds one sample.
///
/// A stratum that starts at `t` is `max(step, cone·t)` long. Sample positions depend on nothing but these three numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RaySampling {
    /// Length of the shortest strata in field units, above 0.
    pub step: f32,
    /// Growth of a stratum's length with the distance, 0 to 1; 0 keeps all equal.
    pub cone: f32,
    /// Position of the sample in its stratum, 0 (start) to 1 (end).
    pub jitter: f32,
}

impl RaySampling {
    /// `true` where the step is a finite number above 0; no ray has samples otherwise.
    #[inline]
    pub fn is_valid(&self) -> bool {
        self.step.is_finite() && self.step > 0.0
    }
}

/// The map between distances along the ray and stratum numbers `s`: `t = s·step` up to the knee `t = step/cone`,
/// `t = t_knee·(1 + cone)^(s − s_knee)` beyond.
#[derive(Clone, Copy, Debug)]
pub(super) struct StratumMap {
    pub(super) step: f32,
    pub(super) per_step: f32,
    cone: f32,
    pub(super) knee_t: f32,
    pub(super) knee_s: f32,
    /// ln(1 + cone), and its inverse.
    pub(super) rate: f32,
    pub(super) per_rate: f32,
    /// Place of the sample in its stratum.
    jitter: f32,
    /// Length of a stratum beyond the knee over its sample's distance.
    pub(super) grow: f32,
}

impl StratumMap {
    #[inline]
    pub(super) fn new(steps: &RaySampling) -> Self {
        let step = if steps.is_valid() { steps.step } else { 1.0 };
        let jitter = steps.jitter.clamp(0.0, 1.0);
        let jitter = if jitter.is_nan() { 0.5 } else { jitter };
        let mut space = Self {
            step,
            per_step: 1.0 / step,
            cone: 0.0,
            knee_t: f32::INFINITY,
            knee_s: f32::INFINITY,
            rate: 0.0,
            per_rate: 0.0,
            jitter,
            grow: 0.0,
        };
        if steps.cone > 0.0 {
            space.cone = steps.cone.min(1.0);
            (space.knee_t, space.knee_s) = (step / space.cone, 1.0 / space.cone);
            space.rate = space.cone.ln_1p();
            space.per_rate = 1.0 / space.rate;
            space.grow = space.cone * (-space.rate * jitter).exp();
        }
        space
    }

    /// Distance of stratum number `s`.
    #[inline(always)]
    pub(super) fn distance(&self, s: f32) -> f32 {
        if s <= self.knee_s { s * self.step } else { self.knee_t * ((s - self.knee_s) * self.rate).exp() }
    }

    /// Stratum number of distance `t ≥ 0`.
    #[inline(always)]
    pub(super) fn to_s(self, t: f32) -> f32 {
        if t <= self.knee_t { t * self.per_step } else { self.knee_s + (t / self.knee_t).ln() * self.per_rate }
    }

    /// Distance of the sample in stratum `i`.
    #[inline(always)]
    pub(super) fn sample(&self, i: u32) -> f32 {
        self.distance(i as f32 + self.jitter)
    }

    /// Length of stratum `i`, whose sample lies at `t`.
    #[inline(always)]
    pub(super) fn length(&self, i: u32, t: f32) -> f32 {
        let i = i as f32;
        if i + 1.0 <= self.knee_s {
            self.step
        } else if i >= self.knee_s {
            t * self.grow
        } else {
            self.distance(i + 1.0) - i * self.step
        }
    }

    /// The last stratum whose sample lies at or before `t`, give or take rounding; 0 where none does.
    #[inline(always)]
    pub(super) fn last_before(&self, t: f32) -> u32 {
        (self.to_s(t) - self.jitter) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strata_join_grow_and_invert() {
        for (step, cone) in [(1e-3, 0.0), (2e-3, 1.0 / 256.0), (1e-2, 0.05), (0.1, 1.0)] {
            let space = StratumMap::new(&RaySampling { step, cone, jitter: 0.3 });
            let mut edge = 0.0f32;
            for i in 0..200u32 {
                let (t, dt) = (space.sample(i), space.length(i, space.sample(i)));
                if edge > 50.0 {
                    break;
                }
                let next = space.distance(i as f32 + 1.0);
                let close = 2e-5 * next.max(1e-2);
                assert!((edge + dt - next).abs() < close, "{step} {cone} {i}: {edge} + {dt} != {next}");
                assert!(t >= edge && t <= next);
                assert!((dt - step.max(cone * edge)).abs() < 0.51 * cone * step + close);
                assert!((space.to_s(t) - (i as f32 + 0.3)).abs() < 1e-2 + 1e-4 * i as f32);
                edge = next;
            }
        }
        for step in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(!RaySampling { step, cone: 0.0, jitter: 0.5 }.is_valid());
        }
    }
}
