//! Steps over rays: buffers, and the launches of [`crate::march`] and [`crate::rays`].

use cubecl::prelude::*;
use cubecl::server::Handle;

use crate::field::add::Single;
use crate::field::points;
use crate::march::{self, COUNTERS, PIECE_VECTORS, SPAN_WORDS};
use crate::rays::{self, LossKind, RECORD, SAMPLE_WORDS, SETTLING_UNITS, STATISTICS};
use crate::run::{FieldKernels, Gradients, Parameters, Points, array, flat};
use crate::shape::{LANES, LEVEL_WORDS};

/// Rays of a step with their samples, on the device.
pub struct DeviceRays {
    /// Number of rays.
    pub rays: usize,
    /// Number of samples; where the device has found them, the most that there can be.
    pub samples: usize,
    /// Position of each sample, `[sample][3]`.
    pub x: Handle,
    /// Distance and length of each sample, `[sample][2]`.
    pub lengths: Handle,
    /// Where each ray's samples are, `[ray][SPAN_WORDS]`: the first two words, the others have no values yet.
    pub spans: Handle,
    /// Direction, target and background of each ray, `[ray][9]`.
    pub records: Handle,
    /// Factor of the gradient of each sample's density and colour; `None`: 1 for all.
    pub gradient_scale: Option<Handle>,
    /// What [`FieldKernels::march`] has counted; `None` where the host knows all samples.
    pub counters: Option<Handle>,
}

/// Straight pieces of a step's rays, on the device.
pub struct DevicePieces {
    /// Number of rays.
    pub rays: usize,
    /// Number of pieces.
    pub count: usize,
    /// First piece, number of pieces, bits of jitter and growth of each ray, `[ray][4]`.
    pub heads: Handle,
    /// Pieces, `[piece][12]`, see [`march::PIECE_VECTORS`].
    pub pieces: Handle,
    /// Direction, target and background of each ray, `[ray][9]`.
    pub records: Handle,
}

/// Occupancy grid on the device.
#[derive(Clone)]
pub struct DeviceOccupancy {
    /// Cells along an axis, a power of two.
    pub cells: usize,
    /// Number of words.
    pub words: usize,
    /// Words of bits and clearances, see [`march::march()`].
    pub bits: Handle,
}

/// Strata of rays, and bounds of what is marched. The numbers are those of the CPU's strata; all are finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Marching {
    /// Length of a stratum before the knee, and one over it.
    pub step: [f32; 2],
    /// Arc length and stratum of the knee, and one over the arc length (0 without a knee).
    pub knee: [f32; 3],
    /// Growth of the logarithm of the arc length a stratum beyond the knee, and one over it (0 without a knee).
    pub rate: [f32; 2],
    /// Most samples of a ray.
    pub most: usize,
}

/// Comparison of rays with their colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RayLoss {
    /// Loss of a channel's error.
    pub kind: LossKind,
    /// Its width, where it has one.
    pub delta: f32,
    /// A ray ends where the transmittance falls below this.
    pub min_transmittance: f32,
    /// Weight of the distortion term.
    pub distortion: f32,
    /// Sharpness of the density of a signed distance; 0: the density is exponential.
    pub sharpness: f32,
}

/// Room for the intermediate results of a step over rays.
pub struct RayBuffers {
    samples: usize,
    rays: usize,
    values: Handle,
    list: Handle,
    ray_of: Handle,
    listed: Handle,
    /// Number of listed samples, in its first word.
    pub count: Handle,
    colour: Handle,
    d_raw: Handle,
    d_values: Handle,
    /// A loss a ray; their sum is the mean loss.
    pub losses: Handle,
}

/// Room for the samples that [`FieldKernels::march`] finds.
pub struct MarchBuffers {
    /// Samples that there is room for.
    pub samples: usize,
    /// Rays that there is room for.
    pub rays: usize,
    /// Position of each sample, `[sample][3]`.
    pub x: Handle,
    /// Distance and length of each sample, `[sample][2]`.
    pub lengths: Handle,
    /// First sample and number of samples of each ray, two words each of [`march::SPAN_WORDS`].
    pub spans: Handle,
    /// See [`march::COUNTERS`].
    pub counters: Handle,
}

/// Sums over steps, read from their [`STATISTICS`] words.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepSums {
    /// Samples found.
    pub found: u32,
    /// Samples that there was room for.
    pub placed: u32,
    /// Samples that colours were made of.
    pub used: u32,
    /// Rays for whose samples there was no room.
    pub left_out: u32,
    /// Sum of the steps' mean losses.
    pub loss: f32,
    /// Steps.
    pub steps: u32,
}

impl StepSums {
    /// The sums in the first words of a buffer that was read; `None` where it is too short.
    pub fn read(words: &[u32]) -> Option<Self> {
        let [found, placed, used, left_out, loss, steps] = *words.first_chunk()?;
        Some(Self { found, placed, used, left_out, loss: f32::from_bits(loss), steps })
    }
}

