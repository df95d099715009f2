//! One tile of points through the whole field: forward for a chosen set of outputs, and its adjoint.

use nstr_spec::{DirectionEncoding, FieldSpec, FullColumns};
use pulp::{Simd, WithSimd};

use crate::basis::{BasisAdjoint, BasisInput, BasisPlan, BasisWeights};
use crate::bf16::GradientPrecision;
use crate::gemm::{Init, PAD, pad};
use crate::latent::{LatentPlan, Lookup};
use crate::latent_adjoint::LatentAdjoints;
use crate::mlp::{InputColumns, MatrixView, MlpGradients, MlpPlan, MlpWeights, TILE};
use crate::product::ProductPlan;
use crate::tile_values::TileValues;

/// Columns that an evaluation returns of each point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// The field's values: `outputs` columns.
    Value,
    /// Values and ∇f: the first `outputs·(1 + dim)` columns of the full output.
    Gradient,
    /// Everything, see [`FullColumns`].
    Full,
}

/// The plans of all parts of a field.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub dim: usize,
    pub outputs: usize,
    pub columns: FullColumns,
    pub latent: LatentPlan,
    /// Product of levels where they are multiplied, and the padded columns of its input.
    product: Option<(ProductPlan, usize)>,
    pub basis: BasisPlan,
    pub spectrum: MlpPlan,
    pub decoder: MlpPlan,
    pub transport: MlpPlan,
    pub head: Option<HeadPlan>,
    /// x enters H; x enters g.
    spectrum_input: bool,
    input_coords: bool,
    skip_latent: bool,
    /// There is a basis; S modulates it (otherwise S is z).
    basis_on: bool,
    modulates: bool,
    transports: bool,
    spectrum_width: usize,
    /// First column of z and of x in a trunk row `[m | z | x]`, and its length.
    z_at: usize,
    x_at: usize,
    trunk_row: usize,
    /// First column of x in a spectrum row `[S | x]`, and its length.
    s_x_at: usize,
    s_row: usize,
}

/// The colour head of a radiance field: its network and the columns of its input rows `[f | encoded direction]`.
#[derive(Clone, Debug)]
pub(super) struct HeadPlan {
    pub mlp: MlpPlan,
    pub encoding: DirectionEncoding,
    /// First column of the encoded direction, and the row's length.
    pub encoding_at: usize,
    pub row: usize,
}

/// All networks' weights in kernel layout.
#[derive(Clone, Debug, Default)]
pub struct PackedWeights {
    basis: BasisWeights,
    spectrum: MlpWeights,
    decoder: MlpWeights,
    transport: MlpWeights,
    pub(super) head: MlpWeights,
}

/// One thread's gradient sums.
#[derive(Clone, Debug)]
pub(super) struct GradientBuffers {
    /// Of the whole grid; empty until a tile adds to it.
    pub grid: Vec<f32>,
    /// What has still to be added to the grid's gradient.
    pub latent: LatentAdjoints,
    basis: Vec<f32>,
    spectrum: MlpGradients,
    decoder: MlpGradients,
    transport: MlpGradients,
    pub head: Option<MlpGradients>,
}

/// One thread's buffers for a tile.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    pub values: TileValues,
    lookup: Lookup,
    d_trunk: Vec<f32>,
    d_factors: Vec<f32>,
    d_spectrum: Vec<f32>,
    d_value: Vec<f32>,
    d_flow: Vec<f32>,
    d_x: Vec<f32>,
}

/// Adjoints that a tile's backward pass reads and writes.
pub(super) struct TileAdjoint<'a> {
    /// Adjoint of the tile's first points, laid out like their output.
    pub d_out: &'a [f32],
    /// GradientBuffers of the thread, added to.
    pub sums: &'a mut GradientBuffers,
    /// The features' adjoints are kept in `sums.latent` for later, instead of added to `sums.grid`.
    pub keep_latent: bool,
    /// Adjoint of the coordinates (`[point][dim]`, from values only), written if given.
    pub d_x: Option<&'a mut [f32]>,
}

fn view(buffer: &mut [f32], row: usize, column: usize) -> MatrixView {
    MatrixView { ptr: buffer[column..].as_mut_ptr(), row }
}

