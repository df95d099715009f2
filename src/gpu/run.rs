//! A field on a device: its buffers, and the launches over them.

use cubecl::ir::features::AtomicUsage;
use cubecl::ir::{ElemType, FloatKind, StorageType, Type};
use cubecl::prelude::*;
use cubecl::server::Handle;
use nstr_spec::FieldSpec;
use thiserror::Error;

use crate::field::add::{Add, Quad, Single};
use crate::field::points;
use crate::shape::{LANES, LEVEL_WORDS, Plan};
use crate::{adam, ema, params};

/// Units of a block of kernels that work point by point or ray by ray.
const FLAT_UNITS: u32 = 128;
/// Points whose densities are found at once.
pub const DENSITY_CHUNK: usize = 1 << 18;

/// A field that these kernels can't run on a device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FieldError {
    /// Not even four points of it fit into the device's workgroup memory.
    #[error(
        "a field of {rows} rows needs {needed} bytes of workgroup memory for four points; the device has {available}"
    )]
    WorkgroupMemory {
        /// Rows of a tile.
        rows: usize,
        /// Bytes of four points.
        needed: usize,
        /// Bytes of the device.
        available: usize,
    },
    /// The device has no atomic additions of floats.
    #[error("the device has no atomic addition of 32-bit floats")]
    Atomics,
}

/// Choices that don't change results, for tuning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Points of a tile, at most.
    pub points: usize,
    /// Units of a block.
    pub units: usize,
    /// Blocks that should fit into a multiprocessor's workgroup memory.
    pub blocks: usize,
    /// Persistent blocks of a launch, at most.
    pub grid: usize,
    /// Adds four floats of the grid's gradient at once where the device can.
    pub quad: bool,
}

impl Tuning {
    /// Choices for a device (measured on an H200; see docs/gpu.md).
    pub fn of<R: Runtime>(client: &ComputeClient<R>) -> Self {
        let hardware = &client.properties().hardware;
        let large = hardware.max_shared_memory_size > 64 << 10;
        // Of eight lanes only on software adapters, which gain most if every unit has points of its own.
        let software = hardware.plane_size_max <= 8;
        Self {
            points: if large { 64 } else { 32 },
            units: if software { 8 } else { 128 },
            blocks: if large { 3 } else { 1 },
            grid: hardware.num_streaming_multiprocessors.map_or(256, |n| 8 * n as usize),
            quad: false,
        }
    }
}

/// True if the device adds `width` floats at once atomically.
pub fn has_atomics<R: Runtime>(client: &ComputeClient<R>, width: usize) -> bool {
    let float = StorageType::Atomic(ElemType::Float(FloatKind::F32));
    let usage = client.properties().atomic_type_usage(Type::new(float).with_vector_size(width));
    usage.contains(AtomicUsage::Add)
}

/// Kernels for a field's shape on a device. Parameters stay with the caller.
pub struct FieldKernels<R: Runtime> {
    pub(crate) client: ComputeClient<R>,
    pub(crate) plan: Plan,
    tuning: Tuning,
    /// Floats of grid and networks.
    pub(crate) lengths: [usize; 2],
    pub(crate) levels: Handle,
    source: Handle,
    factor: Handle,
}

/// A field's parameters as the kernels read them.
#[derive(Clone)]
pub struct Parameters {
    /// The latent grid.
    pub grid: Handle,
    /// The networks, by [`FieldKernels::pack`].
    pub packed: Handle,
}

/// Buffers that gradients are added to, of the lengths of grid and net rounded up to four floats.
#[derive(Clone)]
pub struct Gradients {
    /// Of the latent grid.
    pub grid: Handle,
    /// Of the networks.
    pub net: Handle,
}

/// Points of an adjoint.
pub struct Points<'a> {
    /// Coordinates.
    pub x: &'a Handle,
    /// Number of points in `x`.
    pub len: usize,
    /// Numbers of the points that take part; `None`: the first ones.
    pub list: Option<&'a Handle>,
    /// How many do, in its first word.
    pub count: &'a Handle,
    /// The most it can be.
    pub limit: usize,
}

/// Blocks of one unit an element. In two dimensions: devices allow 65 535 blocks in one.
pub(crate) fn flat(n: usize) -> (CubeCount, CubeDim) {
    const ROW: u32 = 1 << 15;
    let blocks = (n as u32).div_ceil(FLAT_UNITS).max(1);
    (CubeCount::Static(blocks.min(ROW), blocks.div_ceil(ROW), 1), CubeDim::new_1d(FLAT_UNITS))
}

/// An array of a whole buffer.
///
/// # Safety
/// The buffer must hold `length` elements of the kernel's type.
pub(crate) unsafe fn array<R: Runtime>(handle: &Handle, length: usize) -> ArrayArg<R> {
    // SAFETY: promised by the caller.
    unsafe { ArrayArg::from_raw_parts(handle.clone(), length) }
}

