//! Entries of a latent level that evaluation can read: the others need not be stored.
//!
//! Of a radiance field only points in occupied cells are evaluated; of other fields all points of the cube. A point reads the
//! vertices of its cell, and some entries of a hashed level stand for no vertex at all. The list follows from the shape and the
//! occupied cells in integers alone, so that it is the same on every machine. A list that is too long costs bytes, one that is too
//! short costs quality, so where counting is not worth its time all entries are on it.

use std::ops::RangeInclusive;

use nstr_space::occupancy::Occupancy;
use nstr_spec::{HASH_PRIMES, LevelSpec};
use rayon::prelude::*;

/// A hashed level with this many vertices an entry is taken to be read throughout: were the hash random, one entry in 2981 would
/// not be.
const CROWDED: u128 = 8;

/// Occupied cells of the unit cube as bits, x fastest, 64 a word.
#[derive(Clone, Debug)]
pub(super) struct CellBits {
    /// Cells along an axis.
    pub side: usize,
    /// The bits, as many as cells.
    pub words: Vec<u64>,
}

impl CellBits {
    /// The cells of an occupancy grid.
    pub fn of(occupancy: &Occupancy) -> Self {
        let side = occupancy.cells();
        let word = |w: usize| (0..64).fold(0, |word, i| word | u64::from(occupancy.get(64 * w + i)) << i);
        Self { side, words: (0..side.pow(3) / 64).into_par_iter().map(word).collect() }
    }

    /// Number of occupied cells.
    fn count(&self) -> u128 {
        self.words.iter().map(|word| u128::from(word.count_ones())).sum()
    }

    /// Indices of the occupied cells.
    fn indices(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(w, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(64 * w + bit)
            })
        })
    }
}

/// `true` for each entry of `level` in `dim` coordinates that points of the cube read; with `occupied` only points in its cells.
pub(super) fn read_entries(level: &LevelSpec, dim: usize, occupied: Option<&CellBits>) -> Vec<bool> {
    let entries = level.entries(dim);
    let vertices = VertexNumbering::new(level, dim);
    let cells = u128::from(level.resolution);
    let axes = vertices.axes.len() as u32;
    let Some(occupied) = occupied else {
        // Every vertex of a dense level is an entry of its own.
        let is_full = level.hashmap_size.is_none() || (cells + 1).pow(axes) >= CROWDED * entries as u128;
        let mut read = vec![is_full; entries];
        if !is_full {
            vertices.mark(&std::array::from_fn(|_| 0..=level.resolution), &mut read);
        }
        return read;
    };
    let side = occupied.side;
    let is_crowded = || occupied.count() * cells.pow(axes) >= CROWDED * entries as u128 * (side as u128).pow(axes);
    if level.hashmap_size.is_some() && is_crowded() {
        return vec![true; entries];
    }
    // Vertices around each slice of the occupancy grid.
    let ranges: Vec<RangeInclusive<u32>> = (0..side as u64).map(|o| vertices_of_slice(o, level, side as u64)).collect();
    let mut read = vec![false; entries];
    for i in occupied.indices() {
        let at = [i % side, i / side % side, i / (side * side)];
        vertices.mark(&at.map(|o| ranges[o].clone()), &mut read);
    }
    read
}

/// Vertices of the level's cells that a slice of one occupancy cell overlaps, along one axis: both are half open.
fn vertices_of_slice(slice: u64, level: &LevelSpec, side: u64) -> RangeInclusive<u32> {
    let cells = u64::from(level.resolution);
    let (first, last) = (slice * cells / side, ((slice + 1) * cells - 1) / side);
    // Of at most as many cells as the level has.
    first as u32..=last as u32 + 1
}

/// Numbers of a level's vertices.
struct VertexNumbering {
    /// Its axes, in order.
    axes: Vec<usize>,
    /// Factor of each axis' coordinate.
    strides: Vec<u32>,
    /// Mask of a hashed level's table.
    mask: Option<u32>,
}

impl VertexNumbering {
    fn new(level: &LevelSpec, dim: usize) -> Self {
        let axes: Vec<usize> = (0..dim).filter(|j| level.axes.has(*j)).collect();
        let side = level.resolution + 1;
        let stride = |(rank, j): (usize, &usize)| match level.hashmap_size {
            Some(_) => HASH_PRIMES[*j],
            None => side.pow(rank as u32),
        };
        let strides = axes.iter().enumerate().map(stride).collect();
        Self { axes, strides, mask: level.hashmap_size.map(|size| size - 1) }
    }

