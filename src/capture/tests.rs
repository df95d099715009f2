//! Every format against one scene of two cameras, worked out by hand in each format's own convention.

use std::f64::consts::FRAC_1_SQRT_2;
use std::path::Path;

use glam::{DVec2, DVec3};
use npyz::WriterBuilder;
use nstr_image::{Rgba8, png};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::*;

mod background;
mod names;
mod npz;
mod pixels;
mod values;

const SIZE: (u32, u32) = (40, 30);
const FOCAL: f64 = 50.0;
/// Seen from (0, −4, 0) along +y: 1 right, ½ up at depth 4. Seen from (4, 0, 0) along −x: 0 right, ½ up at depth 3.
const POINT: DVec3 = DVec3::new(1.0, 0.0, 0.5);
const PIXELS: [DVec2; 2] = [DVec2::new(20.0 + 12.5, 15.0 - 6.25), DVec2::new(20.0, 15.0 - 25.0 / 3.0)];

fn picture(path: &Path, (w, h): (u32, u32), pixel: impl Fn(usize) -> [u8; 4]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    png::write(path, &Rgba8::from_fn(w, h, pixel)).unwrap();
}

fn pictures(folder: &Path, names: &[&str], size: (u32, u32)) {
    names.iter().for_each(|n| picture(&folder.join(n), size, |i| [i as u8, 90, 30, 255]));
}

/// Right, up, backwards and position of the two cameras, by rows.
fn matrices() -> [[[f64; 4]; 4]; 2] {
    [
        [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, -4.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]],
        [[0.0, 0.0, 1.0, 4.0], [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]],
    ]
}

fn transforms() -> Value {
    let [a, b] = matrices();
    json!({
        "w": SIZE.0, "h": SIZE.1, "fl_x": FOCAL, "fl_y": FOCAL, "cx": 20.0, "cy": 15.0,
        "frames": [
            { "file_path": "images/a.png", "transform_matrix": a },
            { "file_path": "./images/b.png", "transform_matrix": b },
        ],
    })
}

fn write_transforms(folder: &Path, value: &Value) {
    pictures(folder, &["images/a.png", "images/b.png"], SIZE);
    std::fs::write(folder.join("transforms.json"), value.to_string()).unwrap();
}

fn write_blender(folder: &Path) {
    let angle = 2.0 * (0.5 * SIZE.0 as f64 / FOCAL).atan();
    for (split, matrix) in ["train", "test"].into_iter().zip(matrices()) {
        let name = format!("./{split}/r_0");
        let text = json!({ "camera_angle_x": angle, "frames": [{ "file_path": name, "transform_matrix": matrix }] });
        std::fs::write(folder.join(format!("transforms_{split}.json")), text.to_string()).unwrap();
        picture(&folder.join(split).join("r_0.png"), SIZE, |i| if i % 40 < 20 { [0; 4] } else { [9, 9, 9, 255] });
    }
}

fn poses_bounds() -> Vec<f64> {
    let hwf = [SIZE.1 as f64, SIZE.0 as f64, FOCAL];
    // Columns down, right, backwards, position, hwf.
    let first = [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, -1.0, -4.0], [-1.0, 0.0, 0.0, 0.0]];
    let second = [[0.0, 0.0, 1.0, 4.0], [0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]];
    let rows = [first, second]
        .into_iter()
        .map(|m| (0..3).flat_map(|r| [m[r][0], m[r][1], m[r][2], m[r][3], hwf[r]]).collect());
    rows.flat_map(|row: Vec<f64>| row.into_iter().chain([2.0, 6.0])).collect()
}

