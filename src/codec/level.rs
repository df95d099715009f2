//! One level of a latent grid, or a part of one: quantised features of the entries that are read.
//!
//! A section is the step (f32), a byte of flags, and the range coder's stream: of each entry that is read a *shift* (where flag 1
//! is set), by which its own step is 2^shift times the level's, and its features as integers. A feature is
//! `integer · step · 2^shift`, one rounding to f32. Entries that nothing reads are not stored and decode to 0.
//!
//! Contexts of a feature: the entry's shift; the feature's number; the magnitudes of the features before it in the same entry; the
//! magnitude and the mean of the same feature in neighbouring entries. In a dense level those are the vertices before it along
//! each axis. In a hashed level, whose factor of x is 1, the entries that differ in the lowest two bits of their number are
//! neighbours along x, if they stand for one vertex each.

use crate::error::StreamError;
use crate::integers::{IntegerModel, MAGNITUDES, magnitude_class};
use crate::mixing::MixedBits;
use crate::range_coder::{BitIo, RangeDecoder, RangeEncoder};

/// Number of shifts: an entry's step is 1 to 128 times the level's.
pub const SHIFTS: usize = 8;
/// Flag of sections whose entries have shifts.
const HAS_SHIFTS: u8 = 1;
/// Bytes before the stream.
const HEADER: usize = 5;
/// Features that have a context of their own; those beyond share the last.
const FEATURES: usize = 32;
/// Classes of the magnitudes in the same entry: none yet, or one of a magnitude.
const IN_ENTRY: usize = MAGNITUDES + 1;
/// Classes of places: dense, or one of the lowest two bits of the number of a hashed entry.
const PLACES: usize = 5;
/// Classes of the mean of neighbours for signs: its sign, and its magnitude up to this.
const SIGN_CLASSES: usize = 8;

/// Entries of a level, or of a part of one, that a section holds.
#[derive(Clone, Copy, Debug)]
pub struct LevelLayout<'a> {
    /// Features an entry, at least 1.
    pub features: usize,
    /// Number of the first entry in its level.
    pub first: usize,
    /// `true` for each entry of the section that is read.
    pub read: &'a [bool],
    /// Vertices along each axis of a dense level, numbered x fastest; `None` for a hashed one.
    pub side: Option<usize>,
}

/// Quantised features of the entries of a section.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedLevel {
    /// Step of entries of shift 0.
    pub step: f32,
    /// Shift of each entry, below [`SHIFTS`]; empty where all are 0. Those of entries that are not read mean nothing.
    pub shifts: Vec<u8>,
    /// Features in steps of their entry, `[entry][feature]`, above −2³¹. Those of entries that are not read mean nothing.
    pub values: Vec<i32>,
}

/// Step of an entry.
#[inline]
pub fn entry_step(step: f32, shift: u8) -> f32 {
    step * (1_u32 << shift) as f32
}

impl LevelLayout<'_> {
    /// Values of the section, those of unread entries included.
    pub fn values(&self) -> usize {
        self.read.len() * self.features
    }

    /// Entries before `e` that are its neighbours, numbers within the section, and the class of its place.
    #[inline]
    fn neighbours(&self, e: usize) -> ([Option<usize>; 3], usize) {
        let number = self.first + e;
        let within = |there: bool, back: usize| (there && back <= e && self.read[e - back]).then(|| e - back);
        match self.side {
            Some(side) => {
                let (y, z) = (number / side, number / side.saturating_mul(side));
                let found = [
                    within(!number.is_multiple_of(side), 1),
                    within(y % side > 0, side),
                    within(z > 0, side.saturating_mul(side)),
                ];
                (found, 0)
            }
            None => {
                let low = number & 3;
                let before = |other: usize| within(other < low, low.wrapping_sub(other));
                (std::array::from_fn(|i| before(low ^ (i + 1))), 1 + low)
            }
        }
    }
}

/// Models of a section.
struct LevelModel {
    shifts: MixedBits<3>,
    features: IntegerModel<5>,
}

impl LevelModel {
    fn new() -> Self {
        let nodes = SHIFTS;
        Self {
            shifts: MixedBits::new([nodes, (SHIFTS + 1) * nodes, (SHIFTS + 1) * (SHIFTS + 1) * nodes], 1),
            features: IntegerModel::new(
                [SHIFTS, FEATURES * SHIFTS, IN_ENTRY * SHIFTS, PLACES * (MAGNITUDES + 1), PLACES * (MAGNITUDES + 1)],
                PLACES * 2 * SIGN_CLASSES,
            ),
        }
    }

