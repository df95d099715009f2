//! Shader program of a field's shape: memory layout and sequence of operations.
//!
//! `shaders/field.wgsl` knows how to do one layer, one level, one modulation; which ones there are is a table made here.

use std::fmt::Write;

use nstr_spec::MAX_RAW_DENSITY;
use nstr_spec::{Activation, DirectionEncoding, FieldSpec, Interpolation, LayerSlot, MlpSpec};

use crate::gpu::error::GpuError;

/// Bytes of a point's row that an invocation may keep: beyond, drivers refuse or crawl.
const MAX_ROW: usize = 64 << 10;

/// Numbers of an operation, and the kinds; as in `shaders/field.wgsl`.
const OP: usize = 8;
const LAYER: u32 = 0;
const LEVEL: u32 = 1;
const MODULATE: u32 = 2;
const PRODUCT: u32 = 3;
const COPY: u32 = 4;

/// Storage of the grid's numbers on the device; networks are small and always 32-bit floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum GridPrecision {
    /// 32-bit floats.
    #[default]
    F32,
    /// Pairs of 16-bit floats in a word: half the memory and bandwidth; models saved as f16 lose nothing.
    F16,
}

impl GridPrecision {
    /// The smaller one that holds a grid exactly: that of a model saved in f16 fits in halves.
    pub fn lossless(grid: &[f32]) -> Self {
        let exact = |v: &f32| half::f16::from_f32(*v).to_f32() == *v;
        if grid.iter().all(exact) { Self::F16 } else { Self::F32 }
    }
}

/// A linear layer as the shader reads it.
#[derive(Clone, Debug)]
pub(super) struct LayerPlan {
    pub slot: LayerSlot,
    /// First block of its inputs in a row, and blocks.
    source: usize,
    pub inputs: usize,
    /// First block of its outputs, and blocks.
    to: usize,
    pub outputs: usize,
    /// First word of its weights.
    pub at: usize,
    activation: u32,
    /// Padded place of each logical input.
    pub place: Vec<usize>,
}

/// The program of one field shape.
#[derive(Clone, Debug)]
pub struct Program {
    spec: FieldSpec,
    rows: Rows,
    basis: LayerPlan,
    spectrum: Vec<LayerPlan>,
    decoder: Vec<LayerPlan>,
    transport: Vec<LayerPlan>,
    head: Vec<LayerPlan>,
    /// Words of four values of all networks.
    pub(super) net_words: usize,
}

/// First block of each part of a point's row: modulated values, latent features, coordinates, spectrum, decoder's values,
/// encoded direction, two buffers for hidden layers, colour, transport, features of levels that are multiplied.
#[derive(Clone, Copy, Debug)]
struct Rows {
    m: usize,
    z: usize,
    x: usize,
    s: usize,
    f: usize,
    e: usize,
    a: usize,
    b: usize,
    c: usize,
    t: usize,
    u: usize,
    stride: usize,
}

/// Blocks of four that hold `n` values.
pub(super) fn blocks(n: usize) -> usize {
    n.div_ceil(4)
}

/// Values of a grid entry that are read at once: 2 or 4, the last ones padded with zeros.
pub(super) fn lanes(spec: &FieldSpec) -> usize {
    if spec.latent.features <= 2 { 2 } else { 4 }
}

/// Words of a grid entry.
pub(super) fn entry_words(spec: &FieldSpec) -> usize {
    spec.latent.features.div_ceil(lanes(spec))
}

impl Rows {
    fn new(spec: &FieldSpec) -> Self {
        let hidden = |mlp: &MlpSpec| if mlp.layers > 0 { blocks(mlp.width) } else { 0 };
        let nets = [spec.spectrum, spec.decoder, spec.transport];
        let widest = nets.iter().chain(spec.color_head.as_ref().map(|v| &v.mlp)).map(hidden).max().unwrap_or(0);
        let widest = widest.max(blocks(spec.basis_width()));
        let multiplied = if spec.latent.product > 1 { spec.latent.levels.len() * spec.latent.features } else { 0 };
        let mut at = 0;
        let mut take = |n: usize| {
            at += n;
            at - n
        };
        Self {
            m: take(blocks(spec.modulated_width())),
            z: take(blocks(spec.latent.width())),
            x: take(1),
            s: take(blocks(spec.spectrum_width())),
            f: take(blocks(spec.outputs)),
            e: take(spec.color_head.map_or(1, |v| blocks(v.encoding.width()))),
            a: take(widest),
            b: take(widest),
            c: take(1),
            t: take(blocks(spec.transport_width())),
            u: take(blocks(multiplied)),
            stride: take(0),
        }
    }
}

