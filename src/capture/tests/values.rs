//! Values as pipelines write them: missing, of the wrong kind, far away.

use super::*;

fn read(value: &Value) -> Result<Capture, CaptureError> {
    read_text(&value.to_string())
}

fn read_text(text: &str) -> Result<Capture, CaptureError> {
    let dir = tempfile::tempdir().unwrap();
    write_transforms(dir.path(), &transforms());
    std::fs::write(dir.path().join("transforms.json"), text).unwrap();
    read_capture(dir.path(), &all())
}

#[test]
fn null_and_nan_are_values_that_are_missing() {
    let mut value = transforms();
    for key in ["cx", "cy", "k1", "is_fisheye", "camera_model", "camera_angle_x", "aabb_scale", "train_filenames"] {
        value[key] = Value::Null;
    }
    // The file's value stands where the frame's is null.
    value["frames"][0]["fl_x"] = Value::Null;
    value["frames"][0]["mask_path"] = Value::Null;
    let capture = read(&value).unwrap();
    assert_eq!(capture.train[0].camera, read(&transforms()).unwrap().train[0].camera);
    let notes: Vec<&String> = capture.notes.iter().filter(|n| n.contains("counts as missing")).collect();
    assert!(notes.len() == 1 && notes[0].contains("cx, cy, fl_x, is_fisheye, k1"), "{notes:?}");
    let text = transforms().to_string().replace("\"cx\":20.0", "\"cx\":NaN").replace("\"cy\":15.0", "\"cy\":-Infinity");
    assert!(text.contains("NaN") && text.contains("Infinity"));
    assert_eq!(read_text(&text).unwrap().train[0].camera.centre, DVec2::new(20.0, 15.0));
    // With y alone both are as y; with neither the field is named.
    value["fl_x"] = Value::Null;
    assert_eq!(read(&value).unwrap().train[0].camera.focal, DVec2::splat(FOCAL));
    value["fl_y"] = Value::Null;
    let said = read(&value).unwrap_err().to_string();
    assert!(said.contains("transforms.json: frames[") && said.contains("].fl_x: missing"), "{said}");
}

#[test]
fn values_of_the_wrong_kind_are_refused_with_their_field() {
    for (key, bad, words) in [
        ("is_fisheye", json!("yes"), "frames[1].is_fisheye: \"yes\"; expected true or false"),
        ("is_fisheye", json!(2), "frames[1].is_fisheye: 2; expected true or false"),
        ("fl_x", json!("50.0"), "frames[1].fl_x: \"50.0\" is not a finite number"),
        ("cx", json!([1]), "frames[1].cx: [1] is not a finite number"),
        ("w", json!("40"), "frames[1].w"),
        ("file_path", json!(7), "frames[1].file_path: expected the image's path"),
        ("mask_path", json!(7), "frames[1].mask_path: 7 is not a text"),
        ("camera_model", json!(7), "frames[1].camera_model"),
    ] {
        let mut value = transforms();
        value["frames"][1][key] = bad;
        let said = read(&value).unwrap_err().to_string();
        assert!(said.contains(words), "{said} lacks {words}");
    }
    for (set, fisheye) in [(json!(true), true), (json!(1), true), (json!(0), false), (json!(false), false)] {
        let mut value = transforms();
        value["is_fisheye"] = set;
        assert_eq!(matches!(read(&value).unwrap().train[0].lens, Lens::Fisheye { .. }), fisheye);
    }
    let mut value = transforms();
    value["frames"][1]["fl_x"] = json!("9".repeat(100_000));
    assert!(read(&value).unwrap_err().to_string().chars().count() < 300);
    value = transforms();
    value["aabb_scale"] = json!(1e300);
    value["scale"] = json!(1e-300);
    assert!(read(&value).unwrap_err().to_string().contains("aabb_scale"));
}

