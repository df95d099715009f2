use glam::DVec3;
use proptest::prelude::*;

use crate::read::*;
use crate::{Material, MeshReport, NO_MATERIAL, Texture, write_mesh};

fn parse(data: &[u8], format: MeshFormat) -> Result<MeshFile, MeshError> {
    read_mesh_bytes(data, format, Path::new("folder/test.file"))
}

fn message(data: &[u8], format: MeshFormat) -> String {
    let text = parse(data, format).expect_err("should fail").to_string();
    assert!(text.contains("test.file"), "{text}");
    text
}

/// A box in OBJ, as quads.
const BOX: &str = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nv 0 0 1\nv 1 0 1\nv 0 1 1\nv 1 1 1\n\
    f 1 3 4 2\nf 5 6 8 7\nf 1 2 6 5\nf 3 7 8 4\nf 1 5 7 3\nf 2 4 8 6\n";

#[test]
fn obj_polygons_relative_indices_lines_and_continuations() {
    let file = parse(BOX.as_bytes(), MeshFormat::Obj).unwrap();
    assert_eq!((file.mesh.faces.len(), file.polygons, file.lines), (12, 6, 0));
    assert!(MeshReport::new(&file.mesh).watertight);
    let text = "mtllib none here.mtl\ng caf\u{e9}\nv 0 0 0 # origin\r\nv 1 0 0\nv 1 \\\n 1 0\nf -3/1/1 -2//2 -1\nl 1 2 3\np 1\n";
    let mut latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
    latin.extend(b"v 5 5 5\nf 1 2 99\nf 0 1 2\nf 1 2\nf a b c\nv nan 0 0\nf 1 2 5\nf 1 2 3 # again");
    let file = parse(&latin, MeshFormat::Obj).unwrap();
    assert_eq!(file.mesh.faces, vec![[0, 1, 2], [0, 1, 2]]);
    assert_eq!((file.lines, file.file_vertices), (2, 5));
    let notes = file.notes.join("\n");
    for part in [
        "none here.mtl is absent",
        "2 line or point",
        "3 faces skipped: a corner names no vertex (first: face 2)",
        "1 faces skipped: fewer than three",
        "1 faces skipped: a coordinate is not a finite",
        "2 vertices belong to no face",
    ] {
        assert!(notes.contains(part), "{part} is not in:\n{notes}");
    }
}

/// A box in OBJ with materials, beside the material file `mtl`.
fn with_materials(folder: &Path, mtl: &[u8], obj: &str) -> MeshFile {
    std::fs::write(folder.join("the paints.mtl"), mtl).unwrap();
    std::fs::write(folder.join("a.obj"), obj).unwrap();
    read_mesh(&folder.join("a.obj")).unwrap()
}

#[test]
fn obj_materials_count_their_faces() {
    let folder = tempfile::tempdir().unwrap();
    let (vertices, faces) = BOX.split_at(BOX.find('f').unwrap());
    let mut lines = faces.lines();
    let mut next = || lines.next().unwrap();
    let obj = format!(
        "mtllib the paints.mtl\n{vertices}{}\nusemtl old oak\n{}\nf 1 2 99\n{}\nusemtl unknown\nusemtl glass\n{}\n\
        usemtl old oak\n{}\nusemtl nowhere\n{}\nmtllib the paints.mtl\n",
        next(),
        next(),
        next(),
        next(),
        next(),
        next()
    );
    let mtl = b"\xef\xbb\xbfnewmtl old oak\r\nKd 0.5 0.25 0.125\r\nmap_Kd -s 2 2 2 oak.png\r\nmap_Pr rough.png\r\n\
        # caf\xe9\nnewmtl unused\nKd 1 1 1\nnewmtl glass\nd 0.25\nnewmtl old oak\nKd 0 0 0\n";
    let file = with_materials(folder.path(), mtl, &obj);
    let m = &file.materials;
    let names: Vec<&str> = m.materials.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["old oak", "unknown", "glass", "nowhere"]);
    assert_eq!(m.face_counts(), (vec![6, 0, 2, 2], 2));
    assert_eq!(m.faces, [NO_MATERIAL, NO_MATERIAL, 0, 0, 0, 0, 2, 2, 0, 0, 3, 3]);
    assert_eq!(m.materials[0].diffuse, Some([0.5, 0.25, 0.125]));
    let texture = |property: &str, file: &str| Texture { property: property.into(), file: file.into() };
    assert_eq!(m.materials[0].textures, [texture("map_Kd", "-s 2 2 2 oak.png"), texture("map_Pr", "rough.png")]);
    assert_eq!((m.materials[2].diffuse, m.materials[2].opacity), (None, Some(0.25)));
    assert!(file.notes.iter().any(|n| n == "2 materials are not in the material files (first: unknown)"));
    // The shape is what it is without materials.
    assert_eq!(file.mesh, parse(BOX.as_bytes(), MeshFormat::Obj).unwrap().mesh);
}

