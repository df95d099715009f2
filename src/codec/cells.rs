//! Occupied cells of a cube as a section: bits whose probability follows from the cells around.
//!
//! First come the blocks of 8³ cells, x fastest: each is empty, full or mixed. Then, row by row through the whole cube, the cells of
//! mixed blocks, each in contexts of the cells before it: in its row, in the row before, in the plane before. (The template of
//! JBIG, ITU-T T.82, with a third dimension.)

use crate::error::StreamError;
use crate::mixing::{AdaptiveBit, MixedBits};
use crate::range_coder::{BitIo, RangeDecoder, RangeEncoder};

/// Cells along the edge of a block; the cells along an axis are a multiple.
pub const BLOCK: usize = 8;

/// State of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockState {
    Empty,
    Full,
    Mixed,
}

/// Bits of a cube of cells, x fastest, 64 in a word, the first in the lowest bit.
struct Cells<'a> {
    side: usize,
    words: &'a mut [u64],
}

impl Cells<'_> {
    #[inline]
    fn index(&self, [x, y, z]: [usize; 3]) -> usize {
        x + self.side * (y + self.side * z)
    }

    /// 1 for an occupied cell; 0 for an empty one, and outside of the cube (a coordinate below 0 wraps around).
    #[inline]
    fn get(&self, x: usize, y: usize, z: usize) -> usize {
        if x >= self.side || y >= self.side || z >= self.side {
            return 0;
        }
        let i = self.index([x, y, z]);
        (self.words[i / 64] >> (i % 64) & 1) as usize
    }

    /// The eight cells of one row of a block.
    #[inline]
    fn row(&self, at: [usize; 3]) -> u8 {
        let i = self.index(at);
        (self.words[i / 64] >> (i % 64)) as u8
    }

    /// Sets one row of a block, of eight empty cells.
    #[inline]
    fn set_row(&mut self, at: [usize; 3], bits: u8) {
        let i = self.index(at);
        self.words[i / 64] |= u64::from(bits) << (i % 64);
    }

    fn block(&self, corner: [usize; 3]) -> BlockState {
        let [x, y, z] = corner;
        let mut rows = (0..BLOCK * BLOCK).map(|i| self.row([x, y + i % BLOCK, z + i / BLOCK]));
        match self.row(corner) {
            0 if rows.all(|row| row == 0) => BlockState::Empty,
            255 if rows.all(|row| row == 255) => BlockState::Full,
            _ => BlockState::Mixed,
        }
    }

    /// Contexts of a cell: all twelve cells of the template, the seven nearest, the three that touch it.
    #[inline]
    fn contexts(&self, x: usize, y: usize, z: usize) -> [usize; 3] {
        let (w, n, b) = (x.wrapping_sub(1), y.wrapping_sub(1), z.wrapping_sub(1));
        let touching = self.get(w, y, z) | self.get(x, n, z) << 1 | self.get(x, y, b) << 2;
        let near = self.get(w, n, z) | self.get(x + 1, n, z) << 1 | self.get(w, y, b) << 2 | self.get(x, n, b) << 3;
        let far = self.get(w.wrapping_sub(1), y, z)
            | self.get(x, n.wrapping_sub(1), z) << 1
            | self.get(x, y, b.wrapping_sub(1)) << 2
            | self.get(x + 1, y, b) << 3
            | self.get(x, y + 1, b) << 4;
        [touching | near << 3 | far << 7, touching | near << 3, touching]
    }
}

/// Codes all cells; those that are read must be empty before.
fn code<C: BitIo>(io: &mut C, cells: &mut Cells<'_>, state: impl Fn(&Cells<'_>, [usize; 3]) -> BlockState) {
    let side = cells.side;
    let blocks = side / BLOCK;
    let mut states = vec![BlockState::Empty; blocks * blocks * blocks];
    let (mut mixed, mut full) = ([AdaptiveBit::default(); 27], [AdaptiveBit::default(); 27]);
    for i in 0..states.len() {
        let [x, y, z] = [i % blocks, i / blocks % blocks, i / (blocks * blocks)];
        let before = |there: bool, back: usize| if there { states[i - back] as usize } else { 0 };
        let context = before(x > 0, 1) + 3 * before(y > 0, blocks) + 9 * before(z > 0, blocks * blocks);
        let corner = [x, y, z].map(|v| v * BLOCK);
        let known = state(cells, corner);
        states[i] = if mixed[context].code(io, known == BlockState::Mixed) {
            BlockState::Mixed
        } else if full[context].code(io, known == BlockState::Full) {
            BlockState::Full
        } else {
            BlockState::Empty
        };
        if io.is_exhausted() {
            return;
        }
    }
    let mut model = MixedBits::new([1 << 12, 1 << 7, 1 << 3], 1);
    for (z, y) in (0..side).flat_map(|z| (0..side).map(move |y| (z, y))) {
        for block in 0..blocks {
            let x = block * BLOCK;
            match states[block + blocks * (y / BLOCK + blocks * (z / BLOCK))] {
                BlockState::Empty => {}
                BlockState::Full => cells.set_row([x, y, z], 255),
                BlockState::Mixed => {
                    let known = cells.row([x, y, z]);
                    for i in 0..BLOCK {
                        let contexts = cells.contexts(x + i, y, z);
                        let bit = model.code(io, known >> i & 1 == 1, contexts, 0);
                        cells.set_row([x, y, z], u8::from(bit) << i);
                    }
                }
            }
        }
        if io.is_exhausted() {
            return;
        }
    }
}

/// The section of the occupied cells of a cube with `side` cells an axis, a multiple of [`BLOCK`]: bits, x fastest, 64 a word.
///
/// # Panics
/// If `side` is no multiple of [`BLOCK`], or there are not as many bits as cells.
pub fn encode_cells(side: usize, words: &[u64]) -> Vec<u8> {
    assert!(side > 0 && side.is_multiple_of(BLOCK), "{side} cells an axis; expected a multiple of {BLOCK}");
    assert_eq!(words.len() * 64, side.pow(3), "one bit a cell");
    let mut encoder = RangeEncoder::default();
    code(&mut encoder, &mut Cells { side, words: &mut words.to_vec() }, |cells, corner| cells.block(corner));
    encoder.finish()
}

/// Reads the section of occupied cells. It reserves a bit a cell.
///
/// # Errors
/// Streams of another length.
///
/// # Panics
/// If `side` is no multiple of [`BLOCK`].
pub fn decode_cells(side: usize, bytes: &[u8]) -> Result<Vec<u64>, StreamError> {
    assert!(side > 0 && side.is_multiple_of(BLOCK), "{side} cells an axis; expected a multiple of {BLOCK}");
    let mut words = vec![0; side.pow(3) / 64];
    let mut decoder = RangeDecoder::new(bytes);
    code(&mut decoder, &mut Cells { side, words: &mut words }, |_, _| BlockState::Empty);
    decoder.finish()?;
    Ok(words)
}
