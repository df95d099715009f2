//! Steps over rays that a device marches itself: the host uploads straight pieces of rays instead of samples, and reads
//! nothing but sums over steps, late.

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use nstr_kernel::{Density, RayLoss};
use nstr_space::Occupancy;
use nstr_space::occupancy::{MarchPiece, RaySampling};

use crate::read_back::ReadBack;

/// Rays of a step before they are marched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RayPieces {
    /// Of each ray: number of its first piece, number of its pieces, bits of its jitter, bits of its growth
    /// ([`RaySampling::growth`]).
    pub heads: Vec<[u32; 4]>,
    /// Pieces of all rays, each ray's front to back.
    pub pieces: Vec<MarchPiece>,
    /// Of each ray: unit direction in the world, target colour with the background composited, background.
    pub records: Vec<[f32; 9]>,
    /// Bound of the number of samples: strata of all pieces.
    pub strata: u64,
}

impl RayPieces {
    /// Number of rays.
    pub fn rays(&self) -> usize {
        self.heads.len()
    }

    /// Adds a ray; its pieces are those from number `first` on.
    pub fn push_ray(&mut self, first: usize, steps: &RaySampling, record: [f32; 9]) {
        let count = self.pieces.len() - first;
        let growth = if count > 0 { steps.growth() } else { 0.0 };
        self.heads.push([first as u32, count as u32, steps.jitter.to_bits(), growth.to_bits()]);
        self.records.push(record);
    }

    /// Adds the rays of another batch behind these.
    pub fn append(&mut self, other: &Self) {
        let before = self.pieces.len() as u32;
        self.heads.extend(other.heads.iter().map(|[first, rest @ ..]| [first + before, rest[0], rest[1], rest[2]]));
        self.pieces.extend_from_slice(&other.pieces);
        self.records.extend_from_slice(&other.records);
        self.strata += other.strata;
    }
}

/// What holds for all rays that are marched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarchSettings {
    /// Step and cone of the strata; its jitter does not matter, each ray has its own.
    pub sampling: RaySampling,
    /// Most samples of a ray.
    pub max_samples_per_ray: usize,
    /// Samples that a step has room for, where the device's memory allows. A ray that finds no room takes no part in its
    /// step.
    pub room: usize,
}

/// Sums over the steps since the last read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MarchSums {
    /// Steps.
    pub steps: u64,
    /// Samples found in occupied cells.
    pub found: u64,
    /// Those that there was room for, at which the field was evaluated.
    pub evaluated: u64,
    /// Samples that colours were made of.
    pub used: u64,
    /// Rays without room for their samples.
    pub left_out: u64,
    /// Mean loss over the steps; regularisers not included. Not a number without steps.
    pub loss: f64,
}

/// Numbers read from the device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MarchReport {
    /// Sums over steps.
    pub sums: MarchSums,
    /// Densities asked for since the last read, in their order.
    pub densities: Vec<f32>,
}

/// A device that marches rays by itself; made by [`FieldBackend::ray_marcher`](crate::backend::FieldBackend::ray_marcher).
pub trait RayMarcher<B: Backend> {
    /// Uploads the cells that may hold matter. To be called before the first step, and after each change.
    fn set_occupancy(&mut self, occupancy: &Occupancy);

    /// Mean loss of the rays, `[1]`, differentiable in `grid` and `net`. Returns before the device has done it.
    fn step(&mut self, grid: FloatTensor<B>, net: FloatTensor<B>, rays: &RayPieces, loss: RayLoss) -> FloatTensor<B>;

    /// Evaluates densities at points (`[point][3]`) with parameters as they are now, for the next read.
    fn request_densities(&mut self, grid: FloatTensor<B>, net: FloatTensor<B>, points: &[f32], density: Density);

    /// Begins to read the sums over steps, which then begin anew, and the densities asked for.
    fn read(&mut self) -> ReadBack<MarchReport>;

    /// Samples that a step has room for.
    fn room(&self) -> usize;
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::Vec3;

    #[test]
    fn batches_are_joined_ray_by_ray() {
        let piece = |at: f32| MarchPiece {
            origin: Vec3::splat(at),
            near: 0.0,
            direction: Vec3::X,
            end: 1.0,
            inverse: Vec3::X,
            first: 2.0,
        };
        let steps = |jitter| RaySampling { step: 0.01, cone: 0.5, jitter };
        let batch = |pieces: &[&[f32]]| {
            let mut batch = RayPieces::default();
            for (i, own) in pieces.iter().enumerate() {
                let first = batch.pieces.len();
                batch.pieces.extend(own.iter().map(|at| piece(*at)));
                batch.strata += own.len() as u64;
                batch.push_ray(first, &steps(i as f32), [own.len() as f32; 9]);
            }
            batch
        };
        let mut joined = batch(&[&[1.0, 2.0], &[]]);
        joined.append(&batch(&[&[3.0]]));
        joined.append(&RayPieces::default());
        let whole = batch(&[&[1.0, 2.0], &[], &[3.0]]);
        assert_eq!((joined.rays(), joined.strata), (3, 3));
        assert_eq!((&joined.pieces, &joined.records), (&whole.pieces, &whole.records));
        let spans: Vec<[u32; 2]> = joined.heads.iter().map(|h| [h[0], h[1]]).collect();
        assert_eq!(spans, [[0, 2], [2, 0], [2, 1]]);
        // A ray without pieces needs no exponential.
        let growths: Vec<f32> = joined.heads.iter().map(|h| f32::from_bits(h[3])).collect();
        assert_eq!(growths, [steps(0.0).growth(), 0.0, steps(0.0).growth()]);
    }
}
