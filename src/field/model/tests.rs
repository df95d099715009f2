//! Model files: whole, damaged and hostile ones.

use super::*;
use nstr_spec::init;
use proptest::prelude::*;

fn model() -> Model {
    model_of(&config::preset("sdf-tiny").unwrap().set(&["latent.kind=hash", "modulation=channels:3"]).unwrap())
}

/// A model of a configuration with initial parameters, without occupied cells.
pub(super) fn model_of(config: &config::FieldConfig) -> Model {
    let spec = config.spec();
    let (grid, net) = init::parameters(&spec, &config.init);
    Model {
        map: Cube { origin: DVec3::new(-1.5, 0.25, 1e-3), size: 2.125 }.into(),
        units: "mm".into(),
        grid,
        net,
        config: serde_json::to_value(config).unwrap(),
        provenance: BTreeMap::from([("input".into(), "chair.obj".into())]),
        metrics: BTreeMap::from([("fit_seconds".into(), 12.5)]),
        occupancy: None,
        spec,
    }
}

#[test]
fn models_come_back_and_equal_models_are_equal_files() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b, c) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("c"));
    let model = model();
    model.save(&a, Precision::F32).unwrap();
    model.save(&b, Precision::F32).unwrap();
    assert_eq!(Model::load(&a).unwrap(), model);
    assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
    model.save(&c, Precision::F16).unwrap();
    let half = Model::load(&c).unwrap();
    assert!(fs::metadata(&c).unwrap().len() * 19 < fs::metadata(&a).unwrap().len() * 10);
    for (a, b) in half.grid.iter().chain(&half.net).zip(model.grid.iter().chain(&model.net)) {
        assert!((a - b).abs() <= b.abs() / 2048.0 + 1e-7, "{a} against {b}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3, "no temporary file is left");
}

#[test]
fn checkpoints_come_back_bit_for_bit_and_load_as_models() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let model = model();
    let like = |v: &[f32], by: f32| v.iter().map(|v| v * by).collect::<Vec<_>>();
    let checkpoint = Checkpoint {
        grid_moments: [like(&model.grid, 0.1), like(&model.grid, 1e-9)],
        net_moments: [like(&model.net, 0.3), like(&model.net, -7.0)],
        state: serde_json::json!({"step": 17, "stream": "340282366920938463463374607431768211455"}),
        arrays: BTreeMap::from([("density".into(), vec![-1.0, 0.5, f32::MAX])]),
        model,
    };
    checkpoint.save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint);
    assert_eq!(Model::load(&path).unwrap(), checkpoint.model);
    // Cells that can hold nothing take no room; arrays as older files have them load as well.
    let length = || fs::metadata(&path).unwrap().len();
    let (before, mut cells) = (length(), vec![-1.0f32; 1 << 16]);
    cells[9000..9500].iter_mut().zip(&checkpoint.model.grid).for_each(|(cell, v)| *cell = v.abs());
    let mut sparse = checkpoint.clone();
    sparse.arrays.insert("cells".into(), cells);
    sparse.save(&path).unwrap();
    assert!(length() - before < 4 * 1600, "{} bytes more", length() - before);
    assert_eq!(Checkpoint::load(&path).unwrap(), sparse);
    checkpoint.model.save(&path, Precision::F32).unwrap();
    assert!(matches!(Checkpoint::load(&path).unwrap_err().kind, ModelErrorKind::NotACheckpoint));
}

