//! Files as other programs leave them: encodings, line ends, number spellings, names, polygons without end.

use glam::DVec3;

use crate::read::*;
use crate::{DistanceQuery, MeshReport, QueryOptions, testing};

fn parse(data: &[u8], format: MeshFormat) -> Result<MeshFile, MeshError> {
    read_mesh_bytes(data, format, Path::new("folder/test.file"))
}

/// Checks for a closed cube of volume 1.
#[track_caller]
fn assert_cube(file: &MeshFile) {
    let report = MeshReport::new(&file.mesh);
    assert_eq!((report.faces, report.vertices, report.watertight), (12, 8, true), "{:?}", file.notes);
    assert!((report.signed_volume - 1.0).abs() < 1e-12, "{}", report.signed_volume);
}

fn cube() -> TriMesh {
    testing::cuboid(DVec3::ZERO, DVec3::ONE)
}

fn rows(mesh: &TriMesh, vertex: &str, face: &str) -> (String, String) {
    let vertices = mesh.positions.iter().map(|p| format!("{vertex}{} {} {}\n", p.x, p.y, p.z)).collect();
    let faces = mesh.faces.iter().map(|[a, b, c]| format!("{face}{a} {b} {c}\n")).collect();
    (vertices, faces)
}

const PLY: &str = "element vertex 8\nproperty float x\nproperty float y\nproperty float z\nelement face 12\n\
    property list uchar int vertex_indices\nend_header\n";

/// The cube in every text format, with LF.
fn texts() -> [(MeshFormat, String); 5] {
    let mesh = cube();
    let (vertices, faces) = rows(&mesh, "", "3 ");
    let obj = mesh.faces.iter().map(|f| format!("f {} {} {}\n", f[0] + 1, f[1] + 1, f[2] + 1)).collect::<String>();
    let facet = |f: usize| {
        let corners = mesh.triangle(f).map(|p| format!("vertex {} {} {}\n", p.x, p.y, p.z)).concat();
        format!("facet normal 0 0 0\nouter loop\n{corners}endloop\nendfacet\n")
    };
    let facets: String = (0..12).map(facet).collect();
    let gltf = r#"{"asset":{"version":"2.0"},"nodes":[{"mesh":0}],"meshes":[{"primitives":[{"attributes":{"POSITION":0},"indices":1}]}],
        "accessors":[{"bufferView":0,"componentType":5121,"count":8,"type":"VEC3"},
        {"bufferView":1,"componentType":5121,"count":36,"type":"SCALAR"}],
        "bufferViews":[{"buffer":0,"byteLength":24},{"buffer":0,"byteOffset":24,"byteLength":36}],
        "buffers":[{"byteLength":60,"uri":"data:;base64,DATA"}]}"#;
    let bytes: Vec<u8> = mesh.positions.iter().flat_map(|p| p.to_array().map(|v| v as u8)).collect();
    let indices = mesh.faces.iter().flatten().map(|&v| v as u8);
    let bytes: Vec<u8> = bytes.into_iter().chain(indices).collect();
    [
        (MeshFormat::Obj, rows(&mesh, "v ", "").0 + &obj),
        (MeshFormat::Off, format!("OFF\n8 12 0\n{vertices}{faces}")),
        (MeshFormat::Stl, format!("solid a cube\n{facets}endsolid a cube\n")),
        (MeshFormat::Ply, format!("ply\nformat ascii 1.0\ncomment a\n{PLY}{vertices}{faces}")),
        (MeshFormat::Gltf, gltf.replace("DATA", &base64(&bytes))),
    ]
}

/// Base64 of bytes whose number is a multiple of 3.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = |c: &[u8]| c.iter().fold(0u32, |b, &v| b << 8 | u32::from(v));
    bytes.chunks(3).flat_map(|c| [18, 12, 6, 0].map(|s| char::from(DIGITS[(bits(c) >> s & 63) as usize]))).collect()
}

