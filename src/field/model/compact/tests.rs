//! Compact files: whole, cut, damaged and hostile ones.

use proptest::prelude::*;

use super::*;
use crate::model::tests::model_of;

/// A small model of a preset with features of all sizes.
fn small(preset: &str, changes: &[&str]) -> Model {
    let narrow = ["spectrum.width=4", "decoder.width=4", "basis=4", "latent.base_resolution=2"];
    let config = config::preset(preset).unwrap().set(&[&narrow[..], changes].concat()).unwrap();
    let mut model = model_of(&config);
    model.grid.iter_mut().enumerate().for_each(|(i, v)| *v = ((i * 7919 % 1009) as f32 / 504.5 - 1.0).powi(3));
    model.occupancy = model.spec.color_head.is_some().then(|| Occupancy::from_bits(16, |i| i % 16 < 5 && i / 256 > 9));
    model
}

const HASHED: [&str; 4] = ["latent.kind=hash", "latent.levels=3", "latent.resolution=16", "latent.hashmap_size=64"];

fn models() -> Vec<Model> {
    vec![
        small("sdf-tiny", &["latent.resolution=5"]),
        small("sdf-tiny", &HASHED),
        small("radiance-tiny", &HASHED),
        small("image-tiny", &HASHED),
        small("audio-tiny", &HASHED),
        small("radiance-vm", &["latent.resolution=6", "latent.features=3"]),
        small("image-siren", &[]),
    ]
}

/// Steps of a size for all parameters; every third entry of odd levels has a shift.
fn steps(model: &Model, step: f32) -> QuantizationSteps {
    let of_level = |(l, level): (usize, &LevelSpec)| {
        let entries = level.entries(model.spec.dim);
        let shifts = if l % 2 == 1 { (0..entries).map(|e| (e % 3) as u8).collect() } else { Vec::new() };
        LevelSteps { step, shifts }
    };
    QuantizationSteps {
        levels: model.spec.latent.levels.iter().enumerate().map(of_level).collect(),
        tensors: vec![step / 4.0; model.spec.net_tensors().len()],
    }
}

fn coded(model: &Model, step: f32) -> (Model, Vec<u8>) {
    let quantized = QuantizedModel::new(model, &steps(model, step)).unwrap();
    let (grid, net) = quantized.parameters().unwrap();
    let file = quantized.encode(model).unwrap();
    let bytes = file.to_bytes().unwrap();
    assert_eq!(file.len(), bytes.len());
    (Model { grid, net, ..model.clone() }, bytes)
}

#[test]
fn models_of_every_kind_come_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    // The first bytes tell the format, whatever the name.
    let path = folder.path().join("m.safetensors");
    for model in models() {
        let (expected, bytes) = coded(&model, 1.0 / 64.0);
        fs::write(&path, &bytes).unwrap();
        let read = Model::load(&path).unwrap();
        assert_eq!(read, expected);
        let bits = |m: &Model| m.grid.iter().chain(&m.net).map(|v| v.to_bits()).collect::<Vec<u32>>();
        assert_eq!(bits(&read), bits(&expected));
        assert_eq!(coded(&model, 1.0 / 64.0).1, bytes, "equal models are equal files");
    }
}

#[test]
fn parameters_are_off_by_little_more_than_half_a_step_and_unread_ones_are_0() {
    for model in models() {
        let step = 1.0 / 32.0;
        let (read, _) = coded(&model, step);
        let spec = &model.spec;
        let (features, offsets) = (spec.latent.features, spec.latent.offsets(spec.dim));
        for (l, stored) in stored_entries(&model).iter().enumerate() {
            for (e, is_stored) in stored.iter().enumerate() {
                let at = (offsets[l] + e) * features;
                let largest = step * if l % 2 == 1 { [1.0, 2.0, 4.0][e % 3] } else { 1.0 };
                for i in at..at + features {
                    let error = (read.grid[i] - model.grid[i]).abs();
                    match is_stored {
                        // A rare integer gives way to its neighbour.
                        true => assert!(error <= largest * 1.15, "level {l}, entry {e}: {error}"),
                        false => assert_eq!(read.grid[i], 0.0),
                    }
                }
            }
        }
        let exact = read.net.iter().zip(&model.net).all(|(a, b)| (a - b).abs() <= step / 8.0 + 1e-6);
        assert!(exact, "tensors are rounded to the nearest step");
    }
}

