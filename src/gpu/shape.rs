//! The shape of a field as kernels are compiled for it: rows in workgroup memory, layers, offsets of packed parameters.

use nstr_spec::{Activation, DirectionEncoding, FieldSpec, Interpolation, LayerSlot, Modulation};

/// Floats of a vector: rows, columns and offsets are padded to it.
pub const LANES: usize = 4;

/// Rounds up to a whole number of vectors.
pub fn pad(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// Rows of a tile that hold one part of a point's data, a feature a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rows {
    /// First row.
    pub at: usize,
    /// Rows in use; padding follows up to a multiple of [`LANES`].
    pub count: usize,
}

/// One summand of a matrix product: rows of the tile times a packed matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    /// Rows that are multiplied.
    pub rows: Rows,
    /// The matrix' first vector in the packed parameters, `[rows.count][columns / LANES]`.
    pub weight: usize,
}

/// A matrix of `net` and where its gradient is summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GradientSlot {
    /// Rows of the layer's input; `None` for a bias, whose input is 1.
    pub input: Option<Rows>,
    /// Rows of its outputs' adjoint.
    pub adjoint: Rows,
    /// First element in `net`, `[inputs][outputs]`.
    pub net: usize,
    /// Factor of the matrix.
    pub gain: u32,
    /// Units that share a block of 4 × 4 elements, each with a part of the points.
    pub parts: usize,
    /// First vector of the block's sums in workgroup memory, `[part][padded inputs][outputs / LANES]`.
    pub sum: usize,
}

impl GradientSlot {
    /// Inputs, 1 for a bias.
    pub fn inputs(&self) -> usize {
        self.input.map_or(1, |rows| rows.count)
    }
    /// Groups of four inputs.
    pub fn input_groups(&self) -> usize {
        self.inputs().div_ceil(LANES)
    }
    /// Vectors of four outputs.
    pub fn output_groups(&self) -> usize {
        self.adjoint.count.div_ceil(LANES)
    }
    /// Vectors of one part's sums.
    pub fn vectors(&self) -> usize {
        let inputs = if self.input.is_some() { pad(self.inputs()) } else { 1 };
        inputs * self.output_groups()
    }
}

/// A linear layer and the activation behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layer {
    /// Inputs times weights; several where the inputs are not next to each other.
    pub terms: Vec<Term>,
    /// The transposed weights of each term, for the adjoint: first vector, `[outputs][term's padded rows / LANES]`.
    pub transposed: Vec<usize>,
    /// First vector of the packed bias.
    pub bias: usize,
    /// Gradients of each term's weights, then of the bias.
    pub gradients: Vec<GradientSlot>,
    /// Activation of the outputs; `None` for the last layer.
    pub activation: Option<Activation>,
    /// Rows of the outputs before the activation; the same as `out` where the adjoint does not need them.
    pub pre: Rows,
    /// Rows of the outputs.
    pub out: Rows,
}

/// The sinusoids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Basis {
    /// Number K.
    pub count: usize,
    /// Sums of modulated sinusoids C, or 0 for the product.
    pub channels: usize,
    /// No spectrum modulates them.
    pub plain: bool,
    /// First vector of the packed frequencies, `[dim][K / LANES]`, then phases.
    pub weight: usize,
    /// Rows of the adjoint of the phases.
    pub d_theta: Rows,
    /// Gradients of frequencies and phases.
    pub gradients: [GradientSlot; 2],
}

/// Points of a tile and units that share the work on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileSize {
    /// Points, a multiple of [`LANES`].
    pub points: usize,
    /// Units (threads) of a block.
    pub units: usize,
}

impl TileSize {
    /// Vectors of a row.
    pub fn vectors(&self) -> usize {
        self.points / LANES
    }
}