fn npy(values: &[f64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let shape = [values.len() as u64 / 17, 17];
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd().unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
    bytes
}

fn write_llff(folder: &Path) {
    pictures(folder, &["images/a.png", "images/b.png"], SIZE);
    std::fs::write(folder.join("poses_bounds.npy"), npy(&poses_bounds())).unwrap();
}

/// Quaternions (w, x, y, z) of the world-to-camera rotations: rows right, down, forward. Both cameras are 4 away from the
/// origin, which is straight ahead: t = (0, 0, 4).
fn quaternions() -> [[f64; 4]; 2] {
    // The first is a quarter turn about x. The second, (0,1,0), (0,0,−1), (−1,0,0), turns x to −z, y to x, z to −y.
    [[FRAC_1_SQRT_2, FRAC_1_SQRT_2, 0.0, 0.0], [0.5, 0.5, 0.5, -0.5]]
}

fn write_colmap_text(folder: &Path) {
    pictures(folder, &["images/a.png", "images/b.png"], SIZE);
    let model = folder.join("sparse/0");
    std::fs::create_dir_all(&model).unwrap();
    std::fs::write(model.join("cameras.txt"), "# cameras\n3 PINHOLE 40 30 50 50 20 15\n").unwrap();
    let [a, b] = quaternions().map(|q| q.map(|v| v.to_string()).join(" "));
    // In another order than their names', one without keypoints.
    let images = format!("# images\n9 {b} 0 0 4 3 b.png\n\n2 {a} 0 0 4 3 a.png\n1.0 2.0 -1\n");
    std::fs::write(model.join("images.txt"), images).unwrap();
    std::fs::write(model.join("points3D.txt"), "# points\n1 0 0 0 255 0 0 0.5 9 0\n").unwrap();
}

fn colmap_binary() -> [(&'static str, Vec<u8>); 3] {
    let mut cameras = 1u64.to_le_bytes().to_vec();
    cameras.extend([3u32, 1].iter().flat_map(|v| v.to_le_bytes()));
    cameras.extend([40u64, 30].iter().flat_map(|v| v.to_le_bytes()));
    cameras.extend([50.0f64, 50.0, 20.0, 15.0].iter().flat_map(|v| v.to_le_bytes()));
    let mut images = 2u64.to_le_bytes().to_vec();
    for (i, (q, name)) in quaternions().into_iter().zip(["a.png", "b.png"]).enumerate() {
        images.extend((i as u32 + 5).to_le_bytes());
        images.extend(q.into_iter().chain([0.0, 0.0, 4.0]).flat_map(|v| v.to_le_bytes()));
        images.extend(3u32.to_le_bytes());
        images.extend(name.bytes().chain([0]));
        images.extend((i as u64).to_le_bytes());
        images.extend(vec![1; 24 * i]);
    }
    let mut points = 1u64.to_le_bytes().to_vec();
    points.extend(7u64.to_le_bytes());
    points.extend([0.0f64, 1.0, 2.0].iter().flat_map(|v| v.to_le_bytes()));
    points.extend([1, 2, 3]);
    points.extend(0.5f64.to_le_bytes());
    points.extend(1u64.to_le_bytes());
    points.extend([0; 8]);
    [("cameras.bin", cameras), ("images.bin", images), ("points3D.bin", points)]
}

fn write_colmap_binary(folder: &Path) {
    pictures(folder, &["images/a.png", "images/b.png"], SIZE);
    std::fs::create_dir_all(folder.join("sparse/0")).unwrap();
    colmap_binary().iter().for_each(|(name, bytes)| std::fs::write(folder.join("sparse/0").join(name), bytes).unwrap());
}

fn all() -> CaptureOptions {
    CaptureOptions { holdout: 0, ..CaptureOptions::default() }
}

#[test]
fn a_known_point_meets_its_pixel_in_every_format() {
    type Writer = fn(&Path);
    let formats: [(Writer, CaptureFormat); 5] = [
        (write_blender, CaptureFormat::Blender),
        (|p| write_transforms(p, &transforms()), CaptureFormat::Transforms),
        (write_llff, CaptureFormat::Llff),
        (write_colmap_text, CaptureFormat::Colmap),
        (write_colmap_binary, CaptureFormat::Colmap),
    ];
    for (write, format) in formats {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_capture(dir.path()));
        write(dir.path());
        assert!(is_capture(dir.path()));
        let capture = read_capture(dir.path(), &all()).unwrap();
        assert_eq!(capture.format, format);
        let views: Vec<&View> = capture.views().collect();
        assert_eq!(views.len(), 2, "{format}");
        for (view, pixel) in views.iter().zip(PIXELS) {
            let found = view.project(POINT).unwrap();
            assert!((found - pixel).length() < 1e-9, "{format} {}: {found} for {pixel}", view.name);
            let ray = view.ray(pixel.x, pixel.y);
            let t = (POINT - ray.origin).dot(ray.direction);
            assert!((ray.origin + ray.direction * t - POINT).length() < 1e-9);
            assert_eq!((view.image.width, view.image.pixels.len()), (40, 1200));
        }
        // At half the size everything halves.
        let half = read_capture(dir.path(), &CaptureOptions { downscale: 2, ..all() }).unwrap();
        let found = half.views().next().unwrap().project(POINT).unwrap();
        assert!((found - PIXELS[0] * 0.5).length() < 1e-9, "{format}");
        // Without pixels the cameras are the same.
        let bare = read_capture(dir.path(), &CaptureOptions { images: false, ..all() }).unwrap();
        assert!(bare.views().zip(capture.views()).all(|(a, b)| a.camera == b.camera && a.image.pixels.is_empty()));
        assert_eq!(capture.has_alpha, format == CaptureFormat::Blender);
    }
}

#[test]
fn intrinsics_follow_the_picture_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    write_transforms(dir.path(), &transforms());
    pictures(dir.path(), &["images/a.png"], (20, 15));
    let capture = read_capture(dir.path(), &all()).unwrap();
    let found = capture.train[0].project(POINT).unwrap();
    assert!((found - PIXELS[0] * 0.5).length() < 1e-9, "{found}");
    assert_eq!(capture.train[1].camera.width, 40);
    pictures(dir.path(), &["images/a.png"], (30, 40));
    let said = read_capture(dir.path(), &all()).unwrap_err().to_string();
    assert!(said.contains("a.png") && said.contains("30x40") && said.contains("40x30"), "{said}");
    // LLFF and COLMAP take images_2 for --downscale 2.
    let dir = tempfile::tempdir().unwrap();
    write_colmap_text(dir.path());
    pictures(dir.path(), &["images_2/a.png", "images_2/b.png"], (20, 15));
    let half = read_capture(dir.path(), &CaptureOptions { downscale: 2, ..all() }).unwrap();
    assert_eq!(half.train[0].camera.width, 20);
    assert!((half.train[0].project(POINT).unwrap() - PIXELS[0] * 0.5).length() < 1e-9);
}

