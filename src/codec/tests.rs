//! Sections and containers: whole, damaged and hostile ones, and a stored file.

use proptest::prelude::*;

use crate::cells::{decode_cells, encode_cells};
use crate::container::{MAGIC, VERSION, container_len};
use crate::level::{SHIFTS, decode_level, decode_quantized, dequantize, encode_level};
use crate::quantize::{Costs, nearest};
use crate::tensors::{decode_tensors, dequantize_tensors, encode_tensors};
use crate::text::{decode_text, encode_text};
use crate::{
    CodecError, Container, LevelLayout, QuantizedLevel, QuantizedTensor, SectionKind, SectionName, StreamError,
    is_compact, write_container,
};

/// Pseudo-random numbers (xorshift64), the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 20) % end
    }

    /// An integer with a two-sided geometric distribution of about this scale: the difference of two such lengths.
    fn laplace(&mut self, scale: u64) -> i32 {
        let mut length = || (0..40).take_while(|_| self.below(scale + 1) > 0).count() as i32;
        length() - length()
    }
}

/// A section with its values; those of entries that are not read are 0.
struct Sample {
    features: usize,
    first: usize,
    read: Vec<bool>,
    side: Option<usize>,
    level: QuantizedLevel,
}

impl Sample {
    fn new(entries: usize, features: usize, side: Option<usize>, scale: u64, has_shifts: bool, seed: u64) -> Self {
        let mut random = Random(seed | 1);
        let read: Vec<bool> = (0..entries).map(|_| random.below(4) > 0).collect();
        let shifts =
            if has_shifts { (0..entries).map(|_| random.below(SHIFTS as u64) as u8).collect() } else { vec![] };
        let values = (0..entries * features).map(|_| random.laplace(scale)).collect();
        let mut sample = Self {
            features,
            first: (seed % 9) as usize * 4,
            read,
            side,
            level: QuantizedLevel { step: 0.01, shifts, values },
        };
        sample.clear_unread();
        sample
    }

    /// As a decoder leaves them.
    fn clear_unread(&mut self) {
        for e in (0..self.read.len()).filter(|e| !self.read[*e]) {
            self.level.values[e * self.features..][..self.features].fill(0);
            self.level.shifts.iter_mut().skip(e).take(1).for_each(|shift| *shift = 0);
        }
    }

    fn layout(&self) -> LevelLayout<'_> {
        LevelLayout { features: self.features, first: self.first, read: &self.read, side: self.side }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn levels_come_back(
        entries in 0_usize..200, features in 1_usize..40, side in prop::option::of(2_usize..9), scale in 0_u64..300,
        has_shifts: bool, seed: u64,
    ) {
        let sample = Sample::new(entries, features, side, scale, has_shifts && entries > 0, seed);
        let bytes = encode_level(&sample.layout(), &sample.level);
        prop_assert_eq!(&decode_quantized(&sample.layout(), &bytes).unwrap(), &sample.level);
        let features = decode_level(&sample.layout(), &bytes).unwrap();
        prop_assert_eq!(&features, &dequantize(&sample.layout(), &sample.level).unwrap());
        for (i, feature) in features.iter().enumerate() {
            let shift = sample.level.shifts.get(i / sample.features).copied().unwrap_or(0);
            let exact = f64::from(sample.level.values[i]) * f64::from(0.01_f32) * f64::from(1 << shift);
            // One rounding: that of the exact product.
            prop_assert_eq!(*feature, exact as f32);
        }
        // A missing byte may change the last values; that it is missing, the container knows.
        for cut in [0, 3, 4, 5, bytes.len() - 1] {
            let cut = &bytes[..cut.min(bytes.len() - 1)];
            prop_assert_ne!(&decode_level(&sample.layout(), cut), &Ok(features.clone()));
        }
    }

    #[test]
    fn levels_of_any_integers_come_back(values in prop::collection::vec((any::<i32>(), 0_u32..32), 0..60), dense: bool) {
        let values: Vec<i32> = values.into_iter().map(|(v, by)| (v >> by).max(-i32::MAX)).collect();
        let read = vec![true; values.len() / 3];
        let layout = LevelLayout { features: 3, first: 0, read: &read, side: dense.then_some(2) };
        let level = QuantizedLevel { step: 1e-9, shifts: Vec::new(), values: values[..read.len() * 3].to_vec() };
        let bytes = encode_level(&layout, &level);
        prop_assert_eq!(decode_quantized(&layout, &bytes).unwrap(), level);
    }