#[test]
fn absent_and_broken_material_files_are_notes() {
    let folder = tempfile::tempdir().unwrap();
    let obj = format!("mtllib {{}}\nusemtl red\n{BOX}");
    for (library, mtl, note) in [
        ("the paints.mtl", &b"newmtl red\nKd 1 zero 0\n"[..], "the paints.mtl is ignored"),
        ("gone.mtl", b"", "gone.mtl is absent"),
        ("/dev/zero", b"", "/dev/zero is absent"),
    ] {
        let file = with_materials(folder.path(), mtl, &obj.replace("{}", library));
        assert_eq!(file.materials.face_counts(), (vec![12], 0));
        assert_eq!(file.materials.materials[0], Material { name: "red".into(), ..Material::default() });
        assert!(file.notes.len() == 1 && file.notes[0].contains(note), "{:?}", file.notes);
    }
    let plain = parse(BOX.as_bytes(), MeshFormat::Obj).unwrap();
    assert_eq!(plain.materials, MeshMaterials::default());
    assert!(plain.materials.faces.capacity() == 0);
}

#[test]
fn obj_errors_name_the_line() {
    assert!(message(b"v 0 0 0\nv 1 x 0\n", MeshFormat::Obj).contains("test.file:2"));
    assert!(message(b"v 0 0 0\n", MeshFormat::Obj).contains("no faces"));
    assert!(message(b"v 0 0 0\nf 1 2 3", MeshFormat::Obj).contains("a corner names no vertex"));
}

#[test]
fn equal_positions_become_one_vertex() {
    let text = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv -0 1 0\nv 1 0 0\nv 1 1 0\nf 1//1 2//1 3//1\nf 4 5 6\n";
    let file = parse(text.as_bytes(), MeshFormat::Obj).unwrap();
    assert_eq!((file.mesh.positions.len(), file.mesh.faces), (4, vec![[0, 1, 2], [2, 1, 3]]));
}