#[test]
fn frames_override_the_file_and_lenses_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut value = transforms();
    value["k1"] = json!(0.1);
    value["frames"][1]["k1"] = json!(0.0);
    value["frames"][1]["fl_x"] = json!(25.0);
    value["frames"][1]["is_fisheye"] = json!(true);
    write_transforms(dir.path(), &value);
    let capture = read_capture(dir.path(), &all()).unwrap();
    assert_eq!(capture.train[0].lens, Lens::open_cv([0.1, 0.0, 0.0, 0.0], [0.0; 2], [0.0; 3]));
    assert_eq!(capture.train[1].lens, Lens::Fisheye { k: [0.0; 4] });
    assert_eq!(capture.train[1].camera.focal, DVec2::new(25.0, 50.0));
    // r² = (¼)² + (⅛)², and the distance from the middle grows by 1 + k1·r².
    let wanted =
        DVec2::new(20.0, 15.0) + (PIXELS[0] - DVec2::new(20.0, 15.0)) * (1.0 + 0.1 * (1.0 / 16.0 + 1.0 / 64.0));
    assert!((capture.train[0].project(POINT).unwrap() - wanted).length() < 1e-9);
    value["camera_model"] = json!("PINHOLE");
    write_transforms(dir.path(), &value);
    assert!(read_capture(dir.path(), &all()).unwrap().views().all(|v| v.lens == Lens::Pinhole));
}

