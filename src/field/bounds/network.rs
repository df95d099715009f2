//! A multilayer perceptron over a box: affine forms forward, and a linear function of its outputs pulled back to its inputs.
//!
//! Forward, a layer is exact on middles and slopes, while remainders pass through |W|. Activations become lines, each over the
//! range of its own argument. Taken together these lines make the network one linear function with a bounded error: pulled
//! back from an output to the inputs, remainders of the inputs are weighed by the product of the matrices instead of the product of
//! their magnitudes (Zhang et al. 2018, *Efficient neural network robustness certification with general activation
//! functions*): from one side at a time, so that a rectifier of unknown sign is replaced from below by 0 or by its argument.

use nstr_kernel::arch;
use nstr_spec::{Activation, LayerSlot};
use pulp::{Simd, WithSimd};

use super::form::{Form, Interval, SYMBOLS};
use super::linearize::{Line, activation, derivative, relu_beside};
use super::rounding::Rounding;
use super::slope::Slope;

/// Columns that are computed together.
const LANES: usize = 8;

/// A matrix for products with short lists of vectors: blocks of [`LANES`] columns, row after row.
#[derive(Clone, Debug)]
struct Matrix {
    rows: usize,
    columns: usize,
    blocks: Vec<[f64; LANES]>,
}

impl Matrix {
    fn new(rows: usize, columns: usize, at: impl Fn(usize, usize) -> f64) -> Self {
        let place = |i: usize| (i / rows.max(1) * LANES, i % rows.max(1));
        let block = |i: usize| {
            let (first, row) = place(i);
            std::array::from_fn(|l| if first + l < columns { at(row, first + l) } else { 0.0 })
        };
        Self { rows, columns, blocks: (0..rows * columns.div_ceil(LANES)).map(block).collect() }
    }

    /// Products of `P` row vectors with the matrix, of those from `SIGNED` on with the magnitudes of its entries. `rows` lists
    /// those that are not 0.
    fn product<const P: usize, const SIGNED: usize>(&self, rows: &[(usize, [f64; P])]) -> Vec<[f64; P]> {
        let mut out = vec![[0.0; P]; self.columns];
        arch().dispatch(Product::<P, SIGNED> { matrix: self, rows, out: &mut out });
        out
    }
}

/// Products of `P` row vectors with a matrix, of those from `SIGNED` on with the magnitudes of its entries.
struct Product<'a, const P: usize, const SIGNED: usize> {
    matrix: &'a Matrix,
    rows: &'a [(usize, [f64; P])],
    out: &'a mut [[f64; P]],
}