/// Clears the first columns of `planes` blocks of rows.
///
/// # Safety
/// The view must have them.
unsafe fn clear(to: MatrixView, columns: usize, planes: usize) {
    for r in 0..planes * TILE {
        // SAFETY: promised by the caller.
        unsafe { std::ptr::write_bytes(to.ptr.add(r * to.row), 0, columns) };
    }
}

/// Adds the first columns of one view's rows to another's.
///
/// # Safety
/// Both must have them.
unsafe fn add(to: MatrixView, from: MatrixView, columns: usize, planes: usize) {
    for (r, c) in (0..planes * TILE).flat_map(|r| (0..columns).map(move |c| (r, c))) {
        // SAFETY: promised by the caller.
        unsafe { *to.ptr.add(r * to.row + c) += *from.ptr.add(r * from.row + c) };
    }
}

impl Plan {
    pub fn new(spec: &FieldSpec, precision: GradientPrecision) -> Self {
        let bf16 = precision.bf16();
        let layout = spec.net_layout();
        let (z, s) = (spec.latent.width(), spec.spectrum_width());
        let m = spec.modulated_width();
        let z_at = pad(m);
        let x_at = z_at + pad(z);
        let s_x_at = pad(s);
        use InputColumns::{Skipped, Used};
        let spectrum_parts: &[InputColumns] = if spec.spectrum_input { &[Used(z), Used(spec.dim)] } else { &[Used(z)] };
        let decoder_parts: &[InputColumns] = match (spec.skip_latent, spec.input_coords) {
            (false, false) => &[Used(m)],
            (true, false) => &[Used(m), Used(z)],
            (true, true) => &[Used(m), Used(z), Used(spec.dim)],
            (false, true) => &[Used(m), Skipped(z), Used(spec.dim)],
        };
        // F's input columns in a spectrum row are [S | x], while the file's order is (x, S).
        let parts = [Used(s), Used(spec.dim)];
        let transport =
            MlpPlan::with_order(&layout.transport, spec.transport.activation, &parts, spec.dim).with_bf16(bf16);
        let product = ProductPlan::new(&spec.latent).map(|p| (p, pad(p.inputs())));
        let head = spec.color_head.map(|head| HeadPlan {
            mlp: MlpPlan::new(&layout.head, head.mlp.activation, &[Used(spec.outputs), Used(head.encoding.width())])
                .with_bf16(bf16),
            encoding: head.encoding,
            encoding_at: pad(spec.outputs),
            row: pad(spec.outputs) + pad(head.encoding.width()),
        });
        Self {
            head,
            dim: spec.dim,
            outputs: spec.outputs,
            columns: spec.full_columns(),
            latent: LatentPlan::new(spec),
            basis: BasisPlan::new(spec),
            spectrum: MlpPlan::new(&layout.spectrum, spec.spectrum.activation, spectrum_parts).with_bf16(bf16),
            decoder: MlpPlan::new(&layout.decoder, spec.decoder.activation, decoder_parts).with_bf16(bf16),
            transport,
            spectrum_input: spec.spectrum_input && spec.modulates(),
            input_coords: spec.input_coords,
            skip_latent: spec.skip_latent,
            basis_on: spec.basis_width() > 0,
            modulates: spec.modulates(),
            transports: spec.transports(),
            product,
            spectrum_width: s,
            z_at,
            x_at,
            trunk_row: x_at + if spec.spectrum_input || spec.input_coords { PAD } else { 0 },
            s_x_at,
            s_row: s_x_at + PAD,
        }
    }

    /// Columns of an output.
    pub fn width(&self, kind: Outputs) -> usize {
        match kind {
            Outputs::Value => self.outputs,
            Outputs::Gradient => self.outputs * (1 + self.dim),
            Outputs::Full => self.columns.len,
        }
    }

    pub fn load(&self, net: &[f32], to: &mut PackedWeights) {
        self.basis.load(net, &mut to.basis);
        self.spectrum.load(net, &mut to.spectrum);
        self.decoder.load(net, &mut to.decoder);
        self.transport.load(net, &mut to.transport);
        if let Some(head) = &self.head {
            head.mlp.load(net, &mut to.head);
        }
    }