#[test]
fn splits_and_thinning() {
    let dir = tempfile::tempdir().unwrap();
    let mut value = transforms();
    let frame = value["frames"][0].clone();
    let names: Vec<String> = (0..10).map(|i| format!("images/{i:02}.png")).collect();
    let named = |n: &String| {
        let mut frame = frame.clone();
        frame["file_path"] = json!(n);
        frame
    };
    value["frames"] = names.iter().map(named).collect();
    let existing: Vec<&str> = names.iter().take(9).map(|n| n.as_str()).collect();
    pictures(dir.path(), &existing, SIZE);
    write_transforms(dir.path(), &value);
    let read = |options: &CaptureOptions| read_capture(dir.path(), options);
    let listed = |views: &[View]| views.iter().map(|v| v.name[7..9].to_string()).collect::<Vec<_>>().join(" ");
    let capture = read(&CaptureOptions { holdout: 4, every: 2, ..all() }).unwrap();
    assert_eq!((listed(&capture.train).as_str(), listed(&capture.test).as_str()), ("01 03 06", "00 04 08"));
    assert!(capture.notes[0].contains("1 of 10 frames") && capture.notes[0].contains("09.png"), "{:?}", capture.notes);
    let capture = read(&CaptureOptions { holdout: 4, split: Split::Test, ..all() }).unwrap();
    assert!(capture.train.is_empty() && capture.test.len() == 3);
    let capture = read(&CaptureOptions { split: Split::Train, ..all() }).unwrap();
    assert!(capture.train.len() == 9 && capture.test.is_empty());
    assert!(read(&CaptureOptions { split: Split::Test, ..all() }).unwrap_err().to_string().contains("--holdout"));
    value["train_filenames"] = json!(["images/00.png", "./images/01.png"]);
    value["val_filenames"] = json!(["images/05.png"]);
    write_transforms(dir.path(), &value);
    let capture = read(&CaptureOptions::default()).unwrap();
    assert_eq!((listed(&capture.train).as_str(), listed(&capture.test).as_str()), ("00 01", "05"));
    assert!(capture.notes.iter().any(|n| n.contains("6 frames are in neither")), "{:?}", capture.notes);
}

#[test]
fn blender_falls_back_to_the_validation_split() {
    let dir = tempfile::tempdir().unwrap();
    write_blender(dir.path());
    std::fs::copy(dir.path().join("transforms_test.json"), dir.path().join("transforms_val.json")).unwrap();
    let text = std::fs::read_to_string(dir.path().join("transforms_test.json")).unwrap();
    std::fs::write(dir.path().join("transforms_test.json"), text.replace("test/r_0", "test/r_9")).unwrap();
    let capture = read_capture(dir.path(), &CaptureOptions::default()).unwrap();
    assert_eq!(capture.test[0].name, "test/r_0");
    assert!(capture.notes.iter().any(|n| n.contains("transforms_val.json serves")), "{:?}", capture.notes);
    assert!(capture.notes.iter().any(|n| n.contains("1 of 1 frames")), "{:?}", capture.notes);
}

#[test]
fn masks_take_pixels_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut value = transforms();
    value["frames"][0]["mask_path"] = json!("masks/a.png");
    write_transforms(dir.path(), &value);
    picture(&dir.path().join("masks/a.png"), SIZE, |i| if i < 45 { [0, 0, 0, 255] } else { [255; 4] });
    let capture = read_capture(dir.path(), &all()).unwrap();
    let out = |view: &View| (0..view.image.pixels.len()).filter(|i| !view.usable(*i)).count();
    assert_eq!((out(&capture.train[0]), out(&capture.train[1])), (45, 0));
    assert!(!capture.has_alpha && capture.train[1].mask.is_none());
    let half = read_capture(dir.path(), &CaptureOptions { downscale: 2, ..all() }).unwrap();
    assert_eq!(out(&half.train[0]), 20);
}

#[test]
fn instant_ngps_cube_in_the_files_axes() {
    let boxed = || CaptureOptions { space: SpaceChoice::Box, ..all() };
    let dir = tempfile::tempdir().unwrap();
    let mut value = transforms();
    value["aabb_scale"] = json!(4);
    write_transforms(dir.path(), &value);
    let capture = read_capture(dir.path(), &boxed()).unwrap();
    assert_eq!((capture.scene_rule, capture.scene.cube().centre()), (SceneRule::Declared, DVec3::ZERO));
    assert!((capture.scene.cube().size - 4.0 / 0.33).abs() < 1e-12);
    value["scale"] = json!(0.5);
    value["offset"] = json!([0.5, 0.25, 1.0]);
    write_transforms(dir.path(), &value);
    let scene = read_capture(dir.path(), &boxed()).unwrap().scene;
    // p · 0.5 + offset = ½ at the centre.
    assert_eq!((scene.cube().centre(), scene.cube().size), (DVec3::new(0.0, 0.5, -1.0), 8.0));
    let given = Some("1,2,3,4".parse().unwrap());
    let scene = read_capture(dir.path(), &CaptureOptions { scene: given, near: Some(0.2), ..boxed() }).unwrap().scene;
    assert_eq!((scene.cube().centre(), scene.cube().size, scene.near), (DVec3::new(1.0, 2.0, 3.0), 4.0, 0.2));
}