    #[test]
    fn tensors_come_back(shapes in prop::collection::vec((1_usize..9, 1_usize..20), 0..80), scale in 0_u64..5000, seed: u64) {
        let mut random = Random(seed | 1);
        let tensors: Vec<QuantizedTensor> = shapes.iter().enumerate().map(|(i, (rows, columns))| QuantizedTensor {
            step: 0.001 * (i + 1) as f32,
            columns: *columns,
            values: (0..rows * columns).map(|_| random.laplace(scale)).collect(),
        }).collect();
        let bytes = encode_tensors(&tensors);
        let shapes: Vec<[usize; 2]> = shapes.into_iter().map(|(rows, columns)| [rows, columns]).collect();
        let values = dequantize_tensors(&tensors).unwrap();
        prop_assert_eq!(&decode_tensors(&shapes, &bytes).unwrap(), &values);
        prop_assert_ne!(decode_tensors(&shapes, &bytes[..bytes.len() - 1]), Ok(values));
        prop_assert!(decode_tensors(&shapes, &[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn cells_come_back(side in 1_usize..5, kind in 0..4, seed: u64) {
        let (side, mut random) = (side * 8, Random(seed | 1));
        let radius = random.below(side as u64 * side as u64);
        let words: Vec<u64> = (0..side.pow(3) / 64).map(|w| (0..64).fold(0, |word, bit| {
            let i = w * 64 + bit;
            let from_middle = |v: usize| (2 * v as i64 + 1 - side as i64).pow(2) as u64 / 4;
            let squares = from_middle(i % side) + from_middle(i / side % side) + from_middle(i / side / side);
            let is_set = match kind {
                0 => random.below(2) == 0,
                1 => squares < radius,
                2 => random.below(300) == 0,
                _ => seed % 2 == 0,
            };
            word | u64::from(is_set) << bit
        })).collect();
        let bytes = encode_cells(side, &words);
        prop_assert_eq!(&decode_cells(side, &bytes).unwrap(), &words);
        prop_assert_ne!(decode_cells(side, &bytes[..bytes.len() - 1]), Ok(words));
        prop_assert!(decode_cells(side, &[&bytes[..], &[0]].concat()).is_err());
        // Noise costs a bit a cell, and a ball about as much as its surface has cells.
        let most = if kind == 1 { 8 * side * side / 8 + 40 } else { side.pow(3) / 8 * 51 / 50 + 40 };
        prop_assert!(bytes.len() < most, "{} bytes of {kind} at {side}", bytes.len());
    }

    /// Whatever the bytes are, reading ends, in the memory of the layout.
    #[test]
    fn any_bytes_can_be_decoded(bytes in prop::collection::vec(any::<u8>(), 0..400), side in prop::option::of(2_usize..9)) {
        let read = vec![true; 500];
        let layout = LevelLayout { features: 4, first: 0, read: &read, side };
        if let Ok(features) = decode_level(&layout, &bytes) {
            prop_assert!(features.len() == 2000 && features.iter().all(|v| v.is_finite()));
        }
        if let Ok(values) = decode_tensors(&[[8, 8], [1, 8]], &bytes) {
            prop_assert!(values.len() == 72 && values.iter().all(|v| v.is_finite()));
        }
        if let Ok(words) = decode_cells(16, &bytes) {
            prop_assert_eq!(words.len(), 64);
        }
        let _ = decode_text(&bytes, 100);
        let _ = Container::parse(&bytes);
        let with_magic = [&MAGIC[..], &bytes].concat();
        prop_assert!(Container::prefix(&with_magic).is_err() || with_magic.len() >= 16);
    }
}

/// Bits a value that a section takes beside the entropy of its integers, which are independent.
fn excess(scale: f64, features: usize, entries: usize) -> f64 {
    let mut random = Random(0x1234_5678_9abc);
    // A normal distribution: the sum of twelve uniform ones.
    let mut normal = || (0..12).map(|_| (random.next() >> 11) as f64 / (1_u64 << 53) as f64).sum::<f64>() - 6.0;
    let values: Vec<i32> = (0..entries * features).map(|_| (normal() * scale).round() as i32).collect();
    let mut counts = std::collections::BTreeMap::new();
    values.iter().for_each(|v| *counts.entry(*v).or_insert(0_usize) += 1);
    let total = values.len() as f64;
    let entropy: f64 = counts.values().map(|n| -(*n as f64) * (*n as f64 / total).log2()).sum();
    let read = vec![true; entries];
    let layout = LevelLayout { features, first: 0, read: &read, side: None };
    let bytes = encode_level(&layout, &QuantizedLevel { step: 1.0, shifts: Vec::new(), values });
    (8.0 * bytes.len() as f64 - entropy) / total
}

#[test]
fn independent_values_cost_little_more_than_their_entropy() {
    for (scale, most) in [(0.3, 0.03), (1.0, 0.04), (5.0, 0.06), (30.0, 0.09)] {
        let bits = excess(scale, 8, 2000);
        assert!(bits < most, "{bits} bits a value at a scale of {scale}");
    }
}

#[test]
fn neighbours_that_are_alike_cost_less() {
    let (side, features) = (17, 4);
    let entries = side * side * side;
    let smooth = |e: usize, f: usize| {
        let at = [e % side, e / side % side, e / side / side].map(|v| v as f64 / side as f64);
        (40.0 * (3.0 * at[0] + f as f64).sin() * (2.0 * at[1] + 4.0 * at[2]).cos()).round() as i32
    };
    let values: Vec<i32> = (0..entries * features).map(|i| smooth(i / features, i % features)).collect();
    let read = vec![true; entries];
    let level = QuantizedLevel { step: 1.0, shifts: Vec::new(), values };
    let bytes = |side| encode_level(&LevelLayout { features, first: 0, read: &read, side }, &level).len();
    let (dense, hashed) = (bytes(Some(side)), bytes(None));
    assert!(dense * 10 < hashed * 9, "{dense} bytes as a dense level, {hashed} as a hashed one");
}

#[test]
fn shifts_that_are_alike_cost_less_than_a_bit() {
    let entries = 4096;
    let read = vec![true; entries];
    let layout = LevelLayout { features: 1, first: 0, read: &read, side: Some(16) };
    let shifts: Vec<u8> = (0..entries).map(|e| u8::from(e % 16 > 7) + u8::from(e / 256 > 3) * 2).collect();
    let bytes = encode_level(&layout, &QuantizedLevel { step: 1.0, shifts, values: vec![0; entries] });
    assert!(bytes.len() < entries / 8, "{} bytes", bytes.len());
}

#[test]
fn hostile_sections_are_refused() {
    let sample = Sample::new(40, 4, None, 9, true, 77);
    let good = encode_level(&sample.layout(), &sample.level);
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        decode_level(&sample.layout(), &bad).map(|_| ())
    };
    assert_eq!(with(0, &0.01_f32.to_le_bytes()), Ok(()));
    for step in [0.0, -1.0, f32::INFINITY] {
        assert_eq!(with(0, &f32::to_le_bytes(step)), Err(StreamError::Step(step)));
    }
    assert!(matches!(with(0, &f32::NAN.to_le_bytes()), Err(StreamError::Step(_))));
    assert!(matches!(with(0, &3e38_f32.to_le_bytes()), Err(StreamError::Value(_, _))));
    assert_eq!(with(4, &[3]), Err(StreamError::Flags(3)));
    let tensors = [QuantizedTensor { step: f32::MAX, columns: 2, values: vec![1, 2] }];
    assert_eq!(decode_tensors(&[[1, 2]], &encode_tensors(&tensors)), Err(StreamError::Value(2, f32::MAX)));
}

#[test]
fn texts_come_back_and_are_bounded() {
    let text = "{\"version\":1, \"spec\": \"ä\"}".repeat(50);
    let bytes = encode_text(&text);
    assert!(bytes.len() < text.len() / 4);
    assert_eq!(decode_text(&bytes, text.len()).unwrap(), text);
    assert_eq!(decode_text(&bytes, text.len() - 1), Err(StreamError::Text(text.len() - 1)));
    assert_eq!(decode_text(&bytes[..bytes.len() / 2], 1 << 20), Err(StreamError::Text(1 << 20)));
    assert!(decode_text(b"text", 9).is_err());
}

fn sections() -> Vec<(SectionName, Vec<u8>)> {
    vec![
        (SectionName::of(SectionKind::Header), b"header".to_vec()),
        (SectionName::of(SectionKind::Networks), Vec::new()),
        (SectionName::level(0, 0), vec![1; 5]),
        (SectionName::level(0, 1), vec![2; 300]),
        (SectionName::level(3, 0), vec![3]),
    ]
}

#[test]
fn containers_come_back_whole_or_as_a_prefix() {
    let sections = sections();
    let bytes = write_container(&sections).unwrap();
    assert!(is_compact(&bytes) && bytes.len() == container_len(sections.iter().map(|s| s.1.len())));
    let whole = Container::parse(&bytes).unwrap();
    assert!(whole.is_whole());
    for (section, (name, content)) in whole.sections().iter().zip(&sections) {
        assert_eq!((section.name, section.bytes), (*name, &content[..]));
        assert_eq!(whole.get(*name), Some(&content[..]));
    }
    let missing = SectionName::of(SectionKind::Occupancy);
    assert_eq!(whole.get(missing), None);
    assert_eq!(whole.require(missing).unwrap_err().to_string(), "section occupancy: is missing");
    for length in 0..bytes.len() {
        let cut = &bytes[..length];
        assert!(Container::parse(cut).is_err(), "{length} bytes");
        let Ok(part) = Container::prefix(cut) else { continue };
        assert!(!part.is_whole() && length >= 16 + 12 * sections.len());
        let end = container_len(sections[..part.sections().len()].iter().map(|s| s.1.len()));
        assert!(end + 12 * (sections.len() - part.sections().len()) <= length);
    }
    let message = Container::parse(&bytes[..bytes.len() - 1]).unwrap_err().to_string();
    assert!(message.contains("ends in section level 3: it has 387 bytes and should have 388"), "{message}");
    let message = Container::parse(&bytes[..bytes.len() - 2]).unwrap_err().to_string();
    assert!(message.contains("level 0, part 1") || message.contains("level 3"), "{message}");
}

#[test]
fn every_changed_byte_of_a_container_is_noticed() {
    let bytes = write_container(&sections()).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            assert!(Container::parse(&bad).is_err(), "byte {at}, bit {bit}");
        }
    }
    assert_eq!(Container::parse(&[&bytes[..], b"more"].concat()), Err(CodecError::Trailing(4)));
    let mut newer = bytes.clone();
    newer[8] = 2;
    assert_eq!(Container::parse(&newer), Err(CodecError::Version { found: 2 }));
    assert!(CodecError::Version { found: 2 }.to_string().contains(&format!("reads version {VERSION}")));
    assert_eq!(Container::parse(b"{\"asset\": {}, \"nodes\": []}"), Err(CodecError::Magic));
    let mut unordered = sections();
    unordered.swap(2, 3);
    assert!(matches!(write_container(&unordered), Err(CodecError::Table(_))));
    let mut twice = sections();
    twice[3].0 = SectionName::level(0, 0);
    assert!(matches!(write_container(&twice), Err(CodecError::Table(_))));
}

#[test]
fn a_list_that_claims_much_is_refused_before_anything_is_reserved() {
    let mut bytes = write_container(&sections()).unwrap();
    bytes[10..12].copy_from_slice(&u16::MAX.to_le_bytes());
    assert!(matches!(Container::parse(&bytes), Err(CodecError::Table(_))));
    assert!(matches!(Container::prefix(&bytes[..16]), Err(CodecError::Table(_))));
}

/// Latent features whose size in a file falls with the step.
fn coded_bytes(step: f32, costs: bool) -> (usize, f64) {
    let mut random = Random(5);
    let values: Vec<f32> =
        (0..40_000).map(|_| random.laplace(3) as f32 * 0.37 + random.below(100) as f32 * 0.003).collect();
    let mut integers: Vec<i32> = values.iter().map(|v| nearest(*v, step)).collect();
    if costs {
        let mut costs = Costs::default();
        costs.count(integers.iter().copied());
        integers = values.iter().map(|v| costs.choose(*v, step)).collect();
    }
    let errors = values.iter().zip(&integers).map(|(v, q)| f64::from(v - *q as f32 * step).powi(2));
    let error = errors.sum::<f64>() / values.len() as f64;
    let read = vec![true; 5000];
    let layout = LevelLayout { features: 8, first: 0, read: &read, side: None };
    (encode_level(&layout, &QuantizedLevel { step, shifts: Vec::new(), values: integers }).len(), error)
}

#[test]
fn larger_steps_make_smaller_sections() {
    let sizes: Vec<usize> = (0..14).map(|i| coded_bytes(0.01 * 1.5_f32.powi(i), true).0).collect();
    assert!(sizes.windows(2).all(|pair| pair[1] < pair[0]), "{sizes:?}");
}

#[test]
fn costs_buy_bits_at_a_fair_price() {
    for step in [0.2, 0.5, 1.0] {
        let [(plain, error), (frugal, larger)] = [false, true].map(|costs| coded_bytes(step, costs));
        // A step that makes the plain section as small has a larger error.
        let at_size =
            (1..200).map(|i| coded_bytes(step * (1.0 + 0.01 * i as f32), false)).find(|(size, _)| *size <= frugal);
        let (_, same_size) = at_size.unwrap();
        assert!(frugal < plain && larger < same_size * 1.005 && error < larger, "{step}: {larger} against {same_size}");
    }
}

/// The stored file: every kind of section, its values given by formulas.
mod stored {
    use super::*;

