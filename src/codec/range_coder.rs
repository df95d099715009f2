//! Binary range coder: bits with given probabilities as a stream of bytes, in integers alone.
//!
//! The coder of Martin (1979) for two symbols, with a 32-bit range that is renewed byte by byte; a carry runs into bytes that
//! are held back until it can no longer happen. A bit of probability p costs −log₂ p bits, and less than 0.1 % on top for the
//! rounding of the range.

use crate::error::StreamError;

/// Probabilities are counted in parts of 65 536.
pub const ONE: u32 = 1 << 16;
/// Below this the range is widened by a byte.
const RENEW: u32 = 1 << 24;
/// Bytes that a reader asks for beyond the end of a whole stream: zeros, which are not stored.
const IMPLIED: usize = 3;

/// Writer or reader of bits. A model is written once for both: it passes the bit that it would write, and goes on with the one
/// that it gets back.
pub trait BitIo {
    /// Writes `bit`, or reads a bit in its place; `p` is the probability of a 1 in parts of 65 536, 1 to 65 535.
    fn bit(&mut self, bit: bool, p: u32) -> bool;

    /// Writes the lowest `count` bits of `value`, or reads as many, at one bit each; `count` is 32 at most.
    fn raw(&mut self, value: u32, count: u32) -> u32 {
        (0..count).rev().fold(0, |read, i| read << 1 | u32::from(self.bit(value >> i & 1 == 1, ONE / 2)))
    }

    /// True once a reader has gone past the end of its bytes: what it reads from there on means nothing.
    fn is_exhausted(&self) -> bool {
        false
    }
}

/// Writes bits to bytes.
#[derive(Debug)]
pub struct RangeEncoder {
    /// Lower end of the interval; bit 32 is a carry.
    low: u64,
    range: u32,
    /// Last byte before those that are held back.
    held: Option<u8>,
    /// Bytes of 255 after it, which a carry would turn to 0.
    waiting: usize,
    bytes: Vec<u8>,
}

impl Default for RangeEncoder {
    fn default() -> Self {
        Self { low: 0, range: u32::MAX, held: None, waiting: 0, bytes: Vec::new() }
    }
}

impl RangeEncoder {
    /// An encoder that appends to `bytes`.
    pub fn after(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Moves the highest byte of `low` out.
    fn shift(&mut self) {
        if self.low < 0xFF00_0000 || self.low > 0xFFFF_FFFF {
            let carry = (self.low >> 32) as u8;
            self.bytes.extend(self.held.map(|byte| byte.wrapping_add(carry)));
            self.bytes.extend(std::iter::repeat_n(0xFF_u8.wrapping_add(carry), self.waiting));
            self.waiting = 0;
            self.held = Some((self.low >> 24) as u8);
        } else {
            self.waiting += 1;
        }
        self.low = (self.low & 0x00FF_FFFF) << 8;
    }

    /// The bytes, complete.
    pub fn finish(mut self) -> Vec<u8> {
        // The one number of the interval whose last three bytes are 0: they need not be stored.
        self.low = (self.low + u64::from(RENEW - 1)) & !u64::from(RENEW - 1);
        self.shift();
        self.shift();
        self.bytes
    }
}

impl BitIo for RangeEncoder {
    #[inline]
    fn bit(&mut self, bit: bool, p: u32) -> bool {
        // Of at least 256 · 1, and below the range because `p` is below 65 536.
        let part = (self.range >> 16) * p;
        if bit {
            self.range = part;
        } else {
            self.low += u64::from(part);
            self.range -= part;
        }
        while self.range < RENEW {
            self.shift();
            self.range <<= 8;
        }
        bit
    }
}

/// Reads bits from bytes.
#[derive(Debug)]
pub struct RangeDecoder<'a> {
    bytes: &'a [u8],
    /// Bytes taken, zeros past the end included.
    taken: usize,
    /// Place in the interval.
    code: u32,
    range: u32,
}

impl<'a> RangeDecoder<'a> {
    /// Begins to read a stream.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { bytes, taken: 0, code: 0, range: u32::MAX };
        (0..4).for_each(|_| decoder.take());
        decoder
    }

    #[inline]
    fn take(&mut self) {
        let byte = self.bytes.get(self.taken).copied().unwrap_or(0);
        self.taken += 1;
        self.code = self.code << 8 | u32::from(byte);
    }

    /// Checks that the stream ended where its bits did.
    ///
    /// # Errors
    /// [`StreamError::Truncated`] or [`StreamError::Trailing`].
    pub fn finish(self) -> Result<(), StreamError> {
        match self.taken.cmp(&(self.bytes.len() + IMPLIED)) {
            std::cmp::Ordering::Greater => Err(StreamError::Truncated),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => Err(StreamError::Trailing),
        }
    }
}

