//! Multilayer perceptrons on a tile of rows: forward with tangents, and the adjoint.
//!
//! A tile has `planes` blocks of [`TILE`] rows: block 0 holds values, block 1 + j their derivatives along coordinate j
//! (forward mode). Every block passes the same linear maps; biases enter block 0 alone, and activations couple a
//! derivative block with block 0 through the activation's slope.

use nstr_spec::{Activation, LayerSlot};
use pulp::{Simd, WithSimd};

use crate::bf16::{Bf16, PairGemm, pair};
use crate::gemm::{Finish, Gemm, Init, PAD, pad};
use crate::math::{sigmoid, sincos};

/// Points of a tile.
pub const TILE: usize = 96;

/// A layer this narrow is computed by dot products instead of a padded block of columns.
const THIN: usize = 4;

static ONE: f32 = 1.0;

/// Columns of one part of a network's input row; each part starts at a multiple of [`PAD`](crate::gemm::PAD) columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputColumns {
    /// Number of columns that enter the network.
    Used(usize),
    /// Number of columns without weights; their adjoint is 0.
    Skipped(usize),
}

/// One linear layer with the columns of its padded input.
#[derive(Clone, Debug)]
struct LayerPlan {
    slot: LayerSlot,
    /// Padded column of each logical input.
    columns: Vec<usize>,
    in_pad: usize,
    out_pad: usize,
    thin: bool,
    /// First element of this layer's block in [`MlpWeights`] and [`MlpGradients`].
    forward: usize,
    transposed: usize,
    bias: usize,
    gradient: usize,
    /// First word of the weights in pairs of outputs, `[outputs / 2][in_pad]`, where the adjoint reads them so.
    pairs: Option<usize>,
}

/// Shapes of a network's layers and where their padded copies lie.
#[derive(Clone, Debug)]
pub struct MlpPlan {
    layers: Vec<LayerPlan>,
    activation: Activation,
    forward_len: usize,
    transposed_len: usize,
    bias_len: usize,
    gradient_len: usize,
    pairs_len: usize,
    /// Products of the adjoint in bfloat16, where they are asked for and the machine has them.
    bf16: Option<Bf16>,
}

/// A network's weights in the layouts that the products read.
#[derive(Clone, Debug, Default)]
pub struct MlpWeights {
    forward: Vec<f32>,
    transposed: Vec<f32>,
    bias: Vec<f32>,
    pairs: Vec<u32>,
}

/// Sums of weight gradients in padded layout, for one thread, and its room for matrices in bfloat16.
#[derive(Clone, Debug)]
pub struct MlpGradients {
    weights: Vec<f32>,
    bias: Vec<f32>,
    packed: Vec<u32>,
}

/// A network's activations and adjoints on one tile.
#[derive(Clone, Debug)]
pub struct Activations {
    /// Outputs of each hidden layer, after the activation.
    post: Vec<Vec<f32>>,
    /// Before it, kept where the activation's slope cannot be read off its output.
    pre: Vec<Vec<f32>>,
    /// Adjoints of each hidden layer's linear output.
    adjoint: Vec<Vec<f32>>,
}

impl Activations {
    /// Makes row `to` what row `row` of `from` is, in tiles of one plane.
    #[inline(always)]
    pub(super) fn copy_row(&mut self, to: usize, from: &Self, row: usize) {
        let pairs = self.post.iter_mut().zip(&from.post).chain(self.pre.iter_mut().zip(&from.pre));
        pairs.for_each(|(buffer, from)| copy_row(buffer, to, from, row));
    }
}

/// Makes row `at` of one buffer what row `row` of another is; both have [`TILE`] rows of as many padded columns, at least.
#[inline(always)]
pub(super) fn copy_row(to: &mut [f32], at: usize, from: &[f32], row: usize) {
    let columns = from.len() / TILE;
    let (to, from) = (&mut to[at * columns..(at + 1) * columns], &from[row * columns..(row + 1) * columns]);
    // Whole vectors: calls of `memcpy` cost more than they move.
    to.as_chunks_mut::<PAD>().0.iter_mut().zip(from.as_chunks::<PAD>().0).for_each(|(to, from)| *to = *from);
}

/// A matrix of a tile: first element and distance between rows.
#[derive(Clone, Copy)]
pub struct MatrixView {
    /// First element.
    pub ptr: *mut f32,
    /// Distance between rows.
    pub row: usize,
}

