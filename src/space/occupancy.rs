//! Occupancy grid: the cells of the unit cube that may hold matter, and the samples of rays that lie in them.
//!
//! One bit a cell, 4³ cells in a 64-bit word, and for each word the distance to the next word that is not empty. So the
//! empty space around a point is known at once, and [`OccupancyTraversal`] skips it.

mod clearance;
mod march_piece;
mod ray_sampling;
mod traversal;

#[cfg(test)]
mod tests;

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use glam::{UVec3, Vec3};
use rayon::prelude::*;

pub use march_piece::{MarchPiece, Strata};
pub use ray_sampling::RaySampling;
pub use traversal::{OccupancyTraversal, RaySample, VolumeRay};

/// Words in a block.
const WORDS: usize = 64;
/// Fewest and most cells along an axis.
const CELLS: (usize, usize) = (16, 512);

/// Stored occupancy that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OccupancyError {
    /// Unsupported number of cells.
    #[error("occupancy: {0} cells an axis; expected a power of two from 16 to 512")]
    Cells(usize),
    /// The bytes are not a zlib stream, or end early.
    #[error("occupancy: the stored bits are damaged ({0}); fit the field again or take another copy of the file")]
    Damaged(String),
    /// There are more or fewer bits than cells.
    #[error("occupancy: {got} bytes of bits, {want} expected; the number of cells does not fit the stored bits")]
    Length {
        /// Bytes found; reading stops one past the expected number.
        got: usize,
        /// One bit a cell.
        want: usize,
    },
}

/// Cells of the unit cube that may hold matter.
///
/// The cube is half open: a coordinate of 1 lies outside. Cells are numbered x fastest: `x + n·(y + n·z)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// Cells along an axis, a power of two.
    cells: usize,
    /// 4³ cells a word; the 64 words of a block, 16³ cells, lie together.
    words: Vec<u64>,
    /// Words to the nearest one that holds anything, along the axis that is furthest; 0 for such a word itself.
    clearance: Vec<u8>,
    /// Occupied cells.
    count: usize,
    /// Lowest occupied cell and one past the highest along each axis; `None` without any.
    extent: Option<(UVec3, UVec3)>,
}

/// State of the cell at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CellState {
    /// An occupied cell.
    Occupied,
    /// In the given cell or word (by `shift`, 0 or 2), which is empty as are all within `radius` of it.
    Empty { at: UVec3, shift: u32, radius: u8 },
    /// Outside the unit cube.
    Outside,
}

/// Bit of a cell in its word, or of a word in its block, from the two lowest bits of each coordinate.
#[inline(always)]
fn bit(x: u32, y: u32, z: u32) -> u32 {
    (x & 3) | (y & 3) << 2 | (z & 3) << 4
}

/// Index of a cell's word.
#[inline(always)]
fn word(cells: usize, at: UVec3) -> usize {
    let side = cells >> 4;
    let b = at >> 4u32;
    let block = b.x as usize + side * (b.y as usize + side * b.z as usize);
    block * WORDS + bit(at.x >> 2, at.y >> 2, at.z >> 2) as usize
}

/// Position in the word's or block's cube: the inverse of [`bit`].
fn position_in_word(bit: usize) -> UVec3 {
    UVec3::new(bit as u32 & 3, bit as u32 >> 2 & 3, bit as u32 >> 4 & 3)
}

/// Lowest cell in a word and one past the highest; the word is not 0.
fn extent(word: u64) -> (UVec3, UVec3) {
    // Bit k of an axis is set where any cell has coordinate k. First z is folded away, then y.
    let plane = word | word >> 16 | word >> 32 | word >> 48;
    let row = (plane | plane >> 4 | plane >> 8 | plane >> 12) & 15;
    let any = |word: u64, width: u32| {
        (0..4).fold(0, |m, k| m | ((word >> (k * width) & ((1 << width) - 1) != 0) as u64) << k)
    };
    let axes = [row, any(plane & 0xffff, 4), any(word, 16)];
    (UVec3::from(axes.map(u64::trailing_zeros)), UVec3::from(axes.map(|a| 64 - a.leading_zeros())))
}

