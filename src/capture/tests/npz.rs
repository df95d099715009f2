//! Archives of NumPy arrays against the scene of the other formats.

use super::*;
use crate::testing::archive;

/// An array's file.
fn array<T: npyz::AutoSerialize>(shape: &[u64], values: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd().unwrap();
    writer.extend(values).unwrap();
    writer.finish().unwrap();
    bytes
}

/// Value of a channel of a pixel, counted through all images.
fn value(i: usize) -> u8 {
    (i * 7 % 256) as u8
}

fn images(channels: u64) -> (Vec<u64>, Vec<u8>) {
    let shape = vec![2, u64::from(SIZE.1), u64::from(SIZE.0), channels];
    let count = shape.iter().product::<u64>() as usize;
    (shape, (0..count).map(value).collect())
}

fn poses() -> Vec<f32> {
    matrices().as_flattened().as_flattened().iter().map(|v| *v as f32).collect()
}

/// The three arrays of the scene.
fn members() -> [(&'static str, Vec<u8>); 3] {
    let (shape, values) = images(3);
    let images = array(&shape, values.iter().map(|v| f32::from(*v) / 255.0));
    [("images", images), ("poses", array(&[2, 4, 4], poses())), ("focal", array(&[], [FOCAL]))]
}

/// The members with one in another form.
fn with(name: &str, bytes: Vec<u8>) -> Vec<(&'static str, Vec<u8>)> {
    let replace = |(n, old): (&'static str, Vec<u8>)| (n, if n == name { bytes.clone() } else { old });
    members().into_iter().map(replace).collect()
}

fn read(members: &[(&str, Vec<u8>)], is_deflated: bool) -> Result<Capture, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.npz");
    std::fs::write(&path, archive(members, is_deflated)).unwrap();
    assert!(is_capture(&path));
    let read = read_capture(&path, &all()).map_err(|e| e.to_string());
    if let Err(said) = &read {
        assert!(said.contains("tiny.npz"), "{said}");
    }
    read
}

#[test]
fn an_archive_holds_the_scene_stored_and_deflated() {
    let (shape, bytes) = images(3);
    let doubles: Vec<f64> = poses().into_iter().map(f64::from).collect();
    let upper: Vec<f64> = doubles.chunks(16).flat_map(|m| m[..12].to_vec()).collect();
    for (members, is_deflated) in [
        (members().to_vec(), false),
        (members().to_vec(), true),
        (with("images", array(&shape, bytes.clone())), false),
        (with("images", array(&shape, bytes.iter().map(|v| f64::from(*v) / 255.0))), true),
        (with("poses", array(&[2, 4, 4], doubles)), false),
        (with("poses", array(&[2, 3, 4], upper)), false),
        (with("focal", array(&[1], [FOCAL as i64])), false),
        (with("focal", array(&[1, 1], [FOCAL as f32])), false),
    ] {
        let capture = read(&members, is_deflated).unwrap();
        assert_eq!((capture.format, capture.train.len(), capture.has_alpha), (CaptureFormat::Npz, 2, false));
        for (v, view) in capture.train.iter().enumerate() {
            assert!((view.project(POINT).unwrap() - PIXELS[v]).length() < 1e-5);
            assert_eq!((view.camera.width, view.camera.height), SIZE);
            let expected = |i: usize| {
                let at = (v * 1200 + i) * 3;
                [value(at), value(at + 1), value(at + 2), 255]
            };
            assert!(view.image.pixels.iter().enumerate().all(|(i, p)| *p == expected(i)));
        }
    }
}

#[test]
fn alpha_splits_and_sizes_are_as_of_other_formats() {
    let (shape, bytes) = images(4);
    let capture = read(&with("images", array(&shape, bytes)), false).unwrap();
    assert!(capture.has_alpha);
    assert_eq!(capture.train[0].image.pixel(0, 0), [value(0), value(1), value(2), value(3)]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.npz");
    std::fs::write(&path, archive(&members(), false)).unwrap();
    let half = read_capture(&path, &CaptureOptions { holdout: 2, downscale: 2, ..all() }).unwrap();
    assert_eq!((half.train.len(), half.test.len(), half.train[0].camera.width), (1, 1, 20));
    assert_eq!(half.test[0].name, "images[0]");
    assert!((half.train[0].project(POINT).unwrap() - PIXELS[1] * 0.5).length() < 1e-5);
    let bare = read_capture(&path, &CaptureOptions { images: false, ..all() }).unwrap();
    assert!(bare.train[0].image.pixels.is_empty() && bare.train[0].camera.width == 40);
}

#[test]
fn what_is_wrong_with_an_archive_is_named() {
    let (shape, bytes) = images(3);
    let floats: Vec<f32> = bytes.iter().map(|v| f32::from(*v) / 255.0).collect();
    let changed = |i: usize, v: f32| array(&shape, floats.iter().enumerate().map(|(k, f)| if k == i { v } else { *f }));
    let pose =
        |i: usize, v: f32| array(&[2, 4, 4], poses().iter().enumerate().map(|(k, f)| if k == i { v } else { *f }));
    for (name, bytes, words) in [
        ("images", changed(3 * 41, f32::NAN), vec!["images: [0, 1, 1] holds NaN"]),
        ("images", changed(7, f32::INFINITY), vec!["images: [0, 0, 2] holds inf"]),
        ("images", changed(0, 200.0), vec!["images: [0, 0, 0] holds 200", "divide"]),
        ("images", array(&[2, 1200, 3], floats.clone()), vec!["images: shape [2, 1200, 3]", "[N, H, W, 3]"]),
        ("images", array(&[0, 30, 40, 3], Vec::<f32>::new()), vec!["images: shape"]),
        ("images", array(&shape, bytes.iter().map(|v| i16::from(*v))), vec!["images: values of type", "i2"]),
        ("images", b"no array at all".to_vec(), vec!["images: not a .npy file"]),
        ("images", members()[0].1[..2000].to_vec(), vec!["images: shape (2, 30, 40, 3", "in 2000 bytes"]),
        ("images", members()[0].1[..20_000].to_vec(), vec!["images: it is cut off"]),
        ("poses", array(&[3, 4, 4], vec![0f32; 48]), vec!["poses: shape [3, 4, 4]", "[2, 4, 4]"]),
        ("poses", pose(16 + 3, f32::NAN), vec!["poses: [1, 0, 3] holds NaN"]),
        ("poses", pose(12, 4.0), vec!["poses: the last row of matrix 0"]),
        ("poses", pose(0, 0.0), vec!["poses[0]:", "singular"]),
        ("focal", array(&[2], vec![50.0, 50.0]), vec!["focal: shape [2]"]),
        ("focal", array(&[], [-1.0]), vec!["focal: it is -1"]),
        ("focal", array(&[], [f64::NAN]), vec!["focal: it is NaN"]),
    ] {
        for is_deflated in [false, true] {
            let said = read(&with(name, bytes.clone()), is_deflated).unwrap_err();
            words.iter().for_each(|w| assert!(said.contains(w), "{said} lacks {w}"));
        }
    }
    let mut huge = members()[0].1.clone();
    let at = huge.windows(6).position(|w| w == b"(2, 30").unwrap();
    let claim = b"(4294967296, 4294967296, 9),                ";
    huge[at..at + claim.len()].copy_from_slice(claim);
    let said = read(&with("images", huge), false).unwrap_err();
    assert!(said.contains("images: shape (4294967296, 4294967296, 9)"), "{said}");
    let said = read(&members()[1..], false).unwrap_err();
    assert!(said.contains("images: missing") && said.contains("numpy.savez"), "{said}");
    // Black images that deflate to next to nothing.
    let black = array(&[2, 2048, 2048, 3], vec![0u8; 6 << 22]);
    let said = read(&with("images", black), true).unwrap_err();
    assert!(said.contains("not compressed"), "{said}");
}

#[test]
fn damaged_archives_are_refused() {
    let whole = archive(&members(), false);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.npz");
    let said = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        read_capture(&path, &all()).unwrap_err().to_string()
    };
    assert!(said(&whole[..whole.len() - 30]).contains("not a whole .npz archive"));
    assert!(said(b"").contains("not a whole .npz archive"));
    // One bit of a pixel.
    let mut flipped = whole.clone();
    flipped[5001] ^= 1;
    assert!(said(&flipped).contains("checksum"), "{}", said(&flipped));
    assert!(matches!(
        read_capture(dir.path(), &CaptureOptions { format: Some(CaptureFormat::Npz), ..all() }),
        Err(CaptureError::Io { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn damaged_archives_are_errors_not_panics(
        hits in proptest::collection::vec((0usize..40_000, proptest::num::u8::ANY), 0..4),
        tail in proptest::collection::vec((1usize..400, proptest::num::u8::ANY), 0..3),
        cut in 0usize..40_000,
        is_deflated in proptest::bool::ANY,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tiny.npz");
        let whole = archive(&members(), is_deflated);
        // The directory lies at the end.
        let ends = tail.iter().map(|(back, to)| (whole.len() - back % whole.len() - 1, *to));
        let hits: Vec<(usize, u8)> = hits.into_iter().chain(ends).collect();
        std::fs::write(&path, damage(&whole, &hits, cut)).unwrap();
        survives(&path);
    }
}
