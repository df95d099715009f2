//! The shape of a field: which grids, networks and basis it has, and where each parameter lies.
//!
//! A field's parameters are two flat `f32` buffers, so that kernels, the optimiser and the model file agree on one
//! layout: `grid` holds the latent features (`[entry][feature]`, levels one after the other) and `net` holds the basis
//! and every network ([`FieldSpec::net_tensors`] lists name, offset and shape of each part).
//!
//! With coordinates `x ∈ [0,1]^d` (see docs/method.md):
//!
//! ```text
//! z = latent(x)                                    interpolated features, levels concatenated
//! S = H(z [, x])                                   local spectrum, K (product) or K·C (channels) values
//! θ_k = ω₀ (Σ_j x_j ω_jk + b_k)
//! m_k = S_k sin θ_k                                product
//! m_c = Σ_k S_{k,c} sin θ_k                        channels (C = 1: the paper's scalar sum)
//! m_k = sin θ_k                                    plain: no S takes part
//! f = g(m [, z] [, x])                             decoder
//! F = transport(x, S)                              predicted ∇S, laid out like it
//! ```
//!
//! The baselines combine the same parts differently: hashed levels without sinusoids are Instant-NGP, planes a tri-plane, planes
//! times lines TensoRF, plain sinusoids without a grid Fourier features or, with a sine decoder, a SIREN. Where S takes no part
//! in the values (plain, none) there is no H, and the latent features stand for S: S := z.
//!
//! A radiance field has a [`ColorHeadSpec`]: f is then `[raw density | features]`, independent of the viewing direction, and
//! `colour = sigmoid(head(f, encode(d)))` with the viewing direction `d`, and the density σ follows from the raw one by a
//! [`DensityLaw`], usually `exp`.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize, Serializer};

use crate::density::DensityLaw;

/// Most levels of a latent grid that are multiplied with each other: a line for each axis.
pub const MAX_GROUP: usize = 3;
/// Raw densities are capped here before the exponential: `e¹²` is opaque at any step in use.
pub const MAX_RAW_DENSITY: f32 = 12.0;
/// Factors of the spatial hash of grid vertices (Müller et al. 2022, eq. 4).
pub const HASH_PRIMES: [u32; 3] = [1, 2_654_435_761, 805_459_861];

/// Writes a network under the names that model files have.
fn stored_mlp<S: Serializer>(mlp: &MlpSpec, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Stored {
        layers: usize,
        width: usize,
        activation: Activation,
        gain: u32,
    }
    let MlpSpec { layers, width, activation, omega_0 } = *mlp;
    Stored { layers, width, activation, gain: omega_0 }.serialize(to)
}

/// Blending of latent features between grid vertices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// Multilinear: C⁰, cheapest.
    #[default]
    Linear,
    /// Multilinear on `t²(3−2t)`: C¹, second derivatives exist across cells.
    Smoothstep,
}

/// `linear` or `smoothstep`, as options take it.
impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linear => "linear",
            Self::Smoothstep => "smoothstep",
        })
    }
}

/// One level of the latent grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelSpec {
    /// Cells along each axis; the level has `(resolution + 1)^d` vertices.
    #[serde(rename = "cells")]
    pub resolution: u32,
    /// `None`: one entry a vertex. `Some(t)`: vertices share `t` entries (a power of two) through the spatial hash of
    /// Instant-NGP (Müller et al. 2022, eq. 4).
    #[serde(rename = "table")]
    pub hashmap_size: Option<u32>,
    /// The coordinates that it depends on: a volume, a plane or a line.
    #[serde(default, skip_serializing_if = "Axes::is_all")]
    pub axes: Axes,
}

/// A set of coordinate axes: bit `j` for axis `j`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Axes(pub u8);

