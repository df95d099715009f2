use std::collections::BTreeMap;

use nstr_spec::init;
use nstr_spec::preset::preset;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::*;

fn spec() -> FieldSpec {
    let changes = ["latent.base_resolution=8", "latent.resolution=32", "latent.levels=3", "latent.hashmap_size=1024"];
    preset("image-tiny").unwrap().set(&changes).unwrap().spec()
}

/// Parameters with features of every size, and moments that fall from level to level and spread inside of them.
fn measured(spec: &FieldSpec) -> Measured {
    let (mut grid, net) = init::parameters(spec, &Default::default());
    let mut rng = Pcg64::seed_from_u64(5);
    grid.iter_mut().for_each(|v| *v = rng.random_range(-1.0_f32..1.0).powi(3));
    let offsets = spec.latent.offsets(spec.dim);
    let features = spec.latent.features;
    let mut squares = vec![0.0; grid.len()];
    for (l, range) in offsets.windows(2).enumerate() {
        for e in range[0]..range[1] {
            let size = 1e-6 * 0.1_f32.powi(l as i32) * if e % 4 == 0 { 1.0 } else { 1e-3 };
            squares[e * features..(e + 1) * features].iter_mut().for_each(|v| *v = size * rng.random_range(0.5..2.0));
        }
    }
    let of_net = net.iter().map(|_| rng.random_range(1e-7..1e-5)).collect();
    Measured { grid, net, squares: [squares, of_net], occupancy: None, outputs: 3e4, loss: 0.01 }
}

fn control(bytes: u64) -> SizeControl {
    SizeControl::new(&RoundingConfig::default(), SizeTarget { bytes, has_transport: true })
}

/// Bytes of the sections of a file of rounded parameters.
fn size(spec: &FieldSpec, state: &RoundingState, measured: Measured) -> u64 {
    let (mut grid, mut net) = (measured.grid, measured.net);
    state.round(spec, &mut grid, &mut net);
    let model = bare_model(spec, grid.clone(), net.clone(), None);
    let quantized = QuantizedModel::new(&model, &state.steps).unwrap();
    // Rounded parameters are those of the file, but for integers that are dearer than what they are worth.
    let decoded = quantized.parameters().unwrap();
    assert_eq!(decoded.1, net);
    let differing = decoded.0.iter().zip(&grid).filter(|(a, b)| a != b).count();
    assert!(differing * 10 < grid.len(), "{differing} of {} values", grid.len());
    let file = quantized.encode(&model).unwrap();
    (file.len() - file.header_len()) as u64
}

#[test]
fn steps_are_set_for_the_size() {
    let spec = spec();
    let mut noise = 0.0;
    for bytes in [7000, 5500, 4300] {
        let state = control(bytes).update(&spec, 1.0, None, measured(&spec)).unwrap();
        let found = size(&spec, &state, measured(&spec));
        // The choice between integers differs a little from the rounding in training.
        assert!((0.94..1.01).contains(&(found as f64 / bytes as f64)), "{found} bytes for {bytes}");
        assert!(state.noise > noise && state.fits(&spec) && state.bit > 0.0, "{}", state.noise);
        assert!(state.steps.levels.iter().any(|level| !level.shifts.is_empty()), "spread sensitivities have shifts");
        noise = state.noise;
    }
    // With room for everything the steps are as fine as can be told, and no bit is worth anything.
    let fine = control(1 << 20).update(&spec, 1.0, None, measured(&spec)).unwrap();
    assert!(fine.noise < 1e-3 * noise && size(&spec, &fine, measured(&spec)) < 1 << 20);
    // Without values there are no steps.
    let broken = Measured { grid: vec![f32::NAN; spec.grid_len()], ..measured(&spec) };
    assert!(control(5500).update(&spec, 1.0, None, broken).is_none());
}

#[test]
fn dear_values_have_wide_cells_of_zero_and_are_pulled() {
    let spec = spec();
    let state = control(4300).update(&spec, 0.9, None, measured(&spec)).unwrap();
    let lattice = state.grid_lattice(&spec);
    assert_eq!(lattice.steps.len() * lattice.features, spec.grid_len());
    assert!(lattice.offsets.iter().all(|o| (0.15..=0.5).contains(o)));
    assert!(lattice.offsets.iter().any(|o| *o < 0.4) && lattice.pulls.iter().any(|p| *p > 0.0));
    let net = state.net_lattice(&spec);
    assert!(net.offsets.iter().all(|o| *o == 0.5) && net.pulls.iter().all(|p| *p == 0.0));
    let free = RoundingConfig { rate: 0.0, ..RoundingConfig::default() };
    let target = SizeTarget { bytes: 4300, has_transport: true };
    let state = SizeControl::new(&free, target).update(&spec, 0.9, None, measured(&spec)).unwrap();
    assert!(state.grid_lattice(&spec).pulls.iter().all(|p| *p == 0.0), "a rate of 0 has no pull");
}

