//! Adaptive models of bits: counters that learn a probability in each context, and a mixer of several contexts' counters.
//!
//! The mixer is a logistic one (Mahoney 2005, "Adaptive weighing of context models for lossless data compression"): the log
//! odds of the counters are added with weights, which follow the gradient of the coding cost. Everything is an integer, so that
//! a stream decodes to the same values on every machine; the two tables are computed at compile time, in integers too.

use crate::range_coder::{BitIo, ONE};

/// Bits of a counter's probability.
const PRECISION: u32 = 24;
/// Observations after which a counter no longer slows down.
const LIMIT: usize = 1000;
/// Adaptation rates of a counter by its number of observations, in parts of 65 536: 1 / (n + 1.5).
static RATES: [i64; LIMIT + 1] = {
    let mut rates = [0; LIMIT + 1];
    let mut n = 0;
    while n <= LIMIT {
        rates[n] = 2 * 65_536 / (2 * n as i64 + 3);
        n += 1;
    }
    rates
};

/// Log odds are counted in parts of 256, from −8 to below 8.
const ODDS: i32 = 2048;
/// e^(−1/256) in parts of 2⁶².
const DECAY: u128 = 4_593_706_758_521_714_574;

/// Probability in parts of 65 536 of the log odds x / 256 at `x + 2048`: `1 / (1 + e^(−x/256))`.
static LOGISTIC: [u16; 2 * ODDS as usize] = {
    let mut table = [0; 2 * ODDS as usize];
    let (mut power, mut x) = (1_u128 << 62, 0);
    while x <= ODDS as usize {
        // `power` is e^(−x/256).
        let whole = (1_u128 << 62) + power;
        let below = ((power << 16) + whole / 2) / whole;
        table[ODDS as usize - x] = below as u16;
        if x < ODDS as usize {
            table[ODDS as usize + x] = (ONE as u128 - below) as u16;
        }
        power = (power * DECAY) >> 62;
        x += 1;
    }
    table
};

/// Log odds of the probability `(i + 1/2) / 4096`.
static LOG_ODDS: [i16; 4096] = {
    let mut table = [0; 4096];
    let (mut x, mut i) = (0, 0);
    while i < 4096 {
        while x + 1 < 2 * ODDS as usize && (LOGISTIC[x] as usize) < 16 * i + 8 {
            x += 1;
        }
        table[i] = x as i16 - ODDS as i16;
        i += 1;
    }
    table
};

/// Probability of a 1, learned from the bits that were seen.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveBit {
    /// In parts of 2²⁴.
    probability: u32,
    observations: u16,
}

impl Default for AdaptiveBit {
    fn default() -> Self {
        Self { probability: 1 << (PRECISION - 1), observations: 0 }
    }
}

impl AdaptiveBit {
    #[inline]
    fn update(&mut self, bit: bool) {
        let n = usize::from(self.observations);
        let wanted = if bit { (1_i64 << PRECISION) - 1 } else { 0 };
        let now = i64::from(self.probability);
        self.probability = (now + (((wanted - now) * RATES[n]) >> 16)) as u32;
        if n < LIMIT {
            self.observations += 1;
        }
    }

    #[inline]
    fn log_odds(&self) -> i32 {
        i32::from(LOG_ODDS[(self.probability >> (PRECISION - 12)) as usize])
    }

    /// Codes a bit and learns it.
    #[inline]
    pub fn code<C: BitIo>(&mut self, io: &mut C, bit: bool) -> bool {
        let p = (self.probability >> (PRECISION - 16)).clamp(24, ONE - 24);
        let bit = io.bit(bit, p);
        self.update(bit);
        bit
    }
}

/// Weights are counted in parts of 65 536; this is their largest magnitude.
const MAX_WEIGHT: i64 = 1 << 20;
/// Slowest and fastest learning rate of weights.
const LEARNING: (i64, i64) = (3, 24);
/// The learning rate falls by one every 2 to this many bits of a set of weights.
const SLOWING: u32 = 7;
/// Sum of the first weights, in parts of 65 536.
const START: i32 = 80_000;

/// Bits whose probability is mixed from `N` counters, each in a context of its own.
#[derive(Clone, Debug)]
pub struct MixedBits<const N: usize> {
    counters: [Vec<AdaptiveBit>; N],
    /// Weights of each set, and the bits that it has seen.
    weights: Vec<([i32; N], u32)>,
}

impl<const N: usize> MixedBits<N> {
    /// Counters of `contexts` contexts each, and `sets` sets of weights.
    pub fn new(contexts: [usize; N], sets: usize) -> Self {
        // A little more than their mean: what several contexts agree on is surer than each finds it.
        let start = START / N as i32;
        Self {
            counters: contexts.map(|count| vec![AdaptiveBit::default(); count]),
            weights: vec![([start; N], 0); sets],
        }
    }