/// A field's trunk (everything that does not depend on the viewing direction), for kernels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Points and units.
    pub tile: TileSize,
    /// Coordinates.
    pub dim: usize,
    /// Values.
    pub outputs: usize,
    /// Levels of the latent grid.
    pub levels: usize,
    /// Features an entry.
    pub features: usize,
    /// Features that are read at once: 4, 2 or 1.
    pub feature_width: usize,
    /// Blends with `t²(3−2t)`.
    pub smooth: bool,
    /// Levels that are multiplied with each other; 1: none.
    pub product: usize,
    /// Rows of the coordinates.
    pub x: Rows,
    /// Rows of the levels' own features.
    pub u: Rows,
    /// Rows of z: those of `u` unless levels are multiplied.
    pub z: Rows,
    /// Rows of the modulated values.
    pub m: Rows,
    /// Rows of S; of z where S takes no part.
    pub s: Rows,
    /// The sinusoids, if any.
    pub basis: Option<Basis>,
    /// Layers of H; empty where there is none.
    pub spectrum: Vec<Layer>,
    /// Layers of g.
    pub decoder: Vec<Layer>,
    /// Rows of the output.
    pub out: Rows,
    /// All rows.
    pub rows: usize,
    /// Sums of the gradients of networks.
    pub sums: Sums,
}

/// Gradients of networks within a block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sums {
    /// Vectors of workgroup memory in which a block sums over all its tiles; 0 where they don't fit, and every tile
    /// adds to device memory.
    pub vectors: usize,
    /// Every matrix.
    pub slots: Vec<GradientSlot>,
}

/// The colour head, for kernels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeadShape {
    /// Points and units.
    pub tile: TileSize,
    /// Values of the trunk that enter.
    pub inputs: usize,
    /// Encoding of the viewing direction: degree of harmonics, or 0.
    pub harmonics: usize,
    /// Octaves of the encoding by sines and cosines.
    pub octaves: usize,
    /// Rows of the trunk's values.
    pub f: Rows,
    /// Rows of the encoded direction.
    pub code: Rows,
    /// Layers.
    pub layers: Vec<Layer>,
    /// Rows of the colour.
    pub out: Rows,
    /// All rows.
    pub rows: usize,
    /// Sums of the gradients of networks.
    pub sums: Sums,
}

/// A packed parameter: its place in `net` and its factor; `None` for padding.
pub type Source = Option<(usize, u32)>;

/// Shapes of a field's kernels and the order of its packed parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The trunk.
    pub trunk: Shape,
    /// The colour head of a radiance field.
    pub head: Option<HeadShape>,
    /// Where each packed float comes from.
    pub packed: Vec<Source>,
    /// Levels as the kernels read them, [`LEVEL_WORDS`] each.
    pub levels: Vec<u32>,
}

/// Words of a level: cells along each axis (0 where it has none) and whether it is hashed; strides and the mask of the
/// table; first entry, and padding.
pub const LEVEL_WORDS: usize = 12;

/// Hands out rows one after the other.
struct Allocator {
    next: usize,
}

impl Allocator {
    fn take(&mut self, count: usize) -> Rows {
        let rows = Rows { at: self.next, count };
        self.next += pad(count);
        rows
    }
}

/// Lays packed parameters one after the other, and the sums of a tile's gradients.
struct Packer {
    packed: Vec<Source>,
    tile: TileSize,
    slots: Vec<GradientSlot>,
    sums: usize,
}

impl Packer {
    /// Appends `rows` rows of `columns` floats, padded to whole vectors; `source` names each. Returns the first vector.
    fn matrix(&mut self, rows: usize, columns: usize, source: impl Fn(usize, usize) -> (usize, u32)) -> usize {
        let first = self.packed.len() / LANES;
        for r in 0..rows {
            let row = (0..pad(columns)).map(|c| (c < columns).then(|| source(r, c)));
            self.packed.extend(row);
        }
        first
    }

    /// Room for the sums of a matrix' gradient.
    fn gradient(&mut self, input: Option<Rows>, adjoint: Rows, net: usize, gain: u32) -> GradientSlot {
        let mut slot = GradientSlot { input, adjoint, net, gain, parts: 1, sum: self.sums };
        let blocks = slot.input_groups() * slot.output_groups();
        // Where there are fewer blocks than units, several share one; each part has sums of its own.
        while slot.parts < MAX_PARTS
            && blocks * slot.parts * 2 <= self.tile.units
            && self.tile.vectors().is_multiple_of(slot.parts * 2)
        {
            slot.parts *= 2;
        }
        self.sums += slot.parts * slot.vectors();
        self.slots.push(slot);
        slot
    }

    /// The sums so far, and none for what follows, whose tiles are of another size.
    fn take_sums(&mut self, tile: TileSize) -> Sums {
        self.tile = tile;
        Sums { vectors: std::mem::take(&mut self.sums), slots: std::mem::take(&mut self.slots) }
    }