#[test]
fn failures_name_the_file_and_the_tensor_and_leave_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let good = model();
    good.save(&path, Precision::F32).unwrap();
    let before = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad.net[bad.spec.net_layout().decoder[0].weight] = 1e6;
    let message = bad.save(&path, Precision::F16).unwrap_err().to_string();
    assert!(message.contains("m.safetensors: tensor `decoder.0.weight`: holds 1000000"), "{message}");
    // Frequencies are kept whole.
    let mut fast = good.clone();
    fast.net[5] = 123_456.7;
    fast.save(&path, Precision::F16).unwrap();
    assert_eq!(Model::load(&path).unwrap().net[5], 123_456.7);
    good.save(&path, Precision::F32).unwrap();
    bad.net.pop();
    assert!(bad.save(&path, Precision::F32).unwrap_err().to_string().contains("`net`"));
    assert_eq!(fs::read(&path).unwrap(), before);

    // A header that promises another shape than the tensors have; the same length keeps the file well formed.
    let text = String::from_utf8_lossy(&before[..3000]).into_owned();
    assert!(text.contains("\\\"basis\\\":16"));
    let swapped = replace_once(&before, b"\\\"basis\\\":16", b"\\\"basis\\\":12");
    fs::write(&path, swapped).unwrap();
    let message = Model::load(&path).unwrap_err().to_string();
    assert!(message.contains("tensor `basis.omega`: has shape [3, 16]; expected [3, 12]"), "{message}");
    fs::write(&path, replace_once(&before, b"\\\"version\\\":1", b"\\\"version\\\":9")).unwrap();
    assert!(Model::load(&path).unwrap_err().to_string().contains("version 9"));
    fs::write(&path, replace_once(&before, b"\"nstr\"", b"\"nope\"")).unwrap();
    assert!(Model::load(&path).unwrap_err().to_string().contains("not a model"));
    let missing = folder.path().join("none/x.safetensors");
    assert!(Model::load(&missing).unwrap_err().to_string().contains("cannot read"));
    assert!(good.save(&missing, Precision::F32).unwrap_err().to_string().contains("cannot write"));
    assert!(Model::load(folder.path()).unwrap_err().to_string().contains("cannot read"));
}

/// A file of a small model, in memory.
fn small() -> (Model, Writer) {
    let config = config::preset("sdf-tiny")
        .unwrap()
        .set(&["latent.base_resolution=2", "latent.resolution=4", "spectrum.width=4"])
        .unwrap();
    let spec = config.spec();
    let (grid, net) = init::parameters(&spec, &config.init);
    let (model, mut file) = (Model { spec, grid, net, ..model() }, Writer::default());
    file.parameters(&model, Precision::F32).unwrap();
    (model, file)
}

fn parse(bytes: &[u8]) -> Result<(Model, Option<Value>), ModelErrorKind> {
    let (reader, mut header) = Reader::new(bytes)?;
    let state = header.state.take();
    Ok((reader.model(header)?, state))
}

/// A safetensors file of this header.
fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn refusal(bytes: &[u8]) -> String {
    let message = parse(bytes).map(|_| "was read").unwrap_err().to_string();
    assert!(message.chars().count() < 900, "{} characters", message.chars().count());
    message
}

#[test]
fn lengths_are_checked_before_memory_is_reserved() {
    let (model, file) = small();
    let good = file.serialize(&model, None).unwrap();
    assert_eq!(parse(&good).unwrap().0, model);
    for length in [u64::MAX, 1 << 62, 1 << 40, good.len() as u64 - 7] {
        let bytes = [&length.to_le_bytes()[..], &good[8..]].concat();
        assert!(refusal(&bytes).contains(&format!("its header should have {length} bytes")));
    }
    let spaces = " ".repeat(MAX_HEADER as usize);
    assert!(refusal(&with_header(&format!("{{}}{spaces}"), b"")).contains("header of 4194306 bytes"));
    for (shape, offsets) in [
        ("[4294967296,4294967296,4294967296]", "[0,0]"),
        ("[18446744073709551615]", "[0,4]"),
        ("[2]", "[0,4]"),
        ("[1]", "[4,0]"),
        ("[1]", "[18446744073709551612,18446744073709551615]"),
        ("[1]", "[0,4]"),
    ] {
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#);
        assert!(refusal(&with_header(&header, &[0; 5])).contains("not a whole .safetensors file"), "{header}");
    }
    for short in [&b""[..], b"{}", &[0; 7]] {
        assert!(refusal(short).contains("not a whole"));
    }
}