#[test]
fn encodings_and_depth_are_harmless() {
    let text = transforms().to_string();
    let wanted = read(&transforms()).unwrap().train[1].camera;
    let dir = tempfile::tempdir().unwrap();
    write_transforms(dir.path(), &transforms());
    let path = dir.path().join("transforms.json");
    let utf16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    for bytes in [format!("\u{feff}{text}").into_bytes(), text.replace(',', ",\r\n").into_bytes(), utf16] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read_capture(&path, &all()).unwrap().train[1].camera, wanted);
    }
    for deep in ["[".repeat(300_000), "{\"frames\":".repeat(100_000)] {
        let said = read_text(&deep).unwrap_err().to_string();
        assert!(said.contains("transforms.json: not JSON") && said.len() < 500, "{said}");
    }
    // The last of equal keys counts, as everywhere.
    let twice = text.replacen("\"fl_x\":50.0", "\"fl_x\":25.0,\"fl_x\":50.0", 1);
    assert!(twice.len() > text.len());
    assert_eq!(read_text(&twice).unwrap().train[0].camera.focal.x, 50.0);
}

#[test]
fn every_frame_may_have_its_own_camera() {
    let mut value = transforms();
    for (i, frame) in value["frames"].as_array_mut().unwrap().iter_mut().enumerate() {
        frame["fl_x"] = json!(40.0 + i as f64);
        frame["cx"] = json!(19.0 + i as f64);
        frame["k1"] = json!(0.01 * i as f64);
    }
    let capture = read(&value).unwrap();
    let of = |v: &View| (v.camera.focal.x, v.camera.centre.x, v.lens);
    assert_eq!(of(&capture.train[0]), (40.0, 19.0, Lens::Pinhole));
    assert_eq!(of(&capture.train[1]), (41.0, 20.0, Lens::open_cv([0.01, 0.0, 0.0, 0.0], [0.0; 2], [0.0; 3])));
}

#[test]
fn cameras_far_from_the_origin_keep_their_rays() {
    let at = DVec3::new(512_345.678, 5_412_345.678, 321.5);
    let mut value = transforms();
    for frame in value["frames"].as_array_mut().unwrap() {
        for axis in 0..3 {
            let v = frame["transform_matrix"][axis][3].as_f64().unwrap();
            frame["transform_matrix"][axis][3] = json!(v + at[axis]);
        }
    }
    let (near, far) = (read(&transforms()).unwrap(), read(&value).unwrap());
    assert!((far.scene.cube().centre() - at - near.scene.cube().centre()).length() < 1e-6, "{:?}", far.scene);
    assert!((far.scene.cube().size - near.scene.cube().size).abs() < 1e-6 && far.scene_rule == near.scene_rule);
    for (view, pixel) in far.views().zip(PIXELS) {
        assert!((view.project(POINT + at).unwrap() - pixel).length() < 1e-6);
    }
    value["frames"][0]["transform_matrix"][0][3] = json!(1e150);
    let said = read(&value).unwrap_err().to_string();
    assert!(said.contains("frames[0].transform_matrix") && said.contains("1e100"), "{said}");
}

#[test]
fn points_of_a_ply_file_make_the_scene_box() {
    let dir = tempfile::tempdir().unwrap();
    let mut value = transforms();
    value["ply_file_path"] = json!("points.ply");
    write_transforms(dir.path(), &value);
    let without = read_capture(dir.path(), &all()).unwrap();
    assert!(without.points.is_empty() && without.notes.iter().any(|n| n.contains("points.ply")), "{:?}", without.notes);
    // A grid of points over the cube from -1 to 1.
    let at = |i: i32| DVec3::new(f64::from(i % 5), f64::from(i / 5 % 5), f64::from(i / 25)) * 0.5 - 1.0;
    let text = (0..125).map(|i| format!("{} {} {}\n", at(i).x, at(i).y, at(i).z)).collect::<String>();
    let head = "ply\nformat ascii 1.0\nelement vertex 125\nproperty float x\nproperty float y\nproperty float z\n";
    std::fs::write(dir.path().join("points.ply"), format!("{head}end_header\n{text}")).unwrap();
    let capture = read_capture(dir.path(), &all()).unwrap();
    assert_eq!(capture.points.len(), 125);
    assert_eq!(capture.points[7], at(7));
    assert_eq!(capture.scene_rule, SceneRule::Points);
    std::fs::write(dir.path().join("points.ply"), head).unwrap();
    let said = read_capture(dir.path(), &all()).unwrap_err().to_string();
    assert!(said.contains("points.ply: header"), "{said}");
}
