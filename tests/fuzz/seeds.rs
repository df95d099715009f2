//! Writes the fuzzers' first inputs: small whole files of every format, by the project's own writers and from literals.
//!
//! `NSTR_SEEDS=FOLDER seeds -runs=0` writes `FOLDER/<target>/good_*` for inputs that must be read and
//! `FOLDER/<target>/odd_*` for those that must be refused or read with a note. It is a fuzz target like the others (of
//! nothing), so that the rooms are built once, with libFuzzer's instrumentation.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use glam::{DVec3, Vec3};
use nstr_camera::Orbit;
use nstr_codec::{LevelLayout, QuantizedLevel, QuantizedTensor, cells, level, tensors, text};
use nstr_field::model::compact::{LevelSteps, QuantizationSteps};
use nstr_field::{Checkpoint, Model, Precision, QuantizedModel};
use nstr_fuzz::targets::{NEXT_FILE, TARGETS};
use nstr_geometry::{TriMesh, write_mesh};
use nstr_image::Rgba8;
use nstr_signal::{AudioSignal, SampleFormat};
use nstr_space::{Cube, Occupancy};
use nstr_spec::init;
use nstr_spec::preset::preset;

type Failure = Box<dyn std::error::Error>;

/// Folder that seeds go to.
struct Seeds(PathBuf);

impl Seeds {
    /// The path of a seed, for writers that take one.
    fn path(&self, target: &str, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.0.join(target);
        fs::create_dir_all(&folder)?;
        Ok(folder.join(name))
    }

    fn put(&self, target: &str, name: &str, data: impl AsRef<[u8]>) -> Result<(), Failure> {
        Ok(fs::write(self.path(target, name)?, data)?)
    }
}

libfuzzer_sys::fuzz_target!(init: write(), |_data: &[u8]| ());

fn write() {
    let folder = std::env::var_os("NSTR_SEEDS").expect("NSTR_SEEDS names the folder to write to");
    let seeds = Seeds(folder.into());
    write_all(&seeds).and_then(|()| check(&seeds)).unwrap_or_else(|e| panic!("{e}"));
}

/// Reads what must be read.
fn check(seeds: &Seeds) -> Result<(), Failure> {
    let scratch = std::env::temp_dir().join(format!("nstr-fuzz-{}", std::process::id()));
    let mut refused = Vec::new();
    for (name, target) in TARGETS {
        for entry in fs::read_dir(seeds.0.join(name))? {
            let path = entry?.path();
            let is_good = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("good"));
            if is_good && !target(&scratch.join(name), &fs::read(&path)?) {
                refused.push(path.display().to_string());
            }
        }
    }
    fs::remove_dir_all(scratch)?;
    if refused.is_empty() { Ok(()) } else { Err(format!("refused: {}", refused.join(", ")).into()) }
}

fn write_all(seeds: &Seeds) -> Result<(), Failure> {
    meshes(seeds)?;
    gltf(seeds)?;
    pictures(seeds)?;
    sounds(seeds)?;
    transforms(seeds)?;
    colmap(seeds)?;
    arrays(seeds)?;
    models(seeds)?;
    sections(seeds)?;
    texts(seeds)
}

fn tetrahedron() -> TriMesh {
    let positions = vec![DVec3::ZERO, DVec3::X, DVec3::Y * 1.25, DVec3::new(0.5, 0.25, 2.0)];
    TriMesh { positions, faces: vec![[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]] }
}