impl MatrixView {
    /// The rows of block `plane`.
    ///
    /// # Safety
    /// The view must have that block.
    #[inline(always)]
    unsafe fn plane(self, plane: usize) -> *mut f32 {
        // SAFETY: promised by the caller.
        unsafe { self.ptr.add(plane * TILE * self.row) }
    }
}

impl MlpPlan {
    /// Plans the layers in `slots`; `parts` make up the rows of the input.
    pub fn new(slots: &[LayerSlot], activation: Activation, parts: &[InputColumns]) -> Self {
        let mut plan = Self {
            layers: Vec::new(),
            activation,
            forward_len: 0,
            transposed_len: 0,
            bias_len: 0,
            gradient_len: 0,
            pairs_len: 0,
            bf16: None,
        };
        for (l, &slot) in slots.iter().enumerate() {
            let all = [InputColumns::Used(slot.inputs)];
            let mut columns = Vec::with_capacity(slot.inputs);
            let mut start = 0;
            for &part in if l == 0 { parts } else { &all } {
                match part {
                    InputColumns::Used(width) => {
                        columns.extend(start..start + width);
                        start += pad(width);
                    }
                    InputColumns::Skipped(width) => start += pad(width),
                }
            }
            let (in_pad, out_pad, thin) = (start, pad(slot.outputs), slot.outputs <= THIN);
            plan.layers.push(LayerPlan {
                slot,
                columns,
                in_pad,
                out_pad,
                thin,
                forward: plan.forward_len,
                transposed: plan.transposed_len,
                bias: plan.bias_len,
                gradient: plan.gradient_len,
                pairs: None,
            });
            plan.forward_len += in_pad * out_pad;
            plan.transposed_len += slot.outputs * in_pad;
            plan.bias_len += out_pad;
            plan.gradient_len += if thin { slot.outputs * in_pad } else { in_pad * out_pad };
        }
        plan
    }

    /// Like [`Self::new`], for an input whose parts lie in another order in the file: logical input `i` of the file is
    /// part-wise input `(i − first) mod inputs` of the tile, `first` being the length of the file's first part, which the
    /// tile holds last.
    pub fn with_order(slots: &[LayerSlot], activation: Activation, parts: &[InputColumns], first: usize) -> Self {
        let mut plan = Self::new(slots, activation, parts);
        if let Some(layer) = plan.layers.first_mut() {
            layer.columns.rotate_right(first);
        }
        plan
    }

    /// Computes the adjoint's products in bfloat16, if any are given: those of layers whose outputs are many and even.
    pub fn with_bf16(mut self, bf16: Option<Bf16>) -> Self {
        self.bf16 = bf16;
        self.pairs_len = 0;
        for l in &mut self.layers {
            let usable = bf16.is_some() && !l.thin && l.slot.outputs.is_multiple_of(2);
            l.pairs = usable.then_some(self.pairs_len);
            self.pairs_len += if usable { l.slot.outputs / 2 * l.in_pad } else { 0 };
        }
        self
    }

    /// Columns of the padded output.
    pub fn output_columns(&self) -> usize {
        self.layers.last().map_or(0, |l| l.out_pad)
    }

    /// Buffers for a tile of `planes` blocks.
    pub fn activations(&self, planes: usize) -> Activations {
        let hidden = &self.layers[..self.layers.len().saturating_sub(1)];
        let buffers = || hidden.iter().map(|l| vec![0.0; planes * TILE * l.out_pad]).collect::<Vec<_>>();
        Activations {
            post: buffers(),
            pre: if self.activation == Activation::Relu { Vec::new() } else { buffers() },
            adjoint: buffers(),
        }
    }

    /// Gradient sums, all zero.
    pub fn gradients(&self) -> MlpGradients {
        MlpGradients { weights: vec![0.0; self.gradient_len], bias: vec![0.0; self.bias_len], packed: Vec::new() }
    }