#[test]
fn hostile_headers_are_refused_in_few_words() {
    let long = "a".repeat(100_000);
    let nested = "[".repeat(100_000);
    let text = |nstr: &str| with_header(&serde_json::json!({"__metadata__": {"nstr": nstr}}).to_string(), b"");
    for (bytes, part) in [
        (text(&nested), "recursion limit"),
        (with_header(&format!(r#"{{"a":{nested}"#), b""), "not a whole"),
        (with_header(&format!(r#"{{"a":{{"{long}":1}}}}"#), b""), "not a whole"),
        (text(&format!(r#"{{"version":1,"spec":"{long}"}}"#)), "the header's `nstr` is invalid"),
        (text(&format!(r#"{{"version":1,"spec":{{"dim":"{long}"}}}}"#)), "the header's `nstr` is invalid"),
        (text(r#"{"version":1e400}"#), "number out of range"),
        (text(r#"{"version":"1"}"#), "version 0"),
        (text("nonsense"), "the header's `nstr` is invalid"),
        (with_header("{}", b""), "no `nstr` entry"),
    ] {
        let message = refusal(&bytes);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn twice_the_same_tensor_is_refused_and_unknown_ones_are_left_alone() {
    let (model, mut file) = small();
    let good = file.serialize(&model, None).unwrap();
    let end = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(good[8..end].to_vec()).unwrap();
    let from = header.find(r#""decoder.0.bias":"#).unwrap();
    let entry = &header[from..=from + header[from..].find('}').unwrap()];
    let twice = header.trim_end().replacen(entry, &format!("{entry},{entry}"), 1);
    assert!(refusal(&with_header(&twice, &good[end..])).contains("tensor `decoder.0.bias` is there twice"));

    file.tensors.push(("their.own".into(), Dtype::F32, vec![2], [f32::NAN; 2].map(f32::to_le_bytes).concat()));
    file.tensors.push(("task.own".into(), Dtype::I64, vec![1], vec![0; 8]));
    assert_eq!(parse(&file.serialize(&model, None).unwrap()).unwrap().0, model);
}

#[test]
fn every_weight_that_is_not_finite_is_refused_by_name() {
    let (model, mut file) = small();
    for t in 0..file.tensors.len() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let last = file.tensors[t].3.len() - 4;
            let kept = file.tensors[t].3.split_off(last);
            file.tensors[t].3.extend(bad.to_le_bytes());
            let message = refusal(&file.serialize(&model, None).unwrap());
            let (name, element) = (&file.tensors[t].0, last / 4);
            assert!(message.contains(&format!("tensor `{name}`: element {element} is {bad}")), "{message}");
            file.tensors[t].3.truncate(last);
            file.tensors[t].3.extend(kept);
        }
    }
    assert_eq!(parse(&file.serialize(&model, None).unwrap()).unwrap().0, model);
}

#[test]
fn numbers_that_json_cannot_hold_never_make_an_unreadable_file() {
    let (model, file) = small();
    let metrics = [("psnr", f64::INFINITY), ("iou", f64::NAN), ("steps", 3.0)];
    let metrics: BTreeMap<String, f64> = metrics.map(|(name, v)| (name.to_string(), v)).into();
    let back = parse(&file.serialize(&Model { metrics, ..model.clone() }, None).unwrap()).unwrap().0;
    assert_eq!(back.metrics, BTreeMap::from([("steps".to_string(), 3.0)]));
    let text = String::from_utf8_lossy(&file.serialize(&model, None).unwrap()).into_owned();
    assert!(text.contains(r#"\"fit_seconds\":12.5"#));
    let null = file.serialize(&model, None).unwrap();
    let null = replace_once(&null, br#"\"fit_seconds\":12.5"#, br#"\"fit_seconds\":null"#);
    assert!(parse(&null).unwrap().0.metrics.is_empty(), "as files of version 0.1.0 may have it");
    for (origin, size) in [
        (DVec3::NAN, 1.0),
        (DVec3::ZERO, f64::INFINITY),
        (DVec3::ZERO, 0.0),
        (DVec3::ZERO, -1.0),
        (DVec3::ZERO, 1e-320),
        (DVec3::splat(1e308), 1e308),
    ] {
        let model = Model { map: Cube { origin, size }.into(), ..model.clone() };
        let message = file.serialize(&model, None).unwrap_err().to_string();
        assert!(message.contains("the header's `domain`"), "{message}");
    }
}

/// A radiance field with a map.
fn radiance(map: SceneMap) -> Model {
    let config = config::preset("radiance-tiny")
        .unwrap()
        .set(&["latent.base_resolution=2", "latent.resolution=4", "spectrum.width=4"])
        .unwrap();
    let spec = config.spec();
    let (grid, net) = init::parameters(&spec, &config.init);
    Model { spec, grid, net, map, occupancy: Some(Occupancy::full(16)), ..model() }
}

fn frustum() -> Frustum {
    Frustum {
        eye: DVec3::new(0.1, 0.2, -0.3),
        axes: DMat3::from_rotation_y(0.3),
        low: DVec2::new(-0.7, -0.4),
        high: DVec2::new(0.8, 0.55),
        near: 3.25,
    }
}

#[test]
fn maps_come_back_and_hostile_ones_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let cube = Cube { origin: DVec3::new(-1.5, 0.25, 1e-3), size: 2.125 };
    for (map, text) in [
        (SceneMap::Box(cube), r#"\"size\":2.125,\"units\""#),
        (SceneMap::Open(cube), r#"\"size\":2.125,\"map\":\"open\""#),
        (SceneMap::Forward(frustum()), r#"\"map\":{\"forward\":{\"eye\":[0.1,0.2,-0.3]"#),
    ] {
        let model = radiance(map);
        model.save(&path, Precision::F32).unwrap();
        let header = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(header.contains(text), "{}", map.name());
        assert_eq!(Model::load(&path).unwrap(), model);
    }
    let good = fs::read(&path).unwrap();
    // Of the same length each, so that the header's length holds.
    for (from, to) in [
        (r#"\"near\":3.25"#, r#"\"near\":-3.2"#),
        (r#"\"near\":3.25"#, r#"\"near\":null"#),
        (r#"\"high\":[0.8"#, r#"\"high\":[-.9"#),
        (r#"\"high\":[0.8"#, r#"\"high\":[-99"#),
        (r#"\"low\":[-0.7"#, r#"\"low\":[1e99"#),
        (r#"\"forward\""#, r#"\"fordward\""#),
        (r#"\"axes\":[[0."#, r#"\"axes\":[[9."#),
    ] {
        let Some(at) = good.windows(from.len()).position(|w| w == from.as_bytes()) else { panic!("{from}") };
        let mut bad = good.clone();
        bad.splice(at..at + from.len(), to.bytes());
        let length = u64::from_le_bytes(good[..8].try_into().unwrap()) + to.len() as u64 - from.len() as u64;
        bad[..8].copy_from_slice(&length.to_le_bytes());
        fs::write(&path, &bad).unwrap();
        let message = Model::load(&path).unwrap_err().to_string();
        assert!(message.contains("header"), "{to}: {message}");
    }
    // Surfaces know boxes only.
    let sdf = Model { map: SceneMap::Open(cube), ..model() };
    let message = sdf.save(&path, Precision::F32).unwrap_err().to_string();
    assert!(message.contains("`domain`") && message.contains("radiance"), "{message}");
    let flat = radiance(SceneMap::Forward(Frustum { near: f64::NAN, ..frustum() }));
    assert!(flat.save(&path, Precision::F32).unwrap_err().to_string().contains("near NaN"));
}

#[cfg(unix)]
#[test]
fn what_is_no_model_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Model::load("/dev/zero").unwrap_err().to_string().contains("a device"));
    // A header in order and 16 GiB of nothing behind it, which take no room on a disk.
    let path = folder.path().join("large.safetensors");
    fs::write(&path, with_header("{}", b"")).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 34).unwrap();
    let message = Model::load(&path).unwrap_err().to_string();
    assert!(message.contains("file of 17179869184 bytes, where a model has at most 8589934592"), "{message}");
    assert!(Checkpoint::load(&path).unwrap_err().to_string().contains("not a model"));
}

/// A number of any magnitude up to 2^±300.
fn number(bits: u64) -> f64 {
    let exponent = 1023 - 300 + (bits >> 52) % 601;
    f64::from_bits(bits & (1 << 63 | 0xf_ffff_ffff_ffff) | exponent << 52)
}

fn replace_once(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|w| w == from).expect("the text is there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_number_comes_back_bit_for_bit(bits in prop::array::uniform8(any::<u64>()), single: u32) {
        thread_local!(static SMALL: (Model, Writer) = small());
        let n = bits.map(number);
        let single = Some(f32::from_bits(single)).filter(|v| v.is_finite()).unwrap_or(0.1);
        let config = serde_json::json!({
            "near": n[4], "step": single, "seed": bits[0], "negative": bits[1] as i64, "list": n, "none": null,
        });
        let state = serde_json::json!({ "step": bits[5], "elapsed": n[5].abs(), "task": { "floor": single } });
        let cube = Cube { origin: DVec3::new(n[0], n[1], n[2]), size: n[3].abs() };
        let metrics = BTreeMap::from([("psnr".to_string(), n[6]), ("zero".to_string(), -0.0)]);
        let written = SMALL.with(|(model, file)| {
            let model = Model { map: cube.into(), config: config.clone(), metrics, ..model.clone() };
            (file.serialize(&model, Some(state.clone())), model)
        });
        let (bytes, model) = (written.0.unwrap(), written.1);
        let (back, back_state) = parse(&bytes).unwrap();
        let numbers = |m: &Model| -> Vec<u64> {
            let cube = m.cube().origin.to_array().into_iter().chain([m.cube().size]);
            cube.chain(m.metrics.values().copied()).map(f64::to_bits).collect()
        };
        prop_assert_eq!(numbers(&back), numbers(&model));
        // Floats compare by value, texts by every digit.
        prop_assert_eq!(back.config.to_string(), config.to_string());
        prop_assert_eq!(back_state.unwrap().to_string(), state.to_string());
        prop_assert_eq!(back.config["near"].as_f64().unwrap().to_bits(), n[4].to_bits());
        prop_assert_eq!((back.config["step"].as_f64().unwrap() as f32).to_bits(), single.to_bits());
        prop_assert_eq!(back.config["seed"].as_u64(), Some(bits[0]));
        let again = SMALL.with(|(_, file)| file.serialize(&back, Some(state.clone())).unwrap());
        prop_assert!(again == bytes, "the same file again");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_files_are_refused_without_a_panic(cut in 0usize..6000, at in 0usize..6000, byte: u8) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        let config = config::preset("sdf-tiny").unwrap().set(&["latent.base_resolution=2", "latent.resolution=4", "spectrum.width=4"]).unwrap();
        let spec = config.spec();
        let (grid, net) = init::parameters(&spec, &config.init);
        Model { spec, grid, net, ..model() }.save(&path, Precision::F16).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..cut.min(bytes.len() - 1)]).unwrap();
        prop_assert!(Model::load(&path).is_err());
        let at = at.min(bytes.len() - 1);
        bytes[at] = byte;
        fs::write(&path, &bytes).unwrap();
        if let Ok(model) = Model::load(&path) {
            prop_assert_eq!(model.grid.len(), model.spec.grid_len());
        }
    }
}