fn meshes(seeds: &Seeds) -> Result<(), Failure> {
    let (normals, colours) = ([Vec3::Z; 4], [[255, 0, 128]; 4]);
    for extension in ["obj", "ply", "stl", "glb"] {
        let target = if extension == "glb" { "gltf" } else { extension };
        let path = |name: &str| seeds.path(target, &format!("good_{name}.{extension}"));
        write_mesh(&path("plain")?, &tetrahedron(), None, None)?;
        write_mesh(&path("coloured")?, &tetrahedron(), Some(&normals), Some(&colours))?;
    }
    seeds.put(
        "obj",
        "good_words.obj",
        "# a quad, a triangle and what else there is\nmtllib mesh.mtl\no a\ng b\nv 0 0 0 1 0 0\nv 1 0 0\nv 1 1 \\\n0\nv 0 1 0\n\
         vt 0 0\nvn 0 0 1\ns off\nusemtl red\nf 1/1/1 2//1 3/1 4\nf -4 -3 -2\nl 1 2\np 1\nv nan 0 0\nf 1 2 5\n",
    )?;
    seeds.put("obj", "good_bom_cr.obj", "\u{feff}v 0 0 0\rv 1 0 0\rv 0 1 0\rf 1 2 3\r")?;
    seeds.put("obj", "odd_step.obj", "ISO-10303-21;\nHEADER;\nENDSEC;\nDATA;\n#1=POINT('',(0.,0.,0.));\nENDSEC;\n")?;
    seeds.put(
        "obj",
        "odd_zip.obj",
        b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0e\0\0\03D/3dmodel.model",
    )?;
    let utf16: Vec<u8> =
        "\u{feff}v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    seeds.put("obj", "odd_utf16.obj", utf16)?;
    seeds.put(
        "mtl",
        "good_two.mtl",
        "newmtl red\nKa 0.1 0.1 0.1\nKd 1 0 0\nKs 0 0 0\nKe 1 1 1\nNs 10\nNi 1.5\nd 0.5\nTr 0.5\nillum 2\n\
         map_Kd -s 1 1 1 red.png\nmap_Bump -bm 0.2 bump.png\nPr 0.5\nPm 1\nnewmtl blue\nKd 0 0 1\nrefl sphere.png\n",
    )?;
    seeds.put(
        "ply",
        "good_ascii.ply",
        "ply\nformat ascii 1.0\ncomment a square\nobj_info none\nelement vertex 4\nproperty double x\nproperty double y\n\
         property double z\nproperty uchar red\nelement face 2\nproperty list uchar int vertex_indices\nproperty uchar flag\n\
         element edge 1\nproperty int vertex1\nproperty int vertex2\nend_header\n0 0 0 1\n1 0 0 2\n1 1 0 3\n0 1 1e-3 4\n\
         4 0 1 2 3 9\n3 0 1 2 8\n0 1\n",
    )?;
    let mut ply =
        b"ply\nformat binary_big_endian 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n\
        element tristrips 1\nproperty list uint int vertex_indices\nend_header\n"
            .to_vec();
    ply.extend([0f32, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0].iter().flat_map(|v| v.to_be_bytes()));
    ply.extend([4i32, 0, 1, 2, 3].iter().flat_map(|v| v.to_be_bytes()));
    seeds.put("ply", "good_strip.ply", ply)?;
    seeds.put(
        "stl",
        "good_ascii.stl",
        "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1e0 0\nendloop\nendfacet\nendsolid a\n\
         solid b\nfacet normal nan nan nan\nouter loop\nvertex 0 0 1\nvertex 1 0 1\nvertex 0 1 1\nendloop\nendfacet\nendsolid\n",
    )?;
    seeds.put(
        "off",
        "good_lines.off",
        "OFF\n# comment\n4 2 0\n0 0\n0\n1 0 0\n1 1 0 0 1 0 1\n0 1 0\n4 0 1 2 3 255 0 0\n3 0 1 2\n",
    )?;
    seeds.put("off", "good_coff.off", "COFF 3 1 0\n0 0 0 1 0 0 1\n1 0 0 1 0 0 1\n0 1 0 1 0 0 1\n3 0 1 2\n")?;
    seeds.put("off", "good_4off.off", "4OFF\n3 1 0\n0 0 0 1\n2 0 0 2\n0 1 0 1\n3 0 1 2\n")?;
    Ok(())
}

fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in data.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn gltf(seeds: &Seeds) -> Result<(), Failure> {
    let floats = [0f32, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0];
    let mut buffer: Vec<u8> = floats.iter().flat_map(|v| v.to_le_bytes()).collect();
    buffer.extend([0u16, 1, 2, 1].iter().flat_map(|v| v.to_le_bytes()));
    // Sparse values: index 3, position (2, 2, 2).
    buffer.extend(3u32.to_le_bytes());
    buffer.extend([2f32; 3].iter().flat_map(|v| v.to_le_bytes()));
    // Quantised positions, four bytes each.
    buffer.extend([0u8, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0]);
    let uri = format!("data:application/octet-stream;base64,{}", base64(&buffer));
    let document = |nodes: &str, rest: &str, extensions: &str| {
        format!(
            r#"{{"asset":{{"version":"2.0"}},{rest}"nodes":[{nodes}],"meshes":[{{"primitives":[{{"attributes":{{"POSITION":0}},"indices":1}},{{"attributes":{{"POSITION":2}},"mode":5}},{{"attributes":{{"POSITION":3}},"mode":6}}]}}],{extensions}"accessors":[{{"bufferView":0,"componentType":5126,"count":4,"type":"VEC3","min":[0,0,0],"max":[1,1,0]}},{{"bufferView":1,"componentType":5123,"count":3,"type":"SCALAR"}},{{"bufferView":0,"componentType":5126,"count":4,"type":"VEC3","sparse":{{"count":1,"indices":{{"bufferView":2,"componentType":5125}},"values":{{"bufferView":3}}}}}},{{"bufferView":4,"componentType":5121,"normalized":true,"count":3,"type":"VEC3"}}],"bufferViews":[{{"buffer":0,"byteOffset":0,"byteLength":48}},{{"buffer":0,"byteOffset":48,"byteLength":8}},{{"buffer":0,"byteOffset":56,"byteLength":4}},{{"buffer":0,"byteOffset":60,"byteLength":12}},{{"buffer":0,"byteOffset":72,"byteLength":12,"byteStride":4}}],"buffers":[{{"byteLength":84,"uri":"{uri}"}}]}}"#
        )
    };
    let quantised = r#""extensionsUsed":["KHR_mesh_quantization"],"extensionsRequired":["KHR_mesh_quantization"],"#;
    let node = r#"{"mesh":0,"translation":[1e6,0,0],"rotation":[0,0,0,1],"scale":[1,2,1]}"#;
    let scenes = r#""scene":0,"scenes":[{"nodes":[0]}],"#;
    seeds.put("gltf", "good_scene.gltf", document(node, scenes, quantised))?;
    seeds.put("gltf", "good_no_scene.gltf", document(node, "", quantised))?;
    let tree = r#"{"children":[1,2]},{"mesh":0},{"mesh":0,"matrix":[1,0,0,0,0,1,0,0,0,0,1,0,5,0,0,1]}"#;
    seeds.put("gltf", "good_tree.gltf", document(tree, scenes, quantised))?;
    let instances = r#"{"mesh":0,"extensions":{"EXT_mesh_gpu_instancing":{"attributes":{"TRANSLATION":0}}}}"#;
    seeds.put("gltf", "good_instances.gltf", document(instances, scenes, quantised))?;
    let draco = r#""extensionsRequired":["KHR_draco_mesh_compression"],"#;
    seeds.put("gltf", "odd_draco.gltf", document(node, scenes, draco))?;
    Ok(())
}

