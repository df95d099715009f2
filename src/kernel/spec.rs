//! The shape of a field: which grids, networks and basis it has, and where each parameter lies.
//!
//! A field's parameters are two flat `f32` buffers, so that kernels, the optimiser and the model file agree on one
//! layout: `grid` holds the latent features (`[entry][feature]`, levels one after the other) and `net` holds the basis
//! and every network ([`FieldSpec::net_tensors`] lists name, offset and shape of each part).
//!
//! With coordinates `x ∈ [0,1]^d` (method: DESIGN §2, NSTR):
//!
//! ```text
//! z = latent(x)                                    interpolated features, levels concatenated
//! S = H(z [, x])                                   local spectrum, K (product) or K·C (channels) values
//! θ_k = Σ_j x_j ω_jk + b_k
//! m_k = S_k sin θ_k                                product
//! m_c = Σ_k S_{k,c} sin θ_k                        channels (C = 1: the paper's scalar sum)
//! f = g(m [, z])                                   decoder
//! F = transport(x, S)                              predicted ∇S, laid out like it
//! ```
//!
//! A radiance field has a [`ViewSpec`]: f is then `[raw density | features]`, which does not depend on the view, and
//! `colour = sigmoid(head(f, encode(d)))`, `σ = exp(raw density)` with the viewing direction `d`.

use serde::{Deserialize, Serialize};

/// How latent features between grid vertices are blended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// Multilinear: C⁰, cheapest.
    #[default]
    Linear,
    /// Multilinear on `t²(3−2t)`: C¹, second derivatives exist across cells.
    Smoothstep,
}

/// One level of the latent grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelSpec {
    /// Cells along each axis; the level has `(cells+1)^d` vertices.
    pub cells: u32,
    /// `None`: one entry a vertex. `Some(t)`: vertices share `t` entries (a power of two) through the spatial hash of
    /// Instant-NGP (Müller et al. 2022, eq. 4).
    pub table: Option<u32>,
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
}

/// Activation of hidden layers; the last layer of every network is linear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
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
}

/// How the spectrum modulates the basis.
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
    /// No sinusoids: z alone enters the decoder, as in Instant-NGP. S is not used for values.
    None,
}

/// How a viewing direction (a unit vector in world axes, away from the camera) enters the colour head.
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

/// The view-dependent part of a radiance field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewSpec {
    /// Encoding of the viewing direction.
    pub encoding: DirectionEncoding,
    /// Colour head: (f, encode(d)) → raw red, green, blue.
    pub head: MlpSpec,
}

/// The whole field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldSpec {
    /// Coordinates, 1 to 3.
    pub dim: usize,
    /// Values of the decoder: 1 for a signed distance; with [`Self::view`] the raw density and then the head's features.
    pub outputs: usize,
    /// Latent grid.
    pub latent: LatentSpec,
    /// Basis functions K.
    pub basis: usize,
    /// How S and the basis meet.
    #[serde(default)]
    pub modulation: Modulation,
    /// Spectrum network H.
    pub spectrum: MlpSpec,
    /// Whether x enters H beside z.
    #[serde(default)]
    pub spectrum_input: bool,
    /// Decoder g.
    pub decoder: MlpSpec,
    /// Whether z enters g beside m.
    #[serde(default)]
    pub skip: bool,
    /// Transport network F: (x, S) → ∇S.
    pub transport: MlpSpec,
    /// Colour that depends on the viewing direction: a radiance field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewSpec>,
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
    /// Whether the slot holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The elements' range in `net`.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// Where one linear layer lies in `net`: `y = x·W + b`, `W` row-major `[inputs][outputs]`.
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
    /// Whether an activation follows.
    pub activated: bool,
}

/// Where every part of `net` lies.
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

impl LevelSpec {
    /// Entries of this level in `dim` dimensions.
    pub fn entries(&self, dim: usize) -> usize {
        match self.table {
            Some(t) => t as usize,
            None => (self.cells as usize + 1).pow(dim as u32),
        }
    }
}

impl LatentSpec {
    /// Columns of `z`: levels × features.
    pub fn width(&self) -> usize {
        self.levels.len() * self.features
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
            Modulation::Product | Modulation::None => None,
            Modulation::Channels(c) => Some(c),
            Modulation::Sum => Some(1),
        }
    }
    /// Values of S: K, or K·C laid out `[k][c]`.
    pub fn spectrum_width(&self) -> usize {
        self.basis * self.channels().unwrap_or(1)
    }
    /// Modulated values that enter the decoder: K, C, or none.
    pub fn modulated_width(&self) -> usize {
        if self.modulation == Modulation::None { 0 } else { self.channels().unwrap_or(self.basis) }
    }
    /// Columns that enter the decoder: modulated values, then z if `skip`.
    pub fn decoder_inputs(&self) -> usize {
        self.modulated_width() + if self.skip { self.latent.width() } else { 0 }
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
        FullColumns { value: 0, gradient, spectrum, spectrum_gradient, transport, len: transport + s * d }
    }
    /// Columns that enter the colour head: the decoder's values, then the encoded direction. 0 without a head.
    pub fn head_inputs(&self) -> usize {
        self.view.map_or(0, |view| self.outputs + view.encoding.width())
    }
    /// Where everything lies in `net`: basis, spectrum, decoder, transport, head, in this order.
    pub fn net_layout(&self) -> NetLayout {
        let (k, d, s) = (self.basis, self.dim, self.spectrum_width());
        let basis = LayerSlot { inputs: d, outputs: k, weight: 0, bias: d * k, activated: false };
        let mut at = d * k + k;
        let spectrum = self.spectrum.push(self.spectrum_inputs(), s, &mut at);
        let decoder = self.decoder.push(self.decoder_inputs(), self.outputs, &mut at);
        let transport = self.transport.push(d + s, s * d, &mut at);
        let head = self.view.map_or(Vec::new(), |view| view.head.push(self.head_inputs(), 3, &mut at));
        NetLayout { basis, spectrum, decoder, transport, head, len: at }
    }
    /// Every tensor of `net` by name, in order of offset, without gaps.
    pub fn net_tensors(&self) -> Vec<TensorSlot> {
        let layout = self.net_layout();
        let mut slots = vec![
            TensorSlot { name: "basis.omega".into(), offset: layout.basis.weight, shape: vec![self.dim, self.basis] },
            TensorSlot { name: "basis.phase".into(), offset: layout.basis.bias, shape: vec![self.basis] },
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
    /// The transport network's prediction of ∇S.
    pub transport: usize,
    /// Columns in all.
    pub len: usize,
}