#[test]
fn every_text_format_is_read_in_every_encoding() {
    for (format, text) in texts() {
        for ends in ["\n", "\r\n", "\r"] {
            let text = text.replace('\n', ends);
            let wide = |unit: fn(u16) -> [u8; 2]| format!("\u{feff}{text}").encode_utf16().flat_map(unit).collect();
            let encoded: [Vec<u8>; 4] = [
                text.clone().into_bytes(),
                format!("\u{feff}{text}").into_bytes(),
                wide(u16::to_le_bytes),
                wide(u16::to_be_bytes),
            ];
            for bytes in &encoded {
                assert_cube(&parse(bytes, format).unwrap_or_else(|e| panic!("{format:?} {ends:?}: {e}")));
                assert!(format == MeshFormat::Obj || MeshFormat::sniff(bytes) == Some(format), "{format:?} {ends:?}");
            }
            for unmarked in [&encoded[2][2..], &encoded[3][2..]] {
                let refused = parse(unmarked, format).unwrap_err().to_string();
                assert!(refused.contains("UTF-16 text without a byte order mark"), "{format:?}: {refused}");
            }
        }
    }
}

#[test]
fn headers_of_binary_ply_may_end_lines_in_any_way() {
    let mut mesh = cube();
    // Its lowest byte is a line feed, which belongs to the values after a lone CR.
    mesh.positions[0].x = f64::from(f32::from_bits(0x3380_000a));
    for ends in ["\n", "\r\n", "\r"] {
        for mark in ["", "\u{feff}"] {
            let header = format!("{mark}ply\nformat binary_little_endian 1.0\n{PLY}").replace('\n', ends);
            let mut data = header.into_bytes();
            for v in mesh.positions.iter().flat_map(|p| p.to_array()) {
                data.extend((v as f32).to_le_bytes());
            }
            for face in &mesh.faces {
                data.push(3);
                face.iter().for_each(|v| data.extend(v.to_le_bytes()));
            }
            assert_eq!(MeshFormat::sniff(&data), Some(MeshFormat::Ply));
            assert_eq!(parse(&data, MeshFormat::Ply).unwrap().mesh, mesh, "{ends:?}");
            let cut = parse(&data[..data.len() - 1], MeshFormat::Ply).unwrap_err().to_string();
            assert!(cut.contains("row 12 of 12") && cut.contains("truncated"), "{cut}");
        }
    }
}

#[test]
fn off_and_stl_know_no_lines() {
    let (vertices, faces) = rows(&cube(), "", "3 ");
    let off = format!("OFF\n8 12 0\n{vertices}{faces}");
    let pairs = format!("{}{faces}", vertices.replace("\n", " ").replacen(" 0 0 1 ", " 0\n0 1 ", 1));
    let coloured = vertices.replace('\n', " 255 0 0 255 ");
    for text in [
        off.replace([' ', '\n'], "\n"),
        off.replace('\n', " "),
        format!("OFF\n8 12 0\n{}{faces}", vertices.replace(' ', "\n")),
        format!("OFF\n8 12\n{}{faces}", vertices.replace(' ', "\n \n")),
        format!("OFF 8 12 0 {pairs}"),
        format!("COFF 8 12 0 {coloured}{faces}"),
        format!("OFF\n8 12 0\n{}{}", coloured.replace("255 0 0 255 ", "9 9 9 9\n"), faces.replace('\n', " 1 2 3\n")),
    ] {
        assert_cube(&parse(text.as_bytes(), MeshFormat::Off).unwrap_or_else(|e| panic!("{text}: {e}")));
    }
    let [_, _, (_, stl), ..] = texts();
    let named = stl.replace("solid a cube", "solid facet loop vertex");
    for text in [stl.replace('\n', " "), stl.replace([' ', '\n'], "\n"), named] {
        let text = text.replace("solid\na\ncube", "solid a cube");
        assert_cube(&parse(text.as_bytes(), MeshFormat::Stl).unwrap_or_else(|e| panic!("{text}: {e}")));
    }
}