impl Axes {
    /// All axes.
    pub const ALL: Self = Self(0b111);
    /// True if every axis is in the set.
    pub fn is_all(&self) -> bool {
        self.0 == Self::ALL.0
    }
    /// True if axis `j` is in the set.
    pub fn has(self, j: usize) -> bool {
        self.0 >> j & 1 == 1
    }
    /// Number of the first `dim` axes that are in the set.
    pub fn count(self, dim: usize) -> usize {
        (0..dim).filter(|j| self.has(*j)).count()
    }
}

impl Default for Axes {
    fn default() -> Self {
        Self::ALL
    }
}

/// The latent grid `z(x)`: `dense` is one level, `pyramid` several, `hash` has hashed levels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatentSpec {
    /// Levels, coarse to fine; their features are concatenated in this order.
    pub levels: Vec<LevelSpec>,
    /// Features an entry (the same on every level).
    pub features: usize,
    /// Blending between vertices.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// So many levels in succession are multiplied, feature by feature, before they are concatenated (TensoRF, Chen et al.
    /// 2022, eq. 6: a plane times a line); 1: none are.
    #[serde(default = "one")]
    pub product: usize,
}

fn one<T: From<u8>>() -> T {
    T::from(1)
}

/// Activation of hidden layers; the last layer of every network is linear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `max(0, a)`; its second derivative is taken as 0.
    #[default]
    Relu,
    /// `a·σ(a)`, smooth.
    Silu,
    /// `sin(a)`, smooth.
    Sine,
}

/// `relu`, `silu` or `sine`, as options take it.
impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relu => "relu",
            Self::Silu => "silu",
            Self::Sine => "sine",
        })
    }
}

/// A multilayer perceptron: `layers` hidden layers of `width`, then a linear output (`layers = 0`: one linear map).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MlpSpec {
    /// Hidden layers.
    pub layers: usize,
    /// Units of each hidden layer.
    pub width: usize,
    /// Activation after each hidden layer.
    #[serde(default)]
    pub activation: Activation,
    /// Factor of each hidden layer's activation argument, by which its weights and biases train faster (SIREN's ω₀, Sitzmann et
    /// al. 2020, §3.2).
    #[serde(default = "one", alias = "gain")]
    pub omega_0: u32,
}

/// Modulation of the basis by the spectrum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Modulation {
    /// All K modulated bases enter the decoder.
    #[default]
    Product,
    /// C sums over the bases, each with a spectrum of its own, enter the decoder.
    Channels(usize),
    /// The paper's formula to the letter: one scalar enters the decoder (`Channels(1)`).
    Sum,
    /// The sinusoids themselves enter the decoder: Fourier features, or the first layer of a SIREN.
    Plain,
    /// No sinusoids: z or x alone enter the decoder, as in Instant-NGP.
    None,
}

/// Encoding of a viewing direction (a unit vector in world axes, away from the camera) for the colour head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectionEncoding {
    /// Real spherical harmonics of degrees below this, 1 to 4: `n²` values.
    Sh(usize),
    /// The direction and the sine and cosine of `2^i π d`, `i` below this, 0 to 4: `3 + 6n` values.
    Frequency(usize),
}

impl DirectionEncoding {
    /// Values of an encoded direction.
    pub fn width(self) -> usize {
        match self {
            Self::Sh(degree) => degree * degree,
            Self::Frequency(octaves) => 3 + 6 * octaves,
        }
    }
}

/// The view-dependent colour of a radiance field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColorHeadSpec {
    /// Encoding of the viewing direction.
    pub encoding: DirectionEncoding,
    /// Network (f, encode(d)) → raw red, green, blue.
    #[serde(rename = "head", serialize_with = "stored_mlp")]
    pub mlp: MlpSpec,
    /// Density by the decoder's first value.
    #[serde(default, skip_serializing_if = "DensityLaw::is_exponential")]
    pub density: DensityLaw,
}

