//! What a fuzzer does with an input: one function a reader, which panics where the reader breaks a promise.
//!
//! Shared by the fuzz targets and by `tests/corpus.rs`, which reads the kept inputs in every test run. Both have a module
//! `rooms` with the readers' crates. A promise is: no panic; finite numbers; indices in range; as many values as the size
//! says; messages of a length that a person reads.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::limits;
use crate::rooms::camera::{camera_file, read_cameras};
use crate::rooms::capture::{Capture, CaptureFormat, CaptureOptions, CentredCube, Image, read_capture};
use crate::rooms::codec::{LevelLayout, StreamError, cells, level, tensors, text};
use crate::rooms::field::{Checkpoint, Model, NeuralSignal};
use crate::rooms::geometry::{MeshReport, SignMethod, read_mesh};
use crate::rooms::image::colour::Background;
use crate::rooms::image::format::ImageFormat;
use crate::rooms::image::{Rgba8, png};
use crate::rooms::signal::{read_audio, read_image};
use crate::rooms::spec::config::MAX_PARAMETERS;
use crate::rooms::spec::preset::{PRESETS, preset};

/// Runs a reader on an input, and says whether it was read (or refused). The folder is the target's own, and is made here.
pub type Target = fn(&Path, &[u8]) -> bool;

/// Every target that needs no training room, by the name of its folder of inputs.
pub const TARGETS: &[(&str, Target)] = &[
    ("aiff", |folder, data| sound(folder, data, "sound.aiff")),
    ("camera_path", camera_path),
    ("checkpoint", checkpoint),
    ("codec", codec),
    ("colmap_binary", |folder, data| colmap(folder, data, "bin")),
    ("colmap_text", |folder, data| colmap(folder, data, "txt")),
    ("compact", compact),
    ("exr", |folder, data| picture(folder, data, "picture.exr")),
    ("flac", |folder, data| sound(folder, data, "sound.flac")),
    ("frame", frame),
    ("gltf", |folder, data| mesh(folder, data, if data.starts_with(b"glTF") { "mesh.glb" } else { "mesh.gltf" })),
    ("jpeg", |folder, data| picture(folder, data, "picture.jpg")),
    ("llff", llff),
    ("model", model),
    ("mtl", materials),
    ("npz", npz),
    ("obj", |folder, data| mesh(folder, data, "mesh.obj")),
    ("off", |folder, data| mesh(folder, data, "mesh.off")),
    ("options", options),
    ("ply", |folder, data| mesh(folder, data, "mesh.ply")),
    ("png", |folder, data| picture(folder, data, "picture.png")),
    ("set", set),
    ("stl", |folder, data| mesh(folder, data, "mesh.stl")),
    ("tiff", |folder, data| picture(folder, data, "picture.tif")),
    ("transforms", transforms),
    ("wav", |folder, data| sound(folder, data, "sound.wav")),
    ("webp", |folder, data| picture(folder, data, "picture.webp")),
];

/// Between the files of an input that stands for several.
pub const NEXT_FILE: &[u8] = b"\n%%%\n";

/// Characters of a message beside the file's name. A person reads that many, and a terminal shows them.
const MESSAGE: usize = 4000;

/// Checks the message of a refusal: `false`, as a target's answer.
pub fn refused(message: impl Display) -> bool {
    said(message);
    false
}

/// Checks a message.
pub fn said(message: impl Display) {
    let text = message.to_string();
    let length = text.chars().count();
    assert!(length <= MESSAGE, "a message of {length} characters: {}", text.chars().take(200).collect::<String>());
    assert!(!text.contains('\0'), "a message with a zero byte: {text:?}");
}

/// Writes the input beside what else the target needs.
pub fn put(folder: &Path, name: &str, data: &[u8]) -> PathBuf {
    let path = folder.join(name);
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(&path, data)
    };
    write().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    path
}

/// Writes a file that the target needs, once.
fn need(folder: &Path, name: &str, data: impl FnOnce() -> Vec<u8>) {
    if !folder.join(name).exists() {
        put(folder, name, &data());
    }
}