#[test]
fn a_prefix_is_a_model_of_the_levels_that_have_come() {
    let model = small("radiance-tiny", &HASHED);
    let (whole, bytes) = coded(&model, 1.0 / 64.0);
    let name = Path::new("m.nstr");
    let offsets = whole.spec.latent.offsets(3);
    let features = whole.spec.latent.features;
    let (mut seen, mut last) = ([false; 4], 0);
    for length in 0..=bytes.len() {
        let Ok((part, levels)) = Model::load_prefix(name, &bytes[..length]) else {
            assert_eq!(last, 0, "what was readable stays so");
            continue;
        };
        assert!(levels >= last, "{levels} after {last}");
        (seen[levels], last) = (true, levels);
        let end = offsets[levels] * features;
        assert!(part.grid[..end] == whole.grid[..end] && part.grid[end..].iter().all(|v| *v == 0.0));
        assert!(part.net == whole.net && part.occupancy == whole.occupancy);
    }
    assert_eq!((seen, last), ([true; 4], 3));
    let short = Model::load_prefix(name, &bytes[..40]).unwrap_err().to_string();
    assert!(short.starts_with("m.nstr: "), "{short}");
}

#[test]
fn every_changed_or_missing_byte_is_noticed() {
    let (_, bytes) = coded(&small("image-tiny", &HASHED), 1.0 / 16.0);
    parse(&bytes).unwrap();
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        assert!(Model::parse(&bad).is_err(), "byte {at}");
        let message = parse(&bytes[..at]).unwrap_err().to_string();
        assert!(message.contains("not a whole .nstr file") && message.len() < 300, "{message}");
    }
    let message = parse(&[&bytes[..], b"\0"].concat()).unwrap_err().to_string();
    assert!(message.contains("1 bytes follow the last section"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Sections whose checksums hold are decoded, whatever they are.
    #[test]
    fn sections_of_anything_are_refused_without_a_panic(
        which in 0_usize..6, cut in 0_usize..400, at in 0_usize..400, bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        thread_local!(static GOOD: Vec<u8> = coded(&small("radiance-tiny", &HASHED), 1.0 / 16.0).1);
        let bad = GOOD.with(|good| {
            let container = Container::parse(good).unwrap();
            let mut sections: Vec<_> = container.sections().iter().map(|s| (s.name, s.bytes.to_vec())).collect();
            let section = &mut sections[which].1;
            let at = at.min(section.len());
            let end = (at + bytes.len()).min(section.len());
            section.splice(at..end, bytes.iter().copied());
            section.truncate(section.len().saturating_sub(cut / 8));
            write_container(&sections).unwrap()
        });
        if let Ok(model) = parse(&bad) {
            prop_assert_eq!(model.grid.len(), model.spec.grid_len());
            prop_assert!(model.grid.iter().chain(&model.net).all(|v| v.is_finite()));
        }
    }
}

/// A file with this header and otherwise the sections of a small model.
fn with_header(change: impl FnOnce(&mut Model)) -> Vec<u8> {
    let mut model = small("radiance-tiny", &HASHED);
    let (_, bytes) = coded(&model, 1.0 / 16.0);
    let container = Container::parse(&bytes).unwrap();
    let mut sections: Vec<_> = container.sections().iter().map(|s| (s.name, s.bytes.to_vec())).collect();
    change(&mut model);
    sections[0].1 = encode_text(&header_text(&model, None).unwrap());
    write_container(&sections).unwrap()
}

#[test]
fn headers_that_claim_much_are_refused_before_memory_is_reserved() {
    let refusal = |change: &dyn Fn(&mut Model)| parse(&with_header(change)).unwrap_err().to_string();
    let large = refusal(&|m| m.spec.latent.levels[1] = LevelSpec::new(150, None));
    assert!(large.contains("a model of ") && large.contains("keep large models as .safetensors"), "{large}");
    let larger = refusal(&|m| m.spec.latent.levels[1] = LevelSpec::new(1 << 20, None));
    assert!(larger.contains("the header's `spec` is invalid"), "{larger}");
    let cells = refusal(&|m| m.occupancy = None);
    assert!(cells.contains("no place for"), "{cells}");
    let fewer = refusal(&|m| m.spec.latent.levels.truncate(2));
    // Its networks have other shapes, too.
    assert!(fewer.contains("not a whole .nstr file"), "{fewer}");
    let more = refusal(&|m| {
        let level = m.spec.latent.levels[2];
        m.spec.latent.levels = vec![level; 4];
        m.spec.skip_latent = false;
        m.spec.latent.product = 1;
    });
    assert!(more.contains("not a whole .nstr file"), "{more}");
    // An unsupported number of cells, in a text of its own.
    let mut model = small("radiance-tiny", &HASHED);
    model.occupancy = None;
    let text =
        header_text(&model, None).unwrap().replacen("{\"version\":1", "{\"occupancy_cells\":100000,\"version\":1", 1);
    let sections = [
        (SectionName::of(SectionKind::Header), encode_text(&text)),
        (SectionName::of(SectionKind::Networks), Vec::new()),
    ];
    let message = parse(&write_container(&sections).unwrap()).unwrap_err().to_string();
    assert!(message.contains("`occupancy`") && message.contains("100000 cells"), "{message}");
    let spaces = [(SectionName::of(SectionKind::Header), encode_text(&" ".repeat(MAX_TEXT + 1)))];
    let message = parse(&write_container(&spaces).unwrap()).unwrap_err().to_string();
    assert!(message.contains("section header is not a zlib stream of at most 262144 bytes"), "{message}");
}

#[test]
fn other_versions_and_checkpoints_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.nstr");
    let (_, mut bytes) = coded(&small("sdf-tiny", &HASHED), 1.0 / 16.0);
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(Checkpoint::load(&path).unwrap_err().kind, ModelErrorKind::NotACheckpoint));
    bytes[8] = 7;
    fs::write(&path, &bytes).unwrap();
    let message = Model::load(&path).unwrap_err().to_string();
    assert!(message.contains("m.nstr: written in compact format version 7"), "{message}");
    for name in ["a.nstr", "a.NSTR", "b/c.safetensors"] {
        assert!(is_model_name(Path::new(name)), "{name}");
    }
    assert!(is_compact_name(Path::new("a.nstr")) && !is_compact_name(Path::new("nstr")));
    assert!(!is_model_name(Path::new("a.obj")));
}