    const TEXT: &str = "{\"version\":1}";
    const SIDE: usize = 16;

    fn path() -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/codec.nstr")
    }

    fn words() -> Vec<u64> {
        (0..64)
            .map(|w| {
                (0..64).fold(0, |word, i| {
                    let at = w * 64 + i;
                    let [x, y, z] = [at % SIDE, at / SIDE % SIDE, at / SIDE / SIDE].map(|v| v as i64 - 7);
                    word | u64::from(x * x + y * y + z * z < 40) << i
                })
            })
            .collect()
    }

    fn tensors() -> Vec<QuantizedTensor> {
        let tensor = |step, columns, rows: i32| QuantizedTensor {
            step,
            columns,
            values: (0..rows * columns as i32).map(|i| (i * i * 7919 % 2003) - 1001).collect(),
        };
        vec![tensor(0.001, 5, 3), tensor(1.0 / 3.0, 7, 1), tensor(1e-6, 16, 16)]
    }

    fn samples() -> Vec<Sample> {
        let mut samples: Vec<Sample> = [(Some(5), 125, 6), (None, 256, 2), (None, 64, 8)]
            .into_iter()
            .enumerate()
            .map(|(i, (side, entries, scale))| Sample::new(entries, 3 + i, side, scale, i != 1, 1000 + i as u64))
            .collect();
        samples.iter_mut().for_each(|sample| sample.first = 0);
        samples
    }