impl BitIo for RangeDecoder<'_> {
    #[inline]
    fn bit(&mut self, _: bool, p: u32) -> bool {
        let part = (self.range >> 16) * p;
        let bit = self.code < part;
        if bit {
            self.range = part;
        } else {
            self.code -= part;
            self.range -= part;
        }
        while self.range < RENEW {
            self.take();
            self.range <<= 8;
        }
        bit
    }

    #[inline]
    fn is_exhausted(&self) -> bool {
        self.taken > self.bytes.len() + IMPLIED
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(bits: &[(bool, u32)]) -> Vec<u8> {
        let mut encoder = RangeEncoder::default();
        bits.iter().for_each(|(bit, p)| _ = encoder.bit(*bit, *p));
        encoder.finish()
    }

    fn decode(bits: &[(bool, u32)], bytes: &[u8]) -> Result<(), StreamError> {
        let mut decoder = RangeDecoder::new(bytes);
        for (bit, p) in bits {
            assert_eq!(decoder.bit(!*bit, *p), *bit);
        }
        decoder.finish()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn bits_come_back(bits in prop::collection::vec((any::<bool>(), 1..ONE), 0..2000)) {
            let bytes = encode(&bits);
            prop_assert_eq!(decode(&bits, &bytes), Ok(()));
            let entropy: f64 = bits.iter().map(|(bit, p)| {
                let p = f64::from(*p) / f64::from(ONE);
                -(if *bit { p } else { 1.0 - p }).log2()
            }).sum();
            // Two bytes at the end, and what the rounding of the range costs.
            prop_assert!(bytes.len() as f64 <= entropy / 8.0 * 1.004 + 2.0, "{} for {}", bytes.len(), entropy / 8.0);
        }

        #[test]
        fn numbers_come_back(numbers in prop::collection::vec((any::<u32>(), 0_u32..=32), 0..200)) {
            let mut encoder = RangeEncoder::default();
            numbers.iter().for_each(|(value, count)| _ = encoder.raw(*value, *count));
            let bytes = encoder.finish();
            let mut decoder = RangeDecoder::new(&bytes);
            for (value, count) in numbers {
                let lowest = (u64::from(value) & ((1 << count) - 1)) as u32;
                prop_assert_eq!(decoder.raw(0, count), lowest);
            }
            prop_assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..50), bits in prop::collection::vec(1..ONE, 0..900)) {
            let mut decoder = RangeDecoder::new(&bytes);
            bits.iter().for_each(|p| _ = decoder.bit(false, *p));
        }
    }

    #[test]
    fn carries_run_through_bytes_of_255() {
        // Zeros of probability 1/65536 push the lower end to just below 2^32; ones then keep it there until it carries.
        for run in 0..40 {
            let mut bits = vec![(false, ONE - 1); run];
            bits.extend((0..200).map(|i| (i % 7 == 0, if i % 2 == 0 { 1 } else { ONE - 1 })));
            assert_eq!(decode(&bits, &encode(&bits)), Ok(()), "{run}");
        }
    }

    #[test]
    fn streams_of_another_length_are_refused() {
        let bits: Vec<(bool, u32)> = (0..400).map(|i| (i % 3 == 0, 20_000 + 50 * i)).collect();
        let bytes = encode(&bits);
        assert_eq!(decode(&bits, &bytes), Ok(()));
        let read = |bytes: &[u8]| {
            let mut decoder = RangeDecoder::new(bytes);
            bits.iter().for_each(|(_, p)| _ = decoder.bit(false, *p));
            (decoder.is_exhausted(), decoder.finish())
        };
        assert_eq!(read(&bytes[..bytes.len() - 1]), (true, Err(StreamError::Truncated)));
        assert_eq!(read(&[&bytes[..], &[0]].concat()), (false, Err(StreamError::Trailing)));
        assert_eq!(read(&[]), (true, Err(StreamError::Truncated)));
        assert_eq!(encode(&[]).len(), 1, "nothing takes one byte");
    }
}