fn mesh(folder: &Path, data: &[u8], name: &str) -> bool {
    let file = match read_mesh(&put(folder, name, data)) {
        Ok(file) => file,
        Err(error) => return refused(error),
    };
    let (positions, faces) = (&file.mesh.positions, &file.mesh.faces);
    assert!(!faces.is_empty(), "a mesh without faces");
    assert!(positions.iter().all(|p| p.is_finite()), "a vertex that is not finite");
    assert!(faces.iter().flatten().all(|v| (*v as usize) < positions.len()), "a face without a vertex");
    let materials = &file.materials;
    assert!(materials.faces.is_empty() || materials.faces.len() == faces.len(), "materials of other faces");
    file.notes.iter().for_each(said);
    let report = MeshReport::new(&file.mesh);
    assert_eq!((report.vertices, report.faces), (positions.len(), faces.len()));
    said(report.summary());
    true
}

fn materials(folder: &Path, data: &[u8]) -> bool {
    put(folder, "mesh.mtl", data);
    mesh(folder, b"mtllib mesh.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl red\nf 1 2 3\nusemtl blue\nf 3 2 1\n", "mesh.obj")
}

/// Pixels of the largest picture that is decoded here; larger ones only take longer.
const PIXELS: usize = 1 << 20;

/// Grants what a picture's header may ask for; `false` where that is too much.
fn grant(data: &[u8], times: usize) -> bool {
    let size = ImageFormat::of(data).and_then(|format| format.size(data));
    let pixels = size.map_or(0, |(width, height)| width as usize * height as usize);
    limits::grant(pixels * times);
    pixels <= PIXELS
}

fn picture(folder: &Path, data: &[u8], name: &str) -> bool {
    if !grant(data, 1) {
        return false;
    }
    match read_image(&put(folder, name, data)) {
        Ok(picture) => {
            assert!(matches!(picture.channels, 1 | 3 | 4), "{} channels", picture.channels);
            assert_eq!(picture.data.len(), picture.width * picture.height * picture.channels);
            assert!(!picture.data.is_empty() && picture.data.iter().all(|v| v.is_finite()));
            true
        }
        Err(error) => refused(error),
    }
}

fn sound(folder: &Path, data: &[u8], name: &str) -> bool {
    match read_audio(&put(folder, name, data)) {
        Ok(sound) => {
            assert!(sound.rate > 0 && sound.channels > 0 && sound.frames() > 0);
            assert_eq!(sound.data.len(), sound.frames() * sound.channels);
            assert!(sound.data.iter().all(|v| v.is_finite()));
            true
        }
        Err(error) => refused(error),
    }
}

/// A small PNG: opaque, or transparent in places.
fn small_png(alpha: u8) -> Vec<u8> {
    let image = Rgba8::from_fn(8, 6, |i| [i as u8 * 5, 90, 200, if i % 3 == 0 { alpha } else { 255 }]);
    png::encode_as((8, 6), ::png::ColorType::Rgba, &image.data).unwrap_or_default()
}

/// Reads a capture with its pixels, and checks every view and the scene box.
fn captured(path: &Path, format: CaptureFormat) -> bool {
    let options = CaptureOptions { format: Some(format), ..CaptureOptions::default() };
    let Capture { train, test, scene, points, notes, .. } = match read_capture(path, &options) {
        Ok(capture) => capture,
        Err(error) => return refused(error),
    };
    assert!(!train.is_empty(), "a capture without a view to train on");
    for view in train.iter().chain(&test) {
        let camera = &view.camera;
        assert!(camera.validate().is_ok(), "{}: {:?}", view.name, camera.validate());
        let count = camera.width as usize * camera.height as usize;
        let Image { width, height, pixels } = &view.image;
        assert_eq!((*width, *height, pixels.len()), (camera.width, camera.height, count), "{}", view.name);
        assert!(view.mask.as_ref().is_none_or(|mask| mask.len() == count), "{}: a mask of another size", view.name);
        let ray = view.ray(0.5, f64::from(*height) - 0.5);
        assert!(ray.origin.is_finite() && ray.direction.is_finite(), "{}: {ray:?}", view.name);
    }
    assert!(scene.map.is_valid(), "{scene:?}");
    let cube = scene.cube();
    assert!(cube.origin.is_finite() && cube.size.is_finite() && cube.size > 0.0, "{cube:?}");
    assert!(scene.near.is_finite() && scene.near > 0.0, "near: {}", scene.near);
    assert!(points.iter().all(|p| p.is_finite()));
    notes.iter().for_each(said);
    true
}

