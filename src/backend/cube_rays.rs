//! Rays that are marched on Burn's CubeCL backends, by the kernels of [`nstr_gpu`].

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::tensor::DType;
use burn::tensor::ops::FloatTensor;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use cubecl::prelude::*;
use cubecl::server::Handle;
use nstr_gpu::march;
use nstr_gpu::ray_step::{DeviceOccupancy, DevicePieces, MarchBuffers, Marching, RayBuffers, StepSums};
use nstr_gpu::run::{FieldKernels, Gradients, Parameters};
use nstr_kernel::{Density, RayLoss};
use nstr_space::Occupancy;
use nstr_space::occupancy::MarchPiece;

use crate::backend::FieldBackend;
use crate::cube::{LossStep, comparison, sharpness, zeros_like};
use crate::device_rays::{MarchReport, MarchSettings, MarchSums, RayMarcher, RayPieces};
use crate::read_back::ReadBack;

const _: () = assert!(size_of::<MarchPiece>() == 16 * march::PIECE_VECTORS, "pieces as the kernel reads them");

/// Buffers and kernels of a run's steps.
pub(crate) struct Marcher<R: CubeRuntime> {
    kernels: Arc<FieldKernels<R>>,
    marching: Marching,
    room: usize,
    occupancy: Option<DeviceOccupancy>,
    /// Room for so many rays, and the buffers.
    buffers: Option<(usize, MarchBuffers, RayBuffers)>,
    statistics: Handle,
    /// Densities asked for: a buffer and its length each.
    densities: Vec<(Handle, usize)>,
}

impl<R: CubeRuntime> Marcher<R> {
    pub fn new(kernels: Arc<FieldKernels<R>>, settings: MarchSettings) -> Self {
        let strata = settings.sampling.strata();
        let marching = Marching {
            step: [strata.step, strata.per_step],
            knee: [strata.knee_t, strata.knee_s, strata.per_knee],
            rate: [strata.rate, strata.per_rate],
            most: settings.max_samples_per_ray,
        };
        let room = settings.room.min(kernels.max_samples()).max(1);
        let statistics = kernels.statistics();
        Self { kernels, marching, room, occupancy: None, buffers: None, statistics, densities: Vec::new() }
    }

    /// Uploads pieces; each step's into memory of its own, so that those of the step before may still be in use.
    fn upload(&self, rays: &RayPieces) -> DevicePieces {
        let pieces: &[f32] = bytemuck::cast_slice(&rays.pieces);
        DevicePieces {
            rays: rays.rays(),
            count: rays.pieces.len(),
            heads: self.kernels.upload_words(rays.heads.as_flattened()),
            pieces: self.kernels.upload(pieces),
            records: self.kernels.upload(rays.records.as_flattened()),
        }
    }

    /// Buffers with room for so many rays: those of the steps before where that suffices.
    fn take_buffers(&mut self, rays: usize) -> (usize, MarchBuffers, RayBuffers) {
        self.buffers.take().filter(|(most, ..)| *most >= rays).unwrap_or_else(|| {
            let most = rays.next_power_of_two();
            (most, self.kernels.march_buffers(most, self.room), self.kernels.ray_buffers(most, self.room))
        })
    }
}