/// Shape of a whole field. Model files store it under older names of some options (`skip`, `coordinates`, `view`, …).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldSpec {
    /// Coordinates, 1 to 3.
    pub dim: usize,
    /// Values of the decoder: 1 for a signed distance; with [`Self::color_head`] the raw density and then the head's features.
    pub outputs: usize,
    /// Latent grid.
    pub latent: LatentSpec,
    /// Basis functions K.
    pub basis: usize,
    /// Combination of S and the basis.
    #[serde(default)]
    pub modulation: Modulation,
    /// Factor of θ, as [`MlpSpec::omega_0`].
    #[serde(default = "one", rename = "basis_gain")]
    pub basis_omega_0: u32,
    /// Spectrum network H.
    #[serde(serialize_with = "stored_mlp")]
    pub spectrum: MlpSpec,
    /// Feeds x into H beside z.
    #[serde(default)]
    pub spectrum_input: bool,
    /// Decoder g.
    #[serde(serialize_with = "stored_mlp")]
    pub decoder: MlpSpec,
    /// Feeds z into g beside m.
    #[serde(default, rename = "skip")]
    pub skip_latent: bool,
    /// Feeds x into g, last.
    #[serde(default, rename = "coordinates")]
    pub input_coords: bool,
    /// Transport network F: (x, S) → ∇S; of width 0 where there is none.
    #[serde(serialize_with = "stored_mlp")]
    pub transport: MlpSpec,
    /// Colour that depends on the viewing direction: a radiance field.
    #[serde(default, rename = "view", skip_serializing_if = "Option::is_none")]
    pub color_head: Option<ColorHeadSpec>,
}

/// A named part of the flat `net` buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSlot {
    /// Name in the model file, for example `decoder.0.weight`.
    pub name: String,
    /// First element in `net`.
    pub offset: usize,
    /// Row-major shape: `[inputs, outputs]` for weights, `[outputs]` for biases.
    pub shape: Vec<usize>,
}

impl TensorSlot {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
    /// True if the slot holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The elements' range in `net`.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// Place of a linear layer in `net`: `y = x·W + b`, `W` row-major `[inputs][outputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSlot {
    /// Columns of its input.
    pub inputs: usize,
    /// Columns of its output.
    pub outputs: usize,
    /// First weight.
    pub weight: usize,
    /// First bias.
    pub bias: usize,
    /// True for hidden layers, which an activation follows.
    pub activated: bool,
    /// Factor of W and b: `y = gain (x·W + b)`.
    pub gain: u32,
}

/// Place of every part of `net`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetLayout {
    /// Basis frequencies ω `[dim][K]` and phases `[K]`, as the linear layer `θ = x·ω + b`.
    pub basis: LayerSlot,
    /// Layers of H.
    pub spectrum: Vec<LayerSlot>,
    /// Layers of g.
    pub decoder: Vec<LayerSlot>,
    /// Layers of F.
    pub transport: Vec<LayerSlot>,
    /// Layers of the colour head; empty without one.
    pub head: Vec<LayerSlot>,
    /// Length of `net`.
    pub len: usize,
}

impl NetLayout {
    /// Range of ω and b in `net`.
    pub fn basis_range(&self) -> Range<usize> {
        0..self.basis.bias + self.basis.outputs
    }
    /// Range of F in `net`; empty without one.
    pub fn transport_range(&self) -> Range<usize> {
        let ends = self.transport.first().zip(self.transport.last());
        ends.map_or(0..0, |(first, last)| first.weight..last.bias + last.outputs)
    }
}

impl LevelSpec {
    /// A level over all axes.
    pub fn new(resolution: u32, hashmap_size: Option<u32>) -> Self {
        Self { resolution, hashmap_size, axes: Axes::ALL }
    }
    /// Entries of this level in `dim` dimensions.
    pub fn entries(&self, dim: usize) -> usize {
        match self.hashmap_size {
            Some(size) => size as usize,
            None => (self.resolution as usize + 1).pow(self.axes.count(dim) as u32),
        }
    }
}