fn transforms(folder: &Path, data: &[u8]) -> bool {
    need(folder, "images/a.png", || small_png(255));
    need(folder, "images/b.png", || small_png(0));
    need(folder, "mask.png", || small_png(128));
    put(folder, "transforms.json", data);
    captured(folder, CaptureFormat::Transforms)
}

/// The input is the image of a frame, and its mask.
fn frame(folder: &Path, data: &[u8]) -> bool {
    if !grant(data, 3) {
        return false;
    }
    need(folder, "transforms.json", || {
        let pose = "[[1,0,0,0],[0,1,0,0],[0,0,1,3],[0,0,0,1]]";
        let frame = |name: &str| {
            format!("{{\"file_path\": \"{name}\", \"mask_path\": \"mask.png\", \"transform_matrix\": {pose}}}")
        };
        format!("{{\"camera_angle_x\": 0.7, \"frames\": [{}, {}]}}", frame("a.png"), frame("b.png")).into()
    });
    ["a.png", "b.png", "mask.png"].iter().for_each(|name| _ = put(folder, name, data));
    captured(folder, CaptureFormat::Transforms)
}

/// The input is the files of cameras, images and points, one after the other.
fn colmap(folder: &Path, data: &[u8], extension: &str) -> bool {
    need(folder, "images/a.png", || small_png(255));
    need(folder, "images/b.png", || small_png(0));
    let mut rest = data;
    for name in ["cameras", "images", "points3D"] {
        let end = rest.windows(NEXT_FILE.len()).position(|w| w == NEXT_FILE);
        put(folder, &format!("sparse/0/{name}.{extension}"), &rest[..end.unwrap_or(rest.len())]);
        rest = end.map_or(&[], |end| &rest[end + NEXT_FILE.len()..]);
    }
    captured(folder, CaptureFormat::Colmap)
}

fn llff(folder: &Path, data: &[u8]) -> bool {
    need(folder, "images/a.png", || small_png(255));
    need(folder, "images/b.png", || small_png(255));
    put(folder, "poses_bounds.npy", data);
    captured(folder, CaptureFormat::Llff)
}

fn npz(folder: &Path, data: &[u8]) -> bool {
    captured(&put(folder, "capture.npz", data), CaptureFormat::Npz)
}

/// Checks a model's parameters, and evaluates it at two points where it is small.
fn whole(model: &Model) {
    assert_eq!((model.grid.len(), model.net.len()), (model.spec.grid_len(), model.spec.net_len()));
    assert!(model.grid.iter().chain(&model.net).all(|v| v.is_finite()));
    assert!(model.cube().origin.is_finite() && model.cube().size.is_finite() && model.cube().size > 0.0);
    if model.spec.color_head.is_none() {
        let values = NeuralSignal::of(model).at(&vec![0.25; 2 * model.spec.dim]);
        assert_eq!(values.len(), 2 * model.spec.outputs);
    }
}

fn model(folder: &Path, data: &[u8]) -> bool {
    match Model::load(put(folder, "m.safetensors", data)) {
        Ok(model) => {
            whole(&model);
            true
        }
        Err(error) => refused(error),
    }
}

/// A compact file, and the model that the first half of it is.
fn compact(folder: &Path, data: &[u8]) -> bool {
    let path = put(folder, "m.nstr", data);
    match Model::load_prefix(&path, &data[..data.len() / 2]) {
        Ok((model, levels)) => {
            whole(&model);
            assert!(levels <= model.spec.latent.levels.len());
        }
        Err(error) => _ = refused(error),
    }
    match Model::load(path) {
        Ok(model) => {
            whole(&model);
            true
        }
        Err(error) => refused(error),
    }
}

