//! Masks, orientations and frames of reference: the pixels of an image that its camera is for, and that may be used.

use nstr_image::testing::{exif_data, exr_window, jpeg_of_blocks, jpeg_with_exif};

use super::*;

const BLACK: [u8; 4] = [0, 0, 0, 255];
const WHITE: [u8; 4] = [255; 4];

fn out(view: &View) -> usize {
    (0..view.image.pixels.len()).filter(|i| !view.usable(*i)).count()
}

fn noted(capture: &Capture, word: &str) -> bool {
    capture.notes.iter().any(|n| n.contains(word))
}

#[test]
fn instant_ngps_masks_are_white_where_pixels_are_out() {
    let dir = tempfile::tempdir().unwrap();
    write_transforms(dir.path(), &transforms());
    picture(&dir.path().join("images/dynamic_mask_a.png"), SIZE, |i| if i < 45 { WHITE } else { BLACK });
    let capture = read_capture(dir.path(), &all()).unwrap();
    assert_eq!((out(&capture.train[0]), out(&capture.train[1])), (45, 0));
    assert!(!capture.train[0].usable(44) && capture.train[0].usable(45));
    assert!(noted(&capture, "1 of 2 frames have a dynamic_mask file"), "{:?}", capture.notes);
    // Both masks of a frame count.
    let mut value = transforms();
    value["frames"][0]["mask_path"] = json!("m.png");
    picture(&dir.path().join("m.png"), SIZE, |i| if i >= 1190 { BLACK } else { WHITE });
    write_transforms(dir.path(), &value);
    assert_eq!(out(&read_capture(dir.path(), &all()).unwrap().train[0]), 55);
    // In a folder of LLFF they are no images.
    let dir = tempfile::tempdir().unwrap();
    write_llff(dir.path());
    picture(&dir.path().join("images/dynamic_mask_b.png"), SIZE, |i| if i < 7 { WHITE } else { BLACK });
    let capture = read_capture(dir.path(), &all()).unwrap();
    assert_eq!((out(&capture.train[0]), out(&capture.train[1])), (0, 7));
}

#[test]
fn colmaps_masks_are_black_where_pixels_are_out() {
    type Writer = fn(&Path);
    let formats: [Writer; 3] = [write_colmap_text, write_llff, |p| write_transforms(p, &transforms())];
    for write in formats {
        for name in ["masks/a.png.png", "masks/a.png", "masks/a.jpg", "masks/A.PNG"] {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path());
            picture(&dir.path().join("masks/x.png"), SIZE, |i| if i < 45 { BLACK } else { WHITE });
            std::fs::rename(dir.path().join("masks/x.png"), dir.path().join(name)).unwrap();
            let capture = read_capture(dir.path(), &all()).unwrap();
            assert_eq!((out(&capture.train[0]), out(&capture.train[1])), (45, 0), "{name}");
            assert!(noted(&capture, "1 of 2 frames have a file in the folder masks"), "{:?}", capture.notes);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    write_colmap_text(dir.path());
    pictures(dir.path(), &["masks/other.png"], SIZE);
    let capture = read_capture(dir.path(), &all()).unwrap();
    assert!(capture.views().all(|v| v.mask.is_none()) && noted(&capture, "none is used"), "{:?}", capture.notes);
}

#[test]
fn masks_of_another_size() {
    let dir = tempfile::tempdir().unwrap();
    let mut value = transforms();
    value["frames"][0]["mask_path"] = json!("m.png");
    write_transforms(dir.path(), &value);
    for (size, out_of) in [((20, 15), Some(600)), ((80, 60), Some(600)), ((8, 6), Some(600)), ((30, 30), None)] {
        // The left half.
        picture(&dir.path().join("m.png"), size, |i| if i as u32 % size.0 < size.0 / 2 { BLACK } else { WHITE });
        match (read_capture(dir.path(), &all()), out_of) {
            (Ok(capture), Some(count)) => assert_eq!(out(&capture.train[0]), count, "{size:?}"),
            (Err(error), None) => {
                let said = error.to_string();
                assert!(said.contains("m.png") && said.contains("30x30") && said.contains("40x30"), "{said}");
            }
            (other, _) => panic!("{size:?}: {:?}", other.map(|c| c.notes)),
        }
    }
}

#[test]
fn masks_that_leave_nothing_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut value = transforms();
    for i in 0..2 {
        value["frames"][i]["mask_path"] = json!("black.png");
    }
    write_transforms(dir.path(), &value);
    picture(&dir.path().join("black.png"), SIZE, |_| BLACK);
    let said = read_capture(dir.path(), &all()).unwrap_err().to_string();
    assert!(said.contains("black.png") && said.contains("leave no pixel to train on"), "{said}");
    // One view of two is enough, and a test view without a pixel is left out.
    value["frames"][1].as_object_mut().unwrap().remove("mask_path");
    write_transforms(dir.path(), &value);
    assert_eq!(read_capture(dir.path(), &all()).unwrap().train.len(), 2);
    let held = CaptureOptions { holdout: 2, ..all() };
    let capture = read_capture(dir.path(), &held).unwrap();
    assert_eq!((capture.train.len(), capture.test.len()), (1, 0));
    assert!(noted(&capture, "1 of 1 test views leave no pixel"), "{:?}", capture.notes);
    let said = read_capture(dir.path(), &CaptureOptions { split: Split::Test, ..held }).unwrap_err().to_string();
    assert!(said.contains("black.png") && said.contains("to measure"), "{said}");
}