/// Width, height and bytes a pixel of an uncompressed TIFF: one strip, little-endian.
fn tiff((width, height): (u16, u16), samples: u16, data: &[u8]) -> Vec<u8> {
    let mut tags: Vec<(u16, u16, u32, u32)> = vec![
        (256, 3, 1, u32::from(width)),
        (257, 3, 1, u32::from(height)),
        // Bits a sample; three of them lie behind the tags.
        (258, 3, u32::from(samples), 8),
        (259, 3, 1, 1),
        (262, 3, 1, if samples == 1 { 1 } else { 2 }),
        (273, 4, 1, 0),
        (277, 3, 1, u32::from(samples)),
        (278, 3, 1, u32::from(height)),
        (279, 4, 1, data.len() as u32),
    ];
    let end = 8 + 2 + 12 * tags.len() as u32 + 4;
    tags[5].3 = end + 6;
    if samples > 1 {
        tags[2].3 = end;
    }
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((tags.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in tags {
        bytes.extend([tag, kind].map(u16::to_le_bytes).concat());
        bytes.extend([count, value].map(u32::to_le_bytes).concat());
    }
    bytes.extend([0; 4]);
    bytes.extend([8u16; 3].map(u16::to_le_bytes).concat());
    bytes.extend(data);
    bytes
}

/// A lossless WebP of one pixel, and a lossy one.
const WEBP: [&[u8]; 2] = [
    b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0",
    b"RIFF\x22\0\0\0WEBPVP8 \x16\0\0\0\x30\x01\0\x9d\x01\x2a\x01\0\x01\0\x0e\xc0\xfe\x25\xa4\0\x03\x70\0\0\0\0",
];

/// An EXIF segment of a JPEG that says how the picture is turned.
fn exif(orientation: u8) -> Vec<u8> {
    let mut segment = vec![0xFF, 0xE1, 0, 34];
    segment.extend(b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0");
    segment.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    segment
}

fn pictures(seeds: &Seeds) -> Result<(), Failure> {
    let size = (8u32, 6u32);
    let image = |alpha: u8| Rgba8::from_fn(8, 6, |i| [i as u8 * 5, 90, 200, if i % 3 == 0 { alpha } else { 255 }]);
    for (name, colour, data) in [
        ("grey", png::ColorType::Grayscale, image(255).data.chunks(4).map(|p| p[0]).collect::<Vec<u8>>()),
        ("rgb", png::ColorType::Rgb, image(255).data.chunks(4).flat_map(|p| p[..3].to_vec()).collect()),
        ("rgba", png::ColorType::Rgba, image(77).data),
    ] {
        let bytes = nstr_image::png::encode_as(size, colour, &data)?;
        seeds.put("frame", &format!("good_{name}.png"), &bytes)?;
        seeds.put("png", &format!("good_{name}.png"), bytes)?;
    }
    // Sixteen bits, interlaced, with a palette of two colours.
    for (name, colour, depth, data) in [
        ("grey16", png::ColorType::Grayscale, png::BitDepth::Sixteen, vec![7; 8 * 6 * 2]),
        ("palette", png::ColorType::Indexed, png::BitDepth::One, vec![0b1010_1010; 6]),
    ] {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 8, 6);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if colour == png::ColorType::Indexed {
            encoder.set_palette(vec![255, 0, 0, 0, 0, 255]);
            encoder.set_trns(vec![255, 0]);
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&data)?;
        writer.finish()?;
        seeds.put("png", &format!("good_{name}.png"), bytes)?;
    }
    let jpeg = nstr_image::testing::grey_jpeg();
    seeds.put("jpeg", "good_grey.jpg", &jpeg)?;
    seeds.put("frame", "good_grey.jpg", &jpeg)?;
    seeds.put("jpeg", "good_turned.jpg", [&jpeg[..2], &exif(6), &jpeg[2..]].concat())?;
    seeds.put("jpeg", "good_no_end.jpg", &jpeg[..jpeg.len() - 2])?;
    let plane = |first: f32| (0..48).map(|i| first + i as f32).collect::<Vec<f32>>();
    let channel = |name: &str, first: f32| (name.to_string(), plane(first));
    let rgb = vec![channel("R", 0.0), channel("G", 0.5), channel("B", -1.0)];
    let exr = nstr_image::exr::encode((8, 6), rgb)?;
    seeds.put("exr", "good_rgb.exr", &exr)?;
    seeds.put("frame", "good_rgb.exr", exr)?;
    seeds.put("exr", "good_grey.exr", nstr_image::exr::encode((8, 6), vec![channel("Y", 0.0), channel("A", 1.0)])?)?;
    seeds.put("exr", "good_parts.exr", nstr_image::testing::exr_file(&[&["Z"], &["R", "G", "B"], &["sun.Y"]], true))?;
    seeds.put("tiff", "good_grey.tif", tiff((8, 6), 1, &plane(0.0).iter().map(|v| *v as u8).collect::<Vec<u8>>()))?;
    seeds.put("tiff", "good_rgb.tif", tiff((8, 6), 3, &[50; 8 * 6 * 3]))?;
    seeds.put("webp", "good_lossless.webp", WEBP[0])?;
    seeds.put("webp", "odd_lossy.webp", WEBP[1])?;
    Ok(())
}

/// A RIFF chunk, padded.
fn chunk(id: &[u8; 4], data: &[u8], length: impl Fn(u32) -> [u8; 4]) -> Vec<u8> {
    let mut bytes = [&id[..], &length(data.len() as u32), data].concat();
    bytes.extend((data.len() % 2 == 1).then_some(0));
    bytes
}

/// An AIFF or AIFF-C sound of 16-bit samples, mono at 8000 Hz.
fn aiff(compression: Option<&[u8; 4]>, samples: &[u8]) -> Vec<u8> {
    let frames = (samples.len() / 2) as u32;
    let mut common = vec![0, 1];
    common.extend(frames.to_be_bytes());
    // 16 bits, and 8000 as an 80-bit float: 1.953125 · 2¹².
    common.extend([0, 16, 0x40, 0x0B, 0xFA, 0, 0, 0, 0, 0, 0, 0]);
    if let Some(id) = compression {
        common.extend([&id[..], &[0, 0]].concat());
    }
    let big = |n: u32| n.to_be_bytes();
    let version = if compression.is_some() { chunk(b"FVER", &[0xA2, 0x80, 0x51, 0x40], big) } else { Vec::new() };
    let sound = chunk(b"SSND", &[&[0; 8], samples].concat(), big);
    let form: &[u8] = if compression.is_some() { b"AIFC" } else { b"AIFF" };
    chunk(b"FORM", &[form, &version, &chunk(b"COMM", &common, big), &sound].concat(), big)
}

/// A WAV sound of any format, with the sizes that its writer states.
fn wav(format: &[u8], data: &[u8], (riff, stated): (u32, u32)) -> Vec<u8> {
    let little = |n: u32| n.to_le_bytes();
    let mut bytes = [b"RIFF", &riff.to_le_bytes()[..], b"WAVE"].concat();
    bytes.extend(chunk(b"fmt ", format, little));
    bytes.extend([b"data", &stated.to_le_bytes()[..], data].concat());
    bytes
}

fn sounds(seeds: &Seeds) -> Result<(), Failure> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../oracle/sounds");
    for entry in fs::read_dir(kept)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = if name.ends_with("flac") { "flac" } else { "wav" };
        seeds.put(target, &format!("good_{name}"), fs::read(&path)?)?;
    }
    let data: Vec<f32> = (0..40).map(|i| (i as f32 * 0.3).sin() * 0.5).collect();
    let sound = AudioSignal { rate: 8000, channels: 2, format: SampleFormat::Pcm16, data };
    sound.write(&seeds.path("wav", "good_own.wav")?)?;
    let samples: Vec<u8> = (0..40u8).collect();
    // Mono, 8000 Hz, 16 bits; lengths of a pipe, and lengths that lie.
    let plain = [1u16.to_le_bytes(), 1u16.to_le_bytes()].concat();
    let plain = [&plain[..], &8000u32.to_le_bytes(), &16000u32.to_le_bytes(), &[2, 0, 16, 0]].concat();
    seeds.put("wav", "good_pipe.wav", wav(&plain, &samples, (u32::MAX, u32::MAX)))?;
    seeds.put("wav", "good_zero_length.wav", wav(&plain, &samples, (0, 0)))?;
    seeds.put("wav", "good_long_riff.wav", wav(&plain, &samples, (0x7FFF_FFFF, 0x7FFF_FFFF)))?;
    // IMA ADPCM: a block of 36 bytes holds 65 samples.
    let ima = [0x11u16, 1].map(u16::to_le_bytes).concat();
    let ima = [&ima[..], &8000u32.to_le_bytes(), &4000u32.to_le_bytes(), &[36, 0, 4, 0, 2, 0, 65, 0]].concat();
    let block: Vec<u8> = [0, 0, 0, 0].into_iter().chain((0..32u8).map(|i| i * 7)).collect();
    seeds.put("wav", "odd_adpcm.wav", wav(&ima, &block, (4 + 8 + 20 + 8 + 36, 36)))?;
    let rf64 = wav(&plain, &samples, (u32::MAX, u32::MAX));
    let mut sizes = chunk(b"ds64", &[92u64, 40, 20].map(u64::to_le_bytes).concat(), |_| 28u32.to_le_bytes());
    sizes.extend([0; 4]);
    seeds.put("wav", "good_rf64.wav", [b"RF64", &rf64[4..12], &sizes, &rf64[12..]].concat())?;
    // Sony Wave64: chunks are named by 16 bytes and their 64-bit lengths count the header.
    let tail: [u8; 12] = [0xF3, 0xAC, 0xD3, 0x11, 0x8C, 0xD1, 0x00, 0xC0, 0x4F, 0x8E, 0xDB, 0x8A];
    let riff: [u8; 12] = [0x2E, 0x91, 0xCF, 0x11, 0xA5, 0xD6, 0x28, 0xDB, 0x04, 0xC1, 0x00, 0x00];
    let part = |id: &[u8; 4], data: &[u8]| [&id[..], &tail, &(24 + data.len() as u64).to_le_bytes(), data].concat();
    let w64 = [&b"wave"[..], &tail, &part(b"fmt ", &plain), &part(b"data", &samples)].concat();
    seeds.put("wav", "good_w64.wav", [b"riff", &riff[..], &(24 + w64.len() as u64).to_le_bytes(), &w64].concat())?;
    seeds.put("aiff", "good_plain.aiff", aiff(None, &samples))?;
    seeds.put("aiff", "good_sowt.aifc", aiff(Some(b"sowt"), &samples))?;
    Ok(())
}