impl Program {
    /// Plans the shader of `spec`.
    ///
    /// # Errors
    /// [`GpuError::Unsupported`] for fields of other than three coordinates, and for those too wide to evaluate in a shader.
    pub fn new(spec: &FieldSpec) -> Result<Self, GpuError> {
        let unsupported = |what: String| Err(GpuError::Unsupported { what });
        if spec.dim != 3 {
            return unsupported(format!("a field of {} coordinates", spec.dim));
        }
        let rows = Rows::new(spec);
        if rows.stride * 4 * 16 > MAX_ROW {
            return unsupported(format!("a field whose layers hold {} values a point", rows.stride * 4));
        }
        let layout = spec.net_layout();
        let (z, zp) = (spec.latent.width(), 4 * blocks(spec.latent.width()));
        let (m, mp) = (spec.modulated_width(), 4 * blocks(spec.modulated_width()));
        let mut words = 0;
        // Sinusoids that nothing modulates go to where modulated ones would.
        let wave = if spec.modulates() { rows.a } else { rows.m };
        let basis = plan(&layout.basis, (rows.x, wave), 3, (0..3).collect(), &mut words);
        // z, then x behind z's padding.
        let place = (0..z).chain((zp..zp + 3).filter(|_| spec.spectrum_input)).collect();
        let spectrum = chain(&layout.spectrum, &spec.spectrum, &rows, (rows.z, rows.s), place, &mut words);
        let place = (0..m).chain((mp..mp + z).filter(|_| spec.skip_latent));
        let place = place.chain((mp + zp..mp + zp + 3).filter(|_| spec.input_coords)).collect();
        let decoder = chain(&layout.decoder, &spec.decoder, &rows, (rows.m, rows.f), place, &mut words);
        let place = (0..3).chain(4..4 + spec.spectrum_width()).collect();
        let transport = chain(&layout.transport, &spec.transport, &rows, (rows.x, rows.t), place, &mut words);
        let head = spec.color_head.map_or(Vec::new(), |view| {
            let fp = 4 * blocks(spec.outputs);
            let place = (0..spec.outputs).chain(fp..fp + view.encoding.width()).collect();
            chain(&layout.head, &view.mlp, &rows, (rows.f, rows.c), place, &mut words)
        });
        Ok(Self { spec: spec.clone(), rows, basis, spectrum, decoder, transport, head, net_words: words })
    }

    /// The shape.
    pub fn spec(&self) -> &FieldSpec {
        &self.spec
    }

    /// Every layer, in the order of their words.
    pub(super) fn layers(&self) -> impl Iterator<Item = &LayerPlan> {
        let nets = [&self.spectrum, &self.decoder, &self.transport, &self.head];
        std::iter::once(&self.basis).chain(nets.into_iter().flatten())
    }

    /// Iterations of the shader's loops that one evaluation takes, colour included: software drivers count them.
    pub(super) fn iterations(&self) -> usize {
        let spec = &self.spec;
        let nets = [&self.spectrum, &self.decoder, &self.head].into_iter().flatten();
        let layers: usize = nets.chain([&self.basis]).map(|l| l.outputs * (1 + l.inputs)).sum();
        let sums = spec.basis_width() * (1 + spec.channels().unwrap_or(0));
        let product = if spec.latent.product > 1 { 16 * spec.latent.width() } else { 0 };
        let levels = spec.latent.levels.len() * (entry_words(spec) + 8) + product;
        layers + sums + levels + self.ops().len() / OP
    }

    /// Those of the sums over S and its slopes, and of the transport network: once for each place whose layers are made.
    pub(super) fn extra_iterations(&self) -> usize {
        let transport: usize = self.transport.iter().map(|l| l.outputs * (1 + l.inputs)).sum();
        transport + 6 * self.spec.spectrum_width()
    }

    /// The generated part and `field.wgsl`: WGSL that evaluates the field. Without `tangents` field4 and what needs it must
    /// not be called.
    pub fn source(&self, precision: GridPrecision, tangents: bool) -> String {
        let count = self.ops().len() / OP;
        let table = format!("@group(0) @binding(2) var<uniform> ops: array<vec4<u32>, {}>;\n", 2 * count);
        self.constants(tangents) + &table + &self.words(precision) + nstr_shaders::FIELD
    }