    pub fn gradient_buffers(&self) -> GradientBuffers {
        GradientBuffers {
            grid: Vec::new(),
            latent: LatentAdjoints::default(),
            basis: self.basis.gradients(),
            spectrum: self.spectrum.gradients(),
            decoder: self.decoder.gradients(),
            transport: self.transport.gradients(),
            head: self.head.as_ref().map(|head| head.mlp.gradients()),
        }
    }

    /// Adds a thread's network sums into the flat gradient and clears them.
    pub fn unload(&self, from: &mut GradientBuffers, d_net: &mut [f32]) {
        self.basis.unload(&mut from.basis, d_net);
        self.spectrum.unload(&mut from.spectrum, d_net);
        self.decoder.unload(&mut from.decoder, d_net);
        self.transport.unload(&mut from.transport, d_net);
        if let (Some(head), Some(from)) = (&self.head, &mut from.head) {
            head.mlp.unload(from, d_net);
        }
    }

    /// Buffers for tiles of this kind; `slopes` asks for grid slopes even where only values are returned (for the
    /// adjoint of the coordinates).
    pub fn tile(&self, kind: Outputs, slopes: bool) -> Tile {
        let values = self.tile_values(kind, slopes);
        let rows = values.planes * TILE;
        Tile {
            lookup: self.latent.lookup(if slopes { 1 + self.dim } else { values.planes }),
            d_factors: vec![0.0; values.factors.len()],
            d_flow: vec![0.0; values.flow.len()],
            values,
            d_trunk: vec![0.0; rows * self.trunk_row],
            d_spectrum: vec![0.0; rows * self.s_row],
            d_value: vec![0.0; rows * self.decoder.output_columns()],
            d_x: vec![0.0; TILE * self.dim],
        }
    }

    /// Buffers for the values of a tile; see [`Self::tile`].
    pub fn tile_values(&self, kind: Outputs, slopes: bool) -> TileValues {
        let planes = if kind == Outputs::Value { 1 } else { 1 + self.dim };
        let rows = planes * TILE;
        let flow = if kind == Outputs::Full { TILE * self.transport.output_columns() } else { 0 };
        let latent_rows = rows + if slopes { self.dim * TILE } else { 0 };
        let factors = self.product.map_or(0, |(_, columns)| latent_rows * columns);
        TileValues {
            kind,
            planes,
            x: vec![0.5; TILE * self.dim],
            trunk: vec![0.0; latent_rows * self.trunk_row],
            factors: vec![0.0; factors],
            spectrum: vec![0.0; rows * self.s_row],
            phases: self.basis.phases(),
            value: vec![0.0; rows * self.decoder.output_columns()],
            flow: vec![0.0; flow],
            spectrum_acts: self.spectrum.activations(planes),
            decoder_acts: self.decoder.activations(planes),
            transport_acts: self.transport.activations(1),
        }
    }

    /// Evaluates up to [`TILE`] points (`x`: `[point][dim]`) into the tile's buffers.
    ///
    /// A function of its own (not inlined) for each instruction set, whoever calls it; so is [`Self::backward`].
    #[inline(always)]
    pub fn forward<S: Simd>(&self, simd: S, w: &PackedWeights, grid: &[f32], x: &[f32], tile: &mut Tile) {
        self.forward_values(simd, w, grid, x, &mut tile.values, &mut tile.lookup);
    }

    /// [`Self::forward`] into buffers that are kept; the lookup can be shared by tiles.
    #[inline(always)]
    pub fn forward_values<S: Simd>(
        &self,
        simd: S,
        w: &PackedWeights,
        grid: &[f32],
        x: &[f32],
        values: &mut TileValues,
        lookup: &mut Lookup,
    ) {
        simd.vectorize(Forward { plan: self, w, grid, x, values, lookup });
    }