    /// Copies this network's part of `net`, gains multiplied in, into the padded layouts.
    pub fn load(&self, net: &[f32], to: &mut MlpWeights) {
        to.forward.clear();
        to.forward.resize(self.forward_len, 0.0);
        to.transposed.clear();
        to.transposed.resize(self.transposed_len, 0.0);
        to.bias.clear();
        to.bias.resize(self.bias_len, 0.0);
        to.pairs.clear();
        to.pairs.resize(self.pairs_len, 0);
        for l in &self.layers {
            let (inputs, outputs, gain) = (l.slot.inputs, l.slot.outputs, l.slot.gain as f32);
            for i in 0..inputs {
                let from = &net[l.slot.weight + i * outputs..][..outputs];
                let column = l.columns[i];
                for (o, &w) in from.iter().enumerate() {
                    to.forward[l.forward + column * l.out_pad + o] = gain * w;
                    to.transposed[l.transposed + o * l.in_pad + column] = gain * w;
                }
            }
            for (b, &from) in to.bias[l.bias..].iter_mut().zip(&net[l.slot.bias..l.slot.bias + outputs]) {
                *b = gain * from;
            }
            if let Some(pairs) = l.pairs {
                let rows = to.transposed[l.transposed..][..outputs * l.in_pad].chunks_exact(2 * l.in_pad);
                for (to, rows) in to.pairs[pairs..].chunks_exact_mut(l.in_pad).zip(rows) {
                    let (low, high) = rows.split_at(l.in_pad);
                    to.iter_mut().zip(low.iter().zip(high)).for_each(|(to, (low, high))| *to = pair(*low, *high));
                }
            }
        }
    }

    /// Adds gradient sums into this network's part of the flat gradient and clears them.
    pub fn unload(&self, from: &mut MlpGradients, d_net: &mut [f32]) {
        for l in &self.layers {
            let (inputs, outputs, gain) = (l.slot.inputs, l.slot.outputs, l.slot.gain as f32);
            for i in 0..inputs {
                let to = &mut d_net[l.slot.weight + i * outputs..][..outputs];
                for (o, d) in to.iter_mut().enumerate() {
                    let at = if l.thin { o * l.in_pad + l.columns[i] } else { l.columns[i] * l.out_pad + o };
                    *d += gain * from.weights[l.gradient + at];
                }
            }
            for (d, g) in d_net[l.slot.bias..l.slot.bias + outputs].iter_mut().zip(&from.bias[l.bias..]) {
                *d += gain * g;
            }
        }
        from.weights.fill(0.0);
        from.bias.fill(0.0);
    }

    /// Output of the network for `planes` blocks of rows.
    ///
    /// # Safety
    /// `x` must have the plan's padded input columns and `y` its [`Self::output_columns`], for `planes`·[`TILE`] rows;
    /// `acts` must come from [`Self::activations`] with at least as many planes.
    #[inline(always)]
    pub unsafe fn forward<S: Simd>(
        &self,
        simd: S,
        w: &MlpWeights,
        x: MatrixView,
        acts: &mut Activations,
        y: MatrixView,
        planes: usize,
    ) {
        // A function of its own for each instruction set: a field has several networks.
        simd.vectorize(Forward { plan: self, w, x, acts, y, planes });
    }

    /// # Safety
    /// As for [`Self::forward`].
    #[inline(always)]
    unsafe fn forward_inline<S: Simd>(
        &self,
        simd: S,
        w: &MlpWeights,
        x: MatrixView,
        acts: &mut Activations,
        y: MatrixView,
        planes: usize,
    ) {
        let last = self.layers.len() - 1;
        let relu = self.activation == Activation::Relu;
        let mut input = x;
        for (l, layer) in self.layers.iter().enumerate() {
            let hidden = l < last;
            let out = if hidden {
                let buffer = if relu { &mut acts.post[l] } else { &mut acts.pre[l] };
                MatrixView { ptr: buffer.as_mut_ptr(), row: layer.out_pad }
            } else {
                y
            };
            // SAFETY: buffers have planes·TILE rows of the padded widths (see `activations` and the caller's promise).
            unsafe {
                for plane in 0..planes {
                    if layer.thin && !hidden {
                        thin_forward(simd, layer, w, input, out, plane);
                        continue;
                    }
                    Gemm {
                        m: TILE,
                        n: layer.out_pad,
                        k: layer.in_pad,
                        a: input.plane(plane),
                        a_row: input.row,
                        a_col: 1,
                        b: w.forward.as_ptr().add(layer.forward),
                        b_row: layer.out_pad,
                        c: out.plane(plane),
                        c_row: out.row,
                        init: if plane == 0 { Init::Bias(w.bias.as_ptr().add(layer.bias)) } else { Init::Zero },
                        finish: match (hidden && relu, plane) {
                            (false, _) => Finish::Store,
                            (true, 0) => Finish::Relu,
                            (true, _) => Finish::Mask(out.ptr),
                        },
                    }
                    .run(simd);
                }
            }
            if hidden {
                if !relu {
                    activate(simd, self.activation, layer.out_pad, &acts.pre[l], &mut acts.post[l], planes);
                }
                input = MatrixView { ptr: acts.post[l].as_mut_ptr(), row: layer.out_pad };
            }
        }
    }