impl Occupancy {
    /// `true` for a supported number of cells along an axis: a power of two from 16 to 512.
    pub fn supports(cells: usize) -> bool {
        cells.is_power_of_two() && (CELLS.0..=CELLS.1).contains(&cells)
    }

    /// A grid with every cell occupied.
    ///
    /// # Panics
    /// Numbers of cells that [`Self::supports`] denies.
    pub fn full(cells: usize) -> Self {
        Self::from_words(cells, vec![!0; Self::word_count(cells)])
    }

    /// A grid with no cell occupied.
    ///
    /// # Panics
    /// Numbers of cells that [`Self::supports`] denies.
    pub fn empty(cells: usize) -> Self {
        Self::from_words(cells, vec![0; Self::word_count(cells)])
    }

    /// A grid of the cells whose linear index (x fastest) `occupied` accepts; it is called once a cell, from several threads.
    ///
    /// # Panics
    /// Numbers of cells that [`Self::supports`] denies.
    pub fn from_bits(cells: usize, occupied: impl Fn(usize) -> bool + Sync) -> Self {
        let mut words = vec![0u64; Self::word_count(cells)];
        let side = cells / 16;
        words.par_chunks_mut(WORDS).enumerate().with_min_len(4).for_each(|(b, words)| {
            let corner = [b % side * 16, b / side % side * 16, b / (side * side) * 16];
            // Row by row, so that a caller's array is read in order.
            for row in 0..256 {
                let (y, z) = (row % 16, row / 16);
                let first = corner[0] + cells * (corner[1] + y + cells * (corner[2] + z));
                let shift = bit(0, y as u32, z as u32);
                let words = &mut words[bit(0, y as u32 >> 2, z as u32 >> 2) as usize..][..4];
                for (w, word) in words.iter_mut().enumerate() {
                    let four = (0..4).fold(0, |m, x| m | (occupied(first + 4 * w + x) as u64) << x);
                    *word |= four << shift;
                }
            }
        });
        Self::from_words(cells, words)
    }

    fn word_count(cells: usize) -> usize {
        assert!(Self::supports(cells), "{cells} cells an axis; expected a power of two from 16 to 512");
        cells * cells * cells / 64
    }

    fn from_words(cells: usize, words: Vec<u64>) -> Self {
        let count = words.iter().map(|w| w.count_ones() as usize).sum();
        let side = cells / 16;
        let corner = |b: usize| UVec3::from([b % side, b / side % side, b / (side * side)].map(|v| v as u32)) * 16;
        let occupied = words.iter().enumerate().filter(|(_, w)| **w != 0);
        let extent = occupied
            .map(|(i, w)| {
                let at = corner(i / WORDS) + position_in_word(i % WORDS) * 4;
                let (lo, hi) = extent(*w);
                (at + lo, at + hi)
            })
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let clearance = clearance::clearance(cells / 4, |at| words[word(cells, at * 4)] != 0, |at| word(cells, at * 4));
        Self { cells, words, clearance, count, extent }
    }

    /// Words and clearances as shaders read them (`shaders/march.wgsl`): two words for each of 64 bits, low half first, then
    /// the clearances, four a word.
    pub fn packed(&self) -> Vec<u32> {
        let words = self.words.iter().flat_map(|w| [*w as u32, (*w >> 32) as u32]);
        words.chain(self.clearance.as_chunks::<4>().0.iter().map(|c| u32::from_le_bytes(*c))).collect()
    }

    /// Cells along an axis.
    #[inline]
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// `true` where the cell of that linear index (x fastest) is occupied; indices past the last cell are not.
    #[inline]
    pub fn get(&self, index: usize) -> bool {
        let n = self.cells;
        let at = [index % n, index / n % n, index / (n * n)].map(|v| v as u32);
        at[2] < n as u32 && self.cell(UVec3::from(at))
    }

    #[inline]
    fn cell(&self, at: UVec3) -> bool {
        self.words[word(self.cells, at)] >> bit(at.x, at.y, at.z) & 1 == 1
    }

