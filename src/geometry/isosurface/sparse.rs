//! Marching cubes that evaluates the field only where its surface can be.

use std::sync::atomic::{AtomicUsize, Ordering};

use glam::{DVec3, Vec3};
use rayon::prelude::*;

use crate::isosurface::extract::{Edge, extract, root};
use crate::isosurface::lattice::{Lattice, Values};
use crate::isosurface::{IsoError, TriMesh, pack};

/// Points along an edge of the smallest block.
pub(super) const FINE: usize = 4;
/// Points along an edge of the first blocks: 4 · 2³.
pub(super) const COARSE: usize = 32;
/// Points handed to the field at once.
const BATCH: usize = 4096;

/// Settings of [`sparse`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SparseOptions {
    /// Cells along the longest edge of the box, 1 to 4096.
    pub resolution: usize,
    /// Lowest corner of the box.
    pub lo: DVec3,
    /// Highest corner of the box.
    pub hi: DVec3,
    /// Bound of |f(p) − f(q)| / |p − q|: 1 for a distance.
    pub lipschitz: f32,
    /// Factor on `lipschitz`, for bounds that are only nearly kept.
    pub safety: f32,
    /// Rounds of false position that move each vertex onto the field's own zero; 0 keeps the linear estimate.
    pub refine: usize,
}

/// A surface and what it cost.
#[derive(Clone, Debug)]
pub struct SparseSurface {
    /// The surface.
    pub mesh: TriMesh,
    /// Points at which the field was evaluated, refinement included.
    pub evaluations: usize,
    /// Points of the lattice.
    pub lattice_points: usize,
}

/// Values of the blocks that the surface can reach; the others are known by sign only.
pub(super) struct Blocks {
    /// Blocks along each axis.
    dims: [usize; 3],
    /// Index into `values`, or `u32::MAX`.
    index: Vec<u32>,
    values: Vec<[f32; FINE * FINE * FINE]>,
    /// Value in the other blocks; NaN puts vertices midway.
    absent: f32,
}

impl Values for Blocks {
    #[inline(always)]
    fn value(&self, x: usize, y: usize, z: usize) -> f32 {
        let block = (z / FINE * self.dims[1] + y / FINE) * self.dims[0] + x / FINE;
        // A crossed edge has both ends in evaluated blocks wherever the bound holds; where not, the middle serves.
        match self.index[block] {
            u32::MAX => self.absent,
            i => self.values[i as usize][(z % FINE * FINE + y % FINE) * FINE + x % FINE],
        }
    }
}

pub(super) struct Field<'a, F> {
    eval: &'a F,
    evaluations: AtomicUsize,
    /// Evaluations that there will be, as far as is known; 0: not yet.
    expected: AtomicUsize,
    /// Takes the fraction of them that is done.
    done: &'a (dyn Fn(f64) + Sync),
}

impl<'a, F: Fn(&[Vec3], &mut [f32]) + Sync> Field<'a, F> {
    pub(super) fn new(eval: &'a F, done: &'a (dyn Fn(f64) + Sync)) -> Self {
        Self { eval, evaluations: AtomicUsize::new(0), expected: AtomicUsize::new(0), done }
    }

    /// Counts evaluations that are done.
    fn count(&self, points: usize) {
        let now = self.evaluations.fetch_add(points, Ordering::Relaxed) + points;
        let expected = self.expected.load(Ordering::Relaxed);
        if expected > 0 {
            (self.done)((now as f64 / expected as f64).min(1.0));
        }
    }

    /// Sets how many evaluations are still to come.
    fn expect(&self, points: usize) {
        self.expected.store(self.evaluations.load(Ordering::Relaxed) + points, Ordering::Relaxed);
    }

    /// Extracts and refines the surface of evaluated blocks.
    pub(super) fn surface(
        self,
        lattice: &Lattice,
        blocks: &Blocks,
        bits: &[u64],
        rounds: usize,
    ) -> Result<SparseSurface, IsoError> {
        let (mut mesh, edges) = extract(lattice, bits, blocks)?;
        self.expect(rounds * mesh.positions.len());
        if rounds > 0 {
            refine(lattice, &self, blocks, &edges, rounds, &mut mesh);
        }
        Ok(SparseSurface { mesh, evaluations: self.evaluations.into_inner(), lattice_points: lattice.len() })
    }

    fn at(&self, points: &[Vec3]) -> Vec<f32> {
        let mut out = vec![0.0; points.len()];
        out.par_chunks_mut(BATCH).zip(points.par_chunks(BATCH)).for_each(|(o, p)| {
            (self.eval)(p, o);
            self.count(p.len());
        });
        out
    }
}