    /// Codes a bit in these contexts with this set of weights, and learns it.
    #[inline]
    pub fn code<C: BitIo>(&mut self, io: &mut C, bit: bool, contexts: [usize; N], set: usize) -> bool {
        let odds: [i32; N] = std::array::from_fn(|i| self.counters[i][contexts[i]].log_odds());
        let (weights, seen) = &mut self.weights[set];
        let sum: i64 = (0..N).map(|i| i64::from(weights[i]) * i64::from(odds[i])).sum();
        let mixed = (sum >> 16).clamp(1 - i64::from(ODDS), i64::from(ODDS) - 1);
        let p = u32::from(LOGISTIC[(mixed + i64::from(ODDS)) as usize]);
        let bit = io.bit(bit, p);
        let error = i64::from(if bit { ONE } else { 0 }) - i64::from(p);
        let rate = (LEARNING.1 - i64::from(*seen >> SLOWING)).max(LEARNING.0);
        *seen = seen.saturating_add(1);
        for i in 0..N {
            let change = (i64::from(odds[i]) * error * rate) >> 20;
            weights[i] = (i64::from(weights[i]) + change).clamp(-MAX_WEIGHT, MAX_WEIGHT) as i32;
            self.counters[i][contexts[i]].update(bit);
        }
        bit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range_coder::{RangeDecoder, RangeEncoder};

    /// Pseudo-random numbers (xorshift64).
    fn random(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        }
    }

    #[test]
    fn the_tables_hold_the_logistic_function_and_its_inverse() {
        for (i, p) in LOGISTIC.iter().enumerate() {
            let exact = 65_536.0 / (1.0 + (-(i as f64 - 2048.0) / 256.0).exp());
            assert!((f64::from(*p) - exact).abs() <= 0.51 && *p > 0, "{i}: {p} for {exact}");
        }
        for (i, x) in LOG_ODDS.iter().enumerate() {
            let p = (i as f64 + 0.5) / 4096.0;
            let exact = (256.0 * (p / (1.0 - p)).ln()).clamp(-2048.0, 2047.0);
            // Where the logistic function is flat its rounding shows.
            let bound = 1.1 + 256.0 * 0.51 / 65_536.0 / (p * (1.0 - p));
            assert!((f64::from(*x) - exact).abs() <= bound, "{i}: {x} for {exact}");
        }
    }

    /// Bytes of bits in contexts, which are decoded again.
    fn coded<const N: usize>(bits: &[(bool, [usize; N])], contexts: [usize; N]) -> usize {
        let mut encoder = RangeEncoder::default();
        let mut model = MixedBits::new(contexts, 1);
        bits.iter().for_each(|(bit, at)| _ = model.code(&mut encoder, *bit, *at, 0));
        let bytes = encoder.finish();
        let mut decoder = RangeDecoder::new(&bytes);
        let mut model = MixedBits::new(contexts, 1);
        for (bit, at) in bits {
            assert_eq!(model.code(&mut decoder, false, *at, 0), *bit);
        }
        decoder.finish().unwrap();
        bytes.len()
    }

    #[test]
    fn counters_come_within_a_percent_of_the_entropy() {
        let mut random = random(7);
        let bits: Vec<bool> = (0..100_000).map(|_| random() >> 32 & 1023 < 100).collect();
        let ones = bits.iter().filter(|b| **b).count() as f64 / bits.len() as f64;
        let entropy = -(ones * ones.log2() + (1.0 - ones) * (1.0 - ones).log2()) * bits.len() as f64 / 8.0;
        let mut encoder = RangeEncoder::default();
        let mut counter = AdaptiveBit::default();
        bits.iter().for_each(|bit| _ = counter.code(&mut encoder, *bit));
        let bytes = encoder.finish();
        assert!((bytes.len() as f64) < entropy * 1.01, "{} for {entropy}", bytes.len());
        let mut decoder = RangeDecoder::new(&bytes);
        let mut counter = AdaptiveBit::default();
        assert!(bits.iter().all(|bit| counter.code(&mut decoder, false) == *bit));
        decoder.finish().unwrap();
    }

    #[test]
    fn the_mixer_finds_the_context_that_tells() {
        let mut random = random(9);
        // The second context tells the bit nine times in ten, the others nothing.
        let bits: Vec<(bool, [usize; 3])> = (0..50_000)
            .map(|_| {
                let (told, noise) = (random() >> 40 & 1 == 1, random());
                (told ^ (random() >> 32 & 1023 < 102), [0, usize::from(told), (noise >> 20 & 7) as usize])
            })
            .collect();
        let bytes = coded(&bits, [1, 2, 8]);
        let entropy = -(0.1_f64 * 0.1_f64.log2() + 0.9 * 0.9_f64.log2()) * bits.len() as f64 / 8.0;
        assert!((bytes as f64) < entropy * 1.02, "{bytes} for {entropy}");
    }

    #[test]
    fn certain_bits_cost_next_to_nothing() {
        let bits = vec![(true, [0, 0]); 100_000];
        assert!(coded(&bits, [1, 1]) < 100);
    }
}