    #[inline(always)]
    fn forward_inline<S: Simd>(
        &self,
        simd: S,
        w: &PackedWeights,
        grid: &[f32],
        x: &[f32],
        tile: &mut TileValues,
        lookup: &mut Lookup,
    ) {
        // What the lookup has is gathered without bounds checks.
        assert!(tile.trunk.len() >= lookup.planes() * TILE * self.trunk_row, "rows for every plane of the lookup");
        let planes = tile.planes;
        tile.x[..x.len()].copy_from_slice(x);
        // Rows past the last point repeat a point inside the cube; nothing reads them.
        tile.x[x.len()..].fill(0.5);
        self.spread_x(tile);
        self.latent.locate(&tile.x, lookup);
        // SAFETY: `tile` was made by `Plan::tile_values` of this plan, so every buffer has the rows and columns that the
        // parts ask for; views of one buffer used together name disjoint columns (m and z; S).
        unsafe {
            let trunk = tile.trunk.as_mut_ptr();
            let z = MatrixView { ptr: trunk.add(self.z_at), row: self.trunk_row };
            let m = MatrixView { ptr: trunk, row: self.trunk_row };
            match &self.product {
                None => self.latent.gather(simd, grid, lookup, z),
                Some((product, columns)) => {
                    let u = view(&mut tile.factors, *columns, 0);
                    self.latent.gather(simd, grid, lookup, u);
                    product.forward(u, z, planes);
                }
            }
            let s = view(&mut tile.spectrum, self.s_row, 0);
            if self.modulates {
                self.spectrum.forward(simd, &w.spectrum, z, &mut tile.spectrum_acts, s, planes);
            } else if tile.kind == Outputs::Full {
                for r in 0..planes * TILE {
                    std::ptr::copy_nonoverlapping(z.ptr.add(r * z.row), s.ptr.add(r * s.row), self.spectrum_width);
                }
            }
            if self.basis_on {
                self.basis.forward(simd, &w.basis, BasisInput { x: &tile.x, s, planes }, &mut tile.phases, m);
            }
            let y = view(&mut tile.value, self.decoder.output_columns(), 0);
            self.decoder.forward(simd, &w.decoder, m, &mut tile.decoder_acts, y, planes);
            if tile.kind == Outputs::Full && self.transports {
                let y = view(&mut tile.flow, self.transport.output_columns(), 0);
                self.transport.forward(simd, &w.transport, s, &mut tile.transport_acts, y, 1);
            }
        }
    }

    /// Copies x to where the networks that take it read it.
    #[inline(always)]
    fn spread_x(&self, tile: &mut TileValues) {
        let dim = self.dim;
        if tile.kind == Outputs::Full {
            for (row, x) in tile.spectrum.chunks_exact_mut(self.s_row).zip(tile.x.chunks_exact(dim)) {
                row[self.s_x_at..][..dim].copy_from_slice(x);
            }
        }
        if self.spectrum_input || self.input_coords {
            for (row, x) in tile.trunk.chunks_exact_mut(self.trunk_row).zip(tile.x.chunks_exact(dim)) {
                row[self.x_at..][..dim].copy_from_slice(x);
            }
            for j in 0..tile.planes - 1 {
                for p in 0..TILE {
                    // ∂x/∂x_j is the j-th unit vector.
                    tile.trunk[((j + 1) * TILE + p) * self.trunk_row + self.x_at + j] = 1.0;
                }
            }
        }
    }

    /// Copies the outputs of the first points into `out` (`[point][width]`).
    #[inline(always)]
    pub fn read(&self, tile: &TileValues, out: &mut [f32]) {
        if tile.kind != Outputs::Value {
            return self.read_planes(tile, out);
        }
        let rows = tile.value.chunks_exact(self.decoder.output_columns());
        for ((out, row), x) in out.chunks_exact_mut(self.outputs).zip(rows).zip(tile.x.chunks_exact(self.dim)) {
            // A rectifier would swallow a coordinate that is not a number.
            let poison = x.iter().fold(false, |poison, x| poison | x.is_nan());
            for (out, &value) in out.iter_mut().zip(row) {
                *out = if poison { f32::NAN } else { value };
            }
        }
    }