impl<R: Runtime> FieldKernels<R> {
    /// Plans kernels for `spec`.
    ///
    /// # Errors
    /// [`FieldError`] for a field or a device that the kernels don't suit.
    pub fn new(client: ComputeClient<R>, spec: &FieldSpec, tuning: Tuning) -> Result<Self, FieldError> {
        if !has_atomics(&client, 1) {
            return Err(FieldError::Atomics);
        }
        let available = client.properties().hardware.max_shared_memory_size;
        let plan = Plan::fitting(spec, tuning.points, tuning.units, available, tuning.blocks)
            .or_else(|| Plan::fitting(spec, tuning.points, tuning.units, available, 1));
        let Some(plan) = plan else {
            let size = crate::shape::TileSize { points: LANES, units: tuning.units };
            let plan = Plan::new(spec, size, size);
            let rows = plan.trunk.rows.max(plan.head.map_or(0, |head| head.rows));
            return Err(FieldError::WorkgroupMemory { rows, needed: 4 * LANES * rows, available });
        };
        let source: Vec<u32> = plan.packed.iter().map(|s| s.map_or(0, |(at, _)| at as u32 + 1)).collect();
        let factor: Vec<f32> = plan.packed.iter().map(|s| s.map_or(0.0, |(_, gain)| gain as f32)).collect();
        let levels = if plan.levels.is_empty() { vec![0; LEVEL_WORDS] } else { plan.levels.clone() };
        Ok(Self {
            levels: client.create_from_slice(u32::as_bytes(&levels)),
            source: client.create_from_slice(u32::as_bytes(&source)),
            factor: client.create_from_slice(f32::as_bytes(&factor)),
            lengths: [spec.grid_len(), spec.net_len()],
            plan,
            tuning,
            client,
        })
    }

    /// The device.
    pub fn client(&self) -> &ComputeClient<R> {
        &self.client
    }

    /// A buffer with a number of points.
    pub fn count(&self, n: usize) -> Handle {
        self.upload_words(&[n as u32, 0, 0, 0])
    }

    /// Uploads whole numbers.
    pub fn upload_words(&self, words: &[u32]) -> Handle {
        self.client.create_from_slice(u32::as_bytes(words))
    }

    /// The kernels' shapes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Blocks and turns over `points` in tiles of `size`.
    pub(crate) fn tiles(&self, points: usize, size: usize) -> (CubeCount, CubeDim, u32) {
        let tiles = points.div_ceil(size).max(1);
        let blocks = tiles.min(self.tuning.grid);
        let dim = CubeDim::new_1d(self.tuning.units as u32);
        (CubeCount::Static(blocks as u32, 1, 1), dim, tiles.div_ceil(blocks) as u32)
    }

    /// Copies the networks' parameters into the layout that the kernels read.
    pub fn pack(&self, net: &Handle) -> Handle {
        let packed = self.client.empty(4 * self.plan.packed.len());
        self.pack_into(net, &packed);
        packed
    }