    /// Layers of a network whose inputs lie in `inputs`, in the order of its weights.
    fn network(
        &mut self,
        slots: &[LayerSlot],
        activation: Activation,
        inputs: &[Rows],
        rows: &mut Allocator,
    ) -> Vec<Layer> {
        let mut layers: Vec<Layer> = Vec::with_capacity(slots.len());
        for slot in slots {
            let from = layers.last().map_or_else(|| inputs.to_vec(), |layer| vec![layer.out]);
            let gain = slot.gain;
            let activation = slot.activated.then_some(activation);
            let keeps_pre = activation.is_some_and(|a| a != Activation::Relu);
            let out = rows.take(slot.outputs);
            let pre = if keeps_pre { rows.take(slot.outputs) } else { out };
            let (mut terms, mut transposed, mut gradients, mut first) = (Vec::new(), Vec::new(), Vec::new(), 0);
            for part in from {
                let at = move |i: usize, o: usize| (slot.weight + (first + i) * slot.outputs + o, gain);
                terms.push(Term { rows: part, weight: self.matrix(part.count, slot.outputs, at) });
                transposed.push(self.matrix(slot.outputs, part.count, |o, i| at(i, o)));
                gradients.push(self.gradient(Some(part), out, slot.weight + first * slot.outputs, gain));
                first += part.count;
            }
            let bias = self.matrix(1, slot.outputs, |_, o| (slot.bias + o, gain));
            gradients.push(self.gradient(None, out, slot.bias, gain));
            layers.push(Layer { terms, transposed, bias, gradients, activation, pre, out });
        }
        layers
    }
}

impl Plan {
    /// Plans the kernels of `spec` for tiles of `tile` (trunk) and `head` (colour head).
    pub fn new(spec: &FieldSpec, tile: TileSize, head: TileSize) -> Self {
        let layout = spec.net_layout();
        let mut packer = Packer { packed: Vec::new(), tile, slots: Vec::new(), sums: 0 };
        let mut rows = Allocator { next: 0 };
        let latent = &spec.latent;
        let x = rows.take(spec.dim);
        let m = rows.take(spec.modulated_width());
        let u = rows.take(latent.levels.len() * latent.features);
        let z = if latent.product > 1 { rows.take(latent.width()) } else { u };
        let mut spectrum_inputs = vec![z];
        if spec.spectrum_input {
            spectrum_inputs.push(x);
        }
        let used = |inputs: Vec<Rows>| -> Vec<Rows> { inputs.into_iter().filter(|r| r.count > 0).collect() };
        let spectrum = if spec.modulates() {
            packer.network(&layout.spectrum, spec.spectrum.activation, &used(spectrum_inputs), &mut rows)
        } else {
            Vec::new()
        };
        let s = spectrum.last().map_or(z, |layer| layer.out);
        let count = spec.basis_width();
        let basis = (count > 0).then(|| {
            let gain = spec.basis_omega_0;
            let slot = layout.basis;
            let weight = packer.matrix(spec.dim, count, |j, k| (slot.weight + j * count + k, gain));
            packer.matrix(1, count, |_, k| (slot.bias + k, gain));
            let channels = spec.channels().unwrap_or(0);
            let d_theta = if channels > 0 { rows.take(count) } else { m };
            let adjoint = Rows { at: d_theta.at, count };
            let gradients = [Some(x), None].map(|input| {
                let at = if input.is_some() { slot.weight } else { slot.bias };
                packer.gradient(input, adjoint, at, gain)
            });
            Basis { count, channels, plain: spec.modulation == Modulation::Plain, weight, d_theta, gradients }
        });
        let mut decoder_inputs = vec![m];
        if spec.skip_latent {
            decoder_inputs.push(z);
        }
        if spec.input_coords {
            decoder_inputs.push(x);
        }
        let decoder = packer.network(&layout.decoder, spec.decoder.activation, &used(decoder_inputs), &mut rows);
        let out = decoder.last().map_or(m, |layer| layer.out);
        let feature_width = [4, 2].into_iter().find(|w| latent.features.is_multiple_of(*w)).unwrap_or(1);
        let trunk = Shape {
            tile,
            dim: spec.dim,
            outputs: spec.outputs,
            levels: latent.levels.len(),
            features: latent.features,
            feature_width,
            smooth: latent.interpolation == Interpolation::Smoothstep,
            product: latent.product,
            x,
            u,
            z,
            m,
            s,
            basis,
            spectrum,
            decoder,
            out,
            rows: rows.next,
            sums: packer.take_sums(head),
        };
        let head = spec.color_head.map(|config| {
            let mut rows = Allocator { next: 0 };
            let (f, code) = (rows.take(spec.outputs), rows.take(config.encoding.width()));
            let layers = packer.network(&layout.head, config.mlp.activation, &[f, code], &mut rows);
            let out = layers.last().map_or(f, |layer| layer.out);
            let (harmonics, octaves) = match config.encoding {
                DirectionEncoding::Sh(degree) => (degree, 0),
                DirectionEncoding::Frequency(octaves) => (0, octaves),
            };
            let (inputs, rows, sums) = (spec.outputs, rows.next, packer.take_sums(head));
            HeadShape { tile: head, inputs, harmonics, octaves, f, code, layers, out, rows, sums }
        });
        Self { trunk, head, packed: packer.packed, levels: level_table(spec) }
    }

