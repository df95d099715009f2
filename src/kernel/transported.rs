//! The spectrum carried along lines by the transport network, as a regulariser with its adjoint.

use std::ops::Range;

use nstr_spec::{Activation, FieldSpec, LayerSlot};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::arch;
use crate::fused::{FusedField, take};
use crate::mlp::TILE;
use crate::tile::{GradientBuffers, Outputs, PackedWeights, Tile, TileAdjoint};

/// Way in which F carries S along a line from `a` to `a + δ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportSteps {
    /// One step with the slope at the start: `S + F(a, S)·δ`.
    Euler,
    /// So many steps of the midpoint rule, with S in between as F has carried it there.
    Midpoint(usize),
}

/// Pairs of places between which S is carried, for [`FusedField::transported_backward`].
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a> {
    /// Start and end, `[line][2][dim]`.
    pub ends: &'a [f32],
    /// Factor of each line's residual, usually one over its length.
    pub scale: &'a [f32],
    /// Way in which S is carried.
    pub steps: TransportSteps,
}

impl FusedField {
    /// Mean over lines of `‖scale (S(end) − S carried there from the start)‖²`, its gradient added to `d_grid` and `d_net`.
    ///
    /// # Panics
    /// If slices have other lengths than the field and the lines ask for, or the field has no transport network.
    pub fn transported_backward(
        &self,
        grid: &[f32],
        net: &[f32],
        lines: Lines<'_>,
        d_grid: &mut [f32],
        d_net: &mut [f32],
    ) -> f64 {
        let (dim, count) = (self.plan.dim, lines.scale.len());
        assert!(self.spec().transports(), "the field has a transport network");
        assert_eq!(lines.ends.len(), count * 2 * dim, "a start and an end for each scale");
        self.check(grid, lines.ends, 2 * count * self.width(Outputs::Full), Outputs::Full);
        let weights = &self.pack(net);
        let share = (2 * count).div_ceil(TILE).div_ceil(rayon::current_num_threads()).max(1) * (TILE / 2);
        let ranges: Vec<Range<usize>> = (0..count).step_by(share).map(|at| at..(at + share).min(count)).collect();
        let done: Vec<_> = ranges
            .into_par_iter()
            .map(|range| {
                let mut sums = take(&self.sums).unwrap_or_else(|| self.plan.gradient_buffers());
                let mut line = CarriedLine::new(self.spec(), lines.steps);
                let mut loss = 0.0;
                self.with_tile(Outputs::Full, false, |tile| {
                    let (sums, line) = (&mut sums, &mut line);
                    loss =
                        arch().dispatch(LinesTask { field: self, weights, grid, net, lines, tile, range, sums, line });
                });
                ((loss, line.d_net), sums)
            })
            .collect();
        let found = self.collect(done, d_grid, d_net);
        let transport = self.spec().net_layout().transport_range();
        for (_, part) in &found {
            d_net[transport.clone()].iter_mut().zip(part).for_each(|(d, p)| *d += p);
        }
        found.iter().map(|(loss, _)| loss).sum()
    }
}

struct LinesTask<'a> {
    field: &'a FusedField,
    weights: &'a PackedWeights,
    grid: &'a [f32],
    net: &'a [f32],
    lines: Lines<'a>,
    tile: &'a mut Tile,
    range: Range<usize>,
    sums: &'a mut GradientBuffers,
    line: &'a mut CarriedLine,
}

impl WithSimd for LinesTask<'_> {
    type Output = f64;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let plan = &self.field.plan;
        let (dim, width) = (plan.dim, plan.width(Outputs::Full));
        let spectrum = plan.columns.spectrum..plan.columns.spectrum_gradient;
        let mean = 1.0 / self.lines.scale.len().max(1) as f32;
        let (mut rows, mut d_rows) = (vec![0.0; TILE * width], vec![0.0; TILE * width]);
        let (mut s, mut total) = (vec![0.0; spectrum.len()], 0.0);
        let mut start = self.range.start;
        while start < self.range.end {
            let end = (start + TILE / 2).min(self.range.end);
            let x = &self.lines.ends[2 * start * dim..2 * end * dim];
            plan.forward(simd, self.weights, self.grid, x, self.tile);
            let (rows, d_rows) = (&mut rows[..2 * (end - start) * width], &mut d_rows[..2 * (end - start) * width]);
            plan.read(&self.tile.values, rows);
            d_rows.fill(0.0);
            for (i, (pair, d_pair)) in rows.chunks_exact(2 * width).zip(d_rows.chunks_exact_mut(2 * width)).enumerate()
            {
                let scale = self.lines.scale[start + i];
                let (from, to) = x[2 * i * dim..2 * (i + 1) * dim].split_at(dim);
                let (d_start, d_end) = d_pair.split_at_mut(width);
                s.copy_from_slice(&pair[spectrum.clone()]);
                self.line.carry(self.net, [from, to], &mut s);
                for ((s, there), d) in
                    s.iter_mut().zip(&pair[width..][spectrum.clone()]).zip(&mut d_end[spectrum.clone()])
                {
                    let residual = (there - *s) * scale;
                    total += f64::from(residual * residual * mean);
                    *d = 2.0 * mean * scale * residual;
                    *s = -*d;
                }
                self.line.adjoint(self.net, &mut s);
                d_start[spectrum.clone()].copy_from_slice(&s);
            }
            let adjoint = TileAdjoint { d_out: d_rows, sums: self.sums, keep_latent: false, d_x: None };
            plan.backward(simd, self.weights, self.grid, self.tile, adjoint);
            start = end;
        }
        total
    }
}