#[test]
fn a_drawing_shows_the_cameras() {
    let dir = tempfile::tempdir().unwrap();
    write_transforms(dir.path(), &transforms());
    let capture = read_capture(dir.path(), &CaptureOptions { holdout: 2, ..all() }).unwrap();
    let drawn = draw::cameras(&capture, 320, 240).unwrap();
    let near = |c: [u8; 3]| {
        let close = |p: &[u8]| (0..3).all(|i| p[i].abs_diff(c[i]) < 40);
        drawn.data.chunks_exact(4).filter(|p| close(p)).count()
    };
    for colour in [[40, 82, 150], [226, 112, 20], [205, 40, 40], [30, 150, 50], [45, 75, 220]] {
        assert!(near(colour) > 10, "{colour:?}: {}", near(colour));
    }
    assert!(near([255, 255, 255]) > 320 * 240 / 2);
    assert!(draw::cameras(&capture, 0, 10).is_err());
}

fn complaint(value: &Value) -> String {
    let dir = tempfile::tempdir().unwrap();
    write_transforms(dir.path(), value);
    read_capture(dir.path(), &all()).unwrap_err().to_string()
}

#[test]
fn bad_values_name_file_and_field() {
    let zeros = json!([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]);
    let sheared = json!([[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]);
    let mirrored = json!([[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]);
    let nan = json!([[1, 0, 0, null], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]);
    for (key, bad, words) in [
        ("transform_matrix", zeros, vec!["frames[1].transform_matrix", "singular"]),
        ("transform_matrix", sheared, vec!["frames[1].transform_matrix", "shears"]),
        ("transform_matrix", mirrored, vec!["frames[1].transform_matrix", "mirrors"]),
        ("transform_matrix", nan, vec!["frames[1].transform_matrix[0][3]", "not a finite number"]),
        ("transform_matrix", json!([1]), vec!["frames[1].transform_matrix", "4 rows"]),
        ("transform_matrix", Value::Null, vec!["frames[1].transform_matrix"]),
        ("fl_x", json!(1e-9), vec!["frames[1].fl_x", "degrees"]),
        ("fl_x", json!(1e30), vec!["frames[1].fl_x", "degrees"]),
        ("fl_x", json!(-5), vec!["frames[1].fl_x", "above 0"]),
        ("fl_x", json!("wide"), vec!["frames[1].fl_x"]),
        ("cx", json!(1e9), vec!["frames[1].cx"]),
        ("w", json!(0.5), vec!["frames[1].w"]),
        ("k1", json!("x"), vec!["frames[1].k1"]),
        ("camera_model", json!("FISHEYE624"), vec!["frames[1].camera_model", "FISHEYE624"]),
        ("file_path", json!(""), vec!["frames[1].file_path"]),
        ("mask_path", json!("none.png"), vec!["none.png"]),
    ] {
        let mut value = transforms();
        value["frames"][1][key] = bad;
        let said = complaint(&value);
        words.iter().for_each(|w| assert!(said.contains(w), "{said} lacks {w}"));
    }
    for (key, bad, word) in [
        ("frames", json!([]), "empty"),
        ("frames", json!(3), "expected a list"),
        ("aabb_scale", json!(-1), "aabb_scale"),
        ("offset", json!([1, 2]), "offset"),
        ("train_filenames", json!([1]), "train_filenames[0]"),
    ] {
        let mut value = transforms();
        value[key] = bad;
        let said = complaint(&value);
        assert!(said.contains(word) && said.contains("transforms.json"), "{said} lacks {word}");
    }
}

#[test]
fn pythons_nan_is_named_where_it_matters() {
    let dir = tempfile::tempdir().unwrap();
    write_transforms(dir.path(), &transforms());
    let path = dir.path().join("transforms.json");
    let text = transforms().to_string();
    std::fs::write(&path, text.replacen("-4.0", "NaN", 1)).unwrap();
    let said = read_capture(&path, &all()).unwrap_err().to_string();
    assert!(said.contains("frames[0].transform_matrix[1][3]"), "{said}");
    std::fs::write(&path, text.replacen('{', "{\"sharpness\": NaN,", 1)).unwrap();
    assert!(read_capture(&path, &all()).is_ok());
}

#[test]
fn what_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    assert!(matches!(read_capture(&at.join("no"), &all()), Err(CaptureError::Io { .. })));
    assert!(matches!(read_capture(at, &all()), Err(CaptureError::Unknown { .. })));
    write_transforms(at, &transforms());
    let whole = std::fs::read(at.join("images/b.png")).unwrap();
    std::fs::write(at.join("images/b.png"), &whole[..whole.len() / 2]).unwrap();
    let said = read_capture(at, &all()).unwrap_err().to_string();
    assert!(said.contains("b.png") && said.contains("export"), "{said}");
    std::fs::remove_dir_all(at.join("images")).unwrap();
    let said = read_capture(at, &all()).unwrap_err().to_string();
    assert!(said.contains("2 of 2 frames") && said.contains("images/a.png"), "{said}");
    let tiny = CaptureOptions { downscale: 64, ..all() };
    write_transforms(at, &transforms());
    assert!(read_capture(at, &tiny).unwrap_err().to_string().contains("--downscale"));
    for options in [
        CaptureOptions { downscale: 0, ..all() },
        CaptureOptions { every: 0, ..all() },
        CaptureOptions { holdout: 1, ..all() },
        CaptureOptions { near: Some(f64::NAN), ..all() },
    ] {
        assert!(matches!(read_capture(at, &options), Err(CaptureError::Option { .. })));
    }
    let dir = tempfile::tempdir().unwrap();
    write_llff(dir.path());
    pictures(dir.path(), &["images/c.png"], SIZE);
    let said = read_capture(dir.path(), &all()).unwrap_err().to_string();
    assert!(said.contains("2 rows for the 3 images"), "{said}");
    std::fs::remove_file(dir.path().join("images/c.png")).unwrap();
    let mut poses = poses_bounds();
    poses[17 + 3] = f64::NAN;
    std::fs::write(dir.path().join("poses_bounds.npy"), npy(&poses)).unwrap();
    let said = read_capture(dir.path(), &all()).unwrap_err().to_string();
    assert!(said.contains("row 1: column 3") && said.contains("NaN"), "{said}");
    let dir = tempfile::tempdir().unwrap();
    write_colmap_text(dir.path());
    std::fs::write(dir.path().join("sparse/0/cameras.txt"), "4 PINHOLE 40 30 50 50 20 15\n").unwrap();
    let said = read_capture(dir.path(), &all()).unwrap_err().to_string();
    assert!(said.contains("camera 3 is not in"), "{said}");
}

/// Bytes with some replaced, and cut somewhere.
fn damage(bytes: &[u8], hits: &[(usize, u8)], cut: usize) -> Vec<u8> {
    let mut out = bytes.to_vec();
    hits.iter().for_each(|(at, to)| out[at % bytes.len()] = *to);
    // Half of the cases stay whole.
    out.truncate(if cut.is_multiple_of(2) { out.len() } else { cut % (out.len() + 1) });
    out
}

/// A reading without panic; errors name a file.
fn survives(path: &Path) {
    if let Err(error) = read_capture(path, &CaptureOptions { images: false, ..all() }) {
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn damaged_files_are_errors_not_panics(
        hits in proptest::collection::vec((0usize..4096, proptest::num::u8::ANY), 0..4),
        cut in 0usize..4096,
        which in 0usize..3,
    ) {
        let dir = tempfile::tempdir().unwrap();
        write_transforms(dir.path(), &transforms());
        std::fs::write(dir.path().join("transforms.json"), damage(transforms().to_string().as_bytes(), &hits, cut)).unwrap();
        survives(dir.path());
        let dir = tempfile::tempdir().unwrap();
        write_colmap_binary(dir.path());
        let (name, bytes) = &colmap_binary()[which];
        std::fs::write(dir.path().join("sparse/0").join(name), damage(bytes, &hits, cut)).unwrap();
        survives(dir.path());
        let dir = tempfile::tempdir().unwrap();
        write_llff(dir.path());
        std::fs::write(dir.path().join("poses_bounds.npy"), damage(&npy(&poses_bounds()), &hits, cut)).unwrap();
        survives(dir.path());
        let dir = tempfile::tempdir().unwrap();
        write_colmap_text(dir.path());
        let path = dir.path().join("sparse/0").join(["cameras.txt", "images.txt", "points3D.txt"][which]);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, damage(&bytes, &hits, cut)).unwrap();
        survives(dir.path());
    }
}
