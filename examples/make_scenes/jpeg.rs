//! Baseline JPEG (ITU-T T.81): three channels of full size, Huffman tables made for the image.
//!
//! Only sums, products and comparisons of doubles: every machine writes the same bytes.

use nstr::image::Rgba8;

/// Steps of luminance and chrominance at quality 50, row by row (ITU-T T.81, tables K.1 and K.2).
const STEPS: [[u16; 64]; 2] = [
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
        51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
        120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ],
    [
        17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// cos(kπ/16).
const COSINES: [f64; 9] = [
    1.0,
    0.980_785_280_403_230_4,
    0.923_879_532_511_286_7,
    0.831_469_612_302_545_2,
    std::f64::consts::FRAC_1_SQRT_2,
    0.555_570_233_019_602_2,
    0.382_683_432_365_089_84,
    0.195_090_322_016_128_27,
    0.0,
];

/// Longest Huffman code in bits.
const LONGEST: usize = 16;

/// Writes an opaque image with steps scaled by `quality`, 1 to 99, as the Independent JPEG Group's encoder does.
pub fn encode(image: &Rgba8, quality: u32) -> Vec<u8> {
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    let steps = STEPS.map(|table| table.map(|s| ((u32::from(s) * scale + 50) / 100).clamp(1, 255) as u16));
    let symbols = symbols(image, &steps);
    // Of luminance and chrominance: of first coefficients and of the others.
    let tables: [[Huffman; 2]; 2] = std::array::from_fn(|kind| {
        std::array::from_fn(|other| {
            let mut counts = [0u32; 256];
            symbols
                .iter()
                .filter(|s| s.kind == kind && s.is_other == (other == 1))
                .for_each(|s| counts[usize::from(s.code)] += 1);
            Huffman::of(&counts)
        })
    });
    let mut bytes = vec![0xFF, 0xD8];
    segment(&mut bytes, 0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    for (kind, steps) in (0u8..).zip(&steps) {
        let body: Vec<u8> = std::iter::once(kind).chain(ZIGZAG.iter().map(|&at| steps[at] as u8)).collect();
        segment(&mut bytes, 0xDB, &body);
    }
    let [h1, h0] = (image.height as u16).to_be_bytes();
    let [w1, w0] = (image.width as u16).to_be_bytes();
    segment(&mut bytes, 0xC0, &[8, h1, h0, w1, w0, 3, 1, 0x11, 0, 2, 0x11, 1, 3, 0x11, 1]);
    for (kind, pair) in (0u8..).zip(&tables) {
        for (other, table) in (0u8..).zip(pair) {
            let body = [&[(other << 4) | kind][..], &table.lengths[1..], &table.values].concat();
            segment(&mut bytes, 0xC4, &body);
        }
    }
    segment(&mut bytes, 0xDA, &[3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]);
    let mut bits = Bits { bytes, held: 0, count: 0 };
    for s in &symbols {
        let (code, length) = tables[s.kind][usize::from(s.is_other)].codes[usize::from(s.code)];
        bits.put(code, length);
        bits.put(s.bits, s.code & 15);
    }
    bits.finish()
}

fn segment(bytes: &mut Vec<u8>, marker: u8, body: &[u8]) {
    bytes.extend([0xFF, marker]);
    bytes.extend((body.len() as u16 + 2).to_be_bytes());
    bytes.extend(body);
}

/// A Huffman symbol with the bits that follow it.
struct Symbol {
    /// 0 for luminance, 1 for chrominance.
    kind: usize,
    /// Of another coefficient than a block's first.
    is_other: bool,
    /// Zeros before the coefficient (four bits) and its size in bits (four bits).
    code: u8,
    bits: u16,
}

/// Place in a block of each coefficient of the file, in its order.
const ZIGZAG: [usize; 64] = zigzag();

const fn zigzag() -> [usize; 64] {
    let mut order = [0; 64];
    let (mut i, mut diagonal) = (0, 0);
    while diagonal < 15 {
        let mut k = 0;
        while k <= diagonal {
            // Odd diagonals run down to the left, even ones up to the right.
            let (row, column) = if diagonal % 2 == 1 { (k, diagonal - k) } else { (diagonal - k, k) };
            if row < 8 && column < 8 {
                order[i] = 8 * row + column;
                i += 1;
            }
            k += 1;
        }
        diagonal += 1;
    }
    order
}

/// Symbols of the image's blocks, in the order of the file.
fn symbols(image: &Rgba8, steps: &[[u16; 64]; 2]) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    let mut before = [0i32; 3];
    for top in (0..image.height).step_by(8) {
        for left in (0..image.width).step_by(8) {
            for (channel, before) in before.iter_mut().enumerate() {
                let kind = channel.min(1);
                // Blocks that reach beyond the image repeat its last row and column.
                let value = |x: u32, y: u32| {
                    let x = (left + x).min(image.width - 1);
                    let y = (top + y).min(image.height - 1);
                    shifted(image.pixel(x, y), channel)
                };
                let block: [f64; 64] = std::array::from_fn(|i| value(i as u32 % 8, i as u32 / 8));
                let coefficients = transformed(&block);
                let whole = |at: usize| (coefficients[at] / f64::from(steps[kind][at])).round() as i32;
                let first = whole(0);
                symbols.push(symbol(kind, false, 0, first - *before));
                *before = first;
                others(&mut symbols, kind, whole);
            }
        }
    }
    symbols
}

/// Symbols of a block's coefficients but the first.
fn others(symbols: &mut Vec<Symbol>, kind: usize, whole: impl Fn(usize) -> i32) {
    let mut zeros = 0;
    for &at in &ZIGZAG[1..] {
        let value = whole(at);
        if value == 0 {
            zeros += 1;
            continue;
        }
        while zeros > 15 {
            symbols.push(Symbol { kind, is_other: true, code: 0xF0, bits: 0 });
            zeros -= 16;
        }
        symbols.push(symbol(kind, true, zeros, value));
        zeros = 0;
    }
    if zeros > 0 {
        symbols.push(Symbol { kind, is_other: true, code: 0, bits: 0 });
    }
}

fn symbol(kind: usize, is_other: bool, zeros: u8, value: i32) -> Symbol {
    let size = 32 - value.unsigned_abs().leading_zeros();
    // Negative numbers as their ones' complement.
    let bits = (value + value.signum().min(0)) & ((1 << size) - 1);
    Symbol { kind, is_other, code: (zeros << 4) | size as u8, bits: bits as u16 }
}

/// Y, Cb or Cr of a pixel (ITU-T T.871), around 0.
fn shifted([r, g, b, _]: [u8; 4], channel: usize) -> f64 {
    let [r, g, b] = [r, g, b].map(f64::from);
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    match channel {
        0 => y - 128.0,
        1 => (b - y) / 1.772,
        _ => (r - y) / 1.402,
    }
}

/// cos((2x + 1)uπ/16).
fn cosine(x: usize, u: usize) -> f64 {
    // Multiples of π/16 within a turn of 32; the second half mirrors the first, and each half its own.
    let k = (2 * x + 1) * u % 32;
    let k = if k > 16 { 32 - k } else { k };
    if k > 8 { -COSINES[16 - k] } else { COSINES[k] }
}

/// The discrete cosine transform of a block (ITU-T T.81, A.3.3).
fn transformed(block: &[f64; 64]) -> [f64; 64] {
    let weight = |u: usize| if u == 0 { 0.5 * COSINES[4] } else { 0.5 };
    let sum = |u: usize, value: &dyn Fn(usize) -> f64| weight(u) * (0..8).map(|x| value(x) * cosine(x, u)).sum::<f64>();
    let rows: [f64; 64] = std::array::from_fn(|i| sum(i % 8, &|x| block[i / 8 * 8 + x]));
    std::array::from_fn(|i| sum(i / 8, &|y| rows[8 * y + i % 8]))
}

/// A Huffman code.
struct Huffman {
    /// Number of codes of each length in bits.
    lengths: [u8; LONGEST + 1],
    /// Symbols by length.
    values: Vec<u8>,
    /// Code and length of each symbol.
    codes: [(u16, u8); 256],
}

impl Huffman {
    /// The shortest code for symbols that occur so often (ITU-T T.81, K.2).
    fn of(counts: &[u32; 256]) -> Self {
        // One symbol more, so that no code consists of ones alone.
        let mut nodes: Vec<(u64, Vec<usize>)> =
            counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, n)| (u64::from(*n), vec![i])).collect();
        nodes.push((0, vec![256]));
        let mut depth = [0usize; 257];
        while nodes.len() > 1 {
            // The two rarest, the later symbols first.
            nodes.sort_by(|a, b| b.0.cmp(&a.0).then(a.1[0].cmp(&b.1[0])));
            let (Some(a), Some(b)) = (nodes.pop(), nodes.pop()) else { break };
            let members = [b.1, a.1].concat();
            members.iter().for_each(|&i| depth[i] += 1);
            nodes.push((a.0 + b.0, members));
        }
        let mut of_length = [0i32; 64];
        depth.iter().filter(|d| **d > 0).for_each(|&d| of_length[d] += 1);
        shorten(&mut of_length);
        // The symbol that was added has one of the longest.
        if let Some(longest) = of_length.iter_mut().rev().find(|n| **n > 0) {
            *longest -= 1;
        }
        let mut values: Vec<usize> = (0..256).filter(|&i| depth[i] > 0).collect();
        values.sort_by_key(|&i| depth[i]);
        let mut table = Self { lengths: [0; LONGEST + 1], values: Vec::new(), codes: [(0, 0); 256] };
        let (mut code, mut next) = (0u16, values.iter());
        for (length, &count) in of_length.iter().enumerate().take(LONGEST + 1).skip(1) {
            for &value in next.by_ref().take(count as usize) {
                table.codes[value] = (code, length as u8);
                table.values.push(value as u8);
                code += 1;
            }
            table.lengths[length] = count as u8;
            code <<= 1;
        }
        table
    }
}