/// The transport network along one line: what its evaluations leave for the adjoint, and the gradient of all lines so far.
struct CarriedLine {
    layers: Vec<LayerSlot>,
    activation: Activation,
    /// First parameter of the transport network in `net`.
    first: usize,
    steps: TransportSteps,
    delta: Vec<f32>,
    /// In the order of the line.
    evaluations: Vec<Evaluation>,
    /// Adjoint of a layer's outputs and of its inputs.
    adjoints: [Vec<f32>; 2],
    /// Gradient of the transport network's parameters.
    d_net: Vec<f32>,
}

/// One evaluation of the network: inputs of each layer and the last one's outputs; sums of each layer before its activation.
#[derive(Clone)]
struct Evaluation {
    values: Vec<Vec<f32>>,
    sums: Vec<Vec<f32>>,
}

impl CarriedLine {
    fn new(spec: &FieldSpec, steps: TransportSteps) -> Self {
        let layout = spec.net_layout();
        let range = layout.transport_range();
        let outputs = || layout.transport.iter().map(|l| vec![0.0; l.outputs]);
        let inputs = layout.transport.first().map_or(0, |l| l.inputs);
        let evaluation = Evaluation {
            values: std::iter::once(vec![0.0; inputs]).chain(outputs()).collect(),
            sums: outputs().collect(),
        };
        let count = match steps {
            TransportSteps::Euler => 1,
            TransportSteps::Midpoint(steps) => 2 * steps,
        };
        Self {
            layers: layout.transport,
            activation: spec.transport.activation,
            first: range.start,
            steps,
            delta: vec![0.0; spec.dim],
            evaluations: vec![evaluation; count],
            adjoints: [Vec::new(), Vec::new()],
            d_net: vec![0.0; range.len()],
        }
    }

    /// Carries `s` from one place to the other.
    #[inline(always)]
    fn carry(&mut self, net: &[f32], [from, to]: [&[f32]; 2], s: &mut [f32]) {
        let dim = self.delta.len();
        self.delta.iter_mut().zip(from.iter().zip(to)).for_each(|(d, (a, b))| *d = b - a);
        // Sets the coordinates of an evaluation's input to those at `t`.
        let place = |evaluation: &mut Evaluation, delta: &[f32], t: f32| {
            let input = &mut evaluation.values[0];
            input.iter_mut().zip(from.iter().zip(delta)).for_each(|(p, (a, d))| *p = a + t * d);
        };
        match self.steps {
            TransportSteps::Euler => {
                place(&mut self.evaluations[0], &self.delta, 0.0);
                self.evaluations[0].values[0][dim..].copy_from_slice(s);
                self.evaluate(net, 0);
                self.move_along(0, 1.0, s);
            }
            TransportSteps::Midpoint(steps) => {
                let h = 1.0 / steps as f32;
                for step in 0..steps {
                    let (first, second, t) = (2 * step, 2 * step + 1, step as f32 * h);
                    place(&mut self.evaluations[first], &self.delta, t);
                    self.evaluations[first].values[0][dim..].copy_from_slice(s);
                    self.evaluate(net, first);
                    let mut middle = std::mem::take(&mut self.evaluations[second].values[0]);
                    middle[dim..].copy_from_slice(s);
                    self.move_along(first, 0.5 * h, &mut middle[dim..]);
                    self.evaluations[second].values[0] = middle;
                    place(&mut self.evaluations[second], &self.delta, t + 0.5 * h);
                    self.evaluate(net, second);
                    self.move_along(second, h, s);
                }
            }
        }
    }