    /// [`Self::read`] for values and derivatives.
    fn read_planes(&self, tile: &TileValues, out: &mut [f32]) {
        let row = self.decoder.output_columns();
        let (columns, dim) = (self.columns, self.dim);
        for (p, out) in out.chunks_exact_mut(self.width(tile.kind)).enumerate() {
            if tile.x[p * dim..(p + 1) * dim].iter().any(|x| x.is_nan()) {
                // As in `read`.
                out.fill(f32::NAN);
                continue;
            }
            out[..self.outputs].copy_from_slice(&tile.value[p * row..][..self.outputs]);
            for j in 0..tile.planes - 1 {
                let from = &tile.value[((j + 1) * TILE + p) * row..];
                for o in 0..self.outputs {
                    out[columns.gradient + o * dim + j] = from[o];
                }
            }
            if tile.kind == Outputs::Full {
                let width = self.spectrum_width;
                out[columns.spectrum..][..width].copy_from_slice(&tile.spectrum[p * self.s_row..][..width]);
                for j in 0..dim {
                    let from = &tile.spectrum[((j + 1) * TILE + p) * self.s_row..];
                    for k in 0..width {
                        out[columns.spectrum_gradient + k * dim + j] = from[k];
                    }
                }
                if self.transports {
                    let flow = &tile.flow[p * self.transport.output_columns()..];
                    out[columns.transport..].copy_from_slice(&flow[..width * dim]);
                }
            }
        }
    }

    /// Finds the entries of the tile's points anew, for rows that were copied from other tiles.
    #[inline(always)]
    pub fn locate(&self, tile: &mut Tile) {
        self.latent.locate(&tile.values.x, &mut tile.lookup);
    }

    /// Adjoint of the tile that [`Self::forward`] left.
    #[inline(always)]
    pub fn backward<S: Simd>(
        &self,
        simd: S,
        w: &PackedWeights,
        grid: &[f32],
        tile: &mut Tile,
        adjoint: TileAdjoint<'_>,
    ) {
        simd.vectorize(Backward { plan: self, w, grid, tile, adjoint });
    }

    #[inline(always)]
    fn backward_inline<S: Simd>(
        &self,
        simd: S,
        w: &PackedWeights,
        grid: &[f32],
        tile: &mut Tile,
        adjoint: TileAdjoint<'_>,
    ) {
        let TileAdjoint { d_out, sums, keep_latent, d_x } = adjoint;
        if !keep_latent && sums.grid.is_empty() {
            sums.grid.resize(self.latent.grid_len(), 0.0);
        }
        let points = d_out.len() / self.width(tile.values.kind);
        self.write_adjoint(tile, d_out);
        let (planes, dim, wants_x) = (tile.values.planes, self.dim, d_x.is_some());
        tile.d_x.fill(0.0);
        // SAFETY: as in `forward`; adjoint buffers mirror the forward ones.
        unsafe {
            let s = view(&mut tile.values.spectrum, self.s_row, 0);
            let ds = view(&mut tile.d_spectrum, self.s_row, 0);
            if tile.values.kind == Outputs::Full && self.transports {
                let dy = view(&mut tile.d_flow, self.transport.output_columns(), 0);
                let acts = &mut tile.values.transport_acts;
                self.transport.backward(simd, &w.transport, s, acts, dy, ds, Init::Accumulate, &mut sums.transport, 1);
            }
            let (trunk, d_trunk) = (tile.values.trunk.as_mut_ptr(), tile.d_trunk.as_mut_ptr());
            let row = self.trunk_row;
            let (m, dm) = (MatrixView { ptr: trunk, row }, MatrixView { ptr: d_trunk, row });
            let (z, dz) =
                (MatrixView { ptr: trunk.add(self.z_at), row }, MatrixView { ptr: d_trunk.add(self.z_at), row });
            let dy = view(&mut tile.d_value, self.decoder.output_columns(), 0);
            let acts = &mut tile.values.decoder_acts;
            self.decoder.backward(simd, &w.decoder, m, acts, dy, dm, Init::Zero, &mut sums.decoder, planes);
            if self.basis_on {
                let dx = wants_x.then_some(tile.d_x.as_mut_slice());
                let adjoint = BasisAdjoint { dm, ds, grads: &mut sums.basis, dx };
                self.basis.backward(
                    simd,
                    &w.basis,
                    BasisInput { x: &tile.values.x, s, planes },
                    &tile.values.phases,
                    adjoint,
                );
            }
            // The decoder may have written z's adjoint, and x's; what follows adds to them, or starts from nothing.
            let decoded_z = self.skip_latent || self.input_coords;
            if self.modulates {
                if decoded_z && self.spectrum_input && !self.input_coords {
                    clear(MatrixView { ptr: d_trunk.add(self.x_at), row }, PAD, planes);
                }
                let init = if decoded_z { Init::Accumulate } else { Init::Zero };
                let acts = &mut tile.values.spectrum_acts;
                self.spectrum.backward(simd, &w.spectrum, z, acts, ds, dz, init, &mut sums.spectrum, planes);
            } else {
                if !decoded_z {
                    clear(dz, self.spectrum_width, planes);
                }
                if tile.values.kind == Outputs::Full {
                    add(dz, ds, self.spectrum_width, planes);
                }
            }
            let dz = match &self.product {
                None => dz,
                Some((product, columns)) => {
                    let (u, du) = (view(&mut tile.values.factors, *columns, 0), view(&mut tile.d_factors, *columns, 0));
                    product.backward(u, dz, du, planes);
                    du
                }
            };
            if let Some(d_x) = d_x {
                // The lookup has slopes for this, but only its value plane carries an adjoint.
                self.latent.input_adjoint(grid, &tile.lookup, dz, points, &mut tile.d_x);
                for (i, d) in d_x.iter_mut().enumerate() {
                    let (p, j) = (i / dim, i % dim);
                    let direct = self.spectrum_input || self.input_coords;
                    *d = tile.d_x[i] + if direct { *d_trunk.add(p * row + self.x_at + j) } else { 0.0 };
                }
            }
            if keep_latent {
                sums.latent.push(&self.latent, &tile.values.x, dz, points);
            } else if wants_x {
                self.latent.scatter_values(simd, &tile.lookup, dz, points, &mut sums.grid);
            } else {
                self.latent.scatter(simd, &tile.lookup, dz, points, &mut sums.grid);
            }
        }
    }