impl<R: Runtime> FieldKernels<R> {
    /// Room for steps over up to `rays` rays of `samples` samples in all.
    pub fn ray_buffers(&self, rays: usize, samples: usize) -> RayBuffers {
        let floats = |n: usize| self.client.empty(4 * n.max(LANES));
        let outputs = self.plan.trunk.outputs;
        RayBuffers {
            samples,
            rays,
            values: floats(samples * outputs),
            list: floats(samples),
            ray_of: floats(samples),
            listed: floats(samples * SAMPLE_WORDS),
            count: floats(LANES),
            colour: floats(4 * samples),
            d_raw: floats(samples),
            d_values: floats(samples * outputs),
            losses: floats(rays),
        }
    }

    /// Room for the samples of up to `rays` rays, `samples` in all.
    pub fn march_buffers(&self, rays: usize, samples: usize) -> MarchBuffers {
        let words = |n: usize| self.client.empty(4 * n.max(LANES));
        MarchBuffers {
            samples,
            rays,
            x: words(3 * samples),
            lengths: words(2 * samples),
            spans: words(SPAN_WORDS * rays),
            counters: words(COUNTERS),
        }
    }

    /// The most samples that a step's buffers may have, so that none is larger than the device allows.
    pub fn max_samples(&self) -> usize {
        let largest = self.client.properties().memory.max_page_size;
        let floats = self.plan.trunk.outputs.max(SAMPLE_WORDS) as u64;
        usize::try_from(largest / (4 * floats)).unwrap_or(usize::MAX)
    }

    /// No steps yet, for [`Self::settle`].
    pub fn statistics(&self) -> Handle {
        self.upload_words(&[0; STATISTICS])
    }

    /// Uploads an occupancy grid of `cells` cells along an axis: two words for each 64 cells, then the clearances.
    pub fn occupancy(&self, cells: usize, words: &[u32]) -> DeviceOccupancy {
        DeviceOccupancy { cells, words: words.len(), bits: self.upload_words(words) }
    }