    fn file() -> Vec<u8> {
        let mut sections = vec![
            (SectionName::of(SectionKind::Header), encode_text(TEXT)),
            (SectionName::of(SectionKind::Occupancy), encode_cells(SIDE, &words())),
            (SectionName::of(SectionKind::Networks), encode_tensors(&tensors())),
        ];
        for (l, sample) in samples().iter().enumerate() {
            sections.push((SectionName::level(l as u8, 0), encode_level(&sample.layout(), &sample.level)));
        }
        write_container(&sections).unwrap()
    }

    /// Bits of floats: equal numbers are not enough.
    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn the_stored_file_decodes_to_the_same_bits() {
        if std::env::var_os("NSTR_BLESS").is_some() {
            std::fs::write(path(), file()).unwrap();
        }
        let bytes = std::fs::read(path()).unwrap();
        let container = Container::parse(&bytes).unwrap();
        let section = |kind| container.require(SectionName::of(kind)).unwrap();
        assert_eq!(decode_text(section(SectionKind::Header), 100).unwrap(), TEXT);
        assert_eq!(decode_cells(SIDE, section(SectionKind::Occupancy)).unwrap(), words());
        let shapes = [[3, 5], [1, 7], [16, 16]];
        let wanted: Vec<f32> = tensors().iter().flat_map(|t| t.values.iter().map(|q| *q as f32 * t.step)).collect();
        assert_eq!(bits(&decode_tensors(&shapes, section(SectionKind::Networks)).unwrap()), bits(&wanted));
        for (l, sample) in samples().iter().enumerate() {
            let section = container.require(SectionName::level(l as u8, 0)).unwrap();
            let wanted: Vec<f32> = sample
                .level
                .values
                .iter()
                .enumerate()
                .map(|(i, q)| {
                    let shift = sample.level.shifts.get(i / sample.features).copied().unwrap_or(0);
                    *q as f32 * (0.01 * f32::from(1_u8 << shift))
                })
                .collect();
            assert_eq!(bits(&decode_level(&sample.layout(), section).unwrap()), bits(&wanted), "level {l}");
        }
        // The text's compressor may change, the sections of values may not.
        let now = file();
        let now = Container::parse(&now).unwrap();
        for (a, b) in now.sections().iter().zip(container.sections()).skip(1) {
            assert_eq!(a, b, "{}", a.name);
        }
    }
}