    /// Marks the entries of a box of vertices, given along each coordinate.
    fn mark(&self, vertices: &[RangeInclusive<u32>; 3], read: &mut [bool]) {
        // Axes that the level lacks have one place, of number 0.
        let axis = |rank: usize| match (self.axes.get(rank), self.strides.get(rank)) {
            (Some(j), Some(stride)) => (vertices[*j].clone(), *stride),
            _ => (0..=0, 0),
        };
        let [(xs, x_stride), (ys, y_stride), (zs, z_stride)] = [axis(0), axis(1), axis(2)];
        for z in zs.map(|z| z.wrapping_mul(z_stride)) {
            for y in ys.clone().map(|y| y.wrapping_mul(y_stride)) {
                for x in xs.clone().map(|x| x.wrapping_mul(x_stride)) {
                    let entry = match self.mask {
                        Some(mask) => (x ^ y ^ z) & mask,
                        None => x + y + z,
                    };
                    read[entry as usize] = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use glam::Vec3;
    use nstr_kernel::FusedField;
    use nstr_spec::config::preset;
    use nstr_spec::{FieldSpec, init};
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    /// A field of one kind of latent grid, evaluated by the kernels.
    fn spec(changes: &[&str]) -> FieldSpec {
        let narrow = ["latent.base_resolution=3", "latent.hashmap_size=64", "latent.features=2", "spectrum.width=4"];
        preset("radiance-tiny").unwrap().set(&[&narrow[..], changes].concat()).unwrap().spec()
    }

    fn read_of(spec: &FieldSpec, occupancy: &Occupancy) -> Vec<bool> {
        let cells = CellBits::of(occupancy);
        spec.latent.levels.iter().flat_map(|level| read_entries(level, spec.dim, Some(&cells))).collect()
    }

    #[test]
    fn bits_are_those_of_the_cells() {
        let occupancy = Occupancy::from_bits(16, |i| i % 7 == 3 || i > 4000);
        let cells = CellBits::of(&occupancy);
        assert!(cells.indices().eq((0..4096).filter(|i| occupancy.get(*i))));
        assert_eq!(cells.count(), cells.indices().count() as u128);
    }

    /// Features of entries that are not on the list change nothing at points of occupied cells; of those on it, most do.
    #[test]
    fn the_kernels_read_no_other_entries() {
        let ball = Occupancy::from_bits(16, |i| {
            let at = Vec3::new((i % 16) as f32, (i / 16 % 16) as f32, (i / 256) as f32);
            (at - 6.0).length() < 3.0 || i == 4095
        });
        for changes in [
            &["latent.kind=hash", "latent.levels=4", "latent.resolution=40"][..],
            &["latent.kind=pyramid", "latent.levels=3", "latent.resolution=33"],
            &["latent.kind=vm", "latent.resolution=21"],
            &["latent.kind=planes", "latent.resolution=16"],
        ] {
            let spec = spec(changes);
            let features = spec.latent.features;
            let (mut grid, net) = init::parameters(&spec, &preset("radiance-tiny").unwrap().init);
            grid.iter_mut().enumerate().for_each(|(i, v)| *v = ((i * 37 % 101) as f32 - 50.0) / 50.0);
            let read = read_of(&spec, &ball);
            let unread = read.iter().filter(|r| !**r).count();
            assert!(unread * 10 > read.len() && unread < read.len(), "{changes:?}: {unread} of {} unread", read.len());
            let mut random = Pcg64::seed_from_u64(3);
            let mut x: Vec<f32> = Vec::new();
            while x.len() < 3 * 4000 {
                // Also on the faces of cells.
                let p: [f32; 3] = std::array::from_fn(|_| match random.random_range(0..4) {
                    0 => random.random_range(0..16) as f32 / 16.0,
                    1 => (random.random_range(1..=16) as f32 / 16.0).next_down(),
                    _ => random.random(),
                });
                if ball.contains(p.into()) {
                    x.extend(p);
                }
            }
            let fused = FusedField::new(&spec);
            let values = |grid: &[f32]| {
                let mut out = vec![0.0; x.len() / 3 * spec.outputs];
                fused.forward(grid, &net, &x, &mut out);
                out
            };
            let before = values(&grid);
            let mut zeroed = grid.clone();
            zeroed.chunks_exact_mut(features).zip(&read).filter(|(_, r)| !**r).for_each(|(v, _)| v.fill(0.0));
            assert!(values(&zeroed) == before, "{changes:?}");
            // The list is not much too long: the adjoint reaches what is read.
            let (mut d_grid, mut d_net) = (vec![0.0; grid.len()], vec![0.0; net.len()]);
            let d_out = vec![1.0; before.len()];
            let to = nstr_kernel::GradientSlices { d_grid: &mut d_grid, d_net: &mut d_net, d_x: None };
            fused.backward(nstr_kernel::Outputs::Value, &grid, &net, &x, &d_out, to);
            let met = d_grid.chunks_exact(features).filter(|d| d.iter().any(|d| *d != 0.0)).count();
            let listed = read.len() - unread;
            assert!(met <= listed && met * 2 >= listed, "{changes:?}: {met} of {listed}");
        }
    }

    #[test]
    fn without_occupancy_entries_that_stand_for_no_vertex_are_left_out() {
        // 5³ vertices in 64 entries, then 17³.
        let spec = spec(&["latent.kind=hash", "latent.levels=2", "latent.base_resolution=4", "latent.resolution=16"]);
        let [coarse, fine] = [0, 1].map(|l| read_entries(&spec.latent.levels[l], 3, None));
        assert_eq!((coarse.len(), fine.len()), (64, 64));
        let mut expected = [false; 64];
        for i in 0..125_u32 {
            let [x, y, z] = [i % 5, i / 5 % 5, i / 25];
            expected[((x ^ y.wrapping_mul(2_654_435_761) ^ z.wrapping_mul(805_459_861)) % 64) as usize] = true;
        }
        assert_eq!(coarse, expected);
        assert!(fine.iter().all(|r| *r), "more than eight vertices an entry");
        let dense = LevelSpec::new(4, None);
        assert_eq!(read_entries(&dense, 2, None), [true; 25]);
        let in_cells = |occupancy: Occupancy| read_entries(&dense, 3, Some(&CellBits::of(&occupancy)));
        let nothing = in_cells(Occupancy::empty(16));
        assert!(nothing.len() == 125 && nothing.iter().all(|r| !*r));
        assert!(in_cells(Occupancy::full(16)).iter().all(|r| *r));
    }
}