    /// The sequence of operations, [`OP`] numbers each: what field1 and field4 run, then S where values need none, the
    /// transport network and the colour head.
    pub(super) fn ops(&self) -> Vec<u32> {
        self.parts().concat()
    }

    fn parts(&self) -> [Vec<u32>; 4] {
        let layers = |layers: &[LayerPlan]| layers.iter().flat_map(LayerPlan::op).collect::<Vec<u32>>();
        let spec = &self.spec;
        let words = entry_words(spec);
        let mut field = Vec::new();
        for (l, (level, start)) in (0..).zip(spec.latent.levels.iter().zip(spec.latent.offsets(3))) {
            let mask = level.hashmap_size.map_or(0, |t| t - 1);
            let hashed = u32::from(level.hashmap_size.is_some());
            field.extend([
                LEVEL,
                l,
                (start * words) as u32,
                level.resolution,
                hashed,
                mask,
                u32::from(level.axes.0),
                0,
            ]);
        }
        let simple = |kind: u32| [kind, 0, 0, 0, 0, 0, 0, 0];
        if spec.latent.product > 1 {
            field.extend(simple(PRODUCT));
        }
        field.extend(layers(&self.spectrum));
        if spec.basis_width() > 0 {
            field.extend(self.basis.op());
        }
        if spec.modulates() {
            field.extend(simple(MODULATE));
        }
        field.extend(layers(&self.decoder));
        let spectrum = if spec.modulates() { Vec::new() } else { simple(COPY).to_vec() };
        [field, spectrum, layers(&self.transport), layers(&self.head)]
    }

    fn constants(&self, tangents: bool) -> String {
        let (spec, r) = (&self.spec, &self.rows);
        let (sh, octaves) = match spec.color_head.map(|v| v.encoding) {
            Some(DirectionEncoding::Sh(degree)) => (degree, 0),
            Some(DirectionEncoding::Frequency(octaves)) => (0, octaves),
            None => (1, 0),
        };
        let mut first = [0; 5];
        for (i, part) in self.parts().iter().enumerate() {
            first[i + 1] = first[i] + part.len() / OP;
        }
        let numbers = [
            ("STRIDE", r.stride),
            ("ROW_BLOCKS", if tangents { 4 * r.stride } else { r.stride }),
            // 0 where there are no tangents, so that what nobody calls stays within bounds.
            ("TANGENT", if tangents { r.stride } else { 0 }),
            ("M_AT", r.m),
            ("Z_AT", r.z),
            ("X_AT", r.x),
            ("S_AT", r.s),
            ("F_AT", r.f),
            ("E_AT", r.e),
            ("WAVE_AT", r.a),
            ("C_AT", r.c),
            ("T_AT", r.t),
            // Levels that are multiplied are looked up apart.
            ("LEVELS_AT", if spec.latent.product > 1 { r.u } else { r.z }),
            ("U_AT", r.u),
            ("GROUP", spec.latent.product),
            ("LATENT", spec.latent.width()),
            ("FEATURES", spec.latent.features),
            ("LANES", lanes(spec)),
            ("WORDS", entry_words(spec)),
            ("BASIS", spec.basis_width()),
            ("BASIS_BLOCKS", blocks(spec.basis_width())),
            ("CHANNELS", spec.channels().unwrap_or(0)),
            ("SPECTRUM", spec.spectrum_width()),
            ("SH_DEGREE", sh),
            ("OCTAVES", octaves),
            ("FIELD_OPS", first[1]),
            ("SPECTRUM_FROM", first[1]),
            ("SPECTRUM_TO", first[2]),
            ("TRANSPORT_FROM", first[2]),
            ("TRANSPORT_TO", first[3]),
            ("HEAD_FROM", first[3]),
            ("HEAD_TO", first[4]),
        ];
        let mut out = String::new();
        for (name, value) in numbers {
            let _ = writeln!(out, "const {name} = {value}u;");
        }
        let smooth = spec.latent.interpolation == Interpolation::Smoothstep;
        let _ = writeln!(out, "const SMOOTHSTEP = {smooth};\nconst HAS_VIEW = {};", spec.color_head.is_some());
        let _ = writeln!(out, "const TRANSPORTS = {};", spec.transports());
        let _ = writeln!(out, "const MAX_RAW_DENSITY = {MAX_RAW_DENSITY:.1};");
        let sharpness = spec.density_law().sharpness().unwrap_or(0);
        let _ = writeln!(out, "const SHARPNESS = {sharpness}.0;");
        out
    }

