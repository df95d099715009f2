//! Marching cubes of a field whose sign is known over boxes, so that no cell that the surface crosses is missed.

use glam::{DVec3, Vec3};

use crate::isosurface::IsoError;
use crate::isosurface::lattice::Lattice;
use crate::isosurface::sparse::{FINE, Field, SparseSurface, fine};

/// Settings of [`enclosed`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EnclosedOptions {
    /// Cells along the longest edge of the box, 1 to 4096.
    pub resolution: usize,
    /// Lowest corner of the box.
    pub lo: DVec3,
    /// Highest corner of the box.
    pub hi: DVec3,
    /// Rounds of false position that move each vertex onto the field's own zero; 0 keeps the linear estimate.
    pub refine: usize,
}

/// A part of the box, borders included, and the sign of the field there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignedBox {
    /// Lowest corner.
    pub lo: DVec3,
    /// Highest corner.
    pub hi: DVec3,
    /// 1 or −1 where no value of the field is 0, and 0 where it may have any.
    pub sign: i8,
}

/// A surface outside of whose cells there is none.
#[derive(Clone, Debug)]
pub struct EnclosedSurface {
    /// The surface.
    pub surface: SparseSurface,
    /// Cells of the lattice.
    pub cells: usize,
    /// Cells that may hold the surface, all of whose corners were evaluated.
    pub visited: usize,
    /// Those of them at whose corners the sign changes.
    pub crossed: usize,
}

/// The zero surface of `eval` in a box that `boxes` fill. Every cell of the lattice that lies partly in a box of unknown sign is
/// visited; the signs of all other points are those of their boxes. `eval` writes the value of each point and is called from several threads.
///
/// # Errors
/// [`IsoError`] for settings out of range, or more than 2³² vertices.
pub fn enclosed(
    options: &EnclosedOptions,
    boxes: &[SignedBox],
    eval: impl Fn(&[Vec3], &mut [f32]) + Sync,
) -> Result<EnclosedSurface, IsoError> {
    let EnclosedOptions { resolution, lo, hi, refine } = *options;
    if !(1..=4096).contains(&resolution) {
        return Err(IsoError::Options("the resolution must be from 1 to 4096"));
    }
    if !(lo.is_finite() && hi.is_finite() && lo.cmplt(hi).all()) {
        return Err(IsoError::Options("the box must be finite and its lower corner below its upper one"));
    }
    let lattice = Lattice::covering(lo, hi, resolution);
    lattice.check()?;
    // In cells. Exact for boxes of halved unit cubes, as the spacing itself is not.
    let rate = resolution as f64 / (hi - lo).max_element();
    let ends = |part: &SignedBox| [(part.lo - lo) * rate, (part.hi - lo) * rate];
    let (mut bits, mut visited) = (lattice.no_bits(), lattice.no_bits());
    let blocks = lattice.dims.map(|d| d.div_ceil(FINE));
    let mut evaluated = vec![false; blocks.iter().product()];
    for part in boxes {
        let [low, high] = ends(part);
        if part.sign != 0 {
            if part.sign < 0 {
                let inside = [0, 1, 2].map(|k| {
                    let last = (high[k].floor().max(-1.0) + 1.0) as usize;
                    low[k].ceil().max(0.0) as usize..last.min(lattice.dims[k])
                });
                set(&lattice, &mut bits, &inside);
            }
            continue;
        }
        let cells = [0, 1, 2].map(|k| {
            let first = (low[k].floor().max(0.0) as usize).min(lattice.dims[k] - 2);
            // A box without extent lies in one cell at least.
            first..(high[k].ceil().max(0.0) as usize).clamp(first + 1, lattice.dims[k] - 1)
        });
        set(&lattice, &mut visited, &cells);
        let near = cells.map(|range| range.start / FINE..range.end / FINE + 1);
        for z in near[2].clone() {
            for y in near[1].clone() {
                evaluated[(z * blocks[1] + y) * blocks[0]..][near[0].clone()].fill(true);
            }
        }
    }
    let place = |i: usize| [i % blocks[0], i / blocks[0] % blocks[1], i / (blocks[0] * blocks[1])];
    let active: Vec<[usize; 3]> =
        (0..evaluated.len()).filter(|i| evaluated[*i]).map(|i| place(i).map(|b| b * FINE)).collect();
    // In these blocks the values decide, not the boxes beside them.
    let mask = (1u64 << FINE) - 1;
    for block in &active {
        for z in block[2]..(block[2] + FINE).min(lattice.dims[2]) {
            for y in block[1]..(block[1] + FINE).min(lattice.dims[1]) {
                bits[lattice.row(y, z) * lattice.words() + block[0] / 64] &= !(mask << (block[0] % 64));
            }
        }
    }
    let field = Field::new(&eval, &|_| ());
    let blocks = fine(&lattice, &field, &active, &mut bits, f32::NAN);
    let (visited, crossed) = count(&lattice, &visited, &bits);
    let surface = field.surface(&lattice, &blocks, &bits, refine)?;
    let cells = lattice.dims.iter().map(|d| d - 1).product();
    Ok(EnclosedSurface { surface, cells, visited, crossed })
}

/// Sets the bits of a range of points.
fn set(lattice: &Lattice, bits: &mut [u64], range: &[std::ops::Range<usize>; 3]) {
    for z in range[2].clone() {
        for y in range[1].clone() {
            let row = &mut bits[lattice.row(y, z) * lattice.words()..][..lattice.words()];
            for x in range[0].clone() {
                row[x / 64] |= 1 << (x % 64);
            }
        }
    }
}

/// Number of the visited cells, and of those whose corners differ.
fn count(lattice: &Lattice, visited: &[u64], bits: &[u64]) -> (usize, usize) {
    let words = lattice.words();
    let bit = |x: usize, y: usize, z: usize| bits[lattice.row(y, z) * words + x / 64] >> (x % 64) & 1;
    let (mut total, mut crossed) = (0, 0);
    for (i, word) in visited.iter().enumerate() {
        let (row, mut left) = (i / words, *word);
        total += left.count_ones() as usize;
        while left != 0 {
            let (x, y, z) =
                (i % words * 64 + left.trailing_zeros() as usize, row % lattice.dims[1], row / lattice.dims[1]);
            let inside: u64 = (0..8).map(|k| bit(x + (k & 1), y + (k >> 1 & 1), z + (k >> 2))).sum();
            crossed += usize::from(!inside.is_multiple_of(8));
            left &= left - 1;
        }
    }
    (total, crossed)
}