    /// [`Self::pack`] over a buffer of an earlier one.
    pub fn pack_into(&self, net: &Handle, packed: &Handle) {
        let n = self.plan.packed.len();
        let (count, dim) = flat(n);
        // SAFETY: lengths are those of the plan; sources name floats of `net`.
        unsafe {
            params::pack::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                array(net, self.lengths[1]),
                array(&self.source, n),
                array(&self.factor, n),
                array(packed, n),
            );
        }
    }

    /// `grid`, or another buffer where a field has none: a binding can't be empty.
    pub(crate) fn bound(&self, grid: &Handle) -> Handle {
        if self.lengths[0] == 0 { self.client.empty(4 * LANES) } else { grid.clone() }
    }

    pub(crate) fn grid_vectors(&self) -> usize {
        self.lengths[0].max(LANES) / self.plan.trunk.feature_width
    }

    /// Uploads floats; no buffer is empty.
    pub fn upload(&self, values: &[f32]) -> Handle {
        self.client.create_from_slice(f32::as_bytes(if values.is_empty() { &[0.0; 4] } else { values }))
    }

    /// Downloads the first `n` floats of a buffer.
    pub fn download(&self, handle: &Handle, n: usize) -> Vec<f32> {
        let bytes = self.client.read_one_unchecked(handle.clone());
        f32::from_bytes(&bytes)[..n].to_vec()
    }

    /// Values `[point][outputs]` at `n` points of `x` into `out`.
    pub fn values_into(&self, at: &Parameters, x: &Handle, n: usize, out: &Handle) {
        if n == 0 {
            return;
        }
        let shape = &self.plan.trunk;
        let (count, dim, turns) = self.tiles(n, shape.tile.points);
        // SAFETY: `x` holds n points and `out` their values; the rest has the plan's lengths.
        unsafe {
            points::values::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                shape.feature_width,
                array(&self.bound(&at.grid), self.grid_vectors()),
                array(&at.packed, self.plan.packed.len() / LANES),
                array(&self.levels, self.plan.levels.len().max(LEVEL_WORDS) / LANES),
                array(x, n * shape.dim),
                array(out, n * shape.outputs),
                n as u32,
                turns,
                shape.clone(),
            );
        }
    }

    /// Densities per unit of field coordinates at points, a chunk of `x` (`[point][3]`) after the other: a buffer and its
    /// number of points each. `sharpness` as in [`RayLoss`](crate::ray_step::RayLoss::sharpness).
    pub fn densities(&self, at: &Parameters, x: &[f32], sharpness: f32) -> Vec<(Handle, usize)> {
        let (dim, outputs) = (self.plan.trunk.dim, self.plan.trunk.outputs);
        let chunk = DENSITY_CHUNK.min(x.len() / dim);
        let values = self.client.empty(4 * (chunk * outputs).max(LANES));
        x.chunks(DENSITY_CHUNK * dim)
            .map(|x| {
                let n = x.len() / dim;
                self.values_into(at, &self.upload(x), n, &values);
                let out = self.client.empty(4 * n.max(LANES));
                let (count, dim) = flat(n);
                // SAFETY: `values` holds a chunk's values, and `out` a density a point.
                unsafe {
                    points::densities::launch_unchecked::<R>(
                        &self.client,
                        count,
                        dim,
                        array(&values, n * outputs),
                        array(&out, n),
                        sharpness,
                        outputs,
                    );
                }
                (out, n)
            })
            .collect()
    }

    /// Adds the gradient of `Σ d_out · value` at points; `d_out` is `[place][outputs]`.
    pub fn adjoint(&self, at: &Parameters, points: &Points<'_>, d_out: &Handle, to: &Gradients) {
        let n = self.lengths[0].max(LANES);
        if self.tuning.quad && self.plan.trunk.feature_width == LANES {
            self.adjoint_by::<Quad>(at, points, d_out, to, n / LANES);
        } else {
            self.adjoint_by::<Single>(at, points, d_out, to, n);
        }
    }

    fn adjoint_by<G: Add>(&self, at: &Parameters, of: &Points<'_>, d_out: &Handle, to: &Gradients, cells: usize) {
        if of.limit == 0 {
            return;
        }
        let shape = &self.plan.trunk;
        let (cubes, dim, turns) = self.tiles(of.limit, shape.tile.points);
        // SAFETY: the list names points of `x`, `d_out` holds `limit` rows, and the rest has the plan's lengths.
        unsafe {
            points::adjoint::launch_unchecked::<G, Single, R>(
                &self.client,
                cubes,
                dim,
                shape.feature_width,
                array(&self.bound(&at.grid), self.grid_vectors()),
                array(&at.packed, self.plan.packed.len() / LANES),
                array(&self.levels, self.plan.levels.len().max(LEVEL_WORDS) / LANES),
                array(of.x, of.len * shape.dim),
                array(of.list.unwrap_or(of.count), of.limit),
                array(d_out, of.limit * shape.outputs),
                array(of.count, 1),
                array(&self.bound(&to.grid), cells),
                array(&to.net, self.lengths[1]),
                turns,
                of.list.is_some(),
                shape.clone(),
            );
        }
    }
}

/// One step of Adam on `n` parameters with their moments, in place.
pub fn adam<R: Runtime>(
    client: &ComputeClient<R>,
    params: &Handle,
    grads: &Handle,
    moments: &[Handle; 2],
    n: usize,
    h: &AdamHyper,
) {
    if n == 0 {
        return;
    }
    let (count, dim) = flat(n);
    // SAFETY: all have the parameters' length.
    unsafe {
        adam::step::launch_unchecked::<R>(
            client,
            count,
            dim,
            array(params, n),
            array(grads, n),
            array(&moments[0], n),
            array(&moments[1], n),
            h.lr / h.bias1,
            h.beta1,
            h.beta2,
            1.0 / h.bias2.sqrt(),
            h.eps,
            h.lr * h.weight_decay,
        );
    }
}

/// Moves a moving average of `n` parameters towards their values by `1 − decay`, in place.
pub fn ema<R: Runtime>(client: &ComputeClient<R>, average: &Handle, values: &Handle, n: usize, decay: f64) {
    if n == 0 {
        return;
    }
    let (count, dim) = flat(n);
    // SAFETY: both have the parameters' length.
    unsafe {
        ema::step::launch_unchecked::<R>(
            client,
            count,
            dim,
            array(average, n),
            array(values, n),
            decay as f32,
            (1.0 - decay) as f32,
        );
    }
}

/// One step's constants of the optimiser, as the CPU's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamHyper {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay, times `lr`.
    pub weight_decay: f32,
    /// `1 − β₁ᵗ`.
    pub bias1: f32,
    /// `1 − β₂ᵗ`.
    pub bias2: f32,
}