    /// Spreads `d_out` over the adjoint buffers; rows past the last point are 0.
    fn write_adjoint(&self, tile: &mut Tile, d_out: &[f32]) {
        let (row, dim, columns) = (self.decoder.output_columns(), self.dim, self.columns);
        tile.d_value.fill(0.0);
        tile.d_spectrum.fill(0.0);
        tile.d_flow.fill(0.0);
        for (p, d) in d_out.chunks_exact(self.width(tile.values.kind)).enumerate() {
            tile.d_value[p * row..][..self.outputs].copy_from_slice(&d[..self.outputs]);
            for j in 0..tile.values.planes - 1 {
                for o in 0..self.outputs {
                    tile.d_value[((j + 1) * TILE + p) * row + o] = d[columns.gradient + o * dim + j];
                }
            }
            if tile.values.kind == Outputs::Full {
                let width = self.spectrum_width;
                tile.d_spectrum[p * self.s_row..][..width].copy_from_slice(&d[columns.spectrum..][..width]);
                for j in 0..dim {
                    for k in 0..width {
                        tile.d_spectrum[((j + 1) * TILE + p) * self.s_row + k] =
                            d[columns.spectrum_gradient + k * dim + j];
                    }
                }
                if self.transports {
                    let flow = self.transport.output_columns();
                    tile.d_flow[p * flow..][..width * dim].copy_from_slice(&d[columns.transport..]);
                }
            }
        }
    }

    /// The values of point `p` after [`Self::forward`].
    #[inline(always)]
    pub fn values<'a>(&self, tile: &'a TileValues, p: usize) -> &'a [f32] {
        &tile.value[p * self.decoder.output_columns()..][..self.outputs]
    }
}

struct Forward<'a> {
    plan: &'a Plan,
    w: &'a PackedWeights,
    grid: &'a [f32],
    x: &'a [f32],
    values: &'a mut TileValues,
    lookup: &'a mut Lookup,
}

impl WithSimd for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.plan.forward_inline(simd, self.w, self.grid, self.x, self.values, self.lookup);
    }
}

struct Backward<'a> {
    plan: &'a Plan,
    w: &'a PackedWeights,
    grid: &'a [f32],
    tile: &'a mut Tile,
    adjoint: TileAdjoint<'a>,
}

impl WithSimd for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.plan.backward_inline(simd, self.w, self.grid, self.tile, self.adjoint);
    }
}