impl LatentSpec {
    /// Columns of `z`: levels × features, fewer where levels are multiplied.
    pub fn width(&self) -> usize {
        self.levels.len() / self.product.max(1) * self.features
    }
    /// First entry of each level, and past the last the total.
    pub fn offsets(&self, dim: usize) -> Vec<usize> {
        let mut at = vec![0];
        for level in &self.levels {
            at.push(at[at.len() - 1] + level.entries(dim));
        }
        at
    }
    /// Length of the flat `grid` buffer.
    pub fn len(&self, dim: usize) -> usize {
        self.offsets(dim)[self.levels.len()] * self.features
    }
}

impl MlpSpec {
    /// No network.
    pub const ABSENT: Self = Self { layers: 0, width: 0, activation: Activation::Relu, omega_0: 1 };

    /// A network with ω₀ = 1.
    pub fn new(layers: usize, width: usize, activation: Activation) -> Self {
        Self { layers, width, activation, omega_0: 1 }
    }

    fn push(&self, inputs: usize, outputs: usize, at: &mut usize) -> Vec<LayerSlot> {
        let mut slots = Vec::with_capacity(self.layers + 1);
        let mut from = inputs;
        for l in 0..=self.layers {
            let to = if l == self.layers { outputs } else { self.width };
            slots.push(LayerSlot {
                inputs: from,
                outputs: to,
                weight: *at,
                bias: *at + from * to,
                activated: l < self.layers,
                gain: if l < self.layers { self.omega_0 } else { 1 },
            });
            *at += from * to + to;
            from = to;
        }
        slots
    }
}