impl<const P: usize, const SIGNED: usize> WithSimd for Product<'_, P, SIGNED> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let blocks = self.matrix.blocks.chunks_exact(self.matrix.rows.max(1));
        for (block, out) in blocks.zip(self.out.chunks_mut(LANES)) {
            let mut sums = [[0.0; LANES]; P];
            for part in 0..LANES / S::F64_LANES {
                // As many sums as fit into the registers of AVX2, for which blocks have two parts.
                let mut parts = [simd.splat_f64s(0.0); P];
                for (row, values) in self.rows {
                    let weight = S::as_simd_f64s(&block[*row]).0[part];
                    let magnitude = simd.abs_f64s(weight);
                    for p in 0..P {
                        let factor = if p < SIGNED { weight } else { magnitude };
                        parts[p] = simd.mul_add_e_f64s(simd.splat_f64s(values[p]), factor, parts[p]);
                    }
                }
                for (sums, found) in sums.iter_mut().zip(parts) {
                    S::as_mut_simd_f64s(sums).0[part] = found;
                }
            }
            for (l, to) in out.iter_mut().enumerate() {
                *to = std::array::from_fn(|p| sums[p][l]);
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Layer {
    weight: Matrix,
    transposed: Matrix,
    bias: Vec<f64>,
    activated: bool,
}

/// A network's parameters, gains multiplied in.
#[derive(Clone, Debug)]
pub(super) struct Network {
    layers: Vec<Layer>,
    activation: Activation,
    rounding: Rounding,
}

/// A forward pass over one box, kept for the way back.
#[derive(Default)]
pub(super) struct Pass {
    layers: Vec<LayerPass>,
    /// The network's outputs.
    pub outputs: Vec<Form>,
}

struct LayerPass {
    /// Magnitudes of the layer's inputs.
    inputs: Vec<f64>,
    /// Magnitudes of the sums before the activation.
    sums: Vec<f64>,
    /// Rounding of these sums.
    rounded: Vec<f64>,
    /// Activations and the ranges of their arguments; empty without one.
    lines: Vec<Line>,
    ranges: Vec<Interval>,
}

/// Side from which a linear function bounds a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The quantity is nowhere less.
    Below,
    /// The quantity is nowhere more.
    Above,
}

/// A linear function `constant + Σ factors_i q_i + Σ_m symbols_m s_m ± error`.
#[derive(Clone, Debug, Default)]
pub(super) struct Linear {
    pub factors: Vec<f64>,
    pub symbols: [f64; SYMBOLS],
    pub constant: f64,
    pub error: f64,
    /// Sum of the magnitudes that went into the constant, and their number: what its rounding is measured by.
    gross: f64,
    terms: usize,
}

impl Linear {
    /// Quantity `i` of `n`.
    pub fn pick(i: usize, n: usize) -> Self {
        let mut linear = Self { factors: vec![0.0; n], ..Self::default() };
        linear.factors[i] = 1.0;
        linear
    }

    /// Adds to the constant.
    pub fn add_constant(&mut self, term: f64) {
        self.constant += term;
        self.gross += term.abs();
        self.terms += 1;
    }

    /// The error with the constant's rounding.
    pub fn whole_error(&self) -> f64 {
        (self.error + self.gross * self.terms as f64 * f64::EPSILON) * (1.0 + 1e-9)
    }
}

/// Forms that are not 0, with their magnitudes last.
fn nonzero(forms: &[Form]) -> Vec<(usize, [f64; SYMBOLS + 3])> {
    let row = |(i, form): (usize, &Form)| {
        let (s, magnitude) = (form.slopes, form.magnitude());
        let row = [form.mid, s[0], s[1], s[2], s[3], s[4], s[5], s[6], form.radius, magnitude];
        (magnitude != 0.0).then_some((i, row))
    };
    forms.iter().enumerate().filter_map(row).collect()
}

impl Network {
    /// The network of `slots` in `net`.
    pub fn new(net: &[f32], slots: &[LayerSlot], activation: Activation, rounding: Rounding) -> Self {
        let layer = |slot: &LayerSlot| {
            let gain = f64::from(slot.gain);
            let at = |row: usize, column: usize| gain * f64::from(net[slot.weight + row * slot.outputs + column]);
            Layer {
                weight: Matrix::new(slot.inputs, slot.outputs, at),
                transposed: Matrix::new(slot.outputs, slot.inputs, |row, column| at(column, row)),
                bias: net[slot.bias..][..slot.outputs].iter().map(|b| gain * f64::from(*b)).collect(),
                activated: slot.activated,
            }
        };
        Self { layers: slots.iter().map(layer).collect(), activation, rounding }
    }

    /// True without layers.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Forms of the outputs from those of the inputs.
    pub fn forward(&self, inputs: &[Form]) -> Pass {
        let mut forms = inputs.to_vec();
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let operations = layer.weight.rows + 4;
            let gamma = self.rounding.gamma(operations);
            let inputs = forms.iter().map(Form::magnitude).collect();
            let products = layer.weight.product::<{ SYMBOLS + 3 }, { SYMBOLS + 1 }>(&nonzero(&forms));
            let (mut sums, mut rounded) = (Vec::new(), Vec::new());
            forms.clear();
            for ([mid, slopes @ .., radius, magnitude], bias) in products.into_iter().zip(&layer.bias) {
                let magnitude = magnitude + bias.abs();
                let overflows = self.rounding.overflows(magnitude);
                let error =
                    if overflows { f64::INFINITY } else { gamma * magnitude + self.rounding.underflow(operations) };
                forms.push(Form { mid: mid + bias, slopes, radius: radius + error });
                sums.push(magnitude + error);
                rounded.push(error);
            }
            let (mut lines, mut ranges) = (Vec::new(), Vec::new());
            if layer.activated {
                ranges = forms.iter().map(Form::interval).collect();
                lines = ranges.iter().map(|range| self.line(*range)).collect();
                forms.iter_mut().zip(&lines).for_each(|(f, line)| *f = f.scaled(line.slope, line.offset, line.error));
            }
            layers.push(LayerPass { inputs, sums, rounded, lines, ranges });
        }
        Pass { layers, outputs: forms }
    }

    /// Linearisation of the activation of one argument, the program's own error included.
    fn line(&self, range: Interval) -> Line {
        let mut line = activation(self.activation, range);
        line.error += self.activation_error(range);
        line
    }

    /// Error of the program's activation over a range of arguments.
    fn activation_error(&self, range: Interval) -> f64 {
        let magnitude = range.low.abs().max(range.high.abs());
        match self.activation {
            Activation::Relu => 0.0,
            Activation::Silu => self.rounding.silu_error(magnitude),
            Activation::Sine => self.rounding.sine_error(magnitude),
        }
    }

    /// Derivatives with respect to the inputs from those with respect to the outputs.
    pub fn differentiate(&self, pass: &Pass, mut outputs: Vec<Slope>) -> Vec<Slope> {
        for (layer, pass) in self.layers.iter().zip(&pass.layers).rev() {
            for (to, range) in outputs.iter_mut().zip(&pass.ranges) {
                *to = to.product(derivative(self.activation, *range));
            }
            let gamma = Rounding::Double.gamma(layer.transposed.rows + 2);
            let mut rows = Vec::with_capacity(outputs.len());
            for (i, slope) in outputs.iter().enumerate().filter(|(_, slope)| slope.magnitude() != 0.0) {
                rows.push((i, [slope.mid, slope.radius + gamma * slope.magnitude()]));
            }
            let products = layer.transposed.product::<2, 1>(&rows);
            outputs.clear();
            outputs.extend(products.iter().map(|[mid, radius]| Slope { mid: *mid, radius: *radius }));
        }
        outputs
    }

    /// The linear function of the outputs as one of the inputs, which bounds it from `side`.
    pub fn pull_back(&self, pass: &Pass, mut linear: Linear, side: Side) -> Linear {
        for (layer, pass) in self.layers.iter().zip(&pass.layers).rev() {
            if layer.activated {
                for (i, (factor, sum)) in linear.factors.iter_mut().zip(&pass.sums).enumerate() {
                    if *factor != 0.0 {
                        let line = match self.activation {
                            Activation::Relu => relu_beside(pass.ranges[i], (side == Side::Below) == (*factor > 0.0)),
                            _ => pass.lines[i],
                        };
                        linear.constant += *factor * line.offset;
                        linear.gross += (*factor * line.offset).abs();
                        linear.error += factor.abs() * (line.error + 2.0 * f64::EPSILON * line.slope.abs() * sum);
                        *factor *= line.slope;
                    }
                }
                linear.terms += pass.lines.len();
            }
            let mut rows = Vec::with_capacity(linear.factors.len());
            for (i, factor) in linear.factors.iter().enumerate().filter(|(_, factor)| **factor != 0.0) {
                let term = factor * layer.bias[i];
                linear.constant += term;
                linear.gross += term.abs();
                linear.error += factor.abs() * pass.rounded[i];
                rows.push((i, [*factor, factor.abs()]));
            }
            linear.terms += rows.len();
            let products = layer.transposed.product::<2, 1>(&rows);
            // The factors are rounded, which moves the function by no more than this.
            let gamma = Rounding::Double.gamma(layer.transposed.rows + 2);
            let moved = products.iter().zip(&pass.inputs).map(|([_, gross], input)| gross * input);
            linear.error += gamma * moved.filter(|v| *v != 0.0).sum::<f64>();
            linear.factors.clear();
            linear.factors.extend(products.iter().map(|[factor, _]| factor));
        }
        linear
    }
}