/// Makes codes longer than the longest allowed shorter, at the cost of short ones (ITU-T T.81, figure K.3).
fn shorten(of_length: &mut [i32; 64]) {
    for long in (LONGEST + 1..64).rev() {
        while of_length[long] > 0 {
            let Some(short) = (1..long - 1).rev().find(|&j| of_length[j] > 0) else { return };
            of_length[long] -= 2;
            of_length[long - 1] += 1;
            of_length[short + 1] += 2;
            of_length[short] -= 1;
        }
    }
}

/// Bits on their way into bytes.
struct Bits {
    bytes: Vec<u8>,
    held: u32,
    count: u8,
}

impl Bits {
    fn put(&mut self, value: u16, length: u8) {
        self.held = (self.held << length) | u32::from(value);
        self.count += length;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.held >> self.count) as u8;
            self.bytes.push(byte);
            // A zero tells data from a marker.
            if byte == 0xFF {
                self.bytes.push(0);
            }
            self.held &= (1 << self.count) - 1;
        }
    }

    /// The bytes, the last one filled with ones, and the end marker.
    fn finish(mut self) -> Vec<u8> {
        let fill = (8 - self.count) % 8;
        self.put((1u16 << fill) - 1, fill);
        self.bytes.extend([0xFF, 0xD9]);
        self.bytes
    }
}