#[test]
fn rates_are_those_of_geometric_magnitudes() {
    // θ = ½: the mean magnitude is 2 · ½ / ¾.
    assert!((geometric_rate(4.0 / 3.0) - 1.0).abs() < 1e-12);
    assert_eq!(geometric_rate(0.0), STEEPEST);
    assert!(geometric_rate(1e6) < 1e-5);
    assert_eq!((offset(0.0), offset(12.0)), (0.5, 0.15));
}

#[test]
fn steps_are_set_in_equal_parts_of_the_budget() {
    let config = RoundingConfig { start: 0.5, freeze: 0.9, updates: 4, rate: 1.0 };
    let due = [0.0, 0.49, 0.5, 0.59, 0.61, 0.79, 0.89, 0.91, 1.0].map(|progress| config.due(progress));
    assert_eq!(due, [0, 0, 1, 1, 2, 3, 4, 5, 5]);
    assert_eq!(config.last(), 5);
    let never = RoundingConfig { start: 1.0, ..config.clone() };
    assert!(never.validate().is_ok() && never.due(1.0) == 0);
    for (bad, word) in [
        (RoundingConfig { start: 1.5, ..config.clone() }, "train.rounding.start"),
        (RoundingConfig { freeze: 0.5, ..config.clone() }, "must be above train.rounding.start"),
        (RoundingConfig { updates: 0, ..config.clone() }, "train.rounding.updates"),
        (RoundingConfig { rate: -1.0, ..config.clone() }, "train.rounding.rate"),
    ] {
        let said = bad.validate().unwrap_err().to_string();
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn the_search_finds_the_noise_of_a_size() {
    // Four thousand values of 8 bits at noise 1, half a bit less for each doubling of the noise, and 300 bytes of others.
    let bytes = |noise: f64| Some((300.0 + (500.0 * (8.0 - 0.5 * noise.log2())).max(0.0)) as u64);
    for (start, target) in [(1.0, 2000), (1e-9, 2000), (1e9, 2000), (1e-3, 320)] {
        let noise = search(start, 1e-12, target, [0.985, 0.996], 40, bytes).unwrap();
        let found = bytes(noise).unwrap() as f64 / target as f64;
        assert!((0.985..=0.996).contains(&found), "{found} from {start}");
    }
    assert_eq!(search(1.0, 0.5, 1 << 20, [0.985, 0.996], 40, bytes), Some(0.5), "no finer than needed");
    // What cannot be reached ends, at the smallest file that was met.
    assert!(search(1.0, 1e-9, 200, [0.985, 0.996], 40, bytes).is_some_and(|noise| bytes(noise) == Some(300)));
    assert_eq!(search(1.0, 1e-9, 200, [0.985, 0.996], 40, |_| None), None);
}

#[test]
fn a_checkpoint_holds_the_steps() {
    let spec = spec();
    let state = control(5500).update(&spec, 0.9, None, measured(&spec)).unwrap();
    let store = || {
        let (mut numbers, mut arrays) = (BTreeMap::from([("rays".into(), 7.0)]), BTreeMap::new());
        state.store_in(&mut numbers, &mut arrays);
        (numbers, arrays)
    };
    let (mut numbers, mut arrays) = store();
    assert_eq!(RoundingState::take_from(&mut numbers, &mut arrays, &spec), Ok(Some(state.clone())));
    assert!(arrays.is_empty() && numbers.len() == 1, "nothing of it is left to the task");
    assert_eq!(RoundingState::take_from(&mut numbers, &mut arrays, &spec), Ok(None));
    type Damage = fn(&mut BTreeMap<String, f64>, &mut BTreeMap<String, Vec<f32>>);
    let damages: [Damage; 6] = [
        |numbers, _| *numbers.get_mut("rounding.updates").unwrap() = 0.5,
        |_, arrays| arrays.get_mut("rounding.levels").unwrap().clear(),
        |_, arrays| arrays.get_mut("rounding.tensors").unwrap()[0] = 0.0,
        |_, arrays| arrays.get_mut("rounding.factors").unwrap()[0] = f32::NAN,
        |_, arrays| arrays.get_mut("rounding.rates").unwrap()[0] = 99.0,
        |_, arrays| arrays.get_mut("rounding.shifts.0").unwrap()[3] = 8.0,
    ];
    for damage in damages {
        let (mut numbers, mut arrays) = store();
        damage(&mut numbers, &mut arrays);
        let said = RoundingState::take_from(&mut numbers, &mut arrays, &spec).unwrap_err();
        assert!(said.contains("rounding"), "{said}");
    }
}