#[test]
fn frames_of_reference_are_those_of_the_display_window() {
    let read = |data: [i32; 4]| {
        let dir = tempfile::tempdir().unwrap();
        let mut value = transforms();
        for (i, name) in ["images/a.exr", "images/b.exr"].iter().enumerate() {
            value["frames"][i]["file_path"] = json!(name);
        }
        ["w", "h", "cx", "cy"].iter().for_each(|k| drop(value.as_object_mut().unwrap().remove(*k)));
        // An object of 10 by 8 pixels before nothing, in whatever window.
        let object = |x: i32, y: i32| if (12..22).contains(&x) && (9..17).contains(&y) { 1.0 } else { 0.0 };
        let bytes = exr_window([0, 0, 40, 30], data, &["R", "G", "B", "A"], object);
        std::fs::create_dir(dir.path().join("images")).unwrap();
        for name in ["a.exr", "b.exr"] {
            std::fs::write(dir.path().join("images").join(name), &bytes).unwrap();
        }
        std::fs::write(dir.path().join("transforms.json"), value.to_string()).unwrap();
        read_capture(dir.path(), &all()).unwrap()
    };
    let whole = read([0, 0, 40, 30]);
    assert_eq!((whole.train[0].camera.width, whole.train[0].camera.centre), (40, DVec2::new(20.0, 15.0)));
    // Cropped to the object, a part beyond the picture, and overscan on all sides.
    for data in [[12, 9, 10, 8], [10, 5, 40, 12], [-3, -2, 50, 40]] {
        let other = read(data);
        for (a, b) in whole.views().zip(other.views()) {
            assert_eq!((a.camera, &a.image), (b.camera, &b.image), "{data:?}");
        }
        assert_eq!((other.scene, other.scene_rule, other.has_alpha), (whole.scene, whole.scene_rule, true));
    }
}

#[test]
fn pixels_that_are_not_numbers_are_masked() {
    let dir = tempfile::tempdir().unwrap();
    let mut value = transforms();
    value["frames"][0]["file_path"] = json!("images/a.exr");
    write_transforms(dir.path(), &value);
    let colour = |x: i32, y: i32| if y == 2 && x < 9 { f32::NAN } else { 0.5 };
    let bytes = exr_window([0, 0, 40, 30], [0, 0, 40, 30], &["R", "G", "B"], colour);
    std::fs::write(dir.path().join("images/a.exr"), bytes).unwrap();
    let capture = read_capture(dir.path(), &all()).unwrap();
    assert_eq!((out(&capture.train[0]), out(&capture.train[1])), (9, 0));
    assert!(!capture.train[0].usable(80) && capture.train[0].usable(89));
    assert!(noted(&capture, "images/a.exr: 9 of 1200 pixels are not numbers"), "{:?}", capture.notes);
}

#[test]
fn images_are_turned_where_only_that_fits() {
    let dir = tempfile::tempdir().unwrap();
    let mut value = transforms();
    for i in 0..2 {
        value["frames"][i]["file_path"] = json!("images/a.jpg");
    }
    write_transforms(dir.path(), &value);
    // 8 wide and 16 high as stored.
    let bytes = jpeg_with_exif(&jpeg_of_blocks(2), &exif_data(6, true));
    std::fs::write(dir.path().join("images/a.jpg"), bytes).unwrap();
    let mut read = |size: Option<(u32, u32)>, pixels: bool| {
        match size {
            Some((w, h)) => (value["w"], value["h"]) = (json!(w), json!(h)),
            None => (value["w"], value["h"]) = (Value::Null, Value::Null),
        }
        (value["cx"], value["cy"]) = (Value::Null, Value::Null);
        std::fs::write(dir.path().join("transforms.json"), value.to_string()).unwrap();
        let capture = read_capture(dir.path(), &CaptureOptions { images: pixels, ..all() }).unwrap();
        let turned = noted(&capture, "are turned by their EXIF orientation");
        assert_ne!(turned, noted(&capture, "that is not applied"), "{:?}", capture.notes);
        let camera = capture.train[0].camera;
        assert_eq!(capture.train[0].image.pixels.len(), if pixels { 128 } else { 0 });
        ((camera.width, camera.height), camera.centre, turned)
    };
    for pixels in [true, false] {
        assert_eq!(read(Some((16, 8)), pixels), ((16, 8), DVec2::new(8.0, 4.0), true));
        assert_eq!(read(Some((32, 16)), pixels), ((16, 8), DVec2::new(8.0, 4.0), true));
        assert_eq!(read(Some((8, 16)), pixels), ((8, 16), DVec2::new(4.0, 8.0), false));
        assert_eq!(read(None, pixels), ((8, 16), DVec2::new(4.0, 8.0), false));
    }
    // Where neither fits, the error names both.
    value["w"] = json!(30);
    value["h"] = json!(30);
    std::fs::write(dir.path().join("transforms.json"), value.to_string()).unwrap();
    let said = read_capture(dir.path(), &all()).unwrap_err().to_string();
    assert!(said.contains("8x16") && said.contains("30x30"), "{said}");
}