    /// Adjoint of [`Self::forward`]: adds to `grads`, and writes the input's adjoint into `dx`, starting from `dx_init`.
    ///
    /// # Safety
    /// As for `forward`, which must have run on the same `acts`; `dy` is laid out like `y`, `dx` like `x`.
    #[expect(clippy::too_many_arguments, reason = "each is one matrix of the product rule, named as in `forward`")]
    #[inline(always)]
    pub unsafe fn backward<S: Simd>(
        &self,
        simd: S,
        w: &MlpWeights,
        x: MatrixView,
        acts: &mut Activations,
        dy: MatrixView,
        dx: MatrixView,
        dx_init: Init,
        grads: &mut MlpGradients,
        planes: usize,
    ) {
        simd.vectorize(Backward { plan: self, w, x, acts, dy, dx, dx_init, grads, planes });
    }

    /// # Safety
    /// As for [`Self::backward`].
    #[expect(clippy::too_many_arguments, reason = "as above")]
    #[inline(always)]
    unsafe fn backward_inline<S: Simd>(
        &self,
        simd: S,
        w: &MlpWeights,
        x: MatrixView,
        acts: &mut Activations,
        dy: MatrixView,
        dx: MatrixView,
        dx_init: Init,
        grads: &mut MlpGradients,
        planes: usize,
    ) {
        let relu = self.activation == Activation::Relu;
        let mut d = dy;
        for (l, layer) in self.layers.iter().enumerate().rev() {
            let input = if l == 0 {
                x
            } else {
                MatrixView { ptr: acts.post[l - 1].as_mut_ptr(), row: self.layers[l - 1].out_pad }
            };
            // SAFETY: as in `forward`; gradient blocks have the sizes of `gradient_len` and `bias_len`.
            unsafe {
                let (to, init) = if l == 0 {
                    (dx, dx_init)
                } else {
                    (MatrixView { ptr: acts.adjoint[l - 1].as_mut_ptr(), row: layer.in_pad }, Init::Zero)
                };
                let finish = if l > 0 && relu { Finish::Mask(input.ptr) } else { Finish::Store };
                if let (Some(bf16), Some(pairs)) = (self.bf16, layer.pairs) {
                    let weights = w.pairs.as_ptr().add(pairs);
                    let matrices = LayerAdjoint { input, d, to, init, finish, weights, planes };
                    packed_adjoint(bf16, layer, matrices, grads);
                } else {
                    weight_gradient(simd, layer, input, d, grads, planes);
                    for plane in 0..planes {
                        Gemm {
                            m: TILE,
                            n: layer.in_pad,
                            k: layer.slot.outputs,
                            a: d.plane(plane),
                            a_row: d.row,
                            a_col: 1,
                            b: w.transposed.as_ptr().add(layer.transposed),
                            b_row: layer.in_pad,
                            c: to.plane(plane),
                            c_row: to.row,
                            init,
                            finish,
                        }
                        .run(simd);
                    }
                }
                bias_gradient(simd, layer, d, grads);
                if l > 0 && !relu {
                    let (pre, adjoint) = (&acts.pre[l - 1], &mut acts.adjoint[l - 1]);
                    activate_adjoint(simd, self.activation, layer.in_pad, pre, adjoint, planes);
                }
                d = to;
            }
        }
    }
}

/// Matrices of one layer's adjoint.
struct LayerAdjoint {
    input: MatrixView,
    /// Adjoint of the linear output.
    d: MatrixView,
    /// Adjoint of the input, with its start and last step.
    to: MatrixView,
    init: Init,
    finish: Finish,
    /// Weights in pairs of outputs.
    weights: *const u32,
    planes: usize,
}

