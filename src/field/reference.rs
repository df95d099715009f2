//! The field in plain tensor operations: what every fused kernel is compared with, and what runs where there is none.
//!
//! It works on any Burn backend and float type. Derivatives along the coordinates are carried forward as tangents
//! written out in tensors, so that Burn's single backward pass differentiates ∇f and ∇S once more with respect to the
//! parameters.

use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

use crate::kernel::spec::{Activation, FieldSpec, Interpolation, LayerSlot, LevelSpec, Modulation};

/// Multipliers of the spatial hash, one an axis (Müller et al. 2022, §3).
pub const HASH_PRIMES: [u32; 3] = [1, 2_654_435_761, 805_459_861];

/// A matrix `[N, columns]` and its derivatives along each coordinate axis (none where only values are wanted).
#[derive(Clone)]
struct Dual<B: Backend> {
    value: Tensor<B, 2>,
    tangents: Vec<Tensor<B, 2>>,
}

impl<B: Backend> Dual<B> {
    /// Columns of `self`, then of `other`.
    fn beside(self, other: Self) -> Self {
        let pairs = self.tangents.into_iter().zip(other.tangents);
        Dual {
            value: Tensor::cat(vec![self.value, other.value], 1),
            tangents: pairs.map(|(a, b)| Tensor::cat(vec![a, b], 1)).collect(),
        }
    }

    fn times(self, other: Self) -> Self {
        let pairs = self.tangents.into_iter().zip(other.tangents);
        let tangents = pairs.map(|(da, db)| da * other.value.clone() + self.value.clone() * db).collect();
        Dual { value: self.value * other.value, tangents }
    }

    /// `sin`, with `cos` applied to the tangents.
    fn sin(self) -> Self {
        let slope = (!self.tangents.is_empty()).then(|| self.value.clone().cos());
        Dual { value: self.value.sin(), tangents: scale(self.tangents, slope) }
    }

    fn activate(self, activation: Activation) -> Self {
        match activation {
            Activation::Sine => self.sin(),
            Activation::Relu => {
                let flat = self.value.clone().lower_equal_elem(0.0);
                let tangents = self.tangents.into_iter().map(|t| t.mask_fill(flat.clone(), 0.0)).collect();
                Dual { value: relu(self.value), tangents }
            }
            Activation::Silu => {
                let (a, s) = (self.value.clone(), sigmoid(self.value));
                let value = a * s.clone();
                // (a σ)' = σ + aσ(1 − σ)
                let slope = (!self.tangents.is_empty()).then(|| s.clone() + value.clone() * (s.neg() + 1.0));
                Dual { value, tangents: scale(self.tangents, slope) }
            }
        }
    }

    /// Tangents interleaved as `[column][axis]`.
    fn gradient(&self) -> Tensor<B, 2> {
        let [n, columns] = self.value.dims();
        Tensor::stack::<3>(self.tangents.clone(), 2).reshape([n, columns * self.tangents.len()])
    }
}

/// Multiplies every tangent by the slope (present whenever there are tangents).
fn scale<B: Backend>(tangents: Vec<Tensor<B, 2>>, slope: Option<Tensor<B, 2>>) -> Vec<Tensor<B, 2>> {
    match slope {
        Some(slope) => tangents.into_iter().map(|t| t * slope.clone()).collect(),
        None => Vec::new(),
    }
}

/// One call: the spec, the parameters and whether tangents are carried.
struct Pass<'a, B: Backend> {
    spec: &'a FieldSpec,
    grid: Tensor<B, 1>,
    net: Tensor<B, 1>,
    tangents: bool,
}

