use glam::DVec3;
use serde_json::{Value, json};

use crate::read::*;
use crate::{MeshReport, testing};

fn parse(data: &[u8]) -> Result<MeshFile, MeshError> {
    read_mesh_bytes(data, MeshFormat::Gltf, Path::new("folder/test.glb"))
}

fn refusal(data: &[u8]) -> String {
    let text = parse(data).expect_err("should fail").to_string();
    assert!(text.contains("test.glb"), "{text}");
    text
}

/// Cube from 0 to 1: 96 bytes of positions, 144 of indices.
fn cube_bytes() -> Vec<u8> {
    let mesh = testing::cuboid(DVec3::ZERO, DVec3::ONE);
    let positions = mesh.positions.iter().flat_map(|p| p.as_vec3().to_array()).flat_map(f32::to_le_bytes);
    positions.chain(mesh.faces.iter().flatten().flat_map(|v| v.to_le_bytes())).collect()
}

/// A document of the cube as mesh 0, without nodes and scenes; `extra` bytes follow the cube's in view 2.
fn document(extra: usize) -> Value {
    json!({
        "asset": {"version": "2.0"},
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 8, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5125, "count": 36, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 96},
            {"buffer": 0, "byteOffset": 96, "byteLength": 144},
            {"buffer": 0, "byteOffset": 240, "byteLength": extra},
        ],
        "buffers": [{"byteLength": 240 + extra}],
    })
}

fn glb(document: &Value, binary: &[u8]) -> Vec<u8> {
    let mut json = serde_json::to_vec(document).unwrap();
    json.resize(json.len().next_multiple_of(4), b' ');
    let mut out = b"glTF".to_vec();
    for word in [2, 28 + json.len() + binary.len(), json.len(), 0x4E4F_534A] {
        out.extend((word as u32).to_le_bytes());
    }
    out.extend(&json);
    for word in [binary.len(), 0x004E_4942] {
        out.extend((word as u32).to_le_bytes());
    }
    out.extend(binary);
    out
}

/// The cube's document after `change`, with `extra` bytes behind the cube's.
fn changed(extra: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = document(extra.len());
    change(&mut value);
    glb(&value, &[cube_bytes(), extra.to_vec()].concat())
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().unwrap().push(item);
}