impl FieldSpec {
    /// Sums C of the modulation, or `None` for the product.
    pub fn channels(&self) -> Option<usize> {
        match self.modulation {
            Modulation::Product | Modulation::Plain | Modulation::None => None,
            Modulation::Channels(c) => Some(c),
            Modulation::Sum => Some(1),
        }
    }
    /// True if S takes part in the values. Otherwise there is no H, and S is z.
    pub fn modulates(&self) -> bool {
        !matches!(self.modulation, Modulation::Plain | Modulation::None)
    }
    /// True if there is a transport network.
    pub fn transports(&self) -> bool {
        self.transport.width > 0 && self.spectrum_width() > 0
    }
    /// Sinusoids: K, or none.
    pub fn basis_width(&self) -> usize {
        if self.modulation == Modulation::None { 0 } else { self.basis }
    }
    /// Values of S: K, or K·C laid out `[k][c]`; those of z where S takes no part.
    pub fn spectrum_width(&self) -> usize {
        if self.modulates() { self.basis * self.channels().unwrap_or(1) } else { self.latent.width() }
    }
    /// Values of the basis that enter the decoder: K, C, or none.
    pub fn modulated_width(&self) -> usize {
        self.channels().unwrap_or(self.basis_width())
    }
    /// Density by the decoder's first value; exponential where there is no colour head.
    pub fn density_law(&self) -> DensityLaw {
        self.color_head.map_or(DensityLaw::Exponential, |head| head.density)
    }
    /// Columns that enter the decoder: the basis' values, then z if `skip_latent`, then x if `input_coords`.
    pub fn decoder_inputs(&self) -> usize {
        let z = if self.skip_latent { self.latent.width() } else { 0 };
        self.modulated_width() + z + if self.input_coords { self.dim } else { 0 }
    }
    /// Values of F: one for each value of S and axis, or none.
    pub fn transport_width(&self) -> usize {
        if self.transports() { self.spectrum_width() * self.dim } else { 0 }
    }
    /// Columns that enter H: z, then x if `spectrum_input`.
    pub fn spectrum_inputs(&self) -> usize {
        self.latent.width() + if self.spectrum_input { self.dim } else { 0 }
    }
    /// Columns of the full output (see [`FullColumns`]).
    pub fn full_columns(&self) -> FullColumns {
        let (c, d, s) = (self.outputs, self.dim, self.spectrum_width());
        let gradient = c;
        let spectrum = gradient + c * d;
        let spectrum_gradient = spectrum + s;
        let transport = spectrum_gradient + s * d;
        FullColumns {
            value: 0,
            gradient,
            spectrum,
            spectrum_gradient,
            transport,
            len: transport + self.transport_width(),
        }
    }
    /// Columns that enter the colour head: the decoder's values, then the encoded direction. 0 without a head.
    pub fn head_inputs(&self) -> usize {
        self.color_head.map_or(0, |head| self.outputs + head.encoding.width())
    }
    /// Place of every part in `net`: basis, spectrum, decoder, transport, head, in this order.
    pub fn net_layout(&self) -> NetLayout {
        let (k, d, s) = (self.basis_width(), self.dim, self.spectrum_width());
        let gain = self.basis_omega_0;
        let basis = LayerSlot { inputs: d, outputs: k, weight: 0, bias: d * k, activated: false, gain };
        let mut at = d * k + k;
        let mut network = |there: bool, mlp: &MlpSpec, inputs: usize, outputs: usize| match there {
            true => mlp.push(inputs, outputs, &mut at),
            false => Vec::new(),
        };
        let spectrum = network(self.modulates(), &self.spectrum, self.spectrum_inputs(), s);
        let decoder = network(true, &self.decoder, self.decoder_inputs(), self.outputs);
        let transport = network(self.transports(), &self.transport, d + s, s * d);
        let head = self.color_head.map_or(Vec::new(), |head| head.mlp.push(self.head_inputs(), 3, &mut at));
        NetLayout { basis, spectrum, decoder, transport, head, len: at }
    }
    /// Every tensor of `net` by name, in order of offset, without gaps.
    pub fn net_tensors(&self) -> Vec<TensorSlot> {
        let layout = self.net_layout();
        let (basis, k) = (layout.basis, self.basis_width());
        let mut slots = vec![
            TensorSlot { name: "basis.omega".into(), offset: basis.weight, shape: vec![self.dim, k] },
            TensorSlot { name: "basis.phase".into(), offset: basis.bias, shape: vec![k] },
        ];
        for (net, layers) in [
            ("spectrum", &layout.spectrum),
            ("decoder", &layout.decoder),
            ("transport", &layout.transport),
            ("head", &layout.head),
        ] {
            for (l, slot) in layers.iter().enumerate() {
                slots.push(TensorSlot {
                    name: format!("{net}.{l}.weight"),
                    offset: slot.weight,
                    shape: vec![slot.inputs, slot.outputs],
                });
                slots.push(TensorSlot {
                    name: format!("{net}.{l}.bias"),
                    offset: slot.bias,
                    shape: vec![slot.outputs],
                });
            }
        }
        slots.retain(|slot| !slot.is_empty());
        slots
    }
    /// Length of `grid`.
    pub fn grid_len(&self) -> usize {
        self.latent.len(self.dim)
    }
    /// Length of `net`.
    pub fn net_len(&self) -> usize {
        self.net_layout().len
    }
    /// Parameters of the field, transport network included.
    pub fn parameters(&self) -> usize {
        self.grid_len() + self.net_len()
    }
}

/// First column of each part of the full output `[value | ∇f | S | ∇S | F]` of one point.
///
/// `∇f` is `[output][axis]`, `∇S` and `F` are `[spectrum value][axis]`, all per unit of field coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullColumns {
    /// The field's values.
    pub value: usize,
    /// ∇f.
    pub gradient: usize,
    /// S.
    pub spectrum: usize,
    /// ∇S.
    pub spectrum_gradient: usize,
    /// The transport network's prediction of ∇S; nothing without one.
    pub transport: usize,
    /// Columns in all.
    pub len: usize,
}
