//! Initial values of a field whose first output is a distance: a given shape, exactly as the coarsest latent level can hold it.
//!
//! The first feature of the coarsest level takes the distances at its vertices, two units of each hidden layer hand it on (its
//! positive and its negative part), and the last layer subtracts them again. What the field adds to that begins near 0.

use glam::Vec3;
use nstr_spec::config::ConfigError;
use nstr_spec::{Activation, FieldSpec};

/// Factor of the other weights of the distance's last layer: what they add is small at first, and has gradients.
const REST: f32 = 1e-2;

/// Checks that a field can begin as a shape: a dense coarsest level that enters a decoder with ReLU, or without hidden layers.
///
/// # Errors
/// [`ConfigError::Value`] names the key.
pub(crate) fn check_shape(spec: &FieldSpec) -> Result<(), ConfigError> {
    let invalid = |key: &str, value: String, expected: &str| {
        Err(ConfigError::Value {
            key: key.into(),
            value,
            expected: format!("{expected}, where the density is that of a distance"),
        })
    };
    let is_dense =
        |level: &nstr_spec::LevelSpec| level.hashmap_size.is_none() && level.axes.count(spec.dim) == spec.dim;
    if !spec.latent.levels.first().is_some_and(is_dense) || spec.latent.product != 1 {
        return invalid("latent.kind", "this one".into(), "must be dense, pyramid or hash with a dense coarsest level");
    }
    if !spec.skip_latent {
        return invalid("skip_latent", "false".into(), "must be true");
    }
    let decoder = &spec.decoder;
    if decoder.layers > 0 && (decoder.activation != Activation::Relu || decoder.width < 2 || decoder.omega_0 != 1) {
        return invalid("decoder.activation", decoder.activation.to_string(), "must be relu, of width 2 or more");
    }
    Ok(())
}

/// Writes a shape into the initial values of a field that [`check_shape`] accepts; `distance` is that of a point of the unit cube.
pub(crate) fn write_shape(spec: &FieldSpec, grid: &mut [f32], net: &mut [f32], distance: impl Fn(Vec3) -> f32) {
    let Some(level) = spec.latent.levels.first() else { return };
    let (vertices, features) = (level.resolution as usize + 1, spec.latent.features);
    for (i, entry) in grid.chunks_exact_mut(features).take(vertices.pow(3)).enumerate() {
        let at = [i % vertices, i / vertices % vertices, i / (vertices * vertices)].map(|v| v as f32);
        entry[0] = distance(Vec3::from(at) / level.resolution as f32);
    }
    let layout = spec.net_layout();
    let mut inputs = vec![(spec.modulated_width(), 1.0)];
    for slot in &layout.decoder {
        // Units that hand the distance on, or the output that is it.
        let units: &[f32] = if slot.activated { &[1.0, -1.0] } else { &[1.0] };
        let weights = &mut net[slot.weight..slot.weight + slot.inputs * slot.outputs];
        for (unit, sign) in units.iter().enumerate() {
            let rest = if slot.activated { 0.0 } else { REST };
            weights.iter_mut().skip(unit).step_by(slot.outputs).for_each(|weight| *weight *= rest);
            inputs.iter().for_each(|(input, factor)| weights[input * slot.outputs + unit] = sign * factor);
        }
        net[slot.bias..slot.bias + units.len()].fill(0.0);
        inputs = vec![(0, 1.0), (1, -1.0)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_kernel::{FusedField, Outputs};
    use nstr_spec::config::preset;
    use nstr_spec::init;

    #[test]
    fn a_field_begins_as_the_shape() {
        let ball = |p: Vec3| p.distance(Vec3::splat(0.5)) - 0.3;
        for layers in ["decoder.layers=0", "decoder.layers=1", "decoder.layers=3"] {
            let config = preset("surface").unwrap().set(&[layers, "latent.hashmap_size=8192"]).unwrap();
            let spec = config.spec();
            check_shape(&spec).unwrap();
            let (mut grid, mut net) = init::parameters(&spec, &config.init);
            write_shape(&spec, &mut grid, &mut net, ball);
            let fused = FusedField::new(&spec);
            let points: Vec<Vec3> = (0..500).map(|i| Vec3::new(0.618, 0.755, 0.57) * i as f32 % 1.0).collect();
            let width = fused.width(Outputs::Gradient);
            let mut out = vec![0.0; width * points.len()];
            let x: Vec<f32> = points.iter().flat_map(|p| p.to_array()).collect();
            fused.evaluate(&fused.pack(&net), &grid, &x, Outputs::Gradient, &mut out);
            let at = spec.full_columns().gradient;
            for (p, row) in points.iter().zip(out.chunks_exact(width)) {
                // The middle of a ball is a kink that 16 cells round off.
                if p.distance(Vec3::splat(0.5)) > 0.15 {
                    let slope = Vec3::from_slice(&row[at..at + 3]).length();
                    assert!((row[0] - ball(*p)).abs() < 0.02, "{layers}: {} for {} at {p}", row[0], ball(*p));
                    assert!((slope - 1.0).abs() < 0.3, "{layers}: slope {slope} at {p}");
                }
            }
        }
    }

    #[test]
    fn fields_that_cannot_begin_as_a_shape_are_named() {
        for (set, key) in [
            ("latent.kind=planes", "latent.kind"),
            ("latent.base_resolution=64", "latent.kind"),
            ("skip_latent=false", "skip_latent"),
            ("decoder.activation=silu", "decoder.activation"),
        ] {
            let spec = preset("surface").unwrap().set(&[set, "latent.hashmap_size=8192"]).unwrap().spec();
            let said = check_shape(&spec).unwrap_err().to_string();
            assert!(said.contains(key), "{set}: {said}");
        }
    }
}
