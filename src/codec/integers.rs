//! Signed integers as bits: the length of the magnitude in unary, its bits from the highest, the sign.
//!
//! The length (0 for 0, 1 for ±1, 2 for ±2 and ±3, …) is coded with mixed contexts; the highest bits below the leading one have
//! counters, the rest, about which nothing is known, takes one bit each.

use crate::mixing::{AdaptiveBit, MixedBits};
use crate::range_coder::BitIo;

/// Bits of the longest magnitude: as many as fit into an `i32`.
const LONGEST: u32 = 31;
/// Unary bits that tell a length.
const LENGTH_BITS: usize = LONGEST as usize + 1;
/// Bits below the leading one that have counters.
const MODELLED: u32 = 3;
/// Counters of those bits for one length.
const NODES: usize = 1 << MODELLED;

/// Sets of weights of an [`IntegerModel`]: lengths are mixed alike beyond this one.
const SETS: usize = 12;

/// Model of integers of one kind, with `N` contexts for lengths.
#[derive(Clone, Debug)]
pub struct IntegerModel<const N: usize> {
    lengths: MixedBits<N>,
    tops: Vec<AdaptiveBit>,
    signs: Vec<AdaptiveBit>,
}

impl<const N: usize> IntegerModel<N> {
    /// A model with so many contexts of each kind for lengths, and `signs` contexts for signs.
    pub fn new(contexts: [usize; N], signs: usize) -> Self {
        Self {
            lengths: MixedBits::new(contexts.map(|count| count * LENGTH_BITS), SETS),
            tops: vec![AdaptiveBit::default(); (LONGEST as usize + 1) * NODES],
            signs: vec![AdaptiveBit::default(); signs],
        }
    }

    /// Codes `value`, above −2³¹, in these contexts, and returns it, or the one that was read.
    #[inline]
    pub fn code<C: BitIo>(&mut self, io: &mut C, value: i32, contexts: [usize; N], sign: usize) -> i32 {
        let magnitude = value.unsigned_abs();
        let length = u32::BITS - magnitude.leading_zeros();
        let mut read = 0;
        while read < LONGEST {
            let at = contexts.map(|context| context * LENGTH_BITS + read as usize);
            if !self.lengths.code(io, length > read, at, (read as usize).min(SETS - 1)) {
                break;
            }
            read += 1;
        }
        if read == 0 {
            return 0;
        }
        let below = read - 1;
        let (mut bits, mut node) = (1_u32, 1);
        let modelled = below.min(MODELLED);
        for i in 0..modelled {
            let bit = magnitude >> (below - 1 - i) & 1 == 1;
            let bit = self.tops[read as usize * NODES + node].code(io, bit);
            bits = bits << 1 | u32::from(bit);
            node = node << 1 | usize::from(bit);
        }
        let rest = below - modelled;
        let bits = bits << rest | io.raw(magnitude, rest);
        // At most 31 bits.
        let found = bits as i32;
        if self.signs[sign].code(io, value < 0) { -found } else { found }
    }
}

/// Class of a magnitude for contexts: two an octave, 0 to [`MAGNITUDES`] − 1.
#[inline]
pub fn magnitude_class(magnitude: u32) -> usize {
    match magnitude {
        0..=3 => magnitude as usize,
        _ => {
            let length = u32::BITS - magnitude.leading_zeros();
            let half = magnitude >> (length - 2) & 1;
            ((2 * (length - 1) + half) as usize).min(MAGNITUDES - 1)
        }
    }
}

/// Number of classes of [`magnitude_class`].
pub const MAGNITUDES: usize = 24;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::range_coder::{RangeDecoder, RangeEncoder};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn integers_of_any_size_come_back(
            values in prop::collection::vec((any::<i32>(), 0_u32..32, 0_usize..3, 0_usize..2), 0..300),
        ) {
            let values: Vec<(i32, usize, usize)> =
                values.into_iter().map(|(v, by, a, b)| ((v >> by).max(-i32::MAX), a, b)).collect();
            let mut encoder = RangeEncoder::default();
            let mut model = IntegerModel::new([1, 3], 2);
            values.iter().for_each(|(v, a, b)| _ = model.code(&mut encoder, *v, [0, *a], *b));
            let bytes = encoder.finish();
            let mut decoder = RangeDecoder::new(&bytes);
            let mut model = IntegerModel::new([1, 3], 2);
            for (v, a, b) in values {
                prop_assert_eq!(model.code(&mut decoder, 0, [0, a], b), v);
            }
            prop_assert_eq!(decoder.finish(), Ok(()));
        }
    }

    #[test]
    fn classes_of_magnitudes_grow_by_half_octaves() {
        let classes: Vec<usize> =
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 24, 1 << 30].map(magnitude_class).to_vec();
        assert_eq!(classes, [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, MAGNITUDES - 1]);
        assert_eq!(magnitude_class(u32::MAX), MAGNITUDES - 1);
    }

    #[test]
    fn any_bits_are_integers() {
        let bytes: Vec<u8> = (0..200_u32).map(|i| ((i * i) >> 3) as u8).collect();
        let mut decoder = RangeDecoder::new(&bytes);
        let mut model = IntegerModel::new([1], 1);
        (0..500).for_each(|_| assert!(model.code(&mut decoder, 0, [0], 0) > i32::MIN));
    }
}