/// The zero surface of `eval` in a box, by blocks from coarse to fine. A block is dropped where the value at its centre
/// and the Lipschitz bound leave no room for a zero. The same mesh as [`crate::isosurface::dense`] gives on the same lattice, as
/// long as the bound holds. `eval` writes the value of each point; it is called from several threads.
///
/// # Errors
/// [`IsoError`] for settings out of range, or more than 2³² vertices.
pub fn sparse(options: &SparseOptions, eval: impl Fn(&[Vec3], &mut [f32]) + Sync) -> Result<SparseSurface, IsoError> {
    sparse_observed(options, eval, &|_| ())
}

/// As [`sparse`]; `done` takes the fraction of the evaluations that is done, as soon as their number is about known, from any
/// thread.
///
/// # Errors
/// Those of [`sparse`].
pub fn sparse_observed(
    options: &SparseOptions,
    eval: impl Fn(&[Vec3], &mut [f32]) + Sync,
    done: &(dyn Fn(f64) + Sync),
) -> Result<SparseSurface, IsoError> {
    if !(options.lipschitz > 0.0 && options.safety > 0.0 && (options.lipschitz * options.safety).is_finite()) {
        return Err(IsoError::Options("the Lipschitz bound and its safety factor must be positive"));
    }
    if !(1..=4096).contains(&options.resolution) {
        return Err(IsoError::Options("the resolution must be from 1 to 4096"));
    }
    if !(options.lo.is_finite() && options.hi.is_finite() && options.lo.cmplt(options.hi).all()) {
        return Err(IsoError::Options("the box must be finite and its lower corner below its upper one"));
    }
    let lattice = Lattice::covering(options.lo, options.hi, options.resolution);
    lattice.check()?;
    let field = Field::new(&eval, done);
    let bound = options.lipschitz as f64 * options.safety as f64;
    let (blocks, bits) = evaluate(&lattice, &field, bound, options.refine);
    field.surface(&lattice, &blocks, &bits, options.refine)
}

/// Finds the blocks near the surface, evaluates them, and fills the inside bits of the whole lattice.
fn evaluate<F>(lattice: &Lattice, field: &Field<F>, bound: f64, rounds: usize) -> (Blocks, Vec<u64>)
where
    F: Fn(&[Vec3], &mut [f32]) + Sync,
{
    let mut bits = lattice.no_bits();
    let mut size = COARSE;
    let mut active = first_blocks(lattice);
    loop {
        // Neighbours one step beyond the block count too: an edge may start in it and end outside.
        let radius = lattice.spacing.length() * (size as f64 + 1.0) * 0.5;
        let centres: Vec<Vec3> = active
            .iter()
            .map(|b| (lattice.point(*b) + lattice.spacing * (size as f64 - 1.0) * 0.5).as_vec3())
            .collect();
        let values = field.at(&centres);
        let mut kept = Vec::new();
        for (block, v) in active.iter().zip(values) {
            // Not-a-number never lets a block go.
            if (v.abs() as f64) > bound * radius {
                if v < 0.0 {
                    fill(lattice, &mut bits, *block, size);
                }
            } else {
                kept.push(*block);
            }
        }
        active = kept;
        if size == FINE {
            break;
        }
        size /= 2;
        active = halves(lattice, &active, size);
    }
    // A surface through a block crosses about so many of its edges.
    field.expect(active.len() * (FINE * FINE * FINE + rounds * FINE * FINE));
    (fine(lattice, field, &active, &mut bits, f32::NAN), bits)
}

/// First points of the coarsest blocks.
pub(super) fn first_blocks(lattice: &Lattice) -> Vec<[usize; 3]> {
    let counts = lattice.dims.map(|d| d.div_ceil(COARSE));
    let at = |i: usize| [i % counts[0], i / counts[0] % counts[1], i / (counts[0] * counts[1])];
    (0..counts.iter().product()).map(|i| at(i).map(|v| v * COARSE)).collect()
}

/// The eight blocks of half the size, `size` points, in each block; those beyond the lattice left out.
pub(super) fn halves(lattice: &Lattice, blocks: &[[usize; 3]], size: usize) -> Vec<[usize; 3]> {
    let parts = |b: &[usize; 3]| {
        let b = *b;
        (0..8).map(move |i| [0, 1, 2].map(|k| b[k] + (i >> k & 1) * size))
    };
    blocks.iter().flat_map(parts).filter(|b| (0..3).all(|k| b[k] < lattice.dims[k])).collect()
}