/// Gradient of the weights and adjoint of the input in bfloat16.
///
/// # Safety
/// Sizes as in [`MlpPlan::backward`].
unsafe fn packed_adjoint(bf16: Bf16, layer: &LayerPlan, of: LayerAdjoint, grads: &mut MlpGradients) {
    let LayerAdjoint { input, d, to, init, finish, weights, planes } = of;
    let (rows, inputs, outputs) = (planes * TILE, layer.in_pad, layer.out_pad);
    let [x_len, d_len] = [inputs, outputs].map(|columns| rows / 2 * columns);
    grads.packed.resize(grads.packed.len().max(x_len + 2 * d_len), 0);
    let (x_pairs, rest) = grads.packed.split_at_mut(x_len);
    let (d_pairs, d_rows) = rest.split_at_mut(d_len);
    // SAFETY: matrices have planes · TILE rows (an even number) of the padded widths, and `packed` has room for them.
    unsafe {
        bf16.pack_pairs(input.ptr, input.row, rows, inputs, x_pairs.as_mut_ptr());
        bf16.pack_pairs(d.ptr, d.row, rows, outputs, d_pairs.as_mut_ptr());
        bf16.pack_rows(d.ptr, d.row, rows, outputs, d_rows.as_mut_ptr());
        bf16.product(PairGemm {
            m: inputs,
            n: outputs,
            k: rows / 2,
            a: x_pairs.as_ptr(),
            a_row: 1,
            a_col: inputs,
            b: d_pairs.as_ptr(),
            c: grads.weights.as_mut_ptr().add(layer.gradient),
            c_row: outputs,
            init: Init::Accumulate,
            finish: Finish::Store,
        });
        for plane in 0..planes {
            bf16.product(PairGemm {
                m: TILE,
                n: inputs,
                k: layer.slot.outputs / 2,
                a: d_rows.as_ptr().add(plane * TILE * outputs / 2),
                a_row: outputs / 2,
                a_col: 1,
                b: weights,
                c: to.plane(plane),
                c_row: to.row,
                init,
                finish,
            });
        }
    }
}

struct Forward<'a> {
    plan: &'a MlpPlan,
    w: &'a MlpWeights,
    x: MatrixView,
    acts: &'a mut Activations,
    y: MatrixView,
    planes: usize,
}

impl WithSimd for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: made by `MlpPlan::forward` alone, whose promise it carries.
        unsafe { self.plan.forward_inline(simd, self.w, self.x, self.acts, self.y, self.planes) }
    }
}

struct Backward<'a> {
    plan: &'a MlpPlan,
    w: &'a MlpWeights,
    x: MatrixView,
    acts: &'a mut Activations,
    dy: MatrixView,
    dx: MatrixView,
    dx_init: Init,
    grads: &'a mut MlpGradients,
    planes: usize,
}

impl WithSimd for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, w, x, acts, dy, dx, dx_init, grads, planes } = self;
        // SAFETY: made by `MlpPlan::backward` alone, whose promise it carries.
        unsafe { plan.backward_inline(simd, w, x, acts, dy, dx, dx_init, grads, planes) }
    }
}

