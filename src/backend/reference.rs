//! The field in plain tensor operations: evaluates and trains it on backends without kernels, and gives the gradients that
//! the kernels are compared with.
//!
//! It works on any Burn backend and float type. Derivatives along the coordinates are carried forward as tangents
//! written out in tensors, so that Burn's single backward pass differentiates ∇f and ∇S once more with respect to the
//! parameters.

use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use nstr_spec::{Activation, FieldSpec, HASH_PRIMES, Interpolation, LayerSlot, LevelSpec};

/// A matrix `[N, columns]` and its derivatives along each coordinate axis (none where only values are wanted).
#[derive(Clone)]
struct Dual<B: Backend> {
    value: Tensor<B, 2>,
    tangents: Vec<Tensor<B, 2>>,
}

impl<B: Backend> Dual<B> {
    /// Columns of `self`, then of `other`.
    fn concat(self, other: Self) -> Self {
        let pairs = self.tangents.into_iter().zip(other.tangents);
        Dual {
            value: Tensor::cat(vec![self.value, other.value], 1),
            tangents: pairs.map(|(a, b)| Tensor::cat(vec![a, b], 1)).collect(),
        }
    }

    fn mul(self, other: Self) -> Self {
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

/// `x·weight`, written out for so few columns as coordinates have. There the product has to be exact: NVIDIA's matrix units,
/// which Burn's CUDA backend uses, round f32 operands to 11 bits (TF32), and a phase of hundreds of radians with them.
fn product<B: Backend>(x: Tensor<B, 2>, weight: Tensor<B, 2>) -> Tensor<B, 2> {
    let columns = x.dims()[1];
    if columns > 3 {
        return x.matmul(weight);
    }
    let term = |j| x.clone().narrow(1, j, 1) * weight.clone().narrow(0, j, 1);
    (1..columns).map(term).fold(term(0), |sum, next| sum + next)
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
        let part = |from: usize, len: usize| {
            let values = self.net.clone().narrow(0, from, len);
            if slot.gain == 1 { values } else { values * f64::from(slot.gain) }
        };
        let weight = part(slot.weight, inputs * outputs).reshape([inputs, outputs]);
        let bias = part(slot.bias, outputs).reshape([1, outputs]);
        Dual {
            value: product(x.value, weight.clone()) + bias,
            tangents: x.tangents.into_iter().map(|t| product(t, weight.clone())).collect(),
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

    fn transport(&self, x: Tensor<B, 2>, s: Tensor<B, 2>) -> Tensor<B, 2> {
        let input = Dual { value: Tensor::cat(vec![x, s], 1), tangents: Vec::new() };
        self.mlp(&self.spec.net_layout().transport, self.spec.transport.activation, input).value
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

    /// `z`: the levels' interpolated features, or their products, side by side; `None` where there are no levels.
    fn latent(&self, x: &Tensor<B, 2>) -> Option<Dual<B>> {
        let latent = &self.spec.latent;
        let offsets = latent.offsets(self.spec.dim);
        let levels: Vec<_> =
            latent.levels.iter().zip(offsets).map(|(level, first)| self.level(level, first, x)).collect();
        let groups = levels.chunks(latent.product.max(1)).filter_map(|g| g.iter().cloned().reduce(Dual::mul));
        groups.reduce(Dual::concat)
    }

    fn level(&self, level: &LevelSpec, first: usize, x: &Tensor<B, 2>) -> Dual<B> {
        let (n, dim, features) = (x.dims()[0], self.spec.dim, self.spec.latent.features);
        let interpolation = self.spec.latent.interpolation;
        let place = |(rank, j): (usize, usize)| {
            Axis::new(x.clone().narrow(1, j, 1), (rank, j), level, interpolation, self.tangents)
        };
        let axes: Vec<_> = (0..dim).filter(|j| level.axes.has(*j)).enumerate().map(place).collect();
        let corners = 1 << axes.len();
        let index = (0..corners).map(|c| corner_index(&axes, level.hashmap_size.is_some(), c)).collect();
        let index = Tensor::cat(index, 0);
        let entries = level.entries(dim);
        let table = self.grid.clone().narrow(0, first * features, entries * features);
        let values = table.reshape([entries, features]).select(0, index).reshape([corners, n, features]);
        let blend = |weights: Vec<Tensor<B, 2>>| -> Tensor<B, 2> {
            let weights = Tensor::cat(weights, 0).reshape([corners, n, 1]);
            (values.clone() * weights).sum_dim(0).reshape([n, features])
        };
        let along = |j: usize| match axes.iter().position(|axis| axis.coordinate == j) {
            Some(_) => blend((0..corners).map(|c| corner_weight(&axes, c, Some(j))).collect()),
            None => Tensor::zeros([n, features], (&x.device(), x.dtype())),
        };
        Dual {
            value: blend((0..corners).map(|c| corner_weight(&axes, c, None)).collect()),
            tangents: (0..if self.tangents { dim } else { 0 }).map(along).collect(),
        }
    }

    /// Everything up to the decoder's output: f and S (z where S takes no part; `None` where there is neither).
    fn run(&self, x: &Tensor<B, 2>) -> (Dual<B>, Option<Dual<B>>) {
        let spec = self.spec;
        let layout = spec.net_layout();
        let z = self.latent(x);
        let coordinates = self.coordinates(x);
        let mut inputs = Vec::new();
        let wave = (spec.basis_width() > 0).then(|| self.linear(&layout.basis, coordinates.clone()).sin());
        let mut spectrum = z.clone();
        if spec.modulates() {
            let x = spec.spectrum_input.then(|| coordinates.clone());
            let input = z.clone().into_iter().chain(x).reduce(Dual::concat);
            spectrum = input.map(|input| self.mlp(&layout.spectrum, spec.spectrum.activation, input));
        }
        match (&spectrum, wave) {
            (Some(s), Some(wave)) if spec.modulates() => inputs.push(match spec.channels() {
                None => s.clone().mul(wave),
                Some(channels) => self.channel_sums(s, wave, channels),
            }),
            (_, wave) => inputs.extend(wave),
        }
        inputs.extend(z.filter(|_| spec.skip_latent));
        inputs.extend(spec.input_coords.then_some(coordinates.clone()));
        // The config forbids a decoder without inputs.
        let input = inputs.into_iter().reduce(Dual::concat).unwrap_or(coordinates);
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
    /// The coordinate.
    coordinate: usize,
    /// Each vertex's share `[N]` of the entry's index: summed over axes where dense, xored where hashed.
    shares: [Tensor<B, 1, Int>; 2],
    /// Weights `[N,1]`.
    weights: [Tensor<B, 2>; 2],
    /// Derivatives of the weights along the coordinate; present where tangents are wanted.
    slopes: Option<[Tensor<B, 2>; 2]>,
}

impl<B: Backend> Axis<B> {
    /// Axis of a level, from the coordinates `[N,1]` along it; `rank` is its place among the level's axes.
    fn new(
        x: Tensor<B, 2>,
        (rank, coordinate): (usize, usize),
        level: &LevelSpec,
        interpolation: Interpolation,
        tangents: bool,
    ) -> Self {
        let (n, cells) = (x.dims()[0], f64::from(level.resolution));
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
        let table = Tensor::from_ints(TensorData::from(shares(level, rank, coordinate).as_slice()), &upper.device());
        let cell = cell.reshape([n]).int();
        let shares = [table.clone().select(0, cell.clone()), table.select(0, cell + 1)];
        Axis { coordinate, shares, weights: [upper.clone().neg() + 1.0, upper], slopes }
    }
}

/// Term that a vertex's position `0..=resolution` along the axis adds to its entry's index. The hash's products are reduced here,
/// in exact integers, because backends differ on integer overflow.
fn shares(level: &LevelSpec, rank: usize, coordinate: usize) -> Vec<i32> {
    let positions = 0..=u64::from(level.resolution);
    let share = |i: u64| match level.hashmap_size {
        Some(table) => i.wrapping_mul(u64::from(HASH_PRIMES[coordinate])) % u64::from(table),
        None => i * (u64::from(level.resolution) + 1).pow(rank as u32),
    };
    positions.map(|i| share(i) as i32).collect()
}

/// Entry indices `[N]` of the corner whose bit `j` chooses the upper vertex along the level's `j`-th axis.
fn corner_index<B: Backend>(axes: &[Axis<B>], hashed: bool, corner: usize) -> Tensor<B, 1, Int> {
    let mut index = axes[0].shares[corner & 1].clone();
    for (j, axis) in axes.iter().enumerate().skip(1) {
        let share = axis.shares[corner >> j & 1].clone();
        index = if hashed { index.bitwise_xor(share) } else { index + share };
    }
    index
}

/// Weights `[N,1]` of a corner, or their derivative along coordinate `along`.
fn corner_weight<B: Backend>(axes: &[Axis<B>], corner: usize, along: Option<usize>) -> Tensor<B, 2> {
    let factor = |j: usize, axis: &Axis<B>| {
        let bit = corner >> j & 1;
        match &axis.slopes {
            Some(slopes) if along == Some(axis.coordinate) => slopes[bit].clone(),
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
    let mut columns = vec![f.value.clone(), f.gradient()];
    if let Some(s) = s {
        columns.extend([s.value.clone(), s.gradient()]);
        if spec.transports() {
            columns.push(pass.transport(x, s.value));
        }
    }
    Tensor::cat(columns, 1)
}

/// `F(x, s)` `[N, S × dim]` for any `s` `[N, S]`, that of the field or not; differentiable in `net`, `x` and `s`. The spec
/// must have F.
pub fn transport<B: Backend>(spec: &FieldSpec, net: Tensor<B, 1>, x: Tensor<B, 2>, s: Tensor<B, 2>) -> Tensor<B, 2> {
    let grid = Tensor::zeros([1], &net.device());
    let pass = Pass { spec, grid, net, tangents: false };
    pass.transport(x, s)
}

/// Colours `[N, 3]` of the head from the decoder's values `[N, outputs]` and encoded directions `[N, encoding]`;
/// differentiable in `net` and `values`. The spec must have a colour head.
pub fn head<B: Backend>(
    spec: &FieldSpec,
    net: Tensor<B, 1>,
    values: Tensor<B, 2>,
    encoded: Tensor<B, 2>,
) -> Tensor<B, 2> {
    // The head reads no grid.
    let pass = Pass { spec, grid: net.clone(), net, tangents: false };
    let activation = spec.color_head.map_or(Activation::Relu, |head| head.mlp.activation);
    let input = Dual { value: Tensor::cat(vec![values, encoded], 1), tangents: Vec::new() };
    sigmoid(pass.mlp(&spec.net_layout().head, activation, input).value)
}