/// Marks the points of a block as inside.
fn fill(lattice: &Lattice, bits: &mut [u64], block: [usize; 3], size: usize) {
    let end = [0, 1, 2].map(|k| (block[k] + size).min(lattice.dims[k]));
    // Blocks are aligned to their size, which divides 64: one word a row.
    let span = end[0] - block[0];
    let mask = ((1u64 << span) - 1) << (block[0] % 64);
    for z in block[2]..end[2] {
        for y in block[1]..end[1] {
            bits[lattice.row(y, z) * lattice.words() + block[0] / 64] |= mask;
        }
    }
}

/// Evaluates the smallest blocks and fills their inside bits.
pub(super) fn fine<F>(
    lattice: &Lattice,
    field: &Field<F>,
    active: &[[usize; 3]],
    bits: &mut [u64],
    absent: f32,
) -> Blocks
where
    F: Fn(&[Vec3], &mut [f32]) + Sync,
{
    let dims = lattice.dims.map(|d| d.div_ceil(FINE));
    let mut index = vec![u32::MAX; dims.iter().product()];
    let mut values = vec![[f32::INFINITY; FINE * FINE * FINE]; active.len()];
    values.par_chunks_mut(64).zip(active.par_chunks(64)).for_each(|(values, blocks)| {
        let mut points = Vec::with_capacity(blocks.len() * FINE * FINE * FINE);
        let mut places = Vec::with_capacity(points.capacity());
        for (b, block) in blocks.iter().enumerate() {
            for i in 0..FINE * FINE * FINE {
                let at = [block[0] + i % FINE, block[1] + i / FINE % FINE, block[2] + i / (FINE * FINE)];
                if (0..3).all(|k| at[k] < lattice.dims[k]) {
                    points.push(lattice.point(at).as_vec3());
                    places.push((b, i));
                }
            }
        }
        let mut out = vec![0.0; points.len()];
        (field.eval)(&points, &mut out);
        field.count(points.len());
        places.iter().zip(out).for_each(|(&(b, i), v)| values[b][i] = v);
    });
    for (i, (block, v)) in active.iter().zip(&values).enumerate() {
        index[(block[2] / FINE * dims[1] + block[1] / FINE) * dims[0] + block[0] / FINE] = i as u32;
        for (r, row) in v.chunks(FINE).enumerate() {
            let (y, z) = (block[1] + r % FINE, block[2] + r / FINE);
            if y < lattice.dims[1] && z < lattice.dims[2] {
                let mut word = [0];
                pack(row, &mut word);
                bits[lattice.row(y, z) * lattice.words() + block[0] / 64] |= word[0] << (block[0] % 64);
            }
        }
    }
    Blocks { dims, index, values, absent }
}

/// Moves each vertex along its edge by false position (Illinois variant: an end that stays loses half its weight).
fn refine<F>(lattice: &Lattice, field: &Field<F>, values: &Blocks, edges: &[Edge], rounds: usize, mesh: &mut TriMesh)
where
    F: Fn(&[Vec3], &mut [f32]) + Sync,
{
    struct Bracket {
        t: [f64; 2],
        v: [f32; 2],
        last: usize,
    }
    let mut brackets: Vec<Bracket> = edges
        .par_iter()
        .map(|e| {
            let a = e.at.map(|x| x as usize);
            let mut b = a;
            b[e.axis as usize] += 1;
            Bracket { t: [0.0, 1.0], v: [values.value(a[0], a[1], a[2]), values.value(b[0], b[1], b[2])], last: 2 }
        })
        .collect();
    for _ in 0..rounds {
        let points: Vec<Vec3> = mesh.positions.par_iter().map(|p| p.as_vec3()).collect();
        let found = field.at(&points);
        mesh.positions.par_iter_mut().zip(&mut brackets).zip(found.par_iter().zip(edges)).for_each(
            |((p, bracket), (&v, e))| {
                let axis = e.axis as usize;
                let start = lattice.point(e.at.map(|x| x as usize))[axis];
                let t = (p[axis] - start) / lattice.spacing[axis];
                if !v.is_finite() || bracket.v.iter().any(|v| !v.is_finite()) {
                    return;
                }
                let side = if (v < 0.0) == (bracket.v[0] < 0.0) { 0 } else { 1 };
                if bracket.last == side {
                    bracket.v[1 - side] *= 0.5;
                }
                (bracket.t[side], bracket.v[side], bracket.last) = (t, v, side);
                let t = bracket.t[0] + (bracket.t[1] - bracket.t[0]) * root(bracket.v[0], bracket.v[1]);
                p[axis] = start + t.clamp(1e-4, 1.0 - 1e-4) * lattice.spacing[axis];
            },
        );
    }
}