#[test]
fn off_variants() {
    let body = "0 0 0\n1 0 0 # comment\n\n1 1 0\n0 1 0\n4 0 1 2 3 255 0 0\n";
    for head in [
        "OFF\n4 1 0\n",
        "OFF 4 1 4\n",
        "OFF4 1 0\n",
        "# c\nCOFF\n4 1\n",
        "STCN4OFF\n4 1 0\n",
        "nOFF\n3\n4 1 0\n",
        "4 1 0\n",
    ] {
        let body =
            if head.contains("4OFF") { body.replace(" 0\n", " 0 1\n").replace("# comment", "1") } else { body.into() };
        let text = format!("{head}{body}");
        let file = parse(text.as_bytes(), MeshFormat::Off);
        let file = file.unwrap_or_else(|e| panic!("{head:?}: {e}"));
        assert_eq!((file.mesh.faces.len(), file.polygons), (2, 1), "{head:?}");
    }
    assert!(message(b"OFF BINARY\n", MeshFormat::Off).contains("binary OFF"));
    assert!(message(b"OFF\n4000000000 1 0\n0 0 0\n", MeshFormat::Off).contains("cannot fit"));
    assert!(message(b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n \n", MeshFormat::Off).contains("before face 1 of 1"));
    assert!(message(b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n9 0 1 2\n", MeshFormat::Off).contains("test.file:6"));
}

#[test]
fn stl_text_and_binary_are_told_apart() {
    let text = "solid a\nfacet normal nan nan nan\n OUTER loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n\
        endsolid a\nsolid b\nfacet normal 0 0 1\nouter loop\nvertex 0 0 1\nvertex 1 0 1\nvertex 0 1 1\nendloop\nendfacet\nendsolid b\n";
    assert_eq!(parse(text.as_bytes(), MeshFormat::Stl).unwrap().mesh.faces.len(), 2);
    let cut = &text[..text.rfind("vertex 0 1 1").unwrap()];
    assert!(message(cut.as_bytes(), MeshFormat::Stl).contains("inside a facet"));
    let mut binary = vec![b' '; 80];
    binary[..14].copy_from_slice(b"solid by a CAD");
    binary.extend(1u32.to_le_bytes());
    for v in [0., 0., 1., 0., 0., 0., 1., 0., 0., 0., 1., 0f32] {
        binary.extend(v.to_le_bytes());
    }
    binary.extend([0, 0]);
    assert_eq!(MeshFormat::sniff(&binary), Some(MeshFormat::Stl));
    assert_eq!(parse(&binary, MeshFormat::Stl).unwrap().mesh.faces.len(), 1);
    for claimed in [0u32, 2, 200, 0x7fff_ffff, u32::MAX] {
        binary[80..84].copy_from_slice(&claimed.to_le_bytes());
        let file = parse(&binary, MeshFormat::Stl).unwrap();
        assert_eq!(file.mesh.faces.len(), 1);
        let note = format!("claims {claimed} triangles, the file holds 1");
        assert!(file.notes.iter().any(|n| n.contains(&note)), "{:?}", file.notes);
    }
    assert!(message(b"short", MeshFormat::Stl).contains("84 bytes"));
}

#[test]
fn stl_corners_that_rounding_parted_are_joined() {
    let mut text = String::from("solid\n");
    for z in ["1.0", "1.00000001"] {
        text += &format!("facet\nouter loop\nvertex 0 0 {z}\nvertex 5 0 {z}\nvertex 0 5 0\nendloop\nendfacet\n");
    }
    let file = parse((text + "endsolid").as_bytes(), MeshFormat::Stl).unwrap();
    assert_eq!(file.mesh.positions.len(), 3);
    assert!(file.notes[0].contains("2 vertices merged"), "{:?}", file.notes);
}

fn binary_ply(big: bool, index: &str) -> Vec<u8> {
    let order = if big { "big" } else { "little" };
    let mut data = format!(
        "ply\nformat binary_{order}_endian 1.0\ncomment caf\u{e9}\nelement vertex 4\nproperty double x\nproperty float y\n\
        property float z\nproperty uchar red\nelement face 2\nproperty uchar flags\nproperty list {index} int vertex_index\nend_header\n"
    )
    .into_bytes();
    macro_rules! put {
        ($v:expr) => {
            data.extend(if big { $v.to_be_bytes().to_vec() } else { $v.to_le_bytes().to_vec() })
        };
    }
    for (x, y) in [(0f64, 0f32), (1., 0.), (1., 1.), (0., 1.)] {
        put!(x);
        put!(y);
        put!(0.5f32);
        put!(7u8);
    }
    for list in [&[0i32, 1, 2, 3][..], &[0, 2, 1]] {
        put!(1u8);
        match index {
            "int" => put!(list.len() as i32),
            "ushort" => put!(list.len() as u16),
            _ => put!(list.len() as u8),
        }
        list.iter().for_each(|v| put!(*v));
    }
    data
}

#[test]
fn ply_binary_orders_list_types_and_extra_properties() {
    for big in [false, true] {
        for index in ["uchar", "char", "ushort", "int"] {
            let file = parse(&binary_ply(big, index), MeshFormat::Ply).unwrap();
            assert_eq!((file.mesh.faces.len(), file.polygons), (3, 1), "{big} {index}");
            assert_eq!(file.mesh.positions[2], DVec3::new(1.0, 1.0, 0.5));
        }
    }
}

#[test]
fn ply_strips_and_errors() {
    let head = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n";
    let text = format!(
        "{head}element tristrips 1\nproperty list int int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n1 1 0\n8 0 1 2 3 -1 0 1 3\n"
    );
    let file = parse(text.as_bytes(), MeshFormat::Ply).unwrap();
    assert_eq!(file.mesh.faces, vec![[0, 1, 2], [2, 1, 3], [0, 1, 3]]);
    let huge = text.replace("vertex 4", "vertex 4000000000");
    assert!(message(huge.as_bytes(), MeshFormat::Ply).contains("cannot fit"));
    assert!(message(&text.as_bytes()[..60], MeshFormat::Ply).contains("end_header"));
    assert!(message(text.replace("property float z\n", "").as_bytes(), MeshFormat::Ply).contains("no property z"));
    let wrong = text.replace("1 0 0\n", "1 zero 0\n");
    assert!(message(wrong.as_bytes(), MeshFormat::Ply).contains("test.file:"), "names the line");
    let cut = binary_ply(true, "int");
    assert!(parse(&cut[..cut.len() - 3], MeshFormat::Ply).is_err());
}

/// A document with two nodes (the second mirrored and moved), a strip and an embedded buffer.
fn gltf(uri: &str, mode: u32) -> String {
    format!(
        r#"{{"asset":{{"version":"2.0"}},"scene":0,"scenes":[{{"nodes":[0]}}],
        "nodes":[{{"children":[1],"translation":[0,0,5]}},{{"mesh":0,"scale":[-1,1,1]}}],
        "meshes":[{{"primitives":[{{"attributes":{{"POSITION":0}},"mode":{mode}}}]}}],
        "accessors":[{{"bufferView":0,"componentType":5126,"count":4,"type":"VEC3","min":[0,0,0],"max":[1,1,0]}}],
        "bufferViews":[{{"buffer":0,"byteLength":48}}],"buffers":[{{"byteLength":48,"uri":"{uri}"}}]}}"#
    )
}

fn corners() -> Vec<u8> {
    [0., 0., 0., 1., 0., 0., 0., 1., 0., 1., 1., 0f32].iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn gltf_transforms_strips_fans_and_sidecars() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("the data.bin"), corners()).unwrap();
    let path = folder.path().join("a.gltf");
    std::fs::write(&path, gltf("the%20data.bin", 5)).unwrap();
    let file = read_mesh(&path).unwrap();
    assert_eq!(file.mesh.positions[1], DVec3::new(-1.0, 0.0, 5.0));
    // Mirrored: the order is reversed, so that the strip still faces +z.
    for f in 0..2 {
        let [a, b, c] = file.mesh.triangle(f);
        assert!((b - a).cross(c - a).z > 0.0);
    }
    for (mode, faces) in [(4, 1), (6, 2)] {
        assert_eq!(parse(gltf(&embedded(), mode).as_bytes(), MeshFormat::Gltf).unwrap().mesh.faces.len(), faces);
    }
    assert!(message(gltf(&embedded(), 1).as_bytes(), MeshFormat::Gltf).contains("1 line or point elements"));
    assert!(message(gltf("gone.bin", 4).as_bytes(), MeshFormat::Gltf).contains("gone.bin"));
    let long = gltf(&embedded(), 4).replace("\"count\":4", "\"count\":4000000000");
    assert!(message(long.as_bytes(), MeshFormat::Gltf).contains("claims 4000000000 items"));
    let cycle = gltf(&embedded(), 4).replace("\"mesh\":0", "\"mesh\":0,\"children\":[0]");
    assert!(message(cycle.as_bytes(), MeshFormat::Gltf).contains("ancestor"));
}

fn embedded() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text: String = corners()
        .chunks(3)
        .flat_map(|c| {
            let bits = c.iter().fold(0u32, |b, &v| b << 8 | u32::from(v));
            [18, 12, 6, 0].map(|s| char::from(DIGITS[(bits >> s & 63) as usize]))
        })
        .collect();
    format!("data:application/octet-stream;base64,{text}")
}