    /// Codes the entries of a section; stops where a reader is past the end of its bytes.
    fn code<C: BitIo>(&mut self, io: &mut C, layout: &LevelLayout<'_>, level: &mut QuantizedLevel) {
        let (features, has_shifts) = (layout.features, !level.shifts.is_empty());
        let shift_of = |shifts: &[u8], e: usize| shifts.get(e).map_or(0, |s| u32::from(*s));
        let mut last = SHIFTS;
        for e in (0..layout.read.len()).filter(|e| layout.read[*e]) {
            let (neighbours, place) = layout.neighbours(e);
            if has_shifts {
                let beside = neighbours[1].or(neighbours[2]).map_or(SHIFTS, |n| usize::from(level.shifts[n]));
                level.shifts[e] = self.shift(io, level.shifts[e], last, beside);
                last = usize::from(level.shifts[e]);
            }
            let shift = shift_of(&level.shifts, e);
            // Sum of the magnitudes of the entry's features so far, the latest ones most.
            let mut weighted = 0_u64;
            for f in 0..features {
                let (mut sum, mut magnitude, mut count) = (0_i64, 0_u64, 0);
                for n in neighbours.into_iter().flatten() {
                    let value = i64::from(level.values[n * features + f]) << shift_of(&level.shifts, n);
                    (sum, magnitude, count) = (sum + value, magnitude + value.unsigned_abs(), count + 1);
                }
                let scaled = |sum: u64| match count {
                    0 => None,
                    count => Some(((sum / count) >> shift).min(u64::from(u32::MAX)) as u32),
                };
                let near = scaled(magnitude).map_or(MAGNITUDES, magnitude_class);
                let mean = scaled(sum.unsigned_abs()).map_or(MAGNITUDES, magnitude_class);
                let in_entry = if f == 0 { MAGNITUDES } else { magnitude_class((weighted >> 2) as u32) };
                let s = shift as usize;
                let contexts = [
                    s,
                    f.min(FEATURES - 1) * SHIFTS + s,
                    in_entry * SHIFTS + s,
                    place * (MAGNITUDES + 1) + near,
                    place * (MAGNITUDES + 1) + mean,
                ];
                let class = if mean == MAGNITUDES { 0 } else { mean.min(SIGN_CLASSES - 1) };
                let sign = (place * 2 + usize::from(sum < 0)) * SIGN_CLASSES + class;
                let value = self.features.code(io, level.values[e * features + f], contexts, sign);
                level.values[e * features + f] = value;
                // Four times a running mean of the last four or so.
                let now = u64::from(value.unsigned_abs());
                weighted = if f == 0 { 4 * now } else { weighted - weighted / 4 + now };
            }
            if io.is_exhausted() {
                return;
            }
        }
    }

    /// Codes a shift beside the last one and that of a neighbour; [`SHIFTS`] where there is none.
    fn shift<C: BitIo>(&mut self, io: &mut C, shift: u8, last: usize, beside: usize) -> u8 {
        let mut node = 1;
        for i in (0..SHIFTS.ilog2()).rev() {
            let contexts = [node, last * SHIFTS + node, (last * (SHIFTS + 1) + beside) * SHIFTS + node];
            let bit = self.shifts.code(io, shift >> i & 1 == 1, contexts, 0);
            node = node << 1 | usize::from(bit);
        }
        (node - SHIFTS) as u8
    }
}

/// The section of a level.
///
/// # Panics
/// If the numbers of shifts and values are not those of the layout.
pub fn encode_level(layout: &LevelLayout<'_>, level: &QuantizedLevel) -> Vec<u8> {
    assert_eq!(level.values.len(), layout.values(), "values are [entry][feature]");
    assert!(level.shifts.is_empty() || level.shifts.len() == layout.read.len(), "one shift an entry, or none");
    let mut header = Vec::with_capacity(level.values.len() / 2);
    header.extend(level.step.to_le_bytes());
    header.push(if level.shifts.is_empty() { 0 } else { HAS_SHIFTS });
    let mut encoder = RangeEncoder::after(header);
    LevelModel::new().code(&mut encoder, layout, &mut level.clone());
    encoder.finish()
}

/// Reads the section of a level: the features, `[entry][feature]`.
///
/// It reserves 4 bytes a value and one an entry, and as much again for the features; the caller bounds the layout by the file.
///
/// # Errors
/// Steps that are not above 0, unknown flags, streams of another length, values that are not finite.
pub fn decode_level(layout: &LevelLayout<'_>, bytes: &[u8]) -> Result<Vec<f32>, StreamError> {
    let level = decode_quantized(layout, bytes)?;
    dequantize(layout, &level)
}

/// Reads the section of a level as integers.
///
/// # Errors
/// As [`decode_level`], but for values that are not finite.
pub fn decode_quantized(layout: &LevelLayout<'_>, bytes: &[u8]) -> Result<QuantizedLevel, StreamError> {
    let (header, stream) = bytes.split_first_chunk::<HEADER>().ok_or(StreamError::Truncated)?;
    let [a, b, c, d, flags] = *header;
    let step = check_step(f32::from_le_bytes([a, b, c, d]))?;
    if flags & !HAS_SHIFTS != 0 {
        return Err(StreamError::Flags(flags));
    }
    let shifts = if flags & HAS_SHIFTS == 0 { Vec::new() } else { vec![0; layout.read.len()] };
    let mut level = QuantizedLevel { step, shifts, values: vec![0; layout.values()] };
    let mut decoder = RangeDecoder::new(stream);
    LevelModel::new().code(&mut decoder, layout, &mut level);
    decoder.finish()?;
    Ok(level)
}

/// Checks a step that was read.
pub(crate) fn check_step(step: f32) -> Result<f32, StreamError> {
    if step.is_finite() && step > 0.0 { Ok(step) } else { Err(StreamError::Step(step)) }
}

/// The features that integers stand for; 0 for entries that are not read.
///
/// # Errors
/// [`StreamError::Value`] where one is not finite.
pub fn dequantize(layout: &LevelLayout<'_>, level: &QuantizedLevel) -> Result<Vec<f32>, StreamError> {
    let mut features = vec![0.0; level.values.len()];
    let entries = features.chunks_exact_mut(layout.features).zip(level.values.chunks_exact(layout.features));
    for (e, (features, values)) in entries.enumerate().filter(|(e, _)| layout.read[*e]) {
        let step = entry_step(level.step, level.shifts.get(e).copied().unwrap_or(0));
        for (feature, value) in features.iter_mut().zip(values) {
            *feature = *value as f32 * step;
            if !feature.is_finite() {
                return Err(StreamError::Value(*value, step));
            }
        }
    }
    Ok(features)
}