#[test]
fn the_sections_add_up_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.nstr");
    let model = small("radiance-tiny", &HASHED);
    let (_, bytes) = coded(&model, 1.0 / 64.0);
    fs::write(&path, &bytes).unwrap();
    let sections = compact_sections(&path).unwrap().unwrap();
    assert_eq!(sections.iter().map(|s| s.bytes).sum::<usize>(), bytes.len());
    let names: Vec<&str> = sections.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["table", "header", "occupancy", "networks", "level 0", "level 1", "level 2"]);
    assert_eq!(sections[3].values, model.net.len());
    let stored: usize = stored_entries(&model).iter().flatten().filter(|read| **read).count();
    assert_eq!(sections[4..].iter().map(|s| s.values).sum::<usize>(), stored * model.spec.latent.features);
    assert!(stored < model.grid.len() / model.spec.latent.features, "some are not read");
    model.save(&path, Precision::F16).unwrap();
    assert_eq!(compact_sections(&path).unwrap(), None);
}

#[test]
fn larger_steps_make_smaller_files() {
    let model = small("radiance-tiny", &["latent.levels=3", "latent.resolution=24", "latent.hashmap_size=4096"]);
    let sizes: Vec<usize> = (0..8).map(|i| coded(&model, 0.001 * 2_f32.powi(i)).1.len()).collect();
    assert!(sizes.windows(2).all(|pair| pair[1] < pair[0]), "{sizes:?}");
}

#[test]
fn levels_of_more_entries_than_a_section_holds_have_several() {
    let mut model = small("image-tiny", &["latent.levels=2", "latent.resolution=300", "latent.hashmap_size=131072"]);
    assert_eq!(model.spec.latent.levels[1].entries(2), 301 * 301);
    model.grid.iter_mut().for_each(|v| *v = v.round());
    let (expected, bytes) = coded(&model, 0.5);
    let container = Container::parse(&bytes).unwrap();
    assert!(container.get(SectionName::level(1, 1)).is_some() && container.get(SectionName::level(1, 2)).is_none());
    assert_eq!(parse(&bytes).unwrap(), expected);
}

#[test]
fn steps_that_do_not_fit_are_refused_by_name() {
    let model = small("image-tiny", &HASHED);
    let refusal = |change: &dyn Fn(&mut QuantizationSteps)| {
        let mut steps = steps(&model, 0.1);
        change(&mut steps);
        QuantizedModel::new(&model, &steps).unwrap_err().to_string()
    };
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e35] {
        assert!(refusal(&|s| s.levels[1].step = bad).contains("must be above 0"), "{bad}");
        assert!(refusal(&|s| s.tensors[0] = bad).contains("must be above 0"), "{bad}");
    }
    assert!(refusal(&|s| drop(s.levels.pop())).contains("must be [3, "));
    assert!(refusal(&|s| s.levels[1].shifts[0] = 8).contains("shifts of level 1"));
    assert!(refusal(&|s| s.levels[1].shifts.truncate(9)).contains("shifts of level 1"));
    let mut bad = model.clone();
    bad.grid[3] = f32::NAN;
    assert!(QuantizedModel::new(&bad, &steps(&model, 0.1)).unwrap_err().to_string().contains("`grid`: holds NaN"));
}