impl<B: Backend> Pass<'_, B> {
    fn linear(&self, slot: &LayerSlot, x: Dual<B>) -> Dual<B> {
        let (inputs, outputs) = (slot.inputs, slot.outputs);
        let weight = self.net.clone().narrow(0, slot.weight, inputs * outputs).reshape([inputs, outputs]);
        let bias = self.net.clone().narrow(0, slot.bias, outputs).reshape([1, outputs]);
        Dual {
            value: x.value.matmul(weight.clone()) + bias,
            tangents: x.tangents.into_iter().map(|t| t.matmul(weight.clone())).collect(),
        }
    }

    fn mlp(&self, layers: &[LayerSlot], activation: Activation, mut x: Dual<B>) -> Dual<B> {
        for slot in layers {
            x = self.linear(slot, x);
            if slot.activated {
                x = x.activate(activation);
            }
        }
        x
    }

    /// `x` itself, with the unit vectors as tangents.
    fn coordinates(&self, x: &Tensor<B, 2>) -> Dual<B> {
        let axes = if self.tangents { self.spec.dim } else { 0 };
        let tangents = (0..axes)
            .map(|j| {
                let zero = x.zeros_like();
                let one = zero.clone().narrow(1, j, 1) + 1.0;
                zero.slice_assign([0..x.dims()[0], j..j + 1], one)
            })
            .collect();
        Dual { value: x.clone(), tangents }
    }

    /// `z`: the levels' interpolated features side by side.
    fn latent(&self, x: &Tensor<B, 2>) -> Dual<B> {
        let offsets = self.spec.latent.offsets(self.spec.dim);
        let levels: Vec<_> =
            self.spec.latent.levels.iter().enumerate().map(|(l, level)| self.level(level, offsets[l], x)).collect();
        levels.into_iter().reduce(Dual::beside).unwrap_or_else(|| {
            // A field without levels has an empty z; the config forbids it, the arithmetic does not mind.
            let empty = x.clone().slice([0..x.dims()[0], 0..0]);
            Dual { value: empty.clone(), tangents: vec![empty; if self.tangents { self.spec.dim } else { 0 }] }
        })
    }

    fn level(&self, level: &LevelSpec, first: usize, x: &Tensor<B, 2>) -> Dual<B> {
        let (n, dim, features) = (x.dims()[0], self.spec.dim, self.spec.latent.features);
        let interpolation = self.spec.latent.interpolation;
        let axes: Vec<_> =
            (0..dim).map(|j| Axis::new(x.clone().narrow(1, j, 1), j, level, interpolation, self.tangents)).collect();
        let corners = 1 << dim;
        let index = (0..corners).map(|c| corner_index(&axes, level.table.is_some(), c)).collect();
        let index = Tensor::cat(index, 0);
        let entries = level.entries(dim);
        let table = self.grid.clone().narrow(0, first * features, entries * features);
        let values = table.reshape([entries, features]).select(0, index).reshape([corners, n, features]);
        let blend = |weights: Vec<Tensor<B, 2>>| -> Tensor<B, 2> {
            let weights = Tensor::cat(weights, 0).reshape([corners, n, 1]);
            (values.clone() * weights).sum_dim(0).reshape([n, features])
        };
        let tangents = if self.tangents { dim } else { 0 };
        Dual {
            value: blend((0..corners).map(|c| corner_weight(&axes, c, None)).collect()),
            tangents: (0..tangents)
                .map(|j| blend((0..corners).map(|c| corner_weight(&axes, c, Some(j))).collect()))
                .collect(),
        }
    }

    /// Everything up to the decoder's output: f and S.
    fn run(&self, x: &Tensor<B, 2>) -> (Dual<B>, Dual<B>) {
        let spec = self.spec;
        let layout = spec.net_layout();
        let z = self.latent(x);
        let coordinates = self.coordinates(x);
        let input = if spec.spectrum_input { z.clone().beside(coordinates.clone()) } else { z.clone() };
        let spectrum = self.mlp(&layout.spectrum, spec.spectrum.activation, input);
        let input = if spec.modulation == Modulation::None {
            z
        } else {
            let wave = self.linear(&layout.basis, coordinates).sin();
            let modulated = match spec.channels() {
                None => spectrum.clone().times(wave),
                Some(channels) => self.channel_sums(&spectrum, wave, channels),
            };
            if spec.skip { modulated.beside(z) } else { modulated }
        };
        (self.mlp(&layout.decoder, spec.decoder.activation, input), spectrum)
    }

    /// `m_c = Σ_k S_kc sin θ_k`.
    fn channel_sums(&self, spectrum: &Dual<B>, wave: Dual<B>, channels: usize) -> Dual<B> {
        let (n, basis) = (wave.value.dims()[0], self.spec.basis);
        let cube = |s: &Tensor<B, 2>| s.clone().reshape([n, basis, channels]);
        let sum = |s: Tensor<B, 3>, w: &Tensor<B, 2>| (s * w.clone().reshape([n, basis, 1])).sum_dim(1);
        let value = sum(cube(&spectrum.value), &wave.value).reshape([n, channels]);
        let pairs = spectrum.tangents.iter().zip(&wave.tangents);
        let tangents = pairs
            .map(|(ds, dw)| sum(cube(ds), &wave.value) + sum(cube(&spectrum.value), dw))
            .map(|t| t.reshape([n, channels]))
            .collect();
        Dual { value, tangents }
    }
}

/// One axis of one level at every point: the lower and the upper vertex.
struct Axis<B: Backend> {
    /// Each vertex's share `[N]` of the entry's index: summed over axes where dense, xored where hashed.
    shares: [Tensor<B, 1, Int>; 2],
    /// Weights `[N,1]`.
    weights: [Tensor<B, 2>; 2],
    /// Derivatives of the weights along the coordinate; present where tangents are wanted.
    slopes: Option<[Tensor<B, 2>; 2]>,
}

