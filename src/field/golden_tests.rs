//! Model files of format version 1, as the program wrote them when its options still had their first names: they must load with
//! the same values for ever. `tests/oracle/golden_*.safetensors` are never written anew.

use std::path::PathBuf;

use glam::Vec3;
use nstr_space::fields::{DistanceField, RadianceField};
use nstr_spec::config::FieldConfig;
use nstr_spec::{Activation, DirectionEncoding, MlpSpec, Modulation};

use crate::{Model, NeuralRadiance, NeuralSdf};

const POINTS: [Vec3; 4] =
    [Vec3::new(0.25, 0.5, 0.75), Vec3::new(0.1, 0.9, 0.3), Vec3::new(0.62, 0.41, 0.58), Vec3::new(0.05, 0.05, 0.95)];

fn golden(name: &str) -> Model {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle");
    Model::load(folder.join(format!("golden_{name}.safetensors"))).unwrap()
}

/// FNV-1a of the values' bytes.
fn fingerprint(values: &[f32]) -> u64 {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn assert_close(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= 1e-6 * want.abs().max(1.0), "{got} against {want}");
    }
}

#[test]
fn a_distance_field_loads_with_its_values() {
    let model = golden("sdf");
    let spec = &model.spec;
    let levels: Vec<_> = spec.latent.levels.iter().map(|l| (l.resolution, l.hashmap_size)).collect();
    assert_eq!(levels, [(2, None), (4, None), (9, Some(128))]);
    assert_eq!((spec.dim, spec.outputs, spec.basis, spec.latent.features), (3, 1, 6, 2));
    assert_eq!((spec.modulation, spec.basis_omega_0, spec.color_head), (Modulation::Product, 1, None));
    assert_eq!((spec.skip_latent, spec.input_coords, spec.spectrum_input), (true, true, false));
    assert_eq!(spec.decoder, MlpSpec::new(2, 10, Activation::Relu));
    assert_eq!(model.cube().origin.to_array(), [-0.531355, -0.05040500000000003, -0.594455]);
    assert_eq!((model.cube().size, model.provenance["input"].as_str()), (1.06271, "chair.obj"));
    assert_eq!(model.metrics["steps"], 5.0);

    assert_eq!((model.grid[0], model.grid[280], model.grid[559]), (-0.005_960_141_3, 0.007_822_047, 0.007_123_656));
    assert_eq!((model.net[0], model.net[364]), (-16.790_516, 0.695_140_4));
    assert_eq!((model.grid.len(), fingerprint(&model.grid)), (560, 0x1ae4_fbf4_c7db_c1e0));
    assert_eq!((model.net.len(), fingerprint(&model.net)), (729, 0x0a9a_0874_0fe3_9e38));

    // The fit's configuration, under its older names.
    let field = &model.config["fit"]["field"];
    assert!(field["latent"]["coarsest"] == 2 && field["basis_gain"] == 1 && field["coordinates"] == true);
    let config: FieldConfig = serde_json::from_value(field.clone()).unwrap();
    assert_eq!(config.spec(), *spec);

    let field = NeuralSdf::new(spec, model.grid.clone(), &model.net, Some(2.0));
    let (mut distance, mut gradient) = ([0.0; 4], [Vec3::ZERO; 4]);
    field.distance_gradient(&POINTS, &mut distance, &mut gradient);
    assert_close(&distance, &[0.186_147_38, 0.093_006_516, 0.475_211_9, 0.020_952_464]);
    assert_close(
        &gradient.map(|g| g.to_array()).concat(),
        &[
            [1.235_045_4, 1.382_973_3, -0.376_426_1],
            [0.759_085_4, -0.753_282_5, -2.580_44],
            [2.271_326, -0.686_648_8, 1.348_855_7],
            [0.620_093_76, 1.244_850_6, 1.485_211_8],
        ]
        .concat(),
    );
}

#[test]
fn a_radiance_field_loads_with_its_values_and_its_occupied_cells() {
    let model = golden("radiance");
    let spec = &model.spec;
    let levels: Vec<_> = spec.latent.levels.iter().map(|l| (l.resolution, l.hashmap_size)).collect();
    assert_eq!((levels, spec.outputs), (vec![(2, None), (8, Some(64))], 4));
    let head = spec.color_head.unwrap();
    assert_eq!((head.encoding, head.mlp), (DirectionEncoding::Sh(2), MlpSpec::new(1, 8, Activation::Relu)));

    assert_eq!((model.grid[0], model.grid[181], model.net[0]), (-0.026_537_132, -0.035_470_948, 0.911_122_1));
    assert_eq!((model.grid.len(), fingerprint(&model.grid)), (182, 0x9837_5ae2_c5f9_9449));
    assert_eq!((model.net.len(), fingerprint(&model.net)), (419, 0x2fc9_d416_0c40_fa7a));
    let occupancy = model.occupancy.clone().unwrap();
    assert_eq!(occupancy.cells(), 16);
    let occupied: Vec<usize> = (0..16usize.pow(3)).filter(|i| occupancy.get(*i)).collect();
    let sum = occupied.iter().sum::<usize>();
    assert_eq!((occupied.len(), sum), OCCUPIED);

    let config: FieldConfig = serde_json::from_value(model.config["fit"]["field"].clone()).unwrap();
    assert_eq!(config.spec(), *spec);

    let directions = [Vec3::new(0.6, 0.0, 0.8), Vec3::NEG_Y, Vec3::new(-0.8, 0.6, 0.0), Vec3::Z];
    let field = NeuralRadiance::new(spec, model.grid.clone(), &model.net, occupancy);
    let mut out = [[0.0; 4]; 4];
    field.radiance(&POINTS, &directions, &mut out);
    // The command gives densities per world unit.
    out.iter_mut().for_each(|row| row[3] /= model.cube().size as f32);
    assert_close(
        &out.concat(),
        &[
            [0.492_029_67, 0.607_413_35, 0.506_591_5, 0.396_322_52],
            [0.539_095_94, 0.552_396_3, 0.563_723_6, 0.384_751_4],
            [0.524_015_2, 0.572_629_2, 0.518_185_73, 0.389_601_95],
            [0.494_814_16, 0.588_086_2, 0.474_813_94, 0.390_970_9],
        ]
        .concat(),
    );
}

/// Number of occupied cells, and the sum of their numbers.
const OCCUPIED: (usize, usize) = (685, 1_724_401);