#[test]
fn no_numbers_in_any_spelling_cost_their_faces_alone() {
    for (format, text) in texts() {
        for word in ["nan", "-nan(ind)", "1.#QNAN", "-1.#IND", "1.#INF", "-inf", "1e400"] {
            // One corner of the cube, of 3 to 6 faces.
            let spoilt = match format {
                MeshFormat::Gltf => continue,
                MeshFormat::Stl => text.replace("vertex 1 1 1", &format!("vertex 1 {word} 1")),
                _ => text.replace("1 1 1\n", &format!("1 {word} 1\n")),
            };
            assert_ne!(spoilt, text);
            let file = parse(spoilt.as_bytes(), format).unwrap_or_else(|e| panic!("{format:?} {word}: {e}"));
            let skipped = 12 - file.mesh.faces.len();
            assert!((3..=6).contains(&skipped), "{format:?} {word}");
            let note = format!("{skipped} faces skipped: a coordinate is not a finite number");
            assert!(file.notes.iter().any(|n| n.starts_with(&note)), "{:?}", file.notes);
        }
        if format != MeshFormat::Gltf {
            let commas = text.replace("1 1 1\n", "1 1,5 1\n");
            let refused = parse(commas.as_bytes(), format).unwrap_err().to_string();
            assert!(refused.contains("`1,5` has a decimal comma"), "{format:?}: {refused}");
            assert!(refused.contains("test.file:"), "{refused}");
        }
    }
}

#[test]
fn coordinates_beyond_measure_are_counted() {
    for (size, faces) in [(1e149, 12), (1e150, 0), (1e300, 0)] {
        let mut mesh = cube();
        mesh.positions.iter_mut().for_each(|p| *p *= size);
        let (vertices, faces_text) = rows(&mesh, "", "3 ");
        let text = format!("OFF\n8 12 0\n{vertices}{faces_text}");
        match parse(text.as_bytes(), MeshFormat::Off) {
            Ok(file) => assert_eq!((file.mesh.faces.len(), file.notes.len()), (faces, 0)),
            Err(e) => assert!(faces == 0 && e.to_string().contains("12 faces skipped: a coordinate is 1e150"), "{e}"),
        }
    }
}

#[test]
fn double_precision_reaches_the_mesh() {
    let utm = DVec3::new(512_345.678, 5_412_345.678, 321.5);
    let mut mesh = cube();
    mesh.positions.iter_mut().for_each(|p| *p += utm);
    let (vertices, faces) = rows(&mesh, "", "3 ");
    for (format, text) in [
        (MeshFormat::Off, format!("OFF\n8 12 0\n{vertices}{faces}")),
        (MeshFormat::Ply, format!("ply\nformat ascii 1.0\n{}{vertices}{faces}", PLY.replace("float", "double"))),
    ] {
        assert_eq!(parse(text.as_bytes(), format).unwrap().mesh, mesh);
    }
}

#[test]
fn endless_polygons_are_read_in_linear_time() {
    let note = |file: &MeshFile| file.notes.iter().any(|n| n.starts_with("1 polygons cross or repeat themselves"));
    for corners in [8000, 200_000] {
        let list = "1 2 3 ".repeat(corners / 3);
        let obj = parse(format!("v 0 0 0\nv 1 0 0\nv 0 1 0\nf {list}\n").as_bytes(), MeshFormat::Obj).unwrap();
        assert!(note(&obj) && obj.mesh.faces.len() == corners / 3 * 3 - 2);
        let count = corners / 3 * 3;
        let off = format!("OFF\n4 1 0\n0 0 0\n1 0 0\n0 1 0\n1 1 0\n{count} {list}\n");
        assert!(note(&parse(off.as_bytes(), MeshFormat::Off).unwrap()));
    }
    let scattered = |i: u64| format!("vertex {} {} 0\n", i * 7919 % 10_007, i * i % 10_007);
    let corners: String = (0..20_000).map(scattered).collect();
    let stl = format!("solid\nfacet normal 0 0 1\nouter loop\n{corners}endloop\nendfacet\nendsolid\n");
    assert!(note(&parse(stl.as_bytes(), MeshFormat::Stl).unwrap()));
}

#[test]
fn copies_of_a_face_cost_no_more_than_faces() {
    let text = format!("v 0 0 0\nv 1 0.1 0\nv 0.2 1 0.3\n{}", "f 1 2 3\n".repeat(40_000));
    let mesh = parse(text.as_bytes(), MeshFormat::Obj).unwrap().mesh;
    assert_eq!(MeshReport::new(&mesh).duplicate_faces, 39_999);
    let query = DistanceQuery::new(&mesh, &QueryOptions::default()).unwrap();
    assert_eq!(query.bvh().face_count(), 16);
    assert!((query.closest(DVec3::new(0.0, 0.0, -2.0)).unwrap().distance - 2.0).abs() < 1e-9);
}