fn bounds(file: &MeshFile) -> [[f64; 3]; 2] {
    MeshReport::new(&file.mesh).bounds
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn documents_without_scenes_have_their_nodes_walked() {
    let nodes = json!([{"mesh": 0, "translation": [7, 0, 0]}, {"translation": [0, 9, 0], "children": [2]}, {"mesh": 0, "scale": [2, 2, 2]}]);
    for scenes in [None, Some(json!([])), Some(Value::Null)] {
        let file = parse(&changed(&[], |d| {
            d["nodes"] = nodes.clone();
            scenes.into_iter().for_each(|scenes| d["scenes"] = scenes);
        }))
        .unwrap();
        assert_eq!((file.mesh.faces.len(), bounds(&file)), (24, [[0.0, 0.0, 0.0], [8.0, 11.0, 2.0]]));
    }
    // No nodes either: a library of meshes.
    assert_eq!(parse(&changed(&[], |_| {})).unwrap().mesh.faces.len(), 12);
    // The default scene, and a word on the others.
    let with_scenes = |default: Value| {
        changed(&[], |d| {
            d["nodes"] = nodes.clone();
            d["scenes"] = json!([{"nodes": [0]}, {"nodes": [1]}]);
            d["scene"] = default;
        })
    };
    for (default, lowest) in [(Value::Null, 7.0), (json!(0), 7.0), (json!(1), 0.0), (json!(5), 7.0)] {
        let file = parse(&with_scenes(default)).unwrap();
        assert_eq!((file.mesh.faces.len(), bounds(&file)[0][0]), (12, lowest));
        assert!(file.notes.iter().any(|n| n.contains("the other 1 are not")), "{:?}", file.notes);
    }
    assert!(refusal(&with_scenes(json!(-1))).contains("the default scene is -1"));
}

#[test]
fn cycles_of_nodes_are_refused() {
    for (nodes, scenes) in [
        (json!([{"children": [1]}, {"children": [0], "mesh": 0}]), json!([])),
        (json!([{"mesh": 0}, {"children": [1]}]), json!([])),
        (json!([{"mesh": 0, "children": [0]}]), json!([{"nodes": [0]}])),
        (json!([{"mesh": 0}, {"children": [0]}, {"children": [0]}]), json!([])),
    ] {
        let said = refusal(&changed(&[], |d| (d["nodes"], d["scenes"]) = (nodes, scenes)));
        assert!(said.contains("ancestor"), "{said}");
    }
}

#[test]
fn instances_are_applied() {
    let places = floats(&[0., 0., 0., 5., 0., 0., 10., 0., 0.]);
    let file = parse(&changed(&places, |d| {
        d["nodes"] = json!([{"mesh": 0, "extensions": {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": 2, "_ID": 9}}}}]);
        push(&mut d["accessors"], json!({"bufferView": 2, "componentType": 5126, "count": 3, "type": "VEC3"}));
        d["extensionsRequired"] = json!(["EXT_mesh_gpu_instancing"]);
    }))
    .unwrap();
    assert_eq!((file.mesh.faces.len(), bounds(&file)), (36, [[0.0; 3], [11.0, 1.0, 1.0]]));
    assert!(MeshReport::new(&file.mesh).watertight);
    // Turned by 90° about z as normalised bytes, and scaled by 3 and 2, in a node that moves both.
    let mut more: Vec<u8> = [[0i8, 0, 90, 90], [0, 0, 0, 127]].as_flattened().iter().map(|v| *v as u8).collect();
    more.extend(floats(&[3., 3., 3., 2., 2., 2.]));
    let instancing = json!({"EXT_mesh_gpu_instancing": {"attributes": {"ROTATION": 2, "SCALE": 3}}});
    let turned = changed(&more, |d| {
        d["nodes"] = json!([{"mesh": 0, "translation": [100, 0, 0], "extensions": instancing}]);
        push(
            &mut d["accessors"],
            json!({"bufferView": 2, "componentType": 5120, "normalized": true, "count": 2, "type": "VEC4"}),
        );
        push(
            &mut d["accessors"],
            json!({"bufferView": 2, "byteOffset": 8, "componentType": 5126, "count": 2, "type": "VEC3"}),
        );
    });
    let file = parse(&turned).unwrap();
    let [lo, hi] = bounds(&file);
    let want = [[97.0, 0.0, 0.0], [102.0, 3.0, 3.0]];
    assert!(
        [lo, hi].as_flattened().iter().zip(want.as_flattened()).all(|(a, b)| (a - b).abs() < 1e-9),
        "{lo:?} {hi:?}"
    );
    assert!((MeshReport::new(&file.mesh).signed_volume - 35.0).abs() < 1e-9);
    let uneven = changed(&more, |d| {
        d["nodes"] = json!([{"mesh": 0, "extensions": instancing}]);
        push(&mut d["accessors"], json!({"bufferView": 2, "componentType": 5120, "count": 2, "type": "VEC4"}));
        push(
            &mut d["accessors"],
            json!({"bufferView": 2, "byteOffset": 8, "componentType": 5126, "count": 1, "type": "VEC3"}),
        );
    });
    assert!(refusal(&uneven).contains("different numbers"));
}

#[test]
fn quantised_and_double_positions_are_decoded() {
    let mesh = testing::cuboid(DVec3::ZERO, DVec3::ONE);
    let corners: Vec<[f64; 3]> = mesh.positions.iter().map(|p| p.to_array()).collect();
    // Component type, whether normalised, stored value of 1, scale that undoes it, bytes of a row.
    for (kind, normalized, one, scale, stride) in [
        (5120, true, 127.0, 1.0, 4),
        (5121, true, 255.0, 1.0, 4),
        (5122, true, 32767.0, 1.0, 8),
        (5123, true, 65535.0, 1.0, 8),
        (5123, false, 1000.0, 1e-3, 8),
        (5120, false, -100.0, -1e-2, 4),
        (5130, false, 1.0, 1.0, 24),
    ] {
        let mut bytes = Vec::new();
        for corner in &corners {
            let row = bytes.len();
            for v in corner.map(|v| v * one) {
                match kind {
                    5120 => bytes.push((v as i8) as u8),
                    5121 => bytes.push(v as u8),
                    5122 => bytes.extend((v as i16).to_le_bytes()),
                    5123 => bytes.extend((v as u16).to_le_bytes()),
                    _ => bytes.extend(v.to_le_bytes()),
                }
            }
            bytes.resize(row + stride, 0);
        }
        let data = changed(&bytes, |d| {
            d["nodes"] = json!([{"mesh": 0, "scale": [scale, scale, scale]}]);
            d["accessors"][0] =
                json!({"bufferView": 2, "componentType": kind, "normalized": normalized, "count": 8, "type": "VEC3"});
            d["bufferViews"][2]["byteStride"] = json!(stride);
            d["extensionsRequired"] = json!(["KHR_mesh_quantization"]);
        });
        let file = parse(&data).unwrap_or_else(|e| panic!("{kind}: {e}"));
        let report = MeshReport::new(&file.mesh);
        // Of mirrored positions in a mirroring node the faces are turned back once, as the format demands.
        let want = f64::signum(scale);
        assert!(
            report.watertight && (report.signed_volume - want).abs() < 1e-9,
            "{kind} {normalized} {}",
            report.signed_volume
        );
    }
}

#[test]
fn sparse_accessors_are_applied() {
    // Corner 7 moves from (1, 1, 1) to (3, 3, 3); alone it leaves all others at 0.
    let extra = [vec![7, 0, 0, 0], floats(&[3.0; 3])].concat();
    let sparse = json!({"count": 1, "indices": {"bufferView": 2, "componentType": 5121}, "values": {"bufferView": 2, "byteOffset": 4}});
    let file = parse(&changed(&extra, |d| d["accessors"][0]["sparse"] = sparse.clone())).unwrap();
    assert_eq!((file.mesh.faces.len(), bounds(&file)[1]), (12, [3.0; 3]));
    assert_eq!(file.mesh.positions.iter().filter(|p| p.max_element() == 3.0).count(), 1);
    let file = parse(&changed(&extra, |d| {
        d["accessors"][0] = json!({"componentType": 5126, "count": 8, "type": "VEC3", "sparse": sparse});
    }))
    .unwrap();
    assert_eq!(file.mesh.positions, [DVec3::ZERO, DVec3::splat(3.0)]);
    let beyond =
        changed(&[vec![8, 0, 0, 0], floats(&[3.0; 3])].concat(), |d| d["accessors"][0]["sparse"] = sparse.clone());
    assert!(refusal(&beyond).contains("changes item 8 of 8"));
    let huge = changed(&extra, |d| {
        d["accessors"][0] = json!({"componentType": 5126, "count": 4e12, "type": "VEC3", "sparse": sparse});
    });
    assert!(refusal(&huge).contains("millions of faces"));
}

#[test]
fn extensions_are_decided_by_name() {
    let requires = |names: Value| changed(&[], |d| d["extensionsRequired"] = names);
    let beside = [
        "EXT_texture_webp",
        "KHR_texture_basisu",
        "KHR_texture_transform",
        "KHR_materials_unlit",
        "KHR_lights_punctual",
    ];
    assert_eq!(parse(&requires(json!(beside))).unwrap().mesh.faces.len(), 12);
    assert!(refusal(&requires(json!(["KHR_draco_mesh_compression"]))).contains("Draco"));
    let unknown = refusal(&requires(json!(["ACME_shape_from_noise"])));
    assert!(unknown.contains("ACME_shape_from_noise") && unknown.contains("export"), "{unknown}");
    // Not required and with data to fall back on: read. Without such data: named.
    let draco = json!({"KHR_draco_mesh_compression": {"bufferView": 2, "attributes": {"POSITION": 0}}});
    let packed = |has_data: bool| {
        changed(&[], |d| {
            d["meshes"][0]["primitives"][0]["extensions"] = draco.clone();
            if !has_data {
                d["accessors"][0].as_object_mut().unwrap().remove("bufferView");
            }
        })
    };
    assert_eq!(parse(&packed(true)).unwrap().mesh.faces.len(), 12);
    assert!(refusal(&packed(false)).contains("KHR_draco_mesh_compression"));
    let meshopt = changed(&[], |d| {
        push(&mut d["buffers"], json!({"byteLength": 96}));
        d["bufferViews"][0] =
            json!({"buffer": 1, "byteLength": 96, "extensions": {"EXT_meshopt_compression": {"buffer": 0}}});
        d["extensionsRequired"] = json!(["EXT_meshopt_compression"]);
    });
    assert!(refusal(&meshopt).contains("meshopt"));
}

#[test]
fn what_is_not_applied_gets_a_note() {
    let file = parse(&changed(&[], |d| {
        d["nodes"] = json!([{"mesh": 0, "skin": 0}]);
        d["meshes"][0]["weights"] = json!([0.5]);
        d["meshes"][0]["primitives"][0]["targets"] = json!([{"POSITION": 0}]);
        push(&mut d["meshes"][0]["primitives"], json!({"attributes": {"NORMAL": 0}}));
        push(&mut d["meshes"][0]["primitives"], json!({"attributes": {"POSITION": 0}, "mode": 0}));
    }))
    .unwrap();
    assert_eq!((file.mesh.faces.len(), file.lines), (12, 1));
    for part in ["rest pose", "morph targets are not applied", "1 primitives without positions", "1 line or point"] {
        assert!(file.notes.iter().any(|n| n.contains(part)), "{part}: {:?}", file.notes);
    }
}

#[test]
fn indices_out_of_range_are_errors() {
    for (place, value, said) in [
        ("/meshes/0/primitives/0/attributes/POSITION", json!(9), "accessor 9 does not exist (there are 2)"),
        ("/meshes/0/primitives/0/attributes/POSITION", json!(-1), "POSITION is -1"),
        ("/meshes/0/primitives/0/attributes/POSITION", json!(0.5), "POSITION is 0.5"),
        ("/meshes/0/primitives/0/indices", json!(7), "accessor 7 does not exist"),
        ("/meshes/0/primitives/0/indices", json!(0), "use unsigned integers"),
        ("/accessors/0/bufferView", json!(3), "bufferView 3 does not exist"),
        ("/accessors/0/componentType", json!(9), "unknown componentType 9"),
        ("/accessors/0/count", json!(1e18), "not a whole number"),
        ("/accessors/0/count", json!(9), "claims 9 items of 12 bytes"),
        ("/accessors/0/byteOffset", json!(1u64 << 50), "claims 8 items"),
        ("/accessors/0/type", json!("VEC2"), "VEC3 is needed"),
        ("/bufferViews/0/buffer", json!(1), "buffer 1 does not exist"),
        ("/bufferViews/0/byteOffset", json!(1u64 << 52), "claims 8 items"),
        ("/bufferViews/0/byteLength", json!(95), "more than its 95 bytes hold"),
        ("/nodes/0/mesh", json!(1), "mesh 1 does not exist"),
        ("/nodes/0/children", json!([4]), "node 4 does not exist"),
        ("/scenes/0/nodes", json!([2]), "node 2 does not exist"),
        ("/asset/version", json!("1.0"), "glTF 1.0"),
        ("/nodes", json!(5), "not a usable glTF document"),
    ] {
        let data = changed(&[], |d| {
            d["nodes"] = json!([{"mesh": 0, "children": []}]);
            d["scenes"] = json!([{"nodes": [0]}]);
            for accessor in 0..2 {
                d["accessors"][accessor]["byteOffset"] = json!(0);
            }
            d["bufferViews"][0]["byteOffset"] = json!(0);
            *d.pointer_mut(place).unwrap() = value.clone();
        });
        let text = refusal(&data);
        assert!(text.contains(said), "{place} {value}: {text}");
    }
    // Numbers as floats, and absent lists, are no fault.
    let loose = changed(&[], |d| d["accessors"][0]["count"] = json!(8.0));
    assert_eq!(parse(&loose).unwrap().mesh.faces.len(), 12);
    assert!(matches!(parse(br#"{"asset":{"version":"2.0"}}"#), Err(MeshError::NoFaces { .. })));
    assert!(matches!(parse(b"{}"), Err(MeshError::NoFaces { .. })));
}

#[test]
fn transforms_are_in_double_precision() {
    let place = [1_000_000.123, -2_000_000.456, 0.789];
    let matrix = |t: [f64; 3]| json!([1e-3, 0, 0, 0, 0, 1e-3, 0, 0, 0, 0, 1e-3, 0, t[0], t[1], t[2], 1]);
    for node in [
        json!({"mesh": 0, "translation": place, "scale": [1e-3, 1e-3, 1e-3]}),
        json!({"mesh": 0, "matrix": matrix(place)}),
    ] {
        let file = parse(&changed(&[], |d| d["nodes"] = json!([node]))).unwrap();
        let [lo, hi] = bounds(&file);
        for k in 0..3 {
            assert!((lo[k] - place[k]).abs() < 1e-9 && (hi[k] - place[k] - 1e-3).abs() < 1e-9, "{lo:?} {hi:?}");
        }
        assert!(MeshReport::new(&file.mesh).watertight);
    }
}

#[test]
fn lengths_that_lie_are_clamped_with_a_note() {
    let whole = changed(&[], |_| {});
    let json_at = 12;
    let binary_at = 20 + u32::from_le_bytes(whole[json_at..json_at + 4].try_into().unwrap()) as usize;
    for (at, lengths) in [
        (8, &[u32::MAX, whole.len() as u32 + 1][..]),
        (json_at, &[u32::MAX, 0, 5, whole.len() as u32 - 20]),
        (binary_at, &[u32::MAX, 0, 100, 241, 0x7fff_ffff]),
    ] {
        for length in lengths {
            let mut lying = whole.clone();
            lying[at..at + 4].copy_from_slice(&length.to_le_bytes());
            let file = parse(&lying).unwrap_or_else(|e| panic!("{at} {length}: {e}"));
            assert_eq!(file.mesh.faces.len(), 12);
            assert!(file.notes.len() == 1 && file.notes[0].contains("claims"), "{at} {length}: {:?}", file.notes);
        }
    }
    // What the shape needs is missing.
    assert!(refusal(&whole[..whole.len() - 1]).contains("may be cut short"));
    assert!(refusal(&whole[..binary_at]).contains("data of buffer 0 are missing"));
    assert!(refusal(&whole[..40]).contains("usable glTF document"));
    assert!(refusal(&whole[..15]).contains("no JSON chunk"));
}

#[test]
fn buffers_are_read_once_and_only_from_regular_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("der Würfel 100%.bin"), cube_bytes()).unwrap();
    let path = folder.path().join("a.gltf");
    let mut value = document(0);
    let read = |uri: &str, value: &mut Value| {
        value["buffers"][0]["uri"] = json!(uri);
        std::fs::write(&path, value.to_string()).unwrap();
        read_mesh(&path)
    };
    for uri in ["der%20W%C3%BCrfel%20100%25.bin", "der Würfel 100%.bin", "./der%20Würfel 100%.bin"] {
        assert_eq!(read(uri, &mut value).unwrap().mesh.faces.len(), 12, "{uri}");
    }
    for (uri, said) in [
        ("gone.bin", "gone.bin"),
        (".", "a folder"),
        ("https://a.b/c.bin", "download"),
        ("data:text/plain,x", "base64"),
    ] {
        let text = read(uri, &mut value).unwrap_err().to_string();
        assert!(text.contains(said), "{uri}: {text}");
    }
    #[cfg(unix)]
    assert!(read("/dev/zero", &mut value).unwrap_err().to_string().contains("a device"));
    // Thousands of buffers that name one file, each used once: read once, so that nothing grows.
    let megabyte = [cube_bytes(), vec![0; 1 << 20]].concat();
    std::fs::write(folder.path().join("large.bin"), megabyte).unwrap();
    let count = 18_000;
    value["buffers"] = json!(vec![json!({"byteLength": 240, "uri": "large.bin"}); count]);
    value["bufferViews"] = (0..2 * count)
        .map(|i| match i % 2 {
            0 => json!({"buffer": i / 2, "byteLength": 96}),
            _ => json!({"buffer": i / 2, "byteOffset": 96, "byteLength": 144}),
        })
        .collect();
    value["accessors"] = (0..2 * count)
        .map(|i| match i % 2 {
            0 => json!({"bufferView": i, "componentType": 5126, "count": 8, "type": "VEC3"}),
            _ => json!({"bufferView": i, "componentType": 5125, "count": 36, "type": "SCALAR"}),
        })
        .collect();
    value["meshes"][0]["primitives"] =
        (0..count).map(|i| json!({"attributes": {"POSITION": 2 * i}, "indices": 2 * i + 1})).collect();
    std::fs::write(&path, value.to_string()).unwrap();
    assert_eq!(read_mesh(&path).unwrap().mesh.faces.len(), 12 * count);
}

#[test]
fn meshes_without_end_are_refused_and_shared_vertices_taken_once() {
    let again = |count: usize| changed(&[], |d| d["nodes"] = json!(vec![json!({"mesh": 0}); count]));
    assert_eq!(parse(&again(1000)).unwrap().mesh.faces.len(), 12_000);
    // 2^22 corners of one byte, used by a hundred nodes.
    let accessors = vec![0u8; 1 << 22];
    let heavy = changed(&accessors, |d| {
        d["accessors"][1] = json!({"bufferView": 2, "componentType": 5121, "count": 1 << 22, "type": "SCALAR"});
        d["nodes"] = json!(vec![json!({"mesh": 0}); 100]);
    });
    assert!(refusal(&heavy).contains("millions of faces"));
    // A hundred primitives over the same eight vertices.
    let shared = parse(&changed(&[], |d| {
        let primitive = d["meshes"][0]["primitives"][0].clone();
        d["meshes"][0]["primitives"] = json!(vec![primitive; 100]);
    }))
    .unwrap();
    assert_eq!((shared.mesh.faces.len(), shared.file_vertices), (1200, 8));
}