/// A coded section behind its kind and its shape: what a file's checksums would keep from the decoders.
fn codec(_: &Path, data: &[u8]) -> bool {
    fn finite(values: Vec<f32>, count: usize) {
        assert!(values.len() == count && values.iter().all(|v| v.is_finite()));
    }
    fn level_of(side: Option<usize>, shape: [u8; 5], section: &[u8]) -> Result<(), StreamError> {
        let [features, low, high, first, pattern] = shape;
        let entries = usize::from(u16::from_le_bytes([low, high])) % 4096;
        // Every entry is read, or those of a pattern that repeats.
        let read: Vec<bool> = (0..entries).map(|e| pattern == 0 || pattern >> (e % 8) & 1 == 1).collect();
        let features = 1 + usize::from(features) % 16;
        let layout = LevelLayout { features, first: usize::from(first), read: &read, side };
        level::decode_level(&layout, section).map(|values| finite(values, layout.values()))
    }
    let result = match data {
        [0, features, low, high, first, pattern, section @ ..] => {
            level_of(None, [*features, *low, *high, *first, *pattern], section)
        }
        [1, features, low, high, side, pattern, section @ ..] => {
            level_of(Some(2 + usize::from(*side) % 40), [*features, *low, *high, 0, *pattern], section)
        }
        [2, count, section @ ..] => {
            let shapes: Vec<[usize; 2]> = (0..usize::from(*count) % 16).map(|i| [1 + i * 3 % 7, 4 + i]).collect();
            let count = shapes.iter().map(|[rows, columns]| rows * columns).sum();
            tensors::decode_tensors(&shapes, section).map(|values| finite(values, count))
        }
        [3, size, section @ ..] => {
            let side = 8 << (size % 3);
            cells::decode_cells(side, section).map(|words| assert_eq!(words.len() * 64, side.pow(3)))
        }
        [4, section @ ..] => text::decode_text(section, 1 << 12).map(|text| assert!(text.len() <= 1 << 12)),
        _ => return false,
    };
    result.map_or_else(refused, |()| true)
}

fn checkpoint(folder: &Path, data: &[u8]) -> bool {
    match Checkpoint::load(put(folder, "m.checkpoint.safetensors", data)) {
        Ok(checkpoint) => {
            whole(&checkpoint.model);
            let lengths = |moments: &[Vec<f32>; 2]| [moments[0].len(), moments[1].len()];
            assert_eq!(lengths(&checkpoint.grid_moments), [checkpoint.model.grid.len(); 2]);
            assert_eq!(lengths(&checkpoint.net_moments), [checkpoint.model.net.len(); 2]);
            true
        }
        Err(error) => refused(error),
    }
}

fn camera_path(folder: &Path, data: &[u8]) -> bool {
    match read_cameras(&put(folder, "path.json", data), Some((64, 48))) {
        Ok(cameras) => {
            assert!(!cameras.is_empty());
            cameras.iter().for_each(|c| assert!(c.validate().is_ok(), "{c:?}"));
            // What is written is read back, to the last bit of a pose.
            let text = serde_json::Value::Object(camera_file::cameras_json(&cameras)).to_string();
            let again = camera_file::parse_cameras(&text, None).unwrap_or_else(|e| panic!("{e}: {text}"));
            let poses = |list: &[_]| -> Vec<glam::DMat4> {
                list.iter().map(|c: &crate::rooms::camera::Camera| c.camera_to_world).collect()
            };
            assert_eq!(poses(&again), poses(&cameras));
            true
        }
        Err(error) => refused(error),
    }
}

/// A preset's name, and a change of it a line.
fn set(_: &Path, data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let name = lines.next().unwrap_or_default();
    let base = preset(name).or_else(|error| {
        said(error);
        preset(PRESETS[name.len() % PRESETS.len()])
    });
    let base = base.unwrap_or_else(|e| panic!("{e}"));
    let lines: Vec<&str> = lines.take(16).collect();
    match base.set(&lines) {
        Ok(config) => {
            assert!(config.validate().is_ok());
            assert!(config.spec().parameters() <= MAX_PARAMETERS);
            true
        }
        Err(error) => refused(error),
    }
}

/// A word that options take.
fn options(_: &Path, data: &[u8]) -> bool {
    fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
        text.parse::<T>().map_err(|e| e.to_string())
    }
    let text = String::from_utf8_lossy(data);
    let cube = parsed::<CentredCube>(&text);
    if let Ok(cube) = &cube {
        assert!(cube.is_valid(), "{cube}");
    }
    let results = [
        cube.map(drop),
        parsed::<Background>(&text).map(drop),
        parsed::<CaptureFormat>(&text).map(drop),
        parsed::<SignMethod>(&text).map(drop),
    ];
    // It is read where one of the options takes it.
    results.into_iter().map(|result| result.map_or_else(refused, |()| true)).fold(false, |read, one| read | one)
}
