//! Parameters in the layouts that the shaders read.

use half::f16;

use crate::gpu::program::{GridPrecision, Program, entry_words, lanes};

/// Networks and grid as bytes of storage buffers.
pub(super) struct Packed {
    pub net: Vec<u8>,
    pub grid: Vec<u8>,
}

/// Packs parameters (`grid` and `net` as in [`FieldSpec`](nstr_spec::FieldSpec)).
pub(super) fn pack(program: &Program, grid: &[f32], net: &[f32], precision: GridPrecision) -> Packed {
    Packed { net: bytes(&networks(program, net), GridPrecision::F32), grid: bytes(&latent(program, grid), precision) }
}

/// Each layer's biases, then for each block of four outputs the columns of its 4×4 matrices, gains multiplied in; padding
/// is zero.
fn networks(program: &Program, net: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; program.net_words * 4];
    for layer in program.layers() {
        let (slot, gain) = (&layer.slot, layer.slot.gain as f32);
        let biases = &net[slot.bias..][..slot.outputs];
        out[layer.at * 4..].iter_mut().zip(biases).for_each(|(to, b)| *to = gain * b);
        let weights = &mut out[(layer.at + layer.outputs) * 4..];
        for (i, place) in layer.place.iter().enumerate() {
            for o in 0..slot.outputs {
                let word = (o / 4 * layer.inputs * 4) + place;
                weights[word * 4 + o % 4] = gain * net[slot.weight + i * slot.outputs + o];
            }
        }
    }
    out
}

/// Entries padded to whole words; some zeros where there is no grid, because buffers are not empty.
fn latent(program: &Program, grid: &[f32]) -> Vec<f32> {
    let spec = program.spec();
    let (features, padded) = (spec.latent.features, entry_words(spec) * lanes(spec));
    if grid.is_empty() {
        return vec![0.0; 16];
    }
    if features == padded {
        return grid.to_vec();
    }
    let mut out = vec![0.0; grid.len() / features * padded];
    for (to, from) in out.chunks_exact_mut(padded).zip(grid.chunks_exact(features)) {
        to[..features].copy_from_slice(from);
    }
    out
}

fn bytes(values: &[f32], precision: GridPrecision) -> Vec<u8> {
    match precision {
        GridPrecision::F32 => bytemuck::cast_slice(values).to_vec(),
        GridPrecision::F16 => {
            bytemuck::cast_slice(&values.iter().map(|v| f16::from_f32(*v)).collect::<Vec<_>>()).to_vec()
        }
    }
}