    /// State of the cell at `p`, no coordinate of which is −0.
    #[inline(always)]
    fn probe(&self, p: Vec3) -> CellState {
        // As integers, floats of [0, 1) are the ones below 1: negative ones and NaN come out larger.
        if p.x.to_bits().max(p.y.to_bits()).max(p.z.to_bits()) >= 1f32.to_bits() {
            return CellState::Outside;
        }
        // Exact, as the number of cells is a power of two.
        let q = p * self.cells as f32;
        let at = UVec3::new(q.x as i32 as u32, q.y as i32 as u32, q.z as i32 as u32);
        let index = word(self.cells, at);
        let word = self.words[index];
        if word >> bit(at.x, at.y, at.z) & 1 == 1 {
            CellState::Occupied
        } else if word != 0 {
            CellState::Empty { at, shift: 0, radius: 0 }
        } else {
            CellState::Empty { at: at >> 2u32, shift: 2, radius: self.clearance[index].saturating_sub(1) }
        }
    }

    /// `true` where a position in field coordinates lies in an occupied cell; outside the cube none does.
    #[inline]
    pub fn contains(&self, p: Vec3) -> bool {
        self.probe(p + 0.0) == CellState::Occupied
    }

    /// `true` where an occupied cell may meet the box from `lo` to `hi` (field coordinates); errs by up to three cells, and
    /// only towards `true`.
    #[inline]
    pub fn overlaps(&self, lo: Vec3, hi: Vec3) -> bool {
        let last = (self.cells - 1) as f32;
        if !(hi.cmpge(Vec3::ZERO).all() && lo.cmplt(Vec3::ONE).all()) {
            return false;
        }
        let place = |p: Vec3| (p * self.cells as f32).clamp(Vec3::ZERO, Vec3::splat(last)).as_uvec3() >> 2u32;
        let (lo, hi) = (place(lo), place(hi));
        let mut words =
            (lo.z..=hi.z).flat_map(|z| (lo.y..=hi.y).flat_map(move |y| (lo.x..=hi.x).map(move |x| (x, y, z))));
        words.any(|(x, y, z)| self.words[word(self.cells, UVec3::new(x, y, z) << 2u32)] != 0)
    }

    /// Fraction of the cells that are occupied, 0 to 1.
    pub fn fraction(&self) -> f64 {
        self.count as f64 / (64 * self.words.len()) as f64
    }

    /// Lowest and highest corner of the box around the occupied cells, in field coordinates; `None` without any.
    #[inline]
    pub fn bounds(&self) -> Option<(Vec3, Vec3)> {
        let cell = 1.0 / self.cells as f32;
        self.extent.map(|(lo, hi)| (lo.as_vec3() * cell, hi.as_vec3() * cell))
    }

    /// The bits, x fastest, the first cell in the lowest bit of the first byte, compressed as a zlib stream.
    pub fn to_bytes(&self) -> Vec<u8> {
        let n = self.cells as u32;
        let mut packed = Vec::with_capacity(self.cells.pow(3) / 8);
        for (z, y) in (0..n).flat_map(|z| (0..n).map(move |y| (z, y))) {
            for x in (0..n).step_by(8) {
                let four = |x: u32| (self.words[word(self.cells, UVec3::new(x, y, z))] >> bit(0, y, z)) as u8 & 15;
                packed.push(four(x) | four(x + 4) << 4);
            }
        }
        let mut out = ZlibEncoder::new(Vec::new(), Compression::default());
        // Writing to memory cannot fail; should it ever, the short stream is refused when read.
        let _ = out.write_all(&packed);
        out.finish().unwrap_or_default()
    }

    /// Reads the output of [`Self::to_bytes`]. No more is unpacked than the cells need.
    ///
    /// # Errors
    /// An unsupported number of cells, a damaged stream, or bits of another number of cells.
    pub fn from_bytes(cells: usize, bytes: &[u8]) -> Result<Self, OccupancyError> {
        if !Self::supports(cells) {
            return Err(OccupancyError::Cells(cells));
        }
        let want = cells.pow(3) / 8;
        let mut packed = Vec::new();
        let mut stream = ZlibDecoder::new(bytes).take(want as u64 + 1);
        stream.read_to_end(&mut packed).map_err(|e| OccupancyError::Damaged(e.to_string()))?;
        if packed.len() != want {
            return Err(OccupancyError::Length { got: packed.len(), want });
        }
        Ok(Self::from_bits(cells, |i| packed[i >> 3] >> (i & 7) & 1 == 1))
    }
}