    /// Buffers and how a word of them is read.
    fn words(&self, precision: GridPrecision) -> String {
        let grid = match (precision, lanes(&self.spec)) {
            (GridPrecision::F32, 4) => {
                "array<vec4<f32>>;
fn grid_word(i: u32) -> vec4<f32> { return grid[i]; }
"
            }
            (GridPrecision::F32, _) => {
                "array<vec2<f32>>;
fn grid_word(i: u32) -> vec4<f32> { return vec4(grid[i], 0.0, 0.0); }
"
            }
            (GridPrecision::F16, 4) => {
                "array<vec2<u32>>;
fn grid_word(i: u32) -> vec4<f32> { return vec4(unpack2x16float(grid[i].x), unpack2x16float(grid[i].y)); }
"
            }
            (GridPrecision::F16, _) => {
                "array<u32>;
fn grid_word(i: u32) -> vec4<f32> { return vec4(unpack2x16float(grid[i]), 0.0, 0.0); }
"
            }
        };
        let net = "@group(0) @binding(0) var<storage, read> net: array<vec4<f32>>;
fn net_word(i: u32) -> vec4<f32> { return net[i]; }
@group(0) @binding(1) var<storage, read> grid: ";
        net.to_string() + grid
    }
}

impl LayerPlan {
    fn op(&self) -> [u32; OP] {
        let Self { source, inputs, to, outputs, at, activation, .. } = *self;
        let [source, inputs, to, outputs, at] = [source, inputs, to, outputs, at].map(|v| v as u32);
        [LAYER, source, inputs, to, outputs, at, activation, 0]
    }
}

/// Number of an activation in `field.wgsl`.
fn code(activation: Activation) -> u32 {
    match activation {
        Activation::Relu => 1,
        Activation::Silu => 2,
        Activation::Sine => 3,
    }
}

fn plan(
    slot: &LayerSlot,
    (source, to): (usize, usize),
    activation: u32,
    place: Vec<usize>,
    words: &mut usize,
) -> LayerPlan {
    let (inputs, outputs) = (blocks(place.last().map_or(0, |p| p + 1)), blocks(slot.outputs));
    let at = *words;
    *words += outputs * (1 + 4 * inputs);
    LayerPlan { slot: *slot, source, inputs, to, outputs, at, activation, place }
}

/// The layers of a network that reads from block `from`, its hidden layers in turn in the two buffers, and writes to `to`.
fn chain(
    slots: &[LayerSlot],
    mlp: &MlpSpec,
    rows: &Rows,
    (from, to): (usize, usize),
    place: Vec<usize>,
    words: &mut usize,
) -> Vec<LayerPlan> {
    let (mut source, mut place) = (from, place);
    let mut out = Vec::with_capacity(slots.len());
    for (l, slot) in slots.iter().enumerate() {
        let target = if !slot.activated { to } else { [rows.a, rows.b][l % 2] };
        let activation = if slot.activated { code(mlp.activation) } else { 0 };
        out.push(plan(slot, (source, target), activation, std::mem::take(&mut place), words));
        (source, place) = (target, (0..slot.outputs).collect());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_spec::config::preset;

    #[test]
    fn every_preset_has_a_program_and_other_shapes_say_why_not() {
        for name in nstr_spec::config::PRESETS {
            let spec = preset(name).unwrap().spec();
            if spec.dim != 3 || name.ends_with("siren") || name.ends_with("fourier") || name.ends_with("relu") {
                continue;
            }
            let program = Program::new(&spec).unwrap();
            let rows = &program.rows;
            assert!(rows.stride * 64 <= MAX_ROW && program.ops().len().is_multiple_of(OP));
            assert_eq!(program.net_words, program.layers().map(|l| l.outputs * (1 + 4 * l.inputs)).sum::<usize>());
        }
        let plane = preset("sdf").unwrap().set(&["dim=2"]).unwrap().spec();
        assert!(Program::new(&plane).unwrap_err().to_string().contains("2 coordinates"));
        let wide = preset("sdf").unwrap().set(&["decoder.width=2048"]).unwrap().spec();
        assert!(Program::new(&wide).unwrap_err().to_string().contains("--renderer cpu"));
    }

    #[test]
    fn halves_are_taken_where_nothing_is_lost() {
        assert_eq!(GridPrecision::lossless(&[0.5, -2.0, 1024.0]), GridPrecision::F16);
        assert_eq!(GridPrecision::lossless(&[0.5, 0.1]), GridPrecision::F32);
        assert_eq!(GridPrecision::lossless(&[f32::NAN]), GridPrecision::F32);
    }
}