fn transforms(seeds: &Seeds) -> Result<(), Failure> {
    let pose = |x: f64| format!("[[1,0,0,{x}],[0,1,0,0],[0,0,1,3],[0,0,0,1]]");
    let frame =
        |name: &str, x: f64, more: &str| format!(r#"{{"file_path":"{name}",{more}"transform_matrix":{}}}"#, pose(x));
    let two = |more: &str| format!("{},{}", frame("images/a.png", 0.0, more), frame("./images/b", 0.3, more));
    seeds.put("transforms", "good_angle.json", format!(r#"{{"camera_angle_x":0.7,"frames":[{}]}}"#, two("")))?;
    seeds.put(
        "transforms",
        "good_ngp.json",
        format!(
            r#"{{"w":8,"h":6,"fl_x":9.5,"fl_y":9.5,"cx":4,"cy":3,"k1":0.01,"k2":-0.001,"p1":0,"p2":null,"aabb_scale":4,"scale":0.5,"offset":[0.5,0.5,0.5],"frames":[{}]}}"#,
            two(r#""sharpness":20.5,"#)
        ),
    )?;
    seeds.put(
        "transforms",
        "good_nerfstudio.json",
        format!(
            r#"{{"camera_model":"OPENCV_FISHEYE","w":8,"h":6,"fl_x":9.5,"fl_y":9.5,"cx":4.0,"cy":3.0,"k1":0.01,"k4":1e-4,"applied_scale":1.0,"train_filenames":["images/a.png"],"test_filenames":["./images/b.png"],"frames":[{},{}]}}"#,
            frame("images/a.png", 0.0, r#""mask_path":"mask.png","#),
            frame("images/b.png", 0.3, "")
        ),
    )?;
    seeds.put("transforms", "odd_nan.json", format!(r#"{{"camera_angle_x":NaN,"frames":[{}]}}"#, two("")))?;
    let device = frame("images/a.png", 0.0, r#""mask_path":"/dev/zero","#);
    seeds.put("transforms", "odd_device.json", format!(r#"{{"camera_angle_x":0.7,"frames":[{device}]}}"#))?;
    let orbit = Orbit { frames: 3, size: (64, 48), ..Orbit::default() };
    let cameras = orbit.cameras((DVec3::ZERO, DVec3::ONE))?;
    nstr_camera::write_cameras(&seeds.path("camera_path", "good_orbit.json")?, &cameras)?;
    nstr_camera::write_cameras(&seeds.path("camera_path", "good_one.json")?, &cameras[..1])?;
    seeds.put("camera_path", "good_angle.json", format!(r#"{{"camera_angle_x":0.7,"transform_matrix":{}}}"#, pose(0.1)))
}

fn colmap(seeds: &Seeds) -> Result<(), Failure> {
    let files = |parts: [&[u8]; 3]| parts.join(NEXT_FILE);
    seeds.put(
        "colmap_text",
        "good_two.txt",
        files([
            b"# cameras\n1 PINHOLE 8 6 9 9 4 3\n2 OPENCV 8 6 9 9 4 3 0.01 0 0 0\n",
            b"# images\n1 1 0 0 0 0 0 5 1 a.png\n1.5 2.5 -1 3 4 7\n2 0.9238795 0 0.3826834 0 1 2 3 2 b.png\n\n",
            b"7 1 2 3 0 0 0 0.5 1 2\n8 0 0 1 1 1 1 0.1\n",
        ]),
    )?;
    seeds.put(
        "colmap_text",
        "good_no_blank.txt",
        files([b"1 SIMPLE_RADIAL 8 6 9 4 3 0.01\n", b"1 1 0 0 0 0 0 5 1 a.png\n2 1 0 0 0 0.5 0 5 1 b.png\n", b""]),
    )?;
    let mut cameras = 2u64.to_le_bytes().to_vec();
    for (id, model, parameters) in [(1u32, 1u32, &[9.0, 9.0, 4.0, 3.0][..]), (2, 2, &[9.0, 4.0, 3.0, 0.01])] {
        cameras.extend([id, model].map(u32::to_le_bytes).concat());
        cameras.extend([8u64, 6].map(u64::to_le_bytes).concat());
        cameras.extend(parameters.iter().flat_map(|v: &f64| v.to_le_bytes()));
    }
    let mut images = 2u64.to_le_bytes().to_vec();
    for (id, name, x) in [(1u32, "a.png", 0.0), (2, "b.png", 0.5)] {
        images.extend(id.to_le_bytes());
        images.extend([1.0, 0.0, 0.0, 0.0, x, 0.0, 5.0].iter().flat_map(|v: &f64| v.to_le_bytes()));
        images.extend(id.to_le_bytes());
        images.extend([name.as_bytes(), &[0]].concat());
        images.extend(1u64.to_le_bytes());
        images.extend([1.5f64, 2.5].iter().flat_map(|v| v.to_le_bytes()));
        images.extend(u64::MAX.to_le_bytes());
    }
    let mut points = 1u64.to_le_bytes().to_vec();
    points.extend(7u64.to_le_bytes());
    points.extend([1.0f64, 2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()));
    points.extend([1, 2, 3]);
    points.extend(0.5f64.to_le_bytes());
    points.extend(1u64.to_le_bytes());
    points.extend([0u32, 1].map(u32::to_le_bytes).concat());
    seeds.put("colmap_binary", "good_two.bin", files([&cameras, &images, &points]))
}

/// A NumPy array.
fn npy(kind: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}");
    let length = (10 + header.len() + 1).next_multiple_of(64);
    header.extend(std::iter::repeat_n(' ', length - 11 - header.len()));
    header.push('\n');
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn arrays(seeds: &Seeds) -> Result<(), Failure> {
    // Columns: down, right, backwards, position, (height, width, focal length); then two depths.
    let row = |x: f64| [0.0, 1.0, 0.0, x, 6.0, -1.0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 1.0, 4.0, 9.0, 1.0, 9.0];
    let rows = [row(0.0), row(0.5)];
    let doubles: Vec<u8> = rows.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
    seeds.put("llff", "good_f64.npy", npy("<f8", "False", "(2, 17)", &doubles))?;
    let columns = (0..17).flat_map(|c| rows.map(|row| row[c] as f32));
    let floats: Vec<u8> = columns.flat_map(|v| v.to_le_bytes()).collect();
    seeds.put("llff", "good_f32_fortran.npy", npy("<f4", "True", "(2, 17)", &floats))?;
    archives(seeds)?;
    let values = |count: usize| (0..count).flat_map(|i| (i as f32 * 0.1).to_le_bytes()).collect::<Vec<u8>>();
    seeds.put("points", "good_points.npy", npy("<f4", "False", "(4, 3)", &values(12)))?;
    seeds.put("points", "good_directions.npy", npy("<f4", "False", "(2, 6)", &values(12)))?;
    seeds.put("points", "odd_shape.npy", npy("<f8", "False", "(99999999999, 3)", &values(12)))
}

/// A ZIP archive of `NAME.npy` files.
fn archive(members: &[(&str, Vec<u8>)], is_deflated: bool) -> Result<Vec<u8>, Failure> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let mut packed = content.clone();
        if is_deflated {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content)?;
            packed = encoder.finish()?;
        }
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let name = format!("{name}.npy");
        // Version, flags, method, time and date; then checksum, both sizes and the length of the name.
        let method = [20u16, 0, if is_deflated { 8 } else { 0 }, 0, 0].map(u16::to_le_bytes).concat();
        let sizes = [crc.sum(), packed.len() as u32, content.len() as u32].map(u32::to_le_bytes).concat();
        let rest = [&method[..], &sizes, &(name.len() as u16).to_le_bytes()].concat();
        let place = (bytes.len() as u32).to_le_bytes();
        bytes.extend([&b"PK\x03\x04"[..], &rest, &[0, 0], name.as_bytes(), &packed].concat());
        directory.extend([&b"PK\x01\x02\x14\0"[..], &rest, &[0; 12], &place, name.as_bytes()].concat());
    }
    let ends = [directory.len() as u32, bytes.len() as u32].map(u32::to_le_bytes).concat();
    let count = (members.len() as u16).to_le_bytes();
    bytes.extend(directory);
    bytes.extend([&b"PK\x05\x06"[..], &[0; 4], &count, &count, &ends, &[0, 0]].concat());
    Ok(bytes)
}

/// Captures of three small images each.
fn archives(seeds: &Seeds) -> Result<(), Failure> {
    let pose = |x: f32| [1.0, 0.0, 0.0, x, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 4.0, 0.0, 0.0, 0.0, 1.0];
    let poses: Vec<u8> = [0.0, 0.5, -0.5].iter().flat_map(|x| pose(*x)).flat_map(f32::to_le_bytes).collect();
    let poses = npy("<f4", "False", "(3, 4, 4)", &poses);
    let focal = npy("<f8", "False", "()", &20f64.to_le_bytes());
    // A square before black, whose borders say that they are the background.
    let value = |i: usize| {
        let (x, y) = (i / 3 % 16, i / 48 % 16);
        if (5..11).contains(&x) && (4..10).contains(&y) { 40 + (i % 150) as u8 } else { 0 }
    };
    let bytes: Vec<u8> = (0..3 * 16 * 16 * 3).map(value).collect();
    let floats: Vec<u8> = bytes.iter().flat_map(|v| (f32::from(*v) / 255.0).to_le_bytes()).collect();
    let members = |images: Vec<u8>| [("images", images), ("poses", poses.clone()), ("focal", focal.clone())];
    let shape = "(3, 16, 16, 3)";
    seeds.put("npz", "good_floats.npz", archive(&members(npy("<f4", "False", shape, &floats)), false)?)?;
    seeds.put("npz", "good_bytes.npz", archive(&members(npy("|u1", "False", shape, &bytes)), true)?)?;
    let alpha = npy("|u1", "False", "(3, 8, 8, 4)", &bytes[..3 * 8 * 8 * 4]);
    seeds.put("npz", "good_alpha.npz", archive(&members(alpha), false)?)?;
    let claim = npy("|u1", "False", "(99999999, 16, 16, 3)", &bytes);
    seeds.put("npz", "odd_claim.npz", archive(&members(claim), true)?)
}

/// A small model of a preset: fewer cells, narrower networks.
fn small(name: &str, changes: &[&str]) -> Result<Model, Failure> {
    let config = preset(name)?.set(changes)?;
    let spec = config.spec();
    let (grid, net) = init::parameters(&spec, &config.init);
    Ok(Model {
        map: Cube { origin: DVec3::new(-1.5, 0.25, 1e-3), size: 2.125 }.into(),
        units: "mm".into(),
        grid,
        net,
        config: serde_json::to_value(&config)?,
        provenance: BTreeMap::from([("input".into(), "chair.obj".into())]),
        metrics: BTreeMap::from([("fit_seconds".into(), 12.5), ("finished".into(), 1.0)]),
        occupancy: spec.color_head.is_some().then(|| Occupancy::from_bits(16, |i| i % 5 == 0)),
        spec,
    })
}

/// The compact file of a model, in steps of 1/32; every third entry of odd levels has a larger one.
fn compact(model: &Model) -> Result<nstr_field::CompactFile, Failure> {
    let levels = model.spec.latent.levels.iter().enumerate().map(|(l, level)| {
        let shifts =
            if l % 2 == 1 { (0..level.entries(model.spec.dim)).map(|e| (e % 3) as u8).collect() } else { vec![] };
        LevelSteps { step: 1.0 / 32.0, shifts }
    });
    let tensors = vec![1.0 / 128.0; model.spec.net_tensors().len()];
    let steps = QuantizationSteps { levels: levels.collect(), tensors };
    Ok(QuantizedModel::new(model, &steps)?.encode(model)?)
}

/// Coded sections behind their shapes, as the target `codec` takes them.
fn sections(seeds: &Seeds) -> Result<(), Failure> {
    let value = |i: usize| (i * i * 31 % 19) as i32 - 9;
    for (name, shape, side, entries, features, shifts) in [
        ("hashed", [0, 3, 100, 0, 4, 0xB7], None, 100, 4, true),
        ("dense", [1, 1, 125, 0, 3, 0], Some(5), 125, 2, false),
    ] {
        let pattern: u8 = shape[5];
        let read: Vec<bool> = (0..entries).map(|e| pattern == 0 || pattern >> (e % 8) & 1 == 1).collect();
        let first = if side.is_none() { usize::from(shape[4]) } else { 0 };
        let layout = LevelLayout { features, first, read: &read, side };
        let shifts = if shifts { (0..entries).map(|e| (e / 7 % 5) as u8).collect() } else { Vec::new() };
        let values = (0..entries * features).map(value).collect();
        let section = level::encode_level(&layout, &QuantizedLevel { step: 0.125, shifts, values });
        seeds.put("codec", &format!("good_{name}.bin"), [&shape[..], &section].concat())?;
    }
    let quantized: Vec<QuantizedTensor> = (0..5)
        .map(|i| {
            let (rows, columns) = (1 + i * 3 % 7, 4 + i);
            QuantizedTensor { step: 0.01, columns, values: (0..rows * columns).map(|v| value(v + i) * 40).collect() }
        })
        .collect();
    seeds.put("codec", "good_tensors.bin", [&[2, 5][..], &tensors::encode_tensors(&quantized)[..]].concat())?;
    let words: Vec<u64> =
        (0..64).map(|w: u64| if w / 8 % 3 == 0 { 0x00FF_F00F_0FF0_FFFF << (w % 5) } else { 0 }).collect();
    seeds.put("codec", "good_cells.bin", [&[3, 1][..], &cells::encode_cells(16, &words)[..]].concat())?;
    seeds.put("codec", "good_text.bin", [&[4][..], &text::encode_text("{\"version\":1,\"spec\":{}}")[..]].concat())
}

fn models(seeds: &Seeds) -> Result<(), Failure> {
    let narrow = ["latent.resolution=2", "spectrum.width=4", "decoder.width=4", "basis=4"];
    let small_grid = ["latent.hashmap_size=16", "latent.levels=2", "latent.base_resolution=2"];
    let hashed = [&narrow[..], &small_grid, &["latent.resolution=4"]].concat();
    let models = [
        ("sdf", small("sdf-tiny", &narrow)?),
        ("radiance", small("radiance-tiny", &hashed)?),
        ("image", small("image-tiny", &hashed)?),
        ("audio", small("audio-tiny", &hashed)?),
    ];
    for (name, model) in &models {
        model.save(seeds.path("model", &format!("good_{name}.safetensors"))?, Precision::F16)?;
        compact(model)?.save(seeds.path("compact", &format!("good_{name}.nstr"))?)?;
        // Without a record of a fit only distances can be opened.
        let word = if *name == "sdf" { "good" } else { "odd" };
        model.save(seeds.path("open", &format!("{word}_{name}.safetensors"))?, Precision::F16)?;
    }
    let model = models[0].1.clone();
    let checkpoint = Checkpoint {
        grid_moments: [model.grid.clone(), model.grid.clone()],
        net_moments: [model.net.clone(), model.net.clone()],
        state: serde_json::json!({"step": 17, "elapsed": 1.5, "task": {"stream": "340282366920938463463374607431768211455"}}),
        arrays: BTreeMap::from([("density".into(), vec![-1.0, 0.5, f32::MAX])]),
        model,
    };
    checkpoint.save(seeds.path("checkpoint", "good_sdf.safetensors")?)?;
    Ok(())
}

fn texts(seeds: &Seeds) -> Result<(), Failure> {
    seeds.put("set", "good_hash.txt", "sdf-tiny\nlatent.kind=hash\nmodulation=channels:3\nomega_scale=12.5\n")?;
    seeds.put("set", "good_head.txt", "radiance-tiny\ncolor_head.encoding=frequency:2\nlatent.features=4\n")?;
    seeds.put("fit_set", "good_train.txt", "sdf-tiny\ntrain.batch=4096\ntrain.net_lr=2e-3\nlatent.features=8\n")?;
    seeds.put("fit_set", "good_rays.txt", "radiance-tiny\nrays.max_rays=64\ntrain.schedule.warmup=10\n")?;
    for (name, text) in
        [("cube", "0,0,0.5,2.4"), ("colour", "#80ff00"), ("word", "transparent"), ("sign", "visibility")]
    {
        seeds.put("options", &format!("good_{name}.txt"), text)?;
    }
    seeds.put(
        "recipe",
        "good_sizes.toml",
        r#"title = "Sizes"
question = "Which?"
inputs = ["a.obj", { path = "./a.obj", name = "bee", set = ["train.batch=128"], fit = ["--sign=winding"] }]
seeds = [3, 1]
steps = 200
metrics = ["iou", "-chamfer_l1"]
eval = ["--lattice=64"]

[quick]
seeds = [0]
time = "2s"
inputs = ["bee"]
methods = ["tiny", "tiny beta2=0.9"]

[[method]]
name = "large"
preset = "sdf"
time = "1m"
parameters = 100_000
fill = ["latent.resolution"]

[[method]]
name = "tiny"
preset = "sdf-tiny"
set = ["train.beta1=0.8"]
reference = true

[[sweep]]
method = "tiny"
key = "train.beta2"
values = [0.9, "0.95"]
"#,
    )
}