impl<R, F, I, BT, C> RayMarcher<Autodiff<CubeBackend<R, F, I, BT>, C>> for Marcher<R>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
    C: CheckpointStrategy,
    CubeBackend<R, F, I, BT>: FieldBackend<FloatTensorPrimitive = CubeTensor<R>>,
{
    fn set_occupancy(&mut self, occupancy: &Occupancy) {
        self.occupancy = Some(self.kernels.occupancy(occupancy.cells(), &occupancy.packed()));
    }

    fn step(
        &mut self,
        grid: FloatTensor<Autodiff<CubeBackend<R, F, I, BT>, C>>,
        net: FloatTensor<Autodiff<CubeBackend<R, F, I, BT>, C>>,
        rays: &RayPieces,
        loss: RayLoss,
    ) -> FloatTensor<Autodiff<CubeBackend<R, F, I, BT>, C>> {
        let [grid_in, net_in] = [grid.primitive, net.primitive].map(into_contiguous);
        let (d_grid, d_net) = (zeros_like(&grid_in), zeros_like(&net_in));
        let at = Parameters { grid: grid_in.handle.clone(), packed: self.kernels.pack(&net_in.handle) };
        let to = Gradients { grid: d_grid.handle.clone(), net: d_net.handle.clone() };
        let (most, march, step) = self.take_buffers(rays.rays());
        let pieces = self.upload(rays);
        // Without cells nothing is hit.
        let none = || self.kernels.occupancy(16, &Occupancy::empty(16).packed());
        let occupancy = self.occupancy.get_or_insert_with(none);
        let batch = self.kernels.march(pieces, occupancy, &self.marching, &march);
        self.kernels.ray_step(&at, &batch, comparison(loss), &step, &to);
        let value = self.kernels.settle(&batch, &step, &self.statistics);
        self.buffers = Some((most, march, step));
        let value =
            CubeTensor::new_contiguous(grid_in.client.clone(), grid_in.device.clone(), [1].into(), value, DType::F32);
        match LossStep.prepare::<C>([grid.node, net.node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish([d_grid, d_net], value),
            OpsKind::UnTracked(prep) => prep.finish(value),
        }
    }

    fn request_densities(
        &mut self,
        grid: FloatTensor<Autodiff<CubeBackend<R, F, I, BT>, C>>,
        net: FloatTensor<Autodiff<CubeBackend<R, F, I, BT>, C>>,
        points: &[f32],
        density: Density,
    ) {
        let [grid, net] = [grid.primitive, net.primitive].map(into_contiguous);
        let at = Parameters { grid: grid.handle.clone(), packed: self.kernels.pack(&net.handle) };
        self.densities.extend(self.kernels.densities(&at, points, sharpness(density)));
    }

    fn read(&mut self) -> ReadBack<MarchReport> {
        let statistics = std::mem::replace(&mut self.statistics, self.kernels.statistics());
        let densities = std::mem::take(&mut self.densities);
        let lengths: Vec<usize> = densities.iter().map(|(_, n)| *n).collect();
        let handles = std::iter::once(statistics).chain(densities.into_iter().map(|(handle, _)| handle)).collect();
        let client = self.kernels.client().clone();
        ReadBack::begin(|| {
            // Sends off what was launched, and tells errors of launches. The copy itself is asked for when it is waited for:
            // nothing writes to these buffers any more.
            client.flush().map_err(|e| e.to_string())?;
            Ok(move || {
                let parts = cubecl::future::block_on(client.read_async(handles)).map_err(|e| e.to_string())?;
                report(&parts, &lengths).ok_or_else(|| "it sent too few numbers".into())
            })
        })
    }

    fn room(&self) -> usize {
        self.room
    }
}

/// The report from what was read: sums, and densities in parts of the given lengths. `None` where numbers are missing.
fn report<B: std::ops::Deref<Target = [u8]>>(parts: &[B], lengths: &[usize]) -> Option<MarchReport> {
    let (sums, parts) = parts.split_first()?;
    let sums = StepSums::read(u32::from_bytes(sums))?;
    let mut densities = Vec::with_capacity(lengths.iter().sum());
    for (n, bytes) in lengths.iter().zip(parts) {
        densities.extend_from_slice(f32::from_bytes(bytes).get(..*n)?);
    }
    let sums = MarchSums {
        steps: sums.steps.into(),
        found: sums.found.into(),
        evaluated: sums.placed.into(),
        used: sums.used.into(),
        left_out: sums.left_out.into(),
        loss: f64::from(sums.loss) / f64::from(sums.steps),
    };
    Some(MarchReport { sums, densities })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_from_their_words() {
        let words = |words: &[u32]| u32::as_bytes(words).to_vec();
        let sums = words(&[90, 80, 70, 3, 6.0f32.to_bits(), 4, 0, 0]);
        let parts = [sums.clone(), f32::as_bytes(&[1.0, 2.0, 9.0]).to_vec(), f32::as_bytes(&[3.0]).to_vec()];
        let found = report(&parts, &[2, 1]).unwrap();
        let want = MarchSums { steps: 4, found: 90, evaluated: 80, used: 70, left_out: 3, loss: 1.5 };
        assert_eq!(found, MarchReport { sums: want, densities: vec![1.0, 2.0, 3.0] });
        assert!(report(&parts, &[2, 2]).is_none(), "too few densities");
        assert!(report(&[words(&[1, 2, 3])], &[]).is_none() && report::<Vec<u8>>(&[], &[]).is_none());
        assert!(report(&[words(&[0; 8])], &[]).unwrap().sums.loss.is_nan(), "no step, no loss");
    }
}