    /// Plans with tiles of at most `points` points, as large as `blocks` of them fit into `shared` bytes of workgroup
    /// memory; `None` where not even the smallest does.
    ///
    /// Gradients of networks are summed in workgroup memory if that leaves tiles of a fair size.
    pub fn fitting(spec: &FieldSpec, points: usize, units: usize, shared: usize, blocks: usize) -> Option<Self> {
        let size = |points| TileSize { points, units };
        let sizes = || std::iter::successors(Some(points), |p| (p / 2 >= LANES).then_some(p / 2));
        let most = shared / blocks.max(1);
        // The largest size for which `bytes` of a plan fit.
        let largest = |bytes: &dyn Fn(&Self) -> usize, least: usize| {
            sizes().filter(|p| *p >= least).find(|p| bytes(&Self::new(spec, size(*p), size(*p))) <= most)
        };
        let trunk = |plan: &Self| 4 * plan.trunk.rows * plan.trunk.tile.points;
        let head = |plan: &Self| plan.head.as_ref().map_or(0, |h| 4 * h.rows * h.tile.points);
        let trunk_sums = |plan: &Self| trunk(plan) + 16 * plan.trunk.sums.vectors;
        let head_sums = |plan: &Self| head(plan) + plan.head.as_ref().map_or(0, |h| 16 * h.sums.vectors);
        let choose = |with: &dyn Fn(&Self) -> usize, without: &dyn Fn(&Self) -> usize| {
            largest(with, FAIR_POINTS.min(points))
                .map(|p| (p, true))
                .or_else(|| Some((largest(without, LANES)?, false)))
        };
        let ((trunk, trunk_sums), (head, head_sums)) = (choose(&trunk_sums, &trunk)?, choose(&head_sums, &head)?);
        let mut plan = Self::new(spec, size(trunk), size(head));
        if !trunk_sums {
            plan.trunk.sums.vectors = 0;
        }
        if let Some(head) = plan.head.as_mut().filter(|_| !head_sums) {
            head.sums.vectors = 0;
        }
        Some(plan)
    }
}

/// Units at most that share a block of a gradient: each keeps sums of its own.
const MAX_PARTS: usize = 4;
/// Points of a tile that are worth more than sums of gradients in workgroup memory.
const FAIR_POINTS: usize = 32;

fn level_table(spec: &FieldSpec) -> Vec<u32> {
    let starts = spec.latent.offsets(spec.dim);
    let mut table = Vec::with_capacity(spec.latent.levels.len() * LEVEL_WORDS);
    for (level, start) in spec.latent.levels.iter().zip(starts) {
        let mut words = [0; LEVEL_WORDS];
        let mut stride = 1u32;
        for j in (0..spec.dim).filter(|j| level.axes.has(*j)) {
            words[j] = level.resolution;
            words[4 + j] = if level.hashmap_size.is_some() { nstr_spec::HASH_PRIMES[j] } else { stride };
            stride = stride.wrapping_mul(level.resolution + 1);
        }
        words[3] = u32::from(level.hashmap_size.is_some());
        words[7] = level.hashmap_size.map_or(u32::MAX, |size| size - 1);
        words[8] = start as u32;
        table.extend(words);
    }
    table
}