#[test]
fn formats_that_are_not_read_are_named_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        read_mesh(&path).unwrap_err().to_string()
    };
    let zip = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\x003D/3dmodel.model<model/>";
    let iges = format!("{:<72}S      1\n{:<72}G      1\n", "a part", "1H,,1H;");
    for (name, content, format) in [
        ("a.3mf", &zip[..], "3MF"),
        ("a.stl", zip, "3MF"),
        ("A.3MF", b"anything", "3MF"),
        ("a.step", b"ISO-10303-21;\nHEADER;\n", "STEP"),
        ("a.obj", b"ISO-10303-21;\nHEADER;\n", "STEP"),
        ("a.STP", b"", "STEP"),
        ("a.stl", iges.as_bytes(), "IGES"),
        ("a.igs", iges.as_bytes(), "IGES"),
        ("a.ply", b"Kaydara FBX Binary  \0", "FBX"),
        ("a.dae", b"<?xml version=\"1.0\"?><COLLADA/>", "COLLADA"),
        ("a.obj", b"\x1f\x8b\x08\0", "gzip"),
        ("a.zip", b"PK\x03\x04 mesh.obj", "zip"),
    ] {
        let said = refused(name, content);
        let way_out = ["export it as", "unpack it"].iter().any(|remedy| said.contains(remedy));
        assert!(said.contains(name) && said.contains(format) && way_out, "{said}");
    }
    assert!(refused("a.xyz", b"1 2 3").contains("use OBJ, PLY"));
}

#[test]
fn names_may_differ_in_case_and_slashes() {
    let folder = tempfile::tempdir().unwrap();
    let [(_, obj), ..] = texts();
    let (vertices, faces) = obj.split_at(obj.find('f').unwrap());
    std::fs::create_dir(folder.path().join("maps")).unwrap();
    let mtl = "newmtl Oak\nKd 1 0 0\nmap_Kd textures\\oak.png\n";
    std::fs::write(folder.path().join("maps/Cube.MTL"), mtl).unwrap();
    std::fs::write(folder.path().join("beside.mtl"), mtl).unwrap();
    for library in
        ["maps\\cube.mtl", "maps/CUBE.mtl", "maps/Cube.MTL", "C:\\work\\beside.mtl", "Beside.MTL", "./beside.mtl"]
    {
        let path = folder.path().join("CUBE.OBJ");
        std::fs::write(&path, format!("mtllib {library}\n{vertices}usemtl OAK\n{faces}")).unwrap();
        let file = read_mesh(&path).unwrap();
        assert_cube(&file);
        assert!(file.notes.is_empty(), "{library}: {:?}", file.notes);
        let material = &file.materials.materials[0];
        assert_eq!((material.name.as_str(), material.diffuse), ("OAK", Some([1.0, 0.0, 0.0])), "{library}");
        assert_eq!(material.textures[0].file, "textures/oak.png");
    }
    for (format, text) in texts() {
        let name = format!("{format:?}.{}", ["OBJ", "Ply", "sTL", "OFF", "GLTF"][format as usize]);
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        assert_cube(&read_mesh(&path).unwrap());
    }
}

#[test]
fn material_files_in_any_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let [(_, obj), ..] = texts();
    let text = "newmtl red\nKd 1 0 0\nnewmtl blue\nKd 0 0 1\n";
    for ends in ["\n", "\r\n", "\r"] {
        for mark in ["", "\u{feff}"] {
            std::fs::write(folder.path().join("a.mtl"), format!("{mark}{text}").replace('\n', ends)).unwrap();
            let path = folder.path().join("a.obj");
            std::fs::write(&path, format!("mtllib a.mtl\nusemtl blue\n{obj}").replace('\n', ends)).unwrap();
            let file = read_mesh(&path).unwrap();
            assert_eq!(file.materials.materials[0].diffuse, Some([0.0, 0.0, 1.0]), "{ends:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn devices_and_folders_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    for path in [Path::new("/dev/zero"), folder.path()] {
        assert!(matches!(read_mesh(path), Err(MeshError::Io { .. })));
    }
}
