//! Images under other names than their file has, and text files as editors leave them.

use super::*;

fn transforms_of(names: [&str; 2]) -> Value {
    let mut value = transforms();
    value["frames"][0]["file_path"] = json!(names[0]);
    value["frames"][1]["file_path"] = json!(names[1]);
    value
}

fn noted<'a>(capture: &'a Capture, word: &str) -> Vec<&'a str> {
    capture.notes.iter().map(String::as_str).filter(|n| n.contains(word)).collect()
}

/// Both cameras see the known point where they should.
fn assert_right(capture: &Capture, scale: f64) {
    let views: Vec<&View> = capture.views().collect();
    assert_eq!(views.len(), 2);
    for (view, pixel) in views.iter().zip(PIXELS) {
        let found = view.project(POINT).unwrap();
        assert!((found - pixel * scale).length() < 1e-9, "{}: {found}", view.name);
    }
}

#[test]
fn names_of_another_machine_are_found_and_noted() {
    for (names, word) in [
        (["images/a.PNG", "images/b.PNG"], "upper and lower case"),
        (["Images/A.png", "Images/B.png"], "upper and lower case"),
        (["images/a.jpg", "images/b.JPG"], "without extension"),
        (["/home/somebody/scene/images/a.png", "/home/somebody/scene/images/b.png"], "last parts"),
        ([r"D:\captures\scene\images\a.png", r"D:\captures\scene\images\b.png"], "last parts"),
        (["scene/images/a.png", "scene/images/b.png"], "last parts"),
        (["a.png", "b.png"], "last parts"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write_transforms(dir.path(), &transforms_of(names));
        let capture = read_capture(dir.path(), &all()).unwrap();
        assert_right(&capture, 1.0);
        if dir.path().join("IMAGES").is_dir() {
            // A file system that ignores case: there is nothing to find.
            continue;
        }
        let notes = noted(&capture, word);
        assert!(notes.len() == 1 && notes[0].contains("2 of 2") && notes[0].contains("transforms.json"), "{names:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    write_transforms(dir.path(), &transforms());
    assert!(read_capture(dir.path(), &all()).unwrap().notes.iter().all(|n| !n.contains("found")), "nothing to say");
}

#[test]
fn two_names_never_share_a_file_by_likeness() {
    let dir = tempfile::tempdir().unwrap();
    write_transforms(dir.path(), &transforms_of(["/x/left/a.png", "/x/right/a.png"]));
    let said = read_capture(dir.path(), &all()).unwrap_err().to_string();
    assert!(said.contains("2 of 2 frames"), "{said}");
    // The same name twice is the file's own doing, and said.
    let dir = tempfile::tempdir().unwrap();
    write_transforms(dir.path(), &transforms_of(["images/a.png", "images/a.png"]));
    let capture = read_capture(dir.path(), &all()).unwrap();
    assert_eq!((capture.train.len(), noted(&capture, "an earlier frame names too").len()), (2, 1));
}

#[test]
fn a_reduced_folder_stands_in_for_a_missing_one() {
    for (files, declared) in [(["a.png", "b.png"], true), (["image000.png", "image001.png"], false)] {
        let dir = tempfile::tempdir().unwrap();
        let mut value = transforms();
        if !declared {
            // Nothing tells the size of the images that the intrinsics are for, but the folder's name.
            ["w", "h"].iter().for_each(|k| drop(value.as_object_mut().unwrap().remove(*k)));
        }
        std::fs::write(dir.path().join("transforms.json"), value.to_string()).unwrap();
        pictures(&dir.path().join("images_2"), &files, (20, 15));
        let capture = read_capture(dir.path(), &all()).unwrap();
        assert_right(&capture, 0.5);
        assert_eq!(noted(&capture, "images_2").len(), if declared { 1 } else { 2 }, "{:?}", capture.notes);
        assert_eq!(noted(&capture, "number and order").len(), usize::from(!declared), "{:?}", capture.notes);
        // What is reduced already isn't reduced again.
        assert_right(&read_capture(dir.path(), &CaptureOptions { downscale: 2, ..all() }).unwrap(), 0.5);
        pictures(&dir.path().join("images_2"), &["c.png"], (20, 15));
        assert_eq!(read_capture(dir.path(), &all()).is_ok(), declared, "one file too many for their order");
    }
}

#[test]
fn colmaps_reduced_images_may_have_other_names() {
    let dir = tempfile::tempdir().unwrap();
    write_colmap_text(dir.path());
    // One more than the model has: the order of the files in `images` decides, not that of the frames.
    pictures(dir.path(), &["images/0.png"], SIZE);
    pictures(&dir.path().join("images_2"), &["image000.png"], (16, 12));
    pictures(&dir.path().join("images_2"), &["image001.png", "image002.png"], (20, 15));
    let half = CaptureOptions { downscale: 2, ..all() };
    let capture = read_capture(dir.path(), &half).unwrap();
    assert_right(&capture, 0.5);
    assert!(
        noted(&capture, "their order decides")[0].contains("a.png is images_2/image001.png"),
        "{:?}",
        capture.notes
    );
    // As many as frames, without the full size.
    std::fs::remove_dir_all(dir.path().join("images")).unwrap();
    std::fs::remove_file(dir.path().join("images_2/image000.png")).unwrap();
    assert_right(&read_capture(dir.path(), &half).unwrap(), 0.5);
    // What can't be matched is left alone, and `images` used.
    pictures(dir.path(), &["images/a.png", "images/b.png"], SIZE);
    std::fs::remove_file(dir.path().join("images_2/image001.png")).unwrap();
    let capture = read_capture(dir.path(), &half).unwrap();
    assert_right(&capture, 0.5);
    assert_eq!(noted(&capture, "those in images are used").len(), 1, "{:?}", capture.notes);
}

#[test]
fn colmap_text_without_lines_of_keypoints() {
    let dir = tempfile::tempdir().unwrap();
    write_colmap_text(dir.path());
    let model = dir.path().join("sparse/0");
    let [a, b] = quaternions().map(|q| q.map(|v| v.to_string()).join(" "));
    let lines = format!("2 {a} 0 0 4 3 a.png\n9 {b} 0 0 4 3 b.png\n");
    let write = |bytes: Vec<u8>| std::fs::write(model.join("images.txt"), bytes).unwrap();
    write(lines.clone().into_bytes());
    assert_right(&read_capture(dir.path(), &all()).unwrap(), 1.0);
    write(format!("\u{feff}# x\r\n{}", lines.replace('\n', "\r\n\r\n")).into_bytes());
    assert_right(&read_capture(dir.path(), &all()).unwrap(), 1.0);
    write(lines.replace('\n', "\r").into_bytes());
    assert_right(&read_capture(dir.path(), &all()).unwrap(), 1.0);
    write(format!("\u{feff}{lines}").encode_utf16().flat_map(u16::to_le_bytes).collect());
    assert_right(&read_capture(dir.path(), &all()).unwrap(), 1.0);
    write(lines.encode_utf16().flat_map(u16::to_le_bytes).collect());
    let said = read_capture(dir.path(), &all()).unwrap_err().to_string();
    assert!(said.contains("images.txt") && said.contains("UTF-16"), "{said}");
    write(format!("{lines}nonsense\n").into_bytes());
    let said = read_capture(dir.path(), &all()).unwrap_err().to_string();
    assert!(said.contains("images.txt: line 3"), "{said}");
}

#[test]
fn files_of_newer_colmap_do_not_disturb() {
    let dir = tempfile::tempdir().unwrap();
    write_colmap_binary(dir.path());
    for name in ["rigs.bin", "frames.bin", "rigs.txt", "frames.txt"] {
        std::fs::write(dir.path().join("sparse/0").join(name), b"\x07nonsense").unwrap();
    }
    assert_right(&read_capture(dir.path(), &all()).unwrap(), 1.0);
    // Model 11 with 16 parameters, of which the last ones are 0; then one that no COLMAP has.
    let camera = |model: u32, parameters: &[f64]| {
        let mut bytes = 1u64.to_le_bytes().to_vec();
        bytes.extend([3u32, model].iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend([40u64, 30].iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend(parameters.iter().flat_map(|v| v.to_le_bytes()));
        std::fs::write(dir.path().join("sparse/0/cameras.bin"), bytes).unwrap();
    };
    let mut parameters = [0.0; 16];
    parameters[..4].copy_from_slice(&[50.0, 50.0, 20.0, 15.0]);
    camera(11, &parameters);
    let lens = read_capture(dir.path(), &all()).unwrap().train[0].lens;
    assert_eq!(lens, Lens::Fisheye { k: [0.0; 4] });
    parameters[15] = 0.01;
    camera(11, &parameters);
    let said = read_capture(dir.path(), &all()).unwrap_err().to_string();
    assert!(said.contains("RAD_TAN_THIN_PRISM_FISHEYE") && said.contains("undistort"), "{said}");
    camera(99, &parameters);
    let said = read_capture(dir.path(), &all()).unwrap_err().to_string();
    assert!(said.contains("model 99 is unknown") && said.contains("undistort"), "{said}");
}

#[cfg(unix)]
#[test]
fn devices_and_fifos_never_hang() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo.png");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("link.png")).unwrap();
    for name in ["/dev/zero", "link.png", "fifo.png"] {
        write_transforms(dir.path(), &transforms_of([name, "images/b.png"]));
        let capture = read_capture(dir.path(), &all()).unwrap();
        assert_eq!((capture.train.len(), noted(&capture, "1 of 2 frames").len()), (1, 1), "{name}");
        let mut value = transforms();
        value["frames"][0]["mask_path"] = json!(name);
        value["frames"][0]["depth_file_path"] = json!(name);
        write_transforms(dir.path(), &value);
        let said = read_capture(dir.path(), &all()).unwrap_err().to_string();
        assert!(said.contains(name) && said.contains("not a regular file"), "{said}");
        for key in ["mask_path", "depth_file_path"] {
            value["frames"][0].as_object_mut().unwrap().remove(key);
            write_transforms(dir.path(), &value);
            let read = read_capture(dir.path(), &all()).map_err(|e| e.to_string());
            match key {
                // A depth map that is none is an error too.
                "mask_path" => assert!(read.unwrap_err().contains("not a regular file"), "{name}"),
                _ => assert_right(&read.unwrap(), 1.0),
            }
        }
    }
}
