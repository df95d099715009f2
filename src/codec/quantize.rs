//! Quantisation: rounding to multiples of a step, with an eye on what each integer costs.
//!
//! Of the two integers around a value the one is taken that is less of `error² + μ · bits`, with the error in steps and the bits
//! of the integers' own distribution. At high rates a bit more halves the error's amplitude, so that the square of an error of
//! one step (1/12 on average) changes by `2 ln 2 / 12 = 0.1155` a bit; a μ below that leaves the low rates of fine levels
//! some of their large values (Sullivan & Wiegand 1998, "Rate-distortion optimization for video compression").

/// Squared error in steps that a bit is worth.
pub const COST_WORTH: f64 = 0.09;
/// Integers whose cost is counted one by one; beyond them a bit more is the same for both candidates.
const COUNTED: usize = 64;
/// Largest magnitude of an integer.
pub const MOST: i32 = 1 << 24;

/// Multiple of `step` that is nearest to `value`, within ±2²⁴.
#[inline]
pub fn nearest(value: f32, step: f32) -> i32 {
    // The conversion saturates; what is no number becomes 0.
    ((value / step).round() as i32).clamp(-MOST, MOST)
}

/// Magnitudes below `COUNTED`, and how often each was met.
#[derive(Clone, Debug)]
pub struct Costs {
    counts: [u64; COUNTED + 1],
    /// Bits of each magnitude without its sign.
    bits: [f64; COUNTED + 1],
}

impl Default for Costs {
    fn default() -> Self {
        Self { counts: [0; COUNTED + 1], bits: [0.0; COUNTED + 1] }
    }
}

impl Costs {
    /// Counts integers.
    pub fn count(&mut self, values: impl IntoIterator<Item = i32>) {
        for value in values {
            self.counts[(value.unsigned_abs() as usize).min(COUNTED)] += 1;
        }
        let total = self.counts.iter().sum::<u64>() as f64;
        for (bits, count) in self.bits.iter_mut().zip(self.counts) {
            // Half an observation more keeps rare magnitudes finite.
            *bits = ((total + 0.5 * COUNTED as f64) / (count as f64 + 0.5)).log2();
        }
    }

    /// The integer around `value / step` that is the better bargain: the nearest one, or its neighbour towards 0.
    #[inline]
    pub fn choose(&self, value: f32, step: f32) -> i32 {
        let near = nearest(value, step);
        let magnitude = near.unsigned_abs() as usize;
        if magnitude == 0 || magnitude >= COUNTED {
            return near;
        }
        let exact = f64::from(value.abs()) / f64::from(step);
        let price = |m: usize| {
            let sign = if m == 0 { 0.0 } else { 1.0 };
            (exact - m as f64).powi(2) + COST_WORTH * (self.bits[m] + sign)
        };
        if price(magnitude - 1) < price(magnitude) { near - near.signum() } else { near }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_multiple_is_bounded() {
        assert_eq!(
            [0.0, 0.49, 0.51, -0.51, -7.6, 1e30, -1e30].map(|v| nearest(v, 1.0)),
            [0, 0, 1, -1, -8, MOST, -MOST]
        );
        assert_eq!(nearest(f32::NAN, 1.0), 0);
        assert_eq!(nearest(1.0, 1e-40), MOST);
    }

    #[test]
    fn only_dear_integers_give_way_to_their_neighbour() {
        let mut costs = Costs::default();
        costs.count((0..1000).map(|i| i32::from(i % 100 == 0)));
        // 0 costs 0.1 bits, 1 costs 7.6 with its sign: 7.5 · 0.09 = 0.68 of a squared step.
        assert_eq!([0.6, 0.8, -0.8, 0.85, 1.2].map(|v| costs.choose(v, 1.0)), [0, 0, 0, 1, 1]);
        assert_eq!(costs.choose(-0.85, 1.0), -1);
        // Among equals the nearest one stays.
        let mut even = Costs::default();
        even.count((0..6400).map(|i| i % 64));
        assert_eq!([5.4, 5.6, 200.3].map(|v| even.choose(v, 1.0)), [5, 6, 200]);
    }
}