#[test]
fn content_decides_before_the_extension() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("really_ply.obj");
    std::fs::write(&path, binary_ply(false, "uchar")).unwrap();
    assert_eq!(read_mesh(&path).unwrap().format, MeshFormat::Ply);
    let unknown = folder.path().join("a.xyz");
    std::fs::write(&unknown, "1 2 3\n").unwrap();
    assert!(read_mesh(&unknown).unwrap_err().to_string().contains("a.xyz"));
    assert!(read_mesh(&folder.path().join("none.obj")).unwrap_err().to_string().contains("none.obj"));
}

const FORMATS: [MeshFormat; 5] = [MeshFormat::Obj, MeshFormat::Ply, MeshFormat::Stl, MeshFormat::Off, MeshFormat::Gltf];

/// Made once: writing syncs to the disk.
static SAMPLES: std::sync::LazyLock<Vec<(MeshFormat, Vec<u8>)>> = std::sync::LazyLock::new(samples);

/// A small valid file of each format.
fn samples() -> Vec<(MeshFormat, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let mesh = parse(BOX.as_bytes(), MeshFormat::Obj).unwrap().mesh;
    let mut list: Vec<_> = ["a.obj", "a.ply", "a.stl", "a.glb"]
        .iter()
        .map(|name| {
            let path = folder.path().join(name);
            write_mesh(&path, &mesh, None, None).unwrap();
            (MeshFormat::from_extension(&path).unwrap(), std::fs::read(&path).unwrap())
        })
        .collect();
    list.push((MeshFormat::Off, b"OFF\n4 2 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 2 3\n".to_vec()));
    list.push((MeshFormat::Ply, binary_ply(true, "int")));
    list.push((MeshFormat::Gltf, gltf(&embedded(), 5).into_bytes()));
    list
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..400), format in 0usize..5) {
        let _ = parse(&data, FORMATS[format]);
    }

    #[test]
    fn arbitrary_words_never_panic(text in "((v|f|l|usemtl|mtllib|OFF|COFF|solid|facet|vertex|endfacet|ply|-?[0-9]{1,10}|nan|1e400|/|\\\\)[ \n/]){0,60}", format in 0usize..5) {
        let _ = parse(text.as_bytes(), FORMATS[format]);
        let ply = format!("ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\nelement face 2\nproperty list uchar int vertex_indices\nend_header\n{text}");
        let _ = parse(ply.as_bytes(), MeshFormat::Ply);
    }

    #[test]
    fn truncated_and_damaged_files_never_panic(pick in 0usize..7, cut in 0.0f64..=1.0, damage in prop::collection::vec((0.0f64..1.0, any::<u8>()), 0..6)) {
        let (format, mut data) = SAMPLES[pick].clone();
        data.truncate((data.len() as f64 * cut) as usize);
        for (at, byte) in damage {
            let at = (data.len() as f64 * at) as usize;
            if let Some(b) = data.get_mut(at) {
                *b = byte;
            }
        }
        if let Ok(file) = parse(&data, format) {
            let n = file.mesh.positions.len() as u32;
            prop_assert!(file.mesh.faces.iter().flatten().all(|&v| v < n));
            prop_assert!(file.mesh.positions.iter().all(|p| p.is_finite()));
        }
    }
}