    /// Finds the samples of rays in the occupied cells.
    ///
    /// # Panics
    /// If the buffers are too small for the rays, or the grid's words are not those of its cells.
    pub fn march(
        &self,
        rays: DevicePieces,
        occupancy: &DeviceOccupancy,
        how: &Marching,
        b: &MarchBuffers,
    ) -> DeviceRays {
        let cells = occupancy.cells;
        assert!(rays.rays <= b.rays, "buffers have room for the rays");
        assert!(occupancy.words >= cells.pow(3) / 32 + cells.pow(3) / 256, "bits and clearances of all cells");
        let (count, dim) = flat(rays.rays);
        // SAFETY: heads name pieces of the rays; samples beyond the buffers' room are left out; cells are those of
        // positions in [0, 1), and their words lie in the grid, checked above.
        unsafe {
            reset::launch_unchecked::<R>(
                &self.client,
                CubeCount::Static(1, 1, 1),
                CubeDim::new_1d(COUNTERS as u32),
                array(&b.counters, COUNTERS),
                b.samples as u32,
            );
            march::march::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                array(&rays.heads, rays.rays),
                array(&rays.pieces, PIECE_VECTORS * rays.count.max(1)),
                array(&occupancy.bits, occupancy.words),
                array(&b.x, 3 * b.samples),
                array(&b.lengths, 2 * b.samples),
                array(&b.spans, SPAN_WORDS * rays.rays),
                array(&b.counters, COUNTERS),
                rays.rays as u32,
                cells as u32,
                how.most as u32,
                b.samples as u32,
                0,
                how.step[0],
                how.step[1],
                how.knee[0],
                how.knee[1],
                how.knee[2],
                how.rate[0],
                how.rate[1],
                1.0 / cells as f32,
            );
        }
        DeviceRays {
            rays: rays.rays,
            samples: b.samples,
            x: b.x.clone(),
            lengths: b.lengths.clone(),
            spans: b.spans.clone(),
            records: rays.records,
            gradient_scale: None,
            counters: Some(b.counters.clone()),
        }
    }

    /// [`Self::values_into`] at the samples that the device has counted.
    fn counted_values_into(&self, at: &Parameters, x: &Handle, limit: usize, counters: &Handle, out: &Handle) {
        let shape = &self.plan.trunk;
        let (count, dim, turns) = self.tiles(limit, shape.tile.points);
        // SAFETY: `x` and `out` hold `limit` points, which the counters don't exceed; the rest has the plan's lengths.
        unsafe {
            points::counted_values::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                shape.feature_width,
                array(&self.bound(&at.grid), self.grid_vectors()),
                array(&at.packed, self.plan.packed.len() / LANES),
                array(&self.levels, self.plan.levels.len().max(LEVEL_WORDS) / LANES),
                array(x, limit * shape.dim),
                array(counters, COUNTERS),
                array(out, limit * shape.outputs),
                turns,
                shape.clone(),
            );
        }
    }

    /// Adds the gradient of the rays' mean loss to the gradients; losses and the number of samples stay in `b`.
    ///
    /// # Panics
    /// If the field has no colour head or the buffers are too small.
    #[expect(clippy::expect_used, reason = "documented as a panic")]
    pub fn ray_step(&self, at: &Parameters, batch: &DeviceRays, loss: RayLoss, b: &RayBuffers, to: &Gradients) {
        assert!(batch.rays <= b.rays && batch.samples <= b.samples, "buffers have room for the batch");
        let head = self.plan.head.as_ref().expect("the field has a colour head");
        let (n, rays, outputs) = (batch.samples, batch.rays, self.plan.trunk.outputs);
        match &batch.counters {
            Some(counters) => self.counted_values_into(at, &batch.x, n, counters, &b.values),
            None => self.values_into(at, &batch.x, n, &b.values),
        }
        let weights = || self.plan.packed.len() / LANES;
        let (count, dim) = flat(rays);
        let (cubes, cube_dim, turns) = self.tiles(n, head.tile.points);
        // SAFETY: buffers have room for the batch, checked above; the list names samples and rays of the batch.
        unsafe {
            clear::launch_unchecked::<R>(
                &self.client,
                CubeCount::Static(1, 1, 1),
                CubeDim::new_1d(LANES as u32),
                array(&b.count, LANES),
            );
            rays::list_samples::launch_unchecked::<R>(
                &self.client,
                count.clone(),
                dim,
                array(&batch.lengths, 2 * n),
                array(&b.values, n * outputs),
                array(&b.list, n),
                array(&b.ray_of, n),
                array(&b.listed, n * SAMPLE_WORDS),
                array(&batch.spans, SPAN_WORDS * rays),
                array(&b.count, 1),
                rays as u32,
                loss.min_transmittance,
                loss.sharpness,
                outputs,
            );
            rays::colours::launch_unchecked::<R>(
                &self.client,
                cubes.clone(),
                cube_dim,
                array(&at.packed, weights()),
                array(&b.values, n * outputs),
                array(&b.list, n),
                array(&b.ray_of, n),
                array(&batch.records, RECORD * rays),
                array(&b.count, 1),
                array(&b.colour, n),
                turns,
                head.clone(),
            );
            rays::composite::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                array(&batch.lengths, 2 * n),
                array(&batch.spans, SPAN_WORDS * rays),
                array(&b.listed, n * SAMPLE_WORDS),
                array(&batch.records, RECORD * rays),
                // Without factors any array that is as long will do: it is not read.
                array(batch.gradient_scale.as_ref().unwrap_or(&batch.lengths), n),
                array(&b.colour, n),
                array(&b.d_raw, n),
                array(&b.losses, rays),
                rays as u32,
                1.0 / rays.max(1) as f32,
                loss.delta,
                loss.distortion,
                loss.sharpness,
                loss.kind,
                loss.distortion > 0.0,
                batch.gradient_scale.is_some(),
            );
            rays::colours_adjoint::launch_unchecked::<Single, R>(
                &self.client,
                cubes,
                cube_dim,
                array(&at.packed, weights()),
                array(&b.values, n * outputs),
                array(&b.list, n),
                array(&b.ray_of, n),
                array(&batch.records, RECORD * rays),
                array(&b.count, 1),
                array(&b.colour, n),
                array(&b.d_raw, n),
                array(&b.d_values, n * outputs),
                array(&to.net, self.lengths[1]),
                turns,
                head.clone(),
            );
        }
        let points = Points { x: &batch.x, len: n, list: Some(&b.list), count: &b.count, limit: n };
        self.adjoint(at, &points, &b.d_values, to);
    }

    /// Adds the step over `batch` to sums over steps ([`Self::statistics`]); its mean loss, one float.
    pub fn settle(&self, batch: &DeviceRays, b: &RayBuffers, statistics: &Handle) -> Handle {
        let loss = self.client.empty(4 * LANES);
        let all = batch.samples as u32;
        let counters = batch.counters.clone().unwrap_or_else(|| self.upload_words(&[all, all, 0, 0]));
        // SAFETY: one block; a loss a ray, and the rest has the words that it reads and writes.
        unsafe {
            rays::settle::launch_unchecked::<R>(
                &self.client,
                CubeCount::Static(1, 1, 1),
                CubeDim::new_1d(SETTLING_UNITS as u32),
                array(&b.losses, batch.rays),
                array(&counters, COUNTERS),
                array(&b.count, 1),
                array(&loss, 1),
                array(statistics, STATISTICS),
                batch.rays as u32,
                batch.rays.div_ceil(SETTLING_UNITS) as u32,
            );
        }
        loss
    }
}

#[cube(launch_unchecked)]
fn clear(buffer: &mut Array<u32>) {
    buffer[ABSOLUTE_POS] = 0u32;
}

/// Counters before a march: nothing found, room for `capacity` samples.
#[cube(launch_unchecked)]
fn reset(counters: &mut Array<u32>, capacity: u32) {
    let i = ABSOLUTE_POS;
    counters[i] = select(i == 1, capacity, 0u32);
}