impl<B: Backend> Axis<B> {
    /// Axis `j` of a level, from the coordinates `[N,1]` along it.
    fn new(x: Tensor<B, 2>, j: usize, level: &LevelSpec, interpolation: Interpolation, tangents: bool) -> Self {
        let (n, cells) = (x.dims()[0], f64::from(level.cells));
        let outside = x.clone().lower_elem(0.0).bool_or(x.clone().greater_elem(1.0));
        let g = x.clamp(0.0, 1.0) * cells;
        let cell = g.clone().detach().floor().clamp_max(cells - 1.0);
        let t = g - cell.clone();
        let smooth = interpolation == Interpolation::Smoothstep;
        let slopes = tangents.then(|| {
            let rate = if smooth { t.clone() * (t.clone().neg() + 1.0) * 6.0 } else { t.zeros_like() + 1.0 };
            let rate = (rate * cells).mask_fill(outside, 0.0);
            [rate.clone().neg(), rate]
        });
        let upper = if smooth { t.clone() * t.clone() * (t * -2.0 + 3.0) } else { t };
        let table = Tensor::from_ints(TensorData::from(shares(level, j).as_slice()), &upper.device());
        let cell = cell.reshape([n]).int();
        let shares = [table.clone().select(0, cell.clone()), table.select(0, cell + 1)];
        Axis { shares, weights: [upper.clone().neg() + 1.0, upper], slopes }
    }
}

/// What a vertex's position `0..=cells` along axis `j` adds to its entry's index. The hash's products are reduced here,
/// in exact integers, because backends differ on integer overflow.
fn shares(level: &LevelSpec, j: usize) -> Vec<i32> {
    let positions = 0..=u64::from(level.cells);
    let share = |i: u64| match level.table {
        Some(table) => i.wrapping_mul(u64::from(HASH_PRIMES[j])) % u64::from(table),
        None => i * (u64::from(level.cells) + 1).pow(j as u32),
    };
    positions.map(|i| share(i) as i32).collect()
}

/// Entry indices `[N]` of the corner whose bit `j` chooses the upper vertex along axis `j`.
fn corner_index<B: Backend>(axes: &[Axis<B>], hashed: bool, corner: usize) -> Tensor<B, 1, Int> {
    let mut index = axes[0].shares[corner & 1].clone();
    for (j, axis) in axes.iter().enumerate().skip(1) {
        let share = axis.shares[corner >> j & 1].clone();
        index = if hashed { index.bitwise_xor(share) } else { index + share };
    }
    index
}

/// Weights `[N,1]` of a corner, or their derivative along axis `along`.
fn corner_weight<B: Backend>(axes: &[Axis<B>], corner: usize, along: Option<usize>) -> Tensor<B, 2> {
    let factor = |j: usize, axis: &Axis<B>| {
        let bit = corner >> j & 1;
        match &axis.slopes {
            Some(slopes) if along == Some(j) => slopes[bit].clone(),
            _ => axis.weights[bit].clone(),
        }
    };
    let mut weight = factor(0, &axes[0]);
    for (j, axis) in axes.iter().enumerate().skip(1) {
        weight = weight * factor(j, axis);
    }
    weight
}

/// Values `[N, outputs]` at coordinates `x` `[N, dim]` in `[0,1]` (clamped outside for the grid alone); differentiable
/// in `grid`, `net` and `x`.
pub fn forward<B: Backend>(spec: &FieldSpec, grid: Tensor<B, 1>, net: Tensor<B, 1>, x: Tensor<B, 2>) -> Tensor<B, 2> {
    Pass { spec, grid, net, tangents: false }.run(&x).0.value
}

/// `[value | ∇f | S | ∇S | F(x,S)]` at `x` `[N, dim]`, the columns of [`FieldSpec::full_columns`]; differentiable in
/// `grid` and `net` (not meant to be in `x`).
pub fn forward_full<B: Backend>(
    spec: &FieldSpec,
    grid: Tensor<B, 1>,
    net: Tensor<B, 1>,
    x: Tensor<B, 2>,
) -> Tensor<B, 2> {
    let pass = Pass { spec, grid, net, tangents: true };
    let (f, s) = pass.run(&x);
    let input = Dual { value: Tensor::cat(vec![x, s.value.clone()], 1), tangents: Vec::new() };
    let transport = pass.mlp(&spec.net_layout().transport, spec.transport.activation, input);
    let (df, ds) = (f.gradient(), s.gradient());
    Tensor::cat(vec![f.value, df, s.value, ds, transport.value], 1)
}

/// Colours `[N, 3]` of the head from the decoder's values `[N, outputs]` and encoded directions `[N, encoding]`;
/// differentiable in `net` and `values`. The spec must have a view.
pub fn head<B: Backend>(
    spec: &FieldSpec,
    net: Tensor<B, 1>,
    values: Tensor<B, 2>,
    encoded: Tensor<B, 2>,
) -> Tensor<B, 2> {
    // The head reads no grid.
    let pass = Pass { spec, grid: net.clone(), net, tangents: false };
    let activation = spec.view.map_or(Activation::Relu, |view| view.head.activation);
    let input = Dual { value: Tensor::cat(vec![values, encoded], 1), tangents: Vec::new() };
    sigmoid(pass.mlp(&spec.net_layout().head, activation, input).value)
}