/// A layer of few outputs: dot products of rows with each output's weights, several rows at once so that their sums
/// overlap.
#[inline(always)]
unsafe fn thin_forward<S: Simd>(
    simd: S,
    layer: &LayerPlan,
    w: &MlpWeights,
    input: MatrixView,
    out: MatrixView,
    plane: usize,
) {
    const ROWS: usize = 8;
    const { assert!(TILE.is_multiple_of(ROWS)) };
    let lanes = S::F32_LANES;
    for o in 0..layer.slot.outputs {
        let bias = if plane == 0 { w.bias[layer.bias + o] } else { 0.0 };
        // SAFETY: rows and columns as in `MlpPlan::forward`.
        unsafe {
            let row = w.transposed.as_ptr().add(layer.transposed + o * layer.in_pad);
            for p in (0..TILE).step_by(ROWS) {
                let x = input.plane(plane).add(p * input.row).cast_const();
                let y = out.plane(plane).add(p * out.row + o);
                let mut acc = [simd.splat_f32s(0.0); ROWS];
                let mut i = 0;
                while i < layer.in_pad {
                    let b = row.add(i).cast::<S::f32s>().read_unaligned();
                    for (r, acc) in acc.iter_mut().enumerate() {
                        let a = x.add(r * input.row + i).cast::<S::f32s>().read_unaligned();
                        *acc = simd.mul_add_e_f32s(a, b, *acc);
                    }
                    i += lanes;
                }
                for (r, acc) in acc.into_iter().enumerate() {
                    *y.add(r * out.row) = simd.reduce_sum_f32s(acc) + bias;
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn weight_gradient<S: Simd>(
    simd: S,
    layer: &LayerPlan,
    input: MatrixView,
    d: MatrixView,
    grads: &mut MlpGradients,
    planes: usize,
) {
    // SAFETY: sizes as in `MlpPlan::backward`.
    unsafe {
        let c = grads.weights.as_mut_ptr().add(layer.gradient);
        let k = planes * TILE;
        let (init, finish) = (Init::Accumulate, Finish::Store);
        let product = if layer.thin {
            let (m, n) = (layer.slot.outputs, layer.in_pad);
            Gemm {
                m,
                n,
                k,
                a: d.ptr,
                a_row: 1,
                a_col: d.row,
                b: input.ptr,
                b_row: input.row,
                c,
                c_row: n,
                init,
                finish,
            }
        } else {
            let (m, n) = (layer.in_pad, layer.out_pad);
            Gemm {
                m,
                n,
                k,
                a: input.ptr,
                a_row: 1,
                a_col: input.row,
                b: d.ptr,
                b_row: d.row,
                c,
                c_row: n,
                init,
                finish,
            }
        };
        product.run(simd);
    }
}

/// Adds the gradient of the bias: a sum over the value block.
///
/// # Safety
/// Sizes as in [`MlpPlan::backward`].
#[inline(always)]
unsafe fn bias_gradient<S: Simd>(simd: S, layer: &LayerPlan, d: MatrixView, grads: &mut MlpGradients) {
    // SAFETY: promised by the caller.
    unsafe {
        if layer.thin {
            for o in 0..layer.slot.outputs {
                grads.bias[layer.bias + o] += (0..TILE).map(|p| *d.ptr.add(p * d.row + o)).sum::<f32>();
            }
        } else {
            // A product with a column of ones.
            let (c, n) = (grads.bias.as_mut_ptr().add(layer.bias), layer.out_pad);
            let (init, finish) = (Init::Accumulate, Finish::Store);
            Gemm { m: 1, n, k: TILE, a: &ONE, a_row: 0, a_col: 0, b: d.ptr, b_row: d.row, c, c_row: n, init, finish }
                .run(simd);
        }
    }
}

/// `f(a)`, `f′(a)` and `f″(a)`.
#[inline(always)]
fn derivatives<S: Simd>(simd: S, activation: Activation, a: S::f32s) -> (S::f32s, S::f32s, S::f32s) {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    match activation {
        Activation::Relu => {
            let on = simd.greater_than_f32s(a, zero);
            (simd.max_f32s(a, zero), simd.select_f32s(on, one, zero), zero)
        }
        Activation::Silu => {
            let s = sigmoid(simd, a);
            let ds = simd.mul_f32s(s, simd.sub_f32s(one, s));
            let curvature = simd.mul_add_f32s(a, simd.sub_f32s(one, simd.add_f32s(s, s)), simd.splat_f32s(2.0));
            (simd.mul_f32s(a, s), simd.mul_add_f32s(a, ds, s), simd.mul_f32s(ds, curvature))
        }
        Activation::Sine => {
            let (s, c) = sincos(simd, a);
            (s, c, simd.neg_f32s(s))
        }
    }
}

/// Applies the activation to every block; `row` is the distance between rows.
#[inline(always)]
fn activate<S: Simd>(simd: S, activation: Activation, row: usize, pre: &[f32], post: &mut [f32], planes: usize) {
    let (pre, _) = S::as_simd_f32s(pre);
    let (post, _) = S::as_mut_simd_f32s(post);
    let block = TILE * row / S::F32_LANES;
    for i in 0..block {
        let (f, slope, _) = derivatives(simd, activation, pre[i]);
        post[i] = f;
        for plane in 1..planes {
            post[plane * block + i] = simd.mul_f32s(slope, pre[plane * block + i]);
        }
    }
}

/// Turns adjoints of an activation's outputs into those of its inputs, in place.
#[inline(always)]
fn activate_adjoint<S: Simd>(simd: S, kind: Activation, row: usize, pre: &[f32], adjoint: &mut [f32], planes: usize) {
    let (pre, _) = S::as_simd_f32s(pre);
    let (adjoint, _) = S::as_mut_simd_f32s(adjoint);
    let block = TILE * row / S::F32_LANES;
    for i in 0..block {
        let (_, slope, second) = derivatives(simd, kind, pre[i]);
        let mut value = simd.mul_f32s(slope, adjoint[i]);
        for plane in 1..planes {
            let at = plane * block + i;
            let d = adjoint[at];
            value = simd.mul_add_e_f32s(simd.mul_f32s(second, pre[at]), d, value);
            adjoint[at] = simd.mul_f32s(slope, d);
        }
        adjoint[i] = value;
    }
}