    /// Turns the adjoint of the carried S into that of S at the start, and adds the network's gradient to `d_net`.
    #[inline(always)]
    fn adjoint(&mut self, net: &[f32], d_s: &mut [f32]) {
        match self.steps {
            TransportSteps::Euler => {
                self.evaluation_adjoint(net, 0, 1.0, d_s);
                let d_input = &self.adjoints[0][self.delta.len()..];
                d_s.iter_mut().zip(d_input).for_each(|(d, a)| *d += a);
            }
            TransportSteps::Midpoint(steps) => {
                let h = 1.0 / steps as f32;
                let mut d_middle = vec![0.0; d_s.len()];
                for step in (0..steps).rev() {
                    self.evaluation_adjoint(net, 2 * step + 1, h, d_s);
                    d_middle.copy_from_slice(&self.adjoints[0][self.delta.len()..]);
                    self.evaluation_adjoint(net, 2 * step, 0.5 * h, &d_middle);
                    let d_input = &self.adjoints[0][self.delta.len()..];
                    d_s.iter_mut().zip(d_middle.iter().zip(d_input)).for_each(|(d, (m, a))| *d += m + a);
                }
            }
        }
    }

    /// Adds `h F·δ` of an evaluation to `s`.
    #[inline(always)]
    fn move_along(&self, evaluation: usize, h: f32, s: &mut [f32]) {
        let Some(slopes) = self.evaluations[evaluation].values.last() else { return };
        for (s, slope) in s.iter_mut().zip(slopes.chunks_exact(self.delta.len())) {
            *s += h * slope.iter().zip(&self.delta).map(|(f, d)| f * d).sum::<f32>();
        }
    }

    #[inline(always)]
    fn evaluate(&mut self, net: &[f32], evaluation: usize) {
        let Evaluation { values, sums } = &mut self.evaluations[evaluation];
        for (l, layer) in self.layers.iter().enumerate() {
            let (before, after) = values.split_at_mut(l + 1);
            let (input, output, sums) = (&before[l], &mut after[0], &mut sums[l]);
            sums.copy_from_slice(&net[layer.bias..][..layer.outputs]);
            let weights = &net[layer.weight..][..layer.inputs * layer.outputs];
            for (x, row) in input.iter().zip(weights.chunks_exact(layer.outputs)) {
                sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += x * w);
            }
            let gain = layer.gain as f32;
            sums.iter_mut().for_each(|sum| *sum *= gain);
            match (layer.activated, self.activation) {
                (false, _) => output.copy_from_slice(sums),
                (true, Activation::Relu) => output.iter_mut().zip(sums).for_each(|(y, s)| *y = s.max(0.0)),
                (true, Activation::Silu) => output.iter_mut().zip(sums).for_each(|(y, s)| *y = *s * sigmoid(*s)),
                (true, Activation::Sine) => output.iter_mut().zip(sums).for_each(|(y, s)| *y = s.sin()),
            }
        }
    }

    /// Adjoint of an evaluation whose slopes moved S by `h F·δ`, of the moved S's adjoint: that of its input in `adjoints[0]`.
    #[inline(always)]
    fn evaluation_adjoint(&mut self, net: &[f32], evaluation: usize, h: f32, d_s: &[f32]) {
        let Evaluation { values, sums } = &self.evaluations[evaluation];
        let [d_output, d_input] = &mut self.adjoints;
        d_output.clear();
        d_output.extend(d_s.iter().flat_map(|d| self.delta.iter().map(move |delta| h * d * delta)));
        for (l, layer) in self.layers.iter().enumerate().rev() {
            if layer.activated {
                let slope: fn(f32) -> f32 = match self.activation {
                    Activation::Relu => |s| if s > 0.0 { 1.0 } else { 0.0 },
                    Activation::Silu => |s| sigmoid(s) * (1.0 + s * (1.0 - sigmoid(s))),
                    Activation::Sine => f32::cos,
                };
                d_output.iter_mut().zip(&sums[l]).for_each(|(d, s)| *d *= slope(*s));
            }
            let gain = layer.gain as f32;
            d_output.iter_mut().for_each(|d| *d *= gain);
            let (weights, outputs) = (&net[layer.weight..][..layer.inputs * layer.outputs], layer.outputs);
            let [weight_at, bias_at] = [layer.weight, layer.bias].map(|at| at - self.first);
            self.d_net[bias_at..][..outputs].iter_mut().zip(&*d_output).for_each(|(b, d)| *b += d);
            d_input.clear();
            let d_weights = self.d_net[weight_at..][..layer.inputs * outputs].chunks_exact_mut(outputs);
            for ((x, row), d_row) in values[l].iter().zip(weights.chunks_exact(outputs)).zip(d_weights) {
                d_row.iter_mut().zip(&*d_output).for_each(|(w, d)| *w += x * d);
                d_input.push(dot(row, d_output));
            }
            std::mem::swap(d_output, d_input);
        }
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Scalar product, in eight sums that vectors can hold.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a8.zip(b8) {
        (0..8).for_each(|i| sums[i] += a[i] * b[i]);
    }
    sums.iter().sum::<f32>() + rest
}
